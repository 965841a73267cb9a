"""The service that stands for declared hosts, octet by octet."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from authsome import fake, origin
from authsome.fake import Answers, Line, Piece, Reply, Stage
from authsome.proxy.authority import Authority

NAMES = ("api.openai.com", "api.example.com")


@dataclass(frozen=True)
class Service:
    port: int
    roots: str

    def open(self, name: str = NAMES[0]) -> ssl.SSLSocket:
        """Open a verified connection to one of the names."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return ssl.create_default_context(cadata=self.roots).wrap_socket(plain, server_hostname=name)

    def exchange(self, *requests: str) -> bytes:
        """Send requests on one connection, of which the last closes it, and return all that came back."""
        with self.open() as opened:
            opened.sendall("".join(requests).encode())
            return b"".join(iter(lambda: opened.recv(1 << 16), b""))


LINES = (
    Line("*", "**/empty", Reply(204, ())),
    Line("*", "**/unchanged", Reply(304, ())),
    Line("*", "**/slow", Reply(200, (), (Piece(b"first"), Piece(b""), Piece(b"last", 0.5)), streamed=True)),
    Line("*", "**/overloaded", Reply(529, (("X-Some", "y"),), (Piece(b"no"),))),
)


@pytest.fixture(params=[LINES, None], ids=["file", "echo"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(Answers("answers.yaml", request.param) if request.param else None)


@pytest.fixture
def service(stage: Stage) -> Iterator[Service]:
    authority = Authority(NAMES, datetime.datetime.now(datetime.UTC))
    with origin.Origin(socket.create_server(("127.0.0.1", 0)), authority, NAMES, stage) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield Service(server.socket.getsockname()[1], authority.pem)
        server.shutdown()


only_file = pytest.mark.parametrize("stage", [LINES], indirect=True, ids=["file"])
only_echo = pytest.mark.parametrize("stage", [None], indirect=True, ids=["echo"])


def _asking(method: str, path: str, *headers: str, version: str = "1.1") -> str:
    return "\r\n".join([f"{method} {path} HTTP/{version}", f"Host: {NAMES[0]}", *headers, "", ""])


@pytest.mark.parametrize("name", NAMES)
@only_echo
def test_every_name_has_its_certificate(service: Service, name: str) -> None:
    with service.open(name) as opened:
        certificate = opened.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", name),)


@only_file
def test_answers_without_a_body_are_framed_so_that_the_next_one_is_read(service: Service) -> None:
    found = service.exchange(
        _asking("GET", "/empty"),
        _asking("HEAD", "/overloaded"),
        _asking("GET", "/unchanged"),
        _asking("HEAD", "/slow"),
        _asking("GET", "/overloaded", "Connection: close"),
    )
    assert found == (
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 529 \r\nX-Some: y\r\nContent-Length: 2\r\n\r\n"
        b"HTTP/1.1 304 Not Modified\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"HTTP/1.1 529 \r\nX-Some: y\r\nContent-Length: 2\r\n\r\nno"
    )


@only_file
def test_each_piece_leaves_when_its_time_has_come(service: Service) -> None:
    with service.open() as opened:
        opened.sendall(_asking("GET", "/slow", "Connection: close").encode())
        received = b""
        while b"first" not in received:
            received += opened.recv(1 << 16)
        assert b"last" not in received
        begun = time.monotonic()
        received += b"".join(iter(lambda: opened.recv(1 << 16), b""))
    assert time.monotonic() - begun > 0.4
    assert received.endswith(b"\r\n\r\n5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n")


@only_file
def test_a_stream_for_http_1_0_is_not_chunked(service: Service) -> None:
    found = service.exchange(_asking("GET", "/slow", "Connection: keep-alive", version="1.0"))
    assert found.endswith(b"200 OK\r\n\r\nfirstlast")


@only_echo
def test_a_chunked_body_with_trailers_is_read_to_its_end(service: Service) -> None:
    body = "5;of=some\r\nfirst\r\n4\r\nlast\r\n0\r\nX-Sum: 1\r\n\r\n"
    found = service.exchange(
        _asking("POST", "//a/../b?c=d", "Transfer-Encoding: chunked") + body,
        _asking("GET", "/next", "Connection: close"),
    )
    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert b'"path": "//a/../b", "query": "c=d"' in found
    assert b'"size": 9, "body": "firstlast"' in found


@only_echo
def test_a_body_is_shown_up_to_a_mebibyte(service: Service) -> None:
    size = fake.MOST_SHOWN + 3
    found = service.exchange(_asking("PUT", "/", f"Content-Length: {size}", "Connection: close") + "x" * size)
    assert found.count(b"x") == fake.MOST_SHOWN
    assert f'"size": {size}'.encode() in found


@only_echo
@pytest.mark.parametrize(
    "rest",
    ["Content-Length: 9\r\n\r\nx", *(f"Transfer-Encoding: chunked\r\n\r\n{part}" for part in ("", "9\r\nx", "0\r\n"))],
)
def test_a_client_that_goes_away_is_no_news(service: Service, capfd: pytest.CaptureFixture[str], rest: str) -> None:
    with service.open() as opened:
        opened.sendall((_asking("PUT", "/").removesuffix("\r\n") + rest).encode())
    with socket.create_connection(("127.0.0.1", service.port)) as plain:
        plain.sendall(b"no TLS at all\r\n\r\n")
        assert b"HTTP" not in plain.recv(1 << 10)
    assert b"200 OK" in service.exchange(_asking("GET", "/", "Connection: close"))
    assert capfd.readouterr().err == ""
