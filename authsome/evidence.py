"""Which providers a repository uses, and where that shows.

Promises to look and nothing else: nothing of the repository is run, no link is followed, no pipe waited for, and what
is returned are names, files and lines. Refuses to keep a value, and to guess: what counts are the variables, hosts and
packages of definitions, as whole words. What was not looked at is counted.

No language is parsed: a variable's name in a comment is one in the code. A line that says `authsome: ignore` is left
out.
"""

import json
import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any

from authsome import pasted, repository
from authsome.manifest import FILE_NAME, Declared
from authsome.provider import PLACEHOLDER, Host, Provider

MAX_BYTES = 1 << 20
MAX_FILES = 50_000
MAX_TOTAL = 512 << 20
MAX_FINDINGS = 10_000

REST = "everything after the first"
"""Begins a reason that is not counted."""

_PER_FILE = 20
"""Places of one thing in one file; the rest says nothing new."""
_IGNORE = b"authsome: ignore"
_BINARY_START = 8192
_EACH = 256


class Kind(StrEnum):
    """What a finding is, the plainest first."""

    VARIABLE = "variable"
    ENV_FILE = "env_file"
    IMPORT = "import"
    PACKAGE = "package"
    HOST = "host"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign of a provider, in one line.

    Attributes:
        path: Relative to the folder that was looked through, as the file system has it.
        seen: The variable, host, module or package. Of a key nothing.
        strong: Whether it shows a use and not a mention.
    """

    provider: str
    path: str
    line: int
    kind: Kind
    seen: str
    strong: bool

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found below a folder.

    Attributes:
        files: How many were looked at.
        left_out: What was not: reason → how many.
    """

    findings: tuple[Finding, ...]
    files: int
    left_out: Mapping[str, int]


def look(
    root: Path,
    providers: Iterable[Provider],
    tick: Callable[[int, int], None] = lambda *_: None,
    *,
    but: str = FILE_NAME,
) -> Evidence:
    """Look through a repository, or through a folder where there is no git.

    Args:
        root: Without links in its name.
        but: The manifest's name, whose comments and keys are no code.
        tick: Told now and then how many files are done, and of how many.
    """
    signs = _Signs(providers)
    reader = _Reader(os.fspath(root))
    paths = [each for each in _paths(root, reader.left_out) if each != but]
    signs.leave_out({PurePosixPath(each.removeprefix("src/")).parts[0] for each in paths if each.endswith(".py")})
    found: list[Finding] = []
    for number, path in enumerate(paths):
        if number % _EACH == 0:
            tick(number, len(paths))
        content = reader.read(path)
        if content is not None:
            here = islice(_signs_in(content, path, signs), MAX_FINDINGS - len(found))
            found += sorted(here, key=lambda each: each.line)
    if len(found) == MAX_FINDINGS:
        reader.left_out[f"{REST} {MAX_FINDINGS} findings"] = 1
    return Evidence(tuple(found), reader.files, dict(reader.left_out))


def undeclared(evidence: Evidence, connections: Iterable[Declared]) -> tuple[Finding, ...]:
    """Return what the code uses and no connection of a manifest covers: variables that nobody sets, and SDKs.

    A host, a dependency that nothing imports and a `.env` file, which others do not have, prove no use.
    """
    declared = tuple(connections)
    variables = {name for each in declared for name in each.env}
    names = {each.provider.name for each in declared}
    return tuple(
        each
        for each in evidence.findings
        if each.strong
        and (
            (each.kind is Kind.VARIABLE and each.seen not in variables)
            or (each.kind is Kind.IMPORT and each.provider not in names)
        )
    )


# What is looked for.


