"""What an agent finds when it looks around."""

from pathlib import Path

import pytest

from canary import leaks
from origin import KEYS
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world


@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_RUNTIME_DIR"])
def test_an_agent_that_looks_around_finds_no_secret_and_nothing_stays_behind(
    setup: Setup, tmp_path: Path, variable: str
) -> None:
    setup.connect("openai", "anthropic", "github")
    place = tmp_path / "place"
    place.mkdir()
    copies = tmp_path / "copies"
    ran = setup.agent("look_around", str(copies), env={variable: str(place)})
    assert leaks(copies) == []
    assert {"arguments-0", "arguments-1", "environment"} < {path.name for path in copies.iterdir()}
    run_folder = Path(ran.out.strip())
    assert run_folder.parent == place
    assert run_folder.name.startswith("authsome-")
    left = [path for folder in (place, setup.temporary) for path in folder.rglob("authsome-*")]
    assert left == []


def test_the_placeholders_are_all_that_the_environment_has_of_the_keys(setup: Setup) -> None:
    setup.connect("openai", "anthropic", "github")
    # A user who exported the real key in the shell that starts the agent has it replaced there.
    env = {"OPENAI_API_KEY": KEYS["openai"], "GITHUB_TOKEN": KEYS["github"]}
    ran = setup.run("env", env=env)
    assert ran.code == 0, ran
    shown = dict(line.partition("=")[::2] for line in ran.out.splitlines())
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GH_TOKEN", "GITHUB_TOKEN")
    assert {shown[name] for name in names} == {"authsome-proxy-managed"}


def test_the_users_own_files_hold_no_secret_in_the_clear(setup: Setup) -> None:
    setup.connect("openai", "anthropic", "github")
    assert setup.curl("--fail", "https://api.openai.com/v1/models").code == 0
    assert leaks(setup.line.root) == []
