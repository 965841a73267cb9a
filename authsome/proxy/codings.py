"""Compressed bodies are read, scrubbed and compressed again, piece by piece.

Promises that what was fed leaves at once in the same coding, in constant memory whatever a piece expands to, and that
a body cut short stays cut short: no valid end is written that did not come. Refuses what it cannot read, a coding it
does not know and a damaged stream, with `CodingError`: nothing passes unread.

A body that was coded changes its length; its Content-Length has to go. One that was not keeps it.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

PIECE = 1 << 16
"""Octets that one step of a decoder gives at most, but for zstd's (see `_Zstd`)."""

_ZSTD_WINDOW = 8 << 20
"""Octets; what RFC 9659 permits a sender."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_ZSTD_STEP = 64
"""Octets fed at once: a block of 4 octets can become 128 KB, so a step gives 2 MB at most."""

_MOST_CODINGS = 3
"""Each multiplies the work of the one before; nobody applies more than two."""

_LEVEL_GZIP, _QUALITY_BROTLI, _LEVEL_ZSTD = 1, 3, 3
"""The path to the child is loopback: speed counts, not size."""


class CodingError(Exception):
    """A body that cannot be read, so it cannot be scrubbed either."""


class Scrubbing(Protocol):
    """What replaces secrets in a stream, see `scrub.Stream`."""

    def feed(self, data: bytes, /) -> bytes:
        """Return what can leave now."""

    def end(self) -> bytes:
        """Return what was held."""


class _Decoder(Protocol):
    """Reads one coding."""

    @property
    def whole(self) -> bool:
        """Whether the stream may end here."""

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        """Yield pieces of bounded size."""


class _Encoder(Protocol):
    """Writes one coding."""

    def begin(self) -> bytes:
        """Return the first octets of a stream that will not go on."""

    def feed(self, data: bytes, /) -> bytes:
        """Return what there is so far."""

    def flush(self) -> bytes:
        """Return the rest of what was fed, so that it can be read at once."""

    def finish(self) -> bytes:
        """Return the stream's end."""


class Transform:
    """One body on its way: decoded, scrubbed, encoded."""

    def __init__(self, stages: Iterable["_Stage"], stream: Scrubbing) -> None:
        self._stages = tuple(stages)
        self._stream = stream
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what can leave now, in pieces, and of a piece that becomes part of the next one nothing.

        Little data can become very many pieces; whoever takes them can do something else in between.
        A damaged body is a `CodingError`.
        """
        if not data:
            return
        if not self._stages:
            yield self._stream.feed(data)
            return
        self._begun = True
        for piece in self._decode(data, len(self._stages)):
            yield self._encode(self._stream.feed(piece), 0)
        yield self._flush()

    def end(self) -> bytes:
        """Return the rest. Without a valid end if none came, for the client to see that too."""
        rest = self._stream.end()
        if not self._stages or not self._begun:
            return rest
        out = self._encode(rest, 0)
        whole = all(stage.decoder.whole for stage in self._stages)
        for index, stage in enumerate(self._stages):
            # NOTE: of a body cut short at least the beginning is written: an empty one could pass for a whole one.
            out += self._encode(stage.finish() if whole else stage.begin(), index + 1)
        return out

    def _decode(self, data: bytes, above: int) -> Iterator[bytes]:
        """Yield what the stages below `above` make of the data, the last applied first."""
        if not above:
            yield data
            return
        for piece in self._stages[above - 1].decoder.feed(data):
            yield from self._decode(piece, above - 1)

    def _encode(self, data: bytes, index: int) -> bytes:
        for stage in self._stages[index:]:
            if not data:
                break
            data = stage.encode(data)
        return data

    def _flush(self) -> bytes:
        return b"".join(self._encode(stage.flush(), index + 1) for index, stage in enumerate(self._stages))


class _Stage:
    """One coding of a body, in both directions."""

    def __init__(self, decoder: _Decoder, encoder: Callable[[], _Encoder]) -> None:
        self.decoder = decoder
        self._make_encoder = encoder
        self._encoder: _Encoder | None = None
        self._unflushed = False

    def encode(self, data: bytes) -> bytes:
        self._unflushed = True
        return self._writer().feed(data)

    def flush(self) -> bytes:
        if not self._unflushed:
            return b""
        self._unflushed = False
        return self._writer().flush()

    def begin(self) -> bytes:
        return b"" if self._encoder else self._writer().begin()

    def finish(self) -> bytes:
        return self._writer().finish()

    def _writer(self) -> _Encoder:
        # Late: how a `deflate` is wrapped is known from its first octets.
        if self._encoder is None:
            self._encoder = self._make_encoder()
        return self._encoder


def make(content_encoding: str, stream: Scrubbing) -> Transform:
    """Return what takes a body in these codings, in the order they were applied, through the scrubbing.

    A coding that is not known is a `CodingError`.
    """
    names = _names(content_encoding)
    if unknown := [name for name in names if name not in _CODINGS]:
        raise CodingError(f"content coding {ascii(unknown[0][:40])} is not known")
    if len(names) > _MOST_CODINGS:
        raise CodingError(f"{len(names)} content codings, one over the other")
    return Transform((_CODINGS[name]() for name in names), stream)


def known(content_encoding: str) -> bool:
    """Whether a body in these codings can be read."""
    names = _names(content_encoding)
    return len(names) <= _MOST_CODINGS and all(name in _CODINGS for name in names)


def acceptable(accept_encoding: str) -> str:
    """Return an `Accept-Encoding` with the codings that can be read, as they were weighed; `identity` if none is left.

    `*` goes: it would permit the ones that cannot.
    """
    items = (item.strip() for item in accept_encoding.split(","))
    kept = [item for item in items if _coding(item) in _CODINGS or _coding(item) == "identity"]
    return ", ".join(kept) or "identity"


def _coding(item: str) -> str:
    return item.partition(";")[0].strip().lower()


def _names(content_encoding: str) -> list[str]:
    names = (name.strip().lower() for name in content_encoding.split(","))
    return [name for name in names if name not in ("", "identity")]


class _Zlib:
    """One stream of zlib's after another: gzip's members (RFC 1952, 2.2), or a single deflate."""

    def __init__(self, bits: int, *, members: bool) -> None:
        self._bits, self._members = bits, members
        self._decoder = zlib.decompressobj(bits)
        self._padded = False
        self.whole = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        more = True
        while more:
            if self._decoder.eof:
                data = self._next(data)
                if not data:
                    return
            try:
                piece = self._decoder.decompress(data, PIECE)
            except zlib.error as error:
                raise CodingError("the compressed body is damaged") from error
            self.whole = self._decoder.eof
            if piece:
                yield piece
            data = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            # A full piece may leave more behind although all input is used up.
            more = bool(data) or (len(piece) == PIECE and not self._decoder.eof)

    def _next(self, data: bytes) -> bytes:
        """Begin a further member; zeros after the last one are padding, as gzip itself has it."""
        rest = data.lstrip(b"\0")
        self._padded = self._padded or len(rest) < len(data)
        if rest and (self._padded or not self._members):
            raise CodingError("the compressed body goes on after its end")
        if rest:
            self._decoder = zlib.decompressobj(self._bits)
            self.whole = False
        return rest


class _Deflate:
    """`deflate`, in zlib's wrapping (RFC 1950) or, as some servers and all browsers have it, without."""

    def __init__(self) -> None:
        self._start = b""
        self._inner: _Zlib | None = None
        self.bits = zlib.MAX_WBITS

    @property
    def whole(self) -> bool:
        return self._inner is not None and self._inner.whole

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._start = self._start + data
            if len(data) < 2:  # noqa: PLR2004  the header of RFC 1950
                return
            wrapped = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
            self.bits = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
            self._inner = _Zlib(self.bits, members=False)
        yield from self._inner.feed(data)


