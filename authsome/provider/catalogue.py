"""All definitions there are, by name."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from authsome import documents
from authsome.documents import Document, Where
from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.provider.definition import Definition
from authsome.provider.mistakes import MistakeError
from authsome.provider.names import NAME, check_name
from authsome.provider.patterns import hosts_in
from authsome.provider.reading import resolve
from authsome.provider.resolved import Provider


class Source(StrEnum):
    """Where a definition was found."""

    BUNDLED = "bundled"
    PROJECT = "project"
    CUSTOM = "custom"


class Catalogue:
    """All definitions there are, by name; a file is read when somebody asks for it and not before.

    The user's own count before the project's, and those before the bundled ones.

    Args:
        home: Without one there are no definitions of the user's own.
        project: The folder in which a project brings its own, if it does.
        trusts: Raises for a definition of the project that nobody has agreed to.
        shown: Whether such a one is returned all the same, to be shown: without its patterns, which must not judge a
            value, and without its link for keys, which a person would follow.
    """

    def __init__(
        self,
        home: Path | None,
        project: Path | None = None,
        trusts: Callable[[Provider], None] | None = None,
        *,
        shown: bool = False,
    ) -> None:
        own = ((Source.CUSTOM, home / "providers"),) if home else ()
        theirs = ((Source.PROJECT, project),) if project else ()
        self._folders = (*own, *theirs, (Source.BUNDLED, bundled("providers")))
        self._trusts, self._shown = trusts, shown
        self._loaded: dict[str, Provider] = {}

    def usable(self) -> "Iterator[Provider]":
        """Yield every provider whose definition is without a mistake."""
        for name in self.names():
            with suppress(AuthsomeError):
                yield self.get(name)

    def names(self) -> dict[str, Source]:
        """Return every provider's name and where its definition stands, sorted."""
        found: dict[str, Source] = {}
        for source, folder in reversed(self._folders):
            if folder.is_dir():
                found |= dict.fromkeys((path.stem for path in folder.glob("*.json")), source)
        return dict(sorted(found.items()))

    def find(self, name: str) -> tuple[Source, Path]:
        """Return where a provider is defined; an unknown name is an error (exit code 2) with the nearest one."""
        check_name(name, "provider")
        for source, folder in self._folders:
            path = folder / f"{name}.json"
            # NOTE: a pipe, a folder or a link to nowhere hides the bundled one, too: somebody meant another definition.
            if os.path.lexists(path):
                return source, path
        known = self.names()
        raise AuthsomeError(
            f"there is no provider `{name}`",
            hint=did_you_mean(name, known, "see them all with `authsome list --available`"),
            code=ExitCode.USAGE,
        )

    def get(self, name: str) -> Provider:
        """Return a provider; a definition that is wrong is an error (exit code 6) with file and line."""
        if name not in self._loaded:
            source, path = self.find(name)
            provider = load(path)
            self._loaded[name] = self._trusted(provider) if source is Source.PROJECT else provider
        return self._loaded[name]

    def _trusted(self, provider: Provider) -> Provider:
        """Return a definition of the project, or what of it can be shown; raise if nothing can be."""
        if self._trusts:
            try:
                self._trusts(provider)
            except AuthsomeError:
                if not self._shown:
                    raise
            else:
                return provider
        elif not self._shown:
            return provider
        # NOTE: an agent can bring a definition along. Its pattern would tell it, question by question, what a key is.
        fields = tuple(replace(each, pattern=None) for each in provider.fields)
        return replace(provider, fields=fields, keys_url=None)


def load(path: Path) -> Provider:
    """Return the provider in a definition file that is called as it; raise (exit code 6) with file and line."""
    document = documents.read_json(path)
    ours = path.parent == bundled("providers")
    provider = read(document, ours=ours)
    if provider.name != path.stem:
        raise document.error(("name",), f"is named `{provider.name}` inside")
    return provider


def read(document: Document, *, ours: bool = False) -> Provider:
    """Return the provider of a definition file, or raise (exit code 6) with file and line.

    Args:
        ours: As for `resolve`.
    """
    definition = documents.shape(Definition, document)
    try:
        return resolve(definition, ours=ours)
    except MistakeError as error:
        raise document.error(error.where, str(error), _instead(definition, error.where)) from error


_EXPRESSION = "regex:"


def _instead(definition: Definition, where: Where) -> str | None:
    """Return the line to write in place of an expression for hosts: those it can only mean, or those that we know."""
    given = (definition.host_url,) if isinstance(definition.host_url, str) else definition.host_url
    if where[0] != "host_url" or not any(each.startswith(_EXPRESSION) for each in given):
        return None
    exact: list[str] = []
    for each in given:
        found = hosts_in(each.removeprefix(_EXPRESSION)) if each.startswith(_EXPRESSION) else (each,)
        exact += found or _known(definition.name)
    if exact:
        return f'write: "host_url": {json.dumps(list(dict.fromkeys(exact)))}'
    return 'write each host exactly: "host_url": ["api1.example.com", "api2.example.com"]'


def _known(name: str) -> tuple[str, ...]:
    """Return the hosts of a definition that comes with the program."""
    path = bundled("providers") / f"{name}.json"
    return tuple(map(str, load(path).hosts)) if NAME.fullmatch(name) and path.is_file() else ()


def bundled(folder: str) -> Path:
    """Return a folder of data that ships with the program: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
