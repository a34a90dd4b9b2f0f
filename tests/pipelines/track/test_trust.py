"""Which boxes teach the usual score: those of confirmed tracks, by number, whoever comes or goes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track.evidence import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.table import SEEN_EVIDENCE, Table
from pipelines.track.trust import TEACH_FROM, TEACH_TO, Trust


class Taught(ScoreScale):
    """Keeps who taught instead of learning."""

    def __init__(self) -> None:
        super().__init__(1.5)
        self.who: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def learn(self, _evidence: npt.NDArray[np.float64], taught: npt.NDArray[np.bool_]) -> None:
        self.who = taught


def fresh_tracks(n: int) -> Table:
    table = Table.of(n)
    table.seen[SEEN_EVIDENCE] = 2.0
    return table


def test_a_box_teaches_by_its_number_in_a_confirmed_track() -> None:
    random = np.random.default_rng(3)
    trust, scale = Trust(TrackerSettings()), Taught()
    tracks, hits = Table.of(0), np.zeros(0)
    for frame in range(300):
        matched = random.random(tracks.n) > 0.2
        if tracks.n:
            old = hits > TEACH_TO
            scale.who = np.zeros(tracks.n, np.bool_)
            trust.count(tracks, None if matched.all() else matched, scale)
            hits = hits + matched
            wanted = matched & (hits >= TEACH_FROM) & (hits <= TEACH_TO) & (tracks.confirmed > 0)
            assert (scale.who == wanted).all(), frame
            assert trust.all_confirmed == bool((tracks.confirmed > 0).all())
            assert not (old & scale.who).any()
        if frame % 40 == 0 and frame < 200:
            fresh = fresh_tracks(2)
            trust.begin(fresh)
            tracks.add(fresh)
            hits = np.concatenate((hits, np.ones(2)))
        if frame == 130:
            tracks.keep(np.arange(1, tracks.n))
            trust.look(tracks)
            hits = hits[1:]
    assert (hits > TEACH_TO).sum() > 3
