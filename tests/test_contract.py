"""What every command keeps to: its answer in JSON is as its schema says, data is data and talk is talk, on any screen.

Each command has a line in CASES; one that has none fails the first test.
"""

import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from jsonschema import Draft7Validator

import authsome.cli
from authsome import audit, screens
from authsome.audit import chain, process
from authsome.cli import frame
from authsome.provider import Catalogue
from authsome.rules import Use
from authsome.vault import Identity, Vault, joining, roster
from authsome.vault.age import fingerprint
from authsome.vault.keyring import Member
from canary import ANTHROPIC_KEY, G2_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from forked import Server, serving
from programs import needs_git
from repository import clone, shared_project
from schemas import FOLDER, make
from terminal import Person

pytest_plugins = ["forked_fixtures"]

PASSPHRASE = "correct CANARY battery staple"

# Nothing that a screen could lack: no colour, no width, no character beyond ASCII, in no locale at all.
POOR = {"COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"} | {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}


@dataclass(frozen=True)
class Case:
    """A command line and what it answers.

    Attributes:
        kind: The schema of its answer in JSON, below `output/` unless it says otherwise.
        state: The machine it is called on, see `_STATES`.
        said: Whether something is said even with `--quiet`.
        anew: Whether each call has another answer.
    """

    line: str
    kind: str
    state: str = "mine"
    code: int = 0
    given: str = ""
    reveals: bool = False
    said: bool = False
    anew: bool = False


CASES = [
    Case("check", "plan"),
    Case("check --drift", "drift"),
    Case("completion bash", "completion"),
    Case("--file team.yaml check", "plan", code=3),
    Case("demo", "demo", anew=True),
    Case("doctor --clients", "clients", code=8),
    Case("export openai", "export", reveals=True),
    Case("export", "export", reveals=True),
    Case("get openai", "connection"),
    Case("get openai --field status", "connection"),
    Case("get openai --connection team --show-secret", "connection", reveals=True),
    Case("help", "help"),
    Case("help login", "help"),
    Case("help exit-codes", "exit_codes"),
    Case("help environment", "environment"),
    Case("identity create", "identity", state="empty", anew=True),
    Case("identity rotate", "identity_rotation", anew=True),
    Case("identity show", "identity"),
    Case("import --stdin --yes --no-check", "import", given=f"ANTHROPIC_API_KEY={ANTHROPIC_KEY}\nOTHER=1\n"),
    Case("init --yes", "init", state="code"),
    Case("inspect github", "definition"),
    Case("inspect acme", "definition"),
    Case("list", "list"),
    Case("list", "list", state="empty"),
    Case("list --exposed", "exposed"),
    Case("list --available --category ai", "available"),
    Case("log", "log"),
    Case("log --last --lines 1", "log"),
    Case("log --verify", "verdict"),
    Case("log suggest-rules", "rules"),
    Case("login anthropic --stdin", "login", given=ANTHROPIC_KEY),
    Case("logout openai --connection team", "logout"),
    Case("profile create client", "profile", anew=True),
    Case("profile list", "profiles"),
    Case("profile remove work --yes", "profile_removed"),
    Case("profile show", "profile"),
    Case("profile show", "profile", state="stranger"),
    Case("profile use work", "profile_choice"),
    Case("providers lint {definition}", "providers_linted"),
    Case("providers new fresh --host api.fresh.example", "providers_written"),
    Case("providers search mail", "providers_found"),
    Case("recipients add {new}", "recipients_added"),
    Case("recipients join --name eve", "join", state="stranger", anew=True),
    Case("recipients join", "join", state="guest"),
    Case("recipients list", "recipients"),
    Case("recipients remove bob --yes", "recipients_removed", anew=True),
    Case("recipients review", "requests"),
    Case("recipients review --accept {asking}", "recipients_reviewed"),
    Case("recipients review --reject {asking}", "recipients_reviewed"),
    Case("register {definition} --yes", "register"),
    Case("remove openai --yes", "remove"),
    Case("revoke g2 --yes", "revoke"),
    Case("set-default openai team", "default_connection"),
    Case("schema", "http://json-schema.org/draft-07/schema#"),
    Case("schema output/list", "http://json-schema.org/draft-07/schema#"),
    Case("schema --list", "schemas"),
    Case("test", "test", state="empty", code=3),
    Case("test g2", "test", code=3, said=True),
    Case("trust --yes", "trust", state="guest"),
    Case("--file part/authsome.yaml trust --yes", "trust", state="code"),
    Case("vault export --to new.age --recipient {mine}", "vault_export", anew=True),
    Case("vault import {root}/backup.age", "vault_import"),
    Case("vault import {root}/backup.age", "vault_import", state="identity", said=True),
    Case("vault resolve", "vault_resolve", state="merging", code=3, anew=True),
    Case("vault textconv {home}/profiles/default/connections/openai/team.age", "vault_file"),
    Case("vault textconv {home}/profiles/default/keyring.age", "vault_file"),
    Case("vault textconv authsome.yaml", "vault_file"),
    Case("vault verify", "vault"),
    Case("vault verify .authsome", "vault", state="guest"),
    Case("whoami", "whoami"),
    Case("whoami", "whoami", state="empty"),
    Case("why https://api.openai.com/v1/models", "why"),
    Case("why https://api.github.com/user", "why", code=8),
]
ELSEWHERE = {
    "run": "its standard output is the agent's",
    "identity protect": "it asks; see the test with a person at the terminal",
    "identity unprotect": "it asks; see the test with a person at the terminal",
}


