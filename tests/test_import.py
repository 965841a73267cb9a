"""Keys that lie about come into the vault, and placeholders take their place."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsome.cli.places import sources
from authsome.errors import AuthsomeError
from authsome.found import Form
from authsome.provider import Catalogue
from canary import ANTHROPIC_KEY, G2_TOKEN, GITHUB_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY, OUTSIDE, sings
from conftest import EXECUTABLE, Done
from disks import fill, small_disk
from octets import Arrived
from programs import needs_git
from repository import Clone
from scripted import Origin, Reply
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

HELD = "authsome-proxy-managed"
ACME_KEY = "acme-CANARY-0123456789"
TEXT = f"""\
# for the agent
DEBUG=1
export OPENAI_API_KEY="{OPENAI_KEY}"   # mine
GH_TOKEN={GITHUB_TOKEN}
G2_API_TOKEN=
"""
REPLACED = TEXT.replace(OPENAI_KEY, HELD).replace(GITHUB_TOKEN, HELD)
SCHEMA = Path(__file__).parent.parent / "authsome" / "schemas" / "output" / "import.json"


class Desk(Clone):
    """A machine whose project folder holds keys in the clear."""

    @property
    def project(self) -> Path:
        return self.root / OUTSIDE

    @property
    def file(self) -> Path:
        return self.project / ".env"

    def bring(self, *arguments: str, given: str = "", check: bool = False) -> Done:
        return self("import", *arguments, *(() if check else ("--no-check",)), given=given)

    def key(self, provider: str, connection: str = "default") -> str:
        entry = self.vault.read(provider, connection)
        return "".join(entry.fields.values()) if entry else ""

    def hold(self, provider: str, key: str) -> None:
        self.vault.write(Catalogue(self.home).get(provider), "default", {"api_key": key}, 0.0)

    def sits(self, *arguments: str) -> Person:
        return Person([EXECUTABLE, "import", *arguments], self.environ(), self.project)

    def program(self, name: str, script: str) -> None:
        """Put a program on the path."""
        path = self.project / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        self.env["PATH"] = f"{path.parent}:{os.environ['PATH']}"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.project.mkdir()
    made.file.write_text(TEXT)
    return made


def test_keys_are_stored_and_placeholders_stand_in_the_file(desk: Desk) -> None:
    done = desk.bring("--yes", "--replace")
    assert done.code == 0
    assert done.out == (
        "WHERE   VARIABLE        CONNECTION  RESULT\n"
        ".env:3  OPENAI_API_KEY  openai      stored, not checked; a placeholder now\n"
        ".env:4  GH_TOKEN        github      stored, not checked; a placeholder now\n"
        ".env:5  G2_API_TOKEN    g2          empty\n"
        "Not recognised: DEBUG\n"
    )
    assert done.err == (
        "openai: stored, not checked\n"
        "github: stored, not checked\n"
        "No copy was kept. What reads the placeholders has to be run by `authsome run`.\n"
    )
    assert desk.file.read_text() == REPLACED
    assert (desk.key("openai"), desk.key("github")) == (OPENAI_KEY, GITHUB_TOKEN)
    assert [each.name for each in desk.project.iterdir()] == [".env"]
    again = desk.bring()
    assert (again.code, again.err) == (0, again.err)
    assert again.out.count("already imported, this is the placeholder\n") == 2
    assert desk.file.read_text() == REPLACED


def test_in_json_it_says_the_same_and_keeps_to_its_schema(desk: Desk) -> None:
    done = desk.bring("--yes", "--json")
    assert done.err.endswith(".env still has them; to put placeholders there: authsome import .env --replace\n")
    said = json.loads(done.out)
    assert [(each["variable"], each["result"], each["replaced"]) for each in said["keys"]] == [
        ("OPENAI_API_KEY", "stored", False),
        ("GH_TOKEN", "stored", False),
        ("G2_API_TOKEN", "left", False),
    ]
    assert said["unrecognised"] == ["DEBUG"]
    assert desk.file.read_text() == TEXT
    schema = json.loads(SCHEMA.read_text())
    keys = schema["properties"]["keys"]["items"]
    assert set(said) == set(schema["properties"]) == set(schema["required"])
    assert {name for each in said["keys"] for name in each} == set(keys["properties"]) == set(keys["required"])
    assert {each["result"] for each in said["keys"]} <= set(keys["properties"]["result"]["enum"])
    assert set(said["files"][0]) == set(schema["properties"]["files"]["items"]["properties"])


def test_with_nobody_to_ask_nothing_is_stored(desk: Desk) -> None:
    done = desk.bring()
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith(
        "Error: this has to be agreed to, and there is nobody to ask\n"
        "Hint: say --yes; to see what it would do: --dry-run\n"
    )
    assert "openai may be sent to: api.openai.com\n" in done.err
    assert not desk.home.exists()
    dry = desk.bring("--dry-run", "--yes", "--replace")
    assert (dry.code, dry.out.count("would be stored\n"), dry.err) == (0, 2, "")
    assert not desk.home.exists()
    assert desk.file.read_text() == TEXT


@pytest.mark.parametrize(("words", "code", "text"), [("yes yes", 0, REPLACED), ("yes no", 0, TEXT), ("no", 3, TEXT)])
def test_a_person_is_asked_once_to_store_and_once_to_replace(desk: Desk, words: str, code: int, text: str) -> None:
    person = desk.sits("--no-check")
    for question, word in zip(
        ("Store 2 keys in ", "Replace 2 values in .env by placeholders?"), words.split(), strict=False
    ):
        assert person.sees(question)
        assert person.sees("Type yes: ")
        person.screen = person.screen.replace("Type yes: ", "")
        person.types(f"{word}\n")
    assert person.ends() == code
    assert desk.file.read_text() == text
    assert (desk.home / "profiles").exists() is (code == 0)
    assert not sings(person.screen.encode())


def test_what_is_stored_stays_when_it_is_interrupted(desk: Desk) -> None:
    person = desk.sits("--no-check")
    assert person.sees("Store 2 keys")
    person.types("yes\n")
    assert person.sees("Replace 2 values")
    person.types("\x03")
    assert person.ends() == 130
    assert "Traceback" not in person.screen
    assert desk.file.read_text() == TEXT
    assert desk.key("openai") == OPENAI_KEY


def test_a_doubt_is_a_persons_to_decide(desk: Desk) -> None:
    desk.file.write_text(f"OPENAI_API_KEY={ANTHROPIC_KEY}\nG2_API_TOKEN={G2_TOKEN}\n")
    alone = desk.bring("--yes")
    assert alone.code == 3
    why = "its name says OpenAI, its beginning Anthropic: --only OPENAI_API_KEY --provider anthropic"
    assert f"left out: in doubt: {why}\n" in alone.out
    assert (desk.key("anthropic"), desk.key("g2")) == ("", G2_TOKEN)
    person = desk.sits("--no-check", "--no-replace")
    assert person.sees("Is it for anthropic? Type yes: ")
    person.types("yes\n")
    assert person.sees("Store 1 key in ")
    person.types("yes\n")
    assert person.ends() == 0
    assert desk.key("anthropic") == ANTHROPIC_KEY


def test_a_key_that_is_held_stays_unless_forced(desk: Desk) -> None:
    desk.hold("openai", OTHER_OPENAI_KEY)
    desk.hold("github", GITHUB_TOKEN)
    done = desk.bring("--yes", "--replace")
    assert done.code == 3
    assert "openai      left out: another key is held: --force replaces it\n" in done.out
    assert "github      already held; a placeholder now\n" in done.out
    assert desk.file.read_text() == TEXT.replace(GITHUB_TOKEN, HELD)
    assert desk.key("openai") == OTHER_OPENAI_KEY
    assert desk.bring("--yes", "--force").code == 0
    assert desk.key("openai") == OPENAI_KEY


def test_a_key_of_another_account_gets_its_own_placeholder(desk: Desk) -> None:
    desk.file.write_text(f"OPENAI_API_KEY={OPENAI_KEY}\nTEAM={OTHER_OPENAI_KEY}\nCOPY={OTHER_OPENAI_KEY}\n")
    assert desk.bring("--yes", "--replace").code == 3
    options = ("--only", "TEAM", "--provider", "openai", "--connection", "team", "--yes", "--replace")
    done = desk.bring(*options)
    assert done.code == 0
    assert "The value of TEAM still stands in .env, line 3.\n" in done.err
    assert desk.file.read_text() == f"OPENAI_API_KEY={HELD}\nTEAM={HELD}-team\nCOPY={OTHER_OPENAI_KEY}\n"
    twin = desk.bring("--only", "COPY", "--provider", "openai", "--connection", "copy", "--yes")
    assert twin.code == 3
    assert "left out: This is the key of openai/team: for another account, take its own key\n" in twin.out


def test_the_manifest_says_which_account_a_variable_is_of(desk: Desk) -> None:
    desk.declare("version: 1\nproviders: {openai: {connections: {default: , team: {env: TEAM_KEY}}}}\n")
    desk.file.write_text(f"OPENAI_API_KEY={OPENAI_KEY}\nTEAM_KEY={OTHER_OPENAI_KEY}\n")
    assert desk.bring("--yes").code == 0
    assert (desk.key("openai"), desk.key("openai", "team")) == (OPENAI_KEY, OTHER_OPENAI_KEY)


def test_standard_input_and_the_environment_are_places_too(desk: Desk) -> None:
    piped = desk.bring("--stdin", "--yes", given=json.dumps({"OPENAI_API_KEY": OPENAI_KEY, "nested": {"a": ""}}))
    assert (piped.code, piped.out.splitlines()[-1]) == (0, "Not recognised: nested")
    assert desk.bring("--stdin", "--yes", given=f"G2_API_TOKEN='{G2_TOKEN}'\n").code == 0
    desk.env["GITHUB_TOKEN"] = GITHUB_TOKEN
    done = desk.bring("--env", "--yes")
    assert done.err.endswith("They are still in the environment of this shell: unset GITHUB_TOKEN\n")
    assert (done.code, done.out.count("\n")) == (0, 2)
    assert (desk.key("openai"), desk.key("g2"), desk.key("github")) == (OPENAI_KEY, G2_TOKEN, GITHUB_TOKEN)
    assert desk.file.read_text() == TEXT


def test_a_program_prints_keys_and_its_words_reach_the_terminal(desk: Desk) -> None:
    alone = '[ -z "$AUTHSOME_IDENTITY_FILE" ] || exit 9; [ "$1 $2" = "read op://a b/c" ] || exit 8'
    desk.program("op", f"{alone}; echo unlocking >&2; echo {ANTHROPIC_KEY}")
    desk.program("vault", f'echo \'{{"GH_TOKEN": "{GITHUB_TOKEN}"}}\'')
    desk.program("pass", f"printf 'G2_API_TOKEN={G2_TOKEN}\\nurl=x\\n'")
    done = desk.bring("--command", "op read 'op://a b/c'", "--yes")
    assert (done.code, done.err) == (0, "unlocking\nanthropic: stored, not checked\n")
    assert "the command  the value  anthropic   stored, not checked\n" in done.out
    desk.env["AUTHSOME_IDENTITY_FILE"] = str(desk.home / "identity.txt")
    assert desk.bring("--command", "op read 'op://a b/c'", "--yes").out.endswith("already held\n")
    assert desk.bring("--command", "vault kv get x", "--yes").code == 0
    assert desk.bring("--command", "pass show x", "--yes").code == 0
    assert (desk.key("anthropic"), desk.key("g2"), desk.key("github")) == (ANTHROPIC_KEY, G2_TOKEN, GITHUB_TOKEN)


def _refused(arguments: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(AuthsomeError) as caught:
        sources(**{"files": [], "form": Form.AUTO} | arguments)
    assert not sings(f"{caught.value.message}{caught.value.hint}".encode())
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("false CANARY", 3, "--command: `false` ended with 1"),
        ("true CANARY", 3, "--command: `true` printed nothing"),
        ("yes CANARY", 3, "--command: `yes` printed more than what is imported can be"),
        ("no-such-program CANARY", 3, "--command: cannot run `no-such-program`: no such file or directory"),
        ("'open CANARY", 3, "--command: does not parse: no closing quotation"),
        ("", 3, "--command: names no program"),
        ("sh -c 'kill -9 $$'", 3, "--command: `sh` was ended by signal 9"),
        ("printf 'CANARY\\377'", 2, "what the command printed is not UTF-8 text (line 1)"),
    ],
)
def test_a_program_that_gives_no_key_is_said_so(program: str, code: int, said: str) -> None:
    assert _refused({"program": program}) == (code, said)


def test_what_a_program_says_of_nobody_is_a_persons_to_name(desk: Desk) -> None:
    done = desk.bring("--command", f"echo {'x' * 20}", "--yes")
    assert (done.code, done.err) == (
        2,
        "Error: whose key the command gives cannot be told\nHint: say it: --provider NAME\n",
    )
    done = desk.bring("--command", f"printf '%s\\nuser: x' {G2_TOKEN}", "--provider", "g2", "--yes")
    assert (done.code, done.out.splitlines()[-1].endswith("left out: several lines")) == (3, True)
    assert not desk.home.exists()


@pytest.fixture
def acme(desk: Desk) -> Iterator[Origin]:
    """Return the origin of a provider `acme`, which knows one key."""
    (desk.root / "origin").mkdir()
    origin = Origin(desk.root / "origin")
    origin.script = _knows
    where = f"https://localhost:{origin.port}"
    for name in ("acme", "other"):
        key = {"env_var": f"{name.upper()}_KEY"}
        definition = {"name": name, "host_url": where, "api_key": key, "test": {"url": f"{where}/{name}"}}
        (desk.home / "providers").mkdir(parents=True, exist_ok=True)
        (desk.home / "providers" / f"{name}.json").write_text(json.dumps(definition))
    desk.env = {"SSL_CERT_FILE": str(origin.roots)}
    yield origin
    origin.close()


def _knows(request: Arrived) -> Reply:
    return Reply(status=200 if request.values(b"authorization") == [f"Bearer {ACME_KEY}".encode()] else 401)


def test_a_key_that_is_refused_costs_no_other_anything(desk: Desk, acme: Origin) -> None:
    desk.file.write_text(f"OTHER_KEY=wrong-{ACME_KEY}\nACME_KEY={ACME_KEY}\n")
    done = desk.bring("--yes", "--replace", check=True)
    assert done.code == 8
    assert f"other refuses this key: localhost:{acme.port} answered 401" in done.out
    assert "acme        stored; acme accepts it; a placeholder now\n" in done.out
    assert desk.file.read_text() == f"OTHER_KEY=wrong-{ACME_KEY}\nACME_KEY={HELD}\n"
    assert len(acme.arrived) == 2
    person = desk.sits("--no-replace")
    assert person.sees("Store 1 key in ")
    person.types("yes\n")
    assert person.sees("Store it all the same? Type yes: ")
    person.types("yes\n")
    assert person.ends() == 0
    assert desk.key("other") == f"wrong-{ACME_KEY}"


@needs_git
def test_what_git_still_has_is_said_with_the_commit(desk: Desk) -> None:
    desk.git("init", "-q", "-b", "main")
    desk.commit(f"a subject with {OPENAI_KEY}")
    commit = desk.git("rev-parse", "--short=12", "HEAD").stdout.strip()
    day = desk.git("log", "-1", "--format=%as").stdout.strip()
    kept = desk.bring("--yes")
    assert ".env is tracked by git: the next commit has its keys.\n" in kept.err
    done = desk.bring("--replace", "--json")
    assert done.err == (
        "The keys are still staged; to stage the placeholders: git add .env\n"
        f"Git's history has the key of openai since commit {commit} of {day} by tester.\n"
        "  Whoever has a clone has it: end it at https://platform.openai.com/api-keys,"
        " and log in with a new one: authsome login openai --force\n"
        f"Git's history has the key of github since commit {commit} of {day} by tester.\n"
        "  Whoever has a clone has it: end it at https://github.com/settings/tokens,"
        " and log in with a new one: authsome login github --force\n"
        "No copy was kept. What reads the placeholders has to be run by `authsome run`.\n"
    )
    said = json.loads(done.out)
    assert said["keys"][0]["since"]["name"].startswith(commit)
    assert said["files"] == [{"path": ".env", "tracked": True, "searched": True}]


def test_what_keeps_the_file_from_being_replaced_keeps_no_key_from_being_stored(desk: Desk) -> None:
    (desk.root / OUTSIDE / "deep").mkdir()
    (desk.root / OUTSIDE / "deep" / ".env").symlink_to("../.env")
    done = desk.bring("deep/.env", "--yes", "--replace")
    assert done.code == 3
    assert done.err.endswith("Error: deep/.env is a link that leads out of its folder\nHint: name ~/outside/.env\n")
    assert desk.key("openai") == OPENAI_KEY
    assert desk.file.read_text() == TEXT
    with small_disk(desk.project / "disk", 64) as disk:
        (disk / ".env").write_text(TEXT + "#\n" * 8000)
        fill(disk, leaving=0)
        done = desk.bring("disk/.env", "--yes", "--replace")
        assert done.code == 1
        assert (
            done.err
            == "Error: cannot write ~/outside/disk/.env: no space left on device\nHint: disk/.env is as it was\n"
        )
        assert (disk / ".env").read_text().startswith(TEXT)


def test_several_files_are_one_import(desk: Desk) -> None:
    (desk.project / "more.env").write_bytes(f"OPENAI_API_KEY={OPENAI_KEY}\r\nG2_API_TOKEN='{G2_TOKEN}'".encode())
    done = desk.bring(".env", "more.env", "--yes", "--replace")
    assert done.code == 0
    assert "more.env:1  OPENAI_API_KEY  openai      stored, not checked; a placeholder now\n" in done.out
    assert (desk.project / "more.env").read_bytes() == f"OPENAI_API_KEY={HELD}\r\nG2_API_TOKEN='{HELD}'".encode()
    (desk.project / "keys.json").write_text(json.dumps({"GH_TOKEN": GITHUB_TOKEN}))
    done = desk.bring("keys.json", "--yes", "--replace")
    assert (done.code, done.out.splitlines()[-1].split(None, 3)[-1]) == (0, "already held")
    assert done.err == "keys.json still has them; only files of `NAME=value` lines are rewritten.\n"


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert _refused({}) == (2, "there is no .env here")
    assert _refused({"files": [Path("pipe")]}) == (2, "pipe is not a regular file")
    assert _refused({"files": [Path()]}) == (2, "cannot read .: is a directory")
    assert _refused({"files": [Path("none")]}) == (2, "cannot read none: no such file or directory")
    both = "files, --env, --stdin and --command exclude each other"
    assert _refused({"files": [Path("none")], "env": True}) == (2, both)


def test_what_is_said_wrong_is_named(desk: Desk) -> None:
    for arguments, said in (
        (("--format", "yaml"), "there is no format `yaml`"),
        (("--provider", "opnai"), "there is no provider `opnai`"),
        (("--connection", "../x"), "'../x' is not a connection name"),
        (("--only", "X"), "there is no variable 'X' in what was read"),
        (("--provider", "openai"), "--provider says whose one key is, and here are several"),
    ):
        done = desk.bring(*arguments)
        assert (done.code, done.err.startswith(f"Error: {said}\n")) == (2, True), done
    desk.env["AUTHSOME_RUN"] = "1"
    assert desk.bring().code == 7
    assert not desk.home.exists()


def test_into_a_projects_vault_on_request(desk: Desk) -> None:
    desk.declare("version: 1\n")
    done = desk.bring("--yes", "--shared")
    assert done.code == 0
    assert "All members of ~/outside/.authsome/profiles/default have them once they are checked in.\n" in done.err
    assert list(desk.held()) == [("github", "default"), ("openai", "default")]


def test_an_import_loads_neither_page_nor_web_client(desk: Desk) -> None:
    desk.program(
        "look",
        f"exec {EXECUTABLE.parent}/python -c \"import sys; sys.argv = ['authsome', 'import', '--yes', '--no-check']\n"
        "from authsome.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "print([name for name in 'httpx pydantic mitmproxy ruamel.yaml rich asyncio ssl werkzeug'.split()"
        ' if name in sys.modules])"',
    )
    done = subprocess.run(["look"], cwd=desk.project, env=desk.environ(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
