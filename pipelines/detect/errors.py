"""What a detector can refuse: a model, or one frame's answer."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.values import Detections


class ModelRefused(ValueError):
    """Raised when a model file cannot be used: missing, not a model, of a wrong shape or an unknown head.

    The text is one line that says what is wrong and what to do.
    """


class EngineFailed(ModelRefused):
    """Raised when an engine cannot load or run a file of which nothing else is wrong: another may."""


class InferenceRejected(ValueError):
    """Raised by `collect` when a model's answer to a frame is not a set of boxes (NaN, infinite, absurd).

    `reasons` maps the position of each refused frame in the batch to one line; `detections` holds what was
    found in the others, without feature maps, and None at the refused positions. The detector goes on.
    """

    def __init__(self, reasons: Mapping[int, str], detections: tuple[Detections | None, ...] = ()) -> None:
        super().__init__("; ".join(f"frame {i}: {why}" for i, why in reasons.items()))
        self.reasons = dict(reasons)
        self.detections = detections


class InvalidOutput(ValueError):
    """Raised by a decode head for one frame's answer; a detector gathers these into InferenceRejected."""
