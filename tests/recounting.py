"""Lines counted live and counted again from the stored paths of the same tracks, for tests and benches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count.replay import recount
from pipelines.count.trajectory_codec import decode, unpack
from pipelines.detect.detector import Detector
from pipelines.pipeline import Pipeline
from pipelines.registry import create_detector
from pipelines.rules import LineSpec
from pipelines.values import Detections, Event, Frame, Labels
from streamer.clips.prefetch import CAMERA, stamp_of
from streamer.errors import SourceEnded
from streamer.events import cloudevents
from streamer.ipc.messages import EventRecord
from streamer.sources.base import create_source
from tests.bench.counting.data import Sequence

WITHIN_S = 0.25
WIDTH = 640
NODE, LINEAGE = "b7a4d7cf-6f0b-4dbb-9a3a-4d4c0a1f7c11", 1_795_312_617_308
LINES = (
    LineSpec(name="upright", points=((0.5, 0.0), (0.5, 1.0))),
    LineSpec(name="level", points=((0.0, 0.6), (1.0, 0.6))),
    LineSpec(name="slanted", points=((0.1, 0.2), (0.8, 0.9))),
    LineSpec(name="steep", points=((0.3, 0.9), (0.35, 0.1)), anchor="center"),
    LineSpec(name="bent", points=((0.2, 0.3), (0.5, 0.7), (0.8, 0.3)), anchor="foot"),
)
Found = Iterable[tuple[int, Detections]]  # (media_ns, detections) of each frame


class Crossed(NamedTuple):
    track_id: int
    line: str
    side: str
    class_name: str
    time_s: float


@dataclass
class Comparison:
    """What of `live` is `same` when recounted, and what differs. Bytes and seconds are of the paths."""

    name: str
    live: int = 0
    missing: list[Crossed] = field(default_factory=list)
    extra: list[Crossed] = field(default_factory=list)
    tracks: int = 0
    track_s: float = 0.0
    path_bytes: int = 0
    event_bytes: int = 0  # of the tracks' events, in which the path is thinned

    @property
    def same(self) -> int:
        return self.live - len(self.missing)

    def differences(self) -> list[str]:
        """One line each."""
        both = (("only live", self.missing), ("only recounted", self.extra))
        return [
            f"{self.name}: {what}: {c.line} {c.side} by {c.class_name} {c.track_id} at {c.time_s:.2f} s"
            for what, crossings in both
            for c in crossings
        ]


def of_clip(url: str, detector: Detector) -> Iterator[tuple[int, Detections]]:
    """Every frame of a clip or scene, at the analysis width."""
    source = create_source(url, loop=False, realtime=False)
    source.open()
    try:
        while True:
            decoded = source.read()
            frame = Frame(stamp_of(0, decoded.media_ns), decoded.image(WIDTH))
            yield decoded.media_ns, detector.collect(detector.submit([frame]))[0]
    except SourceEnded:
        return
    finally:
        source.close()


def of_sequence(sequence: Sequence, step: int = 1) -> Iterator[tuple[int, Detections]]:
    """The stored detections of public tracking truth."""
    size = np.array([sequence.width, sequence.height] * 2)
    for frame, rows in sequence.frames(step):
        yield (
            int(sequence.time_s(frame) * 1e9),
            Detections(
                (rows[:, :4] / size).astype(np.float32),
                np.clip(rows[:, 4], 0, 1).astype(np.float32),
                np.zeros(len(rows), np.int32),
            ),
        )


def compare(
    name: str,
    found: Found,
    labels: Labels,
    *,
    lines: tuple[LineSpec, ...] = LINES,
    classes: tuple[str, ...] = (),
) -> Comparison:
    """Count `lines` live, then again from the paths that the live run left."""
    events = live(found, labels, CameraRules(lines=lines, classes=classes))
    result = Comparison(name)
    left = [crossed for event in events for crossed in _again(event, lines, result)]
    for event in events:
        if event.type != "streamer.line.crossed.v1":
            continue
        data, result.live = event.data, result.live + 1
        crossed = Crossed(
            data["track_id"], data["line"], data["side"], data["class"], data["crossed_media_ns"] / 1e9
        )
        near = [c for c in left if c[:4] == crossed[:4] and abs(c.time_s - crossed.time_s) <= WITHIN_S]
        if near:
            left.remove(near[0])
        else:
            result.missing.append(crossed)
    result.extra = left
    return result


def live(found: Found, labels: Labels, rules: CameraRules) -> list[Event]:
    pipeline = Pipeline(_for_its_labels(labels))
    pipeline.open_camera(CAMERA, rules)
    events: list[Event] = []
    stamp = None
    for number, (media_ns, detections) in enumerate(found):
        stamp = stamp_of(number, media_ns)
        events += pipeline.advance(stamp, detections).events
    if stamp is not None:
        events += pipeline.end_tracks(CAMERA, stamp)
    return events


def _record(event: Event) -> EventRecord:
    """As the daemon sends it to the ledger."""
    stamp = event.stamp
    place = (stamp.epoch, stamp.frame_id, stamp.media_ns, stamp.captured_ns, 12.345, 1)
    return EventRecord(
        stamp.camera, 10_000, event.type, event.subject, *place, dict(event.data), LINEAGE * 10**6, 12.3, 4.5
    )


def _again(event: Event, lines: tuple[LineSpec, ...], result: Comparison) -> Iterator[Crossed]:
    if event.type != "streamer.track.ended.v1":
        return
    data = dict(event.data)
    packed = unpack(data.pop("trace"))
    result.tracks += 1
    result.track_s += (data["last_media_ns"] - data["first_media_ns"]) / 1e9
    result.path_bytes += len(packed)
    result.event_bytes += len(cloudevents.body(_record(event), NODE, LINEAGE))
    trace = decode(packed)
    for line in lines:
        for crossing in recount(trace, line):
            side = "left_to_right" if crossing.side > 0 else "right_to_left"
            at_s = data["first_media_ns"] / 1e9 + crossing.time_s
            yield Crossed(data["track_id"], line.name, side, crossing.class_name, at_s)


def _for_its_labels(labels: Labels) -> Detector:
    """A detector that is asked nothing: the detections are given."""
    detector = create_detector("motion", None)
    detector.labels = labels
    return detector
