"""Files of secrets: what stands in one, and what can be used of one that is damaged.

An entry that cannot be used is its camera's or its sink's fault alone. Where nothing can be told, as of a
file that is no YAML or that others may read, the fault is everybody's: nothing of the file is used.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.rules import NAME_PATTERN, Name
from streamer.config.validation_errors import Place, explain
from streamer.config.yaml_reader import Document, read
from streamer.errors import ConfigError


class Credentials(BaseModel):
    """A user name and a password; either may be missing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    username: str | None = Field(default=None, repr=False)
    password: str | None = Field(default=None, repr=False)

    def __bool__(self) -> bool:
        return self.username is not None or self.password is not None


class SinkCredentials(Credentials):
    url: str | None = Field(default=None, repr=False)
    tls_key_password: str | None = Field(default=None, repr=False)
    signing_secret: str | None = Field(default=None, repr=False)  # of a webhook: whsec_…
    sentinel_username: str | None = Field(default=None, repr=False)  # at redis+sentinel://'s sentinels
    sentinel_password: str | None = Field(default=None, repr=False)

    def __bool__(self) -> bool:
        own = (self.url, self.tls_key_password, self.signing_secret, *self.at_sentinels)
        return any(secret is not None for secret in own) or super().__bool__()

    @property
    def at_sentinels(self) -> tuple[str | None, str | None]:
        return self.sentinel_username, self.sentinel_password


class SecretFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    cameras: dict[Name, Credentials] = Field(default_factory=dict, repr=False)
    sinks: dict[Name, SinkCredentials] = Field(default_factory=dict, repr=False)
    redis: SinkCredentials = SinkCredentials()

    def sink(self, name: str) -> SinkCredentials:
        return self.sinks.get(name) or (self.redis if name == "redis" else SinkCredentials())


@dataclass
class ReadSecrets:
    """`file` is what can be used. `fault` is why it is nothing; `cameras` and `sinks` have by name the faults
    of entries that were left out."""

    path: Path
    file: SecretFile = field(default_factory=SecretFile)
    fault: ConfigError | None = None
    cameras: dict[str, ConfigError] = field(default_factory=dict)
    sinks: dict[str, ConfigError] = field(default_factory=dict)

    @property
    def first_fault(self) -> ConfigError | None:
        return self.fault or next(iter([*self.cameras.values(), *self.sinks.values()]), None)

    def of_camera(self, name: str) -> ConfigError | None:
        return self.fault or self.cameras.get(name)


def read_secrets(path: Path, own: bool = True) -> ReadSecrets:
    """`own`: a file of ours, not one that systemd guards. One that is not there says nothing."""
    found = ReadSecrets(path)
    try:
        document = _document(path, own)
        if document is not None:
            _take(document, found)
    except ConfigError as error:
        return ReadSecrets(path, fault=error)
    return found


def _document(path: Path, own: bool) -> Document | None:
    """None where there is no file. Raises ConfigError."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path}: is no file: move it away, and write a file of that name (mode 0600)")
    if own and mode & 0o077:
        raise ConfigError(f"{path}: others may read it (mode {mode & 0o777:04o}): run chmod 600 {path}")
    return read(path, as_text=True, may_be_empty=True)


def _take(document: Document, into: ReadSecrets) -> None:
    """Entry after entry that is refused is left out. Raises ConfigError for what is nobody's alone."""
    while True:
        try:
            into.file = SecretFile.model_validate(document.data)
            return
        except ValidationError as error:
            place, text = explain(error, SecretFile)
        fault = document.error(place, text)  # pydantic's own text repeats the values
        kind, name = _owner(place)
        if kind not in ("cameras", "sinks"):
            raise fault
        (into.cameras if kind == "cameras" else into.sinks)[name] = fault
        _leave_out(document.data, place)


def _owner(place: Place) -> tuple[str, str]:
    """Whose secret it is: ("cameras" or "sinks", name), ("", "") where that cannot be told."""
    if place[:1] == ("redis",):
        return "sinks", "redis"
    kind, name = (str(part) for part in (*place, "", "")[:2])
    return (kind, name) if re.match(NAME_PATTERN, name) else ("", "")


def _leave_out(data: dict[str, Any], place: Place) -> None:
    if place[0] == "redis":
        del data["redis"]
    else:
        del data[str(place[0])][place[1]]
