"""Node and its packages, from npm where the machine has none that will do."""

import platform
import shutil
from pathlib import Path

import pytest

from node import Install, node_version, npm_install

ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


@pytest.fixture(scope="session")
def install(pytestconfig: pytest.Config) -> Install:
    """Return what installs one npm package into a folder that stays from run to run, and returns the folder."""

    def installed(package: str) -> Path:
        assert pytestconfig.cache is not None
        folder = Path(pytestconfig.cache.mkdir("authsome-node")) / package.replace("@", "-")
        done = folder / "installed"
        if not done.exists():
            npm_install(package, folder)
            done.touch()
        return folder

    return installed


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
