"""Simulated detectors on a known truth: each seed is another detector, drawn from wide distributions.

    simulate(sequence, seed) -> the same sequence with the boxes that detector `seed` would have found

What real detectors do and white noise does not: misses last (a two-state Markov chain in continuous time,
missed more often where a box is covered or small), the error of a box is correlated from frame to frame
(Ornstein-Uhlenbeck, of the centre and of the sides), scores fall where it is hard to see, an object is found
twice, a box of nothing stands at its place for a while and comes back there, and the picture's border cuts.
The same seed is the same detector on every sequence; the dice are thrown anew for each.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tests.bench.counting.data import Sequence

Array = npt.NDArray[np.float64]


SMALL = 0.12  # of the picture's height: boxes less tall are harder to see
MIN_DOUBLE, MAX_DOUBLE = 0.1, 0.4  # sizes that a second box of an object is away
MAX_AGAIN = 6  # places at which a detector sees nothing time and again
MIN_SIZE = 2.0  # pixels; a box of less is none
MAX_LOGIT = 30.0


@dataclass(frozen=True, slots=True)
class Detector:
    """The habits of one detector. Times in seconds, lengths in box sizes, scores as logits."""

    missed: float  # share of the boxes of who stands alone and is large enough
    missed_s: float  # how long a miss lasts
    missed_covered: float  # logits that a box wholly covered is missed more often,
    missed_small: float  # and one of half the height of SMALL
    noise_centre: float  # standard deviations
    noise_sides: float
    noise_s: float  # correlation time of both
    noise_covered: float  # how many times larger where wholly covered
    score: float  # the usual one
    score_spread: float
    score_s: float  # correlation time
    score_covered: float  # logits that a covered box has less
    min_score: float  # boxes below are not given out
    doubles: float  # share of the boxes that has a second one
    doubles_s: float  # how long
    false_rate: float  # boxes of nothing that begin, a second
    false_s: float  # how long one stays,
    false_seen: float  # the share of frames that it is seen in meanwhile,
    false_again: float  # and how often it stands where one stood before
    false_score: float  # logits below the usual score
    suppressed: float  # overlap at which of two boxes the lower is suppressed
    min_inside: float  # share of a box within the picture that is needed to see it


def detector(seed: int) -> Detector:
    """The detector of a seed."""
    draw = np.random.default_rng([seed, 0])

    def wide(low: float, high: float) -> float:
        return float(np.exp(draw.uniform(np.log(low), np.log(high))))

    def even(low: float, high: float) -> float:
        return float(draw.uniform(low, high))

    return Detector(
        missed=wide(0.01, 0.25),
        missed_s=wide(0.04, 1.0),
        missed_covered=even(1, 7),
        missed_small=even(0, 2),
        noise_centre=wide(0.005, 0.06),
        noise_sides=wide(0.01, 0.1),
        noise_s=wide(0.02, 1.0),
        noise_covered=even(1, 4),
        score=even(0, 3),
        score_spread=even(0.3, 1.2),
        score_s=wide(0.05, 2.0),
        score_covered=even(0, 4),
        min_score=wide(0.05, 0.5),
        doubles=wide(0.001, 0.08),
        doubles_s=wide(0.04, 0.5),
        false_rate=wide(0.02, 4.0),
        false_s=wide(0.1, 6.0),
        false_seen=even(0.4, 1.0),
        false_again=even(0, 0.9),
        false_score=even(0.5, 3),
        suppressed=even(0.45, 0.85),
        min_inside=even(0.1, 0.5),
    )


def simulate(sequence: Sequence, seed: int) -> Sequence:
    """The sequence as the detector of that seed sees it: the same truth with other detections."""
    dice = np.random.default_rng([seed, zlib.crc32(sequence.name.encode())])
    habits = detector(seed)
    objects = _Objects(sequence, habits, dice)
    nothing = _false_boxes(sequence, habits, dice)
    tables = []
    for frame in range(sequence.first_frame, sequence.last_frame + 1):
        found = np.concatenate([objects.see(frame), _of_frame(nothing, frame)[:, 1:]])
        found = _suppress(_cut(sequence, habits, found), habits.suppressed)
        tables.append(np.column_stack([np.full(len(found), float(frame)), found]))
    return replace(sequence, name=f"{sequence.name} s{seed}", detections=np.concatenate(tables))


# ---- objects


class _Objects:
    """What is remembered of each object from frame to frame: whether it is missed or doubled, its errors.

    Each is a process of its own, stationary with variance 1 or with its share, and forgets over its time."""

    def __init__(self, sequence: Sequence, habits: Detector, dice: np.random.Generator) -> None:
        self.sequence, self.habits, self.dice = sequence, habits, dice
        self.identities = np.unique(sequence.truth[:, 1])
        n = len(self.identities)
        self.last = np.full(n, -np.inf)  # seconds
        self.errors = np.zeros((n, 4))
        self.score = np.zeros(n)
        self.missed = np.zeros(n)
        self.doubled = np.zeros(n)
        self.away = np.zeros((n, 4))

    def see(self, frame: int) -> Array:
        """(K, 5) boxes of a frame and their scores."""
        rows = _of_frame(self.sequence.truth, frame)
        if not len(rows):
            return np.zeros((0, 5))
        who, boxes = np.searchsorted(self.identities, rows[:, 1]), rows[:, 2:6]
        covered, small = _covered(boxes), _smallness(boxes, self.sequence.height)
        self._move_on(who, self.sequence.time_s(frame), covered, small)
        habits = self.habits
        logits = habits.score + habits.score_spread * self.score[who]
        logits -= habits.score_covered * covered + 0.5 * habits.missed_small * small
        found = np.column_stack([self._boxes(who, boxes, covered), _logistic(logits)])
        seen = self.missed[who] == 0
        return self._with_doubles(who[seen], found[seen])

    def _move_on(self, who: npt.NDArray[np.intp], time_s: float, covered: Array, small: Array) -> None:
        habits, since_s = self.habits, time_s - self.last[who]
        self.last[who] = time_s
        level = np.log(habits.missed / (1 - habits.missed))
        missed = _logistic(level + habits.missed_covered * covered + habits.missed_small * small)
        self.missed[who] = self._switch(self.missed[who], missed, since_s / habits.missed_s)
        begins = self.doubled[who] == 0
        doubles = np.full(len(who), habits.doubles)
        self.doubled[who] = self._switch(self.doubled[who], doubles, since_s / habits.doubles_s)
        begins &= self.doubled[who] > 0
        self.away[who[begins]] = self._away(int(begins.sum()))
        self.errors[who] = self._wander(self.errors[who], since_s / habits.noise_s)
        self.score[who] = self._wander(self.score[who], since_s / habits.score_s)

    def _switch(self, was: Array, share: Array, times: Array) -> Array:
        """A two-state Markov chain with that stationary share, so many of its memories later."""
        chance = share + (was - share) * np.exp(-times)
        return (self.dice.random(len(was)) < chance).astype(np.float64)

    def _wander(self, was: Array, times: Array) -> Array:
        keep = np.exp(-times).reshape(-1, *(1,) * (was.ndim - 1))
        return np.asarray(keep * was + np.sqrt(1 - keep**2) * self.dice.standard_normal(was.shape))

    def _boxes(self, who: npt.NDArray[np.intp], boxes: Array, covered: Array) -> Array:
        """Centre and extent, each with its error."""
        habits = self.habits
        centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        errors = self.errors[who] * (1 + (habits.noise_covered - 1) * covered)[:, None]
        centre = centre + habits.noise_centre * errors[:, :2] * extent
        extent = extent * np.exp(habits.noise_sides * errors[:, 2:])
        return np.concatenate([centre - extent / 2, centre + extent / 2], axis=1)

    def _away(self, n: int) -> Array:
        """(N, 4) where a second box is, and by what its extent differs."""
        sign = self.dice.choice((-1.0, 1.0), (n, 2))
        return np.column_stack(
            [sign * self.dice.uniform(MIN_DOUBLE, MAX_DOUBLE, (n, 2)), self.dice.uniform(0.5, 1.1, (n, 2))]
        )

    def _with_doubles(self, who: npt.NDArray[np.intp], found: Array) -> Array:
        twice = self.doubled[who] > 0
        away, first = self.away[who[twice]], found[twice]
        extent = first[:, 2:4] - first[:, :2]
        centre = (first[:, :2] + first[:, 2:4]) / 2 + away[:, :2] * extent
        half = extent * away[:, 2:] / 2
        score = first[:, 4] * self.dice.uniform(0.4, 1.0, len(first))
        return np.concatenate([found, np.column_stack([centre - half, centre + half, score])])


def _covered(boxes: Array) -> Array:
    """(N,) the largest share of each box that one box nearer to the camera, whose foot is lower, covers."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    both[boxes[None, :, 3] <= boxes[:, None, 3]] = 0.0
    return np.asarray(both.max(axis=1) / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9))


