"""What a person or a program gives, up to the vault.

Promises that it is checked before it is stored, and stored before it is used. Refuses a token that was made elsewhere:
nothing here could renew it.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from authsome import pasted
from authsome.errors import AuthsomeError, Doubt, ExitCode, did_you_mean
from authsome.manifest import Declared, full_name
from authsome.provider import Field, Provider
from authsome.session.intake import AS_GIVEN, Intake, Verdict
from authsome.vault import Entry, Vault, holding

if TYPE_CHECKING:
    from authsome.bridge import Answer, Human, Question, Taken
    from authsome.oauth import Tokens
    from authsome.session.authorization import Authorization


def collect(vault: Vault, wanted: Iterable[Declared], human: "Human", intake: Intake) -> None:
    """Ask for the secrets of connections, and store each as soon as it looks right and its provider takes it."""
    from authsome.bridge import Answer, Outcome, Question, Taken  # noqa: PLC0415  as in `_ask`

    asked: dict[tuple[str, str], tuple[Provider, dict[str, Mapping[str, str]]]] = {}
    logins: dict[tuple[str, str], Authorization] = {}
    questions = []
    for each in wanted:
        before = replaced(vault, each.provider, each.connection, intake.shared)
        if by_tokens(each.provider, before, intake):
            login = logins[each.key] = login_of(each, before, vault, intake)
            if not (login.alone and _got_alone(login, human, intake)):
                questions.append(login.question())
            continue
        provider = _as_before(each.provider, before).as_written
        asked[each.key] = provider, dict(_held(vault, provider, each.connection))
        question = _question(replace(each, provider=provider), before, asked[each.key][1])
        command = intake.ways.command if intake.ways else None
        whither = partial(_hosts, asked[each.key][0], intake)
        questions.append(replace(question, command=command, whither=whither))

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
    except AuthsomeError as error:
        if isinstance(human, Nobody):
            error.hint = error.hint or f"nothing was stored; to start again: {login.question().again}"
            raise
        return False
    return True


def by_tokens(provider: Provider, before: Entry | None, intake: Intake) -> bool:
    """Whether a connection gets tokens: it can have nothing else, has had them, or was told to.

    Raises (exit code 2) if a key was named where there is none.
    """
    if intake.ways is not None and intake.ways.flow is not None:
        if intake.ways.flow == "api_key" and provider.auth_type == "oauth2":
            raise AuthsomeError(
                f"{provider.display_name} takes no key, it logs in with OAuth",
                hint=f"authsome login {provider.name}",
                code=ExitCode.USAGE,
            )
        return intake.ways.flow != "api_key"
    return provider.auth_type == "oauth2" or (before is not None and before.grant is not None)


def login_of(wanted: Declared, before: Entry | None, vault: Vault, intake: Intake) -> "Authorization":
    """Return the login of a connection of tokens."""
    from authsome.session.authorization import Authorization  # noqa: PLC0415  whoever holds keys alone has no use for it

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
    what, hint = "gave a token and refuses it", "it may have too few scopes, or be for another account"
    _doubt_refused(login.settled, verdict, answer.accepted, what, hint)
    login.store(made)
    return verdict


def _doubt_refused(provider: Provider, verdict: Verdict, accepted: Collection[str], what: str, hint: str) -> None:
    """Raise if a provider refuses a credential that the person does not want stored all the same."""
    if verdict.good is False and pasted.REFUSED not in accepted:
        raise Doubt(
            pasted.REFUSED,
            f"{provider.display_name} {what}: {verdict.words}",
            hint=hint,
            offer="Store it all the same",
            code=ExitCode.REFUSED,
        )


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
    hint = "make a new one there, or look whether all of it was copied"
    _doubt_refused(provider, verdict, accepted, "refuses this key", hint)
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
    folder = vault.place(shared=shared)
    entry = folder.read(*key) if folder.holds(*key) else None
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


def store(vault: Vault, provider: Provider, connection: str, given: str, intake: Intake = AS_GIVEN) -> Verdict:
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
    from authsome.oauth import BY_PERSON, DeniedError, Tokens, UnavailableError, asked  # noqa: PLC0415  the same

    if intake.ways is not None:  # what is given replaces what is held
        intake = intake._replace(ways=replace(intake.ways, anew=True))
    login = login_of(wanted, before, vault, intake)
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
    try:
        made = login.take(answer)
    except (DeniedError, UnavailableError) as error:
        error.hint = error.hint or f"nothing was stored; to start again: {login.question().again} --stdin < FILE"
        raise
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
