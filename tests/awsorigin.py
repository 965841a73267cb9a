"""The part of AWS that the tests' agents talk to: what is signed well is answered, as four of its services do.

S3 stores and assembles, STS says who asks, DynamoDB has one item, and Bedrock streams; all of it in memory.
"""

import asyncio
import json
import re
from binascii import crc32
from collections.abc import Mapping
from hashlib import md5
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from awssign import ACCESS_KEY, SECRET_KEY, wrong

if TYPE_CHECKING:
    from origin import Exchange

HOSTS = (
    *("s3.amazonaws.com", "s3.us-east-1.amazonaws.com", "sts.us-east-1.amazonaws.com"),
    *("bucket.s3.amazonaws.com", "bucket.s3.us-east-1.amazonaws.com"),
    *("dynamodb.us-east-1.amazonaws.com", "bedrock-runtime.us-east-1.amazonaws.com"),
)
_XML = ("content-type", "application/xml")
_PATIENCE = 60


class Aws:
    """What is stored, and which stream waits for whom."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._parts: dict[int, bytes] = {}
        self._released = asyncio.Event()

    async def answer(self, exchange: "Exchange") -> None:
        body = await exchange.body()
        fault = wrong(exchange.method, exchange.target, exchange.headers, body)
        if fault:
            said = f"<Error><Code>{fault}</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
            await exchange.answer(403, said.encode(), _XML)
            return
        service = exchange.header("host").partition(".")[0]
        answers = {
            "s3": self._store,
            "bucket": self._store,
            "sts": self._identity,
            "dynamodb": self._item,
            "bedrock-runtime": self._converse,
        }
        await answers[service](exchange, body)

    async def _store(self, exchange: "Exchange", body: bytes) -> None:
        query = dict(parse_qsl(exchange.query, keep_blank_values=True))
        if "aws-chunked" in exchange.header("content-encoding"):
            body = b"".join(_chunks(body))
        path = f"/bucket{exchange.path}" if exchange.header("host").startswith("bucket.") else exchange.path
        tag = ("etag", f'"{md5(body).hexdigest()}"')  # noqa: S324  what S3 says
        if path == "/bucket/release":
            self._released.set()
            await exchange.answer(200, b"", tag)
        elif "uploads" in query:
            await exchange.answer(200, _tagged("InitiateMultipartUploadResult", UploadId="u/1"), _XML)
        elif "partNumber" in query:
            self._parts[int(query["partNumber"])] = body
            await exchange.answer(200, b"", tag)
        elif "uploadId" in query:
            self._objects[path] = b"".join(self._parts[number] for number in sorted(self._parts))
            await exchange.answer(200, _tagged("CompleteMultipartUploadResult", ETag='"e"'), _XML)
        elif exchange.method == "PUT":
            self._objects[path] = body
            await exchange.answer(200, b"", tag)
        else:
            await exchange.answer(200, self._objects[path], tag)

    async def _identity(self, exchange: "Exchange", body: bytes) -> None:
        assert b"GetCallerIdentity" in body
        # Both are said back, as a mistake of a service would.
        found = _tagged("GetCallerIdentityResult", Account="123456789012", UserId=ACCESS_KEY, Arn=f"arn:{SECRET_KEY}")
        await exchange.answer(200, b"<GetCallerIdentityResponse>%s</GetCallerIdentityResponse>" % found, _XML)

    async def _item(self, exchange: "Exchange", body: bytes) -> None:
        await exchange.answer_json(200, {"Item": {"asked": {"S": json.loads(body)["Key"]["id"]["S"]}}})

    async def _converse(self, exchange: "Exchange", body: bytes) -> None:
        """Stream an answer whose end waits until somebody has read its beginning."""
        text = json.loads(body)["messages"][0]["content"][0]["text"]
        await exchange.begin(200, ("content-type", "application/vnd.amazon.eventstream"))
        await exchange.write(_event("messageStart", {"role": "assistant"}))
        await exchange.write(_event("contentBlockDelta", {"delta": {"text": f"{len(text)} "}, "contentBlockIndex": 0}))
        async with asyncio.timeout(_PATIENCE):
            await self._released.wait()
        await exchange.write(_event("contentBlockDelta", {"delta": {"text": "last"}, "contentBlockIndex": 0}))
        await exchange.write(_event("messageStop", {"stopReason": "end_turn"}), more=False)


def _chunks(body: bytes) -> list[bytes]:
    found = []
    while (line := re.match(rb"([0-9a-f]+)(?:;chunk-signature=[0-9a-f]{64})?\r\n", body)) and int(line[1], 16):
        size = int(line[1], 16)
        found.append(body[line.end() : line.end() + size])
        body = body[line.end() + size + 2 :]
    return found


def _tagged(name: str, **inner: str) -> bytes:
    return f"<{name}>{''.join(f'<{key}>{value}</{key}>' for key, value in inner.items())}</{name}>".encode()


def _event(kind: str, payload: Mapping[str, Any]) -> bytes:
    """Return one message of an event stream, as smithy's `application/vnd.amazon.eventstream` frames it."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2) + value.encode()
        for name, value in named.items()
    )
    content = json.dumps(payload).encode()
    prelude = (len(headers) + len(content) + 16).to_bytes(4) + len(headers).to_bytes(4)
    message = prelude + crc32(prelude).to_bytes(4) + headers + content
    return message + crc32(message).to_bytes(4)
