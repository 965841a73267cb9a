"""How values look, as text for people and as JSON for programs.

Promises that text is readable without colour and that JSON carries a `schema_version`. Refuses to pass on control
characters: words of a manifest or a file name must not be able to repaint the terminal.

Every function returns text or plain data; printing is the command line's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from authsome.errors import clean
from authsome.isolation import Level
from authsome.manifest import Egress
from authsome.plan import Plan, State, Step
from authsome.provider import Provider, Source, placeholder
from authsome.vault import Holding

if TYPE_CHECKING:
    from authsome.clients import Result
    from authsome.demo import Shown

SCHEMA_VERSION = 1

_MARKS = {State.IN_PLACE: "ok", State.ABSENT: "--", State.UNUSED: "--"}


def as_json(kind: str, **data: Any) -> str:
    """Return one JSON object with `schema_version` and `kind`, ending in a newline."""
    return json.dumps({"schema_version": SCHEMA_VERSION, "kind": kind, **data}, ensure_ascii=False, indent=2) + "\n"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as aligned columns, two spaces apart."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def listing(rows: Sequence[Mapping[str, str]]) -> str:
    """Return `authsome list`."""
    if not rows:
        return "No connections yet. Log in with `authsome login PROVIDER`, for example `authsome login openai`.\n"
    names = ("provider", "connection", "status", "source")
    return table([[name.upper() for name in names], *([row[name] for name in names] for row in rows)])


def details(held: Holding, provider: Provider, source: Source) -> dict[str, Any]:
    """Return what `get` shows: everything but the values."""
    return {
        "provider": held.provider,
        "display_name": provider.display_name,
        "connection": held.connection,
        "status": status(held, provider),
        "auth_type": provider.auth_type,
        "source": str(source),
        "hosts": list(held.hosts),
        "generation": held.generation,
        "created_at": held.created_at,
        "updated_at": held.updated_at,
        "placeholder": placeholder(held.connection),
        **dict.fromkeys(held.field_names, REDACTED),
    }


REDACTED = "***"


def status(held: Holding, provider: Provider) -> str:
    """Return `connected`, or why the connection cannot be used."""
    if held.off_pattern:
        return "off pattern"
    return "hosts changed" if provider.beyond(held.hosts) else "connected"


def fields(values: Mapping[str, Any]) -> str:
    """Return names and values below each other."""
    return table([(f"{name}:", value(each)) for name, each in values.items()])


def value(each: Any) -> str:
    """Return one value as `--field` prints it."""
    return ", ".join(map(str, each)) if isinstance(each, list) else str(each)


def plan(made: Plan, egress: Egress) -> str:
    """Return `authsome check`."""
    if not made.steps:
        return "Nothing is declared and nothing is held.\n"
    rows = [(_MARKS.get(step.state, "!!"), step.name, _state(step)) for step in made.steps]
    text = table(rows)
    reasons = [(step.name, step.why) for step in made.steps if step.why]
    if reasons:
        text += "\nThe manifest says why:\n" + "".join(f"  {name}: {clean(why)}\n" for name, why in reasons)
    if egress.default == "deny":
        allowed = ", ".join(egress.allow) or "none"
        text += f"\nHosts that no provider declares are refused, but for: {clean(allowed)}\n"
    if made.blocking:
        text += "\nTo do:\n" + "".join(f"  {step.command}\n" for step in made.blocking)
    return text


def _state(step: Step) -> str:
    return f"{step.state} ({step.detail})" if step.detail else str(step.state)


def plan_data(made: Plan) -> dict[str, Any]:
    """Return `authsome check --json`."""
    steps = [
        {
            **asdict(step),
            "needs_person": step.needs_person,
            "command": None if step.state in (State.IN_PLACE, State.UNUSED) else step.command,
        }
        for step in made.steps
    ]
    return {"ready": made.ready, "steps": steps}


def started(names: Sequence[str], level: Level) -> str:
    """Return the line `run` says before the child starts."""
    serving = ", ".join(names) or "no connection"
    kept = "" if level is Level.NOTHING else f" and cannot read {level}"
    return f"authsome: serving {serving}; the agent holds placeholders{kept}"


def demo(shown: "Shown") -> str:
    """Return `authsome demo`."""
    verdict = (
        "The agent used a key that it never had."
        if shown.proven
        else "This did not work as promised: please report it."
    )
    rows = [
        ("", "the agent", "the provider"),
        ("held", f"DEMO_API_KEY={shown.held}", shown.key),
        ("Authorization header", shown.sent, shown.received or "nothing arrived"),
        ("answer", str(shown.status), str(shown.status)),
    ]
    return f"{table(rows)}\n{verdict}\n"


def demo_data(shown: "Shown") -> dict[str, Any]:
    """Return `authsome demo --json`."""
    return {**asdict(shown), "proven": shown.proven}


def clients(results: "Sequence[Result]") -> str:
    """Return `authsome doctor --clients`."""
    if not results:
        return "None of the clients that doctor knows is on PATH.\n"
    return table([("CLIENT", "VERDICT", "WHAT TO DO"), *((each.client, each.verdict, each.advice) for each in results)])


def clients_data(results: "Sequence[Result]") -> dict[str, Any]:
    """Return `authsome doctor --clients --json`."""
    return {"clients": [asdict(each) for each in results]}