@cache
def _commands() -> Mapping[str, Any]:
    """Return every command that is registered, by its whole name."""
    for each in pkgutil.iter_modules(authsome.cli.__path__):
        importlib.import_module(f"authsome.cli.{each.name}")
    commands: dict[str, Any] = {}
    for name, found in cast("Any", typer.main.get_command(frame.app)).commands.items():
        if found.hidden:  # nobody types it
            continue
        below = getattr(found, "commands", None)
        commands |= {f"{name} {inner}": each for inner, each in below.items()} if below else {name: found}
    return commands


def _named(case: Case) -> str | None:
    words = re.sub(r"^(--\w+ \S+ )+", "", case.line)
    return next((name for name in _commands() if f"{words} ".startswith(f"{name} ")), None)


def test_every_command_has_a_case_here() -> None:
    without = set(_commands()) - {_named(case) for case in CASES} - set(ELSEWHERE)
    assert not without, f"give each of these a line in CASES, with the kind of its answer: {sorted(without)}"


def test_every_schema_of_an_answer_is_the_answer_of_some_command() -> None:
    known = {path.stem for path in (FOLDER / "output").iterdir()}
    seen = {case.kind for case in CASES} - {"definition", "http://json-schema.org/draft-07/schema#"}
    assert known == seen | {"error", "log_line"}


# The machines.


