"""Files that are no plain clip: read as FFmpeg shows them, or refused in one line that says what they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.errors import SourceDamaged
from streamer.sources.base import create_source
from streamer.sources.file_kind import what_else
from tests.clips import make_clip, number_of, put_together
from tests.streamer.sources.test_file import read_all

NONE = Disposition(0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mp4", frames=60, options={"bf": "2"})


def refusal(path: Path) -> str:
    source = create_source(str(path), realtime=False)
    with pytest.raises(SourceDamaged) as raised:
        source.open()
    source.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


BYTES = [
    ("list.m3u8", b"#EXTM3U\n#EXTINF:3,\n%s\n", "not a video, but a playlist"),
    ("list.txt", b"ffconcat version 1.0\nfile %s\n", "not a video, but a playlist"),
    ("list.pls", b"[playlist]\nFile1=%s\n", "not a video, but a playlist"),
    ("plain.m3u", b"%s\n", "not a video, but text"),
    ("a.sdp", b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=%s\r\n", "rtsp:// address"),
    ("a.webp", b"RIFF\x20\x00\x00\x00WEBPVP8X", "WebP picture"),
    ("a.wav", b"RIFF\x20\x00\x00\x00WAVEfmt ", "not a video, but sound"),
    ("song.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x00", "not a video, but sound"),
]


@pytest.mark.parametrize(("name", "content", "text"), BYTES)
def test_what_names_other_files_or_is_no_video_is_refused_by_name(
    tmp_path: Path, clip: Path, name: str, content: bytes, text: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.replace(b"%s", str(clip).encode()))
    assert text in refusal(path)


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.bmp", "BMP")])
def test_a_picture_is_refused_as_one(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), np.zeros((90, 160, 3), np.uint8))
    assert f"not a video, but a {kind} picture" in refusal(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_an_mp4_whose_recording_was_cut_short_is_said_to_lack_its_index(
    tmp_path: Path, clip: Path, share: float
) -> None:
    data = clip.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: int(share * len(data))])
    assert "no index (moov)" in refusal(path)
    assert what_else(clip) == ""


@pytest.mark.parametrize("shape", [b"\x00\x00\x00\x01free", b"\x00\x00\x00\x03free", b"\x00\x00\x00\x00free"])
def test_boxes_that_make_no_sense_hold_nobody(tmp_path: Path, shape: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + shape * 1000)
    assert refusal(path)


def as_avi(ffmpeg: str, clip: Path, path: Path) -> Path:
    """Its B frames make ffmpeg write empty chunks, which the header counts."""
    subprocess.run([ffmpeg, "-v", "error", "-i", str(clip), "-c", "copy", str(path)], check=True)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 60
    return path


def test_an_avi_whose_header_counts_empty_chunks_is_whole(
    tmp_path: Path, clip: Path, ffmpeg_binary: str
) -> None:
    path = as_avi(ffmpeg_binary, clip, tmp_path / "a.avi")
    source = create_source(str(path), realtime=False)
    info = source.open()
    source.close()
    pictures = read_all(create_source(str(path), realtime=False))
    assert [number_of(picture.image(160)) for picture in pictures] == list(range(60))
    assert info.frames == 60


def test_a_cut_avi_still_says_how_much_is_missing(tmp_path: Path, clip: Path, ffmpeg_binary: str) -> None:
    data = as_avi(ffmpeg_binary, clip, tmp_path / "a.avi").read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(data[: len(data) // 2])
    command = ["--config", str(tmp_path / "none"), "analyze", str(path), "--model", "motion"]
    ran = CliRunner().invoke(cli, command)
    assert ran.exit_code == 4
    assert "truncated" in ran.stderr


def test_a_fragmented_mp4_is_read_whole(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = make_clip(tmp_path / "a.mp4", frames=60, container_options=options)
    pictures = read_all(create_source(str(path), realtime=False))
    assert [number_of(picture.image(160)) for picture in pictures] == list(range(60))


def test_a_clip_that_ends_before_the_length_it_states_is_noted(tmp_path: Path, clip: Path) -> None:
    data = put_together(tmp_path / "a.mkv", (clip, NONE)).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) // 2])
    command = ["--config", str(tmp_path / "none"), "analyze", "--model", "motion"]
    cut = CliRunner().invoke(cli, [*command, str(path)])
    assert (cut.exit_code, "it may be cut short" in cut.stderr) == (0, True)
    whole = CliRunner().invoke(cli, [*command, str(tmp_path / "a.mkv")])
    assert (whole.exit_code, "cut short" in whole.stderr) == (0, False)


@pytest.mark.parametrize(("degrees", "size"), [(90, (180, 320)), (180, (320, 180)), (-90, (180, 320))])
@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv"])
def test_a_phones_clip_stands_upright(
    tmp_path: Path, clip: Path, kind: str, degrees: int, size: tuple[int, int]
) -> None:
    path = tmp_path / f"turned.{kind}"
    with av.open(str(clip)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    source = create_source(str(path), realtime=False)
    info = source.open()
    image = source.read().image()
    source.close()
    assert (info.width, info.height) == size
    back = np.rot90(image, -degrees // 90)  # the matrix counts anticlockwise, and so does rot90
    plain = read_all(create_source(str(clip), realtime=False))[0].image()
    assert np.abs(back.astype(int) - plain).mean() < 4


def test_a_video_that_begins_after_the_sound_is_read_whole(tmp_path: Path, clip: Path) -> None:
    late = make_clip(tmp_path / "late.mp4", frames=30, pts=range(500, 530))  # 20 s later
    path = put_together(tmp_path / "a.ts", (clip, NONE), (late, NONE))
    pictures = read_all(create_source(str(path), realtime=False, stream=1))
    assert [number_of(picture.image(160)) for picture in pictures] == list(range(30))
    assert pictures[0].media_ns == 0


@pytest.mark.parametrize(("head", "maker"), [(b"DHAV", "Dahua"), (b"IMKH", "Hikvision")])
def test_a_recorders_own_container_is_told_by_its_maker(head: bytes, maker: str, tmp_path: Path) -> None:
    path = tmp_path / "recording.dav"
    path.write_bytes(head + bytes(range(256)) * 20)
    with pytest.raises(SourceDamaged, match=rf"{maker} recording.*export it as MP4"):
        create_source(str(path), realtime=False).open()
