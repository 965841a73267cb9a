"""New tokens for a connection, asked for once, however many processes and requests want them.

Promises that one process at a time asks and the others take what it got, that what the provider answers is on disk
before anybody uses it, and that the refresh token before the newest stays until that one has worked. A clock that was
set back, and an answer without an end, make nobody ask without need. Refuses to send what a connection is renewed with
to a host that nobody agreed to for it, to ask again after a no, and to write over a login that came in between.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from authsome.errors import AuthsomeError
from authsome.manifest import Declared, full_name, login_command
from authsome.oauth import OF_APPLICATION, SIGNED, Client, DeniedError, Tokens, UnavailableError
from authsome.oauth.kept import ACCESS, FORMER, REFRESH, applications, kept, refused
from authsome.provider import CLIENT, OAuth, Provider
from authsome.vault import Entry, Grant, Vault, holding

EARLIEST_SECONDS = 300.0
"""How long before their end tokens are renewed, at most; a tenth of their life if that is less."""

_PAUSES = (0.5, 1.0, 2.0)  # between one try and the next
_LONGEST_PAUSE = 5.0  # a provider that wants more than this is asked some other time
_REST_SECONDS = 10.0  # after which one that failed may be asked again
_LONGEST_REST = 3600.0
_TURN_SECONDS, _SHORT_TURN_SECONDS = 120.0, 5.0  # for another process that asks; where the token is still good
# RFC 6749, 5.2: what is said of the application or of the request, not of the token that was shown.
_NOT_OF_THE_TOKEN = OF_APPLICATION | {"invalid_request", "unsupported_grant_type", "invalid_scope"}

type Talk = Callable[[Provider, Client, Grant, Mapping[str, str]], Tokens]
"""Asks a provider, filled with the connection's settings, for new tokens; the fields are secret."""

_Key = tuple[str, str]


def holds(grant: Grant, now: float) -> bool:
    """Whether the access token is still good, as far as the clock tells."""
    return not grant.has_ended(now)


def due(grant: Grant, now: float) -> bool:
    """Whether it is time for new tokens."""
    end = grant.end(now)
    return end is not None and now >= end - min(EARLIEST_SECONDS, (end - grant.issued_at) / 10)


def client_of(
    vault: Vault, provider: Provider, environ: Mapping[str, str], client_id: str | None = None
) -> Client | None:
    """Return the application that logs in to a provider: the one of the environment, else the one of the profile.

    Args:
        client_id: Which one it has to be; None for any.
    """
    if provider.oauth is None:
        return None
    from authsome.oauth.asked import environ_client  # noqa: PLC0415  a run that renews nothing has no use for it

    found = (environ_client(provider.oauth, environ), *_stored(vault, provider, provider.oauth))
    return next((each for each in found if each and client_id in (None, each.client_id)), None)


