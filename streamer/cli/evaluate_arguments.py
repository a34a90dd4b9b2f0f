"""What `streamer evaluate` is asked for: gates, lines with named directions, and the setups to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.camera_rules import CameraRules
from pipelines.defaults import with_defaults
from pipelines.evaluate.acceptance import Gate, GateError, parse_gates
from pipelines.evaluate.truth import parse_time
from pipelines.registry import DETECTORS
from pipelines.rules import Anchor, LineSpec
from pipelines.spec import PipelineSpec, preset_names
from streamer.cli.clip_arguments import (
    Drawing,
    chosen_spec,
    drawn_rules,
    parse_drawn,
    refuse_with_boxes,
)
from streamer.config.store import ConfigStore
from streamer.config.validation_errors import explain
from streamer.errors import ConfigError

RulesOf = Callable[[tuple[int, int], PipelineSpec], CameraRules]  # for a picture's (width, height)


@dataclass(frozen=True)
class Setup:
    """One configuration to run: a name for it, what is read, and with what."""

    name: str
    clip: str
    spec: PipelineSpec
    model: str | None
    width: int
    threads: int
    partial: bool
    video: str | None
    stream: int | None


def gates_of(texts: Sequence[str]) -> list[Gate]:
    try:
        return [gate for text in texts for gate in parse_gates(text)]
    except GateError as error:
        raise ConfigError(f"--{error}") from error


def size_of(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f"--truth-size {text[:40]!r}: write WIDTHxHEIGHT, such as 1920x1080")
    return int(width), int(height)


def start_of(text: str | None) -> float:
    if text is None:
        return 0.0
    parts = text.count(":")
    try:
        time_s = parse_time(text if parts == 2 else f"{text}:00")
    except ValueError as error:
        raise ConfigError(f"--start {text[:40]!r}: write a time of day, such as 07:30") from error
    if parts not in (1, 2) or time_s >= 86400:
        raise ConfigError(f"--start {text[:40]!r}: write a time of day, such as 07:30")
    return time_s


def rules_for(store: ConfigStore, asked: dict[str, Any]) -> RulesOf:
    """What makes the rules for a picture's size: those drawn, or a camera's own."""
    classes = tuple(word.strip() for word in (asked["classes"] or "").split(",") if word.strip())
    names = dict(map(_directions, asked["directions"]))
    if asked["camera"] is not None:
        if asked["lines"] or asked["pixels"] or asked["inward"]:
            raise ConfigError("--camera brings its own lines: leave --line, --in and --pixels out")
        rules: CameraRules = store.load_with(asked["camera"])[1].rules
        fixed = _named(rules.model_copy(update={"classes": classes or rules.classes}), names)
        return lambda _, spec: with_defaults(fixed, spec)
    lines = [parse_drawn(text, "line", 2) for text in asked["lines"]]

    def rules_of(size: tuple[int, int], spec: PipelineSpec) -> CameraRules:
        anchor: Anchor = asked["anchor"] or "auto"
        drawn = Drawing(lines, [], asked["pixels"], anchor, asked["inward"], spec=spec)
        return _named(drawn_rules(drawn, size, classes), names)

    return rules_of


def _directions(text: str) -> tuple[str, tuple[str, str]]:
    name, _, both = text.partition("=")
    parts = tuple(part.strip() for part in both.split(","))
    if len(parts) != 2:
        raise ConfigError(
            f"--directions {text[:60]!r}: give NAME=LEFT_TO_RIGHT,RIGHT_TO_LEFT, such as door=in,out"
        )
    return name.strip(), (parts[0], parts[1])


def _named(rules: CameraRules, names: dict[str, tuple[str, str]]) -> CameraRules:
    """The rules with the directions' names of the command line. Raises ConfigError."""
    strange = sorted(set(names) - {line.name for line in rules.lines})
    if strange:
        raise ConfigError(f"--directions {strange[0]}: there is no such line")
    lines = []
    for line in rules.lines:
        right, left = names.get(line.name, (line.left_to_right, line.right_to_left))
        try:
            lines.append(
                LineSpec.model_validate(line.model_dump() | {"left_to_right": right, "right_to_left": left})
            )
        except ValidationError as error:
            said = explain(error, LineSpec)[1]
            raise ConfigError(f"--directions {line.name}={right},{left}: {said}") from error
    return rules.model_copy(update={"lines": tuple(lines)})


def setups_for(asked: dict[str, Any]) -> list[Setup]:
    clip = asked["clip"]
    base = Setup(
        name=Path(clip or "").name,
        clip=clip or "",
        spec=chosen_spec(asked["pipeline_name"], asked["engine"], asked["score"]),
        model=asked["model"],
        width=asked["width"],
        threads=asked["threads"],
        partial=asked["partial"],
        video=asked["video"],
        stream=asked["stream"],
    )
    if not asked["compare"]:
        if clip is None:
            raise ConfigError("give a CLIP, or two files of stored detections with --compare")
        return _checked([base])
    if asked["model"] is not None:
        raise ConfigError("--compare names the models: leave --model out")
    both = [_compared(base, which) for which in asked["compare"]]
    if both[0] == both[1]:
        raise ConfigError(f"--compare {asked['compare'][0]} twice: name two that differ")
    short = [Path(setup.name).name for setup in both]
    if short[0] != short[1]:
        both = [replace(setup, name=name) for setup, name in zip(both, short, strict=True)]
    for setup in both:
        if not setup.clip:
            raise ConfigError(f"--compare {setup.name}: give the CLIP that it shall run on")
    return _checked(both)


def _checked(setups: list[Setup]) -> list[Setup]:
    """Raises ConfigError for options that would be of no use, where nothing but stored boxes is read."""
    if all(setup.clip.endswith(".npz") for setup in setups):
        refuse_with_boxes(setups[0].clip, also_read=setups[0].video is not None)
    return setups


def _compared(base: Setup, which: str) -> Setup:
    """A file of stored detections, a preset, an engine, or else a model."""
    if which.endswith(".npz"):
        return replace(base, name=which, clip=which, model=None)
    if base.clip.endswith(".npz"):
        raise ConfigError(f"--compare {which}: {base.clip} holds detections already: give the video")
    if which in preset_names():
        return replace(base, name=which, spec=chosen_spec(which, None, base.spec.score))
    if which in DETECTORS:
        return replace(base, name=which, spec=base.spec.model_copy(update={"detector": which}))
    return replace(base, name=which, model=which)
