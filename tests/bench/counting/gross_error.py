"""Counting on public tracking truth: gross error, tracking scores and speed, ours beside the peers'.

The truth and its lines: data.py. One setting for all sets, at every frame, every second and every fourth;
fixed and moving cameras apart, and the first sequences apart from those added later. Every difference to a
peer comes with its 95 % interval of the paired bootstrap over sequences and lines: a few counts are noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.evaluate.tracking import tracking_score
from tests.bench.counting import ours, peers, recipes
from tests.bench.counting.data import GROUPS, Sequence, corpus, load, true_crossings
from tests.bench.counting.drawn import GROUP, draw
from tests.bench.counting.errors import STEPS, Units, difference, kinds, of_lines, of_sequences, units
from tests.bench.counting.scoring import boxes
from tests.bench.counting.simulated import simulate
from tests.bench.counting.speed import OBJECTS, speed
from tests.bench.counting.speed import render as render_speed
from tests.bench.registry import Unavailable

NAME = "counting"
DESCRIPTION = "Gross counting error, HOTA and IDF1 on public truth, and association speed, beside the peers"

TURN_BACK = 0.08  # of the box: truth holds crossings that turn back so near, and the rule has to leave out
ALL = "all sets"
Rates = dict[int, Units]


def run(
    peers_too: bool = True,
    slow_rates: bool = True,
    sets: bool = True,
    rounds: int = 7,
    detectors: int = 0,
    scenes: int = 0,
) -> dict[str, Any]:
    """All figures; without `sets` the speed alone, over so many `rounds`, and without these no speed. Besides
    on so many simulated detectors of each sequence, and on so many drawn scenes.

    Raises Unavailable without the corpus or `trackeval`.
    """
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    try:
        import trackeval  # noqa: F401
    except ImportError as error:
        raise Unavailable("trackeval is not installed: pip install '.[evaluate]'") from error
    with_peers = peers_too and peers.installed()
    result: dict[str, Any] = {"sets": {}, "simulated": {}, "peers": with_peers}
    steps = STEPS if slow_rates else STEPS[:1]
    groups = {group: load(group, root) for group in GROUPS}
    if sets:
        result["sets"] = figures(groups, with_peers, steps)
    if detectors or scenes:
        result["simulated"] = figures(_simulated(groups, detectors, scenes), with_peers, steps)
    result["speed"] = {str(n): speed(n, with_peers, rounds) for n in OBJECTS} if rounds else {}
    return result


def _simulated(groups: dict[str, list[Sequence]], detectors: int, scenes: int) -> dict[str, list[Sequence]]:
    found = {
        f"{group} simulated": [simulate(s, seed) for s in sequences for seed in range(detectors)]
        for group, sequences in groups.items()
        if detectors
    }
    return found | ({GROUP: [draw(seed) for seed in range(scenes)]} if scenes else {})


def figures(
    groups: dict[str, list[Sequence]], with_peers: bool, steps: tuple[int, ...] = STEPS
) -> dict[str, Any]:
    """The figures of each set, and of all together."""
    rows, errors = {}, {}
    for group, sequences in groups.items():
        rows[group], errors[group] = _ours(sequences, steps)
    every = [s for sequences in groups.values() for s in sequences]
    rows[ALL] = {"true": sum(row["true"] for row in rows.values())}
    errors[ALL] = {step: _merged(errors[group][step] for group in groups) for step in steps}
    theirs = recipes.table(every, steps) if with_peers else {}
    for group, row in rows.items():
        sequences = groups.get(group, every)
        row["kinds"] = {
            kind: _compared(part, errors[group], theirs) for kind, part in kinds(sequences).items()
        }
        if with_peers and group in groups:
            row["peer_scores"] = {name: recipes.scores(name, sequences) for name in peers.names()}
    return rows


# ---- ours


def _ours(sequences: list[Sequence], steps: tuple[int, ...]) -> tuple[dict[str, Any], Rates]:
    """The row of a set, and our errors at each rate."""
    truth = {s.name: true_crossings(s) for s in sequences}
    lasting = {s.name: true_crossings(s, band=TURN_BACK) for s in sequences}
    runs = {s.name: ours.track(s) for s in sequences}
    events = {name: ours.count(found) for name, found in runs.items()}
    pairs = {name: of_lines(truth[name], [at for at, _ in found]) for name, found in events.items()}
    of_lasting = {name: of_lines(lasting[name], [at for at, _ in found]) for name, found in events.items()}
    late = {name: of_lines(truth[name], [at for _, at in found]) for name, found in events.items()}
    score = tracking_score([boxes(s, runs[s.name]) for s in sequences])
    row = {
        "true": sum(map(len, truth.values())),
        "lasting": sum(map(len, lasting.values())),
        "missed": sum(line[0] for lines in pairs.values() for line in lines),
        "false": sum(line[1] for lines in pairs.values() for line in lines),
        "gross_of_lasting": _sum(units({name: [found] for name, found in of_lasting.items()})),
        "gross_by_decision": _sum(units({name: [found] for name, found in late.items()})),
        "hota": score.hota,
        "idf1": score.idf1,
        **_delays([late.time_s - at.time_s for found in events.values() for at, late in found]),
    }
    rates = {1: units({name: [found] for name, found in pairs.items()})}
    for step in steps[1:]:
        rates[step] = units({s.name: [ours.errors(s, step)] for s in sequences})
    return row, rates


def _delays(delays_s: list[float]) -> dict[str, float]:
    p50, p90 = np.quantile(delays_s, (0.5, 0.9)) if delays_s else (0.0, 0.0)
    return {"delay_p50_s": float(p50), "delay_p90_s": float(p90)}


def _merged(tables: Any) -> Units:
    return {unit: error for table in tables for unit, error in table.items()}


def _sum(errors: Units) -> int:
    return sum(errors.values())


# ---- beside the peers


def _compared(sequences: list[Sequence], errors: Rates, theirs: dict[str, Rates]) -> dict[str, Any]:
    """Our error on some sequences at each rate and over all, and that of the recipe that is best on them."""
    mine = {step: of_sequences(found, sequences) for step, found in errors.items()}
    rows: dict[str, Any] = {"true": sum(len(true_crossings(s)) for s in sequences)}
    rows["rates"] = {}
    for step, found in mine.items():
        of_peers = {r: of_sequences(rates[step], sequences) for r, rates in theirs.items()}
        rows["rates"][f"1/{step}"] = _beside(found, of_peers)
    whole = {r: of_sequences(recipes.together(rates), sequences) for r, rates in theirs.items()}
    rows["rates"]["sum"] = _beside(recipes.together(mine), whole)
    return rows


def _beside(mine: Units, theirs: dict[str, Units]) -> dict[str, Any]:
    row: dict[str, Any] = {"ours": _sum(mine)}
    if theirs:
        name = recipes.best(theirs)
        less = difference(mine, theirs[name])
        row |= {"best_peer": name, "peer": _sum(theirs[name]), "less_95": [less.value, less.low, less.high]}
        row["recipes"] = {recipe: _sum(found) for recipe, found in theirs.items()}
    return row


# ---- the tables


def render(result: dict[str, Any]) -> str:
    """A table a set, with the best recipe at each rate; then all recipes, scores and speed."""
    lines = ["gross error = misses + false counts; within 1 s, in the direction; [95 % intervals]"]
    for group, row in [*result["sets"].items(), *result["simulated"].items()]:
        lines += ["", *_heading(group, row)]
        for kind, compared in row["kinds"].items():
            lines.append(f"  {kind} ({compared['true']} true)")
            lines += [f"    {rate:<4} {_in_words(beside)}" for rate, beside in compared["rates"].items()]
        lines += _recipes(row["kinds"]["all"]["rates"])
        for name, score in row.get("peer_scores", {}).items():
            lines.append(f"    HOTA {score['hota']:.1f} IDF1 {score['idf1']:.1f}  {name}")
    return "\n".join([*lines, *render_speed(result["speed"])])


def _heading(group: str, row: dict[str, Any]) -> list[str]:
    if "hota" not in row:
        return [f"{group}: {row['true']} true"]
    return [
        f"{group}: {row['true']} true; {row['missed']} missed, {row['false']} false; by decision time "
        f"{row['gross_by_decision']}; HOTA {row['hota']:.1f} IDF1 {row['idf1']:.1f}; decided "
        f"{row['delay_p50_s']:.2f} s after the crossing (p90 {row['delay_p90_s']:.2f})",
        f"  without those that turn back within {TURN_BACK:.0%} of their box: "
        f"{row['gross_of_lasting']} of {row['lasting']}",
    ]


def _in_words(beside: dict[str, Any]) -> str:
    if "best_peer" not in beside:
        return f"ours {beside['ours']}"
    value, low, high = beside["less_95"]
    percent = f"{value / beside['peer']:+.0%}" if beside["peer"] else "-"
    return (
        f"ours {beside['ours']:>4}, best peer {beside['peer']:>4}: {percent:>5}, "
        f"{value:+d} [{low:+.0f} to {high:+.0f}]  {beside['best_peer']}"
    )


def _recipes(rates: dict[str, Any]) -> list[str]:
    """All recipes by their sum over the rates, with the error at each."""
    over_all = rates["sum"].get("recipes", {})
    return [
        "    " + "".join(f"{rates[rate]['recipes'][recipe]:>5}" for rate in rates) + f"  {recipe}"
        for recipe in sorted(over_all, key=lambda name: over_all[name])
    ]
