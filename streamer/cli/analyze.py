"""`streamer analyze CLIP`: count in a clip without a daemon, with the same pipeline.

Counts go to standard output (a table, or one JSON object with --json), everything else to standard error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.detect.detector import Detector
from pipelines.registry import DETECTORS
from pipelines.spec import Anchor, CameraRules, LineSpec, PipelineSpec, ZoneSpec, check_name, preset
from streamer import analyze as analysis
from streamer.analyze import Analysis, Outputs
from streamer.cli.rules import normalised
from streamer.config import Config
from streamer.config_store import ConfigStore
from streamer.detections import load_detections
from streamer.errors import ConfigError, StorageError
from streamer.models import ModelStore, open_detector
from streamer.sources.base import create_source

Pair = tuple[float, float]
Drawn = tuple[str, list[Pair]]  # a name and the points as typed


@dataclass(frozen=True)
class Drawing:
    """The lines and zones of the command line."""

    lines: list[Drawn]
    zones: list[Drawn]
    pixels: bool
    anchor: Anchor


@click.command("analyze")
@click.argument("clip")
@click.option("--model", help="Model file (.onnx), or the name of an installed model.")
@click.option(
    "--line",
    "lines",
    multiple=True,
    metavar="NAME=x1,y1,x2,y2",
    help="Counting line; more points: a poly-line.",
)
@click.option("--zone", "zones", multiple=True, metavar="NAME=x1,y1,x2,y2,x3,y3,…", help="Zone.")
@click.option("--pixels", is_flag=True, help="Points are pixels of the clip, not shares of it.")
@click.option(
    "--anchor",
    type=click.Choice(["center", "foot", "top", "auto"]),
    default="center",
    show_default=True,
    help="The point of a box that crosses; auto: the foot of a person, else the center.",
)
@click.option("--classes", "--class", "classes", help="Only these classes or groups: person,vehicle")
@click.option("--pipeline", "pipeline_name", default="default", show_default=True, help="Preset.")
@click.option("--engine", type=click.Choice(["auto", *DETECTORS]), help="Instead of the preset's own.")
@click.option("--score", type=click.FloatRange(0, 1), help="Least score of a box, instead of the model's.")
@click.option(
    "--width", type=click.IntRange(64, 3840), default=640, show_default=True, help="Analysis width."
)
@click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: all cores.")
@click.option("--render", type=click.Path(path_type=Path), metavar="OUT.mp4", help="Draw what was found.")
@click.option("--events", type=click.Path(path_type=Path), metavar="OUT.jsonl", help="Write every event.")
@click.option(
    "--detections",
    type=click.Path(path_type=Path),
    metavar="OUT.npz",
    help="Store what the detector saw; such a file is a CLIP too.",
)
@click.option("--partial", is_flag=True, help="Count in a truncated clip what there is of it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def analyze(
    store: ConfigStore,
    clip: str,
    model: str | None,
    lines: tuple[str, ...],
    zones: tuple[str, ...],
    pixels: bool,
    anchor: Anchor,
    classes: str | None,
    pipeline_name: str,
    engine: str | None,
    score: float | None,
    width: int,
    threads: int,
    render: Path | None,
    events: Path | None,
    detections: Path | None,
    partial: bool,
    as_json: bool,
) -> None:
    """Count in CLIP (a video file, a synthetic: scene with seconds=, or stored detections .npz).

    \b
    streamer analyze street.mp4 --line 'road=0.1,0.6,0.9,0.6' --classes vehicle
    """
    drawn = Drawing(
        [_parse(text, "line", 2) for text in lines],
        [_parse(text, "zone", 3) for text in zones],
        pixels,
        anchor,
    )
    spec = _spec(pipeline_name, engine, score)
    wanted = tuple(word.strip() for word in (classes or "").split(",") if word.strip()) or spec.classes
    outputs = Outputs(render, events, detections)
    _check_outputs(outputs)
    if clip.endswith(".npz"):
        result = _replay(Path(clip), drawn, wanted, outputs)
    else:
        result = _analyze(
            store,
            clip,
            drawn,
            wanted,
            spec,
            model,
            outputs,
            width=width,
            threads=threads,
            partial=partial,
        )
    if as_json:
        click.echo(json.dumps(as_dict(result)))
    else:
        _print(result)


def _analyze(
    store: ConfigStore,
    clip: str,
    drawn: Drawing,
    classes: tuple[str, ...],
    spec: PipelineSpec,
    model: str | None,
    outputs: Outputs,
    *,
    width: int,
    threads: int,
    partial: bool,
) -> Analysis:
    source = create_source(clip, loop=False, realtime=False)
    with contextlib.closing(source):
        info = source.open()
        if clip.startswith("synthetic:") and info.frames is None:
            raise ConfigError(f"{clip}: this scene has no end: add seconds=60 to its URL")
        rules = _rules(drawn, (info.width, info.height), classes)
        detector = _detector(store, spec, model, threads)
        with _progress(info.frames) as advance:
            return analysis.analyze(
                source,
                info,
                detector,
                rules,
                clip=clip,
                width=width,
                outputs=outputs,
                partial=partial,
                progress=advance,
            )


def _replay(
    path: Path,
    drawn: Drawing,
    classes: tuple[str, ...],
    outputs: Outputs,
) -> Analysis:
    if outputs.render is not None or outputs.detections is not None:
        raise ConfigError(
            f"{path}: stored detections have no pictures: --render and --detections need a video"
        )
    stored = load_detections(path)
    return analysis.replay(stored, _rules(drawn, (stored.width, stored.height), classes), outputs=outputs)


# ---- what was asked for


def _parse(text: str, kind: str, least: int) -> Drawn:
    """ "door=0.1,0.5,0.9,0.5" as its name and points. Raises ConfigError."""
    name, equals, rest = text.partition("=")
    if not equals:
        raise ConfigError(f"--{kind} {text[:60]!r}: give NAME=x1,y1,x2,y2")
    try:
        check_name(name, f"{kind} name")
        numbers = [float(part) for part in rest.split(",")]
    except ValueError as error:
        reason = str(error) if "name" in str(error) else "points are numbers: x1,y1,x2,y2"
        raise ConfigError(f"--{kind} {text[:60]!r}: {reason}") from error
    if any(n != n or n in (float("inf"), float("-inf")) for n in numbers):
        raise ConfigError(f"--{kind} {text[:60]!r}: points must be finite numbers")
    if len(numbers) % 2 or len(numbers) < 2 * least:
        raise ConfigError(
            f"--{kind} {text[:60]!r}: {len(numbers)} numbers, where {least} points or more of x,y are needed"
        )
    return name, list(zip(numbers[::2], numbers[1::2], strict=True))


def _rules(drawn: Drawing, clip_size: tuple[int, int], classes: tuple[str, ...]) -> CameraRules:
    """`clip_size` is (width, height), which points in pixels are shares of. Raises ConfigError."""
    size = clip_size if drawn.pixels else None
    try:
        return CameraRules(
            classes=classes,
            lines=tuple(
                LineSpec(name=name, points=_unit(points, size), anchor=drawn.anchor)
                for name, points in drawn.lines
            ),
            zones=tuple(
                ZoneSpec(name=name, points=_unit(points, size), anchor=drawn.anchor)
                for name, points in drawn.zones
            ),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(str(first["msg"]).removeprefix("Value error, ")) from error


def _unit(points: Sequence[Pair], size: tuple[int, int] | None) -> tuple[Pair, ...]:
    return tuple(normalised(points, size))


def _spec(name: str, engine: str | None, score: float | None) -> PipelineSpec:
    try:
        spec = preset(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return spec.model_copy(
        update={"detector": engine or spec.detector, "score": spec.score if score is None else score}
    )


def _detector(store: ConfigStore, spec: PipelineSpec, model: str | None, threads: int) -> Detector:
    """The model named, else the preset's, else the store's default, else motion: then say so."""
    config = store.load() if store.exists() else Config()
    state_dir = config.state_dir or store.default_state_dir()
    models = ModelStore(state_dir / "models")
    engine = spec.detector
    if engine == "motion" and model is not None:
        raise ConfigError("--engine motion uses no model: leave --model out")
    if engine == "auto":
        engine = config.inference.engine
    installed = None if engine == "motion" and model is None else models.resolve(model or spec.model)
    detector = open_detector(
        "auto" if engine == "motion" and model is not None else engine,
        installed,
        threads=threads,
        cache_dir=_cache_dir(state_dir),
        score=spec.score,
    )
    for warning in detector.describe().get("warnings", []):
        click.secho(f"note: {warning}", fg="yellow", err=True)
    return detector


def _cache_dir(state_dir: Path) -> Path | None:
    """Where compiled models are kept, if this user may write there."""
    folder = state_dir / "cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def _check_outputs(outputs: Outputs) -> None:
    """Refuse at once what could not be written at the end of a long clip."""
    given = [path for path in (outputs.render, outputs.events, outputs.detections) if path is not None]
    if len({path.absolute() for path in given}) < len(given):
        raise ConfigError("two outputs have one name: give each its own")
    for path in given:
        if path.is_dir():
            raise StorageError(f"{path}: is a folder: give a file")
        if not path.parent.is_dir():
            raise StorageError(f"{path}: there is no folder {path.parent}: make it first")


@contextlib.contextmanager
def _progress(frames: int | None) -> Iterator[Any]:
    console = Console(stderr=True)
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("frames", total=frames)
        yield lambda n: bar.advance(task, n)


# ---- what came out


def as_dict(result: Analysis) -> dict[str, Any]:
    """The JSON object of --json."""
    return {
        "frames": result.frames,
        "duration_s": round(result.duration_s, 3),
        "width": result.width,
        "height": result.height,
        "lines": {
            name: {
                "left_to_right": line.left_to_right,
                "right_to_left": line.right_to_left,
                "by_class": line.by_class,
            }
            for name, line in result.lines.items()
        },
        "zones": {
            name: {
                "entered": zone.entered,
                "exited": zone.exited,
                "by_class": zone.by_class,
                "dwell_s": [round(s, 3) for s in zone.dwell_s],
            }
            for name, zone in result.zones.items()
        },
        "detector": result.detector,
    }


def _print(result: Analysis) -> None:
    console = Console()
    console.print(
        f"{result.frames} frames, {result.duration_s:.1f} s, {result.width}x{result.height}, "
        f"{result.detector.get('model') or result.detector.get('engine', '')}"
    )
    if result.lines:
        table = Table("line", "class", "left to right", "right to left")
        for name, line in result.lines.items():
            for kind, sides in sorted(line.by_class.items()):
                table.add_row(name, kind, str(sides["left_to_right"]), str(sides["right_to_left"]))
            table.add_row(name, "all", str(line.left_to_right), str(line.right_to_left), style="bold")
        console.print(table)
    if result.zones:
        table = Table("zone", "entered", "exited", "mean stay (s)")
        for name, zone in result.zones.items():
            mean = f"{sum(zone.dwell_s) / len(zone.dwell_s):.1f}" if zone.dwell_s else ""
            table.add_row(name, str(zone.entered), str(zone.exited), mean)
        console.print(table)
    if not result.lines and not result.zones:
        console.print("nothing was asked for: add --line NAME=x1,y1,x2,y2 or --zone NAME=x1,y1,x2,y2,x3,y3")
