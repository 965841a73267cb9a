"""The request that tries a credential, and what the reply to it says.

Promises one reading for the check at a login and for `authsome test`, and that of a reply's own words no more is passed
on than who one is, a word for an error, and scopes: bounded, without control characters, and without the secret.
Refuses to call a key good or bad when the provider did not say so.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from authsome.errors import clean
from authsome.provider import TestRequest

MOST_READ = 1 << 16
"""Octets of a reply that are looked at, as sent and again when it is unpacked."""

LONGEST_SHOWN = 80
"""Characters of what a reply says that reach a screen."""

_OK, _REDIRECT, _SERVER_ERROR = 2, 3, 5  # RFC 9110, 15: the first digit
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_LONGEST_WAIT = 366 * 24 * 3600
_SINCE_EPOCH = 1_000_000_000  # a larger number is a time, a smaller one so many seconds

_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,48}")
_WORDS_AT = ("/error", "/error/code", "/error/type", "/error/status", "/errors/0/code", "/code")
"""Where providers say in one word what was wrong: OAuth and Slack, OpenAI and Stripe, Google, Square, Notion."""

_OF_SCOPE = re.compile(
    r"(?:missing|insufficient)_(?:scopes?|permissions?)|no_permission|not_allowed_token_type", re.IGNORECASE
)
_OF_RATE = re.compile(r"rate_?limit(?:ed)?(?:_exceeded)?|too_many_requests", re.IGNORECASE)
_OF_SERVER = re.compile(r"internal(?:_server)?_error|fatal_error|service_unavailable|request_timeout", re.IGNORECASE)
_INSUFFICIENT = re.compile(r"\berror\s*=\s*\"?insufficient_scope\b", re.IGNORECASE)  # RFC 6750, 3.1
_CHALLENGED = re.compile(r"\bscope\s*=\s*\"([^\"]*)\"", re.IGNORECASE)


class State(StrEnum):
    """How a trial ended."""

    CONNECTED = "connected"
    WRONG_KEY = "wrong key"
    WRONG_SCOPE = "wrong scope"
    RATE_LIMITED = "rate limited"
    UNAVAILABLE = "unavailable"
    UNREACHABLE = "unreachable"
    UNCLEAR = "unclear"
    NOT_PERMITTED = "not permitted"
    NO_TEST = "no test"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        headers: Names in lower case.
        body: Its first `MOST_READ` octets, as they were sent.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def first(self, name: str) -> str:
        """Return the first value of a header, nothing without one."""
        return next((value for known, value in self.headers if known == name), "")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reply says.

    Attributes:
        words: The reply in words, as the end of a sentence.
        more: What else it tells.
        identity: Whose key it is, if the reply tells.
        retry_after: Seconds until it is worth another try, if the reply tells.
    """

    state: State
    words: str
    more: str | None = None
    identity: str | None = None
    retry_after: int | None = None


def filled(test: TestRequest, said: Mapping[str, str]) -> TestRequest:
    """Return the request with the fields in its address: settings as they are, for a secret what a client holds."""
    for name, text in said.items():
        test = replace(test, url=test.url.replace(f"{{{name}}}", quote(text, safe="")))
    return test


def wants_body(test: TestRequest, status: int) -> bool:
    """Whether a reply's body can tell more than its status."""
    return status not in test.good or test.ok is not None or bool(test.identities)


def read(test: TestRequest, reply: Reply, hidden: Mapping[str, str], now: float) -> Finding:
    """Return what a reply says of the credential.

    Args:
        hidden: Secret: what stands for each secret where a reply says it back.
        now: Seconds since the epoch.
    """
    return _Reading(test, reply, hidden, now).finding()


