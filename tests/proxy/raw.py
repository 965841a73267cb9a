"""An origin that writes down the octets it receives, and a client that sends octets, each as they are."""

import contextlib
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import trustme

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_PATIENCE = 5.0


class Origin:
    """Serves `localhost` over TLS; each connection's octets are kept apart, and each `complete` request answered."""

    def __init__(self, folder: Path, complete: Callable[[bytes], int], address: str = "127.0.0.1") -> None:
        authority = trustme.CA()
        self.roots = folder / "roots.pem"
        authority.cert_pem.write_to_path(self.roots)
        self._settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._settings)
        self._complete = complete
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        received, answered = bytearray(), 0
        with contextlib.suppress(OSError), self._settings.wrap_socket(client, server_side=True) as opened:
            self.connections.append(received)
            while block := opened.recv(1 << 16):
                received += block
                for _ in range(self._complete(bytes(received)) - answered):
                    opened.sendall(ANSWER)
                    answered += 1

    def close(self) -> None:
        # To close it would leave it listening for as long as a thread waits in `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Client:
    """Opens TLS connections through a proxy to an origin, without an HTTP library in the way."""

    def __init__(self, proxy: str, authority: str, port: int) -> None:
        self._proxy, self._port = urlsplit(proxy), port
        self._settings = ssl.create_default_context(cadata=authority)
        self._settings.set_alpn_protocols(["http/1.1"])

    def send(self, request: bytes) -> bytes:
        """Send octets, end the sending side, and return all that came back."""
        proxy, target = self._proxy, f"localhost:{self._port}"
        password = b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        opening = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {password}\r\n\r\n"
        with socket.create_connection((proxy.hostname or "", proxy.port or 0), timeout=_PATIENCE) as plain:
            plain.sendall(opening.encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += plain.recv(1) or b"\r\n\r\n"
            with self._settings.wrap_socket(plain, server_hostname="localhost") as opened:
                return _exchange(opened, request)


def _exchange(opened: ssl.SSLSocket, request: bytes) -> bytes:
    received = b""
    with contextlib.suppress(OSError):
        opened.sendall(request)
        socket.socket.shutdown(opened, socket.SHUT_WR)  # that of `SSLSocket` would end reading too
        while block := opened.recv(1 << 16):
            received += block
    return received
