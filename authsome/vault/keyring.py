"""A profile's keyring: its own identity, its true roster, and the list of recipients beside it.

Promises that a profile is made whole or not at all, and that the list says what the roster says. Never creates anew
what it failed to read.
"""

import errno
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.vault.age import Identity, OpenError, encrypt
from authsome.vault.files import make_folder, read, replace, sync_folder, tampered

_KEYRING_MARK = "# authsome-keyring "


@dataclass(frozen=True, slots=True)
class Keyring:
    """What opening a profile yields."""

    identity: Identity
    vault_id: str
    mac_key: bytes = field(repr=False)


def create_profile(folder: Path, profile: str, owner: Identity) -> None:
    """Make a profile of which `owner` is the only member; if somebody else made it meanwhile, theirs stays."""
    identity = Identity.generate("the profile")
    member = {"name": _member_name(), "recipient": owner.recipient}
    head = {"version": 1, "vault": os.urandom(16).hex(), "profile": profile, "epoch": 1, "roster": [member]}
    keyring = f"{_KEYRING_MARK}{json.dumps(head, ensure_ascii=False)}\n{identity.file_text()}"
    recipients = f'# who can open the profile "{profile}"\n# {member["name"]}\n{member["recipient"]}\n'
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.{os.urandom(4).hex()}")
    make_folder(draft)
    try:
        replace(draft / "recipients.txt", recipients.encode())
        replace(draft / "keyring.age", encrypt(keyring.encode(), owner.recipient, owner))
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


def _member_name() -> str:
    """Return `user@machine`, the way ssh-keygen names a key."""
    user = os.environ.get("USER") or str(os.getuid())
    return re.sub(r"[^\w@.-]", "-", f"{user}@{os.uname().nodename}")


def open_keyring(folder: Path, profile: str, identity: Identity) -> Keyring:
    """Return a profile's keyring, or raise: locked (exit code 4), or missing, damaged or foreign (5)."""
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
        raise tampered(path, "is damaged") from None
    except OpenError as error:
        if not error.foreign:
            raise tampered(path, "is damaged") from None
        raise AuthsomeError(
            f"the profile `{profile}` is locked: {identity.origin} ({identity.recipient}) does not open it",
            hint=f"use the identity of a member; {folder / 'recipients.txt'} lists them",
            code=ExitCode.LOCKED,
        ) from None
    return _parse_keyring(plaintext, path, profile)


def _parse_keyring(plaintext: str, path: Path, profile: str) -> Keyring:
    mark = next((line for line in plaintext.splitlines() if line.startswith(_KEYRING_MARK)), None)
    try:
        head = json.loads((mark or "").removeprefix(_KEYRING_MARK))
        version, vault_id, named = head["version"], head["vault"], head["profile"]
        roster = {member["recipient"] for member in head["roster"]}
    except (ValueError, TypeError, KeyError):
        raise tampered(path, "is not a keyring of authsome") from None
    if version != 1:
        raise AuthsomeError(
            f"{path} has format {version}, this version of authsome knows 1",
            hint="use a newer authsome",
            code=ExitCode.INTEGRITY,
        )
    if named != profile:
        raise tampered(path, f"belongs to the profile `{named}`")
    listed = _read_recipients(path.with_name("recipients.txt"))
    if listed != roster:
        strange = ", ".join(sorted(listed ^ roster))
        raise tampered(path.with_name("recipients.txt"), f"does not list the members the keyring names ({strange})")
    identity = Identity.parse(plaintext, str(path))
    return Keyring(identity, vault_id, identity.mac_key(vault_id))


def _read_recipients(path: Path) -> set[str]:
    try:
        lines = read(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        raise tampered(path, "is missing") from None
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}
