import re
from pathlib import Path

import pytest

from authsome import bridge, pasted, session
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import undeclared
from authsome.provider import Catalogue, Provider
from authsome.vault import Vault
from canary import OPENAI_KEY, sings
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")


@pytest.fixture
def openai(tmp_path: Path) -> Provider:
    return Catalogue(tmp_path).get("openai")


@pytest.mark.parametrize("given", [OPENAI_KEY, f"{OPENAI_KEY}\n", f"{OPENAI_KEY} \t\r\n\n"])
def test_white_space_at_the_end_of_a_key_is_cut(openai: Provider, given: str) -> None:
    assert pasted.check(openai, given) == OPENAI_KEY


@pytest.mark.parametrize(
    "given", ["nonsense", f" {OPENAI_KEY}", f"{OPENAI_KEY[:9]} {OPENAI_KEY[9:]}", "sk-short", "sk-"]
)
def test_what_does_not_match_the_pattern_is_refused_with_the_documented_words(openai: Provider, given: str) -> None:
    with pytest.raises(AuthsomeError) as caught:
        pasted.check(openai, given)
    assert caught.value.message == "This does not look like a valid OpenAI API key."
    assert caught.value.hint == (
        "OpenAI API keys start with 'sk-' followed by at least 20 letters, digits, '_' or '-'."
    )
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize("given", ["", "  \n", "authsome-proxy-managed", "a b", "a\nb", "a\r\nX: y", "a\x00b", "sché"])
def test_a_key_that_could_not_stand_in_a_header_is_refused_without_a_pattern(tmp_path: Path, given: str) -> None:
    with pytest.raises(AuthsomeError):
        pasted.check(Catalogue(tmp_path).get("g2"), given)


def test_a_session_shows_names_only(tmp_path: Path, openai: Provider) -> None:
    vault = Vault(tmp_path / "home", "default", {})
    session.store(vault, openai, "default", OPENAI_KEY)
    position = session.survey(vault, (undeclared(openai),))
    live = session.reconcile(position, bridge.Nobody)
    assert live.secrets("openai", "default") == {"api_key": OPENAI_KEY}
    assert repr(live) == "Session(openai/default)"
    for shown in (repr(live), str(live), repr(position)):
        assert not sings(shown.encode())


def test_with_nobody_to_ask_the_commands_are_named(tmp_path: Path, openai: Provider) -> None:
    vault = Vault(tmp_path / "home", "default", {})
    position = session.survey(vault, (undeclared(openai), undeclared(openai, "team")))
    with pytest.raises(AuthsomeError, match=re.escape("openai (missing), openai/team (missing)")) as caught:
        session.reconcile(position, bridge.Nobody)
    assert caught.value.code is ExitCode.MISSING
    assert (caught.value.hint or "").splitlines()[1:] == [
        *("  authsome login openai", "  authsome login openai --connection team"),
    ]
    assert not vault.home.exists()


def test_a_secret_is_not_used_for_a_host_that_was_added_later(authsome: CommandLine) -> None:
    authsome.login("g2", "g2-CANARY-token")
    definition = authsome("inspect", "g2").out.replace("api.g2.com", "evil.example")
    (authsome.home / "providers" / "g2.json").write_text(definition)
    authsome.declare("version: 1\nproviders:\n  g2:\n")
    done = authsome("run", "--", "true")
    assert done.code == 125
    assert "g2 (hosts differ from those agreed to)" in done.err
    assert "new: evil.example" in authsome("check").out
