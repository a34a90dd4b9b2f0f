"""How a run changes with its progress from 0 to 1: learning rate, size of the pictures, mosaics."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_STEPS = 200
LAST_RATE = 0.02  # of the first
PLAIN = 0.92  # progress from which mosaics and pasting are rare: the end is trained on whole pictures


@dataclass(frozen=True, slots=True)
class Schedule:
    """`sizes`: pairs of (progress from which it holds, pixels), rising."""

    rate: float
    sizes: tuple[tuple[float, int], ...]

    def rate_at(self, progress: float, step: int) -> float:
        """Cosine (Loshchilov & Hutter, arXiv 1608.03983) after a linear warm-up."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
        warm = min(1.0, (step + 1) / WARM_STEPS)
        return self.rate * warm * (LAST_RATE + (1 - LAST_RATE) * cosine)

    def size_at(self, progress: float) -> int:
        return [size for start, size in self.sizes if progress >= start][-1]


def parse_sizes(text: str) -> tuple[tuple[float, int], ...]:
    """`320@0,416@0.75` -> ((0.0, 320), (0.75, 416)). Raises ValueError, saying what is wrong."""
    sizes = []
    for part in text.split(","):
        size, _, start = part.partition("@")
        try:
            pair = float(start or 0), int(size)
        except ValueError:
            raise ValueError(f"{part!r} is not SIZE@PROGRESS, such as 416@0.75") from None
        if pair[1] % 32 or not 64 <= pair[1] <= 2048 or not 0 <= pair[0] < 1:
            raise ValueError(f"{part!r}: sizes are multiples of 32 from 64 to 2048, progress from 0 to 1")
        sizes.append(pair)
    if sizes[0][0] != 0 or sizes != sorted(sizes):
        raise ValueError(f"{text!r}: the first size starts at 0 and the others follow in order")
    return tuple(sizes)
