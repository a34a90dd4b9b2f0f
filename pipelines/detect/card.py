"""A model's card: what its file does not say. Kept as YAML beside the model in the store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class ModelCard(BaseModel):
    """`classes` maps each class name, in the order of the model's class ids, to its group.

    Empty or None means: take it from the file's own metadata and shapes. `input_size` (width, height) in
    pixels is for graphs of free size only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    head: str | None = None
    classes: dict[str, str] = Field(default_factory=dict)
    score: Share = 0.25  # boxes below are ignored
    nms_iou: Share = 0.5  # overlapping more than this within a group, the lower score goes
    input_size: tuple[int, int] | None = None
    precision: Literal["auto", "f32"] = "auto"
    licence: str = ""

    @field_validator("classes")
    @classmethod
    def _named(cls, classes: dict[str, str]) -> dict[str, str]:
        if not all(name and group for name, group in classes.items()):
            raise ValueError("a class or group has an empty name")
        return classes

    @field_validator("input_size")
    @classmethod
    def _sane(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size is not None and not all(32 <= n <= 4096 and n % 32 == 0 for n in size):
            raise ValueError("width and height must be multiples of 32 from 32 to 4096")
        return size
