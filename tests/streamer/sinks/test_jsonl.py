"""The file of events: nothing twice and nothing lost over crashes, rotation, full disks and other hands."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.messages import SinkAssignment
from streamer.sinks import rotated_files
from streamer.sinks.base import SinkError
from streamer.sinks.jsonl import JsonlSettings, JsonlSink
from tests.faults.delivery_rig import Rig

LINEAGE = 1_700_000_000_000


def events(first: int, last: int, camera: str = "gate", size: int = 10) -> list[StoredEvent]:
    return [
        StoredEvent(
            camera,
            EventId(LINEAGE, seq),
            "streamer.track.ended.v1",
            f'{{"specversion":"1.0","id":"n/{camera}/{LINEAGE}/{seq}","data":"{"x" * size}"}}',
            None,
            None,
        )
        for seq in range(first, last + 1)
    ]


def sink_at(path: Path, max_bytes: int = 1 << 20, files: int = 3) -> JsonlSink:
    sink = JsonlSink(JsonlSettings(kind="jsonl", name="jsonl", path=path, files=files), "n", "")
    sink._max_bytes = max_bytes
    return sink


def aged(path: Path, hours: float) -> None:
    """As if this had been written so long ago."""
    at_s = time.time() - hours * 3600
    os.utime(path, (at_s, at_s))


def sink_with(path: Path, **settings: Any) -> JsonlSink:
    return JsonlSink(JsonlSettings(kind="jsonl", name="jsonl", path=path, **settings), "n", "")


def compressed(sink: JsonlSink, path: Path) -> list[int]:
    """The numbers in PATH.1.gz, once it is whole."""
    packed = Path(f"{path}.1.gz")
    for _ in range(100):
        sink.publish({})
        if packed.exists() and not Path(f"{path}.1").exists():
            lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
            return [int(json.loads(line)["id"].rsplit("/", 1)[1]) for line in lines]
    raise AssertionError("was never compressed")


def test_a_file_that_is_old_is_rotated_also_where_no_event_comes(path: Path) -> None:
    sink = sink_with(path, rotate_h=1)
    sink.write("gate", None, events(1, 2))
    sink.publish({})
    assert not Path(f"{path}.1").exists()
    aged(Path(f"{path}.positions"), 1.1)
    sink.publish({})
    assert (seqs(Path(f"{path}.1")), seqs(path)) == ([1, 2], [])
    aged(Path(f"{path}.positions"), 1.1)
    sink.publish({})  # an empty file is never too old
    assert not Path(f"{path}.2").exists()
    sink.close()
    again = sink_with(path, rotate_h=1)
    assert again.positions(["gate"]) == {"gate": EventId(LINEAGE, 2)}
    again.close()


def test_what_was_rotated_is_compressed_and_too_old_files_go(path: Path) -> None:
    sink = sink_with(path, compress=True, keep_days=2, files=3)
    sink._max_bytes = 1000
    sink.write("gate", None, events(1, 20))
    assert compressed(sink, path) == list(range(1, 21))
    sink.write("gate", EventId(LINEAGE, 20), events(21, 40))
    assert compressed(sink, path) == list(range(21, 41))
    assert Path(f"{path}.2.gz").exists()
    aged(Path(f"{path}.2.gz"), 49)
    sink.publish({})
    assert not Path(f"{path}.2.gz").exists()
    assert Path(f"{path}.1.gz").exists()
    assert sink.positions(["gate"]) == {"gate": EventId(LINEAGE, 40)}
    sink.close()


def test_compressing_that_is_cut_begins_anew_and_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotated_files, "SLICE_BYTES", 500)
    sink = sink_with(path, compress=True)
    sink._max_bytes = 1000
    sink.write("gate", None, events(1, 20))
    sink.publish({})
    sink.publish({})
    assert Path(f"{path}.1.gz.part").exists()
    sink.close()  # as at a restart; after a kill the part is written over
    Path(f"{path}.1.gz.part").write_bytes(b"half")
    again = sink_with(path, compress=True)
    assert compressed(again, path) == list(range(1, 21))
    assert not Path(f"{path}.1.gz.part").exists()
    again.close()


def test_no_room_to_compress_holds_up_no_event(path: Path) -> None:
    sink = sink_with(path, compress=True)
    sink._max_bytes = 1000
    sink.write("gate", None, events(1, 20))
    Path(f"{path}.1.gz.part").mkdir()  # it cannot be written
    sink.publish({})
    assert "cannot be compressed" in sink.report()["older_files"]
    assert sink.write("gate", EventId(LINEAGE, 20), events(21, 22)) == EventId(LINEAGE, 22)
    sink.close()


def test_without_fsync_it_says_what_the_file_has(path: Path) -> None:
    sink = sink_with(path, fsync=False)
    sink.write("gate", None, events(1, 4))
    sink.close()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))  # a loss of power
    again = sink_with(path, fsync=False)
    assert again.positions(["gate"]) == {"gate": EventId(LINEAGE, 2)}
    again.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def seqs(*paths: Path, camera: str = "gate") -> list[int]:
    ids = [json.loads(line)["id"].split("/") for path in paths for line in path.read_text().splitlines()]
    return [int(seq) for _, name, _, seq in ids if name == camera]


def refusal(sink: JsonlSink) -> SinkError:
    with pytest.raises(SinkError) as caught:
        sink.positions(["gate"])
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_new_process_goes_on_where_the_file_ends(path: Path) -> None:
    first = sink_at(path)
    first.write("gate", None, events(1, 3))
    first.write("yard", None, events(1, 1, "yard"))
    first.close()
    second = sink_at(path)
    assert second.positions(["gate", "yard"]) == {"gate": EventId(LINEAGE, 3), "yard": EventId(LINEAGE, 1)}
    second.write("gate", EventId(LINEAGE, 3), events(2, 5))
    second.close()
    assert seqs(path) == [1, 2, 3, 4, 5]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("torn", [b'{"spec', b'{"specversion":"1.0","id":"n/gate/17', b"\0" * 512])
def test_a_line_that_a_crash_cut_off_is_removed(path: Path, torn: bytes) -> None:
    first = sink_at(path)
    first.write("gate", None, events(1, 2))
    first.close()
    with path.open("ab") as file:
        file.write(torn)
    sink = sink_at(path)
    assert sink.positions(["gate"]) == {"gate": EventId(LINEAGE, 2)}
    sink.write("gate", EventId(LINEAGE, 2), events(3, 3))
    sink.close()
    assert seqs(path) == [1, 2, 3]


@pytest.mark.parametrize("content", [b"127.0.0.1 localhost\n", b"no line", b'{"id": "x"}\n', b'{"a": 1}\n'])
def test_a_file_of_something_else_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert refusal(sink_at(path)).kind == "refused"
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_what_is_no_regular_file_is_refused(kind: str, path: Path) -> None:
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        path = Path("/dev/full")
    error = refusal(sink_at(path))
    assert error.kind == "refused"
    assert f"{path} is no regular file" in str(error)


def test_full_files_are_numbered_and_the_oldest_goes(path: Path) -> None:
    sink = sink_at(path, max_bytes=2000, files=2)
    at = sink.write("yard", None, events(1, 1, "yard"))
    at = sink.write("gate", None, events(1, 10))
    for first in range(11, 101, 10):
        at = sink.write("gate", at, events(first, first + 9, size=100))
    sink.close()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "events.jsonl",
        "events.jsonl.1",
        "events.jsonl.2",
        "events.jsonl.positions",
    ]
    kept = seqs(path.with_name("events.jsonl.2"), path.with_name("events.jsonl.1"), path)
    assert kept == list(range(kept[0], 101))
    assert kept[0] > 11
    again = sink_at(path)  # of the yard no file says anything any more
    assert again.positions(["gate", "yard"]) == {"gate": EventId(LINEAGE, 100), "yard": EventId(LINEAGE, 1)}
    again.close()


def test_a_file_that_was_taken_away_or_cut_is_filled_again(path: Path) -> None:
    sink = sink_at(path)
    sink.write("gate", None, events(1, 5))
    path.unlink()
    assert sink.positions(["gate"]) == {"gate": None}
    sink.write("gate", None, events(1, 5))
    os.truncate(path, 2 * len(events(1, 1)[0].body) + 2)
    assert sink.positions(["gate"]) == {"gate": EventId(LINEAGE, 2)}
    sink.close()


def test_two_writers_of_one_file_are_refused(path: Path) -> None:
    first = sink_at(path)
    first.write("gate", None, events(1, 1))
    assert "written by another" in str(refusal(sink_at(path)))
    first.close()


def test_a_full_disk_leaves_whole_lines_and_goes_on_once_there_is_room(path: Path) -> None:
    """The kernel refuses writes past a size, as it does on a full disk."""
    sink = sink_at(path)
    sink.write("gate", None, events(1, 3))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))
        with pytest.raises(SinkError) as caught:
            sink.write("gate", EventId(LINEAGE, 3), events(4, 9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.kind == "full"
    assert seqs(path) == [1, 2, 3]
    sink.write("gate", EventId(LINEAGE, 3), events(4, 9))
    sink.close()
    assert seqs(path) == list(range(1, 10))


def test_a_folder_that_is_not_there_is_told_and_waited_for(tmp_path: Path) -> None:
    sink = sink_at(tmp_path / "later" / "events.jsonl")
    assert refusal(sink).kind == "down"
    (tmp_path / "later").mkdir()
    assert sink.positions(["gate"]) == {"gate": None}
    sink.close()


@pytest.fixture
def rig(short_dir: Path) -> Iterator[Rig]:
    rig = Rig(short_dir)
    yield rig
    rig.close()


@pytest.mark.integration
def test_a_delivery_that_is_killed_again_and_again_writes_each_event_once(rig: Rig, short_dir: Path) -> None:
    path = short_dir / "events.jsonl"
    settings = JsonlSettings(kind="jsonl", name="file", path=path, max_mb=1).model_dump_json()
    rig.sinks = (SinkAssignment("jsonl", "file", settings, ""),)
    rig.start_delivery()
    rig.resume()
    chance = random.Random(5)
    for _ in range(8):
        for _ in range(chance.randint(20, 60)):
            rig.count(chance.choice(rig.cameras), chance.randint(1, 3))
            rig.pump(0.002)
        rig.kill_delivery()
        rig.start_delivery()
    rig.until(lambda: not rig.sequencer.unacknowledged)
    rig.until(lambda: rig.status.get("ledger", {}).get("committed") == sum(rig.sent.values()))
    rig.until(lambda: rig.status["ledger"]["undelivered"] == 0)
    files = [file for file in (path.with_name("events.jsonl.1"), path) if file.exists()]
    for camera in rig.cameras:
        assert seqs(*files, camera=camera) == list(range(1, rig.sent[camera] + 1))
