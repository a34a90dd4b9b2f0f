"""How sure a count is, fitted and held out: reliability of a crossing's confidence, coverage of an interval.

Each public scene is a fold of its own, whatever sees it: what is said of it was fitted on all the others.
With `-o write=true` the coefficients of all scenes together go into the package
(pipelines/count/confidence_coefficients.py): to be done again whenever the tracker or the line rule changes.
`-o cache=FOLDER` keeps what was counted, to be gone on from where it was interrupted; another tracker needs
another folder.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count import confidence_coefficients
from pipelines.count.confidence import CountInterval, CrossingModel, LinearModel
from pipelines.count.scene_error import HALF
from tests.bench.counting.confidence_buckets import Bucket, Told, buckets_of, halves_of
from tests.bench.counting.confidence_data import Watch, long_watches, watches
from tests.bench.counting.confidence_fit import Pair, fit_interval, fit_right, fit_unseen

NAME = "counting_confidence"
DESCRIPTION = "Reliability of a crossing's confidence and coverage of a count's interval, on scenes kept out"

Array = npt.NDArray[np.float64]

BINS = 10
FILE = Path(confidence_coefficients.__file__)
HOURS_S = 300.0  # of a long drawn scene
MANY = 20  # a count over it is asked how wide its interval is
SIZES = ((1, 2), (3, 5), (6, 20), (21, 10**9))
HEAD = '''"""The coefficients of pipelines/count/confidence.py. Written by a command, not by hand:

    python -m tests.bench counting_confidence -o write=true

`right`: ridge logistic regression of whether a crossing is right on its standardised signs. `unseen`: ridge
regression of the logarithm of the true count over the count. `intervals`: see IntervalModel.
"""

from __future__ import annotations

from typing import Any

'''


def run(
    detectors: int = 12, drawn: int = 60, long: int = 60, write: bool = False, cache: str = ""
) -> dict[str, Any]:
    """Fit on public truth, so many simulated detectors on it and so many drawn scenes, and what differs
    within a scene on `long` drawn scenes too. Raises Unavailable without the corpus."""
    seen = watches(detectors, drawn, cache)
    models = held_out_crossings(seen)
    told = tell(models, seen)
    base = [models[watch.fold][1] for watch in seen]
    buckets = buckets_of(seen, told)
    hours = long_watches(long, HOURS_S, cache)
    intervals = held_out_intervals(buckets, hours)
    ends = [intervals[bucket.watch.fold].interval([bucket.tally]) for bucket in buckets]
    if write:
        _write(seen, buckets, hours)
    return {
        "crossings": {name: _reliability(seen, told, base, of) for name, of in _parts(seen).items()},
        "buckets": {name: _coverage(buckets, ends, of) for name, of in _parts(seen).items()},
        "by_size": {
            f"{low} to {high}" if high < 10**9 else f"over {low - 1}": _coverage(
                buckets, ends, partial(_of_size, low, high, None)
            )
            for low, high in SIZES
        },
        "many": {
            f"over {MANY}, {view}": _coverage(buckets, ends, partial(_of_size, MANY + 1, 10**9, moves))
            for view, moves in (("fixed", False), ("moving", True))
        },
        "by_length": {
            what: _coverage(buckets, ends, partial(_of_length, what))
            for what in dict.fromkeys(bucket.what for bucket in buckets)
        },
        "written": str(FILE.name) if write else "",
    }


def _of_size(low: int, high: int, moving: bool | None, bucket: Bucket) -> bool:
    return low <= bucket.tally.crossings <= high and moving in (None, bucket.watch.moving)


def _of_length(what: str, bucket: Bucket) -> bool:
    return bucket.what == what


def _parts(seen: Sequence[Watch]) -> dict[str, Callable[[Any], bool]]:
    """Which watches (or buckets, of a watch) to tell of together."""

    def part(kind: str | None, moving: bool | None) -> Callable[[Any], bool]:
        def of(one: Any) -> bool:
            watch = getattr(one, "watch", one)
            return kind in (None, watch.kind) and moving in (None, watch.moving)

        return of

    parts = {"all": part(None, None), "fixed": part(None, False), "moving": part(None, True)}
    for kind in dict.fromkeys(watch.kind for watch in seen):
        parts |= {
            kind: part(kind, None),
            f"{kind}, fixed": part(kind, False),
            f"{kind}, moving": part(kind, True),
        }
    return parts


# ---- a crossing


def held_out_crossings(seen: Sequence[Watch]) -> dict[str, tuple[CrossingModel, float]]:
    """By fold: a model of the other scenes, and a constant instead."""
    models = {}
    for fold in dict.fromkeys(watch.fold for watch in seen):
        others = [watch for watch in seen if watch.fold != fold]
        _, right, weights = _table(others)
        models[fold] = (_crossing_model(others), float(np.average(right, weights=weights)))
    return models


def tell(models: Mapping[str, tuple[CrossingModel, float]], seen: Sequence[Watch]) -> list[Told]:
    """What is told of each watch's crossings by the model of its fold."""
    return [[models[w.fold][0].of_values(c.values) for c in w.counted] for w in seen]


