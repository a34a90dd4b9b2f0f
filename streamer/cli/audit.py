"""`streamer audit CAMERA`: a person answers some questions, and the error of the counts is known."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import cv2

from streamer.cli.audit_keeping import offer, refuse_early, result_of
from streamer.cli.audit_screen import Screen, choose_screen
from streamer.cli.audit_sources import live_audit, people_look, run_recording
from streamer.cli.click_types import Finite
from streamer.cli.output_paths import check_folder, check_outputs
from streamer.cli.people_option import people_option
from streamer.clips.audit.answers import Answers, records_of
from streamer.clips.audit.estimate import LEVEL, Estimate
from streamer.clips.audit.moments import Bucket, Way
from streamer.clips.audit.pictures import Moment, contact_sheet
from streamer.clips.audit.recorded import RecordedAudit
from streamer.clips.audit.sampling import Question
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import replacing
from streamer.models.model_in_use import ModelInUse, model_in_use, model_that_detected

DEFAULT_ANSWERS = 30
COMMANDS = "u cannot tell, s skip, b back, q stop"


class Audit(Protocol):
    def moments(self, answers: Answers, wanted: int) -> Iterator[Moment]: ...

    def verdict(self, answers: Answers) -> list[Estimate]: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An audit, its answers so far, and the model whose counts are asked about, where that is known."""

    audit: Audit
    answers: Answers
    model: ModelInUse | None


