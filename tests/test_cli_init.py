"""`authsome init` and `authsome check --drift`, as a person and as CI start them."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

import authsome as package
from authsome.cli import init, looking
from authsome.cli.voice import Settings
from canary import OPENAI_KEY, OUTSIDE
from conftest import EXECUTABLE, CommandLine
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

SCHEMAS = Path(package.__file__).parent / "schemas" / "output"


class Project(CommandLine):
    """A repository of an agent, with a person's own keys in it."""

    @property
    def project(self) -> Path:
        return self.root / OUTSIDE / "project"

    def write(self, name: str, text: str) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def manifest(self) -> Path:
        return self.project / "authsome.yaml"

    def files(self) -> set[str]:
        found = self.project.rglob("*")
        return {str(path.relative_to(self.project)) for path in found if ".git" not in path.parts}

    def person(self, *words: str) -> Person:
        return Person([EXECUTABLE, *words], self.environ(), self.project)


@pytest.fixture
def agent(tmp_path: Path) -> Project:
    """Return a repository in git with an agent in Python, a tool in JavaScript and a workflow."""
    project = Project(tmp_path)
    project.project.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", project.project], check=True)
    project.write(".gitignore", ".env\n")
    project.write(".env", f"OPENAI_API_KEY={OPENAI_KEY}\n")
    project.write("pyproject.toml", '[project]\nname = "agent"\ndependencies = ["openai>=1"]\n')
    project.write("src/agent.py", 'import os\n\nimport openai\n\nkey = os.environ["OPENAI_API_KEY"]\n')
    project.write("tool/index.ts", 'import { Octokit } from "@octokit/rest";\nconst auth = process.env.GH_TOKEN;\n')
    project.write(".github/workflows/ci.yml", "env:\n  GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}\n")
    project.write("README.md", "It could use https://api.anthropic.com/v1/messages instead.\n")
    return project


def _checked(data: str, kind: str) -> dict[str, Any]:
    """Return an answer in JSON after a look at the keys that its schema promises."""
    answer: dict[str, Any] = json.loads(data)
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text())
    assert set(answer) == set(schema["properties"]) == set(schema["required"])
    for name, inside in schema["properties"].items():
        for row in answer[name] if inside.get("type") == "array" else ():
            assert set(row) == set(inside["items"]["properties"]), name
    assert answer["kind"] == kind
    return answer


def test_the_screens_of_a_first_manifest(agent: Project, snapshot: SnapshotAssertion) -> None:
    lines = ["init --help", "init", "init --dry-run", "init --yes", "init", "check --help", "check", "check --drift"]
    assert "\n\n".join(str(agent(*line.split())) for line in lines) == snapshot


def test_what_is_written_is_for_everybody_to_read_and_nothing_else_is_left(agent: Project) -> None:
    before = agent.files()
    assert agent("init", "--yes").code == 0
    left = agent.files() - before
    assert left - {".authsome", ".authsome/schema.json"} == {"authsome.yaml"}
    assert stat.S_IMODE(agent.manifest.stat().st_mode) == 0o644
    assert not agent.home.exists()


def test_it_is_written_at_the_top_of_the_repository(agent: Project) -> None:
    done = subprocess.run(
        [EXECUTABLE, "init", "--yes"], cwd=agent.project / "src", env=agent.environ(), capture_output=True, check=True
    )
    assert done.stdout == b"Wrote ../authsome.yaml: it declares github, openai.\n"
    assert agent.manifest.exists()


def test_a_manifest_that_is_named_is_about_its_own_folder(agent: Project) -> None:
    assert agent("init", "--yes", "--file", "tool/authsome.yaml").out.endswith("it declares github.\n")
    assert agent("check", "--drift", "--file", "tool/authsome.yaml").code == 0
    assert agent("init", "--yes", "--file", "tool/other.yaml").code == 0  # what its comments name is no use
    (agent.project / "tool" / "index.ts").write_text("")
    agent.declare("version: 1\n").rename(agent.project / "tool" / "authsome.yaml")
    assert agent("check", "--drift", "--file", "tool/other.yaml").code == 0
    done = agent("init", "--yes", "--file", "nowhere/authsome.yaml")
    assert (done.code, done.err) == (2, "Error: there is no folder ~/outside/project/nowhere\nHint: make it first\n")


def test_a_dry_run_prints_what_would_be_written(agent: Project) -> None:
    before = agent.files()
    printed = agent("init", "-n").out
    assert agent.files() == before
    assert agent("init", "--yes").code == 0
    assert agent.manifest.read_text() == printed
    again = agent("init", "-n")
    assert (again.code, again.out) == (2, "")


