"""How the vehicles of the synthetic street drive: two lanes, a traffic light, a cycle lane.

Car-following is the Intelligent Driver Model (Treiber, Hennecke, Helbing 2000), stepped at a fixed rate, so
that a lane's state depends on the seed and the time alone.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass

from streamer.sources.synthetic.view import CYCLE_LANE, LANES, STOP_LINES

STEP_S = 0.1
CYCLE_S = 40.0  # the light: cars, then pause, then people, then pause
CARS_GREEN_S = 22.0
PEOPLE_FROM_S, PEOPLE_UNTIL_S = 26.0, 30.0  # people may start to cross within these; they need 6 s more
ENTRY_X = (-75.0, 22.0)
EXIT_X = (22.0, -75.0)

# class: (length, width, height) in metres, desired speed (least, most) in m/s, share of the traffic
VEHICLES: dict[str, tuple[tuple[float, float, float], tuple[float, float], float]] = {
    "car": ((4.35, 1.80, 1.47), (8.0, 12.5), 0.72),
    "van": ((5.30, 2.00, 2.25), (7.5, 11.0), 0.14),
    "truck": ((7.20, 2.35, 3.00), (7.0, 9.5), 0.07),
    "bus": ((11.0, 2.50, 3.05), (6.5, 9.0), 0.07),
}
BICYCLE = ((1.75, 0.55, 1.05), (3.5, 6.0))


@dataclass(slots=True)
class Vehicle:
    """`x` is the middle, `front` the bumper; `travelled_m` turns the wheels."""

    number: int
    kind: str
    look: int  # seed of its colours and proportions
    lane: int
    y: float
    x: float
    speed: float
    desired: float
    length: float
    travelled_m: float = 0.0

    @property
    def direction(self) -> int:
        return 1 if self.lane == 0 else -1

    @property
    def front(self) -> float:
        return self.x + self.direction * self.length / 2


class Lane:
    """One lane: vehicles enter, follow each other, stop at red, leave. Stepped from the start on."""

    def __init__(self, lane: int, seed: int, per_minute: float, cycles: bool = False) -> None:
        self.lane = lane
        self.cycles = cycles
        self._random = random.Random(f"lane {lane} {cycles} {seed}")
        self._gap_s = 60.0 / per_minute if per_minute > 0 else math.inf
        self._next_s = -1e9 if self._gap_s < math.inf else math.inf
        self._entered = 0
        self.vehicles: deque[Vehicle] = deque()  # the one nearest the exit first

    def step(self, now_s: float, red: bool) -> None:
        """Advance by STEP_S to `now_s`."""
        if self._next_s == -1e9:
            self._next_s = now_s + self._random.uniform(0, self._gap_s)
        ahead: Vehicle | None = None
        for vehicle in self.vehicles:
            self._drive(vehicle, ahead, red)
            ahead = vehicle
        direction = 1 if self.lane == 0 else -1
        while self.vehicles and (self.vehicles[0].x - EXIT_X[self.lane]) * direction > 12:
            self.vehicles.popleft()
        if now_s >= self._next_s and self._room():
            self.vehicles.append(self._enter())
            self._next_s = now_s + 1.5 + self._random.expovariate(1 / max(0.1, self._gap_s - 1.5))

    def _room(self) -> bool:
        last = self.vehicles[-1] if self.vehicles else None
        return last is None or abs(last.x - ENTRY_X[self.lane]) > last.length + 9

    def _enter(self) -> Vehicle:
        kind = "bicycle" if self.cycles else self._pick()
        size, speeds = BICYCLE if self.cycles else VEHICLES[kind][:2]
        desired = self._random.uniform(*speeds)
        self._entered += 1
        return Vehicle(
            number=(self._entered * 2 + self.lane) * 2 + int(self.cycles),
            kind=kind,
            look=self._random.randrange(1 << 30),
            lane=self.lane,
            y=CYCLE_LANE if self.cycles else LANES[self.lane] + self._random.uniform(-0.2, 0.2),
            x=ENTRY_X[self.lane],
            speed=desired * 0.8,
            desired=desired,
            length=size[0],
        )

    def _pick(self) -> str:
        kinds = list(VEHICLES)
        return self._random.choices(kinds, [VEHICLES[k][2] for k in kinds])[0]

    def _drive(self, vehicle: Vehicle, ahead: Vehicle | None, red: bool) -> None:
        gap, closing = math.inf, 0.0
        if ahead is not None:
            gap = (ahead.x - vehicle.x) * vehicle.direction - (ahead.length + vehicle.length) / 2
            closing = vehicle.speed - ahead.speed
        to_stop = (STOP_LINES[vehicle.lane] - vehicle.front) * vehicle.direction
        braking_m = vehicle.speed**2 / (2 * 4.5)
        if red and to_stop > -0.3 and to_stop > braking_m - 0.5 and to_stop < gap:
            gap, closing = max(to_stop + 1.6, 0.2), vehicle.speed
        free = (vehicle.speed / vehicle.desired) ** 4
        wanted = 2.0 + max(0.0, vehicle.speed * 1.2 + vehicle.speed * closing / (2 * math.sqrt(1.8 * 2.5)))
        force = 1.8 * (1 - free - (wanted / max(gap, 0.3)) ** 2)
        force = max(-8.0, force)
        speed = max(0.0, vehicle.speed + force * STEP_S)
        moved = (vehicle.speed + speed) / 2 * STEP_S
        vehicle.speed = speed
        vehicle.x += moved * vehicle.direction
        vehicle.travelled_m += moved


def light_is_red(now_s: float, offset_s: float) -> bool:
    """Whether the vehicles' light is red (or amber) at `now_s`."""
    return (now_s + offset_s) % CYCLE_S >= CARS_GREEN_S


def next_walk_s(now_s: float, offset_s: float) -> float:
    """The first moment from `now_s` on at which people may start to cross."""
    phase = (now_s + offset_s) % CYCLE_S
    if PEOPLE_FROM_S <= phase <= PEOPLE_UNTIL_S:
        return now_s
    return now_s + (PEOPLE_FROM_S - phase) % CYCLE_S
