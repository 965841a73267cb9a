"""Test requests, sent as an agent sends its own: with a placeholder, through the proxy of a run.

Promises that what sends a request has no secret, that each has an end whatever the other side does, that no more of a
reply is read than tells something, and that nothing is written but the log of uses. Refuses to believe a provider that
it is the proxy: what the proxy refused, it has also recorded as refused.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import authsome
from authsome import trial
from authsome.errors import AuthsomeError
from authsome.manifest import Allowed, Declared
from authsome.provider import TestRequest, covered
from authsome.proxy import Log, Proxy
from authsome.proxy.authority import Authority
from authsome.proxy.http1 import Client
from authsome.proxy.message import Answered, Asked, Fields, RefusedError, UpstreamGoneError
from authsome.proxy.pipe import Line
from authsome.proxy.reach import Reach
from authsome.proxy.upstream import ParentProxy, Upstream
from authsome.rules import Inject, Refusal, Request, Rules, Use
from authsome.session import Session
from authsome.trial import Finding, State

SECONDS = 10.0
"""How long a reply may take, from the request to the end of what is read of it."""

_AT_ONCE = 16
_SLOW_SECONDS = 1.0
_RECORDED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """How the trial of one connection ended.

    Attributes:
        method: Of the request, as `host` and `path` are; None if there is none.
        path: Without query, and with the placeholder where a secret stands.
        permitted: Whether the manifest's `allow` lets an agent send it; None without a request.
        status: What the provider answered.
        error: The proxy's word for why it did not carry the request.
        hint: What mends it, as the proxy says.
        milliseconds: From the request to the end of what was read.
    """

    declared: Declared
    finding: Finding
    method: str | None = None
    host: str | None = None
    path: str | None = None
    permitted: bool | None = None
    status: int | None = None
    error: str | None = None
    hint: str | None = None
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """One request as it will be sent.

    Attributes:
        result: What is known before.
    """

    result: Result
    test: TestRequest
    request: Request

    @property
    def asked(self) -> Asked:
        """The head that is sent."""
        host = str(self.test.host).encode()
        fields = [
            (b"Host", host),
            (b"User-Agent", f"authsome/{authsome.__version__}".encode()),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            *((name.encode(), value.encode()) for name, value in self.request.headers),
            *([(b"Content-Length", b"0")] if self.test.method == "POST" else []),  # RFC 9110, 8.6
        ]
        target = self.request.path.encode()
        return Asked(self.test.method.encode(), target, (host,), Fields(fields), "1.1", bodiless=True)


@dataclass(frozen=True, slots=True)
class Ready:
    """What is to be sent, and what needs no sending to be known.

    Attributes:
        rules: Those of a run, in which the requests themselves are permitted.
    """

    rules: Rules
    each: tuple[Errand | Result, ...]

    @property
    def sends(self) -> bool:
        """Whether there is anything to send."""
        return any(isinstance(each, Errand) for each in self.each)

    @property
    def known(self) -> list[Result]:
        """What is known without sending anything, in the order of `each`."""
        return [each.result if isinstance(each, Errand) else each for each in self.each]


def prepare(wanted: Sequence[Declared], made: Rules, live: Session) -> Ready:
    """Return the test requests of connections that are in place, each as an agent's client would put it."""
    found: list[Errand | Result] = []
    for declared in wanted:
        errand = _prepared(declared, made, live)
        if isinstance(errand, Errand) and not errand.result.permitted:
            made = _permitting(made, errand)
        found.append(errand)
    return Ready(made, tuple(found))


