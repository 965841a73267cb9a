"""Live credentials of this run, and how they come to be there.

Promises that after `reconcile` every required connection is usable, or nothing was started. What a person gives is
checked before it is stored, and stored before it is used. Refuses to be printed: a `Session` shows names only.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from authsome import pasted, plan
from authsome.errors import AuthsomeError, Doubt, ExitCode, did_you_mean
from authsome.manifest import Declared, Project, full_name
from authsome.oauth import DeniedError, UnavailableError
from authsome.oauth.kept import ACCESS, FORMER, REFRESH
from authsome.provider import DEFAULT_CONNECTION, Field, Flow, Provider, placeholder
from authsome.vault import Entry, Grant, Holding, TamperedError, Vault, holding

if TYPE_CHECKING:
    import httpx

    from authsome.authorization import Authorization
    from authsome.bridge import Answer, Human, Question, Taken
    from authsome.oauth import Tokens


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


class Verdict(NamedTuple):
    """What a provider says to a credential.

    Attributes:
        good: Whether it takes it; None if that could not be found out.
        words: What happened, as the end of a sentence.
    """

    good: bool | None
    words: str

    @property
    def stored(self) -> str:
        """What became of a credential that was stored after it."""
        return f"stored{';' if self.good else ','} {self.words}"


type Probe = Callable[[Provider, Mapping[str, str]], Verdict]
"""Shows a credential to its provider; the fields are secret."""


def _unchecked(provider: Provider, fields: Mapping[str, str]) -> Verdict:
    del provider, fields
    return Verdict(None, "not checked")


type Renew = Callable[[Declared], Entry]
"""Returns the tokens of a connection, renewed if they end soon."""


def _silent(line: str) -> None:
    del line


def _random(octets: int) -> str:
    import secrets  # noqa: PLC0415  only a login needs any

    return secrets.token_urlsafe(octets)


@dataclass(frozen=True, slots=True)
class Ways:
    """What a login with OAuth is done with.

    Attributes:
        transport: Finds out how requests reach the hosts of a provider.
        flow: The one that was named; None for the best there is.
        scopes: Those that were named, instead of the manifest's.
        browser: Finds out whether a person can be sent to a page on this machine.
        anew: Whether the application may be replaced, too.
        clock: Seconds since 1970.
        token: Makes a secret of so many random octets, as text for a URL.
    """

    transport: "Callable[[Provider], httpx.BaseTransport]"
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    flow: Flow | None = None
    scopes: tuple[str, ...] = ()
    browser: Callable[[], bool] = lambda: True
    anew: bool = False
    clock: Callable[[], float] = time.time
    token: Callable[[int], str] = _random


class Intake(NamedTuple):
    """How credentials are taken in.

    Attributes:
        known: Finds all providers, to tell whose key something is.
        probe: Shows a credential to its provider before it is stored.
        shared: Store in the project's folder; None for where the profile's preset says.
        ways: With which tokens are come by; without them there is no login with OAuth.
        renew: Brings tokens up to date that end soon, or raises `DeniedError` or `UnavailableError`; None where nobody
            may be asked for new ones.
        early: Whether tokens are renewed that will end soon as well, as whoever gets them cannot renew them.
        talk: Gets a line about what is left out.
    """

    known: Callable[[], Iterable[Provider]] = tuple
    probe: Probe = _unchecked
    shared: bool | None = None
    ways: Ways | None = None
    renew: Renew | None = None
    early: bool = False
    talk: Callable[[str], None] = _silent


_AS_GIVEN = Intake()


def reconcile(position: Position, human: "Callable[[], Human]", intake: Intake = _AS_GIVEN) -> Session:
    """Renew what has expired, ask for everything that needs a person, store it, and return the live credentials.

    Args:
        human: Finds out who answers; called only if somebody has to.

    Raises (exit code 3) with one command per missing connection when there is nobody to ask, and (exit code 8) if a
    required one has expired and its provider cannot be asked for a new token.
    """
    position.check()
    position = _renewed_or_left_out(position, intake)
    if not position.plan.blocking:
        return in_place(position)
    _ask(position, human(), intake)
    # A fresh look: what was offered may have been given, and what is still off its pattern was not.
    after = position.again()
    if after.plan.blocking:  # stored in the project, while the home's own still counts
        raise _lacking(after.plan, "missing or unusable after all", "look at them:\n  authsome check")
    return in_place(after)


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
        if not by_tokens(each.provider, before, intake) or not _login(each, before, position.vault, intake).alone:
            return False
    return True


def _lacking(made: plan.Plan, words: str, hint: str) -> AuthsomeError:
    named = ", ".join(f"{step.name} ({step.state})" for step in made.blocking)
    return AuthsomeError(
        f"{_count(len(made.blocking), 'connection')} {words}: {named}", hint=hint, code=ExitCode.MISSING
    )


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


def collect(vault: Vault, wanted: Iterable[Declared], human: "Human", intake: Intake) -> None:
    """Ask for the secrets of connections, and store each as soon as it looks right and its provider takes it."""
    from authsome.bridge import Answer, Outcome, Question, Taken  # noqa: PLC0415  as in `_ask`

    asked: dict[tuple[str, str], tuple[Provider, dict[str, Mapping[str, str]]]] = {}
    logins: dict[tuple[str, str], Authorization] = {}
    questions = []
    for each in wanted:
        before = replaced(vault, each.provider, each.connection, intake.shared)
        if by_tokens(each.provider, before, intake):
            login = logins[each.key] = _login(each, before, vault, intake)
            if not (login.alone and _got_alone(login, human, intake)):
                questions.append(login.question())
            continue
        provider = _as_before(each.provider, before).as_written
        asked[each.key] = provider, dict(_held(vault, provider, each.connection))
        question = _question(replace(each, provider=provider), before, asked[each.key][1])
        questions.append(replace(question, whither=partial(_hosts, asked[each.key][0], intake)))

    def take(question: Question, answer: Answer) -> Taken:
        if login := logins.get((question.provider, question.connection)):
            return _authorized(login, answer, intake)
        provider, again = asked[question.provider, question.connection]
        fields = again[answer.reuse] if answer.reuse is not None else _checked(provider, answer, intake)
        if answer.reuse is None:
            _refuse_twin(fields, again, answer.accepted)
        verdict = _stored(vault, provider, question.connection, fields, intake, answer.accepted)
        return Outcome(verdict.stored + _whither(provider, fields), checked=verdict.good is True)

    if questions:
        human.ask(questions, take)


def _got_alone(login: "Authorization", human: "Human", intake: Intake) -> bool:
    """Log in an application for itself; return whether it worked, where a person can see to it otherwise."""
    from authsome.bridge import Answer, Nobody  # noqa: PLC0415  as in `_ask`

    try:
        _authorized(login, Answer(), intake)
    except AuthsomeError:
        if isinstance(human, Nobody):
            raise
        return False
    return True


def by_tokens(provider: Provider, before: Entry | None, intake: Intake) -> bool:
    """Whether a connection gets tokens: it can have nothing else, has had them, or was told to."""
    if intake.ways is not None and intake.ways.flow is not None:
        return intake.ways.flow != "api_key"
    return provider.auth_type == "oauth2" or (before is not None and before.grant is not None)


def _login(wanted: Declared, before: Entry | None, vault: Vault, intake: Intake) -> "Authorization":
    """Return the login of a connection of tokens."""
    from authsome.authorization import Authorization  # noqa: PLC0415  whoever holds keys alone has no use for it

    if intake.ways is None:
        raise AuthsomeError(
            f"{wanted.provider.display_name} logs in with OAuth", hint=f"authsome login {wanted.provider.name}"
        )
    if intake.shared:
        raise AuthsomeError(
            f"{wanted.provider.name} logs in with tokens that change by themselves, which no two machines can share",
            hint="leave out --shared: each member logs in",
            code=ExitCode.USAGE,
        )
    wanted = replace(wanted, provider=_as_before(wanted.provider.with_tokens, before))
    return Authorization(wanted, before, vault, intake.ways, intake.known)


def _authorized(login: "Authorization", answer: "Answer", intake: Intake) -> "Taken":
    """Go one step of a login; tokens that came are tried and stored."""
    from authsome.bridge import Outcome  # noqa: PLC0415  as in `_ask`
    from authsome.oauth import Tokens  # noqa: PLC0415  the same

    made = login.take(answer)
    if not isinstance(made, Tokens):
        return made
    verdict = _tried(login, made, answer, intake)
    settled = login.settled
    return Outcome(verdict.stored + _whither(settled.as_written, settled.settings), checked=verdict.good is True)


def _tried(login: "Authorization", made: "Tokens", answer: "Answer", intake: Intake) -> Verdict:
    """Store what its provider takes, or what a person wants stored all the same."""
    verdict = intake.probe(login.settled, login.fields(made))
    if verdict.good is False and pasted.REFUSED not in answer.accepted:
        raise Doubt(
            pasted.REFUSED,
            f"{login.settled.display_name} gave a token and refuses it: {verdict.words}",
            hint="it may have too few scopes, or be for another account",
            offer="Store it all the same",
            code=ExitCode.REFUSED,
        )
    login.store(made)
    return verdict


def _hosts(provider: Provider, intake: Intake, given: Mapping[str, str]) -> tuple[str, ...]:
    """Return where a key goes with the settings so far, each as it may be stored."""
    settings = {
        each.name: pasted.check(provider, given[each.name], each, others=intake.known)
        for each in provider.fields
        if each.name in given
    }
    return provider.filled(settings).host_names


def _whither(provider: Provider, fields: Mapping[str, str]) -> str:
    """Return where a key goes, where that hangs on what was given with it."""
    return f"; it goes to {', '.join(provider.filled(fields).host_names)}" if provider.is_open else ""


def _stored(
    vault: Vault,
    provider: Provider,
    connection: str,
    fields: Mapping[str, str],
    intake: Intake,
    accepted: Collection[str],
) -> Verdict:
    """Store what its provider takes, or what a person wants stored all the same."""
    provider = provider.filled(fields)
    verdict = intake.probe(provider, fields)
    if verdict.good is False and pasted.REFUSED not in accepted:
        raise Doubt(
            pasted.REFUSED,
            f"{provider.display_name} refuses this key: {verdict.words}",
            hint="make a new one there, or look whether all of it was copied",
            offer="Store it all the same",
            code=ExitCode.REFUSED,
        )
    vault.write(provider, connection, fields, time.time(), shared=intake.shared)
    return verdict


def _question(wanted: Declared, before: Entry | None, again: Iterable[str]) -> "Question":
    from authsome.bridge import Blank, Question  # noqa: PLC0415  as in `_ask`

    provider = wanted.provider.as_written.filled({})
    return Question(
        provider=provider.name,
        display_name=provider.display_name,
        connection=wanted.connection,
        required=wanted.required,
        why=wanted.why,
        scopes=wanted.scopes,
        hosts=provider.host_names,
        new_hosts=provider.filled(before.shown(provider)).beyond(before.hosts) if before else (),
        keys_url=provider.keys_url,
        hint=provider.key.hint,
        blanks=tuple(
            Blank(each.name, _asked_for(each), masked=each.secret, default=each.default, optional=each.optional)
            for each in provider.fields
            if each.asked
        ),
        held=tuple(again),
    )


def _asked_for(field: Field) -> str:
    return f"{field.label} (for example {field.example})" if field.example else field.label


def _as_before(provider: Provider, before: Entry | None) -> Provider:
    """Return the provider with the settings of the entry that is replaced as its defaults.

    NOTE: a new key for one's own server would else go to the host that the definition has for everybody.
    """
    return provider.with_defaults(before.shown(provider)) if before else provider


def replaced(vault: Vault, provider: Provider, connection: str, shared: bool | None) -> Entry | None:
    """Return the entry whose hosts were agreed to before.

    What is wrong in the folder that is not written to, a project's that nobody has accepted for example, keeps nobody
    from a credential of their own.
    """
    key = provider.name, connection
    entry = vault.place(shared=shared).read(*key)
    with suppress(AuthsomeError):
        return entry or vault.read(*key)
    return None


def _checked(provider: Provider, answer: "Answer", intake: Intake) -> dict[str, str]:
    """Return the fields of an answer, each as it may be stored."""
    given = {
        each.name: pasted.check(
            provider,
            _said(answer, each),
            each,
            others=intake.known,
            accepted=answer.accepted,
        )
        for each in provider.fields
        if each.asked and (not each.optional or _said(answer, each).strip())
    }
    return _whole(provider, given)


def _said(answer: "Answer", field: Field) -> str:
    said = answer.fields.get(field.name, "")
    return said if said.strip() or field.default is None else field.default


def _whole(provider: Provider, given: Mapping[str, str]) -> dict[str, str]:
    """Return the fields as they are stored: with what is read out of them, and what the address says already."""
    wrong = f"This does not look like a valid {provider.display_name} {provider.key.label}."
    try:
        found = {**given, **provider.derived(given)}
    except ValueError as error:
        raise AuthsomeError(wrong, hint=str(error), code=ExitCode.USAGE) from None
    found |= {each.name: each.value for each in provider.fields if each.value is not None and each.kept}
    for host in provider.filled(found).hosts:
        if host.is_open:
            raise AuthsomeError(
                f"what was given makes no address of {provider.display_name}", hint=f"it is {host}", code=ExitCode.USAGE
            )
    return {each.name: found[each.name] for each in provider.fields if each.name in found}


def _refuse_twin(fields: Mapping[str, str], held: Mapping[str, Mapping[str, str]], accepted: Collection[str]) -> None:
    """Raise if the same credential is held already: two names for one key are mostly a mistake in copying."""
    twin = next((name for name, known in held.items() if known == fields), None)
    if twin and pasted.TWIN not in accepted:
        raise Doubt(
            pasted.TWIN,
            f"This is the key of {twin}.",
            hint="for another account, take its own key",
            offer="Use it here too",
        )


def _held(vault: Vault, provider: Provider, connection: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield credentials of a provider that could be used for another connection, by what to call them.

    Only what was given for every host it would now go to, is whole, and opens without a question.
    """
    # One after the other: reading this vault finds the identity that opens the next.
    for found in chain((vault,), vault.others()):
        profile = "" if found is vault else f" of the profile {found.profile}"
        with suppress(AuthsomeError):
            for name in found.names():
                if name[0] != provider.name or (found is vault and name[1] == connection):
                    continue
                entry = found.read(*name)
                if entry and _fits(entry, provider):
                    yield f"{full_name(*name)}{profile}", entry.fields


