"""Writes a model's card.

    python -m pipelines.train.detector.modelcard --figures FILE.json --recipe FILE --out FILE.md

Figures come from evaluate.py, sources and licences from the recipe, and what cannot be measured
(what the model is bad at, how it was trained) from a text beside the recipe, which is copied as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.train.detector.dataset import DatasetError
from pipelines.train.detector.recipe import DataRecipe, read_recipe

SIZES = ("small", "medium", "large")
Row = dict[str, Any]


def render(rows: Sequence[Row], recipe: DataRecipe, remarks: str) -> str:
    """Markdown. The first row is the model that the card is about."""
    own = rows[0]
    parts = [
        "# The default detector",
        "",
        "Made by `python -m pipelines.train.detector.modelcard`; the figures by "
        "`python -m pipelines.train.detector.evaluate`.",
        "",
        f"Classes: person, bicycle, car, motorcycle, bus, truck. Input {own['input'][0]}x{own['input'][1]},"
        f" {own['bytes'] / 1e6:.1f} MB, threshold {own['score']:g}. Licence of the weights: Apache-2.0.",
        "",
        remarks.strip(),
        "",
        *_people(rows),
        *_stills(rows),
        *_sizes(rows),
        *_counts(rows),
        *_data(recipe),
    ]
    return "\n".join(parts) + "\n"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def _figure(entry: Row | None) -> str:
    if entry is None or math.isnan(entry["ap50"]):
        return ""
    low, high = entry["interval"]
    return f"{entry['ap50']:.2f} ({low:.2f}–{high:.2f})"


def _people(rows: Sequence[Row]) -> list[str]:
    head = ["model", "input", "threshold", "precision", "recall", "AP50 (95 %)"]
    body = [
        [
            row["model"],
            f"{row['input'][0]}",
            f"{row['score']:g}",
            f"{row['pets']['precision']:.2f}",
            f"{row['pets']['recall']:.2f}",
            _figure(row["pets"]),
        ]
        for row in rows
    ]
    frames = f"{rows[0]['pets']['frames']} frames, IoU 0.5, each model at its threshold."
    return ["## People on PETS09-S2L1", "", frames, "", *_table(head, body)]


def _stills(rows: Sequence[Row]) -> list[str]:
    text = [
        "## Average precision at IoU 0.5",
        "",
        "On pictures of which none was trained on, with 95 % intervals of the bootstrap over pictures."
        ' "vehicle" is car, motorcycle, bus and truck taken as one.',
        "",
    ]
    body = [
        [name, key, str(entry["true"]), *(_figure(row["sets"][name].get(key)) for row in rows)]
        for name, parts in rows[0]["sets"].items()
        for key, entry in parts.items()
        if "/" not in key
    ]
    return text + _table(["set", "class", "true boxes", *(row["model"] for row in rows)], body)


def _sizes(rows: Sequence[Row]) -> list[str]:
    text = ["## By size of the object", "", "Small: under 32² pixels of the picture; large: from 96² on.", ""]
    body = [
        [name, f"{key}, {size}", *(_figure(row["sets"][name].get(f"{key}/{size}")) for row in rows)]
        for name, parts in rows[0]["sets"].items()
        for key in ("person", "vehicle")
        for size in SIZES
        if f"{key}/{size}" in parts
    ]
    return text + _table(["set", "group, size", *(row["model"] for row in rows)], body)


def _counts(rows: Sequence[Row]) -> list[str]:
    text = [
        "## Counts on clips",
        "",
        "Crossings counted, in all directions of the clip's lines; in brackets the gross error: the sum over"
        " lines and directions of what was counted too much or too little.",
        "",
    ]
    body = [
        [
            name,
            str(entry["crossings"]),
            *(
                f"{sum(row['counts'][name]['counted'].values())} ({row['counts'][name]['gross']})"
                for row in rows
            ),
        ]
        for name, entry in rows[0]["counts"].items()
    ]
    true = sum(entry["crossings"] for entry in rows[0]["counts"].values())
    errors = [sum(entry["gross"] for entry in row["counts"].values()) for row in rows]
    body.append(["gross error in all", str(true), *(f"{n / max(1, true):.0%}" for n in errors)])
    return text + _table(["clip", "true", *(row["model"] for row in rows)], body)


def _data(recipe: DataRecipe) -> list[str]:
    body = [[s.name, ", ".join(s.labelled), s.licence, s.source] for s in recipe.stills]
    body += [[c.name, "by the teachers", c.licence, c.source] for c in recipe.clips]
    if recipe.drawn is not None:
        body.append(["drawn", "all", recipe.drawn.licence, recipe.drawn.source])
    teachers = "; ".join(f"{t.name} ({t.licence}, {t.source})" for t in recipe.teachers)
    return [
        "## Data",
        "",
        f"Labels were completed by agreement of two models: {teachers}.",
        "",
        *_table(["set", "labels", "licence as its source states it", "source"], body),
    ]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train.detector.modelcard", description=__doc__)
    parser.add_argument("--figures", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--model", required=True, help="name of the model that the card is about")
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--remarks", type=Path, required=True, metavar="FILE.md")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.md")
    options = parser.parse_args(words)
    try:
        rows = json.loads(options.figures.read_text())
        rows.sort(key=lambda row: row["model"] != options.model)
        if not rows or rows[0]["model"] != options.model:
            raise DatasetError(
                f"{options.figures}: no figures of {options.model}: run pipelines.train.detector.evaluate"
            )
        text = render(rows, read_recipe(options.recipe), options.remarks.read_text())
        options.out.write_text(text)
    except (DatasetError, OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
