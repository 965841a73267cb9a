"""Definitions as people get them wrong, and as attackers write them: an error each, and none of it for the others."""

import json
import os
import socket
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authsome import documents, lint
from authsome.errors import AuthsomeError, ExitCode
from authsome.lint import Known
from authsome.provider import Catalogue, Host
from conftest import CommandLine

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")


def _text(**change: Any) -> str:
    return json.dumps({"name": "acme", "host_url": "api.acme.example", "api_key": {}} | change)


def _key(**key: Any) -> str:
    return _text(api_key=key)


ADDRESSES = (
    *("10.0.0.1", "127.0.0.1", "[::1]", "::1", "[fe80::1%25eth0]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001"),
    *("0x7f.0.0.1", "127.0.0.0x1", "0177.0.0.1", "017700000001", "127.1", "10.1", "169.254.169.254", "1.1.1.1:8443"),
    *("https://127.0.0.1/", "0", "0x", "١٢٧.٠.٠.١", "127。0。0。1", "①.1.1.1"),
)
"""Written as inet_aton(3), RFC 4291 and a careless IDNA mapping take them."""
HOSTS = (
    *("*", "*.", "*.com", "*.github.io", "*.co.uk", "*.*", "api.*.example", "a*.acme.example", "**.acme.example"),
    *("regex:.*", "regex:^api", "http://api.acme.example", "ftp://api.acme.example", "//api.acme.example", ".com"),
    *("api.acme.example:0", "api.acme.example:65536", "api.acme.example:x", "api.acme.example:443:443", ":443"),
    *("user@api.acme.example", "https://u:p@api.acme.example", "api.acme.example/v1", "api.acme.example?x", "a b"),
    *(
        "api.acme.example#",
        "api.acme.example\\",
        "api.acme.example\0",
        "api.acme.example\r\nHost: x",
        "аpi.acme.example",
    ),
    *(
        "api..acme.example",
        "-a.example",
        "a-.example",
        "x" * 64 + ".example",
        "a." * 200 + "example",
        "",
        " ",
        "\u202e",
    ),
)
NAMES_AND_VALUES = (
    *(
        _key(header_name=name)
        for name in ("X\r\nY", "X\0", "X Y", "X:", "", "é", "X\t", "Host", "Content-Length", "TE")
    ),
    *(_key(header_prefix=word) for word in ("a\r\nb", "a\0", "é", "a\x7f", "\x1b[2J")),
    *(_text(headers={"X-A": value}) for value in ("a\r\nX-B: c", "a\0", "ü", "\x1b[2J")),
    *(_text(headers={name: "a"}) for name in ("", "X\n", "Host", "authorization")),
    *(_text(inject=[{"value": value}]) for value in ("{api_key}\r\n", "x", "{other}", "\0{api_key}")),
    *(_text(inject=[{"query": {name: "{api_key}"}}]) for name in ("", "a b", "a&b", "a\n", "a=b")),
    *(
        _text(inject=[{"path": path}])
        for path in ("x{api_key}", "/{api_key}/{api_key}", "/{api_key}?x", "/\r\n{api_key}")
    ),
    *(_key(env_var=name) for name in ("A B", "A=B", "A\nB", "PATH", "LD_PRELOAD", "https_proxy", "é")),
    *(
        _text(test={"url": url})
        for url in ("http://api.acme.example/", "https://127.0.0.1/", "https://*.com/", "x", "")
    ),
)
PATTERNS = (
    "(a+)+",
    "(a|a)*b",
    "(a*)*",
    "((a+)b){2,}",
    "(?:x*)+",
    "(",
    "[",
    "a{99999999999}",
    "(" * 20_000,
    "(?P<a",
    "*",
)
NO_NAMES: tuple[Any, ...] = (5, None, [], {}, "", "..", "../x", "ACME", "a" * 64, "con", "acme\n", "a\0")
FORMS = (
    *(
        "",
        " ",
        "null",
        "true",
        "5",
        '"x"',
        "[]",
        "[{}]",
        "{}",
        "{",
        "}",
        '{"name"}',
        "{'name': 1}",
        "NaN",
        "\0",
        "\x1b[2J",
    ),
    *(_text(name=name) for name in NO_NAMES),
    *(
        _text(**{key: 5})
        for key in ("host_url", "api_key", "fields", "inject", "headers", "export", "docs", "packages")
    ),
    *(_text(**{key: [None]}) for key in ("host_url", "inject", "packages", "fields", "api_key", "display_name")),
    *(_text(hots="x"), _key(env="X"), _text(schema_version=2), _text(schema_version=True), _text(auth_type="basic")),
    *('{"name": "acme", "name": "acme"}', '{"name": ' + "1" * 5000 + "}", _text()[:-1] + ", }", _text() * 2),
    *("[" * 100_000, '{"a":' * 100_000, _text(x="@").replace('"@"', "[" * 900 + "]" * 900)),
    *('{"name": "\\ud83d", "x": "\\udc00"}', f"{_text()}\0", f"/* */{_text()}", _text().replace(",", "\u2028,")),
)
OCTETS = (
    _text().encode("utf-16"),
    _text(docs="@").replace("@", "é").encode("latin-1"),
    _text().encode("utf-32"),
    b"\xff" * 99,
)
BAD: tuple[str, ...] = (
    *(_text(host_url=host) for host in (*ADDRESSES, *HOSTS)),
    *(_text(host_url=["api.acme.example", host]) for host in ADDRESSES),
    *(_key(key_pattern=pattern) for pattern in PATTERNS),
    *(_text(inject=[{"value": "{api_key}", "when": pattern}]) for pattern in PATTERNS),
    *NAMES_AND_VALUES,
    *FORMS,
)


