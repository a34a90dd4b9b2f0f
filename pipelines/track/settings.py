"""What can be set on the tracker: one default for all scenes, times in seconds, lengths in box sizes.

The values were chosen together on MOT15, MOT17 and KITTI, with one setting for all of them: what was tried
besides, and what each gave, is in docs/decisions/012-tracking.md and 015-slow-cameras.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Accelerations, speeds and noise are in widths (x) and heights (y) of the object's own box, so that near
    and far objects, and large and small pictures, need no setting of their own.

    Evidence is how much a score speaks for a real object, in standard deviations of this camera's usual
    scores above the border between high and low detections; see score_calibration.py.
    """

    # Detections. A lower border finds who is badly seen and shows more tracks of nothing: 1.2 instead of 1.5
    # loses one entry of six on a clip, and gives nine errors more on MOT15 (012).
    low_score: float = 0.1  # boxes below this are ignored
    border_sigmas: float = 1.5  # how far the border lies below the usual score

    # Confirmation. More and surer boxes: fewer tracks of nothing, but later, and some objects never: with
    # 5 boxes and evidence of 6 KITTI has 8 errors less and HOTA is one to two points lower (012).
    confirm_hits: int = 3  # boxes above the border that a track needs before it is shown,
    confirm_evidence: float = 3.5  # and their evidence in sum

    # Life without a box. Longer: who comes back keeps the id, and somebody else may get it: with 3.5 s
    # instead of 2, four errors more on MOT15 and half a point of IDF1 less (012). Who moves unsteadily is
    # soon anywhere: without the bound of doubt nine errors more at half the rate (019).
    tentative_s: float = 0.25  # how long a track that is not confirmed yet may miss its box
    lost_s: float = 2.0  # how long a confirmed track that is not seen can be found again,
    lost_doubt: float = 1.0  # while the standard deviation of its place is not more than so many sizes

    # Output of predictions: objects that one frame missed are to be shown, those that left are not. At 4 %
    # HOTA is lower on MOT17, at 7 % on KITTI (012).
    coast_s: float = 0.14  # how long a track that is not seen is still shown, as a prediction,
    coast_doubt: float = 0.05  # and with what standard deviation of its place at most, in sizes

    # The filter (kalman.py). A larger prior or acceleration follows sudden motion and smooths less.
    speed_prior: float = 1.06  # standard deviation of a new track's speed, sizes / s,
    speed_prior_size: float = 2.12  # and of the growth of its size
    acceleration: float = 0.7  # white-noise acceleration of its place, sizes / s^1.5,
    acceleration_size: float = 1.13  # and of its size
    maneuver_rate: float = 0.1  # how fast the acceleration follows surprises,
    min_maneuver: float = 0.03  # and the least and most that it is multiplied with
    max_maneuver: float = 10.0
    size_noise: float = 0.05  # noise of a box's sides before any was measured
    noise_weight: float = 6.0  # boxes that the camera's mean noise counts for in a track's own

    # Association. Wider buffers link fast objects and confuse neighbours: grown by 0.7 instead of 1 deviation
    # KITTI has fewer errors, and MOT15 less HOTA and IDF1; an overlap of 0.2 instead of 0.3 costs ten errors
    # on MOT15 and eight on KITTI (012).
    buffer: float = 0.1  # boxes are grown by this share of their size before they are compared,
    buffer_sigmas: float = 1.0  # and by this many standard deviations of the prediction
    min_similarity: float = 0.3  # least overlap of grown boxes, for detections above the border
    min_similarity_low: float = 0.4  # and for those below it

    # Bounds of work, so that no picture takes a camera's time from the others.
    max_tracks: int = 500
    max_boxes: int = 1000
