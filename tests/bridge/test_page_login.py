"""Logins on the page: every attack on what comes back, by sockets, and what waits for another device, by the clock."""

import contextlib
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from agreeing import (
    APPLICATION,
    AT_ONCE,
    CLIENT_SECRET,
    CODE,
    HOSTILE_ERROR,
    STORED,
    UNAVAILABLE,
    Agreeing,
    login,
)
from asking import KEY, WRONG, Open, Reply, opened, question, take

from authsome.bridge import Answer, Blank, Outcome, Question, Taken, returned, server
from authsome.bridge.desk import LINGERS, Desk, Handed
from authsome.bridge.page import Page
from authsome.bridge.sheet import Line, Sheet, State
from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.oauth import AuthorizationRequest, DeniedError, DeviceAuthorization, UnavailableError
from canary import sings


@dataclass
class Away:
    """A page from which somebody was sent to agree elsewhere."""

    page: Open
    agreeing: Agreeing
    cookie: str

    def back(self, headers: dict[str, str | None] | None = None, method: str = "GET", **said: str) -> Reply:
        return self.page.send(method, f"/callback?{urlencode(said)}", headers)

    @property
    def state(self) -> str:
        return self.agreeing.state

    def line(self, number: int = 0) -> Line:
        return self.page.sheet.lines[number]


@pytest.fixture
def away() -> Iterator[Away]:
    agreeing = Agreeing()
    with opened(login("acme"), question("beta"), taking=agreeing) as page:
        made = Away(page, agreeing, page.enter())
        assert page.post(made.cookie, {"act": "go-0"}).status == 200
        yield made


def test_a_login_leads_away_by_a_page_and_back_by_its_state(away: Away) -> None:
    leading = away.page.post(away.cookie, {"act": "go-0"})
    url = f"https://acme.example/authorize?state=CANARY-state-2&amp;redirect_uri=http%3A%2F%2F127.0.0.1%3A{away.page.port}%2Fcallback"
    assert f'<meta http-equiv="refresh" content="0; url={url}">' in leading.text
    assert leading.header("Location") is None
    reply = away.back(code=CODE, state=away.state)
    assert reply.status == 200
    assert f"url={away.page.guard.root}" in reply.text
    assert not sings(reply.octets)
    assert away.line().state is State.STORED
    last = away.agreeing.answers[-1]
    assert last.returned == f"http://127.0.0.1:{away.page.port}/callback?code={CODE}&state=CANARY-state-2"
    assert not sings(repr(last).encode())
    assert "Stored; it accepts it" in away.page.page(away.cookie)


def test_what_comes_back_is_kept_from_everybody(away: Away) -> None:
    replies = [away.back(code=CODE, state="guess"), away.back(code=CODE, state=away.state)]
    for each in (*replies, away.back(code=CODE, state=away.state)):
        assert each.header("Referrer-Policy") == "no-referrer"
        assert each.header("Cache-Control") == "no-store"
        policy = each.header("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert each.header("X-Frame-Options") == "DENY"
        assert each.header("Set-Cookie") is None
        assert not sings(each.octets)
    assert [each.status for each in replies] == [403, 200]


@pytest.mark.parametrize(
    "query",
    [
        "code={code}",
        "code={code}&state=",
        "code={code}&state=guess",
        "code={code}&state={state}x",
        "code={code}&state={state}%00",
        "code={code}&state=%C3%A9%ED%A0%80",
        "code={code}&State={state}",
        "code={code}&state={state}&state={state}",
        "code={code}&state=guess&state={state}",
        "code={code}&code=x&state={state}",
        "code={code}&iss=a&iss=b&state={state}",
        "code={code}&state={state}&" + "&".join(f"p{n}=1" for n in range(99)),
        "code={code}&state={state}&pad=" + "x" * (17 << 10),
        "",
    ],
)
def test_a_state_that_is_not_the_logins_own_changes_nothing(away: Away, query: str) -> None:
    asked = query.format(code=CODE, state=away.state)
    reply = away.page.send("GET", f"/callback?{asked}")
    assert reply.status == 403
    assert not sings(reply.octets)
    assert away.agreeing.begun == len(away.agreeing.answers) == 1
    assert away.back(code=CODE, state=away.state).status == 200  # the right one still counts
    assert away.line().state is State.STORED


def test_a_state_is_used_once_and_a_code_is_not_taken_twice(away: Away) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(away.back(code=CODE, state=away.state).status)) for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found.count(200) == 1
    assert set(found) <= {200, 403, 404}
    assert away.back(code=CODE, state=away.state).status == 404
    assert [answer.returned is not None for answer in away.agreeing.answers] == [False, True]


