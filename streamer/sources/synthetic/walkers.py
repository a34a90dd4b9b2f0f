"""How the people of the synthetic street walk: along the pavements, over the crossing, standing about.

Where a scene asks for it some of them run, loiter or fall; what each does is part of the plan.

A walk is planned when it begins, as knots of time and place; between knots it is a straight line. What a
person does therefore depends on the seed and the number of the person alone.
"""

from __future__ import annotations

import bisect
import math
import random
from dataclasses import dataclass

from streamer.sources.synthetic.traffic import next_walk_s
from streamer.sources.synthetic.view import COUNT_SLOPE, FAR_PAVEMENT, NEAR_PAVEMENT, ROAD, ZEBRA

LEFT_X, RIGHT_X = -52.0, 9.0  # where walks begin and end, out of sight
NEAR_Y = (NEAR_PAVEMENT[0] + 1.0, NEAR_PAVEMENT[1] - 0.7)
CALM_Y = 9.4  # nearer to the kerb a walker stands before the cars, as the camera sees it
FAR_Y = (FAR_PAVEMENT[0] + 0.5, FAR_PAVEMENT[1] - 0.5)
RUNNING = 2.2  # m/s; faster than any walk
ACTS = ("run", "loiter", "fall")
ACT_X, ACT_Y = (
    (-11.0, -6.5),
    (7.8, 9.2),
)  # where people loiter and fall: near, off the counting line


@dataclass(frozen=True, slots=True)
class Knot:
    """`down` is 0 upright and 1 lying; `doing` is what the leg that ends here is."""

    t_s: float
    x: float
    y: float
    down: float = 0.0
    doing: str = "walk"


@dataclass(frozen=True, slots=True)
class Pose:
    """`heading` in radians from +x towards +y; `walked_m` drives the gait, `speed` its width; `down` and
    `doing` as in a knot.
    """

    x: float
    y: float
    heading: float
    speed: float
    walked_m: float
    down: float
    doing: str


@dataclass(frozen=True)
class Walk:
    """One person's way through the scene."""

    number: int
    look: int
    knots: tuple[Knot, ...]
    walked_m: tuple[float, ...]  # at each knot

    @property
    def begin_s(self) -> float:
        return self.knots[0].t_s

    @property
    def end_s(self) -> float:
        return self.knots[-1].t_s

    def pose(self, t_s: float) -> Pose | None:
        """Where the person is, or None before and after the walk."""
        if not self.begin_s <= t_s < self.end_s:
            return None
        i = bisect.bisect_right(self.knots, t_s, key=lambda knot: knot.t_s) - 1
        a, b = self.knots[i], self.knots[i + 1]
        share = (t_s - a.t_s) / (b.t_s - a.t_s)
        length = self.walked_m[i + 1] - self.walked_m[i]
        heading = self._heading(i, share)
        return Pose(
            a.x + (b.x - a.x) * share,
            a.y + (b.y - a.y) * share,
            heading,
            length / (b.t_s - a.t_s),
            self.walked_m[i] + length * share,
            a.down + (b.down - a.down) * (share**1.7 if b.down > a.down else share),
            b.doing,
        )

    def _heading(self, i: int, share: float) -> float:
        """The way the leg points; who stands keeps the last way and turns to the next in the last third."""
        own = self._leg(i)
        if own is not None:
            return own
        before = next((h for k in range(i - 1, -1, -1) if (h := self._leg(k)) is not None), 0.0)
        after = next(
            (h for k in range(i + 1, len(self.knots) - 1) if (h := self._leg(k)) is not None), before
        )
        turn = (after - before + math.pi) % math.tau - math.pi
        return before + turn * min(1.0, max(0.0, share - 0.7) / 0.3)

    def _leg(self, i: int) -> float | None:
        a, b = self.knots[i], self.knots[i + 1]
        if math.hypot(b.x - a.x, b.y - a.y) < 1e-3:
            return None
        return math.atan2(b.y - a.y, b.x - a.x)


def plan(
    number: int, seed: int, begin_s: float, light_offset_s: float, calm: bool, acts: float = 0.0
) -> Walk:
    """Plan the walk of person `number`; in `calm` scenes no one stands on the line or walks at the kerb.

    `acts` is the share of people who run, loiter or fall.
    """
    dice = random.Random(f"act {seed} {number}")
    if dice.random() < acts:
        return _act(number, dice, begin_s)
    dice = random.Random(f"walk {seed} {number}")
    right = dice.random() < 0.5
    near = dice.random() < 0.6
    speed = dice.uniform(2.4, 3.2) if dice.random() < 0.05 else dice.uniform(0.95, 1.7)
    y = dice.uniform(*(NEAR_Y if near else FAR_Y))
    if calm and near:
        y = min(y, CALM_Y)
    x, end = (LEFT_X, RIGHT_X) if right else (RIGHT_X, LEFT_X)
    way = _Way(begin_s, x, y, speed)
    habit = dice.random()
    if habit < 0.22:
        _cross(way, dice, near, light_offset_s)
    elif habit < 0.42:
        _stand(way, dice, end, calm)
    way.go(end, way.y + dice.uniform(-0.4, 0.4))
    return Walk(number, dice.randrange(1 << 30), tuple(way.knots), tuple(way.walked_m))


