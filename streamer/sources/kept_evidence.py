"""What a camera's gate has learnt of its packets, kept in the state folder beside its reference view.

Without it a restart would take as long as a few people take to come by. What quiet looks like is learnt anew
within seconds, and is not kept: light and noise are others by then.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from streamer.errors import StorageError
from streamer.ipc.atomic_write import write_atomically
from streamer.sources.urls import split_credentials

FOLDER = "gates"
MAX_BYTES = 10_000


class Evidence(NamedTuple):
    """Whether sizes of packets told of each of those who came last, oldest first, how many times the usual a
    size is from which on it is unusual (None: not known), and whether key frames alone showed those."""

    told: tuple[bool, ...] = ()
    margin: float | None = None
    keys: tuple[bool, ...] = ()


def evidence_path(state_dir: Path, camera: str) -> Path:
    """Where the evidence of `camera` is kept."""
    return state_dir / FOLDER / f"{camera}.json"


def keep_evidence(path: Path, url: str, stream: str, evidence: Evidence) -> None:
    """Write it, for the camera at `url`; `stream` names codec, size and rate. Raises StorageError."""
    document = {"source": _source(url, stream), **evidence._asdict()}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path.parent}: cannot be made: {error.strerror}") from error
    write_atomically(path, json.dumps(document), 0o600)


def kept_evidence(path: Path, url: str, stream: str) -> Evidence:
    """What is kept of the camera at `url` with this stream; nothing of another one.

    Raises StorageError for a file that cannot be read or is damaged.
    """
    try:
        if not path.exists():
            return Evidence()
        document = json.loads(path.read_bytes()[:MAX_BYTES])
        if document["source"] != _source(url, stream):
            return Evidence()
        margin = document["margin"]
        if margin is not None and not (math.isfinite(margin) and margin >= 1.0):
            raise ValueError
        return Evidence(_flags(document["told"]), margin, _flags(document.get("keys", [])))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: is damaged: remove it, and it is learnt anew") from error


def forget_other_evidence(state_dir: Path, cameras: Collection[str]) -> None:
    """Remove what is kept of all but these `cameras`. Raises StorageError."""
    for path in (state_dir / FOLDER).glob("*.json"):
        if path.stem not in cameras:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{path}: cannot be removed: {error.strerror}") from error


def _flags(values: list[object]) -> tuple[bool, ...]:
    return tuple(map(bool, values))


def _source(url: str, stream: str) -> str:
    """Which camera it is, without its credentials, and how it encodes."""
    return hashlib.sha256(f"{split_credentials(url)[0]} {stream}".encode()).hexdigest()[:16]