def _smallness(boxes: Array, height: float) -> Array:
    """(N,) 0 for large boxes, 1 at half of SMALL, 2 at a quarter."""
    tall = np.maximum(boxes[:, 3] - boxes[:, 1], MIN_SIZE)
    return np.asarray(np.maximum(np.log2(SMALL * height / tall), 0.0))


def _logistic(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -MAX_LOGIT, MAX_LOGIT))))


# ---- boxes of nothing


def _false_boxes(sequence: Sequence, habits: Detector, dice: np.random.Generator) -> Array:
    """(K, 6) frame, box, score of all boxes of nothing, by frame."""
    length_s = sequence.time_s(sequence.last_frame + 1)
    if not len(sequence.truth):
        return np.zeros((0, 6))
    again = [_somewhere(sequence, dice) for _ in range(1 + int(dice.integers(MAX_AGAIN)))]
    tables = [np.zeros((0, 6))]
    for begin_s in dice.uniform(0, length_s, dice.poisson(habits.false_rate * length_s)):
        known = dice.random() < habits.false_again
        place = again[int(dice.integers(len(again)))] if known else _somewhere(sequence, dice)
        tables.append(_stand(sequence, habits, dice, place, float(begin_s)))
    table = np.concatenate(tables)
    return table[np.argsort(table[:, 0], kind="stable")]


