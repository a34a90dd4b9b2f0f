"""Options that several commands have, and values as options take them."""

from __future__ import annotations

import math
from typing import Any

import click

ANALYSIS_WIDTH = ("--analysis-width", "--width", "width")  # --width is the older name
ca_option = click.option(
    "--ca",
    default="",
    metavar="WHO",
    help="Who vouches for its certificate: system, any, or a PEM file's path.  [default: by its scheme]",
)
stream_option = click.option(
    "--stream",
    type=click.IntRange(0),
    metavar="N",
    help="Which stream of a clip with several videos, as ffprobe counts.  [default: as FFmpeg chooses]",
)


class Finite(click.FloatRange):
    """A number within bounds that is one: click lets nan pass, and inf where no upper bound is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class WholeCount(click.IntRange):
    """How many there are, within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number: give how many there are, such as 3.", param, ctx)
        return super().convert(value, param, ctx)


class FpsOrAuto(Finite):
    """Frames a second, or auto."""

    name = "fps or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value.lower() == "auto":
            return "auto"
        try:
            float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of frames a second nor auto.", param, ctx)
        return super().convert(value, param, ctx)


def split_words(text: str | None) -> list[str]:
    """ "person, vehicle" as its words."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]
