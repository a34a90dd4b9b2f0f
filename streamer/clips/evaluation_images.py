"""Pictures of the misses and false counts of an evaluation: the frame, or a drawing where there is none."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.evaluate.boxes import crossing_box
from pipelines.evaluate.crossings import Crossing
from pipelines.evaluate.report import ReportImage, clock
from pipelines.geometry import fit
from pipelines.rules import LineSpec
from pipelines.values import Event, Image
from streamer.clips.drawing import PAPER, Flash, draw_line, draw_result, write
from streamer.clips.evaluation import Judged
from streamer.clips.people import PeopleHider, tracked_people
from streamer.errors import SourceDamaged, SourceEnded
from streamer.sources.base import Source, create_source

WIDTH = 640
_Take = Callable[[int, Image], None]
BEFORE_S, AFTER_S = 2.0, 0.7  # of the trails around the moment
SAME_S = 0.1  # a frame of the video this far from that of the detections is another one
MISSED = (80, 80, 255)  # B, G, R
BACKGROUND = 48  # grey of a drawing
QUALITY = 82


@dataclass(frozen=True)
class _Moment:
    kind: str  # "missed" or "false"
    crossing: Crossing
    frame: int
    event: Event | None


def take_pictures(
    judged: Judged, most: int, hider: PeopleHider | None = None
) -> tuple[list[ReportImage], int]:
    """The first `most` misses and false counts in order of time as pictures, and how many were left out.
    `hider` hides people in them; None: they are shown.

    Reads the run's clip a second time. Raises SourceError, also where it is not that of the detections.
    """
    all_moments = _moments(judged)
    by_frame: dict[int, list[_Moment]] = defaultdict(list)
    for moment in all_moments[:most]:
        by_frame[moment.frame].append(moment)
    images: list[tuple[float, ReportImage]] = []

    def take(frame: int, image: Image) -> None:
        if hider is not None and judged.run.clip is not None:
            hider.hide(image, tracked_people(judged.run.recording.results[frame].tracks, judged.run.labels))
        for moment in by_frame[frame]:
            images.append((moment.crossing.time_s, _picture(judged, moment, image.copy())))

    if judged.run.clip is None:
        width, height = fit(judged.run.analysis.width, judged.run.analysis.height, WIDTH)
        for frame in by_frame:
            take(frame, np.full((height, width, 3), BACKGROUND, np.uint8))
    elif by_frame:
        _read_frames(judged, judged.run.clip, set(by_frame), take)
    pictures = [picture for _, picture in sorted(images, key=lambda item: item[0])]
    return pictures, len(all_moments) - len(all_moments[:most])


def _moments(judged: Judged) -> list[_Moment]:
    times_s = np.array(judged.run.recording.times_s)
    comparison = judged.evaluation.comparison
    both = [("missed", c) for c in comparison.missed] + [("false", c) for c in comparison.false]
    return [
        _Moment(
            kind,
            crossing,
            int(np.clip(np.searchsorted(times_s, crossing.time_s), 0, len(times_s) - 1)),
            judged.events.get(id(crossing)),
        )
        for kind, crossing in sorted(both, key=lambda item: item[1].time_s)
    ]


def _source(judged: Judged, clip: str) -> Source:
    return create_source(clip, loop=False, realtime=False, stream=judged.run.stream)


def _read_frames(judged: Judged, clip: str, frames: set[int], take: _Take) -> None:
    results = judged.run.recording.results
    with contextlib.closing(_source(judged, clip)) as source:
        source.open()
        for number in range(max(frames) + 1):
            try:
                decoded = source.read()
            except SourceEnded as error:
                raise SourceDamaged(
                    f"{clip}: ends at frame {number}: is it the video of these detections?"
                ) from error
            if abs(decoded.media_ns - results[number].stamp.media_ns) > SAME_S * 1e9:
                raise SourceDamaged(
                    f"{clip}: frame {number + 1} has another time: is it the video of these detections?"
                )
            if number in frames:
                take(number, decoded.image(WIDTH))


def _picture(judged: Judged, moment: _Moment, image: Image) -> ReportImage:
    run, crossing = judged.run, moment.crossing
    _true_boxes(judged, moment.frame, image)
    line = next(each for each in run.rules.lines if each.name == crossing.line)
    draw_line(image, line)
    flashes = []
    if moment.event is not None:
        data = moment.event.data
        x, y = data["point_xyn"]
        text = f"{data['class']} {data['track_id']}"
        flashes.append(Flash((float(x), float(y)), text, data["side"] == "left_to_right", 0.4))
    draw_result(
        image,
        run.recording.results[moment.frame],
        run.labels,
        trails=_trails(judged, moment.frame),
        flashes=flashes,
    )
    if moment.kind == "missed":
        _missed_box(judged, crossing, line, image)
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    title = f"{clock(crossing.time_s)}  {crossing.line} {crossing.direction}"
    return ReportImage(moment.kind, title, _note(judged, moment), jpeg.tobytes())


def _note(judged: Judged, moment: _Moment) -> str:
    """What is known of it: the class, the margins of a count, and the nearest crossing that explains it."""
    crossing = moment.crossing
    words = [crossing.class_name] if crossing.class_name else []
    if moment.event is not None:
        data = moment.event.data
        words.append(
            f"track {data['track_id']}, margin {data['margin']:.1f}, evidence {data['evidence']:.1f}"
        )
    comparison = judged.evaluation.comparison
    if moment.kind == "missed":
        matched, unmatched = [counted for _, counted in comparison.matched], comparison.false
    else:
        matched, unmatched = [true for true, _ in comparison.matched], comparison.missed
    near = min(
        (c for c in (*matched, *unmatched) if c.line == crossing.line),
        key=lambda c: abs(c.time_s - crossing.time_s),
        default=None,
    )
    verb = "counted" if moment.kind == "missed" else "true"
    if near is None:
        words.append(f"nothing {verb} on this line")
    else:
        apart = f"nearest {verb}: {near.direction}, {near.time_s - crossing.time_s:+.1f} s"
        words.append(apart + ("" if any(near is c for c in unmatched) else ", which belongs to another"))
    return "; ".join(words)


def _trails(judged: Judged, frame: int) -> dict[int, list[tuple[float, float]]]:
    results = judged.run.recording.results
    at_ns = results[frame].stamp.media_ns
    first = frame
    while first > 0 and at_ns - results[first - 1].stamp.media_ns <= BEFORE_S * 1e9:
        first -= 1
    trails: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for result in results[first:]:
        if result.stamp.media_ns - at_ns > AFTER_S * 1e9:
            break
        tracks = result.tracks
        for track_id, (x1, y1, x2, y2) in zip(
            tracks.track_ids.tolist(), tracks.boxes_xyxyn.tolist(), strict=True
        ):
            trails[track_id].append(((x1 + x2) / 2, y1 * 0.25 + y2 * 0.75))
    return trails


def _missed_box(judged: Judged, crossing: Crossing, line: LineSpec, image: Image) -> None:
    """Who was missed, where the truth has boxes."""
    if judged.true_boxes is None:
        return
    times_s = judged.run.recording.times_s
    box = crossing_box(judged.true_boxes, crossing, line, judged.box_size, times_s)
    if box is None:
        raise RuntimeError(f"no true box makes the crossing {crossing}")
    x1, y1, x2, y2 = np.round(box * _scale(judged, image)).astype(int).tolist()
    cv2.rectangle(image, (x1 - 2, y1 - 2), (x2 + 2, y2 + 2), MISSED, 2, cv2.LINE_AA)
    write(image, "missed", (x1, y2 + 16), MISSED)


def _scale(judged: Judged, image: Image) -> npt.NDArray[np.float64]:
    height, width = image.shape[:2]
    size = np.array([width, height, width, height], np.float64)
    return np.asarray(size / np.array([*judged.box_size, *judged.box_size]))


def _true_boxes(judged: Judged, frame: int, image: Image) -> None:
    """Thin and pale below the tracks; only where the truth's frames are the clip's."""
    boxes = judged.true_boxes
    if boxes is None:
        return
    low, high = np.searchsorted(boxes.frames, (frame + 1, frame + 2))
    for x1, y1, x2, y2 in np.round(boxes.boxes_xyxy[low:high] * _scale(judged, image)).astype(int).tolist():
        cv2.rectangle(image, (x1, y1), (x2, y2), PAPER, 1, cv2.LINE_AA)
