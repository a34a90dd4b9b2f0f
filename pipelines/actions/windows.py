"""A track's recent past as a window: each frame's values are kept once, with their time."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.values import Floats

Seconds = npt.NDArray[np.float64]

MIN_FILL = 0.5  # of a window that must have been seen, where its model says no other; before that its first
# frame stands still
SLACK = 4  # frames kept beyond the window
MAX_OVERSAMPLING = 4.0  # samples kept for each sample of a window, at most
GAP_S = 1.5  # unseen for longer: the window begins anew
SAME_S = 1e-6  # moments so near are one
MAX_SAVED_BYTES = 8192  # of a ring in a checkpoint; larger ones (embeddings) fill again in a window's time


class Ring:
    """The last samples of one track. `interpolate`: between samples, else the nearest; `fill`: share of a
    window that must have been seen.

    | column    | shape            | unit             | meaning                                          |
    |-----------|------------------|------------------|--------------------------------------------------|
    | _times_s  | (size,)          | s                | of the stream; sample n is at row n % size       |
    | _values   | (size, *`shape`) | as the model's   | what a frame gave (inputs.py, action_frame.py)   |
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        window: int,
        rate_hz: float,
        *,
        interpolate: bool = True,
        fill: float = MIN_FILL,
    ) -> None:
        self.window, self.rate_hz, self.interpolate = window, rate_hz, interpolate
        self._min_span_s = fill * (window - 1) / rate_hz - SAME_S
        size = int(window * (MAX_OVERSAMPLING if interpolate else 1)) + SLACK
        self._values: Floats = np.zeros((size, *shape), np.float32)
        self._times_s: Seconds = np.zeros(size)
        self._count = 0  # of samples ever added; the newest is at (count - 1) % size
        self.due_s = -np.inf  # when the next sample is due

    def __len__(self) -> int:
        return min(self._count, len(self._times_s))

    def wants(self, time_s: float) -> bool:
        """Whether a frame of this time is to be added: the ring's own rate, whatever the camera's is."""
        return time_s >= self.due_s

    def add(self, time_s: float, values: Floats) -> None:
        """Values of a frame later than all before. A long gap, or a step back, begins a new window."""
        if self._count:
            since_s = time_s - self._times_s[(self._count - 1) % len(self._times_s)]
            if since_s <= 0 or since_s > GAP_S:
                self._count = 0
        at = self._count % len(self._times_s)
        self._values[at] = values
        self._times_s[at] = time_s
        self._count += 1
        step_s = 1.0 / (self.rate_hz * (MAX_OVERSAMPLING / 2 if self.interpolate else 1.0))
        # The grid of due times stays: a camera of 10 frames a second still gives 8 a second, not 5.
        self.due_s = self.due_s + step_s if self.due_s + step_s > time_s else time_s + step_s

    def ready(self) -> bool:
        """Whether enough of a window was seen."""
        n = len(self)
        if n < 2:
            return False
        times_s = self._ordered()[0]
        return bool(times_s[-1] - times_s[0] >= self._min_span_s)

    def take(self) -> tuple[Floats, Seconds]:
        """(T, …) at the window's own rate up to the newest sample, and the moments (T,) in seconds."""
        times_s, values = self._ordered()
        moments_s = times_s[-1] - np.arange(self.window - 1, -1, -1) / self.rate_hz
        return resample(times_s, values, moments_s, interpolate=self.interpolate), moments_s

    def _ordered(self) -> tuple[Seconds, Floats]:
        n, size = len(self), len(self._times_s)
        order = np.arange(self._count - n, self._count) % size
        return self._times_s[order], self._values[order]

    def save(self) -> dict[str, Any] | None:
        """Plain data, or None where it is too much to keep."""
        times_s, values = self._ordered()
        if values.nbytes > MAX_SAVED_BYTES or not len(times_s):
            return None
        return {
            "times_s": times_s.tolist(),
            "values": base64.b64encode(values.tobytes()).decode(),
            "due_s": float(self.due_s),
        }

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Raises KeyError, TypeError or ValueError where it is not from save() of such a ring."""
        if saved is None:
            return
        times_s = np.asarray(saved["times_s"], np.float64)
        values = np.frombuffer(base64.b64decode(saved["values"]), np.float32)
        values = values.reshape(len(times_s), *self._values.shape[1:])
        if len(times_s) > len(self._times_s):
            raise ValueError(f"{len(times_s)} samples, where a ring holds {len(self._times_s)}")
        self._count = len(times_s)
        self._times_s[: self._count] = times_s
        self._values[: self._count] = values
        self.due_s = float(saved["due_s"])


class Clock:
    """At a model's rate the frames of a camera that are nearest to a grid, and their moments on it.

    The pictures of a clip that a model learns from are chosen so, and those of a live camera.
    """

    def __init__(self, rate_hz: float) -> None:
        self._step_s = 1.0 / rate_hz
        self._due_s: float | None = None
        self._last_s = 0.0

    def tick(self, now_s: float) -> float | None:
        """The grid's moment that the frame of `now_s` stands for; None where a later one is nearer."""
        gap_s, self._last_s = now_s - self._last_s, now_s
        due_s = self._due_s
        if due_s is None or gap_s < 0:
            due_s = now_s  # the first frame, or time that fell back
        elif now_s + gap_s / 2 < due_s - SAME_S:
            return None
        due_s += max(0, round((now_s - due_s) / self._step_s)) * self._step_s  # frames were missing
        self._due_s = due_s + self._step_s
        return due_s


def resample(times_s: Seconds, values: Floats, moments_s: Seconds, *, interpolate: bool = True) -> Floats:
    """The values (N, …) of `times_s` (rising) at `moments_s` (T,); before the first, the first.

    Of poses (N, J, 3), a joint that is unknown (score 0) in one of two samples is where the other has it.
    """
    after = np.searchsorted(times_s, moments_s, side="left").clip(0, len(times_s) - 1)
    before = (after - 1).clip(0)
    between = times_s[after] - times_s[before]
    share = np.where(between > 0, (moments_s - times_s[before]) / np.where(between > 0, between, 1.0), 1.0)
    share = share.clip(0.0, 1.0)
    if not interpolate:
        return np.asarray(values[np.where(share < 0.5, before, after)])
    weight = share.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
    mixed: Floats = values[before] * (1 - weight) + values[after] * weight
    if values.ndim == 3:
        for one, other in ((before, after), (after, before)):
            lost = values[one][..., 2] == 0
            mixed[lost, :2] = values[other][lost, :2]
    return mixed


def stack(windows: Iterable[Floats], shape: tuple[int, ...]) -> Floats:
    """(B, T, …) of windows; an array of no windows where there are none."""
    stacked = list(windows)
    return np.stack(stacked) if stacked else np.zeros((0, *shape), np.float32)
