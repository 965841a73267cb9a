"""What occurs is named: against Python's own search, with words and data made to be alike."""

import re

import pytest
from hypothesis import example, given, settings, strategies as st

from authsome.proxy.sieve import Sieve
from sweep import examples

ALIKE = st.text("ab\0\n^\xff", min_size=1).map(str.encode)
WORDS = st.lists(st.binary(min_size=8, max_size=80) | ALIKE, min_size=1, max_size=40)


@given(WORDS, st.lists(st.integers(0, 39) | st.binary(max_size=40), max_size=20), st.integers(0, 200))
@settings(deadline=None, max_examples=examples(300, 150))
@example([b"\0\0CANARY\0"], [0], 0)
@example([b"aaaaaaaa"], [b"aaaaaaa", b"a"], 3)
@example([b"line\nline\r\n", b"\n\n\n\n\n\n\n\n"], [0, 1], 64)
def test_what_occurs_is_named_and_nothing_else(words: list[bytes], pieces: list[int | bytes], shift: int) -> None:
    data = b"x" * shift + b"".join(words[piece % len(words)] if isinstance(piece, int) else piece for piece in pieces)
    expected = [place for place, word in enumerate(words) if word[-8:] in data]
    assert sorted(Sieve.of(words).named(data)) == expected


@given(st.integers(0, 70_000), st.binary(min_size=8, max_size=40), st.sampled_from([b"a", b"\0", b"xyz", b"0123"]))
@settings(deadline=None)
def test_a_word_is_named_wherever_it_stands_in_a_large_piece(at: int, word: bytes, filling: bytes) -> None:
    filled = (filling * 70_000)[:70_000]
    data = filled[:at] + word + filled[at:]
    other = b"\x01 CANARY is not in it \x02\x03\x04"
    assert Sieve.of([other, word, other + b"!"]).named(data) == [1]


@pytest.mark.parametrize(
    "pattern", [rb"%(?:25){0,2}4[1-9a-fA-F]", rb"\\u00(?:4[1-9]|6[Ff])", rb"&(?:#0{0,6}(?:45|9[7-9]);|sol;)"]
)
@given(data=st.text("%25416F\\u0&#97;sol8", max_size=200).map(str.encode))
@settings(deadline=None, max_examples=examples(300, 150))
def test_a_pattern_is_named_where_python_finds_it(pattern: bytes, data: bytes) -> None:
    assert Sieve([pattern]).named(data) == ([0] if re.search(pattern, data) else [])


def test_a_thousand_words_are_told_apart() -> None:
    words = [b"sk-CANARY-0123456789-%04d" % number for number in range(1000)]
    sieve = Sieve.of(words)
    for number in (0, 7, 500, 999):
        assert sieve.named(b"<" + words[number] + b">") == [number]
    assert sieve.named(b"sk-CANARY-0123456789-1000") == []


def test_a_word_is_named_once_however_often_it_occurs() -> None:
    assert Sieve.of([b"CANARY-1"]).named(b"CANARY-1" * 10_000) == [0]


def test_nothing_is_named_in_nothing() -> None:
    assert Sieve.of([b"CANARY-1"]).named(b"") == []


def test_words_do_not_show_in_a_repr() -> None:
    assert "CANARY" not in repr(Sieve.of([b"CANARY-1"]))