def _prepared(declared: Declared, made: Rules, live: Session) -> Errand | Result:
    provider = declared.provider
    if provider.test is None:
        return Result(declared, Finding(State.NO_TEST, "nothing is known to test it with"))
    said = {each.name: live.shown(declared, each.name) for each in provider.fields} | dict(live.settings(declared))
    test = trial.filled(provider.test, said)
    path = test.target.partition("?")[0]
    known = Result(declared, _UNSENT, test.method, str(test.host), made.shown(test.host, path))
    here = (place for place in provider.placements if covered(test.host, place.hosts) and place.serves(path))
    place = next(here, None)
    if place is None:
        return replace(known, finding=Finding(State.NO_TEST, f"{test.host} would get no key at {known.path}"))
    headers = tuple((name.lower(), value) for name, value in place.fields(said))
    target = place.target(test.target, said)
    request = Request(test.host, test.host.name, (str(test.host),), test.method, target, headers)
    errand = Errand(replace(known, permitted=True), test, request)
    decided = made.decide(request)
    if isinstance(decided, Refusal) and decided.error == "not_allowed":
        # The manifest restricts the agent. Whoever asks here is the person whose key it is, as at a login.
        errand = replace(errand, result=replace(known, permitted=False))
        decided = _permitting(made, errand).decide(request)
    if isinstance(decided, Inject):
        return errand
    if isinstance(decided, Refusal):
        said_no = Finding(State.NOT_PERMITTED, decided.reason)
        return replace(errand.result, finding=said_no, error=decided.error, hint=decided.hint)
    return replace(known, finding=Finding(State.NO_TEST, f"{test.host} would get no key at {known.path}"))


_UNSENT = Finding(State.UNCLEAR, "nothing was sent")


def _permitting(made: Rules, errand: Errand) -> Rules:
    """Return the rules with this one request permitted."""
    line = Allowed(errand.test.method, errand.request.path.partition("?")[0])
    key = errand.result.declared.key
    wider = (
        replace(rule, allow=(*(rule.allow or ()), line)) if (rule.provider, rule.connection) == key else rule
        for rule in made.rules
    )
    return replace(made, rules=tuple(wider))


def carry(
    ready: Ready,
    live: Session,
    outside: Upstream,
    log: Log,
    *,
    seconds: float = SECONDS,
    slow: Callable[[Sequence[str]], None] = lambda _: None,
) -> list[Result]:
    """Send what is ready, side by side, and return the results in its order.

    Args:
        log: Where the uses are recorded.
        seconds: How long each may take.
        slow: Gets the names of those that are still waited for after a second.
    """
    return asyncio.run(_Carrier(ready, live, outside, log, seconds).carry(slow))


class _Told:
    """A log that also tells what became of the request of a client, by the client's end of its connection."""

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self._log, self._loop = log, loop
        self._uses: dict[tuple[str, int], asyncio.Future[Use]] = {}

    def opened(self, peer: tuple[str, int]) -> None:
        self._log.opened(peer)

    def record(self, use: Use) -> None:
        self._log.record(use)
        with suppress(RuntimeError):  # nobody waits for it any more
            self._loop.call_soon_threadsafe(self._note, use)

    def closed(self, peer: tuple[str, int]) -> None:
        self._log.closed(peer)

    def _note(self, use: Use) -> None:
        if use.peer is not None and not (known := self._of(use.peer)).done():
            known.set_result(use)

    def _of(self, peer: tuple[str, int]) -> asyncio.Future[Use]:
        return self._uses.setdefault(peer, self._loop.create_future())

    async def decision(self, peer: tuple[str, int]) -> str | None:
        """Return what was decided, None if that is not told."""
        try:
            return (await asyncio.wait_for(self._of(peer), _RECORDED_SECONDS)).decision
        except TimeoutError:
            return None


