"""An evaluation as one HTML page that needs nothing but itself: tables, intervals, pictures as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pipelines.evaluate.acceptance import Verdict
from pipelines.evaluate.summary import Difference, Evaluation, Row

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5c6670; --rule: #d9dee3; --paper: #fff;
  --tile: #f4f6f8; --bad: #b3261e; --good: #1b7f3b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --soft: #a3adb6; --rule: #3a434b;
  --paper: #14181b; --tile: #1f252a; --bad: #ff8a80; --good: #7bd88f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1180px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; } p.facts, .soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
.tile { background: var(--tile); border-radius: 8px; padding: .6rem 1rem; min-width: 7.5rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; margin: .2rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .bad { color: var(--bad); } .good { color: var(--good); }
ul.warnings { background: var(--tile); border-left: 4px solid #d69a00; padding: .6rem 1rem .6rem 2rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr));
  gap: 1rem; }
figure { margin: 0; background: var(--tile); border-radius: 8px; overflow: hidden; }
figure img { width: 100%; display: block; } figcaption { padding: .5rem .8rem .7rem; font-size: .88rem; }
figcaption b { display: block; font-size: .95rem; }
"""
PICTURES = (
    "The pictures: tracks in their class's colour with the trail of the seconds around the moment; a ring "
    "where a count was made; true boxes, where the truth has them, thin and pale, and in red the one that "
    "was missed."
)
HEADS = ("true", "counted", "missed", "false", "gross", "95 %", "net", "95 %", "GEH")


@dataclass(frozen=True, slots=True, eq=False)
class ReportImage:
    """Of a miss or a false count (`kind` "missed" or "false")."""

    kind: str
    title: str
    note: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One evaluation with its pictures; `left_out` is how many pictures there are more."""

    evaluation: Evaluation
    pictures: Sequence[ReportImage] = ()
    left_out: int = 0


def clock(time_s: float) -> str:
    """Seconds as 0:01:15.2."""
    tenths = round(max(0.0, time_s) * 10)
    return f"{tenths // 36000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(limits: Sequence[float] | None) -> str:
    return "–" if limits is None else f"{100 * limits[0]:.1f} to {100 * limits[1]:.1f} %"


def render_report(
    sections: Sequence[Section],
    *,
    differences: Mapping[str, Difference] | None = None,
    verdicts: Sequence[Verdict] = (),
) -> str:
    """The page, for one evaluation, or for two with their differences (the second less the first)."""
    names = " and ".join(section.evaluation.name for section in sections)
    body = [f"<h1>Counting: {escape(names)}</h1>"]
    if verdicts:
        items = "".join(f'<li class="{"good" if v.met else "bad"}">{escape(str(v))}</li>' for v in verdicts)
        body.append(f"<h2>Gates</h2><ul>{items}</ul>")
    if differences:
        body.append(_differences(sections, differences))
    for section in sections:
        if len(sections) > 1:
            body.append(f"<h1>{escape(section.evaluation.name)}</h1>")
        body.append(_section(section))
    body.append(
        '<p class="soft">Gross error: misses and false counts; net error: counted less true. Shares are of '
        "the true crossings. Intervals hold 95 %: Poisson for numbers of errors, which takes errors to be "
        "independent of one another. GEH compares hourly flows, scaled from the time covered; below 5 is a "
        "good match.</p>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Counting: {escape(names)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _section(section: Section) -> str:
    result = section.evaluation
    facts = ", ".join(f"{key} {value}" for key, value in result.facts.items())
    parts = [
        f'<p class="facts">{escape(facts)}; {clock(result.duration_s)} long; a count matches a true crossing '
        f"of its line and direction at most {result.within_s:g} s away</p>",
        _tiles(result),
    ]
    if result.warnings:
        items = "".join(f"<li>{escape(text)}</li>" for text in result.warnings)
        parts.append(f'<h3>To know</h3><ul class="warnings">{items}</ul>')
    for key, table in result.tables.items():
        parts.append(f"<h2>By {key}</h2>{_table(key, table)}")
    if result.classes:
        rows = "".join(
            f"<tr><td>{escape(true)}</td><td>{escape(counted)}</td><td>{n}</td></tr>"
            for (true, counted), n in sorted(result.classes.items())
        )
        head = "<tr><th>true class</th><th>counted as</th><th>number</th></tr>"
        parts.append(f"<h2>Counted as another class</h2><table>{head}{rows}</table>")
    parts.append(_pictures(section))
    return "\n".join(parts)


def _tiles(result: Evaluation) -> str:
    row = result.overall
    data = row.as_dict()
    tiles: list[tuple[str, str]] = [
        (str(row.true), "true"),
        (str(row.counted), "counted"),
        (str(row.missed), f"missed, {percent(data['missed_share'])}"),
        (str(row.false), "false"),
        (percent(data["gross_share"]), f"gross error, {row.gross}; 95 %: {interval(data['gross_share_95'])}"),
        (percent(data["net_share"]), f"net error, {row.net:+d}; 95 %: {interval(data['net_share_95'])}"),
    ]
    score = result.tracking
    if score is not None:
        tiles += [
            (f"{score.hota:.1f}", "HOTA"),
            (f"{score.idf1:.1f}", "IDF1"),
            (f"{score.mota:.1f}", "MOTA"),
            (str(score.id_switches), "id switches"),
        ]
    shown = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(t)}</span></div>' for b, t in tiles)
    return f'<div class="tiles">{shown}</div>'


def _table(key: str, table: Mapping[str, Row]) -> str:
    head = "".join(f"<th>{name}</th>" for name in (key, *HEADS))
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in (name, *cells(row.as_dict()))) + "</tr>"
        for name, row in table.items()
    )
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row's figures under HEADS, from Row.as_dict()."""
    return (
        *(str(row[key]) for key in ("true", "counted", "missed", "false")),
        f"{row['gross']} ({percent(row['gross_share'])})",
        interval(row["gross_share_95"]),
        f"{row['net']:+d} ({percent(row['net_share'])})",
        interval(row["net_share_95"]),
        "–" if row["geh"] is None else f"{row['geh']:.1f}",
    )


