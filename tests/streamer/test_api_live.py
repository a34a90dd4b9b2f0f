"""Live pictures over HTTP, of a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import yaml

from pipelines.values import Image
from streamer.api.http.live import BOUNDARY, MAX_STREAMS
from tests.api_rig import ApiDaemon, api_daemon, problem
from tests.moving import write_moving_clip
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LIVE = "/api/v1/cameras/a/live"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    with api_daemon(clip) as daemon:
        yield daemon.serve()


def pictures(response: httpx.Response) -> Iterator[Image]:
    """What a browser would show, one by one."""
    raw = b""
    for chunk in response.iter_bytes():
        raw += chunk
        while (begin := raw.find(b"\xff\xd8")) >= 0 and (end := raw.find(f"\r\n--{BOUNDARY}".encode())) >= 0:
            image = cv2.imdecode(np.frombuffer(raw[begin:end], np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            yield np.asarray(image, np.uint8)
            raw = raw[end + 2 :]


def looked_at(daemon: ApiDaemon, count: int, **params: Any) -> list[Image]:
    with daemon.client("admin") as client, client.stream("GET", LIVE, params=params) as response:
        assert response.status_code == 200, response.read()
        shown = pictures(response)
        return [next(shown) for _ in range(count)]


def test_pictures_come_one_after_the_other_and_move(daemon: ApiDaemon) -> None:
    first, *_, last = looked_at(daemon, 4, rate=5, width=160)
    assert first.shape[1] == last.shape[1] == 160
    assert (cv2.absdiff(first, last) > 40).any()


def test_lines_and_boxes_are_drawn_where_they_are_asked_for(daemon: ApiDaemon) -> None:
    def yellow(image: Image) -> int:  # of the line, in no square
        blue, green, red = (image[:, 158:163, i].astype(int) for i in range(3))
        return int(((red > 180) & (green > 140) & (blue < 90)).sum())

    (bare,) = looked_at(daemon, 1, width=320)
    (lined,) = looked_at(daemon, 1, width=320, overlay="lines")
    assert yellow(lined) > 180 > yellow(bare)
    daemon.wait_for(lambda _: daemon_tracks(daemon), 30, "tracks")
    assert looked_at(daemon, 2, overlay="boxes,trails,lines")


def daemon_tracks(daemon: ApiDaemon) -> list[dict[str, Any]]:
    from streamer.api import control_socket as control

    answer = control.call(daemon.runtime_dir / "control.sock", "tracks", {"camera": "a"}, patient(5))
    for track in answer["tracks"]:
        assert track["class"] == "object"
        assert track["x1"] < track["x2"]
        assert track["y1"] < track["y2"]
    found: list[dict[str, Any]] = answer["tracks"]
    return found


def test_no_more_look_than_may_and_who_has_gone_makes_room(daemon: ApiDaemon) -> None:
    with daemon.client("admin") as client, ExitStack() as open_streams:
        looks = [open_streams.enter_context(client.stream("GET", LIVE)) for _ in range(MAX_STREAMS)]
        chunks = [look.iter_bytes() for look in looks]  # kept: one that is let go ends its stream
        assert all(next(each) for each in chunks)
        assert refused(client)["status"] == 503

    def served(_: dict[str, Any]) -> bool:
        with daemon.client("admin") as client, client.stream("GET", LIVE) as response:
            return response.status_code == 200

    daemon.wait_for(served, 20, "room for another")


def refused(client: httpx.Client, **params: Any) -> dict[str, Any]:
    """The problem, where it is one: what is served is not waited for."""
    with client.stream("GET", LIVE, params=params) as response:
        assert response.status_code != 200
        response.read()
        return problem(response)


@pytest.mark.parametrize("params", [{"rate": 50}, {"rate": 0}, {"width": 1}, {"overlay": "faces"}])
def test_what_cannot_be_shown_is_refused(daemon: ApiDaemon, params: dict[str, Any]) -> None:
    with daemon.client("admin") as client:
        assert refused(client, **params)["status"] == 422
        assert problem(client.get("/api/v1/cameras/nobody/live"))["status"] == 404


def test_where_people_are_hidden_there_is_no_picture_and_a_live_one_that_is_open_ends(
    daemon: ApiDaemon,
) -> None:
    path = daemon.config_dir / "streamer.yaml"
    settings = yaml.safe_load(path.read_text())
    with daemon.client("admin") as client, client.stream("GET", LIVE, params={"rate": 5}) as response:
        chunks = response.iter_bytes()
        assert next(chunks)
        path.write_text(yaml.safe_dump({**settings, "privacy": {"people": "blur"}}))
        assert daemon.process is not None
        daemon.process.send_signal(1)  # SIGHUP
        for _ in chunks:  # until the server ends it; httpx's time-out fails it
            pass
        for told in (refused(client), problem(client.get(LIVE.replace("/live", "/snapshot.jpg")))):
            assert told["status"] == 403
            assert "privacy.people is blur" in told["detail"]
