"""`streamer analyze CLIP`: count in a clip without a daemon, with the same pipeline.

Counts go to standard output (a table, or one JSON object with --json), everything else to standard error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipelines.camera_rules import CameraRules
from pipelines.events import ALERT
from pipelines.pipeline import VIEW_MOVED
from pipelines.registry import DETECTORS
from pipelines.spec import PipelineSpec
from streamer.api.counts.sure_count import sure_count
from streamer.cli.click_types import ANALYSIS_WIDTH, Finite, stream_option
from streamer.cli.clip_arguments import (
    Drawing,
    chosen_actions,
    chosen_detector,
    chosen_scene,
    chosen_spec,
    clip_start,
    drawn_rules,
    frames_progress,
    given,
    parse_drawn,
    read_stored,
    refuse_with_boxes,
    say_if_short,
    say_which,
    site_rules,
    warn_low_confidence_missing,
)
from streamer.cli.event_summary import one_line
from streamer.cli.output_paths import check_outputs
from streamer.cli.people_option import hider, people_in, people_option
from streamer.cli.rules import DEFAULT_DIRECTIONS
from streamer.clips import analyze as analysis
from streamer.clips.analysis import Analysis
from streamer.clips.analyze import ClipStart, Outputs, Sparing
from streamer.clips.needed_frames import Looks
from streamer.clips.video_writer import format_of
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.sources.base import create_source
from streamer.sources.urls import is_generated

SIDES = ("left_to_right", "right_to_left")


@click.command("analyze")
@click.argument("clip")
@click.option("--model", help="Model file (.onnx), or the name of an installed model.")
@click.option(
    "--line",
    "lines",
    multiple=True,
    metavar="NAME=x1,y1,x2,y2",
    help="Counting line; more points: a poly-line.",
)
@click.option("--zone", "zones", multiple=True, metavar="NAME=x1,y1,x2,y2,x3,y3,…", help="Zone.")
@click.option(
    "--rules",
    "rules_file",
    type=click.Path(path_type=Path),
    metavar="RULES.yaml",
    help="Rules as in a camera's file: lines, zones, queues, flows, speeds, …",
)
@click.option(
    "--in", "inward", type=click.Choice(["left", "right"]), help="The side of each --line that is inside."
)
@click.option("--pixels", is_flag=True, help="Points are pixels of the clip, not shares of it.")
@click.option(
    "--anchor",
    type=click.Choice(["center", "foot", "top", "auto"]),
    help="The point of a box that crosses; auto: the preset's, else the foot of a person and the center of "
    "all else.  [default: center, with another preset than default: auto]",
)
@click.option("--classes", "--class", "classes", help="Only these classes or groups: person,vehicle")
@click.option("--pipeline", "pipeline_name", default="default", show_default=True, help="Preset.")
@click.option("--actions", metavar="MODEL", help="Tell what people do: motion, or an exported .onnx.")
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    metavar="MODEL.onnx",
    help="Tell what the whole picture shows, by a classifier of pictures.",
)
@click.option(
    "--scene-interval",
    type=Finite(0.2, 3600),
    default=5.0,
    show_default=True,
    help="Seconds between its looks.",
)
@click.option("--engine", type=click.Choice(["auto", *DETECTORS]), help="Instead of the preset's own.")
@click.option("--score", type=Finite(0, 1), help="Least score of a box, instead of the model's.")
@click.option(
    *ANALYSIS_WIDTH,
    type=click.IntRange(64, 3840),
    default=640,
    show_default=True,
    help="Width of the analysed picture.",
)
@click.option(
    "--gate",
    type=click.Choice(["off", "auto"]),
    default="off",
    show_default=True,
    help="auto: no frame is looked at while nothing moves in the picture.",
)
@click.option(
    "--fps",
    type=click.Choice(["all", "auto"]),
    default="all",
    show_default=True,
    help="auto: as many frames are looked at as what is followed needs.",
)
@stream_option
@click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: all cores.")
@click.option("--render", type=click.Path(path_type=Path), metavar="OUT.mp4", help="Draw what was found.")
@people_option
@click.option("--events", type=click.Path(path_type=Path), metavar="OUT.jsonl", help="Write every event.")
@click.option(
    "--detections",
    type=click.Path(path_type=Path),
    metavar="OUT.npz",
    help="Store what the detector saw; such a file is a CLIP too.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="When the clip begins (2026-11-29T22:00, the site's time), for alerts with `when` and `reset_at`.",
)
@click.option("--partial", is_flag=True, help="Count in a truncated clip what there is of it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def analyze(
    store: ConfigStore,
    /,
    clip: str,
    render: Path | None,
    events: Path | None,
    detections: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Count in CLIP (a video file, a synthetic: scene with seconds=, or stored detections .npz).

    \b
    streamer analyze street.mp4 --line 'road=0.1,0.6,0.9,0.6' --classes vehicle
    """
    scene, actions = asked["scene"], asked["actions"]
    if scene is None and given("scene_interval"):
        raise ConfigError("--scene-interval is for --scene: add --scene MODEL.onnx, or leave it out")
    spec = chosen_spec(asked["pipeline_name"], asked["engine"], asked["score"], actions)
    drawn = _drawn(store, asked, spec)
    start = clip_start(store, drawn.rules, asked["at"])
    wanted = tuple(word.strip() for word in (asked["classes"] or "").split(",") if word.strip())
    if render is not None:
        format_of(render)  # refused now, not after the clip was read
    people = people_in(store, asked["people"], render, "--render")
    outputs = Outputs(render, events, detections)
    read = (clip, asked["model"], actions, scene, asked["rules_file"], store.file)
    check_outputs((render, events, detections), read)
    if clip.endswith(".npz"):
        if scene is not None:
            raise ConfigError(f"{clip}: stored detections have no pictures: --scene needs a video")
        if asked["gate"] == "auto" or asked["fps"] == "auto":
            raise ConfigError(f"{clip}: stored detections are there already: leave out --gate and --fps")
        refuse_with_boxes(clip)
        result = _replay(Path(clip), drawn, wanted, spec, outputs, start)
    else:
        outputs = replace(outputs, hider=hider(store, spec, asked["model"], people, asked["threads"]))
        result = _analyze(store, clip, drawn, wanted, spec, outputs, asked, start)
    if result.view_moved > VIEW_MOVED:
        click.echo(
            f"the view moved by {result.view_moved:.0%} of the picture: lines and zones are not where they "
            "were drawn, so do not trust these counts",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(_as_dict(result)))
        return
    _print_analysis(result)
    if not (any(items for _, items in result.rules.named()) or scene or actions or render or detections):
        click.echo("nothing was asked for: add --line NAME=x1,y1,x2,y2 or --zone NAME=x1,y1,x2,y2,x3,y3")


