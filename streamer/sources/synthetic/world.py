"""The synthetic street as a whole: who is where at a moment, by seed and time alone.

`World.at(t_s)` steps the lanes forward to that moment; going back in time starts again from the beginning.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from streamer.sources.synthetic import traffic, walkers
from streamer.sources.synthetic.view import PARKING, VERTICAL_FOV, View

WARM_UP_S = 70.0  # simulated before time 0, so that the street is not empty when the camera opens
NEAREST_GROUND_M = 7.5  # from the mast's foot, straight ahead
PARKED_AT = (-27.5, -21.0, -4.0)


@dataclass(frozen=True, slots=True)
class Actor:
    """One object at one moment. `kind` is the truth's class; a rider is a person on a bicycle.

    `ident` is unique in a world; `moved_m` drives wheels and gait; `heading` is in radians from +x to +y.
    """

    ident: int
    kind: str
    x: float
    y: float
    heading: float
    speed: float
    moved_m: float
    look: int
    rides: bool = False
    parked: bool = False
    down: float = 0.0  # of a person: 0 upright, 1 lying
    doing: str = ""  # of a person on foot: stand, walk, run, loiter, fall, rise


@dataclass(frozen=True, slots=True)
class Density:
    """How busy the street is, per minute. `calm`: nobody stands on the counting line. `acts` is the share of
    people who run, loiter or fall.
    """

    people: float = 14.0
    vehicles: float = 16.0
    bicycles: float = 2.0
    calm: bool = True
    acts: float = 0.0

    def scaled(self, factor: float) -> Density:
        return replace(
            self,
            people=self.people * factor,
            vehicles=self.vehicles * factor,
            bicycles=self.bicycles * factor,
        )


class World:
    """The street's life for one seed."""

    def __init__(self, seed: int, density: Density | None = None, mast_m: float = 0.0) -> None:
        """`mast_m` is the camera's height; 0: the seed chooses one of an ordinary lamp post."""
        self.seed = seed
        self.density = density or Density()
        dice = random.Random(f"world {seed}")
        self.light_offset_s = dice.uniform(0, traffic.CYCLE_S)
        self.yaw_deg = dice.uniform(28.0, 36.0)
        self.height_m = mast_m or dice.uniform(5.2, 5.8)
        # The picture's lower edge lies as far from the mast at any height.
        self.pitch_deg = math.degrees(math.atan(self.height_m / NEAREST_GROUND_M) - VERTICAL_FOV / 2)
        self.parked = self._park(dice)
        self._restart()

    def view(self, width: int, height: int) -> View:
        return View.of_street(width, height, self.yaw_deg, self.pitch_deg, self.height_m)

    def at(self, t_s: float) -> list[Actor]:
        """Everyone in the world at `t_s` seconds (0 is the camera's opening), in no special order."""
        if t_s < self._now_s - traffic.STEP_S - 1e-9:
            self._restart()
        while self._now_s < t_s:
            self._step()
        back_s = self._now_s - t_s
        actors = [self._vehicle(v, back_s) for lane in self._lanes for v in lane.vehicles]
        for walk in self._walks:
            pose = walk.pose(t_s)
            if pose is not None:
                actors.append(
                    Actor(
                        walk.number * 8 + 1,
                        "person",
                        pose.x,
                        pose.y,
                        pose.heading,
                        pose.speed,
                        pose.walked_m,
                        walk.look,
                        down=pose.down,
                        doing=pose.doing,
                    )
                )
        return actors + self.parked

    def _restart(self) -> None:
        self._ticks = -round(WARM_UP_S / traffic.STEP_S)
        self._now_s = self._ticks * traffic.STEP_S
        d = self.density
        self._lanes = [traffic.Lane(lane, self.seed, d.vehicles / 2) for lane in (0, 1)]
        self._lanes.append(traffic.Lane(0, self.seed, d.bicycles, cycles=True))
        self._walks: list[walkers.Walk] = []
        self._people = 0
        self._dice = random.Random(f"people {self.seed}")
        self._next_person_s = self._now_s

    def _step(self) -> None:
        self._ticks += 1
        self._now_s = self._ticks * traffic.STEP_S
        red = traffic.light_is_red(self._now_s, self.light_offset_s)
        for lane in self._lanes:
            lane.step(self._now_s, red)
        while self.density.people > 0 and self._now_s >= self._next_person_s:
            walk = walkers.plan(
                self._people,
                self.seed,
                self._next_person_s,
                self.light_offset_s,
                self.density.calm,
                self.density.acts,
            )
            self._walks.append(walk)
            self._people += 1
            self._next_person_s += self._dice.expovariate(self.density.people / 60)
        if self._ticks % 50 == 0:
            self._walks = [walk for walk in self._walks if walk.end_s > self._now_s - 1]

    def _vehicle(self, vehicle: traffic.Vehicle, back_s: float) -> Actor:
        """`back_s` is how long before the last step the moment lies (less than a step)."""
        moved = vehicle.speed * back_s
        return Actor(
            vehicle.number * 8 + 2,
            vehicle.kind,
            vehicle.x - moved * vehicle.direction,
            vehicle.y,
            0.0 if vehicle.direction > 0 else math.pi,
            vehicle.speed,
            vehicle.travelled_m - moved,
            vehicle.look,
        )

    def _park(self, dice: random.Random) -> list[Actor]:
        y = sum(PARKING) / 2
        parked = []
        for place, x in enumerate(PARKED_AT):
            if dice.random() < 0.75:
                look = dice.randrange(1 << 30)
                shift = dice.uniform(-0.5, 0.5)
                parked.append(Actor(place * 8 + 3, "car", x + shift, y, math.pi, 0.0, 0.0, look, parked=True))
        return parked