def _is_one_line(message: str) -> bool:
    return "\n" not in message and "\r" not in message and len(message) < 1500


def test_no_text_of_these_is_a_definition_and_each_is_one_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "providers" / "acme.json"
    path.parent.mkdir()
    for content in (*(text.encode(errors="surrogatepass") for text in BAD), *OCTETS):
        path.write_bytes(content)
        with pytest.raises(AuthsomeError) as caught:
            Catalogue(tmp_path).get("acme")
        assert caught.value.code is ExitCode.INVALID, content
        assert caught.value.message.startswith(f"{path}:"), content
        assert _is_one_line(ascii(caught.value.message)), content


def test_lint_refuses_all_that_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "acme.json"
    for text in BAD:
        report = lint.check(path, text, Known(), loaded=True)
        assert report.provider is None, text
        assert report.count(lint.Severity.ERROR), text
        assert all(each.line for each in report.findings), text


@pytest.mark.parametrize("host", [*ADDRESSES, *HOSTS])
def test_no_address_and_no_pattern_of_a_registry_is_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="."):
        Host.parse(host)


def test_a_byte_order_mark_and_strange_line_ends_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "providers" / "acme.json"
    path.parent.mkdir()
    for text in (f"\ufeff{_text()}", _text().replace(",", ",\r\n"), _text().replace(",", ",\r")):
        path.write_bytes(text.encode())
        assert Catalogue(tmp_path).get("acme").name == "acme"


# Files that are too large, or none.


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "acme.json"
    path.write_bytes(b'{"name": "' + b"a" * 10_000_000 + b'"}')
    tracemalloc.start()
    try:
        with pytest.raises(AuthsomeError, match="is larger than 1 MiB"):
            documents.read_text(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * documents.MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "part",
    [
        *('"%d": 1', '"%d": [[[]]]', '"host_url%d": ""', '"\\ud83d%d": 0'),
        *('"inject%d": [' + "{}," * 50 + "{}]", '"%d": "' + "x" * 9000 + '"'),
    ],
)
def test_a_file_full_of_mistakes_is_answered_soon(part: str) -> None:
    rows: list[str] = []
    size = 0
    while size < documents.MAX_BYTES - 20_000:
        rows.append(part % len(rows))
        size += len(rows[-1]) + 2
    started = time.process_time()
    report = lint.check(Path("acme.json"), "{" + ",\n".join(rows) + "}", Known())
    assert time.process_time() - started < 10
    assert 0 < len(report.findings) <= documents.MAX_MISFITS


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{os.open(path.parent, os.O_PATH)}/{path.name}")


