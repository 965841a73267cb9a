"""Get one URL with one Python client, with the key of the environment as the client would send it."""

import asyncio
import json
import os
import ssl
import sys
import urllib.request

import aiohttp
import httpx
import requests
import urllib3


async def _aiohttp() -> tuple[int, str]:
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(url, headers=headers) as response:
        return response.status, await response.text()


def _urllib3() -> tuple[int, str]:
    """Get the page as requests does it for its users: urllib3 itself reads no variable but OpenSSL's."""
    parts = urllib3.util.parse_url(os.environ["HTTPS_PROXY"])
    secret = urllib3.make_headers(proxy_basic_auth=parts.auth)
    proxy = urllib3.ProxyManager(
        os.environ["HTTPS_PROXY"], proxy_headers=secret, ssl_context=ssl.create_default_context()
    )
    response = proxy.request("GET", url, headers=headers)
    return response.status, response.data.decode()


name, url = sys.argv[1:]
headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
if name == "requests":
    answered = requests.get(url, headers=headers, timeout=30)
    status, text = answered.status_code, answered.text
elif name == "httpx":
    response = httpx.get(url, headers=headers, timeout=30)
    status, text = response.status_code, response.text
elif name == "aiohttp":
    status, text = asyncio.run(_aiohttp())
elif name == "urllib3":
    status, text = _urllib3()
else:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as opened:  # noqa: S310  https
        status, text = opened.status, opened.read().decode()
print(json.dumps({"status": status, "body": json.loads(text)}))
