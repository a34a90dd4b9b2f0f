"""The model store: weights files, each in a folder of its own with a sidecar that pins its SHA-256.

    models/
        .default                the name of the model used where none is named; none: the one in the package
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
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import check_pinned, sha256_of
from pipelines.registry import PACKAGED_MODEL
from pipelines.rules import check_name
from streamer.errors import ModelError, StorageError
from streamer.models.model_handle import (
    AUTO_INT8,
    MOTION,
    PACKAGED,
    RESERVED,
    SUFFIXES,
    ModelHandle,
    build_detector,
    card_at,
    card_beside,
    check_digest,
    completed_card,
    is_path,
    open_detector,
    packaged,
    suffix_of,
    write_card,
    write_synced,
)

MASKS_TOLD = {
    False: "it can give masks, which are off: with `masks: true` in its sidecar who is hidden in pictures is "
    "hidden by outline, and --render draws it",
    True: "masks are on: who is hidden in pictures is hidden by outline",
}
_SIDECAR, _DEFAULT, _PARTIAL = "model.yaml", ".default", ".partial-"


@dataclass(frozen=True, slots=True)
class Verification:
    """What verify() found: `problem` is empty for a sound model. `torn`: its sidecar cannot be read."""

    name: str
    problem: str
    in_package: bool = False
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as it lies there: `problem` is empty for one whose file is what it was."""

    name: str
    default: bool
    in_package: bool
    handle: ModelHandle | None
    problem: str = ""


