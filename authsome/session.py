"""Live credentials of this run, and how they come to be there.

Promises that after `reconcile` every required connection is usable, or nothing was started. What a person gives is
checked before it is stored, and stored before it is used. Refuses to be printed: a `Session` shows names only.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authsome import plan
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Declared
from authsome.provider import PLACEHOLDER, Provider, placeholder
from authsome.vault import Entry, Holding, TamperedError, Vault, holding

if TYPE_CHECKING:
    from authsome.bridge import Human

ATTEMPTS = 3
"""How often a person may mistype before the command ends."""


class Session:
    """The secrets of the connections that are in place, by (provider, connection). Its `repr` shows their names."""

    def __init__(self, secrets: Mapping[tuple[str, str], Mapping[str, str]]) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        return f"Session({', '.join('/'.join(name) for name in self._secrets)})"

    def holds(self, declared: Declared) -> bool:
        """Whether the connection is usable in this run."""
        return declared.key in self._secrets

    def stand_ins(self) -> Mapping[str, str]:
        """Return what the child sees instead of each secret, by the secret; the keys are secret."""
        return {
            secret: placeholder(connection)
            for (_, connection), fields in self._secrets.items()
            for secret in fields.values()
        }

    def secrets(self, provider: str, connection: str) -> Mapping[str, str]:
        """Return the fields of a connection that is held; secret."""
        return self._secrets[provider, connection]

    def rotated(self, before: "Session") -> list[tuple[str, str]]:
        """Return the (provider, connection) whose secret is another one than before."""
        return [
            name
            for name, fields in self._secrets.items()
            if before._secrets.get(name, fields) != fields  # noqa: SLF001
        ]

    def only(self, names: Collection[tuple[str, str]]) -> "Session":
        """Return a session with no more than these connections."""
        return Session({name: fields for name, fields in self._secrets.items() if name in names})


@dataclass(frozen=True, slots=True)
class Position:
    """Declarations, the plan for them, and the vault both were compared with.

    Attributes:
        damaged: What kept entries from being opened; with one, nothing starts.
    """

    vault: Vault
    declared: tuple[Declared, ...]
    plan: plan.Plan
    damaged: tuple[TamperedError, ...] = ()

    def check(self) -> None:
        """Raise (exit code 5) if an entry is damaged."""
        for error in self.damaged:
            raise error


def survey(vault: Vault, declared: tuple[Declared, ...]) -> Position:
    """Compare what is wanted with what the vault holds; writes nothing and asks nobody."""
    held = vault.names()
    found: dict[tuple[str, str], Holding] = {}
    damaged: dict[tuple[str, str], TamperedError] = {}
    for each in declared:
        try:
            if each.key in held and (entry := vault.read(*each.key)):
                found[each.key] = holding(entry, each.provider)
        except TamperedError as error:  # it must not hide how the others stand
            if not error.of_entry:
                raise
            damaged[each.key] = error
    words = {name: error.message for name, error in damaged.items()}
    return Position(vault, declared, plan.make(declared, found, held, words), tuple(damaged.values()))


def reconcile(position: Position, human: "Callable[[], Human]", say: Callable[[str], None]) -> Session:
    """Ask for everything that needs a person, store it, and return the live credentials.

    Args:
        human: Finds out who answers; called only if somebody has to.
        say: Writes one line of talk.

    Raises (exit code 3) with one command per missing connection when there is nobody to ask.
    """
    position.check()
    blocking = position.plan.blocking
    if blocking:
        _ask(position, human(), say)
    return _session(position.vault, [step for step in position.plan.steps if step in blocking or _in_place(step)])


def _ask(position: Position, answering: "Human", say: Callable[[str], None]) -> None:
    from authsome.bridge import Nobody  # noqa: PLC0415  a run with everything in place needs no door to a person

    blocking = position.plan.blocking
    if isinstance(answering, Nobody):
        lines = "\n".join(f"  {step.command}" for step in blocking)
        raise AuthsomeError(
            f"{_count(len(blocking), 'connection')} missing or unusable, and nobody to ask: "
            + ", ".join(f"{step.name} ({step.state})" for step in blocking),
            hint=f"run where a person can answer:\n{lines}",
            code=ExitCode.MISSING,
        )
    wanted = {each.key: each for each in position.declared}
    for step in blocking:
        login(position.vault, wanted[step.provider, step.connection], answering, say)


def throw_away(declared: Iterable[Declared], randomness: Callable[[int], bytes]) -> Session:
    """Return a session in which every connection is held, with secrets that are nobody's."""
    # As long as the placeholder: what stands in for them in an answer is then the placeholder and nothing else.
    return Session(
        {
            each.key: {field.name: randomness(length).hex()[:length] for field in each.provider.fields}
            for each in declared
            for length in (len(placeholder(each.connection)),)
        }
    )


