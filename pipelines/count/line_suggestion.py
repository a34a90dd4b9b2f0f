"""Lines that most paths of the past cross cleanly, for a camera whose picture has none there yet.

Every direction and place of a straight line is tried. A path crosses one cleanly that goes from one side to
the other once, and begins and ends farther from it than the object's own size lets the place jitter; the
farther, the more it speaks for the line. A path that turns on it, begins or ends at it speaks against it.
Of each straight line the piece is taken whose paths speak for it most, less a price for its length: a
maximum sum of neighbours (Bentley, "Programming pearls: algorithm design techniques", 1984), here with
distances between them. A path that crosses a chosen line, or one that the camera has already, speaks for no
other: the next goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.count.replay import stored_anchors
from pipelines.count.trajectory_codec import Trajectory

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ANGLES, OFFSETS = 24, 48  # directions over half a turn, and places of each, that are tried
POINTS = 24  # of a path, evenly along it
MIN_PATHS = 8  # fewer tell nothing about where people or vehicles go
MAX_LINES = 3
MIN_WAY = 2.0  # sizes of the object that it must have gone to count as moving
MIN_SHARE = 0.1  # of the first line's worth, or of the paths that have a line, must another have
MAX_PATHS = 2_000  # what is looked at: the latest
BORDER = 0.002  # ends of a line keep within the picture


@dataclass(frozen=True, slots=True)
class Weights:
    """What a path says of a line. `python -m tests.bench suggested_lines` chooses them, and says how well."""

    clear: float = 0.5  # of the object's size: so far from the line begins and ends who crosses it cleanly,
    far: float = 1.0  # and from here on nothing speaks against it
    at_the_line: float = -0.5  # what a path is worth that only begins or ends there
    price_of_length: float = 0.3  # of all paths, for the width of the picture


WEIGHTS = Weights()


class ObservedPath(NamedTuple):
    """`points_xyn`: (POINTS, 2) places of what crosses lines, evenly along the way; `size_xyn`: (2,) the
    object's usual width and height. Both in shares of the picture."""

    points_xyn: Array
    size_xyn: Array


@dataclass(frozen=True, slots=True)
class SuggestedLine:
    """Two points in shares of the picture; how many paths cross it cleanly in each direction, and how many
    come to it without crossing cleanly."""

    points: tuple[tuple[float, float], tuple[float, float]]
    to_right: int
    to_left: int
    unclear: int

    @property
    def clean(self) -> int:
        return self.to_right + self.to_left


def observed_path(trajectory: Trajectory) -> ObservedPath | None:
    """What a stored track tells about where one goes; None for one that stayed where it was."""
    boxes = trajectory.boxes_xyxyn
    return path_of(boxes, stored_anchors(boxes, trajectory.class_index, trajectory, "auto"))


def path_of(boxes: Array, anchors: Array) -> ObservedPath | None:
    """The same from a track's boxes (N, 4) and the points (N, 2) that stand for them, N > 0, in shares."""
    size = np.maximum(np.median(boxes[:, 2:] - boxes[:, :2], axis=0), 1e-3)
    if np.max(np.abs(np.ptp(anchors, axis=0)) / size) < MIN_WAY:
        return None
    steps = np.hypot(*np.diff(anchors, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0.0, along[-1], POINTS)
    points = np.column_stack([np.interp(at, along, anchors[:, axis]) for axis in (0, 1)])
    return ObservedPath(points, size)


def suggest_lines(
    paths: Sequence[ObservedPath],
    at_most: int = MAX_LINES,
    covered: Sequence[bool] = (),
    weights: Weights = WEIGHTS,
) -> list[SuggestedLine]:
    """The best lines first; none where fewer than MIN_PATHS paths moved or none is crossed cleanly.

    `covered`: of each path, whether there is a line already that it crosses; it speaks for no other.
    """
    if len(paths) < MIN_PATHS:
        return []
    latest = paths[-MAX_PATHS:]
    field = _Paths(np.stack([p.points_xyn for p in latest]), np.stack([p.size_xyn for p in latest]), weights)
    has_line = np.array(covered[-MAX_PATHS:], bool) if covered else np.zeros(len(latest), bool)
    at_least = max(MIN_PATHS / 4, MIN_SHARE * has_line.sum())
    found: list[SuggestedLine] = []
    while len(found) < at_most:
        best = max(
            (_best_piece(field, has_line, angle) for angle in _angles()), key=lambda piece: piece.score
        )
        if best.score < at_least:
            break
        at_least = max(at_least, MIN_SHARE * best.score)
        found.append(_line(best))
        has_line[best.clean] = True
    return found


class _Paths(NamedTuple):
    points: Array  # (N, POINTS, 2)
    sizes: Array  # (N, 2)
    weights: Weights


class _Piece(NamedTuple):
    """A piece of the straight line that is `offset` along the normal of `angle`."""

    score: float
    angle: float
    offset: float
    begin: float
    end: float
    clean: npt.NDArray[np.intp]  # which paths cross it cleanly,
    forward: Bools  # and which of them along the normal
    unclear: int


class _Meeting(NamedTuple):
    """Paths that come to a straight line, in their order along it."""

    paths: npt.NDArray[np.intp]
    at: Array  # where along it
    values: Array  # what each says of the line: up to 1 for it, down to -1 against
    clean: Bools
    forward: Bools  # along the normal


def _angles() -> Array:
    return np.arange(ANGLES) * np.pi / ANGLES


def _axes(angle: float) -> tuple[Array, Array]:
    """The normal and the direction of a line."""
    return np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])


