"""Make requests of every shape over one connection and print what came back."""

import json
from collections.abc import Iterator

import httpx


def pieces() -> Iterator[bytes]:
    """Yield a body whose length the client does not know."""
    yield from [b"a", b"b", b"c"] * 20


with httpx.Client(base_url="https://api.openai.com", timeout=30) as client:
    shown = {}
    for status in (404, 500, 204):
        response = client.get(f"/status/{status}")
        shown[str(status)] = [response.status_code, response.text, response.headers.get("x-origin")]
    head = client.head("/big?bytes=1000")
    chunked = client.post("/chunked", content=pieces())
    fifty = [client.get("/echo").status_code for _ in range(50)]
shown["head"] = [head.status_code, head.text, head.headers["content-length"]]
shown["chunked"] = [
    chunked.status_code,
    len(chunked.text.splitlines()),
    chunked.headers["x-got"],
    chunked.headers.get("transfer-encoding"),
]
print(json.dumps({**shown, "fifty": fifty}))
