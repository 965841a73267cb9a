"""The services' side of the world: what the real hosts would be, on loopback, and a record of all that reached them.

One ASGI application answers for every host name. Each request is written down when it arrives, before it is answered,
so that a test that finds nothing written down knows that nothing arrived.
"""

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
from base64 import b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast, override

import trustme
from hypercorn.asyncio import serve as serve_asgi
from hypercorn.config import Config

import awsorigin
import packages
from canary import ANTHROPIC_KEY, G2_TOKEN, GITHUB_TOKEN, OPENAI_KEY
from reflections import SPELLINGS, compress

INTERCOM_KEY = "intercom-CANARY-0123456789"
ACME_KEY = "acme-CANARY-0123456789"

HOSTS = (
    *("api.openai.com", "api.anthropic.com", "api.github.com", "uploads.github.com", "github.com"),
    *("undeclared.example", "other.example", "packages.example", "storage.example", "rpc.example"),
    *awsorigin.HOSTS,
)
UNTRUSTED = "api.intercom.io"
"""Shows a certificate for its own name that no trusted authority signed."""
MISNAMED = "api.g2.com"
"""Shows a certificate of a trusted authority for another name."""
ALL_HOSTS = (*HOSTS, UNTRUSTED, MISNAMED)

KEYS = {
    "openai": OPENAI_KEY,
    "anthropic": ANTHROPIC_KEY,
    "github": GITHUB_TOKEN,
    "intercom": INTERCOM_KEY,
    "g2": G2_TOKEN,
    "acme": ACME_KEY,
}
GIT_AUTHORIZATION = "Basic " + b64encode(f"x-access-token:{GITHUB_TOKEN}".encode()).decode()
INDEX_AUTHORIZATION = "Basic " + b64encode(f"user:{ACME_KEY}".encode()).decode()
REPOSITORY = "/acme/widgets.git"
PATIENCE = 60
"""Seconds until a stream that nobody releases gives up."""
BLOCK = bytes(1 << 16)

