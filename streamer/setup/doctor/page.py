"""Whether the page is where people look for it: who holds the port of `api.listen`, this daemon or another
program."""

from __future__ import annotations

import socket
from typing import Any

from streamer.api import control_socket as control
from streamer.config.api_settings import Listen, parse_listen
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import StreamerError
from streamer.setup.doctor.check import Check, ok, warn

TIMEOUT_S = 3.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def check_page(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    """Where people find the page, which is off unless somebody turned it on."""
    if config.api.listen is None:
        return [ok("page", "off: api.listen in streamer.yaml turns it on (docs/page.md)")]
    return [_looked(config, config.api.listen)]


def _looked(config: Config, listen: str) -> Check:
    wanted = parse_listen(listen)
    api = _api_of(config)
    where = (api or {}).get("address") or ""
    if where and _is(wanted, where):
        return ok("page", f"at {where}: `streamer token add NAME --role viewer --link` lets a person in")
    if wanted.port != 0 and _held(wanted):
        advice = "end that program, or choose another api.listen"
        return warn("page", f"{listen} is held by another program than this daemon", advice)
    if api is None:
        return ok("page", f"will be at {listen}, which is free, when the daemon runs")
    advice = f"`systemctl reload streamer` ({api.get('warning') or 'or see `streamer status`'})"
    return warn(
        "page", f"the daemon does not listen at {listen}, but {f'at {where}' if where else 'nowhere'}", advice
    )


def _api_of(config: Config) -> dict[str, Any] | None:
    """How the daemon's API worker stands: its address and what is wrong; None where no daemon answers, which
    check_daemon tells."""
    if not config.control_path.exists():
        return None
    try:
        status = control.call(config.control_path, "status", {}, timeout_s=TIMEOUT_S)
    except StreamerError:
        return None
    worker: dict[str, Any] = next((w for w in status["workers"] if w["name"] == "api"), {})
    told = worker.get("status") or {}
    return {"address": told.get("address"), "warning": told.get("warning") or worker.get("last_error")}


def _is(wanted: Listen, address: str) -> bool:
    """Whether the worker's own `address` is the wanted one; port 0 is any."""
    if wanted.path or address.startswith("/"):
        return wanted.path == address
    try:
        has = parse_listen(address)
    except ValueError:
        return False
    return has.host == wanted.host and wanted.port in (0, has.port)


def _held(wanted: Listen) -> bool:
    """Whether somebody listens there."""
    family = socket.AF_UNIX if wanted.path else socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    target: Any = wanted.path or (_ANYWHERE.get(wanted.host, wanted.host), wanted.port)
    with socket.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(TIMEOUT_S)
        return caller.connect_ex(target) == 0
