"""How one service authenticates, and to which hosts its credential may go.

Promises that a `Provider` is complete and safe to act on: every host is an exact name and port, every header is a legal
field name, every template uses fields that exist. Refuses a definition that could send a credential somewhere its
author did not name: patterns for hosts, plain `http`, control characters, placements without a host.

A definition is a JSON file, bundled with the program or put into `<home>/providers/` by its user; the user's wins.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from authsome import documents
from authsome.documents import Closed
from authsome.errors import AuthsomeError, ExitCode, did_you_mean

PLACEHOLDER = "authsome-proxy-managed"
"""What the child holds instead of a default connection's secret; a further one appends `-<connection>`."""

DEFAULT_CONNECTION = "default"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: header names, methods
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class Source(StrEnum):
    """Where a definition was found."""

    BUNDLED = "bundled"
    CUSTOM = "custom"


def check_name(name: str, what: str) -> str:
    """Return a provider, connection or profile name that is safe as a file name everywhere, or raise (exit code 2)."""
    if not _NAME.fullmatch(name) or name in _DEVICES:
        shown = ascii(name[:40])
        raise AuthsomeError(
            f"{shown} is not a {what} name",
            hint="use up to 63 lower-case letters, digits, `-` and `_`",
            code=ExitCode.USAGE,
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """An exact DNS name, lower case and without a final dot, and a port."""

    name: str
    port: int = 443

    @classmethod
    def parse(cls, text: str) -> "Host":
        """Return the host of `api.example.com`, `api.example.com:8443` or `https://api.example.com`."""
        if text.startswith("regex:") or "*" in text:
            raise ValueError(f"`{text}` is a pattern; write each host exactly, as in `api.example.com`")
        scheme, separator, rest = text.partition("://")
        if separator and scheme != "https":
            raise ValueError(f"`{text}`: a credential leaves over https only")
        authority = (rest if separator else text).removesuffix("/").lower()
        name, _, port = authority.partition(":")
        if not _HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
            raise ValueError(f"`{text}` is not a host name")
        if port and not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536):  # noqa: PLR2004  ports
            raise ValueError(f"`{text}`: not a port")
        return cls(name, int(port or 443))

    @property
    def is_loopback(self) -> bool:
        """Whether the name says by itself that it never leaves this machine (RFC 6761, 6.3)."""
        return self.name == "localhost" or self.name.endswith(".localhost")

    def __str__(self) -> str:
        return self.name if self.port == 443 else f"{self.name}:{self.port}"  # noqa: PLR2004  https


# The file as it is written. The names are those of the documented schema, which loads unchanged.


@dataclass(frozen=True, slots=True)
class ApiKey(Closed):
    """The short form for a provider with one key in one header.

    Attributes:
        header_name: The request header that carries the key.
        header_prefix: What stands before the key in it; empty for the key alone.
        env_var: The environment variable from which the provider's clients read the key.
        key_pattern: A regular expression that finds every genuine key; what it does not find is refused at login.
        key_pattern_hint: What a key looks like, in words; said when one is refused.
    """

    header_name: str = "Authorization"
    header_prefix: str = "Bearer"
    env_var: str | None = None
    key_pattern: str | None = None
    key_pattern_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Export(Closed):
    """Which environment variables carry which field; several names of one field in a list.

    Attributes:
        env: The field (`api_key`, `access_token`, `refresh_token`) and the variables that clients read it from.
    """

    env: dict[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BasicDefinition(Closed):
    """Templates for the user name and password of RFC 7617.

    Attributes:
        username: The user name; `{api_key}` stands for the key.
        password: The password; `{api_key}` stands for the key.
    """

    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class InjectDefinition(Closed):
    """One place a secret goes: `header` and `value`, or `basic`, on these hosts and paths (all of them if left out).

    Attributes:
        header: The request header that carries it.
        value: The header's value; `{api_key}` stands for the key.
        basic: The user name and password instead of a value, for HTTP Basic authentication.
        hosts: The hosts it goes to, out of those in `host_url`; left out, all of them.
        paths: Patterns of the paths it goes to; `*` stands within one segment, `**` for any number.
    """

    header: str = "Authorization"
    value: str | None = None
    basic: BasicDefinition | None = None
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.value is None) == (self.basic is None):
            raise ValueError("give either `value` or `basic`")


