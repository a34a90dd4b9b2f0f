"""The design choices of the tracker and the counting rule, each a few named variants of what is built in.

A variant is applied for the time of a run, by a field of TrackerSettings or by a constant or method of a
module; the module's own value is the default, so that a choice follows the code. What the code no longer has
is left out and told (`absent`), so that the table outlives what it chooses between.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pipelines.track import TrackerSettings
from tests.bench.counting import cache, ours
from tests.bench.counting.data import Sequence
from tests.bench.counting.errors import Pairs

DEFAULT = "default"
CODE = ("pipelines/track", "pipelines/count", "pipelines/geometry.py", "pipelines/evaluate/crossings.py")
BENCH = ("tests/bench/counting/ours.py", "tests/bench/counting/data.py")
OFF = "off"
MAX_NAME = 100


def _no(*_: object) -> bool:
    return False


def _none(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Choice:
    """`place` is a field of TrackerSettings, or "MODULE:NAME" or "MODULE:CLASS.NAME" below pipelines. The
    values are by label; that of the default is the code's own."""

    name: str
    place: str
    values: Mapping[str, Any]

    @property
    def setting(self) -> bool:
        return ":" not in self.place

    def exists(self) -> bool:
        try:
            self.default()
        except (ImportError, AttributeError):
            return False
        return True

    def default(self) -> Any:
        """What the code has. Raises ImportError or AttributeError where it has none."""
        return getattr(TrackerSettings(), self.place) if self.setting else getattr(*_owner(self.place))

    def others(self) -> list[str]:
        """The labels whose values differ from the default."""
        return [label for label, value in self.values.items() if value != self.default()]


def numbers(name: str, place: str, *values: float) -> Choice:
    """A choice between numbers."""
    return Choice(name, place, {f"{value:g}": value for value in values})


CHOICES = (
    numbers("low_score", "low_score", 0.05, 0.1, 0.2),
    numbers("border_sigmas", "border_sigmas", 1.0, 1.5, 2.0),
    numbers("confirm_hits", "confirm_hits", 2, 3, 4),
    numbers("confirm_evidence", "confirm_evidence", 2.0, 3.5, 5.0),
    numbers("tentative_s", "tentative_s", 0.15, 0.25, 0.4),
    numbers("lost_s", "lost_s", 1.0, 2.0, 3.0),
    numbers("lost_doubt", "lost_doubt", 0.6, 1.0, 100.0),
    numbers("most noise of a centre", "track.kalman:MAX_CENTRE", 2.0, 4.0, 100.0),
    numbers("coast_s", "coast_s", 0.0, 0.14, 0.3),
    numbers("acceleration", "acceleration", 0.5, 0.7, 1.0),
    numbers("buffer", "buffer", 0.05, 0.1, 0.2),
    numbers("buffer_sigmas", "buffer_sigmas", 0.5, 1.0, 1.5),
    numbers("min_similarity", "min_similarity", 0.2, 0.3, 0.4),
    numbers("min_similarity_low", "min_similarity_low", 0.3, 0.4, 0.5),
    numbers("scene motion one in", "track.scene_motion:UNSURE_ONE_IN", 3, 4, 5),
    Choice("scene motion", "track.scene_motion:SceneMotion.follow", {OFF: _no}),
    Choice("large displacement", "track.large_displacement:LargeDisplacement.follow", {OFF: _none}),
    Choice("stitching", "track.tracker:Tracker._stitch", {OFF: _none}),
    Choice("low detections", "track.tracker:Tracker._associate_low", {OFF: _none}),
    numbers("band", "count.line:BAND", 0.05, 0.1, 0.15),
    numbers("band errors", "count.line:ERRORS", 2.0, 3.0, 4.0),
    numbers("line evidence", "count.line:EVIDENCE", -100.0, 0.05, 0.1, 0.2),
    numbers("settle_s", "count.line:SETTLE_S", 0.0, 0.15, 0.3),
    numbers("passes_s", "count.line:PASSES_S", 0.0, 1.0, 2.0),
    numbers("smoothing", "count.box_smoothing:TAU_S", 0.1, 0.15, 0.2),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A label for some of the choices by name; the rest is as in the code."""

    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{name} = {label}" for name, label in self.labels) or DEFAULT


def variants(choices: Iterable[Choice] = CHOICES) -> dict[str, list[Variant]]:
    """Of each choice that the code has its variants, the default first."""
    return {
        choice.name: [Variant(), *(Variant(((choice.name, label),)) for label in choice.others())]
        for choice in choices
        if choice.exists()
    }


def absent(choices: Iterable[Choice] = CHOICES) -> list[str]:
    return [choice.name for choice in choices if not choice.exists()]


@contextmanager
def applied(variant: Variant, choices: Iterable[Choice] = CHOICES) -> Iterator[TrackerSettings]:
    """The settings of a variant, while its constants and methods are in place."""
    known = {choice.name: choice for choice in choices}
    settings = TrackerSettings()
    with ExitStack() as undo:
        for name, label in variant.labels:
            choice = known[name]
            value = choice.values[label]
            if choice.setting:
                settings = replace(settings, **{choice.place: value})
            else:
                owner, attribute = _owner(choice.place)
                undo.callback(setattr, owner, attribute, getattr(owner, attribute))
                setattr(owner, attribute, value)
        yield settings


def errors(variant: Variant, sequences: Iterable[Sequence], steps: tuple[int, ...]) -> dict[str, list[Pairs]]:
    """Our errors with a variant on each sequence, one a rate; kept by variant, code and boxes."""
    known = cache.Cache(f"ours {cache.of_code(*CODE, *BENCH)} {_values(variant)}")
    found = {}
    with applied(variant) as settings:
        for sequence in sequences:
            found[sequence.name] = [
                known.get(
                    cache.of_sequence(sequence, step),
                    lambda sequence=sequence, step=step: ours.errors(sequence, step, settings),  # type: ignore[misc]
                )
                for step in steps
            ]
    return found


def _values(variant: Variant) -> str:
    """The name of a variant's file; a long one as a digest, since file systems end at 255 bytes."""
    name = " ".join(f"{name}={label}" for name, label in sorted(variant.labels)) or DEFAULT
    return name if len(name) <= MAX_NAME else hashlib.sha256(name.encode()).hexdigest()


def _owner(place: str) -> tuple[Any, str]:
    """The module or class that holds a place's name, and the name."""
    module, _, path = place.partition(":")
    *parents, name = path.split(".")
    owner: Any = importlib.import_module(f"pipelines.{module}")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
