"""Who may speak to the page.

Promises that a request is answered only for the browser that opened the one-time link first, from the page itself, and
under its own name. Refuses other names for this address (DNS rebinding), other pages' posts (CSRF), a link that was
used, and to tell a wrong guess from a path that does not exist.
"""

import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from werkzeug.wrappers import Request

from authsome.bridge import returned

TOKEN_BYTES = 16  # 128 bits each
MAX_BODY = 64 << 10
MAX_FIELD = 16 << 10
COOKIE = "authsome-page"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is not answered; `words` hold nothing of it."""

    status: int
    words: str


NOTHING = Refused(404, "There is nothing here.")
_AHEAD = Refused(403, "A link is opened by a person.")
_UNKNOWN = Refused(403, "This is not the end of a login that is waited for here. Nothing was changed by it.")
_STRANGER = Refused(403, "This page belongs to the browser that opened its link first.")
_ELSEWHERE = Refused(403, "This did not come from the page itself.")
_USED = Refused(
    403,
    "This link was used already; it works once. "
    "Look for the page that it opened, or start the command in the terminal again.",
)


class Logins[Waiting](Protocol):
    """The logins from which somebody may come back."""

    def waits(self) -> bool:
        """Whether there is one."""

    def claim(self, state: str) -> Waiting | None:
        """Return the one that a state belongs to, once."""


class Link:
    """An address that can be opened once."""

    def __init__(self, host: str, token: Callable[[int], str]) -> None:
        self._path = f"/{token(TOKEN_BYTES)}"
        self.url = f"http://{host}{self._path}"
        self._used = False
        self._lock = threading.Lock()

    def opens(self, request: Request) -> Refused | bool:
        """Return whether a request is the one that opens it; from then on the link is used."""
        if not _same(request.path, self._path):
            return False
        if request.method != "GET":
            return Refused(405, "A link is opened with GET.")
        if _looks_ahead(request):
            return _AHEAD
        with self._lock:
            if self._used:
                return _USED
            self._used = True
        return True


class Guard:
    """The secrets of one page: its link, its name, its browser's cookie and its form's token."""

    def __init__(self, port: int, token: Callable[[int], str]) -> None:
        self.host = f"127.0.0.1:{port}"
        self._link = Link(self.host, token)
        self._name, self._cookie, self.form_token = (token(TOKEN_BYTES) for _ in range(3))

    @property
    def link(self) -> str:
        """What is shown to the person."""
        return self._link.url

    @property
    def root(self) -> str:
        """The path of the page."""
        return f"/{self._name}/"

    @property
    def cookie(self) -> str:
        """The line that binds a browser to the page.

        NOTE: cookies do not know ports, so this one would also be shown to whatever else listens on 127.0.0.1. Its path
        is one that nothing else has.
        """
        return f"{COOKIE}={self._cookie}; Path={self.root}; HttpOnly; SameSite=Strict"

    def misnamed(self, request: Request) -> Refused | None:
        """Refuse a request that reached this address under another name."""
        return misnamed(request, self.host)

    def opens(self, request: Request) -> Refused | bool:
        """Return whether a request is the one that opens the page; from then on the link is used."""
        return self._link.opens(request)

    def stranger(self, request: Request) -> Refused | None:
        """Refuse whoever is not the browser that the page belongs to."""
        name = request.path.split("/")[1]
        if not _same(name, self._name):
            return NOTHING
        given = request.cookies.getlist(COOKIE)
        return None if len(given) == 1 and _same(given[0], self._cookie) else _STRANGER

    def forged(self, request: Request) -> Refused | None:
        """Refuse a post that does not come from the page's own form."""
        if request.headers.get("Origin") != f"http://{self.host}":
            return _ELSEWHERE
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return _ELSEWHERE
        if refused := _misshapen(request):
            return refused
        given = request.form.getlist("token")
        return None if len(given) == 1 and _same(given[0], self.form_token) else _ELSEWHERE


def misnamed(request: Request, host: str) -> Refused | None:
    """Refuse a request that reached an address under another name than `host`."""
    # Werkzeug joins repeated lines with a comma, and takes the name of an absolute target for `Host`.
    named = request.environ.get("HTTP_HOST", "")
    return None if named == host else Refused(421, "This address has another name.")


def came_back[Waiting](request: Request, logins: Logins[Waiting]) -> "Refused | Waiting":
    """Return the login that a request comes back from; from then on its `state` is used.

    NOTE: no cookie is asked for. The page's is not sent where another site leads here, and the person may have agreed
    in another browser; who knows the `state` was there.
    """
    if not logins.waits():
        return NOTHING
    if request.method != "GET":
        return Refused(405, "A browser comes back with GET.")
    if _looks_ahead(request):
        return _AHEAD
    state = returned.state_of(request.query_string.decode("latin-1"))
    login = None if state is None else logins.claim(state)
    return _UNKNOWN if login is None else login


def _looks_ahead(request: Request) -> bool:
    return "prefetch" in request.headers.get("Sec-Purpose", request.headers.get("Purpose", "")).lower()


def _misshapen(request: Request) -> Refused | None:
    """Refuse what no form of the page can be, before its fields are read."""
    if request.mimetype != FORM:
        return Refused(415, "This is not the page's form.")
    if request.content_length is None or "Transfer-Encoding" in request.headers:
        return Refused(411, "The form has no length.")
    if request.content_length > MAX_BODY:
        return Refused(413, "This is too large for a form.")
    if any(len(text) > MAX_FIELD for text in request.form.values()):
        return Refused(413, "One of the fields is too large for a key.")
    return None


def _same(given: str, expected: str) -> bool:
    """Compare in a time that says nothing about where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
