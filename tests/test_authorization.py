"""A connection's way to tokens, up to what is stored: against a server that answers for real."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from authsome import pasted, session
from authsome.bridge import Answer, Nobody, Outcome, Question, Take, Taken
from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.manifest import Declared
from authsome.oauth import AuthorizationRequest, Client, DeniedError, DeviceAuthorization
from authsome.oauth.kept import client_from
from authsome.outside import transport
from authsome.provider import (
    CLIENT as APPLICATION,
    ClientCredentialsDefinition,
    ClientDefinition,
    Field,
    Flow,
    Host,
    OAuth,
    Provider,
)
from authsome.provider.resolved import Part
from authsome.session import Intake, Verdict, Ways
from authsome.vault import Entry, Vault
from canary import CANARY, sings
from quirks import CLIENT_ID, REDIRECT, Fault, Server

pytest_plugins = ["quirks_fixtures"]

NOW = 1_800_000_000.0
CLIENT_SECRET = f"{CANARY}-typed+/%:&=0123456789"


@dataclass
class Person:
    """Somebody who fills in what is asked for, and agrees at the provider."""

    server: Server
    fields: dict[str, str] = field(default_factory=lambda: {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
    accepts: frozenset[str] = frozenset()
    questions: list[Question] = field(default_factory=list)
    steps: list[Taken] = field(default_factory=list)

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        self.questions += questions
        for each in questions:
            names = {blank.name for blank in each.blanks}
            given = {name: text for name, text in self.fields.items() if name in names}
            self.steps.append(take(each, Answer(given, redirect_uri=REDIRECT)))
            while not isinstance(self.steps[-1], Outcome):
                self.steps.append(self._goes_on(each, self.steps[-1], take))

    def _goes_on(self, question: Question, step: Taken, take: Take) -> Taken:
        if isinstance(step, DeviceAuthorization):
            self.server.confirm(step.user_code)
            return take(question, Answer(polls=True))
        assert isinstance(step, AuthorizationRequest)
        back = Answer(returned=self.server.agree(step.url))
        try:
            return take(question, back)
        except Doubt as doubt:
            if doubt.word not in self.accepts:
                raise
            return take(question, replace(back, accepted=frozenset({doubt.word})))


@dataclass
class World:
    """A vault, and a provider to log in to."""

    vault: Vault
    server: Server
    provider: Provider
    seconds: float = NOW

    def intake(self, **more: Any) -> Intake:
        ways: dict[str, Any] = {"environ": {}, "clock": self._clock, **more}
        return Intake(ways=Ways(lambda provider: transport(provider, self.server.outside), **ways))

    def _clock(self) -> float:
        self.seconds += 60  # so that no poll is too early
        return self.seconds

    def log_in(
        self, person: Person | None = None, *, scopes: tuple[str, ...] = (), connection: str = "default", **more: Any
    ) -> Person:
        person = person or Person(self.server)
        wanted = Declared(self.provider, connection, scopes=scopes)
        session.collect(self.vault, [wanted], person, self.intake(**more))
        return person

    @property
    def entry(self) -> Entry:
        found = self.vault.read("acme", "default")
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path, quirky: Server) -> World:
    quirky.clients[CLIENT_ID].secret = CLIENT_SECRET
    return World(Vault(tmp_path / "home", "default", {}), quirky, quirky.provider())


def _asks(provider: Provider, **change: Any) -> Provider:
    assert provider.oauth is not None
    return replace(provider, oauth=replace(provider.oauth, asks=replace(provider.oauth.asks, **change)))


def test_tokens_and_the_application_that_got_them_are_stored(world: World) -> None:
    person = world.log_in()
    grant = world.entry.grant
    assert grant is not None
    assert (grant.flow, grant.client_id, grant.hosts) == ("pkce", CLIENT_ID, (world.server.host,))
    assert world.server.good(world.entry.fields["access_token"])
    application = world.vault.own.read("acme", APPLICATION)
    assert application is not None
    assert client_from(application.fields) == Client(CLIENT_ID, CLIENT_SECRET)
    assert world.vault.names() == [("acme", "default")]
    assert not sings(repr((person.questions, person.steps)).encode())


def test_an_application_is_asked_for_once_in_a_profile(world: World) -> None:
    first, second = world.log_in(), world.log_in(connection="team")
    assert [blank.name for blank in first.questions[0].blanks] == ["client_id", "client_secret"]
    assert second.questions[0].blanks == ()
    assert world.vault.names() == [("acme", "default"), ("acme", "team")]


def test_an_application_of_the_environment_is_not_asked_for_and_kept_for_what_renews_the_tokens(world: World) -> None:
    assert world.provider.oauth is not None
    named = ClientDefinition("ACME_CLIENT_ID", "ACME_CLIENT_SECRET")
    world.provider = replace(world.provider, oauth=replace(world.provider.oauth, client=named))
    environ = {"ACME_CLIENT_ID": CLIENT_ID, "ACME_CLIENT_SECRET": CLIENT_SECRET}
    assert world.log_in(environ=environ).questions[0].blanks == ()
    assert world.vault.own.holds("acme", APPLICATION)


def test_what_replaces_a_connection_may_leave_the_application_as_it_is_or_give_another(world: World) -> None:
    world.log_in()
    kept = world.log_in(Person(world.server, {"client_id": CLIENT_ID}), anew=True)
    first, second = kept.questions[0].blanks
    assert (first.default, first.masked, second.default, second.optional) == (CLIENT_ID, False, None, True)
    with pytest.raises(DeniedError, match="invalid_client"):
        world.log_in(Person(world.server, {"client_id": CLIENT_ID, "client_secret": f"{CANARY}-another"}), anew=True)
    application = world.vault.own.read("acme", APPLICATION)
    assert application is not None
    assert client_from(application.fields) == Client(CLIENT_ID, CLIENT_SECRET)  # one that got no tokens is not kept


def test_an_application_that_the_provider_does_not_know_any_more_can_be_replaced(world: World) -> None:
    world.log_in()
    world.server.clients[CLIENT_ID].secret = f"{CANARY}-rotated"
    with pytest.raises(DeniedError) as refused:
        world.log_in(connection="team")
    assert refused.value.hint == "to give another application: authsome login acme --connection team --force"


def test_an_application_s_secret_does_not_go_where_a_later_definition_would_send_it(world: World) -> None:
    """Nobody has agreed to the other host: so the application is asked for as if it were not there."""
    world.log_in()
    world.provider = _asks(world.provider, revocation_url="https://elsewhere.example/revoke")
    person = world.log_in(connection="team")
    assert [blank.name for blank in person.questions[0].blanks] == ["client_id", "client_secret"]


@pytest.mark.parametrize(
    ("usual", "declared", "named", "asked"),
    [
        (("read", "write"), (), (), ("read", "write")),
        (("read", "write"), ("admin",), (), ("admin",)),
        (("read", "offline_access"), ("admin",), (), ("admin", "offline_access")),
        (("read",), ("admin",), ("audit",), ("audit",)),
    ],
)
def test_scopes_are_those_that_were_named_or_declared_and_what_renewing_needs(
    world: World, usual: tuple[str, ...], declared: tuple[str, ...], named: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    world.provider = _asks(world.provider, scopes=usual)
    person = Person(world.server)
    session.collect(world.vault, [Declared(world.provider, scopes=declared)], person, world.intake(scopes=named))
    assert person.questions[0].scopes == asked
    assert world.entry.grant is not None
    assert world.entry.grant.asked == asked


def test_whoever_asks_for_more_keeps_what_is_held(world: World) -> None:
    world.log_in(scopes=("read",))
    world.log_in(scopes=("write",))
    assert world.entry.grant is not None
    assert set(world.entry.grant.scopes) == {"read", "write"}


def test_what_was_not_granted_is_known_to_have_been_asked_for(world: World) -> None:
    world.server.quirks.grants_scopes = ("read",)
    world.log_in()
    assert world.entry.grant is not None
    assert (world.entry.grant.scopes, world.entry.grant.asked) == (("read",), ("read", "write"))


def test_a_key_can_be_left_for_tokens_and_tokens_for_a_new_login(world: World) -> None:
    """Whoever has logged in once is asked in the same way again."""
    tokens = world.provider
    assert tokens.oauth is not None
    key = replace(tokens, auth_type="api_key", flow="api_key", fields=(Field("api_key", None, None, ("ACME_KEY",)),))
    session.store(world.vault, key, "default", f"{CANARY}-key", world.intake())
    world.provider = key
    with pytest.raises(AuthsomeError, match="API key is empty"):  # without a word, it is the key that is asked for
        world.log_in()
    world.log_in(flow="device_code")
    assert world.entry.grant is not None
    assert world.entry.grant.flow == "device_code"
    assert "api_key" not in world.entry.fields
    assert world.log_in().questions[0].flow == "device_code"


def test_a_login_that_is_done_again_goes_the_way_that_it_went(world: World) -> None:
    """The application of the first one may be known for no other."""
    assert world.log_in(browser=lambda: False).questions[0].flow == "device_code"
    world.log_in(connection="team", flow="pkce")
    assert world.log_in(connection="team", browser=lambda: False).questions[0].flow == "pkce"


def test_a_provider_without_tokens_says_so_when_a_flow_is_named(world: World) -> None:
    world.provider = replace(world.provider, oauth=None)
    with pytest.raises(AuthsomeError, match="has no login with OAuth") as refused:
        world.log_in(flow="pkce")
    assert refused.value.code is ExitCode.USAGE


def test_tokens_that_the_api_refuses_are_stored_only_if_the_person_says_so(world: World) -> None:
    def refuses(provider: Provider, fields: Any) -> Verdict:
        del provider, fields
        return Verdict(False, "localhost answered 401")

    taking = world.intake()._replace(probe=refuses)
    with pytest.raises(Doubt):
        session.collect(world.vault, [Declared(world.provider)], Person(world.server), taking)
    assert world.vault.names() == []
    person = Person(world.server, accepts=frozenset({pasted.REFUSED}))
    session.collect(world.vault, [Declared(world.provider)], person, taking)
    assert world.vault.names() == [("acme", "default")]
    assert world.server.calls["/token"] == 2  # the code of the second login was spent once


def _open(provider: Provider, **derive: Any) -> Provider:
    """Return the provider with an address that each customer has of their own, and that it tells at the login."""
    part = Part(**{"pattern": re.compile(r"^(?:https://)?([a-z]+)\.acme\.example$"), **derive})
    site = Field("site", re.compile("[a-z]+"), None, (), "site", secret=False, derive=part)
    (token, *_) = provider.fields
    assert provider.oauth is not None
    hosts = (Host("{site}.acme.example"),)
    places = tuple(replace(each, hosts=frozenset(hosts)) for each in provider.placements)
    oauth: OAuth = replace(provider.oauth, fields=(token, site), placements=places)
    return replace(
        provider, hosts=hosts, fields=(token, site), placements=places, oauth=oauth, template=None, test=None
    )


def test_a_host_in_the_answer_is_the_one_that_the_token_goes_to(world: World) -> None:
    world.server.quirks.more = {"instance_url": "https://north.acme.example"}
    world.provider = _open(world.provider, source="instance_url", of="response")
    person = world.log_in()
    assert world.entry.hosts == ("north.acme.example",)
    assert world.entry.fields["site"] == "north"
    assert person.steps[-1] == Outcome("stored, not checked; it goes to north.acme.example")


@pytest.mark.parametrize("said", ["https://north.acme.example.evil.example", "http://10.0.0.1", ""])
def test_a_host_in_the_answer_that_is_none_of_the_provider_s_is_refused(world: World, said: str) -> None:
    world.server.quirks.more = {"instance_url": said}
    world.provider = _open(world.provider, source="instance_url", of="response")
    with pytest.raises(AuthsomeError, match="did not say all") as refused:
        world.log_in()
    assert refused.value.code is ExitCode.REFUSED
    assert world.vault.names() == []


def test_an_answer_that_leaves_a_host_out_stores_nothing(world: World) -> None:
    world.provider = _open(world.provider, source="instance_url", of="response")
    with pytest.raises(AuthsomeError, match="did not say"):
        world.log_in()
    assert world.vault.names() == []


@pytest.mark.parametrize("form", ["{address}&site=north", "{query}&site=north"])
def test_a_setting_that_comes_with_the_redirect_is_kept_whether_it_was_pasted_or_came_back(
    world: World, form: str
) -> None:
    world.provider = _open(world.provider, source="site", of="redirect", pattern=re.compile("^([a-z]+)$"))
    wanted, steps = Declared(world.provider), list[Taken]()

    class Back(Person):
        def ask(self, questions: Sequence[Question], take: Take) -> None:
            (question,) = questions
            step = take(question, Answer(self.fields, redirect_uri=REDIRECT))
            assert isinstance(step, AuthorizationRequest)
            address = self.server.agree(step.url)
            said = form.format(address=address, query=address.partition("?")[2])
            steps.append(take(question, Answer(returned=said)))

    session.collect(world.vault, [wanted], Back(world.server), world.intake())
    assert world.entry.hosts == ("north.acme.example",)
    assert len(steps) == 1


def test_a_program_logs_in_an_application_and_never_a_person(world: World) -> None:
    world.provider = _asks(world.provider, client_credentials=ClientCredentialsDefinition())
    said = f'{{"client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}"}}'
    with pytest.raises(AuthsomeError, match="a person agrees to the login with Acme"):
        session.store(world.vault, world.provider, "default", said, world.intake())
    session.store(world.vault, world.provider, "default", said, world.intake(flow="client_credentials"))
    assert world.entry.grant is not None
    assert world.entry.grant.flow == "client_credentials"


def test_an_application_that_is_known_logs_in_where_there_is_nobody(world: World) -> None:
    world.log_in()
    world.provider = _asks(world.provider, client_credentials=ClientCredentialsDefinition())
    ways: dict[str, Flow] = {"flow": "client_credentials"}
    session.collect(world.vault, [Declared(world.provider, "ci")], Nobody(), world.intake(**ways))
    declared = (Declared(world.provider, "run"),)
    live = session.reconcile(session.survey(world.vault, declared), Nobody, world.intake(**ways))
    assert live.holds(declared[0])


def test_where_a_person_has_to_agree_and_nobody_is_there_the_command_is_named(world: World) -> None:
    world.log_in()
    declared = (Declared(world.provider, "run"),)
    with pytest.raises(AuthsomeError, match="nobody to ask") as refused:
        session.reconcile(session.survey(world.vault, declared), Nobody, world.intake())
    assert refused.value.hint is not None
    assert "authsome login acme --connection run" in refused.value.hint


def test_a_refused_login_of_an_application_is_shown_to_a_person_where_there_is_one(world: World) -> None:
    world.log_in()
    world.provider = _asks(world.provider, client_credentials=ClientCredentialsDefinition())
    world.server.fail("/token", Fault(400, b'{"error": "invalid_scope"}'))
    person = world.log_in(connection="ci", flow="client_credentials")
    assert [each.flow for each in person.questions] == ["client_credentials"]


def test_tokens_are_not_offered_to_another_connection(world: World) -> None:
    """Two that renew the same token take it away from each other."""
    world.log_in()
    assert world.log_in(connection="team").questions[0].held == ()


def test_tokens_are_never_for_the_project(world: World) -> None:
    taking = world.intake()._replace(shared=True)
    vault = Vault(world.vault.home, "default", {}, project=world.vault.home.parent)
    with pytest.raises(AuthsomeError, match="no two machines can share"):
        session.collect(vault, [Declared(world.provider)], Nobody(), taking)
