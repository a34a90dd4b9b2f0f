"""A training from data to files, step by step: for `streamer actions` and the benches. Needs torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.actions.backbones import create_backbone
from pipelines.actions.card import EmbedderCard
from pipelines.actions.model import ActionNet, NetConfig
from pipelines.train.actions import train as actions_train
from pipelines.train.actions.checkpoint import TrainingCheckpoint, load_checkpoint, save_checkpoint
from pipelines.train.actions.crops import CropActionNet, read_crops
from pipelines.train.actions.data import ActionData, DataRefused, HeadTargets
from pipelines.train.actions.export import export
from pipelines.train.actions.pictures import draw_confusion, draw_curves
from pipelines.train.actions.score import AnyScore, Score, judge
from pipelines.train.actions.settings import TrainSettings
from pipelines.train.actions.sources import DataSource, open_source
from pipelines.train.actions.split import fold_of, hold_back, part
from pipelines.train.actions.train import Progress, Trained, cut, train
from pipelines.values import Image

MODEL, CHECKPOINT = "model.pt", "checkpoint.pt"
Report = Callable[[str, int, int], None]  # what is being done, how much of it, of how much


@dataclass(frozen=True, slots=True)
class BackboneChoice:
    """A CNN below the net, for crops: its name, a file of weights, and whether it learns too."""

    name: str
    weights: Path | None = None
    frozen: bool = False
    size: tuple[int, int] = (112, 112)


@dataclass(slots=True, eq=False)
class Opened:
    """Data that was read, and what else an export of it needs."""

    data: ActionData
    backbone: BackboneChoice | None = None
    frames: Image | None = None
    embedder: EmbedderCard | None = None

    def net_maker(self, settings: TrainSettings) -> Callable[[], nn.Module] | None:
        """For crops a net with its backbone below; else None: the usual one."""
        if self.backbone is None or self.frames is None:
            return None
        choice, frames = self.backbone, self.frames

        def make() -> nn.Module:
            backbone, size = create_backbone(choice.name, choice.weights)
            config = replace(settings.net(self.data), size=size)
            net = CropActionNet(backbone, ActionNet(config), frames, choice.size, choice.frozen)
            return net if choice.weights is not None else net.from_nothing()

        return make


def open_data(
    source: DataSource, settings: TrainSettings, backbone: BackboneChoice | None, report: Report
) -> Opened:
    """Read `source`; clips become numbers of frames for a backbone, or values of a detector's maps."""
    if backbone is None:
        data, embedder = open_source(source, settings.rate_hz, report)
        return Opened(data, embedder=embedder)
    entries = source.clips()
    data, frames = read_crops(
        source.path,
        entries,
        size=backbone.size,
        rate_hz=settings.rate_hz or 8.0,
        labels=source.labels,
        scene=source.scene,
        progress=lambda i, n: report("reading clips", i, n),
    )
    card = EmbedderCard(file="", sha256="0" * 64, name=backbone.name, input_size=backbone.size, margin=0.0)
    return Opened(data, backbone, frames, card)


