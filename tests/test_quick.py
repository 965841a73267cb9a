"""The short way to read `run` reads what the long one would."""

from typing import Any, NoReturn

import pytest
import typer
from hypothesis import example, given, strategies as st

from authsome.cli import agent, frame, quick, run as _registers_itself  # noqa: F401
from authsome.cli.voice import Settings


class _AskedError(Exception):
    """What would have been run."""


def _ask(settings: Settings, command: list[str], **options: Any) -> NoReturn:
    raise _AskedError(settings, command, options)


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "run", _ask)


def _by_typer(words: list[str]) -> tuple[Any, ...] | None:
    """Return what typer understands, None if it explains something instead."""
    try:
        typer.main.get_command(frame.app)(words, standalone_mode=False)
    except _AskedError as asked:
        return asked.args
    except (typer.TyperException, typer.Exit):
        return None
    return None


_NO_OPTIONS = {"summary": False, "fake": False, "fake_from": None, "browser": False, "terminal": False}

_WORDS = st.sampled_from(
    [
        *("run", "--", "-", "", "list", "python", "a b", "--help", "-h", "--version", "--nothing", "-x", "-qh", "-qq"),
        *(
            "-q",
            "--quiet",
            "--json",
            "--verbose",
            "--no-input",
            "--no-color",
            "--summary",
            "--fake",
            "--fake=1",
            "--browser",
        ),
        *(
            "--profile",
            "--profile=team",
            "--profile=",
            "--file",
            "--file=-",
            "--fake-from",
            "--fake-from=a=b",
            "--quie",
        ),
    ]
)


@given(st.lists(_WORDS, max_size=3), st.lists(_WORDS, max_size=6))
@example(["-q"], ["--profile", "team", "--", "python", "--", "-q"])
@example(["--profile", "mine"], ["--profile", "", "python", "--json"])
def test_what_is_read_the_short_way_is_what_typer_reads(before: list[str], after: list[str]) -> None:
    words = [*before, "run", *after]
    read = quick.read(words)
    if read is not None:
        settings, command, more = read
        assert (settings, command, _NO_OPTIONS | more) == _by_typer(words)


@pytest.mark.parametrize("option", [*quick.OPTIONS])
def test_every_option_of_run_is_read_the_short_way(option: str) -> None:
    words = ["run", option, *(["value"] if option in quick.TAKES_TEXT else []), "--", "agent"]
    assert quick.read(words) is not None
    assert _by_typer(words) is not None


def test_run_has_no_option_that_is_always_read_the_long_way() -> None:
    command = typer.main.get_command(frame.app).commands["run"]  # type: ignore[attr-defined]
    known = {name for each in command.params for name in each.opts if name.startswith("-")}
    assert known - {"--help", "-h"} == set(quick.OPTIONS)


@pytest.mark.parametrize(
    "words", [[], ["run"], ["run", "--"], ["list"], ["run", "--help"], ["run", "--summry", "--", "a"]]
)
def test_what_needs_an_explanation_is_left_to_typer(words: list[str]) -> None:
    assert quick.read(words) is None
