"""The model store: weights files, each in a folder of its own with a sidecar that pins its SHA-256.

    models/
        .default                the name of the model used where none is named
        yolov8n-640/
            model.onnx          or model.pt, for the engine torch
            model.yaml          the sidecar: a pipelines.detect.card.ModelCard, free to edit

A model is added by building its folder under another name and renaming it: it is there whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.registry import create_detector
from pipelines.spec import check_name
from streamer.errors import ModelError, StorageError

SUFFIXES = (".onnx", ".pt")  # of weights: for OpenVINO and ONNX Runtime, and for torch
_SIDECAR, _DEFAULT, _PARTIAL = "model.yaml", ".default", ".partial-"
_HEADER = "# Edit freely: groups (what is counted together), score, nms_iou, precision. Not: sha256.\n"


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that can be loaded; `name` is empty for a file outside the store."""

    name: str
    path: Path
    card: ModelCard
    default: bool = False

    def notes(self) -> list[str]:
        """What a person should know of it, a line each."""
        if "AGPL" in self.card.licence.upper():
            return [
                f"licence of these weights: {self.card.licence}; mind it when you pass them on or serve them"
            ]
        return []


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verify() found: `problem` is empty for a sound model."""

    name: str
    problem: str


class ModelStore:
    """The models under `folder` (usually state_dir/models), which is made when the first one is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self, file: Path, name: str | None = None, *, sha256: str | None = None, sidecar: Path | None = None
    ) -> Installed:
        """Check `file` by loading it and running one frame, then install it; the first becomes the default.

        `sha256` (64 hex digits) is what the file must have. `sidecar` gives classes, groups, score or head;
        without it a file `STEM.yaml` beside the model is used, else the model's own metadata.
        Raises ModelError or StorageError, and leaves nothing behind then.
        """
        name = _check(name if name is not None else name_from(file))
        card = _card(sidecar) if sidecar is not None else _beside(file)
        if sha256 is not None:
            card = card.model_copy(update={"sha256": check_digest(sha256)})
        card = _complete(card, _create("auto", file, card))
        with self._locked():
            if (self.folder / name).exists():
                raise ModelError(
                    f"model {name!r} exists: give another name, or `streamer model remove {name}` first"
                )
            self._install(file, name, card)
            if self.default_name() is None:
                self._write_default(name)
        return self.get(name)

    def installed(self) -> list[Installed]:
        """All installed models by name. Raises ModelError for a sidecar that cannot be read."""
        return [self.get(name) for name in self.names()]

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.glob("[!.]*") if _weights(p) is not None)

    def get(self, name: str) -> Installed:
        """Raises ModelError if no model has this name or its sidecar cannot be read."""
        folder = self.folder / _check(name)
        weights = _weights(folder)
        if weights is None:
            known = ", ".join(self.names()) or "none is installed"
            raise ModelError(
                f"no model {name!r} (known: {known}): add one with `streamer model add FILE --name {name}`"
            )
        card = _card(folder / _SIDECAR)
        if not card.sha256:
            raise ModelError(f"{folder / _SIDECAR}: sha256 is missing: remove the model and add it again")
        return Installed(name, weights, card, name == self.default_name())

    def resolve(self, which: str | Path | None) -> Installed | None:
        """The model meant by a store name, a path (with a slash, `.onnx` or `.pt`), or None: the default.

        None comes back only for None where the store is empty. Raises ModelError.
        """
        if which is None:
            default = self.default_name()
            if default is not None:
                return self.get(default)
            if self.names():
                known = ", ".join(self.names())
                raise ModelError(f"no default model is set: `streamer model default NAME`, one of {known}")
            return None
        if isinstance(which, Path) or is_path(which):
            path = Path(which)
            if not path.is_file():
                raise ModelError(f"{path}: no such model file")
            return Installed("", path, _beside(path))
        return self.get(which)

    def check_file(self, which: str) -> None:
        """Load the model at the path `which` and run one frame, as add() does; it may take seconds.

        A name is let through: what is in the store was loaded when it was added. Raises ModelError.
        """
        if is_path(which) and (installed := self.resolve(which)) is not None:
            open_detector("auto", installed)

    def default_name(self) -> str | None:
        try:
            return (self.folder / _DEFAULT).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"{self.folder / _DEFAULT}: cannot be read: {error}") from error

    def set_default(self, name: str) -> None:
        """Raises ModelError if there is no such model."""
        self.get(name)
        with self._locked():
            self._write_default(name)

    def remove(self, name: str) -> None:
        """Raises ModelError if there is no such model. A removed default leaves none set."""
        folder = self.folder / _check(name)
        with self._locked():
            if not folder.is_dir():
                raise ModelError(f"no model {name!r}: see `streamer model list`")
            if self.default_name() == name:
                (self.folder / _DEFAULT).unlink()
            doomed = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
            folder.rename(doomed / name)
            shutil.rmtree(doomed)

    def verify(self, name: str | None = None) -> list[Verdict]:
        """Hash, load and run each model (or the one named); raises ModelError only for an unknown name."""
        if name is not None and name not in self.names():
            self.get(name)
        return [Verdict(each, self._problem(each)) for each in ([name] if name is not None else self.names())]

    def _problem(self, name: str) -> str:
        try:
            installed = self.get(name)
            open_detector("auto", installed)
        except ModelError as error:
            return str(error)
        return ""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; what a killed one left behind goes. OSError becomes StorageError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for left in self.folder.glob(f"{_PARTIAL}*"):
                    shutil.rmtree(left)
                yield
        except OSError as error:
            raise StorageError(
                f"model store {self.folder}: {error.strerror or error}: check free space and permissions"
            ) from error

    def _install(self, file: Path, name: str, card: ModelCard) -> None:
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
        try:
            weights = partial / f"model{suffix_of(file)}"
            shutil.copyfile(file, weights)
            if sha256_of(weights) != card.sha256:
                raise ModelError(f"{file}: changed while it was copied: add it again")
            write_card(partial / _SIDECAR, card)
            _sync(weights)
            partial.chmod(0o755)
            partial.rename(self.folder / name)
            _sync(self.folder)
        finally:
            if partial.exists():
                shutil.rmtree(partial)

    def _write_default(self, name: str) -> None:
        fresh = self.folder / ".default-new"
        _write(fresh, name + "\n")
        fresh.replace(self.folder / _DEFAULT)


