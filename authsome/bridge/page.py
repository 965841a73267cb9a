"""The local page: everything that is missing, asked once.

Promises that what is given there is checked and stored by the thread that asked, line by line, and that the page is
gone when it was answered, left or forgotten. Refuses to put a secret that was given into an answer, and to take it from
a cookie that somebody has come back from a provider.
"""

import secrets
from collections.abc import Callable, Sequence
from importlib.resources import files

from werkzeug.wrappers import Request, Response

from authsome.bridge import Question, Take, returned, server
from authsome.bridge.desk import LATER, Desk
from authsome.bridge.guard import NOTHING, Guard, Refused, came_back
from authsome.bridge.sheet import Sheet
from authsome.bridge.web import RETURNED_HEADERS, Answers
from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import REDIRECTED

SECONDS = 600.0
"""How long the page waits for the next thing that is done on it."""

_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


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
        port = listener.getsockname()[1]
        guard = Guard(port, secrets.token_urlsafe)
        sheet = self._sheet(tuple(questions), port)
        desk = Desk(sheet)
        with server.serving(listener, Site(sheet, desk, guard, self._about)):
            counted = _counted(questions)
            self._say(f"authsome asks for {counted} on a page of its own; the link works once:\n  {guard.link}")
            if self._show:
                self._show(guard.link)
            desk.attend(take, self._seconds)
        for line in sheet.lines:
            if line.settled:
                self._say(f"{line.question.name}: {line.words}")
        if sheet.left:
            named = ", ".join(line.question.name for line in sheet.missing)
            without = f" without {named}" if named else ""
            raise AuthsomeError(f"the page was left{without}", hint=LATER, code=ExitCode.MISSING)

    def _sheet(self, questions: tuple[Question, ...], port: int) -> Sheet:
        if self._port in (0, port):
            return Sheet(questions, returned.address(port))
        # An application's callback address is written down at the provider, so another port than that is none.
        sent = any(question.flow in REDIRECTED for question in questions)
        return Sheet(questions, taken_by=server.holder(self._port) if sent else "")


def _counted(questions: Sequence[Question]) -> str:
    keys = [question for question in questions if question.flow is None]
    what = "key" if len(keys) == len(questions) else "login" if not keys else "credential"
    return f"this {what}" if len(questions) == 1 else f"these {len(questions)} {what}s"


class Site(Answers):
    """What the page's address answers."""

    def __init__(self, sheet: Sheet, desk: Desk, guard: Guard, about: str) -> None:
        super().__init__()
        self._sheet, self._desk, self._guard, self._about = sheet, desk, guard, about
        self._files = {name: (files(__package__) / "static" / name).read_bytes() for name in _STATIC}

    def answer(self, request: Request) -> Response:
        """Return what a request gets, by whom it comes from."""
        if refused := self._guard.misnamed(request):
            return self.refuse(refused)
        if self._sheet.closed and not self._is_static(request):
            return self.refuse(Refused(410, "This page is closed. Go back to the terminal."))
        if request.path == returned.PATH:
            return self._comes_back(request)
        if opening := self._guard.opens(request):
            return self._opened(opening)
        if refused := self._guard.stranger(request):
            return self.refuse(refused)
        return self._own(request)

    def _opened(self, opening: Refused | bool) -> Response:
        if isinstance(opening, Refused):
            return self.refuse(opening)
        response = self.passes_on("Continue to authsome", self._guard.root)
        response.headers["Set-Cookie"] = self._guard.cookie
        return response

    def _is_static(self, request: Request) -> bool:
        return request.method == "GET" and request.path.removeprefix(self._guard.root) in _STATIC

    def _comes_back(self, request: Request) -> Response:
        """Take it that a provider has sent somebody back, and lead on to the page, which says what became of it."""
        line = came_back(request, self._sheet)
        if isinstance(line, Refused):
            response = self.refuse(line)
        else:
            self._desk.hand(line, line.comes_back(request.query_string.decode("ascii")))  # as `state_of` has seen
            response = self.passes_on("Continue to authsome", self._guard.root)
        response.headers.extend(RETURNED_HEADERS)
        return response

    def _own(self, request: Request) -> Response:
        """Answer the browser that the page belongs to."""
        name = request.path.removeprefix(self._guard.root)
        if name in _STATIC and request.method == "GET":
            # The last page is read when nothing answers any more.
            cached = {"Cache-Control": "private, max-age=3600"}
            return Response(self._files[name], content_type=f"{_STATIC[name]}; charset=utf-8", headers=cached)
        if request.path != self._guard.root:
            return self.refuse(NOTHING)
        if request.method == "GET":
            self._sheet.finish()
            return self._shown()
        if request.method != "POST":
            return self.refuse(Refused(405, "The page knows GET and POST."))
        return self.refuse(refused) if (refused := self._guard.forged(request)) else self._filled_in(request)

    def _filled_in(self, request: Request) -> Response:
        act, form = request.form.get("act", ""), request.form.to_dict()
        begun = None
        for line, answer in self._sheet.given(act, form):
            self._desk.hand(line, answer)
            begun = line if line is self._sheet.chosen(act) and not answer.returned else begun
        if begun and (sent := begun.request):
            return self.passes_on(f"Continue to {begun.away_host}", sent.url)
        self._sheet.finish(act)
        if self._sheet.closed:
            return self._shown()
        return Response(status=303, headers={"Location": self._guard.root})

    def _shown(self) -> Response:
        shown = self.render(
            "page.html", sheet=self._sheet, root=self._guard.root, token=self._guard.form_token, about=self._about
        )
        if self._sheet.closed:
            self._desk.close()
        return shown
