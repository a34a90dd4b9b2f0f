"""`streamer ledger replay`: a sink is a projection of the ledger, and can be had again from it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from streamer.api import control_socket as control
from streamer.cli.click_types import Finite
from streamer.cli.ledger import check_known, ledger_path
from streamer.cli.lenient_config import readable
from streamer.cli.times import unix_s
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.daemon.camera_terms import CameraTerms
from streamer.errors import ConfigError, ControlError, RunningError, StreamerError
from streamer.events.cloudevents import NS_PER_S
from streamer.ledger import LedgerReader
from streamer.sinks import open_sink
from streamer.sinks.base import KnowsTerms, SinkSettings
from streamer.workers.deliver.publisher import Publisher
from streamer.workers.deliver.replay import Replay

POLL_S = 0.2
CLOSE_S = 5.0

Status = Mapping[str, Any]


@click.command()
@click.argument("sink")
@click.option("--camera", "cameras", multiple=True, help="Only this camera; may be repeated.")
@click.option("--since", default="all", show_default=True, help="From: 7d, 12h, all, 2026-05-01, …")
@click.option("--rebuild", is_flag=True, help="Delete what the sink has of these cameras first (not jsonl).")
@click.option(
    "--timeout",
    "timeout_s",
    type=Finite(1, 604_800),
    default=3600.0,
    show_default=True,
    help="Seconds to wait for the end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def replay(
    store: ConfigStore,
    sink: str,
    cameras: tuple[str, ...],
    since: str,
    rebuild: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Send SINK again what was captured from a time on, under the same ids.

    Through the daemon where one runs, else from here. What the sink has already it refuses, so that nothing
    is there twice; nothing that comes after its last event is passed over. A sink that is empty begins with
    --since. With --rebuild it is emptied of these cameras first.
    """
    config = readable(store)
    reader = LedgerReader(ledger_path(config))
    for camera in cameras:
        check_known(config, camera, reader.cameras())
    reader.close()
    settings = _sink(config, sink, rebuild)
    since_ns = max(0, unix_s(since, ZoneInfo(config.timezone))) * NS_PER_S
    request = {"sink": sink, "cameras": list(cameras), "since_ns": since_ns, "rebuild": rebuild}
    try:
        number = control.call(config.control_path, "replay", request)["number"]
    except RunningError:
        asked = Replay(1, cameras, since_ns, rebuild)
        done = _from_here(store, config, settings, asked, timeout_s)
    else:
        done = _until_done(lambda: _told(config.control_path, sink), number, timeout_s)
    text = f"{sink}: has all of it; {done['repeated']} events it had already, and refused"
    click.echo(json.dumps({"sink": sink, **done}) if as_json else text)


def _sink(config: Config, name: str, rebuild: bool) -> SinkSettings:
    known = {settings.name: settings for settings in config.event_sinks}
    if name not in known:
        raise ConfigError(f"no sink {name[:64]!r}; known: {', '.join(known) or 'there is none'}")
    if rebuild and not known[name].rebuilds:
        raise ConfigError(f"sink {name} cannot be written anew: move what it has written away instead")
    return known[name]


def _told(path: Path, sink: str) -> Status:
    status: Status = control.call(path, "status")["sinks"].get(sink, {})
    return status


def _from_here(
    store: ConfigStore, config: Config, settings: SinkSettings, asked: Replay, timeout_s: float
) -> dict[str, int]:
    """As the daemon's publisher does it. Should a daemon start meanwhile: no event is taken twice."""
    if settings == config.private_redis:
        raise RunningError("the private Redis runs with the daemon alone: start it, then try again")
    path = ledger_path(config)
    reader = LedgerReader(path)
    node = str(reader.status()["node"])
    reader.close()
    address = SecretStore(store).sink_address(settings).reveal()
    sink = open_sink(settings.kind, settings.model_dump_json(), node, address, path.parent)
    if isinstance(sink, KnowsTerms):
        sink.know_terms(CameraTerms(config.state_path).held())
    publisher = Publisher(path, settings.name, sink)
    publisher.replay(asked)
    publisher.start()
    try:
        return _until_done(lambda: _alive(publisher), asked.number, timeout_s)
    finally:
        publisher.stop(CLOSE_S)


def _alive(publisher: Publisher) -> Status:
    if not publisher.alive:
        raise publisher.ended_by or StreamerError("sending again has failed: see the lines above")
    return publisher.status()


def _until_done(ask: Callable[[], Status], number: int, timeout_s: float) -> dict[str, int]:
    """Wait until replay `number` is done. Raises ControlError with what holds it up, StreamerError."""
    end_s = time.monotonic() + timeout_s
    while True:
        status = ask()
        replay = status.get("replay", {})
        if replay.get("finished", 0) >= number:
            return {"repeated": int(replay["repeated"])}
        if time.monotonic() > end_s:
            why = status.get("last_error") or "; ".join(dict(status.get("blocked", {})).values())
            raise ControlError(
                f"not done within {timeout_s:g} s{f': {why}' if why else ''}; it goes on where a daemon runs"
            )
        time.sleep(POLL_S)
