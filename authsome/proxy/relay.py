"""Requests to declared hosts: decided, carried, and their answers looked at.

Promises that `rules` has seen a request before its first octet leaves, that bodies stream in both directions and are
held up only by who takes them, and that an answer which could not be carried to its end does not look whole. Refuses to
send a request twice, but for one that changes nothing, on a kept connection that turned out to be dead, and one that an
API has refused for a token that has been renewed since.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from authsome.provider import SIGNATURE_HEADERS, Host, Placement, mentions
from authsome.proxy import http1, http2
from authsome.proxy.codings import CodingError
from authsome.proxy.exchange import Exchange
from authsome.proxy.gate import Gate
from authsome.proxy.message import (
    Answered,
    Asked,
    Body,
    Call,
    CallerGoneError,
    Fields,
    Pair,
    RefusedError,
    UpstreamGoneError,
    Wire,
    in_json,
    malformed,
    unreadable,
)
from authsome.proxy.pipe import Pipe
from authsome.proxy.reach import Reach, broken_off
from authsome.proxy.renewing import Kept, Renewing
from authsome.proxy.scrub import Scrubber
from authsome.proxy.websocket import Frames
from authsome.rules import Inject, Pass, Refusal, Request, Rule, Use, may_trail, not_encrypted, readable, unfit
from authsome.session import Session

if TYPE_CHECKING:
    from authsome.proxy import Live, signing


@dataclass(slots=True)
class Caller:
    """Whose requests these are.

    Attributes:
        target: The declared host that its CONNECT named.
        sni: The name in its TLS hello; None without one.
        encrypted: Whether it speaks TLS at all.
        multiplexed: Whether it speaks HTTP/2.
    """

    target: Host
    sni: str | None
    encrypted: bool
    multiplexed: bool
    peer: tuple[str, int]
    links: list[tuple[http2.Link, asyncio.Task[None]]] = field(default_factory=list)
    """Connections of HTTP/2 to the upstream: a caller has its own, so that it is held up by nobody else."""
    connecting: asyncio.Lock = field(default_factory=asyncio.Lock)


async def serve(pipe: Pipe, caller: Caller, gate: Gate, reach: Reach) -> None:
    """Answer a caller's requests until it goes."""
    try:
        if caller.multiplexed:
            await _serve_many(pipe, caller, gate, reach)
        else:
            await _serve_in_turn(pipe, caller, gate, reach)
    finally:
        for link, running in caller.links:
            link.pipe.abort()
            running.cancel()


async def _serve_in_turn(pipe: Pipe, caller: Caller, gate: Gate, reach: Reach) -> None:
    server = http1.Server(pipe)
    try:
        while await server.next():
            if not await Turn(server, caller, gate, reach).take():
                return
    except RefusedError as refused:
        await Turn(server, caller, gate, reach).decline(refused.refusal)
    except CallerGoneError:
        pass
    pipe.close()


async def _serve_many(pipe: Pipe, caller: Caller, gate: Gate, reach: Reach) -> None:
    turns: set[asyncio.Task[bool]] = set()

    def opened(call: http2.Call) -> None:
        task = asyncio.ensure_future(Turn(call, caller, gate, reach).take())
        call.flow.tell(task.cancel)
        turns.add(task)

        def over(task: asyncio.Task[bool]) -> None:
            turns.discard(task)
            call.flow.link.forget(call.flow)  # one that was given up at once was never begun

        task.add_done_callback(over)

    def unsound() -> None:
        gate.log.record(Use(time.time(), "", str(caller.target), "", "malformed_request", peer=caller.peer))

    try:
        await http2.Link(pipe, opened, unsound).run()
    finally:
        for task in list(turns):
            task.cancel()
        await asyncio.gather(*turns, return_exceptions=True)


