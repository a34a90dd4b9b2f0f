"""How `make test` gives files to its processes: as `--dist loadfile` of pytest-xdist does, and to the end.

A plugin of pytest, which tests/conftest.py loads.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

FEW = 2  # tests; who has no more is given another file, as xdist has it


class Scheduler(LoadFileScheduling):
    """Goes on after a process has crashed.

    What that one had been given goes back to the queue, files that it was through with among them. xdist
    gives its successor one file, and waits for what becomes of it: of one in which nothing is left, for ever.
    """

    def _reschedule(self, node: WorkerController) -> None:
        super()._reschedule(node)
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) <= FEW:
            self._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler | None:
    return Scheduler(config, log) if config.getvalue("dist") == "loadfile" else None
