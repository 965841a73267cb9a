"""A person with a real browser who agrees at a provider, or with a code, and comes back to the page."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from agreeing import APPLICATION, AT_ONCE, CLIENT_SECRET, HOSTILE_ERROR, STORED, Agreeing, login, provider
from asking import KEY, Open, opened, question, take
from selenium.webdriver.common.keys import Keys

from authsome.bridge import Answer, Question, Taken
from canary import sings
from chromium import Browser, chromium

pytestmark = pytest.mark.browser


@pytest.fixture
def browse(pytestconfig: pytest.Config) -> Iterator[Callable[..., Browser]]:
    assert pytestconfig.cache is not None
    shots = Path(pytestconfig.cache.mkdir("authsome-page"))
    with ExitStack() as stack:

        def start(*, scripts: bool = True) -> Browser:
            profile = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            return stack.enter_context(chromium(profile, shots, "ignore-certificate-errors", scripts=scripts))

        yield start


@dataclass
class Providers:
    """Takes keys, logins in the browser and logins on another device."""

    page: str
    web: Agreeing = field(init=False)
    device: Agreeing = field(default_factory=lambda: Agreeing(devices=[AT_ONCE]))

    def __post_init__(self) -> None:
        self.web = Agreeing(self.page)

    def __call__(self, asked: Question, answer: Answer) -> Taken:
        if asked.flow is None:
            return take(asked, answer)
        return (self.device if asked.flow == "device_code" else self.web)(asked, answer)


def _types(browser: Browser, place: str, text: str) -> None:
    browser.one(f"#field-{place}").send_keys(text)


def _warned(browser: Browser) -> list[str]:
    logged = browser.driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [each["message"] for each in logged if each["level"] in ("WARNING", "SEVERE")]


def _is_back(browser: Browser, page: Open) -> None:
    browser.waits("#sheet")
    assert browser.driver.current_url == f"http://127.0.0.1:{page.port}{page.guard.root}"


def test_there_and_back_with_a_no_first_and_a_code_beside_it(browse: Callable[..., Browser]) -> None:
    with provider() as (where, came):
        providers = Providers(where)
        asked = (
            question("beta"),
            login("acme", blanks=APPLICATION, keys_url="https://acme.example/apps", why="to plan the work"),
            login("gamma", flow="device_code"),
        )
        with opened(*asked, taking=providers) as page:
            browser = browse()
            browser.opens(page.guard.link)
            browser.keeps("login-1-asked")
            _types(browser, "0-api_key", KEY)
            _types(browser, "1-client_id", "mine")
            _types(browser, "1-client_secret", CLIENT_SECRET)
            browser.presses("go-1")
            assert browser.sees("Do you agree?")
            browser.one("#no").click()
            assert browser.sees(f"Acme says no: {HOSTILE_ERROR}")
            _is_back(browser, page)
            assert [browser.state(line) for line in range(3)] == ["stored", "wrong", "open"]
            browser.keeps("login-2-refused")
            browser.presses("go-1")  # the secret is still there
            assert browser.sees("Do you agree?")
            browser.driver.back()
            assert browser.sees("Waiting for you to agree at localhost.")
            browser.one("summary").click()
            browser.one("#returned-1").send_keys("garbage" + Keys.ENTER)
            assert browser.sees("This is not the address that the login comes back to.")
            browser.keeps("login-3-away")
            browser.one(".waits a").click()
            assert browser.sees("Do you agree?")
            browser.one("#yes").click()
            assert browser.sees("2 of 3 required stored")
            _is_back(browser, page)
            browser.presses("go-2")
            assert browser.sees("WDJB-MJHT")
            browser.keeps("login-4-device")
            browser.one("#line-2 .copy").click()
            assert browser.sees("Copied")
            providers.device.devices[0] = STORED
            assert browser.sees("All set")  # by itself
            browser.keeps("login-5-done")
            assert not sings(browser.driver.page_source.encode())
        assert [answer.fields.get("client_secret") for answer in providers.web.answers] == [
            CLIENT_SECRET,
            None,
            CLIENT_SECRET,
            None,
        ]
        assert len(came) >= 3
        assert not any(headers.get("Referer", "").startswith("http://") for headers in came)
        assert not any("Cookie" in headers for headers in came)
        assert not [each for each in _warned(browser) if "favicon" not in each]


def test_the_same_without_scripts(browse: Callable[..., Browser]) -> None:
    with provider() as (where, _):
        providers = Providers(where)
        asked = (login("acme", blanks=APPLICATION), login("gamma", flow="device_code"), question("beta"))
        with opened(*asked, taking=providers) as page:
            browser = browse(scripts=False)
            browser.opens(page.guard.link)
            _types(browser, "0-client_id", "mine")
            _types(browser, "0-client_secret", CLIENT_SECRET)
            _types(browser, "2-api_key", KEY)
            browser.presses("go-0")
            assert browser.sees("Do you agree?")
            browser.one("#yes").click()
            assert browser.sees("2 of 3 required stored")
            _is_back(browser, page)
            browser.presses("go-1")
            assert browser.sees("WDJB-MJHT")
            assert not browser.one(".copy").is_displayed()
            browser.presses("poll-1")
            assert browser.sees("It is not confirmed yet.")
            browser.keeps("login-plain-device")
            providers.device.devices[0] = STORED
            browser.presses("poll-1")
            assert browser.sees("All set")


def test_what_is_copied_can_be_pasted_and_enter_begins_a_login_that_stands_alone(
    browse: Callable[..., Browser],
) -> None:
    with provider() as (where, _):
        providers = Providers(where)
        with opened(login("acme", blanks=APPLICATION), taking=providers) as page:
            browser = browse()
            browser.wide(320)
            browser.opens(page.guard.link)
            browser.one(".copy").click()
            assert browser.sees("Copied")
            _types(browser, "0-client_id", Keys.CONTROL + "v")
            assert browser.one("#field-0-client_id").get_attribute("value") == "http://127.0.0.1:7998/callback"
            assert not browser.overflows()
            browser.keeps("login-narrow")
            _types(browser, "0-client_secret", CLIENT_SECRET + Keys.ENTER)
            assert browser.sees("Do you agree?")
            browser.one("#yes").click()
            assert browser.sees("All set")
            assert browser.driver.current_url == f"http://127.0.0.1:{page.port}{page.guard.root}"
