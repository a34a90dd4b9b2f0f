"""Which detections confirm a track, and which teach the usual score: those of confirmed tracks, by number."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.track.confirmation import TEACH_FROM, TEACH_TO, Confirmation
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import DETECTION_ROWS, EVIDENCE, Array, TrackState

MATCHED = np.ones(1, np.bool_)


class Taught(ScoreScale):
    """Keeps what taught instead of learning."""

    def __init__(self) -> None:
        super().__init__(1.5)
        self.values: list[float] = []

    def learn(self, evidence: Array) -> None:
        self.values = evidence.tolist()


def new_track(confirmation: Confirmation, evidence: float) -> TrackState:
    detection = np.zeros((DETECTION_ROWS, 1))
    detection[EVIDENCE] = evidence
    track = TrackState.begin(detection, 1)
    confirmation.begin(track)
    return track


@pytest.mark.parametrize(
    ("evidence", "confirmed_at"),
    [
        ([2.0, 2.0, 2.0], 3),  # hits are what is missing
        ([1.0] * 5, 4),  # evidence is
        ([9.0, 0.2, 0.2, 0.2, 0.2], 4),  # a single detection counts only so much: 3 of 3.5
        ([-1.0, -1.0, 2.0, 2.0, 2.0], 5),  # low ones before the first high one count nothing,
        ([1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0], 8),  # and those after it against
        ([-0.1] * 20, 0),
    ],
)
def test_a_track_is_confirmed_by_hits_and_evidence(evidence: list[float], confirmed_at: int) -> None:
    confirmation = Confirmation(TrackerSettings())
    track = new_track(confirmation, evidence[0])
    confirmed = [bool(track.confirmed[0])]
    for value in evidence[1:]:
        track.last_evidence[:] = value
        confirmation.count(track, MATCHED)
        confirmed.append(bool(track.confirmed[0]))
    assert confirmed == [bool(confirmed_at) and n >= confirmed_at for n in range(1, len(evidence) + 1)]


def test_a_box_teaches_by_its_number_in_a_confirmed_track() -> None:
    confirmation, scale = Confirmation(TrackerSettings()), Taught()
    track = new_track(confirmation, 2.0)
    taught = []
    for number in range(2, 100):
        track.last_evidence[:] = number
        confirmation.count(track, MATCHED)
        scale.values = []
        confirmation.teach(track, MATCHED, scale)
        taught += scale.values
    assert taught == list(range(TEACH_FROM, TEACH_TO + 1))


def test_a_tentative_track_teaches_nothing() -> None:
    confirmation, scale = Confirmation(TrackerSettings()), Taught()
    track = new_track(confirmation, -1.0)
    for _ in range(20):
        confirmation.count(track, MATCHED)
        confirmation.teach(track, MATCHED, scale)
        assert scale.values == []


def test_who_is_not_matched_gains_nothing() -> None:
    confirmation, scale = Confirmation(TrackerSettings()), Taught()
    track = new_track(confirmation, 2.0)
    for _ in range(20):
        confirmation.count(track, ~MATCHED)
        confirmation.teach(track, ~MATCHED, scale)
    assert (track.hits[0], track.confirmed[0], scale.values) == (1.0, 0.0, [])
