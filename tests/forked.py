"""Command lines at a tenth of the price: a process that has imported everything forks for each of them.

For tests of many commands; that a process is started the usual way is what other tests are for.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conftest import CommandLine


@dataclass
class Server:
    """The process that forks."""

    process: "subprocess.Popen[bytes]"

    def ask(
        self, words: Sequence[str], given: str, env: Mapping[str, str], folder: Path, place: Path
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command to its end; `place` is where what it says may lie meanwhile."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"words": list(words), "given": given, "env": dict(env), "folder": str(folder), "place": str(place)}
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        out, err = (bytes.fromhex(text) for text in answer["said"])
        return subprocess.CompletedProcess(list(words), answer["code"], out, err)


@dataclass
class Forked(CommandLine):
    """`authsome` as in `CommandLine`, with nobody at the terminal."""

    server: Server = field(kw_only=True)

    def start(self, *arguments: str, given: str | None = "") -> "subprocess.CompletedProcess[bytes]":
        return self.server.ask(arguments, given or "", self.environ(), self.project, self.root / "said")


@contextmanager
def serving() -> Iterator[Server]:
    """Hold the process that forks."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        yield Server(process)


# Over there.


def _main() -> None:
    import pkgutil  # noqa: PLC0415  the tests do not need it

    from authsome import cli  # noqa: PLC0415  as above

    for module in pkgutil.iter_modules(cli.__path__):
        __import__(f"authsome.cli.{module.name}")
    for line in sys.stdin:
        print(json.dumps(_fork(**json.loads(line))), flush=True)


def _fork(words: list[str], given: str, env: dict[str, str], folder: str, place: str) -> dict[str, object]:
    files = [Path(f"{place}.{number}") for number in range(3)]
    files[0].write_text(given)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(env)
            code = _called(words, files)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    said = [each.read_bytes().hex() for each in files[1:]]
    for each in files:
        each.unlink()  # they may hold what was given, or what a command was asked to reveal
    return {"code": os.waitstatus_to_exitcode(status), "said": said}


def _called(words: list[str], files: list[Path]) -> int:
    from authsome import cli  # noqa: PLC0415  as above

    for number, each in enumerate(files):
        how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
        os.dup2(os.open(each, how, 0o600), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  the one before has read ahead
    sys.argv = ["authsome", *words]
    try:
        cli.main()
    except SystemExit as done:
        sys.stdout.flush()
        sys.stderr.flush()
        return int(done.code or 0)
    return 0


if __name__ == "__main__":
    _main()
