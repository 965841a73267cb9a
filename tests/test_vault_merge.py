"""A vault in git: what two people did to it at the same time."""

import shutil
import subprocess
from pathlib import Path

import pytest

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue
from authsome.vault import Given, Vault, gitfiles
from authsome.vault.armor import conflicted
from authsome.vault.sound import verify
from canary import ANTHROPIC_KEY, G2_TOKEN, GITHUB_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY
from programs import needs_age, needs_git
from repository import Clone, clone, shared_project

pytest_plugins = ["forked_fixtures"]
pytestmark = [needs_git, pytest.mark.usefixtures("forked_lines")]


@pytest.fixture
def ada(tmp_path: Path) -> Clone:
    """A member with two connections of one provider, and one of another."""
    ada = shared_project(tmp_path / "ada")
    ada.put("openai", "default", OPENAI_KEY)
    ada.put("openai", "team", OPENAI_KEY)
    ada.put("anthropic", "default", ANTHROPIC_KEY)
    return ada


@pytest.fixture
def ben(ada: Clone, tmp_path: Path) -> Clone:
    return clone(ada, tmp_path / "ben")


BASE = {("anthropic", "default"): ANTHROPIC_KEY, ("openai", "default"): OPENAI_KEY, ("openai", "team"): OPENAI_KEY}
EDITED = OTHER_OPENAI_KEY
MINE, THEIRS = "sk-CANARYmine5678901234567890", "sk-CANARYtheirs7890123456789012"


# What git does with two changes. Each has a secret of its own, so that none can stand for another.


@pytest.mark.parametrize(
    ("mine", "theirs", "after"),
    [
        pytest.param(
            [("put", "github", "default", GITHUB_TOKEN)],
            [("put", "g2", "default", G2_TOKEN)],
            BASE | {("github", "default"): GITHUB_TOKEN, ("g2", "default"): G2_TOKEN},
            id="added-apart",
        ),
        pytest.param(
            [("put", "openai", "a", MINE)],
            [("put", "openai", "b", THEIRS)],
            BASE | {("openai", "a"): MINE, ("openai", "b"): THEIRS},
            id="added-adjacent",
        ),
        pytest.param(
            [("put", "openai", "default", MINE)],
            [("put", "anthropic", "default", THEIRS)],
            BASE | {("openai", "default"): MINE, ("anthropic", "default"): THEIRS},
            id="edited-apart",
        ),
        pytest.param(
            [("put", "openai", "default", MINE)],
            [("put", "openai", "team", THEIRS)],
            BASE | {("openai", "default"): MINE, ("openai", "team"): THEIRS},
            id="edited-adjacent",
        ),
        pytest.param(
            [("drop", "openai", "default")],
            [("put", "openai", "team", THEIRS)],
            {("anthropic", "default"): ANTHROPIC_KEY, ("openai", "team"): THEIRS},
            id="deleted-and-edited",
        ),
        pytest.param(
            [("drop", "openai", "default")],
            [("drop", "openai", "team")],
            {("anthropic", "default"): ANTHROPIC_KEY},
            id="deleted-adjacent",
        ),
        pytest.param(
            [("drop", "openai", "default")],
            [("drop", "openai", "default"), ("put", "openai", "b", THEIRS)],
            {("anthropic", "default"): ANTHROPIC_KEY, ("openai", "team"): OPENAI_KEY, ("openai", "b"): THEIRS},
            id="deleted-twice-and-added",
        ),
    ],
)
@pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "no-attributes"])
def test_changes_of_different_entries_merge_and_all_open(
    ada: Clone,
    ben: Clone,
    mine: list[tuple[str, ...]],
    theirs: list[tuple[str, ...]],
    after: dict[tuple[str, str], str],
    attributes: bool,
) -> None:
    if not attributes:
        (ada.project / ".authsome" / ".gitattributes").unlink()
        ada.commit("no attributes")
        assert ben.merge(ada) == []
    for who, changes in ((ada, mine), (ben, theirs)):
        for doing, *words in changes:
            getattr(who, doing)(*words)
        who.commit("changes")
    assert ada.merge(ben) == []
    assert ada.held() == after
    assert ben.merge(ada) == []
    assert ben.held() == after
    report = verify(ben.project / ".authsome", private=False)
    assert (report.files, report.problems) == (len(after) + 2, ())


def _edited_by_both(ada: Clone, ben: Clone) -> Path:
    ada.put("openai", "team", MINE)
    ada.put("openai", "default", EDITED)
    ada.commit("mine")
    ben.put("openai", "team", THEIRS)
    ben.put("anthropic", "default", G2_TOKEN)
    ben.commit("theirs")
    assert ada.merge(ben) == ["connections/openai/team.age"]
    return ada.entry("openai", "team")