@dataclass(frozen=True, slots=True)
class TestRequest(Closed):
    """A cheap authenticated request and the status that tells a good key from a bad one.

    Attributes:
        url: What is asked for, on a host of `host_url`, over https.
        method: How it is asked for.
        good_status: The answer to a good key.
        bad_status: The answer to a bad one.
    """

    url: str
    method: Literal["GET", "HEAD", "POST"] = "GET"
    good_status: int = 200
    bad_status: int = 401

    def __post_init__(self) -> None:
        target = self.target
        if not self.url.startswith("https://") or not target or "#" in target:
            raise ValueError(f"`{self.url}` is not the address of a request: https, a host and a path")
        Host.parse(self.authority)

    @property
    def authority(self) -> str:
        """The host, and the port if it is not 443."""
        return self.url.removeprefix("https://").partition("/")[0]

    @property
    def target(self) -> str:
        """The path and the query, from the slash on."""
        _, slash, rest = self.url.removeprefix("https://").partition("/")
        return slash + rest

    @property
    def host(self) -> "Host":
        """Where it goes."""
        return Host.parse(self.authority)


@dataclass(frozen=True, slots=True)
class Definition(Closed):
    """How one service authenticates, and to which hosts its credential may go.

    Closed: what it does not know is an error.

    Attributes:
        name: What the provider is called in commands and in `authsome.yaml`; the file is named `<name>.json`.
        host_url: The hosts its credential may go to, each exactly, as in `api.example.com`; one, or a list.
        schema_version: The form of this file; there is one so far.
        display_name: What the provider is called where a person reads it.
        auth_type: Whether a person gives a key, or a token comes from OAuth.
        flow: How a credential is come by.
        oauth: Where tokens come from and what they are asked for.
        api_key: The key of a provider whose `auth_type` is `api_key`: its header, variable and form.
        inject: Where the secret goes, where `api_key` cannot say it; each entry is one place.
        headers: Headers that requests with the credential always carry.
        export: The environment variables that clients read the credential from.
        docs: The page that explains how the provider authenticates.
        keys_url: The page where a person gets a key.
        test: A cheap request that tells a good key from a bad one; asked before a key is stored.
        private_addresses: Whether the hosts may be in a private network; without it, a credential leaves for public
            addresses only.
    """

    name: str
    host_url: str | tuple[str, ...]
    schema_version: Literal[1] = 1
    display_name: str = ""
    auth_type: Literal["api_key", "oauth2"] = "api_key"
    flow: str = "api_key"
    oauth: dict[str, Any] | None = None
    api_key: ApiKey | None = None
    inject: tuple[InjectDefinition, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    export: Export | None = None
    docs: str | None = None
    keys_url: str | None = None
    test: TestRequest | None = None
    private_addresses: bool = False

    def __post_init__(self) -> None:
        if self.auth_type == "api_key" and self.api_key is None:
            raise ValueError("`api_key` is missing")


# What the rest of the program reads.


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a connection: what it looks like and which variables clients read it from.

    Attributes:
        label: What it is called where somebody is asked for it.
        masked: Whether it is hidden while it is typed.
    """

    name: str
    pattern: re.Pattern[str] | None
    hint: str | None
    env: tuple[str, ...]
    label: str = "API key"
    masked: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a secret goes: `value` rendered into `header`, or `basic` as user name and password.

    Attributes:
        hosts: The hosts it goes to, never empty.
        paths: Patterns of the paths it goes to (see `rules`); empty means all.
    """

    header: str
    value: str | None
    basic: tuple[str, str] | None
    hosts: frozenset[Host]
    paths: tuple[str, ...] = ()

    def render(self, secrets: Mapping[str, str]) -> str:
        """Return the header's value with the secrets in their slots."""
        if self.basic is None:
            return _fill(self.value or "", secrets)
        from base64 import b64encode  # noqa: PLC0415  only a proxy that serves such a provider needs it

        userinfo = ":".join(_fill(part, secrets) for part in self.basic)
        return "Basic " + b64encode(userinfo.encode()).decode()


def _fill(template: str, secrets: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda slot: secrets[slot[1]], template)


@dataclass(frozen=True)
class Provider:
    """One service, ready to be acted on."""

    name: str
    display_name: str
    auth_type: str
    hosts: tuple[Host, ...]
    fields: tuple[Field, ...]
    placements: tuple[Placement, ...]
    constant_headers: tuple[tuple[str, str], ...] = ()
    keys_url: str | None = None
    docs: str | None = None
    private_addresses: bool = False
    test: TestRequest | None = None

    @cached_property
    def env(self) -> Mapping[str, str]:
        """Environment variable → field, in the order of the definition."""
        return {name: each.name for each in self.fields for name in each.env}

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts as text, sorted: what a person agrees to when giving a secret."""
        return tuple(sorted(str(host) for host in self.hosts))

    def beyond(self, agreed: Iterable[str]) -> tuple[str, ...]:
        """Return the hosts that a person who agreed to these ones did not agree to, sorted."""
        return tuple(sorted(set(self.host_names) - set(agreed)))


def resolve(definition: Definition) -> Provider:
    """Return the provider a definition describes, or raise `ValueError` with what is wrong with it."""
    urls = (definition.host_url,) if isinstance(definition.host_url, str) else definition.host_url
    hosts = tuple(dict.fromkeys(Host.parse(url) for url in urls))
    if not hosts:
        raise ValueError("`host_url` names no host")
    headers = tuple((_header_name(name), _header_value(value)) for name, value in definition.headers.items())
    fields = tuple(_fields(definition))
    if definition.test and definition.test.host not in hosts:
        raise ValueError(f"`test` asks a host that `host_url` does not name: {definition.test.host}")
    return Provider(
        name=definition.name,
        display_name=definition.display_name or definition.name,
        auth_type=definition.auth_type,
        hosts=hosts,
        fields=fields,
        placements=tuple(_placements(definition, hosts, {each.name for each in fields})),
        constant_headers=headers,
        keys_url=definition.keys_url,
        docs=definition.docs,
        private_addresses=definition.private_addresses,
        test=definition.test,
    )


def _fields(definition: Definition) -> Iterator[Field]:
    exported = definition.export.env if definition.export else {}
    names = {"api_key"} if definition.auth_type == "api_key" else {"access_token", "refresh_token"}
    if unknown := sorted(set(exported) - names):
        raise ValueError(f"`export.env` names a field that does not exist: {', '.join(unknown)}")
    key = definition.api_key or ApiKey()
    for variable in _flat([*exported.values(), key.env_var or ()]):
        if not VARIABLE.fullmatch(variable):
            raise ValueError(f"`{variable}` is not an environment variable")
    if definition.auth_type == "oauth2":
        yield Field("access_token", None, None, _flat([exported.get("access_token", ())]))
        return
    env = _flat([exported.get("api_key", ()), key.env_var or ()])
    yield Field("api_key", _pattern(key.key_pattern), key.key_pattern_hint, env)


def _flat(values: Any) -> tuple[str, ...]:
    """Return strings and tuples of strings as one tuple without repetition."""
    return tuple(dict.fromkeys(one for value in values for one in ((value,) if isinstance(value, str) else value)))


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"`key_pattern` is not a regular expression: {error.msg}") from error


def _placements(definition: Definition, hosts: tuple[Host, ...], names: set[str]) -> Iterator[Placement]:
    if not definition.inject:
        header, prefix = "Authorization", "Bearer"
        if definition.api_key:
            header, prefix = definition.api_key.header_name, definition.api_key.header_prefix
        value = f"{prefix.strip()} {{{next(iter(names))}}}".strip()
        yield Placement(_header_name(header), _template(value, names), None, frozenset(hosts))
    for each in definition.inject:
        named = frozenset(Host.parse(text) for text in each.hosts) or frozenset(hosts)
        if strange := sorted(str(host) for host in named - set(hosts)):
            raise ValueError(f"`inject` names a host that `host_url` does not: {', '.join(strange)}")
        for path in each.paths:
            if not path.startswith("/"):
                raise ValueError(f"`{path}`: a path starts with `/`")
        basic = (_template(each.basic.username, names), _template(each.basic.password, names)) if each.basic else None
        raw = _template(each.value, names) if each.value is not None else None
        yield Placement(_header_name(each.header), raw, basic, named, each.paths)


def _header_name(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{ascii(text)} is not a header name")
    if text.lower() in {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"}:
        raise ValueError(f"`{text}` belongs to the connection and carries no credential")
    return text


def _header_value(text: str) -> str:
    if not text.isascii() or any(ord(char) < 32 or ord(char) == 127 for char in text):  # noqa: PLR2004  RFC 9110, 5.5
        raise ValueError(f"{ascii(text)} is not a header value")
    return text


def _template(text: str, names: set[str]) -> str:
    for name in _SLOT.findall(_header_value(text)):
        if name not in names:
            raise ValueError(f"`{{{name}}}` is not a field; there is: {', '.join(sorted(names))}")
    return text


class Catalogue:
    """All definitions there are, by name; a file is read when somebody asks for it and not before.

    Without a home there are the bundled ones.
    """

    def __init__(self, home: Path | None) -> None:
        own = ((Source.CUSTOM, home / "providers"),) if home else ()
        self._folders = (*own, (Source.BUNDLED, bundled("providers")))
        self._loaded: dict[str, Provider] = {}

    def usable(self) -> "Iterator[Provider]":
        """Yield every provider whose definition is without a mistake."""
        for name in self.names():
            with suppress(AuthsomeError):
                yield self.get(name)

    def names(self) -> dict[str, Source]:
        """Return every provider's name and where its definition stands, sorted."""
        found: dict[str, Source] = {}
        for source, folder in reversed(self._folders):
            if folder.is_dir():
                found |= dict.fromkeys((path.stem for path in folder.glob("*.json")), source)
        return dict(sorted(found.items()))

    def find(self, name: str) -> tuple[Source, Path]:
        """Return where a provider is defined; an unknown name is an error (exit code 2) with the nearest one."""
        check_name(name, "provider")
        for source, folder in self._folders:
            path = folder / f"{name}.json"
            if path.is_file():
                return source, path
        known = self.names()
        raise AuthsomeError(
            f"there is no provider `{name}`",
            hint=did_you_mean(name, known, f"known providers: {', '.join(known)}"),
            code=ExitCode.USAGE,
        )

    def get(self, name: str) -> Provider:
        """Return a provider; a definition that is wrong is an error (exit code 6) with file and line."""
        if name not in self._loaded:
            _, path = self.find(name)
            definition = documents.shape(Definition, documents.read_json(path))
            if definition.name != name:
                raise AuthsomeError(f"{path}: is named `{definition.name}` inside", code=ExitCode.INVALID)
            try:
                self._loaded[name] = resolve(definition)
            except ValueError as error:
                raise AuthsomeError(f"{path}: {error}", code=ExitCode.INVALID) from error
        return self._loaded[name]


def bundled(folder: str) -> Path:
    """Return a folder of data that ships with the program: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def placeholder(connection: str) -> str:
    """Return what the child holds instead of this connection's secret."""
    return PLACEHOLDER if connection == DEFAULT_CONNECTION else f"{PLACEHOLDER}-{connection}"
