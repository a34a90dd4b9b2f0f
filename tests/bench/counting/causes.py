"""Why counts are wrong on public truth: each miss and false count by its cause, and what no tracker could
mend.

A true object and a box are taken for one where they overlap by half. With perfect identities each found box
is its true object's and the boxes of none are left out: what is counted wrongly then is the boxes' and the
rule's. A false count of an object that is there, but crosses before its annotation begins or after it ends,
is no error of the counter: the truth does not hold that crossing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluate.crossings import WITHIN_S, Crossing, compare
from pipelines.values import Event, Tracks
from tests.bench.counting.data import PARTS, Sequence, corpus, crossings_by_identity, load
from tests.bench.counting.ours import Run, line_events, stamp_of, track
from tests.bench.registry import Unavailable

NAME = "counting_causes"
DESCRIPTION = "Why counts are wrong on public truth, and what perfect identities and the annotation leave"

Array = npt.NDArray[np.float64]
Owners = dict[int, list[tuple[float, int | None]]]  # of each track (time, true object) of its boxes

SAME = 0.5  # overlap of a box and its true object
NEAR_S = 1.0  # before and after a count, whose boxes say whose it is
AT_LINE_S = 0.5  # a true crossing wants half of its boxes so near
BACK_S = 3.0  # there and back within so long
OUTSIDE = "there, but crosses outside its annotation"
NOBODY, OTHER, TWICE = "no annotated object", "went from one object to another", "counted twice"
EARLY, STANDS = "more than 1 s off", "annotated, and does not cross that way"
NO_BOX, BACK, LOST = "no box of it at the line", "there and back", "seen at the line"


def run(sets: str = "", rates: bool = True) -> dict[str, Any]:
    """The causes in both parts of all sets, or in one set or part. Raises Unavailable without the corpus."""
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    chosen = [sets] if sets else list(PARTS)
    return {"sets": {group: _group(load(group, root), rates) for group in chosen}}


def render(result: dict[str, Any]) -> str:
    lines = []
    for group, row in result["sets"].items():
        lines.append(group)
        for kind in ("missed", "false"):
            for cause, where in sorted(row[kind].items(), key=lambda item: -sum(item[1].values())):
                names = ", ".join(f"{name} {n}" for name, n in where.items())
                lines.append(f"  {sum(where.values()):>4} {kind}: {cause} ({names})")
        for rate, ours in row["rates"].items():
            lines.append(
                f"  at 1/{rate}: ours {ours['gross']}, without objects outside their annotation "
                f"{ours['gross'] - ours['outside']}; perfect identities {ours['perfect']}, their misses and "
                f"those objects {ours['perfect_missed'] + ours['outside']}"
            )
    return "\n".join(lines)


def _group(sequences: list[Sequence], rates: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"missed": {}, "false": {}, "rates": {}}
    for step in (1, 2, 4) if rates else (1,):
        sums: Counter[str] = Counter()
        for sequence in sequences:
            found = causes(sequence, step)
            perfect = compare(
                [c for _, c in crossings_by_identity(sequence)],
                [_crossing(e) for e in line_events(with_true_ids(sequence, step))],
            )
            sums["gross"] += sum(map(len, found))
            sums["outside"] += found[1].count(OUTSIDE)
            sums["perfect"] += len(perfect.missed) + len(perfect.false)
            sums["perfect_missed"] += len(perfect.missed)
            for kind, each in zip(("missed", "false"), found, strict=True):
                for cause in each if step == 1 else ():
                    row[kind].setdefault(cause, Counter())[sequence.name] += 1
        row["rates"][str(step)] = dict(sums)
    return row


def causes(sequence: Sequence, step: int = 1) -> tuple[list[str], list[str]]:
    """The causes of all misses and of all false counts of a sequence."""
    case = Case(sequence, step)
    return [case.why_missed(i) for i in case.missed], [case.why_false(j) for j in case.false]


class Case:
    """The true crossings of a sequence, our counts, and which was taken for which: by time and direction
    alone, so that in a row of cars the one that is left over need not be the one that was wrong."""

    def __init__(self, sequence: Sequence, step: int) -> None:
        frames = track(sequence, step)
        events = line_events(frames)
        self.sequence = sequence
        self.true = crossings_by_identity(sequence)
        self.counts = [_crossing(event) for event in events]
        result = compare([c for _, c in self.true], self.counts)
        true_at = {id(c): i for i, (_, c) in enumerate(self.true)}
        count_at = {id(c): j for j, c in enumerate(self.counts)}
        self.count_of = {true_at[id(a)]: count_at[id(b)] for a, b in result.matched}
        self.true_of = {j: i for i, j in self.count_of.items()}
        self.missed = [true_at[id(c)] for c in result.missed]
        self.false = [count_at[id(c)] for c in result.false]
        owners = _owners(sequence, frames)
        self._boxes = [owners[event.data["track_id"]] for event in events]
        self._owner = [_owner(boxes, c) for boxes, c in zip(self._boxes, self.counts, strict=True)]

    def _same(self, i: int, j: int) -> bool:
        """Whether count `j` may be that of the true crossing `i`."""
        true, count = self.true[i][1], self.counts[j]
        return (true.line, true.direction) == (count.line, count.direction) and (
            abs(true.time_s - count.time_s) <= WITHIN_S
        )

    def why_missed(self, i: int) -> str:
        """The cause of a miss: of another crossing's that took its count, where there is such a one."""
        past = set()
        while i not in past:
            past.add(i)
            own = [j for j in self.true_of if self._owner[j] == self.true[i][0] and self._same(i, j)]
            i = next((self.true_of[j] for j in own if self.true[self.true_of[j]][0] != self._owner[j]), i)
        identity, crossing = self.true[i]
        rows = self.sequence.truth[self.sequence.truth[:, 1] == identity]
        near = [row for row in rows if abs(self.sequence.time_s(row[0]) - crossing.time_s) <= AT_LINE_S]
        found = [
            _overlaps(row[None, 2:6], _found(self.sequence, row[0])[:, :4]).max(initial=0.0) for row in near
        ]
        if np.count_nonzero(np.array(found) >= SAME) < len(found) / 2:
            return NO_BOX
        back = any(
            who == identity and c.line == crossing.line and 0 < abs(c.time_s - crossing.time_s) <= BACK_S
            for who, c in self.true
        )
        return BACK if back else LOST

    def why_false(self, j: int) -> str:
        """The cause of a false count: of another that took its true crossing, where there is such a one."""
        past = set()
        while j not in past:
            past.add(j)
            own = [i for i in self.count_of if self.true[i][0] == self._owner[j] and self._same(i, j)]
            j = next((self.count_of[i] for i in own if self._owner[self.count_of[i]] != self._owner[j]), j)
        crossing, identity = self.counts[j], self._owner[j]
        if identity is None:
            return NOBODY
        near = [(s - crossing.time_s, who) for s, who in self._boxes[j] if who is not None]
        before = [who for s, who in near if -NEAR_S <= s < 0]
        after = [who for s, who in near if 0 <= s <= NEAR_S]
        if before and after and _most(before) != _most(after):
            return OTHER
        truth = self.sequence.truth
        times = [self.sequence.time_s(f) for f in truth[truth[:, 1] == identity, 0]]
        if crossing.time_s < times[1] or crossing.time_s > times[-2]:  # two boxes make a side
            return OUTSIDE
        own_s = [
            c.time_s
            for who, c in self.true
            if who == identity and (c.line, c.direction) == (crossing.line, crossing.direction)
        ]
        if not own_s:
            return STANDS
        return TWICE if min(abs(s - crossing.time_s) for s in own_s) <= WITHIN_S else EARLY


