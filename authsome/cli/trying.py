"""`authsome test`: whether keys work, asked of their providers the way an agent would."""

import os
import shlex
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data, say, talk
from authsome.cli.named import declared, not_connected
from authsome.cli.stations import again, check_trust, open_catalogue, open_project, open_vault, renewing, sealed
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import DEFAULT_CONNECTION, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from authsome.errand import Result
    from authsome.manifest import Project
    from authsome.provider import Catalogue
    from authsome.session import Position
    from authsome.vault import Vault

_LONGEST = 3600.0


@command("test")
def try_keys(
    settings: Settings,
    provider: Annotated[str | None, Argument(metavar="[PROVIDER]", help="One provider; else all.")] = None,
    connection: Annotated[str | None, Option("--connection", help="Which of several accounts; else all.")] = None,
    timeout: Annotated[float, Option("--timeout", metavar="SECONDS", help="How long a provider may take.")] = 10.0,
) -> None:
    """Ask providers whether the keys work, as an agent would ask.

    Sends the definition's test request with a placeholder through the proxy of a run. Where `allow` does not permit it
    to an agent, it is sent all the same, and that is said. Tokens that end soon are renewed first.

    Ends with 0 when all that can be tested works, with 3 when a person is needed or nothing was tested, and with 8 when
    a provider, the network or a rule refused.

    Example: authsome test github
    """
    from authsome import screens, session
    from authsome.screens import trial as screen

    sealed("test")
    if not 0 < timeout <= _LONGEST:
        raise AuthsomeError(
            f"--timeout is a number of seconds up to {_LONGEST:g}", hint="--timeout 10", code=ExitCode.USAGE
        )
    if provider is None and connection is not None:
        raise AuthsomeError(
            "--connection is one of a provider's",
            hint=f"name the provider: authsome test PROVIDER --connection {shlex.quote(connection)}",
            code=ExitCode.USAGE,
        )
    position, project = _position(settings, provider, connection and check_name(connection, "connection"))
    position, failed = session.renewed(position, renewing(settings, position.vault), early=True)
    results = [*_results(settings, position, project, timeout), *_not_renewed(position, failed)]
    rows = screen.rows(position, results, again(settings))
    data(screens.as_json("test", connections=screen.data(rows)) if settings.json else screen.text(rows))
    position.check()
    if code := screen.code(rows):
        raise Exit(code)


def _position(settings: Settings, provider: str | None, connection: str | None) -> "tuple[Position, Project]":
    """Return how what is to be tested stands, and the project whose rules hold for it."""
    from authsome import session

    catalogue = open_catalogue(settings)
    project = open_project(settings, catalogue)
    check_trust(settings, project)
    vault = open_vault(settings, project)
    if project.manifest is None:
        project = replace(_held(settings, catalogue, vault, provider), choices=project.choices)
    wanted = project.connections
    if provider is not None:
        wanted = tuple(
            replace(each, required=True)
            for each in wanted
            if each.provider.name == provider and connection in (None, each.connection)
        )
        if not wanted:
            project = _alone(settings, project, catalogue, vault, (provider, connection))
            wanted = project.connections
    position = session.survey(vault, wanted)
    return replace(position, plan=position.plan.addressed(again(settings))), project


def _held(settings: Settings, catalogue: "Catalogue", vault: "Vault", provider: str | None) -> "Project":
    """Return what is held, of one provider or of all, in the place of a manifest."""
    from authsome import manifest

    known = catalogue.names()
    held = [name for name in vault.names() if provider in (None, name[0])]
    if unknown := sorted({name for name, _ in held} - set(known)):
        talk(settings, f"Left out, as no definition is known: {', '.join(unknown)}")
    return manifest.every(catalogue, held)


def _alone(
    settings: Settings, project: "Project", catalogue: "Catalogue", vault: "Vault", name: tuple[str, str | None]
) -> "Project":
    """Return one connection that nothing declares, as a project of its own."""
    provider, connection = name
    found = declared(project, catalogue.get(provider), connection or DEFAULT_CONNECTION)
    if connection is not None and not vault.holder(*found.held_as):
        raise not_connected(settings, vault, provider, connection)
    if project.manifest:
        talk(settings, f"{found.name} is not declared in {project.path}: a run would not use it.")
    return replace(project, manifest=None, path=None, connections=(replace(found, required=True),))


def _results(settings: Settings, position: "Position", project: "Project", seconds: float) -> "Sequence[Result]":
    """Send the test requests of what is in place, as a run started now would carry them."""
    from authsome import errand, rules, session

    live = session.in_place(position)
    usable = [live.seen(each) for each in position.wanted if live.holds(each)]
    ready = errand.prepare(usable, rules.of_project(live.settled(project), live.holds), live)
    if not ready.sends:
        return ready.known
    from authsome import audit
    from authsome.proxy import upstream

    outside, vault = upstream.read(os.environ), position.vault
    log = audit.Audit(audit.place(vault.home), os.urandom(4).hex(), vault.profile, say)
    try:
        waiting = partial(_say_who, settings)
        return errand.carry(ready, live, outside, log, seconds=seconds, slow=waiting)
    finally:
        log.close()


def _not_renewed(position: "Position", failed: "Mapping[tuple[str, str], AuthsomeError]") -> "Iterator[Result]":
    """Yield why nothing was sent for tokens that have expired and could not be renewed now."""
    from authsome.errand import Result
    from authsome.plan import State as Standing
    from authsome.trial import Finding, State

    states = {(step.provider, step.connection): step.state for step in position.plan.steps}
    for each in position.declared:
        if (error := failed.get(each.key)) and states[each.key] is Standing.EXPIRED:
            yield Result(each, Finding(State.UNAVAILABLE, error.message), hint=error.hint)


def _say_who(settings: Settings, names: "Sequence[str]") -> None:
    talk(settings, f"waiting for {', '.join(names)} …")
