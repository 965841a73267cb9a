"""YAML and JSON files as closed, typed values.

Promises that a document either becomes the dataclass asked for or one error with file:line: an unknown key names the
nearest known one, and duplicate keys, aliases without end, tabs, binary and oversized files are errors, not surprises.
Refuses anchors and aliases that multiply, keys that nobody reads, and values that only look like the right type.

The types are plain dataclasses that check themselves in `__post_init__`. What does not fit them is explained by
pydantic, which is imported for that alone: it costs more than everything else a short command does.
"""

import json
import os
import stat
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, cast, get_args, get_origin, get_type_hints

from authsome.errors import AuthsomeError, ExitCode, as_utf8, did_you_mean, file_errors

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from ruamel.yaml import YAML

type Where = tuple[str | int, ...]
"""The keys and indices that lead to a value, outermost first."""

_FOR_EDITORS = "$schema"

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 20
MAX_MISFITS = 100


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and the line each part of it starts on.

    Attributes:
        lines: None for JSON, whose lines are looked up in `text` when something is wrong.
    """

    path: Path
    data: Any
    lines: Mapping[Where, int] | None
    text: str = field(default="", repr=False)

    def line(self, where: Where) -> int:
        """Return the line of the innermost part of `where` that the file holds."""
        lines = json_lines(self.text) if self.lines is None else self.lines
        known = next((where[:end] for end in range(len(where), -1, -1) if where[:end] in lines), ())
        return lines.get(known, 1)

    def at(self, where: Where) -> str:
        """Return `file:line` of that part."""
        return f"{self.path}:{self.line(where)}"

    def error(self, where: Where, message: str, hint: str | None = None) -> AuthsomeError:
        """Return the error that `message` is wrong at `where`."""
        return AuthsomeError(f"{self.at(where)}: {message}", hint=hint, code=ExitCode.INVALID)


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing in which a document does not fit."""

    where: Where
    message: str
    hint: str | None = None


class Closed:
    """Base of the dataclasses that documents become: a key that is not a field is an error."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def read_text(path: Path) -> str:
    """Return the text of a small UTF-8 file, or say why not."""
    # NOTE: a pipe in the place of a file would make whoever follows its edits wait for ever; see `reload`.
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    with file_errors("read", path), os.fdopen(os.open(path, how), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise AuthsomeError(f"{path} is not a regular file", code=ExitCode.INVALID)
        raw = file.read(MAX_BYTES + 1)
    return decoded(path, raw)


def decoded(path: Path, raw: bytes) -> str:
    """Return the text of a file's first `MAX_BYTES` + 1 bytes, or say why it cannot be one."""
    if len(raw) > MAX_BYTES:
        raise AuthsomeError(f"{path} is larger than {MAX_BYTES >> 20} MiB", code=ExitCode.INVALID)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AuthsomeError(f"{path}:{line}: not UTF-8 text", code=ExitCode.INVALID) from error


def read_yaml(path: Path) -> Document:
    """Return a YAML 1.2 (or JSON) file with the line of each of its parts."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415  as in `_loader`

    text = read_text(path)
    try:
        tree = _loader().load(text)
    except _TooMuchError as error:
        raise AuthsomeError(f"{path}:{error}: too large or nested too deeply", code=ExitCode.INVALID) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or error.context or "not valid YAML").splitlines()[0]
        raise AuthsomeError(
            f"{path}:{mark.line + 1 if mark else 1}: {problem}",
            hint="indent with spaces, one `key: value` a line" if "tab" in problem or "\\t" in problem else None,
            code=ExitCode.INVALID,
        ) from error
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # NOTE: ruamel's own mistakes with a tag on what is none of its kind: `!!int ""`, `!!bool x`, `!!omap x`.
        raise AuthsomeError(f"{path}:1: not valid YAML", code=ExitCode.INVALID) from error
    lines: dict[Where, int] = {(): 1}
    return Document(path, _plain(path, tree, (), lines), lines)


class _TooMuchError(Exception):
    """A document goes beyond what a file of ours can be; holds the line where it does."""


def _loader() -> "YAML":
    """Return a reader that gives up where a document becomes too large.

    NOTE: to have six kilobytes of brackets read first and counted then took thirteen seconds.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415  a run without a manifest does not pay for it
    from ruamel.yaml.composer import Composer  # noqa: PLC0415

    class Bounded(Composer):
        composed = level = 0  # `depth` is a name of its own

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.composed += 1
            self.level += 1
            if self.composed > 2 * MAX_NODES or self.level > MAX_DEPTH + 1:  # a key is a node, too
                raise _TooMuchError(self.parser.peek_event().start_mark.line + 1)
            found = super().compose_node(parent, index)
            self.level -= 1
            return found

    made = YAML(typ="rt")
    made.Composer = Bounded
    return made


