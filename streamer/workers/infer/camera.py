"""What an inference worker keeps for one camera, and what it learns of the intervals of its frames."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field

from pipelines.alerts.camera_alerts import CameraAlerts
from pipelines.camera_rules import CameraRules
from pipelines.pipeline import Pipeline
from pipelines.track.needed_rate import NeededRate, Segments, segments
from pipelines.values import Stamp, Tracks
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.counters import Block
from streamer.ipc.messages import FrameReady, InferCamera, SourceState
from streamer.workers.infer.coverage import Coverage
from streamer.workers.infer.cpu_share import CameraCost
from streamer.workers.rate import Rate

log = logging.getLogger(__name__)

RECENT, RECENT_S = 512, 60.0  # latencies kept for the status, and how long an age is told
MAX_UNSENT_STATES = 64  # state changes that wait until the camera's place in its sequence is known
MAX_KEPT_FRAMES = 64  # (epoch, frame) of those in the detector that came before their camera woke
INTERVAL_SMOOTHING = 0.2
MIN_STALE_NS = 33_000_000  # an interval between 30 frames a second
ShownTrack = tuple[int, str, float, float, float, float]  # id, class, box


class FrameIntervalEstimator:
    """How old a camera's newest frame will be at a given moment, wherever that frame is.

    Learns from the frames that arrive; those in between are counted by their numbers. An exponential moving
    average; times are monotonic nanoseconds.
    """

    def __init__(self) -> None:
        self._last: FrameReady | None = None
        self._interval_ns = 0.0

    def add(self, frame: FrameReady) -> None:
        last, self._last = self._last, frame
        if last is None or last.epoch != frame.epoch or frame.frame_id <= last.frame_id:
            return
        interval_ns = (frame.received_mono_ns - last.received_mono_ns) / (frame.frame_id - last.frame_id)
        if interval_ns > 0:
            share = INTERVAL_SMOOTHING if self._interval_ns else 1.0
            self._interval_ns += share * (interval_ns - self._interval_ns)

    def is_stale(self, frame: FrameReady, at_mono_ns: int, wanted_fps: float = 0.0) -> bool:
        """Whether there is a newer frame than this one by now that is to be looked at: `wanted_fps` a second
        are, 0: all. Of a fast camera one that is not MIN_STALE_NS old is new: it would have all of its frames
        exchanged, and fewer turns than others."""
        wanted_ns = 1e9 / wanted_fps if wanted_fps else 0.0
        age_ns = at_mono_ns - frame.received_mono_ns
        is_old = age_ns > max(self._interval_ns, wanted_ns, MIN_STALE_NS)
        return is_old and not frame.kept and self._interval_ns > 0

    def age(self, at_mono_ns: int) -> float:
        """The newest frame's age at a moment, in frame intervals: 0 just decoded, 1 about to be replaced."""
        if self._last is None or not self._interval_ns:
            return 0.5
        return (at_mono_ns - self._last.received_mono_ns) / self._interval_ns % 1.0


