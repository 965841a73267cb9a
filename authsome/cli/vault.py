"""`authsome vault`: the files themselves."""

import os
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data, group, say, talk
from authsome.cli.stations import given, home, open_catalogue, open_project, open_vault, sealed
from authsome.errors import AuthsomeError, ExitCode, file_errors

if TYPE_CHECKING:
    from authsome.vault.merge import Plan

_of = partial(command, of=group("vault", "Look after the vault's files."))
_MAX_BYTES = 16 << 20


@_of("verify")
def verify(
    settings: Settings,
    folder: Annotated[
        Path | None,
        Argument(metavar="[FOLDER]", help="What holds `profiles/`, for example `.authsome`; else the home."),
    ] = None,
) -> None:
    """Check that a vault holds nothing but encrypted files.

    Needs no identity, and so cannot tell who wrote an entry: whoever uses it does that. Ends with 5 and the names of
    the files where something is wrong; fit for a pre-commit hook.

    Example: authsome vault verify .authsome
    """
    from authsome import screens
    from authsome.vault.sound import verify

    if folder is not None and not folder.is_dir():
        raise AuthsomeError(
            f"there is no folder {folder}", hint="name the folder that holds `profiles/`", code=ExitCode.USAGE
        )
    looked = folder or home()
    found = verify(looked, private=looked.absolute() == home().absolute())
    data(screens.as_json("vault", **screens.soundness_data(found)) if settings.json else screens.soundness(found))
    if found.problems:
        raise Exit(ExitCode.INTEGRITY)


@_of("textconv")
def textconv(
    settings: Settings, path: Annotated[Path, Argument(metavar="FILE", help="One of a vault's files.")]
) -> None:
    """Say of an encrypted file what git can show in a diff.

    To everybody that is whom it is for, how much it holds and a fingerprint. Where your identity can be read without
    asking (not from AUTHSOME_IDENTITY_COMMAND), also names, generation, hosts, and the fields with their sizes; of a
    keyring the members. Never a value.

    Example: git config diff.authsome.textconv "authsome vault textconv"
    """
    from authsome import isolation, screens
    from authsome.vault import PROJECT_FOLDER
    from authsome.vault.armor import FormError, look
    from authsome.vault.inside import Reader

    isolation.withhold()  # before there is a secret in this process
    with file_errors("read", path), path.open("rb") as opened:
        content = opened.read(_MAX_BYTES)
    shown: dict[str, object] = {"sha256": sha256(content).hexdigest()}
    try:
        outside = look(content)
    except FormError as error:  # a diff of a damaged file is wanted, too
        shown |= {"state": f"this file {error}"}
    else:
        shown |= {"state": "encrypted", "recipients": list(outside.stanzas), "bytes": outside.size}
        here = Path.cwd()
        roots = (*(folder / PROJECT_FOLDER for folder in (here, *here.parents)), home())
        shown |= Reader(home(), os.environ, settings.identity, roots).describe(content, path)
    data(screens.as_json("vault_file", **shown) if settings.json else screens.vault_file(shown))


@_of("resolve")
def resolve(
    settings: Settings,
    yes: Annotated[bool, Option("--yes", help="You have looked at what is in doubt, and it is right.")] = False,
) -> None:
    """Join a profile that two sides changed, after a `git merge`.

    Members who were added on either side are members, who was removed on either side is none; where both sides made
    new keys, newer ones are made. Credentials that were stored under former keys are brought over to those that count
    now. Ends with 7 and a list where that could be the work of somebody who was removed; with 3 where both sides
    changed one credential and a person has to choose. Adds and commits nothing, and can be run again.

    Example: authsome vault resolve
    """
    from authsome import screens
    from authsome.vault import merge

    sealed("vault resolve")
    vault = open_vault(settings, open_project(settings, open_catalogue()))
    folder = vault.shared if vault.shared and vault.shared.exists else vault.own
    if not folder.exists:
        raise AuthsomeError(
            f"there is no profile `{vault.profile}` here",
            hint="name another one with --profile, or go to the project's folder",
            code=ExitCode.USAGE,
        )
    place = merge.Place(folder.path, vault.profile, folder.own, vault.home, os.environ, given(settings, vault.profile))
    plan = merge.examine(place, time.time())
    if plan.doubts and not yes:
        _ask(settings, plan)
    if not plan.empty:
        merge.carry_out(plan)
    data(
        screens.as_json("vault_resolve", **screens.resolution_data(plan)) if settings.json else screens.resolution(plan)
    )
    if plan.write and os.environ.get("AUTHSOME_VAULT_PIN"):
        talk(settings, f"AUTHSOME_VAULT_PIN has to name {plan.keys.fingerprint} now.")
    if plan.lost:
        raise AuthsomeError(
            f"{plan.lost[0]} opens with none of the profile's keys, also not with former ones",
            hint="restore it from a backup or from git, or forget it with `authsome logout`",
            code=ExitCode.INTEGRITY,
        )
    if plan.undecided:
        raise Exit(ExitCode.MISSING)


def _ask(settings: Settings, plan: "Plan") -> None:
    """Go on if a person says that what is in doubt is right."""
    from authsome import bridge

    for each in plan.doubts:
        say(f"In doubt: {each}")
    if bridge.agrees("Is all of this right?", os.environ, plan.keys.profile, no_input=settings.no_input):
        return
    raise AuthsomeError(
        "what this merge brings could be the work of somebody who is no member, so nothing was changed",
        hint="ask who is said to have done it; if all of it is right: authsome vault resolve --yes",
        code=ExitCode.UNTRUSTED,
    )
