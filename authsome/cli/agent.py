"""`authsome run`: the whole way through, to a child and its exit code."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from authsome.cli.frame import Argument, Option, Settings, command, explain, say, talk, unexpected
from authsome.cli.stations import human, manifest_name, sealed, survey
from authsome.errors import AuthsomeError, RunExit, file_errors
from authsome.provider import placeholder

if TYPE_CHECKING:
    import threading

    from authsome.child import Access, Child
    from authsome.manifest import Declared, Project
    from authsome.proxy import Proxy
    from authsome.rules import Rules
    from authsome.session import Session
    from authsome.vault import Vault


_GRACE_SECONDS = 5.0


@command("run", context_settings={"allow_interspersed_args": False})
def run(
    settings: Settings,
    command: Annotated[list[str], Argument(metavar="-- COMMAND [ARG]...", help="The agent.", show_default=False)],
    summary: Annotated[bool, Option("--summary", help="Say afterwards what was used, on standard error.")] = False,
) -> None:
    """Run an agent that uses credentials without holding them.

    Example: authsome run -- python my_agent.py
    """
    try:
        sealed("run")
        code = _run(settings, command, summary=summary)
    except AuthsomeError as error:
        explain(error)
        code = getattr(error, "run_exit", RunExit.FAILED)
    except Exception as error:  # noqa: BLE001  as in `main`, with the code that says it was not the agent's
        unexpected(error)
        code = RunExit.FAILED
    _leave(code)


def _run(settings: Settings, command: list[str], *, summary: bool) -> int:
    from authsome import isolation, rules, session

    project, position = survey(settings)
    live = session.reconcile(position, partial(human, settings, position.vault), say)
    isolation.require(project.manifest.isolation if project.manifest else "auto")
    made = rules.of_project(project, live.holds)
    for each in project.connections:
        if not each.scrub:
            # NOTE: the manifest may be a stranger's, so what it opens is said even with --quiet.
            say(f"authsome: answers to {each.name} pass unread (`scrub: off`): a key said back reaches the agent")
    if settings.verbose:
        from authsome import screens

        talk(
            settings,
            screens.started([each.name for each in project.connections if live.holds(each)], isolation.withhold()),
        )
    return _serve(settings, _Start(project, position.vault, made, live, summary), command)


@dataclass(frozen=True, slots=True)
class _Start:
    """What a run starts with."""

    project: "Project"
    vault: "Vault"
    rules: "Rules"
    session: "Session"
    summary: bool


def _serve(settings: Settings, start: _Start, command: list[str]) -> int:
    """Start proxy and child, in an order that lets the child start at once, and wait for the child."""
    import datetime
    import shutil

    from authsome import child, proxy
    from authsome.proxy import upstream
    from authsome.proxy.authority import Authority

    outside = upstream.read(os.environ)
    authority = Authority({host.name for host in start.rules.hosts}, datetime.datetime.now(datetime.UTC))
    gate = proxy.Proxy(start.rules, start.session, authority, outside)
    folder = _run_folder()
    try:
        access = _access(folder, start, gate.url, outside.roots, authority.pem)
        return _attend(settings, start, gate, child.Child(command, child.environment(os.environ, access)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _access(folder: Path, start: _Start, url: str, roots: str, authority: str) -> "Access":
    """Write what the child's clients read, and return what its environment has to say."""
    import shutil

    from authsome.child import Access

    connections, bundle = start.project.connections, roots + authority
    hosts = frozenset(host.name for host in start.rules.hosts)
    return Access(
        proxy_url=url,
        authority=_write(folder / "ca.pem", authority),
        bundle=_write(folder / "bundle.pem", bundle),
        placeholders=_placeholders(connections, start.session),
        # A placeholder replaces a variable; one that no placeholder replaces may hold a key of the parent's.
        withheld=frozenset(name for each in connections for name in (*each.provider.env, *each.env)),
        hosts=hosts,
        java=_for_java(folder, bundle, url, hosts),
        wget=_for_wget(folder),
        yarn=shutil.which("yarn") is not None,
    )


def _attend(settings: Settings, start: _Start, gate: "Proxy", started: "Child") -> int:
    """Serve the child until it ends; its uses are logged, and edits reach it."""
    import threading

    from authsome import audit, screens

    broken: list[BaseException] = []
    stop = threading.Event()
    log = audit.Audit(audit.place(start.vault.home), os.urandom(4).hex(), start.vault.profile, say)
    gate.start(partial(_proxy_failed, broken, started), log)
    _follow(settings, start, gate, stop)
    try:
        code = started.wait()
    finally:
        stop.set()
        gate.stop()
        log.close()
    if start.summary:
        say(screens.summary(log.summary()).rstrip())
    if broken:
        raise AuthsomeError(f"the proxy stopped: {type(broken[0]).__name__}", hint="the agent was ended") from None
    return code


def _follow(settings: Settings, start: _Start, gate: "Proxy", stop: "threading.Event") -> None:
    """Let edits of the manifest, the definitions and the vault reach the run, in a thread."""
    import threading

    from authsome import reload

    origin = reload.Origin(Path.cwd(), manifest_name(settings), start.project, start.vault, start.rules, start.session)
    following = reload.Reload(origin, gate.swap, tell=partial(talk, settings), warn=say)
    threading.Thread(target=following.follow, args=(stop,), name="authsome-reload", daemon=True).start()


def _proxy_failed(broken: list[BaseException], started: Any, error: BaseException) -> None:
    import signal
    import time

    broken.append(error)
    started.send(signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    started.send(signal.SIGKILL)  # a child that would go on without its proxy


def _placeholders(connections: "tuple[Declared, ...]", live: "Session") -> Mapping[str, str]:
    return {name: placeholder(each.connection) for each in connections if live.holds(each) for name in each.env}


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


def _for_java(folder: Path, roots: str, proxy_url: str, hosts: frozenset[str]) -> Path | None:
    """Write what a JVM reads, where there is one."""
    import shutil

    from authsome import child
    from authsome.proxy.authority import JAVA_STORE_PASSWORD, java_trust_store

    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        return None
    store = _write(folder / "roots.p12", java_trust_store(roots))
    options = child.java_options(os.environ, hosts, proxy_url, store, JAVA_STORE_PASSWORD)
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
