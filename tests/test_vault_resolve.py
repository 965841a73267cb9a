"""`authsome vault resolve`: a profile of which both sides changed the keys or the members."""

import json
import shutil
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from authsome.errors import AuthsomeError
from authsome.vault import Given, Identity, keyring, merge, roster
from authsome.vault.age import encrypt
from authsome.vault.entry import Entry, render
from authsome.vault.sound import verify
from canary import ANTHROPIC_KEY, GITHUB_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE
from forked import Server
from programs import needs_git
from repository import Clone, clone, shared_project
from sweep import points
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = [needs_git, pytest.mark.usefixtures("forked_lines")]

BASE = {("anthropic", "default"): ANTHROPIC_KEY, ("openai", "default"): OPENAI_KEY, ("openai", "team"): OPENAI_KEY}
MINE, THEIRS = "sk-CANARYmine5678901234567890", "sk-CANARYtheirs7890123456789012"
PROFILE_FILES = ["keyring.age", "recipients.txt"]


@pytest.fixture
def ada(tmp_path: Path) -> Clone:
    ada = shared_project(tmp_path / "ada")
    ada.put("openai", "default", OPENAI_KEY)
    ada.put("openai", "team", OPENAI_KEY)
    ada.put("anthropic", "default", ANTHROPIC_KEY)
    return ada


@pytest.fixture
def ben(ada: Clone, tmp_path: Path) -> Clone:
    return clone(ada, tmp_path / "ben")


@pytest.fixture
def cleo(ada: Clone, ben: Clone, tmp_path: Path) -> Clone:
    """A third member; all three have the same commit."""
    cleo = clone(ada, tmp_path / "cleo")
    assert ben.merge(ada) == []
    return cleo


@pytest.fixture
def dora(ada: Clone, ben: Clone, cleo: Clone, tmp_path: Path) -> Clone:
    dora = clone(ada, tmp_path / "dora")
    assert ben.merge(ada) == cleo.merge(ada) == []
    return dora


def _newcomer(root: Path) -> Clone:
    root.mkdir()
    return Clone(root)


def _keys(who: Clone) -> keyring.Keyring:
    return keyring.open_keyring(who.folder, "default", who.identity)


def _names(who: Clone) -> set[str]:
    """Who can open the profile, the first member by the name of their machine left out."""
    return {each.name for each in _keys(who).roster} - {keyring.member_name()}


def _finish(who: Clone, *others: Clone) -> None:
    """Commit the merge as the command said, and have the others merge that."""
    who.git("add", "-A", "--", str(who.folder))
    assert who.git("diff", "--name-only", "--diff-filter=U").stdout == ""
    who.git("commit", "-q", "--no-edit")
    assert verify(who.project / ".authsome", private=False).problems == ()
    for other in others:
        assert other.merge(who) == []


def _resolve(who: Clone, *words: str, code: int = 0) -> str:
    done = who("vault", "resolve", *words)
    assert done.code == code, done
    return done.out + done.err


def test_members_added_on_both_sides_are_members(ada: Clone, ben: Clone, tmp_path: Path) -> None:
    cleo, dora = _newcomer(tmp_path / "cleo"), _newcomer(tmp_path / "dora")
    ada.admit(cleo)
    ada.put("github", "default", GITHUB_TOKEN)
    ada.commit("cleo")
    ben.admit(dora)
    ben.put("openai", "team", THEIRS)
    ben.commit("dora")
    assert ada.merge(ben) == PROFILE_FILES
    said = _resolve(ada)
    assert f"member added:    dora {dora.identity.recipient}\n" in said
    assert f"Next: git add -A -- {'~' + str(ada.folder).removeprefix(str(ada.root))}\n" in said
    after = BASE | {("github", "default"): GITHUB_TOKEN, ("openai", "team"): THEIRS}
    assert ada.held() == after
    assert _names(ada) == {"ben", "cleo", "dora"}
    _finish(ada, ben)
    assert ben.held() == after
    for newcomer in (cleo, dora):
        ada.git("clone", "-q", str(ada.project), str(newcomer.project))
        newcomer.trust()
        assert newcomer.held() == after


