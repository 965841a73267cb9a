"""AWS Signature Version 4, taken off a request and made anew with other keys.

Promises that a signature is made over what leaves, for the region and service that the host stands for, and that it is
good for fifteen minutes from its date, whatever the child asked for. Refuses what it does not understand, a signature
of a scope that contradicts the host, and what STS and S3 Express would answer with credentials. Pure: no clock, no I/O.

The algorithm: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from authsome.provider import SIGNATURE_HEADERS, SIGNATURE_QUERY

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = sha256().hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
CHUNKS, CHUNKS_AND_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
GOOD_FOR = timedelta(minutes=15)
"""How far AWS lets a request's own time be from its own."""

type Pairs = Iterable[tuple[str, str]]
"""Fields: names in lower case, values as Latin-1 reads their octets."""


class UnsignableError(Exception):
    """The request gets no signature; it does not leave.

    Attributes:
        word: What programs compare.
        reason: Why, of one line. It quotes nothing but what the caller itself has sent.
    """

    def __init__(self, word: str, reason: str) -> None:
        super().__init__(reason)
        self.word, self.reason = word, reason


@dataclass(frozen=True, slots=True)
class Keys:
    """What is signed with. Its `repr` shows none of it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request's own signature says that it is for.

    Attributes:
        time: As `X-Amz-Date` writes it.
        signed: The headers that the child has signed, in lower case.
        payload: What stands for the body in the signature; None where that is the hash of a body that has to be read.
        expires: Seconds that a signature in the query is good for; None where it stands in a header.
        stated: Whether `payload` has to be said in a header of its own, because the child has not.
        permitted: What alone may be asked of a service that hands out credentials; None of any other one.
    """

    region: str
    service: str
    time: str
    signed: frozenset[str]
    payload: str | None
    expires: int | None = None
    stated: bool = False
    permitted: frozenset[str] | None = None

    @property
    def scope(self) -> str:
        """Date, region and service, as a signature names them."""
        return f"{self.time[:8]}/{self.region}/{self.service}/aws4_request"

    @property
    def in_chunks(self) -> bool:
        """Whether the body carries signatures of its own."""
        return self.payload in (CHUNKS, CHUNKS_AND_TRAILER)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it leaves, without what it was signed with.

    Attributes:
        headers: What is added; each replaces what stood in a header of its name.
        seal: What the first of the chunks is signed after; secret.
    """

    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    seal: "Seal" = field(repr=False)


# What the child has signed.


def read(method: str, target: str, headers: Pairs, host: str, now: datetime, *, bodiless: bool) -> Claim:
    """Return what a request asks to be signed for. Raises `UnsignableError`.

    Args:
        host: Where it goes, with the port if it is not 443.
        now: In UTC.
        bodiless: Whether it is known to have no body.
    """
    fields = by_name(headers)
    query = target.partition("?")[2]
    asked = _of_signature(query)
    said = fields.get("authorization", [])
    if len(said) > 1 or (said and asked):
        raise UnsignableError("signature_unknown", "it carries two signatures, and which one counts cannot be told")
    if any(_name(part) == _OLD for part in asked):
        claim = _in_old_query(asked, host, now)
    elif asked:
        claim = _in_query(asked, fields, now)
    elif said:
        claim = _in_header(said[0], fields, now)
    else:
        claim = _unsigned(fields, host, now)
    _check_scope(claim, host)
    claim = replace(_with_payload(claim, fields, query, bodiless=bodiless), permitted=_permitted(claim, host))
    if claim.permitted is None:
        return claim
    _check_giving(claim, method, target, fields, bodiless=bodiless)
    # What its body asks for has to be read, whether its hash is known or not.
    return claim if bodiless else replace(claim, payload=None)


def by_name(headers: Pairs) -> dict[str, list[str]]:
    """Return what stands in each header."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def _parts(query: str) -> list[str]:
    return [part for part in query.split("&") if part]


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0]).lower()


_QUERY = frozenset(name.lower() for name in SIGNATURE_QUERY)
_OLD = "awsaccesskeyid"
_WITH_OLD = _QUERY | {"signature", "expires"}


