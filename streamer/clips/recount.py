"""A line drawn today over the tracks of the past: their stored paths, and what of the time has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.count.confidence import Judgement
from pipelines.count.replay import recount
from pipelines.count.trajectory_codec import TrajectoryError, decode
from pipelines.events import TRACK_ENDED
from pipelines.rules import LineSpec
from streamer.errors import ConfigError
from streamer.events.cloudevents import parse_rfc3339_ns
from streamer.ledger import LedgerReader

NS_PER_S = 1_000_000_000
OVERLOADED = "dropped"  # its word here
Progress = Callable[[float], None]  # the share that is done


class RecountedCrossing(NamedTuple):
    """A crossing of the new line. `at_ns` is Unix time by the box's clock."""

    at_ns: int
    direction: str
    class_name: str
    epoch: int
    track_id: int
    judgement: Judgement  # as far as the path alone tells: of the others that were there it knows nothing


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
    """What came out. `since_ns` and `until_ns` are the asked time, cut to the ledger's for "all"."""

    camera: str
    line: LineSpec
    since_ns: int
    until_ns: int
    tracks: int = 0
    unreadable: int = 0  # paths that are damaged
    pathless: int = 0  # tracks without a path, as of a ledger of an older version
    crossings: list[RecountedCrossing] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


def recount_camera(
    reader: LedgerReader,
    camera: str,
    line: LineSpec,
    since_ns: int,
    until_ns: int,
    progress: Progress | None = None,
) -> Recount:
    """Count `line` from `since_ns` up to `until_ns` (Unix time). Raise ConfigError for an unknown camera or
    a time that is none."""
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
    for path in reader.paths(camera, result.since_ns, until_ns):
        result.tracks += 1
        try:
            crossed = recount(decode(path.trace), line)
        except TrajectoryError:
            result.unreadable += 1
            continue
        for crossing in crossed:
            at_ns = path.first_ns + round(crossing.time_s * NS_PER_S)
            if result.since_ns <= at_ns < until_ns:
                way = line.left_to_right if crossing.side > 0 else line.right_to_left
                result.crossings.append(
                    RecountedCrossing(
                        at_ns, way, crossing.class_name, path.epoch, path.track_id, crossing.judgement
                    )
                )
        if progress is not None:
            progress((path.last_ns - result.since_ns) / (until_ns - result.since_ns))
    result.crossings.sort()
    ended = reader.count_events(camera, TRACK_ENDED, result.since_ns, until_ns)
    result.pathless = max(0, ended - reader.count_paths(camera, result.since_ns, until_ns))
    result.missing = _missing(reader, result, oldest_ns)
    return result


def _kept_since(reader: LedgerReader, camera: str) -> int | None:
    """The time of the oldest event of the camera that is kept; paths go with events."""
    first = reader.first_seq(camera)
    stored = reader.event(camera, first) if first is not None else None
    return parse_rfc3339_ns(json.loads(stored.body)["time"]) if stored else None


def _missing(reader: LedgerReader, result: Recount, oldest_ns: int | None) -> list[Missing]:
    since_ns, until_ns = result.since_ns, result.until_ns
    if oldest_ns is None:
        seconds = (until_ns - since_ns) / NS_PER_S
        return [Missing("not_kept", seconds, "the ledger keeps no event of this camera")]
    missing = []
    begin_ns = min(max(since_ns, oldest_ns), until_ns)
    if begin_ns > since_ns:
        pruned = (reader.first_seq(result.camera) or 1) > 1
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
