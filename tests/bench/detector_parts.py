"""What each part of the detector's training buys: short runs from random weights, alike but for one left out.

Each run is a child process in OUT/PART and goes on where it was stopped; what is done is not done again.
They are far shorter than the run of the shipped weights: their differences count and not their heights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.detect.card import read_card
from pipelines.registry import create_detector
from pipelines.train.detector import evaluate
from pipelines.train.detector.precision import Matched, average_precision, interval
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS, REPO

NAME = "detector-parts"
DESCRIPTION = "what each part of the detector's training buys, by runs without it (hours; needs [torch])"
TEACHER = "weights/yolox_nano.onnx"
PARTS: dict[str, tuple[str, ...]] = {
    "full": (),
    "no-teacher": (),
    "no-paste": ("--paste", "0"),
    "no-drawn": ("--without", "drawn"),
    "no-mosaic": ("--mosaic", "0"),
    "no-degrade": ("--degrade", "0"),
    "no-close": ("--close", "0"),
    "no-photographs": ("--without", "highway_tidar", "--without", "oi_vehicles"),
}
SHOWN = (  # set, group
    ("PETS09", "person"),
    ("pennfudan", "person"),
    ("gdansk_walkcam", "person"),
    ("coco128", "person"),
    ("coco128", "vehicle"),
    ("rf100_tollcam", "vehicle"),
)


def run(
    data: str = "build/detector/data",
    out: str = "build/detector/parts",
    steps: int = 1200,
    size: int = 192,
    measured: int = 256,
    parts: str = ",".join(PARTS),
) -> dict[str, Any]:
    """`data`: made by pipelines.train.detector.prepare; `measured`: side of the input it is measured at."""
    if not (CORPUS / TEACHER).exists():
        raise Unavailable(f"{CORPUS / TEACHER} is missing")
    unknown = set(parts.split(",")) - set(PARTS)
    if unknown:
        raise Unavailable(f"no such part: {', '.join(sorted(unknown))}: take of {', '.join(PARTS)}")
    rows = {}
    for part in parts.split(","):
        folder = REPO / out / part
        _train(REPO / data, folder, part, steps, size)
        rows[part] = _measured(folder, measured)
    return {"steps": steps, "size": size, "measured": measured, "rows": rows}


def _train(data: Path, folder: Path, part: str, steps: int, size: int) -> None:
    from pipelines.train.detector.state import read_checkpoint

    last = folder / "last.pt"
    if last.exists() and int(read_checkpoint(last)["steps"]) >= steps:
        return
    words = [
        sys.executable,
        "-m",
        "pipelines.train.detector.train",
        "--data",
        str(data),
        "--out",
        str(folder),
    ]
    words += [
        "--steps",
        str(steps),
        "--sizes",
        str(size),
        "--threads",
        "1",
        "--workers",
        "1",
        "--chunk",
        "100",
    ]
    words += PARTS[part] if part == "no-teacher" else ("--teacher", str(CORPUS / TEACHER), *PARTS[part])
    words += ["--resume"] if last.exists() else []
    if subprocess.run(words, cwd=REPO, check=False).returncode:
        raise Unavailable(f"the run of {part} failed: its error stands above")


def _measured(folder: Path, side: int) -> dict[str, dict[str, Any]]:
    kept = folder / f"figures-{side}.json"
    if not kept.exists() or kept.stat().st_mtime < (folder / "last.pt").stat().st_mtime:
        kept.write_text(json.dumps(_measure(folder, side)))
    found: dict[str, dict[str, Any]] = json.loads(kept.read_text())
    return found


def _measure(folder: Path, side: int) -> dict[str, dict[str, Any]]:
    """For each of SHOWN "SET GROUP" -> AP50 with its interval."""
    from pipelines.train.detector.export import write_card, write_onnx
    from pipelines.train.detector.state import load_average

    path = folder / "model.onnx"
    write_onnx(load_average(folder / "last.pt"), path, side, "a run of tests.bench detector-parts")
    write_card(path, evaluate.SIDE_SCORE, side)
    card = read_card(path.with_suffix(".yaml"))
    detector = create_detector("openvino", path, threads=1, score=evaluate.MIN_AP_SCORE, sidecar=card)
    sets = evaluate.stills(detector, CORPUS, False)
    sets["PETS09"] = {"person": evaluate.pets(detector, CORPUS)}
    return {f"{name} {group}": _figure(sets[name][group]) for name, group in SHOWN}


def _figure(parts: list[Matched]) -> dict[str, Any]:
    return {"ap50": average_precision(parts), "interval": interval(parts)}


def render(result: dict[str, Any]) -> str:
    names = [f"{name} {group}" for name, group in SHOWN]
    lines = [
        f"AP50 after {result['steps']} steps of 32 pictures at {result['size']} pixels from random weights, "
        f"measured at {result['measured']} (95 %)",
        "",
        f"| | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for part, row in result["rows"].items():
        cells = [
            f"{row[n]['ap50']:.3f} ({row[n]['interval'][0]:.2f}–{row[n]['interval'][1]:.2f})" for n in names
        ]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines)
