"""Where this user's identity is.

The places, in order: `--identity`, `AUTHSOME_IDENTITY`, `AUTHSOME_IDENTITY_FILE`, `AUTHSOME_IDENTITY_COMMAND`,
`<home>/identity.txt`, `~/.ssh/id_ed25519` if it is on the roster. Promises that on failure every place is named with
what was found there. Who names an identity means that one: the first of the four that is given decides, and the files
are not looked at. The keychain is asked for the passphrase of `identity.txt` alone, before a person is. Refuses a file
that others can read.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.vault.age import Identity, ssh_recipient
from authsome.vault.armor import FormError, is_age
from authsome.vault.files import make_folder, publish_new

ATTEMPTS = 3
"""How often a person may mistype a passphrase."""
FILE_NAME = "identity.txt"
_MAX_BYTES = 1 << 17


def _nobody(origin: str) -> str:
    raise AuthsomeError(
        f"{origin} is protected by a passphrase, and there is nobody to ask",
        hint="call it from a terminal, or give the identity another way, for example in AUTHSOME_IDENTITY_COMMAND",
        code=ExitCode.LOCKED,
    )


def _silence(line: str) -> None:
    del line


@dataclass(frozen=True, slots=True)
class Given:
    """What finding an identity takes beside the environment.

    Attributes:
        file: The file of `--identity`.
        ask: Returns the passphrase of what it is given the name of, or raises (exit code 4).
        say: Writes one line of talk.
        warn: Writes one line that nobody silences.
        files: Those of `home` and `ssh` that count, where none is given.
        recall: Returns the passphrase that a keychain holds for the content of `<home>/identity.txt`, see `Keychain`.
    """

    file: str | None = None
    ask: Callable[[str], str] = _nobody
    say: Callable[[str], None] = _silence
    warn: Callable[[str], None] = _silence
    files: Collection[str] = ("home", "ssh")
    recall: Callable[[bytes], str | None] | None = None

    def unattended(self) -> "Given":
        """Return the same with nobody to ask, neither a person nor a keychain that might ask one."""
        return replace(self, ask=_nobody, recall=None)


@dataclass(slots=True)
class Search:
    """The places for one opening, and what was found there so far.

    Attributes:
        members: Whom the profile lists; None if that does not show, and any key may be one.
        what: What is to be opened, in words.
        mend: What to do when no identity is found; else it depends on the members.
    """

    home: Path
    environ: Mapping[str, str]
    given: Given = field(default_factory=Given)
    members: Collection[str] | None = ()
    what: str = "this profile"
    mend: str | None = None
    _looked: list[tuple[str, str]] = field(default_factory=list)
    _failures: list[AuthsomeError] = field(default_factory=list)
    _place: str = ""

    def identities(self) -> Iterator[Identity]:
        """Yield the identity that was named, else those of the files, each when it is asked for."""
        named: str | None = None
        for place, value, reading in self._nameable():
            if named:
                self._looked.append((place, f"not looked at, {named} is given"))
            elif value:
                named = place
                yield from self._attempt(place, partial(reading, value))
            else:
                self._looked.append((place, "not given"))
        for kind, (path, own_reading) in self._files().items():
            if kind not in self.given.files:
                self._looked.append((str(path), "not looked at, the profile's preset counts only what is given"))
            elif named:
                self._looked.append((str(path), f"not looked at, {named} is given"))
            elif os.path.lexists(path):
                yield from self._attempt(str(path), own_reading)
            else:
                self._looked.append((str(path), "does not exist"))

    @property
    def named(self) -> str | None:
        """The place that somebody named, or None: then the files count."""
        return next((place for place, value, _ in self._nameable() if value), None)

    def _nameable(self) -> list[tuple[str, str | None, Callable[[str], Identity]]]:
        return [
            ("--identity", self.given.file, self._named_file),
            ("AUTHSOME_IDENTITY", self.environ.get("AUTHSOME_IDENTITY"), self._key),
            ("AUTHSOME_IDENTITY_FILE", self.environ.get("AUTHSOME_IDENTITY_FILE"), self._named_file),
            ("AUTHSOME_IDENTITY_COMMAND", self.environ.get("AUTHSOME_IDENTITY_COMMAND"), self._printed),
        ]

    def refuse(self, failure: AuthsomeError, identity: Identity) -> None:
        """Take note that an identity was found which does not open the profile."""
        self._failures.append(failure)
        self._looked.append((self._place, f"does not open {self.what} ({identity.recipient})"))

    def failure(self) -> AuthsomeError:
        """Return the error (exit code 4) that names every place."""
        message = "; ".join(each.message for each in self._failures)
        if not self._failures:
            message = f"no identity to open {self.what if self.mend else 'the vault'} with"
        otherwise = (
            "put the identity back where it was, or name that of another member (recipients.txt lists them)"
            if self.members
            else "authsome identity create; in CI set AUTHSOME_IDENTITY to the key"
        )
        mends = [each.hint for each in self._failures if each.hint] or [self.mend or otherwise]
        places = "".join(f"\n  {place}: {found}" for place, found in self._looked)
        return AuthsomeError(
            message, hint=f"{'; '.join(mends)}\nLooked at, in this order:{places}", code=ExitCode.LOCKED
        )

    def _files(self) -> dict[str, tuple[Path, Callable[[], Identity | None]]]:
        ssh = Path(self.environ.get("HOME", "~")).expanduser() / ".ssh" / "id_ed25519"
        return {"home": (self.home / FILE_NAME, self._own), "ssh": (ssh, partial(self._ssh, ssh))}

    def _attempt(self, place: str, reading: Callable[[], Identity | None]) -> Iterator[Identity]:
        self._place = place
        try:
            found = reading()
        except AuthsomeError as error:
            self._failures.append(error)
            self._looked.append((place, "cannot be used"))
            return
        if found:
            yield found

    def _key(self, key: str) -> Identity:
        return unlock(key.encode(), "AUTHSOME_IDENTITY", self.given.ask)

    def _named_file(self, name: str) -> Identity:
        return unlock(read_identity(Path(name).expanduser()), name, self.given.ask)

    def _printed(self, command: str) -> Identity:
        from authsome.vault import program  # noqa: PLC0415  it imports what a run would have to wait for

        printed = program.answer(command, self.environ, self.given.say)
        return unlock(printed, f"what {program.VARIABLE} printed", self.given.ask)

    def _own(self) -> Identity:
        def note(reason: str) -> None:
            self._looked.append(("the keychain", reason))

        return own(self.home, self.given.ask, recall=self.given.recall, note=note)

    def _ssh(self, path: Path) -> Identity | None:
        try:
            content = read_identity(path)
            public = ssh_recipient(content.decode(errors="replace"), str(path))
        except AuthsomeError as error:  # nobody named this key, so it is nobody's mistake
            self._looked.append((str(path), error.message))
            return None
        if self.members is not None and public not in self.members:
            self._looked.append((str(path), f"not a member of {self.what}"))
            return None
        _refuse_open_modes(path)
        return unlock(content, str(path), self.given.ask)


def find_home(environ: Mapping[str, str]) -> Path:
    """Return the folder that holds profiles, identity and the user's own definitions."""
    given = environ.get("AUTHSOME_HOME")
    return Path(given).expanduser().absolute() if given else Path.home() / ".authsome"


