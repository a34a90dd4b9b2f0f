"""Drawn scenes: each seed is another place with another camera, drawn from wide distributions.

    draw(seed) -> a sequence whose truth is known to the pixel, seen by the simulated detector of that seed

Objects come in over the border or begin within the picture, alone or in groups, and go straight, turn, stop
(often near a line), go back before or behind a line, or walk along one; they cover each other as their feet
lie in the picture. How many there are, how large, how fast and how deep the view is, the frame rate, and
whether the camera moves are the scene's. Nobody stands or turns so near to a line that it is a matter of
taste when or whether it was crossed: that is the subject of the bench `standing`. (The rendered streets of
streamer/sources/synthetic are one kind of place, made for detectors; what a counter can meet is wider.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tests.bench.counting.data import HORIZONTAL_AT, VERTICAL_AT, Sequence
from tests.bench.counting.simulated import simulate

Array = npt.NDArray[np.float64]
Dice = np.random.Generator

GROUP = "drawn"
SIZES = ((640, 360), (1280, 720), (1920, 1080), (768, 576), (1242, 375))
MOVES = 0.3  # of the cameras
GROUPED = 0.3  # of those who come, and
MAX_GROUP = 4
BEYOND = 0.1  # of the picture: where ways begin and end, out of it
MIN_INSIDE = 0.1  # of a box, else it is not annotated
STAND_S, NEAR_LINE = (0.5, 12.0), 0.6  # how long who stops stands, and how many of them near a line
FROM_LINE = (0.15, 1.5)  # sizes from a line where somebody stands, turns back or walks along it
PAN_S = 1.5  # correlation time of a moving camera's speed


@dataclass(frozen=True, slots=True)
class Place:
    """What a scene is like; lengths in pictures, speeds in heights of the object a second."""

    width: int
    height: int
    fps: float
    seconds: float
    crowd: float  # objects there at once, about
    tall: float  # of who stands at the lower border,
    far: float  # and at the upper one, of that
    wide: float  # width over height
    speed: float
    clipped: bool  # whether the truth ends at the border
    pan: float  # speed of the camera, pictures a second; 0 where it stands

    def size(self, y: Array | float) -> Array:
        """The height of an object whose foot is there."""
        return np.asarray(self.tall * (self.far + (1 - self.far) * np.clip(y, 0, 1)))


def place(seed: int) -> Place:
    """The place of a seed."""
    dice = np.random.default_rng([seed, 2])

    def between(low: float, high: float) -> float:
        return float(np.exp(dice.uniform(np.log(low), np.log(high))))

    width, height = SIZES[int(dice.integers(len(SIZES)))]
    return Place(
        width=width,
        height=height,
        fps=float(dice.choice([5, 8, 10, 12.5, 15, 25, 30])),
        seconds=float(dice.uniform(20, 45)),
        crowd=between(1, 20),
        tall=between(0.1, 0.5),
        far=float(dice.uniform(0.2, 1.0)),
        wide=between(0.3, 2.0),
        speed=between(0.3, 2.5),
        clipped=bool(dice.random() < 0.5),
        pan=between(0.01, 0.1) if dice.random() < MOVES else 0.0,
    )


def draw(seed: int, seconds: float | None = None) -> Sequence:
    """The scene of a seed, with the detections of the detector of that seed; of that length instead of the
    seed's own where one is given."""
    return simulate(scene(seed, seconds), seed)


def scene(seed: int, seconds: float | None = None) -> Sequence:
    """The truth of a seed; each of its boxes is found."""
    where, dice = place(seed), np.random.default_rng([seed, 3])
    where = where if seconds is None else replace(where, seconds=seconds)
    frames = int(where.seconds * where.fps)
    pan = _pan(where, frames, dice)
    rows = [_rows(where, identity, way, pan, dice) for identity, way in enumerate(_ways(where, dice), 1)]
    truth = np.concatenate([np.zeros((0, 6)), *rows])
    truth = truth[np.argsort(truth[:, 0], kind="stable")]
    found = np.column_stack([truth[:, 0], truth[:, 2:6], np.full(len(truth), 0.9)])
    return Sequence(
        group=GROUP,
        name=f"drawn-{seed}",
        width=where.width,
        height=where.height,
        fps=where.fps,
        first_frame=0,
        last_frame=frames - 1,
        truth=truth,
        detections=found,
        moving=where.pan > 0,
    )


# ---- ways: (K, 3) knots of time, x and y of the foot, straight between them


def _ways(where: Place, dice: Dice) -> list[Array]:
    """Of everybody who comes while the scene lasts, or was there when it began."""
    found: list[Array] = []
    stay_s = 1 / (where.speed * float(where.size(0.5)))  # about one picture's height
    before_s = min(stay_s, where.seconds)
    comings = dice.poisson(where.crowd * (where.seconds + before_s) / stay_s / (1 + GROUPED))
    for begin_s in dice.uniform(-before_s, where.seconds, comings):
        kind = KINDS[int(dice.integers(len(KINDS)))]
        way = _timed(where, kind(where, dice), float(begin_s), dice)
        members = int(dice.integers(2, MAX_GROUP + 1)) if dice.random() < GROUPED else 1
        found += [_beside(where, way, dice) if i else way for i in range(members)]
    return found


def _straight(_: Place, dice: Dice) -> Array:
    return _knots(_border(dice), _border(dice))


def _turning(_: Place, dice: Dice) -> Array:
    return _knots(_border(dice), _inside(dice), _inside(dice), _border(dice))


