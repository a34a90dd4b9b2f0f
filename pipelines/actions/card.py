"""The sidecar of an exported action model: all that the graph does not say. YAML, beside the .onnx file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.actions.inputs import BOX_VALUES, Kind
from pipelines.actions.windows import MIN_FILL
from pipelines.detect.card import fault_of, read_sidecar
from pipelines.detect.errors import ModelRefused

BUNDLED = Path(__file__).resolve().parent / "models"
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HeadCard(_Frozen):
    """`thresholds`: for each label the probability from which it is believed, chosen on validation data.

    `silent` labels are no events: what is usual ("stand", "normal").
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    labels: tuple[str, ...] = Field(min_length=2, max_length=1000)
    kind: Literal["softmax", "sigmoid"] = "softmax"
    thresholds: tuple[Share, ...] = ()
    silent: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> HeadCard:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"head {self.name!r} names a label twice")
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ValueError(
                f"head {self.name!r} has {len(self.labels)} labels and {len(self.thresholds)} thresholds"
            )
        unknown = set(self.silent) - set(self.labels)
        if unknown:
            raise ValueError(f"head {self.name!r}: silent label {sorted(unknown)[0]!r} is none of its labels")
        return self

    def threshold(self, index: int) -> float:
        return self.thresholds[index] if self.thresholds else 0.5


class EmbedderCard(_Frozen):
    """What makes a frame's values out of a picture.

    crops: the backbone's file beside this one, fed with `input_size` (width, height) pixels of the track's
    box, `margin` of its size around it. features: the detector whose maps the model was trained on, by its
    SHA-256, the `strides` of those maps, and whether how they `moved`, or what they hold while `still`, is
    all that is taken of them. Of a whole picture also its optical `flow`, and how the `people` that the
    detector found stand to each other; without maps there are no `strides`, and flow alone has no detector.
    """

    file: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    name: str = ""
    input_size: tuple[int, int] = (112, 112)
    margin: float = Field(default=0.1, ge=0, le=2)
    strides: tuple[int, ...] = ()
    moved: bool = False
    still: bool = False
    flow: bool = False
    people: bool = False

    @model_validator(mode="after")
    def _whole(self) -> EmbedderCard:
        if not self.sha256 and (self.people or self.strides or not self.flow):
            raise ValueError("sha256 is missing: of the backbone, or of the detector")
        return self


class ActionCard(_Frozen):
    """`size`: joints of a pose, else values a frame. `rate_hz` None: whole clips stretched to the window.
    `window` 1: a classifier of single pictures, for a camera's scene."""

    format: Literal[1] = 1
    kind: Kind
    size: int = Field(ge=1, le=8192)
    window: int = Field(ge=1, le=256)
    rate_hz: float | None = Field(default=None, gt=0, le=60)
    lag_s: float = Field(default=0.0, ge=0, le=30)  # a window tells of so long before its end
    fill: float = Field(default=MIN_FILL, ge=0.1, le=1)  # of a window that must have been seen
    heads: tuple[HeadCard, ...] = Field(min_length=1, max_length=8)
    joints: tuple[str, ...] = ()
    embedder: EmbedderCard | None = None
    whole_picture: bool = False  # one window a camera instead of one a track
    groups: tuple[str, ...] = ()  # of tracks it is for, such as person; empty: all
    min_duration_s: float = Field(default=0.5, ge=0, le=60)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    description: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _whole(self) -> ActionCard:
        if self.kind == "pose" and self.joints and len(self.joints) != self.size:
            raise ValueError(f"{len(self.joints)} joints are named, the model takes {self.size}")
        if self.kind == "boxes" and self.size != BOX_VALUES:
            raise ValueError(f"a box has {BOX_VALUES} values, not {self.size}")
        if self.window == 1 and (not self.whole_picture or self.kind not in ("features", "crops")):
            raise ValueError("a window of one frame is for models of whole pictures (features or crops)")
        if self.kind in ("features", "crops") and self.embedder is None:
            raise ValueError(f"a model of {self.kind} needs an embedder")
        moving = self.kind == "features" and self.whole_picture and self.window > 1
        if self.embedder and (self.embedder.flow or self.embedder.people) and not moving:
            raise ValueError("flow and people are inputs of windows of whole pictures (features)")
        names = [head.name for head in self.heads]
        if len(set(names)) < len(names):
            raise ValueError("two heads have one name")
        return self

    @property
    def of_pictures(self) -> bool:
        """Whether it says what a single, whole picture shows."""
        return self.window == 1 and self.whole_picture

    def frame_shape(self) -> tuple[int, ...]:
        """The shape of one frame's raw values."""
        return (self.size, 3) if self.kind == "pose" else (self.size,)


def model_path(name: str) -> Path:
    """Where a bundled model of this name is, or the path that it is itself. Raises ModelRefused."""
    path = _path_of(name)
    if path.parent == BUNDLED and not path.is_file():
        names = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.onnx")))
        raise ModelRefused(f"no model of actions {name!r}: give {names}, or the path of an .onnx file")
    return path


def files_of(name: str) -> list[Path]:
    """The files of the model that a name or path means, there or not."""
    path = _path_of(name)
    return [path, path.with_suffix(".yaml")]


def _path_of(name: str) -> Path:
    return Path(name) if "/" in name or name.endswith(".onnx") else BUNDLED / f"{name}.onnx"


def sidecar_of(model: Path) -> Path:
    """The .yaml beside a model file. Raises ModelRefused where there is no such .onnx file."""
    if not model.is_file():
        raise ModelRefused(f"{model}: no such model file: give the .onnx that `streamer actions` wrote")
    if model.suffix != ".onnx":
        raise ModelRefused(f"{model}: not an .onnx file: give the one that `streamer actions` wrote")
    return model.with_suffix(".yaml")


def read_action_card(path: Path) -> ActionCard:
    """Raise ModelRefused, with file and key, if `path` cannot be read or is not an action model's card."""
    data = read_sidecar(
        path, "an action model is a .onnx file and its .yaml beside it", "kind, window and heads"
    )
    if "kind" not in data and "nms_iou" in data:
        raise ModelRefused(f"{path}: of a detector: give a model that `streamer actions` wrote")
    try:
        return ActionCard.model_validate(data)
    except ValidationError as error:
        raise ModelRefused(f"{path}: {fault_of(error)}: export the model again") from error


def write_action_card(path: Path, card: ActionCard) -> None:
    """As YAML that read_action_card() takes. Raises OSError."""
    head = (
        "# Of an action model. May be edited: thresholds, silent, groups, min_duration_s.\n"
        "# The rest belongs to the graph.\n"
    )
    path.write_text(head + yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