def _unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # which not even root can read from its beginning


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10_000_000)


STRANGE: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "pipe": (_pipe, "is not a regular file", 6),
    "endless": (_endless, "is not a regular file", 6),
    "large": (_large, "is larger than 1 MiB", 6),
    "folder": (Path.mkdir, "is a directory", 1),
    "loop": (_loop, "too many levels of symbolic links", 1),
    "nowhere": (_nowhere, "no such file or directory", 1),
    "socket": (_socket, "no such device or address", 1),
    "unreadable": (_unreadable, "input/output error", 1),
}
"""What can stand in the place of a file; 1 is what the system refuses."""


HOSTILE = ("", "a b", "UPPER", "\x1b[2J", "é", "-", "x" * 200)


@pytest.fixture
def authsome(tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    folder = line.home / "providers"
    folder.mkdir(parents=True)
    line.project.mkdir()
    for kind, (make, _, _) in STRANGE.items():
        make(folder / f"{kind}.json")
    for number, content in enumerate(FORMS):
        (folder / f"form{number}.json").write_bytes(content.encode(errors="surrogatepass"))
    for hostile in HOSTILE:
        (folder / f"{hostile}.json").write_text(_text(name=hostile))
    (folder / "openai.json").write_text("{")  # hides a bundled one
    (folder / "acme.json").write_text(_text())
    return line


def test_what_stands_in_the_place_of_a_file_is_one_error(authsome: CommandLine) -> None:
    files = {name: str(authsome.home / "providers" / f"{name}.json") for name in STRANGE}
    linted = authsome("providers", "lint", *files.values())
    assert (linted.code, linted.err) == (6, "")
    for name, (_, message, code) in STRANGE.items():
        done = authsome("inspect", name)
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("Error: "), done
        assert message in done.err.splitlines()[0], done
        assert f"{name}.json" in done.err.splitlines()[0]
        (line,) = [each for each in linted.out.splitlines() if f"{name}.json: error: " in each]
        assert message in line


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("list --available", "anthropic"),
        ("list --available --json", '"acme"'),
        ("providers search acme", "acme"),
        ("providers lint {acme}", "loads, 4 warnings"),
        ("list", "acme"),
        ("inspect acme", "api.acme.example"),
        ("login acme --stdin", "logged in to acme"),
        ("register {acme} --yes", "acme is registered already"),
        ("init --dry-run", "version: 1"),
        ("check", ""),
        ("__complete zsh 2 authsome inspect ac", "acme"),
    ],
)
def test_a_bad_file_in_the_home_breaks_no_command_about_another(authsome: CommandLine, words: str, found: str) -> None:
    acme = str(authsome.home / "providers" / "acme.json")
    done = authsome(*words.format(acme=acme).split(), given="ak_CANARY0123456789")
    assert done.code == 0, done
    assert found in done.out
    assert "\x1b" not in done.err
    assert "Error: unexpected" not in done.err
    assert "Traceback" not in done.err


def test_the_list_says_which_it_has_left_out(authsome: CommandLine) -> None:
    done = authsome("list", "--available")
    left = [line for line in done.err.splitlines() if line.startswith("Left out: ")]
    for each in (*STRANGE, "openai", *(f"form{number}" for number in range(len(FORMS)))):
        assert any(f"/{each}.json" in line for line in left), each
    for each in HOSTILE:
        assert any(f"Left out: {ascii(each[:40] or '.json')} " in line for line in left), each
    assert "openai" not in [line.split()[0] for line in done.out.splitlines()]  # somebody meant another definition
    assert left == done.err.splitlines()
