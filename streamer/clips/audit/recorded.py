"""An audit of a recording: what was counted in it, its buckets, and the frames of those that are asked about.

Frames are read in one further pass and kept in memory as JPEG, only those of the questions.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.geometry import fit
from pipelines.rules import LineSpec
from pipelines.values import Image
from streamer.clips.audit.answers import Answers
from streamer.clips.audit.estimate import Estimate
from streamer.clips.audit.moments import Bucket, CountedCrossing, Way, crossing_of, size_of, ways_of
from streamer.clips.audit.pictures import (
    WIDTH,
    Frames,
    Moment,
    PeopleLook,
    TrackPath,
    draw_frame,
    line_of,
    times_of,
)
from streamer.clips.audit.sampling import Question, bucket_seconds, questions
from streamer.clips.audit.verdict import groups_by_way, verdict
from streamer.clips.evaluation import ClipRun, Recording
from streamer.errors import ConfigError, SourceDamaged, SourceEnded
from streamer.sources.base import create_source

SAME_S = 0.1  # a frame of the video this far from that of the detections is another one
NEAR = 0.5  # of its own width and height: this near to the line a box may be about to cross it
LINE_POINTS = 33  # at which a line is looked for in a box
BACKGROUND = 48  # grey of a drawing where there is no video
OTHER_VIDEO = "is it the video of these detections?"
NO_CROSSINGS = "no crossing was counted in it and no track came near a line: there is nothing to audit"


class RecordedAudit:
    """Raises ConfigError where the rules have no line, or nothing happened at any."""

    def __init__(
        self, run: ClipRun, *, bucket_s: float | None = None, seed: int = 0, look: PeopleLook | None = None
    ) -> None:
        self._look = look or PeopleLook()
        if not run.rules.lines:
            raise ConfigError("there is no line to audit: draw one with `streamer line add`")
        self._run, self._lines = run, run.rules.lines
        self._ways = ways_of(self._lines)
        self._crossings = [
            crossing_of(event.data, event.data["crossed_media_ns"] / 1e9) for event in run.recording.crossings
        ]
        duration_s = max(run.analysis.duration_s, 1e-3)
        self.bucket_s = bucket_s or bucket_seconds(len(self._crossings), len(self._ways), duration_s)
        near = _near_lines(run.recording, self._lines, self.bucket_s)
        if not self._crossings and not any(any(of_line.values()) for of_line in near.values()):
            raise ConfigError(f"{run.name}: {NO_CROSSINGS}")
        self._buckets = [
            bucket
            for way in self._ways
            for bucket in _buckets(way, self._crossings, near[way.line], duration_s, self.bucket_s)
        ]
        self._order = questions(self._buckets, self._crossings, seed)

    def counted(self) -> dict[Way, int]:
        return {way: sum(c.way == way for c in self._crossings) for way in self._ways}

    def verdict(self, answers: Answers) -> list[Estimate]:
        return verdict(self._order, answers, self.counted(), groups_by_way(self._buckets))

    def moments(self, answers: Answers, wanted: int) -> Iterator[Moment]:
        """The questions that have no answer, with their pictures, which are read some at a time. Raises
        SourceError, also where the video is another one."""
        left = [question for question in self._order if question.key not in answers]
        while left:
            count = max(1, wanted - answers.given())
            asked, left = left[:count], left[count:]
            frames = self._pictures(asked)
            for question in asked:
                yield Moment(question, *frames.pop(question.key))

    def _pictures(self, asked: Sequence[Question]) -> dict[str, Frames]:
        wanted: dict[int, list[tuple[Question, float]]] = defaultdict(list)
        times_s, paths = np.array(self._run.recording.times_s), paths_of(self._run.recording)
        for question in asked:
            for frame in sorted({_nearest(times_s, time_s) for time_s in times_of(question)}):
                wanted[frame].append((question, float(times_s[frame])))
        found = {question.key: self._look.no_frames() for question in asked}
        for frame, image in _frames(self._run, sorted(wanted)):
            for question, time_s in wanted[frame]:
                line = line_of(question, self._lines)
                draw = partial(draw_frame, time_s=time_s, question=question, line=line, paths=paths)
                self._look.add(found[question.key], image, draw)
        return found


def paths_of(recording: Recording) -> dict[int, TrackPath]:
    """The tracks' boxes over time, by their numbers."""
    times: dict[int, list[float]] = defaultdict(list)
    boxes: dict[int, list[Any]] = defaultdict(list)
    for result in recording.results:
        tracks = result.tracks
        for track_id, box in zip(tracks.track_ids.tolist(), tracks.boxes_xyxyn, strict=True):
            times[track_id].append(result.stamp.media_ns / 1e9)
            boxes[track_id].append(box)
    return {key: TrackPath(np.array(times[key]), np.array(boxes[key], np.float64)) for key in times}


