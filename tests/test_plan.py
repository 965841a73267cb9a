from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from authsome import plan
from authsome.manifest import Declared, undeclared
from authsome.plan import State
from authsome.provider import Catalogue
from authsome.vault import Grant, Holding

OPENAI = undeclared(Catalogue(Path("nowhere")).get("openai"))
NOW = 1_800_000_000.0
HELD = Holding("openai", "default", 1, ("api.openai.com",), ("api_key",), (), (), "t", "t")


def _step(declared: Declared, held: Holding | None) -> plan.Step:
    holdings = {("openai", "default"): held} if held else {}
    return plan.make([declared], holdings, holdings, now=NOW).steps[0]


def test_a_connection_that_is_held_is_in_place() -> None:
    step = _step(OPENAI, HELD)
    assert (step.state, step.needs_person) == (State.IN_PLACE, False)


def test_a_required_connection_that_is_not_held_needs_a_person() -> None:
    made = plan.make([OPENAI], {}, now=NOW)
    assert made.steps[0].state is State.MISSING
    assert made.steps[0].command == "authsome login openai"
    assert not made.ready


def test_an_optional_connection_that_is_not_held_holds_nothing_up() -> None:
    made = plan.make([replace(OPENAI, required=False)], {}, now=NOW)
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
    made = plan.make([optional], {("openai", "default"): replace(HELD, off_pattern=("api_key",))}, now=NOW)
    assert made.ready


def test_a_credential_without_a_needed_field_counts_as_missing() -> None:
    step = _step(OPENAI, replace(HELD, field_names=("password",)))
    assert (step.state, step.detail) == (State.MISSING, "holds no api_key")


def test_what_is_held_and_not_declared_is_said() -> None:
    made = plan.make([OPENAI], {("openai", "default"): HELD}, [("g2", "work"), ("openai", "default")], now=NOW)
    assert [(step.name, step.state) for step in made.steps] == [("openai", State.IN_PLACE), ("g2/work", State.UNUSED)]
    assert made.ready


def test_a_further_connection_is_mended_by_name() -> None:
    made = plan.make([replace(OPENAI, connection="team")], {}, now=NOW)
    assert made.steps[0].command == "authsome login openai --connection team"


# Tokens.

GITHUB = undeclared(Catalogue(Path("nowhere")).get("github"))
GRANT = Grant("device_code", ("github.com",), ("repo", "read:user"), ("repo", "read:user"), NOW - 600, NOW + 3000)
TOKENS = Holding(
    "github",
    "default",
    1,
    ("api.github.com",),
    ("access_token", "refresh_token"),
    (),
    (),
    "t",
    "t",
    GRANT,
    renewable=True,
)


def _tokens(held: Holding, *scopes: str, now: float = NOW, required: bool = True) -> plan.Step:
    declared = replace(GITHUB, scopes=scopes, required=required).seen(GITHUB.provider.with_tokens)
    return plan.make([declared], {("github", "default"): held}, now=now).steps[0]


def _with(**changes: Any) -> Holding:
    return replace(TOKENS, grant=replace(GRANT, **changes))


@pytest.mark.parametrize("seconds", [0, 2999.9])
def test_tokens_are_in_place_until_they_expire(seconds: float) -> None:
    assert _tokens(TOKENS, now=NOW + seconds).state is State.IN_PLACE


@pytest.mark.parametrize("seconds", [3000, 1e9])
def test_expired_tokens_that_can_be_renewed_hold_nothing_up(seconds: float) -> None:
    step = _tokens(TOKENS, now=NOW + seconds)
    assert (step.state, step.needs_person) == (State.EXPIRED, False)
    assert plan.Plan((step,)).ready


def test_tokens_of_which_nobody_has_said_when_they_end_do_not_end() -> None:
    assert _tokens(_with(expires_at=None), now=NOW * 2).state is State.IN_PLACE