@pytest.mark.usefixtures("cleo")
@pytest.mark.parametrize("changed_keys", [False, True], ids=["members-in-conflict", "keys-in-conflict"])
def test_a_removal_in_the_middle_of_a_merge_is_not_undone_and_loses_nothing(
    ada: Clone, ben: Clone, dora: Clone, tmp_path: Path, changed_keys: bool
) -> None:
    """The new keys lie nowhere but in the keyring of the working tree."""
    eve, finn = _newcomer(tmp_path / "eve"), _newcomer(tmp_path / "finn")
    for who, newcomer in ((ada, eve), (ben, finn)):
        who.admit(newcomer)
        if changed_keys:
            who.remove(dora)
        who.commit(newcomer.root.name)
    ada.merge(ben)
    ada.put("github", "default", GITHUB_TOKEN)
    assert ada("recipients", "remove", "cleo", "--yes", "--shared", *(["--force"] if changed_keys else [])).code == 0
    held = BASE | {("github", "default"): GITHUB_TOKEN}
    said = _resolve(ada, code=3)
    assert "were changed in the middle of the merge" in said
    assert ada.held() == held
    command = said.partition("keep what was changed: ")[2].partition(";")[0].replace("~", str(ada.root))
    ada.git(*command.split()[1:])
    _resolve(ada, "--yes")
    assert ada.held() == held
    assert "cleo" not in _names(ada)
    ada.git("add", "-A")
    assert ada.git("diff", "--name-only", "--diff-filter=U").stdout == ""


def test_what_is_stored_or_removed_while_a_person_thinks_is_not_overwritten(
    ada: Clone, ben: Clone, cleo: Clone, tmp_path: Path
) -> None:
    ada.admit(_newcomer(tmp_path / "dora"))
    ada.commit("dora")
    ben.admit(_newcomer(tmp_path / "eve"))
    ben.commit("eve")
    assert ada.merge(ben) == PROFILE_FILES
    place = merge.Place(ada.folder, "default", False, ada.home, {"HOME": str(ada.root)}, Given())
    plan = merge.examine(place, now=0.0)
    ada.put("github", "default", GITHUB_TOKEN)
    with pytest.raises(AuthsomeError, match="changed by somebody else meanwhile"):
        merge.carry_out(plan)
    plan = merge.examine(place, now=0.0)
    ada.remove(cleo)
    with pytest.raises(AuthsomeError, match="changed by somebody else meanwhile"):
        merge.carry_out(plan)
    assert ada.held() == BASE | {("github", "default"): GITHUB_TOKEN}
    assert "cleo" not in _names(ada)


@pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "marks-in-the-files"])
@pytest.mark.parametrize("who_removes", ["this-side", "the-other-side"])
def test_what_one_side_added_is_brought_over_to_the_keys_the_other_made(
    ada: Clone, ben: Clone, cleo: Clone, tmp_path: Path, who_removes: str, attributes: bool
) -> None:
    """The one removes Cleo. The other, who does not know that yet, adds and changes entries and admits Dora."""
    if not attributes:
        (ada.project / ".authsome" / ".gitattributes").unlink()
        ada.commit("no attributes")
        assert ben.merge(ada) == []
    one, other = (ada, ben) if who_removes == "this-side" else (ben, ada)
    dora = _newcomer(tmp_path / "dora")
    one.remove(cleo)
    one.commit("without cleo")
    new = _keys(one).fingerprint
    other.admit(dora)
    other.put("github", "default", GITHUB_TOKEN)
    other.put("openai", "team", THEIRS)
    other.drop("anthropic", "default")
    other.commit("more")
    conflicts = ["connections/anthropic/default.age", "connections/openai/team.age", *PROFILE_FILES]
    assert ada.merge(ben) == conflicts
    before = {path: path.read_bytes() for path in ada.folder.rglob("*.age")}
    said = _resolve(ada, code=7)
    assert {path: path.read_bytes() for path in ada.folder.rglob("*.age")} == before
    why = "under keys that are no longer the profile's; cleo, who was removed, knew them"
    why += f", by commit {other.git('log', '-1', '--format=%h of %as by %an: %s').stdout}"
    assert f"In doubt: dora ({dora.identity.recipient}) was added {why}" in said
    assert f"In doubt: github/default was written {why}" in said
    assert f"In doubt: openai/team was written {why}" in said
    unknown = "In doubt: the other side has keys that are not known on this machine: SHA256:"
    assert said.count("In doubt: ") == 3 + (who_removes == "the-other-side")
    assert (unknown in said) == (who_removes == "the-other-side")
    _resolve(ada, "--yes")
    after = {("openai", "default"): OPENAI_KEY, ("openai", "team"): THEIRS, ("github", "default"): GITHUB_TOKEN}
    assert ada.held() == after
    assert (_keys(ada).fingerprint, _keys(ada).epoch) == (new, 2)
    assert _names(ada) == {"ben", "dora"}
    shared = ada.vault.shared
    assert shared
    assert set(roster.exposed(shared)) == {"openai/default", "openai/team", "github/default"}
    _finish(ada)
    if one is ben:
        assert ben.merge(ada) == []
        assert ben.held() == after
    with pytest.raises(keyring.NotAMemberError):
        keyring.open_keyring(ada.folder, "default", cleo.identity)


def test_keys_that_both_sides_made_are_replaced_by_newer_ones(ada: Clone, ben: Clone, cleo: Clone, dora: Clone) -> None:
    """Each side's keys are known to the one whom the other removed."""
    ada.remove(cleo)
    ada.put("github", "default", GITHUB_TOKEN)
    ada.commit("without cleo")
    ben.remove(dora)
    ben.put("openai", "team", THEIRS)
    ben.commit("without dora")
    assert len(ada.merge(ben)) == 5
    mine, theirs = _keys(ada), _keys(ben)
    said = _resolve(ada, code=7)
    assert (
        f"the other side has keys that are not known on this machine: {theirs.fingerprint}, epoch 2, by commit " in said
    )
    assert "github/default was written under keys that are no longer the profile's; dora, who was removed" in said
    assert "openai/team was written under keys that are no longer the profile's; cleo, who was removed" in said
    assert said.count("In doubt: ") == 3
    _resolve(ada, "--yes")
    after = BASE | {("github", "default"): GITHUB_TOKEN, ("openai", "team"): THEIRS}
    assert ada.held() == after
    keys = _keys(ada)
    assert keys.epoch == 3
    assert keys.identity.recipient not in (mine.identity.recipient, theirs.identity.recipient)
    assert _names(ada) == {"ben"}
    assert set(keys.exposed["openai/default"].members) == {"cleo", "dora"}
    assert keys.exposed["github/default"].members == ("dora",)
    _finish(ada, ben)
    ben.trust()
    assert ben.held() == after


def test_an_entry_that_both_changed_stays_a_choice_also_with_new_keys(ada: Clone, ben: Clone, cleo: Clone) -> None:
    ada.remove(cleo)
    ada.put("openai", "team", MINE)
    ada.commit("mine")
    ben.put("openai", "team", THEIRS)
    ben.put("anthropic", "default", GITHUB_TOKEN)
    ben.commit("theirs")
    path = ada.entry("openai", "team")
    assert ada.merge(ben) == ["connections/anthropic/default.age", "connections/openai/team.age"]
    said = _resolve(ada, "--yes", code=3)
    assert "openai/team: both sides changed it. To keep what is there: git add ~/" in said
    others = said.split("Next: ")[1]
    assert "anthropic/default.age" in others
    assert "openai/team.age" not in others  # that is yet to be chosen
    after = BASE | {("anthropic", "default"): GITHUB_TOKEN, ("openai", "team"): MINE}
    assert ada.held() == after
    ada.git("checkout", "--theirs", "--", str(path))
    assert "openai/team was written under keys" in _resolve(ada, code=7)
    _resolve(ada, "--yes", code=3)
    after |= {("openai", "team"): THEIRS}
    assert ada.held() == after
    _finish(ada)
    assert "Nothing to resolve" in _resolve(ada)
    assert ada.held() == after


