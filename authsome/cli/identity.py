"""`authsome identity`: the key that opens the vault on this machine."""

import os
import shlex
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from authsome.cli.frame import Option, Settings, command, data, group, say, talk
from authsome.cli.stations import given, home, keychain, passphrase, profile_name, sealed
from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from authsome.vault import Identity
    from authsome.vault.keychain import Keychain
    from authsome.vault.own import Rotation

_group = group("identity", "Show, make, protect and rotate the key that opens the vault.")
_of = partial(command, of=_group)


@_of("show")
def show(settings: Settings) -> None:
    """Show the public key of your identity, and where it was found.

    The secret key is never shown.

    Example: authsome identity show
    """
    from authsome import isolation
    from authsome.vault import Search, keyring

    isolation.withhold()
    profile = profile_name(settings)
    members = keyring.members(home() / "profiles" / profile)
    search = Search(home(), os.environ, given(settings, profile), members)
    identity = next(search.identities(), None)
    if identity is None:
        raise search.failure()
    _answer(settings, identity)


@_of("create")
def create(
    settings: Settings,
    protect: Annotated[bool, Option("--protect", help="Ask for a passphrase to protect it with.")] = False,
    force: Annotated[bool, Option("--force", help="Replace one that no profile needs.")] = False,
) -> None:
    """Make an identity before the first login does.

    Example: authsome identity create --protect
    """
    from authsome.vault import own

    _begin(settings, "identity create")
    own.check_free(home(), force=force)  # before anybody is asked
    new = _new(settings)() if protect else None
    _answer(settings, own.create(home(), new, force=force), "created")


@_of("protect")
def protect(
    settings: Settings,
    in_keychain: Annotated[
        bool, Option("--keychain", help="Keep the passphrase in the keychain of your desktop.")
    ] = False,
) -> None:
    """Put the identity under a passphrase, or change it.

    Stock age opens what is written. Keep the passphrase: without it the vault stays closed.

    With --keychain nobody has to type it. But a keychain answers every program of your session: an agent that can read
    the file can open it. Without --keychain the keychain forgets it again.

    Example: authsome identity protect
    """
    from authsome.vault import own

    _begin(settings, "identity protect")
    asking, typing = _ask(settings), _new(settings)
    identity = own.protect(home(), asking, typing, _keychain(settings), remember=in_keychain)
    _answer(settings, identity, "protected")
    if in_keychain:
        talk(settings, "Keep the passphrase elsewhere too: it is the only way in where there is no such keychain.")


@_of("unprotect")
def unprotect(settings: Settings) -> None:
    """Store the identity without a passphrase again.

    Example: authsome identity unprotect
    """
    from authsome.vault import own

    _begin(settings, "identity unprotect")
    _answer(settings, own.unprotect(home(), _ask(settings), _keychain(settings)), "unprotected")


@_of("rotate")
def rotate(settings: Settings) -> None:
    """Replace the identity by a new one that opens the same profiles.

    Run it again if it was interrupted. A former identity keeps what it could read so far: rotate keys at their
    providers if it leaked.

    Example: authsome identity rotate
    """
    from authsome import screens
    from authsome.vault import own

    _begin(settings, "identity rotate")
    done = own.rotate(home(), _ask(settings), _keychain(settings))
    _tell_elsewhere(done)
    if settings.json:
        shown = _shown(settings, done.identity)
        data(
            screens.as_json(
                "identity_rotation", **shown, former=done.former, former_kept_in=str(done.kept) if done.kept else None
            )
        )
        return
    if done.former is None:
        data(f"Ended the rotation that was interrupted: only {done.identity.recipient} opens the vault now.\n")
        return
    data(f"Rotated: {done.identity.recipient} opens {', '.join(done.profiles) or 'no profile yet'}.\n")
    talk(settings, f"The former identity is kept in {done.kept}: delete it when no vault elsewhere needs it.")


def _tell_elsewhere(done: "Rotation") -> None:
    """Say of the vaults of projects that they are still for the former identity: their files are in git."""
    from authsome.vault import keyring
    from authsome.vault.pins import Pins

    for folder in Pins(home(), os.environ).places():
        if not folder.is_relative_to(home().resolve()) and folder.is_dir():
            with suppress(AuthsomeError):  # what is wrong with it is said where it is used
                if done.former in keyring.members(folder):
                    add = f"recipients add {done.identity.recipient} --shared --profile {folder.name}"
                    say(
                        f"authsome: {folder} is still for the former identity. To open it with the new one: "
                        f"cd {shlex.quote(str(folder.parents[2]))} && authsome --identity {done.kept} {add}"
                    )


def _begin(settings: Settings, doing: str) -> None:
    """Refuse what is not about `identity.txt`, and what an agent has no business with."""
    from authsome import isolation
    from authsome.vault import Search

    sealed(doing)
    isolation.withhold()  # before there is a secret in this process
    named = Search(home(), os.environ, given(settings, profile_name(settings))).named
    if named:
        raise AuthsomeError(
            f"`authsome {doing}` is about {home() / 'identity.txt'}, but {named} is given",
            hint=f"leave out {named}" if named.startswith("-") else f"env -u {named} authsome {doing}",
            code=ExitCode.USAGE,
        )


def _ask(settings: Settings) -> "Callable[[str], str]":
    return partial(passphrase, settings, profile_name(settings))


def _new(settings: Settings) -> "Callable[[], str]":
    return partial(passphrase, settings, profile_name(settings), str(home() / "identity.txt"), new=True)


def _keychain(settings: Settings) -> "Keychain":
    return keychain(settings, profile_name(settings))


def _shown(settings: Settings, identity: "Identity") -> dict[str, Any]:
    from authsome.vault import own

    return {
        "public_key": identity.recipient,
        "type": identity.kind,
        "found_in": identity.origin,
        "protected": identity.protected,
        "in_keychain": own.in_keychain(home(), identity, _keychain(settings)),
        "profiles": list(own.opened_by(home(), identity.recipient)),
    }


def _answer(settings: Settings, identity: "Identity", status: str = "found") -> None:
    from authsome import screens
    from authsome.screens import vault as screen

    shown = {"status": status, **_shown(settings, identity)}
    data(screens.as_json("identity", **shown) if settings.json else screen.identity(shown))
