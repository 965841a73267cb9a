"""`authsome providers`: find definitions, write one, and hear what is wrong with one."""

import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data, group, say, talk
from authsome.cli.stations import (
    again,
    home,
    manifest_name,
    open_trust,
    profile_name,
    sealed,
    show_catalogue,
    somebody,
    working_folder,
)
from authsome.errors import AuthsomeError, ExitCode, clean, did_you_mean

if TYPE_CHECKING:
    from authsome.lint import Known, Report
    from authsome.provider import Catalogue, Provider
    from authsome.sketch import Sketch

_of = partial(command, of=group("providers", "Find definitions, write one, check one."))
_STDIN = "-"


@_of("search")
def search(
    settings: Settings,
    words: Annotated[list[str], Argument(metavar="WORD...", help="A name, a host, a variable, what it is for.")],
) -> None:
    """Find providers by name, host, variable, package or purpose.

    Looks through your definitions, the project's and the bundled ones. What is found fits every word; the best is
    first. Ends with 3 if there is none.

    Example: authsome providers search vector database
    """
    from authsome import screens
    from authsome.screens import providers as screen
    from authsome.search import find, topics

    catalogue = show_catalogue(settings)
    sources = catalogue.names()
    asked = " ".join(words)
    hits = [(hit, sources[hit.provider.name]) for hit in find(asked, _loading(catalogue))]
    if not hits:
        hint = did_you_mean(asked.lower(), [*sources, *sorted(topics())])
        raise AuthsomeError(
            f"nothing is known of `{asked}`",
            hint=f"{hint} If not, write a definition: {_NEW}" if hint else f"write a definition: {_NEW}",
            code=ExitCode.MISSING,
        )
    data(screens.as_json("providers_found", providers=screen.found_data(hits)) if settings.json else screen.found(hits))


_NEW = "authsome providers new"


def _loading(catalogue: "Catalogue") -> "Iterable[Provider]":
    """Yield all providers; one that is wrong is said and hides no other."""
    for name in catalogue.names():
        try:
            yield catalogue.get(name)
        except AuthsomeError as error:
            say(clean(f"Left out: {error.message}"))


@_of("lint")
def lint(
    settings: Settings,
    files: Annotated[list[str], Argument(metavar="FILE...", help="Definitions, JSON; `-` for standard input.")],
    strict: Annotated[bool, Option("--strict", help="End with 6 for warnings, too.")] = False,
) -> None:
    """Say what is wrong with definitions, and what is unwise.

    An error is what keeps a definition from being loaded; a warning is what loads and could be better. Ends with 6 if
    there is an error. Nothing is registered.

    Example: authsome providers lint acme.json
    """
    from authsome import screens
    from authsome.lint import Severity
    from authsome.screens import providers as screen

    gone = next((each for each in files if each != _STDIN and not os.path.lexists(each)), None)
    if gone is not None:
        raise AuthsomeError(f"there is no file {gone}", hint="authsome providers lint --help", code=ExitCode.USAGE)
    known, folders = _known(settings), _folders(settings)
    reports = [_report(each, known, folders) for each in dict.fromkeys(files)]
    answer = screen.linted_data(reports)
    data(screens.as_json("providers_linted", files=answer) if settings.json else screen.linted(reports))
    if any(each.count(Severity.ERROR) or (strict and each.findings) for each in reports):
        raise Exit(ExitCode.INVALID)


def _known(settings: Settings) -> "Known":
    """Return what a definition is compared with."""
    from authsome.lint import Known
    from authsome.provider import Catalogue

    return Known(tuple(show_catalogue(settings).usable()), frozenset(Catalogue(None).names()))


def _folders(settings: Settings) -> frozenset[Path]:
    """Return where definitions are loaded from, and so have to be called like their provider."""
    from authsome.provider import bundled

    trust = open_trust(settings)
    folders = (home() / "providers", bundled("providers"), *([trust.definitions] if trust else []))
    return frozenset(each.absolute() for each in folders)