class _RenewedError(Exception):
    """An API has refused the token that a request came with, and there is another one by now."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """The access token that a request has shown.

    Attributes:
        key: The provider and the connection that it is of.
        again: Whether it is not the first one.
    """

    session: Session
    key: tuple[str, str]
    token: str = field(repr=False)
    again: bool


class Turn:
    """One request and its answer."""

    def __init__(self, call: Call, caller: Caller, gate: Gate, reach: Reach) -> None:
        self._call, self._caller, self._gate, self._reach = call, caller, gate, reach
        self._begun = time.monotonic()
        self._at = time.time()
        self._decision = "pass"
        self._connection: str | None = None
        self._status: int | None = None
        self._exchange = Exchange(_UNREAD)
        self._rule: Rule | None = None
        self._answering = self._caller_gone = self._uploading = self._recorded = False
        self._body: Body = call
        self._signer: signing.Signer | None = None
        self._refused: Refusal | None = None
        self._shown: _Shown | None = None
        self._kept: Kept | None = None

    async def take(self) -> bool:
        """Carry the request, or say why not; return whether the caller's connection can be used further."""
        try:
            await self._carry()
        except RefusedError as refused:
            return await self._fail(refused.refusal)
        except UpstreamGoneError as gone:
            return await self._fail(broken_off(self._caller.target.name), gone.code)
        except CallerGoneError:
            self._call.break_off(None)
            return False
        except Exception as error:  # noqa: BLE001  whatever it was, nothing may leave undecided or unread
            return await self._fail(_mistake(error))
        finally:
            if self._signer is not None:
                self._signer.release()
            if self._kept is not None:
                self._kept.release()
            self._call.done()
            self._record()
        return True

    async def _finish(self, trailers: Fields) -> None:
        """End the answer. Who has it all finds it in the log."""
        if not self._uploading:
            self._record()
        await self._call.finish(trailers)

    async def decline(self, refusal: Refusal) -> None:
        """Answer what was no request."""
        await self._fail(refusal)
        self._record()

    async def _fail(self, refusal: Refusal, code: int | None = None) -> bool:
        """Answer with what went wrong; if an answer has begun, break it off."""
        self._decision, self._connection = refusal.error, refusal.connection or self._connection
        try:
            if not self._answering:
                await self._refuse(refusal)
                return True
            await self._call.flush()  # the head at least: without it, nothing would look incomplete
        except CallerGoneError:
            code = None
        self._call.break_off(code)
        return False

    async def _refuse(self, refusal: Refusal) -> None:
        fields, content = self._worded(refusal)
        bodiless = self._call.asked.method == b"HEAD"
        await self._begin(Answered(refusal.status, fields), bodiless=bodiless)
        if not bodiless:
            await self._call.send(content)
        await self._finish(Fields())

    def _worded(self, refusal: Refusal) -> tuple[Fields, bytes]:
        """Return a refusal in words that the client of this host reads."""
        asked, host = self._call.asked, self._caller.target
        if not self._gate.live.rules.signs(host):
            return in_json(refusal)
        from authsome.proxy import signing  # noqa: PLC0415  few runs sign anything

        return signing.worded(refusal, asked, host)

    async def _begin(self, answer: Answered, *, bodiless: bool) -> None:
        self._answering = True
        self._status = answer.status
        await self._call.begin(answer, bodiless=bodiless)

    def _record(self) -> None:
        """Tell of the request, once."""
        if self._recorded:
            return
        self._recorded = True
        asked, exchange = self._call.asked, self._exchange
        self._gate.log.record(
            Use(
                self._at,
                asked.method.decode("latin-1"),
                str(self._caller.target),
                self._gate.live.rules.shown(self._caller.target, asked.path.decode("latin-1").partition("?")[0]),
                self._decision,
                connection=self._connection,
                status=self._status,
                sent=exchange.sent,
                received=exchange.received,
                milliseconds=(time.monotonic() - self._begun) * 1000,
                peer=self._caller.peer,
            )
        )

    # Deciding.

    async def _carry(self) -> None:
        if not self._caller.encrypted:
            raise RefusedError(not_encrypted(self._caller.target))
        if self._call.asked.wrong:
            raise RefusedError(malformed(self._call.asked.wrong))
        live, decision = self._decide()
        renewing = self._gate.renewing
        if renewing is None or isinstance(decision, Pass):
            await self._leave(live, decision)
            return
        if renewing.due(live.session, decision.rule.key):
            await renewing.before(live.session, decision.rule.key)
            live, decision = self._decide()  # it took its time: what holds now may be something else
        self._show(live.session, decision, renewing)
        try:
            await self._leave(live, decision)
        except _RenewedError:
            live, decision = self._decide()
            self._show(live.session, decision, renewing)
            await self._leave(live, decision)

    def _decide(self) -> "tuple[Live, Inject | Pass]":
        """Return what becomes of the request, and under which rules and secrets."""
        live = self._gate.live
        decision = live.rules.decide(_describe(self._call.asked, self._caller))
        if isinstance(decision, Refusal):
            raise RefusedError(decision)
        self._rule, self._connection = decision.rule, decision.rule.name
        self._decision = "inject" if isinstance(decision, Inject) else "pass"
        return live, decision

    def _show(self, session: Session, decision: Inject | Pass, renewing: Renewing) -> None:
        """Take note of the access token that the request is about to show, if it is one that can be renewed."""
        again = self._shown is not None
        key = decision.rule.key
        token = renewing.token(session, key)
        signed = isinstance(decision, Inject) and any(place.sigv4 for place in decision.placements)
        if token is None or isinstance(decision, Pass) or signed:
            self._shown = None
            return
        self._shown = _Shown(session, key, token, again=again)
        if self._kept is not None:
            self._kept.rewind()
        elif not self._call.asked.bodiless:
            self._body = self._kept = Kept(self._call, renewing.room)

    async def _leave(self, live: "Live", decision: Inject | Pass) -> None:
        scrubber = self._gate.scrubber(live)
        self._exchange = Exchange(scrubber, self._gate.newest) if decision.rule.scrub else Exchange(_UNREAD)
        asked = _for_one_hop(self._call.asked, self._caller.target, self._exchange)
        if isinstance(decision, Inject):
            signs = any(place.sigv4 for place in decision.placements)
            asked = await self._sign(asked, decision, live.session) if signs else inject(asked, decision, live.session)
        await self._ask(asked, private=live.rules.may_be_private(self._caller.target))

    async def _sign(self, asked: Asked, decision: Inject, session: Session) -> Asked:
        """Return the request as it leaves; what is signed may have to be read first."""
        placement, secrets = _chosen(decision, session)
        if placement.sigv4 is None:
            return inject(asked, decision, session)
        from authsome.proxy import signing  # noqa: PLC0415  few runs sign anything

        self._signer = signing.Signer(self._call, self._gate.room)
        keys = signing.keys(placement.sigv4, secrets)
        signed, self._body = await self._signer.sign(_unsigned(asked, decision, placement), keys)
        return signed

    # Carrying.

    async def _ask(self, asked: Asked, *, private: bool) -> None:
        """Send the request; once more where it is known that the first time it was not looked at."""
        repeatable = asked.bodiless and asked.method in _CHANGES_NOTHING
        wire, kept = await self._wire(private=private, fresh=False)
        try:
            await self._once(wire, asked)
        except UpstreamGoneError as gone:
            # RFC 9110, 9.2.2: only what is idempotent, and only where a connection had gone stale.
            again = (kept and gone.silent and repeatable) or (gone.untouched and asked.bodiless)
            if self._answering or not again:
                raise
            wire, _ = await self._wire(private=private, fresh=True)
            await self._once(wire, asked)

    async def _wire(self, *, private: bool, fresh: bool) -> tuple[Wire, bool]:
        if not self._caller.multiplexed:
            return await self._reach.http1(self._caller.target, private=private, fresh=fresh)
        links = self._caller.links
        async with self._caller.connecting:
            links[:] = [each for each in links if not each[1].done()]
            free = next((link for link, _ in links if link.room), None)
            if free is not None and not fresh:
                return http2.Wire(free), True
            links.append(await self._reach.http2(self._caller.target, private=private))
            return http2.Wire(links[-1][0]), False

    async def _once(self, wire: Wire, asked: Asked) -> None:
        upload: asyncio.Task[None] | None = None
        try:
            await wire.ask(asked)
            if not asked.bodiless:
                upload = asyncio.ensure_future(self._upload(wire))
            await self._answer(wire)
            if upload is not None and self._wants_the_rest(asked):
                wire.when_lost(upload.cancel)
                await asyncio.wait([upload])
                if not upload.cancelled():
                    upload.result()  # a mistake of ours is told
        except UpstreamGoneError:
            if self._refused is not None:
                raise RefusedError(self._refused) from None
            if self._caller_gone:
                raise CallerGoneError from None
            raise
        finally:
            if upload is not None:
                upload.cancel()
            wire.release()
            if upload is not None:
                await asyncio.gather(upload, return_exceptions=True)

    def _wants_the_rest(self, asked: Asked) -> bool:
        """Whether an upstream that has answered may still want the rest of the body: not if it refuses.

        A caller that waited for a word to go on (RFC 9110, 10.1.1) sends nothing after this one.
        """
        begun = self._exchange.sent > 0 or not asked.fields.all(b"expect")
        return begun and self._status is not None and self._status < _FAILED

    async def _upload(self, wire: Wire) -> None:
        self._uploading = True
        try:
            while data := await self._body.read(wire.flush):
                await wire.send(self._exchange.send(data))
            if self._call.asked.length not in (None, self._exchange.sent):
                raise CallerGoneError  # noqa: TRY301  it gave up, or lied
            await wire.finish(self._permitted(self._call.trailers))
        except CallerGoneError:
            self._caller_gone = True
            wire.release()  # whoever waits for the answer is told so
        except RefusedError as refused:
            self._refused = refused.refusal
            wire.release()
        except UpstreamGoneError:
            pass  # it may have answered before it went
        except Exception:  # NOTE: whatever it was, a mistake of ours must not leave somebody waiting for ever
            wire.release()
            raise
        finally:
            self._uploading = False

    def _permitted(self, trailers: Fields) -> Fields:
        """Return what of a request's trailers may follow it; an intermediary may drop any (RFC 9110, 6.5.1)."""
        read = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in trailers.named())
        rule = self._rule
        return Fields(
            pair
            for pair, (name, value) in zip(trailers.pairs, read, strict=True)
            if rule is not None and may_trail(rule, name, value)
        )

    async def _answer(self, wire: Wire) -> None:
        """Carry the answer back, each piece as it comes."""
        call, exchange = self._call, self._exchange
        while (answer := await wire.answer()).status < 200:  # noqa: PLR2004  RFC 9110, 15.2
            seen = self._seen(answer)
            if answer.status == _SWITCHING:
                await self._switch(wire, seen)
                return
            await call.inform(seen)
        if answer.status == _UNAUTHORIZED and await self._has_other_token():
            await self._run_dry(wire)
            raise _RenewedError
        if answer.status < _FAILED and self._shown is not None and self._gate.renewing is not None:
            self._gate.renewing.worked(self._shown.key, self._shown.token)
        seen = self._expect(answer)
        await self._begin(seen, bodiless=exchange.bodiless)
        while data := await wire.read(call.flush):
            await self._pass_on(data)
        await self._pass_on(b"")
        await self._finish(exchange.head(wire.trailers))

    async def _has_other_token(self) -> bool:
        """Whether a request that an API has refused for its token can be sent again with another one."""
        shown, renewing = self._shown, self._gate.renewing
        if shown is None or renewing is None:
            return False
        if shown.again:
            renewing.was_pointless(shown.key, shown.token)
            return False
        renewed = await renewing.after(shown.session, shown.key, shown.token)
        return renewed and (self._kept is None or self._kept.whole)

    async def _run_dry(self, wire: Wire) -> None:
        """Read the rest of an answer that nobody gets, unless it is long, so that its connection can be used again."""
        left = _SHORT
        with suppress(UpstreamGoneError, TimeoutError):
            async with asyncio.timeout(_SHORT_SECONDS):
                while left > 0 and (data := await wire.read(wire.flush)):
                    left -= len(data)

    async def _pass_on(self, data: bytes) -> None:
        try:
            for piece in self._exchange.receive(data):
                if piece:
                    await self._call.send(piece)
                else:
                    await asyncio.sleep(0)  # what expands to very much must not hold up everybody else
        except CodingError:
            raise UpstreamGoneError from None  # it is damaged, and nobody here has done it

    def _seen(self, answer: Answered) -> Answered:
        exchange = self._exchange
        return Answered(answer.status, exchange.head(answer.fields), exchange.scrubber.once(answer.reason))

    def _expect(self, answer: Answered) -> Answered:
        """Return the head of an answer as the child sees it, prepared for the body that follows."""
        exchange, seen = self._exchange, self._seen(answer)
        # NOTE: as the child sees it, because a refusal quotes it.
        coding = b", ".join(seen.fields.all(b"content-encoding")).decode("latin-1")
        # NOTE: octet by octet: to an upstream `head` is another method, whose answer has a body.
        if self._call.asked.method == b"HEAD" or answer.status in _BODILESS:
            exchange.expect_nothing()
        elif not exchange.readable(coding, answer.status):
            raise RefusedError(unreadable(coding))
        return replace(seen, fields=seen.fields.without(_OF_THE_BODY)) if exchange.recodes else seen

    # A changed protocol.

    async def _switch(self, wire: Wire, answer: Answered) -> None:
        """Carry a WebSocket; what the upstream says in it is looked at."""
        call = self._call
        if not (isinstance(wire, http1.Client) and isinstance(call, http1.Server)):
            raise UpstreamGoneError
        if answer.fields.options(b"upgrade") != [b"websocket"] or not call.asked.fields.all(b"upgrade"):
            raise RefusedError(unreadable("of another protocol"))
        if answer.fields.all(b"sec-websocket-extensions"):
            raise RefusedError(unreadable("of an extension of WebSocket"))
        self._answering = True
        self._status = answer.status
        near, said = await call.switch(answer)
        far, heard = wire.switched()
        towards = asyncio.ensure_future(self._say(near, far, said))
        back = asyncio.ensure_future(self._hear(far, near, heard))
        try:
            await asyncio.wait([towards, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (towards, back):
                task.cancel()
            await asyncio.gather(towards, back, return_exceptions=True)
            near.close()
            far.close()

    async def _say(self, near: Pipe, far: Pipe, data: bytes) -> None:
        """Carry what the child says, which is nothing that has to be hidden from the upstream."""
        frames = Frames(_UNREAD, asks=True)
        data = data or await near.read()
        while data:
            far.write(self._exchange.send(frames.feed(data)))
            await far.flush()
            data = await near.read()

    async def _hear(self, far: Pipe, near: Pipe, data: bytes) -> None:
        """Carry what the upstream says, as far as the child may know it."""
        frames = Frames(self._exchange.scrubber, asks=False)
        data = data or await far.read()
        while data:
            self._exchange.renew()
            frames.look_for(self._exchange.scrubber)
            seen = frames.feed(data)
            self._exchange.received += len(seen)
            near.write(seen)
            await near.flush()
            data = await far.read()


_UNREAD = Scrubber({})
_SWITCHING = 101
_FAILED = 400
_UNAUTHORIZED = 401
_SHORT, _SHORT_SECONDS = 1 << 16, 0.5
_BODILESS = frozenset({204, 304})  # RFC 9112, 6.3
_CHANGES_NOTHING = frozenset({b"GET", b"HEAD", b"OPTIONS"})  # RFC 9110, 9.2.1
# Said of the octets that the upstream compressed, which are not those that the child gets.
_OF_THE_BODY = frozenset({b"content-length", b"content-md5", b"digest", b"content-digest"})


def _describe(asked: Asked, caller: Caller) -> Request:
    """Return what `rules` looks at, octet by octet: decoding could hide what will be sent."""
    hosts = tuple(host.decode("latin-1") for host in asked.hosts)
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in asked.fields.named())
    method, path = asked.method.decode("latin-1"), asked.path.decode("latin-1")
    return Request(caller.target, caller.sni, hosts, method, path, headers)


_OF_ONE_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"transfer-encoding"),
        *(b"upgrade", b"host", b"accept-encoding"),
    }
)
"""What is said to us, and said anew to the upstream (RFC 9110, 7.6.1)."""


