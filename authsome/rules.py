"""Which connection a request belongs to, what it becomes, and why not.

Promises one pure decision per request: the same request under the same rules gets the same answer, and the answer holds
no secret. Refuses when in doubt: another name in SNI or `Host` than in CONNECT, a path the rule and the upstream could
read differently, a placeholder anywhere it would leave unreplaced.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from urllib.parse import unquote, unquote_plus

from authsome.manifest import Allowed, Declared, Project, full_name, login_command
from authsome.provider import DEFAULT_CONNECTION, PLACEHOLDER, TOKEN, Host, Placement, covered, matches, mentions

_PLACEHOLDER = re.compile(rf"{PLACEHOLDER}(?:-([a-z0-9][a-z0-9_-]*))?")
# Also an escaped end of the path, and dots and slashes in the overlong UTF-8 that RFC 3629, 3 forbids.
_AMBIGUOUS = re.compile(
    r"//|/\.{1,2}(/|$)|[\\;#]|%2e|%2f|%5c|%3b|%3f|%23|%00|%25|%c[01]|%e0%[89]|%f0%8|[\xc0\xc1]", re.IGNORECASE
)
_ESCAPED_DOT, _ESCAPED_SLASH = re.compile("%2e", re.IGNORECASE), re.compile("%2f", re.IGNORECASE)
_OVERRIDES = frozenset(
    {
        *("x-http-method-override", "x-http-method", "x-method-override", "x-original-method", "x-forwarded-method"),
        *("x-original-url", "x-rewrite-url", "x-original-uri", "x-forwarded-uri"),
    }
)
# Where frameworks read the method from: `_method`, `_HttpMethod`, `X-HTTP-Method-Override`. PHP reads a dot as `_`, so
# a name is compared by its letters alone; a plain `method` is also an ordinary word and counts with a verb only.
_OVERRIDING_QUERY = frozenset(
    {
        *("method", "httpmethod", "methodoverride", "httpmethodoverride"),
        *("xmethodoverride", "xhttpmethod", "xhttpmethodoverride"),
    }
)
_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TARGET = re.compile(r"/[\x21-\x7e\x80-\xff]*")  # RFC 9112, 3.2.1; octets above ASCII are sent by real clients
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, 5.5


class Change(StrEnum):
    """What happened to a connection's credential since the run started."""

    LOST = "lost"
    GAINED = "gained"


@dataclass(frozen=True)
class Rule:
    """One connection and where its secret goes.

    Attributes:
        allow: The methods and paths that are permitted; None means all.
        held: False for an optional connection nobody logged in: its hosts answer with that instead of a bare 401.
        scrub: Whether answers are searched for secrets.
        private_addresses: Whether the provider's hosts may have addresses outside the public internet.
        dropped: The hosts that an edit during the run took away; they stay decrypted, and refused.
        narrowed: What a later `allow` permits; a request has to be permitted by both. None: no edit changed it.
        change: Why `held` is not what it was, or could be.
        source: The connection of the vault that fills it, where that has another name.
        stand_ins: What its child holds instead of its secrets, where that is not the ordinary placeholder.
        unfit: Why what is held of it could not be used when the run started, and the command that mends it.
    """

    provider: str
    connection: str
    placements: tuple[Placement, ...]
    constant_headers: tuple[tuple[str, str], ...] = ()
    allow: tuple[Allowed, ...] | None = None
    held: bool = True
    scrub: bool = True
    private_addresses: bool = False
    dropped: frozenset[Host] = frozenset()
    narrowed: tuple[Allowed, ...] | None = None
    change: Change | None = None
    source: str | None = None
    stand_ins: frozenset[str] = frozenset()
    unfit: tuple[str, str] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """`openai`, or `openai/team`."""
        return full_name(self.provider, self.connection)

    @property
    def key(self) -> tuple[str, str]:
        """Provider and connection, as the agent knows them."""
        return self.provider, self.connection

    @property
    def login(self) -> str:
        """The command that brings its credential into place."""
        return login_command(self.provider, self.source or self.connection)

    @cached_property
    def hosts(self) -> frozenset[Host]:
        """Where the secret goes."""
        return frozenset(host for place in self.placements for host in place.hosts)

    @cached_property
    def credential_headers(self) -> frozenset[str]:
        """The headers, in lower case, in which a client of the provider sends its credential."""
        return frozenset({"authorization"}).union(*(place.header_names for place in self.placements))


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of a request before its body.

    Attributes:
        target: Where the client's CONNECT asked to go.
        sni: The name in the client's TLS hello, None without one.
        authority: `Host` or `:authority`, every one of them.
        path: The request target's path and query, as sent.
        headers: Names in lower case, repeated ones repeated.
    """

    target: Host
    sni: str | None
    authority: tuple[str, ...]
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Inject:
    """The request leaves with this connection's secret, and with no other credential.

    Attributes:
        placements: Where it goes: the first of these that suits its kind.
        drop: The headers, in lower case, that are taken out before.
        permitted: The line of `allow` that fits, None where nothing is restricted.
    """

    rule: Rule
    placements: tuple[Placement, ...]
    drop: frozenset[str] = field(default_factory=frozenset)
    permitted: Allowed | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """The request leaves as it is, without a secret: the definition sends none to this path."""

    rule: Rule
    permitted: Allowed | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request does not leave.

    Attributes:
        error: A word that programs compare.
        status: One that clients do not retry.
    """

    error: str
    reason: str
    hint: str | None = None
    connection: str | None = None
    status: int = 403


