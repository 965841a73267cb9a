"""Get one URL with one Python client, with the key of the environment as the client would send it."""

import json
import os
import sys
import urllib.request

import httpx
import requests

name, url = sys.argv[1:]
headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
if name == "requests":
    answered = requests.get(url, headers=headers, timeout=30)
    status, text = answered.status_code, answered.text
elif name == "httpx":
    response = httpx.get(url, headers=headers, timeout=30)
    status, text = response.status_code, response.text
else:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as opened:  # noqa: S310  https
        status, text = opened.status, opened.read().decode()
print(json.dumps({"status": status, "body": json.loads(text)}))
