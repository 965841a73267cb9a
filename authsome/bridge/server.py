"""The page's web server, on loopback and for one user.

Promises that it listens while the page is open and not a moment longer, and that nothing is written about what it is
asked. Refuses, where the kernel tells (Linux), every connection that another user of this machine opened.
"""

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from authsome.bridge import returned
from authsome.errors import AuthsomeError, clean

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PORT = returned.PORT
_SECONDS = 10.0
"""How long a connection may keep silent."""
_LAST_SECONDS = 2.0
"""How long an answer that is on its way may take when the page closes."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"
"""What the tables call a socket that listens (TCP_LISTEN)."""


class _Exchange(WSGIRequestHandler):
    """One request on one connection, told to nobody."""

    server: "_Server"
    protocol_version = "HTTP/1.0"  # nothing can follow a request on its connection
    timeout = _SECONDS

    def run_wsgi(self) -> None:
        with self.server.at_work():
            super().run_wsgi()

    def version_string(self) -> str:
        return "authsome"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  Werkzeug's name
        """Write nothing: a request's line has the link in it."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request, without a word of it."""
        del message, explain
        self.close_connection = True
        self.wfile.write(
            f"HTTP/1.0 {int(code)} Refused\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nThis is not a request.\n".encode()
        )


class _Server(ThreadedWSGIServer):
    """Threads, a count of those at work, and a look at who connects."""

    def __init__(self, listener: socket.socket, application: "WSGIApplication") -> None:
        host, port = listener.getsockname()
        self._idle = threading.Condition()
        self._busy = 0
        super().__init__(host, port, application, _Exchange, fd=listener.fileno())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  Werkzeug's name
        """Write nothing: the message is a traceback, and its lines may hold a value."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing, as above."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in this user's own connections."""
        del request
        return is_mine(client_address, self.server_address)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a request until it is answered. A browser also opens connections on which it asks for nothing."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def finish(self) -> None:
        """Stop listening, and let answers that are on their way arrive."""
        self.shutdown()
        self.server_close()
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, _LAST_SECONDS)


def is_mine(peer: tuple[str, int], here: Any) -> bool:
    """Whether a connection's other end belongs to this user or to root, as the kernel's tables have it.

    Columns: slot, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode. A socket that
    its process has closed is nobody's, inode 0. Where there is no table, the link alone decides.
    """
    listed = [path.read_text() for path in _TABLES if path.exists()] if sys.platform == "linux" else []
    if not listed:
        return True
    local, remote = _written(peer), _written(here)
    for line in "".join(listed).splitlines():
        columns = line.split()
        if len(columns) > 9 and columns[1].endswith(local) and columns[2].endswith(remote):  # noqa: PLR2004
            return columns[9] != "0" and int(columns[7]) in (0, os.geteuid())
    return False


def _written(address: Any) -> str:
    """Return an address as the table writes it; that of IPv6 ends in the same for a mapped one."""
    number = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"


def listen(port: int = PORT) -> socket.socket:
    """Return a listener on 127.0.0.1, on another port if somebody has this one."""
    return claim(port) or listen(0)


def claim(port: int) -> socket.socket | None:
    """Return a listener on a port of 127.0.0.1, None if somebody has it."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if port and error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise AuthsomeError(f"cannot listen on 127.0.0.1: {(error.strerror or '').lower()}") from error


def holder(port: int) -> str:
    """Return who listens on a port of this machine, as in `python (process 7)`, where the kernel tells."""
    ends = f":{port:04X}"
    inodes = {
        f"socket:[{columns[9]}]"
        for path in _TABLES
        if path.exists()
        for line in path.read_text().splitlines()
        if len(columns := line.split()) > 9 and columns[1].endswith(ends) and columns[3] == _LISTENS  # noqa: PLR2004
    }
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with suppress(OSError):  # it has ended, or is another user's
            if any(str(each.readlink()) in inodes for each in (process / "fd").iterdir()):
                return f"{clean((process / 'comm').read_text().strip())} (process {process.name})"
    return "another program"


@contextmanager
def serving(listener: socket.socket, application: "WSGIApplication") -> Iterator[None]:
    """Serve until the block ends, however it does."""
    with listener:
        server = _Server(listener, application)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="authsome-page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.finish()
        thread.join(_LAST_SECONDS)
