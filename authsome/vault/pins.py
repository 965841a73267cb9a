"""What this machine knows of the profiles it has opened: the fingerprint of each, and how new its entries were.

Promises that a profile whose keys are not those that were accepted does not open, and that an entry which is older than
one seen here is told of. Age does not say who wrote a file: whoever knows a public key can put a whole profile in the
place of another. Refuses to take a record that it cannot read for none.

    <home>/pins/<digest of the folder's path>.json
    <home>/seen/<vault id>/<provider>/<connection>    the highest generation
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.vault.files import TamperedError, locked, make_folder, read, replace
from authsome.vault.keyring import Keyring

VARIABLE = "AUTHSOME_VAULT_PIN"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True)
class Pin:
    """The profile that was accepted at a place.

    Attributes:
        coming: The fingerprints it gets by a removal of a member on this machine, in their order.
    """

    place: str
    vault_id: str
    epoch: int
    fingerprint: str
    coming: tuple[str, ...] = ()


class Pins:
    """The records of one home; `AUTHSOME_VAULT_PIN` stands above them."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._named = environ.get(VARIABLE, "")

    def check(self, folder: Path, keys: Keyring, *, own: bool) -> None:
        """Raise unless the profile in a folder is the one that was accepted for it.

        Args:
            own: It lies in the home, where the first one seen is accepted.
        """
        if self._named:
            self._check_named(folder, keys)
            return
        pin = self._read(folder)
        if pin is None:
            if newest := self._later(keys):
                raise _another(folder, newest, keys)
            if not own and not self._known(keys.fingerprint):
                raise _untrusted(folder, keys)
            self._note(folder, None, keys)
        elif pin.fingerprint == keys.fingerprint:
            return
        elif keys.fingerprint in pin.coming or self._newer(pin, keys):
            self._note(folder, pin, keys, _after(keys.fingerprint, pin.coming))
        else:
            raise _another(folder, pin, keys)

    def knows(self, folder: Path, keys: Keyring, *, own: bool) -> bool:
        """Whether a profile is the one that was accepted for a folder, here or by the variable; see `check`."""
        if self._named:
            return keys.fingerprint in self._fingerprints()
        try:
            pin = self._read(folder)
        except TamperedError:
            return False
        if pin is None:
            return self._later(keys) is None and (own or self._known(keys.fingerprint))
        return keys.fingerprint in (pin.fingerprint, *pin.coming) or self._newer(pin, keys)

    def accept(self, folder: Path, keys: Keyring) -> bool:
        """Take a profile for the one that belongs in a folder; return False if it was already."""
        with self._held():
            return self._write(folder, keys, ())

    def expect(self, folder: Path, keys: Keyring, *coming: Keyring) -> None:
        """Have the keyrings pass that a removal of a member is about to write, after the one that is there.

        NOTE: before the first of them is there: whoever is cut short in between must not find the door locked.
        """
        with self._held():
            self._write(folder, keys, tuple(each.fingerprint for each in coming))

    def _note(self, folder: Path, seen: Pin | None, keys: Keyring, coming: tuple[str, ...] = ()) -> None:
        """Write what a reader saw, unless somebody has written since: readers take no lock on the folder.

        Where nobody may write, nobody can be told the next time.
        """
        with suppress(AuthsomeError), self._held():
            if self._read(folder) == seen:
                self._write(folder, keys, coming)

    @contextmanager
    def _held(self) -> Iterator[None]:
        place = self._home / "pins"
        make_folder(place)
        with locked(place):
            yield

    def _write(self, folder: Path, keys: Keyring, coming: tuple[str, ...]) -> bool:
        pin = Pin(
            _octets(folder).decode("utf-8", "surrogateescape"), keys.vault_id, keys.epoch, keys.fingerprint, coming
        )
        with suppress(TamperedError):
            if self._read(folder) == pin:
                return False
        replace(self._path(folder), json.dumps({"version": 1, **asdict(pin)}).encode() + b"\n")
        return True

    def places(self) -> list[Path]:
        """Return where the profiles lie that were accepted on this machine."""
        return sorted(Path(os.fsdecode(pin.place.encode("utf-8", "surrogateescape"))) for pin in self._all())

    def newest(self, keys: Keyring, provider: str, connection: str) -> int:
        """Return the highest generation of an entry that was seen here, 0 if none was."""
        try:
            return int(self._seen(keys, provider, connection).read_bytes())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError):  # it only ever warns, and the next generation is written anew
            return 0

    def saw(self, keys: Keyring, provider: str, connection: str, generation: int) -> None:
        """Remember a generation, where that can be done."""
        path = self._seen(keys, provider, connection)
        with suppress(AuthsomeError):
            make_folder(path.parent)
            replace(path, b"%d\n" % generation)

    def _fingerprints(self) -> list[str]:
        return self._named.replace(",", " ").split()

    def _check_named(self, folder: Path, keys: Keyring) -> None:
        named = self._fingerprints()
        for each in named:
            if not _FINGERPRINT.fullmatch(each):
                raise AuthsomeError(
                    f"{VARIABLE} holds something that is no fingerprint of a profile",
                    hint="it is SHA256: and 43 characters, as `authsome profile show` prints it",
                    code=ExitCode.USAGE,
                )
        if keys.fingerprint not in named:
            raise TamperedError(
                folder,
                f"is not the profile that {VARIABLE} names: expected {' or '.join(named)}, found {keys.fingerprint}",
                hint=f"{_LEGITIMATE}, and then set {VARIABLE}={keys.fingerprint}",
            )

    def _newer(self, pin: Pin, keys: Keyring) -> bool:
        """Whether keys were accepted, or made, at another place of this machine, where a member was removed."""
        return keys.vault_id == pin.vault_id and keys.epoch > pin.epoch and self._known(keys.fingerprint)

    def _known(self, fingerprint: str) -> bool:
        """Whether a profile was accepted at another place of this machine: a second clone needs no second word."""
        return any(pin.fingerprint == fingerprint for pin in self._all())

    def _later(self, keys: Keyring) -> Pin | None:
        """Return the pin of later keys of the same profile.

        NOTE: a clone that nobody has looked into since still has the former ones for right. They must not make a new
        clone of a repository pass that was rolled back to before a removal.
        """
        return next((pin for pin in self._all() if pin.vault_id == keys.vault_id and pin.epoch > keys.epoch), None)

    def _all(self) -> Iterator[Pin]:
        for path in (self._home / "pins").glob("*.json"):
            with suppress(AuthsomeError, FileNotFoundError):
                yield _parse(path)

    def _read(self, folder: Path) -> Pin | None:
        try:
            return _parse(self._path(folder))
        except FileNotFoundError:
            return None

    def _path(self, folder: Path) -> Path:
        return self._home / "pins" / f"{sha256(_octets(folder)).hexdigest()[:32]}.json"

    def _seen(self, keys: Keyring, provider: str, connection: str) -> Path:
        return self._home / "seen" / keys.vault_id / provider / connection


