"""What comes into the catalogue and goes out of the vault, who is who, and help."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

import authsome as package
from authsome.errors import ExitCode, RunExit
from authsome.screens import topics
from authsome.screens.whoami import Here, whoami
from canary import G2_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY
from conftest import EXECUTABLE, CommandLine
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

ACME = {"name": "acme", "host_url": ["api.acme.example"], "api_key": {"env_var": "ACME_KEY"}}
ACME_KEY = "acme-CANARY-0123456789"


def _write(authsome: CommandLine, *, name: str = "acme.json", **more: object) -> Path:
    path = authsome.project / name
    path.write_text(json.dumps(ACME | more, indent=2))
    return path


# register


def test_a_definition_is_shown_put_in_place_and_usable(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    path = _write(authsome)
    done = authsome("register", "acme.json", "--yes")
    assert str(done) == snapshot
    placed = authsome.home / "providers" / "acme.json"
    assert placed.read_bytes() == path.read_bytes()
    assert (placed.stat().st_mode & 0o777, placed.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    authsome.login("acme", ACME_KEY)
    done = authsome("register", "acme.json")
    assert (done.code, done.out) == (0, "acme is registered already: ~/.authsome/providers/acme.json\n")


def test_a_definition_that_is_there_is_replaced_only_by_force_and_the_difference_is_shown(
    authsome: CommandLine, snapshot: SnapshotAssertion
) -> None:
    _write(authsome)
    authsome("register", "acme.json", "--yes")
    authsome.login("acme", ACME_KEY)
    _write(authsome, host_url=["api.acme.example", "api.openai.com"], private_addresses=True)
    before = (authsome.home / "providers" / "acme.json").read_bytes()
    refused = authsome("register", "acme.json", "--yes")
    assert (authsome.home / "providers" / "acme.json").read_bytes() == before
    forced = authsome("register", "acme.json", "--force", "--yes")
    assert f"{refused}\n\n{forced}" == snapshot
    assert "hosts differ from those agreed to (new: api.openai.com)" in authsome("check").out


def test_a_bundled_definition_is_replaced_only_by_force(authsome: CommandLine) -> None:
    (authsome.project / "mine.json").write_text(authsome("inspect", "g2").out.replace("api.g2.com", "g2.acme.example"))
    done = authsome("register", "mine.json", "--yes")
    assert (done.code, done.err.splitlines()[-1]) == (2, "Hint: to replace it: authsome register mine.json --force")
    answer = json.loads(authsome("register", "mine.json", "--yes", "--force", "--json").out)
    assert answer["replaced"] == "bundled"
    assert "the key may be sent to g2.acme.example" in answer["gained"]
    assert "the key may be sent to api.g2.com" in answer["lost"]
    assert json.loads(authsome("list", "--json").out)["connections"][0]["source"] == "custom"


def test_a_person_is_asked_before_a_definition_counts(authsome: CommandLine) -> None:
    _write(authsome)
    command: list[str | Path] = [EXECUTABLE, "register", "acme.json"]
    refusing = Person(command, authsome.environ(), authsome.project)
    assert refusing.sees("the key may be sent to api.acme.example")
    assert refusing.sees("Register acme? Type yes: ")
    refusing.types("no\n")
    assert refusing.ends() == 3
    assert not (authsome.home / "providers").exists()
    interrupted = Person(command, authsome.environ(), authsome.project)
    assert interrupted.sees("Type yes: ")
    interrupted.types("\x03")
    assert interrupted.ends() == 130
    assert not (authsome.home / "providers").exists()
    agreeing = Person(command, authsome.environ(), authsome.project)
    assert agreeing.sees("Type yes: ")
    agreeing.types("yes\n")
    assert agreeing.ends() == 0
    assert (authsome.home / "providers" / "acme.json").exists()


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{\n", 6, "standard input:2: expecting property name"),
        ('{\n"name": "acme",\n"hots": 1}', 6, "standard input:3: unknown key `hots` (and 1 more)"),
        ('{"name": "a/../b", "host_url": "a.example", "api_key": {}}', 6, "standard input:1: 'a/../b' is not a provid"),
        (
            '{"name": "acme", "api_key": {},\n"host_url": ["*.example"]}',
            6,
            "standard input:2: `*.example` is every host there is below `example`",
        ),
        ("", 6, "standard input:1: expecting value"),
        ("\udcff", 6, "standard input:1: not UTF-8 text"),
        (" " * (1 << 20) + "{", 6, "standard input is larger than 1 MiB"),
    ],
)
def test_a_wrong_definition_is_one_error_with_its_line(
    authsome: CommandLine, text: str, code: int, message: str
) -> None:
    done = subprocess.run(
        [EXECUTABLE, "register", "-", "--yes"],
        input=text.encode(errors="surrogateescape"),
        env=authsome.environ(),
        cwd=authsome.project,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.decode().startswith(f"Error: {message}")
    assert not authsome.home.exists()


def test_a_file_that_is_not_there_is_a_usage_error(authsome: CommandLine) -> None:
    assert authsome("register", "none.json").code == 2
    assert authsome("register", ".").code == 2


def test_an_own_definition_that_is_wrong_can_be_replaced(authsome: CommandLine) -> None:
    _write(authsome)
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "acme.json").write_text("{")
    done = authsome("register", "acme.json", "--yes")
    assert "already: ~/.authsome/providers/acme.json, which is wrong" in done.err
    assert authsome("register", "acme.json", "--yes", "--force").code == 0


# remove and revoke


def _several(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "team")
    authsome.login("g2", G2_TOKEN)


def test_remove_forgets_every_connection_of_a_provider(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    _several(authsome)
    authsome("set-default", "openai", "team")
    asked = authsome("remove", "openai")
    assert authsome("get", "openai").code == 0
    done = authsome("remove", "openai", "--yes")
    again = authsome("remove", "openai")
    assert "\n\n".join(map(str, (asked, done, again))) == snapshot
    assert [row["provider"] for row in json.loads(authsome("list", "--json").out)["connections"]] == ["g2"]
    assert not (authsome.home / "defaults.json").exists()


def test_one_connection_is_removed_without_a_question(authsome: CommandLine) -> None:
    _several(authsome)
    assert authsome("remove", "g2").out == "Removed g2 (default).\n"
    done = authsome("remove", "openai", "--connection", "team")
    assert done.out == "Removed openai (team).\n"
    assert "Still held: openai in ~/.authsome/profiles/default" in done.err
    assert authsome("remove", "openai", "--connection", "taem").code == 3


def test_revoke_says_that_a_key_stays_valid_and_where_to_end_it(
    authsome: CommandLine, snapshot: SnapshotAssertion
) -> None:
    _several(authsome)
    assert f"{authsome('revoke', 'g2')}\n\n{authsome('revoke', 'openai', '--yes', '--json')}" == snapshot
    assert authsome("revoke", "g2").code == 3


def test_a_key_of_a_provider_that_has_only_tokens_by_now_is_said_to_be_valid(authsome: CommandLine) -> None:
    _write(authsome)
    authsome("register", "acme.json", "--yes")
    authsome.login("acme", ACME_KEY)
    asks = {"authorization_url": "https://acme.example/page", "token_url": "https://acme.example/token"}
    _write(authsome, auth_type="oauth2", flow="pkce", api_key=None, oauth=asks)
    shown = authsome("register", "acme.json", "--yes", "--force").err
    assert '+ OAuth uses "token_url": "https://acme.example/token"' in shown
    done = authsome("revoke", "acme")
    assert (done.code, done.out) == (0, "Removed acme (default).\n")
    assert "the key is still valid. Delete it at the provider\n" in done.err


def test_removing_names_the_definition_that_stays(authsome: CommandLine) -> None:
    _write(authsome)
    authsome("register", "acme.json", "--yes")
    authsome.login("acme", ACME_KEY)
    done = authsome("remove", "acme")
    assert done.err.endswith("to delete it: rm ~/.authsome/providers/acme.json\n")
    assert (authsome.home / "providers" / "acme.json").exists()


def test_what_has_no_definition_any_more_and_what_is_damaged_can_be_removed(authsome: CommandLine) -> None:
    _write(authsome)
    authsome("register", "acme.json", "--yes")
    authsome.login("acme", ACME_KEY)
    authsome.login("g2", G2_TOKEN)
    (authsome.home / "providers" / "acme.json").unlink()
    (authsome.home / "profiles" / "default" / "connections" / "g2" / "default.age").write_text("damaged")
    assert authsome("remove", "acme").code == 0
    assert authsome("remove", "g2").code == 0


def test_remove_touches_the_projects_vault_only_when_told(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nproviders: {openai: }\n")
    authsome.login("openai", OPENAI_KEY, "--shared")
    done = authsome("remove", "openai")
    assert (done.code, done.err.splitlines()[-1]) == (2, "Hint: authsome remove openai --shared")
    assert authsome("remove", "openai", "--shared").code == 0


@pytest.mark.parametrize("line", ["remove openai", "revoke openai", "register x.json", "set-default openai team"])
def test_what_changes_secrets_is_sealed_inside_a_run(authsome: CommandLine, line: str) -> None:
    authsome.env = {"AUTHSOME_RUN": "1"}
    done = authsome(*line.split())
    assert (done.code, "is sealed inside a run" in done.err) == (7, True)


# whoami


def test_whoami_says_whose_secrets_count(authsome: CommandLine) -> None:
    assert "none yet, the first login makes one" in authsome("whoami").out
    assert not authsome.home.exists()
    authsome.login("openai", OPENAI_KEY)
    authsome.declare("version: 1\nproviders: {openai: }\n")
    answer = json.loads(authsome("whoami", "--json").out)
    assert answer["identity"]["recipient"].startswith("age1")
    assert answer["identity"]["origin"] == "~/.authsome/identity.txt"
    assert answer["identity"]["member"].startswith("tester@")
    assert (answer["profile"], answer["preset"], answer["home"]) == ("default", "default", "~/.authsome")
    assert answer["manifest"] == "~/project/authsome.yaml"
    assert (answer["locked"], answer["inside_run"]) == (None, False)
    assert answer["identity"]["recipient"] in authsome("whoami").out
    assert "SECRET" not in authsome("whoami").out


def test_whoami_does_not_ask_for_a_passphrase(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.env = {"AUTHSOME_IDENTITY": "nothing of the kind"}
    done = authsome("whoami")
    assert done.code == 4
    assert done.out.startswith("identity:  locked: AUTHSOME_IDENTITY holds no usable age identity\n")


def test_whoami_inside_a_run_does_not_touch_the_vault(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    done = authsome("run", "--", str(EXECUTABLE), "whoami", "--json")
    answer = json.loads(done.out)
    assert answer["inside_run"]
    assert (answer["identity"], answer["vaults"], answer["locked"]) == (None, [], None)


def test_a_locked_vault_is_shown_as_one() -> None:
    assert whoami(Here("work", "/h", None, "team", ("/h/profiles/work",), locked="no")).startswith(
        "identity:  locked: no"
    )


# help


def test_every_exit_code_has_a_meaning_of_its_own() -> None:
    meanings = [each.meaning for each in (*ExitCode, *RunExit)]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)


def test_every_variable_that_is_read_is_explained() -> None:
    source = "".join(path.read_text() for path in Path(package.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"AUTHSOME_[A-Z]+(?:_[A-Z]+)*", source)) == set(topics.VARIABLES)


def test_the_topics_read_like_the_manual(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    screens = [authsome(*line.split()) for line in ("help exit-codes", "help environment", "help profile lst")]
    assert "\n\n".join(map(str, screens)) == snapshot


def test_help_is_the_same_as_the_option(authsome: CommandLine) -> None:
    assert authsome("help").out == authsome("--help").out
    assert authsome("help", "login").out == authsome("login", "--help").out
    assert authsome("help", "profile", "use").out == authsome("profile", "use", "--help").out
    assert json.loads(authsome("help", "exit-codes", "--json").out)["commands"][2]["name"] == "usage"
    assert json.loads(authsome("--json", "help", "list").out)["topic"] == ["list"]
