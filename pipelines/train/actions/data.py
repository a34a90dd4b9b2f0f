"""Labelled sequences for training action models, and how they are read from files of poses and boxes.

Clips are read in clips.py. Errors are DataRefused: one line that says which file and what to do.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.actions.inputs import BOX_VALUES, Kind
from pipelines.skeleton import Skeleton, usual_skeleton
from pipelines.values import Floats

SPLITS = ("train", "val", "test")
GROUP_COLUMNS = ("group", "scene_group", "scene", "subject", "person", "video", "source")
MAX_LINK = 0.5  # of the picture's height: poses of consecutive frames further apart are two people
ACTION, SCENE = "action", "scene"  # the head of the column `label`: what is done, what a picture shows
FPS = 30.0  # where a file does not say


class DataRefused(ValueError):
    """Raised when training data cannot be used; the text is one line: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadTargets:
    """The labels of one head. "sigmoid" where one sequence may have several at once."""

    name: str
    labels: tuple[str, ...]
    several: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSequence:
    """One track or clip: values (N, …) float32 at times_s (N,) rising, and what it shows.

    `targets` has one (N, C) float32 array for each head: 1 for each label that holds at a frame; a row of
    NaN where that is not known. Sequences of one `group` (a subject, a video, a scene) never stand on both
    sides of a split.
    """

    name: str
    group: str
    split: str
    values: Floats
    times_s: npt.NDArray[np.float64]
    targets: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ActionData:
    """All sequences of a set. `grouped`: whether the source says what belongs together. `parts`: of how many
    values each of a frame's inputs is, where it has several."""

    kind: Kind
    size: int
    heads: tuple[HeadTargets, ...]
    sequences: tuple[LabelledSequence, ...]
    joints: tuple[str, ...] = ()
    grouped: bool = False
    whole_picture: bool = False
    notes: tuple[str, ...] = field(default=())
    parts: tuple[int, ...] = ()

    def subset(self, sequences: Iterable[LabelledSequence]) -> ActionData:
        return ActionData(
            self.kind,
            self.size,
            self.heads,
            tuple(sequences),
            self.joints,
            self.grouped,
            self.whole_picture,
            self.notes,
            self.parts,
        )


def one_hot(labels: Sequence[str], names: tuple[str, ...], several: bool, where: str) -> Floats:
    """(N, C) of label texts; "" is not known, "a|b" are two. Raises DataRefused for an unknown label."""
    out = np.zeros((len(labels), len(names)), np.float32)
    index = {name: i for i, name in enumerate(names)}
    for row, text in enumerate(labels):
        if not text:
            out[row] = np.nan
            continue
        for word in text.split("|") if several else (text,):
            if word not in index:
                raise DataRefused(
                    f"{where}: label {word!r} is none of {', '.join(names)}: name all labels with --labels, "
                    "or mend the file"
                )
            out[row, index[word]] = 1.0
    return out


def find_heads(
    columns: dict[str, list[str]], order: tuple[str, ...], where: str, first: str = ACTION
) -> tuple[HeadTargets, ...]:
    """The heads of label columns: `label` is the `first`, `label.NAME` is NAME."""
    heads = []
    for column in columns:
        if column != "label" and not column.startswith("label."):
            continue
        texts = [text for text in columns[column] if text]
        several = any("|" in text for text in texts)
        distinct = sorted({word for text in texts for word in (text.split("|") if several else (text,))})
        name = first if column == "label" else column.removeprefix("label.")
        labels = order if order and column == "label" else tuple(distinct)
        if len(labels) < 2:
            raise DataRefused(f"{where}: {column} has one label, {', '.join(labels) or 'none'}: two at least")
        heads.append(HeadTargets(name, labels, several))
    if not heads:
        raise DataRefused(f"{where}: no column `label`: say what each row shows")
    return tuple(heads)


# ---- poses and boxes in .npz


