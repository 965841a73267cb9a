"""A provider as the rest of the program reads it: complete, and checked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from warnings import catch_warnings

from authsome.documents import Where
from authsome.provider import shapes, suffixes, ways
from authsome.provider.definition import (
    ApiKey,
    ClientDefinition,
    Definition,
    FieldDefinition,
    InjectDefinition,
    OAuthDefinition,
    SigV4Definition,
    TestRequest,
)
from authsome.provider.names import READ_BY_PROGRAMS, SECRETIVE, SLOT, TOKEN, VARIABLE, Host, covered, placeholder
from authsome.provider.oauth import TOKENS, OAuth, WrongError, check as check_oauth, endpoints
from authsome.provider.placement import SIGNATURE_HEADERS, SIGNATURE_QUERY, Placement, Signing, Value

_FIELD = re.compile(r"[a-z_][a-z0-9_]*")
_PACKAGE = re.compile(r"(?:pypi:[A-Za-z0-9][A-Za-z0-9._-]*|npm:(?:@[a-z0-9._-]+/)?[a-z0-9._-]+|python:[A-Za-z_][\w.]*)")
_SHARED = 2
"""So many repetitions that can share letters take a second for the longest key; with one more it is hours."""
_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]+")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a connection: what it looks like and which variables clients read it from.

    Attributes:
        label: What it is called where somebody is asked for it.
        secret: Whether it is hidden, from whoever looks on and from the agent.
        default: What holds where nobody says otherwise.
        example: A value as it may look.
        value: What it is made of, in place of being asked for.
        derive: The field it is part of, in place of being asked for, and what finds it there: the one group.
        shape: What the agent holds instead looks like this (see `shapes`); None for the ordinary placeholder.
        optional: Whether a connection may do without it.
    """

    name: str
    pattern: re.Pattern[str] | None
    hint: str | None
    env: tuple[str, ...]
    label: str = "API key"
    secret: bool = True
    default: str | None = None
    example: str | None = None
    value: str | None = None
    derive: tuple[str, re.Pattern[str]] | None = None
    shape: str | None = None
    optional: bool = False

    @property
    def asked(self) -> bool:
        """Whether somebody gives it."""
        return self.value is None and self.derive is None

    @property
    def needed(self) -> bool:
        """Whether nothing goes without somebody having given it."""
        return self.asked and self.default is None and not self.optional

    @property
    def kept(self) -> bool:
        """Whether it is stored: what is made of others is made anew each time."""
        return self.value is None or not SLOT.search(self.value)


