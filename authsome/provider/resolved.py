"""A provider as the rest of the program reads it: complete, and checked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from warnings import catch_warnings

from authsome.documents import Where
from authsome.provider.definition import (
    ApiKey,
    Definition,
    FieldDefinition,
    InjectDefinition,
    SigV4Definition,
    TestRequest,
)
from authsome.provider.names import READ_BY_PROGRAMS, SECRETIVE, TOKEN, VARIABLE, Host
from authsome.provider.placement import SIGNATURE_HEADERS, SIGNATURE_QUERY, SLOT, Placement, Signing, Value

_FIELD = re.compile(r"[a-z_][a-z0-9_]*")
_PACKAGE = re.compile(r"(?:pypi:[A-Za-z0-9][A-Za-z0-9._-]*|npm:(?:@[a-z0-9._-]+/)?[a-z0-9._-]+|python:[A-Za-z_][\w.]*)")
_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]+")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a connection: what it looks like and which variables clients read it from.

    Attributes:
        label: What it is called where somebody is asked for it.
        secret: Whether it is hidden, from whoever looks on and from the agent.
        default: What holds where nobody says otherwise.
        optional: Whether a connection may do without it.
    """

    name: str
    pattern: re.Pattern[str] | None
    hint: str | None
    env: tuple[str, ...]
    label: str = "API key"
    secret: bool = True
    default: str | None = None
    optional: bool = False

    @property
    def needed(self) -> bool:
        """Whether a login without it is none."""
        return self.default is None and not self.optional


