"""Trains the detector.

    python -m pipelines.train.detector.train --data DIR --out DIR [--resume | --init FILE]

The schedule goes by time (--hours) or by steps (--steps). A run that is stopped goes on with --resume where
its last checkpoint was. OUT/last.pt is the run, OUT/curves.png and OUT/curves.csv show how it went.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from pipelines.detect.errors import ModelRefused
from pipelines.train.detector.augment import Augmenter, Recipe
from pipelines.train.detector.batches import batches
from pipelines.train.detector.copy_paste import Cutouts
from pipelines.train.detector.curves import draw_curves
from pipelines.train.detector.dataset import CLASSES, Dataset, DatasetError
from pipelines.train.detector.loss import BatchLabels, Losses, detection_loss
from pipelines.train.detector.net import NetSettings
from pipelines.train.detector.schedule import PLAIN, Schedule, parse_sizes
from pipelines.train.detector.state import CheckpointError, TrainingRun, read_checkpoint, take_weights

SAVE_EVERY_S = 180.0
CLIP_NORM = 10.0


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What does not change during a run. `hours` 0: by `steps`."""

    data: Path
    out: Path
    schedule: Schedule
    hours: float
    steps: int
    batch: int
    decay: float
    seed: int
    device: str
    workers: int
    chunk: int
    teacher: Path | None
    without: tuple[str, ...]
    recipe: Recipe

    def progress(self, run: TrainingRun) -> float:
        return run.elapsed_s / (self.hours * 3600) if self.hours else run.steps / self.steps


def train(plan: TrainingPlan, run: TrainingRun, show: Progress) -> None:
    """Until the plan's end; saves as it goes. Raises DatasetError; FloatingPointError if the loss is lost."""
    data = Dataset(plan.data)
    path = plan.data / "cutouts.npz"
    cutouts = Cutouts(path) if path.exists() else None
    bar = show.add_task("training", total=1.0, note="")
    saved = time.monotonic()
    while (progress := plan.progress(run)) < 1.0:
        plain = progress >= PLAIN
        recipe = plan.recipe
        if plain:
            recipe = Recipe(
                recipe.mosaic * 0.3,
                recipe.paste * 0.4,
                recipe.degrade,
                recipe.close,
                recipe.zoom,
                recipe.tile_zoom,
            )
        augmenter = Augmenter(data, cutouts, recipe, plan.seed, plan.without)
        size = plan.schedule.size_at(progress)
        source = batches(augmenter, run.samples, plan.batch, size, plan.chunk, plan.workers, plan.teacher)
        row = train_chunk(plan, run, source, size)
        run.history.append(row)
        note = f"step {run.steps} at {size}: loss {row['loss']:.3f}, {row['per_s']:.0f} pictures/s"
        show.update(bar, completed=min(1.0, plan.progress(run)), note=note)
        if not show.console.is_terminal:
            show.console.print(f"{plan.progress(run):.1%} {note}")
        if time.monotonic() - saved > SAVE_EVERY_S or plan.progress(run) >= 1.0:
            save(plan, run)
            saved = time.monotonic()


def train_chunk(
    plan: TrainingPlan, run: TrainingRun, source: Iterator[tuple[Tensor, BatchLabels]], size: int
) -> dict[str, float]:
    """One row of the curves: mean losses of the chunk."""
    sums = torch.zeros(3)
    began = before = time.monotonic()
    count = 0
    for pictures, truth in source:
        rate = plan.schedule.rate_at(plan.progress(run), run.steps)
        losses = step(plan, run, pictures, truth, rate, size)
        sums += torch.stack([x.detach().float().cpu() for x in losses])
        now = time.monotonic()
        run.elapsed_s += now - before
        before = now
        run.samples += len(pictures)
        run.steps += 1
        run.learn_average()
        count += 1
        if plan.progress(run) >= 1.0:
            break
    means = (sums / max(1, count)).tolist()
    if not all(value == value for value in means):
        raise FloatingPointError(
            f"the loss is not a number at step {run.steps}: lower --rate and use --resume"
        )
    return {
        "step": float(run.steps),
        "progress": plan.progress(run),
        "size": float(size),
        "loss": sum(means),
        "classes": means[0],
        "boxes": means[1],
        "shapes": means[2],
        "rate": plan.schedule.rate_at(plan.progress(run), run.steps),
        "per_s": count * plan.batch / max(1e-6, time.monotonic() - began),
    }


