"""With what credentials are taken in."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from authsome.provider import Flow, Provider
from authsome.session.position import Renew

if TYPE_CHECKING:
    import httpx


class Verdict(NamedTuple):
    """What a provider says to a credential.

    Attributes:
        good: Whether it takes it; None if that could not be found out.
        words: What happened, as the end of a sentence.
    """

    good: bool | None
    words: str

    @property
    def stored(self) -> str:
        """What became of a credential that was stored after it."""
        return f"stored{';' if self.good else ','} {self.words}"


type Probe = Callable[[Provider, Mapping[str, str]], Verdict]
"""Shows a credential to its provider; the fields are secret."""


def _unchecked(provider: Provider, fields: Mapping[str, str]) -> Verdict:
    del provider, fields
    return Verdict(None, "not checked")


def _silent(line: str) -> None:
    del line


def _random(octets: int) -> str:
    import secrets  # noqa: PLC0415  only a login needs any

    return secrets.token_urlsafe(octets)


@dataclass(frozen=True, slots=True)
class Ways:
    """What a login with OAuth is done with.

    Attributes:
        transport: Finds out how requests reach the hosts of a provider.
        flow: The one that was named; None for the best there is.
        scopes: Those that were named, instead of the manifest's.
        browser: Finds out whether a person can be sent to a page on this machine.
        anew: Whether the application may be replaced, too.
        clock: Seconds since 1970.
        token: Makes a secret of so many random octets, as text for a URL.
        command: With which the same is typed once more, None where more than a login was typed.
    """

    transport: "Callable[[Provider], httpx.BaseTransport]"
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    flow: Flow | None = None
    scopes: tuple[str, ...] = ()
    browser: Callable[[], bool] = lambda: True
    anew: bool = False
    clock: Callable[[], float] = time.time
    token: Callable[[int], str] = _random
    command: str | None = None


class Intake(NamedTuple):
    """How credentials are taken in.

    Attributes:
        known: Finds all providers, to tell whose key something is.
        probe: Shows a credential to its provider before it is stored.
        shared: Store in the project's folder; None for where the profile's preset says.
        ways: With which tokens are come by; without them there is no login with OAuth.
        renew: Brings tokens up to date that end soon, or raises `DeniedError` or `UnavailableError`; None where nobody
            may be asked for new ones.
        early: Whether tokens are renewed that will end soon as well, as whoever gets them cannot renew them.
        talk: Gets a line about what is left out.
    """

    known: Callable[[], Iterable[Provider]] = tuple
    probe: Probe = _unchecked
    shared: bool | None = None
    ways: Ways | None = None
    renew: Renew | None = None
    early: bool = False
    talk: Callable[[str], None] = _silent


AS_GIVEN = Intake()
