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

from streamer.config.schema import CameraConfig
from streamer.config.secret_files import Credentials as Credentials
from streamer.config.secret_files import ReadSecrets, SinkCredentials, read_secrets
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import Write
from streamer.logs import HIDDEN
from streamer.sinks.base import SinkSettings
from streamer.sources.urls import join_credentials, may_log_in

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


class SecretStore:
    """The secrets that belong to a configuration's folder, read once.

    Raises ConfigError where a file cannot be used, or a part of it. With `partly`, only who asks for what may
    be in there is refused, so that nothing goes anywhere without its password; `faults` has what is wrong.
    """

    def __init__(self, store: ConfigStore, partly: bool = False) -> None:
        self.own_path = store.cameras_dir / OWN_FILE_NAME
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        credential = Path(credentials) / CREDENTIAL if credentials else None
        handed = credential is not None and credential.exists()
        self._systemd = read_secrets(credential or Path(CREDENTIAL), own=False) if handed else _nothing()
        # A service that is handed its secrets need not be able to read the file they come from.
        self._person_path = store.folder / FILE_NAME
        self._person = _nothing() if handed else read_secrets(self._person_path)
        self._own = read_secrets(self.own_path)
        read = (self._systemd, self._person, self._own)
        self.faults = {file.path: fault for file in read if (fault := file.first_fault) is not None}
        if self.faults and not partly:
            raise next(iter(self.faults.values()))

    def url(self, camera: CameraConfig) -> Secret:
        """The camera's URL with its credentials in it. Raises ConfigError if they cannot be sent."""
        faulty = self._fault_of(camera.name) is not None
        login = Credentials() if faulty and not may_log_in(camera.url) else self.credentials(camera.name)
        if not login:
            return Secret(camera.url)
        try:
            return Secret(join_credentials(camera.url, login.username, login.password))
        except ConfigError as error:
            raise ConfigError(f"camera {camera.name}: {error}") from error

    def credentials(self, camera: str) -> Credentials:
        """What is known for a camera; empty if nothing is. Raises ConfigError where that cannot be told.

        What the program's own file has is used where a person's cannot be read at all: it takes none for a
        camera that a person's names.
        """
        own = self._own.file.cameras.get(camera) or Credentials()
        try:
            login = self.fixed(camera)[1]
        except ConfigError:
            if own and (self._systemd.fault or self._person.fault):
                return own
            raise
        if not login and (fault := self._own.of_camera(camera)) is not None:
            raise _refusal(f"camera {camera}", fault)
        return login or own

    def fixed(self, camera: str) -> tuple[str, Credentials]:
        """Credentials that a program cannot change, with where they are ("" if there are none).

        Raises ConfigError where that cannot be told.
        """
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
            if (fault := file.of_camera(camera)) is not None:
                raise _refusal(f"camera {camera}", fault)
            if file.file.cameras.get(camera):
                return place, file.file.cameras[camera]
        return "", Credentials()

    def _fault_of(self, camera: str) -> ConfigError | None:
        files = (self._systemd, self._person, self._own)
        return next((fault for file in files if (fault := file.of_camera(camera)) is not None), None)

    def _refuse_unknown(self, sink: SinkSettings) -> None:
        """A sink whose secrets may be in what cannot be read. The private Redis and a file have none."""
        addressed = bool(sink.address or _of_sink(sink.name, "URL"))
        for file in (self._systemd, self._person):
            fault = file.sinks.get(sink.name) or (file.fault if addressed else None)
            if fault is not None:
                raise _refusal(f"sink {sink.name}", fault)

    def sink_address(self, sink: SinkSettings) -> Secret:
        """The sink's URL with its credentials in it; empty where it has none, as the private Redis.

        Raises ConfigError if they cannot be sent, or cannot be told.
        """
        self._refuse_unknown(sink)
        stored = self._systemd.file.sink(sink.name) or self._person.file.sink(sink.name)
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
        cameras = dict(self._own.file.cameras)
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
        return camera in self._own.file.cameras


def secret_files(store: ConfigStore) -> tuple[Path, Path]:
    """A person's and the program's own; there or not."""
    return store.folder / FILE_NAME, store.cameras_dir / OWN_FILE_NAME


def _nothing() -> ReadSecrets:
    return ReadSecrets(Path())


def _refusal(whose: str, fault: ConfigError) -> ConfigError:
    return ConfigError(f"{whose}: nothing is sent without its secrets: {fault}")


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
