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
from streamer.api.http.metric_table import METRICS
from streamer.api.http.site import Site
from streamer.api.tokens import Token
from streamer.errors import StorageError
from streamer.ipc.choices import CameraState
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
        yield _gauge("streamer_uptime_seconds", [((), status["uptime_s"])])
        yield from _of_cameras(cameras)
        yield from _of_ledger(status, {row["name"] for row in cameras}, self._token)
        yield from _of_workers(status["workers"])
        yield from _of_history(self._site, self._token, self._coverage)


def _of_cameras(rows: Rows) -> Iterator[Metric]:
    states = [((r["name"], s), r["state"] == s) for r in rows for s in get_args(CameraState)]
    yield _gauge("streamer_camera_state", states)
    blind = [
        ((r["name"],), r["state"] == "live" and (r["health"] or {}).get("state", "ok") != "ok") for r in rows
    ]
    yield _gauge("streamer_camera_blind", blind)
    rates = [((r["name"], stage), r[f"fps_{stage}"]) for r in rows for stage in ("decoded", "inferred")]
    yield _gauge("streamer_camera_frame_rate_hertz", rates)
    yield _histogram("streamer_frame_age_seconds", "age", rows)
    yield _histogram("streamer_inference_seconds", "inference", rows)
    yield _counter("streamer_frames", [sample for row in rows for sample in _frames(row)])
    cpu = [sample for row in rows for sample in _cpu(row)]
    yield _counter("streamer_camera_cpu_seconds", cpu)


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
        yield _gauge("streamer_ledger_size_bytes", [((), ledger["bytes"])])
    if "max_bytes" in ledger:
        yield _gauge("streamer_ledger_limit_bytes", [((), ledger["max_bytes"])])
    lag = [
        ((sink, camera), _undelivered(of))
        for sink, its in ledger.get("sinks", {}).items()
        for camera, of in its["cameras"].items()
        if camera in seen or token.cameras is None
    ]
    sums = dict.fromkeys(ledger.get("sinks", {}), 0.0)
    for (sink, _), count in lag:
        sums[sink] += count
    yield _gauge("streamer_outbox_events", [((sink,), n) for sink, n in sums.items()])
    yield _gauge("streamer_outbox_camera_events", lag)
    up = [((name,), sink.get("state") == "up") for name, sink in sinks.items()]
    yield _gauge("streamer_sink_up", up)


def _undelivered(lag: Any) -> float:
    return float(lag["undelivered"] if isinstance(lag, dict) else lag)


def _of_workers(rows: Rows) -> Iterator[Metric]:
    up = [((row["name"],), row["state"] == "ready") for row in rows]
    yield _gauge("streamer_worker_up", up)
    restarts = [((row["name"],), row["restarts"]) for row in rows]
    for name in ("streamer_restarts", "streamer_worker_restarts"):  # and under its older name
        yield _counter(name, restarts)
    memory = [((row["name"],), row["rss_mb"] * 1e6) for row in rows]
    yield _gauge("streamer_worker_resident_memory_bytes", memory)


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
    yield _counter("streamer_crossings", list(crossings.items()))
    covered = [((camera, kind), n) for camera, its in seconds.items() for kind, n in its.items()]
    yield _counter("streamer_coverage_seconds", covered)


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


def _gauge(name: str, samples: Samples) -> Metric:
    _, text, labels = METRICS[name]
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def _counter(name: str, samples: Samples) -> Metric:
    _, text, labels = METRICS[name]
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _histogram(name: str, key: str, rows: Rows) -> Metric:
    _, text, labels = METRICS[name]
    family = HistogramMetricFamily(name, text, labels=labels)
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
