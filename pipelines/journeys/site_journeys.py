"""Who comes to a camera, compared with who left the others: one to one, and told where it is sure alone.

Who comes is decided upon some seconds after he is known well enough: until then others may come who look like
him, and he who was thought gone may be seen again. Who is still there at another camera, who came back
to the same one, and who else came meanwhile, all stand against a journey where they look as much like it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.events import JOURNEY
from pipelines.journeys.certainty import Comparison, log_likelihood_ratio, probability
from pipelines.journeys.person import Person, good_boxes
from pipelines.journeys.spec import JourneySpec
from pipelines.journeys.transit_times import TransitTimes
from pipelines.journeys.usual_looks import Unusual, UsualLooks
from pipelines.track.association import detection_index
from pipelines.values import Event, FrameResult, Labels, Stamp

Key = tuple[str, int, int]  # camera, epoch, track id

SETTLE_NS = 3_000_000_000  # after a camera's first frame, or a pause: who is there may have been there before
PAUSE_NS = 2_000_000_000
DECIDE_NS = 15_000_000_000  # after somebody is known: by then he was seen all through the view, mostly
LIKELY = 0.5  # from here on two tracks do not stand against each other as two who look alike
VEHICLE = "vehicle"  # the group of them
MAX_PEOPLE = 500  # of all cameras; the oldest are forgotten first
NS = 1_000_000_000


@dataclass(slots=True)
class _Watch:
    """Since when a camera is watched without a pause."""

    epoch: int
    since_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Who came, and the best of those who could be the same; for who judges the numbers."""

    came: Person
    left: Person
    found: Comparison
    possible: bool  # left another camera, in time, by a way that there is


