"""Speak WebSocket by hand (RFC 6455) and print what the other side echoed."""

import json
import os
import sys
from collections.abc import Iterator
from ssl import SSLSocket

import tunnel
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, RejectConnection, Request, TextMessage


def events(connection: SSLSocket, protocol: WSConnection) -> Iterator[Event]:
    """Yield what arrives until the connection ends."""
    while True:
        yield from protocol.events()
        block = connection.recv(1 << 16)
        protocol.receive_data(block or None)
        if not block:
            return


def wait_for[E: Event](incoming: Iterator[Event], kind: type[E]) -> E:
    for event in incoming:
        if isinstance(event, kind):
            return event
        if isinstance(event, RejectConnection):
            break
    raise ConnectionError(f"no {kind.__name__} arrived")


with tunnel.secure("api.openai.com") as connection:
    protocol = WSConnection(ConnectionType.CLIENT)
    key = os.environ["OPENAI_API_KEY"].encode()
    hello = Request("api.openai.com", "/v1/realtime", extra_headers=[(b"Authorization", b"Bearer " + key)])
    connection.sendall(protocol.send(hello))
    incoming = events(connection, protocol)
    wait_for(incoming, AcceptConnection)
    echoed = []
    for text in sys.argv[1:]:
        # Each message waits for the echo of the one before: nothing may be held back.
        connection.sendall(protocol.send(TextMessage(text)))
        echoed.append(wait_for(incoming, TextMessage).data)
    connection.sendall(protocol.send(CloseConnection(1000)))
print(json.dumps({"echoed": echoed}))
