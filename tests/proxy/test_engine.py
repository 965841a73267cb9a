"""The engine against an upstream on loopback that speaks HTTP/1.1 alone."""

import json
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from canary import sings
from conftest import CommandLine

AGENTS = Path(__file__).parent.parent / "clients" / "agents"
KEY = "CANARY-key"

_H2_UPLOAD = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import h2.connection, h2.events, socket, ssl, tunnel
authority = sys.argv[2]
protocol = h2.connection.H2Connection()
settings = ssl.create_default_context()
settings.set_alpn_protocols(["h2"])
with settings.wrap_socket(tunnel.connect(authority), server_hostname="localhost") as connection:
    protocol.initiate_connection()
    names = {":method": "POST", ":scheme": "https", ":authority": authority, ":path": "/b"}
    protocol.send_headers(1, list(names.items()))
    protocol.send_data(1, b"GET /smuggled HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", end_stream=True)
    connection.sendall(protocol.data_to_send())
    status, body, ended = None, b"", False
    while not ended:
        for event in protocol.receive_data(connection.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived): status = dict(event.headers)[b":status"].decode()
            if isinstance(event, h2.events.DataReceived): body += event.data
            ended = ended or isinstance(event, h2.events.StreamEnded)
print(json.dumps({"status": status, "body": json.loads(body)}))
"""


class _Recorder(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.requests: list[tuple[str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    server: _Recorder
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append((self.requestline, self.headers.get("Authorization", "")))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET  # noqa: N815  the name http.server looks for

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def upstream(authsome: CommandLine) -> Iterator[_Recorder]:
    """Serve `localhost` and connect a provider that is allowed to use it."""
    authority = trustme.CA()
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(settings)
    roots = authsome.root / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    with _Recorder() as server:
        server.socket = settings.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        authsome.env = {"SSL_CERT_FILE": str(roots)}
        (authsome.home / "providers").mkdir(parents=True)
        url = f"https://localhost:{server.server_address[1]}"
        definition = {"name": "local", "host_url": url, "api_key": {"env_var": "LOCAL_KEY"}}
        (authsome.home / "providers" / "local.json").write_text(json.dumps(definition))
        authsome.login("local", KEY)
        yield server
        server.shutdown()


def test_a_port_of_its_own_is_part_of_the_host(authsome: CommandLine, upstream: _Recorder) -> None:
    port = upstream.server_address[1]
    script = f"import urllib.request as r; print(r.urlopen('https://localhost:{port}/a', timeout=20).read())"
    done = authsome("run", "--", sys.executable, "-c", script)
    assert done.out == "b'ok'\n", done
    assert upstream.requests == [("GET /a HTTP/1.1", f"Bearer {KEY}")]


def test_a_body_of_http2_is_not_sent_unframed_to_an_upstream_without_it(
    authsome: CommandLine, upstream: _Recorder
) -> None:
    authority = f"localhost:{upstream.server_address[1]}"
    done = authsome("run", "--", sys.executable, "-c", _H2_UPLOAD, str(AGENTS), authority)
    assert done.code == 0, done
    answer = json.loads(done.out)
    assert (answer["status"], answer["body"]["error"]) == ("502", "upstream_failed")
    assert "speaks no HTTP/2" in answer["body"]["reason"]
    assert upstream.requests == []


def test_a_hook_that_fails_refuses_and_tells_no_words_of_its_own(authsome: CommandLine, upstream: _Recorder) -> None:
    """A vault can hold what no header takes, for instance if it was written by another version."""
    port = upstream.server_address[1]
    broken = authsome.root / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0].endswith('authsome'):\n"
        "    from authsome import provider\n"
        "    def fields(self, secrets): raise ValueError(secrets)\n"
        "    provider.Placement.fields = fields\n"
    )
    authsome.env["PYTHONPATH"] = str(broken)
    script = f"curl -sS --max-time 20 https://localhost:{port}/a"
    done = authsome("run", "--", "sh", "-c", script)
    assert json.loads(done.out)["error"] == "internal", done
    assert not sings(done.err.encode())
    assert upstream.requests == []
