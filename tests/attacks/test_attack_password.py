"""Somebody on this machine without the run's password, another user too: 407, and nothing else."""

import os
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from stage import Stage

pytest_plugins = ["stage_fixtures"]


def _basic(text: str) -> bytes:
    return b"Proxy-Authorization: Basic " + b64encode(text.encode())


def _wrong(stage: Stage) -> dict[str, bytes]:
    right = stage.client.password
    return {
        "none": b"",
        "empty": b"Proxy-Authorization:",
        "another": _basic("authsome:" + "0" * 48),
        "no user": _basic(":" + "0" * 48),
        "a part of it": b"Proxy-Authorization: Basic " + b64encode(b"authsome:" + b"a"),
        "as a token": b"Proxy-Authorization: Bearer " + right,
        "for the host": b"Authorization: Basic " + right,
        "in another header": b"Proxy_Authorization: Basic " + right,
        "no base64": b"Proxy-Authorization: Basic \xff\xfe",
        "with more behind it": b"Proxy-Authorization: Basic " + right + b"AAAA",
    }


@pytest.mark.parametrize(
    "head", ["CONNECT {0}", "GET http://undeclared.example:{1}/", "CONNECT undeclared.example:{1}"]
)
def test_without_the_password_there_is_407_and_nothing_else(stage: Stage, head: str) -> None:
    for name, line in _wrong(stage).items():
        method = head.partition(" ")[0]
        asked = head.format(stage.host, stage.origin.port) + " HTTP/1.1\r\nHost: x"
        answer = stage.client.ask_proxy(asked.encode(), line, b"X-A: b", method=method)
        assert (answer.status, answer.body) == (407, b""), name
        assert dict(answer.headers)[b"proxy-authenticate"] == b'Basic realm="authsome"'
        assert {key for key, _ in answer.headers} <= {
            b"proxy-authenticate",
            b"content-length",
            b"connection",
            b"server",
            b"date",
        }
    assert stage.origin.carried == []


def test_who_has_no_password_writes_nothing_into_the_log(stage: Stage) -> None:
    """Lines of a stranger's choosing would push those of the run out of the log's five files."""
    for head in (f"CONNECT {stage.host}", f"GET http://undeclared.example:{stage.origin.port}/"):
        answer = stage.client.ask_proxy(f"{head} HTTP/1.1\r\nHost: x".encode(), b"X-A: b")
        assert answer.status == 407
    assert stage.uses == []


def test_after_a_407_the_connection_is_as_locked_as_before(stage: Stage) -> None:
    head = f"CONNECT {stage.host} HTTP/1.1\r\nHost: {stage.host}\r\n\r\n".encode()
    with stage.client.dial() as opened:
        opened.sendall(head * 3)
        octets = opened.recv(1 << 16)
        opened.settimeout(0.2)
        try:
            octets += opened.recv(1 << 16)
        except OSError:
            octets += b""
    assert octets.startswith(b"HTTP/1.1 407 ")
    assert b" 200 " not in octets
    assert stage.origin.carried == []


def test_a_password_once_given_is_not_one_for_the_next_request(stage: Stage) -> None:
    url = f"http://undeclared.example:{stage.origin.port}/".encode()
    with stage.client.dial() as opened:
        opened.sendall(b"GET " + url + b" HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic " + stage.client.password)
        opened.sendall(b"\r\n\r\n")
        octets = b""
        while not octets.endswith(b"ok"):
            octets += opened.recv(1 << 16)
        opened.sendall(b"GET " + url + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 407 " in opened.recv(1 << 16).splitlines()[0]
    assert len(stage.origin.arrived) == 1
    assert stage.client.password not in stage.origin.octets()


def test_another_users_process_gets_407(stage: Stage) -> None:
    """It is not told apart by its user: it does not know the password."""
    nobody = 65534 if os.geteuid() == 0 else None
    proxy = f"http://authsome@127.0.0.1:{stage.client.address[1]}"
    options = ["--disable", "--silent", "--max-time", "10", "--write-out", "%{http_connect} %{size_download}"]
    command = ["curl", *options, "--proxy", proxy, f"https://{stage.host}/"]
    done = subprocess.run(command, user=nobody, cwd="/", capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "407 0", done
    assert stage.origin.carried == []


def test_the_port_is_open_on_loopback_alone(stage: Stage) -> None:
    """What listens everywhere has all zeros for an address in the kernel's list (proc_pid_net(5))."""
    port = f":{stage.client.address[1]:04X}"
    listening = [line.split()[1] for name in ("tcp", "tcp6") for line in _sockets(name) if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(port)] == ["0100007F" + port]


def _sockets(name: str) -> list[str]:
    path = Path("/proc/net", name)
    return path.read_text().splitlines()[1:] if path.exists() else []  # there are kernels without IPv6
