"""New tokens for old ones: once, whoever wants them, and never lost on the way."""

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from authsome import renewal as renewal_module
from authsome.errors import AuthsomeError
from authsome.manifest import Declared
from authsome.oauth import Client, DeniedError, Tokens, UnavailableError
from authsome.provider import Provider
from authsome.renewal import NOTHING_TO_RENEW, Renewal, client_of, due, holds
from authsome.session import Session, of_entry
from authsome.vault import Entry, Grant, Vault
from beside import all_end, beside
from canary import sings
from disks import fill, small_disk
from forked import Server
from programs import needs_strace
from sweep import points
from tokens import ACCESS, DEFINITION, LIFE, REFRESH, SECRET, Clock, Endpoint, hold, provider_at, renew_beside, speak

pytest_plugins = ["forked_fixtures"]

type Step = Tokens | Exception


class Told:
    """A provider that gives one answer after the other, and the last one for ever."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[str | None] = []
        self.clients: list[Client] = []

    def __call__(self, provider: Provider, client: Client, _: Grant, fields: Mapping[str, str]) -> Tokens:
        assert provider.oauth
        assert "former_refresh_token" not in fields
        self.asked.append(fields.get("refresh_token"))
        self.clients.append(client)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


NEW = Tokens("CANARY-access-1", "CANARY-refresh-1", LIFE)
NO = DeniedError("invalid_grant", "the provider says no")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "home", "default", {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def acme(vault: Vault, clock: Clock) -> Declared:
    return hold(vault, provider_at(1), clock.now)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    (tmp_path / "outside").mkdir()
    with Endpoint(tmp_path / "outside") as made:
        yield made
        made.shutdown()


def _renewal(vault: Vault, clock: Clock, talk: Callable[..., Tokens]) -> Renewal:
    return Renewal(vault.again(), talk, clock=clock, sleep=clock.sleep, jitter=lambda: 0.5)


def _held(vault: Vault) -> Entry:
    entry = Vault(vault.home, "default", {}).read("acme", "default")
    assert entry
    return entry


def _grant(entry: Entry) -> Grant:
    assert entry.grant
    return entry.grant


# When.


def _of(life: float | None, issued: float = 1000.0) -> Grant:
    return Grant("pkce", (), (), (), issued, None if life is None else issued + life)


@pytest.mark.parametrize(
    ("life", "after", "expected"),
    [
        (3600.0, 0, (False, True)),
        (3600.0, 3299, (False, True)),
        (3600.0, 3301, (True, True)),
        (3600.0, 3600, (True, False)),
        (3600.0, -1, (False, True)),  # the clock was set back
        (60.0, 53, (False, True)),
        (60.0, 55, (True, True)),
        (None, 10**9, (False, True)),
        (0.0, 10**9, (False, True)),
        (-5.0, 10**9, (False, True)),
        (1e308, 10**9, (False, True)),
        (float("inf"), 10**9, (False, True)),
        (float("nan"), 10**9, (False, True)),
    ],
)
def test_tokens_are_renewed_a_while_before_an_end_that_can_be_believed(
    life: float | None, after: float, expected: tuple[bool, bool]
) -> None:
    grant = _of(life)
    assert (due(grant, 1000.0 + after), holds(grant, 1000.0 + after)) == expected


def test_nobody_is_asked_before_it_is_time(vault: Vault, acme: Declared, clock: Clock) -> None:
    told = Told(NEW)
    assert _renewal(vault, clock, told).fresh(acme).fields["access_token"] == ACCESS
    clock.now -= 10**6
    assert _renewal(vault, clock, told).fresh(acme).fields["access_token"] == ACCESS
    assert told.asked == []


def test_a_connection_with_a_key_is_what_it_is(vault: Vault, clock: Clock) -> None:
    provider = provider_at(1)
    vault.own.write(provider, "default", {"access_token": ACCESS}, clock.now)
    assert _renewal(vault, clock, Told(NO)).fresh(Declared(provider), seen=ACCESS).grant is None


def test_new_tokens_are_on_disk_before_anybody_has_them(vault: Vault, acme: Declared, clock: Clock) -> None:
    clock.now += LIFE
    before = _held(vault)
    entry = _renewal(vault, clock, Told(NEW)).fresh(acme)
    assert entry == _held(vault)
    assert entry.fields == {
        "access_token": NEW.access_token,
        "refresh_token": NEW.refresh_token,
        "former_refresh_token": REFRESH,
    }
    assert dataclasses.replace(entry, fields={}, grant=None, generation=0, updated_at="") == dataclasses.replace(
        before, fields={}, grant=None, generation=0, updated_at=""
    )
    assert _grant(entry).expires_at == clock.now + LIFE
    assert not any(sings(each.encode()) for each in (repr(entry), repr(_grant(entry))))


def test_a_token_that_an_api_has_refused_is_renewed_whatever_the_clock_says(
    vault: Vault, acme: Declared, clock: Clock
) -> None:
    told = Told(NEW)
    renewal = _renewal(vault, clock, told)
    assert renewal.fresh(acme, seen=ACCESS).fields["access_token"] == NEW.access_token
    assert renewal.fresh(acme, seen=ACCESS).fields["access_token"] == NEW.access_token
    assert told.asked == [REFRESH]


def test_a_refresh_token_that_stays_is_kept_and_the_one_before_it_goes_once_it_has_worked(
    vault: Vault, acme: Declared, clock: Clock
) -> None:
    told = Told(NEW, Tokens("CANARY-access-2", None, LIFE), Tokens("CANARY-access-3", "CANARY-refresh-1", LIFE))
    for fields in (
        {"refresh_token": "CANARY-refresh-1", "former_refresh_token": REFRESH},
        {"refresh_token": "CANARY-refresh-1"},
        {"refresh_token": "CANARY-refresh-1"},
    ):
        clock.now += LIFE
        entry = _renewal(vault, clock, told).fresh(acme)
        assert {name: text for name, text in entry.fields.items() if name != "access_token"} == fields
    assert told.asked == [REFRESH, "CANARY-refresh-1", "CANARY-refresh-1"]


@pytest.mark.parametrize("said", [None, 0.0, -1.0])
def test_an_answer_without_an_end_makes_nobody_ask_again(
    vault: Vault, acme: Declared, clock: Clock, said: float | None
) -> None:
    told = Told(Tokens("CANARY-access-1", "CANARY-refresh-1", said))
    renewal = _renewal(vault, clock, told)
    clock.now += LIFE
    for _ in range(3):
        assert renewal.fresh(acme).fields["access_token"] == "CANARY-access-1"
        clock.now += 10**6
    assert len(told.asked) == 1


# Who.


def test_of_twenty_processes_one_asks_and_all_have_the_new_token(tmp_path: Path, endpoint: Endpoint) -> None:
    vault, now = Vault(tmp_path / "home", "default", {}), Clock().now
    hold(vault, provider_at(endpoint.port), now - LIFE)
    ready, outs = tmp_path / "ready", [tmp_path / f"out{number}" for number in range(20)]
    told = (str(vault.home), endpoint.port, str(endpoint.roots), now, str(ready))
    started = beside(*((renew_beside, (*told, str(out))) for out in outs))
    while not all(Path(f"{out}.ready").exists() for out in outs):
        assert all(each.exitcode is None for each in started)
        started[0].join(0.01)
    ready.touch()
    all_end(started)
    assert {out.read_text() for out in outs} == {"access-1"}
    assert (endpoint.asked, endpoint.ended) == ([REFRESH], False)
    assert _held(vault).fields["refresh_token"] == "CANARY-refresh-1"


def test_of_many_threads_one_asks(vault: Vault, clock: Clock, endpoint: Endpoint) -> None:
    acme = hold(vault, provider_at(endpoint.port), clock.now - LIFE)
    renewal = _renewal(vault, clock, speak(endpoint.roots))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(renewal.fresh(acme).fields["access_token"])) for _ in range(20)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == ["CANARY-access-1"] * 20
    assert endpoint.asked == [REFRESH]


def test_a_login_that_comes_in_between_is_not_written_over(vault: Vault, acme: Declared, clock: Clock) -> None:
    clock.now += LIFE
    given = Tokens("CANARY-access-login", "CANARY-refresh-login", LIFE)

    def slow(*_: object) -> Tokens:
        hold(Vault(vault.home, "default", {}), acme.provider, clock.now, given)
        return NEW

    entry = _renewal(vault, clock, slow).fresh(acme)
    assert entry == _held(vault)
    assert entry.fields == {"access_token": given.access_token, "refresh_token": given.refresh_token}


@pytest.mark.parametrize("age", [LIFE, LIFE - 1])
def test_a_logout_that_comes_in_between_is_not_undone(vault: Vault, acme: Declared, clock: Clock, age: float) -> None:
    clock.now += age

    def slow(*_: object) -> Tokens:
        Vault(vault.home, "default", {}).own.delete("acme", "default")
        return NEW

    renewal = _renewal(vault, clock, slow)
    for _ in range(2):
        with pytest.raises(DeniedError, match="acme was logged out") as caught:
            renewal.fresh(acme)
        assert caught.value.hint == "authsome login acme"
    assert vault.names() == []


def test_new_hosts_of_a_definition_are_not_agreed_to_by_a_renewal(vault: Vault, clock: Clock) -> None:
    hold(vault, provider_at(1), clock.now - LIFE)
    wider = Declared(provider_at(1, api="evil.example"))
    assert _renewal(vault, clock, Told(NEW)).fresh(wider).hosts == ("api.acme.example",)
    assert _held(vault).hosts == ("api.acme.example",)


def test_what_renews_goes_to_no_host_that_nobody_agreed_to(vault: Vault, acme: Declared, clock: Clock) -> None:
    del acme
    clock.now += LIFE
    told = Told(NEW)
    strange = Declared(provider_at(1, endpoint="evil.example"))
    with pytest.raises(DeniedError, match=r"would go to evil\.example:1, which nobody agreed to") as caught:
        _renewal(vault, clock, told).fresh(strange)
    assert (caught.value.error, caught.value.hint) == ("hosts_changed", "authsome login acme --force")
    assert told.asked == []
    assert _grant(_held(vault)).refused is None


def test_who_has_a_token_that_holds_does_not_wait_long_for_another_process(
    vault: Vault, acme: Declared, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal_module, "_SHORT_TURN_SECONDS", 0.05)
    monkeypatch.setattr(renewal_module, "_TURN_SECONDS", 0.1)
    told = Told(NEW)
    clock.now += LIFE - 1
    with Vault(vault.home, "default", {}).own.turn("acme", "default", 1):
        assert _renewal(vault, clock, told).fresh(acme).fields["access_token"] == ACCESS
        clock.now += 1
        with pytest.raises(AuthsomeError, match="has been in use by another authsome"):
            _renewal(vault, clock, told).fresh(acme)
    assert told.asked == []
    assert _renewal(vault, clock, told).fresh(acme).fields["access_token"] == NEW.access_token


# A no.


def test_a_no_is_kept_and_nobody_asks_again(vault: Vault, acme: Declared, clock: Clock) -> None:
    clock.now += LIFE
    told = Told(NO)
    for _ in range(3):  # each like another process
        with pytest.raises(DeniedError, match=r"acme gives no new tokens for acme \(invalid_grant\)") as caught:
            _renewal(vault, clock, told).fresh(acme)
        assert caught.value.hint == "authsome login acme --force"
    assert told.asked == [REFRESH]
    entry = _held(vault)
    assert entry.fields == {"access_token": ACCESS, "refresh_token": REFRESH}
    assert _grant(entry).refused == "invalid_grant"


def test_after_a_no_the_token_is_used_as_long_as_it_holds(vault: Vault, acme: Declared, clock: Clock) -> None:
    clock.now += LIFE - 1
    told = Told(NO)
    renewal = _renewal(vault, clock, told)
    for _ in range(3):
        assert renewal.fresh(acme).fields["access_token"] == ACCESS
    clock.now += 1
    with pytest.raises(DeniedError):
        renewal.fresh(acme)
    assert told.asked == [REFRESH]


def test_a_login_ends_a_no(vault: Vault, acme: Declared, clock: Clock) -> None:
    clock.now += LIFE
    told = Told(NO, NEW)
    renewal = _renewal(vault, clock, told)
    with pytest.raises(DeniedError):
        renewal.fresh(acme)
    hold(vault, acme.provider, clock.now, Tokens("CANARY-access-login", "CANARY-refresh-login", LIFE))
    assert renewal.fresh(acme).fields["access_token"] == "CANARY-access-login"
    clock.now += LIFE
    assert renewal.fresh(acme).fields["access_token"] == NEW.access_token


def test_where_a_new_token_is_refused_that_has_never_worked_the_one_before_it_is_tried(
    vault: Vault, acme: Declared, clock: Clock
) -> None:
    told = Told(NEW, NO, Tokens("CANARY-access-2", "CANARY-refresh-2", LIFE))
    renewal = _renewal(vault, clock, told)
    clock.now += LIFE
    renewal.fresh(acme)
    clock.now += LIFE
    assert renewal.fresh(acme).fields == {
        "access_token": "CANARY-access-2",
        "refresh_token": "CANARY-refresh-2",
        "former_refresh_token": REFRESH,
    }
    assert told.asked == [REFRESH, "CANARY-refresh-1", REFRESH]


def test_one_that_an_api_was_content_with_has_no_token_before_it(vault: Vault, acme: Declared, clock: Clock) -> None:
    """To a provider, a token that comes back after it was replaced is a stolen one."""
    told = Told(NEW, NO)
    renewal = _renewal(vault, clock, told)
    clock.now += LIFE
    entry = renewal.fresh(acme)
    clock.now += LIFE
    with pytest.raises(DeniedError, match="invalid_grant"):
        renewal.fresh(acme, worked=entry.fields["access_token"])
    assert told.asked == [REFRESH, "CANARY-refresh-1"]


def test_the_one_before_is_tried_once_and_not_for_what_is_no_fault_of_the_token(
    vault: Vault, acme: Declared, clock: Clock
) -> None:
    told = Told(NEW, DeniedError("invalid_client", "no"))
    renewal = _renewal(vault, clock, told)
    clock.now += LIFE
    renewal.fresh(acme)
    clock.now += LIFE
    with pytest.raises(DeniedError, match="invalid_client"):
        renewal.fresh(acme)
    assert told.asked == [REFRESH, "CANARY-refresh-1"]
    hold(vault, acme.provider, clock.now - LIFE)
    told.steps, told.asked = [NEW, NO], []
    renewal.fresh(acme)
    clock.now += LIFE
    with pytest.raises(DeniedError, match="invalid_grant"):
        renewal.fresh(acme)
    assert told.asked == [REFRESH, "CANARY-refresh-1", REFRESH]


def test_tokens_that_came_with_nothing_to_renew_them_end(vault: Vault, clock: Clock) -> None:
    acme = hold(vault, provider_at(1), clock.now, Tokens(ACCESS, None, LIFE))
    told = Told(NEW)
    clock.now += LIFE - 1
    assert _renewal(vault, clock, told).fresh(acme).fields["access_token"] == ACCESS
    clock.now += 1
    with pytest.raises(DeniedError, match="the tokens of acme have ended") as caught:
        _renewal(vault, clock, told).fresh(acme)
    assert caught.value.error == NOTHING_TO_RENEW
    assert told.asked == []


def test_an_application_of_its_own_gets_tokens_without_a_refresh_token(vault: Vault, clock: Clock) -> None:
    acme = hold(vault, provider_at(1), clock.now - LIFE, Tokens(ACCESS, None, LIFE), flow="client_credentials")
    told = Told(Tokens("CANARY-access-1", None, LIFE))
    assert _renewal(vault, clock, told).fresh(acme).fields == {"access_token": "CANARY-access-1"}
    assert told.asked == [None]


# The application.


def test_tokens_are_renewed_by_the_application_that_they_were_given_to(
    vault: Vault, acme: Declared, clock: Clock
) -> None:
    oauth = acme.provider.oauth
    assert oauth
    named = dataclasses.replace(oauth.client, client_id_env="ACME_ID", client_secret_env="ACME_SECRET")
    acme = dataclasses.replace(
        acme, provider=dataclasses.replace(acme.provider, oauth=dataclasses.replace(oauth, client=named))
    )
    other = {"ACME_ID": "another", "ACME_SECRET": "CANARY-another"}
    mine = {"ACME_ID": "acme-cli", "ACME_SECRET": "CANARY-newer"}
    kept = Client("acme-cli", SECRET)
    assert client_of(vault, acme.provider, {}, "acme-cli") == kept
    assert client_of(vault, acme.provider, other, "acme-cli") == kept
    assert client_of(vault, acme.provider, other) == Client("another", "CANARY-another")
    clock.now += LIFE
    told = Told(DeniedError("invalid_client", "no"))
    with pytest.raises(DeniedError, match="invalid_client"):
        Renewal(vault, told, environ=mine, clock=clock, sleep=clock.sleep).fresh(acme)
    assert told.clients == [Client("acme-cli", "CANARY-newer")]
    assert _grant(_held(vault)).refused is None  # in another shell there may be another secret
    vault.own.delete("acme", "oauth-client")
    with pytest.raises(DeniedError, match="the application that acme was logged in with is not known here"):
        Renewal(vault, told, environ=other, clock=clock, sleep=clock.sleep).fresh(acme)
    assert _grant(_held(vault)).refused is None


# A provider that is not there.


def test_a_provider_that_fails_is_asked_again_after_a_while(vault: Vault, acme: Declared, clock: Clock) -> None:
    told = Told(UnavailableError("no"), UnavailableError("no", retry_after=3.0), UnavailableError("no"), NEW)
    clock.now += LIFE
    assert _renewal(vault, clock, told).fresh(acme).fields["access_token"] == NEW.access_token
    assert clock.slept == [0.5, 3.0, 2.0]


def test_one_that_stays_away_is_left_in_peace(vault: Vault, acme: Declared, clock: Clock) -> None:
    told = Told(UnavailableError("the provider is not there"))
    renewal = _renewal(vault, clock, told)
    clock.now += LIFE
    for _ in range(3):
        with pytest.raises(UnavailableError, match="the provider is not there"):
            renewal.fresh(acme)
    assert len(told.asked) == 4
    clock.now += 10
    told.steps = [NEW]
    assert renewal.fresh(acme).fields["access_token"] == NEW.access_token


def test_one_that_says_when_is_not_asked_before(vault: Vault, acme: Declared, clock: Clock) -> None:
    told = Told(UnavailableError("busy", retry_after=60.0))
    renewal = _renewal(vault, clock, told)
    clock.now += LIFE
    for wait, asked in ((0, 1), (59, 1), (1, 2)):
        clock.now += wait
        with pytest.raises(UnavailableError, match="busy") as caught:
            renewal.fresh(acme)
        assert 0 < (caught.value.retry_after or 0) <= 60
        assert len(told.asked) == asked
    assert clock.slept == []
    clock.now -= 10**5  # a clock that was set back makes nobody wait for a day
    told.steps = [NEW]
    assert renewal.fresh(acme, seen=ACCESS).fields["access_token"] == NEW.access_token


def test_while_it_is_away_the_token_is_used_as_long_as_it_holds(vault: Vault, acme: Declared, clock: Clock) -> None:
    told = Told(UnavailableError("no"))
    clock.now += LIFE - 100
    renewal = _renewal(vault, clock, told)
    for _ in range(3):
        assert renewal.fresh(acme).fields["access_token"] == ACCESS
    assert len(told.asked) == 4


# What is cut short.


def test_nothing_is_asked_for_that_could_not_be_kept(tmp_path: Path, clock: Clock) -> None:
    told = Told(NEW)
    with small_disk(tmp_path / "disk", 256) as disk:
        vault = Vault(disk / "home", "default", {})
        acme = hold(vault, provider_at(1), clock.now - LIFE)
        fill(disk, 0)
        with pytest.raises(AuthsomeError, match="no space left"):
            _renewal(vault, clock, told).fresh(acme)
    assert told.asked == []


def test_tokens_that_cannot_be_written_are_written_later_and_not_asked_for_again(tmp_path: Path, clock: Clock) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        vault = Vault(disk / "home", "default", {})
        acme = hold(vault, provider_at(1), clock.now - LIFE)
        ballast: list[Path] = []

        def talk(*_: object) -> Tokens:
            ballast.append(fill(disk, 0))
            return NEW

        renewal = _renewal(vault, clock, talk)
        for _ in range(2):
            with pytest.raises(AuthsomeError, match="no space left"):
                renewal.fresh(acme)
            assert _held(vault).fields["refresh_token"] == REFRESH
        ballast.pop().unlink()
        assert renewal.fresh(acme).fields["refresh_token"] == NEW.refresh_token
        assert _held(vault).fields["refresh_token"] == NEW.refresh_token
        assert ballast == []  # it was asked once


_RENEW = """
import sys
from pathlib import Path
from authsome.manifest import Declared
from authsome.oauth import Tokens
from authsome.provider import Catalogue
from authsome.renewal import Renewal
from authsome.vault import Vault
home = Path(sys.argv[1])
def talk(*_): return Tokens("CANARY-access-1", "CANARY-refresh-1", 3600.0)
def clock(): return float(sys.argv[2])
acme = Declared(Catalogue(home).get("acme"))
Renewal(Vault(home, "default", {"HOME": str(home)}), talk, clock=clock).fresh(acme)
"""


@needs_strace
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "unlink", "flock", "fchmod"])
def test_killed_at_any_call_it_leaves_the_old_tokens_or_the_new_ones(
    tmp_path: Path, clock: Clock, forking: Server, call: str
) -> None:
    home, fresh = tmp_path / "home", tmp_path / "fresh"
    vault = Vault(home, "default", {})
    acme = hold(vault, provider_at(1), clock.now - LIFE)
    (home / "providers").mkdir(exist_ok=True)
    (home / "providers" / "acme.json").write_text(json.dumps(DEFINITION))
    old, killed = dict(_held(vault).fields), 0
    new = {
        "access_token": "CANARY-access-1",
        "refresh_token": "CANARY-refresh-1",
        "former_refresh_token": REFRESH,
    }
    home.rename(fresh)
    for nth in points(40, 1):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(fresh, home)
        faults = ["-f", f"--inject={call}:signal=KILL:when={nth}"]
        done = forking.cut(faults, _RENEW, home, str(clock.now), place=tmp_path / "said")
        left = _held(Vault(home, "default", {})).fields
        assert left in (old, new)
        told = Told(Tokens("CANARY-access-2", "CANARY-refresh-2", LIFE))
        entry = _renewal(Vault(home, "default", {}), clock, told).fresh(acme, seen=left["access_token"])
        assert told.asked == [left["refresh_token"]]
        assert entry.fields["access_token"] == "CANARY-access-2"
        if done.returncode == 0:
            break
        killed += 1
    assert done.returncode == 0, done.stderr
    assert killed


def test_killed_between_the_answer_and_the_write_it_tries_again_with_the_token_that_it_has(
    tmp_path: Path, clock: Clock, endpoint: Endpoint
) -> None:
    vault = Vault(tmp_path / "home", "default", {})
    acme = hold(vault, provider_at(endpoint.port), clock.now - LIFE)
    endpoint.grace = 1
    endpoint.held.clear()
    ready = tmp_path / "ready"
    ready.touch()
    told = (str(vault.home), endpoint.port, str(endpoint.roots), clock.now, str(ready), str(tmp_path / "out"))
    (started,) = beside((renew_beside, told))
    while not endpoint.asked:
        started.join(0.01)
    assert started.pid
    started.kill()
    started.join()
    endpoint.held.set()
    assert _held(vault).fields["refresh_token"] == REFRESH
    entry = _renewal(vault, clock, speak(endpoint.roots)).fresh(acme)
    assert (endpoint.asked, endpoint.ended) == ([REFRESH, REFRESH], False)
    assert entry.fields["refresh_token"] == endpoint.good[-1]


# What a run has of it.


def test_a_run_holds_what_goes_along_with_requests_and_takes_newer_tokens_only(
    vault: Vault, acme: Declared, clock: Clock
) -> None:
    old = of_entry(acme, _held(vault))
    new = of_entry(acme, _renewal(vault, clock, Told(NEW)).fresh(acme, seen=ACCESS))
    assert old.secrets("acme", "default") == {"access_token": ACCESS}
    assert set(new.stand_ins()) == {NEW.access_token, NEW.refresh_token, REFRESH}
    assert repr(new) == "Session(acme/default)"
    assert not sings(repr(new.holding("acme", "default")).encode())
    held = new.holding("acme", "default")
    assert held
    assert held.renewable
    assert held.grant
    assert held.grant.expires_at == clock.now + LIFE
    assert old.renewed(new).secrets("acme", "default") == {"access_token": NEW.access_token}
    assert new.renewed(old) is new
    assert Session({}).renewed(new).stand_ins() == {}
    key = Session({acme.key: {"access_token": ACCESS}})
    assert key.renewed(new) is key


def test_whoever_waits_for_a_file_that_is_replaced_waits_for_the_one_in_its_place(vault: Vault, acme: Declared) -> None:
    order: list[str] = []

    def wait() -> None:
        with Vault(vault.home, "default", {}).own.turn(*acme.key, 10):
            order.append("who waited")

    waiting = threading.Thread(target=wait)
    with vault.own.turn(*acme.key, 10):
        waiting.start()
        waiting.join(0.05)
        hold(Vault(vault.home, "default", {}), acme.provider, 0.0, NEW)
        other = vault.own.turn(*acme.key, 10)
        other.__enter__()
    waiting.join(0.1)
    order.append("who holds the new one")
    other.__exit__(None, None, None)
    waiting.join()
    assert order == ["who holds the new one", "who waited"]
