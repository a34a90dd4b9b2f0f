"""Random changes of training windows that keep what they show. On prepared windows, a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.actions.inputs import Kind


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """How much at most. `warp`: share of the time that may be cut away, and as much bending of what is left;
    `rotate` radians; `scale` and `shear` of a body; `jitter` in body sizes; `drop` share of joints (or of the
    values of other inputs); `flip`: mirror half of all poses."""

    warp: float = 0.4
    rotate: float = 0.25
    scale: float = 0.15
    shear: float = 0.15
    jitter: float = 0.04
    drop: float = 0.15
    flip: bool = True


class Augment:
    """A prepared batch (B, T, …) -> another of the same shape."""

    def __init__(self, kind: Kind, mirrored: Sequence[int], settings: AugmentSettings) -> None:
        self._kind = kind
        self._mirrored = torch.tensor(mirrored, dtype=torch.long)
        self._settings = settings

    def __call__(self, windows: Tensor, random: torch.Generator) -> Tensor:
        s = self._settings
        if s.warp and windows.shape[1] > 1:
            windows = warp_time(windows, s.warp, random)
        if self._kind == "pose":
            return self._poses(windows, random)
        if self._kind == "boxes":
            noise = torch.randn(windows.shape, generator=random) * s.jitter
            return windows + noise * torch.rand(len(windows), 1, 1, generator=random)
        if self._kind == "crops":
            return windows
        gain = 1 + s.scale * torch.randn(len(windows), 1, windows.shape[2], generator=random)
        kept = torch.rand(len(windows), 1, windows.shape[2], generator=random) >= s.drop
        return windows * gain * kept

    def _poses(self, windows: Tensor, random: torch.Generator) -> Tensor:
        s, n, joints = self._settings, len(windows), windows.shape[2]
        if s.flip:
            windows = torch.where(
                (torch.rand(n, generator=random) < 0.5)[:, None, None, None],
                mirror(windows, self._mirrored),
                windows,
            )
        positions = torch.einsum("btjc,bdc->btjd", windows[..., :2], self._matrices(n, random))
        loud = s.jitter * torch.rand(n, 2, generator=random)
        each = torch.randn(positions.shape, generator=random) * loud[:, :1, None, None]
        shift = torch.randn(n, 1, joints, 2, generator=random) * 2 * loud[:, 1:, None, None]
        positions = positions + each + shift
        share = s.drop * torch.rand(n, 1, 1, generator=random)
        lost = (torch.rand(n, 1, joints, generator=random) < share)[..., None]
        middle = positions.mean(dim=2, keepdim=True)
        positions = torch.where(lost, middle.expand_as(positions), positions)
        return torch.cat((positions, windows[..., 2:] * ~lost), dim=3)

    def _matrices(self, n: int, random: torch.Generator) -> Tensor:
        """(n, 2, 2): turned, scaled apart in x and y, sheared."""

        def uniform() -> Tensor:
            return torch.rand(n, generator=random) * 2 - 1

        s = self._settings
        angle, shear = s.rotate * uniform(), s.shear * uniform()
        wide, high = 1 + s.scale * uniform(), 1 + s.scale * uniform()
        first = torch.stack((wide * angle.cos(), -high * angle.sin() + shear), dim=1)
        second = torch.stack((wide * angle.sin(), high * angle.cos()), dim=1)
        return torch.stack((first, second), dim=1)


def mirror(poses: Tensor, mirrored: Tensor) -> Tensor:
    """(B, T, J, 3): left and right change places."""
    flipped = poses[:, :, mirrored]
    return torch.cat((-flipped[..., :1], flipped[..., 1:]), dim=3)


def warp_time(windows: Tensor, amount: float, random: torch.Generator) -> Tensor:
    """A part of the window, at a pace that changes: between frames linearly."""
    n, t = windows.shape[:2]
    span = 1 - amount * torch.rand(n, 1, generator=random)
    start = (1 - span) * torch.rand(n, 1, generator=random)
    even = torch.linspace(0, 1, t)[None]
    bend = 0.4 * amount * torch.randn(n, 1, generator=random)
    at = (start + span * (even + bend * torch.sin(math.pi * even) / math.pi)).clamp(0, 1) * (t - 1)
    low = at.floor().long().clamp(max=t - 2)
    share = (at - low).reshape(n, t, *[1] * (windows.ndim - 2))

    def pick(index: Tensor) -> Tensor:
        return windows.gather(1, index.reshape(n, t, *[1] * (windows.ndim - 2)).expand_as(windows))

    return pick(low) * (1 - share) + pick(low + 1) * share


def mix(
    values: Tensor, targets: list[Tensor], alpha: float, random: torch.Generator
) -> tuple[Tensor, list[Tensor]]:
    """Mixup (Zhang et al., ICLR 2018): each window with another one, labels in the same shares."""
    pair = torch._sample_dirichlet(torch.tensor([[alpha, alpha]]), generator=random)
    share = float(pair[0, 0])
    other = torch.randperm(len(values), generator=random)
    mixed = share * values + (1 - share) * values[other]
    return mixed, [share * t + (1 - share) * t[other] for t in targets]
