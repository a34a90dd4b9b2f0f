"""Minutes in front of quiet cameras, as their encoders bring them: a passer now and then, and the weather.

Rendered streets with people whom the default detector finds, and fixed clips whose quiet is stretched. Some
are held out: no constant was chosen on them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec
from pipelines.values import Image
from streamer.sources.synthetic import Scene
from streamer.sources.synthetic.painter import Picture
from streamer.sources.synthetic.walkers import Knot, Pose, Walk
from streamer.sources.synthetic.world import Actor

MINUTE_S = 60.0  # in each somebody passes, from or to a door of the street
DOOR_X, RIGHT_X, PAVEMENT_Y = -15.0, 9.0, (7.8, 9.3)  # metres, in the synthetic street
SPEEDS = (1.1, 1.8)  # m/s
FIRST_S, LAST_S = 12.0, 35.0  # of its minute, when a passer sets out
WIDTH, HEIGHT, FPS = 640, 360, 10
LIGHT_S = 180.0  # a slow change of light, from dark to bright and back
DROPS = 60  # streaks of rain in a picture
TREE = (slice(20, 200), slice(20, 170))  # where it stands in the wind, rows and columns


@dataclass(frozen=True)
class Stretched:
    """A corpus clip: a `busy` range of its pictures a minute, between them `quiet` goes to and fro."""

    file: str
    fps: int
    busy: tuple[tuple[int, int], ...]
    quiet: tuple[int, int]
    lines: tuple[LineSpec, ...]


@dataclass(frozen=True)
class Site:
    """`encoder`: options of x264, `gop_s` between two key frames; `weather`: "", tree, rain or light;
    `classes`: who is followed, where cars are parked ones stand in the picture."""

    name: str
    gop_s: float
    encoder: tuple[tuple[str, str], ...]
    seed: int = 1
    noise: float = 2.5
    weather: str = ""
    classes: tuple[str, ...] = ("person",)
    held_out: bool = False
    clip: Stretched | None = None

    @property
    def fps(self) -> int:
        return self.clip.fps if self.clip is not None else FPS

    @property
    def rules(self) -> CameraRules:
        lines = self.clip.lines if self.clip is not None else _lines(self)
        return CameraRules(lines=lines, classes=self.classes)


@dataclass(frozen=True)
class Seen:
    """One picture (H, W, 3) BGR, and whether anybody is in it."""

    picture: Image
    somebody: bool


def _line(name: str, *points: tuple[float, float]) -> LineSpec:
    return LineSpec(name=name, points=points)


CRF = (("preset", "veryfast"), ("crf", "23"))
CBR = (("preset", "veryfast"), ("b", "600k"), ("maxrate", "600k"), ("bufsize", "600k"))
PLAIN, B_FRAMES = (("bf", "0"),), (("bf", "2"),)
ONE_BY_ONE = Stretched(
    "one-by-one-person.mp4",
    10,
    ((50, 200), (218, 455), (497, 704), (737, 874), (923, 1204), (1229, 1366)),
    (0, 50),
    (_line("in", (0.0, 330 / 432), (1.0, 330 / 432)), _line("out", (600 / 768, 0.0), (600 / 768, 1.0))),
)
CARS = Stretched(
    "street-cars.mp4",
    24,
    ((0, 60), (60, 120), (120, 165), (165, 225), (225, 290), (390, 520), (680, 760)),
    (560, 620),
    (_line("street", (0.0, 160 / 352), (1.0, 160 / 352)),),
)
SITES = (
    Site("key frame a second, CRF", 1, CRF + PLAIN, seed=1),
    Site("rain, CBR", 2, CBR + PLAIN, seed=11, weather="rain", held_out=True),
    Site("tree, CBR", 2, CBR + PLAIN, seed=2, weather="tree"),
    Site("tree, B frames", 4, CRF + B_FRAMES, seed=12, weather="tree", held_out=True),
    Site("noise, B frames", 4, CRF + B_FRAMES, seed=3, noise=4.0),
    Site("slow light, CRF", 1, CRF + PLAIN, seed=13, weather="light", held_out=True),
    Site("parked cars, CRF", 2, CRF + PLAIN, seed=5, classes=("person", "car")),
    Site("parked cars, CBR, B frames", 2, CBR + B_FRAMES, seed=14, classes=("person", "car"), held_out=True),
    Site("key frame in 10 s", 10, CRF + PLAIN, seed=4),
    Site("much noise, CBR, B frames", 4, CBR + B_FRAMES, seed=15, noise=5.0, held_out=True),
    Site("one by one, CRF", 2, CRF + PLAIN, clip=ONE_BY_ONE),
    Site("street cars, CBR", 2, CBR + PLAIN, classes=("car",), clip=CARS, held_out=True),
)


def write(site: Site, path: Path, minutes: float, corpus: Path | None) -> list[bool]:
    """Encode `minutes` of it; returns of each picture whether somebody is in it."""
    there: list[bool] = []
    count = int(minutes * 60 * site.fps)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=site.fps)
        stream.codec_context.gop_size = round(site.gop_s * site.fps)
        stream.codec_context.thread_count = 1
        stream.options = dict(site.encoder) | {"sc_threshold": "0"}
        for number, seen in zip(range(count), _pictures(site, corpus), strict=False):
            frame = av.VideoFrame.from_ndarray(seen.picture, format="bgr24").reformat(format="yuv420p")
            if not number:
                stream.height, stream.width = seen.picture.shape[:2]
            frame.pts, frame.time_base = number, Fraction(1, site.fps)
            output.mux(stream.encode(frame))
            there.append(seen.somebody)
        output.mux(stream.encode(None))
    return there


def _lines(site: Site) -> tuple[LineSpec, ...]:
    left, right = (_line(name, (x, 0.0), (x, 1.0)) for name, x in (("left", 0.3), ("right", 0.7)))
    return (_scene(site).line(), left, right)


def _scene(site: Site) -> Scene:
    scene = Scene(seed=site.seed, width=WIDTH, height=HEIGHT, fps=float(FPS), noise=site.noise)
    return replace(scene, people=0.0, vehicles=0.0, bicycles=0.0)


def _passer(site: Site, minute: int) -> Walk:
    dice = random.Random(f"passer {site.seed} {minute}")
    begin_s = minute * MINUTE_S + dice.uniform(FIRST_S, LAST_S)
    way = (DOOR_X, RIGHT_X) if dice.random() < 0.5 else (RIGHT_X, DOOR_X)
    end_s = begin_s + (RIGHT_X - DOOR_X) / dice.uniform(*SPEEDS)
    knots = [
        Knot(t_s, x, y)
        for t_s, x, y in zip((begin_s, end_s), way, [dice.uniform(*PAVEMENT_Y)] * 2, strict=True)
    ]
    return Walk(minute, dice.randrange(1 << 30), tuple(knots), (0.0, RIGHT_X - DOOR_X))


def _actor(walk: Walk, pose: Pose) -> Actor:
    way = (pose.x, pose.y, pose.heading, pose.speed, pose.walked_m)
    return Actor(walk.number * 8 + 1, "person", *way, walk.look)


def _pictures(site: Site, corpus: Path | None) -> Iterator[Seen]:
    if site.clip is not None:
        assert corpus is not None, "a stretched clip needs the corpus"
        yield from _stretched(site.clip, corpus)
        return
    scene = _scene(site)
    painter, weather = scene.painter(), _WEATHER[site.weather]
    for number in range(1 << 31):
        at_s = number / FPS
        walk = _passer(site, int(at_s // MINUTE_S))
        pose = walk.pose(at_s)
        actors = (*painter.world.parked, *([] if pose is None else [_actor(walk, pose)]))
        picture = painter.paint(Picture(at_s, number, actors))
        dice = np.random.default_rng((site.seed, number))
        yield Seen(weather(picture, at_s, dice), pose is not None)


def _stretched(clip: Stretched, corpus: Path) -> Iterator[Seen]:
    with av.open(str(corpus / "videos" / clip.file)) as opened:
        pictures = [frame.to_ndarray(format="bgr24") for frame in opened.decode(video=0)]
    first, last = clip.quiet
    to_and_fro = [*range(first, last), *range(last - 2, first, -1)]
    while True:
        for begin, end in clip.busy:
            rest = max(0, 60 * clip.fps - (end - begin))
            yield from (Seen(pictures[to_and_fro[i % len(to_and_fro)]], False) for i in range(rest))
            yield from (Seen(pictures[i], True) for i in range(begin, end))


# ---- weather


def _tree(picture: Image, at_s: float, _dice: np.random.Generator) -> Image:
    """Its leaves move to and fro, some more than others, in gusts."""
    part = picture[TREE]
    rows, columns = np.indices(part.shape[:2], np.float32)
    gust = 2.0 + 1.5 * np.sin(at_s * 2 * np.pi / 17)
    sway = gust * np.sin(at_s * 4.1 + rows / 13 + columns / 19)
    moved = cv2.remap(
        part, (columns + sway).astype(np.float32), rows, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
    )
    picture[TREE] = moved
    return picture


def _rain(picture: Image, _at_s: float, dice: np.random.Generator) -> Image:
    for x, y, length in zip(
        dice.integers(0, WIDTH, DROPS),
        dice.integers(0, HEIGHT, DROPS),
        dice.integers(6, 20, DROPS),
        strict=True,
    ):
        cv2.line(picture, (int(x), int(y)), (int(x) + 2, int(y + length)), (190, 190, 190), 1, cv2.LINE_AA)
    return picture


def _light(picture: Image, at_s: float, _dice: np.random.Generator) -> Image:
    gain = 1.0 + 0.35 * np.sin(at_s * 2 * np.pi / LIGHT_S)
    return np.asarray(cv2.convertScaleAbs(picture, alpha=float(gain)), np.uint8)


def _as_it_is(picture: Image, _at_s: float, _dice: np.random.Generator) -> Image:
    return picture


_WEATHER: dict[str, Callable[[Image, float, np.random.Generator], Image]] = {
    "": _as_it_is, "tree": _tree, "rain": _rain, "light": _light,
}  # fmt: skip
