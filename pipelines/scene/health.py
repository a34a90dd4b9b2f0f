"""Whether a camera can be believed: frozen, black, covered, defocused or moved, from a small grey picture.

One HealthMonitor a camera is given a look about once a second, and judges it by the camera's own recent past.
It reads no clock. A state begins when its signs have held for a while, and ends when they have been gone for
a while; it says since when, which is before it was noticed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np

from pipelines.scene.obstruction import Obstruction, ObstructionDetector
from pipelines.scene.repeats import Repeats
from pipelines.scene.structure import Structure
from pipelines.scene.view import Displacement, View, register
from pipelines.values import Image

HealthState = Literal["ok", "frozen", "black", "covered", "defocused", "moved"]
BLIND_STATES: Final = (
    "black",
    "frozen",
    "covered",
    "defocused",
)  # nothing can be counted; the first that holds
FAULTS: Final = (*BLIND_STATES, "moved")
assert set(FAULTS) | {"ok"} == set(get_args(HealthState))

LOOK_EVERY_S = 1.0
PICTURE_WIDTH = 320

MAX_BLACK = 40  # no grey value of a black picture is above: a headlight is
MAX_BLACK_DEVIATION = 5.0
MAX_STANDING_MEDIA = 0.1  # media seconds in a second; and over so many seconds:
STANDING_MEDIA_S = 15.0

REGISTER_EVERY_S = 6.0
REGISTER_SOON_S = 2.0  # where a registration says something new, and for the first ones
FIRST_REGISTRATIONS = 10
MIN_VOTES = 3  # registrations in a row that say that the view is elsewhere
REFERENCE_LOOKS = 2  # healthy ones, before the view is kept as the reference
MOVED = 0.025  # of the width, on average over the picture: a line is not where it was drawn
BACK = 0.015  # and is again
MIN_USUAL = 30  # features that usually agree, for a view to be missed where none do
LOST_S = 20.0  # and for so long, where another picture than lately is seen

# How long the signs of a state hold before it begins, and are gone before it ends.
BEGINS_S: Final = {"frozen": 0.0, "black": 4.0, "covered": 6.0, "defocused": 10.0, "moved": 0.0}
ENDS_S: Final = {"frozen": 2.0, "black": 3.0, "covered": 4.0, "defocused": 6.0, "moved": 10.0}

DETAILS: Final = {
    "ok": "",
    "frozen": "the camera repeats its last picture: restart it",
    "black": "the picture is black: look at the lens, the light and the camera's day and night switch",
    "covered": "the lens is covered, or sees nothing: clean it, or take away what is before it",
    "defocused": "the picture is out of focus: clean the lens, or focus it",
    "moved": "the view has moved and lines are not where they were drawn: turn the camera back, or see "
    "`streamer camera realign`",
}


@dataclass(frozen=True, slots=True)
class Health:
    """`since_s` is on the clock of the looks; `detail` is one line for people, "" where all is well."""

    state: HealthState = "ok"
    since_s: float = 0.0
    detail: str = ""

    @property
    def blind(self) -> bool:
        return self.state in BLIND_STATES


@dataclass(slots=True)
class _Latch:
    """One state's hysteresis."""

    begins_s: float
    ends_s: float
    on: bool = False
    since_s: float = 0.0  # when the signs that hold began
    _turned_s: float | None = None  # when they began to say otherwise

    def restart(self) -> None:
        """The clock may begin anew: what has not begun or ended yet takes its time again."""
        self._turned_s = None

    def update(self, sign: bool, now_s: float, began_s: float) -> None:
        if sign == self.on:
            self._turned_s = None
            return
        if self._turned_s is None:
            self._turned_s = began_s if sign else now_s
        if now_s - self._turned_s >= (self.begins_s if sign else self.ends_s):
            self.on, self.since_s, self._turned_s = sign, self._turned_s, None


