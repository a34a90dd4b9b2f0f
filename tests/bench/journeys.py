"""Journeys on drawn sites of three cameras: how many that are told are right, and how many there are.

The constants (pipelines/journeys/certainty.py) were chosen on the sites of FIT with `-o fit=true`; what is
printed is of HELD_OUT, whose people, streets and exposures are others. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipelines.journeys import certainty
from pipelines.journeys.site_journeys import Decision, SiteJourneys
from pipelines.journeys.spec import JourneySpec
from tests.bench import journeys_footage
from tests.drawn_sites import CAMERAS, LABELS, DrawnSite, Labelled, owners

NAME = "journeys"
DESCRIPTION = "Journeys between the cameras of drawn sites: precision and recall by how many people come"

CROWDS = ((6.0, False), (15.0, False), (15.0, True), (30.0, False))  # people a minute; all in dark clothes
FIT, HELD_OUT = (1, 2, 3), (101, 102)
SECONDS = 360.0
WITHIN_S = 120.0
RIDGE = 1e-3
Sample = tuple[certainty.Comparison, bool]  # and whether both are one


def run(
    seeds: int | Sequence[int] = (), fit: bool = False, seconds: float = SECONDS, footage: bool = True
) -> dict[str, Any]:
    """`seeds` of sites, one for each crowd; none: those held out, or with `fit` those for choosing.
    `footage`: the real clip as well, where it is."""
    given = (seeds,) if isinstance(seeds, int) else tuple(seeds)
    chosen = given or (FIT if fit else HELD_OUT)
    samples: list[Sample] = []
    rows = [measure(chosen, crowd, seconds, samples) for crowd in CROWDS]
    weights = chosen_weights(samples) if fit else certainty.WEIGHTS
    found = {"seeds": list(chosen), "rows": rows, "weights": [round(w, 3) for w in weights]}
    if footage and journeys_footage.CLIP.is_file():
        found["footage"] = journeys_footage.measure()
    return found


def measure(
    seeds: Sequence[int], crowd: tuple[float, bool], seconds: float, samples: list[Sample]
) -> dict[str, Any]:
    """One crowd at the sites of these seeds; what was compared is added to `samples`."""
    told = right = transits = 0
    for seed in seeds:
        site = DrawnSite(seed, *crowd, seconds)
        ways, decided = follow(list(site.results()))
        told, right = told + len(ways), right + sum(ways)
        transits += site.transits(WITHIN_S)
        samples += [sample for sample in decided if not sample[0].vehicle]
    return {
        "per_minute": crowd[0],
        "alike": crowd[1],
        "told": told,
        "right": right,
        "transits": int(transits),
    }


class _Observed(SiteJourneys):
    """Keeps what was compared, for who chooses the constants."""

    def __init__(self, spec: JourneySpec) -> None:
        super().__init__(spec)
        self.decisions: list[Decision] = []

    def decide(self, stamp: Any) -> Iterator[Decision]:
        for decision in super().decide(stamp):
            self.decisions.append(decision)
            yield decision


def follow(results: Sequence[Labelled]) -> tuple[list[bool], list[Sample]]:
    """Of each journey told whether it is right; and what was compared, with whether both are one."""
    journeys = _Observed(JourneySpec(cameras=CAMERAS, within_s=WITHIN_S))
    who = owners(results)
    told = []
    for result, _ in results:
        for event in journeys.frame(result, LABELS):
            left = event.data["from_camera"], event.data["from_track_id"]
            told.append(who.get(left) == who.get((event.stamp.camera, event.data["track_id"]), -1))
    same = [
        (d.found, who[d.left.last.camera, d.left.track_id] == who[d.came.last.camera, d.came.track_id])
        for d in journeys.decisions
        if d.possible
    ]
    return told, same


def chosen_weights(samples: Sequence[Sample]) -> list[float]:
    """Logistic regression with a little ridge, by Newton's method."""
    x = np.array([found.features() for found, _ in samples])
    y = np.array([float(same) for _, same in samples])
    w = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-(x @ w)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(len(w))
        w += np.linalg.solve(hessian, x.T @ (y - p) - RIDGE * w)
    return [float(value) for value in w]


def interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(hits: int, n: int) -> str:
    low, high = interval(hits, n)
    return f"{hits:4d} of {n:4d} {hits / max(n, 1):5.0%} ({low:.0%} to {high:.0%})"


def render(result: dict[str, Any]) -> str:
    lines = [f"sites of seeds {result['seeds']}; weights {result['weights']}"]
    lines.append(f"{'people a minute':<24} {'right of those told':<32} {'told and right of all'}")
    rows = result["rows"]
    total = {key: sum(row[key] for row in rows) for key in ("told", "right", "transits")}
    for row in [*rows, {**total, "per_minute": None}]:
        name = (
            "all"
            if row["per_minute"] is None
            else f"{row['per_minute']:g}" + (", dark clothes" if row["alike"] else "")
        )
        lines.append(
            f"{name:<24} {_share(row['right'], row['told']):<32} {_share(row['right'], row['transits'])}"
        )
    if "footage" in result:
        lines.append(journeys_footage.render(result["footage"]))
    return "\n".join(lines)
