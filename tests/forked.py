"""Command lines at a tenth of the price: a process that has imported everything forks for each of them.

For tests of many commands, and of many places where one is cut short; that a process is started the usual way, and what
it imports, is what other tests are for.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminal import Person


@dataclass
class Server:
    """The process that forks."""

    process: "subprocess.Popen[bytes]"

    def ask(
        self, words: Sequence[str], given: str, env: Mapping[str, str], folder: Path, place: Path
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command to its end; `place` is where what it says may lie meanwhile."""
        _stream(place, 0).write_bytes(os.fsencode(given))
        return self.begin(words=list(words), env=dict(env), folder=str(folder), place=str(place)).done(place)

    def cut(
        self, faults: Sequence[str | Path], source: str, *words: str | Path, place: Path, **more: Any
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a program as `python -c` would, with strace told `faults`; calls count from the program's first line.

        `more` may hold its `env` and its `folder`.
        """
        program = self.prepare(source, *words, place=place, **more)
        tracer = ["strace", "-o", "/dev/null", *map(str, faults), "-p", str(program.pid)]
        with subprocess.Popen(tracer, stderr=subprocess.PIPE) as strace:
            assert strace.stderr
            said = strace.stderr.readline()
            assert said.endswith(b"attached\n"), said + strace.stderr.read()
            program.go()
            done = program.done(place)
            strace.communicate()
        return done

    def prepare(self, source: str, *words: str | Path, place: Path, **more: Any) -> "Running":
        """Start such a program, which waits before its first line until it may `go`."""
        _stream(place, 0).touch()
        order = {"env": dict(os.environ), "folder": "/", "place": str(place)} | more
        return self.begin(source=source, words=list(map(str, words)), **order)

    def begin(self, **order: Any) -> "Running":
        return Running(self, self.says("begin", **order))

    def says(self, what: str, **order: Any) -> Any:
        """Return the answer to an order."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # What is no text over there, in a locale without it, is octets, as words and environments are.
        self.process.stdin.write(os.fsencode(json.dumps([what, order], ensure_ascii=False)) + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@dataclass
class Running:
    """A process that was forked."""

    server: Server
    pid: int
    _code: int | None = None

    def go(self) -> None:
        self.server.says("go", pid=self.pid)

    def poll(self, *, wait: bool = False) -> int | None:
        """Return how it ended, None if it has not yet."""
        if self._code is None:
            self._code = self.server.says("end", pid=self.pid, wait=wait)
        return self._code

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def done(self, place: Path) -> "subprocess.CompletedProcess[bytes]":
        """Wait for its end, and take what it said."""
        code = self.poll(wait=True)
        assert code is not None
        out, err = (_stream(place, number).read_bytes() for number in (1, 2))
        for number in range(3):
            _stream(place, number).unlink()  # they may hold what was given, or what a command was asked to reveal
        return subprocess.CompletedProcess(str(place), code, out, err)


def _stream(place: Path, number: int) -> Path:
    return place.with_name(f"{place.name}.{number}")


@contextlib.contextmanager
def serving(env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Hold the process that forks; what an interpreter reads as it starts, it reads in `env`."""
    command = [sys.executable, __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, start_new_session=True, env=os.environ | dict(env or {})
    ) as process:
        yield Server(process)


def on_terminal(
    server: Server, words: Sequence[str], env: Mapping[str, str], folder: Path, source: str | None = None
) -> tuple[Running, int]:
    """Return a process whose controlling terminal is a new one, and the near end of that."""
    master, slave = os.openpty()
    where = {"env": dict(env), "folder": str(folder), "terminal": os.ttyname(slave)}
    running = server.begin(words=list(words), source=source, **where)
    os.close(slave)
    if source is not None:
        running.go()
    return running, master


class ForkedPerson(Person):
    """A person in front of a program that is run as `python -c` would, forked."""

    def __init__(self, server: Server, source: str, words: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self._server, self._source = server, source
        super().__init__(words, env, folder)

    def begin(self, command: list[str], env: dict[str, str], cwd: Path) -> tuple[int, int]:
        self._running, master = on_terminal(self._server, command, env, cwd, self._source)
        return self._running.pid, master

    def has_ended(self) -> bool:
        return self._running.poll() is not None

    def ended(self) -> int | None:
        return self._running.poll()


# Over there.

_gates: dict[int, int] = {}
"""What a child waits for that was told to."""


def _main() -> None:
    import gc  # noqa: PLC0415  the tests do not need these
    import pkgutil  # noqa: PLC0415

    import authsome  # noqa: PLC0415
    from authsome import cli  # noqa: PLC0415

    # The commands are listed in the order in which they are imported first, which is this one.
    sys.argv = ["authsome", "--help"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.suppress(SystemExit):  # noqa: PTH123
        cli.main()
    for module in pkgutil.walk_packages(authsome.__path__, "authsome."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
    for name in ("ctypes", "ruamel.yaml.mergevalue"):  # which the commands import as they go
        __import__(name)
    with contextlib.suppress(ImportError):  # an extra
        __import__("secretstorage")
    gc.freeze()  # else a child that looks for garbage has all of this copied
    orders: dict[str, Callable[..., object]] = {"begin": _begin, "go": _go, "end": _end}
    for line in sys.stdin.buffer:
        what, order = json.loads(os.fsdecode(line))
        print(json.dumps(orders[what](**order)), flush=True)


def _begin(
    words: list[str],
    env: dict[str, str],
    folder: str,
    place: str | None = None,
    terminal: str | None = None,
    source: str | None = None,
) -> int:
    files = _terminal(terminal) if terminal else _files(place or "")
    gate, opens = os.pipe()
    child = os.fork()
    if child == 0:
        code: Any = 1
        try:
            os.close(opens)
            os.setsid()
            _connect(files, is_terminal=bool(terminal))
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(env)
            if source is None:
                _called(words)
            else:
                _run(source, words, gate)
            code = 0
        except SystemExit as done:
            code = done.code or 0
        finally:
            _leave(code)
    for each in (gate, *files):
        os.close(each)
    _gates[child] = opens
    return child


def _leave(code: Any) -> None:
    """End a child as an interpreter ends, whatever happens."""
    try:
        if sys.exception():
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else 1)


def _go(pid: int) -> None:
    os.write(_gates[pid], b".")


def _end(pid: int, *, wait: bool) -> int | None:
    done, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    if not done:
        return None
    os.close(_gates.pop(pid))
    return os.waitstatus_to_exitcode(status)


def _files(place: str) -> list[int]:
    how = (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT | os.O_TRUNC] * 2)
    return [os.open(_stream(Path(place), number), each, 0o600) for number, each in enumerate(how)]


def _terminal(path: str) -> list[int]:
    return [os.open(path, os.O_RDWR | os.O_NOCTTY) for _ in range(3)]


def _connect(files: list[int], *, is_terminal: bool) -> None:
    """Give a child its standard streams."""
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  the one before is of another file
    if is_terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  as above


def _traceable() -> None:
    """Let any process trace this one, where only a parent may (`ptrace_scope`)."""
    import ctypes  # noqa: PLC0415  the tests do not need it

    set_ptracer, anybody = 0x59616D61, ctypes.c_ulong(-1)  # prctl(2)
    ctypes.CDLL(None).prctl(set_ptracer, anybody, 0, 0, 0)


def _called(words: list[str]) -> None:
    from authsome import cli  # noqa: PLC0415  as above

    sys.argv = ["authsome", *words]
    cli.main()


def _run(source: str, words: list[str], gate: int) -> None:
    program = compile(source, "<string>", "exec")
    sys.argv = ["-c", *words]
    _traceable()
    os.read(gate, 1)
    exec(program, {"__name__": "__main__"})  # noqa: S102  of a test


if __name__ == "__main__":
    _main()
