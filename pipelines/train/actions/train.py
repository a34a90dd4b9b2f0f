"""The training loop of action models: what a net learns from windows, held against a part that it never sees.

Needs torch. Everything random comes from the seed; a run that is stopped goes on from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pipelines.actions.model import ActionNet
from pipelines.skeleton import Skeleton
from pipelines.train.actions.augment import Augment, mix
from pipelines.train.actions.checkpoint import TrainingCheckpoint, load_checkpoint, save_checkpoint
from pipelines.train.actions.data import ActionData, DataRefused, HeadTargets
from pipelines.train.actions.ridge import solve
from pipelines.train.actions.score import (
    AnyScore,
    judge,
    log_loss,
    score,
    score_several,
    temperature,
    thresholds,
)
from pipelines.train.actions.settings import TrainSettings
from pipelines.train.actions.windows import Windows, cut_windows
from pipelines.values import Floats

CHECKPOINT_EVERY = 5  # epochs
CLIP_NORM = 2.0
WARM_UP = 0.15  # of the steps, in which the learning rate rises; then it falls as a cosine
EVAL_BATCH = 256
MakeNet = Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    train_loss: float
    val_loss: float | None
    val_accuracy: float | None
    lr: float


Progress = Callable[[Epoch, int], None]  # an epoch that is done, and how many there are at most


@dataclass(slots=True, eq=False)
class Trained:
    """A network and all that was found out about it. `temperatures` and `thresholds`: one a head."""

    net: nn.Module
    settings: TrainSettings
    data: ActionData  # what it was trained on, for labels and joints
    history: list[Epoch]
    temperatures: list[float]
    thresholds: list[tuple[float, ...]]
    validation: AnyScore | None = None  # of the first head
    further: dict[str, AnyScore] = field(default_factory=dict)  # likewise, of the others by name
    notes: list[str] = field(default_factory=list)


def train(
    data: ActionData,
    val: ActionData | None,
    settings: TrainSettings,
    *,
    make_net: MakeNet | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train on `data`, stop early and calibrate on `val` where there is one.

    With `checkpoint` the run is written there now and then, and goes on from it. Raises DataRefused.
    """
    torch.manual_seed(settings.seed)
    net = make_net() if make_net is not None else ActionNet(settings.net(data))
    windows = cut(data, settings)
    held = cut(val, settings) if val is not None and val.sequences else None
    if settings.temporal == "ridge":
        return _solved(net, data, windows, held, settings)
    run = _Run(net, data, windows, held, settings)
    if checkpoint is not None and checkpoint.exists():
        run.resume(load_checkpoint(checkpoint, run.identity()))
    while run.epoch < settings.epochs and not run.tired:
        run.one_epoch()
        if progress is not None:
            progress(run.history[-1], settings.epochs)
        if checkpoint is not None and (run.epoch % CHECKPOINT_EVERY == 0 or run.epoch == settings.epochs):
            save_checkpoint(checkpoint, run.state())
    return run.finish()


def _solved(
    net: nn.Module, data: ActionData, windows: Windows, held: Windows | None, settings: TrainSettings
) -> Trained:
    """A net of one ridge reader. Without a part held back it is judged, and its thresholds are set, by what
    is said of groups that were left out in turn."""
    if not isinstance(net, ActionNet) or len(net.members) > 1:
        raise DataRefused(
            "ridge has one solution, over values that do not learn: leave --backbone and --members out"
        )
    heads, count = data.heads, np.bincount(windows.sequence, minlength=len(data.sequences))
    each = 1.0 / count[windows.sequence]  # a long clip is one clip
    weights = [
        each * _row_weights(head, target, settings.class_weights)
        for head, target in zip(heads, windows.targets, strict=True)
    ]
    held_out = solve(net.members[0], data, windows, weights, settings.seed)
    trained = Trained(net.eval(), settings, data, [], [1.0] * len(heads), [], None)
    if held is not None:
        calibrate(trained, held)
    elif held_out is not None:
        calibrate_by(trained, windows, held_out)
        trained.notes.append("validation is of groups left out in turn; the model learnt from all of them")
    return trained


def _row_weights(head: HeadTargets, targets: Floats, by_class: bool) -> npt.NDArray[np.float64]:
    """(M,): rows of rare labels weigh more, where one label holds at a time."""
    if head.several:
        return np.ones(len(targets))
    weights = _class_weights(torch.from_numpy(targets), by_class).numpy()
    of_rows: npt.NDArray[np.float64] = np.nan_to_num(targets.astype(np.float64)) @ weights
    return of_rows


