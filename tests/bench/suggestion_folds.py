"""How good a proposed line is for those who come later: halves of scenes, scores, and what is chosen by them.

Lines are proposed from the half of the tracks that ended first and judged on the later half. A later track is
served where it crosses one of the lines once, begins and ends more than half its size from
it, and crosses none of them again. The weights are chosen on all other scenes for each one left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.camera_rules import CameraRules
from pipelines.count.line_suggestion import (
    MIN_PATHS,
    WEIGHTS,
    ObservedPath,
    SuggestedLine,
    Weights,
    path_of,
    suggest_lines,
)
from pipelines.events import LINE_CROSSED
from pipelines.geometry import anchor_points
from pipelines.rules import LineSpec
from pipelines.values import Labels
from tests.bench.counting.data import Sequence as MotSequence
from tests.bench.counting.data import run_crossings
from tests.recounting import live, of_sequence

Array = npt.NDArray[np.float64]
Ends = tuple[tuple[float, float], tuple[float, float]]
CLEAN = 0.5  # of the object's size: what is a clean crossing here, whatever the weights say
MIN_LATER = 4  # moving tracks, for a share that tells anything
MIDDLE_ANGLES = 36
CHOICES: dict[str, tuple[float, ...]] = {  # at_the_line changes no proposal of these scenes
    "clear": (0.25, 0.5, 1.0),
    "far": (0.5, 1.0, 2.0, 4.0),
    "price_of_length": (0.0, 0.1, 0.3, 0.6),
}


@dataclass(frozen=True, eq=False)
class Scene:
    """Moving tracks, those that ended first and the later half; `truth` where every box is known."""

    name: str
    early: tuple[ObservedPath, ...]
    later: tuple[ObservedPath, ...]
    begin_s: float  # of the later half: when the last of the first had ended
    truth: MotSequence | None = None

    @property
    def suitable(self) -> bool:
        return len(self.early) >= MIN_PATHS and len(self.later) >= MIN_LATER


class Share(NamedTuple):
    """Of the later moving tracks: served by the first line, by all of them, and by the best plain line."""

    first: float
    every: float
    lines: int


class Counted(NamedTuple):
    """Crossings of the first line in the later half, and by how many the two directions differ in all."""

    true: int
    ours: int
    off: int


def halves(
    name: str, tracks: Iterable[tuple[float, ObservedPath]], truth: MotSequence | None = None
) -> Scene:
    """`tracks`: when each ended, in seconds, since only those that have ended are known to who proposes."""
    ordered = sorted(tracks, key=lambda track: track[0])
    half = len(ordered) // 2
    paths = [path for _, path in ordered]
    return Scene(name, tuple(paths[:half]), tuple(paths[half:]), ordered[half - 1][0] if half else 0.0, truth)


def of_truth(sequence: MotSequence) -> Scene:
    """The true tracks of a sequence, by their feet."""
    found = []
    for rows in _tracks(sequence):
        boxes = _shares(sequence, rows)
        path = path_of(boxes, anchor_points(boxes, "foot"))
        if path is not None:
            found.append((sequence.time_s(rows[-1, 0]), path))
    return halves(sequence.name, found, sequence)


def neighbours() -> list[Weights]:
    """The weights in force, and those that differ from them in one."""
    found = [WEIGHTS]
    for name, values in CHOICES.items():
        found += [changed for value in values if (changed := replace(WEIGHTS, **{name: value})) != WEIGHTS]
    return found


def grid() -> list[Weights]:
    every = (dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values()))
    return [WEIGHTS, *(w for values in every if (w := replace(WEIGHTS, **values)) != WEIGHTS)]


def judged(scene: Scene, weights: Weights) -> Share:
    ends = [line.points for line in proposed(scene, weights)]
    return Share(served(scene.later, ends[:1]), served(scene.later, ends), len(ends))


def proposed(scene: Scene, weights: Weights) -> list[SuggestedLine]:
    return suggest_lines(scene.early, weights=weights)


def served(paths: Sequence[ObservedPath], lines: Sequence[Ends]) -> float:
    if not lines:
        return 0.0
    told = np.array([[_meets(path, line) for line in lines] for path in paths])  # (N, L, 2): times, cleanly
    return float(np.mean((told[..., 0].max(axis=1) == 1) & told[..., 1].any(axis=1)))


def through_the_middle(scene: Scene) -> float:
    """The plain rival: of all straight lines through the picture's middle, the one that serves most early
    tracks, from border to border."""
    lines = [_across(angle) for angle in np.arange(MIDDLE_ANGLES) * np.pi / MIDDLE_ANGLES]
    return served(scene.later, [max(lines, key=lambda line: served(scene.early, [line]))])


def left_out(table: Mapping[Weights, Mapping[str, Share]]) -> dict[str, Weights]:
    """For each scene the weights that are best on all others: those in force where none is better."""
    names = list(table[WEIGHTS])
    return {out: best(table, [name for name in names if name != out]) for out in names}


def best(table: Mapping[Weights, Mapping[str, Share]], names: Sequence[str]) -> Weights:
    def worth(weights: Weights) -> tuple[float, bool]:
        shares = [table[weights][name] for name in names]
        return round(float(np.mean([s.first + s.every for s in shares])), 9), weights == WEIGHTS

    return max(table, key=worth)


def counted(scene: Scene, line: SuggestedLine) -> Counted:
    """The first line by the counting rule on the sequence's detections, and by its true tracks."""
    assert scene.truth is not None
    spec = LineSpec(name="proposed", points=line.points, anchor="foot")
    true = Counter(way for at_s, way in _true_crossings(scene.truth, spec) if at_s >= scene.begin_s)
    labels = Labels(("person",), ("person",))
    events = live(of_sequence(scene.truth), labels, CameraRules(lines=(spec,)))
    ours = Counter(
        str(e.data["side"])
        for e in events
        if e.type == LINE_CROSSED and e.data["crossed_media_ns"] / 1e9 >= scene.begin_s
    )
    off = sum(abs(true[way] - ours[way]) for way in {*true, *ours})
    return Counted(true.total(), ours.total(), off)


