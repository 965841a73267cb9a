"""A person at a terminal: a real pseudo-terminal that is the program's controlling one."""

import contextlib
import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Person:
    """Starts a program on a terminal of its own, reads what it shows and types."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        self.screen = ""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execve(command[0], [str(word) for word in command], dict(env))
            finally:
                os._exit(99)

    def sees(self, text: str, seconds: float = 20) -> bool:
        """Read until a text appears; False if it does not in time."""
        deadline = time.monotonic() + seconds
        while text not in self.screen:
            if not self._shows(max(0.0, deadline - time.monotonic())) or not self._read():
                return text in self.screen
        return True

    def _shows(self, seconds: float) -> bool:
        """Wait for something new on the screen; `select` would know the first 1024 descriptors only."""
        screen = select.poll()
        screen.register(self._master, select.POLLIN)
        return bool(screen.poll(seconds * 1000))

    def _read(self) -> bool:
        with contextlib.suppress(OSError):  # EIO: the program closed the terminal
            data = os.read(self._master, 4096)
            self.screen += data.decode(errors="replace").replace("\r\n", "\n")
            return bool(data)
        return False

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def ends(self, seconds: float = 20) -> int:
        """Return the exit code, 128 + N for a signal."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._shows(0.05):
                self._read()
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                while self._shows(0.05) and self._read():
                    pass
                os.close(self._master)
                return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        os.killpg(self.pid, signal.SIGKILL)
        raise AssertionError(f"still running; the screen shows:\n{self.screen}")
