"""From a pipeline's specification to the engine of its actions: which model, and what it needs beside it."""

from __future__ import annotations

from pathlib import Path

from pipelines.actions.card import ActionCard, model_path, read_action_card, sidecar_of
from pipelines.actions.compatibility import check_pair, joints_of, traits_of
from pipelines.actions.embed import CropEmbedder
from pipelines.actions.engine import ActionEngine, EngineSettings
from pipelines.actions.full_frame_features import sizes
from pipelines.actions.runtime import ActionModel
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.spec import ActionsSpec


def create_engine(spec: ActionsSpec, detector: Detector, *, threads: int = 1) -> ActionEngine:
    """The engine for what `detector` finds; where the model takes its feature maps, it is asked for them.

    Raises ModelRefused for a model that cannot be used, or not with this detector, and ValueError for a label
    that it does not know.
    """
    model = ActionModel(model_path(spec.model), threads=threads)
    card = model.card
    check_pair(model.path, card, spec, traits_of(detector))
    embedder, joints = None, tuple[int, ...]()
    if card.kind == "crops":
        embedder = CropEmbedder(model.path, card, threads=threads)
    elif card.kind == "features":
        _check_sizes(model.path, card, detector)
    elif card.kind == "pose":
        joints = joints_of(model.path, card, detector.joints)
    settings = EngineSettings(
        spec.labels, spec.min_duration_s, spec.pause_s, groups=spec.groups, joints=joints
    )
    return ActionEngine(model, detector.labels, settings, embedder)


def takes_maps(spec: ActionsSpec) -> bool:
    """Whether its model takes the detector's feature maps. Raises ModelRefused where it has no card."""
    embedder = read_action_card(sidecar_of(model_path(spec.model))).embedder
    return embedder is not None and bool(embedder.strides)


def _check_sizes(path: Path, card: ActionCard, detector: Detector) -> None:
    """Raise ModelRefused unless there are as many values a frame as the model was trained on."""
    embedder = card.embedder
    assert embedder is not None  # the card is checked for it
    channels = detector.enable_feature_maps(embedder.strides) if embedder.strides else 0
    total = sum(sizes(embedder, channels))
    if total != card.size:
        what = f"the detector's maps at strides {', '.join(map(str, embedder.strides))}"
        what += " and its other inputs" if embedder.flow or embedder.people else ""
        raise ModelRefused(
            f"{path}: takes {card.size} values a frame, {what if embedder.strides else 'its inputs'} give "
            f"{total}: its sidecar was changed; export it again"
        )
