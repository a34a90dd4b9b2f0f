"""A thread that keeps one camera open and its newest frame at hand.

Retry lives here and nowhere else: a source opens, reads and raises. The thread never waits for a reader:
a newer frame replaces the one that nobody has asked for, and the counters say why each was let go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from streamer.errors import ConfigError, SourceEnded, SourceError
from streamer.ipc.choices import CameraState
from streamer.ipc.counters import Block, FrameCounters
from streamer.ipc.messages import CaptureCamera
from streamer.logs import redact
from streamer.sources.base import Decoded, RestingSource, Source, SourceInfo, SparingSource, create_source
from streamer.sources.gate import Gate
from streamer.sources.limits import SourceLimits
from streamer.sources.packet_buffer import PacketBuffer
from streamer.sources.retry import Backoff
from streamer.workers.capture.camera_watch import CameraWatch, HealthChange
from streamer.workers.capture.gate_memory import GateMemory
from streamer.workers.capture.gated_reader import GatedReader
from streamer.workers.capture.pace import Pace

log = logging.getLogger(__name__)

MAX_KEPT = 40  # frames from before a camera woke that wait for inference: more than one wake brings


@dataclass(frozen=True, slots=True)
class HeldFrame:
    """A decoded frame, its place in the epoch, and the opening of the source it is from."""

    decoded: Decoded
    frame_id: int
    opening: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """What the worker's main thread announces. `opening` numbers the opens of this thread."""

    state: CameraState
    detail: str
    at_ns: int
    opening: int
    info: SourceInfo | None = None


