"""What age does for the vault: identities, opening, sealing.

Promises that what was sealed has been read back. Refuses to let an error quote a key.

The only module that knows pyrage.
"""

import hmac
import re
from hashlib import sha256

import pyrage

from authsome.errors import AuthsomeError, ExitCode

_SECRET_KEY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")
_IDENTITY_HINT = "an identity is one line `AGE-SECRET-KEY-1…`, as `age-keygen` writes it"


class OpenError(Exception):
    """An age file does not open.

    Attributes:
        foreign: It is encrypted to others; else it is damaged.
    """

    def __init__(self, *, foreign: bool) -> None:
        super().__init__("encrypted to others" if foreign else "damaged")
        self.foreign = foreign


class Identity:
    """An age X25519 identity. It hides its key from `repr` and `str`.

    Attributes:
        origin: Where it came from, for messages.
        recipient: The public half, `age1…`.
    """

    def __init__(self, key: str, origin: str) -> None:
        try:
            self._native = pyrage.x25519.Identity.from_str(key)
        except pyrage.IdentityError:
            raise AuthsomeError(
                f"{origin} holds no usable age identity", hint=_IDENTITY_HINT, code=ExitCode.LOCKED
            ) from None  # NOTE: the library's error may quote the key
        self._key = key
        self.origin = origin
        self.recipient = str(self._native.to_public())

    @classmethod
    def generate(cls, origin: str) -> "Identity":
        """Return a new identity."""
        return cls(str(pyrage.x25519.Identity.generate()), origin)

    @classmethod
    def parse(cls, text: str, origin: str) -> "Identity":
        """Return the identity of an age identity file, or raise (exit code 4)."""
        if text.startswith(("-----BEGIN AGE ENCRYPTED FILE-----", "age-encryption.org/v1")):
            raise AuthsomeError(
                f"{origin} is protected by a passphrase, which this version cannot ask for",
                hint=f"give the plain identity: AUTHSOME_IDENTITY=$(age -d {origin})",
                code=ExitCode.LOCKED,
            )
        keys = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(keys) != 1 or not _SECRET_KEY.fullmatch(keys[0].strip()):
            raise AuthsomeError(f"{origin} holds no usable age identity", hint=_IDENTITY_HINT, code=ExitCode.LOCKED)
        return cls(keys[0].strip(), origin)

    def file_text(self) -> str:
        """Return the identity as `age-keygen` would write it; secret."""
        return f"# public key: {self.recipient}\n{self._key}\n"

    def mac_key(self, vault_id: str) -> bytes:
        """Return the key that authenticates entries of one vault; only who opened the keyring can derive it."""
        return hmac.new(self._key.encode(), b"authsome entry mac v1\0" + vault_id.encode(), sha256).digest()

    def open(self, ciphertext: bytes) -> bytes:
        """Return the plaintext of an age file, or raise `OpenError`."""
        try:
            plaintext: bytes = pyrage.decrypt(ciphertext, [self._native])
        except pyrage.DecryptError as error:
            raise OpenError(foreign="matching" in str(error)) from None
        return plaintext


def encrypt(plaintext: bytes, recipient: str, reader: Identity) -> bytes:
    """Return an armored age file to one recipient, after having read it back."""
    ciphertext: bytes = pyrage.encrypt(plaintext, [pyrage.x25519.Recipient.from_str(recipient)], armored=True)
    if reader.open(ciphertext) != plaintext:
        raise AuthsomeError("what was encrypted does not decrypt, nothing was written", code=ExitCode.INTEGRITY)
    return ciphertext
