"""Whose keys they are that lie about, told by names and beginnings, and never by a guess."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from authsome import found
from authsome.errors import AuthsomeError, ExitCode
from authsome.found import Candidate, Finding, Form, State, Wish
from authsome.provider import Catalogue, Field, Provider
from canary import ANTHROPIC_KEY, CANARY, G2_TOKEN, GITHUB_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY, sings

KNOWN = tuple(map(Catalogue(None).get, ("openai", "anthropic", "github", "intercom", "g2")))


def _of(
    text: str,
    wish: Wish | None = None,
    known: tuple[Provider, ...] = KNOWN,
    declared: dict[str, tuple[str, str]] | None = None,
) -> list[Finding]:
    candidates = found.read(text, Form.AUTO, "a file", alone=True)
    return found.recognise(candidates, known, declared or {}, wish or Wish())


def _one(text: str, **more: object) -> Finding:
    (finding,) = _of(text, **more)  # type: ignore[arg-type]  # what `_of` takes
    return finding


def _provider(name: str) -> Provider:
    return next(each for each in KNOWN if each.name == name)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (f"OPENAI_API_KEY={OPENAI_KEY}", "openai"),
        (f"export GITHUB_TOKEN='{GITHUB_TOKEN}'", "github"),
        (f"G2_API_TOKEN={G2_TOKEN}", "g2"),
        (f"MY_OPENAI={OPENAI_KEY}", "openai"),
        (f"ANYTHING={ANTHROPIC_KEY}", "anthropic"),
        (f"ANYTHING={GITHUB_TOKEN}", "github"),
        (f'{{"GH_TOKEN": "{GITHUB_TOKEN}"}}', "github"),
        (f"{OPENAI_KEY}\n", "openai"),
        (f"\ufeffOPENAI_API_KEY={OPENAI_KEY}\r\n", "openai"),
        (f'\ufeff{{"OPENAI_API_KEY": "{OPENAI_KEY}"}}', "openai"),
    ],
)
def test_a_name_or_a_beginning_says_whose_key_it_is(text: str, target: str) -> None:
    finding = _one(text)
    assert (finding.state, finding.target) == (State.KEY, target)
    assert not sings(repr(finding).encode())


@pytest.mark.parametrize(
    ("text", "target", "why"),
    [
        (f"OPENAI_API_KEY={ANTHROPIC_KEY}", "anthropic", "its name says OpenAI, its beginning Anthropic"),
        (f"G2_API_TOKEN={OPENAI_KEY}", "openai", "its name says G2, its beginning OpenAI"),
        (f"DEEPSEEK_API_KEY={OPENAI_KEY}", "openai", "it begins like a key of OpenAI, its name does not say so"),
    ],
)
def test_where_name_and_beginning_disagree_a_person_decides(text: str, target: str, why: str) -> None:
    finding = _one(text)
    assert (finding.state, finding.target, finding.why, finding.waits) == (State.DOUBT, target, why, True)
    variable = text.partition("=")[0]
    assert found.command(finding) == f"--only {variable} --provider {target}"
    decided = _one(text, wish=Wish(provider=_provider(target), connection="team"))
    assert (decided.state, decided.target) == (State.KEY, f"{target}/team")


@pytest.mark.parametrize(
    ("value", "why", "waits"),
    [
        ("", "empty", False),
        ("'  '", "empty", False),
        ("authsome-proxy-managed", "already imported, this is the placeholder", False),
        ("authsome-proxy-managed-team", "already imported, this is the placeholder", False),
        ("<your key>", "an example, not a key", False),
        ("your-api-key-here", "an example, not a key", False),
        ("changeme", "an example, not a key", False),
        ("...", "an example, not a key", False),
        ("sk-xxxxxxxxxxxxxxxxxxxxxxxx", "an example, not a key", False),
        ("$OTHER", "a reference", True),
        ("${OTHER:-sk-x}", "a reference", True),
        ("op://vault/item/field", "a reference", True),
    ],
)
def test_what_only_stands_for_a_key_is_none(value: str, why: str, waits: bool) -> None:
    finding = _one(f"OPENAI_API_KEY={value}")
    assert (finding.state, finding.waits) == (State.LEFT, waits)
    assert finding.why.startswith(why)


@pytest.mark.parametrize("name", ["yourCANARY0123456789", "putCANARY01234567", "xCANARYx", "0000000CANARY"])
def test_a_key_that_begins_with_such_a_word_is_one(name: str) -> None:
    assert _one(f"G2_API_TOKEN={name}").state is State.KEY


def test_the_last_of_two_lines_counts() -> None:
    early, late = _of(f"OPENAI_API_KEY={OPENAI_KEY}\nOPENAI_API_KEY={OTHER_OPENAI_KEY}\n")
    assert (early.state, early.why, early.waits) == (State.LEFT, "line 2 gives another value, which counts", False)
    assert late.state is State.KEY
    assert {each.state for each in _of(f"OPENAI_API_KEY={OPENAI_KEY}\n" * 2)} == {State.KEY}


def test_one_connection_has_one_key() -> None:
    one, other = _of(f"GH_TOKEN={GITHUB_TOKEN}\nGITHUB_TOKEN={GITHUB_TOKEN[:-1]}w")
    assert (one.state, other.state) == (State.LEFT, State.LEFT)
    assert one.why == "GITHUB_TOKEN holds another key of github: --only GH_TOKEN --connection NAME"
    assert {each.state for each in _of(f"GH_TOKEN={GITHUB_TOKEN}\nGITHUB_TOKEN={GITHUB_TOKEN}")} == {State.KEY}
    named, looks = _of(f"OPENAI_API_KEY={OPENAI_KEY}\nOPENAI_SECOND={OTHER_OPENAI_KEY}")
    assert (named.state, looks.state) == (State.KEY, State.LEFT)
    assert looks.why == "OPENAI_API_KEY holds another key of openai: --only OPENAI_SECOND --connection NAME"
    first, second = _of(f"TEAM={OPENAI_KEY}\nMINE={OTHER_OPENAI_KEY}")
    assert (first.state, second.state) == (State.LEFT, State.LEFT)
    assert first.why == (
        "it begins like a key of OpenAI, its name does not say so, and MINE holds another key of openai: "
        "--only TEAM --provider openai --connection NAME"
    )


def test_a_name_that_says_nothing_follows_the_key_it_repeats() -> None:
    assert [each.state for each in _of(f"TEAM={OPENAI_KEY}\nOPENAI_API_KEY={OPENAI_KEY}")] == [State.KEY, State.KEY]


def test_the_manifest_names_further_accounts() -> None:
    declared = {"SECOND_KEY": ("openai", "team")}
    finding = _one(f"SECOND_KEY={OPENAI_KEY}", declared=declared)
    assert (finding.state, finding.target) == (State.KEY, "openai/team")
    mine = _one(f"SECOND_KEY={OPENAI_KEY}", declared=declared, wish=Wish(connection="mine"))
    assert mine.target == "openai/mine"


def test_a_manifest_cannot_claim_the_variable_of_another_provider() -> None:
    finding = _one(f"GH_TOKEN={G2_TOKEN}", declared={"GH_TOKEN": ("g2", "default")})
    assert (finding.state, finding.waits, finding.provider) == (State.LEFT, True, None)
    assert finding.why == "could be of g2 or github: --only GH_TOKEN --provider g2"
    sure = _one(f"GH_TOKEN={GITHUB_TOKEN}", declared={"GH_TOKEN": ("g2", "default")})
    assert (sure.state, sure.target) == (State.KEY, "github")


def test_two_providers_of_one_beginning_are_not_told_apart() -> None:
    twin = replace(_provider("openai"), name="twin", fields=(Field("api_key", re.compile("sk-.{8,}"), None, ()),))
    finding = _one(f"SOME_KEY={OPENAI_KEY}", known=(*KNOWN, twin))
    assert (finding.state, finding.why) == (State.LEFT, "could be of openai or twin: --only SOME_KEY --provider openai")
    assert _one(f"OPENAI_API_KEY={OPENAI_KEY}", known=(*KNOWN, twin)).target == "openai"


def test_a_pattern_that_fits_any_hash_tells_nobodys_key() -> None:
    hexes = Field("api_key", re.compile("[0-9a-f]{32}"), None, ("HEX_KEY",))
    known = (*KNOWN, replace(_provider("g2"), name="hex", fields=(hexes,)))
    digest = "0123456789abcdef" * 2
    assert _one(f"COMMIT={digest}", known=known).state is State.NOBODYS
    assert _one(f"HEX_KEY={digest}", known=known).state is State.KEY


def test_what_cannot_be_stored_says_how_to_log_in() -> None:
    tokens = replace(_provider("g2"), auth_type="oauth2", display_name="Tokens")
    finding = _one(f"G2_API_TOKEN={G2_TOKEN}", known=(tokens,))
    assert (finding.state, finding.why) == (State.LEFT, "Tokens logs in with OAuth: authsome login g2")
    several = replace(_provider("g2"), fields=(*_provider("g2").fields, Field("account", None, None, ())))
    why = "G2 needs several values at once (api_key, account): authsome login g2"
    assert _one(f"G2_API_TOKEN={G2_TOKEN}", known=(several,)).why == why


def test_of_json_only_text_is_taken() -> None:
    text = f'{{"OPENAI_API_KEY": {{"a": 1}}, "GH_TOKEN": 7, "G2_API_TOKEN": null, "x": "{OPENAI_KEY}", "y": [true]}}'
    findings = _of(text)
    assert [(each.candidate.shown, each.state, each.why) for each in findings] == [
        ("OPENAI_API_KEY", State.LEFT, "an object, not text"),
        ("GH_TOKEN", State.LEFT, "a number, not text"),
        ("G2_API_TOKEN", State.LEFT, "null, not text"),
        ("x", State.DOUBT, "it begins like a key of OpenAI, its name does not say so"),
        ("y", State.NOBODYS, ""),
    ]


@pytest.mark.parametrize("text", ["{", "{'A': 1}", f'{{"A": "{OPENAI_KEY}",}}', '{"a":' * 50_000])
def test_what_is_no_json_is_said_without_a_word_of_it(text: str) -> None:
    with pytest.raises(AuthsomeError, match="is not JSON") as caught:
        _of(text)
    assert caught.value.code is ExitCode.USAGE
    assert not sings(f"{caught.value.message}{caught.value.hint}".encode())
    with pytest.raises(AuthsomeError, match="is not a JSON object"):
        found.read("[1]", Form.JSON, "it")


def test_a_json_object_that_names_one_key_twice_decides_nothing() -> None:
    states = {each.state for each in _of(f'{{"GH_TOKEN": "{GITHUB_TOKEN}", "GH_TOKEN": "{GITHUB_TOKEN[:-1]}w"}}')}
    assert states == {State.LEFT}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{OPENAI_KEY}=x\nA=1", "line 1"),
        (f"A=1\n{GITHUB_TOKEN}==\n", "line 2"),
        ("A=1\nCANARYabcdEFGH==\n", "line 2"),
        (f'{{"{OPENAI_KEY}": "x"}}', "a name that is no variable's"),
        ("A=1\nCANARY2345ABCDEFGH====\n", "line 2"),
        ("A=1\ndb_password=x", "db_password"),
    ],
)
def test_what_stands_where_a_name_should_be_is_not_shown(text: str, shown: str) -> None:
    names = [each.candidate.shown for each in _of(text)]
    assert shown in names
    assert CANARY not in "".join(names)


def test_a_value_of_several_lines_or_with_an_open_quote_is_left_out() -> None:
    (finding,) = _of(f"{OPENAI_KEY}\nurl: x\n", Wish(provider=_provider("openai")))
    assert (finding.state, finding.why) == (State.LEFT, "several lines")
    (broken,) = _of(f'OPENAI_API_KEY="{OPENAI_KEY}\n')
    assert (broken.state, broken.why) == (State.LEFT, "the line does not parse: is a quote left open?")


def test_only_names_what_is_looked_at() -> None:
    text = f"OPENAI_API_KEY={OPENAI_KEY}\nGH_TOKEN={GITHUB_TOKEN}"
    (finding,) = _of(text, Wish(frozenset({"GH_TOKEN"})))
    assert finding.target == "github"
    with pytest.raises(AuthsomeError, match="there is no variable 'NOPE'"):
        _of(text, Wish(frozenset({"NOPE"})))
    with pytest.raises(AuthsomeError, match="here are several") as caught:
        _of(text, Wish(provider=_provider("openai")))
    assert caught.value.hint == "name its variable: --only NAME --provider openai"


def test_authsomes_own_variables_are_nobodys_keys() -> None:
    candidates = found.from_environ({"AUTHSOME_IDENTITY": OPENAI_KEY, "GH_TOKEN": GITHUB_TOKEN})
    assert candidates == [Candidate("GH_TOKEN", GITHUB_TOKEN, "the environment")]


@given(st.text("A=sk-'\"{}[]:,\n\r# \\$CANARY01", max_size=60), st.sampled_from(Form))
def test_any_text_is_read_or_refused_in_a_sentence(text: str, form: Form) -> None:
    try:
        candidates = found.read(text, form, "it")
    except AuthsomeError as error:
        assert error.code is ExitCode.USAGE
        return
    for each in found.recognise(candidates, KNOWN, {}, Wish()):
        assert CANARY not in each.why


def test_a_file_of_comments_has_no_keys(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# nothing\n")
    assert found.read(path.read_text(), Form.AUTO, "it") == []
