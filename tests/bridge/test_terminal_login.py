"""Logins at the terminal: the browser comes back, or its address is pasted, and neither leaves anything behind."""

import json
import re
import socket
import sys
import termios
import time
from pathlib import Path

import pytest
from agreeing import CLIENT_SECRET, CODE, HOSTILE_ERROR, STORED, Agreeing, login

from authsome.bridge import Answer, Question, Taken
from authsome.bridge.terminal import Terminal
from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import AuthorizationRequest, DeviceAuthorization, UnavailableError
from canary import sings
from terminal import Person

PASTE = "Or paste the address that the browser ends at (input is hidden): "
AGREED = "acme: stored; it accepts it\n"


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class AtTerminal(Person):
    """A person who logs in at the terminal, without the command line."""

    def __init__(self, folder: Path, *, flow: str = "pkce", sees: str = PASTE, **more: object) -> None:
        self.port = _free()
        words = {"flow": flow, "port": self.port} | more
        program = Path(__file__).with_name("agreeing.py")
        paths = {"PYTHONPATH": str(Path(__file__).parents[1])}
        super().__init__([sys.executable, program, json.dumps(words)], paths, folder)
        assert self.sees(sees), self.screen

    @property
    def state(self) -> str:
        found = re.search(r"authorize\?state=([\w-]+)&", self.screen)
        assert found is not None
        return found[1]

    def back(self, query: str) -> str:
        return f"http://127.0.0.1:{self.port}/callback?{query}"

    def raw(self, path: str, host: str | None = None) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as opened:
            opened.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{self.port}'}\r\n\r\n".encode())
            return b"".join(iter(lambda: opened.recv(4096), b""))

    def get(self, path: str, host: str | None = None) -> int:
        answer = self.raw(path, host)
        assert not sings(answer)
        return int(answer.split(b" ", 2)[1])

    @property
    def echoes(self) -> bool:
        mode = termios.tcgetattr(self._master)[3]
        return bool(mode & termios.ECHO and mode & termios.ICANON)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def shows_no_secret(self) -> bool:
        return CODE not in self.screen and CLIENT_SECRET not in self.screen


def test_the_browser_comes_back_while_an_address_is_waited_for(tmp_path: Path) -> None:
    person = AtTerminal(tmp_path)
    assert person.screen.startswith(
        "Agents' requests get the token at: api.acme.example\nLog in with Acme in a browser:\n"
    )
    assert not person.echoes
    for path, status in (
        ("/favicon.ico", 404),
        ("/", 404),
        (f"/callback?code={CODE}", 403),
        (f"/callback?code={CODE}&state=guess", 403),
        (f"/callback?code={CODE}&state={person.state}&state={person.state}", 403),
        (f"/callback?code={CODE}&code=x&state={person.state}", 403),
    ):
        assert person.get(path) == status
    assert person.get(f"/callback?code={CODE}&state={person.state}", "evil.example") == 421
    assert person.get(f"/callback?code={CODE}&state={person.state}") == 200
    assert person.sees(AGREED)
    assert person.ends() == 0
    assert person.shows_no_secret()
    assert not person.listens()


@pytest.mark.parametrize("pads", [0, 9000])
def test_the_address_is_pasted_however_long_it_is(tmp_path: Path, pads: int) -> None:
    person = AtTerminal(tmp_path, asks=True, sees="Acme Client id: ")
    where = (
        "made there once: https://acme.example/apps\nIts callback address has to be: http://127.0.0.1:7998/callback\n"
    )
    assert where in person.screen
    person.types("mine\n")
    assert person.sees("Acme Client secret (input is hidden): ")
    person.types(f"{CLIENT_SECRET}\n")
    assert person.sees(PASTE)
    person.types(person.back(f"code={CODE}{'x' * pads}&state={person.state}\n"))
    assert person.sees(AGREED)
    assert person.sees("given: ['client_id', 'client_secret']")
    assert person.ends() == 0
    assert person.shows_no_secret()


def test_garbage_that_is_pasted_is_asked_for_again(tmp_path: Path) -> None:
    person = AtTerminal(tmp_path)
    state = person.state
    for text in ("\n", "garbage CANARY\x7f\x15garbage\r", person.back(f"code={CODE}&state=foreign\n")):
        person.screen = ""
        person.types(text)
        assert person.sees(PASTE)
    assert "Error: This is the address of another login, or not all of it.\nHint: copy" in person.screen
    person.types("\x1b[200~" + person.back(f"code={CODE}&state={state}") + "\x1b[201~\r")
    assert person.sees(AGREED)
    assert person.ends() == 0
    assert person.shows_no_secret()


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 3), ("a\nb\nc\n", 3)])
def test_leaving_leaves_no_listener_and_a_terminal_that_echoes(tmp_path: Path, key: str, code: int) -> None:
    person = AtTerminal(tmp_path)
    assert person.listens()
    person.types(key)
    assert person.sees("Hint: nothing was stored") or code == 130
    deadline = time.monotonic() + 10
    while not person.has_ended() and time.monotonic() < deadline:
        person.sees("never", seconds=0.02)
    assert person.echoes
    assert not person.listens()
    assert person.ends() == code
    assert "Traceback" not in person.screen
    if code == 3:
        assert "Error: no login was finished with acme\nHint: nothing was stored\n" in person.screen


