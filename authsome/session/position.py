"""How declarations and a vault stand to each other, and what is live of it.

Promises to ask nobody: what is read, compared and renewed here needs no person. Refuses to start over a damaged entry.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from authsome import plan
from authsome.errors import AuthsomeError
from authsome.manifest import Declared
from authsome.oauth import DeniedError, UnavailableError
from authsome.session.live import Session, of_entry
from authsome.vault import Entry, Holding, TamperedError, Vault, holding


@dataclass(frozen=True, slots=True)
class Position:
    """Declarations, the plan for them, and the vault both were compared with.

    Attributes:
        declared: As what is held of them makes them: with tokens or with a key, and with hosts by its settings.
        damaged: What kept entries from being opened; with one, nothing starts.
        wanted: The declarations as they were, for another look.
        clock: The seconds since 1970.
    """

    vault: Vault
    declared: tuple[Declared, ...]
    plan: plan.Plan
    damaged: tuple[TamperedError, ...]
    wanted: tuple[Declared, ...]
    clock: Callable[[], float]

    def again(self) -> "Position":
        """Return how the same declarations stand now; commands keep their options."""
        found = survey(self.vault, self.wanted, self.clock)
        options = next((step.options for step in self.plan.steps), "")
        return replace(found, plan=found.plan.addressed(options))

    def check(self) -> None:
        """Raise (exit code 5) if an entry is damaged."""
        for error in self.damaged:
            raise error


def survey(vault: Vault, declared: tuple[Declared, ...], clock: Callable[[], float] = time.time) -> Position:
    """Compare what is wanted with what the vault holds; writes nothing, sends nothing and asks nobody."""
    held = vault.names()
    found: dict[tuple[str, str], Holding] = {}
    damaged: dict[tuple[str, str], TamperedError] = {}
    filled = {each.key: each for each in declared}
    for each in declared:
        try:
            if each.held_as in held and (entry := vault.read(*each.held_as)):
                found[each.key] = holding(entry, each.provider)
                filled[each.key] = each.seen(entry.of(each.provider))
        except TamperedError as error:  # it must not hide how the others stand
            if not error.of_entry:
                raise
            damaged[each.key] = error
    words = {name: error.message for name, error in damaged.items()}
    made = plan.make(filled.values(), found, held, words, now=clock())
    return Position(vault, tuple(filled.values()), made, tuple(damaged.values()), declared, clock)


def in_place(position: Position, *, running: bool = False) -> Session:
    """Return the credentials that are live without asking anybody.

    Args:
        running: For a run that goes on, which renews tokens, or says why not, when they are used.
    """
    steps = {(step.provider, step.connection): step for step in position.plan.steps}
    live = Session({})
    for each in position.declared:
        step = steps[each.key]
        if not (step.state in plan.GOES_ON if running else step.usable):
            continue
        entry = position.vault.read(*each.held_as)
        if entry and (running or step.state is plan.State.IN_PLACE or not _has_ended(entry, position.clock())):
            live = live.joined(of_entry(each, entry))
    return live


def _has_ended(entry: Entry, now: float) -> bool:
    return entry.grant is not None and entry.grant.has_ended(now)


type Renew = Callable[[Declared], Entry]
"""Returns the tokens of a connection, renewed if they end soon."""


def renewed(
    position: Position, renew: Renew, *, early: bool = False
) -> tuple[Position, Mapping[tuple[str, str], AuthsomeError]]:
    """Renew tokens that have expired; return how everything stands then, and why it did not work where it did not.

    Args:
        early: Those that will end soon, too.
    """
    due = {
        (step.provider, step.connection)
        for step in position.plan.steps
        if (step.usable if early else step.state is plan.State.EXPIRED)
    }
    tokens = [each for each in position.declared if each.key in due and each.provider.auth_type == "oauth2"]
    failed: dict[tuple[str, str], AuthsomeError] = {}
    for each in tokens:
        try:
            renew(each)
        except (DeniedError, UnavailableError) as error:
            failed[each.key] = error
    return position.again() if tokens else position, failed
