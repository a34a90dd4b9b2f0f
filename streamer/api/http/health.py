"""`/livez` and `/readyz`: for who restarts and who balances. They tell two words, and nothing of what is
watched. For who has a token `/api/v1/status`: how the daemon stands, and `/api/v1/health`: what is wrong.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from streamer.api.http.problems import HttpRefusal
from streamer.errors import StreamerError
from streamer.logs import redact

_OF_THE_DAEMON = ("display_name", "node", "version", "uptime_s", "config_rev")
_OF_WORKERS = ("name", "role", "state", "restarts", "rss_mb", "cpu_s", "last_error")
_OF_THE_LEDGER = (
    *("state", "bytes", "max_bytes", "oldest", "undelivered", "retention_days", "commit_ms_p99"),
    "last_error",
)
_OF_SINKS = ("state", "written", "undelivered", "visible_ms_p50", "last_error")
WELL = frozenset({"live", "disabled", "ended"})  # states of a camera in which nothing is to be mended
LEVELS = ("ok", "warn", "fail")  # as `streamer doctor` has them
AWAITED = ("deliver", "infer")  # roles of the workers without which nothing is counted


async def livez() -> JSONResponse:
    """The API answers."""
    return JSONResponse({"status": "alive"})


def readyz(request: Request) -> JSONResponse:
    """The daemon answers, and all that counting needs is up: else 503."""
    try:
        workers = request.app.state.site.status()["workers"]
    except StreamerError:
        raise HttpRefusal(503, "the daemon does not answer") from None
    if any(worker["state"] != "ready" for worker in workers if worker["role"] in AWAITED):
        raise HttpRefusal(503, "workers are starting")
    return JSONResponse({"status": "ready"})


def status(request: Request) -> JSONResponse:
    """How the daemon stands: workers, ledger, sinks, disk and warnings. What may name a camera is for those
    who see all of them."""
    site, token = request.app.state.site, request.state.token
    report, all_cameras = site.status(), token.cameras is None
    document = {
        **_some(report, _OF_THE_DAEMON, True),
        "workers": [_some(worker, _OF_WORKERS, all_cameras) for worker in report["workers"]],
        "ledger": _some(report.get("ledger") or {}, _OF_THE_LEDGER, all_cameras),
        "sinks": {name: _some(s, _OF_SINKS, all_cameras) for name, s in report.get("sinks", {}).items()},
        "disk": _disk(site.ledger_path.parent),
        "warnings": [redact(text) for text in report.get("warnings", ()) if all_cameras],
    }
    return JSONResponse(document)


def health(request: Request) -> JSONResponse:
    """What is wrong, camera by camera: `fail` where nothing is counted that should be, `warn` where it is
    not to be trusted, with what to do in `why`; `level` is the worst of all. Of workers for who sees all."""
    site, token = request.app.state.site, request.state.token
    report = site.status()
    cameras = [health_of(row) for row in report["cameras"] if token.sees(row["name"])]
    workers = [w for w in report["workers"] if w["state"] != "ready"] if token.cameras is None else []
    waiting = [
        {"name": w["name"], "state": w["state"], "why": redact(w["last_error"] or "")} for w in workers
    ]
    levels = [*(camera["level"] for camera in cameras), *("fail" for w in workers if w["role"] in AWAITED)]
    worst = max(levels, key=LEVELS.index, default="ok")
    return JSONResponse({"level": worst, "cameras": cameras, "workers": waiting})


def health_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A camera's row of the status, judged."""
    watched = row["health"] or {"state": "ok", "detail": "", "since_ns": None}
    blind, well = watched["state"] != "ok", row["state"] in WELL
    said = ("" if well else row["detail"], watched["detail"], row["warning"])
    why = [redact(text) for text in said if text]
    return {
        "name": row["name"],
        "level": "fail" if not well else "warn" if blind or row["warning"] else "ok",
        "state": row["state"],
        "seen": watched["state"] if row["health"] else None,
        "since_ns": watched["since_ns"],
        "why": why,
    }


def _some(item: Mapping[str, Any], keys: Iterable[str], with_texts: bool) -> dict[str, Any]:
    found = {key: item.get(key) for key in keys}
    if "last_error" in found:
        found["last_error"] = redact(str(found["last_error"] or "")) if with_texts else ""
    return found


def _disk(folder: Path) -> dict[str, int] | None:
    """The room where the ledger is, in bytes; None where it cannot be told."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return {"total": usage.total, "free": usage.free}
