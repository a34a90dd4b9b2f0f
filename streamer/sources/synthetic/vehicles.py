"""The vehicles of the synthetic street as small meshes: bodies, glass, wheels, lights, shaded once.

A mesh lives in the vehicle's own metres: u forward, v to its left, z up, the origin on the ground under its
middle. Faces are drawn in order, those that look away from the camera are left out.
"""

from __future__ import annotations

import colorsys
import functools
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.sources.synthetic.shapes import Colour, Poly, Shape
from streamer.sources.synthetic.traffic import VEHICLES
from streamer.sources.synthetic.view import Array, View

SUN = np.array([-0.35, -0.55, 0.76])  # from the ground towards the sun, in the world's axes
GLASS: Colour = (58, 50, 42)
GLASS_SKY: Colour = (150, 132, 112)
RUBBER: Colour = (28, 27, 26)
RIM: Colour = (150, 150, 148)
TRIM: Colour = (38, 36, 35)
PAINTS = (  # hue, saturation, value, share: what stands in a European street
    (0.0, 0.0, 0.90, 0.24),
    (0.0, 0.0, 0.12, 0.20),
    (0.0, 0.0, 0.45, 0.15),
    (0.58, 0.06, 0.68, 0.14),
    (0.61, 0.72, 0.50, 0.12),
    (0.0, 0.85, 0.62, 0.09),
    (0.09, 0.25, 0.55, 0.03),
    (0.38, 0.55, 0.32, 0.03),
)
# Those in sight of the scenes of one process (30 in the busiest, 18 in an ordinary one). Each new vehicle is
# another, so that a larger cache only delays when a camera's memory stands still.
MAX_SOLIDS = 128
Point3 = tuple[float, float, float]
Profile = Sequence[tuple[float, float]]  # (u, z)


@dataclass
class Mesh:
    """Faces in drawing order: `points` (N, 3) of all, `spans` of each, its `normals` (F, 3) and colours."""

    length: float
    width: float
    height: float
    points: list[Point3] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    normals: list[Array] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)

    def face(self, corners: Sequence[Point3], colour: Colour, normal: Array) -> None:
        start = len(self.points)
        self.points.extend(corners)
        self.spans.append((start, len(self.points)))
        self.normals.append(normal)
        self.colours.append(colour)


@dataclass(frozen=True, slots=True)
class Solid:
    """A mesh ready to be placed: arrays, and colours shaded for one way of driving. The mesh itself is
    not kept: a tuple a corner, it takes three times the memory of all this."""

    size: Point3  # length, width, height in metres
    points: Array
    spans: tuple[tuple[int, int], ...]
    normals: Array
    middles: Array
    colours: tuple[Colour, ...]


def shapes(view: View, kind: str, look: int, x: float, y: float, forward: int) -> list[Shape]:
    """The visible faces of a vehicle at (x, y), driving to +x (`forward` 1) or to -x (-1)."""
    solid = solid_of(kind, look, forward)
    at = np.array([x, y, 0.0])
    pixels, depth = view.project(solid.points + at)
    if depth.min() < 1.0:
        return []
    seen = np.einsum("ij,ij->i", solid.normals, view.position - at - solid.middles) > 0
    return [Poly(pixels[a:b], solid.colours[i]) for i, (a, b) in enumerate(solid.spans) if seen[i]]


def footprint(kind: str, look: int, x: float, y: float, forward: int) -> Array:
    """(8, 3): the corners of the vehicle's lower body and roof in the world, for its shadow."""
    length, width, top = solid_of(kind, look, forward).size
    u, v = length / 2, width / 2
    corners = [(-u, -v), (u, -v), (u, v), (-u, v)]
    low = [(x + a * 0.98, y + b * 0.95, 0.0) for a, b in corners]
    high = [(x + a * 0.72, y + b * 0.8, top) for a, b in corners]
    return np.array(low + high)


@functools.lru_cache(maxsize=MAX_SOLIDS)
def solid_of(kind: str, look: int, forward: int) -> Solid:
    mesh = BUILDERS[kind](random.Random(f"{kind} {look}"))
    turn = np.array([forward, forward, 1.0])
    points = np.array(mesh.points) * turn
    normals = np.array(mesh.normals) * turn
    middles = np.array([points[a:b].mean(axis=0) for a, b in mesh.spans])
    light = 0.62 + 0.42 * np.maximum(0.0, normals @ SUN) + 0.08 * np.maximum(0.0, normals[:, 2])
    colours = tuple(_times(c, float(k)) for c, k in zip(mesh.colours, light, strict=True))
    size = (mesh.length, mesh.width, mesh.height)
    return Solid(size, points, tuple(mesh.spans), normals, middles, colours)


# ---- parts