def _stored(vault: Vault, provider: Provider, oauth: OAuth) -> Iterator[Client]:
    # NOTE: a definition may name other addresses by now, and a secret was given for those before.
    if entry := vault.own.read(provider.name, CLIENT):
        yield from (each for each, hosts in applications(entry) if oauth.token_hosts <= hosts)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a connection is not asked for now.

    Attributes:
        generation: Of the credential that it is about; of another one nothing is known.
        until: When the provider may be asked again, None for never.
    """

    generation: int
    at: float
    until: float | None
    message: str
    hint: str | None = None
    error: str | None = None

    def concerns(self, entry: Entry, now: float) -> bool:
        """Whether it is still so; a clock that was set back is no reason to wait longer."""
        return entry.generation == self.generation and (self.until is None or self.at <= now < self.until)


class LoggedOutError(DeniedError):
    """There is no such connection any more, and nothing of it is to be used."""


def _jitter() -> float:
    import random  # noqa: PLC0415  few tokens are asked for twice

    return random.random()  # noqa: S311  no secret hangs on it


class Renewal:
    """Renews the connections of a vault. May be used by several threads.

    Args:
        vault: Of this object's own, if another thread uses one; nobody is asked for a passphrase then.
        environ: Where an application is named that the vault does not hold.
        clock: Seconds since 1970.
        jitter: Between 0 and 1, so that not everybody comes back at once.
    """

    def __init__(
        self,
        vault: Vault,
        talk: Talk,
        *,
        environ: Mapping[str, str] = MappingProxyType({}),
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._vault, self._talk, self._environ = vault, talk, environ
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._opening = threading.Lock()
        self._failures: dict[_Key, _Failure] = {}
        self._unwritten: dict[_Key, tuple[int, Mapping[str, str], Grant]] = {}

    def fresh(self, declared: Declared, seen: str | None = None, *, worked: str | None = None) -> Entry:
        """Return a connection's entry with tokens that are good for a while, after asking for them where need be.

        If none are to be had, it is the one with the old ones as long as those hold.

        Args:
            seen: The access token that an API has refused: one that is renewed whatever the clock says.
            worked: One that an API was content with: those before it are of no use any more.

        Raises `DeniedError` if somebody has to log in, `UnavailableError` if it may work later.
        """
        entry = self._read(declared)
        if not self._wanted(entry, seen):
            return entry
        try:
            return self._renewed(declared, entry, seen, worked)
        except LoggedOutError:
            raise
        except AuthsomeError:
            if seen is None and entry.grant and holds(entry.grant, self._clock()):
                return entry
            raise

    def _read(self, declared: Declared) -> Entry:
        with self._opening:
            entry = self._vault.read(*declared.held_as)
        if entry is None:
            hint = login_command(*declared.held_as)
            raise LoggedOutError("logged_out", f"{declared.name} was logged out", hint=hint)
        return entry

    def _wanted(self, entry: Entry, seen: str | None) -> bool:
        if entry.grant is None:
            return False
        return due(entry.grant, self._clock()) if seen is None else entry.fields.get(ACCESS) == seen

    def _renewed(self, declared: Declared, entry: Entry, seen: str | None, worked: str | None) -> Entry:
        _, grant = self._check(declared, entry)
        spare = seen is None and holds(grant, self._clock())
        with self._vault.own.turn(*declared.held_as, _SHORT_TURN_SECONDS if spare else _TURN_SECONDS):
            entry = self._read(declared)
            if not self._wanted(entry, seen):  # somebody else was faster
                return entry
            provider, grant = self._check(declared, entry)
            if (left := self._unwritten.get(declared.held_as)) and left[0] == entry.generation:
                return self._write(declared, entry, *left[1:])
            client = self._client(declared, provider, grant)
            with self._opening:
                # NOTE: a token that rotates is lost with an answer that cannot be kept.
                self._vault.own.check_room(entry)
            try:
                tokens, used = self._tokens(provider, client, grant, entry, worked)
            except DeniedError as error:
                raise self._give_up(declared, provider, client, entry, error.error) from None
            except AuthsomeError as error:  # also what is wrong with the definition, or with this machine
                raise self._rest(declared, entry, error) from None
            return self._keep(declared, grant, entry, tokens, used)

    def _check(self, declared: Declared, entry: Entry) -> tuple[Provider, Grant]:
        """Return the provider as the connection has it, and what is known of its tokens.

        Raises if it is known already that there is nothing to ask for.
        """
        grant, provider = entry.grant, entry.of(declared.provider)
        if grant is None or provider.oauth is None:
            raise _denied("no_oauth", f"{provider.display_name} no longer logs in with OAuth", declared)
        if grant.refused:
            raise _denied(grant.refused, _refusal(provider, declared, grant.refused), declared)
        if not holding(entry, declared.provider).renewable or not self._vault.own.holds(*declared.held_as):
            raise _denied(
                NOTHING_TO_RENEW, f"the tokens of {declared.name} have ended, and cannot be renewed", declared
            )
        if strange := grant.beyond(provider.oauth.token_hosts):
            raise _denied(
                "hosts_changed",
                f"what renews {declared.name} would go to {', '.join(strange)}, which nobody agreed to",
                declared,
            )
        known, now = self._failures.get(declared.held_as), self._clock()
        if known and known.concerns(entry, now):
            if known.error is not None:
                raise _denied(known.error, known.message, declared)
            raise UnavailableError(known.message, hint=known.hint, retry_after=known.until and known.until - now)
        return provider, grant

    def _client(self, declared: Declared, provider: Provider, grant: Grant) -> Client:
        if grant.flow in SIGNED:  # their key is the connection's own
            return Client(grant.client_id or "")
        with self._opening:
            found = client_of(self._vault, provider, self._environ, grant.client_id)
        if found is None:
            raise _denied(
                "no_client", f"the application that {declared.name} was logged in with is not known here", declared
            )
        return found

    def _tokens(
        self, provider: Provider, client: Client, grant: Grant, entry: Entry, worked: str | None
    ) -> tuple[Tokens, dict[str, str]]:
        """Return new tokens, and the fields that have brought them.

        NOTE: a former token is shown only while the newest may never have been any good: to a provider, one that comes
        back after it was replaced is a stolen one (RFC 9700, 4.14.2).
        """
        former = entry.fields.get(FORMER)
        used = {name: text for name, text in entry.fields.items() if name != FORMER}
        try:
            return self._patiently(provider, client, grant, used), used
        except DeniedError as error:
            if former is None or entry.fields.get(ACCESS) == worked or error.error in _NOT_OF_THE_TOKEN:
                raise
            denied = error
        used = {**used, REFRESH: former}
        try:
            return self._patiently(provider, client, grant, used), used
        except DeniedError:
            raise denied from None

    def _patiently(self, provider: Provider, client: Client, grant: Grant, fields: Mapping[str, str]) -> Tokens:
        """Ask; after a failure again, as long as the provider wants it."""
        for pause in _PAUSES:
            try:
                return self._talk(provider, client, grant, fields)
            except UnavailableError as error:
                longer = error.retry_after or 0.0
                if longer > _LONGEST_PAUSE:
                    raise
                self._sleep(max(longer, pause * (0.5 + self._jitter())))
        return self._talk(provider, client, grant, fields)

    def _keep(self, declared: Declared, grant: Grant, entry: Entry, tokens: Tokens, used: dict[str, str]) -> Entry:
        now = self._clock()
        # What brought them has worked; what was kept beside it is not needed any more.
        before = replace(entry, fields=used)
        fields, known = kept(tokens, before, flow=grant.flow, hosts=grant.hosts, asked=grant.asked, now=now)
        # NOTE: what cannot be written now is written the next time: a token that rotates is not given again.
        self._unwritten[declared.held_as] = entry.generation, fields, known
        return self._write(declared, entry, fields, known)

    def _write(self, declared: Declared, entry: Entry, fields: Mapping[str, str], grant: Grant) -> Entry:
        with self._opening:
            made = self._vault.own.renew(entry, fields, self._clock(), grant)
        del self._unwritten[declared.held_as]
        self._failures.pop(declared.held_as, None)
        return made or self._read(declared)  # of a login that was faster, or that it was logged out

    def _rest(self, declared: Declared, entry: Entry, error: AuthsomeError) -> UnavailableError:
        """Take note that the provider cannot be asked for now."""
        now, wanted = self._clock(), error.retry_after if isinstance(error, UnavailableError) else None
        rest = min(max(wanted or 0.0, _REST_SECONDS), _LONGEST_REST)
        self._failures[declared.held_as] = _Failure(entry.generation, now, now + rest, error.message, error.hint)
        return UnavailableError(error.message, hint=error.hint, retry_after=rest)

    def _give_up(self, declared: Declared, provider: Provider, client: Client, entry: Entry, error: str) -> DeniedError:
        """Take note that the provider gives no new tokens: also for every other process.

        NOTE: not if the application is the environment's, which may be another one elsewhere.
        """
        now, message = self._clock(), _refusal(provider, declared, error)
        self._failures[declared.held_as] = _Failure(entry.generation, now, None, message, error=error)
        from authsome.oauth.asked import environ_client  # noqa: PLC0415  as above

        named = provider.oauth and environ_client(provider.oauth, self._environ)
        if client != named or error not in OF_APPLICATION:
            fields, grant = refused(entry, error)
            with self._opening:
                self._vault.own.renew(entry, fields, now, grant)
        return _denied(error, message, declared)


NOTHING_TO_RENEW = "nothing_to_renew"
"""What is said of tokens that nothing else was given with."""


def _refusal(provider: Provider, declared: Declared, error: str) -> str:
    return f"{provider.display_name} gives no new tokens for {full_name(*declared.key)} ({error})"


def _denied(error: str, message: str, declared: Declared) -> DeniedError:
    return DeniedError(error, message, hint=f"{login_command(*declared.held_as)} --force")