def test_an_entry_that_both_edited_is_the_only_conflict_and_stays_as_it_was_here(ada: Clone, ben: Clone) -> None:
    _edited_by_both(ada, ben)
    after = BASE | {("openai", "default"): EDITED, ("anthropic", "default"): G2_TOKEN}
    assert ada.held() == after | {("openai", "team"): MINE}


@pytest.mark.parametrize(("side", "key"), [("ours", MINE), ("theirs", THEIRS)])
@pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "no-attributes"])
def test_one_side_of_an_entry_is_kept_as_the_message_says(
    ada: Clone, ben: Clone, side: str, key: str, attributes: bool
) -> None:
    if not attributes:
        (ada.project / ".authsome" / ".gitattributes").unlink()
        ada.commit("no attributes")
        assert ben.merge(ada) == []
    path = _edited_by_both(ada, ben)
    if not attributes:
        with pytest.raises(AuthsomeError, match="has a conflict that git left") as caught:
            ada.held()
        assert caught.value.code == ExitCode.INTEGRITY
        assert caught.value.hint == f"keep one side: git checkout --ours -- {path} (or --theirs), then: git add {path}"
        shown = ada("get", "openai", "--connection", "team")
        assert (shown.code, shown.out, len(shown.err.splitlines())) == (5, "", 2)
        assert shown.err.startswith(
            "Error: ~/project/.authsome/profiles/default/connections/openai/team.age has a conf"
        )
        problems = {each.path: each.what for each in verify(ada.project / ".authsome", private=False).problems}
        assert problems == {
            path: f"has a conflict that git left; keep one side: git checkout --ours -- {path} (or --theirs)"
        }
        others = [name for name in BASE if name != ("openai", "team")]
        assert all(ada.vault.read(*name) for name in others)  # it hides none of them
    ada.git("checkout", f"--{side}", "--", str(path))
    ada.git("add", str(path))
    ada.git("commit", "-q", "--no-edit")
    after = BASE | {("openai", "default"): EDITED, ("anthropic", "default"): G2_TOKEN, ("openai", "team"): key}
    assert ada.held() == after
    assert ben.merge(ada) == []
    assert ben.held() == after


def test_a_deletion_against_an_edit_leaves_the_edited_entry_and_the_choice(ada: Clone, ben: Clone) -> None:
    """What git does: the file that is left opens, and is in conflict until it is added or removed."""
    ada.drop("openai", "team")
    ada.commit("dropped")
    ben.put("openai", "team", THEIRS)
    ben.commit("edited")
    assert ada.merge(ben) == ["connections/openai/team.age"]
    assert ada.held() == BASE | {("openai", "team"): THEIRS}
    ada.git("rm", "-q", "--", str(ada.entry("openai", "team")))
    ada.git("commit", "-q", "--no-edit")
    assert ben.merge(ada) == []
    assert ben.held() == {name: key for name, key in BASE.items() if name != ("openai", "team")}


def test_a_merge_lets_the_command_line_do_its_work(ada: Clone, ben: Clone) -> None:
    ada.put("openai", "b", MINE)
    ada.commit("mine")
    ben.put("github", "default", GITHUB_TOKEN)
    ben.commit("theirs")
    assert ada.merge(ben) == []
    ada.declare("version: 1\nproviders:\n  openai:\n  github:\n  anthropic:\n")
    assert ada("check").code == 0
    shown = [
        ada("get", provider, "--connection", connection, "--show-secret", "--field", "api_key", reveals=True).out
        for provider, connection in (("openai", "b"), ("anthropic", "default"), ("openai", "team"))
    ]
    assert shown == [f"{MINE}\n", f"{ANTHROPIC_KEY}\n", f"{OPENAI_KEY}\n"]
    listed = ada("list").out
    assert listed.count(" connected") == 5


# The lines for git.


def test_the_attributes_are_written_with_the_first_vault_of_a_project(tmp_path: Path) -> None:
    ada = shared_project(tmp_path / "ada")
    ada.put("openai", "default", OPENAI_KEY)
    written = (ada.project / ".authsome" / ".gitattributes").read_text()
    assert written.splitlines()[-2:] == ["*.age -text -merge diff=authsome", "recipients.txt text eol=lf -merge"]
    assert not (ada.home / ".gitattributes").exists()
    paths = [
        str(path.relative_to(ada.project)) for path in (ada.entry("openai", "default"), ada.folder / "keyring.age")
    ]
    told = ada.git("check-attr", "text", "merge", "diff", "--", *paths).stdout.splitlines()
    words = [("text", "unset"), ("merge", "unset"), ("diff", "authsome")]
    assert told == [f"{path}: {name}: {value}" for path in paths for name, value in words]
    (ada.project / ".authsome" / ".gitattributes").unlink()
    ada.put("openai", "team", OPENAI_KEY)
    assert not (ada.project / ".authsome" / ".gitattributes").exists()  # who deleted it did not want it


