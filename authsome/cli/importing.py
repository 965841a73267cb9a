"""`authsome import`: keys that lie about come into the vault, and placeholders take their place."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data, say, talk
from authsome.cli.places import Source, form_named, sources
from authsome.cli.stations import (
    again,
    agrees,
    confirm,
    intake,
    open_catalogue,
    open_project,
    open_vault,
    sealed,
    somebody,
    target,
)
from authsome.cli.voice import explain
from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.provider import check_name

if TYPE_CHECKING:
    from authsome.committed import Past
    from authsome.envfile import File
    from authsome.found import Finding, Wish
    from authsome.provider import Catalogue
    from authsome.screens.importing import Row
    from authsome.session import Intake, Verdict
    from authsome.vault import Folder, Vault

_Files = Annotated[list[Path] | None, Argument(metavar="[FILE]...", help="Files of `NAME=value` lines, or JSON.")]
_Env = Annotated[bool, Option("--env", help="Take them from the environment.")]
_Stdin = Annotated[bool, Option("--stdin", help="Read them from standard input.")]
_Command = Annotated[
    str | None,
    Option("--command", metavar="CMD", help="Run a program, without a shell, and take what it prints."),
]
_Form = Annotated[str, Option("--format", help="auto, dotenv, json or value (one key alone).")]
_Only = Annotated[list[str] | None, Option("--only", metavar="NAME", help="Look at this variable alone; repeatable.")]
_Provider = Annotated[str | None, Option("--provider", help="Whose the one key is, where that cannot be told.")]
_Account = Annotated[str | None, Option("--connection", help="Which of several accounts.")]
_Force = Annotated[bool, Option("--force", help="Replace keys that are held.")]
_Shared = Annotated[
    bool | None,
    Option("--shared/--no-shared", help="In the vault checked in with the project, or at home.", show_default=False),
]
_Check = Annotated[bool, Option("--check/--no-check", help="Show each key to its provider first.")]
_Yes = Annotated[bool, Option("--yes", help="Store what is certain without a question.")]
_Replace = Annotated[
    bool | None,
    Option(
        "--replace/--no-replace", help="Put placeholders into the file, once the keys are held.", show_default=False
    ),
]
_Dry = Annotated[bool, Option("--dry-run", "-n", help="Only say what would be done.")]


@dataclass(frozen=True, slots=True)
class _Way:
    """What was said of how to go about it."""

    force: bool
    yes: bool
    replace: bool | None
    dry: bool


@command("import")
def import_(
    settings: Settings,
    files: _Files = None,
    env: _Env = False,
    stdin: _Stdin = False,
    program: _Command = None,
    form: _Form = "auto",
    only: _Only = None,
    provider: _Provider = None,
    connection: _Account = None,
    force: _Force = False,
    shared: _Shared = None,
    check: _Check = True,
    yes: _Yes = False,
    replacing: _Replace = None,
    dry: _Dry = False,
) -> None:
    """Take keys from where they lie about into the vault.

    From `.env`, or the files that are named; from the environment, standard input or what a program prints. A key is
    known by its variable's name or by its beginning, and left out where the two disagree. Then offers to put
    placeholders into the file in place of the keys, and says where git's history still has them. Never shows a value.

    Example: authsome import .env
    """
    from authsome import found, isolation

    sealed("import")
    isolation.withhold()  # before there is a secret in this process
    catalogue = open_catalogue(settings)
    wish = found.Wish(
        frozenset(only or ()),
        catalogue.get(provider) if provider is not None else None,
        check_name(connection, "connection") if connection is not None else None,
    )
    found_in = sources(files or [], form_named(form), env=env, stdin=stdin, program=program)
    vault = open_vault(settings, project := open_project(settings, catalogue))
    declared = {variable: each.held_as for each in project.connections for variable in each.env}
    findings = _findings(found_in, catalogue, declared, wish)
    taking = intake(settings, check=check, shared=shared)
    folder = target(vault, shared=shared)
    _Work(settings, vault, folder, taking, _Way(force, yes, replacing, dry), found_in, findings).run()


def _findings(
    found_in: list[Source], catalogue: "Catalogue", declared: dict[str, tuple[str, str]], wish: "Wish"
) -> "list[Finding]":
    from authsome import found

    candidates = [each for source in found_in for each in source.candidates]
    findings = found.recognise(candidates, list(catalogue.usable()), declared, wish)
    if any(each.candidate.name is None and each.state is found.State.NOBODYS for each in findings):
        raise AuthsomeError(
            f"whose key {found_in[0].name} gives cannot be told", hint="say it: --provider NAME", code=ExitCode.USAGE
        )
    return findings


# What becomes of them.


@dataclass(slots=True)
class _Work:
    """One import, from what was found to what is said in the end."""

    settings: Settings
    vault: "Vault"
    folder: "Folder"
    taking: "Intake"
    way: _Way
    sources: list[Source]
    findings: "list[Finding]"
    rows: "list[Row]" = field(default_factory=list)
    code: int = ExitCode.DONE

    def run(self) -> None:
        """Ask, store, replace, look into git, and say what became of each."""
        from authsome import screens
        from authsome.found import ENVIRONMENT, State
        from authsome.screens import importing as screen

        strange = [each.candidate.shown for each in self.findings if each.state is State.NOBODYS]
        if self.sources[0].name == ENVIRONMENT:
            strange = []  # most of it is no key's
        self.findings = [each for each in self.findings if each.state is not State.NOBODYS]
        self.rows = [self._standing(each) for each in self.findings]
        self._decide()
        if not self.way.dry:
            self._store()
        problem = None if self.way.dry else self._replace()
        pasts = self._look_back()
        if self.settings.json:
            data(screens.as_json("import", **screen.imported_data(self.rows, strange, pasts, dry_run=self.way.dry)))
        else:
            data(screen.imported(self.rows, [each.name for each in self.sources], strange))
        self._advise(pasts)
        if problem:
            explain(problem, as_json=self.settings.json)
        if code := self._code(problem):
            raise Exit(code)

    def _standing(self, finding: "Finding") -> "Row":
        """Return how a value stands before anything is done; `ready` is what is to be stored."""
        from authsome.found import State, command
        from authsome.screens.importing import Row

        at = finding.candidate
        row = Row(at.shown, at.source, at.number, *finding.key, "ready", "would be stored")
        if finding.state is State.LEFT:
            return replace(row, result="left", words=finding.why, waits=finding.waits)
        if finding.state is State.DOUBT:
            return replace(row, result="left", words=f"in doubt: {finding.why}: {command(finding)}", waits=True)
        return self._compared(row, finding)

    def _compared(self, row: "Row", finding: "Finding") -> "Row":
        """Return it as held if it is, as left out if something else is held that should stay."""
        try:
            entry = self.folder.read(*finding.key)
        except AuthsomeError as error:
            if error.code is not ExitCode.INTEGRITY:
                raise
            return self._failed(row, error)
        if entry is None:
            return row
        same = entry.fields == _fields(finding)
        if same and not finding.owner.filled(entry.shown(finding.owner)).beyond(entry.hosts):
            return replace(row, result="held", words="already held")
        if self.way.force:
            return row
        why = "held for fewer hosts: --force agrees to all" if same else "another key is held: --force replaces it"
        return replace(row, result="left", words=why, waits=True)

    def _failed(self, row: "Row", error: AuthsomeError) -> "Row":
        self.code = self.code or error.code
        return replace(row, result="failed", words=error.message, waits=True)

    def _decide(self) -> None:
        """Have a person say what is to be stored; what is in doubt one by one."""
        from authsome.found import State
        from authsome.screens import counted, importing as screen

        if self.way.dry or self.way.yes:
            return
        doubts = [place for place, each in enumerate(self.findings) if each.state is State.DOUBT]
        asked = doubts if somebody(self.settings, self.vault.profile) else []
        if asked or any(row.result == "ready" for row in self.rows):
            say(screen.rows(self.rows).rstrip())
        for place in asked:
            each = self.findings[place]
            if self._agrees(f"{each.candidate.shown}: {each.why}. Is it for {each.target}?"):
                self.findings[place] = replace(each, state=State.KEY)
                self.rows[place] = self._standing(self.findings[place])
        ready = {each.key: each for each, row in zip(self.findings, self.rows, strict=True) if row.result == "ready"}
        for each in ready.values():
            say(f"{each.target} may be sent to: {', '.join(each.owner.host_names)}")
        if ready:
            question = f"Store {counted(len(ready), 'key')} in {self.folder.path}?"
            confirm(self.settings, self.vault.profile, question, "say --yes; to see what it would do: --dry-run")

    def _agrees(self, question: str) -> bool:
        return bool(agrees(self.settings, self.vault.profile, question))

    def _store(self) -> None:
        """Store what is ready, each at once; one that fails costs no other anything."""
        done: dict[tuple[str, str], Row] = {}
        for place, (each, row) in enumerate(zip(self.findings, self.rows, strict=True)):
            if row.result != "ready":
                continue
            if each.key not in done:
                done[each.key] = self._stored(each, row)
                talk(self.settings, f"{each.target}: {done[each.key].said}")
            same = done[each.key]
            self.rows[place] = replace(
                row, result=same.result, words=same.words, waits=same.waits, checked=same.checked
            )

    def _stored(self, finding: "Finding", row: "Row") -> "Row":
        try:
            verdict = self._kept(finding)
        except AuthsomeError as error:
            why = f"{error.message.rstrip('.')}: {' '.join(error.hint.split())}" if error.hint else error.message
            if error.code is ExitCode.REFUSED:
                return replace(row, result="refused", words=why, waits=True, checked=False)
            if error.code in (ExitCode.USAGE, ExitCode.MISSING):
                return replace(row, result="left", words=why, waits=True)
            if error.code is ExitCode.LOCKED:
                raise
            return self._failed(row, error)
        return replace(row, result="stored", words=verdict.stored, checked=verdict.good)

    def _kept(self, finding: "Finding") -> "Verdict":
        """Store a key; what only a person can decide is asked where there is one."""
        from authsome import session

        accepted: set[str] = set()
        while True:
            try:
                return session.keep(
                    self.vault,
                    finding.owner,
                    finding.connection,
                    finding.candidate.value,
                    self.taking,
                    accepted,
                )
            except Doubt as doubt:
                about = f"{doubt.message.rstrip('.')}: {doubt.hint}" if doubt.hint else doubt.message
                if self.way.yes or not self._agrees(f"{finding.candidate.shown}: {about}. {doubt.offer}?"):
                    raise
                accepted.add(doubt.word)

    # The files they came from.

    def _replace(self) -> AuthsomeError | None:
        """Put placeholders where keys were that are held; return what kept a file from it."""
        from authsome.screens import counted

        places = {source.name: self._replaceable(source) for source in self.sources if source.file}
        count = sum(map(len, places.values()))
        if not count or self.way.replace is False or (self.way.yes and self.way.replace is None):
            return None
        names = ", ".join(name for name, found in places.items() if found)
        question = f"Replace {counted(count, 'value')} in {names} by placeholders? No copy is kept."
        if self.way.replace is None and not self._agrees(question):
            return None
        problem = None
        for source in self.sources:
            if source.file and places[source.name]:
                try:
                    self._rewrite(source.file, places[source.name])
                except AuthsomeError as error:
                    problem = error
        return problem

    def _replaceable(self, source: Source) -> list[int]:
        """Return the rows of a file whose key is held, and can be read back."""
        return [
            place
            for place, (each, row) in enumerate(zip(self.findings, self.rows, strict=True))
            if each.candidate.source == source.name
            and each.candidate.index is not None
            and row.held
            and (entry := self.folder.read(*each.key))
            and entry.fields == _fields(each)
        ]

    def _rewrite(self, file: "File", places: list[int]) -> None:
        from authsome import envfile

        lines = envfile.parse(file.text)
        values = {
            index: _stand_in(self.findings[place])
            for place in places
            if (index := self.findings[place].candidate.index) is not None
        }
        text = envfile.replaced(file.text, lines, values)
        file.write(text)
        for place in places:
            self.rows[place] = replace(self.rows[place], replaced=True)
        for each, row in zip(self.findings, self.rows, strict=True):
            value = each.candidate.value
            if row.source == str(file.path) and row.held and value in text:
                number = text.count("\n", 0, text.index(value)) + 1
                say(f"The value of {row.variable} still stands in {file.path}, line {number}.")

    def _look_back(self) -> "dict[str, Past | None]":
        """Return what git has of each file, and note of each key since when."""
        from authsome import committed

        pasts: dict[str, Past | None] = {}
        for source in self.sources:
            if source.path is None:
                continue
            places = [
                place
                for place, (each, row) in enumerate(zip(self.findings, self.rows, strict=True))
                if each.candidate.source == source.name and row.result not in ("left", "failed")
            ]
            values = [self.findings[place].candidate.value.strip().encode() for place in places]
            past = pasts[source.name] = committed.search(source.path, values, say) if values else None
            for number, commit in (past.since if past else {}).items():
                self.rows[places[number]] = replace(self.rows[places[number]], since=commit)
        return pasts

    # What is said in the end.

    def _advise(self, pasts: "dict[str, Past | None]") -> None:
        from authsome.screens import importing as screen

        for name, past in pasts.items():
            rewritten = any(row.replaced and row.source == name for row in self.rows)
            if past and past.tracked and not rewritten:
                say(f"{name} is tracked by git: the next commit has its keys.")
            if past and past.staged and rewritten:
                say(f"The keys are still staged; to stage the placeholders: git add {shlex.quote(name)}")
            if past and not past.whole:
                say(f"Not all of the history of {name} could be looked through.")
        told = set()
        for each, row in zip(self.findings, self.rows, strict=True):
            if row.since and each.key not in told:
                told.add(each.key)
                where = f" at {each.owner.keys_url}" if each.owner.keys_url else ""
                say(f"Git's history has the key of {each.target} since {screen.commit(row.since)}.")
                say(f"  Whoever has a clone has it: end it{where}, and log in with a new one: {self._anew(each)}")
        self._advise_on_places()
        if any(row.replaced for row in self.rows):
            talk(self.settings, "No copy was kept. What reads the placeholders has to be run by `authsome run`.")
        if not self.folder.own and any(row.result == "stored" for row in self.rows):
            talk(self.settings, f"All members of {self.folder.path} have them once they are checked in.")

    def _advise_on_places(self) -> None:
        """Say where keys are still in the clear, and how they go."""
        from authsome.found import ENVIRONMENT

        for source in self.sources:
            kept = [row for row in self.rows if row.source == source.name and row.held and not row.replaced]
            if not kept:
                continue
            if source.name == ENVIRONMENT:
                names = " ".join(row.variable for row in kept)
                talk(self.settings, f"They are still in the environment of this shell: unset {names}")
            elif source.path and source.file is None:
                talk(self.settings, f"{source.name} still has them; only files of `NAME=value` lines are rewritten.")
            elif source.path and self.way.yes and self.way.replace is None:
                anew = f"authsome import {shlex.quote(source.name)} --replace{again(self.settings)}"
                talk(self.settings, f"{source.name} still has them; to put placeholders there: {anew}")

    def _anew(self, finding: "Finding") -> str:
        from authsome.manifest import login_command

        return f"{login_command(*finding.key)} --force{again(self.settings)}"

    def _code(self, problem: AuthsomeError | None) -> int:
        if any(row.result == "refused" for row in self.rows):
            return ExitCode.REFUSED
        waits = any(row.waits for row in self.rows)
        return self.code or (problem.code if problem else 0) or (ExitCode.MISSING if waits else ExitCode.DONE)


def _stand_in(finding: "Finding") -> str:
    """Return what an agent holds in a key's place."""
    owner = finding.owner.filled(_fields(finding))
    return owner.stand_in(finding.connection, owner.key.name)


def _fields(finding: "Finding") -> dict[str, str]:
    """Return a key as it would be stored, secret; nothing if it could not be."""
    from authsome.session import of_key

    try:
        return of_key(finding.owner, finding.candidate.value.rstrip())
    except AuthsomeError:
        return {}
