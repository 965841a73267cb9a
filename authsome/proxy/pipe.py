"""Octets in both directions with one peer, and a brake in each.

Promises that a peer which is not read from is soon not listened to, and that `flush` returns when the peer has taken
most of what was written: whoever copies from one pipe to another needs no more memory than the two brakes allow.
Refuses nothing; a peer that is gone is a `Gone`, whatever the operating system calls it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque

AT_MOST = 1 << 16
"""Octets that wait to be read, or to be sent, before the brake is put on."""

FLOODED = 1 << 24
"""Octets that a peer may leave untaken of what is sent without waiting; a hundred streams that wait have sent half."""


class Gone(Exception):  # noqa: N818  a peer may well go
    """The peer is not there any more."""


class Pipe(ABC):
    """One end of a connection. One task reads from it, any may write."""

    def __init__(self) -> None:
        self._received: deque[bytes] = deque()
        self._waiting = 0
        self._ended = self._broken = self._deaf = self._braked = False
        self._reader: asyncio.Future[None] | None = None
        self._written: list[bytes] = []
        self._pending = 0

    # Whoever has the connection says what happens on it.

    def feed(self, data: bytes) -> None:
        """Take what the peer has sent."""
        self._received.append(data)
        self._waiting += len(data)
        if self._waiting > AT_MOST and not self._braked:
            self._braked = True
            self._brake()
        self._wake()

    def feed_end(self) -> None:
        """Take note that the peer sends no more; it may still listen."""
        self._ended = True
        self._wake()

    def feed_loss(self) -> None:
        """Take note that the connection broke."""
        self._ended = self._broken = self._deaf = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    @abstractmethod
    def _brake(self) -> None: ...

    @abstractmethod
    def _release(self) -> None: ...

    # Whoever has something to do with the peer.

    @property
    def quiet(self) -> bool:
        """Whether the peer is there and has said nothing that was not read."""
        return not (self._received or self._ended)

    async def read(self) -> bytes:
        """Return what the peer sent next, nothing if it has ended. Raises `Gone` if it broke off."""
        while not self._received:
            if self._broken:
                raise Gone
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._received.popleft()
        self._waiting -= len(data)
        if self._braked and self._waiting <= AT_MOST // 2:
            self._braked = False
            self._release()
        return data

    def write(self, data: bytes) -> None:
        """Have this sent with the next `flush`."""
        self._written.append(data)
        self._pending += len(data)

    @property
    def full(self) -> bool:
        """Whether it is time for a `flush`."""
        return self._pending >= AT_MOST

    async def flush(self, *, wait: bool = True) -> None:
        """Send what was written, and wait while the peer takes too little. Raises `Gone` if it takes nothing more.

        Without `wait` for who has to go on reading: then a peer that takes nothing at all is broken off.
        """
        if self._deaf:
            raise Gone
        if self._written:
            data = self._written[0] if len(self._written) == 1 else b"".join(self._written)
            self._written.clear()
            self._pending = 0
            await self._send(data, wait=wait)

    @abstractmethod
    async def _send(self, data: bytes, *, wait: bool) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """End the connection; what was flushed still arrives."""

    @abstractmethod
    def abort(self) -> None:
        """Break the connection, so that nobody takes what was sent for the whole."""


class Line(Pipe, asyncio.Protocol):
    """A pipe over a connection of asyncio's."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: asyncio.Transport | None = None
        self._may_send = asyncio.Event()
        self._may_send.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection that was made."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for the type checker
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self.feed(data)

    def eof_received(self) -> None:
        """Note the end. TLS has no half of a connection here, so asyncio closes it."""
        self.feed_end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the loss."""
        if exc is None:
            self.feed_end()
        else:
            self.feed_loss()
        self._deaf = True
        self._may_send.set()

    def pause_writing(self) -> None:
        """Wait with what comes next."""
        self._may_send.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._may_send.set()

    def _brake(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def _release(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    async def _send(self, data: bytes, *, wait: bool) -> None:
        if self.transport is None or self.transport.is_closing():
            raise Gone
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > FLOODED:
            self.abort()
            raise Gone
        if wait and not self._may_send.is_set():
            await self._may_send.wait()
            if self._deaf:
                raise Gone

    def close(self) -> None:
        """End the connection; what was flushed still arrives."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Break the connection."""
        if self.transport is not None:
            self.transport.abort()
