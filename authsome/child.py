"""The agent's process: what it finds in its environment, which signals reach it, and how it ended.

Promises that the child's clients find the proxy and trust this run, that a variable which carried a secret carries a
placeholder, that signals reach the child's whole process group once, and that its exit code is the run's. Refuses to
hand down the vault's key or a variable that would lead a client around the proxy.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authsome.errors import AuthsomeError, RunExit
from authsome.proxy.upstream import TRUST_FILE_VARIABLES, bypasses, no_proxy_list

RUN_VARIABLE = "AUTHSOME_RUN"
"""Set in the child to the pid of its `authsome run`, so that authsome itself refuses to nest."""

_SEALED = (
    *("AUTHSOME_IDENTITY", "AUTHSOME_IDENTITY_FILE", "AUTHSOME_IDENTITY_COMMAND"),
    *("AUTHSOME_VAULT_PIN", "AUTHSOME_TRUST_PIN"),
)
_PROXY = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    *("GLOBAL_AGENT_HTTPS_PROXY", "GLOBAL_AGENT_HTTP_PROXY", "grpc_proxy"),
)
_PROXY_IF_SET = (
    # Each wins over HTTPS_PROXY in its own program.
    *("PIP_PROXY", "CARGO_HTTP_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"),
    *("npm_config_proxy", "npm_config_https_proxy", "NPM_CONFIG_PROXY", "NPM_CONFIG_HTTPS_PROXY"),
    *("ws_proxy", "wss_proxy", "WS_PROXY", "WSS_PROXY"),
)
_DIRECT_IF_SET = ("no_grpc_proxy", "npm_config_noproxy", "NPM_CONFIG_NOPROXY", "GLOBAL_AGENT_NO_PROXY")
_ONLY_IF_SET = frozenset({"npm_config_cafile", "NPM_CONFIG_CAFILE", "YARN_HTTPS_CA_FILE_PATH"})
_ADDS_TO_STORE = frozenset({"NODE_EXTRA_CA_CERTS"})
_SWITCHES = {
    "NODE_USE_ENV_PROXY": "1",  # Node 22.21, 24: fetch and http ignore the proxy without it
    "GIT_HTTP_PROXY_AUTHMETHOD": "basic",  # git answers the 407 at once
    "GIT_TERMINAL_PROMPT": "0",  # a missing credential is an error, not a question nobody sees
    "ELECTRON_GET_USE_PROXY": "1",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Access:
    """How a child reaches its providers.

    Attributes:
        proxy_url: With the run's password in it.
        authority: File with the run's certificate authority alone.
        bundle: File with it and every root the parent trusts.
        placeholders: Environment variable → placeholder.
        withheld: Variables of providers that are declared but not usable.
        hosts: Names that must not go around the proxy.
        java: File with `java_options`, None where no JVM would read it.
        wget: File with `wget_options`, None where no wget would read it.
        yarn: Whether there is a Yarn, which knows variables of its own only.
    """

    proxy_url: str
    authority: Path
    bundle: Path
    placeholders: Mapping[str, str]
    withheld: frozenset[str]
    hosts: frozenset[str]
    java: Path | None = None
    wget: Path | None = None
    yarn: bool = False


def environment(parent: Mapping[str, str], access: Access) -> dict[str, str]:
    """Return the child's environment. `hosts` and `localhost` stay reachable as they were unless declared."""
    child = {name: value for name, value in parent.items() if name not in {*_SEALED, *access.withheld}}
    child |= access.placeholders
    child |= dict.fromkeys(_PROXY, access.proxy_url)
    child |= _SWITCHES
    for name in TRUST_FILE_VARIABLES:
        if name not in _ONLY_IF_SET or name in parent:
            alone = name in _ADDS_TO_STORE and name not in parent
            child[name] = str(access.authority if alone else access.bundle)
    if "SSL_CERT_DIR" in parent:
        # OpenSSL and Go read the folder beside the file; the bundle holds what was in it.
        del child["SSL_CERT_DIR"]
    child |= dict.fromkeys((name for name in _PROXY_IF_SET if name in parent), access.proxy_url)
    exempt = ("NO_PROXY", "no_proxy", *(name for name in _DIRECT_IF_SET if name in parent))
    child |= dict.fromkeys(exempt, ",".join(_direct(parent, access.hosts)))
    if access.yarn:
        child |= {"YARN_HTTPS_PROXY": access.proxy_url, "YARN_HTTPS_CA_FILE_PATH": str(access.bundle)}
    if access.wget:
        child["SYSTEM_WGETRC"] = str(access.wget)
    if access.java:
        # A JVM prints this variable on stderr, and would print the proxy's password if that stood in it. A JVM before
        # 9 cannot read the file, and would not start if it was not told to ignore what it does not know.
        ours = f'-XX:+IgnoreUnrecognizedVMOptions "-XX:VMOptionsFile={access.java}"'
        child["JAVA_TOOL_OPTIONS"] = f"{parent.get('JAVA_TOOL_OPTIONS', '')} {ours}".strip()
    child[RUN_VARIABLE] = str(os.getpid())
    return child


