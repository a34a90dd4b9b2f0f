"""What is asked of the daemon and done by one of its workers: pictures, corrections, tracks, replays.

Each request has a number, by which the worker's answer finds who asked; what no worker answers in time is
answered here.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable

from streamer.config.schema import Config
from streamer.daemon import clip_orders, corrections, occupancy_setting, tracks_now
from streamer.daemon.clip_orders import ClipArguments, ClipMessage
from streamer.daemon.corrections import CorrectionArguments, event_data
from streamer.daemon.occupancy_setting import OccupancyArguments, check_occupancy
from streamer.daemon.operations import Answer, Asked
from streamer.daemon.pending_answers import PendingAnswers
from streamer.daemon.process_spec import Site
from streamer.errors import ConfigError, ControlError, SourceError
from streamer.ipc.camera_requests import (
    CorrectionMade,
    CorrectionRequest,
    OccupancyRequest,
    TracksNow,
    TracksRequest,
)
from streamer.ipc.clip_messages import ClipAnswer, ClipOrder, ClipWanted, RecordClip
from streamer.ipc.messages import (
    Message,
    ReplayRequest,
    Snapshot,
    SnapshotRequest,
)

log = logging.getLogger(__name__)

SNAPSHOT_LIMIT_S = 8.0  # for a capture worker to send a picture


class WorkerRequests:
    """Of the daemon `site`; `send` hands a message to the worker of that name, or says that it is away."""

    def __init__(self, site: Site, send: Callable[[str, Message], bool]) -> None:
        self._site, self._send = site, send
        self._snapshots = PendingAnswers(SNAPSHOT_LIMIT_S, _no_picture)
        self._corrections = PendingAnswers(corrections.ANSWER_LIMIT_S, corrections.late)
        self._tracks = PendingAnswers(tracks_now.ANSWER_LIMIT_S, tracks_now.late)
        self._clips = PendingAnswers(clip_orders.ANSWER_LIMIT_S, clip_orders.late)
        self._replays = 0  # requests so far

    @property
    def _config(self) -> Config:
        return self._site.active.config

    def take_snapshot(self, camera: str, width: int, answer: Answer) -> None:
        """Answer with the camera's next picture, when it comes. Raises ConfigError."""
        misconfigured = self._site.active.misconfigured
        if camera in misconfigured:
            raise ConfigError(f"camera {camera} is misconfigured: {misconfigured[camera].why}")
        self._config.known_camera(camera)
        number = self._snapshots.expect(answer, camera)
        if not self._site.send_to_capture(camera, SnapshotRequest(number, camera, width)):
            self._snapshots.fail(number, SourceError(f"camera {camera} is not captured: enable it first"))

    def correct(self, arguments: CorrectionArguments, uid: int | None, answer: Answer) -> None:
        """Have the camera's inference worker make the event. Raises ConfigError, ControlError."""
        camera = self._config.known_camera(arguments.camera)
        data = event_data(arguments, self._config, uid)
        number = self._corrections.expect(answer, camera.name)
        worker = self._site.plan.infer_of.get(camera.name, "")
        if not worker or not self._send(worker, CorrectionRequest(number, camera.name, data)):
            text = f"camera {camera.name} is not served now: enable it, or try again in a moment"
            self._corrections.fail(number, ControlError(text))

    def set_occupancy(self, arguments: OccupancyArguments, uid: int | None, answer: Answer) -> None:
        """Have the camera's inference worker set it. Raises ConfigError, ControlError."""
        camera = self._config.known_camera(arguments.camera)
        check_occupancy(camera, arguments.occupancy)
        number = self._corrections.expect(answer, camera.name)
        worker = self._site.plan.infer_of.get(camera.name, "")
        asked = OccupancyRequest(number, camera.name, occupancy_setting.asked_for(arguments, uid))
        if not worker or not self._send(worker, asked):
            text = f"camera {camera.name} is not served now: enable it, or try again in a moment"
            self._corrections.fail(number, ControlError(text))

    def tracks_now(self, camera: str, answer: Answer) -> None:
        """Have the camera's inference worker tell its tracks. Raises ConfigError for an unknown camera."""
        self._config.known_camera(camera)
        number = self._tracks.expect(answer, camera)
        worker = self._site.plan.infer_of.get(camera, "")
        if not worker or not self._send(worker, TracksRequest(number, camera)):
            text = f"camera {camera} is not served now: enable it, or try again in a moment"
            self._tracks.fail(number, ControlError(text))

    def clip(self, arguments: ClipArguments, asked: Asked) -> None:
        """Have the clips worker answer. Raises ConfigError, ControlError."""
        if not self._config.clips.enabled:
            raise ControlError(clip_orders.OFF)
        camera = clip_orders.camera_of(arguments)
        number = self._clips.expect(asked, camera)
        told = {
            "event": arguments.event,
            "camera": camera,
            "offset": arguments.offset,
            "by": asked.caller.name,
        }
        if not self._send(clip_orders.WORKER, ClipOrder(number, arguments.action, told)):
            self._clips.fail(number, ControlError(clip_orders.AWAY))

    def hand_on(self, message: ClipMessage) -> None:
        """To the worker that a message about a clip is for. What nobody gets is told, or asked for again."""
        worker = clip_orders.destination(message, self._site.plan)
        sent = bool(worker) and self._send(worker, message)
        if not sent and isinstance(message, RecordClip):
            self._send(clip_orders.WORKER, clip_orders.not_recorded(message))
        elif not sent and isinstance(message, ClipWanted) and self._config.clips.enabled:
            log.warning(
                "camera %s: its alert %d gets no clip: %s", message.camera, message.seq, clip_orders.AWAY
            )

    def replay(self, sink: str, cameras: tuple[str, ...], since_ns: int, rebuild: bool) -> int:
        """Have the delivery worker send again; returns the number of the request. Raises ConfigError for
        what there is not, ControlError while the worker is away.
        """
        known = {settings.name: settings for settings in self._config.event_sinks}
        if sink not in known:
            raise ConfigError(f"no sink {sink!r}; known: {', '.join(known) or 'there is none'}")
        if rebuild and not known[sink].rebuilds:
            raise ConfigError(f"sink {sink} cannot be written anew: move what it has written away instead")
        self._replays += 1
        request = ReplayRequest(self._replays, sink, cameras, since_ns, rebuild)
        if not self._send("deliver", request):
            raise ControlError("the delivery worker is away: try again in a moment")
        return self._replays

    def arrived(self, message: Snapshot | CorrectionMade | TracksNow | ClipAnswer) -> None:
        """A worker has answered."""
        if isinstance(message, ClipAnswer) and message.error:
            self._clips.fail(message.request, ControlError(message.error))
        elif isinstance(message, ClipAnswer):
            self._clips.reply(message.request, message.result)
        elif isinstance(message, Snapshot):
            self._picture_arrived(message)
        elif isinstance(message, TracksNow):
            self._tracks.reply(message.request, tracks_now.told(message))
        else:
            self._correction_arrived(message)

    def _correction_arrived(self, made: CorrectionMade) -> None:
        camera = self._corrections.camera_of(made.request)
        if made.error:
            self._corrections.fail(made.request, ControlError(f"camera {camera}: {made.error}"))
        else:
            self._corrections.reply(made.request, {"camera": camera, "seq": made.seq})

    def _picture_arrived(self, picture: Snapshot) -> None:
        if picture.error:
            self._snapshots.fail(picture.request, SourceError(f"camera {picture.camera}: {picture.error}"))
        else:
            jpeg = base64.b64encode(picture.jpeg).decode()
            self._snapshots.reply(picture.request, {"jpeg_base64": jpeg})

    def expire(self, now_s: float) -> None:
        """Answer those whose time is over; `now_s` is monotonic."""
        self._snapshots.expire(now_s)
        self._corrections.expire(now_s)
        self._tracks.expire(now_s)
        self._clips.expire(now_s)


def _no_picture(_camera: str) -> SourceError:
    return SourceError("the camera gave no picture in time")
