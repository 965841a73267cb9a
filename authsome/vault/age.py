"""What age does for the vault: identities, opening, sealing.

Promises that what was sealed has been read back. Refuses to let an error quote a key, and a recipient that it cannot
encrypt to.

The only module that knows pyrage.
"""

import binascii
import hmac
import re
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol

import pyrage

from authsome.errors import AuthsomeError, ExitCode

_SECRET_KEY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")
_IDENTITY_HINT = "an identity is one line `AGE-SECRET-KEY-1…`, as `age-keygen` writes it, or an ssh key"
_OWN_HINT = "make an identity of its own for this with `authsome identity create`"
_SSH_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_SSH_MAGIC = b"openssh-key-v1\0"
_SSH_TYPES = ("ssh-ed25519", "ssh-rsa")
_PLUGIN = re.compile(r"age1([a-z0-9+._-]*[a-z+._-])1[02-9ac-hj-np-z]+")
_POST_QUANTUM = ("pq", "tagpq")


class OpenError(Exception):
    """An age file does not open.

    Attributes:
        foreign: It is encrypted to others; else it is damaged.
    """

    def __init__(self, *, foreign: bool) -> None:
        super().__init__("encrypted to others" if foreign else "damaged")
        self.foreign = foreign


class _Native(Protocol):
    """What pyrage makes of a private key."""


class Identity:
    """A private key that age takes: X25519, or one of ssh. It hides its key from `repr` and `str`.

    Attributes:
        origin: Where it came from, for messages.
        recipient: The public half: `age1…`, or `ssh-ed25519 …` and `ssh-rsa …` without a comment.
        protected: It was kept under a passphrase.
    """

    def __init__(self, native: _Native, recipient: str, key: str, origin: str, *, protected: bool = False) -> None:
        self._native = native
        self._key = key
        self.recipient = recipient
        self.origin = origin
        self.protected = protected

    @classmethod
    def generate(cls, origin: str) -> "Identity":
        """Return a new identity."""
        return cls.parse(str(pyrage.x25519.Identity.generate()), origin)

    @classmethod
    def parse(cls, text: str, origin: str, *, protected: bool = False) -> "Identity":
        """Return the identity of an age identity file or an ssh key, or raise (exit code 4)."""
        if re.match(r"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----", text):
            return cls(_ssh_key(text, origin), ssh_recipient(text, origin), text, origin, protected=protected)
        keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(keys) == 1 and keys[0].startswith(("AGE-PLUGIN-", "AGE-SECRET-KEY-PQ-")):
            kind = "of a plugin" if keys[0].startswith("AGE-PLUGIN-") else "for post-quantum keys"
            raise _locked(f"{origin} holds an identity {kind}, which this version cannot use", _OWN_HINT)
        if len(keys) > 1 and all(_SECRET_KEY.fullmatch(key) for key in keys):
            raise _locked(f"{origin} holds {len(keys)} identities", "leave in it the one that this vault is for")
        if len(keys) != 1 or not _SECRET_KEY.fullmatch(keys[0]):
            raise _locked(f"{origin} holds no usable age identity", _IDENTITY_HINT)
        try:
            native = pyrage.x25519.Identity.from_str(keys[0])
        except pyrage.IdentityError:  # NOTE: the library's error may quote the key
            raise _locked(f"{origin} holds no usable age identity", _IDENTITY_HINT) from None
        return cls(native, str(native.to_public()), keys[0], origin, protected=protected)

    @property
    def kind(self) -> str:
        """`X25519`, `ssh-ed25519` or `ssh-rsa`."""
        return self.recipient.partition(" ")[0] if self.recipient.startswith("ssh-") else "X25519"

    def file_text(self) -> str:
        """Return the identity as `age-keygen` would write it, an ssh key as it was; secret."""
        return self._key if self.kind != "X25519" else f"# public key: {self.recipient}\n{self._key}\n"

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


def _locked(message: str, hint: str) -> AuthsomeError:
    return AuthsomeError(message, hint=hint, code=ExitCode.LOCKED)


def _ssh_key(text: str, origin: str) -> _Native:
    try:
        native: _Native = pyrage.ssh.Identity.from_buffer(text.strip().encode() + b"\n")
    except pyrage.IdentityError:
        _explain_ssh(text, origin)
        raise _locked(f"{origin} holds no usable ssh key", "ssh-ed25519 and ssh-rsa keys can be used") from None
    return native


def _explain_ssh(text: str, origin: str) -> None:
    """Raise with what keeps age from using an ssh key, if that can be told."""
    recipient, sealed = _ssh_parts(text, origin)
    kind = recipient.partition(" ")[0]
    if kind not in _SSH_TYPES:
        raise _locked(f"{origin} is a key of the type {kind}, age takes {' and '.join(_SSH_TYPES)}", _OWN_HINT)
    if sealed:
        raise _locked(f"{origin} is an ssh key with a passphrase, which authsome cannot open", _OWN_HINT)


def ssh_recipient(text: str, origin: str) -> str:
    """Return the public half of an ssh key, which its file tells in the clear, or raise (exit code 4)."""
    return _ssh_parts(text, origin)[0]


