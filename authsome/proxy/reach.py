"""Connections to upstreams: made once their certificate verified, and kept while they are of use.

Promises that a connection is only ever used for the host it was opened to, and that a kept one on which anything was
said in the meantime is never used again: it could be taken for an answer. Refuses an upstream that does not verify,
cannot be reached, or is not where a secret may go, before anything was sent to it.
"""

import asyncio
import re
import ssl
from base64 import b64encode
from functools import partial
from weakref import WeakSet

import h11

from authsome.provider import Host
from authsome.proxy import channel
from authsome.proxy.dial import CONNECT_SECONDS, NotPublicError, dial
from authsome.proxy.http1 import Client
from authsome.proxy.http2 import Link
from authsome.proxy.message import RefusedError
from authsome.proxy.pipe import Gone, Line
from authsome.proxy.upstream import ParentProxy, Upstream
from authsome.rules import Refusal

KEPT_SECONDS = 15.0
"""How long a connection is kept unused. Servers hang up after 5 s (Node), 60 s (AWS) or 75 s (nginx), and say so."""

_MOST_KEPT = 64
"""Of one host; more are closed when they are done."""

type _Key = tuple[Host, bool]


class Reach:
    """The connections of one run."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._kept: dict[_Key, list[tuple[Client, asyncio.TimerHandle]]] = {}
        self._lines: WeakSet[Line] = WeakSet()

    async def http1(self, host: Host, *, private: bool, fresh: bool) -> tuple[Client, bool]:
        """Return a connection for one request, and whether it was kept from another one.

        Args:
            private: Whether an address outside the public internet will do.
            fresh: Whether only a new one will do.
        """
        kept = self._kept.get((host, private), [])
        while kept and not fresh:
            client, timer = kept.pop()
            timer.cancel()
            if client.pipe.quiet:
                return client, True
            client.pipe.abort()
        line = await self._open(host, "http/1.1", private=private)
        return Client(line, partial(self._keep, (host, private))), False

    async def http2(self, host: Host, *, private: bool) -> tuple[Link, asyncio.Task[None]]:
        """Return a new connection that has been greeted, and what reads from it until it ends."""
        line = await self._open(host, "h2", private=private)
        spoken = line.transport.get_extra_info("ssl_object") if line.transport else None
        if spoken is None or spoken.selected_alpn_protocol() != "h2":
            line.abort()
            raise RefusedError(
                _failed(f"`{host.name}` speaks no HTTP/2, and the client nothing else; nothing was sent")
            )
        link = Link(line)
        running = asyncio.ensure_future(link.run())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await link.greeted.wait()  # how many streams it takes
        except BaseException as error:  # also where nobody waits for it any more
            line.abort()
            if isinstance(error, TimeoutError):
                raise RefusedError(failure(host.name, error)) from None
            raise
        return link, running

    def _keep(self, key: _Key, client: Client) -> None:
        kept = self._kept.setdefault(key, [])
        if len(kept) >= _MOST_KEPT:
            client.pipe.close()
            return
        timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, key, client)
        kept.append((client, timer))

    def close(self) -> None:
        """Break off every connection: what is kept, and what is still saying goodbye."""
        for _, timer in (each for kept in self._kept.values() for each in kept):
            timer.cancel()
        for line in list(self._lines):
            line.abort()
        self._kept.clear()

    def _drop(self, key: _Key, client: Client) -> None:
        self._kept[key] = [each for each in self._kept[key] if each[0] is not client]
        client.pipe.close()

    async def _open(self, host: Host, protocol: str, *, private: bool) -> Line:
        """Return a connection to a host whose certificate has been verified. Raises `RefusedError`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect(host, protocol, private=private)
        except (OSError, Gone) as error:
            raise RefusedError(failure(host.name, error)) from None

    async def _connect(self, host: Host, protocol: str, *, private: bool) -> Line:
        line = Line()
        self._lines.add(line)
        settings = channel.to_upstream(self._upstream.roots, protocol)
        parent = self._upstream.proxy_for(host.name)
        loop = asyncio.get_running_loop()
        if parent is None:
            staged = self._upstream.everything_at
            sock = await dial(*(staged or (host.name, host.port)), private=private or staged is not None)
            await loop.create_connection(lambda: line, sock=sock, ssl=settings, server_hostname=host.name)
            return line
        sock = await dial(*parent.address, private=True)
        towards, name = to_parent(parent, self._upstream)
        await loop.create_connection(lambda: line, sock=sock, ssl=towards, server_hostname=name)
        try:
            await _ask_parent(line, parent, host)
            line.connection_made(await _secured(line, settings, host.name))
        except BaseException:  # also where nobody waits for it any more
            line.abort()
            raise
        return line


