"""The pictures of a question: the frames of its moment, cut to the line, with tracks and their ways drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.rules import LineSpec
from pipelines.values import Image
from streamer.clips import drawing
from streamer.clips.audit.moments import Bucket, CountedCrossing
from streamer.clips.audit.sampling import Question
from streamer.clips.people import PeopleHider
from streamer.errors import StorageError

Array = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
AROUND_S = (-1.2, -0.8, -0.4, 0.0, 0.4, 0.8, 1.2)  # the frames of a crossing
EVERY_S = 0.25  # between those of a bucket: what drives is on few of them at the line
TRAIL_S = 2.0
MARGIN = 0.15  # of the picture around the line
ARROW = 0.08  # of the picture's shorter side: half the length of the arrow
MIN_SIDE = 0.4  # of the picture: what is around a short line tells where it is
WIDTH = 1280  # of the frame that is cut
QUALITY = 85
ASKED = (80, 240, 240)  # B, G, R
MAX_COLUMNS, MAX_ROWS = 6, 8  # of a contact sheet
MAX_SHEET = 3200  # pixels of its longer side
GAP = 3  # pixels between its pictures


class Frames(NamedTuple):
    """Drawn, as JPEG: as who answers sees them, and as they are kept. One list where these are the same."""

    shown: list[bytes]
    kept: list[bytes]


class Moment(NamedTuple):
    """A question and its frames, drawn, as JPEG; `kept` as they may be written, which may hide people."""

    question: Question
    jpegs: list[bytes]
    kept: list[bytes]


@dataclass(frozen=True, eq=False)
class PeopleLook:
    """What hides people in frames as they are shown, and as they are kept; None: people are shown."""

    shown: PeopleHider | None = None
    kept: PeopleHider | None = None

    @property
    def differ(self) -> bool:
        return self.shown is not self.kept

    def add(self, frames: Frames, image: Image, draw: Callable[[Image], bytes]) -> None:
        """Add the picture to `frames` in its one or two looks, each drawn on by `draw`; `image` stays."""
        frames.shown.append(draw(_without_people(image, self.shown)))
        if self.differ:
            frames.kept.append(draw(_without_people(image, self.kept)))

    def no_frames(self) -> Frames:
        """For `add`."""
        shown: list[bytes] = []
        return Frames(shown, [] if self.differ else shown)


def _without_people(image: Image, hider: PeopleHider | None) -> Image:
    copy = image.copy()
    if hider is not None:
        hider.hide(copy)
    return copy


@dataclass(frozen=True, eq=False)
class TrackPath:
    """A track's boxes (N, 4), normalised, at `times_s` (N,), which rise."""

    times_s: Array
    boxes_xyxyn: Array

    def box_at(self, time_s: float) -> Array | None:
        if not self.times_s[0] <= time_s <= self.times_s[-1]:
            return None
        return np.array([np.interp(time_s, self.times_s, column) for column in self.boxes_xyxyn.T])

    def trail(self, time_s: float) -> list[tuple[float, float]]:
        """Its way up to then, by the lower third, which reads well for people and vehicles."""
        recent = (self.times_s >= time_s - TRAIL_S) & (self.times_s <= time_s)
        boxes = self.boxes_xyxyn[recent]
        return list(
            zip(
                ((boxes[:, 0] + boxes[:, 2]) / 2).tolist(),
                (boxes[:, 1] * 0.25 + boxes[:, 3] * 0.75).tolist(),
                strict=True,
            )
        )


def times_of(question: Question) -> list[float]:
    """When its frames are."""
    if isinstance(question, CountedCrossing):
        return [question.time_s + after_s for after_s in AROUND_S]
    count = max(2, round((question.end_s - question.start_s) / EVERY_S) + 1)
    return [float(t) for t in np.linspace(question.start_s, question.end_s, count)]


def draw_frame(
    image: Image, time_s: float, question: Question, line: LineSpec, paths: Mapping[int, TrackPath]
) -> bytes:
    """A JPEG of the question's frame at that time; `image` is drawn on."""
    asked = question.track_id if isinstance(question, CountedCrossing) else None
    for track_id, path in paths.items():
        box = path.box_at(time_s)
        if box is not None:
            _track(image, box, path.trail(time_s), ASKED if track_id == asked else drawing.OTHER_GROUP)
    drawing.draw_line(image, line)
    _arrow(image, line, question)
    if isinstance(question, CountedCrossing):
        _mark(image, question, shown=asked in paths)
    cut = _cut(image, _region(line, question))
    since_s = time_s - (question.time_s if isinstance(question, CountedCrossing) else question.start_s)
    drawing.write(cut, f"{round(since_s, 1) + 0.0:+.1f} s", (6, cut.shape[0] - 8), drawing.PAPER)
    return _jpeg(cut)