def _fits(entry: Entry, provider: Provider) -> bool:
    """Whether a credential may be stored once more as what the definition of now makes of it.

    NOTE: a secret that has become a setting may not. The new entry would call it one, and the agent would see it.
    """
    shown = entry.shown(provider)
    whole = all(
        not each.needed if each.name not in entry.fields else each.secret or each.name in shown
        for each in provider.fields
        if each.kept
    )
    seen = holding(entry, provider)
    # NOTE: tokens that are renewed in two places take each other's place away.
    return whole and not seen.new_hosts and not seen.off_pattern and entry.grant is None


def store(vault: Vault, provider: Provider, connection: str, given: str, intake: Intake = _AS_GIVEN) -> Verdict:
    """Check and store what a program gave as the secret; what a person would decide is an error."""
    before = replaced(vault, provider, connection, intake.shared)
    if by_tokens(provider, before, intake):
        return _stored_tokens(Declared(provider, connection), before, vault, given, intake)
    if any(each.asked and not each.secret for each in provider.fields):
        provider = _as_before(provider, before)
    several = _several(provider, given)
    checked = {each.name: pasted.check(provider, text, each, others=intake.known) for each, text in several}
    fields = _whole(provider, checked)
    provider = provider.filled(fields)
    verdict = intake.probe(provider, fields)
    if verdict.good is False:
        raise AuthsomeError(
            f"{provider.display_name} refuses this key: {verdict.words}",
            hint="nothing was stored; to store it all the same: --no-check",
            code=ExitCode.REFUSED,
        )
    vault.write(provider, connection, fields, time.time(), shared=intake.shared)
    return verdict


