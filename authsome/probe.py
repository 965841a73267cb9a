"""Whether a provider takes a key, found out with the request that its definition names for that.

Promises that the key goes where a run would send it and nowhere else: to a host of the definition, in the place the
rules say, over verified TLS, to an address that was checked. Refuses to follow a redirect; what a reply says is read by
`trial`.
"""

import socket
import ssl
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import authsome
from authsome import rules, trial
from authsome.manifest import undeclared
from authsome.provider import DEFAULT_CONNECTION, PLACEHOLDER, Provider, Signing, TestRequest
from authsome.proxy import channel, dial
from authsome.proxy.upstream import ParentProxy, Upstream
from authsome.session import Verdict

# `import httpx` brings a command line of its own, and with it click, rich and pygments: half of what a person would
# wait for. To Python, a module that is None is not there, and httpx does without it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

SECONDS = 5.0
"""How long a person waits for each step of it: a name, a connection, an answer."""


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
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        return Verdict(None, f"not checked: {_why(test, error)}")
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
    host = test.host
    trusted = channel.to_upstream(outside.roots, "http/1.1")
    parent = outside.proxy_for(host.name)
    # NOTE: the address that was checked is the one that is connected; behind a parent proxy it is that one's to check.
    names = [host.name] if parent else _addresses(provider, test)
    failed: Exception = OSError("it has no address")
    with httpx.Client(
        verify=trusted,
        proxy=_parent(parent, trusted) if parent else None,
        trust_env=False,
        follow_redirects=False,
        timeout=seconds,
    ) as client:
        for name in names:
            url = f"https://{f'[{name}]' if ':' in name else name}:{host.port}{test.target}"
            request = client.build_request(test.method, url, headers=headers)
            request.extensions["sni_hostname"] = host.name
            try:
                answer = client.send(request, stream=True)
            except httpx.ConnectError as error:
                failed = error
                continue
            try:
                return _looked_at(test, answer, seconds)
            finally:
                answer.close()
    raise failed


def _looked_at(test: TestRequest, answer: httpx.Response, seconds: float) -> trial.Reply:
    """Return an answer with as much of its body as is of use and comes in time."""
    body, until = bytearray(), time.monotonic() + seconds
    if trial.wants_body(test, answer.status_code):
        with suppress(httpx.HTTPError):  # its head has told something, too
            for data in answer.iter_raw():
                body += data
                if len(body) >= trial.MOST_READ or time.monotonic() > until:
                    break
    return trial.Reply(answer.status_code, tuple(answer.headers.multi_items()), bytes(body[: trial.MOST_READ]))


def _addresses(provider: Provider, test: TestRequest) -> list[str]:
    found = socket.getaddrinfo(test.host.name, test.host.port, type=socket.SOCK_STREAM)
    private = rules.make([undeclared(provider, DEFAULT_CONNECTION)], lambda _: True).may_be_private(test.host)
    if not private:
        dial.check(found)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _parent(parent: ParentProxy, trusted: ssl.SSLContext) -> httpx.Proxy:
    user, _, password = parent.userinfo.partition(":")
    name, port = parent.address
    return httpx.Proxy(
        f"{parent.scheme}://{f'[{name}]' if ':' in name else name}:{port}",
        auth=(user, password) if parent.userinfo else None,
        ssl_context=trusted if parent.scheme == "https" else None,
    )


def _verdict(provider: Provider, found: trial.Finding) -> Verdict:
    if found.state is trial.State.CONNECTED:
        return Verdict(True, f"{provider.display_name} accepts it")
    # NOTE: 403 alone says nothing of the key (RFC 9110, 15.5.4): a good one that may not do this is answered so too.
    if found.state is trial.State.WRONG_KEY:
        return Verdict(False, found.words)
    return Verdict(None, f"not checked: {found.words}")


def _why(test: TestRequest, error: Exception) -> str:
    """Return what kept the question from being answered; no library's words, which may quote the request."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, dial.NotPublicError) for cause in causes):
        return f"{test.host} leads to an address that is not public"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return f"the certificate of {test.host} cannot be verified"
    if isinstance(error, httpx.TimeoutException):
        return f"{test.host} did not answer in time"
    return f"{test.host} could not be reached"
