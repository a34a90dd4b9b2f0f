"""What commands on clips are asked with: lines, zones, preset and model; and the bar of their progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.actions.engine import ActionEngine
from pipelines.actions.factory import create_engine
from pipelines.camera_rules import CameraRules, in_timezone
from pipelines.defaults import with_defaults
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.rules import Anchor, LineSpec, ZoneSpec, check_name
from pipelines.scene.model import SceneModel
from pipelines.scene.tracker import SceneTracker
from pipelines.spec import PipelineSpec, preset, with_actions
from streamer.cli.click_types import ANALYSIS_WIDTH
from streamer.cli.rules import normalised
from streamer.clips.analyze import ClipStart
from streamer.clips.stored_detections import StoredDetections, load_detections
from streamer.config.opening_hours import Hours, unknown_hours
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.config.validation_errors import explain
from streamer.config.yaml_reader import read
from streamer.errors import ConfigError, ModelError
from streamer.models.auto_tune import fitting
from streamer.models.model_handle import MOTION, open_detector
from streamer.models.store import ModelStore
from streamer.sources.base import SourceInfo
from streamer.sources.stream_selection import selection_note

Pair = tuple[float, float]
Drawn = tuple[str, list[Pair]]  # a name and the points as typed


MAX_MISSING = 0.1  # of the time that a clip says it lasts


@dataclass(frozen=True)
class Drawing:
    """The lines and zones of the command line."""

    lines: list[Drawn]
    zones: list[Drawn]
    pixels: bool
    anchor: Anchor
    inward: str | None = None  # the side of every line that is inside: "left" or "right"
    rules: CameraRules = field(default_factory=CameraRules)  # of a file, to which those are added
    spec: PipelineSpec | None = None  # whose defaults complete them


def given(option: str) -> bool:
    """Whether the command that runs was given this option."""
    return click.get_current_context().get_parameter_source(option) is not ParameterSource.DEFAULT


def refuse_with_boxes(clip: str, *, also_read: bool = False) -> None:
    """For stored detections, beside which their video may be read. Raises ConfigError where an option was
    given that makes boxes of pictures.
    """
    for option in ("model", "engine", "score", "width", "stream"):
        if given(option) and not (also_read and option == "stream"):
            shown = ANALYSIS_WIDTH[0] if option == "width" else f"--{option}"
            raise ConfigError(f"{clip}: stored detections have their boxes already: leave {shown} out")


def site_rules(store: ConfigStore, path: Path) -> CameraRules:
    """As read_rules(), with times of day by the site's clock, as a daemon has them. Raises ConfigError."""
    return in_timezone(read_rules(path), _settings(store).timezone)


def _settings(store: ConfigStore) -> Config:
    return store.settings() if store.exists() else Config()


class _RulesFile(BaseModel):
    """A camera's file, of which the rules alone are wanted."""

    rules: CameraRules = CameraRules()


def read_rules(path: Path) -> CameraRules:
    """The rules of a YAML file: a camera's file, or what stands under its `rules`. Raises ConfigError."""
    document = read(path, advice="write `lines:` or `zones:` as in a camera's file")
    if "rules" in document.data:
        return document.check(_RulesFile).rules
    return document.check(CameraRules)


def parse_drawn(text: str, kind: str, least: int) -> Drawn:
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


def drawn_rules(drawn: Drawing, clip_size: tuple[int, int], classes: tuple[str, ...]) -> CameraRules:
    """`clip_size` is (width, height), which points in pixels are shares of. Raises ConfigError."""
    size = clip_size if drawn.pixels else None
    ways = _ways(drawn.inward)
    try:
        lines = tuple(
            LineSpec(name=name, points=_unit(points, size), anchor=drawn.anchor, **ways)
            for name, points in drawn.lines
        )
        zones = tuple(
            ZoneSpec(name=name, points=_unit(points, size), anchor=drawn.anchor)
            for name, points in drawn.zones
        )
        update: dict[str, Any] = {"lines": drawn.rules.lines + lines, "zones": drawn.rules.zones + zones}
        if classes:
            update["classes"] = classes
        rules = CameraRules.model_validate(drawn.rules.model_copy(update=update).model_dump())
        return rules if drawn.spec is None else with_defaults(rules, drawn.spec)
    except ValidationError as error:
        raise ConfigError(explain(error, CameraRules)[1]) from error


def _ways(inward: str | None) -> dict[str, str]:
    """The names of a line's directions, where a side of it is inside."""
    if inward is None:
        return {}
    names = ("in", "out") if inward == "right" else ("out", "in")
    return dict(zip(("left_to_right", "right_to_left"), names, strict=True))


def _unit(points: Sequence[Pair], size: tuple[int, int] | None) -> tuple[Pair, ...]:
    return tuple(normalised(points, size))


