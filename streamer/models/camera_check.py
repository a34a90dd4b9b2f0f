"""What a camera's file cannot know: whether pipeline, model, classes and actions exist and go together."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from pipelines.actions.card import ActionCard, files_of, model_path, read_action_card, sidecar_of
from pipelines.actions.compatibility import (
    MOTION_TRAITS,
    Traits,
    carded_traits,
    check_class_filter,
    check_pair,
    traits_of,
)
from pipelines.camera_rules import CameraRules
from pipelines.class_names import named, named_by_any
from pipelines.defaults import with_defaults
from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.region.spec import around, has_room
from pipelines.rules import LineSpec
from pipelines.spec import ActionsSpec, PipelineSpec, preset, with_actions
from streamer.config.opening_hours import unknown_hours
from streamer.config.schema import CameraConfig, Config
from streamer.errors import ConfigError, ModelError
from streamer.models.model_handle import ModelHandle
from streamer.models.store import ModelStore

MIN_FPS = 1.0  # docs/counting.md
MOTION_CLASSES: tuple[str, ...] = ("object",)  # of the motion detector, which has no model card


def check_camera(config: Config, camera: CameraConfig) -> None:
    """Raises ConfigError or ModelError."""
    spec = pipeline_of(camera)
    actions = None if spec.actions is None else _actions_card(camera, spec.actions)
    _check_alerts(config, camera, spec, actions)
    installed = chosen_model(config, camera, spec)
    if spec.actions is not None and actions is not None:
        traits = MOTION_TRAITS if installed is None else carded_traits(installed.card)
        _check_pair(camera, actions, spec.actions, traits)
    groups = _groups_of(installed)
    if not groups:
        return
    classes_known = _words(groups)
    whose = "the motion detector" if installed is None else f"model {installed.display_name}"
    for word, where in _classes_named(with_defaults(camera.rules, spec)):
        if not named(word, classes_known):
            near = difflib.get_close_matches(word, classes_known, n=1)
            examples = ", ".join(classes_known[:12]) + (", …" if len(classes_known) > 12 else "")
            hint = f"did you mean {near[0]!r}?" if near else f"{whose} has {examples}"
            if word in MOTION_CLASSES:
                hint += f"; `streamer camera set {camera.name} model=motion` for the motion detector"
            raise ConfigError(f"camera {camera.name}: {where}: unknown class {word[:40]!r}: {hint}")
    if spec.actions is not None and actions is not None and installed is not None:
        _check_class_filter(camera, actions, spec, installed.card)


def counted_classes(config: Config, camera: CameraConfig, line: LineSpec) -> tuple[str, ...]:
    """The classes of the camera's detector that `line` counts, as its events name them; empty where the
    detector does not say which it has. Raises ConfigError or ModelError."""
    spec = pipeline_of(camera)
    groups = _groups_of(chosen_model(config, camera, spec))
    filters = (with_defaults(camera.rules, spec).classes, line.classes)
    return tuple(
        name
        for name, group in groups.items()
        if all(not words or named_by_any(words, (name, group)) for words in filters)
    )


def words_for_classes(config: Config, camera: CameraConfig) -> tuple[str, ...]:
    """The groups and classes that the camera's detector tells, groups first; empty where it does not say
    which it has. Raises ConfigError or ModelError."""
    return _words(_groups_of(chosen_model(config, camera, pipeline_of(camera))))


def _words(groups: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*groups.values(), *groups)))


def _groups_of(installed: ModelHandle | None) -> dict[str, str]:
    """The classes that a detector tells and the group of each; empty where its card does not say."""
    return dict.fromkeys(MOTION_CLASSES, MOTION_CLASSES[0]) if installed is None else installed.card.classes


def chosen_model(config: Config, camera: CameraConfig, spec: PipelineSpec) -> ModelHandle | None:
    """The model that counts for a camera, `spec` being its pipeline; None for motion. Raises ModelError."""
    engine = spec.detector if spec.detector != "auto" else config.inference.engine
    try:
        return ModelStore(config.state_path / "models").choose(engine, camera.model or spec.model)[1]
    except ModelError as error:
        raise ModelError(f"camera {camera.name}: {error}") from error


def _check_alerts(
    config: Config, camera: CameraConfig, spec: PipelineSpec, actions: ActionCard | None
) -> None:
    """An alert that could never be raised is refused. Raises ConfigError."""
    for alert in camera.rules.alerts:
        where = f"camera {camera.name}: alert {alert.name}"
        if alert.when is not None and alert.when.hours not in config.opening_hours:
            raise ConfigError(f"{where}: when: {unknown_hours(alert.when.hours, config.opening_hours)}")
        if alert.action is not None:
            _check_action(where, alert.action, spec, actions)
        if alert.camera == "blind" and not camera.health.enabled:
            raise ConfigError(f"{where}: camera: blind is never known while health.enabled is false")


def _check_action(where: str, action: str, spec: PipelineSpec, card: ActionCard | None) -> None:
    if spec.actions is None or card is None:
        raise ConfigError(f"{where}: action: this camera tells no actions: give it a model (actions: motion)")
    told = [
        label
        for head in card.heads
        for label in head.labels
        if label not in head.silent and (not spec.actions.labels or label in spec.actions.labels)
    ]
    if action not in told:
        raise ConfigError(
            f"{where}: action: {action[:40]!r} is never told; the model tells {', '.join(told)}"
        )


def advice_on(camera: CameraConfig) -> list[str]:
    """What may be, and will not do what its owner hopes for; lines for people."""
    fps = camera.source.fps
    if fps == "auto" or not 0 < fps < MIN_FPS:
        return _advice_on_region(camera)
    return [
        *_advice_on_region(camera),
        f"camera {camera.name}: at {fps:g} frames a second nobody who moves can be followed or counted: "
        f"set fps to {MIN_FPS:g} at least, better 2; 0 is as many as fit",
    ]


def _advice_on_region(camera: CameraConfig) -> list[str]:
    """Of what is drawn (almost) to the edge of a region that lies within the picture."""
    rules = camera.rules
    if isinstance(rules.region, str):
        return []
    return [
        f"camera {camera.name}: {what} {item.name!r} reaches to the region's edge, where objects are cut and "
        "tracks begin: widen the region to an object's size beyond it"
        for what, items in (("line", rules.lines), ("zone", rules.zones))
        for item in items
        if not has_room(around(item.points), rules.region)
    ]


def check_actions(camera: CameraConfig, detector: Detector) -> None:
    """Whether a detector that is loaded goes with the camera's actions, if it has any. Raises ModelError."""
    spec = pipeline_of(camera)
    if spec.actions is not None:
        _check_pair(camera, _actions_card(camera, spec.actions), spec.actions, traits_of(detector))


