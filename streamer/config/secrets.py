"""Passwords of cameras and sinks: where they come from, and a type that never shows them.

In this order, the first that names a camera wins:

    environment                     STREAMER_CAMERA_<NAME>_USERNAME, …_PASSWORD (NAME in capitals, - as _),
                                    STREAMER_SINK_<NAME>_URL, …_PASSWORD, …_SIGNING_SECRET … of a sink,
                                    …_TLS_KEY_PASSWORD of the key of its tls_key,
                                    …_SENTINEL_USERNAME, …_SENTINEL_PASSWORD at a Redis's sentinels
    systemd credential              $CREDENTIALS_DIRECTORY/streamer.secrets
    FOLDER/secrets.yaml             0600, written by a person
    FOLDER/cameras.d/.secrets.yaml  0600, written by `streamer camera add` and the daemon

The files look alike:

    cameras:
      gate: {username: admin, password: "any characters"}
    sinks:
      redis: {password: …}

`redis: {…}` beside `sinks`, and STREAMER_REDIS_URL, _USERNAME and _PASSWORD, are of the sink named redis.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel, ConfigDict, Field

from pipelines.rules import Name
from streamer.config.schema import CameraConfig
from streamer.config.store import ConfigStore
from streamer.config.yaml_reader import read
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import Write
from streamer.logs import HIDDEN
from streamer.sinks.base import SinkSettings
from streamer.sources.urls import join_credentials

FILE_NAME = "secrets.yaml"
OWN_FILE_NAME = ".secrets.yaml"
CREDENTIAL = "streamer.secrets"
MAX_SINK_CREDENTIALS_BYTES = 8192  # a password may be a token


class Secret:
    """A text that prints as ***; reveal() is the only way to it, and it is neither pickled nor compared."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


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


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    cameras: dict[Name, Credentials] = Field(default_factory=dict, repr=False)
    sinks: dict[Name, SinkCredentials] = Field(default_factory=dict, repr=False)
    redis: SinkCredentials = SinkCredentials()

    def sink(self, name: str) -> SinkCredentials:
        return self.sinks.get(name) or (self.redis if name == "redis" else SinkCredentials())


class SecretStore:
    """The secrets that belong to a configuration's folder, read once. Raises ConfigError."""

    def __init__(self, store: ConfigStore) -> None:
        self.own_path = store.cameras_dir / OWN_FILE_NAME
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        credential = Path(credentials) / CREDENTIAL if credentials else None
        self._systemd = _read(credential, own=False) if credential else _File()
        # A service that is handed its secrets need not be able to read the file they come from.
        self._person_path = store.folder / FILE_NAME
        self._person = _File() if credential and credential.exists() else _read(self._person_path)
        self._own = _read(self.own_path)

    def url(self, camera: CameraConfig) -> Secret:
        """The camera's URL with its credentials in it. Raises ConfigError if they cannot be sent."""
        login = self.credentials(camera.name)
        if not login:
            return Secret(camera.url)
        try:
            return Secret(join_credentials(camera.url, login.username, login.password))
        except ConfigError as error:
            raise ConfigError(f"camera {camera.name}: {error}") from error

    def credentials(self, camera: str) -> Credentials:
        """What is known for a camera; empty if nothing is."""
        return self.fixed(camera)[1] or self._own.cameras.get(camera) or Credentials()

    def fixed(self, camera: str) -> tuple[str, Credentials]:
        """Credentials that a program cannot change, with where they are ("" if there are none)."""
        prefix = f"STREAMER_CAMERA_{camera.upper().replace('-', '_')}_"
        login = Credentials(
            username=os.environ.get(prefix + "USERNAME"), password=os.environ.get(prefix + "PASSWORD")
        )
        if login:
            return f"the environment ({prefix}…)", login
        for place, file in (
            (f"the systemd credential {CREDENTIAL}", self._systemd),
            (str(self._person_path), self._person),
        ):
            if file.cameras.get(camera):
                return place, file.cameras[camera]
        return "", Credentials()

    def sink_address(self, sink: SinkSettings) -> Secret:
        """The sink's URL with its credentials in it; empty where it has none, as the private Redis.

        Raises ConfigError if they cannot be sent.
        """
        stored = self._systemd.sink(sink.name) or self._person.sink(sink.name)
        url = _of_sink(sink.name, "URL") or stored.url or sink.address
        user, password = _given(sink.name, stored, "username"), _given(sink.name, stored, "password")
        key_password = _given(sink.name, stored, "tls_key_password")
        signing = _given(sink.name, stored, "signing_secret")
        watchers = [_given(sink.name, stored, f"sentinel_{what}") for what in ("username", "password")]
        try:
            if url and not (user is None and password is None):
                url = join_credentials(url, user, password, MAX_SINK_CREDENTIALS_BYTES)
            address = sink.completed(url, key_password)
            if any(watchers):
                address = sink.for_sentinels(address, *watchers)
            return Secret(sink.signed(address, signing) if signing else address)
        except ConfigError as error:
            raise ConfigError(f"sink {sink.name}: {error}") from error

    def write_for(self, changed: dict[str, Credentials | None]) -> Write:
        """The program's own file after `changed` (None forgets a camera). Raises StorageError."""
        cameras = dict(self._own.cameras)
        for name, credentials in changed.items():
            if credentials:
                cameras[name] = credentials
            else:
                cameras.pop(name, None)
        _check_owner(self.own_path.parent)
        data: dict[str, Any] = {"cameras": {n: c.model_dump(exclude_none=True) for n, c in cameras.items()}}
        text = "# Written by streamer; your own secrets belong into ../secrets.yaml\n"
        return Write(self.own_path, text + yaml.safe_dump(data, allow_unicode=True, width=4096), 0o600)

    def knows(self, camera: str) -> bool:
        """Whether the program's own file has credentials for `camera`."""
        return camera in self._own.cameras


def secret_files(store: ConfigStore) -> tuple[Path, Path]:
    """A person's and the program's own; there or not."""
    return store.folder / FILE_NAME, store.cameras_dir / OWN_FILE_NAME


def _given(name: str, stored: SinkCredentials, what: str) -> str | None:
    """What the environment says, else the files."""
    value = _of_sink(name, what.upper())
    stored_value: str | None = getattr(stored, what)
    return stored_value if value is None else value


def _of_sink(name: str, what: str) -> str | None:
    """What the environment says of the sink. The sink `redis` has a shorter variable besides."""
    value = os.environ.get(f"STREAMER_SINK_{name.upper().replace('-', '_')}_{what}")
    return os.environ.get(f"STREAMER_REDIS_{what}") if value is None and name == "redis" else value


def _check_owner(folder: Path) -> None:
    """A 0600 file of one user is closed to another user's daemon."""
    if os.geteuid() == 0 or not folder.exists() or folder.stat().st_uid == os.geteuid():
        return
    owner = pwd.getpwuid(folder.stat().st_uid).pw_name
    raise StorageError(
        f"only {owner} and root may write credentials into {folder}: start the daemon first, or use sudo"
    )


def _read(path: Path, own: bool = True) -> _File:
    """`own`: a file of ours, not one that systemd guards."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _File()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if own and mode & 0o077:
        raise ConfigError(f"{path}: others may read it (mode {mode & 0o777:04o}): run chmod 600 {path}")
    return read(path, as_text=True, may_be_empty=True).check(_File)
