"""Profiles, at home and beside a manifest: who wins, what is accepted, and what happens to whoever swaps something."""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from authsome.errors import AuthsomeError
from authsome.provider import Definition, OAuthDefinition, resolve
from authsome.vault import Vault
from canary import ANTHROPIC_KEY, OPENAI_KEY, OTHER_OPENAI_KEY
from conftest import EXECUTABLE, CommandLine
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

OTHER_MEMBER = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is none: what is typed is shown to no provider."""
MANIFEST = "version: 1\nproviders: {openai: }\n"


@pytest.fixture
def team(authsome: CommandLine) -> CommandLine:
    """A project whose vault holds OpenAI's key, on the machine of the member who made it."""
    authsome.declare(MANIFEST)
    authsome.login("openai", OPENAI_KEY, "--shared")
    return authsome


def _shared(line: CommandLine) -> Path:
    return line.project / ".authsome" / "profiles" / "default"


def _elsewhere(line: CommandLine, name: str = "elsewhere") -> CommandLine:
    """Return another machine of the same member with a clone of the project: the identity moved, nothing else."""
    other = CommandLine(line.root / name, dict(line.env))
    shutil.copytree(line.project, other.project)
    other.home.mkdir(mode=0o700)
    shutil.copy2(line.home / "identity.txt", other.home)
    return other


def _key(line: CommandLine, *more: str) -> str:
    done = line("get", "openai", "--field", "api_key", "--show-secret", *more, reveals=True)
    assert done.code == 0, done
    return done.out.strip()


def _fingerprint(line: CommandLine, *more: str) -> str:
    shown = json.loads(line("profile", "show", "--json", *more).out)
    found: str = shown["folders"][-1]["fingerprint"]
    return found


# Two folders.


def test_a_shared_credential_lies_in_the_project_and_is_read_from_there(team: CommandLine) -> None:
    assert (_shared(team) / "connections" / "openai" / "default.age").exists()
    assert not (team.home / "profiles").exists()
    assert _key(team) == OPENAI_KEY
    assert team("check").code == 0
    assert json.loads(team("get", "openai", "--json").out)["vault"] == "project"


def test_the_homes_credential_wins_over_the_projects(team: CommandLine) -> None:
    team.login("openai", OTHER_OPENAI_KEY)
    assert _key(team) == OTHER_OPENAI_KEY
    assert team("logout", "openai").code == 0
    assert _key(team) == OPENAI_KEY


def test_logging_out_at_home_leaves_the_projects_alone_and_says_so(team: CommandLine) -> None:
    done = team("logout", "openai")
    assert done.code == 2
    assert "Hint: authsome logout openai --shared" in done.err
    assert _key(team) == OPENAI_KEY
    assert team("logout", "openai", "--shared").code == 0
    assert team("check").code == 3


def test_without_a_manifest_there_is_nothing_to_share_with(authsome: CommandLine) -> None:
    done = authsome("login", "openai", "--stdin", "--shared", given=OPENAI_KEY)
    assert done.code == 2
    assert "there is no authsome.yaml here" in done.err
    assert not authsome.home.exists()


def test_a_manifest_in_the_users_own_folder_has_no_second_vault(authsome: CommandLine) -> None:
    """`~/.authsome` is the home and would be the project's folder of `~/authsome.yaml`."""
    authsome.env["AUTHSOME_HOME"] = str(authsome.project / ".authsome")
    authsome.declare(MANIFEST)
    authsome.login("openai", OPENAI_KEY)
    assert json.loads(authsome("get", "openai", "--json").out)["vault"] == "home"
    assert authsome("login", "openai", "--stdin", "--shared", "--force", given=OTHER_OPENAI_KEY).code == 2


