"""A thread that keeps one camera open and its newest frame at hand.

Retry lives here and nowhere else: a source opens, reads and raises. The thread never waits for a reader:
a newer frame replaces the one that nobody has asked for, and the counters say why each was let go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from streamer.errors import ConfigError, SourceEnded, SourceError
from streamer.ipc.counters import Block
from streamer.ipc.messages import CameraState, CaptureCamera
from streamer.logs import redact
from streamer.sources.base import Decoded, Source, SourceInfo, create_source
from streamer.sources.retry import Backoff

log = logging.getLogger(__name__)

# Cameras that begin together do not all come due together: their turns are spread by the golden ratio.
SPREAD = 0.618


@dataclass(frozen=True, slots=True)
class Held:
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


class CameraReader(threading.Thread):
    """Calls `wake` when there is a state to announce or a frame that was waited for."""

    def __init__(self, camera: CaptureCamera, counters: Block, wake: Callable[[], None]) -> None:
        super().__init__(name=f"camera {camera.name}", daemon=True)
        self.camera = camera
        self._counters = counters
        self._wake = wake
        self._lock = threading.Lock()
        self._taken = threading.Condition(self._lock)
        self._held: Held | None = None
        self._newest: Decoded | None = None
        self._wanted = False
        self._ringless = False  # its opening was refused a ring
        self._retired = False
        self._changes: list[StateChange] = []
        self._logged = ""
        self._traced = ""
        self._ending = threading.Event()
        self._source: Source | None = None
        self._opening = 0
        self._live_since_s: float | None = None
        self._next_due_ns: int | None = None

    # ---- for the main thread

    def changes(self) -> list[StateChange]:
        with self._lock:
            changes, self._changes = self._changes, []
        return changes

    def want(self, wanted: bool) -> None:
        """Whether a demand is out: then a new frame wakes the main thread."""
        with self._lock:
            self._wanted = wanted

    def hand(self, opening: int, give: Callable[[Held], str]) -> bool:
        """Let `give` pass on the held frame of `opening`; it returns "" or why it dropped the frame.

        Returns whether it was passed on: who asked for a frame that was dropped waits for one still. The
        thread goes on decoding while `give` converts.
        """
        with self._lock:
            held = self._held
            if held is None or held.opening != opening:
                return False
            self._held = None
            self._taken.notify_all()
        reason = give(held)
        with self._lock, self._counters.writing() as words:
            words[self._counters.at["held"]] -= 1
            words[self._counters.at[f"drop_{reason}" if reason else "handed"]] += 1
        return not reason

    def without_ring(self, opening: int, refused: bool) -> None:
        """Whether `opening` was refused a ring: then frames of a live source are let go as they come."""
        with self._lock:
            if opening != self._opening or not self.camera.realtime:
                return  # a source that is not live waits with the frame that it has
            self._ringless = refused
            if refused:
                self._drop_held("no_storage")

    def set_generation(self, generation: int) -> None:
        with self._lock, self._counters.writing() as words:
            words[self._counters.at["generation"]] = generation

    def newest(self) -> Decoded | None:
        """The last decoded frame, taken or not, for pictures."""
        return self._newest

    def stop(self) -> None:
        self._ending.set()
        with self._lock:
            self._taken.notify_all()
        source = self._source
        if source is not None:
            source.close()

    def retire(self) -> None:
        """Stop, and leave the counters from now on: the camera's row may be another's, whenever this ends."""
        with self._lock:
            self._drop_held("closed")
            self._retired = True
        self.stop()

    # ---- the thread

    def run(self) -> None:
        backoff = Backoff()
        while not self._ending.is_set():
            self._say("connecting", "")
            self._live_since_s = None
            try:
                self._watch()
            except SourceEnded as end:
                self._say("ended", str(end))
                return
            except SourceError as error:
                self._pause_after(error, backoff)
            except ConfigError as error:  # nothing that another try could mend
                self._say("unreachable", str(error))
                return
            except Exception as error:  # a thread that ended here would leave the camera dark for good
                text = f"unexpected {type(error).__name__}: {redact(str(error))}"
                if text != self._traced and not self._ending.is_set():  # once, not at every try
                    self._traced = text
                    log.exception("camera %s: %s", self.camera.name, text)
                self._pause_after(SourceError(f"{text} (the log has more)"), backoff)
            finally:
                self._let_go("closed")

    def _pause_after(self, error: SourceError, backoff: Backoff) -> None:
        if self._ending.is_set():
            return
        live_s = time.monotonic() - self._live_since_s if self._live_since_s is not None else 0.0
        pause_s = backoff.after(error, live_s)
        self._say(error.state, f"{error}; next try in {pause_s:.0f} s")
        self._ending.wait(pause_s)

    def _watch(self) -> None:
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
        )
        self._source = source
        try:
            info = source.open()
            first = source.read()
            if self._ending.is_set():
                return  # nobody waits for it any more
            self._live_since_s = time.monotonic()
            info = replace(info, width=first.width, height=first.height)
            self._begin(info)
            frame_id, loop = 0, first.loop
            self._offer(first, frame_id)
            while not self._ending.is_set():
                decoded = source.read()
                if decoded.loop != loop or (decoded.width, decoded.height) != (info.width, info.height):
                    info = replace(info, width=decoded.width, height=decoded.height)
                    loop, frame_id = decoded.loop, -1
                    self._let_go("closed")
                    self._begin(info)
                frame_id += 1
                self._offer(decoded, frame_id)
        finally:
            self._source = None
            source.close()

    def _begin(self, info: SourceInfo) -> None:
        """A new epoch: announce it. Its frames are handed over once it has its ring."""
        with self._lock:
            self._opening += 1
            self._ringless = False  # it asks for one
            self._next_due_ns = None
        sized = f"{info.width}x{info.height}"
        self._say("live", f"{info.codec} {sized}" if info.codec else sized, info)

    def _offer(self, decoded: Decoded, frame_id: int) -> None:
        due = self._due(decoded.media_ns)
        self._newest = decoded
        with self._lock:
            if self._retired:
                return
            at = self._counters.at
            with self._counters.writing() as words:
                words[at["decoded"]] += 1
                if self._held is not None:
                    words[at["drop_busy"]] += 1
                elif not due:
                    words[at["drop_not_due"]] += 1
                    return
                elif self._ringless:
                    words[at["drop_no_storage"]] += 1
                    return
                else:
                    words[at["held"]] += 1
            # A waiting frame is replaced also by one that was not due: what is taken is the newest.
            self._held = Held(decoded, frame_id, self._opening)
            wake = self._wanted
        if wake:
            self._wake()
        if not self.camera.realtime:
            self._wait_until_taken()

    def _wait_until_taken(self) -> None:
        """A source that is not live waits for inference instead of dropping."""
        with self._lock:
            while self._held is not None and not self._ending.is_set():
                self._taken.wait(0.5)

    def _due(self, media_ns: int) -> bool:
        if self.camera.fps <= 0:
            return True
        step_ns = int(1e9 / self.camera.fps)
        if self._next_due_ns is None or media_ns > self._next_due_ns + 2 * step_ns:
            self._next_due_ns = media_ns + int(step_ns * (self.camera.row * SPREAD % 1.0 or 1.0))
            return True
        if media_ns < self._next_due_ns - step_ns // 10:
            return False
        self._next_due_ns += step_ns
        return True

    def _let_go(self, reason: str) -> None:
        with self._lock:
            self._drop_held(reason)

    def _drop_held(self, reason: str) -> None:
        """With the lock held."""
        if self._held is None or self._retired:
            return
        self._held = None
        with self._counters.writing() as words:
            words[self._counters.at["held"]] -= 1
            words[self._counters.at[f"drop_{reason}"]] += 1

    def _say(self, state: CameraState, detail: str, info: SourceInfo | None = None) -> None:
        with self._lock:
            if self._retired:
                return
            self._changes.append(StateChange(state, detail, time.time_ns(), self._opening, info))
        text = f"{state} {detail}".rstrip()
        if text != self._logged:  # not at every turn of a short clip that loops
            self._logged = text
            level = logging.INFO if state in ("live", "connecting", "ended") else logging.WARNING
            log.log(level, "camera %s: %s", self.camera.name, text)
        self._wake()