class _ZlibEncoder:
    def __init__(self, bits: int) -> None:
        self._encoder = zlib.compressobj(_LEVEL_GZIP, zlib.DEFLATED, bits)

    def begin(self) -> bytes:
        return self.flush()

    def feed(self, data: bytes) -> bytes:
        return self._encoder.compress(data)

    def flush(self) -> bytes:
        return self._encoder.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._encoder.flush()


def _brotli() -> Any:
    import brotli  # type: ignore[import-untyped]  # noqa: PLC0415  it has no types; few bodies need it

    return brotli


class _Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        library = _brotli()
        self._decoder = library.Decompressor()
        self._error: type[Exception] = library.error
        self.whole = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self.whole:
                raise CodingError("the compressed body goes on after its end")
            try:
                piece = self._decoder.process(data, output_buffer_limit=PIECE)
            except self._error as error:
                raise CodingError("the compressed body is damaged") from error
            self.whole = self._decoder.is_finished()
            if piece:
                yield piece
            if self.whole or self._decoder.can_accept_more_data():
                return
            data = b""


class _BrotliEncoder:
    def __init__(self) -> None:
        # A window of 256 KB: a coder with the default one takes megabytes for each body.
        self._encoder = _brotli().Compressor(quality=_QUALITY_BROTLI, lgwin=18)

    def begin(self) -> bytes:
        return self.flush()

    def feed(self, data: bytes) -> bytes:
        return bytes(self._encoder.process(data))

    def flush(self) -> bytes:
        return bytes(self._encoder.flush())

    def finish(self) -> bytes:
        return bytes(self._encoder.finish())


class _Zstd:
    """One frame after another (RFC 8878, 3), their windows no larger than a browser takes."""

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415  few bodies need it

        self._frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._error: type[Exception] = zstandard.ZstdError
        self._decoder = self._frames.decompressobj()
        self.whole = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_STEP):
            step = data[start : start + _ZSTD_STEP]
            while step:
                if self._decoder.eof:
                    self._decoder = self._frames.decompressobj()
                try:
                    piece = self._decoder.decompress(step)
                except self._error as error:
                    raise CodingError("the compressed body is damaged") from error
                self.whole = self._decoder.eof
                step = self._decoder.unused_data if self.whole else b""
                # Cut for the codings below, which would multiply it.
                yield from (piece[at : at + PIECE] for at in range(0, len(piece), PIECE))


class _ZstdEncoder:
    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415  few bodies need it

        self._flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        self._encoder = zstandard.ZstdCompressor(level=_LEVEL_ZSTD).compressobj()

    def begin(self) -> bytes:
        return _ZSTD_MAGIC

    def feed(self, data: bytes) -> bytes:
        return self._encoder.compress(data)

    def flush(self) -> bytes:
        return self._encoder.flush(self._flush)

    def finish(self) -> bytes:
        return self._encoder.flush()


_GZIP = zlib.MAX_WBITS + 16
"""zlib's way to say that the wrapping is gzip's."""


def _gzip() -> _Stage:
    return _Stage(_Zlib(_GZIP, members=True), lambda: _ZlibEncoder(_GZIP))


def _deflate() -> _Stage:
    decoder = _Deflate()
    return _Stage(decoder, lambda: _ZlibEncoder(decoder.bits))


_CODINGS: dict[str, Callable[[], _Stage]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": lambda: _Stage(_Brotli(), _BrotliEncoder),
    "zstd": lambda: _Stage(_Zstd(), _ZstdEncoder),
}
