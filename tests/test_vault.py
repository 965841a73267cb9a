import base64
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth.kept import applications
from authsome.provider import CLIENT, Catalogue, Provider
from authsome.vault import Entry, Grant, Identity, Vault, files, find_identity, holding
from beside import all_end, beside
from canary import OPENAI_KEY, OTHER_OPENAI_KEY, sings
from disks import fill, small_disk
from forked import Server
from programs import needs_age
from sweep import examples

pytest_plugins = ["forked_fixtures"]

GOLDEN = Path(__file__).parent / "golden"
FIELDS = {"api_key": OPENAI_KEY}


@pytest.fixture
def openai(tmp_path: Path) -> Provider:
    return Catalogue(tmp_path).get("openai")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "home", "default", {})


def _again(vault: Vault, environ: dict[str, str] | None = None) -> Vault:
    """Return the vault as another process would open it."""
    return Vault(vault.home, vault.profile, environ or {})


def _entry_file(vault: Vault, provider: str = "openai", connection: str = "default") -> Path:
    return vault.own.path / "connections" / provider / f"{connection}.age"


def test_what_was_written_can_be_read(vault: Vault, openai: Provider) -> None:
    assert vault.write(openai, "default", FIELDS, now=0.0)
    assert vault.write(openai, "team", {"api_key": OTHER_OPENAI_KEY}, now=1.0)
    again = _again(vault)
    assert again.names() == [("openai", "default"), ("openai", "team")]
    assert again.read("openai", "default") == Entry(
        provider="openai",
        connection="default",
        generation=1,
        hosts=("api.openai.com",),
        fields=FIELDS,
        created_at="1970-01-01T00:00:00Z",
        updated_at="1970-01-01T00:00:00Z",
    )
    assert again.read("openai", "none") is None


