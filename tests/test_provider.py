import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import (
    ApiKey,
    BasicDefinition,
    Catalogue,
    Definition,
    Export,
    Host,
    InjectDefinition,
    Source,
    bundled,
    check_name,
    placeholder,
    resolve,
)

DEFINITION = Definition(name="acme", host_url="api.acme.example", api_key=ApiKey(env_var="ACME_KEY"))


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("api.acme.example", Host("api.acme.example")),
        ("API.Acme.Example", Host("api.acme.example")),
        ("https://api.acme.example/", Host("api.acme.example")),
        ("https://api.acme.example:8443", Host("api.acme.example", 8443)),
        ("localhost:7000", Host("localhost", 7000)),
    ],
)
def test_a_host_is_an_exact_name_and_port(text: str, host: Host) -> None:
    assert Host.parse(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("regex:.*acme.*", "*.example", "*", "http://api.acme.example", "10.0.0.1", "[::1]", "", "a..b", "-a.example"),
        *("api.acme.example.", "a b", "api.acme.example:0", "api.acme.example:99999", "https://u@a.example", "a/b"),
        *("аpi.acme.example", "a.example:١", "x" * 300),  # a Cyrillic letter and an Arabic digit
        "\u212aey.example",  # the Kelvin sign, which in lower case is a `k`
    ],
)
def test_anything_else_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        Host.parse(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host_url": ()}, "names no host"),
        ({"api_key": ApiKey(header_name="X Y")}, "not a header name"),
        ({"api_key": ApiKey(header_name="Host")}, "belongs to the connection"),
        ({"api_key": ApiKey(header_prefix="a\r\nb")}, "not a header value"),
        ({"api_key": ApiKey(key_pattern="(")}, "not a regular expression"),
        ({"api_key": ApiKey(env_var="A-B")}, "not an environment variable"),
        *(
            ({"api_key": ApiKey(env_var=name)}, "leads other programs")
            for name in (
                "PATH",
                "LD_PRELOAD",
                "https_proxy",
                "AWS_CONFIG_FILE",
                "MAVEN_OPTS",
                "GOROOT",
                "PHPRC",
                "VIMINIT",
            )
        ),
        *(({"export": Export({"api_key": name})}, "leads other") for name in ("PROMPT_COMMAND", "NODE_OPTIONS", "ENV")),
        ({"headers": {"x": "a\nb"}}, "not a header value"),
        ({"headers": {"authorization": "Bearer of-somebody-else"}}, "a header of the credential"),
        ({"inject": (InjectDefinition(value="{other}"),)}, "is not a field"),
        (
            {"inject": (InjectDefinition(value="{api_key}", hosts=("evil.example",)),)},
            "a host that `host_url` does not",
        ),
        ({"inject": (InjectDefinition(value="{api_key}", paths=("x",)),)}, "starts with `/`"),
    ],
)
def test_a_definition_that_could_leak_does_not_load(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(replace(DEFINITION, **change))


def test_a_placement_is_one_thing() -> None:
    with pytest.raises(ValueError, match="either"):
        InjectDefinition(value="x", basic=BasicDefinition("a", "b"))


def test_an_own_definition_wins_over_the_bundled_one(tmp_path: Path, catalogue: Catalogue) -> None:
    folder = tmp_path / "providers"
    folder.mkdir()
    mine = json.loads((bundled("providers") / "g2.json").read_text()) | {"host_url": "g2.internal.example"}
    (folder / "g2.json").write_text(json.dumps(mine))
    assert catalogue.names()["g2"] is Source.CUSTOM
    assert catalogue.names()["openai"] is Source.BUNDLED
    assert catalogue.get("g2").host_names == ("g2.internal.example",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"name": "other", "host_url": "a.example", "api_key": {}}', "is named `other` inside"),
        ('{"name": "acme", "host_url": "regex:.*", "api_key": {}}', "is a pattern"),
        ('{"name": "acme", "host_url": "a.example"}', "`api_key` is missing"),
        ('{"name": "acme",\n"host": "a.example"}', ":2: unknown key `host`"),
        ("", ":1: expecting value"),
    ],
)
def test_a_wrong_own_definition_is_named_with_its_file(
    tmp_path: Path, catalogue: Catalogue, content: str, message: str
) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "acme.json").write_text(content)
    with pytest.raises(AuthsomeError) as caught:
        catalogue.get("acme")
    assert caught.value.code is ExitCode.INVALID
    assert message in caught.value.message
    assert "acme.json" in caught.value.message


def test_an_unknown_provider_suggests_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(AuthsomeError, match="no provider `opnai`") as caught:
        catalogue.get("opnai")
    assert caught.value.hint == "did you mean `openai`?"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", "a\0b", "x" * 64, "con", "lpt1", "ａ", ".a", "-a"])
def test_a_name_that_is_not_safe_as_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(AuthsomeError, match="is not a provider name") as caught:
        check_name(name, "provider")
    assert caught.value.code is ExitCode.USAGE


