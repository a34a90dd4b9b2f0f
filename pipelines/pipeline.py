"""A detector shared by cameras, and for each camera its tracker and analytics.

`step(frames)` is `collect(submit(frames))`: apart, the pre- and post-processing of one batch run while the
detector is busy with another. Every state is per camera; it can be saved and restored, so that another
process can go on where this one was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.actions.action_frame import ActionFrame
from pipelines.actions.engine import ActionEngine
from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.errors import InferenceRejected
from pipelines.detect.filter import DetectionFilter
from pipelines.journeys.clothes import clothes
from pipelines.pending import Asked, Pending, placed
from pipelines.region.camera_region import CameraRegion
from pipelines.region.crop import Crop, PictureShape
from pipelines.scene.tracker import SceneTracker
from pipelines.skeleton import MIN_SCORE
from pipelines.track import Tracker, create_tracker
from pipelines.track.appearance import colour_histograms, small_colours
from pipelines.track.association import detection_index
from pipelines.track.global_motion import small_grey
from pipelines.track.needed_rate import TrackMotion
from pipelines.values import Detections, Event, Floats, Frame, FrameResult, Image, Labels, Stamp

VIEW_MOVED = 0.05  # of the picture: from here on a line is not where it was drawn
COLOURS_NS = 95_000_000  # frames so far apart are looked at for colours: where they come faster, places tell
LOOKS_NS = 250_000_000  # frames so far apart are looked at for journeys: enough of whoever walks through
USUAL_ASPECT = 16 / 9  # of a picture of which nothing is known


@dataclass(slots=True, eq=False)
class _Camera:
    rules: CameraRules
    filter: DetectionFilter
    tracker: Tracker
    analytics: CameraCounts
    region: CameraRegion
    cropped: Crop | None = None  # of the last frame
    scene: SceneTracker | None = None
    submitted_ns: int | None = None  # the media time of the last frame
    wants_looks: bool = False
    looked_ns: int | None = None  # the media time of the last frame whose looks were asked for
    elsewhere: bool = False  # its view, as its health says
    scene_before: dict[str, Any] | None = None  # of a checkpoint, until there is a watch that takes it


class Pipeline:
    """Runs frames of many cameras through one detector. Used by one thread."""

    def __init__(self, detector: Detector, actions: ActionEngine | None = None) -> None:
        self.detector = detector
        self.actions = actions
        self.keeps_masks = False  # in its results, for who draws them
        self._cameras: dict[str, _Camera] = {}

    @property
    def labels(self) -> Labels:
        return self.detector.labels

    @property
    def max_batch(self) -> int:
        return self.detector.max_batch

    def open_camera(self, camera: str, rules: CameraRules) -> None:
        """Start a camera with no history. Raises ValueError when a rule names a class the model lacks, or its
        classes leave nobody whose actions could be told."""
        if self.actions is not None:
            self.actions.check_classes(rules.classes)
        self._cameras[camera] = _Camera(
            rules=rules,
            filter=DetectionFilter(rules, self.labels),
            tracker=create_tracker(),
            analytics=CameraCounts(rules, self.labels),
            region=CameraRegion(rules, self.actions is not None),
        )
        if self.actions is not None:
            self.actions.open_camera(camera)

    def set_rules(self, camera: str, rules: CameraRules) -> None:
        """Apply new rules; tracks, and the state of rules that are unchanged, stay.

        Raises ValueError as open_camera() does; the old rules then go on.
        """
        state = self._cameras[camera]
        chosen = DetectionFilter(rules, self.labels)
        if self.actions is not None:
            self.actions.check_classes(rules.classes)
        state.analytics.with_rules(rules)
        state.filter = chosen
        region = CameraRegion(rules, self.actions is not None)
        if not region.like(state.region):
            state.region = region
        state.rules = rules

    def watch_scene(self, camera: str, scene: SceneTracker | None, stamp: Stamp | None) -> list[Event]:
        """Look at the camera's whole picture from now on, or not any more.

        `stamp` is of its last frame, where there was one. A watch of the same model goes on from the one
        before it; the events are those of another's end.
        """
        state = self._cameras[camera]
        before, state.scene = state.scene, scene
        saved = before.save() if before is not None else state.scene_before
        state.scene_before = None
        if scene is not None and saved is not None:
            scene.restore(saved)
        if before is None or stamp is None:
            return []
        goes_on = scene is not None and scene.model.sha256 == before.model.sha256
        return [] if goes_on else before.close(stamp)

    def scene(self, camera: str) -> dict[str, Any] | None:
        """What the camera shows now, by head; None where nothing looks."""
        watch = self._cameras[camera].scene
        return None if watch is None else watch.describe()

    def end_tracks(self, camera: str, stamp: Stamp) -> list[Event]:
        """The camera has closed: every track ends, and with it what is open in zones and its scene."""
        state = self._cameras[camera]
        state.tracker.reset()
        state.region.end_tracks()
        self.detector.forget(camera)
        if self.actions is not None:
            self.actions.end_tracks(camera)
        scene = [] if state.scene is None else state.scene.close(stamp)
        return [*state.analytics.close(stamp), *scene]

    def set_occupancy(self, stamp: Stamp, name: str, count: int, told: Mapping[str, Any]) -> list[Event]:
        """A person says how many are inside the occupancy `name` of the stamp's camera, from now on; empty
        where no such one runs."""
        return self._cameras[stamp.camera].analytics.set_occupancy(stamp, name, count, told)

    def spent_ids(self, camera: str) -> tuple[int | None, int]:
        """The camera's epoch, and within it the lowest track id that no track has had."""
        return self._cameras[camera].tracker.spent

    def spend_ids(self, camera: str, epoch: int, next_id: int) -> None:
        """Give no track of `epoch` an id below `next_id`: another pipeline or process has given those."""
        self._cameras[camera].tracker.spend(epoch, next_id)

    def follows(self, camera: str) -> bool:
        """Whether anything is followed in the camera's frames, or was lost and is still waited for."""
        return self._cameras[camera].tracker.follows

    def stands_still(self, camera: str) -> bool:
        """Whether something is followed in the camera's frames, and all of it has stood still for long."""
        return self._cameras[camera].tracker.stands_still

    def sees_more(self, camera: str, detections: Detections) -> bool:
        """Whether there are more sure boxes, of what the camera's rules ask for, than it follows tracks."""
        state = self._cameras[camera]
        kept = state.filter.apply(detections)
        sure = np.count_nonzero(kept.scores >= kept.high_threshold)
        return bool(sure > state.tracker.motion.hits.size)

    def motion(self, camera: str) -> TrackMotion:
        """What the camera's tracks do, for who decides how often it is looked at (track/needed_rate.py)."""
        return self._cameras[camera].tracker.motion

    def close_camera(self, camera: str) -> None:
        self._cameras.pop(camera, None)
        self.detector.forget(camera)
        if self.actions is not None:
            self.actions.close_camera(camera)

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Pending:
        """Hand at most `max_batch` frames to the detector; their memory is free again on return.

        `notify` is called, from whatever thread, when collect() would no longer wait.
        """
        return self.pending(frames, self.ask(frames, notify))

    def ask(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Asked:
        """Hand frames to the detector which may turn out not to be wanted: nothing else hears of them, unless
        they are given to pending(), in their order, with what this returns."""
        crops = tuple(self._crop_of(frame) for frame in frames)
        parts = [crop.cut(frame) if crop else frame for crop, frame in zip(crops, frames, strict=True)]
        ticket = self.detector.submit(parts, notify)
        ticket.maps = self.actions is not None and self.actions.needs_maps
        ticket.low_confidence = self.actions is not None and self.actions.needs_low_confidence
        return Asked(ticket, crops)

    def answers(self, asked: Asked) -> list[Detections]:
        """Wait for what the detector finds, in places of the whole pictures. Raises InferenceRejected."""
        return placed(asked.crops, self.detector.collect(asked.ticket))

    def shape_for(self, camera: str, width: int, height: int) -> PictureShape:
        """Of what the detector gets of the camera's pictures of this size."""
        crop = self._cameras[camera].region.crop_of(width, height)
        return PictureShape(width, height) if crop is None else crop.shape

    def pending(self, frames: Sequence[Frame], asked: Asked) -> Pending:
        """What follow() needs of frames that the detector was asked about."""
        wanted = self.actions is not None and self.actions.needs_pixels
        colours = tuple(self._colours_of(frame) for frame in frames)
        return Pending(
            tuple(frame.stamp for frame in frames),
            asked.ticket,
            tuple(frame.image.shape[1] / frame.image.shape[0] for frame in frames),
            tuple(small_grey(frame.image) for frame in frames),
            tuple(frame.image.copy() for frame in frames) if wanted else (),
            tuple(self._scene_of(frame) for frame in frames),
            colours,
            asked.crops,
            tuple(map(self._journey_picture, frames, colours)),
        )

    def _crop_of(self, frame: Frame) -> Crop | None:
        """The part of the frame that its camera's region names; None where that is all."""
        state = self._cameras[frame.stamp.camera]
        crop = state.region.crop(frame.image)
        if crop != state.cropped:
            self.detector.forget(frame.stamp.camera)  # what it has kept lies elsewhere now
            state.cropped = crop
        return crop

    def _colours_of(self, frame: Frame) -> Image | None:
        state = self._cameras[frame.stamp.camera]
        before, state.submitted_ns = state.submitted_ns, frame.stamp.media_ns
        far = before is not None and frame.stamp.media_ns - before >= COLOURS_NS
        return small_colours(frame.image) if far else None

    def ask_for_looks(self, camera: str, wanted: bool) -> None:
        """Whether results of the camera say every LOOKS_NS what its boxes look like. Tracking is not touched
        by it."""
        self._cameras[camera].wants_looks = wanted

    def _journey_picture(self, frame: Frame, colours: Image | None) -> Image | None:
        """`colours` is the frame's small picture where tracking has one made already."""
        state = self._cameras[frame.stamp.camera]
        if not state.wants_looks:
            return None
        before, at_ns = state.looked_ns, frame.stamp.media_ns
        if before is not None and 0 <= at_ns - before < LOOKS_NS:
            return None
        state.looked_ns = at_ns
        return small_colours(frame.image) if colours is None else colours

    def _scene_of(self, frame: Frame) -> Image | None:
        scene = self._cameras[frame.stamp.camera].scene
        return frame.image.copy() if scene is not None and scene.takes(frame.stamp) else None

    def collect(self, pending: Pending) -> list[FrameResult]:
        """Wait for the detector, then track and count. One result a frame, in order.

        Raises InferenceRejected when the detector's output is not usable; no camera's state has changed then.
        """
        return self.follow(pending, self.detections(pending))

    def detections(self, pending: Pending) -> list[Detections]:
        """Wait for what the detector finds in a batch, in places of the whole picture. Raises
        InferenceRejected, whose detections are not placed."""
        return pending.placed(self.detector.collect(pending.ticket))

    def region(self, camera: str) -> dict[str, Any] | None:
        """Which part of the camera's picture is inferred, and why; None where no region is asked for."""
        return self._cameras[camera].region.describe()

    def collect_each(self, pending: Pending) -> list[FrameResult | str]:
        """Likewise, but a frame whose answer is not usable costs the others nothing: in its place is why."""
        try:
            found = self.detections(pending)
        except InferenceRejected as error:
            given = error.detections or (None,) * len(pending.stamps)
            good = [i for i, boxes in enumerate(given) if boxes is not None]
            rest = pending.only(good)
            taken = rest.placed([boxes for boxes in given if boxes is not None])
            followed = dict(zip(good, self.follow(rest, taken), strict=True)) if good else {}
            return [followed.get(i) or error.reasons.get(i, str(error)) for i in range(len(pending.stamps))]
        return list(self.follow(pending, found))

    def look(self, pending: Pending, found: Sequence[Detections]) -> list[Detections]:
        """The detections of a batch with embeddings of their colours, where frames are far apart and the
        detector gives none."""
        pictures = pending.colours or (None,) * len(found)
        return [
            boxes
            if picture is None or boxes.embeddings is not None
            else replace(boxes, embeddings=colour_histograms(picture, boxes.boxes_xyxyn))
            for boxes, picture in zip(found, pictures, strict=True)
        ]

    def follow(self, pending: Pending, found: Sequence[Detections]) -> list[FrameResult]:
        """What follows detections(), for a batch; the windows of all its cameras are classified at once."""
        given = [boxes.embeddings is not None for boxes in found]
        found = self.look(pending, found)
        greys = pending.greys or (None,) * len(found)
        scenes = pending.scenes or (None,) * len(found)
        pictures = pending.journeys or (None,) * len(found)
        results = [
            _with_looks(self._track(stamp, boxes, grey, scene), picture, embedded)
            for stamp, boxes, grey, scene, picture, embedded in zip(
                pending.stamps, found, greys, scenes, pictures, given, strict=True
            )
        ]
        if self.actions is None:
            return results
        images = pending.images or (None,) * len(results)
        action_frames = [
            ActionFrame(
                result.stamp,
                result.tracks,
                aspect,
                image,
                _poses(result),
                boxes.maps,
                boxes,
                grey,
                self._low_confidence(result.stamp, boxes),
            )
            for result, aspect, image, boxes, grey in zip(
                results, pending.aspects, images, found, greys, strict=True
            )
        ]
        done = self.actions.update(action_frames)
        return [
            replace(result, events=(*result.events, *more)) if more else result
            for result, more in zip(results, done, strict=True)
        ]

    def advance(self, stamp: Stamp, detections: Detections, aspect: float = USUAL_ASPECT) -> FrameResult:
        """What follows the detector, for one frame without its picture: the door for replays.

        A new epoch in the stamp ends the tracks of the one before, there and in the analytics.
        """
        return self.follow(Pending((stamp,), Ticket((stamp.camera,)), (aspect,)), [detections])[0]

    def _track(
        self, stamp: Stamp, detections: Detections, grey: Image | None, scene: Image | None
    ) -> FrameResult:
        """Filter, tracker, analytics, and the scene where its picture is there."""
        state = self._cameras[stamp.camera]
        kept = state.filter.apply(detections)
        if kept.maps is not None or kept.low_confidence is not None or kept.masks is not None:
            masks = kept.masks if self.keeps_masks else None
            # A megabyte a frame each, and results are kept.
            kept = replace(kept, maps=None, low_confidence=None, masks=masks)
        state.tracker.view = state.region.box
        tracks = state.tracker.update(stamp, kept, self.labels, grey)
        state.region.learn(stamp, tracks)
        state.analytics.view_moved = state.elsewhere or self.view_moved(stamp.camera) > VIEW_MOVED
        events = state.analytics.update(stamp, tracks)
        if scene is not None and state.scene is not None:
            events = [*events, *state.scene.update(stamp, scene)]
        return FrameResult(stamp, kept, tracks, tuple(events))

    def _low_confidence(self, stamp: Stamp, found: Detections) -> Detections | None:
        """Boxes that are no proof of an object, of whatever class, after the camera's rules on places and
        sizes."""
        if found.low_confidence is None:
            return None
        low = found.take(found.scores < found.high_threshold)
        doubtful = Detections(
            np.concatenate([low.boxes_xyxyn, found.low_confidence.boxes_xyxyn]),
            np.concatenate([low.scores, found.low_confidence.scores]),
            np.concatenate([low.class_ids, found.low_confidence.class_ids]),
        )
        return self._cameras[stamp.camera].filter.apply_to_low_confidence(doubtful)

    def set_view_moved(self, camera: str, moved: bool) -> None:
        """Who compares its pictures with a reference says so: what is counted from now on carries it."""
        self._cameras[camera].elsewhere = moved

    def view_moved(self, camera: str) -> float:
        """How far the view is from where it began, in shares of the picture; 0 for replays."""
        return float(np.hypot(*self._cameras[camera].tracker.camera_motion.offset_xyn))

    def step(self, frames: Sequence[Frame]) -> list[FrameResult]:
        return self.collect(self.submit(frames))

    def save(self, camera: str) -> dict[str, Any]:
        """Plain data from which restore() goes on: the tracks and the sides of lines they are on."""
        state = self._cameras[camera]
        saved = {
            "tracker": state.tracker.save(),
            "analytics": state.analytics.save(),
        }
        if (region := state.region.save()) is not None:
            saved["region"] = region
        if self.actions is not None:
            saved["actions"] = self.actions.save(camera)
        scene = state.scene_before if state.scene is None else state.scene.save()
        if scene is not None:
            saved["scene"] = scene
        return saved

    def restore(self, camera: str, saved: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError when `saved` is not from save()."""
        state = self._cameras[camera]
        state.tracker.restore(saved["tracker"])
        state.analytics.restore(saved["analytics"])
        if self.actions is not None and "actions" in saved:
            self.actions.restore(camera, saved["actions"])
        state.region.restore(saved.get("region"))
        state.scene_before = saved.get("scene")

    def restore_standing(self, camera: str, saved: dict[str, Any]) -> None:
        """Of `saved`, which another camera's may be, only what rests on no track and no epoch.

        Raises KeyError, TypeError or ValueError when it is not from save()."""
        self._cameras[camera].analytics.restore_standing(saved["analytics"])


def _with_looks(result: FrameResult, picture: Image | None, embedded: bool) -> FrameResult:
    """The result with what its boxes look like: as embeddings say (unit vectors) where they are the
    detector's (`embedded`; tracking's colours hold in one camera's light alone), else by their clothes."""
    if picture is None:
        return result
    looks = result.detections.embeddings
    if looks is None or not embedded:
        return replace(result, looks=clothes(picture, result.detections.boxes_xyxyn))
    norms = np.linalg.norm(looks, axis=1, keepdims=True)
    return replace(result, looks=np.asarray(looks / np.where(norms > 0, norms, 1.0), np.float32))


def _poses(result: FrameResult) -> dict[int, Floats]:
    """By track id the joints of the box that it was matched with; none where no joint of it is known."""
    found = result.detections
    if found.keypoints is None:
        return {}
    rows = detection_index(result.tracks, found)
    return {
        track_id: found.keypoints[row]
        for track_id, row in zip(result.tracks.track_ids.tolist(), rows.tolist(), strict=True)
        if row >= 0 and (found.keypoints[row, :, 2] >= MIN_SCORE).any()
    }
