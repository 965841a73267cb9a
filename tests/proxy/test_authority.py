import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authsome.proxy.authority import Authority

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def authority() -> Authority:
    return Authority(["api.acme.example", "localhost"], NOW)


def _handshake(authority: Authority, shown: x509.Certificate, name: str, tmp_path: Path) -> None:
    """Let Python's own strict verifier (RFC 5280) look at a certificate."""
    chain = tmp_path / "chain.pem"
    key = authority.leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(key + shown.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    client = ssl.create_default_context(cadata=authority.pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ends = [ssl.MemoryBIO() for _ in range(4)]
    asking = client.wrap_bio(ends[0], ends[1], server_hostname=name)
    answering = server.wrap_bio(ends[2], ends[3], server_side=True)
    open_ = {asking, answering}
    for _ in range(10):
        for side in open_.copy():
            try:
                side.do_handshake()
                open_.discard(side)
            except ssl.SSLWantReadError:
                pass
        ends[2].write(ends[1].read())
        ends[0].write(ends[3].read())
    assert not open_


@pytest.mark.parametrize("host", ["api.acme.example", "localhost"])
def test_a_strict_client_accepts_a_leaf_of_this_run(authority: Authority, host: str, tmp_path: Path) -> None:
    _handshake(authority, authority.leaf(host), host, tmp_path)


def test_the_authority_signs_for_no_other_host(authority: Authority) -> None:
    with pytest.raises(KeyError):
        authority.leaf("api.other.example")


@pytest.mark.parametrize("host", ["api.other.example", "evil-api.acme.example"])
def test_a_leaf_for_another_host_would_not_be_believed(authority: Authority, host: str, tmp_path: Path) -> None:
    stolen = authority._sign(host)  # noqa: SLF001  as if somebody had the key
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        _handshake(authority, stolen, host, tmp_path)


def test_an_authority_without_hosts_is_one_for_none(tmp_path: Path) -> None:
    nobody = Authority([], NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        _handshake(nobody, nobody._sign("api.acme.example"), "api.acme.example", tmp_path)  # noqa: SLF001


def _certificates(authority: Authority) -> Iterator[x509.Certificate]:
    yield x509.load_pem_x509_certificate(authority.pem.encode())
    yield authority.leaf("localhost")


def test_keys_are_elliptic_and_lifetimes_short(authority: Authority) -> None:
    for certificate in _certificates(authority):
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < datetime.timedelta(days=398)


def test_the_authority_can_sign_leaves_and_nothing_else(authority: Authority) -> None:
    root, leaf = _certificates(authority)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert root.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def test_no_private_key_is_in_what_the_child_gets(authority: Authority) -> None:
    assert "PRIVATE" not in authority.pem
