"""Where attacks are played: the real proxy between a client that sends anything and an origin that answers anything.

Every name leads to the origin, as an attacker's own names would. A test says what was sent, and looks at what the
client saw and what reached the origin.
"""

import contextlib
import datetime
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from authsome.manifest import Allowed, Declared
from authsome.provider import PLACEHOLDER, ApiKey, Definition, Provider, resolve
from authsome.proxy import Proxy, upstream
from authsome.proxy.authority import Authority
from authsome.proxy.renewing import Renew
from authsome.rules import Rules, Use, make
from authsome.session import Session
from byhand import Answer, Client, Connection
from canary import sings
from octets import Arrived, Fields
from scripted import Origin, Reply

KEY, OTHER_KEY = "CANARY-stage-key-0123456789", "CANARY-other-key-9876543210"
NAME = "api.acme.example"
STAND_IN = PLACEHOLDER.ljust(len(KEY), "*")
HELD: Fields = ((b"Authorization", f"Bearer {PLACEHOLDER}".encode()),)
PROTOCOLS = ("http/1.1", "h2")

_real = socket.getaddrinfo


class Uses(list[Use]):
    """A log that is only remembered."""

    def opened(self, peer: tuple[str, int]) -> None: ...

    def record(self, use: Use) -> None:
        self.append(use)

    def closed(self, peer: tuple[str, int]) -> None: ...

    def decisions(self) -> list[str]:
        """Wait for the first, and return what was decided; of a tunnel is told when it has ended."""
        deadline = time.monotonic() + 5
        while not self and time.monotonic() < deadline:
            time.sleep(0.01)
        return [use.decision for use in self]


@dataclass
class Stage:
    """One proxy with one provider, `acme`."""

    origin: Origin
    proxy: Proxy
    client: Client
    uses: Uses
    provider: Provider
    failed: list[BaseException]
    leads: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    """The addresses of every name."""

    def look_up(self, host: Any, port: Any, *more: Any, **named: Any) -> Any:
        """Be the machine's resolver, `socket.getaddrinfo`."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return [found for address in self.leads for found in _real(address, port, *more, **named)]
        return _real(host, port, *more, **named)

    @property
    def host(self) -> str:
        """The declared host with its port."""
        return f"{NAME}:{self.origin.port}"

    def forget(self) -> None:
        self.origin.forget()
        self.uses.clear()
        self.leads = ["127.0.0.1"]

    def open(self, protocol: str = "http/1.1", host: str | None = None, sni: str | None = None) -> Connection:
        return self.client.open(host or self.host, protocol, sni)

    def ask(
        self,
        protocol: str = "http/1.1",
        method: str = "GET",
        path: str = "/",
        headers: Fields = HELD,
        body: bytes = b"",
        *,
        host: str | None = None,
        sni: str | None = None,
        authority: str | None = None,
    ) -> Answer:
        """Send one request on a connection of its own; whatever comes back, the key is not in it."""
        with self.open(protocol, host, sni) as connection:
            answer = connection.ask(method, path, headers, body, authority)
        assert not sings(answer.octets), answer
        return answer

    def says(self, make_reply: Callable[[bytes], Reply]) -> None:
        """Let the origin answer with what it makes of the key that it got."""

        def script(request: Arrived) -> Reply:
            (credential,) = request.values(b"authorization")
            assert credential == b"Bearer " + KEY.encode()
            return make_reply(credential.removeprefix(b"Bearer "))

        self.origin.script = script

    def only(self) -> Arrived:
        """Return the one request that arrived."""
        (arrived,) = self.origin.arrived
        return arrived

    def injected(self) -> Arrived:
        """Return the one request that arrived, which has the real key exactly once and the placeholder nowhere."""
        arrived = self.only()
        assert arrived.values(b"authorization") == [b"Bearer " + KEY.encode()]
        assert repr(arrived).count(KEY) == 1
        assert PLACEHOLDER not in repr(arrived)
        return arrived

    def swap(self, rules: Rules, **keys: str) -> None:
        """Let other rules and keys hold from now on, keys by connection."""
        self.proxy.swap(rules, _session(keys))

    def rules(self, *allow: str, holds: bool = True, **more: Any) -> Rules:
        """Return the rules of a manifest with the default connection, and `allow` if there is any."""
        lines = tuple(Allowed.parse(line) for line in allow) or None
        return make([Declared(self.provider, allow=lines)], lambda _: holds, **more)


def _session(keys: dict[str, str]) -> Session:
    return Session({("acme", connection): {"api_key": key} for connection, key in keys.items()})


@contextlib.contextmanager
def stage(
    folder: Path,
    *allow: str,
    hosts: Sequence[str] = (NAME,),
    private: bool = True,
    connections: Sequence[str] = ("default",),
    held: Sequence[str] = ("default",),
    definition: Callable[[Definition], Definition] = lambda it: it,
    renew: Renew | None = None,
    **egress: Any,
) -> Iterator[Stage]:
    """Furnish a stage; `egress` is that of `rules.make`."""
    origin = Origin(folder)
    urls = tuple(f"https://{host}:{origin.port}" for host in hosts)
    provider = resolve(definition(Definition("acme", urls, api_key=ApiKey(), private_addresses=private)))
    lines = tuple(Allowed.parse(line) for line in allow) or None
    declared = [Declared(provider, connection, allow=lines) for connection in connections]
    rules = make(declared, lambda each: each.connection in held, **egress)
    authority = Authority({host.name for host in provider.hosts}, datetime.datetime.now(datetime.UTC))
    outside = upstream.read({"SSL_CERT_FILE": str(origin.roots)})
    proxy = Proxy(
        rules, _session(dict.fromkeys(held, KEY)), authority, replace(outside, roots=origin.roots.read_text()), renew
    )
    uses, failed = Uses(), list[BaseException]()
    proxy.start(failed.append, uses)
    client = Client(proxy.url, (authority.pem, origin.roots.read_text()))
    made = Stage(origin, proxy, client, uses, provider, failed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", made.look_up)
        yield made
    origin.close()
    assert not failed