def find_identity(
    home: Path, environ: Mapping[str, str], given: Given | None = None, *, create: bool = False
) -> Identity:
    """Return this user's identity for a profile that is yet to be made.

    With `create` a missing `identity.txt` is made. Raises (exit code 4) with every place that was tried.
    """
    search = Search(home, environ, given or Given())
    if create and search.named is None and "home" in search.given.files and not os.path.lexists(home / FILE_NAME):
        make_folder(home / "providers")  # where `inspect NAME > …` puts definitions of one's own
        publish_new(home / FILE_NAME, Identity.generate(str(home / FILE_NAME)).file_text().encode())
    for identity in search.identities():
        return identity
    raise search.failure()


def own(
    home: Path,
    ask: Callable[[str], str],
    name: str = FILE_NAME,
    *,
    recall: Callable[[bytes], str | None] | None = None,
    note: Callable[[str], None] = _silence,
) -> Identity:
    """Return the identity of `<home>/identity.txt`, or raise (exit code 4).

    Args:
        recall: As in `Given`.
        note: Takes why that did not open it.
    """
    path = home / name
    content = read_identity(path)
    _refuse_open_modes(path)
    return unlock(content, str(path), ask, recall, note)


def _refuse_open_modes(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise AuthsomeError(f"others can read {path}", hint=f"chmod 600 {path}", code=ExitCode.LOCKED)


def unlock(
    content: bytes,
    origin: str,
    ask: Callable[[str], str],
    recall: Callable[[bytes], str | None] | None = None,
    note: Callable[[str], None] = _silence,
) -> Identity:
    """Return the identity in a file's content; if a passphrase protects it, ask the keychain and a person for that."""
    if not is_age(content):
        return Identity.parse(content.decode(errors="replace"), origin)
    from authsome.vault import passphrase  # noqa: PLC0415  cryptography takes a while to import

    try:
        passphrase.check(content)
        for given in _answers(content, origin, ask, recall, note):
            try:
                plain = passphrase.unprotect(content, given)
            except passphrase.WrongPassphraseError:
                continue
            return Identity.parse(plain.decode(errors="replace"), origin, protected=True)
    except FormError as error:
        raise AuthsomeError(f"{origin} {error}", hint=_form_hint(origin), code=ExitCode.LOCKED) from None
    raise AuthsomeError(
        f"the passphrase of {origin} was wrong {ATTEMPTS} times",
        hint=f"try it with `age -d {origin}`; without it, what only this identity opens stays closed",
        code=ExitCode.LOCKED,
    )


def _answers(
    content: bytes,
    origin: str,
    ask: Callable[[str], str],
    recall: Callable[[bytes], str | None] | None,
    note: Callable[[str], None],
) -> Iterator[str]:
    """Yield what may be the passphrase, the next one when it was not."""
    if recall:
        from authsome.vault.keychain import NoAnswerError  # noqa: PLC0415  most have no passphrase to look for

        try:
            remembered = recall(content)
        except NoAnswerError as error:
            note(error.reason)
        else:
            if remembered is not None:
                yield remembered
            note("does not hold the passphrase" if remembered is None else "what it holds is not the passphrase")
    for attempt in range(1, ATTEMPTS + 1):
        yield ask(origin if attempt == 1 else f"{origin}, once more: that was not it")


def _form_hint(origin: str) -> str:
    return f"see whether stock age opens it: age -d {origin}"


def read_identity(path: Path) -> bytes:
    """Return an identity file. Unlike a vault's file it may be a link or a pipe, as secret stores mount it."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise AuthsomeError(
            f"cannot read the identity {path}: {reason}", hint=f"ls -l {path}", code=ExitCode.LOCKED
        ) from error
    if len(content) > _MAX_BYTES:
        raise AuthsomeError(
            f"{path} is too large to be an identity", hint="name the identity's own file", code=ExitCode.LOCKED
        )
    return content