def is_path(which: str) -> bool:
    """Whether a model is meant by its path, and not by its name in the store."""
    return "/" in which or which.endswith(SUFFIXES)


def write_card(path: Path, card: ModelCard) -> None:
    """As a sidecar that a person can edit. Raises OSError."""
    _write(path, _HEADER + yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False))


def suffix_of(file: Path) -> str:
    """`.pt` for what torch runs, else `.onnx`, whatever the file is called."""
    return ".pt" if file.suffix.lower() == ".pt" else ".onnx"


def _weights(folder: Path) -> Path | None:
    """The weights in a model's folder, if they are there."""
    return next((p for p in (folder / f"model{suffix}" for suffix in SUFFIXES) if p.is_file()), None)


def open_detector(
    engine: str,
    model: Installed | None,
    *,
    threads: int = 0,
    cache_dir: Path | None = None,
    score: float | None = None,
) -> Detector:
    """The detector for a resolved model; engine "auto" without a model is motion. Raises ModelError.

    A file whose SHA-256 is not the one of its sidecar is refused.
    """
    path, card = (model.path, model.card) if model is not None else (None, None)
    return _create(engine, path, card, threads=threads, cache_dir=cache_dir, score=score)


def _create(engine: str, path: Path | None, card: ModelCard | None, **options: Any) -> Detector:
    try:
        return create_detector(engine, path, sidecar=card, **options)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def _complete(card: ModelCard, detector: Detector) -> ModelCard:
    """The card with all that loading the model told, so that a person can read and edit it."""
    told = detector.describe()
    classes = dict(zip(detector.labels.names, detector.labels.groups, strict=True))
    return card.model_copy(
        update={
            "sha256": told["sha256"],
            "head": told["head"],
            "classes": classes,
            "licence": told["licence"],
            "input_size": card.input_size or (tuple(told["input"]) if told["max_batch"] > 1 else None),
        }
    )


def check_digest(sha256: str) -> str:
    """In lower case. Raises ModelError where it is none."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ModelError(f"SHA-256 {sha256[:70]!r}: expected 64 hex digits, as `sha256sum FILE` prints them")
    return sha256.lower()


def _beside(file: Path) -> ModelCard:
    sidecar = file.with_suffix(".yaml")
    return _card(sidecar) if sidecar.is_file() else ModelCard()


def _card(path: Path) -> ModelCard:
    try:
        return read_card(path)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def name_from(file: Path) -> str:
    """A legal name made of the file's: yolov8n_640.onnx -> yolov8n-640."""
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:63]
    if not name:
        raise ModelError(f"{file}: no name can be made of this: give one with --name")
    return name


def _check(name: str) -> str:
    try:
        return check_name(name, "model name")
    except ValueError as error:
        raise ModelError(str(error)) from error


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
