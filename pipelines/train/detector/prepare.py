"""Makes a training data set.

    python -m pipelines.train.detector.prepare --recipe FILE --stills DIR … --out DIR

Reads the stills and clips that the recipe names, lets two teachers complete the labels (pseudo_labels.py),
adds drawn pictures, and cuts out objects to be pasted (copy_paste.py). Nothing of it belongs into the
repository.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.progress import track

from pipelines.detect.errors import ModelRefused
from pipelines.registry import create_detector
from pipelines.train.detector.copy_paste import cut_out, worth_cutting, write_cutouts
from pipelines.train.detector.dataset import CLASSES, DatasetError, DatasetWriter, Labelled, bits_of
from pipelines.train.detector.pseudo_labels import MIN_SCORE, agree, complete, look
from pipelines.train.detector.recipe import DataRecipe, Stills, class_ids, read_recipe
from pipelines.train.detector.yolo_text import read_stills
from pipelines.values import Image

MAX_CUT = 4  # cut-outs from one picture
CLIP_CUTS_EVERY = 4  # frames: neighbours in a clip show the same


class DatasetEntry(NamedTuple):
    """One picture of a set on its way into the data set; `cuts`: whether objects are cut out of it."""

    set_name: str
    weight: float
    image: Image
    labels: Labelled
    cuts: bool


class Ensemble:
    """Two teachers. Raises ModelRefused where one cannot be loaded."""

    def __init__(self, one: Path, other: Path, threads: int = 1) -> None:
        self._one, self._other = (
            create_detector("openvino", p, threads=threads, score=MIN_SCORE) for p in (one, other)
        )

    def complete(self, image: Image, labels: Labelled, trusted: frozenset[int], whole: bool) -> Labelled:
        objects, areas = agree(look(self._one, image), look(self._other, image))
        return complete(labels, objects, areas, trusted, whole)


def entries(
    recipe: DataRecipe, ensemble: Ensemble | None, options: argparse.Namespace
) -> Iterator[DatasetEntry]:
    """Every picture of the recipe. Raises DatasetError where a set is missing."""
    for stills in recipe.stills:
        yield from still_entries(stills, ensemble, options.stills / stills.name)
    if recipe.clips and ensemble is None:
        raise DatasetError("clips have no labels: give --teachers, or a recipe without clips")
    for clip in recipe.clips:
        assert ensemble is not None
        for number, image in enumerate(frames(options.clips / clip.name)):
            labels = ensemble.complete(image, Labelled.of(), frozenset(), False)
            if clip.doubted:
                labels = labels.joined(everywhere(image, bits_of(sorted(class_ids(clip.doubted)))))
            yield DatasetEntry(clip.name, clip.weight, image, labels, number % CLIP_CUTS_EVERY == 0)
    if recipe.drawn is not None and options.drawn is not None:
        for _, image, labels in read_stills(options.drawn):
            yield DatasetEntry("drawn", recipe.drawn.weight, image, labels, False)


def still_entries(stills: Stills, ensemble: Ensemble | None, folder: Path) -> Iterator[DatasetEntry]:
    trusted = class_ids(stills.labelled)
    unknown = bits_of(sorted(set(range(len(CLASSES))) - trusted))
    for _, image, given in read_stills(folder):
        if ensemble is not None and len(trusted) < len(CLASSES):
            labels = ensemble.complete(image, given, trusted, stills.complete)
        elif unknown:
            labels = given.joined(everywhere(image, unknown))
        else:
            labels = given
        yield DatasetEntry(stills.name, stills.weight, image, labels, True)


def everywhere(image: Image, bits: int) -> Labelled:
    """The whole picture as an area about which nothing is known for the classes of `bits`."""
    return Labelled.of([[0, 0, image.shape[1], image.shape[0]]], [-1], [bits])


def frames(path: Path) -> Iterator[Image]:
    """Every frame of a clip. Raises DatasetError where it cannot be read."""
    capture = cv2.VideoCapture(str(path))
    good, image = capture.read()
    if not good:
        raise DatasetError(f"{path}: cannot be read as a video: is --clips right?")
    while good:
        yield np.asarray(image, np.uint8)
        good, image = capture.read()
    capture.release()


def cuts_of(entry: DatasetEntry) -> Iterator[tuple[Image, int]]:
    """(BGRA, class) of the objects in a picture that can be cut out along their outline."""
    labels = entry.labels
    rows = worth_cutting(labels, entry.image.shape[1], entry.image.shape[0])
    rows.sort(key=lambda i: (int(labels.classes[i]) > 1, -float(labels.boxes[i][3] - labels.boxes[i][1])))
    for i in rows[:MAX_CUT]:
        piece = cut_out(entry.image, labels.boxes[i])
        if piece is not None:
            yield piece, int(labels.classes[i])


def prepare(recipe: DataRecipe, ensemble: Ensemble | None, options: argparse.Namespace) -> str:
    """Writes the data set into options.out; returns a line about it."""
    pieces: list[Image] = []
    kinds: list[int] = []
    objects = np.zeros(len(CLASSES), np.int64)
    count = 0
    with DatasetWriter(options.out) as writer:
        for entry in track(entries(recipe, ensemble, options), "pictures", disable=not sys.stderr.isatty()):
            writer.add(entry.image, entry.labels, entry.set_name, entry.weight)
            count += 1
            objects += np.bincount(entry.labels.objects().classes, minlength=len(CLASSES))
            for piece, kind in cuts_of(entry) if entry.cuts else ():
                pieces.append(piece)
                kinds.append(kind)
    write_cutouts(options.out / "cutouts.npz", pieces, kinds)
    named = ", ".join(f"{n} {name}" for name, n in zip(CLASSES, objects, strict=True))
    return f"{count} pictures, {named}; {len(pieces)} cut-outs, {kinds.count(0)} of people"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train.detector.prepare", description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--stills", type=Path, default=Path(), help="folder of the recipe's still sets")
    parser.add_argument("--clips", type=Path, default=Path(), help="folder of the recipe's clips")
    parser.add_argument(
        "--drawn", type=Path, help="folder made by python -m streamer.sources.synthetic.stills"
    )
    parser.add_argument(
        "--teachers", type=Path, nargs=2, metavar="ONNX", help="two models that complete labels"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    return parser


def main(words: list[str] | None = None) -> int:
    options = arguments().parse_args(words)
    cv2.setNumThreads(options.threads)
    try:
        recipe = read_recipe(options.recipe)
        ensemble = (
            Ensemble(options.teachers[0], options.teachers[1], options.threads) if options.teachers else None
        )
        print(prepare(recipe, ensemble, options))
    except (DatasetError, ModelRefused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
