"""A vault in one file, and back: on an empty machine, with stock age, cut short, and from hostile hands."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from syrupy.assertion import SnapshotAssertion

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue
from authsome.vault import Given, Identity, Vault, archive, backup, keyring, own, passphrase
from authsome.vault.armor import FormError, armored
from authsome.vault.files import locked
from authsome.vault.sound import verify
from beside import all_end, beside
from canary import ANTHROPIC_KEY, OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from disks import small_disk
from forked import Server
from programs import needs_age, needs_ssh, needs_strace
from sweep import examples, points
from terminal import Person
from weight import PEAK

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

PASSPHRASE = "correct CANARY battery stäple"
FIELDS = {"api_key": OPENAI_KEY}
DEFINITION = {"name": "acme", "host_url": "api.acme.example", "api_key": {}}
needs_tar = pytest.mark.skipif(shutil.which("tar") is None, reason="the program `tar` is not installed")

_NEW = [("New passphrase of", PASSPHRASE), ("The same again", PASSPHRASE)]
_OLD = [("Passphrase of", PASSPHRASE)]


def _machine(root: Path) -> CommandLine:
    """Return another machine: another home, in which there is nothing."""
    line = CommandLine(root)
    line.project.mkdir(parents=True)
    return line


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Where secrets may lie: a safe, a stick."""
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


@pytest.fixture
def offline(outside: Path) -> Path:
    """The file of a key that the machine does not have."""
    path = outside / "offline.txt"
    path.write_text(Identity.generate("offline").file_text())
    path.chmod(0o600)
    return path


def _public(path: Path) -> str:
    return Identity.parse(path.read_text(), "x").recipient


@pytest.fixture
def held(authsome: CommandLine) -> CommandLine:
    """A machine with two profiles and a definition of its own."""
    catalogue = Catalogue(authsome.home)
    default, work = Vault(authsome.home, "default", {}), Vault(authsome.home, "work", {})
    default.write(catalogue.get("openai"), "default", FIELDS, now=0.0)
    default.write(catalogue.get("openai"), "team", {"api_key": OTHER_OPENAI_KEY}, now=0.0)
    work.write(catalogue.get("anthropic"), "default", {"api_key": ANTHROPIC_KEY}, now=0.0)
    definition = authsome.home / "providers" / "acme.json"
    definition.write_text(json.dumps(DEFINITION))
    definition.chmod(0o600)
    return authsome


def _to_key(line: CommandLine, offline: Path, *more: str) -> Path:
    """Back up to a key and return the file."""
    path = line.root / "backup.age"
    done = line("vault", "export", "--to", str(path), "--recipient", _public(offline), "--no-input", *more)
    assert done.code == 0, done
    return path


