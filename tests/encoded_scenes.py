"""Rendered minutes as cameras' encoders bring them: codec, quality, key frames, noise and clock drawn by lot.

A frozen camera that encodes its last picture anew, under a running clock, is told from one that sees by what
encoders do; so they are drawn over many settings. What is chosen is chosen on numbers below HELD_OUT; those
from there on, with streets of their own, only say what was reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import cv2
import numpy as np

from pipelines.scene.health import Health, HealthMonitor, small_grey
from pipelines.values import Image
from tests.blind_scenes import HEIGHT, WIDTH, street

BEGINS_S = 40.0
NEVER_S = 1e9
LENGTH_S = 85
X264 = ("ultrafast", "superfast", "veryfast", "faster", "fast")
FPS = (5, 8, 10, 12)
GOP_S = (0.8, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0)
CLOCKS = ("white", "boxed", "with a name")
HELD_OUT = 100
STREETS = ((3, 5), (8, 13))  # chosen on, held out


@dataclass(frozen=True)
class Encoded:
    """`noise` is the sensor's, in grey values; `denoised` the share of the frame before in what is sent:
    cameras that denoise strongly have 0.9 and more. `people` are in the street while it is live."""

    number: int
    codec: str
    options: tuple[tuple[str, str], ...]
    bit_rate: int
    fps: int
    gop: int
    noise: float
    denoised: float
    clock: str
    corner: tuple[float, float]  # where the clock begins, in shares of the picture
    people: float

    @property
    def held_out(self) -> bool:
        return self.number >= HELD_OUT

    @property
    def name(self) -> str:
        options = " ".join(f"{key}={value}" for key, value in self.options)
        rate = f"{self.bit_rate // 1000}k" if self.bit_rate else ""
        how = f"{self.codec} {options}{rate}"
        denoised = f", denoised {self.denoised:g}" if self.denoised else ""
        clock = f"clock {self.clock} at {self.corner[0]:.2f} {self.corner[1]:.2f}"
        who = "street" if self.people else "corridor"
        seen = f"noise {self.noise:g}{denoised}, {clock}, {who}"
        return f"{self.number}: {how}, {self.fps} fps, gop {self.gop}, {seen}"


def draw_settings(number: int) -> Encoded:
    """The same for a number at every time."""
    dice = np.random.default_rng((31, number))
    codec = str(dice.choice(("libx264", "libx264", "libx264", "mpeg4", "libx265", "mjpeg")))
    fps = int(dice.choice(FPS))
    options, bit_rate = _quality(codec, dice)
    return Encoded(
        number,
        codec,
        options,
        bit_rate,
        fps,
        1 if codec == "mjpeg" else max(1, round(fps * float(dice.choice(GOP_S)) * dice.uniform(0.9, 1.1))),
        round(float(dice.uniform(0.7, 4.5)), 1),
        float(dice.choice((0.0, 0.0, 0.5, 0.8))),
        str(dice.choice(CLOCKS)),
        (float(dice.choice((0.02, 0.45))), float(dice.choice((0.07, 0.95)))),
        float(dice.choice((0.0, 1.0))),
    )


def _quality(codec: str, dice: np.random.Generator) -> tuple[tuple[tuple[str, str], ...], int]:
    """Options of the encoder, and its bit rate, 0 where its quality is constant."""
    bit_rate = int(dice.uniform(250, 2500)) * 1000
    if codec in ("libx264", "libx265"):
        preset = str(dice.choice(X264)) if codec == "libx264" else "ultrafast"
        options = [("preset", preset)] + ([("tune", "zerolatency")] if dice.random() < 0.5 else [])
        if dice.random() < 0.5:
            return (*options, ("crf", str(int(dice.integers(18, 34))))), 0
        return tuple(options), bit_rate
    if codec == "mjpeg":
        return (("qmin", q := str(int(dice.integers(3, 14)))), ("qmax", q)), 0
    return (), bit_rate


def quiet(s: Encoded) -> Encoded:
    """The same without people, and at most numbers denoised more strongly: what is most like a picture that
    stands, and lives."""
    return replace(s, people=0.0, denoised=max(s.denoised, (0.0, 0.8, 0.9, 0.95)[s.number % 4]))


def pictures(
    s: Encoded, begins_s: float = BEGINS_S, length_s: int = LENGTH_S
) -> Iterator[tuple[float, Image]]:
    """A picture a second as decoded; from `begins_s` on the last one stands, under the clock."""
    encoder, decoder = _codecs(s)
    decoded, last = [], None
    for at_s, seen in _seen(s, begins_s, length_s):
        frame = av.VideoFrame.from_ndarray(_with_clock(seen, s, at_s), format="bgr24")
        if s.codec == "mjpeg":
            frame = frame.reformat(format="yuvj420p")
        for packet in encoder.encode(frame):
            decoded = decoder.decode(av.Packet(bytes(packet))) or decoded
        second = int(at_s + 1e-6)
        if decoded and second != last:
            last = second
            yield float(second), decoded[-1].to_ndarray(format="bgr24")


def _codecs(s: Encoded) -> tuple[av.VideoCodecContext, av.VideoCodecContext]:
    encoder = av.CodecContext.create(s.codec, "w")
    encoder.width, encoder.height = WIDTH, HEIGHT
    encoder.pix_fmt = "yuvj420p" if s.codec == "mjpeg" else "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, s.fps), Fraction(s.fps)
    encoder.gop_size, encoder.max_b_frames = s.gop, 0
    encoder.thread_count = 1
    if s.bit_rate:
        encoder.bit_rate = s.bit_rate
    quiet = {"x265-params": "log-level=none"} if s.codec == "libx265" else {}
    encoder.options = dict(s.options) | {"g": str(s.gop)} | quiet
    name = {"libx264": "h264", "libx265": "hevc"}.get(s.codec, s.codec)
    return encoder, av.CodecContext.create(name, "r")


def _seen(s: Encoded, begins_s: float, length_s: int) -> Iterator[tuple[float, Image]]:
    """What the sensor gives, frame by frame, denoised."""
    dice = np.random.default_rng((32, s.number))
    clean = street(STREETS[s.held_out][s.number % 2], s.people)
    grains = [dice.normal(0, s.noise, (HEIGHT, WIDTH, 1)).astype(np.float32) for _ in range(8)]
    grain, last = np.zeros((HEIGHT, WIDTH, 1), np.float32), clean[0]
    for number in range(length_s * s.fps):
        at_s = number / s.fps
        if at_s < begins_s:
            fresh = np.roll(grains[dice.integers(8)], tuple(dice.integers(0, 300, 2)), axis=(0, 1))
            grain = s.denoised * grain + (1 - s.denoised) * fresh
            scene = clean[int(at_s) % len(clean)]
            last = np.clip(scene + grain, 0, 255).astype(np.uint8)
        yield at_s, last


def _with_clock(picture: Image, s: Encoded, at_s: float) -> Image:
    out = picture.copy()
    second = int(at_s)
    text = f"2026-05-01 12:{second // 60:02d}:{second % 60:02d}"
    text += " CAM 07 GATE" if s.clock == "with a name" else ""
    x, y = int(s.corner[0] * WIDTH), int(s.corner[1] * HEIGHT)
    if s.clock == "boxed":
        cv2.rectangle(out, (x - 4, y - 16), (x + 200, y + 6), (0, 0, 0), -1)
    cv2.putText(out, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def told(s: Encoded, begins_s: float = BEGINS_S, length_s: int = LENGTH_S) -> list[tuple[float, Health]]:
    """What a monitor says of it, and when."""
    monitor, changes = HealthMonitor(), []
    for at_s, picture in pictures(s, begins_s, length_s):
        if (health := monitor.look(small_grey(picture), at_s, at_s)) is not None:
            changes.append((at_s, health))
    return changes
