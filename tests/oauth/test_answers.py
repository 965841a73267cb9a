"""An answer is believed as far as it says something, and an error never shows what was sent."""

import base64
import json
import math
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, strategies as st

from authsome.oauth import DeniedError, Tokens, UnavailableError
from authsome.oauth.answers import Answer, accepted, described, error_code, seconds, tokens
from canary import sings

SENT = "CANARY-refresh-token-0123456789"
NOW = 1_800_000_000.0


def _answer(body: object, status: int = 200, **headers: str) -> Answer:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer("auth.acme.example", status, named, octets, (SENT,), NOW)


def _read(body: object, status: int = 200, **headers: str) -> Tokens:
    return tokens(_answer(body, status, **headers))


def test_an_answer_as_the_standard_has_it() -> None:
    said = {"access_token": "CANARY-a", "token_type": "bearer", "expires_in": 3600, "refresh_token": "CANARY-r"}
    read = _read({**said, "scope": "read write", "instance_url": "https://acme.example"})
    assert (read.access_token, read.refresh_token, read.expires_in) == ("CANARY-a", "CANARY-r", 3600.0)
    assert read.scopes == ("read", "write")
    assert read.said["instance_url"] == "https://acme.example"
    assert read.said["expires_in"] == "3600"
    assert not sings(repr(read).encode())


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (3599.5, 3599.5),
        ("3.6e3", 3600.0),
        (None, None),
        (0, None),
        (-1, None),
        ("", None),
        ("never", None),
        (True, None),
        (1_900_000_000, None),  # a moment, and no lifetime
        (10**400, None),
        ("9" * 5000, None),
        (math.inf, None),
        (math.nan, None),
        ([3600], None),
        ({}, None),
    ],
)
def test_a_lifetime_that_cannot_be_one_is_none(said: object, meant: float | None) -> None:
    assert seconds(said) == meant
    if not isinstance(said, int) or abs(said) < 10**300:
        assert _read({"access_token": "CANARY-a", "expires_in": said}).expires_in == meant


@pytest.mark.parametrize(
    ("scope", "meant"),
    [
        ("read write", ("read", "write")),
        ("repo,user", ("repo", "user")),
        (["read", "write", 7], ("read", "write")),
        ("", ()),
        ("a  a b", ("a", "b")),
        (None, None),
        (7, None),
        ("é \x1b[2J ok", ("ok",)),
    ],
)
def test_scopes_in_every_form_that_providers_have(scope: object, meant: tuple[str, ...] | None) -> None:
    assert _read({"access_token": "CANARY-a", "scope": scope}).scopes == meant


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "bot", "user", "", None])
def test_a_bearer_token_by_any_of_its_names(kind: str | None) -> None:
    assert _read({"access_token": "CANARY-a", "token_type": kind}).access_token == "CANARY-a"


@pytest.mark.parametrize("kind", ["mac", "DPoP", 7, ["bearer"]])
def test_a_token_that_has_to_be_signed_with_is_refused(kind: object) -> None:
    with pytest.raises(DeniedError) as refused:
        _read({"access_token": "CANARY-a", "token_type": kind})
    assert refused.value.error == "unsupported_token_type"


@pytest.mark.parametrize("token", ["", None, 7, ["CANARY"], "a b", "a\r\nX-Evil: 1", "é", "\ud800", "x" * 40_000])
def test_an_access_token_that_no_header_can_carry_is_none(token: object) -> None:
    with pytest.raises(UnavailableError, match="access token"):
        _read({"access_token": token})


@pytest.mark.parametrize("token", ["", 7, None, "a\nb", "é", "x" * 40_000])
def test_a_refresh_token_that_cannot_be_sent_again_is_none(token: object) -> None:
    assert _read({"access_token": "CANARY-a", "refresh_token": token}).refresh_token is None


