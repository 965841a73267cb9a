"""The screens of profiles, members, identities, backups and merges."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from authsome.errors import clean
from authsome.screens import counted, table, value

if TYPE_CHECKING:
    from pathlib import Path

    from authsome.vault.backup import Gathered, Placed, Restored
    from authsome.vault.keyring import Member
    from authsome.vault.merge import Plan as Merge
    from authsome.vault.sound import Report

_PROTECTED = {
    True: "yes, by a passphrase that the keychain holds",
    False: "yes, by a passphrase",
    None: "yes, by a passphrase (the keychain does not say whether it holds it)",
}


def identity(shown: Mapping[str, Any]) -> str:
    """Return what the commands of `authsome identity` say of one."""
    profiles = ", ".join(shown["profiles"]) or "none of this machine"
    rows = [
        ("public key:", shown["public_key"]),
        ("found in:", shown["found_in"]),
        ("protected:", _PROTECTED[shown["in_keychain"]] if shown["protected"] else "no"),
        ("opens:", profiles),
    ]
    return table(rows)


def profiles(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `authsome profile list`."""
    shown = [["", "PROFILE", "LIES IN", "CONNECTIONS", "PRESET"]]
    for row in rows:
        places = [place for place in ("home", "project") if row[place]]
        rest = ["?", "damaged"] if row["connections"] is None else [str(row["connections"]), row["preset"]]
        cells = [row["profile"], ", ".join(places) or "not made yet", *rest]
        shown.append(["*" if row["current"] else "", *cells])
    return table(shown)


def profile_folder(shown: Mapping[str, Any]) -> str:
    """Return what there is to say of one of a profile's folders."""
    rows = [("path:", shown["path"]), ("shared:", "yes, with the project" if shown["shared"] else "no")]
    if shown["locked"] is None:
        trusted = "yes" if shown["trusted"] else "no, see `authsome trust`"
        rows += [("fingerprint:", shown["fingerprint"]), ("trusted:", trusted)]
        rows += [("member:", f"{each['name']} ({each['recipient']})") for each in shown["members"]]
    else:
        rows.append(("members:", f"only a member's identity shows them: {shown['locked']}"))
    rows.append(("connections:", ", ".join(shown["connections"]) or "none"))
    return table(rows)


