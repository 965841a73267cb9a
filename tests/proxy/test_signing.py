"""Requests that are signed, through the real proxy to an origin that looks at the signature as AWS does."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from authsome.manifest import Allowed, Declared
from authsome.provider import (
    PLACEHOLDER,
    Definition,
    FieldDefinition,
    Host,
    InjectDefinition,
    SigV4Definition,
    resolve,
)
from authsome.proxy.signing import LONGEST
from authsome.rules import make
from authsome.session import Session
from awssign import ACCESS_KEY, SECRET_KEY, TOKEN, wrong
from byhand import Answer
from octets import Arrived, Fields
from scripted import Reply
from stage import PROTOCOLS, Stage, stage

HOSTS = ("s3.eu-west-1.amazonaws.com", "dynamodb.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com")
S3, DYNAMODB, STS = HOSTS
FIELDS = {"id": FieldDefinition(), "key": FieldDefinition(), "token": FieldDefinition(optional=True)}
INJECT = (InjectDefinition(sigv4=SigV4Definition("{id}", "{key}", "{token}")),)
KEYS = {"id": ACCESS_KEY, "key": SECRET_KEY}


class Aws:
    """The stage, with a provider that signs."""

    def __init__(self, made: Stage) -> None:
        self.stage = made
        self.provider = resolve(
            Definition(
                "aws",
                tuple(f"https://{host}:{made.origin.port}" for host in HOSTS),
                fields=FIELDS,
                inject=INJECT,
                private_addresses=True,
            )
        )
        self.found: list[str | None] = []

    def furnish(self, *allow: str, **keys: str) -> None:
        lines = tuple(map(Allowed.parse, allow)) or None
        rules = make([Declared(self.provider, allow=lines)], lambda _: True)
        self.stage.forget()
        self.found.clear()
        self.stage.proxy.swap(rules, Session({("aws", "default"): KEYS | keys}))
        self.stage.origin.script = lambda arrived: self._judge(arrived, keys.get("token"))

    def _judge(self, arrived: Arrived, token: str | None) -> Reply:
        headers = [(name.decode(), value.decode("latin-1")) for name, value in arrived.headers if name[:1] != b":"]
        headers += [("host", value.decode()) for name, value in arrived.headers if name == b":authority"]
        said = wrong(arrived.method.decode(), arrived.path.decode("latin-1"), headers, arrived.body, token)
        self.found.append(said)
        assert PLACEHOLDER not in repr(arrived)
        return Reply((f"{said or 'good'} {ACCESS_KEY} {SECRET_KEY}".encode(),), sized=True)

    def host(self, name: str) -> str:
        return f"{name}:{self.stage.origin.port}"

    def ask(self, name: str, protocol: str = "http/1.1", **more: Any) -> Answer:
        return self.stage.ask(protocol, host=self.host(name), **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with stage(tmp_path_factory.mktemp("stage"), hosts=HOSTS) as furnished:
        yield Aws(furnished)


@pytest.fixture
def aws(made: Aws) -> Aws:
    made.furnish()
    return made


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def _signature(
    name: str, *fields: tuple[str, str], signed: str = "host;x-amz-date", region: str = "eu-west-1"
) -> Fields:
    """Return what a client sends that has signed with the placeholder, or says that it has."""
    service = name.partition(".")[0]
    scope = f"{_now()[:8]}/{region}/{service}/aws4_request"
    said = f"AWS4-HMAC-SHA256 Credential={PLACEHOLDER}/{scope}, SignedHeaders={signed}, Signature={'0' * 64}"
    pairs = [("authorization", said), ("x-amz-date", _now()), *fields]
    return tuple((name.encode(), value.encode()) for name, value in pairs)


def _stated(body: bytes) -> tuple[str, str]:
    return "x-amz-content-sha256", sha256(body).hexdigest()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_leaves_has_a_signature_that_aws_takes(aws: Aws, protocol: str) -> None:
    body = b'{"TableName": "t"}'
    requests: list[tuple[str, dict[str, Any]]] = [
        (S3, {"headers": _signature(S3, _stated(b"")), "path": "/b/a%20b%2Fc//d/../e?x=1&list-type=2&a=%2F"}),
        (S3, {"headers": _signature(S3, _stated(body)), "method": "PUT", "path": "/b/k", "body": body}),
        (S3, {"headers": _signature(S3, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")), "method": "PUT", "body": body}),
        (DYNAMODB, {"headers": _signature(DYNAMODB, ("x-amz-target", "T.A")), "method": "POST", "body": body}),
        (DYNAMODB, {"headers": _signature(DYNAMODB, _stated(body)), "method": "POST", "body": body}),
        (DYNAMODB, {"headers": _signature(DYNAMODB), "path": "/model/a%3Ab/invoke//../x"}),
        (STS, {"headers": _signature(STS), "method": "POST", "body": b"Action=GetCallerIdentity&Version=2011-06-15"}),
        # Nothing of a signature: it is signed all the same, as any other provider's key would be put in.
        (S3, {"headers": (), "path": "/b/k"}),
        (S3, {"headers": (), "path": "/b/k", "method": "PUT", "body": body}),
        (DYNAMODB, {"headers": ((b"content-type", b"application/json"),), "method": "POST", "body": body}),
    ]
    for name, request in requests:
        answer = aws.ask(name, protocol, **request)
        assert (answer.status, answer.body[:4]) == (200, b"good"), (request, answer)
    assert aws.found == [None] * len(requests)
    assert {use.decision for use in aws.stage.uses} == {"inject"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_session_token_of_the_connection_goes_along_and_one_of_the_child_does_not(aws: Aws, protocol: str) -> None:
    headers = _signature(S3, _stated(b""), ("x-amz-security-token", PLACEHOLDER))
    assert aws.ask(S3, protocol, headers=headers).status == 200
    aws.ask(S3, protocol, headers=_signature(S3, _stated(b""), ("x_amz_security_token", "mine")))
    assert b"mine" not in aws.stage.origin.octets()
    assert aws.found == [None, None]
    aws.furnish(token=TOKEN)
    aws.ask(S3, protocol, headers=headers)
    aws.ask(S3, protocol, path=_presigned("/b/k"), headers=())
    assert aws.found == [None, None]


def _word(answer: Answer) -> str:
    """Return the word of a refusal, which the SDKs of AWS find too."""
    (said,) = answer.values(b"x-authsome-error") or [b"none"]
    text = answer.body.decode()
    shown = re.findall("<Code>(.*)</Code><Message>authsome: .+</Message>", text) or [json.loads(text)["error"]]
    assert shown == [said.decode()], answer
    assert not text.startswith("{") or json.loads(text)["message"].startswith("authsome: ")
    return said.decode()


def _presigned(path: str, expires: int = 300) -> str:
    given = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{PLACEHOLDER}/{_now()[:8]}/eu-west-1/s3/aws4_request",
        "X-Amz-Date": _now(),
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Security-Token": PLACEHOLDER,
        "X-Amz-Signature": "0" * 64,
    }
    return f"{path}?partNumber=1&" + "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_presigned_url_is_signed_anew(aws: Aws, protocol: str) -> None:
    assert aws.ask(S3, protocol, path=_presigned("/b/k"), headers=()).status == 200
    body = b"x" * 100_000
    assert aws.ask(S3, protocol, method="PUT", path=_presigned("/b/k", 86400), headers=(), body=body).status == 200
    assert aws.found == [None, None]
    assert aws.stage.origin.arrived[1].body == body
    assert b"X-Amz-Expires=900&" in aws.stage.origin.arrived[1].path


def _chunk(data: bytes) -> bytes:
    return b"%x;chunk-signature=%s\r\n" % (len(data), b"0" * 64) + (data + b"\r\n" if data else b"")


def _chunked(size: int, *, trailer: bool = False) -> Fields:
    more = "-TRAILER" if trailer else ""
    return _signature(
        S3,
        ("x-amz-content-sha256", f"STREAMING-AWS4-HMAC-SHA256-PAYLOAD{more}"),
        ("x-amz-decoded-content-length", str(size)),
        ("content-encoding", "aws-chunked"),
        signed="content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length",
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_chunks_of_a_body_are_signed_anew(aws: Aws, protocol: str) -> None:
    pieces = [b"a" * 65536, b"b" * 65536, b"c" * 777, b""]
    body = b"".join(map(_chunk, pieces))
    size = sum(map(len, pieces))
    aws.ask(S3, protocol, method="PUT", path="/b/k", headers=_chunked(size), body=body + b"\r\n")
    field = b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:%s\r\n\r\n" % (b"0" * 64)
    aws.ask(S3, protocol, method="PUT", path="/b/k", headers=_chunked(size, trailer=True), body=body + field)
    unsigned = _signature(
        S3,
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ("content-encoding", "aws-chunked"),
    )
    plain = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n"
    aws.ask(S3, protocol, method="PUT", path="/b/k", headers=unsigned, body=plain)
    assert aws.found == [None, None, None]
    assert [len(each.body) for each in aws.stage.origin.arrived] == [len(body) + 2, len(body + field), len(plain)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("body", "size"),
    [
        (_chunk(b"a" * 10) + b"x" * 200, 20),
        (_chunk(b"a" * 10) + _chunk(b""), 20),
        (b"fffffff;chunk-signature=" + b"0" * 64 + b"\r\n" + b"a" * 1000, 0xFFFFFFF),
        (b"a\r\n" + b"a" * 10 + b"\r\n0\r\n\r\n", 10),
        (_chunk(b"a" * 10) + _chunk(b"") + b"\r\n" + b"GET / HTTP/1.1\r\n\r\n", 10),
        (_chunk(b"a" * 10), 10),
    ],
)
def test_an_attack_on_the_framing_of_chunks_is_refused_and_never_whole(
    aws: Aws, protocol: str, body: bytes, size: int
) -> None:
    answer = aws.ask(S3, protocol, method="PUT", path="/b/k", headers=_chunked(size), body=body)
    assert (answer.status, _word(answer)) == (400, "malformed_body"), answer
    assert aws.stage.origin.arrived == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("name", "headers", "word"),
    [
        (S3, lambda: _signature(DYNAMODB, _stated(b"")), "scope_mismatch"),
        (S3, lambda: _signature(S3, region="us-east-1"), "scope_mismatch"),
        (S3, lambda: _signature(S3) + _signature(S3), "signature_unknown"),
        (S3, lambda: ((b"authorization", b"AWS4-ECDSA-P256-SHA256 Credential=x"),), "signature_unknown"),
        (S3, lambda: ((b"authorization", b"AWS x:y"),), "signature_unknown"),
        (STS, lambda: _signature(STS), "gives_credentials"),
    ],
)
def test_what_must_not_be_signed_does_not_leave(aws: Aws, protocol: str, name: str, headers: Any, word: str) -> None:
    answer = aws.ask(name, protocol, headers=headers(), path="/")
    assert (_word(answer), aws.stage.origin.arrived) == (word, [])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_body_that_asks_for_credentials_does_not_leave(aws: Aws, protocol: str) -> None:
    body = b"Action=AssumeRole&RoleArn=a"
    for more in ((), (_stated(body),)):
        answer = aws.ask(STS, protocol, method="POST", headers=_signature(STS, *more), body=body)
        assert (answer.status, _word(answer), aws.stage.origin.arrived) == (403, "gives_credentials", [])


def test_what_the_manifest_does_not_permit_is_not_signed(aws: Aws) -> None:
    aws.furnish("GET /b/**")
    refused = aws.ask(S3, method="PUT", path="/b/k", headers=_signature(S3, _stated(b"")))
    assert (_word(refused), aws.stage.origin.arrived) == ("not_allowed", [])
    assert aws.ask(S3, path="/b/k", headers=_signature(S3, _stated(b""))).status == 200
    assert aws.found == [None]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_placeholder_elsewhere_is_still_refused(aws: Aws, protocol: str) -> None:
    misplaced = (*_signature(S3, _stated(b"")), (b"x-amz-meta-key", PLACEHOLDER.encode()))
    assert _word(aws.ask(S3, protocol, headers=misplaced)) == "placeholder_misplaced"
    assert _word(aws.ask(S3, protocol, headers=_signature(S3), path=f"/b?k={PLACEHOLDER}")) == "placeholder_misplaced"
    other = _signature(S3, _stated(b""))[1:]
    expired = _presigned("/b").replace(_now()[:4], "2001")
    assert _word(aws.ask(S3, protocol, headers=(), path=expired)) == "signature_expired"
    for query in (f"a=1;X-Amz-Credential={PLACEHOLDER}%2Fx", f"X-Amz-Credential[]={PLACEHOLDER}%2Fx"):
        assert _word(aws.ask(S3, protocol, headers=_signature(S3), path=f"/b?{query}")) == "signature_unknown"
    named = ((b"authorization", _signature(S3)[0][1].replace(b"managed/", b"managed-team/")), *other)
    assert _word(aws.ask(S3, protocol, headers=named)) == "no_such_connection"
    assert aws.stage.origin.arrived == []


def test_a_body_that_is_too_long_is_refused_before_it_is_read(aws: Aws) -> None:
    with aws.stage.open(host=aws.host(DYNAMODB)) as connection:
        lines = [
            (b"Host", aws.host(DYNAMODB).encode()),
            *_signature(DYNAMODB),
            (b"Content-Length", b"%d" % (LONGEST + 1)),
        ]
        head = b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in lines)
        answer = connection.ask_octets(head + b"\r\n")
    assert (answer.status, _word(answer)) == (413, "body_too_long")
    assert aws.stage.origin.arrived == []


def test_a_body_of_no_known_length_is_held_up_to_the_bound(aws: Aws) -> None:
    piece = b"%x\r\n" % (1 << 20) + b"a" * (1 << 20) + b"\r\n"
    lines = [(b"Host", aws.host(DYNAMODB).encode()), *_signature(DYNAMODB), (b"Transfer-Encoding", b"chunked")]
    head = b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in lines) + b"\r\n"
    with aws.stage.open(host=aws.host(DYNAMODB)) as connection:
        assert connection.ask_octets(head + piece * 2 + b"0\r\n\r\n").status == 200
    assert aws.found == [None]
    assert aws.stage.only().values(b"content-length") == [b"%d" % (2 << 20)]
    with aws.stage.open(host=aws.host(DYNAMODB)) as connection:
        answer = connection.ask_octets(head + piece * ((LONGEST >> 20) + 1) + b"0\r\n\r\n")
    assert (answer.status, _word(answer)) == (413, "body_too_long")
    assert len(aws.stage.origin.arrived) == 1


def test_a_client_that_waits_for_a_word_gets_it_from_whoever_reads_the_body(aws: Aws) -> None:
    body = b'{"TableName": "t"}'
    for name, more in ((DYNAMODB, ()), (S3, (_stated(body),))):
        lines = [
            *((b"Host", aws.host(name).encode()), (b"Content-Length", b"%d" % len(body)), (b"Expect", b"100-continue")),
            *_signature(name, *more),
        ]
        head = b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in lines) + b"\r\n"
        with aws.stage.open(host=aws.host(name)) as connection:
            connection.opened.sendall(head)
            if name == DYNAMODB:
                assert connection.opened.recv(100).startswith(b"HTTP/1.1 100 ")
            answer = connection.ask_octets(body)
            assert answer.status == 200, answer
    assert aws.found == [None, None]


def test_bodies_that_are_held_wait_for_each_other_and_for_no_short_one(aws: Aws) -> None:
    """Five uploads that stall keep room for nothing long, and for everything short."""
    length = (1 << 20) + 1
    lines = [(b"Host", aws.host(DYNAMODB).encode()), *_signature(DYNAMODB), (b"Content-Length", b"%d" % length)]
    head = b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in lines) + b"\r\n"
    connections = [aws.stage.open(host=aws.host(DYNAMODB)) for _ in range(5)]
    for each in connections:
        each.opened.sendall(head + b"a")
    assert aws.ask(DYNAMODB, method="POST", headers=_signature(DYNAMODB), body=b"short").status == 200
    for each in connections:
        each.opened.settimeout(20)
        sender = threading.Thread(target=each.opened.sendall, args=(b"a" * (length - 1),), daemon=True)
        sender.start()
    for each in connections:
        assert each.opened.recv(1 << 16).startswith(b"HTTP/1.1 200")
        each.opened.close()
    assert aws.found == [None] * 6


def test_a_client_that_goes_makes_room_for_others(aws: Aws) -> None:
    length = (1 << 20) + 1
    lines = [(b"Host", aws.host(DYNAMODB).encode()), *_signature(DYNAMODB), (b"Content-Length", b"%d" % length)]
    head = b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in lines) + b"\r\n"
    for _ in range(3):
        stalled = [aws.stage.open(host=aws.host(DYNAMODB)) for _ in range(4)]
        for each in stalled:
            each.opened.sendall(head + b"a" * 100)
        for each in stalled:
            each.opened.close()
    body = b"a" * length
    assert aws.ask(DYNAMODB, "h2", method="POST", headers=_signature(DYNAMODB), body=body).status == 200
    assert aws.found == [None]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_placeholder_of_a_further_connection_is_signed_with_its_keys(aws: Aws, protocol: str) -> None:
    other = {"id": "AKIACANARYOTHER23456", "key": "CANARY-other-secret"}
    declared = [Declared(aws.provider), Declared(aws.provider, "team")]
    session = Session({("aws", "default"): KEYS, ("aws", "team"): other})
    aws.stage.proxy.swap(make(declared, lambda _: True), session)
    used = []

    def note(arrived: Arrived) -> Reply:
        said = [*arrived.values(b"authorization"), arrived.path]
        used.append([each for each in (ACCESS_KEY, other["id"]) if each.encode() in b"".join(said)])
        return Reply((b"ok",), sized=True)

    aws.stage.origin.script = note
    for name in (PLACEHOLDER, f"{PLACEHOLDER}-team"):
        headers = tuple((key, value.replace(PLACEHOLDER.encode(), name.encode())) for key, value in _signature(S3))
        assert aws.ask(S3, protocol, headers=headers, path="/b/k").status == 200
        presigned = _presigned("/b/k").replace(PLACEHOLDER, name)
        assert aws.ask(S3, protocol, headers=(), path=presigned).status == 200
    assert used == [[ACCESS_KEY]] * 2 + [[other["id"]]] * 2


def test_an_answer_that_says_the_keys_back_is_scrubbed(aws: Aws) -> None:
    answer = aws.ask(S3, headers=_signature(S3, _stated(b"")))
    assert answer.body.startswith(b"good authsome-proxy-manag")  # `ask` has looked for the rest


def test_a_refusal_at_a_bucket_of_its_own_host_is_worded_as_its_sdks_read_it() -> None:
    made = resolve(Definition("aws", ("https://*.s3.amazonaws.com",), fields=FIELDS, inject=INJECT))
    rules = make([Declared(made)], lambda _: True)
    assert rules.signs(Host("bucket.s3.amazonaws.com"))
    assert not rules.signs(Host("s3.amazonaws.com"))


def test_who_signs_nothing_does_not_even_read_how() -> None:
    script = (
        "import sys, authsome.proxy.engine, authsome.probe\n"
        "found = [name for name in sys.modules if name in ('authsome.proxy.sigv4', 'authsome.proxy.signing')]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
