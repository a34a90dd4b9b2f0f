"""Where a camera looks, against where it looked before: registration of a picture with a kept view.

A view is kept as ORB features (Rublee et al., 2011), which say how small patches of the picture compare and
are no picture. Two views are registered by matching them and fitting a similarity (shift, rotation, scale)
by RANSAC: what moves by itself, people, leaves, rain, does not agree with one similarity and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.values import Image

Floats = npt.NDArray[np.float32]

MAX_FEATURES = 500
FAST_THRESHOLD = 8
MAX_DISTANCE = 60  # of two descriptors of 256 bits
MAX_ERROR = 0.008  # of the width, of a feature that agrees
MIN_AGREEING = 12  # features that agree with one similarity
MIN_SHARE = 0.14  # and of all that were matched: by chance 8 of 100 agree on something
SCALES = (0.6, 1.7)  # of similarities that can be meant
STILL = 0.01  # of the width: a feature that is where it was
MIN_STILL = 0.6  # so many of those that agree on another place, and the view stands


@dataclass(frozen=True, slots=True)
class View:
    """`points_xyw` (N, 2) float32 in shares of the picture's width, both axes alike; `descriptors` (N, 32)
    uint8; `aspect` is height over width."""

    points_xyw: Floats
    descriptors: npt.NDArray[np.uint8]
    aspect: float

    @classmethod
    def of(cls, grey: Image) -> View:
        """The view that a picture, (H, W) uint8, shows."""
        import cv2  # here: who only removes a kept view needs none

        height, width = grey.shape
        orb = cv2.ORB.create(
            MAX_FEATURES, nlevels=4, edgeThreshold=12, patchSize=24, fastThreshold=FAST_THRESHOLD
        )
        keypoints, descriptors = orb.detectAndCompute(grey, None)
        points = np.array([k.pt for k in keypoints], np.float32).reshape(-1, 2) / width
        found = np.zeros((0, 32), np.uint8) if descriptors is None else np.asarray(descriptors, np.uint8)
        return cls(points, found, height / width)

    @property
    def features(self) -> int:
        return len(self.points_xyw)


@dataclass(frozen=True, slots=True)
class Displacement:
    """How a view lies against another: `matrix` (2, 3) float64 takes points of the first, in shares of the
    width, to the second. `moved` is how far the corners and the middle of the picture moved, on average, in
    shares of the width."""

    matrix: npt.NDArray[np.float64]
    moved: float
    agreeing: int
    matched: int
    still: int

    @property
    def sure(self) -> bool:
        enough = self.agreeing >= MIN_AGREEING and self.agreeing >= MIN_SHARE * self.matched
        return enough and SCALES[0] < self.scale < SCALES[1]

    @property
    def stands(self) -> bool:
        """Whether enough is where it was, whatever else agrees on another place."""
        return self.still >= max(MIN_AGREEING, MIN_STILL * self.agreeing)

    @property
    def scale(self) -> float:
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def rotation_deg(self) -> float:
        """Clockwise as seen in the picture."""
        return float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])))

    def apply(self, points_xyn: npt.NDArray[np.float64], aspect: float) -> npt.NDArray[np.float64]:
        """Take (N, 2) points normalised to the picture along; they may come to lie outside of it."""
        scale = np.array([1.0, aspect])
        return np.asarray((points_xyn * scale @ self.matrix[:, :2].T + self.matrix[:, 2]) / scale)

    def __str__(self) -> str:
        middle = self.apply(np.array([[0.5, 0.5]]), 1.0)[0] - 0.5
        return (
            f"shifted by {middle[0]:+.1%} across and {middle[1]:+.1%} down (of the width), turned by "
            f"{self.rotation_deg:+.1f}°, scaled by {self.scale:.3f}"
        )


def register(before: View, now: View) -> Displacement | None:
    """How `now` lies against `before`; None where too little of them matches to fit anything."""
    if min(before.features, now.features) < MIN_AGREEING:
        return None
    import cv2  # as in View.of

    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(before.descriptors, now.descriptors)
    pairs = [pair for pair in pairs if pair.distance <= MAX_DISTANCE]
    if len(pairs) < MIN_AGREEING // 2:
        return None
    a = before.points_xyw[[pair.queryIdx for pair in pairs]]
    b = now.points_xyw[[pair.trainIdx for pair in pairs]]
    fitted, agree = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=MAX_ERROR, maxIters=1000)
    matrix = np.asarray(fitted, np.float64)
    if matrix.shape != (2, 3):  # nothing fits
        return None
    still = int((np.hypot(*(a - b).T) < STILL).sum())
    return Displacement(matrix, _moved(matrix, before.aspect), int(agree.sum()), len(pairs), still)


def _moved(matrix: npt.NDArray[np.float64], aspect: float) -> float:
    places = np.array([[0, 0], [1, 0], [0, aspect], [1, aspect], [0.5, aspect / 2]])
    moved = places @ matrix[:, :2].T + matrix[:, 2] - places
    return float(np.hypot(*moved.T).mean())
