"""One process that forks for all tests of a session."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import forked
from conftest import CommandLine


@pytest.fixture(scope="session")
def forking() -> Iterator[forked.Server]:
    with forked.serving() as server:
        yield server


@pytest.fixture
def forked_lines(forking: forked.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command line of a test be a fork."""

    def start(line: CommandLine, *arguments: str, given: str | None = "") -> "subprocess.CompletedProcess[bytes]":
        return forking.ask(arguments, given or "", line.environ(), line.project, tmp_path / ".said")

    monkeypatch.setattr(CommandLine, "start", start)
