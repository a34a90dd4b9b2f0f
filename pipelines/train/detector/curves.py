"""Training curves as a PNG, drawn with OpenCV alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.values import Image

WIDTH, HEIGHT, EDGE = 900, 480, 60
COLOURS = {"loss": (40, 40, 40), "classes": (200, 90, 20), "boxes": (40, 140, 40), "shapes": (40, 40, 200)}


def draw_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """Losses over steps on a logarithmic scale. `history` as the training loop keeps it, not empty."""
    steps = np.array([row["step"] for row in history])
    values = {key: np.array([row[key] for row in history]).clip(1e-4) for key in COLOURS}
    low = min(v.min() for v in values.values()) * 0.9
    high = max(v.max() for v in values.values()) * 1.1
    canvas: Image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for tick in [m * 10.0**e for e in range(-4, 4) for m in (1, 2, 5)]:
        if low <= tick <= high:
            y = _y(tick, low, high)
            cv2.line(canvas, (EDGE, y), (WIDTH - 10, y), (225, 225, 225), 1)
            _text(canvas, f"{tick:g}", (8, y + 4))
    for row, (key, colour) in enumerate(COLOURS.items()):
        xs = EDGE + (WIDTH - EDGE - 10) * (steps - steps[0]) / max(1.0, steps[-1] - steps[0])
        points = np.stack((xs, [_y(v, low, high) for v in values[key]]), axis=1)
        cv2.polylines(canvas, [points.astype(np.int32)], False, colour, 2, cv2.LINE_AA)
        _text(canvas, f"{key} {values[key][-1]:.3f}", (WIDTH - 150, 24 + 18 * row), colour)
    _text(canvas, f"steps {int(steps[0])} to {int(steps[-1])}", (EDGE, HEIGHT - 10))
    cv2.imwrite(str(path), canvas)


def _y(value: float, low: float, high: float) -> int:
    share = (np.log(value) - np.log(low)) / max(1e-9, np.log(high) - np.log(low))
    return round(HEIGHT - 30 - float(share) * (HEIGHT - 40))


def _text(canvas: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int] = (90, 90, 90)) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
