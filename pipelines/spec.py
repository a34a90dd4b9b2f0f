"""What a pipeline is made of, as validated data: a preset in `presets/*.yaml`, loaded by `preset()`."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from pydantic import Field

from pipelines.rules import Anchor, Name, PathText, Rules, Unit

MAX_PAUSE_S = 3600.0


class RuleDefaults(Rules):
    """What a preset adds to a camera's rules where they leave it open (defaults.py).

    `anchor` replaces "auto" of lines and zones. `occupancy`: lines with directions called `in` and `out`
    give one, unless the rules have any. `speed`: a calibrated camera's lines measure it, unless the rules
    say where.
    """

    anchor: Anchor = "auto"
    occupancy: bool = False
    speed: bool = False


class ActionsSpec(Rules):
    """What tracked people do, by a model of actions: the name of one that comes with the package, or the
    path of an exported .onnx with its sidecar.

    `labels`: those that become events; empty: all that the model does not call silent. `min_duration_s` None:
    the model's own. `pause_s`: what begins again within it is still the same, and not told again. `groups` of
    tracks that are looked at; empty: the model's own.
    """

    model: str = "motion"
    labels: tuple[str, ...] = ()
    min_duration_s: float | None = Field(default=None, ge=0, le=60)
    pause_s: float = Field(default=10.0, ge=0, le=MAX_PAUSE_S)
    groups: tuple[str, ...] = ()


class SceneSpec(Rules):
    """What a camera's whole picture shows: the path of a classifier of pictures (an exported .onnx with its
    sidecar), and how often it looks."""

    model: PathText = Field(min_length=1, max_length=4096)
    interval_s: float = Field(default=5.0, ge=0.2, le=3600)


class PipelineSpec(Rules):
    """Which parts a pipeline is made of. `detector` is an engine of the registry or "auto".

    `classes` are those that a camera without any of its own is asked for.
    """

    name: Name
    description: str = ""
    detector: str = "auto"
    model: str | None = None  # a name in the model store, or motion; None: the default
    score: Unit | None = None  # None: the model's own default
    classes: tuple[str, ...] = ()
    defaults: RuleDefaults = RuleDefaults()
    actions: ActionsSpec | None = None


def with_actions(spec: PipelineSpec, model: str | None, pause_s: float | None = None) -> PipelineSpec:
    """The spec with this model of actions, and this pause, in place of its own; None: as it is."""
    if model is None and spec.actions is None:
        return spec
    overrides = {"model": model, "pause_s": pause_s}
    actions = (spec.actions or ActionsSpec()).model_copy(
        update={key: value for key, value in overrides.items() if value is not None}
    )
    return spec.model_copy(update={"actions": actions})


@cache
def preset(name: str) -> PipelineSpec:
    """The spec in presets/NAME.yaml of this package. Raises ValueError with the names that exist."""
    if name not in preset_names():
        raise ValueError(f"unknown pipeline {name!r}: known are {', '.join(preset_names())}")
    text = (resources.files("pipelines") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    return PipelineSpec.model_validate({"name": name, **yaml.safe_load(text)})


@cache
def preset_names() -> tuple[str, ...]:
    files = (resources.files("pipelines") / "presets").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))
