"""What each route answers in JSON: the schemas of /openapi.json, made of models.

Rules, settings, model cards and the look at a camera are the models of the configuration, the store and the
sources themselves. No key may come that stands in none: schemathesis and tests/streamer/test_api_answers.py
hold real answers against these.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.config import JsonDict

from streamer.config.schema import CameraConfig
from streamer.sources.report import ProbeReport


def _without_default(schema: JsonDict) -> None:
    schema.pop("default", None)


def maybe(alias: str | None = None) -> Any:
    """A key that is left out where there is nothing to tell, and is never null for that."""
    return Field(default=None, alias=alias, json_schema_extra=_without_default)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Named(Answer):
    """What an operator gave a name, and which cameras use it."""

    name: str
    in_package: bool
    problem: str = Field(description="why it cannot be used; empty where it can")
    cameras: list[str]


class Word(Answer):
    status: str


class Revision(Answer):
    config_rev: int = Field(ge=0, description="the revision that is in force now")


class Session(Answer):
    name: str
    role: str
    cameras: list[str] | None = Field(description="those that it is for; null: all")
    csrf: str | None = Field(description="for X-CSRF-Token; null without a session")
    pictures: bool
    people: str
    timezone: str
    box: str


# ---- how the daemon stands


class Worker(Answer):
    name: str
    role: str
    state: str
    restarts: int
    rss_mb: float
    cpu_s: float
    last_error: str


class LedgerState(Answer):
    """Null while the delivery worker has not said it yet."""

    state: str | None
    bytes: int | None
    max_bytes: int | None
    oldest: str | None
    undelivered: int | None
    retention_days: float | None
    commit_ms_p99: float | None
    last_error: str


class SinkState(Answer):
    state: str | None
    written: int | None
    undelivered: int | None
    visible_ms_p50: float | None
    last_error: str


class Disk(Answer):
    total: int
    free: int


class Status(Answer):
    display_name: str
    node: str
    version: str
    uptime_s: float
    config_rev: int
    workers: list[Worker]
    ledger: LedgerState
    sinks: dict[str, SinkState]
    disk: Disk | None
    warnings: list[str]


class CameraHealth(Answer):
    name: str
    level: Literal["ok", "warn", "fail"]
    state: str
    seen: str | None = Field(
        description="whether it can be believed (frozen, black, …); null: nobody watches"
    )
    since_ns: int | None = Field(description="since when, Unix time")
    why: list[str] = Field(description="what is wrong, and what to do")


class WorkerHealth(Answer):
    name: str
    state: str
    why: str


class Overall(Answer):
    level: Literal["ok", "warn", "fail"]
    cameras: list[CameraHealth]
    workers: list[WorkerHealth] = Field(description="those that are not ready")


# ---- cameras


class Percentiles(Answer):
    p50: float | None
    p99: float | None


class Detector(Answer):
    """Empty while none is loaded."""

    name: str = maybe()
    engine: str = maybe()
    model: str | None = maybe()
    precision: str = maybe()
    warnings: list[str] = maybe()


class Health(Answer):
    state: str
    detail: str
    since_ns: int


class Frames(Answer):
    """decoded = inferred + gated + the sum of dropped + in_flight."""

    decoded: int
    inferred: int
    gated: int
    dropped: dict[str, int] = Field(description="reason: frames")
    in_flight: int


class Histogram(Answer):
    buckets: list[tuple[float | None, int]] = Field(description="[upper bound in seconds, frames]")
    sum_s: float


class CpuParts(Answer):
    decode: float = Field(description="reading, decoding and scaling")
    inference: float = Field(description="the detector")
    rest: float = Field(description="tracking, counting, events")


class NeededRate(Answer):
    fps: float = Field(description="analysed frames a second that the scene needs now; 0: every one")
    why: str


class RegionInForce(Answer):
    asked: Literal["auto", "fixed"]
    box: list[float] = Field(description="x1, y1, x2, y2 of what is inferred, in shares of the picture")
    share: float = Field(description="of the picture's area")
    zoom: bool
    why: str


class CameraRow(Answer):
    name: str
    enabled: bool | None = Field(description="null where its file cannot be read")
    state: str
    detail: str
    width: int
    height: int
    codec: str
    fps_decoded: float
    level: str = Field(description="how much of it is looked at; empty where it never rests")
    decoding_spared: bool = Field(description="decoded without the deblocking filter: the box is full")
    clip_buffer_mb: float | None = Field(description="its packets kept for clips; null where none are")
    fps_inferred: float
    rate: NeededRate | None = Field(description="null where source.fps is not auto")
    region: RegionInForce | None = Field(description="null where no region is asked for")
    age_ms: Percentiles
    cores: CpuParts = Field(description="processor cores that it takes now")
    epoch: int
    generation: int
    worker: str
    infer_worker: str
    pipeline: str
    detector: Detector
    health: Health | None
    scene: dict[str, Any] | None
    alerts: list[dict[str, Any]]
    opens: int
    site: str | None = maybe()
    term: int | None = maybe()
    owned: bool | None = maybe()
    warning: str
    quarantine_s: float | None = maybe()
    restarts: int
    frames: Frames
    latency: dict[str, Histogram]
    cpu_s: CpuParts = Field(description="CPU seconds since the daemon began")


class Cameras(Answer):
    cameras: list[CameraRow]


class Camera(Answer):
    name: str
    settings: CameraConfig | None = Field(
        description="null where its file cannot be read; url: for operators"
    )
    running: CameraRow | None


def _looked() -> type[Answer]:
    """The report of a look at a camera."""
    hints = get_type_hints(ProbeReport)
    found: dict[str, Any] = {field.name: (hints[field.name], ...) for field in fields(ProbeReport)}
    shape = {"ok": (bool, ...), "jpeg_base64": (str, maybe()), **found}
    return create_model("Looked", __base__=Answer, **shape)


Looked = _looked()


class Added(Revision):
    probe: Looked = maybe()  # type: ignore[valid-type]


# ---- models


class Model(Named):
    """Beside these the keys of its card."""

    model_config = ConfigDict(extra="allow")
    default: bool


class Models(Answer):
    models: list[Model]


class Head(Answer):
    name: str
    labels: list[str]
    silent: list[str]


class ActionModel(Named):
    heads: list[Head] = maybe()


class Actions(Answer):
    actions: list[ActionModel]


def rules(plural: str, model: type[BaseModel]) -> type[BaseModel]:
    """All rules of a kind: they, and their ETags by name."""
    shape: dict[str, Any] = {plural: (list[model], ...), "etags": (dict[str, str], ...)}  # type: ignore[valid-type]
    return create_model(plural.capitalize(), __base__=Answer, **shape)
