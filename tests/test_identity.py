"""Where the identity comes from, and what keeps it."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from syrupy.assertion import SnapshotAssertion

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Catalogue, Provider
from authsome.vault import Given, Identity, Vault, armor, find_identity, keyring, own, passphrase, program
from beside import all_end, beside
from canary import OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from forked import Server
from programs import needs_age, needs_ssh, needs_strace
from sweep import points
from terminal import Person
from weight import PEAK

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

FIELDS = {"api_key": OPENAI_KEY}
PASSPHRASE = "correct CANARY battery stäple"
QUICK = 4  # the cost of what only tests read


@pytest.fixture
def openai(tmp_path: Path) -> Provider:
    return Catalogue(tmp_path).get("openai")


@pytest.fixture
def held(tmp_path: Path, openai: Provider) -> Vault:
    """A vault with one credential, whose identity has been moved out of the home."""
    vault = Vault(tmp_path / "home", "default", {})
    vault.write(openai, "default", FIELDS, now=0.0)
    (vault.home / "identity.txt").rename(tmp_path / "mine.txt")
    return vault


@pytest.fixture
def mine(held: Vault, tmp_path: Path) -> Path:
    del held
    return tmp_path / "mine.txt"


def _opens(vault: Vault, environ: dict[str, str], extra: Given | None = None) -> bool:
    entry = Vault(vault.home, vault.profile, {"HOME": str(vault.home), **environ}, extra).read("openai", "default")
    return entry is not None and entry.fields == FIELDS


def _locked(vault: Vault, environ: dict[str, str], extra: Given | None = None) -> AuthsomeError:
    with pytest.raises(AuthsomeError) as caught:
        _opens(vault, environ, extra)
    assert caught.value.code is ExitCode.LOCKED
    assert not sings(f"{caught.value.message}{caught.value.hint}".encode())
    return caught.value


def _stranger(path: Path) -> Path:
    path.write_text(Identity.generate("x").file_text())
    path.chmod(0o600)
    return path


def _places(error: AuthsomeError) -> dict[str, str]:
    lines = (error.hint or "").partition("Looked at, in this order:\n")[2].splitlines()
    return dict(line.strip().split(": ", 1) for line in lines)


# The places.


def test_each_place_opens_the_vault(held: Vault, mine: Path) -> None:
    assert _opens(held, {}, Given(file=str(mine)))
    assert _opens(held, {"AUTHSOME_IDENTITY": mine.read_text()})
    assert _opens(held, {"AUTHSOME_IDENTITY_FILE": str(mine)})
    assert _opens(held, {"AUTHSOME_IDENTITY_COMMAND": f"cat {mine}"})
    mine.rename(held.home / "identity.txt")
    assert _opens(held, {})


def test_the_first_place_that_is_named_decides(held: Vault, mine: Path, tmp_path: Path) -> None:
    shutil.copy(mine, held.home / "identity.txt")
    stranger = _stranger(tmp_path / "stranger.txt")
    named = [
        ("--identity", {}, Given(file=str(stranger))),
        ("AUTHSOME_IDENTITY", {"AUTHSOME_IDENTITY": stranger.read_text()}, None),
        ("AUTHSOME_IDENTITY_FILE", {"AUTHSOME_IDENTITY_FILE": str(stranger)}, None),
        ("AUTHSOME_IDENTITY_COMMAND", {"AUTHSOME_IDENTITY_COMMAND": f"cat {stranger}"}, None),
    ]
    later: dict[str, str] = {}
    for place, environ, extra in reversed(named):
        # What comes later in the order would open the vault, and is not looked at.
        error = _locked(held, later | environ, extra)
        assert "the profile `default` is locked" in error.message
        assert _places(error)[str(held.home / "identity.txt")] == f"not looked at, {place} is given"
        later = {"AUTHSOME_IDENTITY_COMMAND": f"cat {mine}"}


def test_every_place_is_reported_in_its_order(held: Vault) -> None:
    assert list(_places(_locked(held, {})).items()) == [
        *((place, "not given") for place in ("--identity", "AUTHSOME_IDENTITY", "AUTHSOME_IDENTITY_FILE")),
        ("AUTHSOME_IDENTITY_COMMAND", "not given"),
        (str(held.home / "identity.txt"), "does not exist"),
        (str(held.home / ".ssh" / "id_ed25519"), "does not exist"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AGE-PLUGIN-YUBIKEY-1CANARY", "an identity of a plugin"),
        ("AGE-SECRET-KEY-PQ-1CANARY", "an identity for post-quantum keys"),
        ("-----BEGIN RSA PRIVATE KEY-----\nCANARY\n-----END RSA PRIVATE KEY-----", "a private key in an old form"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----", "no usable ssh key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "no usable ssh key"),
        ("age-encryption.org/v1\n-> X25519 CANARY\n", "is encrypted to recipients, not with a passphrase"),
        ("\0" * 200_000, "too large to be an identity"),
    ],
    ids=["plugin", "post-quantum", "old-rsa", "not-ssh", "empty-ssh", "recipients", "huge"],
)
def test_what_cannot_be_used_is_explained_and_not_quoted(held: Vault, text: str, message: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "identity").write_text(text)
    error = _locked(held, {"AUTHSOME_IDENTITY_FILE": str(outside / "identity")})
    assert message in error.message


def test_two_identities_in_one_file_are_refused(held: Vault, mine: Path) -> None:
    both = mine.read_text() + Identity.generate("x").file_text()
    assert "holds 2 identities" in _locked(held, {"AUTHSOME_IDENTITY": both}).message


# A program that prints it.


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "a program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        return f"'{path}' one '$HOME;two'"

    return write


def test_the_program_is_run_once_and_through_no_shell(
    held: Vault, mine: Path, script: Callable[[str], str], tmp_path: Path
) -> None:
    command = script(f'echo "$@" "[$AUTHSOME_IDENTITY_COMMAND]" >> {tmp_path}/runs; cat {mine}')
    for _ in range(3):
        assert _opens(held, {"AUTHSOME_IDENTITY_COMMAND": command, "PATH": os.environ["PATH"]})
    assert (tmp_path / "runs").read_text() == "one $HOME;two []\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("false", "`false` ended with 1"),
        ("sh -c 'kill -9 $$'", "`sh` was ended by signal 9"),
        ("true", "`true` printed nothing"),
        ("/nowhere/CANARY", None),
        ("'", "does not parse"),
        (" ", "names no program"),
        ("yes CANARY", "`yes` printed more than an identity can be"),
        ("echo CANARY", "holds no usable age identity"),
    ],
)
def test_a_program_that_fails_is_one_of_the_attempts(held: Vault, command: str, message: str | None) -> None:
    environ = {"AUTHSOME_IDENTITY_COMMAND": command, "PATH": os.environ["PATH"]}
    if message is None:
        with pytest.raises(AuthsomeError, match="cannot run `/nowhere/CANARY`: no such file"):
            _opens(held, environ)
        return
    error = _locked(held, environ)
    assert message in error.message
    assert "AUTHSOME_IDENTITY_COMMAND" in error.message
    assert _places(error)["AUTHSOME_IDENTITY_COMMAND"] == "cannot be used"


def test_a_program_that_takes_too_long_is_ended_and_one_that_takes_long_is_said() -> None:
    said: list[str] = []
    started = time.monotonic()
    with pytest.raises(AuthsomeError, match=r"`sleep` took longer than 1\.5 s"):
        program.run("sleep 30", os.environ, said.append, seconds=1.5)
    assert time.monotonic() - started < 10
    assert said == ["authsome: waiting for AUTHSOME_IDENTITY_COMMAND (sleep), up to 1.5 s …"]


def test_what_a_program_leaves_running_is_not_waited_for() -> None:
    started = time.monotonic()
    assert program.run("sh -c 'sleep 20 & echo key'", os.environ, print) == b"key\n"
    assert time.monotonic() - started < 10


def test_a_programs_own_words_reach_the_terminal_and_standard_input_is_not_its(authsome: CommandLine) -> None:
    authsome.login("g2", "g2-CANARY-token")
    identity = authsome.home / "identity.txt"
    authsome.env = {"AUTHSOME_IDENTITY_COMMAND": f"sh -c 'echo touch the key >&2; cat; cat {identity}'"}
    done = authsome("login", "openai", "--stdin", given=OPENAI_KEY)
    assert (done.code, done.err.splitlines()[0]) == (0, "touch the key")
    assert authsome("get", "openai", "--field", "status").out == "connected\n"


# Keys of ssh.


def _ssh_key(path: Path, kind: str, secret: str = "", *more: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", secret, *more, "-f", path], check=True)
    return path


@needs_ssh
@needs_age
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_profile_can_be_an_ssh_keys(tmp_path: Path, openai: Provider, kind: str) -> None:
    key = _ssh_key(tmp_path / "key", kind)
    environ = {"AUTHSOME_IDENTITY_FILE": str(key)}
    vault = Vault(tmp_path / "home", "default", environ)
    vault.write(openai, "default", FIELDS, now=0.0)
    assert _opens(vault, environ)
    assert not (vault.home / "identity.txt").exists()
    opened = subprocess.run(
        ["age", "-d", "-i", key, vault.own.path / "keyring.age"], check=True, capture_output=True
    ).stdout
    assert b"# authsome-keyring " in opened
    # By hand, as the manual shows it, with the comment that ssh-keygen writes.
    public = (tmp_path / "key.pub").read_text()
    (vault.own.path / "recipients.txt").write_text(f"# me\n{public}")
    subprocess.run(
        ["age", "-a", "-R", vault.own.path / "recipients.txt", "-o", vault.own.path / "keyring.age"],
        input=opened,
        check=True,
    )
    assert _opens(vault, environ)


@needs_ssh
def test_the_ssh_key_of_the_home_is_used_if_it_is_on_the_roster(tmp_path: Path, openai: Provider) -> None:
    key = _ssh_key(tmp_path / ".ssh" / "id_ed25519", "ed25519")
    vault = Vault(tmp_path / "home", "default", {"AUTHSOME_IDENTITY_FILE": str(key)})
    vault.write(openai, "default", FIELDS, now=0.0)
    assert _opens(vault, {"HOME": str(tmp_path)})
    _stranger(vault.home / "identity.txt")  # which is looked at first, and does not open it
    assert _opens(vault, {"HOME": str(tmp_path)})
    _ssh_key(tmp_path / "other" / ".ssh" / "id_ed25519", "ed25519")
    places = _places(_locked(vault, {"HOME": str(tmp_path / "other")}))
    assert places[str(tmp_path / "other" / ".ssh" / "id_ed25519")] == "not a member of this profile"


@needs_ssh
def test_an_ssh_key_that_cannot_be_used_is_explained(held: Vault, tmp_path: Path) -> None:
    for name, kind, secret, more, message in (
        ("sealed", "ed25519", "secret", (), "is an ssh key with a passphrase"),
        ("ecdsa", "ecdsa", "", (), "a key of the type ecdsa-sha2-nistp256, age takes ssh-ed25519 and ssh-rsa"),
        ("pem", "rsa", "", ("-m", "PEM"), "a private key in an old form"),
    ):
        key = _ssh_key(tmp_path / name, kind, secret, *more)
        environ = {"AUTHSOME_IDENTITY_FILE": str(key)}
        assert message in _locked(held, environ).message


# Under a passphrase.


def _asked(*answers: str) -> tuple[Given, list[str]]:
    left, asked = list(answers), []

    def ask(origin: str) -> str:
        asked.append(origin)
        return left.pop(0)

    return Given(ask=ask), asked


def _protect(path: Path, *, log_n: int = QUICK) -> None:
    path.write_bytes(passphrase.protect(path.read_bytes(), PASSPHRASE, os.urandom, log_n=log_n))


def test_a_protected_identity_is_asked_for_and_may_be_mistyped_twice(held: Vault, mine: Path) -> None:
    _protect(mine)
    extra, asked = _asked("wrong", "", PASSPHRASE)
    assert _opens(held, {"AUTHSOME_IDENTITY_FILE": str(mine)}, extra)
    assert asked == [str(mine), *[f"{mine}, once more: that was not it"] * 2]
    extra, _ = _asked("wrong", "wrong", "wrong")
    error = _locked(held, {"AUTHSOME_IDENTITY_FILE": str(mine)}, extra)
    assert "was wrong 3 times" in error.message


def test_without_anybody_to_ask_a_protected_identity_is_one_of_the_attempts(held: Vault, mine: Path) -> None:
    _protect(mine)
    error = _locked(held, {"AUTHSOME_IDENTITY_FILE": str(mine)})
    assert "protected by a passphrase, and there is nobody to ask" in error.message


@settings(max_examples=60, deadline=None)
@given(
    text=st.binary(max_size=3000),
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    log_n=st.integers(1, 6),
)
def test_any_passphrase_opens_what_it_protects(text: bytes, secret: str, log_n: int) -> None:
    made = passphrase.protect(text, secret, os.urandom, log_n=log_n)
    assert passphrase.unprotect(made, secret) == text
    assert passphrase.unprotect(made.replace(b"\n", b"\r\n"), secret) == text
    assert passphrase.unprotect(_bare(made), secret) == text
    with pytest.raises(passphrase.WrongPassphraseError):
        passphrase.unprotect(made, secret + "x")


def _bare(armored: bytes) -> bytes:
    return b64decode(b"".join(armored.splitlines()[1:-1]))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_what_was_changed_or_cut_never_opens(data: st.DataObject) -> None:
    made = _bare(passphrase.protect(b"AGE-SECRET-KEY-1CANARY\n", PASSPHRASE, os.urandom, log_n=1))
    place = data.draw(st.integers(0, len(made) - 1))
    changed = bytearray(made)
    changed[place] ^= data.draw(st.integers(1, 255))
    for content in (bytes(changed), made[:place]):
        try:
            opened = passphrase.unprotect(content, PASSPHRASE)
        except (passphrase.WrongPassphraseError, armor.FormError):
            continue
        pytest.fail(f"opened with byte {place} changed: {len(opened)} bytes")


def test_a_file_that_asks_for_more_than_a_gibibyte_is_refused_unread(held: Vault, mine: Path) -> None:
    made = _bare(passphrase.protect(mine.read_bytes(), PASSPHRASE, os.urandom, log_n=9))
    for cost in (21, 30, 99):
        mine.write_bytes(made.replace(b" 9\n", b" %d\n" % cost, 1))
        extra, asked = _asked()
        error = _locked(held, {"AUTHSOME_IDENTITY_FILE": str(mine)}, extra)
        assert "more than 1 GiB" in error.message
        assert asked == []


def test_other_threads_go_on_while_a_passphrase_is_tried() -> None:
    made = passphrase.protect(b"x", PASSPHRASE, os.urandom)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.002):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.monotonic()
    passphrase.unprotect(made, PASSPHRASE)
    ended = time.monotonic()
    done.set()
    thread.join()
    during = [moment for moment in ticks if started < moment < ended]
    assert len(during) > (ended - started) / 0.002 / 10


def test_protecting_takes_less_than_128_mebibytes() -> None:
    script = (
        "import os\n"
        "from authsome.vault import passphrase\n"
        "before = peak()\n"
        "passphrase.unprotect(passphrase.protect(b'x', 'y', os.urandom), 'y')\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", PEAK + script], check=True, capture_output=True, text=True)
    assert 1 << 10 < int(done.stdout) < 128 << 10  # KiB


def test_a_machine_without_the_memory_says_so(mine: Path) -> None:
    _protect(mine, log_n=19)
    script = (
        "import resource, sys\n"
        "from authsome.vault import armor, passphrase\n"
        "resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))\n"
        "try: passphrase.unprotect(open(sys.argv[1], 'rb').read(), 'x')\n"
        "except armor.FormError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, mine], check=True, capture_output=True, text=True)
    assert done.stdout == "needs 512 MiB of memory to open, which this machine does not give\n"


@needs_age
@settings(max_examples=5, deadline=None)
@given(
    secret=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40),
    text=st.binary(min_size=1, max_size=500),
)
def test_stock_age_opens_what_we_protect(tmp_path_factory: pytest.TempPathFactory, secret: str, text: bytes) -> None:
    folder = tmp_path_factory.mktemp("age")
    (folder / "x.age").write_bytes(passphrase.protect(text, secret, os.urandom, log_n=8))
    _age(folder, secret, "-d", "-o", "x", "x.age")
    assert (folder / "x").read_bytes() == text


@needs_age
@pytest.mark.parametrize("armor", [["-a"], []])
def test_we_open_what_stock_age_protects(held: Vault, mine: Path, tmp_path: Path, armor: list[str]) -> None:
    _age(tmp_path, PASSPHRASE, "-p", *armor, "-o", "protected.age", mine.name)
    extra, _ = _asked(PASSPHRASE)
    assert _opens(held, {"AUTHSOME_IDENTITY_FILE": str(tmp_path / "protected.age")}, extra)


def _age(folder: Path, secret: str, *arguments: str) -> None:
    """Run stock age, which asks at its terminal."""
    person = Person([shutil.which("age") or "age", *arguments], dict(os.environ), folder)
    assert person.sees("nter passphrase")
    person.types(f"{secret}\n")
    if "-p" in arguments:
        assert person.sees("onfirm passphrase")
        person.types(f"{secret}\n")
    assert person.ends() == 0, person.screen


# The commands.


def _still(authsome: CommandLine, *words: str) -> str:
    """Return a screen without what differs from run to run."""
    shown = re.sub(r"age1[0-9a-z]{58}", "age1…", str(authsome(*words)))
    return re.sub(r"former-[0-9a-f]{8}", "former-…", shown)


def test_the_screens_of_identity(authsome: CommandLine, snapshot: SnapshotAssertion) -> None:
    lines = [
        *(f"identity {name} --help" for name in ("show", "create", "protect", "unprotect", "rotate")),
        *("identity --help", "identity", "identity show", "identity create", "identity show", "identity create"),
        *("login openai --stdin", "identity show --json", "identity create --force", "identity rotate"),
        *("identity rotate --json", "identity protect", "identity unprotect", "--identity no.txt get openai"),
        *("identity rotate --identity other.txt", "get openai --field status"),
    ]
    screens = []
    for line in lines:
        if line.startswith("login"):
            authsome.login("openai", OPENAI_KEY)
        else:
            screens.append(_still(authsome, *line.split()))
    assert "\n\n".join(screens) == snapshot


def _person(authsome: CommandLine, *words: str, types: Iterable[tuple[str, str]] = (), ends: int = 0) -> str:
    person = Person([EXECUTABLE, *words], authsome.environ(), authsome.project)
    for prompt, answer in types:
        assert person.sees(prompt), person.screen
        person.screen = ""
        person.types(f"{answer}\n")
    assert person.ends() == ends, person.screen
    assert not sings(person.screen.encode())
    return person.screen


_NEW = [("New passphrase of", PASSPHRASE), ("The same again", PASSPHRASE)]
_OLD = [("Passphrase of", PASSPHRASE)]


def test_an_identity_is_protected_used_and_unprotected(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    path = authsome.home / "identity.txt"
    plain = path.read_bytes()
    assert "protected:   yes, by a passphrase" in _person(authsome, "identity", "protect", types=_NEW)
    assert b"AGE-SECRET-KEY" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "connected" in _person(authsome, "get", "openai", "--field", "status", types=_OLD)
    done = authsome("run", "--", "true")
    assert (done.code, done.err.splitlines()[0]) == (
        125,
        "Error: ~/.authsome/identity.txt is protected by a passphrase, and there is nobody to ask",
    )
    assert authsome("get", "openai").code == 4
    assert authsome("list").code == 0
    assert "protected:   no" in _person(authsome, "identity", "unprotect", types=_OLD)
    assert path.read_bytes() == plain


def test_a_run_asks_for_the_passphrase_once(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    _person(authsome, "identity", "protect", types=_NEW)
    command = ("run", "--", "sh", "-c", "echo agent has $OPENAI_API_KEY; env | grep -c AUTHSOME_IDENT")
    assert "agent has authsome-proxy-managed\n0\n" in _person(authsome, *command, types=_OLD, ends=1)


def test_a_passphrase_is_changed_and_typing_it_differently_changes_nothing(authsome: CommandLine) -> None:
    _person(authsome, "identity", "create", "--protect", types=_NEW)
    before = (authsome.home / "identity.txt").read_bytes()
    wrong = [*_OLD, ("New passphrase of", "one"), ("The same again", "another")]
    assert "these were two passphrases" in _person(authsome, "identity", "protect", types=wrong, ends=2)
    assert "no passphrase was given" in _person(
        authsome, "identity", "protect", types=[*_OLD, ("New passphrase of", "")], ends=4
    )
    assert (authsome.home / "identity.txt").read_bytes() == before
    changed = [*_OLD, ("New passphrase of", "short"), ("The same again", "short")]
    _person(authsome, "identity", "protect", types=changed)
    shown = _person(
        authsome,
        *("identity", "show"),
        types=[("Passphrase of", PASSPHRASE), ("once more: that was not it", "short")],
    )
    assert "protected:   yes" in shown


@needs_age
def test_stock_age_opens_the_vault_of_a_protected_identity(authsome: CommandLine, tmp_path: Path) -> None:
    authsome.login("openai", OPENAI_KEY)
    _person(authsome, "identity", "protect", types=_NEW)
    outside = tmp_path / "outside"
    outside.mkdir()
    profile = authsome.home / "profiles" / "default"
    _age(outside, PASSPHRASE, "-d", "-i", str(authsome.home / "identity.txt"), "-o", "k", str(profile / "keyring.age"))
    entry = profile / "connections" / "openai" / "default.age"
    opened = subprocess.run(["age", "-d", "-i", outside / "k", entry], check=True, capture_output=True).stdout
    assert OPENAI_KEY.encode() in opened


@pytest.mark.parametrize("command", ["create", "protect", "unprotect", "rotate"])
def test_inside_a_run_the_identity_is_not_changed(authsome: CommandLine, command: str) -> None:
    authsome.login("openai", OPENAI_KEY)
    before = (authsome.home / "identity.txt").read_bytes()
    authsome.env = {"AUTHSOME_RUN": "1"}
    assert authsome("identity", command).code == 7
    assert (authsome.home / "identity.txt").read_bytes() == before


def test_an_unneeded_identity_is_replaced_by_force_and_kept(authsome: CommandLine) -> None:
    authsome("identity", "create")
    first = (authsome.home / "identity.txt").read_bytes()
    assert authsome("identity", "create").code == 2
    assert authsome("identity", "create", "--force").code == 0
    assert (authsome.home / "identity.txt").read_bytes() != first
    assert [path.read_bytes() for path in authsome.home.glob("identity.former-*.txt")] == [first]


def test_an_unusable_identity_is_not_replaced_while_there_is_a_profile(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    (authsome.home / "identity.txt").write_text("nonsense")
    done = authsome("identity", "create", "--force")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "Error: a new identity would lock you out of the profile default",
    )


# Rotation.


def _members(vault: Vault) -> list[str]:
    lines = (vault.own.path / "recipients.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _homed(home: Path, openai: Provider) -> list[Vault]:
    vaults = [Vault(home, name, {}) for name in ("default", "work")]
    for vault in vaults:
        vault.write(openai, "default", FIELDS, now=0.0)
    return vaults


def test_a_rotation_changes_every_profile_of_ones_own_and_no_other(tmp_path: Path, openai: Provider) -> None:
    home = tmp_path / "home"
    vaults = _homed(home, openai)
    theirs = _stranger(tmp_path / "theirs.txt")
    other = Vault(home, "other", {"AUTHSOME_IDENTITY_FILE": str(theirs)})
    other.write(openai, "default", FIELDS, now=0.0)
    before = (home / "identity.txt").read_bytes()
    untouched = {path: path.read_bytes() for path in other.own.path.rglob("*") if path.is_file()}
    done = own.rotate(home, _asks_nobody)
    assert done.profiles == ("default", "work")
    for vault in vaults:
        assert _opens(vault, {})
        assert _members(vault) == [done.identity.recipient]
        assert "does not open" in _locked(vault, {"AUTHSOME_IDENTITY": before.decode()}).message
    assert {path: path.read_bytes() for path in untouched} == untouched
    assert done.kept
    assert done.kept.read_bytes() == before
    assert sorted(path.name for path in home.iterdir()) == [
        *(done.kept.name, "identity.txt", "pins", "profiles", "providers", "seen")
    ]


def _asks_nobody(origin: str) -> str:
    raise AssertionError(f"asked for {origin}")


def test_a_rotation_keeps_the_other_members(tmp_path: Path, openai: Provider) -> None:
    (vault, _), colleague = _homed(tmp_path / "home", openai), Identity.generate("x")
    mine = find_identity(vault.home, {})
    keyring.change_roster(
        vault.own.path, "default", mine, lambda roster: [*roster, {"name": "c", "recipient": colleague.recipient}]
    )
    done = own.rotate(vault.home, _asks_nobody)
    assert set(_members(vault)) == {colleague.recipient, done.identity.recipient}
    assert _opens(vault, {"AUTHSOME_IDENTITY": colleague.file_text()})


def test_a_protected_identity_is_rotated_under_its_passphrase(tmp_path: Path, openai: Provider) -> None:
    vault, _ = _homed(tmp_path / "home", openai)
    own.protect(vault.home, _asks_nobody, lambda: PASSPHRASE)
    extra, asked = _asked(PASSPHRASE)
    own.rotate(vault.home, extra.ask)
    assert len(asked) == 1
    assert b"AGE-SECRET-KEY" not in (vault.home / "identity.txt").read_bytes()
    assert _opens(vault, {}, _asked(PASSPHRASE)[0])


def test_a_damaged_profile_stops_a_rotation_before_anything_is_changed(tmp_path: Path, openai: Provider) -> None:
    vaults = _homed(tmp_path / "home", openai)
    path = vaults[1].own.path / "keyring.age"
    path.write_bytes(path.read_bytes()[:-50])
    before = {each: each.read_bytes() for each in vaults[0].home.rglob("*") if each.is_file()}
    with pytest.raises(AuthsomeError, match="is damaged") as caught:
        own.rotate(vaults[0].home, _asks_nobody)
    assert caught.value.code is ExitCode.INTEGRITY
    after = {each: each.read_bytes() for each in before}
    assert after == before


def test_a_list_that_was_put_back_after_a_rotation_is_refused(tmp_path: Path, openai: Provider) -> None:
    vault, _ = _homed(tmp_path / "home", openai)
    before = (vault.own.path / "recipients.txt").read_bytes()
    own.rotate(vault.home, _asks_nobody)
    (vault.own.path / "recipients.txt").write_bytes(before)
    with pytest.raises(AuthsomeError, match="does not list the members"):
        _opens(vault, {})


_ROTATE = """
import sys
from pathlib import Path
from authsome.vault import own
own.rotate(Path(sys.argv[1]), input)
"""


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize(
    ("call", "fault"),
    [
        *((call, "signal=KILL") for call in ("openat", "write", "fsync", "rename", "link,linkat", "unlink", "fchmod")),
        *(("flock", "signal=KILL"), ("write", "error=ENOSPC"), ("fsync", "error=EIO"), ("rename", "error=EDQUOT")),
    ],
)
def test_cut_short_at_any_call_a_rotation_leaves_a_vault_that_opens_and_can_be_ended(
    tmp_path: Path, openai: Provider, forking: Server, call: str, fault: str
) -> None:
    home = tmp_path / "home"
    folders = [home, home / "profiles/default", home / "profiles/work"]
    limit = [word for folder in folders for word in ("-P", str(folder))] if call == "openat" else []
    failed = 0
    for nth in points(80):
        shutil.rmtree(home, ignore_errors=True)
        vaults = _homed(home, openai)
        faults = ["-f", *limit, f"--inject={call}:{fault}:when={nth}"]
        done = forking.cut(faults, _ROTATE, home, place=tmp_path / "said")
        for vault in vaults:
            assert _opens(vault, {})
        own.rotate(home, _asks_nobody)
        mine = find_identity(home, {})
        for vault in vaults:
            assert _opens(vault, {})
            assert _members(vault) == [mine.recipient]
        assert not (home / "identity.next.txt").exists()
        if done.returncode == 0:
            break
        failed += 1
    assert done.returncode == 0
    assert failed


_PROTECT = """
import sys
from pathlib import Path
from authsome.vault import own
own.protect(Path(sys.argv[1]), input, lambda: "passphrase")
"""


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fchmod"])
def test_killed_at_any_call_a_protection_leaves_an_identity_that_opens(
    tmp_path: Path, openai: Provider, forking: Server, call: str
) -> None:
    home = tmp_path / "home"
    failed = 0
    for nth in range(1, 20):
        shutil.rmtree(home, ignore_errors=True)
        vault, _ = _homed(home, openai)
        done = forking.cut(["-f", f"--inject={call}:signal=KILL:when={nth}"], _PROTECT, home, place=tmp_path / "said")
        assert _opens(vault, {}, _asked("passphrase")[0])
        if done.returncode == 0:
            break
        failed += 1
    assert done.returncode == 0
    assert failed


def _rotate_often(home: Path) -> None:
    for _ in range(8):
        own.rotate(home, _asks_nobody)


def _store_often(home: Path, number: int) -> None:
    provider = Catalogue(home).get("openai")
    for turn in range(60):
        Vault(home, "default", {}).write(provider, f"c{number}", {"api_key": f"{OPENAI_KEY}{turn}"}, now=0.0)
        Vault(home, "work", {}).read("openai", "default")


def test_rotations_and_writers_at_once_lose_nothing(tmp_path: Path, openai: Provider) -> None:
    home = tmp_path / "home"
    vault, _ = _homed(home, openai)
    all_end(beside(*[(_rotate_often, (home,))] * 3, *((_store_often, (home, number)) for number in range(3))))
    assert _opens(vault, {})
    assert len(_members(vault)) == 1
    for number in range(3):
        entry = Vault(home, "default", {}).read("openai", f"c{number}")
        assert entry
        assert entry.fields == {"api_key": f"{OPENAI_KEY}59"}


@pytest.mark.parametrize("command", ["protect", "unprotect", "rotate"])
def test_an_identity_that_is_a_link_or_not_there_is_not_changed(authsome: CommandLine, command: str) -> None:
    done = authsome("identity", command)
    assert (done.code, done.err) == (4, "Error: there is no ~/.authsome/identity.txt\nHint: authsome identity create\n")
    authsome.login("openai", OPENAI_KEY)
    path, elsewhere = authsome.home / "identity.txt", authsome.root / "elsewhere.txt"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    done = authsome("identity", command)
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "Error: ~/.authsome/identity.txt is a symbolic link, and the key lies elsewhere",
    )
    assert path.is_symlink()
    assert authsome("get", "openai").code == 0


def test_a_vault_that_opens_again_during_a_run_asks_nobody(held: Vault, mine: Path) -> None:
    _protect(mine)
    environ = {"AUTHSOME_IDENTITY_FILE": str(mine)}
    extra, asked = _asked(PASSPHRASE)
    with pytest.raises(AuthsomeError, match="nobody to ask"):
        Vault(held.home, "default", environ, extra).again().read("openai", "default")
    assert asked == []
    opened = Vault(held.home, "default", environ, extra)
    assert opened.read("openai", "default")
    assert opened.again().read("openai", "default")
    assert asked == [str(mine)]
