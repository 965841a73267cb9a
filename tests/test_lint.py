"""What is said of a definition: everything that `load` refuses, each at its line, and what is unwise."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from authsome import documents, lint
from authsome.errors import AuthsomeError
from authsome.lint import Known, Report, Severity
from authsome.provider import Catalogue, bundled, load

GOOD: dict[str, Any] = {
    "name": "acme",
    "host_url": "api.acme.example",
    "api_key": {
        "env_var": "ACME_KEY",
        "key_pattern": "^ak_[a-z]{20}$",
        "key_pattern_hint": "Keys start with ak_.",
    },
    "keys_url": "https://acme.example/keys",
    "docs": "https://acme.example/docs",
    "test": {"url": "https://api.acme.example/me"},
}
KNOWN = Known(tuple(Catalogue(None).usable()), frozenset(Catalogue(None).names()))
ACME = Path("acme.json")


def _without(*names: str, **change: Any) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | change).items() if name not in names}


def _key(**change: Any) -> dict[str, Any]:
    return _without(api_key={name: value for name, value in (GOOD["api_key"] | change).items() if value is not None})


def _report(definition: Any, path: Path = ACME, known: Known = KNOWN, **more: bool) -> Report:
    text = definition if isinstance(definition, str) else json.dumps(definition, indent=1)
    return lint.check(path, text, known, **more)


def _said(report: Report, severity: Severity) -> list[tuple[int | None, str]]:
    return [(each.line, each.message) for each in report.findings if each.severity is severity]


def test_of_a_good_definition_there_is_nothing_to_say() -> None:
    report = _report(GOOD)
    assert report.findings == ()
    assert report.provider
    assert report.provider.name == "acme"


WRONG = """{
  "name": "Bad Name",
  "display_nam": "x",
  "host_url": ["regex:.*", "api.bad.example", "10.0.0.1"],
  "api_key": {
    "header_name": "x",
    "env_var": "PATH",
    "key_pattern": "(a+)+"
  },
  "inject": [
    {"value": "{other}"},
    {"value": "{api_key}", "paths": ["x"]},
    {"value": "{api_key}"}
  ],
  "headers": {"X Y": "1", "X-A": "a\\u0000b"},
  "export": {"env": {"other": "X", "api_key": "LD_PRELOAD"}},
  "category": "cats",
  "packages": ["x"],
  "test": {"url": "http://api.bad.example/"}
}"""


def test_every_mistake_of_a_file_is_said_with_its_line_and_none_hides_the_next() -> None:
    report = _report(WRONG)
    assert [line for line, _ in _said(report, Severity.ERROR)] == [2, 3, 4, 4, 7, 8, 11, 12, 15, 15, 16, 16, 17, 18, 19]
    assert not _said(report, Severity.WARNING)
    assert report.provider is None
    said = "\n".join(message for _, message in _said(report, Severity.ERROR))
    for words in ("regex:.*", "10.0.0.1", "PATH leads", "{other}", "starts with `/`", "X Y", "not a header value"):
        assert words in said


@pytest.mark.parametrize(
    ("definition", "count"),
    [
        (_without("host_url", host_url="regex:.*"), 1),
        (_without(host_url="*.com"), 1),
        (_without(host_url=5), 1),
        (_without(host_url=["api.acme.example", 5, "b.example", "http://c.example"]), 2),
        (_without("host_url"), 1),
        (_without("name"), 1),
        (_without("api_key"), 1),
        (_without(api_key=5), 1),
        (_without("api_key", fields=5, inject=[]), 1),
        (_without("api_key", fields={"a": {"secret": False}}, inject=[{"value": "{a}"}]), 1),
        (_without("api_key", fields={"A": {}}, inject=[{"value": "{A}"}]), 1),
        (_without("api_key", fields={"a": {"pattern": "("}}, inject=[{"value": "{a}"}]), 1),
        (_without("api_key", fields={"a": {}, "b": 7}, inject=[{"value": "{a}"}, {"value": "x"}]), 2),
        (_without(inject=[{"value": "{api_key}", "hosts": ["other.example"]}, {"value": 1}]), 2),
        (_without(test={"url": "https://other.example/"}), 1),
        (_without(private_addresses="yes", oauth=[], docs=1), 3),
        ("[]", 1),
        ("5", 1),
        ('"x"', 1),
        ("{}", 3),
    ],
)
def test_what_could_only_be_a_mistakes_consequence_is_not_said(definition: Any, count: int) -> None:
    report = _report(definition)
    assert len(_said(report, Severity.ERROR)) == count, report
    assert report.provider is None


WRONG_TOKENS = """{
  "name": "acme",
  "auth_type": "oauth2",
  "flow": "device_code",
  "host_url": "api.acme.example",
  "oauth": {
    "token_url": "http://acme.example/token",
    "client_secret": "CANARY",
    "redirect_uri": "http://localhost:3000",
    "token_endpoint_auth_method": "private_key_jwt",
    "scopes": ["a b"],
    "revocation": {"url": "https://acme.example/revoke"},
    "jwt_bearer": {"scope_in": "request"},
    "app_installation": {"url": "https://acme.example/installations"},
    "authorization_parameters": {"state": "x"},
    "inject": [{"value": "{nothing}"}, {"value": "{access_token}", "hosts": ["evil.example"]}]
  }
}"""


def test_every_mistake_of_an_oauth_is_said_and_no_consequence() -> None:
    report = _report(WRONG_TOKENS)
    found = _said(report, Severity.ERROR)
    assert [line for line, _ in found] == [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16]
    said = "\n".join(f"{each.message} {each.hint}" for each in report.findings)
    assert "the flow `device_code` needs `device_authorization_url`" in said
    assert "a login asks for it, or `client.client_secret_env` names the variable" in said
    assert "http://127.0.0.1:7998/callback" in said
    assert "CANARY" not in said


ASKS = {"authorization_url": "https://a.example/page", "token_url": "https://a.example/token"}
TOKENS = {"name": "acme", "auth_type": "oauth2", "flow": "pkce", "host_url": "api.acme.example", "oauth": ASKS}


@pytest.mark.parametrize(
    ("definition", "count"),
    [
        (TOKENS | {"oauth": None}, 1),
        (TOKENS | {"oauth": {}}, 1),
        (TOKENS | {"oauth": "https://a.example"}, 1),
        (TOKENS | {"flow": "magic"}, 1),
        (TOKENS | {"flow": None}, 1),
        ({name: value for name, value in TOKENS.items() if name != "flow"}, 1),
        (TOKENS | {"flow": "jwt_bearer"}, 1),
        (TOKENS | {"flow": "jwt_bearer", "oauth": {**ASKS, "jwt_bearer": True}}, 1),
        (TOKENS | {"flow": "app_installation", "oauth": {"app_installation": {"url": "ftp://x"}}}, 1),
        (TOKENS | {"flow": "app_installation", "oauth": {"app_installation": 7}}, 1),
        (TOKENS | {"oauth": {**ASKS, "token_url": 5}}, 1),
        (TOKENS | {"oauth": {**ASKS, "authorization_url": "http://a.example"}}, 1),
        (TOKENS | {"oauth": {**ASKS, "inject": [7]}}, 1),
        (TOKENS | {"oauth": {**ASKS, "inject": [{"value": "{access_token}", "hosts": ["other.example"]}]}}, 1),
        (_without(oauth=ASKS, inject=[{"value": "{api_key}", "paths": ["/me"]}]), 1),
        (_without(oauth={**ASKS, "revocation": {"url": 1}, "revocation_url": "https://a.example/end"}), 1),
    ],
)
def test_what_could_only_be_a_consequence_of_a_mistake_in_oauth_is_not_said(definition: Any, count: int) -> None:
    report = _report(definition)
    assert len(_said(report, Severity.ERROR)) == count, report
    assert report.provider is None


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (TOKENS, "`docs` is missing: a login cannot say where an application is made"),
        (TOKENS, "`export` is missing"),
        (_without(oauth=ASKS, client={"client_secret_env": "ACME_SECRET"}), "`client_id_env` is missing"),
        (
            TOKENS | {"oauth": {**ASKS, "pkce": False, "token_endpoint_auth_method": "none"}},
            "sees a code has the token",
        ),
    ],
)
def test_what_is_unwise_about_tokens_is_a_warning(definition: Any, words: str) -> None:
    report = _report(definition)
    assert report.provider, report
    assert [each for each in _said(report, Severity.WARNING) if words in each[1]], report


def test_many_mistakes_are_not_all_counted() -> None:
    report = _report({f"key{number}": number for number in range(20_000)})
    assert len(report.findings) <= documents.MAX_MISFITS


@pytest.mark.parametrize(
    ("definition", "line", "words"),
    [
        (_without("keys_url"), 1, "`keys_url` is missing"),
        (_without("test"), 1, "`test` is missing"),
        (_key(key_pattern=None), 4, "`key_pattern` is missing"),
        (_key(key_pattern="ak_[a-z]{20}"), 6, "with ^ and $"),
        (_key(key_pattern="^ak_[a-z]{20}\\$"), 6, "with ^ and $"),
        (_key(key_pattern=f"^{'a' * 300}$"), 6, "has 302 characters"),
        (_key(key_pattern_hint=None), 6, "has no hint"),
        (_key(env_var=None), 4, "no variable is named"),
        (_key(env_var="OPENAI_API_KEY"), 5, "OPENAI_API_KEY is a variable of openai, too"),
        (_without(export={"env": {"api_key": ["A_KEY", "GH_TOKEN"]}}), 16, "GH_TOKEN is a variable of github, too"),
        (
            _without("test", host_url=["api.acme.example", "api.github.com"]),
            3,
            "api.github.com is a host of github, too",
        ),
        (_without(host_url=["api.acme.example", "acme.example"]), 3, "acme.example seems to show web pages"),
        (_without("test", host_url="www.api.acme.example"), 3, "www.api.acme.example seems to show web pages"),
        (_without(docs="http://acme.example"), 10, "`docs` is no https link"),
        (_without(keys_url="javascript:alert(1)"), 9, "`keys_url` is no https link"),
        (_without(inject=[{"value": "{api_key}", "paths": ["/v1/**"]}]), 12, "no way of `inject` goes to /me"),
        (_without("test", name="openai"), 2, "takes the place of the bundled definition of openai"),
        (_without(name="other"), 2, "its file has to be called other.json"),
    ],
)
def test_what_loads_and_is_unwise_is_a_warning(definition: Any, line: int, words: str) -> None:
    report = _report(definition)
    assert report.provider, report
    assert [each for each in _said(report, Severity.WARNING) if each[0] == line and words in each[1]], report
    assert not _said(report, Severity.ERROR)


@pytest.mark.parametrize(
    "definition",
    [
        _without(inject=[{"value": "{api_key}", "paths": ["/m*"]}]),
        _without(
            host_url=["api.acme.example", "www.acme.example"],
            inject=[
                {"value": "{api_key}", "hosts": ["api.acme.example"]},
                {"value": "{api_key}", "hosts": ["www.acme.example"], "paths": ["/api/**"]},
            ],
            test={"url": "https://www.acme.example/api/me"},
        ),
        {
            "name": "acme",
            "host_url": "localhost:7000",
            "auth_type": "oauth2",
            "flow": "device_code",
            "oauth": {"token_url": "https://a.example/token", "device_authorization_url": "https://a.example/device"},
            "export": {"env": {"access_token": "ACME_TOKEN"}},
            "docs": "https://acme.example/docs",
        },
    ],
)
def test_what_is_wise_is_not_warned_of(definition: Any) -> None:
    assert _report(definition).findings == ()


def test_where_it_is_loaded_from_a_file_has_to_be_called_like_its_provider() -> None:
    assert _said(_report(GOOD, Path("other.json"), loaded=True), Severity.ERROR)
    assert not _report(GOOD, Path("standard input")).findings


def test_the_bundled_definitions_load_and_none_names_what_another_one_has() -> None:
    for path in bundled("providers").glob("*.json"):
        report = lint.check(path, path.read_text(), Known(KNOWN.providers), loaded=True)
        assert report.provider, report
        said = [message for _, message in _said(report, Severity.WARNING)]
        assert not [each for each in said if not each.endswith(WISE_ENOUGH)], (path, said)


WISE_ENOUGH = (
    "whoever is given a name under pinecone.io can be sent the key: name the hosts, if you can",
    *(f"AWS_REGION is a variable of {name}, too: one run cannot use both" for name in ("aws", "bedrock")),
    *(f"is a host of {name}, too: one run cannot use both" for name in ("klaviyo", "klaviyo-oauth")),
    *(f"is a host of {name}, too: one run cannot use both" for name in ("google", "youtube")),
    "to the `paths` of the API",
    "is missing: a wrong key is not noticed before it is used",
    "would be stored",
    "a login cannot say where a key comes from",
    "programs are not told that there is a token",
)
"""What holds for a service whose vendor does not say more."""

_PARTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 300)
    | st.sampled_from(
        ["acme", "api.acme.example", "{api_key}", "/x", "A_KEY", "(", "a\0", "https://api.acme.example/"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("value", "hosts", "paths", "path", "env", "url", "pattern", "api_key", "header_name", "scopes"),
                    *("token_url", "jwt_bearer", "app_installation", "inject", "revocation", "client_id"),
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    [
        "name",
        "host_url",
        "api_key",
        "fields",
        "inject",
        "headers",
        "export",
        "test",
        "docs",
        "packages",
        "category",
        "x",
        "oauth",
        "flow",
        "client",
        "auth_type",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_KEYS, _PARTS, max_size=5), st.booleans())
def test_there_is_an_error_exactly_where_a_definition_does_not_load(
    tmp_path_factory: pytest.TempPathFactory, change: dict[str, Any], on_top: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "acme.json"
    path.write_text(json.dumps((GOOD if on_top else {}) | change))
    report = lint.check(path, path.read_text(), KNOWN, loaded=True)
    try:
        load(path)
    except AuthsomeError:
        assert report.count(Severity.ERROR)
        assert report.provider is None
    else:
        assert not report.count(Severity.ERROR)
        assert report.provider
