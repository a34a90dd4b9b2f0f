"""What the streams of the bench `capacity` ask of a box, in their own time: nobody waits for a clock, and
nothing is late, so that other programs on the machine change no count and little of the CPU time.

A clip once through the spared form: gate, rate by need, the default detector, tracker and lines. CPU seconds
are this thread's for reading, and the detector's by the frame. What is beside them (health, messages, events)
is the live part's to tell.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import Crossing, compare
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.track.needed_rate import NeededRate, segments
from pipelines.values import Detections, Event, Frame, Stamp
from streamer.sources.base import Decoded
from streamer.sources.gate import MIN_EVIDENCE, Gate
from streamer.sources.kept_evidence import Evidence
from streamer.workers.capture.gated_reader import GatedReader
from streamer.workers.capture.pace import Pace
from tests.bench.capacity_sites import FPS, Drawn, Site
from tests.bench.capacity_truth import CAMERA, NS, WITHIN_S
from tests.bench.gate_replay import ANALYSED_WIDTH, ClipInItsTime, Ended

TIMED_FRAMES = 30  # of the detector, after as many to warm up


@dataclass
class Demand:
    """Of one clip once through: `whole_s` is what it takes to decode every frame of it, `reading_s` to read
    what the gate lets through, with the pictures that are looked at."""

    media_s: float
    whole_s: float
    reading_s: float = 0.0
    inferred: int = 0
    crossings: list[Crossing] = field(default_factory=list)


class Looked:
    """What is followed in the frames that are looked at; what was `found` in one is not sought again."""

    def __init__(self, drawn: Drawn, found: dict[int, Detections], detector: Detector) -> None:
        self._found, self._detector = found, detector
        self._rules = drawn.clip.rules
        self._pipeline = Pipeline(detector)
        self._pipeline.open_camera(CAMERA, self._rules)
        self._pieces = segments([line.points for line in self._rules.lines], ())
        self._events: list[Event] = []
        self._last: Stamp | None = None
        self.need = NeededRate()

    def add(self, decoded: Decoded, gate: Gate) -> None:
        at_ns = decoded.media_ns
        self._last = Stamp(CAMERA, 1, at_ns // 1_000_000, at_ns, at_ns, decoded.received_mono_ns)
        self._events += self._pipeline.advance(self._last, self._boxes(decoded, self._last)).events
        self.need.update(1, at_ns, self._pipeline.motion(CAMERA), self._pieces)
        quiet, still = not self._pipeline.follows(CAMERA), self._pipeline.stands_still(CAMERA)
        gate.heard(quiet, decoded.received_mono_ns / NS, still)

    def _boxes(self, decoded: Decoded, stamp: Stamp) -> Detections:
        picture = round(decoded.media_ns * FPS / NS)
        if picture not in self._found:
            frame = Frame(stamp, decoded.image(ANALYSED_WIDTH))
            (self._found[picture],) = self._detector.collect(self._detector.submit([frame]))
        return self._found[picture]

    def crossings(self) -> list[Crossing]:
        ended = self._pipeline.end_tracks(CAMERA, self._last) if self._last is not None else []
        return [
            Crossing(str(e.data["line"]), str(e.data["direction"]), e.data["crossed_media_ns"] / NS)
            for e in (*self._events, *ended)
            if e.type == LINE_CROSSED
        ]


def of_clip(drawn: Drawn, found: dict[int, Detections], detector: Detector, trusts: bool) -> Demand:
    """Once through it; with `trusts` its gate trusts the sizes of packets from the beginning."""
    demand = Demand(drawn.frames / FPS, _whole_s(drawn))
    source, pace, looked = ClipInItsTime(drawn.path), Pace(1), Looked(drawn, found, detector)
    gate = Gate(Evidence(told=(True,) * MIN_EVIDENCE if trusts else ()))
    reader = GatedReader(source, gate, lambda _: None, lambda _frames, _at: None)
    try:
        while True:
            begun_s = time.thread_time()
            decoded, _ = reader.read()
            due = decoded.kept or pace.due(decoded.media_ns, looked.need.fps)
            if due:
                decoded.image(ANALYSED_WIDTH)
            demand.reading_s += time.thread_time() - begun_s
            if due:
                demand.inferred += 1
                looked.add(decoded, gate)
    except Ended:
        demand.crossings = looked.crossings()
        return demand
    finally:
        source.close()


def _whole_s(drawn: Drawn) -> float:
    source, begun_s = ClipInItsTime(drawn.path), time.thread_time()
    try:
        while True:
            source.follow()
    except Ended:
        return time.thread_time() - begun_s
    finally:
        source.close()


def detector_s(detector: Detector) -> float:
    """CPU seconds a frame, of all threads."""
    picture = np.random.default_rng(1).integers(0, 255, (360, ANALYSED_WIDTH, 3), np.uint8)
    frame = Frame(Stamp(CAMERA, 1, 0, 0, 0, 0), picture)
    begun_s = 0.0
    for number in range(2 * TIMED_FRAMES):
        if number == TIMED_FRAMES:
            begun_s = time.process_time()
        detector.collect(detector.submit([frame]))
    return (time.process_time() - begun_s) / TIMED_FRAMES


# ---- of all cameras


def of_sites(
    sites: Sequence[Site],
    demands: dict[str, Demand],
    wanted: dict[str, list[Crossing]],
    a_frame_s: float,
) -> dict[str, Any]:
    """Cores that these cameras ask for, and the counts. `demands` and `wanted`, the crossings with every
    frame, are by the clip's name; `a_frame_s` is the detector's."""
    rows = {name: _row(demand, wanted[name], a_frame_s) for name, demand in demands.items()}
    mine = [rows[site.drawn.clip.name] for site in sites]
    keys = ("whole_cores", "reading_cores", "inference_cores", "wanted", "counted", "missed", "false")
    return {"clips": rows, **{key: sum(row[key] for row in mine) for key in keys}}


def _row(demand: Demand, wanted: list[Crossing], a_frame_s: float) -> dict[str, Any]:
    pairs = compare(wanted, demand.crossings, WITHIN_S)
    return {
        "whole_cores": demand.whole_s / demand.media_s,
        "reading_cores": demand.reading_s / demand.media_s,
        "inference_cores": demand.inferred * a_frame_s / demand.media_s,
        "inferred_fps": demand.inferred / demand.media_s,
        "wanted": pairs.true_count,
        "counted": pairs.counted,
        "missed": len(pairs.missed),
        "false": len(pairs.false),
    }
