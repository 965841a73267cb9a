"""What a backup holds, as the tar archive that is sealed: a pure module.

Promises that `tar x` in an empty home restores what was packed: folders 0700, files 0600, sorted, no owners. Takes back
an archive only if everything in it is a file of a vault under a name that authsome gives, once: refuses links, devices,
absolute names, `..`, sparse files and extended headers by their absence from what it knows.

NOTE: the headers are walked here, one block each. `tarfile` follows chains of extended headers and negative sizes
(CVE-2025-8194), and who may seal a file to somebody may be anybody.
"""

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from authsome.errors import AuthsomeError, clean
from authsome.provider import check_entry
from authsome.vault.armor import FormError
from authsome.vault.preset import FILE_NAME as PRESET

MAX_BYTES = 256 << 20
"""Most that an archive may be; it is held in memory, so that nothing in plain reaches a disk."""

MAX_FILES = 100_000
IDENTITY = "identity.txt"
_REQUIRED = ("recipients.txt", "keyring.age")
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_SHAPES = (
    (re.compile(r"profiles/([^/]+)/(?:recipients\.txt|keyring\.age)"), ("profile",), 8 << 20),
    (re.compile(rf"profiles/([^/]+)/{PRESET}"), ("profile",), 64),
    (re.compile(r"profiles/([^/]+)/requests/[^/]+\.txt"), ("profile",), 64 << 10),
    (re.compile(r"profiles/([^/]+)/connections/([^/]+)/([^/]+)\.age"), ("profile", "provider", "connection"), 8 << 20),
    (re.compile(r"providers/([^/]+)\.json"), ("provider",), 1 << 20),
    (re.compile(re.escape(IDENTITY)), (), 1 << 17),
)
_FOLDERS = (
    (re.compile(r"profiles|providers"), ()),
    (re.compile(r"profiles/([^/]+)(?:/connections|/requests)?"), ("profile",)),
    (re.compile(r"profiles/([^/]+)/connections/([^/]+)"), ("profile", "provider")),
)
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds.

    Attributes:
        profiles: By name, the files of each: path inside the profile → bytes.
        definitions: By provider, the user's own definitions.
        identity: `identity.txt` as it is stored.
    """

    profiles: Mapping[str, Mapping[str, bytes]]
    definitions: Mapping[str, bytes]
    identity: bytes | None = field(repr=False)

    def files(self) -> dict[str, bytes]:
        """Return everything by its path inside the home."""
        found = {
            f"profiles/{name}/{path}": file for name, files in self.profiles.items() for path, file in files.items()
        }
        found |= {f"providers/{name}.json": file for name, file in self.definitions.items()}
        return found if self.identity is None else found | {IDENTITY: self.identity}


def connections(files: Mapping[str, bytes]) -> int:
    """Return how many connections a profile's files hold."""
    return sum(path.startswith("connections/") for path in files)


def pack(contents: Contents, now: float) -> bytes:
    """Return the archive, or raise `FormError` for what `unpack` would refuse.

    Args:
        now: Seconds since 1970.
    """
    files = contents.files()
    for path, content in files.items():
        _check_file(path, len(content))
    folders = {path[:slash] for path in files for slash in range(len(path)) if path[slash] == "/"}
    _check_amount(len(files), sum(map(len, files.values())) + _BLOCK * 3 * len(files))
    archive = bytearray()
    for path in sorted({*folders, *files}):
        content = files.get(path, b"")
        member = tarfile.TarInfo(path)
        member.type, member.mode = (tarfile.REGTYPE, 0o600) if path in files else (tarfile.DIRTYPE, 0o700)
        member.size, member.mtime = len(content), int(now)
        archive += member.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
        archive += content
        archive += bytes(-len(archive) % _BLOCK)
    return bytes(archive) + _END


def unpack(archive: bytes) -> Contents:
    """Return what an archive holds, or raise `FormError`."""
    files: dict[str, bytes] = {}
    for name, content in _members(archive):
        if name in files:
            raise FormError(f"holds {_shown(name)} twice")
        _check_file(name, len(content))
        files[name] = content
        _check_amount(len(files), len(archive))
    profiles: dict[str, dict[str, bytes]] = {}
    definitions: dict[str, bytes] = {}
    for name, content in files.items():
        top, _, rest = name.partition("/")
        if top == "profiles":
            profile, _, path = rest.partition("/")
            profiles.setdefault(profile, {})[path] = content
        elif top == "providers":
            definitions[rest.removesuffix(".json")] = content
    for profile, held in profiles.items():
        for required in _REQUIRED:
            if required not in held:
                raise FormError(f"is no backup: the profile `{profile}` in it has no {required}")
    if not files:
        raise FormError("is no backup: it is empty")
    return Contents(dict(sorted(profiles.items())), dict(sorted(definitions.items())), files.get(IDENTITY))


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file."""
    at = 0
    while True:
        block = archive[at : at + _BLOCK]
        if len(block) < _BLOCK:
            raise FormError("is no backup: what it holds is no tar archive, or was cut")
        if not any(block):
            return
        member = _header(block)
        at += _BLOCK
        if member.type == tarfile.DIRTYPE:
            _check_folder(member.name)
            continue
        if not 0 <= member.size <= len(archive) - at:
            raise FormError(f"is no backup: the size of {_shown(member.name)} in it is wrong")
        yield member.name, archive[at : at + member.size]
        at += member.size + -member.size % _BLOCK


def _header(block: bytes) -> tarfile.TarInfo:
    """Return a member of which only the type is checked."""
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        raise FormError("is no backup: what it holds is no tar archive") from None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        kind = _KINDS.get(member.type, "something of a kind that no backup holds")
        raise FormError(f"holds {_shown(member.name)}, which is {kind}")
    return member


def _check_file(path: str, size: int) -> None:
    for shape, names, most in _SHAPES:
        if match := shape.fullmatch(path):
            _check_names(path, match, names)
            if size > most:
                raise FormError(f"holds {_shown(path)} with {size} bytes, which is too large to be what it should be")
            return
    raise FormError(f"holds {_shown(path)}, which is no part of a backup")


def _check_folder(path: str) -> None:
    for shape, names in _FOLDERS:
        if match := shape.fullmatch(path):
            _check_names(path, match, names)
            return
    raise FormError(f"holds {_shown(path)}, which is no part of a backup")


def _check_names(path: str, match: re.Match[str], names: tuple[str, ...]) -> None:
    for name, what in zip(match.groups(), names, strict=True):
        try:
            check_entry(name, what)
        except AuthsomeError:
            raise FormError(f"holds {_shown(path)}, which is not named as a {what} can be") from None


def _check_amount(files: int, size: int) -> None:
    if files > MAX_FILES:
        raise FormError(f"holds more than {MAX_FILES} files")
    if size > MAX_BYTES:
        raise FormError(f"holds more than {MAX_BYTES >> 20} MiB")


def _shown(name: str) -> str:
    return f"`{clean(name[:200])}`"
