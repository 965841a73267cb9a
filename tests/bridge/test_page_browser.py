"""A person with a real browser: the whole way from a missing key to the agent."""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agreeing import APPLICATION, Agreeing, login
from asking import DOUBTED, HOSTILE, KEY, opened, question, take
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from authsome.bridge import Answer, Blank, Question, Taken
from authsome.oauth import AuthorizationRequest, DeviceAuthorization
from canary import sings
from chromium import Browser, chromium
from conftest import EXECUTABLE, CommandLine
from node import Install
from node_fixtures import install  # noqa: F401  a fixture
from octets import Arrived
from scripted import Origin, Reply
from terminal import Person

pytestmark = pytest.mark.browser

KEYS = {name: f"{name}-CANARY-0123456789abcdef" for name in ("acme", "beta", "gamma", "delta")}
REVOKED = "acme-CANARY-revoked-0123456"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]{22}\b")
MANIFEST = """version: 1
providers:
  acme: {why: "to plan <b>the work</b>"}
  beta:
  gamma: {required: false, why: fallback}
  delta:
"""


@pytest.fixture
def shots(pytestconfig: pytest.Config) -> Path:
    """Return where pictures are kept from run to run, to be looked at."""
    assert pytestconfig.cache is not None
    return Path(pytestconfig.cache.mkdir("authsome-page"))


@pytest.fixture
def browse(shots: Path) -> Iterator[Callable[..., Browser]]:
    """Return what starts a browser; its profile is outside of what is searched for canaries, as a person's is."""
    with ExitStack() as stack:

        def start(*, scripts: bool = True) -> Browser:
            profile = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            return stack.enter_context(chromium(profile, shots, scripts=scripts))

        yield start


@dataclass
class World:
    """Providers on loopback that know their keys, and a project that declares them."""

    authsome: CommandLine
    origins: dict[str, Origin] = field(default_factory=dict)

    def settle(self, name: str, folder: Path) -> None:
        origin = self.origins[name] = Origin(folder)
        where = f"https://localhost:{origin.port}"

        def judge(request: Arrived) -> Reply:
            known = request.values(b"authorization") == [f"Bearer {KEYS[name]}".encode()]
            return Reply((b"{}",), status=200 if known else 401)

        origin.script = judge
        definition = {
            "name": name,
            "display_name": name.title(),
            "host_url": where,
            "api_key": {
                "env_var": f"{name.upper()}_API_KEY",
                "key_pattern": f"^{name}-[A-Za-z0-9-]{{16,}}$",
                "key_pattern_hint": f"{name.title()} keys start with '{name}-'.",
            },
            "keys_url": f"https://{name}.example/keys",
            "test": {"url": f"{where}/v1/me"},
        }
        providers = self.authsome.home / "providers"
        providers.mkdir(parents=True, exist_ok=True)
        (providers / f"{name}.json").write_text(json.dumps(definition))

    def run(self, *more: str) -> tuple[Person, str]:
        command = "echo agent has $ACME_API_KEY, gamma $GAMMA_API_KEY."
        words: list[str | Path] = [EXECUTABLE, "run", "--browser", *more, "--", "sh", "-c", command]
        person = Person(words, self.authsome.environ(), self.authsome.project)
        assert person.sees("the link works once:\n  http://127.0.0.1:"), person.screen
        person.sees("never", seconds=0.2)
        found = LINK.search(person.screen)
        assert found is not None
        return person, found[0]

    def held(self, name: str, *more: str) -> str:
        return self.authsome("get", name, "--field", "api_key", "--show-secret", *more, reveals=True).out.strip()


@pytest.fixture
def world(authsome: CommandLine, tmp_path: Path) -> Iterator[World]:
    made = World(authsome)
    for name in KEYS:
        folder = tmp_path / "outside" / name
        folder.mkdir(parents=True)
        made.settle(name, folder)
    bundle = tmp_path / "roots.pem"
    bundle.write_text("".join(origin.roots.read_text() for origin in made.origins.values()))
    authsome.env = {"SSL_CERT_FILE": str(bundle)}
    authsome.declare(MANIFEST)
    authsome.login("delta", KEYS["delta"], "--profile", "work")
    yield made
    for origin in made.origins.values():
        origin.close()