def test_the_list_says_which_vault_and_what_is_damaged_and_goes_on(team: CommandLine) -> None:
    team.login("anthropic", "sk-ant-CANARY-0123456789abcdefghij")
    team.login("openai", OTHER_OPENAI_KEY, "--connection", "team")
    damaged = team.home / "profiles" / "default" / "connections" / "anthropic" / "default.age"
    damaged.write_bytes(damaged.read_bytes()[:100])
    rows = json.loads(team("list", "--json").out)["connections"]
    assert [(row["provider"], row["connection"], row["status"], row["vault"]) for row in rows] == [
        ("anthropic", "default", "damaged", "home"),
        ("openai", "default", "connected", "project"),
        ("openai", "team", "connected", "home"),
    ]
    assert "VAULT" in team("list").out
    assert _key(team, "--connection", "team") == OTHER_OPENAI_KEY


def test_a_damaged_credential_hides_nothing_and_starts_nothing(team: CommandLine) -> None:
    team.declare("version: 1\nproviders: {openai: , anthropic: , github: }\n")
    team.login("anthropic", "sk-ant-CANARY-0123456789abcdefghij")
    damaged = team.home / "profiles" / "default" / "connections" / "anthropic" / "default.age"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    done = team("check", "--json")
    assert done.code == 5
    states = {step["provider"]: step["state"] for step in json.loads(done.out)["steps"]}
    assert states == {"openai": "in place", "anthropic": "damaged", "github": "missing"}
    error = json.loads(done.err.splitlines()[-1])
    assert error["error"].startswith(str(damaged).replace(str(team.home), "~/.authsome"))
    assert "!!  anthropic  damaged" in team("check").out
    started = team("run", "--", "touch", "started")
    assert started.code == 125
    assert "is damaged" in started.err
    assert not (team.project / "started").exists()


def test_who_is_no_member_of_a_project_learns_how_to_become_one(team: CommandLine) -> None:
    other = _elsewhere(team)
    (other.home / "identity.txt").unlink()
    done = other("check")
    assert done.code == 4
    assert "Hint: to become a member: authsome recipients join --shared" in done.err
    assert other("recipients", "join", "--shared").code == 0
    assert "to become a member" in other("check").err


# What a machine accepts.


def test_a_cloned_vault_stays_shut_until_it_is_accepted(team: CommandLine) -> None:
    other = _elsewhere(team)
    run = other("run", "--", "true")
    assert run.code == 125
    assert "is not trusted on this machine yet (SHA256:" in run.err
    assert "authsome trust" in run.err
    assert other("check").code == 7
    assert other("get", "openai").code == 7
    assert other("trust").code == 3, "nobody is there to agree"
    assert other("trust", "--yes").code == 0
    assert other("check").code == 0
    assert other("run", "--", "true").code == 0
    assert _key(other) == OPENAI_KEY


def test_a_vault_that_is_not_needed_needs_no_trust(team: CommandLine) -> None:
    other = _elsewhere(team)
    other.login("openai", OTHER_OPENAI_KEY)
    assert other("check").code == 0


def test_a_person_agrees_to_a_vault_in_a_word(team: CommandLine) -> None:
    for answer, code in (("no", 3), ("yes", 0)):
        other = _elsewhere(team, answer)
        person = Person([EXECUTABLE, "trust"], other.environ(), other.project)
        assert person.sees("Accept this vault? Type yes:")
        assert _fingerprint(team) in person.screen
        person.types(f"{answer}\n")
        assert person.ends() == code
        assert other("check").code == (0 if answer == "yes" else 7)


def test_a_second_clone_of_an_accepted_vault_needs_no_second_word(team: CommandLine) -> None:
    clone = CommandLine(team.root / "clone", {"AUTHSOME_HOME": str(team.home), "HOME": str(team.root)})
    shutil.copytree(team.project, clone.project)
    assert clone("check").code == 0


