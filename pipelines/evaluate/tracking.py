"""HOTA, IDF1, MOTA and id switches of tracks against true boxes, by `trackeval` (extra `evaluate`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import iou

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FrameBoxes:
    """One frame: true ids (N,) and boxes (N, 4), tracked ids (M,) and boxes (M, 4), in any one unit."""

    true_ids: npt.NDArray[np.int64]
    true_boxes: Array
    track_ids: npt.NDArray[np.int64]
    track_boxes: Array


@dataclass(frozen=True, slots=True)
class TrackingScore:
    """In percent, but for the count of switches."""

    hota: float
    det_a: float
    ass_a: float
    idf1: float
    mota: float
    id_switches: int


def tracking_score(sequences: Sequence[Sequence[FrameBoxes]]) -> TrackingScore:
    """The score over all sequences together. Raises ImportError where `trackeval` is not installed.

    HOTA: Luiten et al., IJCV 2021; IDF1: Ristani et al., 2016; MOTA: Bernardin and Stiefelhagen, 2008.
    """
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}
    metrics = {"hota": HOTA(), "identity": Identity(quiet), "clear": CLEAR(quiet)}
    tables = [_table(frames) for frames in sequences]
    total: dict[str, Any] = {}
    for name, metric in metrics.items():
        parts = {str(i): metric.eval_sequence(table) for i, table in enumerate(tables)}
        total[name] = metric.combine_sequences(parts)
    return TrackingScore(
        hota=100 * float(np.mean(total["hota"]["HOTA"])),
        det_a=100 * float(np.mean(total["hota"]["DetA"])),
        ass_a=100 * float(np.mean(total["hota"]["AssA"])),
        idf1=100 * float(total["identity"]["IDF1"]),
        mota=100 * float(total["clear"]["MOTA"]),
        id_switches=int(total["clear"]["IDSW"]),
    )


def _table(frames: Sequence[FrameBoxes]) -> dict[str, Any]:
    """What trackeval reads: ids from 0 without gaps, and the overlap of all pairs of each frame."""
    true: dict[int, int] = {}
    tracked: dict[int, int] = {}
    gt_ids = [np.array([true.setdefault(k, len(true)) for k in f.true_ids.tolist()], int) for f in frames]
    track_ids = [
        np.array([tracked.setdefault(k, len(tracked)) for k in f.track_ids.tolist()], int) for f in frames
    ]
    return {
        "gt_ids": gt_ids,
        "tracker_ids": track_ids,
        "similarity_scores": [iou(f.true_boxes, f.track_boxes) for f in frames],
        "num_gt_ids": len(true),
        "num_tracker_ids": len(tracked),
        "num_gt_dets": sum(map(len, gt_ids)),
        "num_tracker_dets": sum(map(len, track_ids)),
        "num_timesteps": len(frames),
    }