type Decision = Inject | Pass | Refusal


@dataclass(frozen=True, slots=True)
class Use:
    """What became of one request; no secret, fit for the audit log.

    Attributes:
        time: Seconds since the epoch, when the request's head was read.
        host: `api.example.com` or `api.example.com:8443`.
        path: As the client sent it, with the placeholder if it holds one; without query.
        decision: `inject`, `pass`, `tunnel`, or a refusal's error word, for example `not_allowed`.
        connection: `openai`, `openai/team`.
        status: What the client was answered.
        sent: Body octets towards the upstream.
        received: Body octets towards the client.
        peer: The client's end of its connection to the proxy.
    """

    time: float
    method: str
    host: str
    path: str
    decision: str
    connection: str | None = None
    status: int | None = None
    sent: int = 0
    received: int = 0
    milliseconds: float = 0.0
    peer: tuple[str, int] | None = None


@dataclass(frozen=True)
class Rules:
    """Every rule of a run; one immutable value, replaced whole.

    Attributes:
        open_egress: Whether hosts that nobody declares may be reached.
        egress: Those that may be reached all the same.
        pending: Hosts that an edit declared after the run had started, without a certificate of this run.
        fake: Whether this is a fake run, in which no undeclared host is reached, whatever the egress.
    """

    rules: tuple[Rule, ...]
    open_egress: bool = True
    egress: frozenset[Host] = frozenset()
    pending: frozenset[Host] = frozenset()
    fake: bool = False

    @cached_property
    def hosts(self) -> frozenset[Host]:
        """The hosts that are decrypted."""
        return frozenset(host for rule in self.rules for host in rule.hosts)

    def decrypts(self, host: Host) -> bool:
        """Whether a CONNECT to this name and port is one of a provider's."""
        return covered(host, self.hosts)

    def signs(self, host: Host) -> bool:
        """Whether requests to this host are signed."""
        return any(place.sigv4 and covered(host, place.hosts) for rule in self.rules for place in rule.placements)

    def may_be_private(self, host: Host) -> bool:
        """Whether a secret may go to this declared host also where its address is not a public one."""
        owners = [rule for rule in self.rules if covered(host, rule.hosts)]
        return host.is_loopback or (bool(owners) and all(rule.private_addresses for rule in owners))

    def refuses(self, host: Host) -> Refusal | None:
        """Return why an undeclared host may not be reached, or None if it may."""
        if self.fake:
            return Refusal(
                "fake_run",
                f"`{host}` belongs to no declared provider, and a fake run reaches no network",
                "declare its provider in authsome.yaml, or run without `--fake`",
            )
        if covered(host, self.pending):
            return Refusal(
                "restart_needed",
                f"`{host}` was declared after this run had started, and the run's certificates do not cover it",
                _RESTART,
            )
        if self.open_egress or host in self.egress:
            return None
        return Refusal(
            "egress_denied",
            f"`{host}` belongs to no declared provider and `egress.default` is `deny`",
            f"to reach it, add `{host}` to `egress.allow` in authsome.yaml",
        )

    def told(self, unfit: Mapping[tuple[str, str], tuple[str, str]]) -> "Rules":
        """Return the rules with why connections cannot be used, and the commands that mend it, by what they are."""
        return replace(self, rules=tuple(replace(each, unfit=unfit.get(each.key)) for each in self.rules))

    def refuses_plain(self, host: Host) -> Refusal | None:
        """Return why a host may not be reached over `http://`, or None if it may: a declared one on no port at all."""
        if any(declared.covers(replace(host, port=declared.port)) for declared in self.hosts):
            return not_encrypted(host.name)
        return self.refuses(host)

    def shown(self, host: Host, path: str) -> str:
        """Return a path as it may be logged: with the placeholder where a client may have put a key."""
        for place in (place for rule in self.rules for place in rule.placements if covered(host, place.hosts)):
            path = place.shown(path)
        return path

    def decide(self, request: Request) -> Decision:
        """Return what becomes of a request to a declared host."""
        if refusal := malformed(request.method, request.path, request.headers) or _one_destination(request):
            return refusal
        candidates = {rule.connection: rule for rule in self.rules if covered(request.target, rule.hosts)}
        chosen = _choose(candidates, request)
        if isinstance(chosen, Refusal):
            return chosen
        if refusal := _dropped(chosen, request) or _not_held(chosen):
            return refusal
        permitted = _permitted(chosen, request)
        return permitted if isinstance(permitted, Refusal) else _place(chosen, request, permitted)


