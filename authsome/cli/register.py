"""`authsome register`: a definition of one's own comes into the catalogue."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Option, Settings, command, data, say, talk
from authsome.cli.stations import again, confirm, home, open_vault, profile_name, sealed
from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from authsome.register import Candidate, Known

_STDIN = "-"


@command("register")
def register(
    settings: Settings,
    definition: Annotated[str, Argument(metavar="FILE", help="The definition, JSON; `-` for standard input.")],
    force: Annotated[bool, Option("--force", help="Replace the definition that there is.")] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Add a provider of your own.

    Says in words what the definition would permit, asks, and puts it into your home, where it wins over a bundled one.

    Example: authsome register acme.json
    """
    from authsome import register as registering
    from authsome.provider import Catalogue
    from authsome.screens import definition as screen

    sealed("register")
    given = registering.read(*_given(definition))
    name = given.provider.name
    catalogue = Catalogue(home())  # a project's own counts for that project only
    before = registering.known(catalogue, name)
    if before and before.text == given.text and before.path == registering.path(home(), name):
        _answer(settings, given, before, changed=False)
        return
    shown = screen.permits(name, given.permits, before.permits if before else None).rstrip("\n")
    (talk if yes else lambda _, text: say(text))(settings, shown)
    same = f"authsome register {shlex.quote(definition)}{' --force' if before else ''}"
    if before and not force:
        broken = "" if before.provider else ", which is wrong"
        raise AuthsomeError(
            f"there is a definition of {name} already: {before.path}{broken}",
            hint=f"to replace it: {same}",
            code=ExitCode.USAGE,
        )
    if not yes:
        confirm(settings, profile_name(settings), f"Register {name}?", f"{same} --yes")
    registering.store(home(), given)
    _answer(settings, given, before, changed=True)
    for other, shared in registering.rivals(catalogue, given):
        talk(settings, f"{other} claims {', '.join(shared)}, too: one run cannot use both.")


def _given(file: str) -> tuple[Path, str]:
    """Return what to call the file, and its text."""
    from authsome import documents

    if file == _STDIN:
        import sys

        origin = Path("standard input")
        if sys.stdin is None or sys.stdin.closed:
            raise AuthsomeError("standard input is closed", hint="pipe the definition in", code=ExitCode.USAGE)
        return origin, documents.decoded(origin, sys.stdin.buffer.read(documents.MAX_BYTES + 1))
    path = Path(file)
    if not path.exists() or path.is_dir():
        raise AuthsomeError(f"there is no file {file}", hint="authsome register --help", code=ExitCode.USAGE)
    return path, documents.read_text(path)


def _answer(settings: Settings, given: "Candidate", before: "Known | None", *, changed: bool) -> None:
    from authsome import register as registering, screens
    from authsome.screens import definition as screen

    name = given.provider.name
    path = registering.path(home(), name)
    held = _asked_again(settings, given, before) if changed else []
    if settings.json:
        data(
            screens.as_json(
                "register",
                provider=name,
                path=str(path),
                changed=changed,
                replaced=str(before.source) if before else None,
                permits=list(given.permits),
                **screen.difference(given.permits, before.permits if before else ()),
                asked_again=held,
            )
        )
    else:
        data(f"Registered {name}: {path}\n" if changed else f"{name} is registered already: {path}\n")
    if held:
        talk(settings, f"Before their keys go to the new hosts, a run or a login asks: {', '.join(held)}")
    elif changed and not before:
        talk(settings, f"Next: authsome login {name}{again(settings)}")


def _asked_again(settings: Settings, given: "Candidate", before: "Known | None") -> list[str]:
    """Return the connections of all profiles that were given for fewer hosts; no decryption."""
    from authsome.manifest import full_name
    from authsome.vault import profiles

    name = given.provider.name
    if before and before.provider and not given.provider.beyond(before.provider.host_names):
        return []
    found = []
    for profile in profiles.listed(home()):
        try:
            names = open_vault(replace(settings, profile=profile)).own.names()
        except AuthsomeError:  # a profile that cannot be listed says so itself, when it is used
            continue
        found += [f"{full_name(*each)} of the profile {profile}" for each in names if each[0] == name]
    return found
