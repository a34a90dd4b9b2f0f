"""What the supervisor gives out: a ring, a generation and an epoch, or none of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.daemon.shared_memory import SharedState
from streamer.errors import StorageError


@pytest.fixture
def shared(runtime_dir: Path, state_dir: Path) -> Iterator[SharedState]:
    found = SharedState(runtime_dir, state_dir)
    yield found
    found.close()


def rings(shared: SharedState) -> list[str]:
    return sorted(path.name for path in shared.folder.glob("gate.*"))


def test_an_epoch_that_cannot_be_written_down_is_not_begun_and_its_ring_goes_back(
    shared: SharedState, state_dir: Path
) -> None:
    shutil.rmtree(state_dir)
    state_dir.write_text("no folder: nothing can be written into it")
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot be written"):
            shared.allocate_ring("gate", 4, 64, 36, 1)
        assert (shared.epoch("gate"), rings(shared)) == (0, [])
    state_dir.unlink()
    ring = shared.allocate_ring("gate", 4, 64, 36, 1)
    assert (ring.epoch, rings(shared)) == (1, [Path(ring.path).name])


def test_generations_rise_also_over_grants_that_failed(shared: SharedState, state_dir: Path) -> None:
    first = shared.allocate_ring("gate", 4, 64, 36, 1).generation
    shutil.rmtree(state_dir)
    state_dir.write_text("")
    with pytest.raises(StorageError):
        shared.allocate_ring("gate", 4, 64, 36, 2)
    state_dir.unlink()
    assert shared.allocate_ring("gate", 4, 64, 36, 3).generation > first
