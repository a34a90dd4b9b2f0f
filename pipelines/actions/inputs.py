"""What a window's values are for each kind of input, and how they are freed of place and size.

The same functions prepare a window for training and for the live engine, so that both see the same.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.skeleton import fill_missing
from pipelines.values import Floats

Kind = Literal["pose", "boxes", "features", "crops"]
KINDS: tuple[Kind, ...] = ("pose", "boxes", "features", "crops")
BOX_VALUES = 4  # centre x, centre y, width, height, all in picture heights
BOX_FEATURES = 9
MIN_SIZE = 1e-4  # picture heights; keeps divisions finite


def prepare(kind: Kind, windows: npt.ArrayLike) -> Floats:
    """(B, T, …) raw values -> what the network takes, float32 and finite.

    pose (B, T, J, 3) -> (B, T, J, 3) body-normalised; boxes (B, T, 4) -> (B, T, 9); features and crops are
    taken as they are.
    """
    raw = np.asarray(windows, np.float32)
    if kind == "pose":
        return normalise_poses(raw)
    if kind == "boxes":
        return box_features(raw)
    return raw


def normalise_poses(windows: Floats) -> Floats:
    """(B, T, J, 3) -> the same, centred on the window's mean body and in units of its size.

    The size is the root mean square distance of the joints from the body's middle: it hardly changes with
    the pose, unlike a height. Missing joints are filled (fill_missing).
    """
    filled = np.stack([fill_missing(window) for window in windows]) if len(windows) else windows
    joints, weights = filled[..., :2], filled[..., 2:]
    weight_sum = weights.sum(axis=2, keepdims=True).clip(1e-6)
    middles = (joints * weights).sum(axis=2, keepdims=True) / weight_sum  # (B, T, 1, 2)
    spread = ((joints - middles) ** 2 * weights).sum(axis=(2, 3)) / weight_sum[..., 0, 0]
    size = np.sqrt(np.median(spread, axis=1)).clip(MIN_SIZE)[:, None, None, None]
    centre = middles.mean(axis=1, keepdims=True)
    out = np.concatenate([(joints - centre) / size, weights], axis=3)
    return np.nan_to_num(out.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(-20.0, 20.0)


def box_features(windows: Floats) -> Floats:
    """(B, T, 4) centre, width and height -> (B, T, 9).

    | column | unit          | meaning                                                  |
    |--------|---------------|----------------------------------------------------------|
    | 0, 1   | usual heights | x, y of the centre, relative to its mean over the window |
    | 2, 3   | usual heights | its step since the frame before, times 4                 |
    | 4, 5   | usual heights | width and height, less 1                                 |
    | 6      | logarithm     | of width over height                                     |
    | 7      | logarithm     | column 6, less its value in the window's first frame     |
    | 8      | logarithm     | of the height over its value in the window's first frame |

    The usual height is the 75th percentile of the heights over the window.
    """
    windows = np.nan_to_num(windows, nan=0.0, posinf=0.0, neginf=0.0)
    centres, sizes = windows[..., :2], windows[..., 2:].clip(MIN_SIZE)
    usual = np.percentile(sizes[..., 1], 75, axis=1).clip(MIN_SIZE)[:, None, None].astype(np.float32)
    relative = (centres - centres.mean(axis=1, keepdims=True)) / usual
    speed = np.diff(centres, axis=1, prepend=centres[:, :1]) / usual
    shape = np.log(sizes[..., :1] / sizes[..., 1:])
    height = np.log(sizes[..., 1:] / usual)
    out = np.concatenate(
        [relative, 4 * speed, sizes / usual - 1, shape, shape - shape[:, :1], height - height[:, :1]], axis=2
    )
    return out.astype(np.float32).clip(-10.0, 10.0)


def boxes_to_values(boxes_xyxyn: Floats, aspect: float) -> Floats:
    """(N, 4) normalised boxes -> (N, 4) centre, width, height in picture heights; `aspect`: width/height."""
    x1, y1, x2, y2 = boxes_xyxyn.T
    return np.stack(((x1 + x2) / 2 * aspect, (y1 + y2) / 2, (x2 - x1) * aspect, y2 - y1), axis=1)
