"""`authsome.yaml`: which providers and connections a project's agent needs.

Promises that what a manifest declares is found the same way from every folder below it, and that it names only what
the catalogue has. Refuses keys it does not know: a misspelt restriction must not become no restriction.

A manifest is written by whoever wrote the repository. Its words are shown as theirs and never trusted with a host.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from authsome import documents
from authsome.documents import Closed, Document
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import (
    DEFAULT_CONNECTION,
    SECRETIVE,
    VARIABLE,
    Catalogue,
    Host,
    Provider,
    check_name,
)

FILE_NAME = "authsome.yaml"

_READ_BY_PROGRAMS = re.compile(r"(?:LD|DYLD|PYTHON|NODE|GIT|SSH|BASH|RUBY|PERL|JAVA|AUTHSOME|XDG|NPM)(?:_.*)?")
_ALLOW = re.compile(r"(?:(?P<method>[A-Z]+|\*) )?(?P<path>/\S*)")


@dataclass(frozen=True, slots=True)
class ConnectionEntry(Closed):
    """One account of a provider; what it leaves out it takes from its provider.

    Attributes:
        env: The environment variable in which the agent finds this account's placeholder, for example `TEAM_API_KEY`.
        required: Whether a run waits for this account; else the provider's word counts.
        why: What this account is needed for; shown to the person who is asked for its key.
        scopes: What the key should be allowed to do; shown to the person who is asked for it.
        allow: The requests that get this account's credential, as `METHOD /path`; everything else is refused.
        scrub: `off` passes this account's answers as they come, with whatever secret the provider says back.
        base_url: The one address of the provider that this account is for, as in `https://acme.okta.com`.
    """

    env: str | None = None
    required: bool | None = None
    why: str | None = None
    scopes: tuple[str, ...] | None = None
    allow: tuple[str, ...] | None = None
    scrub: Literal["on", "off"] | None = None
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderEntry(Closed):
    """One provider; without `connections` its default one is meant.

    Attributes:
        required: Whether a run waits for this provider's key; with `false` it starts without.
        why: What the provider is needed for; shown to the person who is asked for its key.
        scopes: What the key should be allowed to do; shown to the person who is asked for it.
        allow: The requests that get the credential, as `METHOD /path`; `*` stands within one segment, `**` for any
            number. Everything else on the provider's hosts is refused. Left out, all requests get it.
        scrub: `off` passes the provider's answers as they come, with whatever secret the provider says back.
        env: The environment variable in which the agent finds the placeholder; else the provider's own variables.
        base_url: The one address of the provider that the key is for, as in `https://acme.okta.com`, where each
            customer has one of their own. A key for another address is not used.
        connections: Several accounts of this provider, by the names they are logged in with. A further one is chosen
            by its placeholder, `authsome-proxy-managed-NAME`.
    """

    required: bool = True
    why: str | None = None
    scopes: tuple[str, ...] | None = None
    allow: tuple[str, ...] | None = None
    scrub: Literal["on", "off"] = "on"
    env: str | None = None
    base_url: str | None = None
    connections: dict[str, ConnectionEntry | None] | None = None

    def __post_init__(self) -> None:
        if self.env is not None and self.connections is not None:
            raise ValueError("`env` belongs to a connection, write it below `connections`")


@dataclass(frozen=True, slots=True)
class Egress(Closed):
    """What happens to hosts that no provider declares.

    Attributes:
        default: `allow` lets them through unread, `deny` refuses all but those in `allow`.
        allow: The hosts that `deny` spares, each exactly, as in `packages.example.com`.
    """

    default: Literal["allow", "deny"] = "allow"
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest(Closed):
    """What the agent of this project may use: accounts by name, never a secret.

    Attributes:
        version: The form of this file; there is one so far.
        profile: Whose secrets; `--profile` and AUTHSOME_PROFILE win over it.
        providers: The providers whose keys the agent needs, by name; `authsome list` and `authsome inspect` know them.
        egress: What happens to hosts that no provider declares.
        isolation: What the kernel withholds from the agent: `auto` takes what there is, `require` refuses to start
            without, `off` takes nothing.
    """

    version: Literal[1]
    profile: str | None = None
    providers: dict[str, ProviderEntry | None] = field(default_factory=dict)
    egress: Egress = field(default_factory=Egress)
    isolation: Literal["auto", "require", "off"] = "auto"


@dataclass(frozen=True, slots=True, order=True)
class Allowed:
    """One line of `allow`: a method (or `*`) and a pattern for the path."""

    method: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Return the rule of `GET /repos/**`, or of `/repos/**` for every method."""
        found = _ALLOW.fullmatch(text)
        if not found:
            raise ValueError(f"{ascii(text)} is not of the form `GET /path/*`")
        return cls(found["method"] or "*", found["path"])

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Declared:
    """One connection that is wanted, with every setting decided.

    Attributes:
        source: The connection of the vault that fills it, where that has another name (see `Project.filled`).
    """

    provider: Provider
    connection: str = DEFAULT_CONNECTION
    required: bool = True
    why: str | None = None
    scopes: tuple[str, ...] = ()
    allow: tuple[Allowed, ...] | None = None
    scrub: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Provider and connection, as the manifest and the agent know them."""
        return self.provider.name, self.connection

    @property
    def held_as(self) -> tuple[str, str]:
        """Provider and connection, as the vault knows them."""
        return self.provider.name, self.source or self.connection

    @property
    def stored(self) -> "Declared":
        """The connection of the vault that fills this one, as if it had been declared in its place."""
        return replace(self, connection=self.source, source=None) if self.source else self

    def seen(self, provider: Provider) -> "Declared":
        """Return the connection as a credential has it: with tokens or with a key, and with that in its variables."""
        if provider.auth_type == self.provider.auth_type:
            return replace(self, provider=provider)
        own = self.env == self.provider.env and (self.env or self.connection == DEFAULT_CONNECTION)
        env = dict(provider.env) if own else dict.fromkeys(self.env, provider.key.name)
        return replace(self, provider=provider, env=env)

    @property
    def name(self) -> str:
        """The connection as messages and commands write it: `openai`, or `openai/team`."""
        return full_name(self.provider.name, self.connection)


@dataclass(frozen=True, slots=True)
class Project:
    """A manifest that was found, or its absence.

    Attributes:
        choices: The connection that was chosen for a provider where none is named.
    """

    manifest: Manifest | None
    path: Path | None
    connections: tuple[Declared, ...]
    choices: Mapping[str, str] = field(default_factory=dict)

    def filled(self, choices: Mapping[str, str]) -> "Project":
        """Return the project with each default connection filled by the one that was chosen on this machine.

        Rules, placeholder and variables stay those of the default connection: the agent does not know of it.

        Args:
            choices: Provider → connection of the vault.
        """
        filled = tuple(
            replace(each, source=choices.get(each.provider.name)) if each.connection == DEFAULT_CONNECTION else each
            for each in self.connections
        )
        return replace(self, connections=filled, choices=choices)

    def settled(self, connections: tuple[Declared, ...]) -> "Project":
        """Return the project with connections whose hosts are known now.

        Raises (exit code 6) if two providers claim one of them.
        """
        for one, other, host in _shared_hosts(connections):
            raise AuthsomeError(
                f"`{one}` and `{other}` both claim {host}: a request could get either's key",
                hint="declare one of them, or log one of them in for another address",
                code=ExitCode.INVALID,
            )
        return replace(self, connections=connections)

    @property
    def egress(self) -> Egress:
        """The manifest's egress, or the one that holds without a manifest."""
        return self.manifest.egress if self.manifest else Egress()


