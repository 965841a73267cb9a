"""`authsome vault resolve`: a profile that two sides changed, one again after a `git merge`.

Promises that every entry opens with the keys that come of it, that nothing is lost which one side added, and that it
can be cut short and run again: what both sides had stays with git until the files are added. What was written under
keys that are no longer the profile's could be by somebody who was removed, so a person is asked, entry by entry.
Refuses to choose between two secrets. Adds and commits nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.vault.age import OpenError, encrypt
from authsome.vault.entry import Entry, Opened, render, unseal
from authsome.vault.files import TamperedError, locked, make_folder, read, refuse_links, replace, subfolders
from authsome.vault.history import Repository
from authsome.vault.keyring import Keyring, parse_keyring, put, with_exposed
from authsome.vault.rekey import sweep
from authsome.vault.roster import exposure
from authsome.vault.sides import KEYRING, LIST, Joined, Place, former, join, outsiders

__all__ = ["Change", "Place", "Plan", "carry_out", "examine"]

_SIDES = {Repository.OURS, Repository.THEIRS}


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be at a path.

    Attributes:
        entry: None to delete it.
    """

    path: Path
    entry: Entry | None
    what: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do.

    Attributes:
        keys: The keyring as it is to be.
        write: It is another than the one in the folder.
        doubts: What a person has to look at first, each a sentence.
        undecided: Entries that both sides changed: a person chooses.
        deleted: Those of them that one side deleted.
        lost: Entries that open with no keys that are known.
        settled: Files that were in conflict, and are not any more.
        seen: The files as they were looked at.
    """

    place: Place
    joined: Joined
    keys: Keyring
    write: bool
    changes: tuple[Change, ...]
    doubts: tuple[str, ...]
    undecided: tuple[Path, ...]
    deleted: frozenset[Path]
    lost: tuple[Path, ...]
    settled: tuple[Path, ...]
    seen: Mapping[Path, tuple[int, int]]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to resolve."""
        return not (self.write or self.changes or self.undecided or self.lost or self.settled)


def examine(place: Place, now: float) -> Plan:
    """Look at what git left of a merge, and change nothing.

    Args:
        now: Seconds since 1970.
    """
    repository = Repository(place.folder)
    if not repository.known:
        raise AuthsomeError(
            f"{place.folder} is not in a git repository, as far as git says",
            hint=f"see what it says: git -C {place.folder} status",
            code=ExitCode.USAGE,
        )
    seen = _seen(place.folder)  # before any of it is read
    conflicts = repository.unmerged()
    joined = join(place, repository, conflicts)
    return _Examination(place, repository, joined, conflicts).plan(now, seen)