def _ssh_parts(text: str, origin: str) -> tuple[str, bool]:
    """Return the public half of an ssh key, and whether a passphrase keeps the other."""
    if not text.lstrip().startswith(_SSH_BEGIN):
        raise _locked(
            f"{origin} is a private key in an old form", f"have ssh-keygen write it anew: ssh-keygen -p -f {origin}"
        )
    try:
        raw = b64decode("".join(text.strip().splitlines()[1:-1]))
        cipher, rest = _ssh_string(raw.removeprefix(_SSH_MAGIC))
        _, rest = _ssh_string(rest)  # how a passphrase becomes a key
        _, rest = _ssh_string(rest)  # and with what options
        public, _ = _ssh_string(rest[4:])
        kind = _ssh_string(public)[0].decode()
    except (binascii.Error, ValueError):
        raise _locked(f"{origin} holds no usable ssh key", "ssh-ed25519 and ssh-rsa keys can be used") from None
    return f"{kind} {b64encode(public).decode()}", cipher != b"none"


def _ssh_string(raw: bytes) -> tuple[bytes, bytes]:
    """Return a string of RFC 4251 and what follows it."""
    length = int.from_bytes(raw[:4])
    if len(raw) < 4 + length:
        raise ValueError("cut")
    return raw[4 : 4 + length], raw[4 + length :]


def bare(recipient: str) -> str:
    """Return a recipient as lists compare it: an ssh key without its comment."""
    return " ".join(recipient.split()[:2]) if recipient.startswith("ssh-") else recipient.strip()


def kind(recipient: str) -> str:
    """Return `X25519`, `ssh-ed25519`, `ssh-rsa`, `tag`, or the name of the plugin that a recipient is for."""
    if recipient.startswith("ssh-"):
        return recipient.partition(" ")[0]
    named = _PLUGIN.fullmatch(recipient)
    return named[1] if named else "X25519"


def by_plugin(recipient: str) -> bool:
    """Whether a program beside authsome has to encrypt to a recipient."""
    return kind(recipient) not in ("X25519", "tag", *_SSH_TYPES)


def fingerprint(recipient: str) -> str:
    """Return what people compare: of an ssh key what `ssh-keygen -l` says, of another the SHA-256 of its text."""
    told = recipient.encode()
    if recipient.startswith("ssh-"):
        told = b64decode(recipient.split()[1])
    return f"SHA256:{b64encode(sha256(told).digest()).decode().rstrip('=')}"


def encrypt(plaintext: bytes, recipients: Iterable[str], reader: Identity, *, armored: bool = True) -> bytes:
    """Return an age file to the recipients, after `reader` has read it back."""
    listed = list(recipients)
    natives = [_usable(each) for each in listed]
    try:
        ciphertext: bytes = pyrage.encrypt(plaintext, natives, armored=armored)
    except pyrage.EncryptError:
        plugins = sorted({f"age-plugin-{kind(each)}" for each in listed if by_plugin(each)})
        raise AuthsomeError(
            f"cannot encrypt to all of the members together; {' or '.join(plugins) or 'age'} refuses",
            hint="nothing was written; see what it says by hand: age -R recipients.txt -o /dev/null recipients.txt",
            code=ExitCode.REFUSED,
        ) from None
    if reader.open(ciphertext) != plaintext:
        raise AuthsomeError("what was encrypted does not decrypt, nothing was written", code=ExitCode.INTEGRITY)
    return ciphertext


def check_recipient(text: str) -> None:
    """Raise (exit code 5) if this is no recipient that can be encrypted to, as far as its text tells."""
    _native_recipient(text)


def check_usable(text: str) -> None:
    """Raise if this machine cannot encrypt to a recipient (exit code 5), or has no plugin for it (3)."""
    _usable(text)


def _native_recipient(text: str) -> object:
    named = kind(text)
    if named in _POST_QUANTUM:
        # age encrypts to these only if to nobody else, and whoever writes here is a reader with another key.
        raise _unusable(
            f"{text[:24]}… is a post-quantum key, which age does not let stand beside others",
            "nothing was written; a file is as weak as its weakest recipient. Add an X25519 key (`age-keygen`)",
        )
    try:
        if named in _SSH_TYPES:
            return pyrage.ssh.Recipient.from_str(text)
        if named in ("X25519", "tag"):
            return (pyrage.tag if named == "tag" else pyrage.x25519).Recipient.from_str(text)
        return pyrage.plugin.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise _unusable(
            f"this version cannot encrypt to the recipient {text}",
            "nothing was written; X25519 (`age1…`), ssh-ed25519 and ssh-rsa keys and those of plugins can be used",
        ) from None


def _unusable(message: str, hint: str) -> AuthsomeError:
    return AuthsomeError(message, hint=hint, code=ExitCode.INTEGRITY)


class _NobodyThere:
    """What a plugin may ask of a person. Encrypting needs none of it, so nobody is there."""

    def display_message(self, message: str) -> None:
        """Show nothing: a plugin has the terminal for its own messages."""

    def confirm(self, message: str, yes: str, no: str | None) -> bool | None:
        """Give no answer."""

    def request_public_string(self, description: str) -> str | None:
        """Give no answer."""

    def request_passphrase(self, description: str) -> str | None:
        """Give no answer."""


def _usable(text: str) -> object:
    native = _native_recipient(text)
    if not by_plugin(text):
        return native
    program = f"age-plugin-{kind(text)}"
    if shutil.which(program) is None:
        raise AuthsomeError(
            f"{program} is not on PATH, and the recipient {text} needs it",
            hint=f"nothing was written; install {program}",
            code=ExitCode.MISSING,
        )
    try:
        return pyrage.plugin.RecipientPluginV1(kind(text), [native], [], _NobodyThere())
    except pyrage.EncryptError:
        raise AuthsomeError(
            f"{program} cannot be used",
            hint=f"nothing was written; see whether it runs: {program}",
            code=ExitCode.MISSING,
        ) from None
