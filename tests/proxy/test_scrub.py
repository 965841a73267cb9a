import base64
import string
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings, strategies as st

from authsome.proxy.scrub import HELD_FROM, SHORTEST, Scrubber
from canary import GITHUB_TOKEN, OPENAI_KEY, sings
from sweep import examples

STAND_IN = "authsome-proxy-managed"
KEY = OPENAI_KEY.encode()
PADDED = STAND_IN.encode().ljust(len(KEY), b"*")
SCRUBBER = Scrubber({OPENAI_KEY: STAND_IN})

NAMED = {"_": b"&lowbar;", "-": b"&dash;", "/": b"&sol;", "+": b"&plus;", "&": b"&amp;", "<": b"&lt;", "=": b"&equals;"}

ESCAPES: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda char: char.encode(),
    "percent": lambda char: b"%%%02x" % ord(char),
    "percent, upper case": lambda char: b"%%%02X" % ord(char),
    "percent, twice": lambda char: b"%%25%02X" % ord(char),
    "percent, three times": lambda char: b"%%2525%02x" % ord(char),
    "JSON": lambda char: b"\\u%04x" % ord(char),
    "JSON, upper case": lambda char: b"\\u%04X" % ord(char),
    "JavaScript": lambda char: b"\\x%02x" % ord(char),
    "JSON, slash": lambda char: b"\\/" if char == "/" else char.encode(),
    "HTML, decimal": lambda char: b"&#%d;" % ord(char),
    "HTML, zeros": lambda char: b"&#0000%d;" % ord(char),
    "HTML, hex": lambda char: b"&#x%x;" % ord(char),
    "HTML, upper case, zeros": lambda char: b"&#X00%X;" % ord(char),
    "HTML, named": lambda char: NAMED.get(char, char.encode()),
}


def _base64(raw: bytes, shift: int, alphabet: bytes) -> bytes:
    """Return the characters of which the octets alone decide, found by changing what surrounds them."""
    one, other = (base64.b64encode(side * shift + raw + side * 2, alphabet) for side in (b"\x00", b"\xff"))
    return bytes(first for first, second in zip(one, other, strict=True) if first == second).rstrip(b"=")


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "reversed": lambda raw: raw[::-1],
    "hex": lambda raw: raw.hex().encode(),
    "hex, upper case": lambda raw: raw.hex().upper().encode(),
    **{f"base64, {shift} before": partial(_base64, shift=shift, alphabet=b"+/") for shift in range(3)},
    **{f"base64 for URLs, {shift} before": partial(_base64, shift=shift, alphabet=b"-_") for shift in range(3)},
}


def _feed(scrubber: Scrubber, chunks: list[bytes]) -> bytes:
    stream = scrubber.stream()
    return b"".join([*(stream.feed(chunk) for chunk in chunks), stream.end()])


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


# A secret of the same class cannot occur in what surrounds it, and nothing before it can turn its start into an escape.
SECRETS = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_./+=~!$%&<\\"), min_size=8, max_size=60)
AROUND = st.binary(max_size=60).map(lambda data: data.replace(b"%", b"").replace(b"\\", b"").replace(b"&", b""))
CUTS = st.lists(st.integers(0, 5000), max_size=12)


@given(
    SECRETS.map(lambda text: text + "CANARY"),
    AROUND,
    AROUND,
    st.sampled_from(sorted(ENCODINGS)),
    st.lists(st.sampled_from(sorted(ESCAPES)), min_size=1, max_size=8),
    CUTS | st.just("each"),
)
@settings(deadline=None, max_examples=examples(400, 150))
@example("sk-CANARY", b"", b"", "plain", ["percent"], "each")
@example("/////////CANARY", b"/", b"/", "plain", ["JSON, slash", "as it is"], "each")
@example("aaaaaaaaCANARYaaaaaaaa", b"aaaa", b"aaaa", "plain", ["as it is"], "each")
def test_no_spelling_passes_wherever_chunks_end(
    secret: str, before: bytes, after: bytes, encoding: str, escapes: list[str], cuts: list[int] | str
) -> None:
    """No more than three characters leave; the length stays; nothing around changes."""
    # A `%41` of the secret's own would be an `A` for whoever reads it: see the test of its own below.
    assume(encoding != "plain" or not any(char in secret for char in "%\\&"))
    assume(encoding != "reversed" or not any(char in secret for char in "%\\&"))
    scrubber = Scrubber({secret: STAND_IN})
    spelling = ENCODINGS[encoding](secret.encode()).decode()
    written = [ESCAPES[escapes[index % len(escapes)]](char) for index, char in enumerate(spelling)]
    data = before + b"".join(written) + after
    chunks = [bytes([octet]) for octet in data] if isinstance(cuts, str) else _split(data, cuts)
    out = _feed(scrubber, chunks)
    assert len(out) == len(data)
    assert out[: len(before)] == before
    assert not after or out[-len(after) :] == after
    leaked = sum(map(len, written[: HELD_FROM - 1]))
    start = len(before)
    rest = out[start + leaked : len(out) - len(after)]
    expected = scrubber.once(data)
    assert rest == expected[start + leaked : len(out) - len(after)]
    assert not sings(rest)
    # Octet by octet: what left was either the spelling's, up to three characters, or the stand-in's.
    assert all(
        octet in (data[start + index], expected[start + index])
        for index, octet in enumerate(out[start : start + leaked])
    )


