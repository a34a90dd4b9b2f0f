"""Which model counts for a camera, by a name and a digest that can be compared with those of another time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from streamer.config.schema import CameraConfig, Config
from streamer.errors import ModelError
from streamer.models.camera_check import chosen_model, pipeline_of
from streamer.models.model_handle import MOTION, display_name_of


class ModelInUse(NamedTuple):
    """`sha256` is empty where there is no file."""

    name: str
    sha256: str

    def is_same(self, name: str, sha256: str) -> bool:
        """By their digests where both have one: a name can come to mean another file."""
        if self.sha256 and sha256:
            return self.sha256 == sha256
        return self.name == name


def model_in_use(config: Config, camera: CameraConfig) -> ModelInUse:
    """What the configuration says. Raises ConfigError or ModelError."""
    handle = chosen_model(config, camera, pipeline_of(camera))
    if handle is None:
        return ModelInUse(MOTION, "")
    try:
        return ModelInUse(handle.display_name, sha256_of(handle.path))
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def model_that_detected(detector: Mapping[str, Any]) -> ModelInUse | None:
    """From what a detector says of itself (Detector.describe); None where that is nothing."""
    if detector.get("engine") == MOTION:
        return ModelInUse(MOTION, "")
    if not detector.get("model"):
        return None
    return ModelInUse(display_name_of(Path(str(detector["model"]))), str(detector.get("sha256") or ""))
