"""What a daemon does for a while, read from its status about once a second, and from /proc at both ends."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from streamer.ipc.cpu_time import PARTS
from tests.bench import rounds
from tests.bench.capacity_sites import FPS
from tests.daemon import Daemon

EVERY_S = 1.0
LOOKED_AT = ("", "full")  # levels at which every frame that is due goes to inference
Status = dict[str, Any]


@dataclass
class Watched:
    """`begun_s`, `ended_s` on the wall clock; `wanted`: by camera, the frames that it should have had looked
    at; `rates`: by camera, how many a second were, read while it did not rest; `spared_s`: how long cameras
    were decoded without the deblocking filter, in all."""

    begun_s: float
    before: Status
    wanted: dict[str, float] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    spared_s: float = 0.0
    after: Status = field(default_factory=dict)
    ended_s: float = 0.0
    cpu_s: float = 0.0
    others_cpu_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended_s - self.begun_s


def watch(daemon: Daemon, seconds: float) -> Watched:
    """Look at it for so long."""
    assert daemon.process is not None
    pids = [daemon.process.pid]
    own_s, whole_s = rounds.cpu_seconds(pids), _busy_s()
    seen = Watched(time.time(), daemon.status())
    end_s = last_s = time.monotonic()
    end_s += seconds
    while (now_s := time.monotonic()) < end_s:
        time.sleep(min(EVERY_S, end_s - now_s))
        seen.after = daemon.status()
        last_s, took_s = time.monotonic(), time.monotonic() - last_s
        _note(seen, took_s)
    seen.ended_s = time.time()
    seen.cpu_s = rounds.cpu_seconds(pids) - own_s
    seen.others_cpu_s = max(0.0, _busy_s() - whole_s - seen.cpu_s)
    return seen


def _busy_s() -> float:
    """CPU seconds of all that runs on the machine."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + getattr(times, "softirq", 0.0))


def _note(seen: Watched, took_s: float) -> None:
    for camera in seen.after["cameras"]:
        seen.spared_s += took_s * camera["decoding_spared"]
        if camera["level"] not in LOOKED_AT:
            continue
        name, rate = camera["name"], (camera["rate"] or {}).get("fps") or FPS
        seen.wanted[name] = seen.wanted.get(name, 0.0) + min(rate, FPS) * took_s
        if camera["fps_inferred"] > 0:
            seen.rates.setdefault(name, []).append(camera["fps_inferred"])


# ---- what it comes to


def cameras(seen: Watched) -> dict[str, dict[str, Any]]:
    """By camera: what became of its frames, the share it had of those it wanted, ages and interval in ms."""
    before = {camera["name"]: camera for camera in seen.before["cameras"]}
    return {after["name"]: _camera(seen, before[after["name"]], after) for after in seen.after["cameras"]}


def _camera(seen: Watched, before: Status, after: Status) -> dict[str, Any]:
    name, then, now = after["name"], before["frames"], after["frames"]
    inferred = now["inferred"] - then["inferred"]
    rates = seen.rates.get(name) or [inferred / seen.seconds or FPS]
    dropped = {why: n - then["dropped"].get(why, 0) for why, n in now["dropped"].items()}
    wanted = seen.wanted.get(name, 0.0)
    return {
        "pace": (now["decoded"] - then["decoded"]) / (FPS * seen.seconds),
        "inferred": inferred,
        "gated": now["gated"] - then["gated"],
        "dropped": {why: n for why, n in dropped.items() if n},
        "wanted": round(wanted),
        "served": inferred / wanted if wanted else 1.0,
        "age_ms": after["age_ms"],
        "interval_ms": 1000 / statistics.median(rates),
        "cpu_s": {part: after["cpu_s"][part] - before["cpu_s"][part] for part in PARTS},
    }


def cores(seen: Watched) -> dict[str, float]:
    """How many cores were taken: by part of the cameras, by the daemon beside them, in all, and by others."""
    before = {camera["name"]: camera["cpu_s"] for camera in seen.before["cameras"]}
    by_part = {
        part: sum(c["cpu_s"][part] - before[c["name"]][part] for c in seen.after["cameras"]) for part in PARTS
    }
    by_part["beside"] = seen.cpu_s - sum(by_part.values())
    whole = {**by_part, "all": seen.cpu_s, "other_programs": seen.others_cpu_s}
    return {part: spent_s / seen.seconds for part, spent_s in whole.items()}
