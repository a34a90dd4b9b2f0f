"""All metrics of `/metrics`, and their reference as Markdown, written from them:

python -m streamer.api.http.metric_table > docs/reference/metrics.md
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]

# By name: its kind, what it tells, and its labels.
METRICS: dict[str, tuple[Kind, str, list[str]]] = {
    "streamer_camera_state": ("gauge", "1 for the state that a camera is in.", ["camera", "state"]),
    "streamer_camera_blind": ("gauge", "1 where a live camera cannot be believed.", ["camera"]),
    "streamer_camera_frame_rate_hertz": ("gauge", "Frames a second now.", ["camera", "stage"]),
    "streamer_frame_age_seconds": ("histogram", "How old frames were when they were counted.", ["camera"]),
    "streamer_inference_seconds": (
        "histogram",
        "How long the detector took over the batch that a frame was in.",
        ["camera"],
    ),
    "streamer_frames": (
        "counter",
        "Frames that were decoded, by what became of them; reason says why they were dropped.",
        ["camera", "outcome", "reason"],
    ),
    "streamer_camera_cpu_seconds": (
        "counter",
        "CPU time that a camera has cost: decode, inference, rest (tracking, counting, events).",
        ["camera", "part"],
    ),
    "streamer_ledger_size_bytes": ("gauge", "The ledger on disk.", []),
    "streamer_ledger_limit_bytes": ("gauge", "How large the ledger may become: ledger.max_mb.", []),
    "streamer_outbox_events": ("gauge", "Events in the ledger that a sink does not have yet.", ["sink"]),
    "streamer_outbox_camera_events": (
        "gauge",
        "Events of a camera in the ledger that a sink does not have yet.",
        ["sink", "camera"],
    ),
    "streamer_sink_up": ("gauge", "1 where a sink takes events.", ["sink"]),
    "streamer_worker_up": ("gauge", "1 for a process that serves.", ["worker"]),
    "streamer_restarts": ("counter", "How often a process was started again.", ["worker"]),
    "streamer_worker_restarts": ("counter", "How often a process was started again.", ["worker"]),
    "streamer_worker_resident_memory_bytes": ("gauge", "Memory of a process.", ["worker"]),
    "streamer_crossings": (
        "counter",
        "Crossings in the ledger, with corrections.",
        ["camera", "line", "direction", "class"],
    ),
    "streamer_coverage_seconds": (
        "counter",
        "Time in the ledger, by what was seen of it.",
        ["camera", "kind"],
    ),
    "streamer_uptime_seconds": ("gauge", "How long the daemon has run.", []),
}
_INTRODUCTION = """\
# Metrics

What `GET /metrics` tells Prometheus, of the cameras that the token is for ([api.md](../api.md)). Counters
begin at 0 with the daemon; `streamer_crossings_total` and `streamer_coverage_seconds_total` are
the ledger's. This page is written from the code by `python -m streamer.api.http.metric_table`.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def text() -> str:
    """The whole page."""
    return _INTRODUCTION + "".join(map(_row, METRICS))


def _row(name: str) -> str:
    kind, meaning, labels = METRICS[name]
    shown = f"{name}_total" if kind == "counter" else name
    return f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |\n"


if __name__ == "__main__":
    print(text(), end="")
