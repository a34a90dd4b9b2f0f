"""What DATA may be: arrays of poses or boxes, a CSV of keypoints, a CSV or folders of clips. No torch."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.actions.card import EmbedderCard
from pipelines.actions.full_frame_features import FullFrameEmbedder
from pipelines.detect.feature_maps import STRIDES
from pipelines.train.actions.clips import ClipEntry, embed_clips, list_clips
from pipelines.train.actions.data import (
    ActionData,
    DataRefused,
    holds_boxes,
    read_arrays,
    read_keypoints,
)
from pipelines.train.actions.tracks import make_tracks

Report = Callable[[str, int, int], None]
MADE = "synthetic"  # DATA of this name: tracks that are made here
MAPS, MOVED, FLOW, PEOPLE = "maps", "moved", "flow", "people"
INPUTS = (MAPS, MOVED, FLOW, PEOPLE)  # feature maps, only how these change, optical flow, people's boxes
MADE_TRACKS, MADE_SEED = 2000, 1


@dataclass(frozen=True, slots=True)
class DataSource:
    """DATA and how to read it. `detector`: the ONNX file whose maps embed clips; `cache`: where embedded
    clips are kept. `inputs`: what a frame's values are, of INPUTS; none: the detector's maps. `scene`: single
    pictures are classified."""

    path: Path
    labels: tuple[str, ...] = ()
    group_by: str = ""
    detector: Path | None = None
    cache: Path | None = None
    fps: float = 30.0
    aspect: float = 4 / 3
    threads: int = 1
    inputs: tuple[str, ...] = ()
    scene: bool = False

    def is_clips(self) -> bool:
        """Whether it is a folder or list of clips. Raises DataRefused where there is nothing."""
        if str(self.path) == MADE:
            return False
        if not self.path.exists():
            raise DataRefused(f"{self.path}: no such file or folder")
        if self.path.is_dir():
            return not any(self.path.glob("*.npz"))
        return self.path.suffix.lower() == ".csv" and "file" in _columns(self.path)

    def is_boxes(self) -> bool:
        """Whether it is tracks of boxes. Raises DataRefused where its first file cannot be read."""
        if str(self.path) == MADE:
            return True
        files = sorted(self.path.glob("*.npz")) if self.path.is_dir() else [self.path]
        return bool(files) and files[0].suffix.lower() == ".npz" and holds_boxes(files[0])

    def clips(self) -> list[ClipEntry]:
        return list_clips(self.path, self.group_by)


def open_source(
    source: DataSource, rate_hz: float | None, report: Report
) -> tuple[ActionData, EmbedderCard | None]:
    """The data, and for clips the card of their embedder. Raises DataRefused or ModelRefused."""
    if str(source.path) == MADE:
        return make_tracks(MADE_TRACKS, MADE_SEED), None
    if source.is_clips():
        return _embedded(source, rate_hz or 8.0, report)
    if source.path.suffix.lower() == ".csv":
        return read_keypoints(source.path, source.labels, source.fps, source.aspect), None
    if source.path.is_dir() or source.path.suffix.lower() == ".npz":
        return read_arrays(source.path, source.labels), None
    raise DataRefused(
        f"{source.path}: no data that is understood: give a folder of clips by class, a CSV of clips or "
        "keypoints, or a .npz of poses or boxes"
    )


def inputs_of(card: EmbedderCard) -> tuple[str, ...]:
    """What a model's values were made of."""
    maps = (MOVED if card.moved else MAPS) if card.strides else ""
    return tuple(name for name in (maps, FLOW * card.flow, PEOPLE * card.people) if name)


def _embedded(source: DataSource, rate_hz: float, report: Report) -> tuple[ActionData, EmbedderCard]:
    embedder = _embedder(source)
    card = embedder.card
    more = "-still" * card.still + "-flow" * card.flow + "-people" * card.people
    data = embed_clips(
        source.path,
        source.clips(),
        embedder.embed_clip,
        kind="features",
        size=embedder.values,
        rate_hz=rate_hz,
        labels=source.labels,
        cache=source.cache,
        key=f"2-{card.sha256[:16]}-{card.strides}-{card.moved}{more}",
        scene=source.scene,
        progress=lambda i, n: report("embedding clips", i, n),
    )
    return replace(data, parts=embedder.parts), card


def _embedder(source: DataSource) -> FullFrameEmbedder:
    inputs = source.inputs or (MAPS,)
    check_inputs(source)
    detector = source.detector if set(inputs) != {FLOW} else None
    if detector is None and set(inputs) != {FLOW}:
        raise DataRefused(
            f"{source.path}: clips need something that embeds their frames: --detector FILE.onnx for a "
            "detector's own feature maps, --inputs flow for optical flow alone, or --backbone NAME for a CNN "
            "of their own"
        )
    return FullFrameEmbedder(
        detector,
        moved=MOVED in inputs,
        still=source.scene,
        flow=FLOW in inputs,
        people=PEOPLE in inputs,
        strides=STRIDES if MAPS in inputs or MOVED in inputs else (),
        threads=source.threads,
    )


def check_inputs(source: DataSource) -> None:
    """Raise DataRefused for inputs that are not known, or do not go together."""
    if strange := [name for name in source.inputs if name not in INPUTS]:
        raise DataRefused(f"--inputs {strange[0][:40]!r}: give some of {', '.join(INPUTS)}, with commas")
    if {MAPS, MOVED} <= set(source.inputs):
        raise DataRefused("--inputs maps,moved: how maps change is a part of maps: give one of the two")
    if source.scene and set(source.inputs) - {MAPS}:
        raise DataRefused("a single picture does not move: leave --moved and --inputs out")


def _columns(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataRefused(f"{path}: {error}") from error
