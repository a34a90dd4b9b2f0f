"""A line or zone drawn today over the tracks of the past: their stored paths, and what of the time has none.

With a limit on the time that it may take, what was looked at is the newest part of the asked time, whole: the
counts of that part are what they are without a limit.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pipelines.count.confidence import Judgement
from pipelines.count.replay import recount
from pipelines.count.scene_error import AuditedCount
from pipelines.count.trajectory_codec import Trajectory, TrajectoryError, decode
from pipelines.count.zone_replay import recount_visits
from pipelines.events import TRACK_ENDED
from pipelines.rules import Anchor, LineSpec, ZoneSpec
from streamer.api.counts.path_bounds import PathBounds
from streamer.api.counts.sure_count import SureCount, sure_count
from streamer.api.moments import LocalTime, row_order
from streamer.config.schema import Config
from streamer.errors import ConfigError
from streamer.events.cloudevents import parse_rfc3339_ns, rfc3339
from streamer.ledger import LedgerReader
from streamer.ledger.queries import StoredPath
from streamer.models.camera_check import pipeline_of

NS_PER_S = 1_000_000_000
OVERLOADED = "dropped"  # its word here
ENTERED, EXITED = "entered", "exited"  # the directions of a zone
KEYS = ("hour", "direction", "class")  # by which the crossings are summed
Progress = Callable[[float], None]  # the share that is done
Groups = dict[tuple[str, ...], SureCount]


class RecountedCrossing(NamedTuple):
    """A crossing of the new line, or an entry or exit of the new zone (`direction`: ENTERED, EXITED). `at_ns`
    is Unix time by the box's clock."""

    at_ns: int
    direction: str
    class_name: str
    epoch: int
    track_id: int
    judgement: Judgement | None  # as far as the path alone tells: of the others that were there it knows
    # nothing; None of a zone


class _Passage(NamedTuple):
    """Of one track, in its own time."""

    time_s: float
    direction: str
    class_name: str
    judgement: Judgement | None


class Missing(NamedTuple):
    """Seconds of the asked time in which crossings cannot be known, and why; `reason` is one word.

    not_kept: past the retention; not_recorded: the camera was not there, or no daemon ran; open: the last
    tracks may not have ended; offline, dropped, unknown, and frozen, black, covered or defocused: as the
    camera's counts have it.
    """

    reason: str
    seconds: float
    text: str


@dataclass
class Recount:
    """What came out. `since_ns` and `until_ns` are the asked time, cut to the ledger's for "all", and where
    it is not `complete` to the part that there was time for."""

    camera: str
    line: LineSpec | ZoneSpec
    since_ns: int
    until_ns: int
    tracks: int = 0
    unreadable: int = 0  # paths that are damaged
    pathless: int = 0  # tracks without a path, as of a ledger of an older version
    crossings: list[RecountedCrossing] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    complete: bool = True

    @property
    def kind(self) -> str:
        return "zone" if isinstance(self.line, ZoneSpec) else "line"

    @property
    def counted(self) -> list[RecountedCrossing]:
        """What the total is of: all crossings of a line, the entries of a zone."""
        if self.kind == "line":
            return self.crossings
        return [crossing for crossing in self.crossings if crossing.direction == ENTERED]


def recount_camera(
    reader: LedgerReader,
    camera: str,
    line: LineSpec | ZoneSpec,
    since_ns: int,
    until_ns: int,
    progress: Progress | None = None,
    *,
    limit_s: float | None = None,
    bounds: PathBounds | None = None,
) -> Recount:
    """Count `line`, which may be a zone, from `since_ns` up to `until_ns` (Unix time), for `limit_s` at most;
    `bounds` are kept from one call to the next. Raise ConfigError for an unknown camera or a time
    that is none."""
    cameras = reader.cameras()
    if camera not in cameras:
        names = ", ".join(cameras) or "none"
        raise ConfigError(f"the ledger has no camera {camera[:63]!r}; it has {names}")
    if since_ns >= until_ns:
        raise ConfigError("--since is not before --until: there is no time to count in")
    result = Recount(camera, line, since_ns, until_ns)
    oldest_ns = _kept_since(reader, camera)
    if since_ns == 0 and oldest_ns is not None:
        result.since_ns = min(oldest_ns, until_ns)
    begun_s, asked_ns = time.monotonic(), until_ns - result.since_ns
    for path in reader.paths(camera, result.since_ns, until_ns, newest_first=True):
        if limit_s is not None and time.monotonic() - begun_s > limit_s:
            _cut(result, path.last_ns + 1)
            break
        result.tracks += 1
        _add_path(result, path, bounds)
        if progress is not None:
            progress((until_ns - path.last_ns) / asked_ns)
    result.crossings.sort(key=lambda crossing: crossing[:5])
    ended = reader.count_events(camera, TRACK_ENDED, result.since_ns, until_ns)
    result.pathless = max(0, ended - reader.count_paths(camera, result.since_ns, until_ns))
    result.missing = _missing(reader, result, oldest_ns)
    return result


