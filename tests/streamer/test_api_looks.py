"""Over HTTP: a look at a camera before it is added, why an event was made, and which models there are."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import httpx
import numpy as np
import pytest

from tests.api_rig import ApiDaemon, api_daemon, events_of, problem, stream_of
from tests.certificates import Authority
from tests.moving import write_moving_clip
from tests.onvif_camera import CameraProfile, OnvifCamera
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SCENE = {"camera": {"name": "new", "url": "synthetic:street?seconds=5"}}
NOBODY = {"camera": {"name": "new", "url": "rtsp://127.0.0.1:9/live"}, "username": "u", "password": "sesame"}
TEST = "/api/v1/cameras/test"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    with api_daemon(clip) as daemon:
        yield daemon.serve()


@pytest.fixture
def client(daemon: ApiDaemon) -> Iterator[httpx.Client]:
    with daemon.client("admin") as client:
        client.timeout = httpx.Timeout(patient(60))
        yield client


def cameras(daemon: ApiDaemon) -> list[str]:
    paths = (daemon.config_dir / "cameras.d").glob("*.yaml")
    return sorted(path.stem for path in paths if not path.name.startswith("."))  # one holds the credentials


def test_a_look_tells_what_a_camera_sends_and_saves_nothing(daemon: ApiDaemon, client: httpx.Client) -> None:
    told = client.post(TEST, json=SCENE).json()
    assert told.get("ok") is True, told
    assert told["info"]["width"] > 0
    assert told["fps_measured"] > 0
    assert base64.b64decode(told["jpeg_base64"])[:2] == b"\xff\xd8"
    with daemon.client("operator") as operator:
        operator.timeout = httpx.Timeout(patient(60))
        assert "jpeg_base64" not in operator.post(TEST, json=SCENE).json(), "pictures are for admins"
    assert cameras(daemon) == ["a", "b"]


def test_what_cannot_be_read_is_told_and_added_only_where_that_is_asked_for(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    told = client.post(TEST, json=NOBODY)
    assert told.json()["ok"] is False
    assert "refuses connections" in told.json()["problem"]
    refused = problem(client.post("/api/v1/cameras", json=NOBODY))
    assert refused["status"] == 502
    assert "check=false" in refused["detail"]
    assert cameras(daemon) == ["a", "b"]
    assert client.post("/api/v1/cameras?check=false", json=NOBODY).status_code == 201
    assert cameras(daemon) == ["a", "b", "new"]
    assert client.delete("/api/v1/cameras/new").status_code == 200
    assert "sesame" not in told.text + json.dumps(refused) + daemon.log()


def test_one_that_can_be_read_is_added_with_what_was_found(daemon: ApiDaemon, client: httpx.Client) -> None:
    added = client.post("/api/v1/cameras", json=SCENE)
    assert added.status_code == 201
    assert added.json()["probe"]["ok"] is True
    assert "jpeg_base64" not in added.json()["probe"]
    assert client.delete("/api/v1/cameras/new").status_code == 200
    assert cameras(daemon) == ["a", "b"]


def test_a_device_is_asked_by_onvif_and_its_stream_looked_at_and_kept(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    profile = CameraProfile("sub", "rtsp://127.0.0.1:9/live")
    with OnvifCamera([profile], "digest", password="sesame", media2=True) as camera:
        body = {"camera": {"name": "new", "url": camera.url}, "username": camera.user, "password": "sesame"}
        told = client.post(TEST, json=body).json()
        assert told["ok"] is False  # nothing streams there
        assert told["url"] == profile.uri
        assert "profile sub H264 640x360" in told["advice"][0]
        wrong = client.post(TEST, json={**body, "password": "wrong"}).json()
        assert (wrong["ok"], wrong["state"]) == (False, "unreachable")
        assert "refuses the user name or password" in wrong["problem"]
        assert problem(client.post("/api/v1/cameras", json={**body, "password": "no"}))["status"] == 502
        assert client.post("/api/v1/cameras?check=false", json=body).status_code == 201
    settings = client.get("/api/v1/cameras/new").json()["settings"]
    assert settings["url"] == profile.uri
    assert client.delete("/api/v1/cameras/new").status_code == 200
    refused = problem(client.post(TEST, json={"camera": {"name": "new", "url": "onvif://169.254.169.254"}}))
    assert "networks" in refused["detail"]
    assert "sesame" not in daemon.log() + json.dumps(told)


def test_a_device_is_asked_over_https_with_who_vouches_for_it(client: httpx.Client, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "ca").sign("camera", "IP:127.0.0.1")
    with OnvifCamera([CameraProfile("sub", "rtsps://127.0.0.1:9/live")], certificate=pair) as camera:
        new = {"name": "new", "url": camera.url}
        told = client.post(TEST, json={"camera": new}).json()
        assert (told["ok"], camera.asked) == (False, [])
        assert "not trusted" in told["problem"]
        body = {"camera": {**new, "source": {"ca": "any"}}}
        assert client.post("/api/v1/cameras?check=false", json=body).status_code == 201
    settings = client.get("/api/v1/cameras/new").json()["settings"]
    assert (settings["url"], settings["source"]["ca"]) == ("rtsps://127.0.0.1:9/live", "any")
    assert client.delete("/api/v1/cameras/new").status_code == 200


def explained(client: httpx.Client, event: str) -> dict[str, Any]:
    """Why, once the ledger has the revision, which delivery may hear of after the event's worker has."""
    deadline_s = time.monotonic() + patient(10)
    while True:
        told: dict[str, Any] = client.get(f"/api/v1/events/{event}/why").json()
        if "line" in told["rule"]:
            return told
        assert time.monotonic() < deadline_s, told
        time.sleep(0.1)