@click.command()
@click.argument("camera")
@click.option("--clip", metavar="FILE", help="A recording of the camera, instead of what it sends now.")
@click.option(
    "--detections",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.npz",
    help="Stored detections of the clip, which is then not analysed again.",
)
@click.option(
    "--number",
    type=click.IntRange(1, 1000),
    default=DEFAULT_ANSWERS,
    show_default=True,
    help="How many answers.",
)
@click.option("--bucket-s", type=Finite(1, 120), help="Seconds of a bucket.  [default: by the flow]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the draw.  [default: 0]")
@click.option(
    "--answers",
    "answers_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.jsonl",
    help="Write every answer; where the file is there, go on with it.",
)
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR", help="Write each question's pictures as a PNG."
)
@people_option
@click.option(
    "--show",
    type=click.Choice(["auto", "window", "terminal"]),
    default="auto",
    show_default=True,
    help="Where pictures are shown; auto: a window where there is a display.",
)
@click.option("--apply", is_flag=True, help="Keep the result in the camera's file, for `streamer counts`.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def audit(
    store: ConfigStore,
    /,
    camera: str,
    answers_file: Path | None,
    keep: Path | None,
    show: str,
    number: int,
    apply: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Ask about some moments of CAMERA's counts, and tell how wrong the counts are.

    Half of the questions are about random stretches of time (how many crossed?), half about the crossings of
    which the count is least sure (is it one?). Answers are keys: y, n, a number; or lines of a pipe. Pictures
    are kept nowhere, unless --keep says so, and then with people as privacy.people has them; who answers sees
    people, unless --people hides them there too. The result can be kept: it narrows the intervals of
    `streamer counts` (--apply; a terminal is asked).

    \b
    streamer audit gate --clip monday.mp4
    """
    config, known = store.load_with(camera)
    check_outputs((answers_file,), (asked["clip"], asked["detections"], store.file))
    check_folder(keep, (asked["clip"], asked["detections"]))
    screen = choose_screen(show)
    asked["look"] = people_look(store, known, asked["people"], keep is not None)
    with _opened(store, config, known, answers_file, asked) as opened:
        if apply:
            refuse_early(opened.model)
        _converse(opened.audit.moments(opened.answers, number), opened.answers, screen, number, keep)
        estimates = opened.audit.verdict(opened.answers)
    _print(camera, opened.answers, estimates, as_json)
    if opened.answers.given():
        _keep_result(store, known, estimates, opened.model, apply, not as_json)


def _keep_result(
    store: ConfigStore,
    camera: CameraConfig,
    estimates: Sequence[Estimate],
    model: ModelInUse | None,
    apply: bool,
    ask: bool,
) -> None:
    try:
        result = result_of(camera, estimates, model)
    except ConfigError as error:
        if apply:
            raise ConfigError(f"--apply: this audit cannot be kept: {error}") from error
        return
    offer(store, camera, result, apply=apply, ask=ask)


@contextlib.contextmanager
def _opened(
    store: ConfigStore,
    config: Config,
    camera: CameraConfig,
    answers_file: Path | None,
    asked: Mapping[str, Any],
) -> Iterator[Opened]:
    seed = _seed(answers_file, asked["seed"])
    if asked["clip"] is None and asked["detections"] is None:
        with live_audit(config, camera, asked["bucket_s"], seed, asked["look"]) as live:
            if answers_file is not None and answers_file.exists():
                raise ConfigError(
                    f"{answers_file}: the moments of a live audit are gone: give a new file, or --clip"
                )
            answers = Answers({"camera": camera.name, "seed": seed, "live": True}, answers_file)
            yield Opened(live, answers, model_in_use(config, camera))
        return
    run = run_recording(store, config, camera, asked["clip"], asked["detections"])
    recorded = RecordedAudit(run, bucket_s=asked["bucket_s"], seed=seed, look=asked["look"])
    signature = {
        "camera": camera.name,
        "clip": Path(run.name).name,
        "seed": seed,
        "bucket_s": recorded.bucket_s,
        "counted": {str(way): n for way, n in recorded.counted().items()},
    }
    model = model_that_detected(run.analysis.detector)
    yield Opened(recorded, Answers(signature, answers_file), model)


def _seed(answers_file: Path | None, seed: int | None) -> int:
    """What is given; else that of the answers that are gone on with."""
    if seed is None and answers_file is not None and answers_file.exists():
        for record in records_of(answers_file):
            return int(record.get("audit", {}).get("seed", 0))
    return seed or 0


# ---- questions and answers


def _converse(
    moments: Iterator[Moment], answers: Answers, screen: Screen, wanted: int, keep: Path | None
) -> None:
    history: list[Moment] = []
    at = 0
    while answers.given() < wanted:
        if at == len(history):
            moment = next(moments, None)
            if moment is None:
                click.echo("every moment has been asked about", err=True)
                return
            history.append(moment)
            _keep(keep, len(history), moment)
        reply = _ask(screen, history[at], f"{answers.given() + 1}/{wanted}")
        if reply == "q":
            return
        if reply == "b":
            at = max(0, at - 1)
            continue
        if reply != "s":
            answers.put(history[at].question.key, _answer(reply))
        at += 1


def _answer(reply: str) -> int | bool | None:
    return {"y": True, "n": False, "u": None}[reply] if reply in "ynu" else int(reply)


def _ask(screen: Screen, moment: Moment, place: str) -> str:
    question = moment.question
    if isinstance(question, Bucket):
        seconds = question.end_s - question.start_s
        text = f"{place}  {question.way}, {seconds:.0f} s: how many crossed?  (number, Enter; {COMMANDS})"
        return screen.ask(text, moment.jpegs, "usbq", True)
    what = question.class_name or "object"
    text = f"{place}  {question.way}: did this {what} cross here?  (y, n; {COMMANDS})"
    return screen.ask(text, moment.jpegs, "ynusbq", False)


def _keep(folder: Path | None, number: int, moment: Moment) -> None:
    if folder is None or not moment.kept:
        return
    path = folder / f"{number:03d}-{_kind(moment.question)}.png"
    done, png = cv2.imencode(".png", contact_sheet(moment.kept, moment.question))
    if not done:
        raise StorageError(f"{path}: cannot be written: the picture cannot be encoded")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(png.tobytes())
    click.echo(f"drawn: {path}", err=True)


def _kind(question: Question) -> str:
    kind = "bucket" if isinstance(question, Bucket) else "crossing"
    return f"{kind}-{_file_name(question.way)}"


def _file_name(way: Way) -> str:
    return f"{way.line}-{way.direction}"


# ---- the result


def _print(camera: str, answers: Answers, estimates: Sequence[Estimate], as_json: bool) -> None:
    if as_json:
        found = {
            "camera": camera,
            "answers": answers.given(),
            "level": LEVEL,
            "estimates": [e.as_dict() for e in estimates],
        }
        click.echo(json.dumps(found, indent=2))
        return
    if not answers.given():
        click.echo("no answers: nothing is known of the error")
        return
    for estimate in estimates:
        click.echo(_line(estimate))


def _line(found: Estimate) -> str:
    name = found.name if found.name == "all" else f"line {found.name}"
    told = f"{found.answers} answer{'s' if found.answers != 1 else ''}"
    if found.name == "all" and found.low is None and found.answers:
        return (
            f"all: counted {found.counted}, not every direction was answered: the error of all is not known"
        )
    if found.low is None or found.high is None:
        return f"{name}: counted {found.counted}, no stretch of time was answered: its error is not known"
    half, ends = math.ceil((found.high - found.low) / 2), f"{found.low:.0f} to {found.high:.0f}"
    missed = 100 * found.missed / found.true if found.true > 0 else 0.0
    false = 100 * found.false / found.counted if found.counted else 0.0
    return (
        f"{name}: counted {found.counted}, true {found.true:.0f} ± {half} "
        f"({LEVEL:.0%}: {ends}; missed {missed:.0f} %, false {false:.0f} %; {told})"
    )