def chosen_spec(
    name: str, engine: str | None, score: float | None, actions: str | None = None
) -> PipelineSpec:
    try:
        spec = preset(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return with_actions(spec, actions).model_copy(
        update={"detector": engine or spec.detector, "score": spec.score if score is None else score}
    )


def chosen_actions(spec: PipelineSpec, detector: Detector, threads: int = 1) -> ActionEngine | None:
    """The engine of the pipeline's actions, where it has any. Raises ModelError."""
    if spec.actions is None:
        return None
    try:
        return create_engine(spec.actions, detector, threads=max(1, threads))
    except (ModelRefused, ValueError) as error:
        raise ModelError(str(error)) from error


def chosen_scene(
    store: ConfigStore, path: Path | None, interval_s: float, model: str | None
) -> SceneTracker | None:
    """What looks at the whole picture, where that is asked for. Its detector, if it needs one, may be the
    `model` of the clip or any of the store. Raises ModelError."""
    if path is None:
        return None
    installed = models_of(store)

    def find(sha256: str) -> Path | None:
        given = None if model is None else installed.resolve(model)
        if given is not None and sha256_of(given.path) == sha256:
            return given.path
        return installed.find(sha256)

    try:
        return SceneTracker(SceneModel(path, find_detector=find), interval_s)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def models_of(store: ConfigStore) -> ModelStore:
    """The store of the configuration, or of the usual place where there is none."""
    config = _settings(store)
    return ModelStore((config.state_dir or store.default_state_dir()) / "models")


def chosen_detector(
    store: ConfigStore, spec: PipelineSpec, model: str | None, threads: int, masks: bool = False
) -> Detector:
    """The model named, else the preset's, else the default: the store's, or the one in the package; with
    `masks` where pictures are made of them, and the model's sidecar says so."""
    config = _settings(store)
    state_dir = config.state_dir or store.default_state_dir()
    models = ModelStore(state_dir / "models")
    if spec.detector == MOTION and model not in (None, MOTION):
        raise ConfigError("--engine motion uses no model: leave --model out")
    wanted = spec.detector if spec.detector != "auto" else config.inference.engine
    if wanted == MOTION != spec.detector and model is not None:
        wanted = "auto"  # the model of the command line goes before the engine of the file
    engine, installed = models.choose(wanted, model or spec.model)
    cache_dir = _cache_dir(state_dir)
    if spec.actions is None:
        installed = fitting(wanted, installed, cache_dir)
    detector = open_detector(
        engine,
        installed,
        threads=threads,
        cache_dir=cache_dir,
        score=spec.score,
        masks=masks,
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


def clip_start(store: ConfigStore, rules: CameraRules, text: str | None) -> ClipStart:
    """When a clip begins, for the hours of alerts. Says where they are not looked at. Raises ConfigError."""
    hours = [alert.when.hours for alert in rules.alerts if alert.when is not None]
    if text is None:
        if hours:
            _note_unknown_start("alerts are judged as if their hours held")
        if any(rule.reset_at or rule.reset_at_utc for rule in rules.of("occupancies")):
            _note_unknown_start("occupancies are set back as if the clip began at 00:00 UTC")
        return ClipStart()
    config = _settings(store)
    for name in hours:
        if name not in config.opening_hours:
            raise ConfigError(unknown_hours(name, config.opening_hours))
    zone = ZoneInfo(config.timezone)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--at {text[:40]!r}: is no time such as 2026-11-29T22:00") from error
    at = at if at.tzinfo is not None else at.replace(tzinfo=zone)
    return ClipStart(round(at.timestamp()) * 10**9, Hours(config.opening_hours, config.timezone).is_open)


def _note_unknown_start(what: str) -> None:
    click.secho(f"note: {what}: say when the clip begins, with --at", fg="yellow", err=True)


@contextlib.contextmanager
def frames_progress(frames: int | None) -> Iterator[Any]:
    console = Console(stderr=True)
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("frames", total=frames)
        yield lambda n: bar.advance(task, n)


# ---- what is said of a clip: the stream, a missing end


def say_if_short(clip: str, info: SourceInfo, covered_s: float) -> None:
    """Where a clip states its length but not its number of pictures, by which a truncated one is refused."""
    stated_s = info.duration_s
    if info.frames is None and stated_s is not None and covered_s < (1 - MAX_MISSING) * stated_s:
        click.secho(
            f"note: {clip} says that it lasts {stated_s:.1f} s, and its pictures cover {covered_s:.1f} s: "
            "it may be cut short",
            fg="yellow",
            err=True,
        )


def say_which(clip: str, info: SourceInfo) -> None:
    """On standard error, where there are several."""
    which = selection_note(info.stream, info.videos)
    if which:
        click.secho(f"note: {clip}: {which}; --stream N takes another", fg="yellow", err=True)


# ---- stored detections


def read_stored(path: Path) -> StoredDetections:
    """Says what may make counts differ from the clip's own. Raises SourceError."""
    stored = load_detections(path)
    if stored.lacks_embeddings:
        _warn(
            f"{path} is of an earlier version, without the colours by which people are known where frames "
            "are far apart: if the clip has colours, counts may differ from its own; "
        )
    return stored


def warn_low_confidence_missing(path: Path) -> None:
    _warn(
        f"{path} is of an earlier version, without the boxes of which the detector was not sure: "
        "fewer falls are told than of the clip itself; "
    )


def _warn(what: str) -> None:
    click.secho(f"warning: {what}store it again with --detections", fg="yellow", err=True)