def test_a_pin_in_the_environment_accepts_that_vault_and_no_other(team: CommandLine) -> None:
    other = _elsewhere(team)
    other.env["AUTHSOME_VAULT_PIN"] = _fingerprint(team)
    assert other("check").code == 0
    assert not (other.home / "pins").exists(), "a build machine keeps nothing"
    wrong = f"SHA256:{'A' * 43}"
    other.env["AUTHSOME_VAULT_PIN"] = wrong
    done = other("check")
    assert done.code == 5
    assert f"expected {wrong}, found {_fingerprint(team)}" in done.err
    other.env["AUTHSOME_VAULT_PIN"] = f"{wrong}, {_fingerprint(team)}"
    assert other("check").code == 0
    other.env["AUTHSOME_VAULT_PIN"] = "yes"
    assert other("check").code == 2


# Attacks on the files of a project, each by somebody who knows the members' public keys and can push.


def _replaced(team: CommandLine) -> None:
    """The whole profile is the attacker's, encrypted to the member."""
    attacker = CommandLine(team.root / "attacker")
    attacker.project.mkdir(parents=True)
    attacker.declare(MANIFEST)
    attacker.login("openai", OTHER_OPENAI_KEY, "--shared")
    recipient = _recipient(team)
    plain = subprocess.run(
        ["age", "-d", "-i", attacker.home / "identity.txt", _shared(attacker) / "keyring.age"],
        capture_output=True,
        check=True,
    ).stdout.replace(_recipient(attacker).encode(), recipient.encode(), 1)
    keyring = _shared(attacker) / "keyring.age"
    subprocess.run(["age", "-a", "-r", recipient, "-o", keyring], input=plain, check=True)
    (_shared(attacker) / "recipients.txt").write_text(f"{recipient}\n")
    shutil.rmtree(_shared(team))
    shutil.copytree(_shared(attacker), _shared(team))


def _swapped(team: CommandLine) -> None:
    """Two entries trade places."""
    one = _shared(team) / "connections" / "openai" / "default.age"
    two = _shared(team) / "connections" / "openai" / "team.age"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def _of_another_profile(team: CommandLine) -> None:
    shutil.copy2(
        team.project / ".authsome" / "profiles" / "other" / "connections" / "openai" / "default.age",
        _shared(team) / "connections" / "openai" / "default.age",
    )


def _of_another_profiles_keys(team: CommandLine) -> None:
    """The keyring and the list of another profile of the same members."""
    for name in ("keyring.age", "recipients.txt"):
        shutil.copy2(team.project / ".authsome" / "profiles" / "other" / name, _shared(team) / name)


def _another_member(team: CommandLine) -> None:
    with (_shared(team) / "recipients.txt").open("a") as file:
        file.write("# mallory\nage1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg\n")


def _written_by_a_stranger(team: CommandLine) -> None:
    """An entry encrypted to the profile, which everybody can who knows its recipient."""
    keys = Vault(team.home, "default", {}, project=team.project).place(shared=True).keys()
    path = _shared(team) / "connections" / "openai" / "default.age"
    forged = b'authsome-mac-v1 00\n{"version":1}\n'
    subprocess.run(["age", "-a", "-r", keys.identity.recipient, "-o", path], input=forged, check=True)


def _linked(team: CommandLine) -> None:
    path = _shared(team) / "connections" / "openai" / "default.age"
    kept = path.rename(team.project / "elsewhere.age")
    path.symlink_to(kept)


ATTACKS: list[tuple[Callable[[CommandLine], None], int, Sequence[str]]] = [
    (_replaced, 5, ["is another profile than the one known here: expected SHA256:", "found SHA256:", "authsome trust"]),
    (_swapped, 5, ["is the entry of openai/team in the profile `default`, moved here"]),
    (_of_another_profile, 5, ["was not encrypted to this profile"]),
    (_of_another_profiles_keys, 5, ["belongs to the profile `other`"]),
    (_another_member, 5, ["does not list the members the keyring names (age1lggyhqrw2nlhcxprm67z43rta597azn8gknawje"]),
    (_written_by_a_stranger, 5, ["was not written by a member of this profile"]),
    (_linked, 5, ["is a symbolic link"]),
]


