"""The people of the synthetic street: jointed figures that walk, run, stand, fall and ride, each dressed.

The gait is a sine of the way walked: hips swing, knees flex while a leg comes forward, arms swing against
the legs (proportions after Winter, Biomechanics and Motor Control of Human Movement, in shares of height).
"""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass

import numpy as np

from streamer.sources.synthetic.shapes import Colour, Limb, Oval, Poly, Shape
from streamer.sources.synthetic.view import Array, View

THIGH, SHIN, TRUNK = 0.245, 0.246, 0.288  # shares of body height
UPPER_ARM, FOREARM, HIP_HALF, SHOULDER_HALF = 0.172, 0.150, 0.052, 0.106
LYING = math.radians(86)  # from upright
FLAT_M = 0.10  # a lying body's middle above the ground
# Those in sight of the scenes of one process (80 people in the busiest): see MAX_SOLIDS of the vehicles.
MAX_LOOKS = 128
MAX_COLOURS = 1024  # some ten shades a person
HEAD_UP, HEAD_RX, HEAD_RY = 0.105, 0.048, 0.066  # middle of the head above the shoulders, its half axes

SKINS: tuple[Colour, ...] = ((150, 178, 220), (120, 150, 205), (95, 125, 180), (60, 85, 130), (45, 60, 95))
HAIRS: tuple[Colour, ...] = ((25, 28, 35), (35, 50, 75), (60, 90, 125), (120, 160, 190), (150, 150, 150))
TOPS: tuple[Colour, ...] = (
    (45, 42, 40),
    (60, 50, 45),
    (120, 75, 45),
    (50, 45, 150),
    (200, 200, 205),
    (90, 120, 80),
    (70, 110, 160),
    (150, 140, 130),
    (60, 160, 200),
    (165, 120, 150),
)
BOTTOMS: tuple[Colour, ...] = ((40, 36, 34), (105, 75, 50), (130, 100, 75), (70, 75, 80), (110, 140, 160))


@dataclass(frozen=True, slots=True)
class Look:
    """What one person looks like; `build` widens the body."""

    height_m: float
    build: float
    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoe: Colour
    long_hair: bool
    coat: bool
    skirt: bool
    bag: Colour | None


@functools.lru_cache(maxsize=MAX_LOOKS)
def look_of(seed: int) -> Look:
    dice = random.Random(f"person {seed}")
    woman = dice.random() < 0.5
    return Look(
        height_m=dice.gauss(1.66, 0.06) if woman else dice.gauss(1.78, 0.07),
        build=dice.uniform(0.9, 1.25),
        skin=dice.choice(SKINS),
        hair=dice.choice(HAIRS),
        top=_vary(dice, dice.choice(TOPS)),
        bottom=_vary(dice, dice.choice(BOTTOMS)),
        shoe=dice.choice(((30, 30, 32), (60, 70, 90), (215, 215, 215))),
        long_hair=woman and dice.random() < 0.7,
        coat=dice.random() < 0.3,
        skirt=woman and dice.random() < 0.25,
        bag=_vary(dice, dice.choice(TOPS)) if dice.random() < 0.35 else None,
    )


def walking(
    view: View,
    look: Look,
    x: float,
    y: float,
    heading: float,
    speed: float,
    moved_m: float,
    down: float = 0.0,
) -> list[Shape]:
    """A person on foot at (x, y), standing where `speed` is 0, fallen forwards by `down` of the way."""
    h = look.height_m
    step = h * (0.38 + 0.07 * min(speed, 3.0))  # metres a step
    phase = math.pi * moved_m / step
    width = min(1.0, speed / 0.9)
    swing = 0.42 * width * (1.25 if speed > 2.2 else 1.0)
    bend = (0.95 if speed > 2.2 else 0.6) * width
    legs = [
        _leg(h, swing * math.sin(p), bend * max(0.0, math.cos(p)) ** 1.5 + 0.05)
        for p in (phase, phase + math.pi)
    ]
    hip_z = max(0.0, *(drop for _, _, drop in legs)) + 0.025 * h
    elbow = 1.4 if speed > 2.2 else 0.35
    arms = [_arm(h, -0.55 * swing * math.sin(p) / 0.42 * 0.55, elbow) for p in (phase, phase + math.pi)]
    lean = 0.10 if speed > 2.2 else 0.03 * width
    ways = [(k, a) for k, a, _ in legs]
    return _figure(view, look, (x, y), heading, hip_z, ways, arms, lean, down * LYING)


