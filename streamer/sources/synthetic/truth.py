"""The truth of a synthetic scene: every box with its visible share, and every crossing of given lines.

A crossing follows the rule of the tracking benchmarks: two or more consecutive observations on one side,
then two or more on the other; its time is the first observation of the new run. The point is the foot of
a person and the middle of anything else (or the line's own anchor), of the amodal box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.rules import LineSpec
from pipelines.values import Image
from streamer.sources.synthetic.backdrop import Occluder
from streamer.sources.synthetic.painter import Drawn, placed
from streamer.sources.synthetic.scene import Scene
from streamer.sources.synthetic.shapes import Box, box_of, stamp
from streamer.sources.synthetic.view import View
from streamer.sources.synthetic.world import World

LEFT_TO_RIGHT, RIGHT_TO_LEFT = "left_to_right", "right_to_left"
SETTLED = 2  # consecutive observations that make a side
MARGIN = 0.5  # of the picture, drawn around it so that the hidden part of a cut object is measured too


@dataclass(frozen=True, slots=True)
class TrueBox:
    """One object in one frame. `box` in pixels is amodal: also what is hidden or outside of the picture.

    `visible` is the share of the object's silhouette that is seen in the picture (what lies more than half
    a picture outside of it is left out of the reckoning).
    """

    ident: int
    kind: str
    box: Box
    visible: float
    parked: bool
    rides: bool


@dataclass(frozen=True, slots=True)
class TrueCrossing:
    """`side` is "left_to_right" or "right_to_left", `direction` the line's own name for it."""

    time_s: float
    frame: int
    line: str
    side: str
    direction: str
    kind: str
    ident: int
    rides: bool


def boxes(scene: Scene, world: World, view: View, frame: int) -> list[TrueBox]:
    """The boxes of frame `frame` without their visible shares (which are 1 here): cheap."""
    return [_true(d, 1.0) for d in placed(world.at(frame / scene.fps), view)]


class Measurer:
    """Measures visible shares by drawing silhouettes in the painter's order."""

    def __init__(self, scene: Scene, world: World, occluders: Sequence[Occluder]) -> None:
        self._scene, self._world, self._occluders = scene, world, occluders
        self._dx, self._dy = round(scene.width * MARGIN), round(scene.height * MARGIN)
        self.view = world.view(scene.width, scene.height).padded(self._dx, self._dy)
        self._ids = np.zeros((self.view.height, self.view.width), np.uint8)
        self._one = np.zeros_like(self._ids)

    def boxes(self, frame: int) -> list[TrueBox]:
        """The boxes of frame `frame` with their visible shares."""
        drawn = placed(self._world.at(frame / self._scene.fps), self.view)
        if len(drawn) > 254:
            raise ValueError(f"{len(drawn)} objects in one picture: at most 254 can be measured")
        self._ids[:] = 0
        waiting = list(self._occluders)
        areas = []
        for number, item in enumerate(drawn, start=1):
            while waiting and waiting[0].y >= item.y:
                self._hide(waiting.pop(0))
            areas.append(self._area(item))
            stamp(self._ids, item.shapes, number)
        for post in waiting:
            self._hide(post)
        inside = self._ids[self._dy : -self._dy, self._dx : -self._dx]
        seen = np.bincount(inside.ravel(), minlength=256)
        return [
            _true(item, float(min(1.0, seen[number] / max(1, area))), self._dx, self._dy)
            for number, (item, area) in enumerate(zip(drawn, areas, strict=True), start=1)
            if self._in_picture(item.box)
        ]

    def _in_picture(self, box: Box) -> bool:
        x1, y1, x2, y2 = (box[0] - self._dx, box[1] - self._dy, box[2] - self._dx, box[3] - self._dy)
        return x2 > 0 and y2 > 0 and x1 < self._scene.width and y1 < self._scene.height

    def _area(self, item: Drawn) -> int:
        height, width = self._one.shape
        x1, y1, x2, y2 = (round(v) for v in item.box)
        part: Image = self._one[max(0, y1 - 2) : min(height, y2 + 3), max(0, x1 - 2) : min(width, x2 + 3)]
        stamp(self._one, item.shapes, 1)
        area = int(np.count_nonzero(part))
        part[:] = 0
        return area

    def _hide(self, post: Occluder) -> None:
        tall, wide = post.mask.shape
        top, left = post.top + self._dy, post.left + self._dx
        self._ids[top : top + tall, left : left + wide][post.mask > 0] = 0


