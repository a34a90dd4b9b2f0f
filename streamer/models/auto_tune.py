"""Whether the int8 detector in the package serves here instead of the float one: measured, once a chip.

Both compute the same rendered street, in turns. The int8 one is taken where it costs clearly less and finds
what the float one finds there: a chip without VNNI adds int8 products in 16 bits, where they may overflow, so
that what it finds is no matter of the file alone. The outcome is kept in the folder of compiled models.
Only the engine `auto-int8` asks for it. Actions are trained on the float one's feature maps and keep it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.detect.card import read_card
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import check_pinned
from pipelines.registry import PACKAGED_INT8
from streamer.errors import ModelError, StorageError
from streamer.ipc.atomic_write import locked_folder, write_atomically
from streamer.models.agreement import MIN_AP_SCORE, Agreement, agreement, detect_all
from streamer.models.model_handle import AUTO_INT8, PACKAGED, ModelHandle, open_detector
from streamer.models.sample_frames import SampleFrame, samples

log = logging.getLogger(__name__)

FILE = "auto-tune.json"
SCENE = "synthetic:street?seconds=2&width=640&height=360"
PICTURES, ROUNDS = 6, 4
MAX_COST = 0.75  # of the float model's CPU time: for less nobody's numbers are changed
MIN_SHARE = 0.9  # of the float model's boxes found, and of its own boxes that are the float model's
MIN_BOXES = 10  # of the float model: fewer say nothing
_MAX_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Outcome:
    """`key` names the chip, the engine and both files; times are CPU milliseconds a frame."""

    key: str
    int8: bool
    float_cpu_ms: float
    int8_cpu_ms: float
    cost: float  # the median of int8 over float, round by round
    boxes: int
    found: int
    given: int


def fitting(engine: str, model: ModelHandle | None, cache_dir: Path | None) -> ModelHandle | None:
    """`model`, or the int8 one in its place. `cache_dir` None: nothing can be kept, and nothing is chosen.

    Takes a few seconds the first time on a chip; another process that asks meanwhile waits for the outcome.
    Raises ModelError where the float model cannot be used.
    """
    if engine != AUTO_INT8 or model is None or not model.packaged or cache_dir is None:
        return model
    try:
        small = packaged_int8()
        with locked_folder(cache_dir, 0o700):
            outcome = _kept(cache_dir, key_of(model, small)) or _measured_and_kept(model, small, cache_dir)
    except (ModelRefused, StorageError) as error:
        log.warning("the float detector serves, whether int8 is cheaper here is not known: %s", error)
        return model
    return small if outcome.int8 else model


def packaged_int8() -> ModelHandle:
    """Raises ModelRefused where its files are missing or damaged."""
    card = read_card(PACKAGED_INT8.with_suffix(".yaml"))
    check_pinned(PACKAGED_INT8, card)
    return ModelHandle(PACKAGED, PACKAGED_INT8, card)


def measure(model: ModelHandle, small: ModelHandle) -> Outcome:
    """Computes for some seconds on one core. Raises ModelError where one of them does not run.

    Other work of this process falls on both alike, which lets int8 look dearer than it is, never cheaper.
    """
    pictures = list(samples([SCENE], PICTURES))
    both = [open_detector("openvino", each, threads=1, score=MIN_AP_SCORE) for each in (model, small)]
    expected, detected = (detect_all(detector, pictures) for detector in both)  # which warms up, too
    sizes = [(p.image.shape[1], p.image.shape[0]) for p in pictures]
    kept = agreement(expected, detected, both[0].labels, sizes, model.card.score)
    rounds = [(_cpu_ms(both[0], pictures), _cpu_ms(both[1], pictures)) for _ in range(ROUNDS)]
    cost = statistics.median(ours / theirs for theirs, ours in rounds)
    return Outcome(
        key_of(model, small),
        cost <= MAX_COST and alike(kept),
        round(statistics.median(theirs for theirs, _ in rounds), 2),
        round(statistics.median(ours for _, ours in rounds), 2),
        round(cost, 3),
        kept.boxes,
        kept.found,
        kept.given,
    )


def alike(kept: Agreement) -> bool:
    """Whether int8 finds what the float model finds, and hardly anything else."""
    return kept.boxes >= MIN_BOXES and kept.recall >= MIN_SHARE and kept.precision >= MIN_SHARE


def key_of(model: ModelHandle, small: ModelHandle) -> str:
    """Another where the chip, the engine, what limits it, one of the files or its input is another."""
    from pipelines.detect.graph import ov

    limits = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "OV_CPU_MAX_ISA")]
    shapes = [f"{each.card.input_shape} {each.card.input_size}" for each in (model, small)]
    parts = [model.card.sha256, small.card.sha256, *shapes, ov.__version__, *limits, *_chip()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _chip() -> list[str]:
    """What names the first processor and what it can do; nothing where the system has no such file."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return []
    return [line for line in first.splitlines() if line.startswith(("model name", "flags", "Features"))]


def _measured_and_kept(model: ModelHandle, small: ModelHandle, cache_dir: Path) -> Outcome:
    try:
        outcome = measure(model, small)
    except ModelError as error:
        raise ModelRefused(str(error)) from error
    write_atomically(cache_dir / FILE, json.dumps(asdict(outcome), indent=2) + "\n", 0o640)
    log.info(
        "%s detector: int8 costs %.2f of the float one here, finds %d of its %d boxes and gives %d",
        "int8" if outcome.int8 else "float",
        outcome.cost,
        outcome.found,
        outcome.boxes,
        outcome.given,
    )
    return outcome


def _kept(cache_dir: Path, key: str) -> Outcome | None:
    """What was measured before; None where it was for something else, or the file cannot be read."""
    try:
        with (cache_dir / FILE).open("rb") as file:
            outcome = Outcome(**json.loads(file.read(_MAX_BYTES)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("%s is of no use and will be replaced: %s", cache_dir / FILE, error)
        return None
    return outcome if outcome.key == key and isinstance(outcome.int8, bool) else None


def _cpu_ms(detector: Detector, pictures: list[SampleFrame]) -> float:
    """A frame."""
    begun_s = time.process_time()
    detect_all(detector, pictures)
    return (time.process_time() - begun_s) / len(pictures) * 1e3
