"""What it costs that many look: the daemon at full load alone and with listeners, in turn; delays.

The listeners run on the same machine, so that frames/s fall by their own work as well: it is in a row beside.
A commit is seen by asking the ledger every 10 ms. A month of counts is put into the ledger before; the API's
answer alone is timed, the page's drawing by its tests.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from streamer.config.schema import LEDGER_FILE
from streamer.errors import StorageError
from streamer.ledger.event_feed import EventFeed, EventFilter
from tests.api_rig import ApiDaemon
from tests.bench import rounds
from tests.bench.api_month import fill
from tests.moving import camera, write_moving_clip

NAME = "api"
DESCRIPTION = (
    "the API at full load: frames/s with 50 listeners and without, delays, a month of counts, memory"
)

LISTENERS, SCRAPES_A_MINUTE = 50, 20
MONTH_CAMERAS, MONTH_ANSWERS = 16, 2
POLL_S = 0.01
GOALS = {
    "frames_ratio": 0.97,
    "delay_p95_s": 1.0,
    "month_day_ms": 300.0,
    "month_hour_ms": 300.0,
    "api_rss_mb": 120.0,
    "first_paint_ms": 1000.0,
}


def run(rounds_: int = 5, measured_s: float = 12.0, cameras: int = 4, month: bool = True) -> dict[str, Any]:
    """`rounds_` pairs of `measured_s` each with and without listeners, over `cameras` moving scenes."""
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        base = Path(folder)
        clip = write_moving_clip(base / "moving.mp4", 20)
        daemon = _daemon(base / "d", clip, cameras)
        if month:
            daemon.start()
            assert daemon.stop() == 0
            fill(ledger_of(daemon), MONTH_CAMERAS)
        daemon.serve()
        try:
            watched = Watched(daemon, measured_s)
            watched.sample(0)  # warm
            pairs = rounds.in_turn(lambda: watched.sample(0), lambda: watched.sample(LISTENERS), rounds_)
            values = {**_of_pairs(pairs), **_delays(pairs)}
            if month:
                values |= _month(daemon)
            return {
                "values": {**values, "api_rss_mb": daemon.memory_mb(), **_first_paint(daemon)},
                "target": GOALS,
                "rounds": rounds_,
                "method": f"{cameras} cameras, default detector; {LISTENERS} SSE streams, "
                f"{SCRAPES_A_MINUTE} scrapes a minute; medians of rounds in turn",
            }
        finally:
            daemon.kill()


def render(result: dict[str, Any]) -> str:
    lines = [result["method"]]
    for name, value in result["values"].items():
        goal = GOALS.get(name)
        sign = ">=" if name == "frames_ratio" else "<="
        shown = "not measured" if value is None else f"{value:.3f}"
        lines.append(f"  {name:24} {shown:>14}" + (f"   goal {sign} {goal:g}" if goal else ""))
    return "\n".join(lines)


def _daemon(base: Path, clip: Path, cameras: int) -> ApiDaemon:
    daemon = ApiDaemon(base, clip, inference={"engine": "auto"}, counts={"bucket_s": 5})
    for name in ("a", "b"):
        (daemon.config_dir / "cameras.d" / f"{name}.yaml").unlink()
    for n in range(cameras):
        daemon.write_camera(camera(f"cam{n}", clip, loop=True))
    return daemon


def ledger_of(daemon: ApiDaemon) -> Path:
    return daemon.state_dir / LEDGER_FILE


class Watched:
    """One daemon, measured again and again."""

    def __init__(self, daemon: ApiDaemon, measured_s: float) -> None:
        self._daemon, self._measured_s = daemon, measured_s

    def sample(self, listeners: int) -> dict[str, Any]:
        """Frames/s, CPU of the daemon and of its API, and when each event was committed and came."""
        committed: dict[str, float] = {}
        end = threading.Event()
        watcher = threading.Thread(target=_watch, args=(ledger_of(self._daemon), committed, end))
        client = self._listeners(listeners) if listeners else None
        watcher.start()
        before, began_s = self._counters(), time.perf_counter()
        time.sleep(self._measured_s)
        after, wall_s = self._counters(), time.perf_counter() - began_s
        told = json.loads(client.communicate(timeout=60)[0].splitlines()[-1]) if client else {}
        end.set()
        watcher.join()
        spent = {name: (after[name] - before[name]) / wall_s for name in before}
        return {**spent, "committed": committed, "clients": told}

    def _listeners(self, count: int) -> subprocess.Popen[str]:
        host, port = self._daemon.address
        scrapes = max(1, round(SCRAPES_A_MINUTE * self._measured_s / 60))
        words = [host, port, self._daemon.secrets["viewer"], count, self._measured_s + 2, scrapes]
        command = [sys.executable, "-m", "tests.bench.api_listeners", *map(str, words)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(1.5)  # until they are connected
        return client

    def _counters(self) -> dict[str, float]:
        status = self._daemon.status()
        frames = sum(row["frames"]["inferred"] + row["frames"]["gated"] for row in status["cameras"])
        cpu = {worker["name"]: float(worker["cpu_s"]) for worker in status["workers"]}
        return {"frames": float(frames), "cpu": sum(cpu.values()), "api_cpu": cpu["api"]}


def _watch(ledger: Path, committed: dict[str, float], end: threading.Event) -> None:
    with closing(EventFeed(ledger)) as feed:
        row = feed.last_row()
        while not end.wait(POLL_S):
            try:
                page = feed.page(row, EventFilter(), 1000)
            except StorageError:
                continue
            row, now_s = page.row, time.time()
            committed.update((json.loads(event.body)["id"], now_s) for event in page.events)


def _of_pairs(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
    return {
        "frames_s_alone": statistics.median(alone["frames"] for alone, _ in pairs),
        "frames_s_watched": statistics.median(seen["frames"] for _, seen in pairs),
        "frames_ratio": statistics.median(seen["frames"] / alone["frames"] for alone, seen in pairs),
        "cpu_share_of_api": statistics.median(seen["api_cpu"] / seen["cpu"] for _, seen in pairs),
        "api_cpu_s_a_s_alone": statistics.median(alone["api_cpu"] for alone, _ in pairs),
        "api_cpu_s_a_s_watched": statistics.median(seen["api_cpu"] for _, seen in pairs),
        "clients_cpu_s": statistics.median(seen["clients"]["cpu_s"] for _, seen in pairs),
        "streams_ended": float(max(seen["clients"]["ended"] for _, seen in pairs)),
    }


def _delays(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
    """From a commit, as the ledger was seen to have it, to each stream."""
    delays = [
        max(0.0, at_s - seen["committed"][event])
        for _, seen in pairs
        for event, at_s in seen["clients"]["arrived"]
        if event in seen["committed"]
    ]
    return {
        "deliveries": float(len(delays)),
        "delay_p50_s": statistics.median(delays),
        "delay_p95_s": rounds.percentile(delays, 95),
        "delay_max_s": max(delays),
    }


def _month(daemon: ApiDaemon) -> dict[str, float]:
    """Milliseconds of the first answer, and of the median of those after it."""
    found = {}
    with daemon.client("viewer") as client:
        client.timeout = 300
        for period in ("day", "hour"):  # by the hour it is the page's chart of one camera
            took = []
            for _ in range(MONTH_ANSWERS):
                began_s = time.perf_counter()
                answer = client.get(
                    "/api/v1/counts", params={"since": "30d", "by": f"camera,{period},direction"}
                )
                took.append(1000 * (time.perf_counter() - began_s))
                assert answer.status_code in (200, 422), answer.text[:300]
            found[f"month_{period}_first_ms"], found[f"month_{period}_ms"] = (
                took[0],
                statistics.median(took[1:]),
            )
    return found


def _first_paint(daemon: ApiDaemon) -> dict[str, float | None]:
    """Of the page, in Chromium; None where there is none."""
    path = shutil.which("chromium")
    if path is None:
        return {"first_paint_ms": None}
    from playwright.sync_api import sync_playwright

    script = "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        took = []
        for _ in range(3):
            page = browser.new_page()
            page.goto(daemon.url)
            until_s = time.monotonic() + 20
            while not (painted := page.evaluate(script)) and time.monotonic() < until_s:
                time.sleep(0.05)  # the page lets nobody evaluate a text while it waits
            took.append(float(painted[0]))
            page.close()
        browser.close()
    return {"first_paint_ms": statistics.median(took)}
