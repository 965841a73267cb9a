"""`authsome log`: what the runs of this home did with credentials. Needs no identity and decrypts nothing."""

import os
import select
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Option, Settings, command, data
from authsome.cli.stations import home, sealed
from authsome.errors import AuthsomeError, ExitCode, did_you_mean, file_errors

if TYPE_CHECKING:
    from pathlib import Path

    from authsome.audit import Line

_LINES = 50
_POLL_SECONDS = 0.1
_SUGGEST = "suggest-rules"


@command("log")
def log(
    settings: Settings,
    doing: Annotated[
        str | None, Argument(metavar=f"[{_SUGGEST}]", help="Propose `allow` lines from what was used.")
    ] = None,
    connection: Annotated[
        str | None, Argument(metavar="[CONNECTION]", help="Of `suggest-rules`: this one alone.")
    ] = None,
    lines: Annotated[int | None, Option("--lines", "-n", min=0, help="How many; 50, or all of a run.")] = None,
    run: Annotated[str | None, Option("--run", help="Only this run.")] = None,
    last: Annotated[bool, Option("--last", help="Only the latest run.")] = False,
    follow: Annotated[bool, Option("--follow", "-f", help="Go on as uses come; Ctrl-C ends it.")] = False,
    verify: Annotated[bool, Option("--verify", help="Look for edits and cuts; ends with 5 if there are.")] = False,
) -> None:
    """Show what credentials were used for.

    Times are UTC. `log suggest-rules` prints the smallest `allow` that permits what was used.

    Example: authsome log --last
    """
    from authsome import audit

    sealed("log")
    _check(doing, run, last=last, follow=follow, verify=verify)
    folder = audit.place(home())
    with file_errors("read", folder, hint=f"check whose it is and who may use it: ls -ld {folder}"):
        if verify:
            _verify(settings, folder)
            return
        read = audit.read(folder)
        if last:
            run = read[-1].run if read else None
        shown = [line for line in read if run in (None, line.run)]
        if doing:
            _suggest(settings, shown, connection)
            return
        count = lines if lines is not None else _LINES if run is None else len(shown)
        tail = shown[len(shown) - min(count, len(shown)) :]
        if follow:
            _follow(settings, folder, tail, run, read[-1].number if read else 0)
        else:
            _show(settings, tail)


def _check(doing: str | None, run: str | None, *, last: bool, follow: bool, verify: bool) -> None:
    """Refuse words and options that say nothing together."""
    if doing not in (None, _SUGGEST):
        hint = did_you_mean(doing, [_SUGGEST], "authsome log --help")
        raise AuthsomeError(f"`authsome log` cannot `{doing}`", hint=hint, code=ExitCode.USAGE)
    if sum((bool(doing), follow, verify)) > 1 or (last and run) or (verify and (last or run)):
        raise AuthsomeError("these options exclude each other", hint="authsome log --help", code=ExitCode.USAGE)


def _show(settings: Settings, lines: "list[Line]") -> None:
    from authsome import screens
    from authsome.screens import log as screen

    if settings.json:
        data(screens.as_json("log", lines=[screen.log_data(line) for line in lines]))
    else:
        data(screen.log(lines))


def _verify(settings: Settings, folder: "Path") -> None:
    from authsome import audit, screens
    from authsome.screens import log as screen

    found = audit.verify(folder)
    data(screens.as_json("verdict", **screen.verdict_data(found)) if settings.json else screen.verdict(found))
    if found.problems:
        raise AuthsomeError(
            "the audit log was changed or is damaged",
            hint=f"keep a copy before it is rotated: {folder}",
            code=ExitCode.INTEGRITY,
        )


def _suggest(settings: Settings, lines: "list[Line]", connection: str | None) -> None:
    from authsome import screens
    from authsome.audit import suggest
    from authsome.screens import log as screen

    uses = [line.use for line in lines]
    names = {use.connection for use in uses if use.connection}
    if connection is not None and connection not in names:
        hint = did_you_mean(connection, names, f"logged: {', '.join(sorted(names)) or 'no connection'}")
        raise AuthsomeError(f"no use of {connection} is logged", hint=hint, code=ExitCode.MISSING)
    wanted = [use for use in uses if connection in (None, use.connection)]
    suggested, beyond = suggest.suggest(wanted), suggest.beyond(wanted)
    if settings.json:
        data(screens.as_json("rules", allow=suggested, cannot_be_permitted=beyond))
    elif suggested or beyond:
        data(screen.allow_lines(suggested, beyond))
    else:
        data(screen.NOTHING_LOGGED)


def _follow(settings: Settings, folder: "Path", tail: "list[Line]", run: str | None, after: int) -> None:
    from authsome import audit, screens
    from authsome.screens import log as screen

    def show(line: "Line") -> None:
        if settings.json:
            data(screens.as_line("log_line", **screen.log_data(line)) + "\n")
        else:
            data(screen.log_line(line))

    moments = _while_read()
    try:
        for line in tail:
            show(line)
        for line in filter(None, map(audit.parse, audit.follow(folder, after, moments))):
            if run in (None, line.run):
                show(line)
    except KeyboardInterrupt:
        return


def _while_read() -> Iterator[None]:
    """Return moments to wait for, until nobody reads our output any more."""
    reader = select.poll()
    # A duplicate: `data` puts the null device in the place of a pipe that nobody reads. Errors are reported unasked.
    reader.register(os.dup(sys.stdout.fileno()), 0)

    def moments() -> Iterator[None]:
        while not reader.poll(0):
            yield
            time.sleep(_POLL_SECONDS)

    return moments()