def cut(data: ActionData, settings: TrainSettings) -> Windows:
    return cut_windows(
        data,
        settings.window,
        settings.rate_hz,
        stride_s=settings.stride_s,
        lag_s=settings.lag_s,
        fill=settings.fill,
    )


class _Run:
    """The state of a run: the net, its running average, the optimiser, and what was best so far."""

    def __init__(
        self,
        net: nn.Module,
        data: ActionData,
        windows: Windows,
        held: Windows | None,
        settings: TrainSettings,
    ) -> None:
        self.data, self.settings, self.held = data, settings, held
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.to(self.device)
        self.average = torch.optim.swa_utils.AveragedModel(
            net, avg_fn=_Average(settings.average), use_buffers=True
        )
        self.values = torch.from_numpy(windows.values)
        self.targets = [torch.from_numpy(t) for t in windows.targets]
        self.random = torch.Generator().manual_seed(settings.seed)
        mirrored = Skeleton(data.joints).mirrored() if data.kind == "pose" and data.joints else ()
        self.augment = Augment(data.kind, mirrored, settings.augment)
        self.weights = [_class_weights(t, settings.class_weights) for t in self.targets]
        learning = [p for p in net.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(learning, settings.lr, weight_decay=settings.weight_decay)
        self.batches = max(1, len(windows) // settings.batch)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.lr, total_steps=settings.epochs * self.batches, pct_start=WARM_UP
        )
        self.precision = self._precision()
        self.epoch = 0
        self.history: list[Epoch] = []
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.best_epoch = 0

    def _precision(self) -> torch.dtype | None:
        precision = self.settings.precision
        if precision == "auto":
            heavy = self.data.kind == "crops" or self.device.type == "cuda"
            able = self.device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
            return torch.bfloat16 if heavy and able else None
        if precision == "fp16" and self.device.type == "cpu":
            raise DataRefused("precision fp16 is for CUDA: on the CPU use bf16 or f32")
        return {"f32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]

    @property
    def tired(self) -> bool:
        return self.held is not None and self.epoch - self.best_epoch >= self.settings.patience

    def one_epoch(self) -> None:
        s = self.settings
        self.net.train()
        order = torch.randperm(len(self.values), generator=self.random)
        total = 0.0
        for index in order[: self.batches * s.batch].split(s.batch):
            total += self._step(index)
        self.epoch += 1
        lr = float(self.schedule.get_last_lr()[0])
        loss = accuracy = None
        if self.held is not None:
            logits, _ = predict(self.average, self.held)
            loss = _held_loss(self.data.heads, logits, self.held)
            first, sure = self.data.heads[0], to_probabilities(logits[0], self.data.heads[0].several)
            how = score_several if first.several else score
            accuracy = how(first.labels, sure, self.held.targets[0]).accuracy
            if self.best is None or loss < self.best[0]:
                weights = {k: v.detach().clone() for k, v in self.average.module.state_dict().items()}
                self.best, self.best_epoch = (loss, weights), self.epoch
        self.history.append(Epoch(self.epoch, total / self.batches, loss, accuracy, lr))

    def _step(self, index: Tensor) -> float:
        s = self.settings
        values = self.augment(self.values[index], self.random)
        targets = [t[index] for t in self.targets]
        if s.mixup and self.data.kind != "crops" and len(index) > 1:
            values, targets = mix(values, targets, s.mixup, self.random)
        values = values.to(self.device)
        half = self.precision
        with torch.autocast(self.device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            logits, _ = self.net(values)
        loss = self._loss([each.float() for each in logits], [t.to(self.device) for t in targets])
        if not torch.isfinite(loss):
            raise DataRefused(
                f"the loss is {loss.item()} in epoch {self.epoch + 1}: take a lower --lr, or f32 precision"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP_NORM)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.net)
        return float(loss.item())

    def _loss(self, logits: list[Tensor], targets: list[Tensor]) -> Tensor:
        total = logits[0].new_zeros(())
        for head, predicted, true, weight in zip(self.data.heads, logits, targets, self.weights, strict=True):
            true = true.repeat(len(predicted) // len(true), 1)  # for each member
            labelled = torch.isfinite(true).all(dim=1)
            if not labelled.any():
                continue
            predicted, true, weight = predicted[labelled], true[labelled], weight.to(predicted.device)
            if head.several:
                total = total + F.binary_cross_entropy_with_logits(predicted, true, pos_weight=weight)
            else:
                total = total + F.cross_entropy(
                    predicted, true, weight=weight, label_smoothing=self.settings.label_smoothing
                )
        return total

    # ---- checkpoints

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with: another net, other settings or other data are refused."""
        return {
            "settings": self.settings.to_json(),
            "labels": [list(h.labels) for h in self.data.heads],
            "kind": self.data.kind,
            "windows": len(self.values),
            "weights": sorted(self.net.state_dict()),
        }

    def state(self) -> TrainingCheckpoint:
        return TrainingCheckpoint(
            self.identity(),
            {
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": self.random.get_state(),
                "global_random": torch.get_rng_state(),
                "epoch": self.epoch,
                "best_epoch": self.best_epoch,
                "best": self.best,
                "history": [(e.number, e.train_loss, e.val_loss, e.val_accuracy, e.lr) for e in self.history],
            },
        )

    def resume(self, checkpoint: TrainingCheckpoint) -> None:
        state = checkpoint.state
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.random.set_state(state["random"])
        torch.set_rng_state(state["global_random"])
        self.epoch, self.best_epoch, self.best = state["epoch"], state["best_epoch"], state["best"]
        self.history = [Epoch(*row) for row in state["history"]]

    def finish(self) -> Trained:
        net = self.average.module
        if self.best is not None:
            net.load_state_dict(self.best[1])
        net = net.cpu().eval()
        trained = Trained(net, self.settings, self.data, self.history, [1.0] * len(self.data.heads), [], None)
        if self.held is not None:
            calibrate(trained, self.held)
        return trained


def calibrate(trained: Trained, held: Windows) -> None:
    """Set temperature and thresholds from what the net says of data that it was not trained on."""
    calibrate_by(trained, held, predict(trained.net, held)[0])


def calibrate_by(trained: Trained, held: Windows, logits: list[Floats]) -> None:
    """Likewise, from the logits (M, C) of each head."""
    trained.thresholds = []
    for i, (head, head_logits, true) in enumerate(zip(trained.data.heads, logits, held.targets, strict=True)):
        trained.temperatures[i] = temperature(head_logits, true, head.several)
        sure = to_probabilities(head_logits / trained.temperatures[i], head.several)
        trained.thresholds.append(thresholds(sure, true))
        result = judge(head.labels, head.several, sure, true, held.sequence)
        if i:
            trained.further[head.name] = result
        else:
            trained.validation = result


def predict(net: nn.Module, windows: Windows) -> tuple[list[Floats], Floats]:
    """(logits (M, C) a head, attention (M, T)) of all windows."""
    net.eval()
    device = next(net.parameters()).device
    logits: list[list[Tensor]] = []
    attention = []
    with torch.no_grad():
        for values in torch.from_numpy(windows.values).split(EVAL_BATCH if windows.values.size else 1):
            outputs, weights = net(values.to(device))
            logits.append([s.float().cpu() for s in outputs])
            attention.append(weights.float().cpu())
    heads = [torch.cat(column).numpy() for column in zip(*logits, strict=True)]
    return heads, torch.cat(attention).numpy()


def to_probabilities(logits: Floats, several: bool) -> Floats:
    tensor = torch.from_numpy(np.ascontiguousarray(logits, np.float32))
    probabilities: Floats = (tensor.sigmoid() if several else tensor.softmax(dim=1)).numpy()
    return probabilities


class _Average:
    """A running average of weights that forgets the first, bad ones quickly."""

    def __init__(self, keep: float) -> None:
        self._keep = keep

    def __call__(self, old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        if not old.is_floating_point():
            return new
        n = float(count)
        keep = min(self._keep, (1 + n) / (10 + n))
        return old * keep + new * (1 - keep)


def _class_weights(targets: Tensor, by_class: bool) -> Tensor:
    """Rare labels weigh more: the inverse of their share, mean 1, at most 10 times apart."""
    labelled = targets[torch.isfinite(targets).all(dim=1)]
    if not by_class or not len(labelled):
        return torch.ones(targets.shape[1])
    share = labelled.mean(dim=0).clamp(min=1e-6)
    weights = (1.0 / share).clamp(max=10.0 / float(share.max()))
    return weights / weights.mean()


def _held_loss(heads: tuple[HeadTargets, ...], logits: list[Floats], held: Windows) -> float:
    """The sum over heads, each over the rows of which its truth is known."""
    total = 0.0
    for head, head_logits, true in zip(heads, logits, held.targets, strict=True):
        labelled = np.isfinite(true).all(axis=1)
        if labelled.any():
            total += log_loss(head_logits[labelled], true[labelled], head.several)
    return total
