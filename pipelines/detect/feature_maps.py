"""A detector's own feature maps: which of its tensors they are, and one frame's share of them.

At each stride the map is taken where boxes and classes part ways: the last tensor that at least two
convolutions read. Every published head of YOLOX, YOLOv8 and YOLO11 has one. Each engine finds in its own way
the tensors that branch so; the choice among them is made here.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.detect.errors import ModelRefused
from pipelines.detect.heads.base import Shape
from pipelines.detect.letterbox import LetterboxPlacement
from pipelines.values import FeatureMaps, Floats

STRIDES = (16, 32)  # of a detector's three maps the two that hold whole objects


def choose_maps(
    branching: Sequence[Shape], size: tuple[int, int], strides: Sequence[int], where: str
) -> list[int]:
    """Positions of the maps at `strides` among the shapes (B, C, h, w), in the graph's order, of tensors that
    branch; `size` is the input's (width, height). Raises ModelRefused where there is none."""
    outputs = []
    for stride in strides:
        map_size = (size[1] // stride, size[0] // stride)
        fitting = [i for i, shape in enumerate(branching) if len(shape) == 4 and shape[2:] == map_size]
        if not fitting:
            raise ModelRefused(
                f"{where}: has no feature map of stride {stride} where boxes and classes part: use a YOLOv8, "
                "YOLO11 or YOLOX"
            )
        outputs.append(fitting[-1])
    return outputs


def frame_maps(
    strides: Sequence[int], maps: Sequence[Floats], place: LetterboxPlacement, size: tuple[int, int]
) -> FeatureMaps:
    """The maps (h, w, C) of a picture that lies at `place` in an input of `size` (width, height)."""
    wide, high = size
    return FeatureMaps(
        tuple(strides),
        tuple(maps),
        (place.left / wide, place.top / high),
        (place.width / wide, place.height / high),
    )