@dataclass(frozen=True)
class Provider:
    """One service, ready to be acted on.

    Attributes:
        oauth: The definition's settings for OAuth, None without any.
    """

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
    flow: str = "api_key"
    oauth: Mapping[str, Any] | None = field(default=None, hash=False)
    packages: tuple[str, ...] = ()
    category: str | None = None

    @cached_property
    def env(self) -> Mapping[str, str]:
        """Environment variable → field, in the order of the definition."""
        return {name: each.name for each in self.fields for name in each.env}

    @cached_property
    def key(self) -> Field:
        """The field that tells one credential from another: the first secret."""
        return next(each for each in self.fields if each.secret)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts as text, sorted: what a person agrees to when giving a secret."""
        return tuple(sorted(str(host) for host in self.hosts))

    def beyond(self, agreed: Iterable[str]) -> tuple[str, ...]:
        """Return the hosts that a person who agreed to these ones did not agree to, sorted."""
        return tuple(sorted(set(self.host_names) - set(agreed)))


class MistakeError(ValueError):
    """What is wrong with a definition whose parts each have the right form.

    Attributes:
        where: The keys and indices that lead to it.
    """

    def __init__(self, message: str, where: Where) -> None:
        super().__init__(message)
        self.where = where


@contextmanager
def _at(*where: str | int) -> Iterator[None]:
    """Say of a mistake where it is; what the inner part has said stays."""
    try:
        yield
    except MistakeError:
        raise
    except ValueError as error:
        raise MistakeError(str(error), where) from error


def resolve(definition: Definition) -> Provider:
    """Return the provider a definition describes, or raise `MistakeError` with what is wrong with it."""
    hosts = _hosts(definition.host_url)
    headers = []
    for name, value in definition.headers.items():
        with _at("headers", name):
            headers.append((_header_name(name), _header_value(value)))
    with _at("packages"):
        packages = tuple(_package(each) for each in definition.packages)
    fields = tuple(_fields(definition))
    names = {each.name: each.secret for each in fields}
    placements = tuple(_placements(definition, hosts, names))
    _check_optional(fields, placements)
    _check_constants(headers, placements)
    if definition.test and definition.test.host not in hosts:
        message = f"`test` asks a host that `host_url` does not name: {definition.test.host}"
        raise MistakeError(message, ("test", "url"))
    if definition.test:
        with _at("test", "url"):
            _template(definition.test.target, names)
        good, bad = definition.test.good, definition.test.bad
        if not good or not bad or good & bad:
            message = "`good_status` and `bad_status` are not empty and have none in common"
            raise MistakeError(message, ("test", "bad_status"))
    return Provider(
        name=definition.name,
        display_name=definition.display_name or definition.name,
        auth_type=definition.auth_type,
        hosts=hosts,
        fields=fields,
        placements=placements,
        constant_headers=tuple(headers),
        keys_url=definition.keys_url,
        docs=definition.docs,
        private_addresses=definition.private_addresses,
        test=definition.test,
        flow=definition.flow,
        oauth=definition.oauth or None,
        packages=packages,
        category=definition.category,
    )


def _check_constants(headers: Iterable[tuple[str, str]], placements: Iterable[Placement]) -> None:
    """Refuse a header that would stand beside the credential's own: which of them counts is the upstream's choice."""
    taken = {name.lower() for each in placements for name, _ in each.headers}
    for name, _ in headers:
        if name.lower() in taken:
            raise MistakeError(f"`{name}` is a header of the credential", ("headers", name))


def _check_optional(fields: Iterable[Field], placements: Iterable[Placement]) -> None:
    """Refuse a field that may be missing where something has to stand."""
    tokens = {each.sigv4.session_token for each in placements if each.sigv4}
    elsewhere = {slot for each in placements for text in _templates(each) for slot in SLOT.findall(text)}
    elsewhere |= {name for each in placements if each.sigv4 for name in (each.sigv4.access_key, each.sigv4.secret_key)}
    for each in fields:
        if each.optional and (each.name not in tokens or each.name in elsewhere):
            raise MistakeError("only the `session_token` of `sigv4` is `optional`", ("fields", each.name, "optional"))


def _templates(placement: Placement) -> Iterator[str]:
    for _, value in (*placement.headers, *placement.query):
        yield from _texts(value)
    yield placement.path or ""


def _package(text: str) -> str:
    if not _PACKAGE.fullmatch(text):
        raise ValueError(f"{ascii(text)} in `packages` is not `pypi:NAME`, `npm:NAME` or `python:MODULE`")
    return text


def _hosts(host_url: str | tuple[str, ...]) -> tuple[Host, ...]:
    if isinstance(host_url, str):
        with _at("host_url"):
            return (Host.parse(host_url),)
    found = []
    for index, url in enumerate(host_url):
        with _at("host_url", index):
            found.append(Host.parse(url))
    if not found:
        raise MistakeError("`host_url` names no host", ("host_url",))
    return tuple(dict.fromkeys(found))


def _fields(definition: Definition) -> Iterator[Field]:
    exported = definition.export.env if definition.export else {}
    names = set(definition.fields) or {"api_key"}
    if definition.auth_type == "oauth2":
        names = {"access_token", "refresh_token"}
    if unknown := sorted(set(exported) - names):
        message = f"`export.env` names a field that does not exist: {', '.join(unknown)}"
        raise MistakeError(message, ("export", "env", unknown[0]))
    key = definition.api_key or ApiKey()
    placed: list[tuple[Where, str | tuple[str, ...]]] = [(("api_key", "env_var"), key.env_var or ())]
    placed += [(("export", "env", name), value) for name, value in exported.items()]
    placed += [(("fields", name, "env"), each.env) for name, each in definition.fields.items()]
    for where, value in placed:
        for variable in _flat([value]):
            if not VARIABLE.fullmatch(variable):
                raise MistakeError(f"{ascii(variable)} is not an environment variable", where)
            # NOTE: `export` puts it into a shell, and a fake run into a child, with a value that a project may choose.
            if READ_BY_PROGRAMS.fullmatch(variable) and not SECRETIVE.fullmatch(variable):
                raise MistakeError(f"{variable} leads other programs than the provider's clients", where)
    if definition.auth_type == "oauth2":
        yield Field("access_token", None, None, _flat([exported.get("access_token", ())]))
    elif definition.fields:
        yield from _own_fields(definition, exported)
    else:
        env = _flat([exported.get("api_key", ()), key.env_var or ()])
        with _at("api_key", "key_pattern"):
            pattern = _pattern(key.key_pattern, "key_pattern")
        yield Field("api_key", pattern, key.key_pattern_hint, env)


def _own_fields(definition: Definition, exported: Mapping[str, Any]) -> Iterator[Field]:
    first = next((name for name, each in definition.fields.items() if each.secret), None)
    if first is None:
        raise MistakeError("none of the `fields` is a secret", ("fields",))
    if definition.fields[first].optional:
        raise MistakeError("the first secret is the key, without which nothing goes", ("fields", first, "optional"))
    for name, each in definition.fields.items():
        with _at("fields", name):
            pattern = _field_pattern(name, each)
        label = each.label or ("API key" if name == "api_key" else name.replace("_", " "))
        env = _flat([exported.get(name, ()), each.env])
        yield Field(name, pattern, each.hint, env, label, each.secret, each.default, each.optional)


def _field_pattern(name: str, each: FieldDefinition) -> re.Pattern[str] | None:
    if not _FIELD.fullmatch(name):
        raise ValueError(f"{ascii(name)} is not the name of a field; use lower-case letters, digits and `_`")
    pattern = _pattern(each.pattern, f"fields.{name}.pattern")
    if pattern and each.default is not None and not pattern.fullmatch(each.default):
        raise ValueError(f"`fields.{name}.default` does not match its own pattern")
    return pattern


def _flat(values: Any) -> tuple[str, ...]:
    """Return strings and tuples of strings as one tuple without repetition."""
    return tuple(dict.fromkeys(one for value in values for one in ((value,) if isinstance(value, str) else value)))


def _pattern(text: str | None, where: str) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        with catch_warnings(action="ignore"):  # Python's, about what it may read in another way one day
            found = re.compile(text)
    except re.error as error:
        raise ValueError(f"`{where}` is not a regular expression: {error.msg}") from error
    except (OverflowError, RecursionError):
        raise ValueError(f"`{where}` is too large a regular expression") from None
    if _repeats_repetition(text):
        raise ValueError(
            f"`{where}` repeats a group that repeats something or has alternatives: "
            "to find out that a key does not match could take for ever"
        )
    return found


def _repeats_repetition(text: str) -> bool:
    """Whether a regular expression has the form whose steps double with every letter: `(a+)+`, `(a|a)*`.

    A number of times that is always the same, as in `(-[0-9]+){3}`, is none.
    """
    varied = [False]  # for each group that is open, whether its inside can match in several ways
    closed = False  # whether the part before was a group of which that holds
    before = ""
    for part in _PART.findall(text):
        repeats = part in "*+" or ("," in part and part[0] == "{")
        optional = part == "?" and before[:1] not in ("(", "*", "+", "?", "{")
        if repeats and closed:
            return True
        closed = False
        if part == "(":
            varied.append(False)
        elif part == ")" and len(varied) > 1:
            closed = varied.pop()
            varied[-1] |= closed
        elif repeats or optional or part == "|":
            varied[-1] = True
        before = part
    return False


_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[0-9]*(?:,[0-9]*)?\}|.", re.DOTALL)


def _placements(definition: Definition, hosts: tuple[Host, ...], names: Mapping[str, bool]) -> Iterator[Placement]:
    if not definition.inject:
        header, prefix = "Authorization", "Bearer"
        if definition.api_key:
            header, prefix = definition.api_key.header_name, definition.api_key.header_prefix
        value = f"{prefix.strip()} {{{next(iter(names))}}}".strip()
        with _at("api_key", "header_name"):
            header = _header_name(header)
        with _at("api_key", "header_prefix"):
            yield Placement(((header, _template(value, names)),), frozenset(hosts))
    for index, each in enumerate(definition.inject):
        with _at("inject", index):
            yield _placement(each, hosts, names)


def _placement(each: InjectDefinition, hosts: tuple[Host, ...], names: Mapping[str, bool]) -> Placement:
    named = frozenset(Host.parse(text) for text in each.hosts) or frozenset(hosts)
    if strange := sorted(str(host) for host in named - set(hosts)):
        raise ValueError(f"`inject` names a host that `host_url` does not: {', '.join(strange)}")
    for path in (*each.paths, *([each.path] if each.path is not None else [])):
        if not path.startswith("/"):
            raise ValueError(f"`{path}`: a path starts with `/`")
    when, key = _pattern(each.when, "when"), next(name for name, secret in names.items() if secret)
    if each.sigv4:
        return _signing(each.sigv4, names, named, each.paths, None if when is None else (key, when))
    headers = tuple(_headers(each, names))
    if len({name.lower() for name, _ in headers}) != len(headers):
        raise ValueError("`inject` fills one header twice")
    query = tuple((_parameter(name), _template(value, names)) for name, value in each.query.items())
    used = {slot for _, value in (*headers, *query) for text in _texts(value) for slot in SLOT.findall(text)}
    if each.path is not None:
        used |= {slot for slot in SLOT.findall(_template(each.path, names)) if _in_path(slot, each.path)}
    if not any(names[name] for name in used):
        raise ValueError("`inject` sends no secret: a template takes it as in `Bearer {api_key}`")
    return Placement(
        headers,
        named,
        each.paths,
        query,
        each.path,
        frozenset(_header_name(name).lower() for name in each.also.headers),
        frozenset(_parameter(name) for name in each.also.query),
        None if when is None else (key, when),
    )


def _signing(
    each: SigV4Definition,
    names: Mapping[str, bool],
    hosts: frozenset[Host],
    paths: tuple[str, ...],
    when: tuple[str, re.Pattern[str]] | None,
) -> Placement:
    """Return the placement of a signature; what a client signs with stands in a header or in the query."""
    said = {"access_key": each.access_key, "secret_key": each.secret_key, "session_token": each.session_token}
    found: dict[str, str] = {}
    for role, text in said.items():
        slot = SLOT.fullmatch(text or "")
        if text is not None and (slot is None or not names.get(slot[1])):
            raise ValueError(f"`sigv4.{role}` is one field that is a secret, as in `{{secret_access_key}}`")
        if slot:
            found[role] = slot[1]
    if len(set(found.values())) != len(found):
        raise ValueError("`sigv4` takes each of its values from a field of its own")
    return Placement(
        (), hosts, paths, also_headers=SIGNATURE_HEADERS, also_query=SIGNATURE_QUERY, when=when, sigv4=Signing(**found)
    )


def _headers(each: InjectDefinition, names: Mapping[str, bool]) -> Iterator[tuple[str, Value]]:
    if each.basic:
        if ":" in each.basic.username:
            raise ValueError("a user name holds no colon (RFC 7617, 2)")
        yield _header_name(each.header), (_template(each.basic.username, names), _template(each.basic.password, names))
    elif each.value is not None:
        yield _header_name(each.header), _template(each.value, names)
    for name, value in each.headers.items():
        yield _header_name(name), _template(value, names)


def _in_path(slot: str, path: str) -> bool:
    """Whether a slot is in a path, and only once: two readings of one path would be two secrets."""
    if path.count(f"{{{slot}}}") > 1 or "?" in path or "#" in path:
        raise ValueError(f"`{path}`: a path holds each field once, and no query")
    return True


def _texts(value: Value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _parameter(text: str) -> str:
    if not _PARAMETER.fullmatch(text):
        raise ValueError(f"{ascii(text)} is not the name of a query parameter")
    return text


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


def _template(text: str, names: Mapping[str, bool]) -> str:
    for name in SLOT.findall(_header_value(text)):
        if name not in names:
            raise ValueError(f"`{{{name}}}` is not a field; there is: {', '.join(sorted(names))}")
    return text
