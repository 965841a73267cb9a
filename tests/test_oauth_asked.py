"""What a login asks for besides a provider's settings: nothing that is known, nothing a flow has no use for."""

import pytest

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import Client
from authsome.oauth.asked import asked_for, client_given, environ_client, key_file
from authsome.provider import Catalogue, OAuth

SECRET = "CANARY-client-secret-0001"
VARIABLES = {"PAYPAL_CLIENT_ID": "paypal-app", "PAYPAL_CLIENT_SECRET": SECRET}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> "Tokens":
    """Return how the tokens of bundled providers are come by."""
    return Tokens(Catalogue(tmp_path_factory.mktemp("home")))


class Tokens:
    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def of(self, name: str) -> OAuth:
        found = self.catalogue.get(name).oauth
        assert found
        return found


@pytest.mark.parametrize(
    ("name", "flow", "wanted"),
    [
        ("google", "pkce", {"client_id": True, "client_secret": True}),
        ("github", "device_code", {"client_id": True, "client_secret": False}),
        ("github", "pkce", {"client_id": True, "client_secret": True}),
        ("dropbox", "pkce", {"client_id": True, "client_secret": False}),
        ("spotify", "client_credentials", {"client_id": True, "client_secret": True}),
        ("buffer", "pkce", {"client_id": True}),
        ("wistia", "dcr_pkce", {}),
        ("zoom", "pkce", {"client_id": True, "client_secret": True}),
        ("zoom", "client_credentials", {"client_id": True, "client_secret": True, "account_id": True}),
        ("auth0", "client_credentials", {"client_id": True, "client_secret": True}),  # the tenant is a setting
        ("google", "jwt_bearer", {"service_account": True, "subject": False}),
        ("github", "app_installation", {"app_id": True, "installation_id": True, "private_key": True}),
    ],
)
def test_a_flow_asks_for_what_it_needs(tokens: Tokens, name: str, flow: str, wanted: dict[str, bool]) -> None:
    asked = asked_for(tokens.of(name), flow, None, {})
    assert {each.name: each.needed for each in asked} == wanted
    assert [each.name for each in asked if each.secret] == [
        each for each in wanted if each in ("client_secret", "service_account", "private_key")
    ]


def test_every_question_says_where_the_answer_is_found(tokens: Tokens) -> None:
    page = "https://docs.example/apps"
    for name, flow in (("zoom", "client_credentials"), ("google", "jwt_bearer"), ("github", "app_installation")):
        for each in asked_for(tokens.of(name), flow, None, {}, page=page):
            assert each.hint is not None
            assert each.hint.endswith(page)
            assert each.label[0].isupper()


def test_nobody_is_asked_for_an_application_that_is_known(tokens: Tokens) -> None:
    held = Client("app", SECRET)
    assert asked_for(tokens.of("google"), "pkce", held, {}) == ()
    assert client_given(tokens.of("google"), "pkce", {}, held, {}) == held
    assert asked_for(tokens.of("paypal"), "client_credentials", None, VARIABLES) == ()
    assert client_given(tokens.of("paypal"), "client_credentials", {}, None, VARIABLES) == Client("paypal-app", SECRET)


def test_the_variables_count_before_the_vault(tokens: Tokens) -> None:
    held = Client("other", "CANARY-other")
    assert client_given(tokens.of("paypal"), "client_credentials", {}, held, VARIABLES) == Client("paypal-app", SECRET)


def test_a_secret_in_the_vault_completes_the_id_in_a_variable_if_it_is_of_the_same_application(tokens: Tokens) -> None:
    variables = {"PAYPAL_CLIENT_ID": "paypal-app"}
    same, other = Client("paypal-app", SECRET), Client("other", SECRET)
    assert asked_for(tokens.of("paypal"), "client_credentials", same, variables) == ()
    assert client_given(tokens.of("paypal"), "client_credentials", {}, same, variables).client_secret == SECRET
    asked = asked_for(tokens.of("paypal"), "client_credentials", other, variables)
    assert [each.name for each in asked] == ["client_secret"]
    given = client_given(tokens.of("paypal"), "client_credentials", {"client_secret": SECRET}, other, variables)
    assert given == Client("paypal-app", SECRET)


