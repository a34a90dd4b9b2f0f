"""How an action model is trained: every number that may be chosen, in one place, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipelines.actions.inputs import Kind
from pipelines.actions.model import ActionHead, NetConfig, Temporal
from pipelines.actions.windows import MIN_FILL
from pipelines.skeleton import Skeleton
from pipelines.train.actions.augment import AugmentSettings
from pipelines.train.actions.data import ActionData

Precision = Literal["auto", "f32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """`rate_hz` None: whole clips, stretched to the window. `lag_s`: a window's label is that of so long
    before its end. `fill`: of a window that must have been seen. `val_share`: of the groups, held back for
    early stopping, thresholds and calibration. `refit`: when these are known, train once more on everything.
    `precision` auto: bf16 where a CNN is trained on a chip that has it, else f32.
    """

    window: int = 16
    rate_hz: float | None = 8.0
    stride_s: float = 0.125
    lag_s: float = 0.0
    fill: float = MIN_FILL
    temporal: Temporal = "lstm"
    hidden: int = 64
    members: int = 1
    dropout: float = 0.4
    epochs: int = 80
    batch: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    mixup: float = 0.3
    average: float = 0.99
    patience: int = 30
    class_weights: bool = True
    val_share: float = 0.2
    refit: bool = False
    precision: Precision = "auto"
    seed: int = 0
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrainSettings:
        """Raises KeyError or TypeError for data that is not from to_json()."""
        return cls(**{**data, "augment": AugmentSettings(**data["augment"])})

    def net(self, data: ActionData) -> NetConfig:
        heads = tuple(ActionHead(h.name, h.labels, "sigmoid" if h.several else "softmax") for h in data.heads)
        mirrored: tuple[int, ...] = ()
        if data.kind == "pose" and data.joints and self.augment.flip:
            mirrored = Skeleton(data.joints).mirrored()
        return NetConfig(
            data.kind,
            data.size,
            self.window,
            heads,
            self.temporal,
            self.hidden,
            self.dropout,
            mirrored,
            self.members,
            data.parts,
        )


def usual_settings(kind: Kind, scene: bool = False) -> TrainSettings:
    """What is a good start for an input of this kind, or for single pictures of a `scene`; found by --search
    on validation parts."""
    if scene:
        return TrainSettings(
            window=1,
            rate_hz=1.0,  # of clips; a picture is one frame
            stride_s=1.0,
            temporal="stats",
            dropout=0.3,
            epochs=40,
            weight_decay=0.1,
            label_smoothing=0.05,
            mixup=0.0,
            patience=20,
            augment=AugmentSettings(warp=0.0, scale=0.0, drop=0.0),
        )
    if kind == "boxes":
        return TrainSettings(
            window=18,
            rate_hz=6.0,
            stride_s=0.4,
            hidden=48,
            dropout=0.2,
            epochs=14,
            batch=128,
            label_smoothing=0.05,
            mixup=0.0,
            augment=AugmentSettings(warp=0.0, jitter=0.02),
        )
    if kind == "features":
        return TrainSettings(
            temporal="ridge",  # of few clips the LSTM learns the scenes by heart: docs/actions.md
            stride_s=0.25,
            fill=1.0,  # a frame that stands still at a window's beginning is no motion of the picture
            dropout=0.5,
            epochs=8,
            lr=1e-3,
            weight_decay=0.1,
            label_smoothing=0.0,
            mixup=0.0,
            augment=AugmentSettings(warp=0.0, scale=0.0, drop=0.0),
        )
    if kind == "crops":
        return TrainSettings(
            hidden=48,
            dropout=0.5,
            epochs=40,
            lr=1e-3,
            weight_decay=0.1,
            mixup=0.3,
            augment=AugmentSettings(warp=0.2, drop=0.3, scale=0.1),
        )
    return TrainSettings()