def _seen(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return what differs when one of a profile's files is another one."""
    found = {}
    for path in (folder / KEYRING, folder / LIST, *entries(folder)):
        with suppress(FileNotFoundError):
            status = path.lstat()
            found[path] = status.st_ino, status.st_mtime_ns
    return found


class _Examination:
    """The entries, one by one."""

    def __init__(
        self, place: Place, repository: Repository, joined: Joined, conflicts: Mapping[str, Mapping[int, bytes]]
    ) -> None:
        self._place = place
        self._repository = repository
        self._joined = joined
        self._conflicts = conflicts
        self._changes: list[Change] = []
        self._doubts = list(joined.doubts)
        self._undecided: list[Path] = []
        self._lost: list[Path] = []
        self._exposed: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._settled: list[Path] = [place.folder / name for name in (KEYRING, LIST) if name in conflicts]

    def plan(self, now: float, seen: Mapping[Path, tuple[int, int]]) -> Plan:
        """Return what comes of it."""
        folder = self._place.folder
        in_conflict = {folder / name: stages for name, stages in self._conflicts.items() if name.endswith(".age")}
        in_conflict.pop(folder / KEYRING, None)
        for path, stages in sorted(in_conflict.items()):
            self._choose(path, stages)
        for path in entries(folder):
            if path not in in_conflict:
                self._bring_over(path)
        keys = self._keys(now)
        return Plan(
            self._place,
            self._joined,
            keys,
            self._joined.write or keys.exposed != self._joined.keys.exposed,
            tuple(self._changes),
            tuple(self._doubts),
            tuple(self._undecided),
            frozenset(path for path in self._undecided if len(in_conflict[path].keys() & _SIDES) == 1),
            tuple(self._lost),
            tuple(self._settled),
            seen,
        )

    def _keys(self, now: float) -> Keyring:
        """Return the keyring that says what removed members could read still."""
        keys = self._joined.keys
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        more = {
            name: exposure(keys.exposed.get(name), generation, names, stamp)
            for name, (generation, names) in self._exposed.items()
        }
        return with_exposed(keys, {**keys.exposed, **more}) if more else keys

    def _choose(self, path: Path, stages: Mapping[int, bytes]) -> None:
        """Decide an entry in conflict: new keys alone are no change of it."""
        base, ours, theirs = (
            self._open(path, stages[stage]) if stage in stages else None
            for stage in (Repository.BASE, Repository.OURS, Repository.THEIRS)
        )
        missing = sum(each is not None for each in (base, ours, theirs)) != len(stages)
        chosen = ours if _same(base, theirs) or _same(ours, theirs) else theirs
        if missing or not (_same(base, ours) or _same(base, theirs) or _same(ours, theirs)):
            self._undecided.append(path)
            self._bring_over(path)
            return
        self._settled.append(path)
        if chosen is None:
            if path.exists():
                self._changes.append(Change(path, None, "deleted, as one side did"))
            return
        here = self._here(path)
        if here and _same(here, chosen) and self._is_current(here):
            return
        holders = [each for each in (ours, theirs) if each and _same(each, chosen)]
        before_both = _same(base, chosen) and self._is_of_a_side(chosen)
        if not before_both and not any(map(self._is_current, holders)):
            self._doubt(path, chosen, stages[Repository.OURS if chosen is ours else Repository.THEIRS])
        self._changes.append(Change(path, chosen.entry, "taken from the side that changed it"))

    def _bring_over(self, path: Path) -> None:
        """Have an entry that lies in the folder open with the keys that the profile has now."""
        here = self._here(path)
        if here is None:
            if path not in self._undecided:
                self._lost.append(path)
        elif not self._is_current(here):
            self._doubt(path, here, read(path))
            self._changes.append(Change(path, here.entry, "brought over to the keys of the profile"))

    def _doubt(self, path: Path, found: Opened, content: bytes) -> None:
        """Take note of an entry that was written after the profile got other keys, or so it seems."""
        name = f"{path.parent.name}/{path.stem}"
        known = (*self._joined.others, *self._former)
        commit = self._repository.brought(str(path.relative_to(self._place.folder)), content)
        self._doubts.append(f"{name} was written {former(found.by, self._joined.keys, known)}{commit}")
        if names := outsiders(found.by, self._joined.keys, known):
            self._exposed[name] = found.entry.generation, names

    def _is_current(self, found: Opened) -> bool:
        return found.by.recipient in (each.recipient for each in self._joined.keys.identities)

    def _is_of_a_side(self, found: Opened) -> bool:
        identities = chain.from_iterable(each.identities for each in self._joined.others)
        return found.by.recipient in (each.recipient for each in identities)

    def _here(self, path: Path) -> Opened | None:
        try:
            return self._open(path, read(path))
        except (FileNotFoundError, AuthsomeError):
            return None

    def _open(self, path: Path, content: bytes) -> Opened | None:
        """Return an entry with the first keys that open it, the former ones from git's history last."""
        for keys in chain((self._joined.keys, *self._joined.others), _when_needed(lambda: self._former)):
            found = opened(content, path, keys)
            if found:
                return found
        return None

    @cached_property
    def _former(self) -> tuple[Keyring, ...]:
        """The keyrings of this profile that git still has. NOTE: anybody who was a member can have made one."""
        found: dict[str, Keyring] = {}
        for content in self._repository.versions(KEYRING):
            try:
                keys = parse_keyring(content, self._place.folder / KEYRING, self._joined.keys.reader)
            except (OpenError, AuthsomeError):
                continue
            if (keys.vault_id, keys.profile) == (self._joined.keys.vault_id, self._joined.keys.profile):
                found.setdefault(keys.fingerprint, keys)
        return tuple(found.values())


def _when_needed(found: Callable[[], tuple[Keyring, ...]]) -> Iterator[Keyring]:
    yield from found()


def _same(one: Opened | None, other: Opened | None) -> bool:
    """Whether two sides hold the same, or neither holds it."""
    return (one.entry if one else None) == (other.entry if other else None)


def entries(folder: Path) -> list[Path]:
    """Return the files of a profile's entries."""
    providers = subfolders(folder / "connections")
    return sorted(path for each in providers for path in each.glob("*.age") if not path.name.startswith("."))


def opened(content: bytes, path: Path, keys: Keyring) -> Opened | None:
    """Return an entry if it is one of this profile, under these keys and in this place."""
    try:
        return unseal(content, path, keys, path.parent.name, path.stem)
    except AuthsomeError:
        return None


def carry_out(plan: Plan) -> None:
    """Do what was planned, and see that every entry opens; raises (exit code 5) if one does not."""
    place, keys = plan.place, plan.keys
    with locked(place.folder):
        # NOTE: a person may have thought about it for minutes. Keys that somebody else made meanwhile lie nowhere else.
        if _seen(place.folder) != plan.seen:
            raise AuthsomeError(
                f"{place.folder} was changed by somebody else meanwhile, so nothing was joined",
                hint="run it again: authsome vault resolve",
            )
        refuse_links(*{each.path.parent for each in plan.changes})
        sweep(place.folder)
        if plan.write:
            put(place.folder, keys)
        for each in plan.changes:
            if each.entry is None:
                each.path.unlink(missing_ok=True)
                continue
            plaintext = render(each.entry, keys, place.profile)
            make_folder(each.path.parent)
            replace(each.path, encrypt(plaintext, [keys.identity.recipient], keys.identity))
        left = {*plan.undecided, *plan.lost}
        shut = [path for path in entries(place.folder) if path not in left and not opened(read(path), path, keys)]
    if shut:
        raise TamperedError(
            shut[0],
            f"does not open{f', nor do {len(shut) - 1} more' if shut[1:] else ''}; it was changed meanwhile",
            hint="run it again: authsome vault resolve",
        )
    place.pins.accept(place.folder, keys)
