"""Completion, as the shells do it."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from authsome.completion import Command, How, Offer, Option, Typed, offer, split_by_bash
from canary import G2_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY
from conftest import EXECUTABLE, CommandLine
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

LOGIN = Command(
    "login",
    "Store.",
    options=(Option(("--connection",), "connection"), Option(("--force", "-f"), None)),
    arguments=("provider",),
)
ROOT = Command(
    "authsome",
    commands={
        "login": LOGIN,
        "run": Command("run", options=(Option(("--fake-from",), "file"),), arguments=("command",), starts=True),
        "profile": Command("profile", commands={"use": Command("use", arguments=("name",))}),
        "help": Command("help", arguments=("topic",), endless=True),
    },
    options=(Option(("--profile",), "profile"), Option(("--json",), None)),
)


def _known(kind: str, typed: Typed) -> list[tuple[str, str]] | None:
    names = {
        "provider": ["openai", "github", "x; rm"],
        "connection": [f"of-{''.join(typed.values.get('provider', ['any']))}"],
        "profile": ["work"],
        "topic": [f"topic-{len(typed.values.get('topic', []))}"],
    }
    return None if kind == "file" else [(name, "") for name in names.get(kind, [])]


def _names(line: str) -> list[str]:
    words = line.split(" ")
    return [name for name, _ in offer(ROOT, words, len(words) - 1, _known).names]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("authsome ", ["login", "run", "profile", "help"]),
        ("authsome lo", ["login"]),
        ("authsome --json lo", ["login"]),
        ("authsome --profile ", ["work"]),
        ("authsome --profile work log", ["login"]),
        ("authsome --", ["--profile", "--json"]),
        ("authsome login ", ["openai", "github"]),
        ("authsome login o", ["openai"]),
        ("authsome login --force o", ["openai"]),
        ("authsome login --", ["--connection", "--force"]),
        ("authsome login github --connection ", ["of-github"]),
        ("authsome login --connection=", ["--connection=of-any"]),
        ("authsome login --connection x github --profile ", ["work"]),
        ("authsome login -- o", ["openai"]),
        ("authsome login openai ", []),
        ("authsome login openai x ", []),
        ("authsome lgoin ", []),
        ("authsome profile u", ["use"]),
        ("authsome help x y ", ["topic-2"]),
        ("authsome login --force=", []),
    ],
)
def test_a_line_gets_the_names_that_fit(line: str, names: list[str]) -> None:
    assert _names(line) == names


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ("authsome run ", 2),
        ("authsome run -- ", 3),
        ("authsome run -- python -m ", 3),
        ("authsome run python --json ", 2),
        ("authsome --json run --fake-from x -- git st", 6),
    ],
)
def test_what_is_run_is_the_shells_to_complete(line: str, start: int) -> None:
    words = line.split(" ")
    assert offer(ROOT, words, len(words) - 1, _known) == Offer(How.COMMAND, start=start)


def test_an_option_that_takes_a_file_gets_files() -> None:
    assert offer(ROOT, ["authsome", "run", "--fake-from", ""], 3, _known).how is How.FILES


@pytest.mark.parametrize("place", [-1, 0, 9])
def test_a_place_that_is_not_there_gets_nothing(place: int) -> None:
    assert offer(ROOT, ["authsome", "lo"], place, _known) == Offer()


def test_what_bash_splits_is_put_together_again() -> None:
    words = ["authsome", "login", "--connection", "=", "te"]
    assert split_by_bash(words, 4) == (["authsome", "login", "--connection=te"], 2)
    assert split_by_bash(words[:4], 3) == (["authsome", "login", "--connection="], 2)
    assert split_by_bash(["authsome", "run", "--", "a=b"], 3) == (["authsome", "run", "--", "a=b"], 3)


# The command line.


def _connected(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY, "--connection", "team")
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "tests")
    authsome.login("g2", G2_TOKEN, "--profile", "work")


def _offers(authsome: CommandLine, line: str, shell: str = "zsh") -> list[str]:
    words = line.split(" ")
    done = authsome("__complete", shell, str(len(words) - 1), *words)
    assert (done.code, done.err) == (0, "")
    return [row.partition("\t")[0] for row in done.out.splitlines()[1:]]


def test_names_are_those_that_there_are(authsome: CommandLine) -> None:
    _connected(authsome)
    assert {"openai", "github"} <= set(_offers(authsome, "authsome login "))
    assert _offers(authsome, "authsome get ") == ["openai"]
    assert _offers(authsome, "authsome get --profile work ") == ["g2"]
    assert _offers(authsome, "authsome get openai --connection te") == ["team", "tests"]
    assert _offers(authsome, "authsome get openai --connection = tea", "bash") == ["team"]
    assert _offers(authsome, "authsome profile use ") == ["default", "work"]
    assert "shell" in _offers(authsome, "authsome export --format s")
    assert _offers(authsome, "authsome import --format ") == ["auto", "dotenv", "json", "value"]
    assert _offers(authsome, "authsome import --connection te") == ["team", "tests"]
    assert _offers(authsome, "authsome list --available --category ") == ["ai", "dev", "business"]
    assert _offers(authsome, "authsome schema output/av") == ["output/available"]
    assert _offers(authsome, "authsome login github --flow ") == [
        *("api_key", "pkce", "device_code", "app_installation"),
    ]
    assert "client_credentials" in _offers(authsome, "authsome login --flow c")
    assert _offers(authsome, "authsome log s") == ["suggest-rules"]
    assert _offers(authsome, "authsome profile create x --preset t") == ["team"]
    assert _offers(authsome, "authsome help profile s") == ["show"]
    assert _offers(authsome, "authsome completion f") == ["fish"]
    assert _offers(authsome, "authsome providers ") == ["search", "lint", "new"]
    assert _offers(authsome, "authsome providers new --test") == ["--test-url"]
    assert authsome("__complete", "zsh", "3", "authsome", "providers", "lint", "").out == "files\n"


def test_nothing_is_decrypted_or_asked_for_a_name(authsome: CommandLine) -> None:
    _connected(authsome)
    (authsome.home / "identity.txt").write_text("lost")
    authsome.env = {"AUTHSOME_IDENTITY_COMMAND": f"touch {authsome.root}/asked"}
    assert _offers(authsome, "authsome get openai --connection te") == ["team", "tests"]
    assert not (authsome.root / "asked").exists()


def test_what_is_broken_offers_nothing_and_says_nothing(authsome: CommandLine) -> None:
    authsome.home.write_text("a file")
    authsome.declare("version: [")
    assert _offers(authsome, "authsome get openai --connection ") == []
    assert _offers(authsome, "authsome get --profile ../x ") != []
    assert _offers(authsome, "authsome profile use ") == []
    (authsome.project / "authsome.yaml").unlink()
    authsome.home.unlink()
    (authsome.home / "providers").mkdir(parents=True)
    (authsome.home / "providers" / "a b;$(touch x).json").write_text("{")
    assert "openai" in _offers(authsome, "authsome inspect ")
    assert not [name for name in _offers(authsome, "authsome inspect a") if " " in name]


def test_an_unknown_shell_gets_the_nearest(authsome: CommandLine) -> None:
    done = authsome("completion", "bsh")
    assert (done.code, done.err) == (2, "Error: there is no completion for `bsh`\nHint: did you mean `bash`?\n")
    assert json.loads(authsome("completion", "fish", "--json").out)["shell"] == "fish"


# The shells.


def _shell(authsome: CommandLine, name: str, *options: str, setup: str) -> Person:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"the program `{name}` is not installed")
    env = authsome.environ() | {
        "PATH": f"{EXECUTABLE.parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "xterm",
        "PS1": "> ",
        "HISTFILE": "",
    }
    person = Person([Path(program), *options], env, authsome.project)
    person.types(setup + "\n")
    person.types("echo rea''dy\n")
    assert person.sees("ready"), person.screen
    return person


SHELLS = {
    "bash": (("--norc", "--noprofile", "-i"), 'eval "$(authsome completion bash)"'),
    "zsh": (("-f", "-i"), 'autoload -Uz compinit; compinit -u -D; eval "$(authsome completion zsh)"'),
    "fish": (("--no-config", "-i"), "authsome completion fish | source"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes(authsome: CommandLine, shell: str) -> None:
    _connected(authsome)
    (authsome.project / "agent-of-mine.py").touch()
    options, setup = SHELLS[shell]
    person = _shell(authsome, shell, *options, setup=setup)
    for number, (typed, completed) in enumerate(LINES):
        said = authsome.project / f"said-{number}"
        person.types(typed)
        # From the line's start to its end: what stands there is written down, not run.
        person.types(f"\x01printf %s '\x05' > {said.name}.part; mv {said.name}.part {said.name}\n")
        assert _written(person, said).rstrip() == completed
    person.types("exit\n")
    assert person.ends() == 0


LINES = [
    ("authsome logo\t", "authsome logout"),
    ("authsome get open\t--connection tea\t", "authsome get openai --connection team"),
    ("authsome get --connection=tes\t", "authsome get --connection=tests"),
    ("authsome run -- cat agent-of\t", "authsome run -- cat agent-of-mine.py"),
    ("authsome run -- setpri\t", "authsome run -- setpriv"),
]


def _written(person: Person, path: Path) -> str:
    deadline = time.monotonic() + 15
    while not path.exists() and time.monotonic() < deadline:
        person.sees("\0", 0.05)
    assert path.exists(), person.screen
    return path.read_text()


def test_bash_offers_nothing_where_there_is_nothing(authsome: CommandLine) -> None:
    script = authsome("completion", "bash").out + (
        'COMP_WORDS=(authsome get --connection ""); COMP_CWORD=3; _authsome authsome; echo "[${COMPREPLY[*]}]"\n'
        'COMP_WORDS=(authsome lo); COMP_CWORD=1; _authsome authsome; echo "[${COMPREPLY[*]}]"\n'
    )
    env = authsome.environ() | {"PATH": f"{EXECUTABLE.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, cwd=authsome.project, capture_output=True, check=True)
    assert done.stdout.decode() == "[]\n[login logout log]\n"
    assert done.stderr == b""
