"""Programs that a test needs, and is skipped without."""

import shutil

import pytest

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="the program `age` is not installed")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="the program `git` is not installed")
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="the program `ssh-keygen` is not installed")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="the program `strace` is not installed")
