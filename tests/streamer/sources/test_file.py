"""Files: every frame once and in order, paced as live or not, over and over, damaged or no video at all."""

from __future__ import annotations

import os
import random
import resource
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import SourceDamaged, SourceEnded, SourceError
from streamer.sources.base import Decoded, Source, create_source
from tests.clips import make_audio, make_clip, number_of
from tests.empty_packets import empty_packets
from tests.patience import patient

NS = 1_000_000_000


def read_all(source: Source, at_most: int = 10_000) -> list[Decoded]:
    """Open, read to the end, close."""
    pictures = []
    try:
        source.open()
        for _ in range(at_most):
            pictures.append(source.read())
    except SourceEnded:
        pass
    finally:
        source.close()
    return pictures


def drain(source: Source, media: list[int] | None = None) -> None:
    """Read until an error, noting media times; keeps no picture."""
    media = [] if media is None else media
    while True:
        media.append(source.read().media_ns)


def numbers(pictures: list[Decoded]) -> list[int]:
    return [number_of(picture.image(160)) for picture in pictures]


CONTAINERS = [
    ("mp4", "libx264", "yuv420p"),
    ("mkv", "libx264", "yuv420p"),
    ("avi", "libx264", "yuv420p"),  # no presentation timestamps, and B frames
    ("ts", "libx264", "yuv420p"),
    ("mov", "mjpeg", "yuvj420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("mp4", "libx265", "yuv420p10le"),
    ("webm", "libvpx", "yuv420p"),
    ("h264", "libx264", "yuv420p"),  # bare, without any timestamps
]


@pytest.mark.parametrize(("kind", "codec", "pixel_format"), CONTAINERS)
def test_every_frame_comes_once_in_order_with_its_time(
    tmp_path: Path, kind: str, codec: str, pixel_format: str
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    clip = make_clip(
        tmp_path / f"a.{kind}", frames=60, codec=codec, pixel_format=pixel_format, options=options
    )
    pictures = read_all(create_source(str(clip), realtime=False))
    assert numbers(pictures) == list(range(60))
    steps = np.diff([picture.media_ns for picture in pictures]) / 1e6
    assert pictures[0].media_ns == 0
    assert steps == pytest.approx(40.0, abs=1.1)  # Matroska counts in milliseconds
    wall = np.diff([picture.captured_ns for picture in pictures]) / 1e6
    assert wall == pytest.approx(steps, abs=0.01)


def test_what_is_known_of_a_file(tmp_path: Path) -> None:
    source = create_source(f"file://{make_clip(tmp_path / 'a b.mp4', frames=50)}".replace(" ", "%20"))
    info = source.open()
    source.close()
    assert (info.width, info.height, info.fps, info.codec) == (320, 180, 25.0, "h264")
    assert (info.frames, info.duration_s, info.clock_source) == (50, 2.0, "pts")


def test_paced_frames_come_when_they_are_due_and_do_not_drift(tmp_path: Path) -> None:
    source = create_source(str(make_clip(tmp_path / "a.mp4", frames=40)), realtime=True)
    pictures = read_all(source)
    late_ms = [
        (picture.received_mono_ns - pictures[0].received_mono_ns - picture.media_ns) / 1e6
        for picture in pictures
    ]
    assert len(pictures) == 40
    assert min(late_ms) > -5
    # 1.6 s of video: waits that add up would show between its beginning and its end
    assert np.median(late_ms[-10:]) - np.median(late_ms[:10]) < 20


def test_a_late_reader_catches_up_at_once(tmp_path: Path) -> None:
    source = create_source(str(make_clip(tmp_path / "a.mp4", frames=12, fps=5)), realtime=True)
    source.open()
    first = source.read()
    time.sleep(2.1)  # 10 frames
    begun = time.monotonic()
    for _ in range(10):
        picture = source.read()
    took_s = time.monotonic() - begun
    source.close()
    assert picture.media_ns == 10 * 200_000_000
    assert took_s < 1.5  # they would take 2 s if they were paced
    # their wall clock is when they were due, not when they were read late
    assert (picture.captured_ns - first.captured_ns) / 1e9 == pytest.approx(2.0, abs=0.1)


def test_a_loop_says_so_and_time_goes_on(tmp_path: Path) -> None:
    source = create_source(str(make_clip(tmp_path / "a.mp4", frames=10)), realtime=False, loop=True)
    pictures = read_all(source, at_most=25)
    assert [picture.loop for picture in pictures] == [0] * 10 + [1] * 10 + [2] * 5
    assert numbers(pictures) == [*range(10), *range(10), *range(5)]
    assert [picture.media_ns for picture in pictures] == [n * 40_000_000 for n in range(25)]


def test_broken_timestamps_still_rise(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "gap.mkv", frames=20, pts=[*range(10), *range(100_000, 100_010)])
    pictures = read_all(create_source(str(clip), realtime=False))
    media = [picture.media_ns for picture in pictures]
    assert len(media) == 20
    assert all(later > earlier for earlier, later in pairwise(media))
    assert media[-1] < 2 * NS  # not 67 minutes


def test_a_picture_is_shrunk_in_its_own_shape(tmp_path: Path) -> None:
    source = create_source(str(make_clip(tmp_path / "a.mp4", frames=2, width=320, height=240)))
    picture = read_all(source, at_most=1)[0]
    assert picture.image().shape == (240, 320, 3)
    assert picture.image(100).shape == (76, 100, 3)
    assert picture.image(1000).shape == (240, 320, 3)


@pytest.mark.parametrize("kind", ["h264", "ts"])
def test_a_change_of_size_in_mid_stream_is_followed(tmp_path: Path, kind: str) -> None:
    """Two recordings in one: other size, timestamps that start again."""
    small = make_clip(tmp_path / f"small.{kind}", frames=20, width=320, height=180)
    large = make_clip(tmp_path / f"large.{kind}", frames=20, width=640, height=480)
    both = tmp_path / f"both.{kind}"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    pictures = read_all(create_source(str(both), realtime=False))
    assert [(p.width, p.height) for p in pictures] == [(320, 180)] * 20 + [(640, 480)] * 20
    assert numbers(pictures) == [*range(20), *range(20)]
    steps_ms = np.diff([picture.media_ns for picture in pictures]) / 1e6
    assert steps_ms.min() > 0
    assert steps_ms.max() < 100


# ---- what is no clip, or no longer one


def refused(path: Path | str, error: type[SourceError] = SourceError) -> str:
    source = create_source(str(path), realtime=False)
    with pytest.raises(error) as raised:
        source.open()
    source.close()
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.mp4")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "0 bytes" in refused(tmp_path / "empty.mp4", SourceDamaged)


def test_a_folder(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "no regular file" in refused(tmp_path / "pipe.mp4")


def test_a_file_without_permission(short_dir: Path) -> None:
    clip = make_clip(short_dir / "a.mp4", frames=2)
    clip.chmod(0)
    short_dir.chmod(0o755)
    user = os.geteuid()
    if user == 0:  # root may read everything
        os.seteuid(65534)
    try:
        assert "permissions" in refused(clip)
    finally:
        os.seteuid(user)


def test_a_text_with_the_name_of_a_clip(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("I am not a video.\n" * 1000)
    assert "not a video" in refused(tmp_path / "text.mp4", SourceDamaged)


def test_a_playlist_does_not_open_other_files(tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.ts", frames=5)
    (tmp_path / "list.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"
    )
    assert "not a video" in refused(tmp_path / "list.mp4", SourceDamaged)
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile secret.ts\n")
    assert "not a video" in refused(tmp_path / "concat.mp4", SourceDamaged)


def test_a_name_that_ffmpeg_would_take_for_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip(tmp_path / "a.mp4", frames=3)
    (tmp_path / "a.mp4").rename(tmp_path / "subfile,,start,0,end,9,,:a.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read_all(create_source("./subfile,,start,0,end,9,,:a.mp4", realtime=False))) == 3


def test_a_sound(tmp_path: Path) -> None:
    assert "only audio" in refused(make_audio(tmp_path / "sound.mp4"), SourceDamaged)


def test_a_clip_cut_before_its_index(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=50)
    clip.write_bytes(clip.read_bytes()[:-2000])
    assert "has no index" in refused(clip, SourceDamaged)


def test_a_clip_cut_after_its_index_ends_early_and_says_so(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mp4", frames=100, width=640, height=360, container_options={"movflags": "faststart"}
    )
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    source = create_source(str(clip), realtime=False)
    source.open()
    with pytest.raises(SourceEnded, match=r"after \d\d frames of the 100 it states: it is cut short"):
        drain(source)
    source.close()


EMPTY = {0, 3, 4, 5, 10, 16, 17, 18, 19}


@pytest.mark.parametrize(
    ("kind", "codec", "pixel_format"),
    [("avi", "mjpeg", "yuvj420p"), ("avi", "mpeg4", "yuv420p"), ("mp4", "mjpeg", "yuvj420p")],
)
def test_an_empty_packet_is_the_picture_before_and_no_damage(
    tmp_path: Path, kind: str, codec: str, pixel_format: str
) -> None:
    """Of predicted pictures those that are missing lack nothing only where nothing changed."""
    clip = make_clip(
        tmp_path / f"a.{kind}", frames=20, codec=codec, pixel_format=pixel_format, key_frame_gap=1
    )
    empty_packets(clip, EMPTY)
    source = create_source(str(clip), realtime=False)
    info = source.open()
    media: list[int] = []
    with pytest.raises(SourceEnded, match=r"ended after 11 frames$"):
        drain(source, media)
    source.close()
    assert info.frames == 11
    kept = [n for n in range(20) if n not in EMPTY]
    assert media == [(n - kept[0]) * 40_000_000 for n in kept]


def test_a_clip_with_empty_packets_that_is_cut_short_is_still_told(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.avi", frames=100, codec="mjpeg", pixel_format="yuvj420p")
    empty_packets(clip, set(range(1, 100, 2)))
    os.truncate(clip, clip.stat().st_size // 2)
    source = create_source(str(clip), realtime=False)
    source.open()
    with pytest.raises(SourceEnded, match="of the 100 it states: it is cut short"):
        drain(source)
    source.close()


@pytest.mark.parametrize("kind", ["mp4", "avi", "ts", "mkv", "h264"])
def test_damage_ends_in_a_short_result_or_an_error_never_a_hang(tmp_path: Path, kind: str) -> None:
    clip = make_clip(tmp_path / f"whole.{kind}", frames=40)
    whole = clip.read_bytes()
    dice = random.Random(kind)
    for turn in range(40):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 10, 200])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        hurt = tmp_path / f"hurt.{kind}"
        hurt.write_bytes(data[: dice.randrange(1, len(data) + 1)] if turn % 3 == 0 else data)
        source = create_source(str(hurt), realtime=False, open_timeout_s=5, read_timeout_s=5)
        begun = time.monotonic()
        pictures: list[Decoded] = []
        with suppress(SourceError):
            pictures = read_all(source)
        media = [picture.media_ns for picture in pictures]
        assert all(later > earlier for earlier, later in pairwise(media))
        assert len(pictures) <= 80
        assert time.monotonic() - begun < patient(10)


@pytest.mark.parametrize("side", [65535, 16000])  # FFmpeg itself stops at the first, we at the second
def test_a_picture_that_claims_to_be_huge_takes_no_memory(tmp_path: Path, side: int) -> None:
    """The headers of MJPEG frames claim it; nothing of that size is there."""
    clip = make_clip(tmp_path / "a.mjpeg", frames=5, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(clip.read_bytes())
    place = data.find(b"\xff\xc0")
    while place >= 0:
        data[place + 5 : place + 9] = side.to_bytes(2, "big") * 2
        place = data.find(b"\xff\xc0", place + 9)
    clip.write_bytes(data)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(clip, SourceDamaged)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000  # 16000² are 384 MB


@pytest.mark.corpus
def test_real_footage_is_read_to_its_last_frame(corpus: Path) -> None:
    frames = {
        "pets09-s2l1.avi": 795,
        "one-by-one-person.mp4": 1394,
        "overpass-cars.mp4": 1190,
        "street-cars.mp4": 905,
        "highway.mp4": 450,
        "towncentre-1080p.mp4": 302,
        "shopping-street.mp4": 314,
        "lowres-highway.avi": 500,
        "drifting-camera.mp4": 301,
    }
    for name, count in frames.items():
        source = create_source(str(corpus / "videos" / name), realtime=False)
        info = source.open()
        media: list[int] = []
        with pytest.raises(SourceEnded, match=f"ended after {count} frames$"):
            drain(source, media)
        source.close()
        steps_s = np.diff(media) / NS
        assert len(media) == count
        assert steps_s.min() > 0.5 / info.fps
        assert steps_s.max() < 2.5 / info.fps