def to_parent(parent: ParentProxy, upstream: Upstream) -> tuple[ssl.SSLContext | None, str | None]:
    """Return how the parent's own proxy is spoken to: the settings of TLS and the name to verify, or neither."""
    if parent.scheme != "https":
        return None, None
    return channel.to_upstream(upstream.roots), parent.address[0]


def parent_authorization(parent: ParentProxy) -> str:
    """Return the value of Proxy-Authorization for the parent's own proxy (RFC 7617)."""
    return "Basic " + b64encode(parent.userinfo.encode()).decode()


async def _ask_parent(line: Line, parent: ParentProxy, host: Host) -> None:
    """Have the parent's own proxy connect to a host. Raises `RefusedError` with what it says instead."""
    target = f"{host.name}:{host.port}"
    headers = [("Host", target)]
    headers += [("Proxy-Authorization", parent_authorization(parent))] if parent.userinfo else []
    state = h11.Connection(h11.CLIENT)
    line.write(state.send(h11.Request(method="CONNECT", target=target, headers=headers)))
    line.write(state.send(h11.EndOfMessage()))
    await line.flush()
    event: object = h11.NEED_DATA
    while not isinstance(event, h11.Response):
        try:
            event = state.next_event()
            if event is h11.NEED_DATA:
                state.receive_data(await line.read())
            elif isinstance(event, h11.ConnectionClosed):
                raise Gone
        except h11.RemoteProtocolError:
            raise Gone from None
    if not 200 <= event.status_code < 300:  # noqa: PLR2004  RFC 9110, 9.3.6
        hint = "check the user name and password in HTTPS_PROXY" if event.status_code == _NEEDS_PASSWORD else _HINT
        raise RefusedError(
            _failed(f"cannot reach `{host.name}`: the proxy of HTTPS_PROXY answered {event.status_code}", hint)
        )


async def _secured(line: Line, settings: ssl.SSLContext, name: str) -> asyncio.Transport:
    """Begin TLS within a connection."""
    assert line.transport is not None  # noqa: S101  for the type checker
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(line.transport, line, settings, server_hostname=name)
    if secured is None:
        raise Gone
    return secured


_NEEDS_PASSWORD = 407
_HINT = "check the network and HTTPS_PROXY"


def _failed(reason: str, hint: str | None = None, error: str = "upstream_failed", status: int = 502) -> Refusal:
    return Refusal(error, reason, hint, status=status)


def broken_off(host: str) -> Refusal:
    """Return why there is no answer to a request that was sent. NOTE: a library's words would quote the answer."""
    return _failed(f"`{host}` hung up, or what it answered is not HTTP; the request had been sent")


def failure(host: str, error: Exception) -> Refusal:
    """Return why a host was not connected to; nothing was sent to it."""
    if isinstance(error, NotPublicError):
        return Refusal(
            "address_not_public",
            f"`{host}` gets no credential: {error}; nothing was sent",
            'if the host is in your own network, set `"private_addresses": true` in its definition',
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _failed(
            f"the certificate of `{host}` does not verify: {error.verify_message.rstrip('.')}; nothing was sent",
            "if your network replaces certificates, point SSL_CERT_FILE at its roots before `authsome run`",
            "upstream_untrusted",
        )
    return _failed(f"cannot reach `{host}`: {_why(error)}", _HINT)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({(error.reason or 'no reason given').replace('_', ' ').lower()})"
    if isinstance(error, Gone):
        return "it hung up"
    return re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
