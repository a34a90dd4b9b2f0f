"""What `streamer analyze` prints: tables, or the object of --json."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from streamer.cli.event_summary import one_line
from streamer.cli.rules import DEFAULT_DIRECTIONS
from streamer.clips.analyze import Analysis


def as_dict(result: Analysis) -> dict[str, Any]:
    """The JSON object of --json."""
    return {
        "frames": result.frames,
        "duration_s": round(result.duration_s, 3),
        "width": result.width,
        "height": result.height,
        "lines": {
            name: {
                "left_to_right": line.left_to_right,
                "right_to_left": line.right_to_left,
                "by_class": line.by_class,
            }
            for name, line in result.lines.items()
        },
        "zones": {
            name: {
                "entered": zone.entered,
                "exited": zone.exited,
                "by_class": zone.by_class,
                "dwell_s": [round(s, 3) for s in zone.dwell_s],
            }
            for name, zone in result.zones.items()
        },
        "analytics": result.further,
        "scenes": {
            head: {label: round(s, 3) for label, s in seconds.items()}
            for head, seconds in result.scenes.items()
        },
        "view_moved": round(result.view_moved, 4),
        "detector": result.detector,
    }


def _lines(result: Analysis) -> Table:
    """A column a direction, under the names that the lines give it; where they differ, beside the numbers."""
    ways = {line.name: (line.left_to_right, line.right_to_left) for line in result.rules.lines}
    alike = len(set(ways.values())) == 1
    first = next(iter(ways.values())) if alike else DEFAULT_DIRECTIONS
    heads = zip(first, ("left to right", "right to left"), strict=True)
    usual = first == DEFAULT_DIRECTIONS
    table = Table("line", "class", *(plain if usual else f"{way} ({plain})" for way, plain in heads))
    for name, line in result.lines.items():
        names = ("", "") if alike else tuple(f" {way}" for way in ways[name])
        for kind, sides in sorted(line.by_class.items()):
            counted = (sides["left_to_right"], sides["right_to_left"])
            table.add_row(name, kind, *(f"{n}{way}" for n, way in zip(counted, names, strict=True)))
        both = (line.left_to_right, line.right_to_left)
        cells = (f"{n}{way}" for n, way in zip(both, names, strict=True))
        table.add_row(name, "all", *cells, style="bold")
    return table


def print_analysis(result: Analysis) -> None:
    console = Console()
    console.print(
        f"{result.frames} frames, {result.duration_s:.1f} s, {result.width}x{result.height}, "
        f"{result.detector.get('model') or result.detector.get('engine', '')}"
    )
    if result.lines:
        console.print(_lines(result))
    if result.zones:
        table = Table("zone", "entered", "exited", "mean stay (s)")
        for name, zone in result.zones.items():
            mean = f"{sum(zone.dwell_s) / len(zone.dwell_s):.1f}" if zone.dwell_s else ""
            table.add_row(name, str(zone.entered), str(zone.exited), mean)
        console.print(table)
    if result.scenes:
        table = Table("scene", "label", "seconds")
        for head, seconds in result.scenes.items():
            for label, s in sorted(seconds.items(), key=lambda item: -item[1]):
                table.add_row(head, label, f"{s:.1f}")
        console.print(table)
    if result.further:
        table = Table("analytic", "rule", "events", "the last one")
        for kind, rules in sorted(result.further.items()):
            for name, told in rules.items():
                table.add_row(kind, name, str(told["events"]), one_line(f"streamer.{kind}.v1", told["last"]))
        console.print(table)
