"""The recipe of a model's data: which sets, what each labels, how often it is drawn from, whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pipelines.train.detector.dataset import CLASSES, DatasetError


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(set(names) - set(CLASSES))
    if unknown:
        raise ValueError(f"unknown class {unknown[0]!r}: there are {', '.join(CLASSES)}")
    return names


Names = Annotated[tuple[str, ...], AfterValidator(_known)]


def class_ids(names: Names) -> frozenset[int]:
    """Their places in CLASSES."""
    return frozenset(CLASSES.index(name) for name in names)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    licence: str = Field(min_length=1)
    source: str = Field(min_length=1)


class TeacherModel(_Part):
    name: str


class Clip(_Part):
    """`doubted`: classes that the teachers miss in this clip: what they do not see is no background."""

    name: str
    weight: float = Field(gt=0.0)
    doubted: Names = ()


class DrawnScenes(_Part):
    weight: float = Field(gt=0.0)


class Stills(_Part):
    """`labelled`: the classes that its labels name; `complete`: what they do not name is not there."""

    name: str
    weight: float = Field(gt=0.0)
    labelled: Names
    complete: bool = False


class DataRecipe(BaseModel):
    """All sources of a data set; every one states its licence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    teachers: tuple[TeacherModel, ...] = ()
    stills: tuple[Stills, ...] = ()
    clips: tuple[Clip, ...] = ()
    drawn: DrawnScenes | None = None


def read_recipe(path: Path) -> DataRecipe:
    """Raises DatasetError, with file and key, if `path` is no recipe."""
    try:
        return DataRecipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}: give the path of a recipe") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not YAML: {' '.join(str(error).split())[:200]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
