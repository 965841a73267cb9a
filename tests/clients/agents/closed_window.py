"""Ask for many bytes over HTTP/2, read what comes, and never widen the window for more."""

import json
import sys
import time

import h2.connection
import h2.events
import tunnel
from memory import resident

SECONDS = 5
"""Enough for an upstream without a brake to send all of it."""


def ask(protocol: h2.connection.H2Connection, stream: int, path: str) -> None:
    names = {":method": "GET", ":scheme": "https", ":authority": "api.openai.com", ":path": path}
    protocol.send_headers(stream, list(names.items()), end_stream=True)


protocol = h2.connection.H2Connection()
with tunnel.secure("api.openai.com", protocol="h2") as connection:
    protocol.initiate_connection()
    ask(protocol, 1, "/echo")
    connection.sendall(protocol.data_to_send())
    moved, before, until = 0, 0, time.monotonic() + SECONDS
    connection.settimeout(0.2)
    while time.monotonic() < until:
        try:
            events = protocol.receive_data(connection.recv(1 << 16))
        except TimeoutError:
            continue
        if any(isinstance(event, h2.events.StreamEnded) for event in events):
            before = resident("VmRSS")  # the engine is imported and both TLS sides have been used
            ask(protocol, 3, f"/big?bytes={sys.argv[1]}")
        moved += sum(len(event.data) for event in events if isinstance(event, h2.events.DataReceived))
        connection.sendall(protocol.data_to_send())
print(json.dumps({"moved": moved, "before": before, "peak": resident("VmHWM")}))
