"""Rendered minutes of a camera to which something happens, or only seems to, and what should be said of it.

Every scene is a street by seed with its own sensor noise, a picture a second, (H, W, 3) uint8 BGR; what
happens begins at BEGINS_S.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import cv2
import numpy as np

from pipelines.scene.health import Health, HealthMonitor, small_grey
from pipelines.values import Image
from streamer.sources.synthetic import Scene

WIDTH, HEIGHT = 640, 360
BEGINS_S = 40.0
LENGTH_S = 90
Pictures = Callable[[], Iterator[tuple[float, Image]]]  # second by second
Effect = Callable[[Image, float], Image]  # of the clean picture, and the seconds since BEGINS_S


@dataclass(frozen=True)
class BlindScene:
    """`expect` is the state that must hold within `within_s` of BEGINS_S and until the end; "ok": nothing is
    said."""

    name: str
    expect: str
    pictures: Pictures
    within_s: float = 30.0


@lru_cache(maxsize=2)
def street(seed: int = 3, density: float = 1.0) -> list[Image]:
    """A picture a second of a street, without noise."""
    scene = Scene(seed=seed, width=WIDTH, height=HEIGHT, fps=1.0, noise=0.0, density=density)
    painter = scene.painter()
    return [scene.picture(painter, number) for number in range(LENGTH_S)]


def noisy(picture: Image, dice: np.random.Generator, sigma: float = 2.0) -> Image:
    grain = dice.normal(0, sigma, (HEIGHT, WIDTH, 1))
    return np.asarray(np.clip(picture + grain, 0, 255).astype(np.uint8))


def _live(effect: Effect, density: float = 1.0, sigma: float = 2.0) -> Pictures:
    """What the sensor sees of an effect: the noise comes after it."""

    def pictures() -> Iterator[tuple[float, Image]]:
        dice = np.random.default_rng(7)
        for number, clean in enumerate(street(density=density)):
            seen = effect(clean, number - BEGINS_S) if number >= BEGINS_S else clean
            yield float(number), noisy(seen, dice, sigma)

    return pictures


def _encoded(source: Pictures, gop_s: int, stands: Callable[[float], bool], fps: int = 5) -> Pictures:
    """As H.264 brings it: between two pictures of `source` the first stands, with noise of its own."""

    def pictures() -> Iterator[tuple[float, Image]]:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        encoder.time_base = Fraction(1, fps)
        options = {"preset": "ultrafast", "crf": "26", "g": str(gop_s * fps), "tune": "zerolatency"}
        encoder.options = options
        decoder = av.CodecContext.create("h264", "r")
        dice = np.random.default_rng(8)
        for at_s, picture in source():
            for turn in range(fps):
                seen = noisy(picture, dice) if turn and not stands(at_s) else picture
                frame = av.VideoFrame.from_ndarray(seen, format="bgr24")
                for packet in encoder.encode(frame):
                    decoded = decoder.decode(av.Packet(bytes(packet)))
            yield at_s, decoded[-1].to_ndarray(format="bgr24")

    return pictures


# ---- what only seems to blind a camera


def _nothing(picture: Image, _s: float) -> Image:
    return picture


def _exposure(picture: Image, s: float) -> Image:
    return np.clip(picture * (1.1 + 0.8 * np.sin(s / 8)), 0, 255).astype(np.uint8)


def _light_off(picture: Image, _s: float) -> Image:
    return (picture * 0.3).astype(np.uint8)


def _fog(picture: Image, s: float) -> Image:
    share = min(0.8, s / 60)
    return (picture * (1 - share) + 190 * share).astype(np.uint8)


def _headlights(picture: Image, s: float) -> Image:
    night = (picture * 0.04).astype(np.uint8)
    x = int(s * 40) % WIDTH
    for dx in (0, 26):
        cv2.circle(night, (x + dx, 250), 7, (235, 250, 255), -1, cv2.LINE_AA)
    return night


def _rain(picture: Image, s: float) -> Image:
    dice = np.random.default_rng(int(s / 10))
    soft = cv2.GaussianBlur(picture, (0, 0), 12)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(14):
        place = (int(dice.integers(WIDTH)), int(dice.integers(HEIGHT)))
        cv2.circle(mask, place, int(dice.integers(15, 45)), 255, -1)
    return np.where(mask[..., None] > 0, soft, picture)


def _tree(picture: Image, s: float) -> Image:
    leaves = np.random.default_rng(4).integers(20, 120, (HEIGHT // 6, WIDTH // 12, 1)).astype(np.uint8)
    crown = cv2.resize(leaves, (WIDTH // 2, HEIGHT), interpolation=cv2.INTER_CUBIC)
    shift = np.float32([[1, 0, 14 * np.sin(s * 2.1)], [0, 1, 5 * np.sin(s * 3.3)]])
    crown = cv2.warpAffine(crown, shift, (WIDTH // 2, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    out = picture.copy()
    out[:, : WIDTH // 2] = crown[..., None]
    return out


def _insect(picture: Image, s: float) -> Image:
    out = picture.copy()
    place = (int(WIDTH * (0.5 + 0.4 * np.sin(s / 3))), int(HEIGHT * (0.5 + 0.4 * np.cos(s / 4))))
    cv2.ellipse(out, place, (110, 60), s * 20, 0, 360, (25, 30, 30), -1)
    return out


def _crowd(picture: Image, s: float) -> Image:
    out = picture.copy()
    dice = np.random.default_rng(5)
    for _ in range(70):
        x, y, speed = dice.integers(WIDTH), dice.integers(HEIGHT // 3, HEIGHT), dice.uniform(-25, 25)
        left = int(x + speed * s) % WIDTH
        cv2.rectangle(out, (left, int(y)), (left + 22, int(y) + 60), dice.integers(0, 255, 3).tolist(), -1)
        cv2.circle(out, (left + 11, int(y)), 10, dice.integers(60, 220, 3).tolist(), -1)
    return out


def _shaken(picture: Image, s: float) -> Image:
    shift = np.float32([[1, 0, 4 * np.sin(s * 2)], [0, 1, 3 * np.cos(s * 3)]])
    return cv2.warpAffine(picture, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


MORNING_S = 32.0  # after the switch to infrared
NIGHT_NOISE = 5.0


def infrared(picture: Image, seed: int) -> Image:
    """As a camera shows it whose filter swings away at night: leaves and cloth bright whatever their colour,
    the sky dark, and in place of daylight a lamp beside the lens. How much of each, the seed says."""
    dice = np.random.default_rng(seed)
    hue, saturation, _ = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV).astype(np.float32), 2, 0)
    light = picture.astype(np.float32) @ np.float32([0.11, 0.59, 0.30]) / 255
    leaf = np.exp(-(((hue - 50) / 25) ** 2)) * np.clip(saturation / 90, 0, 1)
    cloth = np.clip(saturation / 120, 0, 1) * dice.uniform(0, 0.9)
    seen = light * dice.uniform(0.5, 1) + dice.uniform(0.3, 0.8) * leaf * (1 - light)
    seen = seen * (1 - cloth) + cloth * (dice.uniform(0.5, 0.9) - seen * dice.uniform(0.2, 0.8))
    down, across = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    seen *= 1 - (1 - down * WIDTH / HEIGHT) ** 2 * np.clip((light - 0.55) * 4, 0, 1)
    away = np.hypot(across - dice.uniform(0.35, 0.65), down - dice.uniform(0.28, 0.45))
    lamp = np.exp(-((away / dice.uniform(0.35, 0.7)) ** 2)) * dice.uniform(0.9, 1.5) + 0.08
    grey = np.clip(seen * lamp, 0, 1) ** dice.uniform(0.7, 1.1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _night(seed: int, place: Effect = _nothing) -> Pictures:
    """Switched within one picture, and back in the morning; `place` acts on the view from then on."""

    def pictures() -> Iterator[tuple[float, Image]]:
        dice = np.random.default_rng(9)
        for number, clean in enumerate(street()):
            since_s = number - BEGINS_S
            seen = place(clean, since_s) if since_s >= 0 else clean
            night = 0 <= since_s < MORNING_S
            grain = NIGHT_NOISE if night else 2.0
            yield float(number), noisy(infrared(seen, seed) if night else seen, dice, grain)

    return pictures


# ---- what blinds it


def _black(picture: Image, _s: float) -> Image:
    return (picture * 0.01).astype(np.uint8)


def _hand(picture: Image, s: float) -> Image:
    """It comes from the left in 3 s: dark, soft, with a little light at its edge."""
    edge = int(WIDTH * min(1.0, s / 3))
    hand = np.linspace(20, 70, WIDTH)[None, :, None] + np.zeros((HEIGHT, 1, 3))
    out = picture.copy()
    out[:, :edge] = hand[:, :edge]
    return out.astype(np.uint8)


def _spray(picture: Image, s: float) -> Image:
    share = min(0.97, s / 3)
    return (picture * (1 - share) + 210 * share).astype(np.uint8)


def _defocus(picture: Image, _s: float) -> Image:
    return cv2.GaussianBlur(picture, (0, 0), 9)


def _warped(dx: float, dy: float, degrees: float, scale: float) -> Effect:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    matrix[:, 2] += (dx * WIDTH, dy * HEIGHT)

    def effect(picture: Image, _s: float) -> Image:
        return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)

    return effect


def _elsewhere(_picture: Image, s: float) -> Image:
    return cv2.flip(street(seed=11)[int(s)], 1)


# ---- what repeats itself


def with_clock(picture: Image, second: float) -> Image:
    out = picture.copy()
    text = f"2026-05-01 12:{int(second) // 60:02d}:{int(second) % 60:02d}"
    cv2.putText(out, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
    return out


def _repeating(clock: bool) -> Pictures:
    def pictures() -> Iterator[tuple[float, Image]]:
        last: Image | None = None
        for at_s, picture in _live(_nothing)():
            last = picture if at_s < BEGINS_S or last is None else last
            yield at_s, with_clock(last, at_s) if clock else last

    return pictures


def _never(_at_s: float) -> bool:
    return False


def _in_the_end(at_s: float) -> bool:
    return at_s >= BEGINS_S


def _corridor() -> Pictures:
    return _live(_nothing, density=0.0)


SCENES = (
    BlindScene("a street with people", "ok", _live(_nothing)),
    BlindScene("an empty corridor", "ok", _corridor()),
    BlindScene("an empty corridor with little noise", "ok", _live(_nothing, density=0.0, sigma=0.7)),
    BlindScene("an empty corridor as H.264, a key frame every 10 s", "ok", _encoded(_corridor(), 10, _never)),
    BlindScene("an exposure that changes slowly", "ok", _live(_exposure)),
    BlindScene("the light switched off", "ok", _live(_light_off)),
    BlindScene("fog that comes in a minute", "ok", _live(_fog)),
    BlindScene("headlights at night", "ok", _live(_headlights)),
    BlindScene("rain drops on the lens", "ok", _live(_rain)),
    BlindScene("a tree in the wind", "ok", _live(_tree)),
    BlindScene("an insect on the lens", "ok", _live(_insect)),
    BlindScene("a crowd", "ok", _live(_crowd)),
    BlindScene("a mast that shakes a little", "ok", _live(_shaken)),
    *(BlindScene(f"infrared at night, and back in the morning ({n})", "ok", _night(n)) for n in range(2)),
    BlindScene("a picture that stands", "frozen", _repeating(clock=False)),
    BlindScene("a picture that stands under a running clock", "frozen", _repeating(clock=True)),
    BlindScene("the same as H.264", "frozen", _encoded(_repeating(clock=True), 2, _in_the_end)),
    BlindScene("a black picture", "black", _live(_black)),
    BlindScene("a hand before the lens", "covered", _live(_hand)),
    BlindScene("a lens sprayed white", "covered", _live(_spray)),
    BlindScene("a lens out of focus", "defocused", _live(_defocus)),
    BlindScene("a view shifted", "moved", _live(_warped(0.07, 0.03, 0, 1))),
    BlindScene("a view turned", "moved", _live(_warped(0, 0, 6, 1))),
    BlindScene("a view zoomed", "moved", _live(_warped(0, 0, 0, 1.15))),
    BlindScene("another view", "moved", _live(_elsewhere)),
    BlindScene("a view shifted with the switch to infrared", "moved", _night(2, _warped(0.07, 0.03, 0, 1))),
    BlindScene("a view turned with the switch to infrared", "moved", _night(5, _warped(0, 0, 6, 1))),
)  # fmt: skip


def told(scene: BlindScene) -> list[tuple[float, Health]]:
    """What a monitor says of a scene, and when: its changes."""
    monitor = HealthMonitor()
    changes = []
    for at_s, picture in scene.pictures():
        if monitor.due(at_s) and (health := monitor.look(small_grey(picture), at_s, at_s)) is not None:
            changes.append((at_s, health))
    return changes
