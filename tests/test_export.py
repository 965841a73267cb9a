import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from authsome.errors import AuthsomeError, ExitCode
from authsome.export import Format, render, variables
from authsome.manifest import Declared
from authsome.provider import Catalogue
from authsome.session import Session
from canary import OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from exported import IN_PROCESS, LONG, TELLING, k8s, written
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

ALL = [*Format]
TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("'\"\\$`%{}#\n\r\t =~n\0")), max_size=12)
MULTI_LINE = "-----BEGIN KEY-----\nabc==\n-----END KEY-----\n"


@pytest.mark.parametrize("reader", IN_PROCESS)
@settings(max_examples=150, deadline=None)
@given(value=TEXT)
def test_a_reader_gets_exactly_the_variable_or_it_is_refused(reader: str, value: str) -> None:
    form, read = IN_PROCESS[reader]
    text, expected = written(form, [value])
    assert not expected or read(text) == expected


@pytest.mark.parametrize("reader", IN_PROCESS)
def test_each_telling_value_arrives_exactly_or_is_refused(reader: str) -> None:
    form, read = IN_PROCESS[reader]
    for value in [*TELLING, LONG]:
        text, expected = written(form, [value])
        assert not expected or read(text) == expected


REFUSED: dict[Format, list[str]] = {
    Format.ENV: ["\0", "it's $HOME", "${HOME}", "'\"", "a\rb", "it's\\", "a\\\\b", "end\\", LONG],
    Format.SHELL: ["\0", LONG],
    Format.FISH: ["\0", LONG],
    Format.DIRENV: ["\0", LONG],
    Format.POWERSHELL: ["\0", "", LONG],
    Format.DOTENV: ["\0", "${HOME}", "a\rb", "'\" #"],
    Format.DOCKER: ["\0", "a\nb", "a\r", LONG],
    Format.GITLAB: ["\0", "a\nb", "a\r", "a b", "a ", "$HOME", "%HOME%", LONG],
    Format.GITHUB: ["\0", LONG],
    Format.K8S: [LONG + "x"],
    Format.JSON: [],
    Format.YAML: [],
}


@pytest.mark.parametrize("form", ALL)
def test_a_refusal_names_the_variable_and_a_format_that_carries_the_value(form: Format) -> None:
    for value in REFUSED[form]:
        with pytest.raises(AuthsomeError) as caught:
            render({"FIRST": "fine", "KEY": value}, form)
        assert caught.value.code is ExitCode.USAGE
        assert caught.value.message.startswith("the value of KEY ")
        others = [Format(name) for name in re.findall(r"`--format (\w+)`", caught.value.hint or "")]
        assert others
        for other in others:
            render({"KEY": value}, other)


@pytest.mark.parametrize("form", ALL)
def test_half_a_character_is_refused_by_every_format(form: Format) -> None:
    with pytest.raises(AuthsomeError, match="the value of KEY contains half a character"):
        render({"KEY": "a\udc80b"}, form)


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("name", ["A B", "A\nB=x", "", "1A", "A;id", "Ä", "A" * 256])
def test_a_name_that_is_no_variable_is_refused_by_every_format(form: Format, name: str) -> None:
    with pytest.raises(AuthsomeError, match="is not an environment variable"):
        render({name: "x"}, form)


@pytest.mark.parametrize("form", ALL)
def test_no_variables_are_a_file_that_its_reader_takes(form: Format) -> None:
    text = render({}, form)
    if form in (Format.JSON, Format.YAML):
        assert yaml.safe_load(text) == {}
    elif form is Format.K8S:
        assert k8s(text) == {}
    else:
        assert text == ""


@pytest.mark.parametrize("name", ["NO", "Y", "ON", "NULL", "E1", "_1"])
def test_yaml_takes_no_name_for_something_else(name: str) -> None:
    assert yaml.safe_load(render({name: "1"}, Format.YAML)) == {name: "1"}
    assert k8s(render({name: "1"}, Format.K8S)) == {name: "1"}


def test_a_secret_of_kubernetes_has_the_name_that_is_given() -> None:
    for name in ("team", "a.b-c.d1", "x" * 253):
        assert yaml.safe_load(render({"A": "x"}, Format.K8S, secret_name=name))["metadata"] == {"name": name}
    for wrong in ("Team", "-a", "a-", "a..b", "a_b", "a\nb", "", "x" * 254):
        with pytest.raises(AuthsomeError, match="is not the name of a Kubernetes Secret"):
            render({"A": "x"}, Format.K8S, secret_name=wrong)