def _differences(sections: Sequence[Section], differences: Mapping[str, Difference]) -> str:
    a, b = (escape(section.evaluation.name) for section in sections)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{d.a:.4g}</td><td>{d.b:.4g}</td><td>{d.difference:+.4g}</td>"
        f"<td>{difference_interval(d)}</td></tr>"
        for name, d in differences.items()
    )
    head = f"<tr><th></th><th>{a}</th><th>{b}</th><th>difference</th><th>95 %, paired bootstrap</th></tr>"
    return f'<h2>Compared</h2><div class="wide"><table>{head}{rows}</table></div>'


def difference_interval(difference: Difference) -> str:
    limits = difference.interval
    return "–" if limits is None else f"{limits[0]:+.3g} to {limits[1]:+.3g}"


def _pictures(section: Section) -> str:
    parts = []
    if section.pictures:
        parts.append(f'<p class="soft">{PICTURES}</p>')
    for kind, title in (("missed", "Misses"), ("false", "False counts")):
        chosen = [picture for picture in section.pictures if picture.kind == kind]
        if chosen:
            figures = "".join(map(_figure, chosen))
            parts.append(f'<h2>{title} ({len(chosen)})</h2><div class="pictures">{figures}</div>')
    if section.left_out:
        parts.append(f"<p>{section.left_out} more without a picture: --pictures sets how many are taken.</p>")
    if not section.evaluation.overall.gross:
        parts.append('<p class="good">No miss and no false count.</p>')
    return "\n".join(parts)


def _figure(picture: ReportImage) -> str:
    data = base64.b64encode(picture.jpeg).decode("ascii")
    title = escape(picture.title)
    return (
        f'<figure><img alt="{title}" loading="lazy" src="data:image/jpeg;base64,{data}">'
        f"<figcaption><b>{title}</b>{escape(picture.note)}</figcaption></figure>"
    )
