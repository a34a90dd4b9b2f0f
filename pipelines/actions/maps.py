"""A detector's own feature maps as a frozen backbone: how they are pooled, in training and live alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Ticket
from pipelines.detect.maps import STRIDES
from pipelines.registry import create_detector
from pipelines.values import FeatureMaps, Floats, Frame, Image, Stamp

WHOLE: Floats = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
EDGE = 1e-3  # cells: a box that ends where a cell ends does not reach into the next


def pool(
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


def _stack(rows: list[Floats], channels: int) -> Floats:
    return np.stack(rows) if rows else np.zeros((0, channels), np.float32)


class MapEmbedder:
    """A clip's pictures in order -> values of the whole picture, from a detector's maps alone.

    The detector runs as it does in a pipeline, with the sidecar beside its file if there is one, so that live
    values are those of training. Raises ModelRefused. Of its values `moved` keeps how the maps change alone,
    `still` what they hold: all that a single picture has.
    """

    def __init__(
        self,
        detector: Path,
        *,
        moved: bool = False,
        still: bool = False,
        strides: Sequence[int] = STRIDES,
        threads: int = 1,
    ) -> None:
        beside = detector.with_suffix(".yaml")
        card: ModelCard | None = read_card(beside) if beside.is_file() else None
        self._detector = create_detector("auto", detector, threads=threads, sidecar=card)
        self.moved, self.still = moved, still
        self.strides = tuple(strides)
        self.channels = self._detector.give_maps(self.strides)
        self.sha256 = str(self._detector.describe()["sha256"])

    @property
    def values(self) -> int:
        """How many values a frame has."""
        return self.channels if self.moved or self.still else 2 * self.channels

    def embed_clip(self, images: Sequence[Image]) -> Floats:
        """(T, values); the first picture has not changed."""
        rows: list[Floats] = []
        before: FeatureMaps | None = None
        waiting: deque[Ticket] = deque()
        ahead = iter(images)
        while True:
            image = next(ahead, None) if len(waiting) < self._detector.depth else None
            if image is not None:
                waiting.append(self._submit(image))
                continue
            if not waiting:
                return np.stack(rows) if rows else np.zeros((0, self.values), np.float32)
            maps = self._detector.collect(waiting.popleft())[0].maps
            assert maps is not None
            row = pool(maps, before, WHOLE, self.strides, moved=self.moved)[0]
            rows.append(row[: self.channels] if self.still else row)
            before = maps

    def _submit(self, image: Image) -> Ticket:
        ticket = self._detector.submit([Frame(Stamp("clip", 1, 0, 0, 0, 0), image)])
        ticket.maps = True
        return ticket