type _Message = MutableMapping[str, Any]
type _Receive = Callable[[], Awaitable[_Message]]
type _Send = Callable[[_Message], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request as the origin got it; `body` is None when its end did not arrive."""

    host: str
    method: str
    path: str
    version: str
    scheme: str
    headers: tuple[tuple[str, str], ...]
    peer: int
    body: int | None

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class Record:
    """The requests that arrived, one JSON line on arrival and one when the body was read to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0

    def arrived(self, line: dict[str, Any]) -> int:
        self._number += 1
        self._write({"number": self._number, **line})
        return self._number

    def ended(self, number: int, body: int) -> None:
        self._write({"number": number, "body": body})

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def forget(self) -> None:
        self._path.write_text("")

    def read(self) -> list[Received]:
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for text in self._path.read_text().splitlines():
            line = json.loads(text)
            found[line.pop("number")] |= line
        # A line that only tells of an end belongs to a request from before the record was cleared.
        return [_received(line) for line in found.values() if "host" in line]


def _received(line: dict[str, Any]) -> Received:
    headers = tuple((name, value) for name, value in line.pop("headers"))
    return Received(headers=headers, body=line.pop("body", None), **line)


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: _Message, receive: _Receive, send: _Send, record: Record) -> None:
        self._receive, self.send, self._record = receive, send, record
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode()
        self.target = scope.get("raw_path", b"").decode("latin-1") + (f"?{self.query}" if self.query else "")
        self.headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        self._ended = False
        self._number = record.arrived(
            {
                "host": self.header("host"),
                "method": self.method,
                "path": self.path + ("?" + self.query if self.query else ""),
                "version": scope["http_version"],
                "scheme": scope["scheme"],
                "headers": self.headers,
                "peer": scope["client"][1],
            }
        )

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def argument(self, name: str) -> str:
        found = re.search(rf"(?:^|&){name}=([^&]*)", self.query)
        return found[1] if found else ""

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the body; only its true end is written down."""
        size, more = 0, not self._ended
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            yield message.get("body", b"")
            more = message.get("more_body", False)
        if not self._ended:
            self._ended = True
            self._record.ended(self._number, size)

    async def body(self) -> bytes:
        return b"".join([block async for block in self.blocks()])

    async def count(self) -> int:
        return sum([len(block) async for block in self.blocks()])

    async def begin(self, status: int, *headers: tuple[str, str]) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, content: bytes, *, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": content, "more_body": more})

    async def answer(self, status: int, content: bytes = b"", *headers: tuple[str, str]) -> None:
        await self.count()
        length = () if status == 204 else (("content-length", str(len(content))),)
        await self.begin(status, *length, *headers)
        await self.write(content, more=False)

    async def answer_json(self, status: int, data: Any) -> None:
        await self.answer(status, json.dumps(data).encode(), ("content-type", "application/json"))


@dataclass
class Origin:
    """The application."""

    folder: Path
    record: Record
    releases: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    aws: awsorigin.Aws = field(default_factory=awsorigin.Aws)

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            Exchange(scope, receive, send, self.record)  # which writes it down
            await _echo(receive, send)
        else:
            await self._answer(Exchange(scope, receive, send, self.record))

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.header("host") in awsorigin.HOSTS:
            await self.aws.answer(exchange)
            return
        for pattern, handler in _ROUTES.items():
            if re.fullmatch(pattern, exchange.path):
                await handler(self, exchange)
                return
        await exchange.answer_json(404, {"error": {"message": "no such page"}})

    async def models(self, exchange: Exchange) -> None:
        if exchange.header("authorization") != f"Bearer {OPENAI_KEY}":
            error = {
                "message": "Incorrect API key provided",
                "type": "invalid_request_error",
                "code": "invalid_api_key",
            }
            await exchange.answer_json(401, {"error": error})
            return
        model = {"id": "canned-1", "object": "model", "created": 0, "owned_by": "origin"}
        await exchange.answer_json(200, {"object": "list", "data": [model]})

    async def completions(self, exchange: Exchange) -> None:
        """Stream all chunks but the last, which only a release lets go."""
        asked = json.loads(await exchange.body())
        if exchange.header("authorization") != f"Bearer {OPENAI_KEY}":
            await exchange.answer_json(401, {"error": {"message": "Incorrect API key provided"}})
            return
        await exchange.begin(200, ("content-type", "text/event-stream"), ("cache-control", "no-cache"))
        await exchange.write(_event("first"))
        async with asyncio.timeout(PATIENCE):
            await self.releases[asked["user"]].wait()
        await exchange.write(_event("last", "stop") + b"data: [DONE]\n\n", more=False)

    async def release(self, exchange: Exchange) -> None:
        self.releases[exchange.argument("stream")].set()
        await exchange.answer_json(200, {"released": True})

    async def messages(self, exchange: Exchange) -> None:
        good = exchange.header("x-api-key") == ANTHROPIC_KEY
        await exchange.answer_json(200 if good else 401, {"type": "message" if good else "error"})

    async def user(self, exchange: Exchange) -> None:
        good = exchange.header("authorization") == f"Bearer {GITHUB_TOKEN}"
        await exchange.answer_json(200 if good else 401, {"login": "acme"} if good else {"message": "Bad credentials"})

    async def page(self, exchange: Exchange) -> None:
        await exchange.answer(200, b"<h1>widgets</h1>\n", ("content-type", "text/html"))

    async def echo(self, exchange: Exchange) -> None:
        """Answer with the names of the headers that arrived; `coding` claims one that the body is not in."""
        claimed = [("content-encoding", coding)] if (coding := exchange.argument("coding")) else []
        names = json.dumps(sorted({name for name, _ in exchange.headers})).encode()
        await exchange.answer(200, names, ("content-type", "application/json"), *claimed)

    async def status(self, exchange: Exchange) -> None:
        status = int(exchange.path.rpartition("/")[2])
        await exchange.answer(status, b"" if status == 204 else f"status {status}\n".encode(), ("x-origin", "here"))

    async def big(self, exchange: Exchange) -> None:
        await exchange.count()
        left = int(exchange.argument("bytes"))
        await exchange.begin(200, ("content-length", str(left)), ("content-type", "application/octet-stream"))
        while left > 0:
            await exchange.write(BLOCK[:left])
            left -= len(BLOCK)
        await exchange.write(b"", more=False)

    async def chunked(self, exchange: Exchange) -> None:
        """Answer with as many chunks as came in bytes: neither direction knows its length beforehand."""
        size = await exchange.count()
        await exchange.begin(200, ("content-type", "text/plain"), ("x-got", str(size)))
        for number in range(size):
            await exchange.write(f"{number}\n".encode())
        await exchange.write(b"", more=False)

    async def reflect(self, exchange: Exchange) -> None:
        """Say the key back: `as` a spelling, in a `coding`, in `steps` of so many bytes, after a `lead`."""
        await exchange.count()
        spoken = SPELLINGS[exchange.argument("as") or "plain"](exchange.header("authorization")[7:].encode())
        text = b"." * int(exchange.argument("lead") or 0) + b'{"key": "' + spoken + b'"}\n'
        step, coding = int(exchange.argument("steps") or len(text)), exchange.argument("coding")
        blocks = compress(coding, [text[start : start + step] for start in range(0, len(text), step)])
        kind = ("content-type", exchange.argument("type") or "application/json")
        length = () if exchange.argument("steps") else (("content-length", str(sum(map(len, blocks)))),)
        await exchange.begin(200, kind, *length, *([("content-encoding", coding)] if coding else []))
        for block in blocks:
            await exchange.write(block)
        await exchange.write(b"", more=False)

    async def reflect_events(self, exchange: Exchange) -> None:
        """Stream the key in an event and wait until the client has read it."""
        key = exchange.header("authorization")[7:]
        await exchange.begin(200, ("content-type", "text/event-stream"))
        await exchange.write(f"data: {key}\n\n".encode())
        async with asyncio.timeout(PATIENCE):
            await self.releases[exchange.argument("stream")].wait()
        await exchange.write(b"data: [DONE]\n\n", more=False)

    async def upload(self, exchange: Exchange) -> None:
        await exchange.answer_json(200, {"bytes": await exchange.count()})

    async def git(self, exchange: Exchange) -> None:
        """Answer as GitHub does: git without the token is asked for it."""
        body = await exchange.body()
        if exchange.header("authorization") != GIT_AUTHORIZATION:
            await exchange.answer(401, b"", ("www-authenticate", 'Basic realm="GitHub"'))
            return
        head, _, content = (await asyncio.to_thread(self._backend, exchange, body)).partition(b"\r\n\r\n")
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in head.decode().splitlines())]
        status = next((int(value[:3]) for name, value in headers if name == "Status"), 200)
        await exchange.answer(status, content, *((name, value) for name, value in headers if name != "Status"))

    async def index(self, exchange: Exchange) -> None:
        """Answer as a private index of packages: for Python, npm and cargo, to one account."""
        if exchange.header("authorization") != INDEX_AUTHORIZATION:
            await exchange.answer(401, b"", ("www-authenticate", 'Basic realm="packages"'))
            return
        content = packages.content(exchange.path)
        kind = "text/html" if exchange.path.startswith("/simple/") and exchange.path.endswith("/") else "*/*"
        await exchange.answer(404 if content is None else 200, content or b"", ("content-type", kind))

    async def registry(self, exchange: Exchange) -> None:
        """Answer as a registry of container images (OCI distribution 1.1), to one account."""
        if exchange.header("authorization") != INDEX_AUTHORIZATION:
            await exchange.answer(401, b"", ("www-authenticate", 'Basic realm="images"'))
            return
        found = packages.image(exchange.path)
        kind, content = found or ("application/json", b"{}")
        digest = f"sha256:{sha256(content).hexdigest()}"
        headers = (("content-type", kind), ("docker-content-digest", digest))
        await exchange.answer(404 if found is None else 200, content, *headers)

    async def bucket(self, exchange: Exchange) -> None:
        good = exchange.header("authorization") == f"Bearer {ACME_KEY}"
        await exchange.answer(200 if good else 403, b"stored" if good else b"")

    async def rpc(self, exchange: Exchange) -> None:
        """Answer as a gRPC server with a message, or with two of which only a release lets the second go."""
        await exchange.body()
        headers = [(b"content-type", b"application/grpc")]
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        good = exchange.header("authorization") == f"Bearer {ACME_KEY}"
        if good:
            await exchange.write(_message(b"first"))
        if good and exchange.path.endswith("/Watch"):
            async with asyncio.timeout(PATIENCE):
                await self.releases[exchange.header("x-watch")].wait()
            await exchange.write(_message(b"last"))
        if exchange.path.endswith("/Release"):
            self.releases[exchange.header("x-watch")].set()
        await exchange.write(b"", more=False)
        status = b"0" if good else b"16"  # UNAUTHENTICATED
        await exchange.send({"type": "http.response.trailers", "headers": [(b"grpc-status", status)]})

    def _backend(self, exchange: Exchange, body: bytes) -> bytes:
        """Run git's own server as a CGI program (RFC 3875)."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(self.folder / "repositories"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": exchange.path,
            "QUERY_STRING": exchange.query,
            "REQUEST_METHOD": exchange.method,
            "REMOTE_USER": "acme",
            "CONTENT_TYPE": exchange.header("content-type"),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": exchange.header("content-encoding"),
            "HTTP_GIT_PROTOCOL": exchange.header("git-protocol"),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environ, capture_output=True, check=True, timeout=PATIENCE
        )
        return done.stdout


