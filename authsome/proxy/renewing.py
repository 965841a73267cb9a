"""Tokens that are renewed while requests wait for them, and bodies that can be sent a second time.

Promises that the requests of a connection wait for one renewal together, that none waits long for it while the old
token is good, and that everything else goes on meanwhile. Refuses to renew for the same token again that a request has
shown to be no reason: an API may answer 401 for what the token does not permit.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from authsome.errors import AuthsomeError
from authsome.manifest import full_name
from authsome.oauth import DeniedError
from authsome.oauth.kept import ACCESS
from authsome.proxy.message import Before, Call, Fields, RefusedError
from authsome.renewal import NOTHING_TO_RENEW, due, holds
from authsome.rules import Refusal
from authsome.session import Session

if TYPE_CHECKING:
    from authsome.proxy import Live

LONGEST = 1 << 20
"""Octets of a body that is kept to be sent once more."""
ROOM = 32 << 20
"""Octets of all bodies that are kept at once."""

_PATIENCE_SECONDS = 2.0  # for a renewal, while the old token is good
_REST_SECONDS = 10.0  # after which a request waits again, as long as the old token is good
_POINTLESS_SECONDS = 300.0
_REFUSALS, _REFUSALS_SECONDS = 3, 360.0
"""How many times in how long a token is renewed because an API refuses it.

NOTE: an agent can have an API answer 401 whenever it likes, and see to it that the new token is never tried. At this
pace an hour's tokens are still among those that answers are searched for (see `gate`)."""

type Key = tuple[str, str]

type Renew = Callable[[Key, str | None, str | None], Session]
"""Returns a session of one connection, with new tokens if they were due or the access token is the second argument; the
third is one with which an API was content. Takes its time and raises `AuthsomeError`. Called in a thread."""


class Renewing:
    """The renewals of one run; but for the threads in which they take place, of its event loop.

    Args:
        live: Returns what holds now.
        take: Is told of the newest tokens of a connection.
    """

    def __init__(
        self,
        renew: Renew,
        live: "Callable[[], Live]",
        take: Callable[[Session], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._renew, self._live, self._take, self._clock = renew, live, take, clock
        self._under_way: dict[Key, asyncio.Future[None]] = {}
        self._not_before: dict[Key, float] = {}
        self._pointless: dict[Key, tuple[str, float]] = {}
        self._counted: dict[Key, dict[str, float]] = {}
        self._worked: dict[Key, str] = {}
        self.room = Room(ROOM)

    def token(self, session: Session, key: Key) -> str | None:
        """Return the access token of a connection; None for one that has a key."""
        return session.secrets(*key).get(ACCESS) if session.holding(*key) else None

    def due(self, session: Session, key: Key) -> bool:
        """Whether a request should wait for new tokens."""
        held = session.holding(*key)
        if held is None or held.grant is None:
            return False
        now = self._clock()
        if not held.renewable and holds(held.grant, now):
            return False
        rests = key in self._not_before and now < self._not_before[key] < now + 2 * _REST_SECONDS
        return due(held.grant, now) and not (rests and holds(held.grant, now))

    async def before(self, session: Session, key: Key) -> None:
        """Renew what is due. Raises `RefusedError` if the token has ended and there is no other."""
        held = session.holding(*key)
        running = self._start(key, None)
        if held is None or held.grant is None or not holds(held.grant, self._clock()):
            await self._result(key, running)
            return
        await asyncio.wait([running], timeout=_PATIENCE_SECONDS)
        if self.token(self._live().session, key) == self.token(session, key):
            self._not_before[key] = self._clock() + _REST_SECONDS

    async def after(self, session: Session, key: Key, seen: str) -> bool:
        """Renew what an API has refused; return whether there is another token now. Raises `RefusedError`."""
        held, now = session.holding(*key), self._clock()
        token, until = self._pointless.get(key, ("", 0.0))
        if held is None or (token == seen and until - _POINTLESS_SECONDS <= now < until):
            return False
        for _ in range(2):  # what was under way already may have been content with it
            if self._has_another(key, seen):
                return True
            if self._is_spent(key):
                return False
            try:
                await self._result(key, self._start(key, seen))
            except _NothingToRenewError:
                return False
            self._count(key, seen)
        return self._has_another(key, seen)

    def _is_spent(self, key: Key) -> bool:
        """Whether tokens were renewed so often lately that a refusal is no reason for it any more."""
        now = self._clock()
        self._counted[key] = {
            token: at for token, at in self._counted.get(key, {}).items() if now - _REFUSALS_SECONDS < at <= now
        }
        return len(self._counted[key]) >= _REFUSALS

    def _count(self, key: Key, seen: str) -> None:
        newest = self.token(self._live().session, key) if self._has_another(key, seen) else None
        if newest is not None:
            self._counted.setdefault(key, {}).setdefault(newest, self._clock())

    def _has_another(self, key: Key, seen: str) -> bool:
        session = self._live().session
        return session.holding(*key) is not None and self.token(session, key) != seen

    def worked(self, key: Key, token: str) -> None:
        """Take note that an API is content with a token."""
        self._worked[key] = token

    def was_pointless(self, key: Key, seen: str) -> None:
        """Take note that an API refuses a new token as well."""
        self._pointless[key] = seen, self._clock() + _POINTLESS_SECONDS

    async def settle(self, seconds: float) -> None:
        """Wait for what is under way: of an answer that nobody takes in, a token that rotates is lost."""
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()), timeout=seconds)

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return bool(self._under_way)

    async def _result(self, key: Key, running: asyncio.Future[None]) -> None:
        try:
            await asyncio.shield(running)
        except DeniedError as error:
            if error.error == NOTHING_TO_RENEW and self._may_hold(key):
                raise _NothingToRenewError from None
            raise RefusedError(_refusal("login_needed", error, key, 403)) from None
        except AuthsomeError as error:
            raise RefusedError(_refusal("renewal_failed", error, key, 502)) from None

    def _may_hold(self, key: Key) -> bool:
        held = self._live().session.holding(*key)
        return held is not None and held.grant is not None and holds(held.grant, self._clock())

    def _start(self, key: Key, seen: str | None) -> asyncio.Future[None]:
        """Return the renewal of a connection that is under way, one that begins now if there is none."""
        if key not in self._under_way:
            made = self._under_way[key] = asyncio.get_running_loop().create_future()
            made.add_done_callback(lambda _: self._under_way.pop(key, None))
            # A thread of its own: those of the event loop look up names, and it may wait for long.
            threading.Thread(target=self._work, args=(key, seen, made), name="authsome-renewal", daemon=True).start()
        return self._under_way[key]

    def _work(self, key: Key, seen: str | None, made: asyncio.Future[None]) -> None:
        failed: BaseException | None = None
        try:
            self._take(self._renew(key, seen, self._worked.get(key)))
        except BaseException as error:  # noqa: BLE001  whatever it was, those who wait are told
            failed = error
        with suppress(RuntimeError):  # the run has ended meanwhile
            made.get_loop().call_soon_threadsafe(_end, made, failed)


