"""`authsome recipients`: who may open a profile."""

import os
import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from authsome.cli.frame import Argument, Option, Settings, command, data, group, talk
from authsome.cli.stations import again, agrees, confirm, given, home, open_project, open_vault, sealed, show_catalogue
from authsome.errors import AuthsomeError, ExitCode, clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authsome.provider import Catalogue
    from authsome.vault import Folder, Vault
    from authsome.vault.joining import Request
    from authsome.vault.keyring import Exposure, Keyring, Member

_of = partial(command, of=group("recipients", "Show, add and remove who may open a profile."))
_Shared = Annotated[
    bool | None,
    Option(
        "--shared/--no-shared", help="The project's profile, or your home's; else the one there is.", show_default=False
    ),
]


@_of("list")
def list_(settings: Settings, shared: _Shared = None) -> None:
    """Show who can open the profile, by what the keyring says.

    Example: authsome recipients list --shared
    """
    from authsome import screens
    from authsome.screens import vault as screen

    sealed("recipients list")
    keys = _folder(_vault(settings), shared=shared).keys()
    rows = [{**_shown(each), "you": each.recipient == keys.reader.recipient} for each in keys.roster]
    if settings.json:
        data(screens.as_json("recipients", profile=keys.profile, recipients=rows))
    else:
        data(screen.recipients(rows))
        if keys.former:
            talk(settings, "A removal was cut short; the next write ends it.")


@_of("add")
def add(
    settings: Settings,
    recipient: Annotated[
        str, Argument(metavar="RECIPIENT|FILE", help="age1…, an ssh public key, or a file that lists some.")
    ],
    name: Annotated[str | None, Option("--name", help="What to call them; else what stands beside the key.")] = None,
    shared: _Shared = None,
) -> None:
    """Let somebody open the profile, with all that is in it.

    Only the keyring and recipients.txt change, no credential does.

    Example: authsome recipients add ~/alice.pub --name alice --shared
    """
    from authsome import screens
    from authsome.vault import joining, roster
    from authsome.vault.keyring import Member

    sealed("recipients add")
    vault = _vault(settings)
    candidates = joining.candidates(recipient)
    if name is not None:
        if len(candidates) > 1 or not joining.tidy(name):
            raise AuthsomeError(
                f"--name names one member, and here are {len(candidates)}"
                if len(candidates) > 1
                else "this is no name",
                hint="write the names as comments into the list" if len(candidates) > 1 else "leave out --name",
                code=ExitCode.USAGE,
            )
        candidates = (Member(name, candidates[0].recipient),)
    done = roster.add(_folder(vault, shared=shared), candidates)
    if settings.json:
        shown = {"added": list(map(_shown, done.added)), "already_members": list(map(_shown, done.known))}
        data(screens.as_json("recipients_added", **shown))
        return
    _tell(settings, done.added, done.known)


def _tell(settings: Settings, added: "Sequence[Member]", known: "Sequence[Member]") -> None:
    from authsome.vault.age import fingerprint

    for each in added:
        data(f"Added {clean(each.name)}, {fingerprint(each.recipient)}.\n")
    for each in known:
        data(f"{clean(each.name)} is a member already, nothing was changed for this key.\n")
    if added:
        talk(
            settings, "Compare the fingerprint with its owner another way, if you have not: who has this key reads all."
        )


@_of("remove")
def remove(
    settings: Settings,
    who: Annotated[str, Argument(metavar="NAME|RECIPIENT", help="A member's name, key or fingerprint.")],
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, Option("--force", help="Leave credentials that do not open as they are.")] = False,
    shared: _Shared = None,
) -> None:
    """Remove a member, and give the profile new keys.

    Every credential is encrypted anew. The former member keeps what they could read so far: what is listed has to be
    replaced at its provider. Run it again if it was interrupted.

    Example: authsome recipients remove bob --shared
    """
    from authsome import screens
    from authsome.screens import vault as screen
    from authsome.vault import roster

    sealed("recipients remove")
    vault = _vault(settings)
    folder = _folder(vault, shared=shared)
    keys = folder.keys()
    if leaving := roster.find(keys, who, gone=keys.former is not None):
        roster.check_removable(keys, leaving)
        if not yes:
            question = f"Remove {screen.members(leaving)} from the profile `{vault.profile}`?"
            same = again(settings, shared=not folder.own if vault.shared else None)
            confirm(
                settings, vault.profile, question, f"authsome recipients remove {shlex.quote(clean(who))}{same} --yes"
            )
    done = roster.remove(folder, who, time.time(), force=force)
    rows = _exposed_rows(settings, show_catalogue(settings), done.exposed, shared=not folder.own)
    if settings.json:
        shown = {"removed": list(map(_shown, done.members)), "renewed": done.renewed, "left": list(map(str, done.left))}
        data(screens.as_json("recipients_removed", **shown, fingerprint=folder.keys().fingerprint, exposed=rows))
        return
    if done.members:
        data(f"Removed {screen.members(done.members)}; new keys for {screens.counted(done.renewed, 'credential')}.\n")
    else:
        data(f"Ended the removal that was interrupted; {clean(who[:80])} is no member.\n")
    if rows:
        data(f"\nRemoved members could read these, replace each:\n{screen.exposed(rows)}")
    talk(
        settings,
        f"The profile's fingerprint is {folder.keys().fingerprint} now; others accept it with `authsome trust`."
        f"{' `authsome list --exposed` keeps the list.' if rows else ''}",
    )


