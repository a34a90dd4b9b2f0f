"""Actions: accuracy on the corpus's three sets beside simpler ways, and what live windows cost.

python -m tests.bench actions                     everything (an hour on one slow core)
python -m tests.bench actions -o part=jhmdb       one of jhmdb, urfd, fight, crops, live, scene, demo, cost
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.bench import registry
from tests.conftest import CORPUS

NAME = "actions"
DESCRIPTION = "accuracy of action models on three sets beside simpler ways, and the cost of live windows"
PARTS = ("jhmdb", "urfd", "fight", "crops", "live", "scene", "demo", "cost")
BARE = {"demo", "cost"}  # which import on a default install; the demo needs no corpus either

Say = Callable[[str], None]


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def run(
    part: str = "all",
    seeds: int = 5,
    variants: str = "lstm,attention,mean,tcn",
    epochs: int = 15,
    clips: int = 12,
    frames: int = 150,
    partitions: int = 3,
    inputs: str = "moved,moved+flow+people",
    detector: str = "yolov8n_640",
    streets: str = "3,101,102,103,104,105",
    seconds: float = 75.0,
    low_confidence: int = 1,
) -> dict[str, Any]:
    """`inputs`, `partitions` and `detector` (of the corpus, or `default`) are of the fights alone, `streets`
    (seeds), `seconds` and `low_confidence` (0: without them) of the demo."""
    if part not in ("all", *PARTS):
        raise registry.Unavailable(f"no part {part!r}: use all, {', '.join(PARTS)}")
    found: dict[str, Any] = {}
    wanted = PARTS if part == "all" else (part,)
    if "cost" in wanted:
        from tests.bench import action_cost

        found["cost"] = action_cost.measure(CORPUS, frames)
    if "demo" in wanted:
        from tests.bench import action_demo

        seeds_of_streets = tuple(map(int, str(streets).split(",")))
        found["demo"] = action_demo.measure(seeds_of_streets, seconds, bool(low_confidence), say)
    if set(wanted) - BARE:
        found.update(_trained(wanted, seeds, tuple(variants.split(",")), epochs, clips))
    if "fight" in wanted:
        found["fight"] = _fight(detector, inputs, variants, seeds, partitions)
    return found


def _fight(detector: str, inputs: str, variants: str, seeds: int, partitions: int) -> list[dict[str, Any]]:
    from pipelines.registry import PACKAGED_MODEL
    from tests.bench import action_sets as sets

    path = PACKAGED_MODEL if detector == "default" else CORPUS / f"weights/{detector}.onnx"
    if not path.is_file():
        raise registry.Unavailable(f"no {path}")
    chosen, names = tuple(variants.split(",")), tuple(inputs.split(","))
    return sets.fight(CORPUS, sets.scratch(), path, names, chosen, seeds, partitions, say)


def _trained(
    wanted: tuple[str, ...], seeds: int, variants: tuple[str, ...], epochs: int, clips: int
) -> dict[str, Any]:
    if not CORPUS.is_dir():
        raise registry.Unavailable(f"no corpus at {CORPUS}")
    try:
        import torch
    except ImportError as error:
        raise registry.Unavailable("torch is not installed (the extra [torch])") from error
    from tests.bench import action_sets as sets

    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    if "jhmdb" in wanted:
        found["jhmdb"] = sets.jhmdb(CORPUS, seeds, variants, say)
    if "urfd" in wanted:
        found["urfd"] = [sets.urfd(CORPUS, 5, name, say) for name in variants]
    if "live" in wanted:
        from tests.bench import action_live

        found["live"] = action_live.measure(CORPUS, clips, say)
    if "scene" in wanted:
        from tests.bench.action_scenes import scenes

        found["scene"] = scenes(CORPUS, sets.scratch(), say)
    if "crops" in wanted:
        found["crops"] = [sets.fight_crops(CORPUS, epochs, say)]
    return found


def render(result: dict[str, Any]) -> str:
    lines = []
    for name in ("jhmdb", "fight", "crops"):
        if name in result:
            lines += [f"{name}: test accuracy, mean over seeds, 95 % interval, worst and best seed", ""]
            lines += [_line(row) for row in result[name]] + [""]
    if "urfd" in result:
        lines += ["urfd: videos left out; macro F1 and accuracy by frame; falls found and false", ""]
        lines += [
            f"| {r['name']} | {r['macro_f1']:.3f} | {r['accuracy']:.3f} | {r['found']} of {r['falls']} | "
            f"{r['false']} |"
            for r in result["urfd"]
        ] + [""]
    if "live" in result:
        lines += ["live: a model of YOLOv8n's maps in `analyze`, against training's own windows", ""]
        lines += [_live(result["live"]), ""]
    if "scene" in result:
        lines += ["scene: cross-validated accuracy over all pictures, 95 % interval, macro F1", ""]
        lines += [
            f"| {r['name']} | {r['detector']} | {r['accuracy']:.1%} | {r['interval_95'][0]:.1%} to "
            f"{r['interval_95'][1]:.1%} | {r['macro_f1']:.1%} | {r['n']} |"
            for r in result["scene"]
        ] + [""]
    if "demo" in result:
        from tests.bench import action_demo

        lines += action_demo.render(result["demo"])
    if "cost" in result:
        lines += ["cost: share of the detector's own time, 5 tracks a camera", ""]
        lines += [f"| {r['name']} | {r['ms']:.3f} ms a frame | {r['share']:.1%} |" for r in result["cost"]]
    return "\n".join(lines)


def _live(row: dict[str, Any]) -> str:
    (found, fights), (false, others) = row["told"], row["false"]
    return (
        f"{row['windows']} windows of {row['clips']} clips: probabilities at most {row['apart']:.1e} apart, "
        f"values {row['apart_values']:.1e}; told {found} of {fights} fights, {false} of {others} others; "
        f"evaluate says {row['evaluated']:.1%} of these clips"
    )


def _line(row: dict[str, Any]) -> str:
    crossed = row.get("crossed")
    more = ""
    if crossed:
        low, high = crossed["interval_95"]
        more = f" {crossed['accuracy']:.1%} ({low:.1%} to {high:.1%}) of {crossed['n']} |"
    return (
        f"| {row['name']} | {row['accuracy']:.1%} | {row['low']:.1%} to {row['high']:.1%} | "
        f"{row['worst']:.1%} to {row['best']:.1%} | {row['macro_f1']:.1%} | {row['weights']:,} |{more}"
    )
