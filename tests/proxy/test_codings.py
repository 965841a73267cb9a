import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from authsome.proxy.codings import CodingError, acceptable, known, make
from authsome.proxy.scrub import Scrubber
from canary import OPENAI_KEY

STAND_IN = "authsome-proxy-managed"
SCRUBBER = Scrubber({OPENAI_KEY: STAND_IN})


def _raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


def _unzstd(data: bytes) -> bytes:
    """Read one frame; a cut one is an error."""
    coder = zstandard.ZstdDecompressor().decompressobj()
    plain = coder.decompress(data)
    if not coder.eof:
        raise ValueError("cut short")
    return plain


def _unbrotli(data: bytes) -> bytes:
    plain: bytes = brotli.decompress(data)
    return plain


CODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": _raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor(level=1).compress,
}
READ: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "x-gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "raw deflate": lambda data: zlib.decompress(data, wbits=-15),
    "br": _unbrotli,
    "zstd": _unzstd,
}
NAMES = sorted(CODE)
CODED = pytest.mark.parametrize("name", NAMES)


def _header(*names: str) -> str:
    return ", ".join(name.removeprefix("raw ") for name in names)


def _through(content_encoding: str, chunks: Iterable[bytes]) -> bytes:
    transform = make(content_encoding, SCRUBBER.stream())
    out = [piece for chunk in chunks for piece in transform.feed(chunk)]
    return b"".join([*out, transform.end()])


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


BODY = b'{"key": "' + OPENAI_KEY.encode() + b'", "rest": ' + b"0123456789 " * 3000 + b"}"
CLEAN = BODY.replace(OPENAI_KEY.encode(), STAND_IN.encode().ljust(len(OPENAI_KEY), b"*"))


def _scrubbed(body: bytes, original: bytes) -> bool:
    """Whether a body came back as it should, but for up to three first characters of a secret that had left."""
    key = OPENAI_KEY.encode()
    clean = SCRUBBER.once(original)
    while (at := original.find(key)) >= 0:
        sent = next((size for size in (3, 2, 1) if body[at : at + size] == key[:size]), 0)
        clean = clean[:at] + body[at : at + sent] + clean[at + sent :]
        original = original[:at] + bytes(len(key)) + original[at + len(key) :]
    return body == clean


@CODED
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_coded_body_comes_back_in_the_same_coding_without_its_secret(name: str, size: int) -> None:
    assert _scrubbed(READ[name](_through(_header(name), _pieces(CODE[name](BODY), size))), BODY)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.binary(max_size=3000), st.integers(1, 4000))
@settings(deadline=None)
def test_codings_over_one_another_are_undone_in_their_order(names: list[str], body: bytes, size: int) -> None:
    coded = body = body + OPENAI_KEY.encode() + body
    for name in names:
        coded = CODE[name](coded)
    read = _through(_header(*names), _pieces(coded, size))
    for name in reversed(names):
        read = READ[name](read)
    assert _scrubbed(read, body)


def test_a_body_without_a_coding_is_scrubbed_and_keeps_its_length() -> None:
    for name in ("", "identity", " Identity ,"):
        assert _scrubbed(_through(name, _pieces(BODY, 10)), BODY)


def _flushing(name: str) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """Return what an upstream and a client do with an event."""
    if name == "br":
        coder = brotli.Compressor()
        return lambda data: bytes(coder.process(data) + coder.flush()), brotli.Decompressor().process
    if name == "zstd":
        frame, block = zstandard.ZstdCompressor().compressobj(), zstandard.COMPRESSOBJ_FLUSH_BLOCK
        unframe = zstandard.ZstdDecompressor().decompressobj()
        return lambda data: frame.compress(data) + frame.flush(block), unframe.decompress
    wbits = {"deflate": 15, "raw deflate": -15}.get(name, 31)
    zipper = zlib.compressobj(wbits=wbits)
    return lambda data: zipper.compress(data) + zipper.flush(zlib.Z_SYNC_FLUSH), zlib.decompressobj(wbits).decompress


