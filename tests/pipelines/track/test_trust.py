"""Which boxes teach the usual score: those of confirmed tracks, by number, whoever comes or goes."""

from __future__ import annotations

import numpy as np

from pipelines.track.confirmation import TEACH_FROM, TEACH_TO, Trust
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import SEEN_EVIDENCE, SEEN_ROWS, Table


class Taught(ScoreScale):
    """Keeps what taught instead of learning."""

    def __init__(self) -> None:
        super().__init__(1.5)
        self.values: list[float] = []

    def learn(self, values: list[float]) -> None:
        self.values = values


def fresh_tracks(n: int) -> Table:
    table = Table(n)
    seen = np.zeros((SEEN_ROWS, n))
    seen[SEEN_EVIDENCE] = 2.0
    table.begin(seen, 1)
    return table


def joined(tracks: Table, fresh: Table) -> Table:
    both = Table(tracks.n + fresh.n)
    both.join(tracks, fresh)
    return both


def test_a_box_teaches_by_its_number_in_a_confirmed_track() -> None:
    random = np.random.default_rng(3)
    trust, scale = Trust(TrackerSettings()), Taught()
    tracks = Table(0)
    for frame in range(300):
        matched = random.random(tracks.n) > 0.2
        if tracks.n:
            tracks.seen_evidence[:] = 2.0 + np.arange(tracks.n)  # by which a box is known
            old = tracks.hits > TEACH_TO
            tracks.hits += matched
            scale.values = []
            trust.count(tracks, (~matched).nonzero()[0].tolist(), scale)
            hits = tracks.hits
            wanted = matched & (hits >= TEACH_FROM) & (hits <= TEACH_TO) & (tracks.confirmed > 0)
            assert scale.values == tracks.seen_evidence[wanted].tolist(), frame
            assert trust.unconfirmed == trust.young == (tracks.confirmed == 0).nonzero()[0].tolist()
            assert not set(tracks.seen_evidence[old].tolist()) & set(scale.values)
        if frame % 40 == 0 and frame < 200:
            fresh = fresh_tracks(2)
            trust.begin(fresh, tracks.n)
            tracks = joined(tracks, fresh)
        if frame == 130:
            fewer = Table(tracks.n - 1)
            fewer.keep(tracks, np.arange(1, tracks.n))
            tracks = fewer
            trust.keep(tracks, {column: column - 1 for column in range(1, tracks.n + 1)})
    assert (tracks.hits > TEACH_TO).sum() > 3
