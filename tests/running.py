"""A run that goes on: an agent on one kept connection, which asks for what it is told to ask for."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from canary import sings
from conftest import EXECUTABLE, CommandLine

PATIENCE = 30

_AGENT = """
import http.client, json, os, ssl, sys
from base64 import b64encode
from urllib.parse import urlsplit
proxy = urlsplit(os.environ["HTTPS_PROXY"])
password = b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
def opened(host, port):
    made = http.client.HTTPSConnection(proxy.hostname, proxy.port, timeout=20)
    made.set_tunnel(host, port, {"Proxy-Authorization": f"Basic {password}"})
    return made
def port(made): return made.sock.getsockname()[1]
kept = opened("localhost", int(sys.argv[1]))
for line in sys.stdin:
    method, path = line.split()
    if method == "ENVIRONMENT":
        answer = {"environment": dict(os.environ)}
    elif method == "CONNECT":
        try: opened(path, 443).connect(); answer = {"status": 200}
        except OSError as error: answer = {"status": str(error)}
    else:
        kept.request(method, path)
        mine = port(kept)
        response = kept.getresponse()
        answer = {"status": response.status, "body": json.loads(response.read()), "connection": mine}
    print(json.dumps(answer), flush=True)
"""


@dataclass
class Run:
    """A run that goes on, its agent waiting to be told what to ask for."""

    process: "subprocess.Popen[str]"
    log: Path

    def ask(self, method: str = "GET", path: str = "/a") -> dict[str, object]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{method} {path}\n")
        self.process.stdin.flush()
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer

    def error(self, method: str = "GET", path: str = "/a") -> str:
        """Return what a request is refused with, or `none`."""
        body = self.ask(method, path)["body"]
        assert isinstance(body, dict)
        return str(body.get("error", "none"))

    def said(self) -> str:
        return self.log.read_text()

    def until_said(self, words: str) -> None:
        until(lambda: words in self.said(), self.said)


def until(condition: Callable[[], bool], shown: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, shown()
        time.sleep(0.05)


@contextlib.contextmanager
def running(line: CommandLine, port: int) -> Iterator[Run]:
    """Start a run whose agent asks a port of `localhost`; whatever it says, no secret is in it."""
    log = line.root / "said.log"
    command = [str(EXECUTABLE), "run", "--", sys.executable, "-c", _AGENT, str(port)]
    with (
        log.open("w") as said,
        subprocess.Popen(
            command,
            cwd=line.project,
            env=line.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        made = Run(process, log)
        try:
            yield made
        finally:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE) == 0, made.said()
    assert not sings(log.read_bytes())
