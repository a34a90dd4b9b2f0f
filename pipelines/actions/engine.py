"""Actions of live tracks: the windows of all tracks and cameras through one model, its answers as events.

A frame of a track is embedded once and kept in the track's ring; a window is classified when the model's own
rate says so. What a camera has is bounded by its live tracks, and goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.actions.action_frame import FULL_FRAME_ID, ActionFrame, FrameFeatures
from pipelines.actions.compatibility import check_card, check_class_filter, check_groups
from pipelines.actions.embed import CropEmbedder
from pipelines.actions.hysteresis import Action, HysteresisTrigger
from pipelines.actions.inputs import boxes_to_values
from pipelines.actions.runtime import ActionModel
from pipelines.actions.state import ActionCameraState, ActionTrackState, restored
from pipelines.actions.windows import GAP_S, Clock, Ring, stack
from pipelines.events import ACTION_DETECTED
from pipelines.values import Detections, Event, Floats, Labels, Stamp

MAX_TRACKS = 256  # of a camera; more are not looked at
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`labels`: those that become events, of any head; empty: all that the model does not call silent.

    `every`: a window is classified at each so many-th step of the model's rate. `min_duration_s` None: the
    model's own. `pause_s`: before the same is told of a track again. `groups`: of tracks that are looked at;
    empty: the model's own. `joints`: which of a pose's joints are the model's, in its order; empty: they are
    the same.
    """

    labels: tuple[str, ...] = ()
    min_duration_s: float | None = None
    pause_s: float = 0.0
    every: int = 1
    groups: tuple[str, ...] = ()
    joints: tuple[int, ...] = ()


