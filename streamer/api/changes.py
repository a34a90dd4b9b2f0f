"""The kinds of change to the configuration, as data:

{"op": "camera.put", "camera": {...}, "username": …, "password": …, "replace": false}
{"op": "camera.set", "name": …, "values": {"source.fps": 5, "rules.classes": [...]}, "username": …}
{"op": "camera.rename", "name": …, "to": …}
{"op": "camera.remove" | "camera.enable" | "camera.disable", "name": …}
{"op": "line.put", "camera": …, "line": {...}, "replace": false}      likewise zone.put, mask.put, alert.put
{"op": "line.remove", "camera": …, "name": …}                         likewise zone.remove, …
{"op": "line.rename", "camera": …, "name": …, "to": …}                likewise zone.rename
A rule's change may have `expected`, the rule as it was seen: it is refused where it is another by now.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from pipelines.alerts.rule import AlertSpec
from pipelines.rules import LineSpec, MaskSpec, ZoneSpec
from streamer.api.arguments import Arguments

Word = Annotated[str, Field(max_length=255)]  # a name; which are allowed is said where it is used
Credential = Annotated[str, Field(max_length=1024)]
Keys = Annotated[dict[str, Any], Field(max_length=256)]


class AnyChange(Arguments):
    """What all changes have in common."""


class WithCredentials(AnyChange):
    """Credentials given apart from the URL; those in the URL are split off where these are None."""

    username: Credential | None = Field(default=None, repr=False)
    password: Credential | None = Field(default=None, repr=False)


class CameraPut(WithCredentials):
    op: Literal["camera.put"]
    camera: Keys = Field(repr=False)
    replace: bool = False


class CameraSet(WithCredentials):
    op: Literal["camera.set"]
    name: Word
    values: Keys = Field(default_factory=dict, repr=False)


class CameraRename(AnyChange):
    op: Literal["camera.rename"]
    name: Word
    to: Word


class CameraSwitch(AnyChange):
    op: Literal["camera.remove", "camera.enable", "camera.disable"]
    name: Word


class LinePut(AnyChange):
    op: Literal["line.put"]
    camera: Word
    line: LineSpec
    replace: bool = False
    expected: Keys | None = None


class ZonePut(AnyChange):
    op: Literal["zone.put"]
    camera: Word
    zone: ZoneSpec
    replace: bool = False
    expected: Keys | None = None


class MaskPut(AnyChange):
    op: Literal["mask.put"]
    camera: Word
    mask: MaskSpec
    replace: bool = False
    expected: Keys | None = None


class AlertPut(AnyChange):
    op: Literal["alert.put"]
    camera: Word
    alert: AlertSpec
    replace: bool = False
    expected: Keys | None = None


class RuleRemove(AnyChange):
    op: Literal["line.remove", "zone.remove", "mask.remove", "alert.remove"]
    camera: Word
    name: Word
    expected: Keys | None = None


class RuleRename(AnyChange):
    op: Literal["line.rename", "zone.rename"]
    camera: Word
    name: Word
    to: Word
    expected: Keys | None = None


AnyPut = CameraPut | LinePut | ZonePut | MaskPut | AlertPut
Change = Annotated[
    AnyPut | CameraSet | CameraRename | CameraSwitch | RuleRemove | RuleRename,
    Field(discriminator="op"),
]


class WantedChange(RootModel[Change]):
    """One of them, by its `op`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
