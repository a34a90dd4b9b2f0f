"""An exported model held against labelled data, as it runs in the daemon: without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.actions.embed import CropEmbedder
from pipelines.actions.runtime import ActionModel
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.train.actions.clips import embed_clips
from pipelines.train.actions.data import ActionData, DataRefused
from pipelines.train.actions.score import AnyScore, judge
from pipelines.train.actions.sources import DataSource, Report, inputs_of, open_source
from pipelines.train.actions.split import part
from pipelines.train.actions.windows import cut_windows
from pipelines.values import Floats, Image

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)


def evaluate(path: Path, source: DataSource, split: str, engine: str, report: Report) -> dict[str, AnyScore]:
    """Each head's score by its name on a split of the data, or on "all"; of heads that the data has labels
    for. Raises DataRefused or ModelRefused."""
    model = ActionModel(path, engine=engine, threads=source.threads)
    data = _data(model, source, engine, report)
    _check_fits(model, data)
    if split != "all":
        data = part(data, split)
        if not data.sequences:
            raise DataRefused(f"{source.path}: nothing of it is {split!r}: --split all takes everything")
    card = model.card
    windows = cut_windows(data, card.window, card.rate_hz, lag_s=card.lag_s, fill=card.fill, raw=True)
    answers = dict(zip([head.name for head in card.heads], model.classify(windows.values)[0], strict=True))
    head_by_name = {head.name: head for head in card.heads}
    scores = {}
    for head, true in zip(data.heads, windows.targets, strict=True):
        of_model = head_by_name[head.name]
        columns = np.zeros((len(true), len(of_model.labels)), np.float32)
        columns[:, [of_model.labels.index(label) for label in head.labels]] = np.nan_to_num(true)
        columns[~np.isfinite(true).all(axis=1)] = np.nan
        several = of_model.kind == "sigmoid"
        scores[head.name] = judge(of_model.labels, several, answers[head.name], columns, windows.sequence)
    return scores


def _data(model: ActionModel, source: DataSource, engine: str, report: Report) -> ActionData:
    """With the model's own labels, so that one that it does not know is refused."""
    card = model.card
    labels = source.labels or card.heads[0].labels
    inputs = inputs_of(card.embedder) if card.kind == "features" and card.embedder is not None else ()
    _check_inputs(model, inputs, source.inputs)
    _check_detector(model, source)
    named = replace(source, labels=labels, inputs=inputs, scene=card.of_pictures)
    if card.kind != "crops":
        return open_source(named, card.rate_hz, report)[0]
    embedder = CropEmbedder(model.path, card, engine=engine, threads=source.threads)

    def embed(images: list[Image]) -> Floats:
        return np.concatenate([embedder.embed(image, WHOLE) for image in images])

    return embed_clips(
        named.path,
        named.clips(),
        lambda images: embed(list(images)),
        kind="crops",
        size=card.size,
        rate_hz=card.rate_hz or 8.0,
        labels=labels,
        scene=card.of_pictures,
        progress=lambda i, n: report("embedding clips", i, n),
    )


def _check_inputs(model: ActionModel, inputs: tuple[str, ...], asked: tuple[str, ...]) -> None:
    if asked and set(asked) != set(inputs):
        raise ModelRefused(
            f"{model.path}: was trained on {', '.join(inputs) or model.card.kind}, "
            f"not on {', '.join(asked)}: leave --inputs out"
        )


def _check_detector(model: ActionModel, source: DataSource) -> None:
    """Before hours of embedding: is it the detector that the model was trained with?"""
    embedder, detector = model.card.embedder, source.detector
    if model.card.kind != "features" or embedder is None or not embedder.sha256 or not source.is_clips():
        return
    if detector is None:
        raise ModelRefused(
            f"{model.path}: clips are embedded by the detector that it was trained with (SHA-256 "
            f"{embedder.sha256[:12]}…): give that one as --detector"
        )
    digest = sha256_of(detector)
    if digest != embedder.sha256:
        raise ModelRefused(
            f"{model.path}: was trained on the feature maps of another detector (SHA-256 "
            f"{embedder.sha256[:12]}…, {detector} has {digest[:12]}…): give that one as --detector"
        )


def _check_fits(model: ActionModel, data: ActionData) -> None:
    card = model.card
    if (data.kind, data.size) != (card.kind, card.size):
        raise ModelRefused(
            f"{model.path}: takes {card.kind} of {card.size} values a frame, the data has {data.kind} of "
            f"{data.size}: give the data that it was trained for"
        )
    labels_of = {head.name: head.labels for head in card.heads}
    for head in data.heads:
        if head.name not in labels_of:
            raise ModelRefused(f"{model.path}: has no head {head.name!r}; it has {', '.join(labels_of)}")
        if strange := [label for label in head.labels if label not in labels_of[head.name]]:
            raise ModelRefused(
                f"{model.path}: head {head.name!r} knows {', '.join(labels_of[head.name])}, and not the "
                f"label {strange[0]!r} of the data: take it out, or train a model that knows it"
            )
