"""A project in git that two people work on: real clones, real merges."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from authsome.provider import Catalogue
from authsome.vault import Identity, Vault, find_identity, roster
from authsome.vault.keyring import change_roster
from conftest import EXECUTABLE, CommandLine

PROFILE = Path(".authsome") / "profiles" / "default"


class Clone(CommandLine):
    """A person's machine: a home, an identity, and a clone of the project in which `authsome` and git are run."""

    def git(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["git", "-c", "user.name=tester", "-c", "user.email=tester@example.com", *words],
            cwd=self.project,
            env=self.environ() | {"PATH": f"{EXECUTABLE.parent}:{os.environ['PATH']}", "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not ok or done.returncode == 0, done
        return done

    @property
    def identity(self) -> Identity:
        return find_identity(self.home, {"HOME": str(self.root)}, create=True)

    @property
    def vault(self) -> Vault:
        """The vault as a new process would open it."""
        return Vault(self.home, "default", {"HOME": str(self.root)}, project=self.project)

    @property
    def folder(self) -> Path:
        return self.project / PROFILE

    def entry(self, provider: str, connection: str) -> Path:
        return self.folder / "connections" / provider / f"{connection}.age"

    def put(self, provider: str, connection: str, key: str, now: float = 0.0) -> None:
        definition = Catalogue(self.home).get(provider)
        self.vault.write(definition, connection, {definition.fields[0].name: key}, now, shared=True)

    def drop(self, provider: str, connection: str) -> None:
        assert self.vault.place(shared=True).delete(provider, connection)

    def held(self) -> Mapping[tuple[str, str], str]:
        """Open every entry; return the secrets by name."""
        shared = self.vault.shared
        assert shared
        entries = {name: shared.read(*name) for name in shared.names()}
        return {name: "".join(entry.fields.values()) for name, entry in entries.items() if entry}

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def merge(self, other: "Clone") -> list[str]:
        """Merge the other's branch; return the files in conflict, relative to the profile."""
        self.git("fetch", "-q", str(other.project), "HEAD")
        done = self.git("merge", "-q", "--no-edit", "FETCH_HEAD", ok=False)
        unmerged = self.git("diff", "--name-only", "--diff-filter=U").stdout.split()
        assert (done.returncode == 0) == (not unmerged), done
        return sorted(str(Path(each).relative_to(PROFILE)) for each in unmerged)

    def admit(self, member: "Clone") -> None:
        named = {"name": member.root.name, "recipient": member.identity.recipient}
        change_roster(self.folder, "default", self.identity, lambda roster: [*roster, named])

    def remove(self, member: "Clone") -> None:
        """Remove a member, so that the profile gets new keys."""
        shared = self.vault.shared
        assert shared
        roster.remove(shared, member.root.name, now=0.0)

    def trust(self) -> None:
        shared = self.vault.shared
        assert shared
        shared.accept(shared.unchecked())


def shared_project(root: Path) -> Clone:
    """Return a member's machine with a project in git."""
    first = Clone(root)
    first.project.mkdir(parents=True)
    first.declare("version: 1\n")
    first.git("init", "-q", "-b", "main")
    return first


def clone(first: Clone, root: Path) -> Clone:
    """Admit another member, and return their machine with a clone of what is then committed."""
    other = Clone(root)
    root.mkdir()
    first.admit(other)
    first.commit(f"{root.name} is a member")
    first.git("clone", "-q", str(first.project), str(other.project))
    other.trust()
    return other
