"""A login ends once, with what came back for it, and in time."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import AuthorizationRequest, Client, DeniedError, DeviceAuthorization, Tokens
from authsome.oauth.flows import choose
from authsome.oauth.login import REDIRECT, Login
from authsome.outside import transport
from authsome.provider import ClientCredentialsDefinition, Flow
from canary import CANARY, sings
from quirks import CLIENT, CLIENT_ID, Fault, Server

pytest_plugins = ["quirks_fixtures"]

PUBLIC = Client(CLIENT_ID)
SCOPES = ("read", "write")
OWN = ClientCredentialsDefinition()


class Clock:
    """Time moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.made = 0

    def __call__(self) -> float:
        return self.now

    def token(self, octets: int) -> str:
        self.made += 1
        return f"{CANARY}-{self.made:02}-".ljust(octets * 4 // 3, "r")


@pytest.fixture
def clock() -> Clock:
    return Clock()


type Opened = Callable[..., Login]


@pytest.fixture
def opened(quirky: Server, clock: Clock) -> Opened:
    def make(flow: Flow = "pkce", client: Client | None = CLIENT, **more: Any) -> Login:
        provider = quirky.provider(**more)
        assert provider.oauth
        way = transport(provider, quirky.outside)
        return Login(provider.oauth, flow, SCOPES, client, way, clock=clock, token=clock.token)

    return make


def _asked(login: Login, redirect_uri: str = REDIRECT) -> AuthorizationRequest:
    asked = login.begin(redirect_uri)
    assert isinstance(asked, AuthorizationRequest)
    return asked


def _shown(login: Login) -> DeviceAuthorization:
    shown = login.begin()
    assert isinstance(shown, DeviceAuthorization)
    return shown


def test_a_person_agrees_and_the_tokens_are_there(quirky: Server, opened: Opened) -> None:
    login = opened()
    asked = _asked(login)
    assert asked.redirect_uri == REDIRECT
    assert not sings(repr(asked).encode())
    assert quirky.good(login.returned(quirky.agree(asked.url)).access_token)


def test_a_code_is_sent_once_whoever_brings_it_again(quirky: Server, opened: Opened) -> None:
    login = opened()
    back = quirky.agree(_asked(login).url)
    login.returned(back)
    with pytest.raises(DeniedError, match="was used already") as refused:
        login.returned(back)
    assert refused.value.error == "used_already"
    assert quirky.calls["/token"] == 1
    other = opened()
    back = quirky.agree(_asked(other).url)
    quirky.fail("/token")
    with pytest.raises(AuthsomeError):
        other.returned(back)
    with pytest.raises(DeniedError, match="was used already"):
        other.returned(back)
    assert quirky.calls["/token"] == 2


def test_what_another_login_brings_leaves_this_one_as_it_is(quirky: Server, opened: Opened) -> None:
    one, other = opened(), opened()
    mine, foreign = quirky.agree(_asked(one).url), quirky.agree(_asked(other).url)
    for wrong in (foreign, "/favicon.ico", "?error=access_denied&state=x", REDIRECT, mine.replace("7998", "7999")):
        with pytest.raises(AuthsomeError) as refused:
            one.returned(wrong)
        assert refused.value.code is ExitCode.USAGE
    assert quirky.good(one.returned(mine).access_token)


def test_a_login_that_is_begun_anew_forgets_the_one_before(quirky: Server, opened: Opened) -> None:
    login = opened()
    before = quirky.agree(_asked(login).url)
    after = quirky.agree(_asked(login).url)
    with pytest.raises(AuthsomeError, match="no answer to the login that was begun here"):
        login.returned(before)
    assert login.returned(after).access_token


def test_a_persons_no_ends_the_login(opened: Opened) -> None:
    login = opened()
    state = _asked(login).state
    with pytest.raises(DeniedError) as refused:
        login.returned(f"{REDIRECT}?error=access_denied&state={state}")
    assert refused.value.error == "access_denied"
    with pytest.raises(DeniedError, match="was used already"):
        login.returned(f"{REDIRECT}?code=CANARY&state={state}")


@pytest.mark.parametrize("redirect", [None, "http://127.0.0.1:40001/callback", "http://localhost:7998/callback"])
def test_an_application_that_a_person_registered_has_one_way_back(opened: Opened, redirect: str | None) -> None:
    with pytest.raises(AuthsomeError, match="port 7998") as refused:
        opened().begin(redirect)
    assert refused.value.code is ExitCode.USAGE


def test_an_application_that_registered_itself_keeps_its_way_back_in_every_flow(opened: Opened) -> None:
    own = Client(CLIENT_ID, None, "http://127.0.0.1:40001/callback", "none")
    assert _asked(opened("pkce", own), "http://127.0.0.1:40001/callback").url
    with pytest.raises(AuthsomeError, match="port 40001"):
        opened("pkce", own).begin(REDIRECT)


def test_a_provider_that_sends_people_to_https_alone_is_refused_before_anything_is_typed(opened: Opened) -> None:
    with pytest.raises(AuthsomeError, match="an https address only") as refused:
        opened(https_redirect=True).begin(REDIRECT)
    assert refused.value.code is ExitCode.USAGE
    assert "the provider's own page" in (refused.value.hint or "")


def test_an_application_registers_itself_once_for_each_way_back(quirky: Server, opened: Opened) -> None:
    quirky.quirks.auth_methods = ("none",)
    registers: dict[str, Any] = {"registration_endpoint": f"{quirky.url}/register"}
    login = opened("dcr_pkce", None, **registers)
    there = "http://127.0.0.1:40001/callback"
    asked = _asked(login, there)
    assert login.client
    assert (login.client.redirect_uri, login.client.client_secret) == (there, None)
    said = json.loads(next(seen.body for seen in quirky.seen if seen.path == "/register"))
    assert said["client_name"] == "authsome"
    assert (said["redirect_uris"], said["scope"]) == ([there], "read write")
    assert not sings(json.dumps(said).encode())
    assert login.returned(quirky.agree(asked.url)).access_token
    again = opened("dcr_pkce", login.client, **registers)
    _asked(again, there)
    assert (quirky.calls["/register"], again.client) == (1, login.client)
    _asked(again, "http://127.0.0.1:40002/callback")
    assert quirky.calls["/register"] == 2


def test_an_application_whose_secret_is_over_registers_itself_anew(
    quirky: Server, opened: Opened, clock: Clock
) -> None:
    over = Client("acme", "CANARY-s", REDIRECT, "client_secret_post", clock.now - 1)
    login = opened("dcr_pkce", over, registration_endpoint=f"{quirky.url}/register")
    assert login.returned(quirky.agree(_asked(login).url)).access_token
    assert login.client
    assert login.client.client_id.startswith("registered-")


def test_a_secret_that_comes_unasked_is_shown(quirky: Server, opened: Opened) -> None:
    said = {"client_id": CLIENT_ID, "client_secret": CLIENT.client_secret, "client_secret_expires_at": 0}
    quirky.fail("/register", Fault(201, json.dumps(said).encode()))
    login = opened("dcr_pkce", None, registration_endpoint=f"{quirky.url}/register")
    quirky.quirks.auth_methods = ("client_secret_post",)
    assert login.returned(quirky.agree(_asked(login).url)).access_token
    assert login.client == Client(CLIENT_ID, CLIENT.client_secret, REDIRECT)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"client_id": ""},
        {"client_id": 7},
        {"client_id": "a\nb"},
        {"client_id": "a", "client_secret": "CANARY\n"},
        {"client_id": "a", "token_endpoint_auth_method": "private_key_jwt"},
        {"client_id": "a" * 3000},
    ],
)
def test_an_application_that_cannot_be_used_is_none(quirky: Server, opened: Opened, said: dict[str, Any]) -> None:
    quirky.fail("/register", Fault(201, json.dumps(said).encode()))
    login = opened("dcr_pkce", None, registration_endpoint=f"{quirky.url}/register")
    with pytest.raises(AuthsomeError, match="registered an application"):
        login.begin(REDIRECT)
    assert login.client is None


