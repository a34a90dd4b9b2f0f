"""A camera's reference view, kept in the state folder: what its lines were drawn on, as features.

No picture is kept: the descriptors say which of a few hundred pairs of pixels was the brighter one around
each corner (pipelines/scene/view.py). The file is the daemon's alone all the same, 0600.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from pipelines.scene.view import View
from streamer.errors import StorageError
from streamer.ipc.atomic_write import write_atomically
from streamer.sources.urls import split_credentials

FOLDER = "views"
MAX_BYTES = 1_000_000
DESCRIPTOR_BYTES = 32


def view_path(state_dir: Path, camera: str) -> Path:
    """Where the view of `camera` is kept."""
    return state_dir / FOLDER / f"{camera}.json"


def keep_view(path: Path, url: str, view: View) -> None:
    """Write it, for the camera at `url`. Raises StorageError."""
    document = {
        "source": _source(url),
        "aspect": view.aspect,
        "points": base64.b64encode(view.points_xyw.astype("<f4").tobytes()).decode(),
        "descriptors": base64.b64encode(view.descriptors.tobytes()).decode(),
    }
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path.parent}: cannot be made: {error.strerror}") from error
    write_atomically(path, json.dumps(document), 0o600)


def kept_view(path: Path, url: str) -> View | None:
    """The view that is kept for the camera at `url`; None where there is none, or it is of another camera.

    Raises StorageError for a file that cannot be read or is damaged.
    """
    try:
        if not path.exists():
            return None
        document = json.loads(path.read_bytes()[:MAX_BYTES])
        if document["source"] != _source(url):
            return None
        points = np.frombuffer(base64.b64decode(document["points"]), "<f4").reshape(-1, 2)
        descriptors = np.frombuffer(base64.b64decode(document["descriptors"]), np.uint8)
        view = View(points, descriptors.reshape(len(points), DESCRIPTOR_BYTES), float(document["aspect"]))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: is damaged: remove it, and the view of today is kept") from error
    return view


def forget_view(path: Path) -> None:
    """Remove it, if it is there. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be removed: {error.strerror}") from error


def view_text(path: Path) -> str | None:
    """What is kept there, for a change that renames or removes its camera; None where there is nothing, or
    nothing that this user may see: then the daemon forgets it when it starts. Raises StorageError."""
    try:
        return path.read_text("utf-8", errors="replace")
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error


def forget_other_views(state_dir: Path, cameras: Collection[str]) -> None:
    """Remove the views of all but these `cameras`. Raises StorageError."""
    for path in (state_dir / FOLDER).glob("*.json"):
        if path.stem not in cameras:
            forget_view(path)


def _source(url: str) -> str:
    """Which camera it is, without its credentials."""
    return hashlib.sha256(split_credentials(url)[0].encode()).hexdigest()[:16]
