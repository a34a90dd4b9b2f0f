"""Drawing on pictures, and nothing else: a camera's rules, what a pipeline found in a frame, heat maps.

The overlay of a rendered clip also remembers from frame to frame: trails, totals and the last counts.

Pictures are (H, W, 3) uint8 BGR and are drawn on in place; coordinates come normalised to the picture.
Sizes of strokes and letters follow the picture's height, so that 360p and 1080p read alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.analytics import heatmap
from pipelines.camera_rules import CameraRules
from pipelines.class_names import class_key
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec
from pipelines.skeleton import COCO_17, COCO_BONES, MIN_SCORE
from pipelines.values import Event, Floats, FrameResult, Image, Labels, Tracks

Colour = tuple[int, int, int]  # B, G, R
Pixels = npt.NDArray[np.int32]

INK: Colour = (20, 20, 20)
PAPER: Colour = (245, 245, 245)
LINE: Colour = (0, 200, 255)
LEFT_TO_RIGHT: Colour = (90, 220, 90)
RIGHT_TO_LEFT: Colour = (255, 150, 70)
ZONE: Colour = (230, 170, 40)
MASK: Colour = (60, 60, 60)
BONE: Colour = (120, 255, 200)
FONT = cv2.FONT_HERSHEY_SIMPLEX
MAX_HEAT_SHARE = 0.55  # of the colour over the picture, at the hottest cell
TRAIL_NS = 2_000_000_000
FLASH_NS = 1_600_000_000


def draw_rules(image: Image, rules: CameraRules, *, grid: bool = True) -> Image:
    """Draw masks, grid, zones, lines with their directions, and a fixed region; returns `image`."""
    for mask in rules.masks:
        _shade(image, _pixels(image, mask.points), MASK, 0.75)
    if grid:
        draw_grid(image)
    for mask in rules.masks:
        points = _pixels(image, mask.points)
        cv2.polylines(image, [points], True, MASK, _stroke(image), cv2.LINE_AA)
        write(image, f"mask {mask.name}", tuple(points.mean(axis=0)), PAPER, centred=True)
    for zone in rules.zones:
        points = _pixels(image, zone.points)
        _shade(image, points, ZONE, 0.25)
        cv2.polylines(image, [points], True, ZONE, _stroke(image), cv2.LINE_AA)
        write(image, zone.name, tuple(points.mean(axis=0)), ZONE, centred=True)
    for line in rules.lines:
        draw_line(image, line)
    if not isinstance(rules.region, str):
        x1, y1, x2, y2 = rules.region
        corners = _pixels(image, ((x1, y1), (x2, y1), (x2, y2), (x1, y2)))
        cv2.polylines(image, [corners], True, PAPER, _stroke(image), cv2.LINE_AA)
        write(image, "region", tuple(corners.mean(axis=0)), PAPER, centred=True)
    return image


def draw_grid(image: Image) -> None:
    """A line at every tenth of the picture, with its normalised coordinate at the edge."""
    height, width = image.shape[:2]
    overlay = image.copy()
    for tenth in range(1, 10):
        x, y = round(width * tenth / 10), round(height * tenth / 10)
        weight = 2 if tenth == 5 else 1
        cv2.line(overlay, (x, 0), (x, height), PAPER, weight)
        cv2.line(overlay, (0, y), (width, y), PAPER, weight)
    cv2.addWeighted(overlay, 0.35, image, 0.65, 0, dst=image)
    for tenth in range(1, 10):
        text = f".{tenth}"
        write(image, text, (width * tenth / 10, 0.022 * height), PAPER, size=0.75, centred=True)
        write(image, text, (0.022 * height, height * tenth / 10), PAPER, size=0.75, centred=True)


def draw_line(image: Image, line: LineSpec, totals: Sequence[int] | None = None) -> None:
    """Draw a counting line, its name at the first point, and an arrow for each of its two directions.

    `totals` are the counts (left to right, right to left), written behind the directions' names.
    """
    points = _pixels(image, line.points)
    stroke = _stroke(image)
    cv2.polylines(image, [points], False, INK, stroke + 2, cv2.LINE_AA)
    cv2.polylines(image, [points], False, LINE, stroke, cv2.LINE_AA)
    for x, y in points:
        cv2.circle(image, (int(x), int(y)), stroke + 2, LINE, -1, cv2.LINE_AA)
    middle, along = _middle(points.astype(np.float64))
    # Walking along (dx, dy) with y pointing down, the right hand is (-dy, dx).
    right = np.array([-along[1], along[0]])
    reach = 0.07 * min(image.shape[:2])
    both = ((1, line.left_to_right, LEFT_TO_RIGHT), (-1, line.right_to_left, RIGHT_TO_LEFT))
    for place, (sign, name, colour) in enumerate(both):
        start = middle + along * reach * 0.35 * sign
        tip = start + right * reach * sign
        _arrow(image, start, tip, colour)
        text = name if totals is None else f"{name} {totals[place]}"
        # The plate lies beyond the tip: its half width away where the arrow points sideways.
        beyond = 0.32 * reach + abs(float(right[0])) * _text_size(image, text, 1.0)[0] / 2
        write(image, text, tuple(tip + right * sign * beyond), colour, centred=True)
    corner = points[0] + np.array([0.6, -0.6]) * reach * 0.4
    write(image, line.name, (float(corner[0]), float(corner[1])), LINE)


def write(
    image: Image,
    text: str,
    at: tuple[float, ...],
    colour: Colour,
    *,
    size: float = 1.0,
    centred: bool = False,
) -> None:
    """Write `text` on a dark plate inside the picture; `at` is its lower left or its middle, in pixels."""
    height, width = image.shape[:2]
    scale, thick = _letters(image, size)
    w, h, base = _text_size(image, text, size)
    pad = max(2, h // 3)
    x = at[0] - w / 2 if centred else at[0]
    y = at[1] + h / 2 if centred else at[1]
    left = int(min(max(x, pad), max(pad, width - w - pad)))
    bottom = int(min(max(y, h + pad), max(h + pad, height - pad - base // 2)))
    plate = image[max(0, bottom - h - pad) : bottom + pad, max(0, left - pad) : left + w + pad]
    plate[:] = (plate * 0.3).astype(np.uint8)
    cv2.putText(image, text, (left, bottom), FONT, scale, colour, thick, cv2.LINE_AA)


def _letters(image: Image, size: float) -> tuple[float, int]:
    """The font's scale and stroke for letters of `size` on a picture of this height."""
    height = image.shape[0]
    return size * max(0.38, height / 1150), 1 if height * size < 900 else 2


