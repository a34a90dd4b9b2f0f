"""The ring's protocol as a state machine: messages late, twice and lost, readers and writers that die.

One camera as three processes see it: the supervisor counts generations and makes rings, the capture process
has the RingWriter, the inference process a RingReader and the views it works on. What they send each other is
in flight until a rule lets it arrive. Seeded faults show that the machine finds what it is there to find.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipelines.values import Image
from streamer.errors import StorageError
from streamer.ipc.frame_ring import RingMemory, RingReader, RingWriter
from tests.fuzzing import examples

SLOTS = 2
CALM_FRAMES = 4  # that are handed over, at least, before a process dies again
SIZES = ((8, 4), (6, 6), (16, 2))
CHOICE = st.integers(0, 1 << 16)


class Frame(NamedTuple):
    """A FrameReady, and what was written for it."""

    path: Path
    size: tuple[int, int]
    generation: int
    slot: int
    lease: int
    written: Image


class Reader:
    """The inference process: what it works on, and of which generation frames are its own."""

    def __init__(self, generation: int) -> None:
        self.ring = RingReader()
        self.generation = generation
        self.held: list[tuple[Frame, Image]] = []


class RingMachine(RuleBasedStateMachine):
    writer_class = RingWriter

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="st-ring-"))
        self.generation = 0
        self.number = 0
        self.path = self.folder / "none"
        self.announced: list[int] = []  # reclaims on their way to the writer
        self.frames: list[Frame] = []  # on their way to the reader
        self.requests: list[tuple[int, tuple[int, ...]]] = []  # on their way to the writer
        self.sent: list[tuple[int, tuple[int, ...]]] = []  # all that ever were
        self.reader = Reader(0)
        self.new_ring(0)

    # ---- the writer

    @rule()
    def hand_over(self) -> None:
        frame = self.fill()
        if frame is not None:
            self.frames.append(frame)
            self.writer.lease(frame.slot)

    @rule()
    def cannot_send(self) -> None:
        self.fill()

    def fill(self) -> Frame | None:
        slot = self.writer.acquire()
        if slot is None:
            assert self.writer.leased == SLOTS, "no slot is free, and not all are out"
            return None
        self.number += 1
        pixels = self.writer.memory.slot(slot)
        pixels[:] = np.random.default_rng(self.number).integers(0, 256, pixels.shape, np.uint8)
        return Frame(
            self.path, self.size, self.writer.generation, slot, self.writer.next_lease, pixels.copy()
        )

    @precondition(lambda self: self.requests)
    @rule(choice=CHOICE)
    def a_request_arrives(self, choice: int) -> None:
        self.writer.release(*self.requests.pop(choice % len(self.requests)))

    @precondition(lambda self: self.announced)
    @rule()
    def an_announcement_arrives(self) -> None:
        self.writer.reclaim(self.announced.pop(0))

    @rule(choice=CHOICE)
    def an_announcement_comes_again(self, choice: int) -> None:
        self.writer.reclaim(choice % (self.writer.generation + 1))

    # ---- the reader

    @precondition(lambda self: self.frames)
    @rule()
    def a_frame_arrives(self) -> None:
        frame, reader = self.frames.pop(0), self.reader
        if frame.generation < reader.generation:
            return  # made for its predecessor
        reader.generation = frame.generation
        try:
            view = reader.ring.view(str(frame.path), frame.slot, *frame.size)
        except StorageError:
            assert frame.path != self.path, "the present ring cannot be mapped"
            self.send((frame.generation, (frame.lease,)))
            return
        reader.held.append((frame, view))

    @precondition(lambda self: self.reader.held)
    @rule(choice=CHOICE)
    def give_back(self, choice: int) -> None:
        frame, _ = self.reader.held.pop(choice % len(self.reader.held))
        self.send((frame.generation, (frame.lease,)))

    @precondition(lambda self: self.sent)
    @rule(choice=CHOICE)
    def give_back_again(self, choice: int) -> None:
        self.requests.append(self.sent[-1 - choice % len(self.sent)])

    @rule()
    def let_go_of_old_rings(self) -> None:
        self.reader.ring.tidy()

    def send(self, request: tuple[int, tuple[int, ...]]) -> None:
        self.requests.append(request)
        self.sent.append(request)

    # ---- the supervisor

    @precondition(lambda self: self.number >= self.calm_until)
    @rule()
    def the_reader_dies(self) -> None:
        """What is on its way to it is lost; what it sent may still arrive."""
        self.generation += 1
        self.frames.clear()
        self.reader = Reader(self.generation)
        self.announced.append(self.generation)
        self.calm_until = self.number + CALM_FRAMES

    @precondition(lambda self: self.number >= self.calm_until)
    @rule(choice=CHOICE)
    def new_ring(self, choice: int) -> None:
        """The picture's size has changed, or the writer died; what its predecessor sent may still arrive."""
        self.generation += 1
        self.calm_until = self.number + CALM_FRAMES
        self.path.unlink(missing_ok=True)
        self.path, self.size = self.folder / f"cam.{self.generation}", SIZES[choice % len(SIZES)]
        RingMemory.create(self.path, SLOTS, *self.size)
        self.writer = self.writer_class(RingMemory.attach(self.path, SLOTS, *self.size), self.generation)

    # ---- what holds

    @invariant()
    def what_the_reader_holds_is_what_was_written_for_it(self) -> None:
        for frame, view in self.reader.held:
            assert np.array_equal(view, frame.written), f"slot {frame.slot} was written while it was out"

    def teardown(self) -> None:
        try:
            self.let_all_arrive()
            self.what_the_reader_holds_is_what_was_written_for_it()
            while self.reader.held:
                self.give_back(0)
            self.let_all_arrive()
            self.no_slot_is_lost()
        finally:
            shutil.rmtree(self.folder)

    def let_all_arrive(self) -> None:
        while self.frames:
            self.a_frame_arrives()
        while self.announced:
            self.an_announcement_arrives()
        while self.requests:
            self.a_request_arrives(0)

    def no_slot_is_lost(self) -> None:
        for _ in range(SLOTS):
            slot = self.writer.acquire()
            assert slot is not None, "a slot is lost for good"
            self.writer.lease(slot)
        assert self.writer.acquire() is None, "there are more slots than there were"


