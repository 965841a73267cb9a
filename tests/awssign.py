"""What AWS does with a request: it computes the signature with the keys that it knows, and compares.

The computing is botocore's own signer; what S3 does with signed chunks is written here from its documentation.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from botocore.auth import S3SigV4Auth, SigV4Auth  # type: ignore[import-untyped]  # it has none
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # it has none
from botocore.credentials import Credentials  # type: ignore[import-untyped]  # it has none

ACCESS_KEY, SECRET_KEY = "AKIACANARY23456ABCDE", "CANARY+secret/0123456789abcdefghijklmnop"
TOKEN = "CANARY//token+0123456789=="
EMPTY = sha256().hexdigest()

type Pairs = Sequence[tuple[str, str]]


def wrong(
    method: str,
    target: str,
    headers: Pairs,
    body: bytes,
    token: str | None = None,
    *,
    access_key: str = ACCESS_KEY,
    secret: str = SECRET_KEY,
) -> str | None:
    """Return why AWS would refuse a request, None if it would not; names of headers in lower case."""
    given = _claim(target, headers)
    if given is None:
        return "MissingAuthenticationToken"
    fields, (given_key, date, region, service, _) = _joined(headers), given["credential"].split("/")
    unsigned = [name for name in fields if name.startswith("x-amz-") and name not in given["signed"]]
    stated, known = fields.get("x-amz-content-sha256"), sha256(body).hexdigest()
    payload = stated or ("UNSIGNED-PAYLOAD" if service == "s3" else known)
    faults = {
        f"InvalidClientTokenId: {given_key}": given_key != access_key,
        f"InvalidToken: {given['token']}": given["token"] != token,
        "the scope is of another day": not given["time"].startswith(date),
        f"not signed: {unsigned}": unsigned or "host" not in given["signed"],
        "MissingSecurityHeader": service == "s3" and stated is None and given["expires"] is None,
        "XAmzContentSHA256Mismatch": re.fullmatch("[0-9a-f]{64}", payload) and payload != known,
    }
    if found := next((words for words, holds in faults.items() if holds), None):
        return found
    if _signature(method, given, fields, service, region, payload, secret) != given["signature"]:
        return f"SignatureDoesNotMatch: {given}"
    return _wrong_chunks(body, fields, given, region, secret) if payload.startswith("STREAMING-AWS4-HMAC") else None


def _joined(headers: Pairs) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _claim(target: str, headers: Pairs) -> dict[str, Any] | None:
    fields = _joined(headers)
    path, _, query = target.partition("?")
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    asked = {name: unquote(value) for name, value in pairs}
    kept = [(name, value) for name, value in pairs if name != "X-Amz-Signature"]
    if "X-Amz-Signature" in asked:
        return {
            "credential": asked["X-Amz-Credential"],
            "signature": asked["X-Amz-Signature"],
            "signed": asked["X-Amz-SignedHeaders"].split(";"),
            "time": asked["X-Amz-Date"],
            "token": asked.get("X-Amz-Security-Token"),
            "expires": int(asked["X-Amz-Expires"]),
            "path": path,
            "query": kept,
        }
    said = re.fullmatch(
        "AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
        fields.get("authorization", ""),
    )
    return said and {
        "credential": said[1],
        "signature": said[3],
        "signed": said[2].split(";"),
        "path": path,
        "query": kept,
        "time": fields["x-amz-date"],
        "token": fields.get("x-amz-security-token"),
        "expires": None,
    }


def _signature(
    method: str, given: Mapping[str, Any], fields: Mapping[str, str], service: str, region: str, payload: str, key: str
) -> str:
    query = "&".join(f"{name}={value}" for name, value in given["query"])
    url = f"https://{fields['host']}{given['path']}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers={name: fields[name] for name in given["signed"]})
    request.context["timestamp"] = given["time"]
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(ACCESS_KEY, key), service, region)
    canonical = signer.canonical_request(request).rpartition("\n")[0] + f"\n{payload}"
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


def _wrong_chunks(
    body: bytes, fields: Mapping[str, str], given: Mapping[str, Any], region: str, secret: str
) -> str | None:
    key = f"AWS4{secret}".encode()
    for part in (given["time"][:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    scope = f"{given['time'][:8]}/{region}/s3/aws4_request"
    before, size, left = given["signature"], None, int(fields["x-amz-decoded-content-length"])
    while size != 0:
        line, _, body = body.partition(b"\r\n")
        length, _, said = line.decode().partition(";chunk-signature=")
        size = int(length, 16)
        text = ["AWS4-HMAC-SHA256-PAYLOAD", given["time"], scope, before, EMPTY, sha256(body[:size]).hexdigest()]
        before = hmac.digest(key, "\n".join(text).encode(), "sha256").hex()
        if said != before:
            return "SignatureDoesNotMatch of a chunk"
        left, body = left - size, body[size + 2 :] if size else body
    if fields["x-amz-content-sha256"].endswith("-TRAILER"):
        named, _, said = body.decode().partition("x-amz-trailer-signature:")
        hashed = sha256(named.replace("\r\n", "\n").encode()).hexdigest()
        text = ["AWS4-HMAC-SHA256-TRAILER", given["time"], scope, before, hashed]
        if said != hmac.digest(key, "\n".join(text).encode(), "sha256").hex() + "\r\n\r\n":
            return "SignatureDoesNotMatch of the trailer"
        body = b"\r\n"
    return None if not left and body == b"\r\n" else "IncompleteBody"
