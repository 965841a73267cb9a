"""Which connection is meant where none is named."""

import json
from pathlib import Path

import pytest

from authsome import manifest, plan, session
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Project, undeclared
from authsome.provider import Catalogue
from authsome.session import Session
from authsome.vault import Vault, defaults
from canary import OPENAI_KEY, OTHER_OPENAI_KEY
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

CATALOGUE = Catalogue(Path("nowhere"))
OPENAI = CATALOGUE.get("openai")


def test_a_choice_is_kept_for_its_profile_and_taken_back(tmp_path: Path) -> None:
    assert defaults.chosen(tmp_path, "default") == {}
    assert defaults.choose(tmp_path, "default", "openai", "team")
    assert not defaults.choose(tmp_path, "default", "openai", "team")
    assert defaults.choose(tmp_path, "work", "g2", "other")
    assert defaults.chosen(tmp_path, "default") == {"openai": "team"}
    path = tmp_path / defaults.FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert not defaults.forget(tmp_path, "default", "openai", ("default",))
    assert defaults.forget(tmp_path, "default", "openai", ("team",))
    assert defaults.chosen(tmp_path, "default") == {}
    assert defaults.forget(tmp_path, "work")
    assert not defaults.forget(tmp_path, "work")
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"default": []}', '{"default": {"openai": "../x"}}', '{"a": {"b": 1}}']
)
def test_choices_that_cannot_be_read_are_not_guessed_at(tmp_path: Path, text: str) -> None:
    (tmp_path / defaults.FILE_NAME).write_text(text)
    with pytest.raises(AuthsomeError) as caught:
        defaults.chosen(tmp_path, "default")
    assert caught.value.code is ExitCode.INVALID


def test_the_agents_names_stay_and_the_vaults_change() -> None:
    team = undeclared(OPENAI, "team")
    filled = Project(None, None, (undeclared(OPENAI), team)).filled({"openai": "team", "g2": "x"})
    default, other = filled.connections
    assert (default.key, default.held_as, default.name) == (("openai", "default"), ("openai", "team"), "openai")
    assert dict(default.env) == {"OPENAI_API_KEY": "api_key"}
    assert other == team
    (missing, also) = plan.make(filled.connections, {}, now=0).steps
    assert missing.command == also.command == "authsome login openai --connection team"
    assert plan.make(filled.connections, {}, [("openai", "default"), ("openai", "more")], now=0).steps[2:] == (
        plan.Step("openai", "more", plan.State.UNUSED, required=False),
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_a_shared_secret_comes_back_as_the_defaults_placeholder(reverse: bool) -> None:
    secrets = {("openai", "default"): {"api_key": "CANARY"}, ("openai", "team"): {"api_key": "CANARY"}}
    live = Session(dict(reversed(secrets.items())) if reverse else secrets)
    assert live.stand_ins() == {"CANARY": "authsome-proxy-managed"}


def test_what_a_person_gives_is_stored_where_the_vault_looks(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "home", "default", {})
    project = Project(None, None, (undeclared(OPENAI), undeclared(OPENAI, "team"))).filled({"openai": "team"})
    asked: list[str] = []

    class Asked:
        def ask(self, questions: object, take: object) -> None:
            from authsome.bridge import Answer  # noqa: PLC0415

            for each in questions:  # type: ignore[attr-defined]  # the tests' human is any object with `ask`
                asked.append(each.name)
                take(each, Answer({"api_key": OPENAI_KEY}))  # type: ignore[operator]  # as above

    live = session.reconcile(session.survey(vault, project.connections), Asked)
    assert asked == ["openai/team"]  # once, for both
    assert vault.names() == [("openai", "team")]
    assert live.secrets("openai", "default") == live.secrets("openai", "team") == {"api_key": OPENAI_KEY}


def test_without_a_manifest_a_provider_is_served_by_the_choice() -> None:
    project = manifest.default_project(CATALOGUE, [("openai", "team")], {"openai": "team"})
    assert [each.held_as for each in project.connections] == [("openai", "team")]
    assert manifest.default_project(CATALOGUE, [("openai", "team")]).connections == ()


def _two(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "team")


def test_reading_follows_the_choice_and_list_shows_it(authsome: CommandLine) -> None:
    _two(authsome)
    done = authsome("set-default", "openai", "team")
    assert (done.code, done.out) == (0, "Where no connection of openai is named, it is team.\n")
    assert done.err == "A run that is going on keeps the one it was started with.\n"
    assert authsome("set-default", "openai", "team").out.endswith("it is team already.\n")
    shown = authsome("get", "openai", "--field", "api_key", "--show-secret", reveals=True)
    assert shown.out == f"{OTHER_OPENAI_KEY}\n"
    assert authsome("export", "openai", reveals=True).out == f"OPENAI_API_KEY={OTHER_OPENAI_KEY}\n"
    assert authsome("export", reveals=True).out == f"OPENAI_API_KEY={OTHER_OPENAI_KEY}\n"
    assert [row.split()[1:3] for row in authsome("list").out.splitlines()[1:]] == [
        ["default", "connected"],
        ["team", "(chosen)"],
    ]
    rows = json.loads(authsome("list", "--json").out)["connections"]
    assert [(row["connection"], row["default"]) for row in rows] == [("default", False), ("team", True)]
    assert authsome("check").out == "ok  openai  in place (filled by openai/team)\n"
    assert authsome("get", "openai", "--profile", "other").code == 3
    answer = json.loads(authsome("set-default", "openai", "default", "--json").out)
    assert answer["connection"] == "default"
    assert answer["changed"]
    assert not (authsome.home / "defaults.json").exists()


def test_a_choice_has_to_exist(authsome: CommandLine) -> None:
    _two(authsome)
    done = authsome("set-default", "openai", "taem")
    assert (done.code, done.err) == (3, "Error: openai (taem) is not connected\nHint: did you mean `team`?\n")
    assert authsome("set-default", "opnai", "default").code == 2
    assert authsome("set-default", "openai", "../x").code == 2
    authsome.env = {"AUTHSOME_RUN": "1"}
    assert authsome("set-default", "openai", "team").code == 7


def test_a_choice_goes_with_its_connection_and_with_its_profile(authsome: CommandLine) -> None:
    _two(authsome)
    authsome("set-default", "openai", "team")
    done = authsome("logout", "openai", "--connection", "team")
    assert "Where no connection of openai is named, it is `default` again." in done.err
    assert authsome("get", "openai").code == 0
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "team", "--profile", "work")
    authsome("set-default", "openai", "team", "--profile", "work")
    assert authsome("vault", "verify").code == 0
    assert authsome("profile", "remove", "work", "--yes").code == 0
    assert not (authsome.home / "defaults.json").exists()


def test_choices_that_cannot_be_read_are_one_error(authsome: CommandLine) -> None:
    _two(authsome)
    (authsome.home / "defaults.json").write_text("{}x")
    done = authsome("list")
    assert done.code == 6
    assert done.err.startswith("Error: ~/.authsome/defaults.json:1: ")
