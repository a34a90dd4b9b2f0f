"""What a training run is made of and can be resumed from: net, averaged net, optimiser, counters."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.train.detector.net import DetectorNet, NetSettings

EMA_DECAY, EMA_WARM_STEPS = 0.9995, 400
FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or belongs to another net."""


@dataclass
class TrainingRun:
    """`samples` pictures seen, `steps` of the optimiser, `elapsed_s` of training; `history`: the curves."""

    net: DetectorNet
    average: DetectorNet
    optimiser: torch.optim.Optimizer
    samples: int = 0
    steps: int = 0
    elapsed_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, settings: NetSettings, rate: float, decay: float, device: str) -> TrainingRun:
        net = DetectorNet(settings).to(device, memory_format=torch.channels_last)
        average = copy.deepcopy(net).eval().requires_grad_(False)
        return cls(net, average, optimiser_for(net, rate, decay))

    def learn_average(self) -> None:
        """Exponential moving average of the weights (Polyak); quick at first."""
        decay = EMA_DECAY * (1 - math.exp(-self.steps / EMA_WARM_STEPS))
        with torch.no_grad():
            theirs = self.net.state_dict()
            for name, mine in self.average.state_dict().items():
                if mine.dtype.is_floating_point:
                    mine.lerp_(theirs[name].detach(), 1 - decay)
                else:
                    mine.copy_(theirs[name])

    def save(self, path: Path) -> None:
        """Whole or not at all: written beside and renamed."""
        document = {
            "format": FORMAT,
            "settings": self.net.settings.as_json(),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "samples": self.samples,
            "steps": self.steps,
            "elapsed_s": self.elapsed_s,
            "history": self.history,
        }
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            torch.save(document, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def restore(self, path: Path) -> None:
        """Go on exactly where `path` was saved. Raises CheckpointError."""
        document = read_checkpoint(path)
        if document["settings"] != self.net.settings.as_json():
            raise CheckpointError(f"{path}: a net of other sizes: start with --init instead of --resume")
        self.net.load_state_dict(document["net"])
        self.average.load_state_dict(document["average"])
        self.optimiser.load_state_dict(document["optimiser"])
        self.samples, self.steps = int(document["samples"]), int(document["steps"])
        self.elapsed_s, self.history = float(document["elapsed_s"]), list(document["history"])


def optimiser_for(net: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101); no decay on biases and normalisations."""
    plain = [p for p in net.parameters() if p.ndim <= 1]
    heavy = [p for p in net.parameters() if p.ndim > 1]
    groups = [{"params": heavy, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.999))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises CheckpointError if `path` is none. Only tensors and plain values are read, no code."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint ({error}): give one of an earlier run") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this program")
    return document


def load_average(path: Path) -> DetectorNet:
    """The averaged net of a checkpoint, on the CPU, ready to infer. Raises CheckpointError."""
    document = read_checkpoint(path)
    net = DetectorNet(NetSettings.from_json(document["settings"]))
    net.load_state_dict(document["average"])
    net.eval().requires_grad_(False)
    return net


def take_weights(net: DetectorNet, path: Path) -> None:
    """Start `net` from the averaged weights of a checkpoint. Raises CheckpointError if they do not fit."""
    document = read_checkpoint(path)
    try:
        net.load_state_dict(document["average"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: weights of a net of other sizes") from error
