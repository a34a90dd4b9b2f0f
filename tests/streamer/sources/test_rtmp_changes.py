"""An RTMP camera that changes underway: another size or rate is followed, another codec ends the read."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import SourceStalled
from streamer.sources.base import create_source
from tests.clips import make_clip, number_of
from tests.patience import patient
from tests.rtmp_fake import rtmp_playing

OPEN_S = 2.0  # most of it FFmpeg reads on for a sound that is not there


def clip(path: Path, **how: Any) -> Path:
    return make_clip(path, options={"bf": "0"} if how.get("codec") is None else {}, **how)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Longer than an open takes."""
    return clip(tmp_path_factory.mktemp("rtmp") / "first.flv", frames=75)


def test_another_size_is_followed_on_the_same_connection(first: Path, tmp_path: Path) -> None:
    larger = clip(tmp_path / "larger.flv", width=480, height=270)
    with rtmp_playing(first, larger) as port:
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        with closing(create_source(url, open_timeout_s=OPEN_S, read_timeout_s=patient(5))) as source:
            source.open()
            pictures = [source.read() for _ in range(100)]
    shapes = [picture.image().shape[:2] for picture in pictures]
    changed = shapes.index((270, 480))
    assert set(shapes[:changed]) == {(180, 320)}
    assert set(shapes[changed:]) == {(270, 480)}
    assert number_of(pictures[-1].image()) == 100 - changed - 1
    media = [picture.media_ns for picture in pictures]
    assert media == sorted(set(media))


def test_another_rate_is_followed_in_the_streams_own_time(first: Path, tmp_path: Path) -> None:
    slower = clip(tmp_path / "slower.flv", fps=10, frames=10)
    with rtmp_playing(first, slower) as port:
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        with closing(create_source(url, open_timeout_s=OPEN_S, read_timeout_s=patient(5))) as source:
            source.open()
            media = [source.read().media_ns for _ in range(85)]
    assert [media[84] - media[83], media[70] - media[69]] == pytest.approx([1e8, 4e7], abs=2e6)


@pytest.mark.parametrize("resting", [False, True])
def test_another_codec_ends_the_read_however_much_of_it_comes(
    first: Path, tmp_path: Path, resting: bool
) -> None:
    other = clip(tmp_path / "other.flv", codec="flv", frames=3000)  # two minutes of it
    with rtmp_playing(first, other) as port:
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        with closing(create_source(url, open_timeout_s=OPEN_S, read_timeout_s=1.0)) as source:
            assert source.open().codec == "h264"
            if resting:
                source.rest()
            pictures = iter(source.follow, None)
            with pytest.raises(SourceStalled, match="may have changed its codec, and is opened anew"):
                deque(islice(pictures, 100), 0)
