"""What an editor makes of the manifest's schema: the language server that most of them have, spoken to as they do."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import CommandLine
from node import Install

pytest_plugins = ["node_fixtures"]

# The last line but one is where somebody is about to type a key.
MANIFEST = (
    "# yaml-language-server: $schema=.authsome/schema.json\n"
    "version: 1\n"
    "providers:\n"
    "  openai:\n"
    "    alow: []\n"
    "    \n"
    "egress: {default: open}\n"
)


class Editor:
    """An editor with one file open (Language Server Protocol 3.17, over standard input and output)."""

    def __init__(self, server: list[str], path: Path) -> None:
        self._process = subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=path.parent)
        self._asked = 0
        self.problems: list[str] = []
        self._file = {"uri": path.as_uri()}
        self.ask("initialize", processId=None, rootUri=path.parent.as_uri(), capabilities={})
        self._send(method="initialized", params={})
        settings = {"yaml": {"schemaStore": {"enable": False}, "validate": True, "hover": True, "completion": True}}
        self._send(method="workspace/didChangeConfiguration", params={"settings": settings})
        opened = {**self._file, "languageId": "yaml", "version": 1, "text": path.read_text()}
        self._send(method="textDocument/didOpen", params={"textDocument": opened})

    def at(self, asked: str, line: int, character: int) -> Any:
        """Return what the server says of a place in the file."""
        return self.ask(
            f"textDocument/{asked}", textDocument=self._file, position={"line": line, "character": character}
        )

    def ask(self, method: str, **params: Any) -> Any:
        self._asked += 1
        self._send(id=self._asked, method=method, params=params)
        return next(each["result"] for each in self._messages() if each.get("id") == self._asked and "result" in each)

    def diagnose(self) -> list[str]:
        """Wait for what is wrong with the file."""
        messages = self._messages()
        while not self.problems:
            next(messages)
        return self.problems

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _send(self, **message: Any) -> None:
        octets = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(octets), octets))
        self._process.stdin.flush()

    def _messages(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout
        while header := self._process.stdout.readline():
            while self._process.stdout.readline().strip():
                continue
            message = json.loads(self._process.stdout.read(int(header.partition(b":")[2])))
            if "id" in message and "method" in message:  # the server asks for settings, and is told there are none
                self._send(id=message["id"], result=None)
            elif message.get("method") == "textDocument/publishDiagnostics":
                self.problems = [each["message"] for each in message["params"]["diagnostics"]]
            yield message


@pytest.fixture
def editor(install: Install, authsome: CommandLine) -> Iterator[Editor]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node on this machine")
    server = install("yaml-language-server@1") / "node_modules" / ".bin" / "yaml-language-server"
    (authsome.project / ".authsome").mkdir()
    (authsome.project / ".authsome" / "schema.json").write_text(authsome("schema").out)
    opened = Editor([node, str(server), "--stdio"], authsome.declare(MANIFEST))
    yield opened
    opened.close()


def test_an_editor_explains_completes_and_checks_the_manifest(editor: Editor) -> None:
    hover = editor.at("hover", 2, 3)["contents"]["value"]
    assert "The providers whose keys the agent needs, by name" in hover
    offered = {each["label"] for each in editor.at("completion", 5, 4)["items"]}
    assert {"required", "why", "scopes", "allow", "scrub", "env", "connections"} <= offered
    wrong = "\n".join(editor.diagnose())
    assert "alow" in wrong
    assert '"allow"' in wrong
    assert '"deny"' in wrong


def test_a_vault_is_sound_with_a_schema_beside_it(authsome: CommandLine) -> None:
    (authsome.project / ".authsome").mkdir()
    (authsome.project / ".authsome" / "schema.json").write_text(authsome("schema").out)
    assert authsome("vault", "verify", ".authsome").code == 0
