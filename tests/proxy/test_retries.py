"""A refusal is final: a client that met one does not ask again.

What an upstream failed at (502) and a mistake of our own (500) may be asked again: nothing was sent, and it can pass.
"""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai
import pytest
import urllib3

import authsome

PACKAGE = Path(authsome.__file__).parent
STATUSES = {403, *(int(n) for n in re.findall(r"status=(4\d\d)", (PACKAGE / "rules.py").read_text()))} | {
    int(n) for n in re.findall(r"status=(4\d\d)", (PACKAGE / "proxy" / "engine.py").read_text())
}
"""Every status that a hostile or mistaken request can be refused with, as the program spells it."""


class _Counter(ThreadingHTTPServer):
    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Refuse)
        self.status, self.requests = status, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Refuse(BaseHTTPRequestHandler):
    server: _Counter
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests += 1
        body = json.dumps({"error": "not_allowed", "reason": "no"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(params=sorted(STATUSES))
def refusing(request: pytest.FixtureRequest) -> Iterator[_Counter]:
    with _Counter(request.param) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_the_refusals_are_those_that_are_known() -> None:
    assert {400, 403, 421} == STATUSES


def test_openais_client_asks_once(refusing: _Counter) -> None:
    with openai.OpenAI(api_key="authsome-proxy-managed", base_url=refusing.url, max_retries=2) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            client.models.list()
        assert raised.value.status_code == refusing.status
    assert refusing.requests == 1


def test_urllib3_asks_once(refusing: _Counter) -> None:
    retry = urllib3.Retry(3, backoff_factor=0, status_forcelist=[408, 409, 413, 425, 429, 500, 502, 503, 504])
    with urllib3.PoolManager(retries=retry) as pool:
        assert pool.request("GET", f"{refusing.url}/v1/models").status == refusing.status
    assert refusing.requests == 1
