"""The screens of connections, the plan, and what a run does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from authsome.errors import clean
from authsome.manifest import Egress
from authsome.plan import Plan, State, Step
from authsome.provider import DEFAULT_CONNECTION, Provider, Source
from authsome.screens import moment, table
from authsome.vault import Grant, Holding

if TYPE_CHECKING:
    from authsome.why import Answer

_MARKS = {State.IN_PLACE: "ok", State.EXPIRED: "ok", State.ABSENT: "--", State.UNUSED: "--"}
_NOT_SHOWN = frozenset({"options", "source", "lacking"})  # they are in the command, and in the detail
_NOTHING_TO_DO = (State.IN_PLACE, State.EXPIRED, State.UNUSED)


def listing(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `authsome list`."""
    if not rows:
        return "No connections yet. Log in with `authsome login PROVIDER`, for example `authsome login openai`.\n"
    names = ["provider", "connection", "status", "source"]
    if any(row["vault"] == "project" for row in rows):
        names.append("vault")
    chosen = {row["provider"] for row in rows if row["default"] and row["connection"] != DEFAULT_CONNECTION}
    return table([[name.upper() for name in names], *([_cell(row, name, chosen) for name in names] for row in rows)])


def _cell(row: Mapping[str, Any], name: str, chosen: Collection[str]) -> str:
    """Return one cell; which connection is meant where none is named shows only where somebody chose it."""
    marked = name == "connection" and row["default"] and row["provider"] in chosen
    return f"{row[name]} (chosen)" if marked else row[name] or ""


def details(
    held: Holding, provider: Provider, source: Source, placeholder: str, *, own: bool, now: float
) -> dict[str, Any]:
    """Return what `get` shows: everything but the values."""
    return {
        "provider": held.provider,
        "display_name": provider.display_name,
        "connection": held.connection,
        "status": status(held, now),
        "auth_type": provider.auth_type,
        **(granted(held.grant) if held.grant else {}),
        "source": str(source),
        "vault": "home" if own else "project",
        "hosts": list(held.hosts),
        "generation": held.generation,
        "created_at": held.created_at,
        "updated_at": held.updated_at,
        "placeholder": placeholder,
        **dict.fromkeys(held.field_names, REDACTED),
    }


REDACTED = "***"


def granted(known: Grant) -> dict[str, Any]:
    """Return what there is to say of tokens."""
    return {
        "flow": known.flow,
        "scopes": list(known.scopes),
        "expires_at": None if known.expires_at is None else moment(known.expires_at),
    }


def status(held: Holding, now: float) -> str:
    """Return `connected`, or why the connection cannot be used as it is."""
    if held.off_pattern:
        return "off pattern"
    if held.new_hosts:
        return "hosts changed"
    if held.grant and held.grant.refused is not None:
        return "refused"
    return "expired" if held.grant and held.grant.has_ended(now) else "connected"


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
        text += "\nTo do:\n" + "".join(dict.fromkeys(f"  {step.command}\n" for step in made.blocking))
    return text


def _state(step: Step) -> str:
    return f"{step.state} ({step.detail})" if step.detail else str(step.state)


def plan_data(made: Plan) -> dict[str, Any]:
    """Return `authsome check --json`."""
    steps = [
        {
            **{name: value for name, value in asdict(step).items() if name not in _NOT_SHOWN},
            "needs_person": step.needs_person,
            "command": None if step.state in _NOTHING_TO_DO else step.command,
        }
        for step in made.steps
    ]
    return {"ready": made.ready, "steps": steps}


def why(answer: "Answer", waiting: Sequence[Step]) -> str:
    """Return `authsome why`."""
    marks = {True: "ok", False: "!!", None: "--"}
    text = clean(f"{answer.method} {answer.url}") + "\n\n"
    text += table([(marks[check.passed], check.name, check.detail) for check in answer.checks])
    text += f"\n{clean(_verdict(answer))}\n"
    if answer.refusal and answer.refusal.hint:
        text += f"Hint: {clean(answer.refusal.hint)}\n"
    if others := [step.name for step in waiting if step.name != answer.connection]:
        text += f"A run would first ask for: {', '.join(others)}\n"
    return text


def _verdict(answer: "Answer") -> str:
    if refusal := answer.refusal:
        return f"Refused with {refusal.status} {refusal.error}."
    return {
        "injected": f"Carried, with the credential of {answer.connection}.",
        "passed": "Carried as it is, without a credential.",
        "tunnelled": "Tunnelled untouched: not decrypted, and without a credential.",
        "forwarded": "Forwarded in the clear, without a credential.",
    }[answer.outcome]


def why_data(answer: "Answer", waiting: Sequence[Step]) -> dict[str, Any]:
    """Return `authsome why --json`."""
    return {**asdict(answer), "first_asks_for": [step.name for step in waiting]}
