"""Changes to the configuration, as data: validated, written, all or nothing. They are the same from command
line, control socket and page (changes.py).

Everything is validated before anything is written, and the files of a change are replaced together: a
change happens whole or not at all. Only files of cameras.d are written. A file of a camera that cannot be
read hinders no change of another camera, and can be removed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.camera_rules import REVISED, renamed_rule
from pipelines.rules import Rules
from streamer.api.arguments import read_arguments
from streamer.api.callers import Caller
from streamer.api.changes import (
    AlertPut,
    AnyChange,
    CameraPut,
    CameraRename,
    CameraSet,
    CameraSwitch,
    LinePut,
    MaskPut,
    RuleRemove,
    RuleRename,
    WantedChange,
    WithCredentials,
    ZonePut,
)
from streamer.api.source_urls import check_source
from streamer.config import renames
from streamer.config.schema import CameraConfig, Config
from streamer.config.secrets import Credentials, SecretStore
from streamer.config.store import TOO_MANY, ConfigStore
from streamer.config.validation_errors import explain, show_place
from streamer.config.yaml_edit import NotEditable, edited
from streamer.config.yaml_reader import parse, read_text
from streamer.config.yaml_writer import dump
from streamer.errors import ConfigError, ModelError
from streamer.ipc.atomic_write import Write, locked_folder, write_together
from streamer.ipc.messages import MAX_CAMERAS
from streamer.logs import redact
from streamer.models.camera_check import check_camera
from streamer.sources.kept_evidence import evidence_path
from streamer.sources.kept_view import view_path, view_text
from streamer.sources.urls import split_credentials

HEADER = "# Written by streamer; your own comments are kept. Keys: docs/reference/configuration.md\n"
OLD_HEADER = "# Written by streamer: comments are not kept. Keys: docs/reference/configuration.md\n"

log = logging.getLogger(__name__)


def apply_change(
    store: ConfigStore, change: Mapping[str, Any] | AnyChange, caller: Caller | None = None
) -> Config:
    """Validate `change` against the configuration as it is now, write it, and return the new one, without
    the cameras whose files cannot be read. `caller`: who asks a daemon for it; None: this process does it.

    Raises ConfigError, ModelError or StorageError; then no file has changed.
    """
    parsed = change if isinstance(change, AnyChange) else read_arguments(WantedChange, dict(change)).root
    with _locked(store):
        return _Editor(store, caller).apply(parsed)


class _Editor:
    """One change, from the configuration as it is to the files to write."""

    def __init__(self, store: ConfigStore, caller: Caller | None) -> None:
        self._store = store
        self._caller = caller
        self._config, self._broken = store.load_partly()
        self._secrets = SecretStore(store)
        self._unset: set[tuple[str, ...]] = set()  # keys that go back to their defaults

    def apply(self, change: AnyChange) -> Config:
        match change:
            case CameraPut():
                self._put(change)
            case CameraSet():
                self._set(change)
            case CameraRename():
                self._rename(change)
            case CameraSwitch(op="camera.remove"):
                self._remove(change.name)
            case CameraSwitch():
                self._switch(self._camera(change.name), change.op == "camera.enable")
            case LinePut():
                self._put_rule(change.camera, "lines", change.line, change.replace, change.expected)
            case ZonePut():
                self._put_rule(change.camera, "zones", change.zone, change.replace, change.expected)
            case MaskPut():
                self._put_rule(change.camera, "masks", change.mask, change.replace, change.expected)
            case AlertPut():
                self._put_rule(change.camera, "alerts", change.alert, change.replace, change.expected)
            case RuleRename():
                self._rename_rule(change)
            case RuleRemove():
                kind = change.op.partition(".")[0] + "s"
                self._remove_rule(change.camera, kind, change.name, change.expected)
        return self._store.load_partly()[0]

    def _camera(self, name: str) -> CameraConfig:
        return self._store.sound_camera(self._config, self._broken, name)

    def _refuse_taken(self, name: str, instead: str) -> None:
        """A name that a camera has, also one whose file cannot be read. Raises ConfigError."""
        if self._store.camera_file(name) in self._broken:
            self._camera(name)  # which says why
        if self._config.camera(name) is not None:
            raise ConfigError(f"camera {name!r} exists: {instead}")

    def _refuse_more(self, name: str) -> None:
        """One camera more than a daemon takes. Raises ConfigError."""
        if self._config.camera(name) is None and len(self._config.cameras) >= MAX_CAMERAS:
            raise ConfigError(f"camera {name}: {TOO_MANY}")

    def _put(self, change: CameraPut) -> None:
        data = dict(change.camera)
        credentials = take_credentials(data, change)
        camera = validated(data)
        if not change.replace:
            self._refuse_taken(camera.name, "choose another name, or use `streamer camera set`")
        self._refuse_more(camera.name)
        self._save(camera, credentials)

    def _set(self, change: CameraSet) -> None:
        data = self._camera(change.name).model_dump(mode="json")
        for key, value in change.values.items():
            _set_key(data, key, value)
            if value is None:
                self._unset.add(tuple(key.split(".")))
        rules = data.get("rules")
        limits = rules.get("limits") if isinstance(rules, dict) else None
        if isinstance(rules, dict) and isinstance(limits, dict):
            rules["limits"] = {word: limit for word, limit in limits.items() if _says_something(limit)}
        credentials = take_credentials(data, change)
        if credentials:  # a new password alone keeps the user name
            before = self._secrets.credentials(change.name)
            changed = credentials.model_dump(exclude_none=True)
            credentials = before.model_copy(update=changed)
        self._save(validated(data), credentials)

    def _rename(self, change: CameraRename) -> None:
        camera = self._camera(change.name)
        self._refuse_taken(change.to, "choose another name")
        path, old_path = self._store.camera_file(change.to), self._store.camera_file(change.name)
        renamed = camera.model_copy(update={"name": change.to})
        validated(renamed.model_dump(mode="json"))
        writes = [Write(path, self._text(renamed, camera)), Write(old_path, None)]
        writes += self._recorded(camera, renamed, ("camera", change.name, change.to))
        place, fixed = self._secrets.fixed(change.name)
        if fixed:
            raise ConfigError(
                f"camera {change.name}: its credentials are in {place}: rename them there first"
            )
        if self._secrets.knows(change.name):
            credentials = self._secrets.credentials(change.name)
            writes.insert(0, self._secrets.write_for({change.name: None, change.to: credentials}))
        write_together([*writes, *self._view_writes(change.name, change.to)])

    def _recorded(self, before: CameraConfig, after: CameraConfig, what: tuple[str, str, str]) -> list[Write]:
        """So that what was counted follows."""
        running = self._caller is not None
        return renames.writes_for(self._config.state_path, before, after, what, running)

    def _rename_rule(self, change: RuleRename) -> None:
        camera, kind = self._camera(change.camera), change.op.partition(".")[0]
        items = getattr(camera.rules, f"{kind}s")
        _check_unchanged(change.camera, f"{kind}s", change.name, items, change.expected)
        names = [item.name for item in items]
        if change.name not in names:
            known = ", ".join(names) or "there is none"
            raise ConfigError(f"camera {change.camera}: no {kind} {change.name!r}; known: {known}")
        if change.to in names:
            raise ConfigError(f"camera {change.camera}: {kind} {change.to!r} exists: choose another name")
        try:
            rules = renamed_rule(camera.rules, kind, change.name, change.to)
        except ValidationError as error:
            place, text = explain(error, CameraConfig)
            raise ConfigError(f"{show_place(place)}: {text}" if place else text) from None
        renamed = camera.model_copy(update={"rules": rules})
        recorded = self._recorded(camera, renamed, (kind, change.name, change.to))
        text = self._text(validated(renamed.model_dump(mode="json")), camera)
        write_together([Write(self._store.camera_file(camera.name), text), *recorded])

    def _remove(self, name: str) -> None:
        path = self._store.camera_file(name)
        if path not in self._broken or path.is_dir():
            self._camera(name)  # says that there is none, or that a folder is a person's to move
        writes = [Write(path, None)]
        if self._secrets.knows(name):
            writes.append(self._secrets.write_for({name: None}))
        write_together([*writes, *self._view_writes(name)])

    def _view_writes(self, name: str, to: str | None = None) -> list[Write]:
        """What was learnt of its view and its packets goes with its camera, or to its new name."""
        return [write for place in (view_path, evidence_path) for write in self._moved(place, name, to)]

    def _moved(self, place: Callable[[Path, str], Path], name: str, to: str | None) -> list[Write]:
        path = place(self._config.state_path, name)
        text = view_text(path)
        if text is None:
            return []
        kept = [] if to is None else [Write(place(self._config.state_path, to), text, 0o600)]
        return [*kept, Write(path, None)]

    def _put_rule(
        self, name: str, kind: str, item: Rules, replace: bool, expected: Mapping[str, Any] | None
    ) -> None:
        camera = self._camera(name)
        items = list(getattr(camera.rules, kind))
        names = [other.name for other in items]
        name_of_item = getattr(item, "name", "")
        _check_unchanged(name, kind, name_of_item, items, expected)
        if name_of_item in names and not replace:
            raise ConfigError(
                f"camera {name}: {kind[:-1]} {name_of_item!r} exists: use --replace, or another name"
            )
        if name_of_item in names:
            items[names.index(name_of_item)] = item
        else:
            items.append(item)
        self._save(camera.model_copy(update={"rules": camera.rules.model_copy(update={kind: tuple(items)})}))

    def _remove_rule(
        self, camera_name: str, kind: str, name: str, expected: Mapping[str, Any] | None
    ) -> None:
        camera = self._camera(camera_name)
        items = getattr(camera.rules, kind)
        _check_unchanged(camera_name, kind, name, items, expected)
        remaining = tuple(item for item in items if item.name != name)
        if len(remaining) == len(items):
            known = ", ".join(item.name for item in items) or "there is none"
            raise ConfigError(f"camera {camera_name}: no {kind[:-1]} {name!r}; known: {known}")
        self._save(camera.model_copy(update={"rules": camera.rules.model_copy(update={kind: remaining})}))

    def _save(self, camera: CameraConfig, credentials: Credentials | None = None) -> None:
        camera = validated(camera.model_dump(mode="json"))  # rules may rest on what a change takes away
        if self._caller is not None:
            check_source(self._config, self._config.camera(camera.name), camera, self._caller)
        check_camera(self._config, camera)
        self._write(camera, credentials)

    def _switch(self, camera: CameraConfig, on: bool) -> None:
        switched = camera.model_copy(update={"enabled": on})
        try:
            self._save(switched)
        except ModelError:
            if on:
                raise
            self._write(switched)  # a model that has gone is a reason to switch it off

    def _write(self, camera: CameraConfig, credentials: Credentials | None = None) -> None:
        text = self._text(camera, self._config.camera(camera.name))
        writes = [Write(self._store.camera_file(camera.name), text)]
        if credentials:
            place, _ = self._secrets.fixed(camera.name)
            if place:
                raise ConfigError(f"camera {camera.name}: its credentials are in {place}: change them there")
            writes.insert(0, self._secrets.write_for({camera.name: credentials}))
        write_together(writes)

    def _text(self, camera: CameraConfig, before: CameraConfig | None) -> str:
        """The camera's file: as it is, but for what differs from `before`; a new one without defaults."""
        if before is None:
            return _whole(camera)
        path = self._store.camera_file(before.name)
        text = read_text(path).replace(OLD_HEADER, HEADER)
        try:
            needed = _data(camera, exclude_defaults=True)
            text = edited(text, _data(before), _data(camera), needed, self._unset)
            if _data(validated(parse(path, text).data)) == _data(camera):
                return text
        except (NotEditable, ConfigError) as error:
            log.warning("%s: cannot be changed in place: %s", path, error)
        log.warning("%s: is written anew: its comments are lost", path)
        return _whole(camera)