RingMachine.TestCase.settings = examples(150)
TestRing = RingMachine.TestCase


# ---- the machine finds faults


class NamesSlots(RingWriter):
    """Releases by the slot's number, as it was once: a lease given back again late takes another's slot."""

    def __init__(self, memory: RingMemory, generation: int) -> None:
        super().__init__(memory, generation)
        self._slots: dict[int, int] = {}

    def lease(self, slot: int) -> None:
        self._slots[self.next_lease] = slot
        super().lease(slot)

    def release(self, generation: int, leases: tuple[int, ...]) -> None:
        slots = {self._slots.get(lease) for lease in leases}
        super().release(generation, tuple(n for n, slot in self._leases.items() if slot in slots))


class KnowsNoGenerations(RingWriter):
    def release(self, _generation: int, leases: tuple[int, ...]) -> None:
        super().release(self.generation, leases)


class ReclaimsTwice(RingWriter):
    def reclaim(self, generation: int) -> None:
        self.generation = generation - 1
        super().reclaim(generation)


class ReclaimsNothing(RingWriter):
    def reclaim(self, generation: int) -> None:
        self.generation = max(self.generation, generation)


class WritesLeasedSlots(RingWriter):
    def acquire(self) -> int | None:
        slot = super().acquire()
        return min(self._leases.values()) if slot is None else slot


class ForgetsLeases(RingWriter):
    def release(self, generation: int, leases: tuple[int, ...]) -> None:
        super().release(generation, leases[1:])


FAULTY = [NamesSlots, KnowsNoGenerations, ReclaimsTwice, ReclaimsNothing, WritesLeasedSlots, ForgetsLeases]


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda faulty: faulty.__name__)
def test_the_machine_finds_a_seeded_fault(faulty: type[RingWriter]) -> None:
    class Machine(RingMachine):
        writer_class = faulty

    with pytest.raises((AssertionError, ValueError)):
        run_state_machine_as_test(Machine, settings=examples(300, shrink=False))