def java_options(parent: Mapping[str, str], hosts: frozenset[str], proxy_url: str, store: Path, password: str) -> str:
    """Return the file that tells a JVM what the variables tell others; `store` holds the bundle's roots as PKCS12.

    Maven and Gradle use the proxy's user and password by themselves. The JDK's own HttpClient takes them from no
    property: a program has to give it an `Authenticator`.
    """
    proxy = urlsplit(proxy_url)
    direct = "|".join(_for_jvm(name) for name in _direct(parent, hosts))
    values = {
        **{f"{scheme}.proxyHost": proxy.hostname for scheme in ("http", "https")},
        **{f"{scheme}.proxyPort": proxy.port for scheme in ("http", "https")},
        **{f"{scheme}.proxyUser": proxy.username for scheme in ("http", "https")},
        **{f"{scheme}.proxyPassword": proxy.password for scheme in ("http", "https")},
        "http.nonProxyHosts": direct,  # https has none of its own
        "jdk.http.auth.tunneling.disabledSchemes": "",  # Basic is among them if nothing is said
        "javax.net.ssl.trustStore": store,
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": password,
    }
    return "".join(f'"-D{name}={value}"\n' for name, value in values.items())


def wget_options(system: str, bundle: Path) -> str:
    """Return the system's wgetrc with our roots; a wget built on GnuTLS (Debian's) has no variable for them."""
    return f"{system.rstrip()}\nca_certificate = {bundle}\n"


def _for_jvm(name: str) -> str:
    if name.startswith("."):
        return f"*{name}"
    return f"[{name}]" if name.count(":") > 1 else name  # an address of IPv6 stands in brackets in a URL


def _direct(parent: Mapping[str, str], hosts: frozenset[str]) -> list[str]:
    """Return what stays exempt from the proxy.

    NOTE: an entry that covers a declared host would send its requests around the proxy, with the placeholder.
    """
    return [name for name in dict.fromkeys([*_LOOPBACK, *no_proxy_list(parent)]) if not _covers(name, hosts)]


def _covers(entry: str, hosts: frozenset[str]) -> bool:
    name = entry.rpartition(":")[0] if entry.rpartition(":")[2].isdecimal() else entry  # Go and requests read a port
    below = name.lstrip("*.").lower()
    return any(
        bypasses((name,), host.removeprefix("*.")) or (host.startswith("*.") and below.endswith(host[1:]))
        for host in hosts
    )


