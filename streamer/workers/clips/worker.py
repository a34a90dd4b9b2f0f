"""The clips worker: keeps clips of events, on request and where an alert asks for one.

It asks the camera's capture worker for the packets (RecordClip), has people hidden in what comes, keeps the
result in its folder within the site's limits, and has the camera's inference worker tell of it as an event.
Everything goes through the supervisor, and it never waits: what it is asked while a clip is being made is
answered with how far that is.

A folder that cannot be used is a warning and is tried again; nothing else stops for it.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from streamer.api.explain import parse_id
from streamer.config.clip_settings import hides_less
from streamer.config.schema import CameraConfig, Config
from streamer.errors import ConfigError, ControlError, StorageError, StreamerError
from streamer.events.cloudevents import StoredEvent, record_of
from streamer.ipc import bus
from streamer.ipc.clip_messages import (
    ClipAnswer,
    ClipAssignment,
    ClipOrder,
    ClipRecorded,
    ClipStored,
    ClipTold,
    ClipWanted,
    RecordClip,
)
from streamer.ipc.messages import Hello, Message, Ready, WorkerStatus
from streamer.ledger import LedgerReader
from streamer.workers.clips.answers import described, listed, part_of, states
from streamer.workers.clips.hiding import Hiding, Task
from streamer.workers.clips.library import Clip, Library

log = logging.getLogger(__name__)

NICE = 10
POLL_S = 0.1
HELLO_EVERY_S = 0.5
TEND_EVERY_S = 1.0
EXPIRE_EVERY_S = 60.0
TELL_AGAIN_S = 10.0  # of a clip whose event nobody has numbered yet
LATE_S = 20.0  # after a clip's end: then its capture worker has died
MAX_FAILED = 100  # clips whose failure is remembered, for who asks


class ClipsWorker:
    """Implements workers.loop.Worker."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path) -> None:
        self.stopping = False
        self._name, self._state_dir = name, state_dir
        self._assignment: ClipAssignment | None = None
        self._config = Config()
        self._library: Library | None = None
        self._hiding = Hiding()
        self._making: dict[str, Clip] = {}  # by id: recorded now, or hidden
        self._due: dict[str, float] = {}  # of those that are recorded: when they must have come
        self._failed: dict[str, str] = {}
        self._counts = dict.fromkeys(("made", "failed"), 0)
        self._warning = ""
        self._hello_s = self._tend_s = self._expire_s = 0.0
        self._told_s: dict[str, float] = {}  # when the event of a clip was last asked for
        self._bus = bus.Bus(runtime_dir)

    def open(self) -> None:
        os.nice(NICE)
        self._supervisor = self._bus.connect("supervisor", self._name)

    def step(self) -> None:
        for received in self._bus.poll(POLL_S):
            self._obey(received.message)
        if (ended := self._hiding.step()) is not None:
            self._hidden(*ended)
        self._once_a_while(time.monotonic())

    def close(self) -> None:
        self._hiding.stop()
        self._bus.close()

    # ---- what it is told

    def _obey(self, message: Message) -> None:
        if isinstance(message, ClipAssignment):
            self._assign(message)
        elif isinstance(message, ClipOrder):
            self._serve(message)
        elif isinstance(message, ClipWanted):
            self._wanted(message)
        elif isinstance(message, ClipRecorded):
            self._recorded(message)
        elif isinstance(message, ClipTold):
            self._told(message)

    def _assign(self, message: ClipAssignment) -> None:
        before, self._config = self._config, Config.model_validate_json(message.config_json)
        if self._assignment is None or before.clip_folder != self._config.clip_folder:
            self._library = None
        elif self._library is not None:
            self._library.settings = self._config.clips
        self._assignment = message
        self._open_library()
        self._supervisor.send(Ready(self._name, message.rev))

    def _open_library(self) -> None:
        """Tried again until it can be used."""
        if self._library is not None or self._assignment is None:
            return
        try:
            self._library = Library(self._config.clip_folder, self._config.clips)
            self._warn("")
        except StorageError as error:
            self._warn(str(error))

    def _warn(self, text: str) -> None:
        if text and text != self._warning:
            log.error("clips: %s", text)
        self._warning = text

    @property
    def _usable(self) -> Library:
        """Raises StorageError."""
        if self._library is None:
            self._open_library()
        if self._library is None:
            raise StorageError(self._warning or "the clips' folder is not open yet: try again in a moment")
        return self._library

    # ---- what is asked of it

    def _serve(self, order: ClipOrder) -> None:
        try:
            answer = ClipAnswer(order.request, self._result(order))
        except StreamerError as error:
            answer = ClipAnswer(order.request, {}, str(error))
        except OSError as error:
            answer = ClipAnswer(order.request, {}, f"clips: {error.filename}: {error.strerror}")
        self._supervisor.send(answer)

    def _result(self, order: ClipOrder) -> dict[str, Any]:
        library = self._usable
        if order.action == "list":
            return listed(library, states(self._making, self._due), order.args.get("camera", ""))
        if order.action == "make":
            return self._make(order.args["event"])
        clip = self._clip_of(order.args["event"])
        if order.action == "remove":
            library.remove([clip])
            log.info("clip %s removed by %s", clip.clip, order.args["by"])
            return described(clip, library)
        self._check_shown(clip)
        if not order.args["offset"]:
            log.info("clip %s given to %s", clip.clip, order.args["by"])
        return part_of(library.path_of(clip), order.args["offset"])

    def _check_shown(self, clip: Clip) -> None:
        """Raise ControlError for one that was made when the site showed people."""
        if hides_less(clip.people, self._config.privacy.people):
            raise ControlError(
                f"clip {clip.clip} shows people, and privacy.people is {self._config.privacy.people} now: "
                "it is not given out; remove it with `streamer clip remove`"
            )

    def _clip_of(self, event: str) -> Clip:
        """Of an event, or by its own id. Raises ConfigError."""
        clips = self._usable.clips
        if (clip := clips.get(event)) is not None:
            return clip
        asked = parse_id(event)
        found = [c for c in clips.values() if c.camera == asked.camera and c.clip.endswith(f"-{asked.seq}")]
        if asked.lineage:
            found = [clip for clip in found if clip.clip.endswith(f"-{asked.lineage}-{asked.seq}")]
        if not found:
            raise ConfigError(
                f"there is no clip of {event[:80]}: `streamer clip list` has those that there are"
            )
        return max(found, key=lambda clip: clip.made_ns)

    def _make(self, event: str) -> dict[str, Any]:
        """How far the event's clip is; it is begun where there is none. Raises StreamerError."""
        stored = self._event(event)
        name = f"{stored.camera}-{stored.id.lineage}-{stored.id.seq}"
        library = self._usable
        if (clip := library.clips.get(name)) is not None:
            self._check_shown(clip)
            library.path_of(clip)
            return {"state": "ready", **described(clip, library)}
        if name in self._making:
            return {"state": "recording" if name in self._due else "hiding", "clip": name}
        if why := self._failed.pop(name, ""):
            raise StorageError(why)
        self._begin(name, stored.camera, record_of(stored.body).captured_ns)
        return {"state": "recording", "clip": name}

    def _event(self, event: str) -> StoredEvent:
        assert self._assignment is not None
        asked = parse_id(event)
        with closing(LedgerReader(Path(self._assignment.ledger_path))) as ledger:
            stored = ledger.event(asked.camera, asked.seq)
        if stored is None or asked.lineage not in (None, 0, stored.id.lineage):
            raise ConfigError(f"no event {event[:80]} in the ledger: `streamer events` shows their ids")
        return stored

    def _wanted(self, wanted: ClipWanted) -> None:
        """By an alert. Its event is on its way to the ledger, whose incarnation is known already."""
        try:
            assert self._assignment is not None
            with closing(LedgerReader(Path(self._assignment.ledger_path))) as ledger:
                name = f"{wanted.camera}-{ledger.lineage()}-{wanted.seq}"
            if name not in self._making and name not in self._usable.clips:
                self._begin(name, wanted.camera, wanted.at_ns)
        except StreamerError as error:
            self._fail(f"{wanted.camera}-{wanted.seq}", str(error))

    # ---- a clip's way

    def _begin(self, name: str, camera: str, at_ns: int) -> None:
        """Raises StreamerError."""
        assert self._assignment is not None
        settings, library = self._config.clips, self._usable
        self._config.known_camera(camera)
        library.check_room()
        lineage, seq = name.rsplit("-", 2)[1:]
        event = f"{self._assignment.node}/{camera}/{lineage}/{seq}"
        from_ns, to_ns = at_ns - int(settings.before_s * 1e9), at_ns + int(settings.after_s * 1e9)
        self._making[name] = Clip(
            name, event, camera, from_ns, to_ns, "", 0, "", self._config.clip_people, "", time.time_ns()
        )
        self._failed.pop(name, None)
        left_s = max(0.0, (to_ns - time.time_ns()) / 1e9)
        self._due[name] = time.monotonic() + left_s + LATE_S
        self._supervisor.send(RecordClip(name, camera, at_ns, from_ns, to_ns, str(library.partial)))

    def _recorded(self, message: ClipRecorded) -> None:
        self._due.pop(message.clip, None)
        clip = self._making.get(message.clip)
        if clip is None or message.error:
            if message.path:
                Path(message.path).unlink(missing_ok=True)
            self._fail(message.clip, message.error or "nobody waits for it any more")
            return
        clip.from_ns, clip.to_ns, clip.note, clip.codec = (
            *(message.from_ns, message.to_ns),
            *(message.note, message.codec),
        )
        self._hide(clip, Path(message.path))

    def _hide(self, clip: Clip, recorded: Path) -> None:
        """Under people that are shown, it is kept as it is."""
        if clip.people == "show" == self._config.clip_people:
            self._keep(clip, recorded)
            return
        if hides_less(clip.people, self._config.clip_people):
            clip.people = self._config.clip_people  # it was changed meanwhile
        target = recorded.with_name(f"{clip.clip}.hidden.mp4")
        try:
            camera = self._config.known_camera(clip.camera)
            self._hiding.put(Task(clip.clip, recorded, target, self._how(camera, clip)))
        except StreamerError as error:
            recorded.unlink(missing_ok=True)
            self._fail(clip.clip, str(error))

    def _how(self, camera: CameraConfig, clip: Clip) -> dict[str, Any]:
        settings = {"how": clip.people, "engine": self._config.inference.engine}
        return {**settings, "camera": camera.model_dump(mode="json"), "state_dir": str(self._state_dir)}

    def _hidden(self, task: Task, why: str) -> None:
        clip = self._making.get(task.clip)
        if why or clip is None:
            self._fail(task.clip, why or "nobody waits for it any more")
            return
        clip.codec = "h264"
        self._keep(clip, task.target)

    def _keep(self, clip: Clip, made: Path) -> None:
        try:
            library = self._usable
            kept = library.add(clip, made)
        except (StreamerError, OSError) as error:
            made.unlink(missing_ok=True)
            self._fail(clip.clip, str(error))
            return
        self._making.pop(clip.clip, None)
        self._counts["made"] += 1
        log.info("clip %s: %.1f MB%s", kept.clip, kept.bytes / 1e6, f"; {kept.note}" if kept.note else "")
        self._tell(library, kept)

    def _fail(self, name: str, why: str) -> None:
        """It is said once in the log, and to who asks for it next."""
        self._making.pop(name, None)
        self._due.pop(name, None)
        self._counts["failed"] += 1
        self._failed[name] = why
        while len(self._failed) > MAX_FAILED:
            self._failed.pop(next(iter(self._failed)))
        log.warning("clip %s: %s", name, why)

    # ---- the event that tells of it

    def _tell(self, library: Library, clip: Clip) -> None:
        members = ("clip", "event", "from_ns", "to_ns", "bytes", "sha256", "people", "codec", "note")
        data = {name: getattr(clip, name) for name in members}
        data["path"] = str(library.folder / clip.file)
        self._told_s[clip.clip] = time.monotonic()
        self._supervisor.send(ClipStored(clip.clip, clip.camera, data))

    def _told(self, message: ClipTold) -> None:
        try:
            self._usable.told(message.clip, message.seq)
            self._told_s.pop(message.clip, None)
        except StorageError as error:
            self._warn(str(error))

    # ---- once a while

    def _once_a_while(self, now_s: float) -> None:
        if self._assignment is None:
            if now_s >= self._hello_s:
                self._hello_s = now_s + HELLO_EVERY_S
                self._supervisor.send(Hello(self._name, os.getpid()))
            return
        if now_s < self._tend_s:
            return
        self._tend_s = now_s + TEND_EVERY_S
        for name in [name for name, due_s in self._due.items() if now_s > due_s]:
            self._fail(name, "its packets did not come: the camera's capture worker has died meanwhile")
        self._tend_library(now_s)
        self._supervisor.send(WorkerStatus(self._name, self._status()))

    def _tend_library(self, now_s: float) -> None:
        self._open_library()
        library = self._library
        if library is None:
            return
        try:
            if now_s >= self._expire_s:
                self._expire_s = now_s + EXPIRE_EVERY_S
                library.expire()
            library.check_room()
            self._warn("")
        except StorageError as error:
            self._warn(str(error))
        for clip in library.clips.values():
            due_s = self._told_s.get(clip.clip, 0.0) + TELL_AGAIN_S
            if not clip.seq and now_s >= due_s and self._config.camera(clip.camera) is not None:
                self._tell(library, clip)

    def _status(self) -> dict[str, Any]:
        library = self._library
        kept = (
            {}
            if library is None
            else {
                "clips": len(library.clips),
                "mb": round(library.bytes / 1e6, 1),
                "removed": library.removed,
                "half_made": library.lost,
            }
        )
        return {**kept, **self._counts, "making": len(self._making), "warning": self._warning}


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> ClipsWorker:  # noqa: ARG001
    return ClipsWorker(name, runtime_dir, state_dir)
