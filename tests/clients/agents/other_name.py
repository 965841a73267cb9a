"""Open a tunnel to one declared host and ask for another one in the TLS hello."""

import json

import tunnel

with tunnel.secure("api.openai.com", "api.github.com") as connection:
    connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n")
    head, _, body = tunnel.answer(connection).partition("\r\n\r\n")
print(json.dumps({"status": head.split()[1], "body": json.loads(body)}))