def test_a_provider_that_registers_nobody_says_so(quirky: Server, opened: Opened) -> None:
    body = {"error": "access_denied", "error_description": "only <b>partners</b>"}
    quirky.fail("/register", Fault(403, json.dumps(body).encode()))
    with pytest.raises(DeniedError, match="says `access_denied`: only partners"):
        opened("dcr_pkce", None, registration_endpoint=f"{quirky.url}/register").begin(REDIRECT)


def test_a_login_on_another_device(quirky: Server, opened: Opened, clock: Clock) -> None:
    login = opened("device_code", PUBLIC)
    shown = _shown(login)
    assert login.poll() == shown
    assert "/token" not in quirky.calls  # it is not time yet
    clock.now += 5
    quirky.quirks.slow_downs = 1
    slower = login.poll()
    assert isinstance(slower, DeviceAuthorization)
    assert (slower.interval, slower.expires_in) == (10.0, shown.expires_in - 5)
    clock.now += 5
    login.poll()
    assert quirky.calls["/token"] == 1
    quirky.confirm(shown.user_code)
    clock.now += 5
    tokens = login.poll()
    assert isinstance(tokens, Tokens)
    assert quirky.good(tokens.access_token)
    with pytest.raises(DeniedError):
        login.poll()


def test_a_device_that_cannot_ask_asks_less_often_and_not_for_ever(
    quirky: Server, opened: Opened, clock: Clock
) -> None:
    login = opened("device_code", PUBLIC)
    shown = _shown(login)
    quirky.fail("/token", Fault(502), 5)
    waited = []
    for _ in range(5):
        clock.now += 60
        found = login.poll()
        assert isinstance(found, DeviceAuthorization)
        waited.append(found.interval)
    assert waited == [10.0, 20.0, 40.0, 60.0, 60.0]
    clock.now += shown.expires_in
    with pytest.raises(DeniedError) as over:
        login.poll()
    assert over.value.error == "expired_token"
    with pytest.raises(DeniedError):
        login.poll()
    assert quirky.calls["/token"] == 5
    assert _shown(login).user_code != shown.user_code


