"""What a run would do with a request, and which condition decided it.

Promises the proxy's own answer: the decision is that of `rules`, asked with the request a client would send for a URL.
Refuses to show a query or a user's name and password: both may hold secrets, so an `Answer` has neither.
"""

import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit

from authsome.errors import AuthsomeError, ExitCode
from authsome.plan import State, Step
from authsome.provider import Host, Placement, covered, placeholder
from authsome.rules import Decision, Inject, Pass, Refusal, Request, Rules, malformed

_PORTS = {"https": 443, "wss": 443, "ws": 80, "http": 80}
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]")


class Outcome(StrEnum):
    """What becomes of the request."""

    INJECTED = "injected"
    PASSED = "passed"
    TUNNELLED = "tunnelled"
    FORWARDED = "forwarded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition; `passed` is None where it does not apply or cannot be told."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome and how it came about.

    Attributes:
        checks: The conditions in their order, up to the first that fails.
        place: Where the secret goes, as the end of a sentence; None without one.
        allow: The line of the manifest that permits the request; None where nothing is restricted.
    """

    method: str
    url: str
    outcome: Outcome
    checks: tuple[Check, ...]
    connection: str | None = None
    place: str | None = None
    allow: str | None = None
    refusal: Refusal | None = None

    @property
    def code(self) -> ExitCode:
        """The exit code of `authsome why`."""
        if self.refusal is None:
            return ExitCode.DONE
        return ExitCode.MISSING if self.refusal.error == "not_connected" else ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class Asked:
    """A URL taken apart as a client does it; `target` holds the query and is not for showing."""

    method: str
    scheme: str
    host: Host
    target: str
    authorization: str | None
    connection: str | None

    def _with(self, held: str, place: Placement | None) -> Request:
        """Return the request of a client that holds a placeholder."""
        headers: tuple[tuple[str, str], ...] = (("authorization", held),)
        target = self.target
        if place and not place.sigv4:
            said: defaultdict[str, str] = defaultdict(lambda: held)
            headers = tuple((name.lower(), value) for name, value in place.fields(said))
            target = place.target(self.target, said)
        return Request(self.host, self.host.name, (str(self.host),), self.method, target, headers)

    @property
    def shown(self) -> str:
        """The URL without user, query and fragment."""
        port = "" if self.host.port == _PORTS[self.scheme] else f":{self.host.port}"
        name = f"[{self.host.name}]" if ":" in self.host.name else self.host.name
        return f"{self.scheme}://{name}{port}{self.target.partition('?')[0]}"

    def request(self, rules: Rules) -> Request:
        """Return what the proxy would see; a connection is named by its placeholder, where its client puts it."""
        headers: tuple[tuple[str, str], ...] = ()
        if self.connection is not None:
            places = (place for rule in rules.rules for place in rule.placements if covered(self.host, place.hosts))
            return self._with(placeholder(self.connection), next(places, None))
        if self.authorization is not None:
            headers = (("authorization", self.authorization),)
        return Request(self.host, self.host.name, (str(self.host),), self.method, self.target, headers)


def parse(url: str, method: str, connection: str | None = None) -> Asked:
    """Return what a client would ask for; what none could send is an error (exit code 2) that does not quote it."""
    if _NOT_IN_URL.search(url):
        raise _not_a_url("it holds a space or a control character")
    try:
        parts = urlsplit(url)
        port, name = parts.port, _ascii(parts.hostname or "")
    except ValueError:
        raise _not_a_url("its host or port cannot be read") from None
    if parts.scheme not in _PORTS:
        raise _not_a_url("a run carries https, http, wss and ws only")
    if not name or "\\" in parts.netloc:
        raise _not_a_url("it names no host")
    host = Host(name, _PORTS[parts.scheme] if port is None else port)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    userinfo = parts.netloc.rpartition("@")[0]
    basic = "Basic " + b64encode(unquote(userinfo).encode()).decode() if userinfo else None
    return Asked(method, parts.scheme, host, quote(target, safe=_VISIBLE), basic, connection)


def _ascii(name: str) -> str:
    """Return a host name as it goes over the wire: `bücher.example` is `xn--bcher-kva.example`."""
    return name if name.isascii() else name.encode("idna").decode()


def _not_a_url(wrong: str) -> AuthsomeError:
    return AuthsomeError(f"this URL cannot be asked about: {wrong}", hint="authsome why --help", code=ExitCode.USAGE)


def explain(asked: Asked, rules: Rules, steps: Mapping[str, Step] | None) -> Answer:
    """Return what a run with these rules would do.

    Args:
        asked: The request.
        rules: Those of the run; `held` says which connections are in place.
        steps: The plan by connection, None where the vault could not be opened.
    """
    decision = _as_planned(_decide(asked, rules), steps or {})
    return Answer(
        asked.method,
        asked.shown,
        _outcome(asked, decision),
        tuple(_until_failed(_checks(asked, rules, decision, steps), decision)),
        _connection(decision),
        decision.placements[0].place if isinstance(decision, Inject) else None,
        str(decision.permitted) if isinstance(decision, Inject | Pass) and decision.permitted else None,
        decision if isinstance(decision, Refusal) else None,
    )


def _decide(asked: Asked, rules: Rules) -> Decision | None:
    """Return the proxy's decision; None for a host that nobody declares and that may be reached."""
    request = asked.request(rules)
    if asked.scheme == "http":
        return malformed(request.method, request.path, request.headers) or rules.refuses_plain(asked.host)
    return rules.decide(request) if rules.decrypts(asked.host) else rules.refuses(asked.host)


