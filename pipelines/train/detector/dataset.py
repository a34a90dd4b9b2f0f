"""Labelled pictures in one memory-mapped file, and the writer that makes them.

DIR/pictures.u8    (N, SIDE, SIDE, 3) uint8 BGR; each picture at the top left, scaled to fit
DIR/index.npz      sizes (N, 2), sets (N,), starts (N + 1,), boxes (M, 4), classes (M,), ignore (M,)
DIR/sets.json      the sets' names, weights and how many pictures each has

Decoded once, a picture costs a training step no more than a copy. A box with an `ignore` bit mask of classes
is no object: inside it nothing is taught to be background for these classes. So a set that labels only cars
carries one such box, as large as the picture, with the bits of all other classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Floats, Image, Ints

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
SIDE = 480  # pixels of a stored picture's longer side at most
VERSION = 1


class DatasetError(ValueError):
    """A data set that cannot be read or written; says which file and what to do."""


def bits_of(class_ids: Sequence[int]) -> int:
    """The bit mask of some class ids."""
    mask = 0
    for i in class_ids:
        mask |= 1 << int(i)
    return mask


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """boxes (N, 4) xyxy in pixels of its picture; classes (N,) int32; ignore (N,) int32, 0 for an object.

    A row with `ignore` bits says for these classes "do not know" about its area; its class is -1.
    """

    boxes: Floats
    classes: Ints
    ignore: Ints

    @classmethod
    def of(
        cls, boxes: npt.ArrayLike = (), classes: npt.ArrayLike = (), ignore: npt.ArrayLike = ()
    ) -> Labelled:
        """From lists; `ignore` may be left out where every row is an object."""
        ids = np.asarray(classes, np.int32).reshape(-1)
        bits = np.asarray(ignore, np.int32).reshape(-1)
        rows = np.asarray(boxes, np.float32).reshape(-1, 4)
        return cls(rows, ids, bits if len(bits) == len(ids) else np.zeros(len(ids), np.int32))

    def __len__(self) -> int:
        return len(self.classes)

    def scaled(self, factor: float) -> Labelled:
        return Labelled(self.boxes * np.float32(factor), self.classes, self.ignore)

    def joined(self, other: Labelled) -> Labelled:
        return Labelled(
            np.concatenate((self.boxes, other.boxes)),
            np.concatenate((self.classes, other.classes)),
            np.concatenate((self.ignore, other.ignore)),
        )

    def objects(self) -> Labelled:
        """Without the areas to ignore."""
        keep = self.ignore == 0
        return Labelled(self.boxes[keep], self.classes[keep], self.ignore[keep])


class DatasetWriter:
    """Adds pictures one by one; close() (or leaving the `with`) writes the index. Errors: DatasetError."""

    def __init__(self, folder: Path, side: int = SIDE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._side = folder, side
        self._file = (folder / "pictures.u8").open("wb")
        self._sizes: list[tuple[int, int]] = []
        self._sets: list[int] = []
        self._labels: list[Labelled] = []
        self._names: dict[str, float] = {}

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def add(self, image: Image, labels: Labelled, set_name: str, weight: float = 1.0) -> None:
        """`image` (H, W, 3) BGR; `labels` in its pixels; `weight` is the share of the set as a whole."""
        self._names[set_name] = weight
        high, wide = image.shape[:2]
        factor = min(1.0, self._side / max(high, wide))
        if factor < 1.0:
            size = (max(1, round(wide * factor)), max(1, round(high * factor)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        canvas: Image = np.full((self._side, self._side, 3), 114, np.uint8)
        canvas[: image.shape[0], : image.shape[1]] = image
        self._file.write(canvas.tobytes())
        self._sizes.append((image.shape[1], image.shape[0]))
        self._sets.append(list(self._names).index(set_name))
        self._labels.append(labels.scaled(factor))

    def close(self) -> None:
        self._file.close()
        if not self._sizes:
            raise DatasetError(f"{self._folder}: not one picture was added: give at least one set")
        starts = np.cumsum([0, *(len(x) for x in self._labels)])
        joined = [
            np.concatenate([getattr(x, key) for x in self._labels]) for key in ("boxes", "classes", "ignore")
        ]
        np.savez(
            self._folder / "index.npz",
            sizes=np.array(self._sizes, np.int32),
            sets=np.array(self._sets, np.int32),
            starts=starts.astype(np.int64),
            boxes=joined[0],
            classes=joined[1],
            ignore=joined[2],
        )
        counts = np.bincount(self._sets, minlength=len(self._names)).tolist()
        document = {
            "version": VERSION,
            "side": self._side,
            "classes": list(CLASSES),
            "sets": [
                {"name": name, "weight": weight, "pictures": n}
                for (name, weight), n in zip(self._names.items(), counts, strict=True)
            ],
        }
        (self._folder / "sets.json").write_text(json.dumps(document, indent=1))


class Dataset:
    """Reads what DatasetWriter wrote. Raises DatasetError where `folder` holds no whole data set."""

    def __init__(self, folder: Path) -> None:
        try:
            document = json.loads((folder / "sets.json").read_text())
            with np.load(folder / "index.npz") as index:
                self.sizes: Ints = index["sizes"]
                self.sets: Ints = index["sets"]
                self._starts = index["starts"]
                self._rows = Labelled(index["boxes"], index["classes"], index["ignore"])
            self._side = int(document["side"])
            shape = (len(self.sizes), self._side, self._side, 3)
            self._pictures = np.memmap(folder / "pictures.u8", np.uint8, "r", shape=shape)
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(
                f"{folder}: not a whole data set ({error}): make it with "
                "`python -m pipelines.train.detector.prepare`"
            ) from error
        if document.get("version") != VERSION or document["classes"] != list(CLASSES):
            raise DatasetError(f"{folder}: written by another version: make it again")
        self.set_names = tuple(str(entry["name"]) for entry in document["sets"])
        self.set_weights = tuple(float(entry["weight"]) for entry in document["sets"])

    def __len__(self) -> int:
        return len(self.sizes)

    def image(self, i: int) -> Image:
        """Picture `i` (H, W, 3): a view of the file, not to be written to."""
        wide, high = self.sizes[i]
        view: Image = self._pictures[i, :high, :wide]
        return view

    def labels(self, i: int) -> Labelled:
        part = slice(int(self._starts[i]), int(self._starts[i + 1]))
        rows = self._rows
        return Labelled(rows.boxes[part].copy(), rows.classes[part].copy(), rows.ignore[part].copy())

    def chances(self, without: Sequence[str] = ()) -> npt.NDArray[np.float64]:
        """(N,) the chance of each picture: each set by its weight, alike within a set.

        `without`: sets that are left out. Raises DatasetError where there is none of that name.
        """
        unknown = sorted(set(without) - set(self.set_names))
        if unknown:
            raise DatasetError(f"no set {unknown[0]!r} in the data: there are {', '.join(self.set_names)}")
        counts = np.bincount(self.sets, minlength=len(self.set_names))
        if set(without) == set(self.set_names):
            raise DatasetError("every set of the data is left out: keep at least one")
        weights = np.array(
            [0.0 if n in without else w for n, w in zip(self.set_names, self.set_weights, strict=True)]
        )
        each: npt.NDArray[np.float64] = (weights / np.maximum(1, counts))[self.sets]
        chances: npt.NDArray[np.float64] = each / each.sum()
        return chances
