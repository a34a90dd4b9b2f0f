"""Three real boxes, each with a daemon, an agent and its Ray: added to, killed, cut off, drained."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.site_rig import OwnRedis, Site, SiteBox, started

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def redis() -> Iterator[OwnRedis]:
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        redis = OwnRedis(Path(folder))
        yield redis
        redis.end()


@pytest.fixture(scope="module")
def site(redis: OwnRedis) -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))  # short: sockets lie in it
    yield from started(folder, redis.port)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _whole(site: Site) -> None:
    """Each test finds three boxes with room, and what the ones before have added."""
    site.until(site.is_whole, "three boxes", 120)


def _one_owner(site: Site, camera: str, but: SiteBox | None = None) -> SiteBox:
    owner: SiteBox = site.until(lambda: site.owner(camera, but), f"one box with {camera}", 60)
    return owner


def test_an_added_camera_runs_on_one_box_in_its_first_term(site: Site) -> None:
    site.add("gate")
    assert _one_owner(site, "gate").cameras()["gate"] == (1, True)


def test_a_label_decides_where_a_camera_runs_and_why_it_waits(site: Site) -> None:
    site.add("odd", 0.1, "side=b9")
    waiting = site.until(lambda: [c for c in site.status()["cameras"] if c["camera"] == "odd"], "odd")[0]
    assert waiting["doing"] == "waiting"
    assert "no box of the site has side=b9" in waiting["why"]
    site.head.site("place", "odd", "--on", "side=b3")
    assert _one_owner(site, "odd").name == "b3"
    site.head.site("remove", "odd")
    site.until(lambda: not any("odd" in box.cameras() for box in site.boxes), "odd gone")


def test_a_killed_box_s_camera_is_taken_over_and_no_other_moves(site: Site) -> None:
    site.add("yard", 0.4, "side=b2")
    before = _one_owner(site, "yard")
    site.add("hall", 0.4, "side=b3")
    _one_owner(site, "hall")
    site.head.site("place", "yard")  # it may run anywhere, and stays
    assert _one_owner(site, "yard") is before
    before.kill_node()
    after = _one_owner(site, "yard", but=before)
    assert after.cameras()["yard"] == (2, True)
    assert _one_owner(site, "hall").cameras()["hall"] == (1, True)


def test_a_drained_box_is_emptied_and_stays_empty_until_the_drain_ends(site: Site) -> None:
    site.add("dock", 0.1, "side=b2")
    before = _one_owner(site, "dock")
    site.head.site("place", "dock")
    site.head.site("drain", before.name)
    _one_owner(site, "dock", but=before)
    site.until(lambda: _state(site, before.name) == ("drained", 0.0), "a box without room", 90)
    site.head.site("drain", before.name, "--end")
    site.until(site.is_whole, "the box with its room", 90)


def test_a_box_that_is_cut_off_loses_its_camera_and_gives_it_up_when_it_is_back(site: Site) -> None:
    site.add("shed", 0.1, "side=b3")
    _one_owner(site, "shed")
    site.head.site("place", "shed")
    before = _one_owner(site, "shed")
    assert before is not site.head
    term = before.cameras()["shed"][0]
    before.signal_all(signal.SIGSTOP)
    others = [box for box in site.boxes if box is not before]
    taken = site.until(lambda: [box for box in others if "shed" in box.cameras()], "another box with it", 60)[
        0
    ]
    assert taken.cameras()["shed"][0] > term
    assert before.cameras()["shed"][0] == term, "a box that is cut off counts on, in its own term"
    before.signal_all(signal.SIGCONT)
    site.until(lambda: "shed" not in before.cameras(), "the box that was cut off without it", 60)


def test_cameras_go_on_unowned_while_the_head_is_away_and_are_owned_again(site: Site) -> None:
    owner = _one_owner(site, "gate")
    head = site.head.ray("gcs_server")[0]
    head.suspend()
    site.until(lambda: owner.cameras()["gate"][1] is False, "a camera without an owner", 60)
    head.resume()
    site.until(lambda: owner.cameras()["gate"][1] is True, "an owner again", 60)


def test_a_restarted_head_moves_nothing(site: Site) -> None:
    cameras = [row["camera"] for row in site.status()["cameras"]]
    assert cameras
    before = {camera: _one_owner(site, camera).name for camera in cameras}
    for process in site.head.ray("gcs_server"):
        process.kill()
    site.until(lambda: site.status()["boxes"] == [], "a head that is away", 60)
    site.until(site.is_whole, "the head again", 180)
    settled = {camera: _one_owner(site, camera).name for camera in cameras}
    assert {c: n for c, n in settled.items() if before[c] != "b1"} == {
        c: n for c, n in before.items() if n != "b1"
    }


def test_what_runs_goes_on_while_the_site_s_redis_is_away_and_a_command_says_so(
    site: Site, redis: OwnRedis
) -> None:
    owner = _one_owner(site, "gate")
    redis.process.send_signal(signal.SIGSTOP)
    refused = site.head.site("add", "late", "synthetic:street", "--cost", "0.1", check=False)
    assert refused.returncode != 0
    assert "Redis" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "gate" in owner.cameras()
    redis.process.send_signal(signal.SIGCONT)
    site.until(lambda: site.status()["boxes"], "status again")


def test_a_wrong_token_and_a_head_that_is_away_are_refused_in_one_line(site: Site) -> None:
    keys = site.head.daemon.config_dir / "site.keys"
    token = (keys / "token").read_text()
    (keys / "token").write_text("wrong\n")
    try:
        refused = site.head.site("status", check=False)
    finally:
        (keys / "token").write_text(token)
    assert "refuses this box's token" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_box_that_leaves_has_handed_its_cameras_over(site: Site) -> None:
    """The last one: there are two boxes then."""
    site.add("gone", 0.1, "side=b3")
    before = _one_owner(site, "gone")
    site.head.site("place", "gone")
    site.head.site("place", "hall", check=False)  # of a test before, if that ran
    assert before.agent is not None
    before.agent.terminate()
    before.agent.wait()
    done = before.site("leave", "--yes")
    assert f"{before.name} has left site shop" in done.stdout
    assert "still counts" not in done.stdout
    assert before.cameras() == {}
    assert _one_owner(site, "gone").name != before.name


def _state(site: Site, name: str) -> tuple[str, float] | None:
    rows = [(b["state"], b["capacity"]) for b in site.status()["boxes"] if b["box"] == name]
    return rows[0] if rows else None
