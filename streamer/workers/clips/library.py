"""The clips that there are: a folder with a file of each and, beside it, what is known of it as JSON.

A clip is there when both are. The JSON is written last and whole, so that after a kill at any moment a file
without one is a leftover, and goes; so does what lies under `.partial`, where files are made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from streamer.api.explain import parse_id
from streamer.config.clip_settings import ClipsConfig, People
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import sync_folder, write_atomically

PARTIAL = ".partial"
MEDIA = (".mp4", ".mkv")
Reason = Literal["age", "room", "asked", "missing"]  # why a clip was removed; missing: by somebody else
REASONS: tuple[Reason, ...] = get_args(Reason)
MODE = 0o600  # pictures: for the daemon's user alone, who hands them out
MIN_FREE_MB = 1  # a disk with less is full
CHUNK = 1 << 20


class Clip(msgspec.Struct):
    """One clip that is there. `clip` is its id, `event` that of the event it is of, `file` its name in the
    folder; times are Unix time in nanoseconds. `seq` numbers the event that told of it, 0: not told yet."""

    clip: str
    event: str
    camera: str
    from_ns: int
    to_ns: int
    file: str
    bytes: int
    sha256: str
    people: People
    codec: str
    made_ns: int
    note: str = ""
    seq: int = 0

    def as_dict(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


class Library:
    """The clips in `folder`. Raises StorageError where the folder cannot be used; `half_made` says how many
    were found so, `removed` how many went, by reason."""

    def __init__(self, folder: Path, settings: ClipsConfig) -> None:
        self.folder, self.settings = folder, settings
        self.clips: dict[str, Clip] = {}
        self.half_made = 0
        self.removed = dict.fromkeys(REASONS, 0)
        self._prepare()
        self._read()

    @property
    def partial(self) -> Path:
        return self.folder / PARTIAL

    @property
    def bytes(self) -> int:
        return sum(clip.bytes for clip in self.clips.values())

    def status(self) -> dict[str, Any]:
        """Plain JSON."""
        size = {"bytes": self.bytes, "max_bytes": self.settings.max_bytes}
        return {"clips": len(self.clips), **size, "removed": self.removed, "half_made": self.half_made}

    def find(self, text: str) -> Clip:
        """The clip of an event, or by its own id. Raises ConfigError, UnknownEvent."""
        if (clip := self.clips.get(text)) is not None:
            return clip
        asked = parse_id(text)
        end = f"-{asked.lineage}-{asked.seq}" if asked.lineage else f"-{asked.seq}"
        found = [c for c in self.clips.values() if c.camera == asked.camera and c.clip.endswith(end)]
        if not found:
            raise ConfigError(
                f"there is no clip of {text[:80]}: `streamer clip list` has those that there are"
            )
        return max(found, key=lambda clip: clip.made_ns)

    def _prepare(self) -> None:
        """A folder that was asked for is not made: one that is not mounted would fill the disk below it."""
        try:
            if self.settings.folder is None:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check_there()
            if self.partial.exists():
                self.half_made += sum(path.suffix in MEDIA for path in self.partial.iterdir())
                shutil.rmtree(self.partial)
            self.partial.mkdir(mode=0o700)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def check_there(self) -> None:
        """Raise StorageError where the folder is gone, or not mounted."""
        if not self.folder.is_dir():
            raise StorageError(f"{self.folder}: no such folder: make it, or mount it (clips.folder)")

    def _read(self) -> None:
        try:
            paths = sorted(self.folder.iterdir())
        except OSError as error:
            raise _unusable(self.folder, error) from error
        for path in paths:
            if path.suffix == ".json" and (clip := _clip_of(path)) is not None:
                self.clips[clip.clip] = clip
        known = {clip.file for clip in self.clips.values()}
        for path in paths:
            if path.suffix in MEDIA and path.name not in known and _is_ours(path):
                self.half_made += 1
                path.unlink(missing_ok=True)

    def check_room(self) -> None:
        """Raise StorageError where no clip may be begun now."""
        if not self.settings.max_bytes:
            raise StorageError("clips.max_gb is 0: there is no room for a clip: raise it in streamer.yaml")
        try:
            free = shutil.disk_usage(self.folder).free
            os.stat(self.partial)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        leave_mb = max(self.settings.min_free_mb, MIN_FREE_MB)
        if free < leave_mb << 20:
            raise StorageError(
                f"{self.folder}: {free >> 20} MB are free, and clips leave {leave_mb} MB "
                "(clips.min_free_mb): make room"
            )

    def add(self, clip: Clip, made: Path) -> Clip:
        """Take the finished file `made`; what is over the budget goes, the oldest first. Raises StorageError,
        and then there is none."""
        size = made.stat().st_size
        if size > self.settings.max_bytes:
            made.unlink(missing_ok=True)
            raise StorageError(
                f"the clip takes {size / 1e6:.1f} MB, more than clips.max_gb: raise it in streamer.yaml"
            )
        clip.bytes, clip.sha256, clip.file = size, _digest(made), f"{clip.clip}{made.suffix}"
        self._make_room(size)
        path = self.folder / clip.file
        try:
            made.chmod(MODE)
            made.replace(path)
            sync_folder(self.folder)
            self._note(clip)
        except (OSError, StorageError) as error:
            path.unlink(missing_ok=True)
            made.unlink(missing_ok=True)
            raise error if isinstance(error, StorageError) else _unusable(self.folder, error) from error
        self.clips[clip.clip] = clip
        return clip

    def told(self, name: str, seq: int) -> None:
        """The event `seq` has told of it. Raises StorageError."""
        if (clip := self.clips.get(name)) is not None:
            clip.seq = seq
            self._note(clip)

    def path_of(self, clip: Clip) -> Path:
        """Raise StorageError where somebody else has removed the file; then the clip is no more."""
        path = self.folder / clip.file
        if not path.is_file():
            self.remove([clip], "missing")
            raise StorageError(f"{path}: is gone: somebody has removed it")
        return path

    def remove(self, clips: Iterable[Clip], reason: Reason) -> None:
        """Raises StorageError. The file goes before what is known of it."""
        for clip in clips:
            try:
                (self.folder / clip.file).unlink(missing_ok=True)
                (self.folder / f"{clip.clip}.json").unlink(missing_ok=True)
            except OSError as error:
                raise _unusable(self.folder, error) from error
            self.clips.pop(clip.clip, None)
            self.removed[reason] += 1

    def expire(self) -> None:
        """Remove what is too old. Raises StorageError."""
        oldest_ns = time.time_ns() - int(self.settings.max_days * 86_400e9)
        self.remove([clip for clip in self.clips.values() if clip.made_ns < oldest_ns], "age")
        self._make_room(0)

    def _make_room(self, size: int) -> None:
        by_age = sorted(self.clips.values(), key=lambda clip: clip.made_ns)
        while by_age and self.bytes + size > self.settings.max_bytes:
            self.remove([by_age.pop(0)], "room")

    def _note(self, clip: Clip) -> None:
        write_atomically(self.folder / f"{clip.clip}.json", json.dumps(clip.as_dict()), MODE)


def _clip_of(path: Path) -> Clip | None:
    """None: it is none of ours, or its file is gone."""
    try:
        clip = msgspec.json.decode(path.read_bytes(), type=Clip)
    except (OSError, msgspec.DecodeError):
        return None
    ours = clip.clip == path.stem and clip.file in {f"{path.stem}{suffix}" for suffix in MEDIA}
    return clip if ours and (path.parent / clip.file).is_file() else None


def _is_ours(path: Path) -> bool:
    """Whether its name is a clip's: CAMERA-LINEAGE-SEQ. What else lies in the folder is not touched."""
    parts = path.stem.rsplit("-", 2)
    return len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit()


def _digest(path: Path) -> str:
    """Raises StorageError. What was hashed is on the disk then."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
            os.fsync(file.fileno())
    except OSError as error:
        raise _unusable(path, error) from error
    return digest.hexdigest()


def _unusable(place: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{place}: cannot be used for clips: {error.strerror or error}: mend that, or clips.folder"
    )
