"""Make the JSON Schemas of `authsome.yaml` and of definitions from the dataclasses that read them.

Run it after a change to these: `uv run python tests/schemas.py`. What a key means is read from the `Attributes:` of its
class; what its type does not say (a pattern, an example) stands here.
"""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import authsome
from authsome import manifest, provider
from authsome.documents import Closed
from authsome.provider import names

type Schema = dict[str, Any]

FOLDER = Path(authsome.__file__).parent / "schemas"
DRAFT = "http://json-schema.org/draft-07/schema#"
MADE: Mapping[str, tuple[type[Closed], str]] = {
    "authsome": (manifest.Manifest, "authsome.yaml: which providers and connections a project's agent needs"),
    "definition": (provider.Definition, "A provider's definition: how it authenticates, and to which hosts"),
}

_NAME = {"pattern": f"^{names.NAME.pattern}$"}
_VARIABLE = {"pattern": f"^{provider.VARIABLE.pattern}$"}
_HEADER = {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
_EXACT = {"pattern": "^(https://)?[A-Za-z0-9_.-]+(:[0-9]*)?/?$"}
_DNS = r"([A-Za-z0-9_.-]|\{[a-z_][a-z0-9_]*\})+(:[0-9]*)?"
_HOST = {"pattern": rf"^(https://)?(\*\.)?{_DNS}/?$"}
_VALUE = {"pattern": "^[ -~]*$"}
_FIELD = {"pattern": "^[a-z_][a-z0-9_]*$"}
_PARAMETER = {"pattern": "^[A-Za-z0-9_.~-]+$"}
_POINTER = {"pattern": "^(/([^~/]|~[01])*)+$"}
_PARAMETERS = {"propertyNames": _PARAMETER, "additionalProperties": {"type": "string", **_VALUE}}
_ADDRESS = {"pattern": r"^(https://|\{base_url\})[!-~]*$", "examples": ["https://auth.example.com/oauth/token"]}
_AUTH_METHOD = "(client_secret_basic|client_secret_post|none)"
_ALLOW = {
    "items": {"type": "string", "pattern": r"^(([A-Z]+|\*) )?/\S*$"},
    "examples": [["GET /repos/**", "POST /repos/*/*/issues"]],
}

MORE: Mapping[tuple[str, str], Schema] = {
    ("Manifest", "profile"): _NAME,
    ("Manifest", "providers"): {"propertyNames": _NAME},
    ("ProviderEntry", "allow"): _ALLOW,
    ("ProviderEntry", "env"): _VARIABLE,
    ("ProviderEntry", "connections"): {"propertyNames": _NAME, "minProperties": 1},
    ("ConnectionEntry", "allow"): _ALLOW,
    ("ConnectionEntry", "env"): _VARIABLE,
    ("Egress", "allow"): {"items": {"type": "string", **_EXACT}},
    ("Definition", "name"): _NAME,
    ("Definition", "host_url"): {**_HOST, "items": {"type": "string", **_HOST}, "minItems": 1},
    ("Definition", "headers"): {"propertyNames": _HEADER, "additionalProperties": {"type": "string", **_VALUE}},
    ("ApiKey", "header_name"): _HEADER,
    ("ApiKey", "header_prefix"): _VALUE,
    ("ApiKey", "env_var"): _VARIABLE,
    ("ApiKey", "key_pattern"): {"format": "regex"},
    ("Export", "env"): {
        "propertyNames": _FIELD,
        "additionalProperties": {
            "type": ["string", "array"],
            **_VARIABLE,
            "items": {"type": "string", **_VARIABLE},
        },
    },
    ("InjectDefinition", "header"): _HEADER,
    ("InjectDefinition", "value"): {**_VALUE, "examples": ["Bearer {api_key}"]},
    ("InjectDefinition", "headers"): {"propertyNames": _HEADER, "additionalProperties": {"type": "string", **_VALUE}},
    ("InjectDefinition", "query"): {"propertyNames": _PARAMETER, "additionalProperties": {"type": "string", **_VALUE}},
    ("InjectDefinition", "path"): {"pattern": "^/[ -~]*$", "examples": ["/bot{api_key}/**"]},
    ("InjectDefinition", "when"): {"format": "regex"},
    ("AlsoDefinition", "headers"): {"items": {"type": "string", **_HEADER}},
    ("AlsoDefinition", "query"): {"items": {"type": "string", **_PARAMETER}},
    ("FieldDefinition", "env"): {**_VARIABLE, "items": {"type": "string", **_VARIABLE}},
    ("FieldDefinition", "pattern"): {"format": "regex"},
    ("Definition", "fields"): {"propertyNames": _FIELD},
    ("Definition", "packages"): {"items": {"type": "string", "pattern": "^(pypi|npm|python):"}},
    ("InjectDefinition", "yields"): {"items": {"type": "string", **_HEADER}},
    ("DeriveDefinition", "field"): _FIELD,
    ("DeriveDefinition", "response"): {"pattern": r"^[\x20-\x7e]+$", "examples": ["instance_url"]},
    ("DeriveDefinition", "redirect"): {"pattern": r"^[\x20-\x7e]+$", "examples": ["realmId"]},
    ("DeriveDefinition", "pattern"): {"format": "regex", "examples": ["-([a-z]{2}[0-9]+)$"]},
    ("FieldDefinition", "value"): {"examples": ["https://{cluster_host}:6333"]},
    ("FieldDefinition", "placeholder"): {"examples": ["e2b_{hex:40}"]},
    ("ProviderEntry", "base_url"): {"examples": ["https://acme.okta.com"]},
    ("ConnectionEntry", "base_url"): {"examples": ["https://acme.okta.com"]},
    ("InjectDefinition", "hosts"): {"items": {"type": "string", **_HOST}},
    ("InjectDefinition", "paths"): {"items": {"type": "string", "pattern": "^/"}},
    ("BasicDefinition", "username"): _VALUE,
    ("BasicDefinition", "password"): _VALUE,
    ("TestRequest", "ok"): {**_POINTER, "examples": ["/ok"]},
    ("TestRequest", "identity"): {
        **_POINTER,
        "items": {"type": "string", **_POINTER},
        "examples": ["/login", ["/user/username", "/user/email"]],
    },
    ("ClientDefinition", "client_id_env"): _VARIABLE,
    ("ClientDefinition", "client_secret_env"): _VARIABLE,
    **{
        ("OAuthDefinition", name): _ADDRESS
        for name in (
            *("authorization_url", "token_url", "refresh_url", "revocation_url", "device_authorization_url"),
            *("registration_endpoint", "issuer", "resource"),
        )
    },
    ("OAuthDefinition", "base_url"): {"pattern": "^https://[A-Za-z0-9_.-]+(:[0-9]*)?(/[!-~]*)?$"},
    ("OAuthDefinition", "scopes"): {"items": {"type": "string", "pattern": r"^[\x21\x23-\x5b\x5d-\x7e]+$"}},
    ("OAuthDefinition", "token_endpoint_auth_method"): {
        "pattern": f"^{_AUTH_METHOD}$",
        "items": {"type": "string", "pattern": f"^{_AUTH_METHOD}$"},
        "minItems": 1,
        "uniqueItems": True,
        "default": ["client_secret_post", "none"],
    },
    ("OAuthDefinition", "authorization_parameters"): _PARAMETERS,
    ("OAuthDefinition", "token_parameters"): _PARAMETERS,
    ("ClientCredentialsDefinition", "parameters"): _PARAMETERS,
    ("JwtBearerDefinition", "audience"): {**_VALUE, "minLength": 1},
    ("AppInstallationDefinition", "url"): {
        "pattern": r"^(https://|\{base_url\})[!-~]*\{installation_id\}[!-~]*$",
        "examples": ["https://api.example.com/installations/{installation_id}/tokens"],
    },
    ("RevocationDefinition", "url"): _ADDRESS,
    ("RevocationDefinition", "authorization"): {**_VALUE, "examples": ["Bearer {access_token}"]},
    ("RevocationDefinition", "query"): _PARAMETERS,
    ("RevocationDefinition", "form"): _PARAMETERS,
    ("RevocationDefinition", "json"): _PARAMETERS,
    ("TestRequest", "url"): {"pattern": f"^https://{_DNS}/[^#]*$"},
}
"""What holds for a field beyond its type; never narrower than what the program takes (a property of the tests)."""


def _given(name: str, kind: str, **more: int) -> Schema:
    return {"required": [name], "properties": {name: {"type": kind, **more}}}


def _both(one: Schema, other: Schema) -> Schema:
    return {"allOf": [one, other]}


_ELSEWHERE = {
    "anyOf": [
        *(_given("value", "string"), _given("basic", "object"), _given("path", "string", minLength=1)),
        *(_given("headers", "object", minProperties=1), _given("query", "object", minProperties=1)),
        {
            "required": ["also"],
            "properties": {
                "also": {"anyOf": [_given("headers", "array", minItems=1), _given("query", "array", minItems=1)]}
            },
        },
    ]
}
_FIELDS = _given("fields", "object", minProperties=1)


BESIDES: Mapping[str, Schema] = {
    "ProviderEntry": {
        "not": {
            "type": "object",
            "required": ["env", "connections"],
            "properties": {"env": {"type": "string"}, "connections": {"type": "object"}},
        }
    },
    "TestRequest": {
        "not": _both(
            {"required": ["method"], "properties": {"method": {"const": "HEAD"}}},
            {
                "anyOf": [
                    *(_given("ok", "string"), _given("identity", "string")),
                    _given("identity", "array", minItems=1),
                ]
            },
        )
    },
    "FieldDefinition": {
        "not": {
            "anyOf": [
                _both(_given("default", "string"), {"properties": {"secret": {"const": True}}}),
                {
                    "required": ["optional", "secret"],
                    "properties": {"optional": {"const": True}, "secret": {"const": False}},
                },
            ]
        }
    },
    "InjectDefinition": {
        "anyOf": [
            *(_given("value", "string"), _given("basic", "object"), _given("path", "string")),
            *(_given("headers", "object", minProperties=1), _given("query", "object", minProperties=1)),
            _given("sigv4", "object"),
        ],
        "not": {
            "anyOf": [
                _both(_given("value", "string"), _given("basic", "object")),
                _both(_given("path", "string"), _given("paths", "array", minItems=1)),
                _both(_given("sigv4", "object"), _ELSEWHERE),
            ]
        },
    },
    "Definition": {
        "if": {"properties": {"auth_type": {"const": "api_key"}}},
        "then": {
            "anyOf": [_given("api_key", "object"), _FIELDS],
            "not": _both(
                _FIELDS, {"anyOf": [_given("api_key", "object"), {"not": _given("inject", "array", minItems=1)}]}
            ),
        },
        "else": _both(_given("oauth", "object"), {"not": _given("api_key", "object")}),
    },
}
"""What holds between the fields of a class: what its `__post_init__` says."""


def make(name: str) -> str:
    """Return a schema as the file has it."""
    kind, title = MADE[name]
    made = {"$schema": DRAFT, "title": title, **_object(kind)}
    editors = {"type": "string", "description": "Where this schema is; read by editors, and by nothing else."}
    made["properties"] = {"$schema": editors, **made["properties"]}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _object(kind: type) -> Schema:
    hints, said = get_type_hints(kind), described(kind)
    made: Schema = {
        "description": (inspect.getdoc(kind) or "").partition("\n")[0],
        "type": "object",
        "additionalProperties": False,
        "properties": {each.name: _property(kind, each, hints[each.name], said) for each in fields(kind)},
    }
    if needed := [each.name for each in fields(kind) if each.default is each.default_factory is MISSING]:
        made["required"] = needed
    return made | BESIDES.get(kind.__name__, {})


def _property(kind: type, field: Field[Any], hint: Any, said: Mapping[str, str]) -> Schema:
    if field.name not in said:
        raise SystemExit(f"say what `{field.name}` is in the `Attributes:` of {kind.__module__}.{kind.__name__}")
    made = _schema(hint) | MORE.get((kind.__name__, field.name), {}) | {"description": said[field.name]}
    if isinstance(field.default, str | int | bool) and field.default != "":
        made["default"] = field.default
    return made


def _schema(hint: Any) -> Schema:
    """Return what a type says; the options of a union say it side by side, as each keyword is about one type."""
    origin, arguments = get_origin(hint), get_args(hint)
    made: Schema
    if origin in (Union, UnionType):
        made = _either([_schema(each) for each in arguments])
    elif origin is Literal:
        made = {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    elif origin is tuple:
        made = {"type": "array", "items": _schema(arguments[0])}
    elif origin is dict:
        made = {"type": "object", "additionalProperties": _schema(arguments[1])}
    elif is_dataclass(hint):
        made = _object(cast("type", hint))
    else:
        made = {} if hint is Any else {"type": _PLAIN[hint]}
    return made


_PLAIN = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}


def _either(options: list[Schema]) -> Schema:
    made: Schema = {}
    kinds: list[str] = []
    for each in options:
        if "enum" in each:
            return {"enum": [*each["enum"], *([None] if {"type": "null"} in options else [])]}
        kinds.append(each["type"])
        assert not (made.keys() & each.keys()) - {"type"}, options
        made |= each
    return made | {"type": kinds}


def described(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of its attributes."""
    _, _, section = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n        .+)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def main() -> None:
    for name in MADE:
        (FOLDER / f"{name}.schema.json").write_text(make(name), encoding="utf-8")


if __name__ == "__main__":
    main()
