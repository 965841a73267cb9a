"""The programs that formats are for read thousands of values, one process each."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from authsome.export import Format
from exported import LONG, many, written
from node import Install

pytest_plugins = ["node_fixtures"]

VALUES = many(seed=6, number=1500)
# As long as docker, and as a program's environment, takes a line; one more; and many more.
VALUES += ["x" * (longest - len("V1234=") - 1 + more) for longest in (64 * 1024, 128 * 1024) for more in (0, 1)] + [
    LONG
]
_PATH = "/usr/local/bin:/usr/bin:/bin"

type Read = Mapping[str, str]


def _environment(output: bytes) -> Read:
    """Return what `env -0` shows: what a program gets that the shell starts."""
    return dict(line.split("=", 1) for line in output.decode().split("\0") if "=" in line)


def _json(output: bytes) -> Read:
    return {name: value for name, value in json.loads(output).items() if isinstance(value, str)}


_NPM_DOTENV = "const d = require('dotenv'); console.log(JSON.stringify(d.parse(require('fs').readFileSync('vars'))))"
_PYTHON_DOTENV = "import dotenv, json; print(json.dumps(dotenv.dotenv_values('vars', encoding='utf-8')))"
_SOURCED = ". ./vars; exec env -0"
_NODE = ["node", "--env-file=vars", "-e", "process.stdout.write(JSON.stringify(process.env))"]
_FISH = ["fish", "--no-config", "-c"]

READERS: Mapping[str, tuple[Format, list[str], Callable[[bytes], Read]]] = {
    **{
        f"env, {shell}": (Format.ENV, [shell, "-c", f"set -a; {_SOURCED}"], _environment)
        for shell in ("sh", "bash", "zsh")
    },
    **{f"shell, {shell}": (Format.SHELL, [shell, "-c", _SOURCED], _environment) for shell in ("sh", "bash", "zsh")},
    "shell, eval": (Format.SHELL, ["sh", "-c", 'eval "$(cat vars)"; exec env -0'], _environment),
    "shell, eval of zsh": (Format.SHELL, ["zsh", "-c", 'eval "$(cat vars)"; exec env -0'], _environment),
    "fish, source": (Format.FISH, [*_FISH, "cat vars | source; env -0"], _environment),
    "fish, eval": (Format.FISH, [*_FISH, "eval (cat vars); env -0"], _environment),
    "direnv": (Format.DIRENV, ["direnv", "exec", ".", "env", "-0"], _environment),
    "env, python-dotenv": (Format.ENV, [sys.executable, "-c", _PYTHON_DOTENV], _json),
    "dotenv, python-dotenv": (Format.DOTENV, [sys.executable, "-c", _PYTHON_DOTENV], _json),
    "env, node --env-file": (Format.ENV, _NODE, _json),
    "dotenv, node --env-file": (Format.DOTENV, _NODE, _json),
    "env, a later node": (Format.ENV, _NODE, _json),
    "dotenv, a later node": (Format.DOTENV, _NODE, _json),
    "env, npm's dotenv": (Format.ENV, ["node", "-e", _NPM_DOTENV], _json),
    "dotenv, npm's dotenv": (Format.DOTENV, ["node", "-e", _NPM_DOTENV], _json),
}
AT_LEAST = {Format.ENV: 0.7, Format.DOTENV: 0.75, Format.DOCKER: 0.8}
"""The share of these values, most of which are no keys anybody would have, that a format has to carry."""


def _carried(form: Format) -> tuple[str, dict[str, str]]:
    text, expected = written(form, VALUES)
    assert len(expected) / len(VALUES) > AT_LEAST.get(form, 0.9)
    return text, expected


def _run(command: list[str], env: Mapping[str, str], folder: Path) -> bytes:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@pytest.mark.parametrize("reader", READERS)
def test_a_program_reads_every_value_exactly(reader: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    form, command, understood = READERS[reader]
    if shutil.which(command[0]) is None:
        pytest.skip(f"the program `{command[0]}` is not installed")
    env = {"PATH": _PATH, "HOME": str(tmp_path)}
    if "npm" in reader:
        install: Install = request.getfixturevalue("install")
        env["NODE_PATH"] = str(install("dotenv@17") / "node_modules")
    if "later" in reader:
        command = [request.getfixturevalue("modern_node"), *command[1:]]
    text, expected = _carried(form)
    (tmp_path / (".envrc" if form is Format.DIRENV else "vars")).write_bytes(text.encode())
    if form is Format.DIRENV:
        _run(["direnv", "allow", "."], env, tmp_path)
    read = understood(_run(command, env, tmp_path))
    assert {name: (value, read.get(name)) for name, value in expected.items() if read.get(name) != value} == {}


def test_a_value_that_keeps_programs_from_starting_is_refused_to_the_octet(tmp_path: Path) -> None:
    longest = "x" * (128 * 1024 - len("V0=") - 1)
    _, expected = written(Format.SHELL, [longest, longest + "xx"])
    assert list(expected) == ["V0"]
    true = shutil.which("true") or "true"
    assert subprocess.run([true], env={"V0": longest}, check=False, cwd=tmp_path).returncode == 0
    with pytest.raises(OSError, match="too long"):
        subprocess.run([true], env={"V0": longest + "x"}, check=False, cwd=tmp_path)


class Daemon(BaseHTTPRequestHandler):
    """As much of Docker's daemon as `docker create` asks for: it keeps the container that it is told to make."""

    asked: list[bytes]

    def do_HEAD(self) -> None:
        self._answer(200, b"OK")

    do_GET = do_HEAD  # noqa: N815  the name that the standard library looks for

    def do_POST(self) -> None:
        self.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(201, b'{"Id": "made", "Warnings": []}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", "1.47")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_docker_itself_reads_every_value_exactly(tmp_path: Path) -> None:
    if shutil.which("docker") is None:
        pytest.skip("the program `docker` is not installed; its rules are read in test_export.py")
    text, expected = _carried(Format.DOCKER)
    (tmp_path / "vars").write_bytes(text.encode())
    asked: list[bytes] = []
    daemon = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Daemon,), {"asked": asked}))
    threading.Thread(target=daemon.serve_forever, daemon=True).start()
    try:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "DOCKER_HOST": f"tcp://127.0.0.1:{daemon.server_port}",
        }
        _run(["docker", "create", "--pull=never", "--env-file=vars", "image"], env, tmp_path)
    finally:
        daemon.shutdown()
        daemon.server_close()
    read = dict(line.split("=", 1) for line in json.loads(asked[0])["Env"])
    assert {name: (value, read.get(name)) for name, value in expected.items() if read.get(name) != value} == {}
