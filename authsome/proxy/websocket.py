"""WebSocket, of which only frames pass: those of an upstream without secrets.

Promises that a message is looked at as a whole, wherever its frames end, and passes while it comes: in fragments, if it
comes in pieces. What is no frame does not pass in either direction: after a handshake that an upstream only seemed to
accept, it could be a request. Refuses what is not WebSocket of RFC 6455 without extensions.
"""

import codecs
from collections.abc import Iterator

import wsproto.events as happenings
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from authsome.proxy.codings import CodingError
from authsome.proxy.scrub import Scrubber, Stream


class Frames:
    """One direction of a WebSocket. Without a scrubber, only that it is one is looked at.

    Args:
        asks: Whether it comes from the side that asked for the WebSocket.
    """

    def __init__(self, scrubber: Scrubber, *, asks: bool) -> None:
        self._scrubber = scrubber
        client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
        self._heard, self._said = (server, client) if asks else (client, server)
        self._message: Stream | None = None
        self._text = _decoder()

    def look_for(self, scrubber: Scrubber) -> None:
        """Look for other secrets from now on, among them those that were looked for."""
        if scrubber is not self._scrubber:
            self._scrubber = scrubber
            if self._message is not None:
                self._message.look_for(scrubber)

    def feed(self, data: bytes) -> bytes:
        """Return what can leave now. What is no WebSocket is a `CodingError`."""
        try:
            self._heard.receive_data(data)
            return b"".join(self._said.send(event) for event in self._read())
        except (RemoteProtocolError, LocalProtocolError, UnicodeDecodeError) as error:
            raise CodingError("not the frames of a WebSocket") from error

    def _read(self) -> Iterator[happenings.Event]:
        for event in self._heard.events():
            if isinstance(event, happenings.TextMessage | happenings.BytesMessage):
                yield from self._scrubbed(event)
            elif isinstance(event, happenings.Ping | happenings.Pong):
                yield type(event)(payload=self._scrubber.once(bytes(event.payload)))
            elif isinstance(event, happenings.CloseConnection):
                if self._heard.state is ConnectionState.OPEN:
                    raise CodingError("not the frames of a WebSocket")  # wsproto would say goodbye to it
                reason = self._scrubber.once((event.reason or "").encode()).decode(errors="replace")
                yield happenings.CloseConnection(code=event.code, reason=reason or None)

    def _scrubbed(self, event: happenings.TextMessage | happenings.BytesMessage) -> Iterator[happenings.Event]:
        stream = self._message = self._message or self._scrubber.stream()
        written = isinstance(event, happenings.TextMessage)
        data = stream.feed(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
        whole = event.message_finished
        if whole:
            data += stream.end()
            self._message = None
        if not (data or whole):
            return
        if written:
            yield happenings.TextMessage(data=self._text.decode(data, whole), message_finished=whole)
        else:
            yield happenings.BytesMessage(data=data, message_finished=whole)


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")()
