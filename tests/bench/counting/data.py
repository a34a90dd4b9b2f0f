"""Public tracking truth as counting problems: sequences, their detections, and the true line crossings.

The rule, the lines and the detections are those of the corpus's CROSSINGS.md: a vertical line at half the
width and a horizontal one at 0.6 of the height, crossed by the foot point; a true track has crossed when it
was seen 2 or more times in a row on one side and then 2 or more times in a row on the other (`>=` is the
greater side); the crossing's time is the first observation of the new run. Lines are called "V" and "H",
directions "greater" (to the right, downwards) and "lesser".
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.evaluate.crossings import Crossing

Array = npt.NDArray[np.float64]

FIRST = {  # of each set, on which the first settings were chosen
    "MOT15": ("PETS09-S2L1", "TUD-Campus", "ETH-Bahnhof", "ADL-Rundle-6", "KITTI-17"),
    "MOT17": ("MOT17-02", "MOT17-04", "MOT17-09"),
    "KITTI": tuple(f"{i:04d}" for i in range(11)),
}
ADDED = {  # and those that came later, kept aside until 2026-11-29
    "MOT15": ("TUD-Stadtmitte", "Venice-2", "ETH-Sunnyday"),
    "MOT17": ("MOT17-05", "MOT17-10"),
    "KITTI": tuple(f"{i:04d}" for i in range(11, 16)),
}
GROUPS = tuple(FIRST)
NAMES = {  # "MOT15" is the whole set, "MOT15 first" and "MOT15 added" are its parts
    **{group: FIRST[group] + ADDED[group] for group in GROUPS},
    **{f"{group} first": FIRST[group] for group in GROUPS},
    **{f"{group} added": ADDED[group] for group in GROUPS},
}
PARTS = tuple(f"{group} {part}" for part in ("first", "added") for group in GROUPS)
MOVING = {"ETH-Bahnhof", "ETH-Sunnyday", "MOT17-05", "MOT17-10", *FIRST["KITTI"], *ADDED["KITTI"]}
KITTI_VEHICLES = ("Car", "Van", "Truck")
KITTI_SIZE = (1242, 375)
KITTI_FPS = 10.0
VERTICAL_AT = 0.5
HORIZONTAL_AT = 0.6
RUN = 2  # observations in a row that make a side


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One sequence in pixels. Tables have one row a box, sorted by frame.

    `moving` where the camera does, `added` where the sequence came later (ADDED).
    truth: (N, 6) frame, id, x1, y1, x2, y2; detections: (M, 6) frame, x1, y1, x2, y2, score in [0, 1].
    Frames count from `first_frame` to `last_frame`.
    """

    group: str
    name: str
    width: int
    height: int
    fps: float
    first_frame: int
    last_frame: int
    truth: Array
    detections: Array
    moving: bool = False
    added: bool = False

    @property
    def source(self) -> str:
        """The name of the sequence that it is made from, its own where it is from none."""
        return self.name.partition(" ")[0]

    def frames(self, step: int = 1) -> Iterator[tuple[int, Array]]:
        """Each `step`-th frame number and its detections (K, 5) x1, y1, x2, y2, score."""
        for frame in range(self.first_frame, self.last_frame + 1, step):
            low, high = np.searchsorted(self.detections[:, 0], (frame, frame + 1))
            yield frame, self.detections[low:high, 1:]

    def time_s(self, frame: float) -> float:
        return (frame - self.first_frame) / self.fps


