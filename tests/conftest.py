"""What the suites share: the command line as a process, a home of its own, and the search for canaries."""

import gc
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from canary import leaks, sings

# The proxy of a test stays until the process ends, as that of a run does; some systems permit 256 descriptors at first.
_now, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
if 0 <= _now < 16384:
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384 if _most < 0 else min(16384, _most), _most))

# These begin, so that no process is left alone with one of them at the end.
_LONG = (
    *("test_soak.py", "test_relay.py", "test_page_browser.py", "test_keychain.py", "test_vault_backup.py"),
    *("test_identity.py", "test_clients_curl.py", "test_docs.py", "test_contract.py", "test_roster.py"),
    *("test_vault_resolve.py", "test_clients_runtimes.py", "test_schemas_editor.py", "test_sdks.py"),
    "test_oauth_journey.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_collection_finish() -> None:
    """Take what stays to the end out of every later search for garbage."""
    gc.collect()
    gc.freeze()


EXECUTABLE = Path(sys.executable).parent / "authsome"
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        """Return the screen as the manual would show it."""
        shown = [f"$ authsome {' '.join(self.command)}", f"exit {self.code}"]
        shown += [f"{name}:\n{text}" for name, text in (("stdout", self.out), ("stderr", self.err)) if text]
        return "\n".join(shown)


@dataclass
class CommandLine:
    """`authsome` as a user starts it: a process with a home, a working folder and nobody at the terminal."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def project(self) -> Path:
        return self.root / "project"

    def environ(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        mine = {"HOME": str(self.root), "AUTHSOME_HOME": str(self.home), "USER": "tester"}
        return inherited | mine | self.env

    def start(self, *arguments: str, given: str | None = "") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [EXECUTABLE, *arguments],
            input=None if given is None else given.encode(),
            cwd=self.project,
            env=self.environ(),
            capture_output=True,
            start_new_session=True,  # no controlling terminal: nobody to ask
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str, given: str | None = "", reveals: bool = False) -> Done:
        """Run a command and return what it said, with the paths of this test made readable.

        A command that is not meant to reveal a secret fails the test when it does.
        """
        done = self.start(*arguments, given=given)
        if not reveals:
            assert not sings(done.stdout + done.stderr), f"`authsome {' '.join(arguments)}` leaked a canary"
        return Done(arguments, done.returncode, self._readable(done.stdout), self._readable(done.stderr))

    def _readable(self, output: bytes) -> str:
        return output.decode().replace(str(self.root), "~").replace("~/home", "~/.authsome")

    def login(self, provider: str, key: str, *more: str) -> None:
        done = self("login", provider, "--stdin", *more, given=key)
        assert done.code == 0, done

    def declare(self, text: str) -> Path:
        path = self.project / "authsome.yaml"
        path.write_text(text)
        return path


@pytest.fixture
def authsome(tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.project.mkdir()
    return line


@pytest.fixture(scope="session", autouse=True)
def _no_canary_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search every file that a test left behind, and the snapshots."""
    yield
    found = [*leaks(tmp_path_factory.getbasetemp()), *leaks(Path(__file__).parent / "__snapshots__")]
    assert not found, f"canaries in {', '.join(map(str, found))}"
