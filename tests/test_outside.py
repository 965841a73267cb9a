"""What this program asks a provider itself goes to where it was checked to go, and is not waited for for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from authsome.outside import MOST, transport
from authsome.provider import ApiKey, Definition, Provider, resolve
from authsome.proxy.upstream import ParentProxy, Upstream, read
from authsome.web import OutsideError, httpx
from canary import sings
from octets import Arrived
from scripted import ALONE, EXPIRED, MISNAMED, UNTRUSTED, Origin, Reply

pytest_plugins = ["scripted_fixtures"]

SECRET = "CANARY-outside-0123456789"


@pytest.fixture
def outside(origin: Origin) -> Upstream:
    return Upstream(origin.roots.read_text())


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every name lead to this machine."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, port, *more, **named: real("127.0.0.1", port, *more, **named))
    return iter(())


def _provider(private: bool = True) -> Provider:
    return resolve(Definition("acme", "https://localhost", api_key=ApiKey(), private_addresses=private))


def _ask(
    origin: Origin,
    outside: Upstream,
    name: str = "localhost",
    *,
    private: bool = True,
    seconds: float = 10,
) -> httpx.Response:
    request = httpx.Request(
        "POST", f"https://{name}:{origin.port}/token?x=1", data={"refresh_token": SECRET}, headers={"X-One": "1"}
    )
    answer = transport(_provider(private), outside, seconds=seconds).handle_request(request)
    try:
        answer.read()
    finally:
        answer.close()
    return answer


def test_a_request_arrives_as_it_was_made(origin: Origin, outside: Upstream) -> None:
    origin.script = lambda _: Reply((b"a", b"b"), ((b"X-Two", b"2"),), 201)
    answer = _ask(origin, outside)
    assert (answer.status_code, answer.content, answer.headers["x-two"]) == (201, b"ab", "2")
    (arrived,) = origin.arrived
    assert (arrived.method, arrived.path, arrived.body) == (b"POST", b"/token?x=1", f"refresh_token={SECRET}".encode())
    assert arrived.values(b"host") == [f"localhost:{origin.port}".encode()]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", [UNTRUSTED, MISNAMED, EXPIRED, ALONE])
def test_who_cannot_show_who_it_is_gets_nothing(origin: Origin, outside: Upstream, name: str) -> None:
    with pytest.raises(OutsideError, match=f"the certificate of {name}:{origin.port} cannot be verified"):
        _ask(origin, outside, name)
    assert not origin.arrived


def test_plain_http_is_not_spoken(origin: Origin, outside: Upstream) -> None:
    request = httpx.Request("POST", f"http://localhost:{origin.port}/", data={"token": SECRET})
    with pytest.raises(OutsideError, match="over https or not at all"):
        transport(_provider(), outside).handle_request(request)
    assert not origin.carried


@pytest.mark.usefixtures("here")
def test_a_private_address_is_for_those_whose_definition_says_so(origin: Origin, outside: Upstream) -> None:
    with pytest.raises(OutsideError, match="leads to an address that is not public"):
        _ask(origin, outside, "auth.acme.example", private=False)
    assert not origin.carried
    assert _ask(origin, outside, "auth.acme.example").status_code == 200
    assert origin.carried[-1].name == "auth.acme.example"
    assert _ask(origin, outside, "localhost", private=False).status_code == 200  # the name says it by itself


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_address_in_place_of_a_name_is_checked_too(origin: Origin, outside: Upstream, address: str) -> None:
    with pytest.raises(OutsideError, match="not public"):
        _ask(origin, outside, address, private=False)
    assert not origin.carried


def test_the_address_that_was_checked_is_the_one_that_is_connected(
    origin: Origin, outside: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(name: str, port: int, *more: Any, **named: Any) -> Any:
        if name != "auth.acme.example":
            return real(name, port, *more, **named)
        asked.append(name)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert _ask(origin, outside, "auth.acme.example").status_code == 200
    assert len(asked) == 1


def test_a_redirect_is_an_answer_and_not_a_way(origin: Origin, outside: Upstream) -> None:
    origin.script = lambda _: Reply((), ((b"Location", f"https://localhost:{origin.port}/other".encode()),), 307)
    assert _ask(origin, outside).status_code == 307
    assert len(origin.arrived) == 1


@pytest.mark.parametrize("sized", [True, False])
def test_an_answer_has_a_greatest_size(origin: Origin, outside: Upstream, sized: bool) -> None:
    body = (b"x" * (64 << 10),) * 16
    assert sum(map(len, body)) == MOST
    origin.script = lambda _: Reply(body, sized=sized)
    assert len(_ask(origin, outside).content) == MOST
    origin.script = lambda _: Reply((*body, b"x"), sized=sized)
    with pytest.raises(OutsideError, match="more than 1,048,576 octets"):
        _ask(origin, outside)


def _dripping(head: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(200):
        time.sleep(0.02)
        yield b"x"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"HTTP/1.1 2"]
)
def test_an_answer_that_comes_octet_by_octet_is_not_waited_for(origin: Origin, outside: Upstream, head: bytes) -> None:
    origin.script = lambda _: Reply(raw=_dripping(head))
    began = time.monotonic()
    with pytest.raises(OutsideError, match="did not answer in time|could not be reached"):
        _ask(origin, outside, seconds=0.3)
    assert time.monotonic() - began < 2


def test_a_name_that_nobody_answers_for_is_not_waited_for(
    origin: Origin, outside: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def silent(*_: Any, **__: Any) -> Any:
        done.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    began = time.monotonic()
    with pytest.raises(OutsideError, match="did not answer in time"):
        _ask(origin, outside, "auth.acme.example", seconds=0.2)
    assert time.monotonic() - began < 2
    done.set()


def test_a_server_that_never_finishes_its_handshake_is_not_waited_for(outside: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        request = httpx.Request("GET", f"https://localhost:{silent.getsockname()[1]}/")
        with pytest.raises(OutsideError, match="did not answer in time"):
            transport(_provider(), outside, seconds=0.3).handle_request(request)


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"],
)
def test_an_answer_that_is_none_is_an_error_in_our_words(origin: Origin, outside: Upstream, raw: bytes) -> None:
    origin.script = lambda _: Reply(raw=(raw,))
    with pytest.raises(OutsideError, match=f"^localhost:{origin.port} could not be reached$") as failed:
        _ask(origin, outside)
    assert not sings(repr(failed.value).encode())


def test_the_environment_says_nothing(origin: Origin, outside: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert _ask(origin, outside).status_code == 200
    with pytest.raises(OutsideError, match="certificate"):
        _ask(origin, read({}))


def _tunnel(listener: socket.socket, seen: list[bytes], origin: Origin) -> None:
    """Be the proxy of a company: one tunnel, octets in both directions."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", origin.port)) as there, suppress(OSError):
        seen.append(client.recv(4096))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=_pass, args=(there, client), daemon=True)
        back.start()
        _pass(client, there)
        back.join(5)


