"""JSON, YAML and a Kubernetes manifest. Promises that every reader of them gets the same strings."""

import json
import re
from collections.abc import Mapping

from authsome.errors import AuthsomeError, ExitCode
from authsome.export.unfit import UnfitError

_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_FIRST_PLANE = 0xFFFF
_LARGEST_SECRET = 1024 * 1024
"""Octets of all values of a Secret (Kubernetes, MaxSecretSize)."""


def as_json(values: Mapping[str, str]) -> str:
    """Return one object, names and values."""
    return json.dumps(dict(values), ensure_ascii=False, indent=2) + "\n"


def yaml(values: Mapping[str, str]) -> str:
    """Return a mapping that YAML 1.1 and 1.2 read alike."""
    return "".join(f"{_scalar(name)}: {_scalar(value)}\n" for name, value in values.items()) or "{}\n"


def _scalar(text: str) -> str:
    r"""Return a double-quoted scalar in ASCII.

    Names are quoted, too: `NO`, `Y` and `ON` are booleans to YAML 1.1. The escapes `\uHHHH` and `\UHHHHHHHH` are
    in both versions; a character beyond the first plane is one of them, not two as in JSON.
    """
    return '"' + _SPECIAL.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    if found[0] in '"\\':
        return "\\" + found[0]
    number = ord(found[0])
    return f"\\u{number:04x}" if number <= _FIRST_PLANE else f"\\U{number:08x}"


def check_name(name: str) -> str:
    """Return a name that Kubernetes gives to a Secret (RFC 1123 subdomain), or raise (exit code 2)."""
    if not _SUBDOMAIN.fullmatch(name):
        raise AuthsomeError(
            f"{ascii(name[:40])} is not the name of a Kubernetes Secret",
            hint="use lower-case letters, digits, `-` and `.`, a letter or digit first and last",
            code=ExitCode.USAGE,
        )
    return name


def secret(values: Mapping[str, str], name: str) -> str:
    """Return a manifest of one Secret, whose name is checked."""
    from base64 import b64encode  # noqa: PLC0415  for this format alone

    encoded = {each: value.encode() for each, value in values.items()}
    if sum(map(len, encoded.values())) > _LARGEST_SECRET:
        raise UnfitError(max(encoded, key=lambda each: len(encoded[each])), "makes the Secret larger than 1 MiB")
    head = f'apiVersion: v1\nkind: Secret\nmetadata:\n  name: "{check_name(name)}"\ntype: Opaque\n'
    data = "".join(f'  "{each}": "{b64encode(value).decode()}"\n' for each, value in encoded.items())
    return f"{head}data:\n{data}" if data else f"{head}data: {{}}\n"
