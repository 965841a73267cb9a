"""The stations of the one way through, opened by what the command line and the environment name.

Every command is a prefix of `run`: `list` stops at the vault's names, `check` at the plan, `export` at the session.
"""

import os
import shlex
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from authsome.cli.voice import Settings, say, talk
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import httpx

    from authsome.bridge import Around, Human
    from authsome.manifest import Declared, Project
    from authsome.oauth import Client, Tokens
    from authsome.provider import Flow, Provider
    from authsome.renewal import Renewal
    from authsome.session import Intake, Position, Renew, Verdict, Ways
    from authsome.trust import Trust
    from authsome.vault import Entry, Folder, Given, Grant, Vault
    from authsome.vault.keychain import Keychain


def home() -> Path:
    """Return the folder of profiles, identity and own definitions."""
    from authsome.vault import find_home

    return find_home(os.environ)


def open_catalogue(settings: Settings) -> Catalogue:
    """Return all definitions that may be acted on: those of the project only if they are trusted."""
    trust = open_trust(settings)
    return Catalogue(home(), trust.definitions, trust.check_definition) if trust else Catalogue(home())


def show_catalogue(settings: Settings) -> Catalogue:
    """Return all definitions there are, to be shown: also those of the project that nobody trusts."""
    trust = open_trust(settings)
    return Catalogue(home(), trust.definitions, trust.check_definition, shown=True) if trust else Catalogue(home())


def open_trust(settings: Settings) -> "Trust | None":
    """Return what is known of the manifest's project, None without a manifest."""
    from authsome import manifest
    from authsome.trust import Trust

    path = manifest.find(working_folder(), manifest_name(settings))
    return Trust(home(), path, os.environ) if path else None


def working_folder() -> Path:
    """Return the folder that the command was called in, or raise (exit code 2) if somebody has deleted it."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise AuthsomeError(
            "the folder this was called in is gone", hint="cd to one that is there", code=ExitCode.USAGE
        ) from None


def manifest_name(settings: Settings) -> str | None:
    """Return the manifest that the options or the environment name, if they do."""
    return settings.file if settings.file is not None else os.environ.get("AUTHSOME_FILE") or None


def open_project(settings: Settings, catalogue: Catalogue, vault: "Vault | None" = None) -> "Project":
    """Return the manifest's project; without a manifest the default connections that `vault` holds."""
    from authsome import manifest

    path = manifest.find(working_folder(), manifest_name(settings))
    if path is not None:
        project = manifest.load(path, catalogue)
        return project.filled(_choices(settings, project))
    return manifest.default_project(catalogue, vault.names() if vault else (), _choices(settings, None))


def _choices(settings: Settings, project: "Project | None") -> "Mapping[str, str]":
    """Return which connections `set-default` chose, by provider."""
    from authsome.vault import defaults

    try:
        return defaults.chosen(home(), profile_name(settings, project))
    except RuntimeError:  # there is no home, as in `declared`
        return {}


def open_vault(settings: Settings, project: "Project | None" = None) -> "Vault":
    """Return the vault of the profile that the options, the environment or the manifest name, in this order."""
    from authsome import isolation
    from authsome.vault import Vault

    isolation.withhold()  # before there is a secret in this process
    profile = profile_name(settings, project)
    beside = project.path.parent if project and project.path else None
    return Vault(home(), profile, os.environ, given(settings, profile), beside)


def profile_name(settings: Settings, project: "Project | None" = None) -> str:
    """Return the profile that the options, the environment, the manifest or `profile use` name, in this order."""
    from authsome.vault import used

    declared = project.manifest.profile if project and project.manifest else None
    if settings.profile is not None:
        return settings.profile
    return os.environ.get("AUTHSOME_PROFILE") or declared or used(home()) or "default"


def given(settings: Settings, profile: str) -> "Given":
    """Return what the command line adds to finding an identity: its file, and who knows a passphrase."""
    from authsome.vault import Given

    if settings.identity == "":
        raise AuthsomeError("--identity names no file", hint="name one, or leave it out", code=ExitCode.USAGE)
    asking, talking = partial(passphrase, settings, profile), partial(talk, settings)
    return Given(settings.identity, asking, talking, say, recall=partial(_recall, settings, profile))


def _recall(settings: Settings, profile: str, content: bytes) -> str | None:
    return keychain(settings, profile).recall(content)


