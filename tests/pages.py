"""The manual as a script: what a page shows is typed into a real shell, and what it says comes out has to come out.

A page is played from top to bottom in a home and a project of its own. `sh` blocks are commands; a block right after
one is their output, in which `…` stands for anything, and a line `…` for any number of lines. A block below a line that
ends in a file's name and a colon is that file. Comments before a block say why it is not run, or what is run instead.
Refuses a block that is none of these: what is not tried must say so.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from authsome.provider import DEFAULT_CONNECTION, Catalogue
from canary import CANARY, sings
from forked import ForkedPerson, Server
from terminal import Person

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"```(\w*)")
_NAMED = re.compile(r"`([^`\s]*[./][^`\s]*)`:$")
_MARKER = re.compile(r"<!-- (not run|run as): (.+) -->")
_ENDS_WITH = re.compile(r"# ends with (\d+)$")
_COMMENT = re.compile(r"\s{2,}# .*$")
_PROMPT = re.compile(r"(?P<provider>.+) API key(?: \((?P<connection>[\w-]+)\))? \(input is hidden\)")
_SECRET = re.compile(rf"[\w-]*{CANARY}[\w-]*")
_END = "\x1e"
"""What the shell says after each command, before its exit code."""

PASSPHRASE = f"{CANARY} six random words nobody guesses"
STORED = f"sk-{CANARY}-from-the-password-store"
"""What `pass` prints, with the white space that comes along when a key is copied."""

PATIENCE = 280.0
"""Seconds for all pages, on a machine that does other things as well."""

_PROGRAMS = {
    "uvx": '#!/bin/sh\nexec "$@"\n',
    "pass": f'#!/bin/sh\nprintf "%s  \\n" {STORED}\n',
}

_FORK = """#!{python} -IS
import _socket, posix, sys

order = ascii((posix.getcwdb(), sys.argv[1:], posix.environ)).encode() + b"\\0"
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect("{place}")
sent = server.sendmsg([order], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(order[sent:])
posix._exit(int(server.recv(9)))
"""
_FORKS = """
import ast, os, socket, subprocess, sys
from authsome import cli

def called(order, files):
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    folder, words, environ = order
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environ)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.argv = ["authsome", *words]
    cli.main()

def answered(near):
    data, files, _, _ = socket.recv_fds(near, 1 << 20, 3)
    while not data.endswith(b"\\0"):
        data += near.recv(1 << 20)
    child = os.fork()
    if child == 0:
        near.close()
        called(ast.literal_eval(data[:-1].decode()), files)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    near.sendall(b"%d" % (code if code >= 0 else 128 - code))
    os._exit(0)