@pytest.mark.parametrize("there", ["file", "link", "dangling", "folder"])
def test_what_is_there_stays_as_it_is(agent: Project, there: str) -> None:
    other = agent.write("other.yaml", "version: 1\n")
    if there == "file":
        agent.manifest.write_text("version: 1\n")
    elif there == "folder":
        agent.manifest.mkdir()
    else:
        agent.manifest.symlink_to(other if there == "link" else "nowhere.yaml")
    before = agent.files()
    done = agent("init", "--yes")
    assert (done.code, done.out) == (2, "")
    assert "authsome check --drift" in done.err or "is a symbolic link" in done.err
    assert agent.files() == before
    assert other.read_text() == "version: 1\n"


def test_with_nobody_to_ask_nothing_is_written(agent: Project) -> None:
    for words in (["init"], ["init", "--no-input"], ["init", "--json"]):
        done = agent(*words)
        assert (done.code, done.out) == (3, "")
        assert "look first with `authsome init --dry-run`, then: authsome init --yes" in done.err
    assert not agent.manifest.exists()


def test_a_person_is_shown_the_evidence_and_asked_about_each(agent: Project) -> None:
    person = agent.person("init")
    assert person.sees("Declare github? Type yes:")
    assert "GH_TOKEN in tool/index.ts:2" in person.screen
    assert "api.anthropic.com in README.md:1" in person.screen
    person.types("no\n")
    assert person.sees("Declare openai? Type yes:")
    person.types("yes\n")
    assert person.ends() == 0
    assert "Wrote authsome.yaml: it declares openai." in person.screen
    declared = [step["provider"] for step in json.loads(agent("check", "--json").out)["steps"]]
    assert declared == ["openai"]
    assert "  # github: {required: false}\n" in agent.manifest.read_text()
    assert "CANARY" not in person.screen


def test_a_person_who_agrees_to_nothing_or_goes_away_leaves_nothing_behind(agent: Project) -> None:
    before = agent.files()
    person = agent.person("init")
    for name in ("github", "openai"):
        assert person.sees(f"Declare {name}?")
        person.types("no\n")
    assert person.ends() == 3
    assert "nothing was agreed to, nothing was written" in person.screen
    person = agent.person("init")
    assert person.sees("Declare github?")
    person.types("\x03")
    assert person.ends() == 130
    assert agent.files() == before


def test_a_folder_without_signs_gets_a_manifest_that_declares_nothing(tmp_path: Path) -> None:
    empty = Project(tmp_path)
    empty.project.mkdir(parents=True)
    assert empty("init", "--yes").out == "Wrote authsome.yaml: it declares no provider yet.\n"
    assert empty("check").code == 0
    assert empty("check", "--drift").code == 0


def test_the_answer_in_json_says_where_each_thing_was_seen(agent: Project) -> None:
    done = agent("init", "--yes", "--json")
    answer = _checked(done.out, "init")
    assert answer["text"] == agent.manifest.read_text()
    rows = {row["provider"]: row for row in answer["providers"]}
    assert [(name, row["declared"], row["strong"]) for name, row in rows.items()] == [
        ("github", True, True),
        ("openai", True, True),
        ("anthropic", False, False),
    ]
    assert {"path": "src/agent.py", "line": 3, "kind": "import", "seen": "openai", "strong": True} in rows["openai"][
        "evidence"
    ]
    assert answer["keys"] == [{"provider": "openai", "path": ".env", "line": 1}]


def test_an_agent_writes_no_manifest_but_may_look_for_drift(agent: Project) -> None:
    agent.env = {"AUTHSOME_RUN": "r1"}
    done = agent("init", "--yes")
    assert (done.code, agent.manifest.exists()) == (7, False)
    agent.declare("version: 1\nproviders: {openai: , github: }\n")
    assert agent("check", "--drift").code == 0


def test_no_file_name_repaints_the_terminal(agent: Project) -> None:
    agent.write("src/a\nError: done\x1b[2J\x9b2J\u202e.py", "GH_TOKEN\n")
    (agent.project / "b\udcff.py").write_text("import anthropic\n")
    agent.declare("version: 1\nproviders: {}\n")
    screens = [agent("check", "--drift"), agent("check", "--drift", "--json")]
    agent.manifest.unlink()
    screens += [agent("init", "-n"), agent("init", "--yes"), agent("init")]
    for done in screens:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err), done
        assert "\nError: done" not in done.out + done.err
    assert agent("check", "--drift").code == 0


