"""Where the configuration lies, and reading it; api/apply_change.py writes it.

FOLDER/streamer.yaml            written by a person, never by a program
FOLDER/secrets.yaml             0600, written by a person (streamer/config/secrets.py)
FOLDER/cameras.d/NAME.yaml      one camera a file, written by programs and people
FOLDER/cameras.d/.secrets.yaml  0600, written by programs
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.camera_rules import REVISED
from pipelines.rules import NAME_PATTERN, check_name
from streamer.config.partial_config import salvage
from streamer.config.past_names import journeys_today
from streamer.config.schema import CameraConfig, Config
from streamer.config.yaml_reader import read
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import write_atomically
from streamer.ipc.messages import MAX_CAMERAS

log = logging.getLogger(__name__)

FILE_NAME = "streamer.yaml"
SYSTEM_FOLDER = Path("/etc/streamer")
ENVIRONMENT = "STREAMER_CONFIG"
REVISIONS_FILE = "revisions.json"
TOO_MANY = f"a daemon takes {MAX_CAMERAS} cameras at most: remove one, or run another daemon beside it"


Signature = tuple[int, int, int, int]  # inode, size, times of modification and change


class Misconfigured(NamedTuple):
    """Why a camera's file cannot be used, and since when (Unix time) that is known."""

    why: str
    since_ns: int


def user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "streamer"