_ROUTES: dict[str, Callable[[Origin, Exchange], Awaitable[None]]] = {
    "/v1/models": Origin.models,
    "/v1/chat/completions": Origin.completions,
    "/v1/release": Origin.release,
    "/v1/messages": Origin.messages,
    "/user": Origin.user,
    "/acme/widgets": Origin.page,
    "/echo": Origin.echo,
    r"/status/\d+": Origin.status,
    "/big": Origin.big,
    "/chunked": Origin.chunked,
    "/upload": Origin.upload,
    "/reflect": Origin.reflect,
    "/reflect/events": Origin.reflect_events,
    r"/acme/widgets\.git/.*": Origin.git,
    r"/(simple|npm|cargo)/.*": Origin.index,
    r"/v2/.*": Origin.registry,
    "/bucket/key": Origin.bucket,
    r"/acme\.Widgets/\w+": Origin.rpc,
}


def _message(content: bytes) -> bytes:
    """Return one message as gRPC frames it."""
    return b"\0" + len(content).to_bytes(4) + content


async def _echo(receive: _Receive, send: _Send) -> None:
    """Echo text messages of a WebSocket until the other side closes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def _live(receive: _Receive, send: _Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def _event(content: str, finish: str | None = None) -> bytes:
    """Return one chunk of a completion."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "canned-1", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def make_repository(folder: Path) -> None:
    """Make `acme/widgets` with one commit, as anybody with the token may push to."""
    bare, work = folder / "repositories" / REPOSITORY.lstrip("/"), folder / "seed"
    commands = [
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)],
        ["git", "-C", str(bare), "config", "http.receivepack", "true"],
        ["git", "init", "--quiet", "--initial-branch=main", str(work)],
        ["git", "-C", str(work), "commit", "--quiet", "--allow-empty", "--message=seed"],
        ["git", "-C", str(work), "push", "--quiet", str(bare), "main"],
    ]
    for command in commands:
        subprocess.run(command, env=git_environment(folder), check=True, capture_output=True, timeout=PATIENCE)