class _Signs:
    """What definitions say their provider can be known by."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.variables: dict[bytes, list[str]] = {}
        self.hosts: dict[bytes, list[str]] = {}
        self.packages: dict[tuple[str, str], list[str]] = {}
        self.providers = tuple(providers)
        for each in self.providers:
            self._add(each)
        self.keys = _one_of(each.pattern for provider in self.providers for each in (provider.key,) if each.pattern)
        self.hosts_by_word: dict[bytes, list[bytes]] = {}
        for host in self.hosts:
            self.hosts_by_word.setdefault(_longest_word(host.rpartition(b".")[0] or host), []).append(host)
        packages = (_longest_word(name.encode()) for _, name in self.packages)
        self.words = frozenset((*self.variables, *self.hosts_by_word, *packages))

    def _add(self, provider: Provider) -> None:
        # A region or an account's number is no sign of whom it is for.
        for variable in dict.fromkeys(name for each in provider.fields if each.secret for name in each.env):
            self.variables.setdefault(variable.encode(), []).append(provider.name)
        # To a host where the secret goes on some paths only, many an address leads that needs none.
        for host in {_certain(host) for place in provider.placements if not place.paths for host in place.hosts}:
            if host and (host.count(".") > 1 or not host.startswith(".")):
                self.hosts.setdefault(host.encode(), []).append(provider.name)
        for package in dict.fromkeys(each for name in provider.packages for each in _known_as(name)):
            self.packages.setdefault(package, []).append(provider.name)

    def leave_out(self, modules: Collection[str]) -> None:
        """Know the repository's own modules, which may be named like somebody's package."""
        own = {name.removesuffix(".py") for name in modules}
        for kind, name in [each for each in self.packages if each[0] == "python"]:
            if name.partition(".")[0] in own:
                del self.packages[kind, name]


def _certain(host: Host) -> str:
    """Return what of a host is the same for everybody: all of it, or the end of it, as in `.example.com`."""
    name = host.name.rpartition("}")[2] if host.is_open else host.name.removeprefix("*")
    return name if name.startswith(".") or not host.is_open else ""


def _one_of(patterns: Iterable[re.Pattern[str]]) -> list[re.Pattern[str]]:
    """Return patterns that fit what one of these fits, as few as possible."""
    alone: list[re.Pattern[str]] = []
    together: list[re.Pattern[str]] = []
    for each in patterns:
        # What speaks of its groups, or of the whole expression, cannot be part of another.
        (alone if re.search(r"\(\?[^:]|\\[0-9]", each.pattern) else together).append(each)
    if together:
        alone.append(re.compile("|".join(f"(?:{each.pattern})" for each in together)))
    return alone


def _known_as(package: str) -> Iterator[tuple[str, str]]:
    """Yield where a package of a definition is looked for, and its name there; Python's are imported, too."""
    kind, _, name = package.partition(":")
    if kind == "pypi":
        name = _plain(name)
        yield "python", name.replace("-", "_")
    yield kind, name


def _plain(name: str) -> str:
    """Return a Python package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _longest_word(name: bytes) -> bytes:
    return max(name.translate(_WORDS).split(), key=len, default=name)


# Where it is looked for.

_NEVER = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".authsome"})
_BUILT = _NEVER | {"dist", "build", "target", "env", ".tox", ".nox", ".mypy_cache", ".ruff_cache", "site-packages"}
"""Folders of others' code and of what was made; git knows the second sort better."""

_LOCKS = frozenset(
    {
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "deno.lock"),
        *(
            "poetry.lock",
            "uv.lock",
            "pdm.lock",
            "Pipfile.lock",
            "Cargo.lock",
            "Gemfile.lock",
            "composer.lock",
            "go.sum",
        ),
    }
)
"""What dependencies depend on."""


def _paths(root: Path, left_out: Counter[str]) -> list[str]:
    """Return the files to look at, sorted, relative to `root`."""
    known = repository.files(root) if repository.top(root) else None
    if known is None:
        found = list(islice(_walk(os.fspath(root), left_out), MAX_FILES + 1))
    else:
        # Git is told to ignore what holds one's own keys: it is where they are.
        here = _scanned(os.fspath(root), left_out)
        local = [name for name, is_folder in here if name.startswith(".env") and not is_folder]
        found = [each for each in dict.fromkeys((*known, *local)) if _NEVER.isdisjoint(each.split("/")[:-1])]
    wanted = [each for each in _without_other_projects(found, left_out) if each.rpartition("/")[2] not in _LOCKS]
    if len(wanted) > MAX_FILES:
        left_out[f"{REST} {MAX_FILES} files"] = 1
    return sorted(wanted[:MAX_FILES])


def _without_other_projects(paths: list[str], left_out: Counter[str]) -> Iterator[str]:
    """Yield what lies in no folder with a manifest of its own: a run from there is about that one."""
    others = {each.rpartition("/")[0] for each in paths if each.endswith(f"/{FILE_NAME}")}
    left_out.update({"folders with a manifest of their own": len(others)} if others else {})
    for path in paths:
        inside = others and not others.isdisjoint(str(each) for each in PurePosixPath(path).parents)
        if not inside and path != FILE_NAME:
            yield path