def step(
    plan: TrainingPlan, run: TrainingRun, pictures: Tensor, truth: BatchLabels, rate: float, size: int
) -> Losses:
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    device = torch.device(plan.device)
    pictures = pictures.to(device, memory_format=torch.channels_last).float().div_(255)
    truth = BatchLabels(*(part.to(device) for part in truth))
    with torch.autocast(device.type, torch.bfloat16):
        logits, distances = run.net(pictures)
    losses = detection_loss(logits, distances, truth, (size, size))
    run.optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    torch.nn.utils.clip_grad_norm_(run.net.parameters(), CLIP_NORM)
    run.optimiser.step()
    return losses


def save(plan: TrainingPlan, run: TrainingRun) -> None:
    run.save(plan.out / "last.pt")
    if not run.history:
        return
    with (plan.out / "curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(run.history[0]))
        writer.writeheader()
        writer.writerows(run.history)
    draw_curves(run.history, plan.out / "curves.png")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train.detector.train", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="made by python -m pipelines.train.detector.prepare"
    )
    parser.add_argument("--out", type=Path, required=True)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on with OUT/last.pt")
    start.add_argument("--init", type=Path, metavar="FILE", help="start from the weights of a checkpoint")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--hours", type=float, default=2.0, help="length of the schedule (default: 2)")
    length.add_argument("--steps", type=int, default=0, help="length in steps instead")
    parser.add_argument("--sizes", default="320@0,416@0.75", help="SIZE@PROGRESS,… (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)"
    )
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pictures; 0: none")
    parser.add_argument("--chunk", type=int, default=50, help="steps a row of the curves (default: 50)")
    parser.add_argument("--teacher", type=Path, metavar="ONNX", help="a YOLOX whose answers are taught too")
    parser.add_argument("--without", action="append", default=[], metavar="SET", help="leave a set out")
    for name in ("mosaic", "paste", "degrade", "close"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Recipe(), name), help="chance, 0 to 1")
    return parser


def plan_of(options: argparse.Namespace) -> TrainingPlan:
    """Raises ValueError for sizes that are none."""
    return TrainingPlan(
        data=options.data,
        out=options.out,
        schedule=Schedule(options.rate, parse_sizes(options.sizes)),
        hours=0.0 if options.steps else options.hours,
        steps=options.steps,
        batch=options.batch,
        decay=options.decay,
        seed=options.seed,
        device=options.device,
        workers=options.workers,
        chunk=options.chunk,
        teacher=options.teacher,
        without=tuple(options.without),
        recipe=Recipe(options.mosaic, options.paste, options.degrade, options.close),
    )


def begin(plan: TrainingPlan, resume: bool, init: Path | None) -> TrainingRun:
    """Raises CheckpointError where there is nothing to start from."""
    torch.manual_seed(plan.seed)
    settings = NetSettings(classes=len(CLASSES))
    if init is not None:  # a net of other sizes, such as the file in the package, goes on as it is
        settings = NetSettings.from_json(read_checkpoint(init)["settings"])
    run = TrainingRun.start(settings, plan.schedule.rate, plan.decay, plan.device)
    last = plan.out / "last.pt"
    if resume:
        run.restore(last)
    elif last.exists():
        raise CheckpointError(f"{last} exists: go on with --resume, or choose another --out")
    elif init is not None:
        take_weights(run.net, init)
        run.average.load_state_dict(run.net.state_dict())
    return run


def main(words: list[str] | None = None) -> int:
    options = arguments().parse_args(words)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        plan = plan_of(options)
        plan.out.mkdir(parents=True, exist_ok=True)
        run = begin(plan, options.resume, options.init)
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.1f}%")
        with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[note]}")) as show:
            train(plan, run, show)
    except (DatasetError, CheckpointError, FloatingPointError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModelRefused as error:  # of a process that makes pictures: its traceback stands before
        print(f"error: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
