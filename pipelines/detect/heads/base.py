"""What a decode head is: it turns a model's raw answer to one frame into candidate boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from pipelines.detect.errors import InvalidOutput
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats, Ints

Shape = tuple[int | None, ...]  # None: free
STRIDES = (8, 16, 32)  # pixels of the input between two cells, per level


@dataclass(frozen=True, slots=True)
class Signature:
    """A model from outside: input size in pixels, output shapes in the model's order, and its own words.

    `classes` and `joints`: how many the sidecar or the metadata names; 0: they name none.
    """

    width: int
    height: int
    outputs: tuple[Shape, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    operators: frozenset[str] = frozenset()
    classes: int = 0
    joints: int = 0

    def cells(self, strides: Sequence[int] = STRIDES) -> int:
        """How many cells the grids of `strides` have together."""
        return sum(_grid(self.width, s) * _grid(self.height, s) for s in strides)

    def __str__(self) -> str:
        def show(shape: Shape) -> str:
            return "[" + ",".join("?" if n is None else str(n) for n in shape) + "]"

        return f"input {self.width}x{self.height}, outputs {', '.join(show(s) for s in self.outputs)}"


class Candidates(NamedTuple):
    """Boxes at or above the asked score, not yet suppressed, in pixels of the model's input.

    Joints of poses have their place and a score; neither need be a sensible number.

    | column of keypoints | unit | meaning |
    |---|---|---|
    | 0, 1 | pixels of the input | x, y of the joint |
    | 2 | 0 to 1 | how sure it is to be seen |
    """

    boxes_xyxy: Floats  # (N, 4)
    scores: Floats  # (N,)
    class_ids: Ints  # (N,)
    keypoints: Floats | None = None  # (N, J, 3)


class Head(ABC):
    """`classes` is how many classes it tells apart, `joints` how many keypoints it gives of each box,
    `pixels` how it wants its picture."""

    name: ClassVar[str]
    pixels: ClassVar[Pixels]
    classes: int
    joints: int = 0

    @classmethod
    def match(cls, model: Signature) -> Self | None:  # noqa: ARG003
        """The head of `model` where its signature is one of this kind; None: it is of another."""
        return None

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        """As match(), where the model's card names this head: what fits is enough."""
        return cls.match(model)

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:  # noqa: ARG002
        """Another OpenVINO graph that costs less, and the head that reads it; None: run `graph` as it is.

        `size`: width and height of the input that it will be compiled for.
        """
        return None

    @abstractmethod
    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        """`outputs`: one frame's share of each output, without the batch axis.

        Raises InvalidOutput where scores are not numbers from 0 to 1.
        """


def check_scores(top: float) -> None:
    """`top` is the highest score of a frame; a maximum carries any NaN of its scores with it."""
    if not top <= 1.001:  # also true for NaN; bf16 rounds to 1.0
        raise InvalidOutput(f"a score of {top:.3g}, where 0 to 1 is possible")


def centres(width: int, height: int, strides: Sequence[int] = STRIDES) -> tuple[Floats, Floats, Floats]:
    """x and y index of each cell in its grid and its stride: three (cells,) float32, level by level."""
    xs, ys, ss = [], [], []
    for stride in strides:
        y, x = np.mgrid[: _grid(height, stride), : _grid(width, stride)]
        xs.append(x.ravel())
        ys.append(y.ravel())
        ss.append(np.full(x.size, stride))
    return tuple(np.concatenate(a).astype(np.float32) for a in (xs, ys, ss))  # type: ignore[return-value]


def distances(logits: Floats) -> Floats:
    """(4, bins, N) logits -> (4, N): the mean of each side's distribution over 0, 1, 2 … strides."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean: Floats = (np.arange(logits.shape[1], dtype=np.float32) @ weights) / weights.sum(axis=1)
    return mean


def _grid(size: int, stride: int) -> int:
    return -(-size // stride)
