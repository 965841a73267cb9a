"""`authsome vault`: the files themselves."""

import os
import shlex
import sys
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data, group, say, talk
from authsome.cli.stations import (
    again,
    agrees,
    given,
    home,
    open_project,
    open_vault,
    passphrase,
    profile_name,
    sealed,
    show_catalogue,
    working_folder,
)
from authsome.errors import AuthsomeError, ExitCode, file_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authsome.vault.backup import Gathered
    from authsome.vault.merge import Plan

_of = partial(command, of=group("vault", "Look after the vault's files: check, back up, restore, merge."))
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
    from authsome.screens import vault as screen
    from authsome.vault.sound import verify

    if folder is not None and not folder.is_dir():
        raise AuthsomeError(
            f"there is no folder {folder}", hint="name the folder that holds `profiles/`", code=ExitCode.USAGE
        )
    looked = folder or home()
    found = verify(looked, private=looked.absolute() == home().absolute())
    data(screens.as_json("vault", **screen.soundness_data(found)) if settings.json else screen.soundness(found))
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
    from authsome.screens import vault as screen
    from authsome.vault import PROJECT_FOLDER
    from authsome.vault.armor import FormError, look
    from authsome.vault.inside import Reader

    isolation.withhold()  # before there is a secret in this process
    if path.exists() and not path.is_file():  # a pipe in its place would hold up a whole `git diff`
        raise AuthsomeError(f"{path} is not a regular file", hint=f"ls -l {path}", code=ExitCode.INTEGRITY)
    with file_errors("read", path), path.open("rb") as opened:
        content = opened.read(_MAX_BYTES)
    shown: dict[str, object] = {"sha256": sha256(content).hexdigest()}
    try:
        outside = look(content)
    except FormError as error:  # a diff of a damaged file is wanted, too
        shown |= {"state": f"this file {error}"}
    else:
        shown |= {"state": "encrypted", "recipients": list(outside.stanzas), "bytes": outside.size}
        here = working_folder()
        roots = (*(folder / PROJECT_FOLDER for folder in (here, *here.parents)), home())
        shown |= Reader(home(), os.environ, settings.identity, roots).describe(content, path)
    data(screens.as_json("vault_file", **shown) if settings.json else screen.vault_file(shown))


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
    from authsome.screens import vault as screen
    from authsome.vault import merge

    sealed("vault resolve")
    vault = open_vault(settings, open_project(settings, show_catalogue(settings)))
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
    data(screens.as_json("vault_resolve", **screen.resolution_data(plan)) if settings.json else screen.resolution(plan))
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
    for each in plan.doubts:
        say(f"In doubt: {each}")
    if agrees(settings, plan.keys.profile, "Is all of this right?"):
        return
    raise AuthsomeError(
        "what this merge brings could be the work of somebody who is no member, so nothing was changed",
        hint=f"ask who is said to have done it; if all of it is right: authsome vault resolve{again(settings)} --yes",
        code=ExitCode.UNTRUSTED,
    )


