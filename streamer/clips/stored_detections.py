"""Detections of a whole clip in one .npz file, so that counting can be run again without pixels and model.

F frames, N boxes, J joints, E numbers of an appearance embedding:

| key           | array              | meaning                                                               |
|---------------|--------------------|-----------------------------------------------------------------------|
| format        | text               | magic and version, "SD1"                                              |
| clip          | text               | where the detections come from                                        |
| size          | (3,) float64       | the clip's width and height in pixels, its frames a second            |
| aspect        | float64            | width over height of the pictures that were inferred                  |
| media_ns      | (F,) int64         | media time of each frame                                              |
| offsets       | (F + 1,) int64     | frame i has the boxes offsets[i] to offsets[i + 1]                    |
| boxes         | (N, 4) float32     | xyxy, normalised to the picture                                       |
| scores        | (N,) float32       | 0 to 1                                                                |
| class_ids     | (N,) int32         | index into names                                                      |
| names, groups | text               | the classes                                                           |
| detector      | text               | what the detector says of itself, as JSON                             |
| sure_score    | float32            | the high threshold: boxes below it are low ones                       |
| keypoints     | (N, J, 3) float32  | x, y, score; where the boxes have poses                               |
| joints        | (J,) text          | names of the keypoints                                                |
| faint_*       | as without faint_  | offsets, boxes, scores and class_ids of the boxes of low confidence,  |
|               |                    | for models of actions; faint_offsets is empty where there are none    |
| looks         | (N, E) uint8, or   | appearance embeddings, zero in frames without; bytes where those hold |
|               | float32            | them exactly                                                          |
| looked        | (F,) bool          | which frames have embeddings; looks and looked only where any has     |

Masks are not kept: nothing that is counted again rests on them, and the prototypes of a frame are a megabyte.
Files of earlier versions lack aspect, sure_score, looks, looked and the boxes of low confidence. The keys are
those of the format's first version, and differ in some cases from the names in the code.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.detect.labels import group_in_card
from pipelines.detect.model import MAX_JOINT_REACH
from pipelines.pipeline import COLOURS_NS
from pipelines.values import Detections, Labels, Longs
from streamer.errors import SourceDamaged, SourceError
from streamer.ipc.atomic_write import replacing

FORMAT = "SD1"
AnyArray = npt.NDArray[Any]
Arrays = Mapping[str, npt.NDArray[Any]]
_KEYS = ("format", "clip", "size", "media_ns", "offsets", "boxes", "scores", "class_ids", "names", "groups")
_AGAIN = "write it again with streamer analyze CLIP --detections"


@dataclass(frozen=True)
class StoredDetections:
    """What load_detections() gives; `frames()` walks through it."""

    clip: str
    width: int
    height: int
    fps: float
    labels: Labels
    media_ns: Longs
    offsets: Longs
    boxes: Detections
    detector: Mapping[str, Any] = field(default_factory=dict)
    joints: tuple[str, ...] = ()
    aspect: float = 0.0  # of the pictures looked at; 0 in files of an earlier version,
    low_confidence: _LowConfidence | None = None
    lacks_low_confidence: bool = False  # likewise, whose detector may well have had such boxes
    embeddings: _Embeddings | None = None

    @property
    def lacks_embeddings(self) -> bool:
        """Boxes of frames far apart have none: of an earlier version, or of pictures without colours."""
        far = np.diff(self.media_ns) >= COLOURS_NS
        return self.embeddings is None and bool((far & (np.diff(self.offsets)[1:] > 0)).any())

    def frames(self) -> Iterator[tuple[int, Detections]]:
        """(media_ns, detections) of every frame in order."""
        for i, media_ns in enumerate(self.media_ns.tolist()):
            detections = self.boxes.take(np.arange(self.offsets[i], self.offsets[i + 1]))
            if self.embeddings is not None and self.embeddings.of_frames[i]:
                embeddings = self.embeddings.of_boxes[self.offsets[i] : self.offsets[i + 1]]
                detections = replace(detections, embeddings=embeddings.astype(np.float32))
            if self.low_confidence is not None:
                detections = replace(detections, low_confidence=self.low_confidence.of(i))
            yield media_ns, detections


@dataclass(frozen=True)
class _LowConfidence:
    """The boxes of low confidence of all frames, and where those of each begin (F + 1,)."""

    offsets: Longs
    boxes: Detections

    def of(self, frame: int) -> Detections:
        return self.boxes.take(np.arange(self.offsets[frame], self.offsets[frame + 1]))


@dataclass(frozen=True)
class _Embeddings:
    """Those of all boxes (N, E), zero in frames that have none by `of_frames` (F,)."""

    of_boxes: AnyArray
    of_frames: npt.NDArray[np.bool_]


class DetectionLog:
    """Gathers a clip's detections in memory and writes them at the end; 24 bytes a box, 72 with looks."""

    def __init__(self) -> None:
        self._media_ns: list[int] = []
        self._detections: list[Detections] = []
        self._embeddings: list[AnyArray | None] = []

    def add(self, media_ns: int, detections: Detections) -> None:
        self._media_ns.append(media_ns)
        self._detections.append(replace(detections, maps=None, masks=None, embeddings=None))
        self._embeddings.append(None if detections.embeddings is None else _narrow(detections.embeddings))

    def write(
        self,
        path: Path,
        *,
        clip: str,
        size: tuple[int, int],
        fps: float,
        labels: Labels,
        detector: Mapping[str, Any],
        joints: tuple[str, ...] = (),
        aspect: float = 0.0,
    ) -> None:
        """Write the file whole or not at all. Raises StorageError."""
        arrays = {
            "format": np.array(FORMAT),
            "clip": np.array(clip),
            "size": np.array([*size, fps], np.float64),
            "media_ns": np.array(self._media_ns, np.int64),
            "aspect": np.array(aspect),
            **_columns(self._detections),
            **{f"faint_{key}": array for key, array in self._low_confidence().items()},
            "names": np.array(labels.names),
            "groups": np.array(labels.groups),
            "detector": np.array(json.dumps(dict(detector))),
            "sure_score": np.array(
                max((d.high_threshold for d in self._detections), default=0.0), np.float32
            ),
        }
        if joints:
            none = np.zeros((0, len(joints), 3), np.float32)
            poses = [none if each.keypoints is None else each.keypoints for each in self._detections]
            arrays["keypoints"] = np.concatenate([*poses, none])
            arrays["joints"] = np.array(joints)
        arrays |= self._embedding_arrays()
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def _embedding_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        long = max((each.shape[1] for each in self._embeddings if each is not None), default=0)
        if not long:
            return {}
        none = [np.zeros((len(detections), long), np.uint8) for detections in self._detections]
        looks = [zero if each is None else each for each, zero in zip(self._embeddings, none, strict=True)]
        return {
            "looks": np.concatenate(looks),
            "looked": np.array([each is not None for each in self._embeddings]),
        }

    def _low_confidence(self) -> dict[str, np.ndarray[Any, Any]]:
        present = any(d.low_confidence is not None for d in self._detections)
        columns = _columns([d.low_confidence or Detections.empty() for d in self._detections])
        return columns if present else columns | {"offsets": np.zeros(0, np.int64)}


