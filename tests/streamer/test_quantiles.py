"""Quantiles in bounded memory: within their stated error of the exact ones, in any order, and they add up."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streamer.workers.infer.coverage import percentile
from streamer.workers.infer.quantiles import ERROR, MAX_VALUE, MIN_VALUE, Quantiles


def of(values: list[float]) -> Quantiles:
    found = Quantiles()
    for value in values:
        found.add(value)
    return found


@pytest.mark.parametrize("kind", ["even", "heavy tail", "two heaps", "rising", "one"])
def test_a_quantile_is_within_the_stated_error(kind: str) -> None:
    random = np.random.default_rng(7)
    values = {
        "even": random.uniform(1, 1000, 5000),
        "heavy tail": random.pareto(1.2, 5000) * 10,
        "two heaps": np.concatenate([np.full(600, 20.0), np.full(9400, 900.0)]),
        "rising": np.arange(1.0, 9000.0),
        "one": np.array([17.3]),
    }[kind].clip(MIN_VALUE)
    found, ordered = of(values.tolist()), sorted(values.tolist())
    for share in (0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
        exact = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        assert found.at(share) == pytest.approx(exact, rel=ERROR * 1.0001)
    assert found.largest == ordered[-1]
    assert percentile(ordered, 1.0) == round(ordered[-1], 2)


def test_memory_stays_bounded_whatever_comes() -> None:
    found = of([0.0, -3.0, 1e30, float("inf"), *np.geomspace(1e-9, 1e12, 20_000).tolist()])
    assert len(found.save()["bins"]) < 1200
    assert found.at(0.0) == pytest.approx(MIN_VALUE, rel=0.02)
    assert found.at(0.99) == pytest.approx(MAX_VALUE, rel=0.02)


def test_two_that_are_saved_and_added_are_one_of_all() -> None:
    one, other = [3.0, 900.0, 12.5], [0.4, 900.0]
    both = Quantiles()
    for part in (one, other):
        both.add_saved(msgspec.msgpack.decode(msgspec.msgpack.encode(of(part).save())))
    whole = of(one + other)
    assert both.save()["bins"] == whole.save()["bins"]
    assert (both.n, both.largest) == (5, 900.0)
    both.add_saved(Quantiles().save())
    assert both.n == 5


def test_without_a_value_there_is_no_quantile() -> None:
    assert Quantiles().at(0.99) is None
    assert Quantiles().largest is None
