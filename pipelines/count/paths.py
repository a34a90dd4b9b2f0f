"""The compact path of every track, and the event that closes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.values import Tracks


@dataclass(slots=True)
class TrackPath:
    """One track so far. `points` are [media_ms since the first, x1, y1, x2, y2], sides in 1/10000."""

    first_ns: int
    last_ns: int
    class_id: int
    votes: dict[int, int] = field(default_factory=dict)
    points: list[list[int]] = field(default_factory=list)


class PathRecorder:
    """Keeps one point every `EVERY_NS` of each track, at most `MOST` of them, thinning the older half."""

    EVERY_NS = 200_000_000
    MOST = 600
    FORGET_NS = 3_000_000_000

    def __init__(self) -> None:
        self._paths: dict[int, TrackPath] = {}

    def __contains__(self, track_id: int) -> bool:
        return track_id in self._paths

    def update(self, media_ns: int, tracks: Tracks) -> list[tuple[int, TrackPath]]:
        """Add a frame; return (id, path) of the tracks that have ended."""
        ids = tracks.track_ids.tolist()
        classes = tracks.class_ids.tolist()
        sides: npt.NDArray[np.int64] | None = None
        for row, (track_id, class_id, observed) in enumerate(
            zip(ids, classes, tracks.observed.tolist(), strict=True)
        ):
            path = self._paths.get(track_id)
            if path is None:
                path = self._paths[track_id] = TrackPath(media_ns, media_ns, class_id)
            path.class_id = class_id
            if not observed:
                continue
            path.last_ns = media_ns
            path.votes[class_id] = path.votes.get(class_id, 0) + 1
            since_ms = (media_ns - path.first_ns) // 1_000_000
            if not path.points or (since_ms - path.points[-1][0]) * 1_000_000 >= self.EVERY_NS:
                if sides is None:
                    sides = np.rint(tracks.boxes_xyxyn * 10_000.0).astype(np.int64)
                path.points.append([since_ms, *sides[row].tolist()])
                if len(path.points) > self.MOST:
                    half = self.MOST // 2
                    path.points[:half] = path.points[:half:2]
        return self._ended(media_ns)

    def _ended(self, media_ns: int) -> list[tuple[int, TrackPath]]:
        gone = [k for k, p in self._paths.items() if media_ns - p.last_ns > self.FORGET_NS]
        return [(k, self._paths.pop(k)) for k in gone]

    def close(self) -> list[tuple[int, TrackPath]]:
        """All that is left, as ended."""
        left = list(self._paths.items())
        self._paths = {}
        return left

    def save(self) -> list[list[Any]]:
        return [
            [k, p.first_ns, p.last_ns, p.class_id, [[c, n] for c, n in p.votes.items()], p.points]
            for k, p in self._paths.items()
        ]

    def restore(self, saved: list[list[Any]]) -> None:
        self._paths = {
            int(k): TrackPath(
                int(first), int(last), int(c), {int(a): int(b) for a, b in votes}, [list(q) for q in pts]
            )
            for k, first, last, c, votes, pts in saved
        }