class HealthMonitor:
    """One camera's. `ignore` names states that are not to be told of this camera.

    `reference` is the view against which it is said to have moved; None: the first that is well and stands
    is taken, and is then to be kept from `reference`. Where all that has an edge moves, there is none.
    """

    def __init__(self, ignore: Collection[str] = (), reference: View | None = None) -> None:
        self.health = Health()
        self.reference = reference
        self.displacement: Displacement | None = None  # against the reference, when last registered
        self._ignore = frozenset(ignore)
        self._latches = {state: _Latch(BEGINS_S[state], ENDS_S[state]) for state in FAULTS}
        self._repeats = Repeats()
        self._obstruction = ObstructionDetector()
        self._candidate: View | None = None  # for a reference: the look before
        self._structure = Structure()  # as it was when the view was last seen to stand
        self._media: list[tuple[float, float]] = []  # (now_s, media_s) of the last looks
        self._next_s: float | None = None
        self._register_s = 0.0
        self._well = 0
        self._usual = 0.0
        self._registrations = 0
        self._votes = 0  # for another view, in a row
        self._voted_s = 0.0  # when the first of them was
        self._lost_s: float | None = None  # since when nothing of the view is found again

    def due(self, now_s: float) -> bool:
        """Whether a picture of now is to be given to look(); then the next is a second later."""
        if self._next_s is not None and 0 <= self._next_s - now_s <= LOOK_EVERY_S:
            return False
        self._next_s = now_s + LOOK_EVERY_S
        return True

    def refer_to(self, view: View | None) -> None:
        """Compare the view with another reference from now on; None: with the next that is well."""
        self.reference, self.displacement = view, None
        self._candidate, self._structure = None, Structure()
        self._votes, self._lost_s, self._usual = 0, None, 0.0
        self._registrations, self._register_s = 0, 0.0

    def restart(self) -> None:
        """The source was opened anew. What the camera shows is still compared with what it showed."""
        self._repeats.restart()
        self._obstruction.restart()
        self._media.clear()
        self._next_s = self._lost_s = None
        self._register_s = 0.0
        for latch in self._latches.values():
            latch.restart()

    def look(self, grey: Image, now_s: float, media_s: float) -> Health | None:
        """Take in a look, (H, W) uint8; the camera's health where that is another now.

        `now_s` is on a clock that rises, `media_s` the stream's own time within its epoch.
        """
        black = is_black(grey)
        stands = self._repeats.update(grey, now_s) or self._media_stands(now_s, media_s)
        seen = Obstruction() if black else self._obstruction.update(grey, now_s)
        signs = {"black": black, "frozen": stands}
        covered = seen.is_covered and not self._structure.stands_in(grey)  # in another light, as infrared's
        signs |= {"covered": covered, "defocused": seen.is_defocused}
        if not any(signs.values()):
            self._watch_view(grey, now_s, seen.other_view)
        signs["moved"] = self._votes >= MIN_VOTES
        began = {"frozen": self._repeats.since_s if self._repeats.frozen else now_s, "moved": self._voted_s}
        for state, latch in self._latches.items():
            latch.update(signs[state], now_s, began.get(state, now_s))
        return self._changed(now_s)

    def _changed(self, now_s: float) -> Health | None:
        before = self.health
        state = next((s for s in FAULTS if s not in self._ignore and self._latches[s].on), "ok")
        if state == before.state:
            return None
        since_s = self._latches[state].since_s if state != "ok" else self._latches[before.state].since_s
        self.health = Health(state, min(since_s, now_s), self._detail(state))  # type: ignore[arg-type]
        return self.health

    def _detail(self, state: str) -> str:
        if state == "moved" and self.displacement is not None and self.displacement.sure:
            return f"{DETAILS[state]} ({self.displacement})"
        return DETAILS[state]

    def _media_stands(self, now_s: float, media_s: float) -> bool:
        self._media.append((now_s, media_s))
        while now_s - self._media[1 if len(self._media) > 1 else 0][0] >= STANDING_MEDIA_S:
            self._media.pop(0)
        passed_s = now_s - self._media[0][0]
        return passed_s >= STANDING_MEDIA_S and media_s - self._media[0][1] < MAX_STANDING_MEDIA * passed_s

    def _watch_view(self, grey: Image, now_s: float, other_view: bool) -> None:
        self._well += 1
        if "moved" in self._ignore or 0 < self._register_s - now_s <= REGISTER_EVERY_S:
            return
        if self.reference is None:
            if self._well >= REFERENCE_LOOKS:
                self._propose(View.of(grey))
            return
        self._registrations += 1
        self.displacement = register(self.reference, View.of(grey))
        self._judge_view(self.displacement, grey, other_view, now_s)
        soon = (
            self._registrations <= FIRST_REGISTRATIONS
            or 0 < self._votes < MIN_VOTES
            or self._lost_s is not None
        )
        self._register_s = now_s + (REGISTER_SOON_S if soon else REGISTER_EVERY_S)

    def _propose(self, view: View) -> None:
        """A view is a reference once it is found again where it was."""
        again = None if self._candidate is None else register(self._candidate, view)
        if again is not None and again.stands:
            self.reference = self._candidate
        self._candidate = view

    def _judge_view(self, found: Displacement | None, grey: Image, other_view: bool, now_s: float) -> None:
        """Where a registration says nothing for sure, what was said before holds. What it says of a picture
        in another light may be chance: where edges lie where they lay, the view stands."""
        lost_s, self._lost_s = self._lost_s, None
        if found is not None and found.stands:
            self._votes = 0
            self._usual += (0.1 if self._usual else 1.0) * (found.agreeing - self._usual)
            self._structure.learn(grey)
        elif self._is_elsewhere(found) or other_view:
            if self._structure.stands_in(grey):
                self._votes = 0
            else:
                self._judge_other(found, lost_s, now_s)
        elif found is not None and found.sure:
            self._vote(now_s, False)

    def _is_elsewhere(self, found: Displacement | None) -> bool:
        limit = BACK if self._votes >= MIN_VOTES else MOVED
        return found is not None and found.sure and found.moved > limit

    def _judge_other(self, found: Displacement | None, lost_s: float | None, now_s: float) -> None:
        """Of a picture in which nothing says that the view stands."""
        if found is not None and found.sure:
            self._vote(now_s, self._is_elsewhere(found))
        elif self._usual >= MIN_USUAL:
            self._lost_s = now_s if lost_s is None else lost_s
            if now_s - self._lost_s >= LOST_S:
                self._voted_s = self._voted_s if self._votes else self._lost_s
                self._votes = MIN_VOTES

    def _vote(self, now_s: float, elsewhere: bool) -> None:
        self._voted_s = self._voted_s if self._votes else now_s
        self._votes = min(self._votes + 1, MIN_VOTES) if elsewhere else 0


def is_black(grey: Image) -> bool:
    """Whether a picture is dark and shows nothing: a lamp, or a headlight at night, is something."""
    return int(grey.max()) <= MAX_BLACK and float(grey.std()) < MAX_BLACK_DEVIATION


def small_grey(image: Image) -> Image:
    """What look() takes, of a picture (H, W, 3) BGR or (H, W), uint8 and not smaller."""
    height, width = image.shape[:2]
    size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return np.ascontiguousarray(grey)
