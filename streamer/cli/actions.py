"""`streamer actions`: train, evaluate and export models of what people do. Training needs torch."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.train.actions.clips import only_pictures
from pipelines.train.actions.data import DataRefused
from pipelines.train.actions.score import AnyScore
from pipelines.train.actions.sources import DataSource, check_inputs
from streamer.cli.actions_arguments import (
    backbone_of,
    data_options,
    need_torch,
    refusals,
    settings_of,
    source_of,
)
from streamer.cli.click_types import Finite
from streamer.cli.output_paths import check_folder, check_outputs
from streamer.errors import ModelError

SHOWN_TRIALS = 20
TEMPORALS = ("lstm", "attention", "mean", "tcn", "stats", "ridge")


@click.group()
def actions() -> None:
    """Train, evaluate and export models of what people do."""


@actions.command()
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for what comes of it.")
@click.option("--apart", is_flag=True, help="Every clip is a scene of its own: none belongs to another.")
@click.option("--window", type=click.IntRange(4, 256), help="Frames of a window.")
@click.option("--rate", type=Finite(0.5, 60), help="Frames a second of a window.")
@click.option("--whole-clips", is_flag=True, help="Stretch each clip to one window; not for live cameras.")
@click.option("--stride", type=Finite(0.02, 60), help="Seconds from window to window.")
@click.option("--lag", type=Finite(0, 30), help="A window tells of so many seconds before its end.")
@click.option("--temporal", type=click.Choice(TEMPORALS), help="What reads the frames.")
@click.option("--hidden", type=click.IntRange(8, 512), help="Width of the network.")
@click.option("--members", type=click.IntRange(1, 16), help="Nets that learn side by side, averaged.")
@click.option("--epochs", type=click.IntRange(1, 10_000))
@click.option("--batch", type=click.IntRange(2, 4096))
@click.option("--lr", type=Finite(1e-6, 1))
@click.option("--dropout", type=Finite(0, 0.9))
@click.option("--mixup", type=Finite(0, 2))
@click.option("--patience", type=click.IntRange(1), help="Epochs without progress until it stops.")
@click.option("--val-share", type=Finite(0, 0.5), help="Held back; 0: none, and no thresholds.")
@click.option("--refit", is_flag=True, help="Train once more on everything when thresholds are known.")
@click.option("--precision", type=click.Choice(("auto", "f32", "bf16", "fp16")))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--silent", default="", help="Labels that are no events, with commas.")
@click.option("--backbone", help="CNN on the pixels: mobilenet_v3_small, resnet18, resnet50, …")
@click.option("--weights", type=click.Path(path_type=Path), help="State dict of the backbone.")
@click.option("--freeze", is_flag=True, help="The backbone does not learn.")
@click.option(
    "--size", metavar="WxH", help="Pixels of the backbone's input.  [default: 112x112, of pictures 160x120]"
)
@click.option("--scene", is_flag=True, help="Classify single frames of clips; usual for pictures.")
@click.option("--folds", type=click.IntRange(2, 50), help="Only cross-validate, by group, over everything.")
@click.option("--search", type=click.IntRange(2, 1000), help="Try so many settings first, at random.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@data_options
def train(data: str, **given: Any) -> None:
    """Train on DATA: a folder of clips by class, a CSV of clips, keypoints (.csv, .npz), or `synthetic`.

    Pictures instead of clips give a classifier of a camera's scene. A run that was stopped goes on when it is
    called again with the same options.
    """
    with refusals():
        source = source_of(data, given)
        check_inputs(source)  # before torch is asked for, and once it is known whether it is a scene's
    session = need_torch("pipelines.train.actions.session")
    with refusals():
        _train(session, data, source, given)


def _train(session: ModuleType, data: str, source: DataSource, given: dict[str, Any]) -> None:
    out, apart, as_json = given.pop("out"), given.pop("apart"), given.pop("as_json")
    folds, trials = given.pop("folds"), given.pop("search")
    silent = tuple(word.strip() for word in given.pop("silent").split(",") if word.strip())
    session.use_threads(source.threads)
    scene = given.pop("scene")
    written = ("model.onnx", "model.yaml", "result.json", session.MODEL, session.CHECKPOINT)
    check_folder(out, (data,))
    if out.is_dir():
        check_outputs((out / name for name in written), (data, given["weights"], source.detector))
    if source.is_clips():
        source = replace(source, scene=scene or only_pictures(source.clips()))
    elif scene:
        raise DataRefused(f"{data}: --scene is for pictures and clips: a folder for each class, or a CSV")
    check_inputs(source)
    backbone = backbone_of(session, given, source.scene)
    if source.inputs and (backbone is not None or not source.is_clips()):
        raise DataRefused("--inputs and --moved are for clips without a --backbone: leave them out")
    settings = settings_of(source, given, backbone is not None)
    if trials and settings.temporal == "ridge":
        raise DataRefused(
            "--search is for nets that learn in steps; ridge has one solution: name another "
            "--temporal, or leave --search out"
        )
    with _progress_bar(as_json) as bar:
        opened = session.open_data(source, settings, backbone, bar.step)
        checks = importlib.import_module("pipelines.train.actions.split")
        checks.check_apart(opened.data, apart)
        checks.check_classes(opened.data)
        if folds:
            score = session.cross_validate(
                opened, settings, folds, lambda k, _: bar.step("fold", k + 1, folds)
            )
            result = {"folds": folds, "settings": settings.to_json(), "test": score.to_json()}
        else:
            tried: list[Any] = []
            if trials:
                settings, tried = _search(session, opened, settings, trials, bar)
            trained = session.fit(
                opened,
                settings,
                checkpoint=out / session.CHECKPOINT,
                progress=lambda e, n: bar.step(_epoch_line(e), e.number, n),
            )
            held = session.part(opened.data, "test")
            tested = session.test_heads(trained, held) if held.sequences else None
            result = session.write_results(out, opened, trained, tested, silent)
            result["search"] = tried
    _print_result(result, out, as_json)


def _search(
    session: ModuleType, opened: Any, settings: Any, trials: int, bar: _Bar
) -> tuple[Any, list[dict[str, Any]]]:
    module = importlib.import_module("pipelines.train.actions.search")
    done = 0

    def run(candidate: Any) -> tuple[float, float]:
        nonlocal done
        trained = session.fit(opened, replace(candidate, refit=False))
        done += 1
        bar.step("searching", done, trials)
        return trained.validation.accuracy, min(e.val_loss for e in trained.history)

    ranked = module.search(module.draw_trials(settings, trials), run)
    rows = [
        {"trial": t.number, "accuracy": round(t.accuracy, 4), "loss": round(t.loss, 4), **t.chosen}
        for t in ranked
    ]
    return ranked[0].settings, rows


@actions.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("--split", default="test", show_default=True, help="train, val, test or all.")
@click.option("--engine", default="onnx", show_default=True, help="onnx or openvino.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@data_options
def evaluate(model: Path, data: str, **given: Any) -> None:
    """Hold an exported MODEL (.onnx) against DATA, as it runs in the daemon; needs no torch."""
    split, engine, as_json = given.pop("split"), given.pop("engine"), given.pop("as_json")
    module = importlib.import_module("pipelines.train.actions.evaluate")
    with refusals():
        source = source_of(data, given)
        check_inputs(source)
    with refusals(), _progress_bar(as_json) as bar:
        scores = module.evaluate(model, source, split, engine, bar.step)
    (_, score), *others = scores.items()
    if as_json:
        found = {**score.to_json(), "heads": {name: other.to_json() for name, other in others}}
        click.echo(json.dumps(found, indent=2))
        return
    for name, each in scores.items():
        _print_score(each, f"{name}: " if others else "")


@actions.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), help="The .onnx file; else FOLDER/model.onnx.")
@click.option("--silent", default="", help="Labels that are no events, with commas.")
@click.option("--force", is_flag=True, help="Write over the file that --to names.")
def export(folder: Path, to: Path | None, silent: str, force: bool) -> None:
    """Write the model trained in FOLDER as ONNX with its sidecar, checked against torch on both engines."""
    session = need_torch("pipelines.train.actions.session")
    target = to or folder / "model.onnx"
    if target.suffix != ".onnx":
        raise ModelError(f"{target}: name a file that ends in .onnx")
    quiet = tuple(word.strip() for word in silent.split(",") if word.strip())
    if to is not None:
        check_outputs((to, to.with_suffix(".yaml")), (folder / session.MODEL, folder / session.CHECKPOINT))
        if not force and (there := [p for p in (to, to.with_suffix(".yaml")) if p.exists()]):
            raise ModelError(f"{there[0]}: is there already: give another name, or --force to write over it")
    with refusals():
        opened, trained = session.load_model(folder / session.MODEL)
        session.export_model(opened, trained, target, quiet)
    click.echo(f"wrote {target} and {target.with_suffix('.yaml')}")


# ---- what is printed


class _Bar:
    """One line of progress that is redrawn; nothing where output is for a program."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: Any = None

    def step(self, what: str, done: int, total: int) -> None:
        if self._progress is None:
            return
        if self._task is None:
            self._task = self._progress.add_task(what, total=total)
        self._progress.update(self._task, description=what, completed=done, total=total)


