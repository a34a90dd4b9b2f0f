"""Global motion compensation (GMC): how the view moved between two frames, seen in the pictures, for cameras
that pan, shake or drift.

As in BoT-SORT (Aharon et al., "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022) corners are
followed by sparse optical flow (Bouguet's pyramids) and a rotation, scale and shift are fitted to them by
RANSAC; where too few corners agree, nothing is said. But most cameras stand still, and then this must cost
next to nothing. So each frame first answers a cheap question on a thumbnail: which one shift of the whole
picture explains best how its brightness changed (one step of Lucas and Kanade, "An Iterative Image
Registration Technique", 1981, outside the boxes of objects)? Only where that is not near zero are corners
followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image

Array = npt.NDArray[np.float64]

WIDTH = 320  # of the grey picture that corners are followed in, pixels
THUMB = 4  # the thumbnail of the cheap question is this many times smaller
STILL = 0.06  # thumbnail pixels; a smaller shift is none (0.08 % of the picture's width)
KEEP_FRAMES = 8  # that a picture is compared with where the view stands still: a slow drift adds up in them
BLOCKS = 4  # parts of the thumbnail along each side
MIN_PARTS = 4  # with structure
MIN_CONTRAST = 1.0  # mean squared slope of the brightness, grey levels a pixel
CORNERS = 8  # of each part at most
MIN_DEVIATION = 3.0  # grey levels; a part with less has no corners
QUALITY, APART = 0.05, 6  # of corners: least strength to the strongest, least distance in pixels
MIN_INLIERS = 10
MIN_INLIER_SHARE = 0.5  # of the followed corners must agree
STILL_CORNER = 0.1  # pixels; a corner that moved less stands still,
MAX_STILL_SHARE = 0.3  # and where more than this share of them do, things move and not the view
RANSAC_PIXELS = 1.5
MIN_CELLS, MIN_LINES = 8, 3  # parts of the picture, and rows and columns of parts, where corners agree:
# on a plain floor the only corners are those of the things that move on it
MAX_SCALE_CHANGE = 0.2  # a greater change of scale between two frames is a mistake


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """Where a point of an earlier frame is now, normalised: `linear` (2, 2) times it plus `offset` (2,).

    `scale` is how much larger things have become.
    """

    linear: Array
    offset: Array
    scale: float


def small_grey(image: Image) -> Image:
    """(H, W) grey copy of a BGR picture, WIDTH wide: what CameraMotion needs, 58 KB of a 16:9 picture."""
    height, width = image.shape[:2]
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    small = image if width == WIDTH else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return np.array(grey, np.uint8, copy=grey is image)


class CameraMotion:
    """The motion of one camera's view. Holds one grey picture; call `follow` once a frame.

    `travelled` is how far the view has moved in all, and `offset_xyn` (2,) how far it is from where it began,
    in shares of the picture: a line drawn on a view that moves counts something else than it was drawn for.
    `frames` and `moving_frames` tell how often it looked and how often it moved.
    """

    def __init__(self) -> None:
        self.travelled = 0.0
        self.offset_xyn: Array = np.zeros(2)
        self.frames = 0
        self.moving_frames = 0
        self._grey: Image | None = None
        self._thumb: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._boxes: npt.NDArray[np.floating] = np.zeros((0, 4))
        self._age = 0

    def follow(self, image: Image, boxes_xyxyn: npt.NDArray[np.floating]) -> Shift | None:
        """How the view has moved since the last picture; None where it stands still, or nobody can tell.

        `image` is the frame or its `small_grey`; `boxes_xyxyn` (N, 4) are objects, which move by themselves.
        """
        grey = small_grey(image) if image.ndim == 3 or image.shape[1] != WIDTH else image
        thumb = _thumbnail(grey)
        before, old = self._grey, self._thumb
        if before is None or before.shape != grey.shape:
            self._remember(grey, thumb, boxes_xyxyn)
            return None
        self.frames += 1
        self._age += 1
        if not _moved(old, thumb, boxes_xyxyn):
            if self._age >= KEEP_FRAMES:
                self._remember(grey, thumb, boxes_xyxyn)
            return None
        # Objects were elsewhere in the earlier picture: there are no corners to follow there either.
        shift = _fit(before, grey, np.concatenate((self._boxes, boxes_xyxyn)))
        self._remember(grey, thumb, boxes_xyxyn)
        if shift is not None:
            middle = np.full(2, 0.5)
            step = shift.linear @ middle + shift.offset - middle
            self.offset_xyn = self.offset_xyn + step
            self.travelled += float(np.hypot(*step))
            self.moving_frames += 1
        return shift

    def _remember(
        self, grey: Image, thumb: npt.NDArray[np.float32], boxes_xyxyn: npt.NDArray[np.floating]
    ) -> None:
        self._grey, self._thumb, self._boxes, self._age = grey, thumb, np.array(boxes_xyxyn), 0


def _thumbnail(grey: Image) -> npt.NDArray[np.float32]:
    height, width = grey.shape
    size = (width // THUMB, max(1, height // THUMB))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _moved(
    old: npt.NDArray[np.float32], new: npt.NDArray[np.float32], boxes_xyxyn: npt.NDArray[np.floating]
) -> bool:
    """The cheap question, asked of each of BLOCKS x BLOCKS parts of the picture; the parts' median answers,
    so that a few things that move do not. Brightness may change: each part's mean is taken out."""
    mean = old + new
    change = (new - old)[1:-1, 1:-1]
    gx = mean[1:-1, 2:] - mean[1:-1, :-2]
    gy = mean[2:, 1:-1] - mean[:-2, 1:-1]
    background = _outside(boxes_xyxyn, change.shape)
    high, wide = change.shape[0] // BLOCKS, change.shape[1] // BLOCKS
    if not high or not wide:
        return True
    parts = np.stack([change, gx * 0.25, gy * 0.25, background])[:, : high * BLOCKS, : wide * BLOCKS]
    parts = parts.reshape(4, BLOCKS, high, BLOCKS, wide).transpose(0, 1, 3, 2, 4)
    c, x, y, background = parts.reshape(4, BLOCKS * BLOCKS, high * wide)
    n = background.sum(axis=1)
    c = (c - (c * background).sum(axis=1, keepdims=True) / np.maximum(n, 1)[:, None]) * background
    xs, ys = x * background, y * background
    xx, xy, yy = (xs * x).sum(axis=1), (xs * y).sum(axis=1), (ys * y).sum(axis=1)
    cx, cy = (x * c).sum(axis=1), (y * c).sum(axis=1)
    determinant = xx * yy - xy * xy
    sound = (n > 0.3 * high * wide) & (np.minimum(xx, yy) > n * MIN_CONTRAST) & (determinant > 0.05 * xx * yy)
    if np.count_nonzero(sound) < MIN_PARTS:
        return bool(np.abs(c).sum() > n.sum())  # too little structure: look closer where anything changes
    dx = ((yy * cx - xy * cy)[sound]) / determinant[sound]
    dy = ((xx * cy - xy * cx)[sound]) / determinant[sound]
    return bool(np.hypot(np.median(dx), np.median(dy)) > STILL)


