"""Carries a data set to another machine.

    python -m pipelines.train.detector.dataset_archive DATA FILE [--unpack]

A data set is raw pixels, a few hundred kilobytes a picture; packed it is one file of JPEG and WebP pictures,
a small part of that, from which the same set is made again, but for what the compression takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.train.detector.copy_paste import Cutouts, write_cutouts
from pipelines.train.detector.dataset import Dataset, DatasetError
from pipelines.values import Image

COPIED = ("index.npz", "sets.json")


def encoded(image: Image, kind: str, quality: int) -> bytes:
    """`kind` is ".jpg", or ".webp" for pictures with an alpha channel."""
    flag = cv2.IMWRITE_JPEG_QUALITY if kind == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    good, data = cv2.imencode(kind, image, (flag, quality))
    if not good:
        raise DatasetError(f"a picture of {image.shape} cannot be encoded as {kind}")
    return data.tobytes()


def decoded(data: bytes, flag: int) -> Image:
    """The picture of `data`. Raises DatasetError where it is none."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
        raise DatasetError("a picture in the packed set is damaged: pack it again")
    return np.asarray(image, np.uint8)


def pack(folder: Path, path: Path, quality: int) -> None:
    """Raises DatasetError where `folder` holds no whole data set."""
    data = Dataset(folder)
    with zipfile.ZipFile(path, "w") as archive:
        for name in COPIED:
            archive.write(folder / name, name, zipfile.ZIP_DEFLATED)
        for i in range(len(data)):
            archive.writestr(f"{i:06d}.jpg", encoded(data.image(i), ".jpg", quality))
        if (folder / "cutouts.npz").exists():
            cutouts = Cutouts(folder / "cutouts.npz")
            for i in range(len(cutouts)):
                name = f"cutouts/{i:06d}-{int(cutouts.classes[i])}.webp"
                archive.writestr(name, encoded(cutouts.piece(i), ".webp", quality))


def unpack(path: Path, folder: Path) -> None:
    """Raises DatasetError where `path` is no packed data set."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[Image] = []
    kinds: list[int] = []
    try:
        with zipfile.ZipFile(path) as archive, (folder / "pictures.u8").open("wb") as pictures:
            for name in COPIED:
                (folder / name).write_bytes(archive.read(name))
            side = _side(folder)
            for name in sorted(archive.namelist()):
                if name.endswith(".jpg"):
                    canvas: Image = np.full((side, side, 3), 114, np.uint8)
                    image = decoded(archive.read(name), cv2.IMREAD_COLOR)
                    canvas[: image.shape[0], : image.shape[1]] = image
                    pictures.write(canvas.tobytes())
                elif name.endswith(".webp"):
                    piece = decoded(archive.read(name), cv2.IMREAD_UNCHANGED)
                    if piece.shape[2] == 3:  # WebP leaves out an alpha channel that says nothing
                        piece = np.asarray(cv2.cvtColor(piece, cv2.COLOR_BGR2BGRA), np.uint8)
                    pieces.append(piece)
                    kinds.append(int(Path(name).stem.rpartition("-")[2]))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: not a packed data set ({error}): pack it again") from error
    if pieces:
        write_cutouts(folder / "cutouts.npz", pieces, kinds)
    Dataset(folder)


def _side(folder: Path) -> int:
    return int(json.loads((folder / "sets.json").read_text())["side"])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.train.detector.dataset_archive", description=__doc__
    )
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("file", type=Path)
    parser.add_argument("--unpack", action="store_true", help="make DATA from FILE instead")
    parser.add_argument(
        "--quality", type=int, default=82, help="of the pictures, to 100 (default: %(default)s)"
    )
    options = parser.parse_args(words)
    try:
        if options.unpack:
            unpack(options.file, options.data)
        else:
            pack(options.data, options.file, options.quality)
    except (DatasetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.file}: {options.file.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