class CameraThread(threading.Thread):
    """Calls `wake` when there is a state to announce or a frame that was waited for. `watch` looks at its
    frames, where its health is watched; `memory` keeps what its gate learns; `spares`: see ReadOptions.

    `due_frames` counts those that inference wants, `missed_frames` those of them that came while the one
    before still waited for it.
    """

    def __init__(
        self,
        camera: CaptureCamera,
        counters: Block,
        wake: Callable[[], None],
        watch: CameraWatch | None = None,
        memory: GateMemory | None = None,
        spares: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(name=f"camera {camera.name}", daemon=True)
        self.camera = camera
        self._counters = counters
        self._wake = wake
        self._lock = threading.Lock()
        self._released = threading.Condition(self._lock)
        self._held: HeldFrame | None = None
        self._kept: deque[HeldFrame] = deque()  # from before the camera woke: they go first
        self._gate: Gate | None = None
        self._memory = memory or GateMemory(camera.name, camera.url, None)
        self._gated_ns = 0
        self._newest: Decoded | None = None
        self._requested = False
        self._ring_refused = False  # to its opening
        self._retired = False
        self._changes: list[StateChange] = []
        self.buffer = PacketBuffer(camera.clip_s, camera.clip_bytes) if camera.clip_s else None
        self._watch = watch
        self._health_changes: list[HealthChange] = []
        self._logged_state = ""
        self._logged_traceback = ""
        self._ending = threading.Event()
        self._source: Source | None = None
        self._opening = 0
        self._live_since_s: float | None = None
        self._pace = Pace(camera.row)
        self._wanted_fps = camera.fps
        self._wanted = False  # since its epoch began
        self._spares = spares
        self.due_frames = self.missed_frames = 0
        self.infer_short = False
        self._cpu_ns = 0  # of this thread, as far as it is in the counters

    # ---- for the main thread

    def changes(self) -> list[StateChange]:
        with self._lock:
            changes, self._changes = self._changes, []
        return changes

    def health_changes(self) -> list[HealthChange]:
        with self._lock:
            changes, self._health_changes = self._health_changes, []
        return changes

    def gated_until_ns(self) -> int:
        """Up to when (wall clock) nothing moved in front of the camera, since the last call; 0: it does not
        rest."""
        with self._lock:
            until_ns, self._gated_ns = self._gated_ns, 0
        return until_ns

    def hear(self, quiet: bool, still: bool = False) -> None:
        """Whether inference follows nothing in the frames that it has had, or only what stands still. While
        frames wait from before the camera woke, it cannot have seen yet why that was."""
        if self._gate is not None and not self._kept:
            self._gate.heard(quiet, time.monotonic(), still)

    @property
    def level(self) -> str:
        """How much of it is decoded and looked at: gate.py; "" where it never rests."""
        return self._gate.level if self._gate is not None else ""

    @property
    def decoding_spared(self) -> bool:
        """Whether its decoder leaves something out since the processor is short: picture_decoder.py."""
        source = self._source
        return isinstance(source, SparingSource) and source.spared

    def want(self, fps: float, infer_short: bool = False) -> None:
        """Frames a second that inference needs, 0: as is configured, and whether it waits long for a core."""
        self.infer_short = infer_short
        self._wanted_fps = fps or self.camera.fps
        self._wanted = True

    def set_requested(self, requested: bool) -> None:
        """Whether a frame is requested: then a new one wakes the main thread."""
        with self._lock:
            self._requested = requested

    def send_held(self, opening: int, send: Callable[[HeldFrame], str]) -> bool:
        """Let `send` pass on the held frame of `opening`; it returns "" or why it dropped the frame.

        Returns whether it was passed on: the request of a frame that was dropped still stands. The thread
        goes on decoding while `send` converts.
        """
        with self._lock:
            held = self._next_locked()
            if held is None or held.opening != opening:
                return False
            if held is self._held:
                self._held = None
            else:
                self._kept.popleft()
            self._released.notify_all()
        begun_ns = time.thread_time_ns()
        reason = send(held)
        took_ns = time.thread_time_ns() - begun_ns
        with self._lock, self._counters.writing() as words:
            words[self._counters.at["cpu_decode"]] += took_ns
            words[self._counters.at["held"]] -= 1
            words[self._counters.at[f"drop_{reason}" if reason else "handed"]] += 1
        return not reason

    def _next_locked(self) -> HeldFrame | None:
        """The older one: what has waited since before a rest comes before what was kept in it."""
        kept, held = self._kept[0] if self._kept else None, self._held
        if kept is None or held is None:
            return kept or held
        in_turn = (held.opening, held.frame_id) < (kept.opening, kept.frame_id)
        return held if in_turn else kept

    def set_ring_refused(self, opening: int, refused: bool) -> None:
        """Whether `opening` was refused a ring: then frames of a live source are let go as they come."""
        with self._lock:
            if opening != self._opening or not self.camera.realtime:
                return  # a source that is not live waits with the frame that it has
            self._ring_refused = refused
            if refused:
                self._drop_held_locked("no_storage")

    def add_cpu(self, cpu_ns: int) -> None:
        """CPU time that was spent for it elsewhere than in this thread."""
        with self._lock, self._counters.writing() as words:
            words[self._counters.at["cpu_decode"]] += cpu_ns

    def set_generation(self, generation: int) -> None:
        with self._lock, self._counters.writing() as words:
            words[self._counters.at["generation"]] = generation

    def release_handed(self, counters: FrameCounters) -> None:
        """All that was handed over and not answered for is lost: who had it is dead."""
        with self._lock:
            counters.release_handed(self.camera.row, self._counters)

    def take_back_lost(self, counters: FrameCounters) -> None:
        """Of a process before this one: what was answered for after all."""
        with self._lock:
            counters.take_back_lost(self.camera.row, self._counters)

    def newest(self) -> Decoded | None:
        """The last decoded frame, taken or not, for pictures."""
        return self._newest

    def stop(self) -> None:
        self._ending.set()
        with self._lock:
            self._released.notify_all()
        source = self._source
        if source is not None:
            source.close()

    def retire(self) -> None:
        """Stop, and leave the counters from now on: the camera's row may be another's, whenever this ends."""
        with self._lock:
            self._drop_held_locked("closed")
            self._retired = True
        self.stop()

    # ---- the thread

    def run(self) -> None:
        backoff = Backoff()
        while not self._ending.is_set():
            self._set_state("connecting", "")
            self._live_since_s = None
            try:
                self._run_source()
            except SourceEnded as end:
                self._set_state("ended", str(end))
                return
            except SourceError as error:
                self._pause_after(error, backoff)
            except ConfigError as error:  # nothing that another try could mend
                self._set_state("unreachable", str(error))
                return
            except Exception as error:  # a thread that ended here would leave the camera dark for good
                text = f"unexpected {type(error).__name__}: {redact(str(error))}"
                if text != self._logged_traceback and not self._ending.is_set():  # once, not at every try
                    self._logged_traceback = text
                    log.exception("camera %s: %s", self.camera.name, text)
                self._pause_after(SourceError(f"{text} (the log has more)"), backoff)
            finally:
                self._drop_held("closed")

    def _pause_after(self, error: SourceError, backoff: Backoff) -> None:
        if self._ending.is_set():
            return
        live_s = time.monotonic() - self._live_since_s if self._live_since_s is not None else 0.0
        pause_s = backoff.after(error, live_s)
        self._set_state(error.state, f"{error}; next try in {pause_s:.0f} s")
        self._ending.wait(pause_s)

    def _run_source(self) -> None:
        """One opening of the source, until it fails or ends."""
        camera = self.camera
        source = create_source(
            camera.url,
            loop=camera.loop,
            realtime=camera.realtime,
            open_timeout_s=camera.open_timeout_s,
            read_timeout_s=camera.read_timeout_s,
            stream=camera.stream,
            transport=camera.transport,
            ca=camera.ca,
            decode=camera.decode,
            frames=camera.frames,
            limits=SourceLimits(camera.files, camera.networks),
            buffer=self.buffer,
            spares=self._spares,
        )
        self._source = source
        try:
            info = source.open()
            first = source.read()
            if self._ending.is_set():
                return  # nobody waits for it any more
            self._live_since_s = time.monotonic()
            info = replace(info, width=first.width, height=first.height)
            self._begin_epoch(info)
            frame_id, loop = 0, first.loop
            self._look(first)
            self._hold(first, frame_id)
            reader = self._gated(source, info)
            while not self._ending.is_set():
                decoded, passed = reader.read() if reader is not None else (source.read(), 0)
                if decoded.loop != loop or (decoded.width, decoded.height) != (info.width, info.height):
                    info = replace(info, width=decoded.width, height=decoded.height)
                    loop, frame_id = decoded.loop, -1
                    self._drop_held("closed")
                    self._begin_epoch(info)
                frame_id += 1 + passed
                if self._gate is not None:
                    self._memory.note(self._gate)
                if reader is None:
                    self._look(decoded)
                self._hold(decoded, frame_id)
        finally:
            self._source = None
            source.close()
            if self.buffer is not None:
                self.buffer.end()

    def _gated(self, source: Source, info: SourceInfo) -> GatedReader | None:
        if not self.camera.gate or not self.camera.realtime or not isinstance(source, RestingSource):
            return None
        self._gate = self._memory.gate(info)
        return GatedReader(source, self._gate, self._look, self._let_go)

    def _let_go(self, frames: int, captured_ns: int) -> None:
        """The camera rests: `frames` were not offered to inference."""
        with self._lock:
            if self._retired:
                return
            self._gated_ns = captured_ns
            cpu_ns = self._cpu_since_ns()
            with self._counters.writing() as words:
                words[self._counters.at["cpu_decode"]] += cpu_ns
                words[self._counters.at["decoded"]] += frames
                words[self._counters.at["gated"]] += frames

    def _begin_epoch(self, info: SourceInfo) -> None:
        """A new epoch: announce it. Its frames are handed over once it has its ring."""
        with self._lock:
            self._opening += 1
            self._ring_refused = False  # it asks for one
            self._pace.restart()
            self._wanted = False
        if self._watch is not None:
            self._watch.restart()
        sized = f"{info.width}x{info.height}"
        told = f"{info.codec} {sized}" if info.codec else sized
        self._set_state("live", f"{told}; {info.note}" if info.note else told, info)

    def _look(self, decoded: Decoded) -> None:
        """Whether the camera can be believed; what is not taken by inference is looked at as well."""
        change = self._watch.frame(decoded) if self._watch is not None else None
        if change is None:
            return
        with self._lock:
            if self._retired:
                return
            self._health_changes.append(change)
        state = change.health.state
        log.log(
            logging.INFO if state == "ok" else logging.WARNING,
            "camera %s: health %s",
            self.camera.name,
            f"{state} {change.health.detail}".rstrip(),
        )
        self._wake()

    def _hold(self, decoded: Decoded, frame_id: int) -> None:
        due = self._pace.due(decoded.media_ns, self._wanted_fps)
        self._newest = decoded
        with self._lock:
            if self._retired:
                return
            if due and self._wanted:
                self.due_frames += 1
                self.missed_frames += self._held is not None
            at, cpu_ns = self._counters.at, self._cpu_since_ns()
            with self._counters.writing() as words:
                words[at["decoded"]] += 1
                words[at["cpu_decode"]] += cpu_ns
                if decoded.kept and not self._ring_refused:
                    gone = self._keep_locked(HeldFrame(decoded, frame_id, self._opening))
                    words[at["held"]] += 1 - gone
                    words[at["drop_busy"]] += gone
                    return
                if self._held is not None:
                    words[at["drop_busy"]] += 1
                elif not due:
                    words[at["drop_not_due"]] += 1
                    return
                elif self._ring_refused:
                    words[at["drop_no_storage"]] += 1
                    return
                else:
                    words[at["held"]] += 1
            # A waiting frame is replaced also by one that was not due: what is taken is the newest.
            self._held = HeldFrame(decoded, frame_id, self._opening)
            wake = self._requested
        if wake:
            self._wake()
        if not self.camera.realtime:
            self._wait_until_released()

    def _cpu_since_ns(self) -> int:
        """What this thread has taken since the last call. Not for within a block of the counters: the system
        takes the processor away at such a call, when the thread has had its share."""
        before_ns, self._cpu_ns = self._cpu_ns, time.thread_time_ns()
        return self._cpu_ns - before_ns

    def _keep_locked(self, held: HeldFrame) -> int:
        """As small as it is looked at: the decoder's own memory is for few. Returns how many older ones are
        let go for it: of a camera that has woken again and again while nobody had time."""
        held.decoded.shrink(self.camera.analysis_width)
        self._kept.append(held)
        gone = len(self._kept) > MAX_KEPT
        if gone:
            self._kept.popleft()
        if self._requested:
            self._wake()
        return int(gone)

    def _wait_until_released(self) -> None:
        """A source that is not live waits for inference instead of dropping."""
        with self._lock:
            while self._held is not None and not self._ending.is_set():
                self._released.wait(0.5)

    def _drop_held(self, reason: str) -> None:
        with self._lock:
            self._drop_held_locked(reason)

    def _drop_held_locked(self, reason: str) -> None:
        """With the lock held."""
        count = len(self._kept) + (self._held is not None)
        if not count or self._retired:
            return
        self._held = None
        self._kept.clear()
        with self._counters.writing() as words:
            words[self._counters.at["held"]] -= count
            words[self._counters.at[f"drop_{reason}"]] += count

    def _set_state(self, state: CameraState, detail: str, info: SourceInfo | None = None) -> None:
        with self._lock:
            if self._retired:
                return
            self._changes.append(StateChange(state, detail, time.time_ns(), self._opening, info))
        text = f"{state} {detail}".rstrip()
        if text != self._logged_state:  # not at every turn of a short clip that loops
            self._logged_state = text
            level = logging.INFO if state in ("live", "connecting", "ended") else logging.WARNING
            log.log(level, "camera %s: %s", self.camera.name, text)
        self._wake()
