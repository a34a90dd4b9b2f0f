"""What all rules are made of: names, points, and a frozen model that refuses unknown keys."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
NAME_RULE = "use 1 to 63 of a-z, 0-9 and '-', not starting with '-'"  # the pattern, for people
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PATH_PATTERN = r"^[^\x00-\x1f\x7f]*$"
PATH_RULE = "holds control characters, which no path here does"
PathText = Annotated[str, Field(pattern=PATH_PATTERN)]  # a path, or what may be one
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Unit, Unit]
Anchor = Literal["auto", "foot", "center", "top"]


class Strict(BaseModel):
    """Frozen; unknown keys are refused, and yes and no where a number is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and _is_number(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("should be a number, not yes or no")
        return value


def _is_number(wanted: Any) -> bool:
    """Whether a field of this type, or of this type or None, holds a number."""
    if get_origin(wanted) in (Annotated, Union, UnionType):
        return any(_is_number(kind) for kind in get_args(wanted))
    return wanted in (int, float)


class Rules(Strict):
    """What is told of a camera by its user."""
