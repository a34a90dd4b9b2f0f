"""Orders that come through a sink: the daemon is asked as the command line asks it, on a thread of its own,
since a change takes a moment and neither the commits nor a sink may wait for it.
"""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

from streamer.api import control_socket
from streamer.errors import StreamerError

log = logging.getLogger(__name__)

MAX_WAITING = 64  # more than a house has cameras; a flood of orders is not carried out
TIMEOUT_S = 10.0


class Commands:
    """`ask` is for any thread. What is asked is done in turn, by an operator's right at most."""

    def __init__(self, control_path: Path) -> None:
        self._control_path = control_path
        self._waiting: queue.Queue[tuple[str, str, bool] | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None

    def ask(self, sink: str, camera: str, enabled: bool) -> None:
        """Have `camera` switched on or off for whoever sent that to `sink`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="commands", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((sink, camera, enabled))
        except queue.Full:
            log.error("sink %s: more than %d orders wait: this one is not carried out", sink, MAX_WAITING)

    def close(self) -> None:
        """What waits is not begun any more."""
        if self._thread is not None:
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(None)

    def _run(self) -> None:
        while (order := self._waiting.get()) is not None:
            sink, camera, enabled = order
            op = "camera.enable" if enabled else "camera.disable"
            try:
                control_socket.call(
                    *(self._control_path, "change", {"op": op, "name": camera}, TIMEOUT_S),
                    behalf=("operator", f"sink {sink}"),
                )
            except StreamerError as error:
                log.error("sink %s: %s of camera %s: %s", sink, op, camera[:64], error)
            else:
                log.info("sink %s: %s of camera %s", sink, op, camera)
