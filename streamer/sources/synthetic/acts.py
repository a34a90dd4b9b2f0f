"""The truth of what the people of a synthetic scene do: who ran, loitered or fell when, and where they were.

What an event says is held against it by the box: the person who was there then, and what they did.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamer.sources.synthetic.painter import placed
from streamer.sources.synthetic.scene import Scene
from streamer.sources.synthetic.shapes import Box
from streamer.sources.synthetic.walkers import ACTS

EVERY_S = 0.2  # between two looks at the scene
KEPT_S = 30.0  # looks that an event may still speak of
MIN_S = 2.0  # in the picture: a shorter act is not expected to be told
SLACK_S = 1.5  # an event may begin or end this much beside the act that it is about
SAME = 0.2  # intersection over union with the box of whom an event is about
WHOLE = 0.7  # of a box lies in the picture


@dataclass(slots=True)
class TrueAct:
    """One person's act while they were in the picture. `told_s`: the media time at which an event said so."""

    ident: int
    label: str
    start_s: float
    end_s: float
    told_s: float | None = None

    @property
    def counts(self) -> bool:
        return self.end_s - self.start_s >= MIN_S


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    boxes: dict[int, Box]  # of the people in the picture, in pixels


class ActTruth:
    """Follows a scene look by look."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.acts: list[TrueAct] = []
        self._world = scene.world()
        self._view = self._world.view(scene.width, scene.height)
        self._looks: deque[_Look] = deque(maxlen=round(KEPT_S / EVERY_S))
        self._going: dict[tuple[int, str], TrueAct] = {}
        self._next = 0

    def follow(self, media_s: float) -> None:
        """Look at everything up to `media_s`."""
        while self._next * EVERY_S <= media_s:
            self._look(self._next * EVERY_S)
            self._next += 1

    def between(self, from_s: float, until_s: float) -> list[TrueAct]:
        """The acts that began in that time, early enough to be told in it."""
        return [a for a in self.acts if a.counts and from_s <= a.start_s <= until_s - MIN_S]

    def told(self, label: str, start_s: float, end_s: float, box_xyxyn: Box) -> bool:
        """Whether somebody who was at the box at `end_s` did that; the act then remembers it."""
        self.follow(end_s)
        who = self._who(end_s, box_xyxyn)
        for act in reversed(self.acts):
            near = act.start_s - SLACK_S <= end_s and start_s <= act.end_s + SLACK_S
            if (act.ident, act.label) == (who, label) and near:
                act.told_s = end_s if act.told_s is None else act.told_s
                return True
        return False

    def _look(self, at_s: float) -> None:
        found: dict[int, Box] = {}
        seen = set()
        people = [a for a in self._world.at(at_s) if a.doing]
        for item in placed(people, self._view):
            if self._share_inside(item.box) < WHOLE:
                continue
            found[item.ident] = item.box
            key = (item.ident, item.actor.doing)
            if key[1] not in ACTS:
                continue
            seen.add(key)
            if key not in self._going:
                self._going[key] = TrueAct(*key, at_s, at_s)
                self.acts.append(self._going[key])
            self._going[key].end_s = at_s
        for key in self._going.keys() - seen:
            del self._going[key]
        self._looks.append(_Look(at_s, found))

    def _share_inside(self, box: Box) -> float:
        x1, y1, x2, y2 = box
        wide = max(0.0, min(x2, self.scene.width) - max(x1, 0.0))
        high = max(0.0, min(y2, self.scene.height) - max(y1, 0.0))
        return wide * high / max(1e-9, (x2 - x1) * (y2 - y1))

    def _who(self, at_s: float, box_xyxyn: Box) -> int | None:
        """Whose box it is nearest to, among those who were in the picture then."""
        if not self._looks:
            return None
        look = min(self._looks, key=lambda look: abs(look.at_s - at_s))
        x1, y1, x2, y2 = box_xyxyn
        size = (self.scene.width, self.scene.height)
        box = (x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1])
        shares = {ident: _iou(box, other) for ident, other in look.boxes.items()}
        best = max(shares, key=lambda ident: shares[ident], default=None)
        return best if best is not None and shares[best] >= SAME else None


def _iou(a: Box, b: Box) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = wide * high
    return shared / max(1e-9, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
