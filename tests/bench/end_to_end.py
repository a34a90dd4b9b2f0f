"""The daemon against its ceiling: frames a second at saturation, CPU a frame, and the times on the way.

Ceiling: the model alone, on the same engine and threads, while bare decoders of the same streams run beside
at their own pace: the loop that everybody writes, one request after another, which the goals are about; and,
since the daemon computes several requests side by side, the best that the engine does by itself that way.
Rounds in turn; medians over rounds; CPU seconds of all processes beside.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipelines.detect.graph import ov
from tests.bench import rounds
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.daemon import Daemon

NAME = "end-to-end"
DESCRIPTION = "frames/s at saturation over the bare model, CPU a frame, latency to Redis, age of frames"

MODEL = "weights/yolov8n_640.onnx"
CLIP = "videos/towncentre-1080p.mp4"
STREAMS = 2
FPS = 25
THREADS = 2  # of inference
LOOP, SIDE_BY_SIDE = "one request at a time", "requests side by side"
Ceiling = dict[str, dict[str, float]]  # by LOOP and SIDE_BY_SIDE
WARM_S, MEASURED_S = 4.0, 8.0
ZONE = {"name": "all", "points": [[0.02, 0.05], [0.98, 0.05], [0.98, 0.98], [0.02, 0.98]]}
LINES = [
    {"name": "vertical", "points": [[0.5, 1.0], [0.5, 0.0]]},
    {"name": "horizontal", "points": [[0.0, 0.6], [1.0, 0.6]]},
]


def run(rounds_: int = 10, measured_s: float = MEASURED_S, latency_s: float = 30.0) -> dict[str, Any]:
    """`rounds_` pairs of ceiling and daemon; then the latencies at half load, saturated and at twice that."""
    if not (CORPUS / MODEL).exists():
        raise Unavailable(f"needs {MODEL} and {CLIP} of the corpus at {CORPUS}")
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        clip = stream_clip(base)
        saturated = Saturated(base, clip, measured_s)
        streams = saturated.enough_streams()
        pairs = rounds.in_turn(saturated.ceiling, saturated.daemon, rounds_)
        capacity = statistics.median(d["fps"] for _, d in pairs)
        return {
            "saturation": {"streams": streams, **_saturation(pairs, measured_s)},
            "latency": {
                "half_load": latency(base, clip, latency_s, STREAMS, fps=capacity / 2 / STREAMS),
                "saturated": latency(base, clip, latency_s, streams),
                "twice_saturated": latency(base, clip, latency_s, 2 * streams),
            },
        }


def render(result: dict[str, Any]) -> str:
    s = result["saturation"]
    lines = [
        f"saturation, {s['streams']} x 1080p{FPS} H.264, YOLOv8n 640, {s['rounds']} rounds in turn (medians)",
        f"  daemon {s['daemon_fps']:27.2f} frames/s, {s['daemon_cpu_ms']:.2f} CPU ms a frame",
    ]
    for way, c in s["ceilings"].items():
        goal = ", goals 0.90 and 1.12" if way == LOOP else ""
        lines.append(
            f"  bare, {way:21} {c['fps']:6.2f} frames/s; daemon / bare: frames/s {c['fps_ratio']:.3f}, "
            f"CPU {c['cpu_ratio']:.3f}{goal}"
        )
    lines.append(
        "times in ms: median / p99            taken at age     taken to Redis*  decoded to Redis*   events"
    )
    for load, t in result["latency"].items():
        lines.append(
            f"  {load:16} {t['cameras']} cameras, {t['fps']:5.1f} fps "
            + "".join(f" {_pair(t[k]):>17}" for k in ("taken_ms", "taken_to_redis_ms", "decoded_to_redis_ms"))
            + f"  {t['events']:6d}"
        )
    lines.append("  * less the inference of the batch; one frame interval is 40 ms")
    return "\n".join(lines)


def _pair(values: dict[str, float]) -> str:
    return f"{values['p50']:.1f} / {values['p99']:.1f}"


def _saturation(pairs: list[tuple[Ceiling, dict[str, float]]], measured_s: float) -> dict[str, Any]:
    return {
        "rounds": len(pairs),
        "seconds_a_round": measured_s,
        "daemon_fps": statistics.median(d["fps"] for _, d in pairs),
        "daemon_cpu_ms": statistics.median(d["cpu_s"] / d["frames"] for _, d in pairs) * 1e3,
        "ceilings": {way: _against([(ceiling[way], d) for ceiling, d in pairs]) for way in pairs[0][0]},
        "per_round": [{"ceiling": c, "daemon": d} for c, d in pairs],
    }


def _against(pairs: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, float]:
    """The daemon over a ceiling; the CPU of the same number of bare inferences and of the same decoding."""
    cpu_ratios = []
    for ceiling, daemon in pairs:
        bare_s = ceiling["infer_cpu_s"] * daemon["frames"] + ceiling["decode_cpu_s_per_s"] * daemon["seconds"]
        cpu_ratios.append(daemon["cpu_s"] / bare_s)
    return {
        "fps": statistics.median(c["fps"] for c, _ in pairs),
        "infer_cpu_ms": statistics.median(c["infer_cpu_s"] for c, _ in pairs) * 1e3,
        "fps_ratio": rounds.median_ratio((d["fps"], c["fps"]) for c, d in pairs),
        "cpu_ratio": statistics.median(cpu_ratios),
    }


def stream_clip(base: Path) -> Path:
    """The clip, retimed to FPS and long enough, without encoding anything anew."""
    source = CORPUS / CLIP
    with av.open(str(source)) as container:
        rate = float(container.streams.video[0].average_rate or FPS)
    path = base / "stream.mp4"
    command = ["ffmpeg", "-v", "error", "-itsscale", f"{rate / FPS:.6f}", "-stream_loop", "12"]
    subprocess.run([*command, "-i", str(source), "-an", "-c", "copy", str(path)], check=True, timeout=120)
    return path


class Saturated:
    """Both sides of the comparison, each good for a round."""

    def __init__(self, base: Path, clip: Path, measured_s: float) -> None:
        self._base = base
        self._clip = clip
        self._measured_s = measured_s
        self._number = 0
        self._streams = STREAMS
        model, threads = str(CORPUS / MODEL), {"INFERENCE_NUM_THREADS": THREADS}
        one = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        self._loop = ov.compile_model(model, "CPU", one | threads).create_infer_request()
        self._picture = np.full(tuple(self._loop.get_input_tensor().shape), 0.4, np.float32)
        self._loop.infer([self._picture])
        several = ov.compile_model(model, "CPU", {"NUM_STREAMS": THREADS} | threads)
        self._queue = ov.AsyncInferQueue(several, THREADS + 1)

    def enough_streams(self) -> int:
        """STREAMS, or more where the chip takes all their frames: nothing is saturated then."""
        while max(way["fps"] for way in self.ceiling().values()) * 1.1 > self._streams * FPS:
            self._streams += 1
        return self._streams

    def ceiling(self) -> Ceiling:
        """Inferences a second of the bare engine, with bare decoders beside it."""
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        decoders = [
            context.Process(target=decode, args=(str(self._clip), stop)) for _ in range(self._streams)
        ]
        for decoder in decoders:
            decoder.start()
        try:
            time.sleep(WARM_S)
            pids = [d.pid for d in decoders if d.pid]
            return {
                LOOP: self._measure(self._loop.infer, pids),
                SIDE_BY_SIDE: self._measure(lambda: self._queue.start_async({0: self._picture}), pids),
            }
        finally:
            self._queue.wait_all()
            stop.set()
            for decoder in decoders:
                decoder.join(5)

    def _measure(self, infer: Callable[[], object], decoders: list[int]) -> dict[str, float]:
        decode_before, own_before = rounds.cpu_seconds(decoders), time.process_time()
        started_s = time.perf_counter()
        frames = 0
        while time.perf_counter() - started_s < self._measured_s:
            infer()
            frames += 1
        seconds = time.perf_counter() - started_s
        return {
            "fps": frames / seconds,
            "frames": frames,
            "seconds": seconds,
            "infer_cpu_s": (time.process_time() - own_before) / frames,
            "decode_cpu_s_per_s": (rounds.cpu_seconds(decoders) - decode_before) / seconds,
        }

    def daemon(self) -> dict[str, float]:
        """Inferred frames a second of the whole daemon, and the CPU of all its processes."""
        self._number += 1
        daemon = start_daemon(self._base / f"d{self._number}", self._clip, self._streams, 0.0)
        try:
            time.sleep(WARM_S)
            assert daemon.process is not None
            pids = [daemon.process.pid]
            before, cpu_before, started_s = inferred(daemon), rounds.cpu_seconds(pids), time.perf_counter()
            time.sleep(self._measured_s)
            after, cpu_after = inferred(daemon), rounds.cpu_seconds(pids)
            seconds = time.perf_counter() - started_s
        finally:
            daemon.stop()
        frames = after - before
        return {
            "fps": frames / seconds,
            "frames": frames,
            "seconds": seconds,
            "cpu_s": cpu_after - cpu_before,
        }


def decode(path: str, stop: Flag) -> None:
    """A bare decoder at the stream's own pace: nothing is done with its pictures."""
    start_s, offset_s = time.monotonic(), 0.0
    while not stop.is_set():
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            last_s = 0.0
            for frame in container.decode(stream):
                last_s = float(frame.time or 0.0)
                wait_s = start_s + offset_s + last_s - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                if stop.is_set():
                    return
        offset_s += last_s + 1 / FPS