def _add_path(result: Recount, path: StoredPath, bounds: PathBounds | None) -> None:
    line = result.line
    if bounds is not None and bounds.misses(result.camera, path, line):
        return
    try:
        trajectory = decode(path.trace)
        crossed = _passages(trajectory, line)
    except TrajectoryError:
        result.unreadable += 1
        return
    if bounds is not None:
        bounds.add(result.camera, path, trajectory)
    for crossing in crossed:
        at_ns = path.first_ns + round(crossing.time_s * NS_PER_S)
        if result.since_ns <= at_ns < result.until_ns:
            result.crossings.append(
                RecountedCrossing(
                    at_ns,
                    crossing.direction,
                    crossing.class_name,
                    path.epoch,
                    path.track_id,
                    crossing.judgement,
                )
            )


def _passages(trajectory: Trajectory, rule: LineSpec | ZoneSpec) -> list[_Passage]:
    if isinstance(rule, ZoneSpec):
        return [
            _Passage(visit.time_s, ENTERED if visit.entered else EXITED, visit.class_name, None)
            for visit in recount_visits(trajectory, rule)
        ]
    ways = {1: rule.left_to_right, -1: rule.right_to_left}
    return [_Passage(c.time_s, ways[c.side], c.class_name, c.judgement) for c in recount(trajectory, rule)]


def _cut(result: Recount, since_ns: int) -> None:
    """All tracks that were there from `since_ns` on have been looked at, and others not."""
    result.complete = False
    result.since_ns = min(since_ns, result.until_ns)
    result.crossings = [crossing for crossing in result.crossings if crossing.at_ns >= result.since_ns]


def anchor_of(config: Config, camera: str) -> Anchor:
    """What the camera's pipeline counts by, so that the past is counted as the present is."""
    known = config.camera(camera)
    return pipeline_of(known).defaults.anchor if known is not None else "auto"


def grouped(found: Recount, zone: ZoneInfo, audited: AuditedCount | None) -> Groups:
    """The crossings by KEYS, in order; `audited` is what a person found of the camera."""
    told: dict[tuple[str, ...], list[Judgement | None]] = defaultdict(list)
    for crossing in found.crossings:
        hour = LocalTime.of(crossing.at_ns // NS_PER_S, zone, "hour")
        told[hour, crossing.direction, crossing.class_name].append(crossing.judgement)
    return {key: sure_count(told[key], audited=audited) for key in sorted(told, key=row_order)}


def as_dict(found: Recount, rows: Sequence[Mapping[str, Any]], total: SureCount) -> dict[str, Any]:
    """For JSON, without the crossings one by one."""
    return {
        "camera": found.camera,
        found.kind: found.line.model_dump(mode="json"),
        "since": rfc3339(found.since_ns),
        "until": rfc3339(found.until_ns),
        "tracks": found.tracks,
        "tracks_without_path": found.pathless + found.unreadable,
        "counts": rows,
        "total": total.as_dict(),
        "missing": [
            {"reason": m.reason, "seconds": round(m.seconds, 3), "text": m.text} for m in found.missing
        ],
    }


def _kept_since(reader: LedgerReader, camera: str) -> int | None:
    """The time of the oldest event of the camera that is kept; paths go with events."""
    oldest = [reader.first_of(stretch) for stretch in reader.stretches(camera)]
    return min((parse_rfc3339_ns(json.loads(x.body)["time"]) for x in oldest if x is not None), default=None)


def _missing(reader: LedgerReader, result: Recount, oldest_ns: int | None) -> list[Missing]:
    since_ns, until_ns = result.since_ns, result.until_ns
    if oldest_ns is None:
        seconds = (until_ns - since_ns) / NS_PER_S
        return [Missing("not_kept", seconds, "the ledger keeps no event of this camera")]
    missing = []
    begin_ns = min(max(since_ns, oldest_ns), until_ns)
    if begin_ns > since_ns:
        pruned = any((reader.first_seq(s.name) or 1) > 1 for s in reader.stretches(result.camera))
        reason, text = (
            ("not_kept", "older than what the ledger keeps (ledger.retention_days, ledger.max_mb)")
            if pruned
            else ("not_recorded", "before the camera's first event")
        )
        missing.append(Missing(reason, (begin_ns - since_ns) / NS_PER_S, text))
    blind: dict[str, float] = {}
    covered_ns, closed_ns = 0, begin_ns
    for bucket in reader.coverage(since_ns=begin_ns, camera=result.camera):
        shared_ns = min(bucket.end_ns, until_ns) - max(bucket.start_ns, begin_ns)
        if shared_ns <= 0:
            continue
        covered_ns += shared_ns
        closed_ns = max(closed_ns, min(bucket.end_ns, until_ns))
        share = shared_ns / max(bucket.end_ns - bucket.start_ns, 1)
        for reason, seconds in bucket.blind.items():
            blind[reason] = blind.get(reason, 0.0) + share * seconds
    for reason, seconds in blind.items():
        if seconds > 0:
            word = OVERLOADED if reason == "overloaded" else reason
            missing.append(Missing(word, seconds, f"the camera was not seen ({word})"))
    away_s = (closed_ns - begin_ns - covered_ns) / NS_PER_S
    if away_s > 1e-3:
        missing.append(Missing("not_recorded", away_s, "the daemon did not run, or the camera was not in it"))
    if until_ns > closed_ns:
        text = "no bucket is closed yet: tracks that are still there, or had no end, are not in it"
        missing.append(Missing("open", (until_ns - closed_ns) / NS_PER_S, text))
    return missing
