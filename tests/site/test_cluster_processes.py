"""How Ray is started on a box, as its command line says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamer.errors import SiteError
from streamer.site import cluster_processes
from streamer.site.agent_process import WRONG_ROOM_FOR_S, Room
from streamer.site.cluster import Box
from streamer.site.cluster_processes import GCS, RAYLET, RayProcesses
from streamer.site.settings import SiteSettings
from tests.site.boxes import box


def _options(folder: Path, as_head: bool, drained: bool = False, **more: object) -> dict[str, str]:
    given = {"site": "shop", "node": "b1", "address": "10.0.0.5", "head": "10.0.0.5:6380", "capacity": 1.7}
    settings = SiteSettings.model_validate({**given, "is_head": as_head, "labels": {"gpu": "yes"}, **more})
    words = RayProcesses(settings, folder, {}).command(as_head, drained)[4:]
    words = [word for word in words if word not in ("--head", "--no-monitor", "--disable-usage-stats")]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_a_capacity_that_is_no_whole_number_of_cores_is_one_of_the_resource(tmp_path: Path) -> None:
    """Ray refuses to start with 1.7 of anything."""
    assert json.loads(_options(tmp_path, as_head=False)["--resources"]) == {"capacity": 1700}


def test_a_drained_box_has_no_room(tmp_path: Path) -> None:
    assert json.loads(_options(tmp_path, as_head=True, drained=True)["--resources"]) == {}


@pytest.mark.parametrize("as_head", [True, False])
def test_a_box_is_known_by_its_name_and_labels(tmp_path: Path, as_head: bool) -> None:
    options = _options(tmp_path, as_head)
    assert options["--labels"] == "streamer-node=b1,gpu=yes"
    assert ("--port" in options, "--address" in options) == (as_head, not as_head)


def test_a_firewall_can_know_the_ports(tmp_path: Path) -> None:
    options = _options(tmp_path, as_head=False, ports=6390)
    assert (options["--node-manager-port"], options["--object-manager-port"]) == ("6390", "6391")


class _Start:
    """`ray start` by hand: `code` is what it ends with."""

    def __init__(self, code: int) -> None:
        self.code = code

    def poll(self) -> int:
        return self.code


def test_a_head_whose_node_does_not_come_up_beside_its_table_is_started_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray refuses a node beside a head of which no node was ever known."""
    settings = SiteSettings(site="shop", node="b1", address="a", head="a:1", capacity=1, is_head=True)
    processes, asked = RayProcesses(settings, tmp_path, {}), []
    codes = iter([1, 0, 0])

    def start(as_head: bool, drained: bool) -> _Start:
        assert not drained
        asked.append(as_head)
        return _Start(next(codes))

    monkeypatch.setattr(processes, "_has", lambda name: name == GCS)
    monkeypatch.setattr(processes, "_runs", lambda: False)
    monkeypatch.setattr(processes, "_start", start)
    monkeypatch.setattr(cluster_processes, "FIRST_PAUSE_S", 0.0)
    processes._pause_s = 0.0
    processes.keep(may_start=True)
    with pytest.raises(SiteError, match="Ray does not start"):
        processes.keep(may_start=True)
    for _ in range(4):
        processes.keep(may_start=True)
    assert asked == [False, True, False]


class _Process:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def status(self) -> str:
        return "running"


@pytest.mark.parametrize(
    ("running", "is_head", "as_head"),
    [
        ([GCS, RAYLET], True, []),
        ([RAYLET], True, [True]),  # it waits for its head, which nobody else starts
        ([GCS], True, [False]),
        ([], True, [True]),
        ([RAYLET], False, []),
        ([], False, [False]),
    ],
)
def test_a_head_runs_when_its_table_and_its_node_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: list[str], is_head: bool, as_head: list[bool]
) -> None:
    settings = SiteSettings(site="shop", node="b1", address="a", head="a:1", capacity=1, is_head=is_head)
    processes, asked = RayProcesses(settings, tmp_path, {}), []

    def start(as_head: bool, drained: bool) -> _Start:  # noqa: ARG001
        asked.append(as_head)
        return _Start(0)

    monkeypatch.setattr(processes, "_own", lambda: [_Process(name) for name in running])
    monkeypatch.setattr(processes, "stop", lambda: None)
    monkeypatch.setattr(processes, "_start", start)
    processes.keep(may_start=True)
    assert asked == as_head


@pytest.mark.parametrize("keep", [True, False])
def test_a_head_starts_though_other_boxes_of_its_machine_wait_for_the_one_before(
    tmp_path: Path, keep: bool
) -> None:
    settings = SiteSettings(site="shop", node="b1", address="a", head="a:1", capacity=1, is_head=True)
    last = tmp_path / "ray_current_cluster"
    last.write_text("a:1")
    RayProcesses(settings, tmp_path, {})._clear(keep_sessions=keep)
    assert last.exists() is keep


def test_no_secret_is_in_the_command_line(tmp_path: Path) -> None:
    settings = SiteSettings(site="shop", node="b1", address="a", head="a:1", capacity=1)
    canary = "a-token-that-is-secret"
    processes = RayProcesses(settings, tmp_path, {"RAY_AUTH_TOKEN_PATH": "/file", "X": canary})
    assert canary not in " ".join(processes.command(as_head=True))


ENOUGH_S = WRONG_ROOM_FOR_S + 0.1


@pytest.mark.parametrize(
    ("found", "may_have", "is_wrong"),
    [
        (box("a"), True, False),
        (box("a"), False, True),  # drained, and started before its agent heard of it
        (box("a", draining=True), False, False),  # it ends by itself once it is empty
        (box("a", draining=True), True, True),  # the drain has ended before it was empty
        (box("a", capacity=0), False, False),
        (box("a", capacity=0), True, True),
        (None, True, False),
    ],
)
def test_a_box_that_was_started_with_the_wrong_room_is_started_again(
    found: Box | None, may_have: bool, is_wrong: bool
) -> None:
    room = Room()
    assert not room.is_wrong(found, may_have, 100.0), "not at once: the other half may be on its way"
    assert room.is_wrong(found, may_have, 100.0 + ENOUGH_S) is is_wrong
    assert not room.is_wrong(found, may_have, 100.2 + ENOUGH_S), "the new start is given as long"


def test_a_room_that_was_wrong_for_a_moment_ends_nothing() -> None:
    room = Room()
    for at_s, may_have in ((100.0, False), (101.0, True), (102.0, False)):
        assert not room.is_wrong(box("a"), may_have, at_s)
    assert not room.is_wrong(box("a"), False, 100.0 + ENOUGH_S)
