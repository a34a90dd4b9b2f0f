"""What is computed from tracks and their crossings besides lines and zones: one analytic a file.

A new one is a file with an `ANALYTIC` (base.py) and a line here: the configuration, the runner, `analyze`,
the schemas of events and the command line read this table.
"""

from __future__ import annotations

from pkgutil import resolve_name

from pipelines.analytics.base import Analytic

# In the order in which their rules are listed and run.
ANALYTICS: tuple[Analytic, ...] = tuple(
    resolve_name(f"{__name__}.{module}:ANALYTIC")
    for module in (
        "dwell",
        "occupancy",
        "queue",
        "origin_destination",
        "speed",
        "wrong_way",
        "heatmap",
        "unique",
    )
)
