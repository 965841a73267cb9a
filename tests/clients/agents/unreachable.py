"""Ask the proxy for an undeclared host that nobody answers for, twice, and print what it says."""

import json
import os
import socket
from base64 import b64encode
from urllib.parse import urlsplit

import tunnel

url = urlsplit(os.environ["HTTPS_PROXY"])
password = b64encode(f"{url.username}:{url.password}".encode()).decode()
TARGET = "undeclared.example:9"
ASK = f"CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\nProxy-Authorization: Basic {password}\r\n\r\n"
with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
    connection.sendall(ASK.encode())
    head, _, body = tunnel.answer(connection).partition("\r\n\r\n")
    ended = connection.recv(1) == b""
print(json.dumps({"status": head.split()[1], "error": json.loads(body)["error"], "ended": ended}))
