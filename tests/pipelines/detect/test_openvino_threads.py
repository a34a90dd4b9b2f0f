"""OpenVINO's threads go where there is room."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.values import Frame, Stamp


def cores_of_threads() -> set[frozenset[int]]:
    return {frozenset(os.sched_getaffinity(int(task.name))) for task in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_no_thread_is_held_on_a_core(tmp_path: Path) -> None:
    """One thread was held on the first core, and so was that of the next worker."""
    usual = {frozenset(os.sched_getaffinity(0))}
    detector = create_detector("openvino", PACKAGED_MODEL, threads=1, cache_dir=tmp_path)
    image = np.zeros((360, 640, 3), np.uint8)
    for number in range(3):
        ticket = detector.submit([Frame(Stamp("a", 1, number, 0, 0, 0), image)])
        assert cores_of_threads() == usual
        detector.collect(ticket)
        assert cores_of_threads() == usual
