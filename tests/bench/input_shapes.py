"""What a further shape of picture costs the default detector: seconds to compile, and memory that stays.

Each in a process of its own, at `input_shape: picture`, after the 16:9 that is compiled at the start; with an
empty cache of compiled models, and with a full one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

NAME = "input-shapes"
DESCRIPTION = "seconds and memory of each further shape of picture in the default detector"
SHAPES = ((640, 480), (640, 400), (480, 640), (640, 320), (640, 640))
ONE = """
import json, sys, time
from pathlib import Path
import numpy as np
from pipelines.detect.card import read_card
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.values import Frame, Stamp
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
def look(width, height):
    image = np.full((height, width, 3), 114, np.uint8)
    for _ in range(4):
        detector.collect(detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), image)]))
card = read_card(PACKAGED_MODEL.with_suffix(".yaml")).model_copy(update={"input_shape": "picture"})
detector = create_detector("openvino", PACKAGED_MODEL, threads=1, cache_dir=Path(sys.argv[1]), sidecar=card)
look(640, 360)
rows = []
for width, height in json.loads(sys.argv[2]):
    before = resident()
    begun_s = time.perf_counter()
    detector.prepare(width, height)
    took_s = time.perf_counter() - begun_s
    look(width, height)
    rows.append({"picture": [width, height], "seconds": took_s, "mb": resident() - before})
print(json.dumps({"rows": rows, "compiled": detector.describe()["compiled"]}))
"""


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return {"empty cache": _process(folder), "full cache": _process(folder)}


def _process(cache: str) -> dict[str, Any]:
    command = [sys.executable, "-c", ONE, cache, json.dumps(SHAPES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def render(result: dict[str, Any]) -> str:
    lines = []
    for cache, table in result.items():
        for row in table["rows"]:
            wide, high = row["picture"]
            lines.append(f"{cache}: {wide}x{high}: {row['seconds']:.2f} s, {row['mb']:.1f} MB")
        lines.append("inputs: " + " ".join("x".join(map(str, size)) for size in table["compiled"]))
    return "\n".join(lines)
