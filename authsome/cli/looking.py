"""What commands that look through a project's code share: where it begins, and what is said meanwhile."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from authsome.cli.frame import Settings, say, talk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authsome.evidence import Evidence
    from authsome.provider import Provider

_PATIENCE = 1.0
"""Seconds after which a person wonders what is going on."""


def look(settings: Settings, manifest: Path, providers: "Iterable[Provider]") -> "Evidence":
    """Look through a manifest's folder, and say so if it takes longer than a moment."""
    from authsome import evidence

    begin, told = time.monotonic(), False

    def tick(done: int, total: int) -> None:
        nonlocal told
        if not told and time.monotonic() - begin > _PATIENCE:
            talk(settings, f"Looking through {total} files, {done} are done …")
            told = True

    return evidence.look(manifest.parent.resolve(), providers, tick, but=manifest.name)


def warn(settings: Settings, evidence: "Evidence") -> None:
    """Say what was left out and, whatever `--quiet` says, where a key seems to stand in the clear."""
    from authsome.screens import evidence as screen

    if not_seen := screen.left_out(evidence):
        talk(settings, not_seen)
    warnings = screen.keys(evidence)
    for each in warnings[:_MOST]:
        say(f"Warning: {each}")
    if len(warnings) > _MOST:
        say(f"Warning: and in {len(warnings) - _MOST} more lines")
    if warnings:
        say("Hint: hold it with `authsome login`, take it out of the file, and make a new one if git has ever had it")


_MOST = 10
