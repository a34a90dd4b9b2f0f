"""Makes the int8 detector of the package again: from which pictures, and what is left of the float one.

`rendered`: of scenes of the project. `corpus`: of what the detector was trained on. What is lost is measured
on stills of the corpus that neither saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.detect.card import Quantization, read_card
from pipelines.detect.model import sha256_of
from pipelines.detect.quantize import Quantizer
from pipelines.registry import PACKAGED_MODEL
from streamer.models.agreement import MIN_AP_SCORE, agreement, detect_all
from streamer.models.model_handle import build_detector, write_card
from streamer.models.sample_frames import SampleFrame, folder_samples, samples
from tests.bench.counting.data import corpus
from tests.bench.registry import Unavailable

SCENES = tuple(
    f"synthetic:street?seconds=60&seed={seed}&width=640&height={height}"
    for seed, height in ((1, 360), (2, 480), (3, 360), (4, 480))
)
TRAINED_ON = (
    "highway_tidar", "oi_vehicles", "farid_vehicles", "sahrul_ferryport", "atl_highway", "cafe_overhead",
    "bg_indoorlab",
)  # fmt: skip
UNSEEN = ("coco128_val", "pennfudan", "gdansk_walkcam", "rf100_tollcam")
PER_SET, PER_UNSEEN, PER_SCENE = 40, 60, 70
RANGES = "full"  # as the shipped one: clipped ones lose more boxes


def make(folder: Path, pictures: str) -> dict[str, Any]:
    """Write default-int8.onnx and its card into `folder`; what it keeps of the float model's boxes."""
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is missing: set STREAMER_CORPUS")
    if pictures not in ("corpus", "rendered"):
        raise Unavailable(f"pictures={pictures!r}: give corpus or rendered")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "default-int8.onnx"
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    quantizer = Quantizer(PACKAGED_MODEL, card, threads=1)
    taken = _stills(root, TRAINED_ON, PER_SET) if pictures == "corpus" else _rendered()
    calibrated = sum(1 for _ in quantizer.watch(sample.image for sample in taken))
    quantizer.write(target, quantizer.spans(), RANGES)
    kept = _kept(target, root)
    made = card.model_copy(update={"sha256": sha256_of(target), "quantized": kept})
    write_card(target.with_suffix(".yaml"), made)
    return {"file": str(target), "sha256": made.sha256, "calibrated_on": calibrated, **kept.model_dump()}


def _stills(root: Path, sets: tuple[str, ...], share: int) -> Iterator[SampleFrame]:
    for name in sets:
        yield from folder_samples(root / "images" / name / "images", share)


def _rendered() -> Iterator[SampleFrame]:
    return samples(SCENES, PER_SCENE * len(SCENES))


def _kept(target: Path, root: Path) -> Quantization:
    """Against the float model in float32, each at the shape and threshold of the card."""
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    exact, small = (
        build_detector(
            "openvino",
            path,
            card.model_copy(update={"sha256": "", "precision": precision}),
            threads=1,
            score=MIN_AP_SCORE,
        )
        for path, precision in ((PACKAGED_MODEL, "f32"), (target, "auto"))
    )
    rest = list(_stills(root, UNSEEN, PER_UNSEEN))
    sizes = [(sample.image.shape[1], sample.image.shape[0]) for sample in rest]
    kept = agreement(detect_all(exact, rest), detect_all(small, rest), exact.labels, sizes, card.score)
    return Quantization(
        of=sha256_of(PACKAGED_MODEL),
        ranges=RANGES,
        pictures=kept.pictures,
        boxes=kept.boxes,
        found=kept.found,
        given=kept.given,
        ap50=round(kept.ap50, 4),
    )