def in_place(position: Position) -> Session:
    """Return the credentials that are live without asking anybody."""
    return _session(position.vault, filter(_in_place, position.plan.steps))


def _in_place(step: plan.Step) -> bool:
    return step.state is plan.State.IN_PLACE


def _session(vault: Vault, usable: Iterable[plan.Step]) -> Session:
    entries = {(step.provider, step.connection): vault.read(step.provider, step.connection) for step in usable}
    return Session({name: entry.fields for name, entry in entries.items() if entry})


def login(
    vault: Vault, declared: Declared, human: "Human", say: Callable[[str], None], *, shared: bool | None = None
) -> None:
    """Ask for a connection's secret until it looks right, and store it.

    Args:
        shared: In the project's folder; None for where the profile's preset says.
    """
    from authsome.bridge import Question  # noqa: PLC0415  as in `_ask`

    provider = declared.provider
    before = _replaced(vault, declared, shared=shared)
    if shared is None and not (folder := vault.place(shared=None)).own:
        # NOTE: the preset may have come with the repository; it is not too late yet to keep a key for oneself.
        say(f"This goes to {folder.path}, where all its members can read it: the preset is `{vault.preset}`.")
    question = Question(
        provider=provider.name,
        display_name=provider.display_name,
        connection=declared.connection,
        required=True,
        why=declared.why,
        scopes=declared.scopes,
        hosts=provider.host_names,
        new_hosts=provider.beyond(before.hosts) if before else (),
        keys_url=provider.keys_url,
    )
    for attempt in range(1, ATTEMPTS + 1):
        answer = human.ask(question)
        try:
            store(vault, provider, declared.connection, answer or "", shared=shared)
        except AuthsomeError as error:
            if error.code is not ExitCode.USAGE or attempt == ATTEMPTS:
                raise
            say(f"Error: {error.message}")
            say(f"Hint: {error.hint}")
        else:
            return


def _replaced(vault: Vault, declared: Declared, *, shared: bool | None) -> Entry | None:
    """Return the entry whose hosts were agreed to before.

    What is wrong in the folder that is not written to, a project's that nobody has accepted for example, keeps nobody
    from a credential of their own.
    """
    entry = vault.place(shared=shared).read(*declared.key)
    with suppress(AuthsomeError):
        return entry or vault.read(*declared.key)
    return None


def store(vault: Vault, provider: Provider, connection: str, given: str, *, shared: bool | None = None) -> bool:
    """Check and store what somebody gave as the secret; return False if exactly that was held already."""
    if provider.auth_type != "api_key":
        raise AuthsomeError(
            f"{provider.display_name} logs in with OAuth, which this version cannot do yet",
            hint=f"define a provider of your own for a personal token: authsome inspect {provider.name}",
            code=ExitCode.REFUSED,
        )
    secret = check(provider, given)
    return vault.write(provider, connection, {provider.fields[0].name: secret}, time.time(), shared=shared)


def check(provider: Provider, given: str) -> str:
    """Return the secret without the white space at its end, or raise (exit code 2) with what is wrong with it."""
    secret = given.rstrip()
    only = provider.fields[0]
    wrong = f"This does not look like a valid {provider.display_name} API key."
    if not secret:
        raise AuthsomeError("the key is empty", hint="nothing was stored", code=ExitCode.USAGE)
    if secret.startswith(PLACEHOLDER):
        raise AuthsomeError(
            wrong, hint=f"`{PLACEHOLDER}` is what an agent holds instead of the key", code=ExitCode.USAGE
        )
    if only.pattern and not only.pattern.fullmatch(secret):
        raise AuthsomeError(wrong, hint=only.hint, code=ExitCode.USAGE)
    if not secret.isascii() or any(char.isspace() or not char.isprintable() for char in secret):
        # NOTE: it is going to stand in a header; a line break in it would start another one.
        raise AuthsomeError(
            wrong, hint="it contains white space, a line break or a character that no header takes", code=ExitCode.USAGE
        )
    return secret


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
