"""Labelled clips for training: a folder a class, or a CSV of files; and their frames as values.

Frames are chosen and converted as those of a live camera are, so that both see the same.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from pipelines.actions.inputs import Kind
from pipelines.actions.windows import Clock
from pipelines.frame_conversion import upright_size, write_bgr
from pipelines.geometry import fit
from pipelines.train.actions.data import (
    ACTION,
    GROUP_COLUMNS,
    SCENE,
    SPLITS,
    ActionData,
    DataRefused,
    HeadTargets,
    LabelledSequence,
    find_heads,
    one_hot,
)
from pipelines.values import Floats, Image
from pipelines.video_streams import best_video

SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v"})
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
ANALYSIS_WIDTH = 640  # of cameras that say nothing else
MAX_FRAMES = 4096  # of one clip
# One line a clip that was done, and how many there are.
Progress = Callable[[int, int], None]
# The frames of a clip (in order) -> (T, F).
EmbedClip = Callable[[Sequence[Image]], Floats]


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """A clip's file, its text in each label column, and what it belongs to ("" where that is not known)."""

    file: Path
    labels: dict[str, str]
    group: str = ""
    split: str = ""


def list_clips(path: Path, group_by: str = "") -> list[ClipEntry]:
    """The clips of a CSV (`file`, `label`, and `group` and `split` where known) or of a folder a class.

    In folders `train`, `val` and `test` the folders of classes may stand. `group_by` is a regular expression
    on a clip's path whose first group names what it belongs to. Raises DataRefused.
    """
    entries = list(_from_csv(path)) if path.suffix.lower() == ".csv" else list(_from_folder(path))
    if not entries:
        raise DataRefused(f"{path}: no clip in it: expected a folder for each class, with clips inside")
    if not group_by:
        return entries
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise DataRefused(f"--group-by {group_by!r}: {error}") from error
    return [_grouped(entry, pattern) for entry in entries]


def _grouped(entry: ClipEntry, pattern: re.Pattern[str]) -> ClipEntry:
    match = pattern.search(entry.file.as_posix())
    if match is None or not pattern.groups:
        raise DataRefused(
            f"{entry.file}: --group-by {pattern.pattern!r} names no group here: put brackets around it"
        )
    return ClipEntry(entry.file, entry.labels, match.group(1), entry.split)


def _from_csv(path: Path) -> Iterator[ClipEntry]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataRefused(f"{path}: {error}") from error
    if not rows or "file" not in rows[0] or "label" not in rows[0]:
        raise DataRefused(f"{path}: a list of clips has the columns file and label")
    column = next((name for name in GROUP_COLUMNS if name in rows[0]), None)
    for number, row in enumerate(rows, start=2):
        if row["file"] is None or row["label"] is None:
            raise DataRefused(f"{path}:{number}: the row is too short")
        split = (row.get("split") or "").strip()
        if split and split not in SPLITS:
            raise DataRefused(f"{path}:{number}: split {split!r}: use {', '.join(SPLITS)} or nothing")
        labels = {k: v.strip() for k, v in row.items() if v and (k == "label" or k.startswith("label."))}
        yield ClipEntry(path.parent / row["file"], labels, row[column] if column else "", split)


def _from_folder(path: Path) -> Iterator[ClipEntry]:
    try:
        folders = sorted(p for p in path.iterdir() if p.is_dir())
    except OSError as error:
        raise DataRefused(f"{path}: {error.strerror}: give a folder, a CSV or a .npz") from error
    if folders and {p.name for p in folders} <= set(SPLITS):
        inner = [(split.name, f) for split in folders for f in sorted(split.iterdir()) if f.is_dir()]
    else:
        inner = [("", folder) for folder in folders]
    for split, folder in inner:
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in SUFFIXES | PICTURES:
                yield ClipEntry(file, {"label": folder.name}, "", split)


def only_pictures(entries: Sequence[ClipEntry]) -> bool:
    return all(entry.file.suffix.lower() in PICTURES for entry in entries)


def heads_of(
    entries: Sequence[ClipEntry], labels: tuple[str, ...], where: str, scene: bool = False
) -> tuple[HeadTargets, ...]:
    """`scene`: the first head says what a picture shows, not what is done."""
    names = sorted({name for entry in entries for name in entry.labels})
    columns = {n: [e.labels.get(n, "") for e in entries] for n in names}
    return find_heads(columns, labels, where, SCENE if scene else ACTION)


