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

from pipelines.detect.errors import ModelRefused
from pipelines.train.actions_clips import only_pictures
from pipelines.train.actions_data import DataRefused
from pipelines.train.actions_score import AnyScore
from pipelines.train.actions_sources import MOVED, Source, check_inputs
from streamer.cli.clip_arguments import models_of
from streamer.cli.numbers import Finite
from streamer.cli.outputs import check_folder, check_outputs
from streamer.errors import ModelError

TEMPORALS = ("lstm", "attention", "mean", "tcn", "stats", "ridge")
SHOWN_TRIALS = 20
CROP_SIZE, SCENE_SIZE = (112, 112), (160, 120)  # of a backbone's input, where none is given


@click.group()
def actions() -> None:
    """Train, evaluate and export models of what people do."""


def data_options(command: Any) -> Any:
    """What says how DATA is read; the same for all commands that take it."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--labels", default="", help="All labels, with commas; else those that occur."),
        click.option("--group-by", default="", help="Regular expression on a clip's path; its first group."),
        click.option("--detector", help="Model of the store, or a path, whose feature maps embed clips."),
        click.option(
            "--inputs",
            default="",
            help="What a frame of a clip is, some of maps, moved (only how maps change), flow (optical) and "
            "people, with commas.  [default: maps]",
        ),
        click.option("--moved", is_flag=True, help="The same as --inputs moved."),
        click.option("--cache", type=path, help="Folder in which embedded clips are kept."),
        click.option(
            "--fps", default=30.0, show_default=True, type=Finite(1, 1000), help="Of files of keypoints."
        ),
        click.option("--threads", default=1, show_default=True, help="Of the CPU."),
    ):
        command = option(command)
    return command


def _detector(which: str | None) -> Path | None:
    """The file of a detector, by its path or its name. Raises ModelError."""
    if which is None:
        return None
    installed = models_of(click.get_current_context().obj).resolve(which)
    if installed is None:
        raise ModelError("the motion detector has no feature maps: choose a model")
    return installed.path


def _source(data: str, given: dict[str, Any]) -> Source:
    labels, inputs = (
        tuple(word.strip() for word in given.pop(name).split(",") if word.strip())
        for name in ("labels", "inputs")
    )
    if given.pop("moved") and MOVED not in inputs:
        inputs = (MOVED, *inputs)
    check_folder(given["cache"], (data,))
    return Source(
        Path(data),
        labels,
        given.pop("group_by"),
        _detector(given.pop("detector")),
        given.pop("cache"),
        given.pop("fps"),
        threads=given.pop("threads"),
        inputs=inputs,
    )


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
        source = _source(data, given)
        check_inputs(source)  # before torch is asked for, and once it is known whether it is a scene's
    session = need_torch("pipelines.train.actions_session")
    with refusals():
        _train(session, data, source, given)


def _train(session: ModuleType, data: str, source: Source, given: dict[str, Any]) -> None:
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
    backbone = _backbone(session, given, source.scene)
    if source.inputs and (backbone is not None or not source.is_clips()):
        raise DataRefused("--inputs and --moved are for clips without a --backbone: leave them out")
    settings = _settings(source, given, backbone is not None)
    if trials and settings.temporal == "ridge":
        raise DataRefused(
            "--search is for nets that learn in steps; ridge has one solution: name another "
            "--temporal, or leave --search out"
        )
    with progress_bar(as_json) as bar:
        opened = session.open_data(source, settings, backbone, bar.step)
        checks = importlib.import_module("pipelines.train.actions_split")
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
                progress=lambda e, n: bar.step(_line(e), e.number, n),
            )
            held = session.part(opened.data, "test")
            tested = session.test_heads(trained, held) if held.sequences else None
            result = session.write_results(out, opened, trained, tested, silent)
            result["search"] = tried
    _print_result(result, out, as_json)


def _backbone(session: ModuleType, given: dict[str, Any], scene: bool) -> Any:
    name, weights, frozen = given.pop("backbone"), given.pop("weights"), given.pop("freeze")
    size = given.pop("size")
    if name is None:
        if weights is not None or frozen or size is not None:
            raise DataRefused("--weights, --freeze and --size are for a --backbone: name one")
        return None
    if frozen and weights is None:
        raise DataRefused("--freeze without --weights: a backbone of random weights must learn: leave it out")
    usual = SCENE_SIZE if scene else CROP_SIZE
    return session.BackboneChoice(name, weights, frozen, usual if size is None else _size(size))


def _size(text: str) -> tuple[int, int]:
    wide, _, high = text.lower().partition("x")
    if not (wide.isdecimal() and high.isdecimal() and all(32 <= int(n) <= 1024 for n in (wide, high))):
        raise DataRefused(
            f"--size {text[:20]!r}: give width and height of 32 to 1024 pixels, such as 224x224"
        )
    return int(wide), int(high)


def _settings(source: Source, given: dict[str, Any], crops: bool) -> Any:
    """The usual settings for the kind of data, and over them what was given."""
    usual = importlib.import_module("pipelines.train.actions_settings")
    if source.is_clips():
        settings = usual.usual_settings("crops" if crops else "features", source.scene)
    else:
        settings = usual.usual_settings("boxes" if source.is_boxes() else "pose")
    names = {"rate": "rate_hz", "stride": "stride_s", "lag": "lag_s"}
    whole = given.pop("whole_clips")
    chosen = {names.get(k, k): v for k, v in given.items() if v is not None}
    if not chosen.get("refit"):
        chosen.pop("refit", None)
    settings = replace(settings, **chosen)
    return replace(settings, rate_hz=None) if whole else settings


def _search(
    session: ModuleType, opened: Any, settings: Any, trials: int, bar: _Bar
) -> tuple[Any, list[dict[str, Any]]]:
    module = importlib.import_module("pipelines.train.actions_search")
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
    module = importlib.import_module("pipelines.train.actions_evaluate")
    with refusals():
        source = _source(data, given)
        check_inputs(source)
    with refusals(), progress_bar(as_json) as bar:
        scores = module.evaluate(model, source, split, engine, bar.step)
    (_, score), *others = scores.items()
    if as_json:
        found = {**score.to_json(), "heads": {name: other.to_json() for name, other in others}}
        click.echo(json.dumps(found, indent=2))
        return
    for name, each in scores.items():
        print_score(each, f"{name}: " if others else "")


@actions.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), help="The .onnx file; else FOLDER/model.onnx.")
@click.option("--silent", default="", help="Labels that are no events, with commas.")
@click.option("--force", is_flag=True, help="Write over the file that --to names.")
def export(folder: Path, to: Path | None, silent: str, force: bool) -> None:
    """Write the model trained in FOLDER as ONNX with its sidecar, checked against torch on both engines."""
    session = need_torch("pipelines.train.actions_session")
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


# ---- what they share


def need_torch(module: str) -> ModuleType:
    """A module that trains. Raises ModelError where torch is not installed."""
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise ModelError(
            "training needs torch, which is not installed: `make install EXTRAS=torch`, or install the "
            "package with its extra [torch]; running a trained model does not need it"
        ) from error
    return importlib.import_module(module)


@contextmanager
def refusals() -> Iterator[None]:
    """What data or a model is refused for, as an error of the command line."""
    try:
        yield
    except (DataRefused, ModelRefused, ValueError) as error:
        raise ModelError(str(error)) from error
    except OSError as error:
        raise ModelError(f"{error.filename or 'file'}: {error.strerror or error}") from error


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
def progress_bar(quiet: bool) -> Iterator[_Bar]:
    if quiet:
        yield _Bar(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)


def _line(epoch: Any) -> str:
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


def print_score(score: AnyScore, head: str = "") -> None:
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