def keychain(settings: Settings, profile: str) -> "Keychain":
    """Return the keychain of the session, which nobody has asked anything yet."""
    from authsome.vault.keychain import Keychain

    return Keychain(os.environ, lambda: _around(settings, profile).sees_dialogs, partial(talk, settings))


def passphrase(
    settings: Settings, profile: str, origin: str, *, new: bool = False, otherwise: str | None = None
) -> str:
    """Ask for the passphrase of an identity, or of a backup."""
    from authsome import bridge

    return bridge.passphrase(origin, _around(settings, profile), new=new, otherwise=otherwise)


def agrees(settings: Settings, profile: str, question: str) -> bool | None:
    """Return whether a person types `yes`, None if there is nobody to ask."""
    from authsome import bridge

    return bridge.agrees(question, _around(settings, profile))


def somebody(settings: Settings, profile: str) -> bool:
    """Return whether there is somebody at the terminal to ask."""
    return not _around(settings, profile).alone


def again(settings: Settings, *, shared: bool | None = None) -> str:
    """Return the options with which a command that is printed is about the same profile as the one that was typed."""
    said = {"--profile": settings.profile, "--file": settings.file, "--identity": settings.identity}
    options = "".join(f" {option} {shlex.quote(value)}" for option, value in said.items() if value)
    return options if shared is None else f"{options} {'--shared' if shared else '--no-shared'}"


def confirm(settings: Settings, profile: str, question: str, unattended: str) -> None:
    """Have something agreed to, or raise (exit code 3); `unattended` is the command that does it without a question."""
    agreed = agrees(settings, profile, question)
    if agreed is None:
        raise AuthsomeError(
            "this has to be agreed to, and there is nobody to ask", hint=unattended, code=ExitCode.MISSING
        )
    if not agreed:
        raise AuthsomeError("not agreed to, nothing was changed", hint=unattended, code=ExitCode.MISSING)


def _around(settings: Settings, profile: str) -> "Around":
    from authsome import bridge
    from authsome.vault import preset

    def allowed() -> "Sequence[str]":
        return preset.load(preset.chosen(profile, home() / "profiles" / profile)).ask

    return bridge.Around(os.environ, allowed, settings.no_input)


def survey(settings: Settings) -> "tuple[Project, Position]":
    """Return the project and how it stands: the pipeline up to the plan."""
    from authsome.session import survey

    project = open_project(settings, open_catalogue(settings), open_vault(settings))
    check_trust(settings, project)
    position = survey(open_vault(settings, project), project.connections)
    project = project.settled(position.declared)
    return project, replace(position, plan=position.plan.addressed(again(settings)))


def check_trust(settings: Settings, project: "Project") -> None:
    """Raise (exit code 7) if the manifest takes away what nobody here has agreed to."""
    if project.manifest and (trust := open_trust(settings)):
        trust.check_manifest(project.manifest)


def declared(settings: Settings) -> "Project":
    """Return the manifest's project, without a look at a vault; there is a home or there is none."""
    from authsome import manifest

    try:
        catalogue = show_catalogue(settings)  # no secret is at stake
    except RuntimeError:  # Python's word for a user whom the machine does not know
        catalogue = Catalogue(None)
    project = open_project(settings, catalogue)
    if project.manifest is None:
        raise AuthsomeError(
            f"there is no {manifest.FILE_NAME} here, and a fake run answers for what it declares",
            hint="name it with `--file`, or write one: authsome init",
            code=ExitCode.INVALID,
        )
    return project


def target(vault: "Vault", *, shared: bool | None) -> "Folder":
    """Return the folder that is written to; say so where that is the project's without anybody having said it."""
    place = vault.place(shared=shared)
    if shared is None and not place.own:
        # NOTE: the preset may have come with the repository; it is not too late yet to keep a key for oneself.
        say(f"This goes to {place.path}, where all its members can read it: the preset is `{vault.preset}`.")
    return place


def human(settings: Settings, vault: "Vault", wanted: str | None = None, *, shared: bool | None = None) -> "Human":
    """Return who answers questions here; `wanted` is whom the options name."""
    from authsome import bridge

    place = target(vault, shared=shared)
    about = f"{place.path}, for all members of the project" if not place.own else f"the profile {vault.profile}"
    return bridge.door(replace(_around(settings, vault.profile), wanted=wanted), say, about)


