"""Connections to upstreams over real TLS: which are used again, and the way through a parent's own proxy."""

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from raw import Origin

from authsome.provider import Host
from authsome.proxy import reach, upstream
from authsome.proxy.http1 import Client
from authsome.proxy.message import Asked, Fields, RefusedError
from authsome.proxy.reach import Reach

USERINFO = "me:CANARY-password"


def _requests(octets: bytes) -> int:
    return octets.count(b"\r\n\r\n")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    made = Origin(tmp_path, _requests)
    yield made
    made.close()


def _reaching(origin: Origin, environ: dict[str, str], talk: Callable[[Reach, Host], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            reached = Reach(upstream.read({"SSL_CERT_FILE": str(origin.roots)} | environ))
            await talk(reached, Host("localhost", origin.port))
            reached.close()
            await asyncio.sleep(0.05)  # what was closed goes

    asyncio.run(run())


async def _ask(client: Client, host: Host) -> int:
    fields = Fields([(b"Host", str(host).encode())])
    await client.ask(Asked(b"GET", b"/", (), fields, "1.1", bodiless=True))
    answer = await client.answer()
    while await client.read(client.flush):
        pass
    return answer.status


def test_a_connection_is_used_again_for_the_same_host_alone(origin: Origin) -> None:
    async def talk(reached: Reach, host: Host) -> None:
        for kept in (False, True, True):
            client, again = await reached.http1(host, private=True, fresh=False)
            assert (await _ask(client, host), again) == (200, kept)
            client.release()
        client, again = await reached.http1(host, private=True, fresh=True)
        assert not again
        client.release()
        with pytest.raises(RefusedError):  # what was opened where anything goes is not for where it does not
            await reached.http1(host, private=False, fresh=False)
        with pytest.raises(RefusedError):
            await reached.http1(Host("127.0.0.1", origin.port + 1), private=True, fresh=False)

    _reaching(origin, {}, talk)
    assert len(origin.connections) == 2


def test_a_connection_that_did_not_end_its_exchange_is_not_used_again(origin: Origin) -> None:
    async def talk(reached: Reach, host: Host) -> None:
        client, _ = await reached.http1(host, private=True, fresh=False)
        await client.ask(Asked(b"GET", b"/", (), Fields([(b"Host", b"localhost")]), "1.1", bodiless=True))
        client.release()
        client, again = await reached.http1(host, private=True, fresh=False)
        assert not again
        client.release()

    _reaching(origin, {}, talk)


def test_a_kept_connection_is_let_go_after_a_while(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "KEPT_SECONDS", 0.1)

    async def talk(reached: Reach, host: Host) -> None:
        client, _ = await reached.http1(host, private=True, fresh=False)
        await _ask(client, host)
        client.release()
        await asyncio.sleep(0.4)
        assert not client.pipe.quiet
        client, again = await reached.http1(host, private=True, fresh=False)
        assert not again
        client.pipe.abort()

    _reaching(origin, {}, talk)


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python knows no IPv6")
def test_an_upstream_with_an_ipv6_address_alone_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    # `localhost` leads to ::1 on some machines, and not on others.
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **rest: resolve("::1", *more, **rest))
    try:
        origin = Origin(tmp_path, _requests, "::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")

    async def talk(reached: Reach, host: Host) -> None:
        client, _ = await reached.http1(host, private=True, fresh=False)
        assert await _ask(client, host) == 200
        client.release()

    _reaching(origin, {}, talk)
    origin.close()


@dataclass
class _Parent:
    """A proxy that is itself spoken to by TLS and wants a password."""

    port: int
    asked: list[bytes] = field(default_factory=list)


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)


def _serve(parent: _Parent, opened: socket.socket) -> None:
    head = b""
    with opened:
        while not head.endswith(b"\r\n\r\n"):
            head += opened.recv(1)
        parent.asked.append(head)
        if base64.b64encode(USERINFO.encode()) not in head:
            opened.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = head.split()[1].decode().partition(":")
        with socket.create_connection((host, int(port))) as far:
            opened.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
            back = threading.Thread(target=_carry, args=(far, opened), daemon=True)
            back.start()
            _carry(opened, far)
            back.join()


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[_Parent, Path]]:
    authority = trustme.CA()
    roots = tmp_path / "parent.pem"
    authority.cert_pem.write_to_path(roots)
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = _Parent(listener.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    try:
                        opened = settings.wrap_socket(plain, server_side=True)
                    except ssl.SSLError:  # whom the other side does not trust
                        plain.close()
                        continue
                    threading.Thread(target=_serve, args=(made, opened), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield made, roots
        listener.shutdown(socket.SHUT_RDWR)


def test_a_parent_proxy_is_spoken_to_by_tls_and_told_its_password_and_nothing_of_the_request(
    origin: Origin, parent: tuple[_Parent, Path]
) -> None:
    proxy, roots = parent

    async def talk(reached: Reach, host: Host) -> None:
        client, _ = await reached.http1(host, private=False, fresh=False)
        assert await _ask(client, host) == 200
        client.release()

    url = f"https://{USERINFO}@localhost:{proxy.port}"
    _reaching(origin, {"HTTPS_PROXY": url, "REQUESTS_CA_BUNDLE": str(roots)}, talk)
    (head,) = proxy.asked
    assert head.startswith(f"CONNECT localhost:{origin.port} HTTP/1.1\r\n".encode())
    assert base64.b64encode(USERINFO.encode()) not in bytes(origin.connections[0])


@pytest.mark.parametrize(
    ("userinfo", "told"),
    [
        ("me:wrong", "the proxy of HTTPS_PROXY answered 407"),
        ("", "the proxy of HTTPS_PROXY answered 407"),
    ],
)
def test_a_parent_proxy_that_refuses_is_named_with_what_it_says(
    origin: Origin, parent: tuple[_Parent, Path], userinfo: str, told: str
) -> None:
    proxy, roots = parent

    async def talk(reached: Reach, host: Host) -> None:
        with pytest.raises(RefusedError) as raised:
            await reached.http1(host, private=False, fresh=False)
        refusal = raised.value.refusal
        assert (refusal.error, refusal.status) == ("upstream_failed", 502)
        assert told in refusal.reason
        assert "password" in (refusal.hint or "")

    url = f"https://{userinfo}@localhost:{proxy.port}" if userinfo else f"https://localhost:{proxy.port}"
    _reaching(origin, {"HTTPS_PROXY": url, "REQUESTS_CA_BUNDLE": str(roots)}, talk)
    assert origin.connections == []


def test_a_parent_proxy_whose_certificate_nobody_signed_is_not_told_the_password(
    origin: Origin, parent: tuple[_Parent, Path]
) -> None:
    async def talk(reached: Reach, host: Host) -> None:
        with pytest.raises(RefusedError) as raised:
            await reached.http1(host, private=False, fresh=False)
        assert raised.value.refusal.error == "upstream_untrusted"

    _reaching(origin, {"HTTPS_PROXY": f"https://{USERINFO}@localhost:{parent[0].port}"}, talk)
    assert parent[0].asked == []