def _times(colour: Colour, factor: float) -> Colour:
    b, g, r = (min(255, round(channel * factor)) for channel in colour)
    return b, g, r


def _paint(dice: random.Random) -> Colour:
    hue, saturation, value, _ = dice.choices(PAINTS, [p[3] for p in PAINTS])[0]
    value = min(0.97, max(0.06, value + dice.uniform(-0.06, 0.06)))
    r, g, b = colorsys.hsv_to_rgb((hue + dice.uniform(-0.02, 0.02)) % 1.0, saturation, value)
    return round(b * 255), round(g * 255), round(r * 255)


def _strip(
    mesh: Mesh, a: tuple[float, float], b: tuple[float, float], va: float, vb: float, colour: Colour
) -> None:
    """The face across the vehicle between profile points a and b, half widths va and vb."""
    du, dz = b[0] - a[0], b[1] - a[1]
    length = math.hypot(du, dz)
    normal = np.array([dz, 0.0, -du]) / length  # the profile runs from the front over the top to the rear
    mesh.face([(a[0], -va, a[1]), (a[0], va, a[1]), (b[0], vb, b[1]), (b[0], -vb, b[1])], colour, normal)


def _sides(
    mesh: Mesh, outline: Profile, v: float, colour: Colour, lean: float = 0.0, low: float = 0.0
) -> None:
    """A polygon on both sides at half width v; above `low` it leans inwards by `lean` per metre."""
    for side in (1, -1):
        corners = [(u, side * (v - lean * max(0.0, z - low)), z) for u, z in outline]
        mesh.face(corners, colour, np.array([0.0, float(side), lean * 0.8]))


def _wheels(mesh: Mesh, at: Sequence[float], radius: float, v: float) -> None:
    for u in at:
        for r, colour in (
            (radius * 1.16, TRIM),
            (radius, RUBBER),
            (radius * 0.62, RIM),
            (radius * 0.2, TRIM),
        ):
            ring = [
                (u + r * math.cos(k * math.tau / 14), radius + r * math.sin(k * math.tau / 14))
                for k in range(14)
            ]
            ring = [(a, max(0.0, b)) for a, b in ring]
            _sides(mesh, ring, v + 0.01, colour)


def _bands(mesh: Mesh, profile: Profile, v: float, paint: Colour, bottom: float, top: float) -> None:
    """The lower body's sides in three bands: sky on the shoulder, road in the sill."""
    u_front, u_rear = profile[0][0], profile[-1][0]
    _sides(mesh, [*profile], v, paint)
    span = top - bottom
    for share_a, share_b, factor in ((0.0, 0.2, 0.55), (0.2, 0.45, 0.84), (0.78, 0.9, 1.18)):
        a, b = bottom + span * share_a, bottom + span * share_b
        inset = 0.05
        _sides(
            mesh,
            [(u_front - inset, a), (u_front - inset, b), (u_rear + inset, b), (u_rear + inset, a)],
            v + 0.002,
            _times(paint, factor),
        )


def _front_and_rear(mesh: Mesh, u: float, v: float, z: float, tall: float, lights: float) -> None:
    """Head and tail lights, plates and bumpers, on the faces at u and -u."""
    ahead, behind = np.array([1.0, 0, 0]), np.array([-1.0, 0, 0])
    for normal, where, sign in ((ahead, u + 0.012, 1), (behind, -u - 0.012, -1)):
        lamp: Colour = (225, 240, 245) if sign > 0 else (40, 38, 205)
        for a, b, low, high, colour in (
            (-v * 0.96, v * 0.96, 0.24, 0.24 + tall * 0.3, TRIM),
            (-v * 0.55, v * 0.55, z - 0.06, z + lights * 0.6, TRIM if sign > 0 else None),
            (-0.26, 0.26, z - 0.22, z - 0.10, (225, 228, 228)),
            (-v * 0.97, -v * 0.60, z, z + lights, lamp),
            (v * 0.60, v * 0.97, z, z + lights, lamp),
        ):
            if colour is not None:
                mesh.face(
                    [(where, a, low), (where, b, low), (where, b, high), (where, a, high)], colour, normal
                )
        for side in (1, -1):
            edge = u - 0.02 if sign > 0 else -u + 0.02
            mesh.face(
                [
                    (edge, side * (v + 0.004), z),
                    (edge - sign * 0.28, side * (v + 0.004), z + 0.02),
                    (edge - sign * 0.22, side * (v + 0.004), z + lights),
                    (edge, side * (v + 0.004), z + lights),
                ],
                lamp,
                np.array([0.0, side, 0.0]),
            )


# ---- the kinds


