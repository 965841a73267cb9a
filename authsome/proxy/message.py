"""What the two versions of HTTP have in common: heads, bodies that stream, and both ends of an exchange.

Promises that what carries a request knows nothing of how it is written on the wire. Refuses to name a framing: a body
ends when its reader says so, and how that is written is for each version to know.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from authsome.rules import Refusal

type Fields = tuple[tuple[bytes, bytes], ...]
"""Header or trailer fields as they are written, pseudo-headers not among them."""

type Before = Callable[[], Awaitable[None]]
"""What is to be done before a reader has to wait: to send what it has read so far."""


class CallerGoneError(Exception):
    """The caller hung up, or speaks no HTTP: there is nobody to answer."""


class UpstreamGoneError(Exception):
    """The upstream hung up, or speaks no HTTP.

    Attributes:
        untouched: Whether it said that it has not looked at the request (RFC 9113, 8.7).
        code: The error code with which a stream of HTTP/2 was reset.
    """

    def __init__(self, *, untouched: bool = False, code: int | None = None) -> None:
        super().__init__()
        self.untouched, self.code = untouched, code


class RefusedError(Exception):
    """A request that is not carried any further."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of a request.

    Attributes:
        hosts: What `Host` and `:authority` say, each once for every time it is said.
        version: Of the connection it came on, `1.0`, `1.1` or `2`.
        bodiless: Whether the head says already that no body follows.
    """

    method: bytes
    path: bytes
    hosts: tuple[bytes, ...]
    fields: Fields
    version: str
    bodiless: bool


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

    async def begin(self, answer: Answered) -> None:
        """Begin the answer."""

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

    def release(self) -> None:
        """Be done with it: kept if the exchange came to its end, else broken off."""


def find(fields: Fields, name: bytes) -> list[bytes]:
    """Return what stands in a header, each time it stands there; the name in lower case."""
    return [value for field, value in fields if field.lower() == name]


def without(fields: Fields, names: frozenset[bytes]) -> Fields:
    """Return the fields but for these, in lower case."""
    return tuple(field for field in fields if field[0].lower() not in names)


def options(fields: Fields, name: bytes) -> list[bytes]:
    """Return the members of a list header (RFC 9110, 5.6.1) in lower case."""
    listed = b",".join(find(fields, name)).split(b",")
    return [option for each in listed if (option := each.strip().lower())]


def in_json(refusal: Refusal) -> tuple[Fields, bytes]:
    """Return a refusal's header fields and body, which programs and people can read."""
    body: dict[str, str] = {"error": refusal.error, "reason": refusal.reason}
    body |= {key: text for key, text in (("hint", refusal.hint), ("connection", refusal.connection)) if text}
    content = json.dumps(body).encode() + b"\n"
    fields: Fields = (
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(content)),
        (b"X-Authsome-Error", refusal.error.encode()),
    )
    if refusal.error != "upstream_failed":
        fields += ((b"X-Should-Retry", b"false"),)  # what the SDKs of OpenAI and Anthropic look for
    return fields, content


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
