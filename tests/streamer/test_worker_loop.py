"""The life of a worker: an error is one line and its exit code, wherever in the life it comes."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import ConfigError, Exit, StorageError, StreamerError
from streamer.ipc.bus import Bus
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.workers.capture import worker as capture
from streamer.workers.deliver import worker as deliver
from streamer.workers.infer import worker as infer
from streamer.workers.infer.event_sequencer import EventSequencer
from streamer.workers.loop import Worker, run

CREATE: dict[str, Callable[[str, Path, Path, Path], Worker]] = {
    "capture": capture.create,
    "infer": infer.create,
    "deliver": deliver.create,
}
PARTS = ((Bus, "watch"), (Bus, "serve"), (Bus, "connect"), (EventSequencer, "__init__"))


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def fail_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> list[str]:
    """Let the `nth` of the parts that open() makes have no room; returns which were asked for."""
    asked: list[str] = []

    def breaking(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def part(*args: Any, **kwargs: Any) -> Any:
            asked.append(name)
            if len(asked) == nth + 1:
                raise StorageError("no room")
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, part)

    for owner, name in PARTS:
        breaking(owner, name)
    return asked


@pytest.mark.parametrize("nth", range(6))
@pytest.mark.parametrize("role", CREATE)
def test_a_worker_that_cannot_open_says_why_in_one_line_and_leaves_with_its_code(
    role: str, nth: int, short_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    FrameCounters.create(short_dir / COUNTERS_FILE)
    asked = fail_at(monkeypatch, nth)
    worker = CREATE[role](role, short_dir, short_dir, short_dir)
    worker.stopping = True  # where open() has fewer parts than that
    caplog.set_level(logging.ERROR)
    code = run(worker, lambda: None)
    reached = len(asked) > nth
    assert code == (Exit.STORAGE if reached else Exit.OK)
    assert [record.message for record in caplog.records] == (["no room"] if reached else [])


def test_an_error_of_the_close_is_told_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        stopping = True

        def __init__(self, first: StreamerError | None = None) -> None:
            self.first = first

        def open(self) -> None:
            if self.first is not None:
                raise self.first

        def step(self) -> None: ...

        def close(self) -> None:
            raise StorageError("cannot be written back")

    assert run(Failing(), lambda: None) == Exit.STORAGE
    assert "cannot be written back" in caplog.text
    caplog.clear()
    assert run(Failing(ConfigError("not understood")), lambda: None) == Exit.CONFIG
    assert [r.message for r in caplog.records] == ["not understood", "cannot be written back"]
