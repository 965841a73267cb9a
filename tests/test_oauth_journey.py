"""A person logs in to a certified server with a real browser, and an agent works with tokens that it does not have."""

import json
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from canary import sings
from chromium import Browser, chromium
from conftest import EXECUTABLE, CommandLine
from octets import Arrived
from oidc_server import BASIC, PUBLIC, Certified
from scripted import Origin, Reply
from terminal import Person

pytest_plugins = ["oidc_fixtures"]
pytestmark = pytest.mark.browser

KEYS = {name: f"{name}-CANARY-0123456789abcdef" for name in ("acme", "beta", "gamma", "delta")}
REVOKED = "acme-CANARY-revoked-0123456"
PAGE = re.compile(r"http://127\.0\.0\.1:(\d+)/[\w-]{22}\b")
MANIFEST = """version: 1
providers:
  acme: {why: to plan the work}
  beta:
  gamma: {required: false, why: fallback}
  delta:
  certified: {why: to read what is there, scopes: [openid, read]}
"""
OURS = 7998
"""The port that a provider sends people back to."""
WAITING = 60.0
"""Seconds to wait for that port: another test may have a page there."""


@dataclass
class World:
    """A certified server, and somebody with a browser."""

    authsome: CommandLine
    oidc: Certified

    def define(self, name: str, definition: dict[str, object]) -> None:
        folder = self.authsome.home / "providers"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(definition))

    def defines(self, **more: Any) -> None:
        """Define the certified server, as `Certified.definition` has it."""
        self.define("certified", self.oidc.definition(**more))

    def person(self, *words: str) -> tuple[Person, str]:
        """Begin a command that asks on a page at the port that a provider sends people back to."""
        deadline = time.monotonic() + WAITING
        while True:
            person = Person([EXECUTABLE, *words], self.authsome.environ(), self.authsome.project)
            assert person.sees("the link works once:\n  http://127.0.0.1:"), person.screen
            person.sees("never", seconds=0.2)
            found = PAGE.search(person.screen)
            assert found is not None
            if int(found[1]) == OURS:
                return person, found[0]
            assert time.monotonic() < deadline, "somebody else has the port"
            person.types("\x03")
            person.ends()

    def at_terminal(self, *words: str) -> Person:
        return Person([EXECUTABLE, *words, "--terminal"], self.authsome.environ(), self.authsome.project)

    def agrees(self, browser: Browser) -> None:
        """Sign in at the provider, and allow what it shows."""
        assert browser.sees("Sign in to Certified")
        browser.presses("login")
        assert browser.sees("Acme agents asks for")
        browser.presses("allow")

    def token(self, field: str = "access_token") -> str:
        return self.authsome("get", "certified", "--field", field, "--show-secret", reveals=True).out.strip()


@pytest.fixture(scope="module")
def started(certified: Certified, pytestconfig: pytest.Config) -> Iterator[Browser]:
    """Start one browser; it keeps pictures from run to run, to be looked at."""
    assert pytestconfig.cache is not None
    shots = Path(pytestconfig.cache.mkdir("authsome-page"))
    # Its profile is outside of what is searched for canaries, as a person's is.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium(Path(profile), shots, certified.flag) as browser,
    ):
        yield browser


@pytest.fixture
def browser(started: Browser) -> Browser:
    """Return the browser as if it were new."""
    started.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    started.driver.get_log("browser")  # type: ignore[no-untyped-call]
    started.wide(1100)
    return started


@pytest.fixture
def world(authsome: CommandLine, oidc: Certified, tmp_path: Path) -> World:
    bundle = tmp_path / "roots.pem"
    bundle.write_text(oidc.roots.read_text())
    authsome.env = {"SSL_CERT_FILE": str(bundle), "CERTIFIED_CLIENT_ID": PUBLIC.client_id}
    made = World(authsome, oidc)
    made.defines(token_endpoint_auth_method="none", client={"client_id_env": "CERTIFIED_CLIENT_ID"})
    return made


@pytest.fixture
def keyed(world: World, tmp_path: Path) -> Iterator[None]:
    """Have four providers that know their keys."""
    origins = []
    for name, key in KEYS.items():
        folder = tmp_path / "outside" / name
        folder.mkdir(parents=True)
        origins.append(_keyed(world, name, key, Origin(folder)))
        with Path(world.authsome.env["SSL_CERT_FILE"]).open("a") as bundle:
            bundle.write(origins[-1].roots.read_text())
    yield
    for origin in origins:
        origin.close()


def _keyed(world: World, name: str, key: str, origin: Origin) -> Origin:
    def judge(request: Arrived) -> Reply:
        return Reply((b"{}",), status=200 if request.values(b"authorization") == [f"Bearer {key}".encode()] else 401)

    origin.script = judge
    where = f"https://localhost:{origin.port}"
    api_key = {"env_var": f"{name.upper()}_API_KEY", "key_pattern": f"^{name}-[A-Za-z0-9-]{{16,}}$"}
    definition = {"name": name, "display_name": name.title(), "host_url": where, "private_addresses": True}
    world.define(name, {**definition, "api_key": api_key, "test": {"url": f"{where}/v1/me"}})
    return origin