class Machine(CommandLine):
    """A home and a project that are put back to what they were before each command."""

    def __init__(self, root: Path, templates: Path, forking: Server, poor: Server) -> None:
        super().__init__(root)
        self.templates, self._forking, self._poor = templates, forking, poor
        self.facts: dict[str, str] = {"root": str(root), "home": str(root / "home")}

    def keep(self, state: str) -> None:
        shutil.move(self.root, self.templates / state)

    def become(self, state: str) -> "Machine":
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.templates / state, self.root, symlinks=True)
        # `doctor` tries what is on PATH: one client that does not work is enough here.
        self.env = {"PATH": f"{self.root}/bin"}
        return self

    def start(self, *arguments: str, given: str | None = "") -> "subprocess.CompletedProcess[bytes]":
        environ = self.environ()
        server = self._poor if environ.items() >= POOR.items() else self._forking
        return server.ask(arguments, given or "", environ, self.project, self.templates / ".said")

    def does(self, case: Case, *options: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        self.become(case.state).env |= env
        done = self.start(*options, *shlex.split(case.line.format(**self.facts)), given=case.given)
        assert done.returncode == case.code, done
        assert case.reveals or not sings(done.stdout + done.stderr), f"`authsome {case.line}` leaked a canary"
        return done


USES = [
    ("r1", Use(1_790_000_000.0, "POST", "api.openai.com", "/v1/responses", "inject", "openai", 200, 120, 4096, 812.4)),
    ("r2", Use(1_790_000_001.0, "CONNECT", "packages.example.com", "", "tunnel", None, None, 900, 70000, 3000.0)),
    ("r2", Use(1_790_000_002.0, "GET", "api.openai.com", "/v1/models/a:", "pass", "openai", 200, 0, 90, 9)),
]
MANIFEST = """
version: 1
providers:
  openai: {why: schönes Modell, allow: [/v1/**]}
  anthropic: {required: false, why: "fällt zurück \\ud83d"}
egress: {default: deny, allow: [packages.example.com]}
"""


def _vault(machine: Machine, profile: str = "default", **more: Any) -> Vault:
    return Vault(machine.home, profile, {"HOME": str(machine.root)}, **more)


def _empty(machine: Machine) -> None:
    machine.project.mkdir(parents=True)
    (machine.root / "bin").mkdir()
    (machine.root / "bin" / "curl").symlink_to(shutil.which("true") or "/bin/true")  # which asks nobody for anything


def _mine(machine: Machine) -> None:
    """A home with credentials, members, a former member, somebody who asks, and uses; a manifest with umlauts."""
    _empty(machine)
    catalogue, vault = Catalogue(machine.home), _vault(machine)
    for provider, connection, key in [
        *(("openai", "default", OPENAI_KEY), ("openai", "team", OTHER_OPENAI_KEY), ("g2", "default", G2_TOKEN)),
    ]:
        vault.write(catalogue.get(provider), connection, {"api_key": key}, now=0.0)
    people = {name: Identity.generate(name).recipient for name in ("bob", "cleo", "dora", "new")}
    roster.add(vault.own, [Member(name, people[name]) for name in ("bob", "cleo")])
    roster.remove(vault.own, "cleo", now=0.0)
    joining.write_request(vault.own.path, "dora", people["dora"])
    _vault(machine, "work").write(catalogue.get("g2"), "default", {"api_key": G2_TOKEN}, now=0.0)
    own = {"$schema": "../schema.json", "name": "acme", "host_url": "api.acme.example", "api_key": {}}
    (machine.home / "providers" / "acme.json").write_text(json.dumps(own))
    for run, use in USES:
        client = process.Process(4000, "python") if run == "r2" else None
        chain.append(audit.place(machine.home), [audit.render(use, run, "default", client)])
    machine.declare(MANIFEST)
    (machine.project / "team.yaml").write_text("version: 1\nproviders: {github: , openai: {connections: {team: }}}\n")
    mine = next(each.recipient for each in vault.own.keys().roster if each.name != "bob")
    definition = machine.root / "other.json"
    definition.write_text(json.dumps({"name": "other", "host_url": "api.other.example", "api_key": {}}))
    machine.facts["definition"] = str(definition)
    machine.facts |= people | {"mine": mine, "asking": fingerprint(people["dora"])}
    made = machine("vault", "export", "--to", str(machine.root / "backup.age"), "--recipient", mine)
    assert made.code == 0, made


def _code(machine: Machine) -> None:
    """A repository that uses a provider and has no manifest yet; a part of it brings a definition of its own."""
    _empty(machine)
    (machine.project / "agent.py").write_text('import openai, os\nkey = os.environ["OPENAI_API_KEY"]\n')
    folder = machine.project / "part" / ".authsome" / "providers"
    folder.mkdir(parents=True)
    (folder / "acme.json").write_text(json.dumps({"name": "acme", "host_url": "api.acme.example", "api_key": {}}))
    (machine.project / "part" / "authsome.yaml").write_text("version: 1\nproviders: {acme: {scrub: off}}\n")


def _identity(machine: Machine) -> None:
    """A home that holds the identity of the first one, and nothing else."""
    _empty(machine)
    machine.home.mkdir(mode=0o700)
    for name in ("home/identity.txt", "backup.age"):
        shutil.copy2(machine.templates / "mine" / name, machine.root / name)


def _shared(machine: Machine) -> None:
    """A project with a vault that somebody else has made."""
    _empty(machine)
    ada = CommandLine(machine.root / "ada")
    catalogue = Catalogue(ada.home)
    vault = Vault(ada.home, "default", {"HOME": str(ada.root)}, project=machine.project)
    vault.write(catalogue.get("openai"), "default", {"api_key": OPENAI_KEY}, 0.0, shared=True)
    machine.declare("version: 1\nproviders: {openai: }\n")


def _guest(machine: Machine) -> None:
    """A member of a project's vault, who has not accepted it yet."""
    _shared(machine)
    shutil.copytree(machine.templates / "identity" / "home", machine.home)
    ada = Vault(machine.root / "ada" / "home", "default", {"HOME": str(machine.root / "ada")}, project=machine.project)
    assert ada.shared
    roster.add(ada.shared, [Member("me", machine.facts["mine"])])


def _merging(machine: Machine) -> None:
    """A member's project in git, in the middle of a merge: both sides have let somebody in, one changed a key."""
    ada = shared_project(machine.root)
    ada.put("openai", "default", OPENAI_KEY)
    ben = clone(ada, machine.root / "ben")
    for who, name in ((ada, "cleo"), (ben, "dora")):
        assert who.vault.shared
        roster.add(who.vault.shared, [Member(name, Identity.generate(name).recipient)])
        who.put("openai", "default", OTHER_OPENAI_KEY if who is ben else f"{OPENAI_KEY}x", now=1.0)
        who.commit(name)
    assert ada.merge(ben)
    (machine.root / "bin").mkdir()
    (machine.root / "bin" / "git").symlink_to(shutil.which("git") or "git")


_STATES = {
    "empty": _empty,
    "mine": _mine,
    "identity": _identity,
    "stranger": _shared,
    "guest": _guest,
    "code": _code,
} | ({"merging": _merging} if shutil.which("git") else {})
EACH = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case.line} ({case.state})", marks=needs_git if case.state == "merging" else ())
        for case in CASES
    ],
)


