"""How values look, as text for people and as JSON for programs.

Promises that text is readable without colour and that JSON carries a `schema_version`. Refuses to pass on control
characters: words of a manifest or a file name must not be able to repaint the terminal.

Every function returns text or plain data; printing is the command line's. What all screens share is here.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from authsome.errors import as_utf8, clean

SCHEMA_VERSION = 1


def as_json(kind: str, **data: Any) -> str:
    """Return one JSON object with `schema_version` and `kind`, ending in a newline."""
    return as_utf8(json.dumps(_versioned(kind, data), ensure_ascii=False, indent=2)) + "\n"


def as_line(kind: str, **data: Any) -> str:
    """Return the same on one line and in ASCII, without a newline: one of many, or the last word of an error."""
    return json.dumps(_versioned(kind, data))


def _versioned(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "kind": kind, **data}


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as aligned columns, two spaces apart."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def fields(values: Mapping[str, Any]) -> str:
    """Return names and values below each other."""
    return table([(f"{name}:", value(each)) for name, each in values.items()])


def counted(number: int, noun: str) -> str:
    """Return a number of things, as in a sentence."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def either(names: Sequence[str]) -> str:
    """Return `a, b or c`, of which one is meant."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def value(each: Any) -> str:
    """Return one value as `--field` prints it; of what is not known, nothing."""
    if each is None:
        return ""
    return ", ".join(map(str, each)) if isinstance(each, list) else str(each)


def moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 in UTC; one beyond all calendars as the last there is."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(0, min(seconds, _LAST))))


_LAST = 253402300799.0  # the end of the year 9999