@pytest.mark.parametrize("kept", [True, False])
def test_an_entry_that_one_side_deleted_and_the_other_changed_is_a_choice(ada: Clone, ben: Clone, kept: bool) -> None:
    ada.drop("openai", "team")
    ada.commit("dropped")
    ben.put("openai", "team", THEIRS)
    ben.commit("theirs")
    path = ada.entry("openai", "team")
    assert ada.merge(ben) == ["connections/openai/team.age"]
    said = _resolve(ada, code=3)
    assert "openai/team: one side deleted it, the other changed it. To keep it: git add ~/" in said
    ada.git("add" if kept else "rm", "--", str(path))
    ada.git("commit", "-q", "--no-edit")
    assert ada.held().get(("openai", "team")) == (THEIRS if kept else None)
    assert "Nothing to resolve" in _resolve(ada)


def test_a_profile_that_one_side_deleted_is_a_choice(ada: Clone, ben: Clone, tmp_path: Path) -> None:
    ben.git("rm", "-q", "-r", ".authsome/profiles")
    ben.commit("no profile any more")
    ada.admit(_newcomer(tmp_path / "cleo"))
    ada.commit("cleo")
    assert ada.merge(ben) == PROFILE_FILES
    said = _resolve(ada, code=5)
    assert "one side of the merge deleted ~/project/.authsome/profiles/default/keyring.age" in said


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("y", 7), ("", 7)])
def test_a_person_at_the_terminal_is_asked(ada: Clone, ben: Clone, cleo: Clone, answer: str, code: int) -> None:
    ada.remove(cleo)
    ada.commit("without cleo")
    ben.put("openai", "team", THEIRS)
    ben.commit("more")
    ada.merge(ben)
    person = Person([EXECUTABLE, "vault", "resolve"], ada.environ(), ada.project)
    assert person.sees("In doubt: openai/team was written under keys that are no longer the profile's; cleo")
    assert person.sees("Is all of this right? Type yes: ")
    person.types(f"{answer}\n")
    assert person.ends() == code, person.screen
    assert ada.held() == BASE | ({("openai", "team"): THEIRS} if code == 0 else {})
    assert not sings(person.screen.encode())


def test_an_entry_that_no_longer_opens_after_a_clean_merge_is_brought_over(ada: Clone, ben: Clone, cleo: Clone) -> None:
    ben.remove(cleo)
    ben.commit("without cleo")
    ada.put("github", "default", GITHUB_TOKEN)
    ada.commit("more")
    assert ada.merge(ben) == []
    assert ada("vault", "resolve").code == 5  # the keys are not those that are known
    ada.trust()
    assert ada("get", "github").code == 5
    why = "under keys that are no longer the profile's; cleo, who was removed, knew them"
    commit = ada.git("log", "-1", "--format=%h of %as by %an: %s", "HEAD^1").stdout
    assert f"In doubt: github/default was written {why}, by commit {commit}" in _resolve(ada, code=7)
    _resolve(ada, "--yes")
    after = BASE | {("github", "default"): GITHUB_TOKEN}
    assert ada.held() == after
    assert _keys(ada).exposed["github/default"].members == ("cleo",)
    ada.commit("brought over")
    assert ben.merge(ada) == []
    assert ben.held() == after


