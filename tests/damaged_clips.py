"""Damaged clips by seed: cut, flipped, spliced, with headers that lie; and what comes of reading them.

    for outcome in read_damaged(render(folder), range(300)): ...

The clips are rendered here. A child process damages one, reads it to its end as the daemon would, says what
came of it, and goes on to the next seed; it has no more than MEMORY_BYTES. Where it dies or says nothing for
LIMIT_S, that is the outcome, and another child goes on with the next.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import av
import numpy as np

from pipelines.geometry import fit
from streamer.errors import SourceEnded, SourceError
from streamer.sources.base import Source, create_source
from tests.clips import make_clip
from tests.patience import patient

FRAMES, WIDTH, HEIGHT = 20, 96, 64
MEMORY_BYTES = 3 << 30  # of addresses, of which a child with its libraries takes one before it reads
TIMEOUT_S = 5.0  # of an open, and of a read
LIMIT_S = patient(15)  # for one clip: more than both
START_S = patient(30)  # for the first: its process has to start
CHILD = [sys.executable, "-m", "tests.damaged_clips"]
MAX_PICTURES = 20 * FRAMES  # of a clip that is spliced of several
ANALYSIS_WIDTH = 640


@dataclass(frozen=True)
class Outcome:
    """`end`: "ended" or "refused" (with the line that says so), "hung", "died" or "fault", which is whatever
    should not come: another exception, more than one line, pictures that do not add up."""

    seed: int
    clip: str
    damage: str
    end: str
    text: str = ""
    frames: int = 0


# ---- clips

KINDS = {
    "h264.mp4": ("libx264", "yuv420p", {}),
    "fragmented.mp4": ("libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "h264.mkv": ("libx264", "yuv420p", {}),
    "h264.ts": ("libx264", "yuv420p", {}),
    "h264.avi": ("libx264", "yuv420p", {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "mjpeg.mkv": ("mjpeg", "yuvj420p", {}),
    "plain.mjpeg": ("mjpeg", "yuvj420p", {}),
    "plain.h264": ("libx264", "yuv420p", {}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {}),
    "hevc.mp4": ("libx265", "yuv420p", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {}),
}


def render(folder: Path) -> Path:
    """A clip of every kind for which there is an encoder; returns `folder`."""
    for name, (codec, pixels, container) in KINDS.items():
        if codec in av.codecs_available:
            size = {"frames": FRAMES, "width": WIDTH, "height": HEIGHT, "key_frame_gap": 8}
            options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
            make_clip(
                folder / name,
                codec=codec,
                pixel_format=pixels,
                options=options,
                container_options=container,
                **size,
            )
    return folder


# ---- damages: each takes the bytes of a clip and of another, and may change the first


def cut(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    del raw[chance.randrange(1, len(raw)) :]


def cut_front(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    del raw[: chance.randrange(1, len(raw))]


def flip_bits(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    for _ in range(2 ** chance.randrange(10)):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)


def overwrite(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    start = chance.randrange(len(raw))
    length = min(len(raw) - start, 2 ** chance.randrange(1, 12))
    raw[start : start + length] = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length)])


def splice(chance: random.Random, raw: bytearray, other: bytes) -> None:
    raw[chance.randrange(len(raw)) :] = other[chance.randrange(len(other)) :]


def repeat_piece(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    start = chance.randrange(len(raw))
    piece = raw[start : start + 2 ** chance.randrange(4, 12)]
    at = chance.randrange(len(raw))
    raw[at:at] = piece * chance.randrange(1, 4)


def take_out(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    start = chance.randrange(len(raw))
    del raw[start : start + 2 ** chance.randrange(1, 12)]


LIES = (0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x01010101)


def lie_in_header(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    """Sizes, counts, offsets: numbers of two or four bytes at either end, where containers keep them."""
    for _ in range(chance.randrange(1, 6)):
        size = chance.choice([2, 4])
        reach = min(len(raw) - size, 1500)
        at = chance.randrange(reach) if chance.random() < 0.6 else len(raw) - size - chance.randrange(reach)
        number = chance.choice(LIES) & (1 << 8 * size) - 1
        raw[at : at + size] = number.to_bytes(size, chance.choice(["big", "little"]))


def lie_in_box(chance: random.Random, raw: bytearray, _other: bytes) -> None:
    """Within what an MP4 or AVI says of itself: right behind one of its four-letter names."""
    names = [
        b"moov",
        b"tkhd",
        b"mdhd",
        b"stsd",
        b"stts",
        b"stsc",
        b"stsz",
        b"stco",
        b"avcC",
        b"trun",
        b"tfhd",
    ]
    names += [
        b"ctts",
        b"elst",
        b"mvhd",
        b"avih",
        b"strh",
        b"strf",
        b"idx1",
        b"movi",
        b"00dc",
        b"moof",
        b"avc1",
    ]
    found = [at for name in names if (at := raw.find(name)) >= 0]
    if not found:
        return lie_in_header(chance, raw, _other)
    for _ in range(chance.randrange(1, 4)):
        at = min(chance.choice(found) + 4 * chance.randrange(-1, 24), len(raw) - 4)
        raw[max(at, 0) : max(at, 0) + 4] = chance.choice(LIES).to_bytes(4, chance.choice(["big", "little"]))
    return None


DAMAGES: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    *(cut, cut_front, flip_bits, overwrite, splice, repeat_piece, take_out, lie_in_header, lie_in_box),
)


def damaged(clips: Path, seed: int) -> tuple[str, str, bytes]:
    """(clip, what was done to it, its bytes); the same for the same seed."""
    chance = random.Random(seed)
    names = [name for name in KINDS if (clips / name).exists()]
    name, other = names[seed % len(names)], (clips / chance.choice(names)).read_bytes()
    raw = bytearray((clips / name).read_bytes())
    done = [DAMAGES[seed // len(names) % len(DAMAGES)]]
    done += [chance.choice(DAMAGES) for _ in range(chance.choice([0, 0, 0, 1, 2]))]
    for damage in done:
        if len(raw) > 8:
            damage(chance, raw, other)
    return name, "+".join(damage.__name__ for damage in done), bytes(raw)


# ---- the child


def read_seed(clips: Path, seed: int, path: Path) -> Outcome:
    name, damage, raw = damaged(clips, seed)
    path = path.with_suffix(Path(name).suffix)
    path.write_bytes(raw)
    source = create_source(str(path), realtime=False, open_timeout_s=TIMEOUT_S, read_timeout_s=TIMEOUT_S)
    frames: list[int] = []
    try:
        end, text = _read_to_end(source, frames)
    except Exception as error:  # noqa: BLE001 - which is what is looked for
        end, text = "fault", f"{type(error).__name__}: {error}"
    finally:
        source.close()
    return Outcome(seed, name, damage, end, text[:500], len(frames))


def _read_to_end(source: Source, media_ns: list[int]) -> tuple[str, str]:
    try:
        source.open()
        while len(media_ns) <= MAX_PICTURES:
            picture = source.read()
            width, height = fit(picture.width, picture.height, ANALYSIS_WIDTH)
            picture.write_bgr(np.empty((height, width, 3), np.uint8))
            media_ns.append(picture.media_ns)
    except SourceError as error:
        return _judged(error, media_ns)
    return "fault", f"more than {MAX_PICTURES} pictures"


def _judged(error: SourceError, media_ns: list[int]) -> tuple[str, str]:
    text = str(error)
    if not text or "\n" in text or len(text) > 1000:
        return "fault", f"not one line: {text!r}"
    if any(b <= a for a, b in pairwise(media_ns)):
        return "fault", "media time does not rise"
    if isinstance(error, SourceEnded) and f" after {len(media_ns)} frames" not in text:
        return "fault", f"{len(media_ns)} pictures were read: {text}"
    return ("ended" if isinstance(error, SourceEnded) else "refused"), text


def _child(clips: Path, path: Path, seeds: Iterable[int]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    logging.disable()
    for seed in seeds:
        print(json.dumps(asdict(read_seed(clips, seed, path))), flush=True)


# ---- the parent


def read_damaged(clips: Path, seeds: range) -> Iterator[Outcome]:
    """What reading each seed's clip comes to, in order."""
    left = seeds
    with tempfile.TemporaryDirectory(prefix="st-clips-") as folder:
        while left:
            for outcome in _of_one_child(clips, Path(folder) / "clip", left):
                yield outcome
                left = left[1:]