def test_only_what_another_flow_needs_besides_is_asked_for(tokens: Tokens) -> None:
    of_device = Client("app")  # it needed no secret there
    asked = asked_for(tokens.of("github"), "pkce", of_device, {})
    assert [each.name for each in asked] == ["client_secret"]
    assert client_given(tokens.of("github"), "pkce", {"client_secret": SECRET}, of_device, {}) == Client("app", SECRET)
    of_code = Client("app", SECRET)
    asked = asked_for(tokens.of("zoom"), "client_credentials", of_code, {})
    assert [(each.name, each.label) for each in asked] == [("account_id", "Account ID")]
    given = client_given(tokens.of("zoom"), "client_credentials", {"account_id": "a-1"}, of_code, {})
    assert dict(given.more) == {"account_id": "a-1"}
    assert asked_for(tokens.of("zoom"), "client_credentials", given, {}) == ()


def test_an_application_that_registered_itself_serves_codes_only(tokens: Tokens) -> None:
    itself = Client("dyn", redirect_uri="http://127.0.0.1:7998/callback")
    assert asked_for(tokens.of("gitlab"), "pkce", itself, {}) == ()
    asked = asked_for(tokens.of("gitlab"), "device_code", itself, {})
    assert [each.name for each in asked] == ["client_id", "client_secret"]
    given = client_given(tokens.of("gitlab"), "device_code", {"client_id": "app", "client_secret": SECRET}, itself, {})
    assert given == Client("app", SECRET)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"client_secret": SECRET}, "the Client ID is empty"),
        ({"client_id": "  ", "client_secret": SECRET}, "the Client ID is empty"),
        ({"client_id": "app"}, "the Client secret is empty"),
        ({"client_id": f"Client ID: {SECRET}", "client_secret": SECRET}, "this is no Client ID"),
        ({"client_id": "app", "client_secret": f"{SECRET}\r\nHost: x"}, "this is no Client secret"),
        ({"client_id": "app", "client_secret": f"{SECRET}\N{BULLET}"}, "this is no Client secret"),
    ],
)
def test_what_cannot_be_an_application_is_refused_without_being_repeated(
    tokens: Tokens, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(AuthsomeError) as caught:
        client_given(tokens.of("google"), "pkce", fields, None, {}, page="https://docs.example")
    assert (caught.value.message, caught.value.code) == (message, ExitCode.USAGE)
    assert caught.value.hint == "It is shown where the application was made. See https://docs.example"
    assert "CANARY" not in f"{caught.value.message}{caught.value.hint}"


def test_what_was_not_asked_for_does_not_count(tokens: Tokens) -> None:
    given = client_given(tokens.of("google"), "pkce", {"client_id": "other", "x": "y"}, Client("app", SECRET), {})
    assert given == Client("app", SECRET)


def test_a_variable_with_a_slip_in_it_is_named_and_not_repeated(tokens: Tokens) -> None:
    for wrong in (f"{SECRET} x", f"{SECRET}\nx", f"{SECRET}\N{BULLET}"):
        with pytest.raises(AuthsomeError, match="PAYPAL_CLIENT_SECRET") as caught:
            environ_client(tokens.of("paypal"), {"PAYPAL_CLIENT_ID": "a", "PAYPAL_CLIENT_SECRET": wrong})
        assert "CANARY" not in f"{caught.value.message}{caught.value.hint}"
    trimmed = environ_client(tokens.of("paypal"), {"PAYPAL_CLIENT_ID": " a\n", "PAYPAL_CLIENT_SECRET": f"{SECRET}\n"})
    assert trimmed == Client("a", SECRET)
    assert environ_client(tokens.of("paypal"), {"PAYPAL_CLIENT_ID": "", "PAYPAL_CLIENT_SECRET": SECRET}) is None
    assert environ_client(tokens.of("google"), VARIABLES) is None


def test_the_file_of_a_key_is_one_value_and_not_several(tokens: Tokens) -> None:
    wanted = asked_for(tokens.of("google"), "jwt_bearer", None, {})
    for text in ('{"type": "service_account"}', '{"installed": {}}', "[]", "not JSON", "[" * 100_000, ""):
        assert key_file(wanted, text) == {"service_account": text}
    assert key_file(wanted, '{"service_account": "{}", "subject": "me@acme.example"}') == {}
    assert key_file(asked_for(tokens.of("github"), "app_installation", None, {}), '{"type": "service_account"}') == {}
