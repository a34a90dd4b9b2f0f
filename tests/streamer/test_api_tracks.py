"""Paths and proposed lines over HTTP: what the command line says of the same ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipelines.rules import LineSpec
from streamer.api.counts.recount import recount_camera
from streamer.config.schema import LEDGER_FILE
from streamer.events.cloudevents import COUNTS
from streamer.ledger import LedgerReader
from tests.api_rig import ApiDaemon, api_daemon, problem
from tests.moving import LANES, LINE, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.slow]
RECOUNT = "/api/v1/cameras/a/recount"
PATHS = "/api/v1/cameras/a/paths"
SUGGESTED = "/api/v1/cameras/a/lines/suggested"
UPRIGHT = {"points": LINE["points"]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """With tracks in its ledger, and none that come: its cameras are switched off again."""
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    with api_daemon(clip) as daemon:
        daemon.serve()
        with daemon.client("viewer") as client:
            daemon.wait_for(lambda _: crossings(client) >= 2 * LANES, 60, "crossings")
        for name in ("a", "b"):
            daemon.cli("camera", "disable", name)
        for name in ("a", "b"):
            daemon.wait_for(
                lambda _, camera=name: is_closed(daemon, camera), 30, f"the end of {name}'s tracks"
            )
        yield daemon


def crossings(client: httpx.Client) -> int:
    counted = client.get("/api/v1/counts?camera=a&by=direction&since=all").json()
    return sum(row["count"] for row in counted["counts"])


def is_closed(daemon: ApiDaemon, camera: str) -> bool:
    """Whether the ledger has all of a camera that was switched off: its last bucket follows the last path."""
    reader = LedgerReader(daemon.state_dir / LEDGER_FILE)
    try:
        told = reader.after(camera, None, 1_000_000)
    finally:
        reader.close()
    return any(e.type == COUNTS and "stopped" in json.loads(e.body)["data"]["flags"] for e in told)


@pytest.fixture
def client(daemon: ApiDaemon) -> Iterator[httpx.Client]:
    with daemon.client("viewer") as client:
        yield client


def test_paths_are_points_in_the_picture_newest_first(client: httpx.Client) -> None:
    told = client.get(PATHS, params={"since": "1h"}).json()
    assert told["more"] is False
    assert told["tracks_days"] == 400
    assert told["kept_since"] <= told["paths"][-1]["start"]
    for path in told["paths"]:
        assert path["class"] == "object"
        assert 2 <= len(path["points"]) <= 32
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _ in path["points"])
        assert path["points"][0][2] == 0
        assert abs(path["points"][-1][2] - path["seconds"]) < 0.1
    some = client.get(PATHS, params={"since": "1h", "limit": 2}).json()
    assert (some["more"], some["paths"]) == (True, told["paths"][:2])


def test_a_proposed_line_counts_what_the_command_says_it_would_have(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    told = client.post(RECOUNT, json={"line": UPRIGHT, "since": "all", "within_s": 30}).json()
    by_command = json.loads(
        daemon.cli("recount", "a", "--line", "proposed=0.5,1,0.5,0", "--since", "all", "--json").stdout
    )
    assert told["complete"] is True
    assert told["total"]["count"] == by_command["total"]["count"] >= 2 * LANES
    # Drawn where the one is that counts. Of few frames, as on a busy machine, a path may tell of one crossing
    # more or less than was seen.
    assert abs(crossings(client) - told["total"]["count"]) <= 1
    (row,) = told["counts"]
    assert (row["direction"], row["class"]) == ("left-to-right", "object")
    assert row["count"] == told["total"]["count"]


def test_a_proposed_zone_counts_who_would_have_entered_it(client: httpx.Client) -> None:
    zone = {"points": [[0.4, 0.02], [0.6, 0.02], [0.6, 0.98], [0.4, 0.98]]}
    told = client.post(RECOUNT, json={"zone": zone, "since": "all", "within_s": 30}).json()
    ways = {row["direction"]: row["count"] for row in told["counts"]}
    assert told["total"] == {"count": ways["entered"]}
    assert ways["exited"] == ways["entered"] >= 2 * LANES
    aside = {"points": [[0.0, 0.0], [0.02, 0.0], [0.02, 0.001], [0.0, 0.001]]}
    none = client.post(RECOUNT, json={"zone": aside, "since": "all", "within_s": 30}).json()
    assert none["total"]["count"] == 0


def test_the_hours_are_told_where_they_are_asked_for(client: httpx.Client) -> None:
    told = client.post(RECOUNT, json={"line": UPRIGHT, "since": "all", "by_hour": True}).json()
    assert sum(row["count"] for row in told["hours"]) == told["total"]["count"]
    assert "hours" not in client.post(RECOUNT, json={"line": UPRIGHT}).json()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "line"),
        ({"line": {"points": [[0.5, 0.5], [0.5, 0.5]]}}, "a line needs a length"),
        ({"line": UPRIGHT, "since": "soon"}, "30m"),
        ({"line": UPRIGHT, "since": "1h", "until": "2h"}, "since is not before until"),
        ({"line": UPRIGHT, "within_s": 3600}, "within_s"),
        ({"zone": {}, "line": UPRIGHT}, "zone"),
    ],
)
def test_what_cannot_be_recounted_is_refused(client: httpx.Client, body: dict[str, Any], words: str) -> None:
    told = problem(client.post(RECOUNT, json=body))
    assert told["status"] == 422
    assert words in told["detail"]


def test_the_lines_that_are_suggested_are_the_command_s_and_each_counts_what_is_said(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    told = client.get(SUGGESTED, params={"since": "all", "all": True}).json()
    by_command = json.loads(daemon.cli("line", "suggest", "a", "--since", "all", "--all", "--json").stdout)
    assert {**told, "until": 0} == {**by_command, "until": 0}
    best = told["lines"][0]
    assert best["line"]["name"] == "line-1"
    asked = {"line": best["line"], "since": "all", "within_s": 30}
    counted = client.post(RECOUNT, json=asked).json()["total"]["count"]
    assert counted == sum(best["counted"].values()) >= 2 * LANES
    assert problem(client.get("/api/v1/cameras/nobody/lines/suggested"))["status"] == 404


def test_what_a_line_counts_already_gets_no_other(client: httpx.Client) -> None:
    told = client.get(SUGGESTED, params={"since": "all"}).json()
    assert told["lines"] == []
    assert told["covered"] >= 0.6 * told["moving"] > 0  # those at the ends of the clip cross nothing


def test_a_class_that_the_camera_never_tells_is_refused_with_those_it_has(client: httpx.Client) -> None:
    refused = problem(client.get(SUGGESTED, params={"since": "all", "class": "person"}))
    assert refused["status"] == 422
    assert refused["detail"] == "camera a tells no 'person': it has object"


def test_without_time_for_all_the_newest_part_is_counted_whole(daemon: ApiDaemon) -> None:
    """No time at all is the shortest: nothing is said of what nobody has looked at."""
    line = LineSpec(name="l", points=((0.5, 1.0), (0.5, 0.0)))
    reader = LedgerReader(daemon.state_dir / LEDGER_FILE)
    try:
        every = recount_camera(reader, "a", line, 0, 1 << 62)
        none = recount_camera(reader, "a", line, 0, 1 << 62, limit_s=-1.0)
    finally:
        reader.close()
    assert every.complete
    assert not none.complete
    assert none.crossings == []
    assert none.since_ns > max(crossing.at_ns for crossing in every.crossings)
