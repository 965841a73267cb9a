"""Read the first event of a stream that goes on only after it was read."""

import json
import os
import sys

import httpx

address = "https://api.openai.com/reflect/events"
with (
    httpx.Client(timeout=30) as client,
    client.stream("GET", address, params={"stream": str(os.getpid())}) as response,
):
    lines = (line for line in response.iter_lines() if line)
    first = next(lines)
    httpx.get("https://api.openai.com/v1/release", params={"stream": str(os.getpid())}, timeout=30)
    rest = list(lines)
json.dump({"first": first, "rest": rest}, sys.stdout)
