"""The screens of `authsome test`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authsome.errors import ExitCode, clean
from authsome.manifest import Declared, login_command
from authsome.plan import State as Standing, Step
from authsome.screens import table
from authsome.trial import State

if TYPE_CHECKING:
    from authsome.errand import Result
    from authsome.session import Position

_MARKS = {State.CONNECTED: "ok", State.NO_TEST: "--", Standing.ABSENT: "--"}
_NO_COMMAND = (Standing.ABSENT, Standing.DAMAGED, Standing.IN_PLACE, Standing.EXPIRED)


@dataclass(frozen=True, slots=True)
class Row:
    """How one connection did: the trial, or why there was none.

    Attributes:
        hint: What to do about it.
    """

    step: Step
    result: "Result | None"
    hint: str | None

    @property
    def state(self) -> State | Standing:
        """The trial's, or the plan's where the connection is not in place."""
        return self.result.finding.state if self.result else self.step.state


def rows(position: "Position", results: "Iterable[Result]", options: str) -> list[Row]:
    """Return what there is to say of each connection, in the order in which they are declared.

    Args:
        options: With which a command is about the same profile, each after a space.
    """
    known = {each.declared.key: each for each in results}
    wanted = {each.key: each for each in position.declared}
    steps = [step for step in position.plan.steps if step.state is not Standing.UNUSED]
    made = []
    for step in steps:
        key = step.provider, step.connection
        result = known.get(key)
        hint = _hint(wanted[key], result, options) if result else _of_plan(step)
        made.append(Row(step, result, hint))
    return made


def _of_plan(step: Step) -> str | None:
    return None if step.state in _NO_COMMAND else step.command


def _hint(declared: Declared, result: "Result", options: str) -> str | None:
    """Return what mends a trial that did not go well; a command where there is one."""
    login = f"{login_command(*declared.held_as)} --force{options}"
    page = declared.provider.keys_url if declared.provider.auth_type == "api_key" else None
    if result.finding.state is State.WRONG_KEY:
        return f"{login}{f'  (a new key: {page})' if page else ''}"
    if result.finding.state is State.WRONG_SCOPE:
        if declared.provider.auth_type == "oauth2":
            return f"ask for what it lacks: {login_command(*declared.held_as)} --scopes …{options}"
        return f"give the key what it lacks{f' at {page}' if page else ''}, or use another: {login}"
    if result.finding.state is State.NO_TEST:
        return None
    return result.hint


def text(made: Sequence[Row]) -> str:
    """Return `authsome test`."""
    if not made:
        return "Nothing is declared and nothing is held.\n"
    said = table([(_MARKS.get(row.state, "!!"), row.step.name, _sentence(row)) for row in made])
    if hints := [f"  {row.step.name}: {clean(row.hint)}\n" for row in made if row.hint]:
        said += "\nTo do:\n" + "".join(hints)
    return said


def _sentence(row: Row) -> str:
    step, result = row.step, row.result
    if result is None:
        return f"{step.state} ({step.detail})" if step.detail else str(step.state)
    found = result.finding
    if found.state is State.CONNECTED:
        said = f"connected as {found.identity}" if found.identity else "connected"
        more = [found.more] if found.more else []
    else:
        said = f"{found.state}: {found.words}"
        more = [found.more] if found.more else []
    if result.permitted is False:
        more.append(f"`allow` does not let an agent ask `{result.method} {result.path}`")
    if found.state is State.CONNECTED and result.milliseconds is not None:
        said += f", {result.milliseconds:.0f} ms"
    return "; ".join([said, *more])


def data(made: Iterable[Row]) -> list[dict[str, Any]]:
    """Return `authsome test --json`."""
    return [_entry(row) for row in made]


def _entry(row: Row) -> dict[str, Any]:
    step, result = row.step, row.result
    found = result.finding if result else None
    request = None
    if result and result.method:
        request = {"method": result.method, "host": result.host, "path": result.path}
    spent = result.milliseconds if result else None
    return {
        "provider": step.provider,
        "connection": step.connection,
        "required": step.required,
        "state": str(row.state),
        "identity": found.identity if found else None,
        "detail": "; ".join(filter(None, (found.words, found.more))) if found else step.detail,
        "hint": row.hint,
        "request": request,
        "permitted": result.permitted if result else None,
        "status": result.status if result else None,
        "error": result.error if result else None,
        "retry_after": found.retry_after if found else None,
        "milliseconds": None if spent is None else round(spent, 1),
    }


def code(made: Sequence[Row]) -> ExitCode:
    """Return the exit code: what a person has to mend comes first, as no run starts without it."""
    if any(row.result is None and row.step.required and row.step.needs_person for row in made):
        return ExitCode.MISSING
    if any(row.result and row.state not in (State.CONNECTED, State.NO_TEST) for row in made):
        return ExitCode.REFUSED
    # An answer that nobody gave is not a good one.
    return ExitCode.DONE if any(row.state is State.CONNECTED for row in made) else ExitCode.MISSING
