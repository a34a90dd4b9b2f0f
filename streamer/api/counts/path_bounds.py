"""Which stored paths come nowhere near a line or zone, known without unpacking them anew: for one that is
asked about many times while it is dragged."""

from __future__ import annotations

import threading
from collections import OrderedDict
from struct import Struct

import numpy as np

from pipelines.count.trajectory_codec import Trajectory
from pipelines.geometry import BORDER
from pipelines.rules import LineSpec, ZoneSpec
from streamer.ledger.queries import StoredPath

MAX_PATHS = 40_000  # some 10 MB
_BOX = Struct("4f")
_ROUNDING = 1e-6  # of a side as it is kept


class PathBounds:
    """The box around each path, of those last used; safe among threads."""

    def __init__(self) -> None:
        self._boxes: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, camera: str, path: StoredPath, trajectory: Trajectory) -> None:
        boxes = trajectory.boxes_xyxyn
        around = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
        with self._lock:
            self._boxes[camera, path.seq, path.first_ns] = _BOX.pack(*around)
            if len(self._boxes) > MAX_PATHS:
                self._boxes.popitem(last=False)

    def misses(self, camera: str, path: StoredPath, rule: LineSpec | ZoneSpec) -> bool:
        """Whether it is known that the track did not cross the line, or was never in the zone. False
        where nothing is known."""
        key = (camera, path.seq, path.first_ns)
        with self._lock:
            packed = self._boxes.get(key)
            if packed is None:
                return False
            self._boxes.move_to_end(key)
        return _misses(_BOX.unpack(packed), rule)


def _misses(box: tuple[float, ...], rule: LineSpec | ZoneSpec) -> bool:
    """Of a straight line the whole box must lie on one side, since at the picture's edge it has no end; of
    one with bends, whose surroundings are what counts (pipelines/count/replay.py), beyond these; of a
    zone likewise."""
    x1, y1, x2, y2 = box
    if len(rule.points) == 2:
        (ax, ay), (bx, by) = rule.points
        sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x in (x1, x2) for y in (y1, y2)]
        return min(sides) > _ROUNDING or max(sides) < -_ROUNDING
    low, high = np.min(rule.points, axis=0) - BORDER, np.max(rule.points, axis=0) + BORDER
    far = _ROUNDING
    return bool(x1 > high[0] + far or y1 > high[1] + far or x2 < low[0] - far or y2 < low[1] - far)