def _outside(boxes_xyxyn: npt.NDArray[np.floating], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """1 where no box is, 0 within them."""
    background = np.ones(shape, np.float32)
    edge = np.array([shape[1], shape[0]] * 2)
    cells = np.clip(boxes_xyxyn * edge, 0, edge)
    cells[:, 2:] = np.ceil(cells[:, 2:])
    for x1, y1, x2, y2 in cells.astype(np.intp).tolist():
        background[y1:y2, x1:x2] = 0.0
    return background


def _corners(grey: Image, boxes_xyxyn: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """(N, 1, 2) corners, the best of each part of the picture: the strongest of all may lie on traffic."""
    mask = (_outside(boxes_xyxyn, grey.shape) * 255).astype(np.uint8)
    high, wide = grey.shape[0] // BLOCKS, grey.shape[1] // BLOCKS
    corners = [np.zeros((0, 1, 2), np.float32)]
    for y in range(0, high * BLOCKS, high):
        for x in range(0, wide * BLOCKS, wide):
            part = grey[y : y + high, x : x + wide]
            if part.std() < MIN_DEVIATION:
                continue
            best = cv2.goodFeaturesToTrack(
                part, CORNERS, QUALITY, APART, mask=mask[y : y + high, x : x + wide]
            )
            if best is not None:
                corners.append((best + np.array([x, y])).astype(np.float32))
    return np.concatenate(corners)


def _fit(before: Image, after: Image, boxes_xyxyn: npt.NDArray[np.floating]) -> Shift | None:
    corners = _corners(before, boxes_xyxyn)
    if len(corners) < MIN_INLIERS:
        return None
    followed, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)  # type: ignore[call-overload]
    good = status[:, 0] > 0
    n = np.count_nonzero(good)
    still = np.abs(followed - corners).max(axis=(1, 2)) < STILL_CORNER
    if n < MIN_INLIERS or np.count_nonzero(still & good) > MAX_STILL_SHARE * n:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners[good], followed[good], method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PIXELS
    )
    if matrix is None or np.count_nonzero(inliers) < max(MIN_INLIERS, MIN_INLIER_SHARE * len(inliers)):
        return None
    if not _spread(corners[good][inliers[:, 0] > 0][:, 0], before.shape):
        return None
    height, width = before.shape
    size = np.array([width, height], np.float64)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if abs(scale - 1.0) > MAX_SCALE_CHANGE:
        return None
    return Shift(matrix[:, :2] * size[None, :] / size[:, None], matrix[:, 2] / size, scale)


def _spread(points: npt.NDArray[np.floating], shape: tuple[int, ...]) -> bool:
    """Whether (N, 2) pixels lie all over the picture, and not only where something moves through it."""
    cell_of = (points * BLOCKS / np.array([shape[1], shape[0]])).astype(np.intp)
    cells = set(map(tuple, cell_of.tolist()))
    columns, rows = {x for x, _ in cells}, {y for _, y in cells}
    return len(cells) >= MIN_CELLS and min(len(columns), len(rows)) >= MIN_LINES
