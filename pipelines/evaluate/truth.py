"""True crossings as a person writes them with a stopwatch: `time,line,direction,class`, one a row.

time       seconds (75.2), mm:ss (1:15.2) or hh:mm:ss (0:01:15.2) from the start of the clip
line       the name of the line
direction  its name; left-to-right and right-to-left always mean the two sides
class      may be left out

A header is optional and may name the columns in another order; cells are separated by comma, semicolon or
tab; empty rows and rows that begin with # are skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.class_names import find, named_by_any
from pipelines.evaluate.crossings import Crossing

COLUMNS = ("time", "line", "direction", "class")
_SECONDS = r"\d+(?:\.\d*)?"
_TIME = re.compile(rf"(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>{_SECONDS})")
Directions = Mapping[str, tuple[str, str]]  # line: names of left to right and right to left
Row = tuple[int, list[str]]


class TruthError(ValueError):
    """Raised when truth cannot be read or does not fit the clip; the text names file and row."""


@dataclass(frozen=True, slots=True)
class TrueCrossings:
    """True crossings in order of time, and what a person should know of them, a line each."""

    crossings: tuple[Crossing, ...]
    warnings: tuple[str, ...] = ()


def parse_time(text: str) -> float:
    """ "75.2", "1:15.2" or "0:01:15.2" in seconds. Raises ValueError."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"time {text[:30]!r}: write seconds (75.2), mm:ss (1:15.2) or hh:mm:ss")
    hours, minutes, seconds = match["h"], match["m"], float(match["s"])
    if minutes is not None and seconds >= 60:
        raise ValueError(f"time {text[:30]!r}: {seconds:g} seconds: below 60 where minutes are given")
    if hours is not None and int(minutes) >= 60:
        raise ValueError(f"time {text[:30]!r}: {minutes} minutes: below 60 where hours are given")
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds


def read_crossings(text: str, directions: Directions, *, name: str = "truth", end_s: float) -> TrueCrossings:
    """The crossings of a CSV. `end_s` is the latest time that can be true of the clip.

    Raises TruthError for a row that cannot be read, names a line or direction that there is not, or lies
    beyond the clip's end; and where there is no row at all.
    """
    rows = list(_rows(text))
    order = {column: i for i, column in enumerate(COLUMNS)}
    if rows and _is_header(rows[0][1]):
        order = _header(rows[0], name)
        rows = rows[1:]
    if not rows:
        raise TruthError(f"{name}: no crossing in it: write one a row, such as 1:15.2,door,in,person")
    crossings = [_crossing(row, order, directions, name, end_s) for row in rows]
    return TrueCrossings(tuple(sorted(crossings, key=lambda c: c.time_s)), _twice(crossings, name))


def keep_classes(
    truth: TrueCrossings, classes: Sequence[str], groups: Mapping[str, str], *, name: str = "truth"
) -> TrueCrossings:
    """Without the crossings of classes that are not asked for, which is said; those without a class stay.

    `classes` are classes and groups (empty: all); `groups` gives the group of each of the model's classes.
    """
    of_model = {*groups, *groups.values()}
    named = [replace(c, class_name=own_name(c.class_name, groups)) for c in truth.crossings]
    strange = Counter(c.class_name for c in named if c.class_name and c.class_name not in of_model)
    warnings = [
        f"{name}: class {kind!r} ({n} crossings) is none of the model's: "
        "counts are compared whatever their class"
        for kind, n in sorted(strange.items())
    ]
    crossings = []
    left_out: Counter[str] = Counter()
    for crossing in named:
        if is_asked(crossing.class_name, classes, groups):
            crossings.append(crossing)
        else:
            left_out[crossing.class_name] += 1
    for kind, n in sorted(left_out.items()):
        warnings.append(
            f"{name}: {n} crossings of class {kind!r} left out: it is not among the classes asked for"
        )
    return replace(truth, crossings=tuple(crossings), warnings=(*truth.warnings, *warnings))


