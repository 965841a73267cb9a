"""The manual does what it says: every command on its pages is typed, every output compared, every link followed."""

import importlib
import pkgutil
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

import authsome.cli
from authsome import documents
from authsome.cli import frame
from authsome.errors import ExitCode
from authsome.manifest import ConnectionEntry, Egress, Manifest, ProviderEntry
from authsome.provider import (
    AlsoDefinition,
    ApiKey,
    AppInstallationDefinition,
    BasicDefinition,
    ClientCredentialsDefinition,
    ClientDefinition,
    Definition,
    DeriveDefinition,
    FieldDefinition,
    InjectDefinition,
    JwtBearerDefinition,
    OAuthDefinition,
    RevocationDefinition,
    TestRequest as Trial,
)
from forked import Server
from pages import PAGES, PATIENCE, ROOT, Play, Said, bare, blocks, fits, play

pytest_plugins = ["forked_fixtures"]

NOT_RUN = [
    ("README.md", "not run: needs the package index"),
    ("README.md", "not run: it is the tests themselves"),
    ("README.md", "run as: authsome demo"),
    ("identity.md", "not run: age reads the passphrase from a terminal of its own"),
    ("log-in.md", "not run: asks the providers"),
    ("log-in.md", "not run: needs a display"),
    *[("oauth.md", "not run: goes to the provider")] * 5,
    ("team.md", "not run: a picture"),
    *[("vault.md", "not run: a picture")] * 3,
]
"""All blocks that are not run as they stand."""

PROGRAMS = ("age", "age-keygen", "bash", "curl", "git")
played_here = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason=f"the pages use {', '.join(PROGRAMS)}, and not all are installed"
)

WRITTEN = sorted([*PAGES, *(ROOT / f"{name}.md" for name in ("SECURITY", "CONTRIBUTING", "CHANGELOG"))])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, forking: Server) -> dict[str, Play]:
    return play(PAGES, tmp_path_factory.mktemp("pages"), forking=forking)


@pytest.fixture(scope="module")
def said(played: dict[str, Play]) -> list[Said]:
    return [each for page in played.values() for each in page.said]


def test_files_on_pages_are_what_they_are_called(tmp_path: Path) -> None:
    read = {"yaml": documents.read_yaml, "json": documents.read_json}
    named = [block for page in PAGES for block in blocks(page) if block.named and block.language != "sh"]
    assert len(named) > 10
    for number, block in enumerate(named):
        name = block.named or ""
        file = tmp_path / f"{number}-{Path(name).name}"
        file.write_text(block.text)
        if block.language in read:
            assert read[block.language](file).data, block.place
        elif block.language == "python":
            compile(block.text, block.place, "exec")


@played_here
@pytest.mark.timeout(PATIENCE + 20)
@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_a_page_does_what_it_says(played: dict[str, Play], page: str) -> None:
    wrong = list(played[page].wrong())
    assert not wrong, "\n\n".join(wrong)


def test_blocks_that_are_not_run_are_these() -> None:
    found = [
        (block.page, f"{name}: {reason}")
        for page in PAGES
        for block in blocks(page)
        for name, reason in block.markers.items()
    ]
    print(*(f"{page}: {why}" for page, why in found), sep="\n")
    assert sorted(found) == sorted(NOT_RUN)


# The tool as it has always been documented: these lines work as they are, with `uvx` before them or without.

_PATTERN = (
    r"Error: This does not look like a valid OpenAI API key\.\n"
    r"Hint: OpenAI API keys start with 'sk-' followed by at least 20 letters, digits, '_' or '-'\.\n"
)


def _of_each() -> Iterator[tuple[str, str]]:
    variables = {"openai": "OPENAI_API_KEY", "g2": "G2_API_TOKEN", "intercom": "INTERCOM_API_KEY"}
    for name, variable in variables.items():
        yield f"authsome login {name}", rf"Successfully logged in to {name} \(default\)\.\n"
        yield f"authsome login {name} --connection personal", rf"Successfully logged in to {name} \(personal\)\.\n"
        yield f"authsome login {name} --connection team", rf"Successfully logged in to {name} \(team\)\.\n"
        yield f"authsome login {name} --force", rf"Successfully logged in to {name} \(default\)\.\n"
        yield f"authsome get {name} --field status", r"\Aconnected\n\Z"
        yield "authsome run -- python my_agent.py", rf"{variable} is a placeholder\n"
        yield "authsome list", rf"{name} +default +connected +bundled\n"
        yield "authsome list", rf"{name} +personal +connected +bundled\n{name} +team +connected +bundled\n"
        yield f"authsome inspect {name} > ~/.authsome/providers/{name}.json", r"\A\Z"
        yield "authsome list", rf"{name} +default +connected +custom\n"
        yield f"rm ~/.authsome/providers/{name}.json", r"\A\Z"
        yield f"authsome logout {name}", rf"Logged out of {name} \(default\)\.\n"
        yield f"authsome remove {name}", rf"Removed {name} "


