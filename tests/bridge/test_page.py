"""Every attack on the page that there is a line for, by sockets."""

import contextlib
import html
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import COOKIE, DOUBTED, FORM, HOSTILE, KEY, WRONG, Open, opened, question, take

from authsome.bridge import Answer, Around, Blank, Outcome, Question, door, page as pages, server
from authsome.bridge.page import Page
from authsome.errors import AuthsomeError, ExitCode
from canary import sings
from conftest import EXECUTABLE, CommandLine
from terminal import Person

LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/[\w-]{22}\b")


@pytest.fixture
def page() -> Iterator[Open]:
    with opened(question("acme"), question("beta", required=False)) as made:
        yield made


@pytest.mark.parametrize(
    "named",
    [
        "evil.example",
        "localhost:PORT",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:PORT.evil.example",
        "[::1]:PORT",
        "",
        None,
    ],
)
def test_under_another_name_the_page_does_not_answer(page: Open, named: str | None) -> None:
    named = named and named.replace("PORT", str(page.port))
    assert page.send("GET", page.link, {"Host": named}).status == 421
    cookie = page.enter()
    assert page.send("GET", page.guard.root, {"Host": named, "Cookie": cookie}).status == 421


def test_a_second_name_beside_the_right_one_is_another_name(page: Open) -> None:
    twice = f"GET {page.link} HTTP/1.1\r\nHost: {page.guard.host}\r\nHost: evil.example\r\n\r\n"
    assert page.raw(twice.encode()).status == 421
    absolute = f"GET http://evil.example{page.link} HTTP/1.1\r\nHost: {page.guard.host}\r\n\r\n"
    assert page.raw(absolute.encode()).status == 421


def test_the_link_has_128_bits_and_works_once(page: Open) -> None:
    assert LINK.fullmatch(page.guard.link)
    assert page.send("GET", page.link).status == 200
    again = page.send("GET", page.link)
    assert again.status == 403
    assert again.header("Set-Cookie") is None


def test_whoever_opens_the_link_at_the_same_time_only_one_gets_in(page: Open) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(page.send("GET", page.link).status)) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == [200] + [403] * 11


def test_looking_ahead_does_not_use_up_the_link(page: Open) -> None:
    assert page.send("HEAD", page.link).status == 405
    assert page.send("POST", page.link).status == 405
    assert page.send("GET", page.link, {"Sec-Purpose": "prefetch;prerender"}).status == 403
    assert page.send("GET", "/favicon.ico").status == 404
    assert page.enter()


@pytest.mark.parametrize("path", ["/", "/x", "//", "/../", "/%2e%2e/", "/static/page.css", "/page.js", "*", "/\x00"])
def test_a_guess_finds_nothing(page: Open, path: str) -> None:
    reply = page.send("GET", path)
    assert reply.status in (400, 404)
    assert page.guard.root not in reply.text
    assert page.enter()


def test_the_cookie_is_for_this_page_alone(page: Open) -> None:
    said = page.send("GET", page.link).header("Set-Cookie")
    assert said is not None
    assert said.endswith(f"; Path={page.guard.root}; HttpOnly; SameSite=Strict")
    assert page.guard.form_token not in said


@pytest.mark.parametrize("forged", [None, f"{COOKIE}=", f"{COOKIE}=guess", "other=x", "{real}x", "{real}; {real}"])
def test_without_the_cookie_of_the_first_browser_there_is_nothing_to_read_or_send(
    page: Open, forged: str | None
) -> None:
    cookie = forged and forged.replace("{real}", page.enter())
    for path in (page.guard.root, f"{page.guard.root}page.css", f"{page.guard.root}page.js"):
        reply = page.send("GET", path, {"Cookie": cookie})
        assert reply.status == 403
        assert "Acme" not in reply.text
    assert page.post(cookie or "", {"act": "store-0", "field-0-api_key": KEY}).status == 403
    assert not page.taken


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "https://{host}"},
        {"Origin": "http://{host}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_another_page_cannot_post(page: Open, headers: dict[str, str | None]) -> None:
    cookie = page.enter()
    said = {name: text and text.replace("{host}", page.guard.host) for name, text in headers.items()}
    assert page.post(cookie, {"act": "store-0", "field-0-api_key": KEY}, said).status == 403
    assert not page.taken


@pytest.mark.parametrize("token", ["", "guess", "x" * 22])
def test_without_the_token_of_the_form_nothing_is_taken(page: Open, token: str) -> None:
    cookie = page.enter()
    assert page.post(cookie, {"token": token, "act": "store-0", "field-0-api_key": KEY}).status == 403
    assert not page.taken


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", "", None])
def test_only_the_form_is_a_form(page: Open, kind: str | None) -> None:
    cookie = page.enter()
    assert page.post(cookie, {"act": "store-0", "field-0-api_key": KEY}, {"Content-Type": kind}).status == 415
    assert not page.taken


def test_what_is_too_large_is_not_read(page: Open) -> None:
    cookie = page.enter()
    assert page.post(cookie, {"field-0-api_key": "x" * (70 << 10)}).status == 413
    assert page.post(cookie, {"field-0-api_key": "x" * (17 << 10)}).status == 413
    assert page.post(cookie, {}, {"Content-Length": "999999999999"}).status == 413
    chunked = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    assert page.post(cookie, {"field-0-api_key": KEY}, chunked).status == 411
    assert not page.taken


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "HEAD", "CONNECT"])
def test_the_page_knows_two_methods(page: Open, method: str) -> None:
    cookie = page.enter()
    reply = page.send(method, page.guard.root, {"Cookie": cookie})
    assert reply.status == 405
    assert not page.taken


