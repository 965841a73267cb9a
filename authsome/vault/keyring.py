"""A profile's keyring: its own identity, its true roster, and the list of recipients beside it.

Promises that a profile is made whole or not at all, and that the list says what the roster says. Never creates anew
what it failed to read.
"""

import errno
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError, ExitCode, clean
from authsome.vault.age import Identity, OpenError, bare, encrypt
from authsome.vault.files import TamperedError, locked, make_folder, read, replace, sync_folder

_KEYRING_MARK = "# authsome-keyring "
_VAULT_ID = re.compile(r"[0-9a-f]{32}")
_TRIES = 5


class NotAMemberError(AuthsomeError):
    """An identity does not open the profile; another one may."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who can open a profile."""

    name: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """What opening a profile yields.

    Attributes:
        identity: The profile's own.
        epoch: 1 for the profile's first identity, one more for each that replaced it.
        roster: Its members, by name and recipient.
    """

    identity: Identity
    vault_id: str
    profile: str
    epoch: int
    roster: tuple[Member, ...]
    mac_key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells this profile with these keys from every other, fit to be compared by people."""
        told = f"authsome profile v1\0{self.vault_id}\0{self.profile}\0{self.identity.recipient}"
        return f"SHA256:{b64encode(sha256(told.encode()).digest()).decode().rstrip('=')}"


def create_profile(folder: Path, profile: str, owner: Identity) -> None:
    """Make a profile of which `owner` is the only member; if somebody else made it meanwhile, theirs stays."""
    member = {"name": _member_name(), "recipient": owner.recipient}
    head = {"version": 1, "vault": os.urandom(16).hex(), "profile": profile, "epoch": 1, "roster": [member]}
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.{os.urandom(4).hex()}")
    make_folder(draft)
    try:
        _write_list(draft, head)
        _write_keyring(draft, head, Identity.generate("the profile"), owner)
        try:
            draft.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another process was first
                raise
        sync_folder(folder.parent)
    finally:
        if draft.exists():
            for path in draft.iterdir():
                path.unlink()
            draft.rmdir()


def change_roster(
    folder: Path, profile: str, reader: Identity, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]
) -> bool:
    """Give a profile another roster; return False if it is the one it had.

    Keyring and list are two files. The keyring goes first and names the list that was (`was`) until the new one is in
    place, so that a profile opens whenever this is cut short, and no list but these two passes.

    Args:
        reader: A member before and after.
        change: Returns the new roster, from members with `name` and `recipient`.
    """
    with locked(folder):
        head, identity = _load(folder, profile, reader)
        before: list[dict[str, str]] = head["roster"]
        after = change(before)
        if after == before and "was" not in head:
            return False
        head |= {"roster": after, "was": sorted(members(folder))}
        _write_keyring(folder, head, identity, reader)
        _write_list(folder, head)
        del head["was"]
        _write_keyring(folder, head, identity, reader)
    return after != before


def _write_keyring(folder: Path, head: dict[str, Any], identity: Identity, reader: Identity) -> None:
    text = f"{_KEYRING_MARK}{json.dumps(head, ensure_ascii=False)}\n{identity.file_text()}"
    to = [recipient(each) for each in head["roster"]]
    replace(folder / "keyring.age", encrypt(text.encode(), to, reader))


def _write_list(folder: Path, head: dict[str, Any]) -> None:
    lines = "".join(f"# {clean(each['name'])}\n{recipient(each)}\n" for each in head["roster"])
    replace(folder / "recipients.txt", f'# who can open the profile "{head["profile"]}"\n{lines}'.encode())


def recipient(member: Mapping[str, str]) -> str:
    """Return a member's recipient, without a comment."""
    return bare(member["recipient"])


def _member_name() -> str:
    """Return `user@machine`, the way ssh-keygen names a key."""
    user = os.environ.get("USER") or str(os.getuid())
    return re.sub(r"[^\w@.-]", "-", f"{user}@{os.uname().nodename}")


