"""The certificate authority of one run.

Promises a P-256 authority that is valid for this run's hosts only (RFC 5280, 4.2.1.10) and whose key never leaves the
memory of this process. Refuses to sign for a host it was not made for.
"""

import contextlib
import datetime
import warnings
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=30)
"""Longer than any run should last, and well under the 398 days that Apple's verifier accepts."""

_MOST_LEAVES = 1024
_SKEW = datetime.timedelta(hours=1)

JAVA_STORE_PASSWORD = "authsome"  # noqa: S105  a JVM wants one, and the file holds certificates only


class Authority:
    """Makes the certificates that the child's clients see for declared hosts."""

    def __init__(self, hosts: Iterable[str], now: datetime.datetime) -> None:
        self._hosts = frozenset(hosts)
        # RFC 5280, 4.2.1.10: a permitted name stands for itself and for all below it.
        self._below = tuple(host.removeprefix("*") for host in self._hosts if host.startswith("*."))
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaves: dict[str, x509.Certificate] = {}
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authsome (this run only)")])
        self._certificate = self._sign_own()

    @property
    def pem(self) -> str:
        """The authority's certificate, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def leaf_key(self) -> ec.EllipticCurvePrivateKey:
        """The key of every leaf of this run."""
        return self._leaf_key

    def leaf(self, host: str) -> x509.Certificate:
        """Return the certificate for a host of this run; another one is a `KeyError`."""
        if host not in self._hosts and not host.endswith(self._below):
            raise KeyError(host)
        if host not in self._leaves:
            if len(self._leaves) >= _MOST_LEAVES:  # an agent may think of names below a wildcard without an end
                self._leaves.clear()
            self._leaves[host] = self._sign(host)
        return self._leaves[host]

    def _begin(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SKEW)
            .not_valid_after(self._now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _sign_own(self) -> x509.Certificate:
        # A permitted subtree that no name can be in keeps an authority without hosts from being one for all hosts.
        names = sorted(host.removeprefix("*.") for host in self._hosts)
        permitted = [x509.DNSName(name) for name in names] or [x509.DNSName("invalid")]
        builder = (
            self._begin(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        )
        return builder.sign(self._key, hashes.SHA256())

    def _sign(self, host: str) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            self._begin(x509.Name([]), self._leaf_key.public_key())
            # RFC 5280, 4.2.1.6: without a subject the alternative name is critical.
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def java_trust_store(roots: str) -> bytes:
    """Return roots (PEM) as the PKCS12 file that a JVM trusts, under `JAVA_STORE_PASSWORD`.

    A root that does not parse is left out: one of a hundred must not keep a run from starting.
    """
    marker = "-----BEGIN CERTIFICATE-----"
    entries = []
    # A root that breaks RFC 5280 is the machine's business, and the agent's terminal no place to say so.
    with warnings.catch_warnings(action="ignore"):
        for number, block in enumerate(roots.split(marker)[1:]):
            with contextlib.suppress(ValueError):
                certificate = x509.load_pem_x509_certificate(f"{marker}{block}".encode())
                entries.append(pkcs12.PKCS12Certificate(certificate, f"root-{number}".encode()))
    # The password is public, so the rounds would cost time and protect nothing.
    sealed = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1).hmac_hash(hashes.SHA256())
    return pkcs12.serialize_java_truststore(entries, sealed.build(JAVA_STORE_PASSWORD.encode()))
