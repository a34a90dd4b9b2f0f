"""A frame of a camera after the tracker, and the values that a model of each kind takes of its tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.actions.card import ActionCard
from pipelines.actions.embed import CropEmbedder
from pipelines.actions.full_frame_features import FullFrameFeatures
from pipelines.actions.inputs import boxes_to_values
from pipelines.actions.roi_pooling import FULL_FRAME, roi_pool
from pipelines.actions.state import ActionCameraState
from pipelines.values import Detections, FeatureMaps, Floats, Image, Labels, Stamp, Tracks

FULL_FRAME_ID = 0  # the track id under which a full frame's window is kept


@dataclass(frozen=True, slots=True, eq=False)
class ActionFrame:
    """One frame of one camera, after the tracker.

    `aspect` is the picture's width over height. What a model of that kind needs: `image` (H, W, 3) BGR for
    crops; `poses` by track id, (J, 3) x, y normalised to the picture and a score; `maps` of the detector, and
    its `detections` before any rule of the camera; `grey`, the small copy (H, W) of the picture; its
    `low_confidence` boxes, for models of boxes.
    """

    stamp: Stamp
    tracks: Tracks
    aspect: float
    image: Image | None = None
    poses: Mapping[int, Floats] = field(default_factory=dict)
    maps: FeatureMaps | None = None
    detections: Detections | None = None
    grey: Image | None = None
    low_confidence: Detections | None = None


class FrameFeatures:
    """The values that one model takes of frames. `joints`: which of a pose's joints are its own, in its
    order; empty: all."""

    def __init__(
        self, card: ActionCard, labels: Labels, joints: tuple[int, ...], embedder: CropEmbedder | None
    ) -> None:
        self._card = card
        self._labels = labels
        self._joints = joints
        self._embedder = embedder

    def extract(
        self, camera: ActionCameraState, frame: ActionFrame, due_rows: dict[int, int]
    ) -> dict[int, Floats]:
        """Each due track's values in this frame, by track id; one without (it has no pose) is left out."""
        if not due_rows:
            return {}
        kind = self._card.kind
        if kind == "pose":
            scale = np.array([frame.aspect, 1.0, 1.0], np.float32)
            joints = list(self._joints) or slice(None)
            return {k: frame.poses[k][joints] * scale for k in due_rows if k in frame.poses}
        whole = self._card.whole_picture
        if kind == "features" and whole:
            value = self._full_frame(camera).extract(frame.maps, frame.detections, frame.grey, frame.aspect)
            return {} if value is None else {FULL_FRAME_ID: value}
        boxes = FULL_FRAME if whole else frame.tracks.boxes_xyxyn[list(due_rows.values())]
        if kind == "boxes":
            values = boxes_to_values(boxes, frame.aspect)
        elif kind == "features":
            embedder = self._card.embedder
            if frame.maps is None or embedder is None:
                return {}
            values = roi_pool(frame.maps, camera.before, boxes, embedder.strides, moved=embedder.moved)
        elif frame.image is None or self._embedder is None:
            return {}
        else:
            values = self._embedder.embed(frame.image, boxes)
        return dict(zip(due_rows, values, strict=True))

    def _full_frame(self, camera: ActionCameraState) -> FullFrameFeatures:
        if camera.full_frame is None:
            assert self._card.embedder is not None  # the card is checked for it
            camera.full_frame = FullFrameFeatures(self._card.embedder, self._labels)
        return camera.full_frame