def test_a_no_on_another_device_ends_the_login(quirky: Server, opened: Opened, clock: Clock) -> None:
    login = opened("device_code", PUBLIC)
    quirky.confirm(_shown(login).user_code, agreed=False)
    clock.now += 5
    with pytest.raises(DeniedError) as refused:
        login.poll()
    assert refused.value.error == "access_denied"
    clock.now += 60
    with pytest.raises(DeniedError, match="this login is over"):
        login.poll()
    assert quirky.calls["/token"] == 1


def test_an_application_logs_itself_in(quirky: Server, opened: Opened) -> None:
    tokens = opened("client_credentials", client_credentials=OWN).begin()
    assert isinstance(tokens, Tokens)
    assert quirky.good(tokens.access_token)


def test_without_an_application_there_is_no_login(opened: Opened) -> None:
    for flow in ("pkce", "device_code"):
        with pytest.raises(AuthsomeError, match="the id of the application is missing"):
            opened(flow, None).begin(REDIRECT)
    with pytest.raises(AuthsomeError, match="none of a login"):
        opened("api_key").begin()


@pytest.mark.parametrize(
    ("change", "default", "wanted", "browser", "chosen"),
    [
        ({}, "pkce", None, True, "pkce"),
        ({}, "pkce", None, False, "device_code"),
        ({}, "pkce", "pkce", False, "pkce"),
        ({}, "api_key", None, True, "pkce"),
        ({}, "device_code", None, True, "device_code"),
        ({"https_redirect": True}, "pkce", None, True, "device_code"),
        ({"device_authorization_url": None}, "pkce", None, False, "pkce"),
        ({"device_authorization_url": None, "https_redirect": True}, "pkce", None, True, "pkce"),
        (
            {"client_credentials": ClientCredentialsDefinition()},
            "client_credentials",
            None,
            False,
            "client_credentials",
        ),
    ],
)
def test_the_flow_fits_the_machine_unless_somebody_says_otherwise(
    quirky: Server, change: dict[str, Any], default: Flow, wanted: str | None, browser: bool, chosen: str
) -> None:
    oauth = quirky.provider(**change).oauth
    assert oauth
    assert choose(oauth, default, wanted, browser=browser) == chosen


def test_a_flow_that_does_not_exist_is_answered_with_those_that_do(quirky: Server) -> None:
    oauth = quirky.provider().oauth
    assert oauth
    with pytest.raises(AuthsomeError, match="there is pkce, device_code") as wrong:
        choose(oauth, "pkce", "device", browser=True)
    assert (wrong.value.code, wrong.value.hint) == (ExitCode.USAGE, "did you mean `device_code`?")
