"""A batch that the detector has, with what follows it needs of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.detect.detector import Ticket
from pipelines.region.crop import Crop
from pipelines.values import Detections, Image, Stamp


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A batch that the detector has; `stamps` and `aspects` (width over height) in the order of its frames.

    `greys` are small grey copies that tell whether the view has moved, and what moves in it, `images` copies
    for a model of actions that looks at pixels, `scenes` those of frames whose scene is due, `colours`
    small ones of frames far apart, `journeys` those where looks are asked for; a replay has none. `crops` are
    the parts that the detector was given, None for a whole picture.
    """

    stamps: tuple[Stamp, ...]
    ticket: Ticket
    aspects: tuple[float, ...]
    greys: tuple[Image, ...] = ()
    images: tuple[Image, ...] = ()
    scenes: tuple[Image | None, ...] = ()
    colours: tuple[Image | None, ...] = ()
    crops: tuple[Crop | None, ...] = ()
    journeys: tuple[Image | None, ...] = ()

    def only(self, rows: Sequence[int]) -> Pending:
        """The frames at these places of the batch, to be followed without the others."""

        def of(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[i] for i in rows) if values else ()

        return Pending(
            of(self.stamps),
            self.ticket,
            of(self.aspects),
            of(self.greys),
            of(self.images),
            of(self.scenes),
            of(self.colours),
            of(self.crops),
            of(self.journeys),
        )

    def placed(self, found: Sequence[Detections]) -> list[Detections]:
        """What was found in its frames' parts, in places of their whole pictures."""
        return placed(self.crops or (None,) * len(found), found)


class Asked(NamedTuple):
    """A batch that the detector has, and the parts that it was given; None for a whole picture."""

    ticket: Ticket
    crops: tuple[Crop | None, ...]


def placed(crops: Sequence[Crop | None], found: Sequence[Detections]) -> list[Detections]:
    """What was found in parts of pictures, in places of the whole ones."""
    return [crop.place(boxes) if crop else boxes for crop, boxes in zip(crops, found, strict=True)]