@dataclass(slots=True, eq=False)
class CameraContext:
    """Its assignment, its pipeline, its frame that waits for the detector, and the leases of its ring's
    slots that are to be released."""

    config: InferCamera
    block: Block
    coverage: Coverage
    generation: int  # of the ring its frames come in; older ones are not ours
    term: CameraTerm | None = None  # of its site, that its events are made in; as `config` says, or before
    alerts: CameraAlerts = field(default_factory=lambda: CameraAlerts(CameraRules(), None))
    worker: str = ""  # the capture worker it comes from
    pipeline: Pipeline | None = None
    pipeline_spec: str = ""  # of `pipeline`
    scene_spec: str = ""  # of the classifier that looks at its whole picture, in `pipeline`
    awaits_scene: bool = False  # no frame is taken before that is loaded: it would miss the first pictures
    rejected_s: float = 0.0  # when a frame could not be used last
    warnings: dict[str, str] = field(default_factory=dict)  # by topic; those that hold now
    waiting: FrameReady | None = None  # the frame that is here, and not yet in the detector
    stale_dropped: bool = False  # the frame before was too old when its turn came; the next is taken as it is
    requested_s: float = 0.0  # 0: no frame is requested
    leases_to_release: list[tuple[int, int]] = field(default_factory=list)  # (generation, lease)
    last_served_s: float = 0.0  # when a frame of it went to the detector
    turns: int = 0  # frames of it that went there, or would have: see BatchScheduler
    interval: FrameIntervalEstimator = field(default_factory=FrameIntervalEstimator)
    inferred: int = 0
    unsent_states: deque[SourceState] = field(default_factory=lambda: deque(maxlen=MAX_UNSENT_STATES))
    last_state: tuple[str, int] = ("", 0)
    health: str = ""  # as the capture worker says; "": nobody does
    last_stamp: Stamp | None = None  # of the last frame that was inferred
    last_tracks: Tracks | None = None  # likewise
    next_ids: tuple[int, int] = (0, 0)  # as they stand in the counters: the epoch, and its next track id
    kept_frames: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_KEPT_FRAMES))
    ages: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=RECENT))  # when (s), ms
    checkpointed_s: float = 0.0
    inference_rate: Rate = field(default_factory=Rate)
    cost: CameraCost = field(default_factory=CameraCost)
    need: NeededRate | None = None  # where its rate is `auto`
    drawn: Segments = field(default_factory=lambda: segments((), ()))  # its lines and zones

    @property
    def name(self) -> str:
        return self.config.name

    def draw(self, rules: CameraRules) -> None:
        """Take note of where its lines and zones are."""
        self.drawn = segments([line.points for line in rules.lines], [zone.points for zone in rules.zones])

    def change_rules(self, text: str) -> None:
        """Go on with these rules, JSON of a CameraRules; wrong ones change nothing and are warned of."""
        try:
            rules = CameraRules.model_validate_json(text)
            self.alerts.with_rules(rules)
            self.draw(rules)
            if self.pipeline is not None:
                self.pipeline.set_rules(self.name, rules)
                self.warn("rules", "")
        except ValueError as error:
            self.warn("rules", f"rules kept as they were: {error}")

    def learn_rate(self, stamp: Stamp) -> bool:
        """After a frame that was followed: how often it is to be looked at; whether that is more often than
        before."""
        if self.need is None or self.pipeline is None:
            return False
        before = self.need.fps
        self.need.update(stamp.epoch, stamp.media_ns, self.pipeline.motion(self.name), self.drawn)
        return self.need.fps > before

    @property
    def wanted_fps(self) -> float:
        """0: every frame, or as the configuration says."""
        return self.need.fps if self.need is not None else 0.0

    @property
    def quiet(self) -> bool:
        """Whether nothing is followed in it, and nobody is waited for who was there."""
        return self.pipeline is not None and self.inferred > 0 and not self.pipeline.follows(self.name)

    @property
    def still(self) -> bool:
        """Whether all that is followed in it has stood still for long."""
        return self.pipeline is not None and self.inferred > 0 and self.pipeline.stands_still(self.name)

    def was_kept(self, stamp: Stamp) -> bool:
        """Whether that frame came before the camera woke: its age says when that was, not how busy we are."""
        return (stamp.epoch, stamp.frame_id) in self.kept_frames

    def tracks_now(self) -> tuple[int, tuple[ShownTrack, ...]]:
        """When the last inferred frame was captured (Unix ns; 0: there was none), and the tracks in it."""
        tracks, names = self.last_tracks, self.pipeline.detector.labels.names if self.pipeline else ()
        if tracks is None or self.last_stamp is None:
            return 0, ()
        rows = zip(
            tracks.track_ids.tolist(), tracks.class_ids.tolist(), tracks.boxes_xyxyn.tolist(), strict=True
        )
        shown = [(i, names[c] if c < len(names) else "", *box) for i, c, box in rows]
        return self.last_stamp.captured_ns, tuple(shown)

    @property
    def warning(self) -> str:
        """What a person should read in `status`."""
        return "; ".join(self.warnings.values())

    def warn(self, topic: str, text: str) -> None:
        """Say that something is wrong with the model, the rules, …; "" takes back what was said of it."""
        if text == self.warnings.get(topic, ""):
            return
        if text:
            self.warnings[topic] = text
            log.error("camera %s: %s", self.name, text)
        else:
            log.info("camera %s: no longer: %s", self.name, self.warnings.pop(topic))

    def frame_rejected(self, text: str) -> None:
        """Count a frame that could not be used, and say why."""
        self.block.add(drop_refused=1)
        self.rejected_s = time.monotonic()
        self.warn("frames", text)