class _Way:
    """A walk in the making."""

    def __init__(self, t_s: float, x: float, y: float, speed: float) -> None:
        self.t_s, self.x, self.y, self.speed = t_s, x, y, speed
        self.knots = [Knot(t_s, x, y)]
        self.walked_m = [0.0]

    def go(self, x: float, y: float, speed: float | None = None, doing: str = "") -> None:
        length = math.hypot(x - self.x, y - self.y)
        self.t_s += max(length / (speed or self.speed), 1e-3)
        self._add(x, y, length, doing or ("run" if (speed or self.speed) >= RUNNING else "walk"))

    def stand(self, seconds: float, doing: str = "stand") -> None:
        if seconds > 0.05:
            self.t_s += seconds
            self._add(self.x, self.y, 0.0, doing)

    def tilt(self, seconds: float, down: float, x: float, doing: str) -> None:
        """To lying (`down` 1) or back up (0), while the feet move to `x`."""
        self.t_s += seconds
        self._add(x, self.y, 0.0, doing, down)

    def _add(self, x: float, y: float, length: float, doing: str, down: float | None = None) -> None:
        self.x, self.y = x, y
        self.knots.append(Knot(self.t_s, x, y, self.knots[-1].down if down is None else down, doing))
        self.walked_m.append(self.walked_m[-1] + length)


def _cross(way: _Way, dice: random.Random, near: bool, light_offset_s: float) -> None:
    """To the kerb at the crossing, wait for the light, over the road."""
    lane_x = dice.uniform(ZEBRA[0] + 0.4, ZEBRA[1] - 0.4)
    kerbs = (ROAD[0] - 0.5, FAR_PAVEMENT[0] + 0.4)
    here, there = kerbs if near else kerbs[::-1]
    way.go(lane_x + dice.uniform(-0.5, 0.5), here)
    way.stand(next_walk_s(way.t_s, light_offset_s) - way.t_s)
    way.go(lane_x + dice.uniform(-0.4, 0.4), there, max(way.speed, 1.45))
    way.go(lane_x, dice.uniform(*(FAR_Y if near else NEAR_Y)))


def _stand(way: _Way, dice: random.Random, end: float, calm: bool) -> None:
    """Along the way, stop somewhere in sight for a while; sometimes on the counting line itself."""
    line = COUNT_SLOPE * way.y
    spot = line + dice.gauss(0, 0.15) if dice.random() < 0.4 else dice.uniform(-20.0, -3.0)
    if calm and abs(spot - line) < 2.0:
        spot = line + math.copysign(2.0, spot - line)
    on_the_way = min(way.x, end) < spot < max(way.x, end)
    way.go(spot if on_the_way else (way.x + end) / 2, way.y)
    way.stand(dice.uniform(3.0, 9.0))


def _act(number: int, dice: random.Random, begin_s: float) -> Walk:
    """The way of somebody who runs, loiters or falls, on the near pavement."""
    x, end = (LEFT_X, RIGHT_X) if dice.random() < 0.5 else (RIGHT_X, LEFT_X)
    act = dice.choice(ACTS)
    way = _Way(begin_s, x, dice.uniform(*ACT_Y), dice.uniform(2.9, 4.0) if act == "run" else 1.3)
    spot = dice.uniform(*ACT_X)
    if act == "loiter":
        way.go(spot, way.y)
        for _ in range(dice.randint(8, 12)):
            way.go(spot + dice.uniform(-0.8, 0.8), way.y, 0.45, "loiter")
            way.stand(dice.uniform(0.3, 0.9), "loiter")
    elif act == "fall":
        way.go(spot, way.y)
        way.tilt(dice.uniform(0.5, 0.9), 1.0, way.x + math.copysign(0.3, end - x), "fall")
        way.stand(dice.uniform(4.0, 6.0), "fall")
        way.tilt(dice.uniform(1.5, 2.0), 0.0, way.x, "rise")
        way.stand(0.6)
    way.go(end, way.y)
    return Walk(number, dice.randrange(1 << 30), tuple(way.knots), tuple(way.walked_m))
