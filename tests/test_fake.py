"""Fake runs: an agent is tested without a key, a vault or a network."""

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from syrupy.assertion import SnapshotAssertion

from authsome import fake
from authsome.errors import AuthsomeError, ExitCode
from authsome.fake import Answers, Line, Reply, Seen, Stage
from authsome.manifest import Declared
from authsome.provider import Catalogue, Host
from authsome.session import throw_away
from canary import OPENAI_KEY
from conftest import EXECUTABLE, CommandLine, Done
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

HOSTS = frozenset({Host("api.openai.com"), Host("api.example.com", 8443)})
GUIDE = Path(__file__).parent.parent / "docs" / "fake.md"


def _seen(method: str = "GET", path: str = "/v1/models", host: str = "api.openai.com") -> Seen:
    return Seen(method, host, path, "", (), b"", 0)


def _load(folder: Path, text: str) -> Answers:
    path = folder / "answers.yaml"
    path.write_text(text)
    return fake.load(path, HOSTS)


def _one(folder: Path, answer: str) -> Reply:
    return _load(folder, f"version: 1\nanswers:\n- {{request: '**', {answer}}}\n").lines[0].reply


def _octets(reply: Reply) -> bytes:
    return b"".join(piece.octets for piece in reply.pieces)


# The file.


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", ":1: is empty", "start with `version: 1` and `answers:`"),
        ("version: 2\nanswers: []\n", ":1: `version`", None),
        ("version: 1\nanswer: []\n", ":2: unknown key `answer`", "did you mean `answers`?"),
        ("version: 1\nanswers:\n- {request: '**', satus: 2}\n", ":3: unknown key `satus`", "did you mean `status`?"),
        ("version: 1\nanswers:\n- request: '**'\n  events:\n  - {dta: x}\n", ":5: unknown key `dta`", "`data`"),
        ("version: 1\nanswers:\n- status: 200\n", ":3: `answers.0.request` is missing", None),
        ("version: 1\nanswers:\n- request: GET\n", ":3: 'GET' is not of the form", None),
        ("version: 1\nanswers:\n- request: GET https://api.openai.com/\n", ":3: ", None),
        ("version: 1\nanswers:\n- request: GET api.openai.com/?a=1\n", "leave out `?`", None),
        (
            "version: 1\nanswers:\n- request: '**'\n- request: GET api.opnai.com/v1\n",
            ":4: no declared provider has the host `api.opnai.com`",
            "did you mean `api.openai.com`?",
        ),
        ("version: 1\nanswers:\n- {request: '**', json: {}, body: x}\n", ":3: `answers.0`: `json` and `body`", None),
        ("version: 1\nanswers:\n- {request: '**', status: 99}\n", "from 200 to 599", None),
        ("version: 1\nanswers:\n- {request: '**', status: 204, body: x}\n", "status 204 has no body", None),
        ("version: 1\nanswers:\n- {request: '**', times: 0}\n", "`times` is 1 or more", None),
        ("version: 1\nanswers:\n- {request: '**', delay: -1}\n", "`delay` is", None),
        ("version: 1\nanswers:\n- {request: '**', events: [{delay: 3600001}]}\n", "`delay` is", None),
        ("version: 1\nanswers:\n- {request: '**', headers: {a b: x}}\n", "'a b' is not a header name", None),
        ('version: 1\nanswers:\n- {request: "**", headers: {a: "x\\r\\ny: z"}}\n', "characters that no header", None),
        ("version: 1\nanswers:\n- {request: '**', headers: {Content-Length: 3}}\n", "belongs to the connection", None),
        ("version: 1\nanswers:\n- request: '**'\n  json:\n    a: .nan\n", ":4: JSON has no infinity", None),
        ("version: 1\nanswers:\n- request: '**'\n  file: ../x\n", ":4: '../x' leads out of the folder", None),
        ("version: 1\nanswers:\n- request: '**'\n  file: /etc/passwd\n", ":4: '/etc/passwd' leads out", None),
        ("version: 1\nanswers:\n- request: '**'\n  file: .\n", ":4: '.' is no regular file", None),
        ('version: 1\nanswers:\n- request: "**"\n  file: "a\\0b"\n', "`file` is not a path", None),
        ('version: 1\nanswers:\n- request: "**"\n  events: [{event: "a\\nb"}]\n', "one line each", None),
        (
            "version: 1\nanswers:\n- {request: '**', headers: {a: [1]}}\n",
            ":3: `answers.0.headers.a`: must be text",
            None,
        ),
    ],
)
def test_what_cannot_be_played_is_one_error_with_its_line(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    with pytest.raises(AuthsomeError) as caught:
        _load(tmp_path, text)
    assert caught.value.code is ExitCode.INVALID
    assert re.match(rf"{re.escape(str(tmp_path))}/answers.yaml:\d+: ", caught.value.message)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_file_that_is_not_there_is_named_with_the_line_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(AuthsomeError, match="cannot read .*/missing.bin: no such file") as caught:
        _one(tmp_path, "file: missing.bin")
    assert caught.value.hint == f"{tmp_path}/answers.yaml:3"


def test_a_link_does_not_lead_out_of_the_folder_either(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(AuthsomeError, match="'link' leads out of the folder"):
        _one(tmp_path, "file: link")


@pytest.mark.parametrize(
    ("answer", "kind", "octets"),
    [
        ("json: {a: [1, null, 'ä']}", "application/json", b'{"a": [1, null, "\\u00e4"]}'),
        ("body: 'grüß'", "text/plain; charset=utf-8", "grüß".encode()),
        ("file: some.bin", "application/octet-stream", bytes(range(256))),
        ("body: x, headers: {content-type: text/html}", "text/html", b"x"),
        ("events: [{data: a}]", "text/event-stream", b"data: a\n\n"),
    ],
)
def test_a_body_has_its_type_unless_the_file_says_another(
    tmp_path: Path, answer: str, kind: str, octets: bytes
) -> None:
    (tmp_path / "some.bin").write_bytes(bytes(range(256)))
    reply = _one(tmp_path, answer)
    assert [value for name, value in reply.headers if name.lower() == "content-type"] == [kind]
    assert _octets(reply) == octets


def _server_sent(octets: bytes) -> list[dict[str, str]]:
    """Read events as the HTML Standard says (9.2.6)."""
    events: list[dict[str, str]] = []
    for block in octets.decode().split("\n\n")[:-1]:
        event: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            event[name] = event[name] + "\n" + value if name == "data" and name in event else value
        events.append(event)
    return events


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(_TEXT, max_size=6), value=st.recursive(st.integers() | _TEXT, st.lists))
def test_every_event_arrives_as_the_file_has_it(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], value: Any
) -> None:
    events = [*({"data": text} for text in texts), {"data": [value], "event": "named"}]
    folder = tmp_path_factory.mktemp("events")
    reply = (
        _load(folder, json.dumps({"version": 1, "answers": [{"request": "**", "events": events}]}, ensure_ascii=True))
        .lines[0]
        .reply
    )
    found = _server_sent(_octets(reply))
    assert [event["data"] for event in found[:-1]] == texts
    assert (found[-1]["event"], json.loads(found[-1]["data"])) == ("named", [value])


