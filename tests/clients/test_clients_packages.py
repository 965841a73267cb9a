"""Installers against a private index whose address holds the placeholder, as people write it down."""

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest

from origin import INDEX_AUTHORIZATION
from packages import IMAGE, NAME
from world import Ran, Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

INDEX = "https://user:authsome-proxy-managed@packages.example/simple/"
NPMRC = """\
registry=https://packages.example/npm/
//packages.example/npm/:username=user
//packages.example/npm/:_password={}
""".format(b64encode(b"authsome-proxy-managed").decode())
NOBODYS = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "UV_NO_CONFIG": "1", "UV_NO_CACHE": "1"}


def _authorized(setup: Setup, ran: Ran) -> None:
    assert ran.code == 0, ran
    assert {tuple(each.values("authorization")) for each in setup.received()} == {(INDEX_AUTHORIZATION,)}


def _run(setup: Setup, program: str, *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
    if not shutil.which(program):
        pytest.skip(f"there is no {program} on this machine")
    setup.connect("acme")
    return setup.run(program, *arguments, env=env)


@pytest.mark.parametrize("program", ["pip", "uv"])
def test_pythons_installers_install_from_an_index_they_have_no_password_for(setup: Setup, program: str) -> None:
    target = setup.line.project / "installed"
    options = ("install", "--quiet", "--target", str(target), "--index-url", INDEX, NAME)
    mine = ("pip", *options, "--python", sys.executable) if program == "uv" else (*options, "--no-input")
    ran = _run(setup, program, *mine, env=NOBODYS)
    _authorized(setup, ran)
    assert (target / "acme_widgets.py").is_file()


def test_npm_installs_from_a_registry_it_has_no_password_for(setup: Setup) -> None:
    (setup.line.project / ".npmrc").write_text(NPMRC)
    options = ("--no-audit", "--no-fund", "--no-update-notifier", "--cache", str(setup.temporary / "npm"))
    # A `cafile` in this machine's own settings would stand above what every Node reads.
    ran = _run(setup, "npm", "install", *options, NAME, env={"npm_config_globalconfig": os.devnull})
    _authorized(setup, ran)
    assert (setup.line.project / "node_modules" / NAME / "package.json").is_file()


def test_npm_uses_our_proxy_and_roots_where_its_own_variables_name_others(setup: Setup) -> None:
    (setup.line.project / ".npmrc").write_text(NPMRC)
    options = ("--no-update-notifier", "--cache", str(setup.temporary / "npm"))
    # Nobody listens there, and nobody is trusted by that.
    mine = {"npm_config_https_proxy": "http://127.0.0.1:9", "npm_config_cafile": os.devnull}
    ran = _run(setup, "npm", "view", *options, "--json", NAME, env=mine)
    _authorized(setup, ran)
    assert json.loads(ran.out)["version"] == "1.0.0"


def _reads_sparse_index() -> bool:
    """Whether there is a cargo from 1.68 on, with which such an index needs no git."""
    if not shutil.which("cargo"):
        return False
    shown = subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    version = re.match(r"cargo (\d+)\.(\d+)", shown)
    return version is not None and (int(version[1]), int(version[2])) >= (1, 68)


def test_cargo_searches_a_registry_it_has_no_password_for(setup: Setup) -> None:
    if not _reads_sparse_index():
        pytest.skip("there is no cargo from 1.68 on on this machine")
    homes = {"RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))}
    ran = _run(setup, "cargo", "search", "--index", "sparse+https://packages.example/cargo/", NAME, env=homes)
    _authorized(setup, ran)
    assert [each.path.partition("?")[0] for each in setup.received()] == ["/cargo/config.json", "/cargo/api/v1/crates"]


def test_curl_as_a_client_of_basic_authentication_sends_the_real_password(setup: Setup) -> None:
    setup.connect("acme")
    url = f"https://packages.example/npm/{NAME}"
    _authorized(setup, setup.curl("--fail", "--user", "user:authsome-proxy-managed", url))


def test_a_container_client_pulls_an_image_from_a_registry_it_has_no_password_for(setup: Setup) -> None:
    """As docker, podman and buildah keep it: name and password of a registry in one Base64 word."""
    word = b64encode(b"user:authsome-proxy-managed").decode()
    kept = setup.line.project / "auth.json"
    kept.write_text(json.dumps({"auths": {"packages.example": {"auth": word}}}))
    pulled = setup.line.project / "image"
    source = f"docker://packages.example/{IMAGE}:latest"
    ran = _run(setup, "skopeo", "--insecure-policy", "copy", "--authfile", str(kept), source, f"dir:{pulled}")
    _authorized(setup, ran)
    layers = json.loads((pulled / "manifest.json").read_text())["layers"]
    assert (pulled / layers[0]["digest"].partition(":")[2]).stat().st_size == layers[0]["size"]
