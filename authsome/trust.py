"""What a project would be permitted beyond the catalogue, and whether somebody on this machine has agreed to it.

Promises that a definition of the project's own counts only while it permits exactly what a person has seen, that a
manifest's `base_url`, `scrub: off`, `isolation: off` and a wider `egress` wait for the same, and that the record of it
lies in the home, where the repository cannot write. Refuses to take a record that it cannot read for none.

    <home>/trust/<digest of the repository and the manifest's place in it>.json
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from authsome import grants, manifest
from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.manifest import Manifest
from authsome.provider import DEFAULT_CONNECTION, NAME, Provider, load
from authsome.vault.files import TamperedError, locked, make_folder, read, replace

VARIABLE = "AUTHSOME_TRUST_PIN"
FOLDER = ".authsome"
"""Beside the manifest: what a project brings along."""

_DIGEST = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ANY_HOST = "every host"
_MAX_POINTER = 4096
_MAX_SENTENCE = 1000


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a project asks for beyond the catalogue, as sentences; two that differ in effect differ in their sentences.

    Attributes:
        definitions: Provider → what its definition in the project permits.
        manifest: What the manifest takes away of what protects the user.
        egress: The undeclared hosts that the agent may reach; `every host` where none is refused.
    """

    definitions: Mapping[str, tuple[str, ...]]
    manifest: tuple[str, ...]
    egress: tuple[str, ...]

    @property
    def digest(self) -> str:
        """`SHA256:` and the digest of all of it in base64: what AUTHSOME_TRUST_PIN takes."""
        text = json.dumps(self.plain(), sort_keys=True)
        return "SHA256:" + b64encode(sha256(text.encode()).digest()).decode().rstrip("=")

    @property
    def subjects(self) -> tuple[str, ...]:
        """What needs trust: each provider with a definition of the project's, and the manifest if it takes away."""
        return (*self.definitions, *((manifest.FILE_NAME,) if self.manifest else ()))

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return {
            "definitions": {name: list(sentences) for name, sentences in sorted(self.definitions.items())},
            "manifest": sorted(self.manifest),
            "egress": sorted(self.egress),
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """What is new and what is gone of one thing that needs trust.

    Attributes:
        subject: The provider, `authsome.yaml`, or `egress`.
        against: What it is, or is compared with.
    """

    subject: str
    against: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...] = ()


