"""Writes the clips that were asked for of this process's cameras, beside the threads that read them.

One thread for all: it takes packets from their buffers a few times a second and never holds up a camera. A
disk that is slow costs the clip and nobody else: what a buffer lets go before it was taken is missing in the
clip, which says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from streamer.errors import StorageError
from streamer.ipc.clip_messages import ClipRecorded, RecordClip
from streamer.sources.packet_buffer import KeptPacket, PacketBuffer
from streamer.sources.packet_writer import PacketWriter

log = logging.getLogger(__name__)

MAX_RECORDINGS = 8  # at a time, of one process
LOOK_EVERY_S = 0.2
LATE_S = 2.0  # after its end: what has not come by then does not come in time
CLOSING_S = 2.0


class Recording:
    """One clip that is being written."""

    def __init__(self, asked: RecordClip, buffer: PacketBuffer) -> None:
        """Raises StorageError where nothing of the time asked for is kept, or it cannot be written."""
        self.asked, self._buffer = asked, buffer
        self._until_mono_s = time.monotonic() + max(0.0, (asked.to_ns - time.time_ns()) / 1e9) + LATE_S
        first = buffer.start(asked.from_ns, asked.at_ns)
        if first is None:
            raise StorageError("no packets of it are kept: it is offline, or gives pictures without packets")
        if first.came_ns > asked.to_ns:
            late_s = (first.came_ns - asked.to_ns) / 1e9
            raise StorageError(f"too late: what is kept of it begins {late_s:.0f} s after the clip's end")
        self._next, self._stretch = first.number, first.stretch
        self._from_ns = self._to_ns = first.came_ns
        self._lost = 0
        self._at_key = True
        self._stack = ExitStack()
        place = Path(asked.folder)
        self._writer = self._stack.enter_context(PacketWriter(place, asked.clip, first.stretch))

    def step(self) -> bool:
        """Write what has come; whether there is more to come. Raises StorageError, and the file is gone."""
        try:
            ended = self._stretch.ended  # asked before what it has is read
            for packet in self._buffer.read(self._next):
                if packet.stretch is not self._stretch or packet.came_ns > self.asked.to_ns:
                    return False
                self._write(packet)
            return not ended and time.monotonic() < self._until_mono_s
        except StorageError as error:
            self._stack.__exit__(StorageError, error, None)
            raise

    def _write(self, packet: KeptPacket) -> None:
        if packet.number != self._next:  # the disk was slower than the camera
            self._lost += packet.number - self._next
            self._at_key = False
        self._next = packet.number + 1
        self._at_key = self._at_key or packet.key
        if self._at_key:
            self._writer.add(packet)
            self._to_ns = packet.came_ns

    def finish(self) -> ClipRecorded:
        """Raises StorageError, and the file is gone."""
        self._stack.close()
        asked = self.asked
        return ClipRecorded(
            asked.clip,
            asked.camera,
            str(self._writer.path),
            self._from_ns,
            self._to_ns,
            self._stretch.codec,
            "; ".join(self._notes()),
        )

    def abandon(self) -> None:
        """The process ends: half a clip is none."""
        self._stack.__exit__(StorageError, StorageError("stopped"), None)

    def _notes(self) -> list[str]:
        """What of the clip is not as it was asked for."""
        missing_s = (self._from_ns - self.asked.from_ns) / 1e9
        short_s = (self.asked.to_ns - self._to_ns) / 1e9
        notes = [f"begins {missing_s:.1f} s late: nothing older was kept"] * (missing_s > 1)
        if short_s > 1:
            why = "the camera went away, or began anew" if self._stretch.ended else "nothing came"
            notes.append(f"ends {short_s:.1f} s early: {why}")
        notes += [f"{self._lost} packets are missing: the disk was too slow"] * bool(self._lost)
        mended = self._writer.mended
        return [*notes, *([f"{mended} times of the camera were not followed"] if mended else [])]


class ClipRecorder(threading.Thread):
    """`announce` is called, by this thread, when there is a result. It runs from the first clip on."""

    def __init__(self, announce: Callable[[], None]) -> None:
        super().__init__(name="clips", daemon=True)
        self._announce = announce
        self._results: deque[ClipRecorded] = deque()
        self._asked: deque[tuple[RecordClip, PacketBuffer]] = deque()
        self._running: list[Recording] = []
        self._wake = threading.Event()
        self._ending = False

    def record(self, asked: RecordClip, buffer: PacketBuffer | None) -> None:
        """Begin a clip of the camera whose packets are in `buffer`; None: they are kept nowhere."""
        if buffer is None:
            self._tell(failed(asked, "its packets are not kept here: try again in a moment"))
            return
        self._asked.append((asked, buffer))
        self._wake.set()
        if self.ident is None:
            self.start()

    def results(self) -> list[ClipRecorded]:
        """Those since the last call."""
        return [self._results.popleft() for _ in range(len(self._results))]

    def _tell(self, recorded: ClipRecorded) -> None:
        self._results.append(recorded)
        self._announce()

    def stop(self) -> None:
        self._ending = True
        self._wake.set()
        if self.is_alive():
            self.join(CLOSING_S)

    def run(self) -> None:
        while not self._ending:
            self._wake.wait(LOOK_EVERY_S if self._running else None)
            self._wake.clear()
            self._begin()
            self._running = [recording for recording in self._running if self._goes_on(recording)]
        for recording in self._running:
            recording.abandon()

    def _begin(self) -> None:
        while self._asked:
            asked, buffer = self._asked.popleft()
            try:
                if len(self._running) >= MAX_RECORDINGS:
                    raise StorageError(f"{MAX_RECORDINGS} clips are being recorded: ask again in a moment")
                self._running.append(Recording(asked, buffer))
            except StorageError as error:
                self._tell(failed(asked, str(error)))
            except Exception as error:  # one odd stream must not end the clips of four cameras
                log.exception("camera %s: clip %s could not be begun", asked.camera, asked.clip)
                self._tell(failed(asked, f"unexpected {type(error).__name__}: the log has more"))

    def _goes_on(self, recording: Recording) -> bool:
        asked = recording.asked
        try:
            if not self._ending and recording.step():
                return True
            self._tell(failed(asked, "the daemon stops") if self._ending else recording.finish())
        except StorageError as error:
            self._tell(failed(asked, str(error)))
        except Exception as error:  # as in _begin
            log.exception("camera %s: clip %s could not be written", asked.camera, asked.clip)
            recording.abandon()
            self._tell(failed(asked, f"unexpected {type(error).__name__}: the log has more"))
        return False


def failed(asked: RecordClip, error: str) -> ClipRecorded:
    return ClipRecorded(asked.clip, asked.camera, "", 0, 0, "", "", f"camera {asked.camera}: {error}")
