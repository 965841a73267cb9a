"""The screens of `authsome import`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from authsome.committed import Commit, Past
from authsome.errors import clean
from authsome.manifest import full_name
from authsome.screens import table

_NAMES = 20
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one value, without it.

    Attributes:
        variable: What the value is called where it was found.
        source: Where that is.
        result: `stored`, `held`, `ready` (would be stored), `left` out, `refused` by the provider, `failed`.
        words: What happened, or why not.
        waits: Whether a person has to do something about it.
        checked: Whether the provider takes it; None if that was not found out.
        replaced: Whether the placeholder stands in the file now.
        since: The commit that brought it into git's history.
    """

    variable: str
    source: str
    line: int | None
    provider: str
    connection: str
    result: str
    words: str
    waits: bool = False
    checked: bool | None = None
    replaced: bool = False
    since: Commit | None = None

    @property
    def place(self) -> str:
        """Where it was found."""
        return self.source if self.line is None else f"{self.source}:{self.line}"

    @property
    def held(self) -> bool:
        """Whether the vault has it now."""
        return self.result in ("stored", "held")

    @property
    def said(self) -> str:
        """What became of it, in words."""
        words = f"failed: {self.words}" if self.result == "failed" else self.words
        if self.result == "left" and self.waits:
            words = f"left out: {words}"
        return f"{words}; a placeholder now" if self.replaced else words


def rows(made: Sequence[Row]) -> str:
    """Return what became of each value, as a table."""
    if not made:
        return ""
    names = ("WHERE", "VARIABLE", "CONNECTION", "RESULT")
    return table([names, *((each.place, each.variable, _named(each), each.said) for each in made)])


def _named(row: Row) -> str:
    return full_name(row.provider, row.connection) if row.provider else ""


def imported(made: Sequence[Row], sources: Sequence[str], strange: Sequence[str]) -> str:
    """Return `authsome import`."""
    text = rows(made) or f"No keys found in {clean(', '.join(sources))}.\n"
    if strange:
        more = f" and {len(strange) - _NAMES} more" if len(strange) > _NAMES else ""
        text += f"Not recognised: {clean(', '.join(strange[:_NAMES]))}{more}\n"
    return text


def imported_data(
    made: Sequence[Row], strange: Sequence[str], pasts: Mapping[str, Past | None], *, dry_run: bool
) -> dict[str, Any]:
    """Return `authsome import --json`."""
    files = [
        {"path": path, "tracked": past.tracked if past else None, "searched": past.whole if past else None}
        for path, past in pasts.items()
    ]
    return {
        "dry_run": dry_run,
        "keys": [asdict(each) for each in made],
        "unrecognised": list(strange),
        "files": files,
    }


def commit(each: Commit) -> str:
    """Return a commit as a sentence names it."""
    return clean(f"commit {each.name[:_SHORT]} of {each.day} by {each.author}")
