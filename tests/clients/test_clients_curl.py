"""curl, and with it what the proxy injects, refuses and leaves alone."""

import json
from collections.abc import Sequence

import pytest

from canary import ANTHROPIC_KEY, GITHUB_TOKEN, OPENAI_KEY, sings
from origin import MISNAMED, UNTRUSTED
from world import Ran, Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

OPENAI = "https://api.openai.com"
ANTHROPIC = "https://api.anthropic.com/v1/messages"
HELD = "authsome-proxy-managed"
STATUS = ("--write-out", r"\n%{http_code}\n")


def refusal(ran: Ran) -> tuple[int, dict[str, str]]:
    """Return status and body of what `curl` with `STATUS` got."""
    body, _, status = ran.out.strip().rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_curl_uses_a_key_it_does_not_hold(setup: Setup, option: str) -> None:
    setup.connect("openai")
    ran = setup.curl("--fail", option, f"{OPENAI}/v1/models")
    assert ran.code == 0, ran
    assert ran.answer["data"][0]["id"] == "canned-1"
    received = setup.only()
    assert received.version == "1.1"  # also where curl offers both, see the engine on ALPN
    assert received.values("authorization") == [f"Bearer {OPENAI_KEY}"]
    assert not {"proxy-authorization", "proxy-connection", "via", "x-forwarded-for"} & {n for n, _ in received.headers}


def test_github_rest_gets_a_bearer_and_a_web_page_gets_nothing(setup: Setup) -> None:
    setup.connect("github")
    ran = setup.curl("--fail", "https://api.github.com/user", "--next", "--fail", "https://github.com/acme/widgets")
    assert ran.code == 0, ran
    rest, page = setup.received()
    assert (rest.host, rest.values("authorization")) == ("api.github.com", [f"Bearer {GITHUB_TOKEN}"])
    assert (page.host, page.values("authorization")) == ("github.com", [])
    assert not sings(repr(page).encode())


def test_a_placeholder_sent_to_a_web_page_is_refused(setup: Setup) -> None:
    setup.connect("github")
    header = f"Authorization: Bearer {HELD}"
    status, body = refusal(setup.curl(*STATUS, "--header", header, "https://github.com/acme/widgets"))
    assert (status, body["error"]) == (403, "placeholder_misplaced")
    assert setup.received() == []


@pytest.mark.parametrize(
    "sent",
    [
        [],
        ["x-api-key: authsome-proxy-managed"],
        ["X-Api-Key: sk-ant-wrong"],
        ["Authorization: Bearer sk-ant-wrong"],
        ["x-api-key: one", "x-api-key: two", "authorization: Bearer three"],
    ],
)
@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_anthropic_gets_the_right_key_whatever_the_agent_sends(setup: Setup, sent: Sequence[str], option: str) -> None:
    setup.connect("anthropic")
    headers = [text for header in sent for text in ("--header", header)]
    ran = setup.curl("--fail", option, *headers, "--data", "{}", ANTHROPIC)
    assert ran.code == 0, ran
    received = setup.only()
    assert received.values("x-api-key") == [ANTHROPIC_KEY]
    assert received.values("authorization") == []
    assert received.values("anthropic-version") == ["2023-06-01"]


def test_anthropics_version_stays_as_the_agent_chose_it(setup: Setup) -> None:
    setup.connect("anthropic")
    assert setup.curl("--fail", "--header", "anthropic-version: 2024-12-24", "--data", "{}", ANTHROPIC).code == 0
    assert setup.only().values("anthropic-version") == ["2024-12-24"]


def test_an_undeclared_host_is_tunnelled_with_its_own_certificate_and_without_a_secret(setup: Setup) -> None:
    setup.connect("openai")
    header = f"Authorization: Bearer {HELD}"
    shown = ("--write-out", r"\n%{certs}", "--header", header)
    undeclared = setup.curl("--fail", *shown, "https://undeclared.example/echo")
    declared = setup.curl("--fail", *shown, f"{OPENAI}/echo")
    assert (undeclared.code, declared.code) == (0, 0), (undeclared, declared)
    assert "trustme" in undeclared.out
    assert "authsome (this run only)" not in undeclared.out
    assert "authsome (this run only)" in declared.out
    assert "trustme" not in declared.out
    assert setup.received()[0].values("authorization") == [f"Bearer {HELD}"]