def test_three_keys_one_wrong_one_left_out_one_held_already(world: World, browse: Callable[..., Browser]) -> None:
    person, link = world.run()
    browser = browse()
    browser.wide(1100)
    browser.opens(link)
    assert browser.sees("0 of 3 required stored")
    assert browser.sees("to plan <b>the work</b>")
    browser.keeps("journey-1-asked")
    browser.types(1, "half of the other li")  # nothing is lost of it
    browser.types(0, "nonsense")
    browser.presses("store-0")
    assert browser.sees("This does not look like a valid Acme API key.")
    browser.types(0, REVOKED)
    browser.presses("store-0")
    assert browser.sees("Acme refuses this key: localhost:")
    assert not (world.authsome.home / "profiles" / "default").exists()
    browser.keeps("journey-2-refused")
    browser.presses("again-0")
    browser.waits("#field-0-api_key")
    browser.types(0, f'"{KEYS["acme"]}"')
    browser.presses("store-0")
    assert browser.sees("It has quotes or a word like `Bearer` around it")
    browser.presses("accept-0")
    assert browser.sees("Stored; Acme accepts it")
    assert world.held("acme") == KEYS["acme"]
    browser.types(1, Keys.CONTROL + "a")
    browser.types(1, KEYS["beta"] + Keys.ENTER)
    assert browser.sees("2 of 3 required stored")
    browser.one('input[name="reuse-3-0"]').click()
    browser.presses("store-3")
    assert browser.sees("3 of 3 required stored")
    browser.keeps("journey-3-stored")
    assert not sings(browser.driver.page_source.encode())
    assert not person.sees("agent has", seconds=0.3)
    browser.presses("skip-2")
    assert browser.sees("Your terminal goes on. You can close this window.")
    browser.keeps("journey-4-done")
    assert person.sees("agent has authsome-proxy-managed, gamma .")
    assert person.ends() == 0
    assert world.held("delta") == KEYS["delta"]
    assert not sings(person.screen.encode())
    assert not sings(json.dumps(browser.driver.get_log("browser")).encode())  # type: ignore[no-untyped-call]


def test_the_same_without_scripts(world: World, browse: Callable[..., Browser]) -> None:
    person, link = world.run()
    browser = browse(scripts=False)
    browser.opens(link)
    assert browser.sees("0 of 3 required stored")
    assert not browser.one("button.show").is_displayed()
    browser.types(0, KEYS["acme"])
    browser.types(1, "nonsense")
    browser.one('input[name="reuse-3-0"]').click()
    browser.presses("continue")
    assert browser.sees("2 of 3 required stored · 1 to look at")
    assert [browser.state(line) for line in range(4)] == ["stored", "wrong", "open", "stored"]
    assert not sings(browser.driver.page_source.encode())
    browser.keeps("plain-1-looked-at")
    browser.types(2, KEYS["gamma"])
    browser.types(1, KEYS["beta"] + Keys.ENTER)
    assert browser.sees("Your terminal goes on.")
    browser.keeps("plain-2-done")
    assert person.sees("agent has authsome-proxy-managed, gamma authsome-proxy-managed.")
    assert person.ends() == 0


def test_who_is_offline_is_told_so_and_a_login_ends_by_itself(world: World, browse: Callable[..., Browser]) -> None:
    world.origins.pop("acme").close()
    world.authsome.env["HTTPS_PROXY"] = "http://127.0.0.1:9"
    person = Person([EXECUTABLE, "login", "acme", "--browser"], world.authsome.environ(), world.authsome.project)
    assert person.sees("works once:\n  http://127.0.0.1:")
    person.sees("never", seconds=0.2)
    found = LINK.search(person.screen)
    assert found is not None
    browser = browse()
    browser.opens(found[0])
    browser.types(0, KEYS["acme"] + Keys.ENTER)
    assert browser.sees("Stored, not checked: localhost:")
    assert person.sees("Successfully logged in to acme (default).")
    assert person.ends() == 0


def test_a_second_browser_with_the_link_is_told_why_not(browse: Callable[..., Browser]) -> None:
    with opened(question("acme")) as page:
        page.enter()
        browser = browse()
        browser.driver.get(page.guard.link)
        assert browser.sees("This link was used already")
        browser.keeps("refused")
        assert not browser.driver.get_cookies()
        logged = browser.driver.get_log("browser")  # type: ignore[no-untyped-call]
        assert not [each for each in logged if "Content Security Policy" in each["message"]]


def test_leaving_the_page_starts_nothing_and_keeps_what_is_stored(world: World, browse: Callable[..., Browser]) -> None:
    person, link = world.run()
    browser = browse()
    browser.opens(link)
    browser.types(0, KEYS["acme"] + Keys.ENTER)
    assert browser.sees("1 of 3 required stored")
    browser.presses("leave")
    assert browser.sees("Go back to the terminal")
    assert person.sees("Error: the page was left without beta, delta\n")
    assert person.ends() == 125
    assert world.held("acme") == KEYS["acme"]