def _report(file: str, known: "Known", folders: frozenset[Path]) -> "Report":
    from authsome import documents, lint
    from authsome.provider import bundled

    path = Path("standard input" if file == _STDIN else file)
    folder = path.absolute().parent
    if folder == bundled("providers").absolute():  # it does not take its own place
        known = replace(known, bundled=frozenset())
    try:
        text = _given() if file == _STDIN else documents.read_text(path)
    except AuthsomeError as error:
        return lint.unread(path, error)
    return lint.check(path, text, known, loaded=folder in folders)


def _given() -> str:
    import sys

    from authsome import documents

    if sys.stdin is None or sys.stdin.closed:
        raise AuthsomeError("standard input is closed", hint="pipe the definition in", code=ExitCode.USAGE)
    return documents.decoded(Path("standard input"), sys.stdin.buffer.read(documents.MAX_BYTES + 1))


# A new one.


@_of("new")
def new(
    settings: Settings,
    name: Annotated[str | None, Argument(metavar="[NAME]", help="What to call it, for example `acme`.")] = None,
    host: Annotated[str | None, Option("--host", metavar="HOST", help="The API's host, or any address on it.")] = None,
    header: Annotated[str | None, Option("--header", help="The header that carries the key.")] = None,
    prefix: Annotated[str | None, Option("--prefix", metavar="WORD", help="What stands before the key there.")] = None,
    basic: Annotated[
        str | None, Option("--basic", metavar="USER:PASSWORD", help="HTTP Basic; `{api_key}` stands for the key.")
    ] = None,
    query: Annotated[str | None, Option("--query", help="The parameter of the query that carries the key.")] = None,
    env: Annotated[str | None, Option("--env", help="The variable that programs read; `-` for none.")] = None,
    pattern: Annotated[str | None, Option("--pattern", metavar="REGEX", help="What a whole key looks like.")] = None,
    hint: Annotated[str | None, Option("--hint", metavar="TEXT", help="The same in words.")] = None,
    keys_url: Annotated[str | None, Option("--keys-url", metavar="URL", help="Where a person gets a key.")] = None,
    test_url: Annotated[
        str | None, Option("--test-url", metavar="URL", help="What answers 200 to a good key, 401 to a bad one.")
    ] = None,
    project: Annotated[bool, Option("--project", help="Put it beside authsome.yaml, to be checked in.")] = False,
    force: Annotated[bool, Option("--force", help="Replace the definition that there is.")] = False,
) -> None:
    """Write a definition for a service with one key.

    Asks what the options leave out; without a terminal they have to say name and host. Of an address that is pasted
    only the host is kept. The key itself is never asked for: that is what `authsome login` does.

    Example: authsome providers new acme --host api.acme.example --header X-Api-Key
    """
    sealed("providers new")
    given = {"name": name, "host": host, "header": header, "prefix": prefix, "basic": basic, "query": query, "env": env}
    given |= {"pattern": pattern, "hint": hint, "keys_url": keys_url, "test_url": test_url}
    folder = _folder(settings, project=project)
    asking = somebody(settings, profile_name(settings))
    form = _Form(partial(_free, folder, force=force), {key: text for key, text in given.items() if text is not None})
    made = form.filled(asking=asking)
    _write(settings, made, folder / f"{made.name}.json", project=project, force=force)


def _folder(settings: Settings, *, project: bool) -> Path:
    """Return where the definition goes."""
    from authsome import manifest
    from authsome.trust import FOLDER

    if not project:
        return home() / "providers"
    path = manifest.find(working_folder(), manifest_name(settings))
    if path is None:
        raise AuthsomeError(
            f"there is no {manifest.FILE_NAME} here, and a project's definition counts for one only",
            hint="write one: authsome init",
            code=ExitCode.INVALID,
        )
    folder = path.parent / FOLDER / "providers"
    for each in (folder.parent, folder):
        if os.path.lexists(each) and (each.is_symlink() or not each.is_dir()):
            raise AuthsomeError(f"{each} is no folder", hint=f"look what it is: ls -ld {each}", code=ExitCode.USAGE)
    return folder


