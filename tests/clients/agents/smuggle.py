"""Requests that an upstream could read as others than the proxy does, by hand over HTTP/1.1 and HTTP/2."""

import json

import h2.config
import h2.connection
import h2.events
import tunnel

HOST = "api.openai.com"
PLAIN = f"Host: {HOST}\r\nAuthorization: Bearer authsome-proxy-managed\r\n"
RAW = [
    f"POST /v1/files HTTP/1.1\r\n{PLAIN}X-A: b\rContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc",
    f"GET /v1/models HTTP/1.1\r\n{PLAIN}X-A: b\r\n folded: line\r\n\r\n",
    f"GET https://evil.example/v1/models HTTP/1.1\r\n{PLAIN}\r\n",
    f"GET https://{HOST}/v1/models HTTP/1.1\r\n{PLAIN}\r\n",
    f"GET /v1/models HTTP/1.1\r\n{PLAIN}Host: {HOST}\r\n\r\n",
    f"POST /v1/files HTTP/1.1\r\n{PLAIN}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    f"GET /v1/models HTTP/1.1\r\n{PLAIN}X-A: a\0b\r\n\r\n",
]
MULTIPLEXED = [
    {":path": "https://evil.example/x"},
    {":path": "/x HTTP/1.1\r\nX-Other: y"},
    {":path": "/v1/ models"},
    {":method": "GET https://evil.example/?"},
    {":method": "DELETE /v1/models HTTP/1.1"},
    {":authority": "evil.example"},
    {"x-a": "b\rcontent-length: 0"},
    {"host": "evil.example"},
]


def send(request: str) -> str:
    """Return the status line's code, or why there was none."""
    with tunnel.secure(HOST) as connection:
        connection.sendall(request.encode("latin-1"))
        received = connection.recv(1 << 16)
    return received.split()[1].decode() if received else "closed"


def multiplex(changed: dict[str, str]) -> str:
    names = {":method": "GET", ":scheme": "https", ":authority": HOST, ":path": "/v1/models"} | changed
    settings = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    protocol = h2.connection.H2Connection(settings)
    with tunnel.secure(HOST, protocol="h2") as connection:
        protocol.initiate_connection()
        protocol.send_headers(1, list(names.items()), end_stream=True)
        connection.sendall(protocol.data_to_send())
        while block := connection.recv(1 << 16):
            for event in protocol.receive_data(block):
                if isinstance(event, h2.events.ResponseReceived):
                    return dict(event.headers)[b":status"].decode()
                if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return "reset"
    return "closed"


print(json.dumps({"raw": [send(each) for each in RAW], "multiplexed": [multiplex(each) for each in MULTIPLEXED]}))
