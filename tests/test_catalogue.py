"""The contract of every bundled definition, held against expectations that were made from the vendors' own facts.

`catalogue_expected.json` says, for each provider: its hosts, its variables, a key that it may give out, what a client
sends, and what has to arrive, octet for octet; null where no secret may go along.
"""

import json
import re
import time
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from syrupy.assertion import SnapshotAssertion

import catalogue_page
from authsome import documents, pasted
from authsome.errors import AuthsomeError, Doubt
from authsome.manifest import undeclared
from authsome.provider import CATEGORIES, PLACEHOLDER, Catalogue, Definition, Host, Provider, bundled
from authsome.proxy.message import Asked, Fields
from authsome.proxy.relay import inject
from authsome.rules import Pass, Refusal, Request, make
from authsome.session import Session
from canary import GITHUB_TOKEN
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

EXPECTED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "catalogue_expected.json").read_text())
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
    assert list(provider.host_names) == expected["hosts"]
    assert dict(provider.env) == expected["env"]
    assert {each.name for each in provider.fields} == set(expected["key"])
    _takes_the_key(provider, expected["key"])
    for request in expected["requests"]:
        assert _arrives(provider, expected["key"] | request.get("with", {}), request) == request["arrives"]
    _may_be_tried(provider, expected["key"])


def _takes_the_key(provider: Provider, key: dict[str, str]) -> None:
    """A key of the vendor's is taken, and one with something before or after it is not."""
    for field in provider.fields:
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
    fields = Fields((name.encode(), value.encode()) for name, value in headers.items())
    asked = Asked(b"GET", target.encode(), (url.netloc.encode(),), fields, "1.1", bodiless=True)
    left = inject(asked, decision, Session({declared.key: key}))
    assert PLACEHOLDER not in f"{left.path!r}{left.fields.pairs!r}"
    pairs = [[name.decode(), value.decode()] for name, value in left.fields.pairs]
    return {"target": left.path.decode(), "headers": pairs}


def test_no_two_definitions_share_a_host_or_a_variable() -> None:
    hosts = [host for each in EXPECTED.values() for host in each["hosts"]]
    variables = [name for each in EXPECTED.values() for name in each["env"]]
    assert len(hosts) == len(set(hosts))
    assert len(variables) == len(set(variables))


def _look_alikes(host: str) -> list[str]:
    """Names and ports that a careless comparison takes for a host."""
    first, _, rest = host.partition(".")
    return [
        *(f"{host}.evil.example", f"evil-{host}", f"evil{host}", f"x.{host}", f"{host}.", f"{host}:8443", f"{host}:80"),
        *(f"www.{host}", rest, f"{first}-{rest}", f"{first}x.{rest}", host.replace(".", "-", 1), f"{host}x"),
        *(f"{host}@evil.example", f"evil.example/{host}", f"{host}%00.evil.example", f"{host}\\.evil.example"),
        *(host.replace(*each, 1) for each in (("a", "\u0430"), ("e", "\u0435"), ("o", "\u043e"), (".", "\u3002"))),
        *(f"{host}\u200b", f"\uff41{host[1:]}"),
    ]


def test_no_definition_sends_its_key_to_what_looks_like_its_host() -> None:
    everyone = {host for each in EXPECTED.values() for host in each["hosts"]}
    rules = make([undeclared(CATALOGUE.get(name)) for name in EXPECTED], lambda _: True)
    assert {str(host) for host in rules.hosts} == everyone
    for host in everyone:
        for near in {*_look_alikes(host)} - {host}:
            name, _, port = near.partition(":")
            assert near in everyone or Host(name, int(port or 443)) not in rules.hosts, near
            # Nor does a request for it get one, that comes on a connection to the host.
            said = Request(Host(host), host, (near,), "GET", "/api/x", ())
            assert isinstance(rules.decide(said), Refusal), near


def test_no_pattern_takes_long_for_a_hostile_text() -> None:
    many = 50_000
    for name, expected in EXPECTED.items():
        provider = CATALOGUE.get(name)
        for field in provider.fields:
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
        *("inject", "headers", "export", "keys_url", "docs", "test", "packages"),
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


def test_one_definition_is_read_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = documents.read_json

    def note(path: Path) -> documents.Document:
        read.append(path.stem)
        return real(path)

    monkeypatch.setattr(documents, "read_json", note)
    Catalogue(None).get("stripe")
    assert read == ["stripe"]


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
    assert rows["acme"] == {"display_name": "acme", "category": None, "source": "custom", "connected": False}
    assert rows["openai"] == {"display_name": "OpenAI", "category": "ai", "source": "bundled", "connected": False}
    assert "Left out: " in listed.err
    assert "broken.json:1: " in listed.err


def test_an_unknown_category_suggests_the_nearest(authsome: CommandLine) -> None:
    done = authsome("list", "--available", "--category", "bussines")
    said = "Error: there is no category `bussines`\nHint: did you mean `business`?\n"
    assert (done.code, done.out, done.err) == (2, "", said)
