"""Histograms in the frame counters: what a frame adds, what is shown, and what a death changes: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.ipc.counters import FrameCounters
from streamer.ipc.latency import AGE, INFERENCE


@pytest.fixture
def counters(tmp_path: Path) -> FrameCounters:
    return FrameCounters.create(tmp_path / "counters")


@pytest.mark.parametrize(("seconds", "bound"), [(0.0, 0.05), (0.05, 0.05), (0.0501, 0.1), (10.0, 10.0)])
def test_a_frame_is_in_every_bucket_that_it_is_not_longer_than(
    counters: FrameCounters, seconds: float, bound: float
) -> None:
    counters.infer(0).add(**AGE.changes(seconds))
    shown = counters.latency(0)["age"]
    assert next(le for le, count in shown["buckets"] if count) == bound
    assert shown["buckets"][-1] == [None, 1]
    assert shown["sum_s"] == pytest.approx(seconds)


def test_what_is_beyond_the_last_bound_is_counted_too(counters: FrameCounters) -> None:
    counters.infer(0).add(**INFERENCE.changes(99.0))
    buckets = counters.latency(0)["inference"]["buckets"]
    assert [count for _, count in buckets] == [0] * 10 + [1]


def test_the_worker_that_comes_after_a_death_adds_to_them(counters: FrameCounters) -> None:
    counters.infer(0).add(inferred=1, **AGE.changes(0.2))
    counters.infer(0).add(inferred=1, **AGE.changes(0.3))  # a block of its own, as its successor has
    shown = counters.latency(0)["age"]
    assert (shown["buckets"][-1][1], shown["sum_s"]) == (2, 0.5)
    assert counters.balance(0).inferred == 2, "they are no frames of their own"
    assert counters.latency(1)["age"]["buckets"][-1][1] == 0
