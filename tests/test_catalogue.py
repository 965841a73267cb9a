"""The contract of every bundled definition, held against expectations that were made from the vendors' own facts.

`catalogue_expected.json` says, for each provider: its hosts, its variables, a key that it may give out, what a client
sends, and what has to arrive, octet for octet; null where no secret may go along. `templates` are the hosts before
somebody has said whose they are, `settings` what a connection with that key knows, `response` what comes with a token,
`child` what stands in for a key whose form clients check. `catalogue_oauth.json` says where tokens come
from, with all that a service wants in its own way, and what arrives with a token of one that has keys, too.
"""

import json
import re
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from syrupy.assertion import SnapshotAssertion

import awssign
import catalogue_page
from authsome import documents, pasted
from authsome.errors import AuthsomeError, Doubt
from authsome.manifest import undeclared
from authsome.provider import (
    CATEGORIES,
    PLACEHOLDER,
    Catalogue,
    Definition,
    Host,
    OAuthDefinition,
    Provider,
    RevocationDefinition,
    Signing,
    bundled,
    covered,
    mentions,
)
from authsome.proxy import signing, sigv4
from authsome.proxy.message import Asked, Fields
from authsome.proxy.relay import inject
from authsome.rules import Pass, Refusal, Request, make
from authsome.session import Session
from canary import GITHUB_TOKEN
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

HERE = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = json.loads((HERE / "catalogue_expected.json").read_text())
TOKENS: dict[str, dict[str, Any]] = json.loads((HERE / "catalogue_oauth.json").read_text())
TOKEN = "CANARY-access_token/0+1=&2"
ACME = '{"name": "acme", "host_url": "api.acme.example", "api_key": {}}'
CATALOGUE = Catalogue(None)
DEFINITIONS = {
    name: documents.shape(Definition, documents.read_json(CATALOGUE.find(name)[1])) for name in CATALOGUE.names()
}