def _car(dice: random.Random) -> Mesh:
    length, width, height = VEHICLES["car"][0]
    estate, tall = dice.random() < 0.5, dice.choice((0.0, 0.0, 0.16))
    mesh = Mesh(length, width, height + tall)
    paint, u, v = _paint(dice), length / 2, width / 2
    belt, roof = 0.93 + tall * 0.5, height + tall
    lower = [
        (u - 0.03, 0.22),
        (u, 0.5),
        (u - 0.06, 0.70),
        (u - 0.28, 0.80),
        (u - 1.15, belt),
        (-u + 0.35, belt + 0.04),
        (-u + 0.04, belt - 0.06),
        (-u, 0.5),
        (-u + 0.05, 0.22),
    ]
    for a, b in itertools.pairwise(lower):
        _strip(mesh, a, b, v * 0.98, v * 0.98, paint)
    _bands(mesh, lower, v, paint, 0.2, belt)
    back = -u + (0.12 if estate else 0.5)
    cabin = [
        (u - 1.12, belt),
        (u - 1.85, roof - 0.05),
        (-0.2, roof),
        (back + (0.25 if estate else 0.85), roof - 0.05),
        (back, belt),
    ]
    lean = 0.38
    inner = [v - lean * (z - belt) - 0.02 for _, z in cabin]
    for k, colour in enumerate((GLASS_SKY, paint, paint, GLASS)):
        _strip(mesh, cabin[k], cabin[k + 1], inner[k], inner[k + 1], colour)
    _sides(mesh, cabin, v - 0.02, paint, lean, belt)
    middle = -0.15
    for pane in (
        [
            (u - 1.38, belt + 0.03),
            (u - 1.90, roof - 0.13),
            (middle + 0.06, roof - 0.10),
            (middle + 0.06, belt + 0.03),
        ],
        [
            (middle - 0.06, belt + 0.03),
            (middle - 0.06, roof - 0.10),
            (cabin[3][0] + 0.1, roof - 0.14),
            (back + 0.3, belt + 0.05),
        ],
    ):
        _sides(mesh, pane, v - 0.012, GLASS, lean, belt)
        shine = [
            pane[1],
            pane[2],
            ((pane[2][0] + pane[3][0]) / 2, (pane[2][1] + pane[3][1]) / 2),
            ((pane[1][0] + pane[0][0]) / 2, (pane[1][1] + pane[0][1]) / 2),
        ]
        _sides(mesh, shine, v - 0.01, _times(GLASS, 1.5), lean, belt)
    for door in (u - 1.4, middle, -u + 1.0):
        _sides(
            mesh,
            [(door, 0.3), (door + 0.025, 0.3), (door + 0.025, belt), (door, belt)],
            v + 0.004,
            _times(paint, 0.5),
        )
    _wheels(mesh, (u - 0.82, -u + 0.80), 0.315, v)
    _front_and_rear(mesh, u, v * 0.98, 0.58, 0.5, 0.15)
    _sides(
        mesh,
        [(u - 1.45, belt), (u - 1.45, belt + 0.12), (u - 1.65, belt + 0.12), (u - 1.65, belt)],
        v + 0.12,
        paint,
    )
    return mesh


def _box(mesh: Mesh, profile: Profile, v: float, paint: Colour, glass: Sequence[int], bottom: float) -> None:
    """A one-volume body: `profile` from the lower front over the roof to the lower rear."""
    for k, (a, b) in enumerate(itertools.pairwise(profile)):
        _strip(mesh, a, b, v * 0.98, v * 0.98, GLASS_SKY if k in glass else paint)
    top = max(z for _, z in profile)
    _sides(mesh, profile, v, paint)
    u_a, u_b = profile[0][0] - 0.05, profile[-1][0] + 0.05
    for share_a, share_b, factor in ((0.0, 0.12, 0.5), (0.12, 0.26, 0.85)):
        low, high = bottom + (top - bottom) * share_a, bottom + (top - bottom) * share_b
        _sides(mesh, [(u_a, low), (u_a, high), (u_b, high), (u_b, low)], v + 0.002, _times(paint, factor))


def _van(dice: random.Random) -> Mesh:
    length, width, height = VEHICLES["van"][0]
    mesh, u, v = Mesh(length, width, height), length / 2, width / 2
    paint: Colour = (232, 234, 234) if dice.random() < 0.6 else _paint(dice)
    profile = [
        (u, 0.25),
        (u, 0.85),
        (u - 0.65, 1.12),
        (u - 1.35, height - 0.18),
        (u - 1.75, height),
        (-u + 0.1, height),
        (-u, height - 0.15),
        (-u, 0.25),
    ]
    _box(mesh, profile, v, paint, (2,), 0.22)
    _sides(
        mesh,
        [(u - 0.85, 1.15), (u - 1.42, height - 0.36), (u - 2.0, height - 0.36), (u - 2.0, 1.12)],
        v + 0.004,
        GLASS,
    )
    for door in (u - 2.08, 0.1):
        _sides(
            mesh,
            [(door, 0.3), (door + 0.03, 0.3), (door + 0.03, height - 0.2), (door, height - 0.2)],
            v + 0.004,
            _times(paint, 0.6),
        )
    mesh.face(
        [
            (-u - 0.01, -v * 0.8, 1.25),
            (-u - 0.01, v * 0.8, 1.25),
            (-u - 0.01, v * 0.8, 1.85),
            (-u - 0.01, -v * 0.8, 1.85),
        ],
        GLASS,
        np.array([-1.0, 0, 0]),
    )
    _wheels(mesh, (u - 0.95, -u + 1.0), 0.34, v)
    _front_and_rear(mesh, u, v, 0.68, 0.6, 0.2)
    return mesh


