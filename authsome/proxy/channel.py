"""TLS in both directions.

Promises that an upstream is verified for the name it was opened by, against the roots of this machine's user and no
others, and that both sides speak TLS 1.2 or later. Refuses names that stand in a certificate's subject only.
"""

import ssl
from collections.abc import Iterator
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

# HTTP/1.1 wherever the client can speak it: it takes a third of the work. Clients that speak HTTP/2 alone (gRPC) get it
# on both sides.
ALPN = (b"http/1.1", b"h2")


def to_client(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSL.Connection:
    """Return the server's side of a connection with a client.

    NOTE: by OpenSSL's own interface, because `ssl` reads a key from a file only, and this one is in none.
    """
    opened = SSL.Connection(_towards_client())
    opened.use_certificate(certificate)
    opened.use_privatekey(key)
    opened.set_accept_state()
    return opened


@cache
def _towards_client() -> SSL.Context:
    """Return the TLS settings towards the child."""
    settings = SSL.Context(SSL.TLS_SERVER_METHOD)
    settings.set_min_proto_version(SSL.TLS1_2_VERSION)

    def select(_: SSL.Connection, offered: list[bytes]) -> Any:
        return next((alpn for alpn in ALPN if alpn in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    settings.set_alpn_select_callback(select)
    return settings


@cache
def to_upstream(roots: str, *offers: str) -> ssl.SSLContext:
    """Return the settings of the client's side: TLS 1.2 or later, verified against these roots (PEM) for a name.

    Args:
        offers: The protocols to offer by ALPN.
    """
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.minimum_version = ssl.TLSVersion.TLSv1_2
    settings.hostname_checks_common_name = False
    # As curl and Python 3.13: a root need not sign itself.
    settings.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    settings.set_alpn_protocols(list(offers))
    try:
        settings.load_verify_locations(cadata=roots)
    except ssl.SSLError:
        for certificate in _each(roots):
            try:
                settings.load_verify_locations(cadata=certificate)
            except ssl.SSLError:  # one root that OpenSSL cannot read must not take the others with it
                continue
    return settings


def _each(roots: str) -> Iterator[str]:
    end = "-----END CERTIFICATE-----\n"
    return (text + end for text in roots.split(end) if text.strip())
