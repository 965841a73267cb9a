"""The gallery itself: no line gets lost, and what still works is counted in the open."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"

LINES = {
    "reflection in a JSON body, plain": "reflect_json",
    "the same in gzip, deflate, br, zstd": "reflect_compressed",
    "base64 (three alignments, url-safe too), hex, percent, JSON, HTML entities, reversed": "reflect_spellings",
    "secret split across chunks, frames, SSE events; after 2 MB; application/octet-stream": "reflect_split",
    "response header, Set-Cookie, Location, reason, interim answers, trailers": "reflect_fields",
    "WebSocket frames of every kind, Sec-WebSocket-Protocol echo": "reflect_websocket",
    "HEAD in lower case, transfer codings, 101 that nobody asked for, HTTP/1.0, no HTTP at all": "reflect_framing",
    "Host or :authority other than the CONNECT target; SNI other than the CONNECT target": "other_name",
    "CONNECT to a declared host on another port; IP literal of a declared host": "other_port",
    "a name before, behind or like the declared one; dot, upper case, IDN": "look_alike",
    "absolute-form https:// to the proxy port, without TLS": "absolute_form",
    "plain http:// to a declared host": "plain_http",
    "no or wrong proxy password; another user's process on the port": "password",
    "placeholder in body, query, path, cookie, Referer of a declared host": "placeholder_misplaced",
    "placeholder sent to an undeclared host or over a tunnel it could see": "placeholder_undeclared",
    "duplicated headers, control characters, pseudo-headers, both framings, chunk extensions, CR/LF": "smuggling",
    "path tricks against allow": "path_tricks",
    "method override against allow": "method_override",
    "upstream certificate wrong, expired, self-signed, for another name": "upstream_certificate",
    "declared host resolves to a private address; rebinding between check and connect": "addresses",
    "redirect to another host": "redirect",
    "vault changed, key rotated, connection logged out during the run": "revoked",
    "own key of somebody else in Authorization": "foreign_key",
}
"""Every attack on the wire, and the file that plays it."""


def _file(name: str) -> Path:
    return HERE / f"test_attack_{name}.py"


def _functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def _known() -> Iterator[tuple[str, ast.Call]]:
    """Yield every mark of a test that is expected to fail."""
    for path in sorted(HERE.glob("test_attack_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.xfail"):
                yield path.name, node


@pytest.mark.parametrize("name", LINES.values())
def test_an_attack_is_played_and_says_what_must_happen(name: str) -> None:
    path = _file(name)
    tests = [each.name for each in _functions(path) if each.name.startswith("test_")]
    assert tests
    assert len(set(tests)) == len(tests), "a test that is written twice runs once"
    sentence = ast.get_docstring(ast.parse(path.read_text()))
    assert sentence
    assert ":" in sentence.partition("\n")[0]


def test_every_attack_is_on_the_list() -> None:
    assert sorted(map(_file, LINES.values())) == sorted(HERE.glob("test_attack_*.py"))


def test_nothing_is_skipped_and_an_attack_that_works_says_why() -> None:
    for name, mark in _known():
        given = {each.arg: ast.literal_eval(each.value) for each in mark.keywords}
        assert given.keys() == {"strict", "reason"}, name
        assert given["strict"] is True, name
    for path in HERE.glob("test_attack_*.py"):
        assert not re.search(r"mark\.skip|pytest\.skip|importorskip", path.read_text()), path.name


def test_the_readme_says_how_many_attacks_still_work() -> None:
    said = re.search(r"\b(\d+) known\b", README.read_text())
    assert said, f"the README has to say `{len(list(_known()))} known`"
    assert int(said[1]) == len(list(_known()))
