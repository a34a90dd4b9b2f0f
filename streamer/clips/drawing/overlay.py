"""What a rendered clip remembers from frame to frame: trails, totals, and the counts of the last moments."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from pipelines.analytics import heatmap
from pipelines.camera_rules import CameraRules
from pipelines.events import LINE_CROSSED
from pipelines.values import Event, FrameResult, Image, Labels
from streamer.clips.drawing.heatmap import draw_heat
from streamer.clips.drawing.primitives import Flash, draw_result

TRAIL_NS = 2_000_000_000
FLASH_NS = 1_600_000_000
Place = tuple[int, float, float]  # media_ns, x, y


class Overlay:
    """Fed with every result in order; draws the newest. Everything it keeps is forgotten in seconds."""

    def __init__(self, rules: CameraRules, labels: Labels) -> None:
        self._rules = rules
        self._labels = labels
        self._trails: dict[int, deque[Place]] = {}
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
            flashes=[_flash(event, 1 - (now_ns - at_ns) / FLASH_NS) for at_ns, event in self._counts],
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


def _flash(event: Event, freshness: float) -> Flash:
    """The reason in a line: what went which way, and the margin by which it was sure (count/line.py)."""
    data = event.data
    text = f"+1 {data['direction']}: {data['class']} {data['track_id']}"
    if "margin" in data:
        text += f", margin {float(data['margin']):.1f}"
    x, y = data["point_xyn"]
    return Flash((float(x), float(y)), text, data["side"] == "left_to_right", max(0.0, freshness))
