"""What can be set on the tracker: one default for all scenes, times in seconds, lengths in box sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Accelerations, speeds and noise are in widths (x) and heights (y) of the object's own box.

    Evidence is in spreads of this camera's usual scores above a border, see score_calibration.py.
    """

    low_score: float = 0.1  # boxes below this are ignored
    border_sigmas: float = 1.5  # how far the border lies below the usual score
    confirm_hits: int = 3  # boxes above the border that a track needs before it is shown,
    confirm_evidence: float = 3.5  # and their evidence in sum
    tentative_s: float = 0.25  # how long a track that is not shown yet may miss its box
    lost_s: float = 2.0  # how long a track that is not seen can be found again
    coast_s: float = 0.14  # how long a track that is not seen is still shown, as a prediction,
    coast_doubt: float = 0.05  # and with what standard deviation of its place at most, in sizes
    speed_prior: float = 1.06  # standard deviation of a new track's speed, sizes / s,
    speed_prior_size: float = 2.12  # and of the growth of its size
    acceleration: float = 0.566  # white-noise acceleration of its place, sizes / s^1.5,
    acceleration_size: float = 1.13  # and of its size
    maneuver_rate: float = 0.1  # how fast the acceleration follows surprises,
    maneuver_least: float = 0.03  # and the least and most that it is multiplied with
    maneuver_most: float = 10.0
    size_noise: float = 0.05  # noise of a box's sides before any was measured
    noise_weight: float = 6.0  # boxes that the camera's mean noise counts for in a track's own
    buffer: float = 0.1  # boxes are grown by this share of their size before they are compared,
    buffer_sigmas: float = 1.0  # and by this many standard deviations of the prediction
    min_similarity: float = 0.3  # least overlap of grown boxes, for boxes above the border
    min_similarity_low: float = 0.4  # and for those below it
    max_tracks: int = 500
    max_boxes: int = 1000
