"""Tracks beside the truth, as the tracking scores want them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.evaluate.tracking import FrameBoxes
from tests.bench.counting.data import Sequence
from tests.bench.counting.ours import Run

Array = npt.NDArray[np.float64]
Frames = list[tuple[int, npt.NDArray[np.int64], Array]]  # frame, ids (N,), boxes (N, 4) in pixels


def boxes(sequence: Sequence, run: Run) -> list[FrameBoxes]:
    """Our tracks beside the truth."""
    scale = np.array([sequence.width, sequence.height] * 2)
    found = [(frame, t.track_ids, t.boxes_xyxyn.astype(np.float64) * scale) for frame, _, t in run]
    return with_truth(sequence, found)


def with_truth(sequence: Sequence, frames: Frames) -> list[FrameBoxes]:
    """Anybody's tracks beside the truth."""
    together = []
    for frame, ids, found in frames:
        low, high = np.searchsorted(sequence.truth[:, 0], (frame, frame + 1))
        true = sequence.truth[low:high]
        together.append(FrameBoxes(true[:, 1].astype(np.int64), true[:, 2:6], ids, found))
    return together
