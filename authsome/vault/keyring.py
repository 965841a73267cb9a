"""A profile's keyring: its own identity, its true roster, and the list of recipients beside it.

Promises that a profile is made whole or not at all, and that the list says what the roster says. While a member is
being removed the keyring holds two identities, the new one first, and every entry is to one of them. Refuses a keyring
that is for more than its roster names. Never creates anew what it failed to read.
"""

import errno
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace as changed
from hashlib import sha256
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError, ExitCode, clean
from authsome.vault.age import Identity, OpenError, bare, by_plugin, encrypt
from authsome.vault.armor import BEGIN, FormError, armored, conflicted, look
from authsome.vault.files import TamperedError, locked, make_folder, read, replace, sync_folder, unmerged

_KEYRING_MARK = "# authsome-keyring "
_VAULT_ID = re.compile(r"[0-9a-f]{32}")
_CONNECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}/[a-z0-9][a-z0-9_-]{0,62}")
_SECRET_KEY = re.compile(r"^AGE-SECRET-KEY-1\S+", re.MULTILINE)
_TRIES = 5
_MERGE = "join both sides: authsome vault resolve"


class NotAMemberError(AuthsomeError):
    """An identity does not open the profile; another one may."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who can open a profile."""

    name: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """A credential that members could read who were removed since.

    Attributes:
        generation: The one they could read; a higher one is another secret.
        members: Their names.
        since: When the first of them was removed, RFC 3339 in UTC.
    """

    generation: int
    members: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """What opening a profile yields.

    Attributes:
        identity: The profile's own.
        epoch: 1 for the profile's first identity, one more for each that replaced it.
        roster: Its members, by name and recipient.
        reader: The member's identity that opened it.
        former: The identity before, as long as entries may be encrypted to it: a removal was cut short, or is at work.
        exposed: What removed members could read, by `provider/connection`, whether it was replaced since or not.
        head: The keyring as it is written, the identities left out.
    """

    identity: Identity
    vault_id: str
    profile: str
    epoch: int
    roster: tuple[Member, ...]
    mac_key: bytes = field(repr=False)
    reader: Identity
    former: Identity | None = None
    exposed: Mapping[str, Exposure] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Those that entries may be encrypted to, the one to write with first."""
        return (self.identity, self.former) if self.former else (self.identity,)

    @property
    def fingerprint(self) -> str:
        """What tells this profile with these keys from every other, fit to be compared by people.

        NOTE: the former identity is part of it. A removed member knows that one, so a keyring that holds it must not
        pass for the one that was left without it.
        """
        told = f"authsome profile v1\0{self.vault_id}\0{self.profile}"
        told += "".join(f"\0{each.recipient}" for each in self.identities)
        return f"SHA256:{b64encode(sha256(told.encode()).digest()).decode().rstrip('=')}"

    def settled(self) -> "Keyring":
        """Return the keyring once no entry is encrypted to the former identity any more."""
        head = {name: value for name, value in self.head.items() if name not in ("was", "renewing")}
        return changed(self, former=None, head=head)

    def renews(self, name: str, ciphertext: bytes) -> bool:
        """Whether a file to the former identity was there when the removal began.

        NOTE: who is being removed knows that identity, and could write more of them until the removal is ended.
        """
        return bool(self.head.get("renewing", {}).get(name) == sha256(ciphertext).hexdigest())


def compose(head: Mapping[str, Any], identities: Sequence[Identity], reader: Identity) -> Keyring:
    """Return the keyring that says `head`, and holds these identities, the one to write with first."""
    own, former = identities[0], identities[1] if len(identities) > 1 else None
    roster = tuple(Member(clean(str(each["name"])), recipient(each)) for each in head["roster"])
    exposed = {
        name: Exposure(each["generation"], tuple(clean(str(member)) for member in each["members"]), each["since"])
        for name, each in head.get("exposed", {}).items()
    }
    mac_key = own.mac_key(head["vault"])
    return Keyring(own, head["vault"], head["profile"], head["epoch"], roster, mac_key, reader, former, exposed, head)


def create_profile(folder: Path, profile: str, owner: Identity) -> None:
    """Make a profile of which `owner` is the only member; if somebody else made it meanwhile, theirs stays."""
    member = {"name": member_name(), "recipient": owner.recipient}
    head = {"version": 1, "vault": os.urandom(16).hex(), "profile": profile, "epoch": 1, "roster": [member]}
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.{os.urandom(4).hex()}")
    make_folder(draft)
    try:
        _write_list(draft, head)
        _write_keyring(draft, head, [Identity.generate("the profile")], owner)
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
        keys = open_keyring(folder, profile, reader)
        after = change(list(keys.head["roster"]))
        if after == keys.head["roster"] and "was" not in keys.head:
            return False
        put_roster(folder, keys, after)
    return bool(after != keys.head["roster"])


def put_roster(folder: Path, keys: Keyring, roster: list[dict[str, str]]) -> Keyring:
    """Give a profile another roster, see `change_roster`; the caller holds the folder and has checked the keyring."""
    head = {**keys.head, "roster": roster, "was": sorted(_read_recipients(folder / "recipients.txt"))}
    _write_keyring(folder, head, keys.identities, keys.reader)
    _write_list(folder, head)
    if keys.former is None:  # else who ends the removal writes it once more
        del head["was"]
        _write_keyring(folder, head, keys.identities, keys.reader)
    return compose(head, keys.identities, keys.reader)


def successor(keys: Keyring, roster: list[dict[str, str]]) -> Keyring:
    """Return a keyring with a new identity beside the one so far, for these members."""
    head = {**keys.head, "roster": roster, "epoch": keys.epoch + 1}
    return compose(head, [Identity.generate("the profile"), keys.identity], keys.reader)


def with_exposed(keys: Keyring, exposed: Mapping[str, Exposure]) -> Keyring:
    """Return a keyring that says what removed members could read."""
    return _saying(keys, "exposed", {name: asdict(each) for name, each in exposed.items()})


def with_renewing(keys: Keyring, files: Mapping[str, str]) -> Keyring:
    """Return a keyring that says which files to the former identity there are: the SHA-256 of each entry's."""
    return _saying(keys, "renewing", dict(files))