def _plain(path: Path, node: Any, where: Where, lines: dict[Where, int]) -> Any:
    """Copy ruamel's tree into plain data and note where each part stands."""
    positions: Mapping[Any, Any] = getattr(getattr(node, "lc", None), "data", None) or {}
    if len(lines) > MAX_NODES or len(where) > MAX_DEPTH:
        # NOTE: aliases make a small file large; the copy is what would blow up, so it is the copy that is counted.
        raise AuthsomeError(f"{path}:{lines[()]}: too large or nested too deeply", code=ExitCode.INVALID)
    if isinstance(node, dict):
        copy = {}
        for key, value in node.items():
            if not isinstance(key, str):
                line = positions[key][0] + 1 if key in positions else 1
                raise AuthsomeError(f"{path}:{line}: a key must be text, quote it", code=ExitCode.INVALID)
            here = (*where, str(key))
            lines[here] = positions[key][0] + 1 if key in positions else lines.get(where, 1)
            copy[str(key)] = _plain(path, value, here, lines)
        return copy
    if isinstance(node, list):
        items = []
        for index, value in enumerate(node):
            here = (*where, index)
            lines[here] = positions[index][0] + 1 if index in positions else lines.get(where, 1)
            items.append(_plain(path, value, here, lines))
        return items
    for plain in (bool, int, float, str):
        if isinstance(node, plain):
            return plain(node)
    if node is None:
        return None
    raise AuthsomeError(
        f"{path}:{lines.get(where, 1)}: a {type(node).__name__} is not expected here", code=ExitCode.INVALID
    )


def read_json(path: Path) -> Document:
    """Return a JSON file."""
    return parse_json(path, read_text(path))


def parse_json(path: Path, text: str) -> Document:
    """Return the text of a JSON file."""
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise AuthsomeError(f"{path}:{error.lineno}: {error.msg.lower()}", code=ExitCode.INVALID) from error
    except _DuplicateKeyError as error:
        line = max((n for n, row in enumerate(text.splitlines(), 1) if f'"{error}"' in row), default=1)
        raise AuthsomeError(f"{path}:{line}: the key `{error}` stands there twice", code=ExitCode.INVALID) from error
    except RecursionError as error:
        raise AuthsomeError(f"{path}:1: nested too deeply", code=ExitCode.INVALID) from error
    except ValueError as error:  # Python's word for a number of thousands of digits
        raise AuthsomeError(f"{path}:1: a number is too long", code=ExitCode.INVALID) from error
    return Document(path, data, None, text)


@lru_cache(maxsize=1)  # whoever says all that is wrong with a file asks for each of it
def json_lines(text: str) -> Mapping[Where, int]:
    """Return the line on which each part of a JSON text starts; a member starts with its key."""
    ends = [place for place, char in enumerate(text) if char == "\n"]
    lines: dict[Where, int] = {}
    decode = json.JSONDecoder().raw_decode

    def next_at(place: int) -> int:
        """Return where the next token stands; a comma and a colon are none."""
        while text[place] in " \t\r\n,:":
            place += 1
        return place

    def scan(where: Where, place: int) -> int:
        """Note the lines of a value, and return where it ends."""
        lines.setdefault(where, 1 + bisect_left(ends, place))
        if text[place] not in "{[":
            return int(decode(text, place)[1])
        named, index = text[place] == "{", 0
        place = next_at(place + 1)
        while text[place] not in "}]":
            key: str | int = index
            if named:
                line = 1 + bisect_left(ends, place)
                key, place = decode(text, place)
                lines[*where, key] = line
                place = next_at(place)
            place = next_at(scan((*where, key), place))
            index += 1
        return place + 1

    with suppress(RecursionError):
        scan((), next_at(0))
    return lines


