"""HTTP/2 on both sides, as h2 reads and writes it.

Promises that a stream which is not read from is slowed down by its own window, whatever the others do, and that nothing
is said to be taken before it was. Refuses what h2 refuses, by ending the connection: a header that is not one, a length
that is not the body's, and the tricks with pseudo-headers of RFC 9113, 8.3.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from authsome.proxy.message import Answered, Asked, Before, CallerGoneError, Fields, Pair, UpstreamGoneError, misframed
from authsome.proxy.pipe import Gone, Pipe

MOST_STREAMS = 100
"""That a caller may have open at once on one connection."""

_FROM_CALLER, _FROM_UPSTREAM = 1 << 17, 1 << 19
"""Octets of one stream that wait to be taken: a caller is near, and an upstream's round trip may be long."""

_OF_THE_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host"),
        b"proxy-authenticate",
    }
)
"""Fields that HTTP/2 has no place for (RFC 9113, 8.2.2); what `host` says, `:authority` says."""

_Codes = h2.errors.ErrorCodes
_Settings = h2.settings.SettingCodes
type _Head = h2.events.RequestReceived | h2.events.ResponseReceived | h2.events.InformationalResponseReceived


class _Machine(h2.connection.H2ConnectionStateMachine):
    """h2's states of a connection, in which streams that were begun outlive a GOAWAY (RFC 9113, 6.8)."""

    def process_input(self, input_: h2.connection.ConnectionInputs) -> list[h2.events.Event]:
        """Go on to the next state; to be told to open no more streams is none."""
        if input_ is h2.connection.ConnectionInputs.RECV_GOAWAY:
            return []
        return super().process_input(input_)


class _Connection(h2.connection.H2Connection):
    """h2's connection, which still says what it had to say when the other side says goodbye."""

    def __init__(self, config: h2.config.H2Configuration) -> None:
        super().__init__(config)
        self.state_machine = _Machine()

    def clear_outbound_data_buffer(self) -> None:
        """Keep it: h2 would have nobody listen any more after a GOAWAY."""