class ModelStore:
    """The models under `folder` (usually state_dir/models), which is made when the first one is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        file: Path,
        name: str | None = None,
        *,
        sha256: str | None = None,
        sidecar: Path | None = None,
        first_is_default: bool = True,
    ) -> ModelHandle:
        """Check `file` by loading it and running one frame, then install it.

        The first becomes the default where none was ever chosen, unless told otherwise. `sha256` (64 hex
        digits) is what the file must have. `sidecar` gives classes, groups, score or head; without it a file
        `STEM.yaml` beside the model is used, else the model's own metadata.
        Raises ModelError or StorageError, and leaves nothing behind then.
        """
        card = card_at(sidecar) if sidecar is not None else card_beside(file)
        name = check_free(name if name is not None else name_from(file))
        if sha256 is not None:
            card = card.model_copy(update={"sha256": check_digest(sha256)})
        detector = build_detector("auto", file, card)
        card, told = completed_card(card, detector), _told_by(detector)
        with self._locked():
            if (self.folder / name).exists():
                raise ModelError(
                    f"model {name!r} exists: give another name, or `streamer model remove {name}` first"
                )
            self._install(file, name, card)
            if first_is_default and self.default_name() is None:
                self._write_default(name)
        return replace(self.get(name), told=told)

    def listed(self) -> list[Listed]:
        """The one in the package, unless one of the store has its name, and those of the store; also those
        that are missing, changed or damaged. None is loaded.
        """
        names = self.names()
        listed = names if PACKAGED in names else [PACKAGED, *names]
        return [self._listed(name, name not in names) for name in listed]

    def _listed(self, name: str, in_package: bool) -> Listed:
        handle, default = None, self._is_default(name)
        try:
            handle = packaged(default) if in_package else self.get(name)
            check_pinned(handle.path, handle.card)
        except (ModelError, ModelRefused) as error:
            return Listed(name, default, in_package, handle, str(error))
        return Listed(name, default, in_package, handle)

    def installed(self) -> list[ModelHandle]:
        """All installed models by name. Raises ModelError for a sidecar that cannot be read."""
        return [self.get(name) for name in self.names()]

    def find(self, sha256: str) -> Path | None:
        """The file of the model that has this digest, of the store or in the package, if it is sound."""
        handles = (each.handle for each in self.listed() if each.handle is not None and not each.problem)
        return next((handle.path for handle in handles if handle.card.sha256 == sha256), None)

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.glob("[!.]*") if _weights(p) is not None)

    def get(self, name: str) -> ModelHandle:
        """Raises ModelError if no model has this name or its sidecar cannot be read."""
        folder = self.folder / _check(name)
        weights = _weights(folder)
        if weights is None:
            known = ", ".join(dict.fromkeys((*RESERVED, *self.names())))
            raise ModelError(
                f"no model {name!r} (known: {known}): add one with `streamer model add FILE --name {name}`"
            )
        card = card_at(folder / _SIDECAR)
        if not card.sha256:
            raise ModelError(f"{folder / _SIDECAR}: sha256 is missing: remove the model and add it again")
        return ModelHandle(name, weights, card, self._is_default(name))

    def resolve(self, which: str | Path | None) -> ModelHandle | None:
        """The model meant by a name, a path (with a slash, `.onnx` or `.pt`), or None: the default, which is
        the detector in the package where none was chosen.

        None comes back where the motion detector is meant, which has no weights. Raises ModelError.
        """
        if isinstance(which, Path) or (which is not None and is_path(which)):
            path = Path(which)
            if not path.is_file():
                raise ModelError(f"{path}: no such model file")
            return ModelHandle("", path, card_beside(path))
        name = which if which is not None else self.default_name() or PACKAGED
        if name in RESERVED and name not in self.names():
            return packaged(self._is_default(name)) if name == PACKAGED else None
        return self.get(name)

    def choose(self, engine: str, which: str | Path | None) -> tuple[str, ModelHandle | None]:
        """The engine of the table to run, and the model for it. Raises ModelError.

        The motion detector is chosen by either: as the engine, where no model is named, or as the model.
        """
        engine = "auto" if engine == AUTO_INT8 else engine
        if engine == MOTION and which is None:
            return MOTION, None
        model = self.resolve(which)
        if model is None:
            return MOTION, None
        if engine == MOTION:
            raise ModelError(
                f"the engine is motion, which takes no model: leave {which} out, or choose another engine"
            )
        return engine, model

    def files_of(self, which: str | None) -> list[Path]:
        """The files on which it hangs what resolve() makes of `which`, there or not. Raises StorageError."""
        if which is not None and is_path(which):
            return [Path(which), Path(which).with_suffix(".yaml")]
        name = which if which is not None else self.default_name() or PACKAGED
        folder = self.folder / name
        stored = [self.folder / _DEFAULT, folder / _SIDECAR, *(folder / f"model{s}" for s in SUFFIXES)]
        return [*stored, PACKAGED_MODEL, PACKAGED_MODEL.with_suffix(".yaml")] if name == PACKAGED else stored

    def check_file(self, which: str) -> Detector | None:
        """Load the model at the path `which` and run one frame, as add() does; it may take seconds.

        A name is let through: what is in the store was loaded when it was added. Raises ModelError.
        """
        installed = self.resolve(which) if is_path(which) else None
        return open_detector("auto", installed) if installed is not None else None

    def default_name(self) -> str | None:
        try:
            return (self.folder / _DEFAULT).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"{self.folder / _DEFAULT}: cannot be read: {error}") from error

    def _is_default(self, name: str) -> bool:
        return name == (self.default_name() or PACKAGED)

    def set_default(self, name: str) -> None:
        """Of a model of the store, the one in the package, or motion. Raises ModelError for any other."""
        self.resolve(_check(name))
        with self._locked():
            self._write_default(name)

    def remove(self, name: str) -> None:
        """Raises ModelError if there is no such model. After a removed default the package's one is used."""
        folder = self.folder / _check(name)
        with self._locked():
            if not folder.is_dir():
                if name in RESERVED:
                    raise ModelError(
                        f"{name} comes with the package and stays: `streamer model default NAME` has another "
                        "one used"
                    )
                raise ModelError(f"no model {name!r}: see `streamer model list`")
            if self.default_name() == name:
                (self.folder / _DEFAULT).unlink()
            doomed = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
            folder.rename(doomed / name)
            shutil.rmtree(doomed)

    def verify(self, name: str | None = None) -> list[Verification]:
        """Hash, load and run each model (or the one named), the package's first; raises ModelError only for
        an unknown name.
        """
        names = self.names()
        every = names if PACKAGED in names else [PACKAGED, *names]
        if name is not None and name not in every:
            self.get(name)
        chosen = [name] if name is not None else every
        return [self._verify_one(each, each not in names) for each in chosen]

    def _verify_one(self, name: str, in_package: bool) -> Verification:
        try:
            open_detector("auto", self.resolve(name))
        except ModelError as error:
            return Verification(name, str(error), in_package, not in_package and self._is_torn(name))
        return Verification(name, "", in_package)

    def _is_torn(self, name: str) -> bool:
        try:
            card_at(self.folder / name / _SIDECAR)
        except ModelError:
            return True
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; what a killed one left behind goes. OSError becomes StorageError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for abandoned in self.folder.glob(f"{_PARTIAL}*"):
                    shutil.rmtree(abandoned)
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
        partial = self.folder / ".default-new"
        write_synced(partial, name + "\n")
        partial.replace(self.folder / _DEFAULT)


def _told_by(detector: Detector) -> tuple[str, ...]:
    """How it runs here, and its warnings."""
    description = detector.describe()
    runs = [description["runs"]] if "runs" in description else []
    masks = [MASKS_TOLD[description["masks"]]] if "masks" in description else []
    return (*runs, *masks, *description["warnings"])


def _weights(folder: Path) -> Path | None:
    """The weights in a model's folder, if they are there."""
    return next((p for p in (folder / f"model{suffix}" for suffix in SUFFIXES) if p.is_file()), None)


def check_free(name: str) -> str:
    """`name` if a model may be given it. Raises ModelError."""
    if name in RESERVED:
        raise ModelError(f"model name {name!r} is taken by what comes with the package: give another --name")
    return _check(name)


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
