"""Case 16: a reader that holds its slots for seconds, dies with them, or gives them back twice. Capture goes
on all the time, the slots come back under a new generation, and every frame is accounted for.

That no frame is torn is looked at pixel by pixel in tests/streamer/test_ring_stress.py, between two processes
that do all three by chance; here they are the daemon's own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import camera

pytestmark = pytest.mark.integration

# Python runs this in every process of the daemon before anything else (site, sitecustomize).
GIVES_BACK_TWICE = """
import sys
if any(word.startswith("streamer.workers.infer") for word in sys.orig_argv):
    from streamer.workers.infer import scheduler
    real, before = scheduler.FrameRequest, []
    def request(camera, generation, leases, *what):
        again = (*leases, *leases, *before)
        before[:] = [*before, *leases][-8:]
        return real(camera, generation, again, *what)
    scheduler.FrameRequest = request
    open({note!r}, "w").close()
"""


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001 - it runs one
    """Not started; with three slots to a ring, the fewest."""
    daemon = Daemon(short_dir, inference={"engine": "motion"}, capture={"slots": 3}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


@pytest.fixture
def running(daemon: Daemon, moving_clip: Path) -> Daemon:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    wait_for_frames(daemon, 5)
    return daemon


def wait_for_frames(daemon: Daemon, more: int, kind: str = "inferred") -> None:
    before = daemon.status()["cameras"][0]["frames"][kind]
    daemon.wait_for(lambda s: s["cameras"][0]["frames"][kind] > before + more, 40, f"frames {kind}")


def assert_balanced(daemon: Daemon) -> None:
    daemon.wait_for(lambda s: unaccounted(s["cameras"][0]["frames"]) == 0, 10, "frames that add up")
    events = daemon.events("a")
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    daemon.wait_for(lambda s: s["cameras"][0]["state"] == "live", 20, "the camera to be live")
    assert daemon.stop() == 0


def test_capture_goes_on_while_a_reader_holds_its_slots_and_the_reader_goes_on_afterwards(
    running: Daemon,
) -> None:
    pid = running.kill_worker("infer-0", signal.SIGSTOP)
    try:
        wait_for_frames(running, 50, "decoded")  # two seconds of the stream
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for_frames(running, 20)
    assert {w["restarts"] for w in running.status()["workers"]} == {0}
    assert_balanced(running)


def test_slots_that_a_reader_dies_with_come_back_however_often_it_dies(running: Daemon) -> None:
    for death in (1, 2, 3, 4):  # more often than there are slots
        pid = running.kill_worker("infer-0", signal.SIGSTOP)
        running.wait_for(lambda s: s["cameras"][0]["frames"]["in_flight"] > 0, 20, "a frame in its hands")
        os.kill(pid, signal.SIGKILL)
        wait_for_restarts(running, death)
        wait_for_frames(running, 5)
    assert running.worker("capture-0")["restarts"] == 0
    assert_balanced(running)


def wait_for_restarts(daemon: Daemon, number: int) -> None:
    daemon.wait_for(
        lambda s: next(w for w in s["workers"] if w["name"] == "infer-0")["restarts"] == number,
        30,
        "its successor",
    )


def test_slots_given_back_twice_and_late_cost_no_frame(
    daemon: Daemon, moving_clip: Path, short_dir: Path
) -> None:
    hook, note = short_dir / "hook", short_dir / "note"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(GIVES_BACK_TWICE.format(note=str(note)))
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start(env={"PYTHONPATH": str(hook)})
    wait_for_frames(daemon, 60)
    assert note.exists(), "the reader is not the one that gives back twice"
    assert {w["restarts"] for w in daemon.status()["workers"]} == {0}
    assert_balanced(daemon)
