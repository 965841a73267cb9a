"""Credentials that are live: for the proxy, and for nobody to print.

Promises that a session shows names only, that what renews a token is known to be looked for in answers and put nowhere,
and that the child's view of a connection is made here alone.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from authsome.manifest import Declared, Project
from authsome.oauth.kept import ACCESS, FORMER, REFRESH
from authsome.provider import DEFAULT_CONNECTION, placeholder
from authsome.vault import Entry, Grant, Holding, holding


@dataclass(frozen=True, slots=True)
class Granted:
    """What a run knows of the tokens of a connection besides the one that goes along with requests.

    Attributes:
        holding: How long they hold, and whether there are others to be had.
        renewing: What they are renewed with, secret: no request gets it, and answers are searched for it.
    """

    holding: Holding
    renewing: Mapping[str, str] = field(default_factory=dict, repr=False)


class Session:
    """The secrets of the connections that are in place, by (provider, connection). Its `repr` shows their names.

    Args:
        settings: The values of connections that are no secrets.
        stand_ins: What the child holds instead of a field, where that is not the ordinary placeholder.
        granted: What is known of those that have tokens.
    """

    def __init__(
        self,
        secrets: Mapping[tuple[str, str], Mapping[str, str]],
        settings: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
        stand_ins: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
        granted: Mapping[tuple[str, str], Granted] | None = None,
    ) -> None:
        self._secrets, self._settings, self._stand_ins = secrets, settings or {}, stand_ins or {}
        self._granted = granted or {}

    def __repr__(self) -> str:
        return f"Session({', '.join('/'.join(name) for name in self._secrets)})"

    def holds(self, declared: Declared) -> bool:
        """Whether the connection is usable in this run."""
        return declared.key in self._secrets

    def holding(self, provider: str, connection: str) -> Holding | None:
        """Return what is known of the tokens of a connection; None for a key, and for what is not held."""
        granted = self._granted.get((provider, connection))
        return granted.holding if granted else None

    def grant(self, declared: Declared) -> Grant | None:
        """Return what is known of a connection's tokens, None for a key."""
        held = self.holding(*declared.key)
        return held.grant if held else None

    def stand_ins(self) -> Mapping[str, str]:
        """Return what the child sees instead of each secret, by the secret; the keys are secret."""
        return {
            secret: self._stand_in(key, field)
            # The default last: where it shares a secret with another one, the answer holds the default's.
            for key in sorted(self._secrets, key=_is_default)
            for field, secret in self._all(key).items()
        }

    def tokens(self) -> frozenset[str]:
        """Return the secrets that are replaced by themselves every now and then."""
        return frozenset(secret for key in self._granted for secret in self._all(key).values())

    def _all(self, key: tuple[str, str]) -> Mapping[str, str]:
        """Return every secret of a connection, also what no request gets."""
        granted = self._granted.get(key)
        return {**self._secrets[key], **granted.renewing} if granted else self._secrets[key]

    def _stand_in(self, key: tuple[str, str], field: str) -> str:
        return self._stand_ins.get(key, {}).get(field) or placeholder(key[1])

    def shown(self, declared: Declared, field: str) -> str:
        """Return what the child sees of a field: a setting as it is, and what stands in for a secret."""
        return self.settings(declared).get(field) or self._stand_in(declared.key, field)

    def settled(self, project: Project) -> Project:
        """Return the project with the hosts that its connections have by their settings.

        Raises (exit code 6) if two providers claim one of them.
        """
        return project.settled(self.placed(project))

    def placed(self, project: Project) -> tuple[Declared, ...]:
        """Return the project's connections, those that are held with the hosts that they have by their settings."""
        return tuple(map(self.seen, project.connections))

    def seen(self, declared: Declared) -> Declared:
        """Return a connection as it is held: with tokens or with a key, and with the hosts that its settings make."""
        if not self.holds(declared):
            return declared
        provider = declared.provider.with_tokens if self.grant(declared) else declared.provider
        return declared.seen(provider.filled(self.settings(declared)))

    def secrets(self, provider: str, connection: str) -> Mapping[str, str]:
        """Return the fields of a connection that is held, settings among them; secret.

        Of tokens only the one that goes along with requests.
        """
        return {**self._settings.get((provider, connection), {}), **self._secrets[provider, connection]}

    def settings(self, declared: Declared) -> Mapping[str, str]:
        """Return the fields of a connection that are no secrets."""
        return self._settings.get(declared.key, {})

    def rotated(self, before: "Session") -> list[tuple[str, str]]:
        """Return the (provider, connection) whose secret is another one than before, not by itself but by somebody."""
        return [
            name
            for name in self._secrets
            if name in before._secrets and self._was_given(name, before._all(name))  # noqa: SLF001
        ]

    def _was_given(self, name: tuple[str, str], before: Mapping[str, str]) -> bool:
        """Whether a secret is another one, and no token that came with the one before."""
        now, used = self._all(name), before.get(REFRESH)
        renewed = name in self._granted and ACCESS in before and used in (now.get(REFRESH), now.get(FORMER))
        return now != before and not renewed

    def refused(self, before: "Session") -> list[tuple[str, str]]:
        """Return the (provider, connection) whose provider has begun to refuse new tokens."""
        return [name for name in self._granted if _is_refused(self, name) and not _is_refused(before, name)]

    def only(self, names: Collection[tuple[str, str]]) -> "Session":
        """Return a session with no more than these connections."""
        kept = {name: fields for name, fields in self._secrets.items() if name in names}
        granted = {name: each for name, each in self._granted.items() if name in names}
        return Session(kept, self._settings, self._stand_ins, granted)

    def renewed(self, newest: "Session") -> "Session":
        """Return the session with the tokens of another one where those are newer; itself where none are.

        What is not held here any more stays out.
        """
        names = [
            name
            for name, each in newest._granted.items()  # noqa: SLF001
            if (mine := self._granted.get(name)) and mine.holding.generation < each.holding.generation
        ]
        return self.joined(newest.only(names)) if names else self

    def joined(self, other: "Session") -> "Session":
        """Return the session with the connections of another one, which count before its own."""
        pairs = zip(self._parts(), other._parts(), strict=True)  # noqa: SLF001
        return Session(*({**mine, **others} for mine, others in pairs))

    def _parts(self) -> tuple[Mapping[tuple[str, str], Any], ...]:
        return self._secrets, self._settings, self._stand_ins, self._granted


