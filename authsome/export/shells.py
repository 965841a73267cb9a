"""Lines that a shell runs.

Promises that the variable holds, and hands to programs, exactly the bytes. Refuses a value with which nothing could be
started any more.
"""

import re
from collections.abc import Mapping

from authsome.export.unfit import UnfitError, startable

_CONTROL = re.compile(r"[\x01-\x1f\x7f]")
_PLAIN = re.compile(r"[ -~]+|[^ -~]")
_WINDOWS = 32_767
"""UTF-16 units of a variable on Windows, its NUL among them (SetEnvironmentVariable)."""


def posix(values: Mapping[str, str]) -> str:
    """Return what sh, dash, bash, ksh and zsh run, and direnv with bash."""
    return "".join(f"export {name}={_posix(name, value)}\n" for name, value in values.items())


def _posix(name: str, value: str) -> str:
    """Quote for a POSIX shell: between single quotes nothing has a meaning but the single quote."""
    startable(name, value)
    return "'" + value.replace("'", "'\\''") + "'"


def fish(values: Mapping[str, str]) -> str:
    """Return what fish runs; `| source` and `eval (…)`, which makes one line of all of them, read the same."""
    return "".join(f"set -gx {name} {_fish(name, value)};\n" for name, value in values.items())


def _fish(name: str, value: str) -> str:
    r"""Quote for fish: between single quotes only `\\` and `\'` have a meaning, outside of them `\xHH` is an octet."""
    startable(name, value)
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + _CONTROL.sub(lambda found: f"'\\x{ord(found[0]):02x}'", quoted) + "'"


def powershell(values: Mapping[str, str]) -> str:
    """Return what PowerShell runs, from 3 on."""
    return "".join(f"$env:{name} = {_powershell(name, value)}\n" for name, value in values.items())


def _powershell(name: str, value: str) -> str:
    """Return an expression in ASCII.

    Between single quotes only a quote has a meaning, and is doubled; the typographic ones count as quotes there. What
    another program prints is read in the console's code page and cut into lines, which come back with the ends that the
    system likes. So what is not printable ASCII is written as the number of its UTF-16 units.
    """
    startable(name, value)
    if not value:
        raise UnfitError(name, "is empty, and PowerShell before 7.5 removes such a variable")
    if len(value.encode("utf-16-le")) // 2 >= _WINDOWS:
        raise UnfitError(name, f"is longer than the {_WINDOWS - 1} characters that a variable has on Windows")
    parts = [part for found in _PLAIN.findall(value) for part in _units(found)]
    return parts[0] if parts[0].startswith("'") and len(parts) == 1 else f"-join ({', '.join(parts)})"


def _units(text: str) -> list[str]:
    if text.isascii() and text.isprintable():
        return ["'" + text.replace("'", "''") + "'"]
    octets = text.encode("utf-16-le")
    return [f"[char]{int.from_bytes(octets[at : at + 2], 'little')}" for at in range(0, len(octets), 2)]
