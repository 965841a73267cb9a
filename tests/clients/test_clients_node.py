"""Node's own fetch, which finds the proxy by the environment, and undici for a Node too old for that."""

import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from canary import OPENAI_KEY
from world import AGENTS, Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

MODELS = "https://api.openai.com/v1/models"
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}

type Install = Callable[[str], Path]


@pytest.fixture(scope="session")
def install(pytestconfig: pytest.Config) -> Install:
    """Return what installs one npm package into a folder that stays from run to run, and returns the folder."""

    def installed(package: str) -> Path:
        assert pytestconfig.cache is not None
        folder = Path(pytestconfig.cache.mkdir("authsome-node")) / package.replace("@", "-")
        done = folder / "installed"
        if not done.exists():
            _npm_install(package, folder)
            done.touch()
        return folder

    return installed


def _npm_install(package: str, folder: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("there is no npm on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", package]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=90, cwd=folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot install {package} here")


def _version(node: str) -> tuple[int, ...]:
    shown = subprocess.run([node, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    return tuple(int(part) for part in shown.strip().lstrip("v").split(".")[:2])


def _reads_proxy(node: str) -> bool:
    version = _version(node)
    return version >= (24, 0) or (22, 21) <= version < (23, 0)


@pytest.fixture(scope="session")
def modern_node(install: Install) -> str:
    """Return a Node whose fetch reads HTTPS_PROXY: the machine's, or one from npm."""
    found = shutil.which("node")
    if found and _reads_proxy(found):
        return found
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        pytest.skip(f"npm has no Node for {platform.machine()}")
    name = f"node-linux-{architecture}"
    return str(install(f"{name}@24") / "node_modules" / name / "bin" / "node")


@pytest.fixture(scope="session")
def node_with_undici(install: Install) -> tuple[str, Path]:
    """Return the machine's Node and the folder of modules in which it finds undici."""
    found = shutil.which("node")
    if not found or _version(found) < (18, 17):
        pytest.skip("there is no Node on this machine that undici runs on")
    return found, install("undici@6") / "node_modules"


def test_the_fetch_built_into_node_uses_a_key_it_does_not_hold(setup: Setup, modern_node: str) -> None:
    setup.connect("openai")
    ran = setup.run(modern_node, str(AGENTS / "fetch.mjs"), MODELS)
    assert ran.code == 0, ran
    answer = json.loads(ran.out)
    assert (answer["status"], answer["body"]["data"][0]["id"]) == (200, "canned-1")
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY}"]


def test_the_fetch_built_into_node_reaches_undeclared_hosts_with_their_own_certificate(
    setup: Setup, modern_node: str
) -> None:
    setup.connect("openai")
    # Node trusts no file but this one beside its own roots, in a run as without it.
    trust = {"NODE_EXTRA_CA_CERTS": str(setup.world.roots)}
    ran = setup.run(modern_node, str(AGENTS / "fetch.mjs"), "https://undeclared.example/echo", env=trust)
    assert ran.code == 0, ran
    assert setup.only().values("authorization") == ["Bearer authsome-proxy-managed"]


def test_undici_of_an_older_node_uses_a_key_it_does_not_hold(setup: Setup, node_with_undici: tuple[str, Path]) -> None:
    setup.connect("openai")
    node, modules = node_with_undici
    ran = setup.run(node, str(AGENTS / "undici_fetch.cjs"), MODELS, env={"NODE_PATH": str(modules)})
    assert ran.code == 0, ran
    assert json.loads(ran.out)["status"] == 200
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY}"]