def open_keyring(folder: Path, profile: str, identity: Identity) -> Keyring:
    """Return a profile's keyring, or raise: locked (exit code 4), or missing, damaged or foreign (5)."""
    head, own = _load(folder, profile, identity)
    roster = tuple(Member(clean(str(each["name"])), recipient(each)) for each in head["roster"])
    return Keyring(own, head["vault"], profile, head["epoch"], roster, own.mac_key(head["vault"]))


def _load(folder: Path, profile: str, identity: Identity) -> tuple[dict[str, Any], Identity]:
    """Return what the keyring says of the profile, and the profile's own identity.

    Reading takes no lock, so that a folder nobody may write to opens, too. What does not fit together is read again
    if the keyring was replaced meanwhile: somebody was changing the roster.
    """
    for _ in range(_TRIES):
        before = _edition(folder)
        try:
            return _load_once(folder, profile, identity)
        except AuthsomeError:
            if _edition(folder) == before:
                raise
    return _load_once(folder, profile, identity)


def _edition(folder: Path) -> tuple[int, int] | None:
    """Return what differs when the keyring is another file."""
    try:
        status = (folder / "keyring.age").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _load_once(folder: Path, profile: str, identity: Identity) -> tuple[dict[str, Any], Identity]:
    path = folder / "keyring.age"
    try:
        ciphertext = read(path)
    except FileNotFoundError:
        raise AuthsomeError(
            f"{path} is missing, without it nothing in this profile opens",
            hint=f"restore it from a backup or from git; to start over, delete {folder}",
            code=ExitCode.INTEGRITY,
        ) from None
    try:
        plaintext = identity.open(ciphertext).decode()
    except UnicodeDecodeError:
        raise TamperedError(path, "is damaged") from None
    except OpenError as error:
        if not error.foreign:
            raise TamperedError(path, "is damaged") from None
        raise NotAMemberError(
            f"the profile `{profile}` is locked: {identity.origin} ({identity.recipient}) does not open it",
            hint=f"use the identity of a member; {folder / 'recipients.txt'} lists them",
            code=ExitCode.LOCKED,
        ) from None
    return _parse_head(plaintext, path, profile), Identity.parse(plaintext, str(path))


def _parse_head(plaintext: str, path: Path, profile: str) -> dict[str, Any]:
    mark = next((line for line in plaintext.splitlines() if line.startswith(_KEYRING_MARK)), None)
    try:
        head: dict[str, Any] = json.loads((mark or "").removeprefix(_KEYRING_MARK))
        version, named = head["version"], head["profile"]
        if not _VAULT_ID.fullmatch(head["vault"]) or not isinstance(head["epoch"], int):
            raise ValueError("not as authsome writes it")  # noqa: TRY301  the same message for all that is wrong
        roster, was = {recipient(member) for member in head["roster"]}, set(head.get("was", ()))
    except (ValueError, TypeError, KeyError):
        raise TamperedError(path, "is not a keyring of authsome") from None
    if version != 1:
        raise AuthsomeError(
            f"{path} has format {version}, this version of authsome knows 1",
            hint="use a newer authsome",
            code=ExitCode.INTEGRITY,
        )
    if named != profile:
        raise TamperedError(path, f"belongs to the profile `{named}`")
    listed = _read_recipients(path.with_name("recipients.txt"))
    if listed not in (roster, was):
        strange = ", ".join(sorted(listed ^ roster))
        raise TamperedError(
            path.with_name("recipients.txt"), f"does not list the members the keyring names ({strange})"
        )
    return head


def members(folder: Path) -> set[str]:
    """Return whom a profile's list names, without a look at the roster; no list names nobody."""
    path = folder / "recipients.txt"
    return _read_recipients(path) if path.exists() else set()


def _read_recipients(path: Path) -> set[str]:
    try:
        lines = read(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        raise TamperedError(path, "is missing") from None
    return {bare(line) for line in lines if line.strip() and not line.startswith("#")}
