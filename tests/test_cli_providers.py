"""`authsome providers`: what a person who looks for a definition, or writes one, sees."""

import json
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from authsome import sketch
from canary import CANARY
from conftest import EXECUTABLE, CommandLine
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")


def _own(authsome: CommandLine, name: str, text: str) -> Path:
    path = authsome.home / "providers" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


ACME = json.dumps({"name": "acme", "host_url": "mail.acme.example", "api_key": {"env_var": "ACME_KEY"}}, indent=1)


# Searching.


def test_a_search_finds_the_bundled_ones_and_ones_own_and_says_whose_they_are(authsome: CommandLine) -> None:
    _own(authsome, "acme", ACME)
    _own(authsome, "broken", "{")
    done = authsome("providers", "search", "mail")
    rows = [line.split() for line in done.out.splitlines()]
    assert done.code == 0
    assert ["mailgun", "Mailgun", "business", "bundled", "mailgun"] in rows
    assert ["acme", "acme", "-", "custom", "mail.acme.example"] in rows
    assert done.err.startswith("Left out: ~/.authsome/providers/broken.json:1: ")


def test_a_definition_of_the_project_that_nobody_trusts_is_found_too(authsome: CommandLine) -> None:
    authsome.declare("version: 1\n")
    folder = authsome.project / ".authsome" / "providers"
    folder.mkdir(parents=True)
    (folder / "acme.json").write_text(ACME)
    answer = json.loads(authsome("providers", "search", "acme", "--json").out)
    (found,) = answer["providers"]
    assert (found["provider"], found["source"], found["variables"]) == ("acme", "project", ["ACME_KEY"])


def test_what_is_not_found_is_said_with_the_nearest_and_the_way_to_a_new_one(authsome: CommandLine) -> None:
    done = authsome("providers", "search", "opnai")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "Error: nothing is known of `opnai`\n"
        "Hint: did you mean `openai`? If not, write a definition: authsome providers new\n"
    )
    done = authsome("providers", "search", "\x1b[2J", "x" * 5000)
    assert (done.code, "\x1b" in done.err) == (3, False)
    assert authsome("providers", "search").code == 2
    assert authsome("providers", "search", "").code == 3


# Looking for mistakes.


def test_lint_says_file_and_line_and_ends_with_six_for_an_error(authsome: CommandLine) -> None:
    (authsome.project / "acme.json").write_text(ACME)
    (authsome.project / "bad.json").write_text('{"name": "bad",\n"host_url": "*",\n"api_key": {"env": 1}}')
    done = authsome("providers", "lint", "acme.json", "bad.json")
    assert done.code == 6
    assert "acme.json: loads, 3 warnings\n" in done.out
    assert "bad.json:2: error: `*` is " in done.out
    assert "bad.json:3: error: unknown key `env` in `api_key` (did you mean `env_var`?)\n" in done.out
    assert done.out.endswith("bad.json: does not load, 2 errors\n")
    assert done.err == ""
    answer = json.loads(authsome("providers", "lint", "bad.json", "--json").out)
    (file,) = answer["files"]
    assert (file["loads"], [each["line"] for each in file["findings"]]) == (False, [2, 3])


def test_warnings_count_where_they_are_to(authsome: CommandLine) -> None:
    (authsome.project / "acme.json").write_text(ACME)
    assert authsome("providers", "lint", "acme.json").code == 0
    assert authsome("providers", "lint", "acme.json", "--strict").code == 6


def test_lint_reads_standard_input(authsome: CommandLine) -> None:
    done = authsome("providers", "lint", "-", "-", given=ACME)
    assert (done.code, done.out.splitlines()[-1]) == (0, "standard input: loads, 3 warnings")
    done = authsome("providers", "lint", "-", given="{")
    assert (done.code, done.out.splitlines()[0][:23]) == (6, "standard input:1: error")


def test_a_file_that_is_loaded_has_to_be_called_like_its_provider(authsome: CommandLine) -> None:
    path = _own(authsome, "other", ACME)
    done = authsome("providers", "lint", str(path))
    assert done.code == 6
    assert "is named `acme` inside, so its file has to be called acme.json" in done.out
    assert authsome("inspect", "other").code == 6


