"""The empty street behind the actors: ground, houses and street furniture, made once for a seed and a size.

Every pixel's ray is met with the ground plane and the facades' plane, and coloured by what lies there in
metres, so that the textures have the perspective of the camera.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image
from streamer.sources.synthetic.shapes import Limb, Oval, Shape, paint, stamp
from streamer.sources.synthetic.view import (
    FACADE,
    FAR_PAVEMENT,
    LANES,
    NEAR_PAVEMENT,
    PARKING,
    ROAD,
    STOP_LINES,
    ZEBRA,
    Array,
    View,
)

Plane = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
SKY_TOP, SKY_LOW = np.array([225.0, 190.0, 150.0]), np.array([238.0, 228.0, 215.0])
HOUSES = ((128, 150, 178), (95, 115, 165), (165, 180, 190), (120, 130, 140), (150, 175, 205), (100, 135, 160))
SHOPS = ((60, 60, 140), (110, 70, 40), (55, 85, 50), (50, 50, 50), (40, 120, 170))
STOREY_M = 3.2


@dataclass(frozen=True)
class Occluder:
    """Street furniture at `y` that hides what is farther: its silhouette and where it lies in the picture."""

    y: float
    top: int
    left: int
    mask: Image  # (h, w) uint8, 255 where the furniture is


@dataclass(frozen=True)
class Backdrop:
    image: Image
    occluders: tuple[Occluder, ...]


def build(view: View, seed: int) -> Backdrop:
    """The empty street of `seed` as `view` sees it."""
    noise = _Noise(seed)
    canvas = np.zeros((view.height, view.width, 3), np.float32)
    rays = view.rays()
    _paint_sky(canvas, rays)
    _paint_green(canvas, rays, view, noise)
    _paint_houses(canvas, rays, view, noise, random.Random(f"houses {seed}"))
    _paint_ground(canvas, rays, view, noise)
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0.6), np.uint8)
    occluders = []
    for y, shapes in _furniture(view, random.Random(f"furniture {seed}")):
        paint(image, shapes)
        occluder = _occluder(view, y, shapes)
        if occluder is not None:
            occluders.append(occluder)
    return Backdrop(image, tuple(sorted(occluders, key=lambda o: -o.y)))


class _Noise:
    """Smooth random fields that can be sampled at places in metres."""

    def __init__(self, seed: int) -> None:
        dice = np.random.default_rng(seed + 77)
        self._tile = dice.random((256, 256)).astype(np.float32)

    def at(self, u: Array, v: Array, scale_m: float) -> Array:
        """Values in [0, 1], smooth over `scale_m` metres, repeating after 256 of them."""
        x, y = u / scale_m, v / scale_m
        x0, y0 = np.floor(x), np.floor(y)
        fx, fy = x - x0, y - y0
        i, j = x0.astype(np.int64) & 255, y0.astype(np.int64) & 255
        i1, j1 = (i + 1) & 255, (j + 1) & 255
        top = self._tile[j, i] * (1 - fx) + self._tile[j, i1] * fx
        low = self._tile[j1, i] * (1 - fx) + self._tile[j1, i1] * fx
        return np.asarray(top * (1 - fy) + low * fy, np.float64)

    def rough(self, u: Array, v: Array, scale_m: float) -> Array:
        """Three octaves of it, around 0, in [-1, 1]."""
        total = sum(self.at(u + k, v - k, scale_m / 2**k) / 2**k for k in range(3))
        return np.asarray(total / 1.75 * 2 - 1)


def _paint_sky(canvas: npt.NDArray[np.float32], rays: Array) -> None:
    rise = np.clip(rays[..., 2] * 3, 0, 1)[..., None]
    canvas[:] = SKY_LOW * (1 - rise) + SKY_TOP * rise


def _paint_green(canvas: npt.NDArray[np.float32], rays: Array, view: View, noise: _Noise) -> None:
    """A park behind the houses, seen through the gaps between them, with a row of trees at its end."""
    low = rays[..., 2] < 0.045 + 0.02 * noise.rough(rays[..., 0] * 40, rays[..., 1] * 40, 1.5)
    reach = np.where(rays[..., 2] < -1e-3, view.position[2] / np.maximum(-rays[..., 2], 1e-3), 400.0)[low]
    x, y = rays[low][:, 0] * reach, rays[low][:, 1] * reach
    tone = 0.8 + 0.25 * noise.rough(x, y, 4.0) + 0.2 * noise.rough(rays[low][:, 0], rays[low][:, 2], 0.012)
    canvas[low] = tone[:, None] * np.where((reach >= 400)[:, None], (52, 78, 60), (70, 128, 100))


# ---- the houses


def _paint_houses(
    canvas: npt.NDArray[np.float32], rays: Array, view: View, noise: _Noise, dice: random.Random
) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(rays[..., 1] > 1e-6, FACADE / rays[..., 1], -1.0)
    x, z = rays[..., 0] * reach, rays[..., 2] * reach + view.position[2]
    facing = (reach > 0) & (z > 0)
    left = -140.0
    while left < 40.0:
        wide = dice.uniform(7.0, 13.0)
        storeys = dice.choice((2, 3, 3, 4))
        here = facing & (x >= left) & (x < left + wide) & (z < storeys * STOREY_M + 0.9)
        if here.any():
            canvas[here] = _house(x[here] - left, z[here], wide, storeys, noise, dice)
        left += wide + (dice.uniform(2.0, 5.0) if dice.random() < 0.18 else 0.0)


def _house(u: Array, z: Array, wide: float, storeys: int, noise: _Noise, dice: random.Random) -> Array:
    """Colours (N, 3) of a facade at u metres from its left edge and z above the ground."""
    wall = np.array(dice.choice(HOUSES), float) * dice.uniform(0.8, 1.05)
    rows = np.floor(z / 0.22)
    brick = noise.at(np.floor((u + rows * 0.2) / 0.4) * 7.3, rows * 5.1, 1.0) - 0.5
    out = wall + (brick * 16)[:, None] + (noise.rough(u, z, 2.5) * 12)[:, None]
    out[np.mod(z, 0.22) < 0.03] *= 0.94
    panes = max(2, round(wide / 2.6))
    pitch = wide / panes
    du = np.mod(u, pitch) - pitch / 2
    dz = np.mod(z, STOREY_M)
    upper = (z > STOREY_M) & (z < storeys * STOREY_M)
    frame = upper & (np.abs(du) < 0.68) & (dz > 0.78) & (dz < 2.52)
    pane = upper & (np.abs(du) < 0.58) & (dz > 0.88) & (dz < 2.42) & (np.abs(du) > 0.035)
    out[frame] = (205, 210, 212)
    glass = 55 + 60 * noise.at(np.floor(u / pitch) * 3.7, np.floor(z / STOREY_M) * 9.1, 1.0)
    glass += 45 * np.clip((dz - 1.2) + du * 0.6, 0, 1)
    out[pane] = (glass[:, None] * np.array([1.08, 1.0, 0.92]))[pane]
    sill = upper & (np.abs(du) < 0.75) & (dz > 0.68) & (dz <= 0.78)
    out[sill] = (150, 155, 158)
    _shop_front(out, u, z, wide, noise, dice)
    out[z > storeys * STOREY_M + 0.5] = np.array(dice.choice(((60, 60, 70), (90, 95, 100)))) * 1.0
    return out


def _shop_front(out: Array, u: Array, z: Array, wide: float, noise: _Noise, dice: random.Random) -> None:
    colour = np.array(dice.choice(SHOPS), float)
    ground = z < STOREY_M
    out[ground] = colour * 0.9 + (noise.rough(u, z, 0.8) * 6)[ground][:, None]
    sign = ground & (z > 2.62) & (z < 3.08) & (u > 0.4) & (u < wide - 0.4)
    out[sign] = colour * 1.35 + 25
    letters = sign & (z > 2.74) & (z < 2.96) & (np.abs(u - wide / 2) < wide * 0.26)
    strokes = noise.at(np.floor(u / 0.11) * 3.1, np.floor(z / 0.07) * 1.7, 1.0) > 0.52
    out[letters & strokes] = (225, 228, 230)
    door = dice.uniform(0.2, 0.7) * wide
    window = ground & (z > 0.55) & (z < 2.5) & (u > 0.35) & (u < wide - 0.35) & (np.abs(u - door) > 0.75)
    window &= np.abs(np.mod(u, 2.1) - 1.05) > 0.05
    inside = 62 + 55 * noise.at(u * 1.4, z * 1.1, 0.5) + 30 * (z < 1.15) * noise.at(u, z * 0.2, 0.35)
    shine = 38 * np.clip(np.sin(u * 0.9 + z * 0.7), 0, 1)
    out[window] = ((inside + shine)[:, None] * np.array([0.92, 1.0, 1.06]))[window]
    entry = ground & (np.abs(u - door) < 0.55) & (z < 2.35)
    out[entry] = ((48 + 30 * noise.at(u, z, 0.6))[:, None] * np.array([0.9, 1.0, 1.05]))[entry]


# ---- the ground


def _paint_ground(canvas: npt.NDArray[np.float32], rays: Array, view: View, noise: _Noise) -> None:
    down = rays[..., 2] < -1e-6
    reach = np.where(down, -view.position[2] / np.minimum(rays[..., 2], -1e-6), 0.0)
    x, y = rays[..., 0] * reach, rays[..., 1] * reach
    ground = down & (y < FACADE) & (y > 0)
    x, y = x[ground], y[ground]
    out = _pavement(x, y, noise)
    road = (y > ROAD[0]) & (y < PARKING[1])
    out[road] = _asphalt(x[road], y[road], noise)
    for kerb in (ROAD[0], PARKING[1]):
        out[np.abs(y - kerb) < 0.14] = (158, 162, 164)
        edge = kerb + (0.15 if kerb == ROAD[0] else -0.15)
        out[np.abs(y - edge) < 0.05] = (66, 66, 68)
    shade = np.clip((FACADE - y) / 1.2, 0, 1) * 0.25 + 0.75  # houses darken the foot of their walls
    fade = 1 - 0.12 * np.clip(np.hypot(x, y) / 80, 0, 1)
    canvas[ground] = out * (shade * fade)[:, None]


def _pavement(x: Array, y: Array, noise: _Noise) -> Array:
    slab_x, slab_y = np.floor(x / 0.9), np.floor(y / 0.6)
    tone = 152 + 16 * (noise.at(slab_x * 3.3, slab_y * 5.7, 1.0) - 0.5) + 9 * noise.rough(x, y, 1.2)
    tone += 14 * (noise.at(x, y, 0.05) - 0.5)
    joint = (np.mod(x, 0.9) < 0.03) | (np.mod(y, 0.6) < 0.025)
    tone[joint] -= 26
    far = y > PARKING[1]
    tint = np.where(far[:, None], np.array([0.98, 1.0, 1.03]), np.array([0.96, 0.99, 1.0]))
    return np.asarray(tone[:, None] * tint)


def _asphalt(x: Array, y: Array, noise: _Noise) -> Array:
    tone = 92 + 10 * noise.rough(x, y, 3.0) + 22 * (noise.at(x, y, 0.045) - 0.5)
    for lane in LANES:  # tyres polish two tracks of each lane
        for side in (-0.8, 0.8):
            tone -= 7 * np.exp(-(((y - lane - side) / 0.3) ** 2))
    patch = (noise.at(x, y, 9.0) > 0.78) & (y < ROAD[1])
    tone[patch] -= 12
    crack = np.abs(noise.rough(x, y * 1.4, 4.0)) < 0.012
    tone[crack] -= 24
    worn = 0.72 + 0.28 * noise.at(x, y, 0.35)
    white = np.zeros(len(x), bool)
    middle = sum(LANES) / 2
    white |= (np.abs(y - middle) < 0.07) & (np.mod(x, 6.0) < 3.0) & ((x < ZEBRA[0] - 3) | (x > ZEBRA[1] + 3))
    white |= np.abs(y - (ROAD[1] + 0.05)) < 0.05
    white |= (x > ZEBRA[0]) & (x < ZEBRA[1]) & (np.mod(y - ROAD[0], 1.0) < 0.5) & (y < ROAD[1])
    for line, (low, high) in zip(STOP_LINES, ((ROAD[0], middle), (middle, ROAD[1])), strict=True):
        white |= (np.abs(x - line) < 0.2) & (y > low) & (y < high)
    tone = np.where(white, tone + (205 - tone) * worn, tone)
    return np.asarray(tone[:, None] * np.array([1.02, 1.0, 0.98]))


# ---- street furniture


def _furniture(view: View, dice: random.Random) -> list[tuple[float, list[Shape]]]:
    items = [_lamp(view, x, PARKING[1] + 0.5) for x in (-34.0, -16.5, -1.0)]
    items += [_tree(view, x + dice.uniform(-0.8, 0.8), PARKING[1] + 0.7, dice) for x in (-43.0, -25.0, -7.0)]
    items.append(_lamp(view, -24.5 + dice.uniform(-1, 1), ROAD[0] - 0.4))
    items.append(_signal(view, STOP_LINES[0] + 0.3, ROAD[0] - 0.35))
    return sorted((item for item in items if item[1]), key=lambda item: -item[0])


def _post(
    view: View, x: float, y: float, z0: float, z1: float, width_m: float, colour: tuple[int, int, int]
) -> list[Shape]:
    pixels, depth = view.project(np.array([[x, y, z0], [x, y, z1]]))
    if depth.min() < 2:
        return []
    (ax, ay), (bx, by) = pixels
    return [Limb(ax, ay, bx, by, width_m * view.focal / float(depth[0]), colour)]


def _lamp(view: View, x: float, y: float) -> tuple[float, list[Shape]]:
    return y, [
        *_post(view, x, y, 0.0, 0.9, 0.22, (62, 66, 62)),
        *_post(view, x, y, 0.9, 7.5, 0.13, (72, 76, 72)),
    ]


def _signal(view: View, x: float, y: float) -> tuple[float, list[Shape]]:
    shapes = _post(view, x, y, 0.0, 2.3, 0.12, (60, 62, 60))
    return y, shapes + _post(view, x, y, 2.45, 3.1, 0.30, (28, 30, 28))


def _tree(view: View, x: float, y: float, dice: random.Random) -> tuple[float, list[Shape]]:
    shapes: list[Shape] = _post(view, x, y, 0.0, 2.8, 0.26, (52, 66, 82))
    blobs = []
    for _ in range(70):
        angle, r = dice.uniform(0, np.pi * 2), 1.7 * dice.random() ** 0.5
        z = 3.9 + dice.uniform(-1.3, 1.6)
        blobs.append((x + r * np.cos(angle) * 0.9, y, z, dice.uniform(0.25, 0.55), dice.uniform(0.6, 1.25)))
    for bx, by, bz, size, light in sorted(blobs, key=lambda b: b[4]):
        pixels, depth = view.project(np.array([[bx, by, bz]]))
        if depth[0] > 2:
            radius = size * view.focal / float(depth[0])
            colour = (round(46 * light), round(92 * light), round(62 * light))
            shapes.append(Oval(float(pixels[0, 0]), float(pixels[0, 1]), radius, radius * 0.8, 0, colour))
    return y, shapes


def _occluder(view: View, y: float, shapes: list[Shape]) -> Occluder | None:
    mask = np.zeros((view.height, view.width), np.uint8)
    stamp(mask, shapes, 255)
    x0, y0, wide, tall = cv2.boundingRect(mask)
    if wide == 0 or tall == 0 or y > FACADE or y < NEAR_PAVEMENT[0] or y > FAR_PAVEMENT[1]:
        return None
    return Occluder(y, y0, x0, mask[y0 : y0 + tall, x0 : x0 + wide].copy())