def test_a_no_ends_it_with_the_providers_words(tmp_path: Path) -> None:
    person = AtTerminal(tmp_path)
    assert person.get(f"/callback?error=access_denied&error_description=no&state={person.state}") == 200
    assert person.sees("Error: Acme says no: no\nHint: agree there\n")
    assert person.ends() == 8


def test_a_browser_is_given_a_link_that_leads_on_once_and_not_the_state(tmp_path: Path) -> None:
    person = AtTerminal(tmp_path, shown=str(tmp_path / "shown"))
    link = (tmp_path / "shown").read_text()
    assert re.fullmatch(rf"http://127\.0\.0\.1:{person.port}/[\w-]{{22}}", link)
    path = link.rpartition(str(person.port))[2]
    assert f"url=https://acme.example/authorize?state={person.state}&amp;" in person.raw(path).decode()
    assert person.get(path) == 403
    person.types("\x03")
    assert person.ends() == 130


def test_where_the_port_is_taken_the_address_can_still_be_pasted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        person = AtTerminal(tmp_path, port=port, shown=str(tmp_path / "shown"))
        assert f"Port {port} is taken by " in person.screen
        assert not (tmp_path / "shown").exists()
        person.port = port
        person.types(person.back(f"code={CODE}&state={person.state}\n"))
        assert person.sees(AGREED)
        assert person.ends() == 0


def test_a_code_for_another_device_is_shown_and_asked_about(tmp_path: Path) -> None:
    person = AtTerminal(tmp_path, flow="device_code", sees=AGREED)
    assert person.ends() == 0
    assert (
        "Log in with Acme on this device or another one:\n  https://acme.example/device\n"
        "and type this code there: WDJB-MJHT\nIt holds for 1 minute; waiting …\n"
        "Acme does not answer; it is asked again\n"
    ) in person.screen


class Sleeping:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _confirms(*devices: Taken | AuthsomeError, expires_in: float = 900) -> tuple[Sleeping, list[str], Agreeing]:
    given = DeviceAuthorization(
        "WDJB\x1b[31m-MJHT", "https://acme.example/d", "https://acme.example/d?c=W", 5, expires_in
    )
    clock, said, agreeing = Sleeping(), list[str](), Agreeing(devices=[*devices], code=given)
    Terminal(said.append, clock=clock, sleep=clock.sleep).ask([login(flow="device_code")], agreeing)
    return clock, said, agreeing


def test_a_terminal_asks_slower_where_the_provider_wants_it() -> None:
    given = DeviceAuthorization("WDJB\x1b[31m-MJHT", "https://acme.example/d", None, 10, 900)
    busy = UnavailableError("Acme is busy", retry_after=40)
    clock, said, agreeing = _confirms(given, busy, given, STORED)
    assert clock.slept == [5, 10, 40, 10]
    assert "\x1b" not in "".join(said)
    assert any("https://acme.example/d?c=W" in line for line in said)
    assert [answer.polls for answer in agreeing.answers] == [False, True, True, True, True]


def test_a_code_that_has_expired_ends_it() -> None:
    given = DeviceAuthorization("WDJB\x1b[31m-MJHT", "https://acme.example/d", None, 5, 900)
    with pytest.raises(AuthsomeError, match="the code of Acme has expired before it was confirmed") as error:
        _confirms(given)
    assert error.value.code is ExitCode.MISSING


def test_nobody_is_sent_from_the_terminal_but_to_https() -> None:
    def strange(asked: Question, answer: Answer) -> Taken:
        del answer
        if asked.flow == "device_code":
            return DeviceAuthorization("A", "http://acme.example/", None, 5, 60)
        return AuthorizationRequest(f"http://acme.example/{HOSTILE_ERROR}", "CANARY-state", "http://127.0.0.1/callback")

    said: list[str] = []
    for flow in ("pkce", "device_code"):
        with pytest.raises(AuthsomeError, match="to an address that is not https") as error:
            Terminal(said.append, port=0).ask([login(flow=flow)], strange)
        assert error.value.code is ExitCode.REFUSED
    assert "http://" not in "".join(said)
