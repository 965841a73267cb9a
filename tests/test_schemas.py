"""The JSON Schemas: what they say is what the program does."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

import schemas as made
from authsome import documents, manifest, provider, schemas
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue, Definition, bundled
from sweep import examples

EXAMPLE = Path(__file__).parent.parent / "authsome.example.yaml"
NAMES = sorted(schemas.titles())


def _validator(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads(schemas.text(name)))


@pytest.mark.parametrize("name", sorted(made.MADE))
def test_a_schema_is_what_its_models_say(name: str) -> None:
    assert schemas.text(name) == made.make(name), "update it with: uv run python tests/schemas.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_draft_7_closed_and_says_a_word_on_every_key(name: str) -> None:
    schema = json.loads(schemas.text(name))
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == made.DRAFT
    assert schema["title"]
    for where, each in _inside(schema, name):
        if "properties" in each and "description" in each:
            assert each.get("additionalProperties") is False, where
            for key, value in each["properties"].items():
                assert re.fullmatch(r"\S.*[.\n]", value.get("description", ""), re.DOTALL), f"{where}.{key}"


def _inside(schema: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield where, schema
    for key, value in schema.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from _inside(inner, f"{where}.{key}")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("output/")])
def test_the_schema_of_an_answer_names_its_kind_and_version(name: str) -> None:
    schema = json.loads(schemas.text(name))
    assert schema["properties"]["schema_version"]["const"] == 1
    assert schema["properties"]["kind"]["const"] == name.removeprefix("output/")
    assert {"schema_version", "kind"} <= set(schema["required"])


def test_every_definition_that_ships_is_valid() -> None:
    validator = _validator("definition")
    for path in sorted(bundled("providers").glob("*.json")):
        problems = [each.message for each in validator.iter_errors(json.loads(path.read_text()))]
        assert not problems, (path, problems)


def test_the_example_is_a_valid_manifest() -> None:
    assert [each.message for each in _validator("authsome").iter_errors(YAML(typ="safe").load(EXAMPLE))] == []


def test_a_file_may_say_where_its_schema_is(tmp_path: Path) -> None:
    folder = tmp_path / "providers"
    folder.mkdir()
    own = {"$schema": "../schema.json", "name": "acme", "host_url": "api.acme.example", "api_key": {}}
    (folder / "acme.json").write_text(json.dumps(own))
    assert Catalogue(tmp_path).get("acme").host_names == ("api.acme.example",)
    (tmp_path / "authsome.yaml").write_text("$schema: .authsome/schema.json\nversion: 1\n")
    assert manifest.load(tmp_path / "authsome.yaml", Catalogue(tmp_path)).connections == ()
    (folder / "acme.json").write_text(json.dumps(own | {"$schema": 1}))
    with pytest.raises(AuthsomeError, match=r"unknown key `\$schema`"):
        Catalogue(tmp_path).get("acme")


def test_an_unknown_schema_suggests_the_nearest() -> None:
    for name, hint in (
        ("definiton", "did you mean `definition`?"),
        ("list", "did you mean `output/list`?"),
        ("../../etc/passwd", "authsome schema --list"),
        ("output/../authsome", "did you mean"),
    ):
        with pytest.raises(AuthsomeError, match="there is no schema") as caught:
            schemas.text(name)
        assert caught.value.code is ExitCode.USAGE
        assert (caught.value.hint or "").startswith(hint)


# Documents: what the program takes the schema takes, and what the schema takes is of the right form for the program.

MANIFEST = {
    "version": 1,
    "profile": "work",
    "providers": {
        "openai": None,
        "anthropic": {"required": False, "why": "fallback", "scopes": ["a"], "allow": ["GET /v1/**"], "env": "A_KEY"},
        "github": {"scrub": "off", "connections": {"default": None, "bot": {"env": "BOT_TOKEN", "allow": ["/x"]}}},
    },
    "egress": {"default": "deny", "allow": ["packages.example.com"]},
    "isolation": "off",
}
DEFINITION = {
    "$schema": "x",
    "schema_version": 1,
    "name": "acme",
    "display_name": "Acme",
    "host_url": ["api.acme.example", "https://files.acme.example:8443"],
    "auth_type": "api_key",
    "flow": "api_key",
    "oauth": {
        "base_url": "https://acme.example",
        "authorization_url": "{base_url}/authorize",
        "token_url": "{base_url}/token",
        "revocation": {
            "url": "https://acme.example/apps/{client_id}",
            "method": "DELETE",
            "basic": {"username": "{client_id}", "password": "{client_secret}"},
            "json": {"token": "{access_token}"},
        },
        "scopes": ["read"],
        "scope_separator": ",",
        "pkce": None,
        "supports_dcr": True,
        "token_endpoint_auth_method": ["client_secret_basic", "none"],
        "authorization_parameters": {"audience": "acme"},
        "client_credentials": {"parameters": {"account": "{account}"}},
        "inject": [{"value": "Bearer {access_token}"}],
    },
    "client": {"client_id_env": "ACME_CLIENT_ID", "client_secret_env": "ACME_CLIENT_SECRET"},
    "api_key": {"header_name": "X-Key", "header_prefix": "", "env_var": "ACME_KEY", "key_pattern": "^a"},
    "inject": [
        {"header": "X-Key", "value": "{api_key}", "hosts": ["api.acme.example"], "paths": ["/v1/**"]},
        {"basic": {"username": "x", "password": "{api_key}"}},
    ],
    "headers": {"Acme-Version": "1"},
    "export": {"env": {"api_key": ["ACME_KEY", "ACME_TOKEN"]}},
    "docs": "https://acme.example",
    "test": {"url": "https://api.acme.example/me?x=1", "method": "POST", "good_status": 200, "bad_status": 403}
    | {"ok": "/ok", "identity": ["/a~1b", "/c"]},
    "private_addresses": True,
}
SEVERAL = {
    "name": "acme",
    "host_url": "api.acme.example",
    "fields": {
        "account": {"secret": False, "env": "ACME_ACCOUNT", "default": "x", "pattern": "^x"},
        "key": {"label": "key", "hint": "It is long.", "env": ["ACME_KEY"]},
    },
    "inject": [
        {"headers": {"X-Key": "{key}"}, "query": {"k": "{key}"}, "also": {"headers": ["X-Old"], "query": ["old"]}},
        {"path": "/bot{key}/**", "when": "x.*", "hosts": ["api.acme.example"]},
    ],
    "export": {"env": {"account": "A_KEY"}},
    "packages": ["pypi:acme", "npm:@acme/sdk"],
}
TOKENS = {
    "name": "acme",
    "host_url": "api.acme.example",
    "auth_type": "oauth2",
    "flow": "device_code",
    "fields": {"shop": {"secret": False, "default": "x"}},
    "oauth": {
        "token_url": "https://{shop}.acme.example/token",
        "device_authorization_url": "https://{shop}.acme.example/device",
        "revocation_url": None,
        "supports_device_flow": True,
        "token_endpoint_auth_method": "none",
    },
    "export": {"env": {"access_token": "ACME_TOKEN", "refresh_token": "ACME_REFRESH_TOKEN"}},
}
SIGNED = {
    "name": "acme",
    "host_url": "s3.acme.example",
    "fields": {"id": {}, "key": {}, "token": {"optional": True}},
    "inject": [{"sigv4": {"access_key": "{id}", "secret_key": "{key}", "session_token": "{token}"}, "paths": ["/x"]}],
}

_KEYS = sorted(
    {key for text in map(schemas.text, made.MADE) for key in re.findall(r'^ *"(\w+)": \{$', text, re.MULTILINE)}
)
_WORDS = [
    *("", "x", "X", "a b", "a/b", "ü", "api_key", "oauth2", "deny", "on", "off", "GET /", "/x", "x /y", "GET", "A_KEY"),
    *("A-B", "api.acme.example", "*.acme.example", "https://api.acme.example/", "http://a.example", "a.example:8443"),
    *("{api_key}", "a\nb", "api.acme.example:", "HTTPS://a.example", "https://api.acme.example/#x", "con", "^(", "*"),
]
_SCALARS = st.none() | st.booleans() | st.integers(-1, 3) | st.just(1.5) | st.sampled_from(_WORDS)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(_KEYS) | st.sampled_from(_WORDS), inner, max_size=3)
    ),
    max_leaves=4,
)


def _places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if where:
        yield where
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from _places(inner, (*where, key))


def _at(value: Any, where: tuple[Any, ...]) -> Any:
    for part in where:
        value = value[part]
    return value


@st.composite
def _edited(draw: Callable[..., Any], original: dict[str, Any]) -> Any:
    """A good document with a few edits: a value replaced, a key taken away, added or renamed."""
    document = deepcopy(original)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(document))
        if not places:
            break
        *above, last = draw(st.sampled_from(places))
        parent = _at(document, tuple(above))
        match draw(st.sampled_from(["replace", "replace", "remove", "remove", "add"])):
            case "replace":
                parent[last] = draw(_VALUES)
            case "remove":
                del parent[last]
            case _ if isinstance(parent, dict):
                parent[draw(st.sampled_from(_KEYS))] = draw(_VALUES)
    return document


def _shaped(kind: type[Any], data: dict[str, Any]) -> Any:
    """Return what `documents.shape` makes of data, None if it refuses; without its search for words, which is slow."""
    try:
        return documents._build(kind, documents._without_schema(data))  # noqa: SLF001
    except (documents._MisfitError, ValueError):  # noqa: SLF001  the two that `shape` explains
        return None


def _resolved(definition: Definition) -> provider.Provider:
    provider.check_name(definition.name, "provider")
    return provider.resolve(definition)


MANIFESTS, DEFINITIONS = _validator("authsome"), _validator("definition")


@settings(max_examples=examples(200))
@given(_edited(MANIFEST))
def test_the_schema_of_the_manifest_refuses_what_the_program_refuses_and_nothing_it_takes(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    valid, shaped = MANIFESTS.is_valid(data), _shaped(manifest.Manifest, data)
    assert shaped is not None or not valid
    if shaped is None or valid:
        return
    path = tmp_path_factory.mktemp("edited") / "authsome.yaml"
    path.write_text(json.dumps(data))
    with pytest.raises(AuthsomeError) as caught:
        manifest.load(path, Catalogue(None))
    assert caught.value.code is ExitCode.INVALID


@settings(max_examples=examples(300))
@given(_edited(DEFINITION) | _edited(SEVERAL) | _edited(TOKENS) | _edited(SIGNED))
def test_the_schema_of_a_definition_refuses_what_the_program_refuses_and_nothing_it_takes(data: Any) -> None:
    valid, shaped = DEFINITIONS.is_valid(data), _shaped(Definition, data)
    assert shaped is not None or not valid
    if shaped is not None and not valid:
        with pytest.raises((ValueError, AuthsomeError)):
            _resolved(shaped)


def test_the_originals_of_the_edits_are_taken_by_both() -> None:
    assert MANIFESTS.is_valid(MANIFEST)
    assert DEFINITIONS.is_valid(DEFINITION)
    assert DEFINITIONS.is_valid(SEVERAL)
    assert DEFINITIONS.is_valid(TOKENS)
    assert DEFINITIONS.is_valid(SIGNED)
    for each in (DEFINITION, SEVERAL, TOKENS, SIGNED):
        assert _resolved(_shaped(Definition, each)).name == "acme"


def test_the_schemas_are_in_the_package_and_need_neither_pydantic_nor_yaml(tmp_path: Path) -> None:
    script = (
        "import sys; from authsome import schemas\n"
        "assert len(schemas.titles()) > 30\n"
        "found = [name for name in ('pydantic', 'ruamel.yaml', 'typer') if name in sys.modules]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
