"""`authsome init`: the first manifest of a project, from what its code shows."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Option, Settings, command, data, say, talk
from authsome.cli.looking import look, warn
from authsome.cli.stations import agrees, home, manifest_name, profile_name, sealed, working_folder
from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authsome.outline import Candidate


@command("init")
def init(
    settings: Settings,
    yes: Annotated[bool, Option("--yes", help="Declare every provider that the code uses; do not ask.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", "-n", help="Print the file that --yes would write; write nothing.")
    ] = False,
) -> None:
    """Write an authsome.yaml from what the code shows.

    Looks through the repository, or the folder without git, for variables, hosts, imports and packages of known
    providers; shows what it found and asks about each. Nothing is run, no value is shown. What is only mentioned in
    a document becomes a comment. A manifest that is there stays as it is. With --file that file's folder is looked
    through.

    Example: authsome init
    """
    from authsome import outline, screens
    from authsome.errors import clean
    from authsome.provider import Catalogue
    from authsome.screens import evidence as screen
    from authsome.trust import FOLDER

    sealed("init")
    path = _place(settings)
    # What the manifest to be would find; nothing is done with it yet.
    providers = tuple(Catalogue(home(), path.parent / FOLDER / "providers", shown=True).usable())
    seen = look(settings, path, providers)
    found = outline.candidates(seen, providers)
    asking = not (yes or dry_run)
    if found and asking:
        say(screen.found(found).rstrip("\n"))
    elif found and not (dry_run or settings.json):
        talk(settings, screen.found(found).rstrip("\n"))
    warn(settings, seen)
    agreed = _agreed(settings, found) if asking else [each.name for each in found if each.strong]
    schema = _schema(path.parent)
    text = outline.text(found, agreed, schema=schema is not None)
    if not dry_run:
        write(path, text, schema)
    if settings.json:
        more = {"path": clean(str(path)), "written": not dry_run, "text": text, **screen.looked_data(seen)}
        data(screens.as_json("init", **more, providers=screen.found_data(found, agreed)))
    elif dry_run:
        data(text)
    else:
        data(f"Wrote {clean(os.path.relpath(path))}: it declares {', '.join(agreed) or 'no provider yet'}.\n")
    if not dry_run:
        talk(settings, "Next: look it over, then `authsome check`, then `authsome run -- COMMAND`.")


def _place(settings: Settings) -> Path:
    """Return where the manifest is to be: where it is named, at the top of the repository, or here."""
    from authsome import repository
    from authsome.manifest import FILE_NAME

    here = working_folder().resolve()
    named = manifest_name(settings)
    path = here / named if named else (repository.top(here) or here) / FILE_NAME
    root = path.parent.resolve()
    if not root.is_dir():
        raise AuthsomeError(f"there is no folder {root}", hint="make it first", code=ExitCode.USAGE)
    between = [each / FILE_NAME for each in (here, *here.parents) if not named and each.is_relative_to(root)]
    for each in (root / path.name, *between):
        if each.is_symlink():
            hint = f"look where it leads, then: rm {each}"
            raise AuthsomeError(f"{each} is a symbolic link", hint=hint, code=ExitCode.USAGE)
        if each.exists():
            raise _is_there(each)
    return root / path.name


def _is_there(path: Path) -> AuthsomeError:
    return AuthsomeError(
        f"there is {path} already, and it stays as it is", hint="authsome check --drift", code=ExitCode.USAGE
    )


def _agreed(settings: Settings, found: "Sequence[Candidate]") -> list[str]:
    """Ask about each provider that the code uses and return those to declare."""
    strong = [each.name for each in found if each.strong]
    nothing = "Nothing of a known provider was found. Write an authsome.yaml that declares none yet?"
    profile = profile_name(settings)
    answers = {each: agrees(settings, profile, f"Declare {each}?" if each else nothing) for each in strong or ("",)}
    if None in answers.values():
        raise AuthsomeError(
            "what to declare has to be agreed to, and there is nobody to ask",
            hint="look first with `authsome init --dry-run`, then: authsome init --yes",
            code=ExitCode.MISSING,
        )
    if not any(answers.values()):
        raise AuthsomeError(
            "nothing was agreed to, nothing was written", hint="authsome init --dry-run", code=ExitCode.MISSING
        )
    return [each for each in strong if answers[each]]


def _schema(root: Path) -> Path | None:
    """Return the schema to copy beside the manifest; None without one, and where its place is not the project's."""
    from authsome import outline

    folder = (root / outline.SCHEMA).parent
    strange = os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir())
    return None if strange or folder.resolve() == home().resolve() else outline.schema_file()


def write(path: Path, text: str, schema: Path | None) -> None:
    """Put a manifest where none is, and the schema beside it unless there is one."""
    from authsome import outline
    from authsome.errors import file_errors
    from authsome.vault.files import publish_project

    hint = "go where you can write, or print it: authsome init --dry-run"
    if schema:
        copy = path.parent / outline.SCHEMA
        with file_errors("create", copy.parent, hint=hint):
            copy.parent.mkdir(exist_ok=True)
        publish_project(copy, schema.read_bytes(), hint)
    if not publish_project(path, text.encode(), hint):
        raise _is_there(path)