def _as_planned(decision: Decision | None, steps: Mapping[str, Step]) -> Decision | None:
    """Say what a run would do about a connection that is not in place: for a required one it does not get as far."""
    if not (isinstance(decision, Refusal) and decision.error == "not_connected"):
        return decision
    step = steps[decision.connection or ""]
    if step.state is State.ABSENT:
        return decision
    then = "a run asks for it first and does not start without it" if step.required else "a run starts without it"
    told = f"{step.state} ({step.detail})" if step.detail else str(step.state)
    return replace(decision, reason=f"{step.name}: {told}; {then}", hint=step.command)


def _outcome(asked: Asked, decision: Decision | None) -> Outcome:
    if decision is None:
        return Outcome.FORWARDED if asked.scheme == "http" else Outcome.TUNNELLED
    return {Inject: Outcome.INJECTED, Pass: Outcome.PASSED, Refusal: Outcome.REFUSED}[type(decision)]


def _connection(decision: Decision | None) -> str | None:
    if isinstance(decision, Inject | Pass):
        return decision.rule.name
    return decision.connection if decision else None


type _Stage = tuple[str, frozenset[str], bool | None, str]
"""A condition: its name, the errors that mean it failed, and what holds otherwise."""


def _until_failed(stages: Iterator[_Stage], decision: Decision | None) -> Iterator[Check]:
    for name, errors, passed, detail in stages:
        if isinstance(decision, Refusal) and decision.error in errors:
            yield Check(name, False, decision.reason)
            return
        yield Check(name, passed, detail)


def _checks(
    asked: Asked, rules: Rules, decision: Decision | None, steps: Mapping[str, Step] | None
) -> Iterator[_Stage]:
    """Yield the conditions in the order in which a request meets them."""
    none: frozenset[str] = frozenset()
    encrypted = asked.scheme in ("https", "wss")
    if asked.scheme == "http":
        yield "request", frozenset({"malformed_request"}), True, "reads in one way only"
    yield (
        "https",
        frozenset({"not_encrypted"}),
        encrypted or None,
        "the host alone can read it" if encrypted else "no, and so without a credential",
    )
    owner = next((r.provider for r in rules.rules for place in r.placements if covered(asked.host, place.hosts)), None)
    if owner is None or not rules.decrypts(asked.host):
        yield "host declared", frozenset({"egress_denied"}), None, _undeclared(asked, rules)
        return
    yield "host declared", none, True, f"by {owner}"
    yield "request", frozenset({"malformed_request", "host_mismatch"}), True, "reads in one way only"
    name = _connection(decision) or owner
    yield "connection", frozenset({"no_such_connection", "ambiguous_connection"}), True, name
    yield from _vault_stages(name, steps)
    permitted = decision.permitted if isinstance(decision, Inject | Pass) else None
    line = f"by `{permitted}`" if permitted else "the manifest restricts nothing here"
    yield "path allowed", frozenset({"not_allowed"}), True, line
    placed = (
        f"goes into {decision.placements[0].place}"
        if isinstance(decision, Inject)
        else f"none: {owner} takes no credential on this path"
    )
    yield "secret", frozenset({"placeholder_misplaced"}), isinstance(decision, Inject) or None, placed


def _vault_stages(name: str, steps: Mapping[str, Step] | None) -> Iterator[_Stage]:
    """Yield what the vault says about a connection; a failure of either is the proxy's `not_connected`."""
    lacking = frozenset({"not_connected"})
    step = (steps or {}).get(name)
    if step is None:
        yield "host agreed to", frozenset(), None, "not known, the vault is locked"
        yield "in place", lacking, None, "not known, the vault is locked"
        return
    held = step.state not in (State.MISSING, State.ABSENT)
    if held:
        changed = step.state is State.HOSTS_CHANGED
        yield "host agreed to", lacking if changed else frozenset(), True, "when the credential was given"
    yield "in place", lacking, True, "the vault holds it"


def _undeclared(asked: Asked, rules: Rules) -> str:
    """Say that nobody declares a host, and which declared one is close to it."""
    bare = asked.host.name.rstrip(".")
    near = sorted(str(host) for host in rules.hosts if host.name == bare)
    told = f"nobody declares `{asked.host}`"
    return f"{told}; declared is `{'`, `'.join(near)}`" if near else told