def test_the_state_of_a_login_that_was_begun_anew_or_put_off_is_foreign(away: Away) -> None:
    first = away.state
    away.page.post(away.cookie, {"act": "go-0"})
    assert away.back(code=CODE, state=first).status == 403
    second = away.state
    away.page.post(away.cookie, {"act": "again-0"})
    assert away.back(code=CODE, state=second).status == 404
    assert away.line().state is State.OPEN
    assert len(away.agreeing.answers) == 2


def test_before_a_login_and_after_it_nothing_is_there_to_come_back_to() -> None:
    agreeing = Agreeing()
    with opened(login(), taking=agreeing) as page:
        cookie = page.enter()
        unknown = page.send("GET", "/nothing")
        reply = page.send("GET", f"/callback?code={CODE}&state=")
        assert (reply.status, reply.text) == (404, unknown.text)
        page.post(cookie, {"act": "go-0"})
        assert page.send("GET", "/favicon.ico").status == 404
        assert page.send("GET", "/callback/").status == 404
        assert page.send("GET", f"/callback?code={CODE}&state={agreeing.state}").status == 200
        shown = page.send("GET", page.guard.root, {"Cookie": cookie})
        assert "All set" in shown.text
        assert page.send("GET", f"/callback?code={CODE}&state={agreeing.state}").status in (0, 410)
        assert len(agreeing.answers) == 2


@pytest.mark.parametrize("named", ["evil.example", "localhost:PORT", "127.0.0.1", "127.0.0.1:80", None])
def test_nobody_comes_back_under_another_name(away: Away, named: str | None) -> None:
    said: dict[str, str | None] = {"Host": named and named.replace("PORT", str(away.page.port))}
    assert away.back(said, code=CODE, state=away.state).status == 421
    assert away.back(code=CODE, state=away.state).status == 200


def test_only_a_person_who_is_led_comes_back(away: Away) -> None:
    for method in ("POST", "HEAD", "PUT", "OPTIONS"):
        assert away.back(method=method, code=CODE, state=away.state).status == 405
    assert away.back({"Sec-Purpose": "prefetch"}, code=CODE, state=away.state).status == 403
    assert away.back(code=CODE, state=away.state).status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is one that root can become")
def test_another_user_of_the_machine_cannot_bring_a_code(away: Away) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(65534)
            with socket.create_connection(("127.0.0.1", away.page.port)) as opened:
                opened.sendall(f"GET /callback?code=x&state={away.state} HTTP/1.1\r\n\r\n".encode())
                code = 0 if opened.recv(1) == b"" else 2
        except ConnectionError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert away.line().state is State.AWAY


def test_an_error_with_html_in_it_is_text(away: Away) -> None:
    reply = away.back(error="access_denied", error_description=HOSTILE_ERROR, state=away.state)
    assert reply.status == 200
    assert "script" not in reply.text
    shown = away.page.page(away.cookie)
    assert "Acme says no: &lt;script&gt;" in shown
    assert HOSTILE_ERROR not in shown
    assert 'value="go-0"' in shown  # begun anew in place
    away.page.post(away.cookie, {"act": "go-0"})
    assert away.back(code=CODE, state=away.state).status == 200
    assert away.line().state is State.STORED


