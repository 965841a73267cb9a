from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from authsome import plan, rules, why
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Allowed, undeclared
from authsome.plan import State, Step
from authsome.provider import Catalogue, Host
from canary import OPENAI_KEY
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

CATALOGUE = Catalogue(Path("nowhere"))
OPENAI = undeclared(CATALOGUE.get("openai"))
GITHUB = replace(undeclared(CATALOGUE.get("github")), allow=(Allowed.parse("GET /repos/**"),))
STEPS = {name: Step(name, "default", State.IN_PLACE) for name in ("openai", "github")}


def _why(url: str, method: str = "GET", connection: str | None = None, *, steps: bool = True) -> why.Answer:
    made = rules.make([OPENAI, GITHUB], lambda _: True)
    return why.explain(why.parse(url, method, connection), made, STEPS if steps else None)


@pytest.mark.parametrize(
    ("url", "outcome", "shown"),
    [
        ("https://api.openai.com", "injected", "https://api.openai.com/"),
        ("HTTPS://API.OpenAI.com:443/a?b#c", "injected", "https://api.openai.com/a"),
        ("wss://api.openai.com/v1/realtime", "injected", "wss://api.openai.com/v1/realtime"),
        ("https://me:CANARY@api.openai.com/a", "injected", "https://api.openai.com/a"),
        ("https://github.com/acme", "refused", "https://github.com/acme"),
        ("https://api.openai.com./a", "tunnelled", "https://api.openai.com./a"),
        ("https://api.openai.com:8443/a", "tunnelled", "https://api.openai.com:8443/a"),
        ("https://127.0.0.1/a", "tunnelled", "https://127.0.0.1/a"),
        ("https://[::1]:8443/a", "tunnelled", "https://[::1]:8443/a"),
        ("https://bücher.example/ü", "tunnelled", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://аpi.openai.com/", "tunnelled", "https://xn--pi-6kc.openai.com/"),
        ("http://api.openai.com/a", "refused", "http://api.openai.com/a"),
        ("http://api.openai.com:8080/a", "refused", "http://api.openai.com:8080/a"),
        ("http://other.example/a?b=CANARY", "forwarded", "http://other.example/a"),
        ("ws://api.openai.com/a", "tunnelled", "ws://api.openai.com/a"),
    ],
)
def test_each_way_of_writing_a_url_gets_its_true_answer(url: str, outcome: str, shown: str) -> None:
    answer = _why(url)
    assert (answer.outcome, answer.url) == (outcome, shown)
    assert "CANARY" not in str(answer)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://CANARY@x.example/", "api.openai.com/CANARY", "https://", "https:///CANARY", "https://x:CANARY/"),
        *("https://x:70000/", "https://a b/CANARY", "https://a/\tCANARY", "https://[x/CANARY", "https://a\\CANARY@b/"),
    ],
)
def test_what_is_not_such_a_url_is_a_mistake_that_is_not_quoted(url: str) -> None:
    with pytest.raises(AuthsomeError, match="cannot be asked about") as raised:
        why.parse(url, "GET")
    assert raised.value.code is ExitCode.USAGE
    assert "CANARY" not in raised.value.message


def test_the_line_that_permits_a_request_is_named() -> None:
    answer = _why("https://api.github.com/repos/a")
    assert (answer.allow, answer.place, answer.code) == ("GET /repos/**", "the header `Authorization`", 0)


@pytest.mark.parametrize(
    ("url", "method", "connection", "failed", "error"),
    [
        ("https://api.github.com/user", "GET", None, "path allowed", "not_allowed"),
        ("https://api.github.com/repos/a", "DELETE", None, "path allowed", "not_allowed"),
        ("https://api.github.com/repos/a?_method=DELETE", "GET", None, "path allowed", "not_allowed"),
        ("https://api.openai.com/", "GET", "prod", "connection", "no_such_connection"),
        ("https://api.openai.com/", "G T", None, "request", "malformed_request"),
        ("https://api.openai.com/authsome-proxy-managed", "GET", None, "secret", "placeholder_misplaced"),
        ("http://api.openai.com/", "GET", None, "https", "not_encrypted"),
    ],
)
def test_the_explanation_ends_with_the_condition_that_fails(
    url: str, method: str, connection: str | None, failed: str, error: str
) -> None:
    answer = _why(url, method, connection)
    assert [check.name for check in answer.checks if check.passed is False] == [failed]
    assert answer.checks[-1].name == failed
    assert answer.refusal
    assert (answer.refusal.error, answer.code) == (error, ExitCode.REFUSED)


@pytest.mark.parametrize(
    ("state", "failed", "hint"),
    [
        (State.MISSING, "in place", "authsome login openai"),
        (State.ABSENT, "in place", "authsome login openai"),
        (State.OFF_PATTERN, "in place", "authsome login openai --force"),
        (State.HOSTS_CHANGED, "host agreed to", "authsome login openai --force"),
    ],
)
def test_a_connection_that_is_not_in_place_says_which_login_mends_it(state: State, failed: str, hint: str) -> None:
    made = rules.make([OPENAI], lambda _: False)
    step = plan.Step("openai", "default", state, required=state is not State.ABSENT)
    answer = why.explain(why.parse("https://api.openai.com/", "GET"), made, {"openai": step})
    assert (answer.checks[-1].name, answer.checks[-1].passed) == (failed, False)
    assert answer.refusal
    assert (answer.refusal.hint, answer.code) == (hint, ExitCode.MISSING)


def test_without_the_vault_the_declaration_alone_answers() -> None:
    answer = _why("https://api.openai.com/", steps=False)
    assert answer.outcome == "injected"
    assert [check.passed for check in answer.checks if "locked" in check.detail] == [None, None]


def test_a_locked_vault_does_not_keep_the_question_from_being_answered(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.declare("version: 1\nproviders: {openai: {allow: [GET /v1/**]}}\n")
    (authsome.home / "identity.txt").unlink()
    assert authsome("check").code == 4
    done = authsome("why", "https://api.openai.com/v1/models")
    assert (done.code, done.err) == (0, "")
    assert "the vault is locked" in done.out
    assert authsome("why", "https://api.openai.com/v2").code == 8


@given(st.text(max_size=40), st.sampled_from(["https", "http"]))
def test_the_answer_is_the_decision_of_the_proxy(path: str, scheme: str) -> None:
    made = rules.make([GITHUB], lambda _: True)
    try:
        asked = why.parse(f"{scheme}://api.github.com/repos/{path}", "GET")
    except AuthsomeError:
        return
    answer = why.explain(asked, made, {"github": STEPS["github"]})
    request = asked.request(made)
    decided = made.decide(request) if scheme == "https" else made.refuses_plain(Host("api.github.com", 80))
    assert answer.refusal == (decided if isinstance(decided, rules.Refusal) else None)
    assert (answer.place is not None) is isinstance(decided, rules.Inject)
