"""The two sides of a profile in a `git merge`, and the keyring that is both.

Promises that a member who was added on either side is one, that who was removed on either side is none, and that
nobody who was removed knows the keys of what comes of it. Refuses to guess which side is the real one: one of them is
the profile that this machine knows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError, ExitCode
from authsome.vault.age import Identity, OpenError
from authsome.vault.armor import conflicted
from authsome.vault.files import read, unmerged
from authsome.vault.history import Repository
from authsome.vault.identity import Given, Search
from authsome.vault.keyring import (
    Exposure,
    Keyring,
    Member,
    NotAMemberError,
    compose,
    listed,
    open_keyring,
    parse_keyring,
    recipient,
)
from authsome.vault.pins import Pins

KEYRING, LIST = "keyring.age", "recipients.txt"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a profile lies, and who opens it.

    Attributes:
        own: It lies in the home.
    """

    folder: Path
    profile: str
    own: bool
    home: Path
    environ: Mapping[str, str]
    given: Given

    @property
    def pins(self) -> Pins:
        """What this machine knows of profiles."""
        return Pins(self.home, self.environ)


@dataclass(frozen=True, slots=True)
class Joined:
    """What the keyring is to be.

    Attributes:
        keys: The keyring.
        others: Further keyrings of this profile: the sides, what was before both, and what lies in the folder.
        write: It is another than the one in the folder.
        doubts: What a person has to look at first, each a sentence.
        added, removed: Members, compared with this side.
    """

    keys: Keyring
    others: tuple[Keyring, ...] = ()
    write: bool = False
    doubts: tuple[str, ...] = ()
    added: tuple[Member, ...] = ()
    removed: tuple[Member, ...] = ()


type Versions = tuple[Keyring, Keyring, Keyring | None]
"""This side's, the other's, and what was before both if it opens."""


def join(place: Place, repository: Repository, conflicts: Mapping[str, Mapping[int, bytes]]) -> Joined:
    """Return the keyring of both sides; without a conflict in it, the one that is there."""
    stages = conflicts.get(KEYRING)
    if stages is None:
        return _single(place, list_is_unmerged=LIST in conflicts)
    if Repository.OURS not in stages or Repository.THEIRS not in stages:
        raise AuthsomeError(
            f"one side of the merge deleted {place.folder / KEYRING}, the other changed it",
            hint=f"keep the profile: git add {place.folder / KEYRING}; or delete it: git rm -r {place.folder}",
            code=ExitCode.INTEGRITY,
        )
    lists = conflicts.get(LIST, dict.fromkeys(stages, _content(place.folder / LIST)))
    opened = _open(place, stages, lists)
    ours, theirs, base = opened[Repository.OURS], opened[Repository.THEIRS], opened.get(Repository.BASE)
    _check_same(place, ours, theirs)
    old = {each.recipient for each in base.roster} if base else listed(lists.get(Repository.BASE, b""))
    brought = [repository.brought(KEYRING, stages[stage]) for stage in (Repository.OURS, Repository.THEIRS)]
    here = _opened(_content(place.folder / KEYRING), ours.reader, place.folder / KEYRING)
    return _both(place, (ours, theirs, base), old, here, brought)


def _single(place: Place, *, list_is_unmerged: bool) -> Joined:
    """Return the keyring of the folder. NOTE: its list says nothing that the keyring does not say better."""
    path = place.folder / KEYRING
    content = _content(path)
    if conflicted(content):
        raise unmerged(path, f"git no longer knows its sides; find a version with `git log -- {path}` and restore it")
    search = _search(place, [_content(place.folder / LIST)])
    for identity in search.identities():
        keys = _opened(content, identity, path) if list_is_unmerged else None
        try:
            keys = keys or open_keyring(place.folder, place.profile, identity)
        except NotAMemberError as error:
            search.refuse(error, identity)
            continue
        place.pins.check(place.folder, keys, own=place.own)
        return Joined(keys, write=list_is_unmerged)
    raise search.failure()