place, *shell = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(place)
listener.listen()
listener.settimeout(0.05)
running, keepers = subprocess.Popen(shell), []
while running.poll() is None:
    try:
        near, _ = listener.accept()
    except TimeoutError:
        continue
    keepers = [pid for pid in keepers if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    keeper = os.fork()
    if keeper == 0:
        listener.close()
        answered(near)
    keepers.append(keeper)
    near.close()
for pid in keepers:
    os.waitpid(pid, 0)
os.unlink(place)
sys.exit(running.returncode)
"""
"""What forks for a page, and what stands there for `authsome`: it hands over its streams, and ends as the fork does."""

_AGENT = """\
import os

for name, value in sorted(os.environ.items()):
    if name.endswith(("_API_KEY", "_API_TOKEN")):
        print(name, "is a placeholder" if value.startswith("authsome-proxy-managed") else "is a real key")
"""
"""What pages call my_agent.py; it names no provider, so that no command finds one in it."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        language: What stands behind the fence.
        line: Where it begins, counted from 1.
        named: The file it is, if the line before says so.
        after: Whether nothing stands between it and the block before.
        markers: What comments before it say, by their first words.
    """

    page: str
    language: str
    line: int
    text: str
    named: str | None
    after: bool
    markers: dict[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(slots=True)
class Scene:
    """A block that is played, and what the page says comes out."""

    block: Block
    commands: list[str] = field(default_factory=list)
    output: Block | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One command of a page and how it ended."""

    scene: Scene
    command: str
    code: int
    output: str

    @property
    def line(self) -> str:
        """The command as somebody types it: without its comment, and without `uvx`."""
        return bare(self.command)

    @property
    def expected(self) -> int:
        """The exit code that the page names."""
        found = _ENDS_WITH.search(self.command)
        return int(found[1]) if found else 0


def bare(command: str) -> str:
    """Return a command without its comment and without `uvx` before `authsome`."""
    return _COMMENT.sub("", command).strip().replace("uvx authsome", "authsome")


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found: list[Block] = []
    lines = path.read_text().splitlines()
    before, after, markers = "", False, dict[str, str]()
    at = 0
    while at < len(lines):
        text = lines[at].strip()
        at += 1
        if fence := _FENCE.fullmatch(text):
            end = next(index for index in range(at, len(lines)) if lines[index].strip() == "```")
            name = _NAMED.search(before) if fence[1] != "sh" else None
            body = "\n".join(lines[at:end]) + "\n"
            found.append(Block(path.name, fence[1], at, body, name[1] if name else None, after, markers))
            at, before, after, markers = end + 1, "", True, {}
        elif marker := _MARKER.fullmatch(text):
            markers = {**markers, marker[1]: marker[2]}
        elif text:
            before, after, markers = text, False, {}
    return found


def scenes(path: Path) -> Iterator[Scene]:
    """Yield what of a page is played, in its order; a block that is nothing we know is an error."""
    last: Scene | None = None
    for block in blocks(path):
        if "not run" in block.markers:
            last = Scene(block)  # its output is nobody's
        elif block.language == "sh":
            last = Scene(block, commands(block.markers.get("run as", block.text)))
            yield last
        elif block.named:
            last = None
            yield Scene(block)
        elif block.after and last is not None and last.output is None:
            last.output = block
        else:
            raise AssertionError(f"{block.place}: is no command, no file and the output of nothing")


def commands(text: str) -> list[str]:
    """Split a script into its commands, as bash reads them."""
    found: list[str] = []
    begun = ""
    for line in text.splitlines():
        if begun or (line.strip() and not line.startswith("#")):
            begun += f"{line}\n"
        if begun and not line.endswith("\\") and (not _may_span(text) or _complete(begun)):
            found.append(begun.rstrip("\n"))
            begun = ""
    return found


def _may_span(text: str) -> bool:
    """Whether a script may hold a command of several lines; bash is asked only then."""
    return any(word in text for word in ("<<", "do\n", "then\n", "{\n", "(\n"))


def _complete(text: str) -> bool:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return done.returncode == 0 and not done.stderr


def play(pages: Iterable[Path], folder: Path, at_once: int = 3, forking: Server | None = None) -> dict[str, "Play"]:
    """Play pages, some of them at the same time: most of the time is spent on starting programs.

    With `forking`, every `authsome` on them is a fork, but for those in the README.
    """
    played: dict[str, Play] = {}
    waiting, playing = list(pages), list[Play]()
    until = time.monotonic() + PATIENCE
    try:
        while waiting or playing:
            while waiting and len(playing) < at_once:
                page = waiting.pop(0)
                played[page.name] = Play(page, folder / page.stem, forking if page != PAGES[0] else None)
                playing.append(played[page.name])
            playing = [each for each in playing if each.goes_on()]
            assert time.monotonic() < until, "\n\n".join(each.so_far() for each in playing)
    finally:
        for each in playing:
            each.stop()
    return played


class Play:
    """One page in a home of its own.

    Attributes:
        said: Every command with what came of it.
    """

    def __init__(self, page: Path, folder: Path, forking: Server | None = None) -> None:
        self.home, self._outside = folder / "home", folder / "outside"
        self.project = self.home / "project"
        self._given: list[tuple[int, str, str, str]] = []
        self._transcript = ""
        self._at = 0
        self._prepare()
        self._played = list(scenes(page))
        script = self._outside / "page.sh"
        script.write_text("".join(self._script()))
        shell = [shutil.which("bash") or "bash", str(script)]
        if forking:
            # The path of a socket has to be short.
            place = Path(tempfile.gettempdir()) / f"page-{os.getpid()}-{page.stem}"
            _put(self._outside / "bin" / "authsome", _FORK.format(python=sys.executable, place=place))
            self._shell: Person = ForkedPerson(forking, _FORKS, [str(place), *shell], self._environ(), self.project)
        else:
            self._shell = Person(shell, self._environ(), self.project)
        self.said: list[Said] = []

    def goes_on(self) -> bool:
        """Answer a prompt if there is one; False when the page has ended."""
        if self._shell.sees(": ", seconds=0.02):
            prompt = self._shell.screen.rpartition("\n")[2]
            self._read()
            self._transcript += f"{prompt.strip()}\n"
            self._shell.screen = ""
            self._shell.types(self._answer(prompt) + "\n")
        if not self._shell.has_ended():
            return True
        self._shell.ends()
        self._read()
        self._end()
        return False

    def _end(self) -> None:
        self.said = list(self._told())
        for number, said in enumerate(self.said):
            if said.line.startswith("pass openai |"):
                provider, connection = _meant(shlex.split(said.line.partition("| ")[2]))
                self._given.append((number, self._called(provider or ""), connection, STORED))
        self._given.sort(key=lambda given: given[0])

    def _prepare(self) -> None:
        programs = self._outside / "bin"
        for each in (programs, self._outside / "tmp", self.project):
            each.mkdir(parents=True)
        for name, text in _PROGRAMS.items():
            _put(programs / name, text)
        (self.project / "my_agent.py").write_text(_AGENT)
        (self._outside / "transcript").touch()

    def _environ(self) -> dict[str, str]:
        places = (self._outside / "bin", Path(sys.executable).parent, os.environ["PATH"])
        return {
            "PATH": os.pathsep.join(map(str, places)),
            "HOME": str(self.home),
            "USER": "you",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._outside / "tmp"),
            "HTTPS_PROXY": "http://127.0.0.1:9",  # the check of a key ends here: nothing leaves this machine
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def _script(self) -> Iterator[str]:
        yield f"exec >>{shlex.quote(str(self._outside / 'transcript'))} 2>&1\nset -o pipefail\n"
        for number, scene in enumerate(self._played):
            if scene.block.named:
                staged = self._outside / f"file-{number}"
                staged.write_text(scene.block.text)
                yield f'{{ target={scene.block.named}; mkdir -p "$(dirname "$target")"; cp {staged} "$target"; }}\n'
            for command in scene.commands:
                yield f"{command}\nprintf '{_END}%d\\n' $?\n"

    def _read(self) -> None:
        """Take what was said since the last time; whoever prompts has said all that comes before."""
        with (self._outside / "transcript").open(encoding="utf-8", errors="replace") as file:
            file.seek(self._at)
            self._transcript += file.read()
            self._at = file.tell()

    def _answer(self, prompt: str) -> str:
        if prompt.endswith("Type yes: "):
            return "yes"
        asked = _PROMPT.search(prompt)
        if asked is None:
            return PASSPHRASE
        beginning = {"OpenAI": "sk-", "Anthropic": "sk-ant-", "GitHub": "ghp_"}.get(asked["provider"], "")
        key = f"{beginning}{CANARY}{len(self._given):030}"
        number = self._transcript.count(_END)
        self._given.append((number, asked["provider"], asked["connection"] or DEFAULT_CONNECTION, key))
        return key

    def so_far(self) -> str:
        """Return what was said on a page that does not end."""
        self._read()
        return f"{self._transcript}{self._shell.screen}"

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)

    def _told(self) -> Iterator[Said]:
        expected = [(scene, command) for scene in self._played for command in scene.commands]
        parts = self._transcript.split(_END)
        assert len(parts) == len(expected) + 1, f"the shell stopped early:\n{self._transcript}"
        output = parts[0]
        for (scene, command), part in zip(expected, parts[1:], strict=True):
            code, _, rest = part.partition("\n")
            yield Said(scene, command, int(code), output.replace(str(self.home), "~"))
            output = rest

    def wrong(self) -> Iterator[str]:
        """Yield everything that is not as the page says."""
        for number, said in enumerate(self.said):
            if said.code != said.expected:
                yield f"{said.scene.block.place}: `{said.command}` ended with {said.code}:\n{said.output}"
            yield from self._leaked(number, said)
        for scene in self._played:
            shown = "".join(_whole(said.output) for said in self.said if said.scene is scene)
            if scene.output is not None and not fits(scene.output.text, shown):
                yield f"{scene.output.place}: the page says\n{scene.output.text}and what comes is\n{shown}"

    def _leaked(self, number: int, said: Said) -> Iterator[str]:
        """Yield a secret that was shown without being asked for, and another one than was asked for."""
        words = shlex.split(said.line) if "$(" not in said.line else []
        if words[:2] != ["authsome", "export"] and "--show-secret" not in words:
            if sings(said.output.encode()):
                yield f"{said.scene.block.place}: `{said.command}` shows a secret:\n{said.output}"
        elif said.code == 0 and not {">", "|"} & set(words):
            shown = {said.output.strip("\n")} if "--field" in words else set(_SECRET.findall(said.output))
            wanted = self._held(number, *_meant(words))
            if not shown or not shown <= wanted:
                yield f"{said.scene.block.place}: `{said.command}` shows {shown}, not {wanted}"

    def _held(self, number: int, provider: str | None, connection: str) -> set[str]:
        """Return what was typed for a connection before a command, or for all of them."""
        display = self._called(provider) if provider else None
        given = [
            (name, key)
            for when, *name, key in self._given
            if when <= number and (display is None or name == [display, connection])
        ]
        return {key for _, key in (given[-1:] if provider else given)}

    def _called(self, provider: str) -> str:
        """Return what a prompt calls a provider."""
        return Catalogue(self.home / ".authsome").get(provider).display_name


def _put(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text)
    path.chmod(0o755)


def _meant(words: list[str]) -> tuple[str | None, str]:
    """Return the provider and the connection that a command names."""
    provider = words[2] if len(words) > 2 and not words[2].startswith("-") else None
    return provider, words[words.index("--connection") + 1] if "--connection" in words else DEFAULT_CONNECTION


def _whole(output: str) -> str:
    """Return an output as it stands on the screen before the next one: a last line without an end gets one."""
    return output if output.endswith("\n") or not output else f"{output}\n"


def fits(documented: str, output: str) -> bool:
    """Whether an output is what a page shows."""
    lines = []
    for line in documented.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(r"[^\n]*".join(map(re.escape, line.rstrip().split("…"))) + r"[ ]*\n")
    return re.fullmatch("".join(lines), output) is not None
