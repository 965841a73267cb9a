"""Requests of this program itself to a provider: the one way on which a secret leaves without an agent's asking.

Promises that they go over verified TLS to the host that was asked for, at an address that was checked, through the
user's own proxy, and that neither a silent nor a talkative answer is waited for: everything until the last octet has
one deadline, and a body a greatest size. Refuses plain http, redirects, and addresses outside the public internet
unless the provider's definition says that it is in a private network.
"""

from authsome.provider import Provider
from authsome.proxy.upstream import Upstream
from authsome.web import httpx

SECONDS = 20.0
"""How long a request may take, from the name to the last octet of the answer."""

MOST = 1 << 20
"""Octets of a body that are read."""


def transport(
    provider: Provider, outside: Upstream, *, seconds: float = SECONDS, most: int = MOST
) -> httpx.BaseTransport:
    """Return what carries requests to a provider; they end with `OutsideError` where there is no whole answer.

    Args:
        outside: How this machine reaches it.
        seconds: For each request.
        most: Octets of each answer's body.
    """
    from authsome.outside.wire import Wire  # noqa: PLC0415  what it is built on takes a while to import

    return Wire(provider.private_addresses, outside, seconds, most)