def is_asked(kind: str, classes: Sequence[str], groups: Mapping[str, str]) -> bool:
    """Whether true objects of a class or group `kind` ("": not given) are among `classes`."""
    kind = own_name(kind, groups)
    meant = named_by_any(classes, {*groups, *groups.values(), kind})
    if not classes or not kind or kind in meant or groups.get(kind, kind) in meant:
        return True
    return any(groups.get(name) == kind for name in meant)  # a car is wanted, and the truth says vehicle


def own_name(kind: str, groups: Mapping[str, str]) -> str:
    """What the model calls a true class or group `kind`; that itself where it knows none such."""
    if not kind:
        return kind
    return find(kind, list(groups)) or find(kind, list(groups.values())) or kind


def _rows(text: str) -> Iterator[Row]:
    lines = text.removeprefix("\ufeff").splitlines()
    written = [
        (i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")
    ]
    separator = next((mark for mark in ("\t", ";") if written and mark in written[0][1]), ",")
    for number, line in written:
        cells = [cell.strip().strip('"').strip() for cell in line.split(separator)]
        if separator != ",":
            cells[0] = cells[0].replace(",", ".")  # a spreadsheet's decimal comma
        yield number, cells


def _is_header(cells: Sequence[str]) -> bool:
    return "time" in [cell.lower() for cell in cells]


def _header(row: Row, name: str) -> dict[str, int]:
    cells = [cell.lower() for cell in row[1]]
    order = {column: cells.index(column) for column in COLUMNS if column in cells}
    missing = [column for column in COLUMNS[:3] if column not in order]
    if missing:
        raise TruthError(
            f"{name}:{row[0]}: the header has no column {missing[0]!r}: it needs {', '.join(COLUMNS)}"
        )
    return order


def _crossing(
    row: Row, order: Mapping[str, int], directions: Directions, name: str, end_s: float
) -> Crossing:
    number, cells = row
    at = f"{name}:{number}"
    needed = max(order[column] for column in COLUMNS[:3]) + 1
    if not needed <= len(cells) <= max(len(order), len(COLUMNS)):
        raise TruthError(
            f"{at}: {len(cells)} cells: a row is {','.join(COLUMNS)}, such as 1:15.2,door,in,person"
        )
    cell_of = {column: cells[i] if i < len(cells) else "" for column, i in order.items()}
    try:
        time_s = parse_time(cell_of["time"])
    except ValueError as error:
        raise TruthError(f"{at}: {error}") from error
    if time_s > end_s:
        raise TruthError(
            f"{at}: {cell_of['time']} ({time_s:g} s) lies beyond the clip's end at {end_s:.1f} s"
        )
    line = _match(cell_of["line"], directions)
    if line is None:
        choices = ", ".join(directions) or "none is drawn: add --line NAME=x1,y1,x2,y2"
        raise TruthError(f"{at}: there is no line {cell_of['line'][:60]!r} (known: {choices})")
    direction = _direction(cell_of["direction"], directions[line])
    if direction is None:
        choices = " and ".join(directions[line])
        raise TruthError(
            f"{at}: line {line} has no direction {cell_of['direction'][:60]!r} (its two: {choices})"
        )
    return Crossing(line, direction, time_s, cell_of.get("class", "").lower())


def _match(text: str, names: Mapping[str, object]) -> str | None:
    return next((n for n in names if n.lower() == text.lower()), None)


def _direction(text: str, names: tuple[str, str]) -> str | None:
    word = text.lower().replace("_", "-")
    for name, side in zip(names, ("left-to-right", "right-to-left"), strict=True):
        if word == name.lower():
            return name
        if word == side and side not in names:
            return name
    return None


def _twice(crossings: Sequence[Crossing], name: str) -> tuple[str, ...]:
    return tuple(
        f"{name}: {n} rows say the same crossing ({c.line} {c.direction} at {c.time_s:g} s): is one too many?"
        for c, n in Counter(crossings).items()
        if n > 1
    )