def _owner(boxes: list[tuple[float, int | None]], crossing: Crossing) -> int | None:
    """The true object that most boxes of a track near a crossing belong to; else most of all its boxes."""
    near = [who for s, who in boxes if who is not None and abs(s - crossing.time_s) <= NEAR_S]
    near = near or [who for _, who in boxes if who is not None]
    return _most(near) if near else None


def with_true_ids(sequence: Sequence, step: int = 1) -> Run:
    """A run with perfect identities: each found box is the true object's that it overlaps most. The noise of
    the boxes is what the tracker measures."""
    scale = np.array([sequence.width, sequence.height] * 2)
    tracked = [tracks for _, _, tracks in track(sequence, step)]
    jitter = np.median(np.concatenate([t.jitter_xyn / _sizes(t.boxes_xyxyn) for t in tracked]), axis=0)
    frames: Run = []
    for frame, found in sequence.frames(step):
        true, pairs = _matched(sequence, frame, found[:, :4])
        boxes = (found[[j for _, j in pairs], :4] / scale).astype(np.float32).reshape(-1, 4)
        n = len(boxes)
        tracks = Tracks(
            np.array([true[i, 1] for i, _ in pairs], np.int64),
            boxes,
            np.ones(n, np.float32),
            np.zeros(n, np.int32),
            np.ones(n, np.bool_),
            (jitter * _sizes(boxes)).astype(np.float32),
        )
        frames.append((frame, stamp_of(sequence.name, frame, sequence.time_s(frame)), tracks))
    return frames


def _owners(sequence: Sequence, frames: Run) -> Owners:
    """Whose boxes each track had."""
    scale = np.array([sequence.width, sequence.height] * 2)
    owners: Owners = {}
    for frame, _, tracks in frames:
        boxes = tracks.boxes_xyxyn if tracks.measured_xyxyn is None else tracks.measured_xyxyn
        true, pairs = _matched(sequence, frame, boxes[tracks.observed].astype(np.float64) * scale)
        who = {j: int(true[i, 1]) for i, j in pairs}
        for j, track_id in enumerate(tracks.track_ids[tracks.observed].tolist()):
            owners.setdefault(track_id, []).append((sequence.time_s(frame), who.get(j)))
    return owners


def _matched(sequence: Sequence, frame: int, boxes: Array) -> tuple[Array, list[tuple[int, int]]]:
    """The true rows of a frame, and which of them belongs to which of the boxes (N, 4), best first."""
    low, high = np.searchsorted(sequence.truth[:, 0], (frame, frame + 1))
    true = sequence.truth[low:high]
    overlaps = _overlaps(true[:, 2:6], boxes)
    pairs: list[tuple[int, int]] = []
    while overlaps.size and overlaps.max() >= SAME:
        i, j = divmod(int(overlaps.argmax()), overlaps.shape[1])
        overlaps[i], overlaps[:, j] = 0.0, 0.0
        pairs.append((i, j))
    return true, pairs


def _found(sequence: Sequence, frame: float) -> Array:
    low, high = np.searchsorted(sequence.detections[:, 0], (frame, frame + 1))
    return sequence.detections[low:high, 1:]


def _overlaps(first: Array, second: Array) -> Array:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4) by their sides."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(both / (areas[0][:, None] + areas[1] - both))


def _sizes(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return boxes[:, 2:] - boxes[:, :2]


def _crossing(event: Event) -> Crossing:
    return Crossing(event.subject.upper(), event.data["direction"], event.data["crossed_media_ns"] / 1e9)


def _most(values: list[int]) -> int:
    return Counter(values).most_common(1)[0][0]
