"""`/livez` and `/readyz`: for who restarts and who balances. They tell two words, and nothing of what is
watched."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse

from streamer.api.http.problems import HttpRefusal
from streamer.errors import StreamerError

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
