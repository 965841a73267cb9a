"""What a person does with the identity of this machine, `<home>/identity.txt`.

Promises that it is never lost: one that is replaced is kept beside it, and killed at any moment a rotation leaves an
identity that opens every profile and can be taken up again. The keychain is kept in step: it learns a passphrase before
the file that takes it is in place, and forgets one when its file is gone. Refuses to make a new one in the place of one
that a profile needs.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.vault import keyring
from authsome.vault.age import Identity
from authsome.vault.armor import is_age
from authsome.vault.files import locked, make_folder, publish_new, replace, sync_folder
from authsome.vault.identity import FILE_NAME, own, read_identity
from authsome.vault.keychain import Keychain, NoAnswerError

_NEXT = "identity.next.txt"
_FORMER = "identity.former-{}.txt"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did.

    Attributes:
        former: The recipient that is no longer a member, None if there was only an interrupted rotation to end.
        kept: Where the former identity is kept.
        profiles: Those that the new identity opens.
    """

    identity: Identity
    former: str | None
    kept: Path | None
    profiles: tuple[str, ...]


def opened_by(home: Path, recipient: str) -> tuple[str, ...]:
    """Return the profiles of the home that list a recipient."""
    return tuple(name for name in _profiles(home) if recipient in keyring.members(home / "profiles" / name))


def create(home: Path, passphrase: str | None, *, force: bool) -> Identity:
    """Make `identity.txt`, with `force` in the place of one that no profile of the home needs."""
    path = home / FILE_NAME
    make_folder(home / "providers")  # where `inspect NAME > …` puts definitions of one's own
    identity = Identity.generate(str(path))
    with locked(home):
        check_free(home, force=force)
        content = _content(identity, passphrase)
        if os.path.lexists(path):
            _keep(path)
            replace(path, content)
        else:
            publish_new(path, content)  # a first login, which takes no lock for it, may have been faster
    made = own(home, lambda _: passphrase or "")
    if made.recipient != identity.recipient:
        raise _taken(path)
    return made


def check_free(home: Path, *, force: bool) -> None:
    """Raise (exit code 2) if there is an identity that `create` would not replace."""
    path = home / FILE_NAME
    if not os.path.lexists(path):
        return
    if not force:
        raise _taken(path)
    _required(home)
    content = read_identity(path)
    needing = _profiles(home)
    if not is_age(content):
        with suppress(AuthsomeError):  # what an unusable one opens cannot be told, so it may be any
            needing = opened_by(home, Identity.parse(content.decode(errors="replace"), str(path)).recipient)
    if needing:
        raise AuthsomeError(
            f"a new identity would lock you out of the profile{'s' if len(needing) > 1 else ''} {', '.join(needing)}",
            hint=f"authsome identity rotate; or, if the identity is of no use any more: mv {path} {path}.old",
            code=ExitCode.USAGE,
        )


def _taken(path: Path) -> AuthsomeError:
    return AuthsomeError(
        f"there is an identity already: {path}",
        hint="`authsome identity show` shows it, `authsome identity rotate` replaces it everywhere",
        code=ExitCode.USAGE,
    )


def _required(home: Path) -> None:
    """Refuse to change what is not there, or lies elsewhere."""
    path = home / FILE_NAME
    if not os.path.lexists(path):
        raise AuthsomeError(f"there is no {path}", hint="authsome identity create", code=ExitCode.LOCKED)
    if path.is_symlink():
        # NOTE: writing would put a file in the link's place, and leave the key readable where it leads.
        raise AuthsomeError(
            f"{path} is a symbolic link, and the key lies elsewhere",
            hint=f"change it there, or put the file itself here: cp --remove-destination {path.readlink()} {path}",
            code=ExitCode.USAGE,
        )


def protect(
    home: Path,
    ask: Callable[[str], str],
    new: Callable[[], str],
    keychain: Keychain | None = None,
    *,
    remember: bool = False,
) -> Identity:
    """Put `identity.txt` under a passphrase, or under another one; without `remember` the keychain forgets it.

    Args:
        new: Returns the passphrase to be.
    """
    _required(home)
    if keychain and remember:
        keychain.ready()
    identity, _ = _opened(home, ask, keychain)
    passphrase = new()
    _rewrite(home, identity, passphrase, keychain, remember=remember)
    return own(home, lambda _: passphrase)


def unprotect(home: Path, ask: Callable[[str], str], keychain: Keychain | None = None) -> Identity:
    """Store `identity.txt` in the clear again."""
    _required(home)
    identity, _ = _opened(home, ask, keychain)
    if not identity.protected:
        return identity
    _rewrite(home, identity, None, keychain)
    return own(home, ask)


def in_keychain(home: Path, identity: Identity, keychain: Keychain) -> bool | None:
    """Return whether the keychain holds the passphrase of an identity, None if it does not say."""
    if not identity.protected or identity.origin != str(home / FILE_NAME):
        return False
    try:
        return keychain.recall(read_identity(home / FILE_NAME)) is not None
    except NoAnswerError as error:
        return False if error.code is ExitCode.USAGE else None


def _opened(home: Path, ask: Callable[[str], str], keychain: Keychain | None) -> tuple[Identity, str | None]:
    """Return `identity.txt` and the passphrase that opened it, or raise with what the keychain had to say."""
    given: list[str] = []
    notes: list[str] = []

    def asking(origin: str) -> str:
        given.append(ask(origin))
        return given[-1]

    def recalling(content: bytes) -> str | None:
        remembered = keychain.recall(content) if keychain else None
        given.extend([remembered] if remembered else [])
        return remembered

    try:
        identity = own(home, asking, recall=recalling if keychain else None, note=notes.append)
    except AuthsomeError as error:
        found = "".join(f"; the keychain: {note}" for note in notes)
        raise AuthsomeError(f"{error.message}{found}", hint=error.hint, code=error.code) from None
    return identity, given[-1] if identity.protected else None


