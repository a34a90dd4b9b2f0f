"""Training on pixels: a CNN backbone below the action net, frozen or learnt with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pipelines.actions.card import EmbedderCard
from pipelines.actions.embed import MEAN, STD, crop
from pipelines.actions.model import ActionNet
from pipelines.train.actions.clips import ClipEntry, Progress, heads_of, labelled, read_frames
from pipelines.train.actions.data import ActionData, DataRefused, Labelled
from pipelines.values import Floats, Image

WHOLE = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
ROOM = 1.15  # frames are kept so much larger than the input, for crops of random size and place
FORGETS = 0.1  # share of a batch in the running means of a backbone that begins from nothing
MAX_BYTES = 6 << 30


class CropActionNet(nn.Module):
    """Windows of frame numbers (B, T, 1) -> logits and attention. The frames (N, h, w, 3) uint8 BGR lie here,
    so that a window costs nothing until it is looked at."""

    def __init__(
        self, backbone: nn.Module, net: ActionNet, frames: Image, size: tuple[int, int], frozen: bool
    ):
        super().__init__()
        self.backbone, self.net, self.frozen = backbone, net, frozen
        self.frames = torch.from_numpy(frames)
        self.wide, self.high = size
        self.register_buffer("mean", torch.from_numpy(MEAN), persistent=False)
        self.register_buffer("std", torch.from_numpy(STD), persistent=False)
        if frozen:
            for weight in backbone.parameters():
                weight.requires_grad_(False)

    def from_nothing(self) -> CropActionNet:
        """The backbone's weights are random: what it has seen so far must be forgotten quickly."""
        for layer in self.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = FORGETS
        return self

    def train(self, mode: bool = True) -> CropActionNet:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, windows: Tensor) -> tuple[list[Tensor], Tensor]:
        b, t = windows.shape[:2]
        numbers = windows[..., 0].round().long().clamp(0, len(self.frames) - 1)
        frames = self.frames[numbers.cpu()].permute(0, 1, 4, 2, 3).float()  # (B, T, 3, h, w)
        pictures = self._changed(frames) if self.training else self._resized(frames.flatten(0, 1))
        rgb = (pictures.to(windows.device).flip(1).permute(0, 2, 3, 1) - self.mean) / self.std
        planes = rgb.permute(0, 3, 1, 2).contiguous()
        embedded = self.backbone(planes).reshape(b, t, -1)
        answer: tuple[list[Tensor], Tensor] = self.net(embedded)
        return answer

    def _resized(self, pictures: Tensor) -> Tensor:
        """(N, 3, h, w) to the input's size, as the live engine scales a picture."""
        resized: Tensor = F.interpolate(
            pictures, (self.high, self.wide), mode="bilinear", antialias=True, align_corners=False
        )
        return resized

    def _changed(self, frames: Tensor) -> Tensor:
        """Cropped at a random place and size, mirrored, and of another light and contrast: alike in a whole
        window."""
        out = []
        for window in frames:
            share = 1 / ROOM + (1 - 1 / ROOM) * float(torch.rand(()))
            high, wide = (round(share * n) for n in window.shape[2:])
            y = int(torch.randint(window.shape[2] - high + 1, ()))
            x = int(torch.randint(window.shape[3] - wide + 1, ()))
            cut = self._resized(window[:, :, y : y + high, x : x + wide])
            if torch.rand(()) < 0.5:
                cut = cut.flip(3)
            gain, shift = 0.8 + 0.4 * torch.rand(1, 3, 1, 1), 40 * (torch.rand(()) - 0.5)
            out.append((cut * gain + shift).clamp(0, 255))
        return torch.cat(out)


def read_crops(
    path: Path,
    entries: Sequence[ClipEntry],
    *,
    size: tuple[int, int],
    rate_hz: float,
    labels: tuple[str, ...] = (),
    scene: bool = False,
    progress: Progress | None = None,
) -> tuple[ActionData, Image]:
    """Clips as sequences of frame numbers, and the frames. Raises DataRefused."""
    heads = heads_of(entries, labels, str(path), scene)
    larger = (round(size[0] * ROOM), round(size[1] * ROOM))
    card = EmbedderCard(sha256="0" * 64, input_size=larger, margin=0.0)
    frames: list[Image] = []
    sequences: list[Labelled] = []
    for number, entry in enumerate(entries):
        read = read_frames(entry.file, rate_hz, lambda image: crop(image, WHOLE, card))
        numbers: Floats = np.arange(len(frames), len(frames) + len(read), dtype=np.float32)[:, None]
        frames += read
        if len(frames) * larger[0] * larger[1] * 3 > MAX_BYTES:
            raise DataRefused(
                f"{path}: its frames take more than {MAX_BYTES >> 30} GiB at {larger[0]}x{larger[1]}: give a "
                "smaller --size, a lower --rate or fewer clips"
            )
        sequences.append(labelled(entry, path, heads, numbers, rate_hz))
        if progress is not None:
            progress(number + 1, len(entries))
    grouped = all(entry.group for entry in entries)
    data = ActionData("crops", 1, heads, tuple(sequences), (), grouped, whole_picture=True)
    return data, np.stack(frames)
