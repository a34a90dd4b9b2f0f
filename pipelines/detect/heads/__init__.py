"""The decode heads, and how a model's own is found. A new head is one file and one line here."""

from __future__ import annotations

from pkgutil import resolve_name

from pipelines.detect.errors import ModelRefused
from pipelines.detect.heads.base import Candidates, Head, Signature

__all__ = ["HEADS", "Candidates", "Head", "Signature", "find_head"]

# The first that matches a model is its head.
HEADS: tuple[type[Head], ...] = tuple(
    resolve_name(f"{__name__}.{entry}")
    for entry in (
        "end_to_end:EndToEndObb",
        "yolov8_obb:YoloV8Obb",  # before those that take its angle for a class more
        "rtdetr:RtDetr",  # before EndToEnd, to which its boxes look like pixels
        "end_to_end:EndToEnd",
        "yolov8_pose:YoloV8Pose",  # before YoloV8, to which joints look like more classes
        "yolov8:YoloV8",
        "yolov8_seg:YoloV8Seg",
        "yolov5:YoloV5",
        "yolox:YoloX",
        "yolox:YoloXDecoded",
        "nanodet:NanoDet",
        "detr:DetrSigmoid",
        "detr:RfDetr",
        "detr:Detr",
        "dfine:Dfine",
        "torchvision:TorchVision",
    )
)


def find_head(model: Signature, override: str | None = None) -> Head:
    """The head that fits `model`, or the one named; raise ModelRefused, with the shapes, if none does."""
    names = ", ".join(head.name for head in HEADS)
    if override is None:
        matches = (each.match(model) for each in HEADS)
        head = next((match for match in matches if match is not None), None)
        if head is None:
            raise ModelRefused(f"unknown head ({model}): export the model with one of the heads {names}")
        return head
    named = next((each for each in HEADS if each.name == override), None)
    if named is None:
        raise ModelRefused(f"unknown head {override!r}: use one of {names}")
    head = named.match_named(model)
    if head is None:
        raise ModelRefused(f"head {override!r} does not fit this model ({model}): known heads are {names}")
    return head
