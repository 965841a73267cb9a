"""An `https://` URL sent to the proxy itself, without TLS: refused, for it would have the proxy do the encrypting."""

import json

import pytest

from stage import HELD, NAME, Stage

pytest_plugins = ["stage_fixtures"]

REFUSED = {"bad_request", "malformed_request", "not_encrypted", "host_mismatch"}


@pytest.mark.parametrize("host", [NAME, NAME.upper(), f"{NAME}.", f"user@{NAME}", "undeclared.example"])
@pytest.mark.parametrize("scheme", ["https", "HTTPS", "wss", "h2"])
def test_an_https_url_for_the_proxy_is_refused(stage: Stage, scheme: str, host: str) -> None:
    password = b"Proxy-Authorization: Basic " + stage.client.password
    head = f"GET {scheme}://{host}:{stage.origin.port}/ HTTP/1.1\r\nHost: {host}".encode()
    answer = stage.client.ask_proxy(head, password, b": ".join(HELD[0]))
    assert answer.status == 400
    # What is no URL to the engine has no error of ours.
    assert answer.error in REFUSED or scheme in {"wss", "h2"} or "@" in host
    assert stage.origin.carried == []


@pytest.mark.parametrize("target", ["https://{}/", "http://{}/", "HTTPS://{}/", "https://evil.example/"])
def test_an_absolute_url_inside_a_tunnel_is_refused(stage: Stage, protocol: str, target: str) -> None:
    answer = stage.ask(protocol, path=target.format(stage.host))
    assert answer.status in {400, 403, 421, None}
    assert stage.origin.carried == []


def test_two_slashes_begin_a_path_and_name_no_host(stage: Stage, protocol: str) -> None:
    assert stage.ask(protocol, path="//evil.example/").status == 200
    assert stage.injected().path == b"//evil.example/"
    assert {carried.name for carried in stage.origin.carried} == {NAME}


@pytest.mark.parametrize("octets", [b"GET\r\n\r\n", b"\x16\x03\x01 not tls\r\n\r\n", b"CONNECT : HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_to_a_proxy_is_refused_in_json_and_not_quoted(stage: Stage, octets: bytes) -> None:
    with stage.client.dial() as opened:
        opened.sendall(octets)
        said = b""
        while block := opened.recv(1 << 16):
            said += block
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"] == "malformed_request"
    assert b"mitmproxy" not in said
    assert stage.origin.arrived == []
