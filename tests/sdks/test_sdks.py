"""The vendors' own SDKs as the child of a run: what they ask for arrives with the key that they do not have.

Each is what its registry has, pinned by the lock beside this file, and finds its vendor by its own name; it is told
nothing that a run does not tell it, except where its script says so. Where the key belongs is written from the vendors'
facts, and not from the definitions.
"""

import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import vendors
from replies import REPLIES, SPOKEN, WIDGET
from vendors import Arrived, Vendors

from canary import sings
from conftest import EXECUTABLE, CommandLine
from forked import Server
from node import npm_ci

pytest_plugins = ["forked_fixtures", "node_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
AGENTS = HERE / "agents"
PATIENCE = 240
"""Seconds for a run of all scripts."""
PLACEHOLDER = b"authsome-proxy-managed"
_QDRANT, _WEAVIATE = "acme.eu-central-1-0.aws.cloud.qdrant.io", "acme.c0.europe-west3.gcp.weaviate.cloud"
_EXAMPLES = json.loads((HERE.parent / "catalogue_expected.json").read_text())
KEYS: Mapping[str, Mapping[str, str]] = {
    **{name: each["key"] for name, each in _EXAMPLES.items()},
    "datadog": {"api_key": "a18f6d4b2907e5c3a18f6d4b2907e5c3", "app_key": "CANARY-app_key/0+1=&2"},
    "mailchimp": {"api_key": "a18f6d4b2907e5c3a18f6d4b2907e5c3-us21"},
    "algolia": {"app_id": "W1DGET5APP", "api_key": "CANARY0123456789CANARY0123456789"},
    "qdrant": {"cluster_host": _QDRANT, "api_key": "CANARY-api_key/0+1=&2"},
    "weaviate": {"cluster_host": _WEAVIATE, "api_key": "CANARY-api_key/0+1=&2"},
}
"""Fields of a connection by provider, as its vendor writes them."""
BEARER = {"authorization": "Bearer {api_key}"}


@dataclass(frozen=True)
class Sdk:
    """What a script asks its vendor for, in order, what it tells in the end, and where the key stands in requests."""

    asks: tuple[str, ...]
    told: Mapping[str, Any]
    carries: Mapping[str, str] = field(default_factory=BEARER.copy)

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(_host(ask.partition(" ")[2]) for ask in self.asks)


def _host(url: str) -> str:
    return urlsplit(url).netloc


_GEMINI = "https://generativelanguage.googleapis.com/v1/models/gemini-2.5-flash"
_ACCOUNT = f"https://api.twilio.com/2010-04-01/Accounts/{KEYS['twilio']['account_sid']}"
_AUDIO = {"spoken": sha256(SPOKEN).hexdigest(), "reply": sha256(bytes(range(256)) * 64).hexdigest()}
_ALGOLIA = "https://w1dget5app"
_SAID = {"answer": "I am canned.", "chunks": ["one", "two"]}
SDKS: Mapping[str, Sdk] = {
    "openai": Sdk(
        (
            "GET https://api.openai.com/v1/models",
            "POST https://api.openai.com/v1/responses",
            "POST https://api.openai.com/v1/chat/completions",
        ),
        {"models": ["canned-1"], **_SAID},
    ),
    "anthropic": Sdk(
        ("POST https://api.anthropic.com/v1/messages",) * 2, {"tokens": 2, **_SAID}, {"x-api-key": "{api_key}"}
    ),
    "google-gemini": Sdk(
        (f"POST {_GEMINI}:generateContent", f"POST {_GEMINI}:streamGenerateContent"),
        _SAID,
        {"x-goog-api-key": "{api_key}"},
    ),
    "mistral": Sdk(("POST https://api.mistral.ai/v1/chat/completions",) * 2, _SAID),
    "cohere": Sdk(("POST https://api.cohere.com/v2/chat",) * 2, _SAID),
    "groq": Sdk(("POST https://api.groq.com/openai/v1/chat/completions",) * 2, _SAID),
    "stripe": Sdk(
        ("GET https://api.stripe.com/v1/customers", "POST https://files.stripe.com/v1/files"),
        {"customers": ["a@acme.example"], "file": "file_1"},
    ),
    "twilio": Sdk(
        (f"POST {_ACCOUNT}/Messages.json", f"GET https://verify.twilio.com/v2/Services/VA{'0' * 32}"),
        {"message": "SM1", "status": "queued", "service": "Widgets"},
        {"authorization": "Basic {account_sid}:{api_key}"},
    ),
    "sendgrid": Sdk(
        ("POST https://api.sendgrid.com/v3/mail/send", "GET https://api.sendgrid.com/v3/scopes"),
        {"status": 202, "id": "m1", "scopes": ["mail.send"]},
    ),
    "slack": Sdk(
        (
            "POST https://slack.com/api/auth.test",
            "POST https://slack.com/api/chat.postMessage",
            "POST https://slack.com/api/files.getUploadURLExternal",
            "POST https://files.slack.com/upload/v1/ticket",
            "POST https://slack.com/api/files.completeUploadExternal",
        ),
        {"team": "Acme", "posted": "1.2", "file": "F1"},
    ),
    "notion": Sdk(
        ("GET https://api.notion.com/v1/users/me", "POST https://api.notion.com/v1/search"),
        {"me": "Acme", "found": "p1"},
    ),
    "github": Sdk(
        (
            "GET https://api.github.com/repos/acme/widgets",
            "POST https://api.github.com/repos/acme/widgets/issues",
            "GET https://api.github.com/user",
        ),
        {"login": "acme", "repository": "acme/widgets", "issue": 7},
    ),
    "datadog": Sdk(
        ("GET https://api.datadoghq.com/api/v1/validate", "GET https://api.datadoghq.com/api/v1/monitor"),
        {"valid": True, "monitors": ["up"]},
        {"dd-api-key": "{api_key}", "dd-application-key": "{app_key}"},
    ),
    "deepgram": Sdk(
        (
            "GET https://api.deepgram.com/v1/projects",
            "GET wss://api.deepgram.com/v1/listen",
            "GET wss://api.deepgram.com/v1/speak",
            "GET wss://agent.deepgram.com/v1/agent/converse",
        ),
        {"projects": ["Acme"], "transcript": "16384 octets", "welcome": "Welcome", **_AUDIO},
        {"authorization": "Token {api_key}"},
    ),
    "mailchimp": Sdk(
        ("GET https://us21.api.mailchimp.com/3.0/ping", "GET https://us21.api.mailchimp.com/3.0/lists"),
        {"health": "Everything's Chimpy!", "lists": 3},
        {"authorization": "Basic anystring:{api_key}"},
    ),
    "algolia": Sdk(
        (
            f"POST {_ALGOLIA}.algolia.net/1/indexes/widgets",
            f"GET {_ALGOLIA}-dsn.algolia.net/1/indexes",
            f"POST {_ALGOLIA}-dsn.algolia.net/1/indexes/widgets/query",
        ),
        {"saved": 5, "indices": ["widgets"], "found": "1"},
        {"x-algolia-application-id": "{app_id}", "x-algolia-api-key": "{api_key}"},
    ),
    "qdrant": Sdk(
        (
            f"GET https://{_QDRANT}:6333/collections",
            f"POST https://{_QDRANT}:6334/qdrant.Collections/List",
        ),
        {"rest": ["widgets"], "grpc": ["widgets"]},
        {"api-key": "{api_key}"},
    ),
    "weaviate": Sdk(
        (
            f"GET https://{_WEAVIATE}/v1/meta",
            f"POST https://grpc-{_WEAVIATE}/grpc.health.v1.Health/Check",
            f"GET https://{_WEAVIATE}/v1/meta",
            f"POST https://grpc-{_WEAVIATE}/weaviate.v1.Weaviate/Search",
        ),
        {"version": "1.32.0", "found": [str(WIDGET)]},
    ),
}
ON_PYTHON = tuple(SDKS)
ON_NODE = ("openai", "anthropic", "stripe", "github", "slack", "notion")
SECRETS = [KEYS[name][key] for name in SDKS for key in KEYS[name] if key.endswith("_key")]


@dataclass(frozen=True)
class Played:
    """What a run of several SDKs left: how each script ended, and what arrived."""

    ended: Mapping[str, Mapping[str, Any]]
    arrived: Sequence[Arrived]

    def worked(self, name: str) -> None:
        """See that a script got through, and each of its requests had the key where it belongs and nowhere else."""
        ended, sdk = self.ended[name], SDKS[name]
        assert ended["code"] == 0, ended
        assert json.loads(ended["out"]) == sdk.told
        arrived = [each for each in self.arrived if _host(each.url) in sdk.hosts]
        assert [each.line for each in arrived] == list(sdk.asks)
        for each in arrived:
            assert each.target.removesuffix(":443") == _host(each.url)
            assert {head: each.values(head) for head in sdk.carries} == _carried(sdk, KEYS[name])
            _has_no_key(each.but(*sdk.carries))
            assert PLACEHOLDER not in each.but()


def _carried(sdk: Sdk, key: Mapping[str, str]) -> dict[str, list[str]]:
    filled = {head: value.format_map(key) for head, value in sdk.carries.items()}
    word, _, rest = filled.get("authorization", "").partition(" ")
    if word == "Basic":
        filled["authorization"] = f"Basic {b64encode(rest.encode()).decode()}"
    return {head: [value] for head, value in filled.items()}


def _has_no_key(octets: bytes) -> None:
    assert not sings(octets), octets
    assert not [key for key in SECRETS if key.encode() in octets], octets


@dataclass(frozen=True)
class User:
    """Somebody with all keys, and a project that declares them all."""

    line: CommandLine
    vendors: Vendors

    def plays(self, program: str, names: Sequence[str], ending: str) -> Played:
        """Run the scripts of these names, all of them in one run."""
        self.vendors.arrived.clear()
        scripts = [str(AGENTS / f"ask_{name.replace('-', '_')}{ending}") for name in names]
        done = subprocess.run(
            [EXECUTABLE, "run", "--", sys.executable, str(AGENTS / "all.py"), program, *scripts],
            cwd=self.line.project,
            env=self.line.environ() | self.vendors.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=PATIENCE,
            check=False,
        )
        _has_no_key(done.stdout + done.stderr)
        assert done.returncode == 0, done
        ended = [json.loads(line) for line in done.stdout.splitlines()]
        return Played(dict(zip(names, ended, strict=True)), tuple(self.vendors.arrived))


@dataclass
class Quick(CommandLine):
    """A command line whose commands fork; the run itself is a process of its own."""

    server: Server = field(kw_only=True)

    def start(self, *arguments: str, given: str | None = "") -> "subprocess.CompletedProcess[bytes]":
        return self.server.ask(arguments, given or "", self.environ(), self.project, self.root / ".said")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, forking: Server) -> Iterator[User]:
    line = Quick(tmp_path_factory.mktemp("sdks"), server=forking)
    line.project.mkdir()
    for name in ON_PYTHON:
        key = KEYS[name]
        line.login(name, key["api_key"] if len(key) == 1 else json.dumps(key))
    line.declare("\n".join(["version: 1", "providers:", *(f"  {name}:" for name in ON_PYTHON), ""]))
    # What a vendor got is full of keys, and the search for canaries knows this name.
    folder = line.root / "outside"
    folder.mkdir()
    with vendors.standing(folder, REPLIES) as made:
        yield User(line, made)