class ActionEngine:
    """One model for all cameras. Not for use by several threads at once.

    Raises ValueError where a label that is asked for is none of the model's, the model has no rate, or it
    looks at things of which the detector knows none.
    """

    def __init__(
        self,
        model: ActionModel,
        labels: Labels,
        settings: EngineSettings | None = None,
        embedder: CropEmbedder | None = None,
    ) -> None:
        self.model = model
        self.card = card = model.card
        self.settings = settings = settings or EngineSettings()
        self._rate_hz = check_card(model.path, card, settings.labels)
        if card.kind == "crops" and embedder is None:
            raise ValueError(f"{model.path}: a model of crops needs its backbone beside it")
        self._embedder = embedder
        self._features = FrameFeatures(card, labels, settings.joints, embedder)
        self._labels = labels
        self._watched = np.array(check_groups(model.path, card, settings.groups, labels.groups), np.bool_)
        if settings.min_duration_s is None:
            self._min_duration_s = card.min_duration_s
        else:
            self._min_duration_s = settings.min_duration_s
        self._cameras: dict[str, ActionCameraState] = {}

    @property
    def needs_pixels(self) -> bool:
        """Whether frames must come with their image."""
        return self._embedder is not None

    @property
    def needs_maps(self) -> bool:
        """Whether frames must come with the detector's feature maps."""
        embedder = self.card.embedder
        return self.card.kind == "features" and embedder is not None and bool(embedder.strides)

    @property
    def needs_picture(self) -> bool:
        """Whether a frame's boxes alone are not enough."""
        embedder = self.card.embedder
        return self.needs_pixels or self.needs_maps or (embedder is not None and embedder.flow)

    @property
    def needs_low_confidence(self) -> bool:
        """Whether frames are to come with boxes that the detector is not sure of."""
        return self.card.kind == "boxes" and not self.card.whole_picture

    # ---- cameras

    def check_classes(self, classes_wanted: Sequence[str]) -> None:
        """Raise ValueError where a camera that wants these classes alone leaves nothing to look at."""
        classes = dict(zip(self._labels.names, self._labels.groups, strict=True))
        check_class_filter(self.model.path, self.card, self.settings.groups, classes_wanted, classes)

    def open_camera(self, camera: str) -> None:
        self._cameras[camera] = ActionCameraState()

    def close_camera(self, camera: str) -> None:
        self._cameras.pop(camera, None)

    def end_tracks(self, camera: str) -> None:
        """The camera's source has closed: what its tracks did is over."""
        state = self._cameras.get(camera)
        if state is not None:
            state.begin()

    # ---- frames

    def update(self, frames: Sequence[ActionFrame]) -> list[list[Event]]:
        """The events of each frame. All windows that are due, of all the frames, are classified at once."""
        due: list[tuple[int, int, ActionTrackState]] = []
        for index, frame in enumerate(frames):
            due += [(index, track_id, track) for track_id, track in self._add_frame(frame)]
        events: list[list[Event]] = [[] for _ in frames]
        if not due:
            return events
        shape = (self.card.window, *self.card.frame_shape())
        windows = [track.ring.take() for _, _, track in due]
        answers, attention = self.model.classify(stack((values for values, _ in windows), shape))
        for row, ((index, track_id, track), (_, moments_s)) in enumerate(zip(due, windows, strict=True)):
            weights = list(zip(moments_s.tolist(), attention[row].tolist(), strict=True))
            now_s = float(moments_s[-1]) - self.card.lag_s
            for trigger, answer in zip(track.triggers, answers, strict=True):
                for action in trigger.update(now_s, answer[row].tolist(), weights):
                    events[index].append(self._event(frames[index].stamp, track_id, track, action))
        return events

    def _add_frame(self, frame: ActionFrame) -> list[tuple[int, ActionTrackState]]:
        """Keep what is new of a frame; return the tracks whose window is due."""
        camera = self._cameras[frame.stamp.camera]
        if camera.epoch != frame.stamp.epoch:
            camera.epoch, camera.base_ns = frame.stamp.epoch, frame.stamp.media_ns
            camera.begin()
        now_s = (frame.stamp.media_ns - camera.base_ns) / NS_PER_S
        moment_s = self._moment_s(camera, now_s)
        due_rows = self._due_tracks(camera, frame, now_s)
        values = self._features.extract(camera, frame, due_rows) if moment_s is not None else {}
        if frame.low_confidence is not None and self.needs_low_confidence:
            values |= self._recover(camera, frame, frame.low_confidence, now_s)
        if moment_s is not None and frame.maps is not None:
            camera.before = frame.maps
        due = []
        for track_id, value in values.items():
            if not np.isfinite(value).all():
                continue  # one such sample would make every later mean of the track's answers not a number
            track = camera.tracks[track_id]
            track.ring.add(now_s if moment_s is None else moment_s, value)
            if now_s >= track.look_s and track.ring.ready():
                track.look_s = now_s + (self.settings.every - 0.5) / self._rate_hz
                due.append((track_id, track))
        camera.forget(now_s)
        return due

    def _moment_s(self, camera: ActionCameraState, now_s: float) -> float | None:
        """When the frame is, for the rings; None where it is not looked at. What is embedded is taken at the
        moments at which clips were for training; boxes and joints at those that each track's ring wants."""
        if self.card.kind in ("pose", "boxes"):
            return now_s
        if camera.clock is None:
            camera.clock = Clock(self._rate_hz)
        moment_s = camera.clock.tick(now_s)
        if moment_s is not None:
            if not 0 < moment_s - camera.moment_s <= GAP_S:  # the rings begin anew, and so does all else
                camera.before = camera.full_frame = None
            camera.moment_s = moment_s
        return moment_s

    def _due_tracks(self, camera: ActionCameraState, frame: ActionFrame, now_s: float) -> dict[int, int]:
        """Track id -> row of the tracks whose ring wants this frame. FULL_FRAME_ID has no row: -1."""
        if self.card.whole_picture:
            track = self._track(camera, FULL_FRAME_ID, now_s)
            track.box = (0.0, 0.0, 1.0, 1.0)
            return {FULL_FRAME_ID: -1} if self._wants(track, now_s) else {}
        tracks = frame.tracks
        rows = np.flatnonzero(tracks.observed & self._watched[tracks.class_ids])
        due_rows = {}
        for row in rows.tolist():
            track_id = int(tracks.track_ids[row])
            if track_id not in camera.tracks and len(camera.tracks) >= MAX_TRACKS:
                camera.dropped += 1
                continue
            track = self._track(camera, track_id, now_s)
            track.class_id = int(tracks.class_ids[row])
            track.box = tuple(tracks.boxes_xyxyn[row].tolist())
            if self._wants(track, now_s):
                due_rows[track_id] = row
        return due_rows

    def _recover(
        self, camera: ActionCameraState, frame: ActionFrame, low_confidence: Detections, now_s: float
    ) -> dict[int, Floats]:
        """Values of tracks that the tracker did not see in this frame: of boxes of low confidence."""
        tracks = frame.tracks
        rows = np.flatnonzero(tracks.observed & self._watched[tracks.class_ids])
        observed = {int(tracks.track_ids[row]): tracks.boxes_xyxyn[row] for row in rows}
        recovered = camera.recovery.update(
            now_s, observed, low_confidence.boxes_xyxyn, tracks.boxes_xyxyn[tracks.observed]
        )
        values = {}
        for track_id, box in recovered.items():
            track = camera.tracks.get(track_id)
            if track is None:
                continue
            track.seen_s, track.box = now_s, tuple(box.tolist())
            if track.ring.wants(now_s):
                values[track_id] = boxes_to_values(box[None], frame.aspect)[0]
        return values

    def _wants(self, track: ActionTrackState, now_s: float) -> bool:
        return self.card.kind not in ("pose", "boxes") or track.ring.wants(now_s)

    def _track(self, camera: ActionCameraState, track_id: int, now_s: float) -> ActionTrackState:
        track = camera.tracks.get(track_id)
        if track is None:
            track = camera.tracks[track_id] = self._new_track()
        track.seen_s = now_s
        return track

    def _new_track(self) -> ActionTrackState:
        card, labels = self.card, self.settings.labels
        steady = card.kind in ("pose", "boxes")
        ring = Ring(card.frame_shape(), card.window, self._rate_hz, interpolate=steady, fill=card.fill)
        heads = card.heads
        if labels:
            heads = tuple(
                head.model_copy(update={"silent": tuple(x for x in head.labels if x not in labels)})
                for head in heads
            )
        return ActionTrackState(
            ring, [HysteresisTrigger(head, self._min_duration_s, self.settings.pause_s) for head in heads]
        )

    def _event(self, stamp: Stamp, track_id: int, track: ActionTrackState, action: Action) -> Event:
        base_ns = self._cameras[stamp.camera].base_ns

        def at_ns(time_s: float) -> int:
            return base_ns + round(time_s * NS_PER_S)

        data: dict[str, Any] = {
            "action": action.label,
            "head": action.head,
            "probability": round(action.probability, 4),
            "start_media_ns": at_ns(action.start_s),
            "end_media_ns": at_ns(action.end_s),
            "start_captured_ns": stamp.captured_ns - (stamp.media_ns - at_ns(action.start_s)),
            "box_xyxyn": [round(v, 5) for v in track.box],
            "attention": [
                {"media_ns": at_ns(moment_s), "weight": round(weight, 4)}
                for moment_s, weight in action.weights
            ],
            "model_sha256": self.model.sha256,
        }
        subject = action.label
        if not self.card.whole_picture:
            data["track_id"] = track_id
            data["class"] = self._labels.names[track.class_id]
            data["group"] = self._labels.groups[track.class_id]
        return Event(ACTION_DETECTED, stamp, subject, data)

    # ---- checkpoints

    def save(self, camera: str) -> dict[str, Any]:
        """Plain data from which restore() goes on. Rings of embeddings are not kept: they fill again."""
        return self._cameras[camera].save()

    def restore(self, camera: str, saved: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError where `saved` is not from save() of such a model."""
        self._cameras[camera] = restored(saved, self._new_track)