def rule_as_data(item: Any) -> dict[str, Any]:
    """A rule as its file has it, with defaults and without what is not set."""
    data: dict[str, Any] = item.model_dump(mode="json", exclude_none=True, exclude={"rev"})
    return data


def _check_unchanged(
    camera: str, kind: str, name: str, items: Sequence[Any], expected: Mapping[str, Any] | None
) -> None:
    """Raise ConfigError where the rule is not what who asks has seen, if that is told."""
    if expected is None:
        return
    seen = json.dumps(expected, sort_keys=True)  # lists may have become tuples on the way
    there = [json.dumps(rule_as_data(item), sort_keys=True) for item in items if item.name == name]
    if seen not in there:
        text = f"camera {camera}: {kind[:-1]} {name!r} was changed meanwhile: look at it again first"
        raise ConfigError(text)


def take_credentials(data: dict[str, Any], change: WithCredentials) -> Credentials | None:
    """Move what a URL holds out of it; what is given apart from the URL wins."""
    user, password = change.username, change.password
    if isinstance(data.get("url"), str):
        data["url"], url_user, url_password = split_credentials(data["url"])
        user = url_user if user is None else user
        password = url_password if password is None else password
    if user is None and password is None:
        return None
    return Credentials(username=user, password=password)


def validated(data: dict[str, Any]) -> CameraConfig:
    """A camera of the keys of its file. Raises ConfigError."""
    try:
        return CameraConfig.model_validate(data)
    except ValidationError as error:
        place, text = explain(error, CameraConfig)
        raise ConfigError(f"{redact(show_place(place))}: {text}" if place else text) from None


