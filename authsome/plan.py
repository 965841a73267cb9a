"""What must happen between a manifest and the vault, decided without doing any of it.

Promises to be pure: the same declarations and holdings give the same plan, and a plan holds names and states only, so
it can be printed, compared and logged. Refuses to guess: a holding that does not fit the definition any more needs a
person, and so does a login that was refused or granted less than is declared. The time is an argument.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from authsome.manifest import Declared, full_name, login_command
from authsome.provider import SCOPE
from authsome.vault import Grant, Holding


class State(StrEnum):
    """How one connection stands."""

    IN_PLACE = "in place"
    MISSING = "missing"
    ABSENT = "optional and absent"
    OFF_PATTERN = "key no longer matches the pattern"
    HOSTS_CHANGED = "hosts differ from those agreed to"
    EXPIRED = "expired, can be refreshed"
    ENDED = "expired, needs a person"
    NARROWER = "fewer scopes than declared"
    DAMAGED = "damaged"
    UNUSED = "held but not declared"


_NEEDS_PERSON = frozenset({State.MISSING, State.OFF_PATTERN, State.HOSTS_CHANGED, State.ENDED, State.NARROWER})
GOES_ON = frozenset({State.IN_PLACE, State.EXPIRED, State.ENDED, State.NARROWER})
"""How a connection may stand that a run keeps once it has it: its tokens are renewed, or refused, as they are used."""


@dataclass(frozen=True, slots=True)
class Step:
    """One connection of the plan.

    Attributes:
        why: The manifest's words, not ours.
        detail: What exactly differs, where the state alone does not say it.
        source: The connection of the vault that fills it, where that has another name.
        options: With which a command is about the profile that was compared, each after a space.
        lacking: Scopes that are declared and were never asked for.
    """

    provider: str
    connection: str
    state: State
    required: bool = True
    why: str | None = None
    detail: str | None = None
    options: str = ""
    source: str | None = None
    lacking: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Provider and connection, as the manifest knows them."""
        return self.provider, self.connection

    @property
    def held_as(self) -> tuple[str, str]:
        """Provider and connection, as the vault knows them."""
        return self.provider, self.source or self.connection

    @property
    def name(self) -> str:
        """`openai`, or `openai/team`."""
        return full_name(self.provider, self.connection)

    @property
    def needs_person(self) -> bool:
        """Whether nothing but a person can bring this connection into place."""
        return self.state in _NEEDS_PERSON

    @property
    def usable(self) -> bool:
        """Whether a run has the connection without asking anybody; an optional one with what was granted."""
        return self.state in (State.IN_PLACE, State.EXPIRED) or (self.state is State.NARROWER and not self.required)

    @property
    def left_out(self) -> bool:
        """Whether a run starts without what is held of it."""
        return not self.required and self.needs_person and not self.usable

    @property
    def command(self) -> str:
        """The command that mends the step."""
        login = login_command(*self.held_as)
        # The manifest may be a stranger's: what is no scope is not written into a command.
        if self.lacking and all(SCOPE.fullmatch(each) and "," not in each for each in self.lacking):
            return f"{login} --scopes {shlex.quote(','.join(self.lacking))}{self.options}"
        force = "" if self.state in (State.MISSING, State.ABSENT) else " --force"
        return login + force + self.options


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, the manifest's first and in its order."""

    steps: tuple[Step, ...]

    def addressed(self, options: str) -> "Plan":
        """Return the plan whose commands have these options."""
        return Plan(tuple(replace(step, options=options) for step in self.steps))

    @property
    def ready(self) -> bool:
        """Whether a run can start as it is."""
        return not self.blocking and not any(step.state is State.DAMAGED for step in self.steps)

    @property
    def blocking(self) -> tuple[Step, ...]:
        """The steps that need a person before anything starts; an optional connection never does."""
        return tuple(step for step in self.steps if step.required and step.needs_person)

    @property
    def offered(self) -> tuple[Step, ...]:
        """The steps that could be taken while somebody is asked anyway: optional connections that are not usable."""
        return tuple(
            step for step in self.steps if not step.required and (step.needs_person or step.state is State.ABSENT)
        )


def make(
    declared: Iterable[Declared],
    holdings: Mapping[tuple[str, str], Holding],
    held: Iterable[tuple[str, str]] = (),
    damaged: Mapping[tuple[str, str], str] | None = None,
    *,
    now: float,
) -> Plan:
    """Return the plan.

    Args:
        declared: What is wanted, each with the fields that it has by what is held of it.
        holdings: What the vault says about those of them it holds, by (provider, connection).
        held: Everything the vault holds, to tell what nobody declared.
        damaged: What is wrong with those that do not open.
        now: Seconds since 1970.
    """
    broken = damaged or {}
    steps = [_step(each, holdings.get(each.key), broken.get(each.key), now) for each in declared]
    wanted = {name for step in steps for name in (step.held_as, (step.provider, step.connection))}
    spare = [Step(provider, name, State.UNUSED, required=False) for provider, name in sorted(set(held) - wanted)]
    return Plan((*steps, *spare))


def _step(declared: Declared, found: Holding | None, damage: str | None, now: float) -> Step:
    state, detail = (State.DAMAGED, damage) if damage else _state(declared, found, now)
    if declared.source and detail is None:
        detail = f"filled by {full_name(*declared.held_as)}"
    return Step(
        declared.provider.name,
        declared.connection,
        state,
        declared.required,
        declared.why,
        detail,
        source=declared.source,
        lacking=_lacking(declared, found.grant) if found and found.grant and state is State.NARROWER else (),
    )


def _state(declared: Declared, found: Holding | None, now: float) -> tuple[State, str | None]:
    if found is None:
        return (State.MISSING if declared.required else State.ABSENT), None
    needed = [
        each.name for each in declared.provider.fields if each.kept and each.default is None and not each.optional
    ]
    if lacking := [name for name in needed if name not in found.field_names]:
        return State.MISSING, f"holds no {', '.join(lacking)}"
    if found.new_hosts:
        return State.HOSTS_CHANGED, f"new: {', '.join(found.new_hosts)}"
    if found.off_pattern:
        return State.OFF_PATTERN, next(each.hint for each in declared.provider.fields if each.name in found.off_pattern)
    return _granted(declared, found.grant, now, renewable=found.renewable) if found.grant else (State.IN_PLACE, None)


def _granted(declared: Declared, grant: Grant, now: float, *, renewable: bool) -> tuple[State, str | None]:
    """Return how tokens stand that are whole; those of which nobody has said when they end do not."""
    expired = grant.has_ended(now)
    if grant.refused is not None:
        return State.ENDED, f"{declared.provider.display_name} gives no new token: {grant.refused}"
    if expired and not renewable:
        return State.ENDED, "there is nothing to renew it with"
    if lacking := _lacking(declared, grant):
        return State.NARROWER, f"lacks {', '.join(lacking)}"
    # RFC 6749, 3.3: a provider may grant less than it was asked for. To ask again would get the same answer.
    denied = [scope for scope in dict.fromkeys(declared.scopes) if scope not in grant.scopes]
    told = f"was asked for and not granted: {', '.join(denied)}" if denied else None
    return State.EXPIRED if expired else State.IN_PLACE, told


def _lacking(declared: Declared, grant: Grant) -> tuple[str, ...]:
    """Return the scopes that are declared and were neither granted nor asked for."""
    return tuple(sorted(set(declared.scopes) - {*grant.scopes, *grant.asked}))
