"""DETR and its descendants as they answer themselves: logits [B, queries, classes], boxes [B, queries, 4].

Boxes are centre x, centre y, width, height as shares of the input. A query is one object, and nothing is
suppressed. Exports of Transformers call the outputs `logits` and `pred_boxes`, RF-DETR's `dets` and `labels`.
What the logits are differs, and so does how the picture is wanted; where names and numbers leave it open the
card's `head` says it. Sources: Carion et al., "End-to-End Object Detection with Transformers", arXiv
2005.12872; Zhu et al., "Deformable DETR", arXiv 2010.04159; Zhao et al., RT-DETR, arXiv 2304.08069; Peng et
al., "D-FINE", arXiv 2410.13842; Robinson et al., "RF-DETR", arXiv 2511.09554.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np

from pipelines.detect.errors import InvalidOutput, ModelRefused
from pipelines.detect.heads.base import Candidates, Head, Signature, best_of, corners
from pipelines.detect.labels import COCO_80, COCO_91
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats

_UNIT = Pixels(rgb=True, std=(255.0, 255.0, 255.0), stretched=True)
_IMAGENET = Pixels(rgb=True, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), stretched=True)
_TRANSFORMERS, _RF_DETR = frozenset({"logits", "pred_boxes"}), frozenset({"labels", "dets"})


class _Form(NamedTuple):
    """Positions of logits and boxes among the outputs, and the columns of the logits."""

    logits: int
    boxes: int
    columns: int


class DetrSigmoid(Head):
    """A score a class by the sigmoid of its logit, as in RT-DETR, RT-DETRv2 and D-FINE of Transformers: of
    all pairs of query and class the best, as many as there are queries."""

    name = "detr-sigmoid"
    pixels = _UNIT
    suppressed = True
    exact = True
    _outputs: ClassVar[frozenset[str]] = _TRANSFORMERS

    def __init__(self, model: Signature, form: _Form, classes: int) -> None:
        self.classes, self._form = classes, form
        self.usual_names = COCO_91 if classes == len(COCO_91) else ()
        self._scale = np.array([model.width, model.height] * 2, np.float32)

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        form = _form(model)
        if form is None or not cls._outputs <= {*model.names}:
            return None
        head = cls._told(model, form)
        if head is None and cls is Detr and not _fits_another(model, form):
            raise ModelRefused(
                f"{form.columns} logits a query ({model}) fit several heads: say `head: detr` (softmax, the "
                "last class is no object), `head: detr-sigmoid` or `head: rf-detr` in its sidecar, and list "
                "its classes there"
            )
        return head

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        form = _form(model)
        if form is None:
            return None
        return cls._told(model, form) or cls(model, form, form.columns)

    @classmethod
    def _told(cls, model: Signature, form: _Form) -> Self | None:
        """Where the number of logits is that of the classes, named or usual."""
        fits = form.columns == (model.classes or len(COCO_80))
        return cls(model, form, form.columns) if fits else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        logits, boxes = outputs[self._form.logits][:, : self.classes], outputs[self._form.boxes]
        if not np.isfinite(logits.max()):
            raise InvalidOutput("a score that is infinite or not a number")
        queries, class_ids = np.nonzero(logits >= _logit(min_score))
        scores = (1.0 / (1.0 + np.exp(-logits[queries, class_ids]))).astype(np.float32)
        if len(scores) > len(logits):
            best = np.argsort(-scores, kind="stable")[: len(logits)]
            queries, class_ids, scores = queries[best], class_ids[best], scores[best]
        return Candidates(corners(boxes[queries] * self._scale), scores, class_ids.astype(np.int32))


class RfDetr(DetrSigmoid):
    """The same of a picture normalised as for ImageNet: RF-DETR, whose last logit may stand for no class, and
    Deformable DETR. Without names 91 are those of COCO's annotations."""

    name = "rf-detr"
    pixels = _IMAGENET

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        form = _form(model)
        if form is None:
            return None
        if {*model.names} >= _RF_DETR:
            return cls._told(model, form) or cls(model, form, form.columns)
        deformable = {*model.names} >= _TRANSFORMERS and form.columns == len(COCO_91) and not model.classes
        return cls(model, form, form.columns) if deformable else None

    @classmethod
    def _told(cls, model: Signature, form: _Form) -> Self | None:
        fits = model.classes in (form.columns, form.columns - 1) and model.classes > 0
        return cls(model, form, model.classes) if fits else None


class Detr(DetrSigmoid):
    """A class a query, by the softmax of its logits; the last is no object. As in DETR of 2020."""

    name = "detr"
    pixels = _IMAGENET

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        form = _form(model)
        return cls(model, form, form.columns - 1) if form is not None and form.columns > 1 else None

    @classmethod
    def _told(cls, model: Signature, form: _Form) -> Self | None:
        fits = form.columns - 1 == (model.classes or len(COCO_91))
        return cls(model, form, form.columns - 1) if fits else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        logits, boxes = outputs[self._form.logits], outputs[self._form.boxes]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        queries, scores, class_ids = best_of(shares[:, :-1], min_score)
        return Candidates(corners(boxes[queries] * self._scale), scores, class_ids)


def _form(model: Signature) -> _Form | None:
    """By the names of the outputs; without them by their shapes, where these differ."""
    shapes = model.outputs
    tables = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[2] is not None]
    if len(tables) != 2 or shapes[tables[0]][1] != shapes[tables[1]][1] or len(model.outputs) != 2:
        return None
    named = [i for i in tables if model.names and model.names[i] in ("pred_boxes", "dets", "boxes")]
    boxes = next((i for i in named or tables if shapes[i][2] == 4), None)
    if boxes is None or (not named and shapes[tables[0]][2] == shapes[tables[1]][2]):
        return None
    logits = tables[1 - tables.index(boxes)]
    return _Form(logits, boxes, shapes[logits][2] or 0)


def _fits_another(model: Signature, form: _Form) -> bool:
    return any(head._told(model, form) for head in (DetrSigmoid, RfDetr) if model.classes) or (
        not model.classes and form.columns in (len(COCO_80), len(COCO_91))
    )


def _logit(score: float) -> float:
    """The inverse of the sigmoid."""
    if not 0.0 < score < 1.0:
        return -math.inf if score <= 0.0 else math.inf
    return math.log(score / (1.0 - score))