def _somewhere(sequence: Sequence, dice: np.random.Generator) -> Array:
    """A box as large as the true ones at its height in the picture, at another place along it."""
    box = sequence.truth[int(dice.integers(len(sequence.truth))), 2:6].copy()
    middle = (box[0] + box[2]) / 2
    box[[0, 2]] += dice.uniform(0, sequence.width) - middle
    return np.asarray(box)


def _stand(
    sequence: Sequence, habits: Detector, dice: np.random.Generator, place: Array, begin_s: float
) -> Array:
    """(K, 6) one box of nothing that stands at its place, from frame to frame."""
    first = sequence.first_frame + int(begin_s * sequence.fps)
    last = min(first + int(dice.exponential(habits.false_s) * sequence.fps), sequence.last_frame)
    frames = np.arange(first, last + 1, dtype=np.float64)
    frames = frames[dice.random(len(frames)) < habits.false_seen]
    extent = np.tile(place[2:] - place[:2], 2)
    boxes = place + 0.5 * habits.noise_centre * extent * dice.standard_normal((len(frames), 4))
    logits = habits.score - habits.false_score + habits.score_spread * dice.standard_normal()
    scores = _logistic(logits + 0.3 * dice.standard_normal(len(frames)))
    return np.column_stack([frames, boxes, scores])


# ---- what comes out


def _of_frame(table: Array, frame: int) -> Array:
    low, high = np.searchsorted(table[:, 0], (frame, frame + 1))
    return table[low:high]


def _cut(sequence: Sequence, habits: Detector, found: Array) -> Array:
    """The boxes as far as the picture reaches, of those that are enough within it and sure enough."""
    inside = found.copy()
    inside[:, [0, 2]] = np.clip(found[:, [0, 2]], 0, sequence.width)
    inside[:, [1, 3]] = np.clip(found[:, [1, 3]], 0, sequence.height)
    sizes, whole = inside[:, 2:4] - inside[:, :2], np.prod(found[:, 2:4] - found[:, :2], axis=1)
    keep = (sizes >= MIN_SIZE).all(axis=1) & (np.prod(sizes, axis=1) >= habits.min_inside * whole)
    return np.asarray(inside[keep & (found[:, 4] >= habits.min_score)])


def _suppress(found: Array, overlap: float) -> Array:
    """Greedy non-maximum suppression: of two boxes that overlap by more the one of higher score stays."""
    found = found[np.argsort(-found[:, 4], kind="stable")]
    kept: list[int] = []
    for i, row in enumerate(_overlaps(found)):
        if not kept or row[kept].max() <= overlap:
            kept.append(i)
    return np.asarray(found[kept])


def _overlaps(found: Array) -> Iterator[Array]:
    """Of each box its intersection over union with all."""
    areas = np.prod(found[:, 2:4] - found[:, :2], axis=1)
    for box, area in zip(found, areas, strict=True):
        low, high = np.maximum(found[:, :2], box[:2]), np.minimum(found[:, 2:4], box[2:4])
        both = np.prod(np.maximum(high - low, 0.0), axis=1)
        yield both / (areas + area - both)
