"""Live credentials of this run, and how they come to be there.

Promises that after `reconcile` every required connection is usable, or nothing was started. What a person gives is
checked before it is stored, and stored before it is used. Refuses to be printed: a `Session` shows names only.
"""

from typing import TYPE_CHECKING

from authsome import plan
from authsome.errors import AuthsomeError, ExitCode
from authsome.session.intake import AS_GIVEN, Intake, Probe, Verdict, Ways
from authsome.session.live import Granted, Session, of_entry, throw_away
from authsome.session.position import Position, Renew, in_place, renewed, survey
from authsome.session.taking import by_tokens, collect, keep, login_of, of_key, replaced, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from authsome.bridge import Human

__all__ = [
    "Granted",
    "Intake",
    "Position",
    "Probe",
    "Renew",
    "Session",
    "Verdict",
    "Ways",
    "by_tokens",
    "collect",
    "in_place",
    "keep",
    "of_entry",
    "of_key",
    "reconcile",
    "renewed",
    "replaced",
    "store",
    "survey",
    "throw_away",
]


def reconcile(position: Position, human: "Callable[[], Human]", intake: Intake = AS_GIVEN) -> Session:
    """Renew what has expired, ask for everything that needs a person, store it, and return the live credentials.

    Args:
        human: Finds out who answers; called only if somebody has to.

    Raises (exit code 3) with one command per missing connection when there is nobody to ask, and (exit code 8) if a
    required one has expired and its provider cannot be asked for a new token.
    """
    position.check()
    position = _renewed_or_left_out(position, intake)
    if not position.plan.blocking:
        return _live(position, intake)
    _ask(position, human(), intake)
    # A fresh look: what was offered may have been given, and what is still off its pattern was not.
    after = position.again()
    if after.plan.blocking:  # stored in the project, while the home's own still counts
        raise _lacking(after.plan, "missing or unusable after all", "look at them:\n  authsome check")
    return _live(after, intake)


def _live(position: Position, intake: Intake) -> Session:
    """Return what is live, and say what is held and cannot be used."""
    for step in position.plan.steps:
        if step.left_out:
            intake.talk(f"{step.name} is left out: {step.detail or step.state}; {step.command}")
    return in_place(position)


def _renewed_or_left_out(position: Position, intake: Intake) -> Position:
    """Renew what has expired. What is optional and cannot be renewed now is left out, and that is said."""
    if intake.renew is None:
        return position
    position, failed = renewed(position, intake.renew, early=intake.early)
    position.check()
    # One that was refused is marked so, and a person is asked for it.
    left = {(step.provider, step.connection) for step in position.plan.steps if step.state is plan.State.EXPIRED}
    for each in position.declared:
        if (error := failed.get(each.key)) and each.key in left:
            if each.required:
                error.message = f"the token of {each.name} has expired, and there is no new one: {error.message}"
                error.hint = error.hint or "try again in a while; to see how it stands: authsome check"
                raise error
            intake.talk(f"{each.name} is left out: {error.message}")
    return position


def _ask(position: Position, answering: "Human", intake: Intake) -> None:
    from authsome.bridge import Nobody  # noqa: PLC0415  a run with everything in place needs no door to a person

    blocking = position.plan.blocking
    if isinstance(answering, Nobody) and not _need_nobody(position, intake):
        lines = "\n".join(dict.fromkeys(f"  {step.command}" for step in blocking))
        raise _lacking(
            position.plan, "missing or unusable, and nobody to ask", f"run where a person can answer:\n{lines}"
        )
    asked = {(step.provider, step.connection) for step in (*blocking, *position.plan.offered)}
    wanted = [each.stored for each in position.wanted if each.key in asked]
    # A required one first: two that one credential fills are asked for once.
    once = {each.key: each for each in sorted(wanted, key=lambda each: each.required)}
    collect(position.vault, [once.pop(each.key) for each in wanted if each.key in once], answering, intake)


def _need_nobody(position: Position, intake: Intake) -> bool:
    """Whether everything that a run waits for is got without a person: tokens for applications that are known."""
    blocking = {(step.provider, step.connection) for step in position.plan.blocking}
    for each in (each.stored for each in position.wanted if each.key in blocking):
        before = replaced(position.vault, each.provider, each.connection, intake.shared)
        if not by_tokens(each.provider, before, intake) or not login_of(each, before, position.vault, intake).alone:
            return False
    return True


def _lacking(made: plan.Plan, words: str, hint: str) -> AuthsomeError:
    named = ", ".join(f"{step.name} ({step.state})" for step in made.blocking)
    return AuthsomeError(
        f"{_count(len(made.blocking), 'connection')} {words}: {named}", hint=hint, code=ExitCode.MISSING
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
