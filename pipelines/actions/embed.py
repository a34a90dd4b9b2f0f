"""Values of a frame made from pixels: crops through a backbone, or a detector's own feature maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pipelines.actions.card import ActionCard, EmbedderCard
from pipelines.actions.runtime import open_graph
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.values import Floats, Image

# Of ImageNet, in RGB: what published backbones were trained with.
MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
MIN_CROP_PX = 2  # pixels


class CropEmbedder:
    """Boxes of a picture -> (N, D) by the backbone that the card names. Raises ModelRefused."""

    def __init__(self, model_path: Path, card: ActionCard, *, engine: str = "openvino", threads: int = 1):
        embedder = card.embedder
        if embedder is None or not embedder.file:
            raise ModelRefused(f"{model_path}: its sidecar names no backbone: export it again")
        path = model_path.parent / Path(embedder.file).name
        digest = sha256_of(path)
        if digest != embedder.sha256:
            raise ModelRefused(
                f"{path}: not the backbone that {model_path.name} was trained with (SHA-256 {digest[:12]}…, "
                f"expected {embedder.sha256[:12]}…): copy the right one beside it"
            )
        self._card = embedder
        self._size = card.size
        self._run = open_graph(path, engine, threads)

    def embed(self, image: Image, boxes_xyxyn: Floats) -> Floats:
        """(H, W, 3) BGR and (N, 4) -> (N, D)."""
        if not len(boxes_xyxyn):
            return np.zeros((0, self._size), np.float32)
        pixels = np.stack([crop(image, box, self._card) for box in boxes_xyxyn])
        return self._run(to_planes(pixels))[0]


def crop(image: Image, box_xyxyn: Floats, card: EmbedderCard) -> Image:
    """The box with its margin, padded to the input's aspect with grey, as (h, w, 3) uint8 BGR."""
    high, wide = image.shape[:2]
    x1, y1, x2, y2 = (box_xyxyn * np.array([wide, high, wide, high])).tolist()
    mx, my = (x2 - x1) * card.margin / 2, (y2 - y1) * card.margin / 2
    left, top = max(0, int(x1 - mx)), max(0, int(y1 - my))
    right, bottom = min(wide, int(x2 + mx) + 1), min(high, int(y2 + my) + 1)
    canvas: Image = np.full((card.input_size[1], card.input_size[0], 3), 114, np.uint8)
    if right - left < MIN_CROP_PX or bottom - top < MIN_CROP_PX:
        return canvas
    scale = min(card.input_size[0] / (right - left), card.input_size[1] / (bottom - top))
    width, height = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    width, height = min(width, card.input_size[0]), min(height, card.input_size[1])
    x, y = (card.input_size[0] - width) // 2, (card.input_size[1] - height) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[y : y + height, x : x + width] = cv2.resize(
        image[top:bottom, left:right], (width, height), interpolation=how
    )
    return canvas


def to_planes(pixels_bgr: Image) -> Floats:
    """(N, h, w, 3) uint8 BGR -> (N, 3, h, w) float32 RGB, normalised as ImageNet's."""
    rgb = (pixels_bgr[..., ::-1].astype(np.float32) - MEAN) / STD
    return np.ascontiguousarray(rgb.transpose(0, 3, 1, 2), np.float32)
