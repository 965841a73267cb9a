"""How credentials are taken in, whoever gives them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from authsome import pasted, session
from authsome.bridge import Answer, Blank, Outcome, Question, Take, Taken
from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.manifest import undeclared
from authsome.provider import Catalogue, Field, Provider
from authsome.session import Intake, Verdict
from authsome.vault import Vault
from canary import ANTHROPIC_KEY, OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from scripted import Origin, Reply
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

PROMPT = "(input is hidden)"


@dataclass
class Asked:
    """Somebody who is asked, and gives prepared answers."""

    answers: list[Answer]
    questions: list[Question] = field(default_factory=list)
    outcomes: list[Taken] = field(default_factory=list)

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        self.questions += questions
        self.outcomes += [take(*pair) for pair in zip(questions, self.answers, strict=False)]


@pytest.fixture
def openai(tmp_path: Path) -> Provider:
    return Catalogue(tmp_path).get("openai")


def _key(text: str, *accepted: str) -> Answer:
    return Answer({"api_key": text}, accepted=frozenset(accepted))


def _vault(tmp_path: Path, profile: str = "default") -> Vault:
    return Vault(tmp_path / "home", profile, {})


def test_what_another_profile_or_connection_holds_is_offered_by_its_name(tmp_path: Path, openai: Provider) -> None:
    session.store(_vault(tmp_path, "work"), openai, "default", OTHER_OPENAI_KEY)
    session.store(_vault(tmp_path), openai, "team", OPENAI_KEY)
    asked = Asked([Answer(reuse="openai of the profile work")])
    session.collect(_vault(tmp_path), [undeclared(openai)], asked, Intake())
    assert asked.questions[0].held == ("openai/team", "openai of the profile work")
    assert not sings(repr(asked.questions).encode())
    entry = _vault(tmp_path).read("openai", "default")
    assert entry is not None
    assert entry.fields == {"api_key": OTHER_OPENAI_KEY}


def test_a_secret_that_a_definition_now_calls_a_setting_is_not_offered_again(tmp_path: Path, openai: Provider) -> None:
    (api_key,) = openai.fields
    two = replace(openai, fields=(api_key, replace(api_key, name="org_key", env=("OPENAI_ORG_KEY",), pattern=None)))
    vault = _vault(tmp_path)
    session.store(vault, two, "team", json.dumps({"api_key": OPENAI_KEY, "org_key": OTHER_OPENAI_KEY}))
    opened = replace(two, fields=(api_key, replace(two.fields[1], secret=False)))
    more = replace(two, fields=(*two.fields, replace(two.fields[1], name="site", secret=False)))
    offered = []
    for provider in (two, opened, more, openai):
        asked = Asked([])
        session.collect(vault, [undeclared(provider)], asked, Intake())
        offered.append(asked.questions[0].held)
    assert offered == [("openai/team",), (), (), ("openai/team",)]


def test_what_opens_for_somebody_else_only_is_not_offered(authsome: CommandLine, openai: Provider) -> None:
    """Nor is anybody asked for a passphrase because of it."""
    authsome.login("openai", OPENAI_KEY)
    other = authsome.home.parent / "other"
    authsome.env = {"AUTHSOME_HOME": str(other)}
    authsome.login("openai", OTHER_OPENAI_KEY, "--profile", "work")
    (other / "profiles" / "work").rename(authsome.home / "profiles" / "work")
    asked = Asked([])
    session.collect(Vault(authsome.home, "default", {}), [undeclared(openai, "team")], asked, Intake())
    assert asked.questions[0].held == ("openai",)


def test_looking_for_one_to_use_again_runs_no_program_and_no_pipe(authsome: CommandLine, openai: Provider) -> None:
    authsome.login("openai", OPENAI_KEY, "--profile", "work")
    (authsome.root / "key").write_bytes((authsome.home / "identity.txt").read_bytes())
    (authsome.home / "identity.txt").unlink()
    for name, text in (
        ("AUTHSOME_IDENTITY_COMMAND", f"sh -c 'touch {authsome.root}/run; cat {authsome.root}/key'"),
        ("AUTHSOME_IDENTITY_FILE", str(authsome.root / "key")),
    ):
        asked = Asked([])
        session.collect(Vault(authsome.home, "default", {name: text}), [undeclared(openai)], asked, Intake())
        assert asked.questions[0].held == ()
    assert not (authsome.root / "run").exists()
    given = {"AUTHSOME_IDENTITY": (authsome.root / "key").read_text()}
    asked = Asked([])
    session.collect(Vault(authsome.home, "default", given), [undeclared(openai)], asked, Intake())
    assert asked.questions[0].held == ("openai of the profile work",)


def test_what_was_not_given_for_all_hosts_is_not_offered(authsome: CommandLine) -> None:
    authsome.login("g2", "g2-CANARY-token")
    definition = json.loads(authsome("inspect", "g2").out) | {"host_url": ["api.g2.com", "evil.example"]}
    (authsome.home / "providers" / "g2.json").write_text(json.dumps(definition))
    asked = Asked([])
    g2 = Catalogue(authsome.home).get("g2")
    session.collect(Vault(authsome.home, "default", {}), [undeclared(g2, "team")], asked, Intake())
    assert asked.questions[0].held == ()


def test_a_connection_of_several_values_is_asked_for_all_of_them(tmp_path: Path, openai: Provider) -> None:
    account = Field("account", re.compile("AC[0-9]+"), None, (), label="account id", secret=False)
    several = replace(openai, fields=(*openai.fields, account))
    asked = Asked([Answer({"api_key": OPENAI_KEY, "account": "AC7"})])
    session.collect(_vault(tmp_path), [undeclared(several)], asked, Intake())
    assert asked.questions[0].blanks == (Blank("api_key"), Blank("account", "account id", masked=False))
    entry = _vault(tmp_path).read("openai", "default")
    assert entry is not None
    assert entry.fields == {"api_key": OPENAI_KEY, "account": "AC7"}
    for given, said in (
        ({}, "the account id is empty"),
        ({"account": "x"}, r"not look like a valid OpenAI account id\."),
    ):
        with pytest.raises(AuthsomeError, match=said):
            session.collect(
                _vault(tmp_path),
                [undeclared(several, "team")],
                Asked([Answer({"api_key": OTHER_OPENAI_KEY} | given)]),
                Intake(),
            )


def test_a_key_that_is_held_already_is_a_question(tmp_path: Path, openai: Provider) -> None:
    session.store(_vault(tmp_path), openai, "team", OPENAI_KEY)
    with pytest.raises(Doubt, match=r"This is the key of openai/team\.") as caught:
        session.collect(_vault(tmp_path), [undeclared(openai)], Asked([_key(OPENAI_KEY)]), Intake())
    assert caught.value.word == pasted.TWIN
    asked = Asked([_key(OPENAI_KEY, pasted.TWIN)])
    session.collect(_vault(tmp_path), [undeclared(openai)], asked, Intake())
    assert asked.outcomes == [Outcome("stored, not checked")]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict(True, "OpenAI accepts it"), Outcome("stored; OpenAI accepts it", checked=True)),
        (Verdict(None, "not checked: it is away"), Outcome("stored, not checked: it is away")),
    ],
)
def test_what_the_provider_said_is_what_is_said(
    tmp_path: Path, openai: Provider, verdict: Verdict, outcome: Outcome
) -> None:
    asked = Asked([_key(OPENAI_KEY)])
    session.collect(_vault(tmp_path), [undeclared(openai)], asked, Intake(probe=lambda *_: verdict))
    assert asked.outcomes == [outcome]


def test_what_the_provider_refuses_is_stored_only_if_the_person_wants_it(tmp_path: Path, openai: Provider) -> None:
    taking = Intake(probe=lambda *_: Verdict(False, "api.openai.com answered 401"))
    with pytest.raises(Doubt, match="OpenAI refuses this key: api.openai.com answered 401") as caught:
        session.collect(_vault(tmp_path), [undeclared(openai)], Asked([_key(OPENAI_KEY)]), taking)
    assert caught.value.code is ExitCode.REFUSED
    assert not (tmp_path / "home").exists()
    session.collect(_vault(tmp_path), [undeclared(openai)], Asked([_key(OPENAI_KEY, pasted.REFUSED)]), taking)
    assert _vault(tmp_path).read("openai", "default")
    with pytest.raises(AuthsomeError, match="refuses this key"):
        session.store(_vault(tmp_path), openai, "team", OPENAI_KEY, taking)


def test_optional_ones_are_offered_where_somebody_is_asked_anyway(tmp_path: Path, openai: Provider) -> None:
    anthropic = Catalogue(tmp_path).get("anthropic")
    declared = (undeclared(anthropic, required=False), undeclared(openai))
    asked = Asked([_key(ANTHROPIC_KEY), _key(OPENAI_KEY)])
    live = session.reconcile(session.survey(_vault(tmp_path), declared), lambda: asked)
    assert [(each.provider, each.required) for each in asked.questions] == [("anthropic", False), ("openai", True)]
    assert repr(live) == "Session(anthropic/default, openai/default)"
    again = session.reconcile(session.survey(_vault(tmp_path), declared), _nobody)
    assert repr(again) == repr(live)


def _nobody() -> Asked:
    raise AssertionError("nobody should be asked")


def test_with_all_required_ones_in_place_nobody_is_asked_for_the_others(tmp_path: Path, openai: Provider) -> None:
    session.store(_vault(tmp_path), openai, "default", OPENAI_KEY)
    declared = (undeclared(openai), undeclared(openai, "team", required=False))
    assert repr(session.reconcile(session.survey(_vault(tmp_path), declared), _nobody)) == "Session(openai/default)"


@pytest.fixture
def strict(authsome: CommandLine, tmp_path: Path) -> Iterator[Origin]:
    """Return the origin of a provider `acme` that takes no key."""
    (tmp_path / "outside").mkdir()
    origin = Origin(tmp_path / "outside")
    origin.script = lambda _: Reply(status=401)
    where = f"https://localhost:{origin.port}"
    definition = {"name": "acme", "host_url": where, "api_key": {"env_var": "ACME_KEY"}, "test": {"url": f"{where}/me"}}
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "acme.json").write_text(json.dumps(definition))
    authsome.env = {"SSL_CERT_FILE": str(origin.roots)}
    yield origin
    origin.close()


def test_a_pipe_is_checked_on_request(authsome: CommandLine, strict: Origin) -> None:
    key = "acme-CANARY-0123456789"
    refused = authsome("login", "acme", "--stdin", "--check", given=key)
    assert refused.code == 8
    assert refused.err == (
        f"Error: acme refuses this key: localhost:{strict.port} answered 401\n"
        "Hint: nothing was stored; to store it all the same: --no-check\n"
    )
    assert not (authsome.home / "profiles").exists()
    assert len(strict.arrived) == 1
    assert authsome("login", "acme", "--stdin", given=key).code == 0
    assert len(strict.arrived) == 1
    strict.script = lambda _: Reply(status=500)
    unsure = authsome("login", "acme", "--stdin", "--check", "--force", given=key)
    assert unsure.code == 0
    assert f"acme: stored, not checked: localhost:{strict.port} answered 500\n" in unsure.err


@pytest.mark.parametrize(("word", "code"), [("yes", 0), ("no", 8)])
def test_at_the_terminal_a_refused_key_is_stored_on_a_word(
    authsome: CommandLine, strict: Origin, word: str, code: int
) -> None:
    person = Person([EXECUTABLE, "login", "acme", "--terminal"], authsome.environ(), authsome.project)
    for _ in range(1 if word == "yes" else 3):
        assert person.sees(PROMPT)
        person.screen = ""
        person.types("acme-CANARY-0123456789\n")
        assert person.sees("Store it all the same? Type yes: ")
        assert f"Error: acme refuses this key: localhost:{strict.port} answered 401\n" in person.screen
        person.types(f"{word}\n")
    assert person.ends() == code
    assert (authsome.home / "profiles").exists() is (code == 0)


def test_at_the_terminal_the_key_may_go_unchecked(authsome: CommandLine, strict: Origin) -> None:
    person = Person([EXECUTABLE, "login", "acme", "--no-check"], authsome.environ(), authsome.project)
    assert person.sees(PROMPT)
    person.types("acme-CANARY-0123456789\n")
    assert person.ends() == 0
    assert "acme: stored, not checked\n" in person.screen
    assert not strict.arrived


def test_browser_and_terminal_exclude_each_other(authsome: CommandLine) -> None:
    assert authsome("login", "openai", "--browser", "--terminal").code == 2
    assert authsome("run", "--browser", "--terminal", "--", "true").code == 125
