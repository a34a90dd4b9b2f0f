"""One camera's scene: looked at now and then, and told when it has changed.

What is sure of nothing is `unknown`: a label must reach its own threshold, which was chosen on held-back
data, and holds until its probability is well below that. A change is one when looks in a row agree on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.actions.card import HeadCard
from pipelines.events import SCENE_CHANGED
from pipelines.scene.model import SceneModel
from pipelines.values import Event, Image, Stamp

UNKNOWN = "unknown"
OFF = 0.7  # of a label's threshold: a scene holds until its probability is below
MIN_AGREE = 2  # looks in a row that say the same, before it is believed
NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class _Head:
    """What holds for one head, since when, and what may take its place."""

    card: HeadCard
    label: str = UNKNOWN
    probability: float = 0.0  # of the label at the last look; of the best one where it is unknown
    since_ns: int = 0  # wall clock of the box; 0: never looked
    next: str = ""
    streak: list[float] = field(default_factory=list)  # probabilities of the looks in a row that say `next`
    first: tuple[int, int] = (0, 0)  # media_ns and captured_ns of the first of them

    def judge(self, probabilities: list[float]) -> tuple[str, float]:
        """What this look alone says, and its probability."""
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        if probabilities[best] >= self.card.threshold(best):
            return self.card.labels[best], probabilities[best]
        if self.label != UNKNOWN:
            now = self.card.labels.index(self.label)
            if probabilities[now] >= OFF * self.card.threshold(now):
                return self.label, probabilities[now]
        return UNKNOWN, probabilities[best]

    def update(self, stamp: Stamp, probabilities: list[float]) -> str | None:
        """Take one look in; what held before, where that has changed now."""
        label, probability = self.judge(probabilities)
        if not self.since_ns:
            self.since_ns = stamp.captured_ns
        if label == self.label:
            self.next, self.probability = "", probability
            return None
        if label != self.next:
            self.next, self.streak, self.first = label, [], (stamp.media_ns, stamp.captured_ns)
        self.streak.append(probability)
        if len(self.streak) < MIN_AGREE:
            return None
        before, self.label, self.next = self.label, label, ""
        self.probability = sum(self.streak) / len(self.streak)
        self.since_ns = self.first[1]
        return before

    def forget(self, stamp: Stamp) -> str | None:
        """Nothing is known any more; what held, where anything did."""
        before = self.label
        self.label, self.probability, self.next = UNKNOWN, 0.0, ""
        self.first = (stamp.media_ns, stamp.captured_ns)
        self.since_ns = stamp.captured_ns
        return None if before == UNKNOWN else before


class SceneTracker:
    """One camera's state for one model. Media time says when it is due; a new epoch is looked at at once."""

    def __init__(self, model: SceneModel, interval_s: float) -> None:
        self.model = model
        self._interval_ns = round(interval_s * NS_PER_S)
        self._heads = [_Head(card) for card in model.heads]
        self._looked: tuple[int, int] | None = None  # epoch and media time of the last picture taken

    def takes(self, stamp: Stamp) -> bool:
        """Whether this frame's picture is to be given to update(); then the next is an interval later."""
        if self._looked is not None:
            epoch, media_ns = self._looked
            if epoch == stamp.epoch and 0 <= stamp.media_ns - media_ns < self._interval_ns:
                return False
        self._looked = (stamp.epoch, stamp.media_ns)
        return True

    def update(self, stamp: Stamp, image: Image) -> list[Event]:
        """The events of a picture (H, W, 3) BGR that was taken."""
        events = []
        for head, probabilities in zip(self._heads, self.model.classify(image), strict=True):
            before = head.update(stamp, probabilities)
            if before is not None:
                events.append(self._event(stamp, head, before))
        return events

    def close(self, stamp: Stamp) -> list[Event]:
        """The camera is not seen any more: what it showed is unknown."""
        self._looked = None
        changed = [(head, head.forget(stamp)) for head in self._heads]
        return [self._event(stamp, head, before) for head, before in changed if before is not None]

    def _event(self, stamp: Stamp, head: _Head, before: str) -> Event:
        data = {
            "scene": head.label,
            "head": head.card.name,
            "previous": before,
            "probability": round(head.probability, 4),
            "start_media_ns": head.first[0],
            "start_captured_ns": head.first[1],
            "model_sha256": self.model.sha256,
        }
        return Event(SCENE_CHANGED, stamp, head.card.name, data)

    def describe(self) -> dict[str, Any]:
        """What holds now, by head: plain JSON."""
        return {
            head.card.name: {
                "label": head.label,
                "probability": round(head.probability, 4),
                "since_ns": head.since_ns,
            }
            for head in self._heads
        }

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        return {
            "model": self.model.sha256,
            "heads": [[h.label, h.probability, h.since_ns] for h in self._heads],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from save(), where it is of the same model. Raises KeyError, TypeError or ValueError where
        it is none of save()."""
        if saved["model"] != self.model.sha256:
            return
        for head, (label, probability, since_ns) in zip(self._heads, saved["heads"], strict=True):
            if label == UNKNOWN or label in head.card.labels:
                head.label, head.probability, head.since_ns = label, float(probability), int(since_ns)