class _DuplicateKeyError(ValueError):
    """A JSON object names one key twice; RFC 8259 leaves the meaning open, so it has none here."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(key)
        found[key] = value
    return found


def shape[T](kind: type[T], document: Document) -> T:
    """Return the document as a `kind`, or raise an error (exit code 6) that names file, line and what is wrong.

    A `$schema` at its top is for editors, and not read. What fits is built at once. What does not fit goes to pydantic,
    which takes five times as long to import as all the rest of a short command, and knows where and why.
    """
    document = replace(document, data=_without_schema(document.data))
    try:
        return cast("T", _build(kind, document.data))
    except (_MisfitError, ValueError):
        raise _explained(kind, document) from None


def _without_schema(data: Any) -> Any:
    if isinstance(data, dict) and isinstance(data.get(_FOR_EDITORS), str):
        return {key: value for key, value in data.items() if key != _FOR_EDITORS}
    return data


def misfits(kind: type, document: Document) -> tuple[Misfit, ...]:
    """Return everything in which a document does not fit a `kind`, `MAX_MISFITS` at most; nothing if it fits."""
    document = replace(document, data=_without_schema(document.data))
    try:
        _build(kind, document.data)
    except (_MisfitError, ValueError):
        return _all_explained(kind, document)
    return ()


def _all_explained(kind: type, document: Document) -> tuple[Misfit, ...]:
    """Return what is wrong with a document, each place once: pydantic has a finding for each member of a union."""
    problems = _problems(kind, document)[:MAX_MISFITS]
    placed = [(_where(document.data, each), each) for each in problems]
    found: dict[Where, Misfit] = {}
    for where, each in placed:
        deeper = any(len(other) > len(where) and other[: len(where)] == where for other, _ in placed)
        if not (deeper and each["type"] in _EXPECTED):
            found.setdefault(where, Misfit(where, *_in_words(kind, where, each)))
    return tuple(found.values()) or (Misfit((), _NO_WORDS),)


def _explained(kind: type, document: Document) -> AuthsomeError:
    """Return what is wrong with a document that does not fit."""
    problems = _problems(kind, document)
    if not problems:
        return document.error((), _NO_WORDS)
    where = _where(document.data, problems[0])
    message, hint = _in_words(kind, where, problems[0])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return document.error(where, message + more, hint)


_NO_WORDS = "does not have the expected form"
"""Of what pydantic would accept; the two never disagree (a property of the tests); if they did, doubt means refusal."""


def _problems(kind: type, document: Document) -> list[Mapping[str, Any]]:
    """Return pydantic's findings; a misspelt key is often also a missing one, the misspelling is what to tell first."""
    from pydantic import ValidationError  # noqa: PLC0415  see `shape`

    try:
        # Through JSON, because only there does pydantic's strict mode take a list for a tuple.
        _adapter(kind).validate_json(as_utf8(json.dumps(document.data, ensure_ascii=False)), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return sorted(found, key=lambda each: each["type"] != _UNKNOWN_KEY)
    return []


@cache
def _adapter(kind: type) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter  # noqa: PLC0415  see `shape`

    return TypeAdapter(kind)


def _where(data: Any, problem: Mapping[str, Any]) -> Where:
    """Return pydantic's location without the names of union members, which the file does not hold."""
    where: Where = ()
    # Half a surrogate pair is no more in what pydantic read.
    location, missing = problem["loc"], problem["type"] in (*_MISSING, _UNKNOWN_KEY)
    for index, part in enumerate(location):
        holds = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if holds:
            data = data[part]
        if holds or (missing and isinstance(data, dict) and index == len(location) - 1):
            where = (*where, part)
    return where


def _in_words(kind: type, where: Where, problem: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return message and hint for one of pydantic's findings; its own wording speaks of arguments and inputs."""
    name = f"`{'.'.join(str(part) for part in where)}`" if where else "the file"
    if problem["type"] == _UNKNOWN_KEY:
        known = _keys_at(kind, where[:-1])
        around = f" in `{'.'.join(str(part) for part in where[:-1])}`" if where[:-1] else ""
        hint = did_you_mean(str(where[-1]), known, f"known keys: {', '.join(known)}")
        return f"unknown key `{where[-1]}`{around}", hint
    match problem["type"]:
        case problem_type if problem_type in _MISSING:
            return f"{name} is missing", None
        case "value_error":
            return f"{name}: {problem['ctx']['error']}", None
        case "dataclass_type":
            return f"{name} must be a mapping of keys to values", None
        case other:
            return f"{name}: {_EXPECTED.get(other, str(problem['msg']).lower())}", None


_UNKNOWN_KEY = "unexpected_keyword_argument"  # pydantic's name for it in a dataclass
_MISSING = ("missing", "missing_argument")
_EXPECTED = {
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
}


def _keys_at(kind: Any, where: Where) -> list[str]:
    """Return the keys that the dataclass at `where` inside `kind` knows."""
    for part in where:
        kind = _inside(kind, part)
    options = [option for option in (get_args(kind) or (kind,)) if is_dataclass(option)]
    return [each.name for option in options for each in fields(option)]


def _inside(kind: Any, part: str | int) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kind = next((option for option in get_args(kind) if option not in (NoneType, str)), None)
    if is_dataclass(kind):
        return _hints(cast("Any", kind)).get(str(part))
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if arguments else None


class _MisfitError(Exception):
    """Data does not have the shape of a type; only `shape` sees it."""


def _build(kind: Any, data: Any) -> Any:
    """Return data as a `kind`, as strictly as pydantic's strict mode would."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _build_option(get_args(kind), data)
    if origin is Literal:
        if not any(type(data) is type(option) and data == option for option in get_args(kind)):
            raise _MisfitError
        return data
    if origin is tuple and isinstance(data, list):
        return tuple(_build(get_args(kind)[0], item) for item in data)
    if origin is dict and isinstance(data, dict):
        return {key: _build(get_args(kind)[1], value) for key, value in data.items()}
    if is_dataclass(kind) and isinstance(data, dict):
        return _build_dataclass(kind, data)
    if kind is Any or type(data) is kind:
        return data
    raise _MisfitError


def _build_option(options: tuple[Any, ...], data: Any) -> Any:
    for option in options:
        try:
            return _build(option, data)
        except _MisfitError:
            continue
    raise _MisfitError


def _build_dataclass(kind: Any, data: dict[str, Any]) -> Any:
    hints = _hints(kind)
    if not _needed(kind) <= data.keys() <= hints.keys():
        raise _MisfitError
    return kind(**{key: _build(hints[key], value) for key, value in data.items()})


@cache
def _needed(kind: Any) -> frozenset[str]:
    """Return the fields without a default."""
    return frozenset(each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return field → type; the configuration that `Closed` carries is no field."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}
