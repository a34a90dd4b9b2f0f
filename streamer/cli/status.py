"""`streamer status`: what the running daemon is doing, as tables, as JSON, or again every second."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamer.api import control_socket as control
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, RunningError
from streamer.logs import redact

Json = Mapping[str, Any]

STATE_STYLES = {
    **dict.fromkeys(("live", "ready", "ok", "up"), "green"),
    **dict.fromkeys(("connecting", "starting", "waiting"), "yellow"),
    **dict.fromkeys(("disabled", "ended", "off"), "dim"),
}
SEVERITY_STYLES = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
RESTING_LEVELS = ("pictures", "packets")  # of a camera's gate
QUIET_STATES = ("live", "ready", "disabled")  # whose detail says nothing that a person must act on
SPARED = "decoded without the deblocking filter, since the box is full (streamer capacity says what fits)"
INTERVAL_S = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one object a line.")
@click.pass_obj
def status(store: ConfigStore, watch: bool, as_json: bool) -> None:
    """Show cameras, frames, ages, drops by reason, workers, ledger and sinks."""
    if not watch:
        report = ask(store)
        click.echo(json.dumps(report, indent=2)) if as_json else Console().print(page(report))
        return
    if as_json:
        while True:
            click.echo(json.dumps(ask(store), separators=(",", ":")))  # which flushes
            time.sleep(INTERVAL_S)
    _watch(store)


def _watch(store: ConfigStore) -> None:
    """In a terminal the page is drawn in place; elsewhere one page follows the other."""
    console = Console()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            try:
                shown: RenderableType = page(ask(store))
            except (RunningError, ConfigError) as error:  # a restart ends no watch
                shown = Text(str(error), style="red")
            if live is None:
                console.print(shown)
                console.file.flush()
            else:
                live.update(shown, refresh=True)
            time.sleep(INTERVAL_S)


def ask(store: ConfigStore) -> dict[str, Any]:
    """The daemon's status, with what is wrong with the files on disk, which it keeps out of force, among its
    warnings. No URL in it keeps a credential.

    Raises RunningError where none answers, or ConfigError where the files would not let one run.
    """
    config, faults = store.load_readable()
    missing = [] if store.exists() else [store.missing()]
    try:
        report: dict[str, Any] = _clean(control.call(config.control_path, "status"))
    except RunningError:
        for fault in missing:
            raise fault from None
        for fault in faults:
            raise ConfigError(f"{fault} (and no daemon answers on {config.control_path})") from None
        raise
    faults = [*missing, *faults]
    unapplied = [f"on disk, not in force: {fault}" for fault in faults]
    if unapplied and not any(str(fault) in text for fault in faults for text in report.get("warnings", ())):
        report["warnings"] = [*report.get("warnings", ()), *unapplied]
    return report


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


# ---- the tables: readable in 80 columns, with every term of the frame balance and every reason for a drop


def page(report: Json) -> RenderableType:
    """All of one status answer."""
    cameras = report.get("cameras", ())
    parts = [
        _headline(report),
        _cameras(report),
        *_frames(cameras),
        *_cores(cameras),
        *_detectors(cameras),
        *_notes(cameras),
    ]
    parts.append(_workers(report))
    if report.get("ledger"):
        parts.append(_ledger(report["ledger"]))
    parts += [_sink(name, sink) for name, sink in report.get("sinks", {}).items()]
    parts.append(_page(report.get("workers", ())))
    parts += [Text(f"warning: {text}", style="yellow") for text in report.get("warnings", ())]
    return Group(*parts)


def _headline(report: Json) -> Text:
    name = report.get("display_name") or str(report.get("node", ""))[:8]
    return Text(
        f"{name}  streamer {report.get('version', '?')}  pid {report.get('pid', '?')}  "
        f"up {duration(report.get('uptime_s', 0))}  config_rev {report.get('config_rev', '?')}"
    )


def _table(*left: str, right: tuple[str, ...], last: str) -> Table:
    table = Table(*left, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(last, overflow="fold")
    return table


def _cameras(report: Json) -> RenderableType:
    cameras = report.get("cameras", ())
    if not cameras:
        return Text("no cameras; add one: streamer camera add NAME URL", style="dim")
    table = _table("camera", "state", right=("fps", "inferred", "age p50", "p99 ms"), last="picture")
    for camera in cameras:
        age = camera.get("age_ms") or {}
        table.add_row(
            Text(str(camera.get("name"))),
            _state_and_health(camera),
            _number(camera.get("fps_decoded")),
            _number(camera.get("fps_inferred")),
            _number(age.get("p50"), digits=0),
            _number(age.get("p99"), digits=0),
            _picture(camera),
        )
    return table


def _frames(cameras: Sequence[Json]) -> list[RenderableType]:
    """The frames, which balance: decoded = inferred + gated + in flight + dropped, since the start."""
    if not cameras:
        return []
    table = _table(
        "camera", right=("decoded", "= inferred", "+ gated", "+ in flight", "+ dropped"), last="dropped as"
    )
    for camera in cameras:
        frames = camera.get("frames") or {}
        dropped = {reason: n for reason, n in (frames.get("dropped") or {}).items() if n}
        counted = (frames.get(key, 0) for key in ("decoded", "inferred", "gated", "in_flight"))
        table.add_row(
            Text(str(camera.get("name"))),
            *map(str, counted),
            str(sum(dropped.values())),
            Text("\n".join(f"{reason} {n}" for reason, n in dropped.items()) or "-"),
        )
    return [table]


def _cores(cameras: Sequence[Json]) -> list[RenderableType]:
    """What each camera costs now. Without anything that costs there is nothing to show."""
    rows = [(str(camera.get("name")), camera.get("cores") or {}) for camera in cameras]
    if not any(sum(cores.values()) for _, cores in rows):
        return []
    table = _table("camera", right=("cores", "= decode", "+ inference", "+ rest"), last="")
    for name, cores in rows:
        parts = [cores.get(part, 0.0) for part in ("decode", "inference", "rest")]
        table.add_row(Text(name), *(_number(cores, digits=2) for cores in (sum(parts), *parts)), "")
    return [table]


def _state(item: Json) -> Text:
    state = str(item.get("state", "?"))
    return Text(state, style=STATE_STYLES.get(state, "red"))


def _state_and_health(camera: Json) -> Text:
    """ "live", what is wrong with its picture if anything is, and how little is looked at in a rest."""
    state = _state(camera)
    health = (camera.get("health") or {}).get("state", "ok")
    if health != "ok":
        state.append(f" {health}", style="red")
    if camera.get("state") == "live" and camera.get("level") in RESTING_LEVELS:
        state.append(f" {camera['level']}", style="dim")
    return state


def _notes(cameras: Iterable[Json]) -> list[RenderableType]:
    """What cameras say of their state, below their table: too long for its cells."""
    notes: list[RenderableType] = []
    for camera in cameras:
        detail = camera.get("detail")
        if (
            camera.get("state") in QUIET_STATES
        ):  # what it sends, and behind that what is not as it was asked for
            detail = str(detail or "").partition("; ")[2]
        if detail:
            notes.append(Text(f"{camera.get('name')}: {detail}", style="yellow"))
        if camera.get("quarantine_s") is not None:
            left = duration(camera["quarantine_s"])
            text = f"{camera.get('name')}: alone in its process, which kept dying, for another {left}"
            notes.append(Text(text, style="yellow"))
        notes += [_alert(str(camera.get("name")), alert) for alert in camera.get("alerts") or ()]
        if rate := camera.get("rate"):
            fewer = 0 < rate["fps"] < (camera.get("fps_decoded") or rate["fps"] + 1)
            often = f"{rate['fps']:g} frames a second" if fewer else "every frame"
            notes.append(
                Text(f"{camera.get('name')}: {often} wanted (fps: auto): {rate['why']}", style="dim")
            )
        if region := camera.get("region"):
            notes.append(Text(f"{camera.get('name')}: {_region(region)}", style="dim"))
        if camera.get("decoding_spared"):
            notes.append(Text(f"{camera.get('name')}: {SPARED}", style="yellow"))
        if camera.get("scene"):
            notes.append(Text(f"{camera.get('name')} shows {_scene(camera['scene'])}"))
    return notes


def _region(region: Json) -> str:
    """What of the picture is inferred."""
    x1, y1, x2, y2 = region["box"]
    if region["share"] == 1:
        return f"all of the picture is inferred (region): {region['why']}"
    zoom = ", enlarged" if region["zoom"] else ""
    where = f"{x1:.2f},{y1:.2f} to {x2:.2f},{y2:.2f}"
    return f"{region['share']:.0%} of the picture is inferred (region: {where}{zoom}): {region['why']}"


def _alert(camera: str, alert: Json) -> Text:
    """What is raised, for how long, and how to ask why."""
    age_s = max(0.0, time.time() - alert["since_ns"] / 1e9)
    event = f"streamer explain {camera}/{alert['raised_seq']}"
    text = f"{camera}: alert {alert['alert']} ({alert['severity']}), for {duration(age_s)}; {event}"
    return Text(text, style=SEVERITY_STYLES.get(alert["severity"], "yellow"))


def _detectors(cameras: Iterable[Json]) -> list[RenderableType]:
    """Which model looks at which cameras, a line each."""
    users: dict[str, list[str]] = {}
    for camera in cameras:
        detector = camera.get("detector") or {}
        if detector.get("name"):
            how = " ".join(str(detector.get(k) or "") for k in ("engine", "precision")).strip()
            plain = detector["name"] == detector.get("engine")
            users.setdefault(detector["name"] + ("" if plain else f", {how}"), []).append(str(camera["name"]))
    return [Text(f"detector {model}: {' '.join(names)}") for model, names in users.items()]


def _scene(heads: Json) -> str:
    """What holds for each head: "scene street 93%"."""
    texts = []
    for name, now in heads.items():
        sure = "" if now["label"] == "unknown" else f" {now['probability']:.0%}"
        texts.append(f"{name} {now['label']}{sure}")
    return ", ".join(texts)


def _picture(camera: Json) -> Text:
    if not camera.get("width"):
        return Text("-")
    return Text(f"{camera['width']}x{camera.get('height')} {camera.get('codec', '')}".strip())


def _workers(report: Json) -> RenderableType:
    table = _table(
        "worker", "state", right=("pid", "restarts", "beat s", "cpu s", "MB"), last="cameras / last error"
    )
    for worker in report.get("workers", ()):
        said = Text(" ".join(worker.get("cameras") or ()))
        if worker.get("last_error"):
            said.append(("\n" if said else "") + str(worker["last_error"]), style="red")
        elif last := worker.get("last_exit"):
            said.append(f"{chr(10) if said else ''}ended {last['at'][:19]}Z: {last['reason']}", style="dim")
        table.add_row(
            Text(str(worker.get("name"))),
            _state(worker),
            str(worker.get("pid") or "-"),
            str(worker.get("restarts", 0)),
            _number(worker.get("beat_age_s")),
            _number(worker.get("cpu_s")),
            _number(worker.get("rss_mb"), digits=0),
            said,
        )
    return table


def _ledger(ledger: Json) -> Text:
    pruned = sum(n for why, n in ledger.get("pruned_for", {}).items() if why != "undelivered")
    used, limit = ledger.get("bytes", 0) / 1e6, ledger.get("max_bytes", 0) / 1e6
    return _store(
        "ledger",
        ledger,
        f"{ledger.get('committed', 0)} committed, {ledger.get('undelivered', 0)} undelivered, "
        f"{pruned} pruned, {used:.1f} of {limit:.0f} MB, "
        f"commit p99 {_number(ledger.get('commit_ms_p99'))} ms",
    )


def _page(workers: Iterable[Json]) -> Text:
    """Where people and programs find it."""
    api = next((worker for worker in workers if worker.get("role") == "api"), None)
    if api is None:
        return Text("page    off; api.listen in streamer.yaml turns it on (docs/page.md)", style="dim")
    told = api.get("status") or {}
    if told.get("warning"):
        return Text(f"page    {told['warning']}", style="red")
    address = told.get("address") or "-"
    return Text(f"page    at {address}; streamer token add NAME --role viewer --link lets somebody in")


def _sink(name: str, sink: Json) -> Text:
    blocked, dead = ", ".join(sink.get("blocked") or ()), sink.get("dead_letters", 0)
    return _store(
        name,
        sink,
        f"{sink.get('written', 0)} written, visible p50 {_number(sink.get('visible_ms_p50'))} ms"
        + (f", blocked: {blocked}" if blocked else "")
        + (f", {dead} dead letters: streamer sink dead-letters list {name}" if dead else ""),
    )


def _store(name: str, report: Json, text: str) -> Text:
    line = Text(f"{name:7} ")
    state = str(report.get("state", "?"))
    line.append(state, style=STATE_STYLES.get(state, "red"))
    line.append(f"  {text}")
    if report.get("last_error"):
        line.append(f"  {report['last_error']}", style="red")
    return line


def duration(seconds: float) -> str:
    """93784 as 1d 2h 3m; below an hour with seconds."""
    minutes, left_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h {minutes}m"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {left_s}s"


def _number(value: Any, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
