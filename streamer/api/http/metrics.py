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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

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
    registry.register(_Status(site, token))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


class _Status(Collector):
    def __init__(self, site: Site, token: Token) -> None:
        self._site, self._token = site, token

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
        yield _crossings(self._site, self._token)


def _of_cameras(rows: Rows) -> Iterator[Metric]:
    states = [((r["name"], s), r["state"] == s) for r in rows for s in get_args(CameraState)]
    yield _gauge("streamer_camera_state", "1 for the state that a camera is in.", ["camera", "state"], states)
    blind = [
        ((r["name"],), r["state"] == "live" and (r["health"] or {}).get("state", "ok") != "ok") for r in rows
    ]
    yield _gauge("streamer_camera_blind", "1 where a live camera cannot be believed.", ["camera"], blind)
    rates = [((r["name"], stage), r[f"fps_{stage}"]) for r in rows for stage in ("decoded", "inferred")]
    yield _gauge("streamer_camera_frame_rate_hertz", "Frames a second now.", ["camera", "stage"], rates)
    ages = [
        ((r["name"], quantile), r["age_ms"][key] / 1000)
        for r in rows
        for quantile, key in (("0.5", "p50"), ("0.99", "p99"))
        if r["age_ms"][key] is not None
    ]
    text = "How old frames are when they are counted, of the last ones."
    yield _gauge("streamer_frame_age_seconds", text, ["camera", "quantile"], ages)
    yield _counter(
        "streamer_frames",
        "Frames that were decoded, by what became of them; reason says why they were dropped.",
        ["camera", "outcome", "reason"],
        [sample for row in rows for sample in _frames(row)],
    )


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
    lag = [
        ((sink, camera), _undelivered(of))
        for sink, its in ledger.get("sinks", {}).items()
        for camera, of in its["cameras"].items()
        if camera in seen or token.cameras is None
    ]
    text = "Events in the ledger that a sink does not have yet."
    yield _gauge("streamer_outbox_events", text, ["sink", "camera"], lag)
    up = [((name,), sink.get("state") == "up") for name, sink in sinks.items()]
    yield _gauge("streamer_sink_up", "1 where a sink takes events.", ["sink"], up)


def _undelivered(lag: Any) -> float:
    return float(lag["undelivered"] if isinstance(lag, dict) else lag)


def _of_workers(rows: Rows) -> Iterator[Metric]:
    up = [((row["name"],), row["state"] == "ready") for row in rows]
    yield _gauge("streamer_worker_up", "1 for a process that serves.", ["worker"], up)
    restarts = [((row["name"],), row["restarts"]) for row in rows]
    yield _counter("streamer_worker_restarts", "How often a process was started again.", ["worker"], restarts)
    memory = [((row["name"],), row["rss_mb"] * 1e6) for row in rows]
    yield _gauge("streamer_worker_resident_memory_bytes", "Memory of a process.", ["worker"], memory)


def _crossings(site: Site, token: Token) -> Metric:
    """Of all revisions of a line together: a counter never goes back because a line was moved."""
    sums: dict[tuple[str, ...], int] = {}
    try:
        with closing(LedgerReader(site.ledger_path)) as reader:
            for camera in filter(token.sees, reader.cameras()):
                for key, value in reader.totals(camera).items():
                    kind, line, direction, _, class_name = key.split("/", 4)
                    if kind == "line":
                        place = (camera, line, direction, class_name)
                        sums[place] = sums.get(place, 0) + value
    except StorageError:
        sums = {}  # the ledger's own metrics are missing too, which an alert can be made of
    labels = ["camera", "line", "direction", "class"]
    text = "Crossings in the ledger, with corrections."
    return _counter("streamer_crossings", text, labels, list(sums.items()))


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def _counter(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _filled(family: Any, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, float(value))
    metric: Metric = family
    return metric