def _both(place: Place, versions: Versions, old: set[str], here: Keyring | None, brought: list[str]) -> Joined:
    """Return what both sides come to.

    Args:
        old: The recipients before both.
        here: The keyring that lies in the folder: this side's, or what came of an earlier call.
        brought: Which commits brought the sides.
    """
    ours, theirs, base = versions
    begun = here if here and _begun(here, ours, theirs) else None
    if not any(place.pins.knows(place.folder, each, own=False) for each in (ours, theirs, begun) if each):
        raise AuthsomeError(
            f"neither side of the merge is the profile that is known on this machine "
            f"({ours.fingerprint}, {theirs.fingerprint})",
            hint=f"compare with a member; if this side is right: {_keep(place)}; then `authsome trust`, and again",
            code=ExitCode.UNTRUSTED,
        )
    keys = _merged(versions, old, begun)
    if here and _means(here) not in map(_means, (ours, theirs, keys)):
        raise _changed_meanwhile(place)
    done = here is not None and _is_done(place, here, keys)
    keys = here if here and done else keys
    before, after = ({each.recipient for each in one.roster} for one in (ours, keys))
    return Joined(
        keys,
        tuple(each for each in (ours, theirs, base) if each),
        write=not done,
        doubts=() if done else tuple(dict.fromkeys(_doubts(place, keys, versions, old, brought))),
        added=tuple(each for each in keys.roster if each.recipient not in before),
        removed=tuple(each for each in ours.roster if each.recipient not in after),
    )


def _means(keys: Keyring) -> tuple[frozenset[str], frozenset[str]]:
    """Return the recipients of a keyring's identities, and those of its members."""
    own, members = (each.recipient for each in keys.identities), (each.recipient for each in keys.roster)
    return frozenset(own), frozenset(members)


def _changed_meanwhile(place: Place) -> AuthsomeError:
    """Return the error of a keyring that is neither side's. NOTE: it may hold keys that lie nowhere else."""
    kept = f"git add -- {place.folder / KEYRING} {place.folder / LIST}"
    return AuthsomeError(
        f"members or keys of {place.folder} were changed in the middle of the merge, and joining its sides would undo "
        "that",
        hint=f"keep what was changed: {kept}; then: authsome vault resolve; "
        "then add whom only the other side had: authsome recipients add",
        code=ExitCode.MISSING,
    )


def _keep(place: Place) -> str:
    """Return the command that takes one side's keyring."""
    return f"git checkout --ours -- {place.folder / KEYRING} {place.folder / LIST} (or --theirs)"


def _doubts(place: Place, keys: Keyring, versions: Versions, old: set[str], brought: list[str]) -> Iterator[str]:
    """Yield what could be the work of somebody who was removed, or of anybody."""
    ours, theirs, _ = versions
    known = [each for each in versions if each]
    current = {each.recipient for each in keys.roster}
    winning = [each for each in (ours, theirs) if each.identity.recipient == keys.identity.recipient]
    for side, each, commit in (("this", ours, brought[0]), ("the other", theirs, brought[1])):
        # A side whose keys do not remain decides nothing; what was written under them is doubted one by one.
        if each in (winning or (ours, theirs)) and not place.pins.knows(place.folder, each, own=False):
            told = f"{each.fingerprint}, epoch {each.epoch}{commit}"
            yield f"{side} side has keys that are not known on this machine: {told}"
        new = [one for one in each.roster if one.recipient in current - old]
        if each not in winning:
            for one in new:
                yield f"{one.name} ({one.recipient}) was added {former(each.identity, keys, known)}{commit}"
        elif not old:
            for one in new:
                yield f"{one.name} ({one.recipient}) is a member on {side} side, and what was before both is not known"


def _is_done(place: Place, here: Keyring, keys: Keyring) -> bool:
    """Whether the folder holds the keyring of both sides already, and was accepted here."""
    rosters = [{each.recipient for each in one.roster} for one in (here, keys)]
    return (
        here.identity.recipient == keys.identity.recipient
        and rosters[0] == rosters[1] == listed(_content(place.folder / LIST))
        and place.pins.knows(place.folder, here, own=False)
    )


def outsiders(identity: Identity, keys: Keyring, others: Iterable[Keyring]) -> tuple[str, ...]:
    """Return who knew an identity of the profile and is no member any more, by name."""
    current = {each.recipient for each in keys.roster}
    same = [one for one in others if identity.recipient in (each.recipient for each in one.identities)]
    return tuple(sorted({each.name for one in same for each in one.roster if each.recipient not in current}))


def former(identity: Identity, keys: Keyring, others: Iterable[Keyring]) -> str:
    """Say of keys that are not the profile's any more who knew them."""
    who = ", ".join(outsiders(identity, keys, others))
    return f"under keys that are no longer the profile's{f'; {who}, who was removed, knew them' if who else ''}"