def _best_piece(field: _Paths, has_line: Bools, angle: float) -> _Piece:
    normal, along = _axes(angle)
    across_at, along_at = field.points @ normal, field.points @ along
    low, high = np.quantile(across_at, (0.02, 0.98))
    size, weights = field.sizes @ np.abs(normal), field.weights
    pieces = [
        _piece(_meeting(across_at - offset, along_at, size, has_line, weights), angle, offset, weights)
        for offset in np.linspace(low, high, OFFSETS)
    ]
    best = max(pieces, key=lambda piece: piece.score)
    return _extended(best, field.sizes @ np.abs(along), along_at)


def _meeting(distance: Array, along_at: Array, size: Array, has_line: Bools, weights: Weights) -> _Meeting:
    """distance: (N, POINTS) from the line; size: (N,) of the objects, in the same direction."""
    right = distance > 0
    changes = right[:, 1:] != right[:, :-1]
    times = changes.sum(axis=1)
    ends = np.minimum(np.abs(distance[:, 0]), np.abs(distance[:, -1])) / size
    clean = (times == 1) & (ends > weights.clear)
    touching = (times == 0) & (np.abs(distance).min(axis=1) < weights.clear * size) & (ends < weights.clear)
    speaks_for = np.where(has_line, 0.0, np.minimum(ends / weights.far, 1.0))
    values = np.where(clean, speaks_for, np.where(touching, weights.at_the_line, -1.0))
    met = np.flatnonzero((times > 0) | touching)
    step = np.where(touching, np.abs(distance).argmin(axis=1).clip(max=POINTS - 2), changes.argmax(axis=1))
    before, after = distance[met, step[met]], distance[met, step[met] + 1]
    share = np.clip(before / np.where(before == after, 1.0, before - after), 0.0, 1.0)
    at = along_at[met, step[met]] * (1 - share) + along_at[met, step[met] + 1] * share
    order = np.argsort(at, kind="stable")
    met = met[order]
    return _Meeting(met, at[order], values[met], clean[met], right[met, -1])


def _piece(meeting: _Meeting, angle: float, offset: float, weights: Weights) -> _Piece:
    """The piece with the most for it: the greatest sum between two places, less the price of the length."""
    if not len(meeting.paths):
        nobody = np.zeros(0, np.intp)
        return _Piece(-np.inf, angle, offset, 0.0, 0.0, nobody, nobody.astype(bool), 0)
    price = weights.price_of_length * max(float(np.abs(meeting.values).sum()), 1.0)
    up_to = np.cumsum(meeting.values)
    at_begin = up_to - meeting.values - price * meeting.at
    at_end = up_to - price * meeting.at
    last = int(np.argmax(at_end - np.minimum.accumulate(at_begin)))
    first = int(np.argmin(at_begin[: last + 1]))
    inside = slice(first, last + 1)
    clean = meeting.clean[inside]
    return _Piece(
        float(at_end[last] - at_begin[first]),
        angle,
        offset,
        float(meeting.at[first]),
        float(meeting.at[last]),
        meeting.paths[inside][clean],
        meeting.forward[inside][clean],
        int((~clean).sum()),
    )


def _extended(piece: _Piece, sizes_along: Array, along_at: Array) -> _Piece:
    """With room at both ends, since the next to come goes a little beside those that went."""
    if not len(piece.clean):
        return piece
    room = float(np.median(sizes_along[piece.clean]))
    return piece._replace(
        begin=max(piece.begin - room, float(along_at.min()) - room),
        end=min(piece.end + room, float(along_at.max()) + room),
    )


def _line(piece: _Piece) -> SuggestedLine:
    """From the left to the right of the picture, or downwards: as most people draw one."""
    normal, along = _axes(piece.angle)
    begin, end = _within_picture(piece.offset * normal, along, piece.begin, piece.end)
    points = sorted([piece.offset * normal + begin * along, piece.offset * normal + end * along], key=tuple)
    direction = points[1] - points[0]
    forward_is_right = bool(np.dot([-direction[1], direction[0]], normal) > 0)
    forward = int(piece.forward.sum())
    backward = len(piece.forward) - forward
    first, second = ((round(float(x), 4), round(float(y), 4)) for x, y in points)
    to_right, to_left = (forward, backward) if forward_is_right else (backward, forward)
    return SuggestedLine((first, second), to_right, to_left, piece.unclear)


def _within_picture(foot: Array, along: Array, begin: float, end: float) -> tuple[float, float]:
    """The part of it that lies in the picture."""
    for place, direction in zip(foot, along, strict=True):
        if abs(direction) > 1e-9:
            limits = sorted(((BORDER - place) / direction, (1 - BORDER - place) / direction))
            begin, end = max(begin, limits[0]), min(end, limits[1])
    return begin, max(end, begin)
