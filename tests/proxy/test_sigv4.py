"""The signature itself: AWS's published vectors, S3's documented examples, and botocore as the judge of the rest."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth  # type: ignore[import-untyped]  # it has none
import pytest
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # it has none
from botocore.credentials import Credentials  # type: ignore[import-untyped]  # it has none
from hypothesis import given, settings, strategies as st

from authsome.provider import PLACEHOLDER
from authsome.proxy.chunks import LONGEST_CHUNK, Chunks, length
from authsome.proxy.sigv4 import (
    CHUNKS,
    CHUNKS_AND_TRAILER,
    EMPTY,
    UNSIGNED,
    Claim,
    Keys,
    UnsignableError,
    check_body,
    read,
    sign,
)

SUITE: dict[str, Any] = json.loads((Path(__file__).parent / "sigv4_vectors.json").read_text())
REAL = Keys("AKIACANARY0123456789", "CANARY+secret/0123456789abcdefghijklmnop", "CANARY//token==")
NOW = datetime(2025, 6, 7, 8, 9, 10, tzinfo=UTC)
TIME = "20250607T080910Z"


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# Published signatures.


@pytest.mark.parametrize("vector", SUITE["requests"], ids=lambda vector: vector["name"])
def test_a_request_of_the_published_suite_gets_its_signature(vector: dict[str, Any]) -> None:
    keys = Keys(SUITE["access_key"], SUITE["secret_key"], vector.get("token"))
    fields = [(name, value) for name, value in vector["headers"]]
    signed, target = frozenset(name for name, _ in fields), vector["target"].encode().decode("latin-1")
    payload = _hash(vector["body"])
    for expected, expires in ((vector["in_header"], None), (vector["in_query"], SUITE["expires"])):
        claim = Claim(SUITE["region"], SUITE["service"], SUITE["time"], signed, payload, expires)
        own = [pair for pair in fields if expires is None or pair[0] != "x-amz-content-sha256"]
        made = sign(claim, keys, vector["method"], target, own, payload)
        assert made.seal.last == expected
        said = dict(made.headers).get("authorization", made.target)
        assert said.endswith(f"Signature={expected}")


# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and the pages beside it.
EXAMPLE = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
BUCKET = ("host", "examplebucket.s3.amazonaws.com")
STORED = ("x-amz-storage-class", "REDUCED_REDUNDANCY")


def _of_s3(
    target: str, *fields: tuple[str, str], method: str = "GET", payload: str = EMPTY, expires: int | None = None
) -> Any:
    said = () if expires else (("x-amz-content-sha256", payload),)
    headers = [*fields, *said]
    claim = Claim("us-east-1", "s3", "20130524T000000Z", frozenset(dict(fields)), payload, expires)
    return sign(claim, EXAMPLE, method, target, headers, payload)


def test_the_documented_requests_to_s3_get_their_signatures() -> None:
    ranged = _of_s3("/test.txt", BUCKET, ("range", "bytes=0-9"))
    assert ranged.seal.last == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    date = ("date", "Fri, 24 May 2013 00:00:00 GMT")
    payload = _hash("Welcome to Amazon S3.")
    put = _of_s3("/test%24file.text", BUCKET, date, STORED, method="PUT", payload=payload)
    assert put.seal.last == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    lifecycle = _of_s3("/?lifecycle", BUCKET)
    assert lifecycle.seal.last == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    listed = _of_s3("/?max-keys=2&prefix=J", BUCKET)
    assert listed.seal.last == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    presigned = _of_s3("/test.txt", BUCKET, payload=UNSIGNED, expires=86400)
    assert presigned.seal.last == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


CHUNKED = (
    *(("host", "s3.amazonaws.com"), STORED, ("content-encoding", "aws-chunked")),
    ("x-amz-decoded-content-length", "66560"),
)
PIECES = (b"a" * 65536, b"a" * 1024, b"")
SIGNATURES = (
    *("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",),
    *("0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",),
    *("b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",),
)


def _chunk(data: bytes, signature: str = "0" * 64) -> bytes:
    return b"%x;chunk-signature=%s\r\n" % (len(data), signature.encode()) + (data + b"\r\n" if data else b"")


def _body(*pieces: bytes) -> bytes:
    return b"".join(map(_chunk, pieces)) + b"\r\n"


def _through(body: bytes, chunks: Chunks, step: int) -> bytes:
    made = b"".join(chunks.feed(body[at : at + step]) for at in range(0, len(body), step))
    chunks.end()
    return made


@pytest.mark.parametrize("step", [7, 4096, 1 << 20])
def test_the_documented_upload_in_chunks_gets_its_signatures(step: int) -> None:
    signed = ("content-length", "66824")
    seal = _of_s3("/examplebucket/chunkObject.txt", *CHUNKED, signed, method="PUT", payload=CHUNKS).seal
    assert seal.last == "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    made = _through(_body(*PIECES), Chunks(seal, 66560, trailer=False), step)
    assert made == b"".join(map(_chunk, PIECES, SIGNATURES)) + b"\r\n"
    assert len(made) == 66824


def test_the_documented_upload_in_chunks_with_a_trailer_gets_its_signatures() -> None:
    more = ("x-amz-trailer", "x-amz-checksum-crc32c")
    seal = _of_s3("/examplebucket/chunkObject.txt", *CHUNKED, more, method="PUT", payload=CHUNKS_AND_TRAILER).seal
    assert seal.last == "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    field = b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    body = b"".join(map(_chunk, PIECES)) + field + b"x-amz-trailer-signature:%s\r\n\r\n" % (b"0" * 64)
    made = _through(body, Chunks(seal, 66560, trailer=True), 1000)
    found = re.findall(rb"signature[=:]([0-9a-f]{64})", made)
    assert found == [
        b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        b"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    ]
    assert len(made) == len(body)


# Botocore as the judge: what it signs with other keys is what leaves.


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)


CHILD = Credentials(PLACEHOLDER, PLACEHOLDER, PLACEHOLDER)
OURS = Credentials(REAL.access_key, REAL.secret_key, REAL.session_token)
HOSTS = {"s3": "s3.eu-west-1.amazonaws.com", "dynamodb": "dynamodb.eu-west-1.amazonaws.com"}
SEGMENTS = st.lists(st.text(alphabet="aZ09-_.~ +%=&ä/", max_size=6), max_size=4)
VALUES = st.text(alphabet="aZ09-_.~ +%=&;ä/", max_size=8)
FIELDS = st.dictionaries(
    st.sampled_from(["Content-Type", "X-Amz-Meta-A", "X-Amz-Target", "Range", "Content-MD5", "amz-sdk-request"]),
    st.text(alphabet="aB3 =;,", min_size=1, max_size=12).map(str.strip).filter(bool),
)
DRAWN = st.tuples(
    st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
    SEGMENTS.map(lambda parts: "/" + "/".join(quote(part, safe="-_.~") for part in parts)),
    st.lists(st.tuples(VALUES.filter(bool), VALUES), max_size=4, unique_by=lambda pair: pair[0].lower()),
    FIELDS,
    st.binary(max_size=40),
)


def _signed(kind: Any, keys: Any, service: str, request: tuple[Any, ...], **more: Any) -> AWSRequest:
    method, path, query, fields, body = request
    asked = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    url = f"https://{HOSTS[service]}{path}{'?' + asked if asked else ''}"
    made = AWSRequest(method, url, headers=dict(fields), data=body)
    kind(keys, service, "eu-west-1", **more).add_auth(made)
    return made


def _resigned(sent: AWSRequest, body: bytes) -> tuple[str, dict[str, str]]:
    """Return target and headers that leave, for what botocore has made of a request."""
    url = urlsplit(sent.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = [("host", url.netloc), *((name.lower(), value) for name, value in sent.headers.items())]
    claim = read(sent.method, target, headers, url.netloc, NOW, bodiless=not body)
    kept = [pair for pair in headers if pair[0] != "authorization"]
    made = sign(claim, REAL, sent.method, target, kept, claim.payload or sha256(body).hexdigest())
    gone = {"authorization", "x-amz-security-token", *dict(made.headers)}
    return made.target, {name: value for name, value in kept if name not in gone} | dict(made.headers)


@pytest.mark.usefixtures("at_noon")
def test_what_botocore_signs_for_the_child_leaves_as_it_signs_it_with_the_real_keys() -> None:
    @settings(max_examples=150, deadline=None)
    @given(DRAWN, st.sampled_from(["s3", "dynamodb"]))
    def check(request: tuple[Any, ...], service: str) -> None:
        kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
        target, headers = _resigned(_signed(kind, CHILD, service, request), request[-1])
        expected = _signed(kind, OURS, service, request)
        url = urlsplit(expected.url)
        assert target == (url.path or "/") + (f"?{url.query}" if url.query else "")
        said = {name.lower(): value for name, value in expected.headers.items()}
        assert {name: value for name, value in headers.items() if name != "host"} == said
        assert PLACEHOLDER not in repr((target, headers))

    check()


@pytest.mark.usefixtures("at_noon")
def test_a_presigned_url_leaves_as_botocore_signs_it_with_the_real_keys() -> None:
    @settings(max_examples=100, deadline=None)
    @given(DRAWN, st.sampled_from(["s3", "dynamodb"]), st.integers(1, 900))
    def check(request: tuple[Any, ...], service: str, expires: int) -> None:
        kind = botocore.auth.S3SigV4QueryAuth if service == "s3" else botocore.auth.SigV4QueryAuth
        request = (*request[:-1], b"")
        target, headers = _resigned(_signed(kind, CHILD, service, request, expires=expires), b"")
        expected = urlsplit(_signed(kind, OURS, service, request, expires=expires).url)
        # The order in which parameters stand is nobody's business: each signs them sorted.
        assert sorted(target.partition("?")[2].split("&")) == sorted(expected.query.split("&"))
        assert target.partition("?")[0] == (expected.path or "/")
        assert "authorization" not in headers
        assert PLACEHOLDER not in repr((target, headers))

    check()


# What is read, and what is refused.


HOST = "dynamodb.eu-west-1.amazonaws.com"


def _authorization(
    scope: str = "20250607/eu-west-1/dynamodb/aws4_request", signed: str = "host;x-amz-date", key: str = PLACEHOLDER
) -> tuple[str, str]:
    said = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={'0' * 64}"
    return "authorization", said


def _read(
    *headers: tuple[str, str], target: str = "/", host: str = HOST, method: str = "GET", bodiless: bool = True
) -> Claim:
    return read(method, target, [("host", host), *headers], host, NOW, bodiless=bodiless)


def _refused(*headers: tuple[str, str], **more: Any) -> str:
    with pytest.raises(UnsignableError) as caught:
        _read(*headers, **more)
    assert "\n" not in caught.value.reason
    return caught.value.word


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([("authorization", f"AWS4-ECDSA-P256-SHA256 Credential={PLACEHOLDER}/20250607/s3/aws4_request")], "unknown"),
        ([("authorization", f"AWS {PLACEHOLDER}:c2lnbmF0dXJl")], "unknown"),
        ([("authorization", f"Bearer {PLACEHOLDER}")], "unknown"),
        ([("authorization", "AWS4-HMAC-SHA256")], "unknown"),
        ([_authorization(), _authorization()], "unknown"),
        ([_authorization("20250607/eu-west-1/dynamodb")], "unknown"),
        ([_authorization("20250607/eu-west-1/dynamodb/aws4_request,Signature=0")], "unknown"),
        ([_authorization(signed="host;;x-amz-date")], "unknown"),
        ([_authorization(signed="")], "unknown"),
        ([_authorization("20250607/eu-west-1/s3/aws4_request")], "scope_mismatch"),
        ([_authorization("20250607/us-east-1/dynamodb/aws4_request")], "scope_mismatch"),
        ([_authorization(), ("x-amz-date", TIME), ("x-amz-date", TIME)], "unknown"),
        ([_authorization(), ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS")], "unknown"),
        ([_authorization(), ("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")], "unknown"),
        ([_authorization(), ("x-amz-content-sha256", EMPTY), ("x-amz-content-sha256", EMPTY)], "unknown"),
        ([_authorization(), ("x-amz-content-sha256", CHUNKS)], "unknown"),
    ],
)
def test_what_is_not_understood_is_not_signed(given: list[tuple[str, str]], word: str) -> None:
    assert _refused(*given).removeprefix("signature_") == word


@pytest.mark.parametrize(
    ("host", "service", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "sqs", "eu-west-1"),
        ("s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("sqs.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("us-east-1.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("bucket.s3-eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("bucket.s3-fips.us-gov-west-1.amazonaws.com", "s3", "us-gov-west-1"),
        ("point.s3-accesspoint.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "bedrock", "eu-west-1"),
        ("bedrock-agent-runtime-fips.us-east-1.amazonaws.com", "bedrock", "us-east-1"),
        ("api.ecr.eu-west-1.amazonaws.com", "ecr", "eu-west-1"),
        ("sync-states.eu-west-1.amazonaws.com", "states", "eu-west-1"),
        ("email.eu-west-1.amazonaws.com", "ses", "eu-west-1"),
        ("kinesis.cn-north-1.amazonaws.com.cn", "kinesis", "cn-north-1"),
        ("lambda.ap-southeast-2.api.aws", "lambda", "ap-southeast-2"),
        ("u7.lambda-url.eu-west-1.on.aws", "lambda", "eu-west-1"),
        ("eu-west-1.queue.amazonaws.com", "sqs", "eu-west-1"),
        ("vpce-1.sqs.eu-west-1.vpce.amazonaws.com", "sqs", "eu-west-1"),
    ],
)
def test_a_host_says_for_what_it_may_be_signed(host: str, service: str, region: str) -> None:
    claim = _read(_authorization(f"20250607/{region}/{service}/aws4_request"), host=host)
    assert (claim.service, claim.region) == (service, region)
    assert _refused(_authorization(f"20250607/{region}/glacier/aws4_request"), host=host) == "scope_mismatch"
    elsewhere = "us-west-2"
    assert _refused(_authorization(f"20250607/{elsewhere}/{service}/aws4_request"), host=host) == "scope_mismatch"


def test_a_request_without_a_signature_is_signed_for_what_its_host_says() -> None:
    claim = _read(target="/bucket/key", host="s3.eu-west-1.amazonaws.com")
    assert (claim.service, claim.region, claim.payload, claim.stated) == ("s3", "eu-west-1", EMPTY, True)
    claim = _read(target="/bucket/key", host="s3.eu-west-1.amazonaws.com", method="PUT", bodiless=False)
    assert (claim.payload, claim.stated) == (UNSIGNED, True)
    assert _read(host="iam.amazonaws.com").scope == "20250607/us-east-1/iam/aws4_request"
    assert _refused(host="storage.acme.example") == "signature_unknown"


def test_a_host_that_is_not_of_aws_is_signed_for_as_the_client_says() -> None:
    claim = _read(_authorization("20250607/auto/s3/aws4_request"), host="acme.storage.example:9000", target="/b")
    assert (claim.region, claim.service) == ("auto", "s3")


@pytest.mark.parametrize(
    ("minutes", "kept"), [(-15, True), (-16, False), (15, True), (16, False), (60 * 24 * 400, False)]
)
def test_the_time_of_a_request_is_kept_where_aws_would_take_it(minutes: int, kept: bool) -> None:
    said = (NOW + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")
    claim = _read(_authorization("20010101/eu-west-1/dynamodb/aws4_request"), ("x-amz-date", said))
    assert claim.time == (said if kept else TIME)
    assert claim.scope.startswith(claim.time[:8])


@pytest.mark.parametrize("said", ["", "20250607", "20251332T080910Z", "٢٠250607T080910Z", "20250607T080910"])
def test_a_time_that_is_none_is_ours(said: str) -> None:
    assert _read(_authorization(), ("x-amz-date", said)).time == TIME


def test_a_signed_header_that_is_not_there_or_belongs_to_the_hop_is_left_out() -> None:
    claim = _read(_authorization(signed="accept-encoding;connection;expect;host;te;x-missing"))
    made = sign(claim, REAL, "GET", "/", [("host", HOST), ("te", "trailers"), ("accept-encoding", "br")], EMPTY)
    assert "SignedHeaders=accept-encoding;host;x-amz-date;x-amz-security-token," in dict(made.headers)["authorization"]


def _query(expires: int, minutes: float = 0, other: Mapping[str, str] | None = None) -> str:
    said = (NOW + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")
    given = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{PLACEHOLDER}/{said[:8]}/eu-west-1/s3/aws4_request",
        "X-Amz-Date": said,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
        **(other or {}),
    }
    return "/b/k?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())


@pytest.mark.parametrize(
    ("expires", "minutes", "left", "time"),
    [(3600, 0, 900, TIME), (60, 0, 60, TIME), (3600, -30, 900, TIME), (1860, -30, 61, TIME), (604800, -14, 900, None)],
)
def test_a_presigned_url_leaves_with_a_signature_of_fifteen_minutes_at_most(
    expires: int, minutes: int, left: int, time: str | None
) -> None:
    claim = _read(target=_query(expires, minutes), host="s3.eu-west-1.amazonaws.com")
    assert (claim.expires, claim.payload) == (left, UNSIGNED)
    assert claim.time == (time or "20250607T075510Z")
    made = sign(claim, REAL, "GET", _query(expires, minutes), [("host", "s3.eu-west-1.amazonaws.com")], UNSIGNED)
    assert f"X-Amz-Expires={left}&" in made.target
    assert made.headers == ()
    assert PLACEHOLDER not in made.target


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (_query(60, -2), "signature_expired"),
        (_query(600, 16), "signature_expired"),
        (_query(0), "signature_expired"),
        (_query(9999999), "signature_unknown"),
        (_query(60, 0, {"X-Amz-Expires": "1 0"}), "signature_unknown"),
        (_query(60, 0, {"X-Amz-Date": "now"}), "signature_unknown"),
        (_query(60, 0, {"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"}), "signature_unknown"),
        (_query(60) + "&x-amz-signature=1", "signature_unknown"),
        (_query(60) + "&X%2DAmz-Credential=mine%2F20250607%2Feu-west-1%2Fs3%2Faws4_request", "signature_unknown"),
        (_query(60) + f"&X-Amz-Content-Sha256={CHUNKS}", "signature_unknown"),
        ("/b/k?X-Amz-Signature=1", "signature_unknown"),
        ("/b/k?AWSAccessKeyId=a&Signature=b&Expires=1749283749", "signature_expired"),
        ("/b/k?AWSAccessKeyId=a&Signature=b&Expires=9999999999&Expires=1", "signature_unknown"),
        ("/b/k?AWSAccessKeyId=a&Signature=b&Expires=soon", "signature_unknown"),
        ("/b/k?AWSAccessKeyId=a&Expires=9999999999", "signature_unknown"),
        ("/b/k?AWSAccessKeyId=a&Signature=b&Expires=9999999999&X-Amz-Date=1", "signature_unknown"),
    ],
)
def test_a_query_that_is_not_one_good_signature_is_refused(target: str, word: str) -> None:
    assert _refused(target=target, host="s3.eu-west-1.amazonaws.com") == word
    both = _authorization("20250607/eu-west-1/s3/aws4_request")
    assert _refused(both, target=target, host="s3.eu-west-1.amazonaws.com") == "signature_unknown"


def test_a_url_that_is_presigned_as_boto3_still_does_leaves_with_version_4() -> None:
    host, expires = "s3.amazonaws.com", int(NOW.timestamp()) + 60
    target = f"/b/k?versionId=1&AWSAccessKeyId={PLACEHOLDER}&Signature=a%2Fb%3D&Expires={expires}"
    claim = _read(target=target, host=host)
    assert (claim.expires, claim.payload, claim.scope) == (60, UNSIGNED, "20250607/us-east-1/s3/aws4_request")
    made = sign(claim, REAL, "GET", target, [("host", host)], UNSIGNED)
    assert made.target.startswith("/b/k?versionId=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert not any(each in made.target for each in (PLACEHOLDER, "AWSAccessKeyId", "Signature=a", "&Expires="))
    assert _refused(target=target, host="sqs.us-east-1.amazonaws.com") == "signature_unknown"


# Services that hand out credentials.


STS = "sts.eu-west-1.amazonaws.com"
FOR_STS = _authorization("20250607/eu-west-1/sts/aws4_request")
IDENTITY = "Action=GetCallerIdentity&Version=2011-06-15"


@pytest.mark.parametrize(
    ("target", "body", "good"),
    [
        (f"/?{IDENTITY}", b"", True),
        ("/", IDENTITY.encode(), True),
        ("/", b"", False),
        ("/?Action=AssumeRole&RoleArn=x", b"", False),
        ("/?action=GetSessionToken", b"", False),
        ("/", b"Action=GetSessionToken&Version=2011-06-15", False),
        ("/", b"Version=2011-06-15&%41ction=GetSessionToken", False),
        ("/", f"{IDENTITY}&Action=GetFederationToken".encode(), False),
        (f"/?{IDENTITY}", b"Action=GetFederationToken", False),
        ("/", f"{IDENTITY};Action=AssumeRole".encode(), False),
        ("/", b'{"a": "Action=GetCallerIdentity"}', False),
        (f"/?{IDENTITY}", IDENTITY.encode("utf-16"), False),
        (f"/?{IDENTITY}", b'{"Action":"AssumeRole","RoleArn":"x"}', False),
        (f"/?{IDENTITY}", b"+AEE-ction=AssumeRole", False),
        (f"/?{IDENTITY}", b"Action%00=AssumeRole", False),
        ("/", b"Action=GetAccessKeyInfo&AccessKeyId=AKIA%2B&Version=2011-06-15&", True),
        (f"/service/AWSSecurityTokenServiceV20110615/operation/AssumeRole?{IDENTITY}", b"", False),
    ],
)
def test_no_request_gets_credentials_of_aws_for_the_agent(target: str, body: bytes, good: bool) -> None:
    words = []
    stated = ("x-amz-content-sha256", sha256(body).hexdigest())
    for more in ((), (stated,)):
        for signature in ((FOR_STS,), ()):
            try:
                method = "POST" if body else "GET"
                claim = _read(*signature, *more, target=target, host=STS, method=method, bodiless=not body)
                assert not body or claim.payload is None  # it is read, whether its hash is known or not
                check_body(claim, target, body)
                words.append("")
            except UnsignableError as error:
                words.append(error.word)
    assert set(words) == ({""} if good else {"gives_credentials"})


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("application/x-www-form-urlencoded", True),
        ("application/x-www-form-urlencoded; charset=utf-8", True),
        ("application/x-www-form-urlencoded; charset=utf-7", False),
        ("application/json", False),
        ("application/cbor", False),
    ],
)
def test_a_body_of_another_kind_gets_no_signature_of_a_service_that_hands_out_credentials(
    kind: str, *, good: bool
) -> None:
    head = (FOR_STS, ("content-type", kind))
    if good:
        assert _read(*head, target="/", host=STS, method="POST", bodiless=False).payload is None
    else:
        assert _refused(*head, target=f"/?{IDENTITY}", host=STS, method="POST", bodiless=False) == "gives_credentials"
    _read(*head, target=f"/?{IDENTITY}", host=STS)  # without a body it is no body's kind


@pytest.mark.parametrize("name", ["x-amz-target", "content-encoding", "smithy-protocol"])
def test_such_a_service_is_asked_in_one_form_only(name: str) -> None:
    assert _refused(FOR_STS, (name, "x"), target=f"/?{IDENTITY}", host=STS) == "gives_credentials"
    express = "bucket--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com"
    for service in ("s3", "s3express"):
        scope = _authorization(f"20250607/us-east-1/{service}/aws4_request")
        assert _refused(scope, target="/?session", host=express) == "gives_credentials"


# Signed chunks that are none.


SEAL = sign(Claim("eu-west-1", "s3", TIME, frozenset(), CHUNKS), REAL, "PUT", "/b/k", [("host", "h")], CHUNKS).seal
GOOD = _body(b"a" * 10, b"b" * 5, b"")


@pytest.mark.parametrize(
    "body",
    [
        *(GOOD[:at] for at in (0, 1, 50, 90, 110, len(GOOD) - 1)),
        *(GOOD + more for more in (b"x", b"\r\n", GOOD)),
        _body(b"a" * 10, b""),
        _body(b"a" * 10, b"b" * 6, b""),
        _body(b"a" * 16, b""),
        _body(b""),
        b"f\r\n" + b"a" * 15 + b"\r\n",
        GOOD.replace(b";chunk-signature=", b";chunk-signature= ", 1),
        GOOD.replace(b";chunk-signature=" + b"0" * 64, b";chunk-signature=" + b"0" * 63, 1),
        GOOD.replace(b";chunk-signature=" + b"0" * 64, b";chunk-signature=" + b"z" * 64, 1),
        GOOD.replace(b"a;", b"b;", 1),
        GOOD.replace(b"a;", b"9;", 1),
        GOOD.replace(b"a;", b"-1;", 1),
        GOOD.replace(b"a;", b"+a;", 1),
        GOOD.replace(b"a;", b"0x0a;", 1),
        GOOD.replace(b"a;", b"a ;", 1),
        GOOD.replace(b"a;", b"ffffffffff;", 1),
        GOOD.replace(b"a;", b"280000000;", 1),
        b"0" * 200,
        b"\r\n" * 20,
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_chunks_that_are_framed_otherwise_are_refused(body: bytes, step: int) -> None:
    with pytest.raises(UnsignableError) as caught:
        _through(body, Chunks(SEAL, 15, trailer=False), step)
    assert caught.value.word == "malformed_body"


def test_ten_gigabytes_that_are_announced_are_refused_at_the_first_line() -> None:
    chunks = Chunks(SEAL, 10 << 30, trailer=False)
    with pytest.raises(UnsignableError, match="more than 4 MiB"):
        chunks.feed(b"%x;chunk-signature=%s\r\n" % (LONGEST_CHUNK + 1, b"0" * 64))


@pytest.mark.parametrize(
    "end",
    [
        b"\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n",
        b"x-amz-trailer-signature:" + b"0" * 63 + b"\r\n\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n",
        b"a:b\r\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\nx",
        b"a" * (1 << 15),
    ],
)
def test_a_trailer_without_its_signature_is_refused(end: bytes) -> None:
    body = _chunk(b"a" * 15) + _chunk(b"") + end
    with pytest.raises(UnsignableError, match="chunk|trailer|last one"):
        _through(body, Chunks(SEAL, 15, trailer=True), 100)


@pytest.mark.parametrize("said", [(), ("-1",), ("1", "1"), ("1e3",), ("9" * 40,), ("١",)])
def test_the_length_of_what_is_in_chunks_is_one_number(said: tuple[str, ...]) -> None:
    with pytest.raises(UnsignableError):
        length([("x-amz-decoded-content-length", each) for each in said])


def test_nothing_that_is_shown_holds_a_key() -> None:
    claim = _read(_authorization())
    made = sign(claim, REAL, "GET", "/", [("host", HOST)], EMPTY)
    shown = repr((REAL, claim, made, made.seal))
    assert not any(each in shown for each in (REAL.access_key, REAL.secret_key, "CANARY//token==", made.seal.last))