def test_a_new_credential_is_the_next_generation(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    vault.write(openai, "default", {"api_key": OTHER_OPENAI_KEY}, now=60.0)
    entry = _again(vault).read("openai", "default")
    assert entry
    assert (entry.generation, entry.created_at, entry.updated_at) == (2, "1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z")


def test_the_same_credential_is_not_written_again(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    before = _entry_file(vault).read_bytes()
    assert not vault.write(openai, "default", FIELDS, now=99.0)
    assert _entry_file(vault).read_bytes() == before


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_folders_are_0700_and_files_0600_under_any_umask(vault: Vault, openai: Provider, umask: int) -> None:
    before = os.umask(umask)
    try:
        vault.write(openai, "default", FIELDS, now=0.0)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [vault.home, *vault.home.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_nothing_is_stored_in_plain(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    assert not any(sings(path.read_bytes()) for path in vault.home.rglob("*") if path.is_file())


def test_a_secret_hides_from_repr(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    entry = vault.read("openai", "default")
    assert entry
    identity = find_identity(vault.home, {})
    for shown in (repr(entry), str(entry), repr(holding(entry, openai)), repr(vault), repr(identity), str(identity)):
        assert not sings(shown.encode())
        assert "AGE-SECRET-KEY" not in shown


def test_deleting_needs_no_key_and_says_whether_there_was_something(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    (vault.home / "identity.txt").unlink()
    again = _again(vault)
    assert again.own.delete("openai", "default")
    assert not again.own.delete("openai", "default")
    assert again.names() == []


@needs_age
def test_stock_age_opens_everything(vault: Vault, openai: Provider, tmp_path: Path) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    outside = tmp_path / "outside"
    outside.mkdir()
    opened = outside / "profile.txt"
    keyring = vault.own.path / "keyring.age"
    subprocess.run(["age", "-d", "-i", vault.home / "identity.txt", "-o", opened, keyring], check=True)
    plain = subprocess.run(["age", "-d", "-i", opened, _entry_file(vault)], check=True, capture_output=True).stdout
    mac, text = plain.splitlines()
    assert mac.startswith(b"authsome-mac-v1 ")
    body = json.loads(text)
    assert body["fields"] == FIELDS
    assert (body["profile"], body["provider"], body["connection"]) == ("default", "openai", "default")


@needs_age
def test_a_keyring_that_was_encrypted_anew_by_hand_still_works(vault: Vault, openai: Provider, tmp_path: Path) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    keyring, recipients = vault.own.path / "keyring.age", vault.own.path / "recipients.txt"
    outside = tmp_path / "outside"
    outside.mkdir()
    subprocess.run(["age", "-d", "-i", vault.home / "identity.txt", "-o", outside / "k", keyring], check=True)
    subprocess.run(["age", "-a", "-R", recipients, "-o", keyring, outside / "k"], check=True)
    entry = _again(vault).read("openai", "default")
    assert entry
    assert entry.fields == FIELDS


@needs_age
def test_the_format_is_what_its_page_says(vault: Vault, openai: Provider, tmp_path: Path) -> None:
    """With stock age, a hash function and the page: MAC, names, fingerprint, and members changed by hand."""
    vault.write(openai, "default", FIELDS, now=0.0)
    folder, own = vault.own.path, tmp_path / "profile.txt"

    def opened(identity: Path, path: Path) -> str:
        command = ["age", "-d", "-i", str(identity), str(path)]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    own.write_text(opened(vault.home / "identity.txt", folder / "keyring.age"))
    mark = "# authsome-keyring "
    (line,) = [each for each in own.read_text().splitlines() if each.startswith(mark)]
    head = json.loads(line.removeprefix(mark))
    public, secret = own.read_text().splitlines()[-2:]
    key = hmac.new(secret.encode(), b"authsome entry mac v1\0" + head["vault"].encode(), "sha256").digest()
    mac, text = opened(own, _entry_file(vault)).splitlines()
    assert mac == f"authsome-mac-v1 {hmac.new(key, text.encode(), 'sha256').hexdigest()}"
    body = json.loads(text)
    named = (body["vault"], body["profile"], body["provider"], body["connection"], body["generation"])
    assert named == (head["vault"], "default", "openai", "default", 1)
    assert body["fields"] == FIELDS
    told = "\0".join(("authsome profile v1", head["vault"], "default", public.removeprefix("# public key: ")))
    digest = base64.b64encode(hashlib.sha256(told.encode()).digest()).decode().rstrip("=")
    assert _again(vault).own.keys().fingerprint == f"SHA256:{digest}"

    other = Identity.generate("another member")
    with (folder / "recipients.txt").open("a") as recipients:
        recipients.write(f"# by hand\n{other.recipient}\n")
    head["roster"].append({"name": "by hand", "recipient": other.recipient})
    own.write_text(own.read_text().replace(line, mark + json.dumps(head)))
    command: list[str | Path] = ["age", "-a", "-R", folder / "recipients.txt", "-o", folder / "keyring.age", own]
    subprocess.run([str(word) for word in command], check=True)
    entry = _again(vault, {"AUTHSOME_IDENTITY": other.file_text()}).read("openai", "default")
    assert entry
    assert entry.fields == FIELDS


def test_a_vault_of_format_1_opens_for_ever(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(GOLDEN / "vault-1", home)
    (home / "identity.txt").chmod(0o600)
    entry = Vault(home, "default", {}).read("openai", "default")
    assert entry
    assert entry.fields == FIELDS
    assert (entry.generation, entry.hosts) == (2, ("api.openai.com",))


def test_tokens_and_their_application_in_format_1_open_for_ever(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(GOLDEN / "vault-1-tokens", home)
    (home / "identity.txt").chmod(0o600)
    vault = Vault(home, "default", {})
    assert vault.names() == [("linkedin", "default")]
    entry, application = vault.read("linkedin", "default"), vault.own.read("linkedin", CLIENT)
    assert entry
    assert sorted(entry.fields) == ["access_token", "former_refresh_token", "refresh_token"]
    assert entry.grant == Grant(
        flow="pkce",
        hosts=("www.linkedin.com",),
        scopes=("openid", "profile"),
        asked=("openid", "profile", "email"),
        issued_at=1795300000.0,
        expires_at=1800484000.0,
        client_id="golden-app",
    )
    assert application
    ((client, hosts),) = applications(application)
    assert (client.client_id, set(hosts)) == ("golden-app", {"www.linkedin.com"})


# Attacks on the files.


def _refused(vault: Vault, code: ExitCode, message: str, name: str = "default") -> AuthsomeError:
    with pytest.raises(AuthsomeError, match=message) as caught:
        _again(vault).read("openai", name)
    assert caught.value.code is code
    return caught.value


def test_a_moved_entry_is_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    shutil.copy(_entry_file(vault), _entry_file(vault, connection="team"))
    _refused(vault, ExitCode.INTEGRITY, "is the entry of openai/default", "team")


def test_an_entry_written_without_the_keyring_is_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    keys = vault.own.keys()  # what an attacker knows is the profile's recipient
    import pyrage  # noqa: PLC0415

    body = {"version": 1, "fields": {"api_key": "attacker"}}
    forged = b"authsome-mac-v1 " + b"0" * 64 + b"\n" + json.dumps(body).encode()
    recipient = pyrage.x25519.Recipient.from_str(keys.identity.recipient)
    _entry_file(vault).write_bytes(pyrage.encrypt(forged, [recipient], armored=True))
    _refused(vault, ExitCode.INTEGRITY, "was not written by a member")


def test_an_entry_of_another_profile_is_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    other = Vault(vault.home, "other", {})
    other.write(openai, "default", FIELDS, now=0.0)
    shutil.copy(_entry_file(other), _entry_file(vault))
    _refused(vault, ExitCode.INTEGRITY, "was not encrypted to this profile")


def test_a_keyring_of_another_profile_is_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    other = Vault(vault.home, "other", {})
    other.write(openai, "default", FIELDS, now=0.0)
    shutil.copy(other.own.path / "keyring.age", vault.own.path / "keyring.age")
    _refused(vault, ExitCode.INTEGRITY, "belongs to the profile `other`")


def test_a_recipient_that_the_keyring_does_not_know_is_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    stranger = Identity.generate("x").recipient
    with (vault.own.path / "recipients.txt").open("a") as file:
        file.write(f"# harmless\n{stranger}\n")
    assert stranger in _refused(vault, ExitCode.INTEGRITY, "does not list the members").message


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "crlf-cut", "huge", "link", "fifo", "text"])
@pytest.mark.parametrize("which", ["entry", "keyring"])
def test_a_damaged_file_is_one_error_and_stays_as_it_is(
    vault: Vault, openai: Provider, damage: str, which: str, tmp_path: Path
) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    path = _entry_file(vault) if which == "entry" else vault.own.path / "keyring.age"
    good = path.read_bytes()
    path.unlink()
    if damage == "link":
        (tmp_path / "elsewhere").write_bytes(good)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "fifo":
        os.mkfifo(path)
    else:
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        path.write_bytes(
            {
                "cut": good[:-40],
                "flip": bytes(flipped),
                "empty": b"",
                "crlf-cut": good.replace(b"\n", b"\r\n")[:-60],
                "huge": good + b"x" * (9 << 20),
                "text": b"hello",
            }[damage]
        )
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(AuthsomeError) as caught:
        _again(vault).read("openai", "default")
    assert caught.value.code in (ExitCode.INTEGRITY, ExitCode.LOCKED)
    assert str(path) in caught.value.message
    with pytest.raises(AuthsomeError):
        _again(vault).write(openai, "default", {"api_key": OTHER_OPENAI_KEY}, now=0.0)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_missing_locked_and_damaged_are_three_messages(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    keyring = vault.own.path / "keyring.age"
    stranger = Identity.generate("x").file_text()
    with pytest.raises(AuthsomeError, match="is locked: AUTHSOME_IDENTITY") as locked:
        _again(vault, {"AUTHSOME_IDENTITY": stranger}).read("openai", "default")
    assert locked.value.code is ExitCode.LOCKED
    keyring.write_bytes(keyring.read_bytes()[:-50])
    _refused(vault, ExitCode.INTEGRITY, "is damaged")
    keyring.unlink()
    _refused(vault, ExitCode.INTEGRITY, "is missing")
    with pytest.raises(AuthsomeError, match="is missing"):
        _again(vault).write(openai, "default", FIELDS, now=0.0)
    assert not keyring.exists()


# Identities.


def test_without_an_identity_every_place_that_was_tried_is_named(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    (vault.home / "identity.txt").unlink()
    error = _refused(vault, ExitCode.LOCKED, "no identity to open the vault with")
    for place in ("AUTHSOME_IDENTITY: ", "AUTHSOME_IDENTITY_FILE: ", "identity.txt: "):
        assert place in (error.hint or "")


def test_a_lost_identity_is_not_replaced_while_a_profile_needs_it(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    (vault.home / "identity.txt").unlink()
    with pytest.raises(AuthsomeError, match="no identity"):
        _again(vault).write(openai, "default", {"api_key": OTHER_OPENAI_KEY}, now=0.0)
    assert not (vault.home / "identity.txt").exists()


def test_the_identity_comes_from_the_environment_or_a_file_it_names(
    vault: Vault, openai: Provider, tmp_path: Path
) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    text = (vault.home / "identity.txt").read_text()
    (vault.home / "identity.txt").unlink()
    key = text.splitlines()[-1]
    mounted = tmp_path / "mounted"
    mounted.write_text(text)
    (tmp_path / "link").symlink_to(mounted)
    for environ in ({"AUTHSOME_IDENTITY": key}, {"AUTHSOME_IDENTITY_FILE": str(tmp_path / "link")}):
        assert _again(vault, environ).read("openai", "default")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no usable age identity"),
        ("AGE-SECRET-KEY-1CANARY", "no usable age identity"),
        ("nonsense CANARY", "no usable age identity"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\nx", "is damaged"),
    ],
)
def test_an_unusable_identity_is_named_and_not_quoted(vault: Vault, text: str, message: str) -> None:
    vault.home.mkdir()
    path = vault.home / "identity.txt"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(AuthsomeError, match=message) as caught:
        find_identity(vault.home, {})
    path.unlink()
    assert caught.value.code is ExitCode.LOCKED
    assert not sings((caught.value.message + str(caught.value.hint)).encode())
    assert caught.value.__cause__ is None


def test_an_identity_that_others_can_read_is_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "default", FIELDS, now=0.0)
    (vault.home / "identity.txt").chmod(0o644)
    hint = _refused(vault, ExitCode.LOCKED, "others can read").hint or ""
    assert hint.startswith(f"chmod 600 {vault.home}/identity.txt\n")


# Two writers, and writers that die.


def _write_many(home: Path, number: int) -> None:
    provider = Catalogue(home).get("openai")
    for turn in range(5):
        Vault(home, "default", {}).write(provider, f"c{number}", {"api_key": f"{OPENAI_KEY}{number}{turn}"}, now=0.0)


def test_writers_in_twenty_processes_lose_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"  # nothing is there yet: they also race for identity and profile
    all_end(beside(*((_write_many, (home, number)) for number in range(20))))
    vault = Vault(home, "default", {})
    assert len(vault.names()) == 20
    for number in range(20):
        entry = vault.read("openai", f"c{number}")
        assert entry
        assert entry.fields == {"api_key": f"{OPENAI_KEY}{number}4"}
        assert entry.generation == 5
    assert sorted(path.name for path in (home / "profiles").iterdir()) == ["default"]


def _write_one(home: Path, number: int) -> None:
    provider = Catalogue(home).get("openai")
    for turn in range(5):
        key = f"{OPENAI_KEY}-of-{number:02}-turn-{turn}"
        assert Vault(home, "default", {}).write(provider, "default", {"api_key": key}, now=0.0)


@pytest.mark.parametrize("count", [2, 20])
def test_writers_of_one_credential_take_turns(tmp_path: Path, count: int) -> None:
    """Each of them is counted, and the last one's is there whole."""
    home = tmp_path / "home"
    all_end(beside(*((_write_one, (home, number)) for number in range(count))))
    entry = Vault(home, "default", {}).read("openai", "default")
    assert entry
    assert entry.generation == 5 * count
    assert entry.fields["api_key"].endswith("-turn-4")


_WRITER = """
import sys
from pathlib import Path
from authsome.provider import Catalogue
from authsome.vault import Vault
home = Path(sys.argv[1])
Vault(home, "default", {}).write(Catalogue(home).get("openai"), "default", {"api_key": sys.argv[2]}, 0.0)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="the program `strace` is not installed")
@pytest.mark.parametrize(
    ("call", "held_before"),
    [
        *((call, True) for call in ("openat", "write", "fsync", "rename")),
        *((call, False) for call in ("openat", "write", "fsync", "rename", "link,linkat", "unlink", "mkdir")),
        ("chmod,fchmod,fchmodat", False),
    ],
)
def test_killed_at_any_write_the_old_or_the_new_credential_is_there(
    tmp_path: Path, forking: Server, call: str, held_before: bool
) -> None:
    home = tmp_path / "home"
    provider = Catalogue(home).get("openai")
    folders = [home, home / "profiles", home / "profiles/default", home / "profiles/default/connections/openai"]
    # Every program opens hundreds of files; those of the vault are what counts.
    limit = [word for folder in folders for word in ("-P", str(folder))] if call == "openat" else []
    killed = 0
    for nth in range(1, 60):
        shutil.rmtree(home, ignore_errors=True)
        if held_before:
            Vault(home, "default", {}).write(provider, "default", FIELDS, now=0.0)
        faults = ["-f", *limit, f"--inject={call}:signal=KILL:when={nth}"]
        done = forking.cut(faults, _WRITER, home, OTHER_OPENAI_KEY, place=tmp_path / "said")
        vault = Vault(home, "default", {})
        if held_before:
            entry = vault.read("openai", "default")
            assert entry
            assert entry.fields["api_key"] in (OPENAI_KEY, OTHER_OPENAI_KEY)
        vault.write(provider, "default", {"api_key": OPENAI_KEY + "x"}, now=0.0)
        assert vault.read("openai", "default")
        if done.returncode == 0:
            break
        killed += 1
    assert done.returncode == 0
    assert killed


def test_on_a_full_disk_the_old_credential_stays(tmp_path: Path) -> None:
    """At every level of fullness, in steps of a page; afterwards a new one can be stored."""
    failed = stored = 0
    for pages in range(12):
        with small_disk(tmp_path / f"disk{pages}", 256) as disk:
            home = disk / "home"
            provider = Catalogue(home).get("openai")
            Vault(home, "default", {}).write(provider, "default", FIELDS, now=0.0)
            ballast = fill(disk, leaving=4096 * pages)
            try:
                Vault(home, "default", {}).write(provider, "default", {"api_key": OTHER_OPENAI_KEY}, now=0.0)
                expected = OTHER_OPENAI_KEY
                stored += 1
            except AuthsomeError as error:
                assert "no space left" in error.message
                expected = OPENAI_KEY
                failed += 1
            entry = Vault(home, "default", {}).read("openai", "default")
            assert entry
            assert entry.fields == {"api_key": expected}
            ballast.unlink()
            assert Vault(home, "default", {}).write(provider, "default", {"api_key": OPENAI_KEY + "x"}, now=0.0)
            assert not list(home.glob("profiles/default/connections/openai/.*"))
    assert failed
    assert stored


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=70) | st.from_regex(r"[a-z0-9_.-]{1,64}", fullmatch=True))
@example("../default")
@example("con")
@example("")
@example("a\0b")
@example("d\u0435fault")  # a Cyrillic letter
@example("x" * 64)
@example(".hidden")
def test_a_name_is_kept_as_it_is_or_refused_before_anything_is_touched(
    vault: Vault, openai: Provider, name: str
) -> None:
    before = sorted(vault.home.rglob("*"))
    try:
        vault.write(openai, name, FIELDS, now=0.0)
    except AuthsomeError as error:
        assert error.code is ExitCode.USAGE
        assert sorted(vault.home.rglob("*")) == before
        return
    assert ("openai", name) in _again(vault).names()
    assert _again(vault).read("openai", name)
    vault.own.delete("openai", name)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(max_size=2000))
def test_any_text_comes_back_as_it_was(vault: Vault, openai: Provider, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    vault.write(openai, "any", {"api_key": value}, now=0.0)
    entry = _again(vault).read("openai", "any")
    assert entry
    assert entry.fields == {"api_key": value}


def test_a_secret_of_a_mebibyte_is_kept_and_a_larger_thing_refused(vault: Vault, openai: Provider) -> None:
    vault.write(openai, "large", {"api_key": "x" * (1 << 20)}, now=0.0)
    entry = _again(vault).read("openai", "large")
    assert entry
    assert len(entry.fields["api_key"]) == 1 << 20
    with pytest.raises(AuthsomeError, match="too large"):
        vault.write(openai, "larger", {"api_key": "x" * (5 << 20)}, now=0.0)
    assert ("openai", "larger") not in vault.names()


def test_a_vault_opens_again_for_an_identity_that_could_be_read_only_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    provider = Catalogue(home).get("openai")
    Vault(home, "default", {}).write(provider, "default", {"api_key": OPENAI_KEY}, 0)
    once = tmp_path / "once.txt"
    (home / "identity.txt").rename(once)
    vault = Vault(home, "default", {"AUTHSOME_IDENTITY_FILE": str(once)})
    vault.read("openai", "default")
    once.unlink()
    assert vault.again().again().read("openai", "default") == vault.read("openai", "default")


def test_who_waited_for_a_profile_that_was_made_anew_holds_the_new_one(vault: Vault, tmp_path: Path) -> None:
    """Held was the folder that had been there: two writers at once, and each took the other for gone."""
    folder = vault.own.path
    vault.own.create()
    taken, done = threading.Event(), threading.Event()

    def wait() -> None:
        with files.locked(folder):
            taken.set()
            done.wait(10)

    waiting = threading.Thread(target=wait)
    with files.locked(folder):
        waiting.start()
        time.sleep(0.2)
        folder.rename(tmp_path / "removed")
        vault.own.create()
    try:
        assert taken.wait(10)
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    finally:
        done.set()
        waiting.join()