def corpus() -> Path | None:
    """The folder of the corpus, from $STREAMER_CORPUS or beside the repository; None where it is absent."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "corpus"
    path = Path(os.environ.get("STREAMER_CORPUS", beside))
    return path if (path / "mot" / "CROSSINGS.md").is_file() else None


def load(group: str, root: Path) -> list[Sequence]:
    """All sequences of a set or of a part of it (`NAMES`)."""
    kind, names = group.split()[0], NAMES[group]
    if kind == "KITTI":
        return [_load_kitti(name, root / "mot" / "kitti_tracking") for name in names]
    return [_load_mot(kind, name, root / "mot" / kind / name) for name in names]


def _load_mot(group: str, name: str, folder: Path) -> Sequence:
    info = configparser.ConfigParser()
    info.read(folder / "seqinfo.ini")
    about = info["Sequence"]
    truth = np.loadtxt(folder / "gt.txt", delimiter=",", ndmin=2)
    wanted = truth[:, 6] != 0
    if group == "MOT17":
        wanted &= truth[:, 7] == 1
    found = np.loadtxt(
        folder / ("det_frcnn.txt" if group == "MOT15" else "det_simulated.txt"), delimiter=",", ndmin=2
    )
    return Sequence(
        group=group,
        name=name,
        width=int(about["imWidth"]),
        height=int(about["imHeight"]),
        fps=float(about["frameRate"]),
        first_frame=1,
        last_frame=int(about["seqLength"]),
        truth=_sorted(np.column_stack([truth[wanted, 0], truth[wanted, 1], _corners(truth[wanted, 2:6])])),
        detections=_sorted(np.column_stack([found[:, 0], _corners(found[:, 2:6]), found[:, 6]])),
        moving=name in MOVING,
        added=name in ADDED[group],
    )


def _load_kitti(name: str, folder: Path) -> Sequence:
    rows = [line.split() for line in (folder / "label_02" / f"{name}.txt").read_text().splitlines()]
    last = max(int(row[0]) for row in rows)
    truth = np.array(
        [[float(row[i]) for i in (0, 1, 6, 7, 8, 9)] for row in rows if row[2] in KITTI_VEHICLES]
    )
    found = np.loadtxt(folder / "det_pointrcnn_car" / f"{name}.txt", delimiter=",", ndmin=2)
    scores = 1.0 / (1.0 + np.exp(-found[:, 6]))
    found, scores = found[scores >= 0.5], scores[scores >= 0.5]
    return Sequence(
        group="KITTI",
        name=name,
        width=KITTI_SIZE[0],
        height=KITTI_SIZE[1],
        fps=KITTI_FPS,
        first_frame=0,
        last_frame=max(last, int(found[:, 0].max())),
        truth=_sorted(truth),
        detections=_sorted(np.column_stack([found[:, 0], found[:, 2:6], scores])),
        moving=name in MOVING,
        added=name in ADDED["KITTI"],
    )


def _corners(ltwh: Array) -> Array:
    return np.column_stack([ltwh[:, :2], ltwh[:, :2] + ltwh[:, 2:]])


def _sorted(table: Array) -> Array:
    return table[np.argsort(table[:, 0], kind="stable")]


def true_crossings(
    sequence: Sequence, vertical: float = VERTICAL_AT, horizontal: float = HORIZONTAL_AT, band: float = 0.0
) -> list[Crossing]:
    """The crossings of both lines by all true tracks, in order of time; with a `band` without those whose
    object turns back within that share of its box."""
    return [crossing for _, crossing in crossings_by_identity(sequence, vertical, horizontal, band)]


def crossings_by_identity(
    sequence: Sequence, vertical: float = VERTICAL_AT, horizontal: float = HORIZONTAL_AT, band: float = 0.0
) -> list[tuple[int, Crossing]]:
    """The same, each with the true track that makes it."""
    found = []
    truth = sequence.truth
    for identity in np.unique(truth[:, 1]):
        rows = truth[truth[:, 1] == identity]
        foot_x, foot_y = (rows[:, 2] + rows[:, 4]) / 2, rows[:, 5]
        for line, place, at, extent in (
            ("V", foot_x, vertical * sequence.width, rows[:, 4] - rows[:, 2]),
            ("H", foot_y, horizontal * sequence.height, rows[:, 5] - rows[:, 3]),
        ):
            crossings = run_crossings(place >= at)
            for index, direction in _lasting(crossings, np.abs(place - at) / extent, band):
                name = "greater" if direction > 0 else "lesser"
                crossing = Crossing(line, name, sequence.time_s(rows[index, 0]))
                found.append((int(identity), crossing))
    return sorted(found, key=lambda pair: pair[1].time_s)


def _lasting(crossings: list[tuple[int, int]], reach: Array, band: float) -> list[tuple[int, int]]:
    """Those after which it came beyond the band, before it went back; where it ends its side is known."""
    if not band or not crossings:
        return crossings
    found: list[tuple[int, int]] = []
    side = -crossings[0][1]
    ends = [*(index for index, _ in crossings[1:]), len(reach)]
    for (index, direction), end in zip(crossings, ends, strict=True):
        if direction != side and (end == len(reach) or reach[index:end].max() > band):
            found.append((index, direction))
            side = direction
    return found


def run_crossings(greater: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(index, direction) of each change between runs of at least `RUN` equal observations."""
    found: list[tuple[int, int]] = []
    side: bool | None = None
    start = 0
    for i in range(1, len(greater) + 1):
        if i < len(greater) and greater[i] == greater[start]:
            continue
        if i - start >= RUN:
            now = bool(greater[start])
            if side is not None and now != side:
                found.append((start, 1 if now else -1))
            side = now
        start = i
    return found
