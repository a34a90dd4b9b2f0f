"""True boxes in MOTChallenge text, and the crossings that they make.

Columns `frame,id,left,top,width,height,conf[,class,visibility | ,x,y,z]` in pixels, frames from 1; rows with
conf 0 are set aside. Nine columns are those of MOT16 and later, with a class.

A true track crosses a line when its anchor was seen 2 or more times in a row on one side and then 2 or more
times in a row on the other (a point on the line is on the side of the greater x, or y); the crossing's time
is the first observation of the new run. Where its path cuts the line beyond one of its ends it is none; an
end at the picture's edge is no end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipelines.class_names import class_key
from pipelines.evaluate.crossings import Crossing
from pipelines.evaluate.truth import TrueCrossings, TruthError
from pipelines.geometry import Polyline, at_the_border
from pipelines.rules import LineSpec

Array = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

RUN = 2  # observations in a row that make a side
CLASSES = {1: "person", 3: "car", 4: "bicycle", 5: "motorcycle"}  # of MOT16 and later
OUTSIDE = 0.01  # share of boxes wholly outside the picture from which the size must be wrong
FILLED = 0.6  # boxes that all end before this share of the picture: is its size right?


@dataclass(frozen=True, slots=True, eq=False)
class TrueBoxes:
    """frames (N,) from 1 and ids (N,); boxes_xyxy (N, 4) in pixels; class_names, "" where not given."""

    frames: Longs
    ids: Longs
    boxes_xyxy: Array
    class_names: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def last_frame(self) -> int:
        return int(self.frames.max())


def read_mot(text: str, *, name: str = "truth") -> TrueBoxes:
    """Raises TruthError, with the row, for what is no such text, and where no box is left."""
    rows: list[tuple[int, int, float, float, float, float]] = []
    kinds: list[str] = []
    aside = {"conf": 0, "class": 0}
    row_of: dict[tuple[int, int], int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        values = _numbers(line, f"{name}:{number}")
        frame, identity = int(values[0]), int(values[1])
        if len(values) > 6 and values[6] == 0:
            aside["conf"] += 1
            continue
        if len(values) == 9 and int(values[7]) not in CLASSES:
            aside["class"] += 1
            continue
        before = row_of.setdefault((frame, identity), number)
        if before != number:
            raise TruthError(
                f"{name}:{number}: id {identity} is in frame {frame} twice (also in row {before})"
            )
        left, top, width, height = values[2:6]
        rows.append((frame, identity, left, top, left + width, top + height))
        kinds.append(CLASSES[int(values[7])] if len(values) == 9 else "")
    if not rows:
        raise TruthError(f"{name}: no box in it: rows are frame,id,left,top,width,height,conf,…")
    table = np.array(rows, np.float64)
    order = np.argsort(table[:, 0], kind="stable")
    table = table[order]
    warnings = []
    if aside["class"]:
        warnings.append(
            f"{name}: {aside['class']} boxes of other classes than {', '.join(CLASSES.values())} left out"
        )
    return TrueBoxes(
        frames=table[:, 0].astype(np.int64),
        ids=table[:, 1].astype(np.int64),
        boxes_xyxy=table[:, 2:6],
        class_names=tuple(kinds[i] for i in order.tolist()),
        warnings=tuple(warnings),
    )


def _numbers(line: str, at: str) -> list[float]:
    try:
        values = [float(cell) for cell in line.split(",") if cell.strip()]
    except ValueError as error:
        raise TruthError(f"{at}: not numbers: rows are frame,id,left,top,width,height,conf,…") from error
    if len(values) < 6 or not np.isfinite(values).all():
        raise TruthError(f"{at}: {len(values)} numbers: rows are frame,id,left,top,width,height,conf,…")
    if values[0] < 1 or values[0] != int(values[0]):
        raise TruthError(f"{at}: frame {values[0]:g}: frames are whole numbers from 1")
    if values[1] != int(values[1]):
        raise TruthError(f"{at}: id {values[1]:g}: ids are whole numbers")
    if values[4] <= 0 or values[5] <= 0:
        raise TruthError(f"{at}: a box of {values[4]:g}x{values[5]:g} pixels: width and height are above 0")
    return values


def check_boxes(truth: TrueBoxes, size: tuple[int, int], times_s: Sequence[float], *, name: str) -> list[str]:
    """What is doubtful about boxes for pictures of `size` (width, height) and frames at `times_s`.

    Raises TruthError where frames or boxes cannot belong to the clip.
    """
    if truth.last_frame > len(times_s):
        raise TruthError(
            f"{name}: has frame {truth.last_frame}, but the clip has {len(times_s)}: is it "
            "the truth of this clip, at this frame rate?"
        )
    warnings = []
    if truth.last_frame < len(times_s):
        warnings.append(
            f"{name}: ends with frame {truth.last_frame} of {len(times_s)}: what is counted after "
            f"{times_s[truth.last_frame - 1]:.1f} s is taken for false"
        )
    width, height = size
    x1, y1, x2, y2 = truth.boxes_xyxy.T
    outside = int(((x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height)).sum())
    if outside > OUTSIDE * len(x1):
        raise TruthError(
            f"{name}: {outside} of {len(x1)} boxes lie outside the picture of {width}x{height}: give the "
            "size that they are measured in with --truth-size"
        )
    if outside:
        warnings.append(f"{name}: {outside} of {len(x1)} boxes lie outside the picture of {width}x{height}")
    if x2.max() < FILLED * width and y2.max() < FILLED * height:
        warnings.append(
            f"{name}: all boxes lie in {x2.max():.0f}x{y2.max():.0f} of {width}x{height} pixels: if they are "
            "measured in another size, give it with --truth-size"
        )
    return warnings


def box_crossings(
    truth: TrueBoxes,
    lines: Sequence[LineSpec],
    size: tuple[int, int],
    times_s: Sequence[float],
) -> TrueCrossings:
    """The crossings of all true tracks by the rule above; frame f was at `times_s[f - 1]`.

    `size` is the (width, height) that the boxes are measured in. A line's anchor "auto" is the foot of a
    person (and of what has no class: these texts are of people), else the centre.
    """
    crossings = []
    for identity in np.unique(truth.ids):
        rows = np.flatnonzero(truth.ids == identity)
        kind = truth.class_names[rows[0]]
        for line in lines:
            points = anchors(truth.boxes_xyxy[rows], line.anchor, kind)
            for at, right in _line_crossings(points, line, size):
                direction = line.left_to_right if right else line.right_to_left
                time_s = float(times_s[int(truth.frames[rows[at]]) - 1])
                crossings.append(Crossing(line.name, direction, time_s, kind))
    return TrueCrossings(tuple(sorted(crossings, key=lambda c: c.time_s)), truth.warnings)


def crossing_box(
    truth: TrueBoxes, crossing: Crossing, line: LineSpec, size: tuple[int, int], times_s: Sequence[float]
) -> Array | None:
    """The (4,) true box, in pixels, of the track that made a crossing of `line`, at its moment."""
    for row in np.flatnonzero(np.array(times_s)[truth.frames - 1] == crossing.time_s).tolist():
        of_it = truth.ids == truth.ids[row]
        kinds = tuple(kind for kind, its in zip(truth.class_names, of_it.tolist(), strict=True) if its)
        alone = TrueBoxes(truth.frames[of_it], truth.ids[of_it], truth.boxes_xyxy[of_it], kinds)
        if crossing in box_crossings(alone, [line], size, times_s).crossings:
            return np.asarray(truth.boxes_xyxy[row])
    return None


def anchors(boxes_xyxy: Array, anchor: str, kind: str) -> Array:
    """(N, 2) the points of (N, 4) boxes that cross."""
    if anchor == "auto":
        anchor = "foot" if class_key(kind) in ("", "person") else "center"
    x1, y1, x2, y2 = boxes_xyxy.T
    y = {"foot": y2, "top": y1, "center": (y1 + y2) / 2}[anchor]
    return np.column_stack([(x1 + x2) / 2, y])


def _line_crossings(points: Array, line: LineSpec, size: tuple[int, int]) -> list[tuple[int, bool]]:
    """(index of the first observation of the new run, whether it went to the right)."""
    drawn = [(x * size[0], y * size[1]) for x, y in line.points]
    polyline = Polyline(drawn)
    distance, normal = polyline.locate(points)
    # The normal points to the right; a point on the line is on the side of the greater x, or y.
    right_is_greater = np.where(np.abs(normal[:, 0]) > 1e-6, normal[:, 0] > 0, normal[:, 1] > 0)
    right = np.where(np.abs(distance) < 1e-9, right_is_greater, distance > 0)
    crossings = []
    for at, to_right in side_changes(right):
        cut = _cut(points[at - 1], points[at], float(distance[at - 1]), float(distance[at]))
        before, after = polyline.beyond(cut[None])
        ends = at_the_border(line.points[0]), at_the_border(line.points[-1])
        if (before[0] <= 0 or ends[0]) and (after[0] <= 0 or ends[1]):
            crossings.append((at, to_right))
    return crossings


def side_changes(right: npt.NDArray[np.bool_]) -> list[tuple[int, bool]]:
    """(start of the new run, its side) of each change between runs of at least `RUN` equal observations."""
    starts = np.flatnonzero(np.r_[True, right[1:] != right[:-1]]) if len(right) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(right)])
    long = starts[lengths >= RUN]
    sides = right[long]
    changed = np.flatnonzero(sides[1:] != sides[:-1]) + 1
    return [(int(long[i]), bool(sides[i])) for i in changed]


def _cut(a: Array, b: Array, from_d: float, to_d: float) -> Array:
    share = abs(from_d) / max(abs(from_d) + abs(to_d), 1e-12) if (from_d > 0) != (to_d > 0) else 1.0
    return np.asarray(a + (b - a) * share)
