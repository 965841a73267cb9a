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
        self.pid, self._master = self.begin([str(word) for word in command], dict(env), cwd)

    def begin(self, command: list[str], env: dict[str, str], cwd: Path) -> tuple[int, int]:
        """Start a program; return its number and the near end of its terminal."""
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.chdir(cwd)
                os.execve(command[0], command, env)
            finally:
                os._exit(99)
        return pid, master

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def ended(self) -> int | None:
        """Return how the program ended, as `subprocess` has it; None if it has not yet."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if done else None

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
            if self._shows(0.05) and not self._read():
                time.sleep(0.005)  # nobody holds the terminal any more, and this would be asked without a pause
            code = self.ended()
            if code is not None:
                while self._shows(0) and self._read():
                    pass
                os.close(self._master)
                return code if code >= 0 else 128 - code
        os.killpg(self.pid, signal.SIGKILL)
        raise AssertionError(f"still running; the screen shows:\n{self.screen}")
