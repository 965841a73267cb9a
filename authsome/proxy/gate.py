"""What one run's engine works with, whatever carries a request.

Promises that what is looked for in answers only ever grows: a key that was rotated away can still be said back. Refuses
nothing; it decides nothing.
"""

import asyncio
from dataclasses import dataclass

from authsome.proxy import Live, Log
from authsome.proxy.authority import Authority
from authsome.proxy.scrub import Scrubber
from authsome.proxy.upstream import Upstream

_LONG_BODIES = 4


@dataclass
class Gate:
    """The parts of a run that its engine shares.

    Attributes:
        live: Replaced whole by another thread; whoever decides reads it once.
        room: For the long bodies that are held until they are signed.
    """

    live: Live
    authority: Authority
    upstream: Upstream
    password: str
    log: Log

    def __post_init__(self) -> None:
        self.room = asyncio.Semaphore(_LONG_BODIES)
        self._scrubbed: Live | None = None
        self._stand_ins: dict[str, str] = {}
        self._scrubber = Scrubber({})

    def scrubber(self, live: Live) -> Scrubber:
        """Return what to look for in answers: every secret the run has had, whichever of them a request carried."""
        if live is not self._scrubbed:
            # A key that was rotated away can still be said back: by a slow answer, or by a provider that remembers it.
            self._stand_ins |= live.session.stand_ins()
            self._scrubbed, self._scrubber = live, Scrubber(self._stand_ins)
        return self._scrubber
