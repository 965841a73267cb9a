"""Node and its packages, from npm where the machine has none that will do."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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


def node_version(node: str) -> tuple[int, ...]:
    shown = subprocess.run([node, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    return tuple(int(part) for part in shown.strip().lstrip("v").split(".")[:2])


def _reads_proxy(node: str) -> bool:
    version = node_version(node)
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
