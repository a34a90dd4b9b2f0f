"""The bicycles of the synthetic street: wheels and a frame of wires; the rider is a person of people.py."""

from __future__ import annotations

import math
import random

import numpy as np

from streamer.sources.synthetic.shapes import Colour, Shape, Wire
from streamer.sources.synthetic.view import View

WHEEL_M = 0.34
BASE_M = 1.04  # between the axles
FRAMES: tuple[Colour, ...] = ((40, 40, 190), (160, 80, 30), (45, 45, 45), (60, 140, 60), (200, 200, 200))
TYRE: Colour = (28, 28, 28)
SPOKES: Colour = (120, 120, 120)


def shapes(view: View, look: int, x: float, y: float, forward: int) -> list[Shape]:
    """The bicycle with its middle at (x, y), riding to +x (`forward` 1) or to -x (-1)."""
    colour = random.Random(f"bicycle {look}").choice(FRAMES)
    rear, front, crank = (-BASE_M / 2, WHEEL_M), (BASE_M / 2, WHEEL_M), (-0.06, 0.28)
    saddle, stem = (-0.20, 0.90), (0.36, 0.92)
    parts: list[tuple[list[tuple[float, float]], float, Colour, bool]] = []
    for hub in (rear, front):
        for share, width, paint in ((1.0, 0.035, TYRE), (0.88, 0.015, SPOKES)):
            parts.append((_ring(hub, WHEEL_M * share - 0.017), width, paint, True))
        for k in range(3):
            angle = k * math.pi / 3 + 0.3
            dx, dz = WHEEL_M * 0.85 * math.cos(angle), WHEEL_M * 0.85 * math.sin(angle)
            parts.append(([(hub[0] - dx, hub[1] - dz), (hub[0] + dx, hub[1] + dz)], 0.006, SPOKES, False))
    parts.append(([rear, crank, (0.30, 0.78), (-0.15, 0.76), rear], 0.035, colour, False))
    parts.append(([crank, saddle], 0.035, colour, False))
    parts.append(([front, stem, (0.42, 0.98), (0.30, 1.00)], 0.03, colour, False))
    parts.append(([(-0.32, 0.92), (-0.08, 0.92)], 0.05, TYRE, False))
    drawn: list[Shape] = []
    for outline, width, paint, closed in parts:
        points = np.array([(x + u * forward, y, z) for u, z in outline])
        pixels, depth = view.project(points)
        if depth.min() < 1.0:
            return []
        drawn.append(Wire(pixels, width * view.focal / float(depth[0]), paint, closed))
    return drawn


def _ring(hub: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    return [
        (hub[0] + radius * math.cos(k * math.tau / 16), hub[1] + radius * math.sin(k * math.tau / 16))
        for k in range(16)
    ]
