"""What all rules are made of: names, points, and a frozen model that refuses unknown keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
NAME_RULE = "use 1 to 63 of a-z, 0-9 and '-', not starting with '-'"  # the pattern, for people
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Unit, Unit]
Anchor = Literal["auto", "foot", "center", "top"]


class Rules(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
