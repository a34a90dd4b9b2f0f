"""Checkpoints of cameras: whole or not at all, and a damaged one is not believed."""

from __future__ import annotations

import os
import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.ipc.atomic_write import write_whole
from streamer.ipc.messages import Batch, EventRecord
from streamer.ipc.spool import Outbox
from streamer.workers.infer.checkpoint_file import VERSION, Checkpoints

BIG: dict[str, Any] = {"tracks": [[i / 7] * 20 for i in range(200)]}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files may grow to so many bytes: a write across that is a short one, and the next fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for state in (BIG, {"a": 1}, BIG):
        checkpoints.write("gate", state)
        assert checkpoints.read("gate") == state
    assert checkpoints.read("yard") is None
    assert checkpoints.failed == 0


def test_a_write_that_is_cut_short_leaves_the_checkpoint_before_it_and_is_counted(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write("gate", {"a": 1})
    with room_for(5000), pytest.raises(OSError, match="too large"):
        checkpoints.write("gate", BIG)
    assert checkpoints.read("gate") == {"a": 1}
    assert checkpoints.failed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-gate"]  # its part takes no room
    checkpoints.write("gate", BIG)
    assert checkpoints.read("gate") == BIG


@pytest.mark.parametrize("at", [0, 5, 40, 2000, -1])
def test_a_damaged_checkpoint_is_none_and_is_told(
    tmp_path: Path, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write("gate", BIG)
    path = tmp_path / "checkpoint-gate"
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    assert checkpoints.read("gate") is None
    assert "camera gate: its checkpoint is damaged" in caplog.text


@pytest.mark.parametrize("content", [{"version": VERSION}, {"version": VERSION + 1, "state": {}}, [], "x"])
def test_another_format_is_none(tmp_path: Path, content: object) -> None:
    payload = msgspec.msgpack.encode(content)
    (tmp_path / "checkpoint-gate").write_bytes(struct.pack("<I", zlib.crc32(payload)) + payload)
    assert Checkpoints(tmp_path).read("gate") is None


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:7], at))
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write_whole(fd, bytes(range(100)))
    write_whole(fd, b"z" * 20, 90)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == bytes(range(90)) + b"z" * 20


def test_a_spool_without_room_to_be_shortened_goes_on_serving(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "spool", 8 << 20)
    event = EventRecord("gate", 1, "t", "", 1, 1, 0, 0, 0.0, 1, {"text": "x" * (700 << 10)})
    for number in (1, 2, 3):
        assert outbox.append(Batch("w", number, (event,)))
    (tmp_path / "spool.new").mkdir()  # no file can be made under this name
    assert outbox.ack(2) == 2
    assert [batch.number for batch in outbox.pending()] == [3]
    outbox.close()
    again = Outbox(tmp_path / "spool", 8 << 20)
    assert [batch.number for batch in again.pending()] == [1, 2, 3]
    again.close()