def start_daemon(base: Path, clip: Path, streams: int, fps: float, zones: bool = False) -> Daemon:
    """A daemon of `streams` cameras with two lines each on the clip, its model installed and warm.

    `zones`: also a zone over the whole picture, which gives many more events.
    """
    cameras = [
        {
            "name": f"cam-{i}",
            "url": str(clip),
            "source": {"loop": True, "fps": fps},
            "rules": {"lines": LINES, "zones": [ZONE] if zones else []},
        }
        for i in range(streams)
    ]
    daemon = Daemon(base, cameras, inference={"threads": THREADS})
    store = base.parent / "models"
    if not store.exists():
        daemon.cli("model", "add", str(CORPUS / MODEL), "--name", "yolov8n")
        (daemon.state_dir / "models").rename(store)
    daemon.state_dir.mkdir(exist_ok=True)
    (daemon.state_dir / "models").symlink_to(store)
    try:
        daemon.start()
        daemon.wait_for(lambda s: all(c["frames"]["inferred"] > 0 for c in s["cameras"]), 30, "first frames")
    except AssertionError:
        daemon.kill()
        raise
    return daemon


def inferred(daemon: Daemon) -> int:
    return sum(c["frames"]["inferred"] for c in daemon.status()["cameras"])


def latency(base: Path, clip: Path, seconds: float, streams: int, fps: float = 0.0) -> dict[str, Any]:
    """What a subscriber of the Redis streams sees, event by event."""
    daemon = start_daemon(base / f"l{streams}-{int(fps * 10)}", clip, streams, fps, zones=True)
    found: list[tuple[int, dict[str, Any]]] = []
    stop = threading.Event()
    try:
        time.sleep(WARM_S)
        reader = threading.Thread(target=_subscribe, args=(daemon, found, stop))
        reader.start()
        before, started_s = inferred(daemon), time.monotonic()
        time.sleep(seconds)
        rate = (inferred(daemon) - before) / (time.monotonic() - started_s)
        stop.set()
        reader.join(5)
    finally:
        stop.set()
        daemon.stop()
    on_frames = [(at_ns, data) for at_ns, data in found if data["frame_id"] >= 0]
    decoded = [(at - d["emitted_ns"]) / 1e6 + d["age_ms"] - d["inference_ms"] for at, d in on_frames]
    taken = [d["taken_ms"] for _, d in on_frames]
    rest = [whole - age for whole, age in zip(decoded, taken, strict=True)]
    return {
        "cameras": streams,
        "fps": rate,
        "events": len(on_frames),
        "taken_ms": _spread(taken),
        "taken_to_redis_ms": _spread(rest),
        "decoded_to_redis_ms": _spread(decoded),
    }


def _subscribe(daemon: Daemon, found: list[tuple[int, dict[str, Any]]], stop: threading.Event) -> None:
    node = daemon.status()["node"]
    with daemon.redis() as client:
        names = [c["name"] for c in daemon.status()["cameras"]]
        cursors = {f"streamer:{{{node}/{name}}}:events": "$" for name in names}
        while not stop.is_set():
            answer = client.xread(cursors, block=200)  # type: ignore[arg-type]
            at_ns = time.time_ns()
            for key, entries in dict(answer).items():
                for entry in entries[0] if entries and isinstance(entries[0], list) else entries:
                    cursors[key] = entry[0]
                    found.append((at_ns, json.loads(entry[1]["event"])["data"]))


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        raise Unavailable("no events arrived")
    return {
        "p50": float(np.percentile(values, 50)),
        "p99": float(np.percentile(values, 99)),
        "max": max(values),
    }