def wanted(*, browser: bool, terminal: bool) -> str | None:
    """Return whom `--browser` or `--terminal` name."""
    if browser and terminal:
        raise AuthsomeError("--browser and --terminal exclude each other", hint="give one", code=ExitCode.USAGE)
    return "browser" if browser else "terminal" if terminal else None


def intake(
    settings: Settings, *, check: bool = True, shared: bool | None = None, ways: "Ways | None" = None
) -> "Intake":
    """Return how credentials are taken in; with `check` they are shown to their providers first."""
    from authsome.session import Intake

    known = open_catalogue(settings).usable
    probe = partial(_probe, settings)
    return Intake(known, probe, shared, ways) if check else Intake(known, shared=shared, ways=ways)


def reconciling(settings: Settings, vault: "Vault", asked: str | None = None, *, early: bool = False) -> "Intake":
    """Return how a plan becomes credentials: how they are taken in, and how tokens are renewed.

    Args:
        asked: Whom the options name to answer.
        early: As for `Intake`.
    """
    taking = intake(settings, ways=ways(settings, vault, asked))
    return taking._replace(renew=renewing(settings, vault), early=early, talk=partial(talk, settings))


def ways(
    settings: Settings,
    vault: "Vault",
    wanted: str | None = None,
    *,
    flow: "Flow | None" = None,
    scopes: tuple[str, ...] = (),
    anew: bool = False,
    command: str | None = None,
) -> "Ways":
    """Return with what a login with OAuth is done; see `authorization.Ways`."""
    from authsome.session import Ways

    def browser() -> bool:
        around = replace(_around(settings, vault.profile), wanted=wanted)
        return around.answering() == "browser" or around.has_browser()

    return Ways(partial(outside_of, settings), os.environ, flow, scopes, browser, anew, command=command)


def renewing(settings: Settings, vault: "Vault") -> "Renew":
    """Return what brings tokens up to date; says so if that takes longer than a moment."""
    opened = cache(renewal)  # one for all, and none where nothing is due

    def renew(declared: "Declared") -> "Entry":
        with _saying(settings, f"Asking {declared.provider.display_name} for new tokens …"):
            return opened(vault).fresh(declared)

    return renew


@contextmanager
def _saying(settings: Settings, words: str) -> "Iterator[None]":
    """Say something if a block takes longer than a moment."""
    late = Timer(_PATIENCE, talk, (settings, words))
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


_PATIENCE = 1.0
"""Seconds after which a person wonders what is going on."""


def renewal(vault: "Vault") -> "Renewal":
    """Return what brings the tokens of a vault up to date. Nothing is imported for it before some are due."""
    from authsome.renewal import Renewal

    return Renewal(vault, _talk, environ=os.environ)


def _talk(provider: "Provider", client: "Client", grant: "Grant", fields: "Mapping[str, str]") -> "Tokens":
    from authsome.oauth.conversation import renew

    if provider.oauth is None:
        raise AuthsomeError(f"{provider.display_name} no longer logs in with OAuth")
    return renew(provider.oauth, client, grant, fields, _transport(provider))


def outside_of(settings: Settings, provider: "Provider") -> "httpx.BaseTransport":
    """Return how requests reach the hosts of a provider; says so if one takes longer than a moment."""
    from authsome.outside.patient import Patient

    return Patient(_transport(provider), lambda host: talk(settings, f"Waiting for {host} …"), _PATIENCE)


def _transport(provider: "Provider") -> "httpx.BaseTransport":
    from authsome import outside
    from authsome.proxy import upstream

    return outside.transport(provider, upstream.read(os.environ))


def _probe(settings: Settings, provider: "Provider", fields: "Mapping[str, str]") -> "Verdict":
    from authsome import probe
    from authsome.proxy import upstream

    with _saying(settings, f"Asking {provider.display_name} whether it takes this …"):
        return probe.ask(provider, fields, upstream.read(os.environ))


def sealed(doing: str) -> None:
    """Refuse what an agent has no business with. NOTE: a courtesy, not a wall; see SECURITY.md."""
    if os.environ.get("AUTHSOME_RUN"):
        raise AuthsomeError(
            f"`authsome {doing}` is sealed inside a run",
            hint="call it from a terminal that `authsome run` did not start",
            code=ExitCode.UNTRUSTED,
        )