def make(
    declared: Iterable[Declared],
    holds: Callable[[Declared], bool],
    *,
    open_egress: bool = True,
    egress: Iterable[Host] = (),
) -> Rules:
    """Return the rules of a run; `holds` tells which connections are usable."""
    return Rules(
        tuple(
            Rule(
                each.provider.name,
                each.connection,
                tuple(_complete(each.provider.placements)),
                each.provider.constant_headers,
                each.allow,
                holds(each),
                each.scrub,
                each.provider.private_addresses,
                source=each.source,
                stand_ins=frozenset(each.provider.stand_ins(each.connection).values()),
            )
            for each in declared
        ),
        open_egress,
        frozenset(egress),
    )


def _complete(placements: Iterable[Placement]) -> Iterator[Placement]:
    """Yield the placements with the hosts that are known; one of which a setting is missing is none yet."""
    for place in placements:
        if hosts := frozenset(host for host in place.hosts if not host.is_open):
            yield replace(place, hosts=hosts)


def of_project(project: Project, holds: Callable[[Declared], bool]) -> Rules:
    """Return the rules that a project's manifest makes."""
    egress = [Host.parse(host) for host in project.egress.allow]
    return make(project.connections, holds, open_egress=project.egress.default == "allow", egress=egress)


def narrower(start: Rules, newest: Rules) -> Rules:
    """Return the rules at the start of a run, cut down to what the newest ones permit as well.

    NOTE: the child can edit `authsome.yaml`. Whatever it writes there, a request refused at the start stays refused.
    Both come from files as they are, so that an edit taken back is as if it had never been.
    """
    named = {(rule.provider, rule.connection): rule for rule in newest.rules}
    if start.open_egress:
        egress = start.egress & newest.egress if newest.open_egress else newest.egress
    else:
        egress = start.egress if newest.open_egress else start.egress & newest.egress
    return Rules(
        tuple(_narrower(rule, named.get((rule.provider, rule.connection))) for rule in start.rules),
        start.open_egress and newest.open_egress,
        egress,
        newest.hosts - start.hosts,
        start.fake,
    )