def test_the_form_in_which_some_answer() -> None:
    body = urlencode({"access_token": "CANARY-a", "scope": "repo,user", "token_type": "bearer"}).encode()
    read = _read(body, content_type="application/x-www-form-urlencoded; charset=utf-8")
    assert (read.access_token, read.scopes) == ("CANARY-a", ("repo", "user"))
    with pytest.raises(DeniedError) as refused:
        _read(b"error=bad_verification_code&error_description=no", content_type="text/plain")
    assert (refused.value.error, refused.value.message) == (
        "bad_verification_code",
        "auth.acme.example says `bad_verification_code`: no",
    )
    for kind in ("text/html", "application/json", ""):
        with pytest.raises(UnavailableError):
            _read(body, content_type=kind)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": "invalid_grant"}, "invalid_grant"),
        ({"error": "invalid_grant", "access_token": "CANARY-a"}, "invalid_grant"),
        ({"ok": False, "error": "invalid_auth"}, "invalid_auth"),
        ({"ok": False}, "unknown_error"),
        ({"error": {"type": "invalid_request", "message": "CANARY"}}, "invalid_request"),
        ({"error": {"message": "CANARY"}}, "unknown_error"),
        ({"error": True}, "unknown_error"),
        ({"error": ["invalid_grant"]}, "unknown_error"),
        ({"error": "two words"}, "unknown_error"),
        ({"error": "x" * 49}, "unknown_error"),
        ({"error": SENT}, "unknown_error"),
        ({"error": SENT[::-1]}, "unknown_error"),
        ({"error": "<script>"}, "unknown_error"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
def test_an_error_is_one_whatever_the_status_says(body: object, error: str, status: int) -> None:
    with pytest.raises(DeniedError) as refused:
        _read(body, status)
    assert refused.value.error == error
    assert not sings(str(refused.value).encode())


def test_no_error_is_none() -> None:
    assert _read({"access_token": "CANARY-a", "error": None, "ok": True}).access_token == "CANARY-a"
    assert _read({"access_token": "CANARY-a", "error": ""}).access_token == "CANARY-a"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("7", 7.0),
        ("99999", 3600.0),
        ("-1", None),
        ("soon", None),
        ("1e5", None),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 08:00:30", 30.0),
        ("Fri, 15 Jan 2010 08:00:00 GMT", 0.0),
        ("Fri, 99 Foo 9999 99:99:99 GMT", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_when_to_come_back(given: str, meant: float | None, status: int) -> None:
    with pytest.raises(UnavailableError) as failed:
        _read({"error": "invalid_grant"}, status, retry_after=given)
    assert failed.value.retry_after == meant


@pytest.mark.parametrize("error", ["temporarily_unavailable", "server_error", "ratelimited"])
def test_an_error_that_passes_is_no_refusal(error: str) -> None:
    with pytest.raises(UnavailableError) as failed:
        _read({"error": error}, 400, retry_after="3")
    assert failed.value.retry_after == 3.0


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("The token is over.", "The token is over"),
        ("<b>Sorry</b>,<br>no", "Sorry , no"),
        ("<script>alert('x')</script>no", "no"),
        ("<script>alert('x')", ""),
        ("no <img src=x onerror=alert(1)", "no"),
        ("a\x1b[31m\r\nb\u202ec", "a [31m b c"),
        ("x y " * 100, "x y " * 49 + "x y…"),
        (f"your token {SENT} is bad", ""),
        (f"your token {SENT.lower()} is bad", ""),
        (f"your token {SENT[5:16]}… is bad", ""),
        (f"your token {SENT[::-1]} is bad", ""),
        (f"your token {quote('x+' + SENT)} is bad", ""),
        (f"your token {' '.join(SENT)} is bad", ""),
        (f"your <b>{SENT[:4]}</b>{SENT[4:]}", ""),
        (f"your token {base64.b64encode(SENT.encode()).decode()} is bad", "your token … is bad"),
        (f"your token {SENT.encode().hex()} is bad", "your token … is bad"),
        (None, ""),
        (7, ""),
        (["x"], ""),
    ],
)
def test_a_description_is_a_line_of_words(said: object, shown: str) -> None:
    assert described(said, (SENT,)) == shown
    assert not sings(described(said, (SENT,)).encode())


def test_a_short_secret_is_one_too() -> None:
    assert described("the code x7 is wrong", ("x7",)) == ""
    assert error_code("x7", ("x7",)) == "unknown_error"
    assert described("fine", ("",)) == "fine"


def test_what_stands_deeper_in_an_answer_is_found_by_both_names() -> None:
    said = {"access_token": "CANARY-a", "authed_user": {"id": 7, "access_token": "CANARY-u", "x": {"y": {"z": "no"}}}}
    read = _read(said).said
    assert (read["authed_user.access_token"], read["authed_user.id"]) == ("CANARY-u", "7")
    assert not any(name.endswith("z") for name in read)


def test_to_end_a_token_needs_no_body() -> None:
    for status, body in ((200, b""), (204, b""), (200, b"{}"), (200, b"ok"), (200, {"ok": True})):
        accepted(_answer(body, status))
    with pytest.raises(DeniedError):
        accepted(_answer({"ok": False, "error": "invalid_auth"}))
    with pytest.raises(DeniedError):
        accepted(_answer({"error": "invalid_client"}, 401))
    for status in (302, 404, 500, 503):
        with pytest.raises(UnavailableError):
            accepted(_answer(b"", status))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text()
    | st.sampled_from([SENT, SENT[3:], "invalid_grant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
_NAMES = ("access_token", "refresh_token", "token_type", "expires_in", "scope", "error", "error_description", "ok")
_BODIES = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(_NAMES), _JSON).map(lambda said: json.dumps(said).encode()),
    _JSON.map(lambda said: json.dumps(said).encode()),
    st.dictionaries(st.sampled_from(_NAMES), st.text() | st.just(SENT)).map(
        lambda said: urlencode(said, errors="replace").encode()
    ),
    st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}"]),
)


@given(
    _BODIES,
    st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 418, 429, 500, 599, 999]),
    st.dictionaries(
        st.sampled_from(["content-type", "retry-after"]),
        st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded"]) | st.text(),
    ),
)
def test_whatever_arrives_ends_as_tokens_or_as_one_of_two_errors(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    answer = Answer("auth.acme.example", status, headers, body, (SENT,), NOW)
    for read in (tokens, accepted):
        said: Any = read
        try:
            found = said(answer)
        except (DeniedError, UnavailableError) as error:
            text = f"{error.message} {error.hint} {getattr(error, 'error', '')}"
            assert text.isprintable()
            assert len(text) < 500
            assert not sings(text.encode())
        else:
            assert not sings(repr(found).encode())
