"""When the engine begins, and that it does not when there is nobody left to serve."""

import datetime
import os
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from authsome.proxy import Proxy, upstream
from authsome.proxy.authority import Authority
from authsome.rules import Use, make
from authsome.session import Session

PATIENCE = 20.0


class _Noted:
    """A log that keeps the order of what happened."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.connected = threading.Event()

    def opened(self, peer: tuple[str, int]) -> None:
        del peer
        self.happened.append("opened")
        self.connected.set()

    def record(self, use: Use) -> None: ...

    def closed(self, peer: tuple[str, int]) -> None: ...

    def begun(self) -> None:
        time.sleep(0.1)  # whatever it has to do
        self.happened.append("begun")


def _proxy() -> Proxy:
    authority = Authority(frozenset(), datetime.datetime.now(datetime.UTC))
    return Proxy(make([], lambda _: True), Session({}), authority, upstream.read(os.environ))


def _connect(url: str) -> socket.socket:
    port = urlsplit(url).port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def test_what_waits_for_the_engine_is_done_before_the_first_connection_is_taken() -> None:
    proxy, noted, failed = _proxy(), _Noted(), list[BaseException]()
    with _connect(proxy.url):
        proxy.start(failed.append, noted, noted.begun)
        assert noted.connected.wait(PATIENCE)
        proxy.stop()
    assert (noted.happened, failed) == (["begun", "opened"], [])


def test_an_engine_that_is_ready_when_the_run_is_over_never_begins() -> None:
    """Who was left behind by the agent would be served, and no log would say so."""
    proxy, noted, failed = _proxy(), _Noted(), list[BaseException]()
    url = proxy.url
    with _connect(url) as left_behind:
        proxy.stop()
        proxy.start(failed.append, noted, noted.begun)
        with pytest.raises(ConnectionResetError):
            left_behind.recv(1)
    with pytest.raises(ConnectionRefusedError):
        _connect(url)
    assert (noted.happened, failed) == ([], [])


def test_what_fails_when_the_engine_begins_ends_the_run() -> None:
    proxy, noted = _proxy(), _Noted()
    failed, told = list[BaseException](), threading.Event()

    def broken() -> None:
        raise OSError

    def tell(error: BaseException) -> None:
        failed.append(error)
        told.set()

    proxy.start(tell, noted, broken)
    assert told.wait(PATIENCE)
    assert [type(error) for error in failed] == [OSError]
