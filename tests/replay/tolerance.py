"""Whether two replays of the same detections are the same: what is promised on any processor, nothing finer.

Another processor rounds the last bits of a sum otherwise. Which events there are, their order, and all that
they say in words and whole numbers (line, direction, track, class, frame) is equal; a measured number lies
within the tolerance of its name. Of a track's way the places are compared, and not at which of them it bends:
a knot is set where a place leaves a tolerance (trajectory_recorder.py), and that can hang on a bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipelines.count.trajectory_codec import SCALE, Trajectory, decode

TOLERANCES = {  # (absolute, and of the number's size)
    "point_xyn": (0.001, 0.0),  # of the picture
    "box_xyxyn": (0.001, 0.0),
    "score": (0.001, 0.0),
    "margin": (0.02, 0.02),  # a distance over the noise of the place
    "evidence": (0.02, 0.02),
    "confidence": (0.01, 0.0),
    "stands_for": (0.01, 0.01),
    "crossed_media_ns": (2e6, 0.0),  # 2 ms; a frame is 67
    "crossed_captured_ns": (2e6, 0.0),
}
EXACT = (0.0, 0.0)
WAY = 0.003  # of the picture: two ways that both keep within a hundredth of a box's extent
NOISE, EVIDENCE = 0.1, 0.05  # of the mean over the way; each knot's is in steps of 4 % and of 19 %


def differences(
    found: Any, golden: Any, name: str = "", tolerance: tuple[float, float] = EXACT
) -> Iterator[str]:
    """Each place where `found` is not what `golden` promises, in words."""
    if type(golden) is not type(found):
        yield f"{name}: {found!r}, not {golden!r}"
    elif isinstance(golden, dict):
        yield from _of_objects(found, golden, name)
    elif isinstance(golden, list):
        if len(found) != len(golden):
            yield f"{name}: {len(found)} of them, not {len(golden)}"
        for index, (mine, theirs) in enumerate(zip(found, golden, strict=False)):
            yield from differences(mine, theirs, f"{name}[{index}]", tolerance)
    elif isinstance(golden, int | float):
        within = tolerance[0] + tolerance[1] * abs(golden)
        if not abs(found - golden) <= within:
            yield f"{name}: {found!r}, not {golden!r} within {within:g}"
    elif found != golden:
        yield f"{name}: {found!r}, not {golden!r}"


def _of_objects(found: dict[str, Any], golden: dict[str, Any], name: str) -> Iterator[str]:
    if found.keys() != golden.keys():
        yield f"{name}: {sorted(found)}, not {sorted(golden)}"
        return
    for key in golden.keys() - {"trace", "path"}:
        yield from differences(found[key], golden[key], f"{name}.{key}", TOLERANCES.get(key, EXACT))
    if "trace" in golden:
        true = decode(golden["trace"])
        yield from (f"{name}.trace: {what}" for what in _of_traces(decode(found["trace"]), true))
        yield from (f"{name}.path: {what}" for what in _of_points(found["path"], true))


def _of_traces(found: Trajectory, golden: Trajectory) -> Iterator[str]:
    mine, theirs = found.samples(), golden.samples()
    if found.classes != golden.classes or len(mine.times_s) != len(theirs.times_s):
        yield f"{len(mine.times_s)} places of {found.classes}, not {len(theirs.times_s)} of {golden.classes}"
        return
    if (mine.class_index != theirs.class_index).any():
        yield "another class"
    if np.abs(mine.times_s - theirs.times_s).max() > golden.frame_s / 2:
        yield "other times"
    if (apart := np.abs(mine.boxes_xyxyn - theirs.boxes_xyxyn).max()) > WAY:
        yield f"a box is {apart:.4f} away"
    for what, a, b, share in (
        ("noise", mine.noise_xyn.mean(), theirs.noise_xyn.mean(), NOISE),
        ("evidence", mine.evidence.mean(), theirs.evidence.mean(), EVIDENCE),
    ):
        if not abs(a - b) <= share * b:
            yield f"its {what} is {a:.5f}, not {b:.5f}"


def _of_points(points: list[list[int]], golden: Trajectory) -> Iterator[str]:
    """Readable points that do not lie on the way, or do not reach from its begin to its end."""
    table = np.array(points, np.float64)
    times_s, boxes = table[:, 0] / 1000, table[:, 1:] / SCALE
    places = golden.samples()
    if not np.allclose(times_s[[0, -1]], places.times_s[[0, -1]], atol=0.001):
        yield f"from {times_s[0]} to {times_s[-1]} s, not {places.times_s[0]} to {places.times_s[-1]}"
    on_way = np.stack([np.interp(times_s, places.times_s, side) for side in places.boxes_xyxyn.T], axis=1)
    if (apart := np.abs(boxes - on_way).max()) > WAY:
        yield f"a point is {apart:.4f} off the way"
