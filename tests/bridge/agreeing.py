"""A provider that people agree at, and who takes what they come back with; as a program, at a terminal."""

import html
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import trustme

from authsome.bridge import Answer, Blank, Outcome, Question, Taken
from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import AuthorizationRequest, DeniedError, DeviceAuthorization, UnavailableError

CODE, CLIENT_SECRET = "CANARY-code-0123", "CANARY-client-secret-0123"
HOSTILE_ERROR = "<script>alert(1)</script><img src=x>"
AT_ONCE = DeviceAuthorization("WDJB-MJHT", "https://acme.example/device", None, 0.05, 60)
APPLICATION = (Blank("client_id", "Client id", masked=False), Blank("client_secret", "Client secret"))


def login(provider: str = "acme", flow: str = "pkce", **more: object) -> Question:
    made: dict[str, object] = {
        "display_name": provider.title(),
        "connection": "default",
        "hosts": ("api.acme.example",),
        "flow": flow,
        "blanks": (),
    }
    return Question(provider, **(made | more))  # type: ignore[arg-type]  # whatever a test says


@dataclass
class Agreeing:
    """Takes logins as the session does, with a provider of its own words.

    Attributes:
        page: Where its provider asks.
        devices: What is answered to each question about a login on another device; the last one for ever.
    """

    page: str = "https://acme.example/authorize"
    devices: list[Taken | AuthsomeError] = field(default_factory=list)
    code: DeviceAuthorization = AT_ONCE
    state: str = ""
    begun: int = 0
    answers: list[Answer] = field(default_factory=list)

    def __call__(self, asked: Question, answer: Answer) -> Taken:
        self.answers.append(answer)
        if answer.polls:
            return self._said(self.devices.pop(0) if len(self.devices) > 1 else self.devices[0])
        if answer.returned is not None:
            return self._came_back(asked, answer.returned)
        self.begun += 1
        if asked.flow == "device_code":
            return self.code
        if asked.flow == "client_credentials":
            return Outcome("stored; it accepts it", checked=True)
        if answer.redirect_uri is None:
            raise AuthsomeError("the login comes back to port 7998", hint="free it", code=ExitCode.USAGE)
        self.state = f"CANARY-state-{self.begun}"
        query = urlencode({"state": self.state, "redirect_uri": answer.redirect_uri})
        return AuthorizationRequest(f"{self.page}?{query}", self.state, answer.redirect_uri)

    def _said(self, said: Taken | AuthsomeError) -> Taken:
        if isinstance(said, AuthsomeError):
            raise said
        return said

    def _came_back(self, asked: Question, address: str) -> Taken:
        said = {name: texts[0] for name, texts in parse_qs(urlsplit(address).query).items()}
        assert said["state"] == self.state
        if "error" in said:
            words = said.get("error_description", "")
            raise DeniedError(said["error"], f"{asked.display_name} says no: {words}", hint="agree there")
        if not said.get("code", "").startswith(CODE):
            raise DeniedError("invalid_grant", f"{asked.display_name} does not know this code", hint="begin anew")
        return Outcome("stored; it accepts it", checked=True)


UNAVAILABLE = UnavailableError("Acme does not answer")
STORED = Outcome("stored; it accepts it", checked=True)


@contextmanager
def provider() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve a page that asks whether one agrees; give its address, and the headers of those who came."""
    came: list[dict[str, str]] = []

    class Asking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(dict(self.headers.items()))
            said = {name: texts[0] for name, texts in parse_qs(urlsplit(self.path).query).items()}
            ways = {"yes": {"code": CODE}, "no": {"error": "access_denied", "error_description": HOSTILE_ERROR}}
            back = {
                name: f"{said.get('redirect_uri', '')}?{urlencode(way | {'state': said.get('state', '')})}"
                for name, way in ways.items()
            }
            links = "".join(f'<p><a id="{name}" href="{html.escape(url)}">{name}</a>' for name, url in back.items())
            page = f"<!doctype html><title>Acme</title><h1>Do you agree?</h1>{links}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *words: Any) -> None:
            """Write nothing."""

    authority = trustme.CA()
    within = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(within)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Asking)
    server.socket = within.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}/authorize", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _main() -> None:
    from authsome.bridge.terminal import Terminal  # noqa: PLC0415  of the program alone

    words = json.loads(sys.argv[1])

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(link: str) -> None:
        Path(words["shown"]).write_text(link)

    taking = Agreeing(devices=[UNAVAILABLE, STORED])
    blanks = APPLICATION if words.get("asks") else ()
    asked = login(flow=words["flow"], blanks=blanks, keys_url="https://acme.example/apps")
    try:
        Terminal(say, show if "shown" in words else None, port=words["port"]).ask([asked], taking)
    except AuthsomeError as error:
        say(f"Error: {error.message}\nHint: {error.hint}")
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
    say(f"given: {sorted(taking.answers[0].fields)}")


if __name__ == "__main__":
    _main()
