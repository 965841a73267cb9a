"""The answers of a fake run: which of them a request gets, and what it is in octets.

Promises that the same file and the same earlier requests give a request the same answer, and that a file which could
not be played is one error with file:line before anything starts. Refuses to guess: a key it does not know, a host that
nobody declared and a request that no line names are said, not papered over.
"""

import json
import re
import stat
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from authsome import documents
from authsome.documents import Closed, Document
from authsome.errors import did_you_mean, file_errors
from authsome.provider import TOKEN, Host, matches

MOST_SHOWN = 1 << 20
"""Octets of a request's body that an echo shows."""
BODILESS = (204, 304)
"""The final statuses without a body (RFC 9110, 15.3.5 and 15.4.5)."""

_MOST_IN_FILE = 64 << 20
_MOST_MISSES = 20
_LONGEST_DELAY = 3_600_000
_REQUEST = re.compile(r"(?:(?P<method>[A-Z][A-Z-]*|\*) )?(?P<target>(?P<host>[^/\s]+)/\S*|\*\*)")
_PLAIN = re.compile(r"[\w ./~%+*=&@-]+", re.ASCII)  # what YAML takes for text without quotes
_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]*")  # RFC 9110, 5.5, in what Latin-1 can write
_OF_THE_CONNECTION = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade", "te"}
)


# The file as it is written.


@dataclass(frozen=True, slots=True)
class Event(Closed):
    """One server-sent event; `data` that is no text is written as JSON.

    Attributes:
        delay: Milliseconds before it is sent.
    """

    data: Any = ""
    event: str | None = None
    id: str | None = None
    delay: int = 0

    def __post_init__(self) -> None:
        if any("\n" in text or "\r" in text for text in (self.event or "", self.id or "")):
            raise ValueError("`event` and `id` are one line each")
        _check_delay(self.delay)


@dataclass(frozen=True, slots=True)
class Answer(Closed):
    """What one kind of request is answered.

    Attributes:
        request: `METHOD host/path`, with `*` and `**` as in `allow`.
        file: A path from the folder of the file that names it; its octets are the body.
        delay: Milliseconds before the answer begins.
        times: How often it is given; then the next line that fits is.
    """

    request: str
    status: int = 200
    headers: dict[str, str | int] = field(default_factory=dict)
    json: Any = None
    body: str | None = None
    file: str | None = None
    events: tuple[Event, ...] | None = None
    delay: int = 0
    times: int | None = None

    def __post_init__(self) -> None:
        bodies = [name for name in ("json", "body", "file", "events") if getattr(self, name) is not None]
        if len(bodies) > 1:
            raise ValueError(f"`{bodies[0]}` and `{bodies[1]}` are both a body, give one of them")
        if not 200 <= self.status <= 599:  # noqa: PLR2004  a final status (RFC 9110, 15)
            raise ValueError("`status` is a number from 200 to 599")
        if bodies and self.status in BODILESS:
            raise ValueError(f"an answer with status {self.status} has no body")
        if self.file is not None and "\0" in self.file:
            raise ValueError("`file` is not a path")
        if self.times is not None and self.times < 1:
            raise ValueError("`times` is 1 or more")
        _check_delay(self.delay)
        for name, value in self.headers.items():
            _check_header(name, str(value))


def _check_delay(milliseconds: int) -> None:
    if not 0 <= milliseconds <= _LONGEST_DELAY:
        raise ValueError(f"`delay` is a number of milliseconds up to {_LONGEST_DELAY}")


def _check_header(name: str, value: str) -> None:
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{ascii(name)} is not a header name")
    if name.lower() in _OF_THE_CONNECTION:
        raise ValueError(f"`{name}` belongs to the connection and is written by authsome")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of `{name}` holds characters that no header can")


@dataclass(frozen=True, slots=True)
class AnswerFile(Closed):
    """The whole file."""

    version: Literal[1]
    answers: tuple[Answer, ...]


