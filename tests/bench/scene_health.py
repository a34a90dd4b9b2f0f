"""What it costs to watch whether cameras see, and how soon and how wrongly it tells that one does not.

Cost: a clip is decoded, and every 5th of its 25 frames a second converted and given to the default detector,
with its health watched and not, in turn; the ratio of the frames that a CPU second brings is what healthy
throughput keeps. Tracking and counting come on top, so that a real camera keeps more.

Delays and false alarms: the rendered minutes of tests/blind_scenes.py, and the corpus's fixed clips and its
drifting one, in the clips' own time.

Encoders: a picture that stands under a running clock, and a quiet view that lives, over settings of encoders
drawn by lot (tests/encoded_scenes.py): `only=encoders`, `settings` of those chosen on and as many held out.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2

from pipelines.detect.detector import Detector
from pipelines.registry import create_detector
from pipelines.scene.health import HealthMonitor, small_grey
from streamer.sources.base import create_source
from streamer.sources.synthetic import Scene
from streamer.workers.capture.camera_watch import CameraWatch
from tests.bench import detection_data as data
from tests.bench.registry import Unavailable
from tests.blind_scenes import BEGINS_S, SCENES, BlindScene, told
from tests.conftest import CORPUS, REPO
from tests.encoded_scenes import BEGINS_S as FROZEN_FROM_S
from tests.encoded_scenes import HELD_OUT, NEVER_S, draw_settings, quiet
from tests.encoded_scenes import told as told_encoded
from tests.synthetic_clip import write_clip

NAME = "scene_health"
DESCRIPTION = "throughput with scene health on against off; detection delays and false alarms"
TARGET = 0.98
EVERY = 5
MODEL = REPO / "pipelines/models/default.onnx"
WITHIN_S = 30.0  # a picture that stands should be found
MOVING = "drifting-camera.mp4"


def run(rounds: int = 7, seconds: int = 20, only: str = "", settings: int = 24) -> dict[str, Any]:
    """`only`: "cost", "scenes" or "encoders" (many minutes, only where asked for)."""
    if only not in ("", "cost", "scenes", "encoders"):
        raise Unavailable("only= is cost, scenes or encoders")
    cv2.setNumThreads(1)
    if only == "encoders":
        return _encoders(settings)
    result: dict[str, Any] = {"target": {"ratio": TARGET}, "method": f"median of {rounds} rounds, in turn"}
    if only != "scenes":
        result |= _cost(rounds, seconds)
    if only != "cost":
        result["scenes"] = {scene.name: _said(scene) for scene in SCENES}
        result["corpus"] = {p.name: _said_of_clip(p) for p in sorted((CORPUS / "videos").glob("*.*"))}
        result["false_alarms"] = _false_alarms(result)
    return result


def _cost(rounds: int, seconds: int) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "street.mp4"
        write_clip(Scene(width=1280, height=720, fps=25.0, seconds=float(seconds)), clip)
        detector = create_detector("openvino", MODEL, threads=1)
        taken: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds + 1):
            for on in (True, False):
                taken[on].append(_read(clip, detector, on))
    on_s, off_s = (statistics.median(taken[on][1:]) for on in (True, False))  # the first warms up
    return {
        "values": {"cpu_s_per_minute_on": on_s * 60 / seconds, "cpu_s_per_minute_off": off_s * 60 / seconds},
        "cpu_ms_a_look": (on_s - off_s) * 1000 / seconds,
        "ratio": off_s / on_s,
    }


def _read(clip: Path, detector: Detector, on: bool) -> float:
    """CPU seconds to decode the clip and detect in every 5th frame."""
    source = create_source(str(clip), realtime=False)
    watch = CameraWatch("bench", str(clip), (), False, None) if on else None
    frames = source.open().frames or 0
    begun_s = time.process_time()
    for number in range(frames):
        decoded = source.read()
        if watch is not None:
            watch.frame(decoded)
        if number % EVERY == 0:
            detector.collect(detector.submit([data.frame(decoded.image(640), number)]))
    source.close()
    return time.process_time() - begun_s


def _said(scene: BlindScene) -> dict[str, Any]:
    changes = told(scene)
    states = [health.state for _, health in changes]
    delay_s = changes[0][0] - BEGINS_S if changes else None
    return {"expected": scene.expect, "told": states, "delay_s": delay_s}


def _said_of_clip(path: Path) -> dict[str, Any]:
    monitor, told_at = HealthMonitor(), []
    with av.open(str(path)) as clip:
        for frame in clip.decode(video=0):
            at_s = float(frame.time or 0.0)
            if monitor.due(at_s):
                grey = frame.reformat(640, 640 * frame.height // frame.width, "gray").to_ndarray()
                health = monitor.look(small_grey(grey), at_s, at_s)
                told_at += [(health.state, at_s)] if health is not None else []
    expected = "moved" if path.name == MOVING else "ok"
    states = [state for state, _ in told_at]
    return {"expected": expected, "told": states, "delay_s": told_at[0][1] if told_at else None}


def _encoders(settings: int) -> dict[str, Any]:
    """By part, what was said of each setting that stands, and of each that lives."""
    rows = []
    for number in (*range(settings), *range(HELD_OUT, HELD_OUT + settings)):
        stands, lives = draw_settings(number), quiet(draw_settings(number))
        said = [(at_s, health.state) for at_s, health in told_encoded(stands)]
        found = len(said) == 1 and said[0][1] == "frozen"
        delay_s = said[0][0] - FROZEN_FROM_S if found else None
        alarms = [health.state for _, health in told_encoded(lives, NEVER_S)]
        part = "held out" if stands.held_out else "chosen on"
        rows.append({"setting": stands.name, "part": part, "delay_s": delay_s, "alarms": alarms})
    parts = {part: _part(rows, part) for part in ("chosen on", "held out")}
    goal = f"all found within {WITHIN_S:g} s, no false alarm"
    return {"target": {"encoders": goal}, "encoders": {"rows": rows, "parts": parts}}


def _part(rows: list[dict[str, Any]], part: str) -> dict[str, Any]:
    mine = [row for row in rows if row["part"] == part]
    delays = [row["delay_s"] for row in mine if row["delay_s"] is not None]
    return {
        "settings": len(mine),
        "found": sum(delay <= WITHIN_S for delay in delays),
        "latest_s": max(delays, default=None),
        "false_alarms": sum(bool(row["alarms"]) for row in mine),
    }


def _false_alarms(result: dict[str, Any]) -> list[str]:
    both = {**result["scenes"], **result["corpus"]}
    right = {name: [said["expected"]] if said["expected"] != "ok" else [] for name, said in both.items()}
    return [name for name, said in both.items() if said["told"] != right[name]]


def _rendered_encoders(encoders: dict[str, Any]) -> list[str]:
    lines = []
    for row in encoders["rows"]:
        delay = "not found" if row["delay_s"] is None else f"after {row['delay_s']:.0f} s"
        lines.append(f"{delay:12} {', '.join(row['alarms']) or 'no alarm':12} {row['setting']}")
    for part, said in encoders["parts"].items():
        found = f"{said['found']} of {said['settings']} found within {WITHIN_S:g} s"
        latest = "" if said["latest_s"] is None else f", the latest after {said['latest_s']:.0f} s"
        lines.append(f"{part}: {found}{latest}, {said['false_alarms']} false alarms")
    return lines


def render(result: dict[str, Any]) -> str:
    lines = _rendered_encoders(result["encoders"]) if "encoders" in result else []
    for name, said in {**result.get("scenes", {}), **result.get("corpus", {})}.items():
        delay = "" if said["delay_s"] is None else f"after {said['delay_s']:.0f} s"
        lines.append(f"{name:52} {said['expected']:10} {', '.join(said['told']) or '-':12} {delay}")
    if "false_alarms" in result:
        lines.append(f"wrong: {', '.join(result['false_alarms']) or 'none'}")
    if "ratio" in result:
        lines += [f"{key:24} {value:.2f}" for key, value in result["values"].items()]
        lines.append(f"CPU ms a look {result['cpu_ms_a_look']:.1f}; throughput on/off {result['ratio']:.4f}")
    if "encoders" in result:
        return "\n".join([*lines, f"goal: {result['target']['encoders']}"])
    return "\n".join([*lines, f"goal: at least {TARGET}; {result['method']}"])
