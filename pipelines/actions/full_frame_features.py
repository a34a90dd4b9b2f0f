"""Features of a full frame, from any of three inputs side by side: a detector's feature maps, optical flow,
and the layout of the people that the detector found; in training as live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.actions import optical_flow as flow
from pipelines.actions import people_layout as people
from pipelines.actions.card import EmbedderCard
from pipelines.actions.compatibility import check_people
from pipelines.actions.roi_pooling import FULL_FRAME, roi_pool
from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.feature_maps import STRIDES
from pipelines.registry import create_detector
from pipelines.track.global_motion import small_grey
from pipelines.values import Detections, FeatureMaps, Floats, Frame, Image, Labels, Stamp


def sizes(card: EmbedderCard, channels: int) -> tuple[int, ...]:
    """How many values a frame has of each input; `channels` of the detector's maps, all strides together."""
    maps = channels * (1 if card.moved or card.still else 2) if card.strides else 0
    all_sizes = (maps, flow.VALUES * card.flow, people.VALUES * card.people)
    return tuple(size for size in all_sizes if size)


class FullFrameFeatures:
    """One camera's, or one clip's: what its frames are compared with. Takes every frame once, in order.

    A frame's values lie side by side; an input that the card does not name has none:

    | columns                | unit         | meaning                                                      |
    |------------------------|--------------|--------------------------------------------------------------|
    | channels (not `moved`) | of the maps  | mean of each channel over the frame (roi_pooling.py)         |
    | channels (not `still`) | of the maps  | greatest change of each channel since the frame before       |
    | optical_flow.VALUES    | pixels/frame | quantiles of the speed, then of its change (optical_flow.py) |
    | people_layout.VALUES   |              | number, overlap, distance, height (people_layout.py)         |
    """

    def __init__(self, card: EmbedderCard, labels: Labels) -> None:
        self._card = card
        self._persons = labels.mask((people.GROUP,)) if card.people else None
        self._before: FeatureMaps | None = None
        self._flow = flow.OpticalFlow()

    def extract(
        self, maps: FeatureMaps | None, detections: Detections | None, grey: Image | None, aspect: float
    ) -> Floats | None:
        """(values,) of a frame: its maps, its boxes before any rule of a camera, its `small_grey` copy and
        its width over height. None where something is missing that the model needs."""
        card = self._card
        parts: list[Floats | None] = []
        if card.strides:
            parts.append(None if maps is None else self._pooled(maps))
        if card.flow:
            parts.append(None if grey is None else self._flow.update(grey))
        if self._persons is not None:
            parts.append(
                None if detections is None else people.layout_features(detections, self._persons, aspect)
            )
        complete = [part for part in parts if part is not None]
        return np.concatenate(complete) if len(complete) == len(parts) else None

    def _pooled(self, maps: FeatureMaps) -> Floats:
        before, self._before = self._before, maps
        row: Floats = roi_pool(maps, before, FULL_FRAME, self._card.strides, moved=self._card.moved)[0]
        return row[: len(row) // 2] if self._card.still else row


class FullFrameEmbedder:
    """A clip's pictures in order -> values of the whole picture.

    The detector runs as it does in a pipeline, with the sidecar beside its file if there is one, so that live
    values are those of training; where optical flow is all that is wanted there is none. Raises ModelRefused.
    Of its maps `moved` keeps how they change alone, `still` what they hold: all that a single picture has; no
    `strides`: nothing.
    """

    def __init__(
        self,
        detector: Path | None,
        *,
        moved: bool = False,
        still: bool = False,
        flow: bool = False,
        people: bool = False,
        strides: Sequence[int] = STRIDES,
        threads: int = 1,
    ) -> None:
        self._detector: Detector | None = None
        self._labels = Labels((), ())
        self.channels, sha256 = 0, ""
        if detector is not None:
            beside = detector.with_suffix(".yaml")
            card: ModelCard | None = read_card(beside) if beside.is_file() else None
            self._detector = create_detector("auto", detector, threads=threads, sidecar=card)
            self._labels = self._detector.labels
            sha256 = str(self._detector.describe()["sha256"])
            self.channels = self._detector.enable_feature_maps(strides) if strides else 0
        self.card = EmbedderCard(
            sha256=sha256, strides=tuple(strides), moved=moved, still=still, flow=flow, people=people
        )
        if people and detector is not None:
            check_people(detector, self._labels.groups)
        self.parts = sizes(self.card, self.channels)

    @property
    def values(self) -> int:
        """How many values a frame has."""
        return sum(self.parts)

    def embed_clip(self, images: Sequence[Image]) -> Floats:
        """(T, values); the first picture has not changed."""
        rows: list[Floats] = []
        features = FullFrameFeatures(self.card, self._labels)
        pending: deque[tuple[Ticket | None, Image, float]] = deque()
        images_left = iter(images)
        depth = 1 if self._detector is None else self._detector.depth
        while True:
            image = next(images_left, None) if len(pending) < depth else None
            if image is not None:
                pending.append((self._submit(image), small_grey(image), image.shape[1] / image.shape[0]))
                continue
            if not pending:
                return np.stack(rows) if rows else np.zeros((0, self.values), np.float32)
            ticket, grey, aspect = pending.popleft()
            detections = None
            if self._detector is not None and ticket is not None:
                detections = self._detector.collect(ticket)[0]
            row = features.extract(None if detections is None else detections.maps, detections, grey, aspect)
            assert row is not None
            rows.append(row)

    def _submit(self, image: Image) -> Ticket | None:
        if self._detector is None:
            return None
        ticket = self._detector.submit([Frame(Stamp("clip", 1, 0, 0, 0, 0), image)])
        ticket.maps = bool(self.card.strides)
        return ticket