@pytest.mark.parametrize(
    "pasted",
    [
        "http://127.0.0.1:{port}/callback?code={code}&state={state}",
        "127.0.0.1:{port}/callback?state={state}&code={code}#_=_",
        "  http://127.0.0.1:{port}/callback?code={code}\n &state={state}\n",
        "code={code}&state={state}",
        "?code={code}&state={state}",
        "http://127.0.0.1:{port}/callback?state={state}&code={code}" + "x" * 9000,
    ],
)
def test_the_address_may_be_pasted(away: Away, pasted: str) -> None:
    text = pasted.format(port=away.page.port, code=CODE, state=away.state)
    assert away.page.post(away.cookie, {"act": "returned-0", "returned-0": text}).status == 303
    assert away.line().state is State.STORED
    assert away.back(code=CODE, state=away.state).status == 404


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "This is not the address"),
        ("garbage CANARY", "This is not the address"),
        ("https://acme.example/authorize?state={state}", "This is not the address"),
        ("http://127.0.0.1:1/callback?code={code}&state={state}", "This is not the address"),
        ("http://evil.example/callback?code={code}&state={state}", "This is not the address"),
        ("http://127.0.0.1:{port}/callback?code={code}", "another login"),
        ("http://127.0.0.1:{port}/callback?code={code}&state=CANARY-foreign", "another login"),
        ("http://127.0.0.1:{port}/callback?code={code}&state={state}&state={state}", "another login"),
    ],
)
def test_what_is_pasted_and_is_not_this_logins_is_asked_for_again(away: Away, pasted: str, words: str) -> None:
    text = pasted.format(port=away.page.port, code=CODE, state=away.state)
    away.page.post(away.cookie, {"act": "returned-0", "returned-0": text})
    shown = away.page.page(away.cookie)
    assert words in shown
    assert CODE not in shown
    assert len(away.agreeing.answers) == 1
    assert away.line().state is State.AWAY
    assert away.back(code=CODE, state=away.state).status == 200


def test_what_was_typed_into_other_lines_goes_along_with_a_login() -> None:
    agreeing = Agreeing()

    def both(asked: Question, answer: Answer) -> Taken:
        return agreeing(asked, answer) if asked.flow else take(asked, answer)

    asked = (login("acme", blanks=APPLICATION), question("beta"), login("gamma", blanks=APPLICATION))
    with opened(*asked, taking=both) as page:
        cookie = page.enter()
        typed = {
            "field-0-client_id": "mine",
            "field-0-client_secret": CLIENT_SECRET,
            "field-1-api_key": KEY,
            "field-2-client_id": "other",
            "field-2-client_secret": f"{CLIENT_SECRET}-2",
        }
        page.post(cookie, {"act": "go-0", **typed})
        assert [line.state for line in page.sheet.lines] == [State.AWAY, State.STORED, State.OPEN]
        assert agreeing.answers[0].fields == {"client_id": "mine", "client_secret": CLIENT_SECRET}
        shown = page.page(cookie)
        assert "What you typed here is kept" in shown
        assert re.search(r'name="field-2-client_id".* value="other"', shown)
        assert CLIENT_SECRET not in shown
        assert not sings(repr(page.sheet.lines).encode())
        page.post(cookie, {"act": "go-2", "field-2-client_id": "other", "field-2-client_secret": ""})
        assert agreeing.answers[-1].fields == {"client_id": "other", "client_secret": f"{CLIENT_SECRET}-2"}


def test_a_secret_that_was_given_for_a_login_is_forgotten_with_it() -> None:
    with opened(login(blanks=APPLICATION, flow="client_credentials"), question("beta"), taking=Agreeing()) as page:
        cookie = page.enter()
        page.post(cookie, {"act": "go-0", "field-0-client_id": "mine", "field-0-client_secret": CLIENT_SECRET})
        assert page.sheet.lines[0].state is State.STORED
        assert CLIENT_SECRET not in str({name: getattr(page.sheet.lines[0], name) for name in Line.__slots__})


def test_storing_all_keys_begins_no_login_and_says_what_to_press() -> None:
    agreeing = Agreeing()

    def both(asked: Question, answer: Answer) -> Taken:
        return agreeing(asked, answer) if asked.flow else take(asked, answer)

    with opened(question("beta"), login("acme"), taking=both) as page:
        cookie = page.enter()
        assert "Store all keys" in page.page(cookie)
        page.post(cookie, {"act": "continue", "field-0-api_key": KEY})
        shown = page.page(cookie)
        assert agreeing.begun == 0
        assert [line.state for line in page.sheet.lines] == [State.STORED, State.OPEN]
        assert "press `Log in with Acme`" in shown
        assert 'value="continue"' not in shown


