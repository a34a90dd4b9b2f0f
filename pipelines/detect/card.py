"""A model's card: what its file does not say. Kept as YAML beside the model in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.detect.errors import ModelRefused
from pipelines.detect.labels import group_in_card

_MAX_BYTES = 256 * 1024
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class ScoreLimits(NamedTuple):
    """ByteTrack's two thresholds: boxes below `low` are ignored, those from there to `high` are low ones."""

    low: float
    high: float

    @property
    def high_threshold(self) -> float:
        """For Detections: 0 where no box is a low one."""
        return self.high if self.low < self.high else 0.0


class Quantization(BaseModel):
    """What an int8 model was made of, and what it kept of that: against the float model in float32, on
    pictures that it was not calibrated on. `boxes` the float model's there, `found` those of them that int8
    finds, `given` all that it gives, each at the card's score; `ap50` of 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    of: str = Field(pattern=r"^[0-9a-f]{64}$")  # SHA-256 of the float model
    ranges: str
    pictures: int
    boxes: int
    found: int
    given: int
    ap50: float


class ModelCard(BaseModel):
    """`classes` maps each class name, in the order of the model's class ids, to its group; `joints` names the
    keypoints of a pose model in their order.

    Empty or None means: take it from the file's own metadata and shapes. `input_size` (width, height) in
    pixels is for graphs of free size only. `input_shape` "picture" lets OpenVINO run the graph at the shape
    of the picture instead of its own square, where the graph can: 40 % less work for 16:9, at slightly lower
    scores (docs/decisions/009-detector-input.md). `masks`: of a segmentation model the masks are computed
    too, for who asks for them (pictures in which people are hidden or drawn).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    head: str | None = None
    classes: dict[str, str] = Field(default_factory=dict)
    joints: tuple[str, ...] = ()
    score: Share = 0.25  # the high threshold; boxes below are ignored, or low ones from `low_score` on:
    low_score: Share | None = None  # tracks go on with them, and none is proven by them
    nms_iou: Share = 0.5  # overlapping more than this within a group, the lower score goes
    input_size: tuple[int, int] | None = None
    input_shape: Literal["fixed", "picture"] = "fixed"
    precision: Literal["auto", "f32"] = "auto"
    masks: bool = False
    licence: str = ""
    quantized: Quantization | None = None  # of an int8 model that was made here

    @field_validator("classes")
    @classmethod
    def _named(cls, classes: dict[str, str]) -> dict[str, str]:
        if not all(name and group for name, group in classes.items()):
            raise ValueError("a class or group has an empty name")
        return {name: group_in_card(name, group) for name, group in classes.items()}

    @field_validator("input_size")
    @classmethod
    def _sane(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size is not None and not all(32 <= n <= 4096 and n % 32 == 0 for n in size):
            raise ValueError("width and height must be multiples of 32 from 32 to 4096")
        return size

    @model_validator(mode="after")
    def _lower(self) -> ModelCard:
        if self.low_score is not None and self.low_score > self.score:
            score_is_given = "score" in self.model_fields_set
            raise ValueError(
                f"low_score {self.low_score:g} must not be above score, which is {self.score:g}"
                + ("" if score_is_given else " where it is not given")
            )
        return self

    def limits(self, score: float | None = None) -> ScoreLimits:
        """The scores that count, with `score` instead of the card's own where it is given."""
        high = self.score if score is None else score
        low = high if self.low_score is None else min(self.low_score, high)
        return ScoreLimits(low, high)


def read_sidecar(path: Path, unreadable: str, expected: str) -> dict[Any, Any]:
    """What a model's YAML file holds; a card is made of it.

    Raises ModelRefused, with `unreadable` or the keys that were `expected`, if there is nothing of the kind.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelRefused(f"{path}: larger than {_MAX_BYTES} bytes: not a model's sidecar")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror or error}: {unreadable}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRefused(f"{path}: not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(data, dict):
        raise ModelRefused(f"{path}: expected keys such as {expected}")
    return data


def fault_of(error: ValidationError) -> str:
    """The first fault of a card as `key: what is wrong`; without a key where it is between several."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _of_actions(path: Path, window: object) -> str:
    what, key = ("scenes", "scene") if window == 1 else ("actions", "actions")
    return (
        f"{path.with_suffix('.onnx')}: a model of {what}, no detector: give it to a camera (`streamer camera "
        f"set NAME {key}={path.with_suffix('.onnx')}`) or to a clip (--{key})"
    )


def read_card(path: Path) -> ModelCard:
    """Raise ModelRefused, with file and key, if `path` cannot be read or is not a card."""
    data = read_sidecar(path, "the sidecar cannot be read", "classes and score")
    if {"heads", "window"} <= data.keys():
        raise ModelRefused(_of_actions(path, data["window"]))
    try:
        return ModelCard.model_validate(data)
    except ValidationError as error:
        raise ModelRefused(f"{path}: {fault_of(error)}") from error