def test_a_key_in_the_query_is_not_taken(page: Open) -> None:
    cookie = page.enter()
    query = f"{page.guard.root}?token={page.guard.form_token}&act=store-0&field-0-api_key={KEY}"
    assert not sings(page.send("GET", query, {"Cookie": cookie}).octets)
    assert not page.taken


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n\r\n",
        b"CANARY\r\n\r\n",
        b"GET /CANARY HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nCANARY\r\n\r\n",
        b"\x16\x03\x01CANARY\r\n\r\n",
        b"GET /" + b"CANARY" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: CANARY\r\n" * 500 + b"\r\n",
        b"GET http://[CANARY/ HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_not_repeated(page: Open, octets: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    reply = page.raw(octets)
    assert reply.status in (0, 400, 414, 421, 431, 505)
    assert not sings(reply.octets)
    assert page.enter()
    assert capfd.readouterr() == ("", "")


def test_every_answer_forbids_frames_scripts_caches_and_referrers(page: Open) -> None:
    cookie = page.enter()
    replies = [
        page.send("GET", "/nothing"),
        page.send("GET", page.guard.root),
        page.send("GET", page.link),
        page.send("GET", page.guard.root, {"Cookie": cookie}),
        page.post(cookie, {"act": "store-0", "field-0-api_key": KEY}, {"Origin": "http://evil.example"}),
        page.post(cookie, {"act": "store-0", "field-0-api_key": WRONG}),
    ]
    assert [each.status for each in replies] == [404, 403, 403, 200, 403, 303]
    for each in replies:
        policy = each.header("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert each.header("X-Frame-Options") == "DENY"
        assert each.header("Cache-Control") == "no-store"
        assert each.header("Referrer-Policy") == "same-origin"
        assert each.header("X-Content-Type-Options") == "nosniff"
        assert each.header("Cross-Origin-Opener-Policy") == "same-origin"
        assert each.header("Server") == "authsome"
    shown = replies[3].text
    assert not re.search(r"<script(?! src=)|<style|style=| on\w+=|(src|href)=\"(?!/[\w-]{22}/|https://)", shown)


def test_a_hostile_manifest_is_text_and_marked_as_its_words() -> None:
    hostile = question(
        "acme",
        display_name=HOSTILE,
        connection="default",
        why=f"{HOSTILE}\x1b[31m\u202egpj",
        scopes=(HOSTILE,),
        hosts=("api.acme.example",),
        hint=HOSTILE,
        held=(HOSTILE,),
        keys_url="javascript:alert(3)",
    )
    with opened(hostile) as page:
        shown = page.page(page.enter())
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "javascript:" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "The manifest says why:</span> <q>&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://acme.example/keys", True),
        ("http://acme.example/keys", False),
        ("JavaScript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https:", False),
        ("//acme.example", False),
        (None, False),
    ],
)
def test_a_key_link_is_https_or_none(url: str | None, linked: bool) -> None:
    with opened(question(keys_url=url)) as page:
        assert ('class="get"' in page.page(page.enter())) is linked