# Which answer.


@given(times=st.lists(st.none() | st.integers(1, 4), max_size=6), asked=st.integers(0, 30))
def test_answers_are_given_in_order_each_as_often_as_it_says(times: list[int | None], asked: int) -> None:
    lines = tuple(Line("*", "**", Reply(200 + number, ()), each) for number, each in enumerate(times))
    stage = Stage(Answers("answers.yaml", lines))
    found = [stage.answer(_seen()).status for _ in range(asked)]
    expected: list[int] = []
    for number, each in enumerate(times):
        expected += [200 + number] * (asked if each is None else each)
    expected += [501] * asked
    assert found == expected[:asked]
    assert stage.unanswered() == ({"GET api.openai.com/v1/models": found.count(501)} if 501 in found else {})


@pytest.mark.parametrize(
    ("request_line", "seen", "fits"),
    [
        ("GET api.openai.com/v1/models", _seen(), True),
        ("api.openai.com/v1/models", _seen("PURGE"), True),
        ("* API.OpenAI.com/v1/*", _seen(), True),
        ("GET */v1/models", _seen(), True),
        ("**", _seen("POST", "/a/b"), True),
        ("**/v1/models", _seen(), True),
        ("GET api.openai.com/*", _seen(), False),
        ("GET api.openai.com/**", _seen(), True),
        ("POST api.openai.com/v1/models", _seen(), False),
        ("GET api.openai.com/v1/Models", _seen(), False),
        ("GET api.example.com:8443/v1/models", _seen(host="api.example.com:8443"), True),
        ("GET api.openai.com/v1/models", _seen(host="api.example.com:8443"), False),
    ],
)
def test_a_line_names_requests_as_allow_does(tmp_path: Path, request_line: str, seen: Seen, fits: bool) -> None:
    answers = _load(tmp_path, json.dumps({"version": 1, "answers": [{"request": request_line}]}))
    assert answers.choose(seen, {}) == (0 if fits else None)


