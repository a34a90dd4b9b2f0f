"""`streamer evaluate CLIP --truth FILE`: how right the counts are, with pictures of what is wrong.

Tables go to standard output (or one JSON object with --json), everything else to standard error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.evaluate.acceptance import SCORES, Gate, GateError, Verdict, judge
from pipelines.evaluate.report import Section, clock, difference_interval, render_report
from pipelines.evaluate.summary import Difference, Evaluation, Row, as_dict, differences, measures
from pipelines.registry import DETECTORS
from streamer.cli.click_types import ANALYSIS_WIDTH, Finite, stream_option
from streamer.cli.clip_arguments import (
    chosen_detector,
    frames_progress,
    read_stored,
    say_which,
)
from streamer.cli.evaluate_arguments import (
    RulesOf,
    Setup,
    gates_of,
    rules_for,
    setups_for,
    size_of,
    start_of,
)
from streamer.cli.output_paths import check_outputs
from streamer.cli.people_option import hider, people_in, people_option
from streamer.clips.evaluation import (
    ClipRun,
    Judged,
    TruthFile,
    check_truth,
    judge_run,
    load_truth,
    run_clip,
    run_stored,
)
from streamer.clips.evaluation_images import take_pictures
from streamer.clips.people import PeopleHider
from streamer.config.schema import People
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, GateNotMet
from streamer.ipc.atomic_write import replacing
from streamer.sources.base import create_source
from streamer.sources.urls import is_generated

HEADS = ("true", "counted", "missed", "false", "gross", "%", "95 %", "net", "GEH")
SHOWN = 20  # misses and false counts that are listed; the report and --json have all


@click.command("evaluate")
@click.argument("clip", required=False)
@click.option(
    "--truth",
    "truth_path",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV of crossings (time,line,direction,class) or MOT text.",
)
@click.option("--truth-size", metavar="WxH", help="Picture size that the true boxes are measured in.")
@click.option("--truth-fps", type=Finite(0, 1000, min_open=True), help="Frame rate of the true boxes.")
@click.option("--camera", help="Use the lines, classes and preset of this camera.")
@click.option("--line", "lines", multiple=True, metavar="NAME=x1,y1,x2,y2", help="Counting line.")
@click.option(
    "--directions",
    multiple=True,
    metavar="NAME=LEFT_TO_RIGHT,RIGHT_TO_LEFT",
    help="Names of a line's two directions: door=in,out",
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
@click.option("--model", help="Model file (.onnx), or the name of an installed model.")
@click.option("--pipeline", "pipeline_name", help="Preset.  [default: the camera's, else default]")
@click.option("--engine", type=click.Choice(["auto", *DETECTORS]), help="Instead of the preset's own.")
@click.option("--score", type=Finite(0, 1), help="Least score of a box, instead of the model's.")
@click.option(
    *ANALYSIS_WIDTH,
    type=click.IntRange(64, 3840),
    default=640,
    show_default=True,
    help="Width of the analysed picture.",
)
@stream_option
@click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: all cores.")
@click.option("--partial", is_flag=True, help="Take a truncated clip as far as it goes.")
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Two models, presets, engines, or files of stored detections.",
)
@click.option(
    "--within",
    "within_s",
    type=Finite(0, 60, min_open=True),
    default=1.0,
    show_default=True,
    help="How many seconds a count may be away from its true crossing.",
)
@click.option("--start", metavar="HH:MM", help="Time of day at which the clip begins, for the table by hour.")
@click.option("--gate", "gates", multiple=True, metavar="'gross<=5%'", help="Exit code 11 if it is not met.")
@click.option("--report", type=click.Path(path_type=Path), metavar="OUT.html", help="Write the report.")
@click.option(
    "--pictures", type=click.IntRange(0), default=500, show_default=True, help="Most in the report."
)
@people_option
@click.option("--video", metavar="CLIP", help="Where pictures come from when CLIP is stored detections.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def evaluate(
    store: ConfigStore, /, truth_path: Path, report: Path | None, as_json: bool, **asked: Any
) -> None:
    """Compare the counts in CLIP (a video, a synthetic: scene, or stored detections .npz) with the truth.

    \b
    streamer evaluate door.mp4 --truth door.csv --line 'door=0.1,0.6,0.9,0.6' \\
        --directions door=in,out --report door.html --gate 'gross<=5%'
    """
    gates = gates_of(asked["gates"])
    people = people_in(store, asked["people"], report, "--report")
    read = (asked["clip"], asked["model"], asked["video"], truth_path, store.file, *(asked["compare"] or ()))
    check_outputs((report,), read)
    start_s = start_of(asked["start"])
    rules_of = rules_for(store, asked)
    if asked["pipeline_name"] is None:
        camera = None if asked["camera"] is None else store.load_with(asked["camera"])[1]
        asked["pipeline_name"] = "default" if camera is None else camera.pipeline
    setups = setups_for(asked)
    truth = load_truth(truth_path, size=size_of(asked["truth_size"]), fps=asked["truth_fps"])
    for gate in gates:
        if truth.boxes is None and gate.measure in SCORES:
            raise ConfigError(f"--gate {gate}: {gate.measure} needs truth with boxes (MOT text)")
    hiders = [_hider(store, setup, people) for setup in setups]
    judged = []
    for setup in setups:
        run = _run(store, setup, rules_of, truth)
        judged.append(judge_run(run, truth, within_s=asked["within_s"], start_s=start_s))
    compared = differences(judged[0].evaluation, judged[1].evaluation) if len(judged) > 1 else None
    verdicts = _verdicts(gates, judged[-1])
    if report is not None:
        _write(report, list(zip(judged, hiders, strict=True)), asked["pictures"], compared, verdicts)
    if as_json:
        click.echo(json.dumps(_as_dict(judged, compared, verdicts)))
    else:
        _print(judged, compared, verdicts)
    failed = [v for v in verdicts if not v.met]
    if failed:
        raise GateNotMet("gate not met: " + "; ".join(map(str, failed)))


# ---- the run


def _run(store: ConfigStore, setup: Setup, rules_of: RulesOf, truth: TruthFile) -> ClipRun:
    if setup.clip.endswith(".npz"):
        stored = read_stored(Path(setup.clip))
        rules = rules_of((stored.width, stored.height), setup.spec)
        check_truth(truth, rules)
        with frames_progress(len(stored.media_ns)) as advance:
            return run_stored(
                setup.name, stored, rules, video=setup.video, stream=setup.stream, progress=advance
            )
    if setup.video is not None:
        raise ConfigError("--video is for stored detections: a video has its own pictures")
    source = create_source(setup.clip, loop=False, realtime=False, stream=setup.stream)
    with contextlib.closing(source):
        info = source.open()
        say_which(setup.clip, info)
        if is_generated(setup.clip) and info.frames is None:
            raise ConfigError(f"{setup.clip}: this scene has no end: add seconds=60 to its URL")
        rules = rules_of((info.width, info.height), setup.spec)
        check_truth(truth, rules)
        detector = chosen_detector(store, setup.spec, setup.model, setup.threads)
        with frames_progress(info.frames) as advance:
            return run_clip(
                setup.name,
                setup.clip,
                source,
                info,
                detector,
                rules,
                width=setup.width,
                partial=setup.partial,
                stream=setup.stream,
                progress=advance,
            )


def _hider(store: ConfigStore, setup: Setup, people: People) -> PeopleHider | None:
    """None too where pictures are drawings, for want of a video."""
    if setup.clip.endswith(".npz") and setup.video is None:
        return None
    return hider(store, setup.spec, setup.model, people, setup.threads)


# ---- what came out


def _verdicts(gates: Sequence[Gate], judged: Judged) -> list[Verdict]:
    result = judged.evaluation
    try:
        return [judge(gate, measures(result), result.overall.true) for gate in gates]
    except GateError as error:
        raise ConfigError(str(error)) from error


def _write(
    path: Path,
    judged: Sequence[tuple[Judged, PeopleHider | None]],
    pictures: int,
    compared: dict[str, Difference] | None,
    verdicts: Sequence[Verdict],
) -> None:
    sections = [Section(each.evaluation, *take_pictures(each, pictures, hider)) for each, hider in judged]
    page = render_report(sections, differences=compared, verdicts=verdicts)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    click.echo(f"report: {path}", err=True)


def _as_dict(
    judged: Sequence[Judged], compared: dict[str, Difference] | None, verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    found = [as_dict(each.evaluation) for each in judged]
    gates = [
        {"gate": str(v.gate), "value": None if v.value == float("inf") else v.value, "met": v.met}
        for v in verdicts
    ]
    if compared is None:
        return {**found[0], "gates": gates}
    changes = {
        name: {"a": d.a, "b": d.b, "difference": d.difference, "difference_95": d.interval}
        for name, d in compared.items()
    }
    return {"a": found[0], "b": found[1], "differences": changes, "gates": gates}


def _print(
    judged: Sequence[Judged], compared: dict[str, Difference] | None, verdicts: Sequence[Verdict]
) -> None:
    for each in judged:
        _print_evaluation(each.evaluation)
    if compared is not None:
        _print_differences(judged[0].evaluation.name, judged[1].evaluation.name, compared)
    _print_verdicts(verdicts)


# ---- tables


def _print_evaluation(result: Evaluation) -> None:
    console = Console()
    facts = result.facts
    console.print(
        f"[bold]{escape(result.name)}[/bold] against {escape(facts['truth'])}: {facts['frames']} frames, "
        f"{result.duration_s:.1f} s, {facts['picture']}, {escape(facts['detector'])}"
    )
    table = Table("", *HEADS, box=None, padding=(0, 0, 0, 1), pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for key, rows in result.tables.items():
        if len(rows) > 1 or key == "direction":
            _add(table, rows)
            table.add_section()
    _add(table, {"all": result.overall}, style="bold")
    console.print(table)
    score = result.tracking
    if score is not None:
        console.print(
            f"tracks: HOTA {score.hota:.1f} (DetA {score.det_a:.1f}, AssA {score.ass_a:.1f}), "
            f"IDF1 {score.idf1:.1f}, MOTA {score.mota:.1f}, {score.id_switches} id switches"
        )
    for (true, counted), n in sorted(result.classes.items()):
        console.print(f"{n} of class {escape(true)} counted as {escape(counted)}")
    _list(console, result)
    for text in result.warnings:
        console.print(f"[yellow]note:[/yellow] {escape(text)}")


def _add(table: Table, rows: Mapping[str, Row], style: str | None = None) -> None:
    for name, row in rows.items():
        table.add_row(escape(name), *_cells(row), style=style)


def _cells(row: Row) -> tuple[str, ...]:
    """Under HEADS, short enough for 80 columns; the report has the intervals of the net error too."""
    data = row.as_dict()
    counts = (str(data[key]) for key in ("true", "counted", "missed", "false", "gross"))
    limits = data["gross_share_95"]
    between = "–" if limits is None else f"{100 * limits[0]:.0f} to {100 * limits[1]:.0f}"
    share = "–" if data["gross_share"] is None else f"{100 * data['gross_share']:.1f}"
    geh = "–" if row.geh is None else f"{row.geh:.1f}"
    return (*counts, share, between, f"{row.net:+d}", geh)


def _list(console: Console, result: Evaluation) -> None:
    both = [(c.time_s, "missed", c) for c in result.comparison.missed]
    both += [(c.time_s, "false", c) for c in result.comparison.false]
    for time_s, kind, crossing in sorted(both, key=lambda item: item[0])[:SHOWN]:
        words = f"{crossing.line} {crossing.direction} {crossing.class_name}".strip()
        console.print(f"{kind:<6} {clock(time_s)}  {escape(words)}", highlight=False)
    if len(both) > SHOWN:
        console.print(f"… and {len(both) - SHOWN} more: --report and --json have all")


def _print_differences(a: str, b: str, found: Mapping[str, Difference]) -> None:
    table = Table("", escape(a), escape(b), "difference", "95 %, paired bootstrap", box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, d in found.items():
        table.add_row(name, f"{d.a:.4g}", f"{d.b:.4g}", f"{d.difference:+.4g}", difference_interval(d))
    Console().print(table)


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        Console().print(
            f"[{'green' if verdict.met else 'red'}]gate {escape(str(verdict))}[/]", highlight=False
        )
