"""A person sets how many are inside: by the command, over HTTP and on the page, each as an event."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api_rig import ApiDaemon, api_daemon, events_of, problem, stream_of
from tests.moving import camera, write_moving_clip
from tests.page_rig import chromium, page_of, sign_in
from tests.redis_servers import until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
HALL = {"name": "hall", "lines": ["middle"], "inward": "right"}
CHANGED = "streamer.occupancy.changed.v1"
ROUTE = "/api/v1/cameras/a/occupancies"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    with api_daemon(clip) as daemon:
        found: Any = camera("a", clip, loop=True)
        found["rules"]["occupancies"] = [HALL]
        daemon.write_camera(found)
        daemon.serve()
        with daemon.client("viewer") as client, stream_of(client, camera="a", type=CHANGED) as stream:
            next(events_of(stream, 60))
        yield daemon


def inside(client: httpx.Client) -> dict[str, int]:
    return {one["name"]: one["count"] for one in client.get(ROUTE).json()["occupancies"]}


def changes_after(daemon: ApiDaemon, seq: int) -> list[dict[str, Any]]:
    """The event `seq` and the one after it."""
    with daemon.client("viewer") as client:
        found = []
        with stream_of(client, camera="a", type=CHANGED) as stream:
            next(events_of(stream, 60))  # later than what was asked for
        for event in client.get(f"/api/v1/events?camera=a&type={CHANGED}&limit=200").json()["events"]:
            found.append((int(event["id"].rpartition("/")[2]), event["data"]))
    return [data for number, data in sorted(found, key=lambda one: one[0]) if number >= seq][:2]


def test_by_the_command_the_sum_goes_on_from_what_was_set(daemon: ApiDaemon) -> None:
    made = json.loads(
        daemon.cli("occupancy", "a", "hall", "500", "--reason", "counted by hand", "--json").stdout
    )
    assert made["count"] == 500
    at, after = changes_after(daemon, made["seq"])
    assert (at["cause"], at["count"], at["reason"]) == ("set", 500, "counted by hand")
    assert (at["by"], at["uid"]) == (os.environ.get("SUDO_USER") or getpass.getuser(), os.getuid())
    assert (after["cause"], after["count"]) == ("in", 501)
    assert after["in"]["count"] == 1


def test_what_there_is_not_is_refused_with_what_there_is(daemon: ApiDaemon) -> None:
    refused = daemon.cli("occupancy", "a", "attic", "0", "--reason", "empty", check=False)
    assert refused.returncode != 0
    assert "camera a has no occupancy 'attic'; known: hall" in refused.stderr
    assert daemon.cli("occupancy", "a", "hall", "-1", "--reason", "x", check=False).returncode != 0


def test_over_http_operators_set_it_and_viewers_see_it(daemon: ApiDaemon) -> None:
    body = {"count": 900, "reason": "a tour came in by the side door"}
    with daemon.client("viewer") as viewer:
        assert viewer.post(f"{ROUTE}/hall", json=body).status_code == 403
    with daemon.client("operator") as client:
        made = client.post(f"{ROUTE}/hall", json=body)
        assert made.status_code == 201
        (at, *_) = changes_after(daemon, made.json()["seq"])
        assert (at["cause"], at["count"], at["by"], at["uid"]) == ("set", 900, "operator", None)
        until(lambda: inside(client)["hall"] > 900, "what is counted from there on", 20)
        assert problem(client.post(f"{ROUTE}/attic", json=body))["status"] == 404
        assert problem(client.post(f"{ROUTE}/hall", json={"count": -1, "reason": "x"}))["status"] == 422
        assert problem(client.post(f"{ROUTE}/hall", json={"count": 1, "reason": "a\nb"}))["status"] == 422


def test_on_the_page_it_is_set_with_a_button(daemon: ApiDaemon) -> None:
    with chromium() as browser, page_of(browser, daemon) as page:
        sign_in(page, daemon, "operator")
        page.goto("/#/camera/a")
        page.get_by_label("Inside hall from now on").fill("7000")
        page.get_by_label("Why", exact=True).fill("counted by hand")
        page.get_by_role("button", name="Set", exact=True).click()
        page.locator('[data-inside="hall"]', has_text="7,00").wait_for()
