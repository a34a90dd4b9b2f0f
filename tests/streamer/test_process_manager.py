"""What the supervisor knows of its workers, and that it runs as many as there is room for."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.config.schema import CameraConfig, CaptureConfig, Config, InferenceConfig
from streamer.daemon import process_manager as manager_module
from streamer.daemon.process_manager import ProcessManager, WorkerProcess
from streamer.daemon.process_spec import WorkerSpec
from streamer.daemon.topology import PROCESSES, plan
from streamer.ipc.counters import COUNTERS_FILE, MAX_WORKERS, FrameCounters
from streamer.ipc.messages import MAX_CAMERAS

(CAPTURE,) = (process for process in PROCESSES if process.role == "capture")


def specs(count: int) -> dict[str, WorkerSpec]:
    return {f"capture-{i}": WorkerSpec(f"capture-{i}", CAPTURE) for i in range(count)}


@pytest.fixture
def manager(tmp_path: Path) -> ProcessManager:
    return ProcessManager(FrameCounters.create(tmp_path / COUNTERS_FILE), lambda _spec, _beat: ["true"])


def test_every_camera_that_a_daemon_takes_can_have_a_process_of_its_own(manager: ProcessManager) -> None:
    cameras = tuple(CameraConfig(name=f"c{i}", url="synthetic:street") for i in range(MAX_CAMERAS))
    capture, inference = CaptureConfig(cameras_per_worker=1), InferenceConfig(workers=16)
    wanted = plan(Config(cameras=cameras, capture=capture, inference=inference)).workers
    manager.reconcile(wanted)
    assert len(manager.processes) == len(wanted) == MAX_CAMERAS + 18


def test_more_workers_than_there_is_room_for_wait_until_others_have_gone(
    manager: ProcessManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessManager, "_start", lambda _manager, _process: None)
    wanted = specs(MAX_WORKERS + 2)
    manager.reconcile(wanted)
    manager.tick()
    assert len(manager.processes) == MAX_WORKERS
    assert [record.getMessage() for record in caplog.records] == [
        f"capture-{MAX_WORKERS} waits: a daemon runs {MAX_WORKERS} workers at most"
    ]
    del wanted["capture-0"], wanted["capture-1"]
    manager.reconcile(wanted)
    manager.reap()
    manager.tick()
    assert manager.processes.keys() == wanted.keys()
    assert manager_module.MAX_WORKERS == MAX_WORKERS


def test_a_camera_is_held_by_the_process_that_was_last_told_to_capture_it(tmp_path: Path) -> None:
    manager = ProcessManager(FrameCounters.create(tmp_path / COUNTERS_FILE), lambda _spec, _beat: [])
    captured = {"capture-0": ("a", "b"), "capture-1": (), "capture-2": ("c",)}
    for beat, (name, cameras) in enumerate(captured.items()):
        manager.processes[name] = WorkerProcess(WorkerSpec(name, CAPTURE, cameras), beat)
    manager.processes["capture-0"].holds = frozenset("a")
    manager.processes["capture-1"].holds = frozenset("b")  # it is to go, and has not gone
    manager.processes["capture-1"].stop_by_s = 1e9
    assert manager.held_by_others(WorkerSpec("capture-0", CAPTURE)) == {"b"}
    assert manager.held_by_others(WorkerSpec("capture-2", CAPTURE)) == {"a", "b"}
