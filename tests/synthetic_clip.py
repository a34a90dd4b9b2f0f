"""A synthetic scene as files: an H.264 clip, its boxes in MOT text, its crossings in CSV.

write_clip(scene, Path("street.mp4"))            the pictures
write_truth(scene, lines, Path("street"))        street.mot.txt and street.crossings.csv
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pipelines.rules import LineSpec
from streamer.clips.video_writer import ClipWriter
from streamer.sources.synthetic.backdrop import build
from streamer.sources.synthetic.scene import Scene
from streamer.sources.synthetic.truth import CrossingTruth, Measurer, TrueCrossing

# MOTChallenge class numbers: 1 pedestrian, 2 person on vehicle, 3 car, 4 bicycle, 6 other vehicle
MOT_CLASSES = {"person": 1, "car": 3, "van": 3, "bicycle": 4, "bus": 6, "truck": 6}
RIDER_CLASS = 2


def write_clip(scene: Scene, path: Path, *, crf: int = 23, gop_s: float = 2.0) -> int:
    """Encode the whole scene (its `seconds` must be given) as H.264; returns the number of frames."""
    frames = scene.frames
    if not frames:
        raise ValueError("a clip needs an end: give the scene its seconds")
    painter = scene.painter()
    with ClipWriter(path, scene.width, scene.height, scene.fps, crf=crf, gop_s=gop_s) as writer:
        for number in range(frames):
            writer.add(scene.picture(painter, number), scene.media_ns(number))
    return frames


def write_truth(scene: Scene, lines: Sequence[LineSpec], stem: Path) -> list[TrueCrossing]:
    """Write `STEM.mot.txt` and `STEM.crossings.csv`; returns the crossings.

    MOT columns: frame from 1, id, left, top, width, height (amodal, pixels), 1, class, visible share.
    CSV columns: time (s), line, direction (the line's name for it), class, track, rides.
    """
    frames = scene.frames
    if not frames:
        raise ValueError("a truth file needs an end: give the scene its seconds")
    world = scene.world()
    occluders = build(world.view(scene.width, scene.height), scene.seed).occluders
    measurer = Measurer(scene, world, occluders)
    with stem.with_name(stem.name + ".mot.txt").open("w") as file:
        for number in range(frames):
            for true in measurer.boxes(number):
                x1, y1, x2, y2 = true.box
                kind = RIDER_CLASS if true.rides else MOT_CLASSES[true.kind]
                file.write(
                    f"{number + 1},{true.ident},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1,{kind},"
                    f"{true.visible:.3f}\n"
                )
    crossings = list(CrossingTruth(scene, lines).until(frames / scene.fps))
    with stem.with_name(stem.name + ".crossings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "line", "direction", "class", "track", "rides"])
        for crossing in crossings:
            writer.writerow(
                [
                    f"{crossing.time_s:.3f}",
                    crossing.line,
                    crossing.direction,
                    crossing.kind,
                    crossing.ident,
                    int(crossing.rides),
                ]
            )
    return crossings
