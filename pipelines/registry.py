"""Engines by name, as "module:Class", imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import EngineFailed, ModelRefused

DETECTORS: Mapping[str, str] = {
    "openvino": "pipelines.detect.openvino:OpenVinoDetector",
    "onnx": "pipelines.detect.onnx:OnnxDetector",
    "torch": "pipelines.detect.torch.engine:TorchDetector",
    "motion": "pipelines.detect.motion:MotionDetector",
}

PACKAGED_MODEL = Path(__file__).resolve().parent / "models" / "default.onnx"  # its card lies beside it
PACKAGED_INT8 = PACKAGED_MODEL.with_name("default-int8.onnx")  # the same, for chips where that is cheaper
INSTALL_TORCH = "install the extra torch: `make install EXTRAS=torch`, or `pip install 'streamer[torch]'`"


def create_detector(
    engine: str,
    model_path: Path | None = None,
    *,
    threads: int = 0,
    cache_dir: Path | None = None,
    score: float | None = None,
    sidecar: ModelCard | None = None,
) -> Detector:
    """The detector of an engine of the table, or of "auto": torch for a `.pt`, openvino for any other model
    (onnx where that cannot run the file), motion without one.

    `threads` 0: all cores; `cache_dir`: where an engine may keep compiled models; `score`: instead of the
    card's minimum score. Raises ModelRefused for an unknown engine, and where the model cannot be used.
    """
    if engine == "auto":
        engine = _usual(model_path)
        try:
            return create_detector(
                engine, model_path, threads=threads, cache_dir=cache_dir, score=score, sidecar=sidecar
            )
        except EngineFailed as error:
            assert model_path is not None
            return _by_the_portable_engine(model_path, sidecar, threads, score, error)
    if engine not in DETECTORS:
        raise ModelRefused(f"unknown engine {engine!r}: use one of auto, {', '.join(DETECTORS)}")
    if engine == "motion":
        made: Detector = _load(engine)()
        return made
    if model_path is None:
        raise ModelRefused(f"engine {engine!r} needs a model: add one with `streamer model add FILE`")
    _check_kind(engine, model_path)
    detector: Detector = _load(engine)(model_path, sidecar, threads=threads, cache_dir=cache_dir, score=score)
    return detector


def _by_the_portable_engine(
    path: Path, sidecar: ModelCard | None, threads: int, score: float | None, failed: EngineFailed
) -> Detector:
    """ONNX Runtime's, for a file that OpenVINO `failed` to run; it tells so. Raises the failure where it
    cannot run it either."""
    warning = f"{failed}; ONNX Runtime runs it, which is slower"
    try:
        detector: Detector = _load("onnx")(path, sidecar, threads=threads, score=score, warnings=[warning])
    except ModelRefused:
        raise failed from None
    return detector


def _usual(model_path: Path | None) -> str:
    if model_path is None:
        return "motion"
    return "torch" if model_path.suffix.lower() == ".pt" else "openvino"


def _check_kind(engine: str, model_path: Path) -> None:
    """Each engine has its kind of file. Raises ModelRefused."""
    suffix = model_path.suffix.lower()
    if engine == "torch" and suffix == ".onnx":
        raise ModelRefused(f"{model_path}: engine 'torch' runs .pt files: take openvino, onnx or auto for it")
    if engine != "torch" and suffix == ".pt":
        raise ModelRefused(
            f"{model_path}: engine {engine!r} runs ONNX: convert it by `streamer model export`, or take torch"
        )


def _load(engine: str) -> type:
    module, _, name = DETECTORS[engine].partition(":")
    try:
        found: type = getattr(importlib.import_module(module), name)
    except ImportError as error:
        advice = INSTALL_TORCH if engine == "torch" else "choose another"
        raise ModelRefused(f"engine {engine!r} is not installed ({error}): {advice}") from error
    return found
