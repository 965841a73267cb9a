"""`authsome doctor --clients`: each client of this machine, tried in a run.

Promises that a verdict rests on what arrived where: a client works if its request reached the provider with a key that
the client did not have, and ignores the proxy if it never asked it. Refuses the network: the provider answers for a
name that exists nowhere (RFC 6761, 6.4) and is reached by standing in for the user's own proxy, on loopback.
"""

import json
import os
import re
import secrets
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer, ThreadingTCPServer

from authsome import demo
from authsome.errors import AuthsomeError, ExitCode
from authsome.origin import certify

_HOST = "clients.authsome.invalid"
_TIMEOUT = 20.0
_COMPILE_TIMEOUT = 120.0
_AGENT = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
_GO = """\
package main

import (
	"net/http"
	"os"
)

func main() { http.Get(os.Args[1]) }
"""
_JAVA = """\
import java.net.*;
import java.net.http.*;

class Get {
    public static void main(String[] a) throws Exception {
        Authenticator known = new Authenticator() {
            @Override protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(System.getProperty("https.proxyUser", ""),
                    System.getProperty("https.proxyPassword", "").toCharArray());
            }
        };
        HttpClient.newBuilder().authenticator(known).build()
            .send(HttpRequest.newBuilder(URI.create(a[0])).build(), HttpResponse.BodyHandlers.discarding());
    }
}
"""
_AIOHTTP = """\
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(sys.argv[1]): pass
asyncio.run(main())
"""
_BOTO3 = """\
import sys, boto3, botocore.config
once = botocore.config.Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
named = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "none")
boto3.client("s3", endpoint_url=sys.argv[1], region_name="none", config=once, **named).list_buckets()
"""
_PYTHON = {
    "urllib": "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)",
    "requests": "import sys, requests; requests.get(sys.argv[1], timeout=10)",
    "httpx": "import sys, httpx; httpx.get(sys.argv[1], timeout=10)",
    "aiohttp": _AIOHTTP,
    "boto3": _BOTO3,
}


class Verdict(StrEnum):
    """What became of a client's request."""

    WORKS = "works"
    AROUND = "ignores the proxy"
    DISTRUSTS = "distrusts the certificate"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """How a client did, and what to do about it (empty where nothing is to be done)."""

    client: str
    verdict: Verdict
    advice: str = ""


@dataclass(frozen=True, slots=True)
class _Client:
    """A program and its arguments; `{url}` and `{folder}` stand for the address and for an empty folder."""

    name: str
    command: tuple[str, ...]
    timeout: float = _TIMEOUT


_CLIENTS = (
    _Client("curl", ("curl", "--silent", "--show-error", "--output", os.devnull, "{url}")),
    _Client("wget", ("wget", "--quiet", "--tries=1", f"--output-document={os.devnull}", "{url}")),
    _Client("git", ("git", "ls-remote", "{url}")),
    _Client("node fetch", ("node", "--eval", "fetch(process.argv[1])", "{url}")),
    _Client("node https", ("node", "--eval", "require('https').get(process.argv[1], r => r.resume())", "{url}")),
    _Client("npm", ("npm", "view", "--registry={url}/", "--cache={folder}", "--fetch-retries=0", "none")),
    _Client("pip", ("pip", "download", "--no-cache-dir", "--retries=0", "--no-deps", "--index-url={url}", "none")),
    _Client("uv", ("uv", "pip", "install", "--no-cache", "--target={folder}", "--index-url={url}", "none")),
    _Client("cargo", ("cargo", "search", "--index=sparse+{url}/", "none")),
    _Client("deno", ("deno", "eval", "await fetch(Deno.args[0])", "{url}")),
    _Client("java HttpClient", ("java", "{folder}/Get.java", "{url}"), _COMPILE_TIMEOUT),
    _Client("go", ("go", "run", "{folder}/get.go", "{url}"), _COMPILE_TIMEOUT),
    *(_Client(f"python {name}", ("python3", "-c", script, "{url}")) for name, script in _PYTHON.items()),
)
_ADVICE = {
    ("node", Verdict.AROUND): "upgrade to Node 24 or 22.21, or use undici's EnvHttpProxyAgent",
    ("npm", Verdict.AROUND): "remove `proxy`, `https-proxy` and `noproxy` from your .npmrc",
    ("npm", Verdict.DISTRUSTS): 'export npm_config_cafile="$(npm config get cafile)" before `authsome run`',
    ("git", Verdict.AROUND): "look for `http.proxy` with `git config --show-origin --get-regexp proxy`, and unset it",
    ("git", Verdict.DISTRUSTS): "look for it with `git config --show-origin --get-regexp 'http.*ssl'`, and unset it",
    ("curl", Verdict.AROUND): "remove `proxy` and `noproxy` from your .curlrc",
    ("curl", Verdict.DISTRUSTS): "remove `cacert` from your .curlrc; a curl built on Schannel reads no variable",
    ("wget", Verdict.DISTRUSTS): "remove `ca_certificate` from your .wgetrc, or pass --ca-certificate=$SSL_CERT_FILE",
    ("pip", Verdict.AROUND): "remove `proxy` with `pip config unset global.proxy`",
    ("java", Verdict.AROUND): "Java before 9 cannot read the options of a run; upgrade",
    ("java", Verdict.DISTRUSTS): "let your program use the default SSLContext, which reads javax.net.ssl.trustStore",
}
_GENERAL = {
    Verdict.WORKS: "",
    Verdict.AROUND: "set its proxy to the value of HTTPS_PROXY inside the run",
    Verdict.DISTRUSTS: "let it trust the file that SSL_CERT_FILE names inside the run",
    Verdict.FAILED: "run it yourself under `authsome run --` to see what it says",
}
_CONDITIONS = {
    "java HttpClient": "give it an Authenticator with https.proxyUser and https.proxyPassword, as was done here",
    "python aiohttp": "needs ClientSession(trust_env=True), as was given here",
}