def _narrow(looks: AnyArray) -> AnyArray:
    """The same in bytes, where that loses nothing."""
    whole = np.clip(looks, 0, 255).astype(np.uint8)
    return whole if (whole == looks).all() else looks


def _columns(detections: Sequence[Detections]) -> dict[str, np.ndarray[Any, Any]]:
    """The boxes of all frames as one table, and where those of each begin."""
    every = [*detections, Detections.empty()]
    return {
        "offsets": np.cumsum(np.array([0, *map(len, detections)], np.int64)),
        "boxes": np.concatenate([d.boxes_xyxyn for d in every]),
        "scores": np.concatenate([d.scores for d in every]),
        "class_ids": np.concatenate([d.class_ids for d in every]),
    }


def load_detections(path: Path) -> StoredDetections:
    """Raises SourceError when there is no such file, SourceDamaged when it is not one of these."""
    if not path.is_file():
        raise SourceError(f"{path}: no such file: check the path")
    data = _read(path)
    missing = [key for key in _KEYS if key not in data]
    if missing or str(data["format"]) != FORMAT:
        raise SourceDamaged(f"{path}: not a file of stored detections of this version ({FORMAT}): {_AGAIN}")
    try:
        _check_arrays(data)
    except ValueError as error:
        raise SourceDamaged(f"{path}: stored detections do not fit together: {error}: {_AGAIN}") from error
    return _stored(data)


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        opened = path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}: check its permissions") from error
    try:
        with opened, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd headers: what matters is what is in the arrays
            with np.load(opened, allow_pickle=False) as file:
                data = {key: file[key] for key in file.files}
        sound = all(isinstance(array, np.ndarray) for array in data.values())
    except Exception:  # noqa: BLE001 - damaged bytes bring about any: of zlib, of zipfile, of a header
        sound = False
    if not sound:
        raise SourceDamaged(f"{path}: not a file of stored detections, or a damaged one: {_AGAIN}")
    return data