def riding(view: View, look: Look, x: float, y: float, heading: float, moved_m: float) -> list[Shape]:
    """A person on a bicycle whose middle is at (x, y)."""
    h = look.height_m
    hip_z, seat = 0.96, -0.22
    legs = []
    for p in (moved_m / 0.85, moved_m / 0.85 + math.pi):
        foot = (0.05 + 0.17 * math.cos(p) - seat, 0.28 - 0.17 * math.sin(p) - hip_z)
        legs.append(_reach(h * THIGH, h * SHIN, foot))
    arms = [((0.30, -0.14), (0.60, -0.25))] * 2
    spot = (x + seat * math.cos(heading), y + seat * math.sin(heading))
    return _figure(view, look, spot, heading, hip_z, legs, arms, 0.38)


Joint2 = tuple[float, float]  # forward, up, relative to the hip or shoulder


def _leg(h: float, angle: float, knee: float) -> tuple[Joint2, Joint2, float]:
    """Knee and ankle relative to the hip, and how far the ankle lies below it."""
    kx, kz = THIGH * h * math.sin(angle + knee * 0.4), -THIGH * h * math.cos(angle + knee * 0.4)
    shin = angle - knee * 0.7
    ax, az = kx + SHIN * h * math.sin(shin), kz - SHIN * h * math.cos(shin)
    return (kx, kz), (ax, az), -az


def _arm(h: float, angle: float, elbow: float) -> tuple[Joint2, Joint2]:
    ex, ez = UPPER_ARM * h * math.sin(angle), -UPPER_ARM * h * math.cos(angle)
    fore = angle + elbow
    return (ex, ez), (ex + FOREARM * h * math.sin(fore), ez - FOREARM * h * math.cos(fore))


def _reach(upper: float, lower: float, foot: Joint2) -> tuple[Joint2, Joint2]:
    """Two-link inverse kinematics with the knee forward."""
    distance = min(math.hypot(*foot), (upper + lower) * 0.999)
    aim = math.atan2(foot[1], foot[0])
    inner = math.acos(max(-1.0, min(1.0, (upper**2 + distance**2 - lower**2) / (2 * upper * distance))))
    return (upper * math.cos(aim + inner), upper * math.sin(aim + inner)), foot


def _figure(
    view: View,
    look: Look,
    spot: tuple[float, float],
    heading: float,
    hip_z: float,
    legs: list[tuple[Joint2, Joint2]],
    arms: list[tuple[Joint2, Joint2]],
    lean: float,
    fallen: float = 0.0,
) -> list[Shape]:
    """`fallen` in radians, about the feet."""
    h = look.height_m
    rows = _tilted(np.array(_joints(look, legs, arms, lean)), hip_z, fallen)
    cos, sin = math.cos(heading), math.sin(heading)
    axes = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    hip = np.array([spot[0], spot[1], hip_z])
    pixels, depth = view.project(rows @ axes + hip)
    if depth.min() < 1.0:
        return []
    metre = view.focal / float(depth[0])
    dx, dy = float(view.position[0]) - spot[0], float(view.position[1]) - spot[1]
    left_is_far = cos * dy - sin * dx < 0
    facing = (cos * dx + sin * dy) / math.hypot(dx, dy)
    return _dress(look, pixels, metre * h, left_is_far, facing)


