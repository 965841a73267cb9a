"""One connection: a refused HEAD, a permitted GET whose host is written oddly, and what came back for both."""

import json

import tunnel

HOST = "api.openai.com"
with tunnel.secure(HOST) as connection:
    connection.sendall(f"HEAD /v1/files HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    odd = f"GET /v1/models HTTP/1.1\r\nHost: {HOST.upper()}:0443\r\nConnection: authorization, close\r\n"
    connection.sendall(f"{odd}Proxy-Connection: keep-alive\r\n\r\n".encode())
    answer = tunnel.answer(connection)
print(json.dumps({"head": head.split()[1].decode(), "get": answer.split()[1]}))
