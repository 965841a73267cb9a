"""Services of our own on loopback, among them the one that stands for the declared hosts of a fake run.

Promises that an `Origin` answers every name it was made for over TLS, that each piece of an answer leaves when its time
has come, and that a request of any size is read in constant memory. Refuses to decide: what is answered is `fake`'s.

It costs more to import than a child takes to start, so a run imports it afterwards.
"""

import datetime
import os
import ssl
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from socket import socket
from typing import Any

from cryptography.hazmat.primitives import serialization

from authsome.fake import BODILESS, MOST_SHOWN, Reply, Seen, Stage
from authsome.proxy.authority import Authority

_BLOCK = 1 << 16
_LONGEST_LINE = 1 << 12


class Origin(ThreadingHTTPServer):
    """Answers what comes in at a listening socket, as every one of the names; `serve_forever` does it."""

    daemon_threads = True

    def __init__(self, listener: socket, authority: Authority, names: Iterable[str], stage: Stage) -> None:
        # NOTE: binding would ask the machine's resolver for a name, and a fake run uses no network.
        super().__init__(listener.getsockname(), _Exchange, bind_and_activate=False)
        self.socket.close()
        self.socket, self._settings, self.stage = listener, tls(authority, names), stage

    def get_request(self) -> tuple[socket, tuple[str, int]]:
        """Accept a connection; its TLS begins with the first read, which is in its thread."""
        plain, peer = self.socket.accept()
        return self._settings.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away or trusts somebody else; a bug of ours is a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def tls(authority: Authority, names: Iterable[str]) -> ssl.SSLContext:
    """Return TLS for a server that has these names, with a certificate for each."""
    each = {name: _present(authority, name) for name in names if not name.startswith("*.")}
    first = next(iter(each.values()), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def choose(opened: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name and name not in each:
            with suppress(KeyError):  # one below a wildcard is made when somebody asks for it
                each[name] = _present(authority, name)
        opened.context = each.get(name or "", first)

    first.sni_callback = choose
    return first


def _present(authority: Authority, name: str) -> ssl.SSLContext:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.set_alpn_protocols(["http/1.1"])
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate = authority.leaf(name).public_bytes(pem)
    key = authority.leaf_key.private_bytes(pem, private, serialization.NoEncryption())
    # OpenSSL reads certificates from paths alone; a pipe has one, and leaves no file behind when the run ends at once.
    ends = [_pipe(text) for text in (certificate, key)]
    try:
        settings.load_cert_chain(*(f"/dev/fd/{end}" for end in ends))
    finally:
        for end in ends:
            os.close(end)
    return settings


def _pipe(text: bytes) -> int:
    """Return the end from which a text is read that is shorter than what a pipe holds."""
    reading, writing = os.pipe()
    try:
        os.write(writing, text)
    finally:
        os.close(writing)
    return reading


def certify(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Return TLS for a server of this name with an authority of its own, and the file with the root to trust."""
    authority = Authority([name], datetime.datetime.now(datetime.UTC))
    roots = folder / "provider-ca.pem"
    roots.write_text(authority.pem)
    return tls(authority, [name]), roots


class _Exchange(BaseHTTPRequestHandler):
    """One connection and the requests on it."""

    server: Origin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    asked = ""

    def parse_request(self) -> bool:
        """Lead every method to one of this class; the base class looks for a method of the same name."""
        parsed = super().parse_request()
        self.asked, self.command = self.command, "ANY"
        return parsed

    def do_ANY(self) -> None:
        """Read the whole request, and answer it."""
        reply = self.server.stage.answer(self._seen())
        time.sleep(reply.pause)
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        bodiless = reply.status in BODILESS
        chunked = reply.streamed and self.request_version != "HTTP/1.0"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not reply.streamed and not bodiless:
            self.send_header("Content-Length", str(sum(len(piece.octets) for piece in reply.pieces)))
        self.end_headers()
        if self.asked != "HEAD" and not bodiless:
            self._write(reply, chunked=chunked)
        if reply.streamed and not chunked:
            self.close_connection = True

    def _write(self, reply: Reply, *, chunked: bool) -> None:
        for piece in reply.pieces:
            time.sleep(piece.pause)
            framed = f"{len(piece.octets):x}\r\n".encode() + piece.octets + b"\r\n"
            self.wfile.write(framed if chunked and piece.octets else piece.octets)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _seen(self) -> Seen:
        body, size = bytearray(), 0
        for block in self._body():
            body += block[: MOST_SHOWN - len(body)]
            size += len(block)
        path, _, query = self.requestline.split(" ")[1].partition("?")
        headers = tuple(self.headers.items())
        return Seen(self.asked, self.headers.get("Host", "").lower(), path, query, headers, bytes(body), size)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield from _exactly(self.rfile, int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self._line().partition(b";")[0], 16):
            yield from _exactly(self.rfile, size)
            self._line()
        while self._line().strip():
            pass  # trailers

    def _line(self) -> bytes:
        line = self.rfile.readline(_LONGEST_LINE)
        if not line:
            raise ConnectionResetError
        return line

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _exactly(file: BufferedIOBase, size: int) -> Iterator[bytes]:
    """Yield so many octets in blocks; fewer are a connection that broke off."""
    while size > 0:
        block = file.read(min(size, _BLOCK))
        if not block:
            raise ConnectionResetError
        size -= len(block)
        yield block