def _stored_tokens(wanted: Declared, before: Entry | None, vault: Vault, given: str, intake: Intake) -> Verdict:
    """Log in with what a program gave: an application's secret or a key to sign with, never a person's consent."""
    from authsome.bridge import Answer  # noqa: PLC0415  as in `_ask`
    from authsome.oauth import BY_PERSON, Tokens, asked  # noqa: PLC0415  the same

    if intake.ways is not None:  # what is given replaces what is held
        intake = intake._replace(ways=replace(intake.ways, anew=True))
    login = _login(wanted, before, vault, intake)
    if login.flow in BY_PERSON:
        other = f", or another --flow: {', '.join(login.flows)}" if login.flows else ""
        raise AuthsomeError(
            f"a person agrees to the login with {wanted.provider.display_name}, which no input can replace",
            hint=f"authsome login {wanted.provider.name}{other}",
            code=ExitCode.USAGE,
        )
    if whole := asked.key_file(login.asked, given):
        answer = Answer(whole)
    else:
        several = _several(replace(wanted.provider, fields=login.asked), given)
        answer = Answer({each.name: text for each, text in several})
    made = login.take(answer)
    if not isinstance(made, Tokens):
        raise AssertionError(login.flow)  # noqa: TRY004  no mistake of the caller's: see `BY_PERSON`
    return _tried(login, made, answer, intake)