def _narrower(rule: Rule, newest: Rule | None) -> Rule:
    if newest is None:
        return replace(rule, dropped=rule.hosts)
    change = None
    if rule.held != newest.held:
        change = Change.LOST if rule.held else Change.GAINED
    narrowed = None
    if newest.allow != rule.allow:
        narrowed = _EVERYTHING if newest.allow is None else newest.allow
    return replace(
        rule,
        held=rule.held and newest.held,
        scrub=rule.scrub or newest.scrub,
        private_addresses=rule.private_addresses and newest.private_addresses,
        dropped=rule.hosts - newest.hosts,
        narrowed=narrowed,
        change=change,
    )


_EVERYTHING = (Allowed("*", "/**"),)
_RESTART = "end this run and start `authsome run` again, from outside of it"


def not_encrypted(host: object) -> Refusal:
    """Refuse a declared host without TLS."""
    return Refusal("not_encrypted", f"`{host}` is reached over https only", "use an https:// URL")


def malformed(method: str, path: str, headers: Iterable[tuple[str, str]]) -> Refusal | None:
    """Refuse what upstreams could read as another request than we do: it would carry the secret there.

    A bare CR, a folded line or a NUL in a value, a space or an absolute URL in the target: HTTP/2 can express them all.
    """
    wrong = None
    if not TOKEN.fullmatch(method) or method == "CONNECT":
        wrong = "the method is not one of a request"
    elif not _TARGET.fullmatch(path) and not (method == "OPTIONS" and path == "*"):
        wrong = "the target is not a path"
    elif name := next((name for name, _ in headers if not TOKEN.fullmatch(name)), None):
        wrong = f"{ascii(name)} is no name of a header"
    elif name := next((name for name, value in headers if _NOT_IN_VALUE.search(value)), None):
        wrong = f"the header {ascii(name)} holds control characters"
    elif name := next((name for name, _ in headers if name in ("content_length", "transfer_encoding")), None):
        wrong = f"some read the header `{name}` as the body's length"
    return Refusal("malformed_request", f"{wrong}; nothing was sent", status=400) if wrong else None


def misplaced(path: str, headers: Iterable[tuple[str, str]]) -> Refusal | None:
    """Refuse a placeholder in a plain request to an undeclared host: whoever put it there meant another one."""
    found = [name for name, value in headers if mentions(readable(value))]
    found += ["the path or query"] if mentions(unquote(path)) else []
    if not found:
        return None
    reason = f"the placeholder stands in {', '.join(found)} of a request to a host that no provider declares"
    return Refusal("placeholder_misplaced", reason, "send it to the provider's own host, over https")


def _one_destination(request: Request) -> Refusal | None:
    """Refuse a request that names another host than the one its connection was opened to."""
    asked = {"the TLS hello (SNI)": request.sni} | {f"`Host: {text}`": text for text in request.authority}
    for where, text in asked.items():
        named = _host(text, request.target.port if where.startswith("the TLS") else 443) if text else None
        if named != request.target:
            said = f"names `{text}`" if text else "names no host"
            return Refusal(
                "host_mismatch",
                f"the connection was opened to `{request.target}`, {where} {said}",
                "send the request to the host it is for",
                status=421,
            )
    if len(request.authority) != 1:
        return Refusal("host_mismatch", "a request names its host exactly once", status=400)
    return None


def _host(text: str, port: int) -> Host | None:
    # NOTE: in lower case the Kelvin sign U+212A is a `k`; a name outside of ASCII is nobody's that a definition names.
    if not text.isascii():
        return None
    name, _, given = text.lower().partition(":")
    if given and not (given.isascii() and given.isdecimal()):
        return None
    return Host(name, int(given) if given else port)


