"""How a graph takes its picture: which of its inputs, in which layout and kind, and what else it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.detect.errors import ModelRefused
from pipelines.detect.heads.signature import Shape, shown
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats

KINDS = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}  # of a picture's numbers
_WHOLE = {"i64": np.int64, "i32": np.int32}
_CHANNELS = (3, None)


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input as an engine shows it: `kind` is OpenVINO's name for its type, such as f32 or i64."""

    name: str
    shape: Shape
    kind: str


@dataclass(frozen=True, slots=True)
class PictureInput:
    """The input for the picture: `shape` is (B, 3, H, W) whatever its `layout` (NCHW, NHWC, CHW or HWC).

    `sizes` is a second input [B, 2] that wants (width, height) of the picture in which boxes are meant.
    """

    name: str
    shape: Shape
    layout: str
    kind: str
    sizes: GraphInput | None = None

    @property
    def batch(self) -> int | None:
        """How many pictures a run takes; None: as many as it is given."""
        return self.shape[0]

    @property
    def plain(self) -> bool:
        """Whether it is the only input, (B, 3, H, W) of float32."""
        return self.layout == "NCHW" and self.kind == "f32" and self.sizes is None

    def pixels(self, wanted: Pixels) -> Pixels:
        """What a head wants, less the arithmetic where the graph takes bytes and does that by itself."""
        return wanted.as_bytes() if self.kind == "u8" else wanted

    def feed(self, blob: Floats) -> dict[str, Any]:
        """What a run is given by name, of pictures (B, 3, H, W) float32."""
        fed: dict[str, Any] = {self.name: self._laid_out(blob)}
        if self.sizes is not None:
            size = [blob.shape[3], blob.shape[2]]
            fed[self.sizes.name] = np.array([size] * len(blob), _WHOLE.get(self.sizes.kind, np.float32))
        return fed

    def _laid_out(self, blob: Floats) -> Any:
        axes = {"NHWC": (0, 2, 3, 1), "HWC": (0, 2, 3, 1)}.get(self.layout)
        value = blob if axes is None else np.ascontiguousarray(blob.transpose(axes))
        return (value[0] if len(self.layout) == 3 else value).astype(KINDS[self.kind], copy=False)


def picture_input(inputs: Sequence[GraphInput]) -> PictureInput:
    """Raises ModelRefused where it is not one picture that the graph takes, and at most sizes beside it."""
    sizes = [each for each in inputs if len(each.shape) == 2 and each.shape[1] == 2]
    pictures = [each for each in inputs if each not in sizes]
    if len(pictures) != 1 or len(sizes) > 1:
        names = ", ".join(each.name for each in inputs)
        raise ModelRefused(f"{len(inputs)} inputs ({names}), where a detector has one, for the picture")
    picture = pictures[0]
    layout = _layout(picture.shape)
    if not layout:
        raise ModelRefused(f"input {shown(picture.shape)} is not a picture [B,3,H,W]: not a detector?")
    if picture.kind not in KINDS:
        raise ModelRefused(
            f"input of {picture.kind}, where a picture is of {', '.join(KINDS)}: export it anew"
        )
    places = [layout.find(axis) for axis in "NCHW"]
    shape = tuple(1 if place < 0 else picture.shape[place] for place in places)
    return PictureInput(picture.name, shape, layout, picture.kind, sizes[0] if sizes else None)


def _layout(shape: Shape) -> str:
    """Where the channels stand; first wherever they can. Empty where the shape is none of a picture."""
    batch = {3: "", 4: "N"}.get(len(shape))
    if batch is None:
        return ""
    if shape[len(batch)] in _CHANNELS and not (shape[len(batch)] is None and shape[-1] == 3):
        return f"{batch}CHW"
    return f"{batch}HWC" if shape[-1] == 3 else ""