def test_a_key_that_is_wrong_does_not_keep_a_login_from_its_way() -> None:
    agreeing = Agreeing()

    def both(asked: Question, answer: Answer) -> Taken:
        return agreeing(asked, answer) if asked.flow else take(asked, answer)

    with opened(question("beta"), login("acme"), taking=both) as page:
        reply = page.post(page.enter(), {"act": "go-1", "field-0-api_key": WRONG})
        assert "https://acme.example/authorize" in reply.text
        assert [line.state for line in page.sheet.lines] == [State.WRONG, State.AWAY]


def test_an_application_is_asked_for_with_its_callback_address() -> None:
    asked = (
        login("acme", blanks=APPLICATION, keys_url="https://acme.example/apps"),
        login("beta", blanks=APPLICATION, flow="device_code"),
        login("gamma", blanks=APPLICATION, flow="client_credentials"),
        login("delta", blanks=(Blank("shop", "Shop", masked=False),), flow="dcr_pkce"),
        login("epsilon"),
    )
    with opened(*asked, taking=Agreeing()) as page:
        shown = page.page(page.enter())
    lines = re.split(r'<section class="line"', shown)[1:]
    assert ["own there" in line for line in lines] == [True, True, True, False, False]
    assert ["http://127.0.0.1:7998/callback</code>" in line for line in lines] == [True, False, False, False, False]
    assert "make one at acme.example" in lines[0]
    assert "device flow" in lines[1]
    begins = [re.search(r'value="go-\d" class="main"[^>]*>([^<]+)<', line) for line in lines]
    assert [found and found[1] for found in begins] == [
        "Log in with Acme",
        "Get a code",
        "Connect",
        "Log in with Delta",
        "Log in with Epsilon",
    ]
    assert "Logins are needed" in shown
    assert "requests get the token at <code>api.acme.example</code> and nowhere else." in lines[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example/authorize",
        "javascript:alert(1)//",
        "https:acme.example",
        "https://",
        "https://a b/",
        "https://acme.example/\x00",
        "https://evil.example\\@acme.example/",
        "https://[acme.example/",
        "data:text/html,https://x",
    ],
)
def test_nobody_is_led_but_to_https(url: str) -> None:
    def strange(asked: Question, answer: Answer) -> Taken:
        del answer
        if asked.flow == "device_code":
            return DeviceAuthorization("A", "https://acme.example/", url, 5, 60)
        return AuthorizationRequest(url, "CANARY-state", "http://127.0.0.1:7998/callback")

    with opened(login("acme"), login("beta", flow="device_code"), taking=strange) as page:
        cookie = page.enter()
        for number in (0, 1):
            assert page.post(cookie, {"act": f"go-{number}"}).status == 303
            assert page.sheet.lines[number].state is State.WRONG
        shown = page.page(cookie)
        assert "to an address that is not https" in shown
        assert "javascript:" not in shown


def test_new_hosts_are_agreed_to_before_a_login_and_hold_when_it_comes_back() -> None:
    agreeing = Agreeing()
    asked = login(hosts=("api.acme.example", "new.example"), new_hosts=("new.example",))
    with opened(asked, question("beta"), taking=agreeing) as page:
        cookie = page.enter()
        page.post(cookie, {"act": "go-0"})
        assert not agreeing.answers
        assert page.sheet.lines[0].offer == "Send it to new.example too"
        leading = page.post(cookie, {"act": "accept-0"})
        assert "https://acme.example/authorize" in leading.text
        assert page.send("GET", f"/callback?code={CODE}&state={agreeing.state}").status == 200
        assert page.sheet.lines[0].state is State.STORED


def test_a_doubt_about_what_came_back_is_decided_with_it() -> None:
    agreeing = Agreeing()

    def doubting(asked: Question, answer: Answer) -> Taken:
        taken = agreeing(asked, answer)
        if answer.returned and "refused" not in answer.accepted:
            raise Doubt("refused", "It refuses this token.", offer="Store it all the same")
        return taken

    with opened(login(), question("beta"), taking=doubting) as page:
        cookie = page.enter()
        page.post(cookie, {"act": "go-0"})
        page.send("GET", f"/callback?code={CODE}&state={agreeing.state}")
        assert "It refuses this token." in page.page(cookie)
        page.post(cookie, {"act": "accept-0"})
        assert page.sheet.lines[0].state is State.STORED


