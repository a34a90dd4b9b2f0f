"""What is worth saying in one line of an event of the analytics beyond lines and zones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def gist(kind: str, data: Mapping[str, Any]) -> str | None:
    """`kind` is a type without `streamer.` and its version; None for one that is not known here."""
    match kind:
        case "dwell.exceeded":
            return f"{data['zone']}: {data['class']} {data['track_id']} for more than {data['after_s']:g} s"
        case "occupancy.changed":
            below = f", {data['below_zero']} below zero" if data["below_zero"] else ""
            return f"{data['count']} inside ({data['in']['count']} in, {data['out']['count']} out{below})"
        case "action.detected":
            who = f", {data['class']} {data['track_id']}" if "track_id" in data else ""
            return f"{data['action']} {data['probability']:.0%}{who}"
        case "scene.changed":
            return f"{data['scene']} {data['probability']:.0%}, was {data['previous']}"
        case "queue.changed":
            waits = _seconds(data["waiting_s"]["max"])
            left = f", {data['left']} left after {_seconds(data['waited_s']['mean'])}" if data["left"] else ""
            return f"{data['count']} waiting, the longest {waits}{left}"
        case "flow.moved":
            way = f"{data['origin']} to {data['destination']}"
            return f"{way}: {data['class']} {data['track_id']} in {data['travel_s']:.1f} s"
        case "flow.matrix":
            return (
                ", ".join(
                    f"{origin} to {destination} {cell['count']}"
                    for origin, row in data["matrix"].items()
                    for destination, cell in row.items()
                )
                or "no movement"
            )
        case "speed.measured":
            speed = "not measured" if data["speed"] is None else f"{data['speed']:.1f} {data['unit']}"
            over = ", over the limit" if data.get("over_limit") else ""
            return f"{data.get('line', data.get('zone'))}: {data['class']} {data['track_id']} {speed}{over}"
        case "wrongway.detected":
            return f"{data.get('line', data.get('zone'))}: {data['class']} {data['track_id']}"
        case "heatmap.measured":
            return f"{data['columns']} x {data['rows']} cells, {data['total_s']:.1f} s in all"
        case "unique.counted":
            by_class = ", ".join(f"{name} {n}" for name, n in data["by_class"].items())
            return f"{data['count']} tracks" + (f" ({by_class})" if by_class else "")
    return None


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
