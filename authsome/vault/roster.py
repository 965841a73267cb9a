"""What is done with the members of a profile.

Promises that adding somebody changes nothing but the keyring and its list, and that who was removed opens nothing that
is written from then on; what they could read until then is kept in the keyring until each credential was replaced.
Refuses to leave a profile without members, and to remove whoever does it: the new keys would be made before their eyes.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.vault import joining, keyring, rekey
from authsome.vault.age import bare, check_usable, fingerprint
from authsome.vault.files import TamperedError
from authsome.vault.folder import Folder
from authsome.vault.keyring import Exposure, Keyring, Member


@dataclass(frozen=True, slots=True)
class Added:
    """Who was added, and who was a member already."""

    added: tuple[Member, ...]
    known: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did.

    Attributes:
        members: Who was removed; nobody if there was only an interrupted removal to end.
        renewed: How many credentials were encrypted anew.
        left: Files that did not open, and were left as they were.
        exposed: What removed members could read and can use still, by `provider/connection`.
    """

    members: tuple[Member, ...]
    renewed: int
    left: tuple[Path, ...]
    exposed: Mapping[str, Exposure]


def add(folder: Folder, candidates: Iterable[Member]) -> Added:
    """Make others members; they can read everything in the profile from then on."""
    asked = tuple(candidates)
    with folder.changing() as keys:
        listed = {each.recipient: each for each in keys.roster}
        added: list[Member] = []
        for each in asked:
            if each.recipient not in listed:
                check_usable(each.recipient)
                wanted = joining.tidy(each.name) or each.recipient[:16]
                listed[each.recipient] = _distinct(replace(each, name=wanted), listed.values())
                added.append(listed[each.recipient])
        if added:
            rows = [{"name": each.name, "recipient": each.recipient} for each in added]
            folder.replaced(keyring.put_roster(folder.path, keys, [*keys.head["roster"], *rows]))
    known = tuple(listed[each.recipient] for each in asked if listed[each.recipient] not in added)
    return Added(tuple(added), known)


def _distinct(member: Member, others: Iterable[Member]) -> Member:
    """Return a member with a name that no other has."""
    taken = {each.name.casefold() for each in others}
    name, number = member.name, 2
    while name.casefold() in taken:
        name, number = f"{member.name}-{number}", number + 1
    return replace(member, name=name)


def find(keys: Keyring, who: str, *, gone: bool = False) -> tuple[Member, ...]:
    """Return the member of a recipient, a fingerprint or a name, or raise (exit code 2).

    While a member's key is being rotated their name stands for both keys.

    Args:
        gone: They may have been removed just now, and then it is nobody.
    """
    by_key = [each for each in keys.roster if bare(who) == each.recipient or who == fingerprint(each.recipient)]
    found = by_key or [each for each in keys.roster if each.name == who]
    if not found and not gone:
        raise AuthsomeError(
            f"no member of the profile `{keys.profile}` is {who[:80]}",
            hint=did_you_mean(who, [each.name for each in keys.roster], _listed(keys)),
            code=ExitCode.USAGE,
        )
    pairs = [{keyring.recipient(row), row.get("replaced_by")} for row in keys.head["roster"]]
    if len(found) > 1 and {each.recipient for each in found} not in pairs:
        raise AuthsomeError(
            f"{len(found)} members are called {who[:80]}",
            hint=f"name the key: {' or '.join(fingerprint(each.recipient) for each in found)}",
            code=ExitCode.USAGE,
        )
    return tuple(found)


def _listed(keys: Keyring) -> str:
    return f"members: {', '.join(each.name for each in keys.roster)}"


def check_removable(keys: Keyring, leaving: Iterable[Member]) -> None:
    """Raise (exit code 2) if these members are not to be removed, or not by whoever opened the keyring."""
    gone = {each.recipient for each in leaving}
    if gone >= {each.recipient for each in keys.roster}:
        raise AuthsomeError(
            f"this is the last member of the profile `{keys.profile}`, and without one nothing ever opens again",
            hint="add another first: authsome recipients add RECIPIENT",
            code=ExitCode.USAGE,
        )
    if keys.reader.recipient in gone:
        raise AuthsomeError(
            "this is you, and the new keys would be made by you",
            hint="have another member remove you; to replace your key: authsome identity rotate",
            code=ExitCode.USAGE,
        )


def remove(folder: Folder, who: str, now: float, *, force: bool = False) -> Removed:
    """Remove a member and give the profile new keys; first end a removal that was cut short.

    Args:
        now: Seconds since 1970.
        force: Leave entries that do not open as they are; else they are an error before anything is changed.
    """
    cut_short = folder.keys().former is not None
    with folder.changing(force=force) as keys:
        leaving = find(keys, who, gone=cut_short)
        if not leaving:
            return Removed((), 0, (), keys.exposed)
        check_removable(keys, leaving)
        gone = {each.recipient for each in leaving}
        remaining = [row for row in keys.head["roster"] if keyring.recipient(row) not in gone]
        for row in remaining:  # before the work, not after it
            check_usable(keyring.recipient(row))
        names = tuple(dict.fromkeys(each.name for each in leaving))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))

        def expose(generations: Mapping[str, int]) -> Mapping[str, Exposure]:
            return {
                name: exposure(keys.exposed.get(name), generation, names, stamp)
                for name, generation in generations.items()
            }

        outcome = rekey.start(folder.work, keys, remaining, expose, force=force)
        folder.replaced(outcome.keys)
    return Removed(leaving, outcome.renewed, outcome.left, outcome.keys.exposed)


def exposure(before: Exposure | None, generation: int, names: tuple[str, ...], now: str) -> Exposure:
    """Return who could read a credential, among them those of earlier removals if it was not replaced since."""
    if before is None or generation > before.generation:
        return Exposure(generation, names, now)
    return Exposure(generation, tuple(dict.fromkeys((*before.members, *names))), before.since)


def exposed(folder: Folder) -> dict[str, Exposure]:
    """Return what removed members could read and was not replaced since, by `provider/connection`."""
    return {name: each for name, each in sorted(folder.keys().exposed.items()) if _still(folder, name, each)}


def _still(folder: Folder, name: str, exposure: Exposure) -> bool:
    try:
        entry = folder.peek(*name.split("/"))
    except TamperedError:
        return True  # it cannot be told
    return entry is not None and entry.generation <= exposure.generation


def accept(folder: Folder, request: joining.Request) -> Added:
    """Make the one who asks a member, and drop the request."""
    done = add(folder, [Member(request.name, request.recipient)])
    joining.drop(request)
    return done