def _bus(dice: random.Random) -> Mesh:
    length, width, height = VEHICLES["bus"][0]
    mesh, u, v = Mesh(length, width, height), length / 2, width / 2
    paint: Colour = dice.choice(((40, 60, 200), (200, 205, 205), (60, 190, 225), (130, 120, 40)))
    profile = [
        (u, 0.3),
        (u, 1.05),
        (u - 0.12, height - 0.4),
        (u - 0.2, height),
        (-u + 0.1, height),
        (-u, height - 0.2),
        (-u, 0.3),
    ]
    _box(mesh, profile, v, paint, (1,), 0.28)
    edges = np.linspace(u - 0.4, -u + 0.4, 8)
    for a, b in itertools.pairwise(edges):
        _sides(mesh, [(a - 0.06, 1.2), (a - 0.06, 2.45), (b + 0.06, 2.45), (b + 0.06, 1.2)], v + 0.004, GLASS)
        _sides(
            mesh,
            [(a - 0.06, 2.0), (a - 0.06, 2.45), (b + 0.06, 2.45), (b + 0.06, 2.0)],
            v + 0.006,
            _times(GLASS, 1.6),
        )
    for door in (u - 1.0, -0.6):
        _sides(
            mesh,
            [(door, 0.42), (door, 2.45), (door - 1.1, 2.45), (door - 1.1, 0.42)],
            v + 0.008,
            _times(GLASS, 0.8),
        )
    mesh.face(
        [
            (u + 0.01 - 0.16, -v * 0.8, height - 0.42),
            (u + 0.01 - 0.16, v * 0.8, height - 0.42),
            (u + 0.01 - 0.2, v * 0.8, height - 0.1),
            (u + 0.01 - 0.2, -v * 0.8, height - 0.1),
        ],
        (30, 40, 45),
        np.array([1.0, 0, 0]),
    )
    mesh.face(
        [
            (u - 0.12, -v * 0.5, height - 0.34),
            (u - 0.12, v * 0.4, height - 0.34),
            (u - 0.15, v * 0.4, height - 0.2),
            (u - 0.15, -v * 0.5, height - 0.2),
        ],
        (40, 170, 240),
        np.array([1.0, 0, 0]),
    )
    _wheels(mesh, (u - 2.4, -u + 2.9), 0.48, v)
    _front_and_rear(mesh, u, v, 0.65, 0.6, 0.2)
    return mesh


def _truck(dice: random.Random) -> Mesh:
    length, width, height = VEHICLES["truck"][0]
    mesh, u, v = Mesh(length, width, height), length / 2, width / 2
    paint = _paint(dice)
    cargo: Colour = dice.choice(((225, 228, 230), (150, 110, 70), (90, 130, 60), (200, 200, 190)))
    chassis = [(u - 0.3, 0.45), (u - 0.3, 0.8), (-u + 0.1, 0.8), (-u + 0.1, 0.45)]
    _box(mesh, chassis, v * 0.9, TRIM, (), 0.4)
    cab = [(u, 0.4), (u, 1.25), (u - 0.3, 2.25), (u - 0.5, 2.4), (u - 1.7, 2.4), (u - 1.72, 0.4)]
    box = [(u - 1.85, 0.85), (u - 1.85, height), (-u, height), (-u, 0.85)]
    _box(mesh, box, v, cargo, (), 0.85)
    _box(mesh, cab, v * 0.96, paint, (1,), 0.4)
    _sides(
        mesh, [(u - 0.25, 1.3), (u - 0.45, 2.15), (u - 1.25, 2.15), (u - 1.25, 1.25)], v * 0.96 + 0.004, GLASS
    )
    _wheels(mesh, (u - 0.95, -u + 1.5), 0.44, v * 0.97)
    _front_and_rear(mesh, u, v * 0.95, 0.68, 0.6, 0.18)
    return mesh


BUILDERS = {"car": _car, "van": _van, "bus": _bus, "truck": _truck}
