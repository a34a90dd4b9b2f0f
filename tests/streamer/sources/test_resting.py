"""A source that rests decodes key frames alone, keeps what comes between, and gives it back when it wakes."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.errors import SourceStalled
from streamer.sources import kept_packets
from streamer.sources.base import Decoded, ReadOptions, Rested
from streamer.sources.container import VideoInput
from streamer.sources.file import FileSource
from streamer.sources.opening import OpenRequest
from tests.clips import make_clip, number_of, numbered_picture
from tests.patience import patient

FRAMES, GAP = 90, 10


class Followed:
    """All that a source gives, by numbers that its pictures show."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.numbers: list[int] = []  # of the pictures that were given
        self.kept: list[int] = []  # likewise, those that came while it rested
        self.keys: list[int] = []  # shown by key frames while it rested
        self.packets = self.let_go = 0
        self.glances = False  # whether key frames are given while it rests

    def follow(self, until: int) -> None:
        """Up to so many frames in all, given or rested."""
        while self.packets + len(self.numbers) - len(self.kept) < until:
            seen = self.source.follow()
            if isinstance(seen, Rested):
                self.let_go += seen.let_go
                if seen.picture is not None:
                    self.keys.append(number_of(seen.picture.image()))
                if seen.picture is not None and self.glances:
                    self.source.glance()
                    self.numbers.append(self.keys[-1])
                else:
                    self.packets += 1
            else:
                self._given(seen)

    def _given(self, decoded: Decoded) -> None:
        number = number_of(decoded.image())
        self.numbers.append(number)
        if decoded.kept:
            self.kept.append(number)


@pytest.fixture(params=[{"bf": "0"}, {"bf": "2"}], ids=["no B frames", "B frames"])
def followed(tmp_path: Path, request: pytest.FixtureRequest) -> Followed:
    clip = make_clip(
        tmp_path / "clip.mp4",
        frames=FRAMES,
        fps=100,
        key_frame_gap=GAP,
        options={"sc_threshold": "0"} | request.param,
    )
    source = FileSource(str(clip), ReadOptions())
    source.open()
    return Followed(source)


@pytest.mark.parametrize("groups", [1, 2])
def test_no_frame_is_given_twice_and_none_is_missing_that_was_not_let_go(
    followed: Followed, groups: int
) -> None:
    followed.follow(25)
    assert followed.source.rest()
    followed.follow(57)
    followed.let_go += followed.source.wake(groups)
    followed.follow(FRAMES - 5)
    numbers = followed.numbers
    assert numbers == sorted(set(numbers))
    first_kept, before = followed.kept[0], numbers[numbers.index(followed.kept[0]) - 1]
    assert first_kept == 50 - 10 * (groups - 1)
    assert first_kept - before - 1 == followed.let_go
    assert numbers[numbers.index(first_kept) :] == list(range(first_kept, numbers[-1] + 1))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_a_source_that_keeps_its_packets_rests_at_once_and_gives_no_frame_twice(
    followed: Followed, groups: int, again: bool
) -> None:
    followed.source.packet_sizes()
    followed.follow(33)
    followed.source.rest()
    followed.follow(37)
    given = len(followed.numbers)
    assert given < 37  # it did not wait for the key frame, number 40
    if again:
        followed.let_go += followed.source.wake(groups)
        followed.follow(48)
        followed.source.rest()
    followed.follow(52)
    followed.let_go += followed.source.wake(groups)
    followed.follow(FRAMES - 5)
    numbers = followed.numbers
    assert numbers == sorted(set(numbers))
    assert numbers[-1] + 1 - len(numbers) == followed.let_go
    assert 10 * (52 // 10 - groups + 1) in numbers


@pytest.mark.parametrize("groups", [1, 2])
def test_a_key_frame_that_was_given_in_a_rest_is_given_once_and_not_let_go(
    followed: Followed, groups: int
) -> None:
    followed.follow(25)
    followed.source.rest()
    followed.glances = True
    followed.follow(57)
    assert followed.keys == [40, 50]
    followed.let_go += followed.source.wake(groups)
    followed.follow(FRAMES - 5)
    numbers = followed.numbers
    assert len(numbers) == len(set(numbers))
    assert {40, 50} <= set(numbers)
    assert max(numbers) + 1 - len(numbers) == followed.let_go


def test_while_it_rests_only_key_frames_show(followed: Followed) -> None:
    followed.follow(25)
    followed.source.rest()
    followed.follow(75)
    assert followed.keys == [40, 50, 60, 70]  # the rest begins with 30
    assert followed.numbers == list(range(30))


def test_what_was_kept_tells_when_it_came(followed: Followed) -> None:
    followed.follow(25)
    followed.source.rest()
    followed.follow(58)
    followed.source.wake(1)
    woken_ns = time.monotonic_ns()
    given = [seen for _ in range(12) if isinstance(seen := followed.source.follow(), Decoded)]
    assert [round(seen.media_ns / 10_000_000) for seen in given] == list(range(50, 62))
    assert [seen.received_mono_ns < woken_ns for seen in given] == [seen.kept for seen in given]
    assert {seen.kept for seen in given} == {True, False}


def test_a_group_that_takes_too_much_is_said_to(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    followed.follow(25)
    monkeypatch.setattr(kept_packets, "MAX_KEPT_BYTES", 100)
    followed.source.rest()
    while not isinstance(seen := followed.source.follow(), Rested):
        pass
    assert seen.too_long


def test_a_source_that_was_asked_to_rest_and_woken_at_once_goes_on(followed: Followed) -> None:
    followed.follow(25)
    followed.source.rest()
    followed.source.wake(1)
    followed.follow(FRAMES - 5)
    assert followed.numbers == list(range(len(followed.numbers)))


def test_a_file_that_is_read_as_fast_as_it_is_wanted_does_not_rest(tmp_path: Path) -> None:
    source = FileSource(str(make_clip(tmp_path / "clip.mp4")), ReadOptions(realtime=False))
    source.open()
    assert not source.rest()


def test_a_camera_whose_sound_goes_on_without_video_stalls_while_it_rests_as_well(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as output:
        video, sound = output.add_stream("libx264", rate=25), output.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        for number in range(25):
            output.mux(video.encode(av.VideoFrame.from_ndarray(numbered_picture(number, 320, 180), "bgr24")))
        output.mux(video.encode(None))
        for _ in range(500):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.sample_rate = 8000
            output.mux(sound.encode(frame))
    resting = VideoInput(OpenRequest(url=str(path), shown="x", format=None))
    resting.open()
    with closing(resting):
        resting.packet_sizes()  # from here on it may rest
        resting.next_frame(patient(5))
        resting.rest()
        resting.next_seen(patient(5))
        with pytest.raises(SourceStalled, match="data comes, but no video"):
            deque(iter(lambda: resting.next_seen(0.0), None), 0)