class Link:
    """One connection with its streams, from either side.

    Args:
        opened: Called with each request that the other side makes; None on the side that asks.
        unsound: Called when it turns out to speak no HTTP/2, before it is told so.

    Attributes:
        greeted: Set when the other side's settings are known, or it went without.
    """

    def __init__(
        self,
        pipe: Pipe,
        opened: Callable[["Call"], None] | None = None,
        unsound: Callable[[], None] | None = None,
    ) -> None:
        self.pipe, self._opened, self._unsound = pipe, opened, unsound
        asks = opened is None
        self.state = _Connection(h2.config.H2Configuration(client_side=asks, header_encoding=None))
        window = _FROM_UPSTREAM if asks else _FROM_CALLER
        self.state.local_settings = h2.settings.Settings(
            client=asks,
            initial_values={
                _Settings.ENABLE_PUSH: 0,
                _Settings.INITIAL_WINDOW_SIZE: window,
                _Settings.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
                _Settings.MAX_HEADER_LIST_SIZE: self.state.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        self.state.initiate_connection()
        # No stream may be held up by one that is not read from, so there is room for the windows of all of them.
        self.state.increment_flow_control_window(window * MOST_STREAMS)
        self._flows: dict[int, Flow] = {}
        self._closing = False
        self._leaving: set[asyncio.Task[None]] = set()
        self.greeted = asyncio.Event()

    async def run(self) -> None:
        """Read until the connection ends. Streams that have not ended are lost then."""
        code: int | None = None
        try:
            await self.flush(wait=False)
            while data := await self.pipe.read():
                for event in self.state.receive_data(data):
                    self._take(event)
                # NOTE: without waiting. A peer may take nothing until it is rid of what it has to say.
                await self.flush(wait=False)
        except h2.exceptions.ProtocolError:
            code = _Codes.INTERNAL_ERROR  # what is to be said about it, h2 has written
            if self._unsound is not None:
                self._unsound()
        except Gone:
            pass
        finally:
            self._closing = True
            self.greeted.set()
            for flow in list(self._flows.values()):
                flow.lose(code)
        with suppress(Gone):
            await self.flush(wait=False)
        self.pipe.close()

    @property
    def room(self) -> bool:
        """Whether one more stream can be opened."""
        most = self.state.remote_settings.max_concurrent_streams
        return not self._closing and self.state.open_outbound_streams < most

    def open(self) -> "Flow":
        """Return a new stream; its headers have to be sent before another one is opened."""
        return self._add(self.state.get_next_available_stream_id())

    def _add(self, number: int) -> "Flow":
        flow = self._flows[number] = Flow(self, number)
        return flow

    def forget(self, flow: "Flow") -> None:
        """Be done with a stream; an upstream that opens no more has been asked everything with its last one."""
        self._flows.pop(flow.number, None)
        flow.drop()
        if self._closing and self._opened is None:
            self.close_if_unused()

    def close_if_unused(self) -> None:
        """End a connection on which nothing can be asked and nothing is."""
        if not self._flows:
            self.pipe.close()

    async def flush(self, *, wait: bool = True) -> None:
        """Let what h2 has written leave; raises `Gone`."""
        self._hand_over()
        await self.pipe.flush(wait=wait)

    @property
    def full(self) -> bool:
        """Whether it is time for a `flush`."""
        self._hand_over()
        return self.pipe.full

    def _hand_over(self) -> None:
        if data := self.state.data_to_send():
            self.pipe.write(data)

    def flush_soon(self) -> None:
        """Let it leave without being waited for."""
        task = asyncio.ensure_future(self._leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self) -> None:
        with suppress(Gone):
            await self.flush(wait=False)

    def taken(self, number: int, size: int) -> None:
        """Make room for as much more: these octets were taken."""
        if size:
            self.state.acknowledge_received_data(size, number)

    def _take(self, event: h2.events.Event) -> None:
        number = getattr(event, "stream_id", None) or 0
        if isinstance(event, h2.events.RequestReceived) and self._opened is not None:
            self._opened(Call(self._add(number), event))
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._closing = True
            for each in [each for each in self._flows.values() if each.number > (event.last_stream_id or 0)]:
                if self._opened is None:
                    each.lose(_Codes.REFUSED_STREAM)  # RFC 9113, 6.8: it will not be looked at
            if self._opened is None:
                self.close_if_unused()
        elif isinstance(event, h2.events.RemoteSettingsChanged | h2.events.WindowUpdated) and not number:
            self.greeted.set()
            for each in self._flows.values():
                each.wake()
        elif (flow := self._flows.get(number)) is not None:
            flow.take(event)
        elif isinstance(event, h2.events.DataReceived):
            self.taken(number, event.flow_controlled_length)


class Flow:
    """One stream: what has come on it, and what may be sent.

    Attributes:
        ended: Whether the other side has ended its half.
        code: With what error it was reset.
    """

    def __init__(self, link: Link, number: int) -> None:
        self.link, self.number = link, number
        self.heads: deque[_Head] = deque()
        self.trailers = Fields()
        self.ended = self._lost = False
        self.code: int | None = None
        self._told: Callable[[], object] | None = None
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._changed: set[asyncio.Future[None]] = set()

    def take(self, event: h2.events.Event) -> None:
        """Note what has come."""
        if isinstance(event, h2.events.ResponseReceived | h2.events.InformationalResponseReceived):
            self.heads.append(event)
        elif isinstance(event, h2.events.DataReceived):
            self._pieces.append((event.data or b"", event.flow_controlled_length or 0))
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = _split(event.headers or ())[1]
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.lose(event.error_code)
        self.wake()

    def lose(self, code: int | None) -> None:
        """Note that nothing more can be said, and nothing more will come but what has."""
        self._lost, self.code = True, code
        self.wake()
        if self._told is not None:
            self._told()

    def tell(self, told: Callable[[], object]) -> None:
        """Have this called once it is lost, if it is so already at once."""
        self._told = told
        if self._lost:
            told()

    def wake(self) -> None:
        """Have whoever waits look again."""
        for waiting in self._changed:
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, before: Before) -> None:
        """Wait until something has changed."""
        waiting = asyncio.get_running_loop().create_future()
        self._changed.add(waiting)
        try:
            await before()
            with suppress(Gone):  # what has come before it went is still to be taken; then it is lost
                await self.link.flush()
            await waiting
        finally:
            self._changed.discard(waiting)

    async def head(self) -> _Head:
        """Return the next head. Raises `Gone` if none will come."""
        while not self.heads:
            if self.ended or self._lost:
                raise Gone
            await self.wait(_nothing)
        return self.heads.popleft()

    async def read(self, before: Before) -> bytes:
        """Return the next piece of the body, nothing at its end. Raises `Gone` if it was broken off."""
        while True:
            while not self._pieces:
                if self.ended:
                    return b""
                if self._lost:
                    raise Gone
                await self.wait(before)
            data, size = self._pieces.popleft()
            self.link.taken(self.number, size)
            if data:
                return data

    async def send(self, data: bytes) -> None:
        """Send a piece of a body, as the other side makes room for it. Raises `Gone` if it will not."""
        state, rest = self.link.state, memoryview(data)
        while rest:
            self._check()
            room = min(state.local_flow_control_window(self.number), state.max_outbound_frame_size, len(rest))
            if room > 0:
                with _refused_by_h2():
                    state.send_data(self.number, bytes(rest[:room]))
                rest = rest[room:]
                if self.link.full:
                    await self.link.flush()
            else:
                await self.wait(_nothing)

    def headers(self, fields: Iterable[tuple[bytes, bytes]], *, end: bool) -> None:
        """Send a head, or trailers. Raises `Gone`."""
        self._check()
        with _refused_by_h2():
            self.link.state.send_headers(self.number, fields, end_stream=end)

    def end(self) -> None:
        """End our half. Raises `Gone`."""
        self._check()
        with _refused_by_h2():
            self.link.state.end_stream(self.number)

    def _check(self) -> None:
        if self._lost:
            raise Gone

    def drop(self) -> None:
        """Take what nobody reads any more, for the connection's window is there for all streams."""
        for _, size in self._pieces:
            self.link.taken(self.number, size)
        self._pieces.clear()

    def leave(self, code: int) -> None:
        """Be done with the stream; it is reset where it has not ended in both directions."""
        self._lost = True
        self.wake()
        self.link.forget(self)
        with suppress(h2.exceptions.ProtocolError):  # it has ended, and so there is nothing to reset
            self.link.state.reset_stream(self.number, code)
        self.link.flush_soon()


class Call:
    """A request on a caller's stream. It is a `message.Call`."""

    def __init__(self, flow: Flow, event: h2.events.RequestReceived) -> None:
        self.flow = flow
        self.asked = _read_request(event)
        self._answered = False

    @property
    def trailers(self) -> Fields:
        """The fields after the body."""
        return self.flow.trailers

    async def read(self, before: Before) -> bytes:
        """Return the next piece of the request's body, nothing at its end."""
        with _gone(CallerGoneError):
            return await self.flow.read(before)

    async def inform(self, answer: Answered) -> None:
        """Send an interim answer."""
        with _gone(CallerGoneError):
            self.flow.headers(_with_status(answer), end=False)
            await self.flow.link.flush()

    async def begin(self, answer: Answered, *, bodiless: bool) -> None:
        """Begin the answer, and end it if it has no body."""
        with _gone(CallerGoneError):
            self.flow.headers(_with_status(answer), end=bodiless)
            self._answered = bodiless

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        with _gone(CallerGoneError):
            await self.flow.send(data)

    async def flush(self) -> None:
        """Let what was sent leave."""
        with _gone(CallerGoneError):
            await self.flow.link.flush()

    async def finish(self, trailers: Fields) -> None:
        """End the answer."""
        with _gone(CallerGoneError):
            if not self._answered:
                _end(self.flow, trailers)
                self._answered = True
            await self.flow.link.flush()

    def break_off(self, code: int | None) -> None:
        """Reset the stream, with the upstream's code if it gave one.

        NOTE: not with its NO_ERROR: some clients take what they have so far for the whole.
        """
        self.flow.leave(code or _Codes.INTERNAL_ERROR)

    def done(self) -> None:
        """Tell a caller that still sends that nobody listens any more (RFC 9113, 8.1)."""
        if self.flow.ended and self._answered:
            self.flow.link.forget(self.flow)
        else:
            self.flow.leave(_Codes.NO_ERROR if self._answered else _Codes.INTERNAL_ERROR)


class Wire:
    """A request on a stream to an upstream. It is a `message.Wire`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._flow: Flow | None = None
        self._asked = False

    @property
    def flow(self) -> Flow:
        """The stream, once something was asked on it."""
        assert self._flow is not None  # noqa: S101  for the type checker
        return self._flow

    @property
    def trailers(self) -> Fields:
        """The fields after the body."""
        return self.flow.trailers

    async def ask(self, asked: Asked) -> None:
        """Send the head."""
        pseudo = (
            (b":method", asked.method),
            (b":scheme", b"https"),
            (b":authority", asked.hosts[0]),
            (b":path", asked.path),
        )
        with self._gone():
            if not self._link.room:
                self._link.close_if_unused()
                raise Gone
            self._flow = self._link.open()
            self._flow.headers((*pseudo, *_lower(asked.fields)), end=asked.bodiless)
            self._asked = asked.bodiless

    async def send(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        with self._gone():
            await self.flow.send(data)

    async def flush(self) -> None:
        """Let what was sent leave."""
        with self._gone():
            await self._link.flush()

    async def finish(self, trailers: Fields) -> None:
        """End the request."""
        with self._gone():
            _end(self.flow, trailers)
            self._asked = True
            await self._link.flush()

    async def answer(self) -> Answered:
        """Return the next head of an answer."""
        with self._gone():
            event = await self.flow.head()
        pseudo, fields = _split(event.headers or ())
        status = pseudo.get(b":status", b"")
        if not (len(status) == 3 and status.isdigit()):  # noqa: PLR2004  RFC 9110, 15
            raise UpstreamGoneError
        return Answered(int(status), fields)

    async def read(self, before: Before) -> bytes:
        """Return the next piece of the answer's body, nothing at its end."""
        with self._gone():
            return await self.flow.read(before)

    def when_lost(self, told: Callable[[], object]) -> None:
        """Have it told when the stream is reset, as RFC 9113, 8.1 has it after an early answer."""
        self.flow.tell(told)

    def release(self) -> None:
        """Be done with the stream; the connection stays."""
        if self._flow is None:
            return
        if self._flow.ended and self._asked:
            self._link.forget(self._flow)
        else:
            self._flow.leave(_Codes.CANCEL)

    @contextmanager
    def _gone(self) -> Iterator[None]:
        try:
            yield
        except Gone:
            code = self._flow.code if self._flow else None
            untouched = self._flow is None or code == _Codes.REFUSED_STREAM
            silent = code is None and not (self._flow and self._flow.heads)
            raise UpstreamGoneError(silent=silent, untouched=untouched, code=code) from None


@contextmanager
def _refused_by_h2() -> Iterator[None]:
    """Take a stream or connection that h2 has closed for one that is gone."""
    try:
        yield
    except h2.exceptions.ProtocolError:
        raise Gone from None


async def _nothing() -> None:
    """Do nothing before waiting; the link's own words leave in any case."""


@contextmanager
def _gone(error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except Gone:
        raise error from None


def _end(flow: Flow, trailers: Fields) -> None:
    if trailers:
        flow.headers(_lower(trailers), end=True)
    else:
        flow.end()


def _lower(fields: Fields) -> Iterable[Pair]:
    return fields.without(_OF_THE_HOP).named()


def _with_status(answer: Answered) -> Iterable[Pair]:
    return ((b":status", b"%d" % answer.status), *_lower(answer.fields))


def _split(headers: Iterable[Any]) -> tuple[dict[bytes, bytes], Fields]:
    """Return the pseudo-headers, and the fields."""
    pairs: list[Pair] = [(name, value) for name, value in headers]  # they are octets, see `Link`
    regular = [pair for pair in pairs if pair[0][:1] != b":"]
    return {name: value for name, value in pairs if name[:1] == b":"}, Fields(regular, [name for name, _ in regular])


def _read_request(event: h2.events.RequestReceived) -> Asked:
    pseudo, fields = _split(event.headers or ())
    # RFC 9113, 8.3.1: a `host` beside `:authority` has to say the same; two that do count as one.
    named = [pseudo[b":authority"]] if b":authority" in pseudo else []
    hosts = tuple(dict.fromkeys([*named, *fields.all(b"host")]))
    method, path, bodiless = pseudo.get(b":method", b""), pseudo.get(b":path", b""), event.stream_ended is not None
    wrong = misframed(fields, bodiless=bodiless)
    return Asked(method, path, hosts, fields, "2", bodiless, wrong)
