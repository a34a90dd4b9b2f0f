"""Which sources a change may name that is asked of a running daemon.

The daemon opens clips with rights that who asks may not have. So what is asked for by somebody else than root
and the daemon's own user may name files of the folders in `sources.files` alone, and nobody a file of the
system's or the daemon's own folders. A camera's address is refused here where it is a forbidden one as it
stands; what a name stands for is judged when it is opened (sources/limits.py). What the camera has already is
not asked for anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from streamer.api.callers import Caller
from streamer.config.schema import CameraConfig, Config
from streamer.errors import ConfigError
from streamer.sources.limits import HOW_FILES, HOW_NETWORKS, lies_in, written_address
from streamer.sources.urls import host_and_port, lookup_scheme, path_of

# No clip lies there; what does is the system's, or somebody's secret.
SYSTEM_FOLDERS = ("/etc", "/proc", "/sys", "/dev", "/boot", "/run/credentials", "/run/secrets")


def check_source(config: Config, before: CameraConfig | None, camera: CameraConfig, caller: Caller) -> None:
    """Raise ConfigError for a source that `camera` did not have `before` and `caller` may not name."""
    _check_authority(before, camera, caller)
    if before is not None and before.url == camera.url:
        return
    try:
        if lookup_scheme(camera.url).local:
            _check_clip(path_of(camera.url), config, caller)
        elif lookup_scheme(camera.url).network:
            _check_address(camera.url, config)
    except ConfigError as error:
        raise ConfigError(f"camera {camera.name}: url: {error}") from None


def _check_authority(before: CameraConfig | None, camera: CameraConfig, caller: Caller) -> None:
    """What is told of a file of authorities that cannot be used would tell which files there are."""
    ca = camera.source.ca
    if ca.startswith("/") and (before is None or before.source.ca != ca) and not caller.owns_the_daemon:
        raise ConfigError(
            f"camera {camera.name}: source.ca: only root and the daemon's own user may name a file: 'system' "
            "and 'any' are for all"
        )


def _check_address(url: str, config: Config) -> None:
    host, _ = host_and_port(url)
    address = written_address(host)
    if address is not None and not config.sources.limits.allows(address):
        raise ConfigError(f"{host}: no camera may be there: {HOW_NETWORKS}")


def _check_clip(path: Path, config: Config, caller: Caller) -> None:
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
