"""`/metrics`, for Prometheus: how cameras, ledger, sinks and workers stand, of the cameras that the token
is for.

Names carry their units (https://prometheus.io/docs/practices/naming/); counters begin at 0 with the
daemon, but for crossings, which are the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, get_args

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from streamer.api.http.coverage_sums import CoverageSums
from streamer.api.http.site import Site
from streamer.api.tokens import Token
from streamer.errors import StorageError
from streamer.ipc.messages import CameraState
from streamer.ledger import LedgerReader

Rows = list[dict[str, Any]]


def metrics(request: Request) -> Response:
    """The metrics in Prometheus' text format."""
    site, token = request.app.state.site, request.state.token
    registry = CollectorRegistry()
    registry.register(_Status(site, token, request.app.state.coverage))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


class _Status(Collector):
    def __init__(self, site: Site, token: Token, coverage: CoverageSums) -> None:
        self._site, self._token, self._coverage = site, token, coverage

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is asked of the daemon before collect()

    def collect(self) -> Iterator[Metric]:
        status = self._site.status()
        cameras = [row for row in status["cameras"] if self._token.sees(row["name"])]
        yield _gauge(
            "streamer_uptime_seconds", "How long the daemon has run.", [], [((), status["uptime_s"])]
        )
        yield from _of_cameras(cameras)
        yield from _of_ledger(status, {row["name"] for row in cameras}, self._token)
        yield from _of_workers(status["workers"])
        yield from _of_history(self._site, self._token, self._coverage)


def _of_cameras(rows: Rows) -> Iterator[Metric]:
    states = [((r["name"], s), r["state"] == s) for r in rows for s in get_args(CameraState)]
    yield _gauge("streamer_camera_state", "1 for the state that a camera is in.", ["camera", "state"], states)
    blind = [
        ((r["name"],), r["state"] == "live" and (r["health"] or {}).get("state", "ok") != "ok") for r in rows
    ]
    yield _gauge("streamer_camera_blind", "1 where a live camera cannot be believed.", ["camera"], blind)
    rates = [((r["name"], stage), r[f"fps_{stage}"]) for r in rows for stage in ("decoded", "inferred")]
    yield _gauge("streamer_camera_frame_rate_hertz", "Frames a second now.", ["camera", "stage"], rates)
    text = "How old frames were when they were counted."
    yield _histogram("streamer_frame_age_seconds", text, "age", rows)
    text = "How long the detector took over the batch that a frame was in."
    yield _histogram("streamer_inference_seconds", text, "inference", rows)
    yield _counter(
        "streamer_frames",
        "Frames that were decoded, by what became of them; reason says why they were dropped.",
        ["camera", "outcome", "reason"],
        [sample for row in rows for sample in _frames(row)],
    )
    text = "CPU time that a camera has cost: decode, inference, rest (tracking, counting, events)."
    cpu = [sample for row in rows for sample in _cpu(row)]
    yield _counter("streamer_camera_cpu_seconds", text, ["camera", "part"], cpu)


def _cpu(row: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for part, seconds in row["cpu_s"].items():
        yield (row["name"], part), seconds


def _frames(row: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    name, frames = row["name"], row["frames"]
    yield (name, "inferred", ""), frames["inferred"]
    yield (name, "gated", ""), frames["gated"]
    for reason, count in frames["dropped"].items():
        yield (name, "dropped", reason), count


def _of_ledger(status: dict[str, Any], seen: set[str], token: Token) -> Iterator[Metric]:
    ledger, sinks = status["ledger"], status["sinks"]
    if "bytes" in ledger:
        yield _gauge("streamer_ledger_size_bytes", "The ledger on disk.", [], [((), ledger["bytes"])])
    if "max_bytes" in ledger:
        text = "How large the ledger may become: ledger.max_mb."
        yield _gauge("streamer_ledger_limit_bytes", text, [], [((), ledger["max_bytes"])])
    lag = [
        ((sink, camera), _undelivered(of))
        for sink, its in ledger.get("sinks", {}).items()
        for camera, of in its["cameras"].items()
        if camera in seen or token.cameras is None
    ]
    sums = dict.fromkeys(ledger.get("sinks", {}), 0.0)
    for (sink, _), count in lag:
        sums[sink] += count
    text = "Events in the ledger that a sink does not have yet."
    yield _gauge("streamer_outbox_events", text, ["sink"], [((sink,), n) for sink, n in sums.items()])
    text = "Events of a camera in the ledger that a sink does not have yet."
    yield _gauge("streamer_outbox_camera_events", text, ["sink", "camera"], lag)
    up = [((name,), sink.get("state") == "up") for name, sink in sinks.items()]
    yield _gauge("streamer_sink_up", "1 where a sink takes events.", ["sink"], up)


def _undelivered(lag: Any) -> float:
    return float(lag["undelivered"] if isinstance(lag, dict) else lag)


def _of_workers(rows: Rows) -> Iterator[Metric]:
    up = [((row["name"],), row["state"] == "ready") for row in rows]
    yield _gauge("streamer_worker_up", "1 for a process that serves.", ["worker"], up)
    restarts = [((row["name"],), row["restarts"]) for row in rows]
    for name in ("streamer_restarts", "streamer_worker_restarts"):  # and under its older name
        yield _counter(name, "How often a process was started again.", ["worker"], restarts)
    memory = [((row["name"],), row["rss_mb"] * 1e6) for row in rows]
    yield _gauge("streamer_worker_resident_memory_bytes", "Memory of a process.", ["worker"], memory)


def _of_history(site: Site, token: Token, coverage: CoverageSums) -> Iterator[Metric]:
    """What the ledger has counted. Where it cannot be read these metrics are missing, as its own are, which
    an alert can be made of."""
    try:
        with closing(LedgerReader(site.ledger_path)) as reader:
            cameras = [camera for camera in reader.cameras() if token.sees(camera)]
            crossings = _crossings(reader, cameras)
            seconds = coverage.read(reader, cameras)
    except (StorageError, OSError):
        return
    labels = ["camera", "line", "direction", "class"]
    text = "Crossings in the ledger, with corrections."
    yield _counter("streamer_crossings", text, labels, list(crossings.items()))
    covered = [((camera, kind), n) for camera, its in seconds.items() for kind, n in its.items()]
    text = "Time in the ledger, by what was seen of it."
    yield _counter("streamer_coverage_seconds", text, ["camera", "kind"], covered)


def _crossings(reader: LedgerReader, cameras: Iterable[str]) -> dict[tuple[str, ...], int]:
    """Of all revisions of a line together: a counter never goes back because a line was moved."""
    sums: dict[tuple[str, ...], int] = {}
    for camera in cameras:
        for key, value in reader.totals(camera).items():
            kind, line, direction, _, class_name = key.split("/", 4)
            if kind == "line":
                place = (camera, line, direction, class_name)
                sums[place] = sums.get(place, 0) + value
    return sums


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def _counter(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _histogram(name: str, text: str, key: str, rows: Rows) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["camera"])
    for row in rows:
        if latency := row.get("latency"):
            buckets = [("+Inf" if le is None else f"{le:g}", n) for le, n in latency[key]["buckets"]]
            family.add_metric((row["name"],), buckets, latency[key]["sum_s"])
    return family


def _filled(family: Any, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, float(value))
    metric: Metric = family
    return metric
