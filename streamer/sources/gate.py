"""When a camera in front of which nothing moves may rest, and when it must be looked at again.

A ladder of three. "full": all frames are decoded and offered to inference. "pictures": all are decoded, and a
small grey picture a few times a second says whether to look; spares inference. "packets": key frames alone
are decoded, and the sizes of the packets between them tell; spares the decoder as well. Inference is the
judge: a camera goes down only while it says that it follows nothing, and what pictures and sizes of such a
time are like is how they are learnt. It goes as far as "packets" once sizes have told of what came, time
after time, or key frames have: who was seen in three of them would be seen in one wherever they fall.

Where all that is followed has stood still for long (parked cars) a frame is offered now and then: the tracks,
and what is told of standing ones, go on. At "packets" these are key frames, which have to be near enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from pipelines.scene.stillness import MARGIN, PacketSizes, PictureChange
from pipelines.values import Image
from streamer.sources.kept_evidence import Evidence
from streamer.sources.kept_packets import MAX_GROUP_S

Level = Literal["full", "pictures", "packets"]
Reason = Literal["", "time", "picture", "sizes", "inference"]  # of a wake; "": the view is another

LOOK_EVERY_S = 0.2
LOOK_WIDTH = 160  # of the picture that is compared
BEFORE_NS = 600_000_000  # looked at from before the first sign that something moves
QUIET_S = 2.0  # for so long nothing was followed before a camera rests
CALM_S = 1.0  # and for so long no picture was changed
CHECK_S = 0.6  # so long a camera that was woken by time alone is looked at, at least
MAX_REST_S = 60.0  # a camera is looked at again after that, whatever pictures and sizes say
HEARD_S = 3.0  # what inference said is believed for so long
MIN_HEARD = 3  # and so often it must have said it since the camera woke
TELLS_S = 2.0  # sizes have told of what came if they did so at most this long before it was followed
MIN_EVIDENCE, MAX_EVIDENCE = 3, 20  # comings, by which sizes are judged
TRUSTED = 0.95  # share of them that they must have told of
MIN_KEY_EVIDENCE = (
    5  # by which key frames are judged: nobody tells whom they let pass while they alone are seen
)
MIN_KEYS = 3  # that must have shown a visit: it was twice as long as one that could fall between two
MAX_KEY_S = 1.6  # between key frames, where something stands: a track ends that is not seen for two seconds
KEY_GAPS = 5  # that are remembered
KEYS_EVERY_S = 3.0  # so often a key frame is looked at, where sizes tell who comes and nothing stands
GLANCE_S = 0.8  # how often a frame is offered of what stands still; less than makes a gap in the coverage


class _Heard(NamedTuple):
    """What inference said last, when, and how often since the camera woke."""

    quiet: bool
    still: bool
    at_s: float
    times: int


NOTHING_HEARD = _Heard(False, False, -HEARD_S, 0)


class Gate:
    """Of one opening of a camera; times are monotonic seconds. heard() may be called by another thread."""

    def __init__(self, learnt: Evidence | None = None, max_rest_s: float = MAX_REST_S) -> None:
        learnt = learnt or Evidence()
        self.level: Level = "full"
        self.woken_by: Reason = ""
        self._max_rest_s = max_rest_s
        self._sizes, self._pictures = PacketSizes(learnt.margin or MARGIN), PictureChange()
        self._heard = NOTHING_HEARD
        self._offered_s = float("-inf")
        self._since_s = self._looked_s = self._changed_s = self._unusual_s = float("-inf")
        self._quiet_since_s: float | None = None
        self._came_s: float | None = None  # who is followed now, if it was quiet before
        self._key_s: float | None = None  # when the last one came
        self._key_gaps_s: deque[float] = deque(maxlen=KEY_GAPS)
        self._key_changed_s: deque[float] = deque(maxlen=MIN_KEYS)
        self._evidence: deque[bool] = deque(learnt.told, maxlen=MAX_EVIDENCE)
        self._key_evidence: deque[bool] = deque(learnt.keys, maxlen=MAX_EVIDENCE)
        self._refuses_packets = False  # its key frames are too far apart, or it decodes all there is

    # ---- what inference says

    def heard(self, quiet: bool, now_s: float, still: bool = False) -> None:
        """Whether inference follows nothing in the frames that it has had, or only what stands `still`."""
        self._heard = _Heard(quiet, still, now_s, self._heard.times + 1)

    # ---- what the camera's thread sees

    def wants_picture(self, now_s: float, key: bool = False) -> bool:
        """Whether it looks at this frame; at every `key` frame."""
        return key or now_s - self._looked_s >= LOOK_EVERY_S

    def frame(self, now_s: float, sizes: Sequence[int], grey: Image | None, key: bool = False) -> None:
        """A decoded frame: `sizes` of the packets since the one before, and a small picture where wanted."""
        self._saw(now_s, sizes, grey, key)
        if self.level == "full":
            self._judge(now_s)
            if self._may_rest(now_s):
                self._go(self._lowest(), now_s)
        elif self._changed_s == now_s:
            self._wake("picture", now_s)
        elif self._hears_of_somebody:
            self._wake("inference", now_s)
        elif now_s - self._since_s > self._max_rest_s:
            self._wake("time", now_s)
        else:
            self._rest_on(now_s)
            self._go(self._lowest(), now_s)

    def offers(self, now_s: float) -> bool:
        """Whether the frame that was given last goes to inference."""
        glance = self._heard.still and not self._heard.quiet and now_s - self._offered_s >= GLANCE_S
        if self.level != "full" and not glance:
            return False
        self._offered_s = now_s
        return True

    def packet(self, now_s: float, size: int, grey: Image | None, too_long: bool) -> int:
        """A packet at the level "packets". Returns how many groups from a key frame on must be decoded now:
        1 or 2 where it wakes, else 0. `size` is 0 of a key frame, and `grey` of one that is looked at."""
        unusual = self._saw(now_s, (size,) if size else (), grey, key=not size)
        self._refuses_packets |= too_long
        if unusual and self.trusts_sizes:
            return self._wake("sizes", now_s)
        if self._changed_s == now_s:
            return 1 + self._wake("picture", now_s)
        if self._hears_of_somebody:
            return self._wake("inference", now_s)
        if too_long or self._overdue(now_s, grey is not None) or (self._stands and not self._keys_are_near):
            return self._wake("time", now_s)
        self._rest_on(now_s)
        return 0

    def restart(self, now_s: float) -> None:
        """The view jumps, as where a file begins again: what pictures are like is learnt anew."""
        self._pictures = PictureChange()
        self._sizes.forget_new()
        self._came_s = self._key_s = None
        self._wake("", now_s)

    @property
    def keys_every_s(self) -> float:
        """How often a key frame is looked at in the rest that begins now; 0: each."""
        return KEYS_EVERY_S if self.trusts_sizes and not self._stands else 0.0

    def refuse_packets(self) -> None:
        """The source decodes all there is."""
        self._refuses_packets = True
        if self.level == "packets":
            self.level = "pictures"

    @property
    def trusts_sizes(self) -> bool:
        return _trusted(self._evidence, MIN_EVIDENCE)

    @property
    def trusts_keys(self) -> bool:
        """Whether key frames alone have shown who came."""
        return _trusted(self._key_evidence, MIN_KEY_EVIDENCE)

    @property
    def evidence(self) -> Evidence:
        """What is worth keeping for the camera's next opening."""
        return Evidence(tuple(self._evidence), self._sizes.margin, tuple(self._key_evidence))

    @property
    def why(self) -> str:
        """Why it is not at "packets" while nothing moves; "": nothing speaks against that."""
        if self._refuses_packets:
            return "its key frames are too far apart, or it decodes all there is"
        if self.trusts_sizes or self.trusts_keys:
            if self._stands and not self._keys_are_near:
                return f"what is followed stands still: that needs a key frame every {MAX_KEY_S:g} s"
            return ""
        sizes, keys = self._evidence, self._key_evidence
        return (
            f"of those who came packets' sizes told {sum(sizes)} of {len(sizes)}, and key frames alone "
            f"{sum(keys)} of {len(keys)}; {MIN_EVIDENCE} or {MIN_KEY_EVIDENCE} must be told, and nearly all"
        )

    # ---- inside

    def _overdue(self, now_s: float, key: bool) -> bool:
        """Whether it has rested for too long: at a key frame, from which on little has to be decoded again,
        or without one a little later."""
        return now_s - self._since_s > self._max_rest_s + (0 if key else MAX_GROUP_S)

    def _saw(self, now_s: float, sizes: Sequence[int], grey: Image | None, key: bool) -> bool:
        if key:
            if self._key_s is not None:
                self._key_gaps_s.append(now_s - self._key_s)
            self._key_s = now_s
        unusual = [self._sizes.add(size, now_s) for size in sizes]
        if any(unusual):
            self._unusual_s = now_s
        if grey is not None:
            self._looked_s = now_s
            if self._pictures.add(grey):
                self._changed_s = now_s
                if key:
                    self._key_changed_s.append(now_s)
        return any(unusual)

    @property
    def _stands(self) -> bool:
        return self._heard.still and not self._heard.quiet

    @property
    def _hears_of_somebody(self) -> bool:
        """Of a camera that rests: in the last frames that inference had there was somebody after all."""
        heard = self._heard
        return not (heard.quiet or heard.still) and heard.at_s > self._since_s

    def _judge(self, now_s: float) -> None:
        """By what inference has said last."""
        heard = self._heard
        if heard.times < MIN_HEARD or now_s - heard.at_s > HEARD_S:
            return
        if not (heard.quiet or heard.still):
            if self._quiet_since_s is not None or self.woken_by:
                self._somebody_came(now_s)
            self._quiet_since_s, self.woken_by = None, ""
            self._sizes.forget_new()
            return
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s
            self._gone()
        if now_s - self._quiet_since_s > CALM_S:
            self._rest_on(now_s)

    def _somebody_came(self, now_s: float) -> None:
        told = now_s - self._unusual_s < TELLS_S
        if self._sizes.knows:
            self._evidence.append(told)
        if told:
            self._sizes.found_something()
        self._came_s = now_s if self._pictures.knows else None

    def _gone(self) -> None:
        """Nothing is followed any more of what came: would key frames alone have shown it? They are not
        judged by what no picture has shown, as a detection that flickers."""
        came_s, self._came_s = self._came_s, None
        if came_s is not None and self._changed_s >= came_s - TELLS_S:
            shown = sum(at_s >= came_s - TELLS_S for at_s in self._key_changed_s)
            self._key_evidence.append(shown >= MIN_KEYS)

    def _rest_on(self, now_s: float) -> None:
        """What was seen last is how quiet looks here."""
        self._pictures.confirm_quiet()
        self._sizes.confirm_quiet(now_s)

    def _may_rest(self, now_s: float) -> bool:
        if self._quiet_since_s is None or not self._pictures.knows:
            return False
        least_s = CHECK_S if self.woken_by == "time" else QUIET_S
        quiet_s = now_s - max(self._quiet_since_s, self._since_s)
        return quiet_s >= least_s and now_s - max(self._changed_s, self._unusual_s) >= min(least_s, CALM_S)

    def _lowest(self) -> Level:
        trusted = self.trusts_sizes or self.trusts_keys
        if not trusted or self._refuses_packets or (self._stands and not self._keys_are_near):
            return "pictures"
        return "packets"

    @property
    def _keys_are_near(self) -> bool:
        """Near enough for what stands to be followed by them alone."""
        gaps_s = self._key_gaps_s
        return len(gaps_s) == KEY_GAPS and max(gaps_s) <= MAX_KEY_S

    def _wake(self, by: Reason, now_s: float) -> int:
        self.woken_by = by
        self._heard = NOTHING_HEARD
        self._quiet_since_s = None
        self._go("full", now_s)
        return 1

    def _go(self, level: Level, now_s: float) -> None:
        if level == self.level:
            return
        if self.level == "full" and self.woken_by == "sizes":  # and nobody came
            self._sizes.found_nothing()
        if "full" in (level, self.level):
            self._since_s = now_s
        self.level = level
        self.woken_by = self.woken_by if level == "full" else ""


def _trusted(evidence: Collection[bool], least: int) -> bool:
    return len(evidence) >= least and sum(evidence) >= TRUSTED * len(evidence)