def test_the_line_for_diffs_is_said_once(tmp_path: Path) -> None:
    ada = shared_project(tmp_path / "ada")
    said: list[str] = []
    openai = Catalogue(ada.home).get("openai")
    for connection in ("default", "team"):
        vault = Vault(ada.home, "default", {"HOME": str(ada.root)}, Given(say=said.append), ada.project)
        vault.write(openai, connection, {"api_key": OPENAI_KEY}, now=0.0, shared=True)
    path = ada.project / ".authsome" / ".gitattributes"
    line = 'git config diff.authsome.textconv "authsome vault textconv"'
    assert said == [f"{path} tells git how to treat the vault. For diffs to read: {line}"]


def test_lines_of_ones_own_stay_as_they_are_and_are_completed(tmp_path: Path) -> None:
    path = tmp_path / ".gitattributes"
    path.write_bytes(b"*.age binary\r\n* text=auto")
    assert gitfiles.write_attributes(tmp_path)
    lines = path.read_bytes().splitlines()
    assert lines[:2] == [b"*.age binary", b"* text=auto"]
    assert lines[2:] == [
        b"# The vault's files are encrypted: git must not convert or join them. For diffs that can be read, once:",
        b'#   git config diff.authsome.textconv "authsome vault textconv"',
        b"recipients.txt text eol=lf -merge",
    ]
    assert not gitfiles.write_attributes(tmp_path)
    assert path.read_bytes().splitlines() == lines


def test_attributes_that_are_somebodys_link_do_not_keep_a_vault_from_being_made(tmp_path: Path) -> None:
    ada = shared_project(tmp_path / "ada")
    (ada.project / ".authsome").mkdir()
    (ada.project / "theirs").write_text("x\n")
    (ada.project / ".authsome" / ".gitattributes").symlink_to("../theirs")
    ada.put("openai", "default", OPENAI_KEY)
    assert ada.held() == {("openai", "default"): OPENAI_KEY}
    assert (ada.project / "theirs").read_text() == "x\n"


@needs_age
@pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "no-attributes"])
def test_a_checkout_that_converts_the_ends_of_lines_opens(ada: Clone, ben: Clone, attributes: bool) -> None:
    """With the attributes git converts nothing; without them the files still open, also with stock age."""
    if not attributes:
        (ada.project / ".authsome" / ".gitattributes").unlink()
        ada.commit("no attributes")
        assert ben.merge(ada) == []
    ben.git("config", "core.autocrlf", "true")
    shutil.rmtree(ben.project / ".authsome")
    ben.git("checkout", "--", ".authsome")
    paths = [ben.entry("openai", "team"), ben.folder / "keyring.age", ben.folder / "recipients.txt"]
    assert [b"\r\n" in path.read_bytes() for path in paths] == [not attributes] * 3
    assert ben.held() == BASE
    assert verify(ben.project / ".authsome", private=False).problems == ()
    opened = subprocess.run(
        ["age", "-d", "-i", ben.home / "identity.txt", ben.folder / "keyring.age"], capture_output=True, check=False
    )
    assert opened.stdout.startswith(b"# authsome-keyring ")
    ben.put("openai", "team", THEIRS)
    ben.commit("changed on Windows")
    assert ada.merge(ben) == []
    assert ada.held() == BASE | {("openai", "team"): THEIRS}
    assert b"\r" not in ada.entry("openai", "team").read_bytes()


# Marks of a conflict, as git leaves them where it knows no attributes.


def test_marks_of_a_conflict_are_recognised_in_their_order_only() -> None:
    marked = b"-----BEGIN\n<<<<<<< HEAD\na\n||||||| base\nb\n=======\nc\n>>>>>>> branch\n-----END\n"
    assert conflicted(marked)
    assert conflicted(marked.replace(b"\n", b"\r\n"))
    assert not conflicted(b"=======\n<<<<<<< a\n>>>>>>> b\n")
    assert not conflicted(marked[: marked.index(b">>>>>>>")])
    assert not conflicted(b"x" + marked.replace(b"\n<", b"\n <"))


@pytest.mark.parametrize("name", ["keyring.age", "recipients.txt"])
def test_a_profile_with_marks_names_the_command_that_joins_it(ada: Clone, name: str) -> None:
    path = ada.folder / name
    content = path.read_bytes()
    path.write_bytes(b"<<<<<<< HEAD\n" + content + b"=======\n" + content + b">>>>>>> branch\n")
    with pytest.raises(AuthsomeError) as caught:
        ada.held()
    error = caught.value
    assert (error.code, error.message) == (ExitCode.INTEGRITY, f"{path} has a conflict that git left")
    assert error.hint == "join both sides: authsome vault resolve"
    problems = {each.path: each.what for each in verify(ada.project / ".authsome", private=False).problems}
    assert problems == {path: "has a conflict that git left; join both sides: authsome vault resolve"}
