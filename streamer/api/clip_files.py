"""Which clips a change may name that is asked of a running daemon.

The daemon opens them with rights that who asks may not have. So what is asked for by somebody else than root
and the daemon's own user may name files of the folders in `sources.files` alone, and nobody a file of the
system's or the daemon's own folders. A clip that the camera has already is not asked for anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from streamer.api.callers import Caller
from streamer.config.schema import CameraConfig, Config
from streamer.errors import ConfigError
from streamer.sources.limits import HOW_FILES, lies_in
from streamer.sources.urls import path_of, scheme_of

# No clip lies there; what does is the system's, or somebody's secret.
SYSTEM_FOLDERS = ("/etc", "/proc", "/sys", "/dev", "/boot", "/run/credentials", "/run/secrets")


def check_clip(config: Config, before: CameraConfig | None, camera: CameraConfig, caller: Caller) -> None:
    """Raise ConfigError where `camera` has a clip that it did not have `before` and `caller` may not name."""
    if scheme_of(camera.url) != "file" or (before is not None and before.url == camera.url):
        return
    try:
        _check(path_of(camera.url), config, caller)
    except ConfigError as error:
        raise ConfigError(f"camera {camera.name}: url: {error}") from None


def _check(path: Path, config: Config, caller: Caller) -> None:
    found = Path(os.path.realpath(path))
    folders = config.sources.limits.files
    own = map(str, (config.state_path, config.runtime_path))
    if lies_in(found, [*SYSTEM_FOLDERS, *own]):
        raise ConfigError(f"{path}: is the system's or the daemon's own, and no clip: give a video file")
    if folders is None and not caller.owns_the_daemon:
        raise ConfigError(
            f"{path}: only root and the daemon's own user may name a clip of any folder: for all who may "
            "change cameras, root names its folder in sources.files of streamer.yaml"
        )
    _check_folders(found, path, folders)


def _check_folders(found: Path, path: Path, folders: Sequence[str] | None) -> None:
    if folders is not None and not lies_in(found, folders):
        raise ConfigError(f"{path}: clips may not lie there: {HOW_FILES}")