def _stored(data: dict[str, npt.NDArray[Any]]) -> StoredDetections:
    """Of arrays that fit together."""
    high_threshold = float(data.get("sure_score", 0.0))
    poses = data.get("keypoints")
    boxes = Detections(
        data["boxes"], data["scores"], data["class_ids"], keypoints=poses, high_threshold=high_threshold
    )
    width, height, fps = data["size"].tolist()
    return StoredDetections(
        clip=str(data["clip"]),
        width=int(width),
        height=int(height),
        fps=float(fps),
        labels=_labels(data["names"].tolist(), data["groups"].tolist()),
        media_ns=data["media_ns"],
        offsets=data["offsets"],
        boxes=boxes,
        detector=json.loads(str(data.get("detector", "{}"))),
        joints=tuple(data["joints"].tolist()) if "joints" in data else (),
        aspect=float(data.get("aspect", 0.0)),
        low_confidence=_load_low_confidence(data),
        lacks_low_confidence="faint_offsets" not in data,
        embeddings=_Embeddings(data["looks"], data["looked"]) if "looks" in data else None,
    )


def _labels(names: list[str], groups: list[str]) -> Labels:
    """Files of before hold groups that hang on the spelling, as sidecars do."""
    pairs = zip(names, groups, strict=True)
    return Labels(tuple(names), tuple(group_in_card(name, group) for name, group in pairs))


def _load_low_confidence(data: dict[str, npt.NDArray[Any]]) -> _LowConfidence | None:
    offsets = data.get("faint_offsets")
    if offsets is None or not len(offsets):
        return None
    boxes = Detections(data["faint_boxes"], data["faint_scores"], data["faint_class_ids"])
    return _LowConfidence(offsets, boxes)


# ---- whether the arrays of a file fit together, and are what DetectionLog writes

MIN_SIDE, MAX_SIDE = -1.0, 2.0  # of a box's sides, in shares of the picture
MAX_SCORE = 1.001  # as of detectors: bf16 rounds to 1.0
MAX_PIXELS = 1_000_000  # pixels
MAX_APPEARANCE = 1e12  # of appearance embeddings: their squares add up in float32
_REQUIRES = (  # who has the first has the others
    ("faint_offsets", "faint_boxes", "faint_scores", "faint_class_ids"),
    ("keypoints", "joints"),
    ("joints", "keypoints"),
    ("looks", "looked"),
    ("looked", "looks"),
)


def _check_arrays(data: Arrays) -> None:
    """Raises ValueError that names the array and says what is wrong with it."""
    for first, *others in _REQUIRES:
        missing = [key for key in others if first in data and key not in data]
        if missing:
            raise ValueError(f"{missing[0]} is missing beside {first}")
    _check_words(data)
    _check_size(data)
    frames = _check_times(data["media_ns"])
    boxes = _check_boxes(data, "", frames)
    if "faint_offsets" in data:
        none = data["faint_offsets"].shape == (0,)  # the detector gives none
        _check_boxes(data, "faint_", frames, present=not none)
    if "keypoints" in data:
        _check_keypoints(data["keypoints"], boxes, len(data["joints"]))
    if "looks" in data:
        _check_embeddings(data["looks"], data["looked"], boxes, frames)


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
        _need("size", 1 <= pixels <= MAX_PIXELS and pixels == int(pixels), f"has a side of {pixels:g} pixels")
    rate = fps == 0 or 1e-6 <= fps <= 1e9  # 0: the clip does not say
    _need("size", rate, f"has {fps:g} frames a second")
    for key, least, most, what in (
        ("aspect", 1e-6, 1e6, "is the shape of no picture"),
        ("sure_score", 0, MAX_SCORE, "is not from 0 to 1"),
    ):
        number = data.get(key)
        if number is not None:
            _need(key, number.shape == () and number.dtype.kind in "iuf", "is no number")
            _need(key, number == 0 or least <= number <= most, what)


