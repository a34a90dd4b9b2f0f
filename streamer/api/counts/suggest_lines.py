"""Lines for a camera, proposed from the tracks' stored paths, and what each would have counted.

A track that crosses a line of the camera's cleanly is covered: no other line is proposed for its sake.
"""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.class_names import named
from pipelines.count.line_suggestion import MAX_LINES, MAX_PATHS, SuggestedLine, observed_path, suggest_lines
from pipelines.count.replay import counts_class, recount
from pipelines.count.trajectory_codec import Trajectory, TrajectoryError, decode
from pipelines.defaults import with_defaults
from pipelines.rules import LineSpec
from streamer.config.schema import Config
from streamer.errors import ConfigError
from streamer.events.cloudevents import rfc3339
from streamer.ledger import LedgerReader
from streamer.models.camera_check import pipeline_of, words_for_classes

MAX_LISTED = 12  # classes, in a refusal


@dataclass(frozen=True, slots=True)
class Wanted:
    """What lines are asked for. `classes`: by these alone (empty: by all), of the `known` words, which are
    empty where nobody knows them. `existing`: the camera's lines; `all_tracks`: those that cross one of them
    speak for a new one all the same."""

    classes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    existing: tuple[LineSpec, ...] = ()
    all_tracks: bool = False
    at_most: int = MAX_LINES


@dataclass(frozen=True, slots=True)
class ProposedLine:
    """`crossed`: crossings by direction that `line` would have counted in the paths that were looked at."""

    line: LineSpec
    suggested: SuggestedLine
    crossed: dict[str, int]


@dataclass(frozen=True, slots=True)
class LineProposals:
    """`moving` of the `tracks` went far enough to tell anything, and `covered` of these cross a line that the
    camera has; the times are Unix time."""

    camera: str
    since_ns: int
    until_ns: int
    lines: tuple[ProposedLine, ...]
    tracks: int
    moving: int
    covered: int


def wanted_of(
    config: Config, camera: str, classes: Collection[str] = (), *, all_tracks: bool = False
) -> Wanted:
    """With the lines and classes of a camera of the configuration, as it counts by them. Raises ConfigError
    or ModelError."""
    known = config.camera(camera)
    if known is None:
        return Wanted(tuple(classes), all_tracks=all_tracks)
    lines = with_defaults(known.rules, pipeline_of(known)).lines
    return Wanted(tuple(classes), words_for_classes(config, known), lines, all_tracks)


def propose_lines(
    reader: LedgerReader, camera: str, since_ns: int, until_ns: int, wanted: Wanted | None = None
) -> LineProposals:
    """Lines that most tracks that no line counts yet crossed cleanly between two Unix times, best first.

    Named line-1, line-2, … without the names that there are. Of many tracks the latest MAX_PATHS are looked
    at. Raises ConfigError for a camera that the ledger does not have, and for a class that neither the
    camera's detector nor its tracks have.
    """
    wanted = wanted or Wanted()
    cameras = reader.cameras()
    if camera not in cameras:
        names = ", ".join(cameras) or "none"
        raise ConfigError(f"the ledger has no camera {camera[:63]!r}; it has {names}")
    every = _trajectories(reader, camera, since_ns, until_ns)
    _check_classes(camera, wanted, every)
    asked = LineSpec(name="any", points=((0.0, 0.0), (1.0, 1.0)), classes=wanted.classes)
    tracks = [track for track in every if any(counts_class(asked, kind) for kind in track.classes)]
    observed = [(path, track) for track in tracks if (path := observed_path(track)) is not None]
    covered = [not wanted.all_tracks and _has_line(track, wanted.existing) for _, track in observed]
    taken = {line.name for line in wanted.existing}
    free = (name for n in itertools.count(1) if (name := f"line-{n}") not in taken)
    lines = []
    for suggested in suggest_lines([path for path, _ in observed], wanted.at_most, covered):
        line = LineSpec(name=next(free), points=suggested.points, classes=wanted.classes)
        lines.append(ProposedLine(line, suggested, _crossed(tracks, line)))
    return LineProposals(camera, since_ns, until_ns, tuple(lines), len(tracks), len(observed), sum(covered))


def as_dict(proposals: LineProposals) -> dict[str, Any]:
    """For JSON, best first; `until` is when they were asked for where nothing else was."""
    return {
        "camera": proposals.camera,
        "since": rfc3339(proposals.since_ns),
        "until": rfc3339(proposals.until_ns),
        "tracks": proposals.tracks,
        "moving": proposals.moving,
        "covered": proposals.covered,
        "lines": [
            {
                "line": proposed.line.model_dump(mode="json", exclude={"rev"}),
                "clean": proposed.suggested.clean,
                "unclear": proposed.suggested.unclear,
                "counted": proposed.crossed,
            }
            for proposed in proposals.lines
        ],
    }


def _trajectories(reader: LedgerReader, camera: str, since_ns: int, until_ns: int) -> list[Trajectory]:
    """The latest, in order of time."""
    newest = itertools.islice(reader.paths(camera, since_ns, until_ns, newest_first=True), MAX_PATHS)
    found = []
    for path in reversed(list(newest)):
        try:
            found.append(decode(path.trace))
        except TrajectoryError:
            continue  # `ledger verify` tells of damaged ones
    return found


def _check_classes(camera: str, wanted: Wanted, tracks: Sequence[Trajectory]) -> None:
    """Who waits for a class that is never told waits in vain. Raises ConfigError."""
    if not wanted.known:
        return
    seen = (word for track in tracks for name, group in track.classes for word in (group, name))
    known = tuple(dict.fromkeys((*wanted.known, *seen)))
    for word in wanted.classes:
        if not named(word, known):
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(known[:MAX_LISTED]) + (", …" if len(known) > MAX_LISTED else "")
            raise ConfigError(f"camera {camera} tells no {word[:40]!r}: {hint}it has {listed}")


def _has_line(track: Trajectory, lines: Sequence[LineSpec]) -> bool:
    """Whether one of them counts the track once, as it should."""
    return any(len(recount(track, line)) == 1 for line in lines)


def _crossed(tracks: list[Trajectory], line: LineSpec) -> dict[str, int]:
    sides = Counter(crossing.side > 0 for track in tracks for crossing in recount(track, line))
    return {line.left_to_right: sides[True], line.right_to_left: sides[False]}
