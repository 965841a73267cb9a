"""`authsome log`, as a process beside the log of another one."""

import dataclasses
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from authsome import audit, documents
from authsome.audit import chain, process
from authsome.rules import Use
from authsome.screens import run as screen
from conftest import EXECUTABLE, CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

START = 1_790_000_000.0
USES = [
    ("r1", Use(START, "POST", "api.openai.com", "/v1/responses", "inject", "openai", 200, 120, 4096, 812.4)),
    ("r1", Use(START + 1, "CONNECT", "packages.example.com", "", "tunnel", None, 200, 900, 70000, 3000.0)),
    ("r2", Use(START + 2, "GET", "api.github.com", "/repos/acme/widgets/issues/7", "inject", "github", 200, 0, 99, 80)),
    ("r2", Use(START + 3, "GET", "api.github.com", "/repos/acme/a%2Fb", "inject", "github/team", 404, 0, 9, 70)),
    ("r2", Use(START + 4, "DELETE", "api.github.com", "/repos/acme", "not_allowed", "github", 403, 0, 90, 0.2)),
    ("r2", Use(START + 5, "GET", "api.openai.com", "/x", "placeholder_misplaced", "openai", 403, 0, 90, 0.2)),
    ("r2", Use(START + 6, "GET", "api.openai.com", "/v1/models/a:", "pass", "openai", 200, 0, 90, 9)),
]


def _record(authsome: CommandLine, number: int = 0, uses: list[tuple[str, Use]] = USES) -> Path:
    folder = audit.place(authsome.home)
    for run, use in uses:
        client = process.Process(4000 + number, "python") if run == "r2" else None
        chain.append(folder, [audit.render(use, run, "default", client)])
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "log --help",
        "log",
        "log --lines 2",
        "log --last",
        "log --run r1 --json",
        "log --verify",
        "log --verify --json",
        "log suggest-rules",
        "log suggest-rules github/team",
        "log suggest-rules openai --json",
        "log suggest-rules openia",
        "log sugest-rules",
        "log --follow --verify",
    ],
)
def test_a_screen_of_the_log_reads_like_the_manual(
    authsome: CommandLine, snapshot: SnapshotAssertion, line: str
) -> None:
    _record(authsome)
    assert str(authsome(*line.split())) == snapshot


def test_the_screens_of_an_empty_log(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    lines = ("log", "log --last", "log --verify", "log suggest-rules", "log --json", "log suggest-rules --json")
    assert "\n\n".join(str(authsome(*line.split())) for line in lines) == snapshot
    assert not authsome.home.exists()


def test_a_changed_log_ends_with_5_and_names_file_and_line(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    log = _record(authsome) / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"DELETE", b"GET"))
    done = authsome("log", "--verify")
    assert done.code == 5
    assert str(done) == snapshot
    assert json.loads(authsome("log", "--verify", "--json").out)["problems"][0]["line"] == 5


def test_the_log_is_sealed_inside_a_run(authsome: CommandLine) -> None:
    _record(authsome)
    for arguments in (["log"], ["log", "--verify"], ["log", "suggest-rules"], ["log", "--follow"]):
        authsome.env = {"AUTHSOME_RUN": "r3"}
        done = authsome(*arguments)
        assert (done.code, done.out) == (7, "")
        assert done.err.startswith("Error: `authsome log` is sealed inside a run\n")


def test_what_is_proposed_is_a_manifest_that_loads(authsome: CommandLine) -> None:
    _record(authsome)
    path = authsome.declare("version: 1\n" + authsome("log", "suggest-rules").out)
    assert "No use" not in documents.read_text(path)
    done = authsome("check", "--json")
    steps = {step["provider"] for step in json.loads(done.out)["steps"]}
    assert (done.code, steps) == (3, {"github", "openai"})


def test_a_log_that_is_a_file_is_one_error(authsome: CommandLine) -> None:
    authsome.home.mkdir()
    audit.place(authsome.home).write_text("in the way")
    for arguments in (["log"], ["log", "--verify"]):
        done = authsome(*arguments)
        assert done.code == 1
        assert done.err.startswith("Error: cannot read ~/.authsome/audit: not a directory\nHint: ")


def _following(authsome: CommandLine, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [EXECUTABLE, "log", "--follow", *more],
        env=authsome.environ(),
        cwd=authsome.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_follow_shows_what_comes_across_rotation_and_leaves_quietly(authsome: CommandLine) -> None:
    following = _following(authsome, "--json", "--run", "r2")
    assert following.stdout
    folder = audit.place(authsome.home)
    for number in range(30):
        use = dataclasses.replace(USES[2][1], sent=number)
        for run in ("r1", "r2"):
            chain.append(folder, [audit.render(use, run, "default", None)], limit=1000, kept=40)
    lines = [json.loads(following.stdout.readline()) for _ in range(30)]
    assert [(line["run"], line["sent"]) for line in lines] == [("r2", number) for number in range(30)]
    assert all(line["schema_version"] == 1 for line in lines)
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=10) == ("", "")
    assert following.returncode == 0


def test_follow_ends_when_nobody_reads_it_any_more(authsome: CommandLine) -> None:
    _record(authsome)
    following = _following(authsome)
    assert following.stdout
    assert following.stdout.readline().startswith("2026-09-21T14:13:20Z  r1  openai  POST api.openai.com/v1/responses")
    following.stdout.close()
    deadline = time.monotonic() + 10
    while following.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert following.returncode == 0
    assert following.stderr
    assert following.stderr.read() == ""
    following.stderr.close()


def test_a_summary_reads_like_the_manual(snapshot: SnapshotAssertion) -> None:
    assert screen.summary(audit.summary(use for _, use in USES)) == snapshot
    assert screen.summary(audit.summary([])) == "authsome: the agent sent no request\n"
