"""What every detector is: frames go in by submit(), detections come out by collect().

Two calls, so that the pre- and post-processing of one frame overlaps the inference of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from pipelines.values import Detections, Frame, Labels


class Ticket:
    """Stands for one submitted batch; good for one collect() of the detector that gave it.

    `maps`: whether its frames' feature maps are wanted, of a detector with enable_feature_maps().
    `low_confidence`: whether its boxes below the low threshold are, where it can give them.
    """

    __slots__ = ("cameras", "low_confidence", "maps")

    def __init__(self, cameras: tuple[str, ...]) -> None:
        self.cameras = cameras
        self.maps = self.low_confidence = False


class Detector(Protocol):
    """Finds objects in frames of any number of cameras; not for use by several threads at once.

    `labels` names the classes, `joints` the keypoints that its boxes come with, if any; `max_batch` is how
    many frames one submit() may take; `parallel` is how many batches compute side by side, `depth` how many
    tickets may be open at once (collect them in any order).
    """

    labels: Labels
    joints: tuple[str, ...]
    max_batch: int
    parallel: int
    depth: int

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        """Preprocess 1 to `max_batch` frames and start; their memory may be reused when this returns.

        `notify` is called once, from whatever thread, when collect() would no longer wait.

        Raises ValueError for a wrong number of frames, RuntimeError when `depth` tickets are open.
        """

    def collect(self, ticket: Ticket) -> list[Detections]:
        """Wait and give one Detections a frame: above the minimum score, suppressed within groups.

        Raises InferenceRejected when the answer is not a set of boxes. The ticket is spent either way.
        """

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        """From now on compute feature maps at these strides too, and give them with the frames of tickets
        whose `maps` is set. Returns their channels, all strides together. May be called by another thread,
        while frames are under way.

        Raises ModelRefused where the model has no such maps.
        """

    def forget(self, camera: str) -> None:
        """Drop what is kept for `camera` (the motion detector's background)."""

    def describe(self) -> dict[str, Any]:
        """Plain JSON: engine, model, sha256, input (width, height), precision, warnings …"""


@runtime_checkable
class PreparesShapes(Protocol):
    """A detector that computes each shape of picture by a graph of its own, which takes time to compile.

    Both may be called by another thread than the one that submits. `whole` (width, height) of a part of a
    picture.
    """

    def is_prepared(self, width: int, height: int, whole: tuple[int, int] | None = None) -> bool:
        """Whether a picture of so many pixels would start at once."""

    def prepare(self, width: int, height: int, whole: tuple[int, int] | None = None) -> None:
        """Compile what a picture of so many pixels needs, a second or so. Raises ModelRefused."""
