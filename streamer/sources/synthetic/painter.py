"""Paints the synthetic street: shadows on the backdrop, actors from far to near, light and sensor noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image
from streamer.sources.synthetic import backdrop, bicycle, people, vehicles
from streamer.sources.synthetic.shapes import Box, Shape, box_of, paint
from streamer.sources.synthetic.view import View
from streamer.sources.synthetic.world import Actor, World

SHADOW = 0.42  # share of the light that a shadow takes
SHADOW_SCALE = 4  # shadows are drawn this much smaller: they are soft
NOISE_FRAMES = 7  # pictures of noise, shifted at random
REACH_M = 9.0  # farther than this from its middle no vehicle reaches, nor its shadow
SMALL_REACH_M = 3.0  # the same for people and bicycles
RIDER = 4  # added to a bicycle's ident


@dataclass(frozen=True)
class Drawn:
    """An actor's part in a picture. A rider and the bicycle are two of them at one place."""

    ident: int
    kind: str
    actor: Actor
    shapes: list[Shape]
    box: Box
    y: float


@dataclass(frozen=True)
class Picture:
    """What there is to paint of one frame."""

    t_s: float
    frame_id: int
    actors: tuple[Actor, ...]


class Painter:
    """Draws one world at one size. Holds the backdrop and the noise; the world moves on its own."""

    def __init__(
        self, world: World, width: int, height: int, *, noise: float = 2.5, light: bool = True
    ) -> None:
        self.world = world
        self.view = world.view(width, height)
        self._backdrop = backdrop.build(self.view, world.seed)
        self.occluders = self._backdrop.occluders
        self._light = light
        dice = np.random.default_rng(world.seed + 5)
        self._noise_shape = (height + 64, width + 64)
        self._noise = [self._grain(dice, noise) for _ in range(NOISE_FRAMES)] if noise > 0 else []

    def picture(self, t_s: float, frame_id: int) -> Picture:
        """Who is where at `t_s`; `frame_id` picks the noise."""
        return Picture(t_s, frame_id, tuple(self.world.at(t_s)))

    def paint(self, picture: Picture, *, shadows: bool = True, skip: frozenset[int] = frozenset()) -> Image:
        """(H, W, 3) uint8 BGR. Parts in `skip` (idents) are left out. May be called from any thread."""
        image = self._backdrop.image.copy()
        drawn = [d for d in placed(picture.actors, self.view) if d.ident not in skip]
        if shadows:
            self._cast(image, drawn)
        waiting = list(self._backdrop.occluders)
        for item in drawn:
            while waiting and waiting[0].y >= item.y:
                waiting.pop(0)  # farther than what comes next: it is in the backdrop already
            paint(image, item.shapes)
            for post in waiting:
                _restore(image, self._backdrop.image, post, item.box)
        return self._expose(image, picture.t_s, picture.frame_id)

    def _cast(self, image: Image, drawn: list[Drawn]) -> None:
        height, width = image.shape[:2]
        mask = np.zeros((height // SHADOW_SCALE + 1, width // SHADOW_SCALE + 1), np.uint8)
        top, bottom = height, 0
        for item in drawn:
            if item.ident & RIDER and item.kind == "person":
                continue
            points, depth = self.view.project(_shadow(item.actor))
            if depth.min() < 1.0:
                continue
            hull = cv2.convexHull((points / SHADOW_SCALE).astype(np.float32)).astype(np.int32)
            cv2.fillConvexPoly(mask, hull, 255, cv2.LINE_AA)
            top = min(top, int(points[:, 1].min()) - 8)
            bottom = max(bottom, int(points[:, 1].max()) + 8)
        low, high = max(0, top // SHADOW_SCALE), min(mask.shape[0], bottom // SHADOW_SCALE + 1)
        if high - low < 2:
            return
        soft = cv2.GaussianBlur(mask[low:high], (5, 5), 0)
        rows = image[low * SHADOW_SCALE : min(height, high * SHADOW_SCALE)]
        large = cv2.resize(soft, None, fx=SHADOW_SCALE, fy=SHADOW_SCALE, interpolation=cv2.INTER_LINEAR)
        keep = cv2.bitwise_not(cv2.convertScaleAbs(large[: rows.shape[0], :width], alpha=SHADOW))
        cv2.multiply(rows, cv2.merge((keep, keep, keep)), dst=rows, scale=1 / 255)

    def _expose(self, image: Image, t_s: float, frame_id: int) -> Image:
        gain = light_at(self.world.seed, t_s) if self._light else 1.0
        if not self._noise:
            return np.asarray(cv2.convertScaleAbs(image, alpha=gain), np.uint8)
        mix = (frame_id * 2654435761 + self.world.seed * 40503) & 0xFFFFFFFF
        grain = self._noise[mix % NOISE_FRAMES]
        dy, dx = (mix >> 8) % 64, (mix >> 16) % 64
        height, width = image.shape[:2]
        part = grain[dy : dy + height, dx : dx + width]
        cv2.addWeighted(image, gain, part, 1.0, -128.0, dst=image)
        return image

    def _grain(self, dice: np.random.Generator, sigma: float) -> npt.NDArray[np.uint8]:
        height, width = self._noise_shape
        luma = dice.normal(0, sigma, (height, width, 1))
        chroma = dice.normal(0, sigma * 0.5, (height, width, 3))
        return np.clip(np.round(128 + luma + chroma), 0, 255).astype(np.uint8)


def light_at(seed: int, t_s: float) -> float:
    """The light's gain at `t_s`: clouds that pass within tens of seconds, around 1."""
    a, b = (seed * 0.37) % math.tau, (seed * 0.73) % math.tau
    return 1.0 + 0.05 * math.sin(t_s * math.tau / 61 + a) + 0.035 * math.sin(t_s * math.tau / 23 + b)


def placed(actors: Iterable[Actor], view: View) -> list[Drawn]:
    """Everything that has a part in the picture, from far to near."""
    items: list[Drawn] = []
    for actor in actors:
        if not view.may_see(actor.x, actor.y, REACH_M if actor.kind in vehicles.BUILDERS else SMALL_REACH_M):
            continue
        forward = 1 if math.cos(actor.heading) > 0 else -1
        parts: list[tuple[int, str, list[Shape]]]
        if actor.kind == "person":
            look = people.look_of(actor.look)
            way = (actor.x, actor.y, actor.heading, actor.speed, actor.moved_m, actor.down)
            body = people.walking(view, look, *way)
            parts = [(actor.ident, "person", body)]
        elif actor.kind == "bicycle":
            bike = bicycle.shapes(view, actor.look, actor.x, actor.y, forward)
            rider = people.riding(
                view, people.look_of(actor.look), actor.x, actor.y, actor.heading, actor.moved_m
            )
            parts = [(actor.ident, "bicycle", bike), (actor.ident + RIDER, "person", rider)]
        else:
            mesh = vehicles.shapes(view, actor.kind, actor.look, actor.x, actor.y, forward)
            parts = [(actor.ident, actor.kind, mesh)]
        for ident, kind, shapes in parts:
            if shapes:
                box = box_of(shapes)
                if box[2] > 0 and box[0] < view.width and box[3] > 0 and box[1] < view.height:
                    items.append(Drawn(ident, kind, actor, shapes, box, actor.y))
    # Seen from the pole, of two things in one direction the one farther across the street is hidden.
    items.sort(key=lambda d: (-d.y, -abs(d.actor.x), d.ident))
    return items


def _shadow(actor: Actor) -> npt.NDArray[np.float64]:
    """Points on the ground whose hull is the actor's shadow."""
    if actor.kind in vehicles.BUILDERS:
        forward = 1 if math.cos(actor.heading) > 0 else -1
        points = vehicles.footprint(actor.kind, actor.look, actor.x, actor.y, forward)
    else:
        wide, tall = (0.22, 1.6) if actor.kind == "person" else (0.7, 1.5)
        wide, tall = wide + 0.6 * actor.down, tall - 1.3 * actor.down
        points = np.array(
            [(actor.x + u, actor.y + v, z) for z in (0.0, tall) for u in (-wide, wide) for v in (-0.16, 0.16)]
        )
    ground = points.copy()
    ground[:, :2] -= points[:, 2:] * (vehicles.SUN[:2] / vehicles.SUN[2]) * 0.55
    ground[:, 2] = 0.0
    return ground


def _restore(image: Image, clean: Image, post: backdrop.Occluder, box: Box) -> None:
    """Copy street furniture back over what was just drawn behind it."""
    tall, wide = post.mask.shape
    x0, x1 = max(post.left, int(box[0]) - 1), min(post.left + wide, int(box[2]) + 2)
    y0, y1 = max(post.top, int(box[1]) - 1), min(post.top + tall, int(box[3]) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    mask = post.mask[y0 - post.top : y1 - post.top, x0 - post.left : x1 - post.left]
    cv2.copyTo(clean[y0:y1, x0:x1], mask, image[y0:y1, x0:x1])
