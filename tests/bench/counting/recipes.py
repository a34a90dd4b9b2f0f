"""Errors and scores of the peers, each tracker with each counting rule: a recipe is one of either.

What a peer makes of given boxes does not depend on our code: it is kept by the versions of the packages
(cache.py), so that a run after the first one is quick, and an interrupted one goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.evaluate.tracking import tracking_score
from tests.bench.counting import cache, peers
from tests.bench.counting.data import Sequence, true_crossings
from tests.bench.counting.errors import STEPS, Pairs, Units, of_lines, units
from tests.bench.counting.scoring import with_truth

FORMAT = 1  # another one where the rules of peers.py change
TWO_FRAMES = "2-frame rule"

Scores = dict[str, float]  # hota, idf1


def errors(name: str, sequences: list[Sequence], step: int) -> dict[str, dict[str, Pairs]]:
    """Of each recipe with this tracker, "NAME + RULE", the errors of each sequence at a rate."""
    known = _known(name)
    found: dict[str, dict[str, Pairs]] = {}
    for sequence in sequences:
        by_rule = known.get(cache.of_sequence(sequence, step), _counter(name, sequence, step))
        for rule, pairs in by_rule.items():
            found.setdefault(f"{name} + {rule}", {})[sequence.name] = pairs
    return found


def scores(name: str, sequences: list[Sequence]) -> Scores:
    """HOTA and IDF1 of a tracker on all frames of these sequences together."""

    def compute() -> Scores:
        score = tracking_score([with_truth(s, peers.track(name, s)) for s in sequences])
        return {"hota": score.hota, "idf1": score.idf1}

    key = "score " + " ".join(cache.of_sequence(s, 1) for s in sequences)
    found: Scores = _known(name).get(key, compute)
    return found


def table(sequences: list[Sequence], steps: tuple[int, ...] = STEPS) -> dict[str, dict[int, Units]]:
    """Of each recipe and rate the gross errors by unit."""
    found: dict[str, dict[int, Units]] = {}
    for name in peers.names():
        for step in steps:
            for recipe, of_recipe in errors(name, sequences, step).items():
                one_rate = units({sequence: [pairs] for sequence, pairs in of_recipe.items()})
                found.setdefault(recipe, {})[step] = one_rate
    return found


def together(by_rate: dict[int, Units]) -> Units:
    """The errors over all rates."""
    first, *others = by_rate.values()
    return {unit: first[unit] + sum(other[unit] for other in others) for unit in first}


def best(errors_of: dict[str, Units]) -> str:
    """The recipe with the least error."""
    return min(errors_of, key=lambda recipe: sum(errors_of[recipe].values()))


def _known(name: str) -> cache.Cache:
    package = (peers.NORFAIR,) if name == peers.NORFAIR else ("trackers",)
    versions = cache.of_packages((*package, "supervision"))
    return cache.Cache(f"peer {name} {versions} {FORMAT}")


def _counter(name: str, sequence: Sequence, step: int) -> Callable[[], Any]:
    def compute() -> dict[str, Pairs]:
        true, frames = true_crossings(sequence), peers.track(name, sequence, step)
        by_rule = {f"LineZone({n})": peers.count(sequence, frames, n) for n in peers.THRESHOLDS}
        by_rule[TWO_FRAMES] = peers.two_frame_rule(sequence, frames)
        return {rule: of_lines(true, counted) for rule, counted in by_rule.items()}

    return compute