def _crossing_model(seen: Sequence[Watch]) -> CrossingModel:
    some = [watch for watch in seen if watch.counted]
    values = np.array([np.mean([c.values for c in watch.counted], axis=0) for watch in some])
    n, true = np.array([(len(watch.counted), len(watch.true)) for watch in some]).T
    weights = _weights([watch.kind for watch in some]) * np.sqrt(n)
    unseen = fit_unseen(values, np.log((true + HALF) / (n + HALF)), weights)
    return CrossingModel(fit_right(*_table(seen)), unseen)


def _table(seen: Sequence[Watch]) -> tuple[Array, Array, Array]:
    """Signs, whether it was right, and the weight of each crossing."""
    crossings = [crossing for watch in seen for crossing in watch.counted]
    kinds = [watch.kind for watch in seen for _ in watch.counted]
    values = np.array([crossing.values for crossing in crossings])
    return values, np.array([float(crossing.right) for crossing in crossings]), _weights(kinds)


def _weights(kinds: Sequence[str]) -> Array:
    """As much for public truth as for simulated and for drawn scenes, of which there are any number."""
    counts = Counter(kinds)
    return np.array([len(kinds) / (len(counts) * counts[kind]) for kind in kinds])


def _reliability(
    seen: Sequence[Watch], told: Sequence[Told], base: Sequence[float], of: Callable[[Any], bool]
) -> dict[str, Any]:
    chosen = [(w, p, b) for w, p, b in zip(seen, told, base, strict=True) if of(w)]
    right = np.array([float(c.right) for w, _, _ in chosen for c in w.counted])
    sure = np.array([judgement.confidence for _, each, _ in chosen for judgement in each])
    constant = np.array([b for w, _, b in chosen for _ in w.counted])
    bins = np.array_split(np.argsort(sure, kind="stable"), BINS)
    table = [[float(sure[part].mean()), float(right[part].mean()), len(part)] for part in bins]
    return {
        "n": len(right),
        "right": float(right.mean()),
        "ece": sum(n * abs(p - share) for p, share, n in table) / len(right),
        "brier": float(((sure - right) ** 2).mean()),
        "brier_of_constant": float(((constant - right) ** 2).mean()),
        "table": table,
    }


# ---- a bucket


def held_out_intervals(buckets: Sequence[Bucket], hours: Sequence[Watch]) -> dict[str, CountInterval]:
    """By fold: the interval that the buckets and long watches of the other scenes are fitted by."""
    folds = dict.fromkeys(bucket.watch.fold for bucket in buckets)
    return {
        fold: _interval_of([b for b in buckets if b.watch.fold != fold], [w for w in hours if w.fold != fold])
        for fold in folds
    }