class _Provider(ThreadingHTTPServer):
    """The user's proxy and the service behind it, in one: what asks for a tunnel talks to the service."""

    daemon_threads = True

    def __init__(self, settings: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.settings = settings
        self.received: list[tuple[str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    server: _Provider
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        """Become the service."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # ours is the only proxy that asks here, and it may give up
            self.connection = self.server.settings.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.handle_one_request()
        self.close_connection = True

    def do_GET(self) -> None:
        """Write down what arrived; there is nothing here."""
        self.server.received.append((self.path, self.headers.get("Authorization", "")))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        """Answer what asks first whether there is something as what asks for it."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Tap(ThreadingTCPServer):
    """What stands between the clients and the run's proxy, and sees who asks for what."""

    daemon_threads = True

    def __init__(self, proxy: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Pass)
        self.proxy = proxy
        self.asked = self.refused = False


class _Pass(BaseRequestHandler):
    server: _Tap

    def handle(self) -> None:
        """Pass bytes both ways until one side ends."""
        with suppress(OSError), socket.create_connection(self.server.proxy) as proxy:
            other = {self.request: proxy, proxy: self.request}
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    self._note(data)
                    other[ready].sendall(data)

    def _note(self, data: bytes) -> None:
        if data.startswith(f"CONNECT {_HOST}:443 ".encode()):
            self.server.asked, self.server.refused = True, False
        elif data.startswith(b"HTTP/1.1 407 "):
            self.server.refused = True


@dataclass(frozen=True)
class _Stage:
    """Where clients are tried."""

    folder: Path
    provider: _Provider
    tap: _Tap
    environ: Mapping[str, str] = field(repr=False)
    key: str = field(repr=False)


def examine(progress: Callable[[str], None]) -> list[Result]:
    """Try every client that is on PATH and return how each did; `progress` gets the name of the one that is tried."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authsome-doctor-")))
        stage = stack.enter_context(_stage(folder))
        results = []
        for client in _CLIENTS:
            if _is_there(client, stage.environ):
                progress(client.name)
                results.append(_try(client, stage))
        return results


def _is_there(client: _Client, environ: Mapping[str, str]) -> bool:
    """Whether the program is on PATH, with the library or compiler that the client is about."""
    program, name = client.command[0], client.name.rpartition(" ")[2]
    if not shutil.which(program):
        return False
    if program == "python3":
        return _runs((program, "-c", f"import {name}"), environ)
    return program != "java" or _runs((program, "--describe-module", "jdk.compiler"), environ)


def _runs(command: tuple[str, ...], environ: Mapping[str, str]) -> bool:
    try:
        return subprocess.run(command, env=environ, capture_output=True, check=False, timeout=_TIMEOUT).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _try(client: _Client, stage: _Stage) -> Result:
    stage.tap.asked = stage.tap.refused = False
    name = client.name.replace(" ", "-")
    folder = stage.folder / name
    folder.mkdir()
    (folder / "get.go").write_text(_GO)
    (folder / "Get.java").write_text(_JAVA)
    url = f"https://{_HOST}/{name}"
    command = [part.replace("{url}", url).replace("{folder}", str(folder)) for part in client.command]
    environ = {**stage.environ, "CARGO_HOME": str(folder), "CARGO_NET_RETRY": "0", "UV_HTTP_RETRIES": "0"}
    ended = _run(command, environ, folder, client.timeout)
    keys = [key for path, key in stage.provider.received if path.partition("?")[0].startswith(f"/{name}")]
    if keys:
        good = all(key == f"Bearer {stage.key}" for key in keys)
        return _result(client, Verdict.WORKS if good else Verdict.FAILED)
    if stage.tap.refused:
        return Result(client.name, Verdict.FAILED, "it sends no password to the proxy; take it from HTTPS_PROXY")
    if not ended:
        return _result(client, Verdict.FAILED)
    return _result(client, Verdict.DISTRUSTS if stage.tap.asked else Verdict.AROUND)


def _run(command: list[str], environ: Mapping[str, str], folder: Path, timeout: float) -> bool:
    """Run a client and return whether it ran to an end of its own; what it started goes with it."""
    quiet = subprocess.DEVNULL
    try:
        started = subprocess.Popen(
            command, env=environ, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except OSError:
        return False
    try:
        return started.wait(timeout) not in (126, 127)
    except subprocess.TimeoutExpired:
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, 9)
        started.wait()


def _result(client: _Client, verdict: Verdict) -> Result:
    advice = _ADVICE.get((client.command[0], verdict), _GENERAL[verdict])
    return Result(client.name, verdict, _CONDITIONS.get(client.name, "") if verdict is Verdict.WORKS else advice)


@contextmanager
def _stage(folder: Path) -> Iterator[_Stage]:
    """Start provider, run and tap; end them in the other order."""
    key = f"doctor-{secrets.token_hex(16)}"
    settings, roots = certify(folder, _HOST)
    with _Provider(settings) as provider, _serving(provider):
        definition = {"name": "doctor", "host_url": f"https://{_HOST}", "api_key": {"env_var": "DOCTOR_API_KEY"}}
        environ = demo.make_home(folder, definition, roots)
        environ |= {"HTTPS_PROXY": f"http://127.0.0.1:{provider.server_address[1]}", "NO_PROXY": "", "no_proxy": ""}
        demo.authsome(["login", "doctor", "--stdin"], environ, given=key)
        with _child(environ) as inside:
            port = int(inside["HTTPS_PROXY"].rpartition(":")[2])
            with _Tap(("127.0.0.1", port)) as tap, _serving(tap):
                moved = _moved(inside, port, tap.server_address[1], folder)
                yield _Stage(folder, provider, tap, moved, key)


@contextmanager
def _serving(server: TCPServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def _child(environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the environment of a child of `authsome run`, which lasts as long."""
    command = [sys.executable, "-m", "authsome", "run", "--", sys.executable, "-c", _AGENT]
    with subprocess.Popen(
        command,
        env=environ,
        cwd=environ["AUTHSOME_HOME"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, and the end of its input for it
    ) as run:
        assert run.stdin is not None  # noqa: S101  for the type checker
        assert run.stdout is not None  # noqa: S101  for the type checker
        line = run.stdout.readline()
        if not line:
            raise AuthsomeError("`authsome run` did not start", hint="authsome demo", code=ExitCode.REFUSED)
        try:
            yield json.loads(line)
        finally:
            run.stdin.close()


def _moved(inside: Mapping[str, str], port: int, tap: int, folder: Path) -> dict[str, str]:
    """Return the child's environment with the tap in the proxy's place, also in the options of a JVM."""
    moved = {name: text.replace(f"@127.0.0.1:{port}", f"@127.0.0.1:{tap}") for name, text in inside.items()}
    if found := re.search(r"-XX:VMOptionsFile=([^\"]+)", moved.get("JAVA_TOOL_OPTIONS", "")):
        options = folder / "java.options"
        options.write_text(Path(found[1]).read_text().replace(f'proxyPort={port}"', f'proxyPort={tap}"'))
        moved["JAVA_TOOL_OPTIONS"] = moved["JAVA_TOOL_OPTIONS"].replace(found[1], str(options))
    return moved