def test_a_request_without_an_answer_says_which_line_would_give_it_one() -> None:
    stage = Stage(Answers("answers.yaml", (Line("GET", "api.openai.com/v1/a", Reply(200, ()), 1),)))
    reply = stage.answer(_seen("POST", "/v1/b"))
    told = json.loads(_octets(reply))
    assert (reply.status, told["error"]) == (501, "no_fake_answer")
    assert "- request: POST api.openai.com/v1/b" in told["hint"]
    stage.answer(_seen(path="/v1/a"))
    assert "as often as `times` says" in json.loads(_octets(stage.answer(_seen(path="/v1/a"))))["reason"]


_PATH = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"), max_size=20)


@settings(deadline=None)
@given(method=st.sampled_from(["GET", "M-SEARCH"]), path=_PATH)
def test_the_line_that_is_proposed_answers_the_request(
    tmp_path_factory: pytest.TempPathFactory, method: str, path: str
) -> None:
    seen = _seen(method, f"/{path}")
    hint = json.loads(_octets(Stage(Answers("answers.yaml", ())).answer(seen)))["hint"]
    line = hint.removeprefix("to answer it, add `").removesuffix("` to `answers` in answers.yaml")
    answers = _load(tmp_path_factory.mktemp("line"), f"version: 1\nanswers:\n  {line}\n")
    assert answers.choose(seen, {}) == 0


def test_what_had_no_answer_is_remembered_within_bounds() -> None:
    stage = Stage(Answers("answers.yaml", ()))
    for number in range(1000):
        stage.answer(_seen(path=f"/{number}"))
    assert len(stage.unanswered()) == 20


@given(st.binary(max_size=200), st.lists(st.tuples(st.sampled_from(["A", "a", "B"]), st.text("xyz", max_size=3))))
def test_an_echo_shows_everything_that_arrived(body: bytes, headers: list[tuple[str, str]]) -> None:
    seen = dataclasses.replace(_seen(), body=body, size=len(body), headers=tuple(headers))
    shown = json.loads(_octets(fake.echo(seen)))
    told = shown["body"].encode() if "body" in shown else base64.b64decode(shown["body_base64"])
    assert told == body
    for name in ("a", "b"):
        values = [value for each, value in headers if each.lower() == name]
        assert shown["headers"].get(name) == (", ".join(values) if values else None)


def test_secrets_of_a_fake_run_are_nobodys_and_as_long_as_what_stands_in_for_them() -> None:
    declared = [Declared(Catalogue(None).get(name)) for name in ("openai", "github")]
    session = throw_away(declared, os.urandom)
    stand_ins = session.stand_ins()
    assert len(stand_ins) == 2
    assert all(len(secret) == len(stand_in) for secret, stand_in in stand_ins.items())
    assert not set(stand_ins) & set(throw_away(declared, os.urandom).stand_ins())


# Runs.


