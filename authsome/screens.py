"""How values look, as text for people and as JSON for programs.

Promises that text is readable without colour and that JSON carries a `schema_version`. Refuses to pass on control
characters: words of a manifest or a file name must not be able to repaint the terminal.

Every function returns text or plain data; printing is the command line's.
"""

import json
import re
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from authsome.errors import clean
from authsome.isolation import Level
from authsome.manifest import Egress
from authsome.plan import Plan, State, Step
from authsome.provider import DEFAULT_CONNECTION, Provider, Source, placeholder
from authsome.vault import Holding

if TYPE_CHECKING:
    from pathlib import Path

    from authsome.audit import Line, Summary, Verdict
    from authsome.clients import Result
    from authsome.demo import Shown
    from authsome.vault.backup import Gathered, Placed, Restored
    from authsome.vault.keyring import Member
    from authsome.vault.merge import Plan as Merge
    from authsome.vault.sound import Report
    from authsome.why import Answer

SCHEMA_VERSION = 1

_MARKS = {State.IN_PLACE: "ok", State.ABSENT: "--", State.UNUSED: "--"}


def as_json(kind: str, **data: Any) -> str:
    """Return one JSON object with `schema_version` and `kind`, ending in a newline."""
    return json.dumps({"schema_version": SCHEMA_VERSION, "kind": kind, **data}, ensure_ascii=False, indent=2) + "\n"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as aligned columns, two spaces apart."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def listing(rows: Sequence[Mapping[str, str | None]]) -> str:
    """Return `authsome list`."""
    if not rows:
        return "No connections yet. Log in with `authsome login PROVIDER`, for example `authsome login openai`.\n"
    names = ["provider", "connection", "status", "source"]
    if any(row["vault"] == "project" for row in rows):
        names.append("vault")
    return table([[name.upper() for name in names], *([row[name] or "" for name in names] for row in rows)])


def details(held: Holding, provider: Provider, source: Source, *, own: bool) -> dict[str, Any]:
    """Return what `get` shows: everything but the values."""
    return {
        "provider": held.provider,
        "display_name": provider.display_name,
        "connection": held.connection,
        "status": status(held, provider),
        "auth_type": provider.auth_type,
        "source": str(source),
        "vault": "home" if own else "project",
        "hosts": list(held.hosts),
        "generation": held.generation,
        "created_at": held.created_at,
        "updated_at": held.updated_at,
        "placeholder": placeholder(held.connection),
        **dict.fromkeys(held.field_names, REDACTED),
    }


REDACTED = "***"


def status(held: Holding, provider: Provider) -> str:
    """Return `connected`, or why the connection cannot be used."""
    if held.off_pattern:
        return "off pattern"
    return "hosts changed" if provider.beyond(held.hosts) else "connected"


def fields(values: Mapping[str, Any]) -> str:
    """Return names and values below each other."""
    return table([(f"{name}:", value(each)) for name, each in values.items()])


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


