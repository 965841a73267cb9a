"""A provider, made of its definition, or what is wrong with that."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from authsome.provider import suffixes
from authsome.provider.definition import ClientDefinition, Definition, InjectDefinition, OAuthDefinition, TestRequest
from authsome.provider.fields import check_made, fields_of, flat, in_hosts
from authsome.provider.mistakes import MistakeError, at
from authsome.provider.names import SLOT, Host, covered
from authsome.provider.oauth import OAuth, check as check_oauth, endpoints
from authsome.provider.placement import Placement
from authsome.provider.places import header_name, header_value, placement, placements_of, template, texts
from authsome.provider.resolved import Field, Part, Provider

if TYPE_CHECKING:
    from authsome.documents import Where

_PACKAGE = re.compile(r"(?:pypi:[A-Za-z0-9][A-Za-z0-9._-]*|npm:(?:@[a-z0-9._-]+/)?[a-z0-9._-]+|python:[A-Za-z_][\w.]*)")


def resolve(definition: Definition, *, ours: bool = False) -> Provider:
    """Return the provider a definition describes, or raise `MistakeError` with what is wrong with it.

    Args:
        ours: Whether it comes with the program: its wildcards and patterns have been looked at, and need not be again.
    """
    hosts = _hosts(definition.host_url)
    headers = []
    for name, value in definition.headers.items():
        with at("headers", name):
            headers.append((header_name(name), header_value(value)))
    with at("packages"):
        packages = tuple(_package(each) for each in definition.packages)
    fields = tuple(in_hosts(fields_of(definition, ours=ours), hosts))
    check_made(fields)
    _check_kind(definition)
    tokens = _tokens(definition, definition.oauth, hosts, fields) if definition.oauth else None
    if tokens and definition.auth_type == "oauth2":
        fields, placements = tokens.fields, tokens.placements
    else:
        placements = tuple(placements_of(definition, hosts, {each.name: each.secret for each in fields}))
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
    """Refuse a key for hosts that anybody can have, and a signature for any that are not AWS's own.

    NOTE: a signature names its host, but not every endpoint of AWS asks whether that is its own. Anybody can have a
    bucket, and a host for it; who answers there is AWS.
    """
    named = {(host, place.sigv4 is not None) for place in placements for host in place.hosts}
    with at("host_url"):
        suffixes.check(sorted({host for host, signed in named if not (signed and host.name.endswith(_OF_AWS))}))


_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


def _check_test(test: TestRequest, hosts: tuple[Host, ...], names: Mapping[str, bool]) -> None:
    if not covered(test.host, hosts):
        raise MistakeError(f"`test` asks a host that `host_url` does not name: {test.host}", ("test", "url"))
    with at("test", "url"):
        template(test.target, names)
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
        yield from texts(value)
    yield placement.path or ""


def _package(text: str) -> str:
    if not _PACKAGE.fullmatch(text):
        raise ValueError(f"{ascii(text)} in `packages` is not `pypi:NAME`, `npm:NAME` or `python:MODULE`")
    return text


def _hosts(host_url: str | tuple[str, ...]) -> tuple[Host, ...]:
    if isinstance(host_url, str):
        with at("host_url"):
            return (Host.declared(host_url),)
    found = []
    for index, url in enumerate(host_url):
        with at("host_url", index):
            found.append(Host.declared(url))
    if not found:
        raise MistakeError("`host_url` names no host", ("host_url",))
    return tuple(dict.fromkeys(found))


def _tokens(definition: Definition, asks: OAuthDefinition, hosts: tuple[Host, ...], own: tuple[Field, ...]) -> OAuth:
    """Return how tokens are come by and where they go.

    Args:
        own: The fields of a key, or the settings of a provider that has none.
    """
    settings = [each for each in own if not each.secret]
    keyed = definition.auth_type == "api_key"
    try:
        check_oauth(asks, [each.name for each in settings], None if keyed else definition.flow)
    except MistakeError as error:
        raise MistakeError(str(error), ("oauth", *error.where)) from error
    exported = definition.export.env if definition.export else {}
    env = flat([exported.get("access_token", next((each.env for each in own if each.secret), ()))])
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
        for text in texts(value)
        for slot in SLOT.findall(text)
    }
    wanted |= {slot for host in hosts for slot in host.slots}
    kept = tuple(
        replace(each, derive=None) if each.derive and _of_key(each.derive, own) else each
        for each in settings
        if not keyed or each.value is not None or each.name in wanted
    )
    token = Field("access_token", None, None, env, "access token")
    return OAuth(asks, definition.client or ClientDefinition(), (token, *kept), placements)


def _of_key(part: Part, own: Iterable[Field]) -> bool:
    """Whether a setting is read out of a key: who has a token instead of one is asked for it."""
    return part.of == "field" and any(each.secret and each.name == part.source for each in own)


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
        with at(*where):
            yield placement(each, hosts, names)
    if not given:
        key = definition.api_key.header_name.lower() if definition.api_key else "authorization"
        plain = Placement((("Authorization", "Bearer {access_token}"),), frozenset(hosts))
        yield replace(plain, also_headers=frozenset({key} - {"authorization"}))
