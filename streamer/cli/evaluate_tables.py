"""The tables that `streamer evaluate` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.evaluate.acceptance import Verdict
from pipelines.evaluate.report import clock, difference_interval
from pipelines.evaluate.summary import Difference, Evaluation, Row

HEADS = ("true", "counted", "missed", "false", "gross", "%", "95 %", "net", "GEH")
SHOWN = 20  # misses and false counts that are listed; the report and --json have all


def print_evaluation(result: Evaluation) -> None:
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


def print_differences(a: str, b: str, found: Mapping[str, Difference]) -> None:
    table = Table("", escape(a), escape(b), "difference", "95 %, paired bootstrap", box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, d in found.items():
        table.add_row(name, f"{d.a:.4g}", f"{d.b:.4g}", f"{d.difference:+.4g}", difference_interval(d))
    Console().print(table)


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        Console().print(
            f"[{'green' if verdict.met else 'red'}]gate {escape(str(verdict))}[/]", highlight=False
        )
