"""Which cameras a box is to run, and why one waits: worked out of the table alone, in a person's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from streamer.site.cluster import Box, Placing, Table
from streamer.site.settings import NODE_LABEL
from streamer.site.terms import Term

Doing = Literal["running", "moving", "waiting", "unplaced", "left over"]
ROUNDING = 0.0005  # cores; half of what the cluster counts in


@dataclass(frozen=True, slots=True)
class CameraPlace:
    """One line of `streamer site status`. `box` is where it is placed, `runs_on` who had the last term."""

    camera: str
    doing: Doing
    box: str
    runs_on: str
    term: int
    cost: float
    on: Mapping[str, str]
    why: str


def cameras_of(table: Table, box: str) -> frozenset[str]:
    """What the box of this name is to run. Nothing where it is not in the cluster."""
    own = table.box(box)
    if own is None:
        return frozenset()
    return frozenset(p.camera for p in table.placings if p.state == "placed" and p.box == own.id)


def camera_places(table: Table, wanted: Iterable[str], terms: Mapping[str, Term | None]) -> list[CameraPlace]:
    """Every camera that is configured or placed, by name. `wanted` are those of the configuration."""
    configured = set(wanted)
    names = sorted(configured | {placing.camera for placing in table.placings})
    return [_place(table, name, name in configured, terms.get(name)) for name in names]


def _place(table: Table, camera: str, configured: bool, term: Term | None) -> CameraPlace:
    placing = table.placing(camera)
    runs_on, number = (term.name or term.node, term.term) if term is not None else ("", 0)
    if placing is None:
        why = "the cluster has not been asked for a place: run `streamer site apply`"
        return CameraPlace(camera, "unplaced", "", runs_on, number, 0.0, {}, why)
    box = table.box_by_id(placing.box)
    name = box.name if box is not None else ""
    doing, why = _doing(table, placing, name, configured, runs_on)
    return CameraPlace(camera, doing, name, runs_on, number, placing.cost, placing.on, why)


def _doing(table: Table, placing: Placing, box: str, configured: bool, runs_on: str) -> tuple[Doing, str]:
    if not configured:
        return "left over", "placed, but no longer configured: run `streamer site apply`"
    if placing.state == "waiting":
        why = why_it_waits(table, placing)
        return "waiting", f"{why}; {runs_on} goes on until another box takes it" if runs_on else why
    if box == runs_on:
        return "running", ""
    return "moving", f"{box} has not taken it yet: is `streamer site agent` running there?"


def why_it_waits(table: Table, placing: Placing) -> str:
    """The first that rules out all boxes: there is none, its labels, a drain, its cost, the room."""
    boxes = [box for box in table.boxes if box.alive and box.capacity > 0]
    if not boxes:
        return (
            "no box with a capacity is in the site: start `streamer site agent` on one, or wait where one is "
            "just started or is no longer drained: Ray takes half a minute"
        )
    asked = ", ".join(f"{name}={value}" for name, value in placing.on.items())
    fitting = [box for box in boxes if _matches(box, placing.on)]
    if not fitting:
        return f"no box of the site has {asked}: join one with --label {asked.split(', ')[0]}"
    open_ones = [box for box in fitting if not box.draining]
    among = f" with {asked}" if asked else ""
    if not open_ones:
        return f"every box{among} is being drained: {_names(fitting)}"
    largest = max(open_ones, key=lambda box: box.capacity)
    if largest.capacity + ROUNDING < placing.cost:
        most = f"the largest box{among}, {largest.name}, has {largest.capacity:g}"
        return f"it costs {placing.cost:g} cores, and {most}"
    freest = max(open_ones, key=lambda box: box.free)
    if freest.free + ROUNDING < placing.cost:
        most = f"the most that is free{among} is {freest.free:g}, on {freest.name}"
        return f"it costs {placing.cost:g} cores, and {most}"
    return f"there is room on {freest.name}: the cluster places it in a moment"


def _matches(box: Box, on: Mapping[str, str]) -> bool:
    """As Ray's selectors of one value, which is all that `--on` gives."""
    labels = {**box.labels, NODE_LABEL: box.name}
    return all(labels.get(name) == value for name, value in on.items())


def _names(boxes: Iterable[Box]) -> str:
    return ", ".join(sorted(box.name for box in boxes))