def test_the_keyboard_is_enough(browse: Callable[..., Browser]) -> None:
    with opened(question("acme"), question("beta", required=False)) as page:
        browser = browse()
        browser.opens(page.guard.link)
        browser.sees("0 of 1 required stored")
        keys = ActionChains(browser.driver)

        def press(*pressed: str) -> dict[str, Any]:
            keys.send_keys(*pressed).perform()
            time.sleep(0.1)
            return dict(browser.driver.execute_script(_FOCUSED))

        assert press("")["id"] == "field-0-api_key"
        assert press(KEY, Keys.TAB)["text"] == "Show"
        shown = press(Keys.SPACE)
        assert (shown["text"], shown["pressed"]) == ("Hide", "true")
        assert shown["outline"] != "none"
        assert browser.one("#field-0-api_key").get_attribute("type") == "text"
        assert press(Keys.TAB)["value"] == "store-0"
        after = press(Keys.ENTER)
        browser.sees("1 of 1 required stored")
        deadline = time.monotonic() + 5
        while after["id"] != "field-1-api_key" and time.monotonic() < deadline:
            after = press("")
        assert after["id"] == "field-1-api_key"  # on to what is next
        assert browser.one("#said").get_attribute("textContent") == "Acme stored: Stored; it accepts it"
        assert press(Keys.TAB, Keys.TAB, Keys.TAB)["value"] == "skip-1"
        press(Keys.ENTER)
        assert browser.sees("All set")


_FOCUSED = """
const it = document.activeElement, style = getComputedStyle(it);
return {id: it.id, text: it.textContent, value: it.value, pressed: it.getAttribute("aria-pressed"),
        outline: style.outlineStyle};
"""


def test_enter_pressed_twice_decides_nothing(browse: Callable[..., Browser]) -> None:
    with opened(question("acme")) as page:
        browser = browse()
        browser.opens(page.guard.link)
        browser.types(0, DOUBTED + Keys.ENTER)
        browser.sees("It refuses this key.")
        for key in (Keys.ENTER, Keys.SPACE):
            ActionChains(browser.driver).send_keys(key).perform()
        time.sleep(0.3)
        assert browser.state(0) == "doubt"
        ActionChains(browser.driver).send_keys(Keys.TAB, Keys.ENTER).perform()
        assert browser.sees("All set")
        assert [sorted(answer.accepted) for _, answer in page.taken] == [[], ["refused"]]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1100])
def test_axe_finds_nothing_to_complain_about(
    browse: Callable[..., Browser],
    install: Install,  # noqa: F811  the fixture
    width: int,
    dark: bool,
) -> None:
    axe = (install("axe-core@4") / "node_modules" / "axe-core" / "axe.min.js").read_text()
    asked = (
        question("acme", why=HOSTILE, hint="Acme keys start with 'acme-'.", keys_url="https://acme.example/keys"),
        question("beta", connection="team", hosts=("a.example", "b.example"), new_hosts=("b.example",)),
        question("gamma", required=False, blanks=(Blank("api_key"), Blank("account", "Account id", masked=False))),
        question("delta", held=("delta of the profile work",), scopes=("repo", "read:user")),
        *(
            login(
                "epsilon",
                required=False,
                blanks=APPLICATION,
                keys_url="https://acme.example/apps",
                connection=f"no-{n}",
            )
            for n in "12"
        ),
        login("zeta", required=False, flow="device_code", connection="team"),
    )
    waiting = DeviceAuthorization("WDJB-MJHT", "https://acme.example/device", "https://acme.example/d?c=1", 500, 900)
    agreeing = Agreeing(code=waiting)

    def taking(asked: Question, answer: Answer) -> Taken:
        return agreeing(asked, answer) if asked.flow else take(asked, answer)

    with opened(*asked, taking=taking) as page:
        browser = browse()
        browser.wide(width, dark=dark)
        browser.opens(page.guard.link)
        browser.sees("0 of 3 required stored")
        name = f"{width}-{'dark' if dark else 'light'}"
        for step in ("asked", "answered", "done"):
            if step == "answered":
                browser.types(0, "CANARY-wrong-0123" + Keys.ENTER)
                browser.sees("1 to look at")
                browser.types(1, "CANARY-doubted-0123" + Keys.ENTER)
                browser.sees("2 to look at")
                browser.types(3, KEY + Keys.ENTER)
                browser.sees("1 of 3 required stored")
                browser.presses("go-6")
                browser.sees("WDJB-MJHT")
                page.sheet.lines[5].settle(AuthorizationRequest("https://acme.example/", "CANARY-state", "x"), 0.0)
                browser.presses("again-6")
                browser.waits('#line-6[data-state="open"]')
                browser.driver.get(browser.driver.current_url)
                browser.one("summary").click()
                browser.presses("returned-5")
                browser.sees("This is not the address that the login comes back to.")
                browser.presses("go-6")
                browser.sees("WDJB-MJHT")
            if step == "done":
                browser.presses("leave")
                browser.sees("Go back to the terminal")
            browser.keeps(f"{name}-{step}")
            assert not browser.overflows()
            # Through the protocol and not as a script of the page, which its policy forbids.
            browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
            found = browser.driver.execute_async_script(_AXE)
            assert found == []
        logged = browser.driver.get_log("browser")  # type: ignore[no-untyped-call]
        assert [each["message"] for each in logged if each["level"] in ("WARNING", "SEVERE")] == []


_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`)),
  (error) => done([String(error)]));
"""
