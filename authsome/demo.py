"""`authsome demo`: the main job with nothing but this machine.

Promises to go the way every user goes: `login`, `run` and the proxy are the real commands, started as processes, with
a provider definition of the demo's own. Refuses to touch the user's home or network: home, provider and credential
exist for a few seconds in a temporary folder and on loopback.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError
from authsome.origin import certify

_AGENT = """\
import json, os, urllib.request

key = os.environ["DEMO_API_KEY"]
request = urllib.request.Request(os.environ["DEMO_URL"], headers={"Authorization": f"Bearer {key}"})
with urllib.request.urlopen(request, timeout=20) as response:
    status = response.status
print(json.dumps({"held": key, "status": status}))
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What happened. `received` holds the throw-away key, which the demo made itself and which is gone by now.

    Attributes:
        held: What the agent read from its environment.
        sent: The header that left the agent, as the agent wrote it.
        received: The header the provider got.
        status: What the provider answered.
    """

    held: str
    sent: str
    received: str
    status: int
    key: str

    @property
    def proven(self) -> bool:
        """Whether the provider accepted a key that the agent did not have."""
        return self.status == HTTPStatus.OK and self.key in self.received and self.key not in self.held


class _Provider(ThreadingHTTPServer):
    """A service that knows one key, on loopback."""

    def __init__(self, key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.key = key
        self.received: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    server: _Provider

    def do_GET(self) -> None:
        """Answer 200 to the right key and 401 to any other."""
        given = self.headers.get("Authorization", "")
        self.server.received.append(given)
        self.send_response(200 if given == f"Bearer {self.server.key}" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def play() -> Shown:
    """Run the demo and return what happened, or raise what went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="authsome-demo-"))
    try:
        return _play(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play(folder: Path) -> Shown:
    key = f"demo-{secrets.token_hex(16)}"
    with _provider(folder, key) as (server, roots):
        port = server.server_address[1]
        definition = {
            "name": "demo",
            "display_name": "Demo",
            "host_url": f"https://localhost:{port}",
            "api_key": {"env_var": "DEMO_API_KEY", "key_pattern": "^demo-[0-9a-f]{32}$"},
        }
        environ = make_home(folder, definition, roots) | {"DEMO_URL": f"https://localhost:{port}/v1/hello"}
        authsome(["login", "demo", "--stdin"], environ, given=key)
        agent = folder / "agent.py"
        agent.write_text(_AGENT)
        told = json.loads(authsome(["run", "--", sys.executable, str(agent)], environ))
        received = server.received[-1] if server.received else ""
    held = str(told["held"])
    return Shown(held, f"Bearer {held}", received, told["status"], key)


@contextmanager
def _provider(folder: Path, key: str) -> Iterator[tuple[_Provider, Path]]:
    """Serve TLS as `localhost`; yield the server and the file with its root."""
    settings, roots = certify(folder, "localhost")
    with _Provider(key) as server:
        server.socket = settings.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server, roots
        finally:
            server.shutdown()


def make_home(folder: Path, definition: Mapping[str, Any], roots: Path) -> dict[str, str]:
    """Make a home with one provider definition and return the environment that uses it."""
    home = folder / "home"
    (home / "providers").mkdir(parents=True)
    (home / "providers" / f"{definition['name']}.json").write_text(json.dumps(definition))
    mine = {name: text for name, text in os.environ.items() if not name.startswith("AUTHSOME_")}
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        mine.pop(name, None)  # a loopback provider is not reached through the company's proxy
    return mine | {"AUTHSOME_HOME": str(home), "SSL_CERT_FILE": str(roots)}


def authsome(arguments: list[str], environ: Mapping[str, str], given: str = "") -> str:
    """Run one of our own commands as a user would and return its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "authsome", *arguments],
        input=given,
        env=environ,
        cwd=Path(environ["AUTHSOME_HOME"]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise AuthsomeError(f"the demo's `authsome {arguments[0]}` ended with {done.returncode}: {last}")
    return done.stdout
