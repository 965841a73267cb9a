"""Bodies in signed chunks, as S3 reads them, with signatures that are made anew.

Promises that every chunk keeps its length, and that no more than one is held. Refuses a body that is framed in another
way, ends early, or goes on after its end.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and the page on trailers beside it.
"""

import re
from collections.abc import Iterator

from authsome.proxy.sigv4 import Pairs, Seal, UnsignableError, by_name

LONGEST_CHUNK = 4 << 20
"""Octets. The signature stands before the chunk, so a chunk is held until it is whole; SDKs send 64 to 128 KiB."""

_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8});chunk-signature=[0-9a-f]{64}")
_TRAILER = re.compile(rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*)x-amz-trailer-signature:[0-9a-f]{64}")
_LONGEST_LINE, _LONGEST_TRAILER = 128, 1 << 14
_LINE, _END = b"\r\n", b"\r\n\r\n"


class Chunks:
    """The chunks of one body on their way through, each signed anew; their lengths stay as they are.

    Args:
        seal: What the head was signed with.
        size: Octets of what the chunks hold together, as `X-Amz-Decoded-Content-Length` says.
        trailer: Whether fields with a signature follow the last one.
    """

    def __init__(self, seal: Seal, size: int, *, trailer: bool) -> None:
        self._seal, self._left, self._trailer = seal, size, trailer
        self._held = bytearray()
        self._size: int | None = None
        self._ending = self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the chunks that are whole with this data. Raises `UnsignableError`."""
        self._held += data
        return b"".join(iter(self._whole, b""))

    def end(self) -> None:
        """Raise `UnsignableError` unless the last chunk has come."""
        if not self._ended:
            raise _misframed("the body ends before its last chunk")

    def _whole(self) -> bytes:
        """Return the next piece that is whole, nothing if it is not yet."""
        if self._ended:
            return self._nothing_more()
        if self._ending:
            return self._last()
        return self._begun() if self._size is None else self._chunk(self._size)

    def _nothing_more(self) -> bytes:
        if self._held:
            raise _misframed("something follows the last chunk")
        return b""

    def _line(self, end: bytes, longest: int) -> bytes | None:
        """Take what stands before an end; None if that has not come yet."""
        at = self._held.find(end, 0, longest)
        if at < 0:
            if len(self._held) >= longest:
                raise _misframed("the line before a chunk, or after the last one, is too long")
            return None
        line = bytes(self._held[:at])
        del self._held[: at + len(end)]
        return line

    def _begun(self) -> bytes:
        line = self._line(_LINE, _LONGEST_LINE)
        if line is None:
            return b""
        found = _CHUNK.fullmatch(line)
        if not found:
            raise _misframed("a chunk begins without its length and its signature")
        size = int(found[1], 16)
        if size > self._left or (not size and self._left):
            raise _misframed("the chunks hold more or less than `X-Amz-Decoded-Content-Length` says")
        if size > LONGEST_CHUNK:
            raise _misframed(f"a chunk of more than {LONGEST_CHUNK >> 20} MiB cannot be signed anew")
        self._written = found[1]
        if size:
            self._size = size
            return self._chunk(size)
        self._ending = True
        return self._head(b"")

    _written = b""

    def _head(self, data: bytes) -> bytes:
        self._seal = self._seal.chunk(data)
        return b"%s;chunk-signature=%s\r\n" % (self._written, self._seal.last.encode())

    def _chunk(self, size: int) -> bytes:
        if len(self._held) < size + len(_LINE):
            return b""
        data = bytes(self._held[:size])
        if self._held[size : size + len(_LINE)] != _LINE:
            raise _misframed("a chunk is longer than it says")
        del self._held[: size + len(_LINE)]
        self._left -= size
        self._size = None
        return self._head(data) + data + _LINE

    def _last(self) -> bytes:
        if not self._trailer:
            line = self._line(_LINE, len(_LINE))
            self._ended = line is not None
            return b"" if line is None else _LINE
        line = self._line(_END, _LONGEST_TRAILER)
        if line is None:
            return b""
        found = _TRAILER.fullmatch(line)
        if not found:
            raise _misframed("the fields after the last chunk have no signature")
        self._ended = True
        self._seal = self._seal.trailer(b"".join(_folded(found[1])))
        return b"%sx-amz-trailer-signature:%s\r\n\r\n" % (found[1], self._seal.last.encode())


def _folded(lines: bytes) -> Iterator[bytes]:
    for line in lines.splitlines():
        name, _, value = line.partition(b":")
        yield b"%s:%s\n" % (name.lower(), value.strip())


def _misframed(reason: str) -> UnsignableError:
    return UnsignableError("malformed_body", reason)


def length(headers: Pairs) -> int:
    """Return how much signed chunks hold together. Raises `UnsignableError`."""
    said = by_name(headers).get("x-amz-decoded-content-length", [])
    if len(said) != 1 or not re.fullmatch("[0-9]{1,15}", said[0]):
        raise _misframed("`X-Amz-Decoded-Content-Length` is not one number")
    return int(said[0])
