"""What DATA may be: arrays of poses or boxes, a CSV of keypoints, a CSV or folders of clips. No torch."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.actions.card import EmbedderCard
from pipelines.actions.maps import MapEmbedder
from pipelines.train.actions_clips import ClipEntry, embed_clips, list_clips
from pipelines.train.actions_data import ActionData, DataRefused, read_arrays, read_keypoints
from pipelines.train.actions_tracks import make_tracks

Said = Callable[[str, int, int], None]
MADE = "synthetic"  # DATA of this name: tracks that are made here
MADE_TRACKS, MADE_SEED = 2000, 1


@dataclass(frozen=True, slots=True)
class Source:
    """DATA and how to read it. `detector`: the ONNX file whose maps embed clips; `cache`: where embedded
    clips are kept. `moved`: of maps only how they change. `scene`: single pictures are classified."""

    path: Path
    labels: tuple[str, ...] = ()
    group_by: str = ""
    detector: Path | None = None
    cache: Path | None = None
    fps: float = 30.0
    aspect: float = 4 / 3
    threads: int = 1
    moved: bool = False
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

    def clips(self) -> list[ClipEntry]:
        return list_clips(self.path, self.group_by)


def open_source(source: Source, rate_hz: float | None, said: Said) -> tuple[ActionData, EmbedderCard | None]:
    """The data, and for clips the card of their embedder. Raises DataRefused or ModelRefused."""
    if str(source.path) == MADE:
        return make_tracks(MADE_TRACKS, MADE_SEED), None
    if source.is_clips():
        return _embedded(source, rate_hz or 8.0, said)
    if source.path.suffix.lower() == ".csv":
        return read_keypoints(source.path, source.labels, source.fps, source.aspect), None
    if source.path.is_dir() or source.path.suffix.lower() == ".npz":
        return read_arrays(source.path, source.labels), None
    raise DataRefused(
        f"{source.path}: no data that is understood: give a folder of clips by class, a CSV of clips or "
        "keypoints, or a .npz of poses or boxes"
    )


def _embedded(source: Source, rate_hz: float, said: Said) -> tuple[ActionData, EmbedderCard]:
    if source.detector is None:
        raise DataRefused(
            f"{source.path}: clips need something that embeds their frames: --detector FILE.onnx for a "
            "detector's own feature maps, or --backbone NAME for a CNN of their own"
        )
    if source.scene and source.moved:
        raise DataRefused("a single picture does not move: leave --moved out")
    embedder = MapEmbedder(source.detector, moved=source.moved, still=source.scene, threads=source.threads)
    data = embed_clips(
        source.path,
        source.clips(),
        embedder.embed_clip,
        kind="features",
        size=embedder.values,
        rate_hz=rate_hz,
        labels=source.labels,
        cache=source.cache,
        key=f"2-{embedder.sha256[:16]}-{embedder.strides}-{embedder.moved}" + "-still" * embedder.still,
        scene=source.scene,
        progress=lambda i, n: said("embedding clips", i, n),
    )
    card = EmbedderCard(
        sha256=embedder.sha256, strides=embedder.strides, moved=embedder.moved, still=embedder.still
    )
    return data, card


def _columns(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataRefused(f"{path}: {error}") from error