def git_environment(home: Path) -> dict[str, str]:
    """Return an environment in which git knows nobody's configuration."""
    person = {
        f"GIT_{role}_{what}": "acme@acme.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", **person}


class Listener(Config):
    """Hypercorn's settings, with a certificate chosen by the name that the client asks for."""

    settings: ssl.SSLContext

    @property
    @override
    def ssl_enabled(self) -> bool:
        return True

    @override
    def create_ssl_context(self) -> ssl.SSLContext:
        return self.settings


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.set_alpn_protocols(["h2", "http/1.1"])
    certificate.configure_cert(settings)
    return settings


def _contexts(roots: Path) -> ssl.SSLContext:
    """Return the settings of the listener; the root that signs the good certificates is written to `roots`."""
    trusted, unknown = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(str(roots))
    chosen = _context(trusted.issue_cert(*HOSTS))
    others = {
        UNTRUSTED: _context(unknown.issue_cert(UNTRUSTED)),
        MISNAMED: _context(trusted.issue_cert("wrong.example")),
    }

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = others.get(name or "", chosen)

    chosen.sni_callback = choose
    return chosen


def _listeners() -> Iterator[str]:
    """Listen on the ports of https and http before anybody is told that the world is ready."""
    for port in (443, 80):
        listener = socket.create_server(("", port), backlog=256)
        yield f"fd://{listener.detach()}"


async def serve(folder: Path, ready: Callable[[], None], ended: Callable[[], None]) -> None:
    """Serve until `ended` returns."""
    settings = Listener()
    settings.settings = _contexts(folder / "roots.pem")
    secure, plain = _listeners()
    settings.bind, settings.insecure_bind = [secure], [plain]
    settings.graceful_timeout = settings.shutdown_timeout = 0.1
    settings.keep_alive_max_requests = 1 << 20
    settings.loglevel = "WARNING"
    record = Record(folder / "received.jsonl")
    record.forget()
    ready()
    await serve_asgi(cast("Any", Origin(folder, record)), settings, shutdown_trigger=lambda: asyncio.to_thread(ended))
