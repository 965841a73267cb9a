from pathlib import Path

import pytest

from authsome.bridge import ATTEMPTS
from authsome.vault import preset
from canary import OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

PROMPT = "(input is hidden)"


@pytest.fixture(autouse=True)
def _no_network(authsome: CommandLine) -> None:
    """Let a key's check end at a proxy that is not there."""
    authsome.env = {"HTTPS_PROXY": "http://127.0.0.1:9"}


def _login(authsome: CommandLine, *more: str) -> Person:
    return Person([EXECUTABLE, "login", "openai", *more], authsome.environ(), authsome.project)


def test_a_key_that_is_typed_is_stored_and_never_shown(authsome: CommandLine) -> None:
    person = _login(authsome)
    assert person.sees(PROMPT)
    person.types(f"{OPENAI_KEY}  \n")
    assert person.ends() == 0
    assert "Get a key: https://platform.openai.com/api-keys" in person.screen
    assert "Successfully logged in to openai (default).\n" in person.screen
    assert not sings(person.screen.encode())
    assert authsome("get", "openai", "--field", "api_key", "--show-secret", reveals=True).out == f"{OPENAI_KEY}\n"


def test_a_mistyped_key_is_explained_and_asked_for_again(authsome: CommandLine) -> None:
    person = _login(authsome)
    assert person.sees(PROMPT)
    person.screen = ""
    person.types("not-a-key\n")
    assert person.sees(PROMPT)
    assert (
        "Error: This does not look like a valid OpenAI API key.\nHint: OpenAI API keys start with 'sk-'"
        in person.screen
    )
    person.types(f"{OPENAI_KEY}\n")
    assert person.ends() == 0


def test_after_three_wrong_keys_nothing_is_stored(authsome: CommandLine) -> None:
    person = _login(authsome)
    for _ in range(ATTEMPTS):
        assert person.sees(PROMPT)
        person.screen = ""
        person.types("wrong\n")
    assert person.ends() == 2
    assert not (authsome.home / "profiles").exists()


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 3), ("\n", 3), ("x" * 4095 + "\n", 2)])
def test_leaving_the_prompt_stores_nothing(authsome: CommandLine, key: str, code: int) -> None:
    person = _login(authsome)
    assert person.sees(PROMPT)
    person.types(key)
    assert person.ends() == code
    assert "Traceback" not in person.screen
    assert not authsome.home.exists()


@pytest.mark.parametrize("env", [{"CI": "true"}, {"CI": "1"}])
def test_in_ci_nobody_is_asked(authsome: CommandLine, env: dict[str, str]) -> None:
    authsome.env |= env
    person = _login(authsome)
    assert person.ends() == 3
    assert "nobody to ask for openai" in person.screen


def test_no_input_asks_nobody(authsome: CommandLine) -> None:
    person = _login(authsome, "--no-input")
    assert person.ends() == 3


def test_a_profile_that_asks_nobody_asks_nobody(authsome: CommandLine) -> None:
    person = _login(authsome, "--profile", "ci")
    assert person.ends() == 3


def test_run_asks_for_what_is_missing_and_then_starts(authsome: CommandLine) -> None:
    authsome.declare('version: 1\nproviders:\n  openai: {why: "say \\e[31mred"}\n')
    command: list[str | Path] = [EXECUTABLE, "run", "--", "sh", "-c", "echo agent has $OPENAI_API_KEY"]
    person = Person(command, authsome.environ(), authsome.project)
    assert person.sees(PROMPT)
    assert 'The manifest says why: "say �[31mred"' in person.screen
    person.types(f"{OPENAI_KEY}\n")
    assert person.sees("agent has authsome-proxy-managed")
    assert person.ends() == 0


def test_leaving_the_prompt_of_run_starts_nothing(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nproviders:\n  openai:\n")
    command: list[str | Path] = [EXECUTABLE, "run", "--", "touch", "started"]
    person = Person(command, authsome.environ(), authsome.project)
    assert person.sees(PROMPT)
    person.types("\x03")
    assert person.ends() == 130
    assert not (authsome.project / "started").exists()
    assert not authsome.home.exists()


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("", 3), ("no", 3)])
def test_new_hosts_are_agreed_to_in_a_word(authsome: CommandLine, answer: str, code: int) -> None:
    authsome.login("g2", "g2-CANARY-token")
    definition = authsome("inspect", "g2").out.replace('"api.g2.com"', '["api.g2.com", "evil.example"]', 1)
    (authsome.home / "providers" / "g2.json").write_text(definition)
    authsome.declare("version: 1\nproviders:\n  g2:\n")
    person = Person([EXECUTABLE, "run", "--", "true"], authsome.environ(), authsome.project)
    assert person.sees("It will be sent to: api.g2.com, evil.example\nNEW since you last agreed: evil.example\n")
    assert person.sees("Type yes: ")
    person.types(f"{answer}\n")
    if code == 0:
        assert person.sees(PROMPT)
        person.types("g2-CANARY-token\n")
    assert person.ends() == (125 if code else 0)
    hosts = authsome("get", "g2", "--field", "hosts").out
    assert ("evil.example" in hosts) is (code == 0)


def test_the_ci_preset_asks_nobody_and_the_default_a_person(tmp_path: Path) -> None:
    assert preset.load("ci").ask == ()
    assert preset.load(preset.chosen("anything-else", tmp_path)).ask == ("browser", "terminal")
