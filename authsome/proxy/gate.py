"""What one run's engine works with, whatever carries a request.

Promises that what is looked for in answers only ever grows: a key that was rotated away can still be said back. Refuses
nothing; it decides nothing.
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
        self._swapping = threading.Lock()
        self._scrubbed: Live | None = None
        self._stand_ins: dict[str, str] = {}
        self._scrubber = Scrubber({})

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
                self.live = Live(self.live.rules, session)

    def scrubber(self, live: Live) -> Scrubber:
        """Return what to look for in answers: every secret the run has had, whichever of them a request carried."""
        if live is not self._scrubbed:
            # A key that was rotated away can still be said back: by a slow answer, or by a provider that remembers it.
            self._stand_ins |= live.session.stand_ins()
            self._scrubbed, self._scrubber = live, Scrubber(self._stand_ins)
        return self._scrubber