class SiteJourneys:
    """The journeys among a site's cameras. Times are `received_mono_ns` of frames; none is read here."""

    def __init__(self, spec: JourneySpec) -> None:
        self.spec = spec
        self._people: dict[Key, Person] = {}
        self._chains = itertools.count()
        self._watches: dict[str, _Watch] = {}
        self._usual = UsualLooks()
        self._times = TransitTimes()

    def __len__(self) -> int:
        """How many looks are kept."""
        return len(self._people)

    def frame(self, result: FrameResult, labels: Labels) -> list[Event]:
        """One camera's frame; the journeys that are sure now, as events of that camera."""
        stamp = result.stamp
        if stamp.camera not in self.spec.cameras:
            return []
        self._follow(result, labels, self._watch(stamp))
        self.forget(stamp.received_mono_ns)
        return [self._event(stamp, found, sure) for found, sure in self._sure(stamp)]

    def forget(self, now_ns: int) -> None:
        """Let go who was last seen longer ago than is asked for."""
        before_ns = now_ns - round(self.spec.within_s * NS)
        for key in [k for k, p in self._people.items() if p.last.received_mono_ns < before_ns]:
            del self._people[key]
        for key in list(self._people)[: max(0, len(self._people) - MAX_PEOPLE)]:
            del self._people[key]

    def forget_camera(self, camera: str) -> None:
        """It goes, or is another one now."""
        self._watches.pop(camera, None)
        self._usual.forget(camera)
        self._times.forget(camera)
        for key in [key for key in self._people if key[0] == camera]:
            del self._people[key]

    # ---- who is there

    def _watch(self, stamp: Stamp) -> bool:
        """Whether who is new in this frame has come just now."""
        now_ns, watch = stamp.received_mono_ns, self._watches.get(stamp.camera)
        if watch is None or watch.epoch != stamp.epoch or now_ns - watch.last_ns > PAUSE_NS:
            watch = self._watches[stamp.camera] = _Watch(stamp.epoch, now_ns, now_ns)
        watch.last_ns = now_ns
        return now_ns - watch.since_ns > SETTLE_NS

    def _follow(self, result: FrameResult, labels: Labels, settled: bool) -> None:
        tracks, stamp = result.tracks, result.stamp
        good, rows = good_boxes(result), detection_index(tracks, result.detections)
        for track_id, class_id, row in zip(
            tracks.track_ids.tolist(), tracks.class_ids.tolist(), rows.tolist(), strict=True
        ):
            group = labels.groups[class_id]
            if row < 0:
                continue
            key = (stamp.camera, stamp.epoch, track_id)
            person = self._people.pop(key, None)
            if person is None:
                person = Person(group, "", track_id, stamp, stamp, settled, chain=next(self._chains))
            self._people[key] = person  # at the end: the last that were seen
            person.last, person.group, person.class_name = stamp, group, labels.names[class_id]
            if good[row] and result.looks is not None:
                person.see(result.looks[row], stamp.received_mono_ns)

    # ---- who was where before

    def _sure(self, stamp: Stamp) -> Iterator[tuple[Decision, float]]:
        for found in self.decide(stamp):
            sure = probability(found.found)
            if sure >= LIKELY:
                found.came.chain = found.left.chain
            if sure < self.spec.min_probability:
                continue
            self._people.pop(_key(found.left), None)  # gone on; or come back, and the same as before
            seconds = seconds_between(found.left, found.came)
            ends = found.left.last.camera, found.came.last.camera
            if found.possible and self._times.usual(*ends, seconds):
                yield found, sure
            if found.possible:
                self._times.learn(*ends, seconds)

    def decide(self, stamp: Stamp) -> Iterator[Decision]:
        """Those of this camera whose time has come, each with who looks most like them."""
        for person in list(self._people.values()):
            waited_ns = stamp.received_mono_ns - person.known_ns
            if person.last.camera != stamp.camera or person.decided or not person.known:
                continue
            if waited_ns >= DECIDE_NS:
                person.decided = True
                self._usual.learn(person.last.camera, person.group, person.mean())
                if person.arrives and (found := self._best(person)) is not None:
                    yield found

    def _best(self, came: Person) -> Decision | None:
        """Who of those before looks most like `came`, in the last track of his; None: there was nobody."""
        look = self._unusual(came)
        if look is None:
            return None
        before = self._alike(look, [p for p in self._people.values() if _may_be(p, came)])
        if not before:
            return None
        best, likest = max(before, key=lambda pair: pair[0])
        _, left = max((pair for pair in before if pair[1].chain == likest.chain), key=_last_seen)
        others = [ratio for ratio, p in before if p.chain != left.chain]
        its_look = self._unusual(left)
        if its_look is not None:
            after = [p for p in self._people.values() if p is not came and _came_after(left, p)]
            rivals = [p for p in after if p.chain != left.chain or not _may_be(p, came)]
            others += [ratio for ratio, _ in self._alike(its_look, rivals)]
        found = Comparison(best, tuple(others), left.group == VEHICLE)
        return Decision(came, left, found, self._possible(left, came))

    def _alike(self, look: Unusual, people: list[Person]) -> list[tuple[float, Person]]:
        """How alike to a look those are whose own is known, as log-likelihood ratios."""
        return [(log_likelihood_ratio(v, look), p) for p in people if (v := self._unusual(p)) is not None]

    def _unusual(self, person: Person) -> Unusual | None:
        if not person.known:
            return None
        return self._usual.unusual(person.last.camera, person.group, person.mean())

    def _possible(self, left: Person, came: Person) -> bool:
        span = self.spec.span(left.last.camera, came.last.camera)
        elsewhere = left.last.camera != came.last.camera
        return elsewhere and span is not None and span[0] <= seconds_between(left, came) <= span[1]

    def _event(self, stamp: Stamp, found: Decision, sure: float) -> Event:
        left, came = found.left, found.came
        data = {
            "from_camera": left.last.camera,
            "from_epoch": left.last.epoch,
            "from_track_id": left.track_id,
            "class": came.class_name,
            "group": came.group,
            "track_id": came.track_id,
            "left_captured_ns": left.last.captured_ns,
            "came_captured_ns": came.first.captured_ns,
            "between_s": round(seconds_between(left, came), 3),
            "probability": round(sure, 4),
        }
        return Event(JOURNEY, stamp, str(came.track_id), data)


def seconds_between(left: Person, came: Person) -> float:
    """From when one was last seen to when the other was first; below 0: both were seen at once."""
    return (came.first.received_mono_ns - left.last.received_mono_ns) / NS


def _may_be(left: Person, came: Person) -> bool:
    """Whether the two could be one: of a kind, and not seen side by side by one camera."""
    if left is came or left.group != came.group or left.total.shape != came.total.shape:
        return False
    return left.last.camera != came.last.camera or seconds_between(left, came) >= 0


def _came_after(left: Person, came: Person) -> bool:
    return seconds_between(left, came) >= 0 and _may_be(left, came)


def _last_seen(found: tuple[float, Person]) -> int:
    return found[1].last.received_mono_ns


def _key(person: Person) -> Key:
    return person.last.camera, person.last.epoch, person.track_id