def _for_one_hop(asked: Asked, target: Host, exchange: Exchange) -> Asked:
    """Return a request as it is said to the upstream, which is known by one name."""
    fields, host = asked.fields, str(target).encode()
    named = frozenset(fields.options(b"connection")) - {b"content-length"}
    kept = fields.without(_OF_ONE_HOP | named)
    more: list[Pair] = []
    if _asks_for_websocket(asked, named):
        more.append((b"Upgrade", b"websocket"))
        # NOTE: what an extension does to a frame cannot be read; permessage-deflate alone is ever asked for.
        kept = kept.without(_EXTENSIONS)
    if any(option.partition(b";")[0].strip() == b"trailers" for option in fields.options(b"te")):
        more.append((b"TE", b"trailers"))
    codings = fields.all(b"accept-encoding")
    wanted = b", ".join(codings).decode("latin-1") if codings else None
    if (accepted := exchange.accept(wanted, ranged=bool(fields.all(b"range")))) is not None:
        more.append((b"Accept-Encoding", accepted.encode("latin-1")))
    said = Fields([(b"Host", host), *kept.pairs, *more])
    return Asked(asked.method, asked.path, (host,), said, asked.version, asked.bodiless)


_EXTENSIONS = frozenset({b"sec-websocket-extensions"})


