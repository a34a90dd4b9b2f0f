"""Drawing on the page, in a real browser against a real daemon: a line drawn over the paths with the mouse
says what it would have counted, is saved, counts, and is moved; by finger and by keys as well. Screenshots
are left in build/screenshots for people to look at.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_rig import ApiDaemon, api_daemon
from tests.moving import LANES, write_moving_clip
from tests.page_rig import DESKTOP, PHONE, chromium, page_of, shoot, sign_in, until
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MIN_PATHS = 8  # that are there before anything is proposed
WOULD = "[data-would]"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """With paths in its ledger: what crosses the picture from left to right, for ever."""
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    with api_daemon(clip) as daemon:
        daemon.serve()
        daemon.wait_for(lambda _: min(paths(daemon, "a"), paths(daemon, "b")) >= MIN_PATHS + 2, 90, "paths")
        yield daemon


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def paths(daemon: ApiDaemon, camera: str) -> int:
    with daemon.client("viewer") as client:
        answer = client.get(f"/api/v1/cameras/{camera}/paths?since=1h")
        return len(answer.json()["paths"]) if answer.status_code == 200 else 0


def lines(daemon: ApiDaemon, camera: str) -> dict[str, Any]:
    with daemon.client("viewer") as client:
        found = client.get(f"/api/v1/cameras/{camera}/lines").json()["lines"]
    return {line["name"]: line for line in found}


def board(page: Any, daemon: ApiDaemon, token: str, camera: str = "a") -> None:
    sign_in(page, daemon, token)
    page.goto(f"/#/rules/{camera}")
    page.locator(".rules [aria-pressed]").first.wait_for()
    page.get_by_text(re.compile(r"^\d+ paths of the last hour")).wait_for()


def place(page: Any, x: float, y: float) -> tuple[float, float]:
    """Of a point in shares of the picture, on the screen, once what is above it takes its room."""
    board, box = page.locator(".shapes"), None
    while box is None or box != board.bounding_box():  # Playwright's own limit ends it
        box = board.bounding_box()
        page.wait_for_timeout(150)
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Any, start: tuple[float, float], end: tuple[float, float], release: bool = True) -> None:
    begin, stop = place(page, *start), place(page, *end)
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*stop, steps=8)
    if release:
        page.mouse.up()


def would(page: Any) -> int:
    return int(page.locator(WOULD).get_attribute("data-would"))


def draw_line(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.get_by_role("button", name="New line").click()
    drag(page, start, end)
    page.locator(WOULD).wait_for()


def test_a_line_drawn_with_the_mouse_says_what_it_would_have_counted_is_saved_and_counts(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        board(page, daemon, "admin")
        page.locator(".stage img").wait_for()  # the picture under it
        page.get_by_role("button", name="New line").click()
        drag(page, (0.3, 0.97), (0.3, 0.7), release=False)  # over one lane
        page.locator(WOULD).wait_for()  # before it is let go
        page.mouse.up()
        page.get_by_label("Name").wait_for()
        until(page, lambda: would(page) > 0, "one lane")
        one = would(page)
        drag(page, (0.3, 0.7), (0.3, 0.03), release=False)
        until(page, lambda: would(page) >= one * (LANES - 1), "the number follows the hand")
        page.get_by_text(re.compile(r"today \(|no time for more")).wait_for()  # the latter on a busy box
        shoot(page, "draw-dragging")
        drag(page, (0.3, 0.03), (0.03, 0.95), release=False)
        until(page, lambda: would(page) < one, "and falls again")
        drag(page, (0.03, 0.95), (0.3, 0.03))
        until(page, lambda: would(page) >= one * (LANES - 1), "the last place has the last word")
        page.get_by_label("Name").fill("gate-1")
        page.get_by_label("From left to right").fill("going")
        page.get_by_label("From right to left").fill("coming")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("in force as configuration").wait_for()
        assert lines(daemon, "a")["gate-1"]["left_to_right"] == "going"
        counted = page.locator('[data-today="gate-1"]')
        until(page, lambda: re.search(r"going [1-9]", counted.inner_text()), "the count rises", 60)
        shoot(page, "draw-saved")
        page.reload()
        page.locator('[data-today="gate-1"]').click()
        page.locator(WOULD).wait_for()
        assert page.get_by_text("starts a new total").count() == 0
        drag(page, (0.3, 0.03), (0.6, 0.03))
        page.get_by_text("starts a new total").wait_for()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("in force as configuration").wait_for()
        x, _ = lines(daemon, "a")["gate-1"]["points"][1]
        assert x == pytest.approx(0.6, abs=0.02)


def test_undo_takes_back_and_deleting_is_asked_for_first(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        board(page, daemon, "operator", "b")
        draw_line(page, (0.2, 0.2), (0.8, 0.2))
        drag(page, (0.8, 0.2), (0.8, 0.8))
        page.get_by_label(re.compile(r"Point 2 of 2 of line-\d: 80 % from the left, (79|80)")).wait_for()
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("in force as configuration").wait_for()
        (drawn,) = (line for name, line in lines(daemon, "b").items() if name != "middle")
        assert drawn["points"][1][1] == pytest.approx(0.2, abs=0.02)
        page.get_by_label("Name").fill("hall")
        page.get_by_label("Name").press("Tab")
        page.get_by_text("goes with it to its new name").wait_for()
        page.get_by_role("button", name="Save").click()
        until(page, lambda: set(lines(daemon, "b")) == {"middle", "hall"}, "the old name is gone")
        page.get_by_role("button", name="Delete").click()
        page.locator("dialog").get_by_role("button", name="Cancel").click()
        assert "hall" in lines(daemon, "b")
        page.get_by_role("button", name="Delete").click()
        page.locator("dialog").get_by_role("button", name="Delete").click()
        until(page, lambda: set(lines(daemon, "b")) == {"middle"}, "it is deleted")


def test_what_was_changed_elsewhere_is_told_and_not_overwritten_unasked(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        board(page, daemon, "operator", "b")
        daemon.cli("line", "add", "b", "shared", "0.2,0.5", "0.8,0.5")
        page.reload()
        page.locator('[data-today="shared"]').click()
        drag(page, (0.8, 0.5), (0.8, 0.7))
        daemon.cli("line", "add", "b", "shared", "0.1,0.4", "0.9,0.4", "--replace")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("changed elsewhere").wait_for()
        assert lines(daemon, "b")["shared"]["points"][0] == [0.1, 0.4]
        page.get_by_role("button", name="Show theirs").click()
        page.get_by_label(re.compile("Point 1 of 2 of shared: 10 % from the left, 40 %")).wait_for()
        drag(page, (0.9, 0.4), (0.9, 0.6))
        daemon.cli("line", "add", "b", "shared", "0.1,0.3", "0.9,0.3", "--replace")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Keep mine").click()
        page.get_by_role("button", name="Save").click()
        until(page, lambda: lines(daemon, "b")["shared"]["points"][1][1] > 0.5, "mine, as it was asked for")
        daemon.cli("line", "remove", "b", "shared")


def test_proposals_that_come_late_leave_what_is_being_typed(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        held: list[Any] = []
        page.route("**/lines/suggested*", lambda route: held.append(route))
        board(page, daemon, "admin")
        page.locator(".stage img").wait_for()
        draw_line(page, (0.3, 0.97), (0.3, 0.7))
        page.get_by_label("Name").press_sequentially("half a na")
        until(page, lambda: bool(held), "proposals to be asked for")
        with page.expect_response("**/lines/suggested*") as answer:
            held[0].continue_()
        answer.value.finished()
        page.wait_for_timeout(500)  # for what follows an answer
        assert "half a na" in page.get_by_label("Name").input_value()
        assert page.locator(WOULD).count() == 1


def test_zones_and_masks_are_drawn_point_by_point(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        board(page, daemon, "operator", "b")
        for kind in ("zone", "mask"):
            page.get_by_role("button", name=f"New {kind}").click()
            for x, y in ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.1)):
                page.mouse.click(*place(page, x, y))
            page.get_by_role("heading", name=kind.capitalize(), exact=True).wait_for()
            if kind == "zone":
                page.get_by_text(re.compile(r"This zone would have counted \d+ entries today")).wait_for()
                drag(page, (0.1, 0.1), (0.05, 0.9), release=False)
                until(page, lambda: would(page) > 0, "it reaches over a lane, before it is let go")
                page.mouse.up()
            else:
                assert page.locator(WOULD).count() == 0
            page.get_by_role("button", name="Save").click()
            page.get_by_text("in force as configuration").wait_for()
            with daemon.client("viewer") as client:
                (found,) = client.get(f"/api/v1/cameras/b/{kind}s").json()[f"{kind}s"]
            assert len(found["points"]) == 3
        shoot(page, "draw-zone-mask")


def test_a_line_is_drawn_and_moved_by_keys_alone(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon) as page:
        board(page, daemon, "viewer", "b")
        page.get_by_role("button", name="New line").focus()
        page.keyboard.press("Enter")
        first = page.get_by_label(re.compile("Point 1 of 2"))
        first.focus()
        for _ in range(4):
            with page.expect_response("**/recount"):  # which is drawn, and takes the focus from nobody
                page.keyboard.press("Shift+ArrowLeft")
        page.get_by_label(re.compile(r"Point 1 of 2 of line-\d: 10 % from the left, 60 %")).wait_for()
        page.keyboard.press("Tab")
        assert "Point 2 of 2" in page.evaluate("document.activeElement.getAttribute('aria-label')")
        page.get_by_label("Another point of").focus()
        page.keyboard.press("Enter")
        page.get_by_label(re.compile("Point 2 of 3")).wait_for()
        page.keyboard.press("Delete")
        page.get_by_label(re.compile("Point 2 of 2")).wait_for()
        page.locator(WOULD).wait_for()
        page.keyboard.press("Control+z")
        page.get_by_label(re.compile("Point 2 of 3")).wait_for()
        page.get_by_text("Operators save lines").wait_for()
        assert page.get_by_role("button", name="Save").count() == 0


def test_a_line_is_drawn_with_a_finger_on_a_phone(daemon: ApiDaemon, browser: Any) -> None:
    with page_of(browser, daemon, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        board(page, daemon, "admin", "b")
        page.get_by_role("button", name="New line").tap()
        for x, y in ((0.5, 0.1), (0.5, 0.9)):
            page.touchscreen.tap(*place(page, x, y))
        page.locator(WOULD).wait_for()
        for handle in page.locator(".handle.point .touch").all():
            box = handle.bounding_box()
            assert min(box["width"], box["height"]) >= 44
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        shoot(page, "draw-phone")


@contextlib.contextmanager
def line_away(daemon: ApiDaemon, camera: str) -> Iterator[None]:
    """The camera's line lies where nobody goes, and is put back."""
    kept = lines(daemon, camera)["middle"]
    try:
        put_line(daemon, camera, {**kept, "points": [[0.9, 0.01], [0.98, 0.01]]})
        yield
    finally:
        put_line(daemon, camera, kept)


