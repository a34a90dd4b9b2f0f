"""Tracks of people that stand, walk, run, loiter and fall, made from a seed, as a detector would see them.

A body of 1.5 to 1.9 m stands on a ground plane before a camera at 2 to 8 m; what it does moves its feet and
its posture; its silhouette is projected, and the noise, misses and cut feet of a detector are added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.actions.inputs import BOX_VALUES
from pipelines.train.actions.data import ActionData, HeadTargets, Labelled, one_hot
from pipelines.values import Floats

LABELS = ("stand", "walk", "run", "loiter", "fall")
FPS = (8.0, 25.0)  # of the cameras, evenly between
MISSED = 0.06  # of the boxes
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Camera:
    """Height above the ground in metres, tilt downwards and opening angle in radians; `fps`."""

    height_m: float
    tilt: float
    opening: float
    fps: float

    def project(self, points_m: Array) -> Array:
        """(…, 3) right, forward, up in metres -> (…, 2) in picture heights, y down, middle at 0.5."""
        x, forward, up = points_m[..., 0], points_m[..., 1], points_m[..., 2] - self.height_m
        depth = forward * np.cos(self.tilt) - up * np.sin(self.tilt)
        rise = forward * np.sin(self.tilt) + up * np.cos(self.tilt)
        focal = 0.5 / np.tan(self.opening / 2)
        scale = focal / np.maximum(depth, 0.3)
        placed: Array = np.stack((x, -rise), axis=-1) * scale[..., None] + 0.5
        return placed


def make_tracks(count: int, seed: int) -> ActionData:
    """`count` tracks of 4 to 8 s, the labels in turn, each frame labelled. The same seed gives the same."""
    rng = np.random.default_rng(seed)
    head = HeadTargets("action", LABELS)
    sequences = []
    for number in range(count):
        action = LABELS[number % len(LABELS)]
        camera = _Camera(
            rng.uniform(2.0, 6.0), rng.uniform(0.15, 0.6), rng.uniform(0.7, 1.2), rng.uniform(*FPS)
        )
        seconds = rng.uniform(4.0, 8.0)
        times_s = np.arange(0, seconds, 1 / camera.fps)
        feet, posture, words = _act(action, times_s, rng)
        boxes = _see(camera, feet, posture, times_s, rng)
        observed = rng.random(len(times_s)) >= MISSED
        observed[[0, -1]] = True
        targets = one_hot(words, LABELS, False, "made tracks")
        sequences.append(
            Labelled(
                f"{action}-{number}",
                f"made-{seed}-{number}",
                "",
                boxes[observed],
                times_s[observed],
                (targets[observed],),
            )
        )
    return ActionData("boxes", BOX_VALUES, (head,), tuple(sequences), (), grouped=True)


def _act(label: str, times_s: Array, rng: np.random.Generator) -> tuple[Array, Array, list[str]]:
    """Feet on the ground (T, 2) in metres, posture (T,) 0 upright to 1 lying, and each frame's label."""
    start = np.array([rng.uniform(-3, 3), rng.uniform(4, 14)])
    if label == "fall":
        return _fall(start, times_s, rng)
    feet = start + _steps(label, times_s, rng)
    posture = np.zeros(len(times_s))
    if label in ("stand", "loiter") and rng.random() < 0.15:  # bends down for something, and up again
        middle, length = rng.uniform(1, times_s[-1]), rng.uniform(0.6, 1.5)
        posture = 0.35 * np.exp(-(((times_s - middle) / length) ** 2))
    return feet, posture, [label] * len(times_s)


