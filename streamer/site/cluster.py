"""What a site needs of its cluster, in words of its own: boxes, and which camera is placed on which.

Ray is behind it: `cluster_table.py` reads, `cluster_placing.py` places, `cluster_processes.py` keeps the
processes of a box. No other file knows Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from streamer.errors import SiteError

CAPACITY = "capacity"  # the resource of which a camera takes its cost
MILLI = 1000  # it is counted in thousandths of a core: above 1, Ray takes whole numbers alone

State = Literal["placed", "waiting"]


def in_resource(cores: float) -> int:
    """`cores` as the cluster counts them."""
    return round(cores * MILLI)


class NotReached(SiteError):
    """Raised when the head gives no answer: whether anything has changed is not known."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node of the cluster; `id` is the cluster's, another after each start. Capacities in cores."""

    id: str
    name: str
    address: str
    alive: bool
    draining: bool
    capacity: float
    free: float
    labels: Mapping[str, str] = field(default_factory=dict)
    is_head: bool = False


@dataclass(frozen=True, slots=True)
class Placing:
    """A camera as the cluster has it. `box` is a Box's id, "" while it waits; `id` is another each time that
    the camera is asked for anew."""

    camera: str
    id: str
    state: State
    box: str
    cost: float
    on: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    boxes: tuple[Box, ...]
    placings: tuple[Placing, ...]

    def box(self, name: str) -> Box | None:
        """The box of this name that is alive; the newest, where a start has just left another behind."""
        return next((box for box in reversed(self.boxes) if box.name == name and box.alive), None)

    def box_by_id(self, box_id: str) -> Box | None:
        return next((box for box in self.boxes if box.id == box_id), None)

    def placing(self, camera: str) -> Placing | None:
        return next((placing for placing in self.placings if placing.camera == camera), None)


class Cluster(Protocol):
    """Reading is cheap: an agent asks several times a second."""

    def table(self) -> Table:
        """Raises NotReached, and SiteError where the head refuses this box."""

    def drain(self, box_id: str) -> None:
        """Let no camera be placed on the box any more, until its next start. Raises as table()."""


class Placer(Protocol):
    """Changes placings; a camera has one at most."""

    def place(self, camera: str, cost: float, on: Mapping[str, str], near: str = "") -> None:
        """Ask for a place: at once, or when there is room. `near` is the id of the box that has it now, which
        is taken where it has room. Raises SiteError."""

    def remove(self, camera: str) -> None:
        """Raises SiteError. One that is not there is removed."""
