"""A request to AWS on its way through the proxy: its head and its body, signed with the real keys.

Promises that a body which can stream does, and that few are held at once of those whose hash the signature needs.
Refuses to hold a long one, before it is read where its length is said.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import unquote
from xml.sax.saxutils import escape

from authsome.provider import SIGNATURE_HEADERS, Host, Signing, mentions
from authsome.proxy import chunks, sigv4
from authsome.proxy.message import Answered, Asked, Before, Body, Call, CallerGoneError, Fields, RefusedError, in_json
from authsome.rules import Refusal

LONGEST = 32 << 20
"""Octets of a body that are held. Bedrock takes 25 MB, DynamoDB 16, Kinesis 10, Lambda 6 for a call; S3, which takes
any number, is told the hash in a header or does without."""
SHORT = 1 << 20
"""Octets of a body that waits for nobody's room."""
_PIECE = 1 << 16


class Signer:
    """Signs one request.

    Args:
        room: How many long bodies may be held at once.
    """

    def __init__(self, call: Call, room: asyncio.Semaphore) -> None:
        self._call, self._room = call, room
        self._taken = False

    async def sign(self, asked: Asked, keys: sigv4.Keys) -> tuple[Asked, Body]:
        """Return the request as it leaves, and its body."""
        try:
            return await self._sign(asked, keys)
        except sigv4.UnsignableError as error:
            raise RefusedError(_refusal(error)) from None

    async def _sign(self, asked: Asked, keys: sigv4.Keys) -> tuple[Asked, Body]:
        body: Body = self._call
        method, target = asked.method.decode("latin-1"), asked.path.decode("latin-1")
        claim = _claim(asked)
        fields, payload = asked.fields, claim.payload
        if payload is None:
            data = await self._hold(asked.fields)
            claim = _claim(asked)  # of now: it may have taken its time
            sigv4.check_body(claim, target, data)
            payload = await asyncio.to_thread(_hash, data) if len(data) > SHORT else _hash(data)
            fields = fields.without(_SAID_ANEW).plus((b"Content-Length", b"%d" % len(data)))
            body = Held(self._call, data, self.release)
        made = sigv4.sign(claim, keys, method, target, _pairs(fields), payload)
        if claim.in_chunks:
            size = chunks.length(_pairs(fields))
            body = Resigned(self._call, chunks.Chunks(made.seal, size, trailer=payload == sigv4.CHUNKS_AND_TRAILER))
        if mentions(unquote(made.target)):  # in a name that only some servers take for one of a signature
            raise sigv4.UnsignableError("signature_unknown", "a placeholder stands in the query beside the signature")
        added = [(name.encode(), value.encode("latin-1")) for name, value in made.headers]
        fields = fields.without(_OF_CREDENTIAL | frozenset(name for name, _ in added)).plus(*added)
        path = made.target.encode("latin-1")
        return Asked(asked.method, path, asked.hosts, fields, asked.version, asked.bodiless), body

    async def _hold(self, fields: Fields) -> bytes:
        """Return the whole body, as soon as there is room for it."""
        length = self._call.asked.length
        if length is not None and length > LONGEST:
            raise RefusedError(_TOO_LONG)
        if length is None or length > SHORT:
            await self._room.acquire()
            self._taken = True
        if b"100-continue" in fields.options(b"expect"):  # it waits for a word, and the upstream's would come too late
            await self._call.inform(Answered(100, Fields()))
        data = bytearray()
        while piece := await self._call.read(_nothing):
            data += piece
            if len(data) > LONGEST:
                raise RefusedError(_TOO_LONG)
        if length not in (None, len(data)):
            raise CallerGoneError  # it gave up, or lied
        return bytes(data)

    def release(self) -> None:
        """Make room for another body."""
        if self._taken:
            self._taken = False
            self._room.release()