def test_a_report_for_gitlab_is_smaller_than_gitlab_permits() -> None:
    room = 5 * 1024 - len("B=\n") - len("A=1\n") - 1
    assert len(render({"A": "1", "B": "x" * room}, Format.GITLAB).encode()) == 5 * 1024 - 1
    with pytest.raises(AuthsomeError, match="the value of B makes the report 5 KiB or more"):
        render({"A": "1", "B": "x" * (room + 1)}, Format.GITLAB)
    with pytest.raises(AuthsomeError, match="the value of V150 is one too many"):
        render({f"V{number}": "1" for number in range(151)}, Format.GITLAB)


def test_json_is_names_and_values() -> None:
    assert json.loads(render({"A": "x\n'\"☃\0"}, Format.JSON)) == {"A": "x\n'\"☃\0"}


# Which credentials.


def _declared(name: str, **env: str) -> Declared:
    return Declared(Catalogue(None).get(name), env=env)


def test_what_renews_a_login_is_never_exported() -> None:
    tokens = {"access_token": "access-CANARY", "refresh_token": "refresh-CANARY"}
    declared = _declared("github", GH_TOKEN="access_token", GH_REFRESH_TOKEN="refresh_token")
    assert variables((declared,), Session({declared.key: tokens})) == {"GH_TOKEN": "access-CANARY"}


def test_two_connections_that_claim_one_variable_are_an_error_that_names_both() -> None:
    one, other = _declared("openai", SHARED_KEY="api_key"), _declared("anthropic", SHARED_KEY="api_key")
    secrets = {each.key: {"api_key": "sk-CANARY"} for each in (one, other)}
    with pytest.raises(AuthsomeError, match="`openai` and `anthropic` both set SHARED_KEY") as caught:
        variables((one, other), Session(secrets))
    assert caught.value.code is ExitCode.INVALID
    assert "anthropic: {env: SHARED_KEY_2}" in (caught.value.hint or "")
    # One that is not held claims nothing.
    assert variables((one, other), Session({one.key: secrets[one.key]})) == {"SHARED_KEY": "sk-CANARY"}


# The command.


