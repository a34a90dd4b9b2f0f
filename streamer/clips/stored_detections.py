"""Detections of a whole clip in one .npz file, so that counting can be run again without pixels and model.

format        2-character magic and version, "SD1"
clip          where they come from;  size (3,) its width, height and frames a second
aspect        width over height of the pictures that were looked at
media_ns      (F,) int64, one per frame
offsets       (F + 1,) int64: frame i has the boxes offsets[i] to offsets[i + 1]
boxes         (N, 4) float32 xyxy, normalised;  scores (N,) float32;  class_ids (N,) int32
names, groups the classes;  detector: what the detector says of itself, as JSON
sure_score    boxes below it are weak
keypoints     (N, J, 3) float32 and joints, their J names, where the boxes have poses
faint_offsets, faint_boxes, faint_scores, faint_class_ids: likewise the boxes of which the detector was not
              sure, for models of actions; faint_offsets is empty where it gives none
looks, looked (N, E) what boxes look like, in bytes where that is whole, and (F,) the frames that were looked
              at; only where there are such

Files of earlier versions lack aspect, sure_score, looks and what is faint.
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
from pipelines.pipeline import COLOURS_NS
from pipelines.values import Detections, Labels, Longs
from streamer.clips.stored_detections_check import check_arrays
from streamer.errors import SourceDamaged, SourceError
from streamer.ipc.atomic_write import replacing

FORMAT = "SD1"
Reals = npt.NDArray[Any]
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
    faint: _Faint | None = None
    lacks_faint: bool = False  # likewise, whose detector may well have had faint boxes
    looks: _Looks | None = None

    @property
    def lacks_looks(self) -> bool:
        """Boxes of frames far apart have none: of an earlier version, or of pictures without colours."""
        far = np.diff(self.media_ns) >= COLOURS_NS
        return self.looks is None and bool((far & (np.diff(self.offsets)[1:] > 0)).any())

    def frames(self) -> Iterator[tuple[int, Detections]]:
        """(media_ns, detections) of every frame in order."""
        for i, media_ns in enumerate(self.media_ns.tolist()):
            found = self.boxes.take(np.arange(self.offsets[i], self.offsets[i + 1]))
            if self.looks is not None and self.looks.looked[i]:
                looks = self.looks.of_boxes[self.offsets[i] : self.offsets[i + 1]]
                found = replace(found, embeddings=looks.astype(np.float32))
            yield media_ns, found if self.faint is None else replace(found, faint=self.faint.of(i))


@dataclass(frozen=True)
class _Faint:
    """The faint boxes of all frames, and where those of each begin (F + 1,)."""

    offsets: Longs
    boxes: Detections

    def of(self, frame: int) -> Detections:
        return self.boxes.take(np.arange(self.offsets[frame], self.offsets[frame + 1]))


@dataclass(frozen=True)
class _Looks:
    """The looks of all boxes, zero in frames that were not `looked` at."""

    of_boxes: Reals
    looked: npt.NDArray[np.bool_]


class DetectionLog:
    """Gathers a clip's detections in memory (24 bytes a box, 72 with looks) and writes them at the end."""

    def __init__(self) -> None:
        self._media_ns: list[int] = []
        self._found: list[Detections] = []
        self._looks: list[Reals | None] = []

    def add(self, media_ns: int, found: Detections) -> None:
        self._media_ns.append(media_ns)
        self._found.append(replace(found, maps=None, embeddings=None))
        self._looks.append(None if found.embeddings is None else _narrow(found.embeddings))

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
            **_columns(self._found),
            **{f"faint_{key}": array for key, array in self._faint().items()},
            "names": np.array(labels.names),
            "groups": np.array(labels.groups),
            "detector": np.array(json.dumps(dict(detector))),
            "sure_score": np.array(max((d.sure_score for d in self._found), default=0.0), np.float32),
        }
        if joints:
            none = np.zeros((0, len(joints), 3), np.float32)
            poses = [none if each.keypoints is None else each.keypoints for each in self._found]
            arrays["keypoints"] = np.concatenate([*poses, none])
            arrays["joints"] = np.array(joints)
        arrays |= self._looked()
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def _looked(self) -> dict[str, np.ndarray[Any, Any]]:
        long = max((each.shape[1] for each in self._looks if each is not None), default=0)
        if not long:
            return {}
        none = [np.zeros((len(found), long), np.uint8) for found in self._found]
        looks = [zero if each is None else each for each, zero in zip(self._looks, none, strict=True)]
        return {
            "looks": np.concatenate(looks),
            "looked": np.array([each is not None for each in self._looks]),
        }

    def _faint(self) -> dict[str, np.ndarray[Any, Any]]:
        given = any(d.faint is not None for d in self._found)
        columns = _columns([d.faint or Detections.empty() for d in self._found])
        return columns if given else columns | {"offsets": np.zeros(0, np.int64)}


def _narrow(looks: Reals) -> Reals:
    """The same in bytes, where that loses nothing."""
    whole = np.clip(looks, 0, 255).astype(np.uint8)
    return whole if (whole == looks).all() else looks


def _columns(found: Sequence[Detections]) -> dict[str, np.ndarray[Any, Any]]:
    """The boxes of all frames as one table, and where those of each begin."""
    every = [*found, Detections.empty()]
    return {
        "offsets": np.cumsum(np.array([0, *map(len, found)], np.int64)),
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
        check_arrays(data)
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
    sure = float(data.get("sure_score", 0.0))
    poses = data.get("keypoints")
    boxes = Detections(data["boxes"], data["scores"], data["class_ids"], keypoints=poses, sure_score=sure)
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
        faint=_stored_faint(data),
        lacks_faint="faint_offsets" not in data,
        looks=_Looks(data["looks"], data["looked"]) if "looks" in data else None,
    )


def _labels(names: list[str], groups: list[str]) -> Labels:
    """Files of before hold groups that hang on the spelling, as sidecars do."""
    pairs = zip(names, groups, strict=True)
    return Labels(tuple(names), tuple(group_in_card(name, group) for name, group in pairs))


def _stored_faint(data: dict[str, npt.NDArray[Any]]) -> _Faint | None:
    offsets = data.get("faint_offsets")
    if offsets is None or not len(offsets):
        return None
    boxes = Detections(data["faint_boxes"], data["faint_scores"], data["faint_class_ids"])
    return _Faint(offsets, boxes)
