"""The screens of a definition: what it permits, and what is different from the one before."""

from collections.abc import Sequence


def permits(name: str, after: Sequence[str], before: Sequence[str] | None) -> str:
    """Return what a definition would permit; `before` is what one permits that it replaces."""
    if before is None:
        return f"The definition of {name} would permit:\n" + "".join(f"  {line}\n" for line in after)
    gone = [line for line in before if line not in after]
    lines = [f"  {' ' if line in before else '+'} {line}\n" for line in after] + [f"  - {line}\n" for line in gone]
    return f"The definition of {name} would permit (+ is new, - no longer):\n" + "".join(lines)


def difference(after: Sequence[str], before: Sequence[str]) -> dict[str, list[str]]:
    """Return what is new and what is gone, for JSON."""
    return {
        "gained": [line for line in after if line not in before],
        "lost": [line for line in before if line not in after],
    }