def test_nothing_but_data_is_on_standard_output(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    done = authsome("export", "openai", "--format", "env", reveals=True)
    assert (done.code, done.out, done.err) == (0, f"OPENAI_API_KEY={OPENAI_KEY}\n", "")


def test_the_command_writes_the_format_that_is_named(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    values = {"OPENAI_API_KEY": OPENAI_KEY}
    for form in (Format.POWERSHELL, Format.YAML, Format.GITLAB):
        done = authsome("export", "openai", "--format", form, reveals=True)
        assert (done.code, done.out) == (0, render(values, form))
        assert done.err.startswith("GitLab offers a report for download") if form == "gitlab" else not done.err
    done = authsome("export", "openai", "--format", "k8s", "--secret-name", "team.keys", reveals=True)
    assert (done.code, done.out) == (0, render(values, Format.K8S, secret_name="team.keys"))


def test_without_a_provider_everything_declared_is_exported(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OPENAI_KEY + "2", "--connection", "team")
    assert authsome("export", reveals=True).out == f"OPENAI_API_KEY={OPENAI_KEY}\n"
    authsome.declare(
        "version: 1\nproviders:\n  openai: {connections: {default: , team: {env: TEAM_KEY}}}\n  g2: {required: false}\n"
    )
    assert json.loads(authsome("export", "--format", "json", reveals=True).out) == {
        "OPENAI_API_KEY": OPENAI_KEY,
        "TEAM_KEY": OPENAI_KEY + "2",
    }


def test_a_further_connection_without_a_variable_takes_nobodys_place(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "team")
    authsome.declare("version: 1\nproviders:\n  openai: {connections: {default: , team: }}\n")
    done = authsome("export", reveals=True)
    assert (done.code, done.out) == (0, f"OPENAI_API_KEY={OPENAI_KEY}\n")
    assert "openai/team has no variable and was left out" in done.err


def test_a_connection_asked_for_by_name_has_its_providers_variable(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY, "--connection", "personal")
    done = authsome("export", "openai", "--connection", "personal", "--format", "env", reveals=True)
    assert done.out == f"OPENAI_API_KEY={OPENAI_KEY}\n"


def test_what_is_missing_is_an_error_with_the_command(authsome: CommandLine) -> None:
    done = authsome("export", "openai")
    assert (done.code, done.out) == (3, "")
    assert "authsome login openai" in done.err


def test_the_bytes_do_not_depend_on_the_locale(authsome: CommandLine) -> None:
    authsome.login("g2", "g2-CANARY-token")
    authsome.env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    assert authsome("export", "g2", reveals=True).out == "G2_API_TOKEN=g2-CANARY-token\n"


def _define(authsome: CommandLine, name: str) -> None:
    folder = authsome.home / "providers"
    folder.mkdir(parents=True, exist_ok=True)
    definition = {"name": name, "host_url": f"api.{name}.example", "api_key": {"env_var": "ACME_API_KEY"}}
    (folder / f"{name}.json").write_text(json.dumps(definition))
    authsome.login(name, f"{name}-CANARY-0123456789")


def test_two_definitions_of_ones_own_with_one_variable_are_told_apart_by_a_manifest(authsome: CommandLine) -> None:
    _define(authsome, "acme")
    _define(authsome, "acme-test")
    done = authsome("export")
    assert (done.code, done.out) == (6, "")
    assert "`acme` and `acme-test` both set ACME_API_KEY" in done.err
    # What the hint says mends it, word for word.
    said = re.search(r"`(providers: .*)`", done.err)
    assert said
    authsome.declare(f"version: 1\n{said[1]}\n")
    done = authsome("export", reveals=True)
    assert done.out == "ACME_API_KEY=acme-CANARY-0123456789\nACME_API_KEY_2=acme-test-CANARY-0123456789\n"
    authsome.declare("version: 1\nproviders: {acme: , acme-test: }\n")
    done = authsome("export")
    assert (done.code, done.out) == (6, "")
    assert "authsome.yaml:2" in done.err
    assert "env: ACME_API_KEY_2" in done.err


WRONG = [
    ("--format docer", "did you mean `docker`?"),
    ("--format xml", "formats: env, shell, fish, powershell, json, yaml, dotenv, docker, github, gitlab, k8s, direnv"),
    ("--secret-name team", "--secret-name is for `--format k8s`"),
    ("--format k8s --secret-name Team", "is not the name of a Kubernetes Secret"),
    ("--format github --json", "exclude each other"),
    ("--format github", "GITHUB_ENV is not set"),
]


def test_a_wrong_word_is_a_usage_error_before_anybody_is_asked(authsome: CommandLine) -> None:
    for words, said in WRONG:
        done = authsome("export", "openai", *words.split())
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    done = authsome("export", "--connection", "team")
    assert (done.code, done.out) == (2, "")
    assert "authsome export PROVIDER --connection team" in done.err
    assert not authsome.home.exists()


def test_the_help_names_every_format(authsome: CommandLine) -> None:
    said = re.sub(r"\s+", " ", authsome("export", "--help").out)
    assert f"{', '.join(ALL[:-1])} or {ALL[-1]}." in said


# On a terminal.


def _at_a_terminal(authsome: CommandLine, *words: str) -> tuple[int, str]:
    person = Person([EXECUTABLE, "export", "openai", *words], authsome.environ(), authsome.project)
    return person.ends(), person.screen


def test_a_terminal_shows_no_secret_unless_forced(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    for words in ([], ["--json"], ["--format", "shell"], ["--format", "github"]):
        code, screen = _at_a_terminal(authsome, *words)
        assert code == 2
        assert not sings(screen.encode())
        begin = '{"schema_version": 1, "kind": "error", "error": "' if "--json" in words else "Error: "
        assert screen.startswith(f"{begin}this would show secrets on the terminal")
        assert "or `--force` to see them" in screen
    for words in (["--format", "env"], ["--json"]):
        code, screen = _at_a_terminal(authsome, *words, "--force")
        assert code == 0
        assert OPENAI_KEY in screen


def test_the_pipe_that_a_terminal_is_told_to_use_works(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY, "--connection", "team")
    authsome.login("openai", OTHER_OPENAI_KEY)
    words = ["--connection", "team", "--format", "shell", "--identity", str(authsome.home / "identity.txt")]
    _, screen = _at_a_terminal(authsome, *words)
    said = re.search(r"Hint: (eval .*), or `--force` to see them", screen)
    assert said
    line = said[1].replace("authsome", shlex.quote(str(EXECUTABLE)), 1)
    done = subprocess.run(
        ["sh", "-c", f'{line}; printf %s "$OPENAI_API_KEY"'],
        cwd=authsome.project,
        env=authsome.environ(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == OPENAI_KEY


def test_nothing_heavy_is_imported_for_any_format(authsome: CommandLine, tmp_path: Path) -> None:
    authsome.login("openai", OPENAI_KEY)
    script = (
        "import sys; sys.argv = ['authsome', 'export', 'openai', '--format', 'k8s']\n"
        "from authsome.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "from authsome.export import Format, render\n"
        "for form in Format: render({'KEY': 'a%b'}, form)\n"
        "unwanted = 'pydantic ruamel rich httpx mitmproxy asyncio ssl werkzeug yaml http.client'\n"
        "found = [name for name in unwanted.split() if name in sys.modules]\n"
        "assert not found, found\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=authsome.environ(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