@pytest.fixture(scope="module")
def poor() -> Iterator[Server]:
    """What forks interpreters that have started on a poor screen: they choose how to write as they start."""
    with serving(POOR) as server:
        yield server


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, forking: Server, poor: Server) -> Machine:
    folder = tmp_path_factory.mktemp("contract")
    made = Machine(folder / "é", folder, forking, poor)
    for state, furnish in _STATES.items():
        furnish(made)
        made.keep(state)
    return made


def _valid(answer: Any, schema: Mapping[str, Any]) -> None:
    problems = [f"{each.json_path}: {each.message}" for each in Draft7Validator(schema).iter_errors(answer)]
    assert not problems, problems


def _schema(kind: str) -> Mapping[str, Any]:
    if kind.startswith("http"):
        return cast("Mapping[str, Any]", Draft7Validator.META_SCHEMA)
    text = make("definition") if kind == "definition" else (FOLDER / "output" / f"{kind}.json").read_text()
    return cast("Mapping[str, Any]", json.loads(text))


# The answers.


@EACH
def test_an_answer_in_json_is_what_its_schema_says(machine: Machine, case: Case) -> None:
    done = machine.does(case, "--json")
    answer = json.loads(done.stdout)
    _valid(answer, _schema(case.kind))
    if (FOLDER / "output" / f"{case.kind}.json").exists():
        assert (answer["schema_version"], answer["kind"]) == (screens.SCHEMA_VERSION, case.kind)


@EACH
def test_a_poor_screen_and_quiet_lose_no_data_and_no_talk_is_data(machine: Machine, case: Case) -> None:
    poor = machine.does(case, "--no-color", **POOR)
    assert b"\x1b" not in poor.stdout + poor.stderr
    assert poor.stderr.isascii()
    assert poor.stdout.decode()
    if not poor.stderr:
        return
    quiet = machine.does(case, "--quiet")
    assert case.said or not quiet.stderr, quiet.stderr
    if case.anew:
        assert quiet.stdout.count(b"\n") == poor.stdout.count(b"\n")
    else:
        assert quiet.stdout == poor.stdout


