"""A refusal is final: a client that met one does not ask again.

What an upstream failed at (502) is asked again, as clients do with every 502, also where the request had been sent.
So is a tunnel that is refused (`CONNECT`), whose answer they take for a connection that failed.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import openai
import pytest
import urllib3

import scripted
import stage as stages
from authsome import rules
from authsome.manifest import Declared
from authsome.provider import PLACEHOLDER
from octets import Arrived
from scripted import Reply
from stage import KEY, NAME, Stage

pytest_plugins = ["stage_fixtures"]

MANUAL = Path(__file__).parent.parent.parent / "docs" / "run.md"
ATTEMPTS = 3
"""How often the clients of these tests ask for what can pass."""


@dataclass(frozen=True)
class Asked:
    """A request and the stage on which it is refused."""

    set_up: Callable[[Stage], None] = lambda _: None
    key: str = PLACEHOLDER
    url: str = "https://{host}/v1"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    times: int = 1
    told: int | None = None
    """How often a client asks that looks for `X-Should-Retry`, where that differs."""
    sent: bool = False
    """Whether it reached the upstream before it was refused."""


def _narrow(stage: Stage, newest: rules.Rules) -> None:
    stage.swap(rules.narrower(stage.rules("GET /other"), newest), default=KEY)


def _answer(reply: Reply) -> Callable[[Stage], None]:
    def set_up(stage: Stage) -> None:
        def script(_: Arrived) -> Reply:
            return reply

        stage.origin.script = script

    return set_up


def _public_only(stage: Stage) -> None:
    provider = replace(stage.provider, private_addresses=False)
    stage.swap(rules.make([Declared(provider)], lambda _: True), default=KEY)


REFUSALS: dict[str, Asked] = {
    "not_allowed": Asked(lambda stage: stage.swap(stage.rules("GET /other"), default=KEY)),
    "not_connected": Asked(lambda stage: stage.swap(stage.rules(holds=False))),
    "not_declared": Asked(lambda stage: _narrow(stage, rules.make([], lambda _: True))),
    "restart_needed": Asked(lambda stage: _narrow(stage, stage.rules())),
    "address_not_public": Asked(_public_only),
    "no_such_connection": Asked(key=f"{PLACEHOLDER}-other"),
    "ambiguous_connection": Asked(key=f"{PLACEHOLDER} {PLACEHOLDER}-other"),
    "placeholder_misplaced": Asked(query=f"key={PLACEHOLDER}"),
    "not_encrypted": Asked(url="http://{host}/v1"),
    "egress_denied": Asked(
        lambda stage: stage.swap(stage.rules(open_egress=False), default=KEY),
        url="https://undeclared.example/v1",
        times=ATTEMPTS,
    ),
    "malformed_request": Asked(headers=(("content_length", "3"),)),
    "host_mismatch": Asked(headers=(("Host", "evil.example"),)),
    "unreadable_response": Asked(
        _answer(Reply((b"x",), ((b"Content-Encoding", b"rot13"),))), times=ATTEMPTS, told=1, sent=True
    ),
    "upstream_untrusted": Asked(url=f"https://{scripted.UNTRUSTED}:{{port}}/v1", times=ATTEMPTS, told=1),
    "upstream_failed": Asked(_answer(Reply(raw=())), times=ATTEMPTS, sent=True),
}
"""Every word that the manual has for a refusal, and a request that meets it."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("outside"), hosts=(NAME, scripted.UNTRUSTED)) as made:
        yield made


@pytest.fixture(params=REFUSALS)
def refused(request: pytest.FixtureRequest, stage: Stage) -> Iterator[tuple[str, Asked, str]]:
    """Set the stage; return the word, the request and its URL, and look afterwards at how often it was asked."""
    word = str(request.param)
    asked = REFUSALS[word]
    asked.set_up(stage)
    yield word, asked, asked.url.format(host=stage.host, port=stage.origin.port)
    stage.swap(stage.rules(), default=KEY)
    times = asked.told if asked.told and "openai" in request.node.name else asked.times
    assert [use.decision for use in stage.uses] == [word] * times, stage.uses
    assert bool(stage.origin.arrived) is asked.sent


def _trusting(stage: Stage) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=stage.client.roots)


def test_every_refusal_of_the_manual_is_met() -> None:
    table = MANUAL.read_text().partition("| `error` |")[2].partition("\n\n")[0]
    words = {word for row in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    elsewhere = {"fake_run", "no_fake_answer", "bad_request", "internal"}
    signed = {"signature_unknown", "signature_expired", "scope_mismatch", "gives_credentials"}  # see `test_signing`
    signed |= {"body_too_long", "malformed_body"}
    renewed = {"login_needed", "renewal_failed"}  # see `test_renewed`
    assert words - elsewhere - signed - renewed == set(REFUSALS)


def test_openais_client_asks_again_only_for_what_can_pass(stage: Stage, refused: tuple[str, Asked, str]) -> None:
    word, asked, url = refused
    query = dict([asked.query.split("=")]) if asked.query else {}
    transport = openai.DefaultHttpxClient(proxy=stage.proxy.url, verify=_trusting(stage))
    with (
        transport,
        openai.OpenAI(api_key=asked.key, base_url=url, max_retries=ATTEMPTS - 1, http_client=transport) as client,
        pytest.raises(openai.APIError) as raised,
    ):
        client.models.list(extra_headers=dict(asked.headers), extra_query=query)
    if isinstance(raised.value, openai.APIStatusError):
        assert raised.value.response.json()["error"] == word, raised.value.response.json()
    else:
        assert "403" in str(raised.value.__cause__)


def test_urllib3_asks_again_only_for_what_can_pass(stage: Stage, refused: tuple[str, Asked, str]) -> None:
    word, asked, url = refused
    retry = urllib3.Retry(
        ATTEMPTS - 1,
        backoff_factor=0,
        status_forcelist=[408, 409, 413, 425, 429, 500, 502, 503, 504],
        raise_on_status=False,
    )
    secret = urllib3.make_headers(proxy_basic_auth=stage.client.userinfo)
    headers = {"Authorization": f"Bearer {asked.key}", **dict(asked.headers)}
    address = "http://{}:{}".format(*stage.client.address)
    with urllib3.ProxyManager(address, proxy_headers=secret, retries=retry, ssl_context=_trusting(stage)) as pool:
        if word == "egress_denied":
            with pytest.raises(urllib3.exceptions.MaxRetryError, match="403"):
                pool.request("GET", url, headers=headers)
            return
        answer = pool.request("GET", f"{url}/models?{asked.query}", headers=headers)
    assert answer.json()["error"] == word
