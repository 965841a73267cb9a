"""Rules and secrets that follow their files while a run goes on.

Promises that a rotated key, a logout and a narrowed rule reach the next request, that an edit which cannot be used
changes nothing, and that each is told once, in one line. Refuses what would permit more than the run was started with:
the child can edit `authsome.yaml`, so whatever widens waits for the next run.

This is the only module that knows watchfiles; it is imported when the engine has been.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from authsome import manifest, rules, session
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Allowed, Declared, Project, full_name
from authsome.plan import State, Step
from authsome.provider import Catalogue, Placement, matches
from authsome.rules import Change, Rule, Rules
from authsome.session import Session
from authsome.trust import Trust
from authsome.vault import Vault

_MAX_BYTES = 64 << 10
_DEBOUNCE_MS = 50
_LOOK_ANYWAY_MS = 1000  # a network file system reports nothing, and a folder can appear between two watches

type _Signature = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run was started with, and where from.

    Attributes:
        start: The working folder in which the manifest was looked for.
        named: The manifest that was named, None if it was found.
    """

    start: Path
    named: str | None
    environ: Mapping[str, str]
    project: Project
    vault: Vault
    rules: Rules
    session: Session


class Reload:
    """Looks at the files again and again; `swap` gets the rules and the session that hold from now on."""

    def __init__(
        self,
        origin: Origin,
        swap: Callable[[Rules, Session], None],
        *,
        tell: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._origin, self._swap, self._tell, self._warn = origin, swap, tell, warn
        self._project, self._rules, self._session = origin.project, origin.rules, origin.session
        self._steps: Mapping[tuple[str, str], Step] = {}
        self._signature: _Signature | None = None
        self._trouble: tuple[str, ...] = ()
        self._waiting: tuple[str, ...] = ()

    def follow(self, stop: threading.Event) -> None:
        """Watch until `stop` is set."""
        while not stop.is_set():
            try:
                self._watch(stop)
            except OSError:  # no more watches to be had, or a folder went away: look by the clock
                stop.wait(_LOOK_ANYWAY_MS / 1000)
            except Exception as error:  # noqa: BLE001  NOTE: a watch that ended in silence would let a logout go unseen
                self._warn(f"authsome: cannot follow the files of this run ({type(error).__name__}); trying again")
                stop.wait(10 * _LOOK_ANYWAY_MS / 1000)

    def _watch(self, stop: threading.Event) -> None:
        """Watch the folders there are, until there are others."""
        import watchfiles  # noqa: PLC0415  see the module's promise

        folders = self._folders()
        self.look()
        events = watchfiles.watch(
            *folders,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_DEBOUNCE_MS,
            stop_event=stop,
            rust_timeout=_LOOK_ANYWAY_MS,
            yield_on_timeout=True,
            debug=False,
            raise_interrupt=False,
            recursive=False,  # NOTE: a working folder can hold a million files; what counts lies flat
        )
        for _ in events:
            self.look()
            if self._folders() != folders:
                return

    def look(self) -> None:
        """Bring rules and secrets up to date with the files, if one of them is not what it was."""
        signature = self._sign()
        if signature == self._signature:
            return
        self._signature = signature
        trouble: list[str] = []
        try:
            self._project = self._load()
        except (AuthsomeError, OSError) as error:
            trouble.append(f"{_words(error)}; the rules before this edit still hold")
        # NOTE: also with a broken manifest. The child can break it, and a logout has to take effect all the same.
        live = self._open(trouble)
        try:
            newest = rules.of_project(live.settled(self._project), live.holds)
        except AuthsomeError as error:
            trouble.append(f"{_words(error)}; the rules before this edit still hold")
            # NOTE: a key that was given for another address since must not go to the one before.
            started = replace(self._origin.project, connections=live.placed(self._origin.project))
            newest = rules.of_project(started, live.holds)
        effective = rules.narrower(self._origin.rules, newest)
        ended = tuple(_ended(self._session, live, effective))
        done = (*_rotated(self._session, live, effective), *ended, *_changes(self._rules, effective, self._steps))
        lost = any(one.change is not two.change for one, two in zip(self._rules.rules, effective.rules, strict=True))
        self._rules, self._session = effective, live
        self._swap(effective, live)
        self._report(done, tuple(trouble), wider(self._origin, self._project, newest), loud=lost or bool(ended))

    def _load(self) -> Project:
        origin = self._origin
        choices = origin.project.choices  # a new choice is for the next run
        path = manifest.find(origin.start, origin.named)
        if path is not None:
            # NOTE: reading a large one takes seconds, in which the agent that wrote it would keep a logout waiting.
            if path.stat().st_size > _MAX_BYTES:
                raise AuthsomeError(f"{path} is larger than {_MAX_BYTES >> 10} KiB", code=ExitCode.INVALID)
            return self._trusted(path).filled(choices)
        if origin.project.path is not None:
            raise AuthsomeError(f"{origin.project.path} is gone", code=ExitCode.INVALID)
        started = {each.held_as for each in origin.project.connections}
        catalogue = Catalogue(origin.vault.home)
        return manifest.default_project(catalogue, started | set(origin.vault.names()), choices)

    def _trusted(self, path: Path) -> Project:
        """Return a manifest's project, unless it takes away or brings along what nobody has agreed to."""
        trust = self._trust(path)
        project = manifest.load(path, Catalogue(self._origin.vault.home, trust.definitions, trust.check_definition))
        if project.manifest:
            trust.check_manifest(project.manifest)
        return project

    def _trust(self, path: Path) -> Trust:
        return Trust(self._origin.vault.home, path, self._origin.environ)

    def _open(self, trouble: list[str]) -> Session:
        """Return the credentials that are live; what a vault that does not open no longer lists is not."""
        ours = {(rule.provider, rule.connection) for rule in self._origin.rules.rules}
        declared = tuple(each for each in self._project.connections if each.key in ours)
        try:
            position = session.survey(self._origin.vault.again(), declared)
            position.check()
            steps = {step.key: step for step in position.plan.steps}
            live = self._as_started(session.in_place(position, running=True), declared, steps)
        except (AuthsomeError, OSError) as error:
            trouble.append(f"{_words(error)}; the credentials before still hold")
        else:
            self._steps = steps
            return live
        try:
            held = set(self._origin.vault.names())
            return self._session.only({each.key for each in self._origin.project.connections if each.held_as in held})
        except (AuthsomeError, OSError):
            return self._session

    def _as_started(
        self, live: Session, declared: Iterable[Declared], steps: Mapping[tuple[str, str], Step]
    ) -> Session:
        """Return the credentials that are of the kind that they were when the run began.

        A key goes elsewhere into requests than a token does, and rules never become wider. Tokens with which a run
        would go on are no news where it was started without them.
        """
        started = self._origin.session
        same = {
            each.key
            for each in declared
            if (
                (started.grant(each) is None) == (live.grant(each) is None)
                if started.holds(each)
                else steps[each.key].usable
            )
        }
        return live.only(same)

    def _report(self, done: Iterable[str], trouble: tuple[str, ...], waiting: tuple[str, ...], *, loud: bool) -> None:
        for line in trouble:
            if line not in self._trouble:
                self._warn(f"authsome: {line}")
        mended = ["what could not be used is mended"] if self._trouble and not trouble else []
        if lines := [*done, *mended]:
            (self._warn if loud else self._tell)(f"authsome: reloaded: {', '.join(lines)}")
        if waiting and waiting != self._waiting:
            self._warn(f"authsome: needs a restart of `authsome run`: {', '.join(waiting)}")
        self._trouble, self._waiting = trouble, waiting

    # Where to look.

    def _found(self) -> Path | None:
        try:
            return manifest.find(self._origin.start, self._origin.named)
        except (AuthsomeError, OSError):
            return None

    def _sign(self) -> _Signature:
        """Return what differs when one of the files does."""
        vault = self._origin.vault
        paths = [
            *(self._beside(found) if (found := self._found()) else []),
            *sorted((vault.home / "providers").glob("*.json")),
            *sorted(chain.from_iterable(folder.files() for folder in vault.folders)),
        ]
        return tuple(_stamp(path) for path in paths)

    def _beside(self, found: Path) -> list[Path]:
        """Return a manifest, what its project brings along, and the record of what was agreed to."""
        trust = self._trust(found)
        return [found, *sorted(trust.definitions.glob("*.json")), trust.record]

    def _folders(self) -> Mapping[Path, int]:
        """Return the folders in which something can change, with their inodes: one can be replaced by another."""
        origin, vault = self._origin, self._origin.vault
        found = self._found() or origin.project.path
        wanted = [origin.start, *origin.start.parents]
        if found is not None:
            end = found.parent
            above = wanted[: wanted.index(end) + 1] if end in wanted else []
            trust = self._trust(found)
            wanted = [*above, end, found.resolve().parent, trust.definitions, trust.record.parent]
        wanted += [vault.home, vault.home / "providers"]
        wanted += chain.from_iterable(folder.folders() for folder in vault.folders)
        return {folder: folder.stat().st_ino for folder in wanted if folder.is_dir()}


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        told = path.stat()
    except OSError:
        return (path,)
    return (path, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)


def _words(error: AuthsomeError | OSError) -> str:
    if isinstance(error, AuthsomeError):
        return error.message
    return f"cannot use {error.filename}: {(error.strerror or '').lower()}"


# What is said. All of it is names, none of it decides.


def _rotated(before: Session, after: Session, effective: Rules) -> Iterator[str]:
    served = {(rule.provider, rule.connection) for rule in effective.rules if rule.held and rule.hosts - rule.dropped}
    for name in after.rotated(before):
        if name in served:
            yield f"{full_name(*name)} rotated"


def _ended(before: Session, after: Session, effective: Rules) -> Iterator[str]:
    """Yield whose tokens were refused for good: who looks after the run has to hear of it, too, not the agent alone."""
    refused = after.refused(before)
    for rule in effective.rules:
        if rule.key in refused and rule.held:
            yield f"{rule.name} gets no new tokens any more (`{rule.login} --force`)"


def _lost(step: Step | None) -> str:
    """Return why a connection is, and what mends it."""
    if step is None:
        return "not held"
    if step.state is State.IN_PLACE:
        return "a key has taken the place of tokens, or tokens that of a key: it counts from the next run on"
    return f"{step.state}; `{step.command}`"


def _changes(before: Rules, after: Rules, steps: Mapping[tuple[str, str], Step]) -> Iterator[str]:
    """Yield what differs between two cuts of the same rules."""
    for one, two in zip(before.rules, after.rules, strict=True):
        step = steps.get((two.provider, two.connection))
        if two.change is Change.LOST and one.change is not Change.LOST:
            yield f"{two.name} is refused from now on ({_lost(step)})"
        elif one.change is Change.LOST and two.change is not Change.LOST:
            yield f"{two.name} is back"
        if gone := sorted(map(str, two.dropped - one.dropped)):
            yield f"{two.name} has lost {', '.join(gone)}"
        if back := sorted(map(str, one.dropped - two.dropped)):
            yield f"{two.name} has {', '.join(back)} again"
        if one.narrowed != two.narrowed:
            yield f"`allow` of {two.name} changed"
    if (before.open_egress, before.egress) != (after.open_egress, after.egress):
        yield "`egress` changed"


def wider(origin: Origin, project: Project, newest: Rules) -> tuple[str, ...]:
    """Return what the newest files would permit, or do, beyond what the run was started with."""
    return (*_wider_rules(origin.rules, newest), *_wider_project(origin.project, project))


def _wider_rules(start: Rules, newest: Rules) -> Iterator[str]:
    known = {(rule.provider, rule.connection): rule for rule in start.rules}
    for rule in newest.rules:
        old = known.get((rule.provider, rule.connection))
        if old is None:
            yield f"{rule.name} is declared"
            continue
        if rule.held and not old.held:
            yield f"{rule.name} is connected"
        if added := sorted(map(str, rule.hosts - old.hosts)):
            yield f"{rule.name} has {', '.join(added)}"
        if _sent(rule, old) != _sent(old, rule):
            yield f"the credential of {rule.name} is sent in another way"
        if old.allow is not None and (rule.allow is None or not all(_covered(line, old.allow) for line in rule.allow)):
            yield f"`allow` of {rule.name} permits more"
        if old.scrub and not rule.scrub:
            yield f"answers to {rule.name} would pass unread"
        if rule.private_addresses and not old.private_addresses:
            yield f"{rule.name} may be at private addresses"
    opens = newest.open_egress or (newest.egress - start.egress)
    if not start.open_egress and opens:
        yield "`egress` opens more"


def _sent(rule: Rule, other: Rule) -> tuple[list[Placement], tuple[tuple[str, str], ...]]:
    """Return how a rule sends its credential to the hosts that another one has as well."""
    common = rule.hosts & other.hosts
    places = [replace(place, hosts=place.hosts & common) for place in rule.placements if place.hosts & common]
    return places, rule.constant_headers


def _covered(line: Allowed, lines: Iterable[Allowed]) -> bool:
    """Whether a line seems to permit nothing that the lines do not; what is said hangs on it, not what is permitted."""
    shapes = [line.path.replace("**", some) for some in ("", "*", "*/*")]
    return any(
        each.method in ("*", line.method) and all(matches(each.path, shape) for shape in shapes) for each in lines
    )


def _wider_project(start: Project, newest: Project) -> Iterator[str]:
    variables = {each.name: each.env for each in start.connections}
    for each in newest.connections:
        if each.name in variables and set(each.env) != set(variables[each.name]):
            yield f"`env` of {each.name} changed"
    if start.manifest and newest.manifest:
        for name in ("profile", "isolation"):
            if getattr(start.manifest, name) != getattr(newest.manifest, name):
                yield f"`{name}` changed"