def _asks_for_websocket(asked: Asked, named: frozenset[bytes]) -> bool:
    """Whether a request may change the protocol: to the one whose messages are read, and to no other.

    NOTE: after a 101 nothing is decided any more; `h2c` would carry requests that `allow` never sees.
    """
    version, protocol = asked.fields.all(b"sec-websocket-version"), asked.fields.options(b"upgrade")
    return asked.version == "1.1" and b"upgrade" in named and protocol == [b"websocket"] and version == [b"13"]


def inject(asked: Asked, decision: Inject, session: Session) -> Asked:
    """Return the request as it leaves, with the secrets in their places and nothing else of a credential; secret."""
    rule = decision.rule
    placement, secrets = _chosen(decision, session)
    kept = frozenset(name for name in placement.yields if _of_its_own(asked.fields, name))
    gone = (decision.drop | placement.header_names) - kept
    fields = asked.fields.without(frozenset(name.encode("latin-1") for name in gone))
    more = _constants(rule, fields)
    secret = [(name.encode(), value.encode()) for name, value in placement.fields(secrets) if name.lower() not in kept]
    said = fields.plus(*more, *secret)
    path = asked.path.decode("latin-1")
    for other in decision.placements:
        path = other.unasked(path)  # what is for keys of another kind could be read as the credential all the same
    if mentions(unquote(placement.without(path))):
        raise RefusedError(unfit(rule))  # in the path, where only keys of another kind belong
    path = placement.target(path, secrets)
    return Asked(asked.method, path.encode("latin-1"), asked.hosts, said, asked.version, asked.bodiless)