def _mounted(folder: Path, *options: str) -> None:
    try:
        subprocess.run(["mount", *options, folder], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("this machine forbids mounting")


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_folder_that_cannot_be_written_to_is_one_error(agent: Project) -> None:
    _mounted(agent.project, "--bind", str(agent.project))
    try:
        _mounted(agent.project, "-o", "remount,bind,ro")
        done = agent("init", "--yes", "--quiet")
    finally:
        subprocess.run(["umount", agent.project], check=True)
    assert done.code == 1
    assert "read-only file system\nHint: go where you can write, or print it: authsome init --dry-run\n" in done.err


def test_the_schema_is_put_beside_the_manifest_and_replaces_nothing(agent: Project, tmp_path: Path) -> None:
    schema = tmp_path / "shipped.json"
    schema.write_text("{}")
    init.write(agent.manifest, "version: 1\n", schema)
    copy = agent.project / ".authsome" / "schema.json"
    assert (copy.read_text(), stat.S_IMODE(copy.stat().st_mode)) == ("{}", 0o644)
    copy.write_text("mine")
    agent.manifest.unlink()
    init.write(agent.manifest, "version: 1\n", schema)
    assert copy.read_text() == "mine"
    assert agent("vault", "verify", ".authsome").code == 0


def test_a_vaults_place_that_is_a_link_gets_no_schema(agent: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (agent.project / ".authsome").symlink_to(elsewhere)
    assert agent("init", "--yes").code == 0
    assert list(elsewhere.iterdir()) == []
    assert "yaml-language-server" not in agent.manifest.read_text()


def test_whoever_waits_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(600):
        (tmp_path / f"{number}.py").touch()
    monkeypatch.setattr(looking, "_PATIENCE", -1.0)
    assert looking.look(Settings(), tmp_path / "authsome.yaml", ()).files == 600
    looking.look(Settings(quiet=True), tmp_path / "authsome.yaml", ())
    assert capsys.readouterr().err == "Looking through 600 files, 0 are done …\n"


# Drift.


def test_drift_fails_in_ci_with_the_line_to_add_until_it_is_declared(agent: Project) -> None:
    agent.declare("version: 1\nproviders:\n  openai:\n")
    agent.env = {"CI": "true", "AUTHSOME_IDENTITY": "not a key", "AUTHSOME_HOME": "/dev/null/home"}
    done = agent("check", "--drift")
    assert done.code == 3
    assert done.out == (
        "tool/index.ts:1  import of @octokit/rest  github is not declared\n"
        "tool/index.ts:2  GH_TOKEN                 github is not declared\n"
        "\n"
        "Add to authsome.yaml, below `providers:`\n"
        "  github:\n"
    )
    answer = _checked(agent("check", "--drift", "--json").out, "drift")
    assert [(row["path"], row["line"], row["add"]) for row in answer["drift"]] == [
        ("tool/index.ts", 1, "github:"),
        ("tool/index.ts", 2, "github:"),
    ]
    agent.declare("version: 1\nproviders:\n  openai:\n  github:\n")
    assert agent("check", "--drift").code == 0
    assert json.loads(agent("check", "--drift", "--json").out)["drift"] == []


def test_a_line_may_say_that_it_is_none(agent: Project) -> None:
    agent.declare("version: 1\nproviders:\n  openai:\n")
    agent.write("tool/index.ts", 'import "@octokit/rest"; // authsome: ignore\n')
    assert agent("check", "--drift").code == 0


def test_a_variable_that_another_name_took_away_is_drift(agent: Project) -> None:
    agent.declare("version: 1\nproviders: {github: , openai: {env: TEAM_API_KEY}}\n")
    done = agent("check", "--drift")
    assert done.code == 3
    assert "src/agent.py:5  OPENAI_API_KEY  no connection of openai sets it\n" in done.out
    assert "  openai: {connections: {default: }}\n" in done.out
    agent.declare("version: 1\nproviders: {github: , openai: {connections: {default: }}}\n")
    assert agent("check", "--drift").code == 0


def test_without_a_manifest_or_with_a_wrong_one_there_is_nothing_to_compare(agent: Project) -> None:
    done = agent("check", "--drift")
    assert (done.code, done.out) == (6, "")
    assert done.err == "Error: there is no authsome.yaml here to compare the code with\nHint: authsome init\n"
    agent.declare("version: 1\nprovider: {}\n")
    assert agent("check", "--drift").code == 6
