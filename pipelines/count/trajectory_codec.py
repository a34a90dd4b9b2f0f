"""A track's path in about 45 bytes a second, exact enough that a line drawn later counts as it would have.

A trace holds the smoothed places on which lines are decided (box_smoothing.py), as knots between which each
side of the box moves evenly: the swinging door of Bristol ("Swinging door trending", ISA, 1990) leaves out
every place that lies within a tolerance of the straight way (trajectory_recorder.py). Beside the box a knot
holds what a line asks for: how many places its interval had, the noise of the place, the class. The evidence
of the boxes has runs of its own (run_length.py), for it changes at other places than the way does.

Text form: base64 of deflate (RFC 1951) of zigzag varints, column by column. In version 1 each knot held the
mean evidence of its interval, there were no runs, and the noise had steps of 19 %.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

VERSION = 2
SCALE = 10_000  # sides are whole numbers in 1/10000 of the picture,
TICKS = 10_000  # and times in 1/10000 s
NOISE_STEPS = 16  # of the noise's size per factor of two: a hundredth of it decides at the edge of a band
EVIDENCE_STEPS = 4  # likewise of the evidence's
EVIDENCE_SCALE = 64  # of the evidence before the path, and of version 1
EVIDENCE_UNIT = 1 / 32
COLUMNS = 9  # ticks, places, x1, width, y1, height, noise x, noise y (all as differences), class
RUN_COLUMNS = 2  # places, evidence

_MOST_PLACES = 8  # of seven bits: as far as 64 bits hold them
_MOST_CODE = 64  # an evidence of 2047; no score gives a tenth of it


class _Form(NamedTuple):
    """What differs from version to version; `head` numbers come before the words."""

    head: int
    columns: int
    noise_steps: int


_FORMS = {1: _Form(5, 10, 4), VERSION: _Form(6, COLUMNS, NOISE_STEPS)}


class TraceError(ValueError):
    """Raised when text is not a trace of this version."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """K knots. times_s (K,) since the first; places (K,) of the interval that ends there, itself included;
    boxes_xyxyn (K, 4); noise_xyn (K, 2) the standard error of the place; class_index (K,) into `classes`,
    which are (name, group). And E runs: of `alike` (E,) places each the mean evidence (E,) of their boxes.

    `frame_s` is the usual time between frames, `evidence_before` the sum over boxes earlier than the first.
    """

    classes: tuple[tuple[str, str], ...]
    frame_s: float
    evidence_before: float
    times_s: Array
    places: Counts
    boxes_xyxyn: Array
    noise_xyn: Array
    class_index: Counts
    alike: Counts
    evidence: Array

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
            np.repeat(self.evidence, self.alike),
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
    """The logarithm of a standard error in steps of 4 %."""
    return round(NOISE_STEPS * math.log2(1 + max(noise, 0.0) * SCALE))


def evidence_code(evidence: float) -> int:
    """Of an evidence in steps of 19 %."""
    return round(EVIDENCE_STEPS * math.log2(1 + max(evidence, 0.0) / EVIDENCE_UNIT))


def evidence_of(code: int) -> float:
    """The inverse of `evidence_code`."""
    return float((2 ** (code / EVIDENCE_STEPS) - 1) * EVIDENCE_UNIT)


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
    runs: Sequence[tuple[int, int]],
    classes: Sequence[tuple[str, str]],
    frame_s: float,
    evidence_before: float,
) -> str:
    """Knots as rows of COLUMNS differences, the class as an index into `classes`, and the runs of evidence
    as (places, code), to text."""
    frame_ticks = round(frame_s * TICKS)
    words = "\n".join(part for name_and_group in classes for part in name_and_group).encode()
    out = bytearray()
    put(out, (VERSION, len(words), len(knots)))
    put(out, (frame_ticks, round(evidence_before * EVIDENCE_SCALE), len(runs)))
    out += words
    columns = [list(column) for column in (*zip(*knots, strict=True), *zip(*runs, strict=True))]
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
    form = _FORMS.get(take(raw[: _end_of(raw, 1)])[0])
    if form is None:
        raise TraceError("a track's path is of another version")
    head_bytes = _end_of(raw, form.head)
    _, n_words, n_knots, frame_ticks, before, *n_runs = take(raw[:head_bytes])
    words = raw[head_bytes : head_bytes + n_words].decode(errors="replace").split("\n")
    values = _numbers(raw[head_bytes + n_words :])
    cells = n_knots * form.columns
    if n_knots < 1 or len(values) != cells + RUN_COLUMNS * sum(n_runs) or len(words) % 2:
        raise TraceError("a track's path is cut off")
    table = values[:cells].reshape(form.columns, n_knots).copy()
    table[0] += table[1] * frame_ticks
    if n_runs:
        alike, codes = values[cells:].reshape(RUN_COLUMNS, -1)
        evidence = (np.exp2(codes.clip(0, _MOST_CODE) / EVIDENCE_STEPS) - 1) * EVIDENCE_UNIT
    else:  # of each interval
        alike, evidence = table[1], table[8] / EVIDENCE_SCALE
    classes = tuple(zip(words[::2], words[1::2], strict=True))
    times = (frame_ticks / TICKS, before / EVIDENCE_SCALE)
    return _trace(table, classes, *times, form.noise_steps, alike, evidence)


def _trace(
    table: Counts,
    classes: tuple[tuple[str, str], ...],
    frame_s: float,
    evidence_before: float,
    noise_steps: int,
    alike: Counts,
    evidence: Array,
) -> Trace:
    places, class_index = table[1], table[-1]
    known = ((class_index >= 0) & (class_index < len(classes))).all()
    if not known or min(places.min(), alike.min()) < 1 or places.sum() != alike.sum():
        raise TraceError("a track's path is damaged")
    ticks, x1, width, y1, height, *noise = np.cumsum(table[[0, 2, 3, 4, 5, 6, 7]], axis=1)
    return Trace(
        classes,
        frame_s,
        evidence_before,
        ticks / TICKS,
        places,
        np.column_stack([x1, y1, x1 + width, y1 + height]) / SCALE,
        (np.exp2(np.column_stack(noise) / noise_steps) - 1) / SCALE,
        class_index,
        alike,
        evidence,
    )


def _end_of(raw: bytes, numbers: int) -> int:
    """Where the first `numbers` varints end."""
    ends = [i for i, byte in enumerate(raw[: 10 * numbers]) if byte < 0x80]
    if len(ends) < numbers:
        raise TraceError("a track's path is cut off")
    return ends[numbers - 1] + 1
