"""What the commands of `streamer actions` are asked with: where data is and how it is read, and settings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from pipelines.detect.errors import ModelRefused
from pipelines.train.actions.data import DataRefused
from pipelines.train.actions.sources import MOVED, DataSource
from streamer.cli.click_types import Finite
from streamer.cli.clip_arguments import models_of
from streamer.cli.output_paths import check_folder
from streamer.errors import ModelError

CROP_SIZE, SCENE_SIZE = (112, 112), (160, 120)  # of a backbone's input, where none is given


def data_options(command: Any) -> Any:
    """What says how DATA is read; the same for all commands that take it."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--labels", default="", help="All labels, with commas; else those that occur."),
        click.option("--group-by", default="", help="Regular expression on a clip's path; its first group."),
        click.option("--detector", help="Model of the store, or a path, whose feature maps embed clips."),
        click.option(
            "--inputs",
            default="",
            help="What a frame of a clip is, some of maps, moved (only how maps change), flow (optical) and "
            "people, with commas.  [default: maps]",
        ),
        click.option("--moved", is_flag=True, help="The same as --inputs moved."),
        click.option("--cache", type=path, help="Folder in which embedded clips are kept."),
        click.option(
            "--fps", default=30.0, show_default=True, type=Finite(1, 1000), help="Of files of keypoints."
        ),
        click.option("--threads", default=1, show_default=True, help="Of the CPU."),
    ):
        command = option(command)
    return command


def _detector(which: str | None) -> Path | None:
    """The file of a detector, by its path or its name. Raises ModelError."""
    if which is None:
        return None
    installed = models_of(click.get_current_context().obj).resolve(which)
    if installed is None:
        raise ModelError("the motion detector has no feature maps: choose a model")
    return installed.path


def source_of(data: str, given: dict[str, Any]) -> DataSource:
    labels, inputs = (
        tuple(word.strip() for word in given.pop(name).split(",") if word.strip())
        for name in ("labels", "inputs")
    )
    if given.pop("moved") and MOVED not in inputs:
        inputs = (MOVED, *inputs)
    check_folder(given["cache"], (data,))
    return DataSource(
        Path(data),
        labels,
        given.pop("group_by"),
        _detector(given.pop("detector")),
        given.pop("cache"),
        given.pop("fps"),
        threads=given.pop("threads"),
        inputs=inputs,
    )


def backbone_of(session: ModuleType, given: dict[str, Any], scene: bool) -> Any:
    name, weights, frozen = given.pop("backbone"), given.pop("weights"), given.pop("freeze")
    size = given.pop("size")
    if name is None:
        if weights is not None or frozen or size is not None:
            raise DataRefused("--weights, --freeze and --size are for a --backbone: name one")
        return None
    if frozen and weights is None:
        raise DataRefused("--freeze without --weights: a backbone of random weights must learn: leave it out")
    usual = SCENE_SIZE if scene else CROP_SIZE
    return session.BackboneChoice(name, weights, frozen, usual if size is None else _size(size))


def _size(text: str) -> tuple[int, int]:
    wide, _, high = text.lower().partition("x")
    if not (wide.isdecimal() and high.isdecimal() and all(32 <= int(n) <= 1024 for n in (wide, high))):
        raise DataRefused(
            f"--size {text[:20]!r}: give width and height of 32 to 1024 pixels, such as 224x224"
        )
    return int(wide), int(high)


def settings_of(source: DataSource, given: dict[str, Any], crops: bool) -> Any:
    """The usual settings for the kind of data, and over them what was given."""
    usual = importlib.import_module("pipelines.train.actions.settings")
    if source.is_clips():
        settings = usual.usual_settings("crops" if crops else "features", source.scene)
    else:
        settings = usual.usual_settings("boxes" if source.is_boxes() else "pose")
    names = {"rate": "rate_hz", "stride": "stride_s", "lag": "lag_s"}
    whole = given.pop("whole_clips")
    chosen = {names.get(k, k): v for k, v in given.items() if v is not None}
    if not chosen.get("refit"):
        chosen.pop("refit", None)
    settings = replace(settings, **chosen)
    return replace(settings, rate_hz=None) if whole else settings


def need_torch(module: str) -> ModuleType:
    """A module that trains. Raises ModelError where torch is not installed."""
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise ModelError(
            "training needs torch, which is not installed: `make install EXTRAS=torch`, or install the "
            "package with its extra [torch]; running a trained model does not need it"
        ) from error
    return importlib.import_module(module)


@contextmanager
def refusals() -> Iterator[None]:
    """What data or a model is refused for, as an error of the command line."""
    try:
        yield
    except (DataRefused, ModelRefused, ValueError) as error:
        raise ModelError(str(error)) from error
    except OSError as error:
        raise ModelError(f"{error.filename or 'file'}: {error.strerror or error}") from error