def test_the_placeholder_names_the_connection() -> None:
    assert placeholder("default") == "authsome-proxy-managed"
    assert placeholder("team") == "authsome-proxy-managed-team"


def test_a_definition_in_the_documented_form_loads_unchanged(tmp_path: Path, catalogue: Catalogue) -> None:
    documented = {
        "schema_version": 1,
        "name": "acme",
        "display_name": "Acme",
        "auth_type": "oauth2",
        "flow": "pkce",
        "oauth": {
            "base_url": "https://acme.example",
            "authorization_url": "{base_url}/authorize",
            "token_url": "{base_url}/token",
            "revocation_url": None,
            "scopes": ["read"],
            "pkce": True,
            "device_token_request": "oauth2_form",
            "supports_device_flow": False,
            "supports_dcr": False,
        },
        "host_url": ["api.acme.example", "files.acme.example"],
        "export": {"env": {"access_token": "ACME_ACCESS_TOKEN", "refresh_token": "ACME_REFRESH_TOKEN"}},
        "docs": "https://acme.example/docs",
    }
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "acme.json").write_text(json.dumps(documented))
    provider = catalogue.get("acme")
    assert provider.host_names == ("api.acme.example", "files.acme.example")
    assert dict(provider.env) == {"ACME_ACCESS_TOKEN": "access_token"}
    assert provider.placements[0].fields({"access_token": "t"}) == (("Authorization", "Bearer t"),)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"host_url": ["a.example", "*.example"]}, 4),
        ({"headers": {"X-A": "1", "bad name": "2"}}, 4),
        ({"export": {"env": {"api_key": "A_KEY", "other": "B"}}}, 5),
        ({"api_key": {"env_var": "A-B"}}, 3),
        ({"api_key": {"key_pattern": "("}}, 3),
        ({"api_key": {"header_name": "Host"}}, 3),
        ({"inject": [{"value": "{api_key}"}, {"value": "{secret}"}]}, 6),
        ({"test": {"method": "GET", "url": "https://b.example/"}}, 4),
    ],
)
def test_a_mistake_that_only_the_whole_shows_has_its_line(
    tmp_path: Path, catalogue: Catalogue, change: dict[str, Any], line: int
) -> None:
    definition = {**change, "host_url": change.get("host_url", "a.example"), "name": "acme"}
    path = tmp_path / "providers" / "acme.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**definition, "api_key": change.get("api_key", {})}, indent="\t"))
    with pytest.raises(AuthsomeError) as caught:
        catalogue.get("acme")
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert caught.value.code is ExitCode.INVALID


ENDLESS = ("(a+)+", "(a|a)*b", "((a+)b){2,}", "(?:x*)+", "(a?b?)*c", "(?:a{1,3})*", "(?P<one>[ab]|b)+$")
SHARED = (
    *(
        "a*a*a*b",
        "(a*)(a*)(a*)b",
        ".*.*.*x",
        "[a-z]+[0-9a-z]+\\w+!",
        "(?:ab)*(?:ab)*(?:ab)*c",
        "a+?a+?a+?b",
        "[é]*é*é*x",
    ),
    *(
        "(a*|b)(a*|b)(a*|b)c",
        "a{0,900}a{0,900}a{0,900}b",
        "(?i)a*A*a*b",
        "a*b?a*c?a*d",
        "a*(?=a)a*a*b",
        "\\d*\\d*\\d*x",
    ),
    *("(?P<n>a*)(?P=n)*a*b", r"(a*)\1*a*b", r"\x61*a*a*b", "(?x) a* a* a* b", "a*^a*$a*b", "(a*(b|a*))a*c"),
)
TOO_LARGE = ("a{99999999999}", "(" * 20_000 + ")" * 20_000)
JWT = r"eyJ[\w-]+\.[\w-]+\.[\w-]+"
FINE = (
    *("(-[0-9a-z]{4}){3}-[0-9]+", "(?:sk|rk)_[a-z]+(b+)?", r"\(a+\)+", "[(a+)]+", "[]+)]+(a)+", "a+?(b)+", "[[a]"),
    *(JWT, "sk-[a-z]{20,}|pk-[a-z]{20,}|rk-[a-z]{20,}", "(?:[a-z]+|[0-9]+|[A-Z]+)!", "a*a*b"),
)


@pytest.mark.parametrize(
    ("pattern", "loads"),
    [*((text, False) for text in (*ENDLESS, *SHARED, *TOO_LARGE)), *((text, True) for text in FINE)],
)
def test_a_pattern_that_could_be_tried_for_ever_does_not_load(pattern: str, *, loads: bool) -> None:
    try:
        resolve(replace(DEFINITION, api_key=ApiKey(key_pattern=pattern)))
    except ValueError:
        assert not loads
    else:
        assert loads


def test_a_definition_with_a_number_without_end_is_explained(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "providers" / "acme.json"
    path.parent.mkdir()
    path.write_text('{"schema_version": ' + "1" * 5000 + "}")
    with pytest.raises(AuthsomeError, match=r"acme\.json:1: a number is too long"):
        catalogue.get("acme")
