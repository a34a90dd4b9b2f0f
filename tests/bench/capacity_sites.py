"""The streams of the bench `capacity`: a few clips, 1920x1080 at 25 frames a second, with the quiet of sites.

Each is drawn once into a folder: rendered streets full of people and vehicles, the corpus's clips where it
is, and streets that are empty but for one passer a clip. A camera's stream is a clip's packets over and over
with rising times, from a key frame of the camera's own on: no two cameras show the same at the same time, and
nothing is encoded twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec
from pipelines.train.detector.counts import CLIPS
from pipelines.values import Image
from streamer.sources.synthetic import Scene
from streamer.sources.synthetic.painter import Picture
from streamer.sources.synthetic.walkers import Knot, Walk
from streamer.sources.synthetic.world import Actor

SIZE, FPS = (1920, 1080), 25
DRAWN = (960, 540)  # rendered scenes are drawn so large and scaled up: a quarter of the work
GOP = 2 * FPS
SEAM_S = 0.5  # from where a clip begins anew: everybody is somewhere else there, as before no camera
GOLDEN = 0.618034  # of a group after the camera before: however many there are, they are spread
NOISE, NOISE_PICTURES = 2.0, 7  # of the sensor, in grey levels; so many pictures of it take turns
PLAIN = {"preset": "veryfast", "bf": "0", "sc_threshold": "0", "maxrate": "4M", "bufsize": "4M"}
BUSY_ENCODER = PLAIN | {"b": "3M"}
QUIET_ENCODER = PLAIN | {"crf": "18"}  # as cameras do that send less where nothing moves
DOOR_X, RIGHT_X, PAVEMENT_Y = -15.0, 9.0, (7.8, 9.3)  # metres, in the synthetic street
SPEEDS = (1.1, 1.8)  # m/s
COMES_S = 0.7  # after a key frame: nobody appears with one
MAX_BUSY = 4  # clips, which cameras share
EMPTY = 3 * GOP  # pictures of nobody that differ in their noise
NEAR_S, IDLE_STEP = 2.0, 5  # pictures near somebody count all, of the others every so many


@dataclass(frozen=True, slots=True)
class Clip:
    """One to be drawn: a rendered street of `seed`, or the corpus's `file`. In a quiet one one passes."""

    name: str
    rules: CameraRules
    quiet: bool = False
    seed: int = 0
    file: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A clip that lies in the folder. `keys`: its key frames; `looked_at`: the pictures that counting with
    every frame looks at (all but most of an empty street's)."""

    clip: Clip
    path: Path
    frames: int
    keys: tuple[int, ...]
    looked_at: tuple[int, ...]


def _street(seed: int, quiet: bool = False) -> Scene:
    scene = Scene(seed=seed, width=DRAWN[0], height=DRAWN[1], fps=float(FPS), noise=0.0)
    return replace(scene, people=0.0, vehicles=0.0, bicycles=0.0) if quiet else scene


def _rendered(seed: int, quiet: bool = False) -> Clip:
    lines = [_street(seed).line()]
    lines += [LineSpec(name=name, points=((x, 0.0), (x, 1.0))) for name, x in (("left", 0.3), ("right", 0.7))]
    kinds = ("person",) if quiet else ("person", "vehicle")
    rules = CameraRules(lines=tuple(lines), classes=kinds)
    return Clip(f"{'quiet' if quiet else 'busy'}-street-{seed}", rules, quiet, seed)


def _filmed(file: str) -> Clip:
    known = next((clip for clip in CLIPS if clip.name == file), None)
    if known is not None:
        return Clip(Path(file).stem, CameraRules(lines=known.lines, classes=known.classes), file=file)
    lines = (
        LineSpec(name="across", points=((0.5, 0.0), (0.5, 1.0)), anchor="foot"),
        LineSpec(name="along", points=((0.0, 0.6), (1.0, 0.6)), anchor="foot"),
    )
    return Clip(Path(file).stem, CameraRules(lines=lines, classes=("person",)), file=file)


FILMED = ("towncentre-1080p.mp4", "overpass-cars.mp4", "street-cars.mp4")


def clips(corpus: Path, cameras: int) -> tuple[list[Clip], list[Clip]]:
    """The busy and the quiet ones for so many cameras; of the corpus those that are there."""
    filmed = [_filmed(file) for file in FILMED if (corpus / "videos" / file).exists()]
    busy = [*filmed, *(_rendered(seed) for seed in (21, 22, 23))]
    quiet = [_rendered(seed, quiet=True) for seed in (1, 2, 4)]
    return busy[: min(MAX_BUSY, -(-cameras // 3))], quiet[: max(1, cameras - -(-cameras // 3))]


# ---- drawing


def draw(clip: Clip, folder: Path, seconds: float, corpus: Path) -> Drawn:
    """The clip in `folder`, drawn where it is not there yet; `seconds` at most, whole groups of pictures."""
    path = folder / f"{clip.name}-{seconds:g}.mp4"
    if not path.exists():
        begun = path.with_suffix(".part.mp4")
        _draw(clip, begun, round(seconds * FPS) // GOP * GOP, corpus)
        begun.rename(path)
    packets = _packets(path)
    keys = tuple(number for number, (_, key) in enumerate(packets) if key)
    return Drawn(clip, path, len(packets), keys, _looked_at(clip, len(packets)))


def _draw(clip: Clip, path: Path, frames: int, corpus: Path) -> None:
    source = corpus / "videos" / clip.file
    if clip.file and _size(source) == SIZE:
        packets = _packets(source)
        _write(source, path, enumerate(range(min(frames, len(packets)))))
    elif clip.quiet:
        pieces = path.with_suffix(".pieces.mp4")
        _encode(pieces, _pieces(clip.seed), QUIET_ENCODER)
        _write(pieces, path, enumerate(_quiet_order(clip.seed, frames)))
        pieces.unlink()
    else:
        pictures = _film(source, frames) if clip.file else _busy(clip.seed, frames)
        _encode(path, pictures, BUSY_ENCODER)


def _size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        return container.streams.video[0].width, container.streams.video[0].height


def _looked_at(clip: Clip, frames: int) -> tuple[int, ...]:
    if not clip.quiet:
        return tuple(range(frames))
    order, near = _quiet_order(clip.seed, frames), round(NEAR_S * FPS)
    passes = [number for number, piece in enumerate(order) if piece >= EMPTY]
    close = range(passes[0] - near, passes[-1] + near)
    return tuple(n for n in range(frames) if n in close or n % IDLE_STEP == 0)


def _busy(seed: int, frames: int) -> Iterator[Image]:
    scene = _street(seed)
    painter = scene.painter()
    return (scene.picture(painter, number) for number in range(frames))


def _film(path: Path, frames: int) -> Iterator[Image]:
    """Its first pictures, whole groups of them, however fast they were filmed."""
    group: list[Image] = []
    with av.open(str(path)) as container:
        for _, frame in zip(range(frames), container.decode(video=0), strict=False):
            group.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            if len(group) == GOP:
                yield from group
                group.clear()


def _pieces(seed: int) -> Iterator[Image]:
    """What a quiet clip is put together of: EMPTY pictures of nobody, and somebody's way past."""
    painter, walk = _street(seed, quiet=True).painter(), _passer(seed)
    empty = painter.paint(Picture(0.0, 0, tuple(painter.world.parked)))
    yield from (empty for _ in range(EMPTY))
    for number in range(_passing(seed)):
        pose = walk.pose(number / FPS)
        if pose is None:
            yield empty
            continue
        place = (pose.x, pose.y, pose.heading, pose.speed, pose.walked_m)
        passer = Actor(walk.number * 8 + 1, "person", *place, walk.look)
        yield painter.paint(Picture(number / FPS, number, (*painter.world.parked, passer)))


def _quiet_order(seed: int, frames: int) -> list[int]:
    """Which piece each picture of the clip is: groups of nobody in any order, and once somebody."""
    dice = random.Random(f"order {seed}")
    passing = range(EMPTY, EMPTY + _passing(seed))
    rest = max(2, (frames - len(passing)) // GOP)
    at = dice.randrange(1, rest)
    groups = [range(first, first + GOP) for first in dice.choices(range(0, EMPTY, GOP), k=rest)]
    return [number for group in (*groups[:at], passing, *groups[at:]) for number in group]


def _passing(seed: int) -> int:
    """How many pictures somebody's way takes, in whole groups."""
    *_, last = _passer(seed).knots
    return -(-round(last.t_s * FPS) // GOP) * GOP


def _passer(seed: int) -> Walk:
    """One who passes the street, from or to a door."""
    dice = random.Random(f"passer {seed}")
    takes_s = (RIGHT_X - DOOR_X) / dice.uniform(*SPEEDS)
    way = (DOOR_X, RIGHT_X) if dice.random() < 0.5 else (RIGHT_X, DOOR_X)
    y = dice.uniform(*PAVEMENT_Y)
    knots = tuple(Knot(t_s, x, y) for t_s, x in zip((COMES_S, COMES_S + takes_s), way, strict=True))
    return Walk(0, dice.randrange(1 << 30), knots, (0.0, RIGHT_X - DOOR_X))


def _encode(path: Path, pictures: Iterator[Image], encoder: dict[str, str]) -> None:
    dice = np.random.default_rng(7)
    noise = [dice.normal(0, NOISE, (SIZE[1], SIZE[0], 3)).astype(np.int16) for _ in range(NOISE_PICTURES)]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height = SIZE
        stream.codec_context.gop_size = GOP
        stream.codec_context.thread_count = 1
        stream.options = dict(encoder)
        for number, picture in enumerate(pictures):
            large = picture
            if picture.shape[1::-1] != SIZE:
                large = np.asarray(cv2.resize(picture, SIZE, interpolation=cv2.INTER_LINEAR), np.uint8)
            noisy = np.asarray(cv2.add(large, noise[number % NOISE_PICTURES], dtype=cv2.CV_8U), np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


# ---- streams


@dataclass(frozen=True, slots=True)
class Site:
    """A camera's stream: `drawn` from its picture `first` on, over and over, `frames` in all. The second
    comes `lead` pictures later than it would: each camera's key frames come in their own time."""

    camera: str
    drawn: Drawn
    path: Path
    first: int
    frames: int
    lead: int = 0

    def due(self, number: int) -> int:
        """When the stream's frame `number` comes, in pictures from the first."""
        return number + self.lead if number else 0

    def picture(self, number: int) -> int:
        """Which of the clip's pictures the stream's frame `number` is."""
        return (self.first + number) % self.drawn.frames

    def is_near_seam(self, media_s: float) -> bool:
        """Whether the clip begins anew within SEAM_S of that time, and everybody in it is somewhere else."""
        place = (self.first + round(media_s * FPS) - self.lead) % self.drawn.frames
        return min(place, self.drawn.frames - place) < SEAM_S * FPS


def sites(
    busy: list[Drawn], quiet: list[Drawn], cameras: int, seconds: float, folder: Path, together: bool = False
) -> list[Site]:
    """`cameras` streams of so long, of which a third is busy; write() writes one into `folder`. Their key
    frames come one camera after the other, or all `together`, as no cameras' do."""
    spread = 0.0 if together else GOLDEN
    return [_site(number, busy, quiet, round(seconds * FPS), folder, spread) for number in range(cameras)]


def _site(
    number: int, busy: list[Drawn], quiet: list[Drawn], frames: int, folder: Path, spread: float
) -> Site:
    is_busy = number % 3 == 0
    turn, kinds = (number // 3, busy) if is_busy else (number - number // 3 - 1, quiet)
    drawn = kinds[turn % len(kinds)]
    first = drawn.keys[(turn * 7 + number) % len(drawn.keys)]
    lead = round(GOP * (number * spread % 1))
    path = folder / f"{drawn.path.stem}-from-{first}-{frames}-lead-{lead}.mp4"
    return Site(f"{'busy' if is_busy else 'quiet'}-{number}", drawn, path, first, frames, lead)


def write(site: Site) -> None:
    """Write its stream, where that is not there yet."""
    if not site.path.exists():
        begun = site.path.with_suffix(".part.mp4")
        repeat(site, begun)
        begun.rename(site.path)


def repeat(site: Site, path: Path) -> None:
    """Write the stream to `path`. Raises ValueError where it does not begin with a key frame."""
    if site.first not in site.drawn.keys:
        raise ValueError(f"{site.drawn.path}: its picture {site.first} is no key frame")
    order = [(site.due(number), site.picture(number)) for number in range(site.frames)]
    _write(site.drawn.path, path, order)


def _packets(path: Path) -> list[tuple[bytes, bool]]:
    """Of a clip without B frames, and whether each is a key frame."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [(bytes(packet), packet.is_keyframe) for packet in packets if packet.size]


def _write(source: Path, path: Path, order: Iterable[tuple[int, int]]) -> None:
    """The packets of `source` in this order: when each is due, in pictures, and its number there; each group
    begins with a key."""
    packets = _packets(source)
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for due, which in order:
            content, key = packets[which]
            packet = av.Packet(content)
            packet.stream, packet.is_keyframe, packet.time_base = stream, key, Fraction(1, FPS)
            packet.pts = packet.dts = due
            packet.duration = 1
            output.mux(packet)
