"""What all alerts of a camera look at: who is in which zone, how the camera is, and the time that has passed.

Seconds count the stream's own time while frames come, and the monotonic clock's while none do, since a camera
that is offline has no other; they go on over epochs and restarts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pipelines.events import TRACK_ENDED, ZONE_ENTERED, ZONE_EXITED
from pipelines.scene.health import BLIND_STATES
from pipelines.values import Event, Stamp

MAX_STAYS = 8  # of a visit that are kept: breaks between them
KEPT_S = 60.0  # a visit that has ended is known for so long, or for the longest debounce
Anchor = tuple[int, int, int, float]  # epoch, media_ns, mono_ns, seconds


@dataclass(slots=True)
class Visit:
    """A track in a zone. `stays`: (break before it, begin) in seconds; `seqs` are of what told of it."""

    track_id: int
    epoch: int
    class_name: str
    group: str
    seq: int
    stays: list[tuple[float, float]]
    seen_s: float
    left_s: float | None = None

    def since_s(self, debounce_s: float) -> float:
        """Since when it has been there without a break longer than that."""
        return next((s for gap, s in reversed(self.stays) if gap > debounce_s), self.stays[0][1])


@dataclass(slots=True)
class CameraState:
    """Of one of the camera's faults: whether it is so, since when, and which event told."""

    holds: bool = False
    since_s: float = 0.0
    seq: int = 0


@dataclass(slots=True)
class CameraView:
    """One camera, kept up to date by whoever gives it events, frames and states."""

    now_s: float = 0.0
    captured_ns: int = 0  # the wall clock at `now_s`
    inside: dict[str, dict[int, Visit]] = field(default_factory=dict)
    faults: dict[str, CameraState] = field(
        default_factory=lambda: {"blind": CameraState(), "offline": CameraState()}
    )
    kept_s: float = KEPT_S
    _anchor: Anchor | None = None

    # ---- time

    def frame(self, stamp: Stamp, seen: Collection[int]) -> None:
        """A frame, with the ids of the tracks that were seen in it."""
        self.now_s = max(self.now_s, self._at(stamp))
        self.captured_ns = stamp.captured_ns
        self._anchor = (stamp.epoch, stamp.media_ns, stamp.received_mono_ns, self.now_s)
        for visits in self.inside.values():
            for track_id in list(visits):
                self._look(visits, track_id, stamp.epoch, seen)

    def _at(self, stamp: Stamp) -> float:
        if self._anchor is None:
            return self.now_s
        epoch, media_ns, mono_ns, at_s = self._anchor
        if epoch == stamp.epoch and stamp.media_ns >= media_ns:
            return at_s + (stamp.media_ns - media_ns) / 1e9
        return at_s + max(0, stamp.received_mono_ns - mono_ns) / 1e9

    def _look(self, visits: dict[int, Visit], track_id: int, epoch: int, seen: Collection[int]) -> None:
        visit = visits[track_id]
        if visit.epoch != epoch or (visit.left_s is not None and self.now_s - visit.left_s > self.kept_s):
            del visits[track_id]
        elif track_id in seen and visit.left_s is None:
            visit.seen_s = self.now_s

    def quiet_for(self, mono_ns: int) -> float:
        """Seconds since the last frame, or the last tick in place of one; 0 before the first."""
        return 0.0 if self._anchor is None else (mono_ns - self._anchor[2]) / 1e9

    def tick(self, captured_ns: int, mono_ns: int) -> None:
        """Time that passes without frames."""
        if self._anchor is None:
            self._anchor = (-1, 0, mono_ns, self.now_s)
        self.now_s = max(self.now_s, self._anchor[3] + max(0, mono_ns - self._anchor[2]) / 1e9)
        self.captured_ns = captured_ns

    def wall_ns(self, at_s: float) -> int:
        """The wall clock at a moment that has passed."""
        return self.captured_ns - round((self.now_s - at_s) * 1e9)

    # ---- what is told

    def hear(self, event: Event, seq: int) -> None:
        """An event of this camera and its number."""
        data = event.data
        if event.type == ZONE_ENTERED:
            self._entered(event, seq)
        elif event.type == ZONE_EXITED:
            visit = self.inside.get(event.subject, {}).get(data["track_id"])
            if visit is not None:
                visit.left_s = self.moment(event.stamp, data["changed_media_ns"])
        elif event.type == TRACK_ENDED:
            for visits in self.inside.values():
                visits.pop(data["track_id"], None)

    def moment(self, stamp: Stamp, media_ns: int) -> float:
        """A moment of the stream's time, as `stamp` has it, in seconds of this view."""
        return self.now_s - max(0, stamp.media_ns - media_ns) / 1e9

    def _entered(self, event: Event, seq: int) -> None:
        data, epoch = event.data, event.stamp.epoch
        at_s = self.moment(event.stamp, data["changed_media_ns"])
        visits = self.inside.setdefault(event.subject, {})
        before = visits.get(data["track_id"])
        if before is not None and before.epoch == epoch and before.left_s is not None:
            before.stays = [*before.stays, (at_s - before.left_s, at_s)][-MAX_STAYS:]
            before.left_s, before.seen_s = None, at_s
            return
        visits[data["track_id"]] = Visit(
            data["track_id"], epoch, data["class"], data["group"], seq, [(float("inf"), at_s)], at_s
        )

    def source_state(self, state: str, health: str) -> None:
        """How the camera is, as its capture worker says."""
        for name, holds in (("blind", health in BLIND_STATES), ("offline", state != "live")):
            fault = self.faults[name]
            if holds != fault.holds:
                self.faults[name] = CameraState(holds, self.now_s, 0)

    def state_told(self, seq: int) -> None:
        """The number of the event that told of the state."""
        for fault in self.faults.values():
            fault.seq = fault.seq or seq

    def forget_tracks(self, zones: Collection[str] | None = None) -> None:
        """Nobody is known to be in these zones (None: any)."""
        for name in list(self.inside) if zones is None else zones:
            self.inside.pop(name, None)

    def rename_zone(self, old: str, new: str) -> None:
        """Who is in it stays there."""
        if old in self.inside:
            self.inside[new] = self.inside.pop(old)

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        visits = {
            zone: [
                [v.track_id, v.epoch, v.class_name, v.group, v.seq, v.stays, v.seen_s, v.left_s]
                for v in there.values()
            ]
            for zone, there in self.inside.items()
        }
        faults = {name: [f.holds, f.since_s, f.seq] for name, f in self.faults.items()}
        anchor = None if self._anchor is None else list(self._anchor)
        return {"now_s": self.now_s, "anchor": anchor, "inside": visits, "faults": faults}

    def restore(self, saved: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what is not from save()."""
        self.now_s = float(saved["now_s"])
        anchor = saved["anchor"]
        self._anchor = None if anchor is None else (*map(int, anchor[:3]), float(anchor[3]))  # type: ignore[assignment]
        self.faults |= {name: CameraState(*fault) for name, fault in saved["faults"].items()}
        self.inside = {}
        for zone, there in saved["inside"].items():
            visits = map(_visit, there)
            self.inside[zone] = {visit.track_id: visit for visit in visits}


def _visit(saved: list[Any]) -> Visit:
    track_id, epoch, class_name, group, seq, stays, seen_s, left_s = saved
    return Visit(track_id, epoch, class_name, group, seq, [(gap, at) for gap, at in stays], seen_s, left_s)
