"""Whether a camera sees what training saw: a model of a detector's maps is trained on the fights, then run by
`analyze` on clips of the test part, and each of its windows is held against the same window cut from the
values that training stores.
"""

from __future__ import annotations

import contextlib
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from pipelines.actions.engine import ActionEngine
from pipelines.actions.factory import create_engine
from pipelines.actions.windows import resample
from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.registry import create_detector
from pipelines.spec import ActionsSpec
from pipelines.train.actions.data import LabelledSequence
from pipelines.train.actions.sources import DataSource, open_source
from pipelines.values import Event, Floats, FrameResult
from streamer.cli.main import cli
from streamer.clips.analyze import analyze
from streamer.sources.base import create_source
from tests.bench import registry
from tests.bench.action_sets import quiet, scratch
from tests.bench.actions import Say

WEIGHTS = "weights/yolov8n_640.onnx"
WINDOW, RATE_HZ = 16, 12.5
INPUTS = ("moved", "flow", "people")
ACTION = "streamer.action.detected.v1"


class Recorder:
    """Takes down the answers of an engine's model, and the events of a clip."""

    def __init__(self, engine: ActionEngine) -> None:
        self.windows: list[tuple[Floats, Floats]] = []
        self.events: list[Event] = []
        classify = engine.model.classify

        def record(windows: Floats) -> tuple[list[Floats], Floats]:
            answers, attention = classify(windows)
            self.windows.append((windows[0], answers[0][0]))
            return answers, attention

        engine.model.classify = record  # type: ignore[method-assign]

    def frame(self, result: FrameResult) -> None:
        """Its events come one by one."""

    def event(self, event: Event) -> None:
        self.events.append(event)


def measure(corpus: Path, clips: int, say: Say) -> dict[str, Any]:
    """`clips`: so many of each label are learnt from, and a third as many tested; 0: all."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        listed = _list(corpus / "actions/fight", out, clips)
        _train(listed, corpus / WEIGHTS, out)
        evaluated = _evaluate(out / "model.onnx", listed, corpus / WEIGHTS)
        say(f"streamer actions evaluate: accuracy {evaluated['accuracy']:.3f}")
        detector = create_detector("openvino", corpus / WEIGHTS, threads=1)
        source = DataSource(listed, detector=corpus / WEIGHTS, cache=scratch(), inputs=INPUTS)
        data = open_source(source, RATE_HZ, quiet)[0]
        held = [item for item in data.sequences if item.split == "test"]
        rows = [_compare(out / "model.onnx", listed.parent, detector, item, say) for item in held]
    return {
        "clips": len(rows),
        "windows": sum(row["windows"] for row in rows),
        "apart": max(row["apart"] for row in rows),
        "apart_values": max(row["apart_values"] for row in rows),
        "told": [sum(row["told"] for row in rows if row["fight"]), sum(row["fight"] for row in rows)],
        "false": [sum(row["told"] for row in rows if not row["fight"]), sum(not r["fight"] for r in rows)],
        "evaluated": evaluated["accuracy"],
    }


def _list(corpus: Path, folder: Path, clips: int) -> Path:
    """A list of the first clips of each label and split, beside links to them."""
    if not (corpus / "clips.csv").is_file():
        raise registry.Unavailable(f"no {corpus / 'clips.csv'}")
    with (corpus / "clips.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    room = {"train": clips or len(rows), "test": clips // 3 or len(rows)}
    kept = []
    for label in sorted({row["label"] for row in rows}):
        for split, most in room.items():
            kept += [r for r in rows if (r["label"], r["split"]) == (label, split)][:most]
    for name in {Path(row["file"]).parts[0] for row in kept}:
        (folder / name).symlink_to(corpus / name)
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return folder / "clips.csv"


def _train(listed: Path, detector: Path, out: Path) -> None:
    _run(
        *("actions", "train", listed, "--detector", detector, "--inputs", ",".join(INPUTS)),
        *("--cache", scratch(), "--out", out),
        *("--window", WINDOW, "--rate", RATE_HZ, "--silent", "no_fight", "--json"),
    )


def _evaluate(model: Path, listed: Path, detector: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        _run("actions", "evaluate", model, listed, "--detector", detector, "--cache", scratch(), "--json")
    )
    return found


def _run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    if done.exit_code:
        raise registry.Unavailable(f"streamer {arguments[0]} {arguments[1]}: {done.output[-300:]}")
    return done.stdout


def _compare(
    model: Path, folder: Path, detector: Detector, item: LabelledSequence, say: Say
) -> dict[str, Any]:
    """One clip: how far the probabilities and the values of its live windows are from those of training."""
    engine = create_engine(ActionsSpec(model=str(model)), detector)
    recorder = Recorder(engine)
    source = create_source(str(folder / item.name), loop=False, realtime=False)
    with contextlib.closing(source):
        analyze(
            source,
            source.open(),
            detector,
            CameraRules(),
            clip=item.name,
            partial=True,
            watcher=recorder,
            actions=engine,
        )
    plain = create_engine(ActionsSpec(model=str(model)), detector).model
    first = len(item.times_s) - len(recorder.windows)  # a window ends at each of the last moments
    steps = np.arange(WINDOW - 1, -1, -1) / RATE_HZ
    apart = apart_values = 0.0
    for number, (values, answer) in enumerate(recorder.windows):
        wanted_s = item.times_s[first + number] - steps
        stored = resample(item.times_s, item.values, wanted_s, interpolate=False)
        apart = max(apart, float(np.abs(plain.classify(stored[None])[0][0][0] - answer).max()))
        apart_values = max(apart_values, float(np.abs(stored - values).max()))
    told = any(event.type == ACTION for event in recorder.events)
    say(f"{item.name}: {len(recorder.windows)} windows, at most {apart:.1e} apart, told: {told}")
    fight = item.name.startswith("fight")
    return {
        "windows": len(recorder.windows),
        "apart": apart,
        "apart_values": apart_values,
        "told": told,
        "fight": fight,
    }
