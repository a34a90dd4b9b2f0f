"""What is kept of a camera between its frames: the windows of its tracks, and what their next values need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.actions.full_frame_features import FullFrameFeatures
from pipelines.actions.hysteresis import HysteresisTrigger
from pipelines.actions.low_score_recovery import LowScoreRecovery
from pipelines.actions.windows import Clock, Ring
from pipelines.values import FeatureMaps

KEEP_S = 3.0  # a track that was not among the frame's tracks for so long is forgotten


@dataclass(slots=True, eq=False)
class ActionTrackState:
    """One track: its window, and what is decided of it."""

    ring: Ring
    triggers: list[HysteresisTrigger]
    class_id: int = 0
    seen_s: float = 0.0  # when it last was among a frame's tracks
    look_s: float = -np.inf  # when its next window is classified
    box: tuple[float, ...] = ()


@dataclass(slots=True, eq=False)
class ActionCameraState:
    """One camera; times in seconds since `base_ns` of the stream's own clock."""

    epoch: int | None = None
    base_ns: int = 0
    tracks: dict[int, ActionTrackState] = field(default_factory=dict)
    dropped: int = 0
    clock: Clock | None = None  # of models that look at pixels or maps: one for all tracks
    moment_s: float = 0.0  # the last moment of that clock
    before: FeatureMaps | None = None  # of that moment, for tracks
    full_frame: FullFrameFeatures | None = None  # likewise, of the whole
    recovery: LowScoreRecovery = field(default_factory=LowScoreRecovery)

    def begin(self) -> None:
        """Nothing of what was frame before is of use any more."""
        self.tracks.clear()
        self.clock = self.before = self.full_frame = None
        self.recovery = LowScoreRecovery()

    def forget(self, now_s: float) -> None:
        """Tracks that are long gone."""
        for track_id in [k for k, t in self.tracks.items() if not 0 <= now_s - t.seen_s <= KEEP_S]:
            del self.tracks[track_id]

    def save(self) -> dict[str, Any]:
        """Plain data from which restored() goes on. Rings of embeddings are not kept: they fill again."""
        return {
            "epoch": self.epoch,
            "base_ns": self.base_ns,
            "tracks": {
                str(track_id): {
                    "ring": track.ring.save(),
                    "heads": [trigger.save() for trigger in track.triggers],
                    "class_id": track.class_id,
                    "seen_s": track.seen_s,
                }
                for track_id, track in self.tracks.items()
            },
        }


def restored(saved: Mapping[str, Any], new_track: Callable[[], ActionTrackState]) -> ActionCameraState:
    """Raises KeyError, TypeError or ValueError where `saved` is not from save() of such a model."""
    camera = ActionCameraState(saved["epoch"], int(saved["base_ns"]))
    for key, state in saved["tracks"].items():
        track = new_track()
        track.ring.restore(state["ring"])
        for trigger, head in zip(track.triggers, state["heads"], strict=True):
            trigger.restore(head)
        track.class_id, track.seen_s = int(state["class_id"]), float(state["seen_s"])
        camera.tracks[int(key)] = track
    return camera