PYTHON = """
import json, os, urllib.request
request = urllib.request.Request(
    "https://api.openai.com/v1/models?limit=2", headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
)
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""


def _declare(authsome: CommandLine, answers: Any = None) -> None:
    authsome.declare(
        "version: 1\n"
        "providers:\n"
        "  openai: {connections: {default: , team: {env: TEAM_API_KEY}}}\n"
        "  github: {allow: [GET /repos/**]}\n"
    )
    if answers is not None:
        (authsome.project / "answers.yaml").write_text(json.dumps({"version": 1, "answers": answers}))


def _python(authsome: CommandLine, script: str, *options: str) -> Done:
    return authsome("run", *(options or ("--fake-from", "answers.yaml")), "--", sys.executable, "-c", script)


def _curl(authsome: CommandLine, *arguments: str, options: tuple[str, ...] = ("--fake",)) -> Done:
    return authsome("run", *options, "--", "curl", "--disable", "-sS", "--max-time", "30", *arguments)


@pytest.mark.parametrize("line", ["run --fake -- true", "run --fake-from answers.yaml --quiet -- true"])
def test_a_run_says_that_it_is_fake_also_when_it_is_to_be_quiet(
    authsome: CommandLine, snapshot: SnapshotAssertion, line: str
) -> None:
    _declare(authsome, [])
    assert str(authsome(*line.split())) == snapshot


def test_an_echo_shows_the_agents_request_with_the_placeholder(authsome: CommandLine) -> None:
    _declare(authsome)
    done = _python(authsome, PYTHON, "--fake")
    assert done.code == 0, done
    shown = json.loads(done.out)
    assert (shown["method"], shown["host"], shown["path"]) == ("GET", "api.openai.com", "/v1/models")
    assert shown["query"] == "limit=2"
    assert shown["headers"]["authorization"] == "Bearer authsome-proxy-managed"
    done = _curl(authsome, "https://api.openai.com/", "-H", "Authorization: Bearer authsome-proxy-managed-team")
    assert json.loads(done.out)["headers"]["authorization"] == "Bearer authsome-proxy-managed-team"


def test_the_rules_inject_what_is_nobodys_key(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nproviders: {openai: {scrub: off}}\n")
    done = _curl(authsome, "https://api.openai.com/", "-H", "Authorization: Bearer something")
    assert re.fullmatch("Bearer [0-9a-f]{22}", json.loads(done.out)["headers"]["authorization"])


@pytest.mark.parametrize(
    "script",
    [
        "import requests; r = requests.post(u, json={'a': 1}, timeout=20); print(r.status_code, r.json())",
        "import httpx; r = httpx.post(u, json={'a': 1}, timeout=20); print(r.status_code, r.json())",
    ],
)
def test_python_clients_get_the_answer_of_the_file(authsome: CommandLine, script: str) -> None:
    _declare(authsome, [{"request": "POST api.openai.com/v1/*", "status": 202, "json": {"made": True}}])
    done = _python(authsome, f"u = 'https://api.openai.com/v1/things'; {script}")
    assert (done.code, done.out) == (0, "202 {'made': True}\n"), done


SDK = """
import json, time
from openai import OpenAI
client = OpenAI(max_retries=2)
begun = time.monotonic()
with client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True) as stream:
    found = [(chunk.choices[0].delta.content, time.monotonic() - begun) for chunk in stream]
