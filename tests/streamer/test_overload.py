"""When a capture process says that it has too little of the processor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from streamer.workers.capture.overload import CALM_S, WINDOW_S, Overload


@dataclass
class Asked:
    due_frames: int = 0
    missed_frames: int = 0


class Process:
    """Two cameras and two threads, a second at a time."""

    def __init__(self, tasks: Path) -> None:
        self.tasks = tasks
        self.cameras = [Asked(), Asked()]
        self.overload = Overload(tasks)
        self.at_s = 100.0
        self.ns = {1: [0, 0], 2: [0, 0]}
        self._write()

    def _write(self) -> None:
        for thread, (ran_ns, waited_ns) in self.ns.items():
            (self.tasks / str(thread)).mkdir(exist_ok=True)
            (self.tasks / str(thread) / "schedstat").write_text(f"{ran_ns} {waited_ns} 7\n")

    def passes(self, seconds: float, missed: int, waited: float) -> bool:
        """So many of each camera's ten frames a second are missed, and its threads wait so much longer than
        they run."""
        for _ in range(round(seconds)):
            self.at_s += 1.0
            for camera in self.cameras:
                camera.due_frames += 10
                camera.missed_frames += missed
            for times in self.ns.values():
                times[0] += 300_000_000
                times[1] += int(300_000_000 * waited)
            self._write()
            self.overload.read(self.cameras, self.at_s)
        return self.overload.is_on()


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_it_is_short_when_frames_are_missed_and_its_threads_wait(process: Process) -> None:
    assert not process.passes(5, missed=0, waited=0.1)
    assert process.passes(5, missed=3, waited=1.5)


@pytest.mark.parametrize(("missed", "waited"), [(5, 0.1), (0, 3.0)], ids=["slow detector", "busy box"])
def test_one_sign_alone_says_nothing(process: Process, missed: int, waited: float) -> None:
    assert not process.passes(3 * WINDOW_S, missed, waited)


def test_it_is_over_a_minute_after_the_last_sign(process: Process) -> None:
    process.passes(5, missed=3, waited=1.5)
    assert process.passes(CALM_S - 2, missed=0, waited=0.1)
    assert not process.passes(WINDOW_S + 4, missed=0, waited=0.1)


def test_a_camera_that_goes_and_a_kernel_that_counts_nothing_are_no_sign(process: Process) -> None:
    process.passes(5, missed=3, waited=0.1)
    process.cameras.pop()
    assert not process.passes(1, missed=3, waited=1.5)
    for thread in process.ns:
        (process.tasks / str(thread) / "schedstat").unlink()
    process.tasks = process.tasks / "none"
    process.overload = Overload(process.tasks)
    process.overload.read(process.cameras, process.at_s)
    process.cameras[0].due_frames += 10
    process.cameras[0].missed_frames += 10
    process.overload.read(process.cameras, process.at_s + 1)
    assert not process.overload.is_on()


def test_a_process_without_cameras_is_not_short(tmp_path: Path) -> None:
    overload = Overload(tmp_path)
    overload.read([], 1.0)
    overload.read([], 2.0)
    assert not overload.is_on()
