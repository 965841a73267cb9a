"""Announce a large upload, send its first byte only, and print the answer, if one comes without the rest."""

import json

import tunnel

HEAD = "POST /v1/files HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 50000000\r\n\r\nx"

with tunnel.secure("api.openai.com") as connection:
    connection.sendall(HEAD.encode())
    head, _, body = tunnel.answer(connection).partition("\r\n\r\n")
print(json.dumps({"status": head.split()[1], "body": json.loads(body)}))
