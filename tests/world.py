"""A world of its own for tests with real clients: a network where the real host names lead to an origin of ours.

A process in a private network and mount namespace holds it: its /etc/hosts names loopback for every host, and nothing
else can be reached from it. Commands are started inside with `nsenter`. Where the machine forbids such namespaces, the
tests are skipped with the reason.

Run as a program it furnishes the namespace that it finds itself in, and serves until its standard input ends, which it
does, whatever happens, with the process that started it.
"""

import asyncio
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import origin
from canary import sings
from conftest import EXECUTABLE, CommandLine
from origin import KEYS, Received, Record

AGENTS = Path(__file__).parent / "clients" / "agents"
"""Programs that tests run as the agent."""
TIMEOUT = 60
ADDRESS = "192.31.196.1"
"""What every name leads to: a public address by its range (RFC 7535), and here one of the loopback's own."""
ACME = {
    "name": "acme",
    "host_url": ["packages.example", "storage.example", "rpc.example"],
    "api_key": {"env_var": "ACME_API_KEY"},
    "inject": [
        {"basic": {"username": "user", "password": "{api_key}"}, "hosts": ["packages.example"]},
        {"value": "Bearer {api_key}", "hosts": ["storage.example", "rpc.example"]},
    ],
}
"""A definition of the user's own: a company's packages, storage and remote calls."""
_READY, _FORBIDDEN = "ready", "this machine forbids a network of our own"
_MS_BIND = 4096  # mount(2)
_IFF_UP = 1  # netdevice(7)


@dataclass(frozen=True)
class Ran:
    """How a command in the world ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """The JSON that the agent printed last."""
        assert self.out.strip(), self
        return json.loads(self.out.strip().splitlines()[-1])


@dataclass(frozen=True)
class World:
    """A namespace with an origin in it."""

    folder: Path
    pid: int

    @property
    def roots(self) -> Path:
        """What to trust for the origin's certificates to verify."""
        return self.folder / "roots.pem"

    @property
    def record(self) -> Record:
        return Record(self.folder / "received.jsonl")

    def command(self, folder: Path, *arguments: str) -> list[str]:
        """Return the command that runs `arguments` inside, in `folder`."""
        spaces = ["--net", "--mount", *(() if os.geteuid() == 0 else ("--user", "--preserve-credentials"))]
        # A new mount namespace comes with its own root as the working folder.
        return [
            "nsenter",
            f"--target={self.pid}",
            *spaces,
            "--",
            "sh",
            "-c",
            'cd "$0" && exec "$@"',
            str(folder),
            *arguments,
        ]


@dataclass(frozen=True)
class Setup:
    """A user with credentials and a project, and the agent that is run there."""

    world: World
    line: CommandLine

    @property
    def temporary(self) -> Path:
        return self.line.root / "tmp"

    def connect(self, *providers: str) -> None:
        """Log in to providers and declare them."""
        if "acme" in providers:
            path = self.line.home / "providers" / "acme.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(ACME))
        for provider in providers:
            self.line.login(provider, KEYS[provider])
        self.declare(*(f"  {provider}:" for provider in providers))

    def declare(self, *lines: str) -> None:
        self.line.declare("\n".join(["version: 1", "providers:", *lines, ""]))

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what the user has: no proxy, and the origin's root as the one that is trusted."""
        mine = {"SSL_CERT_FILE": str(self.world.roots), "TMPDIR": str(self.temporary), "GIT_CONFIG_NOSYSTEM": "1"}
        return self.line.environ() | mine | dict(extra or {})

    def start(
        self, *command: str, env: Mapping[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.world.command(self.line.project, str(EXECUTABLE), "run", *options, "--", *command),
            env=self.environ(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        options: tuple[str, ...] = (),
    ) -> Ran:
        """Run a command as the agent; it is ended with its children if it takes too long."""
        with self.start(*command, env=env, options=options) as started:
            try:
                out, err = started.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                started.terminate()  # and not kill: the agent is to go with it
                out, err = started.communicate(timeout=10)
                pytest.fail(f"`{' '.join(command)}` took longer than {timeout} s: {out!r} {err!r}")
        assert not sings(out + err), f"`{' '.join(command)}` showed a canary"
        return Ran(started.returncode, out.decode(), err.decode())

    def agent(self, name: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> Ran:
        """Run one of `AGENTS`, which has to succeed."""
        ran = self.run(sys.executable, str(AGENTS / f"{name}.py"), *arguments, env=env, timeout=timeout)
        assert ran.code == 0, ran
        return ran

    def curl(self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> Ran:
        options = ("--silent", "--show-error", "--max-time", str(int(timeout)))
        return self.run("curl", "--disable", *options, *arguments, env=env, timeout=timeout)

    def received(self) -> list[Received]:
        return self.world.record.read()

    def only(self) -> Received:
        """Return the one request that reached the origin."""
        requests = self.received()
        assert len(requests) == 1, requests
        return requests[0]


@contextmanager
def hold(folder: Path) -> Iterator[World]:
    """Hold a world for as long as the context lasts, or skip with the reason why there cannot be one."""
    spaces = ["--net", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
    _skip_where_forbidden(spaces)
    command = ["unshare", *spaces, "--", sys.executable, __file__, str(folder)]
    complaints = folder / "holder.log"
    with (
        complaints.open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as holder,
    ):
        assert holder.stdout is not None
        try:
            said = holder.stdout.readline().decode().strip()
            if said.startswith(_FORBIDDEN):
                pytest.skip(said)
            assert said == _READY, complaints.read_text()
            yield World(folder, holder.pid)
        finally:
            _end(holder)


def _skip_where_forbidden(spaces: Sequence[str]) -> None:
    if missing := [name for name in ("unshare", "nsenter", "git") if not shutil.which(name)]:
        pytest.skip(f"a world needs {', '.join(missing)}")
    tried = subprocess.run(["unshare", *spaces, "--", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"{_FORBIDDEN}: {tried.stderr.strip()}")


def _end(holder: "subprocess.Popen[bytes]") -> None:
    """End the holder by the end of its input; the namespaces and all that is mounted there go with it."""
    assert holder.stdin is not None
    holder.stdin.close()
    try:
        holder.wait(timeout=10)
    except subprocess.TimeoutExpired:
        holder.kill()


# Inside.


def _furnish(folder: Path) -> None:
    """Give the namespace its hosts file and its loopback."""
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{ADDRESS} {name}\n" for name in origin.ALL_HOSTS))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(bytes(hosts), b"/etc/hosts", None, _MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount a hosts file")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        siocgifflags, siocsifflags = 0x8913, 0x8914
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, siocgifflags, request))[1]
        fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
        siocsifaddr = 0x8916
        named = struct.pack("16sH2s4s8x", b"lo:0", socket.AF_INET, b"", socket.inet_aton(ADDRESS))
        fcntl.ioctl(any_socket, siocsifaddr, named)


def _wait() -> None:
    sys.stdin.read()


def _main() -> None:
    folder = Path(sys.argv[1])
    try:
        _furnish(folder)
    except OSError as error:
        print(f"{_FORBIDDEN}: {error}")
        return
    origin.make_repository(folder)
    asyncio.run(origin.serve(folder, lambda: print(_READY, flush=True), _wait))


if __name__ == "__main__":
    _main()