@pytest.mark.skipif(shutil.which("age") is None or shutil.which("git") is None, reason="needs age and git")
@pytest.mark.parametrize(("attack", "code", "words"), ATTACKS, ids=lambda each: getattr(each, "__name__", ""))
def test_an_attack_on_a_projects_files_is_named_with_its_commit(
    team: CommandLine, attack: Callable[[CommandLine], None], code: int, words: Sequence[str]
) -> None:
    team.login("openai", OTHER_OPENAI_KEY, "--shared", "--connection", "team")
    team.login("openai", OTHER_OPENAI_KEY, "--shared", "--profile", "other")
    _git(team, "init", "-q")
    _git(team, "add", ".")
    _git(team, "commit", "-qm", "The vault")
    attack(team)
    changed = team("check")
    assert changed.code == code, changed
    for word in words:
        assert word in changed.err
    if code == 5:
        assert "changed since the last commit" in changed.err
    _git(team, "add", ".")
    _git(team, "commit", "-qm", "Tidy up", "--author", "Mallory <m@example.com>")
    brought = team("check")
    if code == 5:
        assert " by Mallory: Tidy up" in brought.err
        assert brought.err.count("\n") == 2, "one line and its hint"


def _git(line: CommandLine, *words: str) -> None:
    env = {**line.environ(), "GIT_CONFIG_GLOBAL": os.devnull}
    env |= {f"GIT_{who}_{what}": "tester" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=line.project, env=env, check=True, capture_output=True)


def test_a_rotation_says_how_a_projects_vault_opens_with_the_new_identity(team: CommandLine) -> None:
    done = team("identity", "rotate", "--quiet")
    assert done.code == 0
    assert "profiles/default is still for the former identity" in done.err
    assert team("check").code == 4
    command = done.err.partition("&& authsome ")[2].replace("~/.authsome", str(team.home)).split()
    assert team(*command).code == 0
    assert team("check").code == 0
    assert _key(team) == OPENAI_KEY


def test_every_command_that_is_printed_is_about_the_profile_that_was_meant(team: CommandLine) -> None:
    """Each hint is run as it is printed, in a project whose profile is another one by itself."""
    at = ("--profile", "work")
    team.login("openai", OPENAI_KEY, "--shared", *at)
    team.login("openai", OPENAI_KEY, *at)
    other = _elsewhere(team)
    assert "authsome trust --profile work;" in other("check", *at).err

    def hint(*words: str, given: str = "") -> list[str]:
        return team(*words, given=given).err.rpartition("authsome ")[2].split("\n")[0].split()

    missing = "authsome login openai --profile nobody\n"
    assert f"To do:\n  {missing}" in team("check", "--profile", "nobody").out
    for words in ("run --profile nobody -- true", "export --profile nobody", "export openai --profile nobody"):
        assert team(*words.split()).err.endswith(f"run where a person can answer:\n  {missing}")
    again = hint("login", "openai", "--stdin", "--shared", *at, given=OTHER_OPENAI_KEY)
    assert again == ["login", "openai", "--profile", "work", "--shared", "--force"]
    assert team(*again, "--stdin", given=OTHER_OPENAI_KEY).code == 0
    assert team("logout", "openai", *at).code == 0
    assert _key(team, *at) == OTHER_OPENAI_KEY
    assert hint("logout", "openai", *at) == ["logout", "openai", "--profile", "work", "--shared"]
    assert team("recipients", "add", OTHER_MEMBER, "--name", "bob", "--shared", *at).code == 0
    removing = hint("recipients", "remove", "bob", "--shared", *at)
    assert removing == ["recipients", "remove", "bob", "--profile", "work", "--shared", "--yes"]
    assert team(*removing).code == 0
    assert "authsome login openai --force --profile work --shared\n" in team("list", "--exposed", *at).out
    removing = hint("profile", "remove", "work", "--shared")
    assert team(*removing).code == 0
    assert not (team.project / ".authsome" / "profiles" / "work").exists()


