"""What is said to a provider is what it wants, and what it says is heard as it is meant."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import AuthorizationRequest, Client, DeniedError, DeviceAuthorization, Tokens, UnavailableError
from authsome.oauth.conversation import Conversation, renew
from authsome.outside import transport
from authsome.provider import BasicDefinition, ClientCredentialsDefinition, RevocationDefinition
from authsome.vault import Grant
from authsome.web import httpx
from canary import CANARY, sings
from quirks import CLIENT, CLIENT_ID, CLIENT_SECRET, REDIRECT, Fault, Server

pytest_plugins = ["quirks_fixtures"]

STATE, VERIFIER = "CANARY-state-0123456789abcdef", "CANARY-verifier-0123456789abcdef0123456789abcdef"
SCOPES = ("read", "write")
PUBLIC = Client(CLIENT_ID)

type Opened = Callable[..., Conversation]


@pytest.fixture
def opened(quirky: Server) -> Opened:
    def make(client: Client = CLIENT, flow: str = "pkce", seconds: float = 10.0, **more: Any) -> Conversation:
        provider = quirky.provider(**more)
        assert provider.oauth
        return Conversation(
            provider.oauth.asks, client, transport(provider, quirky.outside, seconds=seconds), flow=flow
        )

    return make


def _grant(quirky: Server, flow: str = "pkce", hosts: tuple[str, ...] = ()) -> Grant:
    return Grant(flow, hosts or (quirky.host,), SCOPES, SCOPES, 0.0)


def _request(url: str = "") -> AuthorizationRequest:
    return AuthorizationRequest(url, STATE, REDIRECT)


def _by_code(quirky: Server, conversation: Conversation) -> Tokens:
    url = conversation.url(SCOPES, REDIRECT, STATE, VERIFIER)
    return conversation.code(quirky.agree(url), _request(url), VERIFIER)


def _form(quirky: Server, path: str = "/token") -> dict[str, str]:
    return next(seen.form for seen in reversed(quirky.seen) if seen.path == path)


def test_a_code_becomes_tokens_that_work_and_are_renewed(quirky: Server, opened: Opened) -> None:
    tokens = _by_code(quirky, opened())
    assert quirky.good(tokens.access_token)
    assert (tokens.expires_in, tokens.scopes) == (3600.0, SCOPES)
    assert tokens.refresh_token
    renewed = opened().renew(tokens.refresh_token)
    assert quirky.good(renewed.access_token)
    assert renewed.refresh_token not in (None, tokens.refresh_token)
    assert "scope" not in _form(quirky)  # RFC 6749, 6: the same as before
    with pytest.raises(DeniedError) as refused:
        opened().renew(tokens.refresh_token)
    assert refused.value.error == "invalid_grant"
    assert quirky.calls["/token"] == 3


def test_the_page_is_asked_for_with_what_binds_the_code_to_its_login(quirky: Server, opened: Opened) -> None:
    made = opened(authorization_parameters={"prompt": "consent"}, resource=f"{quirky.url}/mcp")
    asked = httpx.URL(made.url(SCOPES, REDIRECT, STATE, VERIFIER)).params
    assert asked["code_challenge_method"] == "S256"
    assert VERIFIER not in asked.values()
    assert dict(asked) == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT,
        "scope": "read write",
        "state": STATE,
        "prompt": "consent",
        "resource": f"{quirky.url}/mcp",
        "code_challenge": asked["code_challenge"],
        "code_challenge_method": "S256",
    }
    plain = httpx.URL(opened(pkce=False).url((), REDIRECT, STATE, VERIFIER)).params
    assert not {"code_challenge", "scope"} & set(plain)


def test_a_code_without_its_verifier_is_worth_nothing(quirky: Server, opened: Opened) -> None:
    url = opened().url(SCOPES, REDIRECT, STATE, VERIFIER)
    with pytest.raises(DeniedError) as refused:
        opened().code(quirky.agree(url), _request(url), VERIFIER[::-1])
    assert refused.value.error == "invalid_grant"


@pytest.mark.parametrize(
    ("methods", "client", "asked", "flow"),
    [
        (("client_secret_basic",), CLIENT, ("client_secret_basic",), "pkce"),
        (("client_secret_post",), CLIENT, ("client_secret_post", "none"), "pkce"),
        (("none",), PUBLIC, ("client_secret_post", "none"), "pkce"),
        (("none",), CLIENT, ("client_secret_post",), "device_code"),
        (("client_secret_basic",), replace(CLIENT, auth_method="client_secret_basic"), ("none",), "pkce"),
        (("none",), replace(CLIENT, auth_method="none"), ("client_secret_post",), "pkce"),
    ],
)
def test_the_application_shows_itself_as_the_provider_wants_it(
    quirky: Server, opened: Opened, methods: tuple[str, ...], client: Client, asked: tuple[str, ...], flow: str
) -> None:
    quirky.quirks.auth_methods = methods
    issued = quirky.issue()
    made = opened(client, flow, token_endpoint_auth_method=asked, public_flows=("device_code",))
    assert quirky.good(made.renew(issued.refresh_token or "").access_token)
    seen = quirky.seen[-1]
    assert ("authorization" in seen.headers) == ("client_secret_basic" in methods)
    assert ("client_secret" in seen.form) == ("client_secret_post" in methods)
    assert ("client_id" in seen.form) == ("client_secret_basic" not in methods)


def test_a_secret_is_asked_for_where_the_provider_wants_one(opened: Opened) -> None:
    with pytest.raises(AuthsomeError, match="the secret of the application is missing") as missing:
        opened(PUBLIC, token_endpoint_auth_method="client_secret_basic")
    assert missing.value.code is ExitCode.USAGE


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_provider_that_reads_json_gets_json(quirky: Server, opened: Opened, method: str) -> None:
    quirky.quirks.json_bodies = True
    quirky.quirks.auth_methods = (method,)
    made = opened(token_request="json", token_endpoint_auth_method=method)
    tokens = _by_code(quirky, made)
    assert made.renew(tokens.refresh_token or "").access_token
    seen = quirky.seen[-1]
    assert seen.headers["content_type"] == "application/json"
    assert json.loads(seen.body)["grant_type"] == "refresh_token"
    assert ("client_secret" in json.loads(seen.body)) == (method == "client_secret_post")


def test_scopes_are_joined_and_read_with_commas(quirky: Server, opened: Opened) -> None:
    quirky.quirks.separator = ","
    assert _by_code(quirky, opened(scope_separator=",")).scopes == SCOPES
    assert "scope=read%2Cwrite" in next(seen.query for seen in quirky.seen if seen.path == "/authorize")


def test_renewals_go_to_an_address_of_their_own_with_what_the_definition_adds(quirky: Server, opened: Opened) -> None:
    quirky.quirks.extra = {"audience": "https://api.acme.example", "method": "x"}
    made = opened(refresh_url=f"{quirky.url}/refresh", token_parameters=dict(quirky.quirks.extra))
    tokens = _by_code(quirky, made)
    made.renew(tokens.refresh_token or "", ("read",))
    assert (quirky.calls["/token"], quirky.calls["/refresh"]) == (1, 1)
    assert _form(quirky, "/refresh")["scope"] == "read"
    with pytest.raises(DeniedError):
        opened().renew(tokens.refresh_token or "")


def test_an_application_gets_a_token_of_its_own(quirky: Server, opened: Opened) -> None:
    tokens = opened(client_credentials=ClientCredentialsDefinition(), flow="client_credentials").own(SCOPES)
    assert (quirky.good(tokens.access_token), tokens.refresh_token) == (True, None)
    quirky.quirks.extra = {"account_id": "CANARY-7"}
    zoom = ClientCredentialsDefinition("account_credentials", {"account_id": "{account_id}"})
    known = replace(CLIENT, more={"account_id": "CANARY-7"})
    made = opened(known, token_endpoint_auth_method="client_secret_basic", client_credentials=zoom)
    assert made.own(()).access_token
    assert _form(quirky)["grant_type"] == "account_credentials"
    with pytest.raises(AuthsomeError, match="asks for the account id, and there is none"):
        opened(client_credentials=zoom).own(())


def test_a_person_agrees_on_another_device(quirky: Server, opened: Opened) -> None:
    made = opened(PUBLIC, "device_code")
    shown, device_code = made.device(SCOPES)
    assert isinstance(shown, DeviceAuthorization)
    assert shown.verification_uri == f"{quirky.url}/activate"
    assert shown.user_code in (shown.verification_uri_complete or "")
    assert (shown.interval, shown.expires_in) == (5.0, 1800.0)
    assert CANARY not in repr(shown)
    quirky.quirks.slow_downs = 1
    assert made.poll(device_code) is None
    assert made.interval == 10.0
    assert made.poll(device_code) is None
    assert made.interval == 10.0
    quirky.confirm(shown.user_code)
    tokens = made.poll(device_code)
    assert tokens
    assert quirky.good(tokens.access_token)


def test_a_person_refuses_on_another_device(quirky: Server, opened: Opened) -> None:
    made = opened(PUBLIC, "device_code")
    shown, device_code = made.device(())
    quirky.confirm(shown.user_code, agreed=False)
    with pytest.raises(DeniedError) as refused:
        made.poll(device_code)
    assert refused.value.error == "access_denied"


def test_a_device_may_ask_with_json(quirky: Server, opened: Opened) -> None:
    quirky.quirks.json_bodies = True
    made = opened(PUBLIC, "device_code", device_token_request="json")
    _, device_code = made.device(())
    assert made.poll(device_code) is None
    assert json.loads(quirky.seen[-1].body)["device_code"] == device_code


DEVICE = {"device_code": "CANARY-d", "user_code": "AB-CD", "verification_uri": "https://acme.example/go"}


@pytest.mark.parametrize(
    "change",
    [
        {"device_code": ""},
        {"device_code": None},
        {"user_code": "A" * 65},
        {"user_code": "A\x1b[2JB"},
        {"user_code": 7},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "http://acme.example/go"},
        {"verification_uri": "https://acme.example@evil.example/"},
        {"verification_uri": 'https://acme.example/"><script>'},
        {"verification_uri": "https://acme.example:x/"},
        {"verification_uri": "https:///go"},
        {"verification_uri": "https://acme.example/" + "x" * 600},
    ],
)
def test_what_a_person_cannot_be_shown_is_no_code(quirky: Server, opened: Opened, change: dict[str, Any]) -> None:
    quirky.fail("/device", Fault(200, json.dumps(DEVICE | change).encode()))
    with pytest.raises(UnavailableError, match="gave no code for another device"):
        opened(PUBLIC, "device_code").device(())


def test_what_is_said_of_a_code_stays_within_reason(quirky: Server, opened: Opened) -> None:
    said = DEVICE | {"interval": 1e9, "expires_in": "soon", "verification_uri_complete": "data:text/html,x"}
    said["verification_url"] = said.pop("verification_uri")  # as Google words it
    quirky.fail("/device", Fault(200, json.dumps(said).encode()))
    shown, _ = opened(PUBLIC, "device_code").device(())
    assert shown == DeviceAuthorization("AB-CD", "https://acme.example/go", None, 5.0, 900.0)
    quirky.fail("/device", Fault(200, json.dumps(said | {"interval": 3600, "expires_in": "600"}).encode()))
    shown, _ = opened(PUBLIC, "device_code").device(())
    assert (shown.interval, shown.expires_in) == (60.0, 600.0)
    quirky.fail("/device", Fault(200, json.dumps(said | {"interval": 0.001, "expires_in": 1e8}).encode()))
    shown, _ = opened(PUBLIC, "device_code").device(())
    assert (shown.interval, shown.expires_in) == (1.0, 3600.0)


def test_both_tokens_are_ended_the_refresh_token_first(quirky: Server, opened: Opened) -> None:
    issued = quirky.issue()
    fields = {"access_token": issued.access_token, "refresh_token": issued.refresh_token or ""}
    opened().revoke(fields)
    assert (issued.access_ended, issued.refresh_ended) == (True, True)
    assert [seen.form["token_type_hint"] for seen in quirky.seen] == ["refresh_token", "access_token"]
    opened().revoke(fields)  # RFC 7009, 2.2: what is over already is no error
    quirky.quirks.ends_access = False
    opened().revoke(fields)
    with pytest.raises(DeniedError) as refused:
        opened().revoke({"access_token": issued.access_token})
    assert refused.value.error == "unsupported_token_type"
    with pytest.raises(AuthsomeError, match="there is no token to end"):
        opened().revoke({"api_key": "CANARY"})


def test_a_provider_ends_tokens_in_its_own_way(quirky: Server, opened: Opened) -> None:
    ends = RevocationDefinition(
        f"{quirky.url}/applications/{{client_id}}/token",
        "DELETE",
        basic=BasicDefinition("{client_id}", "{client_secret}"),
        json={"access_token": "{access_token}"},
    )
    issued = quirky.issue()
    opened(revocation_url=None, revocation=ends).revoke({"access_token": issued.access_token})
    assert issued.access_ended
    with pytest.raises(UnavailableError, match="answered 404"):
        opened(revocation_url=None, revocation=ends).revoke({"access_token": "CANARY-unknown"})
    with pytest.raises(AuthsomeError, match="asks for the client secret, and there is none"):
        opened(PUBLIC, revocation_url=None, revocation=ends).revoke({"access_token": issued.access_token})
    bearer = RevocationDefinition(f"{quirky.url}/auth.revoke", authorization="Bearer {access_token}")
    issued = quirky.issue()
    opened(revocation_url=None, revocation=bearer).revoke({"access_token": issued.access_token})
    assert issued.access_ended
    with pytest.raises(DeniedError) as refused:
        opened(revocation_url=None, revocation=bearer).revoke({"access_token": issued.access_token})
    assert refused.value.error == "invalid_auth"


def test_what_is_sent_and_what_comes_back_is_in_no_log(
    quirky: Server, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = _by_code(quirky, opened(token_endpoint_auth_method="client_secret_basic"))
    opened().revoke({"refresh_token": tokens.refresh_token or ""})
    with pytest.raises(DeniedError):
        opened().renew(tokens.refresh_token or "")
    logged = "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith("authlib"))
    assert "connect_tcp" in logged  # Authlib's is the server's here
    assert not sings(logged.encode())


def test_a_token_in_an_address_is_in_no_log(quirky: Server, opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    query = {"client_id": "{client_id}", "client_secret": "{client_secret}", "access_token": "{access_token}"}
    ends = RevocationDefinition(f"{quirky.url}/gone", "DELETE", query=query)
    quirky.fail("/gone", Fault(204))
    opened(revocation_url=None, revocation=ends).revoke({"access_token": "CANARY-at"})
    assert httpx.QueryParams(quirky.seen[-1].query)["client_secret"] == CLIENT_SECRET
    assert "connect_tcp" in caplog.text  # the web client does write a log
    assert not sings(caplog.text.encode())


@pytest.mark.parametrize(
    "returned",
    [
        "{r}?code=CANARY-c&state=CANARY-other-state",
        "{r}?code=CANARY-c",
        "{r}?code=CANARY-c&state=",
        "{r}?state={s}",
        "{r}?code=&state={s}",
        "{r}?error=access_denied",
        "{r}?error=access_denied&state=x",
        "{r}?code=CANARY-c&code=CANARY-d&state={s}",
        "{r}?code=CANARY-c&state={s}&state={s}",
        "http://127.0.0.1:7999/callback?code=CANARY-c&state={s}",
        "http://127.0.0.1/callback?code=CANARY-c&state={s}",
        "http://127.0.0.1:7998/other?code=CANARY-c&state={s}",
        "https://127.0.0.1:7998/callback?code=CANARY-c&state={s}",
        "http://evil.example/callback?code=CANARY-c&state={s}",
        "http://u:p@127.0.0.1:7998/callback?code=CANARY-c&state={s}",
        "http://127.0.0.1:x/callback?code=CANARY-c&state={s}",
        "http://[::1/callback?code=CANARY-c&state={s}",
        "{r}#code=CANARY-c&state={s}",
        "{r}?code=CANARY-c&state={s}" + "&x=1" * 60,
        "{r}?code=CANARY-c&state={s}&x=" + "x" * 20000,
        "\ud800?code=\udfff&state=\udfff",
        "",
        "\x00",
        "sk-CANARY",
    ],
)
def test_what_comes_from_elsewhere_is_refused_and_nothing_is_sent(
    quirky: Server, opened: Opened, returned: str
) -> None:
    with pytest.raises(AuthsomeError) as refused:
        opened().code(returned.replace("{r}", REDIRECT).replace("{s}", STATE), _request(), VERIFIER)
    assert refused.value.code is ExitCode.USAGE
    assert not isinstance(refused.value, DeniedError)
    assert not sings(f"{refused.value.message} {refused.value.hint}".encode())
    assert not quirky.calls


@pytest.mark.parametrize("form", ["{r}?{q}", "  {r}?{q}\n", "{q}", "?{q}", "/callback?{q}"])
def test_an_answer_may_be_given_as_it_was_copied(quirky: Server, opened: Opened, form: str) -> None:
    url = opened().url(SCOPES, REDIRECT, STATE, VERIFIER)
    query = quirky.agree(url).partition("?")[2]
    assert opened().code(form.replace("{r}", REDIRECT).replace("{q}", query), _request(), VERIFIER).access_token


def test_an_error_is_said_in_words_and_never_in_markup(opened: Opened) -> None:
    html = "%3Cscript%3Ealert(1)%3C/script%3E%3Cb%3EYou%3C/b%3E%20said%1B%5B2J%20no%0A&x=1"
    with pytest.raises(DeniedError) as refused:
        opened().code(f"?error=access_denied&error_description={html}&state={STATE}", _request(), VERIFIER)
    assert refused.value.message == "localhost says `access_denied`: You said [2J no"
    reflected = f"?error={STATE}&error_description=state+{STATE}+is+bad&state={STATE}"
    with pytest.raises(DeniedError, match="^localhost says `unknown_error`$"):
        opened().code(reflected, _request(), VERIFIER)
    with pytest.raises(UnavailableError):
        opened().code(f"?error=temporarily_unavailable&state={STATE}", _request(), VERIFIER)


@pytest.mark.parametrize(
    ("issuer", "said", "promised", "good"),
    [
        ("https://{h}", None, False, True),
        ("https://{h}", "https://{h}", False, True),
        ("https://{h}", "https://evil.example", False, False),
        ("https://{h}", "https://{h}/", False, False),
        ("https://{h}", None, True, False),
        (None, "https://anybody.example", False, True),
    ],
)
def test_who_answers_is_who_was_asked(
    quirky: Server, issuer: str | None, said: str | None, promised: bool, good: bool
) -> None:
    quirky.quirks.iss = said and said.replace("{h}", quirky.host)
    asks = quirky.asks(issuer=issuer and issuer.replace("{h}", quirky.host))
    way = transport(quirky.provider(), quirky.outside)
    made = Conversation(asks, CLIENT, way, issuer_said=promised)
    if good:
        assert _by_code(quirky, made).access_token
        return
    with pytest.raises(DeniedError) as refused:
        _by_code(quirky, made)
    assert refused.value.error == "issuer_mismatch"
    assert not quirky.calls["/token"]


def _dripping() -> Iterator[bytes]:
    for _ in range(100):
        yield b" "
        time.sleep(0.05)


FAULTS = [
    (Fault(500, b"<html>CANARY</html>"), "answered 500"),
    (Fault(503, b"{}", {"Retry-After": "7"}), "answered 503"),
    (Fault(429, b'{"error":"slow"}', {"Retry-After": "7"}), "answered 429"),
    (Fault(200, b"<!doctype html><title>CANARY</title>", {"Content-Type": "text/html"}), "no JSON object"),
    (Fault(200, b"[]"), "no JSON object"),
    (Fault(200, b""), "no JSON object"),
    (Fault(200, b"{}"), "no access token"),
    (Fault(302, b"", {"Location": "/elsewhere?CANARY"}), "a redirect, which is not followed"),
    (Fault(307, b"", {"Location": "https://evil.example/"}), "a redirect, which is not followed"),
    (Fault(200, b"x" * (10 << 20)), "more than 1,048,576 octets"),
    (Fault(200, b"x" * 100, {"Content-Encoding": "gzip"}), "compressed"),
    (Fault(200, _dripping), "did not answer in time"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_an_answer_that_says_nothing_is_an_error_that_may_pass(
    quirky: Server, opened: Opened, fault: Fault, words: str
) -> None:
    issued = quirky.issue()
    quirky.fail("/token", fault)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=words) as failed:
        opened(seconds=0.5 if callable(fault.body) else 10).renew(issued.refresh_token or "")
    assert time.monotonic() - began < 5
    assert failed.value.retry_after == (7.0 if "Retry-After" in fault.headers else None)
    assert not sings(failed.value.message.encode())
    assert quirky.calls == {"/token": 1}
    assert quirky.good(opened().renew(issued.refresh_token or "").access_token)


@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_a_definite_no_is_one_whatever_its_status(quirky: Server, opened: Opened, status: int) -> None:
    token = quirky.issue().refresh_token or ""
    said = {"error": "bad_refresh_token", "error_description": f"The token {token} is over"}
    quirky.fail("/token", Fault(status, json.dumps(said).encode()))
    with pytest.raises(DeniedError) as refused:
        opened().renew(token)
    assert (refused.value.error, refused.value.message) == (
        "bad_refresh_token",
        f"{quirky.host} says `bad_refresh_token`",
    )


def test_a_connection_is_renewed_as_it_was_made(quirky: Server) -> None:
    provider = quirky.provider(client_credentials=ClientCredentialsDefinition())
    assert provider.oauth
    way = transport(provider, quirky.outside)
    issued = quirky.issue()
    fields = {"access_token": issued.access_token, "refresh_token": issued.refresh_token or ""}
    assert renew(provider.oauth, CLIENT, _grant(quirky), fields, way).refresh_token
    own = renew(provider.oauth, CLIENT, _grant(quirky, "client_credentials"), {}, way)
    assert (own.refresh_token, _form(quirky)["scope"]) == (None, "read write")
    with pytest.raises(DeniedError) as refused:
        renew(provider.oauth, CLIENT, _grant(quirky), {"access_token": "CANARY"}, way)
    assert refused.value.error == "no_refresh_token"
    before = quirky.calls.total()
    with pytest.raises(AuthsomeError, match="nobody has agreed that tokens are renewed at") as strange:
        renew(provider.oauth, CLIENT, _grant(quirky, hosts=("acme.example",)), fields, way)
    assert strange.value.code is ExitCode.USAGE
    assert quirky.calls.total() == before


def test_an_address_with_a_setting_missing_is_not_asked(quirky: Server) -> None:
    for change in (
        {"token_url": "https://{shop}.acme.example/token"},
        {"token_parameters": {"audience": "https://{shop}.acme.example"}},
        {"authorization_parameters": {"audience": "{shop}"}},
    ):
        with pytest.raises(AuthsomeError, match="lacks `shop`"):
            Conversation(quirky.asks(**change), CLIENT, transport(quirky.provider(), quirky.outside))


@pytest.mark.parametrize(
    "client", [Client("a\nb"), Client("a", "CANARY\r\nx"), Client("a", "CANARY-é"), Client("\ud800")]
)
def test_an_application_that_cannot_be_sent_is_not_sent(quirky: Server, client: Client) -> None:
    with pytest.raises(AuthsomeError, match="holds what neither does") as wrong:
        Conversation(quirky.asks(), client, transport(quirky.provider(), quirky.outside))
    assert not sings(wrong.value.message.encode())


def test_nothing_secret_is_in_what_can_be_printed(quirky: Server, opened: Opened) -> None:
    made = opened()
    url = made.url(SCOPES, REDIRECT, STATE, VERIFIER)
    tokens = made.code(quirky.agree(url), _request(url), VERIFIER)
    assert not sings(repr((tokens, CLIENT, _request(url), made)).encode())


_PIECES = st.sampled_from(
    [
        REDIRECT,
        "http://127.0.0.1:7998",
        "?",
        "&",
        "=",
        "#",
        "/",
        "code",
        "state",
        "error",
        STATE,
        "%",
        "%00",
        "[",
        "]",
        "@",
    ]
)


@given(st.lists(_PIECES | st.text(max_size=5), max_size=12).map("".join))
def test_whatever_is_pasted_is_an_answer_or_an_error(pasted: str) -> None:
    try:
        said = Conversation.returned(pasted, _request())
    except AuthsomeError as error:
        assert error.code is ExitCode.USAGE
        assert not sings(f"{error.message} {error.hint}".encode())
    else:
        assert said["state"] == STATE
