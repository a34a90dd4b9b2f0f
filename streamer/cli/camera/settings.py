"""KEY=VALUE as `streamer camera set` takes it: which keys there are, and what their values mean.

The keys are those of CameraConfig, read from the model itself, so that a new one is written there alone.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import quote

import click
from pydantic import BaseModel

from pipelines.rules import ClassLimit
from pipelines.spec import SceneSpec
from streamer.cli.click_types import split_words
from streamer.config.schema import CameraConfig, SourceOptions
from streamer.errors import ConfigError
from streamer.models.model_handle import is_path
from streamer.sources.urls import check_source_url, scheme_of

OTHER_COMMANDS = ("name", "enabled")  # rename; enable and disable
LIMITS = tuple(ClassLimit.model_fields)
UNSET = ("", "null", "none")  # how a key is told to be unset; the two words where null is its default
PATHS = ("model", "actions")  # a path, or a name of the model store
SCENE = "scene.model"
RULES = ("classes", "region", "region_zoom")  # of a camera, that have no command of their own
LISTS = ("classes", "health_ignore")
REGION = "rules.region"
AUDIT = "audit"


def settable(model: type[BaseModel]) -> dict[str, str]:
    """What `camera set` calls each key of a camera, and the way to it in the camera's file.

    A key of `source` goes by its own name. Another section's are `SECTION_KEY`, and its name alone unsets
    one that may be absent; that of `scene` also names its model. Rules have commands of their own, but for
    RULES.
    """
    return dict(_settable(model))


def _settable(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if name in OTHER_COMMANDS:
            continue
        if name == "rules":
            yield from ((key, f"{name}.{key}") for key in RULES)
        elif section is None:
            yield name, name
        elif issubclass(section, SourceOptions):
            yield from ((key, f"{name}.{key}") for key in section.model_fields)
        elif issubclass(section, SceneSpec):
            for key in section.model_fields:
                yield name if key == "model" else f"{name}_{key}", f"{name}.{key}"
        else:
            if field.default is None:
                yield name, name
            yield from ((f"{name}_{key}", f"{name}.{key}") for key in section.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a key that holds others, also of one that may be None."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


SETTABLE = settable(CameraConfig)
LONG = {way: key for key, way in SETTABLE.items()}  # as the camera's file has it: source.fps for fps
HELP = f"""Change settings of a camera.

Keys: {", ".join(SETTABLE)}, and limits.CLASS.{", .".join(LIMITS)}. An empty value goes back to the default,
and so does null for {", ".join(PATHS)}, scene, audit and min_score.
"""


def read_setting(text: str) -> tuple[str, Any]:
    """ "fps=5" as ("source.fps", "5"). Raises ConfigError for an unknown key."""
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{key[:40]!r}: settings are KEY=VALUE")
    key = LONG.get(key, key)
    way = SETTABLE.get(key) or _limit(key)
    if way is None:
        near = difflib.get_close_matches(key, SETTABLE, n=1)
        known = f"known: {', '.join(SETTABLE)}, limits.CLASS.min_score"
        raise ConfigError(f"unknown key {key[:40]!r}: {f'did you mean {near[0]!r}?' if near else known}")
    if way == SCENE:
        unset = value.lower() in UNSET
        return ("scene", None) if unset else (way, os.path.abspath(Path(value).expanduser()))
    if key == AUDIT:
        if value.lower() not in UNSET:
            raise ConfigError(
                "audit: is unset with audit=; it is set by `streamer audit --apply`, or key by key"
            )
        return way, None
    if way == REGION and "," in value:
        return way, [part.strip() for part in value.strip("[] ").split(",")]
    if key in LISTS:
        return way, split_words(value)
    if key in PATHS or key.endswith(".min_score"):
        return way, None if value.lower() in UNSET else absolute_model(value)
    return way, (absolute_url(value) if key == "url" else value or None)


def _limit(key: str) -> str | None:
    """limits.CLASS.min_score and the like, whatever the class is called."""
    section, _, rest = key.partition(".")
    word, _, limit = rest.rpartition(".")
    return f"rules.{key}" if section == "limits" and word and limit in LIMITS else None


def absolute_model(model: str | None) -> str | None:
    """A model's path as the daemon, which runs elsewhere, finds it; a name of the store as it is."""
    return os.path.abspath(Path(model).expanduser()) if model and is_path(model) else model


def absolute_url(url: str) -> str:
    """A clip's path as the daemon, which runs elsewhere, finds it. Raises ConfigError."""
    url = check_source_url(url)
    if scheme_of(url) == "file" and not url.startswith("file:"):
        path = os.path.abspath(Path(url).expanduser())
        return f"folder://{quote(path)}" if os.path.isdir(path) else path
    return url
