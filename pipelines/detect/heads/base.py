"""What a decode head is: it turns a model's raw answer to one frame into candidate boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from pipelines.detect.errors import InvalidOutput
from pipelines.detect.heads.signature import STRIDES, Shape, Signature, grid
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats, Ints

__all__ = [
    "STRIDES",
    "Candidates",
    "Head",
    "Shape",
    "Signature",
    "best_of",
    "centres",
    "check_class_ids",
    "check_scores",
    "corners",
    "distances",
]


class Candidates(NamedTuple):
    """Boxes at or above the asked score, not yet suppressed, in pixels of the model's input.

    Joints of poses have their place and a score; neither need be a sensible number. `rotated` are boxes that
    stand at an angle, for suppression: centre x, y, width, height in pixels, angle in radians (clockwise, as
    y goes down); `boxes_xyxy` are then the upright boxes around them. Of masks there are the coefficients of
    each box and the frame's prototypes, which cover the whole input; a view of the engine's memory.

    | column of keypoints | unit | meaning |
    |---|---|---|
    | 0, 1 | pixels of the input | x, y of the joint |
    | 2 | 0 to 1 | how sure it is to be seen |
    """

    boxes_xyxy: Floats  # (N, 4)
    scores: Floats  # (N,)
    class_ids: Ints  # (N,)
    keypoints: Floats | None = None  # (N, J, 3)
    rotated: Floats | None = None  # (N, 5)
    coefficients: Floats | None = None  # (N, M)
    prototypes: Floats | None = None  # (M, h, w)


class Head(ABC):
    """`classes` is how many classes it tells apart, `joints` how many keypoints it gives of each box,
    `pixels` how it wants its picture.

    `usual_names` are its classes where neither the card nor the file names any; `classes_in_shape`: whether
    the number of classes is seen in the outputs, else it is as many as are named. `suppressed`: its boxes are
    final, one an object of a class. `batched`: outputs have a batch axis. `exact`: it computes boxes within
    the net, and needs float32 for that. `masks`: whether it gives them.
    """

    name: ClassVar[str]
    pixels: ClassVar[Pixels]
    classes: int
    joints: int = 0
    usual_names: tuple[str, ...] = ()
    classes_in_shape: ClassVar[bool] = True
    suppressed: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    batched: bool = True
    masks: bool = False

    @classmethod
    def match(cls, model: Signature) -> Self | None:  # noqa: ARG003
        """The head of `model` where its signature is one of this kind; None: it is of another."""
        return None

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        """As match(), where the model's card names this head: what fits is enough."""
        return cls.match(model)

    def with_masks(self) -> Head | None:
        """The head that gives masks besides; None: this model has none, or its family's are not read."""
        return None

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:  # noqa: ARG002
        """Another OpenVINO graph that costs less, and the head that reads it; None: run `graph` as it is.

        `size`: width and height of the input that it will be compiled for.
        """
        return None

    def check(self, outputs: Sequence[Floats]) -> None:  # noqa: B027
        """Look at the answer to a plain grey picture. Raises InvalidOutput where it is of another head."""

    @abstractmethod
    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        """`outputs`: one frame's share of each output, without the batch axis.

        Raises InvalidOutput where scores are not numbers from 0 to 1.
        """


def check_scores(top: float) -> None:
    """`top` is the highest score of a frame; a maximum carries any NaN of its scores with it."""
    if not top <= 1.001:  # also true for NaN; bf16 rounds to 1.0
        raise InvalidOutput(f"a score of {top:.3g}, where 0 to 1 is possible")


def check_class_ids(class_ids: Floats, classes: int) -> Ints:
    """As int32. Raises InvalidOutput where one is no class of a model of so many."""
    wrong = ~((class_ids >= 0) & (class_ids < classes))  # also true for NaN
    if wrong.any():
        raise InvalidOutput(f"a class {class_ids[wrong][0]:g}, where the model has 0 to {classes - 1}")
    return class_ids.astype(np.int32)


def corners(boxes_xywh: Floats) -> Floats:
    """(N, 4) centre x, y, width, height -> (N, 4) left, top, right, bottom."""
    half = boxes_xywh[:, 2:] / np.float32(2)
    return np.concatenate((boxes_xywh[:, :2] - half, boxes_xywh[:, :2] + half), axis=1)


def best_of(scores: Floats, min_score: float) -> tuple[Any, Floats, Ints]:
    """Of scores (N, classes) the rows whose best reaches `min_score`, those scores, and their classes; of
    equal ones the first. Raises InvalidOutput for what is no score."""
    best = scores.max(axis=1, initial=0.0)
    check_scores(float(best.max(initial=0.0)))
    rows = np.flatnonzero(best >= min_score)
    return rows, best[rows], scores[rows].argmax(axis=1).astype(np.int32)


def centres(width: int, height: int, strides: Sequence[int] = STRIDES) -> tuple[Floats, Floats, Floats]:
    """x and y index of each cell in its grid and its stride: three (cells,) float32, level by level."""
    xs, ys, ss = [], [], []
    for stride in strides:
        y, x = np.mgrid[: grid(height, stride), : grid(width, stride)]
        xs.append(x.ravel())
        ys.append(y.ravel())
        ss.append(np.full(x.size, stride))
    return tuple(np.concatenate(a).astype(np.float32) for a in (xs, ys, ss))  # type: ignore[return-value]


def distances(logits: Floats) -> Floats:
    """(4, bins, N) logits -> (4, N): the mean of each side's distribution over 0, 1, 2 … strides."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean: Floats = (np.arange(logits.shape[1], dtype=np.float32) @ weights) / weights.sum(axis=1)
    return mean
