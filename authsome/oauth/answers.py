"""What a token endpoint's answer says: tokens, a definite no, or nothing.

Promises that an answer is believed only as far as it says something: a status of 200 with an error in it is an error, a
page of HTML is no answer, and a lifetime that cannot be one is none. Refuses to quote: of an answer's words an error
has the provider's code and a cleaned, short description, and none of them if they show any part of what was sent.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus

from authsome.errors import AuthsomeError
from authsome.oauth import DeniedError, Tokens, UnavailableError

UNKNOWN = "unknown_error"
"""What an error is called that has no name which can be said."""

LATER = frozenset({"temporarily_unavailable", "server_error", "rate_limited", "ratelimited", "rate_limit_exceeded"})
"""Errors after which the same may work (RFC 6749, 4.1.2.1, and what providers have made of it)."""

MOST_TOKEN = 1 << 15
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,48}")
_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6750, 2.1, widened: it stands in a header, whatever else it is
_REFRESH = re.compile(r"[\x20-\x7e]+")  # RFC 6749, A.17
_BEARERS = frozenset({"", "bearer", "bot", "user"})  # the last two are Slack's for the same
_TEN_YEARS = 10 * 366 * 86400.0
_LONG_RETRY = 3600.0
_MOST_WORDS = 200
_SHOWN = 8
"""Characters of a secret in a row that already show it."""
_RUN = re.compile(r"[A-Za-z0-9+/=_%.~-]{20,}")  # no word is that long; a secret in some encoding is
_TAG = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<[^<>]*>?", re.DOTALL | re.IGNORECASE)
_MOST_FIELDS = 100
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it arrived.

    Attributes:
        host: Who has given it.
        headers: By their names in lower case.
        hidden: What was sent, and must not be read in an error.
        now: Seconds since 1970, to which a date in `Retry-After` is compared.
    """

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    hidden: Collection[str] = field(default=(), repr=False)
    now: float = 0.0