def _saying(keys: Keyring, name: str, what: Mapping[str, Any]) -> Keyring:
    return compose({**keys.head, name: what}, keys.identities, keys.reader)


def begin(folder: Path, keys: Keyring) -> None:
    """Write a keyring of two identities and its list; from now on an entry may be to either."""
    put_roster(folder, keys, list(keys.head["roster"]))


def end(folder: Path, keys: Keyring) -> Keyring:
    """Write a keyring without the former identity, which no entry is encrypted to any more."""
    settled = keys.settled()
    if _read_recipients(folder / "recipients.txt") != {each.recipient for each in settled.roster}:
        _write_list(folder, settled.head)
    _write_keyring(folder, settled.head, settled.identities, settled.reader)
    return settled


def put(folder: Path, keys: Keyring) -> None:
    """Write a keyring and its list over whatever lies there; the caller holds the folder, and knows what it was."""
    _write_list(folder, keys.head)
    _write_keyring(folder, keys.head, keys.identities, keys.reader)


def _write_keyring(folder: Path, head: Mapping[str, Any], identities: Sequence[Identity], reader: Identity) -> None:
    keys = "".join(each.file_text() for each in identities)
    text = f"{_KEYRING_MARK}{json.dumps(head, ensure_ascii=False)}\n{keys}"
    to = [recipient(each) for each in head["roster"]]
    replace(folder / "keyring.age", encrypt(text.encode(), to, reader))


def _write_list(folder: Path, head: Mapping[str, Any]) -> None:
    lines = "".join(f"# {clean(each['name'])}\n{recipient(each)}\n" for each in head["roster"])
    replace(folder / "recipients.txt", f'# who can open the profile "{head["profile"]}"\n{lines}'.encode())


def recipient(member: Mapping[str, str]) -> str:
    """Return a member's recipient, without a comment."""
    return bare(member["recipient"])


def member_name() -> str:
    """Return `user@machine`, the way ssh-keygen names a key."""
    user = os.environ.get("USER") or str(os.getuid())
    return re.sub(r"[^\w@.-]", "-", f"{user}@{os.uname().nodename}")


def open_keyring(folder: Path, profile: str, identity: Identity) -> Keyring:
    """Return a profile's keyring, or raise: locked (exit code 4), or missing, damaged or foreign (5)."""
    head, identities = _load(folder, profile, identity)
    return compose(head, identities, identity)


def _load(folder: Path, profile: str, identity: Identity) -> tuple[dict[str, Any], list[Identity]]:
    """Return what the keyring says of the profile, and the profile's own identities.

    Reading takes no lock, so that a folder nobody may write to opens, too. What does not fit together is read again
    if the keyring was replaced meanwhile: somebody was changing the roster.
    """
    for _ in range(_TRIES):
        before = edition(folder)
        try:
            return _load_once(folder, profile, identity)
        except AuthsomeError:
            if edition(folder) == before:
                raise
    return _load_once(folder, profile, identity)