def _text_size(image: Image, text: str, size: float) -> tuple[int, int, int]:
    """Width, height above the base line and depth below it, in pixels."""
    (w, h), base = cv2.getTextSize(text, FONT, *_letters(image, size))
    return w, h, base


def _pixels(image: Image, points: Sequence[tuple[float, float]]) -> Pixels:
    height, width = image.shape[:2]
    return np.round(np.array(points, np.float64) * (width, height)).astype(np.int32)


def _stroke(image: Image) -> int:
    return max(1, round(float(image.shape[0]) / 360))


def _shade(image: Image, points: Pixels, colour: Colour, share: float) -> None:
    overlay = image.copy()
    cv2.fillPoly(overlay, [points], colour)
    cv2.addWeighted(overlay, share, image, 1 - share, 0, dst=image)


def _arrow(
    image: Image, start: npt.NDArray[np.float64], tip: npt.NDArray[np.float64], colour: Colour
) -> None:
    a, b = (int(start[0]), int(start[1])), (int(tip[0]), int(tip[1]))
    stroke = _stroke(image)
    cv2.arrowedLine(image, a, b, INK, stroke + 3, cv2.LINE_AA, tipLength=0.3)
    cv2.arrowedLine(image, a, b, colour, stroke + 1, cv2.LINE_AA, tipLength=0.3)