def _steps(label: str, times_s: Array, rng: np.random.Generator) -> Array:
    """Where the feet are relative to the start, (T, 2) in metres."""
    n, dt = len(times_s), float(times_s[1] - times_s[0])
    heading = rng.uniform(0, 2 * np.pi)
    if label == "stand":
        sway = np.cumsum(rng.normal(0, 0.03 * np.sqrt(dt), (n, 2)), axis=0)
        return np.asarray(sway - sway.mean(axis=0)) * 0.7
    if label == "loiter":  # a few slow steps, a pause, back again
        speed = 0.45 * np.clip(
            np.sin(2 * np.pi * times_s / rng.uniform(2.5, 5) + rng.uniform(0, 6)) + 0.3, 0, 1
        )
        turning = np.cumsum(rng.normal(0, 1.6 * np.sqrt(dt), n))
    else:
        usual = rng.uniform(0.8, 1.7) if label == "walk" else rng.uniform(2.6, 5.0)
        speed = usual * (1 + 0.08 * np.cumsum(rng.normal(0, np.sqrt(dt), n)).clip(-2, 2))
        turning = np.cumsum(rng.normal(0, 0.25 * np.sqrt(dt), n))
    angle = heading + turning
    step = np.stack((np.cos(angle), np.sin(angle)), axis=1) * (speed * dt)[:, None]
    return np.cumsum(step, axis=0)


def _fall(start: Array, times_s: Array, rng: np.random.Generator) -> tuple[Array, Array, list[str]]:
    """Some way of being upright, then down within a second, then lying."""
    before = str(rng.choice(["stand", "walk", "loiter", "run"], p=[0.3, 0.45, 0.15, 0.1]))
    moment_s = rng.uniform(0.3, 0.6) * times_s[-1]
    took_s = rng.uniform(0.4, 1.1)
    share = ((times_s - moment_s) / took_s).clip(0, 1)
    going = _steps(before, times_s, rng)
    stopped = going[np.minimum(np.arange(len(going)), np.searchsorted(times_s, moment_s))]
    slide = rng.normal(0, 0.4, 2) * share[:, None]
    words = [before if t < moment_s + 0.3 * took_s else "fall" for t in times_s.tolist()]
    return start + stopped + slide, share**1.7, words


def _see(camera: _Camera, feet: Array, posture: Array, times_s: Array, rng: np.random.Generator) -> Floats:
    """(T, 4) centre, width and height in picture heights, with what a detector does to them."""
    tall, broad = rng.uniform(1.5, 1.92), rng.uniform(0.42, 0.6)
    towards = rng.uniform(0, 2 * np.pi)  # the way a body lies on the ground
    move = np.linalg.norm(np.gradient(feet, times_s, axis=0), axis=1)
    stride = 0.5 * (move / 1.4).clip(0, 2) * np.abs(np.sin(2 * np.pi * (0.6 + 0.35 * move) * times_s))
    angle = posture * np.pi / 2 * 0.96
    lying = np.stack(
        (np.cos(towards) * np.sin(angle), np.sin(towards) * np.sin(angle), np.cos(angle)), axis=1
    )
    corners = []
    for along in (0.0, 0.55, 1.0):
        spine = np.concatenate([feet, np.zeros((len(feet), 1))], axis=1) + lying * (along * tall)
        half = (broad + (stride if along == 0 else 0)) / 2
        for side in (-1, 1):
            across = np.stack(
                (np.full(len(feet), 1.0) * side * half, np.zeros(len(feet)), np.zeros(len(feet))), axis=1
            )
            corners.append(camera.project(spine + across + [0, 0, 0.12 * np.sin(angle).mean()]))
    points = np.stack(corners)  # (6, T, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return _disturb(low, high, rng)


def _disturb(low: Array, high: Array, rng: np.random.Generator) -> Floats:
    """A detector's noise, which lasts over frames, and feet that something hides for a while."""
    n = len(low)
    size = (high - low).clip(0.02)
    sigma = rng.uniform(0.01, 0.035)
    noise = rng.normal(0, sigma, (2, n, 2))
    for i in range(1, n):
        noise[:, i] += 0.6 * noise[:, i - 1]
    low, high = low + noise[0] * size, high + noise[1] * size
    if rng.random() < 0.15:
        first = int(rng.integers(n))
        last = min(n, first + int(rng.integers(5, 40)))
        high[first:last, 1] -= rng.uniform(0.1, 0.4) * size[first:last, 1]
    middle, size = (low + high) / 2, (high - low).clip(0.01)
    return np.concatenate([middle, size], axis=1).astype(np.float32)