def _of_one_child(clips: Path, path: Path, seeds: range) -> Iterator[Outcome]:
    """Up to the seed that ends it."""
    command = [*CHILD, str(clips), str(path), str(seeds.start), str(seeds.stop)]
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            done = 0
            while done < len(seeds) and (line := _line(child.stdout, LIMIT_S if done else START_S + LIMIT_S)):
                yield Outcome(**json.loads(line))
                done += 1
            if done < len(seeds):
                yield _last(child, clips, seeds[done], line)
        finally:
            child.kill()


def _line(stdout: IO[bytes], limit_s: float) -> bytes | None:
    """The next line; empty where it has ended, None where it says nothing for so long."""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        return stdout.readline() if selector.select(limit_s) else None


def _last(child: subprocess.Popen[bytes], clips: Path, seed: int, line: bytes | None) -> Outcome:
    name, damage, _ = damaged(clips, seed)
    if line is None:
        return Outcome(seed, name, damage, "hung", f"nothing for {LIMIT_S:g} s")
    code = child.wait()
    if code < 0:
        return Outcome(seed, name, damage, "died", signal.Signals(-code).name)
    assert child.stderr is not None
    return Outcome(seed, name, damage, "fault", child.stderr.read().decode(errors="replace")[-500:])


if __name__ == "__main__":
    _child(Path(sys.argv[1]), Path(sys.argv[2]), range(int(sys.argv[3]), int(sys.argv[4])))
    os._exit(0)
