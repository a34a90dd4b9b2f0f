"""An exported model held against labelled data, as it runs in the daemon: without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.actions.embed import CropEmbedder
from pipelines.actions.runtime import ActionModel
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.train.actions_clips import embed_clips
from pipelines.train.actions_data import ActionData, DataRefused
from pipelines.train.actions_score import Score, per_sequence, score
from pipelines.train.actions_sources import Said, Source, open_source
from pipelines.train.actions_split import part
from pipelines.train.actions_windows import cut_windows
from pipelines.values import Floats, Image

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)


def evaluate(path: Path, source: Source, split: str, engine: str, said: Said) -> Score:
    """The first head's score on a split of the data, or on "all". Raises DataRefused or ModelRefused."""
    model = ActionModel(path, engine=engine, threads=source.threads)
    data = _data(model, source, engine, said)
    _check_fits(model, data)
    if split != "all":
        data = part(data, split)
        if not data.sequences:
            raise DataRefused(f"{source.path}: nothing of it is {split!r}: --split all takes everything")
    card = model.card
    windows = cut_windows(data, card.window, card.rate_hz, lag_s=card.lag_s, raw=True)
    probabilities = model.classify(windows.values)[0][0]
    truth, labels = windows.targets[0], card.heads[0].labels
    means, index = per_sequence(probabilities, windows.sequence)
    constant = all(len(np.unique(truth[windows.sequence == k], axis=0)) == 1 for k in index)
    if not constant:
        return score(labels, probabilities, truth)
    return score(labels, means, np.stack([truth[windows.sequence == k][0] for k in index]))


def _data(model: ActionModel, source: Source, engine: str, said: Said) -> ActionData:
    """With the model's own labels, so that one that it does not know is refused."""
    card = model.card
    labels = source.labels or card.heads[0].labels
    moved = card.embedder is not None and card.embedder.moved
    _check_detector(model, source.detector)
    named = replace(source, labels=labels, moved=moved, scene=card.of_pictures)
    if card.kind != "crops":
        return open_source(named, card.rate_hz, said)[0]
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
        progress=lambda i, n: said("embedding clips", i, n),
    )


def _check_detector(model: ActionModel, detector: Path | None) -> None:
    """Before hours of embedding: is it the detector that the model was trained with?"""
    embedder = model.card.embedder
    if model.card.kind != "features" or detector is None or embedder is None:
        return
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
    if data.heads[0].labels != card.heads[0].labels:
        raise ModelRefused(
            f"{model.path}: knows {', '.join(card.heads[0].labels)}; the data has "
            f"{', '.join(data.heads[0].labels)}: they must be the same"
        )
