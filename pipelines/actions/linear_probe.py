"""Linear probes of frozen features: a window is summed up by the mean and the deviation of each value over
its frames, and one linear layer answers. For embeddings of few clips, of which larger nets learn the scenes
by heart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MAX_DEVIATIONS = 4.0  # deviations from the mean of the training set; what is further away tells no more


def window_statistics(windows: Tensor, single: bool) -> Tensor:
    """(B, T, F) -> (B, 2 F): the mean, then the deviation; (B, F) of `single` pictures, which have none."""
    mean = windows.mean(dim=1)
    if single:
        return mean
    spread = ((windows - mean[:, None]).square().mean(dim=1) + 1e-8).sqrt()
    return torch.cat((mean, spread), dim=1)


def uniform_attention(windows: Tensor) -> Tensor:
    """The attention (B, T) of a probe, for which all frames count alike."""
    return torch.full_like(windows[:, :, 0], 1.0) / windows.shape[1]


class LinearProbe(nn.Module):
    """Learnt step by step: (B, T, F) -> logits (B, C) for each of `answers`, and attention (B, T)."""

    def __init__(self, size: int, answers: Sequence[int], single: bool, dropout: float) -> None:
        super().__init__()
        width = size * (1 if single else 2)
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.drop = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(width, n) for n in answers)
        self.single = single

    def forward(self, windows: Tensor) -> tuple[list[Tensor], Tensor]:
        summary = self.drop(self.norm(window_statistics(windows, self.single)))
        return [head(summary) for head in self.heads], uniform_attention(windows)


class RidgeProbe(nn.Module):
    """Found in closed form (ridge regression: Hoerl and Kennard, 1970) by pipelines/train/actions/ridge.py.

    The summary's signed root is taken, since motion has a long tail; then its place in the training set's
    spread. `parts`: of how many values each of a frame's inputs is; all inputs together weigh the same,
    however many values each has.
    """

    def __init__(self, parts: Sequence[int], answers: Sequence[int], single: bool) -> None:
        super().__init__()
        self.single = single
        times = 1 if single else 2
        each = torch.tensor([n for n in parts for _ in range(n)], dtype=torch.float32)
        width = times * len(each)
        scale = 1 / (times * each * len(parts)).sqrt()
        self.register_buffer("scale", scale.repeat(times), persistent=False)
        self.register_buffer("middle", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.heads = nn.ModuleList(nn.Linear(width, n) for n in answers)
        for head in self.heads:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def signed_roots(self, windows: Tensor) -> Tensor:
        """(B, T, F) -> (B, D): what middle and spread are taken of."""
        summary = window_statistics(windows, self.single)
        return summary.sign() * summary.abs().sqrt()

    def standardise(self, roots: Tensor) -> Tensor:
        """(B, D) -> (B, D): what the linear layers take."""
        return ((roots - self.middle) / self.spread).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS) * self.scale

    def forward(self, windows: Tensor) -> tuple[list[Tensor], Tensor]:
        standardised = self.standardise(self.signed_roots(windows))
        return [head(standardised) for head in self.heads], uniform_attention(windows)
