"""Clips over HTTP: for admins of the camera alone, with a line in the log of who got which; never a path that
was asked for, and never more of people than the site shows now."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parsed

from tests import clip_rig
from tests.api_rig import ApiDaemon, api_daemon, problem

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    film = clip_rig.write_film(tmp_path_factory.mktemp("clips"))
    with api_daemon(film, **clip_rig.settings()) as daemon:
        daemon.serve()
        yield daemon


def crossing(daemon: ApiDaemon, before: str = "") -> str:
    """The id of the camera a's newest crossing, once there is one that is not `before`."""
    newest: list[str] = []

    def there(_: object) -> bool:
        with daemon.client("viewer") as client:
            asked = {"camera": "a", "type": clip_rig.CROSSED, "since": "1h", "limit": "1000"}
            newest[:] = [e["id"] for e in client.get("/api/v1/events", params=asked).json()["events"]]
        return bool(newest) and newest[-1] != before

    daemon.wait_for(there, 30, "a crossing")
    return newest[-1]


def made(daemon: ApiDaemon, event: str) -> None:
    def ready(_: object) -> bool:
        with daemon.client("admin") as client:
            return client.post(f"/api/v1/events/{event}/clip").json()["state"] == "ready"

    daemon.wait_for(ready, 30, "the clip")


def samples(daemon: ApiDaemon) -> dict[tuple[str, str], float]:
    """By name and reason."""
    with daemon.client("viewer") as client:
        families = list(parsed(client.get("/metrics").text))
    return {(s.name, s.labels.get("reason", "")): s.value for family in families for s in family.samples}


def test_an_admin_has_a_clip_made_gets_the_file_and_removes_it_and_the_log_and_the_metrics_say_so(
    daemon: ApiDaemon,
) -> None:
    event = crossing(daemon)
    with daemon.client("admin") as client:
        assert client.get(f"/api/v1/events/{event}/clip").status_code >= 400, "nobody has asked for one"
        begun = client.post(f"/api/v1/events/{event}/clip")
        assert (begun.status_code, begun.json()["state"]) == (202, "recording")
        made(daemon, event)
        (row,) = client.get("/api/v1/clips", params={"camera": "a"}).json()["clips"]
        got = client.get(f"/api/v1/events/{event}/clip")
        assert (got.status_code, got.headers["content-type"]) == (200, "video/mp4")
        assert got.headers["cache-control"] == "no-store"
        assert (hashlib.sha256(got.content).hexdigest(), len(got.content)) == (row["sha256"], row["bytes"])
        assert (row["event"], row["clip"]) == (event, begun.json()["clip"])
        daemon.wait_for(lambda _: samples(daemon)["streamer_clips", ""] == 1, 10, "the clip in the metrics")
        removed = client.delete(f"/api/v1/events/{event}/clip")
        assert (removed.status_code, removed.json()["clip"]) == (200, row["clip"])
        assert client.get(f"/api/v1/events/{event}/clip").status_code >= 400
    daemon.wait_for(lambda s: clip_rig.counts(s)["removed"]["asked"] == 1, 10, "the removal to be counted")
    log = daemon.log_path.read_text()
    for done in ("asked for by", "given to", "removed by"):
        assert f"clip {row['clip']} {done} token admin" in log
    daemon.wait_for(lambda _: samples(daemon)["streamer_clips_removed_total", "asked"] == 1, 10, "metrics")
    told = samples(daemon)
    assert (told["streamer_clips_made_total", ""], told["streamer_clips", ""]) == (1, 0)
    assert 0 < told["streamer_camera_clip_buffer_bytes", ""] <= 16 << 20


@pytest.mark.parametrize("token", ["viewer", "operator", "b-admin"])
def test_who_is_no_admin_of_the_camera_gets_no_clip_and_starts_none(token: str, daemon: ApiDaemon) -> None:
    event = crossing(daemon)
    with daemon.client(token) as client:
        for method in ("POST", "GET", "DELETE"):
            response = client.request(method, f"/api/v1/events/{event}/clip")
            assert response.status_code == 403, method
            problem(response)
        if token == "b-admin":
            listed = client.get("/api/v1/clips").json()
            assert [*listed["clips"], *listed["making"]] == []
    assert clip_rig.counts(daemon.status())["making"] == 0


TRICKS = (
    *("a/../1", "../1", "..%2f..%2fetc%2fpasswd/1", "a/1/..%2f..%2fx", "a-5-1%2f..%2fx", "%2e%2e/1/1"),
    *("n/..%2fa/5/1", "a%00/1", "a%0a/1", "n/a/-5/1", "a/999999999999999999"),
)


@pytest.mark.parametrize("trick", TRICKS)
def test_an_id_with_tricks_reaches_no_file_and_is_refused_in_one_line(trick: str, daemon: ApiDaemon) -> None:
    before = sorted(daemon.base.rglob("*.mp4"))
    with daemon.client("admin") as client:
        for method in ("POST", "GET", "DELETE"):
            url = httpx.URL(f"{daemon.url}/").copy_with(raw_path=f"/api/v1/events/{trick}/clip".encode())
            response = client.request(method, url)
            assert 400 <= response.status_code < 500, (method, trick, response.text[:200])
            if response.status_code != 405:
                assert "passwd:" not in response.text
                problem(response)
    assert sorted(daemon.base.rglob("*.mp4")) == before


def test_a_clip_that_shows_people_is_not_given_out_once_the_site_hides_them(daemon: ApiDaemon) -> None:
    """Last in this file: the site hides people from here on."""
    event = crossing(daemon)
    made(daemon, event)
    path = daemon.config_dir / "streamer.yaml"
    settings = yaml.safe_load(path.read_text())
    rev = daemon.status()["config_rev"]
    path.write_text(yaml.safe_dump({**settings, "privacy": {"people": "silhouette"}}))
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGHUP)
    daemon.wait_for(lambda s: s["config_rev"] > rev, 20, "it to be in force")
    with daemon.client("admin") as client:
        for method in ("GET", "POST"):
            response = client.request(method, f"/api/v1/events/{event}/clip")
            assert response.status_code >= 400
            assert "shows people, and privacy.people is silhouette now" in problem(response)["detail"]
        hidden = crossing(daemon, before=event)
        made(daemon, hidden)
        rows = {row["event"]: row for row in client.get("/api/v1/clips").json()["clips"]}
        assert (rows[hidden]["people"], rows[event]["people"]) == ("silhouette", "show")
        assert client.get(f"/api/v1/events/{hidden}/clip").status_code == 200
    assert list((daemon.state_dir / "clips" / ".partial").iterdir()) == []
