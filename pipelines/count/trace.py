"""A track's path in about 40 bytes a second, exact enough that a line drawn later counts as it would have.

A trace holds the smoothed places on which lines are decided (smoothing.py), as knots between which each side
of the box moves evenly: the swinging door of Bristol ("Swinging door trending", ISA, 1990) leaves out every
place that lies within a tolerance of the straight way (paths.py). Beside the box a knot holds what a line
asks for: how many places its interval had, the noise of the place, the evidence of the boxes, the class.

Text form: base64 of deflate (RFC 1951) of zigzag varints, column by column.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

VERSION = 1
SCALE = 10_000  # sides are whole numbers in 1/10000 of the picture,
TICKS = 10_000  # and times in 1/10000 s
EVIDENCE_SCALE = 64
NOISE_STEPS = 4  # of the noise's size per factor of two
COLUMNS = 10  # ticks, places, x1, width, y1, height, noise x, noise y (all as differences), evidence, class

_MOST_PLACES = 8  # of seven bits: as far as 64 bits hold them


class TraceError(ValueError):
    """Raised when text is not a trace of this version."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """K knots. times_s (K,) since the first; places (K,) of the interval that ends there, itself included;
    boxes_xyxyn (K, 4); noise_xyn (K, 2) the standard error of the place; evidence (K,) of the boxes, mean
    over the interval; class_index (K,) into `classes`, which are (name, group).

    `frame_s` is the usual time between frames, `evidence_before` the sum over boxes earlier than the first.
    """

    classes: tuple[tuple[str, str], ...]
    frame_s: float
    evidence_before: float
    times_s: Array
    places: Counts
    boxes_xyxyn: Array
    noise_xyn: Array
    evidence: Array
    class_index: Counts

    def each_place(self) -> Places:
        """All places again, evenly spread over their intervals."""
        ends = np.cumsum(self.places)
        knot = np.repeat(np.arange(len(ends)), self.places)
        before = np.maximum(knot - 1, 0)
        share = (np.arange(int(ends[-1])) - (ends - self.places)[knot] + 1) / self.places[knot]

        def between(values: Array) -> Array:
            part = share if values.ndim == 1 else share[:, None]
            return np.asarray(values[before] + part * (values[knot] - values[before]))

        return Places(
            between(self.times_s),
            between(self.boxes_xyxyn),
            between(self.noise_xyn),
            self.evidence[knot],
            self.class_index[knot],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """A trace place by place: times_s (M,), boxes_xyxyn (M, 4), noise_xyn (M, 2), evidence (M,),
    class_index (M,)."""

    times_s: Array
    boxes_xyxyn: Array
    noise_xyn: Array
    evidence: Array
    class_index: Counts


def noise_code(noise: float) -> int:
    """The logarithm of a standard error in steps of 19 %."""
    return round(NOISE_STEPS * math.log2(1 + max(noise, 0.0) * SCALE))


def put(target: bytearray, values: Iterable[int]) -> None:
    """Append whole numbers as zigzag varints (as Protocol Buffers write them)."""
    for value in values:
        rest = value << 1 if value >= 0 else (-value << 1) - 1
        while rest > 0x7F:
            target.append(rest & 0x7F | 0x80)
            rest >>= 7
        target.append(rest)


def take(source: bytes | bytearray) -> list[int]:
    """The inverse of `put`. Raises TraceError where the last number is cut off or one is too large."""
    return [int(value) for value in _numbers(source).tolist()]


def _numbers(source: bytes | bytearray) -> Counts:
    raw = np.frombuffer(source, np.uint8)
    if not len(raw):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise TraceError("a track's path is cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    if place.max() > _MOST_PLACES:
        raise TraceError("a track's path is damaged")
    zigzag = np.add.reduceat((raw & 0x7F).astype(np.int64) << (7 * place), starts)
    return np.asarray((zigzag >> 1) ^ -(zigzag & 1), np.int64)


def encode(
    knots: Sequence[Sequence[int]],
    classes: Sequence[tuple[str, str]],
    frame_s: float,
    evidence_before: float,
) -> str:
    """Knots as rows of COLUMNS differences, the class as an index into `classes`, to text."""
    frame_ticks = round(frame_s * TICKS)
    words = "\n".join(part for name_and_group in classes for part in name_and_group).encode()
    out = bytearray()
    put(out, (VERSION, len(words), len(knots)))
    put(out, (frame_ticks, round(evidence_before * EVIDENCE_SCALE)))
    out += words
    columns = [list(column) for column in zip(*knots, strict=True)]
    # Frames mostly come evenly: what is left of the time are small numbers.
    columns[0] = [ticks - n * frame_ticks for ticks, n in zip(columns[0], columns[1], strict=True)]
    for column in columns:
        put(out, column)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(packer.compress(bytes(out)) + packer.flush()).decode()


def unpack(text: str) -> bytes:
    """The bytes that a ledger keeps of a trace's text. Raises TraceError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TraceError(f"not a track's path: {error}") from error


def decode(packed: bytes | str) -> Trace:
    """A trace from its text or the bytes of `unpack`. Raises TraceError."""
    packed = unpack(packed) if isinstance(packed, str) else packed
    try:
        raw = zlib.decompressobj(-15).decompress(packed, 1 << 26)
    except zlib.error as error:
        raise TraceError(f"a track's path is damaged: {error}") from error
    head_bytes = _end_of(raw, 5)
    head = take(raw[:head_bytes])
    if len(head) != 5 or head[0] != VERSION:
        raise TraceError("a track's path is of another version")
    _, n_words, n_knots, frame_ticks, before = head
    words = raw[head_bytes : head_bytes + n_words].decode(errors="replace").split("\n")
    values = _numbers(raw[head_bytes + n_words :])
    if len(values) != n_knots * COLUMNS or not n_knots or len(words) % 2:
        raise TraceError("a track's path is cut off")
    table = values.reshape(COLUMNS, n_knots).copy()
    table[0] += table[1] * frame_ticks
    return _trace(table, tuple(zip(words[::2], words[1::2], strict=True)), frame_ticks / TICKS, before)


def _trace(table: Counts, classes: tuple[tuple[str, str], ...], frame_s: float, before: int) -> Trace:
    ticks, x1, width, y1, height, noise_x, noise_y = np.cumsum(table[[0, 2, 3, 4, 5, 6, 7]], axis=1)
    noise = np.column_stack([noise_x, noise_y]) / NOISE_STEPS
    if (table[1] < 1).any() or not ((table[9] >= 0) & (table[9] < len(classes))).all():
        raise TraceError("a track's path is damaged")
    return Trace(
        classes,
        frame_s,
        before / EVIDENCE_SCALE,
        ticks / TICKS,
        table[1],
        np.column_stack([x1, y1, x1 + width, y1 + height]) / SCALE,
        (np.exp2(noise) - 1) / SCALE,
        table[8] / EVIDENCE_SCALE,
        table[9],
    )


def _end_of(raw: bytes, numbers: int) -> int:
    """Where the first `numbers` varints end."""
    ends = [i for i, byte in enumerate(raw[: 10 * numbers]) if byte < 0x80]
    if len(ends) < numbers:
        raise TraceError("a track's path is cut off")
    return ends[numbers - 1] + 1