@pytest.mark.parametrize("wrong", ["not accepted", "damaged"])
def test_what_is_wrong_with_a_projects_vault_keeps_nobody_from_a_credential_of_their_own(
    team: CommandLine, wrong: str
) -> None:
    other = _elsewhere(team)
    if wrong == "damaged":
        assert other("trust", "--yes").code == 0
        (_shared(other) / "connections" / "openai" / "default.age").write_text("nonsense")
    assert other("check").code == (5 if wrong == "damaged" else 7)
    other.env["HTTPS_PROXY"] = NOWHERE
    person = Person([EXECUTABLE, "login", "openai"], other.environ(), other.project)
    assert person.sees("OpenAI")
    person.types(f"{OTHER_OPENAI_KEY}\n")
    assert person.ends() == 0
    assert other("check").code == 0
    assert _key(other) == OTHER_OPENAI_KEY


def test_who_is_asked_is_told_first_that_the_preset_shares_what_they_type(team: CommandLine) -> None:
    """The preset may come with a pull."""
    team.env["HTTPS_PROXY"] = NOWHERE
    (_shared(team) / "preset").write_text("team\n")
    person = Person([EXECUTABLE, "login", "anthropic", "--quiet"], team.environ(), team.project)
    assert person.sees("Anthropic")
    assert "where all its members can read it: the preset is `team`." in " ".join(person.screen.split())
    person.types(f"{ANTHROPIC_KEY}\n")
    assert person.ends() == 0
    person = Person([EXECUTABLE, "login", "openai", "--no-shared"], team.environ(), team.project)
    assert person.sees("OpenAI")
    assert "all its members" not in person.screen
    person.types(f"{OTHER_OPENAI_KEY}\n")
    assert person.ends() == 0


@pytest.mark.parametrize("words", ["list", "check", "login openai --stdin", "run -- true"])
def test_a_working_folder_that_is_gone_is_said_to_be(team: CommandLine, words: str) -> None:
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "$0" {words}'
    done = subprocess.run(
        ["sh", "-c", script, EXECUTABLE], cwd=team.project, env=team.environ(), capture_output=True, check=False
    )
    assert done.returncode == (125 if "run" in words else 2)
    assert done.stderr == b"Error: the folder this was called in is gone\nHint: cd to one that is there\n"


LINKED = [".authsome", "profiles", "profiles/default", "profiles/default/connections"]


@pytest.mark.parametrize("where", [*LINKED, "profiles/default/connections/openai"])
def test_a_link_in_the_place_of_a_folder_leads_no_writer_elsewhere(team: CommandLine, where: str) -> None:
    """A repository can bring one: what was removed from the project used to be removed from one's home."""
    team.login("openai", OTHER_OPENAI_KEY)
    team.login("anthropic", ANTHROPIC_KEY, "--shared")
    inside = where.removeprefix(".authsome")
    path = team.project / ".authsome" / inside
    shutil.rmtree(path)
    path.symlink_to(team.home / inside)
    draft = team.home / "profiles" / "default" / "connections" / "openai" / ".x.1.00000000"
    draft.touch()
    profiles = team.home / "profiles"
    before = {path: path.read_bytes() for path in profiles.rglob("*") if path.is_file()}
    for words in (
        "logout openai --shared",
        "login openai --shared --stdin",
        "login openai --shared --stdin --force",
        f"recipients add {OTHER_MEMBER} --shared",
        "recipients remove nobody --shared --yes",
        *(["profile remove default --shared --yes"] if where in LINKED else []),
    ):
        done = team(*words.split(), given=OPENAI_KEY)
        if where in LINKED or "openai" in words:
            assert done.code == 5, (words, done)
            assert f"{path.name} is a symbolic link\nHint: look where it leads, then: rm " in done.err
    if where not in LINKED:
        team.login("anthropic", ANTHROPIC_KEY + "x", "--shared", "--force")
    assert {path: path.read_bytes() for path in profiles.rglob("*") if path.is_file()} == before