def _free(folder: Path, name: str, *, force: bool) -> str:
    """Return a name that a definition can be written under, or raise `ValueError`."""
    from authsome import sketch

    path = folder / f"{sketch.name(name)}.json"
    if os.path.lexists(path) and not force:
        raise ValueError(f"there is {path} already; --force replaces it")
    return name


_WAYS = """How does it take the key?
  1  in the header `Authorization: Bearer KEY`
  2  in another header, such as `X-Api-Key: KEY`
  3  with HTTP Basic
  4  in the query, such as `?api_key=KEY`"""
_OPTIONAL = " (may be left out): "


@dataclass(slots=True)
class _Form:
    """The questions, and what is known of the answers.

    Attributes:
        free: Returns a name that can be taken, or raises `ValueError`.
        given: What the options say; each is looked at before the first question.
    """

    free: Callable[[str], str]
    given: dict[str, str]

    def filled(self, *, asking: bool) -> "Sketch":
        """Return the definition; raise (exit code 3) if something is missing and nobody is to be asked."""
        from authsome.sketch import Sketch, missing, variable

        known = self._looked_at()
        for what, field in (("the name", "name"), ("the address of its API", "host")):
            if field not in known and not asking:
                raise missing(what, f"{_NEW} {known.get('name', 'acme')} --host api.acme.example")
        if asking:
            self._ask(known)
        if known.setdefault("env", variable(known["name"])) == "-":
            del known["env"]
        if "test_url" in known:
            known["test_url"] = _option("test_url", partial(_tested, known["host"]), known["test_url"])
        return Sketch(**known)

    def _looked_at(self) -> dict[str, str]:
        ways = [f"--{each}" for each in ("header", "basic", "query") if each in self.given]
        if len(ways) > 1 or (ways and ways != ["--header"] and "prefix" in self.given):
            named = " and ".join([*ways, *(["--prefix"] if "prefix" in self.given and len(ways) == 1 else [])])
            raise AuthsomeError(f"{named} exclude each other", hint=f"{_NEW} --help", code=ExitCode.USAGE)
        readers = _readers() | {"name": self.free}
        return {field: _option(field, readers[field], text) for field, text in self.given.items()}

    def _ask(self, known: dict[str, str]) -> None:
        """Ask for what is not known."""
        from authsome.sketch import variable

        readers = _readers() | {"name": self.free}

        def ask(field: str, prompt: str, proposal: str | None = None, *, needed: bool = True) -> None:
            if field not in known:
                answer = _answer(prompt, readers[field], proposal, needed=needed)
                known.update({field: answer} if answer else {})

        ask("name", "Name, as commands will say it (for example acme): ")
        ask("host", "Address of its API (for example https://api.acme.example/v1): ")
        say(f"The key will go to {known['host']} and to no other host.")
        if not {"header", "prefix", "basic", "query"} & known.keys():
            self._ask_way(ask)
        proposed = variable(known["name"])
        ask("env", f"Variable that programs read, - for none [{proposed}]: ", proposed)
        ask("keys_url", f"Page where a person gets a key{_OPTIONAL}", needed=False)
        readers["test_url"] = partial(_tested, known["host"])
        ask("test_url", f"Address that answers 200 to a good key and 401 to a bad one{_OPTIONAL}", needed=False)

    def _ask_way(self, ask: Callable[..., None]) -> None:
        say(_WAYS)
        way = _answer("Number [1]: ", _way, "1")
        if way == "2":
            ask("header", "Name of the header: ")
            ask("prefix", f"Word before the key there{_OPTIONAL}", needed=False)
        elif way == "3":
            ask("basic", "User name and password, with {api_key} for the key [{api_key}:]: ", "{api_key}:")
        elif way == "4":
            ask("query", "Name of the parameter: ")


