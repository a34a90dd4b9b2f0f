"""The detector's network: a compact anchor-free one-stage net of plain convolutions.

Follows the published line of such nets: cross-stage partial blocks (Wang et al., CSPNet, arXiv 1911.11929;
aggregation of every step as in ELAN, arXiv 2211.04800), a path-aggregation neck (Liu et al., arXiv
1803.01534), fast spatial pyramid pooling (He et al., arXiv 1406.4729), a decoupled head (Ge et al., YOLOX,
arXiv 2107.08430) and distances as distributions (Li et al., Generalized Focal Loss, arXiv 2006.04388).

Dense 3x3 and 1x1 convolutions with channels in multiples of 16 and ReLU throughout: on the matrix units of
today's processors (AMX, tensor cores) they cost a third of depthwise ones of the same accuracy, to run and to
train.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.detect.heads.base import STRIDES
from pipelines.detect.heads.yolov8 import BINS


@dataclass(frozen=True, slots=True)
class NetSettings:
    """`widths` of the five stages (strides 2 to 32), `depths` of the blocks at strides 4 to 32.

    `neck` and `head`: channels of the maps that are joined, and of each branch of the head.
    """

    classes: int = 6
    widths: tuple[int, int, int, int, int] = (16, 32, 64, 128, 256)
    depths: tuple[int, int, int, int] = (1, 1, 2, 1)
    neck: int = 64
    neck_depth: int = 1
    head: int = 32

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> NetSettings:
        sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**sizes)


def conv(inner: int, outer: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outer, eps=1e-3, momentum=0.03),
        nn.ReLU(inplace=True),
    )


class CrossStageBlock(nn.Module):
    """Splits in two halves, passes one through `depth` residual pairs, and joins every step."""

    def __init__(self, inner: int, outer: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        half = outer // 2
        self.enter = conv(inner, 2 * half, 1)
        self.steps = nn.ModuleList(nn.Sequential(conv(half, half), conv(half, half)) for _ in range(depth))
        self.leave = conv(half * (2 + depth), outer, 1)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, 1))
        for step in self.steps:
            y = step(parts[-1])
            parts.append(parts[-1] + y if self.residual else y)
        return self.leave(torch.cat(parts, 1))


class Pooling(nn.Module):
    """Three max poolings in a row, joined: what is near, at four distances."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = conv(width, width // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = conv(width * 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class DetectorNet(nn.Module):
    """(B, 3, H, W) RGB from 0 to 1, sides multiples of 32 -> raw answers of all cells.

    forward() gives class logits (B, classes, cells) and distance logits (B, 4 * BINS, cells), cells level by
    level (strides 8, 16, 32), rows first.
    """

    def __init__(self, settings: NetSettings | None = None) -> None:
        super().__init__()
        self.settings = s = settings or NetSettings()
        w, d, n, h = s.widths, s.depths, s.neck, s.head
        self.stem = conv(3, w[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(w[i], w[i + 1], 3, 2), CrossStageBlock(w[i + 1], w[i + 1], d[i]))
            for i in range(4)
        )
        self.pooling = Pooling(w[4])
        self.lateral = nn.ModuleList(conv(width, n, 1) for width in w[2:])
        self.down_path = nn.ModuleList(CrossStageBlock(2 * n, n, s.neck_depth, False) for _ in range(2))
        self.shrink = nn.ModuleList(conv(n, n, 3, 2) for _ in range(2))
        self.up_path = nn.ModuleList(CrossStageBlock(2 * n, n, s.neck_depth, False) for _ in range(2))
        self.classes = nn.ModuleList(nn.Sequential(conv(n, h), nn.Conv2d(h, s.classes, 1)) for _ in STRIDES)
        self.distances = nn.ModuleList(nn.Sequential(conv(n, h), nn.Conv2d(h, 4 * BINS, 1)) for _ in STRIDES)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for level, stride in enumerate(STRIDES):  # about 5 objects in a picture of 640 pixels
            last = self.classes[level][-1]
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, math.log(5 / self.settings.classes / (640 / stride) ** 2))
            nn.init.normal_(self.distances[level][-1].weight, std=0.01)
            nn.init.constant_(self.distances[level][-1].bias, 1.0)

    def levels(self, x: Tensor) -> list[Tensor]:
        """The neck's three maps (B, neck, H / stride, W / stride)."""
        x = self.stages[0](self.stem(x))
        c3 = self.stages[1](x)
        c4 = self.stages[2](c3)
        c5 = self.pooling(self.stages[3](c4))
        p3, p4, p5 = (side(c) for side, c in zip(self.lateral, (c3, c4, c5), strict=True))
        p4 = self.down_path[0](torch.cat((p4, _double(p5)), 1))
        p3 = self.down_path[1](torch.cat((p3, _double(p4)), 1))
        n4 = self.up_path[0](torch.cat((self.shrink[0](p3), p4), 1))
        n5 = self.up_path[1](torch.cat((self.shrink[1](n4), p5), 1))
        return [p3, n4, n5]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.levels(x)
        logits = [head(m).flatten(2) for head, m in zip(self.classes, maps, strict=True)]
        distances = [head(m).flatten(2) for head, m in zip(self.distances, maps, strict=True)]
        return torch.cat(logits, 2), torch.cat(distances, 2)


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
