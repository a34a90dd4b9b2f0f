"""Makes a clip in which people are hidden out of one that shows them: a program for the clips worker.

One line of JSON on standard input says what to do: `source`, `target`, `how` (blur, silhouette), `camera`
(its settings), `engine`, `state_dir`. It ends when standard input is closed. Its last line on standard error
says why it failed; then there is no target. The detector is the camera's own, or the one in the package where
that knows no people.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from pipelines.detect.detector import Detector
from pipelines.frame_conversion import upright_size, write_bgr
from pipelines.values import Image
from pipelines.video_streams import frames_per_second
from streamer.clips.people import PeopleHider, people_classes
from streamer.clips.video_writer import ClipWriter
from streamer.config.schema import CameraConfig
from streamer.errors import Exit, SourceDamaged, StreamerError
from streamer.models.camera_check import pipeline_of
from streamer.models.model_handle import MOTION, PACKAGED, open_detector
from streamer.models.store import ModelStore

NICE = 15
PARENT_GONE = 3


def main() -> int:
    os.nice(NICE)
    cv2.setNumThreads(1)
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        detector = _detector(
            CameraConfig.model_validate(asked["camera"]), asked["engine"], asked["state_dir"]
        )
        hide(Path(asked["source"]), Path(asked["target"]), PeopleHider(detector, asked["how"]))
    except StreamerError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return int(Exit.OK)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(PARENT_GONE)


def _detector(camera: CameraConfig, engine: str, state_dir: str) -> Detector:
    """Raises ModelError."""
    spec = pipeline_of(camera)
    store, model = ModelStore(Path(state_dir) / "models"), camera.model or spec.model
    wanted = spec.detector if spec.detector != "auto" else engine
    if MOTION not in (wanted, model) or (wanted != spec.detector and model not in (None, MOTION)):
        detector = _opened(store, "auto" if wanted == MOTION else wanted, model, spec.score)
        if people_classes(detector.labels).any():
            return detector
    return _opened(store, "auto", PACKAGED, spec.score)


def _opened(store: ModelStore, engine: str, model: str | None, score: float | None) -> Detector:
    name, installed = store.choose(engine, model)
    return open_detector(name, installed, threads=1, cache_dir=None, score=score, masks=True)


def hide(source: Path, target: Path, hider: PeopleHider) -> int:
    """Write `source` to `target` with people hidden; returns how many pictures. Raises SourceDamaged,
    StorageError, ModelError; there is no target then."""
    try:
        with av.open(str(source)) as container:
            stream = container.streams.video[0]
            frames = container.decode(stream)
            first = next(frames, None)
            if first is None:
                raise SourceDamaged("not one picture of the clip could be decoded")
            width, height = upright_size(first)
            with ClipWriter(target, width, height, frames_per_second(stream) or 25.0) as writer:
                return sum(_hidden(frame, hider, writer) for frame in chain((first,), frames))
    except av.FFmpegError as error:
        raise SourceDamaged(f"the clip could not be decoded: {error.strerror or error}") from error


def _hidden(frame: VideoFrame, hider: PeopleHider, writer: ClipWriter) -> int:
    width, height = upright_size(frame)
    image: Image = np.empty((height, width, 3), np.uint8)
    write_bgr(frame, image)
    media_ns = round((frame.time or 0.0) * 1e9)
    hider.hide_next(image, media_ns)
    writer.add(image, media_ns)
    return 1


if __name__ == "__main__":
    sys.exit(main())
