"""How an upstream can say a secret back: the spellings and the compressions of the attack gallery."""

import gzip
import html
import json
import zlib
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

import brotli  # type: ignore[import-untyped]  # it ships no types
import zstandard


def _each(template: str) -> Callable[[bytes], bytes]:
    return lambda text: "".join(template.format(code) for code in text).encode()


def _shifted(shift: int, encode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    # The neighbours are whole: they are not the secret's, and a test can tell what the encoding makes of both.
    return lambda text: encode(b"?" * shift + text + b">" * (-(len(text) + shift) % 3))


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "reversed": lambda text: text[::-1],
    "hex": lambda text: text.hex().encode(),
    "hex-upper": lambda text: text.hex().upper().encode(),
    "percent": _each("%{:02x}"),
    "percent-upper": _each("%{:02X}"),
    "percent-twice": _each("%25{:02x}"),
    "percent-thrice": _each("%2525{:02x}"),
    "json": _each("\\u{:04x}"),
    "javascript": _each("\\x{:02x}"),
    "entities": _each("&#{};"),
    "entities-hex": _each("&#x{:x};"),
    "entities-zeros": _each("&#000{};"),
    "mixed": lambda text: b"".join(b"%%%02x" % code if index % 3 else bytes([code]) for index, code in enumerate(text)),
    **{f"base64-{shift}": _shifted(shift, b64encode) for shift in range(3)},
    **{f"base64url-{shift}": _shifted(shift, urlsafe_b64encode) for shift in range(3)},
}
"""A plain one, and the list of docs/scrubbing.md."""


def read(spelling: str, spoken: bytes) -> bytes:
    """Return what a reader makes of a spelling."""
    if spelling.startswith("base64"):
        return b64decode(spoken, altchars=b"-_" if "url" in spelling else None)
    if spelling.startswith("hex"):
        return bytes.fromhex(spoken.decode())
    if spelling == "reversed":
        return spoken[::-1]
    if spelling == "json":
        return cast("str", json.loads(b'"' + spoken + b'"')).encode()
    if spelling == "javascript":
        return bytes.fromhex(spoken.replace(b"\\x", b"").decode())
    return html.unescape(unquote(unquote(unquote(spoken.decode())))).encode()


def compress(coding: str, blocks: list[bytes]) -> list[bytes]:
    """Return the blocks compressed, each flushed as a stream would."""
    if coding == "":
        return blocks
    if coding == "zstd":
        made = zstandard.ZstdCompressor().compressobj()
        flush = [made.compress(block) + made.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for block in blocks]
        return [*flush, made.flush()]
    if coding == "br":
        stream = brotli.Compressor()
        return [*(stream.process(block) + stream.flush() for block in blocks), stream.finish()]
    packed = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return [*(packed.compress(block) + packed.flush(zlib.Z_SYNC_FLUSH) for block in blocks), packed.flush()]


def reader(coding: str) -> Callable[[bytes], bytes]:
    """Return what a client makes of a body that comes in pieces."""
    if coding == "br":
        return cast("Callable[[bytes], bytes]", cast("Any", brotli).Decompressor().process)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress
    return zlib.decompressobj(wbits=47).decompress if coding else bytes


def decompress(coding: str, content: bytes) -> bytes:
    """Return what a client reads."""
    if coding == "gzip":
        return gzip.decompress(content)
    if coding == "deflate":
        return zlib.decompress(content)
    if coding == "br":
        return cast("bytes", cast("Any", brotli).decompress(content))
    return zstandard.ZstdDecompressor().decompressobj().decompress(content) if coding == "zstd" else content
