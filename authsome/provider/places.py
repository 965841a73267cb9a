"""Where the secrets go, read from a definition.

Promises that each placement sends a secret, to hosts that the definition names, in headers and parameters that can be
written. Refuses a template of a field that does not exist, and a header of the connection itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from authsome.provider import ways
from authsome.provider.definition import ApiKey, Definition, InjectDefinition, SigV4Definition
from authsome.provider.mistakes import at
from authsome.provider.names import SLOT, TOKEN, Host
from authsome.provider.placement import SIGNATURE_HEADERS, SIGNATURE_QUERY, Placement, Signing, Value

_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]+")


def placements_of(definition: Definition, hosts: tuple[Host, ...], names: Mapping[str, bool]) -> Iterator[Placement]:
    """Yield the ways in which a key goes into a request, the first that fits first.

    Args:
        names: The fields, and whether each is a secret.
    """
    if not definition.inject:
        key = definition.api_key or ApiKey()
        header, prefix = key.header_name, key.header_prefix
        value = f"{prefix.strip()} {{{next(iter(names))}}}".strip()
        with at("api_key", "header_name"):
            header = header_name(header)
        with at("api_key", "header_prefix"):
            yield Placement(((header, template(value, names)),), frozenset(hosts))
    for index, each in enumerate(definition.inject):
        with at("inject", index):
            yield placement(each, hosts, names)


def placement(each: InjectDefinition, hosts: tuple[Host, ...], names: Mapping[str, bool]) -> Placement:
    """Return one way of these, checked; `ValueError` says what is wrong with it."""
    named = frozenset(Host.declared(text) for text in each.hosts) or frozenset(hosts)
    if strange := sorted(str(host) for host in named - set(hosts)):
        raise ValueError(f"`inject` names a host that `host_url` does not: {', '.join(strange)}")
    for path in (*each.paths, *([each.path] if each.path is not None else [])):
        if not path.startswith("/"):
            raise ValueError(f"`{path}`: a path starts with `/`")
    when, key = ways.pattern(each.when, "when"), next(name for name, secret in names.items() if secret)
    if each.sigv4:
        return _signing(each.sigv4, names, named, each.paths, None if when is None else (key, when))
    headers = tuple(_headers(each, names))
    if len({name.lower() for name, _ in headers}) != len(headers):
        raise ValueError("`inject` fills one header twice")
    query = tuple((_parameter(name), template(value, names)) for name, value in each.query.items())
    used = {slot for _, value in (*headers, *query) for text in texts(value) for slot in SLOT.findall(text)}
    if each.path is not None:
        used |= {slot for slot in SLOT.findall(template(each.path, names)) if _in_path(slot, each.path)}
    if not any(names[name] for name in used):
        raise ValueError("`inject` sends no secret: a template takes it as in `Bearer {api_key}`")
    return Placement(
        headers,
        named,
        each.paths,
        query,
        each.path,
        frozenset(header_name(name).lower() for name in each.also.headers),
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
        yield header_name(each.header), (template(each.basic.username, names), template(each.basic.password, names))
    elif each.value is not None:
        yield header_name(each.header), template(each.value, names)
    for name, value in each.headers.items():
        yield header_name(name), template(value, names)


def _in_path(slot: str, path: str) -> bool:
    """Whether a slot is in a path, and only once: two readings of one path would be two secrets."""
    if path.count(f"{{{slot}}}") > 1 or "?" in path or "#" in path:
        raise ValueError(f"`{path}`: a path holds each field once, and no query")
    return True


def texts(value: Value) -> tuple[str, ...]:
    """Return the templates that a header's value is made of."""
    return (value,) if isinstance(value, str) else value


def _parameter(text: str) -> str:
    if not _PARAMETER.fullmatch(text):
        raise ValueError(f"{ascii(text)} is not the name of a query parameter")
    return text


def header_name(text: str) -> str:
    """Return the name of a header that may carry a credential, or raise `ValueError`."""
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{ascii(text)} is not a header name")
    if text.lower() in {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"}:
        raise ValueError(f"`{text}` belongs to the connection and carries no credential")
    return text


def header_value(text: str) -> str:
    """Return a text that a header can hold, or raise `ValueError`."""
    if not text.isascii() or any(ord(char) < 32 or ord(char) == 127 for char in text):  # noqa: PLR2004  RFC 9110, 5.5
        raise ValueError(f"{ascii(text)} is not a header value")
    return text


def template(text: str, names: Mapping[str, bool]) -> str:
    """Return a template of fields that exist, or raise `ValueError`."""
    for name in SLOT.findall(header_value(text)):
        if name not in names:
            raise ValueError(f"`{{{name}}}` is not a field; there is: {', '.join(sorted(names))}")
    return text