def _drawn(store: ConfigStore, asked: Mapping[str, Any], spec: PipelineSpec) -> Drawing:
    return Drawing(
        [parse_drawn(text, "line", 2) for text in asked["lines"]],
        [parse_drawn(text, "zone", 3) for text in asked["zones"]],
        asked["pixels"],
        asked["anchor"] or "auto",
        asked["inward"],
        CameraRules() if asked["rules_file"] is None else site_rules(store, asked["rules_file"]),
        spec,
    )


def _analyze(
    store: ConfigStore,
    clip: str,
    drawn: Drawing,
    classes: tuple[str, ...],
    spec: PipelineSpec,
    outputs: Outputs,
    asked: Mapping[str, Any],
    start: ClipStart,
) -> Analysis:
    model, threads = asked["model"], asked["threads"]
    scene = chosen_scene(store, asked["scene"], asked["scene_interval"], model)
    source = create_source(clip, loop=False, realtime=False, stream=asked["stream"])
    with contextlib.closing(source):
        info = source.open()
        say_which(clip, info)
        if is_generated(clip) and info.frames is None:
            raise ConfigError(f"{clip}: this scene has no end: add seconds=60 to its URL")
        rules = drawn_rules(drawn, (info.width, info.height), classes)
        detector = chosen_detector(store, spec, model, threads, masks=outputs.render is not None)
        with frames_progress(info.frames) as advance:
            result = analysis.analyze(
                source,
                info,
                detector,
                rules,
                clip=clip,
                width=asked["width"],
                outputs=outputs,
                partial=asked["partial"],
                progress=advance,
                actions=chosen_actions(spec, detector, threads),
                scene=scene,
                start=start,
                sparing=Sparing(gate=asked["gate"] == "auto", rate=asked["fps"] == "auto"),
            )
        say_if_short(clip, info, result.duration_s)
        return result


def _replay(
    path: Path,
    drawn: Drawing,
    classes: tuple[str, ...],
    spec: PipelineSpec,
    outputs: Outputs,
    start: ClipStart,
) -> Analysis:
    if outputs.render is not None or outputs.detections is not None:
        raise ConfigError(
            f"{path}: stored detections have no pictures: --render and --detections need a video"
        )
    stored = read_stored(path)
    actions = chosen_actions(spec, analysis.Replayed(stored))
    if actions is not None and actions.needs_picture:
        raise ConfigError(f"{path}: stored detections have no pictures for {actions.model.path} to look at")
    if (
        actions is not None
        and actions.needs_low_confidence
        and stored.lacks_low_confidence
        and stored.detector.get("model")
    ):
        warn_low_confidence_missing(path)
    return analysis.replay(
        stored,
        drawn_rules(drawn, (stored.width, stored.height), classes),
        outputs=outputs,
        actions=actions,
        start=start,
    )


