"""What a project may not have before a person has looked at it."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from authsome.errors import AuthsomeError
from authsome.manifest import Manifest
from authsome.provider import Host, load
from authsome.trust import Trust
from conftest import EXECUTABLE, CommandLine, Done
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

KEY = "acme-CANARY-0123456789abcdef"
OPENAI_KEY = "sk-CANARY-0123456789abcdefghijkl"
ACME: dict[str, Any] = {
    "name": "acme",
    "display_name": "Acme",
    "host_url": "api.acme.example",
    "api_key": {"env_var": "ACME_API_KEY"},
}
DECLARED = "version: 1\nproviders:\n  acme:\n"


def _define(folder: Path, **changes: Any) -> Path:
    definition = ACME | changes
    path = folder / ".authsome" / "providers" / f"{definition['name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(definition))
    return path


@pytest.fixture
def brought(authsome: CommandLine) -> CommandLine:
    """Return a project with a definition of its own."""
    _define(authsome.project)
    authsome.declare(DECLARED)
    return authsome


def _refused(done: Done) -> str:
    assert (done.code, done.out) == (7, ""), done
    assert done.err.endswith("Hint: see what it would be permitted, and accept it or not: authsome trust\n"), done
    return done.err.splitlines()[0]


def _trust(line: CommandLine) -> str:
    done = line("trust", "--yes")
    assert done.code == 0, done
    return done.out


# What needs it, and what does not.


@pytest.mark.parametrize(
    "manifest",
    [
        "version: 1\nproviders: {openai: , github: {allow: [GET /user]}, intercom: {required: false}}\n",
        "version: 1\nproviders: {openai: {scrub: on}}\negress: {default: allow}\nisolation: auto\n",
        "version: 1\nproviders: {openai: }\negress: {default: deny, allow: [pypi.org]}\n",
    ],
)
def test_a_manifest_that_only_names_the_catalogues_providers_needs_no_trust(
    authsome: CommandLine, manifest: str
) -> None:
    authsome.declare(manifest)
    assert authsome("check").code == 3
    assert authsome("trust").out.startswith("Nothing here needs to be trusted (SHA256:")


def test_where_there_is_no_project_there_is_nothing_to_trust(authsome: CommandLine) -> None:
    done = authsome("trust")
    assert (done.code, done.out) == (0, "Nothing here needs to be trusted.\n"), done
    done = authsome("trust", "--profile", "wrok")
    assert (done.code, done.err.splitlines()[0]) == (3, "Error: there is no profile `wrok`"), done


@pytest.mark.parametrize("command", ["check", "login acme --stdin", "export", "export acme", "why https://a.example/"])
def test_nothing_acts_on_a_definition_of_the_project_that_nobody_trusts(brought: CommandLine, command: str) -> None:
    said = _refused(brought(*command.split(), given=KEY))
    assert said == "Error: the project's own definition of acme is not trusted on this machine yet"
    assert not (brought.home / "profiles").exists()


def test_a_run_ends_with_125_before_the_child(brought: CommandLine) -> None:
    done = brought("run", "--", "touch", "started")
    assert done.code == 125, done
    assert "not trusted" in done.err
    assert not (brought.project / "started").exists()


def test_what_only_shows_shows_it_all_the_same(brought: CommandLine) -> None:
    assert brought("list").out.splitlines()[1].split() == ["acme", "default", "not", "connected", "project"]
    assert json.loads(brought("inspect", "acme").out) == ACME
    for command in ("profile list", "get acme", "logout acme"):
        assert brought(*command.split()).code in (0, 3)


def test_a_definition_that_nobody_trusts_judges_no_key_and_sends_nobody_to_a_page(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    bundled = json.loads(authsome("inspect", "openai").out)
    guess = bundled["api_key"] | {"key_pattern": "sk-(?!CAN.RY).*"}  # an agent's question about the key
    _define(authsome.project, **bundled | {"api_key": guess, "keys_url": "https://phishing.example/"})
    authsome.declare("version: 1\nproviders: {openai: }\n")
    assert authsome("get", "openai", "--field", "status").out == "connected\n"
    done = authsome("revoke", "openai", "--yes")
    assert (done.code, "phishing" in done.out + done.err) == (0, False), done


def test_a_pattern_that_nobody_trusts_is_not_tried_on_a_repository(brought: CommandLine) -> None:
    _define(brought.project, api_key={"env_var": "ACME_API_KEY", "key_pattern": "q7w8[a-z0-9]{32}"})
    (brought.project / "config.py").write_text('ACME_API_KEY = "q7w8e9r0t1y2u3i4o5p6a7s8d9f0g1h2j3k4"\n')
    assert brought("check", "--drift").code == 0
    (brought.project / "authsome.yaml").unlink()
    done = brought("init", "--yes", "--dry-run")
    assert "acme" in done.out
    assert "looks like a key" not in done.out + done.err
    own = brought.home / "providers"
    own.mkdir(parents=True)
    shutil.copy(brought.project / ".authsome" / "providers" / "acme.json", own)
    assert "looks like a key" in brought("init", "--yes").err


def test_a_trusted_definition_is_as_good_as_any(brought: CommandLine) -> None:
    _trust(brought)
    brought.login("acme", KEY)
    assert brought("check").code == 0
    done = brought("run", "--", "sh", "-c", "echo $ACME_API_KEY")
    assert (done.code, done.out) == (0, "authsome-proxy-managed\n")
    assert brought("trust").out.startswith("Accepted: acme (SHA256:")


@pytest.mark.parametrize("line", ["  openai: {scrub: off}", "  openai: {connections: {default: {scrub: off}}}"])
def test_answers_that_reach_the_agent_unread_are_agreed_to_first(authsome: CommandLine, line: str) -> None:
    authsome.declare(f"version: 1\nproviders:\n{line}\n")
    said = _refused(authsome("check"))
    assert said.endswith(
        "`scrub: off`: answers to openai reach the agent unread, which nobody on this machine has agreed to"
    )
    _trust(authsome)
    assert authsome("check").code == 3
    authsome.declare("version: 1\nproviders:\n  openai: {scrub: off}\n  g2: {scrub: off}\n")
    assert "answers to g2" in _refused(authsome("check"))


def test_a_run_without_isolation_is_agreed_to_first(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nproviders: {openai: }\nisolation: off\n")
    assert "`isolation: off`" in _refused(authsome("check"))
    _trust(authsome)
    assert authsome("check").code == 3


def test_ones_own_definition_counts_before_the_projects(brought: CommandLine) -> None:
    own = brought.home / "providers" / "acme.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps(ACME | {"host_url": "mine.acme.example"}))
    brought.login("acme", KEY)
    assert brought("check").code == 0
    assert brought("list").out.splitlines()[1].split() == ["acme", "default", "connected", "custom"]


# What is asked again, and what not.


@pytest.mark.parametrize(
    "change",
    [
        {"host_url": ["api.acme.example", "evil.example"]},
        {"host_url": "evil.example"},
        {"private_addresses": True},
        {"api_key": {"env_var": "ACME_API_KEY", "header_name": "X-Key"}},
        {"keys_url": "https://phishing.example/"},
        {"headers": {"X-Forwarded-Host": "evil.example"}},
        {"test": {"url": "https://api.acme.example/other"}},
    ],
)
def test_any_change_of_what_is_permitted_asks_again(brought: CommandLine, change: dict[str, Any]) -> None:
    _trust(brought)
    _define(brought.project, **change)
    said = _refused(brought("check"))
    assert said == "Error: the project's own definition of acme has changed since it was trusted"
    _define(brought.project)
    assert brought("check").code == 3


def test_no_other_change_does(brought: CommandLine) -> None:
    path = _define(brought.project, host_url=["a.example", "b.example"])
    _trust(brought)
    changed = {**ACME, "host_url": ["b.example", "a.example"], "docs": "https://acme.example/docs"}
    path.write_text(json.dumps(dict(reversed(changed.items())), indent=4))
    brought.declare("# a comment\nversion: 1\nproviders: {acme: {required: false, allow: [GET /x]}, openai: }\n")
    assert brought("check").code == 3
    other = _define(brought.project, name="other")
    assert brought("check").code == 3  # nothing acts on it
    other.unlink()


def test_the_screen_shows_what_is_new_and_what_is_gone(brought: CommandLine) -> None:
    out = _trust(brought)
    assert "acme, a definition of the project's own:\n" in out
    assert "  + the key may be sent to api.acme.example\n" in out
    _define(brought.project, host_url="evil.example")
    out = _trust(brought)
    assert "acme, since it was trusted:\n" in out
    assert "  + the key may be sent to evil.example\n  - the key may be sent to api.acme.example\n" in out


def test_a_bundled_definition_that_is_replaced_is_compared_with_the_bundled_one(authsome: CommandLine) -> None:
    bundled = json.loads(authsome("inspect", "openai").out)
    _define(authsome.project, **bundled | {"host_url": ["api.openai.com", "evil.example"]})
    authsome.declare("version: 1\nproviders: {openai: }\n")
    assert "openai" in _refused(authsome("check"))
    out = _trust(authsome)
    assert "openai, in place of the definition that comes with authsome:\n" in out
    added = [line for line in out.splitlines() if line.startswith("  + ")]
    assert added == ["  + the key may be sent to evil.example"]


def test_a_key_that_is_held_goes_to_no_host_of_a_trusted_definition_that_nobody_agreed_to(
    authsome: CommandLine,
) -> None:
    authsome.login("openai", OPENAI_KEY)
    bundled = json.loads(authsome("inspect", "openai").out)
    _define(authsome.project, **bundled | {"host_url": ["api.openai.com", "evil.example"]})
    authsome.declare("version: 1\nproviders: {openai: }\n")
    _trust(authsome)
    done = authsome("check")
    assert done.code == 3
    assert "hosts differ from those agreed to (new: evil.example)" in done.out


# What an `egress` opens.


def test_an_egress_that_opens_more_than_the_run_before_is_noticed(authsome: CommandLine) -> None:
    denied = "version: 1\nproviders: {openai: }\negress: {default: deny, allow: [pypi.org]}\n"
    authsome.login("openai", OPENAI_KEY)
    authsome.declare(denied)
    assert authsome("run", "--", "true").code == 0
    authsome.declare(denied.replace("[pypi.org]", "[]"))
    assert authsome("run", "--", "true").code == 0
    authsome.declare(denied.replace("pypi.org", "pypi.org, evil.example"))
    assert _refused(authsome("check")).endswith("`egress` opens more than was agreed to: evil.example")
    authsome.declare("version: 1\nproviders: {openai: }\n")
    assert authsome("run", "--", "true").code == 125
    assert _refused(authsome("check")).endswith("`egress` opens more than was agreed to: every host")
    out = _trust(authsome)
    assert "egress, which opens more than was agreed to:\n  + every host\n  - pypi.org\n" in out
    assert authsome("run", "--", "true").code == 0


def test_an_egress_that_was_never_narrower_is_the_usual_one(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.declare("version: 1\nproviders: {openai: }\n")
    assert authsome("run", "--", "true").code == 0
    assert not (authsome.home / "trust").exists()


# For whom, and where.


def _git(folder: Path, *arguments: str) -> None:
    done = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(folder), *arguments]
    subprocess.run(done, check=True, capture_output=True)


def test_it_holds_in_all_worktrees_of_a_repository_and_nowhere_else(brought: CommandLine) -> None:
    folder = brought.project
    _git(folder, "init", "-q")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "one")
    _trust(brought)
    _git(folder, "worktree", "add", "-q", str(brought.root / "tree"))
    _git(brought.root, "clone", "-q", str(folder), "copy")
    assert brought("check", "--file", "../tree/authsome.yaml").code == 3
    assert brought("check", "--file", "../copy/authsome.yaml").code == 7
    (folder / "part").mkdir()
    for name in ("authsome.yaml", ".authsome"):
        subprocess.run(["cp", "-r", str(folder / name), str(folder / "part" / name)], check=True)
    assert brought("check", "--file", "part/authsome.yaml").code == 7


@pytest.mark.parametrize("pointer", [".git", ".git/worktrees/tree"])
def test_a_forged_pointer_to_a_repository_shares_nothing_that_was_accepted_there(
    brought: CommandLine, pointer: str
) -> None:
    _git(brought.project, "init", "-q")
    _git(brought.project, "commit", "-qm", "one", "--allow-empty")
    _git(brought.project, "worktree", "add", "-q", str(brought.root / "tree"))
    _trust(brought)
    stranger = brought.root / "stranger"
    stranger.mkdir()
    (stranger / ".git").write_text(f"gitdir: {brought.project / pointer}\n")
    _define(stranger)
    (stranger / "authsome.yaml").write_text(DECLARED)
    assert brought("check", "--file", str(stranger / "authsome.yaml")).code == 7


@pytest.mark.parametrize("what", ["pipe", "loop", "binary", "missing"])
def test_whatever_is_in_the_place_of_git_is_no_repository(brought: CommandLine, what: str) -> None:
    place = brought.project / ".git"
    match what:
        case "pipe":
            os.mkfifo(place)
        case "loop":
            place.symlink_to(place)
        case "binary":
            place.write_bytes(b"gitdir: \x00\xff\n" * 1000)
        case _:
            place.write_text("gitdir: /nowhere/at/all\n")
    _trust(brought)
    assert brought("check").code == 3


def test_a_damaged_record_is_not_taken_for_none(brought: CommandLine) -> None:
    _trust(brought)
    (record,) = (brought.home / "trust").glob("*.json")
    assert record.stat().st_mode & 0o777 == 0o600
    for content in ("{", "[]", '{"version": 2}', '{"version": 1, "definitions": 3, "manifest": [], "egress": []}'):
        record.write_text(content)
        done = brought("check")
        assert done.code == 5, done
        assert done.err.endswith("accept it anew: authsome trust\n")
    _trust(brought)
    assert brought("check").code == 3


# Who decides.


def test_with_nobody_to_ask_nothing_is_accepted(brought: CommandLine) -> None:
    done = brought("trust")
    assert done.code == 3
    assert done.err.endswith("Hint: authsome trust --yes\n")
    assert brought("check").code == 7


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("y", 3), ("", 3)])
def test_a_person_is_shown_it_and_types_yes(brought: CommandLine, answer: str, code: int) -> None:
    person = Person([EXECUTABLE, "trust"], brought.environ(), brought.project)
    assert person.sees("Permit this project all of it?"), person.screen
    assert "the key may be sent to api.acme.example" in person.screen
    person.types(f"{answer}\n")
    assert person.ends() == code
    assert brought("check").code == (7 if code else 3)


def test_an_agent_cannot_accept_anything(brought: CommandLine) -> None:
    brought.env = {"AUTHSOME_RUN": "1"}
    assert brought("trust", "--yes").code == 7


def test_a_definition_cannot_repaint_the_screen(brought: CommandLine) -> None:
    _define(brought.project, display_name="A\x1b[2J\nAccepted: acme")
    out = _trust(brought)
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line.startswith("Accepted:")] == [out.splitlines()[-1]]


def test_inspect_does_not_repaint_it_either(brought: CommandLine) -> None:
    path = _define(brought.project)
    path.write_text(json.dumps(ACME | {"display_name": "A\x9b2J\u202e"}, ensure_ascii=False))
    assert brought("inspect", "acme").out == path.read_text()  # for a file, as it is
    person = Person([EXECUTABLE, "inspect", "acme"], brought.environ(), brought.project)
    assert person.ends() == 0
    assert "A\ufffd2J\ufffd" in person.screen


def test_a_definition_cannot_fill_the_screen_or_begin_a_line_of_its_own(brought: CommandLine) -> None:
    line = "  + the key may be sent to api.openai.com"
    _define(brought.project, display_name=f"x{' ' * 60}{line}")
    assert "    " not in _trust(brought)
    _define(brought.project, keys_url="https://acme.example/" + "x" * 4000)
    done = brought("trust", "--yes")
    assert (done.code, "nobody reads a text so long" in done.err) == (6, True), done
    _define(brought.project)
    _define(brought.project, name="egress, which is as it was")
    assert "is not named like a provider" in brought("trust", "--yes").err


@pytest.mark.parametrize(
    "manifest",
    [
        f"version: 1\nproviders:\n  'x{' ' * 60}+ the key': {{scrub: off}}\n",
        f"version: 1\nproviders: {{openai: {{connections: {{'x{' ' * 60}+ the key': {{scrub: off}}}}}}}}\n",
        f"version: 1\nproviders: {{}}\negress: {{default: deny, allow: ['x{' ' * 60}+ the key']}}\n",
    ],
)
def test_a_name_that_is_none_is_not_shown_as_one(authsome: CommandLine, manifest: str) -> None:
    authsome.declare(manifest)
    done = authsome("trust", "--yes")
    assert (done.code, done.out) == (6, ""), done


def test_who_wants_json_is_asked_about_what_is_shown(brought: CommandLine) -> None:
    person = Person([EXECUTABLE, "trust", "--json"], brought.environ(), brought.project)
    assert person.sees("Permit this project all of it?"), person.screen
    assert "the key may be sent to api.acme.example" in person.screen
    person.types("no\n")
    assert person.ends() == 3


def test_a_wrong_definition_is_explained_before_it_is_trusted(brought: CommandLine) -> None:
    path = _define(brought.project, host_url="*.example")
    done = brought("trust", "--yes")
    assert done.code == 6
    assert done.err.startswith(f"Error: {path}".replace(str(brought.root), "~"))
    path.write_text('{"name": "acme",\n "hosturl": "x"}')
    done = brought("trust", "--yes")
    assert (done.code, ".json:2: unknown key `hosturl`" in done.err) == (6, True), done


# Where nobody can be asked.


def test_a_digest_in_the_environment_stands_for_the_record(brought: CommandLine) -> None:
    digest = json.loads(brought("trust", "--yes", "--json").out)["digest"]
    for record in (brought.home / "trust").glob("*.json"):
        record.unlink()
    brought.env = {"AUTHSOME_TRUST_PIN": digest}
    assert brought("check").code == 3
    _define(brought.project, host_url="evil.example")
    done = brought("check")
    assert done.code == 7
    assert f"expected {digest}, found SHA256:" in done.err
    brought.env = {"AUTHSOME_TRUST_PIN": "yes"}
    assert "holds something that is no digest" in brought("check").err


def test_a_digest_covers_the_manifest_and_egress_too(brought: CommandLine) -> None:
    digest = json.loads(brought("trust", "--yes", "--json").out)["digest"]
    brought.env = {"AUTHSOME_TRUST_PIN": digest}
    for more in ("egress: {default: deny}\n", "isolation: off\n"):
        brought.declare(DECLARED + more)
        assert brought("check").code == 7
    brought.declare("version: 1\nproviders: {openai: }\n")
    assert brought("check").code == 3  # it asks for the same
    (brought.project / ".authsome" / "providers" / "acme.json").unlink()
    assert brought("check").code == 7


def test_a_digest_is_about_what_was_loaded_and_not_about_the_files_of_a_moment_later(tmp_path: Path) -> None:
    path = tmp_path / "authsome.yaml"
    path.write_text(DECLARED)
    good = load(_define(tmp_path))
    evil = replace(good, hosts=(Host("evil.example"),))
    pin = {"AUTHSOME_TRUST_PIN": Trust(tmp_path, path, {}).wishes().digest}
    Trust(tmp_path, path, pin).check_definition(good)
    with pytest.raises(AuthsomeError, match=r"acme\.json changed while it was read"):
        Trust(tmp_path, path, pin).check_definition(evil)
    Trust(tmp_path, path, pin).check_manifest(Manifest(1))
    with pytest.raises(AuthsomeError, match=r"authsome\.yaml changed while it was read"):
        Trust(tmp_path, path, pin).check_manifest(Manifest(1, isolation="off"))


def test_the_example_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "authsome.yaml"
    path.write_text(Path("authsome.example.yaml").read_text())
    Trust(tmp_path, path, {}).check_manifest(Manifest(1))
    assert Trust(tmp_path, path, {}).wishes().manifest == ()