def _check_times(media_ns: AnyArray) -> int:
    """How many frames there are."""
    _need_kind("media_ns", media_ns, np.int64, (None,))
    _need("media_ns", len(media_ns) > 0, "has no frames")
    _need(
        "media_ns",
        media_ns[0] >= 0 and (media_ns[1:] > media_ns[:-1]).all(),
        "does not rise from frame to frame",
    )
    return len(media_ns)


def _check_boxes(data: Arrays, which: str, frames: int, *, present: bool = True) -> int:
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
    _need_kind(f"{which}offsets", offsets, np.int64, (frames + 1 if present else 0,))
    ends = (offsets[0], offsets[-1]) if present else (0, 0)
    _need(f"{which}offsets", ends == (0, n), f"do not run from 0 to the number of boxes ({n})")
    _need(f"{which}offsets", (offsets[1:] >= offsets[:-1]).all(), "fall from frame to frame")
    within = (boxes >= MIN_SIDE) & (boxes <= MAX_SIDE)  # false for NaN
    _need(f"{which}boxes", np.isfinite(boxes).all(), "are not finite")
    _need(f"{which}boxes", within.all(), "are far outside the picture: they are shares of it, not pixels")
    _need(f"{which}boxes", (boxes[:, 2:] >= boxes[:, :2]).all(), "are turned round (x2 < x1 or y2 < y1)")
    _need(f"{which}scores", ((scores >= 0) & (scores <= MAX_SCORE)).all(), "are not all from 0 to 1")
    listed = (class_ids >= 0) & (class_ids < len(data["names"]))
    _need(f"{which}class_ids", listed.all(), "have a class that names does not list")
    return n


def _check_keypoints(keypoints: AnyArray, boxes: int, joints: int) -> None:
    _need_kind("keypoints", keypoints, np.float32, (boxes, joints, 3))
    _need("keypoints", np.isfinite(keypoints).all(), "are not finite")
    near = np.abs(keypoints[..., :2] - 0.5) <= MAX_JOINT_REACH
    _need("keypoints", near.all(), "are far outside the picture: they are shares of it, not pixels")
    scores = keypoints[..., 2]
    _need("keypoints", ((scores >= 0) & (scores <= 1)).all(), "have scores that are not from 0 to 1")


def _check_embeddings(looks: AnyArray, looked: AnyArray, boxes: int, frames: int) -> None:
    bytes_or_reals = looks.dtype in (np.uint8, np.float32)
    _need("looks", bytes_or_reals, f"of type {looks.dtype}, where uint8 or float32 is expected")
    _need_kind("looks", looks, looks.dtype.type, (boxes, None))
    _need_kind("looked", looked, np.bool_, (frames,))
    _need("looks", np.isfinite(looks).all(), "are not finite")
    _need("looks", (np.abs(looks) <= MAX_APPEARANCE).all(), f"are beyond {MAX_APPEARANCE:g}")


def _need_kind(name: str, array: AnyArray, kind: type[np.generic], shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    wanted = " x ".join("any" if n is None else str(n) for n in shape)
    detections = " x ".join(map(str, array.shape)) or "one value"
    _need(name, fits, f"of shape {detections}, where {wanted} is expected")
    _need(name, array.dtype == kind, f"of type {array.dtype}, where {np.dtype(kind)} is expected")


def _need(name: str, good: object, wrong: str) -> None:
    if not good:
        raise ValueError(f"{name} {wrong}")
