"""The values of a connection, read from a definition.

Promises that a setting in a host is part of a host, that what is made of others is made of settings, and that no
variable leads another program. Refuses a pattern that could take for ever to find out that a key does not match.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from authsome.provider import shapes, ways
from authsome.provider.definition import ApiKey, ClientDefinition, Definition, DeriveDefinition, FieldDefinition
from authsome.provider.mistakes import MistakeError, at
from authsome.provider.names import READ_BY_PROGRAMS, SECRETIVE, SLOT, VARIABLE, Host
from authsome.provider.oauth import OWN_FIELDS, TOKENS
from authsome.provider.resolved import Field, Part, has_form

if TYPE_CHECKING:
    from authsome.documents import Where

_FIELD = re.compile(r"[a-z_][a-z0-9_]*")


def fields_of(definition: Definition, *, ours: bool = False) -> Iterator[Field]:
    """Yield the values of one connection, in the order in which they are asked for; `ours` as for `resolve`."""
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
        yield from _own_fields(definition, exported, ours=ours)
    else:
        env = flat([exported.get("api_key", ()), key.env_var or ()])
        with at("api_key", "key_pattern"):
            pattern = ways.pattern(key.key_pattern, "key_pattern", ours=ours)
        with at("api_key", "placeholder"):
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
        for variable in flat([value]):
            if not VARIABLE.fullmatch(variable):
                raise MistakeError(f"{ascii(variable)} is not an environment variable", where)
            # NOTE: `export` puts it into a shell, and a fake run into a child, with a value that a project may choose.
            if READ_BY_PROGRAMS.fullmatch(variable) and not SECRETIVE.fullmatch(variable):
                raise MistakeError(f"{variable} leads other programs than the provider's clients", where)


def _own_fields(definition: Definition, exported: Mapping[str, Any], *, ours: bool) -> Iterator[Field]:
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
        if name in OWN_FIELDS and definition.oauth and not each.secret:
            raise MistakeError(f"`{name}` is what a login with OAuth asks for by itself", ("fields", name))
        with at("fields", name):
            pattern = _field_pattern(name, each, ours=ours)
        label = each.label or ("API key" if name == "api_key" else name.replace("_", " "))
        env = flat([exported.get(name, ()), each.env])
        with at("fields", name, "derive"):
            derive = _part(each.derive, definition) if each.derive else None
        with at("fields", name, "placeholder"):
            shape = _shape(each.placeholder)
        made = Field(name, pattern, each.hint, env, label, each.secret, each.default, each.example)
        yield replace(made, value=each.value, derive=derive, shape=shape, optional=each.optional)


def in_hosts(fields: Iterable[Field], hosts: Iterable[Host]) -> Iterator[Field]:
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
            if plain and text is not None and not has_form(made, text):
                raise MistakeError(f"`{text}` is no part of a host", ("fields", name))
        yield made


_LABEL = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")
_LABEL_HINT = "It is part of the provider's address: letters, digits and hyphens."


def check_made(fields: Iterable[Field]) -> None:
    """Refuse a setting that is made of what is none, or of what does not exist."""
    known = {each.name: each for each in fields}
    for each in known.values():
        for slot in SLOT.findall(each.value or ""):
            if slot not in known or known[slot].secret or known[slot].value is not None:
                raise MistakeError(f"`{{{slot}}}` is no setting that is given", ("fields", each.name, "value"))
        part = each.derive
        if part and part.of == "field" and (part.source not in known or not known[part.source].asked):
            raise MistakeError(f"`{part.source}` is no field that is given", ("fields", each.name, "derive"))
        for slot in SLOT.findall(each.shape or ""):
            if slot not in known or known[slot].secret:
                raise MistakeError(f"`{{{slot}}}` is no setting", ("fields", each.name, "placeholder"))


def _part(given: DeriveDefinition, definition: Definition) -> Part:
    pattern = _one_group(given.pattern)
    if given.field is not None:
        return Part(given.field, pattern)
    keyed = definition.auth_type == "api_key"
    if given.response is not None:
        if keyed:
            raise ValueError("`response` is that to a request for tokens, which nobody sends for a key")
        return Part(given.response, pattern, "response")
    if keyed or not (definition.oauth and {"pkce", "dcr_pkce"} & set(definition.oauth.flows)):
        raise ValueError("`redirect` is what ends a login in the browser, of which there is none")
    return Part(given.redirect or "", pattern, "redirect")


def _one_group(text: str) -> re.Pattern[str]:
    found = ways.pattern(text, "derive.pattern")
    if found is None or found.groups != 1:
        raise ValueError("`derive.pattern` has one group: the part that is the setting")
    return found


def _shape(text: str | None) -> str | None:
    if text is not None:
        shapes.check(text)
    return text


def _field_pattern(name: str, each: FieldDefinition, *, ours: bool) -> re.Pattern[str] | None:
    if not _FIELD.fullmatch(name):
        raise ValueError(f"{ascii(name)} is not the name of a field; use lower-case letters, digits and `_`")
    pattern = ways.pattern(each.pattern, f"fields.{name}.pattern", ours=ours)
    for key, text in (("default", each.default), ("example", each.example)):
        if pattern and text is not None and not pattern.fullmatch(text):
            raise ValueError(f"`fields.{name}.{key}` does not match its own pattern")
    return pattern


def flat(values: Any) -> tuple[str, ...]:
    """Return strings and tuples of strings as one tuple without repetition."""
    return tuple(dict.fromkeys(one for value in values for one in ((value,) if isinstance(value, str) else value)))
