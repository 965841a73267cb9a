"""One connection for each request, and all of its steps before one deadline.

Promises that nothing is kept open that could be mistaken for another's, and that an error is said in words of ours.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import override

import httpcore

from authsome.provider import Host
from authsome.proxy import channel, dial
from authsome.proxy.upstream import ParentProxy, Upstream
from authsome.web import OutsideError, httpx

_FAILURES = (
    *(OSError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError),
    *(httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable),
)


class Wire(httpx.BaseTransport):
    """What carries requests; see `transport`."""

    def __init__(self, private: bool, outside: Upstream, seconds: float, most: int) -> None:
        self._private = private
        self._outside = outside
        self._seconds = seconds
        self._most = most

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = Host(request.url.host, request.url.port or 443)
        if request.url.scheme != "https":
            raise OutsideError(f"{host} is asked over https or not at all")
        trusted = channel.to_upstream(self._outside.roots, "http/1.1")
        parent = self._outside.proxy_for(host.name)
        private = self._private or host.is_loopback or parent is not None
        pool = httpcore.ConnectionPool(
            ssl_context=trusted,
            proxy=_parent(parent, trusted) if parent else None,
            network_backend=_Dialling(_Deadline(self._seconds), self._outside.everything_at, private=private),
        )
        url = httpcore.URL(scheme=b"https", host=request.url.raw_host, port=host.port, target=request.url.raw_path)
        asked = httpcore.Request(request.method, url, headers=request.headers.raw, content=request.read())
        try:
            answer = pool.handle_request(asked)
        except _FAILURES as error:
            pool.close()
            raise OutsideError(_why(host, error)) from error
        body = _Body(host, answer, pool, self._most)
        return httpx.Response(answer.status, headers=answer.headers, stream=body)


class _Deadline:
    """When everything has to be over."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, at least one moment."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


class _Dialling(httpcore.NetworkBackend):
    """Connections to addresses that were checked."""

    def __init__(self, deadline: _Deadline, staged: tuple[str, int] | None, *, private: bool) -> None:
        self._deadline = deadline
        self._staged = staged
        self._private = private

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        del timeout, local_address, socket_options
        if self._staged:
            return self._connected(*self._staged, self._deadline.left())
        found = _looked_up(host, port, self._deadline.left())
        # NOTE: the address that was checked is the one that is connected; behind a parent proxy it is that one's to
        # check.
        if not self._private:
            dial.check(found)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        failed: Exception = OSError("it has no address")
        while addresses:
            # One that swallows everything must not take the others' time.
            seconds = self._deadline.left() / len(addresses)
            try:
                return self._connected(addresses.pop(0), port, seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    def _connected(self, address: str, port: int, seconds: float) -> httpcore.NetworkStream:
        return _Bounded(httpcore.SyncBackend().connect_tcp(address, port, seconds), self._deadline)


class _Bounded(httpcore.NetworkStream):
    """A connection on which every step ends with the deadline of all."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left())

    @override
    def close(self) -> None:
        self._stream.close()

    @override
    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    @override
    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _Body(httpx.SyncByteStream):
    """The body of an answer, as far as there is reason to read it."""

    def __init__(self, host: Host, answer: httpcore.Response, pool: httpcore.ConnectionPool, most: int) -> None:
        self._host = host
        self._answer = answer
        self._pool = pool
        self._most = most

    @override
    def __iter__(self) -> Iterator[bytes]:
        read = 0
        try:
            for data in self._answer.iter_stream():
                read += len(data)
                if read > self._most:
                    raise OutsideError(f"{self._host} answered with more than {self._most:,} octets")
                yield data
        except _FAILURES as error:
            raise OutsideError(_why(self._host, error)) from error

    @override
    def close(self) -> None:
        self._answer.close()
        self._pool.close()


def _looked_up(name: str, port: int, seconds: float) -> list[dial.Found]:
    """Return the addresses of a name; the system's own way of finding them knows no deadline."""
    found: list[dial.Found] = []
    failed: list[Exception] = []

    def look() -> None:
        try:
            found.extend(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # the second: a label that is too long
            failed.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise OSError("it has no address") from failed[0]
    if not found:
        raise httpcore.ConnectTimeout
    return found


def _parent(parent: ParentProxy, trusted: ssl.SSLContext) -> httpcore.Proxy:
    user, _, password = parent.userinfo.partition(":")
    name, port = parent.address
    return httpcore.Proxy(
        f"{parent.scheme}://{f'[{name}]' if ':' in name else name}:{port}",
        auth=(user.encode(), password.encode()) if parent.userinfo else None,
        ssl_context=trusted if parent.scheme == "https" else None,
    )


def _why(host: Host, error: BaseException) -> str:
    """Return what kept a request from being answered; no library's words, which may quote the request."""
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, dial.NotPublicError) for cause in causes):
        return f"{host} leads to an address that is not public"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return f"the certificate of {host} cannot be verified"
    if isinstance(error, httpcore.TimeoutException):
        return f"{host} did not answer in time"
    return f"{host} could not be reached"