def edition(folder: Path) -> tuple[int, int] | None:
    """Return what differs when the keyring is another file, None if there is none."""
    try:
        status = (folder / "keyring.age").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _load_once(folder: Path, profile: str, identity: Identity) -> tuple[dict[str, Any], list[Identity]]:
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
        head, identities = _read_keyring(ciphertext, path, identity)
    except OpenError as error:
        if conflicted(ciphertext):
            raise unmerged(path, _MERGE) from None
        if not error.foreign:
            raise TamperedError(path, "is damaged") from None
        raise NotAMemberError(
            f"the profile `{profile}` is locked: {identity.origin} ({identity.recipient}) does not open it",
            hint=f"use the identity of a member; {folder / 'recipients.txt'} lists them",
            code=ExitCode.LOCKED,
        ) from None
    _check_place(head, path, profile)
    return head, identities


def parse_keyring(ciphertext: bytes, path: Path, reader: Identity) -> Keyring:
    """Return what a keyring says, whatever lies beside it; raises `OpenError` if it does not open."""
    return compose(*_read_keyring(ciphertext, path, reader), reader)


def _read_keyring(ciphertext: bytes, path: Path, reader: Identity) -> tuple[dict[str, Any], list[Identity]]:
    try:
        plaintext = reader.open(ciphertext).decode()
    except UnicodeDecodeError:
        raise TamperedError(path, "is damaged") from None
    head = _parse_head(plaintext, path)
    _check_readers(path, ciphertext, head["roster"])
    keys = _SECRET_KEY.findall(plaintext)
    texts = keys if len(keys) == 2 else [plaintext]  # noqa: PLR2004  the new and the former one
    return head, [Identity.parse(text, str(path)) for text in texts]


def _check_readers(path: Path, ciphertext: bytes, roster: Sequence[Mapping[str, str]]) -> None:
    """Raise if a keyring is for more than its roster names.

    NOTE: age tells how many a file is for, not who they are; who swaps one recipient for another is not noticed here.
    A plugin may stand for several.
    """
    content = ciphertext if ciphertext.lstrip().startswith(BEGIN) else armored(ciphertext)
    try:
        number = len(look(content).stanzas)
    except FormError as error:
        raise TamperedError(path, str(error)) from None
    if number > len(roster) and not any(by_plugin(recipient(each)) for each in roster):
        raise TamperedError(
            path, f"is encrypted to {number} recipients, its roster names {len(roster)}: somebody else may open it"
        )


def _parse_head(plaintext: str, path: Path) -> dict[str, Any]:
    mark = next((line for line in plaintext.splitlines() if line.startswith(_KEYRING_MARK)), None)
    try:
        head: dict[str, Any] = json.loads((mark or "").removeprefix(_KEYRING_MARK))
        version, _ = head["version"], head["profile"]
        if not _VAULT_ID.fullmatch(head["vault"]) or not isinstance(head["epoch"], int):
            raise ValueError("not as authsome writes it")  # noqa: TRY301  the same message for all that is wrong
        _lists(head)
        _check_exposed(head.get("exposed", {}))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise TamperedError(path, "is not a keyring of authsome") from None
    if version != 1:
        raise AuthsomeError(
            f"{path} has format {version}, this version of authsome knows 1",
            hint="use a newer authsome",
            code=ExitCode.INTEGRITY,
        )
    return head


def _lists(head: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the recipients of the roster, and those of the list that is about to be replaced."""
    return {recipient(member) for member in head["roster"]}, set(head.get("was", ()))


def _check_place(head: Mapping[str, Any], path: Path, profile: str) -> None:
    """Raise unless the keyring is that of the profile, and of the list beside it."""
    if head["profile"] != profile:
        raise TamperedError(path, f"belongs to the profile `{head['profile']}`")
    roster, was = _lists(head)
    found = _read_recipients(path.with_name("recipients.txt"))
    if found not in (roster, was):
        strange = ", ".join(sorted(found ^ roster))
        raise TamperedError(
            path.with_name("recipients.txt"), f"does not list the members the keyring names ({strange})"
        )


def is_connection(name: str) -> bool:
    """Whether this is `provider/connection`."""
    return _CONNECTION.fullmatch(name) is not None


def _check_exposed(exposed: dict[str, dict[str, Any]]) -> None:
    for name, each in exposed.items():
        types = (type(each["generation"]), type(each["members"]), type(each["since"]))
        if not is_connection(name) or types != (int, list, str):
            raise ValueError("not as authsome writes it")


def members(folder: Path) -> set[str]:
    """Return whom a profile's list names, without a look at the roster; no list names nobody."""
    path = folder / "recipients.txt"
    return _read_recipients(path) if path.exists() else set()


def _read_recipients(path: Path) -> set[str]:
    try:
        content = read(path)
    except FileNotFoundError:
        raise TamperedError(path, "is missing") from None
    if conflicted(content):
        raise unmerged(path, _MERGE)
    return listed(content)


def listed(content: bytes) -> set[str]:
    """Return whom a list names."""
    lines = content.decode(errors="replace").splitlines()
    return {bare(line) for line in lines if line.strip() and not line.startswith("#")}
