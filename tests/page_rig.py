"""A real browser for the page: Debian's Chromium, driven by Playwright, on loopback alone."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.api_rig import ApiDaemon
from tests.conftest import REPO, missing_part
from tests.patience import patient

SCREENSHOTS = REPO / "build" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The browser with a profile of its own; a skip, or in CI a failure, where there is none."""
    if importlib.util.find_spec("playwright") is None:
        missing_part("playwright (`make install` has it)")
    path = shutil.which("chromium") or missing_part("chromium (deploy/setup.sh --tests installs it)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET), timeout=patient(30_000))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page_of(browser: Any, daemon: ApiDaemon, **options: Any) -> Iterator[Any]:
    """A page without cookies, whose scripts must not fail; `options` are those of a Playwright context."""
    context = browser.new_context(
        base_url=daemon.url, **{"viewport": DESKTOP, "locale": "en-GB", "reduced_motion": "reduce", **options}
    )
    context.set_default_timeout(patient(15_000))
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if _is_a_fault(said) else None)
    try:
        yield page
        assert faults == [], faults
    finally:
        context.close()


def _is_a_fault(said: Any) -> bool:
    """An answer of 401, 409 or 422 and a network that is away are what the page shows, and a busy box (503)
    is asked again; what the policy refuses is a fault of ours."""
    return said.type == "error" and not re.search(r"status of (4\d\d|503)|net::ERR_", said.text)


def sign_in(page: Any, daemon: ApiDaemon, token: str) -> None:
    page.goto("/")
    page.get_by_label("Token").fill(daemon.secrets[token])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Cameras").wait_for()


def shoot(page: Any, name: str) -> None:
    """For people to look at: nothing is compared with it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def number_of(page: Any, camera: str, way: str) -> int:
    """What the wall shows of `LINE/DIRECTION` today."""
    text = page.locator(f'[data-camera="{camera}"] [data-count="{way}"]').inner_text()
    return int(re.sub(r"\D", "", text))


def until(page: Any, condition: Callable[[], Any], what: str, limit_s: float = 30) -> None:
    """The page goes on meanwhile."""
    deadline_s = time.monotonic() + patient(limit_s)
    while not condition():
        assert time.monotonic() < deadline_s, what
        page.wait_for_timeout(100)
