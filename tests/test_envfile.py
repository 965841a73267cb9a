"""A file of variables keeps every octet but those of the values that are replaced."""

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, strategies as st

from authsome import envfile
from authsome.errors import AuthsomeError, ExitCode
from canary import OPENAI_KEY, sings
from disks import fill, small_disk

HELD = "authsome-proxy-managed"


def _read(text: str) -> dict[str, str | None]:
    return dotenv_values(stream=io.StringIO(text, newline=""), interpolate=False)


_BLANKS = st.sampled_from(["", " ", "\t", "  "])
_ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n"])
_LETTERS = st.text("abCD01-_=#$\\'\"{} \u2028é", max_size=8)
_VALUES = st.one_of(
    _LETTERS,
    st.builds("'{}'".format, st.text('ab\\" #=\n\ré', max_size=6)),
    st.builds('"{}"'.format, st.text("ab\\' #=\n\ré", max_size=6)),
)
_LINES = st.builds(
    "{}{}{}{}={}{}{}{}".format,
    _BLANKS,
    st.sampled_from(["", "export ", "export\t"]),
    st.sampled_from(["A", "B_KEY", "C", "'D E'", "export", "f.g", "é"]),
    *(_BLANKS, _BLANKS, _VALUES),
    st.sampled_from(["", " # it's", "#x", " trailing"]),
    _ENDS,
)
_TEXTS = st.builds(
    lambda bom, lines, end: bom + "".join(lines) + end,
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.one_of(_LINES, st.sampled_from(["# c = 'd\n", "\n", "NAKED\r\n", "A='open\n", "=x\n"])), max_size=6),
    st.sampled_from(["", "LAST=value", "LAST='value'", "\n\n "]),
)


@given(_TEXTS | st.text(max_size=30), st.data())
def test_replacing_changes_the_chosen_values_and_nothing_else(text: str, data: st.DataObject) -> None:
    lines = envfile.parse(text)
    able = [index for index, each in enumerate(lines) if each.value and not each.broken]
    chosen = set(data.draw(st.lists(st.sampled_from(able)) if able else st.just([])))
    made = envfile.replaced(text, lines, dict.fromkeys(chosen, HELD))
    after = envfile.parse(made)
    assert _around(text, lines, chosen) == _around(made, after, chosen)
    expected = {
        each.name: HELD if index in chosen else each.value for index, each in enumerate(lines) if not each.broken
    }
    assert _read(made) == expected
    assert _read(text) == {each.name: each.value for each in lines if not each.broken}


