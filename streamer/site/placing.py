"""Making the cluster's placings equal to the configuration, and emptying a box. Ray does the choosing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streamer.site.cluster import Box, Cluster, Placer, Placing, Table
from streamer.site.configuration import Published
from streamer.site.placement import ROUNDING, why_it_waits

MAX_WAIT_S, WAIT_STEP_S = 2.0, 0.05


@dataclass
class Changes:
    """Cameras by what was asked of the cluster for them."""

    placed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def apply(
    placer: Placer, cluster: Cluster, wanted: Mapping[str, Published], owners: Mapping[str, str]
) -> Changes:
    """Place what is not placed, place anew what costs something else or must be elsewhere, remove the rest.

    `owners`: by camera the name of the box that had its last term. It keeps the camera where it has room,
    also after a head has lost its table: nothing moves that need not. Raises SiteError.
    """
    changes, table = Changes(), cluster.table()
    for placing in table.placings:
        if placing.camera not in wanted:
            placer.remove(placing.camera)
            changes.removed.append(placing.camera)
    for camera, want in sorted(wanted.items()):
        now = table.placing(camera)
        if now is not None and _is_as_wanted(now, want):
            continue
        near = _near(table, now, owners.get(camera, ""))
        if now is not None:
            placer.remove(camera)
            _wait_for_room(cluster, near, want.cost)
        placer.place(camera, want.cost, want.on, near)
        (changes.placed if now is None else changes.moved).append(camera)
    return changes


def _is_as_wanted(now: Placing, want: Published) -> bool:
    return abs(now.cost - want.cost) < ROUNDING and dict(now.on) == dict(want.on)


def _wait_for_room(cluster: Cluster, box_id: str, cost: float) -> None:
    """The room of what was removed comes back a moment later; asked for before that, a camera that could stay
    would move."""
    end_s = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < end_s:
        box = cluster.table().box_by_id(box_id)
        if box is None or box.free + ROUNDING >= min(cost, box.capacity):
            return
        time.sleep(WAIT_STEP_S)


def _near(table: Table, now: Placing | None, owner: str) -> str:
    box = table.box_by_id(now.box) if now is not None and now.box else table.box(owner)
    return box.id if box is not None and box.alive and not box.draining else ""


def place_elsewhere(placer: Placer, table: Table, box: Box) -> list[str]:
    """Ask anew for a place of all that is on `box`, which is being drained; returns the cameras' names.

    The box goes on with each until another has taken it. Raises SiteError.
    """
    moving = sorted((each for each in table.placings if each.box == box.id), key=lambda each: each.camera)
    for placing in moving:
        placer.remove(placing.camera)
        placer.place(placing.camera, placing.cost, placing.on)
    return [placing.camera for placing in moving]


def without_place(cluster: Cluster, cameras: Sequence[str]) -> dict[str, str]:
    """Those of `cameras` that the cluster has found no place for within two seconds, and why. Raises
    SiteError."""
    end_s = time.monotonic() + MAX_WAIT_S
    while True:
        table = cluster.table()
        placings = [placing for placing in map(table.placing, cameras) if placing is not None]
        waiting = [placing for placing in placings if placing.state == "waiting"]
        if not waiting or time.monotonic() >= end_s:
            return {placing.camera: why_it_waits(table, placing) for placing in waiting}
        time.sleep(WAIT_STEP_S)