@_of("join")
def join(
    settings: Settings,
    name: Annotated[str | None, Option("--name", help="What to call you; else user@machine.")] = None,
    shared: _Shared = None,
) -> None:
    """Ask to become a member: write a request that a pull request can carry.

    Makes an identity if you have none. The request holds your public key and a name, and no secret.

    Example: authsome recipients join --name alice
    """
    from authsome import screens
    from authsome.vault import find_identity, joining, keyring

    sealed("recipients join")
    vault = _vault(settings)
    folder = _folder(vault, shared=shared)
    identity = find_identity(home(), os.environ, given(settings, vault.profile), create=True)
    called = joining.tidy(name or "") or keyring.member_name()
    request = joining.Request(joining.request_path(folder.path, identity.recipient), called, identity.recipient)
    member = identity.recipient in keyring.members(folder.path)
    if not member:
        joining.write_request(folder.path, called, identity.recipient)
    if settings.json:
        shown = {"name": called, "recipient": identity.recipient, "fingerprint": request.fingerprint}
        status = "member" if member else "requested"
        data(screens.as_json("join", status=status, **shown, request=None if member else str(request.path)))
    elif member:
        data(f"This key is a member of the profile `{vault.profile}` already, nothing was written.\n")
    else:
        rows = {"name": called, "key": identity.recipient, "fingerprint": request.fingerprint, "request": request.path}
        data(screens.fields(rows))
        talk(
            settings,
            "Next: commit the request and open a pull request, and tell a member the fingerprint in another way.\n"
            "They look at it with: authsome recipients review" + (" --shared" if folder is vault.shared else ""),
        )


@_of("review")
def review(
    settings: Settings,
    accept: Annotated[str | None, Option("--accept", metavar="FINGERPRINT", help="Make the owner a member.")] = None,
    reject: Annotated[str | None, Option("--reject", metavar="FINGERPRINT", help="Delete the request.")] = None,
    shared: _Shared = None,
) -> None:
    """Look at who asks to become a member.

    Have the fingerprint told to you by the person, not by the pull request.

    Example: authsome recipients review --shared
    """
    from authsome import screens
    from authsome.vault import joining

    sealed("recipients review")
    vault = _vault(settings)
    folder = _folder(vault, shared=shared)
    found = list(joining.requests(folder.path))
    asking = {each.fingerprint: each for each in found if isinstance(each, joining.Request)}
    if accept is not None or reject is not None:
        _answer(settings, folder, asking, accept, reject)
        return
    keys = folder.keys()
    rows = [_request_row(each, keys) for each in found]
    if settings.json:
        data(screens.as_json("requests", requests=rows))
        return
    _ask_each(settings, vault, folder, list(zip(found, rows, strict=True)))


def _answer(
    settings: Settings, folder: "Folder", asking: "Mapping[str, Request]", accept: str | None, reject: str | None
) -> None:
    """Do what was said of requests by their fingerprints."""
    from authsome import screens
    from authsome.vault import joining, roster

    for wanted in (accept, reject):
        if wanted is not None and wanted not in asking:
            raise AuthsomeError(
                f"no request has the fingerprint {wanted[:80]}",
                hint="`authsome recipients review` shows those there are",
                code=ExitCode.USAGE,
            )
    done = roster.accept(folder, asking[accept]) if accept is not None else roster.Added((), ())
    if reject is not None:
        joining.drop(asking[reject])
    if settings.json:
        shown = {"added": list(map(_shown, done.added)), "already_members": list(map(_shown, done.known))}
        data(screens.as_json("recipients_reviewed", **shown, rejected=reject))
        return
    _tell(settings, done.added, done.known)
    if reject is not None:
        data(f"Rejected {reject}.\n")


