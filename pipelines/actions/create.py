"""From a pipeline's specification to the engine of its actions: which model, and what it needs beside it."""

from __future__ import annotations

from pathlib import Path

from pipelines.actions.embed import CropEmbedder
from pipelines.actions.engine import ActionEngine, EngineSettings
from pipelines.actions.runtime import ActionModel
from pipelines.detect.errors import ModelRefused
from pipelines.spec import ActionsSpec
from pipelines.values import Labels

BUNDLED = Path(__file__).resolve().parent / "models"
WIRED = ("boxes", "crops")  # what a running pipeline has at hand for each track


def create_engine(spec: ActionsSpec, labels: Labels, *, threads: int = 1) -> ActionEngine:
    """Raises ModelRefused for a model that cannot be used, ValueError for a label that it does not know."""
    model = ActionModel(model_path(spec.model), threads=threads)
    card = model.card
    if card.kind not in WIRED:
        raise ModelRefused(
            f"{model.path}: a model of {card.kind} does not run in a pipeline yet (it takes "
            f"{' and '.join(WIRED)}): use it with `streamer actions evaluate`"
        )
    embedder = None
    if card.kind == "crops":
        embedder = CropEmbedder(model.path, card, threads=threads)
    settings = EngineSettings(spec.labels, spec.min_duration_s, groups=spec.groups)
    return ActionEngine(model, labels, settings, embedder)


def model_path(name: str) -> Path:
    """Where a bundled model of this name is, or the path that it is itself. Raises ModelRefused."""
    if "/" in name or name.endswith(".onnx"):
        return Path(name)
    path = BUNDLED / f"{name}.onnx"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.onnx")))
        raise ModelRefused(f"no model of actions {name!r}: give {known}, or the path of an .onnx file")
    return path
