"""The local page: everything that is missing, asked once.

Promises that what is given there is checked and stored by the thread that asked, line by line, and that the page is
gone when it was answered, left or forgotten. Refuses to put a secret that was given into an answer.
"""

import base64
import hashlib
import queue
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib.resources import files
from typing import TYPE_CHECKING

import jinja2
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from authsome.bridge import Answer, Outcome, Question, Take, server
from authsome.bridge.guard import MAX_BODY, Guard, Refused
from authsome.bridge.sheet import Line, Sheet, check_hosts
from authsome.errors import AuthsomeError, ExitCode, clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECONDS = 600.0
"""How long the page waits for the next thing that is done on it."""


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
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}
_IN_PLACE = frozenset({ExitCode.USAGE, ExitCode.REFUSED})
"""Errors that are one line's; any other one ends the page."""


class Page:
    """A person at a browser."""

    def __init__(
        self,
        say: Callable[[str], None],
        show: Callable[[str], None] | None,
        about: str,
        *,
        seconds: float = SECONDS,
        port: int = server.PORT,
    ) -> None:
        self._say, self._show, self._about = say, show, about
        self._seconds, self._port = seconds, port

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        """Show all questions, until the required ones are stored and the others stored or left out."""
        listener = server.listen(self._port)
        guard = Guard(listener.getsockname()[1], secrets.token_urlsafe)
        desk, sheet = Desk(), Sheet(tuple(questions))
        with server.serving(listener, Site(sheet, desk, guard, self._about)):
            many = "this key" if len(questions) == 1 else f"these {len(questions)} keys"
            self._say(f"authsome asks for {many} on a page of its own; the link works once:\n  {guard.link}")
            if self._show:
                self._show(guard.link)
            desk.attend(take, self._seconds)
        for line in sheet.lines:
            if line.settled:
                self._say(f"{line.question.name}: {line.words}")
        if sheet.left:
            named = ", ".join(line.question.name for line in sheet.missing)
            without = f" without {named}" if named else ""
            raise AuthsomeError(f"the page was left{without}", hint=_LATER, code=ExitCode.MISSING)


_LATER = "what was stored stays stored; start again for the rest"


class Desk:
    """Where the page's threads hand answers to the thread that asked: the vault is that one's alone."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Question, Answer, Future[Outcome]] | None] = queue.Queue()

    def hand(self, question: Question, answer: Answer) -> Outcome:
        """Have an answer taken; raise what it raises."""
        result: Future[Outcome] = Future()
        self._waiting.put((question, answer, result))
        return result.result()

    def close(self) -> None:
        """Say that there will be no more."""
        self._waiting.put(None)

    def attend(self, take: Take, seconds: float) -> None:
        """Take answers until there are no more; raise (exit code 3) if none comes for so long."""
        last = time.monotonic()
        while True:
            try:
                given = self._waiting.get(timeout=max(0.0, last + seconds - time.monotonic()))
            except queue.Empty:
                waited = f"{seconds / 60:.0f} minutes" if seconds >= 60 else f"{seconds:g} seconds"  # noqa: PLR2004
                raise AuthsomeError(
                    f"nobody answered on the page for {waited}", hint=_LATER, code=ExitCode.MISSING
                ) from None
            if given is None:
                return
            self._take(take, *given)
            last = time.monotonic()

    def _take(self, take: Take, question: Question, answer: Answer, result: "Future[Outcome]") -> None:
        try:
            check_hosts(question, answer)
            taken = take(question, answer)
            if not isinstance(taken, Outcome):
                raise AssertionError("not yet")  # noqa: TRY004, TRY301  until there are such answers
            result.set_result(taken)
        except AuthsomeError as error:
            result.set_exception(error)
            if error.code not in _IN_PLACE:
                raise
        except BaseException:
            result.set_exception(_Ended())
            raise


class _Ended(Exception):  # noqa: N818  no error of the page's
    """The thread that asked does so no more."""


class Site:
    """What the page's address answers."""

    def __init__(self, sheet: Sheet, desk: Desk, guard: Guard, about: str) -> None:
        self._sheet, self._desk, self._guard, self._about = sheet, desk, guard, about
        self._files = {name: (files(__package__) / "static" / name).read_bytes() for name in _STATIC}
        self._templates = jinja2.Environment(
            autoescape=True,
            loader=jinja2.PackageLoader(__package__),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"clean": clean, "capitalize_first": lambda text: text[:1].upper() + text[1:]}
        for name in self._templates.list_templates():  # compiled before somebody waits for them
            self._templates.get_template(name)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Answer one request."""
        request = Request(environ)
        request.max_content_length = request.max_form_memory_size = MAX_BODY
        try:
            response = self._answer(request)
        except HTTPException as error:
            response = self._refuse(Refused(error.code or 400, "This is not the page's form."))
        except Exception:  # noqa: BLE001  whatever it was, its words may hold a value; the asking thread says what it knows
            response = self._refuse(Refused(500, "authsome has stopped. The terminal says why."))
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if refused := self._guard.misnamed(request):
            return self._refuse(refused)
        if self._sheet.closed and not self._is_static(request):
            return self._refuse(Refused(410, "This page is closed. Go back to the terminal."))
        opening = self._guard.opens(request)
        if isinstance(opening, Refused):
            return self._refuse(opening)
        if opening:
            response = self._render("opened.html", root=self._guard.root, style=_PLAIN)
            response.headers["Set-Cookie"] = self._guard.cookie
            return response
        if refused := self._guard.stranger(request):
            return self._refuse(refused)
        return self._own(request)

    def _is_static(self, request: Request) -> bool:
        return request.method == "GET" and request.path.removeprefix(self._guard.root) in _STATIC

    def _own(self, request: Request) -> Response:
        """Answer the browser that the page belongs to."""
        name = request.path.removeprefix(self._guard.root)
        if name in _STATIC and request.method == "GET":
            # The last page is read when nothing answers any more.
            cached = {"Cache-Control": "private, max-age=3600"}
            return Response(self._files[name], content_type=f"{_STATIC[name]}; charset=utf-8", headers=cached)
        if request.path != self._guard.root:
            return self._refuse(Refused(404, "There is nothing here."))
        if request.method == "GET":
            return self._shown()
        if request.method != "POST":
            return self._refuse(Refused(405, "The page knows GET and POST."))
        return self._refuse(refused) if (refused := self._guard.forged(request)) else self._filled_in(request)

    def _filled_in(self, request: Request) -> Response:
        act, form = request.form.get("act", ""), request.form.to_dict()
        for line, answer in self._sheet.given(act, form):
            self._hand(line, answer)
        self._sheet.finish(act)
        if self._sheet.closed:
            response = self._shown()
            self._desk.close()
            return response
        return Response(status=303, headers={"Location": self._guard.root})

    def _hand(self, line: Line, answer: Answer) -> None:
        try:
            line.store(self._desk.hand(line.question, answer))
        except AuthsomeError as error:
            line.refuse(error, answer)
            if error.code not in _IN_PLACE:
                raise

    def _shown(self) -> Response:
        return self._render(
            "page.html", sheet=self._sheet, root=self._guard.root, token=self._guard.form_token, about=self._about
        )

    def _refuse(self, refused: Refused) -> Response:
        return self._render("refused.html", refused.status, words=refused.words, style=_PLAIN)

    def _render(self, name: str, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(name).render(**values)
        return Response(text, status, content_type="text/html; charset=utf-8")