def _way(given: str) -> str:
    if given not in ("1", "2", "3", "4"):
        raise ValueError("that is none of the numbers")
    return given


def _readers() -> dict[str, Callable[[str], str]]:
    """Return what reads an answer to each question, or raises `ValueError` with what is wrong with it."""
    from authsome import sketch

    def env(given: str) -> str:
        return given if given == "-" else sketch.env(given)

    readers: dict[str, Callable[[str], str]] = {"host": sketch.host, "header": sketch.header, "prefix": sketch.prefix}
    readers |= {"basic": sketch.basic, "query": sketch.query, "env": env, "pattern": sketch.pattern}
    return readers | {"hint": str, "keys_url": sketch.link, "test_url": str}


def _tested(host: str, given: str) -> str:
    from authsome import sketch

    return sketch.test_url(given, host)


def _option(field: str, read: Callable[[str], str], given: str) -> str:
    """Return an option's value as it goes into the file."""
    try:
        return read(given)
    except ValueError as error:
        named = "the name" if field == "name" else f"--{field.replace('_', '-')}"
        raise AuthsomeError(f"{named}: {error}", hint=f"{_NEW} --help", code=ExitCode.USAGE) from error


def _answer(prompt: str, read: Callable[[str], str], proposal: str | None = None, *, needed: bool = True) -> str:
    """Return what somebody types; ask again if it is wrong, `ATTEMPTS` times in all."""
    from authsome import bridge

    for attempt in range(1, bridge.ATTEMPTS + 1):
        given = bridge.typed(prompt) or proposal or ""
        if not given and not needed:
            return ""
        try:
            return read(given) if given else _nothing()
        except ValueError as error:
            if attempt == bridge.ATTEMPTS:
                raise AuthsomeError(
                    str(error), hint=f"nothing was written; {_NEW} --help", code=ExitCode.USAGE
                ) from error
            say(f"Error: {error}")
    raise AssertionError("unreachable")


def _nothing() -> str:
    raise ValueError("this is needed")


def _write(settings: Settings, made: "Sketch", path: Path, *, project: bool, force: bool) -> None:
    """Put the definition in place, and say what it permits, what is unwise about it and what comes next."""
    from authsome import grants, lint, screens
    from authsome.screens import definition, providers as screen

    report = lint.check(path, made.text, _known(settings), loaded=True)
    if report.provider is None:  # two answers that do not go together
        first = report.findings[0]
        raise AuthsomeError(first.message, hint=f"nothing was written; {_NEW} --help", code=ExitCode.USAGE)
    permits = grants.of(report.provider)
    replaced = _put(path, made.text, project=project, force=force)
    talk(settings, definition.permits(made.name, permits, None).rstrip("\n"))
    if settings.json:
        where = {"provider": made.name, "path": str(path), "source": "project" if project else "custom"}
        said = {"permits": list(permits), "findings": screen.findings(report.findings)}
        data(screens.as_json("providers_written", **where, replaced=replaced, **said))
    else:
        data(f"Wrote {made.name}: {path}\n")
    if report.findings:
        talk(settings, screen.remarks(report.findings).rstrip("\n"))
    login = f"authsome login {made.name}{again(settings)}"
    talk(settings, f"Next: authsome trust, then: {login}" if project else f"Next: {login}")


def _put(path: Path, text: str, *, project: bool, force: bool) -> bool:
    """Write a file in one step; return whether it replaced one."""
    from authsome.errors import file_errors
    from authsome.vault.files import drafted, make_folder

    if project:
        with file_errors("create", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
    else:
        make_folder(path.parent)
    there = os.path.lexists(path)
    with drafted(path, text.encode()) as draft:
        if project:
            draft.chmod(0o644)
        if force:
            draft.replace(path)
        else:
            try:
                path.hardlink_to(draft)
            except FileExistsError:  # since the question
                again = f"{_NEW} {shlex.quote(path.stem)} --force"
                raise AuthsomeError(f"there is {path} already", hint=again, code=ExitCode.USAGE) from None
    return there
