"""`authsome run`: the whole way through, to a child and its exit code."""

import gc
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from authsome.cli.stations import (
    declared,
    human,
    manifest_name,
    open_trust,
    reconciling,
    renewal,
    sealed,
    survey,
    wanted,
)
from authsome.cli.voice import Settings, explain, interrupted, say, talk, unexpected
from authsome.errors import AuthsomeError, RunExit, file_errors

if TYPE_CHECKING:
    import socket

    from authsome.audit import Audit, Summary, Tally
    from authsome.child import Access, Child
    from authsome.fake import Stage
    from authsome.manifest import Declared, Project
    from authsome.proxy import Proxy
    from authsome.proxy.authority import Authority
    from authsome.proxy.renewing import Renew
    from authsome.proxy.upstream import Upstream
    from authsome.rules import Rules, Use
    from authsome.session import Session
    from authsome.vault import Vault


_GRACE_SECONDS = 5.0
_BACKLOG = 512
_SETTLE_SECONDS = 0.25  # in which the first request is served


def run(
    settings: Settings,
    command: list[str],
    *,
    summary: bool = False,
    fake: bool = False,
    fake_from: str | None = None,
    browser: bool = False,
    terminal: bool = False,
) -> NoReturn:
    """Run a command as the agent, and end with its exit code."""
    try:
        sealed("run")
        asked = wanted(browser=browser, terminal=terminal)
        start = _rehearse(settings, fake_from) if fake or fake_from is not None else _prepare(settings, asked)
        code = _run(settings, start, command, summary=summary)
    except AuthsomeError as error:
        explain(error)
        code = getattr(error, "run_exit", RunExit.FAILED)
    except KeyboardInterrupt:
        code = interrupted()
    except Exception as error:  # noqa: BLE001  as in `main`, with the code that says it was not the agent's
        unexpected(error)
        code = RunExit.FAILED
    _leave(code)


@dataclass(frozen=True, slots=True)
class _Start:
    """What a run starts with.

    Attributes:
        environ: What the child's environment is made from.
        roots: What the child's clients trust besides the run's authority.
        vault: None in a fake run.
        fake: What answers in a fake run, None in a real one.
    """

    project: "Project"
    rules: "Rules"
    session: "Session"
    upstream: "Upstream"
    environ: Mapping[str, str]
    roots: str
    vault: "Vault | None" = None
    fake: "_Fake | None" = None


@dataclass(frozen=True, slots=True)
class _Fake:
    """What stands for the declared hosts.

    Attributes:
        file: The answers' file as it was named, None for an echo.
    """

    listener: "socket.socket"
    authority: "Authority"
    stage: "Stage"
    file: str | None


def _prepare(settings: Settings, asked: str | None) -> _Start:
    """Go the whole way from the manifest to live credentials."""
    from authsome import rules, session
    from authsome.proxy import upstream

    project, position = survey(settings)
    if project.manifest and (trust := open_trust(settings)):
        trust.note(project.manifest)
    taking = reconciling(settings, position.vault, asked)
    live = session.reconcile(position, partial(human, settings, position.vault, asked), taking)
    outside = upstream.read(os.environ)
    project = live.settled(project)
    made = rules.of_project(project, live.holds)
    if not all(map(live.holds, project.connections)):
        steps = position.again().plan.steps
        made = made.told({each.key: (each.detail or each.state, each.command) for each in steps if each.left_out})
    return _Start(project, made, live, outside, os.environ, outside.roots, vault=position.vault)


def _rehearse(settings: Settings, file: str | None) -> _Start:
    """Go from the manifest to credentials that are nobody's, and to one address that stands for every host."""
    import datetime
    import socket

    from authsome import fake, rules, session
    from authsome.proxy import upstream
    from authsome.proxy.authority import Authority

    project = declared(settings)
    live = session.throw_away(project.connections, os.urandom)
    project = live.settled(project)
    made = replace(rules.of_project(project, live.holds), fake=True)
    answers = None if file is None else fake.load(Path(file), made.hosts)
    authority = Authority({host.name for host in made.hosts}, datetime.datetime.now(datetime.UTC))
    try:
        listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    except OSError as error:
        raise AuthsomeError(f"cannot listen on 127.0.0.1: {(error.strerror or '').lower()}") from error
    outside = upstream.Upstream(authority.pem, everything_at=listener.getsockname())
    # What the user lets clients reach directly would be the network.
    environ = {name: text for name, text in os.environ.items() if name.lower() != "no_proxy"}
    stands = _Fake(listener, authority, fake.Stage(answers), file)
    return _Start(project, made, live, outside, environ, upstream.trusted(os.environ), fake=stands)


