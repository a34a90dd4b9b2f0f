"""Changes to the configuration (change_kinds.py): validated, written, all or nothing.

Everything is validated before anything is written, and the files of a change are replaced together: a
change happens whole or not at all. Only files of cameras.d are written.
"""

from __future__ import annotations

import difflib
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.actions.card import ActionCard, model_path, read_action_card, sidecar_of
from pipelines.actions.pairing import MOTION_TRAITS, Traits, carded_traits, check_kept, check_pair, traits_of
from pipelines.defaults import with_defaults
from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.spec import REVISED, ActionsSpec, CameraRules, PipelineSpec, Rules, preset, with_actions
from streamer.atomic import Write, write_together
from streamer.change_kinds import (
    AnyChange,
    CameraPut,
    CameraRename,
    CameraSet,
    CameraSwitch,
    Change,
    LinePut,
    MaskPut,
    RuleRemove,
    WithCredentials,
    ZonePut,
)
from streamer.config import CameraConfig, Config
from streamer.config_file import dump, explain, show_place
from streamer.config_store import ConfigStore
from streamer.errors import ConfigError, ModelError, StorageError
from streamer.models import ModelStore
from streamer.secrets import Credentials, SecretStore
from streamer.urls import redact, split_credentials

HEADER = "# Written by streamer: comments are not kept. Keys: docs/reference/configuration.md\n"
MOTION_CLASSES: tuple[str, ...] = ("object",)  # of the motion detector, which has no model card


_adapter: TypeAdapter[Change] = TypeAdapter(Change)


def apply_change(store: ConfigStore, change: Mapping[str, Any]) -> Config:
    """Validate `change` against the configuration as it is now, write it, and return the new one.

    Raises ConfigError, ModelError or StorageError; then no file has changed.
    """
    wanted = _parse(change)
    with _locked(store):
        return _Editor(store).apply(wanted)


def check_camera(config: Config, camera: CameraConfig) -> None:
    """What a file cannot know: is there such a pipeline, model and class?

    Raises ConfigError or ModelError.
    """
    spec = pipeline_of(camera)
    actions = None if spec.actions is None else _actions_card(camera, spec.actions)
    engine = spec.detector if spec.detector != "auto" else config.inference.engine
    store = ModelStore(config.state_path / "models")
    try:
        _, installed = store.choose(engine, camera.model or spec.model)
    except ModelError as error:
        raise ModelError(f"camera {camera.name}: {error}") from error
    if spec.actions is not None and actions is not None:
        traits = MOTION_TRAITS if installed is None else carded_traits(installed.card)
        _check_pair(camera, actions, spec.actions, traits)
    if installed is None:
        known, whose = MOTION_CLASSES, "the motion detector"
    elif installed.card.classes:
        classes = installed.card.classes
        known = tuple(dict.fromkeys((*classes.values(), *classes)))  # groups first
        whose = f"model {installed.shown}"
    else:
        return
    for word, where in _classes_named(with_defaults(camera.rules, spec)):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
            hint = f"did you mean {near[0]!r}?" if near else f"{whose} has {shown}"
            if word in MOTION_CLASSES:
                hint += f"; `streamer camera set {camera.name} model=motion` for the motion detector"
            raise ConfigError(f"camera {camera.name}: {where}: unknown class {word[:40]!r}: {hint}")
    if spec.actions is not None and actions is not None and installed is not None:
        _check_kept(camera, actions, spec, installed.card)


def check_actions(camera: CameraConfig, detector: Detector) -> None:
    """Whether a detector that is loaded goes with the camera's actions, if it has any. Raises ModelError."""
    spec = pipeline_of(camera)
    if spec.actions is not None:
        _check_pair(camera, _actions_card(camera, spec.actions), spec.actions, traits_of(detector))