class ConfigStore:
    """The configuration's folder. Finds it; load() looks anew each time, and parses what is not as it was.

    `path` is a folder or a streamer.yaml; None looks at $STREAMER_CONFIG, /etc/streamer and
    ~/.config/streamer, in this order. Nothing needs to be there until load().
    """

    def __init__(self, path: Path | str | None = None) -> None:
        named = path if path is not None else os.environ.get(ENVIRONMENT) or None
        self.named = named is not None  # rather than found
        self.file = _file_of(Path(named)) if named is not None else _find()
        self.folder = self.file.parent
        self.cameras_dir = self.folder / "cameras.d"
        self._cameras_read: dict[Path, tuple[Signature, CameraConfig]] = {}
        self._settings_read: tuple[Signature, Config] | None = None

    def exists(self) -> bool:
        return self.file.exists()

    def camera_file(self, name: str) -> Path:
        """Raises ConfigError for a name that could reach another path."""
        try:
            return self.cameras_dir / f"{check_name(name, 'camera name')}.yaml"
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def load(self) -> Config:
        """Parse and validate all files. Raises ConfigError with file, line and key."""
        config, faults = self.load_partly()
        for path, fault in faults.items():
            raise self.with_way_out(path, fault)
        return config

    def load_partly(self) -> tuple[Config, dict[Path, ConfigError]]:
        """As load(), with the cameras that can be read, and what is wrong with the files of the others.

        Raises ConfigError for streamer.yaml, and where the folder of cameras cannot be read.
        """
        config, faults = self.settings(), dict[Path, ConfigError]()
        return self._with(config, tuple(self._cameras(faults)), faults), faults

    def _with(self, config: Config, cameras: tuple[CameraConfig, ...], faults: Collection[Path]) -> Config:
        """Journeys name cameras, and no program writes streamer.yaml: who was renamed since is meant."""
        known = {camera.name for camera in cameras} | {path.stem for path in faults}
        journeys = journeys_today(config.journeys, known, config.state_path)
        return config.model_copy(update={"cameras": cameras, "journeys": journeys})

    def load_with(self, name: str) -> tuple[Config, CameraConfig]:
        """As load_partly(), and one of its cameras. Raises ConfigError also for what is wrong with that
        camera's own file, or with the names that exist.
        """
        config, faults = self.load_partly()
        return config, self.sound_camera(config, faults, name)

    def sound_camera(self, config: Config, faults: Mapping[Path, ConfigError], name: str) -> CameraConfig:
        """The camera `name` of what load_partly() found. Raises ConfigError."""
        fault = faults.get(self.camera_file(name))
        if fault is not None:
            raise self.with_way_out(self.camera_file(name), fault)
        return config.known_camera(name)

    def with_way_out(self, path: Path, fault: ConfigError) -> ConfigError:
        """What is wrong with a file of cameras.d, and what to do about one that is a camera's."""
        return ConfigError(f"{fault}; {way_out(path)}") if is_camera_file(path) else fault

    def load_readable(self) -> tuple[Config, list[ConfigError]]:
        """As load(), for who only looks: what can be used of it, and what is wrong with the rest.

        Where there is no file it is the usual configuration, without cameras.
        """
        faults: list[ConfigError] = []
        try:
            config = self.settings()
        except ConfigError as error:
            if self.exists():
                faults.append(error)
            config = self._complete(salvage(self.file) if faults else Config())
        broken: dict[Path, ConfigError] = {}
        try:
            cameras = tuple(self._cameras(broken))
        except ConfigError as error:
            return config, [*faults, error]
        faults += [self.with_way_out(path, fault) for path, fault in broken.items()]
        return self._with(config, cameras, broken), faults

    def settings(self) -> Config:
        """streamer.yaml alone, without cameras. Raises ConfigError with file, line and key."""
        if not self.exists():
            raise self.missing()
        signature = _signature(self.file)
        if self._settings_read is None or self._settings_read[0] != signature:
            self._settings_read = signature, self._parse_settings()
        return self._complete(self._settings_read[1])

    def _parse_settings(self) -> Config:
        document = read(self.file, advice="remove it, and `streamer init` writes a commented one")
        if "cameras" in document.data:
            raise document.error(("cameras",), f"cameras live in {self.cameras_dir}/NAME.yaml, one file each")
        return document.check(Config)

    def missing(self) -> ConfigError:
        """What to say where there is no streamer.yaml."""
        hint = (
            f"; the service's, in {SYSTEM_FOLDER}, is for sudo and the group streamer"
            if _closed(SYSTEM_FOLDER)
            else ""
        )
        return ConfigError(
            f"no configuration at {self.file}: write one with `streamer init`, or use --config{hint}"
        )

    def _complete(self, config: Config) -> Config:
        return config.model_copy(
            update={
                "state_dir": config.state_dir or self.default_state_dir(),
                "runtime_dir": config.runtime_dir or self.default_runtime_dir(),
            }
        )

    def _cameras(self, faults: dict[Path, ConfigError]) -> Iterator[CameraConfig]:
        """What is wrong with one is put into `faults`."""
        count = 0
        for path in self._camera_files():
            try:
                camera = self._camera(path)
            except ConfigError as error:
                faults[path] = error
                continue
            count += 1
            if count > MAX_CAMERAS:
                faults[path] = ConfigError(f"{path}: {TOO_MANY}")
            else:
                yield camera

    def _camera_files(self) -> list[Path]:
        try:
            paths = sorted(self.cameras_dir.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"{self.cameras_dir}: cannot be read: {error.strerror}") from error
        self._cameras_read = {path: entry for path, entry in self._cameras_read.items() if path in paths}
        return [path for path in paths if not path.name.startswith(".")]

    def files(self) -> list[Path]:
        """Those that it is read from now, credentials aside; what cannot be listed is left out."""
        with suppress(ConfigError):
            return [self.file, *self._camera_files()]
        return [self.file]

    def _camera(self, path: Path) -> CameraConfig:
        """As load_camera; a file that is as it was is not parsed again, 4 ms a camera in a daemon's loop."""
        signature = _signature(path)
        before = self._cameras_read.get(path)
        if before is None or before[0] != signature:
            before = self._cameras_read[path] = (signature, self.load_camera(path))
        return before[1]

    def broken_cameras(self) -> dict[str, ConfigError]:
        """By their names, what is wrong with cameras that load_readable() leaves out."""
        faults: dict[Path, ConfigError] = {}
        with suppress(ConfigError):  # of the whole folder
            list(self._cameras(faults))
        return {
            path.stem: self.with_way_out(path, fault)
            for path, fault in faults.items()
            if is_camera_file(path)
        }

    def load_camera(self, path: Path) -> CameraConfig:
        """One file of cameras.d. Raises ConfigError; its name and the name inside must agree."""
        if path.suffix != ".yaml":
            raise ConfigError(f"{path}: only NAME.yaml files belong into {self.cameras_dir}: move it away")
        if path != self.camera_file(path.stem):
            raise ConfigError(f"{path}: not a camera file of {self.cameras_dir}")
        advice = f"a camera needs the lines `name: {path.stem}` and `url: …`"
        document = read(path, advice=advice)
        camera = document.check(CameraConfig)
        if camera.name != path.stem:
            raise document.error(
                ("name",), f"is {camera.name!r} but the file is {path.name}: make them agree"
            )
        return camera

    # The daemon of a system and its group's members find the same folders, whoever they are.

    def default_state_dir(self) -> Path:
        if self._is_system():
            return Path("/var/lib/streamer")
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "streamer"

    def default_runtime_dir(self) -> Path:
        if self._is_system():
            return Path("/run/streamer")
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        return Path(runtime) / "streamer" if runtime else self.default_state_dir() / "run"

    def _is_system(self) -> bool:
        return os.geteuid() == 0 or self.folder == SYSTEM_FOLDER


