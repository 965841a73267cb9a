"""A definition of the user's own, from a file into the catalogue.

Promises that what is put in place is a definition that loads, byte for byte the one that was shown, in one step and
readable by its user alone. Refuses a definition that is wrong, and one whose name no file can have.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from authsome import grants, provider
from authsome.documents import parse_json, read_text
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue, Provider, Source, check_name
from authsome.vault.files import make_folder, replace


@dataclass(frozen=True, slots=True)
class Candidate:
    """A definition that could be registered."""

    text: str
    provider: Provider

    @property
    def permits(self) -> tuple[str, ...]:
        """What it would permit, in words."""
        return grants.of(self.provider)


@dataclass(frozen=True, slots=True)
class Known:
    """The definition that counts so far.

    Attributes:
        provider: None if the file is wrong.
    """

    source: Source
    path: Path
    text: str
    provider: Provider | None

    @property
    def permits(self) -> tuple[str, ...]:
        """What it permits, in words; nothing if the file is wrong."""
        return grants.of(self.provider) if self.provider else ()


def read(origin: Path, text: str) -> Candidate:
    """Return the definition that a text holds, or raise (exit code 6) with `origin` and the line."""
    document = parse_json(origin, text)
    found = provider.read(document)
    try:
        check_name(found.name, "provider")
    except AuthsomeError as error:
        raise document.error(("name",), error.message, error.hint) from error
    return Candidate(text, found)


def known(catalogue: Catalogue, name: str) -> Known | None:
    """Return the definition of that name that counts so far."""
    if name not in catalogue.names():
        return None
    source, path = catalogue.find(name)
    try:
        text = read_text(path)
    except AuthsomeError as error:
        if error.code is not ExitCode.INVALID:
            raise
        return Known(source, path, "", None)
    try:
        return Known(source, path, text, catalogue.get(name))
    except AuthsomeError:
        return Known(source, path, text, None)


def rivals(catalogue: Catalogue, candidate: Candidate) -> Iterator[tuple[str, list[str]]]:
    """Yield the other providers that claim one of its hosts or variables, and which; one run cannot use both."""
    mine = candidate.provider
    for other in catalogue.usable():
        shared = sorted({*mine.host_names} & {*other.host_names}) + sorted({*mine.env} & {*other.env})
        if shared and other.name != mine.name:
            yield other.name, shared


def path(home: Path, name: str) -> Path:
    """Return where the definition of that name is put."""
    return home / "providers" / f"{name}.json"


def store(home: Path, candidate: Candidate) -> Path:
    """Put a definition in place."""
    target = path(home, candidate.provider.name)
    make_folder(target.parent)
    replace(target, candidate.text.encode())
    return target