def at(said: Any, pointer: str) -> Any:
    """Return what a JSON Pointer leads to (RFC 6901, 4), `NOTHING` where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(said, dict):
            said = said.get(name, NOTHING)
        elif isinstance(said, list) and _INDEX.fullmatch(name) and int(name) < len(said):
            said = said[int(name)]
        else:
            return NOTHING
    return said


NOTHING = object()
_INDEX = re.compile("0|[1-9][0-9]{0,5}")


class _Reading:
    """One reply and what is known of it."""

    def __init__(self, test: TestRequest, reply: Reply, hidden: Mapping[str, str], now: float) -> None:
        self._test, self._reply, self._hidden, self._now = test, reply, hidden, now
        self._body = _unpacked(reply)
        self._said = _parsed(self._body)
        self._word = next(self._error_words(), "")

    def finding(self) -> Finding:
        """Return what it says; what the definition says of a status comes before what is usual."""
        status, test = self._reply.status, self._test
        if self._is_limited():
            return self._limited()
        if status in test.good or (status // 100 == _OK and status not in test.bad):
            return self._good()
        state = self._no()
        if state is State.WRONG_SCOPE:
            return self._made(state, self._scopes())
        if state is State.UNAVAILABLE:
            return self._made(state, _again(self._wait()), self._wait())
        if state is State.UNCLEAR:
            return self._made(state, _PAGE if self._is_page() else self._elsewhere())
        return self._made(state)

    def _no(self) -> State:
        """Return what kind of no a reply without a good status is."""
        status = self._reply.status
        if _INSUFFICIENT.search(self._reply.first("www-authenticate")) or _OF_SCOPE.fullmatch(self._word):
            return State.WRONG_SCOPE
        if status == _UNAUTHORIZED or status in self._test.bad:
            return State.WRONG_KEY
        # RFC 9110, 15.5.4: the credential is known and does not suffice. It is no word against the key.
        if status == _FORBIDDEN and not self._is_page():
            return State.WRONG_SCOPE
        return State.UNAVAILABLE if status // 100 == _SERVER_ERROR else State.UNCLEAR

    def _made(self, state: State, more: str | None = None, wait: int | None = None) -> Finding:
        word = f" ({self._shown(self._word)})" if self._word else ""
        return Finding(state, f"{self._test.host} answered {self._reply.status}{word}", more, retry_after=wait)

    def _good(self) -> Finding:
        """Read a reply that has a good status: it can still be no reply of the provider's, or say that it is none."""
        test = self._test
        if self._is_page():
            return self._made(State.UNCLEAR, _PAGE)
        if test.ok is not None:
            if self._said is NOTHING:
                return self._made(State.UNCLEAR, "what came is not the JSON that tells")
            if at(self._said, test.ok) is not True:
                return self._denied()
        more = "the key is known and may not do just this" if self._reply.status == _FORBIDDEN else None
        return replace(self._made(State.CONNECTED, more), identity=self._identity())

    def _denied(self) -> Finding:
        """Read what a provider says no with that has no status for it."""
        if _OF_SCOPE.fullmatch(self._word):
            return self._made(State.WRONG_SCOPE, self._scopes())
        if _OF_RATE.fullmatch(self._word):
            return self._limited()
        return self._made(State.UNAVAILABLE if _OF_SERVER.fullmatch(self._word) else State.WRONG_KEY)

    def _is_limited(self) -> bool:
        """Whether this is about how often: 429, and 403 as GitHub and others say it."""
        status, test = self._reply.status, self._test
        if status != _FORBIDDEN:
            return status == _TOO_MANY and status not in test.good | test.bad
        spent = {self._reply.first(name).strip() for name in ("x-ratelimit-remaining", "ratelimit-remaining")}
        return "0" in spent or bool(self._reply.first("retry-after")) or bool(_OF_RATE.fullmatch(self._word))

    def _limited(self) -> Finding:
        return self._made(State.RATE_LIMITED, _again(self._wait()), self._wait())

    def _wait(self) -> int | None:
        """Return how many seconds to wait, as far as the reply says and can be believed."""
        reply = self._reply
        said = reply.first("retry-after") or reply.first("x-ratelimit-reset") or reply.first("ratelimit-reset")
        wait: float | None = None
        if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", said.strip()):
            number = float(said)
            wait = number - self._now if number > _SINCE_EPOCH else number
        else:
            with suppress(ValueError, OverflowError):
                wait = parsedate_to_datetime(said).timestamp() - self._now
        return int(wait) + 1 if wait is not None and 0 <= wait < _LONGEST_WAIT else None

    def _scopes(self) -> str | None:
        """Return what the key would need and what it has: RFC 6750, Slack, GitHub."""
        challenge = _CHALLENGED.search(self._reply.first("www-authenticate"))
        needs = [challenge[1] if challenge else "", at(self._said, "/needed")]
        needs += [self._reply.first(name) for name in ("x-accepted-oauth-scopes", "x-accepted-github-permissions")]
        has = [at(self._said, "/provided"), self._reply.first("x-oauth-scopes")]
        told = []
        for what, found in (("it needs", needs), ("it has", has)):
            scopes = next((self._shown(each) for each in found if isinstance(each, str) and each.strip()), "")
            told += [f"{what} {scopes}"] if scopes else []
        return ", ".join(told) or None

    def _elsewhere(self) -> str | None:
        """Return where a redirect leads: its host, which is no secret."""
        if self._reply.status // 100 != _REDIRECT:
            return None
        with suppress(ValueError):
            if name := urlsplit(self._hide(self._reply.first("location"))).hostname:
                return f"a redirect to {self._shown(name)}, which is not followed"
        return "a redirect, which is not followed"

    def _is_page(self) -> bool:
        kind = self._reply.first("content-type").partition(";")[0].strip().lower()
        return kind in ("text/html", "application/xhtml+xml") or _HTML.match(self._body) is not None

    def _identity(self) -> str | None:
        for pointer in self._test.identities:
            found = at(self._said, pointer)
            if isinstance(found, str | int | float) and not isinstance(found, bool) and str(found).strip():
                return self._shown(str(found))
        return None

    def _error_words(self) -> Iterator[str]:
        for pointer in _WORDS_AT:
            found = at(self._said, pointer)
            if isinstance(found, str) and _WORD.fullmatch(found):
                yield found

    def _shown(self, text: str) -> str:
        """Return a provider's own words as they may be shown."""
        text = " ".join(clean(self._hide(text)).split())
        return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"

    def _hide(self, text: str) -> str:
        for secret in sorted(filter(None, self._hidden), key=len, reverse=True):  # one may be a part of another
            text = text.replace(secret, self._hidden[secret])
        return text


_PAGE = "a web page, as a company's gateway or a network that wants a login would send it"
_HTML = re.compile(rb"\s*(?:<!doctype\s+html|<html)\b", re.IGNORECASE)


def _unpacked(reply: Reply) -> bytes:
    """Return a body without its compression; nothing that was asked for, but some servers do not ask."""
    coding = reply.first("content-encoding").strip().lower()
    if coding in ("", "identity"):
        return reply.body
    if coding not in ("gzip", "x-gzip", "deflate"):
        return b""
    with suppress(zlib.error):
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(reply.body, MOST_READ)
    return b""


def _parsed(body: bytes) -> Any:
    with suppress(ValueError, RecursionError):  # also UnicodeDecodeError, and a number of thousands of digits
        return json.loads(body) if body else NOTHING
    return NOTHING


def _again(wait: int | None) -> str | None:
    """Return when to try again."""
    if wait is None:
        return None
    for size, unit in ((3600, "h"), (60, "min")):
        if wait >= 2 * size:
            return f"try again in {-(-wait // size)} {unit}"
    return f"try again in {wait} s"
