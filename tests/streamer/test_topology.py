"""Which processes there are, and that no camera moves that can stay."""

from __future__ import annotations

from streamer.config.schema import CameraConfig, CaptureConfig, Config, InferenceConfig, RedisConfig
from streamer.daemon.topology import Plan, plan


def config(
    *names: str, workers: int = 1, most: int = 4, off: tuple[str, ...] = (), redis: str = ""
) -> Config:
    return Config(
        cameras=tuple(CameraConfig(name=n, url="synthetic:street", enabled=n not in off) for n in names),
        inference=InferenceConfig(workers=workers),
        capture=CaptureConfig(cameras_per_worker=most),
        redis=RedisConfig(url=redis),
    )


def placed(found: Plan) -> dict[str, str]:
    return dict(found.capture_of)


def test_no_camera_still_needs_redis_delivery_and_inference() -> None:
    assert list(plan(config()).workers) == ["redis", "deliver", "infer-0"]


def test_an_outside_redis_is_not_run() -> None:
    assert "redis" not in plan(config(redis="redis://box/0")).workers


def test_four_cameras_share_a_capture_process_and_the_fifth_gets_another() -> None:
    found = plan(config("a", "b", "c", "d", "e"))
    assert found.workers["capture-0"].cameras == ("a", "b", "c", "d")
    assert found.workers["capture-1"].cameras == ("e",)


def test_a_disabled_camera_has_no_worker() -> None:
    found = plan(config("a", "b", off=("b",)))
    assert placed(found) == {"a": "capture-0"}


def test_removing_a_camera_moves_no_other() -> None:
    before = plan(config("a", "b", "c", "d", "e", "f"))
    after = plan(config("a", "c", "d", "e", "f"), before)
    assert placed(after) == {n: w for n, w in placed(before).items() if n != "b"}


def test_a_new_camera_takes_the_free_place() -> None:
    before = plan(config("a", "b", "c", "d", "e"))
    after = plan(config("a", "c", "d", "e", "x"), before)
    assert after.capture_of["x"] == "capture-0"
    assert after.capture_of["e"] == "capture-1"


def test_a_camera_in_quarantine_is_captured_alone() -> None:
    before = plan(config("a", "b", "c"))
    after = plan(config("a", "b", "c"), before, frozenset({"a", "b", "c"}))
    assert len(set(after.capture_of.values())) == 3


def test_nobody_joins_a_camera_in_quarantine() -> None:
    alone = frozenset({"a"})
    before = plan(config("a"), alone=alone)
    after = plan(config("a", "b"), before, alone)
    assert after.capture_of["a"] != after.capture_of["b"]


def test_cameras_spread_over_inference_workers_and_stay() -> None:
    before = plan(config("a", "b", "c", "d", workers=2))
    assert sorted(before.infer_of.values()) == ["infer-0", "infer-0", "infer-1", "infer-1"]
    after = plan(config("a", "b", "c", "d", "e", workers=2), before)
    assert all(after.infer_of[n] == before.infer_of[n] for n in "abcd")


def test_cameras_of_a_lost_inference_worker_move_and_no_other_does() -> None:
    before = plan(config("a", "b", "c", "d", workers=2))
    after = plan(config("a", "b", "c", "d", workers=1), before)
    assert set(after.infer_of.values()) == {"infer-0"}


def test_cameras_that_leave_quarantine_share_a_process_again() -> None:
    before = plan(config("a", "b", "c"), alone=frozenset("abc"))
    after = plan(config("a", "b", "c"), before, freed=frozenset("abc"))
    assert set(after.capture_of.values()) == {"capture-0"}


def test_a_camera_that_leaves_quarantine_joins_others_and_moves_none() -> None:
    before = plan(config("a", "b", "c"), alone=frozenset("a"))
    after = plan(config("a", "b", "c"), before, freed=frozenset("a"))
    assert set(after.capture_of.values()) == {before.capture_of["b"]}


def test_a_camera_that_leaves_quarantine_joins_none_that_stays_in_it() -> None:
    before = plan(config("a", "b"), alone=frozenset("ab"))
    after = plan(config("a", "b"), before, frozenset("b"), freed=frozenset("a"))
    assert after.capture_of["a"] != after.capture_of["b"]
