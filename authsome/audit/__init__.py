"""The audit log: every use of a credential leaves a line, and no secret.

Promises that recording costs the caller a queue's `put` and nothing else, that lines are chained (see `chain`), and
that files are 0600 in a folder that is 0700 under any umask. Refuses headers, queries and control characters.

A log that cannot be written never ends a run: the log is read afterwards and permits nothing, so a full disk must not
be a way to stop somebody's work. It is said once, and at the end how many lines are missing. A run that is killed loses
what its writer had not written yet, some milliseconds.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from authsome.audit import chain
from authsome.audit.chain import Problem, Verdict, follow, verify
from authsome.audit.process import Process, Processes
from authsome.errors import clean
from authsome.rules import Use

__all__ = [
    "Audit",
    "Line",
    "Problem",
    "Summary",
    "Tally",
    "Verdict",
    "follow",
    "parse",
    "place",
    "read",
    "summary",
    "verify",
]

LONGEST_PATH = 1024
"""Octets of a path that are kept; a longer one ends in `…`."""

_LONGEST_NAME = 256
_BATCH = 256
_BATCH_SECONDS = 0.01
_BACKLOG = 100_000
_LAST_SECONDS = 1.0
_CLOSE_SECONDS = 10.0
_MOST_HOSTS = 1000
_MOST_EXAMPLES = 50


def place(home: Path) -> Path:
    """Return the folder of the log in a home."""
    return home / "audit"


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it was read back."""

    number: int
    run: str
    profile: str
    use: Use
    process: Process | None = None


@dataclass(slots=True)
class Traffic:
    """What went to one host and came from it."""

    requests: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Summary:
    """What uses amount to; bounded, however many there were.

    Attributes:
        hosts: By name; from the 1000th on they are counted under `(other hosts)`.
        refusals: How often each error word was answered.
        misplaced: Requests with a placeholder where none belongs, 50 at most, each once.
    """

    hosts: dict[str, Traffic] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    misplaced: dict[str, None] = field(default_factory=dict)

    def add(self, use: Use) -> None:
        """Count one more."""
        host = use.host if use.host in self.hosts or len(self.hosts) < _MOST_HOSTS else "(other hosts)"
        traffic = self.hosts.setdefault(host, Traffic())
        traffic.requests += 1
        traffic.sent += use.sent
        traffic.received += use.received
        if refused(use):
            traffic.refused += 1
            self.refusals[use.decision] += 1
        if use.decision == "placeholder_misplaced" and len(self.misplaced) < _MOST_EXAMPLES:
            self.misplaced[f"{use.method} {use.host}{use.path}"] = None


def refused(use: Use) -> bool:
    """Whether a request did not leave."""
    return use.decision not in ("inject", "pass", "tunnel")


def summary(uses: Iterable[Use]) -> Summary:
    """Return what uses amount to."""
    made = Summary()
    for use in uses:
        made.add(use)
    return made


class Audit:
    """The log as one run writes it.

    Args:
        folder: Where the log is, see `place`; made when the first line is written.
        run: What tells this run from others.
        say: Gets one line when the log cannot be written, and one when lines are missing; called from any thread.
    """

    def __init__(self, folder: Path, run: str, profile: str, say: Callable[[str], None]) -> None:
        self._folder, self._run, self._profile, self._say = folder, run, profile, say
        self._queue: SimpleQueue[Callable[[], dict[str, Any] | None] | None] = SimpleQueue()
        self._processes = Processes()
        self._summary = Summary()
        self._lost = 0
        self._failed = False
        self._writer = threading.Thread(target=self._write, name="authsome-audit", daemon=True)
        self._writer.start()

    def record(self, use: Use) -> None:
        """Log one use. From any thread; neither waits nor raises.

        A path with a secret's place in it arrives as the client sent it, with the placeholder; give no other.
        """
        self._put(lambda: self._line(use))

    def opened(self, peer: tuple[str, int]) -> None:
        """Find out, in the writer's thread, which process connected."""
        self._put(lambda: self._processes.opened(peer))

    def closed(self, peer: tuple[str, int]) -> None:
        """Forget a client; uses that were recorded before still name it."""
        self._put(lambda: self._processes.closed(peer))

    def close(self) -> None:
        """Write what was recorded, and end; waits ten seconds at most."""
        self._queue.put(None)
        self._writer.join(_CLOSE_SECONDS)
        missing = self._lost + self._queue.qsize()
        if missing:
            self._say(f"authsome: the audit log lacks {missing} uses of this run")

    def summary(self) -> Summary:
        """Return what this run's uses amount to; complete after `close`."""
        return self._summary

    def _put(self, doing: Callable[[], dict[str, Any] | None]) -> None:
        # NOTE: a disk that hangs must not fill the memory.
        if self._queue.qsize() < _BACKLOG:
            self._queue.put(doing)
        else:
            self._lost += 1

    def _write(self) -> None:
        going = True
        while going:
            going, lines = self._collect()
            if lines:
                self._append(lines)

    def _collect(self) -> tuple[bool, list[dict[str, Any]]]:
        """Do what is queued, at once; return the lines of a moment, so that many share one write."""
        lines: list[dict[str, Any]] = []
        wait: float | None = None
        while len(lines) < _BATCH:
            try:
                doing = self._queue.get(timeout=wait)
            except Empty:
                break
            if doing is None:
                return False, lines
            if line := doing():
                lines.append(line)
                wait = _BATCH_SECONDS
        return True, lines

    def _append(self, lines: list[dict[str, Any]]) -> None:
        try:
            chain.append(self._folder, lines)
        except OSError as error:
            self._lost += len(lines)
            if not self._failed:
                self._failed = True
                reason = (error.strerror or type(error).__name__).lower()
                where = error.filename or self._folder
                self._say(f"authsome: cannot write the audit log ({where}: {reason}); the run goes on without it")

    def _line(self, use: Use) -> dict[str, Any]:
        self._summary.add(_safe(use))
        return render(use, self._run, self._profile, self._processes.get(use.peer))


