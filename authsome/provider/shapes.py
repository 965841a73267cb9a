"""What the child holds instead of a secret: one text for all, or one of the shape that a client insists on.

Promises that a stand-in is the same whenever it is made, that it can be told from a key wherever it turns up, and that
no two connections of a run share one. It is made of names alone, so there is nothing in it to keep.
"""

import re
from base64 import b32encode
from collections.abc import Iterator, Mapping
from hashlib import sha256

from authsome.provider.names import PLACEHOLDER, SLOT

MARK = b"authsome".hex()
"""What a stand-in of hexadecimal digits begins with."""
MARK_32 = "AUTHSOME"
"""What one of the letters of RFC 4648, 6 begins with."""

_LEAST_HEX, _LEAST_32, _MOST = 22, 16, 64
_ALPHABETS = {"hex": "0-9a-f", "base32": "A-Z2-7", "digit": "0-9"}
_PART = re.compile(r"\{(?P<alphabet>hex|base32|digit):(?P<length>[0-9]{1,3})\}")
_MADE = re.compile(f"{MARK}[0-9a-f]{{{_LEAST_HEX - len(MARK)},}}|{MARK_32}[A-Z2-7]{{{_LEAST_32 - len(MARK_32)},}}")
_SAFE = re.compile(r"[A-Za-z0-9._~:/+=-]*")


def mentions(text: str) -> bool:
    """Whether a stand-in is anywhere in a text, of whatever shape."""
    return PLACEHOLDER in text or ((MARK in text or MARK_32 in text) and _MADE.search(text) is not None)


def check(shape: str) -> None:
    """Raise `ValueError` for a shape that could not be told from a key, or from the stand-in of another connection."""
    parts = [(found["alphabet"], int(found["length"])) for found in _PART.finditer(shape)]
    if not any(length >= {"hex": _LEAST_HEX, "base32": _LEAST_32}.get(kind, _MOST + 1) for kind, length in parts):
        raise ValueError(
            f"{ascii(shape)} has no room to be known by: `{{hex:{_LEAST_HEX}}}` or `{{base32:{_LEAST_32}}}` at least"
        )
    if any(not 0 < length <= _MOST for _, length in parts):
        raise ValueError(f"{ascii(shape)}: a part has 1 to {_MOST} characters")
    if not _SAFE.fullmatch(SLOT.sub("", _PART.sub("", shape))):
        raise ValueError(f"{ascii(shape)} holds a character that no key has")


def filled(shape: str, names: tuple[str, ...], settings: Mapping[str, str]) -> str | None:
    """Return the stand-in of this shape; None while a setting in it is missing.

    Args:
        names: What tells it from others: provider, connection, field.
    """
    if any(slot not in settings for slot in SLOT.findall(_PART.sub("", shape))):
        return None
    made = _parts(shape, "/".join(names))
    return SLOT.sub(lambda slot: settings[slot[1]], _PART.sub(lambda _: next(made), shape))


def _parts(shape: str, name: str) -> Iterator[str]:
    for number, found in enumerate(_PART.finditer(shape)):
        yield _part(found["alphabet"], int(found["length"]), sha256(f"{name}/{number}".encode()).digest())


def _part(alphabet: str, length: int, digest: bytes) -> str:
    more = digest + sha256(digest).digest()
    if alphabet == "digit":
        return "".join(str(octet % 9 + 1) for octet in more)[:length]
    if alphabet == "base32":
        text = b32encode(more).decode()
        return (MARK_32 + text if length >= _LEAST_32 else text)[:length]
    return (MARK + more.hex() if length >= _LEAST_HEX else more.hex())[:length]
