"""What every source keeps to, found by the table of schemes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest

from pipelines.geometry import fit
from streamer.errors import ConfigError, SourceEnded, SourceError
from streamer.sources import SOURCES
from streamer.sources.base import Source, create_source
from tests.clips import make_clip


@pytest.fixture(params=["file", "synthetic"])
def short_source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """A source that ends after a few pictures and needs no camera."""
    if request.param == "file":
        return create_source(str(make_clip(tmp_path / "a.mp4", frames=12)), realtime=False)
    return create_source("synthetic:street?seed=1&seconds=1", realtime=False)


def read(source: Source, pictures: int) -> None:
    for _ in range(pictures):
        source.read()


def test_every_scheme_of_the_table_has_a_factory() -> None:
    for scheme in SOURCES.values():
        assert callable(resolve_name(scheme.create))


def test_a_scheme_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed are"):
        create_source("ftp://cam/clip.mp4")


def test_a_source_ends_with_an_error_of_its_own(short_source: Source) -> None:
    info = short_source.open()
    assert min(info.width, info.height, info.fps) > 0
    with pytest.raises(SourceEnded, match="ended after"):
        read(short_source, 10_000)
    short_source.close()


def test_times_rise_and_pictures_can_be_had_at_any_size(short_source: Source) -> None:
    info = short_source.open()
    pictures = [short_source.read() for _ in range(8)]
    short_source.close()
    assert {(p.width, p.height) for p in pictures} == {(info.width, info.height)}
    for times in ("media_ns", "captured_ns", "received_mono_ns"):
        assert all(getattr(b, times) > getattr(a, times) for a, b in pairwise(pictures))
    out = np.zeros((90, 160, 3), np.uint8)
    pictures[3].write_bgr(out)  # also after closing: the picture is its own
    assert out.std() > 5
    assert pictures[3].image().shape == (info.height, info.width, 3)


def test_a_closed_source_reads_no_more(short_source: Source) -> None:
    short_source.open()
    short_source.read()
    short_source.close()
    short_source.close()
    with pytest.raises(SourceError, match="closed"):
        short_source.read()


@pytest.mark.parametrize(
    ("size", "max_width", "wanted"),
    [
        ((1920, 1080), 640, (640, 360)),
        ((1280, 960), 640, (640, 480)),
        ((640, 360), 640, (640, 360)),
        ((320, 181), 640, (320, 181)),
        ((1920, 1080), 0, (1920, 1080)),
        ((4000, 10), 100, (100, 2)),
    ],
)
def test_sizes_keep_their_aspect(size: tuple[int, int], max_width: int, wanted: tuple[int, int]) -> None:
    assert fit(*size, max_width) == wanted
