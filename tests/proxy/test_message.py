"""Fields, lengths and refusals, as both versions of HTTP have them."""

import json

import pytest
from hypothesis import given, strategies as st

from authsome.proxy.message import Asked, Fields, in_json, malformed, misframed, unreadable
from authsome.rules import Refusal

_NAMES = st.sampled_from([b"Host", b"host", b"X-A", b"x-a", b"TE", b"Connection"])
_PAIRS = st.lists(st.tuples(_NAMES, st.binary(max_size=5)), max_size=8)


@given(pairs=_PAIRS, name=_NAMES)
def test_a_field_is_found_in_every_case_and_as_often_as_it_stands_there(
    pairs: list[tuple[bytes, bytes]], name: bytes
) -> None:
    found = Fields(pairs).all(name.lower())
    assert found == [value for each, value in pairs if each.lower() == name.lower()]


@given(pairs=_PAIRS, gone=st.frozensets(st.sampled_from([b"host", b"x-a", b"te"])))
def test_what_is_left_out_is_gone_and_the_rest_keeps_its_order_and_its_case(
    pairs: list[tuple[bytes, bytes]], gone: frozenset[bytes]
) -> None:
    left = Fields(pairs).without(gone).plus((b"X-A", b"last"))
    assert left.pairs == (*(pair for pair in pairs if pair[0].lower() not in gone), (b"X-A", b"last"))
    assert left.all(b"x-a")[-1] == b"last"


def test_the_members_of_a_list_are_read_over_all_its_fields() -> None:
    fields = Fields([(b"Connection", b"close, X-A"), (b"connection", b" ,TE")])
    assert fields.options(b"connection") == [b"close", b"x-a", b"te"]


def test_fields_show_no_values() -> None:
    assert "CANARY" not in repr(Fields([(b"Authorization", b"Bearer CANARY")]))


@pytest.mark.parametrize(
    ("lengths", "bodiless", "sound"),
    [
        *(([], True, True), ([], False, True), ([b"0"], True, True), ([b"5"], False, True)),
        *(([b"5"], True, False), ([b"5", b"5"], False, False), ([b"+5"], False, False), ([b"-1"], False, False)),
        *(([b"5,5"], False, False), ([b""], False, False), ([b"9" * 30], False, False), ([b"\xb2"], False, False)),
    ],
)
def test_a_length_is_one_number_that_fits_the_body(lengths: list[bytes], *, bodiless: bool, sound: bool) -> None:
    fields = Fields((b"Content-Length", length) for length in lengths)
    assert (misframed(fields, bodiless=bodiless) is None) is sound


def test_a_request_knows_the_length_that_it_says() -> None:
    fields = Fields([(b"content-length", b"12")])
    assert Asked(b"POST", b"/", (), fields, "1.1", bodiless=False).length == 12
    assert Asked(b"POST", b"/", (), Fields(), "1.1", bodiless=False).length is None


@pytest.mark.parametrize(
    ("refusal", "again"),
    [
        (malformed("it is none"), False),
        (unreadable("rot13"), False),
        (Refusal("upstream_failed", "it hung up", status=502), True),
    ],
)
def test_a_refusal_says_whether_another_try_could_help(refusal: Refusal, *, again: bool) -> None:
    fields, content = in_json(refusal)
    assert fields.all(b"content-length") == [b"%d" % len(content)]
    assert fields.all(b"x-should-retry") == ([] if again else [b"false"])
    assert json.loads(content)["error"] == refusal.error
