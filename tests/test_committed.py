"""Git's history of a file is searched without git being told for what."""

import os
import subprocess
from pathlib import Path

import pytest

from authsome import committed
from authsome.committed import Past, search
from canary import GITHUB_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY
from programs import needs_git, needs_strace

pytestmark = needs_git
VALUES = [OPENAI_KEY.encode(), GITHUB_TOKEN.encode()]


def _git(folder: Path, *words: str) -> str:
    mine = ["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *mine, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    return folder


def _commit(folder: Path, content: str | None, message: str = "a change", name: str = ".env") -> str:
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", message)
    return _git(folder, "rev-parse", "HEAD")


def _search(folder: Path, name: str = ".env") -> Past:
    past = search(folder / name, VALUES, _quiet)
    assert past
    return past


def _quiet(_: str) -> None:
    raise AssertionError("this takes no time")


def test_the_commit_that_first_brought_a_value_is_named(repository: Path) -> None:
    _commit(repository, "A=1\n")
    first = _commit(repository, f"A={OPENAI_KEY}\n", f"subject with {OTHER_OPENAI_KEY}")
    _commit(repository, f"A={OPENAI_KEY}\nB=2\n")
    _commit(repository, "")
    _commit(repository, None)
    (repository / ".env").write_text(f"A={OPENAI_KEY}\n")
    past = _search(repository)
    assert (past.tracked, past.whole, past.staged) == (False, True, frozenset())
    assert {place: commit.name for place, commit in past.since.items()} == {0: first}
    assert past.since[0].author == "tester"
    assert OTHER_OPENAI_KEY not in repr(past)


@pytest.mark.parametrize("way", ["branch", "tag", "stash", "merge"])
def test_no_branch_tag_stash_or_merge_is_left_out(repository: Path, way: str) -> None:
    _commit(repository, "A=1\n")
    if way == "stash":
        (repository / ".env").write_text(f"A={OPENAI_KEY}\n")
        _git(repository, "stash", "-q")
    elif way == "merge":
        _git(repository, "checkout", "-q", "-b", "side")
        _commit(repository, "A=2\n")
        _git(repository, "checkout", "-q", "main")
        _commit(repository, "x", name="other")
        _git(repository, "merge", "-q", "--no-commit", "--no-ff", "side")
        _commit(repository, f"A={OPENAI_KEY}\n")  # which neither side had
        _commit(repository, "A=3\n")
    else:
        _git(repository, "checkout", "-q", "-b", "side")
        _commit(repository, f"A={OPENAI_KEY}\n")
        if way == "tag":
            _git(repository, "tag", "kept")
        _git(repository, "checkout", "-q", "main")
        if way == "tag":
            _git(repository, "branch", "-q", "-D", "side")
    assert set(_search(repository).since) == {0}


def test_what_is_staged_is_told_from_what_is_committed(repository: Path) -> None:
    (repository / ".env").write_text(f"B={GITHUB_TOKEN}\n")
    _git(repository, "add", ".env")
    past = _search(repository)
    assert (past.tracked, past.since, past.staged) == (True, {}, frozenset({1}))


def test_without_a_repository_or_git_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    assert search(tmp_path / ".env", VALUES, _quiet) is None
    monkeypatch.setenv("PATH", "")
    assert search(tmp_path / ".env", VALUES, _quiet) is None


def test_a_name_that_git_would_read_as_a_pattern_is_a_name(repository: Path) -> None:
    _commit(repository, f"A={OPENAI_KEY}\n", name="a.env")
    _commit(repository, "A=1\n", name="*.env")
    assert not _search(repository, "*.env").since
    _commit(repository, f"A={OPENAI_KEY}\n", name=":(top)x")
    assert set(_search(repository, ":(top)x").since) == {0}


def test_what_could_not_be_looked_through_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        _commit(repository, f"A={number}\n")
    clone = repository / "clone"
    _git(repository, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    assert not _search(clone).whole
    assert _search(repository).whole
    lost = _git(repository, "rev-parse", "HEAD:.env")
    (repository / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    assert not _search(repository).whole
    said: list[str] = []
    monkeypatch.setattr(committed, "MAX_VERSIONS", 1)
    monkeypatch.setattr(committed, "_QUIET_VERSIONS", 1)
    past = search(repository / ".env", VALUES, said.append)
    assert past
    assert not past.whole
    assert said == ["authsome: looking through 3 versions of .env in git …"]


def test_a_repository_has_git_run_nothing(repository: Path) -> None:
    _commit(repository, f"A={OPENAI_KEY}\n")
    (repository / ".gitattributes").write_text(".env filter=evil diff=evil\n")
    mark = repository / "ran"
    for name in (
        "filter.evil.smudge",
        "filter.evil.clean",
        "diff.evil.textconv",
        "diff.evil.command",
        "core.fsmonitor",
    ):
        _git(repository, "config", name, f"touch {mark}; cat")
    assert set(_search(repository).since) == {0}
    assert not mark.exists()


@needs_strace
def test_no_value_is_an_argument_of_git_or_in_a_file(repository: Path) -> None:
    _commit(repository, f"A={OPENAI_KEY}\n")
    trace = repository / "trace"
    script = (
        "import os; from pathlib import Path; from authsome.committed import search\n"
        "assert search(Path('.env'), [os.environ['VALUE'].encode()], print).since\n"
    )
    subprocess.run(
        [*("strace", "-f", "-s", "9999", "-e", "trace=execve,openat", "-o", str(trace)), "python", "-c", script],
        cwd=repository,
        env=os.environ | {"VALUE": OPENAI_KEY},
        check=True,
    )
    traced = trace.read_text()
    assert "cat-file" in traced
    assert OPENAI_KEY not in traced
    written = [line for line in traced.splitlines() if "O_CREAT" in line and "/dev/null" not in line]
    assert not [line for line in written if "__pycache__" not in line]