class Trust:
    """The record for one manifest; `AUTHSOME_TRUST_PIN` stands above it.

    Args:
        path: The manifest.
    """

    def __init__(self, home: Path, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._named = environ.get(VARIABLE, "").replace(",", " ").split()
        with file_errors("find", path):
            self.place = _place(path.resolve())
        self.record = home / "trust" / f"{sha256(os.fsencode(self.place)).hexdigest()[:32]}.json"
        self.definitions = path.parent / FOLDER / "providers"

    def check_definition(self, definition: Provider) -> None:
        """Raise (exit code 7) unless what a definition of the project permits is what was agreed to."""
        if self._named:
            # NOTE: what was loaded counts; the files may have been others a moment ago, and others again now.
            if self._check_named().definitions.get(definition.name) != grants.of(definition):
                raise self._changing(self.definitions / f"{definition.name}.json")
            return
        known = self._read()
        accepted = known.definitions.get(definition.name) if known else None
        if accepted == grants.of(definition):
            return
        what = "has changed since it was trusted" if accepted is not None else "is not trusted on this machine yet"
        raise self._untrusted(f"the project's own definition of {definition.name} {what}")

    def check_manifest(self, found: Manifest) -> None:
        """Raise (exit code 7) unless what a manifest takes away, or opens, was agreed to."""
        wanted = _of_manifest(found)
        if self._named:
            now = self._check_named()
            if (now.manifest, now.egress) != (wanted, _of_egress(found)):
                raise self._changing(self._path)
            return
        known = self._read()
        if new := tuple(each for each in wanted if known is None or each not in known.manifest):
            raise self._untrusted(f"{self._path}: {new[0]}, which nobody on this machine has agreed to")
        if known and (new := _beyond(_of_egress(found), known.egress)):
            raise self._untrusted(f"{self._path}: `egress` opens more than was agreed to: {', '.join(new)}")

    def note(self, found: Manifest) -> None:
        """Remember an `egress` that refuses something, so that one which opens more is noticed.

        Where nobody may write, nobody can be told the next time.
        """
        if found.egress.default == "deny" and not self._named:
            with suppress(AuthsomeError):
                if self._read() is None:
                    self._write(Wishes({}, (), _of_egress(found)))

    def wishes(self) -> Wishes:
        """Return what the project asks for now; a mistake in a file is an error (exit code 6) with file and line."""
        found, document = manifest.read(self._path)
        manifest.check_names(found, document)
        return Wishes(dict(self._definitions()), _of_manifest(found), _of_egress(found))

    def differences(self, wishes: Wishes, bundled: Callable[[str], Provider | None]) -> Iterator[Difference]:
        """Yield what of it was not agreed to yet, in comparison with what was, else with the bundled definition."""
        known = None if self.damaged else self._read()
        for name, now in wishes.definitions.items():
            if known and name in known.definitions:
                yield from _difference(name, "since it was trusted", now, known.definitions[name])
            elif shipped := bundled(name):
                against = "in place of the definition that comes with authsome"
                yield from _difference(name, against, now, grants.of(shipped), always=True)
            else:
                yield from _difference(name, "a definition of the project's own", now, (), always=True)
        if known is None or set(wishes.manifest) - set(known.manifest):
            before = known.manifest if known else ()
            yield from _difference(manifest.FILE_NAME, "which takes away what protects you", wishes.manifest, before)
        if known and (new := _beyond(wishes.egress, known.egress)):
            gone = tuple(each for each in known.egress if each not in wishes.egress)
            yield Difference("egress", "which opens more than was agreed to", new, gone)

    @property
    def damaged(self) -> bool:
        """Whether what was agreed to can no longer be read."""
        try:
            self._read()
        except TamperedError:
            return True
        return False

    def accept(self, wishes: Wishes) -> None:
        """Agree to all of it."""
        self._write(wishes)

    def _write(self, wishes: Wishes) -> None:
        make_folder(self.record.parent)
        content = {"version": 1, "place": self.place, **wishes.plain()}
        with locked(self.record.parent):
            replace(self.record, json.dumps(content, indent=1).encode() + b"\n")

    def _read(self) -> Wishes | None:
        try:
            content = read(self.record)
        except FileNotFoundError:
            return None
        try:
            return _shaped(json.loads(content))
        except (ValueError, TypeError, KeyError, AttributeError):
            hint = "look at what the project would be permitted, and accept it anew: authsome trust"
            raise TamperedError(self.record, "is damaged, so what was agreed to is not known", hint=hint) from None

    def _check_named(self) -> Wishes:
        """Return all that the project asks for, if it is what the variable names."""
        for each in self._named:
            if not _DIGEST.fullmatch(each):
                raise AuthsomeError(
                    f"{VARIABLE} holds something that is no digest of a project",
                    hint="it is SHA256: and 43 characters, as `authsome trust` prints it",
                    code=ExitCode.UNTRUSTED,
                )
        wishes = self.wishes()
        if (digest := wishes.digest) not in self._named:
            raise AuthsomeError(
                f"the project asks for other things than {VARIABLE} names: "
                f"expected {' or '.join(self._named)}, found {digest}",
                hint=f"look at them with `authsome trust`, and then set {VARIABLE}={digest}",
                code=ExitCode.UNTRUSTED,
            )
        return wishes

    def _definitions(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        if self.definitions.is_dir():
            for path in sorted(self.definitions.glob("*.json")):
                sentences = grants.of(load(path))
                if not NAME.fullmatch(path.stem):
                    raise AuthsomeError(f"{path} is not named like a provider", code=ExitCode.INVALID)
                if wrong := next((each for each in sentences if len(each) > _MAX_SENTENCE), None):
                    # NOTE: the others would leave the screen before it ends.
                    start = f"`{wrong[:40]}…`"
                    raise AuthsomeError(f"{path}: nobody reads a text so long: {start}", code=ExitCode.INVALID)
                yield path.stem, sentences

    def _changing(self, path: Path) -> AuthsomeError:
        return self._untrusted(f"{path} changed while it was read")

    def _untrusted(self, what: str) -> AuthsomeError:
        return AuthsomeError(
            what,
            hint="see what it would be permitted, and accept it or not: authsome trust",
            code=ExitCode.UNTRUSTED,
        )


def _difference(
    subject: str, against: str, now: tuple[str, ...], before: tuple[str, ...], *, always: bool = False
) -> Iterator[Difference]:
    added = tuple(each for each in now if each not in before)
    removed = tuple(each for each in before if each not in now)
    if added or removed or always:
        yield Difference(subject, against, added, removed, tuple(each for each in now if each in before))


def _of_manifest(found: Manifest) -> tuple[str, ...]:
    """Return what a manifest takes away, whoever wrote it."""
    sentences = []
    for name, entry in found.providers.items():
        if entry is None:
            continue
        accounts = entry.connections or {DEFAULT_CONNECTION: None}
        for connection, account in accounts.items():
            if address := (account and account.base_url) or entry.base_url:
                full = manifest.full_name(name, connection)
                sentences.append(f"`base_url`: {full} is asked for, and used, at {json.dumps(address)}")
            if ((account and account.scrub) or entry.scrub) == "off":
                full = manifest.full_name(name, connection)
                sentences.append(f"`scrub: off`: answers to {full} reach the agent unread")
    if found.isolation == "off":
        sentences.append("`isolation: off`: nothing is kept from the agent but what the proxy keeps")
    return tuple(sentences)


def _of_egress(found: Manifest) -> tuple[str, ...]:
    return (_ANY_HOST,) if found.egress.default == "allow" else tuple(sorted(set(found.egress.allow)))


def _beyond(now: tuple[str, ...], accepted: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is reached now and was not before."""
    return () if _ANY_HOST in accepted else tuple(each for each in now if each not in accepted)


def _shaped(found: dict[str, Any]) -> Wishes:
    if found["version"] != 1:
        raise ValueError
    definitions = {str(name): tuple(map(str, sentences)) for name, sentences in found["definitions"].items()}
    return Wishes(definitions, tuple(map(str, found["manifest"])), tuple(map(str, found["egress"])))


def _place(path: Path) -> str:
    """Return what stands for a manifest on this machine: the same in all worktrees of a repository."""
    for top in path.parents:
        if common := _git_folder(top):
            return f"{common}\n{path.relative_to(top)}"
    return str(path)


def _git_folder(top: Path) -> Path | None:
    """Return the folder that all worktrees of a repository share, by gitrepository-layout(5); None without git.

    NOTE: git itself is not asked, the repository's settings could have it run something. A pointer counts only if the
    repository points back to it: anybody can write one, and would have what was agreed to somewhere else.
    """
    own = top / ".git"
    if own.is_dir():
        return own
    with suppress(OSError, ValueError, RuntimeError):  # it may hold anything, and lead in a circle
        found = _pointer(own)
        if found.startswith("gitdir: "):
            folder = (top / found.removeprefix("gitdir: ")).resolve()
            common, back = _pointer(folder / "commondir"), _pointer(folder / "gitdir")
            shared = common and back and (folder / back).resolve() == own.resolve()
            return (folder / common).resolve() if shared else own
    return None


def _pointer(path: Path) -> str:
    """Return what leads to another folder, nothing where there is no such file."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8") as file:
        return file.read(_MAX_POINTER).strip()