def _merged(versions: Versions, old: set[str], begun: Keyring | None) -> Keyring:
    """Return the keyring of both sides.

    Where one side has new keys, they are those. Where both have, neither will do: each is known to whom the other
    removed.

    Args:
        begun: One with newer keys that was made before.
    """
    ours, theirs, base = versions
    mine, other = ({recipient(each): each for each in keys.head["roster"]} for keys in (ours, theirs))
    roster = [each for key, each in mine.items() if key in other or key not in old]
    roster += [each for key, each in other.items() if key not in mine and key not in old]
    epoch = max(ours.epoch, theirs.epoch)
    changed = [each for each in (ours, theirs) if not base or each.identity.recipient != base.identity.recipient]
    head: dict[str, Any] = {**ours.head, **theirs.head, "roster": roster, "epoch": epoch}
    head.pop("was", None)
    head.pop("renewing", None)
    exposed = _exposed(ours.exposed, theirs.exposed)
    if exposed := _exposed(exposed, begun.exposed) if begun else exposed:
        head["exposed"] = {name: asdict(each) for name, each in exposed.items()}
    if ours.identity.recipient == theirs.identity.recipient:
        return compose(head, [ours.identity], ours.reader)
    if len(changed) == 1:
        return compose(head | {"epoch": changed[0].epoch}, [changed[0].identity], ours.reader)
    new = begun.identity if begun else Identity.generate("the profile")
    return compose(head | {"epoch": epoch + 1}, [new], ours.reader)


def _exposed(ours: Mapping[str, Exposure], theirs: Mapping[str, Exposure]) -> dict[str, Exposure]:
    """Return what members could read who were removed on either side."""
    found = {**ours, **theirs}
    for name in ours.keys() & theirs.keys():
        one, other = sorted((ours[name], theirs[name]), key=lambda each: each.generation)
        if one.generation == other.generation:
            names = tuple(dict.fromkeys((*one.members, *other.members)))
            other = Exposure(one.generation, names, min(one.since, other.since))
        found[name] = other
    return found


def _begun(here: Keyring, ours: Keyring, theirs: Keyring) -> bool:
    """Whether new keys were made from both sides before, and that was cut short.

    NOTE: they are not in git, so nobody but this user can have put them there.
    """
    sides = {each.identity.recipient for each in (ours, theirs)}
    is_new = here.epoch == max(ours.epoch, theirs.epoch) + 1 and here.identity.recipient not in sides
    return is_new and (here.vault_id, here.profile) == (ours.vault_id, ours.profile)


def _check_same(place: Place, ours: Keyring, theirs: Keyring) -> None:
    if (ours.vault_id, ours.profile) == (theirs.vault_id, theirs.profile) and ours.profile == place.profile:
        return
    raise AuthsomeError(
        f"the two sides of {place.folder} are different profiles, made apart from each other",
        hint=f"keep one: {_keep(place)}; store what was in the other again: authsome login PROVIDER --shared",
        code=ExitCode.INTEGRITY,
    )


def _open(place: Place, stages: Mapping[int, bytes], lists: Mapping[int, bytes]) -> dict[int, Keyring]:
    """Open each side with the first identity that opens both."""
    search = _search(place, [*lists.values(), _content(place.folder / LIST)])
    half = None
    for identity in search.identities():
        opened = {stage: _opened(content, identity, place.folder / KEYRING) for stage, content in stages.items()}
        found = {stage: keys for stage, keys in opened.items() if keys}
        if Repository.OURS in found and Repository.THEIRS in found:
            return found
        half = half or (identity if {Repository.OURS, Repository.THEIRS} & set(found) else None)
        search.refuse(_not_a_member(place, identity), identity)
    if half:
        both = listed(lists.get(Repository.OURS, b"")) & listed(lists.get(Repository.THEIRS, b""))
        members = " or ".join(sorted(both)) or "nobody"
        raise AuthsomeError(
            f"{half.origin} ({half.recipient}) opens one side of the merge, to join them takes both",
            hint=f"ask a member of both sides to run it: {members}",
            code=ExitCode.LOCKED,
        )
    raise search.failure()


def _search(place: Place, lists: Iterable[bytes]) -> Search:
    return Search(place.home, place.environ, place.given, set().union(*map(listed, lists)))


def _not_a_member(place: Place, identity: Identity) -> NotAMemberError:
    return NotAMemberError(
        f"the profile `{place.profile}` is locked: {identity.origin} ({identity.recipient}) does not open it",
        hint="use the identity of a member",
        code=ExitCode.LOCKED,
    )


def _opened(content: bytes, identity: Identity, path: Path) -> Keyring | None:
    try:
        return parse_keyring(content, path, identity)
    except OpenError:
        return None


def _content(path: Path) -> bytes:
    try:
        return read(path)
    except FileNotFoundError:
        return b""
