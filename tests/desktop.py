"""A desktop session without a desktop: a session bus of its own, and on it the keychain of GNOME."""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import secretstorage
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]

# No folder of programs to start by name: what is not there stays away, also what would draw the dialogs.
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


@dataclass
class Desktop:
    """A session of a user who has logged in, which unlocks the keychain."""

    address: str
    folder: Path
    keychain: subprocess.Popen[bytes]

    @property
    def environ(self) -> dict[str, str]:
        return {"DBUS_SESSION_BUS_ADDRESS": self.address}

    @contextmanager
    def collection(self) -> Iterator[secretstorage.Collection]:
        with closing(self._connect()) as bus:
            yield secretstorage.Collection(bus)

    def _connect(self) -> DBusConnection:
        return open_dbus_connection(self.address)

    def entries(self) -> dict[str, str]:
        """Return what the keychain holds for authsome: user name → secret."""
        with self.collection() as collection:
            found = collection.search_items({"service": "authsome"})
            return {each.get_attributes()["username"]: each.get_secret().decode() for each in found}

    def holds(self, entries: Mapping[str, str]) -> None:
        """Have the keychain hold this for authsome, and nothing else."""
        with self.collection() as collection:
            for each in collection.search_items({"service": "authsome"}):
                each.delete()
            for username, secret in entries.items():
                attributes = {"service": "authsome", "username": username, "application": "Python keyring library"}
                collection.create_item("authsome", attributes, secret.encode(), replace=True)

    def lock(self) -> None:
        with self.collection() as collection:
            collection.lock()

    @contextmanager
    def dialogs(self) -> Iterator[None]:
        """Have a program that draws dialogs, in front of which nobody sits."""
        with closing(self._connect()) as bus:
            bus.send_and_get_reply(message_bus.RequestName("org.gnome.keyring.SystemPrompter"))
            yield

    def freeze(self) -> None:
        self.keychain.send_signal(signal.SIGSTOP)

    def is_up(self) -> bool:
        with suppress(OSError, secretstorage.SecretStorageException), self.collection() as collection:
            return not collection.is_locked()
        return False


class Program(Protocol):
    """What can be killed."""

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...


@dataclass
class Assassin:
    """A way to the bus on which a program is killed when it has sent its nth piece, which still arrives."""

    desktop: Desktop

    def run[T: Program](self, start: Callable[[dict[str, str]], T], nth: int) -> T:
        """Run a program to its end, whichever that is; `start` is given the environment that leads it to the bus."""
        socket_path = self.desktop.folder / "way"
        socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
            listener.bind(str(socket_path))
            listener.listen()
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ, None)
            program, left = start({"DBUS_SESSION_BUS_ADDRESS": f"unix:path={socket_path}"}), nth
            while program.poll() is None:
                left -= self._carry(selector, listener)
                if left <= 0:
                    program.kill()
            for key in [key for key in selector.get_map().values() if key.data]:
                _socket(key.fileobj).close()
        return program

    def _carry(self, selector: selectors.BaseSelector, listener: socket.socket) -> int:
        """Move what there is, and return how many pieces the program sent."""
        sent = 0
        for key, _ in selector.select(0.02):
            if key.data is None:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.desktop.address.removeprefix("unix:path="))
                selector.register(near, selectors.EVENT_READ, (far, 1))
                selector.register(far, selectors.EVENT_READ, (near, 0))
                continue
            here, (there, counts) = _socket(key.fileobj), key.data
            with suppress(ConnectionError):
                if data := here.recv(65536):
                    there.sendall(data)
                    sent += counts
                    continue
            for end in (here, there):
                selector.unregister(end)
                end.close()
            break  # what else was ready may have been the other end
        return sent


def _socket(end: object) -> socket.socket:
    assert isinstance(end, socket.socket)
    return end


@contextmanager
def log_in() -> Iterator[Desktop]:
    """Start a bus and a keychain on it, and end both."""
    folder = Path(tempfile.mkdtemp(prefix="desktop-"))  # the path of a socket has to be short
    path, config = folder / "bus", folder / "bus.conf"
    config.write_text(_BUS.format(path))
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    env |= {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={path}"}
    bus = _start(["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"], env)
    try:
        _wait(path.exists)
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock"]
        keychain = _start(command, env)
        try:
            assert keychain.stdin
            with keychain.stdin as stdin:
                stdin.write(b"the password of the login")
            desktop = Desktop(env["DBUS_SESSION_BUS_ADDRESS"], folder, keychain)
            _wait(desktop.is_up)
            yield desktop
        finally:
            keychain.kill()
            keychain.wait()
    finally:
        bus.kill()
        bus.communicate()
        shutil.rmtree(folder)


def _start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)


def _wait(ready: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "the session does not come up"
        time.sleep(0.02)
