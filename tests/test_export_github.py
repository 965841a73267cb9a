"""`authsome export --format github`: what the runner hides, and what the next steps find."""

import base64
import json
import os
import signal
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from authsome.errors import AuthsomeError
from authsome.export import Format, github, render
from authsome.provider import Catalogue
from authsome.vault import Vault
from canary import GITHUB_TOKEN, OPENAI_KEY, OUTSIDE, sings
from conftest import EXECUTABLE, CommandLine
from disks import fill, small_disk
from exported import environment_file, many, workflow_commands
from programs import needs_strace

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

PEM = '-----BEGIN PRIVATE KEY-----\nCANARY/first+line==\r\n  CANARY second, indented\nCANARY third "quoted" 100%\n'
TEXT = st.text(
    st.one_of(st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from("%\r\n=<: ")), max_size=20
)


@pytest.fixture
def step(authsome: CommandLine) -> Path:
    """Make the command line a step of a job, and return its `$GITHUB_ENV`, in which an earlier line stands."""
    folder = authsome.root / OUTSIDE
    folder.mkdir()
    path = folder / "set_env"
    path.write_text("BEFORE=1\n")
    authsome.env = {"GITHUB_ENV": str(path), "CI": "true"}
    return path


def _hold(authsome: CommandLine, value: str) -> None:
    """Store what no person could paste: a key of several lines."""
    provider = Catalogue(authsome.home).get("g2")
    Vault(authsome.home, "default", {}).write(provider, "default", {"api_key": value}, now=0.0)


def _log(text: str, masks: list[str]) -> str:
    """Return what a runner shows that knows nothing but the masks: it hides the longest first."""
    for mask in sorted(masks, key=len, reverse=True):
        text = text.replace(mask, "***")
    return text


# What the runner is told to hide.


def _basic(text: str, before: str) -> str:
    return base64.b64encode(f"{before}{text}".encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": lambda text: _basic(text, ""),
    "base64 after one": lambda text: _basic(text, "u"),
    "base64 after two": lambda text: _basic(text, "u:"),
    "base64 after a name": lambda text: _basic(text, "x-access-token:"),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "a path": urllib.parse.quote,
    "an address": lambda text: urllib.parse.quote(text, safe=""),
    "encodeURIComponent": lambda text: urllib.parse.quote(text, safe="-_.!~*'()"),
    "a form": urllib.parse.quote_plus,
    "JSON": json.dumps,
    "JSON, readable": lambda text: json.dumps(text, ensure_ascii=False),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("value", [OPENAI_KEY, PEM, "CANARY?>~ü☃😀/+\\\"'()* 100%", "CANARY%0Aend"])
def test_a_log_shows_no_line_of_a_value_in_any_spelling(value: str, spelling: str) -> None:
    masks = workflow_commands(render({"KEY": value}, Format.GITHUB))
    for text in (value, *value.splitlines()):
        shown = _log(f"step says: {SPELLINGS[spelling](text)}!", masks)
        assert not sings(shown.encode()), shown
        assert len(shown) < len("step says: !") + 32


def test_every_line_of_every_value_is_masked() -> None:
    masks = workflow_commands(
        render({"A": "first-CANARY\nsecond-CANARY\r\nthird-CANARY\rlast", "B": "other"}, Format.GITHUB)
    )
    assert {"first-CANARY", "second-CANARY", "third-CANARY", "last", "other"} <= {*masks}
    assert "first-CANARY\nsecond-CANARY\r\nthird-CANARY\rlast" in masks


@settings(max_examples=150, deadline=None)
@given(value=TEXT)
def test_a_mask_is_the_value_whatever_stands_in_it_and_never_empty(value: str) -> None:
    text = render({"KEY": value}, Format.GITHUB)
    masks = workflow_commands(text) if text else []
    assert value in masks or not value.strip()
    # A spelling of few characters would hide half of any log.
    parts = {value, *(part.strip() for part in (value, *value.replace("\r", "\n").split("\n")))}
    assert all(len(mask) >= 8 or mask in parts or mask.strip() in parts for mask in masks)


# What the next steps find.


@settings(max_examples=150, deadline=None)
@given(values=st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), TEXT, max_size=4))
def test_the_runner_reads_exactly_the_variables(values: dict[str, str]) -> None:
    values = {f"V_{name}": value for name, value in values.items()}
    text = github.assignments(values, os.urandom)
    assert (environment_file(text) if text else {}) == values


