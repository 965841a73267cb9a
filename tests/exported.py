"""Values that tell formats apart, and small readers of formats, written from their documentation.

A reader here shares no code with what it reads, and stands in where the real one cannot be run in every test.
"""

import base64
import re
import shlex
from collections.abc import Callable, Mapping
from io import StringIO
from random import Random

import dotenv
import ruamel.yaml
import yaml

from authsome.errors import AuthsomeError
from authsome.export import Format, render

_PIECES = [
    *(
        "'",
        '"',
        "`",
        "\\",
        "$",
        "${",
        "}",
        "%",
        "%0A",
        "#",
        " #",
        " ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "=",
        "!",
        "*",
        "~",
    ),
    *(
        "\\n",
        "\\'",
        '\\"',
        "\\\\",
        "$(id)",
        "$HOME",
        "${HOME}",
        "%HOME%",
        "a",
        "B9",
        "é",
        "☃",
        "😀",
        "‘",
        "’",
        "\u2028",
    ),
    *(
        "\x85",
        "\ufeff",
        "\ufffe",
        "\uf601",
        "\ufdd0",
        "\x1b",
        "\x7f",
        "EOF",
        "<<",
        "::",
        "---",
        "null",
        "yes",
        "0x1F",
        "1e3",
    ),
]
TELLING = [
    *("plain-value_1.0/=+:@%,", "with space", "trailing ", " leading", "it's", 'say "hi"', "a$b", "$(touch x)"),
    *(
        "`touch x`",
        "a\nb",
        "ünïcödé ☃",
        "😀",
        "",
        "#not a comment",
        "a #b",
        "=",
        "a\\nb",
        "a\\b",
        "tab\there",
        "~",
        "*",
    ),
    *(
        "!x",
        "{a,b}",
        "it's #1",
        "x;y&z|w<>()",
        "'quoted'",
        '"quoted"',
        "\n",
        "a\n",
        "\na",
        "end\\",
        "a\\\\b",
        "it's $HOME",
    ),
    *(
        "${HOME}",
        "'\"$`\\",
        "a\rb",
        "a\r",
        "a\r\nb",
        "%PATH%",
        "100%",
        "%0A",
        "nul\0",
        "null",
        "yes",
        "0x1F",
        "1e3",
        "- x",
    ),
    *(
        "a: b",
        "[x]",
        "<<",
        "::add-mask::x",
        "‘smart’",
        "\\",
        "'",
        '"',
        "it's \\d",
        "a'b\"c",
        "export X=1",
        "\u2028",
        "\ufeff",
    ),
    *("=yes", "a:=sh", "==", "`a'b\"c`", "`a'b\""),
    '{"type": "service_account", "key": "-----BEGIN\\nEND-----"}',
    "-----BEGIN KEY-----\nabc==\n-----END KEY-----\n",
]
LONG = "x" * (1024 * 1024)


def many(seed: int, number: int) -> list[str]:
    """Return the telling values, every character that some reader might take for its own, and mixtures."""
    telling = [*range(1, 0x300), *range(0x2000, 0x2070), *range(0xF600, 0xF700), *range(0xFDD0, 0xFDF0)]
    telling += [
        *range(0xFE00, 0xFE10),
        0x3000,
        0xE000,
        *range(0xF8F0, 0xF900),
        *range(0xFFF0, 0x10000),
        0x1F600,
        0x10FFFF,
    ]
    random = Random(seed)  # noqa: S311  the same values every time
    mixed = ["".join(random.choices(_PIECES, k=random.randint(2, 7))) for _ in range(number)]
    return [*TELLING, *(f"a{chr(each)}b" for each in telling), *(chr(each) for each in range(1, 0x100)), *mixed]


def written(form: Format, values: list[str]) -> tuple[str, dict[str, str]]:
    """Return the text of all values that a format carries, one after the other, and what it says of them."""
    texts, expected = [], {}
    for number, value in enumerate(values):
        name = f"V{number}"
        try:
            texts.append(render({name: value}, form))
        except AuthsomeError as error:
            assert f"the value of {name} " in error.message, error.message
            assert "--format" in (error.hint or ""), error.hint
            continue
        expected[name] = value
    return "".join(texts), expected


# Readers.


def posix(text: str) -> dict[str, str]:
    """`export NAME='…'` and `NAME=…` as the standard library splits words (POSIX, 2.2)."""
    words = shlex.split(text, posix=True)
    return dict(word.split("=", 1) for word in words if word != "export")


def fish(text: str) -> dict[str, str]:
    r"""`set -gx NAME words`: in single quotes `\\` and `\'`, outside of them `\xHH` (fish, The language: Quotes)."""
    found = {}
    for line in text.removesuffix("\n").split("\n"):
        match = re.fullmatch(r"set -gx (\w+) (.*);", line)
        assert match, line
        found[match[1]], rest = "", match[2]
        while rest:
            if part := re.match(r"'((?:\\.|[^'\\])*)'", rest):
                found[match[1]] += re.sub(r"\\([\\'])", r"\1", part[1])
            else:
                part = re.match(r"\\x([0-9a-f]{2})", rest)
                assert part, rest
                found[match[1]] += chr(int(part[1], 16))
            rest = rest[part.end() :]
    return found


_POWERSHELL_QUOTES = "'\u2018\u2019\u201a\u201b"