def test_expired_tokens_that_cannot_be_renewed_need_a_person() -> None:
    step = _tokens(replace(TOKENS, renewable=False), now=NOW + 3000)
    assert (step.state, step.needs_person) == (State.ENDED, True)
    assert step.command == "authsome login github --force"


def test_tokens_that_were_refused_need_a_person_and_the_provider_s_word_says_why() -> None:
    step = _tokens(replace(_with(refused="invalid_grant"), renewable=False))
    assert (step.state, step.detail) == (State.ENDED, "GitHub gives no new token: invalid_grant")


def test_an_optional_connection_whose_tokens_have_ended_holds_nothing_up() -> None:
    step = _tokens(replace(TOKENS, renewable=False), now=NOW + 3000, required=False)
    made = plan.Plan((step,))
    assert (made.ready, made.offered) == (True, (step,))


def test_scopes_that_were_never_asked_for_need_a_person() -> None:
    step = _tokens(TOKENS, "repo", "gist", "admin:org")
    assert (step.state, step.needs_person, step.detail) == (State.NARROWER, True, "lacks admin:org, gist")
    assert step.command == "authsome login github --scopes admin:org,gist"


@pytest.mark.parametrize(
    ("scope", "option"),
    [
        ("a;rm$(x)", "--scopes 'a;rm$(x)'"),
        ("two words", "--force"),
        ("a\nb", "--force"),
        ("a,b", "--force"),
        ("", "--force"),
    ],
)
def test_a_manifest_s_scope_cannot_make_a_command_of_its_own(scope: str, option: str) -> None:
    assert _tokens(TOKENS, scope).command == f"authsome login github {option}"


def test_scopes_that_are_held_are_not_asked_for_again() -> None:
    step = _tokens(_with(asked=()), "read:user", "repo")
    assert (step.state, step.detail) == (State.IN_PLACE, None)


def test_scopes_that_were_asked_for_and_not_granted_are_said_and_not_asked_for_again() -> None:
    step = _tokens(_with(scopes=("repo",)), "repo", "read:user")
    assert (step.state, step.detail) == (State.IN_PLACE, "was asked for and not granted: read:user")


def test_expired_tokens_with_too_few_scopes_need_a_person_at_once() -> None:
    assert _tokens(TOKENS, "gist", now=NOW + 3000).state is State.NARROWER


def test_scopes_are_no_matter_for_a_key() -> None:
    assert _step(replace(OPENAI, scopes=("everything",)), HELD).state is State.IN_PLACE


def test_a_host_for_the_refresh_token_that_nobody_agreed_to_comes_before_everything_else() -> None:
    step = _tokens(replace(_with(refused="invalid_grant"), new_hosts=("evil.example",)), now=NOW + 3000)
    assert (step.state, step.detail) == (State.HOSTS_CHANGED, "new: evil.example")


def test_tokens_without_an_access_token_count_as_missing() -> None:
    step = _tokens(replace(TOKENS, field_names=("refresh_token",)))
    assert (step.state, step.detail) == (State.MISSING, "holds no access_token")


@pytest.mark.parametrize(
    ("connection", "env", "seen"),
    [
        ("default", {"GH_TOKEN": "api_key", "GITHUB_TOKEN": "api_key"}, ["GH_TOKEN", "GITHUB_TOKEN"]),
        ("default", {"MY_TOKEN": "api_key"}, ["MY_TOKEN"]),
        ("team", {"TEAM_TOKEN": "api_key"}, ["TEAM_TOKEN"]),
        ("team", {}, []),
    ],
)
def test_the_variables_of_a_key_are_those_of_tokens(connection: str, env: dict[str, str], seen: list[str]) -> None:
    declared = replace(GITHUB, connection=connection, env=env)
    tokens = declared.seen(declared.provider.with_tokens)
    assert tokens.env == dict.fromkeys(seen, "access_token")
    assert tokens.seen(declared.provider).env == env