@dataclass(frozen=True)
class Provider:
    """One service, ready to be acted on.

    Attributes:
        oauth: How its tokens are come by, None for a provider that has none.
        template: What it was filled from, None if it was not.
        settings: With which it was filled, with the defaults and what is made of them.
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
    oauth: OAuth | None = field(default=None, hash=False)
    packages: tuple[str, ...] = ()
    category: str | None = None
    template: "Provider | None" = field(default=None, compare=False, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

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

    @property
    def is_open(self) -> bool:
        """Whether settings are still missing of one of its hosts."""
        return any(host.is_open for host in self.hosts)

    @cached_property
    def as_written(self) -> "Provider":
        """The provider with the slots that its definition has."""
        return self.template or self

    def settled(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of a connection: those that were given, the defaults, and what is made of them."""
        found = {each.name: each.default for each in self.fields if each.default is not None}
        found |= {each.name: given[each.name] for each in self.fields if not each.secret and each.name in given}
        for each in self.fields:
            if each.value is not None and all(slot in found for slot in SLOT.findall(each.value)):
                found[each.name] = SLOT.sub(lambda slot: found[slot[1]], each.value)
        return found

    def filled(self, given: Mapping[str, str]) -> "Provider":
        """Return the provider of a connection with these settings; a host that they make none of stays open."""
        made = self.as_written
        settings = made.settled(given)
        return replace(
            made,
            hosts=tuple(dict.fromkeys(host.filled(settings) for host in made.hosts)),
            placements=tuple(place.filled(settings) for place in made.placements),
            oauth=made.oauth
            and replace(made.oauth, placements=tuple(place.filled(settings) for place in made.oauth.placements)),
            template=made,
            settings=settings,
        )

    def at(self, address: str) -> "Provider":
        """Return the provider for one address, as in `https://acme.example.com`; raise `ValueError` if it is none."""
        made = self.as_written
        open_hosts = [host for host in made.hosts if host.slots]
        if not open_hosts:
            raise ValueError(f"{made.display_name} has the same address for all: {', '.join(made.host_names)}")
        found = next((values for host in open_hosts if (values := host.read(address))), {})
        wrong = [each for each in made.fields if each.name in found and not _has_form(each, found[each.name])]
        if not found or wrong:
            shown = ", ".join(f"https://{host}" for host in open_hosts)
            raise ValueError(f"{ascii(address)} is no address of {made.display_name}, which are: {shown}")
        fields = tuple(
            replace(each, value=found[each.name], default=None, derive=None) if each.name in found else each
            for each in made.fields
        )
        return replace(made, fields=fields).filled({})

    def read(self, name: str, text: str) -> str:
        """Return the setting in what somebody gave for it: an address of the provider holds it as well."""
        found = (values for host in self.as_written.hosts if name in (values := host.read(text)))
        return next(found, {name: text})[name]

    def derived(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return the settings that are part of what was given; raise `ValueError` where one is not in it."""
        made = {}
        for each in self.fields:
            if each.derive and each.derive[0] in given:
                found = each.derive[1].search(given[each.derive[0]])
                if not found or not found[1] or len(found[1]) > MOST_DERIVED or not _has_form(each, found[1]):
                    raise ValueError(f"there is no {each.label} in it")
                made[each.name] = found[1]
        return made

    def stand_in(self, connection: str, name: str) -> str:
        """Return what the agent holds instead of a secret of a connection."""
        shape = next((each.shape for each in self.fields if each.name == name), None)
        made = shapes.filled(shape, (self.name, connection, name), self.settings) if shape else None
        return made or placeholder(connection)

    def beyond(self, agreed: Iterable[str]) -> tuple[str, ...]:
        """Return the hosts that a person who agreed to these ones did not agree to, sorted."""
        return tuple(sorted(set(self.host_names) - set(agreed)))


MOST_DERIVED = 12
"""Characters of a secret that a setting may show."""


def _has_form(field: Field, text: str) -> bool:
    return field.pattern is None or field.pattern.fullmatch(text) is not None


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


def resolve(definition: Definition, *, ours: bool = False) -> Provider:
    """Return the provider a definition describes, or raise `MistakeError` with what is wrong with it.

    Args:
        ours: Whether it comes with the program: then its wildcards have been looked at, and no list has to be read.
    """
    hosts = _hosts(definition.host_url)
    headers = []
    for name, value in definition.headers.items():
        with _at("headers", name):
            headers.append((_header_name(name), _header_value(value)))
    with _at("packages"):
        packages = tuple(_package(each) for each in definition.packages)
    fields = tuple(_in_hosts(_fields(definition), hosts))
    _check_made(fields)
    _check_kind(definition)
    tokens = _tokens(definition, definition.oauth, hosts, fields) if definition.oauth else None
    if tokens and definition.auth_type == "oauth2":
        fields, placements = tokens.fields, tokens.placements
    else:
        placements = tuple(_placements(definition, hosts, {each.name: each.secret for each in fields}))
    names = {each.name: each.secret for each in fields}
    _check_optional(fields, placements)
    everywhere = (*placements, *(tokens.placements if tokens else ()))
    _check_constants(headers, everywhere)
    if not ours:
        _check_wildcards(everywhere)
    if definition.test:
        _check_test(definition.test, hosts, names)
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
        oauth=tokens,
        packages=packages,
        category=definition.category,
    )


def _check_wildcards(placements: Iterable[Placement]) -> None:
    """Refuse a key for hosts that anybody can have; a signature is good for the one host that it was made for."""
    with _at("host_url"):
        suffixes.check(sorted({host for place in placements if place.sigv4 is None for host in place.hosts}))


def _check_test(test: TestRequest, hosts: Iterable[Host], names: Mapping[str, bool]) -> None:
    if not covered(test.host, hosts):
        raise MistakeError(f"`test` asks a host that `host_url` does not name: {test.host}", ("test", "url"))
    with _at("test", "url"):
        _template(test.target, names)
    if not test.good or not test.bad or test.good & test.bad:
        message = "`good_status` and `bad_status` are not empty and have none in common"
        raise MistakeError(message, ("test", "bad_status"))


def _check_kind(definition: Definition) -> None:
    if definition.client and not definition.oauth:
        raise MistakeError("`client` is the application of `oauth`, which is missing", ("client",))
    if definition.auth_type == "api_key" and definition.flow != "api_key":
        raise MistakeError("with the `auth_type` `api_key`, the `flow` is `api_key`", ("flow",))


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
            return (Host.declared(host_url),)
    found = []
    for index, url in enumerate(host_url):
        with _at("host_url", index):
            found.append(Host.declared(url))
    if not found:
        raise MistakeError("`host_url` names no host", ("host_url",))
    return tuple(dict.fromkeys(found))


def _fields(definition: Definition) -> Iterator[Field]:
    exported = definition.export.env if definition.export else {}
    keyed = definition.auth_type == "api_key"
    names = {*definition.fields, *(("api_key",) if keyed and not definition.fields else ())}
    names |= set(TOKENS) if definition.oauth else set()
    if unknown := sorted(set(exported) - names):
        message = f"`export.env` names a field that does not exist: {', '.join(unknown)}"
        raise MistakeError(message, ("export", "env", unknown[0]))
    _check_variables(definition, exported)
    key = definition.api_key or ApiKey()
    if definition.fields or not keyed:
        yield from _own_fields(definition, exported)
    else:
        env = _flat([exported.get("api_key", ()), key.env_var or ()])
        with _at("api_key", "key_pattern"):
            pattern = _pattern(key.key_pattern, "key_pattern")
        with _at("api_key", "placeholder"):
            yield Field("api_key", pattern, key.key_pattern_hint, env, shape=_shape(key.placeholder))


def _check_variables(definition: Definition, exported: Mapping[str, Any]) -> None:
    """Refuse what is no environment variable, and one that would lead other programs than the provider's clients."""
    key, client = definition.api_key or ApiKey(), definition.client or ClientDefinition()
    placed: list[tuple[Where, str | tuple[str, ...]]] = [(("api_key", "env_var"), key.env_var or ())]
    placed += [(("export", "env", name), value) for name, value in exported.items()]
    placed += [(("fields", name, "env"), each.env) for name, each in definition.fields.items()]
    placed += [(("client", "client_id_env"), client.client_id_env or ())]
    placed += [(("client", "client_secret_env"), client.client_secret_env or ())]
    for where, value in placed:
        for variable in _flat([value]):
            if not VARIABLE.fullmatch(variable):
                raise MistakeError(f"{ascii(variable)} is not an environment variable", where)
            # NOTE: `export` puts it into a shell, and a fake run into a child, with a value that a project may choose.
            if READ_BY_PROGRAMS.fullmatch(variable) and not SECRETIVE.fullmatch(variable):
                raise MistakeError(f"{variable} leads other programs than the provider's clients", where)


def _tokens(definition: Definition, asks: OAuthDefinition, hosts: tuple[Host, ...], own: tuple[Field, ...]) -> OAuth:
    """Return how tokens are come by and where they go.

    Args:
        own: The fields of a key, or the settings of a provider that has none.
    """
    settings = [each for each in own if not each.secret]
    keyed = definition.auth_type == "api_key"
    try:
        check_oauth(asks, [each.name for each in settings], None if keyed else definition.flow)
    except WrongError as error:
        raise MistakeError(str(error), ("oauth", *error.where)) from error
    exported = definition.export.env if definition.export else {}
    env = _flat([exported.get("access_token", next((each.env for each in own if each.secret), ()))])
    names = {"access_token": True} | {each.name: False for each in settings}
    placements = tuple(_token_placements(definition, asks, hosts, names))
    wanted = {
        slot
        for url in (*endpoints(asks).values(), *asks.authorization_parameters.values())
        for slot in SLOT.findall(url)
    }
    wanted |= {
        slot
        for place in placements
        for _, value in place.headers
        for text in _texts(value)
        for slot in SLOT.findall(text)
    }
    wanted |= {slot for host in hosts for slot in host.slots}
    kept = tuple(each for each in settings if not keyed or each.value is not None or each.name in wanted)
    token = Field("access_token", None, None, env, "access token")
    return OAuth(asks, definition.client or ClientDefinition(), (token, *kept), placements)


def _token_placements(
    definition: Definition, asks: OAuthDefinition, hosts: tuple[Host, ...], names: Mapping[str, bool]
) -> Iterator[Placement]:
    given: tuple[tuple[Where, InjectDefinition], ...]
    given = tuple((("oauth", "inject", index), each) for index, each in enumerate(asks.inject))
    if definition.auth_type == "oauth2":
        if given and definition.inject:
            raise MistakeError("give `inject` alone", ("oauth", "inject"))
        given = given or tuple((("inject", index), each) for index, each in enumerate(definition.inject))
    elif definition.inject and not given:
        raise MistakeError("`oauth.inject` is missing: it says where the token goes", ("oauth",))
    for where, each in given:
        with _at(*where):
            yield _placement(each, hosts, names)
    if not given:
        key = definition.api_key.header_name.lower() if definition.api_key else "authorization"
        plain = Placement((("Authorization", "Bearer {access_token}"),), frozenset(hosts))
        yield replace(plain, also_headers=frozenset({key} - {"authorization"}))


def _own_fields(definition: Definition, exported: Mapping[str, Any]) -> Iterator[Field]:
    keyed = definition.auth_type == "api_key"
    first = next((name for name, each in definition.fields.items() if each.secret), None)
    if keyed and first is None:
        raise MistakeError("none of the `fields` is a secret", ("fields",))
    if first is not None and definition.fields[first].optional:
        raise MistakeError("the first secret is the key, without which nothing goes", ("fields", first, "optional"))
    for name, each in definition.fields.items():
        if each.secret and not keyed:
            raise MistakeError("the secrets of OAuth are its tokens; a setting has `secret: false`", ("fields", name))
        if name in TOKENS and definition.oauth:
            raise MistakeError(f"`{name}` comes by OAuth and is no field of a key", ("fields", name))
        with _at("fields", name):
            pattern = _field_pattern(name, each)
        label = each.label or ("API key" if name == "api_key" else name.replace("_", " "))
        env = _flat([exported.get(name, ()), each.env])
        with _at("fields", name, "derive"):
            derive = (each.derive.field, _one_group(each.derive.pattern)) if each.derive else None
        with _at("fields", name, "placeholder"):
            shape = _shape(each.placeholder)
        made = Field(name, pattern, each.hint, env, label, each.secret, each.default, each.example)
        yield replace(made, value=each.value, derive=derive, shape=shape, optional=each.optional)


def _in_hosts(fields: Iterable[Field], hosts: Iterable[Host]) -> Iterator[Field]:
    """Yield the fields; one that is part of a host is one label of it, unless it has a pattern of its own."""
    hosts = tuple(hosts)
    found = {each.name: each for each in fields}
    for host in hosts:
        for slot in host.slots:
            if slot not in found or found[slot].secret:
                message = f"`{host}`: `{{{slot}}}` is no setting; a field is one with `secret: false`"
                raise MistakeError(message, ("host_url",))
            if found[slot].value is not None:
                raise MistakeError(f"`{host}`: `{{{slot}}}` is made of others itself", ("host_url",))
            if found[slot].pattern is None and "." not in SLOT.sub("", host.name):
                message = f"`{host}` is whatever `{slot}` says: give that field a `pattern`"
                raise MistakeError(message, ("fields", slot))
    slots = {slot for host in hosts for slot in host.slots}
    for name, each in found.items():
        plain = name in slots and each.pattern is None
        made = replace(each, pattern=_LABEL, hint=each.hint or _LABEL_HINT) if plain else each
        for text in (each.default, each.example):
            if plain and text is not None and not _has_form(made, text):
                raise MistakeError(f"`{text}` is no part of a host", ("fields", name))
        yield made


_LABEL = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")
_LABEL_HINT = "It is part of the provider's address: letters, digits and hyphens."


def _check_made(fields: Iterable[Field]) -> None:
    """Refuse a setting that is made of what is none, or of what does not exist."""
    known = {each.name: each for each in fields}
    for each in known.values():
        for slot in SLOT.findall(each.value or ""):
            if slot not in known or known[slot].secret or known[slot].value is not None:
                raise MistakeError(f"`{{{slot}}}` is no setting that is given", ("fields", each.name, "value"))
        if each.derive and (each.derive[0] not in known or not known[each.derive[0]].asked):
            raise MistakeError(f"`{each.derive[0]}` is no field that is given", ("fields", each.name, "derive"))
        for slot in SLOT.findall(each.shape or ""):
            if slot not in known or known[slot].secret:
                raise MistakeError(f"`{{{slot}}}` is no setting", ("fields", each.name, "placeholder"))


def _one_group(text: str) -> re.Pattern[str]:
    found = _pattern(text, "derive.pattern")
    if found is None or found.groups != 1:
        raise ValueError("`derive.pattern` has one group: the part that is the setting")
    return found


def _shape(text: str | None) -> str | None:
    if text is not None:
        shapes.check(text)
    return text


def _field_pattern(name: str, each: FieldDefinition) -> re.Pattern[str] | None:
    if not _FIELD.fullmatch(name):
        raise ValueError(f"{ascii(name)} is not the name of a field; use lower-case letters, digits and `_`")
    pattern = _pattern(each.pattern, f"fields.{name}.pattern")
    for key, text in (("default", each.default), ("example", each.example)):
        if pattern and text is not None and not pattern.fullmatch(text):
            raise ValueError(f"`fields.{name}.{key}` does not match its own pattern")
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
            shared = ways.most(text)
    except re.error as error:
        raise ValueError(f"`{where}` is not a regular expression: {error.msg}") from error
    except (OverflowError, RecursionError):
        raise ValueError(f"`{where}` is too large a regular expression") from None
    if _repeats_repetition(text):
        raise ValueError(
            f"`{where}` repeats a group that repeats something or has alternatives: "
            "to find out that a key does not match could take for ever"
        )
    if shared > _SHARED:
        raise ValueError(
            f"`{where}` can divide the same letters between {shared} repetitions: "
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
        key = definition.api_key or ApiKey()
        header, prefix = key.header_name, key.header_prefix
        value = f"{prefix.strip()} {{{next(iter(names))}}}".strip()
        with _at("api_key", "header_name"):
            header = _header_name(header)
        with _at("api_key", "header_prefix"):
            yield Placement(((header, _template(value, names)),), frozenset(hosts))
    for index, each in enumerate(definition.inject):
        with _at("inject", index):
            yield _placement(each, hosts, names)


def _placement(each: InjectDefinition, hosts: tuple[Host, ...], names: Mapping[str, bool]) -> Placement:
    named = frozenset(Host.declared(text) for text in each.hosts) or frozenset(hosts)
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
        frozenset(_yielded(each, headers)),
    )


def _yielded(each: InjectDefinition, headers: Iterable[tuple[str, Value]]) -> Iterator[str]:
    """Yield the headers that a client may fill itself; one at least is not among them."""
    filled = {name.lower() for name, _ in headers}
    for name in each.yields:
        if name.lower() not in filled:
            raise ValueError(f"`yields` names the header {ascii(name)}, which is not filled")
        yield name.lower()
    if each.yields and filled <= {name.lower() for name in each.yields} and not (each.query or each.path):
        raise ValueError("`yields` names all there is: nothing would say whose request it is")


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
