"""Whether the arrays of a file of stored detections fit together, and are what DetectionLog writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.detect.model import MAX_JOINT_REACH

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

_LOWEST, _HIGHEST = -1.0, 2.0  # of a box's sides, in shares of the picture
_TOP_SCORE = 1.001  # as of detectors: bf16 rounds to 1.0
_WIDEST = 1_000_000  # pixels
_LOUDEST = 1e12  # of looks: their squares add up in float32
_TOGETHER = (  # who has the first has the others
    ("faint_offsets", "faint_boxes", "faint_scores", "faint_class_ids"),
    ("keypoints", "joints"),
    ("joints", "keypoints"),
    ("looks", "looked"),
    ("looked", "looks"),
)


def check_arrays(data: Arrays) -> None:
    """Raises ValueError that names the array and says what is wrong with it."""
    for first, *others in _TOGETHER:
        missing = [key for key in others if first in data and key not in data]
        if missing:
            raise ValueError(f"{missing[0]} is missing beside {first}")
    _check_words(data)
    _check_size(data)
    frames = _check_times(data["media_ns"])
    boxes = _check_boxes(data, "", frames)
    if "faint_offsets" in data:
        none = data["faint_offsets"].shape == (0,)  # the detector gives none
        _check_boxes(data, "faint_", frames, given=not none)
    if "keypoints" in data:
        _check_keypoints(data["keypoints"], boxes, len(data["joints"]))
    if "looks" in data:
        _check_looks(data["looks"], data["looked"], boxes, frames)


def _check_words(data: Arrays) -> None:
    _need("clip", data["clip"].shape == () and data["clip"].dtype.kind == "U", "is no text")
    for key in ("names", "groups", "joints"):
        words = data.get(key)
        if words is not None:
            _need(
                key, words.ndim == 1 and (words.dtype.kind == "U" or not len(words)), "are no list of names"
            )
    _need("groups", len(data["groups"]) == len(data["names"]), "and names differ in number")
    detector = data.get("detector")
    if detector is None:
        return
    try:
        said = json.loads(str(detector))
    except (ValueError, RecursionError):
        said = None
    _need("detector", isinstance(said, dict), "is no JSON object")


def _check_size(data: Arrays) -> None:
    size = data["size"]
    _need("size", size.shape == (3,) and size.dtype.kind in "iuf", "is not three numbers")
    width, height, fps = size.tolist()
    for pixels in (width, height):
        _need("size", 1 <= pixels <= _WIDEST and pixels == int(pixels), f"has a side of {pixels:g} pixels")
    rate = fps == 0 or 1e-6 <= fps <= 1e9  # 0: the clip does not say
    _need("size", rate, f"has {fps:g} frames a second")
    for key, least, most, what in (
        ("aspect", 1e-6, 1e6, "is the shape of no picture"),
        ("sure_score", 0, _TOP_SCORE, "is not from 0 to 1"),
    ):
        number = data.get(key)
        if number is not None:
            _need(key, number.shape == () and number.dtype.kind in "iuf", "is no number")
            _need(key, number == 0 or least <= number <= most, what)


def _check_times(media_ns: Array) -> int:
    """How many frames there are."""
    _need_kind("media_ns", media_ns, np.int64, (None,))
    _need("media_ns", len(media_ns) > 0, "has no frames")
    _need(
        "media_ns",
        media_ns[0] >= 0 and (media_ns[1:] > media_ns[:-1]).all(),
        "does not rise from frame to frame",
    )
    return len(media_ns)


def _check_boxes(data: Arrays, which: str, frames: int, *, given: bool = True) -> int:
    """How many boxes there are."""
    offsets, boxes, scores, class_ids = (
        data[which + key] for key in ("offsets", "boxes", "scores", "class_ids")
    )
    _need_kind(f"{which}boxes", boxes, np.float32, (None, 4))
    n = len(boxes)
    _need_kind(f"{which}scores", scores, np.float32, (None,))
    _need_kind(f"{which}class_ids", class_ids, np.int32, (None,))
    _need(
        f"{which}boxes", n == len(scores) == len(class_ids), "and their scores and class_ids differ in number"
    )
    _need_kind(f"{which}offsets", offsets, np.int64, (frames + 1 if given else 0,))
    ends = (offsets[0], offsets[-1]) if given else (0, 0)
    _need(f"{which}offsets", ends == (0, n), f"do not run from 0 to the number of boxes ({n})")
    _need(f"{which}offsets", (offsets[1:] >= offsets[:-1]).all(), "fall from frame to frame")
    within = (boxes >= _LOWEST) & (boxes <= _HIGHEST)  # false for NaN
    _need(f"{which}boxes", np.isfinite(boxes).all(), "are not finite")
    _need(f"{which}boxes", within.all(), "are far outside the picture: they are shares of it, not pixels")
    _need(f"{which}boxes", (boxes[:, 2:] >= boxes[:, :2]).all(), "are turned round (x2 < x1 or y2 < y1)")
    _need(f"{which}scores", ((scores >= 0) & (scores <= _TOP_SCORE)).all(), "are not all from 0 to 1")
    listed = (class_ids >= 0) & (class_ids < len(data["names"]))
    _need(f"{which}class_ids", listed.all(), "have a class that names does not list")
    return n


def _check_keypoints(keypoints: Array, boxes: int, joints: int) -> None:
    _need_kind("keypoints", keypoints, np.float32, (boxes, joints, 3))
    _need("keypoints", np.isfinite(keypoints).all(), "are not finite")
    near = np.abs(keypoints[..., :2] - 0.5) <= MAX_JOINT_REACH
    _need("keypoints", near.all(), "are far outside the picture: they are shares of it, not pixels")
    scores = keypoints[..., 2]
    _need("keypoints", ((scores >= 0) & (scores <= 1)).all(), "have scores that are not from 0 to 1")


def _check_looks(looks: Array, looked: Array, boxes: int, frames: int) -> None:
    bytes_or_reals = looks.dtype in (np.uint8, np.float32)
    _need("looks", bytes_or_reals, f"of type {looks.dtype}, where uint8 or float32 is expected")
    _need_kind("looks", looks, looks.dtype.type, (boxes, None))
    _need_kind("looked", looked, np.bool_, (frames,))
    _need("looks", np.isfinite(looks).all(), "are not finite")
    _need("looks", (np.abs(looks) <= _LOUDEST).all(), f"are beyond {_LOUDEST:g}")


def _need_kind(name: str, array: Array, kind: type[np.generic], shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    wanted = " x ".join("any" if n is None else str(n) for n in shape)
    found = " x ".join(map(str, array.shape)) or "one value"
    _need(name, fits, f"of shape {found}, where {wanted} is expected")
    _need(name, array.dtype == kind, f"of type {array.dtype}, where {np.dtype(kind)} is expected")


def _need(name: str, good: object, wrong: str) -> None:
    if not good:
        raise ValueError(f"{name} {wrong}")