def fit(
    opened: Opened,
    settings: TrainSettings,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train on all but the test part. A given `val` part is held back, else a share of the groups.

    A ridge probe holds groups back in turn by itself. With `refit` a second net learns from all of it, with
    the thresholds and the temperature of the first.
    """
    data = opened.data
    learn = part(data, "train", "")
    val = part(data, "val")
    maker = opened.net_maker(settings)
    if settings.val_share <= 0 or (settings.temporal == "ridge" and not val.sequences):
        everything = part(data, "train", "", "val")
        return train(everything, None, settings, make_net=maker, checkpoint=checkpoint, progress=progress)
    if not val.sequences:
        learn, val = hold_back(learn, settings.val_share, settings.seed)
    first = train(learn, val, settings, make_net=maker, checkpoint=checkpoint, progress=progress)
    if not settings.refit:
        return first
    again = checkpoint.with_name("refit.pt") if checkpoint is not None else None
    everything = part(data, "train", "", "val")
    second = train(everything, None, settings, make_net=maker, checkpoint=again, progress=progress)
    second.temperatures, second.thresholds = first.temperatures, first.thresholds
    second.validation, second.further, second.history = first.validation, first.further, first.history
    second.notes.append("trained again on everything; curves and thresholds are of the first training")
    return second


def test(trained: Trained, data: ActionData) -> AnyScore:
    """The first head's score."""
    return next(iter(test_heads(trained, data).values()))


def test_heads(trained: Trained, data: ActionData) -> dict[str, AnyScore]:
    """Each head's score by its name, the first one's first."""
    windows = cut(data, trained.settings)
    logits, _ = actions_train.predict(trained.net, windows)
    scores = {}
    for i, head in enumerate(data.heads):
        probabilities = actions_train.to_probabilities(logits[i] / trained.temperatures[i], head.several)
        scores[head.name] = judge(
            head.labels, head.several, probabilities, windows.targets[i], windows.sequence
        )
    return scores


def cross_validate(
    opened: Opened,
    settings: TrainSettings,
    folds: int,
    progress: Callable[[int, AnyScore], None] | None = None,
) -> AnyScore:
    """Every group tested once by a net that never saw it; the pooled score of the first head."""
    data = opened.data
    index = fold_of(data.sequences, folds, settings.seed)
    total: AnyScore | None = None
    for fold in range(folds):
        learn = data.subset(s for s, f in zip(data.sequences, index, strict=True) if f != fold)
        held = data.subset(s for s, f in zip(data.sequences, index, strict=True) if f == fold)
        maker = opened.net_maker(settings)
        one = test(train(learn, None, settings, make_net=maker), held)
        total = one if total is None else total + one  # type: ignore[operator]
        if progress is not None:
            progress(fold, one)
    assert total is not None
    return total


# ---- files


def write_results(
    folder: Path,
    opened: Opened,
    trained: Trained,
    tested: dict[str, AnyScore] | None,
    silent: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The model, its export, its pictures and `result.json`. Raises DataRefused or OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    first = tested[trained.data.heads[0].name] if tested else None
    result = {
        "settings": trained.settings.to_json(),
        "labels": {h.name: list(h.labels) for h in trained.data.heads},
        "epochs": len(trained.history),
        "validation": trained.validation.to_json() if trained.validation else None,
        "test": first.to_json() if first else None,
        "heads": {
            name: {
                "validation": trained.further[name].to_json() if name in trained.further else None,
                "test": tested[name].to_json() if tested else None,
            }
            for name in [head.name for head in trained.data.heads[1:]]
        },
        "notes": trained.notes,
    }
    save_model(folder / MODEL, opened, trained)
    export_model(opened, trained, folder / "model.onnx", silent)
    if trained.history:
        draw_curves(folder / "curves.png", trained.history)
    shown = first or trained.validation
    if isinstance(shown, Score):
        draw_confusion(folder / "confusion.png", shown)
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def export_model(opened: Opened, trained: Trained, path: Path, silent: tuple[str, ...] = ()) -> None:
    if not isinstance(trained.net, CropActionNet):
        export(trained, path, embedder=opened.embedder, silent=silent)
        return
    assert opened.embedder is not None
    backbone, net = trained.net.backbone, trained.net.net
    embedder = opened.embedder.model_copy(update={"file": f"{path.stem}-backbone.onnx"})
    data = replace(trained.data, size=net.config.size)
    plain = replace(trained, net=net, data=data)
    export(plain, path, embedder=embedder, backbone=backbone, silent=silent)


def save_model(path: Path, opened: Opened, trained: Trained) -> None:
    """Weights and all that an export needs, as a checkpoint. Raises OSError."""
    net = trained.net.net if isinstance(trained.net, CropActionNet) else trained.net
    below = trained.net.backbone.state_dict() if isinstance(trained.net, CropActionNet) else None
    state = {
        "config": net.config.to_json(),
        "settings": trained.settings.to_json(),
        "net": net.state_dict(),
        "backbone": below,
        "backbone_name": opened.backbone.name if opened.backbone else "",
        "embedder": opened.embedder.model_dump(mode="json") if opened.embedder else None,
        "joints": list(trained.data.joints),
        "whole_picture": trained.data.whole_picture,
        "temperatures": trained.temperatures,
        "thresholds": [list(t) for t in trained.thresholds],
    }
    save_checkpoint(path, TrainingCheckpoint({"model": True}, state))


def load_model(path: Path) -> tuple[Opened, Trained]:
    """What save_model() wrote. Raises DataRefused for anything else."""
    checkpoint = load_checkpoint(path)
    if checkpoint.identity != {"model": True}:
        raise DataRefused(f"{path}: a checkpoint of a run, not a trained model: give {MODEL} of its folder")
    state = checkpoint.state
    try:
        settings = TrainSettings.from_json(state["settings"])
        config = NetConfig.from_json(state["config"])
        net: nn.Module = ActionNet(config)
        net.load_state_dict(state["net"])
        heads = tuple(HeadTargets(h.name, h.labels, h.kind == "sigmoid") for h in config.heads)
        data = ActionData(
            config.kind, config.size, heads, (), tuple(state["joints"]), True, state["whole_picture"]
        )
        embedder = EmbedderCard.model_validate(state["embedder"]) if state["embedder"] else None
        opened = Opened(data, embedder=embedder)
        if state["backbone"] is not None:
            backbone, _ = create_backbone(state["backbone_name"])
            backbone.load_state_dict(state["backbone"])
            size = embedder.input_size if embedder else (112, 112)
            net = CropActionNet(backbone, net, np.zeros((1, 1, 1, 3), np.uint8), size, True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:120]
        raise DataRefused(f"{path}: its contents do not fit this program ({why}): train it again") from error
    trained = Trained(
        net.eval(), settings, data, [], state["temperatures"], [tuple(t) for t in state["thresholds"]]
    )
    return opened, trained


def use_threads(threads: int) -> None:
    torch.set_num_threads(threads)
