import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from authsome.errors import AuthsomeError
from authsome.export import Format, render
from canary import OPENAI_KEY
from conftest import CommandLine

# Each program prints the value of KEY that it read from the file "vars", and nothing else.
_PRINT_SH = 'printf %s "$KEY"'
READERS = {
    "eval": ["sh", "-c", f'eval "$(cat vars)"; {_PRINT_SH}'],
    "set -a": [
        "sh",
        "-c",
        f"set -a; . ./vars; exec {sys.executable} -c 'import os,sys; sys.stdout.buffer.write(os.environb[b\"KEY\"])'",
    ],
    "bash": ["bash", "-c", f"set -a; source ./vars; {_PRINT_SH}"],
    "python-dotenv": [
        sys.executable,
        "-c",
        "import sys, dotenv; sys.stdout.buffer.write(dotenv.dotenv_values('vars', encoding='utf-8')['KEY'].encode())",
    ],
    "node --env-file": ["node", "--env-file=vars", "-e", "process.stdout.write(process.env.KEY)"],
}
TELLING = [
    *(
        "plain-value_1.0/=+:@%,",
        "with space",
        "it's",
        'say "hi"',
        "a$b",
        "$(touch x)",
        "`touch x`",
        "a\nb",
        "ünïcödé ☃",
    ),
    *("#not a comment", "a #b", "=", "a\\nb", "a\\b", "tab\there", "~", "*", "!x", "{a,b}", "it's #1", "x;y&z|w<>()"),
    *('{"type": "service_account", "key": "-----BEGIN\\nEND-----"}', "-----BEGIN KEY-----\nabc==\n-----END KEY-----\n"),
]


def _read(reader: str, tmp_path: Path) -> bytes:
    command = READERS[reader]
    if shutil.which(command[0]) is None:
        pytest.skip(f"the program `{command[0]}` is not installed")
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True).stdout


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("value", TELLING)
def test_every_reader_of_env_lines_gets_the_same_bytes(reader: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "vars").write_bytes(render({"KEY": value}, Format.ENV).encode())
    assert _read(reader, tmp_path) == value.encode()


@pytest.mark.parametrize("reader", ["eval", "set -a", "bash"])
@pytest.mark.parametrize("value", [*TELLING, "it's $HOME", "${HOME}", "'\"$`\\", "a\rb", "end\\"])
def test_a_shell_gets_the_same_bytes_from_shell_lines(reader: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "vars").write_bytes(render({"KEY": value}, Format.SHELL).encode())
    assert _read(reader, tmp_path) == value.encode()


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12))
def test_env_lines_mean_the_same_to_all_readers_or_are_refused(tmp_path: Path, value: str) -> None:
    try:
        text = render({"KEY": value}, Format.ENV)
    except AuthsomeError as error:
        assert error.hint
        return
    (tmp_path / "vars").write_bytes(text.encode())
    for reader in ("eval", "python-dotenv", "node --env-file"):
        assert _read(reader, tmp_path) == value.encode(), reader


@pytest.mark.parametrize("value", ["it's $HOME", "${HOME}", "'\"", "a\rb", "it's\\", "a\\\\b", "end\\", "nul\0"])
def test_a_value_that_readers_would_read_differently_is_refused(value: str) -> None:
    with pytest.raises(AuthsomeError) as caught:
        render({"KEY": value}, Format.ENV)
    assert caught.value.message.startswith("the value of KEY contains")
    assert "--format shell" in (caught.value.hint or "")


def test_json_is_names_and_values() -> None:
    assert json.loads(render({"A": "x\n'\"☃"}, Format.JSON)) == {"A": "x\n'\"☃"}


def test_nothing_but_data_is_on_standard_output(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    done = authsome("export", "openai", "--format", "env", reveals=True)
    assert (done.code, done.out, done.err) == (0, f"OPENAI_API_KEY={OPENAI_KEY}\n", "")


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