def test_the_runner_reads_the_telling_values_exactly() -> None:
    values = {f"V{number}": value for number, value in enumerate(many(seed=7, number=500)) if "\0" not in value}
    assert environment_file(github.assignments(values, os.urandom)) == values


def test_a_value_cannot_contain_the_end_of_itself() -> None:
    def random() -> Iterator[bytes]:
        yield from (b"\1" * 16, b"\2" * 16, b"\3" * 16)

    told = random()
    value = f"a\nauthsome_{'01' * 16}\nINJECTED=1\nxauthsome_{'02' * 16}x"
    text = github.assignments({"KEY": value}, lambda _: next(told))
    assert text.startswith(f"KEY<<authsome_{'03' * 16}\n")
    assert environment_file(text) == {"KEY": value}


@pytest.mark.parametrize("name", ["GITHUB_ENV", "GITHUB_PATH", "github_sha", "GITHUB_", "RUNNER_TEMP", "NODE_OPTIONS"])
def test_a_name_that_the_runner_keeps_for_itself_is_refused(name: str) -> None:
    with pytest.raises(AuthsomeError, match=f"{name} is a variable that the runner keeps for itself"):
        render({name: "x"}, Format.GITHUB)
    with pytest.raises(AuthsomeError, match=f"{name} is a variable that the runner keeps for itself"):
        github.assignments({name: "x"}, os.urandom)


# The command.


def test_a_step_tells_the_runner_what_to_hide_and_the_next_one_has_the_keys(authsome: CommandLine, step: Path) -> None:
    authsome.login("github", GITHUB_TOKEN)
    _hold(authsome, PEM)
    done = authsome("export", "--format", "github", reveals=True)
    assert done.code == 0, done
    assert {GITHUB_TOKEN, *(line.strip() for line in PEM.splitlines())} <= {*workflow_commands(done.out)}
    assert environment_file(step.read_bytes().decode()) == {
        "BEFORE": "1",
        "GH_TOKEN": GITHUB_TOKEN,
        "GITHUB_TOKEN": GITHUB_TOKEN,
        "G2_API_TOKEN": PEM,
    }
    assert done.err == "G2_API_TOKEN, GH_TOKEN, GITHUB_TOKEN: in the environment of the steps that follow.\n"
    assert not sings(done.err.encode())


def test_a_line_that_an_earlier_step_left_open_is_not_continued(authsome: CommandLine, step: Path) -> None:
    step.write_text("BEFORE=1")
    authsome.login("openai", OPENAI_KEY)
    assert authsome("export", "--format", "github", reveals=True).code == 0
    assert environment_file(step.read_text()) == {"BEFORE": "1", "OPENAI_API_KEY": OPENAI_KEY}


def test_nothing_connected_leaves_the_file_alone(authsome: CommandLine, step: Path) -> None:
    done = authsome("export", "--format", "github")
    assert (done.code, done.out, step.read_text()) == (0, "", "BEFORE=1\n")


def test_whatever_is_no_plain_file_is_refused_before_anything_is_said(authsome: CommandLine, step: Path) -> None:
    authsome.login("openai", OPENAI_KEY)
    link, pipe, folder, missing = (step.parent / name for name in ("link", "pipe", "folder", "missing"))
    link.symlink_to(step)
    os.mkfifo(pipe)
    folder.mkdir()
    for named, code in (("", 2), ("/dev/null", 2), (link, 2), (pipe, 2), (folder, 2), (missing, 1)):
        authsome.env |= {"GITHUB_ENV": str(named)}
        done = authsome("export", "openai", "--format", "github")
        assert (done.code, done.out) == (code, "")
        assert "GITHUB_ENV" in done.err
        assert "Hint: " in done.err
    assert step.read_text() == "BEFORE=1\n"
    assert not missing.exists()