print(json.dumps([list(each) for each in zip(*found)]))
"""


def test_an_sdk_is_refused_once_and_then_streams_event_by_event(authsome: CommandLine) -> None:
    def chunk(content: str) -> dict[str, Any]:
        about = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return about | {"choices": [{"index": 0, "delta": {"content": content}}]}

    events = [{"data": chunk("first")}, {"data": chunk("last"), "delay": 2000}, {"data": "[DONE]"}]
    asked = {"request": "POST api.openai.com/v1/chat/completions"}
    _declare(
        authsome,
        [asked | {"status": 429, "headers": {"retry-after-ms": 1}, "json": {}, "times": 1}, asked | {"events": events}],
    )
    done = _python(authsome, SDK)
    assert done.code == 0, done
    contents, moments = json.loads(done.out)
    assert contents == ["first", "last"]
    assert moments[1] - moments[0] > 1.5


def test_an_sdk_does_not_try_again_what_has_no_answer(authsome: CommandLine) -> None:
    _declare(authsome, [])
    done = _python(authsome, "from openai import OpenAI\ntry: OpenAI(max_retries=5).models.list()\nexcept Exception: 0")
    assert (done.code, done.out) == (0, "")
    assert done.err.endswith("authsome: answers.yaml had no answer for:\n  GET api.openai.com/v1/models\n")


@pytest.mark.parametrize("url", ["http://other.example/", "http://192.0.2.1/"])
def test_an_undeclared_host_is_refused_over_plain_http(authsome: CommandLine, url: str) -> None:
    _declare(authsome)
    done = _curl(authsome, url)
    assert json.loads(done.out)["error"] == "fake_run"


def test_an_undeclared_host_is_refused_whatever_egress_and_no_proxy_say(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nproviders: {openai: }\negress: {default: deny, allow: [other.example]}\n")
    authsome.env = {"NO_PROXY": "other.example", "no_proxy": "other.example"}
    script = (
        "import os, httpx\n"
        "try: httpx.get('https://other.example/')\n"
        "except httpx.ProxyError as error: print(error, os.environ['NO_PROXY'], os.environ['no_proxy'])\n"
    )
    done = _python(authsome, script, "--fake", "--summary")
    assert done.out == f"403 Forbidden {' '.join(['localhost,127.0.0.1,::1'] * 2)}\n", done
    assert "fake_run" in done.err


def test_what_allow_does_not_name_is_refused_as_in_a_real_run(authsome: CommandLine) -> None:
    _declare(authsome, [{"request": "**", "body": "answered"}])
    options = ("--fake-from", "answers.yaml")
    assert _curl(authsome, "https://api.github.com/repos/a/b", options=options).out == "answered"
    refused = json.loads(_curl(authsome, "-X", "DELETE", "https://api.github.com/repos/a/b", options=options).out)
    assert refused["error"] == "not_allowed"


@pytest.mark.parametrize(("method", "body"), [("GET", "text"), ("HEAD", ""), ("PURGE", "text"), ("OPTIONS", "text")])
def test_any_method_is_answered(authsome: CommandLine, method: str, body: str) -> None:
    _declare(authsome, [{"request": "**", "body": "text", "headers": {"x-some": "y"}}])
    asked = ("--head",) if method == "HEAD" else ("-X", method)
    shown = "%{http_code} %header{x-some} %header{content-length}"
    done = _curl(
        *(authsome, "-o", "body", "-w", shown, *asked, "https://api.openai.com/"),
        options=("--fake-from", "answers.yaml"),
    )
    assert done.out == "200 y 4", done
    assert method == "HEAD" or (authsome.project / "body").read_text() == body


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_keeps_the_connection(authsome: CommandLine, status: int) -> None:
    _declare(authsome, [{"request": "*/empty", "status": status}, {"request": "**", "body": "next"}])
    urls = ("https://api.openai.com/empty", "https://api.openai.com/other")
    done = _curl(authsome, "-w", " %{http_code} %{num_connects}\n", *urls, options=("--fake-from", "answers.yaml"))
    assert done.out == f" {status} 1\nnext 200 0\n"


def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_the_connection(authsome: CommandLine) -> None:
    _declare(authsome, [{"request": "**", "events": [{"data": "a"}, {"data": "b"}]}])
    done = _curl(authsome, "--http1.0", "https://api.openai.com/", options=("--fake-from", "answers.yaml"))
    assert done.out == "data: a\n\ndata: b\n\n"


@pytest.mark.parametrize("chunked", [True, False])
def test_an_upload_of_any_size_is_read_whole_and_shown_in_part(authsome: CommandLine, chunked: bool) -> None:
    _declare(authsome)
    size = 20 << 20
    with (authsome.root / "upload").open("wb") as file:
        file.truncate(size)
    how = ("-H", "Transfer-Encoding: chunked") if chunked else ()
    done = _curl(authsome, *how, "--data-binary", f"@{authsome.root}/upload", "https://api.openai.com/v1/files")
    shown = json.loads(done.out)
    assert (shown["size"], len(shown["body"])) == (size, fake.MOST_SHOWN)


def test_a_delay_holds_the_answer_back(authsome: CommandLine) -> None:
    _declare(authsome, [{"request": "**", "delay": 1200}])
    done = _curl(
        authsome, "-w", "%{time_starttransfer}", "https://api.openai.com/", options=("--fake-from", "answers.yaml")
    )
    assert done.code == 0, done
    assert float(done.out) > 1.2


OAUTH = {
    "name": "corp",
    "host_url": "https://api.corp.example:8443",
    "auth_type": "oauth2",
    "flow": "pkce",
    "oauth": {"authorization_url": "https://login.corp.example/page", "token_url": "https://login.corp.example/token"},
    "export": {"env": {"access_token": "CORP_TOKEN"}},
}


def test_a_definition_of_the_users_own_is_served_also_with_oauth_and_a_port(authsome: CommandLine) -> None:
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "corp.json").write_text(json.dumps(OAUTH))
    authsome.declare("version: 1\nproviders: {corp: }\n")
    done = _curl(authsome, "https://api.corp.example:8443/me")
    shown = json.loads(done.out)
    assert shown["host"] == "api.corp.example:8443"
    assert shown["headers"]["authorization"] == "Bearer authsome-proxy-managed"


# What a fake run does without.


def test_nothing_is_read_or_written_in_a_home(authsome: CommandLine) -> None:
    _declare(authsome, [{"request": "**", "body": "answered"}])
    temporary = authsome.root / "tmp"
    temporary.mkdir()
    home = authsome.root / "nobody"
    authsome.env = {
        "HOME": str(home),
        "AUTHSOME_HOME": str(home / "authsome"),
        "TMPDIR": str(temporary),
        "AUTHSOME_IDENTITY": "AGE-SECRET-KEY-CANARY",
        "OPENAI_API_KEY": OPENAI_KEY,
        "HTTPS_PROXY": "socks5://127.0.0.1:9",
    }
    before = sorted(authsome.project.rglob("*"))
    script = "curl -sS https://api.openai.com/; echo; echo $OPENAI_API_KEY [$AUTHSOME_IDENTITY]; exit 7"
    done = authsome("run", "--fake-from", "answers.yaml", "--summary", "--", "sh", "-c", script)
    assert (done.code, done.out) == (7, "answered\nauthsome-proxy-managed []\n"), done
    assert not home.exists()
    assert list(temporary.iterdir()) == []
    assert sorted(authsome.project.rglob("*")) == before
    assert "api.openai.com  1" in done.err


def test_a_vault_that_is_there_stays_untouched_and_unread(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    (authsome.home / "identity.txt").write_text("no identity any more")
    before = {path: path.stat().st_mtime_ns for path in authsome.home.rglob("*")}
    _declare(authsome)
    done = _curl(authsome, "https://api.openai.com/v1/models")
    assert json.loads(done.out)["fake"] is True
    assert {path: path.stat().st_mtime_ns for path in authsome.home.rglob("*")} == before


def test_a_user_whom_the_machine_does_not_know_can_test_too(authsome: CommandLine) -> None:
    """As in a container that was told to use another user's number."""
    _declare(authsome)
    unknown = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if not shutil.which("unshare") or subprocess.run([*unknown, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine forbids a name space for users")
    environ = {name: text for name, text in authsome.environ().items() if name not in ("HOME", "AUTHSOME_HOME")}
    command = [*unknown, str(EXECUTABLE), "run", "--fake", "--", "id", "-u"]
    done = subprocess.run(
        command, cwd=authsome.project, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "54321\n"), done.stderr


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "Error: there is no authsome.yaml here, and a fake run answers for what it declares"),
        ("version: 1\nproviders: {opnai: }\n", "Error: ~/project/authsome.yaml:2: there is no provider `opnai`"),
        ("version: 1\nprovider: {}\n", "Error: ~/project/authsome.yaml:2: unknown key `provider`"),
        ("version: 1\nisolation: require\n", "Error: `isolation: require` cannot be met"),
    ],
)
def test_a_project_that_could_not_run_cannot_run_fake(
    authsome: CommandLine, manifest: str | None, message: str
) -> None:
    if manifest:
        authsome.declare(manifest)
    done = authsome("run", "--fake", "--", "echo", "started")
    assert (done.code, done.out) == (125, "")
    assert done.err.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nanswers:\n- request: GET api.opnai.com/\n", "answers.yaml:3: no declared provider has the host"),
        ("version: 1\nanswers:\n- {request: '**', jsn: 1}\n", "answers.yaml:3: unknown key `jsn`"),
        (None, "cannot read answers.yaml: no such file or directory"),
    ],
)
def test_a_file_that_cannot_be_played_ends_the_run_before_the_agent_starts(
    authsome: CommandLine, text: str | None, message: str
) -> None:
    _declare(authsome)
    if text:
        (authsome.project / "answers.yaml").write_text(text)
    done = authsome("run", "--fake-from", "answers.yaml", "--", "echo", "started")
    assert (done.code, done.out) == (125, "")
    assert done.err.startswith(f"Error: {message}")