def counted(number: int, noun: str) -> str:
    """Return a number of things, as in a sentence."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def value(each: Any) -> str:
    """Return one value as `--field` prints it."""
    return ", ".join(map(str, each)) if isinstance(each, list) else str(each)


def plan(made: Plan, egress: Egress) -> str:
    """Return `authsome check`."""
    if not made.steps:
        return "Nothing is declared and nothing is held.\n"
    rows = [(_MARKS.get(step.state, "!!"), step.name, _state(step)) for step in made.steps]
    text = table(rows)
    reasons = [(step.name, step.why) for step in made.steps if step.why]
    if reasons:
        text += "\nThe manifest says why:\n" + "".join(f"  {name}: {clean(why)}\n" for name, why in reasons)
    if egress.default == "deny":
        allowed = ", ".join(egress.allow) or "none"
        text += f"\nHosts that no provider declares are refused, but for: {clean(allowed)}\n"
    if made.blocking:
        text += "\nTo do:\n" + "".join(f"  {step.command}\n" for step in made.blocking)
    return text


def _state(step: Step) -> str:
    return f"{step.state} ({step.detail})" if step.detail else str(step.state)


def plan_data(made: Plan) -> dict[str, Any]:
    """Return `authsome check --json`."""
    steps = [
        {
            **{name: value for name, value in asdict(step).items() if name != "options"},  # the command has them
            "needs_person": step.needs_person,
            "command": None if step.state in (State.IN_PLACE, State.UNUSED) else step.command,
        }
        for step in made.steps
    ]
    return {"ready": made.ready, "steps": steps}


def why(answer: "Answer", waiting: Sequence[Step]) -> str:
    """Return `authsome why`."""
    marks = {True: "ok", False: "!!", None: "--"}
    text = clean(f"{answer.method} {answer.url}") + "\n\n"
    text += table([(marks[check.passed], check.name, check.detail) for check in answer.checks])
    text += f"\n{clean(_verdict(answer))}\n"
    if answer.refusal and answer.refusal.hint:
        text += f"Hint: {clean(answer.refusal.hint)}\n"
    if others := [step.name for step in waiting if step.name != answer.connection]:
        text += f"A run would first ask for: {', '.join(others)}\n"
    return text


def _verdict(answer: "Answer") -> str:
    if refusal := answer.refusal:
        return f"Refused with {refusal.status} {refusal.error}."
    return {
        "injected": f"Carried, with the credential of {answer.connection}.",
        "passed": "Carried as it is, without a credential.",
        "tunnelled": "Tunnelled untouched: not decrypted, and without a credential.",
        "forwarded": "Forwarded in the clear, without a credential.",
    }[answer.outcome]


def why_data(answer: "Answer", waiting: Sequence[Step]) -> dict[str, Any]:
    """Return `authsome why --json`."""
    return {**asdict(answer), "first_asks_for": [step.name for step in waiting]}


def started(names: Sequence[str], level: Level) -> str:
    """Return the line `run` says before the child starts."""
    serving = ", ".join(names) or "no connection"
    kept = "" if level is Level.NOTHING else f" and cannot read {level}"
    return f"authsome: serving {serving}; the agent holds placeholders{kept}"


def fake(names: Sequence[str], file: str | None) -> str:
    """Return the line that says a run is a fake one."""
    how = f"answers come from {file}" if file else "requests are echoed"
    return f"authsome: fake run, without vault and network; {how}: {', '.join(names) or 'nothing is declared'}"


def unanswered(misses: Mapping[str, int], file: str) -> str:
    """Return what a fake run had no answer for."""
    rows = [[f"  {request}", f"{count} x" if count > 1 else ""] for request, count in misses.items()]
    return f"authsome: {file} had no answer for:\n{table(rows)}".rstrip()


def demo(shown: "Shown") -> str:
    """Return `authsome demo`."""
    verdict = (
        "The agent used a key that it never had."
        if shown.proven
        else "This did not work as promised: please report it."
    )
    rows = [
        ("", "the agent", "the provider"),
        ("held", f"DEMO_API_KEY={shown.held}", shown.key),
        ("Authorization header", shown.sent, shown.received or "nothing arrived"),
        ("answer", str(shown.status), str(shown.status)),
    ]
    return f"{table(rows)}\n{verdict}\n"


def demo_data(shown: "Shown") -> dict[str, Any]:
    """Return `authsome demo --json`."""
    return {**asdict(shown), "proven": shown.proven}


def log(lines: Sequence["Line"]) -> str:
    """Return `authsome log`."""
    if not lines:
        return NOTHING_LOGGED
    names = ("time", "run", "connection", "request", "decision", "status", "bytes", "ms", "client")
    return table([[name.upper() for name in names], *map(_log_row, lines)])


NOTHING_LOGGED = (
    "No use is logged. Uses are logged by `authsome run`, for example `authsome run -- python my_agent.py`.\n"
)


def log_line(line: "Line") -> str:
    """Return one line of `authsome log --follow`: there is no telling how wide those to come will be."""
    return clean("  ".join(_log_row(line))) + "\n"


def _log_row(line: "Line") -> tuple[str, ...]:
    use = line.use
    return (
        _moment(use.time),
        line.run,
        use.connection or "-",
        f"{use.method} {use.host}{use.path}",
        use.decision,
        str(use.status or "-"),
        str(use.sent + use.received),
        f"{use.milliseconds:.0f}",
        f"{line.process.name} ({line.process.pid})" if line.process else "-",
    )


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def log_data(line: "Line") -> dict[str, Any]:
    """Return one line of `authsome log --json`."""
    use = asdict(line.use)
    del use["peer"]
    client = asdict(line.process) if line.process else None
    return {
        "n": line.number,
        "run": line.run,
        "profile": line.profile,
        **use,
        "time": _moment(line.use.time),
        "client": client,
    }


def verdict(found: "Verdict") -> str:
    """Return `authsome log --verify`."""
    if not found.lines and not found.problems:
        return NOTHING_LOGGED
    text = "".join(f"{clean(str(each))}\n" for each in found.problems)
    if found.unfinished:
        text += "The last line is half written, as by a process that was killed; the next one goes on after it.\n"
    counted = f"{found.lines} lines" if found.lines != 1 else "1 line"
    if found.problems:
        return f"{text}{found.sound} of {counted} are sound.\n"
    return f"{text}All is sound: {counted}, each holding the one before it.\n"


def verdict_data(found: "Verdict") -> dict[str, Any]:
    """Return `authsome log --verify --json`."""
    return {**asdict(found), "sound": found.sound}


def summary(found: "Summary") -> str:
    """Return what `run --summary` says after the run."""
    if not found.hosts:
        return "authsome: the agent sent no request\n"
    hosts = sorted(found.hosts.items(), key=lambda item: -item[1].requests)
    rows = [
        (host, str(each.requests), str(each.refused), str(each.sent), str(each.received))
        for host, each in hosts[:_SHOWN]
    ]
    text = table([("HOST", "REQUESTS", "REFUSED", "SENT", "RECEIVED"), *rows])
    if len(hosts) > _SHOWN:
        text += f"and {len(hosts) - _SHOWN} hosts more\n"
    if found.refusals:
        text += (
            "\nRefused: " + ", ".join(f"{clean(word)} {count}" for word, count in found.refusals.most_common()) + "\n"
        )
    if found.misplaced:
        text += "\nA placeholder stood where no credential belongs:\n"
        text += "".join(f"  {clean(request)}\n" for request in found.misplaced)
    return text


_SHOWN = 20


def misplaced(requests: Sequence[str]) -> str:
    """Return what is said of requests with a placeholder where no credential belongs."""
    first, more = clean(requests[0]), len(requests) - 1
    others = f" and {more} more" if more else ""
    where = "with a placeholder where no credential belongs"
    return f"authsome: refused, {where}: {first}{others} (see `authsome log --last`)"


def allow_lines(suggested: Mapping[str, Sequence[str]], beyond: Mapping[str, Sequence[str]]) -> str:
    """Return `authsome log suggest-rules`: YAML to paste into `authsome.yaml`."""
    providers: dict[str, dict[str, str]] = {}
    for name in sorted({*suggested, *beyond}):
        provider, _, connection = name.partition("/")
        lines = "".join(f"- {_scalar(line)}\n" for line in suggested.get(name, ()))
        notes = "".join(f"# `allow` cannot permit {clean(each)}\n" for each in beyond.get(name, ()))
        providers.setdefault(provider, {})[connection] = (
            f"allow:\n{_indented(lines)}" if lines else "allow: []\n"
        ) + notes
    text = "providers:\n"
    for provider, connections in providers.items():
        text += f"  {provider}:\n"
        if list(connections) == [""]:
            text += _indented(connections[""], 4)
        else:
            text += "    connections:\n"
            for connection, lines in connections.items():
                text += f"      {connection or DEFAULT_CONNECTION}:\n{_indented(lines, 8)}"
    return text


def _indented(text: str, by: int = 2) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


def _scalar(text: str) -> str:
    """Return a line of `allow` as YAML reads it back: plain where that is plain to see."""
    return text if re.fullmatch(r"[A-Z]+ /[\w/.*~@%+=:,-]*", text, re.ASCII) and text[-1] != ":" else json.dumps(text)


def clients(results: "Sequence[Result]") -> str:
    """Return `authsome doctor --clients`."""
    if not results:
        return "None of the clients that doctor knows is on PATH.\n"
    return table([("CLIENT", "VERDICT", "WHAT TO DO"), *((each.client, each.verdict, each.advice) for each in results)])


def clients_data(results: "Sequence[Result]") -> dict[str, Any]:
    """Return `authsome doctor --clients --json`."""
    return {"clients": [asdict(each) for each in results]}
