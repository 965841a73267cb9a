"""HTTP/1.1 on both sides, as h11 reads and writes it.

Promises that what leaves was written anew from what was understood, so that no two readers of one request can find a
different end to it. Refuses what h11 refuses, and a message that names its length in two ways.
"""

import re
from collections.abc import Callable
from contextlib import suppress

import h11

from authsome.proxy.message import (
    Answered,
    Asked,
    Before,
    CallerGoneError,
    Fields,
    RefusedError,
    UpstreamGoneError,
    malformed,
    misframed,
    unreadable,
)
from authsome.proxy.pipe import Gone, Pipe
from authsome.rules import Refusal

LONGEST_HEAD = 1 << 18
"""Octets of a head, more than any server takes."""

_OF_THE_HOP = frozenset(
    {b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"proxy-authenticate"}
)
"""What a head says of its own connection (RFC 9110, 7.6.1); the other side's head says its own."""


class Server:
    """The server's side: one caller's requests, one after the other. It is the `message.Call` of the current one."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._state = h11.Connection(h11.SERVER, LONGEST_HEAD)
        self._unread = self._chunked = False
        self._last = True
        self._head: bytearray | None = None
        self.asked = _NOTHING_YET
        self.trailers = Fields()

    async def next(self) -> bool:
        """Wait for the next request; return whether there is one.

        Raises `RefusedError` where what came is no request, after which there is no further one.
        """
        while await self.read(self.flush):  # of a request that was answered early the rest runs dry
            pass
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        elif self._state.our_state is not h11.IDLE:
            return False
        self.asked, self.trailers, self._last = _NOTHING_YET, Fields(), True
        self._head = bytearray(self._state.trailing_data[0])
        event = await self._event(self.flush)
        if not isinstance(event, h11.Request):
            return False
        head = bytes(self._head[: len(self._head) - len(self._state.trailing_data[0])])
        self._head = None
        self.asked = _read_request(event, head)
        self._unread, self._last = True, False
        return True

    async def _event(self, before: Before) -> object:
        while True:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                # NOTE: h11's own words may quote what it could not read.
                raise RefusedError(_no_request(too_long=error.error_status_hint == _TOO_LONG)) from None
            if event is not h11.NEED_DATA:
                return event
            await before()
            try:
                data = await self._pipe.read()
            except Gone:
                raise CallerGoneError from None
            self._state.receive_data(data)
            if self._head is not None:
                self._head += data

    async def read(self, before: Before) -> bytes:
        """Return the next piece of the request's body, nothing at its end."""
        while self._unread:
            try:
                event = await self._event(before)
            except RefusedError:
                raise CallerGoneError from None
            if isinstance(event, h11.Data):
                return bytes(event.data)
            self._unread = False
            if isinstance(event, h11.EndOfMessage):
                self.trailers = _fields(event)
        return b""

    async def inform(self, answer: Answered) -> None:
        """Send an interim answer; HTTP/1.0 knows none."""
        if self.asked.version != "1.0":
            self._write(_interim(answer.status, answer.fields.without(_OF_THE_HOP), answer.reason))
            await self.flush()

    async def begin(self, answer: Answered, *, bodiless: bool) -> None:  # noqa: ARG002  its status says so
        """Begin the answer; h11 chooses a framing where no length is known."""
        fields = answer.fields.without(_OF_THE_HOP)
        if self._state.they_are_waiting_for_100_continue:
            self._last, self._unread = True, False  # whether a body will follow, the caller alone knows
        if self._last:
            fields = fields.plus((b"Connection", b"close"))
        self._chunked = self.asked.version == "1.1" and not fields.all(b"content-length")
        self._write(h11.Response(status_code=answer.status, headers=list(fields.pairs), reason=answer.reason))

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        self._write(h11.Data(data=data))
        if self._pipe.full:
            await self.flush()

    async def flush(self) -> None:
        """Let what was sent leave."""
        try:
            await self._pipe.flush()
        except Gone:
            raise CallerGoneError from None

    async def finish(self, trailers: Fields) -> None:
        """End the answer; trailers only where it is chunked."""
        self._write(h11.EndOfMessage(headers=list(trailers.pairs) if self._chunked else []))
        await self.flush()

    def done(self) -> None:
        """What is left of the request runs dry when the next one is waited for."""

    def break_off(self, code: int | None) -> None:  # noqa: ARG002  HTTP/1.1 has no codes
        """End the answer so that the caller sees that it is not whole."""
        self._pipe.abort()

    async def switch(self, answer: Answered) -> tuple[Pipe, bytes]:
        """Change the protocol; return the connection, and what the caller has already said in the new one."""
        while await self.read(self.flush):
            pass
        fields = answer.fields.without(_OF_THE_HOP)
        upgrade = answer.fields.all(b"upgrade")[0]
        switched = fields.plus((b"Connection", b"Upgrade"), (b"Upgrade", upgrade))
        self._write(_interim(answer.status, switched, answer.reason))
        await self.flush()
        return self._pipe, self._state.trailing_data[0]

    def _write(self, event: h11.Event) -> None:
        for data in self._state.send_with_data_passthrough(event) or ():
            self._pipe.write(data)