def _around(text: str, lines: tuple[envfile.Line, ...], chosen: set[int]) -> list[str]:
    """Return the text between the values of the chosen lines."""
    edges = [0, *(edge for index in sorted(chosen) for edge in lines[index].span), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        "A={}",
        "A={}\nB=x",
        "\ufeffA={}\r\nB=x\r\n",
        "# A=no\n\n  export   A =  {}   # why\n",
        "A='{}' # it's",
        'A="{}"\n',
        'A=  "{}"  \r# B=\'\n',
        "'A'={}\n",
        'X=\'two\nlines\'\nA={}\nY="\\""\n',
    ],
)
def test_the_line_and_the_form_are_kept(text: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(text.format("first").encode())
    file = envfile.read(path)
    lines = envfile.parse(file.text)
    (index,) = (index for index, each in enumerate(lines) if each.value == "first")
    assert lines[index].number == text.replace("\r\n", "\n").replace("\r", "\n").partition("{}")[0].count("\n") + 1
    file.write(envfile.replaced(file.text, lines, {index: HELD}))
    assert path.read_bytes() == text.format(HELD).encode()


def test_a_quote_that_is_left_open_names_its_line() -> None:
    lines = envfile.parse(f'A=1\nOPENAI_API_KEY="{OPENAI_KEY}\nB=2\n')
    assert [(each.name, each.broken, each.number) for each in lines] == [
        ("A", False, 1),
        ("OPENAI_API_KEY", True, 2),
        ("B", False, 3),
    ]
    assert not sings(repr(lines).encode())


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    envfile.read(path).write("A=2\n")
    after = path.stat()
    assert path.read_text() == "A=2\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


def _link_out(path: Path) -> None:
    (path.parent.parent / "other").write_text("A=1\n")
    path.unlink()
    path.symlink_to("../other")


def _hard_link(path: Path) -> None:
    path.with_name("second").hardlink_to(path)


def _change(path: Path) -> None:
    path.write_text("A=3\n")


def _exchange(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.write_text("A=1\n")


def _loosen(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize(
    ("happens", "before", "said"),
    [
        (_link_out, True, "a link that leads out of its folder"),
        (_hard_link, True, "a second name"),
        (_change, False, "was changed while"),
        (_exchange, False, "was changed while"),
        (_loosen, False, "was changed while"),
    ],
)
def test_what_cannot_be_replaced_safely_stays_as_it_is(
    tmp_path: Path, happens: Callable[[Path], None], before: bool, said: str
) -> None:
    path = tmp_path / "folder" / ".env"
    path.parent.mkdir()
    path.write_text("A=1\n")
    if before:
        happens(path)
    file = envfile.read(path)
    if not before:
        happens(path)
    found = path.read_text()
    with pytest.raises(AuthsomeError, match=said) as caught:
        file.write("A=2\n")
    assert caught.value.code is ExitCode.MISSING
    assert path.read_text() == found
    assert not [each for each in path.parent.iterdir() if each.name.startswith("..env")]


def test_a_link_within_the_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("A=1\n")
    (tmp_path / ".env").symlink_to("real")
    envfile.read(tmp_path / ".env").write("A=2\n")
    assert (tmp_path / ".env").is_symlink()
    assert (tmp_path / "real").read_text() == "A=2\n"


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    (tmp_path / "..env.4711.0123abcd").write_text("A=1\n")
    (tmp_path / "..env.local.4711.0123abcd").write_text("B=1\n")
    envfile.read(tmp_path / ".env").write("A=2\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["..env.local.4711.0123abcd", ".env"]


def test_on_a_full_disk_the_file_stays_as_it_is(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        path = disk / ".env"
        path.write_text("A=1\n" + "#\n" * 8000)
        file = envfile.read(path)
        fill(disk, leaving=0)
        with pytest.raises(AuthsomeError, match="no space left") as caught:
            file.write("A=2\n" + "#\n" * 8000)
        assert caught.value.hint == f"{path} is as it was"
        assert path.read_text().startswith("A=1\n")
        assert sorted(each.name for each in disk.iterdir()) == [".env", "ballast"]


def test_what_is_no_small_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    for content, said in (
        (b"A=" + b"x" * (5 << 20), "larger than 256 KiB"),
        ("A=1".encode("utf-16"), r"not UTF-8 text \(line 1\)"),
        (b"A=1\nB=\xff\n", r"not UTF-8 text \(line 2\)"),
        (b"A=1\nB=\0\n", "line 2 has a NUL"),
    ):
        path.write_bytes(content)
        with pytest.raises(AuthsomeError, match=said) as caught:
            envfile.read(path)
        assert caught.value.code is ExitCode.USAGE
    path.unlink()
    with pytest.raises(AuthsomeError, match="no such file"):
        envfile.read(path)
    os.mkfifo(path)
    for odd in (path, tmp_path, Path(os.devnull)):
        with pytest.raises(AuthsomeError, match="cannot read|not a regular file"):
            envfile.read(odd)


def test_a_file_that_is_not_ones_own_to_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0)
    if os.geteuid() == 0:  # who may read everything
        monkeypatch.setattr(os, "open", _denied)
    with pytest.raises(AuthsomeError, match=r"cannot read .*\.env: permission denied"):
        envfile.read(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0


def _denied(path: Path, *_: object) -> int:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("text", ["A=1\nB=x" + " " * 200_000 + "y\n", "\n" * 200_000 + "A" + "=1\n" * 1000])
def test_no_text_makes_the_reader_slow(text: str) -> None:
    try:
        envfile.parse(text)
    except AuthsomeError as error:
        assert error.message == "line 2 has more than 512 blanks in a row"