def read_arrays(path: Path, labels: tuple[str, ...] = ()) -> ActionData:
    """A .npz, or a folder of them with `train`, `val` or `test` in their names.

    `pose` (frames, J, 2 or 3) or `boxes` (frames, 4), `length` (clips,), `label` (clips,) or (frames,; ""
    where it is not known), and where known `group` (clips,), `split` (clips,), `fps` () or `times_s`
    (frames,), `joints` (J,). Raises DataRefused.
    """
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise DataRefused(f"{path}: no .npz in it")
    read = [_read_npz(file) for file in files]
    kinds = {(part.kind, part.size) for part in read}
    if len(kinds) > 1:
        raise DataRefused(
            f"{path}: its files hold different things: {sorted(kinds)}: give one kind at a time"
        )
    kind, size = kinds.pop()
    texts = [text for part in read for text in part.label]
    heads = find_heads({"label": texts}, labels, str(path))
    sequences = []
    for file, part in zip(files, read, strict=True):
        sequences += _cut(file, part, heads[0], len(files) > 1)
    joints = read[0].joints if kind == "pose" else ()
    grouped = any(part.group is not None for part in read)
    return ActionData(kind, size, heads, tuple(sequences), joints, grouped)


@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """What one .npz holds."""

    kind: Kind
    size: int
    values: Floats
    joints: tuple[str, ...]
    length: npt.NDArray[np.int64]
    label: list[str]
    group: npt.NDArray[Any] | None
    split: npt.NDArray[Any] | None
    fps: float
    times_s: npt.NDArray[np.float64] | None


def holds_boxes(file: Path) -> bool:
    """Whether a .npz is of boxes. Raises DataRefused where it cannot be read."""
    return "pose" not in (arrays := _load(file)) and "boxes" in arrays


