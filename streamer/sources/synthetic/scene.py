"""Which scene is meant: `synthetic:street?seed=1&width=1280&height=720&fps=25`, parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec, Point
from pipelines.values import Image
from streamer.errors import ConfigError
from streamer.sources.synthetic.painter import Painter, Picture
from streamer.sources.synthetic.view import COUNT_SLOPE, FACADE
from streamer.sources.synthetic.world import Density, World

NAMES = ("street",)
MAX_SIDE = 3840  # pixels
MAX_FPS = 120.0


@dataclass(frozen=True)
class Scene:
    """Everything that decides what the pictures show. `seconds` 0: without end.

    `density` multiplies how many people and vehicles come; `stand` lets people stand on the counting line.
    `mast` is the height of the camera in metres (0: by seed, about 5.5); from higher up things hide each
    other less. `acts` is the share of people who run, loiter or fall.
    """

    name: str = "street"
    seed: int = 1
    width: int = 640
    height: int = 360
    fps: float = 15.0
    seconds: float = 0.0
    density: float = 1.0
    people: float = 1.0
    vehicles: float = 1.0
    bicycles: float = 1.0
    stand: bool = False
    noise: float = 2.5
    mast: float = 0.0
    acts: float = 0.0

    @property
    def frames(self) -> int | None:
        return round(self.seconds * self.fps) if self.seconds else None

    @property
    def url(self) -> str:
        """The URL of this scene."""
        plain = Scene(self.name)
        given = [
            f"{key}={float(value):.12g}"
            for key in _KEYS
            if (value := getattr(self, key)) != getattr(plain, key)
        ]
        return f"synthetic:{self.name}" + ("?" + "&".join(given) if given else "")

    def world(self) -> World:
        every = Density()
        return World(
            self.seed,
            Density(
                every.people * self.density * self.people,
                every.vehicles * self.density * self.vehicles,
                every.bicycles * self.density * self.bicycles,
                calm=not self.stand,
                acts=self.acts,
            ),
            self.mast,
        )

    def painter(self) -> Painter:
        return Painter(self.world(), self.width, self.height, noise=self.noise)

    def media_ns(self, frame: int) -> int:
        return round(frame * 1_000_000_000 / self.fps)

    def picture(self, painter: Painter, frame: int) -> Image:
        """Frame `frame` (from 0), (height, width, 3) uint8 BGR."""
        return painter.paint(self.snapshot(painter, frame))

    def snapshot(self, painter: Painter, frame: int) -> Picture:
        return painter.picture(frame / self.fps, frame)

    def line(self, name: str = "street") -> LineSpec:
        """The scene's own counting line: over both pavements and the road, from the near side to the far."""
        view = self.world().view(self.width, self.height)
        # The near end is where the line leaves the picture at the bottom, the far end a man's height up
        # the facade, so that the middle of whoever walks there passes it too.
        path = [[COUNT_SLOPE * y, y, 0.0] for y in np.linspace(3.0, FACADE, 400)]
        pixels, _ = view.project(np.array([*path, [COUNT_SLOPE * FACADE, FACADE, 1.6]]))
        inside = pixels[(pixels[:, 1] <= self.height) & (pixels[:, 0] >= 0) & (pixels[:, 0] <= self.width)]
        near, far = inside[0], inside[-1]
        points: tuple[Point, Point] = (self._unit(near), self._unit(far))
        return LineSpec(name=name, points=points, left_to_right="rightwards", right_to_left="leftwards")

    def rules(self) -> CameraRules:
        return CameraRules(lines=(self.line(),))

    def _unit(self, pixel: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Point:
        x, y = float(pixel[0]) / self.width, float(pixel[1]) / self.height
        return round(min(1.0, max(0.0, x)), 4), round(min(1.0, max(0.0, y)), 4)


_KEYS = (
    "seed", "width", "height", "fps", "seconds", "density", "people", "vehicles", "bicycles", "stand",
    "noise", "mast", "acts",
)  # fmt: skip
_LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "width": (64, MAX_SIDE),
    "height": (64, MAX_SIDE),
    "fps": (0.5, MAX_FPS),
    "seconds": (0, 86400 * 366),
    "density": (0, 5),
    "people": (0, 10),
    "vehicles": (0, 10),
    "bicycles": (0, 30),
    "stand": (0, 1),
    "noise": (0, 30),
    "mast": (0, 15),
    "acts": (0, 1),
}
_WHOLE = ("seed", "width", "height", "stand")


def parse(url: str) -> Scene:
    """The scene of `url`. Raise ConfigError when a name, key or value is none that a scene has."""
    body = url.partition(":")[2]
    name, _, query = body.partition("?")
    if name not in NAMES:
        raise ConfigError(f"synthetic:{name[:40]}: no such scene; there is {', '.join(NAMES)}")
    values: dict[str, float | int | bool] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise ConfigError(f"synthetic:{name}: unknown option {key[:40]!r}; there are {', '.join(_KEYS)}")
        low, high = _LIMITS[key]
        try:
            value = int(text) if key in _WHOLE else float(text)
        except ValueError:
            kind = "a whole number" if key in _WHOLE else "a number"
            raise ConfigError(f"synthetic:{name}: {key}={text[:40]!r} is not {kind}") from None
        if not low <= value <= high:
            raise ConfigError(f"synthetic:{name}: {key}={text[:40]} is not between {low:g} and {high:g}")
        values[key] = bool(value) if key == "stand" else value
    return Scene(name, **values)  # type: ignore[arg-type]