def test_why_is_what_the_command_explains(daemon: ApiDaemon, client: httpx.Client) -> None:
    with stream_of(client, camera="a", type="streamer.line.crossed.v1") as stream:
        at, _, event = next(events_of(stream, 60))
    told = explained(client, at)
    by_command = json.loads(daemon.cli("explain", at, "--json").stdout)
    assert {**told, "track": 0, "nearly": 0} == {**by_command, "track": 0, "nearly": 0}  # the track may end
    assert told["direction"] == event["data"]["direction"]
    drawn = client.get(f"/api/v1/events/{at}/why?format=svg")
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    texts = [part.text for part in ElementTree.fromstring(drawn.text).iter() if part.text]
    assert "middle" in texts
    assert problem(client.get("/api/v1/events/a/999999/why"))["status"] == 404
    assert problem(client.get("/api/v1/events/nonsense/why"))["status"] == 422


def decoded(jpeg: bytes) -> np.ndarray[Any, Any]:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


def test_why_is_drawn_on_the_camera_s_picture_and_on_a_plain_ground_without_one(
    daemon: ApiDaemon, client: httpx.Client
) -> None:
    with stream_of(client, camera="b", type="streamer.line.crossed.v1") as stream:
        at, _, _ = next(events_of(stream, 60))
    explained(client, at)
    path = f"/api/v1/events/{at}/why.jpg"
    on_picture = client.get(path)
    assert on_picture.headers["streamer-ground"] == "picture"
    (shot,) = (decoded(client.get("/api/v1/cameras/b/snapshot.jpg").content),)
    assert decoded(on_picture.content).shape[1] == shot.shape[1]
    with daemon.client("operator") as operator:
        assert operator.get(path).status_code == 403, "pictures are for admins"
    daemon.cli("camera", "disable", "b")
    try:
        plain = client.get(path)
    finally:
        daemon.cli("camera", "enable", "b")
    assert plain.headers["streamer-ground"] == "plain"
    image = decoded(plain.content)
    assert image.shape[1] == 1280
    middle = image[300:500, 635:646].astype(int)  # where the line is, on the plain ground
    assert (middle.max(axis=(0, 1)) - middle.min(axis=(0, 1))).max() > 60
    assert problem(client.get("/api/v1/events/a/999999/why.jpg"))["status"] == 404


def test_models_and_actions_are_listed(daemon: ApiDaemon, client: httpx.Client) -> None:
    listed = client.get("/api/v1/models").json()["models"]
    by_command = json.loads(daemon.cli("model", "list", "--json").stdout)
    assert [model["name"] for model in listed] == [model["name"] for model in by_command]
    actions = client.get("/api/v1/actions").json()["actions"]
    motion = next(action for action in actions if action["name"] == "motion")
    assert motion["problem"] == ""
    assert motion["heads"][0]["labels"]
