"""How fast what waited through an outage of Redis is brought to it, in order, while new events go on.

A ledger is filled with as many crossings as asked for; then a delivery worker's publisher meets an empty
private Redis. Twice, with a tenth and with all of it, so that a
rate that falls with what waits is seen. Afterwards the streams are read back and held against the ledger.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from streamer.daemon import redis_server
from streamer.ipc.messages import EventRecord
from streamer.ipc.redis_keys import events_key
from streamer.ledger import Ledger
from streamer.sinks.redis import RedisSettings, RedisSink, connect
from streamer.workers.deliver.publisher import Publisher
from tests.bench.registry import Unavailable

NAME = "drain"
DESCRIPTION = "events a second from the ledger into an empty Redis after an outage (-o events=1000000)"

NODE = "7f0c0b2e-5a3d-4c64-9a57-3a1f5d1c2b11"
FILL_BATCH = 2000
PAGE = 5000
LIMIT_S = 1800.0
LIVE_PER_S = 100.0


def run(events: int = 1_000_000, cameras: int = 4, live_per_s: float = LIVE_PER_S) -> dict[str, Any]:
    """Rates of `events` and of a tenth of them, over `cameras`; `live_per_s` new events go on meanwhile."""
    try:
        redis_server.binary()
    except Exception as error:
        raise Unavailable(str(error)) from error
    rows = [_drain(count, cameras, live_per_s) for count in (max(cameras, events // 10), events)]
    return {"rows": rows, "live_per_s": live_per_s}


def render(result: dict[str, Any]) -> str:
    lines = [
        f"{'waiting':>9} {'live':>6} {'wall s':>7} {'events/s':>9} {'CPU us/event':>13}"
        f" {'Redis us/event':>15} {'out of order':>13} {'lost':>5} {'twice':>6}"
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['waiting']:>9} {row['live']:>6} {row['wall_s']:>7.1f} {row['per_s']:>9.0f}"
            f" {row['cpu_us']:>13.1f} {row['redis_cpu_us']:>15.1f} {row['out_of_order']:>13} {row['lost']:>5}"
            f" {row['twice']:>6}"
        )
    return "\n".join(lines)


def _drain(count: int, cameras: int, live_per_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="drain-", dir="/tmp") as folder:
        run_dir, state_dir = Path(folder) / "run", Path(folder) / "state"
        run_dir.mkdir(mode=0o700)
        state_dir.mkdir(mode=0o700)
        names = [f"cam{n}" for n in range(cameras)]
        ledger = Ledger(state_dir / "ledger.sqlite", NODE, max_bytes=64 << 30, retention_days=400)
        ledger.replace_sinks(["redis"])
        sequence = dict.fromkeys(names, 0)
        _fill(ledger, sequence, count)
        megabytes = 256 + count * 2 // 1000
        server = subprocess.Popen(
            redis_server.command(run_dir, state_dir, megabytes), stdout=subprocess.DEVNULL
        )
        try:
            _wait(lambda: redis_server.ping(run_dir))
            return _measured(ledger, sequence, count, run_dir, state_dir, live_per_s, server.pid)
        finally:
            ledger.close()
            server.terminate()
            server.wait()


def _measured(
    ledger: Ledger,
    sequence: dict[str, int],
    count: int,
    run_dir: Path,
    state_dir: Path,
    live_per_s: float,
    redis_pid: int,
) -> dict[str, Any]:
    settings = RedisSettings(kind="redis", name="redis", stream_max_len=10 * count)
    sink = RedisSink(settings, NODE, redis_server.writer_url(run_dir, state_dir))
    publisher = Publisher(ledger.path, "redis", sink)
    waited = dict(sequence)
    began_s, cpu_s, redis_s = time.perf_counter(), _cpu_s(), _process_cpu_s(redis_pid)
    publisher.start()
    live = 0
    while any(publisher.positions().get(name, 0) < seq for name, seq in waited.items()):
        live += _one_more(ledger, sequence)
        publisher.wake()
        time.sleep(1 / live_per_s)
        if not publisher.alive or time.perf_counter() - began_s > LIMIT_S:
            raise RuntimeError(f"the drain does not end: {publisher.status()}")
    wall_s = time.perf_counter() - began_s
    cpu_s, redis_s = _cpu_s() - cpu_s, _process_cpu_s(redis_pid) - redis_s
    _wait(lambda: all(publisher.positions().get(name, 0) >= seq for name, seq in sequence.items()))
    publisher.stop(10.0)
    return {
        "waiting": count,
        "live": live,
        "wall_s": round(wall_s, 2),
        "per_s": count / wall_s,
        "cpu_us": 1e6 * cpu_s / (count + live),
        "redis_cpu_us": 1e6 * redis_s / (count + live),
        **_read_back(run_dir, sequence),
    }


def _read_back(run_dir: Path, sequence: dict[str, int]) -> dict[str, int]:
    """Every entry of every stream against the numbers that were given out."""
    client = connect(redis_server.subscriber_url(run_dir))
    found = dict.fromkeys(("out_of_order", "lost", "twice"), 0)
    for name, last_seq in sequence.items():
        seen: set[int] = set()
        before, after = 0, "-"
        while page := client.xrange(events_key(NODE, name), min=after, count=PAGE):
            for entry, _ in page:
                seq = int(entry.partition(b"-")[2])
                found["twice"] += seq in seen
                found["out_of_order"] += seq < before
                seen.add(seq)
                before = seq
            after = f"({page[-1][0].decode()}"
        found["lost"] += last_seq - len(seen)
    client.close()
    return found


def _fill(ledger: Ledger, sequence: dict[str, int], count: int) -> None:
    names = list(sequence)
    for first in range(0, count, FILL_BATCH):
        batch = []
        for number in range(first, min(count, first + FILL_BATCH)):
            name = names[number % len(names)]
            sequence[name] += 1
            batch.append(_crossing(name, sequence[name]))
        ledger.commit(batch)


def _one_more(ledger: Ledger, sequence: dict[str, int]) -> int:
    name = next(iter(sequence))
    sequence[name] += 1
    ledger.commit([_crossing(name, sequence[name])])
    return 1


def _crossing(camera: str, seq: int) -> EventRecord:
    """With all that a crossing says of itself."""
    data: dict[str, Any] = {
        "line": "door",
        "direction": "in" if seq % 3 else "out",
        "side": "left_to_right",
        "class": "person",
        "group": "person",
        "track_id": seq,
        "point_xyn": [0.51234, 0.61234],
        "box_xyxyn": [0.41234, 0.31234, 0.51234, 0.61234],
        "score": 0.8123,
        "confidence": 0.912,
        "stands_for": 1.034,
        "rule_rev": 1,
        "crossed_captured_ns": 1_700_000_000_000_000_000 + seq * 10_000_000,
    }
    at_ns = data["crossed_captured_ns"] + 400_000_000
    return EventRecord(
        *(camera, seq, "streamer.line.crossed.v1", "door", 1, seq, seq * 40_000_000, at_ns, 12.5, 1, data),
        *(at_ns + 50_000_000, 11.25, 3.5),
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _process_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait(true: Any) -> None:
    end_s = time.monotonic() + 60
    while not true():
        if time.monotonic() > end_s:
            raise RuntimeError("did not happen in a minute")
        threading.Event().wait(0.02)
