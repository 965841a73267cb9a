"""New keys for a profile, so that a removed member opens nothing that is written from now on.

Promises that every entry opens whenever this is cut short (`kill -9`, a power cut, a full disk), and that whoever
writes next, or tries the same again, ends it. The order makes it so:

    1. every entry is encrypted to a new identity, into a draft beside it, and the disk has all drafts
    2. this machine expects the fingerprints to come
    3. the keyring holds both identities and is for the remaining members; then the list
    4. each draft takes its entry's place
    5. the keyring holds the new identity alone

Cut short before 3 nothing has changed; after it entries of both identities open, and `finish` goes on from there. Of
those to the former one only the files that were there when it began: who was removed could write more.
Refuses to begin over an entry that does not open. The caller holds the folder.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.vault import keyring
from authsome.vault.age import encrypt
from authsome.vault.entry import signed, unseal
from authsome.vault.files import DRAFT, Batch, TamperedError, read, subfolders
from authsome.vault.keyring import Exposure, Keyring
from authsome.vault.pins import Pins

QUIET_SECONDS = 1.0
"""How long it may take before it is said how far it is."""


@dataclass(frozen=True, slots=True)
class Work:
    """What it takes to change the keys of a folder.

    Attributes:
        say: Writes one line of talk.
        warn: Writes one line that nobody silences.
    """

    folder: Path
    pins: Pins
    say: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        renewed: How many entries were encrypted anew.
        left: Those that do not open, and are as they were.
    """

    keys: Keyring
    renewed: int
    left: tuple[Path, ...]


def start(
    work: Work,
    keys: Keyring,
    remaining: list[dict[str, str]],
    expose: Callable[[Mapping[str, int]], Mapping[str, Exposure]],
    *,
    force: bool,
) -> Outcome:
    """Give a profile a new identity and other members.

    Args:
        remaining: Its roster from now on; who opened the keyring is on it.
        expose: Returns what to keep of the generations of all credentials.
        force: Leave what does not open as it is; else it is an error (exit code 5), and nothing is changed.
    """
    new = keyring.successor(keys, remaining)
    with Batch() as batch:
        found = _prepare(work, keys, new, batch)
        if found.damaged and not force:
            raise _does_not_open(found.damaged, "Nothing was changed")
        batch.sync()
        new = keyring.with_renewing(keyring.with_exposed(new, expose(found.generations)), found.files)
        work.pins.expect(work.folder, keys, new, new.settled())
        keyring.begin(work.folder, new)
        return _end(work, new, batch, found)


def finish(work: Work, keys: Keyring, *, force: bool | None = None) -> Outcome:
    """End what was cut short.

    Args:
        force: As for `start`. None is for who came for something else: where an entry does not open, the keyring keeps
            both identities, so that one which is restored from git opens still.
    """
    with Batch() as batch:
        found = _prepare(work, keys, keys, batch)
        batch.sync()
        if found.damaged and force is None:
            renewed = len(batch)
            batch.place()
            for path in found.damaged:
                work.warn(f"authsome: {path} does not open, so a removal of a member that was cut short is not ended")
            return Outcome(keys, renewed, tuple(found.damaged))
        if found.damaged and not force:
            raise _does_not_open(found.damaged, "The removal that was cut short is not ended")
        work.pins.expect(work.folder, keys, keys.settled())
        return _end(work, keys, batch, found)


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is, by `provider/connection`; of what is to be encrypted anew the SHA-256 of the file as it is."""

    generations: dict[str, int]
    files: dict[str, str]
    damaged: list[Path]


def _prepare(work: Work, keys: Keyring, new: Keyring, batch: Batch) -> _Found:
    """Add to the batch what each entry is to be that is not encrypted to the new identity yet."""
    sweep(work.folder)
    found = _Found({}, {}, [])
    for path in _telling(_entries(work.folder / "connections"), work.say):
        name = f"{path.parent.name}/{path.stem}"
        try:
            content = read(path)
            opened = unseal(content, path, keys, path.parent.name, path.stem)
        except FileNotFoundError:
            continue
        except TamperedError:
            found.damaged.append(path)
            if keyring.is_connection(name):
                found.generations[name] = work.pins.newest(keys, path.parent.name, path.stem)
            continue
        # One that was rolled back is not what a member knows who saw the newest.
        newest = work.pins.newest(keys, path.parent.name, path.stem)
        found.generations[name] = max(opened.entry.generation, newest)
        if opened.by is not new.identity:
            found.files[name] = sha256(content).hexdigest()
            batch.add(path, encrypt(signed(opened.text, new.mac_key), [new.identity.recipient], new.identity))
    return found


def _entries(connections: Path) -> list[Path]:
    """Return the files of all entries; what is missed here is lost."""
    found: list[Path] = []
    for provider in subfolders(connections):
        with file_errors("read", provider):
            found += (Path(each.path) for each in _scanned(provider) if _is_entry(each.name))
    return sorted(found)


def _scanned(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as found:
        return list(found)


def _is_entry(name: str) -> bool:
    return name.endswith(".age") and not name.startswith(".")


def _end(work: Work, new: Keyring, batch: Batch, found: _Found) -> Outcome:
    renewed = len(batch)
    batch.place()
    settled = keyring.end(work.folder, new)
    work.pins.accept(work.folder, settled)
    for path in found.damaged:
        work.warn(f"authsome: {path} does not open; it was left as it is, to the former keys")
    return Outcome(settled, renewed, tuple(found.damaged))


def sweep(folder: Path) -> None:
    """Delete the drafts of writers that were killed; who holds the folder knows that none is at work."""
    for each in (folder, *subfolders(folder / "connections")):
        for path in each.glob(".*"):
            if DRAFT.fullmatch(path.name) and not path.is_dir():
                path.unlink(missing_ok=True)


def _telling(paths: list[Path], say: Callable[[str], None]) -> Iterator[Path]:
    """Yield paths, and say how far it is where that takes its time."""
    started = last = time.monotonic()
    for number, path in enumerate(paths):
        yield path
        if time.monotonic() - last > QUIET_SECONDS:
            last = time.monotonic()
            say(f"authsome: {number + 1} of {len(paths)} credentials encrypted anew …")
    if last > started:
        say("authsome: all of them; waiting for the disk …")


def _does_not_open(paths: list[Path], state: str) -> AuthsomeError:
    shown = ", ".join(map(str, paths[:5])) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")  # noqa: PLR2004
    return AuthsomeError(
        f"{len(paths)} of the credentials do not open, and new keys would lock them for ever: {shown}",
        hint=f"restore them from a backup or from git, or forget them with `authsome logout`; "
        f"with --force they are left as they are. {state}",
        code=ExitCode.INTEGRITY,
    )
