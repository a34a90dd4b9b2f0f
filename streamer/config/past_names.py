"""The renames that the state folder keeps, and what a name of earlier is today."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from pathlib import Path

from pipelines.journeys.spec import JourneySpec
from streamer.errors import StorageError
from streamer.ipc.rename import Rename

log = logging.getLogger(__name__)

RENAMES_FILE = "renames.json"


def read_renames(state_dir: Path) -> tuple[Rename, ...]:
    """All that are kept, in their order. Raises StorageError."""
    path = state_dir / RENAMES_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        found = [Rename(*row) for row in rows]
        if all(_is_sound(rename) for rename in found):
            return tuple(found)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError):
        pass
    log.warning("%s is damaged: renames that the ledger does not know yet are lost", path)
    return ()


def journeys_today(journeys: JourneySpec, known: Collection[str], state_dir: Path) -> JourneySpec:
    """With the names that its cameras have now: one that is not `known` is what its camera was renamed to,
    if that is kept and may be read. As it stands where two of them are one by now."""
    if set(journeys.cameras) <= set(known):
        return journeys
    try:
        renames = read_renames(state_dir)
    except StorageError:
        return journeys
    today = {name: followed(name, known, renames) for name in journeys.cameras}
    if len(set(today.values())) < len(today):
        return journeys
    pairs = (
        pair.model_copy(update={"cameras": tuple(today[name] for name in pair.cameras)})
        for pair in journeys.between
    )
    return journeys.model_copy(update={"cameras": tuple(today.values()), "between": tuple(pairs)})


def followed(name: str, known: Collection[str], renames: Iterable[Rename]) -> str:
    """What the camera that was called `name` is called now; `name` where that is `known`, or nobody knows."""
    if name in known:
        return name
    today = name
    for rename in renames:
        if rename.kind == "camera" and rename.old == today:
            today = rename.new
    return today if today in known else name


def _is_sound(rename: Rename) -> bool:
    names = (rename.kind, rename.camera, rename.old, rename.new)
    return all(isinstance(name, str) for name in names) and all(
        isinstance(number, int) for number in (rename.rev, rename.at_ns)
    )
