"""The configuration that the daemon runs by: taken over whole or not at all, at the start, by a change that
was asked for, or read anew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from streamer.api.apply_change import apply_change
from streamer.api.change_schema import AnyChange
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore, revise
from streamer.errors import ConfigError, ModelError, StreamerError
from streamer.models.camera_check import check_camera, model_files
from streamer.models.file_fingerprint import Mark, marks_of

log = logging.getLogger(__name__)


class InForce:
    """`config` with its revision `rev` and the `secrets` that belong to it; `refused` says why the files as
    they are now are not in force.
    """

    def __init__(self, store: ConfigStore, config: Config) -> None:
        """Raises StreamerError."""
        self._store = store
        self.config, self.rev = revise(config, config.state_path)
        self.secrets = SecretStore(store)
        self.refused = ""
        self._waiting_for: tuple[list[Path], tuple[Mark, ...]] = [], ()  # files of models, as they were

    def change(self, wanted: AnyChange) -> None:
        """Validate, write and take over a change. Raises StreamerError; then nothing has changed."""
        apply_change(self._store, wanted)
        self._take(*self._store.load_partly())

    def reload(self) -> bool:
        """Read the files anew. Those that cannot be used change nothing, and `refused` says why."""
        self._waiting_for = [], ()
        try:
            config = self._store.load()
            self._check(config)
            self._take(config, {})
        except StreamerError as error:
            self.refused = f"the configuration on disk is not in force: {error}"
            log.error("%s", self.refused)
            return False
        log.info("config_rev %d: read anew", self.rev)
        return True

    def healed(self) -> bool:
        """Whether a reload was refused for a model, and files of models are not what they were then."""
        files, marks = self._waiting_for
        return bool(files) and marks_of(files) != marks

    def _check(self, config: Config) -> None:
        files = model_files(config)
        marks = marks_of(files)  # before: what changes meanwhile is worth another try
        try:
            for camera in config.cameras:
                check_camera(config, camera)
        except ModelError:
            self._waiting_for = files, marks
            raise

    def _take(self, config: Config, broken: Mapping[Path, ConfigError]) -> None:
        """A camera whose file is `broken` stays as it is."""
        secrets = SecretStore(self._store)
        kept = [camera for camera in self.config.cameras if self._store.camera_file(camera.name) in broken]
        # Folders are where this process stands, and a camera that changed its inference worker could have
        # its numbers given out by two for a moment: these change at the next start.
        workers = self.config.inference.workers
        config = config.model_copy(
            update={
                "state_dir": self.config.state_path,
                "runtime_dir": self.config.runtime_path,
                "inference": config.inference.model_copy(update={"workers": workers}),
                "cameras": tuple(sorted((*config.cameras, *kept), key=lambda camera: camera.name)),
            }
        )
        self.config, self.rev = revise(config, self.config.state_path)
        self.secrets, self._waiting_for = secrets, ([], ())
        self.refused = _of_broken(broken)


def _of_broken(broken: Mapping[Path, ConfigError]) -> str:
    """That these files are not in force, as all others are; what is wrong with the first of them."""
    if not broken:
        return ""
    names = ", ".join(path.name for path in broken)
    return f"{names} {'is' if len(broken) == 1 else 'are'} not in force: {next(iter(broken.values()))}"
