"""What `streamer status --json` shows, put together from the frame counters and from what workers report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from streamer.config.schema import CameraConfig, Config
from streamer.config.store import Misconfigured
from streamer.daemon import camera_terms, oom_kills
from streamer.daemon.process_manager import ProcessManager, WorkerProcess
from streamer.daemon.process_spec import Plan
from streamer.daemon.shared_memory import SharedState
from streamer.events.cloudevents import rfc3339
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.cpu_time import PARTS
from streamer.ipc.messages import SourceState
from streamer.models.camera_check import advice_on
from streamer.models.model_handle import display_name_of

REMEMBERED_NS = 3_600_000_000_000  # how long a kill for want of memory stays a warning


@dataclass(slots=True)
class CameraNote:
    """What the supervisor knows of a camera beside its frame counters."""

    state: SourceState | None = None
    warning: str = ""
    opens: int = 0
    term: CameraTerm | None = None  # of its site; None: it is the box's own
    quarantine_s: float | None = None  # how long it is still captured by a process of its own


def well_formed(status: dict[str, Any]) -> dict[str, Any]:
    """What a worker says of itself, without what is not as it is read below."""
    return {**status, **{key: _named_objects(status[key]) for key in ("cameras", "sinks") if key in status}}


def _named_objects(table: Any) -> dict[str, Any]:
    objects = table if isinstance(table, dict) else {}
    return {name: value for name, value in objects.items() if isinstance(value, dict)}


VERSION = version("streamer")  # read once: a status is wanted most where no file can be opened any more


def daemon_status(
    *,
    config: Config,
    node: str,
    rev: int,
    uptime_s: float,
    plan: Plan,
    manager: ProcessManager,
    shared: SharedState,
    notes: Mapping[str, CameraNote],
    misconfigured: Mapping[str, Misconfigured],
    warnings: list[str],
) -> dict[str, Any]:
    deliver = manager.processes.get("deliver")
    delivered = deliver.status if deliver else {}
    sinks = delivered.get("sinks", {})
    cameras = [
        camera_status(c, plan, manager, shared, notes.get(c.name, CameraNote())) for c in config.cameras
    ]
    cameras += [
        misconfigured_status(name, fault, shared, notes.get(name, CameraNote()))
        for name, fault in misconfigured.items()
    ]
    cameras.sort(key=lambda row: str(row["name"]))
    cameras = [row | _measured(shared, row["name"]) for row in cameras]
    camera_warnings = [f"camera {c['name']}: {c['warning']}" for c in cameras if c["warning"]]
    camera_warnings += [f"camera {c['name']}: {camera_terms.UNOWNED}" for c in cameras if c["owned"] is False]
    camera_warnings += [
        f"camera {c['name']}: {c['health']['detail']}" for c in cameras if (c["health"] or {}).get("detail")
    ]
    return {
        "node": node,
        "display_name": config.display_name,
        "version": VERSION,
        "pid": os.getpid(),
        "uptime_s": round(uptime_s, 1),
        "config_rev": rev,
        "cameras": cameras,
        "workers": [_worker_status(process, manager) for process in manager.processes.values()],
        "ledger": delivered.get("ledger", {}),
        "sinks": sinks,
        "redis": _first_redis(sinks) if delivered else {},
        "warnings": [
            *warnings,
            *_warnings_of_memory(manager),
            *_warnings_of_workers(manager),
            *camera_warnings,
            *(line for c in config.cameras if c.enabled for line in advice_on(c)),
        ],
    }


def camera_status(
    camera: CameraConfig, plan: Plan, manager: ProcessManager, shared: SharedState, note: CameraNote
) -> dict[str, Any]:
    """One camera's row; plain JSON without secrets."""
    name = camera.name
    state = note.state if camera.enabled else None
    worker = plan.capture_of.get(name, "")
    infer_worker = plan.infer_of.get(name, "")
    captured = _of_camera(manager, worker, name)
    inferred = _of_camera(manager, infer_worker, name)
    detector = inferred.get("detector")
    status: dict[str, Any] = {
        "name": name,
        "enabled": camera.enabled,
        "state": "disabled" if not camera.enabled else (state.state if state else "connecting"),
        "detail": state.detail if state else "",
        "width": state.width if state else 0,
        "height": state.height if state else 0,
        "codec": state.codec if state else "",
        "fps_decoded": captured.get("fps_decoded", 0.0),
        "level": captured.get("level", ""),
        "decoding_spared": captured.get("decoding_spared", False),
        "clip_buffer_mb": captured.get("clip_buffer_mb"),
        "fps_inferred": inferred.get("fps_inferred", 0.0),
        "rate": inferred.get("rate") if camera.enabled else None,
        "region": inferred.get("region") if camera.enabled else None,
        "age_ms": inferred.get("age_ms", {"p50": None, "p99": None}),
        "cores": _cores(captured, inferred) if camera.enabled else _cores({}, {}),
        "epoch": shared.epoch(name),
        "generation": shared.generation(name),
        "worker": worker,
        "infer_worker": infer_worker,
        "pipeline": camera.pipeline,
        "detector": _detector(detector if isinstance(detector, dict) else {}),
        "health": _health(state),
        "scene": inferred.get("scene") if state is not None and state.state == "live" else None,
        "alerts": inferred.get("alerts", []) if camera.enabled else [],
        "opens": note.opens,
        **camera_terms.told(note.term),
        **_warning(inferred.get("warning") or note.warning),
        "quarantine_s": None if note.quarantine_s is None else round(note.quarantine_s),
    }
    process = manager.processes.get(worker)
    status["restarts"] = process.restarts if process else 0
    status |= frames_status(shared, name)
    return status