_LEGITIMATE = "if a member made it so, compare the fingerprint with theirs (`authsome profile show`)"


def _after(fingerprint: str, coming: tuple[str, ...]) -> tuple[str, ...]:
    return coming[coming.index(fingerprint) + 1 :] if fingerprint in coming else ()


def _octets(folder: Path) -> bytes:
    """Return where a folder is, as the file system has it: the same in every locale."""
    with file_errors("find", folder):
        return os.fsencode(folder.resolve())


def _parse(path: Path) -> Pin:
    content = read(path)
    try:
        found: dict[str, Any] = json.loads(content)
        coming = tuple(map(str, found.get("coming", ())))
        return Pin(found["place"], found["vault_id"], found["epoch"], found["fingerprint"], coming)
    except (ValueError, TypeError, KeyError):
        raise TamperedError(
            path, "is damaged, so what was accepted is not known", hint=f"{_LEGITIMATE}, then: authsome trust"
        ) from None


def _untrusted(folder: Path, keys: Keyring) -> AuthsomeError:
    return AuthsomeError(
        f"the project's vault {folder} is not trusted on this machine yet ({keys.fingerprint})",
        hint=f"look at it and accept it: authsome trust --profile {keys.profile}; "
        f"where nobody can: {VARIABLE}={keys.fingerprint}",
        code=ExitCode.UNTRUSTED,
    )


def _another(folder: Path, pin: Pin, keys: Keyring) -> TamperedError:
    if pin.vault_id != keys.vault_id:
        what = "is another profile than the one known here"
    elif keys.epoch > pin.epoch:
        what = "has other keys than the ones known here, as after the removal of a member"
    elif keys.epoch < pin.epoch:
        what = f"was rolled back: its keys are those before epoch {pin.epoch}"
    else:
        what = "has other keys than the ones known here"
    return TamperedError(
        folder,
        f"{what}: expected {pin.fingerprint}, found {keys.fingerprint}",
        hint=f"{_LEGITIMATE}, then: authsome trust --profile {keys.profile}",
    )