def _choose(candidates: Mapping[str, Rule], request: Request) -> Rule | Refusal:
    """Return the rule of the connection that the request's placeholder names, else of the default one."""
    provider = next(iter(candidates.values())).provider
    credentials = frozenset().union(*(rule.credential_headers for rule in candidates.values()))
    said = [readable(value) for name, value in request.headers if name in credentials]
    places = dict.fromkeys(place for rule in candidates.values() for place in rule.placements)
    said += [
        spot.text for place in places if covered(request.target, place.hosts) for spot in place.spots(request.path)
    ]
    named = {found[1] or DEFAULT_CONNECTION for text in said for found in _PLACEHOLDER.finditer(text)}
    named |= {
        rule.connection for rule in candidates.values() for own in rule.stand_ins if any(own in text for text in said)
    }
    if len(named) > 1:
        return Refusal("ambiguous_connection", f"one request names several connections: {', '.join(sorted(named))}")
    wanted = next(iter(named), DEFAULT_CONNECTION if len(candidates) > 1 else next(iter(candidates)))
    if wanted in candidates:
        return candidates[wanted]
    shown = full_name(provider, wanted)
    return Refusal(
        "no_such_connection",
        f"this run has no connection `{shown}`; it has {', '.join(rule.name for rule in candidates.values())}",
        f"declare `{shown}` in authsome.yaml and run `{login_command(provider, wanted)}`",
        shown,
    )


