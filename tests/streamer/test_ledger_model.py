"""The ledger as a state machine: commits, deaths at any moment, sinks that come and go, pruning, replay.

A model in memory says what must be there. The ledger dies by being dropped in the middle of a transaction,
or its files are copied as they lie on the disk at that moment, as after a power loss, and the copy goes on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from streamer.events.cloudevents import EventId
from streamer.ipc.messages import EventRecord
from streamer.ledger import Committed, Ledger, LedgerReader
from tests.fuzzing import examples

CAMERAS = ("gate", "yard")
SINKS = ("redis", "file")
NOW_NS = 1_700_000_000_000_000_000
NS_PER_DAY = 86_400_000_000_000
CAMERA = st.sampled_from(CAMERAS)


def crossing(camera: str, seq: int, at_ns: int) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq}
    return EventRecord(camera, seq, "streamer.line.crossed.v1", "door", 1, seq, seq, at_ns, 1.0, 1, data)


class LedgerMachine(RuleBasedStateMachine):
    ledger_class = Ledger

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="st-ledger-"))
        self.now_ns, self.copies = NOW_NS, 0
        self.times: dict[str, list[int]] = {camera: [] for camera in CAMERAS}  # of event seq - 1
        self.ids: dict[str, list[EventId]] = {camera: [] for camera in CAMERAS}
        self.cursors = {(sink, camera): 0 for sink in SINKS for camera in CAMERAS}
        self.delivered = dict.fromkeys(CAMERAS, 0)
        self.open_at(self.folder / "ledger.sqlite")

    def open_at(self, path: Path) -> None:
        self.ledger = self.ledger_class(
            path, "node-1", max_bytes=8 << 20, retention_days=1.0, now_ns=lambda: self.now_ns
        )
        self.ledger.replace_sinks(SINKS)
        self.reader = LedgerReader(path)

    # ---- what happens

    @rule(camera=CAMERA, count=st.integers(1, 5), again=st.integers(0, 3))
    def commit(self, camera: str, count: int, again: int) -> None:
        """With some that were sent before, since no acknowledgement came."""
        times = self.times[camera]
        first = max(1, len(times) + 1 - again)
        repeated = [crossing(camera, seq, times[seq - 1]) for seq in range(first, len(times) + 1)]
        new = [crossing(camera, len(times) + n, self.now_ns + n) for n in range(1, count + 1)]
        done = self.ledger.commit([*repeated, *new])
        assert (done.stored, done.repeated, done.conflicts, done.missing) == (count, len(repeated), 0, 0)
        times += [record.captured_ns for record in new]
        self.ids[camera] += [EventId(self.ledger.lineage, record.seq) for record in new]

    @rule(camera=CAMERA, sink=st.sampled_from(SINKS), share=st.floats(0, 1))
    def a_sink_gets_on(self, camera: str, sink: str, share: float) -> None:
        """Or back, as when it was emptied: it says itself where it stands."""
        seq = round(share * len(self.times[camera]))
        self.ledger.mark({sink: {camera: seq}})
        if self.times[camera]:
            self.cursors[sink, camera] = seq

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now_ns += hours * NS_PER_DAY // 24
        self.ledger.tick()

    @rule()
    def is_closed_and_opened(self) -> None:
        self.reader.close()
        self.ledger.close()
        self.open_at(self.ledger.path)

    @rule()
    def begins_a_new_lineage(self) -> None:
        """Of what some sink has not got, too: it is told again, under ids that are ahead of what it holds."""
        lineage = self.ledger.new_lineage("a sink is ahead")
        for camera in CAMERAS:
            delivered = min(self.cursors[sink, camera] for sink in SINKS)
            places = self.ids[camera]
            places[delivered:] = [EventId(lineage, place.seq) for place in places[delivered:]]

    @rule(camera=CAMERA)
    def dies_in_the_middle_of_a_commit(self, camera: str) -> None:
        """What was not committed is gone, as if it had not been begun."""
        self.reader.close()
        self.ledger._db.execute("BEGIN IMMEDIATE")
        row = self.ledger._camera(camera)
        self.ledger._entries.insert(row, crossing(camera, row.last_seq + 1, self.now_ns), 1)
        self.ledger._db.close()
        self.open_at(self.ledger.path)

    @precondition(lambda self: self.copies < 4)
    @rule()
    def loses_power(self) -> None:
        """The file and its WAL as they are on the disk, without the -shm, which is memory."""
        self.copies += 1
        path = self.folder / f"copy-{self.copies}.sqlite"
        for suffix in ("", "-wal"):
            if (part := Path(f"{self.ledger.path}{suffix}")).exists():
                shutil.copy(part, f"{path}{suffix}")
        self.reader.close()
        self.ledger._db.close()
        self.open_at(path)

    # ---- what holds

    @invariant()
    def no_number_is_given_out_twice(self) -> None:
        for camera in CAMERAS:
            assert self.ledger.last_seq(camera) == len(self.times[camera])

    @invariant()
    def what_was_committed_is_there_unless_every_sink_has_it_and_it_is_old(self) -> None:
        before_ns = self.now_ns - NS_PER_DAY
        for camera in CAMERAS:
            found = [event.id for event in self.reader.after(camera, None, 10_000)]
            kept = set(found)
            assert found == [place for place in self.ids[camera] if place in kept], "out of order"
            for place in self.ids[camera]:
                young = self.times[camera][place.seq - 1] >= before_ns
                assert place in kept or place.seq <= self.ever_delivered(camera), f"{place} is lost"
                assert place in kept or not young, f"{place} went before its time"

    @invariant()
    def totals_count_each_event_once(self) -> None:
        for camera in CAMERAS:
            total = self.reader.totals(camera)
            counted = {"line/door/in/1/person": len(self.times[camera])} if self.times[camera] else {}
            assert total == counted
            assert sum(c.n for c in self.reader.counts(camera=camera)) <= len(self.times[camera])

    @invariant()
    def a_replay_from_any_place_gives_what_comes_after_it(self) -> None:
        for camera in CAMERAS:
            everything = self.reader.after(camera, None, 10_000)
            for at in everything[:: max(1, len(everything) // 3)]:
                after = [event for event in everything if event.id > at.id]
                assert self.reader.after(camera, at.id, 10_000) == after

    def ever_delivered(self, camera: str) -> int:
        """What every sink had at some time: a sink that was emptied since does not bring back what went."""
        least = min(self.cursors[sink, camera] for sink in SINKS)
        self.delivered[camera] = max(self.delivered.get(camera, 0), least)
        return self.delivered[camera]

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.reader.close()
            self.ledger.close()
            shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = examples(25, steps=25)
TestLedger = LedgerMachine.TestCase


# ---- the machine finds faults


class PrunesAll(Ledger):
    def tick(self) -> bool:
        self._db.execute("UPDATE cameras SET delivered=last_seq")
        return super().tick()


class LosesOne(Ledger):
    def commit(self, records: Iterable[EventRecord]) -> Committed:
        done = super().commit(records)
        self._db.execute("DELETE FROM events WHERE seq=3")
        return done


@pytest.mark.parametrize("faulty", [PrunesAll, LosesOne], ids=lambda faulty: faulty.__name__)
def test_the_machine_finds_a_seeded_fault(faulty: type[Ledger]) -> None:
    class Machine(LedgerMachine):
        ledger_class = faulty

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=examples(40, steps=25, shrink=False))
