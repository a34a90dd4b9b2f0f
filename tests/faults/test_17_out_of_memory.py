"""Case 17: the kernel kills a worker for memory. It alone dies, it comes back, and the reason is shown.

A real kill: the worker is put into a control group that has less than it uses.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.daemon.oom_kills import OomKills
from tests import cgroups
from tests.daemon import Daemon
from tests.moving import camera

pytestmark = pytest.mark.integration


def test_a_worker_killed_for_memory_comes_back_and_the_reason_stays_in_sight(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 40, "the camera")
    before = daemon.status()
    with cgroups.control_group("memory") as group:
        cgroups.limit(group, "memory", 1 << 20)
        cgroups.take(group, daemon.worker("capture-0")["pid"])
        daemon.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe")  # it needs memory for that
        daemon.wait_for(
            lambda s: any("want of memory" in warning for warning in s["warnings"]), 30, "the reason"
        )
    daemon.wait_for(
        lambda s: s["cameras"][0]["frames"]["inferred"] > before["cameras"][0]["frames"]["inferred"] + 20,
        30,
        "the camera again",
    )
    status = daemon.status()
    assert {w["name"]: w["restarts"] for w in status["workers"] if w["restarts"]} == {"capture-0": 1}
    killed = next(w for w in status["workers"] if w["name"] == "capture-0")
    assert killed["last_exit"]["reason"].startswith("killed for want of memory")
    assert "killed for want of memory" in daemon.cli("status").stdout.replace("\n", " ")
    assert daemon.stop() == 0


def test_only_a_kill_while_the_kernel_counted_one_is_put_down_to_memory(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 1\noom_kill 3\n")
    kills = OomKills(vmstat)
    assert kills.explain(-9) == ""
    vmstat.write_text("nr_free_pages 1\noom_kill 4\n")
    assert kills.explain(1) == ""  # another program's
    vmstat.write_text("nr_free_pages 1\noom_kill 5\n")
    assert "want of memory" in kills.explain(-9)
    assert kills.explain(-9) == ""
    vmstat.unlink()
    assert kills.explain(-9) == ""
