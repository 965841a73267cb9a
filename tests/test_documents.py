import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import TypeAdapter, ValidationError

from authsome import documents
from authsome.documents import Closed
from authsome.errors import AuthsomeError, ExitCode
from sweep import examples


@dataclass(frozen=True)
class Leaf(Closed):
    colour: str
    size: int = 1


@dataclass(frozen=True)
class Tree(Closed):
    leaves: dict[str, Leaf | None]
    names: tuple[str, ...] = ()
    tall: bool = False
    sizes: dict[str, str | int] = field(default_factory=dict)


def _problem(tmp_path: Path, text: str | bytes, name: str = "tree.yaml") -> AuthsomeError:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(AuthsomeError) as caught:
        documents.shape(Tree, documents.read_yaml(path))
    assert caught.value.code is ExitCode.INVALID
    return caught.value


def test_a_document_becomes_the_dataclass_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text("leaves:\n  a: {colour: green}\n  b:\nnames: [x, y]\n")
    tree = documents.shape(Tree, documents.read_yaml(path))
    assert tree == Tree({"a": Leaf("green"), "b": None}, ("x", "y"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("leaves:\n  a:\n    color: red\n", ":3: unknown key `color` in `leaves.a`", "did you mean `colour`?"),
        ("leaves: {}\nqqq: 1\n", ":2: unknown key `qqq`", "known keys: leaves, names, tall, sizes"),
        ("leaves: {}\ntall: 'yes'\n", ":2: `tall`: must be true or false", None),
        ("leaves: {}\nnames: x\n", ":2: `names`: must be a list", None),
        ("leaves: {}\nnames: [x,\n  3]\n", ":3: `names.1`: must be text", None),
        ("leaves:\n  a: {colour: x, size: '3'}\n", ":2: `leaves.a.size`", None),
        ("names: []\n", ":1: `leaves` is missing", None),
        ("leaves: {}\nsizes: {a: [1]}\n", ":2: `sizes.a`: must be text", None),
        ("leaves: [1]\n", ":1: `leaves`: must be a mapping of keys to values", None),
        ("just text\n", ":1: the file must be a mapping", None),
        ("leaves: {}\nleaves: {}\n", ':2: found duplicate key "leaves"', None),
        ("leaves:\n\ta: 1\n", ":2: found character '\\t' that cannot start any token", "indent with spaces"),
        ("leaves: [\n", ":2: ", None),
        ("leaves: {1: {colour: x}}\n", ":1: a key must be text", None),
        ("leaves: 2026-01-01\n", "is not expected here", None),
        ("a: " + "[" * 30 + "]" * 30, "nested too deeply", None),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply", None),
        (b"leaves: {}\n\xff\n", ":2: not UTF-8 text", None),
        (b"leaves: \x00\n", ":1: ", None),
        (b"#" * (documents.MAX_BYTES + 1), "larger than 1 MiB", None),
    ],
)
def test_a_wrong_document_is_one_error_with_file_and_line(
    tmp_path: Path, text: str | bytes, message: str, hint: str | None
) -> None:
    error = _problem(tmp_path, text)
    assert message in error.message
    assert "\n" not in error.message
    assert error.message.startswith(f"{tmp_path}/tree.yaml")
    if hint:
        assert hint in (error.hint or "")


@pytest.mark.parametrize("text", ['!!int ""', 'version: !!int "+"', "!!bool x", "!!omap x", '!!float ""', '!!int "0x"'])
def test_a_tag_on_what_is_none_of_its_kind_is_an_error_like_any_other(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(AuthsomeError, match=r"m\.yaml:1: not valid YAML"):
        documents.read_yaml(path)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "too large" in _problem(tmp_path, "\n".join(rows)).message


def test_what_is_too_deep_or_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    for text in ("[" * 6000, "{a: " * 6000, "- " * 6000, "? " * 6000, "".join(f"{' ' * n}a:\n" for n in range(1000))):
        begin = time.process_time()
        assert "nested too deeply" in _problem(tmp_path, text).message
        assert time.process_time() - begin < 5  # it was thirteen seconds for the first
    assert f":{documents.MAX_DEPTH + 1}: " in _problem(tmp_path, text).message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"leaves": {},\n "leaves": {}}', ":2: the key `leaves` stands there twice"),
        ('{"leaves": {"a":\n {"color": "x"}}}', ":2: unknown key `color` in `leaves.a`"),
        ('{"leaves": \n', ":2: expecting value"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_json_file_is_one_error_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tree.json"
    path.write_text(text)
    with pytest.raises(AuthsomeError, match=":") as caught:
        documents.shape(Tree, documents.read_json(path))
    assert message in caught.value.message


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuthsomeError, match="cannot read .*no such file"):
        documents.read_yaml(tmp_path / "none.yaml")
    with pytest.raises(AuthsomeError, match="cannot read .*is a directory"):
        documents.read_yaml(tmp_path)


_SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.sampled_from(["", "x", "1"])
_DATA = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["leaves", "names", "tall", "colour", "size", "one", "any"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@dataclass(frozen=True)
class Everything(Closed):
    """Each kind of field that the documents of the program have."""

    one: Literal["1", "x"] = "1"
    names: str | tuple[str, ...] = ()
    leaves: dict[str, Leaf | None] | None = None
    any: dict[str, Any] | None = None
    tall: bool | None = None


@settings(max_examples=examples(1500, 200))
@given(_DATA)
def test_what_is_built_is_exactly_what_pydantic_accepts(data: Any) -> None:
    for kind in (Tree, Everything):
        try:
            expected = TypeAdapter(kind).validate_json(json.dumps(data), strict=True)
        except ValidationError:
            with pytest.raises(documents._MisfitError):  # noqa: SLF001  the two halves of `shape`
                documents._build(kind, data)  # noqa: SLF001
        else:
            assert documents._build(kind, data) == expected  # noqa: SLF001


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        documents.shape(Tree, documents.read_yaml(path))
    except AuthsomeError as error:
        assert error.code is ExitCode.INVALID


def test_a_pipe_in_the_place_of_a_file_is_an_error_and_nothing_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "authsome.yaml")
    with pytest.raises(AuthsomeError, match="is not a regular file"):
        documents.read_text(tmp_path / "authsome.yaml")


def _everywhere(data: Any, where: documents.Where = ()) -> list[documents.Where]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [where, *(each for key, value in inside for each in _everywhere(value, (*where, key)))]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1, "\t"]))
@settings(max_examples=100)
def test_every_part_of_a_json_text_has_its_line(data: Any, indent: int | str | None) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    lines = documents.json_lines(text)
    assert sorted(map(str, lines)) == sorted(map(str, _everywhere(data)))
    assert set(lines.values()) <= set(range(1, text.count("\n") + 2))


def test_a_line_of_json_is_that_of_the_key() -> None:
    text = '\n{ "a":\n [1,\n\n {"b" :\n 2}], "c": "x:,[" }\n'
    assert documents.json_lines(text) == {(): 2, ("a",): 2, ("a", 0): 3, ("a", 1): 5, ("a", 1, "b"): 5, ("c",): 6}


def test_what_is_nested_too_deeply_for_lines_still_has_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    path.write_text('{"leaves": {}, "x": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(AuthsomeError, match=":1: the file"):
        documents.shape(Tree, documents.read_json(path))
