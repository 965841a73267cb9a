"""Connections towards the outside: which address is behind a name, whether a secret may go there, and the socket.

Promises that the address that was checked is the one that is connected, so a name that changes its address in between
gains nothing. Refuses, for hosts that get a secret, every address that is not on the public internet unless the
provider's definition says that its host is in a private network.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import aiohappyeyeballs

CONNECT_SECONDS = 30.0
"""How long a name and its addresses are tried; it does not bound what happens on the connection afterwards."""

_STAGGER_SECONDS = 0.25  # RFC 8305, 8: Connection Attempt Delay
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}  # a long stream is silent, a dead one is dead
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
# Azure answers its virtual machines here, with their identity's tokens; the address is a public one by its range.
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Found = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class NotPublicError(OSError):
    """A host that is to get a secret leads to an address that is not on the public internet."""

    def __init__(self, address: str) -> None:
        super().__init__(f"it leads to {address}, which is not a public address")


async def dial(host: str, port: int, *, private: bool) -> socket.socket:
    """Return a connection to a host, IPv6 and IPv4 tried side by side (RFC 8305).

    Args:
        private: Whether an address outside the public internet will do.

    Raises `NotPublicError` if one of the addresses will not do, `TimeoutError` or another `OSError` if none answers.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not private:
            check(found)
        connected = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_STAGGER_SECONDS, interleave=1)
    _keep_alive(connected)
    return connected


def check(found: Sequence[Found]) -> None:
    """Refuse a name if any of its addresses is not public: which one would be used is not ours to choose."""
    for *_, address in found:
        if not is_public(str(address[0])):
            raise NotPublicError(str(address[0]))


def is_public(text: str) -> bool:
    """Whether an address is on the public internet, also one that hides in an IPv6 address; in doubt it is not."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _METADATA


def _keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # macOS has other names for them
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
