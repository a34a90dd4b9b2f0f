"""From probabilities over time to actions: hysteresis, a least duration, one report for one action, and a
pause before the next of the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.actions.card import HeadCard

OFF = 0.7  # of a label's threshold: an action goes on until its probability is below
RELEASE_S = 1.0  # below for so long: it is over
SMOOTH = 0.5  # weight of the newest probability in the running mean


@dataclass(frozen=True, slots=True)
class Action:
    """What was decided: `probability` is the greatest running mean so far. Times in seconds of the stream.

    `weights` are (moment in seconds, attention) of the frames of the most probable window.
    """

    head: str
    label: str
    probability: float
    start_s: float
    end_s: float
    weights: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class _Open:
    start_s: float
    last_s: float
    best: float
    weights: tuple[tuple[float, float], ...]
    reported: bool = False


class HysteresisTrigger:
    """One head of one track. What begins again within `pause_s` of its end was never over, and is not told
    again."""

    def __init__(self, head: HeadCard, min_duration_s: float, pause_s: float = 0.0) -> None:
        self._head = head
        self._min_duration_s, self._pause_s = min_duration_s, pause_s
        self._watched = [i for i, label in enumerate(head.labels) if label not in head.silent]
        self._mean: list[float] | None = None
        self._open: dict[int, _Open] = {}
        self._ended_s: dict[int, float] = {}  # of what was reported, by label

    def update(
        self, time_s: float, probabilities: list[float], weights: list[tuple[float, float]]
    ) -> list[Action]:
        """One window's answer -> the actions that are now sure for the first time."""
        if self._mean is None:
            self._mean = list(probabilities)
        else:
            self._mean = [
                SMOOTH * new + (1 - SMOOTH) * old for new, old in zip(probabilities, self._mean, strict=True)
            ]
        begun = []
        for label in self._watched:
            action = self._follow(label, time_s, self._mean[label], weights)
            if action is not None:
                begun.append(action)
        return begun

    def _follow(
        self, label: int, time_s: float, mean: float, weights: list[tuple[float, float]]
    ) -> Action | None:
        threshold = self._head.threshold(label)
        now = self._open.get(label)
        if now is None:
            if mean < threshold or not self._leads(label):
                return None
            now = self._open[label] = _Open(
                time_s, time_s, mean, tuple(weights), self._is_pausing(label, time_s)
            )
        elif mean >= OFF * threshold:
            now.last_s = time_s
            if mean > now.best:
                now.best, now.weights = mean, tuple(weights)
        elif not now.reported or time_s - now.last_s > RELEASE_S:
            del self._open[label]  # what was not sure for long enough never was
            if now.reported:
                self._ended_s[label] = now.last_s
            return None
        if now.reported or now.last_s - now.start_s < self._min_duration_s:
            return None
        now.reported = True
        name = self._head.labels[label]
        return Action(self._head.name, name, now.best, now.start_s, now.last_s, now.weights)

    def _is_pausing(self, label: int, time_s: float) -> bool:
        ended_s = self._ended_s.get(label)
        return ended_s is not None and time_s - ended_s < self._pause_s

    def _leads(self, label: int) -> bool:
        """With one label at a time, only the most probable begins."""
        mean = self._mean or []
        return self._head.kind == "sigmoid" or mean[label] >= max(mean)

    def save(self) -> dict[str, Any]:
        """Plain data; the attention of an action that is still open and unreported is not kept."""
        opened = {str(k): [o.start_s, o.last_s, o.best, o.reported] for k, o in self._open.items()}
        ended = {str(k): ended_s for k, ended_s in self._ended_s.items()}
        return {"mean": self._mean, "open": opened, "ended": ended}

    def restore(self, saved: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError where it is not from save() of such a head."""
        mean = saved["mean"]
        if mean is not None and len(mean) != len(self._head.labels):
            raise ValueError(f"{len(mean)} probabilities, where the head has {len(self._head.labels)} labels")
        self._mean = None if mean is None else [float(p) for p in mean]
        self._open = {}
        self._ended_s = {int(key): float(ended_s) for key, ended_s in saved.get("ended", {}).items()}
        for key, (start_s, last_s, best, reported) in saved["open"].items():
            if int(key) in self._watched:
                self._open[int(key)] = _Open(float(start_s), float(last_s), float(best), (), bool(reported))