def test_a_login_with_a_button(world: World, browser: Browser) -> None:
    world.defines(token_endpoint_auth_method="none")
    person, link = world.person("login", "certified", "--browser")
    browser.opens(link)
    browser.one("#field-0-client_id").send_keys(PUBLIC.client_id)
    browser.keeps("oauth-1-asked")
    browser.presses("go-0")
    world.agrees(browser)
    assert browser.sees("Your terminal goes on. You can close this window.")
    browser.keeps("oauth-2-done")
    assert person.sees("Successfully logged in to certified (default).")
    assert person.ends() == 0
    assert not sings(person.screen.encode())
    assert not sings(browser.driver.page_source.encode())
    assert not sings(browser.driver.current_url.encode())
    assert not sings(json.dumps(browser.driver.get_log("browser")).encode())  # type: ignore[no-untyped-call]
    assert world.oidc.knows(world.token())
    ran = world.authsome("run", "--", "sh", "-c", f'echo "has $CERTIFIED_TOKEN"; curl -s {world.oidc.issuer}/api/echo')
    assert (ran.code, ran.out.splitlines()[0]) == (0, "has authsome-proxy-managed"), ran
    assert json.loads(ran.out.splitlines()[1])["login"] == "ada"
    # The application is known from now on.
    person, link = world.person("login", "certified", "--browser", "--connection", "second")
    browser.opens(link)
    browser.presses("go-0")
    assert browser.sees("Acme agents asks for")
    browser.presses("allow")
    assert browser.sees("Your terminal goes on.")
    assert person.sees("Successfully logged in to certified (second).")
    assert person.ends() == 0


@pytest.mark.usefixtures("keyed")
def test_a_page_with_keys_and_a_login(world: World, browser: Browser) -> None:
    world.authsome.declare(MANIFEST)
    world.authsome.login("delta", KEYS["delta"], "--profile", "work")
    command = "echo agent has $ACME_API_KEY, gamma $GAMMA_API_KEY, $CERTIFIED_TOKEN."
    person, link = world.person("run", "--browser", "--", "sh", "-c", command)
    browser.wide(1100, 1800)
    browser.opens(link)
    assert browser.sees("0 of 4 required stored")
    browser.types(1, KEYS["beta"][:9])  # half of it, when the person turns to something else
    browser.types(0, REVOKED)
    browser.presses("store-0")
    assert browser.sees("Acme refuses this key")
    browser.keeps("oauth-3-several")
    browser.presses("go-4")
    world.agrees(browser)
    assert browser.sees("1 of 4 required stored")
    browser.keeps("oauth-4-back")
    browser.presses("again-0")
    browser.waits("#field-0-api_key")
    browser.types(0, KEYS["acme"])
    browser.presses("store-0")
    assert browser.sees("2 of 4 required stored")
    browser.one("#field-1-api_key").clear()
    browser.types(1, KEYS["beta"])
    browser.presses("store-1")
    assert browser.sees("3 of 4 required stored")
    browser.one('input[name="reuse-3-0"]').click()
    browser.presses("store-3")
    assert browser.sees("4 of 4 required stored")
    assert not sings(browser.driver.page_source.encode())
    browser.presses("skip-2")
    assert browser.sees("Your terminal goes on. You can close this window.")
    browser.keeps("oauth-5-done")
    assert person.sees("agent has authsome-proxy-managed, gamma , authsome-proxy-managed.")
    assert person.ends() == 0
    assert not sings(person.screen.encode())
    assert world.oidc.knows(world.token())


def test_a_person_who_says_no_may_think_again(world: World, browser: Browser) -> None:
    person, link = world.person("login", "certified", "--browser")
    browser.opens(link)
    browser.presses("go-0")
    assert browser.sees("Sign in to Certified")
    browser.presses("deny")
    browser.waits("#sheet")
    assert browser.state(0) == "wrong"
    browser.keeps("oauth-6-denied")
    assert not world.oidc.calls()
    browser.presses("go-0")
    world.agrees(browser)
    assert person.sees("Successfully logged in to certified (default).")
    assert person.ends() == 0