def full_name(provider: str, connection: str) -> str:
    """Return `openai` for a default connection and `openai/team` for a further one."""
    return provider if connection == DEFAULT_CONNECTION else f"{provider}/{connection}"


def login_command(provider: str, connection: str) -> str:
    """Return the command that brings a connection into place."""
    return f"authsome login {provider}" + ("" if connection == DEFAULT_CONNECTION else f" --connection {connection}")


def find(start: Path, named: str | None = None) -> Path | None:
    """Return the manifest: the one named, else the first one upwards from `start`, else None."""
    if named is not None:
        path = start / named
        if not named:
            raise AuthsomeError("`--file` names no manifest", hint="name one, or leave it out", code=ExitCode.USAGE)
        if not path.is_file():
            raise AuthsomeError(f"there is no manifest at {path}", code=ExitCode.INVALID)
        return path
    for folder in (start, *start.parents):
        path = folder / FILE_NAME
        if path.is_file():
            _check_owner(path)
            return path
    return None


def _check_owner(path: Path) -> None:
    """Refuse a manifest that another user put into a folder everybody may write to, such as /tmp."""
    anybodys = path.parent.stat().st_mode & stat.S_IWOTH
    if anybodys and path.stat().st_uid != os.getuid():
        raise AuthsomeError(
            f"{path} belongs to another user, in a folder that everybody may write to",
            hint=f"name it, if you mean it: --file {path}",
            code=ExitCode.UNTRUSTED,
        )


