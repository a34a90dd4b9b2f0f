"""Making the cluster's placings equal to the configuration, and emptying a box. Ray does the choosing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamer.site.cluster import Box, Placer, Placing, Table
from streamer.site.configuration import Published
from streamer.site.placement import ROUNDING


@dataclass
class Changes:
    """Cameras by what was asked of the cluster for them."""

    placed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def apply(
    placer: Placer, table: Table, wanted: Mapping[str, Published], owners: Mapping[str, str]
) -> Changes:
    """Place what is not placed, place anew what costs something else or must be elsewhere, remove the rest.

    `owners`: by camera the name of the box that had its last term. It keeps the camera where it has room,
    also after a head has lost its table: nothing moves that need not. Raises SiteError.
    """
    changes = Changes()
    for placing in table.placings:
        if placing.camera not in wanted:
            placer.remove(placing.camera)
            changes.removed.append(placing.camera)
    for camera, want in sorted(wanted.items()):
        now = table.placing(camera)
        if now is not None and _is_as_wanted(now, want):
            continue
        if now is not None:
            placer.remove(camera)
        placer.place(camera, want.cost, want.on, _near(table, now, owners.get(camera, "")))
        (changes.placed if now is None else changes.moved).append(camera)
    return changes


def _is_as_wanted(now: Placing, want: Published) -> bool:
    return abs(now.cost - want.cost) < ROUNDING and dict(now.on) == dict(want.on)


def _near(table: Table, now: Placing | None, owner: str) -> str:
    box = table.box_by_id(now.box) if now is not None else table.box(owner)
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
