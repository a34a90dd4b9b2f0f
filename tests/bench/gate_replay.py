"""A clip through a camera's gate in the clip's own time, and through inference: nobody waits for a clock."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import Crossing
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Event, Frame, Stamp
from streamer.sources.base import Decoded, Rested
from streamer.sources.container import PacketSeen, VideoInput
from streamer.sources.gate import Gate
from streamer.sources.kept_packets import Arrival
from streamer.sources.opening import OpenRequest
from streamer.sources.stream import VideoDecoded, pts_ns, rested
from streamer.workers.capture.gated_reader import GatedReader

CAMERA = "bench"
TIMEOUT_S = 30.0
ANALYSED_WIDTH = 640


class Ended(Exception):
    """The clip has no more pictures."""


class ClipInItsTime:
    """A resting source whose packets come when their timestamps say. `keys` counts key frames alone."""

    def __init__(self, path: Path) -> None:
        self._input = VideoInput(
            OpenRequest(url=f"file:{path}", shown=str(path), format=None, options={}), self._arrival
        )
        self._input.open()
        self.decoded = self.keys = 0

    def _arrival(self, packet: Packet[Stream]) -> Arrival:
        ticks = packet.dts if packet.dts is not None else packet.pts
        at_ns = int((ticks or 0) * self._input.stream.time_base * 1_000_000_000)
        return Arrival(at_ns, at_ns)

    def follow(self) -> Decoded | Rested:
        seen = self._input.next_seen(TIMEOUT_S)
        if seen is None:
            raise Ended
        if isinstance(seen, PacketSeen):
            self.keys += seen.picture is not None
            at_ns = seen.dts_ns or 0
            return rested(seen, at_ns, at_ns, at_ns)
        self.decoded += 1
        at_ns, came = pts_ns(seen) or 0, self._input.came(seen)
        received_ns = at_ns if came is None else came.received_mono_ns
        times = {"media_ns": at_ns, "captured_ns": at_ns, "received_mono_ns": received_ns}
        return VideoDecoded(seen, kept=came is not None, **times)

    def rest(self, keys_every_s: float = 0.0) -> bool:
        self._input.rest(keys_every_s)
        return True

    def packet_sizes(self) -> list[int]:
        return self._input.packet_sizes()

    def glance(self) -> None:
        self._input.glance()

    def wake(self, groups: int) -> int:
        return self._input.wake(groups)

    def close(self) -> None:
        self._input.close()


class Detected:
    """What a detector finds in a clip's pictures, each looked at once."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._found: dict[int, Detections] = {}

    def of(self, decoded: Decoded) -> Detections:
        found = self._found.get(decoded.media_ns)
        if found is None:
            frame = Frame(_stamp(decoded), decoded.image(ANALYSED_WIDTH))
            (found,) = self.detector.collect(self.detector.submit([frame]))
            self._found[decoded.media_ns] = found
        return found


@dataclass
class Followed:
    """What inference makes of the pictures that it is given; `busy_s` are the times when something moved."""

    detected: Detected
    rules: CameraRules
    inferred: int = 0
    busy_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pipeline = Pipeline(self.detected.detector)
        self._pipeline.open_camera(CAMERA, self.rules)
        self._events: list[Event] = []
        self._last: Stamp | None = None

    def add(self, decoded: Decoded) -> None:
        self.inferred += 1
        self._last = _stamp(decoded)
        self._events += self._pipeline.advance(self._last, self.detected.of(decoded)).events
        if not (self.quiet or self.still):
            self.busy_s.append(decoded.media_ns / 1e9)

    @property
    def quiet(self) -> bool:
        return not self._pipeline.follows(CAMERA)

    @property
    def still(self) -> bool:
        return self._pipeline.stands_still(CAMERA)

    def crossings(self) -> list[Crossing]:
        last = self._pipeline.end_tracks(CAMERA, self._last) if self._last is not None else []
        return [
            Crossing(e.subject, str(e.data["direction"]), e.data["crossed_captured_ns"] / 1e9)
            for e in (*self._events, *last)
            if e.type == LINE_CROSSED
        ]


@dataclass
class Gated:
    """One clip behind a gate. `wakes`: when and by what; `levels`: packets and pictures, in seconds."""

    inferred: int
    decoded: int
    keys: int
    crossings: list[Crossing]
    wakes: list[tuple[float, str]]
    level_s: dict[str, float]
    why: str


def every_frame(path: Path, followed: Followed, looked_at: Collection[int]) -> list[Crossing]:
    """Its crossings by the pictures with these numbers, of all."""
    source, number = ClipInItsTime(path), -1
    try:
        while True:
            decoded = source.follow()
            assert isinstance(decoded, Decoded)
            number += 1
            if number in looked_at:
                followed.add(decoded)
    except Ended:
        return followed.crossings()
    finally:
        source.close()


def behind_gate(path: Path, followed: Followed, gate: Gate) -> Gated:
    """Its crossings by what the gate lets through."""
    source, wakes = ClipInItsTime(path), []
    level_s = dict.fromkeys(("full", "pictures", "packets"), 0.0)
    before, last_s = gate.level, 0.0

    def note(at_s: float) -> None:
        nonlocal before, last_s
        level_s[before] += max(0.0, at_s - last_s)
        last_s = max(at_s, last_s)
        if gate.level == "full" != before:
            wakes.append((at_s, gate.woken_by))
        before = gate.level

    reader = GatedReader(source, gate, lambda _: None, lambda _, at_ns: note(at_ns / 1e9))
    try:
        while True:
            decoded, _ = reader.read()
            followed.add(decoded)
            gate.heard(followed.quiet, decoded.received_mono_ns / 1e9, followed.still)
            note(decoded.received_mono_ns / 1e9)
    except Ended:
        crossings = followed.crossings()
        return Gated(followed.inferred, source.decoded, source.keys, crossings, wakes, level_s, gate.why)
    finally:
        source.close()


def cpu_s(path: Path, from_s: float, gate: Gate | None) -> float:
    """CPU seconds from there on to read a clip in which nothing moves: behind a gate that hears so, or
    decoded whole."""
    source, begun_s, at_ns = ClipInItsTime(path), 0.0, 0

    def passed(_frames: int, captured_ns: int) -> None:
        nonlocal begun_s, at_ns
        at_ns = max(at_ns, captured_ns)
        if not begun_s and at_ns >= from_s * 1e9:
            begun_s = time.process_time()

    reader = GatedReader(source, gate, lambda _: None, passed) if gate is not None else None
    try:
        while True:
            seen = source.follow() if reader is None else reader.read()[0]
            passed(0, seen.received_mono_ns)
            if gate is not None:
                gate.heard(True, seen.received_mono_ns / 1e9)
    except Ended:
        return time.process_time() - begun_s
    finally:
        source.close()


def _stamp(decoded: Decoded) -> Stamp:
    at_ns = decoded.media_ns
    return Stamp(CAMERA, 1, at_ns // 1_000_000, at_ns, at_ns, decoded.received_mono_ns, "pts")