def read(path: Path) -> tuple[Manifest, Document]:
    """Return what stands in the manifest at `path`, or raise (exit code 6) with file:line."""
    document = documents.read_yaml(path)
    if document.data is None:
        raise document.error((), "is empty", "start with `version: 1`")
    return documents.shape(Manifest, document), document


def load(path: Path, catalogue: Catalogue) -> Project:
    """Return the manifest at `path` with its connections, or raise (exit code 6) with file:line."""
    manifest, document = read(path)
    connections = tuple(_resolve(manifest, document, catalogue))
    _check_variables(connections, document)
    for one, other, shared in _shared_hosts(connections):
        message = f"`{other}` and `{one}` both claim {shared}: a request could get either's key"
        raise document.error(("providers", other), message, "declare one of them")
    check_names(manifest, document)
    return Project(manifest, path, connections)


def check_names(manifest: Manifest, document: Document) -> None:
    """Raise (exit code 6) with file:line for a name or a host that is none, before a person is shown it as one."""
    for name, entry in manifest.providers.items():
        with _placed(document, ("providers", name)):
            check_name(name, "provider")
        for connection in (entry.connections if entry else None) or ():
            with _placed(document, ("providers", name, "connections", connection)):
                check_name(connection, "connection")
    for index, host in enumerate(manifest.egress.allow):
        with _placed(document, ("egress", "allow", index)):
            Host.parse(host)


def default_project(
    catalogue: Catalogue, held: Iterable[tuple[str, str]], choices: Mapping[str, str] | None = None
) -> Project:
    """Return what holds without a manifest: the default connection of every connected provider, each as optional."""
    known, chosen = catalogue.names(), choices or {}
    defaults = {provider for provider, name in held if name in (DEFAULT_CONNECTION, chosen.get(provider))}
    names = sorted(defaults & set(known))
    connections = tuple(undeclared(catalogue.get(name), required=False) for name in names)
    return Project(None, None, _apart(connections)).filled(chosen)


def every(catalogue: Catalogue, held: Iterable[tuple[str, str]]) -> Project:
    """Return each connection that is held, also the further ones, as if a manifest had named just these."""
    known = catalogue.names()
    connections = (undeclared(catalogue.get(name), connection) for name, connection in sorted(held) if name in known)
    return Project(None, None, _apart(tuple(connections)))


def _apart(connections: tuple[Declared, ...]) -> tuple[Declared, ...]:
    for one, other, host in _shared_hosts(connections):
        raise AuthsomeError(
            f"`{one}` and `{other}` are both connected and both claim {host}",
            hint="write an authsome.yaml that declares one of them",
            code=ExitCode.INVALID,
        )
    return connections


def _shared_hosts(connections: Iterable[Declared]) -> Iterator[tuple[str, str, Host]]:
    """Yield the pairs of providers that claim one host: which of their keys belongs there could not be told."""
    owners: dict[Host, str] = {}
    for each in connections:
        for host in each.provider.hosts:
            owner = owners.setdefault(host, each.provider.name)
            # One that is open is nobody's yet; `settled` compares what settings make of it.
            if owner != each.provider.name and not host.is_open:
                yield owner, each.provider.name, host
    wild = {host: owner for host, owner in owners.items() if host.is_wild}
    for host, owner in owners.items():
        for below, other in wild.items():
            if owner != other and below.includes(host):
                yield other, owner, host


