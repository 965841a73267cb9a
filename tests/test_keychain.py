"""The passphrase of the identity in the keychain of the desktop: a real one, GNOME's."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

import desktop
from authsome.errors import ExitCode
from authsome.vault import passphrase
from authsome.vault.keychain import Keychain, NoAnswerError
from canary import OPENAI_KEY, OTHER_OPENAI_KEY, sings
from conftest import EXECUTABLE, CommandLine
from desktop import Assassin, Desktop
from forked import Running, Server
from programs import needs_strace
from sweep import points
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

PASSPHRASE = "correct CANARY battery stäple"
OTHER = "another CANARY passphrase"


@pytest.fixture
def session() -> Iterator[Desktop]:
    if desktop.MISSING:
        pytest.skip(f"not installed: {', '.join(desktop.MISSING)}")
    with desktop.log_in() as made:
        yield made


@pytest.fixture
def user(authsome: CommandLine, session: Desktop) -> CommandLine:
    """Somebody with a credential, in a session with an unlocked keychain and no screen."""
    authsome.env |= session.environ
    authsome.login("openai", OPENAI_KEY)
    return authsome


@pytest.fixture
def remembered(user: CommandLine) -> CommandLine:
    """The same, whose passphrase the keychain holds."""
    _person(user, *_KEEP, types=_new())
    return user


_KEEP = ("identity", "protect", "--keychain")
_CONNECTED = ("get", "openai", "--field", "status")


def _new(typed: str = PASSPHRASE) -> list[tuple[str, str]]:
    return [("New passphrase of", typed), ("The same again", typed)]


def _old(typed: str = PASSPHRASE) -> list[tuple[str, str]]:
    return [("Passphrase of", typed)]


def _person(line: CommandLine, *words: str, types: Iterable[tuple[str, str]] = (), ends: int = 0) -> str:
    person = Person([EXECUTABLE, *words], line.environ(), line.project)
    shown = ""
    for prompt, answer in types:
        assert person.sees(prompt), person.screen
        shown, person.screen = shown + person.screen, ""
        person.types(f"{answer}\n")
    assert person.ends() == ends, person.screen
    assert not sings((shown + person.screen).encode())
    return shown + person.screen


def _file(line: CommandLine) -> Path:
    return line.home / "identity.txt"


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _opens(line: CommandLine) -> bool:
    """Whether the vault opens with nobody at the terminal, which there is not."""
    done = line(*_CONNECTED)
    assert done.code in (0, 4), done
    return done.out == "connected\n"


def _keychain_line(line: CommandLine) -> str:
    """Return what the keychain had to say, as one of the places where nothing was found."""
    done = line(*_CONNECTED)
    assert done.code == 4, done
    assert "is protected by a passphrase, and there is nobody to ask" in done.err
    return next(text for text in done.err.splitlines() if text.startswith("  the keychain: "))[2:]


# Kept.


def test_a_protected_identity_opens_with_nobody_at_the_terminal(user: CommandLine, session: Desktop) -> None:
    assert "by a passphrase that the keychain holds" in _person(user, *_KEEP, types=_new())
    assert b"AGE-SECRET-KEY" not in _file(user).read_bytes()
    assert _opens(user)
    assert user("list").code == 0
    assert user("export", "openai", reveals=True).out == f"OPENAI_API_KEY={OPENAI_KEY}\n"
    assert user("run", "--", "true").code == 0
    # By hand: it is the very passphrase, filed under what `sha256sum identity.txt` prints.
    assert session.entries() == {_digest(_file(user)): PASSPHRASE}
    assert passphrase.unprotect(_file(user).read_bytes(), PASSPHRASE).startswith(b"# ")


def test_a_build_machine_with_an_unlocked_keychain_is_not_kept_out(remembered: CommandLine) -> None:
    remembered.env |= {"CI": "true"}
    assert remembered("--no-input", *_CONNECTED).out == "connected\n"


def test_the_screens_of_the_keychain(remembered: CommandLine, session: Desktop, snapshot: SnapshotAssertion) -> None:
    screens = [remembered("identity", "show"), remembered("identity", "show", "--json")]
    session.lock()
    screens += [remembered(*words) for words in (_CONNECTED, _KEEP, ("identity", "rotate"))]
    shown = "\n\n".join(re.sub(r"age1[0-9a-z]{58}", "age1…", str(each)) for each in screens)
    assert shown == snapshot


def test_what_is_typed_is_not_kept_unless_that_was_asked_for(user: CommandLine, session: Desktop) -> None:
    _person(user, "identity", "protect", types=_new())
    assert "connected" in _person(user, *_CONNECTED, types=_old())
    assert session.entries() == {}
    assert _keychain_line(user) == "the keychain: does not hold the passphrase"
    _person(user, *_KEEP, types=[*_old(), *_new()])
    assert _opens(user)


def test_a_changed_passphrase_replaces_the_former_one(remembered: CommandLine, session: Desktop) -> None:
    shown = _person(remembered, *_KEEP, types=_new(OTHER))  # the former one is not asked for
    assert "The keychain has forgotten the former passphrase." in shown
    assert session.entries() == {_digest(_file(remembered)): OTHER}
    assert _opens(remembered)


def test_without_the_option_a_passphrase_is_forgotten(remembered: CommandLine, session: Desktop) -> None:
    shown = _person(remembered, "identity", "protect", types=_new(OTHER))
    assert "The keychain has forgotten the former passphrase." in shown
    assert "yes, by a passphrase\n" in shown
    assert session.entries() == {}
    assert not _opens(remembered)
    assert "connected" in _person(remembered, *_CONNECTED, types=_old(OTHER))


def test_who_takes_the_passphrase_away_has_it_forgotten(remembered: CommandLine, session: Desktop) -> None:
    done = remembered("identity", "unprotect")
    assert (done.code, done.err) == (0, "The keychain has forgotten the former passphrase.\n")
    assert "protected:   no\n" in done.out
    assert session.entries() == {}
    assert _opens(remembered)


def test_a_rotation_keeps_the_keychain_in_step(remembered: CommandLine, session: Desktop) -> None:
    before = _digest(_file(remembered))
    for _ in range(2):
        assert remembered("identity", "rotate").code == 0
        assert session.entries() == {_digest(_file(remembered)): PASSPHRASE}
        assert _opens(remembered)
    assert _digest(_file(remembered)) != before


def test_a_rotation_teaches_a_keychain_nothing_that_it_did_not_know(user: CommandLine, session: Desktop) -> None:
    _person(user, "identity", "protect", types=_new())
    _person(user, "identity", "rotate", types=_old())
    assert session.entries() == {}


def test_two_homes_do_not_meet(remembered: CommandLine, session: Desktop) -> None:
    second = CommandLine(remembered.root / "second", dict(remembered.env))
    second.project.mkdir(parents=True)
    second.login("openai", OTHER_OPENAI_KEY)
    _person(second, *_KEEP, types=_new(OTHER))
    assert _opens(remembered)
    assert _opens(second)
    assert second("identity", "unprotect").code == 0
    assert session.entries() == {_digest(_file(remembered)): PASSPHRASE}
    remembered.home.rename(remembered.root / "moved")
    remembered.env |= {"AUTHSOME_HOME": str(remembered.root / "moved")}
    assert _opens(remembered)


def test_a_file_that_was_named_is_not_opened_by_the_keychain(remembered: CommandLine) -> None:
    """It may be anybody's; and whoever names a file has a place of their own for its passphrase."""
    remembered.env |= {"AUTHSOME_IDENTITY_FILE": str(_file(remembered))}
    assert remembered(*_CONNECTED).code == 4


