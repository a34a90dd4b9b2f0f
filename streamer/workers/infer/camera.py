"""What an inference worker keeps for one camera."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field

from pipelines.pipeline import Pipeline
from pipelines.values import Stamp
from streamer.ipc.counters import Block
from streamer.ipc.messages import FrameReady, InferCamera, SourceState
from streamer.workers.infer.coverage import Coverage
from streamer.workers.infer.frame_interval import Rhythm
from streamer.workers.rate import Rate

log = logging.getLogger(__name__)

RECENT = 512  # latencies kept for the status
STATES_WAITING = 64  # state changes that wait until the camera's place in its sequence is known


@dataclass(slots=True, eq=False)
class InferredCamera:
    """Its assignment, its pipeline, its frame in waiting and what it owes the capture worker."""

    config: InferCamera
    block: Block
    coverage: Coverage
    generation: int  # of the ring its frames come in; older ones are not ours
    worker: str = ""  # the capture worker it comes from
    pipeline: Pipeline | None = None
    spec: str = ""  # of `pipeline`
    scene: str = ""  # the specification of what looks at its whole picture, in `pipeline`
    scene_first: bool = False  # no frame is taken before that is there: the first pictures would not be seen
    refused_s: float = 0.0  # when a frame could not be used last
    troubles: dict[str, str] = field(default_factory=dict)  # by what they are about; those that hold now
    ready: FrameReady | None = None
    exchanged: bool = False  # its last frame in waiting was too old; the next is taken as it is
    demanded_s: float = 0.0  # 0: no demand is out
    owed: list[tuple[int, int]] = field(default_factory=list)  # (generation, slot) to give back
    served_s: float = 0.0
    rhythm: Rhythm = field(default_factory=Rhythm)
    inferred: int = 0
    states: deque[SourceState] = field(default_factory=lambda: deque(maxlen=STATES_WAITING))
    last_state: tuple[str, int] = ("", 0)
    stamp: Stamp | None = None  # of the last frame that was inferred
    spent_ids: tuple[int, int] = (0, 0)  # as they stand in the counters: the epoch, and its next track id
    ages_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    saved_s: float = 0.0
    inferring: Rate = field(default_factory=Rate)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def trouble(self) -> str:
        """What a person should read in `status`."""
        return "; ".join(self.troubles.values())

    def complain(self, about: str, text: str) -> None:
        """Say that something is wrong with the model, the rules, …; "" takes back what was said of it."""
        if text == self.troubles.get(about, ""):
            return
        if text:
            self.troubles[about] = text
            log.error("camera %s: %s", self.name, text)
        else:
            log.info("camera %s: no longer: %s", self.name, self.troubles.pop(about))

    def refuse(self, text: str) -> None:
        """Say why a frame could not be used."""
        self.refused_s = time.monotonic()
        self.complain("frames", text)