@_of("export")
def export(
    settings: Settings,
    to: Annotated[str, Option("--to", metavar="FILE", help="The file to write; `-` is standard output.")],
    recipient: Annotated[
        list[str] | None,
        Option(
            "--recipient",
            metavar="KEY",
            help="Seal to this public key instead of a passphrase; may be given several times.",
        ),
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Back up the whole vault in one encrypted file.

    That is every profile, your own definitions and your identity: whoever opens the file has everything. It is sealed
    under a passphrase that is asked for or, where there is nobody to ask, to public keys. Without authsome it is
    restored by `age -d FILE | tar x -C ~/.authsome`.

    Example: authsome vault export --to backup.age
    """
    from authsome import isolation, screens
    from authsome.screens import vault as screen
    from authsome.vault import backup

    sealed("vault export")
    isolation.withhold()  # before there is a secret in this process
    if settings.profile is not None:
        # NOTE: the identity goes along, so one profile's file would open the others of whoever made it.
        raise AuthsomeError("a backup holds every profile", hint="leave out --profile", code=ExitCode.USAGE)
    path = _target(settings, to, force=force)
    recipients = [each.strip() for each in recipient or ()]
    backup.check_recipients(recipients)
    found = backup.gather(home(), partial(talk, settings))
    content = backup.packed(found.contents, home(), time.time())
    if recipients:
        content = backup.sealed_to(content, recipients)
    else:
        by_key = f"authsome vault export --to {shlex.quote(to)} --recipient age1…"
        unattended = f"seal it to a key kept elsewhere (age-keygen makes one): {by_key}"
        new = passphrase(settings, profile_name(settings), str(path or "backup"), new=True, otherwise=unattended)
        content = backup.sealed_under(content, new)
    if path is None:
        _output(content)
    else:
        backup.put(path, content, home(), force=force)
        shown = screen.exported_data(found, path, recipients, len(content))
        data(screens.as_json("vault_export", **shown) if settings.json else screen.exported(shown))
    _advise(settings, found, recipients)


def _target(settings: Settings, to: str, *, force: bool) -> Path | None:
    """Return the file to write, None for standard output; refuse what that cannot carry."""
    from authsome.vault import backup

    if to != "-":
        return backup.target(to, home(), force=force)
    if settings.json:
        raise AuthsomeError(
            "standard output cannot carry both the backup and JSON", hint="--to FILE --json", code=ExitCode.USAGE
        )
    if sys.stdout.isatty():
        raise AuthsomeError(
            "standard output is a terminal, and a backup is not text",
            hint="authsome vault export --to - | ssh host 'cat > backup.age'",
            code=ExitCode.USAGE,
        )
    return None


def _output(content: bytes) -> None:
    """Write it all or fail: unlike a listing, half a backup is none."""
    left = memoryview(content)
    with file_errors("write", Path("standard output"), hint="what arrived there is no backup"):
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]


def _advise(settings: Settings, found: "Gathered", recipients: "Sequence[str]") -> None:
    """Say what a backup takes to be of use, beside itself."""
    if found.contents.identity is None:
        talk(settings, "There is no identity.txt here, so none is in it: keep the key that opens the profiles, too.")
    if found.protected:
        talk(settings, "The identity in it is under a passphrase of its own: keep that, too.")
    if found.locked_out:
        names = ", ".join(found.locked_out)
        talk(settings, f"The identity in it does not open {names}: keep the key that does, too.")
    if recipients and set(recipients) == {found.identity}:
        talk(settings, "Only the identity that is inside opens it: keep a copy of identity.txt elsewhere.")
    for name in found.left_out:
        talk(settings, f"Not in it: providers/{name}, which is not named as a provider can be.")


@_of("import")
def import_(
    settings: Settings,
    source: Annotated[str, Argument(metavar="FILE", help="What `vault export` wrote; `-` is standard input.")],
) -> None:
    """Restore a backup; what is there already stays as it is.

    Asks for the passphrase, or opens it with your identity (`--identity` names another one). `--profile NAME` restores
    one profile alone. Run it again if it was interrupted.

    Example: authsome vault import backup.age
    """
    from authsome import isolation, screens
    from authsome.provider import check_name
    from authsome.screens import vault as screen
    from authsome.vault import backup

    sealed("vault import")
    isolation.withhold()  # before there is a secret in this process
    if settings.profile is not None:
        check_name(settings.profile, "profile")
    name = "/dev/stdin" if source == "-" else source
    content = backup.read_backup(Path(name).expanduser())
    profile = profile_name(settings)
    unattended = "call it from a terminal; a backup that `vault export --recipient` sealed opens with a key alone"
    ask = partial(passphrase, settings, profile, otherwise=unattended)
    contents = backup.opened(content, name, home(), os.environ, given(settings, profile), ask)
    done = backup.restore(home(), contents, settings.profile, partial(talk, settings))
    shown = screen.restored_data(done)
    data(screens.as_json("vault_import", file=name, **shown) if settings.json else screen.restored(done))
    if done.identity is None:
        talk(settings, "It holds no identity.txt: give the key that opens the profiles with `--identity`.")
    elif done.identity.status is backup.Status.BESIDE:
        talk(settings, f"This home has another identity. To use the restored one: --identity {done.identity.path}")
