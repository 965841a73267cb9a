"""Whether a provider takes a key, found out with the request that its definition names for that.

Promises that the key goes where a run would send it and nowhere else: to a host of the definition, in the place the
rules say, over verified TLS, to an address that was checked. Refuses to follow a redirect; what a reply says is read by
`trial`.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import authsome
from authsome import rules, trial
from authsome.manifest import undeclared
from authsome.outside import transport
from authsome.provider import PLACEHOLDER, Provider, Signing, TestRequest
from authsome.proxy.upstream import Upstream
from authsome.session import Verdict
from authsome.web import OutsideError, httpx

SECONDS = 8.0
"""How long a person waits for all of it: a name, a connection, an answer."""


def ask(provider: Provider, fields: Mapping[str, str], outside: Upstream, *, seconds: float = SECONDS) -> Verdict:
    """Return what the provider says to a credential.

    Args:
        fields: Secret.
        outside: How this machine reaches it.
    """
    test = provider.test
    if test is None:
        return Verdict(None, "not checked: nothing is known to check it with")
    # What was stored before the definition had another setting is shown with the default of it, as a run would.
    provider = provider.filled(fields)
    fields = {**provider.settings, **fields}
    test = trial.filled(test, {**fields, **{each.name: PLACEHOLDER for each in provider.fields if each.secret}})
    placed = _placed(provider, test)
    if placed is None:
        return Verdict(None, f"not checked: {test.host} would get no key at {test.target.partition('?')[0]}")
    headers = {"User-Agent": f"authsome/{authsome.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    headers |= dict(provider.constant_headers)
    placement = next((each for each in placed.placements if each.suits(fields)), None)
    if placement is None:
        return Verdict(None, f"not checked: {test.host} takes no key of this kind")
    headers |= {**dict(placement.fields(fields)), "Host": str(test.host)}
    if placement.sigv4 is not None:
        signed = _signature(placement.sigv4, test, headers, fields)
        if isinstance(signed, str):
            return Verdict(None, f"not checked: {signed}")
        headers |= signed
    octets = {name.encode(): value.encode() for name, value in headers.items()}  # a setting may hold any letter
    test = replace(test, url=f"https://{test.authority}{placement.target(test.target, fields)}")
    try:
        reply = _reply(provider, test, octets, outside, seconds)
    except OutsideError as error:
        return Verdict(None, f"not checked: {error}")
    hidden = {fields[each.name]: PLACEHOLDER for each in provider.fields if each.secret and each.name in fields}
    return _verdict(provider, trial.read(test, reply, hidden, time.time()))


def _signature(
    placed: Signing, test: TestRequest, headers: Mapping[str, str], fields: Mapping[str, str]
) -> Mapping[str, str] | str:
    """Return the headers that sign it, for the service and region that its host says, or why there are none."""
    from authsome.proxy import signing, sigv4  # noqa: PLC0415  few keys are tried like this

    said = [(name.lower(), value) for name, value in headers.items()]
    try:
        claim = sigv4.read(test.method, test.target, said, str(test.host), datetime.now(UTC), bodiless=True)
    except sigv4.UnsignableError as error:
        return error.reason
    made = sigv4.sign(claim, signing.keys(placed, fields), test.method, test.target, said, sigv4.EMPTY)
    return dict(made.headers)


def _placed(provider: Provider, test: TestRequest) -> rules.Inject | None:
    """Return where a run's rules put the secret of this request, None if they put none into it."""
    made = rules.make([undeclared(provider)], lambda _: True)
    request = rules.Request(test.host, test.host.name, (str(test.host),), test.method, test.target, ())
    decided = made.decide(request)
    return decided if isinstance(decided, rules.Inject) else None


def _reply(
    provider: Provider, test: TestRequest, headers: Mapping[bytes, bytes], outside: Upstream, seconds: float
) -> trial.Reply:
    # NOTE: no `httpx.Client`: it writes addresses into Python's log, and a key may be part of one.
    try:
        request = httpx.Request(test.method, test.url, headers=headers)
    except httpx.InvalidURL as error:
        raise OutsideError(f"{test.host} could not be reached") from error
    answer = transport(provider, outside, seconds=seconds).handle_request(request)
    try:
        return _looked_at(test, answer)
    finally:
        answer.close()


def _looked_at(test: TestRequest, answer: httpx.Response) -> trial.Reply:
    """Return an answer with as much of its body as is of use and comes in time."""
    body = bytearray()
    if trial.wants_body(test, answer.status_code):
        with suppress(OutsideError):  # its head has told something, too
            for data in answer.iter_raw():
                body += data
                if len(body) >= trial.MOST_READ:
                    break
    return trial.Reply(answer.status_code, tuple(answer.headers.multi_items()), bytes(body[: trial.MOST_READ]))


def _verdict(provider: Provider, found: trial.Finding) -> Verdict:
    if found.state is trial.State.CONNECTED:
        return Verdict(True, f"{provider.display_name} accepts it")
    # NOTE: 403 alone says nothing of the key (RFC 9110, 15.5.4): a good one that may not do this is answered so too.
    if found.state is trial.State.WRONG_KEY:
        return Verdict(False, found.words)
    return Verdict(None, f"not checked: {found.words}")
