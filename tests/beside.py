"""Processes that work side by side: forks of one that has imported what takes long, and nothing of a test's own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["authsome.vault", "authsome.provider", "hypothesis", "pytest", "syrupy.assertion"])


def beside(*working: tuple[Callable[..., None], tuple[Any, ...]]) -> list[BaseProcess]:
    """Start a process for each function with its arguments."""
    started: list[BaseProcess] = [_forking.Process(target=target, args=args) for target, args in working]
    for each in started:
        each.start()
    return started


def all_end(started: list[BaseProcess], seconds: float = 60) -> None:
    """Wait for processes, which have to end well."""
    for each in started:
        each.join(seconds)
    assert [each.exitcode for each in started] == [0] * len(started)
