"""For agents that speak HTTP by hand: a connection through the proxy of the environment."""

import os
import socket
import ssl
from base64 import b64encode
from urllib.parse import urlsplit

TIMEOUT = 30


def connect(target: str) -> socket.socket:
    """Return a connection to `host:port` through the proxy."""
    url = urlsplit(os.environ["HTTPS_PROXY"])
    opened = socket.create_connection((url.hostname, url.port), timeout=TIMEOUT)
    password = b64encode(f"{url.username}:{url.password}".encode()).decode()
    opened.sendall(
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {password}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = opened.recv(1)  # byte by byte: what follows belongs to TLS
        if not byte:
            raise ConnectionError(f"the proxy hung up after {head!r}")
        head += byte
    if head.split()[1] != b"200":
        raise ConnectionError(f"the proxy answered {head!r}")
    return opened


def secure(host: str, name: str | None = None, protocol: str = "http/1.1") -> ssl.SSLSocket:
    """Return a TLS connection to a host through the proxy, asking for `name` in SNI."""
    settings = ssl.create_default_context()
    settings.set_alpn_protocols([protocol])
    settings.check_hostname = name is None
    return settings.wrap_socket(connect(f"{host}:443"), server_hostname=name or host)


def answer(connection: socket.socket) -> str:
    """Return the first response, to the end of its declared length."""
    received = b""
    while block := connection.recv(1 << 16):
        received += block
        head, separator, body = received.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        if separator and lengths and len(body) >= int(lengths[0]):
            break
    return received.decode()