# ---- what is printed


def _as_dict(result: Analysis) -> dict[str, Any]:
    """The JSON object of --json."""
    moved = result.view_moved > VIEW_MOVED
    return {
        "frames": result.frames,
        "duration_s": round(result.duration_s, 3),
        "width": result.width,
        "height": result.height,
        "lines": {
            name: {
                "left_to_right": line.left_to_right,
                "right_to_left": line.right_to_left,
                "by_class": line.by_class,
                "intervals": {
                    side: list(sure_count(judgements, moved).interval or ())
                    for side, judgements in line.judgements.items()
                },
            }
            for name, line in result.lines.items()
        },
        "zones": {
            name: {
                "entered": zone.entered,
                "exited": zone.exited,
                "by_class": zone.by_class,
                "dwell_s": [round(s, 3) for s in zone.dwell_s],
            }
            for name, zone in result.zones.items()
        },
        "analytics": result.further,
        "alerts": result.alerts,
        "scenes": {
            head: {label: round(s, 3) for label, s in seconds.items()}
            for head, seconds in result.scenes.items()
        },
        "looks": None if result.looks is None else _looks(result.looks),
        "view_moved": round(result.view_moved, 4),
        "detector": result.detector,
    }


def _looks(looks: Looks) -> dict[str, Any]:
    """How many frames were looked at and why, and why the others were not."""
    counts = {key: getattr(looks, key) for key in ("inferred", "gated", "not_due", "discarded")}
    return {**counts, "why": dict(looks.why.most_common())}


def _looked_at(looks: Looks) -> str:
    why = ", ".join(f"{n} {reason}".rstrip() for reason, n in looks.why.most_common())
    return (
        f"{looks.inferred} of {looks.frames} frames were looked at ({why}); in {looks.gated} nothing moved, "
        f"{looks.not_due} were not needed"
    )


def _lines(result: Analysis) -> Table:
    """A column a direction, under the names that the lines give it; where they differ, beside the numbers."""
    ways = {line.name: (line.left_to_right, line.right_to_left) for line in result.rules.lines}
    alike = len(set(ways.values())) == 1
    first = next(iter(ways.values())) if alike else DEFAULT_DIRECTIONS
    heads = zip(first, ("left to right", "right to left"), strict=True)
    usual = first == DEFAULT_DIRECTIONS
    table = Table("line", "class", *(plain if usual else f"{way} ({plain})" for way, plain in heads))
    moved = result.view_moved > VIEW_MOVED
    for name, line in result.lines.items():
        names = ("", "") if alike else tuple(f" {way}" for way in ways[name])
        for kind, sides in sorted(line.by_class.items()):
            counted = (sides["left_to_right"], sides["right_to_left"])
            table.add_row(name, kind, *(f"{n}{way}" for n, way in zip(counted, names, strict=True)))
        both = (sure_count(line.judgements.get(side, ()), moved) for side in SIDES)
        cells = (f"{n}{way}" for n, way in zip(both, names, strict=True))
        table.add_row(name, "all", *cells, style="bold")
    return table


def _print_analysis(result: Analysis) -> None:
    console = Console()
    console.print(
        f"{result.frames} frames, {result.duration_s:.1f} s, {result.width}x{result.height}, "
        f"{result.detector.get('model') or result.detector.get('engine', '')}"
    )
    if result.looks is not None:
        console.print(_looked_at(result.looks))
    if result.lines:
        console.print(_lines(result))
    if result.zones:
        table = Table("zone", "entered", "exited", "mean stay (s)")
        for name, zone in result.zones.items():
            mean = f"{sum(zone.dwell_s) / len(zone.dwell_s):.1f}" if zone.dwell_s else ""
            table.add_row(name, str(zone.entered), str(zone.exited), mean)
        console.print(table)
    if result.scenes:
        table = Table("scene", "label", "seconds")
        for head, seconds in result.scenes.items():
            for label, s in sorted(seconds.items(), key=lambda item: -item[1]):
                table.add_row(head, label, f"{s:.1f}")
        console.print(table)
    if result.alerts:
        table = Table("alert", "state", "at", "why")
        for told in result.alerts:
            table.add_row(told["alert"], told["state"], f"{told['time_s']:.1f} s", one_line(ALERT, told))
        console.print(table)
    if result.further:
        table = Table("analytic", "rule", "events", "the last one")
        for kind, rules in sorted(result.further.items()):
            for name, told in rules.items():
                table.add_row(kind, name, str(told["events"]), one_line(f"streamer.{kind}.v1", told["last"]))
        console.print(table)