def recipients(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `authsome recipients list`."""
    names = ("name", "kind", "fingerprint", "recipient")
    shown = (["you" if row["you"] else "", *(_short(row[name]) for name in names)] for row in rows)
    return table([["", *(name.upper() for name in names)], *shown])


_WIDE = 70


def _short(text: str) -> str:
    """Return the ends of what is too long for a column: an RSA key has 500 characters."""
    return text if len(text) <= _WIDE else f"{text[:32]}…{text[-16:]}"


def members(given: "Sequence[Member]") -> str:
    """Return the names of members, as in a sentence."""
    return " and ".join(clean(each.name) for each in given)


def exposed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what removed members could read, and where each is replaced."""
    if not rows:
        return "Nothing is held that a removed member could read.\n"
    shown = [
        (row["name"], ", ".join(row["members"]), row["since"], row["keys_url"] or "the provider's site", row["command"])
        for row in rows
    ]
    return table([("CONNECTION", "KNOWN TO", "REMOVED", "NEW KEY AT", "THEN"), *shown])


def requests(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `authsome recipients review` where nobody is asked."""
    if not rows:
        return "Nobody asks to become a member.\n"
    return "\n".join(map(request, rows))


def request(row: Mapping[str, Any]) -> str:
    """Return what a request to become a member says."""
    if row["problem"]:
        return table([("problem:", row["problem"])])
    lines = [
        ("name:", f"{row['name'] or '(none)'}{' (a member is called so)' if row['name_taken'] else ''}"),
        ("key:", row["recipient"]),
        ("fingerprint:", row["fingerprint"]),
        ("came with:", row["origin"] or "no commit: the folder is not under version control"),
    ]
    if row["member"]:
        lines.append(("note:", "is a member already"))
    return table(lines)


def soundness(found: "Report") -> str:
    """Return `authsome vault verify`."""
    text = "".join(f"{clean(str(each.path))} {clean(each.what)}\n" for each in found.problems)
    looked = f"{counted(found.files, 'file')} in {counted(found.profiles, 'profile')}"
    if found.problems:
        return f"{text}{counted(len(found.problems), 'problem')} with {looked}.\n"
    return f"All is sound as far as it shows without an identity: {looked}.\n"


def soundness_data(found: "Report") -> dict[str, Any]:
    """Return `authsome vault verify --json`."""
    problems = [{"path": str(each.path), "problem": each.what} for each in found.problems]
    return {"sound": not problems, "profiles": found.profiles, "files": found.files, "problems": problems}


def exported_data(found: "Gathered", path: "Path", recipients: Sequence[str], size: int) -> dict[str, Any]:
    """Return `authsome vault export --json`."""
    contents = found.contents
    return {
        "file": str(path),
        "bytes": size,
        "sealed_to": list(recipients) or "passphrase",
        "profiles": [
            {"name": name, "connections": sum(each.startswith("connections/") for each in files)}
            for name, files in contents.profiles.items()
        ],
        "definitions": list(contents.definitions),
        "left_out": list(found.left_out),
        "identity": "protected" if found.protected else "none" if contents.identity is None else "plain",
        "not_opened_by_identity": list(found.locked_out),
    }


def exported(shown: Mapping[str, Any]) -> str:
    """Return `authsome vault export`."""
    held = sum(each["connections"] for each in shown["profiles"])
    parts = [counted(held, "connection") + " in " + counted(len(shown["profiles"]), "profile")]
    if shown["definitions"]:
        parts.append(counted(len(shown["definitions"]), "definition"))
    if shown["identity"] != "none":
        parts.append("the identity")
    return f"Backed up {_joined(parts)} to {clean(shown['file'])} ({shown['bytes']} bytes).\n"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def restored(done: "Restored") -> str:
    """Return `authsome vault import`."""
    rows = [(f"profile {each.name}", str(each.status), _profile_detail(each)) for each in done.profiles]
    rows += [(f"definition {each.name}", str(each.status), "") for each in done.definitions]
    if done.identity:
        rows.append(("identity", str(done.identity.status), str(done.identity.path)))
    return table(rows)


def _profile_detail(each: "Placed") -> str:
    return f"{counted(each.connections, 'connection')}, {counted(len(each.members), 'member')}"


def restored_data(done: "Restored") -> dict[str, Any]:
    """Return `authsome vault import --json`."""
    return {
        "profiles": [
            {
                "name": each.name,
                "status": each.status,
                "connections": each.connections,
                "members": list(each.members),
            }
            for each in done.profiles
        ],
        "definitions": [{"name": each.name, "status": each.status} for each in done.definitions],
        "identity": {"status": done.identity.status, "path": str(done.identity.path)} if done.identity else None,
    }


def vault_file(shown: Mapping[str, Any]) -> str:
    """Return `authsome vault textconv`: a line for each thing that can change."""
    rows: list[tuple[str, str]] = []
    for name, each in shown.items():
        if name == "members":
            rows += [("member:", member) for member in each]
        elif name == "fields":
            rows += [("field:", f"{field} ({counted(size, 'byte')})") for field, size in each.items()]
        elif name == "accepted":
            rows += [] if each else [("keys:", "not accepted on this machine")]
        else:
            rows.append((f"{name}:", value(each)))
    return table(rows)


def resolution(done: "Merge") -> str:
    """Return `authsome vault resolve`."""
    profile = done.keys.profile
    if done.empty:
        return f"Nothing to resolve in the profile `{profile}`: every credential opens.\n"
    lines = [f"member added:    {each.name} {each.recipient}" for each in done.joined.added]
    lines += [f"member removed:  {each.name} {each.recipient}" for each in done.joined.removed]
    if done.write:
        lines.append(f"keys:            {done.keys.fingerprint}, epoch {done.keys.epoch}")
    lines += [f"{_credential(each.path)}: {each.what}" for each in done.changes]
    lines += [f"{_credential(path)}: {_choice(path, deleted=path in done.deleted)}" for path in done.undecided]
    if add := _git_add(done):
        lines.append(f"Next: {add}")
    joined = done.write or done.changes or done.settled
    head = f"Joined both sides of the profile `{profile}`.\n" if joined else f"A choice is left in `{profile}`.\n"
    return head + "".join(f"{clean(line)}\n" for line in lines)


def _choice(path: "Path", *, deleted: bool) -> str:
    """Say how a person chooses."""
    quoted = shlex.quote(str(path))
    if deleted:
        return f"one side deleted it, the other changed it. To keep it: git add {quoted}; to delete it: git rm {quoted}"
    return (
        f"both sides changed it. To keep what is there: git add {quoted}; "
        f"for the other: git checkout --theirs -- {quoted}, and again: authsome vault resolve"
    )


def _credential(path: "Path") -> str:
    return f"{path.parent.name}/{path.stem}"


def _git_add(done: "Merge") -> str | None:
    """Return the command that takes what is resolved into the commit, and nothing that is not."""
    paths = {*done.settled, *(each.path for each in done.changes if each.path not in done.undecided)}
    if done.write:
        paths |= {done.place.folder / name for name in ("keyring.age", "recipients.txt")}
    if not (done.undecided or done.lost):
        paths = {done.place.folder}
    return f"git add -A -- {shlex.join(map(str, sorted(paths)))}" if paths else None


def resolution_data(done: "Merge") -> dict[str, Any]:
    """Return `authsome vault resolve --json`."""
    return {
        "profile": done.keys.profile,
        "changed": not done.empty,
        "fingerprint": done.keys.fingerprint,
        "epoch": done.keys.epoch,
        "members_added": [asdict(each) for each in done.joined.added],
        "members_removed": [asdict(each) for each in done.joined.removed],
        "credentials": [{"credential": _credential(each.path), "what": each.what} for each in done.changes],
        "undecided": [str(path) for path in done.undecided],
        "lost": [str(path) for path in done.lost],
        "agreed_to": list(done.doubts),
        "next": None if done.empty else _git_add(done),
    }
