"""Packages from npm, for tests that run them as the agent."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

type Install = Callable[[str], Path]


def npm_install(package: str, folder: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("there is no npm on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", package]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=90, cwd=folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot install {package} here")


def node_version(node: str) -> tuple[int, ...]:
    shown = subprocess.run([node, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    return tuple(int(part) for part in shown.strip().lstrip("v").split(".")[:2])


def npm_ci(folder: Path) -> None:
    """Install what the lock in a folder pins, unless that has been done; of several who want to, one does."""
    with (folder / "package-lock.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _npm_ci(folder)


def _npm_ci(folder: Path) -> None:
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    if not shutil.which("npm"):
        pytest.skip("there is no npm on this machine")
    command = ["npm", "ci", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=90, cwd=folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot install what {lock} pins here")
