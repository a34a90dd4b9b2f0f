"""From a trained net to files that run without torch: the graph as ONNX, and its card with the SHA-256.

Probabilities are calibrated inside the graph. What is written is run on both engines first and held against
torch; nothing is left behind where they differ.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.actions.card import ActionCard, EmbedderCard, HeadCard, write_action_card
from pipelines.actions.inputs import prepare
from pipelines.actions.model import ActionNet
from pipelines.actions.runtime import ATTENTION, ENGINES, ActionModel, open_graph
from pipelines.detect.model import sha256_of
from pipelines.train.actions.data import DataRefused
from pipelines.train.actions.train import Trained
from pipelines.values import Floats

TOLERANCE = 1e-3
OPSET = 17


class _Answer(nn.Module):
    """Windows -> calibrated probabilities of each head, and attention."""

    def __init__(self, net: ActionNet, temperatures: list[float], several: list[bool]) -> None:
        super().__init__()
        self.net = net
        self.temperatures = temperatures
        self.several = several

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        logits, weights = self.net(windows)
        answers = [
            (head_logits / t).sigmoid() if several else (head_logits / t).softmax(dim=1)
            for head_logits, t, several in zip(logits, self.temperatures, self.several, strict=True)
        ]
        return (*answers, weights)


def export(
    trained: Trained,
    out: Path,
    *,
    embedder: EmbedderCard | None = None,
    backbone: nn.Module | None = None,
    silent: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    min_duration_s: float = 0.5,
    description: str = "",
    licence: str = "",
) -> ActionCard:
    """Write `out` (.onnx) and its card, and the backbone beside them where there is one.

    Raises DataRefused where an engine's answers differ from torch's by more than 1e-3, or OSError.
    """
    net, settings, data = trained.net, trained.settings, trained.data
    several = [head.several for head in data.heads]
    answer = _Answer(net, trained.temperatures, several).eval()
    card = ActionCard(
        kind=data.kind,
        size=data.size,
        window=settings.window,
        rate_hz=settings.rate_hz,
        lag_s=settings.lag_s,
        fill=settings.fill,
        heads=tuple(
            HeadCard(
                name=head.name,
                labels=head.labels,
                kind="sigmoid" if head.several else "softmax",
                thresholds=trained.thresholds[i] if trained.thresholds else (),
                silent=tuple(label for label in head.labels if label in silent),
            )
            for i, head in enumerate(data.heads)
        ),
        joints=data.joints,
        embedder=embedder,
        whole_picture=data.whole_picture,
        groups=groups,
        min_duration_s=min_duration_s,
        description=description,
        licence=licence,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
        partial = Path(folder)
        if backbone is not None and embedder is not None:
            card = _with_backbone(card, embedder, backbone, partial)
        examples = _examples(card)
        outputs = [*(head.name for head in card.heads), ATTENTION]
        to_onnx(answer, torch.from_numpy(prepare(card.kind, examples[:1])), partial / out.name, outputs)
        card = card.model_copy(update={"sha256": sha256_of(partial / out.name)})
        write_action_card(partial / out.with_suffix(".yaml").name, card)
        _compare(answer, partial / out.name, examples)
        for file in sorted(partial.iterdir()):
            file.replace(out.parent / file.name)
    return card


def _with_backbone(card: ActionCard, embedder: EmbedderCard, backbone: nn.Module, folder: Path) -> ActionCard:
    wide, high = embedder.input_size
    path = folder / embedder.file
    pictures = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, high, wide)).astype(np.float32))
    to_onnx(backbone.eval(), pictures[:1], path, ["embedding"])
    with torch.no_grad():
        expected = backbone(pictures).numpy()
    for engine in ENGINES:
        embedding = open_graph(path, engine)(pictures.numpy())[0]
        scale = max(1.0, float(np.abs(expected).max()))
        _check(engine, path, float(np.abs(embedding - expected).max() / scale))
    with_digest = embedder.model_copy(update={"sha256": sha256_of(path)})
    return card.model_copy(update={"embedder": with_digest})


def to_onnx(net: nn.Module, example: Tensor, path: Path, outputs: list[str]) -> None:
    """A graph of free batch. The exporter is torch's own that needs no further package."""
    names = ["windows", *outputs]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # about that exporter's age, and LSTMs of another batch: compared below
        torch.onnx.export(
            net,
            (example,),
            str(path),
            input_names=names[:1],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )


def _examples(card: ActionCard) -> Floats:
    """Raw windows that look like something: a seeded walk."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(card.kind.encode()).digest()[:4], "big"))
    walk = rng.normal(0, 0.05, size=(5, card.window, *card.frame_shape())).cumsum(axis=1)
    if card.kind == "pose":
        walk[..., :2] += rng.normal(0.5, 0.2, size=(5, 1, card.size, 2))
        walk[..., 2] = 1.0
    if card.kind == "boxes":
        walk[..., 2:] = np.abs(walk[..., 2:]) + 0.2
    return walk.astype(np.float32)


def _compare(answer: nn.Module, path: Path, examples: Floats) -> None:
    card = ActionModel(path).card
    with torch.no_grad():
        expected = [t.numpy() for t in answer(torch.from_numpy(prepare(card.kind, examples)))]
    for engine in ENGINES:
        heads, weights = ActionModel(path, engine=engine).classify(examples)
        outputs = [*heads, weights]
        _check(engine, path, max(float(np.abs(a - b).max()) for a, b in zip(outputs, expected, strict=True)))


def _check(engine: str, path: Path, difference: float) -> None:
    if not difference <= TOLERANCE:
        raise DataRefused(
            f"{path.name}: {engine} differs from torch by {difference:.2g}, {TOLERANCE:g} is allowed: "
            "not exported; train it again"
        )
