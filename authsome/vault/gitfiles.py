"""What git is told of a vault that lies in a repository.

Promises that git never changes the ends of a vault's lines and never joins two versions of a file: where both sides
changed one, it stays as it was on this side, opens, and is marked as unmerged. Half of one ciphertext and half of
another is nothing, and a list of recipients that was joined would not be the one its keyring names. Refuses to touch
lines that somebody wrote.
"""

from pathlib import Path

from authsome.vault.files import read, replace

FILE_NAME = ".gitattributes"
DIFF = 'git config diff.authsome.textconv "authsome vault textconv"'
"""What each clone needs once for readable diffs: git takes no programs from a repository."""

_LINES = {
    b"*.age": b"-text -merge diff=authsome",
    b"recipients.txt": b"text eol=lf -merge",
}
_WHY = b"# The vault's files are encrypted: git must not convert or join them. For diffs that can be read, once:\n#   "


def write_attributes(root: Path) -> bool:
    """Write or complete the attributes of the vaults in a project's folder; return False if nothing was missing.

    A pattern for which there is a line is settled, whatever the line says.
    """
    path = root / FILE_NAME
    try:
        before = read(path)
    except FileNotFoundError:
        before = b""
    settled = {line.split()[0] for line in before.splitlines() if line.split()}
    missing = [pattern + b" " + rest + b"\n" for pattern, rest in _LINES.items() if pattern not in settled]
    if not missing:
        return False
    gap = b"" if not before or before.endswith(b"\n") else b"\n"
    replace(path, b"".join([before, gap, _WHY, DIFF.encode(), b"\n", *missing]))
    return True