def test_one_wrong_line_costs_the_others_nothing_and_no_value_comes_back() -> None:
    with opened(question("acme"), question("beta"), question("gamma"), question("delta")) as page:
        cookie = page.enter()
        keys = {f"field-{n}-api_key": key for n, key in enumerate((KEY, WRONG, DOUBTED))}
        reply = page.post(cookie, {"act": "continue", **keys})
        assert reply.status == 303
        shown = page.page(cookie)
        assert not sings(reply.octets + shown.encode())
        states = [line.state for line in page.sheet.lines]
        assert states == ["stored", "wrong", "doubt", "wrong"]
        for said in (
            "Stored; it accepts it",
            "This is no key of Beta.",
            "Store it all the same",
            "This one is needed.",
        ):
            assert said in shown
        page.post(cookie, {"act": "accept-2", "field-1-api_key": KEY})
        assert [asked.provider for asked, _ in page.taken] == ["acme", "beta", "gamma", "beta", "gamma"]
        assert page.taken[-1][1].fields == {"api_key": DOUBTED}
        last = page.post(cookie, {"act": "store-3", "field-3-api_key": KEY})
        assert last.status == 200
        assert "All set" in last.text
        assert not sings(last.octets)


def test_a_doubted_key_is_forgotten_when_the_person_says_no(page: Open) -> None:
    cookie = page.enter()
    page.post(cookie, {"act": "store-0", "field-0-api_key": DOUBTED})
    page.post(cookie, {"act": "again-0"})
    page.post(cookie, {"act": "accept-0"})
    assert [answer.accepted for _, answer in page.taken] == [frozenset()]
    assert KEY not in repr(page.sheet.lines)
    assert not sings(repr(page.sheet.lines).encode())


def test_pressing_enter_decides_nothing(page: Open) -> None:
    cookie = page.enter()
    page.post(cookie, {"act": "store-0", "field-0-api_key": DOUBTED})
    shown = page.page(cookie)
    first = re.search(r'<button type="submit" name="act" value="([\w-]+)"', shown)
    assert first is not None
    page.post(cookie, {"act": first[1]})
    assert len(page.taken) == 1


def test_required_lines_cannot_be_left_out_and_unknown_acts_do_nothing(page: Open) -> None:
    cookie = page.enter()
    for act in ("skip-0", "skip-9", "accept-0", "again-x", "store-", "", "x" * 999):
        assert page.post(cookie, {"act": act}).status == 303
    assert not page.sheet.closed
    assert not page.taken
    page.post(cookie, {"act": "skip-1"})
    done = page.post(cookie, {"act": "store-0", "field-0-api_key": KEY})
    assert "All set" in done.text


def test_new_hosts_want_a_tick() -> None:
    moved = question(hosts=("api.acme.example", "evil.example"), new_hosts=("evil.example",))
    with opened(moved) as page:
        cookie = page.enter()
        assert "evil.example</code> <strong" in page.page(cookie)
        page.post(cookie, {"act": "store-0", "field-0-api_key": KEY})
        assert not page.taken
        assert "You have not agreed that it is sent to evil.example." in page.page(cookie)
        page.post(cookie, {"act": "accept-0"})
        assert page.taken[0][1].fields == {"api_key": KEY}
    with opened(moved) as page:
        page.post(page.enter(), {"act": "store-0", "field-0-api_key": KEY, "agree-0": "yes"})
        assert len(page.taken) == 1


def test_a_held_one_is_used_by_its_name_and_further_fields_are_plain() -> None:
    asked = question(held=("acme/team",), blanks=(Blank("api_key"), Blank("account", "Account id", masked=False)))
    with opened(asked, question("beta")) as page:
        cookie = page.enter()
        shown = page.page(cookie)
        assert re.search(r'name="field-0-api_key" type="password"', shown)
        assert re.search(r'name="field-0-account" type="text"', shown)
        page.post(cookie, {"act": "store-0", "reuse-0-0": "yes"})
        assert page.taken == [(asked, Answer({}, "acme/team"))]


def test_a_setting_that_was_typed_stays_where_another_value_is_wrong_and_no_secret_does() -> None:
    asked = question(blanks=(Blank("api_key"), Blank("account", "Account id", masked=False, default="main")))
    with opened(asked) as page:
        cookie = page.enter()
        assert re.search(r'name="field-0-account".* value="main"', page.page(cookie))
        page.post(cookie, {"act": "continue", "field-0-api_key": WRONG, "field-0-account": HOSTILE})
        again = page.page(cookie)
        assert "This is no key of Acme." in again
        shown = re.findall(r'name="field-0-account".* value="([^"]*)"', again)
        assert [html.unescape(each) for each in shown] == [HOSTILE]
        assert WRONG not in again