def put_line(daemon: ApiDaemon, camera: str, line: dict[str, Any]) -> None:
    with daemon.client("operator") as client:
        client.put(f"/api/v1/cameras/{camera}/lines/{line['name']}", json=line).raise_for_status()


def test_a_proposed_line_is_shown_with_its_count_and_accepted_with_a_click(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page, line_away(daemon, "b"):
        board(page, daemon, "operator", "b")
        page.locator(".shape.dashed").first.wait_for()
        page.get_by_text(re.compile(r"line-1 would have counted \d+")).wait_for()
        shoot(page, "draw-proposed")
        page.get_by_role("button", name="Accept line-1").click()
        until(page, lambda: "line-1" in lines(daemon, "b"), "it is a line of the camera's")
        page.get_by_role("button", name="Accept line-1").wait_for(state="detached")
        daemon.cli("line", "remove", "b", "line-1")


def test_where_a_line_counts_what_goes_by_nothing_further_is_proposed(
    daemon: ApiDaemon, browser: Any
) -> None:
    with page_of(browser, daemon) as page:
        board(page, daemon, "operator", "b")
        page.get_by_text(re.compile(r"Nothing further: \d+ of the \d+ tracks")).wait_for()
        assert page.locator(".shape.dashed").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_the_board_fits_its_screen_in_both_languages(
    daemon: ApiDaemon, browser: Any, device: str, theme: str
) -> None:
    options = {"viewport": DESKTOP if device == "desktop" else PHONE, "color_scheme": theme}
    with page_of(browser, daemon, **options) as page:
        sign_in(page, daemon, "admin" if theme == "light" else "operator")
        language = "de" if theme == "dark" else "en"
        with page.expect_navigation():
            page.get_by_label("Language").select_option(language)
        page.goto("/#/rules/a")
        page.locator('[data-today="middle"]').click()
        page.locator(WOULD).wait_for(timeout=patient(20_000))
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        shoot(page, f"{device}-{theme}-rules")
