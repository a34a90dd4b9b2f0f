"""A model that can be loaded: its file, its card, the detector that runs it; and the one in the package."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import DYNAMIC_INT8, sha256_of
from pipelines.detect.onnx_file import read_onnx
from pipelines.registry import PACKAGED_INT8, PACKAGED_MODEL, create_detector
from streamer.errors import ModelError

SUFFIXES = (".onnx", ".pt")  # of weights: for OpenVINO and ONNX Runtime, and for torch
PACKAGED, MOTION = "default", "motion"  # what names the detector in the package, and the one without weights
AUTO_INT8 = "auto-int8"  # an engine: as auto, and the detector in the package in int8 where the chip gains
RESERVED = (PACKAGED, MOTION)
_HEADER = (
    "# Edit freely: groups (what is counted together), score, nms_iou, precision, input_shape. Not: sha256.\n"
)
_AGAIN = (
    "install streamer again (in a checkout: `git restore` the file), or choose another "
    "(`streamer model default NAME`, or motion)"
)


@dataclass(frozen=True, slots=True)
class ModelHandle:
    """A model that can be loaded; `name` is empty for a file outside the store.

    `told` is what loading it has shown, where it was just loaded: how it runs here, and warnings.
    """

    name: str
    path: Path
    card: ModelCard
    default: bool = False
    told: tuple[str, ...] = ()

    @property
    def packaged(self) -> bool:
        return self.path == PACKAGED_MODEL

    @property
    def display_name(self) -> str:
        """What a person knows it by: its name in the store, or its path."""
        return display_name_of(self.path)

    def notes(self) -> list[str]:
        """What a person should know of it, a line each. Raises ModelRefused for an unreadable file."""
        notes = []
        if "AGPL" in self.card.licence.upper():
            notes.append(
                f"licence of these weights: {self.card.licence}; mind it when you pass them on or serve them"
            )
        if self.path.suffix == ".onnx" and read_onnx(self.path).dynamic_int8:
            notes.append(DYNAMIC_INT8)
        return [*notes, *(each for each in self.told if each not in notes)]


def packaged(default: bool = False) -> ModelHandle:
    """The detector that comes with the package. Raises ModelError where its files are missing or damaged."""
    sidecar = PACKAGED_MODEL.with_suffix(".yaml")
    for path in (PACKAGED_MODEL, sidecar):
        if not path.is_file():
            raise ModelError(f"{path}: this part of the detector in the package is missing: {_AGAIN}")
    try:
        card = read_card(sidecar)
        digest = sha256_of(PACKAGED_MODEL)
    except ModelRefused as error:
        raise ModelError(f"the detector in the package cannot be used: {error}: {_AGAIN}") from error
    if digest != card.sha256:
        raise ModelError(
            f"{PACKAGED_MODEL}: the detector in the package is damaged (SHA-256 {digest[:12]}…, expected "
            f"{card.sha256[:12]}…): {_AGAIN}"
        )
    return ModelHandle(PACKAGED, PACKAGED_MODEL, card, default)


def square(model: ModelHandle | None) -> ModelHandle | None:
    """The same with `input_shape: fixed`: as actions are trained on its feature maps."""
    if model is None or model.card.input_shape == "fixed":
        return model
    return replace(model, card=model.card.model_copy(update={"input_shape": "fixed"}))


def display_name_of(path: Path) -> str:
    """A model's name by where its file lies: in the package, in a store, or anywhere."""
    if path == PACKAGED_MODEL:
        return f"{PACKAGED} (in the package)"
    if path == PACKAGED_INT8:
        return f"{PACKAGED} (in the package, int8)"
    in_store = path.name in {f"model{suffix}" for suffix in SUFFIXES} and path.parent.parent.name == "models"
    return path.parent.name if in_store else str(path)


def is_path(which: str) -> bool:
    """Whether a model is meant by its path, and not by its name in the store."""
    return "/" in which or which.endswith(SUFFIXES)


def write_card(path: Path, card: ModelCard) -> None:
    """As a sidecar that a person can edit. Raises OSError."""
    write_synced(path, _HEADER + yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False))


def suffix_of(file: Path) -> str:
    """`.pt` for what torch runs, else `.onnx`, whatever the file is called."""
    return ".pt" if file.suffix.lower() == ".pt" else ".onnx"


def open_detector(
    engine: str,
    model: ModelHandle | None,
    *,
    threads: int = 0,
    cache_dir: Path | None = None,
    score: float | None = None,
    masks: bool = False,
) -> Detector:
    """The detector for a resolved model; engine "auto" without a model is motion. Raises ModelError.

    A file whose SHA-256 is not the one of its sidecar is refused. `masks`: give them where the sidecar says
    so; who makes no use of them is spared their cost.
    """
    path, card = (model.path, model.card) if model is not None else (None, None)
    if card is not None and card.masks and not masks:
        card = card.model_copy(update={"masks": False})
    return build_detector(engine, path, card, threads=threads, cache_dir=cache_dir, score=score)


def build_detector(engine: str, path: Path | None, card: ModelCard | None, **options: Any) -> Detector:
    """The detector for a file and its card, whatever the file's digest. Raises ModelError."""
    try:
        return create_detector(engine, path, sidecar=card, **options)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def completed_card(card: ModelCard, detector: Detector) -> ModelCard:
    """The card with all that loading the model tells, so that a person can read and edit it."""
    description = detector.describe()
    classes = dict(zip(detector.labels.names, detector.labels.groups, strict=True))
    return card.model_copy(
        update={
            "sha256": description["sha256"],
            "head": description["head"],
            "classes": classes,
            "licence": description["licence"],
            "input_size": card.input_size
            or (tuple(description["input"]) if description["max_batch"] > 1 else None),
        }
    )


def check_digest(sha256: str) -> str:
    """In lower case. Raises ModelError where it is none."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ModelError(f"SHA-256 {sha256[:70]!r}: expected 64 hex digits, as `sha256sum FILE` prints them")
    return sha256.lower()


def card_beside(file: Path) -> ModelCard:
    sidecar = file.with_suffix(".yaml")
    return card_at(sidecar) if sidecar.is_file() else ModelCard()


def card_at(path: Path) -> ModelCard:
    try:
        return read_card(path)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
