"""Who may become a member: public keys from outside, and the requests that carry them.

    <profile>/requests/<start of the SHA-256>.txt    a comment with the name, then the recipient

Anybody who can write to a repository can write a request: it is words and a key, and says nothing of whose they are.
Promises that a name cannot repaint a terminal or add a line to a list. Refuses a secret key where a public one belongs,
and never quotes it.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, clean, file_errors
from authsome.vault.age import bare, check_recipient, fingerprint
from authsome.vault.files import READ_ONLY_HINT, TamperedError, make_folder, read, refuse_links, replace
from authsome.vault.keyring import Member

FOLDER = "requests"
MAX_NAME = 64
_MAX_REQUEST = 16 << 10
_MAX_GIVEN = 1 << 20
_SECRET = re.compile(r"AGE-SECRET-KEY-|AGE-PLUGIN-[A-Z0-9+._-]+-1|-----BEGIN [A-Z ]*PRIVATE KEY-----", re.IGNORECASE)
_KEY = re.compile(r"age1[0-9a-z+._-]+|ssh-\S+\s.*")


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks to become a member."""

    path: Path
    name: str
    recipient: str

    @property
    def fingerprint(self) -> str:
        """What the person who asks has to tell in another way."""
        return fingerprint(self.recipient)


def tidy(name: str) -> str:
    """Return a name as it can stand in a list: one line, no control characters, not long."""
    return " ".join(clean(" ".join(name.split())).lstrip("# ").split())[:MAX_NAME].strip()


def candidates(given: str) -> tuple[Member, ...]:
    """Return whom a recipient, or a file of them, names; who has no name there has an empty one.

    Raises (exit code 2) if something in it is no recipient.
    """
    if _SECRET.search(given):
        raise AuthsomeError(
            "this is a secret key; to add somebody takes the public half",
            hint="it may be in your shell's history now: replace it, yours with `authsome identity rotate`; "
            "`age-keygen -y FILE` prints the public half",
            code=ExitCode.USAGE,
        )
    # NOTE: what reads like a key is one: a repository could hold a file of that name, with another key in it.
    if _KEY.fullmatch(given):
        found = parse(given, "the recipient")
    else:
        found = parse(_read_given(Path(given).expanduser()), given)
    for each in found:
        _checked(each.recipient)
    return found


def _checked(recipient: str) -> None:
    try:
        check_recipient(recipient)
    except AuthsomeError as error:
        raise AuthsomeError(error.message, hint=error.hint, code=ExitCode.USAGE) from None


def _read_given(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_GIVEN + 1)
    except OSError as error:
        raise AuthsomeError(
            f"`{str(path)[:80]}` is no recipient, and as a file it cannot be read: {(error.strerror or '').lower()}",
            hint="a recipient starts with age1 or ssh-; quote an ssh key, or give its .pub file",
            code=ExitCode.USAGE,
        ) from None
    if len(content) > _MAX_GIVEN:
        raise AuthsomeError(f"{path} is too large to be a list of recipients", code=ExitCode.USAGE)
    return content.decode(errors="replace")


def parse(text: str, origin: str) -> tuple[Member, ...]:
    """Return the members that a list names; a comment is the name of the key that follows it."""
    if _SECRET.search(text):
        raise AuthsomeError(
            f"{origin} holds a secret key; to add somebody takes the public half",
            hint="if it came to you, its owner has to replace it; `age-keygen -y FILE` prints the public half",
            code=ExitCode.USAGE,
        )
    found: dict[str, Member] = {}
    name = ""
    for line in (each.strip() for each in text.splitlines()):
        if line.startswith("#"):
            name = tidy(line)
        elif line:
            key = bare(line)
            comment = line.split(maxsplit=2)[2:] if line.startswith("ssh-") else []
            found.setdefault(key, Member(name or tidy("".join(comment)), key))
            name = ""
    if not found:
        raise AuthsomeError(f"{origin} names no recipient", hint="it is a line age1… or ssh-…", code=ExitCode.USAGE)
    return tuple(found.values())


def request_path(folder: Path, recipient: str) -> Path:
    """Return where the request for a key stands in a profile's folder."""
    digest = b64decode(fingerprint(recipient).removeprefix("SHA256:") + "=")
    return folder / FOLDER / f"{digest.hex()[:32]}.txt"


def write_request(folder: Path, name: str, recipient: str) -> Path:
    """Write a request, or leave it as it is, and return where it stands."""
    path = request_path(folder, recipient)
    refuse_links(path.parent)
    content = f"# {tidy(name)}\n{recipient}\n".encode()
    make_folder(path.parent)
    try:
        same = read(path) == content
    except FileNotFoundError:
        same = False
    if not same:
        replace(path, content)
    return path


def read_request(path: Path) -> Request:
    """Return a request, or raise (exit code 5) with why this is none."""
    try:
        content = read(path)
        asking = parse(content.decode(errors="replace") if len(content) <= _MAX_REQUEST else "", str(path))
        check_recipient(asking[0].recipient)
        expected = request_path(path.parents[1], asking[0].recipient)
    except TamperedError:
        raise
    except (AuthsomeError, FileNotFoundError, ValueError):
        raise TamperedError(path, "is not a request to become a member", hint=_HINT) from None
    if len(asking) > 1:
        raise TamperedError(path, f"asks for {len(asking)} keys, a request is for one", hint=_HINT)
    if expected != path:
        raise TamperedError(path, "is not named after the key in it", hint=_HINT)
    return Request(path, asking[0].name, asking[0].recipient)


def requests(folder: Path) -> Iterator[Request | TamperedError]:
    """Yield who asks to become a member of a profile, and what is wrong where that cannot be told."""
    place = folder / FOLDER
    refuse_links(place)
    if not place.is_dir():
        return
    with file_errors("read", place):
        paths = sorted(path for path in place.iterdir() if not path.name.startswith("."))
    for path in paths:
        try:
            yield read_request(path)
        except TamperedError as error:
            yield error


def drop(request: Request) -> None:
    """Forget a request."""
    with file_errors("delete", request.path, hint=READ_ONLY_HINT):
        request.path.unlink(missing_ok=True)


_HINT = "if nobody knows of it, delete the file"