def test_a_rebase_is_resolved_like_a_merge(ada: Clone, ben: Clone, cleo: Clone) -> None:
    ben.remove(cleo)
    ben.commit("without cleo")
    ada.put("openai", "team", MINE)
    ada.put("github", "default", GITHUB_TOKEN)
    ada.commit("more")
    ada.git("fetch", "-q", str(ben.project), "HEAD")
    assert ada.git("rebase", "-q", "FETCH_HEAD", ok=False).returncode == 1
    ada.trust()
    said = _resolve(ada, code=7)
    assert said.count("In doubt: ") == 2
    _resolve(ada, "--yes")
    ada.git("add", "-A")
    ada.git("-c", "core.editor=true", "rebase", "--continue")
    assert ada.held() == BASE | {("openai", "team"): MINE, ("github", "default"): GITHUB_TOKEN}


def test_it_can_be_run_again_and_then_changes_nothing(ada: Clone, ben: Clone, cleo: Clone, dora: Clone) -> None:
    ada.remove(cleo)
    ada.commit("without cleo")
    ben.remove(dora)
    ben.put("openai", "team", THEIRS)
    ben.commit("without dora")
    ada.merge(ben)
    _resolve(ada, "--yes")
    before = {path: path.read_bytes() for path in ada.folder.rglob("*") if path.is_file()}
    assert "In doubt" not in _resolve(ada)
    assert {path: path.read_bytes() for path in ada.folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("strace") is None, reason="the program `strace` is not installed")
@pytest.mark.parametrize(
    ("call", "fault"),
    [
        *((call, "signal=KILL") for call in ("openat", "write", "fsync", "rename", "flock")),
        *(("write", "error=ENOSPC"), ("fsync", "error=EIO"), ("rename", "error=EDQUOT")),
    ],
)
def test_cut_short_at_any_call_it_ends_its_work_when_run_again(
    ada: Clone, ben: Clone, cleo: Clone, dora: Clone, forking: Server, call: str, fault: str
) -> None:
    ada.remove(cleo)
    ada.put("github", "default", GITHUB_TOKEN)
    ada.commit("without cleo")
    ben.remove(dora)
    ben.put("openai", "team", THEIRS)
    ben.commit("without dora")
    ada.merge(ben)
    after = BASE | {("github", "default"): GITHUB_TOKEN, ("openai", "team"): THEIRS}
    folders = [ada.folder, *ada.folder.glob("connections/*"), ada.home / "pins"]
    kept = [ada.root / str(number) for number in range(2)]
    for path, copy in zip((ada.folder, ada.home / "pins"), kept, strict=True):
        shutil.copytree(path, copy)
    limit = [word for folder in folders for word in ("-P", str(folder))] if call == "openat" else []
    failed = 0
    for nth in points(60 if "KILL" in fault else 20):
        faults, command = [*limit, f"--inject={call}:{fault}:when={nth}"], "from authsome.cli import main; main()"
        where = {"folder": str(ada.project), "env": ada.environ()}
        done = forking.cut(faults, command, "vault", "resolve", "--yes", place=ada.root / "said", **where)
        _resolve(ada, "--yes")
        assert ada.held() == after, nth
        assert _keys(ada).epoch == 3
        assert set(_keys(ada).exposed) == {"/".join(name) for name in after}
        assert not list(ada.folder.rglob(".*"))
        for path, copy in zip((ada.folder, ada.home / "pins"), kept, strict=True):
            shutil.rmtree(path)
            shutil.copytree(copy, path)
        if done.returncode == 0 and "KILL" in fault:  # else one that does not matter may have failed
            break
        failed += done.returncode != 0
    assert "KILL" not in fault or done.returncode == 0, done.stderr
    assert failed


# Attacks: a merge brings what others wrote.


def test_a_removed_member_comes_back_in_no_merge_unseen(ada: Clone, cleo: Clone, tmp_path: Path) -> None:
    ada.remove(cleo)
    ada.commit("without cleo")
    mallory = _newcomer(tmp_path / "mallory")
    cleo.admit(mallory)
    cleo.put("openai", "default", OTHER_OPENAI_KEY)  # the account of somebody else
    cleo.commit("harmless")
    ada.merge(cleo)
    said = _resolve(ada, code=7)
    assert f"In doubt: mallory ({mallory.identity.recipient}) was added under keys that are no longer" in said
    assert "In doubt: openai/default was written under keys that are no longer the profile's; cleo" in said