def _walk(root: str, left_out: Counter[str]) -> Iterator[str]:
    waiting = [""]
    for _ in range(MAX_FILES):  # folders may be without end, and without a file
        if not waiting:
            return
        within = waiting.pop()
        for name, is_folder in _scanned(os.path.join(root, within), left_out):  # noqa: PTH118  fifty thousand of them
            if is_folder and name not in _BUILT:
                waiting.append(f"{within}{name}/")
            elif not is_folder and name not in _NEVER:
                yield f"{within}{name}"
    if waiting:
        left_out[f"{REST} {MAX_FILES} folders"] = 1


def _scanned(folder: str, left_out: Counter[str]) -> list[tuple[str, bool]]:
    """Return what lies in a folder, sorted, and whether it is a folder."""
    try:
        with os.scandir(folder) as found:
            return sorted((each.name, each.is_dir(follow_symlinks=False)) for each in islice(found, MAX_FILES + 1))
    except OSError:
        left_out["folders that cannot be read"] += 1
        return []


@dataclass(slots=True)
class _Reader:
    """Reads files that may be anything, one after the other.

    Attributes:
        root: Without links in its name.
    """

    root: str
    files: int = 0
    total: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    _straight: dict[str, bool] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return what is in a file of text, None for everything else."""
        full = os.path.join(self.root, path)  # noqa: PTH118  as in `_walk`
        try:
            content = self._content(full) if self._is_straight(os.path.dirname(full)) else _LINKS  # noqa: PTH120
        except FileNotFoundError:  # git knows it, somebody has deleted it
            return None
        except OSError:
            content = "files that cannot be read"
        if isinstance(content, str):
            # What a link leads to inside the repository is looked at under its own name.
            if content is not _LINKS or not Path(os.path.realpath(full)).is_relative_to(self.root):
                self.left_out[content] += 1
            return None
        self.files += 1
        self.total += len(content)
        return content

    def _is_straight(self, folder: str) -> bool:
        """Whether no part of a folder's name is a link: git names files that lay in what is a link now."""
        if folder not in self._straight:
            self._straight[folder] = os.path.realpath(folder) == os.path.normpath(folder)
        return self._straight[folder]

    def _content(self, path: str) -> bytes | str:
        """Return what is in a file, or what it is instead of one to look at."""
        # Before it is opened: to open some devices does something.
        if reason := _not_text(os.lstat(path)):
            return reason
        if self.total > MAX_TOTAL:
            return f"files after the first {MAX_TOTAL >> 20} MiB"
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if reason := _not_text(os.fstat(descriptor)):
                return reason
            content = file.read(MAX_BYTES)
        return "binary files" if b"\0" in content[:_BINARY_START] else content


_LINKS = "links to somewhere else"


def _not_text(status: os.stat_result) -> str | None:
    if stat.S_ISLNK(status.st_mode):
        return _LINKS
    if stat.S_ISDIR(status.st_mode):
        return "repositories inside this one"
    if not stat.S_ISREG(status.st_mode):
        return "pipes, sockets and devices"
    return f"files over {MAX_BYTES >> 20} MiB" if status.st_size > MAX_BYTES else None


# How it is looked for: what a file is made of is compared with what is looked for, in two passes that Python makes in
# one call each. Only a file with one of the words is looked at line by line.

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


def _spaced(kept: bytes) -> bytes:
    return bytes(byte if byte in kept else 0x20 for byte in range(256))


_WORDS, _TOKENS = _spaced(_LETTERS), _spaced(_LETTERS + b"-.+/")
_SHORTEST_KEY, _LONGEST_KEY = 16, 512
_TELLING = 100
_DIGIT = re.compile(rb"[0-9]")
_MADE_UP = re.compile(f"example|your|placeholder|dummy|xxxx|{PLACEHOLDER}", re.IGNORECASE)
_FEW = 10
"""Different characters; less of them are no key but a picture of one."""

_DOCUMENTS = frozenset({".md", ".mdx", ".rst", ".txt", ".adoc", ".org", ".html", ".htm", ".log", ".csv", ".svg"})
_PYTHON = frozenset({".py", ".pyi", ".ipynb"})
_SCRIPTS = frozenset({".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte", ".astro"})
_REQUIREMENTS = re.compile(r"(?:.*/)?(?:requirements[^/]*|requirements/[^/]+)\.(?:txt|in)")
_OWN_TOKEN = re.compile(rb"secrets\.GITHUB_TOKEN|github\.token")

