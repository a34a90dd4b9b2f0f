"""When inference waits for a core, and when capture spares decoding for it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamer.ipc.growth import WINDOW_S
from streamer.workers.capture.overload import CALM_S, Overload
from streamer.workers.core_wait import CoreWait


@dataclass
class Asked:
    due_frames: int = 0
    missed_frames: int = 0
    infer_short: bool = False


class Process:
    """Two cameras, a second at a time."""

    def __init__(self) -> None:
        self.cameras = [Asked(), Asked()]
        self.overload = Overload()
        self.at_s = 100.0
        self.overload.read(self.cameras, self.at_s)

    def passes(self, seconds: float, missed: int, short: bool) -> bool:
        """So many of each camera's ten frames a second are missed."""
        for _ in range(round(seconds)):
            self.at_s += 1.0
            for camera in self.cameras:
                camera.due_frames += 10
                camera.missed_frames += missed
                camera.infer_short = short
            self.overload.read(self.cameras, self.at_s)
        return self.overload.is_on()


def test_it_is_on_when_frames_are_missed_and_inference_waits() -> None:
    process = Process()
    assert not process.passes(5, missed=0, short=False)
    assert process.passes(5, missed=3, short=True)


@pytest.mark.parametrize(("missed", "short"), [(5, False), (0, True)], ids=["slow detector", "busy box"])
def test_one_sign_alone_says_nothing(missed: int, short: bool) -> None:
    assert not Process().passes(3 * WINDOW_S, missed, short)


def test_it_is_over_a_minute_after_the_last_sign() -> None:
    process = Process()
    process.passes(5, missed=3, short=True)
    assert process.passes(CALM_S - 2, missed=0, short=False)
    assert not process.passes(WINDOW_S + 4, missed=0, short=False)


def test_a_camera_that_goes_is_no_sign() -> None:
    process = Process()
    process.passes(2 * WINDOW_S, missed=3, short=False)
    process.cameras.pop()
    assert not process.passes(1, missed=3, short=True)


def test_a_process_without_cameras_is_not_short() -> None:
    overload = Overload()
    overload.read([], 1.0)
    overload.read([], 2.0)
    assert not overload.is_on()


def stat(tasks: Path, thread: int, ran_ms: int, waited_ms: int) -> None:
    (tasks / str(thread)).mkdir(exist_ok=True)
    (tasks / str(thread) / "schedstat").write_text(f"{ran_ms}000000 {waited_ms}000000 7\n")


def test_threads_that_wait_half_as_long_as_they_run_are_short_of_cores(tmp_path: Path) -> None:
    cores = CoreWait(tmp_path)
    stat(tmp_path, 1, 5000, 9000)  # long ago
    stat(tmp_path, 2, 0, 0)
    cores.read(100.0)
    stat(tmp_path, 1, 5300, 9100)
    stat(tmp_path, 2, 300, 100)
    cores.read(101.0)
    assert not cores.short
    stat(tmp_path, 2, 600, 400)
    cores.read(102.0)
    assert cores.short
    for at_s in range(103, 116):  # all have what they need since
        stat(tmp_path, 1, 5300 + 100 * (at_s - 102), 9100)
        cores.read(float(at_s))
    assert not cores.short


def test_a_kernel_that_counts_nothing_says_nothing(tmp_path: Path) -> None:
    cores = CoreWait(tmp_path / "none")
    cores.read(1.0)
    cores.read(2.0)
    assert not cores.short
    stat(tmp_path, 1, 0, 0)
    cores = CoreWait(tmp_path)
    cores.read(1.0)
    stat(tmp_path, 1, 900, 0)
    cores.read(2.0)
    assert not cores.short


def test_who_has_no_descriptor_left_learns_nothing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_cores: CoreWait) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(CoreWait, "_times_ns", refused)
    cores = CoreWait(tmp_path)
    cores.read(1.0)
    assert not cores.short


def test_this_process_s_own_threads_are_read() -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("needs root: a kernel that counts waiting")
    ran_ns, _ = CoreWait()._times_ns()
    assert ran_ns > 0