def _middle(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The point halfway along the poly-line and the unit vector of its segment there."""
    steps = np.diff(points, axis=0)
    lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)
    half = lengths.sum() / 2
    index = int(np.searchsorted(np.cumsum(lengths), half))
    index = min(index, len(steps) - 1)
    rest = half - lengths[:index].sum()
    unit = steps[index] / lengths[index]
    return points[index] + unit * rest, unit


# ---- what a pipeline found

GROUP_COLOURS: dict[str, Colour] = {
    "person": (90, 200, 255),
    "vehicle": (255, 190, 60),
    "object": (120, 230, 160),
}
OTHER_GROUP: Colour = (210, 160, 230)
Trail = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Flash:
    """A count that has just been made, shown at its place with its reason; `freshness` falls from 1 to 0."""

    point_xyn: tuple[float, float]
    text: str
    to_right: bool
    freshness: float


def draw_result(
    image: Image,
    result: FrameResult,
    labels: Labels,
    *,
    rules: CameraRules | None = None,
    totals: Mapping[str, tuple[int, int]] | None = None,
    trails: Mapping[int, Trail] | None = None,
    flashes: Sequence[Flash] = (),
) -> Image:
    """Draw tracks with ids and trails, the lines with their totals, and fresh counts; returns `image`.

    `totals` are by line (left to right, right to left); `trails` by track id, normalised, oldest first.
    """
    for track_id, trail in (trails or {}).items():
        _trail(image, trail, _id_colour(track_id))
    _boxes(image, result.tracks, labels)
    _outlines(image, result, labels)
    if result.detections.keypoints is not None:
        for joints in result.detections.keypoints:
            _body(image, joints)
    if rules is not None:
        for zone in rules.zones:
            cv2.polylines(image, [_pixels(image, zone.points)], True, ZONE, _stroke(image), cv2.LINE_AA)
        for line in rules.lines:
            draw_line(image, line, (totals or {}).get(line.name, (0, 0)))
    for flash in flashes:
        _flash(image, flash)
    return image


def _boxes(image: Image, tracks: Tracks, labels: Labels) -> None:
    height, width = image.shape[:2]
    corners = np.round(tracks.boxes_xyxyn * (width, height, width, height)).astype(int)
    for row, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            continue  # predicted to have left: its label would stand at the edge with nothing beside it
        name = int(tracks.class_ids[row])
        colour = _group_colour(labels, name)
        stroke = _stroke(image)
        if tracks.observed[row]:
            cv2.rectangle(image, (x1, y1), (x2, y2), INK, stroke + 2, cv2.LINE_AA)
            cv2.rectangle(image, (x1, y1), (x2, y2), colour, stroke, cv2.LINE_AA)
        else:  # a prediction: corners only
            _corners(image, (x1, y1, x2, y2), colour)
        text = f"{labels.names[name]} {int(tracks.track_ids[row])}"
        write(image, text, (x1 + stroke + 2, y1 - stroke - 4), colour, size=0.8)


def _outlines(image: Image, result: FrameResult, labels: Labels) -> None:
    """Where the detector gives masks, the edges of what they cover."""
    masks, height, width = result.detections.masks, *image.shape[:2]
    for i in range(0 if masks is None else len(masks)):
        assert masks is not None
        left, top, inside = masks.patch(i, width, height)
        colour = _group_colour(labels, int(result.detections.class_ids[i]))
        edges, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        shifted = [edge + np.array([left, top], np.int32) for edge in edges]
        cv2.polylines(image, shifted, True, colour, _stroke(image), cv2.LINE_AA)


def _group_colour(labels: Labels, class_id: int) -> Colour:
    return GROUP_COLOURS.get(class_key(labels.groups[class_id]), OTHER_GROUP)


def _body(image: Image, joints: Floats) -> None:
    """The known joints of a pose (J, 3) as points, COCO's 17 with the bones between them."""
    known = joints[:, 2] >= MIN_SCORE
    points = _pixels(image, joints[:, :2].tolist())
    stroke = _stroke(image)
    for a, b in COCO_BONES if len(joints) == len(COCO_17) else ():
        if known[a] and known[b]:
            cv2.line(image, points[a].tolist(), points[b].tolist(), BONE, stroke, cv2.LINE_AA)
    for point in points[known]:
        cv2.circle(image, point.tolist(), stroke + 1, BONE, -1, cv2.LINE_AA)


def _corners(image: Image, box: tuple[int, int, int, int], colour: Colour) -> None:
    x1, y1, x2, y2 = box
    reach = max(3, min(x2 - x1, y2 - y1) // 4)
    for x, y, dx, dy in ((x1, y1, 1, 1), (x2, y1, -1, 1), (x1, y2, 1, -1), (x2, y2, -1, -1)):
        cv2.line(image, (x, y), (x + dx * reach, y), colour, _stroke(image), cv2.LINE_AA)
        cv2.line(image, (x, y), (x, y + dy * reach), colour, _stroke(image), cv2.LINE_AA)


def _trail(image: Image, trail: Trail, colour: Colour) -> None:
    if len(trail) > 1:
        cv2.polylines(image, [_pixels(image, trail)], False, colour, _stroke(image), cv2.LINE_AA)


def _flash(image: Image, flash: Flash) -> None:
    height, width = image.shape[:2]
    colour = LEFT_TO_RIGHT if flash.to_right else RIGHT_TO_LEFT
    x, y = flash.point_xyn[0] * width, flash.point_xyn[1] * height
    radius = max(4, round(height * (0.015 + 0.045 * (1 - flash.freshness))))
    cv2.circle(image, (round(x), round(y)), radius, colour, _stroke(image) + 1, cv2.LINE_AA)
    write(image, flash.text, (x, y - height * 0.05), colour, centred=True)


def _id_colour(track_id: int) -> Colour:
    """A colour of its own for each id: hues a golden angle apart."""
    hue = int(track_id * 137.508) % 180
    b, g, r = cv2.cvtColor(np.array([[[hue, 170, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


# ---- heat maps


def draw_heat(image: Image, heat: Mapping[str, Any]) -> Image:
    """Draw the data of a `streamer.heatmap.measured.v1` on `image` (H, W, 3) BGR in place; returns it.

    Seconds are shown by their square root: a place where one stood for minutes hides no path.
    """
    grid = np.sqrt(np.array(heat["seconds"], np.float32).reshape(heat["rows"], heat["columns"]))
    if not grid.max() > 0:
        return image
    height, width = image.shape[:2]
    warmth = cv2.resize(grid / grid.max(), (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((warmth * 255).astype(np.uint8), cv2.COLORMAP_JET)
    share = (MAX_HEAT_SHARE * np.minimum(1.0, 2 * warmth))[..., None]
    image[:] = (image * (1 - share) + colours * share).astype(np.uint8)
    return image


# ---- from frame to frame

TrailPoint = tuple[int, float, float]  # media_ns, x, y


class Overlay:
    """Fed with every result in order; draws the newest. Everything it keeps is forgotten in seconds."""

    def __init__(self, rules: CameraRules, labels: Labels) -> None:
        self._rules = rules
        self._labels = labels
        self._trails: dict[int, deque[TrailPoint]] = {}
        self._totals = {line.name: [0, 0] for line in rules.lines}
        self._counts: deque[tuple[int, Event]] = deque()
        self._heat: dict[str, Mapping[str, Any]] = {}  # of each heat map the last period

    def draw(self, image: Image, result: FrameResult) -> Image:
        """Take `result` in and draw it on `image` (H, W, 3) BGR."""
        now_ns = result.stamp.media_ns
        self._follow(result, now_ns)
        for event in result.events:
            if event.type == LINE_CROSSED:
                self._totals[event.subject][event.data["side"] != "left_to_right"] += 1
                self._counts.append((now_ns, event))
            elif event.type == heatmap.MEASURED.name:
                self._heat[event.subject] = event.data
        for heat in self._heat.values():
            draw_heat(image, heat)
        while self._counts and now_ns - self._counts[0][0] > FLASH_NS:
            self._counts.popleft()
        return draw_result(
            image,
            result,
            self._labels,
            rules=self._rules,
            totals={name: (right, left) for name, (right, left) in self._totals.items()},
            trails={key: [(x, y) for _, x, y in trail] for key, trail in self._trails.items()},
            flashes=[_flash_of(event, 1 - (now_ns - at_ns) / FLASH_NS) for at_ns, event in self._counts],
        )

    def _follow(self, result: FrameResult, now_ns: int) -> None:
        tracks = result.tracks
        for track_id, box in zip(tracks.track_ids.tolist(), tracks.boxes_xyxyn.tolist(), strict=True):
            trail = self._trails.setdefault(track_id, deque())
            # The foot of a person and the middle of a vehicle differ; the lower third reads well for both.
            trail.append((now_ns, (box[0] + box[2]) / 2, box[1] * 0.25 + box[3] * 0.75))
        for track_id in list(self._trails):
            trail = self._trails[track_id]
            while trail and now_ns - trail[0][0] > TRAIL_NS:
                trail.popleft()
            if not trail:
                del self._trails[track_id]


def _flash_of(event: Event, freshness: float) -> Flash:
    """The reason in a line: what went which way, and the margin by which it was sure (count/line.py)."""
    data = event.data
    text = f"+1 {data['direction']}: {data['class']} {data['track_id']}"
    if "margin" in data:
        text += f", margin {float(data['margin']):.1f}"
    x, y = data["point_xyn"]
    return Flash((float(x), float(y)), text, data["side"] == "left_to_right", max(0.0, freshness))
