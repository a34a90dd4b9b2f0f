"""The ring's protocol, clause by clause (streamer/ipc/frame_ring.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamer.errors import StorageError
from streamer.ipc.frame_ring import MAPPED_RINGS, RingMemory, RingReader, RingWriter

SLOTS, WIDTH, HEIGHT = 4, 64, 36


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "cam.1"
    RingMemory.create(path, SLOTS, WIDTH, HEIGHT)
    return path


def attached(path: Path) -> RingWriter:
    return RingWriter(RingMemory.attach(path, SLOTS, WIDTH, HEIGHT), generation=1)


def test_clause_1_memory_is_reserved_when_the_ring_is_made_and_private(ring: Path) -> None:
    found = ring.stat()
    assert found.st_size == SLOTS * WIDTH * HEIGHT * 3
    assert found.st_blocks * 512 >= found.st_size
    assert found.st_mode & 0o777 == 0o600


def test_clause_1_no_room_is_an_error_that_names_the_size_and_leaves_nothing() -> None:
    full = Path("/dev/shm") / f"streamer-test-{os.getpid()}"
    with pytest.raises(StorageError, match=r"a ring of 1000000 frames of 3840x2160 needs 24883200\.0 MB"):
        RingMemory.create(full, 1_000_000, 3840, 2160)
    assert not full.exists()


def test_clause_3_what_the_writer_put_into_a_slot_is_what_the_reader_sees(ring: Path) -> None:
    writer = attached(ring)
    slot = writer.acquire()
    assert slot is not None
    writer.memory.slot(slot)[:] = 77
    writer.lease(slot)
    assert (RingReader().view(str(ring), slot, WIDTH, HEIGHT) == 77).all()


def test_clause_3_a_slot_that_is_out_is_never_given_to_the_writer_again(ring: Path) -> None:
    writer = attached(ring)
    out = set()
    for _ in range(SLOTS):
        slot = writer.acquire()
        assert slot is not None
        assert slot not in out
        writer.lease(slot)
        out.add(slot)
    assert writer.acquire() is None
    assert writer.leased == SLOTS


@pytest.mark.parametrize(
    ("generation", "leases", "free"),
    [
        (1, (1,), 1),  # as it should be
        (1, (1, 1), 1),  # twice in one message
        (0, (1,), 0),  # of a generation that has gone
        (2, (1,), 0),  # of one that has not come
        (1, (99,), 0),  # never handed over
        (1, (), 0),
    ],
)
def test_clause_4_only_what_was_handed_over_comes_back_and_once(
    ring: Path, generation: int, leases: tuple[int, ...], free: int
) -> None:
    writer = attached(ring)
    for _ in range(SLOTS):
        slot = writer.acquire()
        assert slot is not None
        writer.lease(slot)
    writer.release(generation, leases)
    writer.release(generation, leases)
    assert SLOTS - writer.leased == free


def test_clause_4_a_lease_given_back_again_late_does_not_free_the_slot_that_is_out_on_another(
    ring: Path,
) -> None:
    writer = attached(ring)
    first = writer.next_lease
    writer.lease(slot := one_free(writer))
    writer.release(1, (first,))
    writer.lease(slot)
    writer.release(1, (first,))
    assert writer.leased == 1
    assert one_free(writer) != slot


def test_clause_5_an_announcement_that_comes_twice_or_late_changes_nothing(ring: Path) -> None:
    writer = attached(ring)
    writer.reclaim(generation=3)
    writer.lease(one_free(writer))
    writer.reclaim(generation=3)
    writer.reclaim(generation=2)
    assert (writer.leased, writer.generation) == (1, 3)


def one_free(writer: RingWriter) -> int:
    slot = writer.acquire()
    assert slot is not None
    return slot


def test_clause_5_a_reclaim_frees_every_slot_and_old_returns_change_nothing(ring: Path) -> None:
    writer = attached(ring)
    first = writer.acquire()
    assert first is not None
    writer.lease(first)
    writer.reclaim(generation=2)
    assert writer.leased == 0
    again = writer.acquire()
    assert again is not None
    writer.lease(again)
    writer.release(1, (1, 2))
    assert writer.leased == 1


def test_clause_6_a_reader_of_an_unlinked_ring_may_finish(ring: Path) -> None:
    writer = attached(ring)
    writer.memory.slot(0)[:] = 5
    view = RingReader().view(str(ring), 0, WIDTH, HEIGHT)
    ring.unlink()
    writer.memory.slot(0)[:] = 6
    assert (view == 6).all()


def test_a_ring_that_is_gone_or_too_small_is_refused(tmp_path: Path, ring: Path) -> None:
    with pytest.raises(StorageError, match="cannot map"):
        RingMemory.attach(tmp_path / "none", SLOTS, WIDTH, HEIGHT)
    with pytest.raises(StorageError, match="was announced"):
        RingMemory.attach(ring, SLOTS + 1, WIDTH, HEIGHT)


def test_a_reader_lets_go_of_an_unlinked_ring_that_it_has_not_used_for_a_while(
    tmp_path: Path, ring: Path
) -> None:
    reader = RingReader()
    other = tmp_path / "other.1"
    RingMemory.create(other, SLOTS, WIDTH, HEIGHT)
    reader.view(str(ring), 0, WIDTH, HEIGHT)
    reader.view(str(other), 0, WIDTH, HEIGHT)
    reader.tidy()
    ring.unlink()
    reader.view(str(ring), 0, WIDTH, HEIGHT)  # a frame that was on its way
    reader.tidy()
    assert set(reader._rings) == {str(ring), str(other)}
    reader.tidy()
    assert set(reader._rings) == {str(other)}


def test_a_reader_forgets_the_rings_it_used_longest_ago(tmp_path: Path) -> None:
    reader = RingReader()
    for number in range(MAPPED_RINGS + 5):
        path = tmp_path / f"cam.{number}"
        RingMemory.create(path, 1, 8, 8)
        reader.view(str(path), 0, 8, 8)
    assert len(reader._rings) == MAPPED_RINGS
