"""Every secret of the tests carries a canary; what must not leak is searched for it."""

import base64
from pathlib import Path

CANARY = "CANARY"

OPENAI_KEY = "sk-CANARY0123456789abcdefghij"
OTHER_OPENAI_KEY = "sk-CANARYjihgfedcba9876543210"
ANTHROPIC_KEY = "sk-ant-CANARY0123456789abcdefghij"
G2_TOKEN = "g2-CANARY-0123456789"
GITHUB_TOKEN = "ghp_CANARY0123456789abcdefghijklmnopqrstuv"

OUTSIDE = "outside"
"""Files in folders of this name are what a provider or a person has: secrets belong there."""


def _spellings() -> list[bytes]:
    """The canary plain, reversed, in hex, and in base64 at each of its three alignments."""
    raw = CANARY.encode()
    # Only the characters that the canary alone decides: its neighbours are unknown.
    encoded = [
        base64.b64encode(b"x" * shift + raw + b"yy")[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]
        for shift in range(3)
    ]
    return [raw, raw[::-1], raw.hex().encode(), *encoded]


SPELLINGS = _spellings()


def sings(content: bytes) -> bool:
    """Whether a canary can be read from bytes."""
    return any(spelling in content for spelling in SPELLINGS)


def leaks(folder: Path) -> list[Path]:
    """Return the files below a folder that hold a canary and should not."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if OUTSIDE not in path.parts and sings(path.read_bytes())]