class _NothingToRenewError(Exception):
    """Nothing was given that could bring other tokens: what the API says is the answer."""


def _end(made: asyncio.Future[None], failed: BaseException | None) -> None:
    if failed is None:
        made.set_result(None)
    else:
        made.set_exception(failed)
        made.exception()  # seen, even if nobody waits for it any more


def _refusal(word: str, error: AuthsomeError, key: Key, status: int) -> Refusal:
    return Refusal(word, error.message, error.hint, full_name(*key), status)


class Room:
    """How much may be kept at once."""

    def __init__(self, octets: int) -> None:
        self._left = octets

    def take(self, octets: int) -> bool:
        """Have some of it, if there is."""
        if octets > self._left:
            return False
        self._left -= octets
        return True

    def give(self, octets: int) -> None:
        """Give some of it back."""
        self._left += octets


class Kept:
    """A body that can be sent once more, as long as it is short. It is a `message.Body`.

    Attributes:
        whole: Whether all that was read of it is kept.
    """

    def __init__(self, call: Call, room: Room) -> None:
        self._call, self._room = call, room
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._again = False
        self.whole = (call.asked.length or 0) <= LONGEST

    @property
    def trailers(self) -> Fields:
        """The fields after the body."""
        return self._call.trailers

    async def read(self, before: Before) -> bytes:
        """Return the next piece, nothing at the end."""
        if self._again and self._pieces:
            return self._pieces.popleft()
        data = await self._call.read(before)
        if self.whole and not self._again:
            self._keep(data)
        return data

    def _keep(self, data: bytes) -> None:
        if self._size + len(data) > LONGEST or not self._room.take(len(data)):
            self.release()
        elif data:
            self._size += len(data)
            self._pieces.append(data)

    def rewind(self) -> None:
        """Have it read once more from its beginning, and kept no longer."""
        self._again = True

    def release(self) -> None:
        """Keep nothing of it any more."""
        self.whole = False
        self._room.give(self._size)
        self._size = 0
        self._pieces.clear()
