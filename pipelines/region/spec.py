"""What a camera's `region` may say: off, auto, or a rectangle in shares of the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

Box = tuple[float, float, float, float]  # x1, y1, x2, y2, shares of the picture
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
MIN_ROOM = 0.02  # of the picture: nearer to its edge a box is cut by it
MIN_SIDE = 0.05  # of the picture: in less there is no room for an object on both sides of a line
FORMS = "say off, auto, or [x1, y1, x2, y2] in shares of the picture, such as [0.2, 0.4, 0.9, 1]"


def read_region(value: Any) -> Any:
    """ "off", "auto", or the rectangle as four floats. Raises ValueError, in one line."""
    if value in ("off", "auto"):
        return value
    if isinstance(value, str) or not isinstance(value, list | tuple) or len(value) != 4:
        raise ValueError(f"is neither off nor auto, and no rectangle: {FORMS}")
    box = tuple(_share(number) for number in value)
    shown = "[" + ", ".join(f"{number:g}" for number in box) + "]"
    if min(box) < 0 or max(box) > 1:
        raise ValueError(f"{shown} reaches out of the picture: {FORMS}")
    x1, y1, x2, y2 = box
    if x1 > x2 or y1 > y2:
        raise ValueError(f"{shown} is reversed: give its left top corner first, x1 < x2 and y1 < y2")
    if min(x2 - x1, y2 - y1) < MIN_SIDE:
        raise ValueError(f"{shown} is (almost) empty: each side needs {MIN_SIDE:g} of the picture at least")
    return box


def _share(number: Any) -> float:
    try:
        share = math.nan if isinstance(number, bool) else float(number)
    except (TypeError, ValueError):
        share = math.nan
    if not math.isfinite(share):
        raise ValueError(f"holds what is no number: {FORMS}")
    return share


if TYPE_CHECKING:
    Region = Literal["off", "auto"] | Box
else:  # not the union itself: pydantic would say what is wrong with each of its members
    Region = Annotated[
        Any,
        BeforeValidator(read_region),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["off", "auto"]},
                    {
                        "type": "array",
                        "items": {"type": "number", "minimum": 0, "maximum": 1},
                        "minItems": 4,
                        "maxItems": 4,
                    },
                ]
            }
        ),
    ]


def overlap(first: Box, second: Box) -> bool:
    """Whether two rectangles have more in common than a point or an edge; one may be a line."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return wide >= 0 and high >= 0


def has_room(drawn: Box, region: Box) -> bool:
    """Whether a box keeps off the edges of a region by what counts as a border, but for the picture's own."""
    edges = zip(drawn, region, (1, 1, -1, -1), WHOLE, strict=True)
    return all(edge == whole or inward * (mine - edge) >= MIN_ROOM for mine, edge, inward, whole in edges)


def overhangs(inner: Box, outer: Box) -> bool:
    """Whether a rectangle reaches out of another."""
    return any(a < b for a, b in zip(inner[:2], outer[:2], strict=True)) or any(
        a > b for a, b in zip(inner[2:], outer[2:], strict=True)
    )


def share(box: Box) -> float:
    """How much of the picture a rectangle is."""
    return (box[2] - box[0]) * (box[3] - box[1])


def around(points: Any) -> Box:
    """The bounding box of points (x, y)."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