def _tilted(rows: Array, hip_z: float, fallen: float) -> Array:
    """Joints relative to the hip, turned forwards about the feet; nothing sinks into the ground."""
    if not fallen:
        return rows
    up = rows[:, 2] + hip_z
    forward = rows[:, 0] * math.cos(fallen) + up * math.sin(fallen)
    risen = np.maximum(up * math.cos(fallen) - rows[:, 0] * math.sin(fallen), FLAT_M)
    return np.stack((forward, rows[:, 1], risen - hip_z), axis=1)


Row = tuple[float, float, float]  # forward, left, up from the hip, in metres


def _joints(
    look: Look, legs: list[tuple[Joint2, Joint2]], arms: list[tuple[Joint2, Joint2]], lean: float
) -> list[Row]:
    """Hip, neck, head; for both legs hip, knee, ankle, toe; for both arms shoulder, elbow, hand."""
    h = look.height_m
    neck_x, neck_z = math.sin(lean) * TRUNK * h, math.cos(lean) * TRUNK * h
    rows: list[Row] = [(0.0, 0.0, 0.0), (neck_x, 0.0, neck_z), (neck_x + 0.02 * h, 0.0, neck_z + HEAD_UP * h)]
    for side, (knee, ankle) in zip((1, -1), legs, strict=True):
        out = side * HIP_HALF * h * look.build
        rows += [(0.0, out, 0.0), (knee[0], out, knee[1]), (ankle[0], out, ankle[1])]
        rows.append((ankle[0] + 0.085 * h, out, ankle[1] - 0.012 * h))
    for side, (elbow, hand) in zip((1, -1), arms, strict=True):
        out = side * SHOULDER_HALF * h * look.build
        top = neck_z - 0.02 * h
        rows.append((neck_x, out, top))
        rows += [(neck_x + j[0], out + side * 0.03 * h, top + j[1]) for j in (elbow, hand)]
    return rows


def _dress(look: Look, p: Array, body: float, left_is_far: bool, facing: float) -> list[Shape]:
    """Shapes from far to near. `body` is the height in pixels; `facing` 1: towards the camera, -1: away."""
    far_leg, near_leg = (3, 7) if left_is_far else (7, 3)
    far_arm, near_arm = (11, 14) if left_is_far else (14, 11)
    shapes: list[Shape] = []
    shapes += _draw_arm(look, p, far_arm, body, 0.72)
    shapes += _draw_leg(look, p, far_leg, body, 0.72)
    shapes += _draw_leg(look, p, near_leg, body, 1.0)
    if look.bag is not None and facing > -0.3:
        shapes.append(_bag(look, p, body))
    shapes += _trunk(look, p, body, facing)
    shapes += _head(look, p, body, facing)
    shapes += _draw_arm(look, p, near_arm, body, 1.0)
    if look.bag is not None and facing <= -0.3:
        shapes.append(_bag(look, p, body))
    return shapes


def _draw_leg(look: Look, p: Array, at: int, body: float, light: float) -> list[Shape]:
    hip, knee, ankle, toe = p[at], p[at + 1], p[at + 2], p[at + 3]
    cloth = look.skin if look.skirt else look.bottom
    return [
        _limb(ankle, toe, 0.040 * body, _light(look.shoe, light)),
        _limb(knee, ankle, 0.052 * body, _light(cloth, light * 0.94)),
        _limb(hip, knee, 0.080 * body * look.build**0.5, _light(cloth, light)),
    ]


def _draw_arm(look: Look, p: Array, at: int, body: float, light: float) -> list[Shape]:
    shoulder, elbow, hand = p[at], p[at + 1], p[at + 2]
    return [
        _limb(hand, hand + (hand - elbow) * 0.16, 0.036 * body, _light(look.skin, light)),
        _limb(elbow, hand, 0.043 * body, _light(look.top, light * 0.9)),
        _limb(shoulder, elbow, 0.056 * body * look.build**0.5, _light(look.top, light * 0.95)),
    ]


