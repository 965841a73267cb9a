"""TLS in both directions.

Promises that an upstream is verified for the name it was opened by, against the roots of this machine's user and no
others, and that both sides speak TLS 1.2 or later. Refuses to go on where OpenSSL takes no name to verify.
"""

import ipaddress
from collections.abc import Iterable
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

_HOST_FLAGS = 0x04  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS: `w*.example.com` is no wildcard (RFC 6125, 6.4.3)
# HTTP/1.1 wherever the client can speak it: mitmproxy's HTTP/2 is ten times slower, and takes in a body faster than the
# other side drains it. Clients that speak HTTP/2 alone (gRPC) get it on both sides.
ALPN = (b"http/1.1", b"h2")


def to_client(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSL.Connection:
    """Return the server's side of a connection with a client."""
    ssl = SSL.Connection(_towards_client())
    ssl.use_certificate(certificate)
    ssl.use_privatekey(key)
    ssl.set_accept_state()
    return ssl


def to_upstream(name: str, offers: Iterable[bytes], roots: str) -> SSL.Connection:
    """Return the client's side of a connection with an upstream, that fails unless its certificate is for `name`."""
    ssl = SSL.Connection(_towards_upstream(roots))
    parameters = SSL._lib.SSL_get0_param(ssl._ssl)  # type: ignore[attr-defined]  # noqa: SLF001  no public way
    SSL._lib.X509_VERIFY_PARAM_set_hostflags(parameters, _HOST_FLAGS)  # type: ignore[attr-defined]  # noqa: SLF001
    encoded = name.encode("idna")
    if _is_address(name):
        address = ipaddress.ip_address(name).packed
        done = SSL._lib.X509_VERIFY_PARAM_set1_ip(parameters, address, len(address))  # type: ignore[attr-defined]  # noqa: SLF001
    else:
        ssl.set_tlsext_host_name(encoded)
        done = SSL._lib.X509_VERIFY_PARAM_set1_host(parameters, encoded, len(encoded))  # type: ignore[attr-defined]  # noqa: SLF001
    if done != 1:
        raise RuntimeError("OpenSSL took no host name to verify")
    if offered := list(offers):
        ssl.set_alpn_protos(offered)
    ssl.set_connect_state()
    return ssl


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


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
def _towards_upstream(roots: str) -> SSL.Context:
    """Return the TLS settings towards the upstream: TLS 1.2 or later, verified against the user's roots."""
    settings = SSL.Context(SSL.TLS_CLIENT_METHOD)
    settings.set_min_proto_version(SSL.TLS1_2_VERSION)
    settings.set_verify(SSL.VERIFY_PEER)
    store = settings.get_cert_store()
    if store is None:
        raise RuntimeError("OpenSSL has no certificate store")
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # as curl and Python 3.13: a root need not sign itself
    for certificate in _each_certificate(roots):
        store.add_cert(certificate)
    return settings


def _each_certificate(roots: str) -> Iterable[crypto.X509]:
    end = "-----END CERTIFICATE-----\n"
    for text in roots.split(end):
        if text.strip():
            try:
                yield crypto.load_certificate(crypto.FILETYPE_PEM, (text + end).encode())
            except crypto.Error:  # one root that OpenSSL cannot read must not take the others with it
                continue
