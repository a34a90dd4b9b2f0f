"""Sequences of any length as windows of one, and the label of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.actions.inputs import prepare
from pipelines.actions.windows import MIN_FILL, resample
from pipelines.train.actions.data import ActionData, DataRefused, LabelledSequence
from pipelines.values import Floats

MAX_WINDOWS = 200_000  # windows of one set: more do not fit into memory


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """`values` (M, T, …) raw, or prepared for the network; `targets` one (M, C) a head; `sequence` (M,) which
    of the data's sequences each is from; `moments_s` (M,) the moment that its label is of."""

    values: Floats
    targets: tuple[Floats, ...]
    sequence: npt.NDArray[np.int64]
    moments_s: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)


def cut_windows(
    data: ActionData,
    window: int,
    rate_hz: float | None,
    *,
    stride_s: float = 0.125,
    lag_s: float = 0.0,
    fill: float = MIN_FILL,
    raw: bool = False,
) -> Windows:
    """Windows of `window` frames at `rate_hz`, one every `stride_s`, as the live engine would see them.

    A window's label is that of `lag_s` before its end: what happened can then be seen. `fill`: the share of
    a window that must have been seen; a shorter sequence gives one all the same. `rate_hz` None: each
    sequence is one window, stretched. `raw`: not prepared, as an exported model takes them.
    Raises DataRefused where nothing is left.
    """
    values, targets, sequence, moments = [], [], [], []
    for number, item in enumerate(data.sequences):
        if rate_hz is None:
            wanted_s = np.linspace(item.times_s[0], item.times_s[-1], window)
            values.append(_at(item, wanted_s, data.kind in ("pose", "boxes")))
            middle = len(item.times_s) // 2
            targets.append([t[middle] for t in item.targets])
            sequence.append(number)
            moments.append(float(wanted_s[-1]))
            continue
        for end_s in _ends(item, fill * (window - 1) / rate_hz, stride_s):
            wanted_s = end_s - np.arange(window - 1, -1, -1) / rate_hz
            values.append(_at(item, wanted_s, data.kind in ("pose", "boxes")))
            row = int(np.abs(item.times_s - (end_s - lag_s)).argmin())
            targets.append([t[row] for t in item.targets])
            sequence.append(number)
            moments.append(float(item.times_s[row]))
        if len(values) > MAX_WINDOWS:
            raise DataRefused(f"more than {MAX_WINDOWS} windows: take a longer --stride or fewer clips")
    if not values:
        raise DataRefused("no window can be cut: every sequence is shorter than half a window")
    stacked = np.stack(values)
    return Windows(
        stacked if raw else prepare(data.kind, stacked),
        tuple(np.stack([row[h] for row in targets]) for h in range(len(data.heads))),
        np.array(sequence),
        np.array(moments),
    )


def _at(item: LabelledSequence, wanted_s: npt.NDArray[np.float64], interpolate: bool) -> Floats:
    return resample(item.times_s, item.values, wanted_s, interpolate=interpolate)


def _ends(item: LabelledSequence, least_s: float, stride_s: float) -> npt.NDArray[np.float64]:
    """The moments at which a window ends; a sequence that is shorter gives one, its first frame repeated."""
    first_s, last_s = float(item.times_s[0]), float(item.times_s[-1])
    start_s = first_s + least_s
    if start_s >= last_s:
        return np.array([last_s])
    return np.arange(start_s, last_s + 1e-6, stride_s)