class Client:
    """The client's side of one connection, kept for further requests. It is the `message.Wire` of the current one."""

    def __init__(self, pipe: Pipe, keep: Callable[["Client"], None]) -> None:
        self.pipe = pipe
        self._keep = keep
        self._state = h11.Connection(h11.CLIENT, LONGEST_HEAD)
        self._unread = self._chunked = self._heard = False
        self.trailers = Fields()

    async def ask(self, asked: Asked) -> None:
        """Send the head, framed as its length permits."""
        fields = asked.fields.without(_OF_THE_HOP)
        self._chunked = not asked.bodiless and not fields.all(b"content-length")
        if self._chunked:
            fields = fields.plus((b"Transfer-Encoding", b"chunked"))
        if upgrades := asked.fields.all(b"upgrade"):
            fields = fields.plus((b"Connection", b"Upgrade"), (b"Upgrade", upgrades[0]))
        if fields.all(b"te"):
            fields = fields.plus((b"Connection", b"TE"))
        self._write(h11.Request(method=asked.method, target=asked.path, headers=list(fields.pairs)))
        self.trailers = Fields()
        self._unread, self._heard = True, False
        if asked.bodiless:
            self._write(h11.EndOfMessage())

    async def send(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        self._write(h11.Data(data=data))
        if self.pipe.full:
            await self.flush()

    async def flush(self) -> None:
        """Let what was sent leave."""
        try:
            await self.pipe.flush()
        except Gone:
            raise UpstreamGoneError(silent=not self._heard) from None

    async def _flush_if_heard(self) -> None:
        with suppress(UpstreamGoneError):  # one that listens no more may still have answered
            await self.flush()

    async def finish(self, trailers: Fields) -> None:
        """End the request."""
        self._write(h11.EndOfMessage(headers=list(trailers.pairs) if self._chunked else []))
        await self.flush()

    async def answer(self) -> Answered:
        """Return the next head of an answer."""
        event = await self._event(self._flush_if_heard)
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise UpstreamGoneError(silent=not self._heard)
        return Answered(event.status_code, _read_answer(event), event.reason)

    async def read(self, before: Before) -> bytes:
        """Return the next piece of the answer's body, nothing at its end."""
        while self._unread:
            event = await self._event(before)
            if isinstance(event, h11.Data):
                return bytes(event.data)
            self._unread = False
            if not isinstance(event, h11.EndOfMessage):
                raise UpstreamGoneError
            self.trailers = _fields(event)
        return b""

    def when_lost(self, told: Callable[[], object]) -> None:
        """HTTP/1.1 can only hang up, which the next piece of the body shows."""

    def release(self) -> None:
        """Keep the connection if both sides have ended and it says nothing more, else break it off."""
        state = self._state
        if state.our_state is state.their_state is h11.DONE and self.pipe.quiet and not state.trailing_data[0]:
            state.start_next_cycle()
            self._keep(self)
        elif state.our_state in (h11.MUST_CLOSE, h11.SWITCHED_PROTOCOL):
            self.pipe.close()
        else:
            self.pipe.abort()

    def switched(self) -> tuple[Pipe, bytes]:
        """Return the connection after a 101, and what the upstream has already said on it."""
        return self.pipe, self._state.trailing_data[0]

    async def _event(self, before: Before) -> object:
        while True:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                if error.error_status_hint == _NOT_IMPLEMENTED:
                    raise RefusedError(unreadable("of a transfer")) from None
                raise UpstreamGoneError(silent=not self._heard) from None
            if event is not h11.NEED_DATA:
                return event
            await before()
            try:
                data = await self.pipe.read()
            except Gone:
                raise UpstreamGoneError(silent=not self._heard) from None
            self._heard = self._heard or bool(data)
            self._state.receive_data(data)

    def _write(self, event: h11.Event) -> None:
        for data in self._state.send_with_data_passthrough(event) or ():
            self.pipe.write(data)


_NOTHING_YET = Asked(b"", b"", (), Fields(), "1.1", bodiless=True)
_NOT_IMPLEMENTED, _TOO_LONG = 501, 431  # h11's hints: a transfer coding it does not know, a head too long


# What h11 reads and others read differently: a folded line, and a length that is said again.
_FOLDED = re.compile(rb"\n[ \t]")
_LENGTHS = re.compile(rb"\ncontent-length[ \t]*:", re.IGNORECASE)


def _read_request(event: h11.Request, head: bytes) -> Asked:
    fields = _fields(event)
    version, coded, lengths = event.http_version, fields.all(b"transfer-encoding"), fields.all(b"content-length")
    if _FOLDED.search(head) or len(_LENGTHS.findall(head)) > 1:
        raise RefusedError(malformed("a folded header, or a length that is said twice, is read in several ways"))
    if version not in (b"1.0", b"1.1"):
        raise RefusedError(malformed("this is no version of HTTP we know"))
    if coded and (lengths or version == b"1.0"):
        # NOTE: of two lengths another reader may believe the other one (RFC 9112, 6.3).
        raise RefusedError(malformed("`Transfer-Encoding` and something that contradicts it name the body's length"))
    bodiless = not coded and (not lengths or int(lengths[0]) == 0)
    hosts, wrong = tuple(fields.all(b"host")), misframed(fields, bodiless=bodiless)
    return Asked(event.method, event.target, hosts, fields, version.decode(), bodiless, wrong)


def _read_answer(event: h11.Response | h11.InformationalResponse) -> Fields:
    fields = _fields(event)
    # Of an answer that names its length in two ways h11 believes the coding, so the other one goes (RFC 9112, 6.3).
    return fields.without(_LENGTH) if fields.all(b"transfer-encoding") else fields


def _fields(event: h11.Request | h11.Response | h11.InformationalResponse | h11.EndOfMessage) -> Fields:
    return Fields(event.headers.raw_items(), (name for name, _ in event.headers))


_LENGTH = frozenset({b"content-length"})


def _interim(status: int, fields: Fields, reason: bytes) -> h11.InformationalResponse:
    return h11.InformationalResponse(status_code=status, headers=list(fields.pairs), reason=reason)


def _no_request(*, too_long: bool) -> Refusal:
    return malformed("the request's head is too long" if too_long else "this is not a request of HTTP/1.1")
