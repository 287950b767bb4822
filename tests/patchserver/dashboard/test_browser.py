"""The dashboard in a real browser, on a real server, from the first sign-in to a recall.

``UPSWAP_SCREENSHOTS=FOLDER`` keeps pictures of what was seen.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from patchtool.release.recall import recall
from patchtool.repository.writer import name_writer
from patchtool.server.push import push
from patchtool.server.server_client import Server
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select
from sqlalchemy import insert

from benchmarks.deployment import ROOT, free_port, running
from patchserver.accounts.users import Role, Scope
from patchserver.database.tables import Install, Sighting
from patchserver.ops.server_settings import ServerSettings
from patchserver.services import open_services
from tests.support.repository.publisher import PASSWORD as KEY_PASSWORD
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.served import PASSWORD, checkin, report
from tests.support.trees.trees import Tree, noise
from updater.disk.durable import Disk
from updater.net.http import HttpTransport

pytestmark = pytest.mark.slow
DAY = 86_400
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


def tree(version: str) -> Tree:
    return {"notes": noise(60_000, 1) + version.encode(), "lib/core": noise(30_000, 2)}


@dataclass(frozen=True)
class Site:
    """A server in a process of its own, and who publishes on it."""

    url: str
    publisher: Publisher
    token: str

    def push(self) -> None:
        """Bring what was signed to the server, as CI does."""
        server = Server(self.url, self.token, HttpTransport())
        assert push(quick_session(_now), server, self.publisher.repository(), keys=None)

    def send(self, what: str, body: bytes) -> None:
        """As installs do."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}", body, timeout=20) as answer:
            assert answer.status == 204


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name, value in KEY_PASSWORD.items():
        monkeypatch.setenv(name, value)
    publisher = Publisher(tmp_path / "publisher", now=_now())
    repository, keys = tmp_path / "repository", tmp_path / "server-keys"
    keys.mkdir(mode=0o700)
    shutil.copy2(publisher.keys.folder / "online.pem", keys)
    shutil.copytree(publisher.folder, repository)
    for place in (publisher.folder, repository):
        name_writer(Disk(), place, "server")
    data = tmp_path / "data"
    settings = ServerSettings(repository, data, keys, f"sqlite:///{data / 'patchserver.db'}")
    token, port = _prepare(settings), free_port()
    command = [sys.executable, "-m", "patchserver", "serve", "--port", str(port)]
    for option, place in (("repo", repository), ("data", data), ("keys", keys)):
        command += [f"--{option}", str(place)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tools")])
    with (
        (tmp_path / "server.log").open("wb") as log,
        running(command, port, {**os.environ, "PYTHONPATH": paths}, log.fileno()),
    ):
        yield Site(f"http://127.0.0.1:{port}", publisher, token)


def _prepare(settings: ServerSettings) -> str:
    """Somebody who may sign in, a token, and what installs told in the last months."""
    services, now = open_services(settings), _now()
    services.accounts.add("anna", PASSWORD, Role.ADMIN, now)
    token = services.accounts.make_token("anna", "ci", "notes", list(Scope), now, days=365)
    today, count = now // DAY, 40
    place = {"app": "notes", "channel": "stable"}
    seen = [
        {**place, "day": today + day, "install": f"{n:032x}", "version": version}
        for day in range(-90, 1)
        for n in range(count)
        if (version := _had(n, day))
    ]
    present: dict[str, Any] = {
        **place,
        "state": "clean",
        "platform": "linux-x86_64",
        "updater": "0.1.0",
        "since": now - 5 * DAY,
        "seen": now,
        "origin": "",
        "checkin": "",
    }
    installs = [{**present, "install": s["install"], "version": s["version"]} for s in seen[-30:]]
    with services.database.writing() as session:
        session.execute(insert(Sighting), seen)
        session.execute(insert(Install), installs)
    services.database.close()
    return token


def _had(install: int, day: int) -> str:
    """Which version an install had on a day; on some it was not there."""
    if (install * 7 + day * 3) % 11 < 2 or install > 28 + (day + 90) // 8:
        return ""
    late = (install * 13) % 25
    return (
        "1.0"
        if day < late - 62
        else "1.1"
        if day < late - 34
        else "1.2"
        if day < late - 12
        else "1.3"
    )


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    binary, service = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or service is None:
        pytest.skip("chromium and chromedriver are not here")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in (*OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(service))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """What somebody sees, and does."""

    def __init__(self, driver: webdriver.Chrome, site: Site) -> None:
        self.driver = driver
        self.site = site

    def open(self, path: str) -> None:
        self.driver.get(f"{self.site.url}{path}")

    @property
    def text(self) -> str:
        """The words of the page, read in one step: it may exchange its body between two."""
        found: str = self.driver.execute_script("return document.body.innerText")
        return found

    def fill(self, name: str, value: str) -> None:
        for one in self.driver.find_elements(By.NAME, name):
            if one.is_displayed():
                one.clear()
                one.send_keys(value)
                return
        raise AssertionError(f"no field {name} to be seen")

    def choose(self, name: str, value: str) -> None:
        found = self.driver.find_element(By.CSS_SELECTOR, f"select[name={name}]")
        Select(found).select_by_visible_text(value)

    def press(self, button: str) -> None:
        self.driver.find_element(By.XPATH, f"//button[normalize-space()='{button}']").click()

    def wait(self, words: str, seconds: int = 40) -> None:
        """Until the page says it, by itself."""
        _until(lambda: words in self.text, seconds, lambda: f"{words!r} in {self.text}")

    @contextmanager
    def without_reload(self) -> Iterator[None]:
        """What happens in the body is shown by the page that is there."""
        self.driver.execute_script("window.upswapMark = true")
        yield
        assert self.driver.execute_script("return window.upswapMark === true")

    def width(self) -> int:
        found: int = self.driver.execute_script("return document.documentElement.scrollWidth")
        return found

    def phone(self) -> None:
        metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def desk(self, height: int = 860) -> None:
        metrics = {"width": 1100, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def picture(self, name: str) -> None:
        """Keep what is seen, if somebody wants it."""
        folder = os.environ.get("UPSWAP_SCREENSHOTS")
        if folder:
            self.driver.execute_script("window.scrollTo(0, 0)")
            self.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


def _until(holds: Callable[[], bool], seconds: int, told: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, told()
        time.sleep(0.2)


def _now() -> int:
    return int(time.time())


PATHS = (
    "/",
    "/apps/notes",
    "/apps/notes/releases",
    "/apps/notes/adoption",
    "/apps/notes/adoption?days=90",
    "/apps/notes/failures",
    "/apps/notes/channels/stable",
    "/log",
    "/tokens",
    "/users",
    "/password",
)


def test_a_release_is_rolled_out_halted_and_recalled_before_the_eyes_of_whoever_looks(
    site: Site, driver: webdriver.Chrome
) -> None:
    page = Page(driver, site)
    page.desk()
    _sign_in(page)
    _push_and_offer(page)
    _type_while_things_change(page)
    _halt(page)
    _look_everywhere(page)
    _go_by_keyboard(page)
    _recall(page)
    log: Any = driver.get_log  # has no annotations
    assert [entry for entry in log("browser") if entry["level"] == "SEVERE"] == []


def _sign_in(page: Page) -> None:
    page.open("/apps/notes/releases")
    assert "Password" in page.text
    page.picture("sign-in")
    page.fill("name", "anna")
    page.fill("password", PASSWORD + Keys.ENTER)
    page.wait("Nothing is published yet")
    assert page.driver.current_url.endswith("/apps/notes/releases")


def _push_and_offer(page: Page) -> None:
    site = page.site
    with page.without_reload():
        site.publisher.add("1.3", tree("1.3"))
        site.push()
        page.wait("1.3")
    page.open("/apps/notes")
    page.fill("channel", "stable")
    page.press("Offer it")
    page.wait("stable offers 1.3")
    site.publisher.add("2.0", tree("2.0"))
    site.push()
    page.open("/apps/notes/channels/stable")
    page.choose("version", "2.0")
    page.fill("share", "10@now,50@+24h,100@+48h")
    page.press("Offer it")
    page.wait("10 % of installs")
    page.fill("threshold", "20")
    page.fill("sample", "5")
    page.press("Set the rule")
    page.wait("stable halts above 20 %")


def _type_while_things_change(page: Page) -> None:
    """What is typed stays; what has the focus keeps it."""
    driver = page.driver
    with page.without_reload():
        page.fill("share", "12.5")
        page.site.send("checkins", checkin(1000, version="2.0"))
        time.sleep(7)
        assert "Succeeded\n0" in page.text
        page.fill("share", "100")
        driver.execute_script("document.querySelector('button.warn').focus()")
        page.wait("Succeeded\n1")
        focused = driver.execute_script("return document.activeElement.className")
        assert focused == "warn"
        page.press("Pause updates")
        page.wait("Updates are paused")
        page.press("Go on")
        page.wait("Live")


def _halt(page: Page) -> None:
    with page.without_reload():
        for install in range(2):
            page.site.send("checkins", checkin(1001 + install, version="2.0"))
        page.wait("Succeeded\n3")
        page.picture("rollout-before")
        for install in range(2):
            page.site.send("reports", report(2000 + install, **{"from": "1.3"}))
        page.wait("Halted")
        assert "2 of 5 installs failed, above 20 %" in page.text


def _look_everywhere(page: Page) -> None:
    page.site.send(
        "reports", report(2009, error="PatchError: <b>lib/core</b> is other than signed")
    )
    for scheme in ("light", "dark"):
        page.colours(scheme)
        for name, path in (("channel", PATHS[6]), ("overview", PATHS[1]), ("adoption", PATHS[4])):
            page.open(path)
            page.picture(f"{name}-{scheme}")
    page.colours("light")
    for path in PATHS:
        page.desk()
        page.open(path)
        page.picture(f"desk{path.replace('/', '-')}")
        page.phone()
        page.open(path)
        assert page.width() <= 360, path
        page.picture(f"phone{path.replace('/', '-')}")
    page.desk()


def _go_by_keyboard(page: Page) -> None:
    """From the top to the content, and along what can be done there, in the order it stands."""
    page.open("/apps/notes/channels/stable")
    reached = [_tab(page).text for _ in range(6)]
    assert reached == ["Skip to the content", "upswap", "Apps", "Log", "Tokens", "Users"]
    assert _tab(page).value_of_css_property("outline-style") == "solid"
    page.open("/apps/notes/channels/stable")
    _tab(page).send_keys(Keys.ENTER)
    assert _tab(page).text == "Overview"


def _tab(page: Page) -> WebElement:
    """What has the focus next."""
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    return page.driver.switch_to.active_element


def _recall(page: Page) -> None:
    page.open("/apps/notes/releases")
    assert "Recalled" not in page.text
    publisher = page.site.publisher
    with page.without_reload():
        assert recall(publisher.repository(), "notes", "2.0", now=_now())
        page.site.push()
        page.wait("Recalled")
    assert "down to 1.3" in page.text
    page.open("/apps/notes/channels/stable")
    assert "Its publisher recalled this version" in page.text