DOCUMENTED = [
    *_of_each(),
    ("authsome get openai", r"status: +connected\n(.+\n)*api_key: +\*\*\*\n\Z"),
    ("authsome get openai --connection team", r"connection: +team\n"),
    ("authsome get openai --field api_key --show-secret", r"\Ask-\S+\n\Z"),
    ("authsome get openai --connection team --field api_key --show-secret", r"\Ask-\S+\n\Z"),
    ("authsome export openai --format env", r"\AOPENAI_API_KEY=sk-\S+\n\Z"),
    ("authsome export openai --connection personal --format env", r"\AOPENAI_API_KEY=sk-\S+\n\Z"),
    ('eval "$(authsome export openai --format env)"', r"\A\Z"),
    ("python my_agent.py", r"OPENAI_API_KEY is a real key\n"),
    ("authsome revoke openai", r"Removed openai \(default\)\.\n"),
    ("echo hello | authsome login openai --stdin --force", rf"\A{_PATTERN}\Z"),
    ("echo 'sk-0123456789 0123456789' | authsome login openai --stdin --force", rf"\A{_PATTERN}\Z"),
    ("pass openai | authsome login openai --stdin --force", r"Successfully logged in to openai \(default\)\.\n"),
]
"""Command and what it says, somewhere on the pages."""


@played_here
@pytest.mark.timeout(PATIENCE + 20)
def test_every_documented_line_stands_on_a_page_and_says_what_is_documented(said: list[Said]) -> None:
    lacking = [
        (line, outcome)
        for line, outcome in DOCUMENTED
        if not any(each.line == line and re.search(outcome, each.output) for each in said)
    ]
    assert not lacking
    shown = {line for page in PAGES for block in blocks(page) for line in map(bare, block.text.splitlines())}
    assert {line for line, _ in DOCUMENTED} <= shown


@played_here
def test_the_documented_lines_work_with_uvx_before_them_too(said: list[Said]) -> None:
    with_uvx = {each.line for each in said if each.command.startswith("uvx ")}
    words = {line.split()[1] for line in with_uvx}
    assert words >= {"login", "get", "run", "list", "export", "inspect", "logout"}


def test_the_page_in_the_browser_stands_at_the_documented_address() -> None:
    assert "http://127.0.0.1:7998" in (ROOT / "docs" / "log-in.md").read_text()


# What pages name exists.


def _options() -> dict[tuple[str, ...], set[str]]:
    """Return the options of every command, as `--help` lists them."""
    for module in pkgutil.iter_modules(authsome.cli.__path__):
        importlib.import_module(f"authsome.cli.{module.name}")
    found: dict[tuple[str, ...], set[str]] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(frame.app))]
    while waiting:
        words, command = waiting.pop()
        names = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        found[words] = {name for name in names if name.startswith("-")} | {"--help", "-h"}
        waiting += [((*words, name), each) for name, each in getattr(command, "commands", {}).items()]
    return found


_CALL = re.compile(r"(?<![\w./-])authsome((?: +(?!--? )[^\s`|;()\"<>&…]+)+)")
_MARK = re.compile(r"authsome (?:entry mac|profile) v1")
_SPAN = re.compile(r"`([^`\n]+)`")


def _called(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the words after `authsome` wherever a page shows a command, with the line."""
    for block in blocks(path):
        if block.language == "sh":
            for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
                yield from ((number, call[1].split()) for call in _CALL.finditer(line.partition("  #")[0]))
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for span in _SPAN.findall(line):
            call = _CALL.match(span)
            # The format of the vault has marks that begin with our name.
            if call and not _MARK.match(span):
                yield number, call[1].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    known = _options()
    wrong = []
    for number, words in _called(page):
        command: tuple[str, ...] = ()
        for word in words:
            if word.startswith("-"):
                option = word.partition("=")[0]
                if option not in known[command] | known[()]:
                    wrong.append(f"{page.name}:{number}: {' '.join(command)} has no {option}")
            elif (*command, word) in known:
                command = (*command, word)
            elif not command:
                wrong.append(f"{page.name}:{number}: there is no command {word}")
    assert wrong == []
    alone = set(re.findall(r"`(--[a-z][a-z-]+)", page.read_text()))
    assert alone <= set.union(*known.values())


def _slug(heading: str) -> str:
    """Return a heading's anchor as the forge makes it."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower().replace(" ", "-")


def _anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {_slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        path = page.parent / name if name else page
        assert path.is_file(), target
        assert not anchor or anchor in _anchors(path), target


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text()))
    assert linked == {f"docs/{page.name}" for page in PAGES[1:]}


