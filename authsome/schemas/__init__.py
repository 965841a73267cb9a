"""The JSON Schemas of what authsome reads and of what it prints.

Promises that each is a file of this folder, as it is: draft-07, because editors read that, closed, and with a word on
every key. Those of `authsome.yaml` and of definitions are made from the models that read them (`tests/schemas.py`).
"""

import json
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, did_you_mean

MANIFEST = "authsome"

_FOLDER = Path(__file__).parent
_OUTPUT = "output/"


def titles() -> dict[str, str]:
    """Return every schema's name and what it describes: what is read first, then what is printed."""
    return {name: str(json.loads(path.read_text("utf-8"))["title"]) for name, path in _paths().items()}


def text(name: str) -> str:
    """Return a schema as it is published; an unknown name is an error (exit code 2) with the nearest one.

    Args:
        name: `authsome`, `definition`, or `output/` and the `kind` of an answer.
    """
    paths = _paths()
    if name not in paths:
        near = f"{_OUTPUT}{name}"
        hint = f"did you mean `{near}`?" if near in paths else did_you_mean(name, paths, "authsome schema --list")
        raise AuthsomeError(f"there is no schema `{name[:80]}`", hint=hint, code=ExitCode.USAGE)
    return paths[name].read_text("utf-8")


def _paths() -> dict[str, Path]:
    read = {path.name.removesuffix(".schema.json"): path for path in sorted(_FOLDER.glob("*.schema.json"))}
    return read | {f"{_OUTPUT}{path.stem}": path for path in sorted((_FOLDER / _OUTPUT).glob("*.json"))}
