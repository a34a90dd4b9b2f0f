"""Drawn objects that come to a line, stand on it for a while, sway, and go on, back or along it.

Boxes are drawn in pixels of a picture of `PICTURE` and go through the project's own tracker and lines, or
straight to the lines as tracks without a fault. Of what is counted each crossing is the nearest object's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec
from pipelines.track import create_tracker
from pipelines.values import Detections, Event, Labels, Stamp, Tracks

Array = npt.NDArray[np.float64]

PICTURE = (1920.0, 1080.0)  # across the line and along it
AT = 0.5  # where the line stands,
AT_FOOT = 0.6  # and the one that feet cross, which come from above
APPROACH_WIDTHS = 2.5  # box widths before the line, from where an object comes and to where it goes
SPEED, ALONG_SPEED = (0.9, 1.5), 0.6  # box widths a second, each its own
MARGIN_S = 1.0  # nothing is there before and after,
LATER_S = 3.0  # and so much later at most comes the one than the other
ROOM = 1.3  # box widths from one object to the next
MISSING = 0.02  # of the boxes
LABELS = Labels(("car",), ("vehicle",))
ON, BACK, ALONG = "on", "back", "along"


@dataclass(frozen=True, slots=True)
class Standing:
    """What an object does: it comes from the left, or from above, and stands on the line for `dwell_s` while
    it sways by `sway` box widths to either side once in `period_s`; `then` it goes."""

    dwell_s: float
    then: str
    sway: float = 0.0
    period_s: float = 2.0

    @property
    def crossings(self) -> int:
        return int(self.then == ON)


@dataclass(frozen=True, slots=True)
class View:
    """How they are seen: boxes of `size` pixels whose centre and extent jitter by `jitter` of them, white."""

    size: float
    fps: float
    jitter: float
    foot: bool = False  # a level line that feet cross, else an upright one that centres cross

    @property
    def line(self) -> LineSpec:
        if self.foot:
            return LineSpec(name="line", points=((0.0, AT_FOOT), (1.0, AT_FOOT)), anchor="foot")
        return LineSpec(name="line", points=((AT, 0.0), (AT, 1.0)), anchor="center")

    @property
    def along(self) -> float:
        """Pixels that an object walks along the line."""
        return max(self.size, min(8 * self.size, 0.3 * PICTURE[1]))

    @property
    def most(self) -> int:
        """How many objects have room in the picture."""
        return max(int((PICTURE[1] - self.along - self.size) / (ROOM * self.size)) + 1, 1)


def counted(
    view: View, objects: list[Standing], rng: np.random.Generator, *, perfect: bool = False
) -> list[tuple[int, int]]:
    """For each object how often it was counted as it comes, and the other way."""
    found: list[tuple[int, int]] = []
    for start in range(0, len(objects), view.most):
        found += _one_picture(view, objects[start : start + view.most], rng, perfect)
    return found


def gross_error(objects: Iterable[Standing], counts: Iterable[tuple[int, int]]) -> int:
    return sum(abs(there - o.crossings) + back for o, (there, back) in zip(objects, counts, strict=True))


def _one_picture(
    view: View, objects: list[Standing], rng: np.random.Generator, perfect: bool
) -> list[tuple[int, int]]:
    ways = [_way(view, o, number, rng) for number, o in enumerate(objects)]
    times, places = _in_time(view, ways, rng)
    events = _events(
        view, _perfect(view, times, places, rng) if perfect else _tracked(view, times, places, rng)
    )
    counts = np.zeros((len(objects), 2), np.intp)
    for event in events:
        x, y = event.data["point_xyn"]
        along = (x if view.foot else y) * PICTURE[1]
        at = int(np.abs(times - event.data["crossed_media_ns"] / 1e9).argmin())
        nearest = int(np.nanargmin(np.abs(places[at, :, 1] - along)))
        counts[nearest, int((event.data["side"] == "left_to_right") != view.foot)] += 1
    return [(int(there), int(back)) for there, back in counts]


def _way(view: View, o: Standing, number: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(F, 2) pixels across the line, seen from it, and along it, frame by frame; and its times (F,)."""
    speed = rng.uniform(*SPEED)
    far, pace, come_s = APPROACH_WIDTHS * view.size, speed * view.size, APPROACH_WIDTHS / speed
    leave_s = view.along / (ALONG_SPEED * view.size) if o.then == ALONG else come_s
    times = np.arange(0.0, come_s + o.dwell_s + leave_s, 1 / view.fps) + rng.uniform(0, 1 / view.fps)
    there_s = times - come_s
    swaying = o.sway * view.size * np.sin(2 * math.pi * np.clip(there_s, 0, None) / o.period_s)
    gone_s = np.clip(there_s - o.dwell_s, 0, None)
    offset = rng.uniform(-0.02, 0.02) * view.size
    across = np.minimum(there_s, 0) * pace + offset + rng.choice((-1.0, 1.0)) * swaying
    if o.then != ALONG:
        across += gone_s * pace * (1 if o.then == ON else -1)
    along = view.size * (0.5 + ROOM * number) + gone_s * ALONG_SPEED * view.size * (o.then == ALONG)
    return times, np.column_stack([np.clip(across, -far, far), along])


