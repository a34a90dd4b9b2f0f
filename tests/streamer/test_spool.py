"""The spool of unacknowledged batches: its clauses, torn tails, flipped bits and a killed writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamer.ipc.messages import Batch, EventRecord
from streamer.ipc.spool import Outbox

MAX_BYTES = 1 << 20


def record(camera: str, seq: int) -> EventRecord:
    return EventRecord(camera, seq, "streamer.line.crossed.v1", "door", 1, seq, seq, seq, 1.0, 1, {"n": seq})


def batch(number: int, *seqs: int, camera: str = "gate") -> Batch:
    return Batch("infer-0", number, tuple(record(camera, seq) for seq in seqs))


def numbers(outbox: Outbox) -> list[int]:
    return [b.number for b in outbox.pending()]


def filled(path: Path, count: int) -> Outbox:
    outbox = Outbox(path, MAX_BYTES)
    for number in range(1, count + 1):
        assert outbox.append(batch(number, number))
    return outbox


def test_what_was_appended_is_pending_until_it_is_acknowledged(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "o", 4)
    assert numbers(outbox) == [1, 2, 3, 4]
    assert outbox.ack(2) == 2
    assert numbers(outbox) == [3, 4]
    assert outbox.oldest == 3
    assert {b.oldest for b in outbox.pending()} == {3}


def test_a_successor_finds_what_its_predecessor_had_handed_over(tmp_path: Path) -> None:
    first = filled(tmp_path / "o", 3)
    before = first.pending()
    second = Outbox(tmp_path / "o", MAX_BYTES)  # the first was killed: nothing was closed
    assert second.pending() == before
    assert second.next_number == 4
    assert second.last_seqs() == {"gate": 3}


def test_the_file_is_cut_when_all_is_acknowledged_and_numbers_go_on(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "o", 50)
    outbox.ack(50)
    assert (tmp_path / "o").stat().st_size == 20
    successor = Outbox(tmp_path / "o", MAX_BYTES)
    assert (numbers(successor), successor.next_number) == ([], 51)


def test_an_acknowledgement_for_numbers_never_given_out_releases_nothing(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "o", 2)
    assert outbox.ack(99) == 0
    assert numbers(outbox) == [1, 2]


def test_a_batch_out_of_turn_is_refused(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "o", 1)
    with pytest.raises(ValueError, match="the next is 2"):
        outbox.append(batch(5, 5))


def test_an_overflow_is_refused_and_room_returns_with_acknowledgements(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", 400)
    sent = 0
    while outbox.append(batch(sent + 1, sent + 1)):
        sent += 1
    assert sent > 1
    outbox.ack(1)
    assert outbox.append(batch(sent + 1, sent + 1))
    assert numbers(outbox) == list(range(2, sent + 2))


def test_every_torn_tail_leaves_the_whole_records_before_it(tmp_path: Path) -> None:
    filled(tmp_path / "whole", 3)
    raw = (tmp_path / "whole").read_bytes()
    ends = [20]
    for number in (1, 2, 3):
        one = Outbox(tmp_path / f"n{number}", MAX_BYTES)
        for n in range(1, number + 1):
            one.append(batch(n, n))
        ends.append((tmp_path / f"n{number}").stat().st_size)
    for cut in range(len(raw)):
        path = tmp_path / "torn"
        path.write_bytes(raw[:cut])
        whole = max((i for i, end in enumerate(ends) if end <= cut), default=0)
        outbox = Outbox(path, MAX_BYTES)
        assert numbers(outbox) == list(range(1, whole + 1)), f"cut at byte {cut}"
        assert outbox.append(batch(outbox.next_number, 9))  # and it can be written on
        assert len(Outbox(path, MAX_BYTES).pending()) == whole + 1
        outbox.close()


def test_no_flipped_byte_invents_a_batch(tmp_path: Path) -> None:
    whole = filled(tmp_path / "o", 3).pending()
    raw = bytearray((tmp_path / "o").read_bytes())
    for at in range(20, len(raw)):
        raw[at] ^= 0xFF
        (tmp_path / "o").write_bytes(raw)
        raw[at] ^= 0xFF
        survived = Outbox(tmp_path / "o", MAX_BYTES).pending()
        assert survived == whole[: len(survived)], f"byte {at} flipped"
        assert len(survived) < 3


def test_a_long_run_that_is_never_quite_acknowledged_keeps_a_small_file(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "o", 1)
    for _ in range(20_000):
        outbox.append(batch(outbox.next_number, outbox.next_number))
        outbox.ack(outbox.next_number - 2)  # one is always left
    assert (tmp_path / "o").stat().st_size < 2 << 20
    assert Outbox(tmp_path / "o", MAX_BYTES).pending()[-1].number == outbox.next_number - 1


WRITER = """
import sys
from pathlib import Path
from streamer.ipc.spool import Outbox
sys.path.insert(0, sys.argv[2])
from tests.streamer.test_spool import batch
outbox = Outbox(Path(sys.argv[1]), 1 << 26)
while True:
    number = outbox.next_number
    outbox.append(batch(number, number))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_what_a_killed_writer_said_it_had_appended_is_there(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    for turn in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "o"), root],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert writer.stdout is not None
        said = int(writer.stdout.readline())
        time.sleep(0.01 * turn)
        writer.send_signal(signal.SIGKILL)
        said = max(
            [
                said,
                *(int(line) for line in writer.stdout.read().splitlines(keepends=True) if line[-1] == "\n"),
            ]
        )
        writer.stdout.close()
        writer.wait()
        outbox = Outbox(tmp_path / "o", 1 << 26)
        assert numbers(outbox)[:said] == list(range(1, said + 1))
        outbox.close()
