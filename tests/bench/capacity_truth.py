"""What the streams of the bench `capacity` hold: the crossings that are counted with every frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import Crossing, compare
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL
from pipelines.values import Detections, Event, Frame, Stamp
from streamer.models.model_handle import open_detector, packaged
from streamer.sources.base import Decoded
from tests.bench.capacity_sites import FPS, Drawn, Site
from tests.bench.gate_replay import ANALYSED_WIDTH, ClipInItsTime, Ended

CAMERA = "bench"
WITHIN_S = 2.0  # a crossing is the same one
NS = 1_000_000_000


CARD = PACKAGED_MODEL.with_suffix(".yaml")


def default_detector(threads: int) -> Detector:
    """As the daemon has it: with the scores of its card, below which nothing is found or proven."""
    return open_detector("openvino", packaged(), threads=threads)


def detections(drawn: Drawn, detector: Detector) -> dict[int, Detections]:
    """By picture, what the default `detector` finds in those that are looked at; kept beside the clip."""
    model = hashlib.sha256(PACKAGED_MODEL.read_bytes() + CARD.read_bytes()).hexdigest()[:12]
    kept = drawn.path.with_suffix(f".{model}.npz")
    if not kept.exists():
        begun = kept.with_suffix(".part.npz")
        _keep(begun, _detected(drawn, detector))
        begun.rename(kept)
    return _kept(kept)


def _detected(drawn: Drawn, detector: Detector) -> dict[int, Detections]:
    looked_at, found = set(drawn.looked_at), {}
    source, number = ClipInItsTime(drawn.path), 0
    try:
        while True:
            decoded = source.follow()
            assert isinstance(decoded, Decoded)
            if number in looked_at:
                stamp = Stamp(CAMERA, 1, number, decoded.media_ns, 0, 0)
                frame = Frame(stamp, decoded.image(ANALYSED_WIDTH))
                (found[number],) = detector.collect(detector.submit([frame]))
            number += 1
    except Ended:
        return found
    finally:
        source.close()


def _keep(path: Path, found: dict[int, Detections]) -> None:
    table: dict[str, Any] = {"pictures": np.array(sorted(found), np.int64)}
    for number, boxes in found.items():
        table[f"{number}_boxes"], table[f"{number}_scores"] = boxes.boxes_xyxyn, boxes.scores
        table[f"{number}_classes"], table[f"{number}_high"] = boxes.class_ids, boxes.high_threshold
        if boxes.embeddings is not None:
            table[f"{number}_looks"] = boxes.embeddings
    np.savez(path, **table)


def _kept(path: Path) -> dict[int, Detections]:
    with np.load(path) as table:
        return {
            number: Detections(
                table[f"{number}_boxes"],
                table[f"{number}_scores"],
                table[f"{number}_classes"],
                table.get(f"{number}_looks"),
                high_threshold=float(table[f"{number}_high"]),
            )
            for number in table["pictures"].tolist()
        }


def crossings(site: Site, found: dict[int, Detections], detector: Detector) -> list[Crossing]:
    """Of the whole stream, in its media time: tracked and counted frame by frame."""
    pipeline = Pipeline(detector)
    pipeline.open_camera(CAMERA, site.drawn.clip.rules)
    events: list[Event] = []
    stamp = Stamp(CAMERA, 1, 0, 0, 0, 0)
    for number in range(site.frames):
        boxes = found.get(site.picture(number))
        if boxes is not None:
            at_ns = site.due(number) * NS // FPS
            stamp = Stamp(CAMERA, 1, number, at_ns, at_ns, at_ns)
            events += pipeline.advance(stamp, boxes).events
    events += pipeline.end_tracks(CAMERA, stamp)
    return [
        Crossing(str(e.data["line"]), str(e.data["direction"]), e.data["crossed_media_ns"] / NS)
        for e in events
        if e.type == LINE_CROSSED
    ]


def compared(
    site: Site, wanted: Sequence[Crossing], counted: Sequence[Crossing], begin_s: float, end_s: float
) -> dict[str, int]:
    """What was counted against what was there, from `begin_s` to `end_s` of media time. What lies a little
    outside may be the other half of a pair: it is paired and then left out, so that an edge costs nothing.
    So is who crosses where the clip begins anew: no camera's view jumps."""
    pairs = compare(wanted, counted, WITHIN_S)

    def inside(crossing: Crossing) -> bool:
        return begin_s <= crossing.time_s < end_s and not site.is_near_seam(crossing.time_s)

    matched = sum(inside(true) for true, _ in pairs.matched)
    missed, false = (sum(map(inside, kind)) for kind in (pairs.missed, pairs.false))
    return {
        "wanted_crossings": matched + missed,
        "counted": matched + false,
        "missed": missed,
        "false": false,
    }