def test_answers_are_utf_8_in_any_locale(machine: Machine) -> None:
    for options in (["--json"], []):
        for line in ("check", "profile show"):
            plain, poor = (machine.does(Case(line, "any"), *options, **env).stdout for env in ({}, POOR))
            assert plain == poor
            assert "é" in plain.decode() or "ö" in plain.decode()


def test_a_person_at_the_terminal_gets_an_answer_in_json_too(machine: Machine) -> None:
    machine.become("mine")
    answers = machine.root / "answer.json"
    new = [("New passphrase of", PASSPHRASE), ("The same again", PASSPHRASE)]
    for words, status, typed in (
        ("identity protect", "protected", new),
        ("identity unprotect", "unprotected", [("Passphrase of", PASSPHRASE)]),
    ):
        shell = ["/bin/sh", "-c", f"exec {EXECUTABLE} --json {words} > {answers}"]
        person = Person(shell, machine.environ(), machine.project)
        for prompt, text in typed:
            assert person.sees(prompt), person.screen
            person.types(f"{text}\n")
        assert person.ends() == 0, person.screen
        answer = json.loads(answers.read_text())
        _valid(answer, _schema("identity"))
        assert answer["status"] == status


def test_ctrl_c_is_said_in_words_and_in_json(machine: Machine) -> None:
    for options in ([], ["--json"]):
        machine.become("empty")
        person = Person([EXECUTABLE, *options, "login", "openai", "--terminal"], machine.environ(), machine.project)
        assert person.sees("(input is hidden): "), person.screen
        person.screen = ""
        person.types("\x03")
        assert person.ends() == 130
        if options:
            _valid(json.loads(person.screen), _schema("error"))
        else:
            assert person.screen == "\nInterrupted, nothing was left half done.\n"
        assert not machine.home.exists()


def test_following_the_log_in_json_is_a_line_for_each_use(machine: Machine) -> None:
    machine.become("mine")
    following = subprocess.Popen(
        [EXECUTABLE, "log", "--follow", "--json"],
        env=machine.environ(),
        cwd=machine.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert following.stdout
    assert following.stderr
    lines = [json.loads(following.stdout.readline()) for _ in USES]
    following.stdout.close()
    assert following.wait(timeout=20) == 0
    assert following.stderr.read() == b""
    following.stderr.close()
    for line in lines:
        _valid(line, _schema("log_line"))


# The errors.


@pytest.mark.parametrize(
    "case",
    [
        Case("lsit", "error", code=2),
        Case("", "error", code=2),
        Case("profile", "error", code=2),
        Case("list --nothing", "error", code=2),
        Case("get", "error", code=2),
        Case("get opnai", "error", code=2),
        Case("get anthropic", "error", code=3),
        Case("providers search xyzzy", "error", code=3),
        Case("providers new", "error", code=3),
        Case("export github", "error", code=3),
        Case("login openai --stdin --force", "error", code=3),
        Case("identity protect", "error", code=4),
        Case("--file none.yaml check", "error", code=6),
        Case("schema output/lits", "error", code=2),
        Case("trust", "error", state="guest", code=3),
        Case("get openai", "error", state="guest", code=7),
        Case("get openai", "error", state="stranger", code=4),
    ],
    ids=lambda case: case.line or "nothing",
)
def test_an_error_in_json_is_the_last_line_of_standard_error_and_nothing_is_answered(
    machine: Machine, case: Case
) -> None:
    done = machine.does(case, "--json")
    assert done.stdout == b""
    error = json.loads(done.stderr.splitlines()[-1])
    _valid(error, _schema("error"))
    assert error["exit_code"] == case.code
    assert b"Error: " not in done.stderr


def test_an_answer_that_ends_with_an_error_is_whole_all_the_same(machine: Machine) -> None:
    machine.become("mine")
    entry = machine.home / "profiles" / "default" / "connections" / "openai" / "default.age"
    entry.write_bytes(entry.read_bytes()[:-100])
    log = audit.place(machine.home) / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"r1", b"r9"))
    for words, kind in (("check", "plan"), ("log --verify", "verdict")):
        done = machine.start("--json", *words.split())
        assert done.returncode == 5
        _valid(json.loads(done.stdout), _schema(kind))
        _valid(json.loads(done.stderr.splitlines()[-1]), _schema("error"))


