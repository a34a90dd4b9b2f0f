"""A camera that is renamed over HTTP: its counts, its tokens and an audit go on under the new name."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.api_rig import ApiDaemon, api_daemon, problem
from tests.moving import write_moving_clip
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
RENAME = "/api/v1/cameras/{}/rename"
LINE = "/api/v1/cameras/{}/lines/{}/rename"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 60.0)
    with api_daemon(clip) as daemon:
        yield daemon.serve()


def counted(daemon: ApiDaemon, camera: str, token: str = "viewer") -> tuple[int, set[str]]:
    """How many, and on which lines."""
    with daemon.client(token) as client:
        answer = client.get("/api/v1/counts", params={"camera": camera, "since": "all"})
    rows = answer.raise_for_status().json()["counts"]
    return sum(row["count"] for row in rows), {row["name"] for row in rows}


def wait_for_count(daemon: ApiDaemon, camera: str, more_than: int, token: str = "viewer") -> set[str]:
    names: set[str] = set()

    def is_more(_: object) -> bool:
        count, found = counted(daemon, camera, token)
        names.update(found)
        return count > more_than

    daemon.wait_for(is_more, patient(30), f"counts of {camera}")
    return names


def test_a_camera_renamed_over_http_keeps_counts_tokens_and_can_be_audited(daemon: ApiDaemon) -> None:
    wait_for_count(daemon, "b", 0)
    with daemon.client("operator") as client:
        client.post(LINE.format("b", "middle"), json={"to": "door"}).raise_for_status()
        before, _ = counted(daemon, "b")
        renamed = client.post(RENAME.format("b"), json={"to": "yard"})
    assert renamed.status_code == 200, renamed.text
    assert wait_for_count(daemon, "yard", before, token="b-viewer") == {"door"}
    with daemon.client("b-viewer") as client:
        assert [row["name"] for row in client.get("/api/v1/cameras").json()["cameras"]] == ["yard"]
        assert client.get("/api/v1/cameras/b").status_code == 403
    asked = ("audit", "yard", "--bucket-s", "2", "--number", "1", "--json")
    done = daemon.cli(*asked, input="3\nu\n" * 20)
    found = json.loads(done.stdout)
    assert [estimate["name"] for estimate in found["estimates"]] == ["door right", "door left", "all"]
    assert found["estimates"][0]["counted"] >= 1


def test_a_name_with_a_past_is_refused_over_http_unless_both_are_to_be_one(daemon: ApiDaemon) -> None:
    wait_for_count(daemon, "a", 0)
    with daemon.client("operator") as client:
        free = client.post(RENAME.format("a"), json={"to": "left"})
        assert free.status_code == 200, free.text
        scene = {"name": "a", "url": "synthetic:street", "source": {"fps": 2}}
        client.post("/api/v1/cameras", json={"camera": scene}).raise_for_status()
        client.delete("/api/v1/cameras/left").raise_for_status()
        refused = client.post(RENAME.format("a"), json={"to": "left"})
        assert refused.status_code == 422
        assert "'left' was there before" in problem(refused)["detail"]
        assert client.post(RENAME.format("a"), json={"to": "left", "merge": True}).status_code == 200
    assert counted(daemon, "left")[0] > 0


def test_a_token_of_one_camera_cannot_rename_it_out_of_its_own_sight(daemon: ApiDaemon) -> None:
    with daemon.client("b-operator") as client:
        for name in ("b", "yard"):
            refused = client.post(RENAME.format(name), json={"to": "elsewhere", "merge": True})
            assert refused.status_code == 403
