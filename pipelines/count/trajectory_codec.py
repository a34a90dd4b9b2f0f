"""A track's path in about 45 bytes a second, exact enough that a line drawn later counts as it would have.

A trajectory holds the smoothed boxes on which lines are decided (box_smoothing.py), as knots between which
each side of the box moves evenly: the swinging door of Bristol ("Swinging door trending", ISA, 1990) leaves
out every sample that lies within a tolerance of the straight way (trajectory_recorder.py). Beside the box a
knot holds what a line asks for: how many samples its interval had, the noise of the place, the class. The
evidence of the boxes has runs of its own (run_length.py), for it changes at other places than the way does.

Text form: base64 of deflate (RFC 1951) of zigzag varints, column by column. In version 1 each knot held the
mean evidence of its interval, there were no runs, and the noise had steps of 19 %.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.count.trajectory_text import TrajectoryError as TrajectoryError
from pipelines.count.trajectory_text import unpack as unpack

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

VERSION = 2
SCALE = 10_000  # sides are whole numbers in 1/10000 of the picture,
TICKS = 10_000  # and times in 1/10000 s
NOISE_STEPS = 16  # of the noise's size per factor of two: a hundredth of it decides at the edge of a band
EVIDENCE_STEPS = 4  # likewise of the evidence's
EVIDENCE_SCALE = 64  # of the evidence before the path, and of version 1
EVIDENCE_UNIT = 1 / 32

# A stored knot: whole numbers, each but the last the difference from the knot before, in this order.
#
# | column           | unit                     | meaning                                                 |
# |------------------|--------------------------|---------------------------------------------------------|
# | ticks            | 1/TICKS s                | time since the knot before; stored less the usual time  |
# | samples          |                          | of the interval that ends here                          |
# | x1, width        | 1/SCALE of the image     | width instead of x2: it changes less                    |
# | y1, height       | 1/SCALE of the image     |                                                         |
# | noise x, noise y | steps of `noise_code`    | standard error of the place                             |
# | class            |                          | index into the words of the head; no difference         |
COLUMNS = 9
RUN_COLUMNS = 2  # of a stored run of evidence: samples, steps of `evidence_code`

_MAX_GROUPS = 8  # index of a varint's last group of seven bits: as far as 64 bits hold them
_MAX_CODE = 64  # an evidence of 2047; no score gives a tenth of it
_MAX_NOISE = 32  # factors of two: far beyond the picture
MAX_SAMPLES = 1 << 26  # a month at 25 frames a second: what states more is damaged


class _Form(NamedTuple):
    """What differs from version to version; `head` numbers come before the words."""

    head: int
    columns: int
    noise_steps: int


_FORMS = {1: _Form(5, 10, 4), VERSION: _Form(6, COLUMNS, NOISE_STEPS)}


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One track's smoothed boxes as K knots, and the evidence of its M samples (one a frame) as E runs.

    | column       | shape   | unit         | meaning                                                        |
    |--------------|---------|--------------|----------------------------------------------------------------|
    | times_s      | (K,)    | s            | since the first knot                                           |
    | samples_each | (K,)    | samples      | of the interval that ends at the knot, the knot's own included |
    | boxes_xyxyn  | (K, 4)  | of the image | x1, y1, x2, y2                                                 |
    | noise_xyn    | (K, 2)  | of the image | standard error of the box's place                              |
    | class_index  | (K,)    |              | into `classes`, which are (name, group)                        |
    | run_lengths  | (E,)    | samples      | of a run; all together M                                       |
    | evidence     | (E,)    |              | mean evidence of the run's boxes                               |

    `frame_s` is the usual time between frames, `evidence_before` the sum over boxes earlier than the first.
    """

    classes: tuple[tuple[str, str], ...]
    frame_s: float
    evidence_before: float
    times_s: Array
    samples_each: Counts
    boxes_xyxyn: Array
    noise_xyn: Array
    class_index: Counts
    run_lengths: Counts
    evidence: Array

    def samples(self) -> TrajectorySamples:
        """All M samples again, evenly spread over their intervals."""
        ends = np.cumsum(self.samples_each)
        knot = np.repeat(np.arange(len(ends)), self.samples_each)
        before = np.maximum(knot - 1, 0)
        share = (np.arange(int(ends[-1])) - (ends - self.samples_each)[knot] + 1) / self.samples_each[knot]

        def between(values: Array) -> Array:
            part = share if values.ndim == 1 else share[:, None]
            return np.asarray(values[before] + part * (values[knot] - values[before]))

        return TrajectorySamples(
            between(self.times_s),
            between(self.boxes_xyxyn),
            between(self.noise_xyn),
            np.repeat(self.evidence, self.run_lengths),
            self.class_index[knot],
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrajectorySamples:
    """A trajectory sample by sample: times_s (M,), boxes_xyxyn (M, 4), noise_xyn (M, 2), evidence (M,),
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
    """The inverse of `put`. Raises TrajectoryError where the last number is cut off or one is too large."""
    return [int(value) for value in _numbers(source).tolist()]


def _numbers(source: bytes | bytearray) -> Counts:
    raw = np.frombuffer(source, np.uint8)
    if not len(raw):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise TrajectoryError("a track's path is cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    group = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    if group.max() > _MAX_GROUPS:
        raise TrajectoryError("a track's path is damaged")
    zigzag = np.add.reduceat((raw & 0x7F).astype(np.int64) << (7 * group), starts)
    return np.asarray((zigzag >> 1) ^ -(zigzag & 1), np.int64)


def encode(
    knots: Sequence[Sequence[int]],
    runs: Sequence[tuple[int, int]],
    classes: Sequence[tuple[str, str]],
    frame_s: float,
    evidence_before: float,
) -> str:
    """Knots as rows of COLUMNS differences, the class as an index into `classes`, and the runs of evidence
    as (samples, code), to text."""
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


def decode(packed: bytes | str) -> Trajectory:
    """A trajectory from its text or the bytes of `unpack`. Raises TrajectoryError."""
    packed = unpack(packed) if isinstance(packed, str) else packed
    try:
        raw = zlib.decompressobj(-15).decompress(packed, 1 << 26)
    except zlib.error as error:
        raise TrajectoryError(f"a track's path is damaged: {error}") from error
    form = _FORMS.get(take(raw[: _end_of(raw, 1)])[0])
    if form is None:
        raise TrajectoryError("a track's path is of another version")
    head_bytes = _end_of(raw, form.head)
    _, n_words, n_knots, frame_ticks, before, *n_runs = take(raw[:head_bytes])
    words = raw[head_bytes : head_bytes + n_words].decode(errors="replace").split("\n")
    values = _numbers(raw[head_bytes + n_words :])
    cells = n_knots * form.columns
    if (
        n_knots < 1
        or n_words < 0
        or min(n_runs, default=1) < 1
        or len(values) != cells + RUN_COLUMNS * sum(n_runs)
        or len(words) % 2
    ):
        raise TrajectoryError("a track's path is cut off")
    table = values[:cells].reshape(form.columns, n_knots).copy()
    table[0] += table[1] * frame_ticks
    if n_runs:
        run_lengths, codes = values[cells:].reshape(RUN_COLUMNS, -1)
        evidence = (np.exp2(codes.clip(0, _MAX_CODE) / EVIDENCE_STEPS) - 1) * EVIDENCE_UNIT
    else:  # of each interval
        run_lengths, evidence = table[1], table[8] / EVIDENCE_SCALE
    classes = tuple(zip(words[::2], words[1::2], strict=True))
    times = (frame_ticks / TICKS, before / EVIDENCE_SCALE)
    return _trajectory(table, classes, *times, form.noise_steps, run_lengths, evidence)


def _trajectory(
    table: Counts,
    classes: tuple[tuple[str, str], ...],
    frame_s: float,
    evidence_before: float,
    noise_steps: int,
    run_lengths: Counts,
    evidence: Array,
) -> Trajectory:
    samples_each, class_index = table[1], table[-1]
    in_range = ((class_index >= 0) & (class_index < len(classes))).all()
    if (
        not in_range
        or min(samples_each.min(), run_lengths.min()) < 1
        or max(samples_each.max(), run_lengths.max()) > MAX_SAMPLES
        or not samples_each.sum() == run_lengths.sum() <= MAX_SAMPLES
    ):
        raise TrajectoryError("a track's path is damaged")
    ticks, x1, width, y1, height, *noise = np.cumsum(table[[0, 2, 3, 4, 5, 6, 7]], axis=1)
    return Trajectory(
        classes,
        frame_s,
        evidence_before,
        ticks / TICKS,
        samples_each,
        np.column_stack([x1, y1, x1 + width, y1 + height]) / SCALE,
        (np.exp2((np.column_stack(noise) / noise_steps).clip(0, _MAX_NOISE)) - 1) / SCALE,
        class_index,
        run_lengths,
        evidence,
    )


def _end_of(raw: bytes, numbers: int) -> int:
    """Where the first `numbers` varints end."""
    ends = [i for i, byte in enumerate(raw[: 10 * numbers]) if byte < 0x80]
    if len(ends) < numbers:
        raise TrajectoryError("a track's path is cut off")
    return ends[numbers - 1] + 1
