"""The screens, as a manual would show them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from canary import ANTHROPIC_KEY, G2_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine, Done

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

README = Path(__file__).parent.parent / "README.md"


def _still(done: Done) -> str:
    """Return a screen without what differs from run to run."""
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z", str(done))


def _connected(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "team")
    authsome.login("g2", G2_TOKEN)
    authsome.declare(
        "version: 1\n"
        "providers:\n"
        "  openai: {why: main model}\n"
        "  anthropic: {required: false, why: fallback}\n"
        "  github: {scopes: [repo]}\n"
        "egress: {default: deny, allow: [packages.example.com]}\n"
    )


SCREENS = [
    "--help",
    "--version",
    "run --help",
    "doctor --help",
    "doctor",
    "login --help",
    "list",
    "list --json",
    "get openai",
    "get openai --json",
    "get openai --field status",
    "get openai --connection team --field placeholder",
    "get openai --connection taem",
    "get openai --field key",
    "get anthropic",
    "get opnai",
    "check",
    "check --json",
    "why --help",
    "why https://api.openai.com/v1/models?key=hidden",
    "why https://api.openai.com/v1/models --json",
    "why https://api.github.com/user",
    "why https://api.anthropic.com/v1/models",
    "why http://api.openai.com/v1/models",
    "why https://other.example/",
    "why ftp://user:hidden@other.example/",
    "run -- true",
    "inspect g2",
    "inspect openai --json",
    "login openai",
    "login openai --stdin",
    "login ../x",
    "login opnai",
    "login openai --connection A",
    "logout openai --connection team",
    "logout anthropic",
    "logout g2 --json",
    "export github",
    "export openai --format xml",
    "--profile a/b list",
    "--file other.yaml check",
    "lsit",
    "get",
    "list --jsno",
]


@pytest.mark.parametrize("line", SCREENS)
def test_a_screen_reads_like_the_manual(authsome: CommandLine, snapshot: SnapshotAssertion, line: str) -> None:
    _connected(authsome)
    assert _still(authsome(*line.split())) == snapshot


def test_the_screens_of_an_empty_home(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    screens = [_still(authsome(*line.split())) for line in ("list", "check", "get openai", "export")]
    assert "\n\n".join(screens) == snapshot
    assert not authsome.home.exists()


# The documented behaviour.


def test_login_says_the_documented_words(authsome: CommandLine) -> None:
    done = authsome("login", "openai", "--stdin", given=f"{OPENAI_KEY}  \n")
    assert (done.code, done.out) == (0, "Successfully logged in to openai (default).\n")
    assert done.err == "The key may be sent to: api.openai.com\n"
    done = authsome("login", "openai", "--connection", "team", "--stdin", given=OTHER_OPENAI_KEY)
    assert done.out == "Successfully logged in to openai (team).\n"


def test_a_wrong_key_says_the_documented_words(authsome: CommandLine) -> None:
    done = authsome("login", "openai", "--stdin", given="hello")
    assert done.code == 2
    assert done.err == (
        "Error: This does not look like a valid OpenAI API key.\n"
        "Hint: OpenAI API keys start with 'sk-' followed by at least 20 letters, digits, '_' or '-'.\n"
    )
    assert not authsome.home.exists()


def test_a_connection_is_shown_without_and_with_its_secret(authsome: CommandLine) -> None:
    _connected(authsome)
    assert authsome("get", "openai", "--field", "status").out == "connected\n"
    assert authsome("get", "openai", "--field", "api_key").out == "***\n"
    shown = authsome("get", "openai", "--field", "api_key", "--show-secret", reveals=True)
    assert shown.out == f"{OPENAI_KEY}\n"
    shown = authsome("get", "openai", "--connection", "team", "--field", "api_key", "--show-secret", reveals=True)
    assert shown.out == f"{OTHER_OPENAI_KEY}\n"


def test_force_replaces_and_its_absence_protects(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    done = authsome("login", "openai", "--stdin", given=OTHER_OPENAI_KEY)
    assert done.code == 2
    assert "authsome login openai --force" in done.err
    authsome.login("openai", OTHER_OPENAI_KEY, "--force")
    shown = authsome("get", "openai", "--field", "api_key", "--show-secret", reveals=True)
    assert shown.out == f"{OTHER_OPENAI_KEY}\n"


def test_a_definition_of_ones_own_round_trips_and_is_shown_as_custom(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    definition = authsome("inspect", "openai").out
    own = authsome.home / "providers" / "openai.json"
    # The shell empties the file before the command starts.
    command = ["sh", "-c", f"{EXECUTABLE} inspect openai > {own}"]
    subprocess.run(command, env=authsome.environ(), cwd=authsome.project, check=True)
    assert authsome("inspect", "openai").out == definition == own.read_text()
    rows = json.loads(authsome("list", "--json").out)["connections"]
    assert [(row["provider"], row["status"], row["source"]) for row in rows] == [("openai", "connected", "custom")]


def test_logout_forgets_one_connection(authsome: CommandLine) -> None:
    _connected(authsome)
    assert authsome("logout", "openai", "--connection", "team").out == "Logged out of openai (team).\n"
    assert authsome("get", "openai", "--connection", "team").code == 3
    assert authsome("get", "openai").code == 0


def test_the_child_holds_the_documented_placeholder(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("g2", G2_TOKEN)
    done = authsome("run", "--", "sh", "-c", "echo $OPENAI_API_KEY $G2_API_TOKEN")
    assert done.out == "authsome-proxy-managed authsome-proxy-managed\n"


def test_the_manifests_variable_holds_a_further_connections_placeholder(authsome: CommandLine) -> None:
    _connected(authsome)
    authsome.declare("version: 1\nproviders: {openai: {connections: {default: , team: {env: TEAM_KEY}}}}\n")
    done = authsome("run", "--", "sh", "-c", "echo $OPENAI_API_KEY $TEAM_KEY")
    assert done.out == "authsome-proxy-managed authsome-proxy-managed-team\n"


def test_a_variable_of_an_absent_connection_is_withheld(authsome: CommandLine) -> None:
    authsome.declare("version: 1\nproviders: {anthropic: {required: false}}\n")
    authsome.env = {"ANTHROPIC_API_KEY": ANTHROPIC_KEY}
    assert authsome("run", "--", "sh", "-c", "echo [$ANTHROPIC_API_KEY]").out == "[]\n"


@pytest.mark.parametrize("entry", ["{env: OTHER_KEY}", "{connections: {team: {required: false}}}"])
def test_no_manifest_can_let_a_real_key_of_its_provider_through(authsome: CommandLine, entry: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.declare(f"version: 1\nproviders: {{openai: {entry}}}\n")
    authsome.env = {"OPENAI_API_KEY": OTHER_OPENAI_KEY}
    assert authsome("run", "--", "sh", "-c", "echo [$OPENAI_API_KEY]").out == "[]\n"


def test_profiles_are_kept_apart(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY, "--profile", "work")
    assert authsome("get", "openai").code == 3
    assert authsome("get", "openai", "--profile", "work").code == 0
    authsome.env = {"AUTHSOME_PROFILE": "work"}
    assert authsome("--profile", "default", "get", "openai").code == 3
    assert authsome("get", "openai").code == 0
    authsome.env = {}
    authsome.declare("version: 1\nprofile: work\n")
    assert authsome("get", "openai").code == 0


# Bad input.


@pytest.mark.parametrize("given", ["", "  \n", "\n"])
def test_an_empty_standard_input_is_said(authsome: CommandLine, given: str) -> None:
    done = authsome("login", "openai", "--stdin", given=given)
    assert (done.code, done.err.splitlines()[0]) == (3, "Error: no key came on standard input")


def test_a_closed_standard_input_is_said(authsome: CommandLine) -> None:
    command = f"{EXECUTABLE} login openai --stdin <&-"
    done = subprocess.run(
        ["sh", "-c", command], env=authsome.environ(), cwd=authsome.project, capture_output=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith(b"Error: standard input is closed")


def test_binary_and_endless_standard_input_are_said(authsome: CommandLine) -> None:
    for source, message in (("printf '\\377'", b"not UTF-8"), ("yes", b"larger than 1 MiB")):
        done = subprocess.run(
            ["sh", "-c", f"{source} | {EXECUTABLE} login openai --stdin"],
            env=authsome.environ(),
            cwd=authsome.project,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 2
        assert message in done.stderr


def _no_home(authsome: CommandLine) -> None:
    authsome.home.write_text("a file")


def _read_only_home(authsome: CommandLine) -> None:
    """Mount the home read-only: permissions do not stop root."""
    authsome.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", authsome.home], check=True, capture_output=True)


def test_a_home_that_is_a_file_is_one_error(authsome: CommandLine) -> None:
    _no_home(authsome)
    done = authsome("login", "openai", "--stdin", given=OPENAI_KEY)
    assert done.code == 1
    assert done.err.startswith("Error: cannot create ~/.authsome")
    assert "AUTHSOME_HOME" in done.err
    assert authsome("list").code == 0


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_home_on_a_read_only_file_system_is_one_error(authsome: CommandLine) -> None:
    try:
        _read_only_home(authsome)
    except subprocess.CalledProcessError:
        pytest.skip("this machine forbids mounting")
    try:
        done = authsome("login", "openai", "--stdin", given=OPENAI_KEY)
        assert done.code == 1
        assert "read-only file system" in done.err
        assert authsome("run", "--", "true").code == 0
    finally:
        subprocess.run(["umount", authsome.home], check=True)


def test_an_unreadable_home_is_one_error(authsome: CommandLine, unprivileged: Callable[..., list[str]]) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.home.chmod(0o000)
    try:
        command = unprivileged([str(EXECUTABLE), "get", "openai"])
        done = subprocess.run(
            command, env=authsome.environ(), cwd=authsome.project, capture_output=True, text=True, check=False
        )
    finally:
        authsome.home.chmod(0o700)
    assert done.returncode in (1, 4)
    assert done.stderr.startswith("Error: cannot ")
    assert "Traceback" not in done.stderr


def test_a_broken_pipe_is_silent(authsome: CommandLine) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{EXECUTABLE} inspect github | true; echo ${{PIPESTATUS[0]}}"],
        env=authsome.environ(),
        cwd=authsome.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_a_bug_shows_no_values(authsome: CommandLine) -> None:
    """A vault file that is a folder is nothing the program expects."""
    authsome.login("openai", OPENAI_KEY)
    script = (
        "import sys, authsome.cli as cli, authsome.vault.folder as folder\n"
        "def broken(*_):\n"
        f"    secret = {OPENAI_KEY!r}\n"
        "    raise KeyError(secret)\n"
        "folder.Folder.read = broken\n"
        "sys.argv = ['authsome', 'get', 'openai']\n"
        "cli.main()\n"
    )
    import sys  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, "-c", script], env=authsome.environ(), cwd=authsome.project, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: unexpected KeyError, this is a bug in authsome")
    assert not sings(done.stdout + done.stderr)


def test_a_runtime_folder_that_cannot_be_used_is_passed_over(authsome: CommandLine) -> None:
    authsome.env = {"XDG_RUNTIME_DIR": "/proc/self", "TMPDIR": str(authsome.root)}
    done = authsome("run", "--", "sh", "-c", "echo $SSL_CERT_FILE")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("~/authsome-")


def test_the_readme_shows_every_command(authsome: CommandLine) -> None:
    shown = authsome("--help").out
    commands = re.findall(r"^  (\w+)  ", shown.partition("Commands:")[2], re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        assert f"authsome {command}" in README.read_text()


@pytest.fixture
def unprivileged() -> Callable[..., list[str]]:
    """Return how to run a command for which permissions count: root without its powers, or just the user."""
    if os.getuid() != 0:
        return lambda command: command
    if shutil.which("setpriv") is None:
        pytest.skip("the program `setpriv` is not installed")
    return lambda command: ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]


def test_verbose_says_what_is_served_and_what_is_withheld(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    done = authsome("run", "--verbose", "--", "true")
    assert done.err.startswith("authsome: serving openai; the agent holds placeholders")
    assert authsome("--quiet", "run", "--verbose", "--", "true").err == ""