def _signature(path: Path) -> Signature:
    """By which a file that is as it was is known. Raises ConfigError."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _file_of(path: Path) -> Path:
    path = Path(os.path.abspath(path.expanduser()))
    return path if path.suffix in (".yaml", ".yml") and not path.is_dir() else path / FILE_NAME


def is_camera_file(path: Path) -> bool:
    """Whether it is, by its name, a camera's of that name."""
    return path.suffix == ".yaml" and re.match(NAME_PATTERN, path.stem) is not None


def way_out(path: Path) -> str:
    """What a person does about a camera's file that cannot be used."""
    if path.is_dir():
        return "a folder is no camera: move it away"
    return f"mend the file, or remove it: `streamer camera remove {path.stem}`"


def _find() -> Path:
    """The first that is there; else the one that `streamer init` would write."""
    candidates = [SYSTEM_FOLDER / FILE_NAME, user_folder() / FILE_NAME]
    for candidate in candidates:
        if not _closed(candidate.parent) and candidate.exists():
            return candidate
    return candidates[0] if os.geteuid() == 0 else candidates[1]


def _closed(folder: Path) -> bool:
    """Whether `folder` is there and shut to this user, as the service's is to who is not in its group."""
    return folder.is_dir() and not os.access(folder, os.X_OK, effective_ids=True)


# ---- revisions


def revise(config: Config, state_dir: Path, floor: int = 0) -> tuple[Config, int]:
    """`config` with the revision of each line and zone set, and the revision of the whole.

    Both rise when the content changes and are kept in `state_dir`: a line's revision is that of the
    configuration that last moved it. `floor` is the highest revision known elsewhere (the ledger's), which
    a lost file must not fall behind. Raises StorageError.
    """
    path = state_dir / REVISIONS_FILE
    stored = read_revisions(path)
    digest = _digest(config.model_dump(mode="json", exclude={"state_dir", "runtime_dir"}))
    if stored["digest"] == digest and stored["rev"] >= floor:
        rev = stored["rev"]
    else:
        rev = max(stored["rev"], floor) + 1
    rules: dict[str, dict[str, Any]] = {}

    def stamped(camera: str, kind: str, item: Any) -> Any:
        key, content = f"{camera}/{kind}/{item.name}", digest_of_rule(item)
        before = stored["rules"].get(key)
        rules[key] = before if before and before["digest"] == content else {"rev": rev, "digest": content}
        return item.model_copy(update={"rev": rules[key]["rev"]})

    cameras = []
    for camera in config.cameras:
        revised = {
            kind: tuple(stamped(camera.name, word, item) for item in getattr(camera.rules, kind))
            for kind, word in REVISED.items()
        }
        ruled = camera.rules.model_copy(update=revised)
        cameras.append(camera.model_copy(update={"rules": ruled}))
    current = {"rev": rev, "digest": digest, "rules": rules}
    if current != stored:
        write_atomically(path, json.dumps(current, indent=1) + "\n", 0o640)
    return config.model_copy(update={"cameras": tuple(cameras)}), rev


def read_revisions(path: Path) -> dict[str, Any]:
    """What revise() keeps; a file that is missing or damaged is an empty one. Raises StorageError."""
    empty: dict[str, Any] = {"rev": 0, "digest": "", "rules": {}}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        whole = (
            isinstance(stored["rev"], int)
            and isinstance(stored["digest"], str)
            and all(
                isinstance(r["rev"], int) and isinstance(r["digest"], str) for r in stored["rules"].values()
            )
        )
    except FileNotFoundError:
        return empty
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        log.warning("%s is damaged: lines and zones start new totals under a new revision", path)
        return empty
    return dict(stored)


def digest_of_rule(item: Any) -> str:
    """Of all that a rule says but its revision."""
    return _digest(item.model_dump(mode="json", exclude={"rev"}))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
