"""Where the page's threads hand answers to the thread that asked: the vault is that one's alone.

Promises that what becomes of a line is decided here, one answer after the other, and that a login on another device is
asked about no more often than its provider wants. Refuses to wait for a person for ever.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from authsome.bridge import Answer, Outcome, Take
from authsome.bridge.sheet import Line, Sheet, check_hosts
from authsome.errors import AuthsomeError, ExitCode

LATER = "what was stored stays stored; start again for the rest"
LINGERS = 10.0
"""Seconds for which the page stays for its last look, where nobody pressed a button that ended it."""
_IN_PLACE = frozenset({ExitCode.USAGE, ExitCode.REFUSED})
"""Errors that are one line's; any other one ends the page."""


@dataclass(frozen=True, slots=True)
class Handed:
    """An answer on its way, and who waits for what becomes of it."""

    line: Line
    answer: Answer = field(repr=False)
    done: "Future[None]" = field(default_factory=Future, compare=False)


type Waiting = queue.Queue[Handed | None]


class Desk:
    """One page's.

    Args:
        clock: Seconds; `waiting` waits by the same.
    """

    def __init__(
        self, sheet: Sheet, *, clock: Callable[[], float] = time.monotonic, waiting: Waiting | None = None
    ) -> None:
        self._sheet, self._clock = sheet, clock
        self._waiting: Waiting = queue.Queue() if waiting is None else waiting
        self._curious: list[Handed] = []
        self._last = self._clock()
        self._lingers: float | None = None
        self._over = False
        self._lock = threading.Lock()

    def hand(self, line: Line, answer: Answer) -> None:
        """Have an answer taken; raise what is not the line's alone."""
        handed = Handed(line, answer)
        with self._lock:
            if self._over:
                raise Ended
            self._waiting.put(handed)
        handed.done.result()

    def close(self) -> None:
        """Say that there will be no more."""
        self._waiting.put(None)

    def attend(self, take: Take, seconds: float) -> None:
        """Take answers until there are no more; raise (exit code 3) if none comes for so long."""
        self._last = self._clock()
        try:
            while not self._sheet.closed:
                try:
                    handed = self._waiting.get(timeout=max(0.0, self._wakes(seconds) - self._clock()))
                except queue.Empty:
                    self._look_around(take, seconds)
                    continue
                if handed is None:
                    return
                self._serve(take, handed)
                self._last = self._clock()
        finally:
            self._leave()

    def _wakes(self, seconds: float) -> float:
        dues = (min(code.due, code.expires) for _, code in self._sheet.codes)
        return min([self._patience(seconds), *dues]) if self._lingers is None else self._lingers

    def _patience(self, seconds: float) -> float:
        # Who confirms on another device does nothing here meanwhile.
        return max([self._last + seconds, *(code.expires for _, code in self._sheet.codes)])

    def _look_around(self, take: Take, seconds: float) -> None:
        """Do what is due by the clock."""
        now = self._clock()
        if self._lingers is not None and now >= self._lingers:
            self._sheet.finish()
            return
        for line, code in self._sheet.codes:
            if code.expires <= now:
                line.expire()
                self._last = now
                self._tell(line)
            elif code.due <= now:
                self._poll(take, line)
        if self._clock() >= self._patience(seconds):
            waited = f"{seconds / 60:.0f} minutes" if seconds >= 60 else f"{seconds:g} seconds"  # noqa: PLR2004
            raise AuthsomeError(f"nobody answered on the page for {waited}", hint=LATER, code=ExitCode.MISSING)

    def _serve(self, take: Take, handed: Handed) -> None:
        line = handed.line
        if handed.answer.polls:  # not before its time, whoever presses the button for it
            self._curious.append(handed)
            if line.code:
                line.code.hurries()
            else:
                self._tell(line)
            return
        try:
            if not line.settled:
                self._take(take, line, handed.answer)
            handed.done.set_result(None)
        except AuthsomeError as error:
            handed.done.set_exception(error)
            raise
        except BaseException:
            handed.done.set_exception(Ended())
            raise

    def _poll(self, take: Take, line: Line) -> None:
        self._take(take, line, line.asks_again())
        if not line.code:
            self._last = self._clock()
        elif any(each.line is line for each in self._curious):
            line.is_not_confirmed()
        self._tell(line)

    def _tell(self, line: Line) -> None:
        """Let those go on who wait for what becomes of a login on another device."""
        for each in [each for each in self._curious if each.line is line]:
            self._curious.remove(each)
            each.done.set_result(None)

    def _take(self, take: Take, line: Line, answer: Answer) -> None:
        code = line.code
        try:
            check_hosts(line.question, answer)
            taken = take(line.question, answer)
            # Who has put a login off does not want to hear that it still waits; that it was done, they do.
            if isinstance(taken, Outcome) or not answer.polls or line.code is code:
                line.settle(taken, self._clock())
        except AuthsomeError as error:
            if answer.polls and line.code is not code and error.code in _IN_PLACE:
                return
            if not (answer.polls and line.puts_off(error, self._clock())):
                line.refuse(error, answer)
            if error.code not in _IN_PLACE:
                raise
        if self._sheet.settled:
            self._lingers = self._clock() + LINGERS

    def _leave(self) -> None:
        """Let nobody wait for what does not come any more."""
        with self._lock:
            self._over = True
        while not self._waiting.empty():
            if handed := self._waiting.get():
                self._curious.append(handed)
        for each in self._curious:
            each.done.set_exception(Ended())


class Ended(Exception):  # noqa: N818  no error of the page's
    """The thread that asked does so no more."""
