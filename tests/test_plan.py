from dataclasses import replace
from pathlib import Path

from authsome import plan
from authsome.manifest import Declared, undeclared
from authsome.plan import State
from authsome.provider import Catalogue
from authsome.vault import Holding

OPENAI = undeclared(Catalogue(Path("nowhere")).get("openai"))
HELD = Holding("openai", "default", 1, ("api.openai.com",), ("api_key",), (), (), "t", "t")


def _step(declared: Declared, held: Holding | None) -> plan.Step:
    holdings = {("openai", "default"): held} if held else {}
    return plan.make([declared], holdings, holdings).steps[0]


def test_a_connection_that_is_held_is_in_place() -> None:
    step = _step(OPENAI, HELD)
    assert (step.state, step.needs_person) == (State.IN_PLACE, False)


def test_a_required_connection_that_is_not_held_needs_a_person() -> None:
    made = plan.make([OPENAI], {})
    assert made.steps[0].state is State.MISSING
    assert made.steps[0].command == "authsome login openai"
    assert not made.ready


def test_an_optional_connection_that_is_not_held_holds_nothing_up() -> None:
    made = plan.make([replace(OPENAI, required=False)], {})
    assert (made.steps[0].state, made.ready) == (State.ABSENT, True)


def test_a_host_that_nobody_agreed_to_needs_a_person() -> None:
    step = _step(OPENAI, replace(HELD, hosts=("eu.api.openai.com",), new_hosts=("api.openai.com",)))
    assert (step.state, step.detail) == (State.HOSTS_CHANGED, "new: api.openai.com")
    assert step.command == "authsome login openai --force"


def test_a_host_that_went_away_is_no_reason_to_ask() -> None:
    assert _step(OPENAI, replace(HELD, hosts=("api.openai.com", "old.openai.com"))).state is State.IN_PLACE


def test_a_key_that_no_longer_matches_needs_a_person() -> None:
    step = _step(OPENAI, replace(HELD, off_pattern=("api_key",)))
    assert (step.state, step.needs_person) == (State.OFF_PATTERN, True)


def test_an_optional_connection_never_holds_a_run_up() -> None:
    optional = replace(OPENAI, required=False)
    made = plan.make([optional], {("openai", "default"): replace(HELD, off_pattern=("api_key",))})
    assert made.ready


def test_a_credential_without_a_needed_field_counts_as_missing() -> None:
    step = _step(OPENAI, replace(HELD, field_names=("password",)))
    assert (step.state, step.detail) == (State.MISSING, "holds no api_key")


def test_what_is_held_and_not_declared_is_said() -> None:
    made = plan.make([OPENAI], {("openai", "default"): HELD}, [("g2", "work"), ("openai", "default")])
    assert [(step.name, step.state) for step in made.steps] == [("openai", State.IN_PLACE), ("g2/work", State.UNUSED)]
    assert made.ready


def test_a_further_connection_is_mended_by_name() -> None:
    made = plan.make([replace(OPENAI, connection="team")], {})
    assert made.steps[0].command == "authsome login openai --connection team"
