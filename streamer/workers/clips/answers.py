"""What the clips worker answers: which clips there are, and their files piece by piece."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamer.workers.clips.library import Clip, Library

PART_BYTES = 2 << 20  # of a file in one answer


def described(clip: Clip, library: Library) -> dict[str, Any]:
    """Plain JSON."""
    return {**clip.as_dict(), "path": str(library.folder / clip.file)}


def listed(library: Library, making: Iterable[dict[str, Any]], camera: str) -> dict[str, Any]:
    """Newest first; of one camera, or of all. Raises StorageError where the folder is gone."""
    library.check_there()
    clips = sorted(library.clips.values(), key=lambda clip: -clip.made_ns)
    return {
        "clips": [described(clip, library) for clip in clips if camera in ("", clip.camera)],
        "making": [each for each in making if camera in ("", each["camera"])],
        "bytes": library.bytes,
        "max_bytes": library.settings.max_bytes,
        "folder": str(library.folder),
    }


def part_of(path: Path, offset: int) -> dict[str, Any]:
    """A piece of the file from `offset` on, in base64; `left` bytes follow it. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(offset)
        piece = file.read(PART_BYTES)
    name, left = path.name, max(0, size - offset - len(piece))
    return {"name": name, "data_base64": base64.b64encode(piece).decode(), "left": left}