def undeclared(provider: Provider, connection: str = DEFAULT_CONNECTION, *, required: bool = True) -> Declared:
    """Return a connection as if a manifest had only named it."""
    settled = provider if provider.template else provider.filled({})
    return Declared(settled, connection, required, env=_variables(provider, connection, None))


def _variables(provider: Provider, connection: str, named: str | None) -> Mapping[str, str]:
    """Return environment variable → field; a further connection has only the variable its manifest names."""
    if named is not None:
        return {named: provider.key.name}
    return dict(provider.env) if connection == DEFAULT_CONNECTION else {}


def _resolve(manifest: Manifest, document: Document, catalogue: Catalogue) -> Iterator[Declared]:
    if manifest.profile is not None:
        with _placed(document, ("profile",)):
            check_name(manifest.profile, "profile")
    for name, given in manifest.providers.items():
        with _placed(document, ("providers", name)):
            provider = catalogue.get(name)
        entry = given or ProviderEntry()
        if entry.connections == {}:
            raise document.error(("providers", name, "connections"), "`connections` is empty")
        accounts = entry.connections or {DEFAULT_CONNECTION: ConnectionEntry(env=entry.env)}
        for connection, account in accounts.items():
            where = ("providers", name, *(("connections", connection) if entry.connections else ()))
            with _placed(document, where):
                yield _declare(provider, connection, entry, account or ConnectionEntry())


def _declare(provider: Provider, connection: str, entry: ProviderEntry, account: ConnectionEntry) -> Declared:
    """Return one connection; what the account leaves out is its provider's."""
    if account.env is not None and account.env not in provider.env:
        _check_variable(account.env)
    allow = account.allow if account.allow is not None else entry.allow
    address = account.base_url if account.base_url is not None else entry.base_url
    return Declared(
        provider=provider.filled({}) if address is None else provider.at(address),
        connection=check_name(connection, "connection"),
        required=entry.required if account.required is None else account.required,
        why=account.why or entry.why,
        scopes=(account.scopes if account.scopes is not None else entry.scopes) or (),
        allow=None if allow is None else tuple(Allowed.parse(line) for line in allow),
        scrub=(account.scrub or entry.scrub) == "on",
        env=_variables(provider, connection, account.env),
    )


def _check_variable(name: str) -> None:
    """Refuse a variable that means something to other programs than the provider's clients.

    NOTE: a manifest is written by strangers, and a placeholder is a relative path: as PATH or PYTHONPATH it would run
    the repository's code, as HTTPS_PROXY it would take the proxy away.
    """
    if not VARIABLE.fullmatch(name):
        raise ValueError(f"{ascii(name)} is not an environment variable")
    if not SECRETIVE.fullmatch(name) or _READ_BY_PROGRAMS.fullmatch(name):
        raise ValueError(f"`{name}` is not the name of a key; use one such as `TEAM_API_KEY` or `TEAM_TOKEN`")


def _check_variables(connections: tuple[Declared, ...], document: Document) -> None:
    """Refuse two connections that would fill one variable: the child could not tell which it holds."""
    owners: dict[str, Declared] = {}
    for each in connections:
        for variable in each.env:
            other = owners.setdefault(variable, each)
            if other is not each:
                raise document.error(
                    ("providers", each.provider.name),
                    f"`{each.name}` and `{other.name}` both set {variable}",
                    f"give one of them another variable: `env: {variable}_2`",
                )


@contextmanager
def _placed(document: Document, where: documents.Where) -> Iterator[None]:
    """Give an error raised inside the line of the manifest it is about."""
    try:
        yield
    except ValueError as error:
        raise document.error(where, str(error)) from error
    except AuthsomeError as error:
        if error.code is not ExitCode.USAGE:
            raise
        raise document.error(where, error.message, error.hint) from error
