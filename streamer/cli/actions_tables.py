"""What `streamer actions` shows: progress while it trains, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.train.actions.score import AnyScore

SHOWN_TRIALS = 20


class Bar:
    """One line of progress that is redrawn; nothing where output is for a program."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: Any = None

    def step(self, what: str, done: int, total: int) -> None:
        if self._progress is None:
            return
        if self._task is None:
            self._task = self._progress.add_task(what, total=total)
        self._progress.update(self._task, description=what, completed=done, total=total)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Bar]:
    if quiet:
        yield Bar(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress)


def epoch_line(epoch: Any) -> str:
    held = "" if epoch.val_loss is None else f", held back {epoch.val_loss:.3f} ({epoch.val_accuracy:.1%})"
    return f"loss {epoch.train_loss:.3f}{held}"


def print_result(result: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    if result.get("search"):
        _print_trials(result["search"])
    for head, scores in (("", result), *result.get("heads", {}).items()):
        for name in ("validation", "test"):
            if scores.get(name):
                low, high = scores[name]["interval_95"]
                click.echo(
                    f"{f'{head}, ' if head else ''}{name}: accuracy {scores[name]['accuracy']:.1%} "
                    f"({low:.1%} to {high:.1%}), macro F1 {scores[name]['macro_f1']:.1%}, "
                    f"of {scores[name]['n']}"
                )
    if "folds" not in result:
        click.echo(f"wrote {out}/model.onnx, model.yaml, model.pt, result.json and pictures")


def _print_trials(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(name.removeprefix("augment."))
    for row in rows[:SHOWN_TRIALS]:
        table.add_row(*(str(row.get(name, "")) for name in names))
    Console(highlight=False).print(table)


def print_score(score: AnyScore, head: str = "") -> None:
    low, high = score.interval
    click.echo(
        f"{head}accuracy {score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}), "
        f"macro F1 {score.macro_f1:.1%}, of {score.n}"
    )
    table = Table(box=None, pad_edge=False)
    for title in ("LABEL", "N", "PRECISION", "RECALL", "F1"):
        table.add_column(title)
    for row in score.per_class():
        table.add_row(row["label"], str(row["n"]), *(f"{row[k]:.1%}" for k in ("precision", "recall", "f1")))
    Console(highlight=False).print(table)