def _of_signature(query: str) -> list[str]:
    """Return the parameters that are a signature."""
    parts = _parts(query)
    names = _WITH_OLD if any(_name(part) == _OLD for part in parts) else _QUERY
    return [part for part in parts if _name(part) in names]


def _in_header(said: str, fields: Mapping[str, list[str]], now: datetime) -> Claim:
    algorithm, _, rest = said.partition(" ")
    if algorithm != ALGORITHM:
        raise UnsignableError(
            "signature_unknown", f"`Authorization` is not {ALGORITHM}, and nothing else can be signed"
        )
    pairs = [part.strip().partition("=") for part in rest.split(",")]
    given = {name: value for name, _, value in pairs}
    if len(pairs) != len(given) or set(given) != {"Credential", "SignedHeaders", "Signature"}:
        raise _unreadable("`Authorization`")
    return _claim(given["Credential"], given["SignedHeaders"], _time(fields.get("x-amz-date", []), now))


def _in_query(asked: list[str], fields: Mapping[str, list[str]], now: datetime) -> Claim:
    given = {_name(part): unquote_plus(part.partition("=")[2]) for part in asked}
    if len(given) != len(asked) or "x-amz-date" in fields:
        raise _unreadable("the signature in the query")
    if given.get("x-amz-algorithm") != ALGORITHM:
        raise UnsignableError("signature_unknown", f"`X-Amz-Algorithm` is not {ALGORITHM}")
    seconds = given.get("x-amz-expires", "")
    if not re.fullmatch("[0-9]{1,6}", seconds):
        raise _unreadable("`X-Amz-Expires`")
    made = _moment(given.get("x-amz-date", ""))
    if made is None:
        raise _unreadable("`X-Amz-Date`")
    left = made + timedelta(seconds=int(seconds)) - now
    if made - now > GOOD_FOR or left <= timedelta():
        raise UnsignableError("signature_expired", "the signature in the query is not good at this time")
    # NOTE: whoever learns a signature in a query can use it for as long as it is good. It is used now.
    kept = given["x-amz-date"] if abs(now - made) <= GOOD_FOR else _written(now)
    expires = min(int(seconds) if kept == given["x-amz-date"] else int(left.total_seconds()) + 1, _LONGEST)
    return _claim(given.get("x-amz-credential", ""), given.get("x-amz-signedheaders", ""), kept, expires)


def _in_old_query(asked: list[str], host: str, now: datetime) -> Claim:
    """Return the claim of a URL that is presigned as before Version 4, which boto3 still does for S3 in us-east-1."""
    given = {_name(part): unquote_plus(part.partition("=")[2]) for part in asked}
    label, region = _of_host(host)
    known = set(given) - {"x-amz-security-token"} == {_OLD, "signature", "expires"} and len(given) == len(asked)
    if label is None or _service(label) != "s3" or not known:
        raise UnsignableError("signature_unknown", "a signature of Version 2 is known in a presigned URL of S3 alone")
    if not re.fullmatch("[0-9]{1,11}", given["expires"]):
        raise _unreadable("`Expires`")
    left = int(given["expires"]) - int(now.timestamp())
    if left <= 0:
        raise UnsignableError("signature_expired", "the signature in the query is not good at this time")
    signed = frozenset({"content-type", "content-md5"})
    return Claim(region or "us-east-1", "s3", _written(now), signed, None, min(left, _LONGEST))


_LONGEST = int(GOOD_FOR.total_seconds())
_CREDENTIAL = re.compile(r"[!-.0-~]+/[0-9]{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_SIGNED = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")


def _claim(credential: str, signed: str, time: str, expires: int | None = None) -> Claim:
    found = _CREDENTIAL.fullmatch(credential)
    if not found or not _SIGNED.fullmatch(signed):
        raise _unreadable("the credential or the list of headers of the signature")
    return Claim(found[1], found[2], time, frozenset(signed.lower().split(";")), None, expires)


def _unsigned(fields: Mapping[str, list[str]], host: str, now: datetime) -> Claim:
    """Return the claim of a request without a signature: what its host says."""
    label, region = _of_host(host)
    if label is None:
        raise UnsignableError(
            "signature_unknown", f"it is not signed, and `{host}` says neither a region nor a service of AWS"
        )
    signed = frozenset({"content-type", "content-md5"})
    return Claim(region or "us-east-1", _service(label), _time(fields.get("x-amz-date", []), now), signed, None)


