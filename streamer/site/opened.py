"""A box's site, opened: its settings, and what its keys give access to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.config.schema import Config
from streamer.errors import SiteError
from streamer.site import keys
from streamer.site.cluster_environment import ray_environment, tls_files
from streamer.site.cluster_placing import RayPlacer, connected
from streamer.site.cluster_processes import RayProcesses
from streamer.site.cluster_table import GcsTable
from streamer.site.settings import SiteFolder
from streamer.site.site_redis import SiteRedis

RAY_FOLDER = "ray"  # in the state folder; the paths of Ray's sockets hold 107 bytes
SESSION_BYTES = 75  # of them are what Ray puts below the folder
MAX_PATH = 107


class OpenSite:
    """`config` is the daemon's configuration. Raises ConfigError where the box is in no site."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = SiteFolder(folder)
        self.settings = self.folder.settings()
        self.config = config

    def table(self) -> GcsTable:
        """Raises SiteError, StorageError."""
        return GcsTable(self.settings.head, self.folder.key(keys.TOKEN), tls_files(self.folder))

    def redis(self) -> SiteRedis:
        """Raises StorageError."""
        return SiteRedis(self.folder.key(keys.REDIS), self.settings.site)

    @contextmanager
    def placer(self) -> Iterator[RayPlacer]:
        """Raises SiteError, at once where the head gives no answer: Ray itself would wait for minutes."""
        self.table().table()
        head, address = self.settings.head, self.settings.address
        with connected(head, address, ray_environment(self.folder)) as placer:
            yield placer

    def processes(self) -> RayProcesses:
        """Raises SiteError where the state folder's path is too long for Ray."""
        folder = self.config.state_path / RAY_FOLDER
        if len(str(folder)) + SESSION_BYTES > MAX_PATH:
            raise SiteError(f"{folder} is too long for Ray's sockets: set state_dir to a shorter path")
        return RayProcesses(self.settings, folder, ray_environment(self.folder))
