"""A frame of a camera after the tracker, and the values that a model of each kind takes of its tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.actions.card import ActionCard
from pipelines.actions.embed import CropEmbedder
from pipelines.actions.full_frame_features import WholePicture
from pipelines.actions.inputs import boxes_to_values
from pipelines.actions.roi_pooling import WHOLE as WHOLE_PICTURE
from pipelines.actions.roi_pooling import pool
from pipelines.actions.state import KeptCamera
from pipelines.values import Detections, FeatureMaps, Floats, Image, Labels, Stamp, Tracks

WHOLE = 0  # the track id under which a whole picture's window is kept


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame of one camera, after the tracker.

    `aspect` is the picture's width over height. What a model of that kind needs: `image` (H, W, 3) BGR for
    crops; `poses` by track id, (J, 3) x, y normalised to the picture and a score; `maps` of the detector, and
    what it `found` before any rule of the camera; `grey`, the small copy (H, W) of the picture; its `faint`
    boxes, for models of boxes.
    """

    stamp: Stamp
    tracks: Tracks
    aspect: float
    image: Image | None = None
    poses: Mapping[int, Floats] = field(default_factory=dict)
    maps: FeatureMaps | None = None
    found: Detections | None = None
    grey: Image | None = None
    faint: Detections | None = None


class FrameValues:
    """How one model sees frames. `joints`: which of a pose's joints are its own, in its order; empty: all."""

    def __init__(
        self, card: ActionCard, labels: Labels, joints: tuple[int, ...], embedder: CropEmbedder | None
    ) -> None:
        self._card = card
        self._labels = labels
        self._joints = joints
        self._embedder = embedder

    def of(self, camera: KeptCamera, seen: Seen, wanting: dict[int, int]) -> dict[int, Floats]:
        """Each wanting track's values in this frame; a track without (no pose was found) is left out."""
        if not wanting:
            return {}
        kind = self._card.kind
        if kind == "pose":
            scale = np.array([seen.aspect, 1.0, 1.0], np.float32)
            joints = list(self._joints) or slice(None)
            return {k: seen.poses[k][joints] * scale for k in wanting if k in seen.poses}
        whole = self._card.whole_picture
        if kind == "features" and whole:
            value = self._picture(camera).see(seen.maps, seen.found, seen.grey, seen.aspect)
            return {} if value is None else {WHOLE: value}
        boxes = WHOLE_PICTURE if whole else seen.tracks.boxes_xyxyn[list(wanting.values())]
        if kind == "boxes":
            values = boxes_to_values(boxes, seen.aspect)
        elif kind == "features":
            embedder = self._card.embedder
            if seen.maps is None or embedder is None:
                return {}
            values = pool(seen.maps, camera.before, boxes, embedder.strides, moved=embedder.moved)
        elif seen.image is None or self._embedder is None:
            return {}
        else:
            values = self._embedder.embed(seen.image, boxes)
        return dict(zip(wanting, values, strict=True))

    def _picture(self, camera: KeptCamera) -> WholePicture:
        if camera.picture is None:
            assert self._card.embedder is not None  # the card is checked for it
            camera.picture = WholePicture(self._card.embedder, self._labels)
        return camera.picture