def _trunk(look: Look, p: Array, body: float, facing: float) -> list[Shape]:
    hip, neck = p[0], p[1]
    axis = (neck - hip) / max(1e-6, float(np.hypot(*(neck - hip))))
    across = np.array([-axis[1], axis[0]])
    side = math.sqrt(max(0.0, 1 - facing * facing))
    wide = body * look.build
    shoulder = wide * (SHOULDER_HALF * abs(facing) + 0.068 * side)
    waist = wide * (0.075 * abs(facing) + 0.062 * side)
    seat = wide * (0.082 * abs(facing) + 0.070 * side)
    hem = hip - axis * body * (0.13 if look.coat or look.skirt else 0.015)
    flare = 1.25 if look.skirt else 1.12 if look.coat else 1.0
    top = neck + axis * 0.012 * body
    belly = hip + (neck - hip) * 0.35
    lower = Poly(
        np.array(
            [
                belly + across * waist,
                hem + across * seat * flare,
                hem - across * seat * flare,
                belly - across * waist,
            ]
        ),
        look.bottom if look.skirt else _light(look.top, 0.88),
    )
    upper = Poly(
        np.array(
            [
                top + across * shoulder * 0.55,
                neck - axis * 0.03 * body + across * shoulder,
                belly + across * waist * 1.04,
                belly - across * waist * 1.04,
                neck - axis * 0.03 * body - across * shoulder,
                top - across * shoulder * 0.55,
            ]
        ),
        look.top,
    )
    lit = Poly(
        np.array(
            [
                neck - axis * 0.04 * body - across * shoulder * 0.9,
                neck - axis * 0.03 * body - across * shoulder * 0.3,
                belly - across * waist * 0.3,
                belly - across * waist * 0.95,
            ]
        ),
        _light(look.top, 1.14),
    )
    return [lower, upper, lit]


def _head(look: Look, p: Array, body: float, facing: float) -> list[Shape]:
    neck, head = p[1], p[2]
    rx, ry = HEAD_RX * body, HEAD_RY * body
    x, y = float(head[0]), float(head[1])
    ahead_x = float(p[2][0] - p[1][0])
    turn = math.copysign(math.sqrt(max(0.0, 1 - facing * facing)), ahead_x if abs(ahead_x) > 1e-9 else 1.0)
    shapes: list[Shape] = [_limb(neck, head, 0.052 * body, _light(look.skin, 0.8))]
    if look.long_hair:
        shapes.append(Oval(x - turn * rx * 0.5, y + ry * 0.45, rx * 1.1, ry * 1.15, 0, look.hair))
    shapes.append(Oval(x, y - ry * 0.1, rx * 1.08, ry * 1.02, 0, look.hair))
    if facing > -0.55:
        shapes.append(
            Oval(
                x + turn * rx * 0.32,
                y + ry * 0.16,
                rx * (0.62 + 0.25 * max(0.0, facing)),
                ry * 0.80,
                0,
                look.skin,
            )
        )
    return shapes


def _bag(look: Look, p: Array, body: float) -> Shape:
    assert look.bag is not None
    middle = (p[0] + p[1]) / 2
    return Oval(float(middle[0]), float(middle[1]), 0.075 * body, 0.11 * body, 0, look.bag)


def _limb(a: Array, b: Array, width: float, colour: Colour) -> Limb:
    return Limb(float(a[0]), float(a[1]), float(b[0]), float(b[1]), width, colour)


@functools.lru_cache(maxsize=MAX_COLOURS)
def _light(colour: Colour, factor: float) -> Colour:
    b, g, r = (min(255, round(channel * factor)) for channel in colour)
    return b, g, r


def _vary(dice: random.Random, colour: Colour) -> Colour:
    b, g, r = (min(250, max(12, channel + dice.randint(-18, 18))) for channel in colour)
    return b, g, r
