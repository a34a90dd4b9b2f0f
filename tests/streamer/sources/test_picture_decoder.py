"""Decoding without the deblocking filter: it begins and ends at key frames, and no picture is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.values import Image
from streamer.errors import SourceEnded
from streamer.sources.base import Decoded, SparingSource, create_source
from tests.clips import make_clip

GAP, FRAMES = 20, 100
ON_FROM, OFF_FROM = 2 * GAP, 4 * GAP  # asked for a little earlier, in the midst of a group
SIZE = (320, 180)


def blocks(number: int, width: int, height: int) -> Image:
    """A texture that moves: an encoder that is short of bits makes blocks of it."""
    texture = np.random.default_rng(7).integers(0, 255, (height // 4, width // 4, 3)).astype(np.uint8)
    return np.roll(texture.repeat(4, axis=0).repeat(4, axis=1), 3 * number, axis=1)


def clip(folder: Path, codec: str, options: dict[str, str]) -> Path:
    path = folder / f"{codec}.mp4"
    return make_clip(path, frames=FRAMES, codec=codec, options=options, key_frame_gap=GAP, draw=blocks)


def read(path: Path, spares: Callable[[int], bool]) -> tuple[list[Decoded], list[bool]]:
    """All pictures, and of each whether decoding was spared when it came; `spares` gets how many came."""
    pictures: list[Decoded] = []
    spared: list[bool] = []
    source = create_source(str(path), realtime=False, spares=lambda: spares(len(pictures)))
    assert isinstance(source, SparingSource)
    assert not source.spared  # not open yet
    source.open()
    try:
        while True:
            pictures.append(source.read())
            spared.append(source.spared)
    except SourceEnded:
        return pictures, spared
    finally:
        source.close()


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"preset": "fast", "crf": "38", "bf": "2", "sc_threshold": "0"}),
        ("libx265", {"preset": "fast", "crf": "38", "x265-params": "log-level=none:scenecut=0:open-gop=0"}),
    ],
)
def test_the_filter_is_left_out_from_a_key_frame_to_a_key_frame_and_every_picture_comes_once(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    path = clip(tmp_path, codec, options)
    exact, never = read(path, lambda _: False)
    sparing, spared = read(path, lambda came: ON_FROM - GAP // 2 < came < OFF_FROM - GAP // 2)
    assert not any(never)
    assert [p.media_ns for p in sparing] == [p.media_ns for p in exact]
    assert len(sparing) == FRAMES
    differs = [not np.array_equal(a.image(), b.image()) for a, b in zip(exact, sparing, strict=True)]
    assert all(differs[ON_FROM + 1 : OFF_FROM])
    assert not any(differs[:ON_FROM])
    assert not any(differs[OFF_FROM:])
    assert any(spared[ON_FROM:OFF_FROM])
    assert not spared[-1]


def test_pictures_without_the_filter_are_nearly_the_same(tmp_path: Path) -> None:
    path = clip(tmp_path, "libx264", {"preset": "fast", "crf": "28"})
    exact, sparing = read(path, lambda _: False)[0], read(path, lambda _: True)[0]
    off = [np.abs(a.image().astype(int) - b.image()).mean() for a, b in zip(exact, sparing, strict=True)]
    assert 0 < max(off) < 12  # of 255, on a texture that is nothing but edges


def test_a_codec_without_such_a_filter_is_decoded_as_ever(tmp_path: Path) -> None:
    path = clip(tmp_path, "mpeg4", {})
    pictures, spared = read(path, lambda _: True)
    assert len(pictures) == FRAMES
    assert not any(spared)