def _actions_card(camera: CameraConfig, actions: ActionsSpec) -> ActionCard:
    try:
        return read_action_card(sidecar_of(model_path(actions.model)))
    except ModelRefused as error:
        raise ModelError(f"camera {camera.name}: actions: {error}") from error


def _check_pair(camera: CameraConfig, card: ActionCard, actions: ActionsSpec, detector: Traits) -> None:
    """What the graphs alone tell is said when they are loaded."""
    try:
        check_pair(model_path(actions.model), card, actions, detector)
    except ModelRefused as error:
        raise ModelError(f"camera {camera.name}: actions: {error}") from error


def _check_class_filter(
    camera: CameraConfig, card: ActionCard, spec: PipelineSpec, detector: ModelCard
) -> None:
    """Whether the camera's classes leave anybody whose actions could be told."""
    assert spec.actions is not None
    class_filter = with_defaults(camera.rules, spec).classes
    try:
        check_class_filter(
            model_path(spec.actions.model), card, spec.actions.groups, class_filter, detector.classes
        )
    except ValueError as error:
        raise ConfigError(f"camera {camera.name}: actions: {error}") from error


def pipeline_of(camera: CameraConfig) -> PipelineSpec:
    """The camera's preset with its own actions. Raises ConfigError with the names that exist."""
    try:
        return with_actions(preset(camera.pipeline), camera.actions, camera.actions_pause_s)
    except ValueError as error:
        raise ConfigError(f"camera {camera.name}: {error}") from error


def _classes_named(rules: CameraRules) -> Iterator[tuple[str, str]]:
    for word in rules.classes:
        yield word, "classes"
    for word in rules.limits:
        yield word, "limits"
    for kind, items in rules.named():
        for item in items:
            for word in item.classes:
                yield word, f"{kind} {item.name}"


def model_files(config: Config) -> list[Path]:
    """Those on which it hangs whether the cameras' models pass, there or not. Raises ConfigError or
    StorageError.
    """
    store = ModelStore(config.state_path / "models")
    files: list[Path] = []
    for camera in config.cameras:
        spec = pipeline_of(camera)
        files += store.files_of(camera.model or spec.model)
        files += files_of(spec.actions.model) if spec.actions is not None else []
    return files