def _ask_each(
    settings: Settings,
    vault: "Vault",
    folder: "Folder",
    found: "Sequence[tuple[Request | AuthsomeError, Mapping[str, Any]]]",
) -> None:
    """Show each request, and ask for it if there is somebody to ask."""
    from authsome.screens import vault as screen
    from authsome.vault import joining, roster

    if not found:
        data(screen.requests([]))
    for each, row in found:
        data(screen.request(row))
        if not isinstance(each, joining.Request):
            continue
        question = f"Add {row['name'] or 'them'}? They will read everything in this profile."
        review = f"authsome recipients review{again(settings, shared=not folder.own if vault.shared else None)}"
        agreed = agrees(settings, vault.profile, question)
        if agreed:
            done = roster.accept(folder, each)
            _tell(settings, done.added, done.known)
        elif agreed is None:
            talk(settings, f"To answer it: {review} --accept {each.fingerprint}, or --reject")
        else:
            talk(settings, f"Left as it is; to delete it: {review} --reject {each.fingerprint}")
        data("\n")


def _request_row(found: "Request | AuthsomeError", keys: "Keyring") -> "Mapping[str, Any]":
    from authsome.vault import history

    if isinstance(found, AuthsomeError):
        rest = ("name", "recipient", "fingerprint", "origin", "member", "name_taken", "path")
        return {"problem": found.message} | dict.fromkeys(rest)
    listed = {each.recipient for each in keys.roster}
    names = {each.name.casefold() for each in keys.roster}
    return {
        "problem": None,
        "name": found.name,
        "recipient": found.recipient,
        "fingerprint": found.fingerprint,
        "origin": history.told(found.path).removeprefix(", ").removeprefix("brought by ") or None,
        "member": found.recipient in listed,
        "name_taken": found.name.casefold() in names,
        "path": str(found.path),
    }


def show_exposed(settings: Settings) -> None:
    """Answer `authsome list --exposed`."""
    from authsome import screens
    from authsome.screens import vault as screen
    from authsome.vault import roster

    sealed("list --exposed")
    catalogue, vault = show_catalogue(settings), _vault(settings)
    rows = [
        row
        for folder in vault.folders
        if folder.exists
        for row in _exposed_rows(settings, catalogue, roster.exposed(folder), shared=folder is vault.shared)
    ]
    data(screens.as_json("exposed", connections=rows) if settings.json else screen.exposed(rows))


def _exposed_rows(
    settings: Settings, catalogue: "Catalogue", exposed: "Mapping[str, Exposure]", *, shared: bool
) -> "Sequence[Mapping[str, Any]]":
    from authsome.manifest import login_command
    from authsome.provider import CLIENT, DEFAULT_CONNECTION

    rows = []
    for name, each in exposed.items():
        provider, _, connection = name.partition("/")
        try:
            keys_url = catalogue.get(provider).keys_url
        except AuthsomeError:  # a definition that is no longer there hides no exposure
            keys_url = None
        # The application is asked for with any of its provider's connections.
        account = DEFAULT_CONNECTION if connection == CLIENT else connection
        login = login_command(provider, account) + " --force" + again(settings, shared=shared or None)
        rows.append(
            {
                "name": name,
                "generation": each.generation,
                "members": list(each.members),
                "since": each.since,
                "keys_url": keys_url,
                "command": login,
            }
        )
    return rows


def _shown(member: "Member") -> dict[str, Any]:
    from authsome.vault.age import fingerprint, kind

    return {
        "name": member.name,
        "kind": kind(member.recipient),
        "fingerprint": fingerprint(member.recipient),
        "recipient": member.recipient,
    }


def _vault(settings: Settings) -> "Vault":
    return open_vault(settings, open_project(settings, show_catalogue(settings)))


def _folder(vault: "Vault", *, shared: bool | None) -> "Folder":
    """Return the profile's folder, or raise (exit code 3) if there is none.

    Args:
        shared: The project's; None for where the preset says, or the only one there is.
    """
    there = [folder for folder in vault.folders if folder.exists]
    if shared is None and len(there) == 1:
        return there[0]
    folder = vault.place(shared=shared)
    if folder.exists:
        return folder
    if there:
        hint = f"there is one in {there[0].path.parent}: {'--no-shared' if there[0].own else '--shared'}"
    else:
        hint = "the first `authsome login` makes one" if folder.own else f"look for it: ls {_near(folder.path)}"
    raise AuthsomeError(
        f"there is no profile `{vault.profile}` in {folder.path.parent}", hint=hint, code=ExitCode.MISSING
    )


def _near(path: Path) -> Path:
    """Return the nearest folder above that is there."""
    return next(each for each in path.parents if each.is_dir())
