"""Age files from outside: what can be told of one without a key.

Promises to take exactly what age takes: its armor, its header's grammar, a payload of a possible size. Refuses to
guess; what is damaged is said in a few words.

The format is https://age-encryption.org/v1.
"""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

BEGIN, END = b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----"
VERSION = b"age-encryption.org/v1"
CHUNK, TAG, NONCE = 1 << 16, 16, 16
_COLUMNS = 64
_B64 = rb"[A-Za-z0-9+/]"
_HEADER = re.compile(
    VERSION.replace(b".", rb"\.") + rb"\n"
    rb"(?P<stanzas>(?:-> [!-~]+(?: [!-~]+)*\n(?:" + _B64 + rb"{64}\n)*" + _B64 + rb"{0,63}\n)+)"
    rb"--- " + _B64 + rb"{43}\n"
)
_STANZA = re.compile(rb"^-> ([!-~]+)", re.MULTILINE)
_CONFLICT = (b"<" * 7, b"=" * 7, b">" * 7)


class FormError(Exception):
    """This does not open, with whatever key; the message says why and starts with a verb."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What an age file says to everybody.

    Attributes:
        stanzas: The type of each recipient's, for example `X25519`; those that are there to be ignored left out.
        size: Bytes of plaintext.
    """

    stanzas: tuple[str, ...]
    size: int


def look(content: bytes) -> Outside:
    """Return what an armored age file shows, or raise `FormError`."""
    if conflicted(content):
        raise FormError("has a conflict that git left")
    return look_at(unarmored(content))


def look_at(raw: bytes) -> Outside:
    """Return what an age file that is not armored shows, or raise `FormError`."""
    header = _HEADER.match(raw)
    if header is None:
        raise FormError("is damaged: its header is none of age's")
    stanzas = (kind.decode() for kind in _STANZA.findall(header["stanzas"]))
    payload = len(raw) - header.end() - NONCE
    chunks = max(1, -(-payload // (CHUNK + TAG)))
    if payload < TAG or payload - chunks * TAG < (chunks - 1) * CHUNK:
        raise FormError("is damaged: it was cut")
    return Outside(tuple(kind for kind in stanzas if not kind.endswith("-grease")), payload - chunks * TAG)


def is_age(content: bytes) -> bool:
    """Whether this means to be an age file, armored or not."""
    return content.lstrip().startswith((BEGIN, VERSION))


def conflicted(content: bytes) -> bool:
    """Whether git wrote two versions of a file into it, between its marks."""
    starts = (line[:7] for line in content.splitlines())
    return all(mark in starts for mark in _CONFLICT)  # each is looked for after the one before


def armored(raw: bytes) -> bytes:
    """Return an age file as text."""
    text = b64encode(raw)
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return b"\n".join([BEGIN, *lines, END, b""])


def binary(content: bytes) -> bytes:
    """Return the bytes of an age file that may be armored, or raise `FormError`."""
    return unarmored(content) if content.lstrip().startswith(BEGIN) else content


def unarmored(content: bytes) -> bytes:
    """Return the bytes of an age file as text, or raise `FormError`."""
    lines = content.strip().splitlines()
    if not lines or lines[0] != BEGIN:
        raise FormError("is not an age file")
    if lines[-1] != END or len(lines) < 3:  # noqa: PLR2004  begin, something, end
        raise FormError("is damaged: its end is missing")
    if any(len(line) != _COLUMNS for line in lines[1:-2]) or not 0 < len(lines[-2]) <= _COLUMNS:
        raise FormError("is damaged: a line has another length than age writes")
    try:
        return b64decode(b"".join(lines[1:-1]), validate=True)
    except ValueError:
        raise FormError("is damaged: it is not base64") from None