_PYTHON_IMPORT = re.compile(
    rb'^[ \t]*"?(?:import|from)[ \t]+([A-Za-z_][\w.]*(?:[ \t]*,[ \t]*[A-Za-z_][\w.]*)*)', re.MULTILINE
)
_SCRIPT_IMPORT = re.compile(rb"""\b(?:from|import|require)\s*\(?\s*["'`](?:npm:)?(@?[A-Za-z0-9][\w./-]*)""")
_REQUIREMENT = re.compile(rb"^[ \t]*([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)


def _signs_in(content: bytes, path: str, signs: _Signs) -> Iterator[Finding]:
    """Yield what a file shows, at most `_PER_FILE` places of each thing."""
    name = path.rpartition("/")[2]
    declares = name in ("pyproject.toml", "Pipfile", "package.json") or _REQUIREMENTS.fullmatch(path) is not None
    document = not declares and (
        PurePosixPath(name.lower()).suffix in _DOCUMENTS or name.upper().startswith(("README", "CHANGELOG", "LICENSE"))
    )
    every = set(content.translate(_WORDS).split())
    if words := every & signs.words:
        yield from _variables(content, path, signs, words, document=document)
        yield from _hosts(content, path, signs, words, document=document)
        yield from _imports(content, path, signs)
    if declares:
        yield from _packages(content, path, signs)
    for part, owners in islice(_owned(content, every, signs), _PER_FILE):
        for line, match in _lines(content, re.compile(re.escape(part))):
            named = _named(_line_of(content, match), owners, signs)
            for owner in named:
                yield Finding(owner, path, line, Kind.KEY, "", not document and len(named) == 1)


def _named(line: bytes, owners: list[str], signs: _Signs) -> list[str]:
    """Return those of several providers whose variable stands in the line: `OPENAI_API_KEY=sk-…` is of one alone."""
    words = line.translate(_WORDS).split() if len(owners) > 1 else ()
    said = {name for word in words for name in signs.variables.get(word, ())}
    return [each for each in owners if each in said] or owners


def _matches(content: bytes, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield matches with their lines, none of a line that is to be ignored."""
    line, before, told, ignored = 1, 0, 0, False
    for found in pattern.finditer(content):
        line += content.count(b"\n", before, found.start())
        before = found.start()
        if line != told:  # a file may be one line
            told, ignored = line, _IGNORE in _line_of(content, found)
        if not ignored:
            yield line, found


def _lines(content: bytes, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield the first match of each line, of as many lines as say something new."""
    lines = (next(group) for _, group in groupby(_matches(content, pattern), key=lambda each: each[0]))
    return islice(lines, _PER_FILE)


def _line_of(content: bytes, found: re.Match[bytes]) -> bytes:
    end = content.find(b"\n", found.end())
    return content[content.rfind(b"\n", 0, found.start()) + 1 : end if end >= 0 else len(content)]


def _variables(
    content: bytes, path: str, signs: _Signs, words: AbstractSet[bytes], *, document: bool
) -> Iterator[Finding]:
    name = path.rpartition("/")[2]
    kind = Kind.ENV_FILE if name.startswith(".env") or name.endswith(".env") else Kind.VARIABLE
    for variable in sorted(signs.variables.keys() & words):
        pattern = re.compile(rb"(?<![A-Za-z0-9_])%b(?![A-Za-z0-9_])" % variable)
        for line, found in _lines(content, pattern):
            strong = not document and not (path.startswith(".github/") and _of_the_job(content, found))
            for provider in signs.variables[variable]:
                yield Finding(provider, path, line, kind, variable.decode(), strong)


def _of_the_job(content: bytes, found: re.Match[bytes]) -> bool:
    """Whether a line of a workflow is about the token that each job on GitHub has by itself."""
    return found[0] == b"GITHUB_TOKEN" or _OWN_TOKEN.search(_line_of(content, found)) is not None


def _hosts(content: bytes, path: str, signs: _Signs, words: AbstractSet[bytes], *, document: bool) -> Iterator[Finding]:
    for host in (each for word in sorted(words & signs.hosts_by_word.keys()) for each in signs.hosts_by_word[word]):
        if host in content:
            before = rb"(?<=[A-Za-z0-9])" if host.startswith(b".") else rb"(?<![A-Za-z0-9.-])"
            pattern = re.compile(before + rb"%b(?![A-Za-z0-9-]|\.[A-Za-z0-9])" % re.escape(host))
            for line, _ in _lines(content, pattern):
                for provider in signs.hosts[host]:
                    yield Finding(provider, path, line, Kind.HOST, host.decode(), not document)


def _imports(content: bytes, path: str, signs: _Signs) -> Iterator[Finding]:
    suffix = PurePosixPath(path).suffix
    if suffix not in _PYTHON | _SCRIPTS:
        return
    kind, mark = ("python", ".") if suffix in _PYTHON else ("npm", "/")
    counted: Counter[str] = Counter()
    for line, found in _matches(content, _PYTHON_IMPORT if kind == "python" else _SCRIPT_IMPORT):
        for module in found[1].decode().split(","):
            for name in _parents(module.strip(), mark):
                counted[name] += 1
                if counted[name] <= _PER_FILE:
                    for provider in signs.packages.get((kind, name), ()):
                        yield Finding(provider, path, line, Kind.IMPORT, name, strong=True)


def _parents(module: str, mark: str) -> Iterator[str]:
    """Yield `a`, `a.b` and `a.b.c` of `a.b.c`."""
    end = module.find(mark)
    while end > 0:
        yield module[:end]
        end = module.find(mark, end + 1)
    yield module


def _packages(content: bytes, path: str, signs: _Signs) -> Iterator[Finding]:
    """Yield the dependencies that a file declares; a file that does not parse declares none."""
    name = path.rpartition("/")[2]
    kind = "npm" if name == "package.json" else "pypi"
    pattern = _REQUIREMENT
    if name in ("pyproject.toml", "Pipfile", "package.json"):
        known = [each for each in _declared(content, name) if (kind, _spelt(kind, each)) in signs.packages]
        if not known:
            return
        spelt = "|".join(re.escape(each) for each in sorted(known)).encode()
        pattern = re.compile(rb"""(?:["']|^[ \t]*)(%b)(?![A-Za-z0-9._/-])""" % spelt, re.MULTILINE)
    told: set[str] = set()
    for line, found in _matches(content, pattern):
        package = _spelt(kind, found[1].decode())
        if package not in told:
            told.add(package)
            for provider in signs.packages.get((kind, package), ()):
                yield Finding(provider, path, line, Kind.PACKAGE, package, strong=True)


def _spelt(kind: str, name: str) -> str:
    return name if kind == "npm" else _plain(name)


def _declared(content: bytes, name: str) -> set[str]:
    """Return the packages that a project's file names, as it spells them."""
    try:
        data = json.loads(content) if name == "package.json" else tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return set()
    if name == "package.json":
        groups = [_at(data, each) for each in ("dependencies", "devDependencies", "peerDependencies")]
    elif name == "Pipfile":
        groups = [_at(data, "packages"), _at(data, "dev-packages")]
    else:
        poetry = _at(data, "tool", "poetry")
        groups = [_at(data, "project", "dependencies"), _at(poetry, "dependencies"), _at(poetry, "dev-dependencies")]
        for within in (_at(data, "project", "optional-dependencies"), _at(data, "dependency-groups")):
            groups += within.values() if isinstance(within, dict) else ()
        within = _at(poetry, "group")
        groups += [_at(each, "dependencies") for each in within.values()] if isinstance(within, dict) else ()
    found = (each for group in groups if isinstance(group, dict | list) for each in group if isinstance(each, str))
    heads = (re.match(r"@?[A-Za-z0-9][A-Za-z0-9._/-]*", each) for each in found)
    return {head[0] for head in heads if head}


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _owned(content: bytes, words: Iterable[bytes], signs: _Signs) -> Iterator[tuple[bytes, list[str]]]:
    """Yield what has the looks of a key, and whose. NOTE: it is compared and looked up again, and goes no further."""
    telling = [each for each in words if len(each) >= _SHORTEST_KEY and _DIGIT.search(each)] if signs.keys else []
    around = content
    if len(telling) <= _TELLING:  # only what they stand in, mostly nothing but a digest
        places = (content.find(each) for each in telling)
        around = b" ".join(content[max(0, place - _LONGEST_KEY) : place + _LONGEST_KEY] for place in places)
    tokens = {each for each in around.translate(_TOKENS).split() if len(each) >= _SHORTEST_KEY and _DIGIT.search(each)}
    for token in sorted(tokens) if telling else ():
        for part in dict.fromkeys((token, *token.split(b"/"))):
            if owners := _whose(part.strip(b"./+").decode(), signs):
                yield part, owners


def _whose(word: str, signs: _Signs) -> list[str]:
    """Return whose key a word looks like: mostly nobody's, several's if they cannot be told apart."""
    if not _SHORTEST_KEY <= len(word) <= _LONGEST_KEY or len(set(word)) < _FEW:
        return []
    if not any(each.fullmatch(word) for each in signs.keys) or _MADE_UP.search(word):
        return []
    return [each.name for each in pasted.owners(word, signs.providers)]