@given(SECRETS, st.binary(max_size=400), CUTS)
@settings(deadline=None)
def test_text_without_the_secret_is_not_changed(secret: str, text: bytes, cuts: list[int]) -> None:
    scrubber = Scrubber({secret: STAND_IN})
    assume(scrubber.once(text) == text)
    assert _feed(scrubber, _split(text, cuts)) == text
    assert scrubber.once(text) is text


@given(st.lists(st.sampled_from([b"abab", b"ab", b"CANARY", b"a", b"%61", b"\\u0062", b"x"]), max_size=30), CUTS)
@settings(deadline=None, max_examples=examples(300, 150))
def test_secrets_that_overlap_or_hold_one_another_are_gone_all(parts: list[bytes], cuts: list[int]) -> None:
    """Whole and in pieces agree, but for the up to three characters of each that may leave early."""
    scrubber = Scrubber({"abababCANARYabab": STAND_IN, "babCANARY": "other", "abababab": "third"})
    data = b"".join(parts)
    out, whole = _feed(scrubber, _split(data, cuts)), scrubber.once(data)
    assert len(out) == len(whole) == len(data)
    plain = data.replace(b"%61", b"a").replace(b"\\u0062", b"b")
    for spelling in (b"abababCANARYabab", b"babCANARY", b"abababab"):
        for text in (out, whole):
            assert spelling not in text.replace(b"%61", b"a").replace(b"\\u0062", b"b")
        if spelling in plain:
            assert whole != data


def test_a_secret_within_another_gives_way_to_the_longer_one() -> None:
    scrubber = Scrubber({"abcdCANARYefgh": "long", "CANARYefgh": "short"})
    data = b"..abcdCANARYefgh.."
    assert scrubber.once(data) == b"..long**********.."
    for cut in range(len(data)):
        assert _feed(scrubber, [data[:cut], data[cut:]])[6:] == b"**********.."
    longer = Scrubber({"abcdCANARYefghijkl": "long", "CANARYef": "short"})
    assert _feed(longer, [b"abcdCANARYefgh", b"ijkl."]) == b"long**************."
    assert _feed(longer, [b"abcdCANARYefgh", b"other."]) == b"abcdshort***ghother."


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_the_stand_in_comes_back_in_the_spelling_that_was_found(encoding: str) -> None:
    spell = ENCODINGS[encoding]
    assert SCRUBBER.once(b"<" + spell(KEY) + b">") == b"<" + spell(PADDED) + b">"


@pytest.mark.parametrize("shift", range(6))
def test_what_was_base64_can_be_read_as_before(shift: int) -> None:
    before = b"user:x"[:shift]
    out = base64.b64decode(SCRUBBER.once(base64.b64encode(before + KEY + b" after")))
    assert len(out) == len(before + KEY + b" after")
    assert out.startswith(before)
    assert b"uthsome-proxy-manage" in out
    assert out.endswith(b" after")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("%73", "%61"),
        ("%2573", "%2561"),
        ("\\u0073", "\\u0061"),
        ("\\x73", "\\x61"),
        ("&#x73;", "&#x61;"),
        ("&#115;", "&#097;"),
        ("&#0115;", "&#0097;"),
    ],
)
def test_a_replaced_character_is_escaped_as_it_was(written: str, shown: str) -> None:
    assert SCRUBBER.once(written.encode() + KEY[1:]) == shown.encode() + PADDED[1:]


def test_an_escape_that_is_too_short_for_the_stand_in_keeps_its_length() -> None:
    scrubber = Scrubber({"</CANARY/>": "zyxwvutsrq"})
    assert scrubber.once(b"&lt;\\/CANARY&#47;&gt;") == b"******xwvuts&#42;****"
    assert scrubber.once(b"&lt;&sol;CANARY&sol;&gt;") == b"****&#42;xwvuts&#42;****"


def test_a_secret_that_reads_as_an_escape_is_found_both_ways() -> None:
    scrubber = Scrubber({"CANARY%41bc%42": STAND_IN})
    for written in (b"CANARY%41bc%42", b"CANARYAbcB", b"CANARY%2541bc%2542", b"CANARY%41\\u0062c%42"):
        assert b"CANARY" not in scrubber.once(written)
        assert len(scrubber.once(written)) == len(written)


