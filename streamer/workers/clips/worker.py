"""The clips worker: keeps clips of events, on request and where an alert asks for one.

It has them made (making.py), keeps them in its folder within the site's limits (library.py), and has the
camera's inference worker tell of each as an event. Everything goes through the supervisor, and it never
waits: what it is asked while a clip is being made is answered with how far that is.
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
from streamer.config.schema import Config
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
)
from streamer.ipc.messages import Hello, Message, Ready, WorkerStatus
from streamer.ledger import LedgerReader
from streamer.workers.clips.answers import described, listed, part_of
from streamer.workers.clips.clip_folder import ClipFolder
from streamer.workers.clips.library import Clip
from streamer.workers.clips.making import ClipMaking

log = logging.getLogger(__name__)

NICE = 10
POLL_S = 0.1
HELLO_EVERY_S = 0.5
TEND_EVERY_S = 1.0
TELL_AGAIN_S = 10.0  # of a clip whose event nobody has numbered yet


class ClipsWorker:
    """Implements workers.loop.Worker."""

    def __init__(self, name: str, runtime_dir: Path, state_dir: Path) -> None:
        self.stopping = False
        self._name, self._state_dir = name, state_dir
        self._assignment: ClipAssignment | None = None
        self._config = Config()
        self._folder = ClipFolder()
        self._hello_s = self._tend_s = 0.0
        self._told_s: dict[str, float] = {}  # when the event of a clip was last asked for
        self._bus = bus.Bus(runtime_dir)

    def open(self) -> None:
        os.nice(NICE)
        self._supervisor = self._bus.connect("supervisor", self._name)
        self._making = ClipMaking(self._folder, self._state_dir, self._supervisor.send, self._tell)

    def step(self) -> None:
        for received in self._bus.poll(POLL_S):
            self._obey(received.message)
        now_s = time.monotonic()
        self._making.step(now_s)
        self._once_a_while(now_s)

    def close(self) -> None:
        self._making.stop()
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
            self._making.recorded(message)
        elif isinstance(message, ClipTold):
            self._told(message)

    def _assign(self, message: ClipAssignment) -> None:
        self._config = self._making.config = Config.model_validate_json(message.config_json)
        self._assignment = message
        self._folder.configure(self._config)
        self._supervisor.send(Ready(self._name, message.rev))

    @property
    def _assigned(self) -> ClipAssignment:
        """Raises ControlError."""
        if self._assignment is None:
            raise ControlError("the clips worker has just started: try again in a moment")
        return self._assignment

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
        library, by = self._folder.usable, order.args["by"]
        if order.action == "list":
            return listed(library, self._making.states(), order.args["camera"])
        if order.action == "make":
            return self._make(order.args["event"], by)
        clip = self._find(order.args["event"])
        if order.action == "remove":
            library.remove([clip], "asked")
            log.info("clip %s removed by %s", clip.clip, by)
            return described(clip, library)
        self._check_shown(clip)
        if not order.args["offset"]:
            log.info("clip %s given to %s", clip.clip, by)
        return part_of(library.path_of(clip), order.args["offset"])

    def _find(self, event: str) -> Clip:
        """Raises ConfigError where there is none, StorageError with why it could not be made."""
        try:
            return self._folder.usable.find(event)
        except ConfigError:
            if why := self._making.failure(_name(self._event(event))):
                raise StorageError(why) from None
            raise

    def _check_shown(self, clip: Clip) -> None:
        """Raise ControlError for one that was made when the site showed people."""
        if hides_less(clip.people, self._config.privacy.people):
            raise ControlError(
                f"clip {clip.clip} shows people, and privacy.people is {self._config.privacy.people} now: "
                "it is not given out; remove it with `streamer clip remove`"
            )

    def _make(self, event: str, by: str) -> dict[str, Any]:
        """How far the event's clip is; it is begun where there is none. Raises StreamerError."""
        stored = self._event(event)
        name = _name(stored)
        library = self._folder.usable
        if (clip := library.clips.get(name)) is not None:
            self._check_shown(clip)
            library.path_of(clip)
            return {"state": "ready", **described(clip, library)}
        if not (state := self._making.state(name)):
            if why := self._making.failure(name):
                raise StorageError(why)
            self._begin(name, stored.camera, record_of(stored.body).captured_ns)
            log.info("clip %s asked for by %s", name, by)
            state = "recording"
        return {"state": state, "clip": name}

    def _event(self, event: str) -> StoredEvent:
        asked = parse_id(event)
        with closing(LedgerReader(Path(self._assigned.ledger_path))) as ledger:
            stored = ledger.event(asked.camera, asked.seq)
        if stored is None or asked.lineage not in (None, 0, stored.id.lineage):
            raise ConfigError(f"no event {event[:80]} in the ledger: `streamer events` shows their ids")
        return stored

    def _wanted(self, wanted: ClipWanted) -> None:
        """By an alert. Its event is on its way to the ledger, whose incarnation is known already."""
        try:
            with closing(LedgerReader(Path(self._assigned.ledger_path))) as ledger:
                name = f"{wanted.camera}-{ledger.lineage()}-{wanted.seq}"
            if not self._making.state(name) and name not in self._folder.usable.clips:
                self._begin(name, wanted.camera, wanted.at_ns)
        except StreamerError as error:
            self._making.fail(f"{wanted.camera}/{wanted.seq}", str(error))

    def _begin(self, name: str, camera: str, at_ns: int) -> None:
        """Raises StreamerError."""
        lineage, seq = name.rsplit("-", 2)[1:]
        self._making.begin(name, f"{self._assigned.node}/{camera}/{lineage}/{seq}", camera, at_ns)

    # ---- the event that tells of a clip

    def _tell(self, clip: Clip) -> None:
        members = ("clip", "event", "from_ns", "to_ns", "bytes", "sha256", "people", "codec", "note")
        data = {name: getattr(clip, name) for name in members}
        data["path"] = str(self._config.clip_folder / clip.file)
        self._told_s[clip.clip] = time.monotonic()
        self._supervisor.send(ClipStored(clip.clip, clip.camera, data))

    def _told(self, message: ClipTold) -> None:
        try:
            self._folder.usable.told(message.clip, message.seq)
            self._told_s.pop(message.clip, None)
        except StorageError as error:
            self._folder.warn(str(error))

    def _tell_again(self, now_s: float) -> None:
        for clip in self._folder.library.clips.values() if self._folder.library is not None else ():
            due_s = self._told_s.get(clip.clip, 0.0) + TELL_AGAIN_S
            if not clip.seq and now_s >= due_s and self._config.camera(clip.camera) is not None:
                self._tell(clip)

    # ---- once a while

    def _once_a_while(self, now_s: float) -> None:
        if self._assignment is None:
            if now_s >= self._hello_s:
                self._hello_s = now_s + HELLO_EVERY_S
                self._supervisor.send(Hello(self._name, os.getpid()))
            return
        if now_s >= self._tend_s:
            self._tend_s = now_s + TEND_EVERY_S
            self._folder.tend(now_s)
            self._tell_again(now_s)
            self._supervisor.send(WorkerStatus(self._name, self._status(now_s)))

    def _status(self, now_s: float) -> dict[str, Any]:
        making, library = self._making, self._folder.library
        kept = {} if library is None else library.status()
        counts = {"made": making.made, "failed": making.failed, "making": len(making)}
        return {**kept, **counts, "warning": self._folder.warning or making.warning(now_s)}


def _name(event: StoredEvent) -> str:
    return f"{event.camera}-{event.id.lineage}-{event.id.seq}"


def create(name: str, runtime_dir: Path, state_dir: Path, shared_dir: Path) -> ClipsWorker:  # noqa: ARG001
    return ClipsWorker(name, runtime_dir, state_dir)
