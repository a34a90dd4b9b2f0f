"""What can be set on the tracker: one default for all scenes, times in seconds, lengths in box sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Sizes (accelerations, speeds, noise) are in widths (x) and heights (y) of the object's own box."""

    high_score: float = 0.5  # from here a box takes part in the first association and may start a track
    low_score: float = 0.1  # below this a box is ignored
    birth_score: float = 0.5
    confirm_hits: int = 2  # boxes that a track needs before it is shown
    confirm_within_s: float = 1.0
    lost_s: float = 1.5  # how long a track that is not seen can be found again
    coast_s: float = 0.25  # how long a track that is not seen is still shown, as a prediction
    speed_prior: float = 1.5  # standard deviation of a new track's speed, sizes a second
    acceleration: float = 1.5  # white-noise acceleration, sizes / s^1.5
    size_noise: float = 0.05  # assumed measurement noise of a box's sides before any was measured
    buffer: float = 0.1  # boxes are grown by this share of their size before they are compared
    buffer_sigmas: float = 1.0  # and by this many standard deviations of the prediction
    min_similarity: float = 0.15
    min_similarity_low: float = 0.4
    max_tracks: int = 1000
    max_detections: int = 1000