# What is played.


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived.

    Attributes:
        host: As `Host` names it, with a port that is not 443.
        body: Its first `MOST_SHOWN` octets.
        size: Octets of the whole body.
    """

    method: str
    host: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    size: int

    @property
    def target(self) -> str:
        """What a line of the file is compared with."""
        return self.host + self.path

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Octets of a body that are sent together, after a pause in seconds."""

    octets: bytes
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in octets; one without `pieces` is a body of no length."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: tuple[Piece, ...] = ()
    streamed: bool = False
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A pattern for requests and what they are answered, `times` over."""

    method: str
    target: str
    reply: Reply
    times: int | None = None

    def fits(self, seen: Seen) -> bool:
        """Whether a request is one of those meant."""
        return self.method in ("*", seen.method) and matches(self.target, seen.target)


@dataclass(frozen=True, slots=True)
class Answers:
    """The lines of a file in their order."""

    name: str
    lines: tuple[Line, ...]

    def choose(self, seen: Seen, given: Mapping[int, int]) -> int | None:
        """Return the number of the first line that fits and is not used up; `given` says how often each was used."""
        for number, line in enumerate(self.lines):
            if line.fits(seen) and (line.times is None or given.get(number, 0) < line.times):
                return number
        return None


class Stage:
    """Answers as they are given, one request after the other, from any thread; without a file every request is echoed.

    It counts, and that is all it keeps: at most twenty requests that had no answer are remembered by name.
    """

    def __init__(self, answers: Answers | None) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._given: Counter[int] = Counter()
        self._misses: Counter[str] = Counter()

    def answer(self, seen: Seen) -> Reply:
        """Return what a request is answered."""
        if self._answers is None:
            return echo(seen)
        with self._lock:
            number = self._answers.choose(seen, self._given)
            if number is not None:
                self._given[number] += 1
                return self._answers.lines[number].reply
            if str(seen) in self._misses or len(self._misses) < _MOST_MISSES:
                self._misses[str(seen)] += 1
        return _no_answer(self._answers, seen)

    def unanswered(self) -> Mapping[str, int]:
        """Return the requests that no line answered, and how often."""
        with self._lock:
            return dict(self._misses)


def echo(seen: Seen) -> Reply:
    """Return a request as an answer in JSON; a header that stood there twice is joined (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name, value in seen.headers:
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known}, {value}"
    shown: dict[str, Any] = {"fake": True, "method": seen.method, "host": seen.host, "path": seen.path}
    shown |= {"query": seen.query, "headers": headers, "size": seen.size}
    try:
        shown["body"] = seen.body.decode()
    except UnicodeDecodeError:
        shown["body_base64"] = b64encode(seen.body).decode()
    return _whole(200, {}, "application/json", _as_json(shown) + b"\n")


def _no_answer(answers: Answers, seen: Seen) -> Reply:
    used_up = any(line.fits(seen) for line in answers.lines)
    why = "was answered as often as `times` says" if used_up else "is named by no line"
    line = str(seen) if _PLAIN.fullmatch(str(seen)) else json.dumps(str(seen))
    body = {
        "error": "no_fake_answer",
        "reason": f"`{seen}` {why} in {answers.name}",
        "hint": f"to answer it, add `- request: {line}` to `answers` in {answers.name}",
    }
    # The SDKs of OpenAI and Anthropic would ask again, more slowly each time; they read this header.
    headers = {"X-Authsome-Error": "no_fake_answer", "X-Should-Retry": "false"}
    return _whole(501, headers, "application/json", _as_json(body) + b"\n")


def load(path: Path, hosts: Collection[Host]) -> Answers:
    """Return the answers of a file, or raise (exit code 6) with file:line.

    Args:
        path: The file; what it names besides is found from its folder.
        hosts: Those that are declared; a line that can be about none of them is a mistake.
    """
    document = documents.read_yaml(path)
    if document.data is None:
        raise document.error((), "is empty", "start with `version: 1` and `answers:`")
    shaped = documents.shape(AnswerFile, document)
    return Answers(str(path), tuple(_lines(document, shaped.answers, hosts)))


def _lines(document: Document, answers: tuple[Answer, ...], hosts: Collection[Host]) -> Iterator[Line]:
    for number, answer in enumerate(answers):
        where = ("answers", number)
        method, target = _parse(document, (*where, "request"), answer.request, hosts)
        yield Line(method, target, _render(document, where, answer), answer.times)