def read_frames(file: Path, rate_hz: float, resize: Callable[[Image], Image] | None = None) -> list[Image]:
    """The frames of a clip nearest to a grid of `rate_hz`, at most as wide as those of cameras; of a picture,
    that one. Raises DataRefused."""
    if file.suffix.lower() in PICTURES:
        picture = cv2.imread(str(file))
        if picture is None:
            raise DataRefused(f"{file}: no picture that can be read: remove it, or save it again")
        image = np.asarray(picture, np.uint8)
        return [resize(image) if resize else image]
    frames: list[Image] = []
    clock = Clock(rate_hz)
    try:
        with av.open(str(file)) as container:
            stream = best_video(container)
            if stream is None:
                raise DataRefused(f"{file}: holds no video")
            step_s = 1 / float(stream.average_rate or 25)
            for number, frame in enumerate(container.decode(stream)):
                if clock.tick(number * step_s) is None:
                    continue
                image = converted(frame)
                frames.append(resize(image) if resize else image)
                if len(frames) >= MAX_FRAMES:
                    raise DataRefused(f"{file}: longer than {MAX_FRAMES} frames: cut it into clips")
    except (av.FFmpegError, OSError) as error:
        raise DataRefused(f"{file}: cannot be decoded ({error}): remove it from the set") from error
    if not frames:
        raise DataRefused(f"{file}: holds no frame: remove it from the set")
    return frames


def converted(frame: VideoFrame) -> Image:
    """(H, W, 3) BGR."""
    width, height = fit(*upright_size(frame), ANALYSIS_WIDTH)
    image: Image = np.empty((height, width, 3), np.uint8)
    write_bgr(frame, image)
    return image


def embed_clips(
    path: Path,
    entries: Sequence[ClipEntry],
    embed: EmbedClip,
    *,
    kind: Kind,
    size: int,
    rate_hz: float,
    labels: tuple[str, ...] = (),
    cache: Path | None = None,
    key: str = "",
    scene: bool = False,
    progress: Progress | None = None,
) -> ActionData:
    """Every clip through a frozen embedder once. `cache` keeps the values, by `key` and the clip's bytes."""
    heads = heads_of(entries, labels, str(path), scene)
    sequences = []
    for number, entry in enumerate(entries):
        values = _cached(entry.file, f"{key}-{rate_hz:g}", cache, embed, rate_hz)
        if values.shape[1:] != (size,):
            raise DataRefused(f"{entry.file}: gave values of shape {values.shape}: expected (frames, {size})")
        sequences.append(labelled(entry, path, heads, values, rate_hz))
        if progress is not None:
            progress(number + 1, len(entries))
    grouped = all(entry.group for entry in entries)
    return ActionData(kind, size, heads, tuple(sequences), (), grouped, whole_picture=True)


def labelled(
    entry: ClipEntry, path: Path, heads: tuple[HeadTargets, ...], values: Floats, rate_hz: float
) -> LabelledSequence:
    targets = []
    for number, head in enumerate(heads):
        column = f"label.{head.name}" if number else "label"
        row = one_hot([entry.labels.get(column, "")], head.labels, head.several, str(path))
        targets.append(np.repeat(row, len(values), axis=0))
    name = os.path.relpath(entry.file, path.parent if path.is_file() else path)
    times_s = np.arange(len(values)) / rate_hz
    return LabelledSequence(name, entry.group or name, entry.split, values, times_s, tuple(targets))


def _cached(file: Path, key: str, cache: Path | None, embed: EmbedClip, rate_hz: float) -> Floats:
    if cache is None:
        return embed(read_frames(file, rate_hz))
    try:
        digest = hashlib.sha256(file.read_bytes() + key.encode()).hexdigest()[:32]
    except OSError as error:
        raise DataRefused(f"{file}: {error.strerror}: the list names a clip that is not there") from error
    cached = cache / f"{digest}.npy"
    if cached.exists():
        stored: Floats = np.load(cached, allow_pickle=False)
        return stored
    values = embed(read_frames(file, rate_hz))
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".{digest}.npy"
    with partial.open("wb") as out:
        np.save(out, values)
    partial.replace(cached)
    return values