def misconfigured_status(
    name: str, fault: Misconfigured, shared: SharedState, note: CameraNote
) -> dict[str, Any]:
    """The row of a camera whose file cannot be used: the same keys, of which little is known."""
    nothing = {"width": 0, "height": 0, "codec": "", "fps_decoded": 0.0, "fps_inferred": 0.0, "level": ""}
    return {
        "name": name,
        "enabled": None,
        "state": "misconfigured",
        "detail": fault.why,
        **nothing,
        "decoding_spared": False,
        "clip_buffer_mb": None,
        "rate": None,
        "region": None,
        "age_ms": {"p50": None, "p99": None},
        "cores": _cores({}, {}),
        "epoch": shared.epoch(name),
        "generation": shared.generation(name),
        "worker": "",
        "infer_worker": "",
        "pipeline": "",
        "detector": {},
        "health": None,
        "scene": None,
        "alerts": [],
        "opens": 0,
        **camera_terms.told(note.term),
        **_warning(""),
        "restarts": 0,
        **frames_status(shared, name),
    }


def _warning(text: str) -> dict[str, str]:
    """A camera's key `warning`, and `trouble`, its older name."""
    return {"warning": text, "trouble": text}


def _health(state: SourceState | None) -> dict[str, Any] | None:
    """Whether it can be believed, and since when; None where nobody watches it, or it is not live."""
    if state is None or not state.health:
        return None
    return {"state": state.health, "detail": state.health_detail, "since_ns": state.health_since_ns}


def _detector(described: Mapping[str, Any]) -> dict[str, Any]:
    """What a person wants to know of it; {} while none is loaded. `name` is what the model is known by."""
    if not described:
        return {}
    path = described.get("model")
    details = {k: described[k] for k in ("engine", "model", "precision", "warnings") if k in described}
    return {"name": display_name_of(Path(str(path))) if path else described.get("engine", ""), **details}


def frames_status(shared: SharedState, camera: str) -> dict[str, Any]:
    """The keys `frames` and `books`, its older name:
    decoded = inferred + gated + the sum of dropped + in_flight, at the moment this was taken.
    """
    frames: dict[str, Any] = {"decoded": 0, "inferred": 0, "gated": 0, "dropped": {}, "in_flight": 0}
    if shared.knows(camera):
        balance = shared.counters.balance(shared.row(camera))
        frames = {key: getattr(balance, key) for key in frames}
    return {"frames": frames, "books": frames}


def _cores(captured: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, float]:
    """How many cores a camera takes now, by part, as its workers say."""
    told = [status["cores"] for status in (captured, inferred) if isinstance(status.get("cores"), dict)]
    return dict.fromkeys(PARTS, 0.0) | {part: cores for each in told for part, cores in each.items()}


def _measured(shared: SharedState, camera: str) -> dict[str, Any]:
    """What its counters know since the daemon began: `latency`, histograms of its frames (ipc/latency.py),
    none where it has no counters, and `cpu_s`, what it has cost by part."""
    if not shared.knows(camera):
        return {"latency": {}, "cpu_s": dict.fromkeys(PARTS, 0.0)}
    row = shared.row(camera)
    return {"latency": shared.counters.latency(row), "cpu_s": shared.counters.cpu_s(row)}


def _first_redis(sinks: dict[str, Any]) -> dict[str, Any]:
    """What the key `redis` told before there were several sinks, and still does."""
    return next((sink for sink in sinks.values() if sink.get("kind") == "redis"), {"state": "off"})


def _of_camera(manager: ProcessManager, worker: str, camera: str) -> dict[str, Any]:
    process = manager.processes.get(worker)
    row = process.status.get("cameras", {}).get(camera, {}) if process else {}
    return dict(row)


def _last_exit(process: WorkerProcess) -> dict[str, str] | None:
    last = process.last_exit
    return {"reason": last.reason, "at": rfc3339(last.at_ns)} if last else None


def _warnings_of_memory(manager: ProcessManager) -> Iterator[str]:
    """A worker is back within a second: what killed it would not be seen otherwise."""
    for process in manager.processes.values():
        last = process.last_exit
        if last and last.reason == oom_kills.REASON and time.time_ns() - last.at_ns < REMEMBERED_NS:
            yield f"{process.spec.name} was {last.reason} (at {rfc3339(last.at_ns)})"


def _warnings_of_workers(manager: ProcessManager) -> Iterator[str]:
    """What a worker says of itself that a person should mend, in its status under `warning`."""
    for process in manager.processes.values():
        if text := process.status.get("warning"):
            yield f"{process.spec.name}: {text}"


def _worker_status(process: WorkerProcess, manager: ProcessManager) -> dict[str, Any]:
    cpu_s = rss_mb = 0.0
    if process.cpu is not None:
        try:
            times = process.cpu.cpu_times()
            cpu_s = round(times.user + times.system, 2)
            rss_mb = round(process.cpu.memory_info().rss / 1e6, 1)
        except (psutil.Error, OSError):  # it has ended since, or no descriptor is left to ask with
            cpu_s = rss_mb = 0.0
    own = {k: v for k, v in process.status.items() if k != "cameras"}
    return {
        "name": process.spec.name,
        "role": process.spec.role,
        "cameras": list(process.spec.cameras),
        "pid": process.child.pid if process.child else None,
        "state": process.state,
        "restarts": process.restarts,
        "beat_age_s": round(manager.beat_age_s(process), 2) if process.spec.process.on_bus else None,
        "cpu_s": cpu_s,
        "rss_mb": rss_mb,
        "last_error": process.last_error,
        "last_exit": _last_exit(process),
        "status": own,
    }
