"""The values that travel through a pipeline: frozen, with shapes checked once at birth.

Coordinates are normalised to the camera image: x right, y down, in [0, 1], float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.class_names import named, named_by_any, spelled
from pipelines.instance_masks import InstanceMasks

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


_FLOAT32, _INT32, _INT64, _BOOL = (np.dtype(kind) for kind in (np.float32, np.int32, np.int64, np.bool_))


def _check(name: str, array: npt.NDArray[Any], shape: tuple[int | None, ...], dtype: np.dtype[Any]) -> None:
    if array.shape == shape and array.dtype == dtype:
        return  # nearly always
    good = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not good:
        wanted = "(" + ", ".join("N" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")
    if array.dtype != dtype:
        raise ValueError(f"{name}: expected dtype {dtype}, got {array.dtype}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which frame of which camera, and its times.

    `epoch` counts the camera's opens and scopes track ids; `frame_id` rises by one per decoded frame of
    an epoch. `media_ns` rises within an epoch and is what intervals use; `captured_ns` is the box's wall
    clock for the frame; `received_mono_ns` is CLOCK_MONOTONIC when it was decoded, for its age.
    `clock_source` is "rtp", "pts" or "arrival".
    """

    camera: str
    epoch: int
    frame_id: int
    media_ns: int
    captured_ns: int
    received_mono_ns: int
    clock_source: str = "pts"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture at analysis size: `image` is (H, W, 3) uint8, BGR, C-contiguous in rows.

    `whole` (width, height) of a part of a picture: the picture's size, at whose scale a detector that has
    the choice looks at the part.
    """

    stamp: Stamp
    image: Image
    whole: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _check("image", self.image, (None, None, 3), np.dtype(np.uint8))


@dataclass(frozen=True, slots=True)
class Labels:
    """A model's classes: `names[i]` and `groups[i]` belong to class id i (groups: person, vehicle, …)."""

    names: tuple[str, ...]
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.groups):
            raise ValueError(f"labels: {len(self.names)} names but {len(self.groups)} groups")

    def group_ids(self) -> Ints:
        """(C,) int32: for each class id a small number that is equal for classes of one group."""
        return _group_ids(self.groups)

    def mask(self, wanted: tuple[str, ...]) -> Bools:
        """(C,) bool, not to be written: the class ids that `wanted` names by class or group, in whatever
        spelling (class_names.py); all when it names none.

        Raises ValueError for a name that is neither, with what there is.
        """
        return _mask(self.names, self.groups, wanted)


@lru_cache(maxsize=256)
def _mask(names: tuple[str, ...], groups: tuple[str, ...], wanted: tuple[str, ...]) -> Bools:
    known = {*names, *groups}
    for word in wanted:
        if not named(word, known):
            shown = ", ".join(sorted(known))
            shown = shown if len(shown) < 200 else ", ".join(dict.fromkeys(groups))
            raise ValueError(f"the model has no class or group {word!r}; it has {shown}")
    meant = named_by_any(wanted, known)
    chosen = [not wanted or n in meant or g in meant for n, g in zip(names, groups, strict=True)]
    mask = np.array(chosen, np.bool_)
    mask.flags.writeable = False  # shared by all who ask
    return mask