class Child:
    """A started program in a process group of its own, which has the terminal when it needs it."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        if not arguments[0]:
            raise _cannot_start("", OSError(errno.ENOENT, ""))
        self.pid: int | None = None
        self._early: list[int] = []
        self._terminal = _Terminal()
        self._handlers = _catch(self.send)
        # What Python ignores for itself a program expects to work (see `Popen(restore_signals=True)`).
        defaults = [signal.SIGPIPE, signal.SIGXFSZ]
        _close_for_child()
        try:
            self.pid = os.posix_spawnp(arguments[0], list(arguments), environ, setpgroup=0, setsigdef=defaults)
        except OSError as error:
            _restore(self._handlers)
            raise _cannot_start(arguments[0], error) from error
        if self._terminal.is_whole():
            self._hand_over()
        for number in self._early:
            self.send(number)

    def wait(self) -> int:
        """Return the exit code, 128 + N if signal N ended the child. Signals sent to us reach the child's group."""
        assert self.pid is not None  # noqa: S101  for the type checker; a child that did not start raised
        while True:
            _, status = os.waitpid(self.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            self._stopped(os.WSTOPSIG(status))
        self._terminal.give(os.getpgrp())
        _restore(self._handlers)
        if os.WIFSIGNALED(status):
            return RunExit.SIGNALLED + os.WTERMSIG(status)
        return os.waitstatus_to_exitcode(status)

    def send(self, number: int) -> None:
        """Send a signal to the child's process group."""
        if self.pid is None:
            self._early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _hand_over(self) -> None:
        self._terminal.give(self.pid or 0)
        self.send(signal.SIGCONT)  # in case it asked for the terminal before it had it

    def _stopped(self, number: int) -> None:
        """Give the terminal to a child that stopped for want of it; else stop with it, and continue together."""
        if number in (signal.SIGTTIN, signal.SIGTTOU) and self._terminal.is_ours():
            self._hand_over()
            return
        had_it = self._terminal.belongs_to(self.pid or 0)
        if had_it:
            self._terminal.give(os.getpgrp())
        os.killpg(os.getpgrp(), signal.SIGSTOP)
        if had_it and self._terminal.is_ours():  # after `fg`; after `bg` the shell has it
            self._terminal.give(self.pid or 0)
        self.send(signal.SIGCONT)


class _Terminal:
    """The controlling terminal, if there is one, and whose foreground it is."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1

    def belongs_to(self, group: int) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == group
        except OSError:
            return False

    def is_ours(self) -> bool:
        return self.belongs_to(os.getpgrp())

    def is_whole(self) -> bool:
        """Whether nobody else in a pipeline could need the terminal: `run -- agent | less` leaves it to `less`."""
        return os.isatty(0) and os.isatty(1) and self.is_ours()

    def give(self, group: int) -> None:
        """Make a process group the foreground."""
        if self._descriptor < 0 or self.belongs_to(group):
            return
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            with contextlib.suppress(OSError):  # it went away; the child will notice by itself
                os.tcsetpgrp(self._descriptor, group)
        finally:
            signal.signal(signal.SIGTTOU, before)


def _close_for_child() -> None:
    """Keep every descriptor but the three standard ones: the identity may have been read from one of the others."""
    for path in Path("/dev/fd").iterdir():
        if int(path.name) > 2:  # noqa: PLR2004  standard error
            with contextlib.suppress(OSError):  # the one that listed them is gone again
                os.set_inheritable(int(path.name), False)


_FORWARDED = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP, signal.SIGWINCH),
)

type _Handlers = Mapping[signal.Signals, Any]


def _catch(send: Callable[[int], None]) -> _Handlers:
    """Pass signals on; one that we were started to ignore (nohup) stays ignored."""
    before = {number: signal.getsignal(number) for number in _FORWARDED}
    for number, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(number, lambda got, _frame: send(got))
    return before


def _restore(handlers: _Handlers) -> None:
    for number, old in handlers.items():
        signal.signal(number, old)


class CannotStartError(AuthsomeError):
    """The program could not be started; `run` ends with its `exit` (126 or 127)."""

    def __init__(self, message: str, hint: str | None, run_exit: RunExit) -> None:
        super().__init__(message, hint=hint)
        self.run_exit = run_exit


def _cannot_start(program: str, error: OSError) -> CannotStartError:
    if error.errno == errno.ENOENT:
        return CannotStartError(
            f"`{program}` was not found", "check its name, or give a path such as `./agent`", RunExit.NOT_FOUND
        )
    hint = "does its first line name an interpreter (`#!/bin/sh`)?" if error.errno == errno.ENOEXEC else None
    if error.errno == errno.EACCES:
        hint = f"chmod +x {program}"
    reason = (error.strerror or "").lower()
    return CannotStartError(f"`{program}` cannot be executed: {reason}", hint, RunExit.NOT_EXECUTABLE)
