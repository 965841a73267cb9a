"""Names as people mistype them, and as attackers write them."""

from pathlib import Path

import pytest

from canary import OPENAI_KEY, OTHER_OPENAI_KEY
from conftest import CommandLine, Done

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

NO_NAMES = [
    *("", " ", ".", "..", "/", "a/b", "../openai", "/etc/passwd", "openai/", "-", "openai\n", "open ai"),
    *("OPENAI", "оpenai", "openaı", "openai\u200b", "ｏpenai", "openai\u202e", "con", "nul", "x" * 64, "x" * 300),
    *("openai.json", "~", "$HOME", "*", "%2e%2e", "\x1b[2J", "\udcff", "😀", "_openai"),
]
PLACES = [
    ("get", "{}"),
    ("get", "openai", "--connection", "{}"),
    ("login", "{}", "--stdin"),
    ("login", "openai", "--stdin", "--connection", "{}"),
    ("logout", "{}"),
    ("logout", "openai", "--connection", "{}"),
    ("remove", "{}", "--yes"),
    ("remove", "openai", "--yes", "--connection", "{}"),
    ("revoke", "{}", "--yes"),
    ("revoke", "openai", "--connection", "{}"),
    ("inspect", "{}"),
    ("export", "{}"),
    ("export", "openai", "--connection", "{}"),
    ("set-default", "{}", "team"),
    ("set-default", "openai", "{}"),
    ("profile", "create", "{}"),
    ("profile", "use", "{}"),
    ("profile", "show", "{}"),
    ("profile", "remove", "{}", "--yes"),
    ("list", "--profile", "{}"),
    ("providers", "new", "{}", "--host", "api.acme.example"),
    ("providers", "lint", "{}"),
    ("completion", "{}"),
    ("help", "{}"),
    ("export", "openai", "--format", "{}"),
    ("get", "openai", "--field", "{}"),
    ("profile", "create", "some", "--preset", "{}"),
    ("{}",),
]


def _connected(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("openai", OTHER_OPENAI_KEY, "--connection", "team")


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _is_one_error(done: Done) -> bool:
    lines = done.err.splitlines()
    return lines[:1] != [] and lines[0].startswith("Error: ") and done.out == "" and "unexpected" not in lines[0]


def _commands() -> list[list[str]]:
    """Return every name in one place, and a few names in every place."""
    few = ("", "../openai", "x" * 300)
    pairs = [(PLACES[0], name) for name in NO_NAMES] + [(place, name) for place in PLACES[1:] for name in few]
    return [[word.replace("{}", name) for word in place] for place, name in pairs]


def test_what_is_no_name_is_one_error_and_changes_nothing(authsome: CommandLine) -> None:
    _connected(authsome)
    before = _files(authsome.root)
    for words in _commands():
        done = authsome(*words)
        assert done.code == 2, done
        assert _is_one_error(done), done
        assert done.err.replace("\n", "").isprintable()
        assert len(done.err) < 1500, done
    assert _files(authsome.root) == before


@pytest.mark.parametrize("line", ["list --file=", "list --identity=", "--profile= list", "run --profile= -- true"])
def test_an_option_that_is_empty_is_not_one_that_is_left_out(authsome: CommandLine, line: str) -> None:
    """In a script that is a variable which nobody has set."""
    authsome.login("openai", OPENAI_KEY)
    done = authsome(*line.split())
    assert done.code == (125 if line.startswith("run") else 2)
    assert _is_one_error(done)


NEAREST = [
    ("get opnai", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("login opnai --stdin", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("logout opnai", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("remove opnai", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("revoke opnai", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("inspect opnai", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("export opnai", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("set-default opnai team", 2, "there is no provider `opnai`", "did you mean `openai`?"),
    ("get openai --connection taem", 3, "openai (taem) is not connected", "did you mean `team`?"),
    ("logout openai --connection taem", 3, "openai (taem) is not connected", "did you mean `team`?"),
    ("remove openai --connection taem", 3, "openai (taem) is not connected", "did you mean `team`?"),
    ("revoke openai --connection taem", 3, "openai (taem) is not connected", "did you mean `team`?"),
    ("set-default openai taem", 3, "openai (taem) is not connected", "did you mean `team`?"),
    ("get openai --connection zzz", 3, "openai (zzz) is not connected", "it has: default, team"),
    ("get anthropic", 3, "anthropic (default) is not connected", "authsome login anthropic"),
    ("remove anthropic", 3, "anthropic is not connected", "authsome login anthropic"),
    (
        "set-default anthropic team",
        3,
        "anthropic (team) is not connected",
        "authsome login anthropic --connection team",
    ),
    ("export openai --connection taem", 3, "openai (taem) is not connected", "did you mean `team`?"),
    ("get openai --field staus", 2, "openai has no field `staus`", "did you mean `status`?"),
    ("export openai --format shel", 2, "there is no format `shel`", "did you mean `shell`?"),
    ("profile show defualt", 3, "there is no profile `defualt`", "did you mean `default`?"),
    ("profile use defualt", 3, "there is no profile `defualt`", "did you mean `default`?"),
    ("profile remove defualt", 3, "there is no profile `defualt`", "did you mean `default`?"),
    ("completion zhs", 2, "there is no completion for `zhs`", "did you mean `zsh`?"),
    ("lgin openai", 2, "`authsome` has no command `lgin`", "did you mean `login`?"),
    ("profile shwo", 2, "`authsome profile` has no command `shwo`", "did you mean `show`?"),
    ("set-defualt openai team", 2, "`authsome` has no command `set-defualt`", "did you mean `set-default`?"),
    ("xyzzy", 2, "`authsome` has no command `xyzzy`", "authsome --help"),
    ("get openai --conection x", 2, "`authsome get` has no option `--conection`", "did you mean `--connection`?"),
    ("--jsno list", 2, "`authsome` has no option `--jsno`", "did you mean `--json`?"),
    ("check --xyzzy", 2, "`authsome check` has no option `--xyzzy`", "authsome check --help"),
    ("export --format", 2, "option '--format' requires an argument", "authsome export --help"),
    ("run --profile", 125, "option '--profile' requires an argument", "authsome run --help"),
    (
        "list --exposed --available",
        2,
        "--exposed is about what is held, --available and --category about what could be",
        "authsome list --exposed",
    ),
    (
        "import --env --only HOMME",
        2,
        "there is no variable 'HOMME' in what was read",
        "did you mean `HOME`?",
    ),
    ("remove", 2, "missing argument 'PROVIDER'", "authsome remove --help"),
    ("remove openai g2", 2, "got unexpected extra argument(s) (g2)", "authsome remove --help"),
    ("providers search opnai", 3, "nothing is known of `opnai`", "If not, write a definition: authsome providers new"),
    ("providers serach opnai", 2, "`authsome providers` has no command `serach`", "did you mean `search`?"),
    ("help lgin", 2, "`authsome` has no command `lgin`", "did you mean `login`?"),
]


def test_a_wrong_name_gets_the_nearest_and_the_right_exit_code(authsome: CommandLine) -> None:
    _connected(authsome)
    for line, code, message, hint in NEAREST:
        done = authsome(*line.split())
        assert done.code == code, done
        first, second = done.err.splitlines()[:2]
        assert first == f"Error: {message}", done
        assert second.startswith("Hint: "), done
        assert second.endswith(hint), done
        assert done.out == ""
