"""The frames of a clip that are worth inference: as often as what is followed needs, while something moves.

The rules are those of live cameras (track/needed_rate.py, sources/gate.py). But a file can be read ahead, and
looked at in any order, so that nothing is late: before a frame that was reached in a long step shows somebody
new, those that were stepped over are looked at, and so are those before the picture changed in a rest.

What is looked at follows from what was found in the frames before, and never from how fast the detector is.
Frames that will probably be wanted are given to it early; where they then are not, its answer is dropped.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.pending import Asked
from pipelines.pipeline import Pipeline
from pipelines.scene.health import small_grey
from pipelines.track.needed_rate import EVERY_FRAME, NEW_FPS, NeededRate, Segments
from pipelines.values import Detections, Frame, FrameResult, Image, Stamp
from streamer.clips.prefetch import CAMERA, Ahead, stamp_of
from streamer.sources.base import Decoded, Source
from streamer.sources.gate import BEFORE_NS, LOOK_WIDTH, Gate

STRIDES = (16, 12, 8, 6, 4, 3, 2, 1)  # frames; what is looked at lies on multiples of them
LATE = 1.1  # a frame may come so much later than it is due
MAX_HELD_WIDTH = 1920  # pictures that wait are made smaller than that
EARLY = 1  # frames that the detector has beyond those that it computes side by side


@dataclass(slots=True)
class Looks:
    """What became of a clip's frames: `frames` = `inferred` + `gated` (nothing moved) + `not_due`.

    `discarded` answers of the detector were for frames that were not due after all. `why` says how many
    frames were looked at for which reason (NeededRate.why, without its figures).
    """

    frames: int = 0
    inferred: int = 0
    gated: int = 0
    not_due: int = 0
    discarded: int = 0
    why: Counter[str] = field(default_factory=Counter)
    last: Stamp | None = None  # of the last frame, looked at or not


@dataclass(slots=True, eq=False)
class _Seen:
    """A frame that was read; `asked` while the detector has it, `found` of those that it gave back."""

    stamp: Stamp
    decoded: Decoded
    frame: Frame | None = None
    asked: Asked | None = None
    found: Detections | None = None
    rested: bool = False
    followed: bool = False


class NeededFrames:
    """Iterate over it once: each frame that is looked at, in order, with its result and its detections.

    `rate` None: every frame is due. `gate` None: it never rests. `drawn` are the pieces of lines and zones,
    `width` the analysis width, `progress` is told of each frame as it is passed, `start_ns` is when the clip
    was taken (Unix time; 0: nobody knows).
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        width: int,
        *,
        rate: NeededRate | None,
        gate: Gate | None,
        drawn: Segments,
        progress: Callable[[int], None] | None = None,
        start_ns: int = 0,
    ) -> None:
        self.looks = Looks()
        self._source, self._pipeline, self._width = source, pipeline, width
        self._rate, self._gate, self._drawn = rate, gate, drawn
        self._progress, self._start_ns = progress, start_ns
        self._held: deque[_Seen] = deque()  # from the oldest that may still be looked at on
        self._ended = False
        # the frame that was looked at last, and when it was; None: it was not, and none before it will be
        self._last = -1
        self._last_ns: int | None = None
        self._early = pipeline.detector.parallel + EARLY
        self._asked: list[_Seen] = []  # whose answers are not here yet
        if gate is not None:
            gate.refuse_packets()  # all is decoded: a file is read once, and every picture of it compared

    def __iter__(self) -> Iterator[tuple[Decoded, FrameResult, Detections]]:
        with Ahead(self._source, self._read) as ahead:
            self._ahead = ahead
            number = 0
            while (seen := self._at(number)) is not None:
                yield from self._pass(number, seen)
                number += 1
            self._drop_before(number)

    def _read(self, number: int, decoded: Decoded) -> _Seen:
        if decoded.width > MAX_HELD_WIDTH:
            decoded.shrink(max(self._width, LOOK_WIDTH))
        return _Seen(stamp_of(number, decoded.media_ns, self._start_ns), decoded)

    # ---- the frames that are held

    def _at(self, number: int) -> _Seen | None:
        """Read on to there; None beyond the end."""
        while not self._ended and (not self._held or self._held[-1].stamp.frame_id < number):
            seen = self._ahead.take()
            if seen is None:
                self._ended = True
            else:
                self._held.append(seen)
        index = number - self._held[0].stamp.frame_id if self._held else 0
        return self._held[index] if 0 <= index < len(self._held) else None

    def _drop_before(self, number: int) -> None:
        """Those will not be looked at any more."""
        looks = self.looks
        while self._held and self._held[0].stamp.frame_id < number:
            seen = self._held.popleft()
            self._discard(seen)
            looks.inferred += seen.followed
            looks.gated += seen.rested and not seen.followed
            looks.not_due += not (seen.rested or seen.followed)

    # ---- in the clip's order

    def _pass(self, number: int, seen: _Seen) -> Iterator[tuple[Decoded, FrameResult, Detections]]:
        now_ns = seen.stamp.media_ns
        offered = self._gate is None or self._offered(self._gate, seen)
        if self._awake:
            yield from self._look_up_to(number)
        elif offered:  # a glance at what stands still
            yield self._follow(number)
        else:
            seen.rested = True
        self.looks.frames, self.looks.last = number + 1, seen.stamp
        if self._progress is not None:
            self._progress(1)
        keep_ns = now_ns - BEFORE_NS
        first = self._held[0].stamp
        while first.frame_id <= self._last or (not self._awake and first.media_ns < keep_ns):
            self._drop_before(first.frame_id + 1)
            if not self._held:
                return
            first = self._held[0].stamp

    @property
    def _awake(self) -> bool:
        return self._gate is None or self._gate.level == "full"

    def _offered(self, gate: Gate, seen: _Seen) -> bool:
        """Let the gate see the frame; where it wakes, those just before it are to be looked at."""
        rested, now_s = gate.level != "full", seen.stamp.media_ns / 1e9
        grey = self._grey(seen.decoded) if gate.wants_picture(now_s) else None
        gate.frame(now_s, (), grey)
        if rested and gate.level == "full":
            self._wake(gate.woken_by, seen.stamp)
        return gate.offers(now_s)

    def _grey(self, decoded: Decoded) -> Image:
        return small_grey(decoded.image(LOOK_WIDTH))

    def _wake(self, by: str, stamp: Stamp) -> None:
        """Go on with the frames before this one, or with this one where it was time alone that woke it."""
        from_ns = stamp.media_ns - (BEFORE_NS if by == "picture" else 0)
        first = next(s.stamp.frame_id for s in self._held if s.stamp.media_ns >= from_ns)
        if first > self._last + 1:
            self._last, self._last_ns = first - 1, None

    def _look_up_to(self, number: int) -> Iterator[tuple[Decoded, FrameResult, Detections]]:
        """At all that are due up to this one."""
        while (due := self._next(self._fps)) is not None and due <= number:
            if due - self._last > 1 and self._steps_over_somebody(due):
                due = self._next(max(self._fps, NEW_FPS)) or due
            self._ask_early(due)
            yield self._follow(due)

    def _next(self, fps: float) -> int | None:
        return self._due_after(self._last, self._last_ns, fps)

    def _steps_over_somebody(self, due: int) -> bool:
        """Whether somebody is new in a frame, who may have come in those before it."""
        self._ask_early(due)
        seen = self._at(due)
        assert seen is not None, "it is due, so that it is there"
        return self._pipeline.sees_more(CAMERA, self._detections(seen))

    # ---- which are due

    @property
    def _fps(self) -> float:
        return EVERY_FRAME if self._rate is None else self._rate.fps

    def _due_after(self, last: int, last_ns: int | None, fps: float) -> int | None:
        """The frame to look at after `last`, where `fps` a second are wanted; None: the clip is over."""
        if self._at(last + 1) is None:
            return None
        if fps == EVERY_FRAME or last_ns is None:
            return last + 1
        furthest = self._furthest(last, last_ns + int(LATE * 1e9 / fps))
        return next((n for stride in STRIDES if (n := (last // stride + 1) * stride) <= furthest), last + 1)

    def _furthest(self, last: int, until_ns: int) -> int:
        """The last frame that is not after that, of those that one step may reach."""
        number = last
        while number - last < STRIDES[0]:
            seen = self._at(number + 1)
            if seen is None or seen.stamp.media_ns > until_ns:
                break
            number += 1
        return number

    # ---- the detector

    def _ask_early(self, due: int) -> None:
        """The frame that is due, and those that will be if all goes on as it does."""
        for _ in range(self._early):
            seen = self._at(due)
            assert seen is not None, "it is due, so that it is there"
            self._ask(seen)
            following = self._due_after(due, seen.stamp.media_ns, self._fps)
            if following is None:
                return
            due = following

    def _ask(self, seen: _Seen) -> None:
        """Unless it was asked before, or has no room."""
        if seen.asked is not None or len(self._asked) >= self._pipeline.detector.depth:
            return
        seen.frame = Frame(seen.stamp, seen.decoded.image(self._width))
        seen.asked = self._pipeline.ask([seen.frame])
        self._asked.append(seen)

    def _detections(self, seen: _Seen) -> Detections:
        if seen.found is None:
            if seen.asked is None:
                self._make_room()
                self._ask(seen)
            assert seen.asked is not None, "there was room"
            (seen.found,) = self._pipeline.answers(seen.asked)
            self._asked.remove(seen)
        return seen.found

    def _make_room(self) -> None:
        """The detector takes no more: what was asked for first is kept."""
        while len(self._asked) >= self._pipeline.detector.depth:
            self._detections(self._asked[0])

    def _discard(self, seen: _Seen) -> None:
        """What the detector found in a frame that is not wanted any more."""
        if not seen.followed and seen.asked is not None:
            self._detections(seen)
            self.looks.discarded += 1

    def _follow(self, number: int) -> tuple[Decoded, FrameResult, Detections]:
        seen = self._at(number)
        assert seen is not None, "it is due, so that it is there"
        found = self._detections(seen)
        assert seen.frame is not None
        assert seen.asked is not None
        self.looks.why[self._reason()] += 1
        pending = self._pipeline.pending([seen.frame], seen.asked)
        (detections,) = self._pipeline.look(pending, [found])
        (result,) = self._pipeline.follow(pending, [detections])
        seen.followed = True
        self._last, self._last_ns = number, seen.stamp.media_ns
        self._learn(seen.stamp)
        return seen.decoded, result, detections

    def _reason(self) -> str:
        if not self._awake:
            return "what is followed stands still"
        if self._rate is None:
            return "something moves" if self._gate is not None else ""
        return re.sub(r"^[\d.]+ ", "", self._rate.why)

    def _learn(self, stamp: Stamp) -> None:
        pipeline = self._pipeline
        if self._rate is not None:
            self._rate.update(stamp.epoch, stamp.media_ns, pipeline.motion(CAMERA), self._drawn)
        if self._gate is not None:
            quiet, still = not pipeline.follows(CAMERA), pipeline.stands_still(CAMERA)
            self._gate.heard(quiet, stamp.media_ns / 1e9, still)
