"""A declared host over plain `http://`: refused, and never silently upgraded."""

import pytest

from byhand import Answer
from stage import HELD, KEY, NAME, Stage

pytest_plugins = ["stage_fixtures"]


def _plain(stage: Stage, url: str, host: str = NAME, method: str = "GET") -> Answer:
    password = b"Proxy-Authorization: Basic " + stage.client.password
    head = f"{method} {url} HTTP/1.1\r\nHost: {host}".encode()
    return stage.client.ask_proxy(head, password, b": ".join(HELD[0]), method=method)


@pytest.mark.parametrize("port", ["", ":80", ":443", ":{}"])
@pytest.mark.parametrize("name", [NAME, NAME.upper(), f"user:password@{NAME}"])
def test_a_declared_host_is_refused_in_the_clear_on_every_port(stage: Stage, name: str, port: str) -> None:
    answer = _plain(stage, f"http://{name}{port.format(stage.origin.port)}/")
    assert answer.status in {400, 403}
    assert answer.error == "not_encrypted" or "@" in name
    assert stage.origin.carried == []


def test_a_declared_host_in_the_clear_says_what_to_do_instead(stage: Stage) -> None:
    answer = _plain(stage, f"http://{stage.host}/")
    assert (answer.status, answer.error) == (403, "not_encrypted")
    assert b"https://" in answer.body
    assert [(use.decision, use.path) for use in stage.uses] == [("not_encrypted", "/")]


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n", b"GET https://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n"]
)
def test_a_tunnel_without_tls_in_it_is_refused(stage: Stage, line: bytes) -> None:
    opened, answer = stage.client.tunnel(stage.host)
    assert answer.status == 200
    with opened:
        opened.sendall(line.replace(b"%s", stage.host.encode()))
        octets = opened.recv(1 << 16)
    assert b" 403 " in octets.splitlines()[0] or b" 400 " in octets.splitlines()[0]
    assert b"not_encrypted" in octets or b" 400 " in octets
    assert stage.origin.carried == []


def test_a_tunnel_without_tls_in_it_is_refused_also_as_http2(stage: Stage) -> None:
    """With prior knowledge (RFC 9113, 3.3)."""
    opened, _ = stage.client.tunnel(stage.host)
    with opened:
        opened.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        opened.settimeout(0.5)
        try:
            octets = opened.recv(1 << 16)
        except OSError:
            octets = b""
    assert b" 200 " not in octets
    assert stage.origin.carried == []


@pytest.mark.parametrize("host", [NAME, "{}"])
def test_a_stranger_in_the_clear_gets_no_secret_whatever_host_is_claimed(stage: Stage, host: str) -> None:
    url = f"http://undeclared.example:{stage.origin.port}/"
    answer = _plain(stage, url, host.format(stage.host))
    assert answer.status in {200, 400, 403, 421}
    assert KEY.encode() not in stage.origin.octets()
    assert b"proxy-authorization" not in stage.origin.octets().lower()
