"""Tokens that end while an agent is at work: its requests wait for new ones, or are told why there are none."""

import datetime
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import play
import pytest

import stage as stages
from authsome.manifest import Declared
from authsome.oauth import DeniedError, Tokens, UnavailableError
from authsome.provider import Provider, resolve
from authsome.provider.definition import Definition, OAuthDefinition
from authsome.proxy import Proxy, renewing, upstream
from authsome.proxy.authority import Authority
from authsome.renewal import Renewal
from authsome.rules import make
from authsome.session import Session, of_entry
from authsome.vault import Entry, Vault
from byhand import Answer
from canary import sings
from octets import Arrived
from scripted import Reply
from stage import HELD, PROTOCOLS, Stage
from tokens import ACCESS, LIFE, REFRESH, hold

OLD, NEW = f"Bearer {ACCESS}".encode(), b"Bearer CANARY-access-1"
NO = DeniedError("invalid_grant", "no")
AWAY = UnavailableError("the provider is not there", retry_after=60.0)


@dataclass
class Desk:
    """The provider's token endpoint, the vault, and what a run does between them.

    Attributes:
        steps: What happens when new tokens are asked for, one after the other; the last one for ever.
        asked: How often they were.
        held: What is asked for is not answered before it is set.
    """

    home: Path
    stage: Stage | None = None

    def __post_init__(self) -> None:
        self.steps: list[Tokens | Exception] = [Tokens("CANARY-access-1", "CANARY-refresh-1", LIFE)]
        self.asked = 0
        self.held = threading.Event()
        self.held.set()
        self.renewal: Renewal | None = None
        self.worked: str | None = None

    @property
    def provider(self) -> Provider:
        assert self.stage
        return self.stage.provider

    def begin(self, age: float = 0.0, tokens: Tokens | None = None) -> None:
        """Log in, so long ago, and start a run."""
        assert self.stage
        vault = Vault(self.home, "default", {})
        declared = hold(vault, self.provider, time.time() - age, tokens)
        self.renewal = Renewal(vault.again(), self._talk, sleep=lambda _: None)
        self.stage.proxy.swap(self.stage.rules(), of_entry(declared, self.entry()))

    def log_in(self, name: str = "login") -> None:
        """Log in anew, in another terminal."""
        hold(Vault(self.home, "default", {}), self.provider, time.time(), Tokens(f"CANARY-access-{name}", None, LIFE))

    def entry(self) -> Entry:
        entry = Vault(self.home, "default", {}).read("acme", "default")
        assert entry
        return entry

    def renew(self, key: tuple[str, str], seen: str | None, worked: str | None) -> Session:
        assert key == ("acme", "default")
        assert self.renewal
        self.worked = worked
        declared = Declared(self.provider)
        return of_entry(declared, self.renewal.fresh(declared, seen, worked=worked))

    def _talk(self, *_: object) -> Tokens:
        self.asked += 1
        self.held.wait(10)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


def _with_tokens(before: Definition) -> Definition:
    asks = OAuthDefinition(authorization_url="https://page.acme.example/a", token_url="https://localhost:1/token")
    return Definition("acme", before.host_url, auth_type="oauth2", flow="pkce", oauth=asks, private_addresses=True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "outside").mkdir()
    desk = Desk(tmp_path / "home")
    with stages.stage(tmp_path / "outside", held=(), definition=_with_tokens, renew=desk.renew) as desk.stage:
        yield desk


@pytest.fixture
def stage(desk: Desk) -> Stage:
    assert desk.stage
    return desk.stage


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _refusing(*tokens: bytes) -> Callable[[Arrived], Reply]:
    """Return the script of an API that takes all tokens but these."""

    def script(arrived: Arrived) -> Reply:
        (shown,) = arrived.values(b"authorization")
        if shown in tokens:
            return Reply((b'{"message": "bad token"}',), status=401, sized=True)
        return Reply((b"ok ", arrived.body), sized=True)

    return script


def _told(stage: Stage, number: int) -> list[tuple[str, int | None]]:
    """Return what the log was told, once it has so many lines: of an upload it is when that has ended."""
    assert play.soon(lambda: len(stage.uses) >= number)
    return [(use.decision, use.status) for use in stage.uses]


