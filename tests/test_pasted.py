"""What is pasted is known for what it is."""

from pathlib import Path

import pytest

from authsome import pasted
from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.provider import Catalogue
from canary import ANTHROPIC_KEY, G2_TOKEN, GITHUB_TOKEN, OPENAI_KEY, sings
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

WRONG = "This does not look like a valid {} API key."


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path)


def _check(catalogue: Catalogue, provider: str, given: str, *accepted: str) -> str:
    return pasted.check(catalogue.get(provider), given, others=catalogue.usable, accepted=accepted)


@pytest.mark.parametrize(
    ("provider", "key"),
    [("openai", OPENAI_KEY), ("anthropic", ANTHROPIC_KEY), ("github", GITHUB_TOKEN), ("g2", G2_TOKEN)],
)
def test_a_key_of_ones_own_is_no_question(catalogue: Catalogue, provider: str, key: str) -> None:
    assert _check(catalogue, provider, key) == key


@pytest.mark.parametrize(
    "around",
    [
        *('"{}"', "'{}'", "`{}`", "Bearer {}", "bearer  {}", "Authorization: Bearer {}", "OPENAI_API_KEY={}"),
        *('export OPENAI_API_KEY="{}"', '"Bearer {}"', '"{}",', "{};", "'Authorization: Bearer {}'", "x-api-key: {}"),
    ],
)
def test_what_was_copied_along_is_offered_to_be_cut(catalogue: Catalogue, around: str) -> None:
    given = around.format(OPENAI_KEY)
    with pytest.raises(Doubt) as caught:
        _check(catalogue, "openai", given)
    assert (caught.value.word, caught.value.offer) == (pasted.CUT, "Store it without them")
    assert caught.value.message == WRONG.format("OpenAI")
    assert _check(catalogue, "openai", given, pasted.CUT) == OPENAI_KEY


@pytest.mark.parametrize("given", [f'"{G2_TOKEN}"', f"Bearer {G2_TOKEN}", f"G2_API_TOKEN={G2_TOKEN}"])
def test_the_same_without_a_pattern(catalogue: Catalogue, given: str) -> None:
    assert _check(catalogue, "g2", given, pasted.CUT) == G2_TOKEN


def test_what_no_header_takes_is_refused_before_any_pattern_is_tried(catalogue: Catalogue) -> None:
    with pytest.raises(AuthsomeError) as caught:
        _check(catalogue, "openai", OPENAI_KEY + ";" * 1_000_000 + "x")  # quotes and ends are looked for in it, too
    assert caught.value.hint == "it has more than 8192 characters, and no header takes so many"


def test_a_token_of_several_parts_loses_only_the_word_before_it(catalogue: Catalogue) -> None:
    assert _check(catalogue, "fly", "FlyV1 fm2_CANARY,fm2_CANARY", pasted.CUT) == "fm2_CANARY,fm2_CANARY"


@pytest.mark.parametrize("given", ["CANARY==", "CANARY=abc", "a=CANARY", "CANARY'x", '"CANARY'])
def test_what_may_belong_to_the_key_stays(catalogue: Catalogue, given: str) -> None:
    assert _check(catalogue, "g2", given) == given


def test_a_key_of_another_provider_is_named(catalogue: Catalogue) -> None:
    with pytest.raises(AuthsomeError) as caught:
        _check(catalogue, "openai", GITHUB_TOKEN)
    assert not isinstance(caught.value, Doubt)
    assert caught.value.message == WRONG.format("OpenAI")
    own, _, other = (caught.value.hint or "").partition("\n")
    assert own == "OpenAI API keys start with 'sk-' followed by at least 20 letters, digits, '_' or '-'."
    assert "looks like a key of GitHub" in other
    assert other.endswith("authsome login github")


@pytest.mark.parametrize(("provider", "key"), [("openai", ANTHROPIC_KEY), ("g2", OPENAI_KEY), ("g2", ANTHROPIC_KEY)])
def test_one_that_would_fit_all_the_same_is_asked_about(catalogue: Catalogue, provider: str, key: str) -> None:
    """The pattern of OpenAI fits the keys of Anthropic, and no pattern fits everything."""
    with pytest.raises(Doubt) as caught:
        _check(catalogue, provider, key)
    assert caught.value.word == pasted.FOREIGN
    assert ("Anthropic" if key == ANTHROPIC_KEY else "OpenAI") in (caught.value.hint or "")
    assert _check(catalogue, provider, key, pasted.FOREIGN) == key


@pytest.mark.parametrize(
    "given", ["authsome-proxy-managed", "authsome-proxy-managed-team", "Bearer authsome-proxy-managed"]
)
def test_the_placeholder_is_never_a_key(catalogue: Catalogue, given: str) -> None:
    with pytest.raises(AuthsomeError, match="API key") as caught:
        _check(catalogue, "openai", given, pasted.CUT, pasted.FOREIGN)
    assert "is what an agent holds" in (caught.value.hint or "")


@pytest.mark.parametrize("given", [GITHUB_TOKEN, f'"{OPENAI_KEY}"', ANTHROPIC_KEY, "CANARY nonsense"])
def test_no_word_about_it_holds_it(catalogue: Catalogue, given: str) -> None:
    with pytest.raises(AuthsomeError) as caught:
        _check(catalogue, "openai", given)
    assert not sings(f"{caught.value.message}{caught.value.hint}{caught.value!r}".encode())


def test_a_broken_definition_keeps_no_other_key_from_being_known(authsome: CommandLine) -> None:
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "broken.json").write_text("{")
    done = authsome("login", "openai", "--stdin", given=GITHUB_TOKEN)
    assert done.code == ExitCode.USAGE
    assert "looks like a key of GitHub" in done.err


@pytest.mark.parametrize("given", [ANTHROPIC_KEY, f"'{OPENAI_KEY}'"])
def test_a_script_is_not_asked_and_nothing_is_stored(authsome: CommandLine, given: str) -> None:
    done = authsome("login", "openai", "--stdin", given=given)
    assert done.code == ExitCode.USAGE
    assert done.err.startswith("Error: This does not look like a valid OpenAI API key.\nHint: ")
    assert not (authsome.home / "profiles").exists()