def _tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder with its mode and content, but for what a machine knows of the vaults it saw."""
    return {
        f"{path.relative_to(folder)} {stat.S_IMODE(path.lstat().st_mode):o}": path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
        if path.relative_to(folder).parts[0] not in ("pins", "seen")
    }


def _key_of(line: CommandLine, provider: str, *more: str) -> str:
    done = line("get", provider, "--field", "api_key", "--show-secret", *more, reveals=True)
    return done.out.strip() or done.err


def _has_everything(line: CommandLine) -> bool:
    return (
        _key_of(line, "openai") == OPENAI_KEY
        and _key_of(line, "openai", "--connection", "team") == OTHER_OPENAI_KEY
        and _key_of(line, "anthropic", "--profile", "work") == ANTHROPIC_KEY
        and line("inspect", "acme").code == 0
    )


def _person(line: CommandLine, *words: str, types: list[tuple[str, str]], ends: int = 0) -> str:
    person = Person([EXECUTABLE, *words], line.environ(), line.project)
    for prompt, answer in types:
        assert person.sees(prompt), person.screen
        person.screen = ""
        person.types(f"{answer}\n")
    assert person.ends(60) == ends, person.screen
    assert not sings(person.screen.encode())
    return person.screen


# There and back.


def test_file_and_passphrase_restore_the_vault_on_an_empty_machine(held: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "backup.age"
    shown = _person(held, "vault", "export", "--to", str(file), types=_NEW)
    assert "Backed up 3 connections in 2 profiles, 1 definition and the identity to" in shown
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = _machine(tmp_path / "other")
    file = file.rename(other.root / "b.age")
    shutil.rmtree(held.home)
    shown = _person(other, "vault", "import", str(file), types=[("Passphrase of", "wrong"), *_OLD])
    assert "profile default  restored  2 connections, 1 member" in shown
    assert "identity         restored" in shown
    assert _has_everything(other)


def test_a_backup_of_format_1_is_restored_for_ever(tmp_path: Path) -> None:
    content = (Path(__file__).parent / "golden" / "backup-1.age").read_bytes()
    contents = backup.opened(content, "b.age", tmp_path, {}, Given(), lambda _: "golden CANARY passphrase")
    backup.restore(tmp_path / "home", contents, None, print)
    entry = Vault(tmp_path / "home", "default", {"HOME": str(tmp_path)}).read("openai", "default")
    assert entry
    assert entry.fields == FIELDS


def test_a_key_that_is_elsewhere_needs_nobody_and_restores_the_vault(
    held: CommandLine, offline: Path, tmp_path: Path
) -> None:
    before = _tree(held.home)
    file = _to_key(held, offline)
    assert _tree(held.home) == before
    other = _machine(tmp_path / "other")
    done = other("vault", "import", str(file), "--identity", str(offline))
    assert (done.code, done.err) == (0, "")
    assert _has_everything(other)
    assert _tree(other.home) == before


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_restored_is_private_under_any_umask(
    held: CommandLine, offline: Path, umask: int, tmp_path: Path
) -> None:
    other = _machine(tmp_path / "other")
    before = os.umask(umask)
    try:
        file = _to_key(held, offline)
        assert other("vault", "import", str(file), "--identity", str(offline)).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [other.home, *other.home.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_a_protected_identity_stays_under_its_own_passphrase(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    own.protect(held.home, str, lambda: PASSPHRASE)
    done = held("vault", "export", "--to", "b.age", "--recipient", _public(offline))
    assert "under a passphrase of its own" in done.err
    other = _machine(tmp_path / "other")
    other("vault", "import", str(held.project / "b.age"), "--identity", str(offline))
    assert (other.home / "identity.txt").read_bytes() == (held.home / "identity.txt").read_bytes()
    shown = _person(other, "get", "openai", "--field", "status", types=_OLD)
    assert "connected" in shown


def test_a_vault_that_an_identity_elsewhere_opens_says_that_it_takes_that_too(
    held: CommandLine, offline: Path, tmp_path: Path
) -> None:
    key = held.root / "key.txt"
    (held.home / "identity.txt").rename(key)
    done = held("vault", "export", "--to", "b.age", "--recipient", _public(offline))
    assert "There is no identity.txt here, so none is in it" in done.err
    own.create(held.home, None, force=False)
    done = held("vault", "export", "--to", "b.age", "--force", "--recipient", _public(offline), "--json")
    assert "The identity in it does not open default, work" in done.err
    assert json.loads(done.out)["not_opened_by_identity"] == ["default", "work"]
    other = _machine(tmp_path / "other")
    other("vault", "import", str(held.project / "b.age"), "--identity", str(offline))
    assert _key_of(other, "openai", "--identity", str(key)) == OPENAI_KEY


def test_a_link_in_the_place_of_the_identity_is_followed(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    identity = held.home / "identity.txt"
    identity.rename(held.root / "mounted")
    identity.symlink_to(held.root / "mounted")
    file = _to_key(held, offline)
    other = _machine(tmp_path / "other")
    other("vault", "import", str(file), "--identity", str(offline))
    assert not (other.home / "identity.txt").is_symlink()
    assert _has_everything(other)


@needs_ssh
@needs_age
def test_keys_of_ssh_and_several_keys_open_a_backup(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    other = _machine(tmp_path / "other")
    key = other.root / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text()
    file = _to_key(held, offline, "--recipient", public)
    for opens in (key, offline):
        subprocess.run(["age", "-d", "-i", opens, "-o", "/dev/null", file], check=True)
    assert other("vault", "import", str(file)).code == 0  # the ssh key is found where ssh keys are
    assert _has_everything(other)


def test_standard_output_and_input_carry_a_backup(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    done = held.start("vault", "export", "--to", "-", "--recipient", _public(offline))
    assert (done.returncode, done.stderr) == (0, b"")
    other = _machine(tmp_path / "other")
    restored = subprocess.run(
        [EXECUTABLE, "vault", "import", "-", "--identity", offline],
        input=done.stdout,
        env=other.environ(),
        cwd=other.project,
        capture_output=True,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr
    assert _has_everything(other)


# By hand.


@needs_age
@needs_tar
def test_stock_age_and_tar_restore_a_backup_under_a_passphrase(
    held: CommandLine, outside: Path, tmp_path: Path
) -> None:
    _person(held, "vault", "export", "--to", str(outside / "b.age"), types=_NEW)
    other = _machine(tmp_path / "other")
    other.home.mkdir(mode=0o700)
    line = f"umask 022; age -d {outside / 'b.age'} | tar x -C {other.home} && echo done"
    person = Person(["/bin/sh", "-c", line], dict(os.environ), outside)
    assert person.sees("nter passphrase")
    person.types(f"{PASSPHRASE}\n")
    assert person.sees("done\n"), person.screen
    assert person.ends() == 0
    assert "tar:" not in person.screen
    assert _tree(other.home) == _tree(held.home)
    assert _has_everything(other)


@needs_age
@needs_tar
def test_stock_age_and_tar_restore_a_backup_to_a_key(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    file = _to_key(held, offline)
    other = _machine(tmp_path / "other")
    other.home.mkdir(mode=0o700)
    line = f"umask 022; age -d -i {offline} {file} | tar x -C {other.home}"
    done = subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert _tree(other.home) == _tree(held.home)
    assert _has_everything(other)


@needs_age
@needs_tar
@pytest.mark.parametrize("armor", ["", "-a"])
def test_a_backup_that_was_made_by_hand_is_restored(
    held: CommandLine, offline: Path, tmp_path: Path, armor: str
) -> None:
    file = tmp_path / "hand.age"
    line = f"tar c -C {held.home} profiles providers identity.txt | age -r {_public(offline)} {armor} > {file}"
    subprocess.run(["/bin/sh", "-c", line], check=True)
    other = _machine(tmp_path / "other")
    done = other("vault", "import", str(file), "--identity", str(offline))
    assert done.code == 0, done
    assert _has_everything(other)


@needs_age
@needs_tar
def test_what_is_in_a_backup_is_sorted_private_and_says_nothing_of_its_owner(held: CommandLine, offline: Path) -> None:
    profile = held.home / "profiles" / "default"
    (profile / "connections" / "openai" / ".team.age.123.0123abcd").write_bytes(b"-----BEGIN AGE ")
    (profile / ".gitattributes").write_text("*.age diff=authsome\n")
    (held.home / "audit").mkdir()
    (held.home / "audit" / "log.jsonl").write_text("{}\n")
    (held.home / "identity.former-01234567.txt").write_text("x")
    file = _to_key(held, offline)
    plain = subprocess.run(["age", "-d", "-i", offline, file], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as opened:
        members = opened.getmembers()
    assert [each.name for each in members] == sorted(each.name for each in members)
    assert {each.name for each in members if each.isfile()} == {
        "identity.txt",
        "providers/acme.json",
        *(f"profiles/{name}/{file}" for name in ("default", "work") for file in ("keyring.age", "recipients.txt")),
        *(f"profiles/default/connections/openai/{name}.age" for name in ("default", "team")),
        "profiles/work/connections/anthropic/default.age",
    }
    assert {(each.mode, each.uid, each.gid, each.uname, each.gname) for each in members if each.isdir()} == {
        (0o700, 0, 0, "", "")
    }
    assert {(each.mode, each.uname, each.gname) for each in members if each.isfile()} == {(0o600, "", "")}
    assert {plain[each.offset + 257 : each.offset + 265] for each in members} == {b"ustar\x0000"}


def test_what_is_gathered_hides_the_identity_from_repr(held: CommandLine) -> None:
    assert "SECRET-KEY" not in repr(backup.gather(held.home, print))


def test_the_longest_names_there_are_fit() -> None:
    longest = "x" * 63
    files = {"recipients.txt": b"", "keyring.age": b"", f"connections/{longest}/{longest}.age": b"x"}
    contents = archive.Contents({longest: files}, {longest: b"{}"}, None)
    packed = archive.pack(contents, 0)
    assert archive.unpack(packed) == contents
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        assert f"profiles/{longest}/connections/{longest}/{longest}.age" in opened.getnames()


# What export refuses.


def test_there_must_be_somebody_to_ask_or_a_key(held: CommandLine) -> None:
    done = held("vault", "export", "--to", "b.age")
    nobody = "Error: there is nobody to ask for a new passphrase\n"
    by_key = "authsome vault export --to b.age --recipient age1…"
    assert (done.code, done.err) == (
        4,
        f"{nobody}Hint: seal it to a key kept elsewhere (age-keygen makes one): {by_key}\n",
    )
    assert not (held.project / "b.age").exists()


def test_typing_two_passphrases_or_none_writes_nothing(held: CommandLine) -> None:
    wrong = [("New passphrase of", "one"), ("The same again", "another")]
    assert "these were two passphrases" in _person(held, "vault", "export", "--to", "b.age", types=wrong, ends=2)
    _person(held, "vault", "export", "--to", "b.age", types=[("New passphrase of", "")], ends=4)
    assert list(held.project.iterdir()) == []


@pytest.mark.parametrize("command", [("export", "--to", "b.age"), ("import", "b.age")])
def test_inside_a_run_there_is_no_backup(held: CommandLine, command: tuple[str, ...]) -> None:
    held.env = {"AUTHSOME_RUN": "1"}
    assert held("vault", *command).code == 7


def test_a_file_that_is_there_is_replaced_by_force_only(held: CommandLine, offline: Path) -> None:
    file = held.project / "b.age"
    file.write_text("mine")
    to_key = ("vault", "export", "--to", "b.age", "--recipient", _public(offline))
    done = held(*to_key)
    assert (done.code, done.err.splitlines()[0]) == (2, "Error: there is a file ~/project/b.age already")
    assert file.read_text() == "mine"
    link = held.project / "latest.age"
    link.symlink_to(file)
    assert held("vault", "export", "--to", "latest.age", "--recipient", _public(offline)).code == 2
    assert held("vault", "export", "--to", "latest.age", "--force", "--recipient", _public(offline)).code == 0
    assert link.is_symlink()
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")


def test_places_where_no_backup_belongs_are_refused(held: CommandLine, offline: Path) -> None:
    os.mkfifo(held.root / "pipe")
    for to, message in (
        (str(held.home / "b.age"), "lies in the folder that the backup is of"),
        (str(held.home / "profiles" / "default" / "b.age"), "lies in the folder that the backup is of"),
        (str(held.root), "is a folder"),
        ("no/b.age", "there is no folder"),
        (str(held.root / "pipe"), "is no file"),
    ):
        done = held("vault", "export", "--to", to, "--force", "--recipient", _public(offline))
        assert (done.code, message in done.err) == (2, True), done


def test_a_terminal_is_no_place_for_a_backup_and_a_full_disk_an_error(held: CommandLine, offline: Path) -> None:
    words = ("vault", "export", "--to", "-", "--recipient", _public(offline))
    assert "standard output is a terminal" in _person(held, *words, types=[], ends=2)
    assert held(*words, "--json").code == 2
    line = shlex.join([str(EXECUTABLE), *words])
    full = subprocess.run(
        ["/bin/sh", "-c", f"{line} > /dev/full"], env=held.environ(), capture_output=True, text=True, check=False
    )
    assert (full.returncode, "cannot write standard output: no space left" in full.stderr) == (1, True)
    broken = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", f"{line} | true"],
        env=held.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert broken.returncode != 0


@pytest.mark.parametrize(
    ("recipient", "message"),
    [
        ("age1nonsense", "cannot encrypt to the recipient `age1nonsense`"),
        ("age1pq1qqqq", "cannot encrypt to the recipient"),
        ("age1yubikey1qqqq", "cannot encrypt to the recipient"),
        ("", "cannot encrypt to the recipient"),
        ("ssh-dss AAAA", "cannot encrypt to the recipient"),
        ("AGE-SECRET-KEY-1CANARY", "was given a secret key"),
        ("age-secret-key-1CANARY", "was given a secret key"),
    ],
)
def test_what_is_no_recipient_is_refused_and_a_secret_key_not_quoted(
    held: CommandLine, recipient: str, message: str
) -> None:
    done = held("vault", "export", "--to", "b.age", "--recipient", recipient)
    assert (done.code, message in done.err) == (2, True), done
    assert not (held.project / "b.age").exists()


def test_one_profile_alone_is_not_backed_up(held: CommandLine, offline: Path) -> None:
    done = held("vault", "export", "--to", "b.age", "--recipient", _public(offline), "--profile", "work")
    assert (done.code, done.err) == (2, "Error: a backup holds every profile\nHint: leave out --profile\n")
    held.env = {"AUTHSOME_PROFILE": "work"}
    done = held("vault", "export", "--to", "b.age", "--recipient", _public(offline), "--json")
    assert [each["name"] for each in json.loads(done.out)["profiles"]] == ["default", "work"]


def test_a_backup_that_only_the_identity_inside_opens_is_said(held: CommandLine) -> None:
    done = held("vault", "export", "--to", "b.age", "--recipient", _public(held.home / "identity.txt"))
    assert (done.code, "Only the identity that is inside opens it" in done.err) == (0, True)


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("damage", ["cut", "missing", "beside", "open", "link"])
def test_an_unsound_profile_is_not_backed_up_and_the_file_named(
    held: CommandLine, offline: Path, damage: str, force: list[str]
) -> None:
    path = held.home / "profiles" / "work" / "connections" / "anthropic" / "default.age"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "missing":
        path = held.home / "profiles" / "work" / "keyring.age"
        path.unlink()
    elif damage == "beside":
        path = path.with_name("note")
        path.write_text("x")
    elif damage == "open":
        path.chmod(0o644)
    else:
        path.rename(held.root / "elsewhere")
        path.symlink_to(held.root / "elsewhere")
    done = held("vault", "export", "--to", "b.age", *force, "--recipient", _public(offline))
    assert done.code == 5
    assert str(path.relative_to(held.home)) in done.err.splitlines()[0]
    assert list(held.project.iterdir()) == []


def test_a_damaged_identity_is_not_backed_up(held: CommandLine, offline: Path) -> None:
    words = ("vault", "export", "--to", "b.age", "--recipient", _public(offline))
    (held.home / "identity.txt").write_text("nonsense")
    assert "holds no usable age identity" in held(*words).err
    (held.home / "identity.txt").write_text("-----BEGIN AGE ENCRYPTED FILE-----\nx")
    assert held(*words).code == 5
    assert list(held.project.iterdir()) == []


def test_where_there_is_nothing_there_is_no_backup(authsome: CommandLine, offline: Path) -> None:
    done = authsome("vault", "export", "--to", "b.age", "--recipient", _public(offline))
    assert (done.code, "there is nothing in ~/.authsome to back up" in done.err) == (3, True)
    assert not authsome.home.exists()


def test_a_definition_that_no_provider_can_have_is_left_out_and_said(held: CommandLine, offline: Path) -> None:
    (held.home / "providers" / "My Own.json").write_text("{}")
    done = held("vault", "export", "--to", "b.age", "--recipient", _public(offline))
    assert (done.code, done.err) == (0, "Not in it: providers/My Own.json, which is not named as a provider can be.\n")


# What is there stays as it is.


def test_a_profile_that_differs_is_refused_before_anything_is_changed(
    held: CommandLine, offline: Path, tmp_path: Path
) -> None:
    file = _to_key(held, offline)
    other = _machine(tmp_path / "other")
    other.login("openai", OTHER_OPENAI_KEY)
    before = _tree(other.home)
    done = other("vault", "import", str(file), "--identity", str(offline))
    assert done.code == 2
    assert "the profile default in ~/.authsome is not what the backup holds; nothing was changed" in done.err
    assert "authsome profile remove default" in done.err
    assert "--profile work" in done.err
    assert _tree(other.home) == before
    done = other("vault", "import", str(file), "--identity", str(offline), "--profile", "work")
    assert done.code == 0, done
    assert "default" not in done.out
    assert _key_of(other, "openai") == OTHER_OPENAI_KEY
    (beside,) = other.home.glob("identity.restored-*.txt")
    assert str(beside) in done.err.replace("~/.authsome", str(other.home))
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    assert _key_of(other, "anthropic", "--profile", "work", "--identity", str(beside)) == ANTHROPIC_KEY
    after = _tree(other.home)
    done = other("vault", "import", str(file), "--identity", str(offline), "--profile", "work", "--json")
    assert json.loads(done.out)["identity"]["status"] == "kept beside"
    assert _tree(other.home) == after


def test_what_is_the_same_is_skipped_and_what_is_missing_comes_back(held: CommandLine, offline: Path) -> None:
    file = _to_key(held, offline)
    before = _tree(held.home)
    restore = ("vault", "import", str(file), "--identity", str(offline), "--json")
    shown = json.loads(held(*restore).out)
    assert {each["status"] for each in (*shown["profiles"], *shown["definitions"])} == {"already there"}
    assert shown["identity"]["status"] == "already there"
    assert _tree(held.home) == before
    shutil.rmtree(held.home / "profiles" / "work")
    (held.home / "providers" / "acme.json").write_text("{}")
    shown = json.loads(held(*restore).out)
    assert [each["status"] for each in shown["profiles"]] == ["already there", "restored"]
    assert [each["status"] for each in shown["definitions"]] == ["another one is there"]
    assert (held.home / "providers" / "acme.json").read_text() == "{}"


@pytest.mark.parametrize("there", ["file", "link", "empty"])
def test_whatever_has_a_profiles_name_is_not_touched(
    held: CommandLine, offline: Path, tmp_path: Path, there: str
) -> None:
    file = _to_key(held, offline)
    other = _machine(tmp_path / "other")
    path = other.home / "profiles" / "work"
    path.parent.mkdir(parents=True, mode=0o700)
    if there == "file":
        path.write_text("x")
    elif there == "link":
        path.symlink_to(held.home / "profiles" / "work")
    else:
        path.mkdir()
    before = _tree(other.home)
    done = other("vault", "import", str(file), "--identity", str(offline))
    assert (done.code, "the profile work in" in done.err) == (2, True), done
    assert {name for name in _tree(other.home) if "providers" not in name} == set(before)


def test_a_profile_that_is_not_in_the_backup_is_said(held: CommandLine, offline: Path) -> None:
    file = _to_key(held, offline)
    done = held("vault", "import", str(file), "--identity", str(offline), "--profile", "wrok")
    assert (done.code, "did you mean `work`?" in done.err) == (2, True)
    assert held("vault", "import", str(file), "--profile", "../x").code == 2


# What import refuses.


def test_without_the_key_every_place_that_was_looked_at_is_named(
    held: CommandLine, offline: Path, tmp_path: Path
) -> None:
    file = _to_key(held, offline)
    other = _machine(tmp_path / "other")
    done = other("vault", "import", str(file))
    assert (done.code, done.err.splitlines()[0]) == (4, "Error: no identity to open this backup with")
    assert "--identity KEY_FILE" in done.err
    other.login("openai", OPENAI_KEY)
    done = other("vault", "import", str(file))
    assert (done.code, "identity.txt: does not open this backup" in done.err) == (4, True)


def test_without_anybody_to_ask_a_passphrase_is_not_waited_for(held: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "b.age").write_bytes(passphrase.seal(b"x", PASSPHRASE, os.urandom, log_n=4))
    done = held("vault", "import", str(tmp_path / "b.age"))
    assert (done.code, "there is nobody to ask" in done.err) == (4, True)
    wrong = [("Passphrase of", "1"), ("once more: that was not it", "2"), ("once more", "3")]
    assert "was wrong 3 times" in _person(held, "vault", "import", str(tmp_path / "b.age"), types=wrong, ends=4)


@pytest.fixture(scope="module")
def sealed_pair() -> tuple[bytes, bytes, Identity]:
    """One archive of three chunks, under a passphrase and to a key."""
    files = {"recipients.txt": b"x" * 100_000, "keyring.age": b"y" * 60_000}
    plain = archive.pack(archive.Contents({"default": files}, {}, None), 0)
    key = Identity.generate("x")
    return passphrase.seal(plain, PASSPHRASE, os.urandom, log_n=4), backup.sealed_to(plain, [key.recipient]), key


def _opened(content: bytes, key: Identity) -> archive.Contents:
    environ = {"AUTHSOME_IDENTITY": key.file_text(), "HOME": "/nowhere"}
    return backup.opened(content, "b.age", Path("/nowhere"), environ, Given(), lambda _: PASSPHRASE)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("which", [0, 1])
def test_a_backup_that_was_changed_or_cut_never_opens(
    sealed_pair: tuple[bytes, bytes, Identity], which: int, data: st.DataObject
) -> None:
    content, key = (sealed_pair[0], sealed_pair[1])[which], sealed_pair[2]
    assert _opened(content, key) == _opened(armored(content), key)
    place = data.draw(st.one_of(st.integers(0, len(content) - 1), st.sampled_from([0, 65536, len(content) - 17])))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    chunk = (1 << 16) + 16
    for wrong in (bytes(changed), content[:place], content[:-chunk], content + bytes(16), content + b"x" * chunk):
        with pytest.raises(AuthsomeError) as caught:
            _opened(wrong, key)
        assert caught.value.code in (ExitCode.INTEGRITY, ExitCode.LOCKED)


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 3 * 65536, 200_000])
@needs_age
def test_sizes_at_the_edges_of_chunks_are_agees(tmp_path: Path, size: int) -> None:
    plain = os.urandom(size)
    sealed = passphrase.seal(plain, PASSPHRASE, os.urandom, log_n=8)
    assert passphrase.unprotect(sealed, PASSPHRASE, most=1 << 20) == plain
    (tmp_path / "x.age").write_bytes(sealed)
    person = Person([shutil.which("age") or "age", "-d", "-o", "x", "x.age"], dict(os.environ), tmp_path)
    assert person.sees("nter passphrase")
    person.types(f"{PASSPHRASE}\n")
    assert person.ends() == 0, person.screen
    assert (tmp_path / "x").read_bytes() == plain
    with pytest.raises(FormError, match="its size is wrong"):
        passphrase.unprotect(sealed, PASSPHRASE, most=size - 1)


# Hostile archives.


def _tar(*members: tuple[str, bytes | tarfile.TarInfo], form: int = tarfile.USTAR_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as made:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            member.name = name
            member.size = len(content) if isinstance(content, bytes) else 0
            made.addfile(member, io.BytesIO(content if isinstance(content, bytes) else b""))
    return raw.getvalue()


def _special(kind: bytes, to: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo("x")
    member.type, member.linkname = kind, to
    return member


_GOOD = (("profiles/a/keyring.age", b"x"), ("profiles/a/recipients.txt", b"x"))
_ENTRY = "profiles/a/connections/openai/default.age"


def _patched(archive_: bytes, at: int, field: bytes) -> bytes:
    """Return an archive with a field of its first header changed and the checksum right."""
    block = bytearray(archive_[:512])
    block[at : at + len(field)] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + archive_[512:]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "up": (_tar(*_GOOD, ("../x", b"x")), "holds `../x`, which is no part"),
    "up-inside": (_tar(*_GOOD, ("profiles/../../x.age", b"x")), "no part of a backup"),
    "up-as-a-name": (_tar(*_GOOD, ("profiles/../keyring.age", b"x")), "not named as a profile can be"),
    "dot": (_tar(*_GOOD, ("profiles/./keyring.age", b"x")), "not named as a profile can be"),
    "absolute": (_tar(*_GOOD, ("/etc/passwd", b"x")), "holds `/etc/passwd`"),
    "absolute-profile": (_tar(*_GOOD, ("/profiles/b/keyring.age", b"x")), "no part of a backup"),
    "other": (_tar(*_GOOD, ("audit/log.jsonl", b"x")), "no part of a backup"),
    "other-identity": (_tar(*_GOOD, ("identity.txt/x", b"x")), "no part of a backup"),
    "draft": (_tar(*_GOOD, ("profiles/a/.keyring.age.1.0123abcd", b"x")), "no part of a backup"),
    "newline": (_tar(*_GOOD, ("profiles/a\n/keyring.age", b"x")), "not named as a profile can be"),
    "escape": (_tar(*_GOOD, ("\x1b[2J", b"x")), "holds `\ufffd[2J`"),
    "device-name": (_tar(*_GOOD, ("profiles/a/connections/nul/x.age", b"x")), "not named as a provider can be"),
    "look-alike": (
        _tar(*_GOOD, ("profiles/a/connections/οpenai/x.age", b"x")),
        "not named as a provider can be",
    ),
    "upper": (_tar(*_GOOD, ("providers/OpenAI.json", b"x")), "not named as a provider can be"),
    "symlink": (_tar(*_GOOD, (_ENTRY, _special(tarfile.SYMTYPE, "/etc/passwd"))), "which is a symbolic link"),
    "hardlink": (_tar(*_GOOD, (_ENTRY, _special(tarfile.LNKTYPE, "identity.txt"))), "which is a hard link"),
    "device": (_tar(*_GOOD, (_ENTRY, _special(tarfile.CHRTYPE))), "which is a device"),
    "block": (_tar(*_GOOD, (_ENTRY, _special(tarfile.BLKTYPE))), "which is a device"),
    "fifo": (_tar(*_GOOD, (_ENTRY, _special(tarfile.FIFOTYPE))), "which is a pipe"),
    "folder-for-file": (_tar(*_GOOD, (_ENTRY, _special(tarfile.DIRTYPE))), "no part of a backup"),
    "folder-up": (_tar(*_GOOD, ("profiles/..", _special(tarfile.DIRTYPE))), "not named as a profile can be"),
    "twice": (_tar(*_GOOD, _GOOD[0]), "twice"),
    "extended": (_tar(*_GOOD, (f"profiles/{'x' * 300}", b"x"), form=tarfile.PAX_FORMAT), "of a kind that no backup"),
    "long-name": (_tar(*_GOOD, (f"profiles/{'x' * 300}", b"x"), form=tarfile.GNU_FORMAT), "of a kind that no backup"),
    "sparse": (_tar(*_GOOD, (_ENTRY, _special(tarfile.GNUTYPE_SPARSE))), "which is a sparse file"),
    "long-for-ever": (_patched(_tar(("x", b"")), 156, b"L") * 100, "of a kind that no backup"),
    "size": (_patched(_tar(*_GOOD), 124, b"77777777777\0"), "the size of `profiles/a/keyring.age` in it is wrong"),
    "negative": (_patched(_tar(*_GOOD), 124, b"\xff" * 11 + b"\0"), "the size of"),
    "negative-block": (_patched(_tar(*_GOOD), 124, b"\xff" * 10 + b"\xfe\0"), "the size of"),
    "no-size": (_patched(_tar(*_GOOD), 124, b"x" * 12), "no tar archive"),
    "checksum": (b"x" + _tar(*_GOOD)[1:], "no tar archive"),
    "huge-entry": (_tar(*_GOOD, (_ENTRY, bytes((8 << 20) + 1))), "too large to be what it should be"),
    "huge-identity": (_tar(*_GOOD, ("identity.txt", bytes((1 << 17) + 1))), "too large to be what it should be"),
    "cut": (_tar(*_GOOD, (_ENTRY, bytes(9000)))[:5000], "the size of"),
    "no-end": (_tar(*_GOOD)[: 4 * 512], "or was cut"),
    "no-keyring": (_tar(("profiles/a/recipients.txt", b"x")), "has no keyring.age"),
    "text": (b"hello", "no tar archive"),
    "nothing": (b"", "no tar archive"),
    "empty": (_tar(), "it is empty"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_archive_is_refused_before_anything_is_changed(
    held: CommandLine, offline: Path, which: str, tmp_path: Path
) -> None:
    plain, message = HOSTILE[which]
    with pytest.raises(FormError) as caught:
        archive.unpack(plain)
    assert message in str(caught.value)
    file = tmp_path / "hostile.age"
    file.write_bytes(backup.sealed_to(plain, [_public(offline)]))
    before = _tree(held.root)
    done = held("vault", "import", str(file), "--identity", str(offline))
    assert (done.code, done.out) == (5, "")
    assert "\x1b" not in done.err
    assert _tree(held.root) == before


def test_more_files_than_a_vault_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    files = {"recipients.txt": b"", "keyring.age": b"", **{f"connections/a/{n}.age": b"" for n in range(2)}}
    contents = archive.Contents({"a": files}, {}, None)
    with pytest.raises(FormError, match="more than 3 files"):
        archive.pack(contents, 0)
    with pytest.raises(FormError, match="more than 3 files"):
        archive.unpack(_tar(*((f"profiles/a/{name}", b"") for name in files)))
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    with pytest.raises(FormError, match="more than 1 MiB"):
        archive.pack(archive.Contents({"a": {"recipients.txt": bytes(1 << 20), "keyring.age": b""}}, {}, None), 0)


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.binary(max_size=3000), st.binary(min_size=512, max_size=512)))
def test_whatever_is_no_backup_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(FormError):
        archive.unpack(content)


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_a_header_that_was_changed_is_refused_or_still_a_vaults(data: st.DataObject) -> None:
    made = _tar(("identity.txt", b"x"), *_GOOD)
    at = data.draw(st.integers(0, 511))
    changed = _patched(made, at, data.draw(st.binary(min_size=1, max_size=30))[: 512 - at])
    try:
        contents = archive.unpack(changed)
    except FormError:
        return
    assert set(contents.files()) <= {"identity.txt", *(name for name, _ in _GOOD)}


_names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True).filter(lambda name: name not in ("con", "prn"))


@settings(max_examples=60, deadline=None)
@given(
    profiles=st.dictionaries(_names, st.dictionaries(_names, st.binary(max_size=2000), max_size=5), max_size=4),
    definitions=st.dictionaries(_names, st.binary(max_size=2000), max_size=4),
    identity=st.one_of(st.none(), st.binary(max_size=2000)),
)
def test_what_is_packed_comes_back_and_tar_reads_it(
    profiles: dict[str, dict[str, bytes]], definitions: dict[str, bytes], identity: bytes | None
) -> None:
    both = {"recipients.txt": b"r", "keyring.age": b"k"}
    contents = archive.Contents(
        {
            name: both | {f"connections/{each}/{each}.age": content for each, content in files.items()}
            for name, files in profiles.items()
        },
        definitions,
        identity,
    )
    try:
        packed = archive.pack(contents, 1.5)
    except FormError:
        assert any(
            len(name) == 4 for name in (*profiles, *definitions, *(each for one in profiles.values() for each in one))
        )
        return
    if contents.files():
        assert archive.unpack(packed) == contents
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        assert {each.name for each in opened if each.isfile()} == set(contents.files())


def test_an_unsound_profile_is_not_restored(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    contents = backup.gather(held.home, print).contents
    files = dict(contents.profiles["work"]) | {"connections/anthropic/default.age": b"OPENAI_API_KEY=x\n"}
    plain = archive.pack(archive.Contents(dict(contents.profiles) | {"work": files}, {}, None), 0)
    file = tmp_path / "b.age"
    file.write_bytes(backup.sealed_to(plain, [_public(offline)]))
    other = _machine(tmp_path / "other")
    done = other("vault", "import", str(file), "--identity", str(offline))
    assert done.code == 5
    assert "profiles/work/connections/anthropic/default.age in it is not an age file" in done.err
    assert list((other.home / "profiles").iterdir()) == []
    assert other("vault", "import", str(file), "--identity", str(offline), "--profile", "default").code == 0


# Cut short.

_EXPORT = """
import sys, time
from pathlib import Path
from authsome.vault import backup
home, to, recipient = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
path = backup.target(to, home, force="force" in sys.argv)
content = backup.packed(backup.gather(home, print).contents, home, time.time())
backup.put(path, backup.sealed_to(content, [recipient]), home, force="force" in sys.argv)
"""

_IMPORT = """
import sys
from pathlib import Path
from authsome.vault import Given, backup
home, file, key = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
contents = backup.opened(file.read_bytes(), str(file), home, {"AUTHSOME_IDENTITY_FILE": key}, Given(), input)
backup.restore(home, contents, None, print)
"""
_NOTHING = "sync:error=EIO:when=10000"
"""What goes wrong when nothing does."""


@pytest.fixture
def injected(forking: Server, tmp_path: Path) -> Callable[..., int]:
    """Run a program in which a call goes wrong, and return how it ended."""

    def run(fault: str, source: str, *words: str | Path, limit: Iterable[str] = ()) -> int:
        return forking.cut(["-f", *limit, f"--inject={fault}"], source, *words, place=tmp_path / "said").returncode

    return run


def _files(home: Path) -> dict[str, bytes]:
    """Return what a backup is of: what a machine knows of the vaults it saw stays there."""
    files = {path.relative_to(home): path for path in home.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if name.parts[0] not in ("pins", "seen")}


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize(
    ("call", "fault"),
    [
        *((call, "signal=KILL") for call in ("openat", "write", "mkdir", "fsync", "sync", "link,linkat", "rename")),
        *((call, "signal=KILL") for call in ("unlink,unlinkat", "rmdir", "flock", "chmod,fchmod,fchmodat")),
        *(("write", "error=ENOSPC"), ("fsync", "error=EIO"), ("rename", "error=EDQUOT"), ("linkat,link", "error=EIO")),
        *(("mkdir", "error=ENOSPC"), ("write", "signal=INT"), ("rename", "signal=INT")),
    ],
)
def test_cut_short_at_any_call_a_restore_leaves_whole_profiles_and_can_be_ended(
    held: CommandLine, offline: Path, tmp_path: Path, injected: Callable[..., int], call: str, fault: str
) -> None:
    file = _to_key(held, offline)
    wanted = {path: file for path, file in _files(held.home).items() if not path.startswith(("pins", "seen"))}
    home = tmp_path / "other"
    failed = 0
    # Every program opens hundreds of files; those of the home are what counts.
    folders = [home, *(home / each for each in ("profiles", "providers"))]
    limit = [word for folder in folders for word in ("-P", str(folder))] if call == "openat" else []
    for nth in points(120):
        shutil.rmtree(home, ignore_errors=True)
        code = injected(f"{call}:{fault}:when={nth}", _IMPORT, home, file, offline, limit=limit)
        if home.exists():
            _is_whole(home, wanted, killed="KILL" in fault)
        assert injected(_NOTHING, _IMPORT, home, file, offline) == 0
        assert _files(home) == wanted
        if code == 0:
            break
        failed += 1
    assert code == 0
    assert failed


def _is_whole(home: Path, wanted: dict[str, bytes], *, killed: bool) -> None:
    """What is in its place is all there, and what is not leaves no trace unless the writer was killed."""
    assert verify(home, private=True).problems == ()
    files = _files(home)
    drafts = {name for name in files if name.startswith(".restore.")}
    assert killed or not drafts
    assert not list(home.glob(".restore.*")) or killed
    for name in set(files) - drafts:
        assert files[name] == wanted[name]
    for profile in (home / "profiles").glob("*/"):
        inside = f"profiles/{profile.name}/"
        assert {name for name in files if name.startswith(inside)} == {
            name for name in wanted if name.startswith(inside)
        }


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize(
    ("call", "fault", "force"),
    [
        *((call, "signal=KILL", force) for call in ("write", "fsync", "unlink", "flock") for force in (False, True)),
        *((call, fault, True) for call in ("write", "fsync") for fault in ("signal=INT", "error=EIO", "error=ENOSPC")),
        *(("link,linkat", fault, False) for fault in ("signal=KILL", "error=EIO", "signal=INT")),
        *(("rename", fault, True) for fault in ("signal=KILL", "error=EIO", "signal=INT")),
    ],
)
def test_cut_short_at_any_call_an_export_leaves_no_half_file(
    held: CommandLine, offline: Path, tmp_path: Path, injected: Callable[..., int], call: str, fault: str, force: bool
) -> None:
    folder = tmp_path / "to"
    folder.mkdir()
    file = folder / "b.age"
    shutil.copy(_to_key(held, offline), tmp_path / "before.age")
    before = (tmp_path / "before.age").read_bytes()
    key = Identity.parse(offline.read_text(), "x")
    words: list[str | Path] = [held.home, str(file), key.recipient, *(["force"] if force else [])]
    failed = 0
    for nth in points(60):
        file.unlink(missing_ok=True)
        if force:
            file.write_bytes(before)
        code = injected(f"{call}:{fault}:when={nth}", _EXPORT, *words)
        if file.exists():
            assert archive.unpack(key.open(file.read_bytes())).identity
        else:
            assert code
            assert not force
        left = [path for path in folder.iterdir() if path != file]
        assert "KILL" in fault or left == []
        for path in left:
            content = path.read_bytes()
            assert content == b"" or content.startswith(b"age-encryption.org/v1\n")
        if not force:
            file.unlink(missing_ok=True)
        assert injected(_NOTHING, _EXPORT, *words) == 0
        assert list(folder.iterdir()) == [file]
        if code == 0:
            break
        failed += 1
    assert code == 0
    assert failed


def test_interrupted_at_the_prompt_nothing_is_written(held: CommandLine, tmp_path: Path) -> None:
    person = Person([EXECUTABLE, "vault", "export", "--to", "b.age"], held.environ(), held.project)
    assert person.sees("New passphrase of")
    person.types("\x03")
    assert person.ends() == 130
    assert list(held.project.iterdir()) == []
    (tmp_path / "b.age").write_bytes(passphrase.seal(b"x", PASSPHRASE, os.urandom, log_n=4))
    other = _machine(tmp_path / "other")
    person = Person([EXECUTABLE, "vault", "import", str(tmp_path / "b.age")], other.environ(), other.project)
    assert person.sees("Passphrase of")
    person.types("\x03")
    assert person.ends() == 130
    assert not other.home.exists()


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_seals_nothing_is_left(held: CommandLine, wanted: signal.Signals) -> None:
    person = Person([EXECUTABLE, "vault", "export", "--to", "b.age"], held.environ(), held.project)
    for prompt, answer in _NEW:
        assert person.sees(prompt)
        person.types(f"{answer}\n")
    time.sleep(0.3)
    os.kill(person.pid, wanted)
    assert person.ends() in (130, 128 + wanted)
    assert list(held.project.iterdir()) == []


@needs_strace
def test_a_file_system_that_gives_a_file_one_name_only_is_written_to(
    held: CommandLine, offline: Path, injected: Callable[..., int]
) -> None:
    file = held.root / "b.age"
    words = (_EXPORT, held.home, str(file), _public(offline))
    assert injected("link,linkat:error=EPERM", *words) == 0
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert injected("fchmod:error=EPERM", *words, "force") == 0
    assert list(held.root.glob(".b.age*")) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    with small_disk(tmp_path / "small", 64) as disk:
        yield disk


def test_a_full_disk_leaves_what_was_there(held: CommandLine, offline: Path, small: Path) -> None:
    (small / "b.age").write_text("mine")
    for number in range(60):
        held_file = held.home / "profiles" / "default" / "connections" / "openai" / "default.age"
        more = held_file.with_name(f"more{number}.age")
        more.write_bytes(held_file.read_bytes())
        more.chmod(0o600)
    file = _to_key(held, offline)
    done = held("vault", "export", "--to", str(small / "b.age"), "--force", "--recipient", _public(offline))
    assert (done.code, "small/b.age: no space left on device" in done.err) == (1, True), done
    assert [path.name for path in small.iterdir()] == ["b.age"]
    assert (small / "b.age").read_text() == "mine"
    (small / "b.age").unlink()
    other = CommandLine(held.root, {"AUTHSOME_HOME": str(small / "home")})
    done = other("vault", "import", str(file), "--identity", str(offline))
    assert (done.code, "no space left on device" in done.err) == (1, True), done
    assert _files(small) == {}
    shutil.rmtree(small / "home")
    assert held("vault", "export", "--to", str(small / "b.age"), "--recipient", _public(offline)).code == 1
    assert list(small.iterdir()) == []


@needs_strace
def test_nothing_in_plain_is_written_anywhere(held: CommandLine, tmp_path: Path) -> None:
    secret = (held.home / "identity.txt").read_text().splitlines()[-1]
    definition = DEFINITION | {"display_name": "a definition with MARK-OF-ITS-OWN"}
    (held.home / "providers" / "acme.json").write_text(json.dumps(definition))
    traced = tmp_path / "traced"
    command = [EXECUTABLE, "vault", "export", "--to", str(tmp_path / "b.age")]
    calls = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,mmap,memfd_create,copy_file_range,sendfile,splice"
    tracer = [shutil.which("strace") or "strace", "-f", "-qq", "-s", "1000000", "-e", f"trace={calls}", "-o", traced]
    person = Person([*map(str, tracer), *map(str, command)], held.environ(), held.project)
    for prompt, answer in _NEW:
        assert person.sees(prompt), person.screen
        person.types(f"{answer}\n")
    assert person.ends(60) == 0, person.screen
    seen = traced.read_text(errors="replace")
    assert "age-encryption.org/v1" in seen  # the trace sees what is written
    for plain in (secret, "MARK-OF-ITS-OWN", PASSPHRASE, "CANARY battery"):
        assert plain not in seen
    assert not re.search(r"PROT_WRITE[^,]*, MAP_SHARED\b[^|]", seen)  # a file could be written that way, too
    assert "memfd" not in seen
    assert secret.encode() not in (tmp_path / "b.age").read_bytes()
    assert {name for name, content in _files(held.root).items() if secret.encode() in content} == {"home/identity.txt"}


# Others at work.


def _store_often(home: Path, number: int) -> None:
    provider = Catalogue(home).get("openai")
    for turn in range(80):
        Vault(home, "default", {}).write(provider, f"c{number}", {"api_key": f"{OPENAI_KEY}{turn}"}, now=0.0)
        if turn % 7 == 0:
            Vault(home, "default", {}).own.delete("openai", f"c{number}")


def _rotate_often(home: Path) -> None:
    for _ in range(6):
        own.rotate(home, str)


@pytest.mark.slow
def test_a_backup_while_others_write_and_rotate_is_of_one_moment(tmp_path: Path) -> None:
    home = tmp_path / "home"
    provider = Catalogue(home).get("openai")
    for name in ("default", "work"):
        Vault(home, name, {}).write(provider, "default", FIELDS, now=0.0)
    working = beside(*((_store_often, (home, number)) for number in range(2)), (_rotate_often, (home,)))
    taken = 0
    while any(each.is_alive() for each in working):
        contents = backup.gather(home, print).contents
        restored = tmp_path / f"restored{taken}"
        backup.restore(restored, contents, None, print)
        for name in ("default", "work"):
            opened = Vault(restored, name, {"HOME": str(restored)})
            for provider_name, connection in opened.names():
                assert opened.read(provider_name, connection)
            assert ("openai", "default") in opened.names()
        taken += 1
    all_end(working)
    assert taken > 3


@pytest.mark.parametrize("which", ["", "profiles/work"])
def test_a_writer_or_a_rotation_at_work_is_waited_for(held: CommandLine, offline: Path, which: str) -> None:
    command: list[str | Path] = [EXECUTABLE, "vault", "export", "--to", "b.age", "--recipient", _public(offline)]
    with locked(held.home / which):
        waiting = subprocess.Popen(command, cwd=held.project, env=held.environ(), stdout=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.5)
        assert list(held.project.iterdir()) == []
    assert waiting.wait(20) == 0
    assert [path.name for path in held.project.iterdir()] == ["b.age"]


@needs_strace
def test_a_first_login_during_a_restore_keeps_its_profile_and_its_identity(
    held: CommandLine, offline: Path, tmp_path: Path
) -> None:
    file, home = _to_key(held, offline), tmp_path / "other"
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "--inject=sync:delay_enter=3000000"]
    words = [sys.executable, "-c", _IMPORT, str(home), str(file), str(offline)]
    restoring = subprocess.Popen([*slow, *words], stderr=subprocess.PIPE, text=True)
    while not list(home.glob(".restore.*/identity.txt")):
        time.sleep(0.01)
    vault = Vault(home, "work", {"HOME": str(home)})
    vault.write(Catalogue(home).get("openai"), "default", FIELDS, now=0.0)
    mine = (home / "identity.txt").read_bytes()
    _, said = restoring.communicate(timeout=30)
    assert "another authsome made the profile `work` meanwhile" in said
    assert (home / "identity.txt").read_bytes() == mine
    assert Vault(home, "work", {"HOME": str(home)}).read("openai", "default")
    (beside,) = home.glob("identity.restored-*.txt")
    assert Vault(home, "default", {"AUTHSOME_IDENTITY_FILE": str(beside)}).read("openai", "default")
    assert list(home.glob(".restore.*")) == []


def test_what_takes_more_than_a_second_says_how_far_it_is(
    held: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    contents = backup.gather(held.home, said.append).contents
    backup.restore(tmp_path / "quick", contents, None, said.append)
    assert said == []
    monkeypatch.setattr(backup, "_SAY_EVERY", 0.0)
    contents = backup.gather(held.home, said.append).contents
    backup.restore(tmp_path / "slow", contents, None, said.append)
    assert (said[0], said[-1]) == ("authsome: read 1 of 7 files …", "authsome: wrote 9 of 9 files …")


def test_a_profile_with_many_members_is_shown_with_them(held: CommandLine, offline: Path, tmp_path: Path) -> None:
    mine = Identity.parse((held.home / "identity.txt").read_text(), "x")
    more = [{"name": str(number), "recipient": Identity.generate("x").recipient} for number in range(3)]
    keyring.change_roster(held.home / "profiles" / "work", "work", mine, lambda roster: [*roster, *more])
    file = _to_key(held, offline)
    other = _machine(tmp_path / "other")
    done = other("vault", "import", str(file), "--identity", str(offline), "--json")
    shown = {each["name"]: each["members"] for each in json.loads(done.out)["profiles"]}
    assert shown == {
        "default": [mine.recipient],
        "work": sorted([mine.recipient, *(each["recipient"] for each in more)]),
    }


def _many(home: Path, number: int) -> None:
    """Fill a profile with copies of one entry."""
    folder = home / "profiles" / "default" / "connections"
    entry = (folder / "openai" / "default.age").read_bytes()
    for each in range(number):
        path = folder / f"p{each // 10}" / f"c{each % 10}.age"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_bytes(entry)
        path.chmod(0o600)


@pytest.mark.slow
def test_thousands_of_entries_are_backed_up_and_restored_in_seconds(
    held: CommandLine, offline: Path, tmp_path: Path
) -> None:
    _many(held.home, 3_000)
    file, home = tmp_path / "b.age", tmp_path / "other"
    scripts: list[tuple[str, list[str | Path]]] = [
        (_EXPORT, [held.home, file, _public(offline)]),
        (_IMPORT, [home, file, offline]),
    ]
    for script, words in scripts:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", f"{PEAK}{script}\nprint(peak() >> 10)\n", *words],
            check=True,
            capture_output=True,
            text=True,
        )
        taken, mebibytes = time.monotonic() - started, int(done.stdout.split()[-1])
        print(f"{taken:.2f} s, {mebibytes} MiB")
        assert taken < 60  # on a machine with other work and a slow disk; alone it is three
        assert mebibytes < 256
    assert _files(home) == _files(held.home)


# The screens.


def test_the_screens_of_backups(held: CommandLine, offline: Path, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    def still(done: object) -> str:
        public = str(done).replace(_public(offline), "age1offline…").replace(mine, "age1mine…")
        return public.replace(beside, "identity.restored-….txt")

    mine = _public(held.home / "identity.txt")
    beside = sha256((held.home / "identity.txt").read_bytes()).hexdigest()[:8]
    beside = f"identity.restored-{beside}.txt"
    to_key = f"vault export --to ../b.age --recipient {_public(offline)}"
    screens = [held(*line.split()) for line in ("vault export --help", "vault import --help", "vault export")]
    sizes = [held(*line.split()) for line in (to_key, f"{to_key} --force --json", to_key)]
    screens += sizes
    other = _machine(tmp_path / "other")
    other.login("g2", "g2-CANARY-0123456789")
    restore = f"vault import ../../b.age --identity {offline}"
    for line in (restore, f"{restore} --profile work", f"{restore} --profile work --json"):
        screens.append(other(*line.split()))
    shown = "\n\n".join(map(still, screens)).replace(str(offline), "offline.txt")
    assert _without_sizes(shown) == snapshot


def _without_sizes(text: str) -> str:
    """The header holds a stanza of random length that age puts there to keep readers honest."""
    return re.sub(r'(\(|"bytes": )\d+', r"\g<1>9000", text)