def test_a_secret_that_may_be_left_out_says_so_and_stays_empty() -> None:
    asked = question(blanks=(Blank("api_key"), Blank("session", "Session token", optional=True)))
    with opened(asked) as page:
        cookie = page.enter()
        shown = page.page(cookie)
        assert shown.count("(may stay empty)") == 1
        assert "Session token (may stay empty)</label>" in shown
        page.post(cookie, {"act": "store-0", "field-0-api_key": KEY, "field-0-session": " "})
        assert page.taken == [(asked, Answer({"api_key": KEY}))]


def test_after_the_end_the_page_is_closed_to_everybody(page: Open) -> None:
    cookie = page.enter()
    page.post(cookie, {"act": "store-0", "field-0-api_key": KEY})
    assert "All set" in page.post(cookie, {"act": "continue"}).text
    for reply in (
        page.send("GET", page.guard.root, {"Cookie": cookie}),
        page.post(cookie, {"act": "store-1", "field-1-api_key": KEY}),
        page.send("GET", page.link),
        page.send("GET", "/"),
    ):
        assert reply.status == 410
    assert len(page.taken) == 1


def test_a_silent_client_holds_up_nobody(page: Open) -> None:
    with socket.create_connection(("127.0.0.1", page.port)) as silent:
        silent.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n")
        assert page.page(page.enter())


def test_a_silent_client_does_not_keep_the_page_from_ending() -> None:
    """Browsers open connections before they need them."""
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        with opened(question()) as page:
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port)))
            page.page(page.enter())
        assert time.monotonic() - begin < 1.5


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("curl"), reason="another user is one that root can become")
def test_another_user_of_the_machine_is_not_even_heard(page: Open) -> None:
    command = ["curl", "-sS", "--max-time", "5", "-o", "-", "-w", "%{http_code}", page.guard.link]
    stranger = subprocess.run(command, user=65534, cwd="/", capture_output=True, text=True, check=False)
    assert stranger.stdout == "000"
    mine = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert mine.stdout.endswith("200")


def _asking(
    page: Page, *questions: Question, take: Callable[[Question, Answer], Outcome] = take
) -> AuthsomeError | None:
    try:
        page.ask(questions, take)
    except AuthsomeError as error:
        return error
    return None


def test_nobody_comes_and_nothing_is_left_behind() -> None:
    said: list[str] = []
    error = _asking(Page(said.append, None, "the profile default", seconds=0.2, port=0), question())
    assert error is not None
    assert error.code is ExitCode.MISSING
    assert error.message == "nobody answered on the page for 0.2 seconds"
    found = LINK.search(said[0])
    assert found is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(found[1])), timeout=1)


def test_a_port_that_is_taken_is_somebody_elses() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _asking(Page(said.append, None, "here", seconds=0.1, port=port), question())
    found = LINK.search(said[0])
    assert found is not None
    assert int(found[1]) != port


def test_the_link_is_shown_to_the_browser_and_said_once() -> None:
    said: list[str] = []
    shown: list[str] = []
    _asking(Page(said.append, shown.append, "here", seconds=0.1, port=0), question())
    assert len(said) == 1
    assert said[0].endswith(shown[0])


def test_a_fault_while_storing_ends_the_page_with_the_fault() -> None:
    """The vault may be locked or damaged; that is not one line's."""
    said: list[str] = []
    errors: list[AuthsomeError | None] = []

    def locked(asked: Question, answer: Answer) -> Outcome:
        del asked, answer
        raise AuthsomeError("the vault is locked", code=ExitCode.LOCKED)

    page = Page(said.append, None, "here", seconds=20, port=0)
    thread = threading.Thread(target=lambda: errors.append(_asking(page, question(), take=locked)))
    thread.start()
    while not said:
        time.sleep(0.01)
    link = said[0].split()[-1]
    host, _, path = link.removeprefix("http://").partition("/")
    with socket.create_connection(("127.0.0.1", int(host.partition(":")[2]))) as opened:
        opened.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        first = b"".join(iter(lambda: opened.recv(4096), b"")).decode()
    cookie = re.search(r"Set-Cookie: ([^;]+); Path=([^;]+)", first)
    assert cookie is not None

    def ask(head: str, body: str = "") -> str:
        with socket.create_connection(("127.0.0.1", int(host.partition(":")[2]))) as opened:
            lines = f"Host: {host}\r\nCookie: {cookie[1]}\r\nOrigin: http://{host}\r\nContent-Type: {FORM}\r\n"
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            opened.sendall(f"{head} HTTP/1.1\r\n{lines}{length}\r\n{body}".encode())
            return b"".join(iter(lambda: opened.recv(4096), b"")).decode()

    token = re.search(r'name="token" value="([^"]+)"', ask(f"GET {cookie[2]}"))
    assert token is not None
    answer = ask(f"POST {cookie[2]}", f"token={token[1]}&act=store-0&field-0-api_key={KEY}")
    thread.join(10)
    assert " 500 " in answer
    assert "The terminal says why." in answer
    assert not sings(answer.encode())
    assert [error and error.message for error in errors] == ["the vault is locked"]


