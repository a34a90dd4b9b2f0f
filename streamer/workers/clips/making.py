"""How a clip is made: recorded by its camera's capture worker, hidden where people are, and kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from streamer.config.clip_settings import hides_less
from streamer.config.schema import CameraConfig, Config
from streamer.errors import StreamerError
from streamer.ipc.clip_messages import ClipRecorded, RecordClip
from streamer.workers.clips.clip_folder import ClipFolder
from streamer.workers.clips.hiding import Hiding, Task
from streamer.workers.clips.library import Clip

log = logging.getLogger(__name__)

LATE_S = 20.0  # after a clip's end: then its capture worker has died
FAILURE_SHOWN_S = 600.0  # in the status, where no clip is made meanwhile
MAX_FAILED = 100  # clips whose failure is remembered, for who asks


class ClipMaking:
    """`record` asks for packets, `kept` is called with each clip that is there. It never waits."""

    def __init__(
        self,
        folder: ClipFolder,
        state_dir: Path,
        record: Callable[[RecordClip], object],
        kept: Callable[[Clip], None],
    ) -> None:
        self.config = Config()
        self.made = self.failed = 0
        self._folder, self._state_dir = folder, state_dir
        self._record, self._kept = record, kept
        self._hiding = Hiding()
        self._clips: dict[str, Clip] = {}  # by id: recorded now, or hidden
        self._due: dict[str, float] = {}  # of those that are recorded: when they must have come
        self._failures: dict[str, str] = {}
        self._last_failure, self._failed_s = "", 0.0

    def states(self) -> Iterator[dict[str, Any]]:
        """Of the clips that are being made."""
        for name, clip in self._clips.items():
            yield {"clip": name, "camera": clip.camera, "state": self.state(name)}

    def state(self, name: str) -> str:
        """recording, hiding, or "" where it is not being made."""
        if name in self._due:
            return "recording"
        return "hiding" if name in self._clips else ""

    def failure(self, name: str) -> str:
        """Why it could not be made, said once; "" where that was not tried."""
        return self._failures.pop(name, "")

    def warning(self, now_s: float) -> str:
        """The last failure, until a clip is made."""
        return self._last_failure if now_s < self._failed_s + FAILURE_SHOWN_S else ""

    def begin(self, name: str, event: str, camera: str, at_ns: int) -> None:
        """Raises StreamerError."""
        settings, library = self.config.clips, self._folder.usable
        self.config.known_camera(camera)
        library.check_room()
        from_ns, to_ns = at_ns - int(settings.before_s * 1e9), at_ns + int(settings.after_s * 1e9)
        now_ns = time.time_ns()
        people = self.config.clip_people
        self._clips[name] = Clip(name, event, camera, from_ns, to_ns, "", 0, "", people, "", now_ns)
        self._failures.pop(name, None)
        self._due[name] = time.monotonic() + max(0.0, (to_ns - now_ns) / 1e9) + LATE_S
        self._record(RecordClip(name, camera, at_ns, from_ns, to_ns, str(library.partial)))

    def recorded(self, message: ClipRecorded) -> None:
        self._due.pop(message.clip, None)
        clip = self._clips.get(message.clip)
        if clip is None or message.error:
            if message.path:
                Path(message.path).unlink(missing_ok=True)
            if clip is not None:
                self.fail(clip.clip, message.error)
            return
        clip.from_ns, clip.to_ns = message.from_ns, message.to_ns
        clip.note, clip.codec = message.note, message.codec
        self._hide(clip, Path(message.path))

    def _hide(self, clip: Clip, recorded: Path) -> None:
        """Where people are shown, it is kept as it is."""
        if hides_less(clip.people, self.config.clip_people):
            clip.people = self.config.clip_people  # it was changed meanwhile
        if clip.people == "show":
            self._keep(clip, recorded)
            return
        target = recorded.with_name(f"{clip.clip}.hidden.mp4")
        try:
            camera = self.config.known_camera(clip.camera)
            self._hiding.put(Task(clip.clip, recorded, target, self._how(camera, clip)))
        except StreamerError as error:
            recorded.unlink(missing_ok=True)
            self.fail(clip.clip, str(error))

    def _how(self, camera: CameraConfig, clip: Clip) -> dict[str, Any]:
        settings = {"how": clip.people, "engine": self.config.inference.engine}
        return {**settings, "camera": camera.model_dump(mode="json"), "state_dir": str(self._state_dir)}

    def _hidden(self, task: Task, why: str) -> None:
        clip = self._clips[task.clip]
        if why:
            self.fail(task.clip, why)
            return
        clip.codec = "h264"
        self._keep(clip, task.target)

    def _keep(self, clip: Clip, made: Path) -> None:
        try:
            kept = self._folder.usable.add(clip, made)
        except (StreamerError, OSError) as error:
            made.unlink(missing_ok=True)
            self.fail(clip.clip, str(error))
            return
        self._clips.pop(clip.clip, None)
        self.made += 1
        self._last_failure = ""
        log.info("clip %s: %.1f MB%s", kept.clip, kept.bytes / 1e6, f"; {kept.note}" if kept.note else "")
        self._kept(kept)

    def fail(self, name: str, why: str) -> None:
        """It is said once in the log, in the status, and to who asks for it next."""
        self._clips.pop(name, None)
        self._due.pop(name, None)
        self.failed += 1
        self._last_failure, self._failed_s = f"clip {name} was not made: {why}", time.monotonic()
        self._failures[name] = why
        while len(self._failures) > MAX_FAILED:
            self._failures.pop(next(iter(self._failures)))
        log.warning("%s", self._last_failure)

    def step(self, now_s: float) -> None:
        """Take what has been hidden, and give up what does not come any more."""
        if (ended := self._hiding.step()) is not None:
            self._hidden(*ended)
        for name in [name for name, due_s in self._due.items() if now_s > due_s]:
            self.fail(name, "its packets did not come: the camera's capture worker has died meanwhile")

    def stop(self) -> None:
        self._hiding.stop()

    def __len__(self) -> int:
        return len(self._clips)
