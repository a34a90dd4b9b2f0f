"""What is computed from tracks and their crossings besides lines and zones: one analytic a file.

A new one is a file with an `ANALYTIC` (base.py) and a line here: the configuration, the runner, `analyze`,
the schemas of events and the command line read this table.
"""

from __future__ import annotations

from pipelines.analytics import (
    dwell,
    heatmap,
    occupancy,
    origin_destination,
    queue,
    speed,
    unique,
    wrong_way,
)
from pipelines.analytics.base import Analytic

# In the order in which their rules are listed and run.
ANALYTICS: tuple[Analytic, ...] = (
    dwell.ANALYTIC,
    occupancy.ANALYTIC,
    queue.ANALYTIC,
    origin_destination.ANALYTIC,
    speed.ANALYTIC,
    wrong_way.ANALYTIC,
    heatmap.ANALYTIC,
    unique.ANALYTIC,
)
