"""The cameras of a site: files `site.d/NAME.yaml`, and what boxes read of them in the site's Redis.

The folder is what people keep, under version control if they like, on the box where they give their commands.
`streamer site add` and `apply` publish it as a whole; each camera's revision rises when it has changed. There
are no secrets in it: a box takes a camera's login from its own secrets.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from streamer.config.schema import CameraConfig
from streamer.config.yaml_reader import read
from streamer.config.yaml_writer import dump
from streamer.errors import ConfigError, RedisError, StorageError
from streamer.ipc.atomic_write import Write, locked_folder, write_together
from streamer.ipc.redis_keys import site_configuration_key
from streamer.sinks.redis_connection import Script, failures_for_people
from streamer.site.settings import Labels

MIN_COST = 0.001  # cores; less is nothing that can be counted on
MAX_COST = 1000.0
FOLDER_MODE = 0o750
FILE_MODE = 0o640
OWN_KEYS = ("cost", "on")

# KEYS: the site's configuration. ARGV: cameras and their JSON in turn. One whole replaces another, and a
# camera that is as it was keeps its revision.
_PUBLISH = """
local wanted = {}
for i = 1, #ARGV, 2 do
  wanted[ARGV[i]] = true
  local now, rev = redis.call('HGET', KEYS[1], ARGV[i]), 0
  local same = false
  if now then
    local head, rest = string.match(now, '^(%d+) (.*)$')
    rev, same = tonumber(head) or 0, rest == ARGV[i + 1]
  end
  local new = string.format('%d', rev + 1) .. ' ' .. ARGV[i + 1]
  if not same then redis.call('HSET', KEYS[1], ARGV[i], new) end
end
for _, camera in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not wanted[camera] then redis.call('HDEL', KEYS[1], camera) end
end
return redis.call('HLEN', KEYS[1])
"""
_publish = Script(_PUBLISH)


class SiteCamera(CameraConfig):
    """A camera's file in `site.d`: as in cameras.d, and what it costs and where it may run.

    `cost`: the cores that it takes of a box's capacity; `on`: labels that a box must have.
    """

    cost: float = Field(ge=MIN_COST, le=MAX_COST)
    on: Labels = Field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A camera as boxes read it. `camera` are the keys of its file in cameras.d."""

    revision: int
    camera: Mapping[str, Any]
    cost: float
    on: Mapping[str, str]


def read_folder(folder: Path) -> list[SiteCamera]:
    """All cameras, by name; each file has its camera's name. Raises ConfigError with file, line and key."""
    return [_read(path) for path in sorted(folder.glob("*.yaml"))]


def _read(path: Path) -> SiteCamera:
    camera = read(path).check(SiteCamera)
    if camera.name != path.stem:
        raise ConfigError(f"{path}: its name is {camera.name!r}: name the file {camera.name}.yaml")
    return camera


def as_data(camera: SiteCamera) -> dict[str, Any]:
    """The keys of its file: those that are not as they would be without."""
    return camera.model_dump(mode="json", exclude_unset=True)


def write_camera(folder: Path, camera: SiteCamera, replace: bool) -> None:
    """Raises ConfigError for a name that is taken, and StorageError."""
    path = folder / f"{camera.name}.yaml"
    with locked_folder(folder, FOLDER_MODE):
        if path.exists() and not replace:
            raise ConfigError(
                f"camera {camera.name!r} exists in the site: edit {path}, then `streamer site apply`"
            )
        write_together([Write(path, dump(as_data(camera)), FILE_MODE)])


def remove_camera(folder: Path, name: str) -> None:
    """Raises ConfigError where there is none, and StorageError."""
    known = [camera.name for camera in read_folder(folder)]
    if name not in known:
        raise ConfigError(
            f"no camera {name[:64]!r} in the site; known: {', '.join(known) or 'there is none'}"
        )
    with locked_folder(folder, FOLDER_MODE):
        write_together([Write(folder / f"{name}.yaml", None)])


def publish(redis: Any, site: str, cameras: list[SiteCamera]) -> None:
    """Let boxes read these, and no others. Raises RedisError; then all is as it was."""
    arguments: list[str | int] = []
    for camera in cameras:
        data = as_data(camera)
        own = {key: data.pop(key) for key in OWN_KEYS if key in data}
        arguments += [camera.name, json.dumps({"camera": data, **own}, sort_keys=True)]
    with failures_for_people():
        _publish.run(redis, [site_configuration_key(site)], arguments)


def published(redis: Any, site: str) -> dict[str, Published]:
    """What was published last, by camera. Raises RedisError."""
    key = site_configuration_key(site)
    with failures_for_people():
        found = redis.hgetall(key)
    try:
        return {_text(name): _parsed(_text(value)) for name, value in found.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise RedisError(f"{key} holds what is no camera: run `streamer site apply`") from error


def _parsed(value: str) -> Published:
    revision, _, text = value.partition(" ")
    data = json.loads(text)
    return Published(int(revision), dict(data["camera"]), float(data["cost"]), dict(data.get("on", {})))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def keep_copy(path: Path, cameras: Mapping[str, Published]) -> None:
    """What an agent starts from while Redis is away. Raises StorageError."""
    data = {name: [each.revision, each.camera, each.cost, each.on] for name, each in cameras.items()}
    write_together([Write(path, json.dumps(data, default=dict), FILE_MODE)])


def kept_copy(path: Path) -> dict[str, Published]:
    """Empty where there is none yet. Raises StorageError for one that cannot be read."""
    try:
        return {name: Published(*each) for name, each in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{path}: cannot be read ({error}): remove it, and it is made again") from error
