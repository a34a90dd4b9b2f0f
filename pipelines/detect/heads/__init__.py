"""The decode heads by name, and how a model's own is found. A new head is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipelines.detect.errors import ModelRefused
from pipelines.detect.heads.base import Candidates, Head, Signature
from pipelines.detect.heads.nanodet import NanoDet
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.detect.heads.yolov8_pose import YoloV8Pose
from pipelines.detect.heads.yolox import YoloX

__all__ = ["FOUND_BY_SHAPE", "HEADS", "Candidates", "Head", "Signature", "find_head"]

HEADS: Mapping[str, Callable[[Signature], Head | None]] = {
    "yolov8": YoloV8.match,
    "yolov8-pose": YoloV8Pose.told,
    "yolox": YoloX.raw,
    "yolox-decoded": YoloX.decoded,
    "nanodet": NanoDet.match,
}
FOUND_BY_SHAPE: tuple[Callable[[Signature], Head | None], ...] = (
    *(
        YoloV8Pose.match,
        YoloV8.match,
    ),  # in this order: a pose looks like more classes
    *(YoloX.match, NanoDet.match),
)


def find_head(model: Signature, override: str | None = None) -> Head:
    """The head that fits `model`, or the one named; raise ModelRefused, with the shapes, if none does."""
    known = ", ".join(HEADS)
    if override is not None:
        if override not in HEADS:
            raise ModelRefused(f"unknown head {override!r}: use one of {known}")
        head = HEADS[override](model)
        if head is None:
            raise ModelRefused(
                f"head {override!r} does not fit this model ({model}): known heads are {known}"
            )
        return head
    for match in FOUND_BY_SHAPE:
        head = match(model)
        if head is not None:
            return head
    raise ModelRefused(f"unknown head ({model}): export the model with one of the heads {known}")
