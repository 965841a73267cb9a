"""Age files that a passphrase opens: what `age -p` writes, and what it reads.

Promises for an identity to use 64 MiB and about 0.2 s where age itself takes 256 MiB and 1 s, without holding up other
threads: `hashlib.scrypt` gives the interpreter free, and the cost is ours to choose (pyrage measures the machine and
may take a gigabyte). Refuses to follow a file that asks for more than 1 GiB, and one that is larger than what it should
hold.

The format is age's own, https://age-encryption.org/v1: one `scrypt` stanza, and a payload in chunks of 64 KiB.
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

from authsome.vault.armor import CHUNK, NONCE, TAG, VERSION, FormError, armored, binary

LOG_N = 16
"""Cost of what is written: scrypt's N is 2 to this, with r = 8 and p = 1.

OWASP's least is 2^17 for a table of a server's users; here an attacker must first have a file that is 0600, and
`authsome run` is started many times a day. A passphrase of six random words holds at either.
"""

BACKUP_LOG_N = 18
"""What age itself writes, for a file that is made to lie where others may get at it, and is opened once in a while."""

MAX_LOG_N = 20
"""Highest cost that is followed: 128 * r * N is 1 GiB. age writes 18; rage writes what takes a second."""

MAX_BYTES = 1 << 16
"""Most that an identity can be."""

_BASE64 = rb"[A-Za-z0-9+/]"
_HEADER = re.compile(
    rb"(?P<signed>age-encryption\.org/v1\n"
    rb"-> scrypt (?P<salt>" + _BASE64 + rb"{22}) (?P<cost>[1-9][0-9]?)\n"
    rb"(?P<body>" + _BASE64 + rb"{43})\n"
    rb"---) (?P<mac>" + _BASE64 + rb"{43})\n"
)
_NONCE = bytes(12)


class WrongPassphraseError(Exception):
    """The file is as it should be, and another passphrase opens it."""


def protect(plaintext: bytes, passphrase: str, randomness: Callable[[int], bytes], *, log_n: int = LOG_N) -> bytes:
    """Return an identity, at most 64 KiB, as an armored age file that the passphrase opens."""
    if len(plaintext) > MAX_BYTES:
        raise ValueError(f"{len(plaintext)} bytes are no identity")
    return armored(seal(plaintext, passphrase, randomness, log_n=log_n))


def seal(plaintext: bytes, passphrase: str, randomness: Callable[[int], bytes], *, log_n: int = BACKUP_LOG_N) -> bytes:
    """Return anything as an age file, not armored, that the passphrase opens."""
    file_key, salt, nonce = randomness(16), randomness(16), randomness(NONCE)
    body = ChaCha20Poly1305(_wrap_key(passphrase, salt, log_n)).encrypt(_NONCE, file_key, None)
    stanza = b"-> scrypt %s %d\n%s\n" % (_unpadded(salt), log_n, _unpadded(body))
    signed = VERSION + b"\n" + stanza + b"---"
    payload = _chunks(_derived(file_key, nonce, b"payload"), plaintext)
    return signed + b" " + _unpadded(_mac(file_key, signed)) + b"\n" + nonce + payload


def check(content: bytes, *, most: int = MAX_BYTES) -> None:
    """Raise `FormError` if no passphrase can open this; costs nothing, so that nobody is asked in vain."""
    _parsed(content, most)


def unprotect(content: bytes, passphrase: str, *, most: int = MAX_BYTES) -> bytes:
    """Return the plaintext, or raise `WrongPassphraseError` or `FormError`.

    Args:
        most: Bytes of plaintext that are expected.
    """
    header, payload = _parsed(content, most)
    wrap_key = _wrap_key(passphrase, _padded(header["salt"]), int(header["cost"]))
    try:
        file_key = ChaCha20Poly1305(wrap_key).decrypt(_NONCE, _padded(header["body"]), None)
    except InvalidTag:
        raise WrongPassphraseError from None
    if not hmac.compare_digest(_mac(file_key, header["signed"]), _padded(header["mac"])):
        raise FormError("is damaged: its header was changed")
    try:
        return _opened(_derived(file_key, payload[:NONCE], b"payload"), payload[NONCE:])
    except InvalidTag:
        raise FormError("is damaged: its content was changed or cut") from None


def _chunks(key: bytes, plaintext: bytes) -> bytes:
    """Return a payload: chunks that are numbered, the last of them marked as such."""
    stream, last = ChaCha20Poly1305(key), max(len(plaintext) - 1, 0) // CHUNK
    return b"".join(
        stream.encrypt(_numbered(number, last), plaintext[number * CHUNK : (number + 1) * CHUNK], None)
        for number in range(last + 1)
    )


def _opened(key: bytes, payload: bytes) -> bytes:
    stream, size = ChaCha20Poly1305(key), CHUNK + TAG
    last = max(len(payload) - 1, 0) // size
    if last and len(payload) - last * size <= TAG:
        raise FormError("is damaged: its last chunk is empty")
    return b"".join(
        stream.decrypt(_numbered(number, last), payload[number * size : (number + 1) * size], None)
        for number in range(last + 1)
    )


def _numbered(number: int, last: int) -> bytes:
    return number.to_bytes(11) + bytes([number == last])


def _parsed(content: bytes, most: int) -> tuple[re.Match[bytes], bytes]:
    """Return the header and what follows it."""
    raw = binary(content)
    header = _HEADER.match(raw)
    if header is None:
        if re.match(re.escape(VERSION) + rb"\n-> (?!scrypt )", raw):
            raise FormError("is encrypted to recipients, not with a passphrase")
        raise FormError("is damaged")
    if int(header["cost"]) > MAX_LOG_N:
        gib = 1 << (int(header["cost"]) - 20)
        raise FormError(f"asks for {gib} GiB of memory to open (scrypt 2^{int(header['cost'])}), more than 1 GiB")
    payload = raw[header.end() :]
    if not NONCE + TAG <= len(payload) <= NONCE + most + TAG * -(-most // CHUNK):
        raise FormError("is damaged, or not what it should be: its size is wrong")
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