def _says_something(limit: Any) -> bool:
    return not isinstance(limit, dict) or any(value not in (None, 0.0) for value in limit.values())


def _set_key(data: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` at the dotted `key`; None goes back to the default."""
    *way, last = key.split(".")
    if key == "name":
        raise ConfigError("name: use `streamer camera rename`")
    for step in way:
        if data.get(step) is None:
            data[step] = {}
        data = data[step]
        if not isinstance(data, dict):
            raise ConfigError(f"{key}: there is nothing below {step!r}")
    if value is None:
        data.pop(last, None)
    else:
        data[last] = value


def _whole(camera: CameraConfig) -> str:
    return HEADER + dump(_data(camera, exclude_defaults=True))


def _data(camera: CameraConfig, exclude_defaults: bool = False) -> dict[str, Any]:
    """What its file says. Revisions are kept elsewhere (revise())."""
    data = camera.model_dump(mode="json", exclude_defaults=exclude_defaults)
    for kind in REVISED:
        for item in data.get("rules", {}).get(kind, ()):
            item.pop("rev", None)
    return data


def _locked(store: ConfigStore) -> AbstractContextManager[None]:
    """One change at a time, also of two commands at once."""
    if not store.exists():
        raise store.missing()
    return locked_folder(store.cameras_dir, 0o750)
