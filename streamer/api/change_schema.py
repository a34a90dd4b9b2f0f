"""The changes that a configuration can take, as data: the same from command line, control socket and page.

{"op": "camera.put", "camera": {...}, "username": …, "password": …, "replace": false}
{"op": "camera.set", "name": …, "values": {"source.fps": 5, "rules.classes": [...]}, "username": …}
{"op": "camera.rename", "name": …, "to": …}
{"op": "camera.remove" | "camera.enable" | "camera.disable", "name": …}
{"op": "line.put", "camera": …, "line": {...}, "replace": false}      likewise zone.put, mask.put
{"op": "line.remove", "camera": …, "name": …}                         likewise zone.remove, mask.remove
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.spec import LineSpec, MaskSpec, ZoneSpec


class AnyChange(BaseModel):
    """Frozen; unknown keys are refused, and a refusal repeats no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class WithCredentials(AnyChange):
    """Credentials given apart from the URL; those in the URL are split off where these are None."""

    username: str | None = Field(default=None, repr=False)
    password: str | None = Field(default=None, repr=False)


class CameraPut(WithCredentials):
    op: Literal["camera.put"]
    camera: dict[str, Any] = Field(repr=False)
    replace: bool = False


class CameraSet(WithCredentials):
    op: Literal["camera.set"]
    name: str
    values: dict[str, Any] = Field(default_factory=dict, repr=False)


class CameraRename(AnyChange):
    op: Literal["camera.rename"]
    name: str
    to: str


class CameraSwitch(AnyChange):
    op: Literal["camera.remove", "camera.enable", "camera.disable"]
    name: str


class LinePut(AnyChange):
    op: Literal["line.put"]
    camera: str
    line: LineSpec
    replace: bool = False


class ZonePut(AnyChange):
    op: Literal["zone.put"]
    camera: str
    zone: ZoneSpec
    replace: bool = False


class MaskPut(AnyChange):
    op: Literal["mask.put"]
    camera: str
    mask: MaskSpec
    replace: bool = False


class RuleRemove(AnyChange):
    op: Literal["line.remove", "zone.remove", "mask.remove"]
    camera: str
    name: str


Change = Annotated[
    CameraPut | CameraSet | CameraRename | CameraSwitch | LinePut | ZonePut | MaskPut | RuleRemove,
    Field(discriminator="op"),
]