def test_a_held_login_is_used_without_one() -> None:
    agreeing = Agreeing()
    asked = login(held=("acme/team",))
    with opened(asked, question("beta"), taking=lambda _, answer: _reused(agreeing, answer)) as page:
        page.post(page.enter(), {"act": "go-0", "reuse-0-0": "yes"})
        assert page.sheet.lines[0].state is State.STORED
        assert agreeing.begun == 0


def _reused(agreeing: Agreeing, answer: Answer) -> Taken:
    agreeing.answers.append(answer)
    assert answer.reuse == "acme/team"
    return Outcome("stored")


def test_whoever_has_the_port_is_named_before_a_login_fails_for_it() -> None:
    said: list[str] = []
    agreeing = Agreeing()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert server.holder(port) == f"{_mine()} (process {os.getpid()})"
        page = Page(said.append, None, "here", seconds=0.1, port=port)
        with pytest.raises(AuthsomeError, match="nobody answered"):
            page.ask([login()], agreeing)
    sheet = Sheet((login(),), None, "python (process 7)")
    assert sheet.given("go-0", {})[0][1].redirect_uri is None
    assert server.holder(port) == "another program"


def _mine() -> str:
    return Path("/proc/self/comm").read_text().strip()


class Clock:
    """Seconds that pass when somebody waits for them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Waiting(queue.Queue[Handed | None]):
    """A queue in which nobody waits for real."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def get(self, block: bool = True, timeout: float | None = None) -> Handed | None:
        del block
        if self.empty():
            self._clock.now += timeout or 0.0
        return super().get(block=False)


GIVEN = DeviceAuthorization("WDJB-MJHT", "https://acme.example/device", None, 5, 900)


@dataclass
class Simulated:
    """A desk whose time is a number."""

    devices: list[Taken | AuthsomeError]
    code: DeviceAuthorization = GIVEN
    asked: list[float] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    while_asked: Callable[[Line], None] = lambda _: None

    def runs(self, seconds: float = 600.0) -> Line:
        """Get a code and wait for what becomes of it; raise how the page ends."""
        sheet = Sheet((login(flow="device_code"),))
        waiting = Waiting(self.clock)
        desk = Desk(sheet, clock=self.clock, waiting=waiting)
        agreeing = Agreeing(devices=self.devices, code=self.code)
        begin = self.clock.now

        def taking(asked: Question, answer: Answer) -> Taken:
            if answer.polls:
                self.asked.append(self.clock.now - begin)
                self.while_asked(self.line)
            return agreeing(asked, answer)

        self.line = sheet.lines[0]
        waiting.put(Handed(self.line, self.line.begins({}, None)))
        desk.attend(taking, seconds)
        return self.line


def test_another_device_is_asked_about_at_its_interval_and_slower_where_it_says_so() -> None:
    slower = replace(GIVEN, interval=10)
    told = Simulated([GIVEN, GIVEN, slower, slower, STORED])
    assert told.runs().state is State.STORED
    assert told.asked == [5, 10, 15, 25, 35]
    assert told.clock.now - 1000 == 35 + LINGERS


def test_a_provider_that_does_not_answer_is_asked_less_and_less_often() -> None:
    busy = UnavailableError("Acme is busy", retry_after=120)
    told = Simulated([UNAVAILABLE, UNAVAILABLE, busy, GIVEN, STORED])
    assert told.runs().state is State.STORED
    assert told.asked == [5, 15, 35, 155, 160]


def test_a_code_that_nobody_confirms_ends_in_place_and_the_page_later() -> None:
    told = Simulated([GIVEN])
    with pytest.raises(AuthsomeError, match="nobody answered on the page for 10 minutes"):
        told.runs()
    assert told.line.state is State.WRONG
    assert told.line.words == "The code has expired before it was confirmed."
    assert len(told.asked) == 179
    assert told.clock.now - 1000 == 900 + 600


def test_a_code_that_is_said_to_hold_for_ever_is_waited_for_an_hour() -> None:
    told = Simulated([UNAVAILABLE], code=replace(GIVEN, expires_in=1e12))
    with pytest.raises(AuthsomeError, match="nobody answered"):
        told.runs()
    assert told.clock.now - 1000 == 3600 + 600
    assert told.asked[-1] - told.asked[-2] == 60


