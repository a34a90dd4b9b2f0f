"""The supervisor's loop, with parts around it that fail when they are told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.api.apply_change import CameraSwitch
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.daemon.status import well_formed
from streamer.daemon.supervisor import Supervisor
from streamer.errors import CapacityError, NotApplied
from streamer.ipc.messages import CameraWarning, WorkerStatus


def a_supervisor(folder: Path, calls: list[str]) -> Any:
    """One whose every part notes that it was used."""

    def note(name: str, result: Any = None) -> Callable[..., Any]:
        def call(*_args: Any) -> Any:
            calls.append(name)
            return result

        return call

    found: Any = Supervisor(ConfigStore(folder), {})
    message = SimpleNamespace(peer="infer-0", message=CameraWarning("infer-0", "gate", "x"))
    found._bus = SimpleNamespace(poll=note("poll", [message, message]))
    found._control = SimpleNamespace(poll=note("requests", [1, 2]))
    found._manager = SimpleNamespace(reap=note("reap", [1, 2]), tick=note("tick"), processes={})
    found._notifier = SimpleNamespace(alive=note("alive"))
    found.active = SimpleNamespace(config=Config(), healed=note("healed", True), misconfigured={})
    found._startup = SimpleNamespace(tick=note("start"))
    found._reload_requested = True
    for part in ("_handle", "_answer", "_on_exit", "_reload"):
        setattr(found, part, note(part))
    return found


def failing(calls: list[str], name: str) -> Callable[..., Any]:
    def fail(*_args: Any) -> Any:
        calls.append(name)
        raise IndexError(name)

    return fail


@pytest.mark.parametrize("part", ["_handle", "_answer", "_on_exit", "_reload"])
def test_what_one_message_request_or_end_does_wrong_stops_nothing_else(tmp_path: Path, part: str) -> None:
    well: list[str] = []
    a_supervisor(tmp_path, well)._turn()
    calls: list[str] = []
    supervisor = a_supervisor(tmp_path, calls)
    setattr(supervisor, part, failing(calls, part))
    supervisor._turn()
    assert calls == well
    assert supervisor._guard.counts.total() == well.count(part)


@pytest.mark.parametrize(
    ("owner", "part"), [("_manager", "tick"), ("_control", "poll"), ("active", "healed")]
)
def test_what_a_part_does_wrong_leaves_the_watchdog_fed(tmp_path: Path, owner: str, part: str) -> None:
    calls: list[str] = []
    supervisor = a_supervisor(tmp_path, calls)
    supervisor._reload_requested = False
    setattr(getattr(supervisor, owner), part, failing(calls, part))
    supervisor._turn()
    assert calls[-1] == "alive"
    assert supervisor._guard.counts.total() == 1


@pytest.mark.parametrize("cameras", [None, [], {"gate": 5}, {"gate": None}, "gate"])
def test_a_worker_s_status_that_is_not_as_it_should_be_is_shown_without_it(cameras: Any) -> None:
    told = WorkerStatus("infer-0", {"cameras": cameras, "resends": 1})
    assert well_formed(told.status) == {"cameras": {}, "resends": 1}


def test_a_message_of_a_worker_that_is_unknown_is_passed_over(tmp_path: Path) -> None:
    supervisor: Any = Supervisor(ConfigStore(tmp_path), {})
    supervisor._manager = SimpleNamespace(processes={})
    supervisor._handle("nobody", CameraWarning("nobody", "gate", "x"))
    assert supervisor._cameras == {}


def test_a_worker_that_cannot_be_told_is_tried_again_and_holds_up_no_other(tmp_path: Path) -> None:
    supervisor: Any = Supervisor(ConfigStore(tmp_path), {})
    told: list[str] = []

    def assign(name: str) -> None:
        told.append(name)
        if name == "infer-0" and told.count(name) == 1:
            raise CapacityError("no row")

    supervisor._assign = assign
    for name in ("infer-0", "deliver"):
        supervisor._try_to_assign(name)
    assert supervisor._unassigned == {"infer-0"}
    supervisor.plan = SimpleNamespace(workers={"infer-0": None, "deliver": None})
    supervisor.active = SimpleNamespace(config=Config(), misconfigured={}, healed=lambda: False)
    supervisor._startup = SimpleNamespace(tick=lambda _cameras: None)
    supervisor._manager = SimpleNamespace(processes={})
    supervisor._once_a_second(0.0)
    assert (told[2:], supervisor._unassigned) == (["infer-0", "deliver"], set())
    assert supervisor._guard.counts == {"assignment of a worker": 1}


def test_a_change_of_which_a_worker_is_not_told_is_not_said_to_be_applied(tmp_path: Path) -> None:
    supervisor: Any = Supervisor(ConfigStore(tmp_path), {})
    supervisor.active = SimpleNamespace(
        config=Config(), misconfigured={}, change=lambda _wanted, _caller: None
    )
    supervisor._apply = lambda _before: supervisor._unassigned.add("infer-0")
    with pytest.raises(NotApplied, match="is written, but not in force: infer-0"):
        supervisor.change(CameraSwitch(op="camera.enable", name="gate"))