def test_what_run_has_to_say_is_said_in_words(machine: Machine) -> None:
    machine.become("empty")
    for words in (["run", "--json", "--", "nothing-is-called-so"], ["run", "--json", "--nothing", "--", "true"]):
        done = machine(*words)
        assert done.err.startswith("Error: "), done


def test_a_bug_in_json_is_one_line_without_values(machine: Machine) -> None:
    machine.become("mine")
    script = (
        "import sys, authsome.cli as cli, authsome.vault.folder as folder\n"
        "def broken(*_):\n"
        f"    raise KeyError({OPENAI_KEY!r})\n"
        "folder.Folder.read = broken\n"
        "sys.argv = ['authsome', 'get', 'openai', '--json']\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=machine.environ(), cwd=machine.project, capture_output=True, check=False
    )
    _valid(json.loads(done.stderr.splitlines()[-1]), _schema("error"))
    assert (done.returncode, done.stdout, sings(done.stderr)) == (1, b"", False)


# The files.

_BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version: 1\nproviders: {}\n" + "#" * 5_000_000, "is larger than 1 MiB"),
        (f"version: 1\n{_BOMB}", ":1: too large or nested too deeply"),
        ("version: 1\nproviders: " + "[" * 6000, ":2: too large or nested too deeply"),
        ("version: 1\nproviders: " + "{a: " * 6000, ":2: too large or nested too deeply"),
        ("version: 1\nproviders:\n  openai:\n  openai:\n", ':4: found duplicate key "openai"'),
        ("version: 1\nproviders:\n\topenai:\n", ":3: found character '\\t' that cannot start any token"),
        ("version: 1\nprofile: a\0b\n", ":1: not valid YAML"),
        ("version: 1\nprofile: !!python/object:os.system x\n", ":2: "),
        ("version: 1\n---\nversion: 1\n", ":2: "),
        ("version: 1\nproviders: *missing\n", ":2: "),
        ("version: 1\nproviders: {<<: {openai: }, github: , openai: []}\n", ":2: "),
        ("version: 1\nproviders: {openai: {why: [x]}}\n", ":2: `providers.openai.why`: must be text"),
        ("version: 1".encode("utf-16"), ":1: not UTF-8 text"),
        (b"version: 1\nprofile: \xe9\n", ":2: not UTF-8 text"),
    ],
    ids=lambda value: ascii(value[:40]) if isinstance(value, str) else "octets",
)
def test_a_manifest_that_cannot_be_read_is_one_error_with_its_place(
    machine: Machine, content: str | bytes, message: str
) -> None:
    machine.become("empty")
    path = machine.project / "authsome.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = machine("check")
    assert (done.code, done.out) == (6, "")
    assert done.err.startswith(f"Error: ~/project/authsome.yaml{message if message[0] == ':' else f' {message}'}"), done


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_mark_of_another_system_are_no_mistake(machine: Machine, mark: str) -> None:
    machine.become("empty")
    text = f"{mark}version: 1\r\nproviders:\r\n  openai: {{required: false}}\r\n"
    (machine.project / "authsome.yaml").write_bytes(text.encode())
    assert machine("check").code == 0
    (machine.home / "providers").mkdir(parents=True)
    own = f'{mark}{{"name": "acme",\r\n"host_url": "api.acme.example",\r\n"api_key": {{}}}}\r\n'
    (machine.home / "providers" / "acme.json").write_bytes(own.encode())
    assert json.loads(machine("inspect", "acme").out)["name"] == "acme"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"name": "acme",\n"name": "acme"}', ":2: the key `name` stands there twice"),
        ('{"name": "acme"\n"host_url": 1}', ":2: "),
        ("{" + '"a":{' * 50_000, ":1: nested too deeply"),
        ('{"name": "acme\0"}', ":1: "),
        (" " * 5_000_000, "is larger than 1 MiB"),
        ('{"name": "acme", "host_url": "api.acme.example", "api_key": {"header_nmae": "x"}}', ":1: unknown key"),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_a_definition_that_cannot_be_read_is_one_error_with_its_place(
    machine: Machine, content: str, message: str
) -> None:
    machine.become("empty")
    (machine.home / "providers").mkdir(parents=True)
    (machine.home / "providers" / "acme.json").write_text(content)
    done = machine("inspect", "acme")
    assert (done.code, done.out) == (6, "")
    start = "Error: ~/.authsome/providers/acme.json"
    assert done.err.startswith(f"{start}{message if message[0] == ':' else f' {message}'}"), done


