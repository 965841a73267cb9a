"""A real browser, and what a person does with it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 20.0


class Browser:
    """Chromium without a window."""

    def __init__(self, driver: webdriver.Chrome, shots: Path) -> None:
        self.driver, self._shots = driver, shots

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def opens(self, link: str) -> None:
        """Follow a link until the form is there."""
        self.driver.get(link)
        self.waits("#sheet")

    def waits(self, selector: str) -> None:
        """Wait for an element."""
        WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: self.one(selector))

    def arrives(self, where: str) -> None:
        """Wait until it is at an address that begins so."""
        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05)
        wait.until(lambda _: self.driver.current_url.startswith(where), where)

    def sees(self, text: str) -> bool:
        """Wait for a text."""
        wait = WebDriverWait(
            self.driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        wait.until(lambda _: text in self.one("body").text, text)
        return True

    def types(self, line: int, text: str) -> None:
        self.one(f"#field-{line}-api_key").send_keys(text)

    def presses(self, act: str) -> None:
        self.one(f'button[value="{act}"]:not(.unseen)').click()

    def state(self, line: int) -> str:
        return str(self.one(f"#line-{line}").get_attribute("data-state"))

    def wide(self, width: int, height: int = 1400, *, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def keeps(self, name: str) -> None:
        """Keep a picture of what it shows."""
        self._shots.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(self._shots / f"{name}.png"))

    def overflows(self) -> bool:
        script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.driver.execute_script(script))


@contextmanager
def chromium(profile: Path, shots: Path, *more: str, scripts: bool = True) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    steering = shutil.which("chromedriver")
    if program is None or steering is None:
        pytest.skip("there is no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run"),
        *("disable-dev-shm-usage", "hide-scrollbars", "window-size=1100,1400", f"user-data-dir={profile}"),
        *more,
    ):
        options.add_argument(f"--{flag}")
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(steering))
    try:
        yield Browser(driver, shots)
    finally:
        driver.quit()