def _parse(document: Document, where: documents.Where, text: str, hosts: Collection[Host]) -> tuple[str, str]:
    """Return the method and the pattern for host and path that a `request` names."""
    found = _REQUEST.fullmatch(text)
    if not found:
        raise document.error(where, f"{ascii(text)} is not of the form `POST api.example.com/path/*`")
    method, target, host = found["method"] or "*", found["target"], (found["host"] or "**").lower()
    if re.match(r"\w+://", target):
        raise document.error(where, f"{ascii(text)}: write the host without `https://`")
    if "?" in target or "#" in target:
        raise document.error(where, f"{ascii(text)}: the path alone is compared, leave out `?` and what follows")
    names = sorted(str(each) for each in hosts)
    if "**" not in host and not any(matches(host, name) for name in names):
        hint = did_you_mean(host, names, f"declared hosts: {', '.join(names) or 'none'}")
        raise document.error(where, f"no declared provider has the host `{host}`", hint)
    return method, host + target[len(host) :]


def _render(document: Document, where: documents.Where, answer: Answer) -> Reply:
    headers = {name: str(value) for name, value in answer.headers.items()}
    pause = answer.delay / 1000
    if answer.events is not None:
        pieces = tuple(_event(document, (*where, "events", number), each) for number, each in enumerate(answer.events))
        typed = _typed(headers, "text/event-stream")
        return Reply(answer.status, typed, pieces, streamed=True, pause=pause)
    if answer.file is not None:
        kind, octets = "application/octet-stream", _octets(document, (*where, "file"), answer.file)
    elif answer.body is not None:
        kind, octets = "text/plain; charset=utf-8", _utf8(answer.body)
    elif answer.json is not None:
        kind, octets = "application/json", _encoded(document, (*where, "json"), answer.json)
    else:
        return Reply(answer.status, tuple(headers.items()), pause=pause)
    return _whole(answer.status, headers, kind, octets, pause)


def _whole(status: int, headers: Mapping[str, str], kind: str, octets: bytes, pause: float = 0.0) -> Reply:
    return Reply(status, _typed(headers, kind), (Piece(octets),), pause=pause)


def _typed(headers: Mapping[str, str], kind: str) -> tuple[tuple[str, str], ...]:
    """Return headers with the content type that holds unless the file says another."""
    given = any(name.lower() == "content-type" for name in headers)
    return tuple(headers.items()) if given else (("Content-Type", kind), *headers.items())


def _event(document: Document, where: documents.Where, event: Event) -> Piece:
    """Return a server-sent event (HTML Standard, 9.2.6)."""
    named = [(name, text) for name, text in (("event", event.event), ("id", event.id)) if text is not None]
    data = event.data if isinstance(event.data, str) else _encoded(document, (*where, "data"), event.data).decode()
    lines = [*named, *(("data", line) for line in re.split("\r\n|\r|\n", data))]
    return Piece(_utf8("".join(f"{name}: {text}\n" for name, text in lines) + "\n"), event.delay / 1000)


def _encoded(document: Document, where: documents.Where, value: Any) -> bytes:
    try:
        return _as_json(value)
    except ValueError:
        raise document.error(where, "JSON has no infinity and no NaN") from None


def _as_json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _utf8(text: str) -> bytes:
    # JSON's escapes in a YAML file spell a character beyond the first 65536 as two, and can spell one half alone.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _octets(document: Document, where: documents.Where, name: str) -> bytes:
    """Return the octets of a file below the folder of the document."""
    folder = document.path.absolute().parent
    path = folder / name
    # NOTE: a test's answers are checked in by whoever wrote the repository; they are not to name other people's files.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise document.error(where, f"{ascii(name)} leads out of the folder of {document.path.name}")
    with file_errors("read", path, hint=document.at(where)):
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > _MOST_IN_FILE:
            raise document.error(where, f"{ascii(name)} is no regular file of at most {_MOST_IN_FILE >> 20} MiB")
        return path.read_bytes()