class _Carrier:
    """One proxy and the requests that go through it."""

    def __init__(self, ready: Ready, live: Session, outside: Upstream, log: Log, seconds: float) -> None:
        self._ready, self._live, self._log, self._seconds = ready, live, log, seconds
        authority = Authority({host.name for host in ready.rules.hosts}, datetime.now(UTC))
        self._proxy = Proxy(ready.rules, live, authority, outside)
        # What a child of a run would find in HTTPS_PROXY and SSL_CERT_FILE.
        self._reach = Reach(Upstream(authority.pem, _parent(self._proxy.url)))
        self._serving, self._turns = asyncio.Event(), asyncio.Semaphore(_AT_ONCE)
        self._broken: list[BaseException] = []

    async def carry(self, slow: Callable[[Sequence[str]], None]) -> list[Result]:
        """Send everything and wait for what comes."""
        loop = asyncio.get_running_loop()
        told = _Told(self._log, loop)

        def serving() -> None:
            loop.call_soon_threadsafe(self._serving.set)

        try:
            self._proxy.start(partial(self._failed, serving), told, serving)
            tasks = [asyncio.ensure_future(self._result(each, told)) for each in self._ready.each]
            _, waiting = await asyncio.wait(tasks, timeout=_SLOW_SECONDS)
            if waiting:
                known = zip(self._ready.known, tasks, strict=True)
                slow([each.declared.name for each, task in known if task in waiting])
            return await asyncio.gather(*tasks)
        finally:
            self._reach.close()
            self._proxy.stop()

    def _failed(self, serving: Callable[[], None], error: BaseException) -> None:
        self._broken.append(error)
        serving()

    async def _result(self, each: Errand | Result, told: _Told) -> Result:
        if isinstance(each, Result):
            return each
        await self._serving.wait()
        if self._broken:
            raise AuthsomeError(f"the proxy stopped: {type(self._broken[0]).__name__}")
        async with self._turns:
            return await self._sent(each, told)

    async def _sent(self, errand: Errand, told: _Told) -> Result:
        heard, begun = _Heard(errand.test), time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                client, _ = await self._reach.http1(errand.test.host, private=True, fresh=True)
                await heard.hear(client, errand.asked)
        except TimeoutError:
            heard.lost = f"{errand.test.host} did not answer within {self._seconds:g} s"
        except UpstreamGoneError:
            heard.lost = f"the answer of {errand.test.host} broke off"
        except RefusedError as error:
            heard.lost = error.refusal.reason
        finally:
            heard.end()
        result = replace(errand.result, milliseconds=(time.monotonic() - begun) * 1000)
        if heard.answer is None:
            return replace(result, finding=Finding(State.UNREACHABLE, heard.lost))
        if heard.answer.fields.all(_REFUSED):
            # NOTE: a provider can say so, too, and its words would then be ours; the log knows better.
            decision = await told.decision(heard.peer)
            if decision not in (None, "inject", "pass"):
                return _refused(result, decision, bytes(heard.body))
        reply = trial.Reply(heard.answer.status, tuple(_text(heard.answer.fields)), bytes(heard.body))
        finding = trial.read(errand.test, reply, self._live.stand_ins(), time.time())
        return replace(result, finding=finding, status=reply.status)


_REFUSED = b"x-authsome-error"


class _Heard:
    """What was heard of one answer.

    Attributes:
        answer: Its head, once it is there.
        body: No more of it than can tell something.
        lost: Why there is none, or not all of it.
        peer: Our end of the connection.
    """

    def __init__(self, test: TestRequest) -> None:
        self._test = test
        self._client: Client | None = None
        self.answer: Answered | None = None
        self.body = bytearray()
        self.lost = ""
        self.peer: tuple[str, int] = ("", 0)

    async def hear(self, client: Client, asked: Asked) -> None:
        """Ask, and listen for as long as it is of use."""
        self._client = client
        line = client.pipe
        if isinstance(line, Line) and line.transport is not None:
            self.peer = line.transport.get_extra_info("sockname")[:2]
        await client.ask(asked)
        while (answer := await client.answer()).status < _FINAL:
            pass
        self.answer = answer
        if answer.fields.all(_REFUSED) or trial.wants_body(self._test, answer.status):
            while len(self.body) < trial.MOST_READ and (data := await client.read(client.flush)):
                self.body += data
            del self.body[trial.MOST_READ :]

    def end(self) -> None:
        """Let go of the connection; what is not read is not wanted."""
        if self._client is not None:
            self._client.pipe.abort()


_FINAL = 200  # RFC 9110, 15.2: what is below comes before an answer


def _refused(result: Result, decision: str, content: bytes) -> Result:
    """Return what the proxy said instead of an answer."""
    said = json.loads(content)
    state = _REFUSALS.get(decision, State.NOT_PERMITTED)
    return replace(result, finding=Finding(state, said["reason"]), error=decision, hint=said.get("hint"))


_REFUSALS = {
    **dict.fromkeys(("upstream_failed", "upstream_untrusted", "address_not_public"), State.UNREACHABLE),
    **dict.fromkeys(("unreadable_response", "internal"), State.UNCLEAR),
    "key_unfit": State.NO_TEST,
}


def _text(fields: Fields) -> Iterator[tuple[str, str]]:
    for name, value in fields.named():
        yield name.decode("latin-1"), value.decode("latin-1")


def _parent(url: str) -> ParentProxy:
    parts = urlsplit(url)
    return ParentProxy("http", (parts.hostname or "", parts.port or 0), f"{parts.username}:{parts.password}")