def _shown(stage: Stage) -> list[bytes]:
    return [value for arrived in stage.origin.arrived for value in arrived.values(b"authorization")]


def test_a_token_that_has_ended_is_renewed_before_the_request_leaves(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin(LIFE)
    assert stage.ask(protocol).body == b"ok"
    assert stage.ask(protocol).body == b"ok"
    assert _shown(stage) == [NEW, NEW]
    assert desk.asked == 1
    assert _told(stage, 2) == [("inject", 200)] * 2


def test_requests_at_once_wait_for_one_renewal(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin(LIFE)
    desk.held.clear()
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(stage.ask(protocol))) for _ in range(12)]
    for each in threads:
        each.start()
    threading.Timer(0.2, desk.held.set).start()
    for each in threads:
        each.join()
    assert [each.status for each in answers] == [200] * 12
    assert desk.asked == 1


def test_whoever_renews_is_told_which_token_has_worked(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin()
    stage.origin.script = _refusing(OLD)
    stage.ask(protocol)
    assert desk.worked is None
    stage.origin.script = _refusing(NEW)
    stage.ask(protocol)
    assert desk.worked == NEW.decode().removeprefix("Bearer ")


def test_a_request_that_is_refused_for_its_token_is_sent_once_more_with_a_new_one(
    stage: Stage, desk: Desk, protocol: str
) -> None:
    desk.begin()
    stage.origin.script = _refusing(OLD)
    assert stage.ask(protocol).body == b"ok "
    assert stage.ask(protocol).body == b"ok "
    assert _shown(stage) == [OLD, NEW, NEW]
    assert desk.asked == 1
    assert _told(stage, 2) == [("inject", 200)] * 2


@pytest.mark.parametrize(
    ("protocol", "method", "size"),
    [
        *(("http/1.1", "POST", 0), ("http/1.1", "DELETE", 3), ("http/1.1", "POST", 300_000)),
        *(("h2", "DELETE", 0), ("h2", "POST", 3), ("h2", "PATCH", 1 << 20)),
    ],
)
def test_so_is_a_body_that_is_not_long(stage: Stage, desk: Desk, protocol: str, method: str, size: int) -> None:
    desk.begin()
    stage.origin.script = _refusing(OLD)
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert stage.ask(protocol, method, "/", HELD, body).body == b"ok " + body
    assert [arrived.body for arrived in stage.origin.arrived] == [body, body]
    assert _told(stage, 1) == [("inject", 200)]
    assert stage.uses[0].sent == size


def test_so_is_one_whose_length_nobody_says(stage: Stage, desk: Desk) -> None:
    desk.begin()
    stage.origin.script = _refusing(OLD)
    with stage.open() as connection:
        head = f"POST / HTTP/1.1\r\nHost: {stage.host}\r\nTransfer-Encoding: chunked\r\n"
        octets = b"Authorization: Bearer authsome-proxy-managed\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        assert connection.ask_octets(head.encode() + octets).body == b"ok abcde"
    assert [arrived.body for arrived in stage.origin.arrived] == [b"abcde"] * 2


def test_a_longer_one_is_not_and_the_next_request_has_the_new_token(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin()
    stage.origin.script = _refusing(OLD)
    answer = stage.ask(protocol, "POST", "/", HELD, bytes((1 << 20) + 1))
    assert (answer.status, answer.body) == (401, b'{"message": "bad token"}')
    assert stage.ask(protocol, "POST", "/", HELD, b"x").body == b"ok x"
    assert _shown(stage) == [OLD, NEW]
    assert _told(stage, 2) == [("inject", 401), ("inject", 200)]


def test_what_is_kept_of_bodies_has_an_end(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, protocol: str
) -> None:
    monkeypatch.setattr(renewing, "ROOM", 10)
    monkeypatch.setattr(renewing, "_REFUSALS", 1000)
    desk: Desk = request.getfixturevalue("desk")
    stage: Stage = request.getfixturevalue("stage")
    desk.begin()
    stage.origin.script = _refusing(OLD)
    assert stage.ask(protocol, "POST", "/", HELD, bytes(11)).status == 401
    for number in range(2, 5):  # what was kept of one makes room for the next
        stage.origin.script = _refusing(_shown(stage)[-1], NEW)
        desk.steps = [Tokens(f"CANARY-access-{number}", None, LIFE)]
        assert stage.ask(protocol, "POST", "/", HELD, bytes(10)).status == 200


def test_an_api_need_not_have_read_all_of_a_body_to_refuse_it(tmp_path: Path) -> None:
    """What came of the body until then is sent again, and the rest follows as it comes."""
    go_on = threading.Event()
    bodies: list[bytes] = []

    def script(pipe: play.Pipe, _: int) -> None:
        head = pipe.head()
        assert head.values("authorization") in ([OLD.decode()], [NEW.decode()])
        if head.values("authorization") == [OLD.decode()]:
            pipe.exactly(3)
            pipe.send(play.ok(b"no", status="401 No"))
            go_on.wait(5)
            return
        go_on.set()
        pipe.body_of(head)
        bodies.append(head.body)
        pipe.send(play.ok())

    made = _Early(tmp_path, script)
    with made.line() as line:
        head = "POST / HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 6\r\n\r\n"
        line.send(head.encode() + b"abc")
        assert go_on.wait(5)
        line.send(b"def")
        assert line.answer().status == 200
    assert bodies == [b"abcdef"]
    assert play.soon(lambda: bool(made.uses))
    assert [(use.status, use.sent) for use in made.uses] == [(200, 6)]
    made.close()


class _Early(play.Stage):
    """A run with tokens and an API that answers when it likes."""

    def _start(self, roots: Path) -> None:
        asks = OAuthDefinition(authorization_url="https://page.acme.example/a", token_url="https://localhost:1/token")
        url = f"https://localhost:{self.port}"
        provider = resolve(Definition("acme", url, auth_type="oauth2", flow="pkce", oauth=asks))
        vault = Vault(roots.parent / "home", "default", {})
        declared = hold(vault, provider, time.time())
        renewal = Renewal(vault, lambda *_: Tokens("CANARY-access-1", "CANARY-refresh-1", LIFE))

        def live(seen: str | None = None) -> Session:
            return of_entry(declared, renewal.fresh(declared, seen))

        authority = Authority(frozenset({"localhost"}), datetime.datetime.now(datetime.UTC))
        outside = upstream.read({"SSL_CERT_FILE": str(roots)})
        rules = make([declared], lambda _: True)
        proxy = Proxy(rules, live(), authority, outside, lambda _, seen, __: live(seen))
        proxy.start(self.failed.append, self)
        self.url, self.trust = proxy.url, authority.pem


def test_a_new_token_that_is_refused_as_well_is_no_reason_for_another_one(
    stage: Stage, desk: Desk, protocol: str
) -> None:
    """An API may answer 401 for what the token does not permit."""
    desk.begin()
    stage.origin.script = _refusing(OLD, NEW)
    for _ in range(3):
        answer = stage.ask(protocol)
        assert (answer.status, answer.body, answer.error) == (401, b'{"message": "bad token"}', "none")
    assert _shown(stage) == [OLD, NEW, NEW, NEW]
    assert desk.asked == 1
    assert _told(stage, 3) == [("inject", 401)] * 3


@pytest.mark.parametrize("size", [5, (1 << 20) + 1])
def test_an_agent_cannot_have_tokens_renewed_as_often_as_it_likes(
    stage: Stage, desk: Desk, protocol: str, size: int
) -> None:
    """Each one ends the one before; and of those that are replaced, not all are looked for in answers for ever."""
    desk.begin()
    desk.steps = [Tokens(f"CANARY-access-{number}", f"CANARY-refresh-{number}", LIFE) for number in range(1, 9)]
    refused = b"/not-permitted"

    def script(arrived: Arrived) -> Reply:
        return Reply((b"no",), status=401, sized=True) if arrived.path == refused else Reply((b"ok",), sized=True)

    stage.origin.script = script
    for _ in range(5):
        assert stage.ask(protocol, "POST", refused.decode(), HELD, bytes(size)).status == 401
        assert stage.ask(protocol).status == 200
    assert desk.asked == (1 if size < renewing.LONGEST else 3)


def test_a_token_that_nothing_can_renew_is_refused_by_the_api_and_nobody_else(
    stage: Stage, desk: Desk, protocol: str
) -> None:
    desk.begin(tokens=Tokens(ACCESS, None, LIFE))
    stage.origin.script = _refusing(OLD)
    answer = stage.ask(protocol)
    assert (answer.status, answer.error) == (401, "none")
    assert (_shown(stage), desk.asked) == ([OLD], 0)


def test_where_it_has_ended_the_agent_is_told_who_can_mend_that(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin(LIFE, Tokens(ACCESS, None, LIFE))
    answer = stage.ask(protocol)
    assert (answer.status, answer.error) == (403, "login_needed")
    assert json.loads(answer.body)["hint"] == "authsome login acme --force"
    assert (stage.origin.arrived, desk.asked) == ([], 0)


def test_where_the_provider_says_no_every_request_is_told_so_until_somebody_logs_in(
    stage: Stage, desk: Desk, protocol: str
) -> None:
    desk.begin(LIFE)
    desk.steps = [NO]
    for _ in range(3):
        answer = stage.ask(protocol)
        assert (answer.status, answer.error) == (403, "login_needed")
        assert json.loads(answer.body) == {
            "error": "login_needed",
            "reason": "acme gives no new tokens for acme (invalid_grant)",
            "hint": "authsome login acme --force",
            "connection": "acme",
        }
        assert answer.values(b"x-should-retry") == [b"false"]
    assert (desk.asked, stage.origin.arrived) == (1, [])
    assert [(use.decision, use.connection, use.status) for use in stage.uses] == [("login_needed", "acme", 403)] * 3
    desk.log_in()
    assert stage.ask(protocol).status == 200
    assert _shown(stage) == [b"Bearer CANARY-access-login"]
    assert desk.asked == 1


def test_a_refused_token_that_cannot_be_renewed_is_told_so_too(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin()
    desk.steps = [NO]
    stage.origin.script = _refusing(OLD)
    for _ in range(2):
        assert (answer := stage.ask(protocol, "POST", "/", HELD, b"abc")).error == "login_needed", answer
    assert desk.asked == 1


def test_a_provider_that_is_away_is_told_of_where_the_token_has_ended(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin(LIFE)
    desk.steps = [AWAY]
    for _ in range(3):
        answer = stage.ask(protocol)
        assert (answer.status, answer.error) == (502, "renewal_failed")
        assert json.loads(answer.body)["reason"] == "the provider is not there"
        assert answer.values(b"x-should-retry") == []
    assert (desk.asked, stage.origin.arrived) == (1, [])


@pytest.mark.parametrize("step", [NO, AWAY])
def test_as_long_as_the_token_holds_it_is_used_all_the_same(
    stage: Stage, desk: Desk, protocol: str, step: Exception
) -> None:
    desk.begin(LIFE - 60)
    desk.steps = [step]
    for _ in range(3):
        assert stage.ask(protocol).status == 200
    assert _shown(stage) == [OLD] * 3
    assert desk.asked == 1


def test_nobody_waits_long_for_a_renewal_while_the_token_holds(
    stage: Stage, desk: Desk, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "_PATIENCE_SECONDS", 0.05)
    desk.begin(LIFE - 60)
    desk.held.clear()
    assert stage.ask(protocol).status == 200
    assert stage.ask(protocol).status == 200
    desk.held.set()
    deadline = time.monotonic() + 5
    while _shown(stage)[-1] == OLD and time.monotonic() < deadline:
        assert stage.ask(protocol).status == 200
    assert set(_shown(stage)) == {OLD, NEW}
    assert desk.asked == 1


def test_neither_the_old_tokens_nor_the_new_ones_are_said_back(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin()
    everything = f"{ACCESS} {REFRESH} CANARY-access-1 CANARY-refresh-1 {'.' * 30}".encode()

    def script(arrived: Arrived) -> Reply:
        (shown,) = arrived.values(b"authorization")
        return Reply((everything,), ((b"X-Said", everything),), status=401 if shown == OLD else 200)

    stage.origin.script = script
    for _ in range(2):  # a canary in an answer fails it
        answer = stage.ask(protocol)
        assert (answer.status, len(answer.body)) == (200, len(everything))
    sent = repr(stage.origin.arrived)
    assert ACCESS in sent
    assert "CANARY-refresh" not in sent
    assert "CANARY-client" not in sent


def test_a_stream_goes_on_while_its_token_is_renewed_and_what_it_says_is_still_searched(
    stage: Stage, desk: Desk, protocol: str
) -> None:
    renewed = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"data: first\n\n"
        if renewed.wait(5):
            yield b"data: " + ACCESS.encode() + b" CANARY-access-1 CANARY-refresh-1\n\n"

    desk.begin()
    stage.origin.script = lambda arrived: Reply(pieces()) if arrived.path == b"/stream" else _refusing(OLD)(arrived)
    text = b""
    with stage.open(protocol) as connection:
        connection.send("GET", "/stream", HELD, b"")
        for piece in connection.pieces():
            text += piece
            if not renewed.is_set():
                assert stage.ask(protocol).status == 200
                renewed.set()
    assert desk.asked == 1
    assert text.startswith(b"data: first\n\ndata: ")
    assert not sings(text)


def test_the_handshake_of_a_websocket_is_sent_once_more(stage: Stage, desk: Desk) -> None:
    desk.begin()
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

    def script(arrived: Arrived) -> Reply:
        refused = _refusing(OLD)(arrived)
        return refused if refused.status == 401 else Reply(raw=(switch, b"\x81\x02hi"))

    stage.origin.script = script
    fields = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"))
    with stage.open() as connection:
        connection.send("GET", "/", (*fields, *HELD), b"")
        answer = b""
        while not answer.endswith(b"hi"):
            answer += connection.opened.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 101")
    assert [arrived.values(b"upgrade") for arrived in stage.origin.arrived] == [[b"websocket"]] * 2
    assert _shown(stage) == [OLD, NEW]


def test_a_logout_while_tokens_are_renewed_is_not_undone(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin(LIFE)
    desk.held.clear()
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(stage.ask(protocol)))
    asking.start()
    while not desk.asked:
        time.sleep(0.01)
    stage.swap(stage.rules(holds=False))
    desk.held.set()
    asking.join()
    assert (answers[0].status, answers[0].error) == (403, "not_connected")
    assert stage.ask(protocol).error == "not_connected"
    assert stage.origin.arrived == []


def test_what_allow_has_lost_meanwhile_is_not_sent_a_second_time(stage: Stage, desk: Desk, protocol: str) -> None:
    desk.begin()

    def script(arrived: Arrived) -> Reply:
        stage.proxy.swap(stage.rules("GET /other"), of_entry(Declared(stage.provider), desk.entry()))
        return _refusing(OLD)(arrived)

    stage.origin.script = script
    assert stage.ask(protocol).error == "not_allowed"
    assert _shown(stage) == [OLD]


def test_keys_are_none_of_it(tmp_path: Path) -> None:
    def renew(*_: object) -> Session:
        raise AssertionError

    (tmp_path / "outside").mkdir()
    with stages.stage(tmp_path / "outside", renew=renew) as keyed:
        keyed.origin.script = lambda _: Reply((b"no",), status=401, sized=True)
        assert keyed.ask().status == 401
        assert len(keyed.origin.arrived) == 1


def test_a_run_that_ends_waits_for_tokens_that_are_under_way(stage: Stage, desk: Desk) -> None:
    desk.begin(LIFE)
    desk.held.clear()
    with stage.open() as connection:
        connection.send("GET", "/", HELD, b"")
        while not desk.asked:
            time.sleep(0.01)
    threading.Timer(0.3, desk.held.set).start()
    stage.proxy.stop()
    assert desk.entry().fields["refresh_token"] == "CANARY-refresh-1"


def test_tokens_that_have_long_been_replaced_are_no_longer_looked_for_and_the_last_ones_are(
    stage: Stage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "_REFUSALS", 1000)
    desk.begin()
    shown: list[bytes] = []
    for number in range(1, 61):
        desk.steps = [Tokens(f"CANARY-access-{number}", f"CANARY-refresh-{number}", LIFE)]
        stage.origin.script = _refusing(*shown[-1:], OLD)
        stage.ask()
        shown.append(_shown(stage)[-1])
    assert desk.asked == 60
    said = "".join(f"CANARY-access-{number} CANARY-refresh-{number} " for number in range(30, 61))
    stage.origin.script = lambda _: Reply((said.encode(),))
    assert stage.ask().status == 200  # without a canary in it
    stage.origin.script = lambda _: Reply((ACCESS.encode(),))
    with stage.open() as connection:
        assert connection.ask(headers=HELD).body == ACCESS.encode()
