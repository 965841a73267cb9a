"""Many command lines for the price of one start: a process that has imported everything forks for each of them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from canary import sings
from conftest import CommandLine, Done


def run(line: CommandLine, commands: Sequence[Sequence[str]], *, reveals: bool = False) -> list[Done]:
    """Run commands one after the other, each in a process of its own with nothing on standard input."""
    started = subprocess.run(
        [sys.executable, __file__, str(line.root / "forked")],
        input=json.dumps([list(words) for words in commands]).encode(),
        env=line.environ(),
        cwd=line.project,
        capture_output=True,
        start_new_session=True,  # as `CommandLine.start`
        check=True,
    )
    ended = []
    for words, (code, *texts) in zip(commands, json.loads(started.stdout), strict=True):
        out, err = (bytes.fromhex(text) for text in texts)
        assert reveals or not sings(out + err), f"`authsome {' '.join(words)}` leaked a canary"
        readable = [each.decode().replace(str(line.root), "~").replace("~/home", "~/.authsome") for each in (out, err)]
        ended.append(Done(tuple(words), code, *readable))
    return ended


def _main(place: str) -> None:
    import pkgutil  # noqa: PLC0415  what the tests import does not need it

    from authsome import cli  # noqa: PLC0415  as above

    for module in pkgutil.iter_modules(cli.__path__):
        __import__(f"authsome.cli.{module.name}")
    print(json.dumps([_fork(words, place) for words in json.load(sys.stdin)]))


def _fork(words: list[str], place: str) -> tuple[int, str, str]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = _called(words, place)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    texts = [Path(f"{place}.{number}") for number in (1, 2)]
    out, err = (each.read_bytes().hex() for each in texts)
    for each in texts:
        each.unlink()  # they may hold what a command was asked to reveal
    return os.waitstatus_to_exitcode(status), out, err


def _called(words: list[str], place: str) -> int:
    from authsome import cli  # noqa: PLC0415  as above

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(f"{place}.{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = ["authsome", *words]
    try:
        cli.main()
    except SystemExit as done:
        sys.stdout.flush()
        sys.stderr.flush()
        return int(done.code or 0)
    return 0


if __name__ == "__main__":
    _main(sys.argv[1])
