"""Labels of a user as files: YOLO text or COCO JSON.

YOLO text: a folder of `STEM.txt`, rows `class cx cy w h` normalised to the picture, with the class names in
`classes.txt` (a name a line) or in `data.yaml` (`names:`), in the folder or above it. COCO JSON: one file
with images, annotations (`bbox` left, top, width, height in pixels) and categories.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from pipelines.class_names import find
from pipelines.values import Floats, Ints
from streamer.errors import ModelError

Item = TypeVar("Item")
MAX_CLASSES = 10_000  # numbers of data.yaml
_SLACK = 0.02  # of a picture: boxes that leave it by less are cut


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """boxes_xyxyn (N, 4), class_ids (N,) into `names` of the Labelling."""

    boxes_xyxyn: Floats
    class_ids: Ints

    def __len__(self) -> int:
        return len(self.class_ids)


@dataclass(frozen=True, slots=True)
class Labelling:
    """All rows by the stem of their picture."""

    names: tuple[str, ...]
    by_stem: Mapping[str, Boxes]


def read_labels(path: Path, classes: Sequence[str]) -> Labelling:
    """From a folder of YOLO text or a COCO JSON file; class ids are positions in `classes`, the model's.

    Raises ModelError, with file and row, for what is no label or names a class that the model does not have.
    """
    if path.is_dir():
        return Labelling(tuple(classes), _yolo(path, classes))
    if path.is_file() and path.suffix.lower() == ".json":
        return Labelling(tuple(classes), _coco(path, classes))
    raise ModelError(f"{path}: neither a folder of YOLO text nor a COCO .json")


# ---- YOLO text


def _yolo(folder: Path, classes: Sequence[str]) -> dict[str, Boxes]:
    files = sorted(p for p in folder.rglob("*.txt") if p.name != "classes.txt" and not _is_draft(p, folder))
    if not files:
        raise ModelError(f"{folder}: holds no .txt: give the folder with the labels")
    names = _yolo_names(folder)
    ids = _class_ids(names, classes, folder) if names is not None else dict(enumerate(range(len(classes))))
    return {path.stem: _yolo_file(path, ids) for path in files}


def _is_draft(path: Path, folder: Path) -> bool:
    """What `model collect --drafts` wrote and nobody has corrected, unless that folder itself is given."""
    return "drafts" in path.relative_to(folder).parts[:-1]


def _yolo_names(folder: Path) -> list[str] | None:
    for place in (folder, folder.parent):
        if (place / "classes.txt").is_file():
            return _text(place / "classes.txt", "a class name a line").split("\n")
        if (place / "data.yaml").is_file():
            return _data_names(place / "data.yaml")
    return None


def _data_names(path: Path) -> list[str] | None:
    expected = "`names: [person, car]` or `names: {0: person, 1: car}`"
    text = _text(path, expected)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelError(f"{path}: not YAML: {' '.join(str(error).split())[:200]}") from error
    if data is not None and not isinstance(data, Mapping):
        raise ModelError(f"{path}: expected {expected}")
    names = (data or {}).get("names")
    if isinstance(names, Mapping) and all(type(i) is int and 0 <= i < MAX_CLASSES for i in names):
        names = [names.get(i, "") for i in range(max(names, default=-1) + 1)]
    if names is not None and not isinstance(names, list):
        raise ModelError(f"{path}: names: expected {expected}, not {str(names)[:60]!r}")
    return None if names is None else [str(name) for name in names]


def _text(path: Path, expected: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: is not UTF-8 text: expected {expected}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _yolo_file(path: Path, ids: Mapping[int, int]) -> Boxes:
    rows = []
    for number, line in enumerate(_text(path, "rows `class cx cy w h`").splitlines(), 1):
        if not line.strip():
            continue
        try:
            words = line.split()
            kind, (x, y, w, h) = int(words[0]), map(float, words[1:5])
        except ValueError as error:
            raise ModelError(f"{path}:{number}: {line[:60]!r} is not `class cx cy w h`") from error
        if kind not in ids:
            raise ModelError(f"{path}:{number}: class {kind}: known are {', '.join(map(str, ids))}")
        rows.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, ids[kind]))
    return _boxes(rows, str(path))


# ---- COCO

_COCO = {  # its lists, and what each item of them holds
    "categories": "an object with id (a whole number) and name",
    "images": "an object with id (a whole number), file_name, and width and height in pixels",
    "annotations": "an object with image_id (of one of its images), category_id, and bbox: [left, top, "
    "width, height] in pixels",
}
_LISTS = "the lists images, annotations and categories"


def _coco(path: Path, classes: Sequence[str]) -> dict[str, Boxes]:
    text = _text(path, f"COCO JSON: {_LISTS}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not COCO detections: not JSON ({error}): expected {_LISTS}") from error
    try:
        lists = {name: [dict(item) for item in document[name]] for name in _COCO}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not COCO detections: expected an object with {_LISTS}") from error
    categories = dict(_each(path, "categories", lists, lambda c: (int(c["id"]), str(c["name"]))))
    images = dict(_each(path, "images", lists, _coco_image))
    rows: dict[str, list[tuple[float, ...]]] = {stem: [] for stem, *_ in images.values()}
    annotations = _each(path, "annotations", lists, lambda a: (*_coco_row(a, images), int(a["category_id"])))
    used = sorted({category for *_, category in annotations})
    if strange := [category for category in used if category not in categories]:
        raise ModelError(
            f"{path}: annotations name category_id {strange[0]}: none of its categories has that id"
        )
    ids = dict(zip(used, _ids(path, used, categories, classes), strict=True))
    for stem, box, category in annotations:
        rows[stem].append((*box, ids[category]))
    return {stem: _boxes(each, f"{path}, {stem}") for stem, each in rows.items()}


def _each(
    path: Path, name: str, lists: Mapping[str, list[dict[str, Any]]], read: Callable[[dict[str, Any]], Item]
) -> list[Item]:
    """What `read` makes of each item of a list. Raises ModelError with the item's number (from 0)."""
    made = []
    for number, item in enumerate(lists[name]):
        try:
            made.append(read(item))
        except (ValueError, KeyError, TypeError, OverflowError, ZeroDivisionError) as error:
            raise ModelError(f"{path}: {name}[{number}] is not {_COCO[name]}") from error
    return made