def _start(authsome: CommandLine, command: list[str], stdout: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        env=authsome.environ(),
        cwd=authsome.project,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )


EXPORT = [str(EXECUTABLE), "export", "openai", "--format", "github"]


def test_where_the_runner_is_not_told_what_to_hide_no_value_is_written(authsome: CommandLine, step: Path) -> None:
    authsome.login("openai", OPENAI_KEY)
    reading, writing = os.pipe()
    os.close(reading)
    for stdout, code in ((writing, 1), (subprocess.DEVNULL, 2)):
        done = _start(authsome, EXPORT, stdout)
        assert done.returncode == code
        assert done.stderr.startswith(b"Error: ")
        assert not sings(done.stderr)
        assert step.read_text() == "BEFORE=1\n"
    os.close(writing)


def test_on_a_full_disk_the_file_is_as_it_was(authsome: CommandLine, step: Path) -> None:
    _hold(authsome, "CANARY" + "x" * 32_000)
    with small_disk(step.parent / "disk", 256) as disk:
        path = disk / "set_env"
        path.write_text("BEFORE=1\n")
        authsome.env |= {"GITHUB_ENV": str(path)}
        ballast = fill(disk, leaving=8192)
        done = authsome("export", "--format", "github", reveals=True)
        assert (done.code, path.read_text()) == (1, "BEFORE=1\n")
        assert "no space left on device" in done.err
        assert not sings(done.err.encode())
        ballast.unlink()
        assert authsome("export", "--format", "github", reveals=True).code == 0
        assert list(environment_file(path.read_text())) == ["BEFORE", "G2_API_TOKEN"]


def test_at_every_level_of_fullness_the_file_has_all_or_nothing(tmp_path: Path) -> None:
    addition = github.assignments({"ONE": "x" * 6000, "OTHER": "y" * 9000}, os.urandom)
    kept = written = 0
    with small_disk(tmp_path / OUTSIDE, 128) as disk:
        path = disk / "set_env"
        for pages in range(8):
            path.write_text("BEFORE=1")
            ballast = fill(disk, leaving=4096 * pages)
            try:
                github.append(path, addition)
                assert list(environment_file(path.read_text())) == ["BEFORE", "ONE", "OTHER"]
                written += 1
            except AuthsomeError as error:
                assert "no space left" in error.message
                assert path.read_text() == "BEFORE=1"
                kept += 1
            ballast.unlink()
    assert kept
    assert written


@needs_strace
@pytest.mark.parametrize("fault", ["signal=INT", "error=EIO"])
def test_interrupted_while_it_writes_the_file_is_as_it_was(authsome: CommandLine, step: Path, fault: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(step), f"--inject=write:{fault}:when=1"]
    done = _start(authsome, [*strace, *EXPORT], subprocess.PIPE)
    assert done.returncode == (130 if "INT" in fault else 1), done.stderr
    assert step.read_text() == "BEFORE=1\n"
    assert not sings(done.stderr)
    assert _start(authsome, EXPORT, subprocess.PIPE).returncode == 0
    assert environment_file(step.read_text()) == {"BEFORE": "1", "OPENAI_API_KEY": OPENAI_KEY}


@needs_strace
def test_ended_in_the_middle_of_a_write_the_file_has_all_or_nothing(authsome: CommandLine, step: Path) -> None:
    _hold(authsome, "CANARY" + "x" * 32_000)
    with small_disk(step.parent / "disk", 256) as disk:
        path = disk / "set_env"
        authsome.env |= {"GITHUB_ENV": str(path)}
        export = [str(EXECUTABLE), "export", "g2", "--format", "github"]
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path), "--inject=write:signal=TERM:when=1"]
        for leaving, kept in ((8192, ["BEFORE"]), (65536, ["BEFORE", "G2_API_TOKEN"])):
            path.write_text("BEFORE=1\n")
            ballast = fill(disk, leaving=leaving)
            done = _start(authsome, [*strace, *export], subprocess.PIPE)
            assert done.returncode == -signal.SIGTERM, done.stderr
            assert list(environment_file(path.read_text())) == kept
            ballast.unlink()