# Tables say what the program knows.


def _column(page: str, heading: str, number: int = 1) -> set[str]:
    """Return the code spans in a column of the table with this heading."""
    table = (ROOT / "docs" / page).read_text().partition(heading)[2].partition("\n\n")[0]
    rows = [row.replace(r"\|", "¦").split("|") for row in table.splitlines()[2:]]
    return {span for row in rows for span in re.findall(r"`([^`]+)`", row[number])}


def test_every_field_of_a_definition_is_explained() -> None:
    explained = _column("custom-provider.md", "| field | means |")
    assert {each.name for each in fields(Definition) if each.name != "export"} <= explained
    kinds = {
        "api_key.": ApiKey,
        "fields.NAME.": FieldDefinition,
        "fields.NAME.derive.": DeriveDefinition,
        "inject[].": InjectDefinition,
        "inject[].basic.": BasicDefinition,
        "inject[].also.": AlsoDefinition,
        "client.": ClientDefinition,
        "test.": Trial,
    }
    for of, kind in kinds.items():
        assert {f"{of}{each.name}" for each in fields(kind)} <= explained
    assert "export.env" in explained


def test_every_field_of_oauth_is_explained() -> None:
    explained = _column("custom-provider.md", "| field of `oauth` | means |")
    parts = {
        "": OAuthDefinition,
        "revocation.": RevocationDefinition,
        "client_credentials.": ClientCredentialsDefinition,
        "jwt_bearer.": JwtBearerDefinition,
        "app_installation.": AppInstallationDefinition,
    }
    assert explained == {f"{before}{each.name}" for before, kind in parts.items() for each in fields(kind)}


def test_every_key_of_the_manifest_is_explained() -> None:
    explained = _column("declare.md", "| key | means |")
    keys = {each.name for kind in (ProviderEntry, ConnectionEntry) for each in fields(kind)}
    keys |= {each.name for each in fields(Manifest)} - {"providers", "egress"}
    assert keys | {f"egress.{each.name}" for each in fields(Egress)} <= explained


def test_every_exit_code_is_in_the_table() -> None:
    rows = (ROOT / "docs" / "ci.md").read_text().partition("| code |")[2].partition("\n\n")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)} == {int(each) for each in ExitCode}


# The harness itself.


@pytest.mark.parametrize(
    ("documented", "output", "same"),
    [
        ("one\n", "one\n", True),
        ("one\n", "one\ntwo\n", False),
        ("…\ntwo\n", "one\ntwo\n", True),
        ("…\n", "", True),
        ("at … o'clock\n", "at 5 o'clock\n", True),
        ("at … o'clock\n", "at 5\n", False),
    ],
)
def test_an_output_is_compared_with_what_stands_on_the_page(documented: str, output: str, same: bool) -> None:
    assert fits(documented, output) is same


def test_a_page_that_says_something_else_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```sh\necho one\nfalse\ntrue  # ends with 3\n```\n\n```\ntwo\n```\n")
    wrong = "\n".join(play([page], tmp_path)["wrong.md"].wrong())
    assert "`false` ended with 1" in wrong
    assert "`true  # ends with 3` ended with 0" in wrong
    assert "the page says\ntwo\nand what comes is\none\n" in wrong


def test_a_secret_on_a_page_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "leaks.md"
    page.write_text("```sh\npass openai\n```\n")
    (wrong,) = play([page], tmp_path)["leaks.md"].wrong()
    assert "shows a secret" in wrong


@pytest.mark.parametrize(
    "text",
    [
        "```\nnothing before it\n```\n",
        "```yaml\nversion: 1\n```\n",
        "`a.yaml`:\n```yaml\na: 1\n```\n```\nof a file\n```\n",
        "```sh\ntrue\n```\n\n```\n```\n\n```\ntwice\n```\n",
    ],
)
def test_a_block_that_is_nothing_known_is_refused(tmp_path: Path, text: str) -> None:
    page = tmp_path / "strange.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match="is no command, no file"):
        play([page], tmp_path)