def _of_its_own(fields: Fields, name: str) -> bool:
    """Whether a client has filled a header, once, with something else than what stands in for the credential."""
    said = [value.decode("latin-1") for value in fields.all(name.encode("latin-1"))]
    return len(said) == 1 and bool(said[0].strip()) and not mentions(readable(said[0]))


def _chosen(decision: Inject, session: Session) -> tuple[Placement, Mapping[str, str]]:
    """Return the way that suits the kind of the key, and the connection's fields, which are secret."""
    rule = decision.rule
    secrets = session.secrets(rule.provider, rule.connection)
    placement = next((each for each in decision.placements if each.suits(secrets)), None)
    if placement is None:
        raise RefusedError(unfit(rule))
    return placement, secrets


def _constants(rule: Rule, fields: Fields) -> list[Pair]:
    more = [(name.encode(), value.encode()) for name, value in rule.constant_headers]
    return [(name, value) for name, value in more if not fields.all(name.lower())]


def _unsigned(asked: Asked, decision: Inject, placement: Placement) -> Asked:
    """Return what is signed: the request with the child's signature, and without any other credential."""
    gone = frozenset(name.encode("latin-1") for name in decision.drop - SIGNATURE_HEADERS)
    fields = asked.fields.without(gone)
    fields = fields.plus(*_constants(decision.rule, fields))
    path = asked.path.decode("latin-1")
    for other in decision.placements:
        if other.sigv4 is None:
            path = other.unasked(path)
    if mentions(unquote(placement.without(path))):
        raise RefusedError(unfit(decision.rule))
    return Asked(asked.method, path.encode("latin-1"), asked.hosts, fields, asked.version, asked.bodiless)


def _mistake(error: Exception) -> Refusal:
    """Return that it is our fault. NOTE: the error's own words may quote the request, so only its kind is told."""
    reason = f"authsome failed on this request ({type(error).__name__})"
    return Refusal("internal", reason, "this is a bug, please report it", status=500)