def test_a_profile_of_the_home_that_is_a_link_is_not_removed_and_hinders_no_other(authsome: CommandLine) -> None:
    authsome("profile", "create", "work")
    elsewhere = (authsome.home / "profiles" / "work").rename(authsome.root / "elsewhere")
    (authsome.home / "profiles" / "work").symlink_to(elsewhere)
    done = authsome("profile", "remove", "work", "--yes")
    assert done.code == 5
    assert "is a symbolic link" in done.err
    (authsome.home / "profiles" / ".x.leaving.00000000").symlink_to(elsewhere)
    authsome("profile", "create", "other")
    assert authsome("profile", "remove", "other", "--yes").code == 0
    assert (elsewhere / "keyring.age").exists()


def test_what_lies_among_the_profiles_under_another_name_hides_none(team: CommandLine) -> None:
    strange = team.project / ".authsome" / "profiles"
    for name in ("Bad Name", "worse\n\x1b[2J"):
        (strange / name).mkdir()
    (strange / "odd").mkdir()
    (strange / "odd" / "preset").write_text("nonsense\n")
    done = team("profile", "list", "--json")
    assert done.code == 0, done
    rows = {row["profile"]: row for row in json.loads(done.out)["profiles"]}
    assert rows["default"]["connections"] == 1
    assert rows["odd"]["preset"] is None
    assert set(rows) == {"default", "odd"}
    assert "odd" in team("profile", "list").out


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_hostile_repositorys_settings_run_nothing(team: CommandLine) -> None:
    """Who asked git about a file used to run what the repository's configuration names."""
    _git(team, "init", "-q")
    _git(team, "add", ".")
    _git(team, "commit", "-qm", "The vault")
    touched = team.root / "touched"
    script = team.root / "run.sh"
    script.write_text(f"#!/bin/sh\ntouch {touched}\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "gpg.program", "diff.external", "core.sshCommand", "core.editor"):
        _git(team, "config", name, str(script))
    _git(team, "config", "filter.x.clean", str(script))
    _git(team, "config", "log.showSignature", "true")
    (team.project / ".gitattributes").write_text("*.age filter=x\n")
    _another_member(team)
    assert team("check").code == 5
    path = _shared(team) / "connections" / "openai" / "default.age"
    path.write_bytes(path.read_bytes()[:-40])
    (_shared(team) / "recipients.txt").write_text((_shared(team) / "recipients.txt").read_text().partition("# mal")[0])
    damaged = team("check")
    assert damaged.code == 5
    assert "default.age" in damaged.err
    assert not touched.exists()
    _git(team, "status")
    assert touched.exists(), "the trap does not work"


def test_an_entry_that_was_rolled_back_warns_and_a_new_one_ends_it(team: CommandLine) -> None:
    path = _shared(team) / "connections" / "openai" / "default.age"
    older = path.read_bytes()
    team.login("openai", OTHER_OPENAI_KEY, "--shared", "--force")
    assert "rolled back" not in team("check").err
    path.write_bytes(older)
    done = team("check", "--quiet")
    assert done.code == 0
    assert "was rolled back: its credential is number 1 of this connection, this machine has seen number 2" in done.err
    team.login("openai", OTHER_OPENAI_KEY, "--shared", "--force")
    assert "rolled back" not in team("check").err


def test_a_record_that_cannot_be_read_is_not_taken_for_none(team: CommandLine) -> None:
    for path in (team.home / "pins").iterdir():
        path.write_text("{")
    done = team("check")
    assert done.code == 5
    assert "is damaged, so what was accepted is not known" in done.err
    assert team("trust", "--yes").code == 0
    assert team("check").code == 0


def test_the_homes_profile_is_known_from_its_first_use(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    other = CommandLine(authsome.root / "other")
    other.project.mkdir(parents=True)
    other.home.mkdir(mode=0o700)
    shutil.copy2(authsome.home / "identity.txt", other.home)
    other.login("openai", OTHER_OPENAI_KEY)
    shutil.rmtree(authsome.home / "profiles")
    shutil.copytree(other.home / "profiles", authsome.home / "profiles")
    done = authsome("get", "openai")
    assert done.code == 5
    assert "is another profile than the one known here" in done.err


def test_a_home_that_nobody_can_write_to_opens(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    shutil.rmtree(authsome.home / "pins")
    spaces = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
    if not shutil.which("unshare") or subprocess.run([*spaces, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mounts of one's own here")
    frozen = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && touch "$1/new"; exec "$0" get openai --json'
    done = subprocess.run(
        [*spaces, "sh", "-c", frozen, EXECUTABLE, authsome.home],
        env=authsome.environ(),
        cwd=authsome.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Read-only file system" in done.stderr, "the test froze nothing"
    assert json.loads(done.stdout)["status"] == "connected"
    assert not (authsome.home / "pins").exists()


# The commands.


def test_the_screens_of_profile(team: CommandLine, snapshot: SnapshotAssertion) -> None:
    def still(*words: str) -> str:
        shown = re.sub(r"SHA256:[\w+/]{43}", "SHA256:…", str(team(*words)))
        return shown.replace(_recipient(team), "age1…").replace(platform.node(), "machine")

    assert still("profile", "list") == snapshot
    assert still("profile", "create", "work") == snapshot(name="create")
    assert still("profile", "create", "work") == snapshot(name="create again")
    assert still("profile", "use", "work") == snapshot(name="use")
    assert still("profile", "list") == snapshot(name="list with two")
    assert still("profile", "show", "default") == snapshot(name="show")
    assert still("profile", "show", "wrok") == snapshot(name="show none")
    assert still("profile", "remove", "work") == snapshot(name="remove, nobody there")
    assert still("profile", "remove", "work", "--yes") == snapshot(name="remove")
    assert still("trust", "--profile", "default") == snapshot(name="trust")
    for words in ("profile --help", "profile create --help", "trust --help"):
        assert still(*words.split()) == snapshot(name=words)


def _recipient(line: CommandLine) -> str:
    found: str = json.loads(line("identity", "show", "--json").out)["public_key"]
    return found


def test_what_names_the_profile_wins_in_the_documented_order(authsome: CommandLine) -> None:
    def current() -> str:
        rows: list[dict[str, str]] = json.loads(authsome("profile", "list", "--json", *option).out)["profiles"]
        return next(row["profile"] for row in rows if row["current"])

    option: list[str] = []
    assert current() == "default"
    for name in ("used", "declared", "named", "given"):
        assert authsome("profile", "create", name).code == 0
    assert authsome("profile", "use", "used").code == 0
    assert current() == "used"
    authsome.declare("version: 1\nprofile: declared\n")
    assert current() == "declared"
    authsome.env["AUTHSOME_PROFILE"] = "named"
    assert current() == "named"
    option = ["--profile", "given"]
    assert current() == "given"


def test_a_removed_profile_is_gone_and_the_others_are_not(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OTHER_OPENAI_KEY, "--profile", "work")
    person = Person([EXECUTABLE, "profile", "remove", "work"], authsome.environ(), authsome.project)
    assert person.sees("with openai/default? Type yes:")
    person.types("no\n")
    assert person.ends() == 3
    assert _key(authsome, "--profile", "work") == OTHER_OPENAI_KEY
    assert authsome("profile", "remove", "work", "--yes").code == 0
    assert authsome("get", "openai", "--profile", "work").code == 3
    assert _key(authsome) == OPENAI_KEY
    assert sorted(path.name for path in (authsome.home / "profiles").iterdir()) == ["default"]


def test_the_ci_preset_takes_only_an_identity_that_is_given(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    identity = (authsome.home / "identity.txt").read_text()
    done = authsome("login", "openai", "--stdin", "--profile", "ci", given=OPENAI_KEY)
    assert done.code == 4
    assert "identity.txt: not looked at, the profile's preset counts only what is given" in done.err
    authsome.env["AUTHSOME_IDENTITY"] = identity
    authsome.login("openai", OPENAI_KEY, "--profile", "ci")
    assert _key(authsome, "--profile", "ci") == OPENAI_KEY


def test_a_team_profile_shares_what_is_not_said_to_be_private(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nprofile: team\nproviders: {openai: }\n")
    authsome.login("openai", OPENAI_KEY)
    assert (authsome.project / ".authsome" / "profiles" / "team").exists()
    authsome.login("openai", OTHER_OPENAI_KEY, "--no-shared")
    assert _key(authsome) == OTHER_OPENAI_KEY


def test_tokens_that_change_by_themselves_never_go_to_the_project(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nprofile: team\n")
    asks = OAuthDefinition("https://tokens.example.com/page", "https://tokens.example.com/token")
    definition = Definition("tokens", "https://tokens.example.com", auth_type="oauth2", flow="pkce", oauth=asks)
    provider, vault = resolve(definition), Vault(authsome.home, "team", {}, project=authsome.project)
    with pytest.raises(AuthsomeError, match="no two machines can share"):
        vault.write(provider, "default", {"access_token": OPENAI_KEY}, 0.0, shared=True)
    assert vault.write(provider, "default", {"access_token": OPENAI_KEY}, 0.0), "although the preset shares"
    assert not (authsome.project / ".authsome").exists()
    entry = vault.own.read("tokens", "default")
    assert entry
    assert entry.fields == {"access_token": OPENAI_KEY}


def test_a_repository_widens_no_profile_whose_name_says_what_it_is(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nprofile: ci\nproviders: {openai: }\n")
    brought = authsome.project / ".authsome" / "profiles" / "ci"
    brought.mkdir(parents=True)
    (brought / "preset").write_text("team\n")
    authsome.login("anthropic", "sk-ant-CANARY-0123456789abcdefghij", "--profile", "other")
    done = authsome("login", "openai", "--stdin", given=OPENAI_KEY)
    assert done.code == 4
    assert "the profile's preset counts only what is given" in done.err
    assert not (brought / "keyring.age").exists()
    (brought.parent / "mine").mkdir()
    (brought.parent / "mine" / "preset").write_text("team\n")
    rows = json.loads(authsome("profile", "list", "--json").out)["profiles"]
    assert {row["profile"]: row["preset"] for row in rows} == {"ci": "ci", "mine": "team", "other": "default"}


def test_a_profile_keeps_the_preset_it_was_made_with(authsome: CommandLine) -> None:
    assert authsome("profile", "create", "server", "--preset", "headles").code == 2
    assert authsome("profile", "create", "server", "--preset", "headless").code == 0
    assert json.loads(authsome("profile", "show", "server", "--json").out)["preset"] == "headless"
    assert authsome("vault", "verify").code == 0
    kept = authsome.project / "kept.age"
    assert authsome("vault", "export", "--to", str(kept), "--recipient", _recipient(authsome)).code == 0
    assert authsome("profile", "remove", "server", "--yes").code == 0
    assert authsome("vault", "import", str(kept)).code == 0
    assert json.loads(authsome("profile", "show", "server", "--json").out)["preset"] == "headless"
    (authsome.home / "profiles" / "server" / "preset").write_text("mine\n")
    done = authsome("profile", "show", "server")
    assert done.code == 6
    assert "there is no preset 'mine'" in done.err


@pytest.mark.parametrize("words", ["profile create x", "profile use x", "profile remove default --yes", "trust --yes"])
def test_an_agent_has_no_business_with_profiles(team: CommandLine, words: str) -> None:
    team.env["AUTHSOME_RUN"] = "1"
    done = team(*words.split())
    assert done.code == 7
    assert "sealed inside a run" in done.err
