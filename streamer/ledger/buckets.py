"""What was seen of a span of time: of a closed bucket as the ledger keeps it, or of many together."""

from __future__ import annotations

from typing import Any, NamedTuple

BLIND_REASONS = {"offline_s": "offline", "dropped_s": "overloaded", "unknown_s": "unknown"}


class Coverage(NamedTuple):
    """How much of a closed bucket was seen; `seconds` maps seen_s, gated_s, ... to seconds, and adds up to
    its length; `blind` what was not seen to seconds by reason. `moved_s` of what was seen the lines were not
    where they were drawn. Of `wanted` frames `looked_at` were looked at; 0 of 0 in what older versions wrote.

    Of several buckets together: from where the first begins to where the last ends, with `gap_s` that is in
    none of them.
    """

    camera: str
    start_ns: int
    end_ns: int
    seconds: dict[str, float]
    blind: dict[str, float] = {}  # noqa: RUF012  # never changed
    moved_s: float = 0.0
    looked_at: int = 0
    wanted: int = 0
    gap_s: float = 0.0


def coverage_of(camera: str, start_ns: int, end_ns: int, kept: dict[str, Any]) -> Coverage:
    """Of one bucket, from what is kept of it."""
    seconds = {kind: kept[kind] for kind in kept if kind.endswith("_s") and kind != "moved_s"}
    blind = kept.get("blind")
    if blind is None:  # of an older version
        blind = {reason: seconds[kind] for kind, reason in BLIND_REASONS.items() if seconds.get(kind)}
    frames = kept.get("frames", {})
    looked_at = frames.get("inferred", 0) + frames.get("gated", 0)
    wanted = frames.get("decoded", 0) - frames.get("dropped", {}).get("not_due", 0)
    moved_s = kept.get("moved_s", 0.0)
    return Coverage(camera, start_ns, end_ns, seconds, blind, moved_s, min(looked_at, wanted), wanted)
