"""A page that is open, and clients that send it octets."""

import contextlib
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from authsome.bridge import Answer, Outcome, Question, Take, Taken, returned, server
from authsome.bridge.desk import Desk
from authsome.bridge.guard import COOKIE, Guard
from authsome.bridge.page import Site
from authsome.bridge.sheet import Sheet
from authsome.errors import AuthsomeError, Doubt, ExitCode

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
KEY, WRONG, DOUBTED = "CANARY-page-key-0123", "CANARY-wrong-0123", "CANARY-doubted-0123"
FORM = "application/x-www-form-urlencoded"


def question(provider: str = "acme", **more: object) -> Question:
    made: dict[str, object] = {
        "display_name": provider.title(),
        "connection": "default",
        "hosts": ("api.acme.example",),
    }
    return Question(provider, **(made | more))  # type: ignore[arg-type]  # whatever a test says


def take(asked: Question, answer: Answer) -> Outcome:
    """Judge a key by its looks."""
    given = answer.fields.get("api_key", "")
    if given == WRONG:
        raise AuthsomeError(f"This is no key of {asked.display_name}.", hint="look again", code=ExitCode.USAGE)
    if given == DOUBTED and "refused" not in answer.accepted:
        raise Doubt("refused", "It refuses this key.", hint="look again", offer="Store it all the same")
    return Outcome("stored; it accepts it", checked=True)


@dataclass
class Reply:
    """What came back; status 0 for nothing."""

    octets: bytes

    @property
    def status(self) -> int:
        return int(self.octets.split(b" ", 2)[1]) if self.octets.startswith(b"HTTP/") else 0

    @property
    def head(self) -> bytes:
        return self.octets.partition(b"\r\n\r\n")[0]

    @property
    def text(self) -> str:
        return self.octets.partition(b"\r\n\r\n")[2].decode()

    def header(self, name: str) -> str | None:
        found = re.search(rb"(?im)^" + name.encode() + rb": *(.*?)\r?$", self.head)
        return found[1].decode() if found else None


def _whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^Content-Length: (\d+)", head)
    return bool(end and length and len(body) >= int(length[1]))


@dataclass
class Open:
    """A page and what was taken from it."""

    sheet: Sheet
    guard: Guard
    port: int
    taken: list[tuple[Question, Answer]] = field(default_factory=list)

    def raw(self, octets: bytes, seconds: float = 5) -> Reply:
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as opened:
            opened.sendall(octets)
            received = b""
            with contextlib.suppress(ConnectionError):
                # What is refused unread is drained before the connection ends, so its length says where an answer does.
                while not _whole(received) and (block := opened.recv(1 << 16)):
                    received += block
            return Reply(received)

    def send(self, method: str, path: str, headers: dict[str, str | None] | None = None, body: bytes = b"") -> Reply:
        """Send a request; a header that is None is left out."""
        said: dict[str, str | None] = {"Host": self.guard.host, **({"Content-Length": str(len(body))} if body else {})}
        lines = [f"{name}: {text}" for name, text in (said | (headers or {})).items() if text is not None]
        return self.raw("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)

    @property
    def link(self) -> str:
        return self.guard.link.partition(self.guard.host)[2]

    def enter(self) -> str:
        """Open the link, and return the cookie."""
        opened = self.send("GET", self.link)
        assert opened.status == 200, opened
        return (opened.header("Set-Cookie") or "").partition(";")[0]

    def page(self, cookie: str) -> str:
        shown = self.send("GET", self.guard.root, {"Cookie": cookie})
        assert shown.status == 200, shown
        return shown.text

    def post(
        self,
        cookie: str,
        fields: dict[str, str],
        headers: dict[str, str | None] | None = None,
        token: str | None = None,
    ) -> Reply:
        """Send the form as the page would."""
        form = urlencode({"token": token or self.guard.form_token, **fields}).encode()
        said: dict[str, str | None] = {"Cookie": cookie, "Origin": f"http://{self.guard.host}", "Content-Type": FORM}
        return self.send("POST", self.guard.root, said | (headers or {}), form)


@contextlib.contextmanager
def opened(*questions: Question, taking: Take = take, seconds: float = 60.0) -> Iterator[Open]:
    listener = server.listen(0)
    port = listener.getsockname()[1]
    sheet, guard = Sheet(questions, returned.address(port)), Guard(port, secrets.token_urlsafe)
    desk = Desk(sheet)
    made = Open(sheet, guard, port)

    def remember(asked: Question, answer: Answer) -> Taken:
        made.taken.append((asked, answer))
        return taking(asked, answer)

    asking = threading.Thread(target=desk.attend, args=(remember, seconds))
    asking.start()
    with server.serving(listener, Site(sheet, desk, guard, "the profile default")):
        yield made
    desk.close()
    asking.join(5)


__all__ = ["COOKIE", "DOUBTED", "FORM", "HOSTILE", "KEY", "WRONG", "Open", "Reply", "opened", "question", "take"]