def test_a_file_that_is_not_there_is_a_mistake_in_the_command(authsome: CommandLine) -> None:
    done = authsome("providers", "lint", "none.json")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: there is no file none.json\n")


# Writing one, without a person.


def test_a_definition_is_written_from_options(authsome: CommandLine) -> None:
    done = authsome("providers", "new", "acme", "--host", "https://API.acme.example/v1?key=x", "--header", "X-Api-Key")
    assert (done.code, done.out) == (0, "Wrote acme: ~/.authsome/providers/acme.json\n")
    path = authsome.home / "providers" / "acme.json"
    assert json.loads(path.read_text()) == {
        "schema_version": 1,
        "name": "acme",
        "display_name": "Acme",
        "auth_type": "api_key",
        "flow": "api_key",
        "host_url": "api.acme.example",
        "api_key": {"header_name": "X-Api-Key", "header_prefix": "", "env_var": "ACME_API_KEY"},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert '  on every host, the header X-Api-Key becomes "{api_key}"\n' in done.err
    assert done.err.endswith("\nNext: authsome login acme\n")
    assert authsome("login", "acme", "--stdin", given=f"{CANARY}0123456789").code == 0


@pytest.mark.parametrize(
    ("options", "inject", "key"),
    [
        ("--env -", None, {"header_name": "Authorization", "header_prefix": "Bearer"}),
        ("--prefix Token", None, {"header_name": "Authorization", "header_prefix": "Token"}),
        ("--header Authorization", None, {"header_name": "Authorization", "header_prefix": ""}),
        ("--basic api:{api_key}", {"basic": {"username": "api", "password": "{api_key}"}}, {}),
        ("--query ?api_key=", {"query": {"api_key": "{api_key}"}}, {}),
    ],
)
def test_the_key_goes_where_it_is_said(
    authsome: CommandLine, options: str, inject: object, key: dict[str, str]
) -> None:
    done = authsome("providers", "new", "acme", "--host", "api.acme.example", "--env", "A_B", *options.split())
    assert done.code == 0, done
    made = json.loads((authsome.home / "providers" / "acme.json").read_text())
    assert made.get("inject", [None]) == [inject]
    made["api_key"].pop("env_var", None)
    assert made["api_key"] == key
    assert authsome("providers", "lint", str(authsome.home / "providers" / "acme.json")).code == 0


def test_with_everything_said_lint_has_nothing_left_to_say(authsome: CommandLine) -> None:
    said = ["--pattern", "^ak_[a-z]{20}$", "--hint", "They start with ak_.", "--keys-url", "https://acme.example/keys"]
    said += ["--test-url", "https://api.acme.example/me", "--json"]
    done = authsome("providers", "new", "acme", "--host", "api.acme.example", *said)
    answer = json.loads(done.out)
    assert (answer["findings"], answer["replaced"], answer["source"]) == ([], False, "custom")
    assert "warning" not in done.err


WRONG: list[tuple[Callable[[str], str], str, str]] = [
    *((sketch.name, text, f"{text!r} is not a provider name") for text in ("../x", "ACME", "con", "", "-a")),
    *((sketch.host, f"{text}://a.b.example", "a credential leaves over https only") for text in ("http", "ftp", "")),
    *(
        (sketch.host, text, "that is not a host name")
        for text in ("10.0.0.1", "https://[::1]/", "127.1", "127.0.0.1/x")
    ),
    *((sketch.host, text, "that is not a host name") for text in ("0x7f000001", "0x7f.0.0.1", "017700000001")),
    *((sketch.host, text, "that is not a host name") for text in ("2130706433", "127.0.0.0x1", "a b", "https:///x")),
    *((sketch.host, text, "t") for text in ("*.com", "*", "*.github.io", "*.co.uk", "regex:.*", "аpi.acme.example")),
    *((sketch.host, text, "that is no full host name") for text in ("localdomain", f"sk-{CANARY}0123456789")),
    (sketch.host, f"https://{CANARY}:x@api.acme.example/", "a user name or password stands before"),
    (sketch.host, "api.acme.example:0", "that: not a port"),
    (sketch.header, "X Y", "'X Y' is not a header name"),
    (sketch.header, "Host: x", "`Host` belongs to the connection"),
    (sketch.prefix, "a\nb", r"'a\nb {api_key}' is not a header value"),
    (sketch.query, "a b", "'a b' is not the name of a query parameter"),
    *((sketch.basic, text, "write the user name, a colon and the password") for text in ("{api_key}", "x:y", ":")),
    (sketch.basic, "{api_key}:{other}", "`{other}` is not a field"),
    (sketch.env, "A-B", "'A-B' is not an environment variable"),
    (sketch.env, "LD_PRELOAD", "LD_PRELOAD leads other programs"),
    (sketch.pattern, "(a+)+", "`key_pattern` repeats a group"),
    (sketch.pattern, "(", "`key_pattern` is not a regular expression"),
    *((sketch.link, text, "that is no address of a page") for text in ("http://a.example", "javascript:1", "x y", "")),
    *(
        (partial(sketch.test_url, asked="a.b.example"), *more)
        for more in (
            ("https://other.example/", "`test` asks a host"),
            ("http://a.b.example/", "`test`: that is not the address of a request"),
            (f"https://a.b.example/?api_key={CANARY}", "leave the key out of it"),
            (f"https://{CANARY}:x@a.b.example/", "leave the key out of it"),
        )
    ),
]


def test_what_would_not_load_is_refused_by_itself_and_what_could_be_a_secret_is_not_repeated() -> None:
    for read, text, message in WRONG:
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            read(text)
        assert CANARY not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("../x", "the name: '../x' is not a provider name"),
        ("acme --host http://api.acme.example", "--host: a credential leaves over https only"),
        ("acme --host a.b.example --test-url https://other.example/", "--test-url: `test` asks a host"),
        ("acme --host a.b.example --query q --basic :{api_key}", "--basic and --query exclude each other"),
        ("acme --host a.b.example --query q --prefix x", "--query and --prefix exclude each other"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(authsome: CommandLine, options: str, message: str) -> None:
    done = authsome("providers", "new", *options.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: {message}")
    assert not authsome.home.exists()


def test_without_a_person_name_and_address_have_to_be_said(authsome: CommandLine) -> None:
    for words in ([], ["acme"], ["--host", "api.acme.example"]):
        done = authsome("providers", "new", *words)
        assert done.code == 3
        assert "\nHint: say it: authsome providers new acme --host api.acme.example\n" in done.err
    assert not authsome.home.exists()


def test_a_definition_that_is_there_stays_unless_it_is_to_be_replaced(authsome: CommandLine) -> None:
    path = _own(authsome, "acme", "{")
    words = ("providers", "new", "acme", "--host", "api.acme.example")
    done = authsome(*words)
    assert (done.code, path.read_text()) == (2, "{")
    assert "--force" in done.err
    path.unlink()
    path.symlink_to(authsome.root / "elsewhere")
    assert authsome(*words).code == 2
    done = authsome(*words, "--force", "--json")
    assert (done.code, json.loads(done.out)["replaced"], path.is_symlink()) == (0, True, False)
    assert not (authsome.root / "elsewhere").exists()


def test_one_for_the_project_waits_for_trust(authsome: CommandLine) -> None:
    words = ("providers", "new", "acme", "--host", "api.acme.example", "--project")
    done = authsome(*words)
    assert (done.code, "authsome init" in done.err) == (6, True)
    authsome.declare("version: 1\nproviders: {acme: {required: false}}\n")
    done = authsome(*words)
    path = authsome.project / ".authsome" / "providers" / "acme.json"
    assert (done.code, done.out) == (0, "Wrote acme: ~/project/.authsome/providers/acme.json\n")
    assert done.err.endswith("\nNext: authsome trust, then: authsome login acme\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert authsome("check").code == 7
    assert authsome("trust", "--yes").code == 0
    assert authsome("check").code == 0
    assert authsome(*words).code == 2


def test_a_link_in_the_place_of_the_projects_folder_is_not_followed(authsome: CommandLine) -> None:
    authsome.declare("version: 1\n")
    outside = authsome.root / "elsewhere"
    outside.mkdir()
    (authsome.project / ".authsome").symlink_to(outside)
    done = authsome("providers", "new", "acme", "--host", "api.acme.example", "--project")
    assert (done.code, list(outside.iterdir())) == (2, [])


def test_an_agent_writes_none(authsome: CommandLine) -> None:
    authsome.env = {"AUTHSOME_RUN": "1"}
    done = authsome("providers", "new", "acme", "--host", "api.acme.example")
    assert (done.code, authsome.home.exists()) == (7, False)
    assert done.err.startswith("Error: `authsome providers new` is sealed inside a run\n")
    assert authsome("providers", "search", "openai").code == 0


def test_a_folder_that_cannot_be_written_is_one_error(authsome: CommandLine) -> None:
    authsome.home.write_text("a file")
    done = authsome("providers", "new", "acme", "--host", "api.acme.example")
    assert (done.code, done.err.startswith("Error: cannot create ~/.authsome")) == (1, True)


# Writing one, with a person.


def _person(authsome: CommandLine, *words: str) -> Person:
    return Person([EXECUTABLE, "providers", "new", *words], authsome.environ(), authsome.project)


def _talk(person: Person, *said: tuple[str, str]) -> None:
    for prompt, answer in said:
        assert person.sees(prompt), person.screen
        person.screen = person.screen.partition(prompt)[2]
        person.types(f"{answer}\n")


def test_a_person_is_asked_and_asked_again_where_an_answer_would_not_load(authsome: CommandLine) -> None:
    _own(authsome, "taken", ACME)
    person = _person(authsome)
    _talk(
        person,
        ("Name, as commands will say it (for example acme): ", "Acme"),
        ("Error: 'Acme' is not a provider name", ""),
        ("Error: this is needed", "acme"),
        ("Address of its API", "http://api.acme.example"),
        ("Error: a credential leaves over https only", "https://api.acme.example/v1/things"),
        ("The key will go to api.acme.example and to no other host.\n", "2"),
        ("Name of the header: ", "X-Api-Key: "),
        ("Word before the key there (may be left out): ", ""),
        ("Variable that programs read, - for none [ACME_API_KEY]: ", "PATH"),
        ("Error: PATH leads other programs", ""),
        ("Page where a person gets a key (may be left out): ", "https://acme.example/keys"),
        ("Address that answers 200", "https://other.example/"),
        ("Error: `test` asks a host", "https://api.acme.example/me"),
    )
    assert person.ends() == 0, person.screen
    assert person.screen.endswith("Next: authsome login acme\n")
    made = json.loads((authsome.home / "providers" / "acme.json").read_text())
    assert made["api_key"] == {"header_name": "X-Api-Key", "header_prefix": "", "env_var": "ACME_API_KEY"}
    assert (made["keys_url"], made["test"]["url"]) == ("https://acme.example/keys", "https://api.acme.example/me")


def test_what_the_options_say_is_not_asked(authsome: CommandLine) -> None:
    person = _person(
        authsome, "acme", "--host", "api.acme.example", "--env", "ACME", "--keys-url", "https://a.example/"
    )
    _talk(person, ("Number [1]: ", "3"), ("[{api_key}:]: ", ""), ("Address that answers 200", ""))
    assert person.ends() == 0, person.screen
    made = json.loads((authsome.home / "providers" / "acme.json").read_text())
    assert made["inject"] == [{"basic": {"username": "{api_key}", "password": ""}}]


def test_ctrl_c_and_three_wrong_answers_write_nothing(authsome: CommandLine) -> None:
    person = _person(authsome, "acme", "--host", "api.acme.example")
    assert person.sees("Number [1]: ")
    person.types("\x03")
    assert person.ends() == 130
    person = _person(authsome)
    _talk(person, ("(for example acme): ", "\x04"), ("Error: this is needed", "/"), ("Error: '/' is not", "."))
    assert person.ends() == 2
    assert "Hint: nothing was written; authsome providers new --help" in person.screen
    assert not authsome.home.exists()
    assert list(authsome.project.iterdir()) == []