def _is_default(name: tuple[str, str]) -> bool:
    return name[1] == DEFAULT_CONNECTION


def _is_refused(live: Session, name: tuple[str, str]) -> bool:
    known = live.holding(*name)
    return known is not None and known.grant is not None and known.grant.refused is not None


def of_entry(declared: Declared, entry: Entry) -> Session:
    """Return a session of one connection, filled by an entry."""
    key, provider = declared.key, entry.of(declared.provider)
    shown = entry.shown(provider)
    hidden = {name: text for name, text in entry.fields.items() if name not in shown}  # a secret once given stays one
    settings = {name: text for name, text in provider.settings.items() if name not in hidden}
    granted = {}
    if entry.grant:
        # NOTE: what tokens are renewed with is for the provider's token endpoint, never for its API or the agent. Of
        # what they are signed for with, a private key for example, a run has no use at all.
        renewing = {name: hidden[name] for name in (REFRESH, FORMER) if name in hidden}
        granted[key] = Granted(holding(entry, declared.provider), renewing)
        hidden = {name: text for name, text in hidden.items() if name == ACCESS}
    return Session({key: hidden}, {key: settings}, {key: provider.stand_ins(declared.connection)}, granted)


def throw_away(declared: Iterable[Declared], randomness: Callable[[int], bytes]) -> Session:
    """Return a session in which every connection is held, with secrets that are nobody's."""
    # As long as the placeholder: what stands in for them in an answer is then the placeholder and nothing else.
    secrets = {}
    settings = {}
    stand_ins = {}
    for each in declared:
        made_up = {
            field.name: field.default or field.example or f"fake-{field.name.replace('_', '-')}"
            for field in each.provider.fields
            if not field.secret and field.value is None
        }
        provider = each.provider.filled(made_up)
        settings[each.key] = provider.settings
        stand_ins[each.key] = provider.stand_ins(each.connection)
        secrets[each.key] = {
            field.name: randomness(length).hex()[:length]
            for field in provider.fields
            if field.secret and not field.optional and (length := len(provider.stand_in(each.connection, field.name)))
        }
    return Session(secrets, settings, stand_ins)