def test_a_login_that_is_put_off_while_its_provider_is_asked_stays_put_off() -> None:
    for said in (GIVEN, DeniedError("access_denied", "Acme says no"), UNAVAILABLE):
        told = Simulated([said])
        told.while_asked = lambda line: line.again()
        with pytest.raises(AuthsomeError, match="nobody answered"):
            told.runs()
        assert (told.line.state, told.line.words, told.asked) == (State.OPEN, "", [5])
    told = Simulated([STORED])
    told.while_asked = lambda line: line.again()
    assert told.runs().state is State.STORED


def test_a_no_from_another_device_is_said_in_place() -> None:
    told = Simulated([GIVEN, DeniedError("access_denied", "Acme says no", hint="agree there")])
    with pytest.raises(AuthsomeError, match="nobody answered"):
        told.runs()
    assert (told.line.state, told.line.words, told.asked) == (State.WRONG, "Acme says no", [5, 10])


def test_a_new_code_has_its_own_time() -> None:
    new = replace(GIVEN, user_code="NEW", expires_in=30)
    told = Simulated([GIVEN, new, new])
    with pytest.raises(AuthsomeError, match="nobody answered"):
        told.runs(60)
    assert told.asked == [5, 10, 15, 20, 25, 30, 35]


def test_a_fault_while_asking_about_a_device_ends_the_page() -> None:
    told = Simulated([AuthsomeError("the vault is locked", code=ExitCode.LOCKED)])
    with pytest.raises(AuthsomeError, match="the vault is locked"):
        told.runs()


def test_without_a_script_a_button_waits_for_the_next_answer_and_says_not_yet() -> None:
    agreeing = Agreeing(devices=[AT_ONCE])
    with opened(login(flow="device_code"), taking=agreeing) as page:
        cookie = page.enter()
        page.post(cookie, {"act": "go-0"})
        shown = page.page(cookie)
        assert "WDJB-MJHT</code>" in shown
        assert 'href="https://acme.example/device"' in shown
        assert page.post(cookie, {"act": "poll-0"}).status == 303
        assert page.sheet.lines[0].words == "It is not confirmed yet."
        agreeing.devices[0] = STORED
        assert "All set" in page.post(cookie, {"act": "poll-0"}).text


def test_who_waits_for_another_device_when_the_page_ends_is_let_go() -> None:
    slow = replace(AT_ONCE, interval=500.0, expires_in=900.0)
    replies: list[Reply] = []
    with opened(login(flow="device_code"), taking=Agreeing(devices=[slow], code=slow)) as page:
        cookie = page.enter()
        page.post(cookie, {"act": "go-0"})
        waits = threading.Thread(target=lambda: replies.append(page.post(cookie, {"act": "poll-0"})))
        waits.start()
        time.sleep(0.2)  # until it waits; else it finds the page closed, which is as well
        assert "Left" in page.post(cookie, {"act": "leave"}).text
        waits.join(5)
    assert [each.status in (410, 500) for each in replies] == [True]


def test_leaving_ends_a_login_that_somebody_may_still_come_back_from(away: Away) -> None:
    assert "Left" in away.page.post(away.cookie, {"act": "leave"}).text
    with contextlib.suppress(ConnectionError):
        assert away.back(code=CODE, state=away.state).status in (0, 410)
    assert len(away.agreeing.answers) == 1


def test_the_states_of_two_logins_are_told_apart() -> None:
    first, second = Agreeing(), Agreeing(begun=7)

    def both(asked: Question, answer: Answer) -> Taken:
        return (first if asked.provider == "acme" else second)(asked, answer)

    with opened(login("acme"), login("beta"), taking=both) as page:
        cookie = page.enter()
        page.post(cookie, {"act": "go-0"})
        page.post(cookie, {"act": "go-1"})
        assert page.send("GET", f"/callback?code={CODE}&state={second.state}").status == 200
        assert [line.state for line in page.sheet.lines] == [State.AWAY, State.STORED]
        assert page.send("GET", f"/callback?code={CODE}&state={first.state}").status == 200


def test_an_address_belongs_to_the_port_that_was_told() -> None:
    assert returned.address(returned.PORT) == "http://127.0.0.1:7998/callback"
