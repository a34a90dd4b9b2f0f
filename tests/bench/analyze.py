"""`streamer analyze` against Ultralytics' `track` and a script of `supervision` and `trackers`.

Each is a process of its own, in turn, on the same clip, weights and line, with THREADS threads: wall and CPU
seconds of a whole run, less those of one over its first START frames, since loading is none. Ultralytics
exports the weights, so that nobody runs a graph that its own tools would not make; where it is absent all run
the corpus's file. Peers may live in another environment (`-o peers=/venv/bin/python`).

`analyze at the picture's shape` runs the same file with `input_shape: picture` in its card, as Ultralytics
runs a .pt and not an ONNX file (docs/decisions/009-detector-input.md says what it costs in score).

`isa`: instruction sets as of an older processor, of OpenVINO, oneDNN and torch; ONNX Runtime cannot be told.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.registry import Unavailable
from tests.conftest import CORPUS

NAME = "analyze"
DESCRIPTION = "streamer analyze against Ultralytics' track and supervision + trackers: wall, CPU, counts"

MODEL = "weights/yolov8n_640.onnx"
THREADS = 2
START = 10  # frames
TIMEOUT_S = 1800.0
SPARING = ("--gate", "auto", "--fps", "auto")
PICTURE = "analyze at the picture's shape"
OURS = {
    "analyze": (),
    PICTURE: (),
    "analyze, gate and fps auto": SPARING,
    PICTURE + ", gate and fps auto": SPARING,
}
PEERS = {  # and what they need
    "ultralytics-torch": ("ultralytics", "torch"),
    "ultralytics-onnx": ("ultralytics", "onnxruntime"),
    "supervision": ("supervision", "trackers", "onnxruntime"),
}
SCRIPT = Path(__file__).with_name("analyze_peers.py")
VEHICLES, PERSON = ("vehicle", "2,3,5,7"), ("person", "0")  # as we call them, and their numbers
ISA = {
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI", "OV_CPU_MAX_ISA": "AVX512_CORE_VNNI"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "OV_CPU_MAX_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}


@dataclass(frozen=True)
class Clip:
    """`line` in shares of the picture, walked from left to right."""

    file: str
    size: tuple[int, int]
    line: tuple[float, float, float, float]
    classes: tuple[str, str]


CLIPS = {
    "busy": Clip("overpass-cars.mp4", (640, 360), (120 / 640, 240 / 360, 1, 240 / 360), VEHICLES),
    "street": Clip("street-cars.mp4", (640, 352), (0, 160 / 352, 1, 160 / 352), VEHICLES),
    "quiet": Clip("one-by-one-person.mp4", (768, 432), (0, 330 / 432, 1, 330 / 432), PERSON),
}


@dataclass(frozen=True)
class Run:
    wall_s: float
    cpu_s: float
    told: dict[str, Any]


def run(
    clip: str = "quiet", frames: int = 300, rounds: int = 2, peers: str = sys.executable, isa: str = ""
) -> dict[str, Any]:
    """`clip`: one of CLIPS; `frames` of its beginning, 0: all; `isa`: one of ISA, "": as the processor is."""
    chosen, environment = CLIPS[clip], ISA.get(isa, {})
    if not (CORPUS / MODEL).exists():
        raise Unavailable(f"needs {MODEL} and videos/{chosen.file} of the corpus at {CORPUS}")
    there = {name: needs for name, needs in PEERS.items() if not absent(peers, needs)}
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        model = _model(base, peers, "ultralytics-torch" in there)
        shaped = _with_picture_shape(model, base)
        whole, start = _cut(base, chosen, frames), _cut(base, chosen, START)
        found: dict[str, list[Run]] = {}
        for number in range(rounds):
            names = [*OURS, *there]
            for name in names if number % 2 == 0 else reversed(names):
                command = [
                    _command(name, path, shaped if name.startswith(PICTURE) else model, chosen, peers)
                    for path in (start, whole)
                ]
                loading, all_of_it = (measured(c, environment, base) for c in command)
                found.setdefault(name, []).append(_less(all_of_it, loading))
    left_out = {name: absent(peers, PEERS[name]) for name in PEERS if name not in there}
    return {
        "clip": chosen.file,
        "isa": isa or "as it is",
        "rounds": rounds,
        "rows": {name: _row(runs) for name, runs in found.items()},
        "ratios": {ours: _ratios(found, ours, list(there)) for ours in OURS},
        "left_out": left_out,
    }


def render(result: dict[str, Any]) -> str:
    lines = [
        f"{result['clip']}, YOLOv8n 640, {THREADS} threads, instruction set {result['isa']}, "
        f"{result['rounds']} rounds in turn (medians, loading left out)",
        f"{'':50} {'frames':>6} {'wall s':>8} {'CPU s':>8} {'CPU ms a frame':>15} {'down':>5} {'up':>4}",
    ]
    for name, row in result["rows"].items():
        lines.append(
            f"{name:50} {row['frames']:6} {row['wall_s']:8.2f} {row['cpu_s']:8.2f} {row['cpu_ms']:15.1f} "
            f"{row['down']:5} {row['up']:4}  {row['more']}"
        )
    for ours, ratios in result["ratios"].items():
        told = ", ".join(f"{peer} {r['wall']:.2f} / {r['cpu']:.2f}" for peer, r in ratios.items())
        lines.append(f"peer over {ours}, wall / CPU: {told or 'no peer is here'}")
    lines += [f"{name} is left out: {why}" for name, why in result["left_out"].items()]
    return "\n".join(lines)


def absent(python: str, packages: Sequence[str]) -> str:
    """What to install for these to be there in the environment of `python`; "": all are."""
    look = "import importlib.util as u, sys; print(*[p for p in sys.argv[1:] if not u.find_spec(p)])"
    done = subprocess.run([python, "-c", look, *packages], capture_output=True, text=True, check=True)
    missing = done.stdout.strip()
    return f"{python} -m pip install {missing}" if missing else ""


def measured(command: Sequence[str], environment: dict[str, str], folder: Path) -> Run:
    """A child's wall and CPU seconds (user and system), and the last JSON object that it prints. Raises
    Unavailable with its last words where it fails."""
    env = {
        **os.environ,
        "XDG_STATE_HOME": str(folder),
        "STREAMER_CONFIG": str(folder / "none"),
        **environment,
    }
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        began_s = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=env, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Unavailable(f"{' '.join(command[:4])} failed: {(folder / 'err').read_text()[-400:]}")
    told = [line for line in (folder / "out").read_text().splitlines() if line.startswith("{")]
    return Run(wall_s, usage.ru_utime + usage.ru_stime, json.loads(told[-1]))


def _less(whole: Run, loading: Run) -> Run:
    return Run(whole.wall_s - loading.wall_s, whole.cpu_s - loading.cpu_s, whole.told)


def _model(base: Path, peers: str, can_export: bool) -> Path:
    if not can_export:
        return CORPUS / MODEL
    command = [peers, str(SCRIPT), "prepare", str(CORPUS / MODEL), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, cwd=base)
    if done.returncode:
        raise Unavailable(f"Ultralytics cannot export the weights: {done.stderr[-400:]}")
    return base / "model.onnx"


def _cut(base: Path, clip: Clip, frames: int) -> Path:
    source = CORPUS / "videos" / clip.file
    if not frames:
        return source
    path = base / f"{frames}-{clip.file}"
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-an", "-c", "copy", "-frames:v", str(frames)]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


def _command(name: str, path: Path, model: Path, clip: Clip, peers: str) -> list[str]:
    ours, numbers = clip.classes
    if name in PEERS:
        width, height = clip.size
        pixels = [v * n for v, n in zip(clip.line, (width, height) * 2, strict=True)]
        line = ",".join(f"{v:g}" for v in pixels)
        return [peers, str(SCRIPT), name, str(path), str(model), line, numbers]
    line = "line=" + ",".join(f"{v:.6g}" for v in clip.line)
    command = [sys.executable, "-m", "streamer.cli.main", "analyze", str(path), "--model", str(model)]
    command += ["--line", line, "--anchor", "center", "--classes", ours, "--threads", str(THREADS)]
    return [*command, "--partial", "--json", *OURS[name]]


def _with_picture_shape(model: Path, folder: Path) -> Path:
    """The same file beside a card that asks for it."""
    link = folder / "picture-shape.onnx"
    link.symlink_to(model)
    link.with_suffix(".yaml").write_text("input_shape: picture\n")
    return link


def _row(runs: Sequence[Run]) -> dict[str, Any]:
    told = runs[-1].told
    line = told.get("lines", {}).get("line", {})
    cpu_s, frames = statistics.median(r.cpu_s for r in runs), told["frames"]
    looks = told.get("looks")
    return {
        "frames": frames,
        "wall_s": statistics.median(r.wall_s for r in runs),
        "cpu_s": cpu_s,
        "cpu_ms": cpu_s / max(1, frames - START) * 1e3,
        "down": told.get("down", line.get("left_to_right")),
        "up": told.get("up", line.get("right_to_left")),
        "more": f"{looks['inferred']} looked at, {looks['discarded']} discarded" if looks else "",
        "precision": told.get("detector", {}).get("precision", ""),
    }


def _ratios(found: dict[str, list[Run]], ours: str, peers: list[str]) -> dict[str, dict[str, float]]:
    """The peers' seconds over ours, round by round."""
    return {
        peer: {
            what: statistics.median(
                getattr(theirs, f"{what}_s") / getattr(mine, f"{what}_s")
                for theirs, mine in zip(found[peer], found[ours], strict=True)
            )
            for what in ("wall", "cpu")
        }
        for peer in peers
    }