def _pass(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def test_the_users_proxy_carries_it_and_sees_nothing(origin: Origin, outside: Upstream) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_tunnel, args=(listener, seen, origin), daemon=True)
        thread.start()
        way = replace(outside, proxy=ParentProxy("http", ("127.0.0.1", listener.getsockname()[1]), "user:secret"))
        # The name is the proxy's to look up, and its address the proxy's to check.
        assert _ask(origin, way, "auth.acme.example", private=False).status_code == 200
        thread.join(5)
    assert seen[0].startswith(f"CONNECT auth.acme.example:{origin.port} ".encode())
    assert not sings(seen[0])
    assert origin.arrived[0].body.endswith(SECRET.encode())
    assert _ask(origin, replace(way, no_proxy=("localhost",))).status_code == 200


def test_a_second_address_is_tried_if_the_first_is_dead(
    origin: Origin, outside: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def two(name: str, port: int, *more: Any, **named: Any) -> Any:
        if name != "auth.acme.example":
            return real(name, port, *more, **named)
        return [*real("127.0.0.2", port, *more, **named), *real("127.0.0.1", port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    assert _ask(origin, outside, "auth.acme.example").status_code == 200


def test_each_request_has_a_connection_of_its_own(origin: Origin, outside: Upstream) -> None:
    def hello(_: Arrived) -> Reply:
        return Reply((b"ok",), sized=True)

    origin.script = hello
    way = transport(_provider(), outside)
    with httpx.Client(transport=way, trust_env=False) as client:
        for _ in range(2):
            assert client.get(f"https://localhost:{origin.port}/").text == "ok"
    assert [each.protocol for each in origin.carried] == ["http/1.1", "http/1.1"]
