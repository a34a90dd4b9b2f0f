"""A `.pt` detector on a GPU: all that we do over the bare model, memory, and what happens when it runs out.

Weights are random: they cost as much as trained ones. Frames are drawn at random too, so that few boxes come
out; suppression works on a fixed number of candidates on a GPU, whatever comes out.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.detect.errors import InferenceRejected
from pipelines.values import Frame, Stamp
from tests.bench.registry import Unavailable
from tests.bench.rounds import in_turn, median_ratio, percentile

NAME = "gpu"
DESCRIPTION = "a .pt detector on CUDA: end to end over the bare model at batch 1 to 32, memory, out of memory"
BATCHES = (1, 8, 16, 32)
GOAL, GOAL_FROM = 0.95, 8  # end to end over bare, from this batch on
SIZE = 640
SECONDS = 1.5  # of each measured turn


def run(
    config: str = "yolov8n.yaml", rounds: int = 9, oom: bool = True, device: str = "cuda"
) -> dict[str, Any]:
    """`device` "cpu" runs the same code at small batches, to see that the bench itself works."""
    _require(device)
    import torch

    from pipelines.detect.card import ModelCard
    from pipelines.detect.torch.engine import TorchDetector
    from tests.pipelines.detect import ultralytics_files as files

    with tempfile.TemporaryDirectory() as folder:
        path = files.save(files.detector(config), Path(folder) / "model.pt")
        card = ModelCard(input_size=(SIZE, SIZE))
        detector = TorchDetector(path, card, device=device)
        detector._accepted = detector.max_batch = max(BATCHES)
        detector._free = [type(slot)((SIZE, SIZE), max(BATCHES), detector._device) for slot in detector._free]
        rows = {
            batch: _compare(detector, batch, rounds) for batch in BATCHES if device != "cpu" or batch == 1
        }
        memory = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0
        return {
            "model": config,
            "device": detector.describe()["device"],
            "precision": detector.describe()["precision"],
            "values": rows,
            "goal": {"ratio": GOAL, "from_batch": GOAL_FROM},
            "reached": _reached(rows),
            "gpu_memory_mb": round(memory, 1),
            "out_of_memory": _run_out(detector) if oom and device == "cuda" else "not tried",
            "method": f"median of {rounds} rounds in turn, {SECONDS} s each, 640x360 frames, float16 on CUDA",
        }


def _require(device: str) -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("ultralytics") is None:
        raise Unavailable("it needs CUDA and the extra torch (make install EXTRAS=torch)")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("it needs CUDA, and torch sees no GPU here")


def _compare(detector: Any, batch: int, rounds: int) -> dict[str, float]:
    """Frames a second of both, the ratio of ours to bare, and the slowest batches of ours."""
    frames = _frames(batch)
    times_ms: list[float] = []
    pairs = in_turn(lambda: _ours(detector, frames, times_ms), lambda: _bare(detector, batch), rounds + 1)[1:]
    return {
        "ours_per_s": round(float(np.median([a for a, _ in pairs])), 1),
        "bare_per_s": round(float(np.median([b for _, b in pairs])), 1),
        "ratio": round(median_ratio(pairs), 3),
        "batch_p99_ms": round(percentile(times_ms, 99), 2),
    }


def _reached(rows: dict[int, dict[str, float]]) -> bool | None:
    """None where no batch was large enough to tell."""
    large = [row["ratio"] >= GOAL for batch, row in rows.items() if batch >= GOAL_FROM]
    return all(large) if large else None


def _frames(batch: int) -> list[Frame]:
    random = np.random.default_rng(batch)
    return [
        Frame(Stamp(f"camera-{i}", 1, 0, 0, 0, 0), random.integers(0, 255, (360, 640, 3), np.uint8))
        for i in range(batch)
    ]


def _ours(detector: Any, frames: list[Frame], times_ms: list[float]) -> float:
    """Frames a second with as many batches in hand as the detector takes, pictures in, boxes out."""
    open_tickets: list[tuple[float, Any]] = []

    def once() -> None:
        if len(open_tickets) == detector.depth:
            begun_s, ticket = open_tickets.pop(0)
            detector.collect(ticket)
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
        open_tickets.append((time.perf_counter(), detector.submit(frames)))

    rate = _rate(once, len(frames), lambda: None)
    for _, ticket in open_tickets:
        detector.collect(ticket)
    return rate


def _bare(detector: Any, batch: int) -> float:
    """Frames a second of the net's forward alone, on a tensor that is on the device already."""
    import torch

    kind = torch.float16 if detector._half else torch.float32
    pictures = torch.rand(batch, 3, SIZE, SIZE, device=detector._device).to(kind)
    pictures = pictures.contiguous(memory_format=torch.channels_last)

    def once() -> None:
        with torch.inference_mode():
            detector._net(pictures)

    return _rate(once, batch, torch.cuda.synchronize if detector._device.type == "cuda" else lambda: None)


def _rate(once: Callable[[], None], batch: int, wait: Callable[[], None]) -> float:
    once()
    wait()
    begun_s, count = time.perf_counter(), 0
    while time.perf_counter() - begun_s < SECONDS:
        once()
        count += batch
    wait()
    return count / (time.perf_counter() - begun_s)


def _run_out(detector: Any) -> dict[str, Any]:
    """Fill the GPU until a batch of 32 does not fit, and see what becomes of it."""
    import torch

    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    blocks, before = [], detector.max_batch
    room = free
    while room > 64 << 20:
        try:
            blocks.append(torch.empty(room, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            room //= 2
    answered = refused = 0
    for _ in range(5):
        try:
            answered += len(detector.collect(detector.submit(_frames(before))))
        except InferenceRejected:  # no room for even one
            refused += before
    del blocks
    torch.cuda.empty_cache()
    found = len(detector.collect(detector.submit(_frames(before))))
    return {
        "batch_before": before,
        "batch_after": detector.max_batch,
        "answered": answered,
        "refused": refused,
        "works_after": found == before,
        "said": detector.describe()["warnings"],
    }


def render(result: dict[str, Any]) -> str:
    lines = [f"{result['model']} on {result['device']}, {result['precision']}: frames a second"]
    lines.append(f"{'batch':>6}{'end to end':>12}{'bare model':>12}{'ratio':>8}{'p99 of a batch, ms':>20}")
    for batch, row in result["values"].items():
        lines.append(
            f"{batch:>6}{row['ours_per_s']:12.1f}{row['bare_per_s']:12.1f}{row['ratio']:8.3f}{row['batch_p99_ms']:20.2f}"
        )
    goal = result["goal"]
    verdict = {True: "reached", False: "NOT reached", None: "not tried"}[result["reached"]]
    lines.append(f"goal {goal['ratio']} from batch {goal['from_batch']}: {verdict}")
    lines.append(f"GPU memory at most {result['gpu_memory_mb']} MB; out of memory: {result['out_of_memory']}")
    lines.append(result["method"])
    return "\n".join(lines)
