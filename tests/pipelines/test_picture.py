"""Pictures come out in the right colours, the right way up and at the right size, from any pixel format."""

from __future__ import annotations

import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.frame_conversion import write_bgr
from pipelines.values import Image
from streamer.sources.base import create_source
from tests.clips import make_clip, number_of, numbered_picture

# Kr, Kb of ITU-T H.273, by the number of AVColorSpace; 2 is unspecified
MATRICES = {2: (0.299, 0.114), 5: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
COLOURS_RGB = [
    (200, 40, 40),
    (30, 160, 60),
    (40, 60, 190),
    (128, 128, 128),
    (250, 250, 250),
    (8, 8, 8),
    (220, 200, 30),
]
CELL = 64


def to_yuv(rgb: tuple[int, int, int], space: int, full: bool) -> npt.NDArray[np.float64]:
    """(Y, U, V) of an 8-bit colour, straight from the definition."""
    kr, kb = MATRICES[space]
    r, g, b = (c / 255 for c in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    if full:
        return np.array([255 * y, 255 * u + 128, 255 * v + 128])
    return np.array([219 * y + 16, 224 * u + 128, 224 * v + 128])


def colour_frame(pixel_format: str, space: int, full: bool) -> av.VideoFrame:
    """The colours side by side, in cells of CELL pixels, as planar or semi-planar YUV."""
    yuv = np.stack([to_yuv(rgb, space, full) for rgb in COLOURS_RGB]).round()
    frame = av.VideoFrame(CELL * len(COLOURS_RGB), CELL * 2, pixel_format)
    frame.colorspace, frame.color_range = space, 2 if full else 1
    deep = pixel_format.endswith("10le")
    for index, plane in enumerate(frame.planes):
        rows = np.zeros(
            (plane.height, plane.line_size // (2 if deep else 1)), np.uint16 if deep else np.uint8
        )
        if pixel_format == "nv12" and index == 1:
            width = frame.width // 2
            rows[:, 0 : 2 * width : 2] = np.repeat(yuv[:, 1], CELL // 2)
            rows[:, 1 : 2 * width : 2] = np.repeat(yuv[:, 2], CELL // 2)
        else:
            row = np.repeat(yuv[:, index] * (4 if deep else 1), plane.width // len(COLOURS_RGB))
            rows[:, : plane.width] = row
        plane.update(rows.tobytes())
    return frame


FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv440p", "nv12", "yuv420p10le", "yuv422p10le"]


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("space", MATRICES)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("scale", [1, 0.5, 0.375, 2])
def test_colours_are_right(pixel_format: str, space: int, full: bool, scale: float) -> None:
    frame = colour_frame(pixel_format, space, full)
    width, height = round(frame.width * scale), round(frame.height * scale)
    out = np.zeros((height, width, 3), np.uint8)
    write_bgr(frame, out)
    centres = [round((i + 0.5) * CELL * scale) for i in range(len(COLOURS_RGB))]
    seen = out[height // 2, centres, ::-1].astype(int)
    assert np.abs(seen - np.array(COLOURS_RGB)).max() <= 4


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_the_old_full_range_formats_are_full_range(pixel_format: str) -> None:
    frame = colour_frame(pixel_format, 5, full=True)
    frame.color_range = 0
    out = np.zeros((64, 224, 3), np.uint8)
    write_bgr(frame, out)
    assert np.abs(out[32, 16::32, ::-1].astype(int) - np.array(COLOURS_RGB)).max() <= 4


@pytest.mark.parametrize("pixel_format", ["gray", "rgb24", "bgr24", "bgra", "yuyv422", "gbrp"])
def test_formats_without_planes_of_yuv_are_read_as_well(pixel_format: str) -> None:
    grey = np.full((96, 160, 3), 90, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="bgr24").reformat(format=pixel_format)
    out = np.zeros((48, 80, 3), np.uint8)
    write_bgr(frame, out)
    assert np.abs(out.astype(int) - 90).max() <= 2


def smooth_picture(width: int, height: int) -> Image:
    rng = np.random.default_rng(3)
    blobs = rng.integers(20, 235, (9, 16, 3)).astype(np.uint8)
    return np.ascontiguousarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize(
    "size", [(1920, 1080), (1280, 720), (2560, 1440), (704, 576), (642, 482), (640, 360)]
)
@pytest.mark.parametrize("out_size", [(640, 360), (320, 180), (417, 235)])
@pytest.mark.parametrize(("space", "full"), [(5, False), (1, True)])
def test_a_picture_agrees_with_shrinking_the_original(
    size: tuple[int, int], out_size: tuple[int, int], space: int, full: bool
) -> None:
    """Geometry as well: a shift of one pixel of the result would show."""
    source = av.VideoFrame.from_ndarray(smooth_picture(*size), format="bgr24")
    frame = source.reformat(
        format="yuv420p", dst_colorspace=space, dst_color_range=2 if full else 1, interpolation="BICUBIC"
    )
    frame.colorspace, frame.color_range = space, 2 if full else 1
    out = np.zeros((out_size[1], out_size[0], 3), np.uint8)
    write_bgr(frame, out)
    best = cv2.resize(smooth_picture(*size), out_size, interpolation=cv2.INTER_AREA)
    luma = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(int) for picture in (out, best)]
    assert np.abs(luma[0] - luma[1]).mean() < 1.0
    assert np.abs(out.astype(int) - best).mean() < 2.5  # what halving the colour's resolution costs


def hold(clip: Path, held: Path, degrees: int) -> Path:
    """The MP4 `clip` with the matrix of its track header (ISO 14496-12, 8.3.2) turned by `degrees`."""
    data = bytearray(clip.read_bytes())
    place = data.index(b"tkhd") + 44
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    one = 1 << 16
    matrix = (cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    data[place : place + 36] = struct.pack(">9i", *matrix)
    held.write_bytes(data)
    return held


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_clip_that_a_phone_held_sideways_stands_upright(
    tmp_path: Path, degrees: int, ffmpeg_binary: str
) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=4, width=320, height=180)
    held = hold(clip, tmp_path / "held.mp4", degrees)
    shown = tmp_path / "shown.png"  # the judge is the ffmpeg program, which turns by itself
    subprocess.run([ffmpeg_binary, "-v", "error", "-i", held, "-frames:v", "1", shown], check=True)
    want = cv2.imread(str(shown))
    source = create_source(str(held), realtime=False)
    info = source.open()
    picture = source.read()
    source.close()
    assert (picture.width, picture.height) == (want.shape[1], want.shape[0])
    assert (info.width, info.height) == (picture.width, picture.height)
    assert np.abs(picture.image().astype(int) - want).mean() < 3


def test_two_threads_convert_the_same_frames_without_harm() -> None:
    frames = [
        av.VideoFrame.from_ndarray(numbered_picture(n, 640, 360), format="bgr24").reformat(format="yuv420p")
        for n in range(40)
    ]
    barrier = threading.Barrier(4)

    def convert(_: int) -> list[int]:
        out = np.zeros((180, 320, 3), np.uint8)
        numbers = []
        barrier.wait()
        for frame in frames:
            write_bgr(frame, out)
            numbers.append(number_of(out))
        return numbers

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(convert, range(4))) == [list(range(40))] * 4