def test_every_definition_has_an_expectation() -> None:
    assert set(CATALOGUE.names()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_definition_keeps_its_contract(name: str) -> None:
    provider, expected = CATALOGUE.get(name), EXPECTED[name]
    assert list(provider.host_names) == expected.get("templates", expected["hosts"])
    assert dict(provider.env) == expected["env"]
    assert {each.name for each in provider.fields if each.asked} == set(expected["key"])
    _takes_the_key(provider, expected["key"])
    provider = _key(name)
    assert list(provider.host_names) == expected["hosts"]
    assert provider.settings == expected.get("settings", provider.settings)
    for request in expected["requests"]:
        assert _arrives(provider, expected["key"] | request.get("with", {}), request) == request["arrives"]
    for variable, held in expected.get("child", {}).items():
        assert provider.stand_in("default", provider.env[variable]) == held
    _may_be_tried(provider, {**expected["key"], **provider.settings})


def _key(name: str) -> Provider:
    """Return a provider with the hosts of the key that is expected to be taken."""
    provider = CATALOGUE.get(name)
    expected = EXPECTED[name]
    told = provider.derived(expected.get("response", {}), response=True)
    back = provider.derived(expected.get("redirect", {}), redirect=True)
    return provider.filled({**expected["key"], **provider.derived(expected["key"]), **told, **back})


def _takes_the_key(provider: Provider, key: dict[str, str]) -> None:
    """A key of the vendor's is taken, and one with something before or after it is not."""
    for field in provider.fields:
        if not field.asked:
            continue
        given = key[field.name]
        assert pasted.check(provider, given, field, others=CATALOGUE.usable) == given
        if field.pattern is None:
            continue
        assert field.hint, f"{field.name} has a pattern and no hint"
        assert re.fullmatch(r"\^.*\$", field.pattern.pattern)
        for padded in (f"<{given}", f"{given}>", f" {given}", f"{given} x", f"{given}\n", f"{given}\n{given}", ""):
            assert not field.pattern.fullmatch(padded), padded
            assert padded.endswith("\n") or not field.pattern.search(padded), padded


def _may_be_tried(provider: Provider, key: dict[str, str]) -> None:
    """The request that tries a key carries all of its secrets, and can come to no good with a bad one."""
    test = provider.test
    if test is None:
        return
    url = test.url
    for field in provider.fields:
        url = url.replace(f"{{{field.name}}}", PLACEHOLDER if field.secret else key[field.name])
    arrived = _arrives(provider, key, {"sends": url})
    assert arrived
    if "signed_for" in arrived:
        return
    said = [arrived["target"], *(value for _, value in arrived["headers"])]
    said += [b64decode(value.removeprefix("Basic ")).decode() for value in said if value.startswith("Basic ")]
    for field in provider.fields:
        spellings = (key[field.name], quote(key[field.name], safe=""), quote(key[field.name], safe=":"))
        assert not field.secret or any(spelling in text for text in said for spelling in spellings)
    assert 200 not in test.bad
    assert test.bad & {401, 403, 404}


def _arrives(provider: Provider, key: dict[str, str], request: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the proxy makes of a request, by the way that every request takes."""
    url = urlsplit(request["sends"])
    target = f"{url.path}?{url.query}" if url.query else url.path
    headers = request.get("headers", {})
    declared = undeclared(provider)
    sent = tuple((name.lower(), value) for name, value in headers.items())
    decision = make([declared], lambda _: True).decide(
        Request(Host.parse(url.netloc), url.netloc, (url.netloc,), "GET", target, sent)
    )
    assert not isinstance(decision, Refusal), decision
    if isinstance(decision, Pass):
        return None
    if decision.placements[0].sigv4:
        return _signed(decision.placements[0].sigv4, key, target, [("host", url.netloc), *sent])
    fields = Fields((name.encode(), value.encode()) for name, value in headers.items())
    asked = Asked(b"GET", target.encode(), (url.netloc.encode(),), fields, "1.1", bodiless=True)
    left = inject(asked, decision, Session({declared.key: {**key, **provider.settings}}))
    assert not mentions(f"{left.path!r}{left.fields.pairs!r}")
    pairs = [[name.decode(), value.decode()] for name, value in left.fields.pairs]
    return {"target": left.path.decode(), "headers": pairs}


def _signed(placed: Signing, key: dict[str, str], target: str, headers: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what the proxy makes of a request that is signed, which AWS would take."""
    now = datetime(2025, 6, 7, 8, 9, 10, tzinfo=UTC)
    claim = sigv4.read("GET", target, headers, headers[0][1], now, bodiless=True)
    made = sigv4.sign(claim, signing.keys(placed, key), "GET", target, headers, sigv4.EMPTY)
    left = [headers[0], *made.headers]
    access_key, secret, token = key["access_key_id"], key["secret_access_key"], key["session_token"]
    assert awssign.wrong("GET", made.target, left, b"", token, access_key=access_key, secret=secret) is None
    assert not mentions(f"{made.target}{left}")
    scope = dict(left)["authorization"].split("/")
    return {"target": made.target, "signed_for": "/".join(scope[2:4])}


SHARED = {("aws", "bedrock"), ("google", "youtube"), ("klaviyo", "klaviyo-oauth")}
"""A key and tokens for one API, or keys of two kinds; a manifest that declares both is refused."""


def test_no_two_definitions_share_a_host_or_a_variable() -> None:
    hosts: dict[str, list[str]] = {}
    for name, each in EXPECTED.items():
        for host in each["hosts"]:
            hosts.setdefault(host, []).append(name)
    assert {tuple(names) for names in hosts.values() if len(names) > 1} == SHARED
    variables = [name for other, each in EXPECTED.items() if other != "bedrock" for name in each["env"]]
    variables += [name for each in TOKENS.values() for name in each["client"] if name]
    assert len(variables) == len(set(variables))


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_come_from_where_the_service_says(name: str) -> None:
    asks, expected = DEFINITIONS[name].oauth, dict(TOKENS[name])
    tokens = CATALOGUE.get(name).oauth
    assert asks
    assert tokens
    assert [tokens.client.client_id_env, tokens.client.client_secret_env] == expected.pop("client")
    assert list(asks.flows) == expected.pop("flows")
    assert list(asks.auth_methods) == expected.pop("token_endpoint_auth_method")
    assert _said(asks.revocation) == expected.pop("revocation")
    del expected["requests"]
    plain = json.loads(json.dumps(asdict(asks)))
    assert {key: plain[key] for key in expected} == expected
    # What nothing is expected of is as it is where a definition says nothing.
    ours = {key for key in plain if plain[key] != json.loads(json.dumps(asdict(OAuthDefinition())))[key]}
    assert ours <= {*expected, "inject", "token_endpoint_auth_method", "revocation"}


def _said(form: RevocationDefinition | None) -> dict[str, Any] | None:
    return {key: value for key, value in asdict(form).items() if value} if form else None


def test_github_takes_each_kind_of_its_tokens_as_a_key() -> None:
    pattern = CATALOGUE.get("github").key.pattern
    assert pattern
    letters = "CANARY0123456789abcdefghijklmnopqrstuv"
    installation = f"ghs_1234567_eyJhbGciOiJSUzI1NiJ9.{letters * 12}.{letters}-_{letters}"
    for good in (f"ghp_{letters}", f"gho_{letters}", f"ghs_{letters}", f"github_pat_{letters}", installation):
        assert pattern.fullmatch(good), good
    for bad in ("ghs_", f"ghp_{letters}.x", f"ghs {letters}", f"x{installation}", f"{installation} "):
        assert not pattern.fullmatch(bad), bad


def test_every_definition_with_oauth_has_an_expectation() -> None:
    assert {name for name, each in DEFINITIONS.items() if each.oauth} == set(TOKENS)


@pytest.mark.parametrize("name", [name for name, each in TOKENS.items() if each["requests"]])
def test_a_token_goes_where_the_service_takes_it(name: str) -> None:
    provider = CATALOGUE.get(name)
    tokens = provider.oauth
    assert tokens
    assert tokens.fields[0].env == provider.key.env or name == "x"
    settings = {each.name for each in tokens.fields if not each.secret}
    held = {key: value for key, value in _key(name).settings.items() if key in settings}
    with_token = replace(provider, fields=tokens.fields, placements=tokens.placements).filled(held)
    for request in TOKENS[name]["requests"]:
        assert _arrives(with_token, {"access_token": TOKEN}, request) == request["arrives"]


def _look_alikes(host: str) -> list[str]:
    """Names and ports that a careless comparison takes for a host."""
    first, _, rest = host.partition(".")
    return [
        *(f"{host}.evil.example", f"evil-{host}", f"evil{host}", f"x.{host}", f"{host}.", f"{host}:8443", f"{host}:80"),
        *(f"www.{host}", rest, f"{first}-{rest}", f"{first}x{rest}", host.replace(".", "-", 1), f"{host}x"),
        *(host.replace(".", "x"), host[:-1], host[1:], f".{host}", f"{host}..", f"*.{host}", f"{host}:443:443"),
        *(f"{host}@evil.example", f"evil.example@{host}", f"u:p@{host}", f"{host}:443@evil.example", f"[{host}]"),
        *(f"evil.example/{host}", f"evil.example#{host}", f"evil.example?{host}", f"{host}/", f"{host}#x", f"{host}?x"),
        *(f"{host}%00.evil.example", f"{host}\0", f"{host}\\.evil.example", f"{host} ", f" {host}", f"{host}\t"),
        *(host.replace(*each, 1) for each in (("a", "\u0430"), ("e", "\u0435"), ("o", "\u043e"), (".", "\u3002"))),
        *(host.replace(*each, 1) for each in (("l", "1"), ("o", "0"), ("i", "l"), ("i", "\u0131"), ("k", "\u212a"))),
        *(f"{host}\u200b", f"\uff41{host[1:]}", f"xn--{host}", f"xn--{first}-abc.{rest}", f"{host}\u3002evil.example"),
    ]


def _below(near: str, hosts: Iterable[Host]) -> bool:
    """Whether it is one of the hosts that a definition means by a wildcard."""
    with suppress(ValueError):
        return covered(Host.parse(near), tuple(host for host in hosts if host.is_wild))
    return False


@pytest.mark.parametrize("name", EXPECTED)
def test_no_definition_sends_its_key_to_what_looks_like_its_host(name: str) -> None:
    hosts = EXPECTED[name]["hosts"]
    rules = make([undeclared(_key(name))], lambda _: True)
    assert [str(host) for host in sorted(rules.hosts)] == sorted(hosts)
    for host in (each for each in hosts if not Host.declared(each).is_wild):
        asked = Host.parse(host)
        for near in {each for each in _look_alikes(host) if not _below(each, rules.hosts)} - set(hosts):
            ported = re.fullmatch(r"([^:]+):([0-9]+)", near)
            assert not rules.decrypts(Host(ported[1], int(ported[2])) if ported else Host(near)), near
            with suppress(ValueError):
                assert not rules.decrypts(Host.parse(near)) or Host.parse(near) == asked, near
            # Nor does a request for it get one, that comes on a connection to the host, or names the host on one to it.
            for sni, authority in ((host, near), (near, host)):
                lied = Request(asked, sni, (authority,), "GET", "/api/x", ())
                assert isinstance(rules.decide(lied), Refusal), near
        # Names know no case; it is the same host.
        assert Host.parse(host.upper()) == asked
        same = Request(asked, host.upper(), (host.upper(),), "GET", "/api/x", ())
        assert not isinstance(rules.decide(same), Refusal)


def test_no_pattern_takes_long_for_a_hostile_text() -> None:
    many = 50_000
    for name, expected in EXPECTED.items():
        provider = CATALOGUE.get(name)
        for field in (each for each in provider.fields if each.asked):
            key: str = expected["key"][field.name]
            texts = [char * many for char in "a0A-_.=/"] + [
                key + key[-1] * many + "\0",
                key * (many // len(key)) + "\0",
            ]
            patterns = [field.pattern, *(place.when[1] for place in provider.placements if place.when)]
            started = time.process_time()
            for pattern in filter(None, patterns):
                for text in texts:
                    pattern.fullmatch(text)
            assert time.process_time() - started < 1, name


@pytest.mark.parametrize(
    "key", ["0123456789abcdef" * 2, "0000abcd" * 4, "CANARY0123456789CANARY0123456789CANARY01", "eyJCANARY.eyJCAN.ARY"]
)
@pytest.mark.parametrize("name", ["mistral", "calendly", "g2"])
def test_what_only_has_the_right_length_looks_like_nobodys_key(name: str, key: str) -> None:
    assert pasted.check(CATALOGUE.get(name), key, others=CATALOGUE.usable) == key


def test_a_key_that_several_services_could_have_given_out_names_them_all() -> None:
    with pytest.raises(Doubt) as caught:
        pasted.check(CATALOGUE.get("g2"), "sk-CANARY0123456789CANARY", others=CATALOGUE.usable)
    said = "it looks like a key of DeepSeek, Moonshot AI (Kimi), OpenAI or Stability AI, which goes elsewhere"
    assert caught.value.hint == said


def test_every_definition_is_written_in_one_form() -> None:
    order = [
        *("schema_version", "name", "display_name", "category", "auth_type", "flow", "host_url", "api_key", "fields"),
        *("inject", "headers", "oauth", "client", "export", "keys_url", "docs", "test", "packages"),
    ]
    for name, definition in DEFINITIONS.items():
        text = (bundled("providers") / f"{name}.json").read_text()
        keys = list(json.loads(text))
        assert keys == [key for key in order if key in keys], name
        assert text.endswith("}\n")
        assert max(map(len, text.splitlines())) <= 160, name
        assert definition.category in CATEGORIES
        assert definition.display_name
        for link in (definition.docs, definition.keys_url):
            assert link is None or re.fullmatch(r"https://[!-~]+", link), name
            assert not re.search("[{}]", link or ""), name


def test_the_page_of_providers_is_made_from_the_definitions() -> None:
    page = catalogue_page.PAGE.read_text()
    assert page == catalogue_page.made(page), "write it anew with: uv run python tests/catalogue_page.py"


@pytest.mark.parametrize("words", ["inspect stripe", "get stripe --field status", "why https://api.stripe.com/v1/x"])
def test_a_command_about_one_provider_opens_no_definition_of_another(authsome: CommandLine, words: str) -> None:
    given = "sk_test_CANARY0123456789abcdefghij"
    assert authsome("login", "stripe", "--stdin", "--no-check", given=given).code == 0
    script = (
        "import sys\n"
        "opened = []\n"
        "def note(event, found):\n"
        "    if event == 'open' and '/providers/' in str(found[0]): opened.append(str(found[0]).rpartition('/')[2])\n"
        "sys.addaudithook(note)\n"
        "sys.argv = ['authsome', *sys.argv[1:]]\n"
        "from authsome.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "assert set(opened) == {'stripe.json'}, opened\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()],
        env=authsome.environ(),
        cwd=authsome.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_definition_of_a_category_nobody_knows_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "acme.json"
    path.write_text('{"name": "acme", "host_url": "a.example", "api_key": {}, "category": "cats"}')
    with pytest.raises(AuthsomeError, match="category"):
        documents.shape(Definition, documents.read_json(path))


def test_the_catalogue_is_listed_with_what_is_connected(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "acme.json").write_text(ACME)
    (authsome.home / "providers" / "broken.json").write_text("{")
    assert authsome("login", "github", "--stdin", given=GITHUB_TOKEN).code == 0
    done = authsome("list", "--category", "dev")
    assert done.code == 0
    assert done.out == snapshot
    listed = authsome("list", "--available", "--json")
    answer = json.loads(listed.out)
    assert (listed.code, answer["schema_version"], answer["kind"]) == (0, 1, "available")
    rows = {row.pop("provider"): row for row in answer["providers"]}
    assert set(rows) == {*EXPECTED, "acme"}
    assert [name for name, row in rows.items() if row["connected"]] == ["github"]
    kept = {"auth_type": "api_key", "connected": False}
    assert rows["acme"] == {"display_name": "acme", "category": None, "source": "custom", **kept}
    assert rows["openai"] == {"display_name": "OpenAI", "category": "ai", "source": "bundled", **kept}
    assert {name for name, row in rows.items() if row["auth_type"] == "oauth2"} == {
        name for name, each in EXPECTED.items() if "access_token" in each["key"]
    }
    assert "Left out: " in listed.err
    assert "broken.json:1: " in listed.err


def test_an_unknown_category_suggests_the_nearest(authsome: CommandLine) -> None:
    done = authsome("list", "--available", "--category", "bussines")
    said = "Error: there is no category `bussines`\nHint: did you mean `business`?\n"
    assert (done.code, done.out, done.err) == (2, "", said)