def test_keys_that_a_removed_member_made_are_not_taken_unseen(ada: Clone, cleo: Clone) -> None:
    """Cleo knows the vault's number and everybody's public key, and says she only lists members."""
    theirs = _keys(cleo)
    ada.remove(cleo)
    ada.put("github", "default", GITHUB_TOKEN)
    ada.commit("without cleo")
    own = Identity.generate("cleo's")
    rows = [{"name": each.name, "recipient": each.recipient} for each in theirs.roster]
    forged = keyring.compose({**theirs.head, "epoch": 9, "roster": rows}, [own], theirs.reader)
    keyring.put(cleo.folder, forged)
    for provider, connection in BASE:
        entry = Entry(provider, connection, 9, ("evil.example",), {"api_key": MINE}, "", "")
        plaintext = render(entry, forged, "default")
        cleo.entry(provider, connection).write_bytes(encrypt(plaintext, [own.recipient], own))
    cleo.commit("rotated")
    ada.merge(cleo)
    before = _keys(ada).fingerprint
    said = _resolve(ada, code=7)
    assert (
        f"the other side has keys that are not known on this machine: {forged.fingerprint}, epoch 9, by commit " in said
    )
    assert ": rotated\n" in said
    assert said.count("was written under keys") == len(BASE) + 1
    assert _keys(ada).fingerprint == before


def test_if_neither_side_is_known_there_is_nothing_to_join(ada: Clone, ben: Clone, cleo: Clone) -> None:
    ada.remove(cleo)
    ada.commit("mine")
    ben.remove(cleo)
    ben.commit("theirs")
    ada.merge(ben)
    shutil.rmtree(ada.home / "pins")
    assert "neither side of the merge is the profile that is known on this machine" in _resolve(ada, "--yes", code=7)


def test_a_repository_that_names_programs_has_none_of_them_run(ada: Clone, ben: Clone, cleo: Clone) -> None:
    ada.remove(cleo)
    ada.commit("without cleo")
    ben.put("openai", "team", THEIRS)
    ben.commit("theirs")
    ada.merge(ben)
    (ada.project / ".authsome" / ".gitattributes").write_text("*.age filter=x diff=x merge=x\n")
    for name in ("filter.x.clean", "filter.x.smudge", "filter.x.process", "diff.x.textconv", "diff.x.command"):
        ada.git("config", name, f"touch {ada.root}/ran; cat")
    ada.git("config", "core.fsmonitor", f"touch {ada.root}/ran")
    assert "by commit " in _resolve(ada, code=7)
    _resolve(ada, "--yes")
    assert not (ada.root / "ran").exists()


# Where there is nothing to do, or nothing that can be done.


def test_two_profiles_of_one_person_that_were_made_apart_are_not_joined(tmp_path: Path) -> None:
    ada = shared_project(tmp_path / "ada")
    ada.commit("nothing yet")
    ada.git("checkout", "-q", "-b", "other")
    ada.put("openai", "team", OPENAI_KEY)
    ada.commit("theirs")
    ada.git("checkout", "-q", "main")
    ada.put("openai", "default", OPENAI_KEY)
    ada.commit("mine")
    assert ada.git("merge", "-q", "other", ok=False).returncode == 1
    said = _resolve(ada, code=5)
    assert "are different profiles, made apart from each other\n" in said
    paths = [str(ada.folder / name) for name in PROFILE_FILES]
    assert f"git checkout --ours -- {' '.join(paths)}".replace(str(ada.root), "~") in said
    ada.git("checkout", "--ours", "--", *paths)
    assert ada("get", "openai").code == 0