class Held:
    """A body that has been read to its end. It is a `message.Body`."""

    def __init__(self, call: Call, data: bytes, ended: Callable[[], None]) -> None:
        self._call, self._data, self._ended = call, data, ended
        self._at = 0

    @property
    def trailers(self) -> Fields:
        """The fields after the body."""
        return self._call.trailers

    async def read(self, before: Before) -> bytes:  # noqa: ARG002  it is there
        """Return the next piece, nothing at the end."""
        piece = self._data[self._at : self._at + _PIECE]
        self._at += len(piece)
        if not piece:
            self._data = b""
            self._ended()
        return piece


class Resigned:
    """A body of chunks whose signatures are made anew. It is a `message.Body`."""

    def __init__(self, call: Call, made: chunks.Chunks) -> None:
        self._call, self._chunks = call, made

    @property
    def trailers(self) -> Fields:
        """The fields after the body."""
        return self._call.trailers

    async def read(self, before: Before) -> bytes:
        """Return the chunks that are whole, nothing at the end. Raises `RefusedError`."""
        try:
            while data := await self._call.read(before):
                if made := self._chunks.feed(data):
                    return made
            self._chunks.end()
        except sigv4.UnsignableError as error:
            raise RefusedError(_refusal(error)) from None
        return b""


def keys(placed: Signing, secrets: Mapping[str, str]) -> sigv4.Keys:
    """Return what a connection signs with; its session token may be one that it does not have."""
    token = secrets.get(placed.session_token) if placed.session_token else None
    return sigv4.Keys(secrets[placed.access_key], secrets[placed.secret_key], token)


def worded(refusal: Refusal, asked: Asked, host: Host) -> tuple[Fields, bytes]:
    """Return a refusal as the SDKs of AWS read one: in XML for S3 and for forms, and in JSON with names of theirs."""
    fields, content = in_json(refusal)
    said = f"authsome: {refusal.reason}" + (f" ({refusal.hint})" if refusal.hint else "")
    inner = f"<Code>{refusal.error}</Code><Message>{escape(said)}</Message>"
    storage = any(b"/s3/aws4_request" in each for each in asked.fields.all(b"authorization"))
    if storage or sigv4.is_storage(str(host)):
        text = f"<Error>{inner}</Error>"
    elif any(each.startswith(b"application/x-www-form-urlencoded") for each in asked.fields.all(b"content-type")):
        text = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error></ErrorResponse>"
    else:
        return _as_long_as(fields.plus((b"X-Amzn-Errortype", refusal.error.encode())), content, message=said)
    kept = fields.without(_OF_CONTENT).plus((b"Content-Type", b"application/xml"))
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()
    return kept.plus((b"Content-Length", b"%d" % len(content))), content


def _as_long_as(fields: Fields, content: bytes, **more: str) -> tuple[Fields, bytes]:
    content = json.dumps(json.loads(content) | more).encode() + b"\n"
    return fields.without(frozenset({b"content-length"})).plus((b"Content-Length", b"%d" % len(content))), content


_OF_CONTENT = frozenset({b"content-type", b"content-length"})
_SAID_ANEW = frozenset({b"content-length", b"expect"})
_OF_CREDENTIAL = frozenset(name.encode() for name in SIGNATURE_HEADERS)


def _claim(asked: Asked) -> sigv4.Claim:
    method, target, host = asked.method.decode("latin-1"), asked.path.decode("latin-1"), asked.hosts[0].decode()
    return sigv4.read(method, target, _pairs(asked.fields), host, datetime.now(UTC), bodiless=asked.bodiless)


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields.named()]


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


async def _nothing() -> None:
    """Nothing has been sent that could leave before it waits."""


def _refusal(error: sigv4.UnsignableError) -> Refusal:
    return Refusal(error.word, f"{error.reason}; nothing was signed", status=400 if error.word in _BROKEN else 403)


_BROKEN = frozenset({"signature_unknown", "malformed_body"})
_TOO_LONG = Refusal(
    "body_too_long",
    f"its signature needs the hash of the whole body, and more than {LONGEST >> 20} MiB are not held for that",
    "say the hash in `X-Amz-Content-Sha256`, or put it into S3",
    status=413,
)
