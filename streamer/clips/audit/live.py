"""An audit of a running camera: its next minutes are watched, and what was counted in them is asked about.

Pictures are taken while it happens and held in memory: those of the bucket of time that is being watched, of
the one drawn so far, and of the least sure crossing so far. While a question is answered watching goes on:
the buckets that end meanwhile are the next draw's group (a weighted reservoir: Chao, Biometrika 69, 1982).
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pipelines.count.trajectory_codec import TrajectoryError, decode
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec
from streamer.clips.audit.answers import Answers
from streamer.clips.audit.estimate import Estimate
from streamer.clips.audit.moments import Bucket, CountedCrossing, Way, crossing_of, size_of, ways_of
from streamer.clips.audit.pictures import (
    AROUND_S,
    Frames,
    Moment,
    PeopleLook,
    TrackPath,
    decoded,
    draw_frame,
    line_of,
)
from streamer.clips.audit.sampling import Question
from streamer.clips.audit.verdict import Group, verdict
from streamer.errors import ConfigError, StreamerError
from streamer.ledger import LedgerReader

DEFAULT_BUCKET_S = 10.0
LIVE_EVERY_S = 0.4  # between pictures: each is one more that the daemon encodes
SETTLE_S = 4.0  # after a bucket: a crossing is told when it is decided, some seconds after it was
MAX_EVENTS = 5000  # crossings of one bucket that are looked at
NS_PER_S = 1_000_000_000

Shot = tuple[float, bytes]  # Unix time, and the picture as JPEG


@dataclass
class _Batch:
    """What ended since the last question: one bucket of it drawn, and its least sure crossing."""

    number: int
    buckets: int = 0
    size: float = 0.0
    counted: Counter[Way] = field(default_factory=Counter)
    bucket: tuple[Bucket, list[Shot]] | None = None
    crossing: tuple[CountedCrossing, list[Shot]] | None = None


class LiveAudit:
    """`take` gives the camera's next picture as JPEG; `open_ledger` a reader for the thread that calls it.

    Use it as a context: it watches in a thread of its own. Raises ConfigError where there is no line.
    """

    def __init__(
        self,
        camera: str,
        lines: Sequence[LineSpec],
        take: Callable[[], bytes],
        open_ledger: Callable[[], LedgerReader],
        *,
        bucket_s: float | None = None,
        seed: int = 0,
        look: PeopleLook | None = None,
    ) -> None:
        self._look = look or PeopleLook()
        if not lines:
            raise ConfigError("there is no line to audit: draw one with `streamer line add`")
        self._camera, self._lines, self._take, self._open_ledger = camera, lines, take, open_ledger
        self.bucket_s = bucket_s or DEFAULT_BUCKET_S
        self._random = np.random.default_rng(seed)
        self._ways = ways_of(lines)
        self._asked: list[tuple[_Batch, list[Question]]] = []
        self._batch = _Batch(0)
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._error: StreamerError | None = None
        self._thread = threading.Thread(target=self._watch, name="audit", daemon=True)

    def __enter__(self) -> LiveAudit:
        self._take()  # what is wrong is said now
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def counted(self) -> dict[Way, int]:
        """Of the time that was watched and judged."""
        found: Counter[Way] = sum((batch.counted for batch, _ in self._asked), Counter())
        return {way: found[way] for way in self._ways}

    def verdict(self, answers: Answers) -> list[Estimate]:
        """Of the time of the batches whose bucket was answered."""
        judged = [
            (batch, asked)
            for batch, asked in self._asked
            if batch.bucket is not None and _answered(batch.bucket[0].key, answers)
        ]
        counted: Counter[Way] = sum((batch.counted for batch, _ in judged), Counter())
        groups = {
            question.key: Group(f"{batch.number}", batch.buckets, batch.size)
            for batch, asked in judged
            for question in asked
        }
        asked_all = [question for _, asked in judged for question in asked]
        return verdict(asked_all, answers, {way: counted[way] for way in self._ways}, groups)

    def moments(self, answers: Answers, wanted: int) -> Iterator[Moment]:  # noqa: ARG002
        """Questions as they come, without end. Raises what the pictures or the ledger raise."""
        with closing(self._open_ledger()) as reader:
            while True:
                batch = self._next_batch()
                chosen = [each for each in (batch.bucket, batch.crossing) if each is not None]
                self._asked.append((batch, [question for question, _ in chosen]))
                for question, shots in chosen:
                    yield Moment(question, *self._drawn(reader, question, shots))
                batch.crossing = None  # its pictures; those of the bucket go with the next line
                batch.bucket = None if batch.bucket is None else (batch.bucket[0], [])

    def _next_batch(self) -> _Batch:
        with self._changed:
            self._changed.wait_for(lambda: self._batch.bucket is not None or self._error is not None)
            if self._error is not None:
                raise self._error
            batch, self._batch = self._batch, _Batch(self._batch.number + 1)
            return batch

    def _drawn(self, reader: LedgerReader, question: Question, shots: Sequence[Shot]) -> Frames:
        line = line_of(question, self._lines)
        paths = _paths(reader, self._camera, shots)
        frames = self._look.no_frames()
        for at_s, jpeg in shots:
            draw = partial(draw_frame, time_s=at_s, question=question, line=line, paths=paths)
            self._look.add(frames, decoded(jpeg), draw)
        return frames

    # ---- the thread

    def _watch(self) -> None:
        try:
            with closing(self._open_ledger()) as reader:
                waiting: deque[tuple[float, list[Shot]]] = deque()
                while not self._ended.is_set():
                    waiting.append(self._watch_bucket())
                    while waiting and waiting[0][0] + self.bucket_s + SETTLE_S <= time.time():
                        self._judge(reader, *waiting.popleft())
        except StreamerError as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _watch_bucket(self) -> tuple[float, list[Shot]]:
        """(its beginning, its pictures)."""
        start_s, shots = time.time(), []
        while (now_s := time.time()) < start_s + self.bucket_s and not self._ended.is_set():
            shots.append((time.time(), self._take()))
            self._ended.wait(max(0.0, now_s + LIVE_EVERY_S - time.time()))
        return start_s, shots

    def _judge(self, reader: LedgerReader, start_s: float, shots: list[Shot]) -> None:
        crossings = _crossings(reader, self._camera, start_s, start_s + self.bucket_s)
        known = [crossing for crossing in crossings if crossing.way in self._ways]
        with self._changed:
            for way in self._ways:
                keys = tuple(crossing.key for crossing in known if crossing.way == way)
                self._draw(Bucket(way, start_s, start_s + self.bucket_s, keys, size_of(len(keys), 0)), shots)
            self._batch.counted.update(crossing.way for crossing in known)
            for crossing in known:
                self._doubt(crossing, shots)
            self._changed.notify_all()

    def _draw(self, bucket: Bucket, shots: list[Shot]) -> None:
        batch = self._batch
        batch.buckets, batch.size = batch.buckets + 1, batch.size + bucket.size
        if self._random.random() * batch.size < bucket.size:
            batch.bucket = bucket, shots

    def _doubt(self, crossing: CountedCrossing, shots: list[Shot]) -> None:
        if self._batch.crossing is None or crossing.doubt > self._batch.crossing[0].doubt:
            low, high = crossing.time_s + AROUND_S[0], crossing.time_s + AROUND_S[-1]
            self._batch.crossing = crossing, [shot for shot in shots if low <= shot[0] <= high]


def _answered(key: str, answers: Answers) -> bool:
    return key in answers and answers[key] is not None


def _crossings(reader: LedgerReader, camera: str, start_s: float, end_s: float) -> list[CountedCrossing]:
    found = []
    for stored in reader.last_events(MAX_EVENTS, camera, LINE_CROSSED):
        data = json.loads(stored.body)["data"]
        at_s = data.get("crossed_captured_ns", 0) / NS_PER_S
        if start_s <= at_s < end_s:
            found.append(crossing_of(data, at_s))
    return found


def _paths(reader: LedgerReader, camera: str, shots: Sequence[Shot]) -> dict[int, TrackPath]:
    """Those of the tracks that have ended since."""
    if not shots:
        return {}
    paths = {}
    for stored in reader.paths(camera, int(shots[0][0] * NS_PER_S), int((shots[-1][0] + 1) * NS_PER_S)):
        try:
            trajectory = decode(stored.trace)
        except TrajectoryError:
            continue  # drawn without its way
        times_s = stored.first_ns / NS_PER_S + np.asarray(trajectory.times_s, np.float64)
        paths[stored.track_id] = TrackPath(times_s, np.asarray(trajectory.boxes_xyxyn, np.float64))
    return paths