def _actions_card(camera: CameraConfig, actions: ActionsSpec) -> ActionCard:
    try:
        return read_action_card(sidecar_of(model_path(actions.model)))
    except ModelRefused as error:
        raise ModelError(f"camera {camera.name}: actions: {error}") from error


def _check_pair(camera: CameraConfig, card: ActionCard, actions: ActionsSpec, detector: Traits) -> None:
    """What the graphs alone tell is said when they are loaded."""
    try:
        check_pair(model_path(actions.model), card, actions, detector)
    except ModelRefused as error:
        raise ModelError(f"camera {camera.name}: actions: {error}") from error


def _check_kept(camera: CameraConfig, card: ActionCard, spec: PipelineSpec, detector: ModelCard) -> None:
    """Whether the camera's classes leave anybody whose actions could be told."""
    assert spec.actions is not None
    wanted = with_defaults(camera.rules, spec).classes
    try:
        check_kept(model_path(spec.actions.model), card, spec.actions.groups, wanted, detector.classes)
    except ValueError as error:
        raise ConfigError(f"camera {camera.name}: actions: {error}") from error


def pipeline_of(camera: CameraConfig) -> PipelineSpec:
    """The camera's preset with its own actions. Raises ConfigError with the names that exist."""
    try:
        return with_actions(preset(camera.pipeline), camera.actions, camera.actions_pause_s)
    except ValueError as error:
        raise ConfigError(f"camera {camera.name}: {error}") from error


def _classes_named(rules: CameraRules) -> Iterator[tuple[str, str]]:
    for word in rules.classes:
        yield word, "classes"
    for word in rules.limits:
        yield word, "limits"
    for kind, items in rules.named():
        for item in items:
            for word in item.classes:
                yield word, f"{kind} {item.name}"


def _parse(change: Mapping[str, Any]) -> Change:
    try:
        return _adapter.validate_python(dict(change))
    except ValidationError as error:
        place, text = explain(error, AnyChange)
        raise ConfigError(f"{redact(show_place(place[1:]))}: {text}" if place[1:] else text) from None


