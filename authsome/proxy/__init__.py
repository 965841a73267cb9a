"""The proxy of one run: it listens before the child starts and thinks only afterwards.

Promises that the port exists before the child does, that a connection made before the engine is ready waits instead of
failing, and that nothing listens any more when the run is over. Refuses callers without this run's password.
"""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from authsome.errors import AuthsomeError
from authsome.proxy.authority import Authority
from authsome.proxy.upstream import Upstream
from authsome.rules import Rules, Use
from authsome.session import Session

if TYPE_CHECKING:
    from authsome.proxy.gate import Gate
    from authsome.proxy.renewing import Renew

_BACKLOG = 512
_STOP_SECONDS = 2.0
SETTLE_SECONDS = 10.0
"""How long a run that ends waits for tokens that are being renewed."""


@dataclass(frozen=True, slots=True)
class Live:
    """What holds at one moment; decision and secret of a request come from the same one."""

    rules: Rules
    session: Session


class Log(Protocol):
    """Whoever wants to know what the proxy was used for; called from the engine's thread, and must not make it wait."""

    def opened(self, peer: tuple[str, int]) -> None:
        """A client has connected."""

    def record(self, use: Use) -> None:
        """A request has come to its end, or was refused."""

    def closed(self, peer: tuple[str, int]) -> None:
        """A client has gone."""


def _nothing() -> None:
    """Whoever does not care when the engine begins."""


class _TooLateError(Exception):
    """The run ended while its engine was being imported."""


class Proxy:
    """A listening port and the thread behind it.

    Args:
        renew: Brings new tokens for a connection; None where none are ever renewed.
    """

    def __init__(
        self,
        rules: Rules,
        session: Session,
        authority: Authority,
        upstream: Upstream,
        renew: "Renew | None" = None,
    ) -> None:
        self._live, self._authority, self._upstream = Live(rules, session), authority, upstream
        self._renew = renew
        self._gate: Gate | None = None
        self._swapping = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._over = False
        self._stopped = threading.Event()
        self._password = os.urandom(24).hex()
        try:
            # NOTE: with protocol 0 asyncio leaves Nagle's algorithm on, and each request waits 40 ms for an ACK.
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(_BACKLOG)
        except OSError as error:
            raise AuthsomeError(f"cannot listen on 127.0.0.1: {(error.strerror or '').lower()}") from error

    @property
    def url(self) -> str:
        """The proxy's address with this run's password, for `HTTPS_PROXY`."""
        return f"http://authsome:{self._password}@127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self, failed: Callable[[BaseException], None], log: Log, begun: Callable[[], None] = _nothing) -> None:
        """Import the engine and serve, in a thread; `failed` is called from there if that cannot be done.

        Args:
            begun: Called in that thread when the engine has been imported and listens, before it takes the first
                connection. What else a run imports waits for it: two threads that import share one interpreter lock.
        """
        threading.Thread(target=self._serve, args=(failed, log, begun), name="authsome-proxy", daemon=True).start()

    def swap(self, rules: Rules, session: Session) -> None:
        """Let every request from the next one on meet these rules and secrets; from any thread.

        The rules' hosts have to be among those that the run's authority was made for.
        """
        with self._swapping:
            self._live = Live(rules, session)
            if self._gate is not None:
                self._gate.swap(self._live)

    def stop(self) -> None:
        """Break off what is still carried, so that the log is told of all of it; an engine yet to come never begins."""
        with self._swapping:
            self._over = True
        if self._stop is not None:
            self._stop()
            self._stopped.wait(SETTLE_SECONDS if self._gate and self._gate.renews else _STOP_SECONDS)

    def _check(self) -> None:
        if self._over:
            raise _TooLateError

    def _begin(self, begun: Callable[[], None], stop: Callable[[], object]) -> None:
        with self._swapping:
            self._check()
            self._stop = stop
            begun()
        # Reading a hundred roots takes 20 ms; while the agent is still busy with itself they cost it nothing.
        from authsome.proxy import channel  # noqa: PLC0415  the engine has imported it

        reading = partial(channel.to_upstream, self._upstream.roots, "http/1.1")
        threading.Thread(target=reading, name="authsome-roots", daemon=True).start()

    def _serve(self, failed: Callable[[BaseException], None], log: Log, begun: Callable[[], None]) -> None:
        try:
            import asyncio  # noqa: PLC0415  the child is running by now, see the module's promise

            from authsome.proxy import engine, gate  # noqa: PLC0415

            self._check()
            with self._swapping:
                self._gate = gate.Gate(self._live, self._authority, self._upstream, self._password, log, self._renew)
            asyncio.run(engine.serve(self._listener, self._gate, partial(self._begin, begun), self._stopped.set))
        except _TooLateError:
            self._listener.close()
        except BaseException as error:  # noqa: BLE001  whatever it was, the run cannot go on
            self._listener.close()
            failed(error)
