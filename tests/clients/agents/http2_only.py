"""A client that speaks HTTP/2 alone, as gRPC does: one permitted request, one forbidden, one answered in pieces."""

import json
import ssl

import h2.connection
import h2.events
import tunnel

HOST = "api.openai.com"


def exchange(connection: ssl.SSLSocket, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Return status and body of one request on a stream of its own."""
    stream = protocol.get_next_available_stream_id()
    names = {":method": method, ":scheme": "https", ":authority": HOST, ":path": path}
    protocol.send_headers(stream, list(names.items()), end_stream=not body)
    if body:
        protocol.send_data(stream, body, end_stream=True)
    status, received = 0, b""
    while True:
        connection.sendall(protocol.data_to_send())
        for event in protocol.receive_data(connection.recv(1 << 16)):
            if isinstance(event, h2.events.ResponseReceived):
                status = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                received += event.data
                protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                connection.sendall(protocol.data_to_send())
                return status, received


protocol = h2.connection.H2Connection()
with tunnel.secure(HOST, protocol="h2") as connection:
    protocol.initiate_connection()
    models = exchange(connection, "GET", "/v1/models")
    refused, why = exchange(connection, "POST", "/v1/files", b"x" * 10_000)
    big = exchange(connection, "GET", "/big?bytes=3000000")
print(json.dumps({"statuses": [models[0], refused], "error": json.loads(why)["error"], "size": len(big[1])}))
