"""Lines for a camera, proposed from the tracks' stored paths, and what each would have counted."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.count.line_suggestion import MAX_LINES, MAX_PATHS, SuggestedLine, observed_path, suggest_lines
from pipelines.count.replay import counts_class, recount
from pipelines.count.trajectory_codec import Trajectory, TrajectoryError, decode
from pipelines.rules import LineSpec
from streamer.errors import ConfigError
from streamer.events.cloudevents import rfc3339
from streamer.ledger import LedgerReader


@dataclass(frozen=True, slots=True)
class ProposedLine:
    """`crossed`: crossings by direction that `line` would have counted in the paths that were looked at."""

    line: LineSpec
    suggested: SuggestedLine
    crossed: dict[str, int]


@dataclass(frozen=True, slots=True)
class LineProposals:
    """`moving` of the `tracks` went far enough to tell anything; the times are Unix time."""

    camera: str
    since_ns: int
    until_ns: int
    lines: tuple[ProposedLine, ...]
    tracks: int
    moving: int


def propose_lines(
    reader: LedgerReader,
    camera: str,
    since_ns: int,
    until_ns: int,
    classes: Collection[str] = (),
    taken: Collection[str] = (),
    at_most: int = MAX_LINES,
) -> LineProposals:
    """Lines that most tracks of `classes` (of all: empty) crossed cleanly between two Unix times, best first.

    Named line-1, line-2, … without the names in `taken`. Of many tracks the latest MAX_PATHS are looked at.
    Raises ConfigError for a camera that the ledger does not have.
    """
    cameras = reader.cameras()
    if camera not in cameras:
        names = ", ".join(cameras) or "none"
        raise ConfigError(f"the ledger has no camera {camera[:63]!r}; it has {names}")
    kinds = tuple(classes)
    tracks = list(_trajectories(reader, camera, since_ns, until_ns, kinds))
    observed = [path for track in tracks if (path := observed_path(track)) is not None]
    free = (name for n in itertools.count(1) if (name := f"line-{n}") not in taken)
    lines = []
    for suggested in suggest_lines(observed, at_most):
        line = LineSpec(name=next(free), points=suggested.points, classes=kinds)
        lines.append(ProposedLine(line, suggested, _crossed(tracks, line)))
    return LineProposals(camera, since_ns, until_ns, tuple(lines), len(tracks), len(observed))


def as_dict(proposals: LineProposals) -> dict[str, Any]:
    """For JSON, best first; `until` is when they were asked for where nothing else was."""
    return {
        "camera": proposals.camera,
        "since": rfc3339(proposals.since_ns),
        "until": rfc3339(proposals.until_ns),
        "tracks": proposals.tracks,
        "moving": proposals.moving,
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


def _trajectories(
    reader: LedgerReader, camera: str, since_ns: int, until_ns: int, classes: tuple[str, ...]
) -> Iterator[Trajectory]:
    wanted = LineSpec(name="any", points=((0.0, 0.0), (1.0, 1.0)), classes=classes)
    newest = itertools.islice(reader.paths(camera, since_ns, until_ns, newest_first=True), MAX_PATHS)
    for path in reversed(list(newest)):
        try:
            track = decode(path.trace)
        except TrajectoryError:
            continue  # `ledger verify` tells of damaged ones
        if any(counts_class(wanted, kind) for kind in track.classes):
            yield track


def _crossed(tracks: list[Trajectory], line: LineSpec) -> dict[str, int]:
    sides = Counter(crossing.side > 0 for track in tracks for crossing in recount(track, line))
    return {line.left_to_right: sides[True], line.right_to_left: sides[False]}