def _rewrite(
    home: Path, identity: Identity, passphrase: str | None, keychain: Keychain | None, *, remember: bool = False
) -> None:
    path = home / FILE_NAME
    content = _content(identity, passphrase)
    with locked(home):
        before = read_identity(path)
        if keychain and passphrase and remember:
            keychain.remember(content, passphrase)
        try:
            replace(path, content)
        except AuthsomeError:
            if keychain and remember and read_identity(path) == before:
                keychain.drop(content)
            raise
        if keychain and is_age(before) and keychain.drop(before):
            keychain.say("The keychain has forgotten the former passphrase.")


def rotate(home: Path, ask: Callable[[str], str], keychain: Keychain | None = None) -> Rotation:
    """Replace the identity on this machine and on the roster of each profile of the home.

    Both are members until the new one has opened every profile and is in place; only then the old one is dropped.
    """
    _required(home)
    with locked(home):
        old, passphrase = _opened(home, ask, keychain)
        if ended := _end(home, old):
            _forget_former(home, passphrase, keychain)
            return Rotation(old, None, None, ended)
        path, draft = home / FILE_NAME, home / _NEXT
        new = _next(draft, passphrase)
        if keychain and passphrase:
            _teach(home, old, read_identity(draft), passphrase, keychain)
        profiles = opened_by(home, old.recipient)
        for name in profiles:  # all of them, before anything is changed
            keyring.open_keyring(home / "profiles" / name, name, old)
        for name in profiles:
            keyring.change_roster(home / "profiles" / name, name, old, lambda each: _admitted(each, old, new))
        for name in profiles:
            keyring.open_keyring(home / "profiles" / name, name, new)
        kept = _keep(path)
        draft.replace(path)
        sync_folder(home)
        _end(home, new)
        in_place = own(home, lambda _: passphrase or "")
        _forget_former(home, passphrase, keychain)
    return Rotation(in_place, old.recipient, kept, profiles)


def _teach(home: Path, old: Identity, content: bytes, passphrase: str, keychain: Keychain) -> None:
    """Have a keychain that opens the old file open the one to be."""
    known = in_keychain(home, old, keychain)
    if known:
        keychain.remember(content, passphrase)
    if known is None:
        keychain.say(
            "authsome: the keychain does not answer, so it does not learn of the new identity; "
            "if it knew the old one: authsome identity protect --keychain"
        )


def _forget_former(home: Path, passphrase: str | None, keychain: Keychain | None) -> None:
    """Have the keychain forget what it knows of former files if it is the passphrase of the one in place."""
    if keychain is None or passphrase is None:
        return
    for path in home.glob(_FORMER.format("*")):
        content = read_identity(path)
        with suppress(NoAnswerError):  # whoever rotates again tries again
            if is_age(content) and keychain.recall(content) == passphrase:
                keychain.drop(content)


def _next(draft: Path, passphrase: str | None) -> Identity:
    """Return the identity to be, from a rotation that was interrupted or anew, once it is safely on disk."""
    publish_new(draft, _content(Identity.generate(str(draft)), passphrase))

    def again(origin: str) -> str:
        if passphrase is None:
            raise AuthsomeError(
                f"{origin} is left from a rotation under a passphrase that was taken away since",
                hint="put the identity under that passphrase again: authsome identity protect",
                code=ExitCode.LOCKED,
            )
        return passphrase

    return own(draft.parent, again, draft.name)


def _admitted(roster: list[dict[str, str]], old: Identity, new: Identity) -> list[dict[str, str]]:
    """Return a roster with the new identity beside the old one, which is marked as leaving."""
    leaving = next(each for each in roster if keyring.recipient(each) == old.recipient)
    # The third is from a rotation whose new identity somebody deleted before it was in place.
    changing = (old.recipient, new.recipient, leaving.get("replaced_by"))
    rest = [each for each in roster if keyring.recipient(each) not in changing]
    arriving = {"name": leaving["name"], "recipient": new.recipient}
    return [*rest, leaving | {"replaced_by": new.recipient}, arriving]


def _end(home: Path, new: Identity) -> tuple[str, ...]:
    """Drop whom `new` replaced from every roster, and return the profiles where somebody was left to drop."""
    ended = []
    for name in opened_by(home, new.recipient):
        folder = home / "profiles" / name
        if keyring.change_roster(folder, name, new, lambda roster: _remaining(roster, new)):
            ended.append(name)
    return tuple(ended)


def _remaining(roster: list[dict[str, str]], new: Identity) -> list[dict[str, str]]:
    return [each for each in roster if each.get("replaced_by") != new.recipient]


def _content(identity: Identity, passphrase: str | None) -> bytes:
    """Return what to write for an identity, after having read it back."""
    text = identity.file_text().encode()
    if passphrase is None:
        return text
    from authsome.vault import passphrase as sealing  # noqa: PLC0415  cryptography takes a while to import

    content = sealing.protect(text, passphrase, os.urandom)
    if sealing.unprotect(content, passphrase) != text:
        raise AuthsomeError("what was encrypted does not decrypt, nothing was written", code=ExitCode.INTEGRITY)
    return content


def _keep(path: Path) -> Path:
    """Give an identity file a second name, made of its content, that a new one does not take."""
    kept = path.with_name(_FORMER.format(sha256(path.read_bytes()).hexdigest()[:8]))
    if not kept.exists():
        kept.hardlink_to(path)
        sync_folder(path.parent)
    return kept


def _profiles(home: Path) -> tuple[str, ...]:
    folders = (home / "profiles").glob("*/")
    return tuple(sorted(folder.name for folder in folders if not folder.name.startswith(".")))
