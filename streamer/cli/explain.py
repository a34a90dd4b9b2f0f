"""`streamer explain EVENT_ID`: what an event rests on, and what nearly happened."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from pipelines.alerts.event import summary
from streamer.api import explain as explanations
from streamer.cli.event_summary import one_line
from streamer.cli.ledger import ledger_path, open_ledger
from streamer.cli.lenient_config import readable
from streamer.cli.output_paths import check_outputs
from streamer.clips.explanation_image import draw_explanation
from streamer.config.store import ConfigStore


@click.command()
@click.argument("event_id")
@click.option("--camera", help="The camera, for an id of its stream (LINEAGE-SEQ).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.png",
    help="Draw lines, zones, the track's way and the crossing.",
)
@click.pass_obj
def explain(
    store: ConfigStore, event_id: str, camera: str | None, as_json: bool, picture: Path | None
) -> None:
    """Tell why the event EVENT_ID was made: its track, its rule, its frames, and what nearly happened.

    EVENT_ID is an event's id (NODE/CAMERA/LINEAGE/SEQ), CAMERA/SEQ, or with --camera the id of an entry of
    the camera's Redis stream (LINEAGE-SEQ). The ledger is read; a daemon may run or not.

    \b
    streamer explain gate/4711
    """
    event = explanations.parse_id(event_id, camera)
    config = readable(store)
    zone = ZoneInfo(config.timezone)
    ledger = ledger_path(config)
    check_outputs((picture,), (ledger, ledger.with_name(f"{ledger.name}-wal"), store.file))
    if picture is not None and picture.suffix.lower() != ".png":
        raise click.BadParameter(f"{picture}: a PNG is drawn: name it so", param_hint="--picture")
    reader = open_ledger(config)
    try:
        explanation = explanations.explain(reader, event)
    finally:
        reader.close()
    if picture is not None:
        draw_explanation(explanation, picture)
    if as_json:
        click.echo(json.dumps(explanation.as_dict, indent=2))
    else:
        for line in _text(explanation.as_dict, zone):
            click.echo(line)
    if picture is not None:
        click.echo(f"drawn: {picture}", err=True)


def _text(data: dict[str, Any], zone: ZoneInfo) -> list[str]:
    kind = data["type"].removeprefix("streamer.").rpartition(".v")[0]
    what = [data["camera"], kind, data["subject"]]
    what += [str(data[name]) for name in ("direction", "class") if name in data]
    lines = ["  ".join(word for word in what if word), *_row("id", data["id"])]
    lines += [*_frames(data["frames"], zone), *_margins(data["margins"]), *_rule(data["rule"], zone)]
    if "alert" in data:
        return [*lines, *_alert(data["alert"], zone), *_evidence(data["evidence"], zone)]
    if "set" in data:
        by = data["set"].get("by", "somebody")
        lines += _row("set", f"to {data['set']['count']} by {by}: {data['set'].get('reason', '')}")
    if "track" not in data:
        return [*lines, *_row("track", "this event is about no single track")]
    lines += _track(data["track"], zone)
    nearly = data["nearly"] or [{"text": "nothing: no other line or zone was near, no crossing was refused"}]
    for number, moment in enumerate(nearly):
        at = f"{_clock(moment['time'], zone)}  " if "time" in moment else ""
        lines += _row("nearly" if not number else "", at + moment["text"])
    return lines


def _row(title: str, text: str) -> list[str]:
    return [f"  {title:<8} {text}"]


def _clock(text: str, zone: ZoneInfo) -> str:
    at = datetime.fromisoformat(text).astimezone(zone)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def _day(text: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d} {_clock(text, zone)}"


def _frames(frames: dict[str, Any], zone: ZoneInfo) -> list[str]:
    decided, lines = frames["decided"], []
    if "happened" in frames:
        happened = frames["happened"]
        lines += _row("happened", f"{_day(happened['time'], zone)}, interpolated between frames")
    on = f"on frame {decided['frame_id']} of epoch {decided['epoch']}"
    if decided["frame_id"] < 0:
        on = "resting on no frame"
    lines += _row("decided", f"{_day(decided['time'], zone)}, {on}")
    if decided["frame_id"] >= 0:
        later = f", {happened['before_decision_s']:.2f} s after it happened" if "happened" in frames else ""
        taken = f"{decided['taken_ms']:.0f} ms when inference took it"
        ages = f"its frame was {decided['age_ms']:.0f} ms old ({taken})"
        lines += _row("", ages + later)
    return lines


def _margins(margins: dict[str, Any]) -> list[str]:
    if "margin" not in margins:
        return []
    text = f"{margins['margin']:.1f} bands beyond the line ({margins['margin_needed']:g} needed)"
    if "evidence" in margins:
        text += f", evidence of its boxes {margins['evidence']:.2f} ({margins['evidence_needed']:g} needed)"
    if "score" in margins:
        text += f", last score {margins['score']:.2f}"
    if "confidence" in margins:
        text += f"; right with a probability of {margins['confidence']:.2f}"
    return _row("margins", text)


def _rule(rule: dict[str, Any], zone: ZoneInfo) -> list[str]:
    rev = f"configuration revision {rule['config_rev']}"
    if "in_force_since" in rule:
        rev += f", in force since {_day(rule['in_force_since'], zone)[:19]}"
    lines = []
    for kind in ("line", "zone"):
        if kind in rule:
            spec = rule[kind]
            points = " ".join(f"{x:g},{y:g}" for x, y in spec["points"])
            classes = ", ".join(spec["classes"]) or "all classes"
            lines += _row("rule", f"{kind} {spec['name']} {points}, by {spec['anchor']}, {classes}")
    if region := rule.get("region"):
        where = region if isinstance(region, str) else ",".join(f"{edge:g}" for edge in region)
        rev += f"; region {where}: nothing outside of it was looked at"
    lines += _row("" if lines else "rule", rev)
    return lines + (_row("", rule["note"]) if "note" in rule else [])


def _alert(alert: dict[str, Any], zone: ZoneInfo) -> list[str]:
    keys = ", ".join(f"{key}: {value}" for key, value in alert["rule"].items() if key != "name")
    lines = _row("alert", keys)
    lines += _row(alert["state"], summary(alert))
    begun = datetime.fromtimestamp(alert["since_captured_ns"] / 1e9, zone)
    lines += _row("since", f"{begun:%Y-%m-%d %H:%M:%S}, {alert['duration_s']:.1f} s before")
    tracks = ", ".join(f"{track['class']} {track['track_id']}" for track in alert["tracks"])
    return lines + (_row("tracks", tracks) if tracks else [])


def _evidence(evidence: list[dict[str, Any]], zone: ZoneInfo) -> list[str]:
    lines = []
    for number, told in enumerate(evidence):
        text = told["event"]
        if "type" in told:
            kind = told["type"].removeprefix("streamer.").rpartition(".v")[0]
            what = one_line(told["type"], told["data"]) or ""
            text = "  ".join(x for x in (_clock(told["time"], zone), text, kind, told["subject"], what) if x)
        lines += _row(
            "because" if not number else "", text + (f" ({told['note']})" if "note" in told else "")
        )
    return lines


def _track(track: dict[str, Any], zone: ZoneInfo) -> list[str]:
    text = f"{track['track_id']} of epoch {track['epoch']}, {track['state']}"
    if "seconds" not in track:
        return _row("track", ": ".join(part for part in (text, track.get("note", "")) if part))
    text += f", {_clock(track['first'], zone)} to {_clock(track['last'], zone)} ({track['seconds']:.1f} s)"
    lines = _row("track", text)
    votes = sum(track["votes"].values()) or 1
    shares = ", ".join(
        f"{name} {n} of {votes}" for name, n in sorted(track["votes"].items(), key=lambda item: -item[1])
    )
    lines += _row("votes", f"{shares} places; counted {track['crossings']} times in all")
    if track.get("path"):
        first, last = track["path"][0], track["path"][-1]
        way = f"{len(track['path'])} knots, from {_middle(first)} to {_middle(last)}"
        lines += _row("path", way)
    return lines


def _middle(knot: list[float]) -> str:
    return f"{(knot[1] + knot[3]) / 2:.2f},{(knot[2] + knot[4]) / 2:.2f}"
