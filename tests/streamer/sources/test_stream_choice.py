"""Which of several streams of a file is read: the one that FFmpeg would take, or the one asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from av.stream import Disposition
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.config.schema import CameraConfig
from streamer.errors import ConfigError, NoSuchStream, SourceDamaged
from streamer.sources.base import SourceInfo, create_source
from streamer.sources.probe import probe
from streamer.sources.stream_selection import selection_note
from tests.clips import make_audio, make_clip, number_of, put_together
from tests.streamer.sources.test_file import read_all

NONE = Disposition(0)
DEFAULT = Disposition.default
COVER = Disposition.attached_pic


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "small.mp4", frames=30, width=320, height=180)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "large.mp4", frames=30, width=640, height=360)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("clips") / "still.mov",
        frames=1,
        width=160,
        height=90,
        codec="mjpeg",
        pixel_format="yuvj420p",
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio(tmp_path_factory.mktemp("clips") / "sound.m4a")


def opened(clip: Path, stream: int | None = None) -> SourceInfo:
    source = create_source(str(clip), realtime=False, stream=stream)
    try:
        return source.open()
    finally:
        source.close()


def frames_of(clip: Path, stream: int | None = None) -> list[int]:
    pictures = read_all(create_source(str(clip), realtime=False, stream=stream))
    return [number_of(picture.image(160)) for picture in pictures]


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_cover_art_is_not_the_video(tmp_path: Path, small: Path, still: Path, kind: str) -> None:
    clip = put_together(tmp_path / f"a.{kind}", (still, COVER), (small, NONE))
    assert (opened(clip).width, opened(clip).height) == (320, 180)
    assert frames_of(clip) == list(range(30))


@pytest.mark.parametrize("kind", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("flags", [NONE, DEFAULT])
def test_a_still_preview_before_the_video_is_left_out_even_with_the_default_flag(
    tmp_path: Path, small: Path, still: Path, kind: str, flags: Disposition
) -> None:
    clip = put_together(tmp_path / f"a.{kind}", (still, flags), (small, NONE))
    info = opened(clip)
    assert (info.stream, info.width, info.height) == (1, 320, 180)
    assert frames_of(clip) == list(range(30))


def test_of_two_videos_the_larger_is_read(tmp_path: Path, small: Path, large: Path) -> None:
    clip = put_together(tmp_path / "a.mkv", (small, NONE), (large, NONE))
    assert opened(clip).stream == 1
    assert opened(put_together(tmp_path / "b.mkv", (large, NONE), (small, NONE))).stream == 0


def test_the_default_flag_goes_before_the_size(tmp_path: Path, small: Path, large: Path) -> None:
    clip = put_together(tmp_path / "a.mkv", (large, NONE), (small, DEFAULT))
    assert (opened(clip).stream, opened(clip).width) == (1, 320)


def test_of_two_programs_of_a_transport_stream_the_larger_is_read(
    tmp_path: Path, small: Path, large: Path
) -> None:
    clip = put_together(tmp_path / "a.ts", (small, NONE), (large, NONE))
    assert (opened(clip).stream, opened(clip).width) == (1, 640)
    assert frames_of(clip) == list(range(30))


@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_no_frame_is_lost_where_the_sound_comes_first(
    tmp_path: Path, small: Path, sound: Path, kind: str
) -> None:
    clip = put_together(tmp_path / f"a.{kind}", (sound, NONE), (small, NONE))
    assert frames_of(clip) == list(range(30))


def test_the_stream_that_is_asked_for_is_read(tmp_path: Path, small: Path, large: Path, still: Path) -> None:
    clip = put_together(tmp_path / "a.mkv", (still, NONE), (small, DEFAULT), (large, NONE))
    assert [opened(clip, number).width for number in (0, 1, 2, None)] == [160, 320, 640, 320]
    assert frames_of(clip, 2) == list(range(30))


@pytest.mark.parametrize(("number", "reason"), [(9, "does not exist"), (0, "is audio, no video")])
def test_a_wrong_number_lists_the_streams_there_are(
    tmp_path: Path, sound: Path, small: Path, still: Path, number: int, reason: str
) -> None:
    clip = put_together(tmp_path / "a.mp4", (sound, NONE), (small, DEFAULT), (still, COVER))
    with pytest.raises(NoSuchStream, match=reason) as raised:
        opened(clip, number)
    text = str(raised.value)
    assert "1: h264 320x180, 25 fps, default; 2: mjpeg 160x90, attached picture" in text
    assert "\n" not in text


def test_a_file_of_sound_with_a_cover_is_refused_in_one_line(
    tmp_path: Path, sound: Path, still: Path
) -> None:
    clip = put_together(tmp_path / "song.mp4", (sound, NONE), (still, COVER))
    with pytest.raises(SourceDamaged, match=r"no video in it .*attached picture, audio"):
        opened(clip)


def test_a_loop_reads_the_same_stream_again(tmp_path: Path, small: Path, large: Path, still: Path) -> None:
    clip = put_together(tmp_path / "a.mkv", (still, NONE), (small, NONE), (large, NONE))
    source = create_source(str(clip), realtime=False, loop=True)
    pictures = read_all(source, at_most=65)
    assert {picture.width for picture in pictures} == {640}
    assert [number_of(picture.image(160)) for picture in pictures] == [n % 30 for n in range(65)]


def test_what_is_said_of_several_streams(tmp_path: Path, small: Path, still: Path) -> None:
    info = opened(put_together(tmp_path / "a.mkv", (still, NONE), (small, DEFAULT)))
    assert selection_note(info.stream, info.videos) == (
        "stream 1 is read (h264 320x180, 25 fps, default); also in it: 0: mjpeg 160x90, still picture"
    )
    alone = opened(small)
    assert selection_note(alone.stream, alone.videos) == ""


def test_a_probe_tells_of_the_streams_and_takes_the_one_asked_for(
    tmp_path: Path, small: Path, large: Path
) -> None:
    clip = str(put_together(tmp_path / "a.mkv", (small, NONE), (large, NONE)))
    report = probe(clip)
    assert report.info is not None
    assert (report.info.stream, [video.index for video in report.info.videos]) == (1, [0, 1])
    other = probe(clip, stream=0)
    assert other.info is not None
    assert other.info.width == 320
    assert "does not exist" in probe(clip, stream=5).problem


# ---- the commands and the configuration


def test_analyze_counts_in_the_video_beside_a_preview_and_says_so(
    tmp_path: Path, small: Path, still: Path
) -> None:
    clip = put_together(tmp_path / "a.mkv", (still, NONE), (small, NONE))
    command = ["--config", str(tmp_path / "none"), "analyze", str(clip), "--model", "motion", "--json"]
    ran = CliRunner().invoke(cli, command)
    assert ran.exit_code == 0
    assert "stream 1 is read" in ran.stderr
    found = json.loads(ran.stdout)
    assert (found["frames"], found["width"]) == (30, 320)
    chosen = CliRunner().invoke(cli, [*command, "--stream", "0"])
    assert json.loads(chosen.stdout)["width"] == 160
    wrong = CliRunner().invoke(cli, [*command, "--stream", "4"])
    assert wrong.exit_code == 4
    assert "stream 4 does not exist" in wrong.stderr


def test_stored_detections_have_no_streams(tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        cli, ["--config", str(tmp_path), "analyze", str(tmp_path / "a.npz"), "--stream", "1"]
    )
    assert ran.exit_code == 3
    assert "leave --stream out" in ran.stderr


def test_a_camera_of_a_clip_keeps_the_stream_in_its_file(tmp_path: Path, small: Path, large: Path) -> None:
    clip = put_together(tmp_path / "a.mkv", (small, NONE), (large, NONE))
    base = ["--config", str(tmp_path / "conf")]
    assert CliRunner().invoke(cli, [*base, "init"]).exit_code == 0
    added = CliRunner().invoke(
        cli, [*base, "camera", "add", "door", str(clip), "--stream", "0", "--pipeline", "default"]
    )
    assert added.exit_code == 0, added.output
    assert "stream 0 is read (h264 320x180" in added.output
    tested = CliRunner().invoke(cli, [*base, "camera", "test", "door"])
    assert "h264 320x180" in tested.output
    assert CliRunner().invoke(cli, [*base, "camera", "set", "door", "stream="]).exit_code == 0
    assert "open   ok    h264 640x360" in CliRunner().invoke(cli, [*base, "camera", "test", "door"]).output


def test_a_scene_has_no_streams_and_rtsps_no_udp() -> None:
    with pytest.raises(ConfigError, match="no streams"):
        create_source("synthetic:street", stream=0)
    with pytest.raises(ConfigError, match="TCP alone"):
        create_source("rtsps://127.0.0.1/live", transport="udp")
    with pytest.raises(ValueError, match="TCP alone"):
        CameraConfig.model_validate(
            {"name": "door", "url": "rtsps://127.0.0.1/live", "source": {"transport": "udp"}}
        )