@pytest.mark.parametrize("key", ["\x03", "\x1c"])
def test_leaving_the_terminal_closes_the_page_and_stores_nothing(authsome: CommandLine, key: str) -> None:
    authsome.declare("version: 1\nproviders:\n  openai:\n")
    person = Person([EXECUTABLE, "run", "--browser", "--", "touch", "started"], authsome.environ(), authsome.project)
    assert person.sees("the link works once:\n  http://127.0.0.1:")
    time.sleep(0.1)
    found = LINK.search(person.screen)
    assert found is not None
    person.types(key)
    assert person.ends() == (130 if key == "\x03" else 131)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(found[1])), timeout=1)
    assert not (authsome.project / "started").exists()
    assert not authsome.home.exists()
    assert "Traceback" not in person.screen


def test_inside_a_run_no_page_opens(authsome: CommandLine) -> None:
    authsome.env = {"AUTHSOME_RUN": "1"}
    assert authsome("login", "openai", "--browser").code == 7
    around = Around({"AUTHSOME_RUN": "1"}, lambda: ("browser",), no_input=False, wanted="browser")
    with pytest.raises(AuthsomeError, match="inside a run"):
        door(around, print)


@pytest.mark.parametrize(
    ("environ", "allowed", "no_input", "wanted", "expected"),
    [
        ({"DISPLAY": ":0", "BROWSER": "true"}, ("browser", "terminal"), False, None, "browser"),
        ({"WAYLAND_DISPLAY": "w", "BROWSER": "true"}, ("browser", "terminal"), False, None, "browser"),
        ({"DISPLAY": ":0", "BROWSER": "true", "SSH_CONNECTION": "x"}, ("browser",), False, None, None),
        ({"DISPLAY": ":0", "BROWSER": "true", "CI": "true"}, ("browser", "terminal"), False, None, None),
        ({"DISPLAY": ":0", "BROWSER": "true"}, ("browser", "terminal"), True, None, None),
        ({"DISPLAY": ":0", "BROWSER": "true"}, ("terminal",), False, "browser", None),
        ({"DISPLAY": ":0", "BROWSER": "true"}, (), False, None, None),
        ({"BROWSER": "true"}, ("browser",), False, None, None),
        ({}, ("browser", "terminal"), False, "browser", "browser"),
        ({"CI": "1", "SSH_CONNECTION": "x"}, ("browser",), False, "browser", "browser"),
        ({}, ("browser", "terminal"), True, "browser", None),
    ],
)
def test_who_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    allowed: tuple[str, ...],
    no_input: bool,
    wanted: str | None,
    expected: str | None,
) -> None:
    monkeypatch.setenv("BROWSER", environ.get("BROWSER", ""))
    around = Around(environ, lambda: allowed, no_input, wanted)
    assert around.answering() == expected


def test_a_browser_gets_the_link_and_no_identity(authsome: CommandLine, tmp_path: Path) -> None:
    """BROWSER names a program; what it is started with is written down."""
    program = tmp_path / "browser"
    program.write_text(
        f'#!/bin/sh\n{{ echo "$1"; env; }} > {tmp_path}/seen.part; mv {tmp_path}/seen.part {tmp_path}/seen\n'
    )
    program.chmod(0o755)
    key = "AGE-SECRET-KEY-1CANARY"
    authsome.env = {"DISPLAY": ":9", "BROWSER": str(program), "AUTHSOME_IDENTITY": key}
    person = Person([EXECUTABLE, "login", "openai"], authsome.environ(), authsome.project)
    assert person.sees("the link works once")
    deadline = time.monotonic() + 20
    while not (tmp_path / "seen").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    person.types("\x03")
    assert person.ends() == 130
    seen = (tmp_path / "seen").read_text()
    assert LINK.match(seen)
    assert "AUTHSOME_IDENTITY" not in seen
    assert pages.SECONDS == 600
    assert server.PORT == 7998
