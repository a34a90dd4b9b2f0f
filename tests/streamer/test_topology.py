"""Which processes there are, and that no camera moves that can stay."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from streamer.config.schema import CameraConfig, CaptureConfig, Config, InferenceConfig, RedisConfig
from streamer.daemon.process_spec import Plan
from streamer.daemon.topology import PROCESSES, plan
from tests.daemon import Daemon


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


def test_a_misconfigured_camera_is_assigned_to_nobody_and_stays_with_who_numbers_its_events() -> None:
    broken = plan(config("a", "c", workers=2), misconfigured=["b"])
    assert set(broken.infer_of) == set(broken.capture_of) == {"a", "c"}
    assert [spec.cameras for name, spec in broken.workers.items() if name.startswith("infer")] == [
        ("a", "c"),
        (),
    ]
    assert broken.announced_by == {"b": "infer-1"}
    mended = plan(config("a", "b", "c", "d", workers=2), broken)
    assert (mended.infer_of["b"], dict(mended.announced_by)) == ("infer-1", {})
    again = plan(config("a", "c", "d", workers=2), mended, misconfigured=["b"])
    assert again.announced_by == {"b": "infer-1"}


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


# ---- the table


def test_the_table_names_modules_that_are_there() -> None:
    for process in PROCESSES:
        if process.on_bus:
            module, _, function = str(process.run).partition(":")
            assert callable(getattr(import_module(module), function)), process.name


def test_a_process_ends_after_those_whose_work_it_takes() -> None:
    ending = [process.role for process in reversed(PROCESSES)]
    assert ending == ["api", "capture", "clips", "infer", "deliver", "redis"]


# One file (toy_worker.py) and one line:
WITH_TOYS = """
from streamer.daemon import topology
from tests.streamer import toy_worker

topology.PROCESSES += (
    topology.Process(
        "toy-{i}", "tests.streamer.toy_worker:create", lambda _: {0: (), 1: ()}, toy_worker.assignment
    ),
)

from streamer.cli.main import main

main()
"""


class DaemonWithToys(Daemon):
    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-c", WITH_TOYS, "--config", str(self.config_dir), *args]


@pytest.mark.integration
def test_a_new_kind_of_process_takes_one_file_and_one_line(short_dir: Path) -> None:
    daemon = DaemonWithToys(short_dir, redis={"enabled": False}, inference={"engine": "motion"})
    try:
        daemon.start()
        status = daemon.wait_for(
            lambda s: all(w["status"].get("plays") for w in s["workers"] if w["role"] == "toy"),
            20,
            "the toys",
        )
        toys = [w for w in status["workers"] if w["role"] == "toy"]
        assert [(toy["name"], toy["state"], toy["restarts"]) for toy in toys] == [
            ("toy-0", "ready", 0),
            ("toy-1", "ready", 0),
        ]
        daemon.kill_worker("toy-1")
        daemon.wait_for(lambda _: daemon.worker("toy-1")["restarts"] == 1, 20, "its restart")
        daemon.wait_for(lambda _: daemon.worker("toy-1")["state"] == "ready", 20, "its successor")
        assert daemon.stop() == 0
        rev = status["config_rev"]
        assert (daemon.state_dir / "toy-0").read_text().splitlines() == [f"told {rev}", "stopped"]
        assert (daemon.state_dir / "toy-1").read_text().splitlines() == [f"told {rev}"] * 2 + ["stopped"]
    finally:
        daemon.kill()
