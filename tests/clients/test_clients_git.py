"""git over https, without a credential in any configuration."""

import os
import subprocess

import pytest

from canary import GITHUB_TOKEN, sings
from origin import GIT_AUTHORIZATION, REPOSITORY, git_environment
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

PLAIN = f"https://github.com{REPOSITORY}"
WITH_PLACEHOLDER = f"https://x-access-token:authsome-proxy-managed@github.com{REPOSITORY}"
PUSH = """
set -e
git clone --quiet "$0" widgets
cd widgets
git checkout --quiet -b "$1"
cp ../large large
git add large
git commit --quiet --message=large
git push --quiet origin "$1"
git rev-parse HEAD
"""


@pytest.mark.parametrize("url", [PLAIN, WITH_PLACEHOLDER])
def test_git_lists_a_repository_it_has_no_credential_for(setup: Setup, url: str) -> None:
    setup.connect("github")
    ran = setup.run("git", "ls-remote", url)
    assert ran.code == 0, ran
    assert "refs/heads/main" in ran.out
    assert {value for each in setup.received() for value in each.values("authorization")} == {GIT_AUTHORIZATION}


@pytest.mark.parametrize(("url", "branch"), [(PLAIN, "plain"), (WITH_PLACEHOLDER, "placeholder")])
def test_git_clones_and_pushes(setup: Setup, url: str, branch: str) -> None:
    """A push above git's buffer of 1 MiB is chunked: git itself does not know how long it is going to be."""
    setup.connect("github")
    (setup.line.project / "large").write_bytes(os.urandom(3 << 20))
    names = git_environment(setup.line.root)
    ran = setup.run("sh", "-c", PUSH, url, branch, env=names)
    assert ran.code == 0, ran
    bare = setup.world.folder / "repositories" / REPOSITORY.lstrip("/")
    show = ["git", "-C", str(bare), "rev-parse", branch]
    arrived = subprocess.run(show, env=names, check=True, capture_output=True, text=True)
    assert arrived.stdout.strip() == ran.out.strip()
    pushes = [each for each in setup.received() if each.path.endswith("/git-receive-pack")]
    assert max(each.body or 0 for each in pushes) > 3 << 20


def test_what_git_writes_down_holds_no_token(setup: Setup) -> None:
    setup.connect("github")
    assert setup.run("git", "clone", "--quiet", WITH_PLACEHOLDER, "widgets").code == 0
    written = (setup.line.project / "widgets" / ".git" / "config").read_bytes()
    assert GITHUB_TOKEN.encode() not in written
    assert not sings(written)


def test_git_without_a_connection_is_refused_and_does_not_ask(setup: Setup) -> None:
    setup.connect("openai")
    ran = setup.run("git", "ls-remote", PLAIN)
    assert ran.code == 128, ran
    assert {value for each in setup.received() for value in each.values("authorization")} == set()