def _time(said: list[str], now: datetime) -> str:
    """Return the request's own time where AWS would take it, else ours."""
    if len(said) > 1:
        raise _unreadable("`X-Amz-Date`")
    made = _moment(said[0]) if said else None
    return said[0] if made is not None and abs(now - made) <= GOOD_FOR else _written(now)


def _moment(text: str) -> datetime | None:
    if not re.fullmatch("[0-9]{8}T[0-9]{6}Z", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _written(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _unreadable(what: str) -> UnsignableError:
    return UnsignableError("signature_unknown", f"{what} cannot be read")


# What the host says.


_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+){1,2}-[0-9]{1,2}")
_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws")
_SIGNED_AS = {"email": "ses", "mail-manager": "ses", "queue": "sqs"}
_OF_S3 = frozenset({"s3", "s3-outposts", "s3-object-lambda"})
_PASSED_OVER = frozenset({"dualstack", "vpce", "fips"})


def _of_host(host: str) -> tuple[str | None, str | None]:
    """Return what a host of AWS is named after and its region, None for what it does not say."""
    name = host.partition(":")[0]
    suffix = next((each for each in _SUFFIXES if name.endswith(each)), None)
    if suffix is None:
        return None, None
    labels = [label for label in name.removesuffix(suffix).split(".") if label not in _PASSED_OVER]
    if not labels:
        return None, None
    if old := re.fullmatch(rf"(s3)-({_REGION.pattern})", labels[-1]):  # a form of S3's own, before 2019
        return old[1], old[2]
    *before, last = labels
    if _REGION.fullmatch(last):
        return (_plain(before[-1]) if before else None), last
    region = labels[0] if _REGION.fullmatch(labels[0]) and last == "queue" else None  # of SQS, before 2019
    return _plain(last), region


def _plain(label: str) -> str:
    return label.removesuffix("-fips").removeprefix("fips-")


def _service(label: str) -> str:
    """Return for what a host of this name is signed, where nobody says otherwise."""
    if label.startswith("s3express"):
        return "s3express"
    if label not in _OF_S3 and label.startswith(("s3-", "bedrock-", "lambda-")):
        return label.partition("-")[0]
    return _SIGNED_AS.get(label, label)


def is_storage(host: str) -> bool:
    """Whether a host is S3's."""
    label, _ = _of_host(host)
    return label is not None and _service(label) in _OF_S3


def _check_scope(claim: Claim, host: str) -> None:
    """Raise where the host says another service or region than the signature.

    Hosts are named `bedrock-runtime` and `sync-states`, and are signed for as `bedrock` and `states`.
    """
    label, region = _of_host(host)
    service = claim.service
    if label is not None and service != _service(label):
        near = label.startswith(service) or label.endswith(f"-{service}") or service.startswith(label)
        if not near:
            raise UnsignableError("scope_mismatch", f"it is signed for {service}, and `{host}` is {_service(label)}")
    if region not in (None, claim.region):
        raise UnsignableError("scope_mismatch", f"it is signed for {claim.region}, and `{host}` is in {region}")


# What stands for the body.


_HASH = re.compile("[0-9a-f]{64}")
_STATED = frozenset({UNSIGNED, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", CHUNKS, CHUNKS_AND_TRAILER})
_STATING = "x-amz-content-sha256"


def _with_payload(claim: Claim, fields: Mapping[str, list[str]], query: str, *, bodiless: bool) -> Claim:
    said = [*fields.get(_STATING, [])]
    said += [unquote_plus(part.partition("=")[2]) for part in _parts(query) if _name(part) == _STATING]
    if len(said) > 1 or (said and not (_HASH.fullmatch(said[0]) or said[0] in _STATED)):
        raise UnsignableError("signature_unknown", f"`X-Amz-Content-Sha256` is nothing that can be signed: {said[0]!a}")
    if said:
        found = replace(claim, payload=said[0])
        if found.in_chunks and (bodiless or claim.expires is not None):
            raise UnsignableError("signature_unknown", "it announces signed chunks, and cannot have any")
        return found
    if claim.service in _OF_S3:
        payload = EMPTY if bodiless and claim.expires is None else UNSIGNED  # over TLS, S3 takes it for any body
        return replace(claim, payload=payload, stated=claim.expires is None)
    return replace(claim, payload=EMPTY if bodiless else None)


# What must not be asked for.


_GIVING: Mapping[str, frozenset[str]] = {
    "sts": frozenset({"GetCallerIdentity", "DecodeAuthorizationMessage", "GetAccessKeyInfo"}),
    "s3express": frozenset(),
}
"""Services that hand out credentials, and what may be asked of them all the same.

NOTE: what `AssumeRole` or `GetSessionToken` answers are real keys, that the child would hold, and good for hours.
"""
_FORM = re.compile(r"[\x21-\x7e]*", re.ASCII)


def _permitted(claim: Claim, host: str) -> frozenset[str] | None:
    label, _ = _of_host(host)
    return _GIVING.get(claim.service, _GIVING.get(_service(label or "")))


def _check_giving(claim: Claim, method: str, target: str, fields: Mapping[str, list[str]], *, bodiless: bool) -> None:
    """Raise unless the head asks for nothing that gives out credentials; `check_body` looks at the rest."""
    path = target.partition("?")[0]
    # The other forms in which services of AWS are asked say elsewhere what they ask for.
    kinds = () if bodiless else fields.get("content-type", ())
    plain = fields.keys().isdisjoint(_OTHER_FORMS) and all(map(_KIND.fullmatch, kinds))
    if path != "/" or method not in ("GET", "POST") or not plain:
        raise _giving(claim, "this form of a request")
    if bodiless:
        check_body(claim, target, b"")


_OTHER_FORMS = frozenset({"content-encoding", "x-amz-target", "smithy-protocol"})
_KIND = re.compile(r"application/x-www-form-urlencoded(?: *; *charset=utf-8)?", re.IGNORECASE)
_PARAMETER = re.compile(r"[A-Za-z0-9.-]+")


def check_body(claim: Claim, target: str, body: bytes) -> None:
    """Raise `UnsignableError` where a body asks for credentials of AWS."""
    if claim.permitted is None:
        return
    text = body.decode("latin-1")
    said = [*_said(target.partition("?")[2]), *_said(text)]
    actions = {value for name, value in said if name.strip().lower() == "action"}
    if unknown := actions - claim.permitted:
        raise _giving(claim, ascii(min(unknown)))
    if not actions or not _FORM.fullmatch(text) or not all(_PARAMETER.fullmatch(name) for name, _ in said):
        raise _giving(claim, "a request that does not say plainly what it asks for")


def _said(form: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in re.split("[&;]", form) if part]
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in parts]


def _giving(claim: Claim, what: str) -> UnsignableError:
    may = ", ".join(sorted(claim.permitted or ())) or "nothing"
    reason = f"{claim.service} hands out credentials, which the agent would hold: {may} may be asked of it, not {what}"
    return UnsignableError("gives_credentials", reason)


# The signature.


def sign(claim: Claim, keys: Keys, method: str, target: str, headers: Pairs, payload: str) -> Signed:
    """Return a request as it leaves.

    Args:
        headers: As they leave, `host` among them, without a credential.
        payload: `claim.payload`, or the hash of the body.
    """
    own = {"x-amz-date": claim.time} if claim.expires is None else {}
    if claim.stated:
        own[_STATING] = payload
    if keys.session_token is not None and claim.expires is None:
        own["x-amz-security-token"] = keys.session_token
    fields = {
        name: values for name, values in by_name(headers).items() if name not in own and name not in SIGNATURE_HEADERS
    }
    fields |= {name: [value] for name, value in own.items()}
    wanted = {name for name in fields if name in claim.signed or name == "host" or name.startswith("x-amz-")}
    names = sorted(wanted - _NEVER)
    if claim.expires is not None:
        target = _asked(target, claim, keys, ";".join(names))
    text = canonical(method, target, {name: fields[name] for name in names}, claim.service, payload)
    seal = _seal(claim, keys).after(text)
    if claim.expires is not None:
        return Signed(f"{target}&X-Amz-Signature={seal.last}", (), seal)
    said = f"{ALGORITHM} Credential={keys.access_key}/{claim.scope}, SignedHeaders={';'.join(names)}, "
    return Signed(target, (*own.items(), ("authorization", f"{said}Signature={seal.last}")), seal)


_NEVER = frozenset(
    {
        *("authorization", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "transfer-encoding"),
        *("te", "trailer", "upgrade", "expect"),
    }
)
"""What a hop writes anew after it was signed."""


def _asked(target: str, claim: Claim, keys: Keys, signed: str) -> str:
    """Return a target whose query says how it is signed, without the signature."""
    path, _, query = target.partition("?")
    given = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{claim.scope}",
        "X-Amz-Date": claim.time,
        "X-Amz-Expires": str(claim.expires),
        "X-Amz-SignedHeaders": signed,
    }
    if keys.session_token is not None:
        given["X-Amz-Security-Token"] = keys.session_token
    own = _of_signature(query)
    kept = [part for part in _parts(query) if part not in own]
    return f"{path}?{'&'.join([*kept, *(f'{name}={quote(value, safe=_UNRESERVED)}' for name, value in given.items())])}"


_UNRESERVED = "-_.~"


def canonical(method: str, target: str, headers: Mapping[str, list[str]], service: str, payload: str) -> bytes:
    """Return the canonical request: what is signed of it, in the one form in which everybody writes it."""
    path, _, query = target.partition("?")
    lines = [f"{name}:{','.join(' '.join(value.split()) for value in headers[name])}\n" for name in sorted(headers)]
    parts = [method, _path(path, service), _query(query), "".join(lines), ";".join(sorted(headers)), payload]
    return "\n".join(parts).encode("latin-1")


def _path(path: str, service: str) -> str:
    """Return a path as it is signed: S3's as it is sent, any other one without dots, and escaped once more."""
    octets = path.encode("latin-1")
    if service in _OF_S3 or service == "s3express":
        return quote(octets, safe=_ASCII)
    return quote(_normal(path).encode("latin-1"), safe="/" + _UNRESERVED)


_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def _normal(path: str) -> str:
    """Return a path without empty segments and dots (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return "/" + "/".join(kept) + end


def _query(query: str) -> str:
    """Return the parameters, each escaped in the one way there is, in order."""
    pairs = [part.partition("=")[::2] for part in _parts(query)]
    found = sorted(
        tuple(quote(unquote_to_bytes(text.encode("latin-1")), safe=_UNRESERVED) for text in pair) for pair in pairs
    )
    return "&".join(f"{name}={value}" for name, value in found)


@dataclass(frozen=True, slots=True)
class Seal:
    """What the next signature is made with: a key of this day, region and service, and the signature before.

    Attributes:
        last: The signature before, in hexadecimal; none yet if it is empty.
    """

    key: bytes = field(repr=False)
    time: str
    scope: str
    last: str = field(default="", repr=False)

    def after(self, request: bytes) -> "Seal":
        """Return what follows the signature of a canonical request."""
        return self._next(ALGORITHM, sha256(request).hexdigest())

    def chunk(self, data: bytes) -> "Seal":
        """Return what follows the signature of a chunk."""
        return self._next(f"{ALGORITHM}-PAYLOAD", self.last, EMPTY, sha256(data).hexdigest())

    def trailer(self, lines: bytes) -> "Seal":
        """Return what follows the signature of the fields after the last chunk."""
        return self._next(f"{ALGORITHM}-TRAILER", self.last, sha256(lines).hexdigest())

    def _next(self, kind: str, *parts: str) -> "Seal":
        text = "\n".join([kind, self.time, self.scope, *parts])
        return Seal(self.key, self.time, self.scope, _mac(self.key, text).hex())


def _seal(claim: Claim, keys: Keys) -> Seal:
    key = f"AWS4{keys.secret_key}".encode()
    for part in claim.scope.split("/"):
        key = _mac(key, part)
    return Seal(key, claim.time, claim.scope)


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("latin-1"), "sha256")
