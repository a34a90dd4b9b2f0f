"""A drawn site: the same people and vehicles seen by several cameras one after the other.

Each camera has a street, a place, an exposure, a gamma and a white balance of its own; people walk through
one view, are out of sight for a while, and come to another or never. Some come back, and some cameras see who
was never at any other. Boxes are the true ones with noise, without those that are mostly hidden; tracks and
looks are the product's.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Ticket
from pipelines.detect.labels import labels_of
from pipelines.pipeline import Pipeline
from pipelines.track.association import detection_index
from pipelines.values import Detections, Frame, FrameResult, Image, Stamp
from streamer.sources.synthetic.painter import Painter, Picture, placed
from streamer.sources.synthetic.people import look_of
from streamer.sources.synthetic.view import LANES, View
from streamer.sources.synthetic.world import Actor, Density, World

CAMERAS = ("gate", "yard", "hall")
LABELS = labels_of(("person", "car", "van"))
WIDTH, HEIGHT, FPS = 384, 216, 4.0
AGAIN = 0.65  # of those who leave a camera, how many come to another one
AWAY_S = (4.0, 45.0)
JITTER = 0.02  # of the box
MAX_COVERED = 0.6  # of a box by nearer ones: more, and no detector finds it
NS = 1_000_000_000


Labelled = tuple[FrameResult, dict[int, int]]  # with which object each box (by its row) is of


@dataclass(frozen=True, slots=True)
class Visit:
    """One object's way through one camera's view."""

    ident: int
    kind: str
    look: int
    camera: int
    begin_s: float
    end_s: float
    start_x: float
    y: float
    direction: int
    speed: float

    def at(self, t_s: float) -> Actor | None:
        if not self.begin_s <= t_s < self.end_s:
            return None
        moved = (t_s - self.begin_s) * self.speed
        heading = 0.0 if self.direction > 0 else np.pi
        x = self.start_x + self.direction * moved
        return Actor(self.ident * 8, self.kind, x, self.y, heading, self.speed, moved, self.look)


class Told:
    """A detector that finds the boxes it is told."""

    labels = LABELS
    joints: tuple[str, ...] = ()
    max_batch, parallel, depth = 1, 1, 1
    found = Detections.empty()

    def submit(self, frames: Sequence[Frame], notify: object = None) -> Ticket:  # noqa: ARG002
        return Ticket(tuple(frame.stamp.camera for frame in frames))

    def collect(self, ticket: Ticket) -> list[Detections]:  # noqa: ARG002
        return [self.found]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:  # noqa: ARG002
        return 0

    def forget(self, camera: str) -> None: ...

    def describe(self) -> dict[str, object]:
        return {}


class DrawnSite:
    """`per_minute` people come to the site, and a third as many vehicles; `alike`: people in dark clothes."""

    def __init__(self, seed: int, per_minute: float, alike: bool, seconds: float) -> None:
        self.seconds = seconds
        self._dice = random.Random(f"site {seed} {per_minute} {alike}")
        self._rng = np.random.default_rng(self._dice.randrange(1 << 30))
        worlds = [World(self._dice.randrange(1 << 30), Density(0, 0, 0)) for _ in CAMERAS]
        self._painters = [Painter(world, WIDTH, HEIGHT, noise=3.0) for world in worlds]
        self._curves = [self._curve() for _ in CAMERAS]
        self._alike = alike
        self.visits = [
            visit for first_s, kind in self._comers(per_minute) for visit in self._life(first_s, kind)
        ]

    def transits(self, within_s: float) -> int:
        """How many people came to a camera from another one in that time, and were there before the end."""
        by_ident: dict[int, list[Visit]] = defaultdict(list)
        for visit in (each for each in self.visits if each.kind == "person"):
            by_ident[visit.ident].append(visit)
        return sum(
            a.camera != b.camera and b.begin_s - a.end_s <= within_s and b.begin_s < self.seconds - 20
            for visits in by_ident.values()
            for a, b in pairwise(visits)
        )

    def results(self) -> Iterator[Labelled]:
        """All cameras' frames in the order of their time."""
        detector = Told()
        pipeline = Pipeline(detector)  # type: ignore[arg-type]
        for camera in CAMERAS:
            pipeline.open_camera(camera, CameraRules())
            pipeline.ask_for_looks(camera, True)
        for number in range(int(self.seconds * FPS)):
            for index, camera in enumerate(CAMERAS):
                t_s = number / FPS + 0.02 * index
                ns = round(t_s * NS)
                actors = [a for v in self.visits if v.camera == index and (a := v.at(t_s)) is not None]
                detector.found, idents = self._boxes(actors, self._painters[index].view)
                frame = Frame(
                    Stamp(camera, 1, number, ns, ns, ns + NS), self._picture(index, t_s, number, actors)
                )
                yield pipeline.step([frame])[0], idents

    # ---- who comes

    def _comers(self, per_minute: float) -> Iterator[tuple[float, str]]:
        for kind, rate in (("person", per_minute), ("car", per_minute / 4), ("van", per_minute / 12)):
            at_s = self._dice.expovariate(rate / 60)
            while at_s < self.seconds:
                yield at_s, kind
                at_s += self._dice.expovariate(rate / 60)

    def _life(self, at_s: float, kind: str) -> Iterator[Visit]:
        ident, look = self._dice.randrange(1 << 40), self._look(kind)
        camera = self._dice.randrange(len(CAMERAS))
        while True:
            visit = self._visit(ident, kind, look, camera, at_s)
            yield visit
            at_s = visit.end_s + self._dice.uniform(*AWAY_S)
            if self._dice.random() > AGAIN or at_s > self.seconds:
                return
            if self._dice.random() < 0.9:
                camera = (camera + self._dice.choice((1, 2))) % len(CAMERAS)

    def _look(self, kind: str) -> int:
        while True:
            look = self._dice.randrange(1 << 30)
            if kind != "person" or not self._alike or _dark(look):
                return look

    def _visit(self, ident: int, kind: str, look: int, camera: int, at_s: float) -> Visit:
        direction = self._dice.choice((1, -1))
        if kind == "person":
            y, speed = self._dice.uniform(7.2, 10.6), self._dice.uniform(1.0, 1.6)
        else:
            y, speed = LANES[0 if direction > 0 else 1], self._dice.uniform(5.0, 9.0)
        xs = np.arange(-40.0, 40.0, 0.25)
        view = self._painters[camera].view
        pixels, depth = view.project(np.array([[x, y, 0.8] for x in xs]))
        seen = xs[(pixels[:, 0] > 0) & (pixels[:, 0] < WIDTH) & (depth > 1)]
        start, end = (seen[0], seen[-1]) if direction > 0 else (seen[-1], seen[0])
        way = abs(end - start) + 2.0
        return Visit(
            ident, kind, look, camera, at_s, at_s + way / speed, start - direction, y, direction, speed
        )

    # ---- what is seen

    def _curve(self) -> npt.NDArray[np.uint8]:
        """(256, 1, 3) what the camera makes of light: its gamma, gain and white balance."""
        gamma, gain = self._dice.uniform(0.8, 1.25), self._dice.uniform(0.85, 1.15)
        light = np.linspace(0, 1, 256)[:, None] ** gamma * gain
        balance = np.array([[self._dice.uniform(0.9, 1.1) for _ in range(3)]])
        return np.asarray(np.clip(light * balance * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3))

    def _picture(self, index: int, t_s: float, number: int, actors: list[Actor]) -> Image:
        if not actors:
            return np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image = self._painters[index].paint(Picture(t_s, number, tuple(actors)))
        return np.asarray(cv2.LUT(image, self._curves[index]), np.uint8)

    def _boxes(self, actors: list[Actor], view: View) -> tuple[Detections, dict[int, int]]:
        drawn = placed(actors, view)  # from far to near
        boxes, rows, idents = [], [], {}
        for place, item in enumerate(drawn):
            box = np.array(item.box, np.float64) / (WIDTH, HEIGHT, WIDTH, HEIGHT)
            if any(_covered(item.box, other.box) > MAX_COVERED for other in drawn[place + 1 :]):
                continue
            size = np.tile(box[2:] - box[:2], 2)
            noisy = np.clip(box + self._rng.normal(0, JITTER, 4) * size, 0.0, 1.0)
            if noisy[2] - noisy[0] > 0.004 and noisy[3] - noisy[1] > 0.01:
                idents[len(boxes)] = item.actor.ident // 8
                boxes.append(noisy)
                rows.append(LABELS.names.index(item.kind))
        n = len(boxes)
        table = np.array(boxes, np.float32).reshape(n, 4)
        return Detections(table, np.full(n, 0.9, np.float32), np.array(rows, np.int32)), idents


def owners(results: Sequence[Labelled]) -> dict[tuple[str, int], int]:
    """By camera and track id, of which object most of its boxes were."""
    votes: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
    for result, idents in results:
        rows = detection_index(result.tracks, result.detections).tolist()
        for track_id, row in zip(result.tracks.track_ids.tolist(), rows, strict=True):
            if row >= 0:
                votes[result.stamp.camera, track_id][idents[row]] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in votes.items()}


def _dark(look: int) -> bool:
    who = look_of(look)
    return max(who.top) < 80 and max(who.bottom) < 90


def _covered(box: Sequence[float], other: Sequence[float]) -> float:
    wide = min(box[2], other[2]) - max(box[0], other[0])
    tall = min(box[3], other[3]) - max(box[1], other[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(wide, 0.0) * max(tall, 0.0) / area if area > 0 else 0.0
