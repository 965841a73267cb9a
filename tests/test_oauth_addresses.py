"""Providers of which each customer has an address of their own: what was given for one of them reaches no other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import override
from urllib.parse import parse_qsl, urlsplit

import pytest

from authsome import session
from authsome.bridge import Answer, Outcome, Question, Take
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Declared
from authsome.oauth import AuthorizationRequest, Client
from authsome.provider import CLIENT as APPLICATION, Catalogue, Flow
from authsome.renewal import client_of
from authsome.session import Intake, Ways
from authsome.vault import Vault
from authsome.web import httpx
from quirks import REDIRECT

NOW = 1_800_000_000.0
SECRET, OTHER = "application-CANARY-of-gitlab.com", "application-CANARY-of-another"


class Everybody(httpx.BaseTransport):
    """Every host of the world, each of which gives tokens; remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.url.host, request.content.decode()))
        number = len(self.sent)
        said: dict[str, object] = {"access_token": f"access-CANARY-{number:020}", "token_type": "bearer"}
        if request.url.path.endswith("/register"):
            said = {"client_id": f"registered-at-{request.url.host}", "redirect_uris": [REDIRECT]}
        return httpx.Response(200, json=said)

    def told(self, text: str) -> set[str]:
        return {host for host, body in self.sent if text in dict(parse_qsl(body)).values()}


@dataclass
class Person:
    """Fills in what is asked for, and agrees to everything."""

    fields: dict[str, str]
    asked: list[str] = field(default_factory=list)

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        for each in questions:
            self.asked = [blank.name for blank in each.blanks]
            given = {name: self.fields.get(name, "") for name in self.asked}
            step = take(each, Answer(given, redirect_uri=REDIRECT))
            while not isinstance(step, Outcome):
                assert isinstance(step, AuthorizationRequest)
                state = dict(parse_qsl(urlsplit(step.url).query))["state"]
                step = take(each, Answer(returned=f"{REDIRECT}?code=code-CANARY&state={state}"))


@dataclass
class World:
    vault: Vault
    everybody: Everybody

    def log_in(self, connection: str = "default", *, at: str | None = None, anew: bool = False, **given: str) -> Person:
        provider = Catalogue(None).get("gitlab")
        person = Person(given)
        flow: Flow = "dcr_pkce" if not given.get("client_id") and "registered" in given else "pkce"
        ways = Ways(lambda _: self.everybody, flow=flow, anew=anew, clock=lambda: NOW)
        wanted = Declared(provider.at(at) if at else provider, connection)
        session.collect(self.vault, [wanted], person, Intake(ways=ways))
        return person

    def application(self) -> tuple[str, ...]:
        found = self.vault.own.read("gitlab", APPLICATION)
        assert found is not None
        return found.hosts


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Vault(tmp_path / "home", "default", {}), Everybody())


def test_an_application_is_not_shown_to_another_address_than_it_was_given_for(world: World) -> None:
    world.log_in(client_id="one", client_secret=SECRET)
    with pytest.raises(AuthsomeError) as caught:
        world.log_in(host="gitlab.evil.example")
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.hint == "authsome login gitlab --force, and give the one that is known there"
    assert world.everybody.told(SECRET) == {"gitlab.com"}
    assert world.application() == ("gitlab.com",)


def test_another_application_is_kept_for_its_own_address_alone(world: World) -> None:
    world.log_in(client_id="one", client_secret=SECRET)
    person = world.log_in("work", at="https://gitlab.acme.example", client_id="two", client_secret=OTHER)
    assert {"client_id", "client_secret"} <= set(person.asked)
    assert world.application() == ("gitlab.acme.example",)
    again = world.log_in(host="gitlab.com")
    assert again.asked == ["host"]  # that of this address is still known
    assert world.everybody.told(OTHER) == {"gitlab.acme.example"}
    assert world.everybody.told(SECRET) == {"gitlab.com"}


def test_tokens_of_several_addresses_are_each_renewed_by_their_own_application(world: World) -> None:
    world.log_in(client_id="one", client_secret=SECRET)
    world.log_in("work", at="https://gitlab.acme.example", client_id="two", client_secret=OTHER)
    for connection, client_id, secret in (("default", "one", SECRET), ("work", "two", OTHER)):
        entry = world.vault.read("gitlab", connection)
        assert entry
        assert entry.grant
        provider = entry.of(Catalogue(None).get("gitlab"))
        found = client_of(world.vault, provider, {}, entry.grant.client_id)
        assert found == Client(client_id, secret)


def test_what_is_left_as_it_is_in_a_login_with_force_is_not_shown_elsewhere(world: World) -> None:
    world.log_in(client_id="one", client_secret=SECRET)
    with pytest.raises(AuthsomeError):
        world.log_in(anew=True, host="gitlab.evil.example", client_id="one")
    assert world.everybody.told(SECRET) == {"gitlab.com"}


def test_an_application_registers_itself_at_each_address(world: World) -> None:
    world.log_in(registered="")
    world.log_in(registered="", host="gitlab.acme.example")
    assert world.everybody.told("registered-at-gitlab.com") == {"gitlab.com"}
    assert world.everybody.told("registered-at-gitlab.acme.example") == {"gitlab.acme.example"}


def test_the_application_of_the_usual_address_is_asked_for_once(world: World) -> None:
    world.log_in(host="gitlab.com", client_id="ours", client_secret=SECRET)
    assert world.log_in("second", at="https://gitlab.com").asked == []
    assert world.log_in("third").asked == ["host"]