@contextmanager
def _progress_bar(quiet: bool) -> Iterator[_Bar]:
    if quiet:
        yield _Bar(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)


def _epoch_line(epoch: Any) -> str:
    held = "" if epoch.val_loss is None else f", held back {epoch.val_loss:.3f} ({epoch.val_accuracy:.1%})"
    return f"loss {epoch.train_loss:.3f}{held}"


def _print_result(result: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    if result.get("search"):
        _print_trials(result["search"])
    for head, scores in (("", result), *result.get("heads", {}).items()):
        for name in ("validation", "test"):
            if scores.get(name):
                low, high = scores[name]["interval_95"]
                click.echo(
                    f"{f'{head}, ' if head else ''}{name}: accuracy {scores[name]['accuracy']:.1%} "
                    f"({low:.1%} to {high:.1%}), macro F1 {scores[name]['macro_f1']:.1%}, "
                    f"of {scores[name]['n']}"
                )
    if "folds" not in result:
        click.echo(f"wrote {out}/model.onnx, model.yaml, model.pt, result.json and pictures")


def _print_trials(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(name.removeprefix("augment."))
    for row in rows[:SHOWN_TRIALS]:
        table.add_row(*(str(row.get(name, "")) for name in names))
    Console(highlight=False).print(table)


def _print_score(score: AnyScore, head: str = "") -> None:
    low, high = score.interval
    click.echo(
        f"{head}accuracy {score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}), "
        f"macro F1 {score.macro_f1:.1%}, of {score.n}"
    )
    table = Table(box=None, pad_edge=False)
    for title in ("LABEL", "N", "PRECISION", "RECALL", "F1"):
        table.add_column(title)
    for row in score.per_class():
        table.add_row(row["label"], str(row["n"]), *(f"{row[k]:.1%}" for k in ("precision", "recall", "f1")))
    Console(highlight=False).print(table)
