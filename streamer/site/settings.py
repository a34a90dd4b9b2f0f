"""What a box knows of its site: `site.yaml` beside streamer.yaml, and the keys in `site.keys`.

Nothing in site.yaml is secret. `site.keys` (0700) holds the token of the cluster, certificates, and the
address of the site's Redis, which may have a password in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.rules import Name
from streamer.config.yaml_reader import read
from streamer.config.yaml_writer import dump
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import write_atomically

FILE_NAME = "site.yaml"
KEYS_NAME = "site.keys"
CAMERAS_NAME = "site.d"
NODE_LABEL = "streamer-node"  # by which the cluster's node of a box is found
MIN_UNOWNED_AFTER_S = 1.0
DEFAULT_UNOWNED_AFTER_S = 10.0
LABEL_TEXT = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"  # what Ray takes for a label's value

Label = Annotated[str, Field(pattern=LABEL_TEXT)]
Labels = Annotated[dict[Label, Label], Field(max_length=32)]
HEADER = "# Written by `streamer site init` and `join`; restart `streamer site agent` after a change.\n"


def ip_of(address: str) -> IPv4Address | IPv6Address | None:
    """None for a name."""
    try:
        return ip_address(address)
    except ValueError:
        return None


class SiteSettings(BaseModel):
    """`address`: where this box is reached by the others; `head`: HOST:PORT of the cluster's head.

    `capacity`: what its cameras may cost together, in cores as `streamer capacity` counts them. Where the
    cluster is not reached for `unowned_after_s`, its cameras go on and their events say `unowned`.
    `store`: HOST:PORT of a Redis without a password in which the head keeps its table over a restart.
    `ports`: the first of two that the box's node listens on; 0: any that are free.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    site: Name
    node: Name
    address: str = Field(min_length=1, max_length=255)
    head: str = Field(max_length=262)
    is_head: bool = False
    capacity: float = Field(ge=0, le=10_000)
    labels: Labels = Field(default_factory=dict)
    unowned_after_s: float = Field(default=DEFAULT_UNOWNED_AFTER_S, ge=MIN_UNOWNED_AFTER_S, le=3600)
    store: str = Field(default="", max_length=262)
    ports: int = Field(default=0, ge=0, lt=(1 << 16) - 1)

    @field_validator("address")
    @classmethod
    def _is_of_one_interface(cls, address: str) -> str:
        found = ip_of(address)
        if found is not None and found.is_unspecified:
            raise ValueError("is no one's address: write the one at which the other boxes reach this box")
        return address

    @field_validator("head", "store")
    @classmethod
    def _is_a_place(cls, place: str) -> str:
        host, _, port = place.rpartition(":")
        if place and not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
            raise ValueError("is no HOST:PORT: write one, as 10.0.0.5:6380")
        return place

    @field_validator("labels")
    @classmethod
    def _are_ours(cls, labels: dict[str, str]) -> dict[str, str]:
        if NODE_LABEL in labels:
            raise ValueError(f"{NODE_LABEL} is the box's name already: choose another label")
        return labels


@dataclass(frozen=True)
class SiteFolder:
    """The site's files in the configuration's folder."""

    folder: Path

    @property
    def settings_file(self) -> Path:
        return self.folder / FILE_NAME

    @property
    def cameras(self) -> Path:
        return self.folder / CAMERAS_NAME

    @property
    def keys(self) -> Path:
        return self.folder / KEYS_NAME

    def exists(self) -> bool:
        return self.settings_file.exists()

    def settings(self) -> SiteSettings:
        """Raises ConfigError, also where the box is in no site."""
        if not self.exists():
            raise ConfigError(
                "this box is in no site: make one with `streamer site init`, or join one with "
                "`streamer site join`"
            )
        return read(self.settings_file).check(SiteSettings)

    def write(self, settings: SiteSettings) -> None:
        """Raises StorageError."""
        text = HEADER + dump(settings.model_dump(mode="json"))
        write_atomically(self.settings_file, text, 0o644)  # no secrets: the daemon's user reads it

    def key(self, name: str) -> str:
        """What one of the files in `site.keys` holds. Raises StorageError."""
        path = self.keys / name
        try:
            return path.read_text().strip()
        except FileNotFoundError as error:
            raise StorageError(f"{path} is missing: join the site again with `streamer site join`") from error
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}: use sudo") from error

    def write_key(self, name: str, text: str) -> None:
        """Raises StorageError."""
        self.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.keys / name, text.strip() + "\n", 0o600)
