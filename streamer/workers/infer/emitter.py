"""From what a pipeline says to what the delivery worker gets: events, states, closed buckets, checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipelines.values import Event, FrameResult, Stamp
from streamer.events.cloudevents import CAMERA_STATE, CLIP, COUNT_CORRECTED, COUNTS
from streamer.ipc.camera_term import CameraTerm, is_of, stamp_of
from streamer.ipc.clip_messages import ClipWanted
from streamer.ipc.counters import FrameCounters
from streamer.ipc.latency import AGE, INFERENCE
from streamer.ipc.messages import CameraResume, EventRecord, InferCamera, SourceState
from streamer.workers.infer.alerting import Alerting, Emitted, asks_for_clip, not_sent
from streamer.workers.infer.camera import CameraContext
from streamer.workers.infer.checkpoint_file import Checkpoints
from streamer.workers.infer.event_sequencer import EventSequencer
from streamer.workers.infer.scheduler import RunningBatch

log = logging.getLogger(__name__)

TERM_CHANGED = "term_changed"  # a flag of the buckets on both sides
MAX_CHECKPOINT_AGE_S = 30.0  # an older one says nothing about where things are now

# What a checkpoint that is not as it should be can lead to.
CHECKPOINT_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)


class Emitter:
    """`config_rev` goes into every event; set it with every new assignment."""

    def __init__(self, sequencer: EventSequencer, checkpoints: Checkpoints, counters: FrameCounters) -> None:
        self.config_rev = 0
        self._sequencer = sequencer
        self._checkpoints = checkpoints
        self._counters = counters
        self.alerting = Alerting(sequencer)
        self.want_clip: Callable[[ClipWanted], object] = lambda _wanted: None

    def emit(self, events: Sequence[Emitted], batch: RunningBatch | None = None) -> None:
        """Checkpoint, then hand over: what was sent is never counted again after a restart.

        `batch` is the batch that the events rest on, where they rest on frames.
        """
        if not events:
            return
        self._hand_over(events, [self._record(camera, event, batch) for camera, event in events])

    def _hand_over(self, events: Sequence[Emitted], records: Sequence[EventRecord]) -> None:
        for camera in {id(c): c for c, _ in events}.values():
            self.checkpoint(camera)
        if not self._sequencer.send(records):
            not_sent(events)
            for camera, _ in events:
                camera.coverage.add_flag("events_lost", time.time_ns())
            return
        for camera, event in events:
            if asks_for_clip(event):
                self.want_clip(ClipWanted(camera.name, event.data["raised_seq"], event.stamp.captured_ns))

    def frame_inferred(self, camera: CameraContext, result: FrameResult, inference_s: float) -> None:
        """Put a frame down in the counters and in the open bucket; `inference_s` took its batch."""
        self._save_next_ids(camera)
        age_ms = None if camera.was_kept(result.stamp) else _age_ms(result.stamp)
        ages = {} if age_ms is None else AGE.changes(age_ms / 1e3)
        camera.block.add(inferred=1, **ages, **INFERENCE.changes(inference_s))
        camera.inferred += 1
        camera.last_stamp, camera.last_tracks = result.stamp, result.tracks
        dropped = self._counters.dropped_busy(camera.config.row)
        camera.coverage.frame_inferred(result.stamp.captured_ns, age_ms, dropped)
        for event in result.events:
            camera.coverage.add_event(event)

    def _save_next_ids(self, camera: CameraContext) -> None:
        """Put down which track ids are spent, before any event with one leaves: see `continue_track_ids`."""
        if camera.pipeline is None:
            return
        epoch, next_id = camera.pipeline.spent_ids(camera.name)
        if epoch is None or (epoch, next_id) == camera.next_ids:
            return
        # A successor that finds the first word written and not the second skips a few ids, no more.
        camera.block.put(epoch=epoch, next_track_id=next_id)
        camera.next_ids = (epoch, next_id)

    def continue_track_ids(self, camera: CameraContext) -> None:
        """No track id twice in an epoch, whatever pipeline or process gave the last ones.

        The counters outlive this process and any pipeline, and are always as new as the last event; the
        checkpoint may be missing, old or damaged. With the daemon they end, and then every epoch does.
        """
        if camera.pipeline is not None and (next_id := camera.block.get("next_track_id")):
            camera.pipeline.spend_ids(camera.name, camera.block.get("epoch"), next_id)

    def emit_state(self, camera: CameraContext, state: SourceState) -> None:
        """The event of a camera's new state; it waits while the camera's sequence is not known."""
        if not self._sequencer.can_number(camera.name):
            camera.unsent_states.append(state)
            return
        at_ns = max(state.at_ns, state.health_since_ns)  # the later of the two changes is what is told
        stamp = Stamp(state.camera, state.epoch, -1, 0, at_ns, 0, "arrival")
        data: dict[str, Any] = {"state": state.state, "detail": state.detail}
        if state.width:
            data |= {"width": state.width, "height": state.height, "fps": state.fps, "codec": state.codec}
        if state.health:
            data["health"] = state.health
        if state.health_detail:
            data |= {"health_detail": state.health_detail, "health_since_ns": state.health_since_ns}
        self.alerting.state_told(camera)
        self.emit([(camera, Event(CAMERA_STATE, stamp, state.camera, data))])

    def correct(self, camera: CameraContext, data: dict[str, Any]) -> int:
        """A person's correction as the camera's next event; returns its number, 0 where it cannot be kept."""
        return self._tell(camera, COUNT_CORRECTED, str(data["line"]), data)

    def tell_clip(self, camera: CameraContext, data: dict[str, Any]) -> int:
        """That a clip is there, as the camera's next event; returns its number, 0 where it cannot be kept."""
        return self._tell(camera, CLIP, str(data["event"]), data)

    def _tell(self, camera: CameraContext, kind: str, subject: str, data: dict[str, Any]) -> int:
        """An event that rests on no frame; its number, 0 where it cannot be kept."""
        if not self._sequencer.can_number(camera.name):
            return 0
        epoch = camera.last_stamp.epoch if camera.last_stamp else 0
        event = Event(kind, Stamp(camera.name, epoch, -1, 0, time.time_ns(), 0, "arrival"), subject, data)
        if not self._sequencer.send([self._record(camera, event, None)]):
            return 0
        return self._sequencer.last_number(camera.name)

    def set_occupancy(self, camera: CameraContext, name: str, count: int, told: dict[str, Any]) -> int:
        """A person's setting of an occupancy as the camera's next event; returns its number, 0 where there is
        no such rule or the event cannot be kept."""
        if camera.pipeline is None or not self._sequencer.can_number(camera.name):
            return 0
        epoch, media_ns = (x.epoch, x.media_ns) if (x := camera.last_stamp) else (0, 0)
        stamp = Stamp(camera.name, epoch, -1, media_ns, time.time_ns(), 0, "arrival")
        events = camera.pipeline.set_occupancy(stamp, name, count, told)
        if not events or not self._sequencer.send([self._record(camera, e, None) for e in events]):
            return 0
        self.checkpoint(camera)  # what was set outlives this process
        return self._sequencer.last_number(camera.name)

    def resume(self, camera: CameraContext, position: CameraResume) -> None:
        """The ledger has said where the camera stands: go on from there.

        The times of a predecessor come first, which need no pipeline: they would wipe out what is counted.
        """
        self._restore_coverage(camera)
        self.alerting.resume(camera, position)
        camera.coverage.begin_after(position.bucket_start_ns)
        for event in position.bucket_events:
            if is_of(camera.term, event.data):
                camera.coverage.restore_event(event.type, event.subject, event.data, event.captured_ns)
            else:  # of a term that is over: it counts, in none of our buckets
                camera.coverage.add_flag(TERM_CHANGED, time.time_ns())
        self.take_term(camera)
        while camera.unsent_states:
            self.emit_state(camera, camera.unsent_states.popleft())

    def close_buckets(self, camera: CameraContext, stopping: bool = False) -> None:
        """Send the buckets that are over; when stopping also the open one, marked."""
        if not self._sequencer.can_number(camera.name):
            return
        balance = self._counters.balance(camera.config.row)
        epoch = camera.last_stamp.epoch if camera.last_stamp else 0
        events: list[Emitted] = []
        for end_ns, data in camera.coverage.close_due(time.time_ns(), balance, stopping):
            if stopping:
                data["flags"] = data["marks"] = [*data["flags"], "stopped"]
            stamp = Stamp(camera.name, epoch, -1, 0, end_ns, 0, "arrival")
            events.append((camera, Event(COUNTS, stamp, camera.name, data)))
        self.emit(events)

    def take_term(self, camera: CameraContext) -> None:
        """Go on in the term that the camera's configuration has. A bucket belongs to one term: the open one
        ends here, and what is followed goes on."""
        term = camera.config.term
        if term == camera.term or not self._sequencer.can_number(camera.name):
            return  # resume() takes it: then what a predecessor left open is told in its own term
        now_ns, balance = time.time_ns(), self._counters.balance(camera.config.row)
        camera.coverage.add_flag(TERM_CHANGED, now_ns)
        epoch = camera.last_stamp.epoch if camera.last_stamp else 0
        closed = camera.coverage.cut(now_ns, balance)
        stamps = [Stamp(camera.name, epoch, -1, 0, end_ns, 0, "arrival") for end_ns, _ in closed]
        told = [Event(COUNTS, s, camera.name, data) for s, (_, data) in zip(stamps, closed, strict=True)]
        records = [self._record(camera, event, None) for event in told]
        camera.term = term
        camera.coverage.add_flag(TERM_CHANGED, now_ns)
        self._hand_over([(camera, event) for event in told], records)

    # ---- checkpoints

    def checkpoint(self, camera: CameraContext) -> None:
        """Raises nothing: without room for it a restart costs the tracks, and a warning says so."""
        if camera.pipeline is None:
            return
        camera.checkpointed_s = time.monotonic()
        state = {
            "at_s": camera.checkpointed_s,
            "spec": camera.pipeline_spec,
            "state": list(camera.last_state),
            "pipeline": camera.pipeline.save(camera.name),
            "coverage": camera.coverage.save(),
            "alerts": camera.alerts.save(),
            "term": camera.term,
        }
        try:
            self._checkpoints.write(camera.name, state)
        except OSError as error:
            why = f"its checkpoint cannot be written ({error.strerror}): a restart would cost its tracks"
            camera.warn("checkpoint", f"{why}; make room in shared memory")
        else:
            camera.warn("checkpoint", "")

    def last_state(self, camera: str) -> tuple[str, int]:
        """The camera's state that a predecessor has told already, and since when it holds."""
        saved = self._checkpoints.read(camera) or {}
        try:
            return str(saved["state"][0]), int(saved["state"][1])
        except (KeyError, TypeError, ValueError, IndexError):
            return "", 0

    def last_term(self, camera: InferCamera) -> CameraTerm | None:
        """The term in which a predecessor left the camera, whose bucket may be open; else that of now."""
        saved = self._checkpoints.read(camera.name) or {}
        try:
            if _is_fresh(saved):
                return msgspec.convert(saved["term"], CameraTerm | None)
        except (*CHECKPOINT_ERRORS, msgspec.ValidationError):
            pass  # there is none, or restoring it says what is wrong with it
        return camera.term

    def restore_checkpoint(self, camera: CameraContext) -> bool:
        """Go on with the tracks of a predecessor's checkpoint. False: its pipeline must be opened anew."""
        saved = self._checkpoints.read(camera.name)
        if saved is None or camera.pipeline is None:
            return True
        try:
            if saved["spec"] == camera.pipeline_spec and _is_fresh(saved):
                camera.pipeline.restore(camera.name, saved["pipeline"])
                return True
        except CHECKPOINT_ERRORS as error:
            log.warning("camera %s: its checkpoint cannot be used: %s", camera.name, error)
            camera.alerts.forget_tracks()
            return False
        camera.alerts.forget_tracks()
        return True

    def restore_alerts(self, camera: CameraContext) -> None:
        """Go on with what a predecessor's alerts knew of the camera; what is raised, the ledger says."""
        saved = self._checkpoints.read(camera.name)
        if saved is None:
            return
        try:
            camera.alerts.restore(saved["alerts"])
        except CHECKPOINT_ERRORS as error:
            log.warning("camera %s: its alerts begin anew: %s", camera.name, error)
            camera.alerts = self.alerting.begin(camera.config.rules)

    def _restore_coverage(self, camera: CameraContext) -> None:
        saved = self._checkpoints.read(camera.name)
        if saved is None:
            return
        now_ns = time.time_ns()
        try:
            if _is_fresh(saved):
                camera.coverage.restore(saved["coverage"], now_ns)
        except CHECKPOINT_ERRORS as error:
            log.warning("camera %s: the times in its checkpoint cannot be used: %s", camera.name, error)
        camera.coverage.add_flag("restarted", now_ns)

    @property
    def checkpoints_failed(self) -> int:
        """How many found no room."""
        return self._checkpoints.failed

    def forget(self, camera: CameraContext) -> None:
        self._sequencer.forget(camera.name)
        self._checkpoints.forget(camera.name)

    def _record(self, camera: CameraContext, event: Event, batch: RunningBatch | None) -> EventRecord:
        stamp = event.stamp
        inference_ms = batch.inference_s * 1e3 if batch else 0.0
        taken_ms = batch.started_s * 1e3 - stamp.received_mono_ns / 1e6 if batch else 0.0
        return EventRecord(
            camera=camera.name,
            seq=0,  # the sequencer's to give
            type=event.type,
            subject=event.subject,
            epoch=stamp.epoch,
            frame_id=stamp.frame_id,
            media_ns=stamp.media_ns,
            captured_ns=stamp.captured_ns,
            age_ms=round(_age_ms(stamp), 3),
            config_rev=self.config_rev,
            data={**event.data, **stamp_of(camera.term)},
            emitted_ns=time.time_ns(),
            inference_ms=round(inference_ms, 3),
            taken_ms=round(taken_ms, 3),
        )


def _is_fresh(saved: dict[str, Any]) -> bool:
    return bool(0 <= time.monotonic() - saved["at_s"] < MAX_CHECKPOINT_AGE_S)


def _age_ms(stamp: Stamp) -> float:
    """How old the frame is now; 0 for what rests on no frame."""
    return (time.monotonic_ns() - stamp.received_mono_ns) / 1e6 if stamp.received_mono_ns else 0.0
