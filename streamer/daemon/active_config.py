"""The configuration that the daemon runs by: taken over at the start, by a change, or read anew.

At the start a camera whose file cannot be used is left out, as are cameras and sinks whose secrets may be in
what cannot be read of a file of secrets, and everything else runs. Later, what is read
anew is taken over whole or not at all. A camera that runs goes on as it was while its file is broken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from streamer.api.apply_change import apply_change
from streamer.api.callers import Caller
from streamer.api.changes import AnyChange
from streamer.config.past_names import read_renames
from streamer.config.schema import CameraConfig, Config
from streamer.config.secrets import SecretStore, secret_files
from streamer.config.store import ConfigStore, Misconfigured, is_camera_file, revise
from streamer.errors import ConfigError, ModelError, NotApplied, StorageError, StreamerError
from streamer.ipc.messages import MAX_CAMERAS
from streamer.models.camera_check import check_camera, model_files, pipeline_of
from streamer.models.file_fingerprint import Fingerprint, fingerprints_of

log = logging.getLogger(__name__)

MAX_WARNINGS = 20

Broken = Mapping[Path, ConfigError]
Check = Callable[[Config, CameraConfig], object]


class ActiveConfig:
    """`config` with its revision `rev` and the `secrets` that belong to it; `misconfigured` are the cameras
    that are not in it since their files cannot be used. `warnings` say what of the files is not in force, and
    `renames` what was called otherwise before.
    """

    def __init__(self, store: ConfigStore) -> None:
        """Read it for the first time. Raises StreamerError for what holds for all cameras."""
        self._store = store
        config, broken = store.load_partly()
        self.secrets = SecretStore(store, partly=True)
        self.misconfigured: Mapping[str, Misconfigured] = {}
        config, broken = self._usable(config, broken, self.secrets, check_camera)
        self.config, self.rev = revise(config, config.state_path)
        self.renames = read_renames(config.state_path)
        self._refused = ""
        self._watched: tuple[list[Path], tuple[Fingerprint, ...]] = [], ()  # what is awaited to change
        self._leave_out(broken, self.secrets.faults)
        for name, fault in self.misconfigured.items():
            log.error("camera %s is misconfigured and left out: %s", name, fault.why)

    @property
    def warnings(self) -> list[str]:
        return [self._refused] if self._refused else self._left_out

    def change(self, change: AnyChange, caller: Caller | None = None) -> None:
        """Validate, write and take over a change. Raises StreamerError; then nothing has changed, but for
        NotApplied: then the files have, and the configuration in force has not.
        """
        apply_change(self._store, change, caller)
        try:
            config, broken = self._store.load_partly()
            secrets = SecretStore(self._store)
            self._take(*self._usable(config, broken, secrets, _check_pipeline), secrets)
        except StreamerError as error:
            self._refuse(error)
            raise NotApplied(error) from error

    def reload(self) -> bool:
        """Read the files anew. Those that cannot be used change nothing, and `warnings` say why."""
        files = [*self._store.files(), *secret_files(self._store)]
        fingerprints = fingerprints_of(files)  # before: what changes meanwhile is worth another try
        self._watch([], ())
        try:
            config = self._store.load()
            secrets = SecretStore(self._store)
            self._check(config, secrets)
            self._take(config, {}, secrets)
        except StreamerError as error:
            if isinstance(error, ConfigError | StorageError):
                self._watch(files, fingerprints)
            self._refuse(error)
            return False
        log.info("config_rev %d: read anew", self.rev)
        return True

    def healed(self) -> bool:
        """Whether files that kept something out of force are not what they were then."""
        files, fingerprints = self._watched
        return bool(files) and fingerprints_of(files) != fingerprints

    def _refuse(self, error: StreamerError) -> None:
        self._refused = f"the configuration on disk is not in force: {error}"
        log.error("%s", self._refused)

    def _watch(self, files: list[Path], fingerprints: tuple[Fingerprint, ...]) -> None:
        self._watched = files, fingerprints

    def _check_sinks(self, config: Config) -> None:
        """A sink that is in force goes on, whatever has become of its place. Raises StorageError."""
        for sink in config.event_sinks:
            if sink not in self.config.event_sinks and (fault := sink.fault()):
                raise StorageError(f"sink {sink.name}: {fault}")

    def _check(self, config: Config, secrets: SecretStore) -> None:
        files = model_files(config)
        fingerprints = fingerprints_of(files)
        try:
            for camera in config.cameras:
                check_camera(config, camera)
                secrets.url(camera)
        except ModelError:
            self._watch(files, fingerprints)
            raise

    def _usable(
        self, config: Config, broken: Broken, secrets: SecretStore, check: Check
    ) -> tuple[Config, dict[Path, ConfigError]]:
        """`config` without the cameras that `check` refuses, and these with the `broken`. What is wrong with
        a model or a disk is no fault of a camera's file.
        """
        faulty, usable = dict(broken), []
        for camera in config.cameras:
            try:
                check(config, camera)
                secrets.url(camera)
            except ConfigError as error:
                faulty[self._store.camera_file(camera.name)] = error
                continue
            except StreamerError as error:
                log.warning("%s", error)
            usable.append(camera)
        return config.model_copy(update={"cameras": tuple(usable)}), faulty

    def _take(self, config: Config, broken: Broken, secrets: SecretStore) -> None:
        """A camera whose file is `broken` stays as it is. Raises StorageError; then nothing has changed."""
        self._check_sinks(config)
        unchanged = [
            camera for camera in self.config.cameras if self._store.camera_file(camera.name) in broken
        ]
        # Folders are where this process stands, and a camera that changed its inference worker could have
        # its numbers given out by two for a moment: these change at the next start.
        workers = self.config.inference.workers
        config = config.model_copy(
            update={
                "state_dir": self.config.state_path,
                "runtime_dir": self.config.runtime_path,
                "inference": config.inference.model_copy(update={"workers": workers}),
                "cameras": tuple(sorted((*config.cameras, *unchanged), key=lambda camera: camera.name)),
            }
        )
        self.config, self.rev = revise(config, self.config.state_path)
        self.renames = read_renames(self.config.state_path)
        self.secrets, self._refused = secrets, ""
        self._leave_out(broken)

    def _leave_out(self, broken: Broken, secrets: Broken = MappingProxyType({})) -> None:
        """Note what is not in force, and wait for it to be mended; `secrets` are files of these."""
        before = self.misconfigured
        running = {camera.name for camera in self.config.cameras}
        free = MAX_CAMERAS - len(running)
        names = [path.stem for path in sorted(broken) if is_camera_file(path) and path.stem not in running]
        why = {name: str(broken[self._store.camera_file(name)]) for name in names[:free]}
        self.misconfigured = {name: _since(before.get(name), text) for name, text in why.items()}
        faulty = {**secrets, **broken}
        self._left_out = list(_file_warnings(faulty))
        self._watch(list(faulty), fingerprints_of(faulty))


def _check_pipeline(_config: Config, camera: CameraConfig) -> None:
    """The least that a camera needs to be run. Raises ConfigError."""
    pipeline_of(camera)


def _since(before: Misconfigured | None, why: str) -> Misconfigured:
    return before if before is not None and before.why == why else Misconfigured(why, time.time_ns())


def _file_warnings(broken: Broken) -> Iterable[str]:
    """That these files are not in force, as all others are, and why."""
    for path, error in list(broken.items())[:MAX_WARNINGS]:
        partly = "all " if "secrets.yaml" in path.name else ""  # of which every other entry is
        yield f"{path.name} is not {partly}in force: {error}"
    if len(broken) > MAX_WARNINGS:
        more = len(broken) - MAX_WARNINGS
        yield f"and {more} more files are not in force: `streamer run --check` names them"
