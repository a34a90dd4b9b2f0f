"""Well-known public weights by their official addresses, and the SHA-256 each had at first.

An address is where the authors themselves publish the file. `sha256` stands here only for a file that
somebody has fetched from there and looked at; of the others it is recorded at the first download on this
box, and a file that differs later is refused. `reported` is what public projects that build on the file pin:
a second opinion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import ModelError, StorageError
from streamer.ipc.atomic_write import write_atomically

_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"
_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download"
_APACHE, _AGPL = "Apache-2.0", "AGPL-3.0"


@dataclass(frozen=True, slots=True)
class PublicModel:
    """`size` is the input in pixels; `note` what a person should know before choosing it."""

    name: str
    url: str
    licence: str
    size: int
    megabytes: float
    note: str
    sha256: str | None = None
    reported: str | None = None

    @property
    def suffix(self) -> str:
        """`.onnx`, or `.pt` for what is converted on this box (extra `torch`)."""
        return Path(self.url).suffix


def _yolox(size: str, pixels: int, megabytes: float, note: str, reported: str | None = None) -> PublicModel:
    url = f"{_YOLOX}/yolox_{size}.onnx"
    return PublicModel(f"yolox-{size}", url, _APACHE, pixels, megabytes, note, reported=reported)


def _ultralytics(name: str, release: str, megabytes: float, note: str) -> PublicModel:
    return PublicModel(name, f"{_ULTRALYTICS}/{release}/{name}.pt", _AGPL, 640, megabytes, note)


CATALOGUE = {
    model.name: model
    for model in (
        _yolox(
            "nano",
            416,
            3.7,
            "smallest; COCO AP 25.8",
            "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
        ),
        _yolox(
            "tiny",
            416,
            20.2,
            "COCO AP 32.8",
            "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7",
        ),
        _yolox(
            "s",
            640,
            35.9,
            "COCO AP 40.5",
            "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063",
        ),
        _yolox("m", 640, 101.0, "COCO AP 47.2; for a strong box or a GPU"),
        _ultralytics("yolov8n", "v8.3.0", 6.5, "COCO AP 37.3; converted here, needs the extra torch"),
        _ultralytics("yolov8s", "v8.3.0", 22.6, "COCO AP 44.9; converted here, needs the extra torch"),
        _ultralytics("yolo11n", "v8.3.0", 5.6, "COCO AP 39.5; converted here, needs the extra torch"),
        _ultralytics("yolo11s", "v8.3.0", 19.3, "COCO AP 47.0; converted here, needs the extra torch"),
        _ultralytics("yolo26n", "v8.4.0", 5.5, "COCO AP 40.9; converted here, needs the extra torch"),
    )
}


def public_model(name: str) -> PublicModel:
    """Raise ModelError, with the names there are, for another one."""
    if name not in CATALOGUE:
        raise ModelError(
            f"no public model {name!r} is known here: one of {', '.join(CATALOGUE)}; "
            "any other by `streamer model add URL --sha256 DIGEST`"
        )
    return CATALOGUE[name]


class Recorded:
    """The SHA-256 of each address at its first download, kept in `folder`/.recorded.json."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".recorded.json"

    def get(self, url: str) -> str | None:
        """Raise StorageError where the record is there and cannot be read: it is not to be lost unseen."""
        return self._all().get(url)

    def put(self, url: str, sha256: str) -> None:
        """Raises StorageError."""
        text = json.dumps({**self._all(), url: sha256}, indent=2) + "\n"
        write_atomically(self._path, text, 0o644)

    def _all(self) -> dict[str, str]:
        try:
            read = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StorageError(f"{self._path}: cannot be read ({error}): mend or remove it") from error
        if not isinstance(read, dict):
            raise StorageError(f"{self._path}: no record of SHA-256 digests: remove it")
        return {str(url): str(digest) for url, digest in read.items()}


def by_hand(model: PublicModel, why: str) -> str:
    """What to do where the file cannot be fetched: one line."""
    if model.suffix == ".pt":
        then = f"`streamer model export {Path(model.url).name} --name {model.name}`"
    else:
        then = f"`streamer model add {Path(model.url).name} --name {model.name}`"
    return f"{why}; by hand: fetch {model.url} where there is internet, copy the file here, and run {then}"