def _coco_image(image: dict[str, Any]) -> tuple[int, tuple[str, float, float]]:
    return int(image["id"]), (Path(image["file_name"]).stem, float(image["width"]), float(image["height"]))


def _coco_row(
    annotation: dict[str, Any], images: Mapping[int, tuple[str, float, float]]
) -> tuple[str, tuple[float, ...]]:
    stem, wide, high = images[int(annotation["image_id"])]
    left, top, w, h = map(float, annotation["bbox"])
    return stem, (left / wide, top / high, (left + w) / wide, (top + h) / high)


def _ids(path: Path, used: list[int], categories: Mapping[int, str], classes: Sequence[str]) -> list[int]:
    return list(_class_ids([categories[c] for c in used], classes, path).values())


def _class_ids(names: Sequence[str], classes: Sequence[str], where: Path) -> dict[int, int]:
    """The model's class id of each of `names` by its position; blank names stand for nothing."""
    lowered = {i: name.strip().lower() for i, name in enumerate(names) if name.strip()}
    model_names = {i: find(name, classes) for i, name in lowered.items()}
    unknown = [lowered[i] for i, name in model_names.items() if name is None]
    if unknown:
        raise ModelError(
            f"{where}: class {unknown[0]!r} is none of the model's ({', '.join(classes)}): name it as the "
            "model does, or leave it out"
        )
    return {i: list(classes).index(name) for i, name in model_names.items() if name is not None}


def _boxes(rows: Sequence[Sequence[float]], where: str) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 5)
    corners = table[:, :4]
    sound = np.isfinite(corners).all() and (corners[:, 2:] > corners[:, :2]).all()
    if not sound or (len(corners) and (corners.min() < -_SLACK or corners.max() > 1 + _SLACK)):
        raise ModelError(f"{where}: a box outside its picture or without size: are the numbers normalised?")
    return Boxes(corners.clip(0, 1).astype(np.float32), table[:, 4].astype(np.int32))
