"""The screens of what was used: the audit log, a run's summary, suggested rules."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from authsome.errors import clean
from authsome.provider import DEFAULT_CONNECTION
from authsome.screens import table

if TYPE_CHECKING:
    from authsome.audit import Line, Verdict


def log(lines: Sequence["Line"]) -> str:
    """Return `authsome log`."""
    if not lines:
        return NOTHING_LOGGED
    names = ("time", "run", "connection", "request", "decision", "status", "bytes", "ms", "client")
    return table([[name.upper() for name in names], *map(_log_row, lines)])


NOTHING_LOGGED = (
    "No use is logged. Uses are logged by `authsome run`, for example `authsome run -- python my_agent.py`.\n"
)


def log_line(line: "Line") -> str:
    """Return one line of `authsome log --follow`: there is no telling how wide those to come will be."""
    return clean("  ".join(_log_row(line))) + "\n"


def _log_row(line: "Line") -> tuple[str, ...]:
    use = line.use
    return (
        _moment(use.time),
        line.run,
        use.connection or "-",
        f"{use.method} {use.host}{use.path}",
        use.decision,
        str(use.status or "-"),
        str(use.sent + use.received),
        f"{use.milliseconds:.0f}",
        f"{line.process.name} ({line.process.pid})" if line.process else "-",
    )


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def log_data(line: "Line") -> dict[str, Any]:
    """Return one line of `authsome log --json`."""
    use = asdict(line.use)
    del use["peer"]
    client = asdict(line.process) if line.process else None
    return {
        "n": line.number,
        "run": line.run,
        "profile": line.profile,
        **use,
        "time": _moment(line.use.time),
        "client": client,
    }


def verdict(found: "Verdict") -> str:
    """Return `authsome log --verify`."""
    if not found.lines and not found.problems:
        return NOTHING_LOGGED
    text = "".join(f"{clean(str(each))}\n" for each in found.problems)
    if found.unfinished:
        text += "The last line is half written, as by a process that was killed; the next one goes on after it.\n"
    counted = f"{found.lines} lines" if found.lines != 1 else "1 line"
    if found.problems:
        return f"{text}{found.sound} of {counted} are sound.\n"
    return f"{text}All is sound: {counted}, each holding the one before it.\n"


def verdict_data(found: "Verdict") -> dict[str, Any]:
    """Return `authsome log --verify --json`."""
    return {**asdict(found), "sound": found.sound}


def allow_lines(suggested: Mapping[str, Sequence[str]], beyond: Mapping[str, Sequence[str]]) -> str:
    """Return `authsome log suggest-rules`: YAML to paste into `authsome.yaml`."""
    providers: dict[str, dict[str, str]] = {}
    for name in sorted({*suggested, *beyond}):
        provider, _, connection = name.partition("/")
        lines = "".join(f"- {_scalar(line)}\n" for line in suggested.get(name, ()))
        notes = "".join(f"# `allow` cannot permit {clean(each)}\n" for each in beyond.get(name, ()))
        providers.setdefault(provider, {})[connection] = (
            f"allow:\n{_indented(lines)}" if lines else "allow: []\n"
        ) + notes
    text = "providers:\n"
    for provider, connections in providers.items():
        text += f"  {provider}:\n"
        if list(connections) == [""]:
            text += _indented(connections[""], 4)
        else:
            text += "    connections:\n"
            for connection, lines in connections.items():
                text += f"      {connection or DEFAULT_CONNECTION}:\n{_indented(lines, 8)}"
    return text


def _indented(text: str, by: int = 2) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


def _scalar(text: str) -> str:
    """Return a line of `allow` as YAML reads it back: plain where that is plain to see."""
    return text if re.fullmatch(r"[A-Z]+ /[\w/.*~@%+=:,-]*", text, re.ASCII) and text[-1] != ":" else json.dumps(text)