def _run(settings: Settings, start: _Start, command: list[str], *, summary: bool) -> int:
    from authsome import isolation

    project = start.project
    isolation.require(project.manifest.isolation if project.manifest else "auto")
    held = [each.name for each in project.connections if start.session.holds(each)]
    if start.fake:
        # NOTE: a test that passes against a fake must not be mistaken for one that passed; so even with --quiet.
        from authsome.screens import run as screen

        say(screen.fake(held, start.fake.file))
    for each in project.connections:
        if not each.scrub:
            # NOTE: the manifest may be a stranger's, so what it opens is said even with --quiet.
            say(f"authsome: answers to {each.name} pass unread (`scrub: off`): a key said back reaches the agent")
    if settings.verbose:
        from authsome.screens import run as screen

        talk(settings, screen.started(held, isolation.withhold()))
    return _serve(settings, start, command, summary=summary)


def _serve(settings: Settings, start: _Start, command: list[str], *, summary: bool) -> int:
    """Start proxy and child, in an order that lets the child start at once, and wait for the child."""
    import datetime
    import shutil

    from authsome import child, proxy
    from authsome.proxy.authority import Authority

    authority = Authority({host.name for host in start.rules.hosts}, datetime.datetime.now(datetime.UTC))
    gate = proxy.Proxy(start.rules, start.session, authority, start.upstream, _renew(start))
    folder = _run_folder()
    try:
        access = _access(folder, start, gate.url, authority.pem)
        started = child.Child(command, child.environment(start.environ, access))
        return _attend(settings, start, gate, started, summary=summary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _renew(start: _Start) -> "Renew | None":
    """Return what brings new tokens into a run, None where there are none to be had."""
    if start.vault is None or not any(each.provider.oauth for each in start.project.connections):
        return None
    from authsome.session import of_entry

    made = renewal(start.vault.again())  # for other threads
    declared = {each.key: each for each in start.project.connections}

    def renew(key: tuple[str, str], seen: str | None, worked: str | None) -> "Session":
        return of_entry(declared[key], made.fresh(declared[key], seen, worked=worked))

    return renew


def _access(folder: Path, start: _Start, url: str, authority: str) -> "Access":
    """Write what the child's clients read, and return what its environment has to say."""
    import shutil

    from authsome.child import Access

    connections, bundle = start.project.connections, start.roots + authority
    hosts = frozenset(host.name for host in start.rules.hosts)
    return Access(
        proxy_url=url,
        authority=_write(folder / "ca.pem", authority),
        bundle=_write(folder / "bundle.pem", bundle),
        placeholders=_placeholders(connections, start.session),
        # A placeholder replaces a variable; one that no placeholder replaces may hold a key of the parent's.
        withheld=frozenset(name for each in connections for name in (*each.provider.env, *each.env)),
        hosts=hosts,
        java=_for_java(folder, start.environ, bundle, url, hosts),
        wget=_for_wget(folder),
        yarn=shutil.which("yarn") is not None,
    )


class _Log:
    """The log of a run, imported once the engine is: a child that has ended before then was not served either."""

    def __init__(self, start: _Start) -> None:
        self._start = start
        self._log: Audit | Tally | None = None

    def open(self) -> "Audit | Tally":
        """Make the log, if it is not there yet; the proxy's thread does before anything is recorded."""
        if self._log is None:
            from authsome import audit

            vault = self._start.vault
            self._log = (
                audit.Audit(audit.place(vault.home), os.urandom(4).hex(), vault.profile, say)
                if vault
                else audit.Tally()
            )
        return self._log

    def opened(self, peer: tuple[str, int]) -> None:
        self.open().opened(peer)

    def record(self, use: "Use") -> None:
        self.open().record(use)

    def closed(self, peer: tuple[str, int]) -> None:
        self.open().closed(peer)

    def close(self) -> None:
        """Write what was recorded; the proxy has stopped."""
        if self._log is not None:
            self._log.close()

    def summary(self) -> "Summary":
        """Return what the run's uses amount to."""
        return self.open().summary()


def _attend(settings: Settings, start: _Start, gate: "Proxy", started: "Child", *, summary: bool) -> int:
    """Serve the child until it ends; its uses are logged, and edits reach it."""
    broken: list[BaseException] = []
    stop, log = threading.Event(), _Log(start)
    failed = partial(_proxy_failed, broken, started)
    beside = _beside(settings, start, gate, stop, failed)

    def begun() -> None:
        gc.freeze()  # what is imported by now stays; to look through it again would hold up a request
        log.open()
        beside.start()

    gate.start(failed, log, begun)
    try:
        code = started.wait()
    finally:
        stop.set()
        gate.stop()
        log.close()
    _look_back(start, log, summary=summary)
    if broken:
        raise AuthsomeError(f"the proxy stopped: {type(broken[0]).__name__}", hint="the agent was ended") from None
    return code


def _beside(
    settings: Settings, start: _Start, gate: "Proxy", stop: threading.Event, failed: Callable[[BaseException], None]
) -> threading.Thread:
    """Return what goes on beside the proxy. It is started after it: two that import share one interpreter lock."""
    if start.fake:
        return threading.Thread(target=_play, args=(start.fake, start.rules, failed), name="authsome-fake", daemon=True)
    return threading.Thread(target=_follow, args=(settings, start, gate, stop), name="authsome-reload", daemon=True)


def _look_back(start: _Start, log: _Log, *, summary: bool) -> None:
    """Say what there is to say when the child has ended."""
    if summary:
        from authsome.screens import run as screen

        say(screen.summary(log.summary()).rstrip())
    elif misplaced := log.summary().misplaced:
        # NOTE: an agent that sends its placeholder around takes somebody else for the provider; so even with --quiet.
        from authsome.screens import run as screen

        say(screen.misplaced(list(misplaced)))
    if start.fake and start.fake.file and (misses := start.fake.stage.unanswered()):
        from authsome.screens import run as screen

        say(screen.unanswered(misses, start.fake.file))


def _play(stands: _Fake, rules: "Rules", failed: Callable[[BaseException], None]) -> None:
    """Answer for the declared hosts, in a thread."""
    try:
        from authsome import origin

        names = {host.name for host in rules.hosts}
        origin.Origin(stands.listener, stands.authority, names, stands.stage).serve_forever()
    except BaseException as error:  # noqa: BLE001  whatever it was, the run cannot go on
        failed(error)


def _follow(settings: Settings, start: _Start, gate: "Proxy", stop: threading.Event) -> None:
    """Let edits of the manifest, the definitions and the vault reach the run, in a thread."""
    if start.vault is None or stop.wait(_SETTLE_SECONDS):
        return
    from authsome import reload

    origin = reload.Origin(
        Path.cwd(), manifest_name(settings), os.environ, start.project, start.vault, start.rules, start.session
    )
    reload.Reload(origin, gate.swap, tell=partial(talk, settings), warn=say).follow(stop)


def _proxy_failed(broken: list[BaseException], started: Any, error: BaseException) -> None:
    import signal
    import time

    broken.append(error)
    started.send(signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    started.send(signal.SIGKILL)  # a child that would go on without its proxy


def _placeholders(connections: "tuple[Declared, ...]", live: "Session") -> Mapping[str, str]:
    return {
        name: live.shown(each, field)
        for each in connections
        if live.holds(each)
        for name, field in each.env.items()
        if field in live.secrets(*each.key)
    }


def _run_folder() -> Path:
    """Make a private folder for certificates; it goes with the run."""
    named = [os.environ.get(name, "") for name in ("XDG_RUNTIME_DIR", "TMPDIR")]
    usable = (path for path in named if path and os.access(path, os.W_OK | os.X_OK))
    parent = next(usable, "/tmp")  # noqa: S108  the folder below is private and its name random
    folder = Path(parent) / f"authsome-{os.getpid()}-{os.urandom(8).hex()}"
    with file_errors("create", folder, hint="set TMPDIR to a folder you can write to"):
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    return folder


def _for_java(
    folder: Path, environ: Mapping[str, str], roots: str, proxy_url: str, hosts: frozenset[str]
) -> Path | None:
    """Write what a JVM reads, where there is one."""
    import shutil

    from authsome import child
    from authsome.proxy.authority import JAVA_STORE_PASSWORD, java_trust_store

    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        return None
    store = _write(folder / "roots.p12", java_trust_store(roots))
    options = child.java_options(environ, hosts, proxy_url, store, JAVA_STORE_PASSWORD)
    return _write(folder / "java.options", options)


def _for_wget(folder: Path) -> Path | None:
    """Write what wget reads, where there is one."""
    import shutil

    from authsome import child

    if not shutil.which("wget"):
        return None
    system = Path(os.environ.get("SYSTEM_WGETRC") or "/etc/wgetrc")
    text = system.read_text(errors="surrogateescape") if os.access(system, os.R_OK) and system.is_file() else ""
    return _write(folder / "wgetrc", child.wget_options(text, folder / "bundle.pem").encode(errors="surrogateescape"))


def _write(path: Path, content: str | bytes) -> Path:
    with file_errors("write", path, hint="set TMPDIR to a folder you can write to"):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
    return path


def _leave(code: int) -> NoReturn:
    """End now: taking the engine's thread apart would cost more than the whole run did."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue
    os._exit(code)