def _near_lines(
    recording: Recording, lines: Sequence[LineSpec], bucket_s: float
) -> dict[str, defaultdict[int, set[int]]]:
    """By line and number of the bucket: the tracks that came near."""
    near: dict[str, defaultdict[int, set[int]]] = {}
    for line in lines:
        points = along(line)
        of_line = near[line.name] = defaultdict(set)
        for result in recording.results:
            number = int(result.stamp.media_ns / 1e9 / bucket_s)
            close = is_near(result.tracks.boxes_xyxyn.astype(np.float64), points)
            of_line[number].update(result.tracks.track_ids[close].tolist())
    return near


def along(line: LineSpec) -> npt.NDArray[np.float64]:
    """Points of the line, close to each other."""
    points = np.array(line.points)
    places = np.linspace(0, len(points) - 1, (len(points) - 1) * LINE_POINTS + 1)
    return np.stack([np.interp(places, np.arange(len(points)), column) for column in points.T], axis=1)


def is_near(boxes: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(N,) whether the boxes (N, 4), grown by half their size on each side, hold a point of the line."""
    size = boxes[:, 2:] - boxes[:, :2]
    low, high = boxes[:, :2] - NEAR * size, boxes[:, 2:] + NEAR * size
    inside = (points[None] >= low[:, None]) & (points[None] <= high[:, None])
    return np.asarray(np.any(np.all(inside, axis=2), axis=1))


def _buckets(
    way: Way,
    crossings: Sequence[CountedCrossing],
    near: defaultdict[int, set[int]],
    duration_s: float,
    bucket_s: float,
) -> list[Bucket]:
    count = max(1, int(np.ceil(duration_s / bucket_s - 1e-6)))
    keys: defaultdict[int, list[str]] = defaultdict(list)
    for crossing in crossings:
        if crossing.way == way:
            keys[min(max(int(crossing.time_s / bucket_s), 0), count - 1)].append(crossing.key)
    return [
        Bucket(
            way,
            number * bucket_s,
            min((number + 1) * bucket_s, duration_s),
            tuple(keys[number]),
            size_of(len(keys[number]), len(near[number])),
        )
        for number in range(count)
    ]


# ---- frames


def _nearest(times_s: npt.NDArray[np.float64], time_s: float) -> int:
    return int(np.argmin(np.abs(times_s - time_s)))


def _frames(run: ClipRun, frames: Sequence[int]) -> Iterator[tuple[int, Image]]:
    if run.clip is None:
        width, height = fit(run.analysis.width, run.analysis.height, WIDTH)
        for frame in frames:
            yield frame, np.full((height, width, 3), BACKGROUND, np.uint8)
        return
    wanted, results = set(frames), run.recording.results
    with contextlib.closing(create_source(run.clip, loop=False, realtime=False, stream=run.stream)) as source:
        source.open()
        for number in range(max(frames) + 1):
            try:
                decoded = source.read()
            except SourceEnded as error:
                raise SourceDamaged(f"{run.clip}: ends at frame {number}: {OTHER_VIDEO}") from error
            if abs(decoded.media_ns - results[number].stamp.media_ns) > SAME_S * 1e9:
                raise SourceDamaged(f"{run.clip}: frame {number + 1} has another time: {OTHER_VIDEO}")
            if number in wanted:
                yield number, decoded.image(WIDTH)