def _in_time(view: View, ways: list[tuple[Array, Array]], rng: np.random.Generator) -> tuple[Array, Array]:
    """The times of all frames (F,), and where each object is (F, N, 2), NaN where it is not."""
    longest = max(len(times) for times, _ in ways)
    quiet, later = round(MARGIN_S * view.fps), round(LATER_S * view.fps)
    times = np.arange(longest + 2 * quiet + later) / view.fps
    places = np.full((len(times), len(ways), 2), np.nan)
    for number, (_, way) in enumerate(ways):
        begin = quiet + int(rng.integers(later + 1))
        places[begin : begin + len(way), number] = way
    return times, places


def _boxes(view: View, places: Array, rng: np.random.Generator) -> Array:
    """(F, N, 4) normalised boxes with noise."""
    noise = rng.normal(0, view.jitter * view.size, (*places.shape[:2], 4))
    extent = view.size + noise[..., 2:]
    across, along = places[..., 0], places[..., 1]
    if view.foot:  # the place is that of the foot, the picture stands on its side
        centre = np.stack([along, AT_FOOT * PICTURE[0] + across - view.size / 2], axis=-1)
    else:
        centre = np.stack([AT * PICTURE[0] + across, along], axis=-1)
    centre = centre + noise[..., :2]
    size = np.array(PICTURE[::-1] if view.foot else PICTURE)
    return np.concatenate([centre - extent / 2, centre + extent / 2], axis=-1) / np.tile(size, 2)


def _seen(
    view: View, times: Array, places: Array, rng: np.random.Generator
) -> Iterator[tuple[Stamp, Array, Array]]:
    """Of each frame the numbers of the objects that have a box (K,), and these (K, 4)."""
    boxes = _boxes(view, places, rng)
    there = ~np.isnan(places[..., 0]) & (rng.random(places.shape[:2]) >= MISSING)
    for number, time_s in enumerate(times.tolist()):
        ns = round(time_s * 1e9)
        who = np.flatnonzero(there[number])
        yield Stamp("drawn", 1, number, ns, ns, 0), who, boxes[number, who].astype(np.float32)


def _tracked(
    view: View, times: Array, places: Array, rng: np.random.Generator
) -> Iterator[tuple[Stamp, Tracks]]:
    tracker = create_tracker()
    for stamp, who, boxes in _seen(view, times, places, rng):
        scores = rng.normal(0.8, 0.05, len(who)).clip(0.3, 0.99).astype(np.float32)
        found = Detections(boxes, scores, np.zeros(len(who), np.int32))
        yield stamp, tracker.update(stamp, found, LABELS)


def _perfect(
    view: View, times: Array, places: Array, rng: np.random.Generator
) -> Iterator[tuple[Stamp, Tracks]]:
    """Each object is one track, and its jitter is known."""
    size = np.array(PICTURE[::-1] if view.foot else PICTURE)
    jitter = (view.jitter * math.sqrt(1.25) * view.size / size).astype(np.float32)
    for stamp, who, boxes in _seen(view, times, places, rng):
        n = len(who)
        yield (
            stamp,
            Tracks(
                who.astype(np.int64) + 1,
                boxes,
                np.full(n, 0.8, np.float32),
                np.zeros(n, np.int32),
                np.ones(n, np.bool_),
                np.tile(jitter, (n, 1)),
            ),
        )


def _events(view: View, frames: Iterable[tuple[Stamp, Tracks]]) -> list[Event]:
    analytics = CameraCounts(CameraRules(lines=(view.line,)), LABELS)
    events: list[Event] = []
    for stamp, tracks in frames:
        events += analytics.update(stamp, tracks)
    events += analytics.close(stamp)
    return [e for e in events if e.type == LINE_CROSSED]