def _true(item: Drawn, visible: float, dx: int = 0, dy: int = 0) -> TrueBox:
    x1, y1, x2, y2 = box_of(item.shapes)
    rides = item.kind == "person" and item.actor.kind == "bicycle"
    box = (x1 - dx, y1 - dy, x2 - dx, y2 - dy)
    return TrueBox(item.ident, item.kind, box, visible, item.actor.parked, rides)


# ---- crossings


@dataclass
class _Run:
    """One object at one line: the side it has settled on, and the run of observations it is in."""

    side: int = 0  # +1 right, -1 left, 0 none yet
    settled: int = 0
    length: int = 0
    first_frame: int = 0
    candidate: int = 0
    last: tuple[float, float] | None = None


class CrossingTruth:
    """Follows a scene frame by frame and says what crosses which line; a process of its own may do so."""

    def __init__(self, scene: Scene, lines: Sequence[LineSpec]) -> None:
        self.scene = scene
        self._lines = tuple(lines)
        self._world = scene.world()
        self._view = self._world.view(scene.width, scene.height)
        self._runs: dict[tuple[int, str], _Run] = {}
        self._frame = 0

    def until(self, media_s: float) -> Iterator[TrueCrossing]:
        """The crossings that became sure in the frames up to `media_s` and were not given before."""
        while self._frame / self.scene.fps <= media_s + 1e-9:
            if self.scene.frames is not None and self._frame >= self.scene.frames:
                return
            yield from self._advance()

    def _advance(self) -> Iterator[TrueCrossing]:
        present = set()
        for true in boxes(self.scene, self._world, self._view, self._frame):
            for line in self._lines:
                key = (true.ident, line.name)
                present.add(key)
                run = self._runs.setdefault(key, _Run())
                yield from self._observe(run, true, line)
        for key in [key for key in self._runs if key not in present]:
            del self._runs[key]
        self._frame += 1

    def _observe(self, run: _Run, true: TrueBox, line: LineSpec) -> Iterator[TrueCrossing]:
        point = self._point(true, line)
        side, last = _side(line, point, run), run.last
        run.last = point
        if side != run.candidate:
            run.candidate, run.length, run.first_frame = side, 0, self._frame
        run.length += 1
        if run.length < SETTLED or side == run.settled:
            return
        before, run.settled = run.settled, side
        if before == 0 or last is None:
            return
        to_right = side > 0
        yield TrueCrossing(
            time_s=run.first_frame / self.scene.fps,
            frame=run.first_frame,
            line=line.name,
            side=LEFT_TO_RIGHT if to_right else RIGHT_TO_LEFT,
            direction=line.left_to_right if to_right else line.right_to_left,
            kind=true.kind,
            ident=true.ident,
            rides=true.rides,
        )

    def _point(self, true: TrueBox, line: LineSpec) -> tuple[float, float]:
        x1, y1, x2, y2 = true.box
        anchor = line.anchor
        if anchor == "auto":
            anchor = "foot" if true.kind == "person" else "center"
        y = {"foot": y2, "center": (y1 + y2) / 2, "top": y1}[anchor]
        return (x1 + x2) / 2 / self.scene.width, y / self.scene.height


def _side(line: LineSpec, point: tuple[float, float], run: _Run) -> int:
    """+1 right or -1 left of the line, as the path so far has it: a side changes only through a segment."""
    if run.last is None or run.candidate == 0:
        return _nearest_side(line, point)
    side = run.candidate
    for a, b in zip(line.points, line.points[1:], strict=False):
        before, after = _turn(a, b, run.last) >= 0, _turn(a, b, point) >= 0
        if before == after:
            continue
        if (_turn(run.last, point, a) >= 0) != (_turn(run.last, point, b) >= 0):
            side = 1 if after else -1
    return side


def _nearest_side(line: LineSpec, point: tuple[float, float]) -> int:
    segments = list(zip(line.points, line.points[1:], strict=False))
    a, b = min(segments, key=lambda s: _distance(s[0], s[1], point))
    return 1 if _turn(a, b, point) >= 0 else -1


def _turn(a: Sequence[float], b: Sequence[float], p: Sequence[float]) -> float:
    """Positive right of a -> b as one walks, with y pointing down."""
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def _distance(a: Sequence[float], b: Sequence[float], p: Sequence[float]) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    share = ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / max(1e-12, dx * dx + dy * dy)
    share = min(1.0, max(0.0, share))
    return float(np.hypot(p[0] - a[0] - share * dx, p[1] - a[1] - share * dy))
