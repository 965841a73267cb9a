"""Tokens that end during a run, and whatever a provider answers then: the whole way, with a server of Authlib's."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from authsome.manifest import Declared
from authsome.oauth import Client, DeniedError, Tokens, UnavailableError
from authsome.oauth.conversation import renew
from authsome.outside import transport
from authsome.provider import Provider
from authsome.renewal import Renewal
from authsome.vault import Entry, Grant, Vault
from canary import sings
from conftest import CommandLine
from quirks import CLIENT, Fault, Issued, Server
from running import Run, running
from tokens import LIFE, Clock, hold

pytest_plugins = ["quirks_fixtures"]


def _tokens(issued: Issued) -> Tokens:
    return Tokens(issued.access_token, issued.refresh_token, LIFE, ("read", "write"))


def _log_in(vault: Vault, quirky: Server, now: float) -> Declared:
    return hold(vault, quirky.provider(), now, _tokens(quirky.issue()), CLIENT)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "home", "default", {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _renewal(vault: Vault, quirky: Server, clock: Clock) -> Renewal:
    def talk(provider: Provider, client: Client, grant: Grant, fields: Mapping[str, str]) -> Tokens:
        assert provider.oauth
        return renew(provider.oauth, client, grant, fields, transport(provider, quirky.outside))

    return Renewal(vault.again(), talk, clock=clock, sleep=clock.sleep, jitter=lambda: 0.5)


FAULTS = {
    "an error with status 200": Fault(200, b'{"error": "temporarily_unavailable"}'),
    "HTML": Fault(200, b"<html>CANARY-page</html>", {"Content-Type": "text/html"}),
    "an empty answer": Fault(200, b""),
    "JSON that is no object": Fault(200, b"[]"),
    "no access token": Fault(200, b'{"token_type": "bearer"}'),
    "500": Fault(500, b"<html>"),
    "503 with a word when": Fault(503, b"", {"Retry-After": "60"}),
    "429": Fault(429, b"", {"Retry-After": "60"}),
    "a redirect": Fault(302, b"", {"Location": "https://evil.example/"}),
    "a flood": Fault(200, bytes(2 << 20)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_a_provider_answers_nothing_is_lost_and_the_next_try_succeeds(
    vault: Vault, quirky: Server, clock: Clock, fault: Fault
) -> None:
    acme = _log_in(vault, quirky, clock.now)
    before = vault.read("acme", "default")
    renewal = _renewal(vault, quirky, clock)
    quirky.fail("/token", fault, 4)
    clock.now += LIFE - 60
    assert renewal.fresh(acme) == before
    clock.now += 60
    quirky.fail("/token", fault, 4)
    with pytest.raises(UnavailableError) as caught:
        renewal.fresh(acme)
    assert not sings(f"{caught.value} {caught.value.hint}".encode())
    assert Vault(vault.home, "default", {}).read("acme", "default") == before
    quirky.faults.clear()
    clock.now += 3600
    assert quirky.good(renewal.fresh(acme).fields["access_token"])


def test_an_error_with_status_200_can_be_a_no(vault: Vault, quirky: Server, clock: Clock) -> None:
    acme = _log_in(vault, quirky, clock.now - LIFE)
    quirky.fail("/token", Fault(200, b'{"ok": false, "error": "invalid_refresh_token"}'))
    with pytest.raises(DeniedError, match=r"Acme gives no new tokens for acme \(invalid_refresh_token\)"):
        _renewal(vault, quirky, clock).fresh(acme)
    held = Vault(vault.home, "default", {}).read("acme", "default")
    assert held
    assert held.grant
    assert held.grant.refused == "invalid_refresh_token"


def test_an_answer_that_is_lost_on_the_way_is_asked_for_again(vault: Vault, quirky: Server, clock: Clock) -> None:
    """The provider has rotated already; where it gives some time of grace, nobody notices."""
    quirky.quirks = replace(quirky.quirks, grace=True)
    acme = _log_in(vault, quirky, clock.now - LIFE)
    quirky.fail("/token", Fault(502, after=True))
    entry = _renewal(vault, quirky, clock).fresh(acme)
    assert quirky.good(entry.fields["access_token"])
    assert quirky.calls["/token"] == 2


@pytest.mark.parametrize("said", [None, 0, -1, "3600", 10**30, "soon"])
def test_any_lifetime_is_taken(vault: Vault, quirky: Server, clock: Clock, said: object) -> None:
    quirky.quirks = replace(quirky.quirks, expires_in=said)
    acme = _log_in(vault, quirky, clock.now - LIFE)
    renewal = _renewal(vault, quirky, clock)
    first = renewal.fresh(acme)
    assert renewal.fresh(acme) == first
    assert quirky.calls["/token"] == 1


# The whole way.


def _definition(quirky: Server) -> str:
    asks = quirky.asks()
    oauth = {
        "authorization_url": asks.authorization_url,
        "token_url": asks.token_url,
        "token_endpoint_auth_method": ["client_secret_post", "none"],
        "scopes": ["read", "write"],
    }
    said = {"name": "acme", "display_name": "Acme", "host_url": quirky.url, "auth_type": "oauth2", "flow": "pkce"}
    return json.dumps({**said, "oauth": oauth, "private_addresses": True})


@pytest.fixture
def connected(authsome: CommandLine, quirky: Server) -> Vault:
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "acme.json").write_text(_definition(quirky))
    authsome.declare("version: 1\nproviders: {acme: }\n")
    authsome.env = {"SSL_CERT_FILE": str(quirky.roots)}
    vault = Vault(authsome.home, "default", {})
    _log_in(vault, quirky, time.time())
    return vault


@pytest.fixture
def run(authsome: CommandLine, quirky: Server, connected: Vault) -> Iterator[Run]:
    del connected
    with running(authsome, quirky.port) as made:
        yield made


def _entry(vault: Vault) -> Entry:
    entry = Vault(vault.home, "default", {}).read("acme", "default")
    assert entry
    return entry


def test_a_run_gets_new_tokens_is_told_of_a_no_and_goes_on_after_a_login(
    quirky: Server, connected: Vault, run: Run
) -> None:
    assert run.ask(path="/api/me")["status"] == 200
    assert quirky.calls["/token"] == 0
    quirky.end_access()
    assert run.ask(path="/api/me")["status"] == 200
    assert quirky.calls["/token"] == 1
    assert quirky.good(_entry(connected).fields["access_token"])
    assert not sings(json.dumps(run.ask("ENVIRONMENT")).encode())
    assert run.said() == ""  # nobody has to know
    quirky.end_access()
    for each in quirky.issued:
        each.refresh_ended = True
    for _ in range(2):
        answer = run.ask(path="/api/me")
        assert answer["status"] == 403
        assert answer["body"] == {
            "error": "login_needed",
            "reason": "Acme gives no new tokens for acme (invalid_grant)",
            "hint": "authsome login acme --force",
            "connection": "acme",
        }
    assert quirky.calls["/token"] == 2  # the newest has worked, so the one before it is not shown again
    run.until_said("acme gets no new tokens any more (`authsome login acme --force`)")
    _log_in(Vault(connected.home, "default", {}), quirky, time.time())
    run.until_said("reloaded: acme rotated")
    assert run.ask(path="/api/me")["status"] == 200
    assert quirky.calls["/token"] == 2


def test_a_run_that_begins_with_tokens_that_end_renews_them(
    authsome: CommandLine, quirky: Server, connected: Vault
) -> None:
    _log_in(connected, quirky, time.time() - LIFE + 60)
    quirky.end_access()
    with running(authsome, quirky.port) as run:
        assert run.ask(path="/api/me")["status"] == 200
    assert quirky.calls["/token"] == 1
