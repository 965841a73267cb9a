"""HTTP/1.1 requests as octets, taken apart by RFC 9112 alone, and strictly: the judge of what reached an origin.

It shares no code with the program.
"""

import re
from dataclasses import dataclass

type Fields = tuple[tuple[bytes, bytes], ...]

_NAME = rb"[!#-'*+.^_`|~0-9A-Za-z-]+"
_FIELDS = rb"((?:" + _NAME + rb": ?[^\r\n\0]*\r\n)*)\r\n"
HEAD = re.compile(rb"(" + _NAME + rb") (/[!-~\x80-\xff]*) HTTP/1\.[01]\r\n" + _FIELDS)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_TRAILERS = re.compile(_FIELDS)


@dataclass(frozen=True)
class Arrived:
    """One request, by the strictest reading; names in lower case."""

    method: bytes
    path: bytes
    headers: Fields
    body: bytes = b""
    trailers: Fields = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


def read(octets: bytes) -> tuple[list[Arrived], bytes]:
    """Return the requests in what one connection carried, and the octets that belong to none."""
    found = []
    while head := HEAD.match(octets):
        fields = _fields(head[3])
        taken = _body(fields, octets[head.end() :])
        if taken is None:
            break
        body, trailers, octets = taken
        found.append(Arrived(head[1], head[2], fields, body, trailers))
    return found, octets


def _fields(lines: bytes) -> Fields:
    parted = (line.partition(b":") for line in lines.split(b"\r\n") if line)
    return tuple((name.lower(), value.strip()) for name, _, value in parted)


def _body(fields: Fields, octets: bytes) -> tuple[bytes, Fields, bytes] | None:
    """Return a body, its trailers and what follows; None if the body is not framed or not complete."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        return None
    if codings:
        return _chunked(octets)
    size = int(lengths[0]) if lengths and lengths[0].isdigit() else 0
    return (octets[:size], (), octets[size:]) if len(octets) >= size else None


def _chunked(octets: bytes) -> tuple[bytes, Fields, bytes] | None:
    body = b""
    while chunk := _CHUNK.match(octets):
        size, octets = int(chunk[1], 16), octets[chunk.end() :]
        if size == 0:
            trailers = _TRAILERS.match(octets)
            return (body, _fields(trailers[1]), octets[trailers.end() :]) if trailers else None
        if octets[size : size + 2] != b"\r\n":
            return None
        body, octets = body + octets[:size], octets[size + 2 :]
    return None
