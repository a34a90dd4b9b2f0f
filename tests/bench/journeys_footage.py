"""Looks of real people (part of the journeys bench): whether somebody in one half of a picture is known in
the other half, as if the halves were two cameras. They share one light: it is easier than two cameras.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipelines.journeys.certainty import Comparison, log_likelihood_ratio, probability
from pipelines.journeys.clothes import clothes
from pipelines.journeys.person import MAX_HIDDEN, MIN_LOOKS, hidden
from pipelines.journeys.spec import JourneySpec
from pipelines.journeys.usual_looks import Unusual, UsualLooks
from tests.conftest import CORPUS

CLIP = CORPUS / "videos/pets09-s2l1.avi"
TRUTH = CORPUS / "mot/MOT15/PETS09-S2L1/gt.txt"
SCALE = 0.625  # of the truth's pixels, in the clip
EVERY = 3  # frames
HALVES = ("left", "right")
Looks = dict[int, Unusual]


def measure() -> dict[str, Any]:
    """Of pairs of a person in one half and one in the other: how often one's own is the likest, and how often
    two of one are liker than two of two (area under the ROC curve)."""
    looks, usual = _looks(), UsualLooks()
    for (half, _), mean in looks.items():
        usual.learn(half, "person", mean)
    away = {key: usual.unusual(key[0], "person", mean) for key, mean in looks.items()}
    left, right = ({k[1]: v for k, v in away.items() if k[0] == h and v is not None} for h in HALVES)
    both = sorted(left.keys() & right.keys())
    own = np.array([log_likelihood_ratio(left[who], right[who]) for who in both])
    other = np.array([log_likelihood_ratio(left[a], right[b]) for a in both for b in right if a != b])
    sure = [_sure(left, right, who) for who in left]
    told = [same for probable, same in sure if probable >= JourneySpec().min_probability]
    first = sum(max(right, key=lambda b: log_likelihood_ratio(left[who], right[b])) == who for who in both)
    area = float((own[:, None] > other[None]).mean()) if own.size and other.size else 0.0
    return {"people": len(both), "among": len(right), "first": first, "area": area} | {
        "told": len(told),
        "right": sum(told),
    }


def _sure(left: Looks, right: Looks, who: int) -> tuple[float, bool]:
    """How sure it is that the likest of the other half is the same, and whether that is so."""
    ratios = {b: log_likelihood_ratio(left[who], right[b]) for b in right}
    best = max(ratios, key=lambda b: ratios[b])
    others = [ratio for b, ratio in ratios.items() if b != best]
    others += [log_likelihood_ratio(left[a], right[best]) for a in left if a != who]
    return probability(Comparison(ratios[best], tuple(others))), best == who


def _looks() -> dict[tuple[str, int], Any]:
    """By half and person the mean look."""
    truth = np.loadtxt(TRUTH, delimiter=",", usecols=range(6))
    capture, number = cv2.VideoCapture(str(CLIP)), 0
    sums: dict[tuple[str, int], list[Any]] = {}
    while True:
        read, picture = capture.read()
        number += 1
        if not read:
            break
        rows = truth[truth[:, 0] == number]
        if number % EVERY or not len(rows):
            continue
        boxes = rows[:, 2:6].copy() * SCALE
        boxes[:, 2:] += boxes[:, :2]
        boxes = (boxes / np.tile(picture.shape[1::-1], 2)).astype(np.float32)
        seen = clothes(np.asarray(picture, np.uint8), boxes)
        for row in np.flatnonzero((hidden(boxes) <= MAX_HIDDEN) & seen.any(axis=1)).tolist():
            half = HALVES[int(boxes[row, [0, 2]].mean() > 0.5)]
            sums.setdefault((half, int(rows[row, 1])), []).append(seen[row])
    return {key: np.mean(each, axis=0) for key, each in sums.items() if len(each) >= MIN_LOOKS}


def render(found: dict[str, Any]) -> str:
    first, people = found["first"], found["people"]
    return (
        f"footage: {first} of {people} people of one half of {CLIP.name} are most like themselves among the "
        f"{found['among']} of the other; one's own two looks are liker than two people's in "
        f"{found['area']:.0%}; {found['right']} of {found['told']} told are right"
    )
