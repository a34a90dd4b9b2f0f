"""Case 40: faults one after another, and the books balance: the short form of `make soak`.

It strikes what no other test of this folder strikes together: workers of each kind killed, a Redis wiped
while the other goes on, and a broken configuration, all within one daemon's life.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamer.events.cloudevents import EventId
from tests.faults.soak import books, report
from tests.faults.soak.box import Box
from tests.faults.soak.run import FAULTS, Soak
from tests.faults.soak.slope import Growth
from tests.faults.soak.watch import Watch

SHORT = ("kill -9 infer", "office wiped", "kill -9 deliver", "bad reload", "kill -9 capture")


@pytest.mark.integration
@pytest.mark.slow
def test_five_faults_one_after_another_break_no_promise(short_dir: Path, redis_binary: str) -> None:
    box = Box(short_dir, redis_binary, seconds=8.0)
    watch = Watch(box, warm_up_s=5.0)
    try:
        outcome = Soak(box, watch, 1, SHORT).run(0.0, 0.0)  # each once
        # Times are for a quiet machine: here every fault must have ended, whenever.
        faults = [fault for fault in report.broken(outcome, watch) if not fault.startswith("recovery from")]
        assert faults == [], report.text(outcome, watch, 1)
        assert {kind for kind, took in outcome.recovery_s.items() if took} >= set(SHORT)
        assert all(n["decoded"] and n["inferred"] for n in watch.frames().values())
    finally:
        box.close()


def test_every_kind_of_fault_has_a_name_of_its_own_and_a_promise() -> None:
    assert len({fault.kind for fault in FAULTS}) == len(FAULTS)
    assert all(fault.recovery_s > 0 for fault in FAULTS)


def test_a_slope_is_that_of_each_process_and_not_of_their_starts() -> None:
    growth, rng = Growth(warm_up_s=60.0), np.random.default_rng(4)
    for pid in range(5):  # each grows by 3 MB an hour, and begins anew with another size
        start_mb = rng.uniform(50, 200)
        for second in range(0, 1200, 10):
            warming_mb = min(second, 60)
            growth.add("infer", pid, pid * 1200.0 + second, start_mb + warming_mb + 3 * second / 3600)
    slope = growth.slopes()["infer"]
    assert slope.per_hour == pytest.approx(3.0, abs=0.01)
    assert slope.longest_s == pytest.approx(1130, abs=1)
    assert "deliver" not in growth.slopes()


def test_readings_while_something_large_was_in_hand_are_no_slope_and_growth_in_steps_is() -> None:
    growth, rng = Growth(warm_up_s=0.0), np.random.default_rng(5)
    for second in range(0, 1200, 2):
        noise_mb = rng.uniform(-0.5, 0.5)  # what happens to be in hand at that moment
        growth.add("in hand", 1, second, 60.0 + 20.0 * (second % 400 > 360) + noise_mb)
        growth.add("in steps", 2, second, 60.0 + 0.5 * (second // 150) + noise_mb)  # 12 MB an hour
    slopes = {kind: slope.per_hour for kind, slope in growth.slopes().items()}
    assert abs(slopes["in hand"]) < report.MAX_MB_PER_HOUR
    assert slopes["in steps"] == pytest.approx(12.0, rel=0.2)


def test_the_slope_of_a_long_life_is_that_of_all_its_samples() -> None:
    growth = Growth(warm_up_s=600.0)
    for second in range(0, 24 * 3600, 20):
        growth.add("infer", 1, second, 60.0 + 2 * second / 3600)
    slope = growth.slopes()["infer"]
    assert slope.per_hour == pytest.approx(2.0, abs=0.01)
    assert slope.observed_s == 24 * 3600 - 20 - 600


@pytest.mark.parametrize(
    ("found", "max_len", "wanted"),
    [(10, 1000, 10), (9, 1000, 10), (5, 4, 5), (3, 4, 4)],
    ids=["whole", "one lost", "trimmed to about what was asked", "trimmed too far"],
)
def test_a_redis_that_trims_has_the_newest_events_and_no_fewer_than_it_was_told(
    found: int, max_len: int, wanted: int
) -> None:
    ids = [EventId(1, seq) for seq in range(1, 11)]
    assert books.kept(ids, found, max_len) == ids[-wanted:]


@pytest.mark.parametrize("command", ["tests.faults.soak", "tests.faults.soak.kills"])
def test_the_long_forms_can_be_started(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
