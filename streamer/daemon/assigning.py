"""Tells each worker its part of the plan: when it has come, and whenever that part changes.

What fails for one worker holds up no other, and is tried again; a camera that only one process may have at a
time is told to the next when the one before has let go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from streamer.daemon.guard import Guard
from streamer.daemon.process_manager import ProcessManager, WorkerProcess
from streamer.daemon.process_spec import Site, WorkerSpec
from streamer.ipc.messages import Message


class Assigning:
    """Of the daemon `site`; `send` hands a message to the worker of that name, or says that it did not go."""

    def __init__(
        self, site: Site, manager: ProcessManager, send: Callable[[str, Message], bool], guard: Guard
    ) -> None:
        self._site, self._manager, self._send, self._guard = site, manager, send, guard
        self._failed: set[str] = set()
        self._again = False  # something could not be sent, or had to wait for another process

    @property
    def failed(self) -> list[str]:
        """Workers of the plan that could not be told, by name."""
        return sorted(self._failed & self._site.plan.workers.keys())

    @property
    def unfinished(self) -> bool:
        """Whether something is still to be told: tell_all() once more, in a moment."""
        return self._again or bool(self.failed)

    def greeted(self, process: WorkerProcess) -> None:
        """A worker is there, and knows nothing yet."""
        process.greeted, process.assignment, process.holds = True, None, frozenset()
        self._try_to_tell(process.spec.name)

    def tell_all(self) -> None:
        """To every worker of the plan what is news to it."""
        self._again = False
        for name in self._site.plan.workers:
            self._try_to_tell(name)

    def after_exit(self) -> None:
        """A process has ended: what it held, another can be told of."""
        if self._again:
            self.tell_all()

    def _try_to_tell(self, name: str) -> None:
        self._failed.add(name)
        with self._guard("assignment of a worker"):
            self._tell(name)
            self._failed.discard(name)

    def _tell(self, name: str) -> None:
        """Send a worker its assignment, if it is there and it is news to it; again if it did not go out."""
        process = self._manager.processes.get(name)
        if process is None or process.child is None or not process.greeted or process.stop_by_s is not None:
            return
        spec = self._without_held(self._site.plan.workers[name])
        if spec.process.assignment is None:
            return
        message = spec.process.assignment(spec, self._site)
        if message != process.assignment:
            if self._send(name, message):
                process.assignment, process.holds = message, frozenset(spec.cameras)
            else:
                self._again = True

    def _without_held(self, spec: WorkerSpec) -> WorkerSpec:
        """Of an exclusive process, without the cameras that another still has."""
        held = self._manager.held_by_others(spec).intersection(spec.cameras) if spec.process.exclusive else ()
        if not held:
            return spec
        self._again = True
        return replace(spec, cameras=tuple(c for c in spec.cameras if c not in held))
