"""A user who has to go through a proxy of their own still does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from canary import OPENAI_KEY
from world import AGENTS, Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

USERINFO = "user:pw-CANARY"
MODELS = "https://api.openai.com/v1/models"
UNDECLARED = "https://undeclared.example/echo"


@dataclass(frozen=True)
class Company:
    """A proxy that was started, and what it was asked for."""

    port: int
    log: Path

    def environ(self, userinfo: str = USERINFO, no_proxy: str = "") -> dict[str, str]:
        return {"HTTPS_PROXY": f"http://{userinfo}@127.0.0.1:{self.port}", "NO_PROXY": no_proxy}

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextmanager
def _company(setup: Setup, folder: Path) -> Iterator[Company]:
    folder.mkdir()
    log = folder / "asked"
    log.touch()
    program = (sys.executable, str(AGENTS / "parent_proxy.py"), USERINFO, str(log))
    with subprocess.Popen(
        setup.world.command(folder, *program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        try:
            yield Company(int(started.stdout.readline()), log)
        finally:
            started.stdin.close()
            try:
                started.wait(timeout=10)
            except subprocess.TimeoutExpired:
                started.kill()


@pytest.fixture
def company(setup: Setup, tmp_path: Path) -> Iterator[Company]:
    with _company(setup, tmp_path / "company") as made:
        yield made


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_declared_and_undeclared_hosts_are_reached_through_the_parents_proxy(
    setup: Setup, company: Company, option: str
) -> None:
    setup.connect("openai")
    ran = setup.curl("--fail", option, MODELS, "--next", "--fail", UNDECLARED, env=company.environ())
    assert ran.code == 0, ran
    assert company.asked() == ["served CONNECT api.openai.com:443", "served CONNECT undeclared.example:443"]
    declared, undeclared = setup.received()
    assert declared.values("authorization") == [f"Bearer {OPENAI_KEY}"]
    assert [each.values("proxy-authorization") for each in (declared, undeclared)] == [[], []]


def test_the_agent_does_not_learn_the_parents_proxy(setup: Setup, company: Company) -> None:
    setup.connect("openai")
    ran = setup.run("env", env=company.environ())
    assert "HTTPS_PROXY=" in ran.out
    assert "pw-" not in ran.out
    assert f":{company.port}" not in ran.out


@pytest.mark.parametrize("exempt", ["api.openai.com", ".openai.com", "openai.com,undeclared.example"])
def test_exemptions_of_the_parent_are_respected(setup: Setup, company: Company, exempt: str) -> None:
    setup.connect("openai")
    env = company.environ(no_proxy=exempt)
    ran = setup.curl("--fail", MODELS, "--next", "--fail", UNDECLARED, env=env)
    assert ran.code == 0, ran
    through = [] if "undeclared" in exempt else ["served CONNECT undeclared.example:443"]
    assert company.asked() == through
    # An exemption leads around the user's proxy; it must not lead the agent around ours.
    assert setup.received()[0].values("authorization") == [f"Bearer {OPENAI_KEY}"]


def test_a_parents_proxy_that_refuses_is_a_502_and_nobody_goes_around_it(setup: Setup, company: Company) -> None:
    setup.connect("openai")
    ran = setup.curl("--write-out", r"\n%{http_code}", MODELS, env=company.environ("user:wrong"))
    assert ran.out.endswith("\n502"), ran
    assert '"upstream_failed"' in ran.out
    assert company.asked() == ["refused CONNECT api.openai.com:443"]
    assert setup.received() == []
