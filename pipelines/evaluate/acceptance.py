"""Gates: what an evaluation must reach for a script to go on, such as `gross<=5%`.

    gross  net  misses  false     errors: a number, or with % of the true crossings (net: without its sign)
    hota  idf1  mota              scores in percent, with or without %

compared by <=, <, >= or >. Several are separated by commas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

COUNTS = ("gross", "net", "misses", "false")
SCORES = ("hota", "idf1", "mota")
_GATE = re.compile(r"\s*([A-Za-z0-9_]+)\s*(<=|>=|<|>)\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*")


class GateError(ValueError):
    """Raised for an expression that is no gate, or one that this evaluation cannot answer."""


@dataclass(frozen=True, slots=True)
class Gate:
    measure: str
    operator: str
    limit: float
    percent: bool

    def __str__(self) -> str:
        return f"{self.measure}{self.operator}{self.limit:g}{'%' if self.percent else ''}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`value` is in the gate's unit; infinite for errors where there is no true crossing."""

    gate: Gate
    value: float
    met: bool

    def __str__(self) -> str:
        unit = "%" if self.gate.percent else ""
        value = (
            "errors without any true crossing" if self.value == float("inf") else f"{self.value:.4g}{unit}"
        )
        return f"{self.gate}: {value}, {'met' if self.met else 'not met'}"


def parse_gates(text: str) -> tuple[Gate, ...]:
    """Raises GateError with what would be right."""
    return tuple(_parse(part) for part in text.split(","))


def _parse(text: str) -> Gate:
    match = _GATE.fullmatch(text)
    if match is None:
        raise GateError(f"gate {text.strip()[:60]!r}: write it as gross<=5% or misses<=3")
    measure, operator, limit, percent = match.groups()
    measure = measure.lower()
    if measure not in (*COUNTS, *SCORES):
        raise GateError(
            f"gate {text.strip()[:60]!r}: no figure {measure!r}: known are {', '.join((*COUNTS, *SCORES))}"
        )
    if float(limit) < 0 and measure != "mota":
        raise GateError(f"gate {text.strip()[:60]!r}: {measure} is never below 0")
    if measure in SCORES and float(limit) > 100:
        raise GateError(f"gate {text.strip()[:60]!r}: {measure} is never above 100")
    return Gate(measure, operator, float(limit), bool(percent) or measure in SCORES)


def judge(gate: Gate, measures: Mapping[str, float | None], true: int) -> Verdict:
    """`measures` as summary.measures() gives them, `true` the number of true crossings.

    Raises GateError where the figure is not known.
    """
    value = measures[gate.measure]
    if value is None:
        raise GateError(
            f"gate {gate}: {gate.measure} needs truth with boxes (MOT text) and "
            "`pip install 'streamer[evaluate]'`"
        )
    if gate.measure in COUNTS:
        value = abs(value)
        if gate.percent:
            value = 100 * value / true if true else (float("inf") if value else 0.0)
    met = {
        "<=": value <= gate.limit,
        "<": value < gate.limit,
        ">=": value >= gate.limit,
        ">": value > gate.limit,
    }[gate.operator]
    return Verdict(gate, value, met)
