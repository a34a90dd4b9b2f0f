"""A detector's own feature maps as a frozen backbone: how they are pooled, in training and live alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.detect.feature_maps import STRIDES
from pipelines.values import FeatureMaps, Floats

FULL_FRAME: Floats = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
EDGE = 1e-3  # cells: a box that ends where a cell ends does not reach into the next


def roi_pool(
    now: FeatureMaps,
    before: FeatureMaps | None,
    boxes_xyxyn: Floats,
    strides: Sequence[int] = STRIDES,
    *,
    moved: bool = False,
) -> Floats:
    """(N, 4) boxes -> (N, 2 * channels): over the cells that each covers the mean of the maps, and the most
    that they changed since those of the frame `before`: what moves, without optical flow.

    `moved` gives the second half alone: it tells less of the place, which is what few clips of few scenes
    need. Without a frame before nothing has changed.
    """
    inside = boxes_xyxyn * np.tile(now.scale, 2) + np.tile(now.offset, 2)
    parts: list[list[Floats]] = [[], []]
    for stride in strides:
        here = now.maps[now.strides.index(stride)]
        there = None if before is None else before.maps[before.strides.index(stride)]
        high, wide, channels = here.shape
        low = np.floor(inside[:, :2] * (wide, high) + EDGE).astype(int).clip(0, (wide - 1, high - 1))
        top = np.ceil(inside[:, 2:] * (wide, high) - EDGE).astype(int).clip(low + 1, (wide, high))
        corners = np.concatenate([low, top], axis=1).tolist()
        cells = [np.s_[y1:y2, x1:x2] for x1, y1, x2, y2 in corners]
        if not moved:
            parts[0].append(_stack([here[at].mean(axis=(0, 1)) for at in cells], channels))
        still = np.zeros(channels, np.float32)
        changed = [still if there is None else _change(here[at], there[at]) for at in cells]
        parts[1].append(_stack(changed, channels))
    return np.concatenate([*parts[0], *parts[1]], axis=1)


def _change(now: Floats, before: Floats) -> Floats:
    difference = now - before
    np.abs(difference, out=difference)
    most: Floats = difference.max(axis=(0, 1))
    return most


def _stack(pooled: list[Floats], channels: int) -> Floats:
    return np.stack(pooled) if pooled else np.zeros((0, channels), np.float32)