def tokens(answer: Answer, *, separator: str = " ") -> Tokens:
    """Return the tokens of an answer; raise `DeniedError` or `UnavailableError` where there are none.

    Args:
        separator: What a provider puts between scopes besides spaces.
    """
    said = checked(answer)
    access = said.get("access_token")
    if not isinstance(access, str) or not access:
        raise _nothing(answer, "no access token")
    if len(access) > MOST_TOKEN or not _TOKEN.fullmatch(access):
        raise _nothing(answer, "an access token that no header can carry")
    kind = said.get("token_type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in _BEARERS):
        words = f"{answer.host} gave a token of a type that authsome does not speak: it is no bearer token"
        raise DeniedError("unsupported_token_type", words)
    return Tokens(
        access_token=access,
        refresh_token=_refresh(said.get("refresh_token")),
        expires_in=seconds(said.get("expires_in")),
        scopes=_scopes(said.get("scope"), separator),
        said=dict(_texts(said)),
    )


def checked(answer: Answer) -> Mapping[str, Any]:
    """Return the object that an answer says; raise where it says an error, or nothing."""
    retry = _retry(answer)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnavailableError(f"{answer.host} answered {answer.status}", retry_after=retry)
    said = _object(answer)
    error = None if said is None else said_error(said)
    if error is not None and said is not None:
        raise refusal(answer.host, error, said.get("error_description"), answer.hidden, retry=retry)
    if said is None or not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _nothing(answer, "nothing that says why" if answer.status >= HTTPStatus.BAD_REQUEST else "no JSON object")
    return said


def refusal(
    host: str, error: object, description: object, hidden: Collection[str], *, retry: float | None = None
) -> DeniedError | UnavailableError:
    """Return the error for a provider's word and its description, neither of which may show what was sent."""
    code = error_code(error, hidden)
    words = described(description, hidden)
    message = f"{host} says `{code}`" + (f": {words}" if words else "")
    if code in LATER:
        return UnavailableError(message, retry_after=retry)
    return DeniedError(code, message)


def said_error(said: Mapping[str, Any]) -> object:
    """Return the error in an object, None if there is none; `{"ok": false}` is one, too."""
    error = said.get("error")
    if isinstance(error, Mapping):  # as in `{"error": {"type": "…", "message": "…"}}`
        error = next((error[name] for name in ("code", "type", "status") if isinstance(error.get(name), str)), UNKNOWN)
    if error not in (None, "", False, 0):
        return error
    return UNKNOWN if said.get("ok") is False else None


def error_code(error: object, hidden: Collection[str]) -> str:
    """Return the provider's word for an error, as far as it is one."""
    if isinstance(error, str) and _CODE.fullmatch(error) and not shows(error, hidden):
        return error
    return UNKNOWN


def described(description: object, hidden: Collection[str]) -> str:
    """Return a description in one short line without markup; nothing if any part of it shows what was sent."""
    if not isinstance(description, str):
        return ""
    plain = _TAG.sub(" ", description[: 8 * _MOST_WORDS])
    plain = " ".join("".join(char if " " <= char <= "~" else " " for char in plain).split())
    if shows(plain, hidden) or shows(unquote_plus(plain), hidden):
        return ""
    plain = _RUN.sub("…", plain).rstrip(". ")
    return plain if len(plain) <= _MOST_WORDS else plain[: _MOST_WORDS - 1] + "…"


def shows(text: str, hidden: Collection[str]) -> bool:
    """Whether a text has enough of a secret in it, also backwards, without its separators, or in another case."""
    seen = _folded(text)
    for secret in hidden:
        for spelled in {_folded(secret), _folded(quote(secret, safe=""))}:
            for way in (spelled, spelled[::-1]):
                size = min(_SHOWN, len(way))
                if size and any(way[start : start + size] in seen for start in range(len(way) - size + 1)):
                    return True
    return False


def _folded(text: str) -> str:
    return "".join(char for char in text.casefold() if not char.isspace())


def seconds(given: object) -> float | None:
    """Return for how long something holds; None for what is no lifetime: not positive, or more than ten years."""
    if isinstance(given, str) and len(given) <= 32:  # noqa: PLR2004  no number of seconds is longer
        try:
            given = float(given)
        except ValueError:
            return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return float(given) if 0 < given <= _TEN_YEARS else None  # not a number compares as neither


def accepted(answer: Answer) -> None:
    """Raise where a request to end a token was not granted (RFC 7009, 2.2): of its body nothing is needed."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        said = _object(answer)
        error = None if said is None else said_error(said)
        if error is None:
            return
        raise refusal(answer.host, error, (said or {}).get("error_description"), answer.hidden, retry=_retry(answer))
    checked(answer)


def _nothing(answer: Answer, what: str) -> AuthsomeError:
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        return UnavailableError(f"{answer.host} answered {answer.status}: a redirect, which is not followed")
    return UnavailableError(f"{answer.host} answered {answer.status} with {what}", retry_after=_retry(answer))


def _object(answer: Answer) -> Mapping[str, Any] | None:
    """Return the object of a body: JSON, or the form in which some answered before there was a standard."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):  # the second: a megabyte of brackets
        said = _form(answer)
    return said if isinstance(said, dict) else None


def _form(answer: Answer) -> Mapping[str, str] | None:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "text/plain"):
        return None
    try:
        found = dict(parse_qsl(answer.body.decode("ascii"), max_num_fields=_MOST_FIELDS))
    except ValueError:
        return None
    return found if "access_token" in found or "error" in found else None


def _refresh(given: object) -> str | None:
    if not isinstance(given, str) or not 0 < len(given) <= MOST_TOKEN or not _REFRESH.fullmatch(given):
        return None
    return given


def _scopes(given: object, separator: str) -> tuple[str, ...] | None:
    if isinstance(given, list):
        given = " ".join(each for each in given if isinstance(each, str))
    if not isinstance(given, str):
        return None
    # NOTE: GitHub answers with commas to a request with spaces; a scope with a comma in it is not known.
    found = given.replace(",", " ").replace(separator, " ").split()
    return tuple(dict.fromkeys(each for each in found if each.isascii() and each.isprintable()))


def _texts(said: Mapping[str, Any], before: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    """Yield the texts and numbers of an answer; of objects in it by both names, as in `authed_user.access_token`."""
    for name, value in said.items():
        if isinstance(value, Mapping) and depth > 1:
            yield from _texts(value, f"{before}{name}.", depth - 1)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            text = "" if isinstance(value, float) and not math.isfinite(value) else str(value)
            if text and text.isprintable():
                yield f"{before}{name}", text


def _retry(answer: Answer) -> float | None:
    """Return what `Retry-After` says, in seconds (RFC 9110, 10.2.3), at most an hour."""
    given = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", given):
        return min(float(given), _LONG_RETRY)
    try:
        at = parsedate_to_datetime(given)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    left = at - datetime.fromtimestamp(answer.now, UTC)
    return min(max(left.total_seconds(), 0.0), _LONG_RETRY)