def test_short_secrets_are_not_looked_for() -> None:
    assert not Scrubber({"x" * (SHORTEST - 1): STAND_IN, "": STAND_IN})
    assert Scrubber({"x" * SHORTEST: STAND_IN})


def test_nothing_to_look_for_costs_nothing() -> None:
    nothing = Scrubber({})
    data = b"anything"
    assert not nothing
    assert nothing.once(data) is data
    assert nothing.stream().feed(data) is data


def test_a_chunk_without_a_secret_is_passed_on_as_it_is() -> None:
    stream = SCRUBBER.stream()
    for event in (b"data: one\n\n", b'data: {"url": "a%20b\\n&amp;"}\n\n', bytes(range(256)) * 256, b"", b"no s"):
        assert stream.feed(event) is event
    assert stream.end() == b""


@pytest.mark.parametrize("beginning", ["s", "sk", "sk-", "%73", "%73k", "%7", "%", "\\u00", "\\u0073k\\u002d", "&#11"])
def test_up_to_three_characters_of_a_beginning_do_not_wait(beginning: str) -> None:
    """An event that happens to end like this is not delayed; what would have been the secret's rest is replaced."""
    stream = SCRUBBER.stream()
    begun = beginning.encode()
    assert stream.feed(b"data: " + begun) == b"data: " + begun
    assert stream.end() == b""


@pytest.mark.parametrize("beginning", ["sk-C", "%73k-C", "sk-%", "sk-\\u00", KEY[:-1].decode(), "&#115;k-&#x4"])
def test_four_characters_of_a_beginning_wait_for_what_follows(beginning: str) -> None:
    stream = SCRUBBER.stream()
    begun = beginning.encode()
    assert stream.feed(b"data: " + begun) == b"data: "
    assert stream.feed(b"!") == begun + b"!"
    assert stream.feed(b"data: " + begun) == b"data: "
    assert stream.end() == begun


def test_what_follows_an_early_beginning_is_replaced_to_the_octet() -> None:
    for size in range(1, len(KEY)):
        stream = SCRUBBER.stream()
        first, second = stream.feed(b"x" + KEY[:size]), stream.feed(KEY[size:] + b"y")
        sent = size if size < HELD_FROM else 0
        assert first == b"x" + KEY[:sent]
        assert second == PADDED[sent:] + b"y"


def test_a_secret_can_be_found_after_two_megabytes_of_anything() -> None:
    data = bytes(range(256)) * 8192 + KEY + b"end"
    chunks = [data[at : at + 4093] for at in range(0, len(data), 4093)]
    assert _feed(SCRUBBER, chunks).endswith(PADDED + b"end")


def test_secrets_do_not_show_in_a_repr() -> None:
    stream = SCRUBBER.stream()
    stream.feed(KEY[:-1])
    assert not sings((repr(SCRUBBER) + repr(stream)).encode())


def test_what_is_held_is_bounded_by_the_longest_spelling() -> None:
    """However long an upstream goes on with what could become a secret, what is held leaves again."""
    scrubber = Scrubber({"a" * 40: STAND_IN, GITHUB_TOKEN: STAND_IN})
    for unit in (b"%61", b"&#0000000097;", b"ghp_CANA", b"%", b"\\u00", b"&#", b"&#00000000000", b"%25"):
        stream = scrubber.stream()
        fed = given_back = 0
        for _ in range(2000):
            fed += len(unit)
            given_back += len(stream.feed(unit))
            assert fed - given_back <= 2 * len(GITHUB_TOKEN) * 20


@pytest.mark.parametrize(
    "unit", [b"%73", b"sk-CANAR", KEY, b"%25", b"\\u0073", b"&#115;", b"%73%6b-C", b"s", b"&lowbar;", b"%" * 7]
)
def test_work_grows_with_the_octets_and_no_faster(unit: bytes) -> None:
    """Sixteen times the octets in one chunk take about sixteen times as long; 256 times would be quadratic."""

    def spent(size: int) -> float:
        data = unit * (size // len(unit))
        best = 1e9
        for _ in range(3):
            stream = SCRUBBER.stream()
            begin = time.thread_time()
            stream.feed(data)
            best = min(best, time.thread_time() - begin)
        return best

    assert spent(16 << 15) < 64 * spent(1 << 15)


def test_one_octet_a_feed_takes_the_same_time_for_each() -> None:
    def spent(octets: int) -> float:
        data = (b"%73k-CANARY0123456" * (octets // 18 + 1))[:octets]
        stream = SCRUBBER.stream()
        begin = time.perf_counter()
        for octet in data:
            stream.feed(bytes([octet]))
        return time.perf_counter() - begin

    spent(1000)
    assert spent(16_000) < 10 * spent(4_000)