class Tally:
    """What stands in for `Audit` in a run that leaves nothing behind: it counts, and writes nothing."""

    def __init__(self) -> None:
        self._summary = Summary()
        self._clients: set[tuple[str, int]] = set()
        self._changed = threading.Condition()

    def record(self, use: Use) -> None:
        """Count one use."""
        with self._changed:
            self._summary.add(_safe(use))

    def opened(self, peer: tuple[str, int]) -> None:
        """Take note of a client, until it has gone."""
        with self._changed:
            self._clients.add(peer)

    def closed(self, peer: tuple[str, int]) -> None:
        """Forget a client."""
        with self._changed:
            self._clients.discard(peer)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait, a second at most, for the last use of a client that ended as soon as it was answered."""
        with self._changed:
            self._changed.wait_for(lambda: not self._clients, _LAST_SECONDS)

    def summary(self) -> Summary:
        """Return what this run's uses amount to; complete after `close`."""
        return self._summary


def _safe(use: Use) -> Use:
    """Return a use without control characters, with bounded words and without a query, whatever it was given."""
    return Use(
        use.time,
        _bounded(use.method),
        _bounded(use.host),
        _bounded(use.path.partition("?")[0].partition("#")[0], LONGEST_PATH),
        _bounded(use.decision),
        _bounded(use.connection) if use.connection is not None else None,
        use.status,
        use.sent,
        use.received,
        use.milliseconds,
        use.peer,
    )


def _bounded(text: str, octets: int = _LONGEST_NAME) -> str:
    encoded = clean(text).encode()
    if len(encoded) <= octets:
        return encoded.decode()
    return encoded[: octets - len("…".encode())].decode(errors="ignore") + "…"


def render(use: Use, run: str, profile: str, process: Process | None) -> dict[str, Any]:
    """Return a use as its line holds it, without what chains it; a client that is not known is left out."""
    safe = _safe(use)
    seconds, milliseconds = divmod(round(safe.time * 1000), 1000)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03}Z",
        "run": _bounded(run),
        "profile": _bounded(profile),
        "connection": safe.connection,
        "method": safe.method,
        "host": safe.host,
        "path": safe.path,
        "decision": safe.decision,
        "status": safe.status,
        "sent": safe.sent,
        "received": safe.received,
        "milliseconds": round(safe.milliseconds, 3),
    }
    return line | ({"pid": process.pid, "process": _bounded(process.name)} if process else {})


def parse(values: Mapping[str, Any]) -> Line | None:
    """Return a line's values in their shape; None if somebody else wrote them."""
    try:
        use = Use(
            _seconds(values["time"]),
            str(values["method"]),
            str(values["host"]),
            str(values["path"]),
            str(values["decision"]),
            connection=None if values["connection"] is None else str(values["connection"]),
            status=None if values["status"] is None else int(values["status"]),
            sent=int(values["sent"]),
            received=int(values["received"]),
            milliseconds=float(values["milliseconds"]),
        )
        process = Process(int(values["pid"]), str(values["process"])) if "pid" in values else None
        return Line(int(values["n"]), str(values["run"]), str(values["profile"]), use, process)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _seconds(text: str) -> float:
    """Return the seconds since the epoch of `2026-01-31T12:00:00.123Z`."""
    import datetime  # noqa: PLC0415  only a reader needs it

    return datetime.datetime.fromisoformat(text).timestamp()


def read(folder: Path, run: str | None = None) -> list[Line]:
    """Return every line that can be read, oldest first; of one run if it is named."""
    lines = filter(None, map(parse, chain.each(folder)))
    return [line for line in lines if run in (None, line.run)]