# Not to be had.


def test_a_locked_keychain_is_named_and_a_person_is_asked(remembered: CommandLine, session: Desktop) -> None:
    session.lock()
    assert _keychain_line(remembered) == "the keychain: it is locked, and nobody is here to unlock it"
    assert "connected" in _person(remembered, *_CONNECTED, types=_old())
    assert "(the keychain does not say whether it holds it)" in _person(remembered, "identity", "show", types=_old())
    shown = _person(remembered, "identity", "rotate", types=_old())
    assert "the keychain does not answer, so it does not learn of the new identity" in shown
    shown = _person(remembered, "identity", "unprotect", types=_old())
    assert "if the keychain holds the former passphrase, it still does: it is locked" in shown
    assert _opens(remembered)


def test_a_dialog_is_for_those_who_see_it(remembered: CommandLine, session: Desktop) -> None:
    session.lock()
    remembered.env |= {"DISPLAY": ":7"}  # where nothing draws a dialog, which the keychain takes for a no
    assert _keychain_line(remembered) == "the keychain: it stayed locked"
    for name, value in {"CI": "true", "SSH_CONNECTION": "1", "AUTHSOME_PROFILE": "ci"}.items():
        alone = CommandLine(remembered.root, remembered.env | {name: value})
        done = alone("identity", "unprotect")
        assert done.code == 4
        assert "nobody to ask; the keychain: it is locked, and nobody is here to unlock it\n" in done.err