@pytest.fixture(scope="module")
def on_python(user: User) -> Played:
    if not shutil.which("uv"):
        pytest.skip("there is no uv on this machine")
    command = ["uv", "sync", "--quiet", "--locked", "--project", str(HERE), "--python", sys.executable]
    own = os.environ | {"UV_PROJECT_ENVIRONMENT": str(HERE / ".venv")}
    try:
        subprocess.run(command, env=own, check=True, capture_output=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("uv cannot install the SDKs here")
    return user.plays(str(HERE / ".venv" / "bin" / "python"), ON_PYTHON, ".py")


@pytest.fixture(scope="module")
def on_node(user: User, modern_node: str) -> Played:
    npm_ci(HERE)
    return user.plays(modern_node, ON_NODE, ".mjs")


@pytest.mark.parametrize("name", ON_PYTHON)
def test_an_sdk_for_python_uses_a_key_it_does_not_hold(on_python: Played, name: str) -> None:
    on_python.worked(name)


@pytest.mark.parametrize("name", ON_NODE)
def test_an_sdk_for_node_uses_a_key_it_does_not_hold(on_node: Played, name: str) -> None:
    on_node.worked(name)


def test_what_sdks_send_to_others_has_neither_key_nor_placeholder(on_python: Played) -> None:
    """One of them asks its registry whether there is a newer one."""
    theirs = {host for sdk in SDKS.values() for host in sdk.hosts}
    for each in on_python.arrived:
        if _host(each.url) not in theirs:
            _has_no_key(each.but())
            assert PLACEHOLDER not in each.but()
