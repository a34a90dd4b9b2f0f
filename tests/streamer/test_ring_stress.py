"""The short form of `python -m tests.bench ring_stress`: two real processes and a ring between them."""

from __future__ import annotations

from tests.bench.ring_stress import run
from tests.streamer.test_frame_ring_model import NamesSlots


def test_no_frame_is_torn_and_no_slot_lost_between_two_processes_of_which_one_is_killed() -> None:
    result = run(handovers=20_000, kills=2)
    assert (result["torn"], result["lost"]) == (0, 0)
    assert result["read"] + result["lost_with_a_dead_reader"] == result["handovers"] == 20_000
    assert result["given_back_again"] > 0


def test_a_writer_that_frees_slots_by_their_number_is_found_to_tear_frames() -> None:
    assert run(handovers=20_000, kills=0, writer_class=NamesSlots)["torn"] > 0