def test_one_member_whom_both_sides_removed_is_removed(ada: Clone, ben: Clone, cleo: Clone) -> None:
    for who in (ada, ben):
        who.remove(cleo)
        who.commit("without cleo")
    assert "recipients.txt" not in ada.merge(ben)
    said = _resolve(ada, code=7)
    assert said.count("In doubt: ") == 1  # the keys of the other side; no credential is another
    _resolve(ada, "--yes")
    assert ada.held() == BASE
    assert (_names(ada), _keys(ada).epoch) == ({"ben"}, 3)
    _finish(ada)


def test_profiles_that_were_made_apart_are_not_joined_by_who_opens_one(tmp_path: Path) -> None:
    ada, ben = shared_project(tmp_path / "ada"), Clone(tmp_path / "ben")
    ada.commit("nothing yet")
    ben.root.mkdir()
    ada.git("clone", "-q", str(ada.project), str(ben.project))
    ada.put("openai", "default", OPENAI_KEY)
    ada.commit("mine")
    ben.put("openai", "team", OPENAI_KEY)
    ben.commit("theirs")
    assert ada.merge(ben) == PROFILE_FILES
    said = _resolve(ada, code=4)
    assert "opens one side of the merge, to join them takes both\n" in said
    assert "ask a member of both sides to run it: nobody\n" in said


def test_who_is_a_member_of_one_side_is_told_who_can_do_it(ada: Clone, ben: Clone, tmp_path: Path) -> None:
    cleo, dora = _newcomer(tmp_path / "cleo"), _newcomer(tmp_path / "dora")
    ben.admit(dora)
    ben.commit("dora")
    ada.admit(cleo)
    ada.commit("cleo")
    ada.git("clone", "-q", str(ada.project), str(cleo.project))
    cleo.trust()
    assert cleo.merge(ben) == PROFILE_FILES
    said = _resolve(cleo, code=4)
    assert ada.identity.recipient in said
    assert ben.identity.recipient in said


def test_an_entry_that_no_keys_open_is_named_and_hides_no_other(ada: Clone) -> None:
    stranger = Identity.generate("x")
    path = ada.entry("openai", "team")
    path.write_bytes(encrypt(b"x", [stranger.recipient], stranger))
    assert ada("get", "anthropic").code == 0
    said = _resolve(ada, code=5)
    assert "connections/openai/team.age opens with none of the profile's keys" in said


def test_a_list_in_conflict_alone_is_written_from_the_keyring(ada: Clone, ben: Clone) -> None:
    path = ada.folder / "recipients.txt"
    right = path.read_bytes()
    for who, word in ((ada, b"# mine\n"), (ben, b"# theirs\n")):
        (who.folder / "recipients.txt").write_bytes(right + word)
        who.commit("a comment")
    assert ada.merge(ben) == ["recipients.txt"]
    _resolve(ada)
    assert path.read_bytes() == right


def test_the_screens_of_resolve(ada: Clone, snapshot: SnapshotAssertion) -> None:
    screens = [str(ada("vault", "resolve", "--help")), str(ada("vault", "resolve"))]
    screens.append(str(ada("vault", "resolve", "--profile", "none")))
    ada.env["AUTHSOME_RUN"] = "1"
    screens.append(str(ada("vault", "resolve")))
    del ada.env["AUTHSOME_RUN"]
    shutil.rmtree(ada.project / ".git")
    screens.append(str(ada("vault", "resolve")))
    assert "\n\n".join(screens) == snapshot


def test_what_was_joined_is_told_as_data(ada: Clone, ben: Clone, cleo: Clone) -> None:
    ada.remove(cleo)
    ada.commit("without cleo")
    ben.put("openai", "team", THEIRS)
    ben.commit("more")
    ada.merge(ben)
    told = json.loads(ada("vault", "resolve", "--yes", "--json").out)
    assert told["kind"] == "vault_resolve"
    assert told["credentials"] == [{"credential": "openai/team", "what": "taken from the side that changed it"}]
    assert (told["undecided"], told["lost"], told["epoch"]) == ([], [], 2)
    assert len(told["agreed_to"]) == 1
    assert told["next"].startswith("git add -A -- ")
