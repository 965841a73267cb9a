"""What the two versions of HTTP have in common: heads, bodies that stream, and both ends of an exchange.

Promises that what carries a request knows nothing of how it is written on the wire. Refuses to name a framing: a body
ends when its reader says so, and how that is written is for each version to know.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from authsome.rules import Refusal

type Pair = tuple[bytes, bytes]
"""A field's name as it is written, and its value."""

type Before = Callable[[], Awaitable[None]]
"""What is to be done before a reader has to wait: to send what it has read so far."""


class CallerGoneError(Exception):
    """The caller hung up, or speaks no HTTP: there is nobody to answer."""


class UpstreamGoneError(Exception):
    """The upstream hung up, or speaks no HTTP.

    Attributes:
        silent: Whether its connection ended without a word of an answer.
        untouched: Whether it said that it has not looked at the request (RFC 9113, 8.7).
        code: The error code with which a stream of HTTP/2 was reset.
    """

    def __init__(self, *, silent: bool = False, untouched: bool = False, code: int | None = None) -> None:
        super().__init__()
        self.silent, self.untouched, self.code = silent, untouched, code


class RefusedError(Exception):
    """A request that is not carried any further."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class Fields:
    """Header or trailer fields in their order, pseudo-headers not among them. Never changes.

    Args:
        names: The pairs' names in lower case, if they are known already.
    """

    __slots__ = ("_found", "_names", "pairs")

    def __init__(self, pairs: Iterable[Pair] = (), names: Iterable[bytes] | None = None) -> None:
        self.pairs = tuple(pairs)
        self._names = tuple(name.lower() for name, _ in self.pairs) if names is None else tuple(names)
        self._found: dict[bytes, list[bytes]] | None = None

    def __repr__(self) -> str:
        """Say nothing of the values: one of them may be a secret."""
        return f"Fields({', '.join(map(ascii, self._names))})"

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.pairs)

    def named(self) -> Iterable[Pair]:
        """Return the fields with their names in lower case."""
        return zip(self._names, (value for _, value in self.pairs), strict=True)

    def all(self, name: bytes) -> list[bytes]:
        """Return what stands in a field, each time it stands there; the name in lower case."""
        if self._found is None:
            self._found = {}
            for known, value in self.named():
                self._found.setdefault(known, []).append(value)
        return self._found.get(name, [])

    def options(self, name: bytes) -> list[bytes]:
        """Return the members of a list (RFC 9110, 5.6.1) in lower case."""
        found = self.all(name)
        return [option for each in b",".join(found).split(b",") if (option := each.strip().lower())] if found else []

    def without(self, names: frozenset[bytes]) -> "Fields":
        """Return the fields but for these, in lower case."""
        if names.isdisjoint(self._names):
            return self
        kept = [at for at, name in enumerate(self._names) if name not in names]
        return Fields([self.pairs[at] for at in kept], [self._names[at] for at in kept])

    def plus(self, *pairs: Pair) -> "Fields":
        """Return the fields with more after them."""
        return Fields((*self.pairs, *pairs), (*self._names, *(name.lower() for name, _ in pairs)))


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of a request.

    Attributes:
        hosts: What `Host` and `:authority` say, each once for every time it is said.
        version: Of the connection it came on, `1.0`, `1.1` or `2`.
        bodiless: Whether the head says already that no body follows.
        wrong: Why it is none, if it can be read but not be believed.
    """

    method: bytes
    path: bytes
    hosts: tuple[bytes, ...]
    fields: Fields
    version: str
    bodiless: bool
    wrong: str | None = None

    @property
    def length(self) -> int | None:
        """How long it says that its body is, in octets."""
        found = self.fields.all(b"content-length")
        return int(found[0]) if found else None


@dataclass(frozen=True, slots=True)
class Answered:
    """The head of an answer, an interim one (1xx) too."""

    status: int
    fields: Fields
    reason: bytes = b""


class Body(Protocol):
    """A body, from the side that receives it."""

    @property
    def trailers(self) -> Fields:
        """The fields after the body, once it has ended."""

    async def read(self, before: Before) -> bytes:
        """Return the next piece, nothing at the end; `before` is done if it is not there yet."""


class Call(Body, Protocol):
    """A request from the side of the one who is asked. Every method raises `CallerGoneError`."""

    asked: Asked

    async def inform(self, answer: Answered) -> None:
        """Send an interim answer."""

    async def begin(self, answer: Answered, *, bodiless: bool) -> None:
        """Begin the answer; `bodiless` if it is known to have no body."""

    async def send(self, data: bytes) -> None:
        """Send a piece of its body, at the latest with the next `flush`."""

    async def flush(self) -> None:
        """Let what was sent leave."""

    async def finish(self, trailers: Fields) -> None:
        """End the answer."""

    def break_off(self, code: int | None) -> None:
        """End the answer so that the caller sees that it is not whole."""

    def done(self) -> None:
        """Be done with it, whether all of the request was read or not."""


class Wire(Body, Protocol):
    """A request from the side of the one who asks. Every method raises `UpstreamGoneError`."""

    async def ask(self, asked: Asked) -> None:
        """Send the head, at the latest with the next `flush`."""

    async def send(self, data: bytes) -> None:
        """Send a piece of the body, at the latest with the next `flush`."""

    async def flush(self) -> None:
        """Let what was sent leave."""

    async def finish(self, trailers: Fields) -> None:
        """End the request."""

    async def answer(self) -> Answered:
        """Return the next head of an answer."""

    def when_lost(self, told: Callable[[], object]) -> None:
        """Have it told, once the upstream says that it wants no more of the request."""

    def release(self) -> None:
        """Be done with it: kept if the exchange came to its end, else broken off."""


def in_json(refusal: Refusal) -> tuple[Fields, bytes]:
    """Return a refusal's header fields and body, which programs and people can read."""
    body: dict[str, str] = {"error": refusal.error, "reason": refusal.reason}
    body |= {key: text for key, text in (("hint", refusal.hint), ("connection", refusal.connection)) if text}
    content = json.dumps(body).encode() + b"\n"
    fields = Fields(
        [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(content)),
            (b"X-Authsome-Error", refusal.error.encode()),
        ]
    )
    # What the SDKs of OpenAI and Anthropic look for before they try again.
    return (fields if refusal.error in _MAY_PASS else fields.plus((b"X-Should-Retry", b"false"))), content


_MAY_PASS = ("upstream_failed", "renewal_failed")


def misframed(fields: Fields, *, bodiless: bool) -> str | None:
    """Return why a body's length cannot be believed, None if it can (RFC 9110, 8.6)."""
    found = fields.all(b"content-length")
    if len(found) > 1 or any(not (length.isdigit() and len(length) < _MOST_DIGITS) for length in found):
        return "the body's length is not one number"
    return "the body's length is said, and no body follows" if bodiless and found and int(found[0]) else None


_MOST_DIGITS = 20


def malformed(reason: str) -> Refusal:
    """Refuse what is no request, or could be taken for another one."""
    return Refusal("malformed_request", f"{reason}; nothing was sent", status=400)


def unreadable(coding: str) -> Refusal:
    """Refuse an answer that cannot be looked at."""
    return Refusal(
        "unreadable_response",
        f"the answer is in the coding {ascii(coding)}, in which a reflected key could not be found",
        "ask for gzip, br, zstd or nothing in Accept-Encoding, or set `scrub: off` for this connection",
        status=502,
    )
