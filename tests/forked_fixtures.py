"""One process that forks for all tests of a session."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import forked
from conftest import EXECUTABLE, CommandLine
from terminal import Person


@pytest.fixture(scope="session")
def forking() -> Iterator[forked.Server]:
    with forked.serving() as server:
        yield server


@pytest.fixture
def forked_lines(forking: forked.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command line of a test be a fork, with nobody at the terminal and with somebody."""

    anew = CommandLine.start

    def start(line: CommandLine, *arguments: str, given: str | None = "") -> "subprocess.CompletedProcess[bytes]":
        if _is_told(line.environ()):
            return anew(line, *arguments, given=given)
        return forking.ask(arguments, given or "", line.environ(), line.project, tmp_path / ".said")

    monkeypatch.setattr(CommandLine, "start", start)
    begin, ended = Person.begin, Person.ended
    mine: dict[int, forked.Running] = {}

    def begins(person: Person, command: list[str], env: dict[str, str], cwd: Path) -> tuple[int, int]:
        if command[0] != str(EXECUTABLE) or _is_told(env):
            return begin(person, command, env, cwd)
        running, master = forked.on_terminal(forking, command[1:], env, cwd)
        mine[running.pid] = running
        return running.pid, master

    def has_ended(person: Person) -> int | None:
        return mine[person.pid].poll() if person.pid in mine else ended(person)

    monkeypatch.setattr(Person, "begin", begins)
    monkeypatch.setattr(Person, "ended", has_ended)


def _is_told(environ: Mapping[str, str]) -> bool:
    """Whether something is said to an interpreter that starts."""
    return any(name.startswith("PYTHON") for name in environ)
