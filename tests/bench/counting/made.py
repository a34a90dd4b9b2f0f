"""Small made-up sequences for the tests of this package: they need no corpus."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.bench.counting.data import Sequence

WIDTH, HEIGHT, FPS = 1000, 500, 10.0


def walk(
    frames: int = 60, *, start: float = 200.0, speed: float = 10.0, foot: float = 200.0, identity: int = 1
) -> npt.NDArray[np.float64]:
    """(F, 6) truth rows of one person of 40 x 100 pixels who walks along the picture, a frame each."""
    x, number = start + speed * np.arange(frames), np.arange(frames, dtype=float)
    across = np.column_stack([x - 20, np.full(frames, foot - 100), x + 20, np.full(frames, foot)])
    return np.column_stack([number, np.full(frames, float(identity)), across])


def sequence(*ways: npt.NDArray[np.float64], name: str = "made", group: str = "made") -> Sequence:
    """Their truth, and every box of it found with a score of 0.95."""
    truth = np.concatenate(ways)
    truth = truth[np.argsort(truth[:, 0], kind="stable")]
    found = np.column_stack([truth[:, 0], truth[:, 2:6], np.full(len(truth), 0.95)])
    last = int(truth[:, 0].max())
    return Sequence(group, name, WIDTH, HEIGHT, FPS, 0, last, truth, found)
