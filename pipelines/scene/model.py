"""A classifier of single pictures: what the whole of it shows, as probabilities of each head's labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines.actions.card import HeadCard
from pipelines.actions.embed import CropEmbedder
from pipelines.actions.full_frame_features import FullFrameEmbedder
from pipelines.actions.runtime import ActionModel
from pipelines.detect.errors import ModelRefused
from pipelines.values import Floats, Image

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
FindDetector = Callable[[str], Path | None]  # by the SHA-256 of its file


def no_detector(sha256: str) -> Path | None:  # noqa: ARG001
    """Where no detectors are at hand."""
    return None


class SceneModel:
    """An exported model of windows of one frame, with what embeds a picture: its backbone, or the detector
    whose feature maps it was trained on, which `find_detector` finds.

    Shared by cameras, used by one thread. Raises ModelRefused.
    """

    def __init__(
        self, path: Path, *, find_detector: FindDetector = no_detector, engine: str = "onnx", threads: int = 1
    ) -> None:
        self._model = ActionModel(path, engine=engine, threads=threads)
        card = self._model.card
        if not card.of_pictures:
            raise ModelRefused(
                f"{path}: looks at windows of {card.window} frames, not at single pictures: use it with "
                "--actions, or train a scene from pictures (`streamer actions train`)"
            )
        if several := [head.name for head in card.heads if head.kind == "sigmoid"]:
            raise ModelRefused(
                f"{path}: head {several[0]!r} has several labels at once, a scene is one: train it with one "
                "label a picture, and with a head (`label.NAME`) for each question"
            )
        self._embed = self._embedder(path, find_detector, threads)
        self.classify(np.zeros((36, 64, 3), np.uint8))  # better refused now than at the first frame

    def _embedder(self, path: Path, find: FindDetector, threads: int) -> Callable[[Image], Floats]:
        card = self._model.card
        if card.kind == "crops":
            crops = CropEmbedder(path, card, threads=threads)
            return lambda image: crops.embed(image, WHOLE)
        assert card.embedder is not None  # the card saw to it
        sha256 = card.embedder.sha256
        detector = find(sha256)
        if detector is None:
            raise ModelRefused(
                f"{path}: was trained on the feature maps of a detector that is not there (SHA-256 "
                f"{sha256[:12]}…): add it with `streamer model add FILE.onnx`"
            )
        maps = FullFrameEmbedder(
            detector, strides=card.embedder.strides, still=card.embedder.still, threads=threads
        )
        if maps.values != card.size:
            raise ModelRefused(f"{path}: takes {card.size} values, {detector} gives {maps.values}")
        return lambda image: maps.embed_clip([image])

    @property
    def heads(self) -> tuple[HeadCard, ...]:
        return self._model.card.heads

    @property
    def sha256(self) -> str:
        return self._model.sha256

    @property
    def path(self) -> Path:
        return self._model.path

    def classify(self, image: Image) -> list[list[float]]:
        """(H, W, 3) BGR -> for each head the probability of each of its labels."""
        answers, _ = self._model.classify(self._embed(image)[:, None])
        return [answer[0].tolist() for answer in answers]
