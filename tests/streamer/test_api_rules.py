"""Lines, zones, masks and alerts over HTTP: what is there, and what a change of one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from streamer.api.apply_change import apply_change
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from tests.api_rig import ApiDaemon, api_daemon, problem
from tests.moving import LINE, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LINES = "/api/v1/cameras/a/lines"
ZONES = "/api/v1/cameras/a/zones"
DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
YARD = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]


@pytest.fixture(scope="module")
def moving_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)


@pytest.fixture(scope="module")
def daemon(moving_clip: Path) -> Iterator[ApiDaemon]:
    with api_daemon(moving_clip) as daemon:
        yield daemon.serve()


@pytest.fixture
def client(daemon: ApiDaemon) -> Iterator[httpx.Client]:
    with daemon.client("operator") as client:
        yield client


def on_disk(daemon: ApiDaemon, kind: str = "lines") -> list[dict[str, Any]]:
    document = yaml.safe_load((daemon.config_dir / "cameras.d" / "a.yaml").read_text())
    found: list[dict[str, Any]] = document["rules"].get(kind, [])
    return found


def test_a_line_is_shown_as_the_camera_s_file_has_it(client: httpx.Client) -> None:
    (line,) = client.get(LINES).json()["lines"]
    assert {key: line[key] for key in LINE} == LINE
    assert "rev" not in line
    assert client.get(f"{LINES}/middle").json() == line
    told = problem(client.get(f"{LINES}/nobody"))
    assert (told["status"], "known: middle" in told["detail"]) == (404, True)


def test_what_a_model_adds_to_a_line_is_not_written_into_the_camera_s_file(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    assert client.get(f"{LINES}/middle").json()["anchor"] == "auto"  # what moves is counted by its centre
    assert client.patch(f"{LINES}/middle", json={"left_to_right": "right"}).status_code == 200
    assert on_disk(daemon) == [LINE]


def test_a_line_is_added_changed_and_removed_and_each_change_is_in_force(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    added = client.post(LINES, json=DOOR)
    assert added.status_code == 201
    assert problem(client.post(LINES, json=DOOR))["status"] == 409
    moved = [[0.1, 0.7], [0.9, 0.7]]
    changed = client.patch(f"{LINES}/door", json={"points": moved, "left_to_right": None})
    shown = client.get(f"{LINES}/door").json()
    assert (shown["points"], shown["left_to_right"], shown["right_to_left"]) == (
        moved,
        "left-to-right",
        "out",
    )
    revs = [answer.json()["config_rev"] for answer in (added, changed)]
    assert revs[0] < revs[1] == daemon.status()["config_rev"]
    assert [line["name"] for line in on_disk(daemon)] == ["middle", "door"]
    assert client.delete(f"{LINES}/door").status_code == 200
    assert [line["name"] for line in on_disk(daemon)] == ["middle"]
    assert problem(client.delete(f"{LINES}/door"))["status"] == 404


def test_what_is_put_is_there_whether_it_was_or_not(daemon: ApiDaemon, client: httpx.Client) -> None:
    assert client.put(f"{ZONES}/yard", json={"points": YARD}).status_code == 201
    assert client.put(f"{ZONES}/yard", json={"points": [*YARD, [0.1, 0.5]]}).status_code == 200
    assert len(client.get(f"{ZONES}/yard").json()["points"]) == 4
    assert problem(client.put(f"{ZONES}/yard", json={"name": "field", "points": YARD}))["status"] == 422
    alert = {"name": "crowd", "zone": "yard", "at_least": 9}
    assert client.post("/api/v1/cameras/a/alerts", json=alert).status_code == 201
    told = problem(client.delete(f"{ZONES}/yard"))
    assert (told["status"], "yard" in told["detail"]) == (422, True), "an alert rests on it"
    assert client.delete("/api/v1/cameras/a/alerts/crowd").status_code == 200
    assert client.delete(f"{ZONES}/yard").status_code == 200
    assert on_disk(daemon, "zones") == []


def test_who_has_not_seen_the_newest_change_of_a_line_changes_nothing(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    assert client.post(LINES, json=DOOR).status_code == 201
    seen = client.get(f"{LINES}/door").headers["etag"]
    assert client.get(LINES).json()["etags"]["door"] == seen
    guard = {"if-match": seen}
    assert client.put(f"{LINES}/door", json={**DOOR, "anchor": "top"}, headers=guard).status_code == 200
    moved = {**DOOR, "points": [[0.1, 0.7], [0.9, 0.7]]}
    for method, body in (("PUT", moved), ("PATCH", moved), ("DELETE", None)):
        told = problem(client.request(method, f"{LINES}/door", json=body, headers=guard))
        assert (told["status"], "changed meanwhile" in told["detail"]) == (412, True), method
    assert on_disk(daemon)[1]["anchor"] == "top"
    assert problem(client.put(f"{LINES}/new", json=DOOR | {"name": "new"}, headers=guard))["status"] == 412
    fresh = {"if-match": client.get(f"{LINES}/door").headers["etag"]}
    assert client.delete(f"{LINES}/door", headers=fresh).status_code == 200


def test_the_daemon_itself_compares_what_was_seen(daemon: ApiDaemon) -> None:
    """Between the API's look and the daemon's turn the command line may change it."""
    change = {"op": "line.remove", "camera": "a", "name": "middle", "expected": {**LINE, "anchor": "top"}}
    with pytest.raises(ConfigError, match="changed meanwhile"):
        apply_change(ConfigStore(daemon.config_dir), change)
    assert [line["name"] for line in on_disk(daemon)] == ["middle"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "x", "points": [[0.1, 0.5], [1.9, 0.5]]}, "points"),
        ({"name": "x", "points": [[0.5, 0.5], [0.5, 0.5]]}, "a line needs a length"),
        ({"name": "x", "points": [[0.5, 0.5]]}, "points"),
        ({"name": "X y", "points": [[0.1, 0.5], [0.9, 0.5]]}, "name"),
        ({"name": "x", "points": [[0.1, 0.5], [0.9, 0.5]], "colour": "red"}, "colour"),
        ({"points": [[0.1, 0.5], [0.9, 0.5]]}, "name"),
        ({"name": ["x"], "points": [[0.1, 0.5], [0.9, 0.5]]}, "name"),
    ],
)
def test_a_line_that_the_configuration_would_refuse_is_refused_in_its_words(
    daemon: ApiDaemon, client: httpx.Client, body: dict[str, Any], words: str
) -> None:
    told = problem(client.post(LINES, json=body))
    assert (told["status"], told["code"]) == (422, "CONFIG")
    assert words in told["detail"]
    assert [line["name"] for line in on_disk(daemon)] == ["middle"]