def test_a_login_on_another_device(world: World, browser: Browser) -> None:
    world.oidc.settle(interval=1)
    person, link = world.person("login", "certified", "--browser", "--flow", "device_code")
    browser.opens(link)
    browser.presses("go-0")
    code = re.compile(r"\b[B-Z]{4}-[B-Z]{4}\b")
    assert browser.sees(f"{world.oidc.issuer}/device".removeprefix("https://"))
    shown = code.search(browser.one("body").text)
    assert shown is not None
    browser.keeps("oauth-7-device")
    # The other device, which need not know this one.
    page = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("window")
    browser.driver.get(f"{world.oidc.issuer}/device")
    browser.one("input[name=user_code]").send_keys(shown[0])
    browser.one("button").click()
    assert browser.sees("Is this your device?")
    browser.one("button").click()
    world.agrees(browser)
    assert browser.sees("Device connected")
    browser.driver.close()
    browser.driver.switch_to.window(page)
    assert browser.sees("Your terminal goes on. You can close this window.")
    assert person.sees("Successfully logged in to certified (default).")
    assert person.ends() == 0
    assert not sings(person.screen.encode())
    assert world.oidc.knows(world.token())
    assert world.oidc.calls()[-1].status == 200


# At a terminal, where the browser is somewhere else.

ADDRESS = re.compile(r"https://localhost:\d+/auth\?[!-~]+")


@pytest.mark.parametrize("flow", ["pkce", "dcr_pkce"])
def test_a_login_at_the_terminal(world: World, flow: str) -> None:
    """Of an application of one's own, or of one that registers itself; the browser comes back, or its address does."""
    if flow == "dcr_pkce":
        world.defines(by="issuer", supports_dcr=True)
    person = world.at_terminal("login", "certified", "--flow", flow)
    assert person.sees("/auth?"), person.screen
    person.sees("never", seconds=0.3)
    found = ADDRESS.search(person.screen)
    assert found is not None
    with world.oidc.visitor() as visitor:
        back = visitor.agrees(found[0])
    if flow == "dcr_pkce" or "is taken by" in person.screen:
        person.types(back + "\r")
    else:
        assert httpx.get(back, trust_env=False).status_code == 200
    assert person.sees("Successfully logged in to certified (default)."), person.screen
    assert person.ends() == 0
    assert not sings(person.screen.encode())
    assert world.oidc.knows(world.token())


def _logs_in(world: World, *more: str) -> None:
    """Log in with a code for another device, at a terminal."""
    world.oidc.settle(interval=1)
    person = world.at_terminal("login", "certified", "--flow", "device_code", *more)
    assert person.sees(f"{world.oidc.issuer}/device"), person.screen
    person.sees("never", seconds=0.3)
    code = re.search(r"\b[B-Z]{4}-[B-Z]{4}\b", person.screen)
    assert code is not None
    with world.oidc.visitor() as visitor:
        visitor.connects(f"{world.oidc.issuer}/device", code[0])
    assert person.sees("Successfully logged in to certified (default)."), person.screen
    assert person.ends() == 0
    assert not sings(person.screen.encode())


def test_an_agent_works_on_when_its_token_ends_until_a_person_takes_it_back(world: World) -> None:
    world.authsome.declare("version: 1\nproviders:\n  certified:\n")
    _logs_in(world)
    first, asks = world.token(), f"curl -s {world.oidc.issuer}/api/echo"
    world.oidc.expire()
    ran = world.authsome("run", "--", "sh", "-c", f"{asks}; {asks}")
    assert (ran.code, ran.out.count('"login":"ada"')) == (0, 2), ran
    assert [call.status for call in world.oidc.calls("refresh_token")] == [200]
    assert world.token() != first
    assert world.oidc.knows(world.token())
    world.oidc.withdraw()
    ran = world.authsome("run", "--", "sh", "-c", asks)
    assert json.loads(ran.out)["error"] == "login_needed", ran
    assert "authsome login certified" in ran.out
    asked = world.oidc.calls("refresh_token")
    assert {call.error for call in asked[1:]} == {"invalid_grant"}
    # It is known from now on, before anything starts.
    ran = world.authsome("run", "--", "sh", "-c", asks)
    assert ran.code == 125
    assert "authsome login certified" in ran.err
    assert world.oidc.calls("refresh_token") == asked


def test_what_is_held_is_widened_and_ended_at_the_provider(world: World) -> None:
    _logs_in(world)
    _logs_in(world, "--scopes", "write")
    held = world.token(), world.token("refresh_token")
    assert held[0].startswith("CANARY-AccessToken")
    shown = json.loads(world.authsome("get", "certified", "--json").out)
    assert {"openid", "read", "write"} == set(shown["scopes"]), shown
    assert all(map(world.oidc.knows, held))
    done = world.authsome("revoke", "certified", "--yes")
    assert done.code == 0, done
    assert not any(map(world.oidc.knows, held))
    assert world.authsome("get", "certified").code == 3


# An application that acts for itself has nobody to ask.


def test_a_login_of_an_application_from_a_pipe(world: World) -> None:
    world.defines(token_endpoint_auth_method="client_secret_basic", client_credentials={}, flow="client_credentials")
    given = json.dumps({"client_id": BASIC.client_id, "client_secret": BASIC.secret})
    done = world.authsome("login", "certified", "--stdin", given=given)
    assert done.code == 0, done
    assert world.oidc.knows(world.token())