_PATIENT = """
import os, sys
from authsome.vault.keychain import Keychain, NoAnswerError
for _ in range(2):
    try: Keychain(os.environ, lambda: True, print, patience=2).recall(b"")
    except NoAnswerError as error: print(error.reason)
"""


def test_a_dialog_that_nobody_answers_is_waited_for_once_and_not_for_ever(
    remembered: CommandLine, session: Desktop
) -> None:
    session.lock()
    with session.dialogs():
        command = [sys.executable, "-c", _PATIENT]
        done = subprocess.run(command, env=remembered.environ(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "authsome: waiting for the keychain, up to 2 s; is there a dialog? …",
        *["it did not answer within 2 s"] * 2,
    ]


@pytest.mark.slow
def test_a_keychain_that_never_answers_is_not_waited_for(remembered: CommandLine, session: Desktop) -> None:
    session.freeze()
    started = time.monotonic()
    assert _keychain_line(remembered) == "the keychain: it did not answer within 10 s"
    assert 10 <= time.monotonic() - started < 20


def test_a_keychain_that_was_given_another_passphrase_is_named(remembered: CommandLine, session: Desktop) -> None:
    with session.collection() as collection:
        for each in collection.search_items({"service": "authsome"}):
            each.set_secret(b"something else")
    assert _keychain_line(remembered) == "the keychain: what it holds is not the passphrase"
    assert "connected" in _person(remembered, *_CONNECTED, types=_old())


def test_a_keychain_that_was_never_set_up_holds_nothing(remembered: CommandLine, session: Desktop) -> None:
    with session.collection() as collection:
        collection.delete()
    assert _keychain_line(remembered) == "the keychain: does not hold the passphrase"
    done = remembered(*_KEEP)
    assert (done.code, done.err.splitlines()[0]) == (
        4,
        "Error: the keychain cannot be used: it was never set up, and nobody is here to do so",
    )


def test_inside_a_run_the_keychain_is_not_asked(remembered: CommandLine) -> None:
    remembered.env |= {"PATH": f"{EXECUTABLE.parent}:{os.environ['PATH']}"}
    done = remembered("run", "--", "authsome", *_CONNECTED)
    assert (done.code, "the keychain: not asked inside a run" in done.err) == (4, True)


_IN_THE_CLEAR = """
from pathlib import Path
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 9

    def get_password(self, service, username):
        return None

    def set_password(self, service, username, password):
        Path(__file__).with_name("kept").write_text(password)
"""


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("in_the_clear.Keyring", "`in_the_clear.Keyring` is no keychain of an operating system"),
        ("keyring.backends.null.Keyring", "`keyring.backends.null.Keyring` is no keychain of an operating system"),
        ("keyring.backends.fail.Keyring", "there is none on this machine"),
        ("keyring.backends.kwallet.DBusKeyring", "it failed (RuntimeError)"),
        ("nowhere.Keyring", "it failed (ModuleNotFoundError)"),
    ],
)
def test_what_only_looks_like_a_keychain_is_refused(user: CommandLine, backend: str, message: str) -> None:
    (user.root / "in_the_clear.py").write_text(_IN_THE_CLEAR)
    user.env |= {"PYTHONPATH": str(user.root), "PYTHON_KEYRING_BACKEND": backend}
    before = _file(user).read_bytes()
    done = user(*_KEEP)
    assert done.err.splitlines()[0] == f"Error: the keychain cannot be used: {message}"
    assert done.code in (2, 3)
    assert _file(user).read_bytes() == before
    assert not (user.root / "kept").exists()


