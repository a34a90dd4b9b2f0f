"""The page in a real browser, against a real daemon: what a person sees and does. Screenshots of every view,
on a phone and a desk, light and dark, are left in build/screenshots for people to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.values import Image
from streamer.api.sign_in_links import LinkStore
from streamer.sources.synthetic import Scene
from tests.api_rig import ApiDaemon, api_daemon
from tests.clips import make_clip
from tests.moving import FPS, HEIGHT, WIDTH, draw, write_moving_clip
from tests.page_rig import DESKTOP, PHONE, chromium, number_of, page_of, shoot, sign_in, until
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SCENE = Scene(seed=3, width=640, height=360, fps=12.0, density=0.7, mast=8.0)
SEEN_S, DARK_S = 8, 60
VIEWS = ("", "counts", "events", "health", "models", "camera/gate", "add")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)


@pytest.fixture(scope="module")
def daemon(clip: Path) -> Iterator[ApiDaemon]:
    with api_daemon(clip) as daemon:
        (daemon.config_dir / "cameras.d" / "a.yaml").rename(daemon.config_dir / "cameras.d" / "gate.yaml")
        text = (daemon.config_dir / "cameras.d" / "gate.yaml").read_text()
        (daemon.config_dir / "cameras.d" / "gate.yaml").write_text(text.replace("name: a\n", "name: gate\n"))
        daemon.serve()
        yield daemon


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def counted(daemon: ApiDaemon, camera: str, direction: str) -> int:
    """As the API says it."""
    with daemon.client("admin") as client:
        rows = client.get("/api/v1/counts", params={"camera": camera}).json()["counts"]
    return sum(row["count"] for row in rows if row["direction"] == direction)


def test_a_link_signs_a_person_in_once_and_the_wall_shows_what_is_watched(
    daemon: ApiDaemon, browser: Any
) -> None:
    token = next(one for one in daemon.tokens.tokens() if one.name == "viewer")
    link = f"/#/sign-in/{LinkStore(daemon.state_dir).add(token)}"
    with page_of(browser, daemon) as page:
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.locator('[data-camera="gate"] .badge', has_text="live").wait_for()
        assert "sign-in" not in page.url, "a code that was used stands in no history"
        page.reload()
        page.locator('[data-camera="gate"]').wait_for()
    with page_of(browser, daemon) as page:
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("ask for a new one").wait_for()


def test_a_wrong_token_is_refused_in_words_and_signing_out_ends_it(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        page.goto("/")
        page.get_by_label("Token").fill("streamer_wrong")
        page.keyboard.press("Enter")
        page.get_by_text("no such token").wait_for()
        sign_in(page, daemon, "viewer")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Token").wait_for()
        page.reload()
        page.get_by_label("Token").wait_for()


def test_the_count_rises_without_a_reload_and_is_the_ledger_s_after_one(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "viewer")
        page.locator('[data-camera="gate"] [data-count="middle/right"]').wait_for()
        page.route("**/api/v1/counts*", lambda route: route.abort())  # from now on events alone move it
        first = number_of(page, "gate", "middle/right")
        until(page, lambda: number_of(page, "gate", "middle/right") >= first + 5, "the count rises")
        daemon.cli("camera", "disable", "gate")
        page.locator('[data-camera="gate"] .badge', has_text="off").wait_for()
        until(page, lambda: agrees(page, daemon), "none is missed or counted twice")
        page.unroute("**/api/v1/counts*")
        page.reload()
        page.locator('[data-camera="gate"] [data-count="middle/right"]').wait_for()
        until(page, lambda: agrees(page, daemon), "so it is after a reload")
        daemon.cli("camera", "enable", "gate")
        page.locator('[data-camera="gate"] .badge', has_text="live").wait_for()


def agrees(page: Any, daemon: ApiDaemon) -> bool:
    return number_of(page, "gate", "middle/right") == counted(daemon, "gate", "right")


def test_the_page_outlives_a_broken_connection_and_counts_nothing_twice(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "viewer")
        page.locator('[data-camera="gate"] [data-count="middle/right"]').wait_for()
        before = number_of(page, "gate", "middle/right")
        page.context.set_offline(True)
        page.get_by_text("cannot be reached").wait_for()
        page.context.set_offline(False)
        page.get_by_text("cannot be reached").wait_for(state="hidden")
        until(page, lambda: number_of(page, "gate", "middle/right") > before, "it goes on")
        daemon.cli("camera", "disable", "gate")  # else one moves while the other is asked for
        until(page, lambda: agrees(page, daemon), "the page and the ledger agree")
        daemon.cli("camera", "enable", "gate")
        page.locator('[data-camera="gate"] .badge', has_text="live").wait_for()


def test_a_camera_is_added_in_the_form_and_what_is_refused_stands_at_its_field(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "operator")
        page.get_by_role("link", name="Add a camera").click()
        page.get_by_role("button", name="Add").click()
        assert page.locator("#fault-url").inner_text() == page.locator("#fault-name").inner_text() != ""
        page.get_by_label("Address").fill("file:///etc/shadow")
        page.get_by_label("Name", exact=True).fill("street")
        page.get_by_role("button", name="Add").click()
        page.locator("#fault-url", has_text="the system's").wait_for()
        assert page.get_by_label("Address").get_attribute("aria-invalid") == "true"
        page.get_by_label("Address").fill(SCENE.url)
        page.get_by_label("Name", exact=True).fill("b")
        page.get_by_role("button", name="Add").click()
        page.locator("#fault-name", has_text="exists").wait_for()
        page.get_by_label("Name", exact=True).fill("street")
        page.get_by_label("What is counted").select_option("motion")
        page.get_by_role("button", name="Add").click()
        page.get_by_role("heading", name="street").wait_for()
        page.locator(".title .badge", has_text="live").wait_for()
        line = SCENE.line()
        points = [",".join(f"{part:g}" for part in point) for point in line.points]
        daemon.cli("line", "add", "street", "street", *points, "--left-to-right", "east")
        page.goto("/#/")
        page.locator('[data-camera="street"] [data-count]').first.wait_for()
        first = page.locator('[data-camera="street"] .ways').first.inner_text()
        until(
            page,
            lambda: page.locator('[data-camera="street"] .ways').first.inner_text() != first,
            "the count rises",
            60,
        )
        page.get_by_role("link", name="street", exact=True).click()
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("button", name="Cancel").click()
        assert (daemon.config_dir / "cameras.d" / "street.yaml").exists()
        page.get_by_role("button", name="Remove").click()
        page.locator("dialog").get_by_role("button", name="Remove").click()
        page.get_by_role("heading", name="Cameras").wait_for()
        page.locator('[data-camera="street"]').wait_for(state="detached")
    assert not (daemon.config_dir / "cameras.d" / "street.yaml").exists()


def test_a_camera_is_looked_at_before_it_is_added_and_not_a_second_time(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
        sign_in(page, daemon, "admin")
        page.goto("/#/add")
        page.get_by_label("Address").fill("rtsp://127.0.0.1:9/live")
        page.get_by_label("Name", exact=True).fill("walk")
        page.get_by_role("button", name="Look at it first").click()
        page.locator(".found .badge.bad", has_text="cannot be read").wait_for(timeout=patient(30_000))
        page.get_by_label("Address").fill(SCENE.url)
        page.get_by_label("What is counted").select_option("motion")
        page.get_by_role("button", name="Look at it first").click()
        page.locator(".found .badge.good").wait_for(timeout=patient(30_000))
        page.get_by_text("640 × 360").wait_for()
        pixels = "node => node.getContext('2d').getImageData(0, 0, node.width, node.height).data.some(x => x)"
        assert page.get_by_role("img", name="The first picture").evaluate(pixels)
        shoot(page, "add-looked-at")
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_role("heading", name="walk").wait_for()
        assert asked[-1].endswith("/api/v1/cameras?check=false")
        daemon.cli("camera", "remove", "walk")


def test_who_may_sees_the_camera_live_and_takes_what_is_drawn_on_it_away(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "admin")
        page.goto("/#/camera/gate")
        image = page.locator("img.picture")
        image.wait_for()
        assert "overlay=boxes%2Ctrails%2Clines" in image.get_attribute("src")
        first = picture_of(page)
        until(page, lambda: picture_of(page) != first, "it moves")
        shoot(page, "camera-live")
        page.get_by_label("Boxes, trails and lines").uncheck()
        until(page, lambda: "overlay=none" in (image.get_attribute("src") or ""), "without them")
        image.wait_for()
        assert page.locator("td progress").count() == 1, "of the days but one there is no record"
        page.goto("/#/")  # which ends the stream
        page.locator('[data-camera="gate"]').wait_for()
        page.reload()
        page.goto("/#/camera/gate")
        image.wait_for()
        assert not page.get_by_label("Boxes, trails and lines").is_checked()


def picture_of(page: Any) -> str:
    """What is shown now, as text."""
    return str(
        page.locator("img.picture").evaluate(
            """image => {
                const canvas = document.createElement("canvas");
                canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
                canvas.getContext("2d").drawImage(image, 0, 0);
                return canvas.toDataURL();
            }"""
        )
    )


def test_an_event_shows_as_a_picture_why_it_was_made(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "viewer")
        page.goto("/#/events?camera=gate&type=streamer.line.crossed.v1")
        page.get_by_role("button", name=re.compile("^Why: line crossed middle")).first.click()
        image = page.locator("dialog img")
        until(page, lambda: image.evaluate("image => image.naturalWidth") > 0, "the picture comes")
        shoot(page, "event-why")
        page.get_by_role("button", name="Close").click()
        page.locator("dialog").wait_for(state="detached")


def test_the_models_are_listed_with_who_uses_them(daemon: ApiDaemon, browser: Any) -> None:
    with daemon.client("viewer") as client:
        names = [model["name"] for model in client.get("/api/v1/models").json()["models"]]
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "viewer")
        page.get_by_role("link", name="Models").click()
        page.get_by_role("heading", name="Detectors").wait_for()
        shown = page.locator("section").first.locator("tbody th").all_inner_texts()
        assert [text.split()[0] for text in shown] == names


def test_a_camera_s_model_is_chosen_among_those_that_there_are(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "operator")
        page.goto("/#/add")
        page.get_by_text(
            re.compile("^It knows person")
        ).wait_for()  # of the box's, which the form begins with
        page.get_by_label("What is counted").select_option("motion")
        page.get_by_text(re.compile("^It knows")).wait_for(state="hidden")
        page.goto("/#/camera/gate")
        page.get_by_label("What is counted").select_option("motion")
        page.get_by_role("button", name="Save").click()
        until(page, lambda: settings_of(daemon, "gate").get("model") == "motion", "it is the camera's")
        page.get_by_label("What is counted").select_option("")
        page.get_by_role("button", name="Save").click()
        until(page, lambda: not settings_of(daemon, "gate").get("model"), "and the box's again")


def test_what_is_chosen_while_a_change_is_on_its_way_stays_chosen(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "operator")
        page.goto("/#/camera/gate")
        choice = page.get_by_label("What is counted")
        choice.select_option("motion")
        held: list[Any] = []
        page.route("**/api/v1/cameras/gate", lambda route: held.append(route), times=1)
        page.get_by_role("button", name="Save").click()
        until(page, lambda: bool(held), "the change is on its way")
        choice.select_option("")
        held[0].continue_()
        until(page, lambda: settings_of(daemon, "gate").get("model") == "motion", "it is the camera's")
        page.get_by_role("button", name="Save").click()
        until(page, lambda: not settings_of(daemon, "gate").get("model"), "and the box's again")


def settings_of(daemon: ApiDaemon, camera: str) -> dict[str, Any]:
    with daemon.client("viewer") as client:
        settings: dict[str, Any] = client.get(f"/api/v1/cameras/{camera}").json()["settings"]
    return settings


def test_a_camera_goes_blind_and_the_page_says_why(daemon: ApiDaemon, browser: Any, tmp_path: Path) -> None:
    def picture(number: int, width: int, height: int) -> Image:
        if number < SEEN_S * FPS:
            return draw(number, width, height)
        grain = np.random.default_rng(number).integers(0, 3, (height, width, 1))
        return np.repeat(grain, 3, axis=2).astype(np.uint8)

    frames = (SEEN_S + DARK_S) * FPS
    clip = make_clip(tmp_path / "dark.mp4", frames=frames, width=WIDTH, height=HEIGHT, fps=FPS, draw=picture)
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "admin")
        daemon.cli("camera", "add", "dark", str(clip))
        page.locator('[data-camera="dark"] .badge', has_text="live").wait_for()
        page.locator('[data-camera="dark"] .badge.bad', has_text="blind: black").wait_for(
            timeout=patient(40_000)
        )
        assert "dark: blind: black" in page.locator("#announce").inner_text()
        shoot(page, "blind-wall")
        page.get_by_role("link", name="dark").click()
        page.locator("td .badge", has_text="blind: black").wait_for()
        shoot(page, "blind-camera")
        daemon.cli("camera", "remove", "dark")


def test_counts_are_charted_with_what_was_not_seen_and_the_table_says_the_same(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "viewer")
        page.get_by_role("link", name="Counts").click()
        page.get_by_label("Camera").select_option("gate")
        page.locator(".chart canvas").wait_for()
        rows = page.locator("tbody tr")
        until(page, lambda: rows.count() == 24, "an hour a row")
        assert "no record" in rows.last.inner_text()
        assert "unknown" in rows.last.inner_text(), "never 0"
        pixels = "node => node.getContext('2d').getImageData(0, 0, node.width, node.height).data.some(x => x)"
        assert page.locator(".chart canvas").evaluate(pixels)
        page.get_by_label("Time").select_option("13w")
        until(page, lambda: rows.count() == 13, "a week a row")
        assert page.get_by_label("By").input_value() == "week"
        with page.expect_download() as download:
            page.get_by_role("link", name="Download CSV").click()
        assert Path(download.value.path()).read_text().startswith("week,name,direction,count")
        page.reload()
        until(page, lambda: rows.count() == 13, "a choice outlives a reload")


def test_events_come_by_themselves_and_are_filtered(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "viewer")
        page.get_by_role("link", name="Events").click()
        crossed = page.locator('li[data-type="streamer.line.crossed.v1"]')
        crossed.first.wait_for()
        newest = crossed.first.get_attribute("data-time")
        until(page, lambda: crossed.first.get_attribute("data-time") > newest, "another one comes")
        page.get_by_label("Type").select_option("streamer.camera.state.v1")
        page.locator('li[data-type="streamer.camera.state.v1"]').first.wait_for()
        assert crossed.count() == 0
        page.get_by_label("Camera").select_option("b")
        until(page, lambda: set(page.locator(".log a").all_inner_texts()) == {"b"}, "of b alone")


def test_who_may_not_see_pictures_or_change_anything_is_offered_neither(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        sign_in(page, daemon, "b-viewer")
        page.locator('[data-camera="b"]').wait_for()
        assert page.locator("[data-camera]").count() == 1
        assert page.get_by_role("link", name="Add a camera").count() == 0
        page.get_by_role("link", name="b", exact=True).click()
        page.get_by_text("shows no pictures").wait_for()
        assert page.get_by_role("button", name="Remove").count() == 0
        assert [url for url in asked if "snapshot" in url] == []
        page.goto("/#/add")
        page.get_by_text("adds no cameras").wait_for()


def test_a_token_that_is_removed_ends_what_is_open(daemon: ApiDaemon, browser: Any) -> None:
    daemon.add_token("leaver", "viewer")
    with page_of(browser, daemon) as page:
        sign_in(page, daemon, "leaver")
        page.locator('[data-camera="gate"]').wait_for()
        daemon.tokens.remove("leaver")
        page.get_by_text("Your session has ended").wait_for()
        assert page.locator("[data-camera]").count() == 0


def test_the_page_is_worked_by_keys_alone(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        page.goto("/")
        page.get_by_label("Token").wait_for()
        page.keyboard.type(daemon.secrets["operator"])  # the field has the focus
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Cameras").wait_for()
        focused = "() => document.activeElement.textContent"
        assert page.evaluate(focused) == "Cameras", "what was opened is read first"
        names = []
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement === document.body"):
                continue  # behind the last one, before the first
            names.append(page.evaluate(focused))
            ring = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert ring == "solid", names[-1]
            if names[-1] == "Events":
                break
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Events").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_every_view_fits_its_screen_in_both_languages(
    daemon: ApiDaemon, browser: Any, device: str, theme: str
) -> None:
    options = {"viewport": DESKTOP if device == "desktop" else PHONE, "color_scheme": theme}
    with page_of(browser, daemon, **options) as page:
        sign_in(page, daemon, "admin")
        page.locator('[data-camera="gate"] [data-count]').first.wait_for()
        language = "de" if theme == "dark" else "en"
        with page.expect_navigation():
            page.get_by_label("Language").select_option(language)
        for view in VIEWS:
            page.goto(f"/#/{view}")
            page.locator("h1").wait_for()
            page.get_by_text("…").wait_for(state="detached")
            wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{view} is {wide} pixels too wide"
            shoot(page, f"{device}-{theme}-{view.replace('/', '-') or 'wall'}")
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in ground[4:-1].split(",")) < 300) == (theme == "dark")
        assert page.evaluate("() => document.documentElement.lang") == language