def readable(value: str) -> str:
    """Return a header value with the user name and password of RFC 7617 in the clear."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        return b64decode(rest.strip(), validate=True).decode("latin-1")
    except (Base64Error, ValueError):
        return value


def _dropped(rule: Rule, request: Request) -> Refusal | None:
    if not covered(request.target, rule.dropped):
        return None
    reason = f"`{request.target}` was taken from {rule.name} after this run had started"
    return Refusal("not_declared", reason, "declare it again in authsome.yaml", rule.name)


def _not_held(rule: Rule) -> Refusal | None:
    if rule.held:
        return None
    if rule.change is Change.GAINED:
        return Refusal("restart_needed", f"{rule.name} was connected after this run had started", _RESTART, rule.name)
    if rule.change is Change.LOST:
        return Refusal(
            "not_connected",
            f"{rule.name} was logged out, or its key or hosts no longer fit its definition",
            f"{rule.login} --force",
            rule.name,
        )
    if rule.unfit:
        reason, command = rule.unfit
        return Refusal("not_connected", f"{rule.name} could not be used: {reason}", command, rule.name)
    return Refusal(
        "not_connected",
        f"{rule.name} is declared as optional and was not logged in when this run started",
        rule.login,
        rule.name,
    )


def _permitted(rule: Rule, request: Request) -> Allowed | Refusal | None:
    """Return the line of `allow` that names the request; refuse what none names, or could be tricked into naming."""
    required = [lines for lines in (rule.allow, rule.narrowed) if lines is not None]
    if not required:
        return None
    path, _, query = request.path.partition("?")
    if trick := _trick(request, path, query):
        return Refusal(
            "not_allowed", f"{trick} could mean another request upstream than `allow` permits", None, rule.name
        )
    found = [_naming(lines, request.method, path) for lines in required]
    if None not in found:
        return found[-1]
    if rule.narrowed is not None and found[-1] is not None:
        reason = f"`allow` of {rule.name} permits `{request.method} {path}` only since this run was started"
        return Refusal("restart_needed", reason, _RESTART, rule.name)
    refusing = [lines for lines, line in zip(required, found, strict=True) if line is None]
    permitted = ", ".join(f"`{line}`" for line in refusing[-1]) or "nothing"
    return Refusal(
        "not_allowed",
        f"`allow` of {rule.name} permits {permitted}, not `{request.method} {path}`",
        f"to permit it, add `{request.method} {path}` to `allow` in authsome.yaml",
        rule.name,
    )


def _naming(lines: Iterable[Allowed], method: str, path: str) -> Allowed | None:
    """Return the first line that names a request."""
    return next((line for line in lines if line.method in ("*", method) and matches(line.path, path)), None)


def _trick(request: Request, path: str, query: str) -> str | None:
    """Return what in the request could make the upstream see another method or path, or None."""
    for name, _ in request.headers:
        if name.replace("_", "-") in _OVERRIDES:
            return f"the header `{name}`"
    for part in re.split("[&;]", query):
        name, value = (unquote_plus(text).strip() for text in part.partition("=")[::2])
        overrides = re.sub(r"[^a-z]", "", name.lower()) in _OVERRIDING_QUERY and value.upper() != request.method
        if overrides and (name.lower() != "method" or value.upper() in _VERBS):
            return "a method in the query"
    return "dots, slashes or escapes in the path" if _AMBIGUOUS.search(path) else None


_NEVER_TRAILING = frozenset({"host", "te", "trailer", "connection", "upgrade", "expect", "cookie", "range", "origin"})


def may_trail(rule: Rule, name: str, value: str) -> bool:
    """Whether a field may follow a request's body: nothing that decides where it goes, whose it is or what it does.

    Args:
        name: In lower case.
    """
    plain = name.replace("_", "-")
    known = plain in _NEVER_TRAILING or plain in _OVERRIDES or plain in rule.credential_headers
    routing = plain.startswith(("content-", "transfer-", "proxy-", "x-forwarded-", "if-"))
    return not (known or routing or mentions(readable(value)) or _NOT_IN_VALUE.search(value))


def _place(rule: Rule, request: Request, permitted: Allowed | None) -> Decision:
    """Return where the secret goes, after a look for placeholders that would leave unreplaced."""
    readings = _readings(request.path.partition("?")[0])
    fitting = tuple(
        place
        for place in rule.placements
        if covered(request.target, place.hosts)
        and (not (place.paths or place.path) or (readings and all(map(place.serves, readings))))
    )
    rest = request.path
    for place in fitting:
        rest = place.without(rest)
    # NOTE: a CGI-like upstream reads `x_api_key` as `X-Api-Key`: it counts as the credential that it would replace.
    known = rule.credential_headers if fitting else frozenset()
    replaced = known | {name for name, _ in request.headers if name.replace("_", "-") in known}
    left = [name for name, value in request.headers if name not in replaced and mentions(readable(value))]
    if mentions(unquote(rest)):
        left.append("the path or query")
    if left:
        return Refusal(
            "placeholder_misplaced",
            f"the placeholder stands in {', '.join(left)}, where {rule.provider} takes no credential",
            f"send it as {rule.placements[0].place}",
            rule.name,
        )
    if not fitting:
        return _unclear(rule, request, readings) or Pass(rule, permitted)
    if any(place.query for place in fitting) and ("#" in request.path or request.path == "*"):
        return Refusal("malformed_request", "the target has no query that a key could stand in", None, rule.name, 400)
    return Inject(rule, fitting, replaced, permitted)


def _unclear(rule: Rule, request: Request, readings: set[str]) -> Refusal | None:
    """Refuse a path without the secret that the upstream could read as one with it, and with another key in it.

    NOTE: else an agent would only have to spell a path strangely to send data to an account of somebody else.
    """
    here = (place for place in rule.placements if covered(request.target, place.hosts))
    plain = unquote(request.path.partition("?")[0])
    readings = readings and {*readings, plain}
    unclear = [place for place in here if not readings or any(map(place.serves, readings))]
    brings_one = any(name.replace("_", "-") in rule.credential_headers for name, _ in request.headers)
    if not (any(place.path for place in unclear) or (unclear and brings_one)):
        return None
    return Refusal(
        "not_allowed",
        f"dots, slashes or escapes in the path could mean another request upstream, with another key than {rule.name}",
        "write the path plainly",
        rule.name,
    )


def _readings(path: str) -> set[str]:
    """Return as what an upstream may read a path; none at all if one of them would be another request.

    NOTE: APIs take `group%2Fproject` for a name, so an escaped slash or dot is no trick by itself. But some upstreams
    read it as the slash or dot it stands for: a secret that is for certain paths goes along where each reading is one.
    """
    dotted = _ESCAPED_DOT.sub(".", path)
    plain = _ESCAPED_SLASH.sub("/", dotted)
    return set() if _AMBIGUOUS.search(plain) else {path, dotted, plain, _ESCAPED_SLASH.sub("/", path)}


def unfit(rule: Rule) -> Refusal:
    """Refuse to send a key in a way that is not for its kind."""
    reason = f"the key of {rule.name} is of a kind that this request takes none of"
    return Refusal("key_unfit", reason, f"{login_command(rule.provider, rule.connection)} --force", rule.name)