@CODED
def test_an_event_leaves_when_it_arrives(name: str) -> None:
    """What was flushed on the way in can be read after the feed that brought it."""
    send, reader = _flushing(name)
    transform = make(_header(name), SCRUBBER.stream())
    for number in range(5):
        event = f"data: {number} {OPENAI_KEY}\n\n".encode()
        assert reader(b"".join(transform.feed(send(event)))) == SCRUBBER.once(event)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_several_members_are_one_body(name: str, size: int) -> None:
    coded = CODE[name](BODY[:20]) + CODE[name](b"") + CODE[name](BODY[20:])
    assert _scrubbed(READ[name](_through(name, _pieces(coded, size))), BODY)


def test_zeros_after_a_gzip_are_padding_and_anything_else_is_damage() -> None:
    coded = gzip.compress(BODY)
    assert gzip.decompress(_through("gzip", [coded, b"\0" * 40, b"\0"])) == CLEAN
    with pytest.raises(CodingError):
        _through("gzip", [coded, b"\0\0", coded])
    for name in NAMES:
        with pytest.raises(CodingError):
            _through(_header(name), [CODE[name](BODY) + b"tail of something else"])


@CODED
def test_a_body_cut_short_arrives_cut_short(name: str) -> None:
    coded = CODE[name](BODY)
    for size in (1, 2, 5, len(coded) // 2, len(coded) - 1):
        out = _through(_header(name), [coded[:size]])
        assert out
        with pytest.raises((EOFError, zlib.error, brotli.error, zstandard.ZstdError, ValueError)):
            READ[name](out)


@CODED
def test_a_coded_answer_without_a_body_stays_empty(name: str) -> None:
    assert _through(_header(name), []) == b""
    assert _through(_header(name), [b""]) == b""


@CODED
def test_a_damaged_body_is_an_error_and_shows_nothing_of_what_follows(name: str) -> None:
    coded = CODE[name](BODY)
    with pytest.raises(CodingError):
        _through(_header(name), [coded[:1], bytes(octet ^ 0xA5 for octet in coded[1:])])


@CODED
def test_plain_octets_under_a_coding_are_an_error(name: str) -> None:
    text = b"\xff" * 40 if name == "raw deflate" else b"{" + OPENAI_KEY.encode() * 40
    with pytest.raises(CodingError):
        _through(_header(name), [text])


@CODED
def test_a_bomb_takes_constant_memory(name: str) -> None:
    size = 64 << 20
    coded = _bomb(name, size)
    assert len(coded) < size // 500
    transform = make(_header(name), SCRUBBER.stream())
    tracemalloc.start()
    written = sum(len(piece) for piece in transform.feed(coded))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written + len(transform.end()) < size // 50
    assert peak < 8 << 20


def _bomb(name: str, size: int) -> bytes:
    block = bytes(1 << 20)
    if name == "br":
        coder = brotli.Compressor(quality=5)
        return b"".join(coder.process(block) for _ in range(size >> 20)) + bytes(coder.finish())
    if name == "zstd":
        frame = zstandard.ZstdCompressor().compressobj()
        return b"".join(frame.compress(block) for _ in range(size >> 20)) + frame.flush()
    zipper = zlib.compressobj(9, zlib.DEFLATED, {"deflate": 15, "raw deflate": -15}.get(name, 31))
    return b"".join(zipper.compress(block) for _ in range(size >> 20)) + zipper.flush()


def test_a_zstd_window_larger_than_browsers_take_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    coded = coder.compress(b"x" * 100_000) + coder.flush()
    with pytest.raises(CodingError):
        _through("zstd", [coded])


@pytest.mark.parametrize("name", ["compress", "gzip, dcb", "gzip;q=1", "gzip, gzip, gzip, gzip", "g\u0131zip"])
def test_a_coding_that_cannot_be_read_is_refused(name: str) -> None:
    assert not known(name)
    with pytest.raises(CodingError):
        make(name, SCRUBBER.stream())


@pytest.mark.parametrize("name", ["", "identity", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip , br", ",gzip"])
def test_codings_that_can_be_read_are_known(name: str) -> None:
    assert known(name)
    make(name, SCRUBBER.stream())


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
        ("gzip, deflate, br, zstd, dcb, dcz", "gzip, deflate, br, zstd"),
        ("GZip;q=0.5, *;q=0.1", "GZip;q=0.5"),
        ("br ; q=1.0,identity;q=0", "br ; q=1.0, identity;q=0"),
        ("compress", "identity"),
        ("*", "identity"),
        ("", "identity"),
    ],
)
def test_only_codings_that_can_be_read_are_asked_for(asked: str, left: str) -> None:
    assert acceptable(asked) == left
