"""What one run's engine works with, whatever carries a request.

Promises that what is looked for in answers only grows: a key that was rotated away can still be said back. Of tokens
that replace each other every few minutes, for weeks, those that have long ended are forgotten. Refuses nothing; it
decides nothing.
"""

import asyncio
import threading
from dataclasses import dataclass

from authsome.proxy import Live, Log
from authsome.proxy.authority import Authority
from authsome.proxy.renewing import Renew, Renewing
from authsome.proxy.scrub import Scrubber
from authsome.proxy.upstream import Upstream
from authsome.session import Session

_LONG_BODIES = 4
_REMEMBERED = 64  # tokens that have been replaced, the newest ones: to look for a thousand takes seconds to prepare


@dataclass
class Gate:
    """The parts of a run that its engine shares.

    Attributes:
        live: Replaced whole by another thread; whoever decides reads it once.
        renew: Brings new tokens for a connection, None where none are ever renewed.
        room: For the long bodies that are held until they are signed.
        renewing: What is done with `renew`.
    """

    live: Live
    authority: Authority
    upstream: Upstream
    password: str
    log: Log
    renew: Renew | None = None

    def __post_init__(self) -> None:
        self.room = asyncio.Semaphore(_LONG_BODIES)
        self.renewing = Renewing(self.renew, lambda: self.live, self._take) if self.renew else None
        self._swapping, self._preparing = threading.Lock(), threading.Lock()
        self._scrubbed: tuple[Live | None, Scrubber] = None, Scrubber({})
        self._tokens: dict[str, None] = {}
        self._stand_ins: dict[str, str] = {}

    @property
    def renews(self) -> bool:
        """Whether tokens are being renewed."""
        return self.renewing is not None and self.renewing.busy

    def swap(self, live: Live) -> None:
        """Let other rules and secrets hold from now on; from any thread."""
        with self._swapping:
            self.live = live

    def _take(self, newest: Session) -> None:
        """Let new tokens hold from now on, with the rules as they are. NOTE: a logout meanwhile is not undone."""
        with self._swapping:
            session = self.live.session.renewed(newest)
            if session is not self.live.session:
                live = Live(self.live.rules, session)
                self.scrubber(live)  # in this thread, in which nobody waits for it
                self.live = live

    def scrubber(self, live: Live) -> Scrubber:
        """Return what to look for in answers: every secret the run has had, whichever of them a request carried."""
        scrubbed, scrubber = self._scrubbed
        return scrubber if live is scrubbed else self._prepare(live)

    def newest(self) -> Scrubber:
        """Return what to look for in answers now."""
        return self.scrubber(self.live)

    def _prepare(self, live: Live) -> Scrubber:
        with self._preparing:
            # A key that was rotated away can still be said back: by a slow answer, or by a provider that remembers it.
            now = live.session.stand_ins()
            self._stand_ins |= now
            self._tokens |= dict.fromkeys(live.session.tokens())
            replaced = [token for token in self._tokens if token not in now]
            for token in replaced[:-_REMEMBERED]:
                del self._tokens[token]
                del self._stand_ins[token]
            scrubber = Scrubber(self._stand_ins)
            self._scrubbed = live, scrubber
        return scrubber
