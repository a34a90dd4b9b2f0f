"""How Ray is started on a box, as its command line says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamer.site.cluster_processes import RayProcesses
from streamer.site.settings import SiteSettings


def _options(folder: Path, as_head: bool, drained: bool = False, **more: object) -> dict[str, str]:
    given = {"site": "shop", "node": "b1", "address": "10.0.0.5", "head": "10.0.0.5:6380", "capacity": 1.7}
    settings = SiteSettings.model_validate({**given, "is_head": as_head, "labels": {"gpu": "yes"}, **more})
    words = RayProcesses(settings, folder, {}).command(as_head, drained)[4:]
    words = [word for word in words if word not in ("--head", "--disable-usage-stats")]
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


def test_no_secret_is_in_the_command_line(tmp_path: Path) -> None:
    settings = SiteSettings(site="shop", node="b1", address="a", head="a:1", capacity=1)
    canary = "a-token-that-is-secret"
    processes = RayProcesses(settings, tmp_path, {"RAY_AUTH_TOKEN_PATH": "/file", "X": canary})
    assert canary not in " ".join(processes.command(as_head=True))