def powershell(text: str) -> dict[str, str]:
    """`$env:NAME = expression` (about_Quoting_Rules, about_Join; the language specification, 2.3.5.2 and 2.3.5.1)."""
    assert text.isascii()
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\$env:(\w+) = (?:-join \((.*)\)|('.*'))", line)
        assert match, line
        units, rest = b"", match[2] or match[3]
        while rest:
            if part := re.match(rf"'((?:[{_POWERSHELL_QUOTES}]{{2}}|[^{_POWERSHELL_QUOTES}])*)'(?:, |$)", rest):
                units += re.sub(rf"[{_POWERSHELL_QUOTES}](.)", r"\1", part[1]).encode("utf-16-le")
            else:
                part = re.match(r"\[char\](\d+)(?:, |$)", rest)
                assert part, rest
                units += int(part[1]).to_bytes(2, "little")
            rest = rest[part.end() :]
        found[match[1]] = units.decode("utf-16-le")
    return found


def docker(text: str) -> dict[str, str]:
    """Read `--env-file` by the rules that docker/cli documents in `pkg/kvfile`."""
    found = {}
    for line in text.encode().split(b"\n"):
        assert len(line) < 64 * 1024, "bufio.Scanner: token too long"
        decoded = line.removesuffix(b"\r").decode().lstrip()  # `bufio.ScanLines`, then leading white space
        if decoded and not decoded.startswith("#"):
            name, equals, value = decoded.partition("=")
            assert equals, decoded
            assert not re.search(r"[ \t]", name), name
            found[name] = value
    return found


def gitlab(text: str) -> dict[str, str]:
    """Read a dotenv report as GitLab documents it: one variable a line, no quotes, no spaces, less than 5 KiB."""
    assert len(text.encode()) < 5 * 1024
    found = {}
    for line in text.removesuffix("\n").split("\n"):
        match = re.fullmatch(r"([A-Za-z0-9_]{1,255})=([^\n]*)", line)
        assert match, line
        assert not re.search(r"[\s\0]", match[2], re.ASCII)
        # What a later job does to it: `$name`, `${name}` and `%name%` become the value of another variable.
        found[match[1]] = re.sub(r"\$\{?\w*\}?|%\w*%", "", match[2])
    return found


def pyyaml(text: str) -> dict[str, str]:
    """YAML 1.1."""
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def ruamel_yaml(text: str) -> dict[str, str]:
    """YAML 1.2."""
    loaded = ruamel.yaml.YAML(typ="safe", pure=True).load(text)
    assert isinstance(loaded, dict)
    return loaded


def k8s(text: str) -> dict[str, str]:
    """Read a Secret (Kubernetes, API reference: Secret v1 core)."""
    secret: Mapping[str, object] = yaml.safe_load(text)
    assert (secret["apiVersion"], secret["kind"], secret["type"]) == ("v1", "Secret", "Opaque")
    data = secret["data"]
    assert isinstance(data, dict)
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", name) for name in data)
    return {name: base64.b64decode(value, validate=True).decode() for name, value in data.items()}


def python_dotenv(text: str) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv.dotenv_values(stream=StringIO(text)).items()}


def workflow_commands(text: str) -> list[str]:
    """Return what a runner is told to hide (GitHub, workflow commands: masking a value in a log)."""
    found = []
    for line in text.removesuffix("\n").split("\n"):
        assert line.startswith("::add-mask::"), line
        data = line.removeprefix("::add-mask::")
        assert data.strip(), "the runner warns of an empty mask"
        assert not re.search(r"\r|%(?!25|0A|0D)", data), line
        found.append(re.sub("%(0D|0A|25)", lambda each: chr(int(each[1], 16)), data))
    return found


def environment_file(text: str) -> dict[str, str]:
    """Read `$GITHUB_ENV` (GitHub, workflow commands: setting an environment variable, multiline strings).

    A line is `NAME=value` or `NAME<<DELIMITER`, whichever comes first in it; a value ends before the line that is the
    delimiter and nothing else, and a delimiter that does not come is an error.
    """
    found = {}
    lines = text.split("\n")
    assert not lines.pop(), "the last line has no end"
    while lines:
        line = lines.pop(0)
        name, separator, rest = re.split("(=|<<)", line, maxsplit=1) if re.search("=|<<", line) else (line, "", "")
        if not line:
            continue
        assert separator, line
        assert name
        if separator == "=":
            found[name] = rest
            continue
        end = lines.index(rest)
        found[name], lines = "\n".join(lines[:end]), lines[end + 1 :]
    return found


IN_PROCESS: Mapping[str, tuple[Format, Callable[[str], dict[str, str]]]] = {
    "env, by words": (Format.ENV, posix),
    "env, python-dotenv": (Format.ENV, python_dotenv),
    "shell": (Format.SHELL, posix),
    "direnv": (Format.DIRENV, posix),
    "fish": (Format.FISH, fish),
    "powershell": (Format.POWERSHELL, powershell),
    "dotenv, python-dotenv": (Format.DOTENV, python_dotenv),
    "docker": (Format.DOCKER, docker),
    "gitlab": (Format.GITLAB, gitlab),
    "yaml 1.1": (Format.YAML, pyyaml),
    "yaml 1.2": (Format.YAML, ruamel_yaml),
    "k8s": (Format.K8S, k8s),
}
