"""The configuration: `streamer.yaml` and one file a camera in `cameras.d`. load() parses and validates.

Models are frozen pydantic models; a wrong value ends in ConfigError with file, line and key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.spec import CameraRules, Name

Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceOptions(_Section):
    """How a camera's stream is read."""

    fps: float = Field(default=0.0, ge=0, le=120)  # analysed frames a second; 0: as many as fit
    analysis_width: int = Field(default=640, ge=64, le=3840)
    loop: bool = False
    realtime: bool = True
    open_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 5.0


class CameraConfig(_Section):
    """`cameras.d/NAME.yaml`. The URL holds no credentials: those live in the secrets file."""

    name: Name
    url: str = Field(min_length=1, max_length=2048)
    enabled: bool = True
    pipeline: Name = "default"
    source: SourceOptions = SourceOptions()
    rules: CameraRules = CameraRules()


class InferenceConfig(_Section):
    engine: Literal["auto", "openvino", "onnx", "motion"] = "auto"
    workers: int = Field(default=1, ge=1, le=16)
    threads: int = Field(default=0, ge=0, le=256)  # 0: all cores the process may use


class CaptureConfig(_Section):
    cameras_per_worker: int = Field(default=4, ge=1, le=32)
    slots: int = Field(default=4, ge=3, le=16)


class RedisConfig(_Section):
    """`url` empty: a private redis-server is run. `enabled: false`: the ledger alone."""

    enabled: bool = True
    url: str = ""
    stream_max_len: int = Field(default=100_000, ge=1000)
    max_memory_mb: int = Field(default=256, ge=16)


class LedgerConfig(_Section):
    max_mb: int = Field(default=2048, ge=16)
    retention_days: float = Field(default=400, gt=0)


class CountsConfig(_Section):
    bucket_s: int = Field(default=60, ge=1, le=3600)


class Config(_Section):
    """The whole configuration. `rev` and `paths` are not read from the file."""

    display_name: str = ""
    timezone: str = "UTC"
    state_dir: Path | None = None
    runtime_dir: Path | None = None
    inference: InferenceConfig = InferenceConfig()
    capture: CaptureConfig = CaptureConfig()
    redis: RedisConfig = RedisConfig()
    ledger: LedgerConfig = LedgerConfig()
    counts: CountsConfig = CountsConfig()
    cameras: tuple[CameraConfig, ...] = ()

    def camera(self, name: str) -> CameraConfig | None:
        return next((c for c in self.cameras if c.name == name), None)