class _Editor:
    """One change, from the configuration as it is to the files to write."""

    def __init__(self, store: ConfigStore) -> None:
        self._store = store
        self._config = store.load()
        self._secrets = SecretStore(store)

    def apply(self, change: Change) -> Config:
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
                camera = self._camera(change.name)
                self._save(camera.model_copy(update={"enabled": change.op == "camera.enable"}))
            case LinePut():
                self._put_rule(change.camera, "lines", change.line, change.replace)
            case ZonePut():
                self._put_rule(change.camera, "zones", change.zone, change.replace)
            case MaskPut():
                self._put_rule(change.camera, "masks", change.mask, change.replace)
            case RuleRemove():
                self._remove_rule(change.camera, change.op.partition(".")[0] + "s", change.name)
        return self._store.load()

    def _camera(self, name: str) -> CameraConfig:
        self._store.camera_file(name)  # a name that is none says so
        return self._config.known_camera(name)

    def _put(self, change: CameraPut) -> None:
        data = dict(change.camera)
        credentials = _take_credentials(data, change)
        camera = _validated(data)
        if self._config.camera(camera.name) is not None and not change.replace:
            raise ConfigError(
                f"camera {camera.name!r} exists: choose another name, or use `streamer camera set`"
            )
        self._save(camera, credentials)

    def _set(self, change: CameraSet) -> None:
        data = self._camera(change.name).model_dump(mode="json")
        for key, value in change.values.items():
            _set_key(data, key, value)
        limits = data["rules"]["limits"]
        data["rules"]["limits"] = {word: limit for word, limit in limits.items() if _says_something(limit)}
        credentials = _take_credentials(data, change)
        if credentials:  # a new password alone keeps the user name
            before = self._secrets.credentials(change.name)
            given = credentials.model_dump(exclude_none=True)
            credentials = before.model_copy(update=given)
        self._save(_validated(data), credentials)

    def _rename(self, change: CameraRename) -> None:
        camera = self._camera(change.name)
        if self._config.camera(change.to) is not None:
            raise ConfigError(f"camera {change.to!r} exists: choose another name")
        path, old_path = self._store.camera_file(change.to), self._store.camera_file(change.name)
        renamed = camera.model_copy(update={"name": change.to})
        writes = [Write(path, _text(renamed)), Write(old_path, None)]
        place, fixed = self._secrets.fixed(change.name)
        if fixed:
            raise ConfigError(
                f"camera {change.name}: its credentials are in {place}: rename them there first"
            )
        if self._secrets.knows(change.name):
            credentials = self._secrets.credentials(change.name)
            writes.insert(0, self._secrets.write_for({change.name: None, change.to: credentials}))
        write_together(writes)

    def _remove(self, name: str) -> None:
        self._camera(name)
        writes = [Write(self._store.camera_file(name), None)]
        if self._secrets.knows(name):
            writes.append(self._secrets.write_for({name: None}))
        write_together(writes)

    def _put_rule(self, name: str, kind: str, item: Rules, replace: bool) -> None:
        camera = self._camera(name)
        items = list(getattr(camera.rules, kind))
        known = [other.name for other in items]
        wanted = getattr(item, "name", "")
        if wanted in known and not replace:
            raise ConfigError(f"camera {name}: {kind[:-1]} {wanted!r} exists: use --replace, or another name")
        if wanted in known:
            items[known.index(wanted)] = item
        else:
            items.append(item)
        self._save(camera.model_copy(update={"rules": camera.rules.model_copy(update={kind: tuple(items)})}))

    def _remove_rule(self, camera_name: str, kind: str, name: str) -> None:
        camera = self._camera(camera_name)
        items = getattr(camera.rules, kind)
        left = tuple(item for item in items if item.name != name)
        if len(left) == len(items):
            known = ", ".join(item.name for item in items) or "there is none"
            raise ConfigError(f"camera {camera_name}: no {kind[:-1]} {name!r}; known: {known}")
        self._save(camera.model_copy(update={"rules": camera.rules.model_copy(update={kind: left})}))

    def _save(self, camera: CameraConfig, credentials: Credentials | None = None) -> None:
        camera = _validated(camera.model_dump(mode="json"))  # rules may rest on what a change takes away
        check_camera(self._config, camera)
        writes = [Write(self._store.camera_file(camera.name), _text(camera))]
        if credentials:
            place, _ = self._secrets.fixed(camera.name)
            if place:
                raise ConfigError(f"camera {camera.name}: its credentials are in {place}: change them there")
            writes.insert(0, self._secrets.write_for({camera.name: credentials}))
        write_together(writes)


def _take_credentials(data: dict[str, Any], given: WithCredentials) -> Credentials | None:
    """Move what a URL holds out of it; what is given apart from the URL wins."""
    user, password = given.username, given.password
    if isinstance(data.get("url"), str):
        data["url"], url_user, url_password = split_credentials(data["url"])
        user = url_user if user is None else user
        password = url_password if password is None else password
    if user is None and password is None:
        return None
    return Credentials(username=user, password=password)


def _validated(data: dict[str, Any]) -> CameraConfig:
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


def _text(camera: CameraConfig) -> str:
    """The file of a camera: what differs from the defaults. Revisions are kept elsewhere (revise())."""
    data = camera.model_dump(mode="json", exclude_defaults=True)
    for kind in REVISED:
        for item in data.get("rules", {}).get(kind, ()):
            item.pop("rev", None)
    return HEADER + dump(data)


@contextmanager
def _locked(store: ConfigStore) -> Iterator[None]:
    """One change at a time, also of two commands at once."""
    if not store.exists():
        store.load()  # says what is missing
    try:
        store.cameras_dir.mkdir(mode=0o750, exist_ok=True)
        handle = os.open(store.cameras_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(f"{store.cameras_dir}: cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
