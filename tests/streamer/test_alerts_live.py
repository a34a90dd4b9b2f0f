"""Alerts by a real daemon: raised once, told in status and explained, through kills and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

ALERT = "streamer.alert.v1"
LIMIT_S = 60
YARD = {"name": "yard", "points": [[0.02, 0.02], [0.98, 0.02], [0.98, 0.98], [0.02, 0.98]]}
NIGHT = {
    "name": "night",
    "zone": "yard",
    "at_least": 1,
    "for_s": 1,
    "clear_after_s": 600,
    "when": {"outside": "opening"},
}
DAY = {**NIGHT, "name": "day", "when": {"inside": "opening"}}
CAMERA = {
    "name": "gate",
    "url": "synthetic:street?fps=10&width=320&height=180",
    "model": "motion",
    "rules": {"zones": [YARD], "alerts": [NIGHT, DAY]},
}


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, [CAMERA], opening_hours={"opening": {}}, timezone="Europe/Berlin")
    yield daemon.start()
    daemon.kill()


def alerts(daemon: Daemon) -> list[dict[str, Any]]:
    return [event for event in daemon.events("gate") if event["type"] == ALERT]


def raised(status: dict[str, Any]) -> list[str]:
    return [alert["alert"] for alert in status["cameras"][0]["alerts"]]


def frames_go_on(daemon: Daemon) -> None:
    """Until the worker that serves now has looked at some frames."""
    before = daemon.camera("gate")["frames"]["inferred"]
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > before + 20, LIMIT_S, "frames")


def test_a_raised_alert_outlives_a_killed_worker_and_a_restart_and_goes_with_its_rule(daemon: Daemon) -> None:
    daemon.wait_for_events("gate", lambda event: event["type"] == ALERT, LIMIT_S)
    (told,) = alerts(daemon)
    assert (told["subject"], told["data"]["state"]) == ("night", "raised")  # and not "day": it never opens
    daemon.wait_for(lambda s: raised(s) == ["night"], LIMIT_S, "status to show it")
    assert "alert night" in daemon.cli("status").stdout
    why = daemon.cli("explain", f"gate/{told['data']['seq']}").stdout
    assert "zone: yard" in why
    assert "zone.entered" in why

    restarts = daemon.worker("infer-0")["restarts"]
    daemon.kill_worker("infer-0")
    daemon.wait_for(
        lambda s: any(w["name"] == "infer-0" and w["restarts"] > restarts for w in s["workers"]),
        LIMIT_S,
        "another worker",
    )
    frames_go_on(daemon)
    assert [event["id"] for event in alerts(daemon)] == [told["id"]]
    daemon.wait_for(lambda s: raised(s) == ["night"], LIMIT_S, "status to show it still")

    assert daemon.stop() == 0
    daemon.start()
    frames_go_on(daemon)
    assert [event["id"] for event in alerts(daemon)] == [told["id"]]
    daemon.wait_for(lambda s: raised(s) == ["night"], LIMIT_S, "status to show it after the restart")

    daemon.cli("alert", "remove", "gate", "night")
    daemon.wait_for_events("gate", lambda e: e["type"] == ALERT and e["data"]["state"] == "cleared", LIMIT_S)
    cleared = alerts(daemon)[-1]["data"]
    assert (cleared["reason"], cleared["raised_seq"]) == ("rule", told["data"]["seq"])
    daemon.wait_for(lambda s: raised(s) == [], LIMIT_S, "status to show none")