# The streams.


def _shell(machine: Machine, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script.replace("authsome", str(EXECUTABLE))],
        env=machine.environ() | {"PATH": os.environ["PATH"]},
        cwd=machine.project,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", ["list", "--help", "log -h", "--version", "get openai --field status", "schema"])
def test_a_full_disk_is_one_error(machine: Machine, words: str) -> None:
    done = _shell(machine.become("mine"), f"authsome {words} > /dev/full")
    assert done.stderr.startswith("Error: cannot write standard output: no space left on device\nHint: ")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 2)


def test_a_full_disk_is_an_error_in_json_too(machine: Machine) -> None:
    done = _shell(machine.become("mine"), "authsome list --json > /dev/full")
    assert json.loads(done.stderr)["exit_code"] == done.returncode == 1


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("authsome list | head -0; exit ${PIPESTATUS[0]}", 0),
        ("authsome --help | head -0; exit ${PIPESTATUS[0]}", 0),
        ("authsome schema | true; exit ${PIPESTATUS[0]}", 0),
        ("authsome get nothing 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", 2),
        ("authsome lsit 2> /dev/full", 2),
        ("authsome get nothing 2>&-", 2),
        ("authsome list >&-", 0),
        ("authsome --help >&-", 0),
        ("authsome list <&- >&- 2>&-", 0),
        ("authsome get nothing <&- >&- 2>&-", 2),
        ("authsome list <&- > /dev/null", 0),
    ],
)
def test_a_stream_that_nobody_reads_or_that_is_closed_is_silent(machine: Machine, script: str, code: int) -> None:
    done = _shell(machine.become("mine"), script)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_a_backup_to_nowhere_is_no_backup(machine: Machine) -> None:
    export = f"authsome vault export --to - --recipient {machine.facts['mine']}"
    for script, reason in ((f"{export} >&-", "standard output is closed"), (f"{export} > /dev/full", "cannot write")):
        done = _shell(machine.become("mine"), script)
        assert done.returncode != 0
        assert done.stderr.startswith(f"Error: {reason}"), done


def test_what_is_said_on_a_closed_standard_error_is_not_data(machine: Machine) -> None:
    done = _shell(machine.become("mine"), "authsome logout g2 2>&-")
    assert (done.returncode, done.stdout) == (0, "Logged out of g2 (default).\n")


# The help.


@pytest.fixture
def help_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, int], str]:
    def shown(found: Any, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        return frame.help_text(found.make_context("authsome", [], resilient_parsing=True))

    return shown


def test_help_fits_a_narrow_terminal_and_is_the_same_words(help_at: Callable[[Any, int], str]) -> None:
    for name, found in (*_commands().items(), ("authsome", typer.main.get_command(frame.app))):
        wide, narrow = help_at(found, 80), help_at(found, 40)
        assert "".join(narrow.split()) == "".join(wide.split()), name
        assert all(len(line) <= 40 or " " not in line.strip() for line in narrow.splitlines()), narrow
        # But for what may be repeated.
        assert "..." not in re.sub(r"\[[A-Z]+\]\.\.\.|\b[A-Z]+\.\.\.", "", narrow), narrow
        # A word may be divided at its hyphen, and nowhere else.
        assert set(re.split(r"[\s-]+", wide)) >= set(re.split(r"[\s-]+", narrow)), name


def test_every_command_shows_an_example(help_at: Callable[[Any, int], str]) -> None:
    for name, found in _commands().items():
        assert re.search(rf"\n  Example: .*authsome {name}\b", help_at(found, 80)), name