def _track(image: Image, box: Array, trail: Sequence[tuple[float, float]], colour: drawing.Colour) -> None:
    size = np.array([image.shape[1], image.shape[0]])
    x1, y1, x2, y2 = np.round(box * np.tile(size, 2)).astype(int).tolist()
    thick = 3 if colour == ASKED else 1
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)
    if len(trail) > 1:
        points = np.round(np.array(trail) * size).astype(np.int32)
        cv2.polylines(image, [points], False, colour, thick, cv2.LINE_AA)


def _arrow(image: Image, line: LineSpec, question: Question) -> None:
    """The direction that is asked about, over the line's first third: a terminal shows no letters."""
    size = np.array([image.shape[1], image.shape[0]])
    first, second = np.array(line.points[:2]) * size
    along = (second - first) / max(float(np.linalg.norm(second - first)), 1e-9)
    # walking along (dx, dy) with y pointing down, the right hand is (-dy, dx)
    right = np.array([-along[1], along[0]]) * (1 if question.way.direction == line.left_to_right else -1)
    reach = ARROW * min(image.shape[:2])
    start, tip = (np.round(first + (second - first) / 3 + right * reach * at).astype(int) for at in (-1, 1))
    thick = max(2, image.shape[0] // 120)
    for colour, stroke in ((drawing.INK, thick + 3), (ASKED, thick)):
        cv2.arrowedLine(image, start.tolist(), tip.tolist(), colour, stroke, cv2.LINE_AA, tipLength=0.4)


def _mark(image: Image, crossing: CountedCrossing, shown: bool) -> None:
    """Where it crossed; its box of that moment where there is no path to draw."""
    height, width = image.shape[:2]
    if crossing.box_xyxyn is not None and not shown:
        corners = np.array(crossing.box_xyxyn) * (width, height, width, height)
        x1, y1, x2, y2 = np.round(corners).astype(int).tolist()
        cv2.rectangle(image, (x1, y1), (x2, y2), ASKED, 2, cv2.LINE_AA)
    if crossing.point_xyn is not None:
        x, y = round(crossing.point_xyn[0] * width), round(crossing.point_xyn[1] * height)
        cv2.circle(image, (x, y), max(6, height // 60), ASKED, 2, cv2.LINE_AA)


def _region(line: LineSpec, question: Question) -> Box:
    """What is shown of the picture: the line and its surroundings, with the object that is asked about."""
    corners = [*line.points]
    if isinstance(question, CountedCrossing) and question.box_xyxyn is not None:
        corners += [question.box_xyxyn[:2], question.box_xyxyn[2:]]
    x, y = np.array(corners).T
    return (*_span(float(x.min()), float(x.max())), *_span(float(y.min()), float(y.max())))


def _span(low: float, high: float) -> tuple[float, float]:
    low, high = low - MARGIN, high + MARGIN
    short = max(0.0, MIN_SIDE - (high - low)) / 2
    return max(0.0, low - short), min(1.0, high + short)


def _cut(image: Image, region: Box) -> Image:
    height, width = image.shape[:2]
    x1, x2, y1, y2 = region
    return np.ascontiguousarray(
        image[round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)]
    )


def _jpeg(image: Image) -> bytes:
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise StorageError("a picture cannot be encoded: is the camera's picture empty?")
    return jpeg.tobytes()


def decoded(jpeg: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def contact_sheet(jpegs: Sequence[bytes], question: Question) -> Image:
    """Up to 48 frames on one sheet, in order of rows."""
    most = MAX_COLUMNS * MAX_ROWS
    chosen = sorted({round(i) for i in np.linspace(0, len(jpegs) - 1, min(most, len(jpegs)))})
    frames = [_framed(decoded(jpegs[i])) for i in chosen]
    columns = min(MAX_COLUMNS, len(frames) if isinstance(question, Bucket) else 4)
    blank = np.zeros_like(frames[0])
    frames += [blank] * (-len(frames) % columns)
    rows = [np.hstack(frames[i : i + columns]) for i in range(0, len(frames), columns)]
    return np.asarray(_fitted(np.vstack(rows)), np.uint8)


def _framed(image: Image) -> Image:
    edges = (GAP, GAP, GAP, GAP)
    return np.asarray(cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)


def _fitted(sheet: Image) -> Image:
    share = min(1.0, MAX_SHEET / max(sheet.shape[:2]))
    if share == 1.0:
        return sheet
    size = (round(sheet.shape[1] * share), round(sheet.shape[0] * share))
    return np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), np.uint8)


def line_of(question: Question, lines: Iterable[LineSpec]) -> LineSpec:
    return next(line for line in lines if line.name == question.way.line)