def test_of_a_chain_the_keychain_is_used(user: CommandLine, session: Desktop) -> None:
    (user.root / "in_the_clear.py").write_text(_IN_THE_CLEAR)
    about = user.root / "in_the_clear-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: in-the-clear\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[keyring.backends]\nin_the_clear = in_the_clear\nbroken = nowhere\n")
    chainer = "keyring.backends.chainer.ChainerBackend"
    user.env |= {"PYTHONPATH": str(user.root), "PYTHON_KEYRING_BACKEND": chainer}
    assert "Traceback" not in _person(user, *_KEEP, types=_new())
    assert session.entries() == {_digest(_file(user)): PASSPHRASE}
    assert not (user.root / "kept").exists()
    assert _opens(user)


def test_without_a_session_there_is_no_keychain(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    done = authsome(*_KEEP)
    assert (done.code, done.err.splitlines()) == (
        3,
        [
            "Error: the keychain cannot be used: there is no session bus (DBUS_SESSION_BUS_ADDRESS is not set)",
            "Hint: run it in a desktop session, or leave out the keychain: authsome identity protect",
        ],
    )
    authsome.env |= {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={authsome.root}/nothing"}
    done = authsome(*_KEEP)
    assert (done.code, done.err.splitlines()[0]) == (
        3,
        "Error: the keychain cannot be used: there is none on this machine",
    )


_WITHOUT = """
import sys
sys.modules["keyring"] = None
from authsome.cli import main
main()
"""


def test_without_the_extra_the_option_says_what_to_install(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    environ = authsome.environ() | {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    command = [sys.executable, "-c", _WITHOUT, *_KEEP]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            "Error: the keychain cannot be used: authsome was installed without it",
            "Hint: uv tool install 'authsome[keychain]'",
        ],
    )
    person = Person([sys.executable, "-c", _WITHOUT, "identity", "protect"], environ, authsome.project)
    for prompt, answer in _new():
        assert person.sees(prompt)
        person.types(f"{answer}\n")
    assert person.ends() == 0
    assert "keychain" not in person.screen
    assert "protected:   yes, by a passphrase\n" in person.screen


def test_a_passphrase_that_is_no_text_is_not_kept() -> None:
    keychain = Keychain({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}, lambda: False, print)
    with pytest.raises(NoAnswerError, match="no text in UTF-8") as caught:
        keychain.remember(b"", "caf\udce9")
    assert caught.value.code is ExitCode.USAGE


# What it costs.


@pytest.mark.parametrize("words", [("list",), _CONNECTED, ("run", "--", "true")])
def test_a_plain_identity_pays_nothing_for_the_keychain(user: CommandLine, words: tuple[str, ...]) -> None:
    assert _libraries(user, *words) == set()


def test_a_machine_without_a_session_pays_nothing_for_the_keychain(remembered: CommandLine) -> None:
    ours = {"authsome.vault.keychain"}
    assert _libraries(remembered, *_CONNECTED) == {"keyring", "secretstorage", "jeepney", *ours}
    remembered.env.pop("DBUS_SESSION_BUS_ADDRESS")
    assert _libraries(remembered, *_CONNECTED, ends=4) == ours


def _libraries(line: CommandLine, *words: str, ends: int = 0) -> set[str]:
    """Return which libraries of the keychain a command imports."""
    command = [sys.executable, "-X", "importtime", str(EXECUTABLE), *words]
    done = subprocess.run(command, env=line.environ(), cwd=line.project, capture_output=True, text=True, check=False)
    assert done.returncode == ends, done.stderr[-500:]
    imported = set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "authsome.vault" in imported
    return imported & {"keyring", "secretstorage", "jeepney", "authsome.vault.keychain"}


# Cut short.

_COMMANDS = """
import os, sys
from pathlib import Path
from authsome.vault import own, passphrase
from authsome.vault.keychain import Keychain
passphrase.protect.__kwdefaults__["log_n"] = 4  # what it costs to guess is no matter here
home, keychain = Path(sys.argv[2]), Keychain(os.environ, lambda: False, print)
def nobody(origin): raise SystemExit(f"asked for {origin}")
if sys.argv[1] == "protect": own.protect(home, nobody, lambda: os.urandom(16).hex(), keychain, remember=True)
if sys.argv[1] == "rotate": own.rotate(home, nobody, keychain)
if sys.argv[1] == "unprotect": own.unprotect(home, nobody, keychain)
"""


@dataclass
class Kept:
    """A user whose passphrase the keychain holds, and who comes back to that as often as it takes."""

    line: CommandLine
    session: Desktop

    def __post_init__(self) -> None:
        self._copy = self.line.root / "copy"
        shutil.copytree(self.line.home, self._copy)
        self.entries = self.session.entries()

    def again(self) -> None:
        shutil.rmtree(self.line.home)
        shutil.copytree(self._copy, self.line.home)
        self.session.holds(self.entries)

    def changed(self) -> bool:
        return _file(self.line).read_bytes() != (self._copy / "identity.txt").read_bytes()

    def is_in_step(self) -> None:
        content = _file(self.line).read_bytes()
        if b"AGE-SECRET-KEY" not in content:
            held = self.session.entries()[sha256(content).hexdigest()]
            assert b"AGE-SECRET-KEY" in passphrase.unprotect(content, held)


@pytest.fixture
def kept(remembered: CommandLine, session: Desktop) -> Kept:
    subprocess.run(_command("protect", remembered.home), env=remembered.environ(), check=True)
    return Kept(remembered, session)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("command", ["protect", "rotate", "unprotect"])
def test_killed_whatever_it_told_the_keychain_last_the_file_in_place_opens_with_what_is_kept(
    kept: Kept, forking: Server, command: str
) -> None:
    """A keychain that fell behind would ask for a passphrase which nobody may remember."""
    apart, place = 0, kept.line.root / "said"
    for nth in points(400, every=6):
        kept.again()

        def start(environ: dict[str, str]) -> Running:
            env = kept.line.environ() | environ
            program = forking.prepare(_COMMANDS, command, kept.line.home, place=place, env=env)
            program.go()
            return program

        done = Assassin(kept.session).run(start, nth).done(place)
        apart += (kept.session.entries() == kept.entries) is kept.changed()  # one of the two is ahead
        kept.is_in_step()
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
    assert done.returncode == 0
    assert apart
    assert _opens(kept.line)


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize("command", ["protect", "rotate", "unprotect"])
@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_killed_at_any_write_the_file_in_place_opens_with_what_the_keychain_holds(
    kept: Kept, forking: Server, command: str, call: str
) -> None:
    kills, line = 0, kept.line
    for nth in points(40):
        kept.again()
        faults, place = ["-f", f"--inject={call}:signal=KILL:when={nth}"], line.root / "said"
        done = forking.cut(faults, _COMMANDS, command, line.home, place=place, env=line.environ())
        kept.is_in_step()
        if done.returncode == 0:
            break
        assert done.returncode in (-9, 137), done.stderr
        kills += 1
    assert done.returncode == 0
    assert kills
    assert _opens(line)


@needs_strace
def test_a_disk_that_takes_no_file_leaves_the_keychain_as_it_was(remembered: CommandLine, session: Desktop) -> None:
    before = session.entries()
    injected = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "--inject=rename:error=EDQUOT"]
    command = [*injected, *_command("protect", remembered.home)]
    done = subprocess.run(command, env=remembered.environ(), capture_output=True, check=False)
    assert b"cannot write" in done.stderr
    assert session.entries() == before == {_digest(_file(remembered)): PASSPHRASE}


def _command(name: str, home: Path) -> list[str]:
    return [sys.executable, "-c", _COMMANDS, name, str(home)]