def _interval_of(buckets: Sequence[Bucket], hours: Sequence[Watch]) -> CountInterval:
    weights = _weights([bucket.watch.kind for bucket in buckets])
    rows = zip(buckets, weights.tolist(), strict=True)
    seen = {id(bucket.watch): bucket.watch for bucket in buckets}
    pairs = _pairs([*seen.values(), *hours])
    return fit_interval([(bucket.tally, bucket.true, weight) for bucket, weight in rows], pairs)


def _pairs(seen: Sequence[Watch]) -> list[Pair]:
    halves = halves_of(seen)
    weights = _weights([watch.kind for watch, *_ in halves])
    return [
        Pair(watch.moving, (a.tally.crossings, b.tally.crossings), (a.true, b.true), weight)
        for (watch, a, b), weight in zip(halves, weights.tolist(), strict=True)
    ]


def _coverage(
    buckets: Sequence[Bucket], ends: Sequence[tuple[int, int]], of: Callable[[Any], bool]
) -> dict[str, Any]:
    chosen = [(b, low, high) for b, (low, high) in zip(buckets, ends, strict=True) if of(b)]
    many = [(high - low) / b.tally.crossings for b, low, high in chosen if b.tally.crossings > MANY]
    return {
        "n": len(chosen),
        "covered": float(np.mean([low <= b.true <= high for b, low, high in chosen])) if chosen else None,
        "below": float(np.mean([b.true < low for b, low, _ in chosen])) if chosen else None,
        "above": float(np.mean([b.true > high for b, _, high in chosen])) if chosen else None,
        "over_20": len(many),
        "median_width": float(np.median(many)) if many else None,
    }


# ---- what is written


def _write(seen: Sequence[Watch], buckets: Sequence[Bucket], hours: Sequence[Watch]) -> None:
    crossing = _crossing_model(seen)
    interval = _interval_of(buckets, hours)
    text = json.dumps(_document(crossing, interval), indent=4)
    FILE.write_text(f"{HEAD}COEFFICIENTS: dict[str, Any] = {text}\n", encoding="utf-8")


def _document(crossing: CrossingModel, interval: CountInterval) -> dict[str, Any]:
    return {
        "right": _linear(crossing.right),
        "unseen": _linear(crossing.unseen),
        "intervals": {
            view: {name: round(value, 4) for name, value in model.items()}
            for view, model in asdict(interval).items()
        },
    }


def _linear(model: LinearModel) -> dict[str, Any]:
    signs = {
        name: {"mean": round(mean, 4), "spread": round(spread, 4), "weight": round(weight, 4)}
        for name, (mean, spread, weight) in model.signs.items()
    }
    return {"intercept": round(model.intercept, 4), "signs": signs}


def render(result: dict[str, Any]) -> str:
    lines = [
        "confidence of a crossing, on scenes kept out: expected calibration error, Brier (of a constant)"
    ]
    for name, row in result["crossings"].items():
        lines.append(
            f"{name:<20} {row['n']:>6} crossings, {row['right']:.1%} right; ECE {row['ece']:.3f}; "
            f"Brier {row['brier']:.4f} ({row['brier_of_constant']:.4f})"
        )
    lines.append("reliability of all: told, right, crossings")
    lines += [f"  {p:.3f}  {share:.3f}  {n}" for p, share, n in result["crossings"]["all"]["table"]]
    lines.append("interval of 90 %, in buckets of scenes kept out: covered; true below, above; width over 20")
    for part in ("buckets", "by_size", "many", "by_length"):
        lines += [_row(name, row) for name, row in result[part].items() if row["n"]]
    return "\n".join(lines)


def _row(name: str, row: dict[str, Any]) -> str:
    width = "" if row["median_width"] is None else f"; width {row['median_width']:.0%} (of {row['over_20']})"
    covered = f"{row['covered']:.1%} covered; {row['below']:.1%} below, {row['above']:.1%} above"
    return f"{name:<20} {row['n']:>6} buckets, {covered}{width}"