@pytest.mark.parametrize("userinfo", ["", "authsome:wrong@", "authsome:@", ":@"])
@pytest.mark.parametrize("url", [f"{OPENAI}/v1/models", "https://undeclared.example/echo", "http://other.example/echo"])
def test_the_proxy_serves_nobody_without_the_runs_password(setup: Setup, userinfo: str, url: str) -> None:
    setup.connect("openai")
    # With --proxy curl does not read the variable, so the password in it is not used.
    script = 'exec curl --disable --silent --max-time 30 --proxy "http://$0${HTTPS_PROXY#*@}" --write-out "$1" "$2"'
    codes = r"\n%{http_connect} %{http_code}\n"
    ran = setup.run("sh", "-c", script, userinfo, codes, url)
    assert "407" in ran.out.split()[-2:], ran
    assert setup.received() == []


@pytest.mark.parametrize(("host", "provider"), [(UNTRUSTED, "intercom"), (MISNAMED, "g2")])
@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_an_upstream_that_does_not_verify_gets_nothing(setup: Setup, host: str, provider: str, option: str) -> None:
    setup.connect(provider)
    status, body = refusal(setup.curl(*STATUS, option, "--data", "hello", f"https://{host}/me"))
    assert (status, body["error"]) == (502, "upstream_untrusted")
    assert host in body["reason"]
    assert setup.received() == []


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
@pytest.mark.parametrize("other", ["api.github.com", "undeclared.example", "api.openai.com:8443"])
def test_a_request_for_another_host_than_its_tunnel_is_refused(setup: Setup, option: str, other: str) -> None:
    setup.connect("openai", "github")
    status, body = refusal(setup.curl(*STATUS, option, "--header", f"Host: {other}", f"{OPENAI}/v1/models"))
    assert (status, body["error"]) == (421, "host_mismatch")
    assert setup.received() == []


def test_another_name_in_the_tls_hello_than_the_tunnels_is_refused(setup: Setup) -> None:
    setup.connect("openai", "github")
    answer = setup.agent("other_name").answer
    assert (answer["status"], answer["body"]["error"]) == ("421", "host_mismatch")
    assert setup.received() == []


def test_a_declared_host_is_not_reached_in_the_clear(setup: Setup) -> None:
    setup.connect("openai")
    status, body = refusal(setup.curl(*STATUS, "http://api.openai.com/v1/models"))
    assert (status, body["error"]) == (403, "not_encrypted")
    assert setup.received() == []


def test_a_declared_host_is_not_reached_in_the_clear_through_a_tunnel_either(setup: Setup) -> None:
    setup.connect("openai")
    status, body = refusal(setup.curl(*STATUS, "--proxytunnel", "http://api.openai.com:443/v1/models"))
    assert (status, body["error"]) == (403, "not_encrypted")
    assert setup.received() == []


def test_another_port_of_a_declared_host_gets_no_secret(setup: Setup) -> None:
    setup.connect("openai")
    ran = setup.curl(*STATUS, "--proxytunnel", "http://api.openai.com/v1/models")
    assert ran.out.endswith("401\n"), ran
    assert setup.only().values("authorization") == []


def test_an_undeclared_host_is_reached_in_the_clear_without_a_secret(setup: Setup) -> None:
    setup.connect("openai")
    assert setup.curl("--fail", "http://undeclared.example/echo").code == 0
    received = setup.only()
    assert (received.host, received.scheme) == ("undeclared.example", "http")
    assert not {"authorization", "proxy-authorization"} & {name for name, _ in received.headers}


@pytest.mark.parametrize("query", [f"key={HELD}", "key=authsome%2Dproxy%2Dmanaged", f"a=b&token={HELD}-team"])
def test_a_placeholder_in_the_query_is_refused(setup: Setup, query: str) -> None:
    setup.connect("openai")
    status, body = refusal(setup.curl(*STATUS, f"{OPENAI}/v1/models?{query}"))
    assert (status, body["error"]) == (403, "placeholder_misplaced")
    assert setup.received() == []


def test_closed_egress_refuses_undeclared_hosts_before_they_are_reached(setup: Setup) -> None:
    setup.connect("openai")
    setup.line.declare("version: 1\nproviders:\n  openai:\negress:\n  default: deny\n  allow: [other.example]\n")
    denied = setup.curl("--write-out", "%{http_connect}", "https://undeclared.example/echo")
    assert (denied.out, setup.received()) == ("403", [])
    assert setup.curl("--fail", "https://other.example/echo").code == 0
    assert setup.curl("--fail", f"{OPENAI}/v1/models").code == 0
    assert [each.host for each in setup.received()] == ["other.example", "api.openai.com"]
