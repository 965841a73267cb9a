"""The screen of `authsome whoami`."""

from dataclasses import asdict, dataclass
from typing import Any

from authsome.screens import fields


@dataclass(frozen=True, slots=True)
class Opener:
    """The public side of an identity.

    Attributes:
        origin: Where it was found.
        member: What the profile's list calls it.
    """

    recipient: str
    origin: str
    member: str | None


@dataclass(frozen=True, slots=True)
class Here:
    """What counts where the command was called.

    Attributes:
        vaults: The folders that hold the profile.
        locked: Why no identity opens it.
    """

    profile: str
    home: str
    manifest: str | None
    preset: str | None = None
    vaults: tuple[str, ...] = ()
    opener: Opener | None = None
    locked: str | None = None
    inside_run: bool = False


def whoami(here: Here) -> str:
    """Return `authsome whoami`."""
    rows: dict[str, Any] = {}
    if here.inside_run:
        rows["identity"] = "none: this is inside a run, which has no vault"
    elif opener := here.opener:
        rows["identity"] = f"{opener.recipient} ({opener.origin})"
        rows |= {"member": opener.member} if opener.member else {}
    elif here.vaults:
        rows["identity"] = f"locked: {here.locked}"
    else:
        rows["identity"] = "none yet, the first login makes one"
    rows["profile"] = f"{here.profile} (preset {here.preset})" if here.preset else here.profile
    if not here.inside_run:
        rows["vault"] = list(here.vaults) or "none yet, the first login makes one"
    rows |= {"home": here.home, "manifest": here.manifest or "none"}
    return fields(rows)


def whoami_data(here: Here) -> dict[str, Any]:
    """Return `authsome whoami --json`."""
    return {
        "identity": asdict(here.opener) if here.opener else None,
        "locked": here.locked,
        "profile": here.profile,
        "preset": here.preset,
        "vaults": list(here.vaults),
        "home": here.home,
        "manifest": here.manifest,
        "inside_run": here.inside_run,
    }