def _several(provider: Provider, given: str) -> Iterator[tuple[Field, str]]:
    """Yield each field of a provider and what was given for it: the text, or a JSON object of several."""
    known = [each for each in provider.fields if each.asked]
    asked = [each for each in known if each.needed]
    if len(asked) == 1 and not (len(known) > 1 and given.lstrip().startswith("{")):
        yield from ((each, given if each.default is None else each.default) for each in known if not each.optional)
        return
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    names = [each.name for each in known]
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise AuthsomeError(
            f"{provider.display_name} needs several values: {', '.join(names)}",
            hint=f"pipe in a JSON object: {_object([each.name for each in asked])}",
            code=ExitCode.USAGE,
        )
    if unknown := sorted(set(found) - set(names)):
        raise AuthsomeError(
            f"{provider.display_name} has no field {ascii(unknown[0])}",
            hint=did_you_mean(unknown[0], names, f"fields: {', '.join(names)}"),
            code=ExitCode.USAGE,
        )
    told = [each for each in known if not each.optional or found.get(each.name, "").strip()]
    yield from ((each, found.get(each.name, each.default or "")) for each in told)


def _object(names: Iterable[str]) -> str:
    """Return a JSON object with a place for each value."""
    return json.dumps(dict.fromkeys(names, "…"), ensure_ascii=False)


def keep(
    vault: Vault, provider: Provider, connection: str, found: str, intake: Intake, accepted: Collection[str] = ()
) -> Verdict:
    """Check and store a secret that was found somewhere.

    Args:
        accepted: What a person has decided, by the words of the doubts.

    Raises `Doubt` for what a person may decide otherwise.
    """
    if provider.auth_type != "api_key":
        raise AuthsomeError(
            f"{provider.display_name} logs in with OAuth, and no token that was made elsewhere can be renewed here",
            hint=f"authsome login {provider.name}",
            code=ExitCode.USAGE,
        )
    fields = of_key(provider, pasted.check(provider, found, others=intake.known, accepted=accepted))
    _refuse_twin(fields, dict(_held(vault, provider, connection)), accepted)
    return _stored(vault, provider, connection, fields, intake, accepted)


def of_key(provider: Provider, secret: str) -> dict[str, str]:
    """Return all fields of a connection of which its key was given, and nothing else; secret.

    Raises (exit code 2) if they cannot be found out from it.
    """
    defaults = {each.name: each.default for each in provider.fields if each.default is not None}
    return _whole(provider, {**defaults, provider.key.name: secret})


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