def _meets(path: ObservedPath, line: Ends) -> tuple[int, bool]:
    distance, along = _places(path.points_xyn, line)
    times = len(_changes(distance, along))
    normal = np.abs(_normal(line))
    ends = min(abs(distance[0]), abs(distance[-1])) / float(path.size_xyn @ normal)
    return times, times == 1 and ends > CLEAN


def _changes(distance: Array, along: Array) -> list[int]:
    """Where the line itself is crossed, not what lies beyond its ends."""
    at = np.flatnonzero((distance[1:] > 0) != (distance[:-1] > 0))
    share = distance[at] / (distance[at] - distance[at + 1])
    place = along[at] + share * (along[at + 1] - along[at])
    return [int(i) for i in at[(place >= 0) & (place <= 1)]]


def _places(points: Array, line: Ends) -> tuple[Array, Array]:
    """The distance from the line, and where along it, 0 to 1."""
    begin, way = np.array(line[0]), np.subtract(line[1], line[0])
    return (points - begin) @ _normal(line), (points - begin) @ way / float(way @ way)


def _normal(line: Ends) -> Array:
    """To the right of who walks it."""
    x, y = np.subtract(line[1], line[0])
    return np.array([-y, x]) / np.hypot(x, y)


def _across(angle: float) -> Ends:
    way = np.array([np.cos(angle), np.sin(angle)])
    reach = 0.5 / np.abs(way).max()
    first, second = (tuple((0.5 + side * reach * way).tolist()) for side in (-1, 1))
    return first, second


def _true_crossings(sequence: MotSequence, spec: LineSpec) -> list[tuple[float, str]]:
    """By the rule of the corpus: two observations on either side make a crossing."""
    found = []
    line = (spec.points[0], spec.points[1])
    for rows in _tracks(sequence):
        distance, along = _places(anchor_points(_shares(sequence, rows), "foot"), line)
        for index, way in run_crossings(distance > 0):
            if 0 <= (along[index - 1] + along[index]) / 2 <= 1:
                side = "left_to_right" if way > 0 else "right_to_left"
                found.append((sequence.time_s(rows[index, 0]), side))
    return found


def _tracks(sequence: MotSequence) -> list[Array]:
    rows = sequence.truth
    return [rows[rows[:, 1] == identity] for identity in np.unique(rows[:, 1])]


def _shares(sequence: MotSequence, rows: Array) -> Array:
    return rows[:, 2:6] / np.array([sequence.width, sequence.height] * 2)
