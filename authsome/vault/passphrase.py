"""Small age files that a passphrase opens: what `age -p` writes, and what it reads.

Promises to use 64 MiB and about 0.2 s where age itself takes 256 MiB and 1 s, without holding up other threads:
`hashlib.scrypt` gives the interpreter free, and the cost is ours to choose (pyrage measures the machine and may take a
gigabyte). Refuses to follow a file that asks for more than 1 GiB, and one that is larger than an identity can be.

The format is age's own, https://age-encryption.org/v1: one `scrypt` stanza, and a payload of one chunk.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from authsome.vault.armor import BEGIN, TAG, VERSION, FormError, armored, unarmored

LOG_N = 16
"""Cost of what is written: scrypt's N is 2 to this, with r = 8 and p = 1.

OWASP's least is 2^17 for a table of a server's users; here an attacker must first have a file that is 0600, and
`authsome run` is started many times a day. A passphrase of six random words holds at either.
"""

MAX_LOG_N = 20
"""Highest cost that is followed: 128 * r * N is 1 GiB. age writes 18; rage writes what takes a second."""

MAX_BYTES = 1 << 16
"""Size of age's chunks; what is protected here is one identity."""

_BASE64 = rb"[A-Za-z0-9+/]"
_HEADER = re.compile(
    rb"(?P<signed>age-encryption\.org/v1\n"
    rb"-> scrypt (?P<salt>" + _BASE64 + rb"{22}) (?P<cost>[1-9][0-9]?)\n"
    rb"(?P<body>" + _BASE64 + rb"{43})\n"
    rb"---) (?P<mac>" + _BASE64 + rb"{43})\n"
)
_NONCE = bytes(12)
_ONLY_CHUNK = bytes(11) + b"\1"


class WrongPassphraseError(Exception):
    """The file is as it should be, and another passphrase opens it."""


def protect(plaintext: bytes, passphrase: str, randomness: Callable[[int], bytes], *, log_n: int = LOG_N) -> bytes:
    """Return `plaintext`, at most 64 KiB, as an armored age file that the passphrase opens."""
    if len(plaintext) > MAX_BYTES:
        raise ValueError(f"{len(plaintext)} bytes are no identity")
    file_key, salt, nonce = randomness(16), randomness(16), randomness(16)
    body = ChaCha20Poly1305(_wrap_key(passphrase, salt, log_n)).encrypt(_NONCE, file_key, None)
    stanza = b"-> scrypt %s %d\n%s\n" % (_unpadded(salt), log_n, _unpadded(body))
    signed = VERSION + b"\n" + stanza + b"---"
    payload = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")).encrypt(_ONLY_CHUNK, plaintext, None)
    return armored(signed + b" " + _unpadded(_mac(file_key, signed)) + b"\n" + nonce + payload)


def check(content: bytes) -> None:
    """Raise `FormError` if no passphrase can open this; costs nothing, so that nobody is asked in vain."""
    _parsed(content)


def unprotect(content: bytes, passphrase: str) -> bytes:
    """Return the plaintext, or raise `WrongPassphraseError` or `FormError`."""
    header, payload = _parsed(content)
    wrap_key = _wrap_key(passphrase, _padded(header["salt"]), int(header["cost"]))
    try:
        file_key = ChaCha20Poly1305(wrap_key).decrypt(_NONCE, _padded(header["body"]), None)
    except InvalidTag:
        raise WrongPassphraseError from None
    if not hmac.compare_digest(_mac(file_key, header["signed"]), _padded(header["mac"])):
        raise FormError("is damaged: its header was changed")
    nonce, chunk = payload[:16], payload[16:]
    try:
        return ChaCha20Poly1305(_derived(file_key, nonce, b"payload")).decrypt(_ONLY_CHUNK, chunk, None)
    except InvalidTag:
        raise FormError("is damaged: its content was changed or cut") from None


def _parsed(content: bytes) -> tuple[re.Match[bytes], bytes]:
    """Return the header and what follows it."""
    raw = unarmored(content) if content.lstrip().startswith(BEGIN) else content
    header = _HEADER.match(raw)
    if header is None:
        if re.match(re.escape(VERSION) + rb"\n-> (?!scrypt )", raw):
            raise FormError("is encrypted to recipients, not with a passphrase")
        raise FormError("is damaged")
    if int(header["cost"]) > MAX_LOG_N:
        gib = 1 << (int(header["cost"]) - 20)
        raise FormError(f"asks for {gib} GiB of memory to open (scrypt 2^{int(header['cost'])}), more than 1 GiB")
    payload = raw[header.end() :]
    if not 16 + TAG <= len(payload) <= 16 + MAX_BYTES + TAG:
        raise FormError("is damaged or no identity: its size is wrong")
    return header, payload


def _wrap_key(passphrase: str, salt: bytes, log_n: int) -> bytes:
    # A terminal that is not UTF-8 hands over bytes as they are; age takes them as they are, too.
    secret = passphrase.encode("utf-8", "surrogateescape")
    memory = 128 * 8 * (1 << log_n)
    try:
        return hashlib.scrypt(
            secret, salt=VERSION + b"/scrypt" + salt, n=1 << log_n, r=8, p=1, dklen=32, maxmem=memory + (1 << 20)
        )
    except (MemoryError, ValueError):  # OpenSSL's word for a machine that has not got it
        raise FormError(f"needs {memory >> 20} MiB of memory to open, which this machine does not give") from None


def _derived(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(file_key)


def _mac(file_key: bytes, signed: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), signed, "sha256")


def _unpadded(raw: bytes) -> bytes:
    return b64encode(raw).rstrip(b"=")


def _padded(text: bytes) -> bytes:
    return b64decode(text + b"=" * (-len(text) % 4))
