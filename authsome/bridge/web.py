"""What a browser gets from this address: text, and what every answer says besides.

Promises that no answer can be framed, kept, run as a script or told on to another site. Refuses to say what went wrong
inside: the words may hold a value, and the thread that asked knows them.
"""

import base64
import hashlib
from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING

import jinja2
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from authsome.bridge.guard import MAX_BODY, Refused
from authsome.errors import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def _hashed(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_PLAIN = (
    ":root{color-scheme:light dark}body{max-width:32rem;margin:15vh auto 0;padding:0 1.25rem;"
    "font:1rem/1.5 system-ui,sans-serif}h1{font-size:1.25rem}"
)
"""How what is no page looks: whoever is refused gets no file of the page either, so its style is within."""

_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'self' 'sha256-{_hashed(_PLAIN)}'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # NOTE: not `no-referrer`, under which browsers post forms with `Origin: null`; to anybody else it tells as little.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
RETURNED_HEADERS = {"Referrer-Policy": "no-referrer"}
"""NOTE: the address that a login comes back with has the code in it; not even this site's own pages get to read it."""


@cache
def _templates() -> jinja2.Environment:
    """Return the pages, compiled before somebody waits for them."""
    found = jinja2.Environment(
        autoescape=True,
        loader=jinja2.PackageLoader(__package__),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"clean": clean, "capitalize_first": lambda text: text[:1].upper() + text[1:]}
    for name in found.list_templates():
        found.get_template(name)
    return found


class Answers(ABC):
    """An application of the server; a subclass says what it answers."""

    def __init__(self) -> None:
        self._templates = _templates()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Answer one request."""
        request = Request(environ)
        request.max_content_length = request.max_form_memory_size = MAX_BODY
        try:
            response = self.answer(request)
        except HTTPException as error:
            response = self.refuse(Refused(error.code or 400, "This is not the page's form."))
        except Exception:  # noqa: BLE001  whatever it was, its words may hold a value; the asking thread says what it knows
            response = self.refuse(Refused(500, "authsome has stopped. The terminal says why."))
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    @abstractmethod
    def answer(self, request: Request) -> Response:
        """Return what a request gets."""

    def refuse(self, refused: Refused) -> Response:
        """Return the words of a refusal, as a page."""
        return self.render("refused.html", refused.status, words=refused.words, style=_PLAIN)

    def passes_on(self, words: str, target: str) -> Response:
        """Return a page that leads on by itself.

        NOTE: neither is this a redirect. The policy that keeps the page's form from being posted elsewhere forbids to
        redirect a post, and after a redirect from another site the browser would not send a `SameSite=Strict` cookie.
        """
        return self.render("onward.html", words=words, target=target, style=_PLAIN)

    def ends(self, words: str) -> Response:
        """Return a page after which there is nothing."""
        return self.render("refused.html", words=words, style=_PLAIN)

    def render(self, name: str, status: int = 200, **values: object) -> Response:
        """Return a template with its values."""
        text = self._templates.get_template(name).render(**values)
        return Response(text, status, content_type="text/html; charset=utf-8")
