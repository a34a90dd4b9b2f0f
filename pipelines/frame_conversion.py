"""From a decoded frame to BGR at analysis size, as cheaply as the CPU allows: for cameras and for training.

Shrinking the Y, U and V planes first and converting the small picture costs a third of what swscale takes
for both (`python -m tests.bench decode`). OpenCV and swscale release the GIL.

Pixel formats other than 8-bit planar YUV go through swscale.
"""

from __future__ import annotations

from contextvars import ContextVar

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from pipelines.values import Image

_PLANAR = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuvj440p"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# AVColorSpace to (Kr, Kb) of ITU-T H.273 table 4. Unspecified (2) is read as BT.601, as FFmpeg does.
_KR_KB = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
_BT601 = (0.299, 0.114)

Plane = npt.NDArray[np.uint8]


class _Scratch:
    """Work memory, kept from frame to frame."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, tuple[int, ...]], Image] = {}
        self.reformatter = VideoReformatter()

    def get(self, name: str, *shape: int) -> Image:
        key = (name, shape)
        if key not in self.buffers:
            if len(self.buffers) > 16:  # sizes no longer used
                self.buffers.clear()
            self.buffers[key] = np.empty(shape, np.uint8)
        return self.buffers[key]


_of_thread: ContextVar[_Scratch] = ContextVar("scratch")


def _scratch() -> _Scratch:
    """This thread's own."""
    found = _of_thread.get(None)
    if found is None:
        found = _Scratch()
        _of_thread.set(found)
    return found


def write_bgr(frame: VideoFrame, out: Image) -> None:
    """Scale `frame` to the shape of `out`, (H, W, 3) uint8, and write it there as BGR.

    A frame that the file says to turn (a phone's clip) is turned.
    """
    turn = _TURNS.get(frame.rotation % 360)
    if turn is None:
        _write(frame, out)
        return
    height, width = out.shape[:2]
    if turn != cv2.ROTATE_180:
        height, width = width, height
    upright = _scratch().get("turned", height, width, 3)
    _write(frame, upright)
    cv2.rotate(upright, turn, dst=out)


# AVFrame's display matrix counts anticlockwise.
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """(width, height) as write_bgr() shows the frame."""
    if frame.rotation % 180 == 90:
        return frame.height, frame.width
    return frame.width, frame.height


def _write(frame: VideoFrame, out: Image) -> None:
    name = frame.format.name
    if name not in _PLANAR:
        _write_by_swscale(frame, out)
        return
    full_range = name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    space = int(frame.colorspace)
    height, width = out.shape[:2]
    small = width <= frame.width and height <= frame.height
    even = width % 2 == 0 and height % 2 == 0
    if small and even and name == "yuv420p" and not full_range and space not in _KR_KB:
        _write_i420(frame, out)
    else:
        _write_by_matrix(frame, out, _matrix(space, full_range))


def _plane(frame: VideoFrame, index: int) -> Plane:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _shrink(plane: Plane, out: Plane) -> None:
    """Bilinear. By 3, 5, … the sample point is a pixel's centre, so bilinear is that pixel: copy it."""
    (rows, columns), (height, width) = plane.shape, out.shape
    if (rows, columns) == (height, width):
        np.copyto(out, plane)
        return
    factor = columns // width
    if factor % 2 and (rows, columns) == (height * factor, width * factor):
        np.copyto(out, plane[factor // 2 :: factor, factor // 2 :: factor])
    else:
        cv2.resize(plane, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)


def _write_i420(frame: VideoFrame, out: Image) -> None:
    """BT.601, limited range, 4:2:0: OpenCV's own conversion, the common and the cheapest case."""
    height, width = out.shape[:2]
    i420 = _scratch().get("i420", height * 3 // 2, width)
    flat = i420.reshape(-1)
    luma, chroma = height * width, height * width // 4
    _shrink(_plane(frame, 0), i420[:height])
    _shrink(_plane(frame, 1), flat[luma : luma + chroma].reshape(height // 2, width // 2))
    _shrink(_plane(frame, 2), flat[luma + chroma :].reshape(height // 2, width // 2))
    cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420, dst=out)


def _write_by_matrix(frame: VideoFrame, out: Image, matrix: npt.NDArray[np.float32]) -> None:
    """Any matrix, range and subsampling: planes to the size of `out`, then one 3x4 product per pixel."""
    height, width = out.shape[:2]
    planes = [_scratch().get(f"plane{i}", height, width) for i in range(3)]
    _shrink(_plane(frame, 0), planes[0])
    for i in (1, 2):
        _shrink_chroma(_plane(frame, i), planes[i])
    yuv = _scratch().get("yuv", height, width, 3)
    cv2.merge(planes, dst=yuv)
    cv2.transform(yuv, matrix, dst=out)


def _shrink_chroma(plane: Plane, out: Plane) -> None:
    """Colour is sampled, not blended, when it shrinks: half the time, and no eye or detector sees it."""
    larger = plane.shape[0] < out.shape[0] or plane.shape[1] < out.shape[1]
    mode = cv2.INTER_LINEAR if larger else cv2.INTER_NEAREST
    cv2.resize(plane, (out.shape[1], out.shape[0]), dst=out, interpolation=mode)


_matrices: dict[tuple[int, bool], npt.NDArray[np.float32]] = {}


def _matrix(space: int, full_range: bool) -> npt.NDArray[np.float32]:
    """(3, 4) float32: BGR = matrix @ (Y, U, V, 1), after ITU-T H.273 equations 38 to 60."""
    key = (space, full_range)
    if key not in _matrices:
        kr, kb = _KR_KB.get(space, _BT601)
        kg = 1 - kr - kb
        luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
        rows = np.array(
            [
                [luma, chroma * 2 * (1 - kb), 0],
                [luma, -chroma * 2 * (1 - kb) * kb / kg, -chroma * 2 * (1 - kr) * kr / kg],
                [luma, 0, chroma * 2 * (1 - kr)],
            ]
        )
        offset = -rows @ np.array([[black], [128], [128]])
        _matrices[key] = np.hstack([rows, offset]).astype(np.float32)
    return _matrices[key]


def _write_by_swscale(frame: VideoFrame, out: Image) -> None:
    height, width = out.shape[:2]
    small = _scratch().reformatter.reformat(
        frame, width, height, "bgr24", interpolation=Interpolation.BILINEAR, threads=1
    )
    plane = small.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
    np.copyto(out, rows[:, : width * 3].reshape(height, width, 3))