def test_the_agent_starts_while_the_answers_are_still_being_imported(authsome: CommandLine) -> None:
    """What the parent has imported when the child is there is not what the fake needs."""
    _declare(authsome)
    script = (
        "import sys, authsome.child as child\n"
        "class Stop(child.Child):\n"
        "    def __init__(self, *_):\n"
        "        print([name for name in ('http.server', 'mitmproxy', 'asyncio', 'ssl') if name in sys.modules])\n"
        "        raise SystemExit\n"
        "child.Child = Stop\n"
        "sys.argv = ['authsome', 'run', '--fake', '--', 'true']\n"
        "from authsome.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=authsome.environ(), cwd=authsome.project, capture_output=True, check=False
    )
    assert done.stdout == b"[]\n", done.stderr


# No network.


@pytest.mark.world
def test_nothing_reaches_the_hosts_that_are_there(setup: Setup) -> None:
    setup.declare("  openai:", "  github:")
    script = (
        "curl -sS https://api.openai.com/v1/models; curl -sS https://undeclared.example/; curl -sS http://github.com"
    )
    ran = setup.run("sh", "-c", script, options=("--fake",))
    assert '"fake": true' in ran.out
    assert "response 403" in ran.err
    assert setup.received() == []


_ALONE = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.world
def test_a_machine_without_a_network_is_enough(authsome: CommandLine) -> None:
    _declare(authsome)
    spaces = ["unshare", "--net", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
    if not shutil.which("unshare") or subprocess.run([*spaces, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine forbids a network of our own")
    agent = [str(EXECUTABLE), "run", "--fake", "--", sys.executable, "-c", PYTHON]
    command = [*spaces, sys.executable, "-c", _ALONE, *agent]
    done = subprocess.run(
        command, env=authsome.environ(), cwd=authsome.project, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["host"] == "api.openai.com"


def test_no_process_of_a_fake_run_connects_to_anything_but_loopback(authsome: CommandLine) -> None:
    if not shutil.which("strace"):
        pytest.skip("the program `strace` is not installed")
    _declare(authsome)
    trace = authsome.root / "trace"
    options = ["-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace)]
    command = ["strace", *options, str(EXECUTABLE), "run", "--fake", "--", sys.executable, "-c", PYTHON]
    done = subprocess.run(
        command, env=authsome.environ(), cwd=authsome.project, capture_output=True, text=True, check=False, timeout=60
    )
    if "ptrace" in done.stderr:
        pytest.skip("this machine forbids tracing")
    assert done.returncode == 0, done.stderr
    named = [line for line in trace.read_text().splitlines() if "sin_addr" in line or "sin6_addr" in line]
    assert any("connect(" in line for line in named)
    assert [line for line in named if "127.0.0.1" not in line] == []


# The guide.


def test_the_guides_file_is_played(tmp_path: Path) -> None:
    (tmp_path / "speech.mp3").write_bytes(b"")
    shown = re.findall(r"```yaml\n(version: 1\nanswers:.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(shown) == 1
    hosts = [host for name in ("openai", "anthropic", "github") for host in Catalogue(None).get(name).hosts]
    path = tmp_path / "answers.yaml"
    path.write_text(shown[0])
    assert len(fake.load(path, hosts).lines) > 3


def test_the_guide_names_every_key() -> None:
    guide = GUIDE.read_text()
    for kind in (fake.Answer, fake.Event):
        for each in dataclasses.fields(kind):
            assert f"`{each.name}`" in guide, each.name
