"""Labelled pictures for tests of scenes: the synthetic street empty, with traffic or with a crowd, by day or
by night."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from pipelines.detect.model import sha256_of
from pipelines.values import Image
from streamer.sources.synthetic.scene import Scene
from tests.pipelines.actions.tiny_graph import write_brightness, write_tiny

KINDS = {
    "empty": {"density": 0.0},
    "traffic": {"people": 0.0, "vehicles": 5.0, "bicycles": 0.0},
    "crowd": {"people": 8.0, "vehicles": 0.0, "bicycles": 0.0},
}
NIGHT = 0.22  # of the light


def dark(image: Image) -> Image:
    return (image * NIGHT).astype(np.uint8)


def write_pictures(folder: Path, seeds: range, size: tuple[int, int] = (192, 108)) -> Path:
    """A CSV of pictures with `label`, `label.light` and as `group` the street's seed; the last third of the
    seeds is for the test."""
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for seed in seeds:
        split = "test" if seed >= seeds.start + 2 * len(seeds) / 3 else "train"
        for kind, options in KINDS.items():
            scene = Scene(seed=seed, width=size[0], height=size[1], fps=1, **options)
            image = scene.picture(scene.painter(), 20)
            for light in ("day", "night"):
                name = f"pictures/{seed}-{kind}-{light}.png"
                cv2.imwrite(str(folder / name), image if light == "day" else dark(image))
                rows.append([name, kind, light, str(seed), split])
    path = folder / "pictures.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "label.light", "group", "split"], *rows])
    return path


def write_classifier(folder: Path, thresholds: tuple[float, float] = (0.9, 0.9), **card: object) -> Path:
    """A model without training: `day` where a picture is bright, `night` where it is dark, as sure as it is
    far from a dark grey."""
    backbone = write_brightness(folder / "light-backbone.onnx")
    embedder = {"file": backbone.name, "sha256": sha256_of(backbone), "input_size": [32, 32], "margin": 0.0}
    labels = ("day", "night")
    given = {
        "kind": "crops",
        "size": 3,
        "embedder": embedder,
        "whole_picture": True,
        "rate_hz": 1.0,
        "heads": [{"name": "scene", "labels": list(labels), "thresholds": list(thresholds)}],
        **card,
    }
    return write_tiny(folder / "light.onnx", window=1, labels=labels, **given)