def _load(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as z:
            return {name: np.asarray(z[name]) for name in z.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        why = "holds pickled objects" if "pickle" in str(error).lower() else "cannot be read"
        raise DataRefused(
            f"{file}: {why} ({str(error)[:120]}): save plain arrays with numpy.savez"
        ) from error


def _read_npz(file: Path) -> _Arrays:
    arrays = _load(file)
    kind: Kind = "pose" if "pose" in arrays else "boxes"
    if kind not in arrays or "length" not in arrays or "label" not in arrays:
        raise DataRefused(
            f"{file}: expected arrays pose (or boxes), length and label; found {sorted(arrays)}"
        )
    values = arrays[kind].astype(np.float32)
    frames, clips = int(arrays["length"].sum()), len(arrays["length"])
    if len(values) != frames or len(arrays["label"]) not in (frames, clips):
        raise DataRefused(
            f"{file}: {kind} has {len(values)} frames, lengths sum to {frames}: they must agree"
        )
    if kind == "pose":
        values = _poses(values, file)
        joints = tuple(str(n) for n in arrays["joints"]) if "joints" in arrays else ()
        size = values.shape[1]
        joints = joints or usual_skeleton(size).names
    else:
        joints, size = (), BOX_VALUES
        if values.shape[1:] != (BOX_VALUES,):
            raise DataRefused(f"{file}: boxes have shape {values.shape}, expected (frames, {BOX_VALUES})")
    return _Arrays(
        kind,
        size,
        values,
        joints,
        arrays["length"].astype(np.int64),
        [str(v) for v in arrays["label"]],
        arrays.get("group"),
        arrays.get("split"),
        float(arrays["fps"]) if "fps" in arrays else FPS,
        _times(arrays, frames, file),
    )


def _times(arrays: dict[str, npt.NDArray[Any]], frames: int, file: Path) -> npt.NDArray[np.float64] | None:
    if "times_s" not in arrays:
        return None
    times_s = arrays["times_s"].astype(np.float64)
    if times_s.shape != (frames,) or not np.isfinite(times_s).all():
        raise DataRefused(f"{file}: times_s has shape {times_s.shape}, expected ({frames},) finite seconds")
    firsts = np.cumsum(arrays["length"])[:-1]
    if (np.delete(np.diff(times_s), firsts - 1) <= 0).any():
        raise DataRefused(f"{file}: times_s do not rise within each clip: sort its frames by time")
    return times_s


def _poses(values: Floats, file: Path) -> Floats:
    """(N, J, 2 or 3) -> (N, J, 3); joints that are not finite get score 0."""
    if values.ndim != 3 or values.shape[2] not in (2, 3):
        raise DataRefused(f"{file}: pose has shape {values.shape}, expected (frames, joints, 2 or 3)")
    if values.shape[2] == 2:
        values = np.concatenate([values, np.ones((*values.shape[:2], 1), np.float32)], axis=2)
    lost = ~np.isfinite(values).all(axis=2)
    if lost.all():
        raise DataRefused(f"{file}: no joint has finite coordinates")
    values[lost] = 0.0
    return values


def _cut(file: Path, part: _Arrays, head: HeadTargets, named: bool) -> list[LabelledSequence]:
    per_clip = len(part.label) == len(part.length) != len(part.values)
    by_name = next((s for s in SPLITS if s in file.stem.lower()), "") if named else ""
    sequences = []
    start = 0
    for i, count in enumerate(part.length.tolist()):
        words = [part.label[i]] * count if per_clip else part.label[start : start + count]
        name = f"{file.stem}:{i}"
        group = name if part.group is None else str(part.group[i])
        split = by_name if part.split is None else str(part.split[i])
        targets = one_hot(words, head.labels, head.several, str(file))
        frames = slice(start, start + count)
        times_s = np.arange(count) / part.fps if part.times_s is None else part.times_s[frames]
        sequences.append(LabelledSequence(name, group, split, part.values[frames], times_s, (targets,)))
        start += count
    return sequences


# ---- keypoints in .csv: video, frame, JOINT_x, JOINT_y, JOINT_s, …, label


def read_keypoints(
    path: Path, labels: tuple[str, ...] = (), fps: float = FPS, aspect: float = 4 / 3
) -> ActionData:
    """One row a frame and person. Rows of one video and frame are linked to people by nearness.

    `aspect` (width over height) makes x and y alike, where they are shares of the picture (all within 0 to
    1.5). Each video is a group. Raises DataRefused.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or []
        joints = tuple(n.removesuffix("_x") for n in names if n.endswith("_x") and f"{n[:-2]}_y" in names)
        if not {"video", "frame", "label"} <= set(names):
            raise DataRefused(f"{path}: a file of keypoints has the columns video, frame, JOINT_x, …, label")
        rows = list(reader)
    try:
        skeleton = Skeleton(joints)
        poses = np.array(
            [[[_number(row.get(f"{j}_{c}"), c) for c in "xys"] for j in joints] for row in rows], np.float32
        )
        frames = np.array([int(row["frame"]) for row in rows])
    except (ValueError, TypeError) as error:
        raise DataRefused(f"{path}: {error}") from error
    poses = _poses(poses, path)
    if np.abs(poses[..., :2]).max() <= 1.5:
        poses[..., 0] *= aspect
    videos = [row["video"] for row in rows]
    heads = find_heads({"label": [row["label"] for row in rows]}, labels, str(path))
    sequences = []
    for video in dict.fromkeys(videos):
        index = np.array([i for i, v in enumerate(videos) if v == video])
        for number, track in enumerate(_people(poses, frames, index)):
            words = [rows[i]["label"] for i in track]
            targets = one_hot(words, heads[0].labels, heads[0].several, str(path))
            sequences.append(
                LabelledSequence(
                    f"{video}/{number}", video, "", poses[track], frames[track] / fps, (targets,)
                )
            )
    return ActionData("pose", len(skeleton), heads, tuple(sequences), joints, grouped=True)


def _number(text: str | None, column: str) -> float:
    """A missing coordinate is NaN; a missing score is 1."""
    if text is None or not text.strip():
        return 1.0 if column == "s" else float("nan")
    return float(text)


def _people(poses: Floats, frames: npt.NDArray[np.int64], index: npt.NDArray[np.int64]) -> list[list[int]]:
    """Rows of one video -> one list of rows a person, linked from frame to frame by the nearest body."""
    middles = poses[..., :2].mean(axis=1)
    tracks: list[list[int]] = []
    for frame in np.unique(frames[index]):
        here = [int(i) for i in index if frames[i] == frame]
        free = [t for t in tracks if 0 < frame - frames[t[-1]] <= 10]
        pairs = sorted(
            (float(np.linalg.norm(middles[i] - middles[t[-1]])), i, k)
            for i in here
            for k, t in enumerate(free)
        )
        taken_rows: set[int] = set()
        taken_tracks: set[int] = set()
        for distance, i, k in pairs:
            if distance <= MAX_LINK and i not in taken_rows and k not in taken_tracks:
                free[k].append(i)
                taken_rows.add(i)
                taken_tracks.add(k)
        tracks += [[i] for i in here if i not in taken_rows]
    return [track for track in tracks if len(track) > 1]
