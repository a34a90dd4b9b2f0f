"""Writes the golden files of this folder anew: `python -m tests.replay.record [detections]`.

    street.npz           what a detector saw on 40 s of the synthetic street (with `detections` only)
    street.events.jsonl  the events that these detections give

The events change when tracking or counting changes on purpose: look at the difference, then commit it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streamer.clips.analyze import Outputs, analyze, replay
from streamer.clips.stored_detections import load_detections
from streamer.models.model_handle import open_detector
from streamer.sources.base import ReadOptions
from streamer.sources.synthetic import Scene, create

HERE = Path(__file__).parent
SCENE = Scene(seed=7, width=640, height=360, fps=15.0, density=0.7, mast=8.0, seconds=40)
DETECTIONS, EVENTS = HERE / "street.npz", HERE / "street.events.jsonl"


def main() -> None:
    if "detections" in sys.argv[1:]:
        source = create(SCENE.url, ReadOptions(realtime=False))
        info = source.open()
        outputs = Outputs(detections=DETECTIONS)
        analyze(source, info, open_detector("motion", None), SCENE.rules(), clip="street", outputs=outputs)
    replay(load_detections(DETECTIONS), SCENE.rules(), outputs=Outputs(events=EVENTS))


if __name__ == "__main__":
    main()