@cache
def _group_ids(groups: tuple[str, ...]) -> Ints:
    plain = [spelled(group) for group in groups]  # a sidecar may part what mean the same, but not by spelling
    order = {name: i for i, name in enumerate(dict.fromkeys(plain))}
    ids = np.array([order[g] for g in plain], dtype=np.int32)
    ids.flags.writeable = False  # shared by all who ask
    return ids


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMaps:
    """A detector's inner maps of one frame: for each of `strides` a map (h, w, C) float32.

    Each covers all of the detector's input. The picture's corners 0 and 1 lie in it at `offset` and
    `offset + scale` (x, y), in shares of the input.
    """

    strides: tuple[int, ...]
    maps: tuple[Floats, ...]
    offset: tuple[float, float]
    scale: tuple[float, float]

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.maps):
            raise ValueError(f"feature maps: {len(self.strides)} strides but {len(self.maps)} maps")
        for each in self.maps:
            _check("feature map", each, (None, None, None), _FLOAT32)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one frame.

    boxes_xyxyn (N, 4) float32; scores (N,) float32 in [0, 1]; class_ids (N,) int32;
    embeddings (N, D) float32 or None, one appearance vector a box where the user has such a model;
    keypoints (N, J, 3) float32 or None: of each box's joints x and y normalised to the picture and a score in
    [0, 1], all finite; a joint of score 0 is unknown; masks of the boxes, one each, or None: where the user
    of the detector asked for them. Boxes below `high_threshold` are low ones (as in ByteTrack, 2022): a track
    goes on with them, but they are no proof of an object. Where they were asked for: `maps` are the frame's,
    `low_confidence` the boxes of scores below these, which suppress none.
    """

    boxes_xyxyn: Floats
    scores: Floats
    class_ids: Ints
    embeddings: Floats | None = None
    keypoints: Floats | None = None
    maps: FeatureMaps | None = None
    high_threshold: float = 0.0
    low_confidence: Detections | None = None
    masks: InstanceMasks | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes_xyxyn)
        _check("boxes_xyxyn", self.boxes_xyxyn, (n, 4), _FLOAT32)
        _check("scores", self.scores, (n,), _FLOAT32)
        _check("class_ids", self.class_ids, (n,), _INT32)
        if self.embeddings is not None:
            _check("embeddings", self.embeddings, (n, None), _FLOAT32)
        if self.keypoints is not None:
            _check("keypoints", self.keypoints, (n, None, 3), _FLOAT32)
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"masks: expected {n}, one a box, got {len(self.masks)}")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    def take(self, index: npt.NDArray[Any]) -> Detections:
        """The rows that `index` (a mask or positions) names, in its order."""
        return Detections(
            self.boxes_xyxyn[index],
            self.scores[index],
            self.class_ids[index],
            None if self.embeddings is None else self.embeddings[index],
            None if self.keypoints is None else self.keypoints[index],
            self.maps,
            self.high_threshold,
            self.low_confidence,
            None if self.masks is None else self.masks.take(index),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The live tracks of one camera at one frame.

    track_ids (N,) int64, unique per camera and epoch; boxes_xyxyn (N, 4) float32, the tracker's own
    estimate at this frame; scores (N,) float32 of the last matched box; class_ids (N,) int32, the class
    with most votes so far; observed (N,) bool, whether a box of this frame was matched (else the box is
    a prediction); jitter_xyn (N, 2) float32, the track's measured standard deviation of its box's
    position noise, normalised.

    Optional, for analytics that smooth with hindsight: measured_xyxyn (N, 4) float32, the matched box as
    the detector gave it (where `observed`); evidence (N,) float32, how much that box's score speaks for
    a real object (below 0: against); history, for each track shown for the first time, its earlier boxes
    as (K, 6) float64 rows of age in seconds, x1, y1, x2, y2, evidence, oldest first.
    """

    track_ids: Longs
    boxes_xyxyn: Floats
    scores: Floats
    class_ids: Ints
    observed: Bools
    jitter_xyn: Floats
    measured_xyxyn: Floats | None = None
    evidence: Floats | None = None
    history: Mapping[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.track_ids)
        if self._sound((n,), (n, 4)):
            return  # nearly always
        _check("track_ids", self.track_ids, (n,), _INT64)
        _check("boxes_xyxyn", self.boxes_xyxyn, (n, 4), _FLOAT32)
        _check("scores", self.scores, (n,), _FLOAT32)
        _check("class_ids", self.class_ids, (n,), _INT32)
        _check("observed", self.observed, (n,), _BOOL)
        _check("jitter_xyn", self.jitter_xyn, (n, 2), _FLOAT32)
        if self.measured_xyxyn is not None:
            _check("measured_xyxyn", self.measured_xyxyn, (n, 4), _FLOAT32)
        if self.evidence is not None:
            _check("evidence", self.evidence, (n,), _FLOAT32)

    def _sound(self, each: tuple[int], boxes: tuple[int, int]) -> bool:
        measured, evidence = self.measured_xyxyn, self.evidence
        return (
            self.track_ids.shape == self.scores.shape == self.class_ids.shape == self.observed.shape == each
            and self.boxes_xyxyn.shape == boxes
            and self.jitter_xyn.shape == (each[0], 2)
            and self.track_ids.dtype == _INT64
            and self.class_ids.dtype == _INT32
            and self.observed.dtype == _BOOL
            and self.boxes_xyxyn.dtype == self.scores.dtype == self.jitter_xyn.dtype == _FLOAT32
            and (measured is None or (measured.shape == boxes and measured.dtype == _FLOAT32))
            and (evidence is None or (evidence.shape == each and evidence.dtype == _FLOAT32))
        )

    def __len__(self) -> int:
        return len(self.track_ids)

    @classmethod
    def empty(cls) -> Tracks:
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.bool_),
            np.zeros((0, 2), np.float32),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `type` as in DESIGN section 4 (for example "streamer.line.crossed.v1").

    `stamp` is the frame at which it was decided; `subject` names the line, zone or track it is about;
    `data` is plain JSON (str, int, float, bool, None, list, dict) and never holds numpy scalars.
    """

    type: str
    stamp: Stamp
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """All that a pipeline has to say about one frame.

    `looks` (N, E) float32 are what the N detections look like, zero where that is not known; None where
    nobody asked, or the frame was not due.
    """

    stamp: Stamp
    detections: Detections
    tracks: Tracks
    events: tuple[Event, ...]
    looks: Floats | None = None
