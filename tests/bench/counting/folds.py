"""Design choices that cannot fool us: chosen on some sequences, scored on those left out.

For each fold (a sequence, or a whole set) the variant with the least error on all others is scored on what
was left out; the sum over the folds is the error **out**, beside the error **in** of the variant that is best
on all. What they differ by is what choosing on the same sequences would have promised too much. A simulated
detector's boxes of a sequence are left out together with it.

"least": the variant with the least error. "sure": the default, unless a variant's difference to it on the
others lies beyond its 95 % interval. "All choices at once" makes each choice by itself and runs what comes of
it, on what was left out. The figures are gross errors over all rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.bench.counting import choices, drawn
from tests.bench.counting.choices import Variant
from tests.bench.counting.data import GROUPS, Sequence, corpus, load, true_crossings
from tests.bench.counting.errors import LINES, STEPS, Units, difference, kinds, of_sequences, units
from tests.bench.counting.simulated import simulate
from tests.bench.registry import Unavailable

NAME = "counting_folds"
DESCRIPTION = "Design choices of counting by leave-one-out: the error in and out of the folds, and the gap"

FOLDS: dict[str, Callable[[Sequence], str]] = {
    "one sequence left out": lambda sequence: sequence.source,
    "one set left out": lambda sequence: sequence.group,
}
RULES = ("least", "sure")
ALL_CHOICES = "all choices at once"
Tables = dict[Variant, Units]
Selected = dict[str, Variant]  # of each fold


def run(only: str = "", detectors: int = 0, scenes: int = 0, together: bool = True) -> dict[str, Any]:
    """All choices, or `only` those named (with commas); on the sequences of the corpus, on so many simulated
    detectors of each, and on so many drawn scenes. Raises Unavailable without the corpus."""
    sequences = _sequences(detectors, scenes)
    known = choices.variants()
    wanted = only.split(",") if only else list(known)
    tables = {name: table(known[name], sequences) for name in wanted}
    result: dict[str, Any] = {
        "true": sum(len(true_crossings(s)) for s in sequences) * len(STEPS),
        "sequences": len(sequences),
        "absent": choices.absent(),
        "default": _default(sequences, next(iter(tables.values()))[Variant()]),
        "choices": {name: one_choice(found, sequences) for name, found in tables.items()},
    }
    if together:
        result[ALL_CHOICES] = {rule: at_once(tables, sequences, rule) for rule in RULES}
    return result


def _sequences(detectors: int, scenes: int) -> list[Sequence]:
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    real = [s for group in GROUPS for s in load(group, root)]
    seen = [simulate(s, seed) for s in real for seed in range(detectors)]
    return [*real, *seen, *(drawn.draw(seed) for seed in range(scenes))]


def table(variants: Iterable[Variant], sequences: list[Sequence]) -> Tables:
    """The errors of each variant over all rates, by unit."""
    return {variant: units(choices.errors(variant, sequences, STEPS)) for variant in variants}


def _default(sequences: list[Sequence], errors: Units) -> dict[str, dict[str, int]]:
    """What the code as it is gets wrong, with fixed and moving cameras, first and added sequences apart."""
    return {
        kind: {
            "true": sum(len(true_crossings(s)) for s in part) * len(STEPS),
            "gross": sum(of_sequences(errors, part).values()),
        }
        for kind, part in kinds(sequences).items()
    }


# ---- selection


@dataclass(frozen=True, slots=True)
class Fold:
    """What is left out, and what the choice is made on."""

    name: str
    left_out: list[Sequence]
    others: list[Sequence]


def folds(sequences: list[Sequence], key: Callable[[Sequence], str]) -> list[Fold]:
    names = dict.fromkeys(key(s) for s in sequences)
    return [
        Fold(name, [s for s in sequences if key(s) == name], [s for s in sequences if key(s) != name])
        for name in names
    ]


def select(tables: Tables, sequences: list[Sequence], rule: str) -> Variant:
    """The variant that is best on these sequences; of equals, and in doubt, the default."""
    parts = {variant: of_sequences(errors, sequences) for variant, errors in tables.items()}
    found = min(parts, key=lambda variant: (sum(parts[variant].values()), variant != Variant()))
    if rule == "sure" and not difference(parts[found], parts[Variant()]).sure:
        return Variant()
    return found


def out_of(tables: Tables, sequences: list[Sequence], key: Callable[[Sequence], str], rule: str) -> Units:
    """The errors on each fold of the variant that is best on the others."""
    found: Units = {}
    for fold in folds(sequences, key):
        chosen = tables[select(tables, fold.others, rule)]
        found |= of_sequences(chosen, fold.left_out)
    return found


def one_choice(tables: Tables, sequences: list[Sequence]) -> dict[str, Any]:
    """One choice by both rules, and the difference of each variant to the default."""
    default = tables[Variant()]
    row: dict[str, Any] = {
        "variants": {
            str(variant): {kind: _less(errors, default, part) for kind, part in kinds(sequences).items()}
            for variant, errors in tables.items()
            if variant != Variant()
        }
    }
    for rule in RULES:
        chosen = select(tables, sequences, rule)
        out = {name: out_of(tables, sequences, key, rule) for name, key in FOLDS.items()}
        row[rule] = _in_and_out(str(chosen), tables[chosen], out, default)
    return row


def at_once(by_choice: dict[str, Tables], sequences: list[Sequence], rule: str) -> dict[str, Any]:
    """All choices, each made by itself; what comes of it is run on what was left out."""
    default = next(iter(by_choice.values()))[Variant()]
    chosen = _combined(by_choice, sequences, rule)
    out: dict[str, Units] = {}
    for name, key in FOLDS.items():
        out[name] = {}
        for fold in folds(sequences, key):
            variant = _combined(by_choice, fold.others, rule)
            out[name] |= table([variant], fold.left_out)[variant]
    return _in_and_out(str(chosen), table([chosen], sequences)[chosen], out, default)


def _combined(by_choice: dict[str, Tables], sequences: list[Sequence], rule: str) -> Variant:
    each = [select(tables, sequences, rule).labels for tables in by_choice.values()]
    return Variant(tuple(label for labels in each for label in labels))


def _in_and_out(chosen: str, inside: Units, out: dict[str, Units], default: Units) -> dict[str, Any]:
    """The error in and out of the folds, the gap in percent, and the difference to the default."""
    total = sum(inside.values())
    row: dict[str, Any] = {"chosen": chosen, "in": total, "in_less_default_95": _triple(inside, default)}
    row["out"] = {
        name: {
            "gross": sum(errors.values()),
            "gap_percent": 100 * (sum(errors.values()) - total) / total if total else 0.0,
            "less_default_95": _triple(errors, default),
        }
        for name, errors in out.items()
    }
    return row


def _less(errors: Units, default: Units, part: list[Sequence]) -> list[float]:
    return _triple(of_sequences(errors, part), of_sequences(default, part))


def _triple(first: Units, second: Units) -> list[float]:
    less = difference(first, second)
    return [less.value, less.low, less.high]


# ---- the tables


def render(result: dict[str, Any]) -> str:
    lines = [
        f"gross error at 1/1, 1/2 and 1/4 together, of {result['true']} true crossings on "
        f"{result['sequences']} sequences ({len(LINES)} lines each); [95 % intervals]",
        *(
            f"  {kind}: {row['gross']} of {row['true']} ({row['gross'] / max(row['true'], 1):.1%})"
            for kind, row in result["default"].items()
        ),
    ]
    lines += [f"  not in this code: {name}" for name in result["absent"]]
    for name, row in result["choices"].items():
        lines += ["", name, *(_variant(label, less) for label, less in row["variants"].items())]
        lines += [line for rule in RULES for line in _rule(rule, row[rule])]
    for rule, row in result.get(ALL_CHOICES, {}).items():
        lines += ["", ALL_CHOICES, *_rule(rule, row)]
    return "\n".join(lines)


def _variant(label: str, by_kind: dict[str, list[float]]) -> str:
    return f"  {label}: less default " + ", ".join(f"{k} {_interval(v)}" for k, v in by_kind.items())


def _rule(rule: str, row: dict[str, Any]) -> list[str]:
    in_words = f"in {row['in']}, less default {_interval(row['in_less_default_95'])}"
    outside = [
        f"    out, {name}: {out['gross']}, gap {out['gap_percent']:+.1f} %, less default "
        f"{_interval(out['less_default_95'])}"
        for name, out in row["out"].items()
    ]
    return [f"  by {rule}: {row['chosen']}; {in_words}", *outside]


def _interval(less: list[float]) -> str:
    value, low, high = less
    return f"{value:+.0f} [{low:+.0f} to {high:+.0f}]"