def _stopping(where: Place, dice: Dice) -> Array:
    """It stands at the second knot."""
    at = _near_a_line(where, dice) if dice.random() < NEAR_LINE else _inside(dice)
    knots = _knots(_border(dice), at, at, _border(dice))
    knots[2, 2] = np.exp(dice.uniform(*np.log(STAND_S)))
    return knots


def _returning(where: Place, dice: Dice) -> Array:
    """It comes to a line or over it and goes back by the same way."""
    begin = _border(dice)
    return _knots(begin, _near_a_line(where, dice), begin)


def _along(where: Place, dice: Dice) -> Array:
    """It walks level or upright from a point near a line: along it, or away over the other one."""
    at, axis = _near_a_line(where, dice), int(dice.integers(2))
    beside = at.copy()
    beside[axis] = _inside(dice)[axis]
    return _knots(_border(dice), at, beside, _border(dice))


def _begun_inside(_: Place, dice: Dice) -> Array:
    return _knots(_inside(dice), _inside(dice), _border(dice))


KINDS: tuple[Callable[[Place, Dice], Array], ...] = (
    _straight,
    _straight,
    _turning,
    _stopping,
    _returning,
    _along,
    _begun_inside,
)


def _knots(*points: Array) -> Array:
    """(K, 3) x, y and how long it takes to there besides going."""
    return np.column_stack([np.array(points), np.zeros(len(points))])


def _border(dice: Dice) -> Array:
    """A point outside of the picture, to the left, to the right, above or below."""
    along, side = dice.uniform(0.1, 1.0), int(dice.integers(4))
    beyond = 1 + BEYOND
    return np.array([(-BEYOND, along), (beyond, along), (along, -BEYOND), (along, beyond + 0.3)][side])


def _inside(dice: Dice) -> Array:
    return dice.uniform((0.05, 0.2), (0.95, 0.98))


def _near_a_line(where: Place, dice: Dice) -> Array:
    """A point at either side of one of the lines, FROM_LINE sizes of who stands there away from it."""
    point, axis = _inside(dice), int(dice.integers(2))
    point[axis] = (VERTICAL_AT, HORIZONTAL_AT)[axis]
    away = np.exp(dice.uniform(*np.log(FROM_LINE))) * float(where.size(point[1]))
    extent = (where.wide * where.height / where.width, 1.0)[axis]
    point[axis] += dice.choice((-1.0, 1.0)) * away * extent
    return point


def _timed(where: Place, knots: Array, begin_s: float, dice: Dice) -> Array:
    """(K, 3) times, x, y: each leg at a pace of its own, by the size of who goes there."""
    steps = np.diff(knots[:, :2], axis=0) * (where.width / where.height, 1.0)
    sizes = where.size((knots[1:, 1] + knots[:-1, 1]) / 2)
    pace = where.speed * sizes * np.exp(dice.normal(0, 0.3, len(steps)))
    took_s = np.hypot(*steps.T) / pace + knots[1:, 2]
    return np.column_stack([begin_s + np.concatenate([[0.0], np.cumsum(took_s)]), knots[:, :2]])


def _beside(where: Place, way: Array, dice: Dice) -> Array:
    """Another one of a group: a little beside, before or behind."""
    size = float(where.size(0.5))
    away = dice.uniform(-1.0, 1.0, 2) * (size, 0.4 * size)
    return np.asarray(way + np.concatenate([[dice.uniform(-0.5, 0.5)], away]))


# ---- boxes


def _rows(where: Place, identity: int, way: Array, pan: Array, dice: Dice) -> Array:
    """(F, 6) truth rows of a way: at each frame of it, as far as it is in the picture."""
    last = len(pan) - 1
    first, end = np.ceil(way[0, 0] * where.fps), np.floor(way[-1, 0] * where.fps)
    frames = np.arange(max(first, 0), min(end, last) + 1)
    times = frames / where.fps
    x, y = (np.interp(times, way[:, 0], way[:, i]) for i in (1, 2))
    tall = where.size(y) * dice.uniform(0.85, 1.15)
    seen = pan[frames.astype(int)]
    foot_x, foot_y = (x + seen[:, 0]) * where.width, (y + seen[:, 1]) * where.height
    height = tall * where.height
    half = height * where.wide / 2
    boxes = np.column_stack([foot_x - half, foot_y - height, foot_x + half, foot_y])
    return _annotated(where, np.column_stack([frames, np.full(len(frames), float(identity)), boxes]))


def _annotated(where: Place, rows: Array) -> Array:
    """The rows that are enough in the picture, cut at its border where the truth of the place is."""
    inside = np.clip(rows[:, 2:6], 0.0, (where.width, where.height) * 2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (inside, rows[:, 2:6])]
    rows = np.column_stack([rows[:, :2], inside]) if where.clipped else rows
    return np.asarray(rows[areas[0] > MIN_INSIDE * areas[1]])


def _pan(where: Place, frames: int, dice: Dice) -> Array:
    """(F, 2) how far the view has moved, in pictures; zeros where the camera stands."""
    keep = np.exp(-1 / (PAN_S * where.fps))
    speed, found = np.zeros(2), np.zeros((frames, 2))
    for i in range(1, frames if where.pan else 0):
        speed = keep * speed + np.sqrt(1 - keep**2) * dice.standard_normal(2) * (where.pan, where.pan / 4)
        found[i] = found[i - 1] + speed / where.fps
    return found
