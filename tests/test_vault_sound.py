"""A vault's files, seen without a key."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from syrupy.assertion import SnapshotAssertion

from authsome.provider import Catalogue, Provider
from authsome.vault import Identity, Vault, find_identity, keyring, own
from authsome.vault.age import encrypt
from authsome.vault.armor import FormError, armored, look, unarmored
from authsome.vault.sound import verify
from canary import ANTHROPIC_KEY, OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from programs import needs_git
from sweep import examples

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

FIELDS = {"api_key": OPENAI_KEY}


@pytest.fixture
def openai(tmp_path: Path) -> Provider:
    return Catalogue(tmp_path).get("openai")


@pytest.fixture
def vault(tmp_path: Path, openai: Provider) -> Vault:
    vault = Vault(tmp_path / "home", "default", {})
    vault.write(openai, "default", FIELDS, now=0.0)
    vault.write(openai, "team", FIELDS, now=0.0)
    return vault


def _found(vault: Vault, *, private: bool = True) -> dict[str, str]:
    report = verify(vault.home, private=private)
    return {str(each.path.relative_to(vault.home)): each.what for each in report.problems}


def test_a_vault_as_it_is_written_is_sound_and_needs_no_identity(vault: Vault) -> None:
    (vault.home / "identity.txt").unlink()
    report = verify(vault.home, private=True)
    assert (report.profiles, report.files, report.problems) == (1, 4, ())


def test_no_vault_is_a_sound_one(tmp_path: Path) -> None:
    assert verify(tmp_path / "nothing", private=True).problems == ()


def _flip(content: bytes) -> bytes:
    raw = bytearray(unarmored(content))
    raw[10] ^= 1
    return armored(bytes(raw))


def _conflict(content: bytes) -> bytes:
    return b"<<<<<<< HEAD\n" + content + b"=======\n" + content + b">>>>>>> branch\n"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda content: content[:-40], "is damaged: its end is missing"),
        (lambda content: content.replace(b"\n", b"\n\n", 3), "is damaged: a line has another length than age writes"),
        (lambda content: content[:100] + b"!" + content[101:], "is damaged: it is not base64"),
        (lambda content: armored(unarmored(content)[:120]), "is damaged: its header is none of age's"),
        (
            lambda content: armored(unarmored(content)[: unarmored(content).index(b"--- ") + 60]),
            "is damaged: it was cut",
        ),
        (_flip, "is damaged: its header is none of age's"),
        (_conflict, "has a conflict that git left; {mend}"),
        (lambda _: b"", "is not an age file"),
        (lambda _: b'{"api_key": "CANARY"}', "is not an age file"),
        (lambda _: b"x" * (9 << 20), "is too large to be what it should be"),
        (lambda _: b"AGE-SECRET-KEY-1CANARY\n", "is not an age file, and holds a secret key in the clear"),
    ],
    ids=[
        "cut",
        "lines",
        "character",
        "half-header",
        "no-payload",
        "header",
        "conflict",
        "empty",
        "plain",
        "huge",
        "key",
    ],
)
@pytest.mark.parametrize("name", ["keyring.age", "connections/openai/team.age"])
def test_what_is_no_age_file_is_found(vault: Vault, name: str, change: Callable[[bytes], bytes], what: str) -> None:
    path = vault.own.path / name
    path.write_bytes(change(path.read_bytes()))
    keep = f"keep one side: git checkout --ours -- {path} (or --theirs)"
    mend = "join both sides: authsome vault resolve" if name == "keyring.age" else keep
    assert _found(vault) == {f"profiles/default/{name}": what.format(mend=mend)}
    path.unlink()


def test_lines_that_end_as_on_windows_are_sound(vault: Vault) -> None:
    for path in vault.own.path.rglob("*.age"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert _found(vault) == {}
    assert Vault(vault.home, "default", {}).read("openai", "default")


def test_what_lies_beside_a_vaults_files_is_found(vault: Vault) -> None:
    folder = vault.own.path
    (folder / "export.env").write_text("OPENAI_API_KEY=...")
    shutil.copy(vault.home / "identity.txt", folder / "connections" / "openai" / "k.txt")
    (folder / "connections" / "note").write_text("x")
    (folder / "connections" / "openai" / "Team.age").write_bytes((folder / "keyring.age").read_bytes())
    (folder / "connections" / "openai" / "Team.age").chmod(0o600)
    (folder / "connections" / "nul").mkdir(mode=0o700)
    (folder / "connections" / "openai" / "link.age").symlink_to("team.age")
    (folder / "more").mkdir()
    (vault.home / "profiles" / "Other").mkdir(mode=0o700)
    (folder / ".gitattributes").write_text("*.age diff=authsome\n")
    draft = folder / "connections" / "openai" / ".team.age.123.0123abcd"  # by a writer that was killed
    draft.write_bytes((folder / "keyring.age").read_bytes()[:50])
    stranger = "does not belong in a vault, and is not encrypted"
    assert _found(vault) == {
        "profiles/Other": "is not named as a profile can be",
        "profiles/Other/keyring.age": "is missing",
        "profiles/Other/recipients.txt": "is missing",
        "profiles/default/connections/note": stranger,
        "profiles/default/connections/nul": "is not named as a provider can be",
        "profiles/default/connections/openai/Team.age": "is not named as a connection can be",
        "profiles/default/connections/openai/k.txt": "holds a secret key in the clear",
        "profiles/default/connections/openai/link.age": "is a symbolic link",
        "profiles/default/export.env": stranger,
        "profiles/default/more": stranger,
    }


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (
            "# nobody\n",
            {"recipients.txt": "lists nobody", "keyring.age": "is for 1 recipient, recipients.txt lists 0"},
        ),
        ("hello\n", {"recipients.txt": "has a line that is no recipient this version can encrypt to"}),
        ("{mine}\n{other}\n", {"keyring.age": "is for 1 recipient, recipients.txt lists 2"}),
        ("{mine}\n{mine}\n", {}),
        ("{mine}\n# AGE-SECRET-KEY-1X\n", {"recipients.txt": "holds a secret key in the clear"}),
    ],
)
def test_a_list_that_cannot_be_the_keyrings_is_found(vault: Vault, lines: str, found: dict[str, str]) -> None:
    mine, other = find_identity(vault.home, {}).recipient, Identity.generate("x").recipient
    (vault.own.path / "recipients.txt").write_text(lines.format(mine=mine, other=other))
    assert _found(vault) == {f"profiles/default/{name}": what for name, what in found.items()}


def test_an_entry_that_more_than_the_profile_can_open_is_found(vault: Vault) -> None:
    reader, stranger = Identity.generate("x"), Identity.generate("x")
    path = vault.own.path / "connections" / "openai" / "team.age"
    path.write_bytes(encrypt(b"x", [reader.recipient, stranger.recipient], reader))
    assert list(_found(vault).values()) == ["is for X25519, X25519, not for the profile alone"]


def test_several_members_are_sound_and_so_is_a_rotation(vault: Vault) -> None:
    more = [{"name": str(number), "recipient": Identity.generate("x").recipient} for number in range(20)]
    keyring.change_roster(vault.own.path, "default", find_identity(vault.home, {}), lambda roster: [*roster, *more])
    own.rotate(vault.home, str)
    assert _found(vault) == {}


def test_modes_count_in_the_home_and_not_in_a_repository(vault: Vault) -> None:
    paths = ["profiles/default", "profiles/default/keyring.age", "profiles/default/connections/openai/team.age"]
    for path in paths:
        (vault.home / path).chmod(0o755)
    assert _found(vault) == dict.fromkeys(paths, "can be used by others (mode 0755)")
    assert list(_found(vault, private=False)) == ["identity.txt"]


def test_an_identity_in_a_repositorys_vault_is_found(vault: Vault) -> None:
    assert _found(vault, private=False) == {"identity.txt": "holds a secret key in the clear"}


@pytest.mark.slow
def test_ten_thousand_files_are_looked_at_in_seconds(vault: Vault) -> None:
    entry = (vault.own.path / "connections" / "openai" / "team.age").read_bytes()
    for number in range(10_000):
        path = vault.own.path / "connections" / f"p{number // 10}" / f"c{number % 10}.age"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_bytes(entry)
        path.chmod(0o600)
    started = time.monotonic()
    report = verify(vault.home, private=True)
    taken = time.monotonic() - started
    assert (report.files, report.problems) == (10_004, ())
    assert taken < 10
    print(f"{taken:.2f} s")


@settings(max_examples=30, deadline=None)
@given(size=st.one_of(st.integers(0, 300), st.integers(-20, 20).map(lambda off: (1 << 16) * 2 + off)))
def test_the_size_that_shows_is_the_plaintexts(size: int) -> None:
    reader = Identity.generate("x")
    outside = look(encrypt(b"x" * size, [reader.recipient], reader))
    assert (outside.stanzas, outside.size) == (("X25519",), size)


@settings(max_examples=examples(200), deadline=None)
@given(content=st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(armored)))
def test_whatever_is_no_age_file_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(FormError):
        look(content)


# The commands.


def test_the_screens_of_vault(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    authsome.login("openai", OPENAI_KEY)
    entry = str(authsome.home / "profiles" / "default" / "connections" / "openai" / "default.age")
    screens = [
        str(authsome(*line.split()))
        for line in ("vault --help", "vault verify --help", "vault textconv --help", "vault verify", "vault verify no")
    ]
    screens.append(str(authsome("vault", "verify", "--json")))
    shown = json.loads(authsome("vault", "textconv", entry, "--json").out)
    screens.append(json.dumps({name: type(each).__name__ for name, each in shown.items()}))
    Path(entry).write_text("OPENAI_API_KEY=")
    screens += [str(authsome("vault", "verify")), str(authsome("vault", "verify", "--json"))]
    assert "\n\n".join(screens).replace(str(authsome.home), "~/.authsome") == snapshot


def _git(authsome: CommandLine, *words: str) -> subprocess.CompletedProcess[str]:
    named = ["-c", "user.name=tester", "-c", "user.email=tester@example.com"]
    path = {"PATH": f"{EXECUTABLE.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["git", *named, *words],
        cwd=authsome.project,
        env=authsome.environ() | path,
        capture_output=True,
        text=True,
        check=False,
    )


@needs_git
def test_a_pre_commit_hook_refuses_plaintext(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    shutil.copytree(authsome.home / "profiles", authsome.project / ".authsome" / "profiles")
    _git(authsome, "init", "-q")
    hook = authsome.project / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexec authsome vault verify .authsome\n")
    hook.chmod(0o755)
    _git(authsome, "add", ".authsome")
    assert _git(authsome, "commit", "-q", "-m", "vault").returncode == 0
    (authsome.project / ".authsome" / "profiles" / "default" / "keys.env").write_text("KEY=")
    _git(authsome, "add", ".authsome")
    done = _git(authsome, "commit", "-q", "-m", "keys")
    assert done.returncode == 1
    assert ".authsome/profiles/default/keys.env does not belong in a vault" in done.stdout + done.stderr


def _changed(authsome: CommandLine) -> str:
    """Commit an entry and a keyring, change both, and return who was let in."""
    authsome.declare("version: 1\n")
    _git(authsome, "init", "-q")
    _git(authsome, "config", "diff.authsome.textconv", "authsome vault textconv")
    vault = Vault(authsome.home, "default", {}, project=authsome.project)
    openai = Catalogue(authsome.home).get("openai")
    vault.write(openai, "team", FIELDS, now=0.0, shared=True)
    _git(authsome, "add", ".")
    _git(authsome, "commit", "-q", "-m", "vault")
    vault.write(openai, "team", {"api_key": f"{OTHER_OPENAI_KEY}x"}, now=60.0, shared=True)
    assert vault.shared
    ben = {"name": "ben", "recipient": Identity.generate("x").recipient}
    keyring.change_roster(vault.shared.path, "default", find_identity(authsome.home, {}), lambda roster: [*roster, ben])
    return ben["recipient"]


def _history_of_an_entry(authsome: CommandLine) -> str:
    """Commit two versions of an entry, and of a keyring; return what git shows of both changes."""
    ben = _changed(authsome)
    unstaged = _git(authsome, "diff").stdout
    _git(authsome, "commit", "-q", "-a", "-m", "more")
    logged = _git(authsome, "log", "-p", "-1", "--", ".authsome").stdout
    both = unstaged + logged
    assert not sings(both.encode())
    assert f"+member:      ben {ben}\n" in unstaged
    for line in (
        "-generation:  1",
        "+generation:  2",
        "-field:       api_key (29 bytes)",
        "+field:       api_key (30 bytes)",
    ):
        assert both.count(f"{line}\n") == 2, line
    assert both.count("+updated_at:  1970-01-01T00:01:00Z\n") == 2
    assert "-----BEGIN AGE" not in both
    return both


@needs_git
def test_a_diff_in_git_says_what_changed_to_a_member_and_no_value(authsome: CommandLine) -> None:
    shown = _history_of_an_entry(authsome)
    for line in (" connection:  team", " hosts:       api.openai.com", " mac:         holds", " profile:     default"):
        assert line in shown


@needs_git
@pytest.mark.parametrize(
    "hide",
    [
        lambda line: (line.home / "identity.txt").unlink(),
        lambda line: line.env.update(AUTHSOME_IDENTITY_COMMAND="touch asked; cat identity.txt"),
        lambda line: line.env.update(AUTHSOME_IDENTITY=f"{Identity.generate('x').file_text().split()[-1]}"),
        lambda line: line.env.update(AUTHSOME_IDENTITY_FILE=_pipe(line.root / "pipe")),
        lambda line: own.protect(line.home, str, lambda: "CANARY-passphrase"),
    ],
    ids=["none", "command", "another", "pipe", "passphrase"],
)
def test_a_diff_asks_nobody_and_starts_nothing(authsome: CommandLine, hide: Callable[[CommandLine], object]) -> None:
    _changed(authsome)
    _git(authsome, "commit", "-q", "-a", "-m", "more")
    hide(authsome)
    shown = _git(authsome, "log", "-p", "-1", "--", ".authsome").stdout
    assert not sings(shown.encode())
    assert shown.count("+sha256:") == 2
    assert "generation" not in shown
    assert not list(authsome.root.rglob("asked"))


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def _shown(authsome: CommandLine, path: Path) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(authsome("vault", "textconv", str(path), "--json").out)
    return shown


def test_what_no_member_wrote_is_not_repeated(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    folder = authsome.home / "profiles" / "default"
    mine = find_identity(authsome.home, {})
    keys = keyring.open_keyring(folder, "default", mine)
    forged = authsome.root / "forged"
    forged.write_bytes(encrypt(b'authsome-mac-v1 0\n{"provider": "paypal"}', [keys.identity.recipient], keys.identity))
    shown = _shown(authsome, forged)
    assert (shown["file"], shown["mac"]) == ("entry", "does not hold, no member of this profile wrote it")
    assert "provider" not in shown


def test_keys_that_were_not_accepted_here_are_told_of(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    entry = authsome.home / "profiles" / "default" / "connections" / "openai" / "default.age"
    assert _shown(authsome, entry)["accepted"]
    shutil.rmtree(authsome.home / "pins")
    assert not _shown(authsome, entry)["accepted"]
    assert "keys:        not accepted on this machine\n" in authsome("vault", "textconv", str(entry)).out
    assert not (authsome.home / "pins").exists()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="the program `ssh-keygen` is not installed")
@pytest.mark.parametrize("secret", ["", "CANARY-passphrase"], ids=["plain", "passphrase"])
def test_an_ssh_key_on_the_roster_tells_unless_a_passphrase_protects_it(authsome: CommandLine, secret: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    folder = authsome.home / "profiles" / "default"
    key = authsome.root / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", secret, "-f", key], check=True)
    me = {"name": "me", "recipient": key.with_suffix(".pub").read_text().strip()}
    keyring.change_roster(folder, "default", find_identity(authsome.home, {}), lambda roster: [*roster, me])
    (authsome.home / "identity.txt").unlink()
    shown = _shown(authsome, folder / "connections" / "openai" / "default.age")
    assert shown.get("fields") == (None if secret else {"api_key": 29})


def test_textconv_tells_of_an_identity_in_the_environment_too(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    entry = authsome.home / "profiles" / "default" / "connections" / "openai" / "default.age"
    key = (authsome.home / "identity.txt").read_text().split()[-1]
    (authsome.home / "identity.txt").rename(authsome.root / "elsewhere")
    assert "provider" not in _shown(authsome, entry)
    authsome.env["AUTHSOME_IDENTITY"] = key
    assert _shown(authsome, entry)["fields"] == {"api_key": 29}
    authsome.env = {"AUTHSOME_IDENTITY_FILE": str(authsome.root / "elsewhere")}
    assert _shown(authsome, entry)["fields"] == {"api_key": 29}


@needs_git
def test_a_diff_in_git_says_what_shows_and_asks_nobody(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    folder = authsome.project / ".authsome" / "profiles"
    shutil.copytree(authsome.home / "profiles", folder)
    (authsome.project / ".gitattributes").write_text(".authsome/**/*.age diff=authsome\n")
    _git(authsome, "init", "-q")
    _git(authsome, "add", ".")
    _git(authsome, "commit", "-q", "-m", "vault")
    _git(authsome, "config", "diff.authsome.textconv", "authsome vault textconv")
    authsome.login("openai", OTHER_OPENAI_KEY, "--force")
    authsome.login("anthropic", ANTHROPIC_KEY)
    (authsome.home / "identity.txt").unlink()
    shutil.copytree(authsome.home / "profiles", folder, dirs_exist_ok=True)
    _git(authsome, "add", ".")
    shown = _git(authsome, "diff", "--cached").stdout
    assert shown.count("+sha256:") == 2
    assert " state:       encrypted\n" in shown
    assert "+recipients:  X25519\n" in shown


def test_textconv_waits_for_no_pipe(authsome: CommandLine) -> None:
    os.mkfifo(authsome.project / "pipe.age")
    done = authsome("vault", "textconv", str(authsome.project / "pipe.age"))
    assert done.code == 5
    assert "is not a regular file" in done.err
